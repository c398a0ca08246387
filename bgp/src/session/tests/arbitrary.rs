//! Any inputs in any order: nothing panics, and the invariants hold after each.

use core::time::Duration;

use proptest::prelude::*;

use crate::{
    session::{
        Action, ConnectError, Disconnect, Event, OutBatch, Peer, PeerConfig, RemoteAs, Slot, State,
        StopReason,
        offer::{Withheld, local_open},
    },
    types::{Asn, Family, FamilySet},
    wire::{
        Capability, ErrorCode, FsmSubcode, GracefulRestart, GracefulRestartFamily, Message,
        Notification, Open, RefreshKind, RouteRefresh, Update,
    },
};

use super::{
    network::{A, B, Stray, Weather, World},
    support::{Harness, encode, graceful, our_config, their_open},
};

#[derive(Clone, Debug)]
enum Input {
    Start,
    Stop(bool),
    Restart,
    Admit,
    Connected(Slot),
    ConnectFailed,
    Received(Slot, Said),
    Raw(Slot, Vec<u8>),
    Closed(Slot),
    Wrote(Slot, usize),
    Pause,
    Resume,
    Sleep(u64),
    Reconfigure(u8),
    Batch,
    Refresh,
    TransportChanged,
}

#[derive(Clone, Copy, Debug)]
enum Said {
    Open,
    GracefulOpen { restarting: bool },
    Keepalive,
    Update,
    Refresh(RefreshKind),
    Notification,
}

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![Just(Slot::Outgoing), Just(Slot::Incoming)]
}

