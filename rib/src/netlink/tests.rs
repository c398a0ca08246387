//! Messages both ways, without a kernel. The real kernel is in `tests/netlink.rs`.

use std::{num::NonZeroU32, sync::Arc};

use netlink_packet_core::{
    NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkMessage};

use super::{decode, encode};
use crate::{
    fib::{Change, KernelEvent, KernelOp, OpId, Route, RouteKey, RouteKind},
    nexthop::Gateway,
};

fn key(prefix: &str, table: u32) -> RouteKey {
    RouteKey {
        prefix: prefix.parse().unwrap(),
        table,
        protocol: 186,
        metric: NonZeroU32::new(179).unwrap(),
    }
}

/// Encodes, serialises, parses and decodes.
fn round_trip(op: &KernelOp) -> (u16, Option<KernelEvent>) {
    let mut message = encode::message(op);
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    let parsed = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&octets).unwrap();
    (parsed.header.flags, decode::event(parsed))
}

fn gateway(via: Option<&str>, ifindex: u32, onlink: bool, weight: u8) -> Gateway {
    Gateway {
        via: via.map(|v| v.parse().unwrap()),
        ifindex,
        onlink,
        weight,
    }
}

fn unicast(gateways: &[Gateway]) -> Route {
    Route {
        kind: RouteKind::Unicast(gateways.iter().copied().collect()),
        prefsrc: None,
    }
}

/// Each kind of route that the planner may ask for.
fn routes() -> Vec<(&'static str, Route)> {
    let v4 = gateway(Some("10.0.0.1"), 2, false, 1);
    let onlink = gateway(Some("10.0.0.1"), 2, true, 1);
    let direct = gateway(None, 2, false, 1);
    let v6 = gateway(Some("fe80::1"), 2, false, 1);
    let heavy = gateway(Some("fe80::1"), 3, true, 255);
    let sourced = Route {
        prefsrc: Some([10, 0, 0, 9].into()),
        ..Route::blackhole()
    };
    vec![
        ("10.1.0.0/16", unicast(&[v4])),
        ("10.1.0.0/16", unicast(&[onlink])),
        ("10.1.0.0/16", unicast(&[direct])),
        ("10.1.0.0/16", unicast(&[v6])),
        ("10.1.0.0/16", unicast(&[v4, heavy])),
        ("10.1.0.0/16", sourced),
        ("0.0.0.0/0", unicast(&[v4])),
        ("fd01::/64", unicast(&[v6])),
        ("fd01::/64", unicast(&[v6, heavy])),
        ("fd01::/64", Route::blackhole()),
    ]
}

#[test]
fn routes_survive_the_round_trip() {
    for (prefix, route) in routes() {
        for table in [254, 1000] {
            let key = key(prefix, table);
            let change = Change::Add(Arc::new(route.clone()));
            let id = OpId(1);
            let (_, event) = round_trip(&KernelOp { id, key, change });
            let Some(KernelEvent::Route(there)) = event else {
                panic!("{prefix}: {event:?}");
            };
            assert_eq!(there.to_route(), Some(route.clone()), "{prefix}");
            assert_eq!((there.prefix, there.table), (key.prefix, table));
            assert_eq!((there.protocol, there.metric), (186, 179));
        }
    }
}

#[test]
fn an_add_is_exclusive_and_a_replace_is_not() {
    let route = Arc::new(Route::blackhole());
    let flags = |change| {
        let key = key("10.1.0.0/16", 254);
        round_trip(&KernelOp {
            id: OpId(1),
            key,
            change,
        })
        .0
    };
    let mask = NLM_F_CREATE | NLM_F_EXCL | NLM_F_REPLACE;
    assert_eq!(
        flags(Change::Add(Arc::clone(&route))) & mask,
        NLM_F_CREATE | NLM_F_EXCL
    );
    assert_eq!(
        flags(Change::Replace(route)) & mask,
        NLM_F_CREATE | NLM_F_REPLACE
    );
    assert_eq!(flags(Change::Delete) & mask, 0);
}

#[test]
fn a_delete_names_protocol_metric_and_table() {
    let op = KernelOp {
        id: OpId(1),
        key: key("fd01::/64", 1000),
        change: Change::Delete,
    };
    let (_, Some(KernelEvent::RouteGone(route))) = round_trip(&op) else {
        panic!("not a delete");
    };
    assert_eq!(
        (route.protocol, route.metric, route.table),
        (186, 179, 1000)
    );
}

#[test]
fn a_port_that_leaves_a_bridge_is_not_a_link_that_is_gone() {
    let gone = |family| {
        let mut message = LinkMessage::default();
        message.header.interface_family = family;
        message.header.index = 7;
        let inner = NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message));
        decode::event(NetlinkMessage::new(Default::default(), inner))
    };
    assert_eq!(gone(AddressFamily::Bridge), None);
    assert_eq!(
        gone(AddressFamily::Unspec),
        Some(KernelEvent::LinkGone { ifindex: 7 })
    );
}
