//! What this node advertises, to whom, and how it looks there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use redstart_bgp::types::Prefix;

use super::{
    Advertise, Origination, Originations, Peer, PeerName, PeerRole, Scope, Spares,
    configuration_ref, node_ref,
};
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::{Advertisement, Kind, ObjectKey, Objects},
    object::ObjectRef,
};

/// Routes of this node's own while they are put together.
pub(super) type Drafts = BTreeMap<Prefix, Origination>;

impl Origination {
    /// A route that nobody is told.
    pub(super) fn new(object: ObjectRef) -> Self {
        Self {
            object,
            advertise: Vec::new(),
            blackhole: false,
        }
    }

    /// Adds ways to advertise it. A way to nobody leaves the origination in place: it shows in the CLI
    /// that the prefix is ours and why nobody gets it.
    pub(super) fn add<'a>(&mut self, ways: impl IntoIterator<Item = &'a Arc<Advertise>>) {
        for way in ways {
            if !way.peers.is_empty() && !self.advertise.contains(way) {
                self.advertise.push(Arc::clone(way));
            }
        }
    }

    /// Entries that name one peer and do not agree on a number, with the field.
    fn conflicts(&self) -> impl Iterator<Item = (&Advertise, &Advertise, &'static str)> {
        let pairs = self.advertise.iter().enumerate();
        let pairs = pairs.flat_map(|(i, second)| {
            let before = self.advertise[..i].iter();
            before.map(move |first| (first, second))
        });
        pairs
            .filter_map(|(first, second)| Some((&**first, &**second, disagreement(first, second)?)))
    }
}

/// Routes, and which of them have entries that contradict each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    pub(super) originations: Originations,
    contradictory: BTreeSet<Prefix>,
}

impl Routes {
    /// Puts the route to `prefix` in, or takes it out. What is as before stays the same value, so that
    /// it is cheap to see what is not.
    pub(super) fn put(&mut self, prefix: Prefix, route: Option<Origination>) {
        let Some(route) = route else {
            self.originations.remove(&prefix);
            self.contradictory.remove(&prefix);
            return;
        };
        if self.originations.get(&prefix).map(|it| &**it) == Some(&route) {
            return;
        }
        if route.conflicts().next().is_some() {
            self.contradictory.insert(prefix);
        } else {
            self.contradictory.remove(&prefix);
        }
        self.originations.insert(prefix, Arc::new(route));
    }

    /// Entries that name one peer for one prefix and do not agree on a number, each pair of
    /// advertisements once.
    pub(super) fn conflicts(&self) -> Vec<Diagnostic> {
        let mut seen = BTreeSet::new();
        let mut diagnostics = Vec::new();
        for prefix in &self.contradictory {
            let route = self.originations.get(prefix);
            for (first, second, field) in route.into_iter().flat_map(|it| it.conflicts()) {
                if seen.insert((&first.source, &second.source, field)) {
                    let (first, second) = (&first.source, &second.source);
                    diagnostics.push(conflict(Some(*prefix), first, second, field));
                }
            }
        }
        diagnostics
    }
}

fn add(drafts: &mut Drafts, prefix: Prefix, object: &ObjectRef, way: &Arc<Advertise>) {
    let draft = drafts.entry(prefix);
    let draft = draft.or_insert_with(|| Origination::new(object.clone()));
    draft.add([way]);
}

/// What an advertisement says that another one for the same prefix and peer may not contradict.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    local_pref: Option<u32>,
    med: Option<u32>,
    prepend: u8,
}

impl Numbers {
    pub(super) const fn of(advertisement: &Advertisement) -> Self {
        Self {
            local_pref: advertisement.local_pref,
            med: advertisement.med,
            prepend: advertisement.prepend,
        }
    }

    /// The field in which the two differ.
    pub(super) fn disagreement(self, other: Self) -> Option<&'static str> {
        let differ = |a: Option<u32>, b: Option<u32>| a.zip(b).is_some_and(|(a, b)| a != b);
        if differ(self.local_pref, other.local_pref) {
            Some("spec.localPref")
        } else if differ(self.med, other.med) {
            Some("spec.med")
        } else if self.prepend != other.prepend {
            Some("spec.prepend")
        } else {
            None
        }
    }
}

