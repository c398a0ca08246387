//! What a monitor holds against what it should hold, prefix by prefix, kept up while messages come:
//! the table is exact in the very moment in which nothing is wrong any more.

use foldhash::fast::FixedState;
use std::collections::HashMap;

use super::table::{Key, PathHash};

/// In place of a path: no route.
const NONE: PathHash = 0;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    expected: PathHash,
    held: PathHash,
}

/// Held and expected routes.
#[derive(Debug, Default)]
pub struct Exact {
    slots: HashMap<Key, Slot, FixedState>,
    wrong: usize,
}

impl Exact {
    /// Replaces what is expected: these routes and no others.
    pub fn expect(&mut self, routes: impl Iterator<Item = (Key, PathHash)>) {
        for slot in self.slots.values_mut() {
            slot.expected = NONE;
        }
        for (key, hash) in routes {
            self.slots.entry(key).or_default().expected = hash;
        }
        let slots = self.slots.values();
        self.wrong = slots.filter(|slot| slot.held != slot.expected).count();
    }

    /// A route came.
    pub fn announce(&mut self, key: Key, hash: PathHash) {
        self.set(key, hash);
    }

    /// A route went.
    pub fn withdraw(&mut self, key: Key) {
        self.set(key, NONE);
    }

    fn set(&mut self, key: Key, hash: PathHash) {
        let slot = self.slots.entry(key).or_default();
        let was_wrong = slot.held != slot.expected;
        slot.held = hash;
        self.wrong += usize::from(slot.held != slot.expected);
        self.wrong -= usize::from(was_wrong);
    }

    /// How many prefixes are not as expected.
    pub fn wrong(&self) -> usize {
        self.wrong
    }

    /// Some that are not, in words.
    pub fn complaints(&self) -> Vec<String> {
        let wrong = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.held != slot.expected);
        let text = |(key, slot): (&Key, &Slot)| match (slot.expected, slot.held) {
            (NONE, _) => format!("{key} should not be there"),
            (_, NONE) => format!("{key} is missing"),
            _ => format!("{key} has another path"),
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
        exact.announce(a, 3);
        assert_eq!(exact.wrong(), 2);
        exact.announce(a, 1);
        exact.announce(b, 3);
        assert_eq!((exact.wrong(), exact.complaints().len()), (0, 0));
        exact.expect([(b, 3)].into_iter());
        assert_eq!(exact.complaints(), ["10.0.0.0/8 should not be there"]);
        exact.withdraw(a);
        assert_eq!(exact.wrong(), 0);
        exact.withdraw(b);
        assert_eq!(exact.complaints(), ["11.0.0.0/8 is missing"]);
    }
}
