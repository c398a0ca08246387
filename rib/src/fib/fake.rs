//! A kernel that lies the way Linux does, for tests.
//!
//! Every lie here was measured on the real one (Linux 6.18; `rib/tests/netlink.rs` repeats the
//! measurements):
//!
//! - REPLACE overwrites a stranger's route with the same prefix and metric, and the only event is
//!   the new route.
//! - A delete whose protocol differs finds nothing (`ESRCH`).
//! - A link that goes down takes its IPv4 routes along without an event; IPv6 reports each removal;
//!   a multipath route with a leg elsewhere keeps its dead leg.
//! - A link that loses its carrier, or goes down, takes nexthop objects on it along; a group shrinks
//!   by those, and without a leg goes as well, with each route that names it. Only the removal of
//!   IPv6 routes is told. Nothing comes back with the carrier.
//! - Deleting an object deletes the routes that name it; that of IPv4 routes is not told.
//! - A route that names an object outlives the last address of the link.
//! - The gateway of a link that is down is called unreachable.
//! - Removing the last IPv4 address of a link flushes the IPv4 routes over it without an event.
//! - When the event buffer is full, events are lost, and only that is told.
//!
//! One table; foreign and own routes share it. Events of our own operations are not queued, as the
//! driver hides those.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use redstart_bgp::types::{Family, Prefix};

use super::{
    errno,
    kernel::{
        Change, Dump, KernelError, KernelEvent, KernelOp, KernelRoute, Link, LinkAddress, Request,
        RouteAction,
    },
    model::{Form, Route, RouteKey, RouteKind, Target},
    object::{KernelNexthop, Leg, NexthopChange, NexthopId, NexthopSpec},
};
use crate::nexthop::{Gateway, NexthopSet};

/// The fake kernel. See the module's page.
#[derive(Debug, Default)]
pub struct FakeKernel {
    links: BTreeMap<u32, Link>,
    addresses: Vec<LinkAddress>,
    /// By prefix and metric: the kernel's key.
    routes: BTreeMap<(Prefix, u32), KernelRoute>,
    nexthops: BTreeMap<NexthopId, KernelNexthop>,
    events: VecDeque<KernelEvent>,
    /// A dump that is not told yet.
    making: Option<Making>,
    /// How often whoever has read every event finds nothing more before a dump is told.
    pub dump_takes: u32,
    /// How many events fit; `None`: any number.
    pub event_capacity: Option<usize>,
    overrun: bool,
    /// Answers for the next operations, before the kernel even looks at them.
    pub refuse_next: VecDeque<i32>,
    table: u32,
}

/// A dump, as it was when it was begun.
#[derive(Debug)]
struct Making {
    dump: Dump,
    takes: u32,
}

impl FakeKernel {
    /// A kernel with the loopback link only, which routes by `table`.
    #[must_use]
    pub fn new(table: u32) -> Self {
        let mut kernel = Self {
            table,
            ..Self::default()
        };
        kernel.links.insert(1, link(1, true, true));
        kernel
    }

    /// Carries out one operation.
    ///
    /// # Errors
    /// What Linux would answer.
    pub fn apply(&mut self, op: &KernelOp) -> Result<(), KernelError> {
        if let Some(errno) = self.refuse_next.pop_front().filter(|e| *e != 0) {
            return Err(KernelError::new(errno));
        }
        match &op.request {
            Request::Route { key, change } => self.apply_route(key, change),
            Request::Nexthop {
                id,
                protocol,
                change,
            } => self.apply_nexthop(*id, *protocol, change),
        }
    }

