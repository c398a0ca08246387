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
    /// `writing`, or `failing`: nothing can be written, and it is tried again.
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
    /// Files begun so far.
    pub files: u64,
    /// Records written so far.
    pub records: u64,
    /// Their octets.
    pub octets: u64,
    /// Records that are lost, because they came faster than they could be written.
    pub lost: u64,
}
