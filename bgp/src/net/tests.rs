//! The shell on real sockets: loopback addresses and ports of the kernel's choice.

mod arrivals;
mod keys;
mod links;
mod namespace;
mod ranges;
mod timing;

use core::time::Duration;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::AsyncReadExt as _,
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{Clock, FromPeer, ListenError, Listener, PeerHandle, Transport, Ttl, spawn_peer};
use crate::{
    session::{
        ConnectError, DownReason, Event, Negotiated, OutBatch, PeerConfig, PeerId, Refusal,
        RemoteAs, State, StopReason,
    },
    types::{
        AsPath, Asn, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, NlriSet, PathAttributes,
        RouterId,
    },
    wire::{CeaseSubcode, Codec, ErrorCode, Framer, Message},
};

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Longer than anything here takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// One end: a listener, the one neighbour, and the core's end of the channel.
struct End {
    listener: Listener,
    peer: PeerHandle,
    core: mpsc::Receiver<FromPeer>,
}

fn config(local: u32) -> PeerConfig {
    let (local, remote) = (Asn(65000 + local), Asn(65003 - local));
    let id = RouterId::from_u32(local.0);
    let mut config = PeerConfig::new(local, RemoteAs::Number(remote), id);
    config.families = FamilySet::ALL;
    config.connect_retry = Duration::from_millis(500);
    config
}

fn listen(ip: IpAddr) -> Listener {
    let listener = Listener::bind(SocketAddr::new(ip, 0)).unwrap();
    listener.start();
    listener
}

fn end(n: u32, listener: Listener, transport: &Transport, config: PeerConfig) -> End {
    // One place: the core is slow unless a test takes what is there.
    let (to_core, core) = mpsc::channel(1);
    let clock = Clock::new();
    let peer = spawn_peer(
        PeerId(n),
        config,
        transport.clone(),
        n.into(),
        clock,
        to_core,
    );
    listener.register(transport, &peer).unwrap();
    End {
        listener,
        peer,
        core,
    }
}

/// Two neighbours that know each other's address, with a change to each one's transport and
/// configuration.
fn pair(
    (a, b): (IpAddr, IpAddr),
    change: impl Fn(u32, &mut Transport, &mut PeerConfig),
) -> (End, End) {
    let (listen_a, listen_b) = (listen(a), listen(b));
    let transport = |remote: &Listener, local: &Listener| {
        let mut transport = Transport::new(remote.local_addr());
        transport.local = Some(local.local_addr().ip());
        transport.ttl = Ttl::Hops(1);
        transport
    };
    let (mut to_b, mut to_a) = (
        transport(&listen_b, &listen_a),
        transport(&listen_a, &listen_b),
    );
    let (mut config_a, mut config_b) = (config(1), config(2));
    change(1, &mut to_b, &mut config_a);
    change(2, &mut to_a, &mut config_b);
    (
        end(1, listen_a, &to_b, config_a),
        end(2, listen_b, &to_a, config_b),
    )
}

impl End {
    /// Takes events until `wanted` finds what it looks for. Requests for routes get nothing.
    async fn until<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        let search = async {
            while let Some(from) = self.core.recv().await {
                match from {
                    FromPeer::Event { event, .. } => {
                        if let Some(found) = wanted(event) {
                            return found;
                        }
                    }
                    FromPeer::Updates { updates, .. } => {
                        let mut updates = updates.into_iter().map(Event::Update);
                        if let Some(found) = updates.find_map(&wanted) {
                            return found;
                        }
                    }
                    FromPeer::Pull { reply, .. } => drop(reply.send(OutBatch::default())),
                }
            }
            panic!("the task ended");
        };
        timeout(LIMIT, search)
            .await
            .expect("the event did not come")
    }

    async fn established(&mut self) -> Arc<Negotiated> {
        self.until(|event| match event {
            Event::Established(negotiated) => Some(negotiated),
            _ => None,
        })
        .await
    }

    async fn down(&mut self) -> DownReason {
        self.until(|event| match event {
            Event::Down { reason, .. } => Some(reason),
            _ => None,
        })
        .await
    }

    async fn failure(&mut self) -> ConnectError {
        self.until(|event| match event {
            Event::AttemptFailed {
                reason: DownReason::ConnectFailed(error),
                ..
            } => Some(error),
            _ => None,
        })
        .await
    }
}

