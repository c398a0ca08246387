//! Relieving this node of traffic, step by step (RFC 8326). Pure, but for the mark that outlives the
//! process.
//!
//! The configuration says whether, `compile::drain` what each step does; this says when. The first step
//! is taken at once, the second after a wait. A change of mind in between takes back what was done.

use std::path::{Path, PathBuf};

use redstart_bgp::time::Instant;
use tracing::{info, warn};

use super::beside;
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
    /// Where a speaker starts that an earlier one left there.
    pub(super) const fn resume(step: Option<DrainStep>) -> Self {
        match step {
            Some(DrainStep::Withdrawn) => Self::Withdrawn,
            Some(DrainStep::Marked) | None => Self::Not,
        }
    }

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

/// A file beside the socket that says how far the drain of this node is: a speaker that starts anew keeps
/// the node's place among those that are drained, and tells nobody again what was withdrawn.
#[derive(Debug)]
pub(super) struct DrainMark {
    /// None: nothing outlives this process (tests).
    path: Option<PathBuf>,
    step: Option<DrainStep>,
}

const WITHDRAWN: &str = "withdrawn";

impl DrainMark {
    /// Knows nothing, and writes nothing.
    #[cfg(test)]
    pub(super) const fn nowhere() -> Self {
        Self {
            path: None,
            step: None,
        }
    }

    /// What was left beside `socket`.
    pub(super) fn beside(socket: &Path) -> Self {
        let path = socket.with_extension("drained");
        let step = std::fs::read_to_string(&path)
            .ok()
            .map(|text| match text.trim() {
                WITHDRAWN => DrainStep::Withdrawn,
                _ => DrainStep::Marked,
            });
        Self {
            path: Some(path),
            step,
        }
    }

    pub(super) const fn step(&self) -> Option<DrainStep> {
        self.step
    }

    /// Says how far it is, where that is not said already.
    pub(super) fn set(&mut self, step: Option<DrainStep>) {
        if step == self.step {
            return;
        }
        self.step = step;
        let Some(path) = &self.path else {
            return;
        };
        let done = match step {
            Some(DrainStep::Marked) => beside::replace(path, "marked"),
            Some(DrainStep::Withdrawn) => beside::replace(path, WITHDRAWN),
            None => std::fs::remove_file(path),
        };
        if let Err(error) = done {
            warn!(reason = "no-drain-mark", path = %path.display(), "the next start will not know how far the drain of this node is: {error}");
        }
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
    fn the_mark_outlives_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redstart.sock");
        let mark = || DrainMark::beside(&socket);
        assert_eq!(mark().step(), None);
        for step in [
            None,
            Some(DrainStep::Marked),
            Some(DrainStep::Withdrawn),
            Some(DrainStep::Withdrawn),
            None,
        ] {
            mark().set(step);
            assert_eq!(mark().step(), step);
        }
        // As an earlier version wrote it.
        std::fs::write(socket.with_extension("drained"), "").unwrap();
        assert_eq!(mark().step(), Some(DrainStep::Marked));
    }

    /// A speaker that starts anew tells nobody what was withdrawn, for no moment; unless nothing asks for
    /// the drain any more.
    #[test]
    fn what_was_withdrawn_stays_so_over_a_restart() {
        let asked = wanted(Some(DrainReason::Annotation));
        let mut draining = Draining::resume(Some(DrainStep::Withdrawn));
        draining.begin(Instant::ZERO, &asked);
        assert!(matches!(draining, Draining::Withdrawn));
        draining.begin(Instant::ZERO, &wanted(None));
        assert!(!draining.is_under_way());

        // The wait was not over: it begins again.
        let mut draining = Draining::resume(Some(DrainStep::Marked));
        draining.begin(Instant::ZERO, &asked);
        assert_eq!(draining.poll_timeout(), Some(Instant::ZERO + WAIT));
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
