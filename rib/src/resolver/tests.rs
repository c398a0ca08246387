//! One node: eth2 with 10.0.2.1/24 and fd00:2::1/64, eth3 with 10.0.3.1/24, lo, a pod bridge.

use std::sync::Arc;

use redstart_bgp::types::{NextHop, Prefix};

use super::*;
use crate::nexthop::NexthopSet;

fn link(ifindex: u32, up: bool, carrier: bool) -> Link {
    Link {
        ifindex,
        name: format!("eth{ifindex}"),
        up,
        carrier,
        loopback: ifindex == 1,
        controller: None,
        vrf_table: None,
    }
}

fn address(ifindex: u32, addr: &str, len: u8) -> LinkAddress {
    let addr = addr.parse().unwrap();
    LinkAddress {
        ifindex,
        addr,
        subnet: Prefix::new(addr, len).unwrap(),
    }
}

fn route(prefix: &str, protocol: u8, metric: u32, action: RouteAction) -> KernelRoute {
    KernelRoute {
        prefix: prefix.parse().unwrap(),
        table: FibConfig::TABLE_MAIN,
        protocol,
        metric,
        action,
        prefsrc: None,
        nexthop: None,
    }
}

fn via(addr: &str, ifindex: u32) -> RouteAction {
    RouteAction::Forward(Gateway::via(addr.parse().unwrap(), ifindex).into())
}

fn device(ifindex: u32) -> RouteAction {
    let gateway = Gateway {
        via: None,
        ..Gateway::via([0; 4].into(), ifindex)
    };
    RouteAction::Forward(gateway.into())
}

fn view_with(config: ResolverConfig) -> KernelView {
    let mut view = KernelView::new(config);
    let dump = Dump {
        silent: BTreeSet::new(),
        links: (1..=4).map(|i| link(i, true, true)).collect(),
        addresses: vec![
            address(1, "127.0.0.1", 8),
            address(2, "10.0.2.1", 24),
            address(2, "fd00:2::1", 64),
            address(2, "fe80::2", 64),
            address(3, "10.0.3.1", 24),
            address(4, "10.244.1.1", 24),
        ],
        nexthops: vec![],
        routes: vec![
            route("10.0.2.0/24", 2, 0, device(2)),
            route("10.0.3.0/24", 2, 0, device(3)),
            route("10.244.1.0/24", 2, 0, device(4)),
            route("172.16.0.0/12", 4, 50, via("10.0.3.254", 3)),
            route("172.20.0.0/16", 4, 5, RouteAction::Blackhole),
        ],
        since: vec![],
    };
    view.on_event(&KernelEvent::Synced(Arc::new(dump)));
    view
}

fn view() -> KernelView {
    view_with(ResolverConfig::default())
}

fn ask(view: &KernelView, addr: &str) -> Result<Resolved, Unresolved> {
    view.resolve(NextHop::from(addr.parse::<IpAddr>().unwrap()), None)
        .state
}

fn resolved(addr: &str, ifindex: u32, metric: u32) -> Result<Resolved, Unresolved> {
    Ok(Resolved::new(
        [Gateway::via(addr.parse().unwrap(), ifindex)]
            .into_iter()
            .collect(),
        metric,
    ))
}

#[test]
fn a_neighbour_on_a_link_is_its_own_gateway() {
    assert_eq!(ask(&view(), "10.0.2.9"), resolved("10.0.2.9", 2, 0));
    assert_eq!(ask(&view(), "fd00:2::9"), resolved("fd00:2::9", 2, 0));
}

#[test]
fn a_static_route_leads_through_its_gateway_at_its_metric() {
    assert_eq!(ask(&view(), "172.16.0.1"), resolved("10.0.3.254", 3, 50));
}

#[test]
fn what_happened_while_a_dump_was_made_is_part_of_it() {
    let mut view = view();
    let dump = Dump {
        silent: BTreeSet::new(),
        links: vec![link(2, true, true), link(3, true, true)],
        addresses: vec![address(2, "10.0.2.1", 24), address(3, "10.0.3.1", 24)],
        nexthops: vec![],
        routes: vec![route("172.16.0.0/12", 4, 50, via("10.0.3.254", 3))],
        since: vec![
            KernelEvent::Link(link(2, true, false)),
            KernelEvent::RouteGone(route("172.16.0.0/12", 4, 50, via("10.0.3.254", 3))),
            KernelEvent::Route(route("172.16.0.0/12", 4, 50, via("10.0.3.253", 3))),
        ],
    };
    view.on_event(&KernelEvent::Synced(Arc::new(dump)));
    assert_eq!(ask(&view, "10.0.2.9"), Err(Unresolved::LinkDown));
    assert_eq!(ask(&view, "172.16.0.1"), resolved("10.0.3.253", 3, 50));
}

