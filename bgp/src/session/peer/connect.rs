//! Connections begin and end here.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    time::Instant,
    wire::{CeaseSubcode, ErrorCode, Message, Notification},
};

use super::{
    super::{
        connection::{Connection, Delayed, Link, OPEN_HOLD, OpenSent},
        event::{Action, Event, Refusal},
        offer::{Withheld, local_open},
        reason::{ConnectError, Disconnect, DownReason, Penalty},
        state::{Slot, State},
    },
    Peer, Phase,
};

/// How to part with a connection.
pub(super) enum How {
    /// It is gone already.
    Gone,
    /// Close it without a word.
    Drop,
    /// Say why.
    Notify(Notification),
}

impl How {
    /// With a Cease NOTIFICATION.
    pub(super) fn cease(subcode: CeaseSubcode) -> Self {
        Self::Notify(Notification::new(ErrorCode::Cease(subcode)))
    }
}

impl Peer {
    /// Asks for room for a connection that the neighbour made, and makes it.
    ///
    /// On success carry out the actions that this queues (an older connection in the way is closed),
    /// then call [`Peer::connected`] for [`Slot::Incoming`].
    ///
    /// # Errors
    /// The connection is not wanted; [`Refusal::notification`] says so to the neighbour.
    pub fn admit(&mut self, now: Instant) -> Result<(), Refusal> {
        match self.phase {
            Phase::Stopped => return Err(Refusal::Stopped),
            Phase::IdleHold { admit_from, .. } if now < admit_from => {
                return Err(Refusal::IdleHold);
            }
            // The neighbour calls: what we rested for is worth another try.
            Phase::IdleHold { until, .. } => {
                let dial_at = Some(until);
                self.phase = Phase::Active { dial_at };
                self.note_state(now);
            }
            Phase::Active { .. } => {}
        }
        if let Some(established) = self.outgoing.established().or(self.incoming.established())
            && established.session.negotiated.graceful_restart.is_none()
            && !self.config.collision_established
        {
            return Err(Refusal::AlreadyEstablished);
        }
        self.silent_since = self.incoming.silent_since();
        match self.incoming {
            Connection::Idle => {}
            // The neighbour may have restarted, or this may be a probe of the port. RFC 4724 section
            // 5 drops the session at once; we wait for an OPEN.
            Connection::Established(_) => {
                debug_assert!(self.outgoing.is_idle(), "nobody dials beside a session");
                self.outgoing = self.incoming.take();
                self.actions.push_back(Action::MakeRoom);
            }
            // The neighbour dials one connection at a time: for it, the previous one is dead.
            _ => self.end(
                now,
                Slot::Incoming,
                DownReason::Collision,
                How::cease(CeaseSubcode::ConnectionCollisionResolution),
            ),
        }
        Ok(())
    }

    /// A TCP connection is up. It is closed again if it fits no attempt of ours and was not admitted.
    pub fn connected(&mut self, now: Instant, slot: Slot, local: SocketAddr, remote: SocketAddr) {
        let expected = match (slot, self.connection(slot)) {
            (Slot::Outgoing, Connection::Connecting { .. }) => true,
            (Slot::Incoming, Connection::Idle) => matches!(self.phase, Phase::Active { .. }),
            (Slot::Outgoing, Connection::Idle) => false,
            // The slot has a connection: this report is not about a new one.
            _ => return,
        };
        if !expected {
            let farewell = bytes::Bytes::new();
            self.actions.push_back(Action::Close { slot, farewell });
            return;
        }
        let link = Link::new(slot, local, remote);
        match self.config.delay_open.filter(|delay| !delay.is_zero()) {
            Some(delay) => {
                let until = now + delay;
                *self.connection_mut(slot) = Connection::Delayed(Box::new(Delayed { link, until }));
            }
            None => self.say_open(now, slot, link),
        }
        if slot == Slot::Outgoing {
            // RFC 4271 section 8.2.2: the ConnectRetryTimer stops. A connection of the neighbour belongs
            // to another machine (section 8.2.1), and the timer of ours runs on.
            self.phase = Phase::Active { dial_at: None };
        }
        self.note_state(now);
    }

    /// Sends our OPEN. The neighbour has "a large value" of time for its own (RFC 4271 section 8.2.2).
    fn say_open(&mut self, now: Instant, slot: Slot, mut link: Link) {
        let ours = local_open(&self.config, &self.withheld);
        let open = Message::Open(ours.clone());
        let codec = crate::wire::Codec::default();
        link.send(now, &codec, &open, &mut self.record.sent);
        let replaced = self.silent_since.take_if(|_| slot == Slot::Incoming);
        *self.connection_mut(slot) = Connection::OpenSent(Box::new(OpenSent {
            link,
            ours,
            since: replaced.unwrap_or(now),
            hold: now + OPEN_HOLD,
        }));
    }

    /// The DelayOpenTimer expired, or the neighbour's OPEN came first.
    pub(super) fn end_delay(&mut self, now: Instant, slot: Slot) {
        if !matches!(self.connection(slot), Connection::Delayed(_)) {
            return;
        }
        if let Connection::Delayed(delayed) = self.connection_mut(slot).take() {
            self.say_open(now, slot, delayed.link);
            self.note_state(now);
        }
    }

    /// The attempt to dial failed.
    pub fn connect_failed(&mut self, now: Instant, error: ConnectError) {
        if matches!(self.outgoing, Connection::Connecting { .. }) {
            let reason = DownReason::ConnectFailed(error);
            self.end(now, Slot::Outgoing, reason, How::Gone);
        }
    }

    /// The connection in this slot is gone.
    pub fn closed(&mut self, now: Instant, slot: Slot, how: Disconnect) {
        if self.connection(slot).link().is_some() {
            self.end(now, slot, DownReason::ConnectionLost(how), How::Gone);
        }
    }

