//! How the nodes peer with each other: part of `BGPConfiguration`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BfdSpec, LabelSelector, PoliciesSpec, SecretKeyRef};

/// How the nodes peer with each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'RouteReflector' || has(self.routeReflector) && has(self.routeReflector.nodeSelector)").message("mode RouteReflector needs routeReflector.nodeSelector"))]
pub struct MeshSpec {
    /// `FullMesh`: every node peers with every other one. `RouteReflector`: with the nodes that
    /// `routeReflector.nodeSelector` selects. `Auto`: a full mesh up to `auto.fullMeshUpTo` nodes,
    /// then with a few reflectors that the nodes choose by themselves. `None`: only BGPPeers.
    /// Nodes of different AS numbers always peer with each other, because nothing is reflected
    /// between them.
    #[serde(default)]
    pub mode: MeshMode,
    /// Reflectors by label, and their cluster.
    #[serde(default)]
    pub route_reflector: MeshReflectorSpec,
    /// What `Auto` does when.
    #[serde(default)]
    pub auto: AutoMeshSpec,
    /// How long, in seconds, a session that is no longer needed stays after the routes of its node
    /// have come another way, and how long a node that is no longer a reflector goes on reflecting.
    #[serde(default = "default::settle_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub settle_seconds: u16,
    /// Password (TCP-MD5, RFC 2385) of all sessions of the mesh. Where the Secret or the key is missing from
    /// the beginning there is no mesh: sessions never run without the password that was asked for. A
    /// configuration that is changed stays as it was until the password is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Rules for the routes of the mesh, asked after those for all sessions. They can reject and
    /// change routes; a node still speaks for nothing but its own pod CIDRs.
    #[serde(default)]
    pub policies: PoliciesSpec,
    /// Bidirectional Forwarding Detection between the nodes. Absent: none. It goes over several hops
    /// (UDP port 4784), as the sessions of the mesh do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdSpec>,
}

impl Default for MeshSpec {
    fn default() -> Self {
        Self {
            mode: MeshMode::default(),
            route_reflector: MeshReflectorSpec::default(),
            auto: AutoMeshSpec::default(),
            settle_seconds: default::settle_seconds(),
            password_secret_ref: None,
            policies: PoliciesSpec::default(),
            bfd: None,
        }
    }
}

/// How the nodes peer with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MeshMode {
    /// Every node with every other one.
    #[default]
    FullMesh,
    /// Every node with the reflectors, which are chosen by label.
    RouteReflector,
    /// Every node with every other one while they are few, else with reflectors that they choose
    /// by themselves.
    Auto,
    /// Not at all.
    None,
}

/// Route reflectors among the nodes (RFC 4456).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshReflectorSpec {
    /// The nodes that are reflectors in mode `RouteReflector`. While it selects no node of an AS,
    /// the nodes of that AS all peer with each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// One cluster for all reflectors of the mesh in mode `RouteReflector`, written like an IPv4
    /// address; in mode `Auto` it says nothing. Absent, as is best
    /// where every node peers with every reflector: each reflector's own BGP Identifier. The
    /// annotation `redstart.dev/cluster-id` of a Node comes first.
    #[serde(rename = "clusterID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 7, max = 15))]
    #[x_kube(validation = Rule::new("isIP(self) && ip(self).family() == 4").message("must look like an IPv4 address"))]
    pub cluster_id: Option<String>,
}

/// What the mode `Auto` does when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoMeshSpec {
    /// The largest number of nodes that all peer with each other. With up to a tenth more, sessions
    /// that are there stay and no more are made, so that a cluster which grows and shrinks around
    /// this size does not change its sessions each time.
    #[schemars(range(max = 10000))]
    pub full_mesh_up_to: u32,
    /// How many nodes are reflectors; they are spread over the zones
    /// (`topology.kubernetes.io/zone`).
    #[schemars(range(min = 1, max = 16))]
    pub reflectors: u8,
}

impl Default for AutoMeshSpec {
    fn default() -> Self {
        Self {
            full_mesh_up_to: 100,
            reflectors: 3,
        }
    }
}

/// Built-in defaults. They are functions because serde and the schema want them so.
mod default {
    pub(super) fn settle_seconds() -> u16 {
        60
    }
}
