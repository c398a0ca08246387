//! Equal attribute sets are stored once, packed, counted, and named by four octets.
//!
//! Every holder of a set has one reference; at zero the set is gone and its number is free. A set
//! is known by its octets and a key `K` beside them; `V` is what is worked out of it once.

use core::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{
    HashTable,
    hash_table::Entry::{Occupied, Vacant},
};
use redstart_bgp::types::PathAttributes;

use crate::{
    ids::AttrId,
    octets::{Octets, Place},
    packed::{pack, unpack},
};

#[derive(Debug)]
struct Slot<K, V> {
    place: Place,
    refs: u32,
    key: K,
    value: V,
}

/// Every set in use.
#[derive(Debug)]
pub(crate) struct Interner<K, V> {
    slots: Vec<Slot<K, V>>,
    free: Vec<AttrId>,
    index: HashTable<AttrId>,
    hasher: FixedState,
    octets: Octets,
    /// The set that is looked for, packed.
    sought: Vec<u8>,
}

fn hash<K: Hash>(hasher: &FixedState, octets: &[u8], key: &K) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(octets);
    key.hash(&mut state);
    state.finish()
}

impl<K: Copy + Eq + Hash, V> Interner<K, V> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            octets: Octets::default(),
            sought: Vec::new(),
        }
    }

    /// How many sets are in use.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
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
        let (slots, octets, hasher) = (&self.slots, &self.octets, &self.hasher);
        let sought = self.sought.as_slice();
        let found = self.index.entry(
            hash(hasher, sought, &key),
            |id| {
                let slot = &slots[id.index()];
                slot.key == key && octets.get(slot.place) == sought
            },
            |id| {
                let slot = &slots[id.index()];
                hash(hasher, octets.get(slot.place), &slot.key)
            },
        );
        let vacant = match found {
            Occupied(found) => {
                let id = *found.get();
                self.slots[id.index()].refs += 1;
                return id;
            }
            Vacant(vacant) => vacant,
        };
        let next = AttrId::new(self.slots.len());
        let id = self.free.pop().unwrap_or(next);
        vacant.insert(id);
        let slot = Slot {
            place: self.octets.insert(&self.sought),
            refs: 1,
            key,
            value: value(),
        };
        match self.slots.get_mut(id.index()) {
            Some(vacant) => *vacant = slot,
            None => self.slots.push(slot),
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
        let octets = self.octets.get(slot.place);
        let hash_of = hash(&self.hasher, octets, &slot.key);
        if let Ok(found) = self.index.find_entry(hash_of, |other| *other == id) {
            found.remove();
        }
        self.octets.remove(slot.place);
        self.free.push(id);
        Some((slot.key, &mut slot.value))
    }

    /// The set, unpacked.
    pub(crate) fn get(&self, id: AttrId) -> PathAttributes {
        unpack(self.octets.get(self.slots[id.index()].place))
    }

    pub(crate) fn key(&self, id: AttrId) -> K {
        self.slots[id.index()].key
    }

    pub(crate) fn value(&self, id: AttrId) -> &V {
        &self.slots[id.index()].value
    }
}
