//! Tables looked through again in pieces.
//!
//! A changed policy may concern each of a million routes, and nobody else is heard while they are looked at. So a
//! review goes through a table by a bounded number of slots at a time: of what a peer sent at each
//! [`go_on`](Rib::go_on), of what it is told at each pull. A table that has no more slots is looked through at once.
//! Entries keep their slots, and whatever comes or changes meanwhile is judged by the new policy as it comes, so that
//! nothing is missed.

use redstart_bgp::{
    session::PeerId,
    types::{Family, PrefixKey},
};

use super::{Rib, decide::Shared, ingest};
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
    /// How many there were in all. What came later was judged when it came.
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

/// What a peer sent in one family is to be judged again.
#[derive(Debug)]
pub(super) struct Judging {
    peer: PeerId,
    family: Family,
    review: Review,
}

impl Rib {
    /// What the peer sent is to be judged again where `difference` concerns it.
    pub(super) fn review_received(&mut self, peer: PeerId, difference: &Difference) {
        if matches!(difference, Difference::Nothing) {
            return;
        }
        for family in Family::ALL {
            let slots = match family {
                Family::Ipv4Unicast => self.v4.slots(),
                Family::Ipv6Unicast => self.v6.slots(),
            };
            let mut list = self.judging.iter();
            let under_way = list.position(|it| (it.peer, it.family) == (peer, family));
            let judging = match under_way.and_then(|at| self.judging.remove(at)) {
                Some(mut judging) => {
                    judging.review.once_round(slots);
                    judging
                }
                None => Judging {
                    peer,
                    family,
                    review: Review::of(slots, difference.clone()),
                },
            };
            if slots <= self.shared.piece {
                self.judge_piece(judging);
            } else {
                self.judging.push_back(judging);
            }
        }
    }

    /// Whether routes wait to be judged by a policy that changed.
    #[must_use]
    pub fn has_reviews(&self) -> bool {
        !self.judging.is_empty()
    }

    /// Judges a bounded number of those.
    pub fn go_on(&mut self) {
        if let Some(judging) = self.judging.pop_front() {
            self.judge_piece(judging);
        }
    }

    fn judge_piece(&mut self, mut judging: Judging) {
        let Some(peer) = self.shared.peers.find(judging.peer) else {
            return;
        };
        let (shared, review) = (&mut self.shared, &mut judging.review);
        match judging.family {
            Family::Ipv4Unicast => judge_piece(&mut self.v4, shared, peer, review),
            Family::Ipv6Unicast => judge_piece(&mut self.v6, shared, peer, review),
        }
        if !review.is_over() {
            self.judging.push_back(judging);
        }
    }
}

/// Judges the next piece of what a peer sent.
fn judge_piece<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    from: PeerIndex,
    review: &mut Review,
) {
    if ingest::has_routes::<P>(shared, from) {
        let ids = review.next(shared.piece);
        ingest::rejudge(table, shared, from, ids, &review.difference);
    } else {
        review.left = 0;
    }
}

impl Rib {
    /// A peer is to look again at what `difference` concerns.
    pub(super) fn review_told(&mut self, peer: PeerIndex, difference: &Difference) {
        review_told(&self.v4, &mut self.shared, peer, difference);
        review_told(&self.v6, &mut self.shared, peer, difference);
    }
}

/// A peer is to look again at what `difference` concerns.
pub(super) fn review_told<P: PrefixKey>(
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
