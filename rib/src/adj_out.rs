//! The Adj-RIB-Out of one peer and family: what it was told, and what it must be told again.
//!
//! Nothing is queued for a peer. It has a set of prefixes that may have changed, and what it was
//! last told of each; when its socket can take more, the current state is computed, compared and
//! sent. A route that flaps while the peer is slow costs nothing, and memory is bounded by the
//! number of prefixes.
//!
//! What was told is a sparse array by prefix slot, in pages: four octets a route where a peer takes
//! everything, one page where it takes a handful. Where a peer takes several paths for a prefix
//! (RFC 7911), what it was told is a list for each prefix.
//!
//! RFC 7911 section 3: the identifier that we give a path is ours to choose, and a path is replaced or
//! withdrawn by it. It stays with the path (who sent it, under which identifier), however its
//! attributes change.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::{
    export::Withheld,
    ids::{DirtySet, PeerIndex, PrefixId, ToldId},
    rib::review::Review,
};

const PAGE: usize = 256;

#[derive(Clone, Debug)]
struct Page {
    slots: [Option<ToldId>; PAGE],
    used: u16,
}

/// One of several paths that a peer was told for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ToldPath {
    /// Who sent us the path, and under which identifier.
    pub(crate) source: (PeerIndex, u32),
    /// Under which identifier the peer knows it; never 0.
    pub(crate) path_id: u32,
    /// What it was told.
    pub(crate) attr: ToldId,
}

/// The paths that a peer was told for one prefix, the best one first.
pub(crate) type ToldPaths = SmallVec<[ToldPath; 2]>;

/// What one peer was told and must be told in one family.
#[derive(Debug, Default)]
pub(crate) struct AdjOut {
    pages: Vec<Option<Box<Page>>>,
    /// In place of the pages, where several paths are told.
    paths: BTreeMap<PrefixId, ToldPaths>,
    len: usize,
    /// Prefixes to look at again.
    pub(crate) dirty: DirtySet,
    /// Those of which it is not known yet whether they are to be looked at again.
    pub(crate) review: Option<Review>,
    /// Those among them to send even if nothing changed: the peer asked (RFC 2918).
    pub(crate) resend: DirtySet,
    /// What the session could not carry when it was pulled last, and why.
    pub(crate) unsendable: BTreeMap<PrefixId, Withheld>,
}

impl AdjOut {
    /// Whether there is something to look at.
    pub(crate) fn is_due(&self) -> bool {
        !self.dirty.is_empty() || self.review.is_some()
    }

    /// How many routes the peer holds from us.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// What the peer was last told of a prefix.
    pub(crate) fn sent(&self, id: PrefixId) -> Option<ToldId> {
        if let Some(paths) = self.paths.get(&id) {
            return paths.first().map(|told| told.attr);
        }
        let page = self.pages.get(id.index() / PAGE)?.as_ref()?;
        page.slots[id.index() % PAGE]
    }

    /// Everything that the peer was last told of a prefix, with path identifiers where it has such.
    pub(crate) fn told(&self, id: PrefixId) -> impl Iterator<Item = (u32, ToldId)> + '_ {
        let paths = self.paths.get(&id);
        let alone = self.sent(id).filter(|_| paths.is_none());
        let several = paths.into_iter().flatten();
        let several = several.map(|told| (told.path_id, told.attr));
        alone.map(|told| (0, told)).into_iter().chain(several)
    }

    /// Notes what the peer is told now; gives back what it was told before.
    pub(crate) fn set_sent(&mut self, id: PrefixId, attr: Option<ToldId>) -> Option<ToldId> {
        let (at, slot) = (id.index() / PAGE, id.index() % PAGE);
        if at >= self.pages.len() {
            // Nothing was told, nothing is: no page for that.
            attr?;
            self.pages.resize_with(at + 1, || None);
        }
        let page = match &mut self.pages[at] {
            Some(page) => page,
            None if attr.is_none() => return None,
            empty => empty.insert(Box::new(Page {
                slots: [None; PAGE],
                used: 0,
            })),
        };
        let before = core::mem::replace(&mut page.slots[slot], attr);
        match (before.is_some(), attr.is_some()) {
            (false, true) => {
                page.used += 1;
                self.len += 1;
            }
            (true, false) => {
                page.used -= 1;
                self.len -= 1;
            }
            _ => {}
        }
        if page.used == 0 {
            self.pages[at] = None;
        }
        before
    }

    /// Takes out which paths the peer was told for a prefix.
    pub(crate) fn take_paths(&mut self, id: PrefixId) -> ToldPaths {
        let paths = self.paths.remove(&id).unwrap_or_default();
        self.len -= paths.len();
        paths
    }

    /// Takes out one of the paths that the peer was told for a prefix, by its identifier.
    pub(crate) fn forget_path(&mut self, id: PrefixId, path_id: u32) -> Option<ToldId> {
        let mut paths = self.take_paths(id);
        let at = paths.iter().position(|told| told.path_id == path_id);
        let forgotten = at.map(|at| paths.remove(at).attr);
        self.set_paths(id, paths);
        forgotten
    }

    /// Notes which paths the peer is told now; those before are [taken out](Self::take_paths).
    pub(crate) fn set_paths(&mut self, id: PrefixId, paths: ToldPaths) {
        self.len += paths.len();
        if !paths.is_empty() {
            self.paths.insert(id, paths);
        }
    }

    /// Every prefix that the peer holds a route to from us, each once.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = PrefixId> + '_ {
        let pages = self.in_pages().map(|(id, _)| id);
        pages.chain(self.paths.keys().copied())
    }

    /// Every route that the peer holds from us.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PrefixId, ToldId)> + '_ {
        let paths = self.paths.iter();
        let paths = paths.flat_map(|(id, paths)| paths.iter().map(|told| (*id, told.attr)));
        self.in_pages().chain(paths)
    }

    fn in_pages(&self) -> impl Iterator<Item = (PrefixId, ToldId)> + '_ {
        self.pages.iter().enumerate().flat_map(|(at, page)| {
            let slots = page.as_ref().map_or([].as_slice(), |page| &page.slots);
            slots
                .iter()
                .enumerate()
                .filter_map(move |(i, attr)| Some((PrefixId::new(at * PAGE + i), (*attr)?)))
        })
    }

    /// Marks everything that the peer was told, to be said again as it is now. How much that was.
    pub(crate) fn resend_all(&mut self) -> usize {
        let ids: Vec<PrefixId> = self.prefixes().collect();
        for id in &ids {
            self.dirty.insert(*id);
            self.resend.insert(*id);
        }
        ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::AttrId;

    #[test]
    fn pages_come_and_go() {
        let mut out = AdjOut::default();
        let (near, far) = (PrefixId::new(1), PrefixId::new(100_000));
        let attr = Some(ToldId(AttrId::new(4)));
        assert_eq!(out.set_sent(far, None), None);
        assert!(out.pages.is_empty());
        assert_eq!(out.set_sent(far, attr), None);
        assert_eq!(out.set_sent(near, attr), None);
        assert_eq!((out.sent(far), out.sent(PrefixId::new(2))), (attr, None));
        assert_eq!(
            out.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            [near, far]
        );
        assert_eq!(out.set_sent(far, None), attr);
        assert_eq!(out.len(), 1);
        assert_eq!(out.pages.iter().flatten().count(), 1);
    }
}
