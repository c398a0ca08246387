//! A router that stays away (RFC 4724, RFC 9494), in virtual time: neighbours, their timers and the
//! tables, told what happens and what time it is.

use std::collections::BTreeSet;

use redstart_bgp::{
    net::FromPeer,
    session::{Disconnect, DownReason, Event, PeerId},
    time::Instant,
    types::{AsPath, Community, Family, NextHop, Nlri, NlriSet, PathAttributes},
    wire::{
        Capability, GracefulRestart, GracefulRestartFamily, LongLivedFamily,
        LongLivedGracefulRestart, Reach, Update,
    },
};
use redstart_rib::{
    Rib, RibConfig,
    resolver::{KernelView, ResolverConfig},
    rib::{Cursor, Wanted},
};

use super::{
    super::{neighbours::Neighbours, translate::Restarted},
    *,
};

const V4: Family = Family::Ipv4Unicast;
const V6: Family = Family::Ipv6Unicast;
/// Seconds that the router says its restart takes.
const RESTART: u16 = 100;
/// Seconds that its IPv4 routes may be stale for beyond that. It says nothing of IPv6.
const STALE: u32 = 1000;

const ROUTE: &str = "198.51.100.0/24";
const OTHER: &str = "203.0.113.0/24";
const NOT_FOR_LONG: &str = "192.0.2.0/24";
const ROUTE_V6: &str = "2001:db8:51::/48";

/// Neighbours by the last octet of their addresses.
const AWAY: u8 = 1;
/// Knows what LLGR_STALE means.
const KNOWING: u8 = 2;
const UNKNOWING: u8 = 3;

struct World {
    neighbours: Neighbours,
    rib: Rib,
    links: KernelView,
    now: Instant,
    _tasks: mpsc::Receiver<FromPeer>,
}

impl World {
    /// The sessions are up, the router has told its table, and the others were told.
    fn new() -> Self {
        let (to_core, tasks) = mpsc::channel(8);
        let mut world = Self {
            neighbours: Neighbours::new(Clock::new(), to_core, 1),
            rib: Rib::new(RibConfig::default(), 1),
            links: KernelView::new(ResolverConfig::default()),
            now: Instant::ZERO,
            _tasks: tasks,
        };
        let router = |n| {
            let mut router = passive_router(SocketAddr::from(([10, 0, 0, n], 179)));
            router.transit = true;
            (PeerName(n.to_string()), router.into())
        };
        let mut desired = DesiredState {
            peers: Arc::new([AWAY, KNOWING, UNKNOWING].map(router).into()),
            ..node(kernel(254, 179), [])
        };
        if let Some(node) = &mut desired.node {
            node.ipv6 = Some("fd00::1".parse().unwrap());
        }
        let World {
            neighbours, rib, ..
        } = &mut world;
        neighbours.apply(Instant::ZERO, &desired, Restarted::default(), rib);
        for n in [AWAY, KNOWING, UNKNOWING] {
            world.up(n);
        }
        world.tells_its_table();
        for n in [KNOWING, UNKNOWING] {
            world.told(n);
        }
        world
    }

    fn id(&self, n: u8) -> PeerId {
        self.neighbours.ids()[&PeerName(n.to_string())][0]
    }

    fn on_event(&mut self, n: u8, event: Event) {
        let peer = self.id(n);
        let event = FromPeer::Event { peer, event };
        self.neighbours
            .on_event(self.now, event, &self.links, &mut self.rib);
        self.rib.resolve_pending(&OnLink);
    }

    fn up(&mut self, n: u8) {
        self.established(n, session(n));
    }

    fn established(&mut self, n: u8, session: Negotiated) {
        self.on_event(n, Event::Established(Arc::new(session)));
    }

    /// The router's session is over, as when it crashes.
    fn lost(&mut self) {
        let reason = DownReason::ConnectionLost(Disconnect::Reset);
        let retained = session(AWAY).retained(&reason);
        self.on_event(AWAY, Event::Down { reason, retained });
    }

    fn announce(&mut self, prefix: &str, community: Option<Community>) {
        let (nlri, next_hop) = match prefix.parse().unwrap() {
            Prefix::V4(p) => (
                NlriSet::V4(vec![Nlri::plain(p)]),
                NextHop::V4([10, 0, 0, AWAY].into()),
            ),
            Prefix::V6(p) => (
                NlriSet::V6(vec![Nlri::plain(p)]),
                NextHop::V6("fd00::99".parse().unwrap()),
            ),
        };
        let attrs = PathAttributes {
            as_path: AsPath::sequence([Asn(65001)]),
            next_hop: Some(next_hop),
            communities: community.into_iter().collect(),
            ..PathAttributes::default()
        };
        let update = Update {
            reach: vec![Reach {
                attrs: Arc::new(attrs),
                nlri,
            }],
            ..Update::default()
        };
        self.on_event(AWAY, Event::Updates(update.into()));
    }

    fn end_of_rib(&mut self, family: Family) {
        let update = Update {
            end_of_rib: Some(family),
            ..Update::default()
        };
        self.on_event(AWAY, Event::Updates(update.into()));
    }