    fn apply_route(&mut self, key: &RouteKey, change: &Change) -> Result<(), KernelError> {
        let slot = (key.prefix, key.metric.get());
        match change {
            Change::Add(form) => {
                if self.routes.contains_key(&slot) {
                    return Err(KernelError::new(errno::EEXIST));
                }
                self.check(key.prefix, form)?;
                self.routes.insert(slot, kernel_route(key, form));
            }
            Change::Replace(form) => {
                self.check(key.prefix, form)?;
                self.routes.insert(slot, kernel_route(key, form));
            }
            Change::Delete(_) => {
                if self
                    .routes
                    .get(&slot)
                    .is_none_or(|r| r.protocol != key.protocol)
                {
                    return Err(KernelError::new(errno::ESRCH));
                }
                self.routes.remove(&slot);
            }
        }
        Ok(())
    }

    fn apply_nexthop(
        &mut self,
        id: NexthopId,
        protocol: u8,
        change: &NexthopChange,
    ) -> Result<(), KernelError> {
        let there = self.nexthops.get(&id);
        let spec = match change {
            NexthopChange::Add(spec) | NexthopChange::Replace(spec) => spec,
            NexthopChange::Delete if there.is_none() => {
                return Err(KernelError::new(errno::ENOENT));
            }
            NexthopChange::Delete => {
                self.remove_nexthop(id, false);
                return Ok(());
            }
        };
        // What an object shall be is judged before what is there.
        match spec {
            NexthopSpec::Leg(leg) => self.check_leg(leg)?,
            NexthopSpec::Group(group) => {
                if group.members.iter().any(|m| self.leg(m.leg).is_none()) {
                    return Err(KernelError::new(errno::EINVAL));
                }
            }
        }
        let is_group = |s: &NexthopSpec| matches!(s, NexthopSpec::Group(_));
        let was = there.and_then(|n| n.spec.as_ref());
        match change {
            NexthopChange::Add(_) if there.is_some() => {
                return Err(KernelError::new(errno::EEXIST));
            }
            NexthopChange::Replace(_) if there.is_none() => {
                return Err(KernelError::new(errno::ENOENT));
            }
            _ if was.is_some_and(|was| is_group(was) != is_group(spec)) => {
                return Err(KernelError::new(errno::EINVAL));
            }
            _ => {}
        }
        let spec = Some(spec.clone());
        self.nexthops
            .insert(id, KernelNexthop { id, protocol, spec });
        Ok(())
    }

    fn check_leg(&self, leg: &Leg) -> Result<(), KernelError> {
        match self.links.get(&leg.ifindex) {
            None => return Err(KernelError::new(errno::EINVAL)),
            Some(link) if !(link.up && link.carrier) => {
                return Err(KernelError::new(errno::ENETDOWN));
            }
            Some(_) => {}
        }
        self.check_gateway(&leg.gateway(1))
    }

    fn leg(&self, id: NexthopId) -> Option<&Leg> {
        match self.nexthops.get(&id)?.spec.as_ref()? {
            NexthopSpec::Leg(leg) => Some(leg),
            NexthopSpec::Group(_) => None,
        }
    }

    /// The gateways that an object leads to.
    fn leads_to(&self, id: NexthopId) -> NexthopSet {
        match self.nexthops.get(&id).and_then(|n| n.spec.as_ref()) {
            Some(NexthopSpec::Leg(leg)) => leg.gateway(1).into(),
            Some(NexthopSpec::Group(group)) => {
                let legs = group.members.iter();
                legs.filter_map(|m| Some(self.leg(m.leg)?.gateway(m.weight)))
                    .collect()
            }
            None => NexthopSet::default(),
        }
    }

    /// The route as it forwards, whichever way it is written.
    #[must_use]
    pub fn effect(&self, route: &KernelRoute) -> Option<Route> {
        let kind = match (&route.action, route.nexthop) {
            (_, Some(id)) => RouteKind::Unicast(self.leads_to(id)),
            (RouteAction::Forward(set), None) => RouteKind::Unicast(set.clone()),
            (RouteAction::Blackhole, None) => RouteKind::Blackhole,
            _ => return None,
        };
        let prefsrc = route.prefsrc;
        Some(Route { kind, prefsrc })
    }

