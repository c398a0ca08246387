//! Two engines in virtual time, with a network between them that has latency and loses connections.
//!
//! TCP is modelled as it is seen from above: the dialler is connected after one round trip, the
//! acceptor half a round trip later; octets arrive in order, whole portions late; a closed socket
//! tells the other end, a dead host tells nobody. Each scenario runs for many seeds and must end with
//! one connection that both sides call Established, and stay there.

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use crate::{
    session::{
        Action, ConnectError, Disconnect, Event, GracefulRestartConfig, OutBatch, Peer, PeerConfig,
        Slot, State, StopReason,
    },
    time::Instant,
    types::{Family, FamilySet},
    wire::{Codec, Message},
};

use super::support::{graceful, our_config, their_config};

const A: usize = 0;
const B: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

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

struct Host {
    peer: Peer,
    config: PeerConfig,
    /// Which connection each slot uses.
    sockets: BTreeMap<usize, Slot>,
    running: bool,
    sessions: usize,
    /// Refreshes of the current session that began, and those that ended.
    refreshed: (usize, usize),
}

struct World {
    now: Instant,
    hosts: [Host; 2],
    flights: BTreeMap<(Instant, usize), Flight>,
    /// Nothing overtakes anything on one connection in one direction.
    last: BTreeMap<(usize, usize), Instant>,
    dialled_by: Vec<usize>,
    /// Connections whose other end takes everything and says nothing.
    ghosts: BTreeSet<usize>,
    seed: u64,
    count: usize,
}

