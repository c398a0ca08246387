//! The entries that may need an operation, by how urgent they are.
//!
//! Each is in at most one queue (`Entry::queued`), so all of them together are bounded by the number of
//! prefixes. What a full table took is given back once it is worked off.

use std::collections::VecDeque;

use super::entries::Slot;

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// No packet shall follow a route that the RIB gave up.
    Withdrawal,
    /// What was there and is not, or may not be.
    Repair,
    /// All else.
    Announcement,
}

/// Queues longer than this give their memory back.
const SMALL: usize = 4096;

/// How many entries have passed a point of each queue since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    withdrawals: u64,
    repairs: u64,
    announcements: u64,
}

impl Passed {
    /// Whether no queue is behind `other`.
    pub(super) const fn has_reached(self, other: Self) -> bool {
        self.withdrawals >= other.withdrawals
            && self.repairs >= other.repairs
            && self.announcements >= other.announcements
    }
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Queues {
    withdrawals: VecDeque<Slot>,
    repairs: VecDeque<Slot>,
    announcements: VecDeque<Slot>,
    taken: Passed,
}

impl Queues {
    pub(super) fn push(&mut self, turn: Turn, slot: Slot) {
        let queue = match turn {
            Turn::Withdrawal => &mut self.withdrawals,
            Turn::Repair => &mut self.repairs,
            Turn::Announcement => &mut self.announcements,
        };
        queue.push_back(slot);
    }

    /// The most urgent one, and the queue that it was in.
    pub(super) fn pop(&mut self) -> Option<(Turn, Slot)> {
        let queues = [
            (
                Turn::Withdrawal,
                &mut self.withdrawals,
                &mut self.taken.withdrawals,
            ),
            (Turn::Repair, &mut self.repairs, &mut self.taken.repairs),
            (
                Turn::Announcement,
                &mut self.announcements,
                &mut self.taken.announcements,
            ),
        ];
        for (turn, queue, taken) in queues {
            if let Some(slot) = queue.pop_front() {
                *taken += 1;
                if queue.is_empty() {
                    queue.shrink_to(SMALL);
                }
                return Some((turn, slot));
            }
        }
        None
    }

    /// How many were taken out.
    pub(super) const fn taken(&self) -> Passed {
        self.taken
    }

    /// How many were put in.
    pub(super) fn put(&self) -> Passed {
        Passed {
            withdrawals: self.taken.withdrawals + self.withdrawals.len() as u64,
            repairs: self.taken.repairs + self.repairs.len() as u64,
            announcements: self.taken.announcements + self.announcements.len() as u64,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.withdrawals.len() + self.repairs.len() + self.announcements.len()
    }
}
