//! The Adj-RIB-Out side: peers pull what changed for them.

use std::sync::Arc;

use hashbrown::HashMap;
use redstart_bgp::{
    session::{OutBatch, PeerId},
    types::{Family, Nlri, PathAttributes, PathId, Prefix, PrefixKey},
};
use smallvec::SmallVec;

use super::{
    Rib,
    decide::{Shared, removes_med},
};
use crate::{
    adj_out::{AdjOut, ToldPath, ToldPaths},
    export::{self, ExportVerdict, Exported, Learned, Originations, Withheld},
    ids::{AttrId, PeerIndex, PrefixId, ToldId},
    paths::Path,
    peers::Peer,
    policy::{Difference, Hits, family_index},
    table::{Entry, Table},
};

/// A path for the export rules. `attrs` are its attributes.
fn exported<'a>(
    prefix: Prefix,
    path: Option<(&Path, &'a PathAttributes)>,
    shared: &'a Shared,
    originations: &'a Originations,
) -> Exported<'a> {
    let Some((path, attrs)) = path else {
        return Exported::None;
    };
    if path.peer.is_local() {
        return Exported::Own(originations.get(&prefix));
    }
    match shared.peers.get(path.peer) {
        None => Exported::None,
        Some(from) => Exported::Learned(Learned {
            from,
            attrs,
            long_lived: path.is_long_lived(),
            med_removed: removes_med(shared, &from.info, path.attr),
        }),
    }
}

/// What a peer shall be told about a prefix if `path` is to be told.
fn judge(
    peer: &Peer,
    prefix: Prefix,
    path: Option<&Path>,
    shared: &Shared,
    originations: &Originations,
) -> Result<PathAttributes, Withheld> {
    let attrs = path.map(|path| (path, shared.attrs.get(path.attr)));
    let path = attrs.as_ref().map(|(path, attrs)| (*path, attrs));
    export::judge(peer, prefix, exported(prefix, path, shared, originations))
}

/// The changes of one family for one peer, being collected.
struct Collector<P> {
    out: AdjOut,
    withdraw: Vec<Nlri<P>>,
    reach: Vec<(Arc<PathAttributes>, Vec<Nlri<P>>)>,
    group_of: HashMap<ToldId, usize, foldhash::fast::FixedState>,
    /// The group that was announced last: neighbours in the table often share it.
    group: Option<(ToldId, usize)>,
    /// The last learned route judged, and what came out.
    last: Option<(LearnedKey, Option<ToldId>)>,
    /// What was judged last, for the batch.
    fresh: Option<(ToldId, Arc<PathAttributes>)>,
}

/// What the verdict on a learned path depends on, beside the peer that it is for: attributes, sender,
/// whether it is stale for long, and what the peer's policies find special about the prefix.
type LearnedKey = (AttrId, PeerIndex, bool, Hits);

/// How many routes share attributes, as a rule.
const TYPICAL_GROUP: usize = 8;

impl<P: PrefixKey> Collector<P> {
    /// What the peer shall be told about a prefix if `path` is to be told, with a reference to it.
    fn judge(
        &mut self,
        prefix: P,
        path: Option<&Path>,
        shared: &mut Shared,
        originations: &Originations,
        to: PeerIndex,
    ) -> Option<ToldId> {
        let peer = shared.peers.get(to)?;
        let learned = path.filter(|path| !path.peer.is_local());
        let key = learned.map(|path| {
            let hits = peer.info.policies.export.hits(prefix.into());
            (path.attr, path.peer, path.is_long_lived(), hits)
        });
        if let (Some((last, told)), Some(key)) = (&self.last, &key)
            && last == key
        {
            return told.map(|told| shared.attrs.retain_told(told));
        }
        let attrs = judge(peer, prefix.into(), path, shared, originations).ok();
        let told = attrs.map(|attrs| {
            let told = shared.attrs.tell(&attrs);
            self.fresh = Some((told, Arc::new(attrs)));
            told
        });
        // What is remembered stays in use while it is: the prefix that it came from is told it.
        self.last = key.map(|key| (key, told));
        told
    }

