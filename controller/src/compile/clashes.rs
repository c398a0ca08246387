//! What of an object some nodes cannot do because another object is in its way, looked at from nowhere.
//!
//! A node finds out by itself when it compiles, and says so of itself. That the objects cannot all be in
//! force is to be seen from the objects alone, though, and so is on which nodes: those are named here, for
//! the conditions of the object. What depends on more than objects, such as a default gateway with the
//! address of another neighbour, is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Selection, configuration, mesh, node_ref, object_ref,
    originations::{Numbers, chooses, conflict},
    pod_cidrs::PodCidrs,
    routers::{Place, claims_address, place},
};
use crate::{
    api::{LabelSelector, MeshMode, ServiceAddress},
    diagnostic::{Diagnostic, Reason},
    index::{Advertisement, Kind, Node, Objects, Peer},
    object::ObjectRef,
};

/// Something that is wrong with an object on some nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash<'a> {
    /// What. It says the same whichever node looks.
    pub problem: Diagnostic,
    /// Where, by name: at least one node.
    pub nodes: Vec<&'a str>,
}

/// Objects in each other's way.
#[must_use]
pub fn clashes<'a>(objects: &'a Objects, selection: &Selection<'a>) -> Vec<Clash<'a>> {
    let mut all = between_routers(objects, selection);
    all.extend(with_nodes(objects));
    all.extend(with_pod_cidrs(objects));
    all.extend(contradictions(objects, selection));
    all.retain(|clash| !clash.nodes.is_empty());
    all
}

fn refused(router: &Peer, field: &str, reason: Reason, message: &str) -> Diagnostic {
    let object = object_ref(Kind::BgpPeer, &router.meta.name);
    let message = format!("{message}; there is no session with it there");
    Diagnostic::error(object, field, reason, message)
}

fn is_for(selector: Option<&LabelSelector>, node: &Node) -> bool {
    selector.is_none_or(|selector| selector.matches(&node.meta.labels))
}

fn selects(router: &Peer, node: &Node) -> bool {
    is_for(router.node_selector.as_ref(), node)
}

/// The nodes that the router is for and that `which` says.
fn nodes_of<'a>(
    objects: &'a Objects,
    router: &Peer,
    which: impl Fn(&Node) -> bool,
) -> Vec<&'a str> {
    let nodes = objects.nodes.values();
    let nodes = nodes.filter(|node| which(node) && selects(router, node));
    nodes.map(|node| node.meta.name.as_str()).collect()
}

/// Routers in one place. On each node the first that selects it counts.
fn between_routers<'a>(objects: &'a Objects, selection: &Selection<'a>) -> Vec<Clash<'a>> {
    let mut places: BTreeMap<Place, Vec<&Peer>> = BTreeMap::new();
    let mut routers: Vec<&Peer> = objects.peers.values().map(|it| &**it).collect();
    routers.sort_by_key(|router| router.meta.seniority());
    for router in routers {
        places
            .entry(place(&router.remote))
            .or_default()
            .push(router);
    }
    let shared = places.iter().filter(|(_, routers)| routers.len() > 1);
    shared
        .flat_map(|(place, routers)| in_one_place(place, routers, selection))
        .collect()
}

/// What becomes of these, the oldest of which comes first.
fn in_one_place<'a>(place: &Place, routers: &[&Peer], selection: &Selection<'a>) -> Vec<Clash<'a>> {
    let (field, what) = place.field();
    let mut first_of = vec![None; selection.len()];
    let mut lost: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    for (i, router) in routers.iter().enumerate() {
        for (at, node) in selection.selected(router.node_selector.as_ref()) {
            match first_of[at] {
                None => first_of[at] = Some(i),
                Some(first) => {
                    let nodes = lost.entry((i, first)).or_default();
                    nodes.push(node.meta.name.as_str());
                }
            }
        }
    }
    let clash = |((later, first), nodes): ((usize, usize), _)| {
        let other = object_ref(Kind::BgpPeer, &routers[first].meta.name);
        let message =
            format!("{other} has the same {what} and comes first on nodes that both select");
        let reason = Reason::DuplicatePeerAddress;
        let problem = refused(routers[later], field, reason, &message);
        Clash { problem, nodes }
    };
    lost.into_iter().map(clash).collect()
}

