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
//! 3. Withdrawals go before announcements: no packet follows a route that the RIB gave up while
//!    there is a new one to install elsewhere.
//! 4. A route that is installed as desired is never touched, also across a restart.
//! 5. Nothing is sent before the first dump, nor between an overrun and its dump: without knowing
//!    the foreign routes we could compete with one.
//! 6. Each wanted route that is not installed has a [`ParkReason`], and a moment or an event that
//!    tries it again.
//!
//! One race remains that the kernel gives no means to close: between somebody's replacing our route
//! and our hearing of it, a REPLACE of ours overwrites theirs. It takes their using our metric.
//! IPv6 has another: a route that somebody appends to ours under our metric becomes a leg of it, and
//! goes when ours steps aside. We look again at once, so that the prefix does not stay without any.

mod entry;
mod events;
mod replies;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use redstart_bgp::{time::Instant, types::Prefix};

use self::entry::{Belief, Entry, Need, Trouble};
use super::{
    foreign::ForeignRoutes,
    kernel::{Change, KernelOp, OpId},
    model::{FibConfig, Route},
    reason::{InstallState, ParkReason},
};

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
    entries: HashMap<Prefix, Entry, FixedState>,
    routes: RouteSet,
    foreign: ForeignRoutes,
    troubles: HashMap<Prefix, Trouble, FixedState>,
    /// When a trouble is due. May name troubles that are over.
    timers: BTreeSet<(Instant, Prefix)>,
    withdrawals: VecDeque<Prefix>,
    announcements: VecDeque<Prefix>,
    in_flight: BTreeMap<OpId, InFlight>,
    last_id: u64,
    /// Which links are administratively up.
    links: HashMap<u32, bool, FixedState>,
    sight: Sight,
    /// Set while the kernel forbids everything: one probe at a time, at this moment.
    forbidden: Option<Instant>,
    resync_at: Option<Instant>,
    counters: FibCounters,
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

#[derive(Debug)]
struct InFlight {
    prefix: Prefix,
    change: Change,
}

impl Planner {
    /// A planner that believes nothing yet. `seed` keys its hash tables: prefixes are chosen by
    /// others.
    #[must_use]
    pub fn new(config: FibConfig, seed: u64) -> Self {
        let hasher = || FixedState::with_seed(seed);
        Self {
            config,
            entries: HashMap::with_hasher(hasher()),
            routes: RouteSet::new(hasher()),
            foreign: ForeignRoutes::new(hasher()),
            troubles: HashMap::with_hasher(hasher()),
            timers: BTreeSet::new(),
            withdrawals: VecDeque::new(),
            announcements: VecDeque::new(),
            in_flight: BTreeMap::new(),
            last_id: 0,
            links: HashMap::with_hasher(hasher()),
            sight: Sight::Never,
            forbidden: None,
            resync_at: None,
            counters: FibCounters::default(),
        }
    }

    /// The marks that our routes carry.
    #[must_use]
    pub const fn config(&self) -> &FibConfig {
        &self.config
    }

    /// The route to `prefix` shall be this one; `None`: we want none.
    pub fn desire(&mut self, prefix: Prefix, route: Option<Route>) {
        let route = route.map(|r| self.routes.intern(r));
        if route.is_none() && !self.entries.contains_key(&prefix) {
            return;
        }
        let entry = self.entries.entry(prefix).or_default();
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
        self.troubles.remove(&prefix);
        self.touch(prefix);
    }

    /// Up to `max` operations to send now. Each must be answered by
    /// [`on_reply`](Self::on_reply), with [`OpError::Lost`](super::OpError::Lost) if need be.
    pub fn next_batch(&mut self, now: Instant, max: usize) -> Vec<KernelOp> {
        self.wake(now);
        if self.sight != Sight::Known {
            return Vec::new();
        }
        let mut room = max.min(
            self.config
                .max_in_flight
                .saturating_sub(self.in_flight.len()),
        );
        if let Some(probe_at) = self.forbidden {
            let idle = now >= probe_at && self.in_flight.is_empty();
            room = room.min(usize::from(idle));
        }
        let mut batch = Vec::new();
        while batch.len() < room {
            let Some(op) = self.next_op() else { break };
            batch.push(op);
        }
        batch
    }

