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

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Queues {
    withdrawals: VecDeque<Slot>,
    repairs: VecDeque<Slot>,
    announcements: VecDeque<Slot>,
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
            (Turn::Withdrawal, &mut self.withdrawals),
            (Turn::Repair, &mut self.repairs),
            (Turn::Announcement, &mut self.announcements),
        ];
        for (turn, queue) in queues {
            if let Some(slot) = queue.pop_front() {
                if queue.is_empty() {
                    queue.shrink_to(SMALL);
                }
                return Some((turn, slot));
            }
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.withdrawals.len() + self.repairs.len() + self.announcements.len()
    }
}
