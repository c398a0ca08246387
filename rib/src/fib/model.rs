//! What the Loc-RIB wants the kernel to hold for one prefix, and under which key.

use core::{num::NonZeroU32, time::Duration};
use std::net::IpAddr;

use redstart_bgp::types::Prefix;

use super::{
    kernel::KernelRoute,
    marks::Marks,
    object::{NexthopId, Resilient},
};
use crate::nexthop::{Gateway, NexthopSet};

/// A route as it shall be in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// What happens to packets.
    pub kind: RouteKind,
    /// Source address for packets of this node's own, where the kernel's choice would not do.
    pub prefsrc: Option<IpAddr>,
}

impl Route {
    /// A route towards `gateways`, with the kernel's choice of source address.
    #[must_use]
    pub fn unicast(gateways: impl Into<NexthopSet>) -> Self {
        Self {
            kind: RouteKind::Unicast(gateways.into()),
            prefsrc: None,
        }
    }

    /// A route that drops packets.
    #[must_use]
    pub const fn blackhole() -> Self {
        Self {
            kind: RouteKind::Blackhole,
            prefsrc: None,
        }
    }

    /// The gateways; none if the route drops packets.
    #[must_use]
    pub fn gateways(&self) -> &[Gateway] {
        match &self.kind {
            RouteKind::Unicast(set) => set.as_slice(),
            RouteKind::Blackhole => &[],
        }
    }

    /// Whether packets may leave by the link `ifindex`.
    #[must_use]
    pub fn uses_link(&self, ifindex: u32) -> bool {
        self.gateways().iter().any(|g| g.ifindex == ifindex)
    }
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

/// A route as it is written to the kernel.
///
/// A million routes share one, whose users the planner counts while another thread reads it: so it does
/// not share a cache line with the count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[repr(align(64))]
pub struct Form {
    /// What happens to packets.
    pub target: Target,
    /// The source address that it prescribes.
    pub prefsrc: Option<IpAddr>,
}

impl Form {
    /// Whether packets may leave by the link `ifindex`, as far as the route itself says.
    #[must_use]
    pub fn uses_link(&self, ifindex: u32) -> bool {
        match &self.target {
            Target::Gateways(set) => set.as_slice().iter().any(|g| g.ifindex == ifindex),
            Target::Object(_) | Target::Blackhole => false,
        }
    }

    /// The object that the route names.
    #[must_use]
    pub const fn object(&self) -> Option<NexthopId> {
        match self.target {
            Target::Object(id) => Some(id),
            Target::Gateways(_) | Target::Blackhole => None,
        }
    }

    /// Whether the route names the object `id`.
    #[must_use]
    pub fn names(&self, id: NexthopId) -> bool {
        self.object() == Some(id)
    }
}

/// What a route as it is written does with packets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Forwards as this object says.
    Object(NexthopId),
    /// Forwards to these; several are `RTA_MULTIPATH`.
    Gateways(NexthopSet),
    /// Drops them.
    Blackhole,
}

/// How routes name their gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NexthopStyle {
    /// By a nexthop object that all routes with these gateways share: one operation moves them all.
    Objects {
        /// Groups are of the resilient kind.
        resilient: Option<Resilient>,
    },
    /// Each for itself, by `RTA_GATEWAY` or `RTA_MULTIPATH`: for kernels before 5.3, and for other
    /// programs that do not know nexthop objects.
    Inline,
}

