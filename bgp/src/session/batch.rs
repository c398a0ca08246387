//! What passes between a session and the routing table that feeds it.

use core::{fmt, ops::Deref};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{
    types::{FamilySet, NlriSet, PathAttributes},
    wire::Codec,
};

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
    pub reach: Announcements,
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

/// Routes with the same attributes.
pub type Announced = (Arc<PathAttributes>, NlriSet);

/// Routes to announce, grouped by attribute set. Copies share them, and what they are encoded to: of peers
/// that are told the same, one encodes it and the others take it.
#[derive(Clone, Default)]
pub struct Announcements(Option<Arc<Shared>>);

struct Shared {
    groups: Vec<Announced>,
    /// On the terms of those who came first: who is ahead of the others may not be like them.
    encoded: [OnceLock<Encoded>; 2],
}

/// The most octets that are kept in a place. A batch of what is usual takes some 70 KiB.
const KEPT: usize = 256 * 1024;

/// What a session makes of announcements.
pub(super) struct Encoded {
    pub(super) terms: Terms,
    pub(super) octets: Bytes,
    pub(super) messages: usize,
    /// What is held back to fill a message.
    pub(super) held: Option<Announced>,
}

/// What that depends on beside them.
#[derive(PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) codec: Codec,
    pub(super) families: FamilySet,
    /// What was held back before.
    pub(super) held: Option<Announced>,
    /// Whether the last message may be held back until it is full.
    pub(super) may_hold: bool,
}

impl Announcements {
    /// What they were encoded to on these terms, if somebody did.
    pub(super) fn encoded(&self, terms: &Terms) -> Option<&Encoded> {
        let mut kept = self.0.as_ref()?.encoded.iter().filter_map(OnceLock::get);
        kept.find(|encoded| encoded.terms == *terms)
    }

    /// Keeps what they are encoded to, if it is not too much and there are others who may ask.
    pub(super) fn keep(&self, octets: &[u8], encoded: impl FnOnce(Bytes) -> Encoded) {
        let Some(shared) = &self.0 else {
            return;
        };
        if Arc::strong_count(shared) < 2 || octets.len() > KEPT {
            return;
        }
        let mut encoded = encoded(Bytes::copy_from_slice(octets));
        for place in &shared.encoded {
            // Somebody may be as far at the same time.
            let taken = place.set(encoded);
            match (taken, place.get()) {
                (Err(ours), Some(there)) if there.terms != ours.terms => encoded = ours,
                _ => return,
            }
        }
    }
}

#[cfg(test)]
impl Announcements {
    /// Replaces the octets that are kept; nobody else has the announcements.
    pub(super) fn replace_encoded(&mut self, octets: &[u8]) {
        let shared = self.0.as_mut().and_then(Arc::get_mut);
        for place in shared.into_iter().flat_map(|shared| &mut shared.encoded) {
            if let Some(encoded) = place.get_mut() {
                encoded.octets = Bytes::copy_from_slice(octets);
            }
        }
    }
}

impl Deref for Announcements {
    type Target = [Announced];

    fn deref(&self) -> &[Announced] {
        self.0.as_ref().map_or(&[], |shared| &shared.groups)
    }
}

impl From<Vec<Announced>> for Announcements {
    fn from(groups: Vec<Announced>) -> Self {
        let encoded = Default::default();
        Self((!groups.is_empty()).then(|| Arc::new(Shared { groups, encoded })))
    }
}

impl FromIterator<Announced> for Announcements {
    fn from_iter<I: IntoIterator<Item = Announced>>(groups: I) -> Self {
        groups.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a> IntoIterator for &'a Announcements {
    type Item = &'a Announced;
    type IntoIter = core::slice::Iter<'a, Announced>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Announcements {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Announcements {}

impl fmt::Debug for Announcements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}