async fn both_established(a: &mut End, b: &mut End) -> (Arc<Negotiated>, Arc<Negotiated>) {
    tokio::join!(a.established(), b.established())
}

#[tokio::test]
async fn two_neighbours_establish_one_session() {
    for addresses in [
        (A, B),
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
    ] {
        let (mut a, mut b) = pair(addresses, |_, _, _| {});
        let (at_a, at_b) = both_established(&mut a, &mut b).await;
        assert_eq!(at_a.remote_as, Asn(65002));
        assert_eq!(at_a.local_addr, at_b.remote_addr);
        assert_eq!(at_a.remote_addr, at_b.local_addr);
        assert_eq!(at_a.families, FamilySet::ALL);
        assert_eq!(
            (
                a.listener.refused(Refusal::Unknown),
                b.listener.refused(Refusal::Unknown)
            ),
            (0, 0)
        );
    }
}

#[tokio::test]
async fn two_that_start_at_the_same_instant_get_one_session_and_keep_it() {
    for round in 0..200 {
        let (mut a, mut b) = pair((A, B), |_, _, _| {});
        let both = timeout(LIMIT, both_established(&mut a, &mut b)).await;
        assert!(both.is_ok(), "round {round}");
        // What is left of the other connection must not disturb the session.
        for end in [&a, &b] {
            let status = end.peer.status();
            assert_eq!(status.established_count, 1, "round {round}");
            assert_eq!(status.state, State::Established, "round {round}");
        }
    }
}

#[tokio::test]
async fn status_follows_the_session() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    assert!(a.peer.status().established_since.is_none());
    let mut status = a.peer.watch_status();
    both_established(&mut a, &mut b).await;
    let up = status.wait_for(|status| status.state == State::Established);
    let up = timeout(LIMIT, up).await.unwrap().unwrap();
    assert_eq!(up.received.open, 1);
    assert!(up.negotiated.is_some());
}

#[tokio::test]
async fn an_idle_session_does_nothing() {
    let (mut a, mut b) = pair((A, B), |_, _, config| config.hold_time = 0);
    both_established(&mut a, &mut b).await;
    // A task whose publishing makes it publish again would never come to rest.
    let at_rest = async {
        loop {
            let before = a.peer.status().at;
            sleep(Duration::from_millis(600)).await;
            if a.peer.status().at == before {
                return;
            }
        }
    };
    timeout(LIMIT, at_rest).await.expect("it does not rest");
}

#[tokio::test]
async fn the_same_password_connects() {
    for addresses in [
        (A, B),
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
    ] {
        let (mut a, mut b) = pair(addresses, |_, transport, _| {
            transport.password = Some(b"swordfish".to_vec().into());
        });
        both_established(&mut a, &mut b).await;
    }
}

#[tokio::test]
async fn another_password_looks_like_a_dead_host() {
    for other in [None, Some(b"s3cret".to_vec().into())] {
        let (mut a, mut b) = pair((A, B), |n, transport, _| {
            let password = Some(b"swordfish".to_vec().into());
            transport.password = if n == 1 { password } else { other.clone() };
        });
        let failures = tokio::join!(a.failure(), b.failure());
        assert_eq!(failures, (ConnectError::TimedOut, ConnectError::TimedOut));
    }
}

#[tokio::test]
async fn a_password_that_the_kernel_refuses_is_an_error_and_no_session() {
    let too_long = vec![b'x'; 81];
    let listener = listen(A);
    let mut transport = Transport::new(SocketAddr::new(B, 1));
    transport.password = Some(too_long.into());
    let (to_core, core) = mpsc::channel(1);
    let clock = Clock::new();
    let peer = spawn_peer(PeerId(1), config(1), transport.clone(), 1, clock, to_core);
    let error = listener.register(&transport, &peer).unwrap_err();
    assert_eq!(error.id(), "socket-option-refused");
    assert!(error.to_string().contains("127.0.0.2"), "{error}");
    let mut end = End {
        listener,
        peer,
        core,
    };
    assert_eq!(
        end.failure().await,
        ConnectError::SocketOption("TCP_MD5SIG")
    );
}

