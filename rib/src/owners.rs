//! Which node a prefix belongs to, and whether a route to it may be believed.
//!
//! The peers of a mesh are nodes, and everybody knows from the cluster's objects which prefixes are
//! whose ([`Owners`]). A peer may announce what belongs to its own node. It may also pass on another
//! node's route, as a route reflector does, but then the route must say so itself: ORIGINATOR_ID
//! (RFC 4456 section 8) is a BGP Identifier of the owner's. In both cases the next hop is an address of the
//! owner. So whatever a peer says, packets to a prefix go to the node that it belongs to, or nowhere:
//! no node can draw another's traffic to itself.
//!
//! Any peer may pass on, not only those that are known as reflectors here: nodes hear of a changed
//! topology at different moments, and a route that leads to its owner does no harm whoever told it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use redstart_bgp::types::{PathAttributes, Prefix, RouterId};

use crate::import::Refusal;

/// Who a prefix belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node's name, as [`ImportPolicy::Owner`](crate::ImportPolicy::Owner) has it.
    pub node: String,
    /// What the node's speaker may call itself: its BGP Identifier is one of these.
    pub router_ids: BTreeSet<RouterId>,
    /// The node's addresses: next hops of its routes.
    pub addresses: Vec<IpAddr>,
}

/// The owner of each prefix of the mesh.
pub type Owners = BTreeMap<Prefix, Owner>;

/// Why a route that the peer behind `node` sent is not taken, or `None` if it is.
pub(crate) fn refuses(
    owners: &Owners,
    node: &str,
    prefix: Prefix,
    attrs: &PathAttributes,
) -> Option<Refusal> {
    let Some(owner) = owners.get(&prefix) else {
        return Some(Refusal::NotAllowed);
    };
    let believable = match attrs.originator_id {
        None => owner.node == node,
        Some(originator) => owner.router_ids.contains(&originator),
    };
    if !believable {
        return Some(Refusal::NotAllowed);
    }
    let next_hop = attrs.next_hop.map(redstart_bgp::types::NextHop::addr);
    let own = next_hop.is_some_and(|next_hop| owner.addresses.contains(&next_hop));
    (!own).then_some(Refusal::NotOwnersNextHop)
}

/// The prefixes that belong to somebody else than before, or whose owner changed.
pub(crate) fn changed(before: &Owners, now: &Owners) -> Vec<Prefix> {
    let gone = before.keys().filter(|prefix| !now.contains_key(prefix));
    let differ = now
        .iter()
        .filter(|(prefix, owner)| before.get(prefix) != Some(owner))
        .map(|(prefix, _)| prefix);
    gone.chain(differ).copied().collect()
}
