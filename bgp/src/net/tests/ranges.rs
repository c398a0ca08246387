//! Neighbours that nobody configured one by one.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::{
    io::AsyncReadExt as _,
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::{A, B, End, LIMIT, config, end, listen};
use crate::{
    net::{
        Clock, FromListener, KeyOwner, Listener, Newcomer, PeerHandle, Place, Range, RangeId,
        Secret, Transport, Ttl, spawn_peer,
    },
    session::{PeerId, Refusal, RemoteAs},
    types::Asn,
    wire::{CeaseSubcode, Codec, ErrorCode, Framer, Message},
};

fn range(limit: usize) -> Range {
    Range {
        id: RangeId(7),
        prefix: "127.0.0.0/24".parse().unwrap(),
        limit,
        password: None,
        ttl: Ttl::Hops(64),
        interface: None,
    }
}

fn secret(text: &str) -> Secret {
    text.as_bytes().to_vec().into()
}

/// A listener on 127.0.0.1 with a range, and what the owner hears.
fn open(range: &Range) -> (Listener, mpsc::Receiver<FromListener>) {
    let listener = listen(A);
    let (owner, owned) = mpsc::channel(4);
    listener.register_range(range, owner).unwrap();
    (listener, owned)
}

async fn newcomer(owned: &mut mpsc::Receiver<FromListener>) -> Newcomer {
    let FromListener::Newcomer(newcomer) = timeout(LIMIT, owned.recv()).await.unwrap().unwrap();
    newcomer
}

/// What the owner of a range does: makes a passive neighbour.
fn admit(listener: Listener, newcomer: Newcomer, password: Option<Secret>) -> (End, Place) {
    let mut transport = Transport::new(newcomer.remote);
    transport.password = password;
    let mut config = config(1);
    (config.passive, config.remote_as) = (true, RemoteAs::External);
    let (to_core, core) = mpsc::channel(1);
    let peer = spawn_peer(
        PeerId(1),
        config,
        transport.clone(),
        1,
        Clock::new(),
        to_core,
    );
    listener.register(&transport, &peer).unwrap();
    assert!(peer.accept(newcomer.connection));
    let end = End {
        listener,
        peer,
        core,
    };
    (end, newcomer.place)
}

/// A neighbour at 127.0.0.2 that dials the listener.
fn dialler(listener: &Listener, password: Option<Secret>) -> End {
    let mut transport = Transport::new(listener.local_addr());
    transport.local = Some(B);
    transport.password = password;
    end(2, listen(B), &transport, config(2))
}

async fn connect_from(listener: &Listener, from: IpAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(listener.local_addr()).await.unwrap()
}

/// The Cease with which a connection is closed; `None` if it is closed without.
async fn refusal(mut stream: TcpStream) -> Option<ErrorCode> {
    let mut bytes = Vec::new();
    let read = timeout(LIMIT, stream.read_to_end(&mut bytes)).await;
    read.unwrap().unwrap();
    let mut framer = Framer::new();
    framer.push(&bytes);
    match Codec::default().decode(&framer.next().unwrap()?).unwrap() {
        Message::Notification(n) => Some(n.code),
        other => panic!("{other:?}"),
    }
}

fn host(n: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, n).into()
}

#[tokio::test]
async fn somebody_from_a_range_becomes_a_neighbour() {
    let (listener, mut owned) = open(&range(1));
    let mut b = dialler(&listener, None);
    let newcomer = newcomer(&mut owned).await;
    assert_eq!((newcomer.range, newcomer.remote.ip()), (RangeId(7), B));
    let (mut a, _place) = admit(listener, newcomer, None);
    let (ours, _) = tokio::join!(a.established(), b.established());
    assert_eq!(ours.remote_as, Asn(65002));
    assert_eq!(a.listener.refused(Refusal::Unknown), 0);
}

#[tokio::test]
async fn a_range_has_so_many_places() {
    let (listener, mut owned) = open(&range(2));
    let streams = [
        connect_from(&listener, host(2)).await,
        connect_from(&listener, host(3)).await,
    ];
    let (first, _second) = (newcomer(&mut owned).await, newcomer(&mut owned).await);
    let third = connect_from(&listener, host(4)).await;
    let rejected = Some(ErrorCode::Cease(CeaseSubcode::ConnectionRejected));
    assert_eq!(refusal(third).await, rejected);
    assert_eq!(
        (
            listener.refused(Refusal::RangeFull),
            listener.refused(Refusal::Unknown)
        ),
        (1, 0)
    );
    // A neighbour goes: there is room for another one.
    drop(first);
    let _fourth = connect_from(&listener, host(4)).await;
    assert_eq!(newcomer(&mut owned).await.remote.ip(), host(4));
    drop(streams);
}