    /// An object, and what goes with it. `told`: somebody else did it, and that is an event.
    fn remove_nexthop(&mut self, id: NexthopId, told: bool) {
        if self.nexthops.remove(&id).is_none() {
            return;
        }
        let mut emptied = Vec::new();
        let mut events = Vec::new();
        for nexthop in self.nexthops.values_mut() {
            let Some(NexthopSpec::Group(group)) = &mut nexthop.spec else {
                continue;
            };
            let before = group.members.len();
            group.members.retain(|m| m.leg != id);
            if group.members.is_empty() {
                emptied.push(nexthop.id);
            } else if group.members.len() < before {
                events.push(KernelEvent::Nexthop(nexthop.clone()));
            }
        }
        if told {
            events.push(KernelEvent::NexthopGone(id));
        } else {
            events.clear();
        }
        self.routes.retain(|(prefix, _), route| {
            let hit = route.nexthop == Some(id);
            if hit && matches!(prefix, Prefix::V6(_)) {
                events.push(KernelEvent::RouteGone(route.clone()));
            }
            !hit
        });
        for event in events {
            self.emit(event);
        }
        for id in emptied {
            self.remove_nexthop(id, told);
        }
    }

    /// What carrier loss does.
    fn flush_nexthops(&mut self, ifindex: u32) {
        let legs: Vec<NexthopId> = self
            .nexthops
            .values()
            .filter(|n| matches!(&n.spec, Some(NexthopSpec::Leg(l)) if l.ifindex == ifindex))
            .map(|n| n.id)
            .collect();
        for id in legs {
            self.remove_nexthop(id, false);
        }
    }

    /// Somebody else deletes an object, whoever's it is. Whether there was one.
    pub fn delete_any_nexthop(&mut self, id: NexthopId) -> bool {
        let there = self.nexthops.contains_key(&id);
        self.remove_nexthop(id, true);
        there
    }

    /// Somebody else makes an object, or replaces one.
    pub fn put_foreign_nexthop(&mut self, nexthop: KernelNexthop) {
        self.nexthops.insert(nexthop.id, nexthop.clone());
        self.emit(KernelEvent::Nexthop(nexthop));
    }

    /// Every object.
    pub fn nexthops(&self) -> impl Iterator<Item = &KernelNexthop> {
        self.nexthops.values()
    }

    fn check(&self, prefix: Prefix, form: &Form) -> Result<(), KernelError> {
        let invalid = Err(KernelError::new(errno::EINVAL));
        match &form.target {
            Target::Blackhole => {}
            Target::Object(id) if !self.nexthops.contains_key(id) => return invalid,
            Target::Object(id) => {
                let v4 = |g: &Gateway| matches!(g.via, Some(IpAddr::V4(_)));
                let v6_route = prefix.family() == Family::Ipv6Unicast;
                if v6_route && self.leads_to(*id).as_slice().iter().any(v4) {
                    return invalid;
                }
            }
            Target::Gateways(set) => {
                for gateway in set.as_slice() {
                    self.check_gateway(gateway)?;
                }
            }
        }
        let has_address = |addr| self.addresses.iter().any(|a| a.addr == addr);
        match form.prefsrc {
            Some(addr) if !has_address(addr) => invalid,
            _ => Ok(()),
        }
    }

    fn check_gateway(&self, gateway: &Gateway) -> Result<(), KernelError> {
        let Some(link) = self.links.get(&gateway.ifindex) else {
            return Err(KernelError::new(errno::ENODEV));
        };
        let reachable = gateway.via.is_none_or(|via| {
            gateway.onlink || is_link_local(via) || link.up && self.covers(gateway.ifindex, via)
        });
        // The gateway is judged first, by routes that a link takes along when it goes down.
        if !reachable {
            let errno = match gateway.via {
                Some(IpAddr::V6(_)) => errno::EHOSTUNREACH,
                _ => errno::ENETUNREACH,
            };
            return Err(KernelError::new(errno));
        }
        if !link.up {
            return Err(KernelError::new(errno::ENETDOWN));
        }
        Ok(())
    }

