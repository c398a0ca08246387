//! `BGPAdvertisement`: what goes to which routers, and how it looks there.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelSelector, LabelSelectorRequirement, ObjectStatus, ServiceAdvertisementSpec};

/// What nodes advertise to routers.
#[derive(
    CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq,
)]
#[kube(
    group = "redstart.dev",
    version = "v1alpha1",
    kind = "BGPAdvertisement",
    plural = "bgpadvertisements",
    singular = "bgpadvertisement",
    shortname = "bgpadv",
    category = "redstart",
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "What nodes advertise to routers (BGPPeers), and with which attributes. As long as there is no BGPAdvertisement at all, every node advertises its pod CIDRs to all its routers; as soon as there is one, routers get only what BGPAdvertisements say. The mesh of nodes always gets the pod CIDRs.",
    printcolumn(name = "PodCIDRs", type_ = "boolean", json_path = ".spec.podCIDRs"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.podCIDRs || has(self.services) || (has(self.staticPrefixes) && size(self.staticPrefixes) > 0) || (has(self.interfaces) && size(self.interfaces) > 0) || (has(self.kernelTables) && size(self.kernelTables) > 0)").message("nothing to advertise: set podCIDRs, services, staticPrefixes, interfaces or kernelTables"))]
pub struct BGPAdvertisementSpec {
    /// Which nodes advertise it. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// Advertise each node's pod CIDRs.
    #[serde(rename = "podCIDRs", default)]
    pub pod_cidrs: bool,
    /// Advertise addresses of Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<ServiceAdvertisementSpec>,
    /// Advertise these prefixes, whatever the kernel's routes to them are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(validation = Rule::new("self.all(p, isCIDR(p))").message("every static prefix must be a CIDR"))]
    pub static_prefixes: Vec<String>,
    /// Advertise the addresses of each node's network interfaces of these names, each as a host
    /// route: for example `lo`. Loopback and link-local addresses are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 15)))]
    pub interfaces: Vec<String>,
    /// Advertise what these routing tables of each node's kernel have a route to, but for default
    /// routes: for example 119, where Coil puts the node's address blocks. Our own routes do not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(range(min = 1, max = 4_294_967_295_u64)))]
    #[x_kube(validation = Rule::new("self.all(t, t < 253 || t > 255)").message("the tables default, main and local (253 to 255) are the node's own"))]
    pub kernel_tables: Vec<u32>,
    /// To which routers. Absent or empty: to all that the node peers with.
    #[serde(default)]
    pub peers: PeerSelector,
    /// Communities to add: `64512:100`, or a well-known name such as `no-export`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 32)))]
    #[x_kube(validation = Rule::new("self.all(c, c.matches('^[0-9]{1,5}:[0-9]{1,5}$') ? c.split(':').all(h, int(h) <= 65535) : c in ['graceful-shutdown', 'llgr-stale', 'no-llgr', 'blackhole', 'no-export', 'no-advertise', 'no-export-subconfed'])").message("a community is 0..65535:0..65535 or a well-known name"))]
    pub communities: Vec<String>,
    /// Large communities to add: `64512:1:2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 5, max = 32)))]
    #[x_kube(validation = Rule::new("self.all(c, c.matches('^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$') && c.split(':').all(p, int(p) <= 4294967295))").message("a large community is three numbers a:b:c, each 0..4294967295"))]
    pub large_communities: Vec<String>,
    /// Extended communities to add: `rt:64512:100` (route target), `ro:192.0.2.1:7` (route origin), or
    /// `generic:` and 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 6, max = 32)))]
    #[x_kube(validation = Rule::new("self.all(c, c.matches('^(rt|ro):([0-9]{1,10}|[0-9.]{7,15}):[0-9]{1,10}$') || c.matches('^generic:[0-9a-f]{16}$'))").message("an extended community is rt:ASN:NUMBER, ro:ASN:NUMBER, the same with an IPv4 address, or generic: with 16 hexadecimal digits"))]
    pub extended_communities: Vec<String>,
    /// LOCAL_PREF towards internal routers. Where several BGPAdvertisements send one prefix to one
    /// router, communities add up; of the numbers the most attractive one counts: the highest
    /// localPref, the lowest med, the least prepend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// How often to prepend our AS number towards external routers, beyond the once that is always
    /// there.
    #[serde(default)]
    #[schemars(range(max = 16))]
    pub prepend: u8,
}

/// Which routers: those named, and those whose BGPPeer has matching labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PeerSelector {
    /// Names of BGPPeers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
    /// Labels that the BGPPeer must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on the labels of the BGPPeer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}
