//! A RIB as one would write it on a whiteboard: keep what every peer said, compute everything from it
//! when asked, remember nothing else. Slow, and plainly what the RFCs say.

use redstart_bgp::types::{Community, Role, SegmentType};

use super::*;
use crate::owners::Owners;
use crate::policy::{
    SafeDefault, SetNextHop,
    tests::{Route as Subject, read},
};

/// A route as a peer sent it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) attrs: PathAttributes,
    pub(super) stale: bool,
    pub(super) long_lived: bool,
    pub(super) awaited: bool,
}

impl Held {
    pub(super) fn new(attrs: PathAttributes) -> Self {
        Self {
            attrs,
            stale: false,
            long_lived: false,
            awaited: false,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct NaivePeer {
    pub(super) info: PeerInfo,
    pub(super) up: bool,
    /// By prefix and path identifier.
    pub(super) routes: BTreeMap<(Prefix, u32), Held>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Naive {
    pub(super) peers: BTreeMap<u32, NaivePeer>,
    pub(super) originations: BTreeMap<Prefix, Origination>,
    pub(super) links: Links,
    pub(super) owners: Owners,
    pub(super) max_paths: usize,
}

/// A usable learned path.
#[derive(Clone, Debug)]
pub(super) struct Usable<'a> {
    pub(super) peer: u32,
    pub(super) path_id: u32,
    info: &'a PeerInfo,
    attrs: PathAttributes,
    reached: Reached,
    long_lived: bool,
}

/// Where a next hop leads, and how far it is.
#[derive(Clone, Debug)]
struct Reached {
    gateways: Vec<Gateway>,
    metric: u32,
}

fn is_external(info: &PeerInfo) -> bool {
    info.kind == SessionKind::Ebgp
}

fn has_set(attrs: &PathAttributes) -> bool {
    let segments = attrs.as_path.segments.iter();
    segments.clone().any(|s| s.kind == SegmentType::Set)
}

/// Our role, where there is one: RFC 9234 is for external sessions.
fn role(info: &PeerInfo) -> Option<Role> {
    info.role.filter(|_| is_external(info))
}

/// Whether the session has AIGP.
fn has_aigp(info: &PeerInfo) -> bool {
    info.rules.aigp == Some(true) || (info.rules.aigp.is_none() && !is_external(info))
}

/// What an external peer's attributes mean here.
fn effective(info: &PeerInfo, attrs: &PathAttributes) -> PathAttributes {
    let mut attrs = attrs.clone();
    if is_external(info) {
        attrs.originator_id = None;
        attrs.cluster_list = Box::default();
        attrs.local_pref = None;
        if attrs.communities.contains(&Community::GRACEFUL_SHUTDOWN) {
            attrs.local_pref = Some(0);
        }
    }
    if matches!(role(info), Some(Role::Customer | Role::Peer)) && attrs.otc.is_none() {
        attrs.otc = Some(info.remote_as);
    }
    attrs
}

/// Whether what the peer behind `node` says of a prefix leads to the node that it belongs to, and the
/// route says that it comes from there.
fn is_owners(owners: &Owners, node: &str, prefix: Prefix, attrs: &PathAttributes) -> bool {
    owners.get(&prefix).is_some_and(|owner| {
        let from_owner = match attrs.originator_id {
            None => owner.node == node,
            Some(id) => owner.router_ids.contains(&id),
        };
        from_owner && owner.addresses.contains(&attrs.next_hop.unwrap().addr())
    })
}

/// What the route is here, if the checks, the safe defaults and the policies let it in.
fn imported(
    info: &PeerInfo,
    owners: &Owners,
    prefix: Prefix,
    attrs: &PathAttributes,
) -> Option<PathAttributes> {
    let default = prefix.len() == 0;
    let (refused, unless) = match &info.import {
        ImportPolicy::Exactly(set) => (!set.contains(&prefix), None),
        ImportPolicy::Owner(node) => (
            !is_owners(owners, node, prefix, &effective(info, attrs)),
            None,
        ),
        ImportPolicy::AllBut { default_route, .. } if default => {
            (!default_route, Some(SafeDefault::DefaultRoute))
        }
        ImportPolicy::AllBut { refuse, .. } => (
            refuse.iter().any(|refused| refused.covers(prefix)),
            Some(SafeDefault::ClusterRanges),
        ),
    };
    let subject = Subject {
        prefix,
        attrs: effective(info, attrs),
        source: info.source,
        from: Some(&info.name),
    };
    let outcome = read(info.policies.import.rules(), &subject).ok()?;
    let asked = unless.is_some_and(|default| outcome.overrides.contains(default));
    if !Naive::is_valid(info, attrs) || (refused && !asked) {
        return None;
    }
    let mut attrs = outcome.attrs;
    if is_external(info) {
        attrs.as_path = attrs
            .as_path
            .prepend(info.remote_as, outcome.prepend.into());
    }
    if outcome.next_hop == Some(SetNextHop::Peer) && matches!(prefix, Prefix::V4(_)) {
        attrs.next_hop = Some(NextHop::from(info.remote_addr));
    }
    Some(attrs)
}

impl Naive {
    /// Whether the checks, the safe defaults and the policies let the route in.
    pub(super) fn accepts(
        info: &PeerInfo,
        owners: &Owners,
        prefix: Prefix,
        attrs: &PathAttributes,
    ) -> bool {
        imported(info, owners, prefix, attrs).is_some()
    }

    /// Whether the checks of the protocol let the route in.
    fn is_valid(info: &PeerInfo, attrs: &PathAttributes) -> bool {
        let external = is_external(info);
        let own = attrs.as_path.iter().filter(|asn| *asn == info.local_as);
        let looped = own.count() > usize::from(info.rules.own_as_allowed);
        let reflected_back = !external
            && (attrs.originator_id == Some(info.local_router_id)
                || info
                    .rules
                    .cluster_id
                    .is_some_and(|id| attrs.cluster_list.contains(&id)));
        let first = attrs.as_path.iter().next() == Some(info.remote_as);
        let sets = !info.rules.as_sets && has_set(attrs);
        let leak = match (role(info), attrs.otc) {
            (Some(Role::Provider), Some(_)) => true,
            (Some(Role::Peer), Some(otc)) => otc != info.remote_as,
            _ => false,
        };
        !looped && !reflected_back && !sets && !leak && (!external || first)
    }

    /// Where the kernel's own routes lead, and how long a learned prefix must be to lead elsewhere.
    fn by_kernel(&self, addr: IpAddr) -> (Option<Reached>, Option<u8>) {
        let reached = |metric: &u32| Reached {
            gateways: vec![Gateway::via(addr, 1)],
            metric: *metric,
        };
        match self.links.0.get(&addr) {
            None => (None, Some(0)),
            Some(metric) if *metric < BY_STATIC => (Some(reached(metric)), None),
            Some(metric) if *metric < BY_DEFAULT => (Some(reached(metric)), Some(25)),
            Some(metric) => (Some(reached(metric)), Some(1)),
        }
    }

    /// Where a next hop leads: by the longest learned prefix that the kernel's own routes support, where it
    /// may, else by the kernel's routes. These support a path if they lead to its next hop by more than a
    /// default route, and better than the path's own prefix would.
    fn reach(&self, addr: IpAddr) -> Option<Reached> {
        let (reached, longer) = self.by_kernel(addr);
        let held = self.peers.values().flat_map(|state| state.routes.keys());
        let covering: BTreeSet<(u8, Prefix)> = held
            .filter(|(prefix, _)| prefix.contains(addr))
            .map(|(prefix, _)| (prefix.len(), *prefix))
            .filter(|(len, _)| longer.is_some_and(|longer| *len >= longer))
            .collect();
        let lead = |(_, prefix): &(u8, Prefix)| {
            let by_kernel = |addr| match self.by_kernel(addr) {
                (_, Some(longer)) if longer <= 1 => None,
                (_, Some(longer)) if longer <= prefix.len() && prefix.contains(addr) => None,
                (reached, _) => reached,
            };
            let supported = self.usable_by(*prefix, by_kernel);
            let paths = self.share(supported);
            let best = paths.first()?;
            let metric = distance(best).unwrap_or_else(|| best.reached.metric.into());
            let mut gateways = self.gateways(&paths);
            gateways.sort();
            Some(Reached {
                gateways,
                metric: u32::try_from(metric).unwrap_or(u32::MAX),
            })
        };
        covering.iter().rev().find_map(lead).or(reached)
    }

    /// The gateways of paths, those of the first one first.
    fn gateways(&self, paths: &[Usable<'_>]) -> Vec<Gateway> {
        let mut gateways = Vec::new();
        for gateway in paths.iter().flat_map(|path| &path.reached.gateways) {
            if !gateways.contains(gateway) && gateways.len() < self.max_paths {
                gateways.push(*gateway);
            }
        }
        gateways
    }

    /// The learned paths that take part in the decision.
    fn usable(&self, prefix: Prefix) -> Vec<Usable<'_>> {
        self.usable_by(prefix, |addr| self.reach(addr))
    }

    fn usable_by(
        &self,
        prefix: Prefix,
        reach: impl Fn(IpAddr) -> Option<Reached>,
    ) -> Vec<Usable<'_>> {
        let mut usable = Vec::new();
        for (peer, state) in &self.peers {
            for ((of, path_id), held) in &state.routes {
                let imported = imported(&state.info, &self.owners, prefix, &held.attrs);
                let Some(attrs) = imported.filter(|_| *of == prefix) else {
                    continue;
                };
                if let Some(reached) = reach(attrs.next_hop.unwrap().addr()) {
                    usable.push(Usable {
                        peer: *peer,
                        path_id: *path_id,
                        info: &state.info,
                        attrs,
                        reached,
                        long_lived: held.long_lived,
                    });
                }
            }
        }
        usable
    }

    /// The learned paths that share the traffic, the best one first.
    pub(super) fn multipath(&self, prefix: Prefix) -> Vec<Usable<'_>> {
        self.share(self.usable(prefix))
    }

    /// Those of some paths that share the traffic, the best one first: RFC 4271 section 9.1.2.2, by
    /// elimination.
    fn share<'a>(&self, mut left: Vec<Usable<'a>>) -> Vec<Usable<'a>> {
        let keep = |left: &mut Vec<Usable<'_>>, key: &dyn Fn(&Usable<'_>) -> i64| {
            let best = left.iter().map(key).min();
            left.retain(|u| Some(key(u)) == best);
        };
        keep(&mut left, &|u| i64::from(is_long_lived(u)));
        keep(&mut left, &|u| {
            -i64::from(u.attrs.local_pref.unwrap_or(100))
        });
        keep(&mut left, &|u| distance(u).unwrap_or(i64::MAX));
        keep(&mut left, &|u| u.attrs.as_path.hop_count() as i64);
        keep(&mut left, &|u| u.attrs.origin as i64);
        let neighbor = |u: &Usable<'_>| u.attrs.as_path.first_as();
        let all = left.clone();
        left.retain(|u| {
            let med = u.attrs.med.unwrap_or(0);
            let beaten =
                |o: &Usable<'_>| neighbor(o) == neighbor(u) && o.attrs.med.unwrap_or(0) < med;
            !all.iter().any(beaten)
        });
        keep(&mut left, &|u| i64::from(!is_external(u.info)));
        keep(&mut left, &|u| u.reached.metric.into());
        left.sort_by_key(|u| {
            (
                u.attrs.originator_id.unwrap_or(u.info.router_id),
                u.attrs.cluster_list.len(),
                u.info.remote_addr,
                u.path_id,
            )
        });
        left.truncate(self.max_paths);
        left
    }

    /// What the kernel shall hold.
    pub(super) fn fib(&self, prefix: Prefix) -> Option<Route> {
        if let Some(own) = self.originations.get(&prefix) {
            return own.blackhole.then(Route::blackhole);
        }
        let gateways = self.gateways(&self.multipath(prefix)).into_iter();
        let set: crate::nexthop::NexthopSet = gateways.collect();
        (!set.is_empty()).then(|| Route::unicast(set))
    }

    /// What a peer shall hold from us: one path, or all of them where it takes them, in no order.
    pub(super) fn told(&self, peer: u32, prefix: Prefix) -> Vec<PathAttributes> {
        let Some(to) = self.peers.get(&peer).map(|state| &state.info) else {
            return Vec::new();
        };
        let own = self.originations.get(&prefix);
        let several = to.add_path_send.contains(prefix.family());
        let mut learned = Vec::new();
        if several {
            learned = self.usable(prefix);
        } else if own.is_none() {
            learned = self.multipath(prefix).into_iter().take(1).collect();
        }
        let own = own.and_then(|own| originated(to, peer, prefix, own));
        let learned = learned
            .iter()
            .filter_map(|u| passed_on(to, peer, prefix, u));
        let mut told: Vec<PathAttributes> = own.into_iter().chain(learned).collect();
        told.sort();
        told
    }
}

