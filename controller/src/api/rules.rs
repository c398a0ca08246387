//! Parts of `BGPPeer` that bend the protocol's rules for one router.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to give to a router, beyond what BGPAdvertisements name it for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExportSpec {
    /// Whether the router is told routes that the node learned from others. Off, a node is never a
    /// transit. What a route reflector reflects does not depend on it.
    pub transit: bool,
    /// Whose address those routes have as next hop.
    pub next_hop: NextHopSpec,
    /// Whether the router, if it is external, is told of those routes also where its own AS is in the
    /// path. It refuses them unless it allows that, as routers of one AS do that reach each other through
    /// another AS only (`allowas-in`, `allow local as`).
    #[serde(rename = "allowPeerAS")]
    pub allow_peer_as: bool,
    /// Whether private AS numbers (RFC 6996) are removed from the paths of those routes, if the
    /// router is external.
    #[serde(rename = "removePrivateAS")]
    pub remove_private_as: bool,
    /// Whether the router, if it is external, is a client of the node as of a route server: AS path,
    /// next hop, MED and communities of those routes stay as they came (RFC 7947). True where the
    /// role is `RouteServer`.
    pub route_server_client: bool,
}

/// Whose address a route that is passed on has as next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NextHopSpec {
    /// The node's towards external routers, unchanged towards internal ones (RFC 4271).
    #[default]
    Standard,
    /// The node's.
    #[serde(rename = "Self")]
    Own,
    /// The one that the route came with.
    Unchanged,
    /// The one that the route came with, where node and router share a subnet with it.
    ThirdParty,
}

/// Route reflection (RFC 4456).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteReflectorSpec {
    /// Whether the router, which must be internal, is a client of the node: the node reflects routes
    /// to it and for it.
    #[serde(default)]
    pub client: bool,
    /// The cluster that the node reflects for, written like an IPv4 address. Absent: the node's BGP
    /// Identifier. Reflectors of one cluster need the same.
    #[serde(rename = "clusterID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 7, max = 15))]
    #[x_kube(validation = Rule::new("isIP(self) && ip(self).family() == 4").message("must look like an IPv4 address"))]
    pub cluster_id: Option<String>,
}

/// How the node's own AS number and another one, `localASN`, show in the AS paths of an external
/// router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalAsnOptions {
    /// Whether `localASN` is left out of what the router sends. If not, it counts as one more AS on
    /// the way, and goes in front of the path when the route is passed on.
    pub no_prepend: bool,
    /// Whether `localASN` takes the place of the node's own AS number in what the router is sent. If
    /// not, the path begins with `localASN` and then the node's own.
    #[serde(rename = "replaceAS")]
    pub replace_as: bool,
}

impl Default for LocalAsnOptions {
    fn default() -> Self {
        Self {
            no_prepend: true,
            replace_as: true,
        }
    }
}

/// How many routes a router may send, refused ones included. The limits protect the node's memory and
/// its kernel's tables from a router that leaks the Internet's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MaxPrefixesSpec {
    /// Most IPv4 routes. With more the session ends. 0: no limit.
    #[schemars(range(max = 4_294_967_295_u64))]
    pub ipv4: u32,
    /// Most IPv6 routes. With more the session ends. 0: no limit.
    #[schemars(range(max = 4_294_967_295_u64))]
    pub ipv6: u32,
    /// From which share of a limit on the log has a warning, in per cent. 100: none.
    #[schemars(range(min = 1, max = 100))]
    pub warning_percent: u8,
    /// After how many seconds a session that ended for this starts again. Absent: when a limit
    /// changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    pub restart_seconds: Option<u32>,
}

impl MaxPrefixesSpec {
    /// Many times what a data centre's fabric has, and a fraction of the Internet's table.
    const DEFAULT: u32 = 100_000;
}

impl Default for MaxPrefixesSpec {
    fn default() -> Self {
        Self {
            ipv4: Self::DEFAULT,
            ipv6: Self::DEFAULT,
            warning_percent: 75,
            restart_seconds: None,
        }
    }
}

/// Several paths for one prefix (RFC 7911). A change resets the session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AddPathSpec {
    /// Whether to take several paths from the router: up to 256 for one prefix, more are ignored and
    /// counted as `too-many-paths`.
    pub receive: bool,
    /// Whether to send several paths to the router.
    pub send: bool,
    /// Most paths of one prefix to send, the best ones. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub max_paths: Option<u8>,
}

/// What the node is to an external router (RFC 9234).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// What a field of this type says of itself is more than what the type says.
#[schemars(description = "")]
pub enum RoleSpec {
    /// The node's AS is the router's provider.
    Provider,
    /// The node's AS is the router's customer.
    Customer,
    /// The two exchange their customers' routes.
    Peer,
    /// The node is a route server, and the router its client.
    RouteServer,
    /// The router is a route server, and the node its client.
    RouteServerClient,
}
