//! rtnetlink messages as links, addresses, routes and events.
//!
//! Messages that mean nothing to us decode to `None`. Two that look as if they did:
//! - `RTM_NEWLINK` and `RTM_DELLINK` of family `AF_BRIDGE` tell of bridge ports: a port that leaves
//!   its bridge is not a link that is gone.
//! - Cloned routes are the kernel's caches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoData, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags,
        RouteType, RouteVia,
    },
};
use redstart_bgp::types::Prefix;

use super::message::Message;
use crate::{
    fib::{KernelEvent, KernelRoute, Link, LinkAddress, LinkNeighbour, NexthopId, RouteAction},
    nexthop::{Gateway, NexthopSet},
};

/// The event that a multicast message tells of.
pub(super) fn event(message: NetlinkMessage<Message>) -> Option<KernelEvent> {
    let inner = match message.payload {
        NetlinkPayload::Overrun(_) => return Some(KernelEvent::Overrun),
        NetlinkPayload::InnerMessage(inner) => inner,
        _ => return None,
    };
    match inner {
        Message::Route(inner) => of_library(inner),
        Message::Nexthop(nexthop) => nexthop.map(KernelEvent::Nexthop),
        Message::NexthopGone(nexthop) => nexthop.map(|n| KernelEvent::NexthopGone(n.id)),
    }
}

fn of_library(message: RouteNetlinkMessage) -> Option<KernelEvent> {
    match message {
        RouteNetlinkMessage::NewLink(m) => link(&m).map(KernelEvent::Link),
        RouteNetlinkMessage::DelLink(m) => link(&m).map(|link| KernelEvent::LinkGone {
            ifindex: link.ifindex,
        }),
        RouteNetlinkMessage::NewAddress(m) => address(&m).map(KernelEvent::Address),
        RouteNetlinkMessage::DelAddress(m) => address(&m).map(KernelEvent::AddressGone),
        RouteNetlinkMessage::NewNeighbour(m) => {
            let (neighbour, silent) = (neighbour(&m)?, is_silent(&m)?);
            Some(KernelEvent::Neighbour { neighbour, silent })
        }
        RouteNetlinkMessage::DelNeighbour(m) => neighbour(&m).map(|neighbour| {
            // Nobody is asked for any more.
            let silent = false;
            KernelEvent::Neighbour { neighbour, silent }
        }),
        RouteNetlinkMessage::NewRoute(m) => route(&m).map(KernelEvent::Route),
        RouteNetlinkMessage::DelRoute(m) => route(&m).map(KernelEvent::RouteGone),
        _ => None,
    }
}

pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    let header = &message.header;
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let mut name = String::new();
    let mut controller = None;
    let mut vrf_table = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(found) => name.clone_from(found),
            // A link that leaves its bridge or VRF has none, or 0.
            LinkAttribute::Controller(index) => controller = Some(*index).filter(|i| *i != 0),
            LinkAttribute::LinkInfo(info) => vrf_table = info.iter().find_map(table_of_vrf),
            _ => {}
        }
    }
    let up = header.flags.contains(LinkFlags::Up);
    Some(Link {
        ifindex: header.index,
        name,
        up,
        carrier: up && header.flags.contains(LinkFlags::LowerUp),
        loopback: header.flags.contains(LinkFlags::Loopback),
        controller,
        vrf_table,
    })
}

fn table_of_vrf(info: &LinkInfo) -> Option<u32> {
    let LinkInfo::Data(InfoData::Vrf(vrf)) = info else {
        return None;
    };
    vrf.iter().find_map(|item| match item {
        InfoVrf::TableId(table) => Some(*table),
        _ => None,
    })
}

pub(super) fn address(message: &AddressMessage) -> Option<LinkAddress> {
    let mut local = None;
    let mut far = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(addr) => local = Some(*addr),
            AddressAttribute::Address(addr) => far = Some(*addr),
            _ => {}
        }
    }
    // IFA_ADDRESS is the far end of a point-to-point link, and then IFA_LOCAL ours; on other links
    // both are ours, or IPv6 leaves IFA_LOCAL out.
    let addr = local.or(far)?;
    Some(LinkAddress {
        ifindex: message.header.index,
        addr,
        subnet: Prefix::new(far.unwrap_or(addr), message.header.prefix_len)?,
    })
}

