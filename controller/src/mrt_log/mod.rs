//! The update log: every message and change of state of the neighbours, in MRT files.
//!
//! The neighbours' tasks make the records ([`redstart_bgp::net::UpdateLog`]) and wait for nobody. One
//! thread, which there is only while a log is configured, writes them. Records are appended in their order
//! and never changed, so a file can be read while it grows: at its end may be half a record, for as long as
//! a write takes. What cannot be written is tried again; meanwhile a bounded amount waits, and what comes
//! beyond that is lost and counted.
//!
//! | file | job |
//! |---|---|
//! | this one | what others know of the log |
//! | `writer` | the thread: what waits, when to try again, what to say |
//! | `files` | the files: names, sizes, how many |
//! | `store` | the file that is written: it never has half a record within |
//! | `fault` | why nothing can be written |

mod fault;
mod files;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

pub(crate) use self::{
    fault::Fault,
    writer::{Shown, Writer},
};

/// Octets of records that may wait to be written, with what it takes to hold them.
pub(crate) const ROOM: usize = 16 << 20;

/// How the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Since when it can be written, or cannot.
    pub(crate) since: Timestamp,
    /// The file that is written, by its name.
    pub(crate) file: Option<String>,
    /// Why it cannot be written now.
    pub(crate) fault: Option<Fault>,
    /// Why there is an old file still that should be gone.
    pub(crate) stuck: Option<Fault>,
}

impl Status {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            file: None,
            fault: None,
            stuck: None,
        }
    }
}

/// What all logs of this process did together: a change of the configuration makes another one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Records that are lost.
    pub(crate) lost: Arc<AtomicU64>,
    written: Arc<[AtomicU64; 3]>,
}

/// What was written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Files begun.
    pub(crate) files: u64,
    /// Records.
    pub(crate) records: u64,
    /// Their octets.
    pub(crate) octets: u64,
    /// Records that are lost.
    pub(crate) lost: u64,
}

impl Totals {
    pub(crate) fn counts(&self) -> Counts {
        let [files, records, octets] = self.written.each_ref().map(get);
        let lost = get(&self.lost);
        Counts {
            files,
            records,
            octets,
            lost,
        }
    }

    fn add(&self, files: u64, written: store::Written) {
        let [in_files, in_records, in_octets] = &*self.written;
        in_files.fetch_add(files, Ordering::Relaxed);
        in_records.fetch_add(written.records, Ordering::Relaxed);
        in_octets.fetch_add(written.octets, Ordering::Relaxed);
    }
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// When the write began that is under way, if there is one: a disk may never answer.
#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    zero: Instant,
    /// In milliseconds since then, and one more; or 0.
    since: Arc<AtomicU64>,
}

impl UnderWay {
    pub(crate) fn new() -> Self {
        Self {
            zero: Instant::now(),
            since: Arc::default(),
        }
    }

    /// One that began so long ago.
    #[cfg(test)]
    pub(crate) fn since(ago: Duration) -> Self {
        let mut it = Self::new();
        it.begin();
        it.zero = it.zero.checked_sub(ago).unwrap();
        it
    }

    /// How long it has taken so far.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        let since = get(&self.since).checked_sub(1)?;
        Some(
            self.zero
                .elapsed()
                .saturating_sub(Duration::from_millis(since)),
        )
    }

    fn begin(&self) {
        let millis = u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since
            .store(millis.saturating_add(1), Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }
}
