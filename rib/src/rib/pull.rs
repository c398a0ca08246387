//! The Adj-RIB-Out side: peers pull what changed for them.

use std::{borrow::Cow, sync::Arc};

use hashbrown::HashMap;
use redstart_bgp::{
    session::{OutBatch, PeerId},
    types::{Family, Nlri, NlriSet, PathAttributes, Prefix, PrefixKey},
};

use super::{
    Rib,
    collect::Collector,
    decide::{Shared, removes_med},
    review,
};
use crate::{
    export::{self, ExportVerdict, Exported, Learned, Originations, Withheld},
    ids::{PeerIndex, ToldId},
    paths::Path,
    peers::Peer,
    policy::family_index,
    table::Table,
};

/// A path for the export rules.
fn exported<'a>(
    prefix: Prefix,
    path: Option<&Path>,
    shared: &'a Shared,
    originations: &'a Originations,
) -> Exported<'a> {
    let Some(path) = path else {
        return Exported::None;
    };
    if path.peer.is_local() {
        return Exported::Own(originations.get(&prefix));
    }
    match learned(path, shared) {
        None => Exported::None,
        Some(learned) => Exported::Learned(learned),
    }
}

/// A path that a peer sent.
pub(super) fn learned<'a>(path: &Path, shared: &'a Shared) -> Option<Learned<'a>> {
    let from = shared.peers.get(path.peer)?;
    Some(Learned {
        from,
        attrs: Cow::Owned(shared.attrs.get(path.attr)),
        long_lived: path.is_long_lived(),
        med_removed: removes_med(shared, &from.info, path.attr),
    })
}

/// Puts about `max` changes into `batch`, more only where one prefix has several; how many they were.
fn pull_family<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    originations: &Originations,
    to: PeerIndex,
    max: usize,
    batch: &mut OutBatch,
) -> usize {
    review::mark_piece(table, shared, to);
    let Some(mut collector) = Collector::begin(shared, to) else {
        return 0;
    };
    let mut found = 0;
    while found < max
        && let Some(repeated) = collector.repeat(table, shared, max - found)
    {
        found += repeated;
    }
    found += collector.collect(table, shared, originations, max - found);
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
    let out = peer.out[family].take();
    for id in out.prefixes() {
        table.entry_mut(id).announced -= 1;
        table.forget_if_unused(id);
    }
    out.release(&mut shared.attrs);
}

/// The session could not carry these: the peer does not hold them.
pub(crate) fn take_back<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    to: PeerIndex,
    list: &[Nlri<P>],
    why: Withheld,
) {
    for nlri in list {
        let Some((id, peer)) = table.find(nlri.prefix).zip(shared.peers.get_mut(to)) else {
            continue;
        };
        let several = peer.takes_paths(P::FAMILY);
        let out = &mut peer.out[family_index(P::FAMILY)];
        let told = if several {
            out.forget_path(id, nlri.path_id.0)
        } else {
            out.set_sent(id, None, &mut shared.attrs)
        };
        let Some(told) = told else {
            continue;
        };
        out.unsendable.insert(id, why);
        let is_told = out.sent(id).is_some();
        let path_id = if several { nlri.path_id.0 } else { 0 };
        shared.touch_adj_out(id, nlri.prefix, to, path_id);
        shared.attrs.release_told(told);
        table.entry_mut(id).announced -= u16::from(!is_told);
        table.forget_if_unused(id);
    }
}

/// Marks the prefixes that a peer has routes to, for those who may have been told them.
pub(crate) fn mark_learned<P: PrefixKey>(table: &Table<P>, shared: &mut Shared, from: PeerIndex) {
    let audience = shared.peers.audience();
    for id in table.ids() {
        let mut paths = table.entry(id).paths.as_slice().iter();
        if paths.any(|path| path.peer == from) {
            let concerned = |peer: &Peer| audience.contains(peer);
            shared.peers.mark(P::FAMILY, id, concerned);
        }
    }
}

