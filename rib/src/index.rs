//! From a hash to a slot, growing a few slots at a time.
//!
//! A hash table that is full moves all it holds to one twice as large. With a million prefixes that takes tens of
//! milliseconds, in which no route is told on and the kernel is given nothing. This one prepares the new table,
//! some of it at each insertion, when the old one is nearly full. Then it keeps both, and moves some of what the
//! old one holds at each insertion: that is empty long before the new one is full.

use core::iter;

use smallvec::SmallVec;

use crate::buckets::{Buckets, Glance, ROOM};

/// Tables smaller than this grow at once.
const SMALL: usize = 4096;
/// How many buckets of the old table are emptied at an insertion, and as many of the new one prepared before.
const STEP: usize = 4;

/// How many are looked up at a time, or taken out: what they need still lies in the nearest cache when the last one
/// is dealt with.
pub(crate) const AHEAD: usize = 32;

/// Something of each of those that move at an insertion.
pub(crate) type Moving<T> = SmallVec<[T; ROOM * STEP]>;

/// Slots by hash. Whoever has it knows what is in the slots, and so its hash.
#[derive(Debug, Default)]
pub(crate) struct Index {
    now: Buckets,
    /// What is still to move to `now`: empty but for the time of growing.
    before: Buckets,
    /// The bucket of `before` up to which all are empty.
    emptied: usize,
    /// What is to be `now` when that is full.
    next: Buckets,
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

    /// Adds a slot that is not there. `hashes_of` tells the hashes of several that are.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        slot: u32,
        hashes_of: impl Fn(&[u32]) -> Moving<u64>,
    ) {
        if self.now.len() == self.now.capacity() {
            self.begin_to_grow();
            while self.is_growing() && self.now.capacity() <= SMALL {
                self.move_some(&hashes_of);
            }
        }
        self.move_some(&hashes_of);
        self.now.insert(hash, slot);
        if self.now.len() >= self.now.capacity() / 16 * 15 && self.now.capacity() > SMALL {
            self.next.prepare(2 * self.now.count(), STEP);
        }
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
        let mut larger = core::mem::take(&mut self.next);
        let count = (2 * self.now.count()).max(1);
        larger.prepare(count, count);
        self.before = core::mem::replace(&mut self.now, larger);
        self.emptied = 0;
    }

    /// Moves what some buckets hold.
    fn move_some(&mut self, hashes_of: &impl Fn(&[u32]) -> Moving<u64>) {
        if !self.is_growing() {
            return;
        }
        let some = self.emptied..self.emptied + STEP;
        let slots = some.clone().flat_map(|bucket| self.before.empty(bucket));
        let slots: Moving<u32> = slots.collect();
        let hashes = hashes_of(&slots);
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
    use core::hash::BuildHasher as _;
    use std::collections::BTreeSet;

    use foldhash::fast::FixedState;

    use proptest::prelude::*;

    use super::*;

    /// Values are their own slots. Half of the buckets are home to all of them, and there are few tags: many go
    /// past buckets, and many are taken for others at first.
    fn hash(value: u32) -> u64 {
        let hash = FixedState::with_seed(1).hash_one(value);
        hash & !0b1000 & !(0x3f << 56)
    }

    fn add(index: &mut Index, value: u32) -> bool {
        let is_new = !has(index, value);
        if is_new {
            let hashes = |values: &[u32]| values.iter().map(|value| hash(*value)).collect();
            index.insert(hash(value), value, hashes);
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
            let is_ready = index.next.count() == 2 * index.now.count();
            let is_large = index.now.capacity() > SMALL;
            let is_full = index.now.len() == index.now.capacity();
            assert!(!(is_full && is_large) || is_ready, "prepared in time");
            let (before, growing) = (index.before.len(), index.is_growing());
            assert!(add(&mut index, value));
            if growing {
                assert!(before - index.before.len() <= ROOM * STEP);
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
                let is_nobody = index.glance(hash(value)) == Glance::Nobody;
                prop_assert!(!(is_nobody && set.contains(&value)));
            }
        }
    }
}
