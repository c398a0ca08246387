//! Batches that several members of a group are told alike.
//!
//! Members that keep pace are told the same prefixes, one member after the other. What was collected
//! for one is kept, and given to another one that is to be told just that: the prefixes wait for it, it
//! was told nothing of them before, nothing about them has changed since, and none of them is about the
//! member itself. All of that is asked of the tables, each time; what is kept is a guess and no queue.
//! Who is not in step is told in its own way, as ever.

use redstart_bgp::types::PrefixKey;

use super::{
    collect::{Collector, is_about},
    decide::Shared,
};
use crate::{
    adj_out::AdjOut,
    groups::{Alike, Told},
    ids::PeerIndex,
    peers::Peers,
    policy::family_index,
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
        let fitting = |alike: &&Alike| alike.told.len() <= max && self.fits(alike, table, shared);
        let found = kept.iter().find(fitting);
        let count = found.map(|alike| {
            self.repeated.push(alike.reach.clone());
            for Told { id, told, .. } in alike.told.iter().copied() {
                self.out.dirty.remove(id);
                self.out.unsendable.remove(&id);
                self.out.set_sent(id, Some(shared.attrs.retain_told(told)));
                let entry = table.entry_mut(id);
                entry.announced += 1;
                shared.touch_adj_out(id, entry.prefix, self.to, 0);
            }
            alike.told.len()
        });
        if let Some(group) = shared.peers.group_mut(self.to) {
            group.put_alike(P::FAMILY, kept);
        }
        count
    }

    /// Whether the peer is to be told just this.
    fn fits(&self, alike: &Alike, table: &Table<P>, shared: &Shared) -> bool {
        let Some(theirs) = out_of::<P>(&shared.peers, alike.by) else {
            return false;
        };
        let mut last = None;
        alike.told.iter().all(|it| {
            let Told { id, told, .. } = *it;
            let waits = self.out.dirty.contains(id) && self.out.sent(id).is_none();
            let holds = theirs.sent(id) == Some(told) && !theirs.dirty.contains(id);
            let entry = table.entry(id);
            let is_that = entry.prefix.into() == it.prefix && shared.attrs.is_told(told, it.birth);
            if !(waits && holds && is_that) {
                return false;
            }
            let Some(best) = entry.paths.best() else {
                return false;
            };
            let source = Some((best.attr, best.peer, told));
            let known = last == source;
            last = source;
            known || !(best.peer.is_local() || is_about(self.to, best, told, shared))
        })
    }
}

fn out_of<P: PrefixKey>(peers: &Peers, peer: PeerIndex) -> Option<&AdjOut> {
    Some(&peers.get(peer)?.out[family_index(P::FAMILY)])
}
