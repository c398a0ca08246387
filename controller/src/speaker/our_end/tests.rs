//! What the neighbour is told as our next hop, on links that change.

use std::net::Ipv4Addr;

use redstart_bgp::types::{Asn, RouterId};
use redstart_rib::{fib::KernelEvent, resolver::ResolverConfig};

use super::*;
use crate::speaker::tests::negotiated;

const V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

fn node() -> NodeIdentity {
    NodeIdentity {
        name: "n1".to_owned(),
        asn: Asn(64512),
        router_id: RouterId(V4),
        ipv4: Some(V4),
        ipv6: Some(V6),
    }
}

#[test]
fn the_next_hop_is_our_end_of_the_session_and_the_nodes_address_for_the_other_family() {
    let next_hops = |local: &str, extended| {
        let own = next_hop_self(&node(), local.parse().unwrap(), OnLink::default(), extended);
        (own.v4.map(NextHop::addr), own.v6.map(NextHop::addr))
    };
    let text = |v4: &str, v6: &str| (v4.parse().ok(), v6.parse().ok());
    for extended in [false, true] {
        let over_v4 = next_hops("10.9.0.1", extended);
        assert_eq!(over_v4, text("10.9.0.1", "fd00::1"));
    }
    let over_v6 = next_hops("fd09::1", false);
    assert_eq!(over_v6, text("10.0.0.1", "fd09::1"));
    let extended = next_hops("fd09::1", true);
    assert_eq!(extended, text("fd09::1", "fd09::1"), "RFC 8950");
    // A node without an IPv4 address has no other next hop for IPv4 routes (RFC 8950).
    let lone = NodeIdentity {
        ipv4: None,
        ..node()
    };
    let own = |extended| {
        next_hop_self(
            &lone,
            "fd09::1".parse().unwrap(),
            OnLink::default(),
            extended,
        )
        .v4
    };
    assert_eq!(own(false), None);
    assert_eq!(own(true).map(NextHop::addr), "fd09::1".parse().ok());
}

#[test]
fn on_an_unnumbered_session_the_next_hop_is_our_link_local_address() {
    let link_local: Ipv6Addr = "fe80::1".parse().unwrap();
    let own = |extended| next_hop_self(&node(), link_local.into(), OnLink::default(), extended);
    let alone = NextHop::V6LinkLocal {
        global: link_local,
        link_local,
    };
    // Without RFC 8950 there is the node's address, for whoever can do something with it.
    for (extended, v4) in [(true, alone), (false, NextHop::V4(V4))] {
        let next_hops = own(extended);
        let expected = (Some(v4), Some(alone));
        assert_eq!((next_hops.v4, next_hops.v6), expected, "{extended}");
    }
}

#[test]
fn on_a_shared_subnet_the_next_hop_is_both_of_our_addresses() {
    let link_local: Ipv6Addr = "fe80::1".parse().unwrap();
    let global: Ipv6Addr = "fd09::1".parse().unwrap();
    let own = |link_local| {
        let link = OnLink {
            link_local,
            ..OnLink::default()
        };
        next_hop_self(&node(), global.into(), link, true)
    };
    let both = NextHop::V6LinkLocal { global, link_local };
    let shared = own(Some(link_local));
    assert_eq!((shared.v4, shared.v6), (Some(both), Some(both)));
    assert_eq!(own(None).v6, Some(NextHop::V6(global)));
}

fn on(ifindex: u32, text: &str) -> LinkAddress {
    let (addr, len) = text.split_once('/').unwrap();
    let addr = addr.parse().unwrap();
    LinkAddress {
        ifindex,
        addr,
        subnet: Prefix::new(addr, len.parse().unwrap()).unwrap(),
    }
}

/// Links with these addresses.
fn links(addresses: &[(u32, &str)]) -> KernelView {
    let mut links = KernelView::new(ResolverConfig::default());
    for (ifindex, text) in addresses {
        links.on_event(&KernelEvent::Address(on(*ifindex, text)));
    }
    links
}

/// A session between these two addresses.
fn between(local: &str, remote: &str) -> Negotiated {
    Negotiated {
        local_addr: local.parse().unwrap(),
        remote_addr: remote.parse().unwrap(),
        ..negotiated([0; 4])
    }
}

#[test]
fn a_link_local_address_goes_along_where_both_ends_are_on_one_subnet() {
    let links = links(&[(2, "fe80::2/64"), (3, "fd00::1/64"), (3, "fe80::3/64")]);
    let shared = |local: &str, remote: &str| {
        OnLink::of(&between(local, remote), &links, OnLink::default()).link_local
    };
    assert_eq!(
        shared("[fd00::1]:179", "[fd00::2]:179"),
        "fe80::3".parse().ok()
    );
    let behind_a_router = shared("[fd00::1]:179", "[fd01::2]:179");
    assert_eq!(behind_a_router, None);
    assert_eq!(shared("10.0.0.1:179", "10.0.0.2:179"), None);
}

#[test]
fn a_subnet_is_the_one_that_the_neighbour_is_in_and_outlives_our_address() {
    let session = between("10.0.0.1:179", "10.0.0.2:179");
    let mut links = links(&[(1, "10.0.0.1/32")]);
    let host = OnLink::of(&session, &links, OnLink::default());
    assert_eq!(host.subnet, "10.0.0.1/32".parse().ok());
    links.on_event(&KernelEvent::Address(on(2, "10.0.0.1/24")));
    let shared = OnLink::of(&session, &links, host);
    assert_eq!(shared.subnet, "10.0.0.0/24".parse().ok());
    for gone in [on(1, "10.0.0.1/32"), on(2, "10.0.0.1/24")] {
        links.on_event(&KernelEvent::AddressGone(gone));
    }
    assert_eq!(OnLink::of(&session, &links, shared), shared);
}

#[test]
fn the_address_in_use_stays_in_use_while_it_is_there() {
    let session = between("[fd09::1]:179", "[fd09::2]:179");
    let mut links = links(&[(3, "fe80::3/64"), (4, "fd09::1/64")]);
    let beside = |links: &KernelView, before| {
        let link = OnLink::of(&session, links, before);
        (link, link.link_local.map(|addr| addr.to_string()))
    };
    let (link, none) = beside(&links, OnLink::default());
    assert_eq!(none, None);
    links.on_event(&KernelEvent::Address(on(4, "fe80::5/64")));
    let (link, first) = beside(&links, link);
    assert_eq!(first.as_deref(), Some("fe80::5"));
    // One that sorts before it comes later.
    links.on_event(&KernelEvent::Address(on(4, "fe80::1/64")));
    let (link, kept) = beside(&links, link);
    assert_eq!(kept.as_deref(), Some("fe80::5"));
    links.on_event(&KernelEvent::AddressGone(on(4, "fe80::5/64")));
    let (link, next) = beside(&links, link);
    assert_eq!(next.as_deref(), Some("fe80::1"));
    links.on_event(&KernelEvent::AddressGone(on(4, "fe80::1/64")));
    assert_eq!(beside(&links, link).1, None);
}
