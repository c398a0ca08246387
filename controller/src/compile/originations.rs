//! What this node advertises, to whom, and how it looks there.

use std::collections::{BTreeMap, BTreeSet};

use redstart_bgp::types::Prefix;

use super::{
    Advertise, Origination, Peer, PeerName, PeerRole, Scope, Spare, configuration_ref, node_ref,
};
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::{Advertisement, Kind, ObjectKey, Objects},
    object::ObjectRef,
};

type Originations = BTreeMap<Prefix, Origination>;

/// The routes of this node's own.
pub(super) fn originations(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
    spare: &BTreeMap<PeerName, Spare>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Originations {
    let own_cidrs = scope.pod_cidrs.of(&scope.own.meta.name);
    let mut result = Originations::new();
    if scope.configuration.advertise_pod_cidrs {
        let advertise = built_in(scope, peers, spare);
        add(
            &mut result,
            &own_cidrs,
            &node_ref(&scope.own.meta.name),
            &advertise,
        );
    }
    for advertisement in scope.objects.advertisements.values() {
        check_names(scope.objects, advertisement, diagnostics);
        let labels = &scope.own.meta.labels;
        let selector = advertisement.node_selector.as_ref();
        if !selector.is_none_or(|s| s.matches(labels)) {
            continue;
        }
        let object = object_ref(advertisement);
        let advertise = by_object(scope, peers, advertisement);
        if advertisement.pod_cidrs {
            add(
                &mut result,
                &own_cidrs,
                &node_ref(&scope.own.meta.name),
                &advertise,
            );
        }
        let prefixes = static_prefixes(scope, advertisement, diagnostics);
        add(&mut result, &prefixes, &object, &advertise);
    }
    result
}

fn object_ref(advertisement: &Advertisement) -> ObjectRef {
    ObjectKey::cluster(Kind::BgpAdvertisement, advertisement.meta.name.as_str()).object_ref()
}

/// Adds a way to advertise `prefixes`. A way to nobody leaves the origination in place: it shows in
/// the CLI that the prefix is ours and why nobody gets it.
fn add(
    result: &mut Originations,
    prefixes: &BTreeSet<Prefix>,
    object: &ObjectRef,
    advertise: &Advertise,
) {
    for &prefix in prefixes {
        let origination = result.entry(prefix).or_insert_with(|| Origination {
            object: object.clone(),
            advertise: Vec::new(),
            blackhole: false,
        });
        if !advertise.peers.is_empty() {
            origination.advertise.push(advertise.clone());
        }
    }
}

/// Pod CIDRs without anybody asking: to the mesh, and to routers while nothing else is said.
fn built_in(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
    spare: &BTreeMap<PeerName, Spare>,
) -> Advertise {
    let routers_too = scope.objects.advertisements.is_empty();
    let peers = peers
        .iter()
        .filter(|(_, peer)| routers_too || peer.role != PeerRole::Router)
        .map(|(name, _)| name)
        .chain(spare.keys())
        .cloned()
        .collect();
    Advertise {
        source: configuration_ref(),
        peers,
        communities: BTreeSet::new(),
        large_communities: BTreeSet::new(),
        local_pref: None,
        med: None,
        prepend: 0,
    }
}

fn by_object(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
    advertisement: &Advertisement,
) -> Advertise {
    let all = advertisement.peer_names.is_empty() && advertisement.peer_selector.is_none();
    let chosen = |name: &PeerName| {
        let by_label = || {
            let labels = &scope.objects.peers.get(&name.0)?.meta.labels;
            Some(advertisement.peer_selector.as_ref()?.matches(labels))
        };
        all || advertisement.peer_names.contains(&name.0) || by_label() == Some(true)
    };
    let peers = peers
        .iter()
        .filter(|(name, peer)| peer.role == PeerRole::Router && chosen(name))
        .map(|(name, _)| name.clone())
        .collect();
    Advertise {
        source: object_ref(advertisement),
        peers,
        communities: advertisement.communities.clone(),
        large_communities: advertisement.large_communities.clone(),
        local_pref: advertisement.local_pref,
        med: advertisement.med,
        prepend: advertisement.prepend,
    }
}

/// The static prefixes that do not belong to another node. An aggregate of several nodes' pod CIDRs
/// is fine.
fn static_prefixes(
    scope: &Scope<'_>,
    advertisement: &Advertisement,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeSet<Prefix> {
    let mut prefixes = advertisement.static_prefixes.clone();
    prefixes.retain(|&prefix| {
        let foreign = scope
            .pod_cidrs
            .owner_covering(prefix)
            .filter(|(_, owner)| *owner != scope.own.meta.name);
        let Some((cidr, owner)) = foreign else {
            return true;
        };
        diagnostics.push(Diagnostic::error(
            object_ref(advertisement),
            "spec.staticPrefixes",
            Reason::ForeignPodCidr,
            format!(
                "{prefix} lies in pod CIDR {cidr} of Node/{owner}; Node/{} does not advertise it",
                scope.own.meta.name
            ),
        ));
        false
    });
    prefixes
}

/// Names the routers that `advertisement` is for and that do not exist.
pub(super) fn check_names(
    objects: &Objects,
    advertisement: &Advertisement,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for name in &advertisement.peer_names {
        if !objects.peers.contains_key(name) {
            diagnostics.push(Diagnostic::warning(
                object_ref(advertisement),
                "spec.peers.names",
                Reason::UnknownPeer,
                format!("there is no BGPPeer {name:?}"),
            ));
        }
    }
}
