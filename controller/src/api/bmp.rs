//! Monitoring stations: part of `BGPConfiguration`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A monitoring station that every node tells of its sessions and routes, by the BGP Monitoring Protocol
/// (RFC 7854). The node connects to it, and tells everything again on each new connection. A station that
/// is slow or gone makes nothing else wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BmpStationSpec {
    /// The station's IP address.
    #[schemars(length(min = 2, max = 45))]
    #[x_kube(validation = Rule::new("isIP(self)").message("must be an IP address"))]
    pub address: String,
    /// The TCP port that it listens on.
    #[serde(default = "default::port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Which tables it is told. `AdjRIBInPre`: what each neighbour said, before policies.
    /// `AdjRIBInPost`: what of it was taken, as policies made it. `LocRIB`: the best path to each
    /// destination (RFC 9069). `AdjRIBOutPost`: what each neighbour is told (RFC 8671).
    #[serde(default = "default::tables")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self.all(t, self.exists_one(u, u == t))").message("a table is named once"))]
    pub tables: Vec<BmpTable>,
    /// How often, in seconds, it is told how many routes there are; 0 for never.
    #[serde(default = "default::statistics_seconds")]
    #[schemars(range(max = 86400))]
    pub statistics_seconds: u32,
}

/// A table that a monitoring station may be told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum BmpTable {
    /// What each neighbour said, before policies.
    #[serde(rename = "AdjRIBInPre")]
    AdjRibInPre,
    /// What of it was taken, as policies made it.
    #[serde(rename = "AdjRIBInPost")]
    AdjRibInPost,
    /// The best path to each destination.
    #[serde(rename = "LocRIB")]
    LocRib,
    /// What each neighbour is told.
    #[serde(rename = "AdjRIBOutPost")]
    AdjRibOutPost,
}

/// Built-in defaults. They are functions because serde and the schema want them so.
mod default {
    use super::BmpTable;

    pub(super) fn port() -> u16 {
        11019
    }
    pub(super) fn tables() -> Vec<BmpTable> {
        vec![BmpTable::AdjRibInPre, BmpTable::LocRib]
    }
    pub(super) fn statistics_seconds() -> u32 {
        60
    }
}
