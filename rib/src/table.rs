//! One family's table: a slab of entries.
//!
//! An entry holds everything about one prefix: the paths, whether the kernel was told, and to how
//! many peers it is announced. Its slot number ([`PrefixId`]) is what every other structure refers
//! to. An entry is forgotten when nothing is left to remember: no path, no peer that must be told,
//! no route in the kernel. A stale mark on its slot is harmless, marks say "look again".
//!
//! The index is a hash map: exact look-up is what each received route needs. Longest match, for the
//! CLI, tries each prefix length that occurs.
//!
//! In a large table a look-up waits twice for memory. A processor has many such look-ups under way at once if
//! nothing else is between them: so several prefixes are looked up before the first one is dealt with, also
//! those of the messages that come after.

use core::hint::black_box;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use redstart_bgp::types::{Prefix, PrefixKey};
use smallvec::SmallVec;

use crate::{
    attrs::AttrStore,
    ids::{AttrId, DirtySet, PrefixId, Words},
    index::AHEAD,
    paths::Paths,
    slab::{Found, Keyed, Slab},
};

/// Everything about one prefix.
#[derive(Debug)]
pub(crate) struct Entry<P> {
    pub(crate) prefix: P,
    pub(crate) paths: Paths,
    /// How many peers hold a route to it from us.
    pub(crate) announced: u16,
    flags: u8,
}

/// The last word to the FIB was a route.
const IN_FIB: u8 = 1;
/// It is in the table's `waiting` list.
const WAITING: u8 = 2;
/// Nothing is left to remember.
const FORGOTTEN: u8 = 4;

impl<P: PrefixKey> Keyed for Entry<P> {
    type Key = P;

    fn new(prefix: P) -> Self {
        Self {
            prefix,
            paths: Paths::Empty,
            announced: 0,
            flags: 0,
        }
    }

    fn key(&self) -> P {
        self.prefix
    }

    fn renew(&mut self, prefix: P) {
        // The `waiting` list may still name the slot; one mention is enough.
        *self = Self {
            flags: self.flags & WAITING,
            ..Self::new(prefix)
        };
    }

    fn forget(&mut self) {
        self.flags |= FORGOTTEN;
    }

    fn is_forgotten(&self) -> bool {
        self.flags & FORGOTTEN != 0
    }
}

impl<P> Entry<P> {
    const fn is_unused(&self) -> bool {
        self.paths.is_empty() && self.announced == 0 && !self.is_in_fib()
    }

    /// Whether the last word to the FIB was a route.
    pub(crate) const fn is_in_fib(&self) -> bool {
        self.flags & IN_FIB != 0
    }

    /// Notes whether the last word to the FIB is a route; whether it was one before.
    pub(crate) const fn set_in_fib(&mut self, in_fib: bool) -> bool {
        let before = self.is_in_fib();
        self.flags = self.flags & !IN_FIB | if in_fib { IN_FIB } else { 0 };
        before
    }
}

/// Prefixes whose forwarding may have changed since the FIB last asked.
#[derive(Debug, Default)]
pub(crate) struct FibDirty {
    /// Those that packets may be led astray to: the FIB has a route, or had one.
    changed: DirtySet,
    /// Those that it has none to.
    new: DirtySet,
}

impl FibDirty {
    pub(crate) const fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.new.is_empty()
    }

    /// Whether any is not new.
    pub(crate) const fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(crate) fn insert(&mut self, id: PrefixId) {
        self.changed.insert(id);
    }

    pub(crate) fn insert_all(&mut self, ids: &Words) {
        self.changed.insert_all(ids);
    }

    /// As [`insert_all`](Self::insert_all), for those that the FIB has no route to.
    pub(crate) fn insert_new(&mut self, ids: &Words) {
        self.new.insert_all(ids);
    }

    /// Takes the next one out that is not new.
    pub(crate) fn pop_changed(&mut self) -> Option<PrefixId> {
        let id = self.changed.pop()?;
        self.new.remove(id);
        Some(id)
    }

    pub(crate) fn pop_new(&mut self) -> Option<PrefixId> {
        self.new.pop()
    }
}

/// The routes of one family.
#[derive(Debug)]
pub(crate) struct Table<P> {
    slab: Slab<Entry<P>>,
    /// How many entries there are of each prefix length.
    lengths: Vec<u32>,
    pub(crate) fib_dirty: FibDirty,
    /// Prefixes with a path whose next hop nobody has looked for yet.
    pub(crate) waiting: Vec<PrefixId>,
    ahead: Ahead<P>,
}

/// Prefixes that are dealt with one after the other, and the slots where they were found.
#[derive(Debug)]
struct Ahead<P> {
    prefixes: SmallVec<[P; AHEAD]>,
    found: Found,
    /// With how many of them that is done.
    done: usize,
}

