//! What the kernel's events mean for the plan.
//!
//! The driver hides the echoes of our own operations, so a route event is somebody else's doing or
//! the kernel's. Some changes have no event at all, and are inferred from others:
//!
//! - A link that goes down, or away, takes the IPv4 routes along that have no living leg elsewhere.
//!   Others keep the dead leg. IPv6 reports each removal.
//! - A link without carrier takes nexthop objects along, and routes with them (`nexthops`).
//! - An IPv4 address that goes takes the routes along that prescribe it as source, and the last
//!   address of a link all IPv4 routes over it that name their gateways themselves.
//!
//! None of these makes us guess: what may have been hit becomes [`Belief::Maybe`], which an
//! exclusive add settles.

use core::time::Duration;
use std::collections::BTreeSet;

use redstart_bgp::{time::Instant, types::Prefix};

use super::{
    super::{
        kernel::{KernelEvent, KernelRoute, Link, LinkAddress},
        model::{Form, Route, Target},
        reason::ParkReason,
    },
    Belief, Planner, Sight,
    entry::Entry,
    links::State,
    objects::There,
};
use crate::nexthop::Gateway;

/// Before the table is read once more for what happened to other links while it was read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Links that failed, for however short a time.
#[derive(Debug, Default)]
struct Lost {
    /// The kernel has removed routes over these.
    down: BTreeSet<u32>,
    /// And nexthop objects on these, the former among them.
    unusable: BTreeSet<u32>,
    /// From multipath routes of IPv6 the legs over these, too.
    gone: BTreeSet<u32>,
    /// All that something happened to. They may have failed together, whatever they are now.
    moved: BTreeSet<u32>,
}

impl Lost {
    /// What is lost if a link that was up, or usable, is so no more.
    fn between(ifindex: u32, (was_up, was_usable): (bool, bool), after: State) -> Self {
        let set = |lost: bool| lost.then_some(ifindex).into_iter().collect();
        Self {
            down: set(was_up && !after.up),
            unusable: set(was_usable && !after.usable),
            gone: BTreeSet::new(),
            moved: set(true),
        }
    }

    /// A link that was up became this.
    fn add(&mut self, link: &Link) {
        let of_link = Self::between(link.ifindex, (true, true), State::of(link));
        self.down.extend(of_link.down);
        self.unusable.extend(of_link.unusable);
        self.moved.extend(of_link.moved);
    }

    /// A link is gone.
    fn remove(&mut self, ifindex: u32) {
        let Self {
            down,
            unusable,
            gone,
            moved,
        } = self;
        for set in [down, unusable, gone, moved] {
            set.insert(ifindex);
        }
    }
}

impl Planner {
    /// Takes note of something that happened in the kernel.
    pub fn on_event(&mut self, now: Instant, event: &KernelEvent) {
        if matches!(event, KernelEvent::Neighbour { .. }) {
            // No route is written for it.
            return;
        }
        // What happens now is later than the dump.
        self.compare(now, usize::MAX);
        match event {
            KernelEvent::Synced(dump) => self.resync(now, dump),
            KernelEvent::Link(link) => self.on_link(now, link),
            KernelEvent::LinkGone { ifindex } => {
                self.objects.links.remove(*ifindex);
                self.flush_foreign(now, *ifindex);
                self.flush_foreign_objects(now);
                let mut lost = Lost::default();
                lost.remove(*ifindex);
                self.lose(&lost);
            }
            KernelEvent::Address(address) => self.retry_gateways(address.subnet),
            KernelEvent::AddressGone(address) => self.on_address_gone(now, address),
            KernelEvent::Route(route) => self.on_route(route),
            KernelEvent::RouteGone(route) => self.on_route_gone(route),
            KernelEvent::Nexthop(nexthop) => self.on_nexthop(nexthop),
            KernelEvent::NexthopGone(id) => self.on_nexthop_gone(*id, There::Absent),
            KernelEvent::Neighbour { .. } => {}
            KernelEvent::Overrun => {
                if self.sight == Sight::Known {
                    self.sight = Sight::Lost;
                }
                // A dump that was asked for before is made again by itself.
                if !self.reading {
                    self.request_resync(now);
                }
            }
        }
    }

