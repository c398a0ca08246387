//! Next hops that learned routes lead to.

use redstart_bgp::types::Aigp;

use super::*;
use crate::fib::RouteKind;

/// The pods of a node in another rack, and that rack.
const PODS: &str = "10.244.7.0/24";
const RACK: &str = "10.40.0.0/24";
const NODE: [u8; 4] = [10, 40, 0, 7];

/// Two routers, and the node of another rack by a reflector.
fn rack() -> Rib {
    rib(&[
        (1, same_as(1)),
        (2, same_as(2)),
        (3, info(SessionKind::Ibgp, 3)),
    ])
}

/// As the node sends them, which is `next_hop`.
fn at(next_hop: [u8; 4]) -> PathAttributes {
    PathAttributes {
        next_hop: Some(NextHop::V4(next_hop.into())),
        ..attrs(&[], 3)
    }
}

/// The routers on the link, and a default route that leads to the node as well.
fn with_default() -> Links {
    let mut links = connected();
    links.0.insert(NODE.into(), BY_DEFAULT);
    links
}

/// The gateways of a prefix, by their last octets.
fn hops(route: Option<&Option<Route>>) -> Option<Vec<u8>> {
    let RouteKind::Unicast(set) = &route?.as_ref()?.kind else {
        return None;
    };
    let last = |gateway: &Gateway| match gateway.via {
        Some(IpAddr::V4(addr)) => addr.octets()[3],
        _ => 0,
    };
    Some(set.as_slice().iter().map(last).collect())
}

fn unresolved(rib: &Rib, prefix: &str) -> Option<String> {
    let view = rib.lookup(p(prefix))?;
    view.paths[0].not_best.as_ref().map(ToString::to_string)
}

#[test]
fn the_nodes_of_another_rack_are_behind_the_routers_that_announce_it() {
    let (mut rib, links) = (rack(), with_default());
    rib.announce(PeerId(3), &at(NODE), &nlri(PODS));
    rib.resolve_pending(&links);
    assert_eq!(hops(rib.fib().get(&p(PODS))), Some(vec![7]), "by default");
    for n in [1, 2] {
        rib.announce(PeerId(n.into()), &attrs(&[65001], n), &nlri(RACK));
        assert!(rib.has_pending_next_hops(), "what leads there has changed");
        rib.resolve_pending(&links);
        let to: Vec<u8> = (1..=n).collect();
        assert_eq!(hops(rib.fib().get(&p(PODS))), Some(to));
    }
    let view = rib.lookup(p(PODS)).unwrap();
    assert_eq!(view.paths[0].through(), Some(p(RACK)));
    // A router is lost: what goes through its rack goes along.
    rib.peer_down(PeerId(1), PeerDown::Flush);
    rib.resolve_pending(&links);
    assert_eq!(hops(rib.fib().get(&p(PODS))), Some(vec![2]));
    rib.withdraw(PeerId(2), &nlri(RACK));
    rib.resolve_pending(&links);
    assert_eq!(hops(rib.fib().get(&p(PODS))), Some(vec![7]));
    assert_eq!(rib.lookup(p(PODS)).unwrap().paths[0].through(), None);
    // What nothing leads to costs nothing.
    rib.learn(1, "203.0.113.0/24", attrs(&[65001], 1));
    assert!(!rib.has_pending_next_hops());
}

#[test]
fn the_longest_learned_prefix_leads_and_a_longer_one_of_the_kernel_does_not_yield() {
    struct Static(Option<u8>);
    impl Resolve for Static {
        fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Answer {
            let answer = connected().resolve(next_hop, None);
            if next_hop.addr() != IpAddr::from(NODE) {
                return answer;
            }
            let gateways = SmallVec::from_iter([Gateway::via(ip("10.0.0.9"), 1)]);
            Answer {
                state: Ok(Resolved::new(gateways, 5)),
                yields_to: self.0,
            }
        }
    }
    let mut rib = rack();
    rib.announce(PeerId(3), &at(NODE), &nlri(PODS));
    for (n, prefix) in [(1, "10.40.0.0/16"), (2, RACK)] {
        rib.announce(PeerId(n.into()), &attrs(&[65001], n), &nlri(prefix));
    }
    let mut by = |yields_to| {
        rib.resolve(&Static(yields_to));
        rib.repeat_fib();
        hops(rib.fib().get(&p(PODS)))
    };
    // The kernel's own prefix is a default route, a /16, a /20, a /24; the node is on the link.
    assert_eq!(by(Some(1)), Some(vec![2]));
    assert_eq!(by(Some(17)), Some(vec![2]));
    assert_eq!(by(Some(21)), Some(vec![2]));
    assert_eq!(by(Some(25)), Some(vec![9]));
    assert_eq!(by(None), Some(vec![9]));
    // The longest one that is of any use.
    rib.announce(PeerId(2), &attrs(&[65001], 99), &nlri(RACK));
    rib.resolve(&Static(Some(1)));
    assert_eq!(hops(rib.fib().get(&p(PODS))), Some(vec![1]));
}

