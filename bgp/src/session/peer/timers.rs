//! Time: ConnectRetry, IdleHold, DelayOpen, Hold, Keepalive, SendHold and the bound on refreshes.

use crate::{
    time::Instant,
    wire::{ErrorCode, Message, Notification},
};

use super::{
    super::{
        connection::Connection,
        reason::{ConnectError, DownReason},
        state::Slot,
    },
    Peer, Phase,
    connect::How,
};

impl Peer {
    /// When [`Peer::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Stopped => None,
            Phase::IdleHold { until, .. } => Some(until),
            Phase::Active { dial_at } => dial_at,
        };
        let deadlines = [phase, self.outgoing.deadline(), self.incoming.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Time has come to `now`. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        // What many events have needed is not kept by an idle neighbour.
        self.events.shrink();
        for slot in Slot::ALL {
            self.slot_timeout(now, slot);
        }
        match self.phase {
            Phase::IdleHold { until, .. } if until <= now => {
                self.phase = Phase::Active { dial_at: None };
                self.dial(now);
            }
            Phase::Active { dial_at: Some(at) } if at <= now => self.dial(now),
            _ => {}
        }
    }

    /// The driver stopped reading, because what arrived before is not yet taken. Silence then says
    /// nothing about the neighbour, so the hold timer does not expire.
    pub fn read_paused(&mut self) {
        self.read_paused = true;
    }

    /// The driver reads again. What waits in the socket gets a whole hold time to be read.
    pub fn read_resumed(&mut self, now: Instant) {
        if !core::mem::take(&mut self.read_paused) {
            return;
        }
        let patience = self.config.refresh_time;
        for slot in Slot::ALL {
            if let Some(session) = self.connection_mut(slot).session_mut() {
                session.restart_hold(now);
            }
            if let Some(established) = self.connection_mut(slot).established_mut() {
                established.refresh.postpone(now + patience);
            }
        }
    }

    fn slot_timeout(&mut self, now: Instant, slot: Slot) {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        let connection = self.connection(slot);
        if let Connection::Connecting { deadline } = *connection {
            if deadline <= now {
                let reason = DownReason::ConnectFailed(ConnectError::TimedOut);
                self.end(now, slot, reason, How::Drop);
            }
            return;
        }
        if let Connection::Delayed(delayed) = connection {
            if delayed.until <= now {
                self.end_delay(now, slot);
            }
            return;
        }
        // RFC 9687 section 3.3: the connection is dropped; a NOTIFICATION could not get through.
        if due(connection.link().and_then(|link| link.outbox.deadline())) {
            return self.end(now, slot, DownReason::SendHoldTimerExpired, How::Drop);
        }
        if due(connection.hold()) {
            if !self.read_paused || matches!(connection, Connection::OpenSent(_)) {
                let notification = Notification::new(ErrorCode::HoldTimerExpired);
                let how = How::Notify(notification);
                return self.end(now, slot, DownReason::HoldTimerExpired, how);
            }
            if let Some(session) = self.connection_mut(slot).session_mut() {
                session.restart_hold(now);
            }
        }
        self.keepalive_timeout(now, slot);
        self.refresh_timeout(now, slot);
    }

    fn refresh_timeout(&mut self, now: Instant, slot: Slot) {
        let (paused, patience) = (self.read_paused, self.config.refresh_time);
        let Some(established) = self.connection_mut(slot).established_mut() else {
            return;
        };
        let refresh = &mut established.refresh;
        if refresh.deadline().is_none_or(|at| at > now) {
            return;
        }
        if paused {
            return refresh.postpone(now + patience);
        }
        for over in core::iter::from_fn(|| refresh.timeout(now)).collect::<Vec<_>>() {
            self.events.push(over);
        }
    }

    fn keepalive_timeout(&mut self, now: Instant, slot: Slot) {
        let connection = match slot {
            Slot::Outgoing => &mut self.outgoing,
            Slot::Incoming => &mut self.incoming,
        };
        let Some(session) = connection.session_mut() else {
            return;
        };
        if session.keepalive.is_some_and(|at| at <= now) {
            let codec = session.negotiated.codec;
            let sent = &mut self.record.sent;
            session.link.send(now, &codec, &Message::Keepalive, sent);
            session.restart_keepalive(now, &mut self.jitter);
        }
    }
}
