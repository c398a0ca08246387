//! Entries in slots, and an index over them by their keys.
//!
//! Slots are given out in turn, so what comes together lies together. An entry of which nothing is left to know
//! is *forgotten*: nobody finds it, but its key keeps the slot, since it may well come back, and the index would
//! have to be fetched from memory to take it out. Where more than a quarter are forgotten, other keys get their
//! slots.

use core::hash::{BuildHasher as _, Hash};

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::{
    buckets::Glance,
    index::{AHEAD, Index, Moving},
};

/// Where several are.
pub(crate) type Found = SmallVec<[Option<u32>; AHEAD]>;

/// What a slot holds.
pub(crate) trait Keyed {
    /// What it is found by.
    type Key: Copy + Eq + Hash;

    /// One of which nothing is known yet.
    fn new(key: Self::Key) -> Self;

    fn key(&self) -> Self::Key;

    /// The slot is another one's from now on, or its own key has come back.
    fn renew(&mut self, key: Self::Key);

    fn forget(&mut self);

    fn is_forgotten(&self) -> bool;
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Slab<E> {
    slots: Vec<E>,
    /// How many of them are forgotten.
    forgotten: usize,
    /// Where the next one of those is looked for.
    hand: usize,
    index: Index,
    hasher: FixedState,
}

impl<E> Slab<E> {
    pub(crate) fn new(hasher: FixedState) -> Self {
        Self {
            slots: Vec::new(),
            forgotten: 0,
            hand: 0,
            index: Index::default(),
            hasher,
        }
    }

    /// What keys it, for other tables of the same keys.
    pub(crate) fn hasher(&self) -> FixedState {
        self.hasher.clone()
    }

    /// How many are not forgotten.
    pub(crate) const fn len(&self) -> usize {
        self.slots.len() - self.forgotten
    }

    /// All slots, also of those that are forgotten.
    pub(crate) const fn slots(&self) -> &[E] {
        self.slots.as_slice()
    }

    pub(crate) const fn slots_mut(&mut self) -> &mut [E] {
        self.slots.as_mut_slice()
    }

    pub(crate) fn get(&self, slot: u32) -> &E {
        &self.slots[slot as usize]
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut E {
        &mut self.slots[slot as usize]
    }
}

impl<E: Keyed> Slab<E> {
    pub(crate) fn find(&self, key: E::Key) -> Option<u32> {
        let found = self.find_any(self.hash(key), key);
        found.filter(|slot| !self.get(*slot).is_forgotten())
    }

    /// The slots of several keys, at most [`AHEAD`] at a time, also those that are forgotten. Memory is asked for
    /// all of them at once: first for where each may be, then for what is there.
    pub(crate) fn find_all(&self, keys: &[E::Key], found: &mut Found) {
        debug_assert!(keys.len() <= AHEAD, "too many at a time");
        let hashes: SmallVec<[u64; AHEAD]> = keys.iter().map(|key| self.hash(*key)).collect();
        let hashes = hashes.as_slice();
        self.index.fetch(hashes);
        let glances = hashes.iter().map(|hash| self.index.glance(*hash));
        let glances: SmallVec<[Glance; AHEAD]> = glances.collect();
        found.clear();
        let asked = glances.into_iter().zip(keys).zip(hashes);
        found.extend(asked.map(|((glance, key), hash)| match glance {
            Glance::Nobody => None,
            Glance::Maybe(slot) if self.get(slot).key() == *key => Some(slot),
            Glance::Maybe(_) | Glance::Further => self.find_any(*hash, *key),
        }));
    }

    /// Also one that is forgotten.
    fn find_any(&self, hash: u64, key: E::Key) -> Option<u32> {
        self.index.find(hash, |slot| self.get(slot).key() == key)
    }

    fn hash(&self, key: E::Key) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The slot of `key`, and whether it was not known.
    pub(crate) fn find_or_insert(&mut self, key: E::Key) -> (u32, bool) {
        let hash = self.hash(key);
        if let Some(slot) = self.find_any(hash, key) {
            return (slot, self.recall(slot));
        }
        let slot = if self.forgotten > self.slots.len() / 4 {
            let slot = self.take_forgotten();
            self.renew(slot, key);
            slot
        } else {
            self.slots.push(E::new(key));
            number(self.slots.len() - 1)
        };
        self.insert(hash, slot);
        (slot, true)
    }

    /// The key of a slot has come back, if it was forgotten: whether it was.
    pub(crate) fn recall(&mut self, slot: u32) -> bool {
        let entry = self.get(slot);
        let is_new = entry.is_forgotten();
        if is_new {
            self.renew(slot, entry.key());
        }
        is_new
    }

    /// The slot of one that is forgotten is that of `key` now.
    fn renew(&mut self, slot: u32, key: E::Key) {
        self.get_mut(slot).renew(key);
        self.forgotten -= 1;
    }

    /// The slot of one that is forgotten. There are some.
    fn take_forgotten(&mut self) -> u32 {
        loop {
            self.hand = (self.hand + 1) % self.slots.len();
            let entry = &self.slots[self.hand];
            if entry.is_forgotten() {
                let slot = number(self.hand);
                self.index.remove(self.hash(entry.key()), slot);
                return slot;
            }
        }
    }

