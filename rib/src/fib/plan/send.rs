//! From what is queued to operations.

use std::{collections::BTreeSet, sync::Arc};

use redstart_bgp::{time::Instant, types::Prefix};

use super::{
    super::{
        kernel::{Change, KernelOp, Request},
        model::{Form, Route, RouteKind, Target},
        object::NexthopId,
    },
    Need, Planner,
    flight::InFlight,
    objects::Changes,
};

impl Planner {
    /// Changes of objects move many routes at once, so they go before all else.
    pub(super) fn write_nexthops(&mut self, now: Instant, batch: &mut Vec<KernelOp>) {
        if self.objects.dirty.is_empty() {
            return;
        }
        let named = self.named_nexthops();
        let mut changes = Changes::new();
        self.objects
            .write_dirty(now, |id| named.contains(&id), &mut changes);
        self.send_nexthops(changes, batch);
    }

    pub(super) fn collect_nexthops(&mut self, now: Instant, batch: &mut Vec<KernelOp>) {
        let named = self.named_nexthops();
        let mut changes = Changes::new();
        self.objects
            .collect(now, |id| named.contains(&id), &mut changes);
        self.send_nexthops(changes, batch);
    }

    /// The objects that a route names, or may.
    fn named_nexthops(&self) -> BTreeSet<NexthopId> {
        let forms = self.forms.in_use();
        let named = forms.filter_map(|form| match form.target {
            Target::Object(id) => Some(id),
            Target::Gateways(_) | Target::Blackhole => None,
        });
        named.collect()
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
        let (prefix, is_withdrawal) = match self.withdrawals.pop_front() {
            Some(prefix) => (prefix, true),
            None => match self
                .repairs
                .pop_front()
                .or_else(|| self.announcements.pop_front())
            {
                Some(prefix) => (prefix, false),
                None => return false,
            },
        };
        let foreign = self.foreign.best(prefix).is_some();
        let Some(entry) = self.entries.get_mut(&prefix) else {
            return true;
        };
        entry.queued = false;
        match entry.need(&self.objects, self.troubles.get(&prefix), foreign) {
            // It is wanted again; it takes its turn behind the true withdrawals.
            Need::Add(_) | Need::Replace(_) if is_withdrawal => self.touch(prefix),
            Need::Add(route) => self.install(now, prefix, &route, Change::Add, batch),
            Need::Replace(route) => self.install(now, prefix, &route, Change::Replace, batch),
            Need::Delete(form) => self.send(prefix, Change::Delete(form), batch),
            Need::Nothing => self.touch(prefix),
        }
        true
    }

    /// Writes a route, and before it the object that it names, unless that was refused.
    fn install(
        &mut self,
        now: Instant,
        prefix: Prefix,
        route: &Route,
        change: fn(Arc<Form>) -> Change,
        batch: &mut Vec<KernelOp>,
    ) {
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
                self.touch(prefix);
                return;
            }
        }
        let form = self.forms.intern(Form {
            target,
            prefsrc: route.prefsrc,
        });
        self.send(prefix, change(form), batch);
    }

    fn send(&mut self, prefix: Prefix, change: Change, batch: &mut Vec<KernelOp>) {
        if let Some(entry) = self.entries.get_mut(&prefix) {
            entry.in_flight = true;
            entry.disturbed = false;
            entry.overlaps |= self.reading;
        }
        let id = self
            .in_flight
            .insert(InFlight::Route(prefix, change.clone()));
        let key = self.config.key(prefix);
        let request = Request::Route { key, change };
        batch.push(KernelOp { id, request });
    }
}
