//! All BFD sessions of a system: whose packet is this, and whose timer runs out next.
//!
//! Reception follows RFC 5880 section 6.8.6 with RFC 5881 (one hop) and RFC 5883 (several): a packet
//! that names our discriminator belongs to that session; the first one of a neighbour, which cannot
//! know it, is found by where it came from. A session is never made by a packet.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
};

use super::{
    packet::{Packet, PacketError},
    session::{Config, Event, Session, Status},
};
use crate::{jitter::Jitter, time::Instant};

/// How far away the neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hops {
    /// On a link of ours: UDP port 3784, TTL 255 (RFC 5881).
    Single,
    /// Anywhere: UDP port 4784 (RFC 5883).
    Multi,
}

/// What a session is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The neighbour.
    pub remote: IpAddr,
    /// The interface that it must be heard on, if that matters: always for a link-local address.
    pub interface: Option<u32>,
    /// How far away it is.
    pub hops: Hops,
}

/// Where a datagram came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its source address.
    pub source: IpAddr,
    /// The index of the interface that it came in by.
    pub interface: u32,
    /// Its TTL or hop limit.
    pub ttl: u8,
    /// Which port it came to.
    pub hops: Hops,
}

/// Why a datagram was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Discard {
    /// It is no packet.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// Packets without authentication, as all of ours, "MUST be discarded if the received TTL or Hop
    /// Limit is not equal to 255" (RFC 5881 section 5). Over several hops: less than the configured
    /// minimum.
    #[error("ttl")]
    Ttl,
    /// There is no such session.
    #[error("unknown-session")]
    UnknownSession,
    /// The session that it names is with somebody else.
    #[error("wrong-source")]
    WrongSource,
}

/// Every session.
#[derive(Debug)]
pub struct Sessions {
    sessions: BTreeMap<SessionKey, Entry>,
    by_discriminator: BTreeMap<u32, SessionKey>,
    timers: BTreeSet<(Instant, SessionKey)>,
    /// At most two packets a session between two calls.
    transmits: VecDeque<(SessionKey, Packet)>,
    events: VecDeque<(SessionKey, Event)>,
    seeds: Jitter,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    timer: Option<Instant>,
    leaving: bool,
}

impl Sessions {
    /// No sessions. `seed` makes discriminators and jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            sessions: BTreeMap::new(),
            by_discriminator: BTreeMap::new(),
            timers: BTreeSet::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            seeds: Jitter::new(seed),
        }
    }

    /// Starts a session, or changes the configuration of the one that is there.
    pub fn set(&mut self, now: Instant, key: SessionKey, config: Config) {
        match self.sessions.get_mut(&key) {
            Some(entry) => {
                entry.leaving = false;
                entry.session.enable(now);
                entry.session.reconfigure(now, config);
            }
            None => {
                let discriminator = self.new_discriminator();
                let seed = self.seeds.next();
                self.by_discriminator.insert(discriminator, key);
                let entry = Entry {
                    session: Session::new(now, config, discriminator, seed),
                    timer: None,
                    leaving: false,
                };
                self.sessions.insert(key, entry);
            }
        }
        self.service(now, key);
    }

    /// Takes a session down. It goes away once the neighbour was told for long enough.
    pub fn remove(&mut self, now: Instant, key: SessionKey) {
        if let Some(entry) = self.sessions.get_mut(&key) {
            entry.leaving = true;
            entry.session.disable(now);
            self.service(now, key);
        }
    }

    /// Takes in a datagram.
    ///
    /// # Errors
    ///
    /// It was of no use, and why.
    pub fn received(
        &mut self,
        now: Instant,
        arrival: Arrival,
        datagram: &[u8],
    ) -> Result<(), Discard> {
        if arrival.hops == Hops::Single && arrival.ttl != 255 {
            return Err(Discard::Ttl);
        }
        let packet = Packet::parse(datagram)?;
        let key = self.whose(arrival, &packet)?;
        let entry = self.sessions.get_mut(&key).ok_or(Discard::UnknownSession)?;
        if arrival.hops == Hops::Multi && !entry.session.accepts(arrival.ttl) {
            return Err(Discard::Ttl);
        }
        entry.session.received(now, &packet);
        self.service(now, key);
        Ok(())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(entry) = self.sessions.get_mut(&key) {
                entry.timer = None;
                entry.session.handle_timeout(now);
            }
            self.service(now, key);
        }
    }

    /// The next packet to send, and to whom.
    pub fn poll_transmit(&mut self) -> Option<(SessionKey, Packet)> {
        self.transmits.pop_front()
    }

    /// The next change of state.
    pub fn poll_event(&mut self) -> Option<(SessionKey, Event)> {
        self.events.pop_front()
    }

    /// How a session is.
    #[must_use]
    pub fn status(&self, key: SessionKey) -> Option<Status> {
        self.sessions.get(&key).map(|entry| entry.session.status())
    }

    /// Every session's key, also of those that are going away.
    pub fn keys(&self) -> impl Iterator<Item = SessionKey> + '_ {
        self.sessions.keys().copied()
    }

    fn whose(&self, arrival: Arrival, packet: &Packet) -> Result<SessionKey, Discard> {
        if packet.your_discriminator != 0 {
            // "If the Your Discriminator field is nonzero, it MUST be used to select the session with
            // which this BFD packet is associated. If no session is found, the packet MUST be
            // discarded."
            let key = *self
                .by_discriminator
                .get(&packet.your_discriminator)
                .ok_or(Discard::UnknownSession)?;
            return if key.fits(arrival) {
                Ok(key)
            } else {
                Err(Discard::WrongSource)
            };
        }
        [Some(arrival.interface), None]
            .into_iter()
            .map(|interface| SessionKey {
                remote: arrival.source,
                interface,
                hops: arrival.hops,
            })
            .find(|key| self.sessions.contains_key(key))
            .ok_or(Discard::UnknownSession)
    }

    /// Collects what a session has to say, and sets its timer.
    fn service(&mut self, now: Instant, key: SessionKey) {
        let Some(entry) = self.sessions.get_mut(&key) else {
            return;
        };
        while let Some(packet) = entry.session.poll_transmit(now) {
            self.transmits.push_back((key, packet));
        }
        while let Some(event) = entry.session.poll_event() {
            self.events.push_back((key, event));
        }
        let timer = entry.session.poll_timeout();
        if timer != entry.timer {
            if let Some(old) = entry.timer {
                self.timers.remove(&(old, key));
            }
            if let Some(new) = timer {
                self.timers.insert((new, key));
            }
            entry.timer = timer;
        }
        if entry.leaving && timer.is_none() {
            self.by_discriminator.remove(&entry.session.discriminator());
            self.sessions.remove(&key);
        }
    }

    fn new_discriminator(&mut self) -> u32 {
        loop {
            let [a, b, c, d, ..] = self.seeds.next().to_be_bytes();
            let discriminator = u32::from_be_bytes([a, b, c, d]);
            if discriminator != 0 && !self.by_discriminator.contains_key(&discriminator) {
                return discriminator;
            }
        }
    }
}

impl SessionKey {
    fn fits(self, arrival: Arrival) -> bool {
        self.remote == arrival.source
            && self.hops == arrival.hops
            && self
                .interface
                .is_none_or(|interface| interface == arrival.interface)
    }
}
