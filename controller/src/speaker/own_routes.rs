//! The routes of our own: from what is in force to the RIB. Pure.
//!
//! What is in force is a value, and among its thousands of routes one changed Service changes one.
//! Which ones differ is found by comparing it with the value before; the two share what they have in common
//! ([ADR 27](../../../docs/adr/0027-results-share-what-did-not-change.md)), so that is a comparison of
//! pointers. Those alone are translated and handed to the RIB. All of them are where the neighbours are
//! others than before, because routes name neighbours by number.
//!
//! Invariant: whatever the RIB was told before, after [`OwnRoutes::follow`] it holds what it would if
//! this were the first time. Nobody else tells it of routes of our own.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use redstart_bgp::{session::PeerId, types::Prefix};
use redstart_rib::{
    Advertise, OriginSource, Origination, PeerSelector, Rib, imported::Imported,
    resolver::KernelView,
};

use crate::{
    compile::{self, DesiredState, PeerName},
    index::usable_unicast,
    object::ObjectRef,
};

/// Neighbours by the name that objects know them by: one, or the members of a range. A name without a
/// neighbour is one that could not be set up.
pub(super) type Ids = BTreeMap<PeerName, Vec<PeerId>>;

/// What the kernel has that may be advertised.
#[derive(Clone, Copy)]
pub(super) struct OnNode<'a> {
    /// Its links and addresses.
    pub(super) links: &'a KernelView,
    /// The tables of others.
    pub(super) tables: &'a Imported,
}

impl OnNode<'_> {
    /// Other numbers than before: something of it may have changed.
    pub(super) fn generations(self) -> (u64, u64) {
        (self.links.link_generation(), self.tables.generation())
    }
}

/// What the RIB was told of last.
#[derive(Debug, Default)]
pub(super) struct OwnRoutes {
    /// `None`: nothing yet.
    desired: Option<Arc<DesiredState>>,
    ids: Arc<Ids>,
    ways: Ways,
    /// What was found on the node, and when that was.
    found: BTreeMap<Prefix, Origination>,
    generations: (u64, u64),
}

impl OwnRoutes {
    /// Has the RIB hold what is in force.
    pub(super) fn follow(
        &mut self,
        desired: &Arc<DesiredState>,
        ids: Arc<Ids>,
        on_node: OnNode<'_>,
        rib: &mut Rib,
    ) {
        let before = self.desired.replace(Arc::clone(desired));
        match before.filter(|_| self.ids == ids) {
            Some(before) => self.follow_changes(&before, desired, on_node, rib),
            None => {
                self.ids = ids;
                self.ways = Ways::default();
                self.look_around(desired, on_node);
                let own = desired.originations.keys();
                let prefixes: BTreeSet<Prefix> = own.chain(self.found.keys()).copied().collect();
                let all = prefixes.into_iter();
                let all = all.filter_map(|prefix| Some((prefix, self.route(desired, prefix)?)));
                rib.set_originations(all.collect());
            }
        }
        self.ways.forget_unused();
    }

    fn follow_changes(
        &mut self,
        before: &DesiredState,
        desired: &DesiredState,
        on_node: OnNode<'_>,
        rib: &mut Rib,
    ) {
        let differing = before.originations.differing(&desired.originations);
        let mut touched: BTreeSet<Prefix> = differing.into_iter().copied().collect();
        if self.generations != on_node.generations()
            || before.interfaces != desired.interfaces
            || before.kernel_tables != desired.kernel_tables
        {
            let before = self.look_around(desired, on_node);
            let both = before.keys().chain(self.found.keys());
            touched.extend(both.filter(|prefix| before.get(prefix) != self.found.get(prefix)));
        }
        for prefix in touched {
            let route = self.route(desired, prefix);
            rib.set_origination(prefix, route);
        }
    }

    /// Looks for what of the node itself is advertised. Returns what was found the last time.
    fn look_around(
        &mut self,
        desired: &DesiredState,
        on_node: OnNode<'_>,
    ) -> BTreeMap<Prefix, Origination> {
        let mut found = BTreeMap::new();
        add_interfaces(&mut found, &desired.interfaces, on_node.links, &self.ids);
        add_kernel_tables(
            &mut found,
            &desired.kernel_tables,
            on_node.tables,
            &self.ids,
        );
        self.generations = on_node.generations();
        mem::replace(&mut self.found, found)
    }

