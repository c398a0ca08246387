//! The Adj-RIB-Out side: peers pull what changed for them.

use std::sync::Arc;

use hashbrown::HashMap;
use redstart_bgp::{
    session::{OutBatch, PeerId},
    types::{Family, Nlri, PathAttributes, Prefix, PrefixKey},
};

use super::{Rib, decide::Shared};
use crate::{
    adj_out::AdjOut,
    attrs::Scope,
    export::{self, BestRoute, ExportVerdict, Originations, Withheld},
    ids::{AttrId, PeerIndex, PrefixId},
    policy::family_index,
    table::{Entry, Table},
};

/// The best route of an entry, for the export rules.
fn best_route<'a, P: PrefixKey>(
    entry: &Entry<P>,
    shared: &'a Shared,
    originations: &'a Originations,
) -> BestRoute<'a> {
    let Some(best) = entry.paths.best() else {
        return BestRoute::None;
    };
    if best.peer.is_local() {
        return BestRoute::Own(originations.get(&entry.prefix.into()));
    }
    match shared.peers.get(best.peer) {
        None => BestRoute::None,
        Some(from) => BestRoute::Learned {
            from,
            attrs: shared.attrs.get(best.attr),
        },
    }
}

/// The changes of one family for one peer, being collected.
struct Collector<P> {
    out: AdjOut,
    withdraw: Vec<Nlri<P>>,
    reach: Vec<(AttrId, Vec<Nlri<P>>)>,
    group_of: HashMap<AttrId, usize, foldhash::fast::FixedState>,
    /// The last learned route judged, and what came out: neighbours in the table often share it.
    last: Option<((AttrId, PeerIndex), Option<AttrId>)>,
}

impl<P: PrefixKey> Collector<P> {
    /// What the peer shall be told about a prefix, with a reference to it.
    fn judge(
        &mut self,
        entry: &Entry<P>,
        shared: &mut Shared,
        originations: &Originations,
        to: PeerIndex,
    ) -> Option<AttrId> {
        let learned = entry.paths.best().filter(|path| !path.peer.is_local());
        let key = learned.map(|path| (path.attr, path.peer));
        if let Some((_, told)) = self.last.filter(|(last, _)| Some(*last) == key) {
            return told.map(|attr| shared.attrs.retain(attr));
        }
        let best = best_route(entry, shared, originations);
        let peer = shared.peers.get(to)?;
        let told = export::judge(peer, entry.prefix.into(), best)
            .ok()
            .map(|attrs| shared.attrs.intern(&Arc::new(attrs), Scope::Own));
        // What is remembered stays in use while it is: the prefix that it came from is told it.
        self.last = key.map(|key| (key, told));
        told
    }

    fn announce(&mut self, prefix: P, attr: AttrId) {
        let reach = &mut self.reach;
        let group = *self.group_of.entry(attr).or_insert_with(|| {
            reach.push((attr, Vec::new()));
            reach.len() - 1
        });
        reach[group].1.push(Nlri::plain(prefix));
    }

    /// Looks at one prefix; whether there was something to say.
    fn visit(
        &mut self,
        table: &mut Table<P>,
        shared: &mut Shared,
        originations: &Originations,
        to: PeerIndex,
        id: PrefixId,
    ) -> bool {
        let asked = self.out.resend.remove(id);
        let told = self.judge(table.entry(id), shared, originations, to);
        let before = self.out.set_sent(id, told);
        if let Some(before) = before {
            shared.attrs.release(before);
        }
        let entry = table.entry_mut(id);
        let prefix = entry.prefix;
        match (before, told) {
            (None, None) => return false,
            (Some(before), Some(told)) if before == told && !asked => return false,
            (Some(_), Some(told)) => self.announce(prefix, told),
            (None, Some(told)) => {
                entry.announced += 1;
                self.announce(prefix, told);
            }
            (Some(_), None) => {
                entry.announced -= 1;
                self.withdraw.push(Nlri::plain(prefix));
                table.free_if_unused(id);
            }
        }
        true
    }

