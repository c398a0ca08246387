//! Collecting what one peer is told next: the state as it is, grouped by attributes.
//!
//! Prefixes are visited in the order of the table, where those that came in one UPDATE lie together, as
//! a rule. So most of them have the attributes, and the verdict, of the one before, and go out as one
//! run. For the others the peer's [group](crate::groups) may know the verdict.

use core::iter;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use redstart_bgp::{
    session::{Announcements, OutBatch},
    types::{Nlri, PathAttributes, PathId, PrefixKey},
};
use smallvec::SmallVec;

use super::{decide::Shared, pull::learned};
use crate::{
    adj_out::{AdjOut, ToldPath, ToldPaths},
    export::{self, Exported, Originations},
    groups::{Alike, Fresh, Source},
    ids::{AttrId, PeerIndex, PrefixId, ToldId},
    index::AHEAD,
    paths::Path,
    policy::{Hits, family_index},
    table::{Entry, Table},
};

/// The changes of one family for one peer, being collected.
pub(super) struct Collector<P> {
    pub(super) to: PeerIndex,
    pub(super) out: AdjOut,
    /// Whether others may be told just what this peer is told.
    pub(super) may_share: bool,
    /// What the peer is told that it knew nothing of, as long as it is told nothing else.
    alike: Option<Fresh>,
    /// What another member was told, to be told again.
    pub(super) repeated: Vec<Announcements>,
    /// Whether the peer's policies look at prefixes.
    by_prefix: bool,
    withdraw: Vec<Nlri<P>>,
    reach: Vec<(Arc<PathAttributes>, Vec<Nlri<P>>)>,
    group_of: HashMap<ToldId, usize, FixedState>,
    /// What is told now, unpacked if that is at hand, and to which prefixes.
    run: Option<(ToldId, Option<Arc<PathAttributes>>)>,
    running: Vec<Nlri<P>>,
    /// The last learned route judged, and what came out.
    last: Option<Verdict>,
    /// What was told for the first time last.
    fresh: Option<(ToldId, Arc<PathAttributes>)>,
}

/// What to tell of a learned route, and what that depends on beside the peer.
struct Verdict {
    source: Source,
    hits: Hits,
    told: Option<ToldId>,
}

impl<P: PrefixKey> Collector<P> {
    /// Begins with what the peer was told before, if there is something to look at.
    pub(super) fn begin(shared: &mut Shared, to: PeerIndex) -> Option<Self> {
        let in_group = shared.peers.group_mut(to)?.is_shared();
        let peer = shared.peers.get_mut(to)?;
        let several = peer.takes_paths(P::FAMILY);
        let out = &mut peer.out[family_index(P::FAMILY)];
        if out.dirty.is_empty() {
            return None;
        }
        let may_share = in_group && !several && out.resend.is_empty();
        Some(Self {
            to,
            out: core::mem::take(out),
            may_share,
            alike: may_share.then(Fresh::default),
            repeated: Vec::new(),
            by_prefix: peer.info.policies.export.looks_at_prefixes(),
            withdraw: Vec::new(),
            reach: Vec::new(),
            group_of: HashMap::default(),
            run: None,
            running: Vec::new(),
            last: None,
            fresh: None,
        })
    }

    /// Visits prefixes until there is about `max` to say; how much there is.
    pub(super) fn collect(
        &mut self,
        table: &mut Table<P>,
        shared: &mut Shared,
        own: &Originations,
        max: usize,
    ) -> usize {
        let several = shared.peers.get(self.to);
        let several = several.is_some_and(|peer| peer.takes_paths(P::FAMILY));
        // Where a prefix may have several paths, nobody knows how much there is to say about the next few.
        let ahead = if several { 1 } else { AHEAD };
        let mut found = 0;
        while found < max && !self.out.dirty.is_empty() {
            let dirty = iter::from_fn(|| self.out.dirty.pop());
            let next: SmallVec<[PrefixId; AHEAD]> = dirty.take(ahead.min(max - found)).collect();
            shared
                .attrs
                .fetch_told(next.iter().filter_map(|id| self.out.sent(*id)));
            for id in next {
                found += if several {
                    self.visit_paths(table, shared, own, id)
                } else {
                    usize::from(self.visit(table, shared, own, id))
                };
            }
        }
        found
    }