    fn tells_its_table(&mut self) {
        self.announce(ROUTE, None);
        self.announce(OTHER, None);
        self.announce(NOT_FOR_LONG, Some(Community::NO_LLGR));
        self.announce(ROUTE_V6, None);
        self.end_of_rib(V4);
        self.end_of_rib(V6);
    }

    /// Time goes on to `seconds` after the beginning, with a stop wherever a timer expires.
    fn go_to(&mut self, seconds: u64) {
        let end = Instant::ZERO + Duration::from_secs(seconds);
        while let Some(next) = self.neighbours.poll_timeout().filter(|at| *at <= end) {
            self.now = next;
            self.neighbours.on_time(next, &mut self.rib);
        }
        self.now = end;
    }

    /// What is in the table, and whether it is the last resort.
    fn table(&self) -> BTreeSet<(String, bool)> {
        let (mut prefixes, mut cursor) = (Vec::new(), Some(Cursor::START));
        while let Some(from) = cursor {
            let walked = self.rib.walk(from, &Wanted::default(), 100, 100);
            prefixes.extend(walked.prefixes);
            cursor = walked.next;
        }
        let best = |prefix| {
            let route = self.rib.lookup(prefix).unwrap();
            let long = route.best().unwrap().long_lived_stale;
            (prefix.to_string(), long)
        };
        prefixes.into_iter().map(best).collect()
    }

    /// What a neighbour was told since the last time: announced, with the mark or without, and
    /// withdrawn.
    fn told(&mut self, n: u8) -> (BTreeSet<(String, bool)>, BTreeSet<String>) {
        let id = self.id(n);
        let (mut told, mut withdrawn) = (BTreeSet::new(), BTreeSet::new());
        let prefixes = |list: &NlriSet| -> Vec<String> {
            list.iter().map(|nlri| nlri.prefix.to_string()).collect()
        };
        while self.rib.has_updates(id) {
            let batch = self.rib.pull(id, 100);
            for (attrs, list) in &batch.reach {
                let marked = attrs.has_community(Community::LLGR_STALE);
                told.extend(prefixes(list).into_iter().map(|prefix| (prefix, marked)));
            }
            withdrawn.extend(batch.withdraw.iter().flat_map(prefixes));
        }
        (told, withdrawn)
    }
}

/// The session with a neighbour. Each takes both families of its own; the router restarts gracefully.
fn session(n: u8) -> Negotiated {
    let (afi, safi) = (V4.afi(), V4.safi());
    let long_lived = LongLivedGracefulRestart {
        families: vec![LongLivedFamily {
            afi,
            safi,
            forwarding_preserved: true,
            stale_time: STALE,
        }],
    };
    let listed = |family: Family| GracefulRestartFamily {
        afi: family.afi(),
        safi: family.safi(),
        forwarding_preserved: true,
    };
    let restart = GracefulRestart {
        restart_time: RESTART,
        families: vec![listed(V4), listed(V6)],
        ..GracefulRestart::default()
    };
    let capability = Capability::LongLivedGracefulRestart(long_lived.clone());
    Negotiated {
        remote_as: Asn(65000 + u32::from(n)),
        graceful_restart: (n == AWAY).then_some(restart),
        long_lived: (n == AWAY).then_some(long_lived),
        remote_capabilities: if n == UNKNOWING {
            Vec::new()
        } else {
            vec![capability]
        },
        ..negotiated([10, 0, 0, n])
    }
}

fn set<const N: usize>(prefixes: [&str; N]) -> BTreeSet<String> {
    prefixes.map(str::to_owned).into()
}

/// Prefixes that are all the last resort, or none of them.
fn marked<const N: usize>(prefixes: [&str; N], long: bool) -> BTreeSet<(String, bool)> {
    prefixes.map(|prefix| (prefix.to_owned(), long)).into()
}

fn nothing() -> (BTreeSet<(String, bool)>, BTreeSet<String>) {
    Default::default()
}

/// RFC 9494 section 4.2, from the first second to the last.
#[tokio::test]
async fn routes_of_a_router_that_stays_away_become_the_last_resort_and_then_go() {
    let mut world = World::new();
    let all = marked([ROUTE, OTHER, NOT_FOR_LONG, ROUTE_V6], false);
    assert_eq!(world.table(), all);
    world.go_to(10);
    world.lost();
    world.go_to(109);
    assert_eq!(world.table(), all);
    assert_eq!(
        (world.told(KNOWING), world.told(UNKNOWING)),
        (nothing(), nothing())
    );

    // The restart time is over. IPv6 was not to be kept for long, nor was the route with NO_LLGR.
    world.go_to(110);
    let long = marked([ROUTE, OTHER], true);
    assert_eq!(world.table(), long);
    assert_eq!(world.told(KNOWING), (long, set([NOT_FOR_LONG, ROUTE_V6])));
    let gone = set([ROUTE, OTHER, NOT_FOR_LONG, ROUTE_V6]);
    assert_eq!(world.told(UNKNOWING), (BTreeSet::new(), gone));

    world.go_to(1109);
    assert_eq!(
        (world.told(KNOWING), world.told(UNKNOWING)),
        (nothing(), nothing())
    );
    world.go_to(1110);
    assert_eq!(world.table(), BTreeSet::new());
    assert_eq!(world.told(KNOWING), (BTreeSet::new(), set([ROUTE, OTHER])));
    assert_eq!(world.neighbours.poll_timeout(), None);
}

