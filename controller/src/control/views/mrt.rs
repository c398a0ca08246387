//! The update log.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log of messages and changes of state in MRT files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MrtLog {
    /// Where the files are.
    pub directory: String,
    /// `writing`, or `failing`: nothing can be written.
    pub state: String,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Why nothing can be written, as an identifier; or, while it is written, `file-not-removed`: an old
    /// file should be gone.
    pub error: Option<String>,
    /// The same, in words.
    pub error_text: Option<String>,
    /// The file that is written, by its name.
    pub file: Option<String>,
    /// Files begun since the speaker started, also with another configuration.
    pub files: u64,
    /// Records written since then.
    pub records: u64,
    /// Their octets.
    pub octets: u64,
    /// Records that are lost since then, because they could not be written in time.
    pub lost: u64,
}
