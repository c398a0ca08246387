//! Our end of a session: what the neighbour is told as our next hop, and the subnet that we share
//! with it.
//!
//! It is made of the session's own address, of the node's address of the other family as the objects
//! say it, and of what else is on the link (RFC 2545 section 3; RFC 4271 section 5.1.3). All but the
//! first may change while the session is up: an address is added, a link gets another subnet, a second
//! family is switched on. None of that is a reason to end the session. The RIB is told, and the
//! neighbour hears of the routes that look different now, and of no others.
//!
//! What need not change does not. Of several addresses that would do, the one in use stays in use
//! while it is there. Where the session's own address is gone, what was known of its subnet stays: it
//! is for the connection to find out whether there still is a session, and the address may come back.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use redstart_bgp::{
    session::Negotiated,
    types::{Family, NextHop, Prefix},
};
use redstart_rib::{NextHopSelf, OurEnd, fib::LinkAddress, resolver::KernelView};

use crate::compile::NodeIdentity;

/// Where on the links of this node a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnLink {
    /// The link of a link-local neighbour.
    pub(super) interface: Option<u32>,
    /// Our link-local address on the subnet that both ends of a session over global addresses share.
    link_local: Option<Ipv6Addr>,
    /// The subnet that our end of the session is in.
    subnet: Option<Prefix>,
}

impl OnLink {
    /// Where a session is, that was at `before` when this was last asked.
    pub(super) fn of(negotiated: &Negotiated, links: &KernelView, before: Self) -> Self {
        let (local, remote) = (negotiated.local_addr.ip(), negotiated.remote_addr.ip());
        let interface = link_of(negotiated.remote_addr);
        let here = Self {
            interface,
            ..before
        };
        let Some(ours) = address(links, local, remote) else {
            return here;
        };
        let shared = local.is_ipv6() && ours.subnet.contains(remote);
        let link_local = shared.then(|| {
            let link_local = ipv6_addresses(links, ours.ifindex);
            let link_local = link_local.filter(Ipv6Addr::is_unicast_link_local);
            kept_or_first(before.link_local, link_local)
        });
        Self {
            link_local: link_local.flatten(),
            subnet: Some(ours.subnet),
            ..here
        }
    }
}

/// The address `local` on the links: in the subnet of `remote`, if it is on several.
fn address(links: &KernelView, local: IpAddr, remote: IpAddr) -> Option<&LinkAddress> {
    let ours = || links.addresses().filter(|a| a.addr == local);
    let shared = ours().find(|a| a.subnet.contains(remote));
    shared.or_else(|| ours().next())
}

fn ipv6_addresses(links: &KernelView, ifindex: u32) -> impl Iterator<Item = Ipv6Addr> {
    let here = links.addresses().filter(move |a| a.ifindex == ifindex);
    here.filter_map(|a| match a.addr {
        IpAddr::V6(addr) => Some(addr),
        IpAddr::V4(_) => None,
    })
}

fn kept_or_first(
    kept: Option<Ipv6Addr>,
    mut candidates: impl Iterator<Item = Ipv6Addr>,
) -> Option<Ipv6Addr> {
    let first = candidates.next()?;
    let mut all = std::iter::once(first).chain(candidates);
    all.find(|addr| Some(*addr) == kept).or(Some(first))
}

/// The link that a link-local neighbour is on.
pub(super) fn link_of(remote: SocketAddr) -> Option<u32> {
    match remote {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => Some(addr.scope_id()),
        _ => None,
    }
}

/// Our end of a session, for the RIB.
pub(super) fn our_end(node: &NodeIdentity, negotiated: &Negotiated, link: OnLink) -> OurEnd {
    let extended = negotiated.codec.extended_next_hop;
    let extended = extended.contains(Family::Ipv4Unicast);
    OurEnd {
        own_as: node.asn,
        next_hop_self: next_hop_self(node, negotiated.local_addr.ip(), link, extended),
        subnet: link.subnet,
    }
}

/// Our end of the session for its own family; the node's address for the other one, unless IPv4 routes
/// may have an IPv6 next hop: RFC 8950 section 5 wants the session's.
///
/// On a subnet that both ends share there are two addresses, the global one and the link-local one (RFC
/// 2545 section 3). On an unnumbered link it is the link-local one alone, whatever other addresses there
/// are: whether the neighbour shares their subnet is not known, and one that does not (BIRD, say) drops
/// routes with such a next hop.
fn next_hop_self(node: &NodeIdentity, local: IpAddr, link: OnLink, extended: bool) -> NextHopSelf {
    let mut next_hops = NextHopSelf {
        v4: node.ipv4.map(NextHop::V4),
        v6: node.ipv6.map(NextHop::V6),
    };
    match local {
        IpAddr::V4(addr) => next_hops.v4 = Some(NextHop::V4(addr)),
        IpAddr::V6(addr) => {
            let own = if addr.is_unicast_link_local() {
                NextHop::V6LinkLocal {
                    global: addr,
                    link_local: addr,
                }
            } else if let Some(link_local) = link.link_local {
                NextHop::V6LinkLocal {
                    global: addr,
                    link_local,
                }
            } else {
                NextHop::V6(addr)
            };
            next_hops.v6 = Some(own);
            if extended {
                next_hops.v4 = Some(own);
            }
        }
    }
    next_hops
}

#[cfg(test)]
mod tests;
