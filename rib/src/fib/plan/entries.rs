//! What is known of each prefix: for each family entries in slots, and an index over them.
//!
//! A slot number is what queues and operations in flight keep: from there to the entry is one step, where
//! a prefix would have to be looked up again at each. Slots are given out in turn, so what is wished
//! together is written together, and lies together in memory.
//!
//! There may be a million entries, so their size is what the planner takes of memory. It is given back
//! when next to nothing is left ([`Entries::give_back`]).
//!
//! An entry of which nothing is left to know is forgotten: nobody finds it, but its prefix keeps the slot, since
//! it may well come back, and the index would have to be fetched from memory to take it out. Where more are
//! forgotten than not, other prefixes get their slots.

use core::{hash::BuildHasher, hint::black_box};

use foldhash::fast::FixedState;
use redstart_bgp::types::{Ipv4Prefix, Ipv6Prefix, Prefix, PrefixKey};

use super::entry::Entry;
use crate::index::Index;

/// Names an entry that is queued, has an operation in flight, or was just found: others may be freed,
/// and are something else then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// Marks the slots of IPv6.
const V6: u32 = 1 << 31;
/// Tables smaller than this are left as they are.
const SMALL: usize = 4096;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Entries {
    v4: Table<Ipv4Prefix>,
    v6: Table<Ipv6Prefix>,
}

#[derive(Debug)]
struct Table<P> {
    slots: Vec<(P, Entry)>,
    /// How many of them are forgotten.
    forgotten: usize,
    /// Where the next one of those is looked for.
    hand: usize,
    index: Index<u32>,
    hasher: FixedState,
}

impl Entries {
    pub(super) fn new(hasher: &FixedState) -> Self {
        Self {
            v4: Table::new(hasher.clone()),
            v6: Table::new(hasher.clone()),
        }
    }

    /// What keys these tables, for other tables of prefixes.
    pub(super) fn hasher(&self) -> FixedState {
        self.v4.hasher.clone()
    }

    pub(super) fn find(&self, prefix: Prefix) -> Option<Slot> {
        match prefix {
            Prefix::V4(p) => self.v4.find(p).map(Slot),
            Prefix::V6(p) => self.v6.find(p).map(|slot| Slot(slot | V6)),
        }
    }

    /// Fetches what will be looked up next, [`AHEAD`](crate::table::AHEAD) prefixes at a time: a processor waits
    /// for many answers of memory in the time of one, if nothing else is between the questions.
    pub(super) fn fetch(&self, prefixes: impl Iterator<Item = Prefix>) {
        for prefix in prefixes {
            black_box(self.find(prefix));
        }
    }

    /// The entry of `prefix`, and whether it is new.
    pub(super) fn find_or_insert(&mut self, prefix: Prefix) -> (Slot, bool) {
        match prefix {
            Prefix::V4(p) => {
                let (slot, new) = self.v4.find_or_insert(p);
                (Slot(slot), new)
            }
            Prefix::V6(p) => {
                let (slot, new) = self.v6.find_or_insert(p);
                (Slot(slot | V6), new)
            }
        }
    }

    pub(super) fn prefix(&self, Slot(slot): Slot) -> Prefix {
        match slot & V6 {
            0 => self.v4.slots[slot as usize].0.into(),
            _ => self.v6.slots[(slot & !V6) as usize].0.into(),
        }
    }

    pub(super) fn entry(&self, Slot(slot): Slot) -> &Entry {
        match slot & V6 {
            0 => &self.v4.slots[slot as usize].1,
            _ => &self.v6.slots[(slot & !V6) as usize].1,
        }
    }

    pub(super) fn entry_mut(&mut self, Slot(slot): Slot) -> &mut Entry {
        match slot & V6 {
            0 => &mut self.v4.slots[slot as usize].1,
            _ => &mut self.v6.slots[(slot & !V6) as usize].1,
        }
    }

    /// The entry of `prefix`, if there is one.
    pub(super) fn get(&self, prefix: Prefix) -> Option<&Entry> {
        self.find(prefix).map(|slot| self.entry(slot))
    }

    /// Forgets an entry of which nothing is left to know.
    pub(super) fn free(&mut self, Slot(slot): Slot) {
        match slot & V6 {
            0 => self.v4.free(slot),
            _ => self.v6.free(slot & !V6),
        }
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, Prefix, &Entry)> {
        let v4 = self.v4.iter();
        let v6 = self.v6.iter();
        v4.map(|(slot, prefix, entry)| (Slot(slot), prefix, entry))
            .chain(v6.map(|(slot, prefix, entry)| (Slot(slot | V6), prefix, entry)))
    }

    /// In no particular order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Entry)> {
        let v4 = (0..).map(Slot).zip(&mut self.v4.slots);
        let v6 = (V6..).map(Slot).zip(&mut self.v6.slots);
        let v4 = v4.map(|(slot, (_, entry))| (slot, entry));
        v4.chain(v6.map(|(slot, (_, entry))| (slot, entry)))
    }

    /// Gives memory back if next to nothing is left. Slots change hands: nobody may have one.
    pub(super) fn give_back(&mut self) {
        self.v4.give_back();
        self.v6.give_back();
    }
}

impl<P: PrefixKey> Table<P> {
    fn new(hasher: FixedState) -> Self {
        Self {
            slots: Vec::new(),
            forgotten: 0,
            hand: 0,
            index: Index::default(),
            hasher,
        }
    }

    fn find(&self, prefix: P) -> Option<u32> {
        let found = self.find_any(self.hash(prefix), prefix);
        found.filter(|slot| !self.slots[*slot as usize].1.is_forgotten())
    }

