//! The Adj-RIB-Out of one peer and family: what it was told, and what it must be told again.
//!
//! Nothing is queued for a peer. It has a set of prefixes that may have changed, and what it was
//! last told of each; when its socket can take more, the current state is computed, compared and
//! sent. A route that flaps while the peer is slow costs nothing, and memory is bounded by the
//! number of prefixes.
//!
//! What was told is a sparse array by prefix slot, in pages: four octets a route where a peer takes
//! everything, one page where it takes a handful. Peers that were told the same may have a page together,
//! until one of them is told something else. Where a peer takes several paths for a prefix
//! (RFC 7911), what it was told is a list for each prefix.
//!
//! RFC 7911 section 3: the identifier that we give a path is ours to choose, and a path is replaced or
//! withdrawn by it. It stays with the path (who sent it, under which identifier), however its
//! attributes change.

use std::{collections::BTreeMap, sync::Arc};

use smallvec::SmallVec;

use crate::{
    attrs::AttrStore,
    export::Withheld,
    ids::{DirtySet, PeerIndex, PrefixId, ToldId, Words},
    rib::review::Review,
};

const PAGE: usize = 256;

/// A page has one reference to each set in it, however many peers have the page.
#[derive(Clone, Debug)]
struct Page {
    slots: [Option<ToldId>; PAGE],
    used: u16,
}

impl Page {
    fn told(&self) -> impl Iterator<Item = ToldId> {
        self.slots.iter().flatten().copied()
    }

    /// Whether nothing in it is told differently there.
    fn fits_into(&self, other: &Self) -> bool {
        let mut slots = self.slots.iter().zip(&other.slots);
        slots.all(|(ours, theirs)| ours.is_none() || ours == theirs)
    }

