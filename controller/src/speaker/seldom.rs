//! What is logged once a minute, however often it happens: a neighbour that does nothing else must not
//! fill the disk. What is left out is counted, and told with the next line.

use std::time::Duration;

use redstart_bgp::time::Instant;

/// How far apart two lines are.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);

/// When there may be another line.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    quiet_until: Option<Instant>,
    unlogged: u64,
}

impl Seldom {
    /// How many were not logged since the last that was; `None` if this one is not to be either.
    pub(super) fn turn(&mut self, now: Instant) -> Option<u64> {
        if self.quiet_until.is_some_and(|until| now < until) {
            self.unlogged += 1;
            return None;
        }
        self.quiet_until = Some(now + INTERVAL);
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_is_logged_and_the_rest_are_counted() {
        let mut seldom = Seldom::default();
        let start = Instant::ZERO;
        assert_eq!(seldom.turn(start), Some(0));
        for _ in 0..3 {
            assert_eq!(seldom.turn(start + INTERVAL / 2), None);
        }
        assert_eq!(seldom.turn(start + INTERVAL), Some(3));
        assert_eq!(seldom.turn(start + INTERVAL), None);
    }
}
