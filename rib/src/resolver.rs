//! Where a BGP next hop leads, judged by the kernel's own links, addresses and routes.
//!
//! RFC 4271 section 9.1.2.1 leaves the "Routing Table" that resolves next hops to the
//! implementation. Ours is what the kernel would do with a packet for the next hop, except that
//! routes made by BGP do not count: a next hop that resolves through a route that depends on it
//! would come and go forever (the same section's remark on mutually recursive routes). Where learned
//! routes lead, the RIB knows, and asks only whether they may. The kernel has resolved the gateways of
//! all other routes already, each with its link, so no recursion is left to do here.
//!
//! [`KernelView`] is fed with the kernel's events and answers [`Resolve`]. It follows the same
//! silent flush of IPv4 routes as the planner does. A link without carrier resolves nothing, though
//! the kernel keeps its routes: packets for it would be lost.

mod table;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use redstart_bgp::types::{Family, NextHop};
use smallvec::SmallVec;

use self::table::{Candidate, Table};

use crate::{
    fib::{
        Dump, FibConfig, KernelEvent, KernelNexthop, KernelRoute, Link, LinkAddress, LinkNeighbour,
        NexthopId, NexthopSpec, RouteAction,
    },
    nexthop::{Answer, Gateway, NexthopSet, Resolve, Resolved, Unresolved},
};

/// How next hops are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverConfig {
    /// The routing table that leads to next hops.
    pub table: u32,
    /// Routes with this `rtm_protocol` do not count.
    pub bgp_protocol: u8,
    /// Whether the default route may lead to a next hop.
    pub allow_default: bool,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            table: FibConfig::TABLE_MAIN,
            bgp_protocol: FibConfig::PROTOCOL_BGP,
            allow_default: true,
        }
    }
}

/// The kernel's state as far as next hops depend on it. See the module's page.
#[derive(Debug)]
pub struct KernelView {
    config: ResolverConfig,
    links: BTreeMap<u32, Link>,
    addresses: BTreeSet<LinkAddress>,
    silent: BTreeSet<LinkNeighbour>,
    v4: Table<Ipv4Network>,
    v6: Table<Ipv6Network>,
    nexthops: BTreeMap<NexthopId, NexthopSpec>,
    generation: u64,
    link_generation: u64,
}

impl KernelView {
    /// A view that knows nothing: every next hop is unresolved until the first dump.
    #[must_use]
    pub fn new(config: ResolverConfig) -> Self {
        Self {
            config,
            links: BTreeMap::new(),
            addresses: BTreeSet::new(),
            silent: BTreeSet::new(),
            v4: Table::default(),
            v6: Table::default(),
            nexthops: BTreeMap::new(),
            generation: 0,
            link_generation: 0,
        }
    }

    /// Routes of this protocol lead to no next hops: they are our own. Takes effect with the next dump.
    pub const fn set_bgp_protocol(&mut self, protocol: u8) {
        self.config.bgp_protocol = protocol;
    }

    /// The routing table that leads to next hops.
    #[must_use]
    pub const fn table(&self) -> u32 {
        self.config.table
    }

    /// Another table leads to next hops. Takes effect with the next dump.
    pub const fn set_table(&mut self, table: u32) {
        self.config.table = table;
    }

    /// Grows whenever an answer may have changed: compare with the value at the last round to know
    /// whether next hops must be resolved again.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Grows whenever a link or an address of this node may have changed.
    #[must_use]
    pub const fn link_generation(&self) -> u64 {
        self.link_generation
    }

    /// The links, by index.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The index of the link with this name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// The addresses of this node.
    pub fn addresses(&self) -> impl Iterator<Item = &LinkAddress> {
        self.addresses.iter()
    }

