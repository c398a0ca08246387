//! What the Loc-RIB wants the kernel to hold for one prefix.

use std::net::IpAddr;

use crate::nexthop::NexthopSet;

/// A route as it shall be in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// What happens to packets.
    pub kind: RouteKind,
    /// Source address for packets of this node's own, where the kernel's choice would not do.
    pub prefsrc: Option<IpAddr>,
}

/// What a route does with packets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Forward to one of these; never empty.
    Unicast(NexthopSet),
    /// Drop silently: an aggregate of ours, so that unused addresses in it do not loop between this
    /// node and the router that it advertises the aggregate to.
    Blackhole,
}
