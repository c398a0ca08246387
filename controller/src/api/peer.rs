//! `BGPPeer`: a router that selected nodes peer with.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AddPathSpec, AddressFamily, BfdSpec, ExportSpec, GracefulRestartSpec, LabelSelector,
    LocalAsnOptions, MaxPrefixesSpec, ObjectStatus, PeerAsn, PoliciesSpec, RoleSpec,
    RouteReflectorSpec, SecretKeyRef, TimersSpec,
};

/// A router that nodes peer with.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "redstart.dev",
    version = "v1alpha1",
    kind = "BGPPeer",
    plural = "bgppeers",
    singular = "bgppeer",
    shortname = "bgpp",
    category = "redstart",
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "A router that selected nodes peer with, such as the switch at the top of their rack.",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(
        name = "Range",
        type_ = "string",
        json_path = ".spec.listenRange.cidr",
        priority = 1
    ),
    printcolumn(
        name = "Interface",
        type_ = "string",
        json_path = ".spec.interface",
        priority = 1
    ),
    printcolumn(
        name = "Gateway",
        type_ = "string",
        json_path = ".spec.defaultGateway",
        priority = 1
    ),
    printcolumn(name = "ASN", type_ = "string", json_path = ".spec.asn"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.address), has(self.listenRange), has(self.interface), has(self.defaultGateway)].filter(said, said).size() == 1").message("exactly one of address, listenRange, interface and defaultGateway must be set"))]
