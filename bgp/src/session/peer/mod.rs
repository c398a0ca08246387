//! The machine of one neighbour.
//!
//! This file has the operator's inputs and the polled outputs. `connect` makes and ends connections,
//! `receive` handles what arrives, `telling` keeps it for the driver, `send` queues what leaves,
//! `timers` handles time, `view` shows it all, `journal` notes it for an update log.

mod connect;
mod journal;
mod receive;
mod send;
mod telling;
mod timers;
mod view;

use std::{collections::VecDeque, sync::Arc};

use crate::{jitter::Jitter, time::Instant};

use super::{
    config::{PeerConfig, Reconfigured},
    connection::Connection,
    damping::Damping,
    event::{Action, Event},
    journal::Journal,
    offer::Withheld,
    reason::{DownReason, StopReason},
    state::{Slot, State},
    status::{Counters, LastErrors},
};

use connect::How;
use telling::Telling;

/// What the neighbour as a whole is up to, beside its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not started, or stopped.
    Stopped,
    /// Resting after an error. Connections from the neighbour are welcome a little earlier than our
    /// own attempt: it may know that the cause is gone.
    IdleHold { until: Instant, admit_from: Instant },
    /// Working towards a session, or in one. `dial_at`: the ConnectRetryTimer. It is that of our own
    /// attempts and runs beside a connection of the neighbour, until that one's OPEN is here.
    Active { dial_at: Option<Instant> },
}

/// What is remembered for views.
#[derive(Debug)]
struct Record {
    state: State,
    state_since: Instant,
    established_count: u64,
    received: Counters,
    sent: Counters,
    errors: Arc<LastErrors>,
}

/// One configured neighbour.
#[derive(Debug)]
pub struct Peer {
    config: PeerConfig,
    phase: Phase,
    outgoing: Connection,
    incoming: Connection,
    jitter: Jitter,
    damping: Damping,
    /// What the neighbour refused: the next OPEN goes without (RFC 5492 section 3).
    withheld: Withheld,
    /// Since when connections of the neighbour have been silent, if the next one takes the place of
    /// such a one.
    silent_since: Option<Instant>,
    /// The driver does not read: silence says nothing about the neighbour.
    read_paused: bool,
    record: Record,
    /// Where what happens is noted, if it is.
    journal: Option<Box<Journal>>,
    actions: VecDeque<Action>,
    events: Telling,
}

impl Peer {
    /// A stopped neighbour. `seed` varies the timers' jitter; the same seed and inputs give the same
    /// outputs.
    #[must_use]
    pub fn new(config: PeerConfig, seed: u64) -> Self {
        Self {
            config,
            phase: Phase::Stopped,
            outgoing: Connection::Idle,
            incoming: Connection::Idle,
            jitter: Jitter::new(seed),
            damping: Damping::default(),
            withheld: Withheld::default(),
            silent_since: None,
            read_paused: false,
            record: Record {
                state: State::Idle,
                state_since: Instant::ZERO,
                established_count: 0,
                received: Counters::default(),
                sent: Counters::default(),
                errors: LastErrors::none(),
            },
            journal: None,
            actions: VecDeque::new(),
            events: Telling::default(),
        }
    }

    /// Starts, or ends a rest early (ManualStart, AutomaticStart). Dials at once unless passive.
    pub fn start(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Active { .. }) {
            return;
        }
        self.damping.reset();
        self.withheld = Withheld::default();
        self.phase = Phase::Active { dial_at: Some(now) };
        self.dial(now);
    }

    /// Ends everything and stays down until `start` (ManualStop).
    pub fn stop(&mut self, now: Instant, why: &StopReason) {
        self.end_all(now, why, &DownReason::Stopped(why.clone()));
        self.phase = Phase::Stopped;
        self.note_state(now);
    }

    /// Ends everything and begins anew at once. A stopped neighbour stays stopped.
    pub fn restart(&mut self, now: Instant, why: &StopReason) {
        self.begin_anew(now, why, &DownReason::Stopped(why.clone()));
    }

    /// Takes over a changed configuration, resetting the session only if nothing else is possible.
    pub fn reconfigure(&mut self, now: Instant, config: PeerConfig) -> Reconfigured {
        let engaged = self.connections().any(|(_, c)| c.link().is_some());
        let session = self.connections().find_map(|(_, c)| c.session());
        let remote = session.map(|session| session.negotiated.remote_as);
        let change = self.config.change(&config, remote);
        let identity = matches!(change, Reconfigured::Reset(_));
        if let (Reconfigured::Reset(what), true) = (change, engaged) {
            // It ends as whom it began as, and is noted so.
            let why = StopReason::ConfigurationChange;
            self.end_all(now, &why, &DownReason::Reconfigured(what));
        }
        self.config = config;
        if identity {
            // What the neighbour refused of the old identity says nothing about the new one.
            self.withheld = Withheld::default();
        }
        if identity && engaged {
            self.begin(now);
            return change;
        }
        // A rest may have been due to the old identity.
        if identity && matches!(self.phase, Phase::IdleHold { .. }) {
            self.start(now);
        }
        if self.phase == (Phase::Active { dial_at: None }) {
            // One that is no longer passive is dialled.
            self.dial(now);
        }
        // While no OPEN is out, nothing is fixed.
        if engaged { change } else { Reconfigured::Live }
    }

    /// Ends everything because the TCP connection must look different (address, password, TTL), and
    /// begins anew at once.
    pub fn transport_changed(&mut self, now: Instant) {
        let reason = DownReason::Reconfigured(super::ResetReason::Transport);
        self.begin_anew(now, &StopReason::ConfigurationChange, &reason);
    }

    fn begin_anew(&mut self, now: Instant, why: &StopReason, reason: &DownReason) {
        self.end_all(now, why, reason);
        self.begin(now);
    }

    /// Begins anew after the end of everything, maybe with somebody else. A stopped neighbour stays stopped.
    fn begin(&mut self, now: Instant) {
        if let Some(journal) = &mut self.journal {
            journal.forget();
        }
        if self.phase != Phase::Stopped {
            self.phase = Phase::Stopped;
            self.start(now);
        }
    }

    fn end_all(&mut self, now: Instant, why: &StopReason, reason: &DownReason) {
        // With the phase at rest, the end of the first connection does not start another.
        let phase = core::mem::replace(&mut self.phase, Phase::Stopped);
        for slot in Slot::ALL {
            let hard = self
                .connection(slot)
                .session()
                .is_some_and(|session| session.negotiated.graceful_notification);
            let how = match why.notification(hard) {
                Some(notification) => How::Notify(notification),
                None => How::Drop,
            };
            self.end(now, slot, reason.clone(), how);
        }
        self.phase = phase;
    }

    /// The next thing for the driver to do. Poll until `None` after every input.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to tell. Poll until `None` after every input, or hold reading back.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.next()
    }

    fn connection(&self, slot: Slot) -> &Connection {
        match slot {
            Slot::Outgoing => &self.outgoing,
            Slot::Incoming => &self.incoming,
        }
    }

    fn connection_mut(&mut self, slot: Slot) -> &mut Connection {
        match slot {
            Slot::Outgoing => &mut self.outgoing,
            Slot::Incoming => &mut self.incoming,
        }
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = (Slot, &Connection)> {
        Slot::ALL
            .into_iter()
            .map(|slot| (slot, self.connection(slot)))
    }

    /// The slot of the session, if there is one.
    #[cfg(test)]
    pub(super) fn established_slot(&self) -> Option<Slot> {
        self.connections()
            .find_map(|(slot, c)| c.established().map(|_| slot))
    }
}
