//! Two engines in virtual time, and a network between them that can be as bad as networks are.
//!
//! TCP is modelled as it is seen from above. The dialler is connected after one round trip, the
//! acceptor half a round trip later. Octets arrive in order on their connection, whole portions
//! late; between connections anything overtakes anything. A closed socket tells the other end, a
//! dead host tells nobody, and a live one answers octets for a connection that it does not know by a
//! reset. What [`Weather`] adds:
//!
//! - A handshake that is lost: the attempt is never answered, and the dialler has to give up.
//! - A connection that goes *silent* in one direction or both: its octets arrive no more, the end of
//!   it neither. One end closes it, the other still believes in it.
//! - *Strays*: connections from the neighbour's address that the neighbour's engine knows nothing of
//!   (another instance of it, a probe of the port), which say nothing, open, or open and confirm.
//! - Timers that are handled after what arrived later than they were due.
//!
//! After every step [`World::check`] holds: at most one session on each side, and at most one
//! connection that both sides call Established.

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use bytes::BytesMut;

use crate::{
    session::{
        Action, ConnectError, Disconnect, Event, OutBatch, Peer, PeerConfig, Slot, State,
        connection::Connection,
        offer::{Withheld, local_open},
    },
    time::Instant,
    types::FamilySet,
    wire::{Codec, Message},
};

use super::support::{encode, our_config, their_config};

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What the network does to segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// The longest time that one is under way.
    latency: Duration,
    /// How many of a hundred segments of a handshake are lost, with all that repeat them.
    loss: u64,
    /// Whether a timer may be handled later than what arrived after it was due.
    late_timers: bool,
}

impl Weather {
    /// A rack.
    pub(super) const FAIR: Self = Self {
        latency: Duration::from_millis(30),
        loss: 0,
        late_timers: false,
    };
    /// Round trips of up to four seconds, and so below the ConnectRetryTime: every attempt succeeds.
    pub(super) const FAR: Self = Self {
        latency: Duration::from_secs(2),
        ..Self::FAIR
    };
    /// Half of all attempts fail.
    pub(super) const LOSSY: Self = Self {
        loss: 30,
        ..Self::FAIR
    };
    /// Round trips that are longer than attempts may take, and losses.
    pub(super) const FOUL: Self = Self {
        latency: Duration::from_secs(6),
        loss: 20,
        late_timers: true,
    };
}

/// How much a connection says that the neighbour's engine knows nothing of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stray {
    /// Nothing.
    Mute,
    /// An OPEN that fits.
    Opens,
    /// An OPEN and a KEEPALIVE, and never a word again.
    Confirms,
    /// Nothing, and then it closes.
    Leaves,
}

/// What happens at a host.
#[derive(Debug)]
enum Arrival {
    Syn,
    SynAck,
    Refused,
    Accept,
    Data(Vec<u8>),
    Fin,
    Reset,
}

#[derive(Debug)]
struct Flight {
    conn: usize,
    to: usize,
    what: Arrival,
}

pub(super) struct Host {
    pub(super) peer: Peer,
    pub(super) config: PeerConfig,
    /// Which connection each slot uses.
    pub(super) sockets: BTreeMap<usize, Slot>,
    pub(super) running: bool,
    /// How many sessions it had.
    pub(super) sessions: usize,
    /// Refreshes of the current session that began, and those that ended.
    pub(super) refreshed: (usize, usize),
    /// By the events alone.
    up: bool,
}

impl Host {
    /// The connections that it calls Established.
    fn established(&self) -> impl Iterator<Item = usize> {
        self.sockets.iter().filter_map(|(conn, slot)| {
            let mut of_slot = self.peer.connections().filter(|(s, _)| s == slot);
            let established = of_slot.any(|(_, c)| c.established().is_some());
            established.then_some(*conn)
        })
    }

    fn check(&self) {
        let established = self.peer.connections();
        let established = established
            .filter(|(_, c)| c.established().is_some())
            .count();
        assert!(established <= 1, "two sessions");
        assert_eq!(established == 1, self.up, "what was told is not so");
        assert_eq!(self.up, self.peer.state() == State::Established);
        assert_eq!(self.established().count(), established, "no socket");
        let slots: BTreeSet<_> = self.sockets.values().map(ToString::to_string).collect();
        assert_eq!(slots.len(), self.sockets.len(), "two sockets in one slot");
    }
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) hosts: [Host; 2],
    pub(super) weather: Weather,
    /// Since when nothing more goes wrong.
    calm_since: Option<Instant>,
    flights: BTreeMap<(Instant, usize), Flight>,
    /// Nothing overtakes anything on one connection in one direction.
    last: BTreeMap<(usize, usize), Instant>,
    /// Connections on which nothing reaches this host any more.
    silent: BTreeSet<(usize, usize)>,
    dialled_by: Vec<usize>,
    seed: u64,
    count: usize,
}

