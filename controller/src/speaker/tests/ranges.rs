//! Routers that nobody configured one by one, on real sockets.

use tokio::io::AsyncWriteExt as _;

use redstart_bgp::{
    net::{FromPeer, PeerHandle, Transport, spawn_peer},
    session::{
        DownReason, Event, GracefulRestartConfig, OutBatch, PeerConfig, PeerId,
        RemoteAs as SessionRemoteAs, StopReason,
    },
    wire::{CeaseSubcode, ErrorCode},
};

use super::*;
use crate::{
    api::ConditionStatus,
    compile::{Advertise, Password},
    status::page::page,
};

const HERE: &str = "127.0.0.1:1179";

fn host(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, n)
}

fn name(text: &str) -> PeerName {
    PeerName(text.to_owned())
}

/// A router at 127.0.0.n, of AS 65000 + n, that dials.
struct Router {
    peer: PeerHandle,
    core: mpsc::Receiver<FromPeer>,
    config: PeerConfig,
    transport: Transport,
}

impl Router {
    fn start(n: u8, change: impl FnOnce(&mut PeerConfig, &mut Transport)) -> Self {
        let remote_as = SessionRemoteAs::Number(Asn(64512));
        let mut config = PeerConfig::new(Asn(65000 + u32::from(n)), remote_as, RouterId(host(n)));
        config.connect_retry = Duration::from_millis(200);
        config.idle_hold = Duration::from_millis(200);
        let mut transport = Transport::new(HERE.parse().unwrap());
        transport.local = Some(host(n).into());
        change(&mut config, &mut transport);
        let (to_core, core) = mpsc::channel(8);
        let id = PeerId(n.into());
        let peer = spawn_peer(
            id,
            config.clone(),
            transport.clone(),
            1,
            Clock::new(),
            to_core,
        );
        Self {
            peer,
            core,
            config,
            transport,
        }
    }

    fn plain(n: u8) -> Self {
        Self::start(n, |_, _| {})
    }

    async fn until<T>(&mut self, pick: impl Fn(Event) -> Option<T>) -> T {
        loop {
            match self.core.recv().await.unwrap() {
                FromPeer::Pull { reply, .. } => _ = reply.send(OutBatch::default()),
                FromPeer::Updates { .. } => {}
                FromPeer::Event { event, .. } => {
                    if let Some(picked) = pick(event) {
                        return picked;
                    }
                }
            }
        }
    }

    async fn established(&mut self) {
        let up = |event| matches!(event, Event::Established(_)).then_some(());
        self.until(up).await;
    }

    /// The NOTIFICATION that ends an attempt.
    async fn refused(&mut self) -> ErrorCode {
        let refused = |event| match event {
            Event::AttemptFailed {
                reason: DownReason::NotificationReceived(notification),
                ..
            } => Some(notification.code),
            Event::Established(_) => panic!("let in"),
            _ => None,
        };
        self.until(refused).await
    }
}

fn range(change: impl FnOnce(&mut Peer)) -> DesiredState {
    let mut peer = passive_router(SocketAddr::from((host(0), 0)));
    peer.remote = Remote::Range {
        prefix: "127.0.0.0/24".parse().unwrap(),
        limit: 2,
    };
    peer.families = [redstart_bgp::types::Family::Ipv4Unicast]
        .into_iter()
        .collect();
    peer.passive = false;
    change(&mut peer);
    DesiredState {
        listen: vec![HERE.parse().unwrap()],
        peers: Arc::new([(name("rack"), peer.into())].into()),
        ..node(kernel(254, 179), [])
    }
}