/// The distance by AIGP, the way to the next hop included.
fn distance(u: &Usable<'_>) -> Option<i64> {
    let aigp = u.attrs.aigp.as_ref().filter(|_| has_aigp(u.info))?;
    Some(i64::try_from(aigp.metric()?).unwrap() + i64::from(u.reached.metric))
}

fn is_long_lived(u: &Usable<'_>) -> bool {
    u.long_lived || u.attrs.communities.contains(&Community::LLGR_STALE)
}

/// A route of our own, as a peer sees it.
fn originated(
    to: &PeerInfo,
    peer: u32,
    prefix: Prefix,
    own: &Origination,
) -> Option<PathAttributes> {
    let entry = own.advertise.iter().find(|a| a.to.contains(PeerId(peer)))?;
    let attrs = PathAttributes {
        med: entry.med,
        local_pref: entry.local_pref,
        communities: entry.communities.iter().copied().collect(),
        ..PathAttributes::default()
    };
    let subject = Subject {
        prefix,
        attrs,
        source: RouteSource::Own,
        from: None,
    };
    let outcome = read(to.policies.export.rules(), &subject).ok()?;
    let mut attrs = outcome.attrs;
    let own = to.next_hop_self.for_family(prefix.family());
    attrs.next_hop = match outcome.next_hop {
        Some(SetNextHop::Address(address)) if matches!(prefix, Prefix::V4(_)) => {
            Some(NextHop::from(address))
        }
        _ => Some(own?),
    };
    if is_external(to) {
        attrs.local_pref = None;
        let times = 0..=entry.prepend + outcome.prepend;
        attrs.as_path = AsPath::sequence(times.map(|_| to.local_as));
        attrs.otc = matches!(role(to), Some(Role::Provider | Role::Peer)).then_some(to.local_as);
    } else {
        attrs.local_pref = attrs.local_pref.or(Some(100));
    }
    Some(attrs)
}

