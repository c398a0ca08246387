//! What becomes of a neighbour's routes when BFD says that the path to it is gone, and what is said of one
//! that comes close to its limit.

use std::{io, net::Ipv4Addr, sync::Mutex};

use redstart_bgp::{
    bfd,
    net::{Clock, spawn_peer},
    session::Disconnect,
    types::{AsPath, Asn, Ipv4Prefix, NextHop, Nlri, NlriSet, RouterId},
    wire::{GracefulRestart, Reach, Update, Updates},
};
use redstart_rib::{PrefixLimit, RibConfig, resolver::ResolverConfig};
use tokio::sync::mpsc;

use super::*;
use crate::speaker::tests::{negotiated, passive_router};

/// A router that said one IPv4 route and can restart, and a table that has it.
struct World {
    name: PeerName,
    neighbour: Neighbour,
    rib: Rib,
}

impl World {
    fn new() -> Self {
        let remote = SocketAddr::from(([192, 0, 2, 1], 179));
        let node = NodeIdentity {
            name: "n1".to_owned(),
            asn: Asn(64512),
            router_id: RouterId(Ipv4Addr::new(192, 0, 2, 254)),
            ipv4: Some(Ipv4Addr::new(192, 0, 2, 254)),
            ipv6: None,
        };
        let spec = passive_router(remote);
        let session = translate::session(&spec, &node, Restarted::default());
        let (to_core, _) = mpsc::channel(8);
        let id = PeerId(1);
        // It is passive and nobody listens for it: no session but the one that is told below.
        let transport = transport(remote, &spec);
        let handle = spawn_peer(id, session, transport, 1, Clock::new(), to_core);
        let name = PeerName("tor".to_owned());
        let mut world = Self {
            neighbour: Neighbour::new(id, name.clone(), (remote, &Arc::new(spec)), &node, handle),
            name,
            rib: Rib::new(RibConfig::default(), 7),
        };
        let established = Negotiated {
            graceful_restart: Some(GracefulRestart {
                restart_time: 120,
                ..GracefulRestart::default()
            }),
            ..negotiated([192, 0, 2, 1])
        };
        world.event(Event::Established(Arc::new(established)));
        let attrs = PathAttributes {
            as_path: AsPath::sequence([Asn(65001)]),
            next_hop: Some(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))),
            ..PathAttributes::default()
        };
        let prefix = Ipv4Prefix::new(Ipv4Addr::new(198, 51, 100, 0), 24).unwrap();
        let routes = NlriSet::V4(vec![Nlri::plain(prefix)]);
        world.rib.announce(id, &Arc::new(attrs), &routes);
        assert_eq!(world.routes(), (1, 0));
        world
    }

    fn event(&mut self, event: Event) {
        let links = KernelView::new(ResolverConfig::default());
        let now = Instant::ZERO;
        let Self {
            name,
            neighbour,
            rib,
        } = self;
        neighbour.on_event(now, name, event, &links, rib);
    }

    /// The session is lost in a way that may be a restart: its routes are kept.
    fn restarts(&mut self) {
        self.event(Event::Down {
            reason: DownReason::ConnectionLost(Disconnect::Closed),
            retained: FamilySet::ALL,
        });
        assert_eq!(self.routes(), (1, 1), "kept");
        assert!(self.neighbour.retention.poll_timeout().is_some());
    }

    fn path_fails(&mut self, control_plane_independent: bool) {
        let failure = PathFailure {
            reason: bfd::DownReason::DetectionTimeExpired,
            control_plane_independent,
        };
        let (name, rib) = (&self.name, &mut self.rib);
        self.neighbour.path_failed(name, failure, rib);
    }

    /// Routes of the neighbour, and those of them that are stale.
    fn routes(&self) -> (usize, usize) {
        let counts = self.rib.peer_counts(self.neighbour.id).unwrap_or_default();
        (counts.received, counts.stale)
    }
}

