//! How many messages there were, by role of the neighbour.
//!
//! What counts must not go back when a neighbour leaves: whoever scrapes would take it for a new beginning, and
//! all that is left for an increase.

use std::collections::BTreeMap;

use super::Neighbours;
use crate::speaker::{neighbour::Neighbour, translate::role};

/// Messages by the neighbour's role, direction and type.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Messages(
    pub(in super::super) BTreeMap<(&'static str, &'static str, &'static str), u64>,
);

impl Messages {
    /// Those of a neighbour.
    pub(super) fn add(&mut self, neighbour: &Neighbour) {
        let role = role(&neighbour.spec.role);
        let status = neighbour.handle.status();
        for (direction, counters) in [("received", &status.received), ("sent", &status.sent)] {
            for (kind, count) in counters.by_type() {
                *self.0.entry((role, direction, kind)).or_default() += count;
            }
        }
    }
}

impl Neighbours {
    /// Of all neighbours that there are and were.
    pub(in super::super) fn messages(&self) -> Messages {
        let mut messages = self.past_messages.clone();
        self.by_name.values().for_each(|one| messages.add(one));
        messages
    }
}
