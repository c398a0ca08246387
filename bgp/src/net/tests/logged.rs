//! What is handed to an update log.

use std::collections::BTreeMap;

use super::*;
use crate::{
    mrt::{
        self,
        message::{self, Said, Session},
    },
    net::{NoRecords, Records, UpdateLog, UpdateLogEnd, spawn_logged_peer, update_log::PORTION},
    session::{State, StopReason},
};

const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;

/// When the tests take place, in seconds since 1970.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// All records until the log is over.
fn all(end: &UpdateLogEnd) -> (Vec<u8>, u64) {
    let (mut octets, mut count) = (Vec::new(), 0);
    loop {
        match end.next(LIMIT) {
            Ok(records) => {
                end.done(records.octets.len());
                octets.extend_from_slice(&records.octets);
                count += records.count;
            }
            Err(NoRecords::Yet) => panic!("the log is not over"),
            Err(NoRecords::Over) => return (octets, count),
        }
    }
}

#[tokio::test]
async fn a_session_from_its_beginning_to_its_end() {
    let (log, logged) = UpdateLog::new(1 << 20, false);
    logged.set_epoch(EPOCH);
    let (listen_a, listen_b) = (listen(A), listen(B));
    let to_b = Transport::new(listen_b.local_addr());
    let mut to_a = Transport::new(listen_a.local_addr());
    to_a.local = Some(B);
    let (to_core, core) = mpsc::channel(1);
    let mut config_a = config(1);
    config_a.passive = true;
    let clock = Clock::new();
    let peer = spawn_logged_peer(
        PeerId(1),
        config_a,
        to_b.clone(),
        1,
        clock,
        to_core,
        Some(log),
    );
    listen_a.register(&to_b, &peer).unwrap();
    let mut a = End {
        listener: listen_a,
        peer,
        core,
    };
    let mut b = end(2, listen_b, &to_a, config(2));
    both_established(&mut a, &mut b).await;
    b.peer.stop(StopReason::Shutdown(String::new()));
    let mut status = a.peer.watch_status();
    let down = status.wait_for(|status| status.state < State::OpenSent);
    timeout(LIMIT, down).await.unwrap().unwrap();
    timeout(LIMIT, a.peer.ended()).await.unwrap();

    let (octets, count) = tokio::task::spawn_blocking(move || all(&logged))
        .await
        .unwrap();
    check(&octets, count);
}

/// Of a session with B that came up once, heard of no route, and ended.
fn check(octets: &[u8], count: u64) {
    let records: Vec<_> = mrt::Records::new(octets).collect();
    assert_eq!(records.len() as u64, count);
    let (mut states, mut messages) = (vec![1], BTreeMap::new());
    let session = Session {
        peer_as: Asn(65002),
        local_as: Asn(65001),
        peer: B,
        local: A,
    };
    for record in &records {
        assert!((0..60).contains(&(u64::from(record.time.seconds) - EPOCH.as_secs())));
        let (whose, said) = message::read(record).unwrap();
        match said {
            Said::Message {
                form,
                message,
                received,
            } => {
                assert_eq!(whose, session);
                assert!(form.four_octet_as && !form.add_path && received);
                *messages.entry(message[18]).or_insert(0) += 1;
            }
            Said::StateChange { from, to } => {
                assert_eq!(states.last(), Some(&from), "one leads to the next");
                states.push(to);
            }
        }
    }
    // Idle, Active, OpenSent, OpenConfirm, Established, and not any more.
    assert_eq!(states[..6], [1, 3, 4, 5, 6, states[5]]);
    assert!(states[5] < 4 && states.last() == Some(&1), "{states:?}");
    assert!(messages[&OPEN] >= 1 && messages[&KEEPALIVE] >= 1 && messages[&NOTIFICATION] == 1);
    assert!(!messages.contains_key(&UPDATE), "{messages:?}");
}

