//! Where connections come from: a host two links away, another interface, a moment ago. Needs root.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    sync::mpsc as thread_channel,
};

use bytes::BytesMut;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    A, B, End, LIMIT, config, end, listen,
    namespace::{Namespace, block_on},
    timing::open,
};
use crate::{
    net::{Clock, FromListener, Listener, PeerHandle, Range, RangeId, Transport, Ttl, spawn_peer},
    session::{PeerId, Refusal, State},
    types::Prefix,
    wire::{Codec, Message},
};

/// All that a neighbour has to say until there is a session.
fn greeting() -> BytesMut {
    let mut bytes = BytesMut::new();
    for message in [open(), Message::Keepalive] {
        Codec::default().encode(&message, &mut bytes);
    }
    bytes
}

/// near ──left── router ──right── far, and a second link between near and router.
struct Line {
    near: Namespace,
    router: Namespace,
    far: Namespace,
}

const NEAR: [&str; 2] = ["10.0.1.1", "fd01::1"];
const FAR: [&str; 2] = ["10.0.2.2", "fd02::2"];

impl Line {
    fn new() -> Self {
        let (near, router, far) = (Namespace::new(), Namespace::new(), Namespace::new());
        for namespace in [&near, &router, &far] {
            // Addresses can be used at once, those too that the kernel makes.
            namespace.configure("sysctl net.ipv6.conf.default.accept_dad=0");
        }
        let id = router.id;
        near.configure(&format!(
            "sysctl net.ipv4.conf.all.rp_filter=0
             sysctl net.ipv4.conf.default.rp_filter=0
             link add left type veth peer name left netns {id}
             link add other type veth peer name other netns {id}
             addr add 10.0.1.1/24 dev left
             addr add fd01::1/64 dev left nodad
             addr add 10.0.3.1/24 dev other
             addr add fd03::1/64 dev other nodad
             link set left up
             link set other up"
        ));
        far.configure(&format!(
            "link add right type veth peer name right netns {id}
             addr add 10.0.2.2/24 dev right
             addr add fd02::2/64 dev right nodad
             link set right up"
        ));
        router.configure(
            "sysctl net.ipv4.ip_forward=1
             sysctl net.ipv6.conf.all.forwarding=1
             sysctl net.ipv4.conf.all.rp_filter=0
             addr add 10.0.1.9/24 dev left
             addr add fd01::9/64 dev left nodad
             addr add 10.0.2.9/24 dev right
             addr add fd02::9/64 dev right nodad
             addr add 10.0.3.9/24 dev other
             addr add fd03::9/64 dev other nodad
             link set left up
             link set right up
             link set other up",
        );
        near.configure("route add 10.0.2.0/24 via 10.0.1.9\nroute add fd02::/64 via fd01::9");
        far.configure("route add 10.0.0.0/8 via 10.0.2.9\nroute add fd00::/8 via fd02::9");
        Self { near, router, far }
    }

    /// What becomes of a connection from far, to a listener that takes connections from there as
    /// `rules` say.
    fn attempt(&self, rules: Rules) -> Outcome {
        let (tell, ready) = thread_channel::channel();
        let (done, is_done) = oneshot::channel();
        let near = self.near.start(move || {
            block_on(async {
                let served = serve(rules);
                tell.send(()).unwrap();
                is_done.await.unwrap();
                served.outcome()
            })
        });
        ready.recv().unwrap();
        let heard = self.far.run(move || greet(rules.family));
        done.send(()).unwrap();
        Outcome {
            heard,
            ..near.recv().unwrap()
        }
    }
}

