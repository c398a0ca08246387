//! How long it takes from the arrival of UPDATEs until the kernel has answered what follows from them.
//!
//! No route has a time of its own, and no clock is read for one. What was read from a neighbour at once is
//! one *arrival*. It is followed through three places, each of which is worked off in order, so that it
//! takes one number to know whether it has left:
//!
//! 1. The RIB, until it has no more to say of what changed ([`Planner::told_all`]).
//! 2. The queues. So many entries had been put into them when all was told: until as many were taken out.
//! 3. The kernel. So many operations had been sent when the last of those was taken out: until each of
//!    them is answered.
//!
//! An answer, and a turn in the queue for withdrawals, may put an entry into a queue once more: its wish
//! changed while an operation on it was in flight, or the refused route has a predecessor that must go. Where
//! that has happened to any entry since, the arrival passes through 2 and 3 once more before it counts.
//!
//! So what is recorded is never less than it took, and more where other changes are under way: their
//! operations may be waited for as well. In particular, arrivals that are told together with others count if
//! one of them led to an operation. What is refused counts as answered; a later attempt is not waited for.
//! An arrival that led to no operation is not recorded, so neither are routes that the kernel still has from
//! before a restart. Arrivals are forgotten when the kernel forbids everything, and with the planner.

use std::collections::VecDeque;

use redstart_bgp::time::Instant;

use super::{Planner, entries::Slot, queues::Passed};
use crate::histogram::Histogram;

/// How many arrivals are followed at a time. Further ones are not measured.
const MOST: usize = 1024;

/// What was read from a neighbour at once.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    since: Instant,
    /// How often there had been something to do before it.
    work: u64,
}

/// An arrival of which the planner knows everything.
#[derive(Debug)]
struct Followed<T> {
    since: Instant,
    /// How many entries had been queued once more.
    again: u64,
    /// Whether it is there the second time.
    is_second: bool,
    /// What it waits for.
    until: T,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// How often a wish called for an operation.
    work: u64,
    /// How many entries were queued once more.
    again: u64,
    untold: VecDeque<Arrival>,
    queued: VecDeque<Followed<Passed>>,
    sent: VecDeque<Followed<u64>>,
    histogram: Histogram,
}

impl Latency {
    fn len(&self) -> usize {
        self.untold.len() + self.queued.len() + self.sent.len()
    }

    /// What was recorded counts on.
    pub(super) fn go_on_from(&mut self, before: Self) {
        self.histogram = before.histogram;
    }

    /// Nobody will tell of what has been read.
    pub(super) fn forget_untold(&mut self) {
        self.untold.clear();
    }

    /// Nothing more will be heard of what is followed.
    pub(super) fn forget(&mut self) {
        self.untold.clear();
        self.queued.clear();
        self.sent.clear();
    }
}

impl Planner {
    /// Something was read from a neighbour at `since`, and nothing of it has been told yet.
    #[must_use]
    pub const fn arrival(&self, since: Instant) -> Arrival {
        Arrival {
            since,
            work: self.latency.work,
        }
    }

    /// Everything of `arrival` is with the RIB: from now on it is waited for.
    pub fn follow(&mut self, arrival: Arrival) {
        if self.forbidden.is_none() && self.latency.len() < MOST {
            self.latency.untold.push_back(arrival);
        }
    }

    /// All that the RIB has to say was told, by [`desire`](Self::desire).
    pub fn told_all(&mut self, now: Instant) {
        if self.latency.untold.is_empty() {
            return;
        }
        let until = self.queues.put();
        let Latency {
            work,
            again,
            untold,
            queued,
            ..
        } = &mut self.latency;
        let told = untold.drain(..).filter(|it| it.work != *work);
        queued.extend(told.map(|it| Followed {
            since: it.since,
            again: *again,
            is_second: false,
            until,
        }));
        self.note_progress(now);
    }

    /// How long it took from the arrival of UPDATEs until the kernel had answered what followed from them.
    #[must_use]
    pub const fn latency(&self) -> &Histogram {
        &self.latency.histogram
    }

    /// A wish has changed.
    pub(super) fn note_work(&mut self, slot: Slot) {
        let entry = self.entries.entry(slot);
        self.latency.work += u64::from(entry.queued || entry.in_flight);
    }

    /// As [`touch`](Self::touch), for an entry that has had its turn.
    pub(super) fn touch_again(&mut self, slot: Slot) {
        self.touch(slot);
        self.latency.again += u64::from(self.entries.entry(slot).queued);
    }

    /// Entries were taken out of the queues, or operations answered.
    pub(super) fn note_progress(&mut self, now: Instant) {
        while self.pass_queues() || self.pass_kernel(now) {}
    }

    fn pass_queues(&mut self) -> bool {
        let taken = self.queues.taken();
        let passes = |it: &mut Followed<Passed>| taken.has_reached(it.until);
        let Some(it) = self.latency.queued.pop_front_if(passes) else {
            return false;
        };
        self.latency.sent.push_back(Followed {
            since: it.since,
            again: it.again,
            is_second: it.is_second,
            until: self.in_flight.sent(),
        });
        true
    }

    fn pass_kernel(&mut self, now: Instant) -> bool {
        let answered = self.in_flight.answered();
        let passes = |it: &mut Followed<u64>| it.until <= answered;
        let Some(it) = self.latency.sent.pop_front_if(passes) else {
            return false;
        };
        if it.is_second || it.again == self.latency.again {
            self.latency
                .histogram
                .record(now.saturating_since(it.since));
        } else {
            self.latency.queued.push_back(Followed {
                since: it.since,
                again: self.latency.again,
                is_second: true,
                until: self.queues.put(),
            });
        }
        true
    }
}
