//! How long things took: how often it was how long. Plain numbers, for whoever publishes them.

use core::time::Duration;

/// The most that counts for each bucket but the last, which has no bound: from what a single route takes
/// to what is an outage.
pub const BOUNDS: [Duration; 16] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// See the module's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    /// It took so long once more.
    pub fn record(&mut self, took: Duration) {
        self.counts[BOUNDS.partition_point(|bound| *bound < took)] += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// How often something was recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of it took.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// Each bound, and how often it took no longer than that.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut so_far = 0;
        BOUNDS.into_iter().zip(self.counts).map(move |(bound, n)| {
            so_far += n;
            (bound, so_far)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_beyond_all_counts_too() {
        assert!(BOUNDS.is_sorted());
        let mut histogram = Histogram::default();
        for micros in [0, 500, 501, 1_000, 60_000_000, 60_000_001, 3_600_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        assert_eq!(histogram.count(), 7);
        assert_eq!(histogram.sum(), Duration::from_micros(3_720_002_002));
        let up_to = |bound| {
            let mut all = histogram.cumulative();
            all.find(|(it, _)| *it == bound).map(|(_, n)| n)
        };
        assert_eq!(up_to(Duration::from_micros(500)), Some(2));
        assert_eq!(up_to(Duration::from_millis(1)), Some(4));
        assert_eq!(up_to(Duration::from_secs(30)), Some(4));
        assert_eq!(up_to(Duration::from_secs(60)), Some(5));
    }
}