/// Whether internal peers are told of each other's routes here.
fn is_reflected(to: &PeerInfo, from: &PeerInfo) -> bool {
    !is_external(to) && !is_external(from) && (to.rules.client || from.rules.client)
}

fn originator(learned: &Usable<'_>) -> RouterId {
    learned
        .attrs
        .originator_id
        .unwrap_or(learned.info.router_id)
}

/// Whether a learned route stays away from a peer.
fn is_withheld(to: &PeerInfo, peer: u32, prefix: Prefix, learned: &Usable<'_>) -> bool {
    let (attrs, external) = (&learned.attrs, is_external(to));
    let both_internal = !external && !is_external(learned.info);
    let reflected = is_reflected(to, learned.info);
    let carries = |community| attrs.communities.contains(&community);
    let otc_forbids = matches!(role(to), Some(Role::Customer | Role::Peer)) && attrs.otc.is_some();
    let reasons = [
        learned.peer == peer,
        both_internal && !reflected,
        reflected && originator(learned) == to.router_id,
        carries(Community::NO_ADVERTISE),
        external && carries(Community::NO_EXPORT),
        external && attrs.as_path.iter().any(|asn| asn == to.remote_as),
        !to.rules.as_sets && has_set(attrs),
        otc_forbids,
        is_long_lived(learned) && !to.long_lived.contains(prefix.family()),
    ];
    reasons.contains(&true)
}

