//! From received routes to the best path and the kernel's route.

use super::*;
use crate::{decision::Step, fib::RouteKind, nexthop::NexthopSet};

const ROUTE: &str = "203.0.113.0/24";

fn tors() -> Rib {
    rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
        (3, info(SessionKind::Ibgp, 3)),
    ])
}

fn via(peers: &[u8]) -> Option<Route> {
    let gateways = peers.iter().map(|n| Gateway::via([10, 0, 0, *n].into(), 1));
    Some(Route::unicast(gateways.collect::<NexthopSet>()))
}

#[test]
fn two_tors_of_different_ases_share_the_traffic() {
    let mut rib = tors();
    rib.learn(2, ROUTE, attrs(&[65002, 9], 2));
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[2]));
    rib.learn(1, ROUTE, attrs(&[65001, 9], 1));
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[1, 2]));
    let view = rib.lookup(p(ROUTE)).unwrap();
    assert_eq!(view.best().unwrap().source, PathSource::Peer(PeerId(1)));
    assert!(view.paths[1].multipath);
    let lost = NotBest::Lost {
        step: Step::RouterId,
        to: PathSource::Peer(PeerId(1)),
    };
    assert_eq!(lost.to_string(), "lost-router-id");
    assert_eq!(view.paths[1].not_best, Some(lost));
    rib.set_config(RibConfig { max_paths: 1 });
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[1]));
    rib.set_config(RibConfig { max_paths: 2 });
    // Longer path: it no longer shares.
    rib.learn(2, ROUTE, attrs(&[65002, 8, 9], 2));
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[1]));
    rib.withdraw(PeerId(1), &nlri(ROUTE));
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[2]));
    rib.withdraw(PeerId(2), &nlri(ROUTE));
    assert_eq!(rib.fib()[&p(ROUTE)], None);
    assert_eq!(
        (rib.attribute_sets(), rib.prefixes(Family::Ipv4Unicast)),
        (0, 0)
    );
}

#[test]
fn a_route_waits_for_its_next_hop() {
    let mut rib = tors();
    rib.announce(PeerId(1), &attrs(&[65001], 1), &nlri(ROUTE));
    assert!(rib.has_pending_next_hops());
    let view = rib.lookup(p(ROUTE)).unwrap();
    assert_eq!(
        view.paths[0].not_best,
        Some(NotBest::Unresolved(Unresolved::Pending))
    );
    rib.resolve_pending(&Links::default());
    let view = rib.lookup(p(ROUTE)).unwrap();
    let why = view.paths[0].not_best.as_ref().unwrap();
    assert_eq!(why.to_string(), "next-hop-no-route");
    assert!(rib.fib().is_empty());
    rib.resolve_pending(&connected());
    assert_eq!(rib.best_peer(ROUTE), None, "nothing is pending any more");
    rib.resolve(&connected());
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[1]));
    rib.resolve(&Links::default());
    assert_eq!(rib.fib()[&p(ROUTE)], None);
}

#[test]
fn a_resolver_that_is_not_ready_is_asked_again() {
    struct NotYet;
    impl Resolve for NotYet {
        fn resolve(&self, _: NextHop, _: Option<u32>) -> Answer {
            Err(Unresolved::Pending).into()
        }
    }
    let mut rib = tors();
    rib.announce(PeerId(1), &attrs(&[65001], 1), &nlri(ROUTE));
    rib.resolve_pending(&NotYet);
    assert!(rib.has_pending_next_hops());
    rib.resolve_pending(&connected());
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[1]));
}

#[test]
fn a_reflected_route_is_compared_by_its_originator() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ibgp, 1)),
        (2, info(SessionKind::Ibgp, 2)),
    ]);
    rib.learn(1, ROUTE, attrs(&[], 1));
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    let reflected = |originator: u8, clusters: u32| PathAttributes {
        originator_id: Some(RouterId(Ipv4Addr::new(192, 0, 2, originator))),
        cluster_list: (1..=clusters).collect(),
        ..attrs(&[], 2)
    };
    rib.learn(2, ROUTE, reflected(0, 1));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    rib.learn(2, ROUTE, reflected(1, 1));
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    let view = rib.lookup(p(ROUTE)).unwrap();
    let why = view.paths[1].not_best.as_ref().unwrap();
    assert_eq!(why.to_string(), "lost-cluster-list");
}