impl<P: PrefixKey> Table<P> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slab: Slab::new(FixedState::with_seed(seed)),
            lengths: vec![0; usize::from(P::FAMILY.max_len()) + 1],
            fib_dirty: FibDirty::default(),
            waiting: Vec::new(),
            ahead: Ahead {
                prefixes: SmallVec::new(),
                found: Found::new(),
                done: 0,
            },
        }
    }

    /// How many prefixes have an entry.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn entry(&self, id: PrefixId) -> &Entry<P> {
        self.slab.get(id.0)
    }

    pub(crate) fn entry_mut(&mut self, id: PrefixId) -> &mut Entry<P> {
        self.slab.get_mut(id.0)
    }

    pub(crate) fn find(&self, prefix: P) -> Option<PrefixId> {
        self.slab.find(prefix).map(PrefixId)
    }

    /// As [`find`](Self::find), but looks for those that come next too: the prefix is the first of `coming`.
    pub(crate) fn find_with<C: Iterator<Item = P>>(
        &mut self,
        prefix: P,
        coming: impl FnOnce() -> C,
        attrs: &AttrStore,
    ) -> Option<PrefixId> {
        match self.find_ahead(prefix, coming, attrs) {
            Some(slot) => Some(PrefixId(slot)).filter(|id| !self.entry(*id).is_forgotten()),
            None => self.find(prefix),
        }
    }

    /// As [`find_or_insert`](Self::find_or_insert), but looks for those that come next too: the prefix is the
    /// first of `coming`.
    pub(crate) fn find_or_insert_with<C: Iterator<Item = P>>(
        &mut self,
        prefix: P,
        coming: impl FnOnce() -> C,
        attrs: &AttrStore,
    ) -> PrefixId {
        let Some(slot) = self.find_ahead(prefix, coming, attrs) else {
            return self.find_or_insert(prefix);
        };
        let is_new = self.slab.recall(slot);
        self.count_new(prefix, is_new);
        PrefixId(slot)
    }

    /// The slot of a prefix, which may be forgotten. Where there was none when it was looked for, there may be
    /// one since.
    fn find_ahead<C: Iterator<Item = P>>(
        &mut self,
        prefix: P,
        coming: impl FnOnce() -> C,
        attrs: &AttrStore,
    ) -> Option<u32> {
        if self.ahead.prefixes.get(self.ahead.done) != Some(&prefix) {
            self.look_ahead(coming(), attrs);
        }
        let found = self.ahead.found.get(self.ahead.done).copied().flatten();
        self.ahead.done += 1;
        // It may have another prefix since.
        found.filter(|slot| {
            let entry = self.slab.slots().get(*slot as usize);
            entry.is_some_and(|entry| entry.prefix == prefix)
        })
    }

    /// Finds the slots of prefixes, and has the memory fetched that dealing with their paths takes.
    fn look_ahead(&mut self, prefixes: impl Iterator<Item = P>, attrs: &AttrStore) {
        let Ahead {
            prefixes: next,
            found,
            done,
        } = &mut self.ahead;
        next.clear();
        next.extend(prefixes.take(AHEAD));
        *done = 0;
        self.slab.find_all(next, found);
        let slots = self.slab.slots();
        let found = found.iter().flatten();
        fetch(found.filter_map(|slot| slots.get(*slot as usize)), attrs);
    }

    /// Has the memory fetched that dealing with the paths of some entries takes, the first of which is this one.
    /// Their slots are one behind the other.
    pub(crate) fn fetch_from(&self, id: PrefixId, attrs: &AttrStore) {
        let entries = self.slab.slots().iter().skip(id.index());
        fetch(entries.take(AHEAD), attrs);
    }

    /// The entry of `prefix`, made if there is none. The caller gives it a path, or calls
    /// [`forget_if_unused`](Self::forget_if_unused).
    pub(crate) fn find_or_insert(&mut self, prefix: P) -> PrefixId {
        let (slot, is_new) = self.slab.find_or_insert(prefix);
        self.count_new(prefix, is_new);
        PrefixId(slot)
    }

    fn count_new(&mut self, prefix: P, is_new: bool) {
        self.lengths[usize::from(prefix.len())] += u32::from(is_new);
    }

    /// Forgets the entry if nothing is left to remember.
    pub(crate) fn forget_if_unused(&mut self, id: PrefixId) {
        let entry = self.entry(id);
        let len = usize::from(entry.prefix.len());
        if entry.is_unused() && self.slab.forget(id.0) {
            self.lengths[len] -= 1;
        }
    }

    /// How many slots there are.
    pub(crate) const fn slots(&self) -> usize {
        self.slab.slots().len()
    }

    /// Every slot number that may be in use; entries without paths are to be skipped.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PrefixId> + use<P> {
        (0..self.slots()).map(PrefixId::new)
    }

    /// The entries from a slot on, with their slots. Those without paths are to be skipped.
    pub(crate) fn entries_from(&self, slot: usize) -> impl Iterator<Item = (usize, &Entry<P>)> {
        self.slab.slots().iter().enumerate().skip(slot)
    }

    /// The longest prefix with a usable path that contains `addr`.
    pub(crate) fn longest(&self, addr: IpAddr) -> Option<PrefixId> {
        self.covering(addr)
            .find(|id| self.entry(*id).paths.best().is_some())
    }

    /// Every prefix with a path that contains `addr`, longest first.
    pub(crate) fn covering(&self, addr: IpAddr) -> impl Iterator<Item = PrefixId> + '_ {
        (0..=P::FAMILY.max_len())
            .rev()
            .filter(|len| self.lengths[usize::from(*len)] > 0)
            .filter_map(move |len| P::from_prefix(Prefix::new(addr, len)?))
            .filter_map(|prefix| self.find(prefix))
            .filter(|id| !self.entry(*id).paths.is_empty())
    }

    /// Notes that a path of `id` waits for its next hop to be looked up.
    pub(crate) fn wait(&mut self, id: PrefixId) {
        let entry = self.entry_mut(id);
        if entry.flags & WAITING == 0 {
            entry.flags |= WAITING;
            self.waiting.push(id);
        }
    }

    /// The same, if it is so for a path of `id` with these attributes.
    pub(crate) fn wait_if_pending(&mut self, id: PrefixId, attr: AttrId, attrs: &AttrStore) {
        let next_hop = attrs.hot(attr).next_hop;
        if next_hop.is_some_and(|next_hop| attrs.next_hops.is_pending(next_hop)) {
            self.wait(id);
        }
    }

    /// Takes the list of those that wait.
    pub(crate) fn take_waiting(&mut self) -> Vec<PrefixId> {
        let waiting = core::mem::take(&mut self.waiting);
        for id in &waiting {
            self.entry_mut(*id).flags &= !WAITING;
        }
        waiting
    }
}

