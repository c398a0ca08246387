//! The answer to `why-down`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Notice;

/// Why there is no session with a neighbour, and what can be done about it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhyDown {
    /// The neighbour.
    pub peer: String,
    /// The object that asked for it.
    pub object: String,
    /// RFC 4271 state.
    pub state: String,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Its address and port, once known.
    pub remote: Option<String>,
    /// What is the matter, the likeliest first. Empty while there is a session.
    pub causes: Vec<Cause>,
    /// Why the last attempt or session ended.
    pub last_error: Option<Notice>,
    /// The last NOTIFICATION that it sent us.
    pub last_received: Option<Notice>,
    /// The last NOTIFICATION that we sent it.
    pub last_sent: Option<Notice>,
    /// What TCP and the listener have seen, as far as it may be about this neighbour.
    pub seen: Vec<String>,
    /// Capabilities that we offer.
    pub offered: Vec<String>,
    /// Capabilities that it offered, while there is a session.
    pub offered_by_peer: Vec<String>,
    /// What both sides use of that.
    pub agreed: Vec<String>,
}

/// One thing that may be the matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// A stable identifier.
    pub id: String,
    /// What it is, in a sentence.
    pub says: String,
    /// What to do about it.
    pub suggestion: String,
}
