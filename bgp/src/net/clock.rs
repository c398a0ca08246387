//! The one clock: tokio's, counted from the start of the daemon.

use core::time::Duration;

use crate::time::Instant;

/// Maps the runtime's time to the engine's. Copies show the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }

    /// The time since the clock started.
    #[must_use]
    pub fn now(&self) -> Instant {
        let elapsed = tokio::time::Instant::now().saturating_duration_since(self.origin);
        Instant::ZERO + elapsed
    }

    /// The same point in the engine's time; what was before the clock started counts as its start.
    #[must_use]
    pub fn at(&self, when: tokio::time::Instant) -> Instant {
        Instant::ZERO + when.saturating_duration_since(self.origin)
    }

    /// The same point in the runtime's time.
    #[must_use]
    pub fn to_tokio(&self, at: Instant) -> tokio::time::Instant {
        let elapsed = at.saturating_since(Instant::ZERO);
        self.origin
            .checked_add(elapsed)
            // So far away that it does not matter.
            .unwrap_or_else(|| self.origin + Duration::from_secs(1 << 30))
    }

    /// Waits until `at`; for ever if there is no such time.
    pub async fn sleep_until(&self, at: Option<Instant>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.to_tokio(at)).await,
            None => core::future::pending().await,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