/// As many as hold so many routes, at the least, and no part of one.
#[tokio::test]
async fn updates_are_taken_whole_a_piece_at_a_time() {
    let mut world = World::new();
    let routes = |first: u8, count: u8| {
        let one = |n| Ipv4Prefix::new(Ipv4Addr::new(198, 18, n, 0), 24).unwrap();
        NlriSet::V4((first..first + count).map(one).map(Nlri::plain).collect())
    };
    let update = |unreach, nlri| Update {
        unreach,
        reach: vec![Reach {
            attrs: Arc::new(PathAttributes {
                as_path: AsPath::sequence([Asn(65001)]),
                next_hop: Some(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))),
                ..PathAttributes::default()
            }),
            nlri,
        }],
        ..Update::default()
    };
    let updates: Updates = [
        update(vec![], routes(0, 2)),
        update(vec![routes(0, 1)], routes(2, 2)),
        update(vec![], routes(4, 1)),
    ]
    .into_iter()
    .collect();
    let mut parts = updates.iter();
    let World {
        name,
        neighbour,
        rib,
    } = &mut world;
    let mut held = Vec::new();
    while !parts.is_empty() {
        neighbour.updates(Instant::ZERO, name, (&mut parts, 3), rib);
        assert!(parts.is_between_messages());
        held.push(rib.peer_counts(neighbour.id).unwrap().received);
    }
    // With the one that was there.
    assert_eq!(held, [4, 5]);
}

#[tokio::test]
async fn bfd_that_shares_the_fate_of_a_restarting_neighbour_says_nothing_of_its_kept_routes() {
    let mut world = World::new();
    world.restarts();
    world.path_fails(false);
    assert_eq!(world.routes(), (1, 1), "most likely it is the same restart");
    assert!(world.neighbour.retention.poll_timeout().is_some());
}

#[tokio::test]
async fn bfd_that_goes_on_without_the_control_plane_ends_a_graceful_restart() {
    let mut world = World::new();
    world.restarts();
    world.path_fails(true);
    assert_eq!(world.routes(), (0, 0), "its forwarding failed");
    assert_eq!(world.neighbour.retention.poll_timeout(), None);
}

#[tokio::test]
async fn a_path_that_fails_under_a_session_takes_the_routes_along_whoever_watched() {
    for control_plane_independent in [false, true] {
        let mut world = World::new();
        world.path_fails(control_plane_independent);
        assert_eq!(world.routes(), (0, 0));
        assert!(!world.neighbour.has_session());
        // The session's own task says so later; there is nothing left to keep then.
        world.event(Event::Down {
            reason: DownReason::ConnectionLost(Disconnect::Closed),
            retained: FamilySet::ALL,
        });
        assert_eq!(world.routes(), (0, 0));
        assert_eq!(world.neighbour.retention.poll_timeout(), None);
    }
}

/// What is logged on this thread, as JSON.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Runs `what` and gives back its lines with that reason.
    fn of(reason: &str, what: impl FnOnce()) -> Vec<serde_json::Value> {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, what);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &serde_json::Value| line["reason"] == reason)
            .collect()
    }
}

#[tokio::test]
async fn a_neighbour_that_comes_close_to_its_limit_is_named_once_until_it_is_far_again() {
    let mut world = World::new();
    let limit = PrefixLimit {
        max: 4,
        warn_percent: 75,
    };
    Arc::make_mut(&mut world.neighbour.spec).rules.limits = [Some(limit), None];
    world
        .rib
        .update_rules(world.neighbour.id, world.neighbour.spec.rules);
    let routes = |thirds: core::ops::RangeInclusive<u8>| {
        let list = thirds.map(|third| {
            let prefix = Ipv4Prefix::new(Ipv4Addr::new(203, 0, third, 0), 24).unwrap();
            Nlri::plain(prefix)
        });
        NlriSet::V4(list.collect())
    };
    let attrs = Arc::new(PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))),
        ..PathAttributes::default()
    });
    let reach = |nlri| Update {
        reach: vec![Reach {
            attrs: Arc::clone(&attrs),
            nlri,
        }],
        ..Update::default()
    };
    let mut log = |updates: Vec<Update>| {
        Log::of("maximum-prefixes-near", || {
            for update in updates {
                world.event(Event::Updates(update.into()));
            }
        })
    };
    // One route is there. The third of four is the first one that is too close.
    assert_eq!(
        log(vec![reach(routes(1..=1))]),
        [] as [serde_json::Value; 0]
    );
    let said = log(vec![reach(routes(2..=2)), reach(routes(3..=3))]);
    assert_eq!(said.len(), 1, "{said:?}");
    let said = &said[0];
    assert_eq!(said["level"], "WARN");
    assert_eq!((&said["received"], &said["limit"]), (&3.into(), &4.into()));
    assert_eq!(
        (&said["peer"], &said["family"]),
        (&"tor".into(), &"ipv4".into())
    );
    // It withdraws and comes close again.
    let gone = Update {
        unreach: vec![routes(2..=3)],
        ..Update::default()
    };
    let again = log(vec![gone, reach(routes(1..=1)), reach(routes(2..=2))]);
    assert_eq!(again.len(), 1, "{again:?}");
}