    /// The route at a prefix: what objects ask for, and what is on the node.
    fn route(&mut self, desired: &DesiredState, prefix: Prefix) -> Option<Origination> {
        let found = self.found.get(&prefix);
        let Some(wanted) = desired.originations.get(&prefix) else {
            return found.cloned();
        };
        let ways = wanted.advertise.iter();
        let ways = ways.map(|way| self.ways.translate(way, &self.ids));
        let found = found.iter().flat_map(|it| it.advertise.iter().cloned());
        Some(Origination {
            source: source(&wanted.object),
            advertise: ways.chain(found).collect(),
            blackhole: wanted.blackhole,
        })
    }
}

/// Ways to advertise, each translated once: thousands of routes share a few. By address, which is that
/// of nothing else for as long as the way is in here.
#[derive(Debug, Default)]
struct Ways(BTreeMap<usize, (Arc<compile::Advertise>, Arc<Advertise>)>);

impl Ways {
    fn translate(&mut self, way: &Arc<compile::Advertise>, ids: &Ids) -> Arc<Advertise> {
        let known = self.0.entry(Arc::as_ptr(way).addr());
        let known = known.or_insert_with(|| (Arc::clone(way), Arc::new(advertise(way, ids))));
        Arc::clone(&known.1)
    }

    /// Forgets those that no route has any more.
    fn forget_unused(&mut self) {
        self.0.retain(|_, (_, way)| Arc::strong_count(way) > 1);
    }
}

fn advertise(way: &compile::Advertise, ids: &Ids) -> Advertise {
    let peers = way.peers.iter().filter_map(|name| ids.get(name));
    Advertise {
        source: source(&way.source),
        to: PeerSelector::Peers(peers.flatten().copied().collect()),
        communities: way.communities.clone(),
        large_communities: way.large_communities.clone(),
        extended_communities: way.extended_communities.clone(),
        local_pref: way.local_pref,
        med: way.med,
        prepend: way.prepend,
    }
}

/// Those of one place on the node, for every route that is found there.
fn all(ways: &[compile::Advertise], ids: &Ids) -> Vec<Arc<Advertise>> {
    let ways = ways.iter().map(|way| advertise(way, ids));
    ways.map(Arc::new).collect()
}

/// Adds the addresses of this node's network interfaces as they are now, each as a host route. Only
/// addresses that lead here from elsewhere count.
fn add_interfaces(
    found: &mut BTreeMap<Prefix, Origination>,
    interfaces: &BTreeMap<String, Vec<compile::Advertise>>,
    view: &KernelView,
    ids: &Ids,
) {
    for (name, ways) in interfaces {
        let Some(link) = view.link_named(name) else {
            continue;
        };
        let ways = all(ways, ids);
        let here = view.addresses().filter(|a| a.ifindex == link.ifindex);
        for address in here.map(|a| a.addr).filter(|a| usable_unicast(*a).is_ok()) {
            let route = found.entry(Prefix::host(address));
            let route = route.or_insert_with(|| found_in("Interface", name));
            route.advertise.extend(ways.iter().cloned());
        }
    }
}

/// Adds what kernel tables have routes to now. A default route is never passed on.
fn add_kernel_tables(
    found: &mut BTreeMap<Prefix, Origination>,
    tables: &BTreeMap<u32, Vec<compile::Advertise>>,
    imported: &Imported,
    ids: &Ids,
) {
    for (table, ways) in tables {
        let ways = all(ways, ids);
        for prefix in imported.prefixes(*table).filter(|p| p.len() > 0) {
            let route = found.entry(prefix);
            let route = route.or_insert_with(|| found_in("KernelTable", &table.to_string()));
            route.advertise.extend(ways.iter().cloned());
        }
    }
}

/// A route that nobody is told yet.
fn found_in(kind: &str, name: &str) -> Origination {
    Origination {
        source: OriginSource {
            kind: kind.to_owned(),
            name: name.to_owned(),
        },
        advertise: Vec::new(),
        blackhole: false,
    }
}

fn source(object: &ObjectRef) -> OriginSource {
    OriginSource {
        kind: object.kind.clone(),
        name: object.name.clone(),
    }
}

#[cfg(test)]
mod tests;
