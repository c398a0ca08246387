//! When to write: soon after a change, never often, and from time to time without one.
//!
//! Many changes are seen by all nodes of a cluster at once (one of them dies, the configuration changes), so
//! each waits for a random part of the interval before it tells.

use std::time::Duration;

use redstart_bgp::time::Instant;

/// The times that may be chosen. The defaults suit clusters of thousands of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Between looks at the speaker.
    pub look: Duration,
    /// Between two writes at least.
    pub interval: Duration,
    /// Between two writes at most.
    pub heartbeat: Duration,
    /// The longest pause after failures.
    pub backoff_max: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(2),
            interval: Duration::from_secs(10),
            heartbeat: Duration::from_secs(300),
            backoff_max: Duration::from_secs(300),
        }
    }
}

/// The pace of one object's writes.
#[derive(Debug)]
pub struct Pace {
    tuning: Tuning,
    last: Option<Instant>,
    /// When the change that is to be told was noticed.
    noticed: Option<Instant>,
    failures: u32,
    jitter: f64,
}

impl Pace {
    /// Nothing was written. `jitter`, here and below, is a random number from 0 to 1.
    #[must_use]
    pub const fn new(tuning: Tuning, jitter: f64) -> Self {
        Self {
            tuning,
            last: None,
            noticed: None,
            failures: 0,
            jitter,
        }
    }

    /// Whether to write now, if what is to be said has `changed` since it was written.
    #[must_use]
    pub fn is_due(&mut self, now: Instant, changed: bool) -> bool {
        let Tuning {
            interval,
            heartbeat,
            backoff_max,
            ..
        } = self.tuning;
        let is_news = changed || self.last.is_none();
        self.noticed = is_news.then(|| self.noticed.unwrap_or(now));
        if let Some(noticed) = self.noticed
            && now < noticed + interval.mul_f64(self.jitter)
        {
            return false;
        }
        let Some(last) = self.last else {
            return true;
        };
        let pause = if self.failures > 0 {
            let doubled = interval.saturating_mul(1 << self.failures.min(16));
            doubled.min(backoff_max)
        } else if changed {
            interval
        } else {
            // The promise is the longest time, so the jitter makes it shorter.
            return now >= last + heartbeat.mul_f64(1.0 - self.jitter / 4.0);
        };
        now >= last + pause.mul_f64(1.0 + self.jitter / 2.0)
    }

    /// An attempt was made.
    pub fn attempted(&mut self, now: Instant, succeeded: bool, jitter: f64) {
        self.last = Some(now);
        self.noticed = None;
        self.jitter = jitter;
        self.failures = if succeeded {
            0
        } else {
            self.failures.saturating_add(1)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// How often one writes in an hour in which everything changes all the time, or nothing does.
    fn writes(changed: bool, succeeds: bool, jitter: f64) -> Vec<u64> {
        let mut pace = Pace::new(Tuning::default(), jitter);
        let mut writes = Vec::new();
        for now in 0..3600 {
            if pace.is_due(at(now), changed) {
                writes.push(now);
                pace.attempted(at(now), succeeds, jitter);
            }
        }
        writes
    }

    #[test]
    fn however_much_flaps_writes_are_ten_seconds_apart_or_more() {
        assert_eq!(writes(true, true, 0.0).len(), 360);
        assert_eq!(writes(true, true, 1.0).len(), 240);
    }

    #[test]
    fn without_a_change_there_is_a_heartbeat_in_time() {
        assert_eq!(writes(false, true, 0.0)[..3], [0, 300, 600]);
        assert_eq!(writes(false, true, 1.0)[..3], [10, 235, 460]);
    }

    #[test]
    fn what_all_nodes_see_at_once_they_do_not_tell_at_once() {
        // All have been silent for long; at second 200 something changes.
        let nodes = (0..1000_u32).map(|node| f64::from(node) / 1000.0);
        let tells = |jitter| {
            let mut pace = Pace::new(Tuning::default(), jitter);
            pace.attempted(at(0), true, jitter);
            (0..)
                .find(|now| pace.is_due(at(*now), *now >= 200))
                .unwrap()
        };
        let mut each_second = [0_usize; 11];
        for second in nodes.map(tells) {
            each_second[usize::try_from(second - 200).unwrap()] += 1;
        }
        assert!(
            each_second.iter().all(|writes| *writes <= 100),
            "{each_second:?}"
        );
    }

    #[test]
    fn a_server_that_refuses_is_asked_ever_less() {
        assert_eq!(
            writes(true, false, 0.0)[..7],
            [0, 20, 60, 140, 300, 600, 900]
        );
    }
}