/// Routers with the address of a node, or the name of its session in the mesh.
fn with_nodes(objects: &Objects) -> Vec<Clash<'_>> {
    let has_mesh = configuration(objects).mesh.mode != MeshMode::None;
    let addressed: BTreeSet<IpAddr> = objects
        .peers
        .values()
        .filter_map(|router| Some(router.remote.address()?.ip()))
        .collect();
    let mut owners: BTreeMap<IpAddr, Vec<&Node>> = BTreeMap::new();
    for node in objects.nodes.values() {
        let v4 = node.ipv4.map(IpAddr::V4);
        let own = v4.into_iter().chain(node.ipv6.map(IpAddr::V6));
        let own: BTreeSet<IpAddr> = own.chain(node.addresses.iter().copied()).collect();
        for address in own.intersection(&addressed) {
            owners.entry(*address).or_default().push(node);
        }
    }
    let mut clashes = Vec::new();
    for router in objects.peers.values() {
        let address = router.remote.address().map(|at| at.ip());
        let owners = address.and_then(|it| Some((it, owners.get(&it)?)));
        for (address, node) in owners
            .into_iter()
            .flat_map(|(a, all)| all.iter().map(move |n| (a, *n)))
        {
            clashes.push(own_address(router, address, node));
            if has_mesh {
                clashes.push(mesh_address(objects, router, address, node));
            }
        }
        let named = router.meta.name.strip_prefix(mesh::NAME_PREFIX);
        if let Some(node) = named
            .and_then(|name| objects.nodes.get(name))
            .filter(|_| has_mesh)
        {
            let source = node_ref(&node.meta.name);
            let message = format!("{source} is a neighbour of that name in the mesh");
            clashes.push(Clash {
                problem: refused(router, "metadata.name", Reason::DuplicatePeerName, &message),
                nodes: nodes_of(objects, router, |own| {
                    own.meta.name != node.meta.name && mesh::ends(own, node).is_some()
                }),
            });
        }
    }
    clashes
}

/// A router that is to have the address of a node which it is for.
fn own_address<'a>(router: &Peer, address: IpAddr, node: &'a Node) -> Clash<'a> {
    let source = node_ref(&node.meta.name);
    let message = format!("{address} is an address of {source} itself, which is selected");
    let own = selects(router, node) && claims_address(node, address);
    Clash {
        problem: refused(router, "spec.address", Reason::OwnAddress, &message),
        nodes: own.then_some(node.meta.name.as_str()).into_iter().collect(),
    }
}

/// A router that is a node, which others have a session with by the mesh.
fn mesh_address<'a>(
    objects: &'a Objects,
    router: &Peer,
    address: IpAddr,
    node: &Node,
) -> Clash<'a> {
    let source: ObjectRef = node_ref(&node.meta.name);
    let message = format!("{source} has the same address {address} and comes first, by the mesh");
    let is_neighbour = |own: &Node| {
        let ends = mesh::ends(own, node);
        own.meta.name != node.meta.name && ends.is_some_and(|(_, remote)| remote == address)
    };
    Clash {
        problem: refused(
            router,
            "spec.address",
            Reason::DuplicatePeerAddress,
            &message,
        ),
        nodes: nodes_of(objects, router, is_neighbour),
    }
}

