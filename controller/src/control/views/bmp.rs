//! Monitoring stations.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A monitoring station.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BmpStation {
    /// Where it listens.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Which tables it is told, by the names of `BGPConfiguration`.
    pub tables: Vec<String>,
    /// `connecting`, `dumping` (it is told everything for the first time), or `synchronised`.
    pub state: String,
    /// Since when there is a connection, or none.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Why there is none, or the last one ended, as an identifier.
    pub last_error: Option<String>,
    /// The same, in words.
    pub last_error_text: Option<String>,
    /// Connections so far.
    pub connections: u64,
    /// Connections that ended because the station was too slow: it was told everything again.
    pub too_slow: u64,
    /// Messages so far.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
    /// Routes that no message could carry.
    pub unsendable: u64,
}
