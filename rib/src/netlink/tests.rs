//! Messages both ways, without a kernel. The real kernel is in `tests/netlink.rs`.

use std::{num::NonZeroU32, sync::Arc};

use netlink_packet_core::{
    NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVrf, LinkAttribute, LinkInfo, LinkMessage},
};

use super::{decode, encode, message::Message, wire::Writer};
use crate::{
    fib::{
        Change, Form, Group, KernelEvent, KernelNexthop, KernelOp, Leg, Member, NexthopChange,
        NexthopId, NexthopSpec, OpId, Request, Resilient, RouteKey, Target,
    },
    nexthop::Gateway,
};
use redstart_bgp::types::Family;

fn key(prefix: &str, table: u32) -> RouteKey {
    RouteKey {
        prefix: prefix.parse().unwrap(),
        table,
        protocol: 186,
        metric: NonZeroU32::new(179).unwrap(),
    }
}

fn op(key: RouteKey, change: Change) -> KernelOp {
    let request = Request::Route { key, change };
    KernelOp {
        id: OpId(1),
        request,
    }
}

/// Encodes, parses (routes with the library's own parser) and decodes.
fn round_trip(op: &KernelOp) -> (u16, Option<KernelEvent>) {
    let mut writer = Writer::default();
    encode::message(op, 1, &mut writer);
    let parsed = NetlinkMessage::<Message>::deserialize(writer.octets()).unwrap();
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

fn form(target: Target) -> Form {
    Form {
        target,
        prefsrc: None,
    }
}

fn unicast(gateways: &[Gateway]) -> Form {
    form(Target::Gateways(gateways.iter().copied().collect()))
}

/// Each kind of route that the planner may ask for.
fn forms() -> Vec<(&'static str, Form)> {
    let v4 = gateway(Some("10.0.0.1"), 2, false, 1);
    let onlink = gateway(Some("10.0.0.1"), 2, true, 1);
    let direct = gateway(None, 2, false, 1);
    let v6 = gateway(Some("fe80::1"), 2, false, 1);
    let heavy = gateway(Some("fe80::1"), 3, true, 255);
    let sourced = Form {
        prefsrc: Some([10, 0, 0, 9].into()),
        ..form(Target::Blackhole)
    };
    let object = form(Target::Object(NexthopId(0x5244_0001)));
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
        ("fd01::/64", form(Target::Blackhole)),
        ("10.1.0.0/16", object.clone()),
        ("fd01::/64", object),
    ]
}

#[test]
fn routes_survive_the_round_trip() {
    for (prefix, form) in forms() {
        for table in [254, 1000] {
            let key = key(prefix, table);
            let change = Change::Add(Arc::new(form.clone()));
            let (_, event) = round_trip(&op(key, change));
            let Some(KernelEvent::Route(there)) = event else {
                panic!("{prefix}: {event:?}");
            };
            assert_eq!(there.to_form(), Some(form.clone()), "{prefix}");
            assert_eq!((there.prefix, there.table), (key.prefix, table));
            assert_eq!((there.protocol, there.metric), (186, 179));
        }
    }
}

#[test]
fn objects_survive_the_round_trip() {
    let v4 = gateway(Some("10.0.0.1"), 2, false, 1);
    let onlink = gateway(Some("fe80::1"), 2, true, 1);
    let direct = gateway(None, 2, false, 1);
    let members = [(0x5244_0001, 1), (0x5244_0002, 255)];
    let group = |resilient| {
        NexthopSpec::Group(Group {
            members: members
                .iter()
                .map(|(leg, weight)| Member {
                    leg: NexthopId(*leg),
                    weight: *weight,
                })
                .collect(),
            resilient,
        })
    };
    let resilient = Resilient {
        buckets: 128,
        idle_seconds: 10,
    };
    for spec in [
        NexthopSpec::Leg(Leg::of(&v4, Family::Ipv4Unicast)),
        NexthopSpec::Leg(Leg::of(&onlink, Family::Ipv4Unicast)),
        NexthopSpec::Leg(Leg::of(&direct, Family::Ipv4Unicast)),
        NexthopSpec::Leg(Leg::of(&direct, Family::Ipv6Unicast)),
        group(None),
        group(Some(resilient)),
    ] {
        let request = Request::Nexthop {
            id: NexthopId(7),
            protocol: 186,
            change: NexthopChange::Replace(spec.clone()),
        };
        let id = OpId(1);
        let (flags, event) = round_trip(&KernelOp { id, request });
        assert_eq!(flags & (NLM_F_CREATE | NLM_F_EXCL), 0);
        let there = KernelNexthop {
            id: NexthopId(7),
            protocol: 186,
            spec: Some(spec),
        };
        assert_eq!(event, Some(KernelEvent::Nexthop(there)));
    }
}

