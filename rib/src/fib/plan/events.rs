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

impl Planner {
    /// Takes note of something that happened in the kernel.
    pub fn on_event(&mut self, now: Instant, event: &KernelEvent) {
        // What happens now is later than the dump.
        self.compare(now, usize::MAX);
        match event {
            KernelEvent::Synced(dump) => self.resync(now, dump),
            KernelEvent::Link(link) => self.on_link(now, link),
            KernelEvent::LinkGone { ifindex } => {
                self.objects.links.remove(*ifindex);
                self.flush_foreign(now, *ifindex);
                self.lose_nexthops(*ifindex);
                // IPv6 routes lose the legs that used it.
                if self.forms.any(|f| f.uses_link(*ifindex)) {
                    self.doubt(&|_, form| form.uses_link(*ifindex));
                }
            }
            KernelEvent::Address(address) => self.retry_gateways(address.subnet),
            KernelEvent::AddressGone(address) => self.on_address_gone(now, address),
            KernelEvent::Route(route) => self.on_route(route),
            KernelEvent::RouteGone(route) => self.on_route_gone(route),
            KernelEvent::Nexthop(nexthop) => self.on_nexthop(nexthop),
            KernelEvent::NexthopGone(id) => self.on_nexthop_gone(*id, There::Absent),
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

    /// Takes note of something that happened while the dump was made that has just been compared with, and
    /// that was acted upon when it was heard of. What was done about it since may be there already.
    pub(super) fn hear_again(&mut self, now: Instant, event: &KernelEvent) {
        match event {
            // They are known as they are now, and the dump may show what they have taken along.
            KernelEvent::Link(Link { ifindex, .. }) => {
                let state = self.objects.links.get(*ifindex);
                self.follow_loss(now, *ifindex, (true, true), state.unwrap_or_default());
            }
            KernelEvent::NexthopGone(id) => self.on_nexthop_gone(*id, There::Maybe),
            event => self.on_event(now, event),
        }
    }

    fn on_link(&mut self, now: Instant, link: &Link) {
        let ifindex = link.ifindex;
        let (before, after) = self.objects.links.insert(link);
        let was_up = before.is_some_and(|s| s.up);
        let was_usable = before.is_some_and(|s| s.usable);
        self.follow_loss(now, ifindex, (was_up, was_usable), after);
        if (after.up && !was_up) || (after.usable && !was_usable) {
            self.retry_link(ifindex);
        }
    }

    /// What a link that was up, or usable, has taken along if it is not any more.
    fn follow_loss(
        &mut self,
        now: Instant,
        ifindex: u32,
        (was_up, was_usable): (bool, bool),
        after: State,
    ) {
        if was_up && !after.up {
            self.link_down(now, ifindex);
        }
        if was_usable && !after.usable {
            self.flush_foreign_objects(now);
            self.lose_nexthops(ifindex);
        }
    }

    /// Groups that shrank with the link may grow again, and what was refused for it may not be any
    /// more.
    fn retry_link(&mut self, ifindex: u32) {
        self.review = true;
        self.retry(|reason, route| reason.depends_on_links() && route.uses_link(ifindex));
    }

    /// The link went down. A route with a leg on another link stays, and its dead leg comes back to
    /// life with the link.
    fn link_down(&mut self, now: Instant, ifindex: u32) {
        self.flush_foreign(now, ifindex);
        let links = &self.objects.links;
        let dead = |f: &Form| match &f.target {
            Target::Gateways(set) => {
                f.uses_link(ifindex) && !set.as_slice().iter().any(|g| links.is_up(g.ifindex))
            }
            Target::Object(_) | Target::Blackhole => false,
        };
        if self.forms.any(dead) {
            let hit = self.hit_by(&|_, form| dead(form));
            self.doubt_all(hit);
        }
    }

    /// Routes of others that name objects go without an event as well.
    fn flush_foreign_objects(&mut self, now: Instant) {
        if self.foreign.has_objects() {
            self.request_resync(now);
        }
    }

    fn flush_foreign(&mut self, now: Instant, ifindex: u32) {
        if self.foreign.has_multipath() {
            // Whether those had a living leg left, only the kernel knows.
            self.request_resync(now);
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
