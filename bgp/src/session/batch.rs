//! What passes between a session and the routing table that feeds it.

use core::fmt;
use std::sync::Arc;

use crate::types::{FamilySet, NlriSet, PathAttributes};

/// A configured neighbour, for as long as it is configured. Numbers are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer{}", self.0)
    }
}

/// Route changes for one peer, pulled by its session when the socket can take more.
///
/// A prefix is in at most one list. The session sends withdrawals first: they free what the
/// announcements may need, and a lost route matters more than a better one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutBatch {
    /// Routes that the peer must forget.
    pub withdraw: Vec<NlriSet>,
    /// Routes to announce, grouped by attribute set: each group packs into as few UPDATEs as fit.
    pub reach: Vec<(Arc<PathAttributes>, NlriSet)>,
    /// Families whose initial table is complete with this batch (RFC 4724 section 2).
    pub end_of_rib: FamilySet,
    /// Families whose routes are sent again, beginning with this batch (RFC 7313 section 4).
    pub refresh_begin: FamilySet,
    /// Families all of whose routes were sent again since the beginning was told, counting this batch.
    pub refresh_end: FamilySet,
    /// Whether there is more to pull at once: a message that is not full may wait for the next batch.
    pub more: bool,
}

impl OutBatch {
    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.withdraw.is_empty()
            && self.reach.is_empty()
            && self.end_of_rib.is_empty()
            && self.refresh_begin.is_empty()
            && self.refresh_end.is_empty()
    }
}
