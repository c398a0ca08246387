//! Batches that several members of a group are told alike.
//!
//! Members that keep pace are told the same prefixes, one member after the other. What was collected
//! for one is kept, and given to another one that is to be told just that: the prefixes wait for it, it
//! was told nothing of them before, nothing about them has changed since, and no path to them is about the
//! member itself. All of that is asked of the two Adj-RIBs-Out, each time; what is kept is a guess and no
//! queue. Who is not in step is told in its own way, as ever.

use redstart_bgp::types::PrefixKey;

use super::{
    collect::{Collector, is_about},
    decide::Shared,
};
use crate::{
    adj_out::AdjOut, groups::Alike, ids::PeerIndex, peers::Peers, policy::family_index,
    table::Table,
};

impl<P: PrefixKey> Collector<P> {
    /// Tells the peer what another member was told, if there is such a batch of at most `max` prefixes;
    /// how many they are.
    pub(super) fn repeat(
        &mut self,
        table: &mut Table<P>,
        shared: &mut Shared,
        max: usize,
    ) -> Option<usize> {
        if !self.may_share || self.out.dirty.is_empty() {
            return None;
        }
        let kept = shared.peers.group_mut(self.to)?.take_alike(P::FAMILY);
        let fitting = |alike: &&Alike| alike.fresh.ids.len() <= max && self.fits(alike, shared);
        let found = kept.iter().find(fitting);
        let count = found.map(|alike| self.tell_as(alike, table, shared));
        if let Some(group) = shared.peers.group_mut(self.to) {
            group.put_alike(P::FAMILY, kept);
        }
        count
    }

    /// Whether the peer is to be told just this.
    fn fits(&self, alike: &Alike, shared: &Shared) -> bool {
        let Some(theirs) = out_of::<P>(&shared.peers, alike.by).filter(|_| alike.by != self.to)
        else {
            return false;
        };
        let ids = &alike.fresh.ids;
        let waits = self.out.dirty.contains_all(ids) && self.out.knows_none(ids);
        let holds = theirs.looked_again() == alike.looked_again && !theirs.dirty.contains_any(ids);
        let mut sources = alike.fresh.sources.iter();
        waits
            && holds
            && !sources.any(|(attr, from, told)| is_about(self.to, (*attr, *from), *told, shared))
    }

    /// Tells the peer just this; how many prefixes it is.
    fn tell_as(&mut self, alike: &Alike, table: &mut Table<P>, shared: &mut Shared) -> usize {
        let ids = &alike.fresh.ids;
        self.repeated.push(alike.reach.clone());
        self.out.dirty.remove_all(ids);
        if let Some(theirs) = out_of::<P>(&shared.peers, alike.by) {
            self.out.tell_as(theirs, ids, &mut shared.attrs);
        }
        for id in ids.ids() {
            self.out.unsendable.remove(&id);
            let entry = table.entry_mut(id);
            entry.announced += 1;
            shared.touch_adj_out(id, entry.prefix, self.to, 0);
        }
        ids.len()
    }
}

fn out_of<P: PrefixKey>(peers: &Peers, peer: PeerIndex) -> Option<&AdjOut> {
    Some(&peers.get(peer)?.out[family_index(P::FAMILY)])
}