impl Running {
    /// Waits until these are the neighbours.
    async fn has(&self, names: &[&str]) {
        while self.protocols().await != names {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[test]
fn routers_of_a_range_come_and_go() {
    in_namespace(async {
        let core = Running::start(range(|_| {}));
        let (mut two, mut three) = (Router::plain(2), Router::plain(3));
        tokio::join!(two.established(), three.established());
        core.has(&["rack-127.0.0.2", "rack-127.0.0.3"]).await;
        let shown = ask(&core.queries, Query::Protocols).await.unwrap();
        assert_eq!(shown[0].remote_as, Some(65002));
        let range = shown[0].range.clone().unwrap();
        assert_eq!((range.name.as_str(), range.neighbours), ("rack", 2));

        // The limit holds, is told to the neighbour and counted.
        let mut four = Router::plain(4);
        let rejected = ErrorCode::Cease(CeaseSubcode::ConnectionRejected);
        assert_eq!(four.refused().await, rejected);
        let metrics = ask(&core.queries, Query::Metrics).await.unwrap();
        assert!(metrics.connections_refused["range-full"] > 0);

        // One goes: there is room for another one.
        drop(two);
        four.established().await;
        core.has(&["rack-127.0.0.3", "rack-127.0.0.4"]).await;
        let metrics = ask(&core.queries, Query::Metrics).await.unwrap();
        assert_eq!(metrics.messages[&("router", "received", "open")], 3);

        // What counts goes on, though nobody is left whom it was counted of.
        core.configure(node(kernel(254, 179), []));
        core.has(&[]).await;
        let metrics = ask(&core.queries, Query::Metrics).await.unwrap();
        assert_eq!(metrics.messages[&("router", "received", "open")], 3);
        assert!(metrics.connections_refused["range-full"] > 0);
        core.stop().await;
    });
}

#[test]
fn members_get_what_is_advertised_to_their_range() {
    in_namespace(async {
        let prefix: Prefix = "10.64.0.0/24".parse().unwrap();
        let mut desired = range(|_| {});
        let advertise = Advertise {
            source: object("BGPAdvertisement", "all"),
            peers: [name("rack")].into(),
            communities: [].into(),
            large_communities: [].into(),
            extended_communities: [].into(),
            local_pref: None,
            med: None,
            prepend: 0,
        };
        desired.originations = node(kernel(254, 179), [prefix]).originations;
        let mut origination = Origination::clone(&desired.originations[&prefix]);
        origination.advertise = vec![Arc::new(advertise)];
        desired.originations.insert(prefix, Arc::new(origination));
        let core = Running::start(desired);
        let mut routers = [Router::plain(2), Router::plain(3)];
        for router in &mut routers {
            router.established().await;
        }
        let [two, three] = &mut routers;
        let sent = async {
            loop {
                let shown = ask(&core.queries, Query::Protocols).await.unwrap();
                if shown.len() == 2 && shown.iter().all(|p| p.routes.exported == 1) {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = sent => {}
            () = two.established() => panic!("the session was reset"),
            () = three.established() => panic!("the session was reset"),
        }
        core.stop().await;
    });
}

#[test]
fn a_member_that_restarts_gracefully_is_kept_for_its_restart_time() {
    in_namespace(async {
        let core = Running::start(range(|peer| peer.graceful_restart = Some(60)));
        let graceful = GracefulRestartConfig {
            restart_time: 1,
            forwarding_preserved: redstart_bgp::types::FamilySet::ALL,
            ..GracefulRestartConfig::default()
        };
        let mut router = Router::start(2, |config, _| config.graceful_restart = Some(graceful));
        router.established().await;
        core.has(&["rack-127.0.0.2"]).await;
        router.peer.stop(StopReason::GracefulRestart);
        let down = |p: &crate::control::views::Protocol| p.state != "Established";
        loop {
            let shown = ask(&core.queries, Query::Protocols).await.unwrap();
            assert_eq!(shown.len(), 1, "it was forgotten at once");
            if shown.iter().any(down) {
                break;
            }
            tokio::task::yield_now().await;
        }
        core.has(&[]).await;
        core.stop().await;
    });
}

#[test]
fn the_password_of_a_range_is_rotated_under_its_sessions() {
    in_namespace(async {
        let keyed = |key: &str| range(|peer| peer.password = Some(Password(key.to_owned())));
        let core = Running::start(keyed("one"));
        let key = |key: &str| Some(key.as_bytes().to_vec().into());
        let mut router = Router::start(2, |_, transport| transport.password = key("one"));
        router.established().await;
        core.configure(keyed("two"));
        router.transport.password = key("two");
        router
            .peer
            .reconfigure(router.config.clone(), router.transport.clone());
        // The new key counts for whoever comes now, and the old session is still there.
        let mut other = Router::start(3, |_, transport| transport.password = key("two"));
        other.established().await;
        let shown = ask(&core.queries, Query::Protocols).await.unwrap();
        let sessions: Vec<_> = shown
            .iter()
            .map(|p| (p.state.as_str(), p.established_count))
            .collect();
        assert_eq!(sessions, [("Established", 1), ("Established", 1)]);
        core.stop().await;
    });
}

/// Where the kernel has no TCP Authentication Option, its absence has a name, and there is no session.
#[test]
fn a_router_with_keys_that_the_kernel_does_not_know_has_no_session() {
    if redstart_bgp::net::probe_tcp_ao().is_ok() {
        return;
    }
    in_namespace(async {
        let mut desired = range(|_| {});
        let mut peer = passive_router((host(2), 1179).into());
        peer.passive = false;
        peer.tcp_ao = vec![crate::compile::AoKey {
            send_id: 1,
            receive_id: 1,
            algorithm: crate::compile::AoAlgorithm::HmacSha1,
            secret: Password("swordfish".to_owned()),
        }];
        desired.peers = Arc::new([(name("tor"), peer.into())].into());
        let core = Running::start(desired);
        let mut router = Router::plain(2);
        let rejected = ErrorCode::Cease(CeaseSubcode::ConnectionRejected);
        assert_eq!(router.refused().await, rejected);
        let shown = ask(&core.queries, Query::Protocols).await.unwrap();
        let error = shown[0].last_error.clone().unwrap();
        assert!(
            error.contains("unsupported-by-kernel (TCP_AO_ADD_KEY)"),
            "{error}"
        );
        let status = ask(&core.queries, Query::Status).await.unwrap();
        let error = status.listeners[0].error.clone().unwrap();
        assert!(error.contains("TCP_AO_ADD_KEY"), "{error}");
        let [problem] = &status.problems[..] else {
            panic!("{:?}", status.problems);
        };
        let said = (&*problem.field, &*problem.reason, &*problem.severity);
        assert_eq!(said, ("spec.tcpAO", "tcp-ao-unsupported", "error"));
        assert_eq!(problem.object, "BGPPeer/router");

        // What the cluster is told of it: the BGPNodeStatus.
        let page = page(&status, &shown, 60, None);
        assert_eq!(page.problems[0].reason, "tcp-ao-unsupported");
        assert!(page.problems[0].message.contains("CONFIG_TCP_AO"));
        let condition = |kind| page.conditions.iter().find(|c| c.kind == kind).unwrap();
        for (kind, message) in [
            ("ObjectsAccepted", "BGPPeer/router"),
            ("PeersEstablished", "tor"),
        ] {
            let condition = condition(kind);
            assert_eq!(condition.status, ConditionStatus::False, "{kind}");
            assert_eq!(condition.message, message);
        }
        assert_eq!(
            (page.peers_established, page.peers[0].established_count),
            (0, 0)
        );
        core.stop().await;
    });
}

/// The socket has no room for the key of a range: nobody is let in from there without it, the object is
/// named, and the key is tried again without anything being configured.
#[test]
fn a_range_without_its_key_is_named_and_tried_again() {
    const ROOM: &str = "/proc/sys/net/core/optmem_max";
    in_namespace(async {
        let usual = std::fs::read_to_string(ROOM).unwrap();
        std::fs::write(ROOM, "64").unwrap();
        let secret = || Some(Password("swordfish".to_owned()));
        let core = Running::start(range(|peer| peer.password = secret()));
        let mut stranger = Router::plain(2);
        let rejected = ErrorCode::Cease(CeaseSubcode::ConnectionRejected);
        assert_eq!(stranger.refused().await, rejected);
        let status = ask(&core.queries, Query::Status).await.unwrap();
        let [problem] = &status.problems[..] else {
            panic!("{:?}", status.problems);
        };
        let said = (&*problem.object, &*problem.field, &*problem.reason);
        assert_eq!(
            said,
            ("BGPPeer/router", "spec.passwordSecretRef", "key-refused")
        );
        assert!(
            problem.message.contains("127.0.0.0/24"),
            "{}",
            problem.message
        );
        let metrics = ask(&core.queries, Query::Metrics).await.unwrap();
        assert!(metrics.connections_refused["key-refused"] > 0);
        core.has(&[]).await;

        std::fs::write(ROOM, usual.trim()).unwrap();
        let mut router = Router::start(3, |_, transport| {
            transport.password = Some(b"swordfish".to_vec().into());
        });
        router.established().await;
        core.has(&["rack-127.0.0.3"]).await;
        let status = ask(&core.queries, Query::Status).await.unwrap();
        assert_eq!(status.problems.len(), 0);
        core.stop().await;
    });
}

#[test]
fn a_configured_address_comes_before_a_range() {
    in_namespace(async {
        let core = Running::start(range(|_| {}));
        let mut router = Router::plain(2);
        router.established().await;
        core.has(&["rack-127.0.0.2"]).await;
        let mut both = range(|_| {});
        let configured = passive_router((host(2), 0).into());
        Arc::make_mut(&mut both.peers).insert(name("tor"), configured.into());
        core.configure(both.clone());
        router.established().await;
        core.has(&["tor"]).await;
        Arc::make_mut(&mut both.peers).remove(&name("tor"));
        core.configure(both);
        router.established().await;
        core.has(&["rack-127.0.0.2"]).await;
        core.configure(node(kernel(254, 179), []));
        core.has(&[]).await;
        core.stop().await;
    });
}

/// Connects, says what is no BGP, and tells the type of the first message that it is answered with.
async fn garbage(from: Ipv4Addr) -> u8 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(HERE.parse().unwrap()).await.unwrap();
    let mut header = [0; 19];
    // What is refused may be closed before this arrives.
    let _ = stream.write_all(&header).await;
    stream.read_exact(&mut header).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    header[18]
}

/// A neighbour from a range is gone with its session. That it failed is not forgotten with it.
#[test]
fn a_host_that_says_garbage_is_let_in_less_and_less_often() {
    const ATTEMPTS: u64 = 50;
    in_namespace(async {
        let core = Running::start(range(|_| {}));
        let mut good = Router::plain(2);
        good.established().await;
        let mut let_in = 0;
        for _ in 0..ATTEMPTS {
            let_in += u64::from(garbage(host(9)).await == OPEN);
            // It leaves first, as whoever has no session does.
            core.has(&["rack-127.0.0.2"]).await;
        }
        assert!((1..=6).contains(&let_in), "{let_in}");
        let metrics = ask(&core.queries, Query::Metrics).await.unwrap();
        assert_eq!(metrics.connections_refused["idle-hold"], ATTEMPTS - let_in);
        // Nobody else pays for it.
        let mut other = Router::plain(3);
        other.established().await;
        core.stop().await;
    });
}
