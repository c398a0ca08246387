//! What of Services is advertised: the defaults of `BGPConfiguration`, the choice of a
//! `BGPAdvertisement`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LabelSelector;

/// A kind of addresses that a Service is reached by.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ServiceAddress {
    /// `spec.clusterIPs`. With `internalTrafficPolicy: Local` only nodes with a ready endpoint
    /// advertise it.
    ClusterIP,
    /// `spec.externalIPs`, as far as BGPConfiguration `services.allowedExternalIPs` permits. With
    /// `externalTrafficPolicy: Local` only nodes with a ready endpoint advertise it.
    ExternalIP,
    /// `status.loadBalancer.ingress[].ip`, except with `ipMode: Proxy`. With
    /// `externalTrafficPolicy: Local` only nodes with a ready endpoint advertise it.
    LoadBalancerIP,
}

impl ServiceAddress {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::ClusterIP, Self::ExternalIP, Self::LoadBalancerIP];

    /// As objects name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::ExternalIP => "ExternalIP",
            Self::LoadBalancerIP => "LoadBalancerIP",
        }
    }
}

/// Addresses of Services: which may be advertised at all, and which are without a BGPAdvertisement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicesSpec {
    /// Addresses that every node advertises to all its routers as long as there is no
    /// BGPAdvertisement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub advertise: Vec<ServiceAddress>,
    /// CIDRs that `spec.externalIPs` must lie in to be advertised. Empty: none is. Whoever may write
    /// a Service may write any external IP (CVE-2020-8554), so list only what belongs to the cluster.
    #[serde(
        rename = "allowedExternalIPs",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(validation = Rule::new("self.all(p, isCIDR(p))").message("every allowed range must be a CIDR"))]
    pub allowed_external_ips: Vec<String>,
    /// CIDRs that load balancer addresses must lie in to be advertised. Empty: all may be, because only
    /// controllers write them.
    #[serde(
        rename = "allowedLoadBalancerIPs",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(validation = Rule::new("self.all(p, isCIDR(p))").message("every allowed range must be a CIDR"))]
    pub allowed_load_balancer_ips: Vec<String>,
    /// How long a node waits after a change of any object for more of them, in milliseconds. While
    /// changes keep coming, it waits ten times as long at most.
    #[serde(default = "ServicesSpec::default_debounce")]
    #[schemars(range(max = 10_000))]
    pub debounce_milliseconds: u16,
    /// How long a node must have been able to serve an address before it advertises it, in seconds.
    /// Endpoints that come and go faster are never seen by routers, and kube-proxy has time to learn of
    /// them. After a boot of the node every address waits; after a restart of the speaker alone, those that
    /// it had not advertised. An aggregate waits for the first address in it.
    #[serde(default)]
    #[schemars(range(max = 3600))]
    pub min_ready_seconds: u16,
    /// How long a node advertises an address after the last endpoint has gone that it could serve it
    /// with, in seconds: endpoints that are back in time are not noticed by routers. Traffic is lost
    /// meanwhile if other nodes could have taken it. Not for aggregates.
    #[serde(default)]
    #[schemars(range(max = 3600))]
    pub withdraw_delay_seconds: u16,
}

impl ServicesSpec {
    fn default_debounce() -> u16 {
        50
    }
}

impl Default for ServicesSpec {
    fn default() -> Self {
        Self {
            advertise: Vec::new(),
            allowed_external_ips: Vec::new(),
            allowed_load_balancer_ips: Vec::new(),
            debounce_milliseconds: Self::default_debounce(),
            min_ready_seconds: 0,
            withdraw_delay_seconds: 0,
        }
    }
}

/// Which Services, and which of their addresses. Everything that is set must hold. A node
/// advertises an address while it can serve it: with traffic policy Cluster, while there is a ready
/// endpoint anywhere; with Local, while it has a ready endpoint itself. Where no endpoint is ready,
/// those that are still serving while they terminate count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAdvertisementSpec {
    /// Which addresses.
    #[schemars(length(min = 1, max = 3))]
    pub addresses: Vec<ServiceAddress>,
    /// Labels of the Services. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Namespaces of the Services. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// `spec.loadBalancerClass` of the Services; only for their LoadBalancerIPs. Empty: any, or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub load_balancer_classes: Vec<String>,
    /// Prefixes that stand for the addresses in them. Each is advertised while the node would
    /// advertise an address in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub aggregates: Vec<AggregateSpec>,
}

/// A prefix that stands for the addresses in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AggregateSpec {
    /// The prefix.
    #[schemars(length(min = 4, max = 49))]
    #[x_kube(validation = Rule::new("isCIDR(self)").message("the prefix of an aggregate must be a CIDR"))]
    pub prefix: String,
    /// Whether the addresses themselves are advertised as well. Those of traffic policy Local always
    /// are: only some nodes can serve them.
    #[serde(default)]
    pub host_routes: bool,
    /// Whether the kernel of a node that advertises the prefix drops what nothing more specific
    /// takes, so that packets to unused addresses do not loop between node and router.
    #[serde(default)]
    pub blackhole: Blackhole,
}

/// When an aggregate comes with a blackhole route in the node's kernel. Packets that kube-proxy
/// translates never see it, but the node's own connections do: the kernel looks up their route before
/// kube-proxy (iptables and nftables; not ipvs) translates them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Blackhole {
    /// Unless the advertisement is for ClusterIPs, which the node itself must reach.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
