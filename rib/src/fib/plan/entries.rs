//! What is known of each prefix: for each family entries in slots, and an index over them.
//!
//! A slot number is what queues and operations in flight keep: from there to the entry is one step, where
//! a prefix would have to be looked up again at each. Slots are given out in turn, so what is wished
//! together is written together, and lies together in memory.
//!
//! There may be a million entries, so their size is what the planner takes of memory. It is given back
//! when next to nothing is left ([`Entries::give_back`]).

use core::hint::black_box;

use foldhash::fast::FixedState;
use redstart_bgp::types::{Family, Ipv4Prefix, Ipv6Prefix, Prefix, PrefixKey};
use smallvec::SmallVec;

use super::{
    entry::Entry,
    totals::{Count, Counts},
};
use crate::{
    index::AHEAD,
    slab::{Found, Keyed, Slab},
};

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
    v4: Slab<Known<Ipv4Prefix>>,
    v6: Slab<Known<Ipv6Prefix>>,
    counts_v4: Counts,
    counts_v6: Counts,
}

/// What a slot holds.
#[derive(Debug)]
struct Known<P> {
    prefix: P,
    /// How the entry was counted.
    counted: Count,
    entry: Entry,
}

impl<P: PrefixKey> Keyed for Known<P> {
    type Key = P;

    fn new(prefix: P) -> Self {
        Self {
            prefix,
            counted: Count::Nothing,
            entry: Entry::default(),
        }
    }

    fn key(&self) -> P {
        self.prefix
    }

    fn renew(&mut self, prefix: P) {
        *self = Self::new(prefix);
    }

    fn forget(&mut self) {
        self.entry = Entry::forgotten();
    }

    fn is_forgotten(&self) -> bool {
        self.entry.is_forgotten()
    }
}

impl Entries {
    pub(super) fn new(hasher: &FixedState) -> Self {
        Self {
            v4: Slab::new(hasher.clone()),
            v6: Slab::new(hasher.clone()),
            counts_v4: Counts::default(),
            counts_v6: Counts::default(),
        }
    }

    /// What keys these tables, for other tables of prefixes.
    pub(super) fn hasher(&self) -> FixedState {
        self.v4.hasher()
    }

    pub(super) fn find(&self, prefix: Prefix) -> Option<Slot> {
        match prefix {
            Prefix::V4(p) => self.v4.find(p).map(Slot),
            Prefix::V6(p) => self.v6.find(p).map(|slot| Slot(slot | V6)),
        }
    }

    /// Fetches what will be looked up next, [`AHEAD`] prefixes at a time: a processor waits
    /// for many answers of memory in the time of one, if nothing else is between the questions.
    pub(super) fn fetch(&self, prefixes: impl Iterator<Item = Prefix>) {
        let mut v4 = SmallVec::<[Ipv4Prefix; AHEAD]>::new();
        let mut v6 = SmallVec::<[Ipv6Prefix; AHEAD]>::new();
        for prefix in prefixes {
            match prefix {
                Prefix::V4(p) => v4.push(p),
                Prefix::V6(p) => v6.push(p),
            }
        }
        let mut found = Found::new();
        self.v4.find_all(&v4, &mut found);
        self.v6.find_all(&v6, &mut found);
        black_box(found);
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
            0 => self.v4.get(slot).prefix.into(),
            _ => self.v6.get(slot & !V6).prefix.into(),
        }
    }

    pub(super) fn entry(&self, Slot(slot): Slot) -> &Entry {
        match slot & V6 {
            0 => &self.v4.get(slot).entry,
            _ => &self.v6.get(slot & !V6).entry,
        }
    }

    pub(super) fn entry_mut(&mut self, Slot(slot): Slot) -> &mut Entry {
        match slot & V6 {
            0 => &mut self.v4.get_mut(slot).entry,
            _ => &mut self.v6.get_mut(slot & !V6).entry,
        }
    }

    /// The entry of `prefix`, if there is one.
    pub(super) fn get(&self, prefix: Prefix) -> Option<&Entry> {
        self.find(prefix).map(|slot| self.entry(slot))
    }

    /// Counts an entry as it is now. Due whenever it may have changed.
    pub(super) fn recount(&mut self, Slot(slot): Slot) {
        match slot & V6 {
            0 => recount(self.v4.get_mut(slot), &mut self.counts_v4),
            _ => recount(self.v6.get_mut(slot & !V6), &mut self.counts_v6),
        }
    }

    /// How an entry was counted.
    pub(super) fn counted(&self, Slot(slot): Slot) -> Count {
        match slot & V6 {
            0 => self.v4.get(slot).counted,
            _ => self.v6.get(slot & !V6).counted,
        }
    }

    /// How many entries of a family count how.
    pub(super) const fn counts(&self, family: Family) -> Counts {
        match family {
            Family::Ipv4Unicast => self.counts_v4,
            Family::Ipv6Unicast => self.counts_v6,
        }
    }

    /// Forgets an entry of which nothing is left to know.
    pub(super) fn free(&mut self, Slot(slot): Slot) {
        match slot & V6 {
            0 => self.v4.forget(slot),
            _ => self.v6.forget(slot & !V6),
        };
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, Prefix, &Entry)> {
        let v4 = known(&self.v4);
        let v6 = known(&self.v6);
        v4.map(|(slot, prefix, entry)| (Slot(slot), prefix, entry))
            .chain(v6.map(|(slot, prefix, entry)| (Slot(slot | V6), prefix, entry)))
    }

    /// In no particular order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Entry)> {
        let v4 = (0..).map(Slot).zip(self.v4.slots_mut());
        let v6 = (V6..).map(Slot).zip(self.v6.slots_mut());
        let v4 = v4.map(|(slot, known)| (slot, &mut known.entry));
        v4.chain(v6.map(|(slot, known)| (slot, &mut known.entry)))
    }

    /// Gives memory back if next to nothing is left. Slots change hands: nobody may have one.
    pub(super) fn give_back(&mut self) {
        give_back(&mut self.v4);
        give_back(&mut self.v6);
    }
}

/// Those that are not idle: of the others there is nothing to know.
fn known<P: PrefixKey>(
    slab: &Slab<Known<P>>,
) -> impl Iterator<Item = (u32, Prefix, &Entry)> + use<'_, P> {
    let slots = (0..).zip(slab.slots());
    slots
        .filter(|(_, known)| !known.entry.is_idle())
        .map(|(slot, known)| (slot, known.prefix.into(), &known.entry))
}

fn recount<P>(known: &mut Known<P>, counts: &mut Counts) {
    let now = Count::of(&known.entry);
    if known.counted != now {
        counts.recount(known.counted, now);
        known.counted = now;
    }
}

fn give_back<P: PrefixKey>(slab: &mut Slab<Known<P>>) {
    let slots = slab.slots().len();
    if slots > SMALL && slab.len() < slots / 16 {
        slab.give_back();
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
        assert_eq!(entries.v4.slots().len(), 20_000, "no new ones");
        entries.give_back();
        assert_eq!(entries.v4.slots().len(), 20);
        assert_eq!(entries.iter().count(), 20);
        for i in 0..20 {
            let slot = entries.find(prefix(i)).unwrap();
            assert_eq!(entries.prefix(slot), prefix(i));
        }
        fill(&mut entries, 20..200);
        assert_eq!(entries.iter().count(), 200);
    }
}