/// Marks the prefix for every peer: how it is advertised changed.
pub(crate) fn mark_for_all<P: PrefixKey>(table: &Table<P>, shared: &mut Shared, prefix: P) {
    if let Some(id) = table.find(prefix) {
        shared.peers.mark(P::FAMILY, id, |_| true);
    }
}

/// How much of what this speaker tells its peers is known. RFC 4724 section 4.1 has a restarting
/// speaker wait with its End-of-RIB until its routes are selected: a peer that kept the old ones lets
/// go of whatever it was not told by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Complete {
    /// Nothing is.
    #[default]
    Nothing,
    /// The routes of our own. What the peers have to say is still awaited.
    Own {
        /// Whether some internal peer is a client, be it there already or not: then internal peers may
        /// be told what internal peers say.
        reflects: bool,
    },
    /// All.
    All,
}

impl Complete {
    /// Whether a peer can be told the end of its initial table.
    fn is_all_for(self, peer: &Peer) -> bool {
        match self {
            Self::Nothing => false,
            Self::Own { reflects } => {
                let reflected = reflects && peer.info.is_internal();
                !reflected && !peer.info.takes_learned()
            }
            Self::All => true,
        }
    }
}

/// Notes what begins and what is complete with the batch.
fn mark_ends(peer: &mut Peer, complete: Complete, batch: &mut OutBatch) {
    let end_of_rib = complete.is_all_for(peer);
    for family in core::mem::take(&mut peer.refresh_due).iter() {
        batch.refresh_begin.insert(family);
        peer.refreshing.insert(family);
    }
    for family in Family::ALL {
        if peer.out[family_index(family)].is_due() {
            continue;
        }
        if end_of_rib && peer.end_of_rib_due.contains(family) {
            peer.end_of_rib_due.remove(family);
            batch.end_of_rib.insert(family);
        }
        if peer.refreshing.contains(family) {
            peer.refreshing.remove(family);
            batch.refresh_end.insert(family);
        }
        // It asked again while it was answered: what it was told before it did counts for nothing.
        if peer.refresh_again.contains(family) {
            peer.refresh_again.remove(family);
            peer.send_again(family);
        }
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
        .map(|told| Arc::new(rib.shared.attrs.told(told)));
    let paths = id.map_or([].as_slice(), |id| table.entry(id).paths.as_slice());
    let exported = |path| exported(prefix.into(), path, &rib.shared, &rib.originations);
    let judge = |path| export::judge(peer, prefix.into(), exported(path));
    let best = paths.first().filter(|path| path.is_best());
    let route = exported(best);
    let because = match &route {
        Exported::Own(Some(own)) => own.towards(peer.id).map(|a| a.source.clone()).collect(),
        _ => Vec::new(),
    };
    // Of several paths the first that may go there speaks for all.
    let others = paths.iter().skip(1).take_while(|path| path.is_usable());
    let others = others.take(if peer.takes_paths(P::FAMILY) {
        paths.len()
    } else {
        0
    });
    let decision = judge(best).or_else(|why| {
        let mut others = others.filter_map(|path| judge(Some(path)).ok());
        others.next().ok_or(why)
    });
    // What no message could carry, since it was looked at last.
    let unsendable = id.and_then(|id| peer.out[family_index(P::FAMILY)].unsendable.get(&id));
    let decision = match unsendable {
        Some(why) if told.is_none() => decision.and(Err(*why)),
        _ => decision,
    };
    let rules = match decision {
        Ok(_) | Err(Withheld::Policy) => export::rules(peer, prefix.into(), route),
        Err(_) => Vec::new(),
    };
    Some(ExportVerdict {
        decision: decision.map(Arc::new),
        told,
        because,
        rules,
    })
}

impl Rib {
    /// Whether a [`pull`](Self::pull) would give something to look at.
    #[must_use]
    pub fn has_updates(&self, peer: PeerId) -> bool {
        let peer = self.up(peer).and_then(|i| self.shared.peers.get(i));
        peer.is_some_and(|peer| {
            peer.is_due() || (!peer.end_of_rib_due.is_empty() && self.complete.is_all_for(peer))
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
    /// yes: what changed may have changed back, and a part of the table may have nothing to say.
    pub fn pull(&mut self, peer: PeerId, max_prefixes: usize) -> OutBatch {
        let mut batch = OutBatch::default();
        let Some(to) = self.up(peer) else {
            return batch;
        };
        let (shared, own) = (&mut self.shared, &self.originations);
        let found = pull_family(&mut self.v4, shared, own, to, max_prefixes, &mut batch);
        let left = max_prefixes.saturating_sub(found);
        pull_family(&mut self.v6, shared, own, to, left, &mut batch);
        if let Some(peer) = shared.peers.get_mut(to) {
            mark_ends(peer, self.complete, &mut batch);
            batch.more = peer.is_due();
        }
        batch
    }

    /// The peer asked for all routes of a family again (RFC 2918). The batches that follow say where
    /// the answer begins and ends (RFC 7313). How many routes were marked for it: none while the answer
    /// to an earlier request is under way. Then another one follows, however often it asks, so that it
    /// pays for each with the whole answer.
    pub fn refresh_out(&mut self, peer: PeerId, family: Family) -> usize {
        let Some(index) = self.up(peer) else {
            return 0;
        };
        let Some(peer) = self.shared.peers.get_mut(index) else {
            return 0;
        };
        if !peer.info.families.contains(family) {
            return 0;
        }
        if !peer.out[family_index(family)].resend.is_empty() {
            peer.refresh_again.insert(family);
            return 0;
        }
        let marked = peer.send_again(family);
        self.shared.peers.set_ready(index);
        marked
    }

    /// The session could not carry routes that were [pulled](Self::pull) for it: the peer does not hold
    /// them, and is told of them again once they change.
    pub fn unsendable(&mut self, peer: PeerId, routes: &NlriSet, why: Withheld) {
        let Some(to) = self.up(peer) else {
            return;
        };
        let shared = &mut self.shared;
        match routes {
            NlriSet::V4(list) => take_back(&mut self.v4, shared, to, list, why),
            NlriSet::V6(list) => take_back(&mut self.v6, shared, to, list, why),
        }
    }

    /// So much of what peers are told is complete: those that are told nothing else may hear the end of
    /// their initial table.
    pub fn set_complete(&mut self, complete: Complete) {
        if self.complete != complete {
            self.complete = complete;
            self.shared.peers.set_all_ready();
        }
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
            rules: Vec::new(),
        })
    }

    /// What a peer was told about a prefix: cheaper than to explain why.
    #[must_use]
    pub fn told(&self, peer: PeerId, prefix: Prefix) -> Option<PathAttributes> {
        let peer = self.shared.peers.get(self.up(peer)?)?;
        let id = match prefix {
            Prefix::V4(prefix) => self.v4.find(prefix)?,
            Prefix::V6(prefix) => self.v6.find(prefix)?,
        };
        let told = peer.out[family_index(prefix.family())].sent(id)?;
        Some(self.shared.attrs.told(told))
    }

    /// What a peer was told, in order of the prefixes.
    #[must_use]
    pub fn exported(&self, peer: PeerId) -> Vec<(Prefix, Arc<PathAttributes>)> {
        let Some(peer) = self.up(peer).and_then(|i| self.shared.peers.get(i)) else {
            return Vec::new();
        };
        let [v4, v6] = &peer.out;
        let mut unpacked: HashMap<ToldId, Arc<PathAttributes>, foldhash::fast::FixedState> =
            HashMap::default();
        let mut told = |id| {
            let attrs = unpacked.entry(id);
            let attrs = attrs.or_insert_with(|| Arc::new(self.shared.attrs.told(id)));
            Arc::clone(attrs)
        };
        let mut all: Vec<(Prefix, Arc<PathAttributes>)> = v4
            .iter()
            .map(|(id, attr)| (self.v4.entry(id).prefix.into(), attr))
            .chain(
                v6.iter()
                    .map(|(id, attr)| (self.v6.entry(id).prefix.into(), attr)),
            )
            .map(|(prefix, attr)| (prefix, told(attr)))
            .collect();
        all.sort_unstable_by_key(|(prefix, _)| *prefix);
        all
    }
}