/// What it tells again is fresh at once; what it does not is gone with its End-of-RIB.
#[tokio::test]
async fn a_router_that_comes_back_late_tells_which_of_its_routes_hold() {
    let mut world = World::new();
    world.lost();
    world.go_to(500);
    world.told(KNOWING);
    world.told(UNKNOWING);
    world.up(AWAY);
    world.announce(ROUTE, None);
    assert_eq!(world.told(KNOWING).0, marked([ROUTE], false));
    assert_eq!(world.told(UNKNOWING).0, marked([ROUTE], false));
    let mixed = [marked([ROUTE], false), marked([OTHER], true)];
    assert_eq!(world.table(), mixed.into_iter().flatten().collect());
    world.end_of_rib(V4);
    assert_eq!(world.table(), marked([ROUTE], false));
    assert_eq!(world.told(KNOWING).1, set([OTHER]));
    // No timer is left to take anything away.
    world.go_to(9999);
    assert_eq!(world.table(), marked([ROUTE], false));
}

/// The session with the router, which says of a family whether its forwarding state is still there, in
/// either capability. `None`: it does not name the family any more.
fn session_after(forwarding_v4: Option<bool>) -> Negotiated {
    let mut back = session(AWAY);
    let restart = back.graceful_restart.as_mut().unwrap();
    let long_lived = back.long_lived.as_mut().unwrap();
    match forwarding_v4 {
        Some(preserved) => {
            restart.families[0].forwarding_preserved = preserved;
            long_lived.families[0].forwarding_preserved = preserved;
        }
        None => {
            restart.families.remove(0);
            long_lived.families.clear();
        }
    }
    back
}

/// RFC 4724 and RFC 9494, sections 4.2: what is stale goes at once, not with the End-of-RIB, where the
/// router is back and its forwarding state is not; of that family alone.
#[tokio::test]
async fn a_router_that_is_back_without_its_forwarding_state_loses_what_was_kept_at_once() {
    let of_v4 = [ROUTE, OTHER, NOT_FOR_LONG];
    for (away, kept_v6) in [(50, true), (500, false)] {
        for back in [Some(false), None] {
            let mut world = World::new();
            world.lost();
            world.go_to(away);
            assert!(
                world
                    .table()
                    .iter()
                    .any(|(prefix, _)| of_v4.contains(&&**prefix))
            );
            world.established(AWAY, session_after(back));
            let v6 = kept_v6.then(|| (ROUTE_V6.to_owned(), false));
            assert_eq!(
                world.table(),
                v6.into_iter().collect(),
                "{away} s, {back:?}"
            );
        }
        // And without either capability.
        let mut world = World::new();
        world.lost();
        world.go_to(away);
        let without = Negotiated {
            graceful_restart: None,
            long_lived: None,
            ..session(AWAY)
        };
        world.established(AWAY, without);
        assert_eq!(world.table(), BTreeSet::new());
    }
}

/// RFC 4724 section 4.2: a bound for a router that is back and never comes to its End-of-RIB.
#[tokio::test]
async fn a_router_that_does_not_tell_its_table_to_the_end_loses_what_is_stale() {
    let mut world = World::new();
    world.lost();
    world.go_to(10);
    world.up(AWAY);
    world.announce(ROUTE, None);
    world.go_to(60);
    assert_eq!(world.table().len(), 4, "there is time to tell them");
    world.go_to(10_000);
    assert_eq!(world.table(), marked([ROUTE], false));
}

/// "The timer is neither stopped nor updated until EoR is received" (RFC 9494 section 4.2).
#[tokio::test]
async fn sessions_without_an_end_do_not_prolong_anything() {
    let mut world = World::new();
    world.lost();
    for seconds in [300, 600, 900] {
        world.go_to(seconds);
        world.up(AWAY);
        world.lost();
    }
    world.go_to(1099);
    assert_eq!(world.table(), marked([ROUTE, OTHER], true));
    world.go_to(1100);
    assert_eq!(world.table(), BTreeSet::new());
}

/// The long time runs out in the midst of the new table, and then the session ends before it is told:
/// RFC 9494 section 4.2 has what came with it go as well.
#[tokio::test]
async fn a_table_that_comes_too_late_and_not_to_its_end_is_not_kept() {
    let mut world = World::new();
    world.lost();
    world.go_to(1000);
    world.up(AWAY);
    world.announce(ROUTE, None);
    world.go_to(1100);
    assert_eq!(world.table(), marked([ROUTE], false));
    world.lost();
    assert_eq!(world.table(), BTreeSet::new());
}