    fn announce(&mut self, nlri: Nlri<P>, told: ToldId, shared: &Shared) {
        let group = match self.group {
            Some((last, group)) if last == told => group,
            _ => self.group_of(told, shared),
        };
        self.group = Some((told, group));
        self.reach[group].1.push(nlri);
    }

    fn group_of(&mut self, told: ToldId, shared: &Shared) -> usize {
        let (reach, fresh) = (&mut self.reach, &self.fresh);
        *self.group_of.entry(told).or_insert_with(|| {
            let attrs = match fresh {
                Some((id, attrs)) if *id == told => Arc::clone(attrs),
                _ => Arc::new(shared.attrs.told(told)),
            };
            reach.push((attrs, Vec::with_capacity(TYPICAL_GROUP)));
            reach.len() - 1
        })
    }

    /// What the peer shall be told about a prefix of which it takes several paths: who sent each, and
    /// a reference to the attributes.
    fn judge_paths(
        &mut self,
        entry: &Entry<P>,
        shared: &mut Shared,
        originations: &Originations,
        to: PeerIndex,
    ) -> SmallVec<[((PeerIndex, u32), ToldId); 2]> {
        let most = shared.peers.get(to).map_or(0, |peer| {
            let most = peer.info.rules.max_paths_sent;
            most.map_or(usize::MAX, usize::from)
        });
        let paths = entry.paths.as_slice().iter();
        paths
            .take_while(|path| path.is_usable())
            .filter_map(|path| {
                let told = self.judge(entry.prefix, Some(path), shared, originations, to)?;
                Some(((path.peer, path.path_id), told))
            })
            .take(most)
            .collect()
    }

    /// Looks at one prefix of which the peer takes several paths; how much there was to say.
    fn visit_paths(
        &mut self,
        table: &mut Table<P>,
        shared: &mut Shared,
        originations: &Originations,
        to: PeerIndex,
        id: PrefixId,
    ) -> usize {
        let asked = self.out.resend.remove(id);
        let wanted = self.judge_paths(table.entry(id), shared, originations, to);
        let before = self.out.take_paths(id);
        let prefix = table.entry(id).prefix;
        let mut after = ToldPaths::new();
        let mut said = 0;
        for (source, attr) in wanted {
            let known = before.iter().find(|told| told.source == source);
            let path_id = known.map_or_else(|| free_path_id(&before, &after), |told| told.path_id);
            if asked || known.is_none_or(|told| told.attr != attr) {
                let path_id = PathId(path_id);
                self.announce(Nlri { prefix, path_id }, attr, shared);
                said += 1;
            }
            after.push(ToldPath {
                source,
                path_id,
                attr,
            });
        }
        for told in &before {
            if after.iter().all(|path| path.path_id != told.path_id) {
                let path_id = PathId(told.path_id);
                self.withdraw.push(Nlri { prefix, path_id });
                said += 1;
            }
            shared.attrs.release_told(told.attr);
        }
        let entry = table.entry_mut(id);
        entry.announced += u16::from(before.is_empty() && !after.is_empty());
        entry.announced -= u16::from(!before.is_empty() && after.is_empty());
        self.out.set_paths(id, after);
        table.free_if_unused(id);
        said
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
        let entry = table.entry(id);
        let (prefix, best) = (entry.prefix, entry.paths.best());
        let told = self.judge(prefix, best, shared, originations, to);
        let before = self.out.set_sent(id, told);
        if let Some(before) = before {
            shared.attrs.release_told(before);
        }
        let entry = table.entry_mut(id);
        let nlri = Nlri::plain(prefix);
        match (before, told) {
            (None, None) => return false,
            (Some(before), Some(told)) if before == told && !asked => return false,
            (Some(_), Some(told)) => self.announce(nlri, told, shared),
            (None, Some(told)) => {
                entry.announced += 1;
                self.announce(nlri, told, shared);
            }
            (Some(_), None) => {
                entry.announced -= 1;
                self.withdraw.push(nlri);
                table.free_if_unused(id);
            }
        }
        true
    }

