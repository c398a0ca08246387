//! What has changed, as fine as a compile can make use of it.
//!
//! Of all objects, EndpointSlices change most, and each change concerns one Service. So Services are
//! told apart; a change of anything else is a change of everything.

use std::collections::BTreeSet;

use super::ServiceKey;

/// What has changed since somebody last looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Something that any part of a compile may depend on.
    pub everything: bool,
    /// Services that changed, or whose endpoints did; those that came and went among them.
    pub services: BTreeSet<ServiceKey>,
}

impl Changes {
    /// Everything may have changed.
    #[must_use]
    pub fn everything() -> Self {
        Self::everything_if(true)
    }

    /// Whether nothing has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.services.is_empty()
    }

    pub(super) fn everything_if(everything: bool) -> Self {
        let services = BTreeSet::new();
        Self {
            everything,
            services,
        }
    }

    pub(super) fn of(services: impl IntoIterator<Item = ServiceKey>) -> Self {
        Self {
            everything: false,
            services: services.into_iter().collect(),
        }
    }

    /// These and those.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.everything |= other.everything;
        if self.services.len() < other.services.len() {
            std::mem::swap(&mut self.services, &mut other.services);
        }
        self.services.extend(other.services);
        self
    }
}
