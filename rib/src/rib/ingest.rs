//! The Adj-RIB-In side: routes come, change and go, one family at a time.

use redstart_bgp::types::{Community, Family, PathAttributes, PrefixKey, Span};
use smallvec::SmallVec;

use super::{
    admit::Admission,
    arrivals::Arrivals,
    decide::{Shared, Standing, join, leave, redecide},
    departures::Departures,
};
use crate::{
    ids::{PeerIndex, PrefixId},
    import::{self, Refusal, RefusalCounts},
    index::AHEAD,
    limit::LimitState,
    paths::Path,
    policy::Difference,
    table::Table,
};

/// What became of the routes of one UPDATE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnnounceOutcome {
    /// Routes that passed the checks.
    pub accepted: usize,
    /// Those among them that the peer had told just so before.
    pub repeated: usize,
    /// Routes that did not, by reason.
    pub refused: RefusalCounts,
    /// Where the peer stands now with the number of routes of this family that it may send. To end
    /// the session is up to the caller.
    pub limit: LimitState,
}

/// Takes routes from a peer that is up.
pub(crate) fn announce<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    from: PeerIndex,
    attrs: &PathAttributes,
    routes: Span<'_, P>,
) -> AnnounceOutcome {
    let mut outcome = AnnounceOutcome::default();
    let Some(peer) = shared.peers.get(from) else {
        return outcome;
    };
    if !peer.info.families.contains(P::FAMILY) {
        let of_family = routes.these.iter();
        of_family.for_each(|_| outcome.refused.add(Refusal::Family));
        return outcome;
    }
    let attrs = import::normalize(&peer.info, attrs);
    let refused = import::refuses_attributes(&peer.info, &attrs);
    // One reference of our own for the loop; each path takes another.
    let received = shared.attrs.intern_received(&attrs, peer.info.interface);
    let mut admission = Admission::new(shared, from, P::FAMILY);
    let mut arrivals = Arrivals::new(from);
    for (at, nlri) in routes.these.iter().enumerate() {
        let (attr, refused) = match refused {
            Some(_) => (received, refused),
            None => admission.judge(shared, nlri.prefix.into(), received),
        };
        let mut path = Path::new(attr, from, nlri.path_id.0, shared.now);
        path.refused = refused;
        let coming = || coming(routes, at);
        let id = table.find_or_insert_with(nlri.prefix, coming, &shared.attrs);
        let put = if refused.is_none() && table.entry(id).paths.is_empty() {
            arrivals.take(table, shared, id, path);
            Put::Changed
        } else {
            arrivals.settle(table, shared);
            put(table, shared, id, path)
        };
        // What is beyond the limit is not held, whatever else speaks against it.
        let beyond = (put == Put::Beyond).then_some(Refusal::TooManyPaths);
        match beyond.or(refused) {
            Some(reason) => outcome.refused.add(reason),
            None => {
                outcome.accepted += 1;
                outcome.repeated += usize::from(put == Put::Same);
            }
        }
    }
    arrivals.settle(table, shared);
    admission.finish(shared);
    shared.attrs.release(received);
    if let Some(peer) = shared.peers.get(from) {
        outcome.limit = peer.limit_state(P::FAMILY);
    }
    outcome
}

/// What putting a path in led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Put {
    /// It is there now.
    Changed,
    /// It was there already.
    Same,
    /// The peer has as many paths to the prefix as it may, and this one is not held.
    Beyond,
}

/// Puts a path in, in place of the peer's earlier one, and takes a reference to its attributes.
pub(crate) fn upsert<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    prefix: P,
    path: Path,
) {
    let id = table.find_or_insert(prefix);
    put(table, shared, id, path);
}

/// As [`upsert`], for the prefix of an entry.
fn put<P: PrefixKey>(table: &mut Table<P>, shared: &mut Shared, id: PrefixId, path: Path) -> Put {
    let paths = &table.entry(id).paths;
    match paths.position(path.peer, path.path_id) {
        Some(at) => return replace(table, shared, (id, at), path),
        None if paths.is_full(path.peer) => return Put::Beyond,
        None => {}
    }
    take(table, shared, id, &path);
    join(table, shared, id, path);
    Put::Changed
}

/// Puts a path in the place of the same peer's earlier one.
fn replace<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    (id, at): (PrefixId, usize),
    path: Path,
) -> Put {
    let entry = table.entry_mut(id);
    let old = entry.paths.as_slice()[at];
    if old.attr == path.attr && old.refused == path.refused {
        confirm(table, shared, (id, at));
        return Put::Same;
    }
    let before = Standing::of(entry, &shared.attrs);
    entry.paths.as_mut_slice()[at] = path;
    count_remove(shared, P::FAMILY, &old);
    take(table, shared, id, &path);
    redecide(table, shared, id, &before);
    // Only now: while both are held, they cannot be mistaken for each other.
    shared.attrs.release(old.attr);
    Put::Changed
}