/// RFC 5082 section 3: between two that are strict everything is sent with 255, for nothing less is
/// taken; and what came over more links than are allowed is dropped.
#[tokio::test]
async fn ttl_security_lets_direct_neighbours_in_and_nobody_else() {
    for addresses in [
        (A, B),
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
    ] {
        let between = |strict, other| {
            pair(addresses, |n, transport, _| {
                transport.ttl = if n == 1 { strict } else { other };
            })
        };
        let (mut a, mut b) = between(Ttl::Security(1), Ttl::Security(1));
        both_established(&mut a, &mut b).await;
        let links = if addresses.0.is_ipv4() { 1 } else { 3 };
        let least = 255 - (links - 1);
        let (mut a, mut b) = between(Ttl::Security(links), Ttl::Hops(least));
        both_established(&mut a, &mut b).await;
    }

    // The other end sends with a smaller TTL, as from far away: not one message of it is read.
    let (mut a, mut b) = pair((A, B), |n, transport, config| {
        if n == 1 {
            (transport.ttl, config.passive) = (Ttl::Security(1), true);
        } else {
            transport.ttl = Ttl::Hops(64);
        }
    });
    let refused = async {
        while a.listener.refused(Refusal::TtlSecurity) < 3 {
            for end in [&mut a, &mut b] {
                while end.core.try_recv().is_ok() {}
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, refused).await.expect("nothing was refused");
    let (at_a, at_b) = (a.peer.status(), b.peer.status());
    assert_eq!((at_a.received.open, at_a.sent.open), (0, 0));
    assert_eq!((at_b.received.open, at_b.established_count), (0, 0));
    // It is told nothing, and has no reason to rest.
    let told = (&at_b.errors.received, at_b.timers.idle_hold);
    assert_eq!(told, (&None, None));
}

/// Dialled and accepted connections alike.
#[tokio::test]
async fn a_session_may_be_bound_to_a_link() {
    let (mut a, mut b) = pair((A, B), |_, transport, _| {
        transport.interface = Some("lo".into());
    });
    both_established(&mut a, &mut b).await;

    let mut transport = Transport::new(SocketAddr::new(B, 1));
    transport.interface = Some("nowhere0".into());
    let mut nowhere = end(1, listen(A), &transport, config(1));
    let refused = ConnectError::SocketOption("SO_BINDTODEVICE");
    assert_eq!(nowhere.failure().await, refused);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = listen(A);
    let error = Listener::bind(first.local_addr()).unwrap_err();
    assert!(matches!(error, ListenError::AddressInUse(addr) if addr == first.local_addr()));
    assert!(error.to_string().contains(&first.local_addr().to_string()));
    let elsewhere = Listener::bind(SocketAddr::from(([192, 0, 2, 1], 0))).unwrap_err();
    assert_eq!(elsewhere.id(), "address-not-available");
}

#[tokio::test]
async fn a_dropped_listener_frees_its_port_at_once() {
    for ip in [A, Ipv6Addr::LOCALHOST.into()] {
        let first = listen(ip);
        let addr = first.local_addr();
        drop(first);
        // Nothing was awaited: the accepting task has not run since.
        Listener::bind(addr).unwrap();
    }
}

#[tokio::test]
async fn attempts_that_fail_say_why() {
    let closed = listen(B).local_addr();
    let mut transport = Transport::new(closed);
    let mut refused = end(1, listen(A), &transport, config(1));
    assert_eq!(refused.failure().await, ConnectError::Refused);

    transport.local = Some([192, 0, 2, 1].into());
    let mut not_ours = end(1, listen(A), &transport, config(1));
    assert_eq!(
        not_ours.failure().await,
        ConnectError::LocalAddressNotAvailable
    );
}

#[tokio::test]
async fn strangers_are_told_that_they_are() {
    let listener = listen(A);
    let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    let mut framer = Framer::new();
    framer.push(&bytes);
    let message = framer.next().unwrap().unwrap();
    let Message::Notification(notification) = Codec::default().decode(&message).unwrap() else {
        panic!("not a NOTIFICATION");
    };
    let rejected = ErrorCode::Cease(CeaseSubcode::ConnectionRejected);
    assert_eq!(notification.code, rejected);
    assert_eq!(listener.refused(Refusal::Unknown), 1);
}

#[tokio::test]
async fn a_stop_says_why_and_a_start_brings_the_session_back() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    a.peer.stop(StopReason::Shutdown("new kernel".into()));
    let DownReason::NotificationReceived(notification) = b.down().await else {
        panic!("no NOTIFICATION");
    };
    let shutdown = ErrorCode::Cease(CeaseSubcode::AdministrativeShutdown);
    assert_eq!(notification.code, shutdown);
    assert_eq!(
        notification.shutdown_message().as_deref(),
        Some("new kernel")
    );
    let own = a.down().await;
    assert_eq!(
        own,
        DownReason::Stopped(StopReason::Shutdown("new kernel".into()))
    );

    a.peer.start();
    both_established(&mut a, &mut b).await;
}

#[tokio::test]
async fn a_dropped_handle_ends_the_session_as_deconfigured() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    // The core no longer listens to a neighbour that it removed.
    let End { peer, core, .. } = a;
    let (ended, reason) = tokio::join!(timeout(LIMIT, peer.ended()), b.down());
    ended.unwrap();
    drop(core);
    let DownReason::NotificationReceived(notification) = reason else {
        panic!("{reason}");
    };
    let code = ErrorCode::Cease(CeaseSubcode::PeerDeconfigured);
    assert_eq!(notification.code, code);
}