#[tokio::test]
async fn a_changed_limit_counts_those_that_are_there() {
    let (listener, mut owned) = open(&range(1));
    let _stream = connect_from(&listener, host(2)).await;
    let _first = newcomer(&mut owned).await;
    let (owner, mut owned) = mpsc::channel(4);
    listener.register_range(&range(2), owner).unwrap();
    let _stream = connect_from(&listener, host(3)).await;
    let _second = newcomer(&mut owned).await;
    assert!(
        refusal(connect_from(&listener, host(4)).await)
            .await
            .is_some()
    );
    assert_eq!(listener.refused(Refusal::RangeFull), 1);
}

#[tokio::test]
async fn the_longest_range_counts_and_a_neighbour_more_than_any() {
    let (listener, mut wide) = open(&range(9));
    let (owner, mut narrow) = mpsc::channel(4);
    let half = Range {
        id: RangeId(8),
        prefix: "127.0.0.128/25".parse().unwrap(),
        ..range(9)
    };
    listener.register_range(&half, owner).unwrap();
    let _low = connect_from(&listener, host(5)).await;
    let _high = connect_from(&listener, host(200)).await;
    assert_eq!(newcomer(&mut wide).await.remote.ip(), host(5));
    assert_eq!(newcomer(&mut narrow).await.remote.ip(), host(200));

    let mut b = dialler(&listener, None);
    let (mut a, _place) = admit(listener, newcomer(&mut wide).await, None);
    tokio::join!(a.established(), b.established());
    b.peer
        .restart(crate::session::StopReason::Reset(String::new()));
    b.down().await;
    // It comes back to its neighbour, not as somebody new.
    tokio::join!(a.established(), b.established());
    assert!(wide.try_recv().is_err());

    a.listener.unregister_range(RangeId(7));
    assert!(
        refusal(connect_from(&a.listener, host(5)).await)
            .await
            .is_some()
    );
    assert_eq!(a.listener.refused(Refusal::Unknown), 1);
}

#[tokio::test]
async fn an_owner_that_is_gone_or_busy_costs_a_connection() {
    let listener = listen(A);
    let (owner, owned) = mpsc::channel(1);
    listener.register_range(&range(9), owner).unwrap();
    let _waiting = connect_from(&listener, host(2)).await;
    let busy = Some(ErrorCode::Cease(CeaseSubcode::OutOfResources));
    assert_eq!(refusal(connect_from(&listener, host(3)).await).await, busy);
    drop(owned);
    assert_eq!(refusal(connect_from(&listener, host(4)).await).await, busy);
    assert_eq!(
        (
            listener.refused(Refusal::RangeBusy),
            listener.refused(Refusal::Unknown)
        ),
        (2, 0)
    );
}

/// Whether a connection without a key gets anywhere.
async fn lets_in_unsigned(listener: &Listener, from: IpAddr) -> bool {
    let unsigned = connect_from(listener, from);
    timeout(Duration::from_millis(500), unsigned).await.is_ok()
}

#[tokio::test]
async fn a_range_with_a_password_does_not_bind_who_is_configured_without() {
    let mut protected = range(9);
    protected.password = Some(secret("swordfish"));
    let (listener, _owned) = open(&protected);
    assert!(!lets_in_unsigned(&listener, B).await);
    let transport = Transport::new((B, 0).into());
    let (to_core, _core) = mpsc::channel(1);
    let mut passive = config(1);
    passive.passive = true;
    let peer = spawn_peer(
        PeerId(1),
        passive,
        transport.clone(),
        1,
        Clock::new(),
        to_core,
    );
    listener.register(&transport, &peer).unwrap();
    assert!(lets_in_unsigned(&listener, B).await);
    assert!(!lets_in_unsigned(&listener, host(3)).await);
    // A narrower range without a key neither.
    let open = Range {
        id: RangeId(8),
        prefix: "127.0.0.128/25".parse().unwrap(),
        ..range(9)
    };
    let (owner, _others) = mpsc::channel(4);
    listener.register_range(&open, owner).unwrap();
    assert!(lets_in_unsigned(&listener, host(200)).await);
    assert!(!lets_in_unsigned(&listener, host(3)).await);
    // They are gone: the key holds for everybody again.
    listener.unregister_range(RangeId(8));
    listener.unregister(&transport);
    assert!(!lets_in_unsigned(&listener, host(200)).await);
    assert!(!lets_in_unsigned(&listener, B).await);
}