#[test]
fn a_datagram_that_is_cut_off_is_read_as_far_as_it_goes() {
    let mut writer = Writer::default();
    encode::message(
        &op(key("10.1.0.0/16", 254), Change::Delete(None)),
        1,
        &mut writer,
    );
    encode::message(
        &op(key("10.2.0.0/16", 254), Change::Delete(None)),
        2,
        &mut writer,
    );
    let octets = writer.octets();
    for cut in 0..octets.len() {
        let whole = super::wire::messages(&octets[..cut]).count();
        assert_eq!(whole, 2 * cut / octets.len());
    }
    assert_eq!(super::wire::messages(octets).count(), 2);
}

#[test]
fn an_add_is_exclusive_and_a_replace_is_not() {
    let form = Arc::new(form(Target::Blackhole));
    let flags = |change| round_trip(&op(key("10.1.0.0/16", 254), change)).0;
    let mask = NLM_F_CREATE | NLM_F_EXCL | NLM_F_REPLACE;
    assert_eq!(
        flags(Change::Add(Arc::clone(&form))) & mask,
        NLM_F_CREATE | NLM_F_EXCL
    );
    assert_eq!(
        flags(Change::Replace(form)) & mask,
        NLM_F_CREATE | NLM_F_REPLACE
    );
    assert_eq!(flags(Change::Delete(None)) & mask, 0);
}

#[test]
fn a_delete_names_protocol_metric_and_table() {
    let op = op(key("fd01::/64", 1000), Change::Delete(None));
    let (_, Some(KernelEvent::RouteGone(route))) = round_trip(&op) else {
        panic!("not a delete");
    };
    assert_eq!(
        (route.protocol, route.metric, route.table),
        (186, 179, 1000)
    );
}

#[test]
fn an_ipv6_delete_names_our_gateways_and_an_ipv4_one_none() {
    for (prefix, via, named) in [
        ("fd01::/64", "fe80::9", true),
        ("10.1.0.0/16", "10.0.0.1", false),
    ] {
        let form = unicast(&[gateway(Some(via), 2, false, 1)]);
        let change = Change::Delete(Some(Arc::new(form)));
        let mut writer = Writer::default();
        encode::message(&op(key(prefix, 254), change), 1, &mut writer);
        let via: std::net::IpAddr = via.parse().unwrap();
        let octets = match via {
            std::net::IpAddr::V4(a) => a.octets().to_vec(),
            std::net::IpAddr::V6(a) => a.octets().to_vec(),
        };
        let there = writer.octets().windows(octets.len()).any(|w| w == octets);
        assert_eq!(there, named, "{prefix}");
    }
}

/// As the kernel writes them: this is not tried on one that has VRFs.
#[test]
fn a_vrf_has_a_table_and_its_links_name_it() {
    let read = |attributes| {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.attributes = attributes;
        let inner = RouteNetlinkMessage::NewLink(message);
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), inner.into());
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        let message = NetlinkMessage::deserialize(&octets).unwrap();
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(m)) => {
                decode::link(&m).unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    let vrf = InfoData::Vrf(vec![InfoVrf::TableId(100)]);
    let vrf = read(vec![
        LinkAttribute::IfName("red".to_owned()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vrf), LinkInfo::Data(vrf)]),
    ]);
    assert_eq!((vrf.vrf_table, vrf.controller), (Some(100), None));
    assert_eq!(vrf.name, "red");
    let port = read(vec![LinkAttribute::Controller(9)]);
    assert_eq!((port.vrf_table, port.controller), (None, Some(9)));
}

#[test]
fn a_port_that_leaves_a_bridge_is_not_a_link_that_is_gone() {
    let gone = |family| {
        let mut message = LinkMessage::default();
        message.header.interface_family = family;
        message.header.index = 7;
        let inner = Message::Route(RouteNetlinkMessage::DelLink(message));
        let inner = NetlinkPayload::InnerMessage(inner);
        decode::event(NetlinkMessage::new(Default::default(), inner))
    };
    assert_eq!(gone(AddressFamily::Bridge), None);
    assert_eq!(
        gone(AddressFamily::Unspec),
        Some(KernelEvent::LinkGone { ifindex: 7 })
    );
}
