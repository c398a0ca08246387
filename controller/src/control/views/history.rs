//! The answer to `history`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that happened to the session with a neighbour, once or several times in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    /// The neighbour.
    #[serde(default)]
    pub peer: String,
    /// When, for the first time.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// When, for the last time.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: Timestamp,
    /// How often.
    pub times: u64,
    /// What, as an identifier.
    pub event: String,
    /// The same in words.
    pub text: String,
}
