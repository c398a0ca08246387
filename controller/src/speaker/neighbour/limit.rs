//! Too many routes: the session ends, and begins again after a time or when the limit changes.

use redstart_bgp::{
    session::{DownReason, StopReason},
    time::Instant,
    types::Family,
};
use redstart_rib::{LimitState, PeerDown, Rib};
use tracing::{info, warn};

use super::Neighbour;
use crate::compile::PeerName;

/// Too many routes: the neighbour is stopped.
pub(super) struct OverLimit {
    /// Until then; `None`: until its limits change.
    pub(super) until: Option<Instant>,
}

impl Neighbour {
    /// Starts again after too many routes.
    pub(super) fn resume(&mut self, name: &PeerName) {
        if self.over_limit.take().is_some() {
            info!(peer = %name, reason = "maximum-prefixes", "starting again");
            self.start_unless_held();
        }
    }

    /// RFC 4271 section 6.7: too many routes end the session, with a Cease of subcode 1 (RFC 4486).
    pub(super) fn check_limit(
        &mut self,
        now: Instant,
        name: &PeerName,
        family: Family,
        rib: &mut Rib,
    ) {
        let Some(limit) = self.spec.rules.limit(family).map(|limit| limit.max) else {
            return;
        };
        let counts = rib.family_counts(self.id, family).unwrap_or_default();
        let (received, stale) = (counts.sent(), counts.stale);
        match rib.limit_state(self.id, family) {
            LimitState::Within => self.near_limit.remove(family),
            LimitState::Warning => {
                if !self.near_limit.contains(family) {
                    self.near_limit.insert(family);
                    warn!(peer = %name, %family, received, limit, reason = "maximum-prefixes-near", "the neighbour comes close to the number of routes that it may send");
                }
            }
            LimitState::Exceeded if self.session.is_some() => {
                warn!(peer = %name, %family, received, stale, limit, reason = "maximum-prefixes", "too many routes: the session ends");
                let why = StopReason::MaximumPrefixes { family, limit };
                self.last_end = Some(DownReason::Stopped(why.clone()));
                self.handle.stop(why);
                // What is still on its way from the session is not for the table any more.
                rib.peer_down(self.id, PeerDown::Flush);
                self.session = None;
                self.retention.forget();
                let until = self.spec.limit_restart.map(|after| now + after);
                self.over_limit = Some(OverLimit { until });
            }
            LimitState::Exceeded => {}
        }
    }

    /// Whether it sent too many routes and stays down for that.
    pub(in super::super) const fn is_over_limit(&self) -> bool {
        self.over_limit.is_some()
    }
}
