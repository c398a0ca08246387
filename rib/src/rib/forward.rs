//! Next hops in, kernel routes out.

use redstart_bgp::types::{Prefix, PrefixKey};
use smallvec::SmallVec;

use super::{
    Rib,
    decide::{Shared, Standing, redecide},
    recursive,
    view::TrackedNextHop,
};
use crate::{
    export::Originations,
    fib::{Route, RouteKind},
    ids::PrefixId,
    nexthop::{Gateway, NexthopSet, Resolve, Resolved},
    table::{Entry, FibDirty, Table},
    tracking::{Changed, NextHopId, Whom},
};

/// What the kernel shall hold for an entry.
///
/// Only what was learned is forwarded. A route of our own is reachable by what the kernel has
/// already (the pod network), so at most the rest of it is dropped.
fn route<P: PrefixKey>(
    entry: &Entry<P>,
    shared: &Shared,
    originations: &Originations,
) -> Option<Route> {
    let best = entry.paths.best()?;
    let kind = if best.peer.is_local() {
        let own = originations.get(&entry.prefix.into())?;
        own.blackhole.then_some(RouteKind::Blackhole)?
    } else {
        let set = gateways(entry, shared);
        (!set.is_empty()).then_some(RouteKind::Unicast(set))?
    };
    Some(Route {
        kind,
        prefsrc: None,
    })
}

/// The gateways of all paths that share the traffic, the best path's first, at most `max_paths`.
fn gateways<P: PrefixKey>(entry: &Entry<P>, shared: &Shared) -> NexthopSet {
    let states = entry
        .paths
        .as_slice()
        .iter()
        .take_while(|path| path.is_multipath())
        .filter_map(|path| shared.attrs.hot(path.attr).next_hop)
        .filter_map(|next_hop| shared.attrs.next_hops.state(next_hop).as_ref().ok());
    share(states, shared.config.max_paths.into())
        .into_iter()
        .collect()
}

/// The gateways of next hops that share the traffic, those of the first one first, at most `max`.
pub(super) fn share<'a>(
    states: impl Iterator<Item = &'a Resolved>,
    max: usize,
) -> SmallVec<[Gateway; 2]> {
    let mut found: SmallVec<[Gateway; 2]> = SmallVec::new();
    for gateway in states.flat_map(|resolved| &resolved.gateways) {
        let is_known = found.iter_mut().any(|known| known.unite(gateway));
        if !is_known && found.len() < max.max(1) {
            found.push(*gateway);
        }
    }
    found
}

/// Whether any path of the entry goes by one of `changed`, which is in order.
fn concerned<P: PrefixKey>(entry: &Entry<P>, shared: &Shared, changed: &[NextHopId]) -> bool {
    entry.paths.as_slice().iter().any(|path| {
        let next_hop = shared.attrs.hot(path.attr).next_hop;
        next_hop.is_some_and(|next_hop| changed.binary_search(&next_hop).is_ok())
    })
}

/// Decides again what depends on next hops that changed.
///
/// Where they were all new, that can only be what waits for them. Otherwise the table is walked:
/// next hops change with links, which is rare, and a walk is linear in memory.
fn follow_next_hops<P: PrefixKey>(table: &mut Table<P>, shared: &mut Shared, changed: &Changed) {
    let waiting = table.take_waiting();
    if changed.known_before {
        for id in table.ids() {
            follow(table, shared, changed, id);
        }
    } else {
        for id in &waiting {
            follow(table, shared, changed, *id);
        }
    }
    for id in waiting {
        let paths = table.entry(id).paths.as_slice().iter();
        let mut next_hops = paths.filter_map(|path| shared.attrs.hot(path.attr).next_hop);
        if next_hops.any(|next_hop| shared.attrs.next_hops.is_pending(next_hop)) {
            table.wait(id);
        }
    }
}

fn follow<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &mut Shared,
    changed: &Changed,
    id: PrefixId,
) {
    let entry = table.entry(id);
    if !concerned(entry, shared, &changed.ids) {
        return;
    }
    let before = Standing::of(entry, &shared.attrs);
    redecide(table, shared, id, &before);
    // The same next hops may have other gateways now.
    let moved = |next_hop: &NextHopId| changed.ids.binary_search(next_hop).is_ok();
    if before.forwarding.iter().any(moved) {
        table.fib_dirty.insert(id);
    }
}

/// How the next prefix is taken out.
type Pop = fn(&mut FibDirty) -> Option<PrefixId>;

fn take_changes<P: PrefixKey>(
    table: &mut Table<P>,
    shared: &Shared,
    originations: &Originations,
    pop: Pop,
    (max, changes): (usize, &mut Vec<(Prefix, Option<Route>)>),
) {
    while changes.len() < max
        && let Some(id) = pop(&mut table.fib_dirty)
    {
        let entry = table.entry_mut(id);
        let prefix = entry.prefix.into();
        let change = take_change(entry, shared, originations);
        if let Some(None) = change {
            table.forget_if_unused(id);
        }
        changes.extend(change.map(|route| (prefix, route)));
    }
}

