//! KEEPALIVEs and the hold timer of a task that has much to do.

use core::time::Duration;

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{A, B, End, LIMIT, batch, config, end, listen};
use crate::{
    net::{FromPeer, Transport},
    session::State,
    types::{Asn, RouterId},
    wire::{Codec, Framer, Message, Open},
};

const HOLD: Duration = Duration::from_secs(3);

/// Has a table of so many prefixes for the neighbour, and gives it when it is pulled.
pub(super) async fn give(a: &mut End, prefixes: u32) {
    a.peer.routes_ready();
    let table = async {
        loop {
            if let Some(FromPeer::Pull { reply, .. }) = a.core.recv().await {
                return reply.send(batch(0, prefixes)).unwrap();
            }
        }
    };
    timeout(LIMIT, table).await.unwrap();
}

/// A session with a neighbour that is in the test's own hands, and that takes little at once.
pub(super) async fn by_hand() -> (End, TcpStream) {
    let mut passive = config(1);
    passive.passive = true;
    let mut a = end(1, listen(A), &Transport::new((B, 1).into()), passive);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind((B, 0).into()).unwrap();
    let mut stream = socket.connect(a.listener.local_addr()).await.unwrap();
    say(&mut stream, &open()).await;
    say(&mut stream, &Message::Keepalive).await;
    let session = a.established().await;
    assert_eq!(session.hold_time, HOLD);
    (a, stream)
}

/// The neighbour's OPEN.
pub(super) fn open() -> Message {
    Message::Open(Open {
        version: 4,
        asn: Asn(65002),
        hold_time: 3,
        router_id: RouterId::from_u32(65002),
        capabilities: Vec::new(),
    })
}

async fn say(stream: &mut TcpStream, message: &Message) {
    let mut bytes = BytesMut::new();
    Codec::default().encode(message, &mut bytes);
    stream.write_all(&bytes).await.unwrap();
}

/// The types of the messages that arrive, until `over` has seen enough of them.
async fn hear(stream: &mut TcpStream, over: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    const TYPE_AT: usize = 18;
    let (mut framer, mut kinds) = (Framer::new(), Vec::new());
    let mut buffer = [0; 1 << 16];
    while !over(&kinds) {
        let n = stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "the session ended");
        framer.push(&buffer[..n]);
        while let Some(message) = framer.next().unwrap() {
            kinds.push(message[TYPE_AT]);
        }
    }
    kinds
}

/// The neighbour takes nothing for longer than a KEEPALIVE may wait. There is more for it than all the
/// buffers on the way hold, and the KEEPALIVE is ahead of what is not in them.
#[tokio::test]
async fn a_keepalive_does_not_wait_behind_updates() {
    const UPDATE: u8 = 2;
    const KEEPALIVE: u8 = 4;
    const PREFIXES: u32 = 1 << 20;
    let (mut a, mut stream) = by_hand().await;
    give(&mut a, PREFIXES).await;
    // One acknowledged the OPEN; the next one is due while the neighbour takes nothing.
    let mut status = a.peer.watch_status();
    let due = status.wait_for(|status| status.sent.keepalive == 2);
    let updates = timeout(LIMIT, due).await.unwrap().unwrap().sent.update;
    say(&mut stream, &Message::Keepalive).await;
    let of_kind = |kinds: &[u8], kind| kinds.iter().filter(|k| **k == kind).count();
    let all = usize::try_from(updates).unwrap();
    let kinds = hear(&mut stream, |kinds| of_kind(kinds, UPDATE) == all);
    let kinds = timeout(LIMIT, kinds).await.unwrap();
    // OPEN and the first KEEPALIVE, then the table.
    let table = &kinds[2..];
    let keepalive = table.iter().position(|kind| *kind == KEEPALIVE);
    assert!(keepalive.is_some(), "behind {all} updates");
}

/// A machine that was busy for longer than the hold time has timers that are due, and input that came
/// in time. Which of the two the task hears of first is chance.
#[tokio::test]
async fn what_has_arrived_counts_before_what_has_expired() {
    let (mut a, mut stream) = by_hand().await;
    let mut status = a.peer.watch_status();
    for round in 2..22 {
        say(&mut stream, &Message::Keepalive).await;
        tokio::time::pause();
        tokio::time::advance(HOLD + Duration::from_secs(1)).await;
        tokio::time::resume();
        let heard = status.wait_for(|status| status.received.keepalive == round);
        tokio::select! {
            heard = timeout(LIMIT, heard) => assert!(heard.is_ok(), "round {round}"),
            reason = a.down() => panic!("round {round}: {reason}"),
        }
        assert_eq!(a.peer.status().state, State::Established);
    }
    // And without any input it does expire.
    tokio::time::pause();
    tokio::time::advance(HOLD + Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(a.down().await.id(), "hold-timer-expired");
}
