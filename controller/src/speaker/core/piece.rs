//! Routes are taken in pieces, so that the kernel does not wait for all that was read.

use redstart_bgp::{types::NlriSet, wire::Update};

/// Routes of neighbours taken before the kernel is given what it is free for.
const PIECE: usize = 1024;

/// How many of the first UPDATEs make a piece: one at least.
pub(super) fn piece(updates: &[Update]) -> usize {
    let mut routes = 0;
    let whole = updates.iter().take_while(|update| {
        let before = routes;
        let reach = update.reach.iter().map(|reach| reach.nlri.len());
        routes += reach.sum::<usize>();
        routes += update.unreach.iter().map(NlriSet::len).sum::<usize>();
        before < PIECE
    });
    whole.count()
}