    fn finish(self, shared: &Shared, batch: &mut OutBatch) {
        if !self.withdraw.is_empty() {
            batch.withdraw.push(P::into_set(self.withdraw));
        }
        for (attr, list) in self.reach {
            let attrs = Arc::clone(shared.attrs.get(attr));
            batch.reach.push((attrs, P::into_set(list)));
        }
    }
}

/// Puts up to `max` changes into `batch`; how many they were.
fn pull_family<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    originations: &Originations,
    to: PeerIndex,
    max: usize,
    batch: &mut OutBatch,
) -> usize {
    let family = family_index(P::FAMILY);
    let Some(peer) = shared.peers.get_mut(to) else {
        return 0;
    };
    let mut collector = Collector {
        out: core::mem::take(&mut peer.out[family]),
        withdraw: Vec::new(),
        reach: Vec::new(),
        group_of: HashMap::default(),
        last: None,
    };
    let mut found = 0;
    while found < max {
        let Some(id) = collector.out.dirty.pop() else {
            break;
        };
        found += usize::from(collector.visit(table, shared, originations, to, id));
    }
    if let Some(peer) = shared.peers.get_mut(to) {
        peer.out[family] = core::mem::take(&mut collector.out);
    }
    collector.finish(shared, batch);
    found
}

/// Forgets what a peer was told: its session is over.
pub(crate) fn forget_told<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    peer: PeerIndex,
) {
    let family = family_index(P::FAMILY);
    let Some(peer) = shared.peers.get_mut(peer) else {
        return;
    };
    let out = core::mem::take(&mut peer.out[family]);
    for (id, attr) in out.iter() {
        shared.attrs.release(attr);
        table.entry_mut(id).announced -= 1;
        table.free_if_unused(id);
    }
}

/// Marks every prefix of the table for one peer.
pub(crate) fn mark_all<P: PrefixKey>(table: &Table<P>, shared: &mut Shared, peer: PeerIndex) {
    for id in table.ids() {
        let entry = table.entry(id);
        if !entry.paths.is_empty() || entry.announced > 0 {
            shared.peers.mark_one(peer, P::FAMILY, id);
        }
    }
}

/// Marks the prefix for every peer: how it is advertised changed.
pub(crate) fn mark_for_all<P: PrefixKey>(table: &Table<P>, shared: &mut Shared, prefix: P) {
    if let Some(id) = table.find(prefix) {
        shared.peers.mark(P::FAMILY, id, |_| true);
    }
}

fn explain<P: PrefixKey>(
    table: &Table<P>,
    rib: &Rib,
    to: PeerIndex,
    prefix: P,
) -> Option<ExportVerdict> {
    let peer = rib.shared.peers.get(to)?;
    let id = table.find(prefix);
    let told = id
        .and_then(|id| peer.out[family_index(P::FAMILY)].sent(id))
        .map(|attr| Arc::clone(rib.shared.attrs.get(attr)));
    let best = id.map_or(BestRoute::None, |id| {
        best_route(table.entry(id), &rib.shared, &rib.originations)
    });
    let because = match best {
        BestRoute::Own(Some(own)) => own.towards(peer.id).map(|a| a.source.clone()).collect(),
        _ => Vec::new(),
    };
    Some(ExportVerdict {
        decision: export::judge(peer, prefix.into(), best).map(Arc::new),
        told,
        because,
    })
}

impl Rib {
    /// Whether a [`pull`](Self::pull) would give something to look at.
    #[must_use]
    pub fn has_updates(&self, peer: PeerId) -> bool {
        let peer = self.up(peer).and_then(|i| self.shared.peers.get(i));
        peer.is_some_and(|peer| {
            peer.has_dirty() || (self.end_of_rib_released && !peer.end_of_rib_due.is_empty())
        })
    }

