//! Operations on objects: what is needed before a route can name one, what must be written at once, and
//! what nobody needs any more.

use std::collections::BTreeSet;

use redstart_bgp::time::Instant;

use super::{
    super::super::object::{Group, NexthopChange, NexthopId, NexthopSpec},
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
        let Some(object) = self.table.get(&id) else {
            return Ok(());
        };
        if object.in_flight || object.there == There::Same {
            return Ok(());
        }
        if let Some(trouble) = object.trouble.as_ref().filter(|t| t.retry_at > now) {
            return Err(trouble.clone());
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
        let Some(object) = self.table.get_mut(&id) else {
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
        match &self.table.get(&id)?.content {
            Content::Leg(leg) => Some(NexthopSpec::Leg(*leg)),
            Content::Group { members, .. } => Some(NexthopSpec::Group(Group {
                members: members.clone(),
                resilient: self.resilient(),
            })),
            Content::Debris => None,
        }
    }

    /// Writes what must not wait. What no route goes by is left until one shall
    /// ([`prepare`](Self::prepare)), or until it is removed: trying for ever to put it right would
    /// keep it for ever.
    pub(in super::super) fn write_dirty(
        &mut self,
        now: Instant,
        named: impl Fn(NexthopId) -> bool,
        changes: &mut Changes,
    ) {
        let legs = self.legs_of_groups();
        for id in self.dirty.clone() {
            let is_used = legs.contains(&id) || named(id);
            match self.table.get(&id) {
                Some(object) if object.in_flight => continue,
                Some(object) if object.there == There::Same || !is_used => {
                    self.dirty.remove(&id);
                }
                Some(_) => match self.prepare(id, now, changes) {
                    Ok(()) => drop(self.dirty.remove(&id)),
                    Err(trouble) => {
                        if let Some(object) = self.table.get_mut(&id) {
                            object.trouble = Some(trouble);
                        }
                    }
                },
                None => drop(self.dirty.remove(&id)),
            }
        }
    }

    /// Whether nothing is left to write, but what was refused and waits for another attempt.
    pub(in super::super) fn is_quiescent(&self) -> bool {
        let mut dirty = self.dirty.iter().filter_map(|id| self.table.get(id));
        dirty.all(|o| o.trouble.is_some() && !o.in_flight)
    }

    /// When something is to be written or removed, if nothing happens before.
    pub(in super::super) fn poll_timeout(&self) -> Option<Instant> {
        let dirty = self.dirty.iter().filter_map(|id| self.table.get(id));
        let retry = dirty
            .filter(|o| !o.in_flight)
            .map(|o| o.trouble.as_ref().map_or(Instant::ZERO, |t| t.retry_at));
        let objects = self.table.values().filter(|o| !o.in_flight);
        let unused = objects.filter_map(|o| {
            let since = o.unused_since? + self.linger;
            Some(o.trouble.as_ref().map_or(since, |t| since.max(t.retry_at)))
        });
        retry.chain(unused).min()
    }

    /// Removes what nothing names and nothing has named for a while. Legs follow when no group has
    /// them any more.
    pub(in super::super) fn collect(
        &mut self,
        now: Instant,
        named: impl Fn(NexthopId) -> bool,
        changes: &mut Changes,
    ) {
        let legs = self.legs_of_groups();
        let linger = self.linger;
        let mut unused = Vec::new();
        for (id, object) in &mut self.table {
            if object.in_flight || legs.contains(id) || named(*id) {
                object.unused_since = None;
                continue;
            }
            let since = *object.unused_since.get_or_insert(now);
            let waits = object.trouble.as_ref().is_some_and(|t| t.retry_at > now);
            if since + linger <= now && !waits {
                unused.push(*id);
            }
        }
        for id in unused {
            self.hide(id);
            self.dirty.remove(&id);
            match self.table.get_mut(&id) {
                Some(object) if object.there != There::Absent => {
                    object.in_flight = true;
                    changes.push((id, NexthopChange::Delete));
                }
                _ => self.remove(id),
            }
        }
    }

    fn legs_of_groups(&self) -> BTreeSet<NexthopId> {
        let groups = self.table.values().filter_map(|o| match &o.content {
            Content::Group { members, .. } => Some(members),
            Content::Leg(_) | Content::Debris => None,
        });
        groups.flatten().map(|m| m.leg).collect()
    }
}