/// Says the greeting with the first segments, from as near as it can look. Returns how many octets
/// the answer begins with.
fn greet(family: usize) -> usize {
    let addr = |text: &str, port| SocketAddr::new(text.parse::<IpAddr>().unwrap(), port);
    let (domain, near) = (
        [Domain::IPV4, Domain::IPV6][family],
        addr(NEAR[family], 179),
    );
    let mut socket = Socket::new(domain, Type::STREAM, None).unwrap();
    if family == 0 {
        socket.set_ttl_v4(255).unwrap();
    } else {
        socket.set_unicast_hops_v6(255).unwrap();
    }
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.bind(&addr(FAR[family], 0).into()).unwrap();
    socket.connect_timeout(&near.into(), LIMIT).unwrap();
    // The other end may have closed already.
    let _ = socket.write_all(&greeting());
    match socket.read(&mut [0; 4096]) {
        Ok(n) => n,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            0
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    /// 0: IPv4; 1: IPv6.
    family: usize,
    ttl: Ttl,
    interface: Option<&'static str>,
    /// Whether a range, not a neighbour, has the address.
    by_range: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    heard: usize,
    /// By its TTL, and by its interface.
    refused: (u64, u64),
    /// Messages taken, or connections where there is no neighbour.
    taken: u64,
}

struct Served {
    listener: Listener,
    peer: Option<(PeerHandle, mpsc::Receiver<crate::net::FromPeer>)>,
    owned: mpsc::Receiver<FromListener>,
}

fn serve(rules: Rules) -> Served {
    let any = ["0.0.0.0:179", "[::]:179"][rules.family];
    let listener = Listener::bind(any.parse().unwrap()).unwrap();
    let (owner, owned) = mpsc::channel(4);
    let far: IpAddr = FAR[rules.family].parse().unwrap();
    let interface = rules.interface.map(str::to_owned);
    let mut peer = None;
    if rules.by_range {
        let range = Range {
            id: RangeId(7),
            prefix: Prefix::host(far),
            limit: 9,
            password: None,
            ttl: rules.ttl,
            interface,
        };
        listener.register_range(&range, owner).unwrap();
    } else {
        let mut transport = Transport::new((far, 1).into());
        (transport.ttl, transport.interface) = (rules.ttl, interface);
        let mut passive = config(1);
        passive.passive = true;
        // Room for all there is to tell.
        let (to_core, core) = mpsc::channel(64);
        let clock = Clock::new();
        let handle = spawn_peer(PeerId(1), passive, transport.clone(), 1, clock, to_core);
        listener.register(&transport, &handle).unwrap();
        peer = Some((handle, core));
    }
    listener.start();
    Served {
        listener,
        peer,
        owned,
    }
}

impl Served {
    fn outcome(mut self) -> Outcome {
        let refused = |why| self.listener.refused(why);
        let refused = (
            refused(Refusal::TtlSecurity),
            refused(Refusal::OtherInterface),
        );
        let newcomers = u64::from(self.owned.try_recv().is_ok());
        let taken = match &self.peer {
            Some((peer, _)) => {
                let received = peer.status().received;
                received.open + received.keepalive
            }
            None => newcomers,
        };
        Outcome {
            heard: 0,
            refused,
            taken,
        }
    }
}

fn by_ttl() -> Outcome {
    Outcome {
        refused: (1, 0),
        ..Outcome::default()
    }
}

/// RFC 5082. SYN cookies leave nothing of the first segment; the one that completes the handshake is
/// there all the same.
#[test]
fn a_host_too_far_away_gets_no_octet_in_and_none_out() {
    let line = Line::new();
    for cookies in [1, 2] {
        line.near
            .configure(&format!("sysctl net.ipv4.tcp_syncookies={cookies}"));
        for family in [0, 1] {
            let rules = |links, by_range| Rules {
                family,
                ttl: Ttl::Security(links),
                interface: None,
                by_range,
            };
            let far = line.attempt(rules(1, false));
            assert_eq!(far, by_ttl(), "{family}, cookies {cookies}");
            let far = line.attempt(rules(1, true));
            assert_eq!(far, by_ttl(), "a place of a range: {family}");
            // Two links away is near enough for some.
            let near = line.attempt(rules(2, false));
            assert_eq!(near.refused, (0, 0), "{family}, cookies {cookies}");
            assert!(near.heard > 0, "{near:?}");
        }
    }
}

#[test]
fn a_connection_by_another_interface_gets_no_octet_in_and_none_out() {
    let line = Line::new();
    for family in [0, 1] {
        let rules = |by_range| Rules {
            family,
            ttl: Ttl::Hops(64),
            interface: Some("left"),
            by_range,
        };
        let near = line.attempt(rules(false));
        assert!(near.heard > 0 && near.refused == (0, 0), "{near:?}");
        // The same hosts and addresses, by the other link.
        let detour = ["10.0.1.1/32 via 10.0.3.1", "fd01::1/128 via fd03::1"][family];
        line.router.configure(&format!("route add {detour}"));
        for by_range in [false, true] {
            let outcome = line.attempt(rules(by_range));
            let refused = Outcome {
                refused: (0, 1),
                ..Outcome::default()
            };
            assert_eq!(outcome, refused, "{family}, range: {by_range}");
        }
    }
}

/// How much a connection of the neighbour that says all at once gets for an answer.
async fn answer(mut stream: TcpStream) -> usize {
    // The other end may have closed already.
    let _ = stream.write_all(&greeting()).await;
    let answer = timeout(LIMIT, stream.read(&mut [0; 4096])).await;
    answer.expect("neither closed nor answered").unwrap_or(0)
}

async fn connect(listener: &Listener) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((B, 0).into()).unwrap();
    socket.connect(listener.local_addr()).await.unwrap()
}

fn passive(listener: Listener, transport: &Transport) -> End {
    let mut session = config(1);
    session.passive = true;
    end(1, listener, transport, session)
}

/// It waited in the kernel's queue when its address got a key. The kernel took what it said already.
#[tokio::test]
async fn a_connection_from_before_the_key_is_nobodys() {
    let listener = Listener::bind((A, 0).into()).unwrap();
    let mut early = connect(&listener).await;
    early.write_all(&greeting()).await.unwrap();
    let mut transport = Transport::new((B, 1).into());
    transport.password = Some(b"swordfish".to_vec().into());
    let a = passive(listener, &transport);
    a.listener.start();
    assert_eq!(answer(early).await, 0);
    let status = a.peer.status();
    assert_eq!((status.received.open, status.sent.open), (0, 0));
}

/// It was accepted for a neighbour without a key, which has one by now.
#[tokio::test]
async fn a_connection_that_was_accepted_under_other_rules_is_nobodys() {
    let transport = Transport::new((B, 1).into());
    let a = passive(listen(A), &transport);
    let mut keyed = transport.clone();
    keyed.password = Some(b"swordfish".to_vec().into());
    let mut session = config(1);
    session.passive = true;
    // The listener has not heard of it.
    a.peer.reconfigure(session, keyed);
    assert_eq!(answer(connect(&a.listener).await).await, 0);
    let status = a.peer.status();
    assert_eq!((status.received.open, status.sent.open), (0, 0));
    assert_eq!(status.state, State::Active);
}

/// One that comes before its neighbour is registered waits.
#[tokio::test]
async fn nobody_is_a_stranger_before_the_listener_starts() {
    let listener = Listener::bind((A, 0).into()).unwrap();
    let early = connect(&listener).await;
    let a = passive(listener, &Transport::new((B, 1).into()));
    a.listener.start();
    assert!(answer(early).await > 0);
    assert_eq!(a.listener.refused(Refusal::Unknown), 0);
}