/// An entry of the neighbour tables; those of bridges and of proxies are something else.
fn neighbour(message: &NeighbourMessage) -> Option<LinkNeighbour> {
    let header = &message.header;
    let is_proxy = header.flags.contains(NeighbourFlags::Proxy);
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) || is_proxy {
        return None;
    }
    let addr = message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(addr)) => Some(IpAddr::V4(*addr)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(addr)) => Some(IpAddr::V6(*addr)),
        _ => None,
    })?;
    Some(LinkNeighbour {
        ifindex: header.ifindex,
        addr,
    })
}

/// Whether the kernel has given up asking for it; `None` while it asks.
fn is_silent(message: &NeighbourMessage) -> Option<bool> {
    match message.header.state {
        NeighbourState::Failed => Some(true),
        NeighbourState::Incomplete | NeighbourState::None => None,
        _ => Some(false),
    }
}

/// Somebody whom the kernel asks for in vain.
pub(super) fn silent(message: &NeighbourMessage) -> Option<LinkNeighbour> {
    neighbour(message).filter(|_| is_silent(message) == Some(true))
}

pub(super) fn route(message: &RouteMessage) -> Option<KernelRoute> {
    let header = &message.header;
    if header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let mut destination = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let mut metric = 0;
    let mut prefsrc = None;
    let mut nexthop = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(addr) => destination = ip(addr)?,
            RouteAttribute::Table(t) => table = *t,
            RouteAttribute::Priority(m) => metric = *m,
            RouteAttribute::PrefSource(addr) => prefsrc = ip(addr),
            RouteAttribute::NhId(id) => nexthop = Some(NexthopId(*id)),
            _ => {}
        }
    }
    Some(KernelRoute {
        prefix: Prefix::new(destination, header.destination_prefix_length)?,
        table,
        protocol: u8::from(header.protocol),
        metric,
        action: action(message, nexthop.is_some()),
        prefsrc,
        nexthop,
    })
}

fn action(message: &RouteMessage, by_object: bool) -> RouteAction {
    match message.header.kind {
        RouteType::Unicast => {}
        RouteType::BlackHole => return RouteAction::Blackhole,
        RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw => {
            return RouteAction::Refuse;
        }
        _ => return RouteAction::Other,
    }
    let legs = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::MultiPath(legs) => Some(legs),
        _ => None,
    });
    match legs {
        Some(legs) => RouteAction::Forward(legs.iter().map(leg).collect()),
        None => match single(message) {
            // The object knows.
            RouteAction::Other if by_object => RouteAction::Forward(NexthopSet::default()),
            action => action,
        },
    }
}

fn single(message: &RouteMessage) -> RouteAction {
    let oif = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    let Some(ifindex) = oif else {
        return RouteAction::Other;
    };
    let gateway = Gateway {
        via: via(&message.attributes),
        ifindex,
        onlink: message.header.flags.contains(RouteFlags::Onlink),
        weight: 1,
    };
    RouteAction::Forward(gateway.into())
}

fn leg(leg: &RouteNextHop) -> Gateway {
    Gateway {
        via: via(&leg.attributes),
        ifindex: leg.interface_index,
        onlink: leg.flags.contains(RouteNextHopFlags::Onlink),
        weight: leg.hops.saturating_add(1),
    }
}

fn via(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|a| match a {
        RouteAttribute::Gateway(addr) => ip(addr),
        RouteAttribute::Via(RouteVia::Inet(addr)) => Some(IpAddr::V4(*addr)),
        RouteAttribute::Via(RouteVia::Inet6(addr)) => Some(IpAddr::V6(*addr)),
        _ => None,
    })
}

const fn ip(addr: &RouteAddress) -> Option<IpAddr> {
    match addr {
        RouteAddress::Inet(addr) => Some(IpAddr::V4(*addr)),
        RouteAddress::Inet6(addr) => Some(IpAddr::V6(*addr)),
        _ => None,
    }
}