/// The peer has said the same again. Nothing else follows, unless that was the last resort.
fn confirm<P: PrefixKey>(table: &mut Table<P>, shared: &mut Shared, (id, at): (PrefixId, usize)) {
    let entry = table.entry_mut(id);
    let kept = entry.paths.as_slice()[at];
    let last_resort = kept.is_long_lived();
    let before = last_resort.then(|| Standing::of(entry, &shared.attrs));
    entry.paths.as_mut_slice()[at].confirm();
    if kept.is_stale() {
        if let Some(counts) = shared.peers.counts_mut(kept.peer, P::FAMILY) {
            counts.stale -= 1;
        }
        shared.touch_adj_in(id, entry.prefix, &kept);
    }
    if let Some(before) = before {
        redecide(table, shared, id, &before);
    }
}

/// What is due for each path that comes in, whatever is decided about it.
fn take<P: PrefixKey>(table: &mut Table<P>, shared: &mut Shared, id: PrefixId, path: &Path) {
    count_add(shared, P::FAMILY, path);
    shared.touch_adj_in(id, table.entry(id).prefix, path);
    shared.attrs.retain(path.attr);
    table.wait_if_pending(id, path.attr, &shared.attrs);
}

fn count_add(shared: &mut Shared, family: Family, path: &Path) {
    if let Some(counts) = shared.peers.counts_mut(path.peer, family) {
        counts.received += 1;
        counts.stale += usize::from(path.is_stale());
        if let Some(reason) = path.refused {
            counts.refused.add(reason);
        }
    }
}

fn count_remove(shared: &mut Shared, family: Family, path: &Path) {
    if let Some(counts) = shared.peers.counts_mut(path.peer, family) {
        counts.received -= 1;
        counts.stale -= usize::from(path.is_stale());
        if let Some(reason) = path.refused {
            counts.refused.sub(reason);
        }
    }
}

/// Takes a path out; whether it was there.
pub(crate) fn remove<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    id: PrefixId,
    peer: PeerIndex,
    path_id: u32,
) -> bool {
    let entry = table.entry(id);
    let Some(at) = entry.paths.position(peer, path_id) else {
        return false;
    };
    let path = entry.paths.as_slice()[at];
    count_remove(shared, P::FAMILY, &path);
    shared.touch_adj_in(id, entry.prefix, &path);
    leave(table, shared, id, at);
    shared.attrs.release(path.attr);
    true
}

/// Routes that a peer takes back; how many of them there were.
pub(crate) fn withdraw<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    from: PeerIndex,
    routes: Span<'_, P>,
) -> usize {
    let mut removed = 0;
    let mut departures = Departures::new(from);
    for (at, nlri) in routes.these.iter().enumerate() {
        let found = table.find_with(nlri.prefix, || coming(routes, at), &shared.attrs);
        if let Some(id) = found {
            let path = (id, from, nlri.path_id.0);
            removed += usize::from(take_out(table, shared, &mut departures, path));
        }
    }
    departures.settle(table, shared);
    removed
}

/// As [`remove`], where many may go. Those that went are due to be settled.
fn take_out<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    departures: &mut Departures,
    (id, from, path_id): (PrefixId, PeerIndex, u32),
) -> bool {
    departures.take(table, shared, id, path_id) || remove(table, shared, id, from, path_id)
}

/// The prefixes that are dealt with from one of the routes on, as far as is known.
fn coming<P: PrefixKey>(routes: Span<'_, P>, at: usize) -> impl Iterator<Item = P> + Clone {
    let these = routes.these.get(at..).unwrap_or_default();
    these.iter().chain(routes.next).map(|nlri| nlri.prefix)
}

/// The path identifiers of one peer's paths in an entry.
fn path_ids<P: PrefixKey>(
    table: &Table<P>,
    id: PrefixId,
    peer: PeerIndex,
    pick: impl Fn(&Path) -> bool,
) -> SmallVec<[u32; 4]> {
    let paths = table.entry(id).paths.as_slice().iter();
    paths
        .filter(|path| path.peer == peer && pick(path))
        .map(|path| path.path_id)
        .collect()
}

/// Whether a peer has any route in the table; saves walking through it.
fn has_routes<P: PrefixKey>(shared: &Shared, peer: PeerIndex) -> bool {
    let family = crate::policy::family_index(P::FAMILY);
    let counts = shared.peers.get(peer).map(|p| p.counts[family]);
    counts.is_some_and(|c| c.received > 0)
}

/// Removes those of a peer's paths that `pick` picks.
pub(crate) fn flush<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    peer: PeerIndex,
    pick: impl Fn(&Path) -> bool,
) {
    if !has_routes::<P>(shared, peer) {
        return;
    }
    let mut departures = Departures::new(peer);
    for id in table.ids() {
        if id.index().is_multiple_of(AHEAD) {
            table.fetch_from(id, &shared.attrs);
        }
        for path_id in path_ids(table, id, peer, &pick) {
            take_out(table, shared, &mut departures, (id, peer, path_id));
        }
    }
    departures.settle(table, shared);
}