#[tokio::test]
async fn the_password_of_a_range_is_rotated() {
    let mut protected = range(9);
    protected.password = Some(secret("swordfish"));
    let (listener, mut owned) = open(&protected);
    protected.password = Some(secret("marlin"));
    let (owner, _gone) = mpsc::channel(1);
    listener.register_range(&protected, owner).unwrap();
    let mut b = dialler(&listener, Some(secret("marlin")));
    assert!(owned.recv().await.is_none(), "the old owner");
    let (owner, mut owned) = mpsc::channel(4);
    listener.register_range(&protected, owner).unwrap();
    let (mut a, _place) = admit(listener, newcomer(&mut owned).await, protected.password);
    tokio::join!(a.established(), b.established());
}

#[tokio::test]
async fn a_range_with_a_password_lets_in_who_knows_it() {
    let mut protected = range(9);
    protected.password = Some(secret("swordfish"));
    let (listener, mut owned) = open(&protected);
    let mut b = dialler(&listener, protected.password.clone());
    let (mut a, _place) = admit(
        listener,
        newcomer(&mut owned).await,
        protected.password.clone(),
    );
    tokio::join!(a.established(), b.established());

    // Without it there is not even a connection.
    let unsigned = connect_from(&a.listener, host(3));
    assert!(timeout(Duration::from_millis(500), unsigned).await.is_err());
    assert!(owned.try_recv().is_err());
    // Once the range is gone, so is its key.
    a.listener.unregister_range(RangeId(7));
    let unsigned = timeout(LIMIT, connect_from(&a.listener, host(4))).await;
    assert!(refusal(unsigned.unwrap()).await.is_some());
}

#[tokio::test]
async fn a_range_whose_password_the_kernel_refuses_lets_nobody_in() {
    let listener = listen(A);
    let (owner, _owned) = mpsc::channel(1);
    let mut protected = range(9);
    protected.password = Some(vec![b'x'; 81].into());
    let error = listener.register_range(&protected, owner).unwrap_err();
    assert_eq!(error.id(), "socket-option-refused");
    assert!(error.to_string().contains("127.0.0.0/24"), "{error}");
    let rejected = Some(ErrorCode::Cease(CeaseSubcode::ConnectionRejected));
    let unsigned = connect_from(&listener, host(2)).await;
    assert_eq!(refusal(unsigned).await, rejected);
    assert_eq!(listener.refused(Refusal::KeyRefused), 1);
}

#[tokio::test]
async fn ranges_of_ipv6_are_the_same() {
    let key = Some(secret("swordfish"));
    let listener = listen(Ipv6Addr::LOCALHOST.into());
    let (owner, mut owned) = mpsc::channel(4);
    let range = Range {
        prefix: "::/64".parse().unwrap(),
        password: key.clone(),
        ..range(1)
    };
    listener.register_range(&range, owner.clone()).unwrap();
    // A range of the other family is not this listener's business.
    let other = Range {
        id: RangeId(8),
        prefix: "10.0.0.0/8".parse().unwrap(),
        ..range
    };
    listener.register_range(&other, owner).unwrap();
    let mut transport = Transport::new(listener.local_addr());
    transport.password = key.clone();
    let local = listen(Ipv6Addr::LOCALHOST.into());
    let mut b = end(2, local, &transport, config(2));
    let (mut a, _place) = admit(listener, newcomer(&mut owned).await, key);
    tokio::join!(a.established(), b.established());
}

/// A neighbour that never dials, at this address.
fn passive(n: u32, addr: IpAddr, password: Option<Secret>) -> (Transport, PeerHandle) {
    let mut transport = Transport::new((addr, 1).into());
    transport.password = password;
    let mut session = config(1);
    session.passive = true;
    let (to_core, mut core) = mpsc::channel(4);
    // Somebody takes its events.
    tokio::spawn(async move { while core.recv().await.is_some() {} });
    let clock = Clock::new();
    let peer = spawn_peer(PeerId(n), session, transport.clone(), 1, clock, to_core);
    (transport, peer)
}

