//! Keys that change, and keys that the kernel does not know how to use.

use core::{cell::RefCell, time::Duration};
use std::net::SocketAddr;

use tokio::{sync::mpsc, time::timeout};

use super::{A, B, End, both_established, config, listen, pair};
use crate::{
    net::{AoAlgorithm, AoKey, Clock, Transport, probe_tcp_ao, spawn_peer},
    session::{ConnectError, Event, PeerId, State, StopReason},
    types::Family,
};

/// Both ends are told one after the other, as an operator does it.
#[tokio::test]
async fn a_password_is_rotated_under_a_running_session() {
    let transports = RefCell::new(Vec::new());
    let (mut a, mut b) = pair((A, B), |_, transport, _| {
        transport.password = Some(b"one".to_vec().into());
        transports.borrow_mut().push(transport.clone());
    });
    both_established(&mut a, &mut b).await;
    let rotate = |end: &End, n: usize| {
        let mut transport = transports.borrow()[n].clone();
        transport.password = Some(b"two".to_vec().into());
        end.listener.register(&transport, &end.peer).unwrap();
        let session = config(u32::try_from(n).unwrap() + 1);
        end.peer.reconfigure(session, transport);
    };
    rotate(&a, 0);
    // Something to say in the meantime: it is lost, and sent again when both have the key.
    a.peer.refresh(Family::Ipv4Unicast);
    let refreshed = |event| match event {
        Event::RefreshRequested(family) => Some(family),
        Event::Down { reason, .. } => panic!("{reason}"),
        _ => None,
    };
    let early = timeout(Duration::from_millis(200), b.until(refreshed)).await;
    assert!(early.is_err(), "a live connection kept its key");
    rotate(&b, 1);
    assert_eq!(b.until(refreshed).await, Family::Ipv4Unicast);
    for end in [&a, &b] {
        let status = end.peer.status();
        assert_eq!(
            (status.state, status.established_count),
            (State::Established, 1)
        );
    }
    // The new key is the one that counts for the next connection too.
    a.peer.restart(StopReason::Reset(String::new()));
    b.down().await;
    both_established(&mut a, &mut b).await;
}

/// To have a password or not is another identity: what was agreed without one does not go on.
#[tokio::test]
async fn a_session_without_a_password_ends_when_there_is_one() {
    let transports = RefCell::new(Vec::new());
    let (mut a, mut b) = pair((A, B), |_, transport, _| {
        transports.borrow_mut().push(transport.clone());
    });
    both_established(&mut a, &mut b).await;
    let protect = |end: &End, n: usize| {
        let mut transport = transports.borrow()[n].clone();
        transport.password = Some(b"one".to_vec().into());
        end.listener.register(&transport, &end.peer).unwrap();
        let session = config(u32::try_from(n).unwrap() + 1);
        end.peer.reconfigure(session, transport);
    };
    protect(&a, 0);
    assert_eq!(a.down().await.to_string(), "reconfigured: transport");
    // The other end knows of no password yet: there is nothing between the two.
    let alone = timeout(Duration::from_millis(500), a.established()).await;
    assert!(alone.is_err(), "a session without the password");
    protect(&b, 1);
    both_established(&mut a, &mut b).await;
}

#[tokio::test]
async fn a_rotation_that_the_kernel_refuses_ends_the_session() {
    let key = RefCell::new(None);
    let (mut a, mut b) = pair((A, B), |n, transport, _| {
        transport.password = Some(b"one".to_vec().into());
        if n == 1 {
            *key.borrow_mut() = Some(transport.clone());
        }
    });
    both_established(&mut a, &mut b).await;
    let mut transport = key.borrow().clone().unwrap();
    transport.password = Some(vec![b'x'; 81].into());
    a.peer.reconfigure(config(1), transport);
    assert_eq!(a.down().await.to_string(), "reconfigured: transport");
    assert_eq!(a.failure().await, ConnectError::SocketOption("TCP_MD5SIG"));
}

/// Where the kernel has the TCP Authentication Option, it protects a session; where it has not, that is
/// an error with a name, and no session.
#[tokio::test]
async fn tcp_ao_is_there_or_there_is_no_session() {
    let key = |secret: &str| AoKey {
        send_id: 1,
        receive_id: 1,
        algorithm: AoAlgorithm::HmacSha1,
        secret: secret.as_bytes().to_vec().into(),
    };
    if probe_tcp_ao().is_ok() {
        let (mut a, mut b) = pair((A, B), |_, transport, _| {
            transport.tcp_ao = vec![key("swordfish")];
        });
        both_established(&mut a, &mut b).await;
        return;
    }
    let listener = listen(A);
    let mut transport = Transport::new(SocketAddr::new(B, 1));
    transport.tcp_ao = vec![key("swordfish")];
    let (to_core, core) = mpsc::channel(1);
    let peer = spawn_peer(
        PeerId(1),
        config(1),
        transport.clone(),
        1,
        Clock::new(),
        to_core,
    );
    let error = listener.register(&transport, &peer).unwrap_err();
    assert_eq!(error.id(), "unsupported-by-kernel");
    let mut end = End {
        listener,
        peer,
        core,
    };
    let failure = end.failure().await;
    assert_eq!(failure, ConnectError::Unsupported("TCP_AO_ADD_KEY"));
    assert_eq!(
        failure.to_string(),
        "unsupported-by-kernel (TCP_AO_ADD_KEY)"
    );
    let shown = format!("{transport:?}");
    assert!(!shown.contains("fish") && !shown.contains("115"), "{shown}");
}