    /// Takes note of what happened while the dump was made that has just been compared with, in order. It was
    /// acted upon when it was heard of, and what was done about it since may be there already.
    pub(super) fn hear_again(&mut self, now: Instant, since: &[KernelEvent]) {
        let mut lost = Lost::default();
        // Links come and go all the time: one dump must not follow the other for it.
        let again = now + LOOK_AGAIN;
        for event in since {
            match event {
                // Links are known as they are now. What is of others is told of in order, too.
                KernelEvent::Link(link) => {
                    if !link.up {
                        self.flush_foreign(again, link.ifindex);
                    }
                    if !(link.up && link.carrier) {
                        self.flush_foreign_objects(again);
                    }
                    lost.add(link);
                }
                KernelEvent::LinkGone { ifindex } => {
                    self.flush_foreign(again, *ifindex);
                    self.flush_foreign_objects(again);
                    lost.remove(*ifindex);
                }
                KernelEvent::NexthopGone(id) => self.on_nexthop_gone(*id, There::Maybe),
                event => self.on_event(now, event),
            }
        }
        self.lose(&lost);
    }

    fn on_link(&mut self, now: Instant, link: &Link) {
        let ifindex = link.ifindex;
        let (before, after) = self.objects.links.insert(link);
        let was_up = before.is_some_and(|s| s.up);
        let was_usable = before.is_some_and(|s| s.usable);
        if was_up && !after.up {
            self.flush_foreign(now, ifindex);
        }
        if was_usable && !after.usable {
            self.flush_foreign_objects(now);
        }
        self.lose(&Lost::between(ifindex, (was_up, was_usable), after));
        if (after.up && !was_up) || (after.usable && !was_usable) {
            self.retry_link(ifindex);
        }
    }

    /// Groups that shrank with the link may grow again, and what was refused for it may not be any
    /// more.
    fn retry_link(&mut self, ifindex: u32) {
        self.review = true;
        self.retry(|reason, route| reason.depends_on_links() && route.uses_link(ifindex));
    }

    /// What links took along that failed, some of which may be back. A route with a leg on another link stays,
    /// and its dead leg comes back to life with the link.
    fn lose(&mut self, lost: &Lost) {
        let links = &self.objects.links;
        let is_kept = |g: &Gateway| links.is_up(g.ifindex) && !lost.moved.contains(&g.ifindex);
        let hit = |f: &Form| match &f.target {
            Target::Gateways(set) => {
                let uses = |links: &BTreeSet<u32>| links.iter().any(|link| f.uses_link(*link));
                uses(&lost.gone) || uses(&lost.down) && !set.as_slice().iter().any(is_kept)
            }
            Target::Object(_) | Target::Blackhole => false,
        };
        if self.forms.any(hit) {
            let hit = self.hit_by(&|_, form| hit(form));
            self.doubt_all(hit);
        }
        self.lose_nexthops(&lost.unusable, &lost.moved);
    }

    /// Routes of others that name objects go without an event as well.
    fn flush_foreign_objects(&mut self, look_at: Instant) {
        if self.foreign.has_objects() {
            self.request_resync(look_at);
        }
    }

    fn flush_foreign(&mut self, look_at: Instant, ifindex: u32) {
        if self.foreign.has_multipath() {
            // Whether those had a living leg left, only the kernel knows.
            self.request_resync(look_at);
        }
        for prefix in self.foreign.flush_link(ifindex) {
            self.follow_foreign(prefix);
        }
    }

    fn on_address_gone(&mut self, now: Instant, address: &LinkAddress) {
        let LinkAddress { ifindex, addr, .. } = *address;
        if addr.is_ipv6() {
            return;
        }
        if self.foreign.uses_link(ifindex) {
            self.request_resync(now);
        }
        let hit = |f: &Form| f.prefsrc == Some(addr) || f.uses_link(ifindex);
        if self.forms.any(hit) {
            self.doubt(&|prefix, form| matches!(prefix, Prefix::V4(_)) && hit(form));
        }
    }