fn refresh_kind() -> impl Strategy<Value = RefreshKind> {
    prop_oneof![
        Just(RefreshKind::Request),
        Just(RefreshKind::Begin),
        Just(RefreshKind::End),
        Just(RefreshKind::Unknown(3)),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let said = prop_oneof![
        3 => Just(Said::Open),
        2 => any::<bool>().prop_map(|restarting| Said::GracefulOpen { restarting }),
        4 => Just(Said::Keepalive),
        1 => Just(Said::Update),
        1 => refresh_kind().prop_map(Said::Refresh),
        1 => Just(Said::Notification),
    ];
    prop_oneof![
        2 => Just(Input::Start),
        1 => any::<bool>().prop_map(Input::Stop),
        1 => Just(Input::Restart),
        3 => Just(Input::Admit),
        6 => slot().prop_map(Input::Connected),
        1 => Just(Input::ConnectFailed),
        16 => (slot(), said).prop_map(|(slot, said)| Input::Received(slot, said)),
        1 => (slot(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(s, b)| Input::Raw(s, b)),
        1 => slot().prop_map(Input::Closed),
        3 => (slot(), 0usize..200).prop_map(|(slot, n)| Input::Wrote(slot, n)),
        1 => Just(Input::Pause),
        1 => Just(Input::Resume),
        4 => (0u64..100_000).prop_map(Input::Sleep),
        1 => (0u8..5).prop_map(Input::Reconfigure),
        2 => Just(Input::Batch),
        1 => Just(Input::Refresh),
        1 => Just(Input::TransportChanged),
    ]
}

fn apply(h: &mut Harness, input: Input) {
    let now = h.now;
    match input {
        Input::Start => h.peer.start(now),
        Input::Stop(true) => h.peer.stop(now, &StopReason::Shutdown("x".into())),
        Input::Stop(false) => h.peer.stop(now, &StopReason::GracefulRestart),
        Input::Restart => h.peer.restart(now, &StopReason::Reset(String::new())),
        Input::Admit => drop(h.peer.admit(now)),
        Input::Connected(slot) => h.connect(slot),
        Input::ConnectFailed => h.peer.connect_failed(now, ConnectError::Refused),
        Input::Received(slot, said) => h.receive(slot, &message(said, their_open())),
        Input::Raw(slot, bytes) => h.peer.received(now, slot, &bytes),
        Input::Closed(slot) => h.peer.closed(now, slot, Disconnect::Closed),
        Input::Wrote(slot, n) => {
            h.peer.transmit(slot);
            h.peer.wrote(now, slot, n);
        }
        Input::Pause => h.peer.read_paused(),
        Input::Resume => h.peer.read_resumed(now),
        Input::Sleep(ms) => h.sleep(Duration::from_millis(ms)),
        Input::Reconfigure(n) => drop(h.peer.reconfigure(now, config(n))),
        Input::Batch => h.peer.send_batch(now, &every_marker()),
        Input::Refresh => drop(h.peer.send_route_refresh(now, Family::Ipv4Unicast)),
        Input::TransportChanged => h.peer.transport_changed(now),
    }
}

fn message(said: Said, open: Open) -> Message {
    match said {
        Said::Open => Message::Open(open),
        Said::GracefulOpen { restarting } => Message::Open(graceful_open(open, restarting)),
        Said::Keepalive => Message::Keepalive,
        Said::Update => Message::Update(Update {
            end_of_rib: Some(Family::Ipv4Unicast),
            ..Update::default()
        }),
        Said::Refresh(kind) => Message::RouteRefresh(RouteRefresh {
            afi: 1,
            safi: 1,
            kind,
        }),
        Said::Notification => {
            Message::Notification(Notification::new(ErrorCode::Fsm(FsmSubcode::Unspecific)))
        }
    }
}

fn graceful_open(mut open: Open, restarting: bool) -> Open {
    open.capabilities
        .push(Capability::GracefulRestart(GracefulRestart {
            restarting,
            notification: true,
            restart_time: 60,
            families: vec![GracefulRestartFamily {
                afi: 1,
                safi: 1,
                forwarding_preserved: true,
            }],
        }));
    open
}

fn every_marker() -> OutBatch {
    OutBatch {
        end_of_rib: FamilySet::ALL,
        refresh_begin: FamilySet::ALL,
        refresh_end: FamilySet::ALL,
        ..OutBatch::default()
    }
}

fn config(n: u8) -> PeerConfig {
    changed(our_config(), n)
}

fn changed(mut config: PeerConfig, n: u8) -> PeerConfig {
    match n {
        0 => {}
        1 => config.passive = true,
        2 => config = graceful(config),
        3 => config.delay_open = Some(Duration::from_secs(2)),
        _ => config.remote_as = RemoteAs::Number(Asn(64999)),
    }
    config
}

/// Follows the outputs as the driver and the routing table do.
#[derive(Default)]
struct Watcher {
    up: bool,
    state: State,
    refreshing: FamilySet,
    graceful: bool,
}

impl Watcher {
    fn check(&mut self, h: &mut Harness) {
        for event in h.events() {
            match event {
                Event::Established(negotiated) => {
                    assert!(!self.up, "a second session");
                    assert!(!negotiated.families.is_empty());
                    self.graceful = negotiated.graceful_restart.is_some();
                    self.up = true;
                }
                Event::Down { retained, .. } => {
                    assert!(self.up, "down without up");
                    assert!(
                        retained.is_empty() || self.graceful,
                        "kept without being asked"
                    );
                    self.up = false;
                    self.refreshing = FamilySet::EMPTY;
                }
                Event::Updates(_) | Event::RefreshRequested(_) => {
                    assert!(self.up, "routes without a session");
                }
                Event::RefreshBegin(family) => {
                    assert!(self.up, "a refresh without a session");
                    self.refreshing.insert(family);
                }
                Event::RefreshEnd(family) => {
                    assert!(self.refreshing.contains(family), "end without begin");
                    self.refreshing.remove(family);
                }
                Event::StateChanged { from, to } => {
                    assert_eq!(from, self.state);
                    assert_ne!(from, to);
                    self.state = to;
                }
                Event::AttemptFailed { .. } | Event::Malformed(_) | Event::Unsendable(_) => {}
            }
        }
        let peer = &h.peer;
        assert_eq!(self.state, peer.state());
        assert_eq!(self.up, peer.state() == State::Established);
        assert_eq!(self.up, peer.negotiated().is_some());
        assert!(established(peer) <= 1);
        let status = peer.status(h.now);
        // A running neighbour never waits for nothing.
        if !status.stopped && !peer.config().passive && peer.state() <= State::Active {
            assert!(peer.poll_timeout().is_some(), "stuck: {status:?}");
        }
        if status.stopped {
            assert_eq!(peer.state(), State::Idle);
        }
        for action in h.actions() {
            if let Action::Close { farewell, .. } = action {
                assert!(farewell.len() < 5000);
            }
        }
    }
}

fn established(peer: &Peer) -> usize {
    peer.connections()
        .filter(|(_, connection)| connection.established().is_some())
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_breaks_an_invariant(inputs in prop::collection::vec(input(), 1..80), n in 0u8..4) {
        let mut h = Harness::new(config(n));
        let mut watcher = Watcher::default();
        for input in inputs {
            apply(&mut h, input);
            watcher.check(&mut h);
        }
    }

    /// Whatever happened to the two engines, in the networks that they lived in and to each alone: once
    /// the network is quiet they find each other. Nothing is reset for that; who was stopped last is
    /// started, and who does not read reads again.
    #[test]
    fn sessions_are_reached_from_anywhere(
        seed in any::<u64>(),
        inputs in prop::collection::vec((0..2_usize, input()), 0..60),
    ) {
        let mut world = World::new(seed, |config| config);
        world.weather = Weather::FOUL;
        for (host, input) in inputs {
            world.hosts[host].running = true;
            inject(&mut world, host, input);
        }
        for host in [A, B] {
            let now = world.now;
            world.hosts[host].peer.read_resumed(now);
            if world.hosts[host].peer.status(now).stopped {
                world.start(host);
            }
            world.hosts[host].running = true;
        }
        world.calm(Weather::FAIR);
        world.converge(Duration::from_secs(330), "");
    }
}

/// As [`apply`], to one of two engines. What both must keep to find each other is left alone: their
/// numbers, and that one of them dials.
fn inject(world: &mut World, host: usize, input: Input) {
    let now = world.now;
    let from = local_open(&world.hosts[1 - host].config, &Withheld::default());
    let h = &mut world.hosts[host];
    match input {
        Input::Start => h.peer.start(now),
        Input::Stop(true) => h.peer.stop(now, &StopReason::Shutdown("x".into())),
        Input::Stop(false) => h.peer.stop(now, &StopReason::GracefulRestart),
        Input::Restart => h.peer.restart(now, &StopReason::Reset(String::new())),
        Input::Admit => world.stray(host, Stray::Mute),
        Input::Connected(slot) => world.phantom(host, slot),
        Input::ConnectFailed => h.lose(now, Slot::Outgoing),
        Input::Received(slot, said) => h.peer.received(now, slot, &encode(&message(said, from))),
        Input::Raw(slot, bytes) => h.peer.received(now, slot, &bytes),
        Input::Closed(slot) => h.lose(now, slot),
        // The network writes, whatever there is.
        Input::Wrote(..) => {}
        Input::Pause => h.peer.read_paused(),
        Input::Resume => h.peer.read_resumed(now),
        Input::Sleep(ms) => drop(world.run(Duration::from_millis(ms), |_| false)),
        Input::Reconfigure(n) => {
            let n = if n == 4 || (n, host) == (1, B) { 0 } else { n };
            let config = changed(h.config.clone(), n);
            h.peer.reconfigure(now, config);
        }
        Input::Batch => h.peer.send_batch(now, &every_marker()),
        Input::Refresh => drop(h.peer.send_route_refresh(now, Family::Ipv4Unicast)),
        Input::TransportChanged => h.peer.transport_changed(now),
    }
    world.service(host);
}
