//! `BGPPolicy`: rules that match routes and change them, for what is taken and for what is given.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AddressFamily, LabelSelector, ObjectStatus, PeerSelector};

/// Rules for routes. A policy does nothing until a BGPPeer or the BGPConfiguration names it, under
/// `policies.import` or `policies.export`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "redstart.dev",
    version = "v1alpha1",
    kind = "BGPPolicy",
    plural = "bgppolicies",
    singular = "bgppolicy",
    shortname = "bgppol",
    category = "redstart",
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "Rules that match routes, change them, and say which may pass. A policy does nothing until a BGPPeer or the BGPConfiguration names it, under `policies.import` (what neighbours send) or `policies.export` (what they are sent). Rules are asked in turn, those of the policies named first before those named later; the first that accepts or rejects ends it, and a route that no rule rejects passes. Behind all policies stand the safe defaults, see `overrides`. A change applies to running sessions and resets none.",
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
pub struct BGPPolicySpec {
    /// The rules, asked in this order.
    #[schemars(length(min = 1, max = 1024))]
    pub rules: Vec<PolicyRuleSpec>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.action != 'Reject' || (!has(self.set) && !has(self.overrides))").message("a rule that rejects can neither set nor override anything"))]
pub struct PolicyRuleSpec {
    /// A name for people: `redc` shows it beside the routes that the rule decided about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// What a route must be like: all that is said here. Absent: any route.
    #[serde(default, rename = "match", skip_serializing_if = "is_default")]
    pub matches: MatchSpec,
    /// What is changed on a route that matches.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: SetSpec,
    /// What becomes of a route that matches. `Accept`: it passes, and no later rule or policy is
    /// asked. `Reject`: it does not pass. `Next`: later rules go on with it, as it was changed.
    pub action: PolicyAction,
    /// Safe defaults that do not hold for a route that matches, unless a later rule rejects it. What
    /// no rule overrides stays as it is without policies: a mere `Accept` takes no default route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub overrides: Vec<SafeDefaultSpec>,
}

/// What becomes of a route that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyAction {
    /// It passes, and no later rule is asked.
    Accept,
    /// It does not pass.
    Reject,
    /// Later rules go on with it.
    Next,
}

/// Something that no route does unless it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SafeDefaultSpec {
    /// Import: the default route is not taken from a router.
    DefaultRoute,
    /// Import: nothing within the cluster's own pod and Service ranges is taken from a router.
    ClusterRanges,
    /// Import: no prefix that cannot be routed is taken (loopback, link-local, multicast, reserved).
    Martians,
    /// Export: nothing that was learned is passed on.
    LearnedRoutes,
}

/// What a route must be like: all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchSpec {
    /// Its family is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub families: Vec<AddressFamily>,
    /// Its prefix is within one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub prefixes: Vec<PrefixRangeSpec>,
    /// Its communities.
    #[serde(default, skip_serializing_if = "is_default")]
    pub communities: CommunityMatchSpec,
    /// Its AS path.
    #[serde(default, skip_serializing_if = "is_default")]
    pub as_path: PathMatchSpec,
    /// Its LOCAL_PREF, 100 where it has none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub local_pref: BetweenSpec,
    /// Its MED, 0 where it has none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub med: BetweenSpec,
    /// Where it comes from is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub sources: Vec<RouteSourceSpec>,
    /// The neighbour that it came from. On import that is the neighbour of the session; a route of
    /// the node's own never matches.
    #[serde(default, skip_serializing_if = "is_default")]
    pub learned_from: PeerSelector,
    /// The neighbour of the session, both ways: the one that sent the route, or that it goes to.
    /// Neighbours of the mesh have the name `mesh-NODE` and the labels of the Node.
    #[serde(default, skip_serializing_if = "is_default")]
    pub peers: PeerSelector,
    /// The node that it belongs to has these labels: its prefix lies in a pod CIDR of that node, or
    /// it is a route of that node's own, seen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_nodes: Option<LabelSelector>,
}