/// The field in which two entries for a common peer differ.
fn disagreement(first: &Advertise, second: &Advertise) -> Option<&'static str> {
    let numbers = |way: &Advertise| Numbers {
        local_pref: way.local_pref,
        med: way.med,
        prepend: way.prepend,
    };
    let field = numbers(first).disagreement(numbers(second))?;
    (!first.peers.is_disjoint(&second.peers)).then_some(field)
}

/// That two advertisements contradict each other. `prefix`: for which, where that is known.
pub(super) fn conflict(
    prefix: Option<Prefix>,
    first: &ObjectRef,
    second: &ObjectRef,
    field: &str,
) -> Diagnostic {
    let counts = match field {
        "spec.localPref" => "highest",
        "spec.med" => "lowest",
        _ => "least",
    };
    let prefix = prefix.map_or_else(String::new, |prefix| format!(" ({prefix})"));
    Diagnostic::warning(
        second.clone(),
        field,
        Reason::ConflictingAttributes,
        format!("{first} says otherwise for the same prefix{prefix} and peer; the {counts} counts"),
    )
}

/// The routes of this node's own that no Service asks for.
pub(super) fn fixed(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
    spare: &Spares,
    diagnostics: &mut Vec<Diagnostic>,
) -> Drafts {
    let mut drafts = Drafts::default();
    // Its pods are reached by what we advertise, whoever it was that found no network: another one that
    // routed pods before us, and left its word behind, must not take the whole cluster's pods away.
    let is_cut_off = network_unavailable(scope, diagnostics);
    let own_cidrs = scope.pod_cidrs.of(&scope.own.meta.name);
    let own = node_ref(&scope.own.meta.name);
    if scope.configuration.advertise_pod_cidrs {
        let advertise = built_in(scope, peers, spare).into();
        for &prefix in &own_cidrs {
            add(&mut drafts, prefix, &own, &advertise);
        }
    }
    for advertisement in scope.objects.advertisements.values() {
        check_names(scope.objects, advertisement, diagnostics);
        // Where all that it asks for are names, each of them was named just now.
        let nobody = selects_no_peer(scope.objects, advertisement);
        diagnostics.extend(nobody.filter(|_| advertisement.peer_selector.is_some()));
        if !selects_own(scope, advertisement) {
            continue;
        }
        let advertise = by_object(scope, peers, advertisement).into();
        if advertisement.pod_cidrs {
            for &prefix in &own_cidrs {
                add(&mut drafts, prefix, &own, &advertise);
            }
        }
        let object = object_ref(advertisement);
        let prefixes = static_prefixes(scope, advertisement, diagnostics);
        for prefix in prefixes.into_iter().filter(|_| !is_cut_off) {
            add(&mut drafts, prefix, &object, &advertise);
        }
    }
    drafts
}

/// How the addresses of network interfaces are advertised, by interface.
pub(super) fn interfaces(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
) -> BTreeMap<String, Vec<Advertise>> {
    found_on_the_node(scope, peers, |advertisement| &advertisement.interfaces)
}

/// How what kernel tables have routes to is advertised, by table.
pub(super) fn kernel_tables(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
) -> BTreeMap<u32, Vec<Advertise>> {
    found_on_the_node(scope, peers, |advertisement| &advertisement.kernel_tables)
}

/// Where on the node to look for what is to be advertised, and how it is.
fn found_on_the_node<T: Clone + Ord>(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
    places: impl Fn(&Advertisement) -> &BTreeSet<T>,
) -> BTreeMap<T, Vec<Advertise>> {
    let mut found: BTreeMap<T, Vec<Advertise>> = BTreeMap::new();
    if scope.own.network_unavailable {
        return found;
    }
    let advertisements = scope.objects.advertisements.values();
    for advertisement in advertisements.filter(|a| selects_own(scope, a)) {
        for place in places(advertisement) {
            let advertise = by_object(scope, peers, advertisement);
            found.entry(place.clone()).or_default().push(advertise);
        }
    }
    found
}

