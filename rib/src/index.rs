//! From the hash of a prefix to its slot in a table, growing a few slots at a time.
//!
//! A hash table that is full moves all it holds to one twice as large. With a million prefixes that takes tens of
//! milliseconds, in which no route is told on and the kernel is given nothing. This one keeps the old table
//! beside the new one, and moves some of it at each insertion: it is empty long before the new one is full.

use core::iter;

use hashbrown::{HashTable, hash_table::OccupiedEntry};

/// Tables smaller than this grow at once.
const SMALL: usize = 4096;
/// How many places of the old table are emptied at an insertion. What they refer to is fetched from memory side
/// by side.
const STEP: usize = 32;

/// Slots by hash. Whoever has it knows the prefixes, and so the hashes, of slots.
#[derive(Debug)]
pub(crate) struct Index {
    now: HashTable<u32>,
    /// What is still to move to `now`: empty but for the time of growing.
    before: HashTable<u32>,
    /// The place of `before` up to which all are empty.
    emptied: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Index {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            now: HashTable::with_capacity(capacity),
            before: HashTable::new(),
            emptied: 0,
        }
    }

    /// The slot with this hash of which `same` holds.
    pub(crate) fn find(&self, hash: u64, same: impl Fn(&u32) -> bool) -> Option<u32> {
        let found = self.now.find(hash, &same);
        let found = match found {
            None if !self.before.is_empty() => self.before.find(hash, &same),
            found => found,
        };
        found.copied()
    }

    /// Adds a slot that is not there. `hash_of` tells the hash of those that are.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(&u32) -> u64) {
        if self.before.is_empty() {
            self.begin_to_grow();
        } else {
            self.move_some(&hash_of);
        }
        self.now.insert_unique(hash, slot, hash_of);
    }

    /// Whether the slot was there.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) -> bool {
        let remove_from = |table: &mut HashTable<u32>| {
            let found = table.find_entry(hash, |other| *other == slot);
            found.map(OccupiedEntry::remove).is_ok()
        };
        if remove_from(&mut self.now) {
            return true;
        }
        let removed = remove_from(&mut self.before);
        self.end_if_moved();
        removed
    }

    fn begin_to_grow(&mut self) {
        let len = self.now.len();
        if len < SMALL || len < self.now.capacity() {
            return;
        }
        let larger = HashTable::with_capacity(2 * len);
        self.before = core::mem::replace(&mut self.now, larger);
        self.emptied = 0;
    }

    /// In the order of hashes, in which the new table is filled from one end to the other, twice side by side.
    fn move_some(&mut self, hash_of: &impl Fn(&u32) -> u64) {
        let places = self.emptied..self.emptied + STEP;
        let mut hashes = [0; STEP];
        for (hash, place) in iter::zip(&mut hashes, places.clone()) {
            *hash = self.before.get_bucket(place).map_or(0, hash_of);
        }
        for (hash, place) in iter::zip(hashes, places.clone()) {
            if let Ok(entry) = self.before.get_bucket_entry(place) {
                let (slot, _) = entry.remove();
                self.now.insert_unique(hash, slot, hash_of);
            }
        }
        self.emptied = places.end;
        self.end_if_moved();
    }

    fn end_if_moved(&mut self) {
        if self.before.is_empty() && self.before.capacity() > 0 {
            self.before = HashTable::new();
        }
    }
}

#[cfg(test)]
impl Index {
    pub(crate) fn len(&self) -> usize {
        self.now.len() + self.before.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.now.capacity() + self.before.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Values are their own slots.
    fn hash(value: &u32) -> u64 {
        u64::from(*value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn add(index: &mut Index, value: u32) -> bool {
        let is_new = !has(index, value);
        if is_new {
            index.insert(hash(&value), value, hash);
        }
        is_new
    }

    fn has(index: &Index, value: u32) -> bool {
        index.find(hash(&value), |other| *other == value) == Some(value)
    }

    #[test]
    fn no_insertion_moves_more_than_a_step() {
        let mut index = Index::default();
        let mut grown = 0;
        for value in 0..200_000 {
            let (before, growing) = (index.before.len(), !index.before.is_empty());
            assert!(add(&mut index, value));
            if growing {
                assert!(before - index.before.len() <= STEP);
                assert!(index.before.is_empty() || index.now.len() < index.now.capacity());
            } else {
                grown += usize::from(!index.before.is_empty());
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
                        prop_assert_eq!(index.remove(hash(&value), value), set.remove(&value));
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
