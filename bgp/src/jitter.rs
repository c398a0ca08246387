//! Timers that do not run in step.

use core::time::Duration;

/// A small deterministic generator (SplitMix64): the seed comes from outside, so a test can repeat a
/// run and two nodes do not retry in step.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Something from `min` to `max`, in steps of a 1024th of what lies between.
    pub(crate) fn between(&mut self, min: Duration, max: Duration) -> Duration {
        let step = u32::try_from(self.next() % 1025).unwrap_or(0);
        min + max.saturating_sub(min).saturating_mul(step) / 1024
    }

    /// `base` times a factor between 0.75 and 1: "jitter SHOULD be applied to the timers" (RFC 4271
    /// section 10), "up to 25%" of a BFD interval (RFC 5880 section 6.8.7).
    pub(crate) fn apply(&mut self, base: Duration) -> Duration {
        self.scale(base, 768, 1024)
    }

    /// `base` times a factor between `low` and `high` parts of 1024: exact enough for a timer, and no
    /// floating point.
    pub(crate) fn scale(&mut self, base: Duration, low: u32, high: u32) -> Duration {
        let span = u64::from(high.saturating_sub(low)) + 1;
        let part = low.saturating_add(u32::try_from(self.next() % span).unwrap_or(0));
        base.saturating_mul(part) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_three_quarters_and_one() {
        let mut jitter = Jitter::new(1);
        let base = Duration::from_secs(4);
        let (mut low, mut high) = (base, Duration::ZERO);
        for _ in 0..2000 {
            let d = jitter.apply(base);
            low = low.min(d);
            high = high.max(d);
        }
        assert!(
            low >= Duration::from_secs(3) && low < Duration::from_millis(3050),
            "{low:?}"
        );
        assert!(
            high <= base && high > Duration::from_millis(3950),
            "{high:?}"
        );
    }
}
