//! `BGPConfiguration`: what holds for every node.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BmpStationSpec, DrainSpec, GracefulRestartSpec, KernelSpec, MeshSpec, MrtLogSpec, ObjectStatus,
    PoliciesSpec, ServicesSpec, TimersSpec,
};

/// What holds for every node. Only the object named `default` is read; without it, the defaults
/// shown here are in force.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "redstart.dev",
    version = "v1alpha1",
    kind = "BGPConfiguration",
    plural = "bgpconfigurations",
    singular = "bgpconfiguration",
    shortname = "bgpconfig",
    category = "redstart",
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "What holds for every node. Only the object named `default` is read; without it, the defaults are in force.",
    validation = Rule::new("self.metadata.name == 'default'").message("the only BGPConfiguration is named 'default'"),
    printcolumn(name = "ASN", type_ = "integer", json_path = ".spec.asn"),
    printcolumn(name = "Mesh", type_ = "string", json_path = ".spec.mesh.mode"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BGPConfigurationSpec {
    /// The AS number of every node that has no annotation `redstart.dev/asn`.
    #[serde(default = "default::asn")]
    #[schemars(range(min = 1, max = 4_294_967_294_u64))]
    #[x_kube(validation = Rule::new("!(self in [23456, 65535])").message("AS numbers 23456 and 65535 are reserved"))]
    pub asn: u32,
    /// How the nodes peer with each other.
    #[serde(default)]
    pub mesh: MeshSpec,
    /// How a node that is drained or shuts down is relieved of traffic.
    #[serde(default)]
    pub drain: DrainSpec,
    /// TCP port that every node listens on and that the mesh connects to.
    #[serde(default = "default::listen_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub listen_port: u16,
    /// Which of its addresses a node listens on.
    #[serde(default)]
    pub listen_on: ListenOn,
    /// Where the BGP Identifier of a node comes from that has no annotation `redstart.dev/router-id`.
    /// Sessions end when it changes, so a node keeps the one that it has, also over a restart of its
    /// speaker: until it boots, the annotation or this rule changes, or the identifier was an address
    /// that the node no longer has. An IPv4 address that a node gets later changes nothing.
    #[serde(rename = "routerIDRule", default)]
    pub router_id_rule: RouterIdRule,
    /// Whether each node advertises its pod CIDRs: to the mesh, and, as long as there is no
    /// BGPAdvertisement, to every BGPPeer.
    #[serde(rename = "advertisePodCIDRs", default = "default::on")]
    pub advertise_pod_cidrs: bool,
    /// Addresses of Services: which may be advertised at all, and which are without a
    /// BGPAdvertisement.
    #[serde(default)]
    pub services: ServicesSpec,
    /// How learned routes go into the Linux kernel.
    #[serde(default)]
    pub kernel: KernelSpec,
    /// Graceful restart on all sessions; a BGPPeer may say otherwise. On, with 120 seconds, unless
    /// set here.
    #[serde(default)]
    pub graceful_restart: GracefulRestartSpec,
    /// Timers of all sessions; a BGPPeer may say otherwise. Hold time 90 seconds and connect retry
    /// 5 seconds unless set here.
    #[serde(default)]
    pub timers: TimersSpec,
    /// Rules for the routes of all sessions, of the mesh and of BGPPeers, asked before theirs.
    #[serde(default)]
    pub policies: PoliciesSpec,
    /// The cluster's Service ranges: of ClusterIPs, external and load balancer IPs. As with pod
    /// CIDRs, nothing within them is taken from a router. The same goes for the aggregates of a
    /// `BGPAdvertisement` and for the ranges of `ServiceCIDR`s (Kubernetes 1.33), which need not be
    /// repeated here. Of ClusterIPs that are in none of them, the longest prefix that has all in use
    /// is taken for their range; those too far apart to be of one (/12, /108) have one each.
    #[serde(
        rename = "serviceCIDRs",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 64), inner(length(min = 4, max = 49)))]
    #[x_kube(validation = Rule::new("self.all(p, isCIDR(p))").message("every Service range must be a CIDR"))]
    pub service_cidrs: Vec<String>,
    /// Whether an external router exchanges no routes until a policy says so (RFC 8212): none is
    /// taken without `policies.import`, and none given without `policies.export` or a
    /// BGPAdvertisement.
    #[serde(rename = "requireEBGPPolicy", default)]
    pub require_ebgp_policy: bool,
    /// Monitoring stations that every node tells of its sessions and routes (BMP, RFC 7854).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(validation = Rule::new("self.all(s, self.exists_one(t, t.address == s.address && t.port == s.port))").message("a station is named once"))]
    pub bmp: Vec<BmpStationSpec>,
    /// A log of messages and changes of state on every node, as MRT files (RFC 6396). Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrt: Option<MrtLogSpec>,
}

impl Default for BGPConfigurationSpec {
    fn default() -> Self {
        Self {
            asn: default::asn(),
            mesh: MeshSpec::default(),
            drain: DrainSpec::default(),
            listen_port: default::listen_port(),
            listen_on: ListenOn::default(),
            router_id_rule: RouterIdRule::default(),
            advertise_pod_cidrs: default::on(),
            services: ServicesSpec::default(),
            kernel: KernelSpec::default(),
            graceful_restart: GracefulRestartSpec::default(),
            timers: TimersSpec::default(),
            policies: PoliciesSpec::default(),
            service_cidrs: Vec::new(),
            require_ebgp_policy: false,
            bmp: Vec::new(),
            mrt: None,
        }
    }
}

/// Which of its addresses a node listens on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListenOn {
    /// All.
    #[default]
    AllAddresses,
    /// The addresses that it has as a Node, which the mesh connects to, and each `sourceAddress` of its
    /// BGPPeers. Another BGP speaker can have the others. Who peers by its link-local address is not
    /// listened to, but dialled.
    NodeAddresses,
}

/// Where a node's BGP Identifier comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RouterIdRule {
    /// The node's IPv4 address, or, where it has none, a hash of its name.
    #[default]
    NodeAddress,
    /// A hash of the node's name.
    NodeName,
}

/// Built-in defaults. They are functions because serde and the schema want them so.
mod default {
    pub(super) fn on() -> bool {
        true
    }
    pub(super) fn asn() -> u32 {
        64512
    }
    pub(super) fn listen_port() -> u16 {
        179
    }
}
