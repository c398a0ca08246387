//! Parts that several kinds have in common.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key of a Secret in the namespace `redstart-system`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret. It must be in the namespace `redstart-system`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret's data.
    #[serde(default = "SecretKeyRef::default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl SecretKeyRef {
    fn default_key() -> String {
        "password".to_owned()
    }
}

/// Timers of a session. A change takes effect without a reset: the connect retry time at
/// once, the others when the session is next opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimersSpec {
    /// Hold time to offer, in seconds; keepalives are sent three times as often as the agreed one
    /// asks for. 0 turns both off. Otherwise at least 3 (RFC 4271).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65535))]
    #[x_kube(validation = Rule::new("self == 0 || self >= 3").message("the hold time must be 0 or at least 3 seconds (RFC 4271)"))]
    pub hold_time_seconds: Option<u16>,
    /// Time between two attempts to connect, in seconds, before jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub connect_retry_seconds: Option<u16>,
    /// Time to wait for the neighbour's OPEN before sending ours, in seconds (DelayOpenTime of RFC
    /// 4271). Absent or 0: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65535))]
    pub delay_open_seconds: Option<u16>,
    /// How long the neighbour may take nothing of what there is to send before the session ends, in
    /// seconds (RFC 9687). It is always more than the hold time. Absent: 480, or twice the hold time
    /// if that is more. With a hold time of 0 it does not run. The TCP user timeout of the connection,
    /// which ends it when nothing is acknowledged, is as long. Takes effect with the next session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3, max = 65535))]
    pub send_hold_seconds: Option<u16>,
}

/// Graceful restart (RFC 4724, RFC 8538).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GracefulRestartSpec {
    /// Whether to offer graceful restart, so that neighbours keep our routes while we restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long neighbours shall keep our routes, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4095))]
    pub restart_time_seconds: Option<u16>,
    /// How long routes shall be kept beyond the restart time, as a last resort (RFC 9494), in
    /// seconds: ours by neighbours that can, and theirs by us. 0 or absent: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 16_777_215))]
    pub long_lived_stale_seconds: Option<u32>,
}

/// An address family to exchange unicast routes of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
// What a field of this type says of itself is more than what the type says.
#[schemars(description = "")]
pub enum AddressFamily {
    /// IPv4 unicast.
    IPv4,
    /// IPv6 unicast.
    IPv6,
}

/// What became of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// The generation of the object that the conditions speak about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions; `Accepted` says whether the object is in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[schemars(length(max = 8))]
    pub conditions: Vec<ConditionSpec>,
}

/// One aspect of an object's state, in the form that Kubernetes uses everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConditionSpec {
    /// What it is about, such as `Accepted`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The generation of the object that this was seen at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed (RFC 3339).
    pub last_transition_time: String,
    /// Why, for machines.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known.
    Unknown,
}
