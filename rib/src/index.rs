//! From the hash of a prefix to its slot in a table, growing a few slots at a time.
//!
//! A hash table that is full moves all it holds to one twice as large. With a million prefixes that takes tens of
//! milliseconds, in which no route is told on and the kernel is given nothing. This one keeps the old table
//! beside the new one, and moves some of it at each insertion: it is empty long before the new one is full.

use core::iter;

use smallvec::SmallVec;

use crate::buckets::{Buckets, Glance};

/// Tables smaller than this grow at once.
const SMALL: usize = 4096;
/// How many buckets of the old table are emptied at an insertion.
const STEP: usize = 4;

/// Slots by hash. Whoever has it knows the prefixes, and so the hashes, of slots.
#[derive(Debug, Default)]
pub(crate) struct Index {
    now: Buckets,
    /// What is still to move to `now`: empty but for the time of growing.
    before: Buckets,
    /// The bucket of `before` up to which all are empty.
    emptied: usize,
}

impl Index {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            now: Buckets::with_capacity(capacity),
            ..Self::default()
        }
    }

    /// How many slots there are.
    pub(crate) const fn len(&self) -> usize {
        self.now.len() + self.before.len()
    }

    /// Has the memory fetched that finding these takes, for all of them side by side.
    pub(crate) fn fetch(&self, hashes: &[u64]) {
        self.now.fetch(hashes);
        if self.is_growing() {
            self.before.fetch(hashes);
        }
    }

    /// What a look at one place says of a hash.
    pub(crate) fn glance(&self, hash: u64) -> Glance {
        match self.now.glance(hash) {
            Glance::Nobody if self.before.len() > 0 => Glance::Further,
            glance => glance,
        }
    }

    /// The slot with this hash of which `same` holds.
    pub(crate) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.now.find(hash, &same);
        match found {
            None if self.before.len() > 0 => self.before.find(hash, &same),
            found => found,
        }
    }

    /// Adds a slot that is not there. `hash_of` tells the hash of those that are.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        let is_full = self.now.len() == self.now.capacity();
        if is_full {
            self.begin_to_grow();
        }
        if is_full && self.now.capacity() <= SMALL {
            while self.is_growing() {
                self.move_some(&hash_of);
            }
        } else {
            self.move_some(&hash_of);
        }
        self.now.insert(hash, slot);
    }

    /// Whether the slot was there.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) -> bool {
        self.now.remove(hash, slot) || self.before.remove(hash, slot)
    }

    const fn is_growing(&self) -> bool {
        self.before.count() > 0
    }

    /// The former table is empty by then: at each insertion some buckets are emptied, and there are ten to a bucket.
    fn begin_to_grow(&mut self) {
        let larger = Buckets::with_capacity((2 * self.now.capacity()).max(1));
        self.before = core::mem::replace(&mut self.now, larger);
        self.emptied = 0;
    }

    /// Moves what some buckets hold. What refers to it is fetched from memory side by side.
    fn move_some(&mut self, hash_of: &impl Fn(u32) -> u64) {
        if !self.is_growing() {
            return;
        }
        let some = self.emptied..self.emptied + STEP;
        let slots = some.clone().flat_map(|bucket| self.before.empty(bucket));
        let slots: SmallVec<[u32; 12 * STEP]> = slots.collect();
        let hashes: SmallVec<[u64; 12 * STEP]> = slots.iter().map(|slot| hash_of(*slot)).collect();
        for (hash, slot) in iter::zip(hashes, slots) {
            self.now.insert(hash, slot);
        }
        self.emptied = some.end;
        if self.emptied >= self.before.count() {
            self.before = Buckets::default();
        }
    }
}

#[cfg(test)]
impl Index {
    pub(crate) const fn capacity(&self) -> usize {
        self.now.capacity() + self.before.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Values are their own slots.
    fn hash(value: u32) -> u64 {
        u64::from(value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn add(index: &mut Index, value: u32) -> bool {
        let is_new = !has(index, value);
        if is_new {
            index.insert(hash(value), value, hash);
        }
        is_new
    }

    fn has(index: &Index, value: u32) -> bool {
        index.find(hash(value), |other| other == value) == Some(value)
    }

    #[test]
    fn no_insertion_moves_more_than_a_step() {
        let mut index = Index::default();
        let mut grown = 0;
        for value in 0..200_000 {
            let (before, growing) = (index.before.len(), index.is_growing());
            assert!(add(&mut index, value));
            if growing {
                assert!(before - index.before.len() <= 12 * STEP);
                assert!(!index.is_growing() || index.now.len() < index.now.capacity());
            } else {
                grown += usize::from(index.is_growing());
            }
        }
        assert!(grown >= 5, "{grown}");
        assert_eq!(index.before.capacity(), 0, "given back");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever comes and goes while it grows.
        #[test]
        fn it_is_a_set(ops in prop::collection::vec((any::<bool>(), 0..16_000_u32, 1..3000_u32), 1..40)) {
            let mut index = Index::default();
            let mut set = BTreeSet::new();
            for (adds, first, count) in ops {
                for value in first..first + count {
                    if adds {
                        prop_assert_eq!(add(&mut index, value), set.insert(value));
                    } else {
                        prop_assert_eq!(index.remove(hash(value), value), set.remove(&value));
                    }
                }
                prop_assert_eq!(index.len(), set.len());
            }
            for value in 0..19_000 {
                prop_assert_eq!(has(&index, value), set.contains(&value));
            }
        }
    }
}
