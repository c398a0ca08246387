//! The reconciler: level-triggered, not a queue of commands.
//!
//! For each prefix it keeps what is desired and what it believes is installed, and a dirty queue of
//! prefixes where the two may differ. Operations are made from that state at the moment when the
//! driver can take them, so flaps coalesce, a slow kernel costs no memory, and an answer that never
//! comes only makes a belief uncertain.
//!
//! Invariants, each with a test:
//! 1. **Only our routes.** The first install is exclusive; REPLACE goes only to what we made; a
//!    delete names protocol, metric and table. A foreign route to the same prefix, whatever its
//!    metric, makes ours step aside until it goes.
//! 2. At most one operation per prefix is in flight, and at most `max_in_flight` in all. While one
//!    is in flight the latest desired state wins: older ones are never sent.
//! 3. Changes of nexthop objects go first, for they move many routes at once; then withdrawals: no
//!    packet follows a route that the RIB gave up while there is a new one to install elsewhere; then
//!    repairs of what others removed; then the rest.
//! 4. A route that is installed as desired is never touched, also across a restart.
//! 5. Nothing is sent before the first dump, and no route between an overrun and its dump: without
//!    knowing the foreign routes we could compete with one. A group that is known to be ours is led
//!    away from a lost neighbour even then.
//! 6. Each wanted route that is not installed has a [`ParkReason`], and a moment or an event that
//!    tries it again.
//! 7. A dump is believed only as far as it cannot be older than our own operations: where the two
//!    disagree, what is there counts as uncertain.
//!
//! One race remains that the kernel gives no means to close: between somebody's replacing our route
//! and our hearing of it, a REPLACE of ours overwrites theirs. It takes their using our metric.
//! IPv6 has another: a route that somebody appends to ours under our metric becomes a leg of it. A
//! delete names our gateways, so that the others stay; where we do not know ours, all go, and we look
//! again at once, so that the prefix does not stay without any.

mod compare;
mod entries;
mod entry;
mod events;
mod flight;
mod intern;
mod latency;
mod links;
mod nexthops;
mod objects;
mod queues;
mod replies;
mod send;
#[cfg(test)]
mod tests;
mod totals;

use core::time::Duration;
use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use redstart_bgp::{time::Instant, types::Prefix};

use self::{
    compare::Comparison,
    entries::{Entries, Slot},
    entry::{Belief, Need, Trouble},
    flight::{Flight, InFlight},
    intern::Interner,
    latency::Latency,
    objects::Objects,
    queues::{Queues, Turn},
};
pub use self::{latency::Arrival, totals::FibTotals};
use super::{
    foreign::ForeignRoutes,
    kernel::KernelOp,
    model::{FibConfig, Form, Route, RouteKind, Target},
    object::NexthopId,
    reason::{InstallState, ParkReason},
};
use crate::index::AHEAD;

/// What the planner did, in plain numbers for metrics. All but the gauges only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FibCounters {
    /// Gauge: prefixes that are wanted.
    pub desired: u64,
    /// Gauge: prefixes with an operation to send or to try again.
    pub dirty: u64,
    /// Gauge: operations without an answer yet.
    pub in_flight: u64,
    /// Gauge: prefixes to which somebody else has a route in our table.
    pub foreign: u64,
    /// Gauge: nexthop objects of ours.
    pub nexthops: u64,
    /// Nexthop objects created or changed.
    pub nexthops_written: u64,
    /// Routes added.
    pub added: u64,
    /// Routes replaced.
    pub replaced: u64,
    /// Routes deleted.
    pub deleted: u64,
    /// Operations that the kernel refused.
    pub refused: u64,
    /// Operations that the kernel did not answer.
    pub lost: u64,
    /// Routes found at start.
    pub adopted: u64,
    /// Adopted routes that nobody wanted again.
    pub swept: u64,
    /// Routes of ours that somebody else, or the kernel, removed or changed.
    pub disturbed: u64,
    /// Routes that a dump showed to be other than believed.
    pub drifted: u64,
    /// Dumps compared with.
    pub resyncs: u64,
}

