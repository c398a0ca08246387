//! What this node advertises, to whom, and how it looks there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use redstart_bgp::types::Prefix;

use super::{
    Advertise, Origination, Originations, Peer, PeerName, PeerRole, Scope, Spare,
    configuration_ref, node_ref,
};
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::{Advertisement, Kind, ObjectKey, Objects},
    object::ObjectRef,
};

/// Routes of this node's own while they are put together.
#[derive(Clone, Debug, Default)]
pub(super) struct Drafts(BTreeMap<Prefix, Draft>);

#[derive(Clone, Debug)]
struct Draft {
    object: ObjectRef,
    advertise: Vec<Advertise>,
    blackhole: bool,
}

impl Drafts {
    /// Adds ways to advertise a prefix; the first object that it stands for counts. A way to nobody
    /// leaves the origination in place: it shows in the CLI that the prefix is ours and why nobody
    /// gets it.
    pub(super) fn add<'a>(
        &mut self,
        prefix: Prefix,
        object: &ObjectRef,
        advertise: impl IntoIterator<Item = &'a Advertise>,
    ) {
        let draft = self.0.entry(prefix).or_insert_with(|| Draft {
            object: object.clone(),
            advertise: Vec::new(),
            blackhole: false,
        });
        for way in advertise {
            if !way.peers.is_empty() && !draft.advertise.contains(way) {
                draft.advertise.push(way.clone());
            }
        }
    }

    /// Has the kernel drop what no more specific route takes, as long as anybody is told the prefix.
    pub(super) fn blackhole(&mut self, prefix: Prefix) {
        if let Some(draft) = self.0.get_mut(&prefix) {
            draft.blackhole |= !draft.advertise.is_empty();
        }
    }

    /// The routes. What is as in `before` stays the same value, so that it is cheap to see what is
    /// not.
    pub(super) fn finish(self, before: &Originations) -> Originations {
        let finished = |(prefix, draft): (Prefix, Draft)| {
            let made = Origination {
                object: draft.object,
                advertise: draft.advertise,
                blackhole: draft.blackhole,
            };
            match before.get(&prefix) {
                Some(same) if **same == made => (prefix, Arc::clone(same)),
                _ => (prefix, Arc::new(made)),
            }
        };
        self.0.into_iter().map(finished).collect()
    }

    /// Entries that name one peer for one prefix and do not agree on a number, each pair of
    /// advertisements once.
    pub(super) fn conflicts(&self) -> Vec<Diagnostic> {
        let mut seen = BTreeSet::new();
        let mut diagnostics = Vec::new();
        for (prefix, draft) in &self.0 {
            for (i, second) in draft.advertise.iter().enumerate() {
                for first in &draft.advertise[..i] {
                    if let Some(field) = disagreement(first, second)
                        && seen.insert((&first.source, &second.source, field))
                    {
                        diagnostics.push(conflict(*prefix, first, second, field));
                    }
                }
            }
        }
        diagnostics
    }
}

/// The field in which two entries for a common peer differ.
fn disagreement(first: &Advertise, second: &Advertise) -> Option<&'static str> {
    let differ = |a: Option<u32>, b: Option<u32>| a.zip(b).is_some_and(|(a, b)| a != b);
    let field = if differ(first.local_pref, second.local_pref) {
        "spec.localPref"
    } else if differ(first.med, second.med) {
        "spec.med"
    } else if first.prepend != second.prepend {
        "spec.prepend"
    } else {
        return None;
    };
    (!first.peers.is_disjoint(&second.peers)).then_some(field)
}

fn conflict(prefix: Prefix, first: &Advertise, second: &Advertise, field: &str) -> Diagnostic {
    let counts = match field {
        "spec.localPref" => "highest",
        "spec.med" => "lowest",
        _ => "least",
    };
    Diagnostic::warning(
        second.source.clone(),
        field,
        Reason::ConflictingAttributes,
        format!(
            "{} says otherwise for the same prefix ({prefix}) and peer; the {counts} counts",
            first.source
        ),
    )
}

/// The routes of this node's own that no Service asks for.
pub(super) fn fixed(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
    spare: &BTreeMap<PeerName, Spare>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Drafts {
    let mut drafts = Drafts::default();
    if network_unavailable(scope, diagnostics) {
        return drafts;
    }
    let own_cidrs = scope.pod_cidrs.of(&scope.own.meta.name);
    let own = node_ref(&scope.own.meta.name);
    if scope.configuration.advertise_pod_cidrs {
        let advertise = built_in(scope, peers, spare);
        for &prefix in &own_cidrs {
            drafts.add(prefix, &own, [&advertise]);
        }
    }
    for advertisement in scope.objects.advertisements.values() {
        check_names(scope.objects, advertisement, diagnostics);
        if !selects_own(scope, advertisement) {
            continue;
        }
        let advertise = by_object(scope, peers, advertisement);
        if advertisement.pod_cidrs {
            for &prefix in &own_cidrs {
                drafts.add(prefix, &own, [&advertise]);
            }
        }
        let object = object_ref(advertisement);
        for prefix in static_prefixes(scope, advertisement, diagnostics) {
            drafts.add(prefix, &object, [&advertise]);
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

/// Kubernetes says of this node that its network is not there: then nothing leads to it.
fn network_unavailable(scope: &Scope<'_>, diagnostics: &mut Vec<Diagnostic>) -> bool {
    if scope.own.network_unavailable {
        diagnostics.push(Diagnostic::warning(
            node_ref(&scope.own.meta.name),
            "status.conditions[NetworkUnavailable]",
            Reason::NetworkUnavailable,
            "the node advertises nothing while its network is unavailable",
        ));
    }
    scope.own.network_unavailable
}

fn object_ref(advertisement: &Advertisement) -> ObjectRef {
    ObjectKey::cluster(Kind::BgpAdvertisement, advertisement.meta.name.as_str()).object_ref()
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
        extended_communities: advertisement.extended_communities.clone(),
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
