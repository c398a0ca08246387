//! One engine with a hand on every lever: the neighbour's side is written by the test.

use core::time::Duration;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use crate::{
    session::{
        Action, ConnectError, DownReason, Event, GracefulRestartConfig, Peer, PeerConfig, RemoteAs,
        Slot, State,
    },
    time::Instant,
    types::{Asn, FamilySet, RouterId},
    wire::{Codec, Framer, Message, Open},
};

use super::super::offer::{Withheld, local_open};

pub(super) const US: Asn = Asn(65001);
pub(super) const THEM: Asn = Asn(65002);

/// We have the lower identifier, so the neighbour's connection survives a collision.
pub(super) fn our_config() -> PeerConfig {
    let mut config = PeerConfig::new(US, RemoteAs::Number(THEM), RouterId::from_u32(1));
    config.families = FamilySet::ALL;
    config
}

pub(super) fn graceful(mut config: PeerConfig) -> PeerConfig {
    config.graceful_restart = Some(GracefulRestartConfig::default());
    config
}

pub(super) fn their_config() -> PeerConfig {
    let mut config = PeerConfig::new(THEM, RemoteAs::Number(US), RouterId::from_u32(2));
    config.families = FamilySet::ALL;
    config
}

pub(super) fn their_open() -> Open {
    local_open(&their_config(), &Withheld::default())
}

/// What both sides negotiate from the two configurations.
pub(super) fn codec() -> Codec {
    Codec {
        four_octet_as: true,
        ebgp: true,
        extended_messages: true,
        families: FamilySet::ALL,
        ..Codec::default()
    }
}

pub(super) fn encode(message: &Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    codec().encode(message, &mut bytes);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Vec<Message> {
    let mut framer = Framer::new();
    framer.set_extended(true);
    framer.push(bytes);
    let mut messages = Vec::new();
    while let Some(message) = framer.next().unwrap() {
        messages.push(codec().decode(&message).unwrap());
    }
    assert_eq!(framer.buffered(), 0, "a torn message was sent");
    messages
}

pub(super) struct Harness {
    pub(super) peer: Peer,
    pub(super) now: Instant,
}

impl Harness {
    pub(super) fn new(config: PeerConfig) -> Self {
        Self {
            peer: Peer::new(config, 1),
            now: Instant::ZERO,
        }
    }

    /// A harness whose `slot` is in `state`, with all outputs drained.
    pub(super) fn in_state(config: PeerConfig, slot: Slot, state: State) -> Self {
        let mut h = Self::new(config);
        if state == State::Idle {
            return h;
        }
        h.peer.start(h.now);
        match (slot, state) {
            (_, State::Connect) => {}
            (_, State::Active) => {
                h.peer.connect_failed(h.now, ConnectError::Refused);
            }
            (slot, state) => {
                if slot == Slot::Incoming {
                    // Only the connection in question.
                    h.peer.connect_failed(h.now, ConnectError::Refused);
                }
                h.advance_slot(slot, state);
            }
        }
        h.drain();
        assert_eq!(h.peer.state(), state);
        h
    }

    /// Takes a free slot to a connected state.
    pub(super) fn advance_slot(&mut self, slot: Slot, state: State) {
        if slot == Slot::Incoming {
            self.peer.admit(self.now).unwrap();
        }
        self.connect(slot);
        if state >= State::OpenConfirm {
            self.receive(slot, &Message::Open(their_open()));
        }
        if state >= State::Established {
            self.receive(slot, &Message::Keepalive);
        }
    }

    pub(super) fn connect(&mut self, slot: Slot) {
        let addr = |port| SocketAddr::from(([10, 0, 0, 1], port));
        self.peer.connected(self.now, slot, addr(1), addr(2));
    }

    pub(super) fn receive(&mut self, slot: Slot, message: &Message) {
        self.peer.received(self.now, slot, &encode(message));
    }

    pub(super) fn actions(&mut self) -> Vec<Action> {
        core::iter::from_fn(|| self.peer.poll_action()).collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.peer.poll_event()).collect()
    }

    /// The last reason told for the end of something.
    pub(super) fn reason(&mut self) -> Option<DownReason> {
        let reasons = self.events().into_iter().filter_map(|event| match event {
            Event::Down { reason, .. } | Event::AttemptFailed { reason, .. } => Some(reason),
            _ => None,
        });
        reasons.last()
    }

    /// What the engine wants closed, and the messages it says goodbye with.
    pub(super) fn closes(&mut self) -> Vec<(Slot, Vec<Message>)> {
        let closes = self
            .actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Close { slot, farewell } => Some((slot, decode(&farewell))),
                Action::Connect | Action::MakeRoom => None,
            });
        closes.collect()
    }

    /// Everything that waits for the socket.
    pub(super) fn written(&mut self, slot: Slot) -> Vec<Message> {
        let mut bytes = BytesMut::new();
        loop {
            let pending = Bytes::copy_from_slice(self.peer.transmit(slot));
            if pending.is_empty() {
                return decode(&bytes);
            }
            self.peer.wrote(self.now, slot, pending.len());
            bytes.extend_from_slice(&pending);
        }
    }

    pub(super) fn drain(&mut self) {
        self.actions();
        self.events();
        for slot in Slot::ALL {
            self.written(slot);
        }
    }

    /// Moves time to the next timer, at most `limit` on, and lets it expire.
    pub(super) fn sleep(&mut self, limit: Duration) {
        let end = self.now + limit;
        while let Some(at) = self.peer.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.peer.handle_timeout(self.now);
        }
        self.now = end;
    }
}