/// Makes the kernel's table match what is desired. See the module's page.
#[derive(Debug)]
pub struct Planner {
    config: FibConfig,
    entries: Entries,
    routes: Interner<Route>,
    forms: Interner<Form>,
    objects: Objects,
    /// Objects came to lead elsewhere than their routes want.
    review: bool,
    foreign: ForeignRoutes,
    troubles: HashMap<Prefix, Trouble, FixedState>,
    /// When a trouble is due. May name troubles that are over.
    timers: BTreeSet<(Instant, Prefix)>,
    queues: Queues,
    in_flight: Flight,
    sight: Sight,
    /// Set while the kernel forbids everything: one probe at a time, at this moment.
    forbidden: Option<Instant>,
    /// When to ask for a dump.
    resync_at: Option<Instant>,
    /// A dump was asked for and is not here yet. Operations go on meanwhile, and what they did may or
    /// may not be in it.
    reading: bool,
    /// The dump that is being compared with.
    comparison: Option<Comparison>,
    counters: FibCounters,
    latency: Latency,
}

/// Whether the foreign routes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// No dump yet: the first one is adopted.
    Never,
    /// Events were lost since the last dump.
    Lost,
    /// Known.
    Known,
}

impl Planner {
    /// A planner that believes nothing yet. `seed` keys its hash tables: prefixes are chosen by
    /// others.
    #[must_use]
    pub fn new(config: FibConfig, seed: u64) -> Self {
        let hasher = || FixedState::with_seed(seed);
        Self {
            entries: Entries::new(&hasher()),
            routes: Interner::new(hasher()),
            forms: Interner::new(hasher()),
            objects: Objects::new(&config, &hasher()),
            review: false,
            foreign: ForeignRoutes::new(hasher()),
            troubles: HashMap::with_hasher(hasher()),
            timers: BTreeSet::new(),
            queues: Queues::default(),
            in_flight: Flight::default(),
            sight: Sight::Never,
            forbidden: None,
            resync_at: None,
            // The first dump comes without being asked for.
            reading: true,
            comparison: None,
            counters: FibCounters::default(),
            latency: Latency::default(),
            config,
        }
    }

    /// What was counted and measured goes on where the planner before this one ended.
    pub fn count_on_from(&mut self, before: Self) {
        self.counters = FibCounters {
            desired: self.counters.desired,
            ..before.counters
        };
        self.latency.go_on_from(before.latency);
    }

    /// The marks that our routes carry, and the rest.
    #[must_use]
    pub const fn config(&self) -> &FibConfig {
        &self.config
    }

    /// Nothing is left under the former marks: whoever uses them from now on is somebody else.
    pub fn forget_former_marks(&mut self) {
        self.config.former.clear();
    }

    /// The routes to these prefixes shall be these, as [`desire`](Self::desire) each.
    pub fn desire_all(&mut self, routes: Vec<(Prefix, Option<Route>)>) {
        let mut routes = routes.into_iter();
        while !routes.as_slice().is_empty() {
            let some = routes.as_slice().iter().take(AHEAD);
            self.entries.fetch(some.map(|(prefix, _)| *prefix));
            for (prefix, route) in routes.by_ref().take(AHEAD) {
                self.desire(prefix, route);
            }
        }
    }

    /// The route to `prefix` shall be this one; `None`: we want none.
    pub fn desire(&mut self, prefix: Prefix, route: Option<Route>) {
        let route = route.map(|r| self.routes.intern(r));
        let slot = match &route {
            Some(_) => self.slot(prefix),
            None => match self.entries.find(prefix) {
                Some(slot) => slot,
                None => return,
            },
        };
        let entry = self.entries.entry_mut(slot);
        if entry.desired == route && !(route.is_some() && entry.stale) {
            return;
        }
        match (&entry.desired, &route) {
            (None, Some(_)) => self.counters.desired += 1,
            (Some(_), None) => self.counters.desired -= 1,
            _ => {}
        }
        // A route taken over as it is costs nothing; one that is no longer wanted goes at once.
        entry.stale = false;
        entry.desired = route;
        self.forget_trouble(prefix);
        self.touch(slot);
        self.note_work(slot);
    }

