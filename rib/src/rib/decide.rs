//! The decision process on table entries: what changes for one prefix, and whom that concerns.
//!
//! Whoever changes the paths of a prefix takes a [`Standing`] first and calls [`redecide`] after:
//! the difference between the two says which peers have to look again and whether the FIB has to.
//! Whoever adds one has [`join`] do it all, and whoever takes one out [`leave`].

use redstart_bgp::{session::PeerId, types::PrefixKey};
use smallvec::SmallVec;

use crate::{
    attrs::AttrStore,
    decision::{self, Candidate, Joined},
    ids::{AttrId, PeerIndex, PrefixId, Words},
    owners::Owners,
    paths::Path,
    peers::{Peer, PeerInfo, Peers, SessionKind},
    rib::{RibConfig, observe::Observers},
    table::{Entry, Table},
    tracking::{NextHopId, NextHopState, NextHops},
};

/// What both families share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: RibConfig,
    pub(crate) attrs: AttrStore,
    pub(crate) peers: Peers,
    /// Whose the prefixes of the mesh are.
    pub(crate) owners: Owners,
    /// Who looks on.
    pub(crate) observers: Observers,
    /// Seconds of the daemon's clock.
    pub(crate) now: u32,
    /// Slots that a peer looks at in one piece, in tables that it looks through again.
    pub(crate) piece: usize,
}

/// The outcome of a decision, as others depend on it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    best: Option<(PeerIndex, AttrId, u32, bool)>,
    pub(crate) forwarding: SmallVec<[NextHopId; 8]>,
}

impl Standing {
    pub(crate) fn of<P>(entry: &Entry<P>, attrs: &AttrStore) -> Self {
        let mut standing = Self {
            best: None,
            forwarding: SmallVec::new(),
        };
        for path in entry.paths.as_slice() {
            if !path.is_multipath() {
                break;
            }
            standing
                .best
                .get_or_insert((path.peer, path.attr, path.path_id, path.is_long_lived()));
            if let Some(next_hop) = attrs.hot(path.attr).next_hop {
                standing.forwarding.push(next_hop);
            }
        }
        standing
    }

    fn best_peer(&self) -> Option<PeerIndex> {
        self.best.map(|(peer, ..)| peer)
    }

    fn is_local(&self) -> bool {
        self.best_peer().is_some_and(PeerIndex::is_local)
    }
}

/// Whether the path is a candidate at all.
fn is_candidate(path: &Path, shared: &Shared) -> bool {
    let reached = |next_hop| shared.attrs.next_hops.state(next_hop).is_ok();
    path.refused.is_none()
        && (path.peer.is_local() || shared.attrs.hot(path.attr).next_hop.is_some_and(reached))
}

/// The path as a candidate, or `None` if it is not usable: refused, or its next hop can't be reached.
/// RFC 4271 section 9.1.2: "If the NEXT_HOP attribute of a BGP route depicts an address that is not
/// resolvable ... the BGP route MUST be excluded from the Phase 2 decision function."
pub(crate) fn candidate(path: &Path, shared: &Shared) -> Option<Candidate> {
    candidate_by(path, shared, NextHops::state)
}

/// The same, with next hops that come to what `reach` says.
#[inline]
pub(crate) fn candidate_by(
    path: &Path,
    shared: &Shared,
    reach: impl Fn(&NextHops, NextHopId) -> &NextHopState,
) -> Option<Candidate> {
    if path.refused.is_some() {
        return None;
    }
    let hot = shared.attrs.hot(path.attr);
    let mut candidate = Candidate {
        local: path.peer.is_local(),
        long_lived_stale: path.is_long_lived() || hot.long_lived_stale,
        local_pref: hot.local_pref,
        aigp: None,
        path_len: hot.path_len,
        origin: hot.origin,
        neighbor_as: hot.neighbor_as,
        med: hot.med,
        ebgp: false,
        igp_metric: 0,
        router_id: 0,
        cluster_len: hot.cluster_len,
        peer_addr: std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        peer: 0,
        path_id: path.path_id,
    };
    if candidate.local {
        return Some(candidate);
    }
    let resolved = reach(&shared.attrs.next_hops, hot.next_hop?)
        .as_ref()
        .ok()?;
    let peer = shared.peers.get(path.peer)?;
    if removes_med(shared, &peer.info, path.attr) {
        candidate.med = 0;
    }
    if peer.info.local_as_received().is_some() {
        candidate.path_len = candidate.path_len.saturating_add(1);
    }
    candidate.igp_metric = resolved.metric;
    // RFC 7311 section 4.1: the distance to the next hop is added, and never wraps around.
    let has_aigp = hot.has_aigp && peer.info.has_aigp();
    let metric = has_aigp.then(|| shared.attrs.aigp(path.attr)).flatten();
    candidate.aigp = metric.map(|metric| metric.saturating_add(resolved.metric.into()));
    candidate.ebgp = peer.info.kind == SessionKind::Ebgp;
    candidate.router_id = match hot.originator_id {
        0 => peer.info.router_id.0.to_bits(),
        originator => originator,
    };
    candidate.peer_addr = peer.info.remote_addr;
    candidate.peer = peer.id.0;
    Some(candidate)
}

