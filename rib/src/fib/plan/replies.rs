//! What the kernel's answer to an operation means.

use redstart_bgp::{time::Instant, types::Prefix};

use super::{
    super::{
        kernel::{Change, OpError, OpId},
        model::Target,
        reason::{ParkReason, errno},
    },
    Belief, Planner, Trouble,
    entries::Slot,
    flight::InFlight,
};

impl Planner {
    /// The outcomes of operations, as [`on_reply`](Self::on_reply) each.
    pub fn on_replies(&mut self, now: Instant, replies: Vec<(OpId, Result<(), OpError>)>) {
        for (id, result) in replies {
            self.on_reply(now, id, result);
        }
    }

    /// The outcome of an operation. An id that is not in flight is ignored.
    pub fn on_reply(&mut self, now: Instant, id: OpId, result: Result<(), OpError>) {
        // What is answered now may be later than the dump.
        self.compare(now, usize::MAX);
        match self.in_flight.remove(id) {
            Some(InFlight::Route(slot, change)) => self.on_route_reply(now, slot, change, result),
            Some(InFlight::Nexthop(id, change)) => {
                self.on_nexthop_reply(now, id, &change, result);
            }
            None => return,
        }
        self.note_progress(now);
    }

    fn on_route_reply(
        &mut self,
        now: Instant,
        slot: Slot,
        change: Change,
        result: Result<(), OpError>,
    ) {
        self.entries.entry_mut(slot).in_flight = false;
        let prefix = self.entries.prefix(slot);
        let written = change.writes();
        match result {
            Ok(()) => {
                self.suspect_legs(now, prefix, &change);
                self.succeeded(slot, change);
            }
            Err(OpError::Refused(e)) if already_gone(&change, e.errno) => {
                self.succeeded(slot, change);
            }
            Err(error) => self.failed(now, slot, &change, error),
        }
        // Last: if the route is there now, its object has a user all the time.
        if let Some(object) = written {
            self.objects.let_go(object);
        }
        self.touch_again(slot);
    }

    /// IPv6 makes one multipath route of those that share prefix and metric, whoever made them, and
    /// a delete that names no gateway takes all legs. So a foreign route that joined ours may have
    /// gone with it, without an event that we would not take for the echo of our own operation: look
    /// again.
    fn suspect_legs(&mut self, now: Instant, prefix: Prefix, change: &Change) {
        let joined = || self.foreign.has_metric(prefix, self.config.metric.get());
        if matches!(prefix, Prefix::V6(_)) && matches!(change, Change::Delete(_)) && joined() {
            self.request_resync(now);
        }
    }

    fn succeeded(&mut self, slot: Slot, change: Change) {
        self.forbidden = None;
        let prefix = self.entries.prefix(slot);
        let entry = self.entries.entry_mut(slot);
        // A delete made way for a route that was refused; its trouble is not over by that.
        let made_way = matches!(change, Change::Delete(_))
            && entry.desired.is_some()
            && self.troubles.get(&prefix).is_some_and(|t| !t.deleting);
        if !made_way && !self.troubles.is_empty() {
            self.troubles.remove(&prefix);
        }
        let disturbed = core::mem::take(&mut entry.disturbed);
        let (count, belief) = match change {
            Change::Add(form) => (&mut self.counters.added, Belief::Ours(form)),
            Change::Replace(form) => (&mut self.counters.replaced, Belief::Ours(form)),
            Change::Delete(there) if disturbed => {
                (&mut self.counters.deleted, Belief::Maybe(there))
            }
            Change::Delete(_) => (&mut self.counters.deleted, Belief::Absent),
        };
        *count += 1;
        entry.believe(belief, &mut self.objects);
        if disturbed {
            entry.doubt();
        }
    }

    fn failed(&mut self, now: Instant, slot: Slot, change: &Change, error: OpError) {
        let metric = self.config.metric.get();
        let blocked = self.blocked(change);
        let prefix = self.entries.prefix(slot);
        let entry = self.entries.entry_mut(slot);
        let disturbed = core::mem::take(&mut entry.disturbed);
        // The kernel calls a route invalid whose object it does not have; we know why that is.
        let reason = match (ParkReason::from(error), blocked) {
            (ParkReason::Kernel(e), Some(reason)) if e.errno == errno::EINVAL => reason,
            (reason, _) => reason,
        };
        match reason {
            ParkReason::NoReply => {
                self.counters.lost += 1;
                entry.believe(Belief::Maybe(None), &mut self.objects);
                self.request_resync(now);
            }
            ParkReason::PermissionDenied => {
                self.counters.refused += 1;
                self.forbid(now);
                return;
            }
            // The route that may have been ours is there, or a foreign one that we know of.
            ParkReason::RouteExists if entry.is_doubtful() => {
                if !self.foreign.has_metric(prefix, metric) {
                    entry.believe(Belief::Unknown, &mut self.objects);
                }
                return;
            }
            ParkReason::RouteExists => {
                self.counters.refused += 1;
                self.request_resync(now);
            }
            _ => {
                self.counters.refused += 1;
                if disturbed && !entry.is_absent() {
                    entry.doubt();
                }
            }
        }
        self.trouble(now, prefix, reason, matches!(change, Change::Delete(_)));
    }

    /// Why the object that the route names is not there, if it was refused.
    fn blocked(&self, change: &Change) -> Option<ParkReason> {
        let (Change::Add(form) | Change::Replace(form)) = change else {
            return None;
        };
        let Target::Object(id) = form.target else {
            return None;
        };
        let trouble = self.objects.table.get(id)?.trouble.as_ref()?;
        Some(trouble.reason.clone())
    }

    /// Parks `prefix` until a later attempt.
    pub(super) fn trouble(
        &mut self,
        now: Instant,
        prefix: Prefix,
        reason: ParkReason,
        deleting: bool,
    ) {
        let attempts = self.troubles.get(&prefix).map_or(0, |t| t.attempts);
        let retry_at = now + self.backoff(attempts);
        self.timers.insert((retry_at, prefix));
        self.troubles.insert(
            prefix,
            Trouble {
                reason,
                attempts: attempts.saturating_add(1),
                retry_at,
                due: false,
                deleting,
            },
        );
    }

    /// The kernel forbids everything, so asking for each route would be noise: from now on one
    /// operation at a time probes whether that has changed.
    pub(super) fn forbid(&mut self, now: Instant) {
        self.latency.forget();
        self.forbidden = Some(now + self.config.retry_max);
    }
}

/// A delete that finds nothing has done its job.
const fn already_gone(change: &Change, error: i32) -> bool {
    matches!(change, Change::Delete(_))
        && matches!(error, errno::ESRCH | errno::ENOENT | errno::ENODEV)
}