    /// Whether `addr` is an address of this node.
    #[must_use]
    pub fn is_own(&self, addr: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.addr == addr)
    }

    /// Whether the kernel asks for `addr` in vain on a link: nobody there has the address, or its host is
    /// down.
    #[must_use]
    pub fn is_silent(&self, addr: IpAddr, ifindex: u32) -> bool {
        self.silent.contains(&LinkNeighbour { ifindex, addr })
    }

    /// The same for whichever link leads to it.
    #[must_use]
    pub fn is_silent_anywhere(&self, addr: IpAddr) -> bool {
        self.silent.iter().any(|it| it.addr == addr)
    }

    /// Where the default route of a family leads that is not made by BGP: the gateways, on links that
    /// work, of the route of the lowest metric that has any.
    #[must_use]
    pub fn default_gateways(&self, family: Family) -> SmallVec<[Gateway; 2]> {
        let is_some = |gateways: &SmallVec<[Gateway; 2]>| !gateways.is_empty();
        let found = match family {
            Family::Ipv4Unicast => self.v4.defaults().map(|c| self.gateways(c)).find(is_some),
            Family::Ipv6Unicast => self.v6.defaults().map(|c| self.gateways(c)).find(is_some),
        };
        found.unwrap_or_default()
    }

    /// The gateways of a route, on links that work.
    fn gateways(&self, route: &Candidate) -> SmallVec<[Gateway; 2]> {
        let Some(set) = self.next_hops(route) else {
            return SmallVec::new();
        };
        let usable = |leg: &Gateway| leg.via.is_some() && self.is_usable(leg.ifindex);
        set.as_slice().iter().copied().filter(usable).collect()
    }

    /// Takes note of something that happened in the kernel.
    pub fn on_event(&mut self, event: &KernelEvent) {
        let changed = match event {
            KernelEvent::Synced(dump) => self.replace(dump),
            KernelEvent::Link(link) => self.set_link(link),
            KernelEvent::LinkGone { ifindex } => {
                self.v4.flush_link(*ifindex);
                self.links.remove(ifindex).is_some()
            }
            KernelEvent::Address(address) => self.addresses.insert(*address),
            KernelEvent::AddressGone(address) => self.addresses.remove(address),
            KernelEvent::Neighbour { neighbour, silent } => {
                neighbour.note(*silent, &mut self.silent);
                // No answer depends on it.
                false
            }
            KernelEvent::Route(route) => self.insert(route),
            KernelEvent::RouteGone(route) => self.remove(route),
            KernelEvent::Nexthop(nexthop) => self.set_nexthop(nexthop),
            KernelEvent::NexthopGone(id) => self.nexthops.remove(id).is_some(),
            KernelEvent::Overrun => false,
        };
        let of_links = !matches!(event, KernelEvent::Route(_) | KernelEvent::RouteGone(_));
        self.generation += u64::from(changed);
        self.link_generation += u64::from(changed && of_links);
    }

    /// What happened while it was read included: nobody shall see a link come up that is down.
    fn replace(&mut self, dump: &Dump) -> bool {
        self.links = dump.links.iter().map(|l| (l.ifindex, l.clone())).collect();
        self.addresses = dump.addresses.iter().copied().collect();
        self.silent.clone_from(&dump.silent);
        self.v4 = Table::default();
        self.v6 = Table::default();
        self.nexthops.clear();
        for nexthop in &dump.nexthops {
            self.set_nexthop(nexthop);
        }
        for route in &dump.routes {
            self.insert(route);
        }
        for event in &dump.since {
            self.on_event(event);
        }
        true
    }

    /// Objects are for routes that do not say themselves where they lead: see
    /// [`KernelRoute::nexthop`].
    fn set_nexthop(&mut self, nexthop: &KernelNexthop) -> bool {
        if nexthop.protocol == self.config.bgp_protocol {
            return false;
        }
        let before = match &nexthop.spec {
            Some(spec) => self.nexthops.insert(nexthop.id, spec.clone()),
            None => self.nexthops.remove(&nexthop.id),
        };
        before != nexthop.spec
    }

    /// The gateways of a route that names an object.
    fn named(&self, id: NexthopId) -> NexthopSet {
        let leg = |id: NexthopId, weight: u8| match self.nexthops.get(&id)? {
            NexthopSpec::Leg(leg) => Some(leg.gateway(weight)),
            NexthopSpec::Group(_) => None,
        };
        match self.nexthops.get(&id) {
            Some(NexthopSpec::Leg(leg)) => leg.gateway(1).into(),
            Some(NexthopSpec::Group(group)) => {
                let legs = group.members.iter();
                legs.filter_map(|m| leg(m.leg, m.weight)).collect()
            }
            None => NexthopSet::default(),
        }
    }

    fn set_link(&mut self, link: &Link) -> bool {
        if !link.up {
            self.v4.flush_link(link.ifindex);
        }
        let vrf = self.vrf_of(link.ifindex);
        let before = self.links.insert(link.ifindex, link.clone());
        let same = before.is_some_and(|before| {
            // Which bridge it is a port of leads nowhere.
            let controller = link.controller;
            Link {
                controller,
                ..before
            } == *link
        });
        !same || vrf != self.vrf_of(link.ifindex)
    }

    /// Whether a route can lead to next hops at all.
    const fn counts(&self, route: &KernelRoute) -> bool {
        route.table == self.config.table
            && route.protocol != self.config.bgp_protocol
            && !matches!(route.action, RouteAction::Other)
    }

    fn insert(&mut self, route: &KernelRoute) -> bool {
        if !self.counts(route) {
            return false;
        }
        let candidate = candidate(route);
        match IpNetwork::from(route.prefix) {
            IpNetwork::V4(net) => self.v4.insert(net, candidate),
            IpNetwork::V6(net) => self.v6.insert(net, candidate),
        }
    }

    fn remove(&mut self, route: &KernelRoute) -> bool {
        if !self.counts(route) {
            return false;
        }
        let gone = candidate(route);
        match IpNetwork::from(route.prefix) {
            IpNetwork::V4(net) => self.v4.remove(&net, &gone),
            IpNetwork::V6(net) => self.v6.remove(&net, &gone),
        }
    }

    fn is_usable(&self, ifindex: u32) -> bool {
        self.links.get(&ifindex).is_some_and(|l| l.up && l.carrier)
    }

    /// Whether a link is in the VRF whose table leads to next hops; if that is no VRF's, whether it is in none.
    /// Only where subnets overlap it makes a difference.
    fn is_near(&self, ifindex: u32) -> bool {
        let wanted = Some(self.config.table);
        let is_vrf = self.links.values().any(|link| link.vrf_table == wanted);
        self.vrf_of(ifindex) == wanted.filter(|_| is_vrf)
    }

    /// The table of the VRF that a link is, or is in.
    fn vrf_of(&self, ifindex: u32) -> Option<u32> {
        let link = self.links.get(&ifindex)?;
        link.vrf_table
            .or_else(|| self.links.get(&link.controller?)?.vrf_table)
    }

    /// The subnets of our own links that `addr` lies in: those that are near before others, the longest, one
    /// with a living link first.
    fn connected(&self, addr: IpAddr) -> Option<&LinkAddress> {
        let all = self.addresses.iter().filter(|a| a.subnet.contains(addr));
        all.max_by_key(|a| {
            let near = self.is_near(a.ifindex);
            (near, a.subnet.len(), self.is_usable(a.ifindex))
        })
    }

    /// Whether packets for `addr` would come to this node: not if it is a neighbour's in the VRF that counts, and
    /// ours elsewhere.
    fn comes_here(&self, addr: IpAddr) -> bool {
        let mut ours = self.addresses.iter().filter(|own| own.addr == addr);
        let elsewhere = |own: &LinkAddress| {
            let subnet = self.connected(addr);
            subnet.is_some_and(|it| self.is_near(it.ifindex)) && !self.is_near(own.ifindex)
        };
        ours.any(|own| !elsewhere(own))
    }

    fn lookup(&self, addr: IpAddr) -> Option<(u8, &Candidate)> {
        match addr {
            IpAddr::V4(addr) => self.v4.longest(&addr.into()),
            IpAddr::V6(addr) => self.v6.longest(&addr.into()),
        }
    }

    fn on_link(&self, addr: IpAddr, ifindex: u32) -> Result<Resolved, Unresolved> {
        if !self.is_usable(ifindex) {
            return Err(Unresolved::LinkDown);
        }
        let gateways = SmallVec::from_iter([Gateway::via(addr, ifindex)]);
        Ok(Resolved::new(gateways, 0))
    }

    /// Where a route leads, if it leads anywhere: what it says itself, or the object that it names.
    fn next_hops<'a>(&self, route: &'a Candidate) -> Option<Cow<'a, NexthopSet>> {
        let RouteAction::Forward(set) = &route.action else {
            return None;
        };
        let named = route.nexthop.filter(|_| set.is_empty());
        Some(named.map_or(Cow::Borrowed(set), |id| Cow::Owned(self.named(id))))
    }

    fn through(&self, addr: IpAddr, route: &Candidate) -> Result<Resolved, Unresolved> {
        let set = self.next_hops(route).ok_or(Unresolved::Unreachable)?;
        let leg = |gateway: &Gateway| Gateway {
            via: Some(gateway.via.unwrap_or(addr)),
            ..*gateway
        };
        let gateways = set
            .as_slice()
            .iter()
            .filter(|g| self.is_usable(g.ifindex))
            .map(leg)
            .collect::<SmallVec<[Gateway; 2]>>();
        if gateways.is_empty() {
            return Err(Unresolved::LinkDown);
        }
        Ok(Resolved::new(gateways, route.metric))
    }

    fn resolve_addr(&self, addr: IpAddr) -> Answer {
        if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() {
            return Err(Unresolved::NoRoute).into();
        }
        if self.comes_here(addr) {
            return Err(Unresolved::OwnAddress).into();
        }
        let connected = self.connected(addr);
        let route = self.lookup(addr);
        if let Some(link) = connected {
            // Whoever announces a part of our own subnet does not get the packets for it.
            let narrower = route.filter(|(len, _)| *len > link.subnet.len());
            return narrower
                .map_or_else(
                    || self.on_link(addr, link.ifindex),
                    |(_, route)| self.through(addr, route),
                )
                .into();
        }
        let allow_default = self.config.allow_default;
        match route {
            None => Answer {
                state: Err(Unresolved::NoRoute),
                yields_to: Some(u8::from(!allow_default)),
            },
            Some((0, _)) if !allow_default => Answer {
                state: Err(Unresolved::OnlyDefaultRoute),
                yields_to: Some(1),
            },
            Some((len, route)) => Answer {
                state: self.through(addr, route),
                yields_to: Some(len + 1),
            },
        }
    }
}