/// Has the memory fetched that dealing with the paths of these entries takes.
fn fetch<'a, P: 'a>(entries: impl Iterator<Item = &'a Entry<P>> + Clone, attrs: &AttrStore) {
    // Of many paths a few are compared, and too much would drive out what was fetched first.
    const PATHS: usize = 4;
    let lens = entries.clone().map(|entry| entry.paths.as_slice().len());
    black_box(lens.sum::<usize>());
    let paths = entries.flat_map(|entry| entry.paths.as_slice().iter().take(PATHS));
    attrs.fetch(paths.map(|path| path.attr));
}

#[cfg(test)]
mod tests {
    use redstart_bgp::types::{Ipv4Prefix, Ipv6Prefix};

    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry<Ipv4Prefix>>(), 24);
        assert_eq!(size_of::<Entry<Ipv6Prefix>>(), 40);
    }

    #[test]
    fn slots_are_used_again_and_the_index_follows() {
        let mut table = Table::<Ipv4Prefix>::new(1);
        let prefix = |i: u8| Ipv4Prefix::new([10, i, 0, 0].into(), 16).unwrap();
        let ids: Vec<_> = (0..200).map(|i| table.find_or_insert(prefix(i))).collect();
        for (i, id) in (0..200).zip(&ids) {
            assert_eq!(table.find(prefix(i)), Some(*id));
        }
        for (i, id) in (0..150).zip(&ids) {
            table.forget_if_unused(*id);
            table.forget_if_unused(*id);
            assert_eq!(table.find(prefix(i)), None);
        }
        assert_eq!(table.len(), 50);
        assert_eq!(table.find_or_insert(prefix(7)), ids[7], "it has come back");
        let other = table.find_or_insert(prefix(201));
        assert!(ids[..150].contains(&other), "more are forgotten than not");
        assert_eq!((table.len(), table.slab.slots().len()), (52, 200));
        let taken = ids.iter().position(|id| *id == other).unwrap();
        assert_eq!(table.find(prefix(u8::try_from(taken).unwrap())), None);
        assert_eq!(table.find(prefix(201)), Some(other));
        for i in 150..200 {
            assert_eq!(table.find(prefix(i)), Some(ids[usize::from(i)]));
        }
    }

    #[test]
    fn a_slot_that_changes_hands_waits_once() {
        let mut table = Table::<Ipv4Prefix>::new(1);
        for i in 0..3 {
            let id = table.find_or_insert(Ipv4Prefix::new([10, i, 0, 0].into(), 16).unwrap());
            table.wait(id);
            table.forget_if_unused(id);
        }
        assert_eq!(table.take_waiting().len(), 1);
        assert_eq!(table.take_waiting(), []);
    }
}
