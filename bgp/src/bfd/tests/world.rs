//! Two systems in virtual time, with a path between them that delays, loses and repeats. Nothing
//! overtakes anything: BFD has no sequence numbers, an old packet that comes late is a new one.

use core::time::Duration;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use super::{MS, config};
use crate::{
    bfd::{Arrival, Config, Discard, DownReason, Event, Hops, SessionKey, Sessions, State},
    jitter::Jitter,
    time::Instant,
};

const ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
];

/// What one end knows the other by.
fn key_of(end: usize) -> SessionKey {
    SessionKey {
        remote: ADDRESSES[1 - end],
        interface: None,
        hops: Hops::Single,
    }
}

struct World {
    now: Instant,
    ends: [Sessions; 2],
    flights: BTreeMap<(Instant, usize), (usize, [u8; 24])>,
    random: Jitter,
    /// When the last packet towards each end arrives.
    last: [Instant; 2],
    /// Of 100 packets, towards each end.
    lost: [u64; 2],
    count: usize,
    events: [Vec<(Instant, Event)>; 2],
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            ends: [Sessions::new(seed), Sessions::new(!seed)],
            flights: BTreeMap::new(),
            random: Jitter::new(seed ^ 0x5eed),
            last: [Instant::ZERO; 2],
            lost: [0; 2],
            count: 0,
            events: [Vec::new(), Vec::new()],
        }
    }

    fn configure(&mut self, end: usize, interval_ms: u32) {
        self.ends[end].set(self.now, key_of(end), config(interval_ms, 3));
    }

    fn state(&self, end: usize) -> State {
        self.ends[end]
            .status(key_of(end))
            .map_or(State::AdminDown, |status| status.state)
    }

    fn service(&mut self) {
        for end in [0, 1] {
            while let Some((_, packet)) = self.ends[end].poll_transmit() {
                let to = 1 - end;
                if self.random.next() % 100 < self.lost[to] {
                    continue;
                }
                // One in ten comes twice.
                for _ in 0..=u64::from(self.random.next().is_multiple_of(10)) {
                    let latency = Duration::from_micros(20 + self.random.next() % 5000);
                    self.count += 1;
                    let at = (self.now + latency).max(self.last[to]);
                    self.last[to] = at;
                    self.flights
                        .insert((at, self.count), (to, packet.to_bytes()));
                }
            }
            while let Some((_, event)) = self.ends[end].poll_event() {
                self.events[end].push((self.now, event));
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end_of_run = self.now + time;
        loop {
            self.service();
            let next = [
                self.flights.keys().next().map(|(at, _)| *at),
                self.ends[0].poll_timeout(),
                self.ends[1].poll_timeout(),
            ];
            let Some(next) = next
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= end_of_run)
            else {
                self.now = end_of_run;
                return;
            };
            self.now = self.now.max(next);
            while let Some(flight) = self.flights.first_entry()
                && flight.key().0 <= self.now
            {
                let (to, octets) = flight.remove();
                self.arrive(to, &octets);
            }
            for end in &mut self.ends {
                end.handle_timeout(self.now);
            }
        }
    }

    fn arrive(&mut self, to: usize, octets: &[u8]) {
        let arrival = Arrival {
            source: ADDRESSES[1 - to],
            interface: 4,
            ttl: 255,
            hops: Hops::Single,
        };
        match self.ends[to].received(self.now, arrival, octets) {
            Ok(()) | Err(Discard::UnknownSession) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn downs(&self, end: usize) -> Vec<(Instant, DownReason)> {
        self.events[end]
            .iter()
            .filter(|(_, event)| event.from == State::Up)
            .filter_map(|(at, event)| Some((*at, event.reason?)))
            .collect()
    }
}

#[test]
fn two_systems_come_up_and_stay_up() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.configure(0, 50);
        world.run(MS * u32::try_from(seed * 7).unwrap());
        world.configure(1, 100);
        world.run(MS * 3000);
        assert_eq!(
            [world.state(0), world.state(1)],
            [State::Up; 2],
            "seed {seed}"
        );
        world.run(MS * 60_000);
        assert_eq!(
            world.downs(0).len() + world.downs(1).len(),
            0,
            "seed {seed}"
        );
    }
}

#[test]
fn a_cut_in_one_direction_is_seen_by_both_within_the_detection_time() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.configure(0, 50);
        world.configure(1, 50);
        world.run(MS * 5000);
        let deaf = usize::from(seed % 2 == 1);
        world.lost[deaf] = 100;
        let cut = world.now;
        world.run(MS * 400);
        let (at, reason) = world.downs(deaf)[0];
        assert_eq!(reason, DownReason::DetectionTimeExpired);
        // The last packet had left up to an interval before the cut, or was still under way.
        assert!(at - cut <= MS * 156, "seed {seed}: {:?}", at - cut);
        let (told, reason) = world.downs(1 - deaf)[0];
        assert!(
            matches!(reason, DownReason::NeighborSignaledDown(_)),
            "seed {seed}: {reason}"
        );
        assert!(told - at <= MS * 6, "seed {seed}");
        world.lost[deaf] = 0;
        world.run(MS * 5000);
        assert_eq!(
            [world.state(0), world.state(1)],
            [State::Up; 2],
            "seed {seed}"
        );
    }
}