    fn covers(&self, ifindex: u32, addr: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|a| a.ifindex == ifindex && a.subnet.contains(addr))
    }

    /// Somebody else adds or replaces a route.
    pub fn put_foreign(&mut self, route: KernelRoute) {
        self.routes
            .insert((route.prefix, route.metric), route.clone());
        self.emit(KernelEvent::Route(route));
    }

    /// Somebody else deletes a route, whoever's it is. Whether there was one.
    pub fn delete_any(&mut self, prefix: Prefix, metric: u32) -> bool {
        let Some(route) = self.routes.remove(&(prefix, metric)) else {
            return false;
        };
        self.emit(KernelEvent::RouteGone(route));
        true
    }

    /// Creates a link or changes its state.
    pub fn set_link(&mut self, ifindex: u32, up: bool, carrier: bool) {
        let before = self.links.insert(ifindex, link(ifindex, up, carrier));
        if before.as_ref().is_some_and(|l| l.up) && !up {
            self.flush_link(ifindex, false);
        }
        if before.is_some_and(|l| l.carrier) && !(up && carrier) {
            self.flush_nexthops(ifindex);
        }
        self.emit(KernelEvent::Link(link(ifindex, up, carrier)));
    }

    /// Removes a link with its addresses.
    pub fn remove_link(&mut self, ifindex: u32) {
        if self.links.remove(&ifindex).is_none() {
            return;
        }
        self.flush_link(ifindex, true);
        self.flush_nexthops(ifindex);
        let (gone, kept) = self
            .addresses
            .drain(..)
            .partition(|a: &LinkAddress| a.ifindex == ifindex);
        self.addresses = kept;
        for address in gone {
            self.emit(KernelEvent::AddressGone(address));
        }
        self.emit(KernelEvent::LinkGone { ifindex });
    }

    /// Adds an address. No connected route comes with it; tests add those as foreign routes.
    pub fn add_address(&mut self, address: LinkAddress) {
        if !self.addresses.contains(&address) {
            self.addresses.push(address);
            self.emit(KernelEvent::Address(address));
        }
    }

    /// Removes an address, and silently what hangs on it.
    pub fn remove_address(&mut self, address: LinkAddress) {
        let before = self.addresses.len();
        self.addresses.retain(|a| *a != address);
        if self.addresses.len() == before {
            return;
        }
        if address.addr.is_ipv4() {
            let v4_left = |a: &LinkAddress| a.ifindex == address.ifindex && a.addr.is_ipv4();
            let last = !self.addresses.iter().any(v4_left);
            self.routes.retain(|(prefix, _), route| {
                let over_link = last && uses_link(route, address.ifindex);
                let sourced = route.prefsrc == Some(address.addr);
                matches!(prefix, Prefix::V6(_)) || !(over_link || sourced)
            });
        }
        self.emit(KernelEvent::AddressGone(address));
    }

    /// The silent flush.
    fn flush_link(&mut self, ifindex: u32, whole_link: bool) {
        let mut events = Vec::new();
        let links = &self.links;
        self.routes.retain(|(prefix, _), route| {
            let RouteAction::Forward(set) = &mut route.action else {
                return true;
            };
            if !set.as_slice().iter().any(|g| g.ifindex == ifindex) {
                return true;
            }
            let alive =
                |g: &&Gateway| g.ifindex != ifindex && links.get(&g.ifindex).is_some_and(|l| l.up);
            let left: NexthopSet = set.as_slice().iter().filter(alive).copied().collect();
            if !left.is_empty() {
                // Down: the leg is dead but listed. Gone: IPv6 drops the leg from the route.
                if whole_link && matches!(prefix, Prefix::V6(_)) {
                    *set = left;
                }
                return true;
            }
            if matches!(prefix, Prefix::V6(_)) {
                events.push(KernelEvent::RouteGone(route.clone()));
            }
            false
        });
        for event in events {
            self.emit(event);
        }
    }

    fn emit(&mut self, event: KernelEvent) {
        if self.event_capacity.is_some_and(|c| self.events.len() >= c) {
            self.overrun = true;
        } else {
            if let Some(making) = &mut self.making {
                making.dump.since.push(event.clone());
            }
            self.events.push_back(event);
        }
    }

    /// The next event. After a loss the queue ends with `Overrun`, and a dump that is being made is
    /// begun again.
    pub fn next_event(&mut self) -> Option<KernelEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if core::mem::take(&mut self.overrun) {
            if self.making.is_some() {
                self.request_dump();
            }
            return Some(KernelEvent::Overrun);
        }
        let making = self.making.as_mut()?;
        if making.takes > 0 {
            making.takes -= 1;
            return None;
        }
        let done = self.making.take()?;
        Some(KernelEvent::Synced(Arc::new(done.dump)))
    }

    /// Begins a dump, as the driver does on request: it is told behind the events that came before it is
    /// done. What is done meanwhile is not in it.
    pub fn request_dump(&mut self) {
        let (dump, takes) = (self.dump(), self.dump_takes);
        self.making = Some(Making { dump, takes });
    }

    /// Everything there is, as an event.
    #[must_use]
    pub fn synced(&self) -> KernelEvent {
        KernelEvent::Synced(Arc::new(self.dump()))
    }

    fn dump(&self) -> Dump {
        Dump {
            links: self.links.values().cloned().collect(),
            addresses: self.addresses.clone(),
            silent: BTreeSet::new(),
            nexthops: self.nexthops.values().cloned().collect(),
            routes: self.routes().cloned().collect(),
            since: Vec::new(),
        }
    }

    /// The table.
    pub fn routes(&self) -> impl Iterator<Item = &KernelRoute> {
        self.routes.values()
    }

    /// The route with this prefix and metric.
    #[must_use]
    pub fn route(&self, prefix: Prefix, metric: u32) -> Option<&KernelRoute> {
        self.routes.get(&(prefix, metric))
    }

    /// A foreign route of this table, for [`put_foreign`](Self::put_foreign).
    #[must_use]
    pub fn foreign(
        &self,
        prefix: Prefix,
        protocol: u8,
        metric: u32,
        to: NexthopSet,
    ) -> KernelRoute {
        KernelRoute {
            prefix,
            table: self.table,
            protocol,
            metric,
            action: RouteAction::Forward(to),
            prefsrc: None,
            nexthop: None,
        }
    }
}

fn link(ifindex: u32, up: bool, carrier: bool) -> Link {
    Link {
        ifindex,
        name: format!("eth{ifindex}"),
        up,
        carrier: up && carrier,
        loopback: ifindex == 1,
        controller: None,
        vrf_table: None,
    }
}

fn kernel_route(key: &RouteKey, form: &Form) -> KernelRoute {
    let (action, nexthop) = match &form.target {
        Target::Object(id) => (RouteAction::Forward(NexthopSet::default()), Some(*id)),
        Target::Gateways(set) => (RouteAction::Forward(set.clone()), None),
        Target::Blackhole => (RouteAction::Blackhole, None),
    };
    KernelRoute {
        prefix: key.prefix,
        table: key.table,
        protocol: key.protocol,
        metric: key.metric.get(),
        action,
        prefsrc: form.prefsrc,
        nexthop,
    }
}

fn uses_link(route: &KernelRoute, ifindex: u32) -> bool {
    match &route.action {
        RouteAction::Forward(set) => set.as_slice().iter().any(|g| g.ifindex == ifindex),
        _ => false,
    }
}

const fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}