impl World {
    pub(super) fn new(seed: u64, change: fn(PeerConfig) -> PeerConfig) -> Self {
        let host = |config: PeerConfig, seed| Host {
            peer: Peer::new(config.clone(), seed),
            config,
            sockets: BTreeMap::new(),
            running: false,
            sessions: 0,
            refreshed: (0, 0),
            up: false,
        };
        Self {
            now: Instant::ZERO,
            hosts: [
                host(change(our_config()), seed),
                host(change(their_config()), !seed),
            ],
            weather: Weather::FAIR,
            calm_since: None,
            flights: BTreeMap::new(),
            last: BTreeMap::new(),
            silent: BTreeSet::new(),
            dialled_by: Vec::new(),
            seed,
            count: 0,
        }
    }

    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    /// Down to 50 µs, so that everything can overtake everything else.
    fn latency(&mut self) -> Duration {
        let longest = u64::try_from(self.weather.latency.as_micros()).unwrap();
        Duration::from_micros(50 + self.random(longest))
    }

    fn is_lost(&mut self) -> bool {
        self.random(100) < self.weather.loss
    }

    fn send(&mut self, conn: usize, to: usize, what: Arrival) {
        let mut at = self.now + self.latency();
        let last = self.last.entry((conn, to)).or_default();
        at = at.max(*last);
        *last = at;
        if matches!(what, Arrival::Syn | Arrival::SynAck | Arrival::Refused) && self.is_lost() {
            return;
        }
        // The last segment of the handshake, and all that follows it.
        if matches!(what, Arrival::Accept) && self.is_lost() {
            self.silent.insert((conn, to));
        }
        self.count += 1;
        self.flights
            .insert((at, self.count), Flight { conn, to, what });
    }

    /// A connection between the hosts that `by` made.
    fn new_connection(&mut self, by: usize) -> usize {
        self.dialled_by.push(by);
        self.dialled_by.len() - 1
    }

    pub(super) fn start(&mut self, host: usize) {
        self.hosts[host].running = true;
        self.hosts[host].peer.start(self.now);
        self.service(host);
    }

    /// The process dies; its kernel closes the sockets.
    pub(super) fn kill(&mut self, host: usize) {
        for conn in self.power_off(host) {
            self.send(conn, 1 - host, Arrival::Fin);
        }
    }

    /// The host dies without a word.
    pub(super) fn power_off(&mut self, host: usize) -> Vec<usize> {
        let seed = self.random(u64::MAX);
        let h = &mut self.hosts[host];
        h.running = false;
        h.up = false;
        h.peer = Peer::new(h.config.clone(), seed);
        core::mem::take(&mut h.sockets).into_keys().collect()
    }

    /// The network loses every connection.
    pub(super) fn cut(&mut self) {
        for host in [A, B] {
            for conn in self.hosts[host].sockets.clone().into_keys() {
                self.send(conn, host, Arrival::Reset);
            }
        }
    }

    /// One end of a connection of `host` is told that it is over, the other end is not.
    pub(super) fn reset_one_end(&mut self, host: usize) {
        let conns: Vec<_> = self.hosts[host].sockets.keys().copied().collect();
        if let Some(conn) = conns.first() {
            self.send(*conn, host, Arrival::Reset);
        }
    }

    /// From now on nothing reaches `host` on the connections that there are.
    pub(super) fn fall_silent(&mut self, host: usize) {
        let other = &self.hosts[1 - host].sockets;
        let conns = self.hosts[host].sockets.keys().chain(other.keys());
        self.silent.extend(conns.map(|conn| (*conn, host)));
    }

    /// Somebody connects to `host` from the neighbour's address.
    pub(super) fn stray(&mut self, host: usize, stray: Stray) {
        let conn = self.new_connection(1 - host);
        self.silent.insert((conn, 1 - host));
        self.send(conn, host, Arrival::Accept);
        let open = local_open(&self.hosts[1 - host].config, &Withheld::default());
        let open = Arrival::Data(encode(&Message::Open(open)).to_vec());
        match stray {
            Stray::Mute => {}
            Stray::Opens => self.send(conn, host, open),
            Stray::Confirms => {
                self.send(conn, host, open);
                let keepalive = encode(&Message::Keepalive).to_vec();
                self.send(conn, host, Arrival::Data(keepalive));
            }
            Stray::Leaves => self.send(conn, host, Arrival::Fin),
        }
    }

