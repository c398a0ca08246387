//! Operations of the planner as rtnetlink messages.
//!
//! Several gateways become `RTA_MULTIPATH`. Nexthop objects would be another choice of encoding
//! behind the same operations; they halve the cost of large tables but lose routes on mere carrier
//! loss, so they wait until that is dealt with.

use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags,
        RouteProtocol, RouteScope, RouteType, RouteVia,
    },
};
use redstart_bgp::types::Family;

use crate::{
    fib::{Change, KernelOp, Route, RouteKey, RouteKind},
    nexthop::Gateway,
};

/// The message for one operation.
pub(super) fn message(op: &KernelOp) -> NetlinkMessage<RouteNetlinkMessage> {
    let (inner, flags) = match &op.change {
        Change::Add(route) => (
            RouteNetlinkMessage::NewRoute(with_route(&op.key, route)),
            NLM_F_CREATE | NLM_F_EXCL,
        ),
        Change::Replace(route) => (
            RouteNetlinkMessage::NewRoute(with_route(&op.key, route)),
            NLM_F_CREATE | NLM_F_REPLACE,
        ),
        Change::Delete => (RouteNetlinkMessage::DelRoute(delete(&op.key)), 0),
    };
    let mut message = NetlinkMessage::from(inner);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    message
}

/// What names the route: prefix, table, protocol, metric.
fn keyed(key: &RouteKey) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = match key.prefix.family() {
        Family::Ipv4Unicast => AddressFamily::Inet,
        Family::Ipv6Unicast => AddressFamily::Inet6,
    };
    message.header.destination_prefix_length = key.prefix.len();
    message.header.protocol = RouteProtocol::from(key.protocol);
    match u8::try_from(key.table) {
        Ok(table) => message.header.table = table,
        // The header has room for 255 tables only; the attribute overrides it.
        Err(_) => message.attributes.push(RouteAttribute::Table(key.table)),
    }
    let destination = RouteAddress::from(key.prefix.addr());
    message
        .attributes
        .push(RouteAttribute::Destination(destination));
    message
        .attributes
        .push(RouteAttribute::Priority(key.metric.get()));
    message
}

/// A delete matches any type, scope and gateway under our key; the protocol is always compared.
fn delete(key: &RouteKey) -> RouteMessage {
    let mut message = keyed(key);
    message.header.scope = RouteScope::NoWhere;
    message.header.kind = RouteType::Unspec;
    message
}

fn with_route(key: &RouteKey, route: &Route) -> RouteMessage {
    let mut message = keyed(key);
    message.header.scope = RouteScope::Universe;
    if let Some(prefsrc) = route.prefsrc {
        let source = RouteAttribute::PrefSource(RouteAddress::from(prefsrc));
        message.attributes.push(source);
    }
    let set = match &route.kind {
        RouteKind::Blackhole => {
            message.header.kind = RouteType::BlackHole;
            return message;
        }
        RouteKind::Unicast(set) => set.as_slice(),
    };
    message.header.kind = RouteType::Unicast;
    let v4 = key.prefix.family() == Family::Ipv4Unicast;
    if v4 && set.iter().all(|g| g.via.is_none()) {
        message.header.scope = RouteScope::Link;
    }
    if let [only] = set {
        message.attributes.extend(gateway(v4, only));
        message.attributes.push(RouteAttribute::Oif(only.ifindex));
        if only.onlink {
            message.header.flags = RouteFlags::Onlink;
        }
    } else {
        let legs = set.iter().map(|g| leg(v4, g)).collect();
        message.attributes.push(RouteAttribute::MultiPath(legs));
    }
    message
}

/// `RTA_GATEWAY`, or `RTA_VIA` for an IPv4 route through an IPv6 neighbour (RFC 8950).
fn gateway(v4: bool, gateway: &Gateway) -> Option<RouteAttribute> {
    Some(match gateway.via? {
        IpAddr::V6(via) if v4 => RouteAttribute::Via(RouteVia::from(via)),
        via => RouteAttribute::Gateway(RouteAddress::from(via)),
    })
}

fn leg(v4: bool, to: &Gateway) -> RouteNextHop {
    let mut leg = RouteNextHop::default();
    leg.interface_index = to.ifindex;
    leg.hops = to.weight.saturating_sub(1);
    leg.flags = if to.onlink {
        RouteNextHopFlags::Onlink
    } else {
        RouteNextHopFlags::empty()
    };
    leg.attributes.extend(gateway(v4, to));
    leg
}
