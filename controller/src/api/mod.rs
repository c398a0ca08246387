//! The objects of API group `redstart.dev`, as Rust types from which the CRDs are generated.
//!
//! What can be checked in one object alone is checked by the API server, from the schema and its CEL
//! rules; the same is checked again by [`index`](crate::index) when an object is read, because a
//! directory of manifests has no API server in front of it. Fields follow what users of Calico,
//! Cilium and MetalLB know. Types here are the wire form (`String` for addresses); nothing else in
//! the program reads them but `index`, which parses them once.
//!
//! Doc comments become the field descriptions that `kubectl explain` shows: they address users.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "two printer columns may have one type"
)]

mod advertisement;
mod bfd_profile;
mod bmp;
mod configuration;
mod crds;
mod drain;
mod kernel;
mod mesh;
mod mrt;
mod node_status;
mod peer;
mod policy;
mod remote_as;
mod rules;
pub mod schema;
mod selector;
mod services;
mod shared;

pub use advertisement::{BGPAdvertisement, BGPAdvertisementSpec, PeerSelector};
pub use bfd_profile::{BFDProfile, BFDProfileSpec, BfdSpec};
pub use bmp::{BmpStationSpec, BmpTable};
pub use configuration::{BGPConfiguration, BGPConfigurationSpec, ListenOn, RouterIdRule};
pub use crds::{crds, crds_yaml};
pub use drain::{DrainSpec, IntOrPercent};
pub use kernel::{KernelSpec, NextHopsSpec, PreferredSource, ResilientSpec};
pub use mesh::{AutoMeshSpec, MeshMode, MeshReflectorSpec, MeshSpec};
pub use mrt::MrtLogSpec;
pub use node_status::{
    BGPNodeStatus, BGPNodeStatusSpec, KernelStatus, NodeNotice, NodePeerRoutes, NodePeerStatus,
    NodeProblem, NodeStatus,
};
pub use peer::{BGPPeer, BGPPeerSpec, ImportSpec, ListenRangeSpec, TcpAoAlgorithm, TcpAoKeySpec};
pub use policy::{
    BGPPolicy, BGPPolicySpec, BetweenSpec, CommunityChangeSpec, CommunityMatchSpec, MatchSpec,
    PathMatchSpec, PoliciesSpec, PolicyAction, PolicyRuleSpec, PrefixRangeSpec, RouteSourceSpec,
    SafeDefaultSpec, SetSpec,
};
pub use remote_as::PeerAsn;
pub use rules::{
    AddPathSpec, ExportSpec, LocalAsnOptions, MaxPrefixesSpec, NextHopSpec, RoleSpec,
    RouteReflectorSpec,
};
pub use selector::{LabelSelector, LabelSelectorRequirement, SelectorOperator};
pub use services::{
    AggregateSpec, Blackhole, ServiceAddress, ServiceAdvertisementSpec, ServicesSpec,
};
pub use shared::{
    AddressFamily, ConditionSpec, ConditionStatus, GracefulRestartSpec, ObjectStatus, SecretKeyRef,
    TimersSpec,
};

/// The API group.
pub const GROUP: &str = "redstart.dev";
/// What the names of our own annotations begin with.
pub(crate) const ANNOTATION_PREFIX: &str = "redstart.dev/";
/// The API version.
pub const VERSION: &str = "v1alpha1";
/// Group and version, as objects name them in `apiVersion`.
pub const API_VERSION: &str = "redstart.dev/v1alpha1";
/// The namespace that Redstart runs in, and the only one whose Secrets it reads.
pub const NAMESPACE: &str = "redstart-system";
/// The one `BGPConfiguration` that is read.
pub const CONFIGURATION_NAME: &str = "default";
/// Node annotation: the node's own AS number.
pub const ANNOTATION_ASN: &str = "redstart.dev/asn";
/// Node annotation: the node's BGP Identifier.
pub const ANNOTATION_ROUTER_ID: &str = "redstart.dev/router-id";
/// Node annotation: the cluster that the node reflects for, where it is a route reflector of the
/// mesh.
pub const ANNOTATION_CLUSTER_ID: &str = "redstart.dev/cluster-id";
/// Node annotation: the node is to be drained. The time (RFC 3339) at which that was asked for, which is
/// what puts several nodes in order, or `true`; `false` is as good as none.
pub const ANNOTATION_DRAIN: &str = "redstart.dev/drain";
/// Node annotation: the node's addresses for BGP, at most one per family, separated by a comma.
pub const ANNOTATION_ADDRESS: &str = "redstart.dev/address";

/// Node label: the node advertises no address of a Service.
pub const LABEL_EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

#[cfg(test)]
mod tests;