    /// The driver of `host` reports a connection in `slot` of which no other end knows.
    pub(super) fn phantom(&mut self, host: usize, slot: Slot) {
        let by = match slot {
            Slot::Outgoing => host,
            Slot::Incoming => 1 - host,
        };
        let conn = self.new_connection(by);
        let h = &mut self.hosts[host];
        if h.is_dialling(slot) {
            h.sockets.retain(|_, s| *s != slot);
        }
        if !h.sockets.values().any(|s| *s == slot) {
            h.sockets.insert(conn, slot);
        }
        let (local, remote) = addresses();
        h.peer.connected(self.now, slot, local, remote);
        self.service(host);
    }

    /// Carries out what a peer asked for.
    pub(super) fn service(&mut self, host: usize) {
        while let Some(action) = self.hosts[host].peer.poll_action() {
            match action {
                Action::Connect => {
                    let conn = self.new_connection(host);
                    self.hosts[host].sockets.insert(conn, Slot::Outgoing);
                    self.send(conn, 1 - host, Arrival::Syn);
                }
                Action::MakeRoom => {
                    for slot in self.hosts[host].sockets.values_mut() {
                        *slot = Slot::Outgoing;
                    }
                }
                Action::Close { slot, farewell } => {
                    if let Some(conn) = self.hosts[host].release(slot) {
                        self.send(conn, 1 - host, Arrival::Data(farewell.to_vec()));
                        self.send(conn, 1 - host, Arrival::Fin);
                    }
                }
            }
        }
        while let Some(event) = self.hosts[host].peer.poll_event() {
            self.told(host, &event);
        }
        for (conn, slot) in self.hosts[host].sockets.clone() {
            let bytes = self.hosts[host].peer.transmit(slot).to_vec();
            if !bytes.is_empty() {
                self.hosts[host].peer.wrote(self.now, slot, bytes.len());
                self.send(conn, 1 - host, Arrival::Data(bytes));
            }
        }
        self.check();
    }

    /// What must hold at any time.
    fn check(&self) {
        self.hosts.iter().for_each(Host::check);
        let [a, b] = &self.hosts;
        let theirs: BTreeSet<_> = b.established().collect();
        let pairs = a.established().filter(|conn| theirs.contains(conn)).count();
        assert!(pairs <= 1, "two connections are Established on both sides");
    }

    /// A routing table that is empty, and says so.
    fn told(&mut self, host: usize, event: &Event) {
        let (now, h) = (self.now, &mut self.hosts[host]);
        match event {
            Event::Established(_) => {
                assert!(!h.up, "a second session");
                h.up = true;
                h.sessions += 1;
                h.refreshed = (0, 0);
                let batch = OutBatch {
                    end_of_rib: FamilySet::ALL,
                    ..OutBatch::default()
                };
                h.peer.send_batch(now, &batch);
            }
            Event::Down { .. } => {
                assert!(h.up, "down without up");
                h.up = false;
            }
            Event::RefreshRequested(family) => {
                let family = FamilySet::from_iter([*family]);
                let batch = OutBatch {
                    refresh_begin: family,
                    refresh_end: family,
                    ..OutBatch::default()
                };
                h.peer.send_batch(now, &batch);
            }
            Event::RefreshBegin(_) => h.refreshed.0 += 1,
            Event::RefreshEnd(_) => h.refreshed.1 += 1,
            _ => {}
        }
    }

    fn arrive(&mut self, Flight { conn, to, what }: Flight) {
        if self.silent.contains(&(conn, to)) {
            return;
        }
        let dialler = self.dialled_by[conn];
        match what {
            Arrival::Syn if self.hosts[to].running => self.send(conn, dialler, Arrival::SynAck),
            Arrival::Syn => self.send(conn, dialler, Arrival::Refused),
            Arrival::Accept => self.accept(conn, to),
            what => match self.hosts[to].sockets.get(&conn).copied() {
                Some(slot) => self.arrive_on(conn, to, slot, what),
                None if self.hosts[to].running && matches!(what, Arrival::Data(_)) => {
                    self.send(conn, 1 - to, Arrival::Reset);
                }
                None => {}
            },
        }
        self.service(to);
    }

    fn arrive_on(&mut self, conn: usize, to: usize, slot: Slot, what: Arrival) {
        let now = self.now;
        let host = &mut self.hosts[to];
        match what {
            Arrival::SynAck => {
                let (local, remote) = addresses();
                host.peer.connected(now, slot, local, remote);
                self.send(conn, 1 - to, Arrival::Accept);
            }
            Arrival::Data(bytes) => host.peer.received(now, slot, &bytes),
            Arrival::Refused | Arrival::Fin | Arrival::Reset => host.lose(now, slot),
            Arrival::Syn | Arrival::Accept => {}
        }
    }