    /// Ends with the batch to send.
    pub(super) fn finish(mut self, shared: &mut Shared, batch: &mut OutBatch) {
        self.end_run(shared);
        let looked_again = self.out.looked_again();
        if let Some(peer) = shared.peers.get_mut(self.to) {
            peer.out[family_index(P::FAMILY)] = self.out;
        }
        if !self.withdraw.is_empty() {
            batch.withdraw.push(P::into_set(self.withdraw));
        }
        let reach = self.reach.into_iter();
        let reach = reach.map(|(attrs, list)| (attrs, P::into_set(list)));
        let reach: Announcements = reach.collect();
        let fresh = self.alike.filter(|fresh| !fresh.ids.is_empty());
        if let (Some(fresh), Some(group)) = (fresh, shared.peers.group_mut(self.to)) {
            let alike = Alike {
                by: self.to,
                looked_again,
                fresh,
                reach: reach.clone(),
            };
            group.keep(P::FAMILY, alike);
        }
        let parts = [core::mem::take(&mut batch.reach)].into_iter();
        let parts = parts.chain(self.repeated).chain([reach]);
        batch.reach = one_of(parts.filter(|part| !part.is_empty()).collect());
    }

    /// Looks at one prefix; whether there was something to say.
    fn visit(
        &mut self,
        table: &mut Table<P>,
        shared: &mut Shared,
        own: &Originations,
        id: PrefixId,
    ) -> bool {
        let asked = self.out.resend.remove(id);
        self.out.unsendable.remove(&id);
        let entry = table.entry(id);
        let (prefix, best) = (entry.prefix, entry.paths.best());
        let source = best.map(|best| (best.attr, best.peer));
        let told = self.judge(prefix, best, shared, own);
        let before = self.out.set_sent(id, told, &mut shared.attrs);
        if let Some(before) = before {
            shared.attrs.release_told(before);
        }
        if before != told {
            shared.touch_adj_out(id, prefix, self.to, 0);
        }
        let nlri = Nlri::plain(prefix);
        match (before, told, source, &mut self.alike) {
            (None, Some(told), Some((attr, from)), Some(fresh)) => {
                fresh.push(id, (attr, from, told));
            }
            (None, None, ..) => {}
            _ => self.alike = None,
        }
        match (before, told) {
            (None, None) => return false,
            (Some(before), Some(told)) if before == told && !asked => return false,
            (Some(_), Some(told)) => self.announce(nlri, told, shared),
            (None, Some(told)) => {
                table.entry_mut(id).announced += 1;
                self.announce(nlri, told, shared);
            }
            (Some(_), None) => {
                table.entry_mut(id).announced -= 1;
                self.withdraw.push(nlri);
                table.forget_if_unused(id);
            }
        }
        true
    }

