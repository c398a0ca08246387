//! Routes to prefixes that nobody has a path to: most of a full table.
//!
//! Such a route has no rivals: if it is usable it is best, and everybody concerned has to look. What
//! follows is the same for all of one UPDATE, so it is noted here and done at once for all of them.

use redstart_bgp::types::PrefixKey;

use super::decide::{Shared, place_alone};
use crate::{
    ids::{PeerIndex, PrefixId, Words},
    paths::{Path, Paths},
    table::Table,
};

/// What one peer brought, and nobody was told yet.
#[derive(Debug)]
pub(crate) struct Arrivals {
    from: PeerIndex,
    received: usize,
    /// Those among them that are usable.
    best: Words,
}

impl Arrivals {
    pub(crate) fn new(from: PeerIndex) -> Self {
        Self {
            from,
            received: 0,
            best: Words::default(),
        }
    }

    /// Puts a path that is not refused into an entry that has none, and takes a reference to its
    /// attributes.
    pub(crate) fn take<P: PrefixKey>(
        &mut self,
        table: &mut Table<P>,
        shared: &mut Shared,
        id: PrefixId,
        mut path: Path,
    ) {
        self.received += 1;
        if place_alone(&mut path, shared) {
            self.best.push(id);
        } else {
            table.wait_if_pending(id, path.attr, &shared.attrs);
        }
        shared.attrs.retain(path.attr);
        let entry = table.entry_mut(id);
        shared.touch_adj_in(id, entry.prefix, &path);
        if path.is_best() {
            shared.touch_loc_rib(id, entry.prefix);
        }
        entry.paths = Paths::One(path);
        shared.attrs.next_hops.disturb(entry.prefix);
    }

    /// Tells those concerned. Due before anything else is done with the table.
    pub(crate) fn settle<P: PrefixKey>(&mut self, table: &mut Table<P>, shared: &mut Shared) {
        if self.received == 0 {
            return;
        }
        if let Some(counts) = shared.peers.counts_mut(self.from, P::FAMILY) {
            counts.received += self.received;
            counts.best += self.best.len();
        }
        // One that the FIB has a route to has lost it, and is known to it as changed.
        table.fib_dirty.insert_new(&self.best);
        shared.peers.mark_listeners(P::FAMILY, &self.best);
        self.received = 0;
        self.best = Words::default();
    }
}