    /// Also one that is forgotten.
    fn find_any(&self, hash: u64, prefix: P) -> Option<u32> {
        let same = |slot: &u32| self.slots[*slot as usize].0 == prefix;
        self.index.find(hash, same)
    }

    fn hash(&self, prefix: P) -> u64 {
        self.hasher.hash_one(prefix)
    }

    fn find_or_insert(&mut self, prefix: P) -> (u32, bool) {
        let hash = self.hash(prefix);
        if let Some(slot) = self.find_any(hash, prefix) {
            let entry = &mut self.slots[slot as usize].1;
            let is_new = entry.is_forgotten();
            if is_new {
                *entry = Entry::default();
                self.forgotten -= 1;
            }
            return (slot, is_new);
        }
        let new = (prefix, Entry::default());
        let slot = if self.forgotten > self.slots.len() / 2 {
            let slot = self.take_forgotten();
            self.slots[slot as usize] = new;
            slot
        } else {
            self.slots.push(new);
            // Memory ends long before two thousand million entries do.
            u32::try_from(self.slots.len() - 1).unwrap_or(V6 - 1)
        };
        self.insert(hash, slot);
        (slot, true)
    }

    /// A slot for another prefix than the one that had it. There are some that are forgotten.
    fn take_forgotten(&mut self) -> u32 {
        loop {
            self.hand = (self.hand + 1) % self.slots.len();
            let (prefix, entry) = &self.slots[self.hand];
            if entry.is_forgotten() {
                let slot = u32::try_from(self.hand).unwrap_or(V6 - 1);
                self.index.remove(self.hash(*prefix), slot);
                self.forgotten -= 1;
                return slot;
            }
        }
    }

    fn insert(&mut self, hash: u64, slot: u32) {
        let hash_of = |slot: &u32| self.hasher.hash_one(self.slots[*slot as usize].0);
        self.index.insert(hash, slot, hash_of);
    }

    fn free(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize].1;
        if !entry.is_forgotten() {
            *entry = Entry::forgotten();
            self.forgotten += 1;
        }
    }

    /// Those that are not free: of the others there is nothing to know.
    fn iter(&self) -> impl Iterator<Item = (u32, Prefix, &Entry)> {
        let slots = (0..).zip(&self.slots);
        slots
            .filter(|(_, (_, entry))| !entry.is_idle())
            .map(|(slot, (prefix, entry))| (slot, (*prefix).into(), entry))
    }

    fn give_back(&mut self) {
        let left = self.slots.len() - self.forgotten;
        if self.slots.len() <= SMALL || left >= self.slots.len() / 16 {
            return;
        }
        self.slots.retain(|(_, entry)| !entry.is_idle());
        self.slots.shrink_to_fit();
        self.forgotten = 0;
        self.index = Index::with_capacity(self.slots.len());
        for slot in (0..).take(self.slots.len()) {
            self.insert(self.hash(self.slots[slot as usize].0), slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(i: u32) -> Prefix {
        Prefix::new(std::net::Ipv4Addr::from(i << 8).into(), 24).unwrap()
    }

    fn fill(entries: &mut Entries, range: core::ops::Range<u32>) {
        for i in range {
            let (slot, new) = entries.find_or_insert(prefix(i));
            assert!(new);
            entries.entry_mut(slot).queued = true;
        }
    }

    #[test]
    fn slots_are_used_again_and_given_back_when_few_are_left() {
        let mut entries = Entries::new(&FixedState::with_seed(1));
        fill(&mut entries, 0..20_000);
        for i in 10..20_000 {
            let slot = entries.find(prefix(i)).unwrap();
            assert_eq!(entries.prefix(slot), prefix(i));
            entries.free(slot);
            entries.free(slot);
            assert_eq!(entries.find(prefix(i)), None);
        }
        fill(&mut entries, 10..20);
        assert_eq!(entries.v4.slots.len(), 20_000, "no new ones");
        entries.give_back();
        assert_eq!(entries.v4.slots.len(), 20);
        assert!(entries.v4.slots.capacity() < 100 && entries.v4.index.capacity() < 100);
        assert_eq!(entries.iter().count(), 20);
        for i in 0..20 {
            let slot = entries.find(prefix(i)).unwrap();
            assert_eq!(entries.prefix(slot), prefix(i));
        }
        fill(&mut entries, 20..200);
        assert_eq!(entries.iter().count(), 200);
    }

    #[test]
    fn a_prefix_that_comes_back_has_its_slot_and_others_get_those_of_the_forgotten() {
        let mut entries = Entries::new(&FixedState::with_seed(1));
        fill(&mut entries, 0..100);
        let seventh = entries.find(prefix(7)).unwrap();
        for i in 0..60 {
            entries.free(entries.find(prefix(i)).unwrap());
        }
        assert_eq!(entries.iter().count(), 40);
        fill(&mut entries, 7..8);
        assert_eq!(entries.find(prefix(7)), Some(seventh));
        // Others come and go for ever: as many are forgotten as are known, or one more.
        for i in 100..10_000 {
            fill(&mut entries, i..i + 1);
            assert!(entries.iter().any(|(_, p, _)| p == prefix(i)) || i % 100 != 0);
            entries.free(entries.find(prefix(i)).unwrap());
        }
        assert!(entries.v4.slots.len() <= 110, "{}", entries.v4.slots.len());
        assert_eq!(entries.v4.index.len(), entries.v4.slots.len());
        for i in (0..10_000).filter(|i| !(60..100).contains(i) && *i != 7) {
            assert_eq!(entries.find(prefix(i)), None);
        }
        for i in (60..100).chain([7]) {
            let slot = entries.find(prefix(i)).unwrap();
            assert_eq!(entries.prefix(slot), prefix(i));
        }
    }
}
