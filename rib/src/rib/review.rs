//! Which prefixes of a table a peer has to look at again, found in pieces.
//!
//! Its policy changed, or its session has come up: each of a million prefixes may concern it, and nobody else is heard
//! while they are looked at. So a review goes through the table by a bounded number of slots, at each pull. A table that
//! has no more is looked through at once. Entries keep their slots, and whatever comes or changes meanwhile is marked
//! as ever, so that nothing is missed.
//!
//! What a peer *sent* is judged again in one piece: where one peer's route takes the place of another's, nobody must be
//! told that there is none.

use redstart_bgp::types::PrefixKey;

use super::decide::Shared;
use crate::{
    ids::{PeerIndex, PrefixId},
    peers::Peer,
    policy::{Difference, family_index},
    table::Table,
};

/// Slots that are looked at in one piece.
pub(crate) const PIECE: usize = 8192;

/// What is left of a table to be looked at: the entries of a number of slots, from one on and round and round, that
/// a difference concerns.
#[derive(Debug)]
pub(crate) struct Review {
    from: usize,
    left: usize,
    /// How many there were in all. What came later was marked when it came.
    slots: usize,
    difference: Difference,
}

impl Review {
    /// Of all slots of a table.
    const fn of(slots: usize, difference: Difference) -> Self {
        Self {
            from: 0,
            left: slots,
            slots,
            difference,
        }
    }

    /// Another difference has come up before the end: from here on once round, for both. Who changes policies again
    /// and again must not keep a part of the table from its turn.
    fn once_round(&mut self, slots: usize) {
        (self.left, self.slots) = (slots, slots);
        self.difference = Difference::Everything;
    }

    /// The next piece.
    fn next(&mut self, piece: usize) -> impl Iterator<Item = PrefixId> + use<> {
        if self.from == self.slots {
            self.from = 0;
        }
        let to = self.slots.min(self.from + piece.min(self.left));
        let next = self.from..to;
        self.left -= next.len();
        self.from = to;
        next.map(PrefixId::new)
    }

    const fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// A peer is to look again at what `difference` concerns.
pub(super) fn begin<P: PrefixKey>(
    table: &Table<P>,
    shared: &mut Shared,
    peer: PeerIndex,
    difference: &Difference,
) {
    let takes = |to: &&mut Peer| to.up && to.info.families.contains(P::FAMILY);
    let Some(to) = shared.peers.get_mut(peer).filter(takes) else {
        return;
    };
    if matches!(difference, Difference::Nothing) {
        return;
    }
    let slots = table.slots();
    match &mut to.out[family_index(P::FAMILY)].review {
        Some(review) => review.once_round(slots),
        none => *none = Some(Review::of(slots, difference.clone())),
    }
    if slots <= shared.piece {
        mark_piece(table, shared, peer);
    }
    shared.peers.set_ready(peer);
}

/// Marks the next piece of what a peer has to look at again.
pub(super) fn mark_piece<P: PrefixKey>(table: &Table<P>, shared: &mut Shared, peer: PeerIndex) {
    let piece = shared.piece;
    let Some(to) = shared.peers.get_mut(peer) else {
        return;
    };
    let out = &mut to.out[family_index(P::FAMILY)];
    let Some(review) = &mut out.review else {
        return;
    };
    for id in review.next(piece) {
        let entry = table.entry(id);
        let used = !entry.paths.is_empty() || entry.announced > 0;
        if used && review.difference.concerns(entry.prefix.into()) {
            out.dirty.insert(id);
        }
    }
    if review.is_over() {
        out.review = None;
    }
}
