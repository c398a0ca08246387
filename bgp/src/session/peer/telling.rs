//! What is to be told, in order, UPDATEs that come after each other in one piece.

use std::collections::VecDeque;

use super::super::event::Event;
use crate::wire::Updates;

#[derive(Debug, Default)]
pub(super) struct Telling {
    events: VecDeque<Event>,
    /// UPDATEs after all of those.
    updates: Updates,
}

impl Telling {
    pub(super) fn push(&mut self, event: Event) {
        self.close();
        self.events.push_back(event);
    }

    /// The UPDATEs that the next one joins. A read brought so many octets, which may hold more of them.
    pub(super) fn updates(&mut self, octets: usize) -> &mut Updates {
        if self.updates.is_empty() {
            self.updates = Updates::read(octets);
        }
        &mut self.updates
    }

    /// Nothing joins the UPDATEs any more.
    fn close(&mut self) {
        if !self.updates.is_empty() {
            let updates = core::mem::take(&mut self.updates);
            self.events.push_back(Event::Updates(updates));
        }
    }

    pub(super) fn next(&mut self) -> Option<Event> {
        if self.events.is_empty() {
            self.close();
        }
        self.events.pop_front()
    }

    /// Gives the room back if there is nothing in it.
    pub(super) fn shrink(&mut self) {
        if self.events.is_empty() && self.updates.is_empty() {
            *self = Self::default();
        }
    }
}