#[tokio::test]
async fn a_graceful_restart_closes_without_a_word() {
    let (mut a, mut b) = pair((A, B), |_, _, config| {
        config.graceful_restart = Some(crate::session::GracefulRestartConfig::default());
    });
    both_established(&mut a, &mut b).await;
    a.peer.stop(StopReason::GracefulRestart);
    let retained = b
        .until(|event| match event {
            Event::Down {
                reason: DownReason::ConnectionLost(_),
                retained,
            } => Some(retained),
            Event::Down { reason, .. } => panic!("{reason}"),
            _ => None,
        })
        .await;
    assert_eq!(retained, FamilySet::ALL);
}

#[tokio::test]
async fn a_changed_password_resets_and_a_changed_timer_does_not() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    let transport = Transport::new(b.listener.local_addr());
    let mut live = config(1);
    live.connect_retry = Duration::from_millis(400);
    let mut same = transport.clone();
    same.local = Some(A);
    same.ttl = Ttl::Hops(1);
    a.peer.reconfigure(live.clone(), same.clone());
    // Were the first change a reset, this would be the second one.
    same.password = Some(b"swordfish".to_vec().into());
    sleep(Duration::from_millis(50)).await;
    assert_eq!(a.peer.status().state, State::Established);
    a.peer.reconfigure(live, same);
    assert_eq!(a.down().await.to_string(), "reconfigured: transport");
    let received = b.down().await;
    assert!(matches!(received, DownReason::NotificationReceived(n)
        if n.code == ErrorCode::Cease(CeaseSubcode::OtherConfigurationChange)));
}

/// With a hold time of three seconds, and a core that takes nothing for four.
#[tokio::test]
async fn a_slow_core_does_not_cost_the_session() {
    let (mut a, mut b) = pair((A, B), |_, _, config| config.hold_time = 3);
    both_established(&mut a, &mut b).await;
    // Two events for one place: the task has to hold one back, and to stop reading.
    for family in FamilySet::ALL.iter() {
        b.peer.refresh(family);
    }
    sleep(Duration::from_secs(4)).await;
    for end in [&a, &b] {
        let status = end.peer.status();
        assert_eq!(
            (status.state, status.established_count),
            (State::Established, 1)
        );
    }
    for family in FamilySet::ALL.iter() {
        let refresh = a.until(|event| match event {
            Event::RefreshRequested(family) => Some(family),
            Event::Down { reason, .. } => panic!("{reason}"),
            _ => None,
        });
        assert_eq!(refresh.await, family);
    }
}