#[test]
fn what_cannot_be_reached_says_why() {
    let view = view();
    assert_eq!(ask(&view, "192.0.2.1"), Err(Unresolved::NoRoute));
    assert_eq!(ask(&view, "172.20.0.1"), Err(Unresolved::Unreachable));
    assert_eq!(ask(&view, "10.0.2.1"), Err(Unresolved::OwnAddress));
    assert_eq!(ask(&view, "127.0.0.9"), Err(Unresolved::NoRoute));
    assert_eq!(ask(&view, "0.0.0.0"), Err(Unresolved::NoRoute));
    assert_eq!(ask(&view, "fe80::9"), Err(Unresolved::NoInterface));
    assert_eq!(
        ask(&KernelView::new(ResolverConfig::default()), "10.0.2.9"),
        Err(Unresolved::NoRoute)
    );
}

#[test]
fn the_default_route_counts_only_where_allowed() {
    let default = KernelEvent::Route(route("0.0.0.0/0", 16, 100, via("10.0.2.254", 2)));
    let mut yes = view();
    yes.on_event(&default);
    assert_eq!(ask(&yes, "192.0.2.1"), resolved("10.0.2.254", 2, 100));
    let mut no = view_with(ResolverConfig {
        allow_default: false,
        ..ResolverConfig::default()
    });
    no.on_event(&default);
    assert_eq!(ask(&no, "192.0.2.1"), Err(Unresolved::OnlyDefaultRoute));
    assert_eq!(ask(&no, "10.0.2.9"), resolved("10.0.2.9", 2, 0));
}

/// Learned routes lead elsewhere only where they say more than the kernel does, and never on a link.
#[test]
fn an_answer_yields_to_longer_prefixes_that_are_learned() {
    let yields_to = |view: &KernelView, addr: &str| {
        let next_hop = NextHop::from(addr.parse::<IpAddr>().unwrap());
        view.resolve(next_hop, None).yields_to
    };
    let mut view = view();
    assert_eq!(
        yields_to(&view, "192.0.2.1"),
        Some(0),
        "also to a default route"
    );
    let routes = [
        ("0.0.0.0/0", 16, 100, via("10.0.2.254", 2)),
        ("172.16.0.0/12", 4, 0, via("10.0.2.254", 2)),
        // A part of a subnet of our own, elsewhere.
        ("10.0.2.128/25", 4, 0, via("10.0.2.254", 2)),
    ];
    for (prefix, protocol, metric, to) in routes {
        view.on_event(&KernelEvent::Route(route(prefix, protocol, metric, to)));
    }
    assert_eq!(yields_to(&view, "192.0.2.1"), Some(1));
    assert_eq!(yields_to(&view, "172.16.9.9"), Some(13));
    for settled in ["10.0.2.9", "10.0.2.1", "10.0.2.200", "224.0.0.1"] {
        assert_eq!(yields_to(&view, settled), None, "{settled}");
    }
    let strict = view_with(ResolverConfig {
        allow_default: false,
        ..ResolverConfig::default()
    });
    assert_eq!(yields_to(&strict, "192.0.2.1"), Some(1));
}

#[test]
fn routes_of_bgp_do_not_count() {
    let mut view = view();
    let before = view.generation();
    view.on_event(&KernelEvent::Route(route(
        "192.0.2.0/24",
        186,
        20,
        via("10.0.2.9", 2),
    )));
    assert_eq!(ask(&view, "192.0.2.1"), Err(Unresolved::NoRoute));
    assert_eq!(view.generation(), before);
}

#[test]
fn a_host_route_beats_the_subnet_it_lies_in() {
    let mut view = view();
    view.on_event(&KernelEvent::Route(route(
        "10.0.2.9/32",
        4,
        0,
        via("10.0.3.254", 3),
    )));
    assert_eq!(ask(&view, "10.0.2.9"), resolved("10.0.3.254", 3, 0));
    view.on_event(&KernelEvent::RouteGone(route(
        "10.0.2.9/32",
        4,
        0,
        via("10.0.3.254", 3),
    )));
    assert_eq!(ask(&view, "10.0.2.9"), resolved("10.0.2.9", 2, 0));
}

