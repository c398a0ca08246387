//! `BGPNodeStatus`: what the speaker of a node says of itself.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConditionSpec;

/// Nothing is asked for here: the node's speaker writes the status.
#[derive(
    CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq,
)]
#[kube(
    group = "redstart.dev",
    version = "v1alpha1",
    kind = "BGPNodeStatus",
    plural = "bgpnodestatuses",
    singular = "bgpnodestatus",
    shortname = "bgpns",
    category = "redstart",
    status = "NodeStatus",
    derive = "PartialEq",
    doc = "What the speaker of a node says of itself; it has the node's name. Read it, do not write it.",
    printcolumn(name = "ASN", type_ = "integer", json_path = ".status.asn"),
    printcolumn(name = "Router ID", type_ = "string", json_path = ".status.routerID"),
    printcolumn(
        name = "Peers",
        type_ = "integer",
        json_path = ".status.peersConfigured"
    ),
    printcolumn(name = "Up", type_ = "integer", json_path = ".status.peersEstablished"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Heartbeat",
        type_ = "date",
        json_path = ".status.heartbeatTime"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BGPNodeStatusSpec {}

/// What the speaker of a node says of itself. It is written when something changes, at most every
/// few seconds; numbers of routes only together with something else, or with the heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// When this was written (RFC 3339). A speaker that runs and reaches the API server writes it
    /// anew at least every heartbeatSeconds; if it is older than twice that, nothing here is known.
    #[serde(default)]
    pub heartbeat_time: String,
    /// The longest time between two heartbeats.
    #[serde(default)]
    pub heartbeat_seconds: u32,
    /// Version of the speaker.
    #[serde(default)]
    pub version: String,
    /// When the speaker started (RFC 3339).
    #[serde(default)]
    pub started: String,
    /// The node's AS number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// The node's BGP Identifier.
    #[serde(default, rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,
    /// Neighbours in the configuration.
    #[serde(default)]
    pub peers_configured: u32,
    /// Neighbours with a session.
    #[serde(default)]
    pub peers_established: u32,
    /// Prefixes that the node advertises as its own.
    #[serde(default)]
    pub originated: u32,
    /// Prefixes in the table, by family.
    #[serde(default)]
    pub prefixes: BTreeMap<String, u32>,
    /// Learned routes and the kernel.
    #[serde(default)]
    pub kernel: KernelStatus,
    /// `Ready`: a configuration is in force. `Serving`: the node is not drained. `ObjectsAccepted`:
    /// all that the objects ask of this node is in force. `PeersEstablished`: every neighbour has a
    /// session. `KernelInSync`: the kernel has every route that it should have.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[schemars(length(max = 8))]
    #[serde(default)]
    pub conditions: Vec<ConditionSpec>,
    /// Neighbours: first the ones without a session, and routers before nodes.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    #[schemars(length(max = 64))]
    #[serde(default)]
    pub peers: Vec<NodePeerStatus>,
    /// How many neighbours are not listed.
    #[serde(default)]
    pub more_peers: u32,
    /// What is wrong with objects, as this node sees it.
    #[schemars(length(max = 32))]
    #[serde(default)]
    pub problems: Vec<NodeProblem>,
    /// How many problems are not listed.
    #[serde(default)]
    pub more_problems: u32,
}

/// Learned routes and the kernel, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KernelStatus {
    /// Routes that are in the kernel as wanted.
    pub installed: u32,
    /// Routes on their way.
    pub pending: u32,
    /// Routes that are refused or kept back; `redc show kernel` says why.
    pub parked: u32,
    /// Routes of an earlier speaker that are not confirmed yet.
    pub stale: u32,
}

/// A neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePeerStatus {
    /// Its name: that of the BGPPeer, or `mesh-NODE`.
    pub name: String,
    /// The object that asked for it, as Kind/name.
    pub object: String,
    /// `router` or `mesh`.
    pub role: String,
    /// Its address and port, or the interface at whose other end it has not been found yet.
    pub address: String,
    /// Its AS number, where known.
    #[serde(rename = "asn", skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// The AS number that we show it.
    #[serde(rename = "localASN")]
    pub local_asn: u32,
    /// State of the session (RFC 4271).
    pub state: String,
    /// Since when it is in that state, for a session that is established; or when that ended
    /// (RFC 3339).
    pub since: String,
    /// How often the session came up since the speaker started.
    pub established_count: u32,
    /// Why there is no session, or what ended the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The last NOTIFICATION that it sent, with its operator's text (RFC 9003).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_received: Option<NodeNotice>,
    /// The last NOTIFICATION that we sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<NodeNotice>,
    /// Hold time that was agreed on, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_time_seconds: Option<u32>,
    /// Address families of the session.
    #[schemars(length(max = 8))]
    pub families: Vec<String>,
    /// Capabilities that it offered.
    #[schemars(length(max = 24))]
    pub capabilities: Vec<String>,
    /// Routes exchanged with it.
    pub routes: NodePeerRoutes,
}

/// Routes exchanged with a neighbour, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePeerRoutes {
    /// Received and taken.
    pub imported: u32,
    /// Received and refused.
    pub refused: u32,
    /// Sent.
    pub exported: u32,
    /// Kept over its restart, and not confirmed yet.
    pub stale: u32,
}

/// A NOTIFICATION, and when it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeNotice {
    /// When (RFC 3339).
    pub time: String,
    /// What it said, without characters that could deceive a reader.
    pub text: String,
}

/// Something that is wrong with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeProblem {
    /// `error`: something that was asked for is not in force. `warning`: it is, but hardly meant.
    pub severity: String,
    /// The object, as Kind/name.
    pub object: String,
    /// The path of the field.
    pub field: String,
    /// Why, for machines.
    pub reason: String,
    /// Why, for people, and what the speaker does instead.
    pub message: String,
}