    /// Peers that came to have something to pull since the last call, each once.
    pub fn take_ready_peers(&mut self) -> Vec<PeerId> {
        let ready = self.shared.peers.take_ready();
        ready
            .into_iter()
            .filter_map(|index| self.shared.peers.get(index))
            .map(|peer| peer.id)
            .filter(|id| self.has_updates(*id))
            .collect()
    }

    /// The next changes for a peer, at most `max_prefixes` of them: the state as it is now, however
    /// often it changed since. A batch may be empty though [`has_updates`](Self::has_updates) said
    /// yes: what changed may have changed back.
    pub fn pull(&mut self, peer: PeerId, max_prefixes: usize) -> OutBatch {
        let mut batch = OutBatch::default();
        let Some(to) = self.up(peer) else {
            return batch;
        };
        let (shared, own) = (&mut self.shared, &self.originations);
        let found = pull_family(&mut self.v4, shared, own, to, max_prefixes, &mut batch);
        let left = max_prefixes - found;
        pull_family(&mut self.v6, shared, own, to, left, &mut batch);
        if self.end_of_rib_released
            && let Some(peer) = shared.peers.get_mut(to)
        {
            for family in peer.end_of_rib_due.iter() {
                if peer.out[family_index(family)].dirty.is_empty() {
                    peer.end_of_rib_due.remove(family);
                    batch.end_of_rib.insert(family);
                }
            }
        }
        batch
    }

    /// The peer asked for all routes of a family again (RFC 2918).
    pub fn refresh_out(&mut self, peer: PeerId, family: Family) {
        let Some(index) = self.up(peer) else {
            return;
        };
        if let Some(peer) = self.shared.peers.get_mut(index) {
            peer.out[family_index(family)].resend_all();
        }
        self.shared.peers.set_ready(index);
    }

    /// The routes of this speaker are complete: peers may be told the end of their initial table.
    /// RFC 4724 section 4.1 has a restarting speaker wait with it until its routes are selected.
    pub fn release_end_of_rib(&mut self) {
        self.end_of_rib_released = true;
        self.shared.peers.set_all_ready();
    }

    /// Why a peer is told, or not told, about a prefix.
    #[must_use]
    pub fn explain_export(&self, peer: PeerId, prefix: Prefix) -> ExportVerdict {
        let verdict = self.shared.peers.find(peer).and_then(|to| match prefix {
            Prefix::V4(prefix) => explain(&self.v4, self, to, prefix),
            Prefix::V6(prefix) => explain(&self.v6, self, to, prefix),
        });
        verdict.unwrap_or(ExportVerdict {
            decision: Err(Withheld::PeerDown),
            told: None,
            because: Vec::new(),
        })
    }

    /// What a peer was told about a prefix: cheaper than to explain why.
    #[must_use]
    pub fn told(&self, peer: PeerId, prefix: Prefix) -> Option<&Arc<PathAttributes>> {
        let peer = self.shared.peers.get(self.up(peer)?)?;
        let id = match prefix {
            Prefix::V4(prefix) => self.v4.find(prefix)?,
            Prefix::V6(prefix) => self.v6.find(prefix)?,
        };
        let attr = peer.out[family_index(prefix.family())].sent(id)?;
        Some(self.shared.attrs.get(attr))
    }

    /// What a peer was told, in order of the prefixes.
    #[must_use]
    pub fn exported(&self, peer: PeerId) -> Vec<(Prefix, Arc<PathAttributes>)> {
        let Some(peer) = self.up(peer).and_then(|i| self.shared.peers.get(i)) else {
            return Vec::new();
        };
        let [v4, v6] = &peer.out;
        let told = |attr| Arc::clone(self.shared.attrs.get(attr));
        let mut all: Vec<(Prefix, Arc<PathAttributes>)> = v4
            .iter()
            .map(|(id, attr)| (self.v4.entry(id).prefix.into(), told(attr)))
            .chain(
                v6.iter()
                    .map(|(id, attr)| (self.v6.entry(id).prefix.into(), told(attr))),
            )
            .collect();
        all.sort_unstable_by_key(|(prefix, _)| *prefix);
        all
    }
}
