//! How learned routes go into the Linux kernel: `BGPConfiguration.spec.kernel`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How learned routes go into the Linux kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KernelSpec {
    /// Whether they go there at all.
    #[serde(default = "default::on")]
    pub install: bool,
    /// The routing table; 254 is `main`. Not 255, the kernel's own. Routes move to another table, metric
    /// or protocol without a gap: the old ones go when the new ones are there.
    #[serde(default = "default::table")]
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    #[x_kube(validation = Rule::new("self != 255").message("table 255 (local) belongs to the kernel"))]
    pub table: u32,
    /// The metric of all our routes, which with the protocol tells them from everybody else's. Where
    /// somebody else has a route to the same destination, whatever its metric, ours stays out.
    #[serde(default = "default::metric")]
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    pub metric: u32,
    /// The route protocol number that marks our routes; `ip route` shows 186 as `bgp`. Up to 4 are
    /// the kernel's own and the administrator's.
    #[serde(default = "default::protocol")]
    #[schemars(range(min = 5, max = 255))]
    pub protocol: u8,
    /// The routing table whose routes lead to next hops, and to default gateways; 254 is `main`. Subnets of
    /// the node's own links count whatever the table, unless a route of it is more specific. Where they
    /// overlap, those of the VRF count whose table this is, or else those of links in no VRF.
    #[serde(default = "default::table")]
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    #[x_kube(validation = Rule::new("self != 255").message("table 255 (local) belongs to the kernel"))]
    pub next_hop_table: u32,
    /// Most next hops of one route; 1 turns ECMP off.
    #[serde(default = "default::max_paths")]
    #[schemars(range(min = 1, max = 128))]
    pub max_paths: u8,
    /// How routes name their next hops.
    #[serde(default)]
    pub next_hops: NextHopsSpec,
    /// The source address of what the node itself sends along learned routes.
    #[serde(default)]
    pub preferred_source: PreferredSource,
}

impl Default for KernelSpec {
    fn default() -> Self {
        Self {
            install: default::on(),
            table: default::table(),
            metric: default::metric(),
            protocol: default::protocol(),
            next_hop_table: default::table(),
            max_paths: default::max_paths(),
            next_hops: NextHopsSpec::default(),
            preferred_source: PreferredSource::default(),
        }
    }
}

/// How routes name their next hops. A change replaces the routes one by one, without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.objects || !has(self.resilient)").message("resilient groups are nexthop objects, and those are off"))]
pub struct NextHopsSpec {
    /// Whether routes share nexthop objects (`ip nexthop`, ids from 1380188160): when a router is lost
    /// and another is as good, one operation moves all its routes, however many. Off: each route names
    /// its gateways itself, for other programs on the node that do not know such objects. A kernel
    /// without them (before Linux 5.3) gets none in either case.
    #[serde(default = "default::on")]
    pub objects: bool,
    /// Flows keep their gateway when another one is lost (resilient groups, Linux 5.13). One that is added
    /// or comes back makes another group, over which all flows are spread anew. Absent: a hash over all
    /// gateways, so that also the loss of one may move flows between the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resilient: Option<ResilientSpec>,
}

impl Default for NextHopsSpec {
    fn default() -> Self {
        Self {
            objects: default::on(),
            resilient: None,
        }
    }
}

/// Resilient groups of next hops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResilientSpec {
    /// How many buckets the flows of a group are hashed into.
    #[serde(default = "default::buckets")]
    #[schemars(range(min = 128, max = 16384))]
    pub buckets: u16,
    /// How long no packet of a bucket must have been seen, in seconds, before it may move to a gateway
    /// that has too few.
    #[serde(default = "default::idle_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub idle_seconds: u32,
}

/// The source address of what a node itself sends along learned routes. What pods send keeps its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreferredSource {
    /// The kernel's choice: an address of the link that packets leave by.
    #[default]
    Kernel,
    /// The Node's own address (InternalIP) of the route's family, on whatever link it is. While the
    /// node has no such address, the kernel's choice.
    NodeAddress,
}

/// Built-in defaults. They are functions because serde and the schema want them so.
mod default {
    pub(super) fn on() -> bool {
        true
    }
    pub(super) fn table() -> u32 {
        254
    }
    pub(super) fn metric() -> u32 {
        179
    }
    pub(super) fn protocol() -> u8 {
        186
    }
    pub(super) fn max_paths() -> u8 {
        16
    }
    pub(super) fn buckets() -> u16 {
        128
    }
    pub(super) fn idle_seconds() -> u32 {
        120
    }
}