#[test]
fn the_lowest_metric_wins_and_the_next_takes_over() {
    let mut view = view();
    let better = route("172.16.0.0/12", 16, 7, via("10.0.2.254", 2));
    view.on_event(&KernelEvent::Route(better.clone()));
    assert_eq!(ask(&view, "172.16.0.1"), resolved("10.0.2.254", 2, 7));
    view.on_event(&KernelEvent::RouteGone(better));
    assert_eq!(ask(&view, "172.16.0.1"), resolved("10.0.3.254", 3, 50));
}

#[test]
fn of_subnets_that_overlap_those_count_whose_vrf_leads_to_next_hops() {
    let red = 100;
    let with_vrf = |table| {
        let mut view = view_with(ResolverConfig {
            table,
            ..ResolverConfig::default()
        });
        let vrf = Link {
            vrf_table: Some(red),
            ..link(9, true, true)
        };
        let port = Link {
            controller: Some(9),
            ..link(5, true, true)
        };
        view.on_event(&KernelEvent::Link(port));
        view.on_event(&KernelEvent::Link(vrf));
        // The same subnet as that of eth2, and our own address is somebody else's here.
        view.on_event(&KernelEvent::Address(address(5, "10.0.2.7", 24)));
        view
    };
    let own = Err(Unresolved::OwnAddress);
    let [main, vrf, other] = [FibConfig::TABLE_MAIN, red, 7].map(with_vrf);
    for view in [&main, &other] {
        assert_eq!(ask(view, "10.0.2.9"), resolved("10.0.2.9", 2, 0));
        assert_eq!(ask(view, "10.0.2.7"), resolved("10.0.2.7", 2, 0));
        assert_eq!(ask(view, "10.0.2.1"), own);
    }
    assert_eq!(ask(&vrf, "10.0.2.9"), resolved("10.0.2.9", 5, 0));
    assert_eq!(ask(&vrf, "10.0.2.1"), resolved("10.0.2.1", 5, 0));
    assert_eq!(ask(&vrf, "10.0.2.7"), own);
    // Where nothing overlaps, it makes no difference: neighbours in a VRF and others can be had side by side.
    assert_eq!(ask(&vrf, "10.0.3.9"), resolved("10.0.3.9", 3, 0));
    assert_eq!(ask(&vrf, "10.0.3.1"), own);

    // It leaves the VRF, and there is no other link in it.
    let mut view = vrf;
    let before = view.generation();
    view.on_event(&KernelEvent::Link(link(5, true, true)));
    assert!(view.generation() > before);
    assert_eq!(ask(&view, "10.0.2.1"), own);
    // It becomes a port of a bridge, which is no news for next hops.
    let before = view.generation();
    let port = Link {
        controller: Some(4),
        ..link(5, true, true)
    };
    view.on_event(&KernelEvent::Link(port));
    assert_eq!(view.generation(), before);
}

#[test]
fn a_link_without_carrier_resolves_nothing_until_it_is_back() {
    let mut view = view();
    view.on_event(&KernelEvent::Link(link(3, true, false)));
    assert_eq!(ask(&view, "10.0.3.9"), Err(Unresolved::LinkDown));
    assert_eq!(ask(&view, "172.16.0.1"), Err(Unresolved::LinkDown));
    view.on_event(&KernelEvent::Link(link(3, true, true)));
    assert_eq!(ask(&view, "172.16.0.1"), resolved("10.0.3.254", 3, 50));
}

#[test]
fn a_link_that_goes_down_takes_its_static_routes_along_for_good() {
    let mut view = view();
    view.on_event(&KernelEvent::Link(link(3, false, false)));
    assert_eq!(ask(&view, "10.0.3.9"), Err(Unresolved::LinkDown));
    view.on_event(&KernelEvent::Link(link(3, true, true)));
    assert_eq!(ask(&view, "10.0.3.9"), resolved("10.0.3.9", 3, 0));
    assert_eq!(ask(&view, "172.16.0.1"), Err(Unresolved::NoRoute));
}

#[test]
fn a_dead_leg_is_left_out() {
    let mut view = view();
    let legs: NexthopSet = [
        Gateway::via("10.0.2.254".parse().unwrap(), 2),
        Gateway::via("10.0.3.254".parse().unwrap(), 3),
    ]
    .into_iter()
    .collect();
    view.on_event(&KernelEvent::Route(route(
        "192.0.2.0/24",
        4,
        0,
        RouteAction::Forward(legs),
    )));
    assert_eq!(ask(&view, "192.0.2.1").unwrap().gateways.len(), 2);
    view.on_event(&KernelEvent::Link(link(3, false, false)));
    assert_eq!(ask(&view, "192.0.2.1"), resolved("10.0.2.254", 2, 0));
}