#[test]
fn routes_that_lead_to_each_other_lead_nowhere() {
    let mut rib = rack();
    // Each by an address in the other, and one by itself.
    let pairs = [
        ("10.50.0.0/24", [10, 51, 0, 1]),
        ("10.51.0.0/24", [10, 50, 0, 1]),
        ("10.52.0.0/24", [10, 52, 0, 1]),
    ];
    for (prefix, next_hop) in pairs {
        rib.announce(PeerId(3), &at(next_hop), &nlri(prefix));
    }
    rib.resolve_pending(&connected());
    for (prefix, _) in pairs {
        assert_eq!(unresolved(&rib, prefix).unwrap(), "next-hop-recursive");
    }
    assert!(rib.fib().is_empty());
    // One level: what a supported path leads to, and not what that leads to.
    rib.learn(1, "10.50.0.0/24", attrs(&[65001], 1));
    let routes = rib.fib();
    assert_eq!(hops(routes.get(&p("10.51.0.0/24"))), Some(vec![1]));
    assert_eq!(hops(routes.get(&p("10.50.0.0/24"))), Some(vec![1]));
    assert!(!rib.has_pending_next_hops());
    rib.withdraw(PeerId(1), &nlri("10.50.0.0/24"));
    rib.resolve_pending(&connected());
    assert_eq!(
        unresolved(&rib, "10.51.0.0/24").unwrap(),
        "next-hop-recursive"
    );
    assert_eq!(rib.fib().values().flatten().count(), 0);
}

/// A default route leads to everything, so it supports nothing.
#[test]
fn a_route_to_the_next_hop_itself_by_the_default_route_hides_no_other() {
    let (mut rib, links) = (rack(), with_default());
    rib.announce(PeerId(3), &at(NODE), &nlri(PODS));
    rib.announce(PeerId(3), &at(NODE), &nlri("10.40.0.7/32"));
    for n in [1, 2] {
        rib.announce(PeerId(n.into()), &attrs(&[65001], n), &nlri(RACK));
    }
    rib.resolve_pending(&links);
    let routes = rib.fib();
    assert_eq!(hops(routes.get(&p(PODS))), Some(vec![1, 2]));
    assert_eq!(hops(routes.get(&p("10.40.0.7/32"))), Some(vec![1, 2]));
    // Beside paths of the routers one that only the default route supports has no share.
    let mut links = links;
    links.0.insert(ip("10.99.0.1"), BY_DEFAULT);
    let better = PathAttributes {
        local_pref: Some(500),
        ..at([10, 99, 0, 1])
    };
    rib.announce(PeerId(3), &better, &nlri(RACK));
    rib.resolve_pending(&links);
    rib.repeat_fib();
    assert_eq!(hops(rib.fib().get(&p(PODS))), Some(vec![1, 2]));
}

/// What leads to next hops is for people; what they lead to decides.
#[test]
fn another_route_to_the_same_gateways_changes_nothing() {
    let (mut rib, links) = (rack(), with_default());
    rib.announce(PeerId(3), &at(NODE), &nlri(PODS));
    rib.announce(PeerId(1), &attrs(&[65001], 1), &nlri("10.40.0.0/16"));
    rib.resolve_pending(&links);
    rib.fib();
    rib.announce(PeerId(1), &attrs(&[65001], 1), &nlri(RACK));
    rib.resolve_pending(&links);
    let routes = rib.fib();
    assert_eq!(routes.keys().collect::<Vec<_>>(), [&p(RACK)]);
    let view = rib.lookup(p(PODS)).unwrap();
    assert_eq!(view.paths[0].through(), Some(p(RACK)));
}

/// Two paths to one prefix, and the gateways of one are among the other's.
#[test]
fn gateways_that_are_the_same_count_once() {
    let (mut rib, links) = (rack(), with_default());
    rib.set_config(RibConfig { max_paths: 2 });
    for n in [1, 2] {
        rib.announce(PeerId(n.into()), &attrs(&[65001], n), &nlri(RACK));
    }
    for next_hop in [NODE, [10, 40, 0, 8]] {
        let peer = 3 + u32::from(next_hop == NODE);
        if peer == 4 {
            rib.peer_up(PeerId(4), info(SessionKind::Ibgp, 4)).unwrap();
        }
        rib.announce(PeerId(peer), &at(next_hop), &nlri(PODS));
    }
    rib.resolve_pending(&links);
    assert_eq!(hops(rib.fib().get(&p(PODS))), Some(vec![1, 2]));
}