/// The peer restarts: its routes stay and are stale. RFC 4724 section 4.2: "To deal with possible
/// consecutive restarts, a route (from the peer) previously marked as stale MUST be deleted." One that
/// is stale for long has a time of its own, which goes on (RFC 9494 section 4.2).
pub(crate) fn retain_stale<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    peer: PeerIndex,
) {
    let left_over = |path: &Path| path.is_stale() && !path.is_long_lived();
    flush(table, shared, peer, left_over);
    if !has_routes::<P>(shared, peer) {
        return;
    }
    let mut marked = 0;
    for id in table.ids() {
        for path in table.entry_mut(id).paths.as_mut_slice() {
            if path.peer == peer {
                marked += usize::from(!path.is_stale());
                path.set_stale();
            }
        }
    }
    if let Some(counts) = shared.peers.counts_mut(peer, P::FAMILY) {
        counts.stale += marked;
    }
}

/// The peer did not come back within its restart time: its stale routes are a last resort from now
/// on. RFC 9494 section 4.2: those with NO_LLGR must go.
pub(crate) fn retain_long<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    peer: PeerIndex,
) {
    for id in table.ids() {
        for path_id in path_ids(table, id, peer, Path::is_stale) {
            let entry = table.entry_mut(id);
            let before = Standing::of(entry, &shared.attrs);
            let Some(path) = entry.paths.find_mut(peer, path_id) else {
                continue;
            };
            let attrs = shared.attrs.get(path.attr);
            if attrs.has_community(Community::NO_LLGR) {
                remove(table, shared, id, peer, path_id);
            } else {
                path.set_long_lived();
                redecide(table, shared, id, &before);
            }
        }
    }
}

/// The peer says everything again: what it does not repeat is to go at the end.
pub(crate) fn await_all<P: PrefixKey>(table: &mut Table<P>, shared: &Shared, peer: PeerIndex) {
    if !has_routes::<P>(shared, peer) {
        return;
    }
    for id in table.ids() {
        let paths = table.entry_mut(id).paths.as_mut_slice();
        for path in paths.iter_mut().filter(|path| path.peer == peer) {
            path.set_awaited();
        }
    }
}

/// Judges again those of a peer's routes that `difference` concerns, after what it is judged by
/// changed.
pub(crate) fn rejudge<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    from: PeerIndex,
    difference: &Difference,
) {
    if !has_routes::<P>(shared, from) {
        return;
    }
    let mut admission = Admission::new(shared, from, P::FAMILY);
    for id in table.ids() {
        if difference.concerns(table.entry(id).prefix.into()) {
            rejudge_entry(table, shared, &mut admission, (id, from));
        }
    }
    admission.finish(shared);
}

/// Judges every path to `prefix` again, after it changed hands.
pub(crate) fn rejudge_prefix<P: PrefixKey>(table: &mut Table<P>, shared: &mut Shared, prefix: P) {
    let Some(id) = table.find(prefix) else {
        return;
    };
    let paths = table.entry(id).paths.as_slice().iter();
    let mut peers: SmallVec<[PeerIndex; 4]> = paths
        .map(|path| path.peer)
        .filter(|peer| !peer.is_local())
        .collect();
    peers.sort_unstable();
    peers.dedup();
    for from in peers {
        let mut admission = Admission::new(shared, from, P::FAMILY);
        rejudge_entry(table, shared, &mut admission, (id, from));
        admission.finish(shared);
    }
}

fn rejudge_entry<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    admission: &mut Admission,
    (id, from): (PrefixId, PeerIndex),
) {
    for path_id in path_ids(table, id, from, |_| true) {
        rejudge_path(table, shared, admission, (id, from, path_id));
    }
}

fn rejudge_path<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    admission: &mut Admission,
    (id, from, path_id): (PrefixId, PeerIndex, u32),
) {
    let entry = table.entry_mut(id);
    let before = Standing::of(entry, &shared.attrs);
    let prefix = entry.prefix.into();
    let Some(path) = entry.paths.find_mut(from, path_id) else {
        return;
    };
    let known = shared.attrs.received(path.attr);
    let (received, refused) = admission.check(shared, known);
    let (attr, refused) = match refused {
        Some(_) => (received, refused),
        None => admission.judge(shared, prefix, received),
    };
    count_remove(shared, P::FAMILY, path);
    path.refused = refused;
    let replaced = core::mem::replace(&mut path.attr, shared.attrs.retain(attr));
    count_add(shared, P::FAMILY, path);
    let touched = *path;
    shared.touch_adj_in(id, entry.prefix, &touched);
    table.wait_if_pending(id, attr, &shared.attrs);
    // Also where nothing changed here: rules of the peer may have a say in the decision itself.
    redecide(table, shared, id, &before);
    // Only now: while both are held, they cannot be mistaken for each other.
    shared.attrs.release(replaced);
}
