//! Words of the objects, words of engine and RIB.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use redstart_bgp::types::{Asn, RouterId};

use redstart_rib::{PeerPolicies, PeerRules};

use super::*;
use crate::{
    compile::{AddPath, Remote, Ttl},
    object::ObjectRef,
};

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

/// RFC 4271 section 4.2: the BGP Identifier "is the same for every local interface and BGP peer".
#[test]
fn every_neighbour_is_shown_the_identifier_of_the_node() {
    let over_v6 = compile::Peer {
        remote: Remote::Address((V6, 179).into()),
        local: Some(V6.into()),
        ..router()
    };
    let within = compile::Peer {
        role: PeerRole::Mesh {
            node: "n2".to_owned(),
        },
        remote_as: compile::RemoteAs::Internal,
        local_as: node().asn,
        ..router()
    };
    for peer in [router(), over_v6, within] {
        let session = session(&peer, &node(), Restarted::default());
        assert_eq!(session.router_id, node().router_id, "{peer:?}");
    }
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
fn a_metric_of_zero_marks_nothing() {
    let kernel = |metric| compile::Kernel {
        metric,
        ..compile::Kernel::default()
    };
    assert_eq!(fib(&kernel(0)), None);
    assert_eq!(fib(&kernel(7)).unwrap().metric.get(), 7);
}
