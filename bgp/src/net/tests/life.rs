//! A session from its first second to its last: status, routes, changes, and how it ends.

use std::collections::BTreeSet;

use tokio::time::sleep;

use super::*;
use crate::{
    session::{GracefulRestartConfig, State, StopReason},
    types::Family,
    wire::{CeaseSubcode, ErrorCode},
};

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
        config.graceful_restart = Some(GracefulRestartConfig::default());
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
            let updates = b.until(|event| match event {
                Event::Updates(updates) => Some(updates),
                Event::Down { reason, .. } => panic!("{reason}"),
                _ => None,
            });
            for update in updates.await.messages() {
                assert!(update.faults.is_empty(), "{:?}", update.faults);
                for reach in &update.reach {
                    assert_eq!(reach.attrs.as_path, AsPath::sequence([Asn(65001)]));
                    seen.extend(reach.nlri.iter().map(|nlri| nlri.prefix));
                }
                if update.end_of_rib == Some(Family::Ipv4Unicast) {
                    return seen;
                }
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
