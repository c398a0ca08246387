//! Update logs: `BGPConfiguration.spec.mrt`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A log of every BGP message and every change of state on each node, as MRT files (RFC 6396 section
/// 4.4) in a directory of its own. A disk that is slow or full makes no session wait: what cannot be
/// written is lost, and counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MrtLogSpec {
    /// The directory, which must be there: in a pod, a volume. Files are called
    /// `updates.NODE.YYYYMMDD.HHMMSS.mrt`, by when they begin (UTC); others are left alone.
    #[schemars(length(min = 2, max = 1024))]
    #[x_kube(validation = Rule::new("self.startsWith('/')").message("must be an absolute path"))]
    pub directory: String,
    /// When a new file is begun, in seconds: at every full 15 minutes with 900. Sooner when the
    /// largest size is reached.
    #[serde(default = "default::rotate_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub rotate_seconds: u32,
    /// How large a file may become, in megabytes (of 2^20 octets).
    #[serde(default = "default::max_file_megabytes")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_file_megabytes: u32,
    /// How many files each node keeps: the oldest goes when there is something in one more, and sooner
    /// on a full disk. One more than these, times `maxFileMegabytes`, is the most that the log takes.
    #[serde(default = "default::keep_files")]
    #[schemars(range(min = 2, max = 1000))]
    pub keep_files: u32,
    /// Whether messages that the node sends are in it, beside those that it receives.
    #[serde(default)]
    pub sent_messages: bool,
}

/// Built-in defaults. They are functions because serde and the schema want them so.
mod default {
    pub(super) fn rotate_seconds() -> u32 {
        3600
    }
    pub(super) fn max_file_megabytes() -> u32 {
        32
    }
    pub(super) fn keep_files() -> u32 {
        48
    }
}
