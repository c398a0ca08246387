//! The operations that wait for their answers.
//!
//! Ids are given out in order and answers come in nearly the same order, so this is a queue with gaps
//! rather than a map.

use std::collections::VecDeque;

use super::{
    super::{
        kernel::{Change, OpId},
        object::{NexthopChange, NexthopId},
    },
    entries::Slot,
};

/// What an operation was about.
#[derive(Debug)]
pub(super) enum InFlight {
    Route(Slot, Change),
    Nexthop(NexthopId, NexthopChange),
}

#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The id of the first slot.
    first: u64,
    slots: VecDeque<Option<InFlight>>,
    waiting: usize,
}

impl Flight {
    pub(super) fn insert(&mut self, what: InFlight) -> OpId {
        let id = self.first + self.slots.len() as u64;
        self.slots.push_back(Some(what));
        self.waiting += 1;
        OpId(id)
    }

    pub(super) fn remove(&mut self, id: OpId) -> Option<InFlight> {
        let slot = self.place(id)?;
        let found = self.slots.get_mut(slot)?.take()?;
        self.waiting -= 1;
        while self.slots.front().is_some_and(Option::is_none) {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(found)
    }

    fn place(&self, id: OpId) -> Option<usize> {
        usize::try_from(id.0.checked_sub(self.first)?).ok()
    }

    /// How many were sent since the start.
    pub(super) fn sent(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// How many of them, from the first one on, are answered.
    pub(super) const fn answered(&self) -> u64 {
        self.first
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &InFlight> {
        self.slots.iter().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }
}