/// RFC 4271 section 9.1.2.2 c: "Determine the lowest possible MED value" for a route without one, and
/// compare those of one neighbouring AS.
#[test]
fn a_missing_med_is_the_lowest_within_one_neighbouring_as() {
    let mut rib = rib(&[
        (1, same_as(1)),
        (2, same_as(2)),
        (3, info(SessionKind::Ebgp, 3)),
    ]);
    let with_med = PathAttributes {
        med: Some(1),
        ..attrs(&[65001], 1)
    };
    rib.learn(1, ROUTE, with_med);
    rib.learn(3, ROUTE, attrs(&[65003], 3));
    assert_eq!(rib.best_peer(ROUTE), Some(1), "of another AS");
    rib.learn(2, ROUTE, attrs(&[65001], 2));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    let view = rib.lookup(p(ROUTE)).unwrap();
    let lost = view
        .paths
        .iter()
        .find(|path| path.source == PathSource::Peer(PeerId(1)));
    let why = lost.unwrap().not_best.as_ref().unwrap();
    assert_eq!(why.to_string(), "lost-med");
}

#[test]
fn a_next_hop_that_moves_takes_its_routes_along() {
    #[derive(Debug)]
    struct OnLink(u32);
    impl Resolve for OnLink {
        fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Answer {
            Ok(Resolved::new(
                SmallVec::from_iter([Gateway::via(next_hop.addr(), self.0)]),
                0,
            ))
            .into()
        }
    }
    let mut rib = tors();
    rib.announce(PeerId(1), &attrs(&[65001], 1), &nlri(ROUTE));
    rib.resolve(&OnLink(4));
    rib.fib();
    rib.resolve(&OnLink(4));
    assert!(!rib.has_fib_changes());
    rib.resolve(&OnLink(5));
    let gateway = Gateway::via([10, 0, 0, 1].into(), 5);
    assert_eq!(rib.fib()[&p(ROUTE)], Some(Route::unicast(gateway)));
}

#[test]
fn the_cost_to_the_next_hop_decides() {
    let mut rib = tors();
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    rib.learn(2, ROUTE, attrs(&[65002], 2));
    let mut links = connected();
    links.0.insert([10, 0, 0, 1].into(), 50);
    rib.resolve(&links);
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[2]));
    let view = rib.lookup(p(ROUTE)).unwrap();
    let why = view.paths[1].not_best.as_ref().unwrap();
    assert_eq!(why.to_string(), "lost-igp-metric");
}

#[test]
fn a_link_local_next_hop_is_looked_up_on_the_link_of_the_session() {
    struct ByLink;
    impl Resolve for ByLink {
        fn resolve(&self, next_hop: NextHop, link: Option<u32>) -> Answer {
            let Some(link) = link else {
                return Err(Unresolved::NoInterface).into();
            };
            Ok(Resolved::new(
                SmallVec::from_iter([Gateway::via(next_hop.addr(), link)]),
                0,
            ))
            .into()
        }
    }
    let on = |n, link| PeerInfo {
        interface: Some(link),
        ..info(SessionKind::Ebgp, n)
    };
    let mut rib = rib(&[(1, on(1, 11)), (2, on(2, 12))]);
    for n in [1, 2] {
        let attrs = PathAttributes {
            next_hop: Some(NextHop::from(ip("fe80::1"))),
            ..attrs(&[65000 + n], 0)
        };
        rib.announce(PeerId(n), &attrs, &nlri("2001:db8::/32"));
    }
    rib.resolve_pending(&ByLink);
    let both = [11, 12].map(|link| Gateway::via(ip("fe80::1"), link));
    let both: NexthopSet = both.into_iter().collect();
    assert_eq!(rib.fib()[&p("2001:db8::/32")], Some(Route::unicast(both)));
    assert_eq!(rib.next_hops().count(), 2);
}

#[test]
fn gateways_are_bounded_too() {
    struct Fan;
    impl Resolve for Fan {
        fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Answer {
            let gateways = (1..=3).map(|link| Gateway::via(next_hop.addr(), link));
            Ok(Resolved::new(gateways.collect(), 0)).into()
        }
    }
    let mut rib = tors();
    rib.set_config(RibConfig { max_paths: 4 });
    for n in [1, 2_u8] {
        let attrs = attrs(&[65000 + u32::from(n)], n);
        rib.announce(PeerId(n.into()), &attrs, &nlri(ROUTE));
    }
    rib.resolve(&Fan);
    let route = rib.fib()[&p(ROUTE)].clone().unwrap();
    let links: Vec<u32> = route.gateways().iter().map(|g| g.ifindex).collect();
    assert_eq!(links, [1, 2, 3, 1], "all of the best, and what still fits");
}

