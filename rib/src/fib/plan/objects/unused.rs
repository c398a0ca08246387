//! Objects that nobody uses any more: kept for a moment, for routes often come back to the gateways
//! that they left, and then removed.
//!
//! Nothing looks for them. An object is noted when it loses its last user, or is new and has none yet,
//! and is looked at again when its time comes.

use std::collections::BTreeSet;

use redstart_bgp::time::Instant;

use super::{
    super::super::object::{NexthopChange, NexthopId},
    Changes, Content, Objects, There,
};

/// Where an object is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Nowhere.
    #[default]
    No,
    /// It may be unused; for how long is not known yet.
    Noted,
    /// It is unused, and will be removed then.
    At(Instant),
}

/// The objects that may be unused; nobody else needs to be looked at.
#[derive(Debug, Default)]
pub(super) struct Unused {
    /// Without a moment yet.
    noted: Vec<NexthopId>,
    leaving: BTreeSet<(Instant, NexthopId)>,
}

impl Objects {
    /// Somebody uses the object now: a route that names it, or a group that has it as a leg. Nobody put
    /// it right while nobody used it.
    pub(in super::super) fn hold(&mut self, id: NexthopId) {
        if !self.table.hold(id) {
            return;
        }
        let Some(object) = self.table.get_mut(id) else {
            return;
        };
        if object.is_wrong() {
            self.dirty.insert(id);
        }
        if let Leaving::At(at) = object.leaving {
            object.leaving = Leaving::No;
            self.unused.leaving.remove(&(at, id));
        }
    }

    /// Somebody does not use the object any more.
    pub(in super::super) fn let_go(&mut self, id: NexthopId) {
        if self.table.let_go(id) {
            self.note(id);
        }
    }

    /// The object may be unused.
    pub(in super::super) fn note(&mut self, id: NexthopId) {
        let is_used = self.table.users(id) > 0;
        if let Some(object) = self.table.get_mut(id)
            && object.leaving == Leaving::No
            && !is_used
        {
            object.leaving = Leaving::Noted;
            self.unused.noted.push(id);
        }
    }

    /// Objects that nobody uses go at once: nothing will be wanted again.
    pub(in super::super) fn leave(&mut self) {
        self.linger = core::time::Duration::ZERO;
        for (_, id) in core::mem::take(&mut self.unused.leaving) {
            if let Some(object) = self.table.get_mut(id) {
                object.leaving = Leaving::Noted;
                self.unused.noted.push(id);
            }
        }
    }

    /// Removes what nobody uses and nobody has used for a while. Legs follow when no group has them any
    /// more.
    pub(in super::super) fn collect(&mut self, now: Instant, changes: &mut Changes) {
        for id in core::mem::take(&mut self.unused.noted) {
            let is_used = self.table.users(id) > 0;
            if let Some(object) = self.table.get_mut(id)
                && object.leaving == Leaving::Noted
            {
                object.leaving = Leaving::No;
                // One that waits for an answer is noted again when that comes.
                if !is_used && !object.in_flight {
                    self.leave_at(id, now + self.linger);
                }
            }
        }
        while let Some(&(at, id)) = self.unused.leaving.first()
            && at <= now
        {
            self.unused.leaving.pop_first();
            self.expire(id, now, changes);
        }
    }

    fn leave_at(&mut self, id: NexthopId, at: Instant) {
        if let Some(object) = self.table.get_mut(id) {
            object.leaving = Leaving::At(at);
            self.unused.leaving.insert((at, id));
        }
    }

    fn expire(&mut self, id: NexthopId, now: Instant, changes: &mut Changes) {
        let Some(object) = self.table.get_mut(id) else {
            return;
        };
        object.leaving = Leaving::No;
        if object.in_flight {
            return;
        }
        let retry_at = object.trouble.as_ref().map_or(now, |t| t.retry_at);
        if retry_at > now {
            return self.leave_at(id, retry_at);
        }
        if object.there == There::Absent {
            return self.remove(id);
        }
        object.in_flight = true;
        changes.push((id, NexthopChange::Delete));
        self.table.hide(id);
        self.dirty.remove(&id);
    }

    /// When the next unused object is to be removed.
    pub(super) fn next_to_leave(&self) -> Option<Instant> {
        self.unused.leaving.first().map(|(at, _)| *at)
    }

    /// How many objects are on their way out, or may be: all that [`collect`](Self::collect) looks at.
    #[cfg(test)]
    pub(in super::super) fn unused(&self) -> usize {
        self.unused.noted.len() + self.unused.leaving.len()
    }

    /// The object, about to be taken out of the table, is not on its way out any more.
    pub(super) fn forget_leaving(&mut self, id: NexthopId) {
        if let Some(object) = self.table.get_mut(id)
            && let Leaving::At(at) = core::mem::take(&mut object.leaving)
        {
            self.unused.leaving.remove(&(at, id));
        }
    }

    /// The legs of a group have a user less.
    pub(super) fn let_go_of_legs(&mut self, content: &Content) {
        for member in content.members() {
            self.let_go(member.leg);
        }
    }

    /// The legs of a group have a user more.
    pub(super) fn hold_legs(&mut self, content: &Content) {
        for member in content.members() {
            self.hold(member.leg);
        }
    }
}