    /// When to call [`next_batch`](Self::next_batch) or
    /// [`take_resync_request`](Self::take_resync_request) again, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.timers.first().map(|(at, _)| *at);
        let waiting = !(self.withdrawals.is_empty() && self.announcements.is_empty());
        let free = self.sight == Sight::Known && self.in_flight.is_empty();
        let probe = self.forbidden.filter(|_| waiting && free);
        [retry, probe, self.resync_at].into_iter().flatten().min()
    }

    /// Whether [`next_batch`](Self::next_batch) would have something to send, were nothing in
    /// flight.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.sight == Sight::Known
            && self.forbidden.is_none()
            && !(self.withdrawals.is_empty() && self.announcements.is_empty())
    }

    /// Whether the kernel should be dumped (and the result come back as
    /// [`KernelEvent::Synced`](super::KernelEvent::Synced)). True once per request.
    pub fn take_resync_request(&mut self, now: Instant) -> bool {
        self.resync_at.take_if(|at| *at <= now).is_some()
    }

    /// Where the route to `prefix` stands.
    #[must_use]
    pub fn status(&self, prefix: Prefix) -> InstallState {
        let Some(entry) = self.entries.get(&prefix) else {
            return InstallState::NotDesired;
        };
        if entry.desired.is_some() {
            if let Some(other) = self.foreign.best(prefix) {
                return InstallState::Parked(ParkReason::ForeignRoute {
                    protocol: other.protocol,
                    metric: other.metric,
                });
            }
            if self.forbidden.is_some() && entry.need(None, false) != Need::Nothing {
                return InstallState::Parked(ParkReason::PermissionDenied);
            }
        }
        match (entry.state(self.troubles.get(&prefix)), &entry.desired) {
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
        let links = route.gateways().iter().map(|g| self.links.get(&g.ifindex));
        links
            .filter_map(|link| match link {
                None => Some(ParkReason::NoSuchInterface),
                Some(false) => Some(ParkReason::LinkDown),
                Some(true) => None,
            })
            .next()
            .unwrap_or(reason)
    }

    /// The route that we want to `prefix`.
    #[must_use]
    pub fn desired(&self, prefix: Prefix) -> Option<&Route> {
        self.entries.get(&prefix)?.desired.as_deref()
    }

    /// The route to `prefix` that we believe the kernel to hold under our marks, if we know which.
    #[must_use]
    pub fn installed(&self, prefix: Prefix) -> Option<&Route> {
        match &self.entries.get(&prefix)?.belief {
            Belief::Ours(route) => Some(route),
            Belief::Absent | Belief::Unknown | Belief::Maybe => None,
        }
    }

    /// Every prefix that we want or may have a route to, with its state; in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, InstallState)> + '_ {
        self.entries.keys().map(|p| (*p, self.status(*p)))
    }

    /// What was done so far, and what is left.
    #[must_use]
    pub fn counters(&self) -> FibCounters {
        let queued = self.withdrawals.len() + self.announcements.len();
        FibCounters {
            dirty: (queued + self.troubles.len()) as u64,
            in_flight: self.in_flight.len() as u64,
            foreign: self.foreign.len() as u64,
            ..self.counters
        }
    }

    /// Removes the adopted routes that nobody has wanted since: call it when all peers have sent
    /// End-of-RIB (RFC 4724 section 4.2), or their time is over.
    pub fn sweep(&mut self) {
        let stale: Vec<Prefix> = self
            .entries
            .iter()
            .filter(|(_, e)| e.stale)
            .map(|(p, _)| *p)
            .collect();
        self.counters.swept += stale.len() as u64;
        for prefix in stale {
            if let Some(entry) = self.entries.get_mut(&prefix) {
                entry.stale = false;
            }
            self.touch(prefix);
        }
    }

    /// Wants nothing any more, adopted routes included: for an uninstall. A plain stop keeps the
    /// routes and calls nothing.
    pub fn withdraw_all(&mut self) {
        let all: Vec<Prefix> = self.entries.keys().copied().collect();
        for prefix in all {
            self.desire(prefix, None);
        }
        self.sweep();
    }

    /// Whether there is nothing left to send, to wait for or to try again.
    #[must_use]
    pub fn is_quiescent(&self) -> bool {
        self.sight == Sight::Known
            && self.in_flight.is_empty()
            && self.withdrawals.is_empty()
            && self.announcements.is_empty()
            && self.resync_at.is_none()
    }

    /// Puts `prefix` in the queue that its need calls for, or forgets it if there is none.
    fn touch(&mut self, prefix: Prefix) {
        let foreign = self.foreign.best(prefix).is_some();
        let Some(entry) = self.entries.get_mut(&prefix) else {
            return;
        };
        if entry.queued {
            return;
        }
        let queue = match entry.need(self.troubles.get(&prefix), foreign) {
            Need::Nothing => {
                if entry.is_idle() {
                    self.entries.remove(&prefix);
                    self.troubles.remove(&prefix);
                } else if !entry.in_flight && self.troubles.get(&prefix).is_some_and(|t| t.due) {
                    self.troubles.remove(&prefix);
                }
                return;
            }
            Need::Delete => &mut self.withdrawals,
            Need::Add(_) | Need::Replace(_) => &mut self.announcements,
        };
        entry.queued = true;
        queue.push_back(prefix);
    }

    /// The next operation; withdrawals first.
    fn next_op(&mut self) -> Option<KernelOp> {
        loop {
            let (prefix, is_withdrawal) = match self.withdrawals.pop_front() {
                Some(prefix) => (prefix, true),
                None => (self.announcements.pop_front()?, false),
            };
            let foreign = self.foreign.best(prefix).is_some();
            let Some(entry) = self.entries.get_mut(&prefix) else {
                continue;
            };
            entry.queued = false;
            let change = match entry.need(self.troubles.get(&prefix), foreign) {
                Need::Add(_) | Need::Replace(_) if is_withdrawal => {
                    // It is wanted again; it takes its turn behind the true withdrawals.
                    self.touch(prefix);
                    continue;
                }
                Need::Add(route) => Change::Add(route),
                Need::Replace(route) => Change::Replace(route),
                Need::Delete => Change::Delete,
                Need::Nothing => {
                    self.touch(prefix);
                    continue;
                }
            };
            entry.in_flight = true;
            entry.disturbed = false;
            self.last_id += 1;
            let id = OpId(self.last_id);
            let key = self.config.key(prefix);
            self.in_flight.insert(
                id,
                InFlight {
                    prefix,
                    change: change.clone(),
                },
            );
            return Some(KernelOp { id, key, change });
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
                self.touch(prefix);
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

/// Each distinct route once: a million prefixes share a handful of gateways.
#[derive(Debug)]
struct RouteSet {
    routes: HashSet<Arc<Route>, FixedState>,
    purge_at: usize,
}

impl RouteSet {
    const PURGE_MIN: usize = 64;

    fn new(hasher: FixedState) -> Self {
        Self {
            routes: HashSet::with_hasher(hasher),
            purge_at: Self::PURGE_MIN,
        }
    }

    fn intern(&mut self, route: Route) -> Arc<Route> {
        if let Some(known) = self.routes.get(&route) {
            return Arc::clone(known);
        }
        if self.routes.len() >= self.purge_at {
            self.routes.retain(|r| Arc::strong_count(r) > 1);
            self.purge_at = Self::PURGE_MIN.max(self.routes.len() * 2);
        }
        let route = Arc::new(route);
        self.routes.insert(Arc::clone(&route));
        route
    }

    fn any(&self, matches: impl Fn(&Route) -> bool) -> bool {
        self.routes.iter().any(|r| matches(r))
    }
}

/// Whether the kernel's copy may differ from `route` after something happened; see `events`.
type Affects<'a> = &'a dyn Fn(Prefix, &Route) -> bool;

impl Planner {
    /// Makes the belief in every installed route that `affects` picks uncertain, and looks at it
    /// again.
    fn doubt(&mut self, affects: Affects<'_>) {
        let hit: Vec<Prefix> = self
            .entries
            .iter()
            .filter(|(prefix, entry)| match &entry.belief {
                _ if entry.in_flight => true,
                Belief::Ours(route) => affects(**prefix, route),
                Belief::Absent | Belief::Unknown | Belief::Maybe => false,
            })
            .map(|(prefix, _)| *prefix)
            .collect();
        for prefix in hit {
            self.doubt_one(prefix);
        }
    }

    fn doubt_one(&mut self, prefix: Prefix) {
        if let Some(entry) = self.entries.get_mut(&prefix) {
            if entry.in_flight {
                entry.disturbed = true;
            } else {
                entry.belief = Belief::Maybe;
            }
            self.touch(prefix);
        }
    }
}