    /// The entry of `prefix`, made if there is none.
    fn slot(&mut self, prefix: Prefix) -> Slot {
        let (slot, new) = self.entries.find_or_insert(prefix);
        if new {
            self.entries.entry_mut(slot).foreign = self.foreign.best(prefix).is_some();
        }
        slot
    }

    /// Up to `max` operations to send now, in this order, or a few more: what a route needs goes with
    /// it. Each must be answered by [`on_reply`](Self::on_reply), with
    /// [`OpError::Lost`](super::OpError::Lost) if need be.
    pub fn next_batch(&mut self, now: Instant, max: usize) -> Vec<KernelOp> {
        self.wake(now);
        if self.sight != Sight::Known || self.is_comparing() {
            return self.urgent(now);
        }
        if self.queues.len() == 0 && self.in_flight.is_empty() {
            self.entries.give_back();
        }
        self.review();
        let mut room = max.min(
            self.config
                .max_in_flight
                .saturating_sub(self.in_flight.len()),
        );
        if let Some(probe_at) = self.forbidden {
            let idle = now >= probe_at && self.in_flight.is_empty();
            room = room.min(usize::from(idle));
        }
        let mut batch = Vec::with_capacity(room.min(self.queues.len()));
        if room > 0 || self.forbidden.is_none() {
            self.write_nexthops(now, &mut batch);
        }
        while batch.len() < room && self.next_op(now, &mut batch) {}
        if batch.len() < room && self.forbidden.is_none() {
            self.collect_nexthops(now, &mut batch);
        }
        self.note_progress(now);
        batch
    }

    /// What does not wait until it is known what else the kernel holds: by it traffic leaves a lost
    /// neighbour.
    fn urgent(&mut self, now: Instant) -> Vec<KernelOp> {
        let mut batch = Vec::new();
        if self.sight != Sight::Never && self.forbidden.is_none() {
            self.move_nexthops(now, &mut batch);
        }
        batch
    }

