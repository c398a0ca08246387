//! Which Events are written, and when: said once, and counted after that.
//!
//! One Event is kept per subject and reason. The first occurrence is written as a new Event, more of
//! them change its series (`events.k8s.io/v1`), at most once per [`SERIES_INTERVAL`]; after
//! [`SERIES_END`] without one, the next is a new Event. All Events together have a budget:
//! [`BURST`] at once, then one per [`REFILL`]. What is beyond it waits, and is counted meanwhile; what was
//! never told comes first, so that nothing waits behind what repeats itself.

use std::{collections::BTreeMap, time::Duration};

use redstart_bgp::time::Instant;

use super::events::{Notice, Subject};

/// Between two writes of one series.
pub const SERIES_INTERVAL: Duration = Duration::from_secs(60);
/// Without an occurrence for so long, a series is over.
pub const SERIES_END: Duration = Duration::from_secs(600);
/// Writes at once.
pub const BURST: u32 = 20;
/// One more write per this time.
pub const REFILL: Duration = Duration::from_secs(10);
/// Subjects and reasons that are remembered; with more, the newest are not told.
pub const MAX_SERIES: usize = 256;

/// What to do about an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// To what, and what.
    pub subject: Subject,
    /// Its type.
    pub warning: bool,
    /// In words, which are the same for each occurrence.
    pub note: String,
    /// Occurrences so far.
    pub count: u32,
    /// Which Event of this subject it is.
    pub number: u64,
    /// Whether it is new; otherwise its series has changed.
    pub new: bool,
}

struct Series {
    entry: Entry,
    told: Option<Instant>,
    last: Instant,
    dirty: bool,
}

/// The Events of one speaker.
pub struct Ledger {
    series: BTreeMap<Subject, Series>,
    tokens: u32,
    refilled: Instant,
    numbered: u64,
}

impl Ledger {
    /// Nothing has happened. `numbered`: where to begin to number the Events, so that their names differ
    /// from those of an earlier speaker.
    #[must_use]
    pub fn new(now: Instant, numbered: u64) -> Self {
        Self {
            series: BTreeMap::new(),
            tokens: BURST,
            refilled: now,
            numbered,
        }
    }

    /// Something happened.
    pub fn note(&mut self, now: Instant, notice: Notice) {
        // What nobody takes is not kept for ever.
        let kept = |it: &Series| SERIES_END * (1 + u32::from(it.dirty));
        self.series.retain(|_, it| now < it.last + kept(it));
        if !self.series.contains_key(&notice.subject) && self.series.len() >= MAX_SERIES {
            return;
        }
        let number = self.numbered;
        let series = self
            .series
            .entry(notice.subject.clone())
            .or_insert_with(|| {
                self.numbered += 1;
                Series {
                    entry: Entry {
                        subject: notice.subject,
                        warning: notice.warning,
                        note: String::new(),
                        count: 0,
                        number,
                        new: true,
                    },
                    told: None,
                    last: now,
                    dirty: true,
                }
            });
        series.last = now;
        series.dirty = true;
        let entry = &mut series.entry;
        if entry.note != notice.note && !entry.new {
            // The API server takes no other words for an Event that there is.
            entry.number = self.numbered;
            self.numbered += 1;
            entry.new = true;
            entry.count = 0;
        }
        entry.note = notice.note;
        entry.count = entry.count.saturating_add(notice.times);
    }

    /// What to write now: what was never told first, then what was told the longest ago. It counts as
    /// written, unless it is [given back](Self::failed).
    pub fn due(&mut self, now: Instant) -> Vec<Entry> {
        while self.tokens < BURST && now >= self.refilled + REFILL {
            self.tokens += 1;
            self.refilled = self.refilled + REFILL;
        }
        if self.tokens == BURST {
            self.refilled = now;
        }
        let ready =
            |it: &&mut Series| it.dirty && it.told.is_none_or(|told| now >= told + SERIES_INTERVAL);
        let budget = self.tokens as usize;
        let mut waiting: Vec<&mut Series> = self.series.values_mut().filter(ready).collect();
        waiting.sort_by_key(|it| it.told);
        let mut due = Vec::new();
        for series in waiting.into_iter().take(budget) {
            due.push(series.entry.clone());
            series.entry.new = false;
            series.told = Some(now);
            series.dirty = false;
            self.tokens -= 1;
        }
        due
    }

    /// It could not be written: it is due again as if it had been, and had happened again.
    pub fn failed(&mut self, entry: &Entry) {
        let series = self.series.get_mut(&entry.subject);
        if let Some(series) = series.filter(|it| it.entry.number == entry.number) {
            series.dirty = true;
            series.entry.new |= entry.new;
        }
    }
}

#[cfg(test)]
mod tests;
