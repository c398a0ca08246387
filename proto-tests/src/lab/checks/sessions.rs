//! Sessions, as the routers show them.

use std::{net::IpAddr, time::Duration};

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
        self.unchanged_with(lab, |_| true)
    }

    /// The same for the sessions with some neighbours only.
    pub fn unchanged_with(&self, lab: &Lab, which: impl Fn(IpAddr) -> bool) -> Result<()> {
        let now = Self::take(lab)?;
        for (router, before) in self.sessions.iter().filter(|(_, s)| which(s.neighbor)) {
            let after = now
                .sessions
                .iter()
                .find(|(other, session)| other == router && session.neighbor == before.neighbor);
            match after {
                Some((_, after)) if before.is_same(after) => {}
                after => bail!("a session of {router} was reset: {before:?} became {after:?}"),
            }
        }
        Ok(())
    }
}
