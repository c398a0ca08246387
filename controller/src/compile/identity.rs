//! Who a node is on the network. Every speaker computes the same for every node.

use redstart_bgp::types::{Asn, Family, FamilySet, RouterId};

use super::NodeIdentity;
use crate::{
    api::{BGPConfigurationSpec, RouterIdRule},
    index::Node,
};

/// AS number, BGP Identifier and addresses of `node`.
pub(super) fn identity(node: &Node, configuration: &BGPConfigurationSpec) -> NodeIdentity {
    let by_rule = || match configuration.router_id_rule {
        RouterIdRule::NodeAddress => node
            .ipv4
            .map_or_else(|| hashed_router_id(&node.meta.name), RouterId),
        RouterIdRule::NodeName => hashed_router_id(&node.meta.name),
    };
    NodeIdentity {
        name: node.meta.name.clone(),
        asn: node.asn.unwrap_or(Asn(configuration.asn)),
        router_id: node.router_id.unwrap_or_else(by_rule),
        ipv4: node.ipv4,
        ipv6: node.ipv6,
    }
}

/// The families that `node` has an address of, so that it can be the next hop of their routes.
pub(super) fn families(node: &Node) -> FamilySet {
    let ipv4 = node.ipv4.map(|_| Family::Ipv4Unicast);
    let ipv6 = node.ipv6.map(|_| Family::Ipv6Unicast);
    ipv4.into_iter().chain(ipv6).collect()
}

/// A BGP Identifier made of a name: FNV-1a, because it must be the same in every release and on
/// every machine. RFC 6286 asks for "a 4-octet, unsigned, non-zero integer", unique within the AS.
fn hashed_router_id(name: &str) -> RouterId {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    RouterId::from_u32(hash.max(1))
}
