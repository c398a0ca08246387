//! A RIB as one would write it on a whiteboard: keep what every peer said, compute everything from it
//! when asked, remember nothing else. Slow, and plainly what the RFCs say.

use super::*;

/// A route as a peer sent it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) attrs: PathAttributes,
    pub(super) stale: bool,
}

#[derive(Clone, Debug)]
pub(super) struct NaivePeer {
    pub(super) info: PeerInfo,
    pub(super) up: bool,
    pub(super) routes: BTreeMap<Prefix, Held>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Naive {
    pub(super) peers: BTreeMap<u32, NaivePeer>,
    pub(super) originations: BTreeMap<Prefix, Origination>,
    pub(super) links: Links,
    pub(super) max_paths: usize,
}

/// A usable learned path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usable<'a> {
    pub(super) peer: u32,
    info: &'a PeerInfo,
    attrs: &'a PathAttributes,
    metric: u32,
}

impl Naive {
    /// Whether the import policy and the checks let the route in.
    pub(super) fn accepts(info: &PeerInfo, prefix: Prefix, attrs: &PathAttributes) -> bool {
        let external = info.kind == SessionKind::Ebgp;
        let looped = attrs.as_path.iter().any(|asn| asn == info.local_as);
        let first = attrs.as_path.iter().next() == Some(info.remote_as);
        let policy = match &info.import {
            ImportPolicy::Exactly(set) => set.contains(&prefix),
            ImportPolicy::AllBut {
                refuse,
                default_route,
            } => {
                let default = prefix.len() == 0;
                (default && *default_route)
                    || (!default && !refuse.iter().any(|refused| refused.covers(prefix)))
            }
        };
        !looped && (!external || first) && policy
    }

    fn usable(&self, prefix: Prefix) -> Vec<Usable<'_>> {
        let held = self.peers.iter().filter_map(|(peer, state)| {
            let held = state.routes.get(&prefix)?;
            let metric = *self.links.0.get(&held.attrs.next_hop?.addr())?;
            Self::accepts(&state.info, prefix, &held.attrs).then_some(Usable {
                peer: *peer,
                info: &state.info,
                attrs: &held.attrs,
                metric,
            })
        });
        held.collect()
    }

    /// The learned paths that share the traffic, the best one first: RFC 4271 section 9.1.2.2, by
    /// elimination.
    pub(super) fn multipath(&self, prefix: Prefix) -> Vec<Usable<'_>> {
        let mut left = self.usable(prefix);
        let keep = |left: &mut Vec<Usable<'_>>, key: &dyn Fn(&Usable<'_>) -> i64| {
            let best = left.iter().map(key).min();
            left.retain(|u| Some(key(u)) == best);
        };
        keep(&mut left, &|u| match u.info.kind {
            SessionKind::Ibgp => -i64::from(u.attrs.local_pref.unwrap_or(100)),
            SessionKind::Ebgp => -100,
        });
        keep(&mut left, &|u| u.attrs.as_path.iter().count() as i64);
        keep(&mut left, &|u| u.attrs.origin as i64);
        let neighbor = |u: &Usable<'_>| u.attrs.as_path.iter().next();
        let all = left.clone();
        left.retain(|u| {
            let med = u.attrs.med.unwrap_or(0);
            let beaten =
                |o: &Usable<'_>| neighbor(o) == neighbor(u) && o.attrs.med.unwrap_or(0) < med;
            !all.iter().any(beaten)
        });
        keep(&mut left, &|u| i64::from(u.info.kind == SessionKind::Ibgp));
        keep(&mut left, &|u| u.metric.into());
        left.sort_by_key(|u| {
            let originator = u
                .attrs
                .originator_id
                .filter(|_| u.info.kind == SessionKind::Ibgp);
            let clusters = match u.info.kind {
                SessionKind::Ibgp => u.attrs.cluster_list.len(),
                SessionKind::Ebgp => 0,
            };
            (
                originator.unwrap_or(u.info.router_id),
                clusters,
                u.info.remote_addr,
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
        let hops = self.multipath(prefix);
        let gateways = hops
            .iter()
            .filter_map(|u| Some(Gateway::via(u.attrs.next_hop?.addr(), 1)));
        let set: crate::nexthop::NexthopSet = gateways.collect();
        (!set.is_empty()).then(|| Route::unicast(set))
    }

    /// What a peer shall hold from us.
    pub(super) fn told(&self, peer: u32, prefix: Prefix) -> Option<PathAttributes> {
        let to = &self.peers.get(&peer)?.info;
        let external = to.kind == SessionKind::Ebgp;
        let next_hop = match prefix {
            Prefix::V4(_) => to.next_hop_self.v4?,
            Prefix::V6(_) => to.next_hop_self.v6?,
        };
        let mut attrs;
        if let Some(own) = self.originations.get(&prefix) {
            let entry = own.advertise.iter().find(|a| a.to.contains(PeerId(peer)))?;
            attrs = PathAttributes {
                med: entry.med,
                communities: entry.communities.iter().copied().collect(),
                ..PathAttributes::default()
            };
            let times = if external { 1 + entry.prepend } else { 0 };
            attrs.as_path = AsPath::sequence((0..times).map(|_| to.local_as));
            attrs.local_pref = entry.local_pref.or(Some(100)).filter(|_| !external);
        } else {
            let best = *self.multipath(prefix).first()?;
            let both_internal = !external && best.info.kind == SessionKind::Ibgp;
            let through = external && best.attrs.as_path.iter().any(|asn| asn == to.remote_as);
            if !to.export.transit || best.peer == peer || both_internal || through {
                return None;
            }
            attrs = best.attrs.clone();
            if external {
                attrs.as_path = attrs.as_path.prepend(to.local_as, 1);
                attrs.med = None;
                attrs.originator_id = None;
                attrs.cluster_list = Box::default();
                attrs.local_pref = None;
            } else {
                // Learned by eBGP: what it said of LOCAL_PREF and the rest does not count.
                attrs.local_pref = Some(100);
                attrs.originator_id = None;
                attrs.cluster_list = Box::default();
            }
        }
        attrs.next_hop = Some(next_hop);
        Some(attrs)
    }
}