#[x_kube(validation = Rule::new("!has(self.sourceAddress) || has(self.address)").message("sourceAddress needs an address"))]
#[x_kube(validation = Rule::new("!(has(self.passwordSecretRef) && has(self.tcpAO) && self.tcpAO.size() > 0)").message("passwordSecretRef and tcpAO exclude each other"))]
#[x_kube(validation = Rule::new("!(has(self.listenRange) && has(self.tcpAO) && self.tcpAO.size() > 0)").message("a listen range cannot have tcpAO keys"))]
#[x_kube(validation = Rule::new("!has(self.bindInterface) || !has(self.interface)").message("a session over an interface is bound to that one: bindInterface and interface exclude each other"))]
#[x_kube(validation = Rule::new("!(has(self.ebgpMultihop) && has(self.ttlSecurity))").message("ebgpMultihop and ttlSecurity exclude each other"))]
#[x_kube(validation = Rule::new("!(has(self.strictRole) && self.strictRole) || has(self.role)").message("strictRole says nothing without a role"))]
#[x_kube(validation = Rule::new("!has(self.sourceAddress) || !has(self.address) || !isIP(self.sourceAddress) || !isIP(self.address) || ip(self.sourceAddress).family() == ip(self.address).family()").message("sourceAddress and address must be of the same family"))]
#[x_kube(validation = Rule::new("has(self.localASN) || !has(self.localASNOptions) || (self.localASNOptions.noPrepend && self.localASNOptions.replaceAS)").message("localASNOptions say nothing without a localASN"))]
#[x_kube(validation = Rule::new("!has(self.addPath) || !has(self.addPath.maxPaths) || self.addPath.send").message("addPath.maxPaths says nothing where addPath.send is off"))]
#[x_kube(validation = Rule::new("!has(self.maxPrefixes) || !has(self.maxPrefixes.restartSeconds) || self.maxPrefixes.ipv4 > 0 || self.maxPrefixes.ipv6 > 0").message("maxPrefixes.restartSeconds says nothing without a limit"))]
#[x_kube(validation = Rule::new("!(has(self.extendedNextHop) && self.extendedNextHop) || !has(self.families) || self.families.size() == 0 || 'IPv4' in self.families").message("extendedNextHop is about IPv4 routes, and families has no IPv4"))]
#[x_kube(validation = Rule::new("!has(self.listenRange) || !has(self.port) || self.port == 179").message("port says nothing beside listenRange: nodes never dial such routers"))]
#[x_kube(validation = Rule::new("!has(self.interface) || !has(self.ebgpMultihop)").message("the router at the other end of an interface is one hop away: ebgpMultihop and interface exclude each other"))]
#[x_kube(validation = Rule::new("self.asn != 'External' || !has(self.routeReflector) || !self.routeReflector.client").message("only an internal router can be a client"))]
#[x_kube(validation = Rule::new("self.asn != 'Internal' || !has(self.role)").message("a role says nothing to an internal router"))]
#[x_kube(validation = Rule::new("self.asn != 'Internal' || !has(self.export) || !(self.export.removePrivateAS || self.export.routeServerClient || self.export.allowPeerAS)").message("removePrivateAS, routeServerClient and allowPeerAS say nothing to an internal router"))]
#[x_kube(validation = Rule::new("self.asn != 'Internal' || !has(self.localASNOptions) || (self.localASNOptions.noPrepend && self.localASNOptions.replaceAS)").message("localASNOptions say nothing to an internal router"))]
pub struct BGPPeerSpec {
    /// Which nodes peer with it. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// The router's IP address. Exactly one of `address`, `listenRange`, `interface` and
    /// `defaultGateway` says where the router is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45))]
    #[x_kube(validation = Rule::new("isIP(self) && (ip(self).isGlobalUnicast() || ip(self).family() == 4 && ip(self).isLinkLocalUnicast())").message("not an IP address of a router or a node"))]
    pub address: Option<String>,
    /// Instead of one address: every router that connects from a range of addresses. Each gets a
    /// session of its own, named after this object and its address, with everything that this object
    /// says. Nodes never dial such routers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_range: Option<ListenRangeSpec>,
    /// Instead of an address: the router at the other end of this network interface, such as `eth1`,
    /// whose IPv6 link-local address is found out (unnumbered peering).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new("!self.matches('[/: ]') && !(self in ['.', '..', 'lo'])").message("not the name of a network interface"))]
    pub interface: Option<String>,
    /// Instead of an address: the gateways of each node's default route of this family, as its kernel has
    /// it, each a neighbour of its own, named `OBJECT-ADDRESS`. When the route changes, so do the
    /// neighbours, and one that stays a gateway keeps its session. One object is then enough for all
    /// racks; for sessions in both families it takes two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_gateway: Option<AddressFamily>,
    /// Bind sessions to this network interface, for a router whose address is on several links or in
    /// a VRF. Absent: the kernel's routes say where the router is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new("!self.matches('[/: ]') && !(self in ['.', '..'])").message("not the name of a network interface"))]
    pub bind_interface: Option<String>,
    /// The router's TCP port.
    #[serde(default = "BGPPeerSpec::default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The router's AS: a number, `Internal` (the same as ours) or `External` (any but ours).
    #[x_kube(validation = Rule::new("type(self) == int ? self >= 1 && self <= 4294967294 && !(self in [23456, 65535]) : self in ['Internal', 'External']").message("must be an AS number (1..4294967294, not 23456 or 65535), 'Internal' or 'External'"))]
    pub asn: PeerAsn,
    /// The AS number to show to this router instead of the node's own.
    #[serde(rename = "localASN", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_294_u64))]
    #[x_kube(validation = Rule::new("!(self in [23456, 65535])").message("AS numbers 23456 and 65535 are reserved"))]
    pub local_asn: Option<u32>,
    /// How both AS numbers show in AS paths while `localASN` is another one than the node's own. As it is
    /// by default, the router sees `localASN` alone, as with Calico's `localASNumber`, BIRD's `local as`
    /// and FRR's `local-as N no-prepend replace-as`. With both false it is as with FRR's `local-as N`. A
    /// change applies to the running session.
    #[serde(rename = "localASNOptions", default)]
    pub local_asn_options: LocalAsnOptions,
    /// Our address towards the router. Absent: the one that the kernel chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45))]
    #[x_kube(validation = Rule::new("isIP(self) && (ip(self).isGlobalUnicast() || ip(self).family() == 4 && ip(self).isLinkLocalUnicast())").message("not an IP address of a router or a node"))]
    pub source_address: Option<String>,
    /// Only accept connections from the router, never open one.
    #[serde(default)]
    pub passive: bool,
    /// How many hops away an eBGP router may be. Absent: 1, directly connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub ebgp_multihop: Option<u8>,
    /// Generalised TTL security (RFC 5082): accept only packets from at most this many hops away.
    /// The router must be set the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 254))]
    pub ttl_security: Option<u8>,
    /// Password of the session (TCP-MD5, RFC 2385). While the Secret or the key is missing a new object has
    /// no session: it never runs without the password that was asked for. One that is changed stays as it
    /// was until the password is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Keys of the TCP Authentication Option (RFC 5925), the better alternative to a password where the
    /// router and the kernels of the nodes have it (Linux since 6.7, built with TCP_AO). Where the
    /// kernel has not, the problem `tcp-ao-unsupported` says so; there, and where a Secret is missing,
    /// there is no session: it never runs without. The first key is the one to send with; the others
    /// are accepted too.
    #[serde(rename = "tcpAO", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(k, self.filter(o, o.sendID == k.sendID).size() == 1 && self.filter(o, o.receiveID == k.receiveID).size() == 1)").message("two keys must not have the same sendID or receiveID"))]
    pub tcp_ao: Vec<TcpAoKeySpec>,
    /// Whether IPv4 routes may have an IPv6 next hop (RFC 8950), where the router can that too. Over an
    /// IPv6 session the node's own routes then have the node's end of it. Absent: only on sessions over
    /// an `interface`. A change resets the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_next_hop: Option<bool>,
    /// Timers, where they differ from the BGPConfiguration.
    #[serde(default)]
    pub timers: TimersSpec,
    /// Address families to exchange routes of. Absent or empty: both. Where the node has no address
    /// of a family, the router is told none of its routes until there is one; that resets nothing. A
    /// change of this list resets the session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub families: Vec<AddressFamily>,
    /// Graceful restart, where it differs from the BGPConfiguration.
    #[serde(default)]
    pub graceful_restart: GracefulRestartSpec,
    /// What to take from the router.
    #[serde(default)]
    pub import: ImportSpec,
    /// What to give to the router.
    #[serde(default)]
    pub export: ExportSpec,
    /// Rules for the routes of this router, asked after those of the BGPConfiguration.
    #[serde(default)]
    pub policies: PoliciesSpec,
    /// Bidirectional Forwarding Detection: finds a dead router within a second. Absent: none. It goes one
    /// hop (UDP port 3784, TTL 255) where the session does: with an `interface`, with `ttlSecurity: 1`,
    /// and with an external router without `ebgpMultihop`. Else it goes several (UDP port 4784), as with
    /// an internal router. The router has to do the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdSpec>,
    /// Route reflection.
    #[serde(default)]
    pub route_reflector: RouteReflectorSpec,
    /// How many routes the router may send.
    #[serde(default)]
    pub max_prefixes: MaxPrefixesSpec,
    /// Several paths for one prefix.
    #[serde(default)]
    pub add_path: AddPathSpec,
    /// What the node is to the router, if that is external: from then on routes that are for
    /// customers only go to nobody else (RFC 9234). A change resets the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleSpec>,
    /// Whether there is no session with a router that does not say its own role.
    #[serde(default)]
    pub strict_role: bool,
    /// Whether the accumulated distance of a route, AIGP, is taken from the router and given to it
    /// (RFC 7311). Absent: if the router is internal. A smaller distance beats a shorter AS path, so
    /// say yes to an external router of the same administration only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aigp: Option<bool>,
}

