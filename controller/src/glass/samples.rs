//! Counts of the last hour: a ring of samples, one every ten seconds.
//!
//! They are taken from `show status`, which costs nothing that grows with the tables. When the core does not
//! answer there is no sample, and the page shows the gap.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::control::{
    Query, ask,
    views::{PeerTotals, Status},
};

/// From one sample to the next.
const EVERY: Duration = Duration::from_secs(10);

/// An hour of them, both ends included.
const KEPT: usize = 361;

/// What was counted at one moment.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    at: Timestamp,
    /// Prefixes in the table.
    ipv4: u64,
    ipv6: u64,
    /// Routes of our own.
    originated: u64,
    /// Routes in the kernel.
    installed: u64,
    peers: PeerTotals,
}

impl From<&Status> for Sample {
    fn from(status: &Status) -> Self {
        let prefixes = |family| status.prefixes.get(family).copied().unwrap_or_default();
        Self {
            at: status.now,
            ipv4: prefixes("ipv4"),
            ipv6: prefixes("ipv6"),
            originated: status.originated,
            installed: status.kernel.installed,
            peers: status.peers,
        }
    }
}

/// The latest samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Arc<Mutex<VecDeque<Sample>>>);

impl Samples {
    /// Oldest first.
    pub(super) fn list(&self) -> Vec<Sample> {
        self.with(|samples| samples.iter().cloned().collect())
    }

    /// Takes them, for as long as it is polled.
    pub(super) async fn take(self, core: mpsc::Sender<Query>) {
        let mut time = interval(EVERY);
        time.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            time.tick().await;
            if let Some(status) = ask(&core, Query::Status).await {
                self.add(Sample::from(&status));
            }
        }
    }

    fn add(&self, sample: Sample) {
        self.with(|samples| {
            if samples.len() == KEPT {
                samples.pop_front();
            }
            samples.push_back(sample);
        });
    }

    fn with<T>(&self, each: impl FnOnce(&mut VecDeque<Sample>) -> T) -> T {
        each(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept() {
        let samples = Samples::default();
        for n in 0..2 * KEPT as u64 {
            samples.add(Sample {
                at: Timestamp::UNIX_EPOCH,
                ipv4: n,
                ipv6: 0,
                originated: 0,
                installed: 0,
                peers: PeerTotals::default(),
            });
        }
        let kept: Vec<u64> = samples.list().iter().map(|sample| sample.ipv4).collect();
        let expected: Vec<u64> = (KEPT as u64..2 * KEPT as u64).collect();
        assert_eq!(kept, expected);
    }
}