#[tokio::test]
async fn a_log_that_nobody_takes_makes_no_session_wait() {
    const ROOM: usize = 512 + 4 * PORTION;
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    let (log, logged) = UpdateLog::new(ROOM, true);
    a.peer.log_to(Some(log.clone()));
    b.peer.log_to(Some(log.clone()));
    a.peer.restart(StopReason::Reset(String::new()));
    both_established(&mut a, &mut b).await;
    assert!(log.lost() > 0, "there is not that much room");
    // Two more leave the log to itself.
    a.peer.log_to(None);
    b.peer.log_to(None);
    drop(log);
    let (octets, _) = tokio::task::spawn_blocking(move || all(&logged))
        .await
        .unwrap();
    assert!(octets.len() <= ROOM, "{}", octets.len());
    let mut records = mrt::Records::new(&octets);
    assert!(records.by_ref().count() > 0 && !records.is_cut());
}

/// Each record up to the end of the session has the address of the session's neighbour, and those after it
/// the new one's.
#[tokio::test]
async fn a_session_that_ends_by_another_address_has_the_one_that_it_had() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    let (log, logged) = UpdateLog::new(1 << 20, true);
    a.peer.log_to(Some(log));
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
    let elsewhere = Transport::new((other, 1).into());
    a.peer.reconfigure(config(1), elsewhere);
    assert!(matches!(a.down().await, DownReason::Reconfigured(_)));
    timeout(LIMIT, a.peer.ended()).await.unwrap();
    let (octets, _) = tokio::task::spawn_blocking(move || all(&logged))
        .await
        .unwrap();
    let peers: Vec<_> = mrt::Records::new(&octets)
        .map(|record| message::read(&record).unwrap())
        .map(|(whose, said)| {
            (
                matches!(said, Said::StateChange { from: 6, .. }),
                whose.peer,
            )
        })
        .collect();
    let end = peers.iter().position(|(is_end, _)| *is_end).unwrap();
    assert!(peers.len() > end + 1, "{peers:?}");
    for (n, (_, peer)) in peers.iter().enumerate() {
        assert_eq!(*peer, if n <= end { B } else { other }, "{peers:?}");
    }
}

/// Nobody takes them: what a write that hangs looks like from here.
#[test]
fn many_small_portions_have_as_much_room_as_their_octets() {
    const OCTETS: usize = 55;
    let (log, end) = UpdateLog::new(4 << 20, false);
    let pass = || {
        log.pass(Records {
            octets: bytes::BytesMut::zeroed(OCTETS),
            count: 1,
        });
    };
    (0..20_000).for_each(|_| pass());
    assert_eq!(log.lost(), 0);
    // What holds them takes room as well, so there is an end to it.
    (0..80_000).for_each(|_| pass());
    let lost = log.lost();
    assert!((60_000..80_000).contains(&lost), "{lost}");
    drop(log);
    let (octets, count) = all(&end);
    assert_eq!(count + lost, 100_000);
    assert_eq!(octets.len() as u64, count * OCTETS as u64);
    assert_eq!(end.under_way(), 0);
}

#[test]
fn what_is_written_makes_room() {
    const MUCH: usize = 10_000;
    let (log, end) = UpdateLog::new(10 * MUCH + 3 * PORTION, false);
    let pass = |octets: usize, count| {
        log.pass(Records {
            octets: bytes::BytesMut::zeroed(octets * MUCH),
            count,
        });
    };
    pass(6, 1);
    pass(5, 2);
    pass(4, 4);
    assert_eq!(log.lost(), 2);
    assert_eq!(end.next(Duration::ZERO).unwrap().count, 1);
    pass(6, 8);
    assert_eq!(log.lost(), 10, "it is taken, and not written");
    end.done(6 * MUCH);
    pass(6, 16);
    assert_eq!(log.lost(), 10);
    let counts = [end.next(Duration::ZERO), end.next(Duration::ZERO)];
    assert_eq!(counts.map(|records| records.unwrap().count), [4, 16]);
    assert_eq!(end.next(Duration::ZERO), Err(NoRecords::Yet));
    drop(log);
    assert_eq!(end.next(LIMIT), Err(NoRecords::Over));
}