    /// Looks at one prefix of which the peer takes several paths; how much there was to say.
    fn visit_paths(
        &mut self,
        table: &mut Table<P>,
        shared: &mut Shared,
        own: &Originations,
        id: PrefixId,
    ) -> usize {
        let asked = self.out.resend.remove(id);
        self.out.unsendable.remove(&id);
        let wanted = self.judge_paths(table.entry(id), shared, own);
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
                shared.touch_adj_out(id, prefix, self.to, path_id.0);
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
                shared.touch_adj_out(id, prefix, self.to, path_id.0);
                said += 1;
            }
            shared.attrs.release_told(told.attr);
        }
        let entry = table.entry_mut(id);
        entry.announced += u16::from(before.is_empty() && !after.is_empty());
        entry.announced -= u16::from(!before.is_empty() && after.is_empty());
        if !before.is_empty() && after.is_empty() {
            table.forget_if_unused(id);
        }
        self.out.set_paths(id, after);
        said
    }

    /// What the peer shall be told about a prefix of which it takes several paths: who sent each, and
    /// a reference to the attributes.
    fn judge_paths(
        &mut self,
        entry: &Entry<P>,
        shared: &mut Shared,
        own: &Originations,
    ) -> SmallVec<[((PeerIndex, u32), ToldId); 2]> {
        let most = shared.peers.get(self.to).map_or(0, |peer| {
            let most = peer.info.rules.max_paths_sent;
            most.map_or(usize::MAX, usize::from)
        });
        let paths = entry.paths.as_slice().iter();
        paths
            .take_while(|path| path.is_usable())
            .filter_map(|path| {
                let told = self.judge(entry.prefix, Some(path), shared, own)?;
                Some(((path.peer, path.path_id), told))
            })
            .take(most)
            .collect()
    }

    /// What the peer shall be told about a prefix if `path` is to be told, with a reference to it.
    fn judge(
        &mut self,
        prefix: P,
        path: Option<&Path>,
        shared: &mut Shared,
        own: &Originations,
    ) -> Option<ToldId> {
        let path = path?;
        if path.peer.is_local() {
            self.alike = None;
            let peer = shared.peers.get(self.to)?;
            let route = Exported::Own(own.get(&prefix.into()));
            let attrs = export::judge(peer, prefix.into(), route).ok()?;
            return Some(self.tell(attrs, shared));
        }
        let source = (path.attr, path.peer, path.is_long_lived());
        let hits = if self.by_prefix {
            let peer = shared.peers.get(self.to)?;
            peer.info.policies.export.hits(prefix.into())
        } else {
            Hits::new()
        };
        if let Some(last) = &self.last
            && last.source == source
            && (!self.by_prefix || last.hits == hits)
        {
            return last.told.map(|told| shared.attrs.retain_told(told));
        }
        let told = self.pass_on(path, source, &hits, shared);
        // What is remembered stays in use while it is: the prefix that it came from is told it.
        self.last = Some(Verdict { source, hits, told });
        told
    }

    /// The same for a learned route that is not like the one before.
    fn pass_on(
        &mut self,
        path: &Path,
        source: Source,
        hits: &Hits,
        shared: &mut Shared,
    ) -> Option<ToldId> {
        if path.peer == self.to {
            return None;
        }
        let group = shared.peers.group_mut(self.to)?;
        // With hits the verdict is not on the attributes alone.
        let shares = group.is_shared() && hits.is_empty();
        let known = shares.then(|| group.verdict(P::FAMILY, source, &shared.attrs));
        let told = match known.flatten() {
            Some(known) => known.map(|told| shared.attrs.retain_told(told)),
            None => {
                let learned = learned(path, shared)?;
                let terms = shared.peers.terms_of(self.to)?;
                let made = export::pass_on(terms, P::FAMILY, hits, learned).ok();
                let told = made.map(|made| self.tell(made, shared));
                if shares && let Some(group) = shared.peers.group_mut(self.to) {
                    group.remember(P::FAMILY, source, told, &shared.attrs);
                }
                told
            }
        }?;
        if is_about(self.to, (path.attr, path.peer), told, shared) {
            shared.attrs.release_told(told);
            return None;
        }
        Some(told)
    }

    /// Keeps what is told to somebody.
    fn tell(&mut self, attrs: PathAttributes, shared: &mut Shared) -> ToldId {
        let told = shared.attrs.tell(&attrs);
        self.fresh = Some((told, Arc::new(attrs)));
        told
    }

    fn announce(&mut self, nlri: Nlri<P>, told: ToldId, shared: &mut Shared) {
        if self.run.as_ref().is_none_or(|(now, _)| *now != told) {
            self.end_run(shared);
            let fresh = self.fresh.take().filter(|(fresh, _)| *fresh == told);
            self.run = Some((told, fresh.map(|(_, attrs)| attrs)));
        }
        self.running.push(nlri);
    }

    /// Puts what runs to the others with the same attributes.
    fn end_run(&mut self, shared: &mut Shared) {
        let Some((told, fresh)) = self.run.take() else {
            return;
        };
        let reach = &mut self.reach;
        let group = *self.group_of.entry(told).or_insert_with(|| {
            let attrs = &shared.attrs;
            let unpacked = match shared.peers.group_mut(self.to) {
                Some(group) => group.unpacked(told, fresh, attrs),
                None => fresh.unwrap_or_else(|| Arc::new(attrs.told(told))),
            };
            reach.push((unpacked, Vec::new()));
            reach.len() - 1
        });
        reach[group].1.extend_from_slice(&self.running);
        self.running.clear();
    }
}

/// All parts as one: if there is but one, that itself, which others may have encoded.
fn one_of(mut parts: Vec<Announcements>) -> Announcements {
    match parts.len() {
        0 | 1 => parts.pop().unwrap_or_default(),
        _ => parts.iter().flatten().cloned().collect(),
    }
}

/// Whether what others are told of a path is not for this peer.
pub(super) fn is_about(
    to: PeerIndex,
    (attr, sender): (AttrId, PeerIndex),
    told: ToldId,
    shared: &Shared,
) -> bool {
    let peer = |index| shared.peers.get(index).map(|peer| &peer.info);
    let Some((info, from)) = peer(to).zip(peer(sender)) else {
        return true;
    };
    if sender == to {
        return true;
    }
    let attrs = &shared.attrs;
    let originator = attrs.originator(attr).unwrap_or(from.router_id);
    let loops = |asn| attrs.passed(attr, asn);
    let next_hop = attrs.told_next_hop(told);
    export::concerns(info, from, originator, loops, next_hop).is_some()
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