    fn insert(&mut self, hash: u64, slot: u32) {
        let hashes_of = |slots: &[u32]| {
            // All keys first: so memory is asked for many of them at once.
            let keys = slots.iter().map(|slot| self.slots[*slot as usize].key());
            let keys: Moving<E::Key> = keys.collect();
            keys.iter().map(|key| self.hasher.hash_one(key)).collect()
        };
        self.index.insert(hash, slot, hashes_of);
    }

    /// Whether it was not forgotten before.
    pub(crate) fn forget(&mut self, slot: u32) -> bool {
        let entry = &mut self.slots[slot as usize];
        let is_known = !entry.is_forgotten();
        if is_known {
            entry.forget();
            self.forgotten += 1;
        }
        is_known
    }

    /// Gives back the memory of those that are forgotten. Slots change hands: nobody may have one.
    pub(crate) fn give_back(&mut self) {
        self.slots.retain(|entry| !entry.is_forgotten());
        self.slots.shrink_to_fit();
        self.forgotten = 0;
        self.index = Index::with_capacity(self.slots.len());
        for slot in 0..number(self.slots.len()) {
            self.insert(self.hash(self.get(slot).key()), slot);
        }
    }
}

/// Memory ends long before four thousand million entries do.
fn number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A key, how often its slot was renewed, whether it is known.
    type Thing = (u16, u32, bool);

    impl Keyed for Thing {
        type Key = u16;

        fn new(key: u16) -> Self {
            (key, 0, true)
        }

        fn key(&self) -> u16 {
            self.0
        }

        fn renew(&mut self, key: u16) {
            *self = (key, self.1 + 1, true);
        }

        fn forget(&mut self) {
            self.2 = false;
        }

        fn is_forgotten(&self) -> bool {
            !self.2
        }
    }

    fn slab() -> Slab<Thing> {
        Slab::new(FixedState::with_seed(1))
    }

    #[test]
    fn a_key_that_comes_back_has_its_slot_and_others_get_those_of_the_forgotten() {
        let mut slab = slab();
        for key in 0..100 {
            assert_eq!(slab.find_or_insert(key), (u32::from(key), true));
        }
        for key in 0..60 {
            assert!(slab.forget(key) && !slab.forget(key));
        }
        assert_eq!((slab.len(), slab.find(7)), (40, None));
        assert_eq!(slab.find_or_insert(7), (7, true));
        assert_eq!(slab.find_or_insert(7), (7, false));
        // Others come and go for ever.
        for key in 100..10_000 {
            let (slot, is_new) = slab.find_or_insert(key);
            assert!(is_new && slab.forget(slot));
        }
        assert!(slab.slots().len() <= 101, "{}", slab.slots().len());
        assert_eq!(slab.index.len(), slab.slots().len());
        slab.give_back();
        assert_eq!(slab.slots().len(), 41);
        assert!(slab.index.capacity() < 100);
    }

    /// Also while the index grows.
    #[test]
    fn all_are_found_side_by_side() {
        let mut slab = slab();
        let mut found = Found::new();
        for key in 0..20_000_u16 {
            slab.find_or_insert(key);
            let first = (key / 2).saturating_sub(16);
            if key % 7 == 0 {
                let keys: Vec<u16> = (first..first + 32).collect();
                slab.find_all(&keys, &mut found);
                let one_by_one = keys.into_iter().map(|key| slab.find(key));
                assert!(one_by_one.eq(found.iter().copied()));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever comes, goes and is given back.
        #[test]
        fn it_is_a_map(ops in prop::collection::vec((0..5_u8, 0..300_u16), 1..3000)) {
            let mut slab = slab();
            let mut slots = BTreeMap::new();
            for (op, key) in ops {
                match op {
                    0..3 => {
                        let (slot, is_new) = slab.find_or_insert(key);
                        prop_assert_eq!(is_new, slots.insert(key, slot).is_none());
                    }
                    3 => {
                        let slot = slab.find(key);
                        prop_assert_eq!(slot, slots.remove(&key));
                        prop_assert!(slot.is_none_or(|slot| slab.forget(slot)));
                    }
                    _ if key == 0 => {
                        slab.give_back();
                        for (key, slot) in &mut slots {
                            *slot = slab.find(*key).unwrap();
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(slab.len(), slots.len());
                prop_assert!(slab.slots().len() <= 2 * 300 + 1);
            }
            for key in 0..300 {
                prop_assert_eq!(slab.find(key), slots.get(&key).copied());
                let slot = slab.find(key);
                prop_assert!(slot.is_none_or(|slot| slab.get(slot).key() == key));
            }
            let one_by_one: Vec<_> = (0..300).map(|key| slab.find(key)).collect();
            let mut found = Found::new();
            for (keys, expected) in (0..).zip(one_by_one.chunks(AHEAD)) {
                let first = keys * u16::try_from(AHEAD).unwrap();
                let len = u16::try_from(expected.len()).unwrap();
                slab.find_all(&Vec::from_iter(first..first + len), &mut found);
                let known = |slot: &u32| !slab.get(*slot).is_forgotten();
                let found = found.iter().map(|slot| slot.filter(known));
                prop_assert!(found.eq(expected.iter().copied()));
            }
        }
    }
}
