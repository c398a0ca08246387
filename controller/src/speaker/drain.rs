//! Relieving this node of traffic, step by step (RFC 8326). Pure.
//!
//! The configuration says whether, `compile::drain` what each step does; this says when. The first step
//! is taken at once, the second after a wait. A change of mind in between takes back what was done.

use redstart_bgp::time::Instant;
use tracing::info;

use crate::{
    compile::{DesiredState, Drain, drain},
    control::DrainStep,
};

/// Where the node stands.
#[derive(Debug, Default)]
pub(super) enum Draining {
    /// It serves.
    #[default]
    Not,
    /// Its routes are unattractive, until then.
    Softened(Instant),
    /// Its routes are withdrawn.
    Withdrawn,
}

impl Draining {
    /// Goes on as the configuration says.
    pub(super) fn begin(&mut self, now: Instant, wanted: &Drain) {
        match (&self, wanted.why) {
            (Self::Not, Some(why)) => {
                info!(reason = why.as_str(), wait = ?wanted.wait, "draining: routes are marked with GRACEFUL_SHUTDOWN");
                *self = Self::Softened(now + wanted.wait);
            }
            (Self::Softened(_) | Self::Withdrawn, None) => {
                info!("drained no longer: routes are as before");
                *self = Self::Not;
            }
            _ => {}
        }
    }

    /// Takes the second step when it is time; whether it did.
    pub(super) fn poll(&mut self, now: Instant) -> bool {
        let due = matches!(self, Self::Softened(until) if *until <= now);
        if due {
            info!("draining: routes are withdrawn");
            *self = Self::Withdrawn;
        }
        due
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Softened(until) => Some(*until),
            Self::Not | Self::Withdrawn => None,
        }
    }

    /// What that makes of the routes of our own.
    pub(super) fn apply(&self, desired: &mut DesiredState) {
        match self {
            Self::Not => {}
            Self::Softened(_) => drain::soften(desired),
            Self::Withdrawn => {
                drain::soften(desired);
                drain::withdraw(desired);
            }
        }
    }

    /// How far it is.
    pub(super) const fn step(&self) -> Option<DrainStep> {
        match self {
            Self::Not => None,
            Self::Softened(_) => Some(DrainStep::Marked),
            Self::Withdrawn => Some(DrainStep::Withdrawn),
        }
    }

    /// Whether it is under way.
    pub(super) const fn is_under_way(&self) -> bool {
        !matches!(self, Self::Not)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compile::DrainReason;

    const WAIT: Duration = Duration::from_secs(30);

    fn wanted(why: Option<DrainReason>) -> Drain {
        Drain {
            why,
            wait: WAIT,
            withdraw_pod_cidrs: false,
        }
    }

    #[test]
    fn routes_are_withdrawn_after_the_wait_and_come_back() {
        let (mut draining, begin) = (Draining::default(), Instant::ZERO);
        draining.begin(begin, &wanted(None));
        assert!(!draining.is_under_way() && draining.poll_timeout().is_none());

        let asked = wanted(Some(DrainReason::Annotation));
        draining.begin(begin, &asked);
        assert!(matches!(draining, Draining::Softened(_)));
        let due = begin + WAIT;
        assert_eq!(draining.poll_timeout(), Some(due));
        // Another configuration meanwhile does not start the wait anew.
        draining.begin(begin + WAIT / 2, &asked);
        assert!(!draining.poll(begin + WAIT / 2));
        assert!(draining.poll(due) && !draining.poll(due), "once");
        assert!(matches!(draining, Draining::Withdrawn));

        draining.begin(due, &wanted(None));
        assert!(!draining.is_under_way());
    }
}
