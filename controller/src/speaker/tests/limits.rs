//! A router that sends more routes than it may, on real sockets.

use redstart_bgp::{
    net::{FromPeer, PeerHandle, Transport, spawn_peer},
    session::{DownReason, Event, OutBatch, PeerConfig, PeerId, RemoteAs as SessionRemoteAs},
    types::{AsPath, Family, NextHop, Nlri, NlriSet, PathAttributes},
    wire::{CeaseSubcode, ErrorCode},
};
use redstart_rib::PrefixLimit;

use super::*;

const HERE: &str = "127.0.0.1:1179";
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A router that dials and has so many routes to tell at the start of each session.
struct Router {
    peer: PeerHandle,
    core: mpsc::Receiver<FromPeer>,
    routes: u32,
    told: bool,
}

impl Router {
    fn start(routes: u32) -> Self {
        let id = RouterId(THERE);
        let remote_as = SessionRemoteAs::Number(Asn(64512));
        let mut config = PeerConfig::new(Asn(65001), remote_as, id);
        config.connect_retry = Duration::from_millis(200);
        let mut transport = Transport::new(HERE.parse().unwrap());
        transport.local = Some(THERE.into());
        let (to_core, core) = mpsc::channel(8);
        let peer = spawn_peer(PeerId(1), config, transport, 1, Clock::new(), to_core);
        Self {
            peer,
            core,
            routes,
            told: true,
        }
    }

    fn batch(&self) -> OutBatch {
        let attrs = PathAttributes {
            as_path: AsPath::sequence([Asn(65001)]),
            next_hop: Some(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))),
            ..PathAttributes::default()
        };
        let list = prefixes(self.routes).filter_map(|prefix| match prefix {
            Prefix::V4(prefix) => Some(Nlri::plain(prefix)),
            Prefix::V6(_) => None,
        });
        OutBatch {
            reach: vec![(Arc::new(attrs), NlriSet::V4(list.collect()))].into(),
            ..OutBatch::default()
        }
    }

    /// Goes on until `pick` picks something.
    async fn until<T>(&mut self, pick: impl Fn(Event) -> Option<T>) -> T {
        loop {
            match self.core.recv().await.unwrap() {
                FromPeer::Pull { reply, .. } => {
                    let told = std::mem::replace(&mut self.told, true);
                    let batch = if told {
                        OutBatch::default()
                    } else {
                        self.batch()
                    };
                    let _ = reply.send(batch);
                }
                FromPeer::Updates { .. } => {}
                FromPeer::Event { event, .. } => {
                    if matches!(event, Event::Established(_)) {
                        self.told = false;
                        self.peer.routes_ready();
                    }
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

    async fn down(&mut self) -> DownReason {
        let down = |event| match event {
            Event::Down { reason, .. } => Some(reason),
            _ => None,
        };
        self.until(down).await
    }

    /// The session ends for too many routes.
    async fn is_stopped(&mut self) {
        let DownReason::NotificationReceived(notification) = self.down().await else {
            panic!("no NOTIFICATION");
        };
        let expected = ErrorCode::Cease(CeaseSubcode::MaximumPrefixesReached);
        assert_eq!(notification.code, expected);
        // RFC 4486 section 4: family and bound.
        assert_eq!(notification.data.as_ref(), [0, 1, 1, 0, 0, 0, 3]);
    }
}

fn limited(max: Option<u32>, restart: Option<Duration>) -> DesiredState {
    let mut peer = passive_router(SocketAddr::from((THERE, 0)));
    peer.families = [Family::Ipv4Unicast].into_iter().collect();
    let limit = max.map(|max| PrefixLimit {
        max,
        warn_percent: 75,
    });
    peer.rules.limits = [limit, None];
    // The loopback's addresses are nobody's next hop: the routes have one from elsewhere.
    peer.rules.remote_next_hops = true;
    peer.limit_restart = restart;
    DesiredState {
        listen: vec![HERE.parse().unwrap()],
        peers: Arc::new([(PeerName("router".to_owned()), peer.into())].into()),
        ..node(kernel(254, 179), [])
    }
}

/// Waits until the core knows `n` routes of the router, which goes on meanwhile.
async fn received(core: &Running, router: &mut Router, n: u64) {
    let counted = async {
        loop {
            let protocols = ask(&core.queries, Query::Protocols).await.unwrap();
            if protocols.iter().any(|p| p.routes.imported == n) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = counted => {}
        reason = router.down() => panic!("{reason}"),
    }
}

#[test]
fn too_many_routes_end_the_session_until_the_time_is_up() {
    in_namespace(async {
        let core = Running::start(limited(Some(3), Some(Duration::from_secs(1))));
        let mut router = Router::start(4);
        router.established().await;
        router.is_stopped().await;
        router.routes = 3;
        router.established().await;
        received(&core, &mut router, 3).await;
        core.stop().await;
    });
}

#[test]
fn a_limit_that_changes_ends_a_session_or_starts_it_again() {
    in_namespace(async {
        let core = Running::start(limited(None, None));
        let mut router = Router::start(4);
        router.established().await;
        received(&core, &mut router, 4).await;
        core.configure(limited(Some(3), None));
        router.is_stopped().await;
        core.configure(limited(Some(4), None));
        router.established().await;
        received(&core, &mut router, 4).await;
        // Room for more, and no reason to end anything.
        core.configure(limited(Some(9), None));
        received(&core, &mut router, 4).await;
        core.stop().await;
    });
}
