//! `BFDProfile`: how fast a dead neighbour is found.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ObjectStatus;

/// How fast a dead neighbour is found.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "redstart.dev",
    version = "v1alpha1",
    kind = "BFDProfile",
    plural = "bfdprofiles",
    singular = "bfdprofile",
    shortname = "bfdp",
    category = "redstart",
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "How fast a dead neighbour is found by Bidirectional Forwarding Detection (RFC 5880). It does nothing until a BGPPeer (`bfd.profile`) or the mesh in the BGPConfiguration (`mesh.bfd.profile`) names it. Times are in milliseconds.",
    printcolumn(
        name = "Receive",
        type_ = "integer",
        json_path = ".spec.receiveInterval"
    ),
    printcolumn(
        name = "Transmit",
        type_ = "integer",
        json_path = ".spec.transmitInterval"
    ),
    printcolumn(
        name = "Multiplier",
        type_ = "integer",
        json_path = ".spec.detectMultiplier"
    ),
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
#[x_kube(validation = Rule::new("!(self.passiveMode && self.echoMode)").message("a passive node sends no echo packets: echoMode and passiveMode exclude each other"))]
pub struct BFDProfileSpec {
    /// How often control packets can be taken, in milliseconds: the neighbour sends no more often
    /// (Required Min RX Interval).
    #[serde(default = "default::interval")]
    #[schemars(range(min = 10, max = 60000))]
    pub receive_interval: u32,
    /// How often control packets are to be sent, in milliseconds, as far as the neighbour can take
    /// them (Desired Min TX Interval).
    #[serde(default = "default::interval")]
    #[schemars(range(min = 10, max = 60000))]
    pub transmit_interval: u32,
    /// After how many missing packets the neighbour counts as dead. It applies to what the neighbour
    /// expects of the node (Detect Mult).
    #[serde(default = "default::multiplier")]
    #[schemars(range(min = 2, max = 255))]
    pub detect_multiplier: u8,
    /// Send echo packets, which a directly connected neighbour returns in its forwarding plane. Not
    /// implemented: none are sent, and the neighbour is told to send none. The rest of the profile is
    /// in force, and its condition `Accepted` says NotImplemented. The field is there for profiles
    /// that are shared with other speakers.
    #[serde(default)]
    pub echo_mode: bool,
    /// How often echo packets are sent and can be returned, in milliseconds. Not implemented, as
    /// `echoMode`.
    #[serde(default = "default::echo_interval")]
    #[schemars(range(min = 10, max = 60000))]
    pub echo_interval: u32,
    /// Wait for the neighbour to begin, rather than sending at once.
    #[serde(default)]
    pub passive_mode: bool,
    /// Least TTL of packets from a neighbour that is more than one hop away: 254 is one router
    /// between. Packets of one that is directly connected must have 255 (RFC 5881).
    #[serde(rename = "minimumTTL", default = "default::minimum_ttl")]
    #[schemars(range(min = 1, max = 254))]
    pub minimum_ttl: u8,
}

impl Default for BFDProfileSpec {
    fn default() -> Self {
        Self {
            receive_interval: default::interval(),
            transmit_interval: default::interval(),
            detect_multiplier: default::multiplier(),
            echo_mode: false,
            echo_interval: default::echo_interval(),
            passive_mode: false,
            minimum_ttl: default::minimum_ttl(),
        }
    }
}

/// Bidirectional Forwarding Detection for a session. A failure ends the BGP session at once and takes
/// its routes away, also with graceful restart.
///
/// It goes one hop (RFC 5881: UDP port 3784, TTL 255) where the BGP session does: with an external
/// router without `ebgpMultihop`, or with `ttlSecurity: 1`. Else it goes several (RFC 5883: UDP port
/// 4784), as with an internal router and between the nodes. The other end has to do the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BfdSpec {
    /// Name of a BFDProfile. Absent: the defaults that a profile has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub profile: Option<String>,
}

mod default {
    pub(super) fn interval() -> u32 {
        300
    }
    pub(super) fn multiplier() -> u8 {
        3
    }
    pub(super) fn echo_interval() -> u32 {
        50
    }
    pub(super) fn minimum_ttl() -> u8 {
        254
    }
}