/// Under which names Redstart's routes live in the kernel, and how hard it tries to put them there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FibConfig {
    /// The routing table.
    pub table: u32,
    /// The `rtm_protocol` that marks our routes (186 is `bgp` in `rt_protos`).
    pub protocol: u8,
    /// The metric of our routes. Part of the kernel's key, so a value of our own keeps our REPLACE
    /// away from other people's routes. Never 0: the kernel reads that as 1024 for IPv6.
    pub metric: NonZeroU32,
    /// Marks that our routes carried before. What is left under them is in nobody's way: it is
    /// replaced where the kernel has it under the same key as ours, and otherwise left alone until
    /// somebody removes it ([`Removal`](super::Removal)).
    pub former: Vec<Marks>,
    /// How routes name their gateways.
    pub nexthops: NexthopStyle,
    /// The first of the [`NEXTHOP_IDS`](Self::NEXTHOP_IDS) ids that our nexthop objects may have.
    pub first_nexthop_id: NonZeroU32,
    /// How long an object that no route names is kept.
    pub nexthop_linger: Duration,
    /// How many requests may wait for the kernel's answer.
    pub max_in_flight: usize,
    /// The pause after the first refusal; doubles with each further one.
    pub retry_first: Duration,
    /// The longest pause between two attempts.
    pub retry_max: Duration,
}

impl FibConfig {
    /// The table `main` of `rt_tables`.
    pub const TABLE_MAIN: u32 = 254;
    /// `bgp` of `rt_protos`.
    pub const PROTOCOL_BGP: u8 = 186;
    /// FRR installs BGP routes as protocol `bgp`, metric 20; BIRD uses metric 32. Ours must differ
    /// from both, or two daemons on one node would take each other's routes for their own.
    pub const METRIC: NonZeroU32 = match NonZeroU32::new(179) {
        Some(metric) => metric,
        None => NonZeroU32::MIN,
    };

    /// Where our nexthop ids begin (`RD` in ASCII, and 16 bits): far from the small numbers that FRR
    /// and the kernel itself hand out.
    pub const FIRST_NEXTHOP_ID: NonZeroU32 = match NonZeroU32::new(0x5244_0000) {
        Some(id) => id,
        None => NonZeroU32::MIN,
    };
    /// How many nexthop ids are ours. Routes that find none left name their gateways themselves.
    pub const NEXTHOP_IDS: u32 = 0x1_0000;

    /// The marks of our routes.
    #[must_use]
    pub const fn marks(&self) -> Marks {
        Marks {
            table: self.table,
            protocol: self.protocol,
            metric: self.metric,
        }
    }

    /// The key of our route to `prefix`.
    #[must_use]
    pub const fn key(&self, prefix: Prefix) -> RouteKey {
        self.marks().key(prefix)
    }

    /// Whether `route` carries our marks: table, protocol and metric.
    #[must_use]
    pub const fn is_ours(&self, route: &KernelRoute) -> bool {
        self.marks().are_on(route)
    }

    /// Whether `route` carries marks that ours carried before.
    #[must_use]
    pub fn was_ours(&self, route: &KernelRoute) -> bool {
        !self.is_ours(route) && self.former.iter().any(|marks| marks.are_on(route))
    }

    /// Whether the nexthop object `id` would be one of ours, if nobody else took the number.
    #[must_use]
    pub const fn is_our_nexthop(&self, id: NexthopId) -> bool {
        match id.0.checked_sub(self.first_nexthop_id.get()) {
            Some(offset) => offset < Self::NEXTHOP_IDS,
            None => false,
        }
    }
}

impl Default for FibConfig {
    fn default() -> Self {
        Self {
            table: Self::TABLE_MAIN,
            protocol: Self::PROTOCOL_BGP,
            metric: Self::METRIC,
            former: Vec::new(),
            nexthops: NexthopStyle::Objects { resilient: None },
            first_nexthop_id: Self::FIRST_NEXTHOP_ID,
            nexthop_linger: Duration::from_secs(10),
            max_in_flight: 2048,
            retry_first: Duration::from_millis(250),
            retry_max: Duration::from_secs(60),
        }
    }
}

/// What names a route of ours in the kernel. Deletes carry all of it: the kernel compares the
/// protocol only if it is given, so a delete without it could hit somebody else's route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteKey {
    /// The destination.
    pub prefix: Prefix,
    /// The routing table.
    pub table: u32,
    /// The `rtm_protocol`.
    pub protocol: u8,
    /// The metric.
    pub metric: NonZeroU32,
}
