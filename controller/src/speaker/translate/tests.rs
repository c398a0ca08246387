//! Words of the objects, words of engine and RIB.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use redstart_bgp::types::{Asn, RouterId};

use redstart_rib::{PeerPolicies, PeerRules};

use super::*;
use crate::compile::{AddPath, Remote, Ttl};

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

fn router() -> compile::Peer {
    compile::Peer {
        source: ObjectRef {
            kind: "BGPPeer".to_owned(),
            name: "tor".to_owned(),
        },
        role: PeerRole::Router,
        remote: Remote::Address(([10, 0, 0, 254], 179).into()),
        bind_interface: None,
        local: None,
        remote_as: compile::RemoteAs::External,
        local_as: Asn(64999),
        families: [Family::Ipv4Unicast].into_iter().collect(),
        passive: false,
        hold_time: 90,
        connect_retry: Duration::from_secs(5),
        ttl: Ttl::Hops(1),
        graceful_restart: Some(120),
        password: None,
        delay_open: None,
        send_hold: None,
        extended_next_hop: false,
        tcp_ao: Vec::new(),
        import: Import::Owner("n1".to_owned()),
        long_lived: 0,
        rules: PeerRules::default(),
        transit: false,
        limit_restart: None,
        add_path: AddPath::default(),
        bgp_role: None,
        strict_role: false,
        policies: PeerPolicies::default(),
        bfd: None,
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
    let own = |global, extended| {
        let link = OnLink {
            global,
            ..OnLink::default()
        };
        next_hop_self(&node(), link_local.into(), link, extended)
    };
    let alone = NextHop::V6LinkLocal {
        global: link_local,
        link_local,
    };
    let both = NextHop::V6LinkLocal {
        global: V6,
        link_local,
    };
    let rows = [
        (None, true, Some(alone), Some(alone)),
        (Some(V6), true, Some(both), Some(both)),
        // Without RFC 8950 there is the node's address, for whoever can do something with it.
        (None, false, Some(NextHop::V4(V4)), Some(alone)),
    ];
    for (global, extended, v4, v6) in rows {
        let next_hops = own(global, extended);
        assert_eq!(
            (next_hops.v4, next_hops.v6),
            (v4, v6),
            "{global:?}, {extended}"
        );
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

#[test]
fn an_open_offers_what_the_object_asks_for() {
    let plain = session(&router(), &node(), Restarted::default());
    assert_eq!((plain.long_lived, plain.role), (None, None));
    assert!(plain.add_path_receive.is_empty() && plain.add_path_send.is_empty());
    let asked = compile::Peer {
        long_lived: 86_400,
        add_path: AddPath {
            receive: true,
            send: true,
        },
        bgp_role: Some(Role::Customer),
        strict_role: true,
        delay_open: Some(Duration::from_secs(7)),
        send_hold: Some(Duration::from_secs(30)),
        extended_next_hop: true,
        ..router()
    };
    let config = session(&asked, &node(), Restarted::default());
    let long_lived = config.long_lived.unwrap();
    assert_eq!(long_lived.stale_time, 86_400);
    assert_eq!(long_lived.families, asked.families);
    assert_eq!(config.add_path_receive, asked.families);
    assert_eq!(config.add_path_send, asked.families);
    assert_eq!((config.role, config.strict_role), (asked.bgp_role, true));
    assert_eq!(config.delay_open, asked.delay_open);
    assert_eq!(config.send_hold, asked.send_hold);
    assert!(config.extended_next_hop);
}

#[test]
fn an_open_promises_what_the_kernel_kept_of_the_families_of_the_session() {
    let restarted = Restarted {
        restarting: true,
        forwarding: FamilySet::ALL,
    };
    let config = session(&router(), &node(), restarted);
    let restart = config.graceful_restart.unwrap();
    assert!(restart.restarting && restart.notification);
    assert_eq!(restart.restart_time, 120);
    assert_eq!(restart.forwarding_preserved, router().families);

    let first = session(&router(), &node(), Restarted::default());
    let restart = first.graceful_restart.unwrap();
    assert!(!restart.restarting && restart.forwarding_preserved.is_empty());

    let without = compile::Peer {
        graceful_restart: None,
        ..router()
    };
    let config = session(&without, &node(), restarted);
    assert_eq!(config.graceful_restart, None);
}

#[test]
fn only_address_and_role_make_another_neighbour() {
    let old = router();
    let same = compile::Peer {
        local_as: Asn(1),
        remote_as: compile::RemoteAs::Number(Asn(2)),
        hold_time: 3,
        passive: true,
        families: FamilySet::ALL,
        ..router()
    };
    assert!(!is_another(&old, &same));
    let moved = compile::Peer {
        remote: Remote::Address(([10, 0, 0, 253], 179).into()),
        ..router()
    };
    assert!(is_another(&old, &moved));
    let joined = compile::Peer {
        role: PeerRole::Mesh {
            node: "n2".to_owned(),
        },
        ..router()
    };
    assert!(is_another(&old, &joined));
}

#[test]
fn an_advertisement_reaches_the_neighbours_that_there_are() {
    let name = |name: &str| PeerName(name.to_owned());
    let object = router().source;
    let advertise = compile::Advertise {
        source: object.clone(),
        peers: [name("tor"), name("gone")].into(),
        communities: [].into(),
        large_communities: [].into(),
        extended_communities: [].into(),
        local_pref: Some(200),
        med: None,
        prepend: 2,
    };
    let prefix: Prefix = "10.244.1.0/24".parse().unwrap();
    let origination = compile::Origination {
        object,
        advertise: vec![advertise],
        blackhole: true,
    };
    let ids = [
        (name("tor"), vec![PeerId(7), PeerId(9)]),
        (name("other"), vec![PeerId(8)]),
    ]
    .into();
    let made = originations(&[(prefix, Arc::new(origination))].into(), &ids);
    assert!(made[&prefix].blackhole);
    let advertise = &made[&prefix].advertise[0];
    assert_eq!(
        advertise.to,
        PeerSelector::Peers([PeerId(7), PeerId(9)].into())
    );
    assert_eq!((advertise.local_pref, advertise.prepend), (Some(200), 2));
}

#[test]
fn a_metric_of_zero_marks_nothing() {
    let kernel = |metric| compile::Kernel {
        metric,
        ..compile::Kernel::default()
    };
    assert_eq!(fib(&kernel(0)), None);
    assert_eq!(fib(&kernel(7)).unwrap().metric.get(), 7);
}
