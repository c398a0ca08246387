//! How long it takes: a router that is told, and tells, on real sockets, with routes into the real kernel.

use std::collections::VecDeque;

use redstart_bgp::{
    net::{FromPeer, PeerHandle, Transport, spawn_peer},
    session::{OutBatch, PeerConfig, PeerId, RemoteAs as SessionRemoteAs},
    types::{AsPath, Nlri, NlriSet, PathAttributes},
    wire::Said,
};
use redstart_rib::histogram::Histogram;

use super::*;
use crate::{compile::Advertise, control::views::RouteChanges, metrics::Snapshot};

const HERE: &str = "10.9.0.1:1179";
const THERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const ROUTER: &str = "router";

/// A router that says what it is given to say, and counts the routes that it hears of.
struct Router {
    says: mpsc::Sender<OutBatch>,
    heard: watch::Receiver<usize>,
}

impl Router {
    fn start() -> Self {
        let remote_as = SessionRemoteAs::Number(Asn(64512));
        let mut config = PeerConfig::new(Asn(65001), remote_as, RouterId(THERE));
        config.connect_retry = Duration::from_millis(200);
        let mut transport = Transport::new(HERE.parse().unwrap());
        transport.local = Some(THERE.into());
        let (to_core, core) = mpsc::channel(8);
        let peer = spawn_peer(PeerId(1), config, transport, 1, Clock::new(), to_core);
        let (says, to_say) = mpsc::channel(8);
        let (hears, heard) = watch::channel(0);
        tokio::spawn(speak(peer, core, to_say, hears));
        Self { says, heard }
    }

    async fn hears(&mut self, routes: usize) {
        let heard = self.heard.wait_for(|n| *n >= routes);
        let heard = timeout(PATIENCE, heard).await.unwrap().unwrap();
        assert_eq!(*heard, routes);
    }
}

async fn speak(
    peer: PeerHandle,
    mut core: mpsc::Receiver<FromPeer>,
    mut to_say: mpsc::Receiver<OutBatch>,
    hears: watch::Sender<usize>,
) {
    let mut waiting = VecDeque::new();
    loop {
        tokio::select! {
            Some(batch) = to_say.recv() => {
                waiting.push_back(batch);
                peer.routes_ready();
            }
            Some(from) = core.recv() => match from {
                FromPeer::Pull { reply, .. } => {
                    let _ = reply.send(waiting.pop_front().unwrap_or_default());
                }
                FromPeer::Updates { updates, .. } => {
                    let routes = updates.iter().map(|said| match said {
                        Said::Announced(_, routes) => routes.len(),
                        _ => 0,
                    });
                    let routes: usize = routes.sum();
                    hears.send_modify(|n| *n += routes);
                }
                FromPeer::Event { .. } => {}
            },
            else => return,
        }
    }
}

/// These of the routes of the router's.
fn routes(which: std::ops::Range<u32>) -> NlriSet {
    let list = prefixes(which.end).skip(which.start as usize);
    let list = list.filter_map(|prefix| match prefix {
        Prefix::V4(prefix) => Some(Nlri::plain(prefix)),
        Prefix::V6(_) => None,
    });
    NlriSet::V4(list.collect())
}

fn announces(which: std::ops::Range<u32>) -> OutBatch {
    let attrs = PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))),
        ..PathAttributes::default()
    };
    OutBatch {
        reach: vec![(Arc::new(attrs), routes(which))].into(),
        ..OutBatch::default()
    }
}

/// A node that tells the router these prefixes, and nobody of `unheard`.
fn telling(own: &[&str], unheard: Option<&str>) -> DesiredState {
    let mut peer = passive_router(SocketAddr::from((THERE, 0)));
    peer.rules.remote_next_hops = true;
    let to_router = Advertise {
        source: object("BGPAdvertisement", "own"),
        peers: [PeerName(ROUTER.to_owned())].into(),
        communities: [].into(),
        large_communities: [].into(),
        extended_communities: [].into(),
        local_pref: None,
        med: None,
        prepend: 0,
    };
    let origination = |advertise| {
        Arc::new(Origination {
            object: object("Node", "n1"),
            advertise,
            blackhole: false,
        })
    };
    let told = own
        .iter()
        .map(|text| (text, vec![to_router.clone().into()]));
    let unheard = unheard.iter().map(|text| (text, Vec::new()));
    let all = told.chain(unheard);
    DesiredState {
        listen: vec![HERE.parse().unwrap()],
        peers: Arc::new([(PeerName(ROUTER.to_owned()), peer.into())].into()),
        originations: all
            .map(|(text, advertise)| (text.parse().unwrap(), origination(advertise)))
            .collect(),
        ..node(kernel(254, 179), [])
    }
}

impl Running {
    async fn metrics(&self) -> Snapshot {
        ask(&self.queries, Query::Metrics).await.unwrap()
    }