#[test]
fn our_own_route_wins_and_is_forwarded_by_nobody() {
    let mut rib = tors();
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    rib.fib();
    rib.originate(ROUTE, origination(Vec::new()));
    assert_eq!(rib.fib()[&p(ROUTE)], None);
    let view = rib.lookup(p(ROUTE)).unwrap();
    assert_eq!(view.best().unwrap().kind, SourceKind::Local);
    let why = view.paths[1].not_best.as_ref().unwrap();
    assert_eq!(why.to_string(), "lost-local");
    let blackhole = Origination {
        blackhole: true,
        ..origination(Vec::new())
    };
    rib.originate(ROUTE, blackhole);
    let route = rib.fib()[&p(ROUTE)].clone().unwrap();
    assert_eq!(route.kind, RouteKind::Blackhole);
    rib.set_originations(BTreeMap::new());
    assert_eq!(rib.fib()[&p(ROUTE)], via(&[1]));
}

#[test]
fn fib_changes_are_bounded_and_coalesce() {
    let mut rib = tors();
    for i in 0..5 {
        rib.learn(1, &format!("203.0.{i}.0/24"), attrs(&[65001], 1));
    }
    assert_eq!(rib.take_fib_changes(3).len(), 3);
    assert_eq!(rib.take_fib_changes(3).len(), 2);
    assert!(!rib.has_fib_changes());
    rib.learn(1, "203.0.9.0/24", attrs(&[65001], 1));
    rib.withdraw(PeerId(1), &nlri("203.0.9.0/24"));
    assert!(
        rib.fib().is_empty(),
        "came and went: the kernel need not know"
    );
}

#[test]
fn what_the_kernel_has_a_route_to_goes_before_new_prefixes() {
    let mut rib = tors();
    let changed = ["203.0.1.0/24", "203.0.2.0/24"];
    for prefix in changed {
        rib.learn(1, prefix, attrs(&[65001], 1));
    }
    assert_eq!(rib.fib().len(), 2);
    assert!(!rib.has_fib_changes() && !rib.has_urgent_fib_changes());
    for i in 10..90 {
        rib.learn(1, &format!("203.0.{i}.0/24"), attrs(&[65001], 1));
    }
    assert!(rib.has_fib_changes() && !rib.has_urgent_fib_changes());
    // One is lost and the other moves; of the new ones, one goes and comes back.
    rib.withdraw(PeerId(1), &nlri(changed[0]));
    rib.learn(1, changed[1], attrs(&[65001], 2));
    rib.withdraw(PeerId(1), &nlri("203.0.10.0/24"));
    assert!(rib.has_urgent_fib_changes());
    let first: BTreeMap<_, _> = rib.take_fib_changes(2).into_iter().collect();
    assert_eq!(
        first,
        BTreeMap::from([(p(changed[0]), None), (p(changed[1]), via(&[2]))])
    );
    assert_eq!(rib.take_urgent_fib_changes(9), []);
    assert!(!rib.has_urgent_fib_changes());
    rib.learn(1, "203.0.10.0/24", attrs(&[65001], 3));
    let rest = rib.fib();
    assert_eq!(rest.len(), 80);
    assert_eq!(rest[&p("203.0.10.0/24")], via(&[3]));
    assert!(!rib.has_fib_changes());
}

#[test]
fn what_keeps_changing_leaves_room_for_new_prefixes() {
    let mut rib = tors();
    let flapping = |i: u32| format!("203.0.{i}.0/24");
    for i in 0..40 {
        rib.learn(1, &flapping(i), attrs(&[65001], 1));
    }
    rib.fib();
    for i in 0..40 {
        rib.learn(1, &flapping(i), attrs(&[65001], 2));
        rib.learn(1, &format!("203.1.{i}.0/24"), attrs(&[65001], 1));
    }
    let taken = rib.take_fib_changes(16);
    let is_new = |(prefix, _): &&(Prefix, _)| p("203.1.0.0/16").contains(prefix.addr());
    assert_eq!((taken.len(), taken.iter().filter(is_new).count()), (16, 2));
    assert_eq!(rib.fib().len(), 80 - 16);
}

#[test]
fn the_longest_usable_prefix_is_found() {
    let mut rib = tors();
    rib.learn(1, "0.0.0.0/0", attrs(&[65001], 1));
    rib.learn(1, "203.0.0.0/16", attrs(&[65001], 1));
    rib.learn(1, "203.0.113.0/24", attrs(&[65001, 64512], 1));
    let found = |addr: &str| rib.lookup_longest(ip(addr)).map(|view| view.prefix);
    assert_eq!(
        found("203.0.113.1"),
        Some(p("203.0.0.0/16")),
        "the /24 is refused"
    );
    assert_eq!(found("8.8.8.8"), Some(p("0.0.0.0/0")));
    assert_eq!(found("2001:db8::1"), None);
    assert_eq!(
        rib.covering(ip("203.0.113.1")),
        [p("203.0.113.0/24"), p("203.0.0.0/16"), p("0.0.0.0/0")],
        "refused or not"
    );
    assert_eq!(rib.covering(ip("2001:db8::1")), []);
}