#[test]
fn a_lossy_path_ends_up_when_it_is_good_again() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.lost = [40, 40];
        world.configure(0, 20);
        world.configure(1, 20);
        world.run(MS * 30_000);
        world.lost = [0, 0];
        world.run(MS * 5000);
        assert_eq!(
            [world.state(0), world.state(1)],
            [State::Up; 2],
            "seed {seed}"
        );
    }
}

#[test]
fn intervals_change_on_a_live_session() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.configure(0, 100);
        world.configure(1, 100);
        world.run(MS * 5000);
        for interval in [1000, 20, 300, 50, 700, 10] {
            let end = usize::from(interval < 100);
            world.configure(end, interval);
            world.run(MS * u32::try_from(seed * 13).unwrap());
        }
        world.run(MS * 10_000);
        assert_eq!(
            world.downs(0).len() + world.downs(1).len(),
            0,
            "seed {seed}"
        );
        let status = world.ends[0].status(key_of(0)).unwrap();
        assert_eq!(status.transmit_interval, MS * 700);
        assert_eq!(status.detection_time, Some(MS * 2100));
    }
}

#[test]
fn a_session_that_is_taken_away_is_no_failure_and_leaves_nothing() {
    let mut world = World::new(1);
    world.configure(0, 50);
    world.configure(1, 50);
    world.run(MS * 5000);
    world.ends[0].remove(world.now, key_of(0));
    world.run(MS * 100);
    assert_eq!(world.downs(1)[0].1, DownReason::NeighborAdminDown);
    world.run(MS * 10_000);
    assert_eq!(world.ends[0].keys().count(), 0);
    assert_eq!(world.downs(1).len(), 1);
    // And it can come back.
    world.configure(0, 50);
    world.run(MS * 5000);
    assert_eq!([world.state(0), world.state(1)], [State::Up; 2]);
}

#[test]
fn whose_packet_it_is() {
    let mut sessions = Sessions::new(3);
    let now = Instant::ZERO;
    let on_link = SessionKey {
        interface: Some(4),
        ..key_of(0)
    };
    sessions.set(now, on_link, config(300, 3));
    let (_, mut packet) = sessions.poll_transmit().unwrap();
    let ours = packet.my_discriminator;
    (packet.my_discriminator, packet.your_discriminator) = (9, 0);
    let good = Arrival {
        source: ADDRESSES[1],
        interface: 4,
        ttl: 255,
        hops: Hops::Single,
    };
    let mut arrive = |change: fn(&mut Arrival), your_discriminator| {
        let mut arrival = good;
        change(&mut arrival);
        packet.your_discriminator = your_discriminator;
        sessions.received(now, arrival, &packet.to_bytes())
    };
    assert_eq!(arrive(|a| a.ttl = 254, 0), Err(Discard::Ttl));
    assert_eq!(arrive(|a| a.interface = 5, 0), Err(Discard::UnknownSession));
    assert_eq!(
        arrive(|a| a.source = ADDRESSES[0], 0),
        Err(Discard::UnknownSession)
    );
    assert_eq!(
        arrive(|a| a.hops = Hops::Multi, 0),
        Err(Discard::UnknownSession)
    );
    assert_eq!(arrive(|_| (), !ours), Err(Discard::UnknownSession));
    assert_eq!(
        arrive(|a| a.source = ADDRESSES[0], ours),
        Err(Discard::WrongSource)
    );
    assert_eq!(arrive(|a| a.interface = 5, ours), Err(Discard::WrongSource));
    assert_eq!(arrive(|_| (), 0), Ok(()));
    assert_eq!(arrive(|_| (), ours), Ok(()));
}

#[test]
fn what_came_too_far_is_not_heard() {
    let mut sessions = Sessions::new(3);
    let now = Instant::ZERO;
    let distant = SessionKey {
        hops: Hops::Multi,
        ..key_of(0)
    };
    let near_enough = Config {
        minimum_ttl: 253,
        ..config(300, 3)
    };
    sessions.set(now, distant, near_enough);
    let (_, mut packet) = sessions.poll_transmit().unwrap();
    (packet.my_discriminator, packet.your_discriminator) = (9, 0);
    let mut arrive = |ttl| {
        let arrival = Arrival {
            source: distant.remote,
            interface: 4,
            ttl,
            hops: Hops::Multi,
        };
        sessions.received(now, arrival, &packet.to_bytes())
    };
    assert_eq!(arrive(252), Err(Discard::Ttl));
    assert_eq!(arrive(253), Ok(()));
}