/// Static prefixes in the pod CIDR of a node, which no other advertises.
fn with_pod_cidrs(objects: &Objects) -> Vec<Clash<'_>> {
    let advertisements = objects.advertisements.values();
    let advertisements: Vec<&Advertisement> = advertisements
        .filter(|it| !it.static_prefixes.is_empty())
        .collect();
    if advertisements.is_empty() {
        return Vec::new();
    }
    let pod_cidrs = PodCidrs::assign(&objects.nodes, &mut Vec::new());
    let clash = |advertisement: &&Advertisement, prefix| {
        let (cidr, owner) = pod_cidrs.owner_covering(prefix)?;
        let selector = advertisement.node_selector.as_ref();
        let selected = |node: &&Node| is_for(selector, node);
        let others = objects.nodes.values().filter(selected);
        let others = others.map(|node| node.meta.name.as_str());
        let message = format!(
            "{prefix} lies in pod CIDR {cidr} of {}; no other node advertises it",
            node_ref(owner)
        );
        Some(Clash {
            problem: Diagnostic::error(
                object_ref(Kind::BgpAdvertisement, &advertisement.meta.name),
                "spec.staticPrefixes",
                Reason::ForeignPodCidr,
                message,
            ),
            nodes: others.filter(|name| *name != owner).collect(),
        })
    };
    let all = advertisements.iter();
    all.flat_map(|it| {
        it.static_prefixes
            .iter()
            .filter_map(|p| clash(it, *p))
            .collect::<Vec<_>>()
    })
    .collect()
}

/// Advertisements of the same to the same router that do not agree on a number.
fn contradictions<'a>(objects: &'a Objects, selection: &Selection<'a>) -> Vec<Clash<'a>> {
    let all: Vec<&Advertisement> = objects.advertisements.values().collect();
    let pairs = (0..all.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
    let differ = |&(first, second): &(usize, usize)| {
        Numbers::of(all[first])
            .disagreement(Numbers::of(all[second]))
            .is_some()
    };
    let pairs: Vec<(usize, usize)> = pairs.filter(differ).collect();
    // Thousands of Services are not looked at where nothing hangs on it.
    let of_services = match pairs.is_empty() {
        true => BTreeSet::new(),
        false => sharing_a_service(objects, &all),
    };
    let clash = |(first, second): (usize, usize)| {
        let shares_services = of_services.contains(&(first, second));
        let (first, second) = (all[first], all[second]);
        let field = Numbers::of(first).disagreement(Numbers::of(second))?;
        let shares_others = first.pod_cidrs && second.pod_cidrs
            || !first.static_prefixes.is_disjoint(&second.static_prefixes);
        if !(shares_services || shares_others) {
            return None;
        }
        let routers = objects.peers.values().map(|it| &**it);
        let both = |it: &&Peer| {
            let mut by = [first, second].into_iter();
            by.all(|by| chooses(objects, by, &it.meta.name))
        };
        let routers: Vec<&Peer> = routers.filter(both).collect();
        let nodes = selection.selected(second.node_selector.as_ref());
        let nodes = nodes.map(|(_, node)| node).filter(|node| {
            let mut routers = routers.iter();
            is_for(first.node_selector.as_ref(), node) && routers.any(|it| selects(it, node))
        });
        let named = |it: &Advertisement| object_ref(Kind::BgpAdvertisement, &it.meta.name);
        Some(Clash {
            problem: conflict(None, &named(first), &named(second), field),
            nodes: nodes.map(|node| node.meta.name.as_str()).collect(),
        })
    };
    pairs.into_iter().filter_map(clash).collect()
}

/// Which of these, the earlier one first, ask for an address of the same Service.
fn sharing_a_service(objects: &Objects, all: &[&Advertisement]) -> BTreeSet<(usize, usize)> {
    let mut pairs = BTreeSet::new();
    for (key, service) in &objects.services {
        for kind in ServiceAddress::ALL {
            let choices = all.iter().map(|it| it.services.as_ref()).enumerate();
            let choosing = choices.filter(|(_, choice)| {
                choice.is_some_and(|choice| choice.has_address(key, service, kind))
            });
            let choosing: Vec<usize> = choosing.map(|(i, _)| i).collect();
            for (i, second) in choosing.iter().enumerate() {
                pairs.extend(choosing[..i].iter().map(|first| (*first, *second)));
            }
        }
    }
    pairs
}