    pub(super) fn accept(&mut self, conn: usize, host: usize) {
        if !self.hosts[host].running {
            return self.send(conn, 1 - host, Arrival::Reset);
        }
        match self.hosts[host].peer.admit(self.now) {
            Ok(()) => {
                self.service(host);
                self.hosts[host].sockets.insert(conn, Slot::Incoming);
                let (local, remote) = addresses();
                self.hosts[host]
                    .peer
                    .connected(self.now, Slot::Incoming, local, remote);
            }
            Err(refusal) => {
                let mut bytes = BytesMut::new();
                if let Some(notification) = refusal.notification() {
                    Codec::default().encode(&Message::Notification(notification), &mut bytes);
                }
                self.send(conn, 1 - host, Arrival::Data(bytes.to_vec()));
                self.send(conn, 1 - host, Arrival::Fin);
            }
        }
    }

    /// Lets `span` pass, or less if `done` says so. Returns what passed.
    pub(super) fn run(&mut self, span: Duration, done: fn(&Self) -> bool) -> Duration {
        let (start, end) = (self.now, self.now + span);
        while !done(self) && self.step(end) {}
        self.now - start
    }

    /// The next thing happens, if it does before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let timers = self.hosts.iter().filter_map(|h| h.peer.poll_timeout());
        let timer = timers.min().filter(|at| *at <= end);
        let flight = self.flights.keys().next().map(|(at, _)| *at);
        let flight = flight.filter(|at| *at <= end);
        let late = self.weather.late_timers && self.random(4) == 0;
        match (flight, timer) {
            (Some(flight), timer) if late || timer.is_none_or(|timer| flight <= timer) => {
                self.now = self.now.max(flight);
                if let Some((_, flight)) = self.flights.pop_first() {
                    self.arrive(flight);
                }
            }
            (_, Some(timer)) => {
                self.now = self.now.max(timer);
                for host in [A, B] {
                    self.hosts[host].peer.handle_timeout(self.now);
                    self.service(host);
                }
            }
            (_, None) => {
                self.now = end;
                return false;
            }
        }
        true
    }

    /// The connection that both sides call Established.
    pub(super) fn agreed(&self) -> Option<usize> {
        let [a, b] = self.hosts.each_ref().map(|host| host.established().next());
        a.filter(|_| a == b)
    }

    /// Whether there is one, and they hear each other on it.
    pub(super) fn established(&self) -> bool {
        let hears = |conn, host| !self.silent.contains(&(conn, host));
        self.agreed()
            .is_some_and(|conn| hears(conn, A) && hears(conn, B))
    }

    /// The network is as it should be again, and has delivered what was under way.
    pub(super) fn calm(&mut self, weather: Weather) {
        self.calm_since = Some(self.now);
        let before = core::mem::replace(&mut self.weather, weather);
        self.run(before.latency, |_| false);
    }

    /// Both sides must agree on one session within `limit`, and keep it and no other connection.
    /// Returns how long it took from when nothing more went wrong.
    pub(super) fn converge(&mut self, limit: Duration, what: &str) -> Duration {
        let began = self.calm_since.take().unwrap_or(self.now);
        self.run(limit, Self::established);
        let took = self.now - began;
        if !self.established() {
            let status = |host: usize| self.hosts[host].peer.status(self.now);
            panic!(
                "{what}: not within {limit:?}\n{:#?}\n{:#?}",
                status(A),
                status(B)
            );
        }
        let sessions = [self.hosts[A].sessions, self.hosts[B].sessions];
        // Longer than anything else can still be waited for on a connection beside it.
        self.run(250 * SECOND, |_| false);
        assert!(self.established(), "{what}: up after {took:?}, then lost");
        for host in &self.hosts {
            assert_eq!(host.sockets.len(), 1, "{what}: more than one connection");
        }
        assert_eq!(
            sessions,
            [self.hosts[A].sessions, self.hosts[B].sessions],
            "{what}"
        );
        took
    }
}

impl Host {
    fn is_dialling(&self, slot: Slot) -> bool {
        let mut of_slot = self.peer.connections().filter(|(s, _)| *s == slot);
        of_slot.any(|(_, c)| matches!(c, Connection::Connecting { .. }))
    }

    /// The slot needs its socket no more.
    fn release(&mut self, slot: Slot) -> Option<usize> {
        let conn = self.sockets.iter().find(|(_, s)| **s == slot)?.0;
        let conn = *conn;
        self.sockets.remove(&conn);
        Some(conn)
    }

    /// The socket of a slot reports its end: that of an attempt, or of a connection.
    pub(super) fn lose(&mut self, now: Instant, slot: Slot) {
        let dialling = self.is_dialling(slot);
        self.release(slot);
        if dialling {
            self.peer.connect_failed(now, ConnectError::Unreachable);
        } else {
            self.peer.closed(now, slot, Disconnect::Closed);
        }
    }
}

pub(super) fn addresses() -> (SocketAddr, SocketAddr) {
    let addr = |host| SocketAddr::from(([192, 0, 2, host], 179));
    (addr(1), addr(2))
}
