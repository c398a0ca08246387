//! Pauses between attempts: they double, they differ from node to node, and they become short
//! again after a quiet time. Success alone does not shorten them: a server that answers the list and
//! fails the watch must not be asked in a tight loop.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use tokio::time::Instant;

/// The pauses of one watch.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    last: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            next: min,
            last: None,
        }
    }

    /// The pause after a failure now: between half and all of what doubling gives.
    pub(super) fn pause(&mut self) -> Duration {
        let now = Instant::now();
        let quiet = self.max * 4;
        if self.last.is_some_and(|last| now - last > quiet) {
            self.next = self.min;
        }
        self.last = Some(now);
        let base = self.next;
        self.next = (self.next * 2).min(self.max);
        base / 2 + (base / 2).mul_f64(random_fraction())
    }
}

/// Uniform in [0, 1). Not a secret: it only spreads the nodes of a cluster.
fn random_fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_to_the_longest_and_shrink_after_a_quiet_time() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(8));
        let mut backoff = Backoff::new(min, max);
        for seconds in [1, 2, 4, 8, 8] {
            let pause = backoff.pause();
            let base = Duration::from_secs(seconds);
            assert!(pause >= base / 2 && pause <= base, "{pause:?} of {base:?}");
            tokio::time::advance(pause).await;
        }
        tokio::time::advance(max * 5).await;
        assert!(backoff.pause() <= min);
    }

    #[test]
    fn fractions_differ_and_stay_in_range() {
        let all: Vec<f64> = (0..100).map(|_| random_fraction()).collect();
        assert!(all.iter().all(|it| (0.0..1.0).contains(it)));
        assert!(all.iter().any(|it| *it < 0.5) && all.iter().any(|it| *it >= 0.5));
    }
}