/// The next hop of a learned route; none if it cannot go there.
fn next_hop(
    to: &PeerInfo,
    prefix: Prefix,
    learned: &Usable<'_>,
    set: Option<SetNextHop>,
) -> Option<NextHop> {
    let own = to.next_hop_self.for_family(prefix.family());
    // All that is learned has an IPv4 next hop.
    if matches!(prefix, Prefix::V6(_)) {
        let unchanged = match set {
            Some(SetNextHop::Own) => return own,
            Some(SetNextHop::Unchanged) => true,
            _ => to.rules.next_hop == NextHopRule::Unchanged,
        };
        let must_keep = unchanged || is_reflected(to, learned.info);
        return own.filter(|_| !must_keep);
    }
    let keeps = match (set, to.rules.next_hop) {
        (Some(SetNextHop::Address(address)), _) => return Some(NextHop::from(address)),
        (Some(SetNextHop::Own), _) => false,
        (Some(SetNextHop::Unchanged), _) => true,
        _ if is_reflected(to, learned.info) => true,
        (_, NextHopRule::Own) => false,
        (_, NextHopRule::Standard) => !is_external(to),
        // Everybody is on 10.0.0.0/24.
        (_, NextHopRule::Unchanged | NextHopRule::ThirdParty) => true,
    };
    let received = learned.attrs.next_hop;
    let kept = received.filter(|next_hop| next_hop.addr() != to.remote_addr);
    if keeps { kept } else { own }
}