    /// When to call [`next_batch`](Self::next_batch) or
    /// [`take_resync_request`](Self::take_resync_request) again, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_comparing() {
            // Nothing of this is done before that is.
            return None;
        }
        let is_known = self.sight == Sight::Known;
        let retry = self.timers.first().map(|(at, _)| *at);
        let retry = retry.filter(|_| is_known);
        let waiting = self.queues.len() > 0;
        let free = is_known && self.in_flight.is_empty();
        let probe = self.forbidden.filter(|_| waiting && free);
        let nexthops = self
            .objects
            .poll_timeout()
            .filter(|_| free && self.forbidden.is_none());
        let resync = self.resync_at.filter(|_| !self.reading);
        [retry, probe, resync, nexthops].into_iter().flatten().min()
    }

    /// How many prefixes wait for their turn in a batch.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues.len()
    }

    /// Whether [`next_batch`](Self::next_batch) would have something to send, were nothing in
    /// flight.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.sight == Sight::Known
            && !self.is_comparing()
            && self.forbidden.is_none()
            && (self.queues.len() > 0 || !self.objects.dirty.is_empty() || self.review)
    }

    /// Whether the kernel should be dumped, and the result come back as
    /// [`KernelEvent::Synced`](super::KernelEvent::Synced). True once per request, and not again before
    /// the dump is here. It must begin after this call: what was sent before and is answered by then
    /// is taken to be in it.
    pub fn take_resync_request(&mut self, now: Instant) -> bool {
        if self.reading || self.is_comparing() || self.resync_at.take_if(|at| *at <= now).is_none()
        {
            return false;
        }
        self.reading = true;
        for what in self.in_flight.iter() {
            match what {
                InFlight::Route(slot, _) => self.entries.entry_mut(*slot).overlaps = true,
                InFlight::Nexthop(id, _) => drop(self.objects.overlapping.insert(*id)),
            }
        }
        true
    }

    /// Asks for a dump to compare every belief with.
    pub fn audit(&mut self, now: Instant) {
        self.request_resync(now);
    }

    /// Where the route to `prefix` stands.
    #[must_use]
    pub fn status(&self, prefix: Prefix) -> InstallState {
        let slot = self.entries.find(prefix);
        slot.map_or(InstallState::NotDesired, |slot| self.status_of(slot))
    }

    fn status_of(&self, slot: Slot) -> InstallState {
        let (prefix, entry) = (self.entries.prefix(slot), self.entries.entry(slot));
        if entry.desired.is_some() {
            if let Some(other) = self.foreign.best(prefix) {
                return InstallState::Parked(ParkReason::ForeignRoute {
                    protocol: other.protocol,
                    metric: other.metric,
                });
            }
            if self.forbidden.is_some() && entry.need(&self.objects, None) != Need::Nothing {
                return InstallState::Parked(ParkReason::PermissionDenied);
            }
        }
        match (
            entry.state(&self.objects, self.troubles.get(&prefix)),
            &entry.desired,
        ) {
            (InstallState::Parked(reason), Some(route)) => {
                InstallState::Parked(self.explain(reason, route))
            }
            (state, _) => state,
        }
    }

    /// The kernel calls a gateway invalid when its link is down or gone; we can tell the cause.
    fn explain(&self, reason: ParkReason, route: &Route) -> ParkReason {
        if !reason.depends_on_links() {
            return reason;
        }
        let links = route.gateways().iter();
        links
            .map(|g| self.objects.links.get(g.ifindex))
            .filter_map(|link| match link {
                None => Some(ParkReason::NoSuchInterface),
                Some(state) if !state.up => Some(ParkReason::LinkDown),
                // Objects cannot be on a link without carrier; routes can.
                Some(state) if !state.usable && self.objects.is_used() => {
                    Some(ParkReason::LinkDown)
                }
                Some(_) => None,
            })
            .next()
            .unwrap_or(reason)
    }

    /// The route that we want to `prefix`.
    #[must_use]
    pub fn desired(&self, prefix: Prefix) -> Option<&Route> {
        self.entries.get(prefix)?.desired.as_deref()
    }

    /// The route to `prefix` that we believe the kernel to hold under our marks, if we know which.
    #[must_use]
    pub fn installed(&self, prefix: Prefix) -> Option<Route> {
        let form = self.entries.get(prefix)?.ours()?;
        let kind = match &form.target {
            Target::Blackhole => RouteKind::Blackhole,
            Target::Gateways(set) => RouteKind::Unicast(set.clone()),
            Target::Object(id) => RouteKind::Unicast(self.objects.leads_to(*id)?.clone()),
        };
        let prefsrc = form.prefsrc;
        Some(Route { kind, prefsrc })
    }

    /// The nexthop object that our route to `prefix` names.
    #[must_use]
    pub fn nexthop(&self, prefix: Prefix) -> Option<NexthopId> {
        self.entries.get(prefix)?.ours()?.object()
    }

    /// Every prefix that we want or may have a route to, with its state; in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, InstallState)> + '_ {
        let entries = self.entries.iter();
        let all = entries.map(|(slot, prefix, _)| (prefix, self.status_of(slot)));
        all.filter(|(_, state)| *state != InstallState::NotDesired)
    }

    /// What was done so far, and what is left.
    #[must_use]
    pub fn counters(&self) -> FibCounters {
        FibCounters {
            dirty: (self.queues.len() + self.troubles.len()) as u64,
            in_flight: self.in_flight.len() as u64,
            foreign: self.foreign.len() as u64,
            nexthops: self.objects.table.len() as u64,
            ..self.counters
        }
    }

    /// Removes the adopted routes that nobody has wanted since: call it when all peers have sent
    /// End-of-RIB (RFC 4724 section 4.2), or their time is over.
    pub fn sweep(&mut self) {
        let entries = self.entries.iter();
        let stale: Vec<Slot> = entries.filter(|(.., e)| e.stale).map(|(s, ..)| s).collect();
        self.counters.swept += stale.len() as u64;
        for slot in stale {
            self.entries.entry_mut(slot).stale = false;
            self.touch(slot);
        }
    }

    /// Wants nothing any more, adopted routes included: for an uninstall. A plain stop keeps the
    /// routes and calls nothing.
    pub fn withdraw_all(&mut self) {
        self.objects.leave();
        self.latency.forget_untold();
        let all: Vec<Prefix> = self.entries.iter().map(|(_, p, _)| p).collect();
        for prefix in all {
            self.desire(prefix, None);
        }
        self.sweep();
    }

    /// Whether there is nothing left to send, to wait for or to try again.
    #[must_use]
    pub fn is_quiescent(&self) -> bool {
        self.sight == Sight::Known
            && !self.is_comparing()
            && self.in_flight.is_empty()
            && self.queues.len() == 0
            && self.objects.is_quiescent()
            && !self.review
            && self.resync_at.is_none()
    }

    /// Puts an entry in the queue that its need calls for, or forgets it if there is none.
    fn touch(&mut self, slot: Slot) {
        self.enqueue(slot, false);
    }

    fn touch_prefix(&mut self, prefix: Prefix) {
        if let Some(slot) = self.entries.find(prefix) {
            self.touch(slot);
        }
    }

    fn enqueue(&mut self, slot: Slot, is_repair: bool) {
        self.find_turn(slot, is_repair);
        self.entries.recount(slot);
    }

    fn find_turn(&mut self, slot: Slot, is_repair: bool) {
        let prefix = self.entries.prefix(slot);
        let entry = self.entries.entry_mut(slot);
        if entry.queued {
            return;
        }
        let turn = match entry.need(&self.objects, self.troubles.get(&prefix)) {
            Need::Nothing => {
                if entry.is_idle() {
                    self.entries.free(slot);
                    self.forget_trouble(prefix);
                } else if !entry.in_flight && self.troubles.get(&prefix).is_some_and(|t| t.due) {
                    self.forget_trouble(prefix);
                }
                return;
            }
            Need::Delete(_) => Turn::Withdrawal,
            Need::Add(_) | Need::Replace(_) if is_repair => Turn::Repair,
            Need::Add(_) | Need::Replace(_) => Turn::Announcement,
        };
        entry.queued = true;
        self.queues.push(turn, slot);
    }

    /// Most prefixes have none, and mostly there are none at all.
    fn forget_trouble(&mut self, prefix: Prefix) {
        if !self.troubles.is_empty() {
            self.troubles.remove(&prefix);
        }
    }

    /// Makes the troubles whose pause is over due.
    fn wake(&mut self, now: Instant) {
        while let Some(&(at, prefix)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            if let Some(trouble) = self.troubles.get_mut(&prefix)
                && trouble.retry_at == at
            {
                trouble.due = true;
                self.touch_prefix(prefix);
            }
        }
    }

    /// Asks for a dump at `at`, unless one is due earlier.
    fn request_resync(&mut self, at: Instant) {
        self.resync_at = Some(self.resync_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn backoff(&self, attempts: u32) -> Duration {
        self.config
            .retry_first
            .saturating_mul(1 << attempts.min(16))
            .min(self.config.retry_max)
    }
}

/// Whether the kernel's copy may differ from the form after something happened; see `events`.
type Affects<'a> = &'a dyn Fn(Prefix, &Form) -> bool;

impl Planner {
    /// Makes the belief in every installed route that `affects` picks uncertain, and looks at it
    /// again.
    fn doubt(&mut self, affects: Affects<'_>) {
        let hit = self.hit_by(affects);
        self.doubt_all(hit);
    }

    fn hit_by(&self, affects: Affects<'_>) -> Vec<Slot> {
        self.entries
            .iter()
            .filter(|(_, prefix, entry)| {
                entry.in_flight || entry.ours().is_some_and(|form| affects(*prefix, form))
            })
            .map(|(slot, ..)| slot)
            .collect()
    }

    fn doubt_all(&mut self, hit: Vec<Slot>) {
        for slot in hit {
            self.doubt_one(slot);
        }
    }

    fn doubt_one(&mut self, slot: Slot) {
        let entry = self.entries.entry_mut(slot);
        if entry.in_flight {
            entry.disturbed = true;
        } else {
            entry.doubt();
        }
        self.enqueue(slot, true);
    }
}
