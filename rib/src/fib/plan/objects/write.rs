//! Operations on objects: what is needed before a route can name one, and what must be written at once.

use redstart_bgp::time::Instant;
use smallvec::SmallVec;

use super::{
    super::super::{
        object::{Group, NexthopChange, NexthopId, NexthopSpec},
        reason::ParkReason,
    },
    Changes, Content, Objects, There, Trouble,
};

impl Objects {
    /// What is to be written for an object to be as it shall be: nothing if it is, or is on its way.
    ///
    /// # Errors
    /// It was refused, and it is not time yet to try again.
    pub(in super::super) fn prepare(
        &mut self,
        id: NexthopId,
        now: Instant,
        changes: &mut Changes,
    ) -> Result<(), Trouble> {
        let Some(object) = self.table.get(id) else {
            return Ok(());
        };
        if object.in_flight || object.there == There::Same {
            return Ok(());
        }
        if let Some(trouble) = object.trouble.as_ref().filter(|t| t.retry_at > now) {
            return Err(Trouble::clone(trouble));
        }
        if let Content::Group { members, .. } = &object.content {
            for member in members.clone() {
                self.prepare(member.leg, now, changes)?;
            }
        }
        self.write(id, changes);
        Ok(())
    }

    fn write(&mut self, id: NexthopId, changes: &mut Changes) {
        let Some(spec) = self.spec(id) else { return };
        let Some(object) = self.table.get_mut(id) else {
            return;
        };
        object.in_flight = true;
        object.disturbed = false;
        let change = match object.there {
            There::Absent | There::Maybe => NexthopChange::Add(spec),
            There::Same | There::Other => NexthopChange::Replace(spec),
        };
        changes.push((id, change));
    }

    /// What the object shall be, in the kernel's words.
    pub(in super::super) fn spec(&self, id: NexthopId) -> Option<NexthopSpec> {
        match &self.table.get(id)?.content {
            Content::Leg(leg) => Some(NexthopSpec::Leg(*leg)),
            Content::Group { members, .. } => Some(NexthopSpec::Group(Group {
                members: members.clone(),
                resilient: self.resilient(),
            })),
            Content::Debris => None,
        }
    }

    /// This was found to be there, which is written again if it is not what shall be there.
    pub(in super::super) fn write_again(&mut self, id: NexthopId, there: There) {
        if let Some(object) = self.table.get_mut(id) {
            object.there = there;
            if there != There::Same {
                self.dirty.insert(id);
            }
        }
    }

    /// Writes what must not wait. What no route goes by is left until one shall
    /// ([`prepare`](Self::prepare)), or until it is removed: trying for ever to put it right would
    /// keep it for ever.
    ///
    /// Returns the groups that cannot be made what they shall be, for a leg of theirs was refused.
    pub(in super::super) fn write_dirty(
        &mut self,
        now: Instant,
        changes: &mut Changes,
    ) -> SmallVec<[NexthopId; 1]> {
        let mut stuck = SmallVec::new();
        for id in self.dirty.clone() {
            let is_used = self.table.users(id) > 0;
            let Some(object) = self.table.get(id) else {
                self.dirty.remove(&id);
                continue;
            };
            if object.in_flight {
                continue;
            }
            if object.there == There::Same || !is_used {
                self.dirty.remove(&id);
                continue;
            }
            let waits = object.trouble.as_ref().is_some_and(|t| t.retry_at > now);
            let Err(trouble) = self.prepare(id, now, changes) else {
                self.dirty.remove(&id);
                continue;
            };
            if !waits && trouble.reason != ParkReason::NoReply {
                stuck.push(id);
            }
            if let Some(object) = self.table.get_mut(id) {
                object.trouble = Some(Box::new(trouble));
            }
        }
        stuck
    }

    /// Writes only what leads a group elsewhere, where it is there and its legs are. What else is dirty
    /// stays so.
    pub(in super::super) fn move_dirty(&mut self, now: Instant) -> Changes {
        let mut changes = Changes::new();
        let there = |id: NexthopId| self.table.get(id).map(|o| o.there);
        let moves = |id: &NexthopId| {
            self.table.get(*id).is_some_and(|group| {
                let members = group.content.members();
                let waits = group.trouble.as_ref().is_some_and(|t| t.retry_at > now);
                let legs_are_there = members.iter().all(|m| there(m.leg) == Some(There::Same));
                group.there == There::Other
                    && !(members.is_empty() || group.in_flight || waits)
                    && legs_are_there
            })
        };
        let moving: SmallVec<[NexthopId; 4]> = self.dirty.iter().copied().filter(moves).collect();
        for id in moving {
            self.write(id, &mut changes);
        }
        changes
    }

    /// Whether nothing is left to write, but what was refused and waits for another attempt.
    pub(in super::super) fn is_quiescent(&self) -> bool {
        let mut dirty = self.dirty.iter().filter_map(|id| self.table.get(*id));
        dirty.all(|o| o.trouble.is_some() && !o.in_flight)
    }

    /// When something is to be written or removed, if nothing happens before.
    pub(in super::super) fn poll_timeout(&self) -> Option<Instant> {
        let dirty = self.dirty.iter().filter_map(|id| self.table.get(*id));
        let retry = dirty
            .filter(|o| !o.in_flight)
            .map(|o| o.trouble.as_ref().map_or(Instant::ZERO, |t| t.retry_at));
        retry.chain(self.next_to_leave()).min()
    }
}
