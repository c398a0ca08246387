//! What the neighbours' tasks hand to an update log (RFC 6396 section 4.4), and where it is taken.
//!
//! Each task makes the records of its own neighbour and passes them on. Nobody waits for whoever writes
//! them: what is under way is bounded by the memory that it takes, for all neighbours together, and what
//! finds no room is counted and gone. The log is over when the last task has let go of it.

use core::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};
use std::sync::{
    Arc,
    mpsc::{self, Receiver, RecvTimeoutError, Sender},
};

use bytes::BytesMut;

use crate::{mrt::Time, time::Instant};

/// What it takes to hold a portion, beside its octets, until it is taken. One portion is what a neighbour's
/// task made at once.
pub(super) const PORTION: usize = 128;

/// Records, whole ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// They.
    pub octets: BytesMut,
    /// How many there are.
    pub count: u64,
}

impl Records {
    /// How much room they need until they are taken.
    fn size(&self) -> usize {
        self.octets.capacity() + PORTION
    }
}

#[derive(Debug)]
struct Shared {
    /// How much may be under way, in octets of memory. That is what bounds the channel.
    room: usize,
    /// How much is.
    under_way: AtomicUsize,
    /// Records that found no room, or no place in the end.
    lost: AtomicU64,
    /// The same of several logs together.
    lost_in_all: Arc<AtomicU64>,
    /// When the tasks' clock began, in microseconds since 1970.
    epoch: AtomicU64,
    /// Whether our own messages are asked for.
    sent: bool,
}

impl Shared {
    fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.lost_in_all.fetch_add(count, Ordering::Relaxed);
    }
}

/// Where records go. Copies lead to the same place.
#[derive(Clone, Debug)]
pub struct UpdateLog {
    shared: Arc<Shared>,
    to: Sender<Records>,
}

/// Where records are taken.
#[derive(Debug)]
pub struct UpdateLogEnd {
    shared: Arc<Shared>,
    from: Receiver<Records>,
}

/// There are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRecords {
    /// At the moment.
    Yet,
    /// Nobody has the log any more.
    Over,
}

impl UpdateLog {
    /// With room for so many octets that are not written yet. What is not even taken yet needs more than
    /// its octets. `sent`: of our own messages as well.
    #[must_use]
    pub fn new(room: usize, sent: bool) -> (Self, UpdateLogEnd) {
        Self::counted(room, sent, Arc::default())
    }

    /// The same, where records that are lost are added to `lost_in_all` as well: that of several logs, and
    /// of those that are over.
    #[must_use]
    pub fn counted(room: usize, sent: bool, lost_in_all: Arc<AtomicU64>) -> (Self, UpdateLogEnd) {
        let (to, from) = mpsc::channel();
        let shared = Arc::new(Shared {
            room,
            under_way: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            lost_in_all,
            epoch: AtomicU64::new(0),
            sent,
        });
        let log = Self {
            shared: Arc::clone(&shared),
            to,
        };
        (log, UpdateLogEnd { shared, from })
    }

    /// Records that are lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    pub(super) fn wants_sent(&self) -> bool {
        self.shared.sent
    }

    /// A moment of the tasks' clock, as records have it.
    pub(super) fn time(&self, at: Instant) -> Time {
        let epoch = Duration::from_micros(self.shared.epoch.load(Ordering::Relaxed));
        let at = epoch.saturating_add(at.saturating_since(Instant::ZERO));
        Time {
            seconds: u32::try_from(at.as_secs()).unwrap_or(u32::MAX),
            micros: at.subsec_micros(),
        }
    }

    /// Passes records on, if there is room for all of them.
    pub fn pass(&self, records: Records) {
        let (shared, size, count) = (&self.shared, records.size(), records.count);
        let before = shared.under_way.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) > shared.room || self.to.send(records).is_err() {
            shared.under_way.fetch_sub(size, Ordering::Relaxed);
            shared.lose(count);
        }
    }
}

/// Two are the same if they lead to the same place.
impl PartialEq for UpdateLog {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for UpdateLog {}

impl UpdateLogEnd {
    /// Says when the tasks' clock began, by the time since 1970: from now on records are dated by that.
    pub fn set_epoch(&self, epoch: Duration) {
        let micros = u64::try_from(epoch.as_micros()).unwrap_or(u64::MAX);
        self.shared.epoch.store(micros, Ordering::Relaxed);
    }

    /// Waits for records, so long at most. Blocks the thread. Their octets stay under way until they are
    /// [`done`](Self::done).
    ///
    /// # Errors
    /// There are none.
    pub fn next(&self, wait: Duration) -> Result<Records, NoRecords> {
        let records = self.from.recv_timeout(wait).map_err(|none| match none {
            RecvTimeoutError::Timeout => NoRecords::Yet,
            RecvTimeoutError::Disconnected => NoRecords::Over,
        })?;
        self.done(records.size() - records.octets.len());
        Ok(records)
    }

    /// So many octets are not under way any more: they are written, or given up.
    pub fn done(&self, octets: usize) {
        self.shared.under_way.fetch_sub(octets, Ordering::Relaxed);
    }

    /// How much is under way.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::Relaxed)
    }

    /// Records that were taken, and are lost all the same.
    pub fn give_up(&self, count: u64) {
        self.shared.lose(count);
    }

    /// Records that are lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}
