//! When and how a node is relieved of traffic: part of `BGPConfiguration`.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a node that is drained or shuts down is relieved of traffic. Its routes first get the
/// community GRACEFUL_SHUTDOWN (RFC 8326) and local preference 0, so that traffic finds another way;
/// then they are withdrawn. Sessions stay up. A node is drained by its annotation
/// `redstart.dev/drain`, by one of `taintKeys`, and while it shuts down; never by a cordon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainSpec {
    /// Keys of taints that drain a node. Not `node.kubernetes.io/unschedulable`: a cordon says
    /// nothing about the traffic of a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("!self.exists(key, key == 'node.kubernetes.io/unschedulable')").message("a cordon does not drain a node"))]
    pub taint_keys: Vec<String>,
    /// How long, in seconds, routes are unattractive before they are withdrawn. A drain that has begun goes
    /// on with what was said when it began.
    #[serde(default = "default::wait_seconds")]
    #[schemars(range(max = 3600))]
    pub wait_seconds: u16,
    /// Whether pod CIDRs are withdrawn too. Nobody else can take their traffic: whatever still runs
    /// on the node is cut off then.
    #[serde(rename = "withdrawPodCIDRs", default)]
    pub withdraw_pod_cidrs: bool,
    /// Most nodes that are drained at once, as a number or as a share of all nodes such as `25%`,
    /// which is rounded up. The other ones wait for their turn: in the order of the times at which they
    /// were asked for, as the annotation or the taint says it; what says no time comes after all before it, in the order
    /// in which it was heard of, which speakers keep over their restarts, but not over a boot of their node. A node that is drained already stays so until nothing asks for it. One
    /// that shuts down does not wait, and counts until it is ready again.
    #[serde(default = "default::max_nodes")]
    #[x_kube(validation = Rule::new("type(self) == string ? self.matches('^0*(100|[0-9]{1,2})%$') : self >= 0").message("must be a number, or a share from 0% to 100%"))]
    pub max_nodes: IntOrPercent,
}

impl Default for DrainSpec {
    fn default() -> Self {
        Self {
            taint_keys: Vec::new(),
            wait_seconds: default::wait_seconds(),
            withdraw_pod_cidrs: false,
            max_nodes: default::max_nodes(),
        }
    }
}

/// A number, or a share of all such as `25%`. As wide as the schema (`x-kubernetes-int-or-string`),
/// so that a wrong value is refused with the field's name and not by the decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrPercent {
    /// A number.
    Int(i64),
    /// A share.
    Percent(String),
}

impl IntOrPercent {
    /// How many of `all` that is, if it is a number from 0 or a share from `0%` to `100%`. A share is
    /// rounded up.
    #[must_use]
    pub fn of(&self, all: usize) -> Option<usize> {
        match self {
            Self::Int(n) => usize::try_from(*n).ok(),
            Self::Percent(text) => {
                let percent: usize = text.strip_suffix('%')?.parse().ok()?;
                (percent <= 100).then(|| all.saturating_mul(percent).div_ceil(100))
            }
        }
    }
}

impl JsonSchema for IntOrPercent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IntOrPercent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}

/// Built-in defaults. They are functions because serde and the schema want them so.
mod default {
    use super::IntOrPercent;

    pub(super) fn wait_seconds() -> u16 {
        30
    }
    pub(super) fn max_nodes() -> IntOrPercent {
        IntOrPercent::Percent("25%".to_owned())
    }
}