/// A prefix, and what is more specific. Without `ge` and `le` just the prefix itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrefixRangeSpec {
    /// The prefix, IPv4 or IPv6.
    #[schemars(
        length(min = 4, max = 49),
        regex(pattern = r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")
    )]
    pub cidr: String,
    /// Least prefix length that matches. Without `le`, up to the longest there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 128))]
    pub ge: Option<u8>,
    /// Greatest prefix length that matches. Without `ge`, from the prefix itself on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 128))]
    pub le: Option<u8>,
}

/// Which communities a route carries. A pattern is a standard (`64512:100`), large (`64512:1:2`) or
/// extended community (`rt:64512:100`, `ro:64512:100`, `generic:0123456789abcdef`), or a well-known
/// name (`no-export`). In place of a number may stand `*` or a range `100-199`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CommunityMatchSpec {
    /// It carries a community that matches one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 40)))]
    pub any: Vec<String>,
    /// For each of these it carries a community that matches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 40)))]
    pub all: Vec<String>,
    /// It carries no community that matches one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 40)))]
    pub none: Vec<String>,
}

/// What an AS path must be like: all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minLength) || !has(self.maxLength) || self.minLength <= self.maxLength").message("minLength is more than maxLength"))]
pub struct PathMatchSpec {
    /// One of these AS numbers is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub contains: Vec<u32>,
    /// It ends with one of these AS numbers: the AS that the route comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub origin: Vec<u32>,
    /// It begins with one of these AS numbers: the neighbouring AS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub neighbor: Vec<u32>,
    /// The whole path matches one of these, from the neighbour to the origin. Words with blanks
    /// between: an AS number, a range `64512-65534`, `?` for any one AS, `*` for any number of them or
    /// none, `+` for at least one. `65000 * 64512-65534`: from neighbour 65000, originated by a
    /// private AS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    pub patterns: Vec<String>,
    /// Least number of hops, as they count when routes are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    /// Greatest number of hops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
}

/// A number within bounds, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("min is more than max"))]
pub struct BetweenSpec {
    /// The least. Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// The greatest. Absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

/// Where a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RouteSourceSpec {
    /// A node of the mesh sent it.
    Mesh,
    /// A router (BGPPeer) sent it.
    Router,
    /// It is the node's own: pod CIDRs, and what BGPAdvertisements say.
    Own,
}

/// What is changed on a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.med) || !has(self.removeMED) || !self.removeMED").message("med and removeMED exclude each other"))]
pub struct SetSpec {
    /// LOCAL_PREF: of several routes the one with the highest wins. External neighbours never see
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    /// MED: of several routes by one neighbouring AS the one with the lowest wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// Take the MED away.
    #[serde(rename = "removeMED", default, skip_serializing_if = "is_default")]
    pub remove_med: bool,
    /// Communities.
    #[serde(default, skip_serializing_if = "is_default")]
    pub communities: CommunityChangeSpec,
    /// Make the AS path longer by this many AS numbers: on export to an external neighbour the
    /// node's own, on import from one the neighbour's. Within the AS it does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub prepend: Option<u8>,
    /// The next hop: an IP address, or on export `Self` (the node) or `Unchanged` (as the route
    /// came), or on import `Peer` (the neighbour). An address of a family that routes cannot have as
    /// next hop on the session leaves them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45))]
    #[x_kube(validation = Rule::new("self in ['Self', 'Unchanged', 'Peer'] || isIP(self)").message("must be an IP address, 'Self', 'Unchanged' or 'Peer'"))]
    pub next_hop: Option<String>,
}

/// How communities are changed: standard (`64512:100`), large (`64512:1:2`) and extended ones
/// (`rt:64512:100`), and well-known names (`no-export`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CommunityChangeSpec {
    /// Take all communities of every kind away first, and put these in their place; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 40)))]
    pub replace: Option<Vec<String>>,
    /// Take away communities that match one of these. In place of a number may stand `*` or a range.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 40)))]
    pub remove: Vec<String>,
    /// Add these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 40)))]
    pub add: Vec<String>,
}

/// Names of BGPPolicies, in the order in which they are asked. While one of them does not exist, what
/// was in force before stays; after a restart nothing passes that way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PoliciesSpec {
    /// For routes that neighbours send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub import: Vec<String>,
    /// For routes that neighbours are sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub export: Vec<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