impl World {
    fn new(seed: u64, change: fn(PeerConfig) -> PeerConfig) -> Self {
        let host = |config: PeerConfig, seed| Host {
            peer: Peer::new(config.clone(), seed),
            config,
            sockets: BTreeMap::new(),
            running: false,
            sessions: 0,
            refreshed: (0, 0),
        };
        Self {
            now: Instant::ZERO,
            hosts: [
                host(change(our_config()), seed),
                host(change(their_config()), !seed),
            ],
            flights: BTreeMap::new(),
            last: BTreeMap::new(),
            dialled_by: Vec::new(),
            ghosts: BTreeSet::new(),
            seed,
            count: 0,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    /// Between 50 µs and 30 ms, so that everything can overtake everything else.
    fn latency(&mut self) -> Duration {
        Duration::from_micros(50 + self.random(30_000))
    }

    fn send(&mut self, conn: usize, to: usize, what: Arrival) {
        if self.ghosts.contains(&conn) {
            return;
        }
        let mut at = self.now + self.latency();
        let last = self.last.entry((conn, to)).or_default();
        at = at.max(*last);
        *last = at;
        self.count += 1;
        self.flights
            .insert((at, self.count), Flight { conn, to, what });
    }

    fn start(&mut self, host: usize) {
        self.hosts[host].running = true;
        self.hosts[host].peer.start(self.now);
        self.service(host);
    }

    /// Somebody with the other host's address connects to this one, and never says a word.
    fn haunt(&mut self, host: usize) {
        let conn = self.dialled_by.len();
        self.dialled_by.push(1 - host);
        self.ghosts.insert(conn);
        self.accept(conn, host);
        self.service(host);
    }

    /// The process dies; its kernel closes the sockets.
    fn kill(&mut self, host: usize) {
        for conn in self.power_off(host) {
            self.send(conn, 1 - host, Arrival::Fin);
        }
    }

    /// The host dies without a word.
    fn power_off(&mut self, host: usize) -> Vec<usize> {
        let seed = self.random(u64::MAX);
        let h = &mut self.hosts[host];
        h.running = false;
        h.peer = Peer::new(h.config.clone(), seed);
        core::mem::take(&mut h.sockets).into_keys().collect()
    }

    /// The network loses every connection.
    fn cut(&mut self) {
        for host in [A, B] {
            for conn in self.hosts[host].sockets.clone().into_keys() {
                self.send(conn, host, Arrival::Reset);
            }
        }
    }

    /// Carries out what a peer asked for.
    fn service(&mut self, host: usize) {
        while let Some(action) = self.hosts[host].peer.poll_action() {
            match action {
                Action::Connect => {
                    let conn = self.dialled_by.len();
                    self.dialled_by.push(host);
                    self.hosts[host].sockets.insert(conn, Slot::Outgoing);
                    self.send(conn, 1 - host, Arrival::Syn);
                }
                Action::MakeRoom => {
                    for slot in self.hosts[host].sockets.values_mut() {
                        *slot = Slot::Outgoing;
                    }
                }
                Action::Close { slot, farewell } => {
                    let sockets = &mut self.hosts[host].sockets;
                    let Some(conn) = sockets.iter().find(|(_, s)| **s == slot).map(|(c, _)| *c)
                    else {
                        continue;
                    };
                    sockets.remove(&conn);
                    self.send(conn, 1 - host, Arrival::Data(farewell.to_vec()));
                    self.send(conn, 1 - host, Arrival::Fin);
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
    }

    /// A routing table that is empty, and says so.
    fn told(&mut self, host: usize, event: &Event) {
        let (now, h) = (self.now, &mut self.hosts[host]);
        match event {
            Event::Established(_) => {
                h.sessions += 1;
                h.refreshed = (0, 0);
                let batch = OutBatch {
                    end_of_rib: FamilySet::ALL,
                    ..OutBatch::default()
                };
                h.peer.send_batch(now, &batch);
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
        let now = self.now;
        let dialler = self.dialled_by[conn];
        match what {
            Arrival::Syn if self.hosts[to].running => self.send(conn, dialler, Arrival::SynAck),
            Arrival::Syn => self.send(conn, dialler, Arrival::Refused),
            Arrival::Accept => self.accept(conn, to),
            what => {
                let Some(slot) = self.hosts[to].sockets.get(&conn).copied() else {
                    // A live host answers octets for a connection that it does not know.
                    if self.hosts[to].running && matches!(what, Arrival::Data(_)) {
                        self.send(conn, 1 - to, Arrival::Reset);
                    }
                    return;
                };
                match what {
                    Arrival::SynAck => {
                        self.send(conn, 1 - to, Arrival::Accept);
                        let (local, remote) = addresses();
                        self.hosts[to].peer.connected(now, slot, local, remote);
                    }
                    Arrival::Refused => {
                        self.hosts[to].sockets.remove(&conn);
                        self.hosts[to]
                            .peer
                            .connect_failed(now, ConnectError::Refused);
                    }
                    Arrival::Data(bytes) => self.hosts[to].peer.received(now, slot, &bytes),
                    Arrival::Fin | Arrival::Reset => {
                        self.hosts[to].sockets.remove(&conn);
                        // Whichever it was: the engine ignores the other.
                        let peer = &mut self.hosts[to].peer;
                        peer.connect_failed(now, ConnectError::Unreachable);
                        peer.closed(now, slot, Disconnect::Closed);
                    }
                    Arrival::Syn | Arrival::Accept => {}
                }
            }
        }
        self.service(to);
    }

    fn accept(&mut self, conn: usize, host: usize) {
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
                let mut bytes = bytes::BytesMut::new();
                if let Some(notification) = refusal.notification() {
                    Codec::default().encode(&Message::Notification(notification), &mut bytes);
                }
                self.send(conn, 1 - host, Arrival::Data(bytes.to_vec()));
                self.send(conn, 1 - host, Arrival::Fin);
            }
        }
    }

    /// Lets `span` pass, or less if `done` says so. Returns what passed.
    fn run(&mut self, span: Duration, done: fn(&Self) -> bool) -> Duration {
        let (start, end) = (self.now, self.now + span);
        while !done(self) {
            let flight = self.flights.keys().next().map(|(at, _)| *at);
            let timers = self.hosts.iter().filter_map(|h| h.peer.poll_timeout());
            let Some(next) = timers.chain(flight).min().filter(|at| *at <= end) else {
                self.now = end;
                break;
            };
            self.now = self.now.max(next);
            if flight == Some(next) {
                if let Some((_, flight)) = self.flights.pop_first() {
                    self.arrive(flight);
                }
            } else {
                for host in [A, B] {
                    self.hosts[host].peer.handle_timeout(self.now);
                    self.service(host);
                }
            }
        }
        self.now - start
    }

    fn established(&self) -> bool {
        let conn = |host: &Host| {
            let slot = host.peer.established_slot()?;
            let up = host.peer.state() == State::Established;
            let of_slot = host.sockets.iter().find(|(_, s)| **s == slot);
            up.then_some(of_slot.map(|(conn, _)| *conn)?)
        };
        match (conn(&self.hosts[A]), conn(&self.hosts[B])) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        }
    }

    /// Both sides must agree on one session within `limit`, and keep it and no other connection.
    fn converge(&mut self, limit: Duration, what: &str) {
        let took = self.run(limit, Self::established);
        if !self.established() {
            let status = |host: usize| self.hosts[host].peer.status(self.now);
            panic!(
                "{what}: not within {limit:?}\n{:#?}\n{:#?}",
                status(A),
                status(B)
            );
        }
        let sessions = [self.hosts[A].sessions, self.hosts[B].sessions];
        self.run(200 * SECOND, |_| false);
        assert!(self.established(), "{what}: up after {took:?}, then lost");
        for host in &self.hosts {
            assert_eq!(host.sockets.len(), 1, "{what}: more than one connection");
        }
        assert_eq!(
            sessions,
            [self.hosts[A].sessions, self.hosts[B].sessions],
            "{what}"
        );
    }
}

fn addresses() -> (SocketAddr, SocketAddr) {
    let addr = |host| SocketAddr::from(([192, 0, 2, host], 179));
    (addr(1), addr(2))
}

fn for_many_seeds(test: impl Fn(u64)) {
    for seed in 0..300_u64 {
        test(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

#[test]
fn simultaneous_start() {
    for_many_seeds(|seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        let offset = world.random(20_000);
        world.run(Duration::from_micros(offset), |_| false);
        world.start(B);
        world.converge(SECOND, &format!("seed {seed}"));
    });
}

#[test]
fn one_starts_later() {
    for_many_seeds(|seed| {
        let mut world = World::new(seed, |config| config);
        world.start(A);
        let offset = world.random(20_000);
        world.run(Duration::from_millis(offset), |_| false);
        world.start(B);
        world.converge(SECOND, &format!("seed {seed}, B after {offset} ms"));
    });
}

#[test]
fn connections_are_lost() {
    for_many_seeds(|seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        world.start(B);
        let offset = world.random(300);
        world.run(Duration::from_millis(offset), |_| false);
        world.cut();
        // Until both have heard of it.
        world.run(Duration::from_millis(40), |_| false);
        world.converge(2 * SECOND, &format!("seed {seed}, cut after {offset} ms"));
        world.cut();
        world.run(Duration::from_millis(40), |_| false);
        world.converge(2 * SECOND, &format!("seed {seed}, second cut"));
    });
}

#[test]
fn one_side_is_killed_and_comes_back() {
    for_many_seeds(|seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        world.start(B);
        world.run(20 * SECOND, |_| false);
        world.kill(B);
        let down = world.random(10_000);
        world.run(Duration::from_millis(down), |_| false);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, down for {down} ms"));
    });
}

/// However often somebody connects in the neighbour's name and is silent: we dial, and what we dialled
/// wins. The neighbour itself dials nobody here.
#[test]
fn silent_connections_keep_no_session_away() {
    for_many_seeds(|seed| {
        for haunted in [A, B] {
            let other = 1 - haunted;
            let mut world = World::new(seed, |config| config);
            world.hosts[other].config.passive = true;
            world.power_off(other);
            world.start(haunted);
            let offset = world.random(2_000);
            world.run(Duration::from_millis(offset), |_| false);
            world.haunt(haunted);
            world.start(other);
            for _ in 0..6 {
                world.run(3 * SECOND, World::established);
                if !world.established() {
                    world.haunt(haunted);
                }
            }
            world.converge(Duration::ZERO, &format!("seed {seed}, at {haunted}"));
        }
    });
}

/// Refreshes are asked for all the time, while connections are lost. Each one that began on the session
/// that stays comes to its end, and those that were asked for on it are answered.
#[test]
fn refreshes_come_to_an_end() {
    for_many_seeds(|seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        world.start(B);
        for round in 0..10 {
            let pause = world.random(120);
            world.run(Duration::from_millis(pause), |_| false);
            for host in [A, B] {
                let now = world.now;
                world.hosts[host]
                    .peer
                    .send_route_refresh(now, Family::Ipv4Unicast);
                world.service(host);
            }
            if round == 5 {
                world.cut();
            }
        }
        world.converge(2 * SECOND, &format!("seed {seed}"));
        let before = world.hosts[A].refreshed;
        let now = world.now;
        for family in FamilySet::ALL.iter() {
            assert!(world.hosts[A].peer.send_route_refresh(now, family));
        }
        world.service(A);
        world.run(SECOND, |_| false);
        for host in &world.hosts {
            assert_eq!(host.refreshed.0, host.refreshed.1, "seed {seed}");
        }
        assert_eq!(world.hosts[A].refreshed.1, before.1 + 2, "seed {seed}");
    });
}

/// Both wait for the other's OPEN first.
#[test]
fn both_delay_their_open() {
    fn delayed(mut config: PeerConfig) -> PeerConfig {
        config.delay_open = Some(Duration::from_millis(200));
        config
    }
    for_many_seeds(|seed| {
        let mut world = World::new(seed, delayed);
        world.start(A);
        let offset = world.random(300);
        world.run(Duration::from_millis(offset), |_| false);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, B after {offset} ms"));
    });
}

/// No FIN: the survivor still believes in the session when the neighbour dials again.
#[test]
fn one_host_loses_power_and_comes_back() {
    fn restarting(mut config: PeerConfig) -> PeerConfig {
        config.graceful_restart = Some(GracefulRestartConfig {
            restarting: true,
            ..GracefulRestartConfig::default()
        });
        config
    }
    for_many_seeds(|seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        world.start(B);
        world.run(20 * SECOND, |_| false);
        world.hosts[B].config = restarting(their_config());
        world.power_off(B);
        let down = world.random(40_000);
        world.run(Duration::from_millis(down), |_| false);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, down for {down} ms"));
    });
}

#[test]
fn one_side_is_shut_down_and_started_again() {
    for_many_seeds(|seed| {
        let mut world = World::new(seed, |config| config);
        world.start(A);
        world.start(B);
        world.run(20 * SECOND, |_| false);
        let why = StopReason::Shutdown("upgrade".into());
        let now = world.now;
        world.hosts[B].peer.stop(now, &why);
        world.service(B);
        let down = world.random(10_000);
        world.run(Duration::from_millis(down), |_| false);
        assert_eq!(world.hosts[B].peer.state(), State::Idle);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, down for {down} ms"));
    });
}