/// A learned route, as another peer sees it.
fn passed_on(
    to: &PeerInfo,
    peer: u32,
    prefix: Prefix,
    learned: &Usable<'_>,
) -> Option<PathAttributes> {
    if is_withheld(to, peer, prefix, learned) {
        return None;
    }
    let external = is_external(to);
    let reflected = is_reflected(to, learned.info);
    let subject = Subject {
        prefix,
        attrs: learned.attrs.clone(),
        source: learned.info.source,
        from: Some(&learned.info.name),
    };
    let outcome = read(to.policies.export.rules(), &subject).ok()?;
    let asked = outcome.overrides.contains(SafeDefault::LearnedRoutes);
    if !reflected && !to.export.transit && !asked {
        return None;
    }
    let set = outcome.next_hop;
    let mut attrs = outcome.attrs;
    attrs.next_hop = Some(next_hop(to, prefix, learned, set)?);
    let kept = attrs.next_hop == learned.attrs.next_hop;
    if !(kept && has_aigp(to) && has_aigp(learned.info)) {
        attrs.aigp = None;
    }
    let mut communities: BTreeSet<Community> = attrs.communities.iter().copied().collect();
    if learned.long_lived {
        communities.insert(Community::LLGR_STALE);
    }
    attrs.communities = communities.into_iter().collect();
    if external {
        if to.rules.remove_private_as {
            for segment in &mut attrs.as_path.segments {
                segment.asns.retain(|asn| asn.0 < 64512);
            }
            attrs.as_path.segments.retain(|s| !s.asns.is_empty());
        }
        let times = 1 + usize::from(outcome.prepend);
        attrs.as_path = attrs.as_path.prepend(to.local_as, times);
        attrs.med = attrs.med.filter(|_| outcome.med_decided);
        attrs.originator_id = None;
        attrs.cluster_list = Box::default();
        attrs.local_pref = None;
        if matches!(role(to), Some(Role::Provider | Role::Peer)) && attrs.otc.is_none() {
            attrs.otc = Some(to.local_as);
        }
    } else {
        attrs.local_pref = attrs.local_pref.or(Some(100));
        if reflected {
            attrs.originator_id = Some(originator(learned));
            let id = to
                .rules
                .cluster_id
                .unwrap_or(to.local_router_id.0.to_bits());
            attrs.cluster_list = [&[id], &*attrs.cluster_list].concat().into();
        }
    }
    Some(attrs)
}
