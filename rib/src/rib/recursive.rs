//! Next hops through learned routes.
//!
//! The kernel's routes answer first ([`Answer`](crate::nexthop::Answer)). A learned route with a longer
//! prefix leads there instead, as a packet for the next hop would go: the nodes of another rack, say,
//! by what this rack's routers announce, though the kernel has a default route.
//!
//! One level of it: a path leads to a next hop if its own next hop is reached by the kernel's routes, and
//! by more than a default route: that leads to everything, also to what a learned route knows better, and
//! to the prefix itself whose route it would support. Which path that is depends on the kernel alone and
//! not on what next hops come to in the end, so no two paths can take each other's ground away and give it
//! back (RFC 4271 section 9.1.2.1, mutually recursive routes), and the order in which paths arrive makes
//! no difference. Routes of our own count neither for nor against: the kernel has its own ways to those.

use std::net::IpAddr;

use redstart_bgp::types::{Ipv4Prefix, Ipv6Prefix, PrefixKey};
use smallvec::SmallVec;

use super::{
    decide::{Shared, candidate_by},
    forward::share,
};
use crate::{
    decision::{self, Candidate},
    nexthop::{Resolved, Unresolved},
    paths::Path,
    table::{Entry, Table},
    tracking::{NextHopId, NextHopState, NextHops},
};

/// What a next hop comes to: the kernel's answer, or where the longest learned route leads.
pub(crate) fn state(
    v4: &Table<Ipv4Prefix>,
    v6: &Table<Ipv6Prefix>,
    shared: &Shared,
    id: NextHopId,
) -> NextHopState {
    let answer = shared.attrs.next_hops.answer(id);
    let learned = answer.yields_to.and_then(|longer| {
        let addr = shared.attrs.next_hops.addr(id);
        match addr {
            IpAddr::V4(_) => learned(v4, shared, addr, longer),
            IpAddr::V6(_) => learned(v6, shared, addr, longer),
        }
    });
    match (learned, &answer.state) {
        (Some(Ok(resolved)), _) => Ok(resolved),
        (Some(Err(why)), Err(Unresolved::NoRoute | Unresolved::OnlyDefaultRoute)) => Err(why),
        (_, state) => state.clone(),
    }
}

/// Where the longest learned route leads whose prefix has at least this length; `None` if none covers the
/// address.
fn learned<P: PrefixKey>(
    table: &Table<P>,
    shared: &Shared,
    addr: IpAddr,
    longer: u8,
) -> Option<NextHopState> {
    let mut found = None;
    let covering = table.covering(addr).map(|id| table.entry(id));
    for entry in covering.take_while(|entry| entry.prefix.len() >= longer) {
        if let Some(resolved) = lead(entry, shared) {
            return Some(Ok(resolved));
        }
        let is_learned = |path: &Path| !path.peer.is_local() && path.refused.is_none();
        if entry.paths.as_slice().iter().any(is_learned) {
            found = Some(Err(Unresolved::Recursive));
        }
    }
    found
}

/// Where an entry leads by the paths that the kernel's routes support: the best of them, and those that
/// share the traffic with it.
fn lead<P: PrefixKey>(entry: &Entry<P>, shared: &Shared) -> Option<Resolved> {
    let paths = entry.paths.as_slice().iter();
    let supported = paths
        .filter(|path| !path.peer.is_local() && is_supported(path, entry.prefix, shared))
        .filter_map(|path| Some((path, candidate_by(path, shared, NextHops::kernel_state)?)));
    let (paths, candidates): (SmallVec<[&Path; 8]>, SmallVec<[Candidate; 8]>) = supported.unzip();
    let ranking = decision::rank(&candidates);
    let max = shared.config.max_paths.into();
    let sharing = decision::multipath(&candidates, &ranking, max);
    let best = &candidates[ranking.first()?.index];
    // With AIGP (RFC 7311) the route says itself how far it is.
    let metric = best.aigp.unwrap_or_else(|| best.igp_metric.into());
    let states = ranking[..sharing].iter().filter_map(|ranked| {
        let next_hop = shared.attrs.hot(paths[ranked.index].attr).next_hop?;
        shared.attrs.next_hops.kernel_state(next_hop).as_ref().ok()
    });
    let mut gateways = share(states, max);
    gateways.sort_unstable();
    Some(Resolved {
        gateways,
        metric: u32::try_from(metric).unwrap_or(u32::MAX),
        through: Some(entry.prefix.into()),
    })
}

/// Whether the kernel's own routes lead to a path's next hop, and say more of it than the path's route to
/// `prefix` would.
fn is_supported<P: PrefixKey>(path: &Path, prefix: P, shared: &Shared) -> bool {
    let next_hops = &shared.attrs.next_hops;
    let Some(next_hop) = shared.attrs.hot(path.attr).next_hop else {
        return false;
    };
    match next_hops.answer(next_hop).yields_to {
        None => true,
        // No route, or a default route.
        Some(0 | 1) => false,
        Some(longer) => prefix.len() < longer || !prefix.into().contains(next_hops.addr(next_hop)),
    }
}
