//! What a monitor holds against what it should hold, prefix by prefix, kept up while messages come:
//! the table is exact in the very moment in which nothing is wrong any more.

use foldhash::fast::FixedState;
use std::hash::BuildHasher as _;

use super::table::{Key, PathHash};

/// In place of a path: no route.
const NONE: PathHash = 0;

/// How many prefixes are looked up side by side: the memory that one of them waits for, all wait for.
const ABREAST: usize = 32;

/// In place of a prefix: a free place.
const FREE: Key = Key(u64::MAX);

/// A prefix, or a free place.
#[derive(Clone, Copy, Debug)]
struct Slot {
    key: Key,
    expected: PathHash,
    held: PathHash,
}

/// Held and expected routes: a hash table with open addressing. With that of the standard library, each
/// prefix waits for memory by itself, and a monitor takes longer over a table than the daemon.
#[derive(Debug, Default)]
pub struct Exact {
    /// A power of two of places, no more than half of them taken.
    slots: Vec<Slot>,
    taken: usize,
    wrong: usize,
}

impl Exact {
    /// Replaces what is expected: these routes and no others.
    pub fn expect(&mut self, routes: impl Iterator<Item = (Key, PathHash)>) {
        for slot in &mut self.slots {
            slot.expected = NONE;
        }
        for (key, hash) in routes {
            let place = self.place(key);
            self.slots[place].expected = hash;
        }
        let wrong = |slot: &&Slot| slot.held != slot.expected;
        self.wrong = self.slots.iter().filter(wrong).count();
    }

    /// Routes came, in this order; those with `None` went.
    pub fn take(&mut self, changes: &[(Key, Option<PathHash>)]) {
        for abreast in changes.chunks(ABREAST) {
            let near = abreast.iter().filter(|(key, _)| self.begins_with(*key));
            std::hint::black_box(near.count());
            for (key, hash) in abreast {
                let place = self.place(*key);
                let slot = &mut self.slots[place];
                let was_wrong = slot.held != slot.expected;
                slot.held = hash.unwrap_or(NONE);
                self.wrong += usize::from(slot.held != slot.expected);
                self.wrong -= usize::from(was_wrong);
            }
        }
    }

    /// Whether the first place to look at for a prefix is that prefix's.
    fn begins_with(&self, key: Key) -> bool {
        let slot = self.slots.get(self.first_place(key));
        slot.is_some_and(|slot| slot.key == key)
    }

    fn first_place(&self, key: Key) -> usize {
        let hash = FixedState::default().hash_one(key) as usize;
        hash & self.slots.len().saturating_sub(1)
    }

    /// Where the prefix is, from now on if it was nowhere.
    fn place(&mut self, key: Key) -> usize {
        if 2 * (self.taken + 1) > self.slots.len() {
            self.grow();
        }
        let mut place = self.first_place(key);
        loop {
            match self.slots[place].key {
                FREE => break,
                there if there == key => return place,
                _ => place = (place + 1) & (self.slots.len() - 1),
            }
        }
        self.taken += 1;
        self.slots[place].key = key;
        place
    }

    fn grow(&mut self) {
        let free = Slot {
            key: FREE,
            expected: NONE,
            held: NONE,
        };
        let places = (2 * self.slots.len()).max(64);
        let slots = std::mem::replace(&mut self.slots, vec![free; places]);
        self.taken = 0;
        for slot in slots.into_iter().filter(|slot| slot.key != FREE) {
            let place = self.place(slot.key);
            self.slots[place] = slot;
        }
    }

    /// How many prefixes are not as expected.
    pub fn wrong(&self) -> usize {
        self.wrong
    }

    /// Some that are not, in words.
    pub fn complaints(&self) -> Vec<String> {
        let wrong = self.slots.iter().filter(|slot| slot.held != slot.expected);
        let text = |slot: &Slot| match (slot.key, slot.expected, slot.held) {
            (key, NONE, _) => format!("{key} should not be there"),
            (key, _, NONE) => format!("{key} is missing"),
            (key, ..) => format!("{key} has another path"),
        };
        wrong.take(5).map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_wrong() {
        let (a, b) = (Key::new(0x0a00_0000, 8), Key::new(0x0b00_0000, 8));
        let mut exact = Exact::default();
        exact.expect([(a, 1), (b, 3)].into_iter());
        assert_eq!(exact.wrong(), 2);
        exact.take(&[(a, Some(3))]);
        assert_eq!(exact.wrong(), 2);
        exact.take(&[(a, Some(1)), (b, Some(3))]);
        assert_eq!((exact.wrong(), exact.complaints().len()), (0, 0));
        exact.expect([(b, 3)].into_iter());
        assert_eq!(exact.complaints(), ["10.0.0.0/8 should not be there"]);
        exact.take(&[(a, None)]);
        assert_eq!(exact.wrong(), 0);
        exact.take(&[(b, Some(7)), (b, None)]);
        assert_eq!(exact.complaints(), ["11.0.0.0/8 is missing"]);
    }

    #[test]
    fn many_prefixes_come_and_go() {
        let keys = |from: u32| (from..from + 10_000).map(|n| Key::new(n << 12, 20));
        let mut exact = Exact::default();
        exact.expect(keys(5_000).map(|key| (key, 7)));
        let came: Vec<_> = keys(0).map(|key| (key, Some(7))).collect();
        exact.take(&came);
        assert_eq!(exact.wrong(), 10_000);
        let rest = keys(10_000).take(5_000).map(|key| (key, Some(7)));
        let gone = keys(0).take(5_000).map(|key| (key, None));
        exact.take(&rest.chain(gone).collect::<Vec<_>>());
        assert_eq!(exact.wrong(), 0);
    }
}