#[test]
fn a_link_local_next_hop_is_used_on_the_link_of_the_session() {
    let view = view();
    let peer: Ipv6Addr = "fe80::9".parse().unwrap();
    let global = "fd00:2::9".parse().unwrap();
    let both = NextHop::V6LinkLocal {
        global,
        link_local: peer,
    };
    assert_eq!(view.resolve(both, Some(2)).state, resolved("fe80::9", 2, 0));
    assert_eq!(view.resolve(both, None).state, resolved("fd00:2::9", 2, 0));
    assert_eq!(
        view.resolve(NextHop::V6(peer), Some(2)).state,
        resolved("fe80::9", 2, 0)
    );
    assert_eq!(
        view.resolve(NextHop::V6(peer), Some(9)).state,
        Err(Unresolved::LinkDown)
    );
    let own = NextHop::V6("fe80::2".parse().unwrap());
    assert_eq!(
        view.resolve(own, Some(2)).state,
        Err(Unresolved::OwnAddress)
    );
    assert!(view.resolve(own, Some(3)).state.is_ok());
}

#[test]
fn the_generation_moves_only_with_a_change() {
    let mut view = view();
    let before = view.generation();
    view.on_event(&KernelEvent::Link(link(3, true, true)));
    view.on_event(&KernelEvent::Address(address(3, "10.0.3.1", 24)));
    view.on_event(&KernelEvent::Route(route(
        "172.20.0.0/16",
        4,
        5,
        RouteAction::Blackhole,
    )));
    view.on_event(&KernelEvent::RouteGone(route(
        "198.51.100.0/24",
        4,
        5,
        RouteAction::Blackhole,
    )));
    assert_eq!(view.generation(), before);
    view.on_event(&KernelEvent::AddressGone(address(3, "10.0.3.1", 24)));
    assert_eq!(view.generation(), before + 1);
}

#[test]
fn a_route_that_only_names_an_object_leads_where_the_object_does() {
    use crate::fib::{Group, KernelNexthop, Leg, Member, NexthopId, NexthopSpec};
    use redstart_bgp::types::Family;

    let mut view = view_with(ResolverConfig::default());
    let nexthop = |id, spec| {
        KernelEvent::Nexthop(KernelNexthop {
            id: NexthopId(id),
            protocol: 11,
            spec: Some(spec),
        })
    };
    let gateway = Gateway::via("10.0.3.7".parse().unwrap(), 3);
    let leg = NexthopSpec::Leg(Leg::of(&gateway, Family::Ipv4Unicast));
    let member = Member {
        leg: NexthopId(1),
        weight: 1,
    };
    let group = NexthopSpec::Group(Group {
        members: [member].into_iter().collect(),
        resilient: None,
    });
    view.on_event(&nexthop(1, leg));
    view.on_event(&nexthop(2, group));
    let route = KernelRoute {
        nexthop: Some(NexthopId(2)),
        ..route(
            "192.0.2.0/24",
            11,
            20,
            RouteAction::Forward(NexthopSet::default()),
        )
    };
    view.on_event(&KernelEvent::Route(route));
    let next_hop = NextHop::from(IpAddr::from([192, 0, 2, 1]));
    let there = view.resolve(next_hop, None).state.unwrap();
    assert_eq!(there.gateways.as_slice(), [gateway]);
    view.on_event(&KernelEvent::NexthopGone(NexthopId(2)));
    assert!(view.resolve(next_hop, None).state.is_err());
}