/// Whether the MED of a route is taken away because of who sent it. Where a policy made the route what
/// it is, that was done before, and the MED that it has is the policy's.
pub(crate) fn removes_med(shared: &Shared, from: &PeerInfo, attr: AttrId) -> bool {
    from.rules.remove_med && !shared.attrs.is_imported(attr)
}

/// The peers that told usable paths to `prefix`, `with_stale` ones or without.
pub(crate) fn tellers<P: PrefixKey>(
    table: &Table<P>,
    shared: &Shared,
    prefix: P,
    with_stale: bool,
) -> Vec<PeerId> {
    let Some(id) = table.find(prefix) else {
        return Vec::new();
    };
    let paths = table.entry(id).paths.as_slice().iter();
    let usable = paths.filter(|path| {
        let counts = !path.peer.is_local() && (with_stale || !path.is_stale());
        counts && candidate(path, shared).is_some()
    });
    let peers = usable.filter_map(|path| Some(shared.peers.get(path.peer)?.id));
    peers.collect()
}

/// Decides about a path without rivals; whether it is usable.
pub(crate) fn place_alone(path: &mut Path, shared: &Shared) -> bool {
    let usable = is_candidate(path, shared);
    if usable {
        path.place(true, true);
    } else {
        path.place_out();
    }
    usable
}

/// Puts the paths in order and marks the best and those that share the traffic with it.
fn elect(paths: &mut [Path], shared: &Shared) {
    match paths {
        [] => return,
        [only] => {
            place_alone(only, shared);
            return;
        }
        _ => {}
    }
    let mut usable: SmallVec<[Path; 8]> = SmallVec::with_capacity(paths.len());
    let mut candidates: SmallVec<[Candidate; 8]> = SmallVec::with_capacity(paths.len());
    let mut rest: SmallVec<[Path; 8]> = SmallVec::new();
    for path in &*paths {
        match candidate(path, shared) {
            Some(c) => {
                candidates.push(c);
                usable.push(*path);
            }
            None => rest.push(*path),
        }
    }
    let ranking = decision::rank(&candidates);
    let sharing = decision::multipath(&candidates, &ranking, shared.config.max_paths.into());
    let ordered = ranking.iter().enumerate().map(|(place, ranked)| {
        let mut path = usable[ranked.index];
        path.place(place == 0, place < sharing);
        path
    });
    let unusable = rest.iter().map(|path| {
        let mut path = *path;
        path.place_out();
        path
    });
    for (slot, path) in paths.iter_mut().zip(ordered.chain(unusable)) {
        *slot = path;
    }
}

/// Adds a path whose peer and path identifier are not in the entry, and decides `id` again. What is decided
/// already stays in order: the new path is led to its place there, and most often that is behind all that
/// matters to anybody.
pub(crate) fn join<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    id: PrefixId,
    mut path: Path,
) {
    let entry = table.entry_mut(id);
    let paths = entry.paths.as_slice();
    let new = candidate(&path, shared);
    let joined = new.and_then(|new| find_place(paths, &new, shared));
    let place = joined.map_or(paths.len(), |joined| joined.place);
    let is_behind = joined.map_or(new.is_none(), |joined| place >= joined.sharing);
    if is_behind {
        if joined.is_some() {
            path.place(false, false);
        }
        entry.paths.insert(place, path);
        shared.attrs.next_hops.disturb(entry.prefix);
        mark_takers_of_paths::<P>(shared, id);
        return;
    }
    let before = Standing::of(entry, &shared.attrs);
    path.place(false, false);
    entry.paths.insert(place, path);
    let paths = entry.paths.as_mut_slice();
    match joined {
        Some(joined) => share(paths, joined.sharing),
        None => elect(paths, shared),
    }
    conclude(table, shared, id, &before);
}

/// Takes the path at `place` out of the entry, and decides `id` again. Those that are left stay in order, and if it
/// was behind all that matters to anybody, nothing else changes.
pub(crate) fn leave<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    id: PrefixId,
    place: usize,
) {
    let entry = table.entry_mut(id);
    let before = Standing::of(entry, &shared.attrs);
    let sharing = sharing(entry.paths.as_slice());
    let Some(gone) = entry.paths.remove(place) else {
        return;
    };
    let paths = entry.paths.as_mut_slice();
    match find_rest(paths, (&gone, place), sharing, shared) {
        Some(_) if place >= sharing => {}
        Some(sharing) => share(paths, sharing),
        None => elect(paths, shared),
    }
    conclude(table, shared, id, &before);
}