fn selects_own(scope: &Scope<'_>, advertisement: &Advertisement) -> bool {
    let selector = advertisement.node_selector.as_ref();
    selector.is_none_or(|s| s.matches(&scope.own.meta.labels))
}

/// Kubernetes says of this node that its network is not there: then nothing leads to it but what leads to its
/// own pods.
fn network_unavailable(scope: &Scope<'_>, diagnostics: &mut Vec<Diagnostic>) -> bool {
    if scope.own.network_unavailable {
        diagnostics.push(Diagnostic::warning(
            node_ref(&scope.own.meta.name),
            "status.conditions[NetworkUnavailable]",
            Reason::NetworkUnavailable,
            "while it is True, the node advertises its pod CIDRs and nothing else; what wrote the condition has to take it back",
        ));
    }
    scope.own.network_unavailable
}

fn object_ref(advertisement: &Advertisement) -> ObjectRef {
    ObjectKey::cluster(Kind::BgpAdvertisement, advertisement.meta.name.as_str()).object_ref()
}

/// Pod CIDRs without anybody asking: to the mesh, and to routers while nothing else is said.
fn built_in(scope: &Scope<'_>, peers: &BTreeMap<PeerName, Peer>, spare: &Spares) -> Advertise {
    let routers_too = scope.objects.advertisements.is_empty();
    let peers = peers
        .iter()
        .filter(|(_, peer)| routers_too || peer.role != PeerRole::Router)
        .map(|(name, _)| name)
        .chain(spare.keys())
        .cloned()
        .collect();
    by_configuration(peers)
}

/// What no `BGPAdvertisement` says how to advertise.
pub(super) fn by_configuration(peers: BTreeSet<PeerName>) -> Advertise {
    Advertise {
        source: configuration_ref(),
        peers,
        communities: BTreeSet::new(),
        large_communities: BTreeSet::new(),
        extended_communities: BTreeSet::new(),
        local_pref: None,
        med: None,
        prepend: 0,
    }
}

/// The peers that are routers.
pub(super) fn routers(peers: &BTreeMap<PeerName, Peer>) -> BTreeSet<PeerName> {
    let routers = peers.iter().filter(|(_, p)| p.role == PeerRole::Router);
    routers.map(|(name, _)| name.clone()).collect()
}

pub(super) fn by_object(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
    advertisement: &Advertisement,
) -> Advertise {
    let peers = peers
        .iter()
        .filter(|(_, peer)| peer.role == PeerRole::Router)
        .filter(|(name, _)| chooses(scope.objects, advertisement, &name.0))
        .map(|(name, _)| name.clone())
        .collect();
    Advertise {
        source: object_ref(advertisement),
        peers,
        communities: advertisement.communities.clone(),
        large_communities: advertisement.large_communities.clone(),
        extended_communities: advertisement.extended_communities.clone(),
        local_pref: advertisement.local_pref,
        med: advertisement.med,
        prepend: advertisement.prepend,
    }
}

/// Whether `advertisement` is for the router of this name.
pub(super) fn chooses(objects: &Objects, advertisement: &Advertisement, name: &String) -> bool {
    let selector = advertisement.peer_selector.as_ref();
    let all = advertisement.peer_names.is_empty() && selector.is_none();
    let by_label = || {
        let labels = &objects.peers.get(name)?.meta.labels;
        Some(selector?.matches(labels))
    };
    all || advertisement.peer_names.contains(name) || by_label() == Some(true)
}

/// That `advertisement` says whom it is for, and there is none such.
#[must_use]
pub fn selects_no_peer(objects: &Objects, advertisement: &Advertisement) -> Option<Diagnostic> {
    let says = !advertisement.peer_names.is_empty() || advertisement.peer_selector.is_some();
    let mut names = objects.peers.keys();
    if !says || names.any(|name| chooses(objects, advertisement, name)) {
        return None;
    }
    let message = "no BGPPeer is selected: what it asks for is told no router, nor are pod CIDRs unless another BGPAdvertisement asks for that";
    Some(Diagnostic::warning(
        object_ref(advertisement),
        "spec.peers",
        Reason::NoPeerSelected,
        message,
    ))
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