    /// Dials, if the neighbour is to be dialled, we have not done so already, and no OPEN has arrived on
    /// a connection of its own.
    pub(super) fn dial(&mut self, now: Instant) {
        let Phase::Active { .. } = self.phase else {
            return;
        };
        self.phase = Phase::Active { dial_at: None };
        let wanted = self.outgoing.is_idle() && self.incoming.session().is_none();
        if wanted && !self.config.passive {
            self.outgoing = Connection::Connecting {
                deadline: now + self.config.connect_retry,
            };
            self.actions.push_back(Action::Connect);
        }
        self.note_state(now);
    }

    /// Gives up dialling: another connection got ahead.
    pub(super) fn stop_dialling(&mut self) {
        if let Phase::Active { dial_at } = &mut self.phase {
            *dial_at = None;
        }
        self.abandon_dial();
    }

    fn abandon_dial(&mut self) {
        if matches!(self.outgoing, Connection::Connecting { .. }) {
            self.outgoing = Connection::Idle;
            self.actions.push_back(Action::Close {
                slot: Slot::Outgoing,
                farewell: bytes::Bytes::new(),
            });
        }
    }

    /// Ends what is in `slot`, tells about it, and decides what comes next.
    pub(super) fn end(&mut self, now: Instant, slot: Slot, reason: DownReason, how: How) {
        let ended = self.connection_mut(slot).take();
        if ended.is_idle() {
            return;
        }
        let (notification, close) = match how {
            How::Gone => (None, false),
            How::Drop => (None, true),
            How::Notify(notification) => (Some(notification), true),
        };
        // An attempt to dial has nobody to talk to.
        let notification = notification.filter(|_| ended.link().is_some());
        self.record_end(now, &reason, notification.as_ref());
        if let Some(established) = ended.established() {
            self.damping.session_ended(established.since, now);
            // Whoever refused a capability once may be another software when it comes back.
            self.withheld = Withheld::default();
        }
        self.schedule(now, slot, &ended, &reason);
        self.events.push(match ended.established() {
            Some(established) => Event::Down {
                retained: established.session.negotiated.retained(&reason),
                reason,
            },
            None => Event::AttemptFailed { slot, reason },
        });
        if close {
            self.note_farewell(now, &ended, notification.as_ref());
            let farewell = ended.farewell(notification.as_ref());
            self.actions.push_back(Action::Close { slot, farewell });
        }
        self.note_state(now);
    }

    /// A lost collision is counted, and is no error: another connection carries on.
    fn record_end(&mut self, now: Instant, reason: &DownReason, sent: Option<&Notification>) {
        self.record.sent.notification += u64::from(sent.is_some());
        if reason.is_collision() {
            return;
        }
        let errors = Arc::make_mut(&mut self.record.errors);
        errors.down = Some((now, reason.clone()));
        if let Some(notification) = sent {
            errors.sent = Some((now, notification.clone()));
        }
        if let DownReason::NotificationReceived(notification) = reason {
            errors.received = Some((now, notification.clone()));
        }
    }

    /// Decides what follows the end of a connection: when we dial, and whether we rest before.
    fn schedule(&mut self, now: Instant, slot: Slot, ended: &Connection, reason: &DownReason) {
        let Phase::Active { dial_at } = self.phase else {
            return;
        };
        let other = self.connection(slot.other());
        // A connection of the neighbour proves nothing until its OPEN is here.
        let may_still_make_it =
            other.session().is_some() || (slot == Slot::Incoming && other.link().is_some());
        if may_still_make_it {
            return;
        }
        let dialling = slot == Slot::Incoming && (!other.is_idle() || dial_at.is_some());
        let silence = slot == Slot::Incoming
            && matches!(ended, Connection::OpenSent(_))
            && *reason == DownReason::HoldTimerExpired;
        match reason.penalty() {
            // Whoever says nothing has made no mistake that would only be repeated.
            Penalty::Rest { ours } if !silence => self.rest(now, ours),
            // Our own attempt, or the time of the next one, is as good as before.
            _ if dialling => {}
            _ => {
                // In Connect, an expired ConnectRetryTimer starts the next attempt at once.
                let timed_out = matches!(reason, DownReason::ConnectFailed(ConnectError::TimedOut));
                let pause = self
                    .damping
                    .retry(self.config.connect_retry, &mut self.jitter);
                self.phase = Phase::Active {
                    dial_at: Some(if timed_out { now } else { now + pause }),
                };
            }
        }
    }

    /// Rests after an error. A connection of the neighbour that is up, and silent so far, goes on.
    fn rest(&mut self, now: Instant, ours: bool) {
        self.abandon_dial();
        let rest = self
            .damping
            .idle_hold(self.config.idle_hold, &mut self.jitter);
        let until = now + rest;
        let admit_from = if ours {
            now + rest.min(self.config.connect_retry)
        } else {
            now
        };
        self.phase = if self.incoming.is_idle() {
            Phase::IdleHold { until, admit_from }
        } else {
            Phase::Active {
                dial_at: Some(until),
            }
        };
    }

    /// Tells when the state that operators see has changed.
    pub(super) fn note_state(&mut self, now: Instant) {
        let (from, to) = (self.record.state, self.current_state());
        if from != to {
            self.record.state = to;
            self.record.state_since = now;
            self.events.push(Event::StateChanged { from, to });
            self.note_change(now, from, to);
        }
    }

    fn current_state(&self) -> State {
        let busy = self.connections().filter_map(|(_, c)| c.state()).max();
        busy.unwrap_or(match self.phase {
            Phase::Stopped | Phase::IdleHold { .. } => State::Idle,
            Phase::Active { .. } => State::Active,
        })
    }
}