fn candidate(route: &KernelRoute) -> Candidate {
    Candidate {
        metric: route.metric,
        protocol: route.protocol,
        action: route.action.clone(),
        nexthop: route.nexthop,
    }
}

impl Resolve for KernelView {
    fn resolve(&self, next_hop: NextHop, interface: Option<u32>) -> Answer {
        match (next_hop, interface) {
            // RFC 2545 section 3: with a link-local next hop the peer shares our link, and that is
            // the address to use.
            (NextHop::V6LinkLocal { link_local, .. }, Some(link)) => {
                self.link_local(link_local, Some(link))
            }
            (NextHop::V6LinkLocal { global, link_local }, None) => {
                if global.is_unspecified() || global.is_unicast_link_local() {
                    self.link_local(link_local, None)
                } else {
                    self.resolve_addr(global.into())
                }
            }
            (NextHop::V6(addr), link) if addr.is_unicast_link_local() => {
                self.link_local(addr, link)
            }
            (NextHop::V4(addr), _) => self.resolve_addr(addr.into()),
            (NextHop::V6(addr), _) => self.resolve_addr(addr.into()),
        }
    }
}

impl KernelView {
    fn link_local(&self, addr: Ipv6Addr, link: Option<u32>) -> Answer {
        let Some(ifindex) = link else {
            return Err(Unresolved::NoInterface).into();
        };
        if !addr.is_unicast_link_local() {
            return self.resolve_addr(addr.into());
        }
        let own = |a: &LinkAddress| a.ifindex == ifindex && a.addr == IpAddr::V6(addr);
        if self.addresses.iter().any(own) {
            return Err(Unresolved::OwnAddress).into();
        }
        self.on_link(addr.into(), ifindex).into()
    }
}
