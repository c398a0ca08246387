//! Equal attribute sets are stored once, packed, counted, and named by four octets.
//!
//! Every holder of a set has one reference; at zero the set is gone, and its number is free when some more are:
//! they leave the index together. A set is known by its octets and a key `K` beside them; `V` is what is worked out
//! of it once.

use core::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use redstart_bgp::types::PathAttributes;
use smallvec::SmallVec;

use crate::{
    ids::AttrId,
    index::{AHEAD, Index},
    octets::{Octets, Place},
    packed::{pack, unpack},
};

#[derive(Debug)]
struct Slot<K> {
    place: Place,
    refs: u32,
    /// How often the slot had another set before.
    birth: u32,
    /// A part of the hash, from which the index makes one: to find a set, to let it go, and to grow, no
    /// other set needs to be read.
    hash: u32,
    key: K,
}

/// Every set in use.
#[derive(Debug)]
pub(crate) struct Interner<K, V> {
    slots: Vec<Slot<K>>,
    /// Those of the slots, by themselves: whoever looks at many of them looks at nothing else.
    values: Vec<V>,
    free: Vec<AttrId>,
    /// Those that are no longer in use and that the index still has, fewer than [`AHEAD`]: to take out several at a
    /// time is to wait for memory once. A set that comes back meanwhile gets another number.
    gone: Vec<AttrId>,
    index: Index,
    hasher: FixedState,
    octets: Octets,
    /// The set that is looked for, packed.
    sought: Vec<u8>,
}