    fn finish(self, batch: &mut OutBatch) {
        if !self.withdraw.is_empty() {
            batch.withdraw.push(P::into_set(self.withdraw));
        }
        let reach = self.reach.into_iter();
        batch
            .reach
            .extend(reach.map(|(attrs, list)| (attrs, P::into_set(list))));
    }
}

/// The lowest path identifier that the peer knows no path by.
fn free_path_id(before: &ToldPaths, after: &ToldPaths) -> u32 {
    let taken = |path_id| {
        before
            .iter()
            .chain(after)
            .any(|told| told.path_id == path_id)
    };
    (1..).find(|path_id| !taken(*path_id)).unwrap_or(u32::MAX)
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
    let family = family_index(P::FAMILY);
    let Some(peer) = shared.peers.get_mut(to) else {
        return 0;
    };
    let several = peer.takes_paths(P::FAMILY);
    let mut collector = Collector {
        out: core::mem::take(&mut peer.out[family]),
        withdraw: Vec::new(),
        reach: Vec::new(),
        group_of: HashMap::default(),
        group: None,
        last: None,
        fresh: None,
    };
    let mut found = 0;
    while found < max {
        let Some(id) = collector.out.dirty.pop() else {
            break;
        };
        found += if several {
            collector.visit_paths(table, shared, originations, to, id)
        } else {
            usize::from(collector.visit(table, shared, originations, to, id))
        };
    }
    if let Some(peer) = shared.peers.get_mut(to) {
        peer.out[family] = core::mem::take(&mut collector.out);
    }
    collector.finish(batch);
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
    for (_, told) in out.iter() {
        shared.attrs.release_told(told);
    }
    for id in out.prefixes() {
        table.entry_mut(id).announced -= 1;
        table.free_if_unused(id);
    }
}

/// Marks for one peer every prefix of the table that `difference` concerns.
pub(crate) fn mark_all<P: PrefixKey>(
    table: &Table<P>,
    shared: &mut Shared,
    peer: PeerIndex,
    difference: &Difference,
) {
    for id in table.ids() {
        let entry = table.entry(id);
        let used = !entry.paths.is_empty() || entry.announced > 0;
        if used && difference.concerns(entry.prefix.into()) {
            shared.peers.mark_one(peer, P::FAMILY, id);
        }
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

/// Notes what begins and what is complete with the batch.
fn mark_ends(peer: &mut Peer, end_of_rib: bool, batch: &mut OutBatch) {
    for family in core::mem::take(&mut peer.refresh_due).iter() {
        batch.refresh_begin.insert(family);
        peer.refreshing.insert(family);
    }
    for family in Family::ALL {
        if !peer.out[family_index(family)].dirty.is_empty() {
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
    let judge = |path| judge(peer, prefix.into(), path, &rib.shared, &rib.originations);
    let best = paths.first().filter(|path| path.is_best());
    let attrs = best.map(|path| (path, rib.shared.attrs.get(path.attr)));
    let attrs = attrs.as_ref().map(|(path, attrs)| (*path, attrs));
    let route = exported(prefix.into(), attrs, &rib.shared, &rib.originations);
    let because = match route {
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
        let left = max_prefixes.saturating_sub(found);
        pull_family(&mut self.v6, shared, own, to, left, &mut batch);
        if let Some(peer) = shared.peers.get_mut(to) {
            mark_ends(peer, self.end_of_rib_released, &mut batch);
        }
        batch
    }

    /// The peer asked for all routes of a family again (RFC 2918). The batches that follow say where
    /// the answer begins and ends (RFC 7313).
    pub fn refresh_out(&mut self, peer: PeerId, family: Family) {
        let Some(index) = self.up(peer) else {
            return;
        };
        if let Some(peer) = self.shared.peers.get_mut(index) {
            peer.out[family_index(family)].resend_all();
            // The initial table has an end of its own, and RFC 7313 section 4 forbids the other
            // marker before it.
            if peer.info.families.contains(family) && !peer.end_of_rib_due.contains(family) {
                peer.refresh_due.insert(family);
            }
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