/// A batch of so many IPv4 prefixes, numbered from `first`.
fn batch(first: u32, prefixes: u32) -> OutBatch {
    let attrs = PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4([192, 0, 2, 1].into())),
        ..PathAttributes::default()
    };
    let list = (first..first + prefixes)
        .filter_map(|n| Ipv4Prefix::new((0x0a00_0000 + (n << 4)).into(), 28))
        .map(Nlri::plain)
        .collect();
    OutBatch {
        reach: vec![(Arc::new(attrs), NlriSet::V4(list))],
        ..OutBatch::default()
    }
}

/// More than the socket buffers hold, so the sender has to wait for the receiver again and again.
#[tokio::test]
async fn routes_are_pulled_until_there_are_none() {
    const BATCHES: u32 = 100;
    const SIZE: u32 = 4096;
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    a.peer.routes_ready();
    let send = async {
        let mut sent = 0;
        while let Some(from) = a.core.recv().await {
            let FromPeer::Pull { reply, .. } = from else {
                continue;
            };
            let mut answer = OutBatch::default();
            if sent < BATCHES {
                answer = batch(sent * SIZE, SIZE);
            } else if sent == BATCHES {
                answer.end_of_rib = FamilySet::from_iter([Family::Ipv4Unicast]);
            }
            let last = answer.is_empty();
            reply.send(answer).unwrap();
            sent += 1;
            if last {
                return sent;
            }
        }
        panic!("the task ended");
    };
    let receive = async {
        let mut seen = BTreeSet::new();
        loop {
            let update = b.until(|event| match event {
                Event::Update(update) => Some(update),
                Event::Down { reason, .. } => panic!("{reason}"),
                _ => None,
            });
            let update = update.await;
            assert!(update.faults.is_empty(), "{:?}", update.faults);
            for reach in &update.reach {
                assert_eq!(reach.attrs.as_path, AsPath::sequence([Asn(65001)]));
                seen.extend(reach.nlri.iter().map(|nlri| nlri.prefix));
            }
            if update.end_of_rib == Some(Family::Ipv4Unicast) {
                return seen;
            }
        }
    };
    let (answers, seen) = timeout(LIMIT, async { tokio::join!(send, receive) })
        .await
        .expect("the table did not arrive");
    // The batches, the End-of-RIB, and the empty one that ends it.
    assert_eq!(answers, BATCHES + 2);
    assert_eq!(seen.len(), usize::try_from(BATCHES * SIZE).unwrap());
    let status = a.peer.status();
    assert_eq!(status.state, State::Established);
}

/// The neighbour never dials here, so all depends on us; and somebody holds a connection in its name.
#[tokio::test]
async fn a_silent_connection_in_the_neighbours_name_costs_no_session() {
    let gone = listen(B);
    let addr = gone.local_addr();
    drop(gone);
    let mut transport = Transport::new(addr);
    transport.local = Some(A);
    let mut session = config(1);
    // What we dial is what stays.
    session.router_id = RouterId::from_u32(u32::MAX);
    let mut a = end(1, listen(A), &transport, session);
    a.failure().await;
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind((B, 0).into()).unwrap();
    let _silent = silent.connect(a.listener.local_addr()).await.unwrap();
    let mut status = a.peer.watch_status();
    let taken = async {
        let opened = status.wait_for(|s| s.state == State::OpenSent);
        opened.await.unwrap();
    };
    // Whoever waits for a status takes the events too: there is one place for them.
    tokio::select! {
        () = taken => {}
        () = a.until(|_| None::<()>) => {}
    }
    let mut transport = Transport::new(a.listener.local_addr());
    transport.local = Some(B);
    let mut passive = config(2);
    passive.passive = true;
    let back = Listener::bind(addr).unwrap();
    back.start();
    let mut b = end(2, back, &transport, passive);
    both_established(&mut a, &mut b).await;
}