/// What the kernel is told of an entry, if that is anything.
fn take_change<P: PrefixKey>(
    entry: &mut Entry<P>,
    shared: &Shared,
    originations: &Originations,
) -> Option<Option<Route>> {
    let route = route(entry, shared, originations);
    let was_there = entry.set_in_fib(route.is_some());
    (route.is_some() || was_there).then_some(route)
}

impl Rib {
    /// The next hops that received routes name, and what is known of each.
    pub fn next_hops(&self) -> impl Iterator<Item = TrackedNextHop<'_>> + '_ {
        let all = self.shared.attrs.next_hops.iter();
        all.map(|(next_hop, interface, state)| TrackedNextHop {
            next_hop,
            interface,
            state,
        })
    }

    /// Whether there are next hops to look up for [`resolve_pending`](Self::resolve_pending): nobody has
    /// yet, and routes by them wait, or the learned routes that lead to them changed.
    #[must_use]
    pub const fn has_pending_next_hops(&self) -> bool {
        self.shared.attrs.next_hops.is_due()
    }

    /// Looks up the next hops that are new. Call it after announcements and before anything is pulled:
    /// until it is, a route by a new next hop is not usable, and one that it replaced is gone.
    pub fn resolve_new(&mut self, resolver: &dyn Resolve) {
        if self.shared.attrs.next_hops.has_new() {
            self.resolve_some(resolver, Whom::New);
        }
    }

    /// The same, and those that changed routes lead to: once after many changes, for all routes by such a
    /// next hop have to be found.
    pub fn resolve_pending(&mut self, resolver: &dyn Resolve) {
        if self.has_pending_next_hops() {
            self.resolve_some(resolver, Whom::Due);
        }
    }

    /// Looks up every next hop again. Call it when the kernel's links, addresses or routes changed.
    pub fn resolve(&mut self, resolver: &dyn Resolve) {
        self.resolve_some(resolver, Whom::All);
    }

    fn resolve_some(&mut self, resolver: &dyn Resolve, whom: Whom) {
        let due = self.shared.attrs.next_hops.ask(resolver, whom);
        let state = |id| (id, recursive::state(&self.v4, &self.v6, &self.shared, id));
        let states = due.into_iter().map(state).collect();
        let changed = self.shared.attrs.next_hops.settle(states);
        self.shared.attrs.next_hops.set_following(true);
        follow_next_hops(&mut self.v4, &mut self.shared, &changed);
        follow_next_hops(&mut self.v6, &mut self.shared, &changed);
        self.shared.attrs.next_hops.set_following(false);
    }

    /// Whether [`take_fib_changes`](Self::take_fib_changes) has something to look at.
    #[must_use]
    pub const fn has_fib_changes(&self) -> bool {
        !self.v4.fib_dirty.is_empty() || !self.v6.fib_dirty.is_empty()
    }

    /// Whether some of that is not about prefixes that the kernel has no route to: packets may be led astray
    /// until it is told.
    #[must_use]
    pub const fn has_urgent_fib_changes(&self) -> bool {
        self.v4.fib_dirty.has_changed() || self.v6.fib_dirty.has_changed()
    }

    /// Says everything again at the next [`take_fib_changes`](Self::take_fib_changes): for a kernel
    /// table that starts empty.
    pub fn repeat_fib(&mut self) {
        fn mark<P: PrefixKey>(table: &mut Table<P>) {
            for id in table.ids() {
                table.fib_dirty.insert(id);
            }
        }
        mark(&mut self.v4);
        mark(&mut self.v6);
    }

    /// What changed for the kernel since the last call, at most `max` prefixes: the latest state of
    /// each, `None` where no route is wanted any more. The [urgent](Self::has_urgent_fib_changes) ones come first;
    /// of `max` an eighth is for new ones, however many there are of those. A change may repeat what was said before.
    pub fn take_fib_changes(&mut self, max: usize) -> Vec<(Prefix, Option<Route>)> {
        let mut changes = self.take_urgent_fib_changes(max - max / 8);
        self.take_some(FibDirty::pop_new, max, &mut changes);
        self.take_some(FibDirty::pop_changed, max, &mut changes);
        changes
    }

    /// As [`take_fib_changes`](Self::take_fib_changes), but leaves new prefixes for later.
    pub fn take_urgent_fib_changes(&mut self, max: usize) -> Vec<(Prefix, Option<Route>)> {
        let mut changes = Vec::new();
        self.take_some(FibDirty::pop_changed, max, &mut changes);
        changes
    }

    /// Of each family, so that neither waits for all of the other's.
    fn take_some(&mut self, pop: Pop, max: usize, changes: &mut Vec<(Prefix, Option<Route>)>) {
        let (shared, own) = (&self.shared, &self.originations);
        let half = changes.len() + max.saturating_sub(changes.len()).div_ceil(2);
        take_changes(&mut self.v6, shared, own, pop, (half, &mut *changes));
        take_changes(&mut self.v4, shared, own, pop, (max, &mut *changes));
        take_changes(&mut self.v6, shared, own, pop, (max, changes));
    }
}
