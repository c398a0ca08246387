//! A prefix loses the only path that it has.
//!
//! Such a path was best, and nothing is left to decide about: everybody who was told of it has to look. What follows
//! is the same for all paths of one peer, so it is noted here and done for some of them at once.

use redstart_bgp::types::PrefixKey;
use smallvec::SmallVec;

use super::decide::Shared;
use crate::{
    ids::{PeerIndex, PrefixId, Words},
    paths::Paths,
    table::Table,
};

/// How many are noted at most.
const MOST: usize = 64;

/// Prefixes that one peer's only paths have left, and nobody was told yet.
#[derive(Debug)]
pub(crate) struct Departures {
    from: PeerIndex,
    stale: usize,
    left: SmallVec<[PrefixId; MOST]>,
}

impl Departures {
    pub(crate) fn new(from: PeerIndex) -> Self {
        debug_assert!(!from.is_local(), "routes of our own concern others");
        Self {
            from,
            stale: 0,
            left: SmallVec::new_const(),
        }
    }

    /// Takes out a path of the peer if it is the only one, and the best. Otherwise `false`: then others have a say.
    pub(crate) fn take<P: PrefixKey>(
        &mut self,
        table: &mut Table<P>,
        shared: &mut Shared,
        id: PrefixId,
        path_id: u32,
    ) -> bool {
        let entry = table.entry_mut(id);
        let &[path] = entry.paths.as_slice() else {
            return false;
        };
        let is_it = path.peer == self.from && path.path_id == path_id;
        if !is_it || !path.is_best() {
            return false;
        }
        entry.paths = Paths::Empty;
        shared.touch_adj_in(id, entry.prefix, &path);
        shared.touch_loc_rib(id, entry.prefix);
        shared.attrs.next_hops.disturb(entry.prefix);
        shared.attrs.release(path.attr);
        self.stale += usize::from(path.is_stale());
        self.left.push(id);
        if self.left.len() == MOST {
            self.settle(table, shared);
        }
        true
    }

    /// Tells those concerned. Due at the end, and before any route is added.
    pub(crate) fn settle<P: PrefixKey>(&mut self, table: &mut Table<P>, shared: &mut Shared) {
        if self.left.is_empty() {
            return;
        }
        if let Some(counts) = shared.peers.counts_mut(self.from, P::FAMILY) {
            counts.received -= self.left.len();
            counts.best -= self.left.len();
            counts.stale -= self.stale;
        }
        let left: Words = self.left.iter().copied().collect();
        table.fib_dirty.insert_all(&left);
        shared.peers.mark_listeners(P::FAMILY, &left);
        for id in self.left.drain(..) {
            table.forget_if_unused(id);
        }
        self.stale = 0;
    }
}
