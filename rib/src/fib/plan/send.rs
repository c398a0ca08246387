//! From what is queued to operations.

use std::sync::Arc;

use redstart_bgp::time::Instant;

use super::{
    super::{
        kernel::{Change, KernelOp, Request},
        model::{Form, Route, RouteKind, Target},
    },
    Need, Planner,
    entries::Slot,
    flight::InFlight,
    objects::Changes,
    queues::Turn,
};

impl Planner {
    /// Changes of objects move many routes at once, so they go before all else.
    pub(super) fn write_nexthops(&mut self, now: Instant, batch: &mut Vec<KernelOp>) {
        if self.objects.dirty.is_empty() {
            return;
        }
        let mut changes = Changes::new();
        let stuck = self.objects.write_dirty(now, &mut changes);
        self.send_nexthops(changes, batch);
        for id in stuck {
            self.give_up_change(id);
        }
    }

    /// The same without knowing what was done to our objects lately: only groups of which both they and
    /// their legs were there.
    pub(super) fn move_nexthops(&mut self, now: Instant, batch: &mut Vec<KernelOp>) {
        let changes = self.objects.move_dirty(now);
        self.send_nexthops(changes, batch);
    }

    pub(super) fn collect_nexthops(&mut self, now: Instant, batch: &mut Vec<KernelOp>) {
        let mut changes = Changes::new();
        self.objects.collect(now, &mut changes);
        self.send_nexthops(changes, batch);
    }

    fn send_nexthops(&mut self, changes: Changes, batch: &mut Vec<KernelOp>) {
        let protocol = self.config.protocol;
        for (nexthop, change) in changes {
            if self.reading {
                self.objects.overlapping.insert(nexthop);
            }
            let id = self
                .in_flight
                .insert(InFlight::Nexthop(nexthop, change.clone()));
            let request = Request::Nexthop {
                id: nexthop,
                protocol,
                change,
            };
            batch.push(KernelOp { id, request });
        }
    }

    /// Adds the next operation, withdrawals first and repairs next, with those on objects that it
    /// needs. Whether there was anything left to look at.
    pub(super) fn next_op(&mut self, now: Instant, batch: &mut Vec<KernelOp>) -> bool {
        let Some((turn, slot)) = self.queues.pop() else {
            return false;
        };
        let prefix = self.entries.prefix(slot);
        let entry = self.entries.entry_mut(slot);
        entry.queued = false;
        let (route, change): (_, fn(_) -> _) =
            match entry.need(&self.objects, self.troubles.get(&prefix)) {
                // It is wanted again; it takes its turn behind the true withdrawals.
                Need::Add(_) | Need::Replace(_) if turn == Turn::Withdrawal => {
                    self.touch_again(slot);
                    return true;
                }
                Need::Add(route) => (Arc::clone(route), Change::Add),
                Need::Replace(route) => (Arc::clone(route), Change::Replace),
                Need::Delete(form) => {
                    let change = Change::Delete(form.cloned());
                    self.send(slot, change, batch);
                    return true;
                }
                Need::Nothing => {
                    self.touch(slot);
                    return true;
                }
            };
        self.install(now, slot, &route, change, batch);
        true
    }

    /// Writes a route, and before it the object that it names, unless that was refused.
    fn install(
        &mut self,
        now: Instant,
        slot: Slot,
        route: &Route,
        change: fn(Arc<Form>) -> Change,
        batch: &mut Vec<KernelOp>,
    ) {
        let prefix = self.entries.prefix(slot);
        let target = match &route.kind {
            RouteKind::Blackhole => Target::Blackhole,
            RouteKind::Unicast(set) => self.objects.target(set, prefix.family()),
        };
        if let Target::Object(id) = target {
            let mut changes = Changes::new();
            let prepared = self.objects.prepare(id, now, &mut changes);
            self.send_nexthops(changes, batch);
            if let Err(trouble) = prepared {
                self.trouble(now, prefix, trouble.reason, false);
                self.touch_again(slot);
                return;
            }
        }
        let form = self.forms.intern(Form {
            target,
            prefsrc: route.prefsrc,
        });
        self.send(slot, change(form), batch);
    }

    fn send(&mut self, slot: Slot, change: Change, batch: &mut Vec<KernelOp>) {
        let entry = self.entries.entry_mut(slot);
        entry.in_flight = true;
        entry.disturbed = false;
        entry.overlaps |= self.reading;
        self.entries.recount(slot);
        if let Some(object) = change.writes() {
            self.objects.hold(object);
        }
        let id = self.in_flight.insert(InFlight::Route(slot, change.clone()));
        let key = self.config.key(self.entries.prefix(slot));
        let request = Request::Route { key, change };
        batch.push(KernelOp { id, request });
    }
}
