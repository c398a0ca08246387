//! The objects by id, by what they lead to, and how many users each has.
//!
//! A slot for each id that was ever given out, in the order of the ids: there are
//! [`FibConfig::NEXTHOP_IDS`] at most, of 16 octets each. What is in the slot stands alone, so a large
//! table is not moved when it grows, and ids that nobody has cost next to nothing.
//!
//! Users are counted by id, not by object: a route may name an object that is gone, or that is not
//! heard of yet.

use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{
    super::super::{
        model::FibConfig,
        object::{Leg, NexthopId},
    },
    Content, Object,
};
use crate::nexthop::NexthopSet;

#[derive(Debug, Default)]
struct Slot {
    object: Option<Box<Object>>,
    /// Routes that name it, are being written so or may be there so, and groups with it as a leg.
    users: u32,
}

/// See the module's page.
#[derive(Debug)]
pub(in super::super) struct Table {
    first: u32,
    slots: Vec<Slot>,
    len: usize,
    /// The legs and groups that may be found by what they lead to. Several may lead to the same.
    index: HashTable<NexthopId>,
    hasher: FixedState,
}

impl Table {
    pub(super) fn new(config: &FibConfig, hasher: FixedState) -> Self {
        Self {
            first: config.first_nexthop_id.get(),
            slots: Vec::new(),
            len: 0,
            index: HashTable::new(),
            hasher,
        }
    }

    /// The place of an id, if it is one of ours.
    fn place(&self, id: NexthopId) -> Option<usize> {
        let offset = id.0.checked_sub(self.first)?;
        (offset < FibConfig::NEXTHOP_IDS).then_some(offset as usize)
    }

    fn slot_mut(&mut self, id: NexthopId) -> Option<&mut Slot> {
        let place = self.place(id)?;
        if place >= self.slots.len() {
            self.slots.resize_with(place + 1, Slot::default);
        }
        self.slots.get_mut(place)
    }

    /// How many objects there are.
    pub(in super::super) const fn len(&self) -> usize {
        self.len
    }

    pub(in super::super) fn get(&self, id: NexthopId) -> Option<&Object> {
        self.slots.get(self.place(id)?)?.object.as_deref()
    }

    pub(in super::super) fn get_mut(&mut self, id: NexthopId) -> Option<&mut Object> {
        let place = self.place(id)?;
        self.slots.get_mut(place)?.object.as_deref_mut()
    }

    /// In the order of the ids.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = (NexthopId, &Object)> {
        let ids = (self.first..).map(NexthopId);
        ids.zip(&self.slots)
            .filter_map(|(id, slot)| Some((id, slot.object.as_deref()?)))
    }

    /// In the order of the ids.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NexthopId, &mut Object)> {
        let ids = (self.first..).map(NexthopId);
        ids.zip(&mut self.slots)
            .filter_map(|(id, slot)| Some((id, slot.object.as_deref_mut()?)))
    }

    /// Puts an object in, which nobody finds by what it leads to until it is [shown](Self::show).
    pub(super) fn insert(&mut self, id: NexthopId, object: Object) {
        if let Some(slot) = self.slot_mut(id)
            && slot.object.replace(Box::new(object)).is_none()
        {
            self.len += 1;
        }
    }

    /// Takes an object out that is [hidden](Self::hide).
    pub(super) fn remove(&mut self, id: NexthopId) -> Option<Box<Object>> {
        let place = self.place(id)?;
        let object = self.slots.get_mut(place)?.object.take()?;
        self.len -= 1;
        Some(object)
    }

    /// From now on the object is found by what it leads to. That must not change until it is hidden.
    pub(super) fn show(&mut self, id: NexthopId) {
        let Some(hash) = self.hash_of(id) else {
            return;
        };
        let mut index = core::mem::take(&mut self.index);
        // An object that is in the index has a hash.
        index.insert_unique(hash, id, |id| self.hash_of(*id).unwrap_or_default());
        self.index = index;
    }

    /// Nobody finds the object any more by what it leads to.
    pub(super) fn hide(&mut self, id: NexthopId) {
        if let Some(hash) = self.hash_of(id)
            && let Ok(found) = self.index.find_entry(hash, |other| *other == id)
        {
            found.remove();
        }
    }

    /// The leg, if it was shown.
    pub(super) fn leg(&self, leg: &Leg) -> Option<NexthopId> {
        let same = |id: &NexthopId| {
            let object = self.get(*id);
            object.is_some_and(|o| matches!(&o.content, Content::Leg(l) if l == leg))
        };
        let hash = self.hasher.hash_one(leg);
        self.index.find(hash, same).copied()
    }

    /// A group that was shown, leads to `set` and is `fit`.
    pub(super) fn group(
        &self,
        set: &NexthopSet,
        fit: impl Fn(NexthopId) -> bool,
    ) -> Option<NexthopId> {
        let same = |id: &NexthopId| {
            let object = self.get(*id);
            object.is_some_and(|o| matches!(&o.content, Content::Group { set: s, .. } if s == set))
        };
        let hash = self.hasher.hash_one(set);
        self.index.find(hash, |id| same(id) && fit(*id)).copied()
    }

    fn hash_of(&self, id: NexthopId) -> Option<u64> {
        match &self.get(id)?.content {
            Content::Leg(leg) => Some(self.hasher.hash_one(leg)),
            Content::Group { set, .. } => Some(self.hasher.hash_one(set)),
            Content::Debris => None,
        }
    }

    pub(super) fn users(&self, id: NexthopId) -> u32 {
        let slot = self.place(id).and_then(|place| self.slots.get(place));
        slot.map_or(0, |slot| slot.users)
    }

    /// One user more; whether it is the first.
    pub(super) fn hold(&mut self, id: NexthopId) -> bool {
        self.slot_mut(id).is_some_and(|slot| {
            slot.users += 1;
            slot.users == 1
        })
    }

    /// One user less; whether it was the last.
    pub(super) fn let_go(&mut self, id: NexthopId) -> bool {
        self.slot_mut(id).is_some_and(|slot| {
            let was_used = slot.users > 0;
            slot.users = slot.users.saturating_sub(1);
            was_used && slot.users == 0
        })
    }
}
