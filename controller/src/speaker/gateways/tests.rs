use std::sync::Arc;

use redstart_rib::{
    fib::{Dump, FibConfig, KernelEvent, KernelRoute, Link, RouteAction},
    resolver::ResolverConfig,
};

use super::*;

fn view(routes: &[(&str, &[&str])]) -> KernelView {
    let route = |(prefix, via): &(&str, &[&str])| {
        let legs = via.iter().map(|via| Gateway::via(via.parse().unwrap(), 2));
        KernelRoute {
            prefix: prefix.parse().unwrap(),
            table: FibConfig::TABLE_MAIN,
            protocol: 4,
            metric: 100,
            action: RouteAction::Forward(legs.collect()),
            prefsrc: None,
            nexthop: None,
        }
    };
    let link = Link {
        ifindex: 2,
        name: "eth0".to_owned(),
        up: true,
        carrier: true,
        loopback: false,
        controller: None,
        vrf_table: None,
    };
    let mut view = KernelView::new(ResolverConfig::default());
    view.on_event(&KernelEvent::Synced(Arc::new(Dump {
        links: vec![link],
        routes: routes.iter().map(route).collect(),
        ..Dump::default()
    })));
    view
}

/// Names and places of the neighbours, and why others are not.
fn looked(family: Family, view: &KernelView, taken: &Taken) -> (Vec<String>, Vec<Reason>) {
    let remote = Remote::DefaultGateway { family, port: 179 };
    let mut route = DefaultRoute::of(&remote).unwrap();
    route.look(Instant::ZERO, &PeerName("gw".to_owned()), view, taken);
    let places = route.places.iter();
    let places = places.map(|(name, at)| format!("{name} {at}")).collect();
    let reasons = route.trouble.iter().map(|(reason, _)| *reason).collect();
    (places, reasons)
}

#[test]
fn every_gateway_of_the_default_route_is_a_neighbour_in_both_families() {
    let view = view(&[
        ("0.0.0.0/0", &["192.0.2.1", "192.0.2.2"]),
        ("::/0", &["2001:db8::1", "fe80::1"]),
    ]);
    let nobody = Taken::default();
    let (places, reasons) = looked(Family::Ipv4Unicast, &view, &nobody);
    assert_eq!(
        places,
        ["gw-192.0.2.1 192.0.2.1:179", "gw-192.0.2.2 192.0.2.2:179"]
    );
    assert_eq!(reasons, []);
    let (places, reasons) = looked(Family::Ipv6Unicast, &view, &nobody);
    assert_eq!(
        places,
        [
            "gw-2001:db8::1 [2001:db8::1]:179",
            "gw-fe80::1%2 [fe80::1%2]:179"
        ]
    );
    assert_eq!(reasons, []);
}

#[test]
fn a_gateway_that_is_a_neighbour_already_is_left_to_that_and_the_others_are_not() {
    let view = view(&[("0.0.0.0/0", &["192.0.2.1", "192.0.2.2", "192.0.2.3"])]);
    let taken = Taken {
        spots: BTreeSet::from([("192.0.2.2".parse().unwrap(), 0)]),
        names: BTreeSet::from([PeerName("gw-192.0.2.3".to_owned())]),
        ..Taken::default()
    };
    let (places, reasons) = looked(Family::Ipv4Unicast, &view, &taken);
    assert_eq!(places, ["gw-192.0.2.1 192.0.2.1:179"]);
    assert_eq!(
        reasons,
        [Reason::DuplicatePeerAddress, Reason::DuplicatePeerName]
    );
    let (places, reasons) = looked(Family::Ipv6Unicast, &view, &taken);
    assert_eq!(places, [""; 0]);
    assert_eq!(reasons, [Reason::NoDefaultGateway]);
}

/// Before the router there is found as well, so that a start has no session that ends when it is.
#[test]
fn a_link_local_gateway_is_left_to_the_peer_of_its_interface() {
    let view = view(&[("::/0", &["2001:db8::1", "fe80::1"])]);
    let on = |interface: &str| Taken {
        interfaces: BTreeSet::from([interface.to_owned()]),
        ..Taken::default()
    };
    let (places, reasons) = looked(Family::Ipv6Unicast, &view, &on("eth0"));
    assert_eq!(places, ["gw-2001:db8::1 [2001:db8::1]:179"]);
    assert_eq!(reasons, [Reason::DuplicatePeerAddress]);
    let (places, reasons) = looked(Family::Ipv6Unicast, &view, &on("eth1"));
    assert_eq!((places.len(), reasons), (2, vec![]));
}

/// As a restart of networkd looks: the route goes and comes back.
#[test]
fn without_a_default_route_the_last_gateways_stay_for_a_while() {
    let with = view(&[("0.0.0.0/0", &["192.0.2.1"])]);
    let (without, other) = (view(&[]), view(&[("0.0.0.0/0", &["192.0.2.2"])]));
    let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
    let remote = Remote::DefaultGateway {
        family: Family::Ipv4Unicast,
        port: 179,
    };
    let mut route = DefaultRoute::of(&remote).unwrap();
    let mut nobody = Taken::default();
    let mut looked = |seconds, view: &KernelView, taken: &Taken| {
        route.look(at(seconds), &PeerName("gw".to_owned()), view, taken);
        let addresses = route.places.values().map(|at| at.ip().to_string());
        let reason = route.trouble.first().map(|(reason, _)| *reason);
        (addresses.collect::<Vec<_>>().join(" "), reason)
    };
    let is = |address: &str| (address.to_owned(), None);
    assert_eq!(looked(0, &with, &nobody), is("192.0.2.1"));
    assert_eq!(looked(1, &without, &nobody), is("192.0.2.1"));
    assert_eq!(looked(10, &without, &nobody), is("192.0.2.1"));
    // It is back: the next gap is another one.
    assert_eq!(looked(10, &with, &nobody), is("192.0.2.1"));
    assert_eq!(looked(12, &without, &nobody), is("192.0.2.1"));
    assert_eq!(looked(21, &without, &nobody), is("192.0.2.1"));
    // Another one is the gateway: at once.
    assert_eq!(looked(21, &other, &nobody), is("192.0.2.2"));
    assert_eq!(looked(30, &without, &nobody), is("192.0.2.2"));
    let gone = (String::new(), Some(Reason::NoDefaultGateway));
    assert_eq!(looked(40, &without, &nobody), gone);
    // Meanwhile the objects may have given the address to another neighbour.
    assert_eq!(looked(50, &with, &nobody), is("192.0.2.1"));
    nobody.spots.insert(("192.0.2.1".parse().unwrap(), 0));
    assert_eq!(looked(51, &without, &nobody), gone);
}