/// Those in a range that have no key split it into more parts than the kernel has room for. None of
/// them, and nobody else, is the worse for it; from the range nobody gets in, until there is room.
#[tokio::test]
async fn a_range_that_lost_its_key_is_closed_named_and_gets_it_back() {
    let listener = listen(A);
    let (owner, mut owned) = mpsc::channel(4);
    let protected = Range {
        prefix: "127.0.0.0/8".parse().unwrap(),
        password: Some(secret("swordfish")),
        ..range(9)
    };
    listener.register_range(&protected, owner.clone()).unwrap();
    // A wider one without a key would take everybody.
    let everybody = Range {
        id: RangeId(8),
        prefix: "0.0.0.0/0".parse().unwrap(),
        ..range(9)
    };
    listener.register_range(&everybody, owner.clone()).unwrap();
    let keyless = |n: u8| IpAddr::from([127, n, 1, 1]);
    let mut peers = Vec::new();
    while listener.unprotected().is_empty() {
        let n = u8::try_from(peers.len() + 1).expect("the kernel takes any number of keys");
        let (transport, peer) = passive(n.into(), keyless(n), None);
        // The error is that of the key's owner, not of who came last.
        listener.register(&transport, &peer).unwrap();
        peers.push((transport, peer));
    }
    let said = listener.unprotected();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].owner, KeyOwner::Range(RangeId(7)));
    assert_eq!(said[0].source.option, "TCP_MD5SIG_EXT");
    let unsigned = connect_from(&listener, host(5)).await;
    assert!(refusal(unsigned).await.is_some());
    assert_eq!(listener.refused(Refusal::KeyRefused), 1);
    assert!(owned.try_recv().is_err(), "an unprotected newcomer");
    assert!(lets_in_unsigned(&listener, keyless(1)).await);
    // To try again makes no difference yet.
    let error = listener.register_range(&protected, owner.clone());
    assert!(error.unwrap_err().to_string().contains("127.0.0.0/8"));

    for (transport, _) in peers.drain(1..) {
        listener.unregister(&transport);
    }
    listener.register_range(&protected, owner).unwrap();
    assert!(listener.unprotected().is_empty());
    assert!(!lets_in_unsigned(&listener, host(5)).await);
    assert!(lets_in_unsigned(&listener, keyless(1)).await);
    assert!(owned.try_recv().is_err(), "an unprotected newcomer");
    let mut b = dialler(&listener, protected.password.clone());
    let newcomer = newcomer(&mut owned).await;
    let (mut a, _place) = admit(listener, newcomer, protected.password);
    tokio::join!(a.established(), b.established());
}

/// A range of one address, and a neighbour that has it: the kernel has one entry for both.
#[tokio::test]
async fn a_range_of_one_address_and_the_neighbour_there_do_not_share_a_key() {
    for prefix in ["127.0.0.2/32", "127.0.0.2/31"] {
        let listener = listen(A);
        let (owner, mut owned) = mpsc::channel(4);
        let protected = Range {
            prefix: prefix.parse().unwrap(),
            password: Some(secret("swordfish")),
            ..range(9)
        };
        listener.register_range(&protected, owner).unwrap();
        // A neighbour without a key needs none, and takes nobody else's away.
        let (open, peer) = passive(1, B, None);
        listener.register(&open, &peer).unwrap();
        assert!(lets_in_unsigned(&listener, B).await, "{prefix}");
        if protected.prefix.contains(host(3)) {
            assert!(!lets_in_unsigned(&listener, host(3)).await, "{prefix}");
        }
        // One with a key has that one.
        let (marlin, keyed) = passive(1, B, Some(secret("marlin")));
        listener.register(&marlin, &keyed).unwrap();
        assert!(!lets_in_unsigned(&listener, B).await, "{prefix}");
        let b = dialler(&listener, Some(secret("marlin")));
        let mut status = keyed.watch_status();
        let heard = status.wait_for(|status| status.received.open > 0);
        timeout(LIMIT, heard).await.unwrap().unwrap();
        drop(b);
        // It leaves, and the range's takes its place without a gap.
        listener.unregister(&marlin);
        assert!(!lets_in_unsigned(&listener, B).await, "{prefix}");
        assert!(owned.try_recv().is_err());
        let mut b = dialler(&listener, Some(secret("swordfish")));
        let newcomer = newcomer(&mut owned).await;
        let (mut a, _place) = admit(listener, newcomer, protected.password);
        tokio::join!(a.established(), b.established());
    }
}

#[tokio::test]
async fn an_address_that_failed_is_refused_for_a_while_and_nobody_else_is() {
    let (listener, mut owned) = open(&range(9));
    let _stream = connect_from(&listener, host(2)).await;
    let first = newcomer(&mut owned).await;
    // More than this test takes.
    (0..7).for_each(|_| first.place.failed());
    drop(first);
    let rejected = Some(ErrorCode::Cease(CeaseSubcode::ConnectionRejected));
    for n in 1..=3 {
        let again = connect_from(&listener, host(2)).await;
        assert_eq!(refusal(again).await, rejected);
        assert_eq!(listener.refused(Refusal::IdleHold), n);
    }
    let _other = connect_from(&listener, host(3)).await;
    assert_eq!(newcomer(&mut owned).await.remote.ip(), host(3));
    // What the range is told anew does not shorten the rest.
    let (owner, _owned) = mpsc::channel(4);
    listener.register_range(&range(5), owner).unwrap();
    let again = connect_from(&listener, host(2)).await;
    assert_eq!(refusal(again).await, rejected);
}
