//! Sessions, as the routers show them.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::lab::{Lab, router::RouterSession, wait};

/// Waits until every router has every session with every node Established.
pub fn established(lab: &Lab, bound: Duration) -> Result<Duration> {
    let ((), took) = wait::until("all sessions Established", bound, || {
        lab.routers()
            .iter()
            .try_for_each(|router| router.all_established(&lab.topology))
    })?;
    Ok(took)
}

/// The sessions of all routers at one moment, to compare with later.
#[derive(Debug)]
pub struct SessionSnapshot {
    sessions: Vec<(String, RouterSession)>,
}

impl SessionSnapshot {
    /// What the routers show now.
    pub fn take(lab: &Lab) -> Result<Self> {
        let mut sessions = Vec::new();
        for router in lab.routers() {
            let name = &router.router.name;
            sessions.extend(
                router
                    .sessions()?
                    .into_iter()
                    .map(|session| (name.clone(), session)),
            );
        }
        Ok(Self { sessions })
    }

    /// Fails if any session has been reset, or has changed at all, since then.
    pub fn unchanged(&self, lab: &Lab) -> Result<()> {
        let now = Self::take(lab)?;
        for (before, after) in self.sessions.iter().zip(&now.sessions) {
            if before != after {
                bail!("a session was reset: {before:?} became {after:?}");
            }
        }
        if self.sessions.len() != now.sessions.len() {
            bail!(
                "there were {} sessions, now {}",
                self.sessions.len(),
                now.sessions.len()
            );
        }
        Ok(())
    }
}
