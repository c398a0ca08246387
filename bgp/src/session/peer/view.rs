//! What can be seen of a neighbour.

use std::sync::Arc;

use crate::time::Instant;

use super::{
    super::{
        config::PeerConfig,
        connection::Connection,
        negotiate::Negotiated,
        state::{Slot, State},
        status::{PeerStatus, Timers},
    },
    Peer, Phase,
};

impl Peer {
    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// The state as operators know it.
    #[must_use]
    pub const fn state(&self) -> State {
        self.record.state
    }

    /// The session's parameters, while it is Established.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Arc<Negotiated>> {
        self.connections()
            .find_map(|(_, connection)| connection.established())
            .map(|established| &established.session.negotiated)
    }

    /// In the middle of which messages the connection in `slot` is: what has been received of one that is
    /// not whole, and how many octets are left to send of one that has begun.
    #[must_use]
    pub fn under_way(&self, slot: Slot) -> (&[u8], usize) {
        let link = self.connection(slot).link();
        link.map_or((&[], 0), |link| (link.framer.part(), link.outbox.torn()))
    }

    /// A snapshot of everything.
    #[must_use]
    pub fn status(&self, now: Instant) -> PeerStatus {
        // The connection that is furthest is the one that operators mean.
        let lead = self
            .connections()
            .filter(|(_, connection)| connection.link().is_some())
            .max_by_key(|(_, connection)| connection.state());
        let session = lead.and_then(|(_, connection)| connection.session());
        let left = |at: Instant| at.saturating_since(now);
        let (connect_retry, idle_hold) = match self.phase {
            Phase::Stopped => (None, None),
            Phase::IdleHold { until, .. } => (None, Some(left(until))),
            Phase::Active { dial_at } => {
                let attempt = match self.outgoing {
                    Connection::Connecting { deadline } => Some(deadline),
                    _ => None,
                };
                (dial_at.or(attempt).map(left), None)
            }
        };
        PeerStatus {
            at: now,
            state: self.record.state,
            stopped: self.phase == Phase::Stopped,
            origin: lead.and_then(|(_, connection)| Some(connection.link()?.origin)),
            negotiated: session.map(|session| session.negotiated.clone()),
            established_since: lead
                .and_then(|(_, connection)| connection.established())
                .map(|established| established.since),
            state_since: self.record.state_since,
            established_count: self.record.established_count,
            timers: Timers {
                hold: lead.and_then(|(_, connection)| connection.hold()).map(left),
                keepalive: session.and_then(|session| session.keepalive).map(left),
                connect_retry,
                delay_open: lead.and_then(|(_, connection)| match connection {
                    Connection::Delayed(delayed) => Some(left(delayed.until)),
                    _ => None,
                }),
                idle_hold,
            },
            received: self.record.received,
            sent: self.record.sent,
            queued: lead
                .and_then(|(_, connection)| connection.link())
                .map_or(0, |link| link.outbox.len()),
            errors: self.record.errors.clone(),
        }
    }
}