/// Where a new path has its place among those that are decided about, unless all of them have to be.
fn find_place(paths: &[Path], new: &Candidate, shared: &Shared) -> Option<Joined> {
    let most = shared.config.max_paths.into();
    let ranked = |place| candidate(paths.get(place)?, shared);
    decision::join(new, usable(paths), ranked, (sharing(paths), most))
}

/// How many share the traffic now that one is gone from a place, unless all have to be decided about.
fn find_rest(
    paths: &[Path],
    (gone, place): (&Path, usize),
    sharing: usize,
    shared: &Shared,
) -> Option<usize> {
    if !gone.is_usable() {
        return Some(sharing);
    }
    let gone = candidate(gone, shared)?;
    let most = shared.config.max_paths.into();
    let ranked = |place| candidate(paths.get(place)?, shared);
    decision::leave((&gone, place), usable(paths), ranked, (sharing, most))
}

/// How many took part in the last decision: the first ones.
fn usable(paths: &[Path]) -> usize {
    paths.iter().take_while(|path| path.is_usable()).count()
}

/// How many of them share the traffic.
fn sharing(paths: &[Path]) -> usize {
    paths.iter().take_while(|path| path.is_multipath()).count()
}

/// Marks the best, and those that share the traffic with it, among paths that are in order.
fn share(paths: &mut [Path], sharing: usize) {
    let usable = paths.iter_mut().take_while(|path| path.is_usable());
    for (place, path) in usable.enumerate() {
        path.place(place == 0, place < sharing);
    }
}

/// Decides `id` again after a change, and tells those whom the difference to `before` concerns.
pub(crate) fn redecide<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    id: PrefixId,
    before: &Standing,
) {
    elect(table.entry_mut(id).paths.as_mut_slice(), shared);
    conclude(table, shared, id, before);
}

/// Tells those whom the difference to `before` concerns: peers, the FIB, and next hops that the prefix leads
/// to.
fn conclude<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    id: PrefixId,
    before: &Standing,
) {
    let entry = table.entry(id);
    let prefix = entry.prefix;
    shared.attrs.next_hops.disturb(prefix);
    let after = Standing::of(entry, &shared.attrs);
    let best_changed = before.best != after.best;
    // Nobody else can have been told: a peer that takes no learned routes holds at most our own.
    let local = best_changed && (before.is_local() || after.is_local());
    if local {
        shared.peers.mark(P::FAMILY, id, |_| true);
    } else if best_changed {
        shared
            .peers
            .mark_listeners(P::FAMILY, &Words::from_iter([id]));
    } else {
        mark_takers_of_paths::<P>(shared, id);
    }
    if best_changed {
        count_best::<P>(shared, before.best_peer(), after.best_peer());
        shared.touch_loc_rib(id, prefix);
    }
    if before.forwarding != after.forwarding || before.is_local() != after.is_local() {
        match entry.is_in_fib() {
            true => table.fib_dirty.insert(id),
            false => table.fib_dirty.insert_new(&Words::from_iter([id])),
        }
    }
    table.forget_if_unused(id);
}

/// Has those look again that are told of more paths than the best.
fn mark_takers_of_paths<P: PrefixKey>(shared: &mut Shared, id: PrefixId) {
    let audience = shared.peers.audience();
    if audience.add_path {
        let concerned = |peer: &Peer| peer.takes_paths(P::FAMILY) && audience.contains(peer);
        shared.peers.mark(P::FAMILY, id, concerned);
    }
}

fn count_best<P: PrefixKey>(
    shared: &mut Shared,
    before: Option<PeerIndex>,
    after: Option<PeerIndex>,
) {
    if let Some(counts) = before.and_then(|peer| shared.peers.counts_mut(peer, P::FAMILY)) {
        counts.best -= 1;
    }
    if let Some(counts) = after.and_then(|peer| shared.peers.counts_mut(peer, P::FAMILY)) {
        counts.best += 1;
    }
}

/// Decides every prefix of the table again, where something changed that all depend on.
pub(crate) fn redecide_all<P: PrefixKey>(table: &mut Table<P>, shared: &mut Shared) {
    for id in table.ids() {
        if table.entry(id).paths.is_empty() {
            continue;
        }
        let before = Standing::of(table.entry(id), &shared.attrs);
        redecide(table, shared, id, &before);
        table.fib_dirty.insert(id);
    }
}