#[test]
fn the_default_gateways_are_those_that_the_kernel_would_use() {
    let mut view = view_with(ResolverConfig::default());
    let found = |view: &KernelView, family: Family| -> Vec<String> {
        let gateways = view.default_gateways(family);
        let via = gateways.iter().filter_map(|gateway| gateway.via);
        via.map(|via| via.to_string()).collect()
    };
    let (v4, v6) = (Family::Ipv4Unicast, Family::Ipv6Unicast);
    let none: [&str; 0] = [];
    assert_eq!(found(&view, v4), none);
    // One that BGP made does not count, nor does one without a gateway.
    let ours = route("0.0.0.0/0", FibConfig::PROTOCOL_BGP, 20, via("10.0.3.9", 3));
    view.on_event(&KernelEvent::Route(ours));
    view.on_event(&KernelEvent::Route(route("0.0.0.0/0", 4, 50, device(2))));
    assert_eq!(found(&view, v4), none);
    let far = route("0.0.0.0/0", 4, 200, via("10.0.3.254", 3));
    view.on_event(&KernelEvent::Route(far));
    assert_eq!(found(&view, v4), ["10.0.3.254"]);
    let near = route("0.0.0.0/0", 4, 100, via("10.0.2.254", 2));
    view.on_event(&KernelEvent::Route(near));
    assert_eq!(found(&view, v4), ["10.0.2.254"]);
    assert_eq!(found(&view, v6), none);
    let router = route("::/0", 9, 1024, via("fe80::1", 2));
    view.on_event(&KernelEvent::Route(router));
    assert_eq!(found(&view, v6), ["fe80::1"]);
    // Without carrier the next best one is used.
    view.on_event(&KernelEvent::Link(link(2, true, false)));
    assert_eq!(found(&view, v4), ["10.0.3.254"]);
    assert_eq!(found(&view, v6), none);
}

/// One gateway of several goes, and comes back: the others stay. IPv6 tells of it as of a route with that
/// gateway; what Router Advertisements bring is a route for each router.
#[test]
fn several_default_gateways_come_and_go_one_by_one() {
    let legs = |all: &[(&str, u32)]| {
        let legs = all.iter();
        let legs = legs.map(|(addr, link)| Gateway::via(addr.parse().unwrap(), *link));
        RouteAction::Forward(legs.collect())
    };
    let found = |view: &KernelView, family: Family| -> Vec<String> {
        let gateways = view.default_gateways(family);
        let via = gateways.iter().filter_map(|gateway| gateway.via);
        via.map(|via| via.to_string()).collect()
    };
    let (v4, v6) = (Family::Ipv4Unicast, Family::Ipv6Unicast);
    let come = |view: &mut KernelView, prefix: &str, protocol, action| {
        view.on_event(&KernelEvent::Route(route(prefix, protocol, 100, action)));
    };
    let gone = |view: &mut KernelView, prefix: &str, protocol, action| {
        view.on_event(&KernelEvent::RouteGone(route(
            prefix, protocol, 100, action,
        )));
    };
    let mut view = view();
    let both = legs(&[("10.0.2.254", 2), ("10.0.3.254", 3)]);
    come(&mut view, "0.0.0.0/0", 4, both.clone());
    assert_eq!(found(&view, v4), ["10.0.2.254", "10.0.3.254"]);
    // One leg has no carrier.
    view.on_event(&KernelEvent::Link(link(3, true, false)));
    assert_eq!(found(&view, v4), ["10.0.2.254"]);
    view.on_event(&KernelEvent::Link(link(3, true, true)));
    gone(&mut view, "0.0.0.0/0", 4, both);
    assert_eq!(found(&view, v4), [""; 0]);

    for protocol in [4, 9] {
        let advertised = protocol == 9;
        come(&mut view, "::/0", protocol, legs(&[("fe80::11", 2)]));
        // The kernel tells of the whole set, and of an advertised route alone.
        let second = match advertised {
            true => legs(&[("fe80::12", 2)]),
            false => legs(&[("fe80::11", 2), ("fe80::12", 2)]),
        };
        come(&mut view, "::/0", protocol, second);
        assert_eq!(found(&view, v6), ["fe80::11", "fe80::12"], "{protocol}");
        gone(&mut view, "::/0", protocol, legs(&[("fe80::11", 2)]));
        assert_eq!(found(&view, v6), ["fe80::12"], "{protocol}");
        // It was not there any more.
        let before = view.generation();
        gone(&mut view, "::/0", protocol, legs(&[("fe80::11", 2)]));
        assert_eq!(view.generation(), before);
        gone(&mut view, "::/0", protocol, legs(&[("fe80::12", 2)]));
        assert_eq!(found(&view, v6), [""; 0], "{protocol}");
    }
    // Beside somebody's own route of that metric, the advertised one takes nothing away.
    come(&mut view, "::/0", 4, legs(&[("fe80::13", 2)]));
    come(&mut view, "::/0", 9, legs(&[("fe80::11", 2)]));
    assert_eq!(found(&view, v6), ["fe80::13"]);
    gone(&mut view, "::/0", 9, legs(&[("fe80::11", 2)]));
    assert_eq!(found(&view, v6), ["fe80::13"]);
}