impl BGPPeerSpec {
    /// The port of BGP.
    pub(crate) fn default_port() -> u16 {
        179
    }
}

/// Where routers may connect from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenRangeSpec {
    /// The addresses, such as `192.0.2.0/24`.
    #[schemars(length(min = 4, max = 49))]
    #[x_kube(validation = Rule::new("isCIDR(self)").message("not a CIDR"))]
    pub cidr: String,
    /// The most routers to have sessions with at once, on each node. The connections of others are
    /// refused and counted. A lower limit ends no session.
    #[serde(default = "ListenRangeSpec::default_limit")]
    #[schemars(range(min = 1, max = 10000))]
    pub limit: u32,
}

impl ListenRangeSpec {
    fn default_limit() -> u32 {
        100
    }
}

/// A key of the TCP Authentication Option. The router has the same one, with the two numbers swapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpAoKeySpec {
    /// The number that the node's segments carry.
    #[serde(rename = "sendID")]
    #[schemars(range(max = 255))]
    pub send_id: u8,
    /// The number that the router's segments carry.
    #[serde(rename = "receiveID")]
    #[schemars(range(max = 255))]
    pub receive_id: u8,
    /// How segments are authenticated (RFC 5926).
    #[serde(default)]
    pub algorithm: TcpAoAlgorithm,
    /// The key itself.
    pub secret_ref: SecretKeyRef,
}

/// How segments are authenticated (RFC 5926).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TcpAoAlgorithm {
    /// HMAC-SHA-1-96.
    #[default]
    #[serde(rename = "HMAC-SHA-1-96")]
    HmacSha1,
    /// AES-128-CMAC-96.
    #[serde(rename = "AES-128-CMAC-96")]
    AesCmac,
}

/// What to take from a router. The cluster's own pod CIDRs are always refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImportSpec {
    /// Whether to take a default route.
    pub default_route: bool,
    /// How often the node's own AS may be in the path of a route: more than 0 where parts of one AS
    /// reach each other through another AS only.
    #[serde(rename = "allowOwnAS")]
    #[schemars(range(max = 10))]
    pub allow_own_as: u8,
    /// Whether to take from the router, and give it, routes with an AS_SET in the path, which RFC
    /// 9774 forbids.
    #[serde(rename = "acceptASSets")]
    pub accept_as_sets: bool,
    /// Whether to take from an external router that is directly connected routes whose next hop is
    /// outside the subnet that it shares with the node. RFC 4271 has them ignored.
    pub accept_remote_next_hops: bool,
    /// Whether routes of the router lose their MED (MULTI_EXIT_DISC) before the best is chosen.
    /// Policies do not see it either; one that a policy sets counts.
    #[serde(rename = "removeMED")]
    pub remove_med: bool,
    /// Whether the community GRACEFUL_SHUTDOWN from an external router is ignored. It makes a route
    /// the last choice (RFC 8326).
    pub ignore_graceful_shutdown: bool,
}