    /// Tries again what waits for a link, where `ended` says that its trouble may be over.
    fn retry(&mut self, ended: impl Fn(&ParkReason, &Route) -> bool) {
        self.objects.retry_links();
        let mut waiting = Vec::new();
        for (prefix, trouble) in &mut self.troubles {
            let route = self.entries.get(*prefix).and_then(|e| e.desired.as_deref());
            if !trouble.due && route.is_some_and(|route| ended(&trouble.reason, route)) {
                trouble.due = true;
                waiting.push(*prefix);
            }
        }
        for prefix in waiting {
            self.touch_prefix(prefix);
        }
    }

    /// Something made `subnet` reachable.
    fn retry_gateways(&mut self, subnet: Prefix) {
        self.retry(|reason, route| {
            *reason == ParkReason::GatewayUnreachable
                && route
                    .gateways()
                    .iter()
                    .any(|g| g.via.is_some_and(|via| subnet.contains(via)))
        });
    }

    fn on_route(&mut self, route: &KernelRoute) {
        if route.table != self.config.table {
            return;
        }
        if self.config.was_ours(route) {
            return self.on_former(route);
        }
        if self.config.is_ours(route) && self.may_have(route.prefix) {
            // Somebody changed our route, or a late echo. Ours again in either case.
            self.believe(route);
            return;
        }
        self.foreign.insert(route);
        self.follow_foreign(route.prefix);
        if route.metric == self.config.metric.get() {
            // It took the place of ours, and nobody will tell us that ours is gone.
            self.on_loss(route.prefix);
        }
        self.retry_gateways(route.prefix);
    }

    fn on_route_gone(&mut self, route: &KernelRoute) {
        if route.table != self.config.table {
            return;
        }
        if self.config.was_ours(route) {
            self.on_former(route);
        } else if self.foreign.remove(route) {
            self.follow_foreign(route.prefix);
        } else if self.config.is_ours(route) {
            self.on_loss(route.prefix);
        }
    }

    /// Somebody else's route to `prefix` came or went.
    pub(super) fn follow_foreign(&mut self, prefix: Prefix) {
        if let Some(slot) = self.entries.find(prefix) {
            self.entries.entry_mut(slot).foreign = self.foreign.best(prefix).is_some();
            self.touch(slot);
        }
    }

    /// A route under former marks came or went. It matters where it has the kernel's key of ours.
    fn on_former(&mut self, route: &KernelRoute) {
        if self.is_under_our_key(route) {
            self.on_loss(route.prefix);
        }
    }

    /// Whether the kernel, which does not look at the protocol, has no room for both.
    pub(super) fn is_under_our_key(&self, route: &KernelRoute) -> bool {
        route.table == self.config.table && route.metric == self.config.metric.get()
    }

    /// Our route to `prefix` was removed by somebody else.
    fn on_loss(&mut self, prefix: Prefix) {
        if let Some(slot) = self.entries.find(prefix)
            && self.entries.entry(slot).may_be_there()
        {
            self.counters.disturbed += 1;
            self.doubt_one(slot);
        }
    }

    /// Whether the kernel may hold a route to `prefix` that we made.
    pub(super) fn may_have(&self, prefix: Prefix) -> bool {
        let entry = self.entries.get(prefix);
        entry.is_some_and(Entry::may_be_there)
    }

    /// What a route under our key means. One with another protocol is to be replaced in any case.
    pub(super) fn shown(&mut self, route: &KernelRoute) -> Belief {
        match route.to_form() {
            Some(form) if self.config.is_ours(route) => Belief::Ours(self.forms.intern(form)),
            _ => Belief::Unknown,
        }
    }

    /// The kernel holds this route under our key.
    fn believe(&mut self, route: &KernelRoute) {
        let shown = self.shown(route);
        let Some(slot) = self.entries.find(route.prefix) else {
            return;
        };
        let entry = self.entries.entry_mut(slot);
        if entry.in_flight {
            entry.disturbed = true;
        } else if !entry.believes(&shown) {
            self.counters.disturbed += u64::from(entry.ours().is_some());
            entry.believe(shown, &mut self.objects);
        }
        self.touch(slot);
    }
}
