//! A copy of what goes over the connections.

use std::collections::BTreeMap;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    super::{Onlooker, Passing, tap::PORTIONS},
    timing::{by_hand, give},
    *,
};
use crate::{
    session::{State, StopReason},
    wire::{Codec, Framer, Message, Said},
};

const OPEN: u8 = 1;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;

/// Whether it was opened, what was sent, what was received.
type Seen = (bool, Vec<u8>, Vec<u8>);

/// The types of the messages in a stream, which has to begin with one.
fn kinds(octets: &[u8]) -> Vec<u8> {
    let mut framer = Framer::new();
    framer.push(octets);
    let mut kinds = Vec::new();
    while let Some(message) = framer.next().unwrap() {
        kinds.push(message[18]);
    }
    kinds
}

async fn next(tap: &mut Onlooker) -> Option<Passing> {
    let passed = timeout(LIMIT, tap.next()).await;
    passed.unwrap().map(|passed| passed.what)
}

/// In the middle of a table that is sent and of a message that comes.
#[tokio::test]
async fn a_tap_begins_where_messages_begin_and_misses_nothing() {
    const PREFIXES: u32 = 1 << 20;
    let (mut a, mut stream) = by_hand().await;
    stream.set_nodelay(true).unwrap();
    give(&mut a, PREFIXES).await;
    let mut status = a.peer.watch_status();
    let under_way = status.wait_for(|status| status.sent.update > 0);
    timeout(LIMIT, under_way).await.unwrap().unwrap();
    let mut keepalive = BytesMut::new();
    Codec::default().encode(&Message::Keepalive, &mut keepalive);
    let (begun, rest) = keepalive.split_at(7);
    let with_more = [&keepalive, begun].concat();
    stream.write_all(&with_more).await.unwrap();
    let heard = status.wait_for(|status| status.received.keepalive == 2);
    timeout(LIMIT, heard).await.unwrap().unwrap();

    let mut tap = a.peer.tap().unwrap();
    assert!(a.peer.tap().is_none(), "there is room for two");
    let first = next(&mut tap).await.unwrap();
    assert_eq!(first, Passing::Received(begun.to_vec().into()));
    stream.write_all(rest).await.unwrap();
    let neighbour = tokio::spawn(async move {
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let (mut peer, mut seen, mut received) = (Some(a.peer), Vec::new(), Vec::new());
    while let Some(what) = next(&mut tap).await {
        match what {
            Passing::Opened => panic!("it was open"),
            Passing::Received(octets) => received.extend_from_slice(&octets),
            Passing::Sent(octets) => seen.extend_from_slice(&octets),
        }
        // Something whole, and then the end.
        if seen.len() > 100_000 {
            peer = None;
        }
    }
    assert!(peer.is_none());
    assert_eq!(received, rest);
    let heard = timeout(LIMIT, neighbour).await.unwrap().unwrap();
    assert!(heard.len() > seen.len() && heard.ends_with(&seen));
    let kinds = kinds(&seen);
    assert!(kinds.len() > 2, "{kinds:?}");
    assert_eq!(kinds.last(), Some(&NOTIFICATION));
}

#[tokio::test]
async fn a_tap_sees_a_session_end_and_the_next_one_begin() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    let mut tap = a.peer.tap().unwrap();
    a.peer.restart(StopReason::Reset(String::new()));
    both_established(&mut a, &mut b).await;
    let is_over = |(opened, sent, _): &Seen| !opened && kinds(sent).ends_with(&[NOTIFICATION]);
    let is_up = |(opened, sent, received): &Seen| {
        *opened
            && [sent, received]
                .iter()
                .all(|octets| kinds(octets).starts_with(&[OPEN, KEEPALIVE]))
    };
    let mut connections: BTreeMap<_, Seen> = BTreeMap::new();
    let all = async {
        while !(connections.values().any(is_over) && connections.values().any(is_up)) {
            let passed = tap.next().await.unwrap();
            let ends = (passed.local, passed.remote);
            let (opened, sent, received) = connections.entry(ends).or_default();
            match passed.what {
                Passing::Opened => *opened = true,
                Passing::Sent(octets) => sent.extend_from_slice(&octets),
                Passing::Received(octets) => received.extend_from_slice(&octets),
            }
        }
    };
    let waited = timeout(LIMIT, all).await;
    assert!(waited.is_ok(), "{connections:?}");
    // The next one may look when this one is gone.
    assert!(a.peer.tap().is_none());
    drop(tap);
    assert!(a.peer.tap().is_some());
}

#[tokio::test]
async fn who_does_not_take_hears_no_more_and_the_session_waits_for_nobody() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    let mut tap = a.peer.tap().unwrap();
    a.peer.routes_ready();
    let routes = 2 * u32::try_from(PORTIONS).unwrap();
    let send = async {
        let mut sent = 0;
        while let Some(from) = a.core.recv().await {
            if let FromPeer::Pull { reply, .. } = from {
                let some = u32::from(sent < routes);
                let _ = reply.send(batch(sent, some));
                sent += some;
            }
        }
    };
    let receive = async {
        let mut received = 0;
        while received < routes {
            if let Some(FromPeer::Updates { updates, .. }) = b.core.recv().await {
                let sizes = updates.iter().map(|said| match said {
                    Said::Announced(_, routes) => routes.len(),
                    _ => 0,
                });
                received += u32::try_from(sizes.sum::<usize>()).unwrap();
            }
        }
    };
    tokio::select! {
        () = send => panic!("the task ended"),
        received = timeout(LIMIT, receive) => received.unwrap(),
    }
    let mut portions = 0;
    while next(&mut tap).await.is_some() {
        portions += 1;
    }
    assert_eq!(portions, PORTIONS);
    assert_eq!(a.peer.status().state, State::Established);
}
