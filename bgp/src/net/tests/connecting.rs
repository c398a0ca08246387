//! How two neighbours find each other, and who is not let in.

use std::net::Ipv6Addr;

use tokio::{
    io::AsyncReadExt as _,
    net::{TcpSocket, TcpStream},
    time::sleep,
};

use super::*;
use crate::{
    net::ListenError,
    session::{Refusal, State},
    wire::{CeaseSubcode, Codec, ErrorCode, Framer, Message},
};

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