    async fn event_to_wire(&self) -> Histogram {
        self.metrics().await.event_to_wire["router"].clone()
    }

    /// Waits until so many UPDATEs, or reads of them, have been followed to the kernel; how long they took.
    async fn update_to_kernel(&self, n: u64) -> Duration {
        loop {
            let latency = self.metrics().await.update_to_kernel;
            assert!(latency.count() <= n, "{latency:?}");
            if latency.count() == n {
                return latency.sum();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn changes(&self) -> RouteChanges {
        let protocols = ask(&self.queries, Query::Protocols).await.unwrap();
        let channels = &protocols[0].channels;
        let ipv4 = channels.iter().find(|channel| channel.family == "ipv4");
        ipv4.and_then(|channel| channel.changes).unwrap()
    }
}

/// The addresses of both ends, and the network of the router's next hop.
fn with_network() {
    for address in ["10.9.0.1", "10.9.0.2"] {
        ip(&format!("addr add {address}/32 dev lo"));
    }
    ip("link add v0 type veth peer name v1");
    ip("addr add 192.0.2.254/24 dev v0");
    ip("link set v0 up");
    ip("link set v1 up");
}

#[test]
fn updates_are_followed_until_the_kernel_has_answered() {
    in_namespace(async {
        with_network();
        let core = Running::start(telling(&[], None));
        let router = Router::start();
        let say = async |batch| router.says.send(batch).await.unwrap();
        say(announces(0..3)).await;
        core.installs(3).await;
        let first = core.update_to_kernel(1).await;
        assert!(first > Duration::ZERO && first < PATIENCE);
        // The same again leads to nothing, and what comes with it does.
        say(announces(0..3)).await;
        while core.changes().await.import_updates.received < 6 {
            tokio::time::sleep(PAUSE).await;
        }
        assert_eq!(core.update_to_kernel(1).await, first);
        say(announces(3..2000)).await;
        core.installs(2000).await;
        let reads = core.metrics().await.update_to_kernel.count() - 1;
        assert!((1..=3).contains(&reads), "{reads} reads of one batch");
        let third = core.update_to_kernel(1 + reads).await;
        assert!(third > first && third < first + PATIENCE);
        let withdraw = OutBatch {
            withdraw: vec![routes(5..6), routes(3000..3001)],
            ..OutBatch::default()
        };
        say(withdraw).await;
        core.installs(1999).await;
        assert!(core.update_to_kernel(2 + reads).await > third);

        let changes = core.changes().await;
        let (updates, withdraws) = (changes.import_updates, changes.import_withdraws);
        assert_eq!((updates.received, updates.accepted), (2003, 2000));
        assert_eq!((updates.ignored, updates.filtered), (Some(3), Some(0)));
        assert_eq!((withdraws.received, withdraws.accepted), (2, 1));
        assert_eq!(withdraws.ignored, Some(1));
        core.stop().await;
    });
}

#[test]
fn what_the_kernel_has_from_before_a_restart_is_not_recorded() {
    in_namespace(async {
        with_network();
        let core = Running::start(telling(&[], None));
        let router = Router::start();
        router.says.send(announces(0..3)).await.unwrap();
        core.installs(3).await;
        core.update_to_kernel(1).await;
        core.stop().await;
        assert_eq!(installed(254, 179), 3);

        let core = Running::start(telling(&[], None));
        router.says.send(announces(0..3)).await.unwrap();
        core.installs(3).await;
        assert_eq!(core.metrics().await.update_to_kernel.count(), 0);
        router.says.send(announces(3..4)).await.unwrap();
        core.installs(4).await;
        core.update_to_kernel(1).await;
        core.stop().await;
    });
}

#[test]
fn changed_objects_are_followed_to_the_neighbours_session() {
    in_namespace(async {
        with_network();
        let one = ["10.80.0.0/24"];
        let two = ["10.80.0.0/24", "10.80.1.0/24"];
        let core = Running::start(telling(&one, None));
        let mut router = Router::start();
        router.hears(1).await;
        assert_eq!(core.event_to_wire().await.count(), 0, "the initial table");
        core.configure(telling(&one, Some("10.81.0.0/24")));
        core.configure(telling(&two, Some("10.81.0.0/24")));
        router.hears(2).await;
        let latency = core.event_to_wire().await;
        assert_eq!(latency.count(), 1, "what nobody is told does not count");
        assert!(latency.sum() > Duration::ZERO && latency.sum() < PATIENCE);
        core.configure(telling(&two, None));
        core.configure(telling(&one, None));
        while core.changes().await.export_withdraws.accepted == 0 {
            tokio::time::sleep(PAUSE).await;
        }
        assert_eq!(core.event_to_wire().await.count(), 2);
        assert_eq!(core.metrics().await.event_to_wire["mesh"].count(), 0);
        let told = core.changes().await.export_updates;
        assert_eq!((told.received, told.accepted), (2, 2));
        core.stop().await;
    });
}