fn hash<K: Hash>(hasher: &FixedState, octets: &[u8], key: &K) -> u32 {
    let mut state = hasher.build_hasher();
    state.write(octets);
    key.hash(&mut state);
    let [a, b, c, d, ..] = state.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The index looks at the highest bits and at the lowest.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<K: Copy + Eq + Hash, V> Interner<K, V> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            values: Vec::new(),
            free: Vec::new(),
            gone: Vec::new(),
            index: Index::default(),
            hasher: FixedState::with_seed(seed),
            octets: Octets::default(),
            sought: Vec::new(),
        }
    }

    /// How many sets are in use.
    pub(crate) fn len(&self) -> usize {
        self.index.len() - self.gone.len()
    }

    /// The id of this set, with one more reference that the caller must [`release`](Self::release).
    /// `value` is asked for a set that is new.
    pub(crate) fn intern(
        &mut self,
        attrs: &PathAttributes,
        key: K,
        value: impl FnOnce() -> V,
    ) -> AttrId {
        self.sought.clear();
        pack(attrs, &mut self.sought);
        let (slots, octets) = (&self.slots, &self.octets);
        let sought = self.sought.as_slice();
        let hash = hash(&self.hasher, sought, &key);
        let found = self.index.find(spread(hash), |id| {
            let slot = &slots[id as usize];
            // One that is gone has given its place back.
            slot.hash == hash
                && slot.refs > 0
                && slot.key == key
                && octets.get(slot.place) == sought
        });
        if let Some(found) = found {
            return self.retain(AttrId::new(found as usize));
        }
        let next = AttrId::new(self.slots.len());
        let id = self.free.pop().unwrap_or(next);
        let hash_of = |id: &u32| spread(self.slots[*id as usize].hash);
        let hashes_of = |ids: &[u32]| ids.iter().map(hash_of).collect();
        self.index.insert(spread(hash), id.slot(), hashes_of);
        let vacated = self.slots.get(id.index()).map(|slot| slot.birth);
        let slot = Slot {
            place: self.octets.insert(&self.sought),
            refs: 1,
            hash,
            birth: vacated.map_or(0, |birth| birth.wrapping_add(1)),
            key,
        };
        match self.slots.get_mut(id.index()) {
            Some(vacant) => {
                *vacant = slot;
                self.values[id.index()] = value();
            }
            None => {
                self.slots.push(slot);
                self.values.push(value());
            }
        }
        id
    }

    /// One more reference to a set that the caller knows to be in use.
    pub(crate) fn retain(&mut self, id: AttrId) -> AttrId {
        self.slots[id.index()].refs += 1;
        id
    }

    /// One reference fewer. At zero the set is gone: gives back what was kept with it.
    pub(crate) fn release(&mut self, id: AttrId) -> Option<(K, &mut V)> {
        let slot = &mut self.slots[id.index()];
        slot.refs -= 1;
        if slot.refs > 0 {
            return None;
        }
        let key = slot.key;
        self.octets.remove(slot.place);
        self.gone.push(id);
        if self.gone.len() == AHEAD {
            self.bury();
        }
        Some((key, &mut self.values[id.index()]))
    }

    /// Takes those that are gone out of the index.
    fn bury(&mut self) {
        let hashes = self
            .gone
            .iter()
            .map(|id| spread(self.slots[id.index()].hash));
        let hashes: SmallVec<[u64; AHEAD]> = hashes.collect();
        self.index.fetch(&hashes);
        for (id, hash) in self.gone.drain(..).zip(hashes) {
            self.index.remove(hash, id.slot());
            self.free.push(id);
        }
    }

    /// How many references there are.
    pub(crate) fn refs(&self, id: AttrId) -> u32 {
        self.slots[id.index()].refs
    }

    /// Tells the set from those that had its number before.
    pub(crate) fn birth(&self, id: AttrId) -> u32 {
        self.slots[id.index()].birth
    }

    /// Whether the set that was born then is still in use.
    pub(crate) fn is_in_use(&self, id: AttrId, birth: u32) -> bool {
        let slot = self.slots.get(id.index());
        slot.is_some_and(|slot| slot.refs > 0 && slot.birth == birth)
    }

    /// The set, packed.
    pub(crate) fn packed(&self, id: AttrId) -> &[u8] {
        self.octets.get(self.slots[id.index()].place)
    }

    /// The set, unpacked.
    pub(crate) fn get(&self, id: AttrId) -> PathAttributes {
        unpack(self.packed(id))
    }

    pub(crate) fn key(&self, id: AttrId) -> K {
        self.slots[id.index()].key
    }

    pub(crate) fn value(&self, id: AttrId) -> &V {
        &self.values[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redstart_bgp::types::{AsPath, Asn};

    use super::*;

    /// How many different sets there are. Their paths are of seven lengths.
    const SETS: u32 = 300;

    fn attrs(number: u32) -> PathAttributes {
        let asns = (0..=number % 7).map(|more| Asn(number + more));
        PathAttributes {
            as_path: AsPath::sequence(asns),
            ..PathAttributes::default()
        }
    }

    /// So many that the index grows in steps.
    #[test]
    fn sets_that_wait_to_leave_the_index_do_not_disturb_its_growth() {
        let mut all = Interner::<bool, u32>::new(1);
        let mut kept = Vec::new();
        for number in 0..30_000 {
            let id = all.intern(&attrs(number), true, || number);
            match number % 3 {
                0 => assert_eq!(all.release(id).map(|(_, value)| *value), Some(number)),
                _ => kept.push((number, id)),
            }
        }
        assert_eq!((all.len(), kept.len()), (20_000, 20_000));
        for (number, id) in kept {
            let again = all.intern(&attrs(number), true, || unreachable!());
            assert_eq!((again, all.refs(id)), (id, 2));
            assert!(all.release(id).is_none() && all.release(id).is_some());
        }
        assert_eq!((all.len(), all.index.len()), (0, all.gone.len()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever comes and goes, and comes back before it has left the index.
        #[test]
        fn each_set_in_use_has_one_number(
            ops in prop::collection::vec((0..5_u8, 0..SETS), 1..4000),
        ) {
            let mut all = Interner::<bool, u32>::new(1);
            let mut held = BTreeMap::<u32, (AttrId, u32)>::new();
            for (op, number) in ops {
                let before = held.get(&number).copied();
                if op < 2 {
                    let mut is_new = false;
                    let id = all.intern(&attrs(number), true, || { is_new = true; number });
                    prop_assert_eq!(is_new, before.is_none());
                    let (known, refs) = held.entry(number).or_insert((id, 0));
                    prop_assert_eq!(*known, id);
                    *refs += 1;
                } else if let Some((id, refs)) = before {
                    let gone = all.release(id).map(|(_, value)| *value);
                    prop_assert_eq!(gone, (refs == 1).then_some(number));
                    held.insert(number, (id, refs - 1));
                    held.retain(|_, (_, refs)| *refs > 0);
                }
                prop_assert_eq!(all.len(), held.len());
            }
            for (number, (id, refs)) in &held {
                prop_assert_eq!(all.get(*id), attrs(*number));
                prop_assert_eq!((all.refs(*id), all.value(*id)), (*refs, number));
            }
            let most = SETS as usize + AHEAD;
            prop_assert!(all.slots.len() <= most, "numbers are used again");
        }
    }
}
