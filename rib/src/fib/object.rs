//! Nexthop objects: the kernel's own name for a set of gateways (Linux 5.3, `ip nexthop`).
//!
//! A route names an object, and the object says where packets go. So one message that replaces the
//! object moves every route that names it, however many there are: prefix-independent convergence.
//! Ours come in two layers. A [`Leg`] is one gateway; it is never changed. A [`Group`] is a weighted
//! set of legs, and routes name groups only, also where there is one leg: the kernel lets a group
//! become another group, but never a leg.

use std::net::IpAddr;

use redstart_bgp::types::Family;
use smallvec::SmallVec;

use crate::nexthop::Gateway;

/// Names a nexthop object of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NexthopId(pub u32);

/// One gateway, as an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leg {
    /// The family of the gateway, or, where there is none, of the routes that may use it.
    pub family: Family,
    /// The neighbour to hand packets to, or `None` if the destination is on the link.
    pub via: Option<IpAddr>,
    /// The link.
    pub ifindex: u32,
    /// Whether the kernel must believe that `via` is on the link.
    pub onlink: bool,
}

impl Leg {
    /// The leg that leads to `gateway`, for routes of `family`.
    #[must_use]
    pub const fn of(gateway: &Gateway, family: Family) -> Self {
        let family = match gateway.via {
            Some(IpAddr::V4(_)) => Family::Ipv4Unicast,
            Some(IpAddr::V6(_)) => Family::Ipv6Unicast,
            None => family,
        };
        Self {
            family,
            via: gateway.via,
            ifindex: gateway.ifindex,
            onlink: gateway.onlink,
        }
    }

    /// The gateway that it leads to.
    #[must_use]
    pub const fn gateway(&self, weight: u8) -> Gateway {
        Gateway {
            via: self.via,
            ifindex: self.ifindex,
            onlink: self.onlink,
            weight,
        }
    }
}

/// A leg of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Which leg.
    pub leg: NexthopId,
    /// Its share of the traffic, at least 1.
    pub weight: u8,
}

/// A set of legs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The legs, in the order of their ids.
    pub members: SmallVec<[Member; 2]>,
    /// How flows are spread; `None`: by a hash over the weights.
    pub resilient: Option<Resilient>,
}

/// A resilient group: flows keep their leg while it lives, whatever else is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resilient {
    /// How many buckets flows are hashed into; at least as many as there are legs.
    pub buckets: u16,
    /// How long a bucket must have been silent, in seconds, before it may move to a leg that has too
    /// few.
    pub idle_seconds: u32,
}

/// What an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NexthopSpec {
    /// One gateway.
    Leg(Leg),
    /// Several.
    Group(Group),
}

/// An object that the kernel holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelNexthop {
    /// Its name.
    pub id: NexthopId,
    /// Who made it: `nh_protocol`.
    pub protocol: u8,
    /// What it is; `None` if it is of a kind that Redstart never makes.
    pub spec: Option<NexthopSpec>,
}

/// What shall happen to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NexthopChange {
    /// Create it, and fail with `EEXIST` if the id is taken.
    Add(NexthopSpec),
    /// Overwrite what is there, and fail with `ENOENT` if nothing is: only for what we know to be ours.
    /// Moves every route that names it. Were it created instead, nobody would tell us that the routes
    /// had gone with the one that was there.
    Replace(NexthopSpec),
    /// Remove it. The kernel removes every route that names it as well, without a word.
    Delete,
}
