//! What a dump shows, compared with what is believed.
//!
//! A million routes take a while, and whoever runs the planner has neighbours to answer: so it is done
//! in pieces, each as long as the caller can spare ([`Planner::compare`]). Between two of them wishes may
//! change, but not beliefs: no route is written, and an event or an answer has the rest compared before it.
//! Only objects are written, so that traffic can leave a lost neighbour at any time: they are compared
//! first, and at once. What happened while the dump was being made is heard again at the end.

use std::sync::Arc;

use redstart_bgp::{time::Instant, types::Prefix};

use super::{
    super::{
        kernel::{Dump, KernelRoute},
        reason::ParkReason,
    },
    Belief, Planner, Sight,
    entries::Slot,
};

/// A dump, as far as it has been compared.
#[derive(Debug)]
pub(super) struct Comparison {
    dump: Arc<Dump>,
    /// The next route of it.
    next: usize,
    /// What the dump has in store once all its routes were looked at.
    rest: Option<Rest>,
    /// Prefixes to which somebody else has a route, or had one.
    strangers: Vec<Prefix>,
}

/// What is to be corrected besides what the dump shows.
#[derive(Debug, Default)]
struct Rest {
    /// Routes of ours that it does not show.
    missing: Vec<Slot>,
    /// Operations on these were on their way while it was made.
    overlapping: Vec<Slot>,
}

impl Planner {
    /// Compares every belief with what the kernel holds. The first dump is adopted instead, at once:
    /// before it nothing else can be done.
    pub(super) fn resync(&mut self, now: Instant, dump: &Arc<Dump>) {
        let adopting = self.sight == Sight::Never;
        self.sight = Sight::Known;
        self.resync_at = None;
        self.reading = false;
        // As they are now: what a link was a second ago is no reason to move traffic.
        let lost = self.objects.links.replace(dump);
        self.lose_nexthops(&lost, &lost);
        self.resync_nexthops(dump);
        self.respect_strangers(dump);
        self.review = true;
        self.comparison = Some(Comparison {
            dump: Arc::clone(dump),
            next: 0,
            rest: None,
            strangers: self.foreign.take_prefixes(),
        });
        if adopting {
            for route in &dump.routes {
                if self.config.is_ours(route) || self.was_under_our_key(route) {
                    self.adopt(route);
                }
            }
            self.compare(now, usize::MAX);
        }
    }

    /// Whether a dump is being compared: [`compare`](Self::compare) goes on with it.
    #[must_use]
    pub const fn is_comparing(&self) -> bool {
        self.comparison.is_some()
    }

    /// Goes on comparing what is believed with the last dump, by about so many routes. Until all are
    /// compared no route is written. What happened while the dump was made follows.
    pub fn compare(&mut self, now: Instant, most: usize) {
        let Some(mut comparison) = self.comparison.take() else {
            return;
        };
        let mut left = most;
        let routes = comparison.dump.routes.iter().skip(comparison.next);
        for route in routes.take(left) {
            self.compare_route(route, &mut comparison.strangers);
            comparison.next += 1;
            left -= 1;
        }
        if comparison.next == comparison.dump.routes.len() {
            let rest = comparison.rest.get_or_insert_with(|| self.what_is_left());
            while left > 0
                && let Some(slot) = rest.missing.pop()
            {
                self.compare_slot(slot, Belief::Absent);
                left -= 1;
            }
            while left > 0
                && let Some(slot) = rest.overlapping.pop()
            {
                self.entries.entry_mut(slot).overlaps = false;
                self.touch(slot);
                left -= 1;
            }
            while left > 0
                && let Some(prefix) = comparison.strangers.pop()
            {
                self.follow_foreign(prefix);
                left -= 1;
            }
        }
        if left > 0 {
            self.counters.resyncs += 1;
            self.retry_after_resync();
            self.hear_again(now, &comparison.dump.since);
        } else {
            self.comparison = Some(comparison);
        }
    }

    fn compare_route(&mut self, route: &KernelRoute, strangers: &mut Vec<Prefix>) {
        if route.table != self.config.table {
            return;
        }
        let was_ours = self.config.was_ours(route);
        if was_ours && !self.is_under_our_key(route) {
            // Under former marks: if nothing is wanted in its place, it is left alone.
            return;
        }
        if was_ours || self.config.is_ours(route) && self.is_known(route.prefix) {
            let shown = self.shown(route);
            if let Some(slot) = self.entries.find(route.prefix) {
                self.compare_slot(slot, shown);
            }
        } else {
            self.foreign.insert(route);
            strangers.push(route.prefix);
        }
    }

    /// The dump shows this under our key, or nothing.
    fn compare_slot(&mut self, slot: Slot, shown: Belief) {
        let entry = self.entries.entry_mut(slot);
        entry.seen = shown != Belief::Absent;
        if entry.in_flight {
            entry.disturbed = true;
        } else if entry.believes(&shown) {
            // As nearly all are.
            return;
        } else {
            entry.stale &= entry.seen;
            self.counters.drifted += u64::from(entry.compare(shown, &mut self.objects));
        }
        self.touch(slot);
    }

    fn was_under_our_key(&self, route: &KernelRoute) -> bool {
        self.config.was_ours(route) && self.is_under_our_key(route)
    }

    /// A route of ours from before the restart.
    fn adopt(&mut self, route: &KernelRoute) {
        let belief = self.shown(route);
        let slot = self.slot(route.prefix);
        let entry = self.entries.entry_mut(slot);
        entry.believe(belief, &mut self.objects);
        entry.stale = entry.desired.is_none();
        self.counters.adopted += 1;
        self.touch(slot);
    }

    /// Our routes that the dump did not show. What was done while it was being made has been compared
    /// with it.
    fn what_is_left(&mut self) -> Rest {
        let mut rest = Rest::default();
        for (slot, entry) in self.entries.iter_mut() {
            let seen = core::mem::take(&mut entry.seen);
            if !seen && entry.may_be_there() {
                rest.missing.push(slot);
            }
            if entry.overlaps {
                rest.overlapping.push(slot);
            }
        }
        rest
    }

    /// Whether we have a route to `prefix`, or had one when the dump was asked for.
    fn is_known(&self, prefix: Prefix) -> bool {
        let overlaps = self.entries.get(prefix).is_some_and(|e| e.overlaps);
        overlaps || self.may_have(prefix)
    }

    /// The dump answered the question "whose route is in the way", and may have shown new links.
    fn retry_after_resync(&mut self) {
        self.objects.retry_links();
        let mut due = Vec::new();
        for (prefix, trouble) in &mut self.troubles {
            let answered = trouble.reason == ParkReason::RouteExists && trouble.attempts <= 1;
            if answered || trouble.reason.depends_on_links() {
                trouble.due = true;
                due.push(*prefix);
            }
        }
        for prefix in due {
            self.touch_prefix(prefix);
        }
    }
}