    /// For one peer alone.
    fn alone<'a>(page: &'a mut Arc<Self>, attrs: &mut AttrStore) -> &'a mut Self {
        if Arc::get_mut(page).is_none() {
            for told in page.told() {
                attrs.retain_told(told);
            }
        }
        Arc::make_mut(page)
    }

    /// One peer fewer has it.
    fn release(page: Arc<Self>, attrs: &mut AttrStore) {
        for told in Arc::into_inner(page).iter().flat_map(Self::told) {
            attrs.release_told(told);
        }
    }
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
    pages: Vec<Option<Arc<Page>>>,
    /// In place of the pages, where several paths are told.
    paths: BTreeMap<PrefixId, ToldPaths>,
    len: usize,
    /// How often it was looked at again what the peer is told of a prefix that it was told of.
    looked_again: u64,
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

    /// Notes what the peer is told now, with the caller's reference to it; gives back what it was told
    /// before, with one.
    pub(crate) fn set_sent(
        &mut self,
        id: PrefixId,
        attr: Option<ToldId>,
        attrs: &mut AttrStore,
    ) -> Option<ToldId> {
        let (at, slot) = (id.index() / PAGE, id.index() % PAGE);
        if at >= self.pages.len() {
            // Nothing was told, nothing is: no page for that.
            attr?;
            self.pages.resize_with(at + 1, || None);
        }
        let page = match &mut self.pages[at] {
            Some(page) => page,
            None if attr.is_none() => return None,
            empty => empty.insert(Arc::new(Page {
                slots: [None; PAGE],
                used: 0,
            })),
        };
        let before = page.slots[slot];
        self.looked_again += u64::from(before.is_some());
        if before == attr {
            return before;
        }
        let page = Page::alone(page, attrs);
        page.slots[slot] = attr;
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

    /// Until this changes, the peer holds whatever it was told by now.
    pub(crate) const fn looked_again(&self) -> u64 {
        self.looked_again
    }

    /// Whether the peer was told nothing of these.
    pub(crate) fn knows_none(&self, ids: &Words) -> bool {
        let mut pages = ids.pages(PAGE);
        pages.all(|(at, ids)| {
            let page = self.pages.get(at).and_then(Option::as_ref);
            page.is_none_or(|page| ids.ids().all(|id| page.slots[id.index() % PAGE].is_none()))
        })
    }

    /// Notes that the peer is told what another one was told of these, of which it knew nothing. Where
    /// both were told the same of all that is near, they have that page together.
    pub(crate) fn tell_as(&mut self, theirs: &Self, ids: &Words, attrs: &mut AttrStore) {
        for (at, ids) in ids.pages(PAGE) {
            let Some(Some(page)) = theirs.pages.get(at) else {
                continue;
            };
            let ours = self.pages.get_mut(at).and_then(Option::as_mut);
            let count = usize::from(page.used);
            let fills = match &ours {
                None => ids.len() == count,
                Some(ours) => ours.fits_into(page) && ids.len() + usize::from(ours.used) == count,
            };
            if !fills {
                for id in ids.ids() {
                    let told = page.slots[id.index() % PAGE];
                    let told = told.map(|told| attrs.retain_told(told));
                    self.set_sent(id, told, attrs);
                }
                continue;
            }
            self.len += ids.len();
            if at >= self.pages.len() {
                self.pages.resize_with(at + 1, || None);
            }
            if let Some(ours) = self.pages[at].replace(Arc::clone(page)) {
                Page::release(ours, attrs);
            }
        }
    }

    /// Forgets what the peer was told; gives that back.
    pub(crate) fn take(&mut self) -> Self {
        let looked_again = self.looked_again + 1;
        let empty = Self {
            looked_again,
            ..Self::default()
        };
        core::mem::replace(self, empty)
    }

    /// Lets go of all that the peer was told.
    pub(crate) fn release(self, attrs: &mut AttrStore) {
        for page in self.pages.into_iter().flatten() {
            Page::release(page, attrs);
        }
        for told in self.paths.into_values().flatten() {
            attrs.release_told(told.attr);
        }
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
    use redstart_bgp::types::PathAttributes;

    use super::*;
    use crate::ids::AttrId;

    #[test]
    fn pages_come_and_go() {
        let (mut out, mut attrs) = (AdjOut::default(), AttrStore::new(1));
        let (near, far) = (PrefixId::new(1), PrefixId::new(100_000));
        let attr = Some(ToldId(AttrId::new(4)));
        assert_eq!(out.set_sent(far, None, &mut attrs), None);
        assert!(out.pages.is_empty());
        assert_eq!(out.set_sent(far, attr, &mut attrs), None);
        assert_eq!(out.set_sent(near, attr, &mut attrs), None);
        assert_eq!((out.sent(far), out.sent(PrefixId::new(2))), (attr, None));
        assert_eq!(
            out.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            [near, far]
        );
        assert_eq!(out.set_sent(far, None, &mut attrs), attr);
        assert_eq!(out.len(), 1);
        assert_eq!(out.pages.iter().flatten().count(), 1);
    }

    /// Two sets of attributes, each with a reference.
    fn two_sets(attrs: &mut AttrStore) -> [ToldId; 2] {
        [1, 2].map(|med| {
            attrs.tell(&PathAttributes {
                med: Some(med),
                ..PathAttributes::default()
            })
        })
    }

    fn tell(out: &mut AdjOut, ids: &[PrefixId], told: ToldId, attrs: &mut AttrStore) {
        for id in ids {
            let told = attrs.retain_told(told);
            if let Some(before) = out.set_sent(*id, Some(told), attrs) {
                attrs.release_told(before);
            }
        }
    }

    fn together(a: &AdjOut, b: &AdjOut) -> Vec<bool> {
        let pages = a.pages.iter().zip(&b.pages);
        let is_one = |(a, b): (&Option<_>, &Option<_>)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        pages.map(is_one).collect()
    }

    #[test]
    fn peers_that_were_told_the_same_have_pages_together() {
        let mut attrs = AttrStore::new(1);
        let [told, other] = two_sets(&mut attrs);
        let births = [told, other].map(|told| (told, attrs.birth_of_told(told)));
        let in_use = |attrs: &AttrStore| births.map(|(told, birth)| attrs.is_told(told, birth));
        let ids = [1, 2, PAGE + 1].map(PrefixId::new);
        let [mut first, mut second, mut third] = [(); 3].map(|()| AdjOut::default());
        tell(&mut first, &ids, told, &mut attrs);
        let all = ids.into_iter().collect();
        assert!(second.knows_none(&all) && !first.knows_none(&all));
        second.tell_as(&first, &all, &mut attrs);
        third.tell_as(&second, &all, &mut attrs);
        assert_eq!(together(&first, &third), [true, true]);
        assert_eq!((third.len(), third.looked_again()), (3, 0));
        tell(&mut first, &ids[..1], told, &mut attrs);
        assert_eq!(together(&first, &third), [true, true], "nothing new");
        assert_eq!(first.looked_again(), 1);

        tell(&mut second, &ids[1..2], other, &mut attrs);
        assert_eq!(together(&first, &second), [false, true]);
        assert_eq!(together(&first, &third), [true, true]);
        let sent = |out: &AdjOut| ids.map(|id| out.sent(id));
        assert_eq!(sent(&third), [Some(told); 3]);
        assert_eq!(sent(&second), [told, other, told].map(Some));

        attrs.release_told(told);
        attrs.release_told(other);
        first.release(&mut attrs);
        assert_eq!(third.set_sent(ids[2], None, &mut attrs), Some(told));
        attrs.release_told(told);
        let emptied = third.take();
        assert_eq!((third.len(), third.looked_again()), (0, 2));
        emptied.release(&mut attrs);
        assert_eq!(in_use(&attrs), [true, true]);
        second.release(&mut attrs);
        assert_eq!(in_use(&attrs), [false, false]);
    }

    /// A batch ends within a page, and the next one goes on there.
    #[test]
    fn a_page_becomes_one_when_nothing_in_it_differs() {
        let mut attrs = AttrStore::new(1);
        let [told, other] = two_sets(&mut attrs);
        let batches = [0..100, 100..300, 300..400]
            .map(|ids: core::ops::Range<usize>| ids.map(PrefixId::new).collect::<Vec<_>>());
        let words = batches.each_ref().map(|ids| ids.iter().copied().collect());
        let [mut first, mut second, mut third] = [(); 3].map(|()| AdjOut::default());
        // It knows something else of one that the first is told of last.
        tell(&mut third, &batches[2][99..], other, &mut attrs);
        for (ids, words) in batches.iter().zip(&words) {
            tell(&mut first, ids, told, &mut attrs);
            for later in [&mut second, &mut third] {
                if later.knows_none(words) {
                    later.tell_as(&first, words, &mut attrs);
                }
            }
        }
        assert_eq!(together(&first, &second), [true, true]);
        assert_eq!(together(&first, &third), [true, false]);
        assert!(first.iter().eq(second.iter()));
        assert_eq!([first.len(), second.len(), third.len()], [400, 400, 301]);
        let births = [told, other].map(|told| (told, attrs.birth_of_told(told)));
        for out in [first, second, third] {
            out.release(&mut attrs);
        }
        attrs.release_told(told);
        attrs.release_told(other);
        let in_use = births.map(|(told, birth)| attrs.is_told(told, birth));
        assert_eq!(in_use, [false, false]);
    }
}