#[test]
fn a_path_that_is_refused_or_our_own_leads_nowhere() {
    let mut rib = rack();
    rib.announce(PeerId(3), &at(NODE), &nlri(PODS));
    rib.originate(RACK, origination(Vec::new()));
    let looped = attrs(&[65001, LOCAL_AS.0], 1);
    rib.announce(PeerId(1), &looped, &nlri(RACK));
    rib.resolve_pending(&connected());
    assert_eq!(unresolved(&rib, PODS).unwrap(), "next-hop-no-route");
    // Beside our own it is not best, and leads there nevertheless.
    rib.learn(1, RACK, attrs(&[65001], 1));
    assert_eq!(hops(rib.fib().get(&p(PODS))), Some(vec![1]));
}

#[test]
fn the_distance_is_that_of_the_route_that_leads_there() {
    let mut rib = rack();
    let mut links = connected();
    links.0.insert([10, 0, 0, 1].into(), 40);
    rib.announce(PeerId(3), &at(NODE), &nlri(PODS));
    rib.announce(PeerId(1), &attrs(&[65001], 1), &nlri(RACK));
    rib.resolve(&links);
    let metric = |rib: &Rib| {
        let view = rib.lookup(p(PODS)).unwrap();
        view.paths[0].next_hop.clone().unwrap().unwrap().metric
    };
    assert_eq!(metric(&rib), 40);
    let with_aigp = PathAttributes {
        aigp: Some(Aigp::of(1000)),
        ..at([10, 0, 0, 1])
    };
    rib.announce(PeerId(3), &with_aigp, &nlri(RACK));
    rib.resolve_pending(&links);
    assert_eq!(metric(&rib), 1040, "RFC 7311 section 4.1");
}

#[test]
fn next_hops_of_both_families_are_led_to_and_forgotten() {
    let mut rib = rack();
    let node = PathAttributes {
        next_hop: Some(NextHop::V6("2001:db8:40::7".parse().unwrap())),
        ..attrs(&[], 3)
    };
    let router = PathAttributes {
        next_hop: Some(NextHop::V6("2001:db8::1".parse().unwrap())),
        ..attrs(&[65001], 1)
    };
    let mut links = connected();
    links.0.insert(ip("2001:db8::1"), 0);
    rib.announce(PeerId(3), &node, &nlri("fd00:7::/64"));
    rib.announce(PeerId(1), &router, &nlri("2001:db8:40::/48"));
    rib.resolve_pending(&links);
    let route = rib.fib()[&p("fd00:7::/64")].clone().unwrap();
    assert_eq!(route.gateways(), [Gateway::via(ip("2001:db8::1"), 1)]);
    for peer in [1, 3] {
        rib.peer_down(PeerId(peer), PeerDown::Flush);
    }
    rib.resolve_pending(&links);
    assert!(!rib.has_pending_next_hops());
    assert_eq!(rib.next_hops().count(), 0);
}

/// A static route counts as ground, but not for what is more specific than it and leads back into itself.
#[test]
fn what_a_static_route_leads_to_leads_on_unless_the_learned_route_covers_its_own_next_hop() {
    let (mut rib, mut links) = (rack(), connected());
    // By a static route to 10.99.0.0/24.
    links.0.insert(ip("10.99.0.1"), BY_STATIC);
    let static_hop = PathAttributes {
        next_hop: Some(NextHop::V4([10, 99, 0, 1].into())),
        ..attrs(&[65001], 1)
    };
    rib.announce(PeerId(1), &static_hop, &nlri(RACK));
    rib.announce(PeerId(3), &at(NODE), &nlri(PODS));
    rib.resolve_pending(&links);
    let view = rib.lookup(p(PODS)).unwrap();
    assert_eq!(view.paths[0].through(), Some(p(RACK)));

    // The learned route is a part of what the static one leads to, and has its own next hop in it.
    let inside = "10.99.0.0/25";
    rib.announce(PeerId(1), &static_hop, &nlri(inside));
    rib.announce(PeerId(3), &at([10, 99, 0, 7]), &nlri("10.244.8.0/24"));
    rib.resolve_pending(&links);
    let fib = rib.fib();
    assert_eq!(hops(fib.get(&p("10.244.8.0/24"))), None);
    assert_eq!(hops(fib.get(&p(inside))), Some(vec![1]));
    assert!(unresolved(&rib, "10.244.8.0/24").is_some());
}
