//! How long to wait before the next attempt: retry delays and rest after errors.
//!
//! RFC 4271 section 8.1.1 leaves DampPeerOscillations open. Two kinds of failure are told apart:
//!
//! - *No connection* (refused, lost, a Cease that asks for another try). Nothing is wrong with the
//!   protocol, so the first retries come fast, doubling up to ConnectRetryTime: two speakers that start
//!   within a second of each other must not wait for a long timer.
//! - *A protocol error* (a NOTIFICATION other than Cease, either way; an expired hold timer), or a Cease
//!   that says that no session is wanted (RFC 4486 section 4). The neighbour rests in Idle for
//!   IdleHoldTime, doubling up to one minute.
//!
//! RFC 4486 section 4 also suggests an upper bound on the number of retries. There is none: a node heals
//! by itself, and one attempt a minute costs nobody anything.
//!
//! A session that stayed up clears both: of attempts to connect soon, of errors not before it has
//! lasted longer than what makes sessions fail again and again. A hold timer that expires behind a path
//! that carries short packets alone takes 90 seconds each time, and the table that is told and flushed
//! meanwhile is not for free.

use core::time::Duration;

use crate::{jitter::Jitter, time::Instant};

/// The first pause between two attempts to connect.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// The longest rest after errors.
const MAX_IDLE_HOLD: Duration = Duration::from_secs(60);

/// A session that lasted this long had a connection to speak of.
const CONNECTED: Duration = Duration::from_secs(10);

/// A session that lasted this long was a good one: longer than the usual hold times (90 and 180 seconds).
const STABLE: Duration = Duration::from_secs(300);

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damping {
    retries: u32,
    errors: u32,
}

impl Damping {
    /// The pause before dialling again.
    pub(super) fn retry(&mut self, connect_retry: Duration, jitter: &mut Jitter) -> Duration {
        let delay = doubled(FIRST_RETRY, self.retries).min(connect_retry);
        self.retries = self.retries.saturating_add(1);
        jitter.apply(delay)
    }

    /// The rest after a protocol error.
    pub(super) fn idle_hold(&mut self, idle_hold: Duration, jitter: &mut Jitter) -> Duration {
        let delay = doubled(idle_hold, self.errors).min(MAX_IDLE_HOLD.max(idle_hold));
        self.errors = self.errors.saturating_add(1);
        jitter.apply(delay)
    }

    /// A session that was Established since `since` ended.
    pub(super) fn session_ended(&mut self, since: Instant, now: Instant) {
        let lasted = now.saturating_since(since);
        if lasted >= CONNECTED {
            self.retries = 0;
        }
        if lasted >= STABLE {
            self.errors = 0;
        }
    }

    /// The operator starts afresh.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

fn doubled(base: Duration, times: u32) -> Duration {
    base.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_up_to_connect_retry() {
        let (mut damping, mut jitter) = (Damping::default(), Jitter::new(7));
        let cap = Duration::from_secs(5);
        let delays: Vec<_> = (0..40).map(|_| damping.retry(cap, &mut jitter)).collect();
        assert!(delays[0] <= FIRST_RETRY);
        assert!(delays[1] > FIRST_RETRY);
        assert!(delays[5..].iter().all(|d| *d >= cap * 3 / 4 && *d <= cap));
    }

    #[test]
    fn a_stable_session_clears_the_debt_and_a_short_one_does_not() {
        let (mut damping, mut jitter) = (Damping::default(), Jitter::new(7));
        let base = Duration::from_secs(1);
        for _ in 0..10 {
            damping.idle_hold(base, &mut jitter);
        }
        let lasted = |damping: &mut Damping, lasted| {
            damping.session_ended(Instant::ZERO, Instant::ZERO + lasted);
        };
        // As long as hold timers take to expire.
        for seconds in [0, 30, 90, 200, 299] {
            lasted(&mut damping, Duration::from_secs(seconds));
            let rest = damping.idle_hold(base, &mut jitter);
            assert!(rest >= MAX_IDLE_HOLD * 3 / 4, "{seconds}: {rest:?}");
        }
        lasted(&mut damping, STABLE);
        assert!(damping.idle_hold(base, &mut jitter) <= base);
    }

    #[test]
    fn a_connection_to_speak_of_is_dialled_again_at_once() {
        let (mut damping, mut jitter) = (Damping::default(), Jitter::new(7));
        let cap = Duration::from_secs(120);
        for _ in 0..20 {
            damping.retry(cap, &mut jitter);
        }
        damping.session_ended(Instant::ZERO, Instant::ZERO + CONNECTED / 2);
        assert!(damping.retry(cap, &mut jitter) > FIRST_RETRY);
        damping.session_ended(Instant::ZERO, Instant::ZERO + CONNECTED);
        assert!(damping.retry(cap, &mut jitter) <= FIRST_RETRY);
    }
}
