//! How a watch does, for metrics, readiness and the CLI.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use super::diagnose::WatchError;
use crate::index::Kind;

/// Every watch, by kind.
pub type Statuses = BTreeMap<Kind, WatchStatus>;

/// One watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchStatus {
    /// A complete listing has been handed over.
    pub listed: bool,
    /// Changes arrive right now.
    pub connected: bool,
    /// How listings are asked for.
    pub mode: ListMode,
    /// Complete listings, the first one included.
    pub listings: u64,
    /// Failures of any kind; each is followed by another try.
    pub failures: u64,
    /// Objects that arrived and could not be used.
    pub invalid: u64,
    /// When the last event arrived.
    pub last_event: Option<SystemTime>,
    /// The last failure, and when it was. It stays after the watch has recovered.
    pub last_error: Option<(SystemTime, WatchError)>,
}

/// How listings are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListMode {
    /// As the first events of a watch (`sendInitialEvents`).
    #[default]
    StreamingList,
    /// As a list, then a watch: the server does not stream lists.
    ListWatch,
}

impl fmt::Display for ListMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::StreamingList => "streaming-list",
            Self::ListWatch => "list-watch",
        })
    }
}
