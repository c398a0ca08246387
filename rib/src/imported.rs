//! Prefixes that other programs put into kernel tables of their own, for this speaker to advertise: an
//! IPAM that hands out address blocks (Coil and its table 119), say.
//!
//! Fed with the kernel's events, like [`KernelView`](crate::resolver::KernelView). The kernel takes IPv4
//! routes away without a word when a link or an address goes. Which those are is not guessed here: the
//! events that it does tell make what is known doubtful, and a dump settles it.

use std::collections::{BTreeMap, BTreeSet};

use redstart_bgp::types::Prefix;

use crate::fib::{KernelEvent, KernelRoute, RouteAction};

/// The prefixes of some tables. See the module's page.
#[derive(Debug, Default)]
pub struct Imported {
    /// By table, with the metric and the protocol of each route.
    tables: BTreeMap<u32, BTreeMap<Prefix, BTreeSet<(u32, u8)>>>,
    /// The protocol of our own routes, which are nobody's wish to advertise.
    own_protocol: u8,
    generation: u64,
    doubtful: bool,
}

impl Imported {
    /// These tables are to be read from now on. What is known of those that were read before stays
    /// until the next dump says otherwise.
    pub fn read(&mut self, tables: impl IntoIterator<Item = u32>, own_protocol: u8) {
        self.own_protocol = own_protocol;
        let mut before = core::mem::take(&mut self.tables);
        let known = |table| (table, before.remove(&table).unwrap_or_default());
        self.tables = tables.into_iter().map(known).collect();
        self.generation += 1;
    }

    /// The tables that are read.
    pub fn tables(&self) -> impl Iterator<Item = u32> + '_ {
        self.tables.keys().copied()
    }

    /// What `table` has a route to.
    pub fn prefixes(&self, table: u32) -> impl Iterator<Item = Prefix> + '_ {
        let routes = self.tables.get(&table).into_iter().flatten();
        routes.map(|(prefix, _)| *prefix)
    }

    /// Grows whenever [`prefixes`](Self::prefixes) may have changed.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a dump is needed to know what is there. True once.
    pub fn take_doubt(&mut self) -> bool {
        core::mem::take(&mut self.doubtful)
    }

    /// Takes note of something that happened in the kernel.
    pub fn on_event(&mut self, event: &KernelEvent) {
        match event {
            KernelEvent::Synced(dump) => {
                for routes in self.tables.values_mut() {
                    routes.clear();
                }
                for route in &dump.routes {
                    self.insert(route);
                }
                self.generation += 1;
                self.doubtful = false;
                for event in &dump.since {
                    self.on_event(event);
                }
            }
            KernelEvent::Route(route) => self.insert(route),
            KernelEvent::RouteGone(route) => self.remove(route),
            KernelEvent::Link(link) if link.up && link.carrier => {}
            KernelEvent::Link(_)
            | KernelEvent::LinkGone { .. }
            | KernelEvent::AddressGone(_)
            | KernelEvent::NexthopGone(_) => {
                self.doubtful = self.tables.values().any(|routes| !routes.is_empty());
            }
            KernelEvent::Address(_)
            | KernelEvent::Neighbour { .. }
            | KernelEvent::Nexthop(_)
            | KernelEvent::Overrun => {}
        }
    }

    fn insert(&mut self, route: &KernelRoute) {
        let counts = matches!(
            route.action,
            RouteAction::Forward(_) | RouteAction::Blackhole
        );
        if let Some(routes) = self.tables.get_mut(&route.table)
            && counts
            && route.protocol != self.own_protocol
        {
            let ways = routes.entry(route.prefix).or_default();
            // What had the same metric is replaced.
            ways.retain(|(metric, _)| *metric != route.metric);
            ways.insert((route.metric, route.protocol));
            self.generation += 1;
        }
    }

    fn remove(&mut self, route: &KernelRoute) {
        if let Some(routes) = self.tables.get_mut(&route.table)
            && let Some(ways) = routes.get_mut(&route.prefix)
            && ways.remove(&(route.metric, route.protocol))
        {
            if ways.is_empty() {
                routes.remove(&route.prefix);
            }
            self.generation += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        fib::{Dump, Link},
        nexthop::NexthopSet,
    };

    const COIL: u32 = 119;

    fn route(prefix: &str, table: u32, metric: u32, protocol: u8) -> KernelRoute {
        KernelRoute {
            prefix: prefix.parse().unwrap(),
            table,
            protocol,
            metric,
            action: RouteAction::Forward(NexthopSet::default()),
            prefsrc: None,
            nexthop: None,
        }
    }

    fn reading<const N: usize>(tables: [u32; N]) -> Imported {
        let mut imported = Imported::default();
        imported.read(tables, 186);
        imported
    }

    fn there(imported: &Imported) -> Vec<String> {
        imported.prefixes(COIL).map(|p| p.to_string()).collect()
    }

    #[test]
    fn what_the_table_has_a_route_to_and_nothing_else() {
        let mut imported = reading([COIL]);
        let refuse = KernelRoute {
            action: RouteAction::Refuse,
            ..route("10.4.0.0/24", COIL, 0, 30)
        };
        let dump = Dump {
            routes: vec![
                route("10.1.0.0/24", COIL, 0, 30),
                route("10.2.0.0/24", 254, 0, 30),
                route("10.3.0.0/24", COIL, 179, 186),
                refuse,
            ],
            ..Dump::default()
        };
        imported.on_event(&KernelEvent::Synced(Arc::new(dump)));
        assert_eq!(there(&imported), ["10.1.0.0/24"]);
        imported.on_event(&KernelEvent::Synced(Arc::default()));
        assert!(there(&imported).is_empty());
    }

    #[test]
    fn a_prefix_stays_as_long_as_one_route_to_it_does() {
        let mut imported = reading([COIL]);
        let (one, other) = (
            route("10.1.0.0/24", COIL, 0, 30),
            route("10.1.0.0/24", COIL, 5, 30),
        );
        imported.on_event(&KernelEvent::Route(one.clone()));
        imported.on_event(&KernelEvent::Route(other.clone()));
        imported.on_event(&KernelEvent::RouteGone(one));
        assert_eq!(there(&imported), ["10.1.0.0/24"]);
        let before = imported.generation();
        imported.on_event(&KernelEvent::RouteGone(other));
        assert!(there(&imported).is_empty() && imported.generation() > before);
    }

    #[test]
    fn what_the_kernel_takes_away_without_a_word_is_looked_up() {
        let mut imported = reading([COIL]);
        let down = || {
            KernelEvent::Link(Link {
                ifindex: 2,
                name: "eth2".to_owned(),
                up: false,
                carrier: false,
                loopback: false,
                controller: None,
                vrf_table: None,
            })
        };
        imported.on_event(&down());
        assert!(!imported.take_doubt(), "there is nothing to lose");
        imported.on_event(&KernelEvent::Route(route("10.1.0.0/24", COIL, 0, 30)));
        imported.on_event(&down());
        assert!(imported.take_doubt());
        assert!(!imported.take_doubt(), "once");
    }

    #[test]
    fn what_is_known_of_a_table_outlives_a_change_of_the_others() {
        let mut imported = reading([COIL]);
        imported.on_event(&KernelEvent::Route(route("10.1.0.0/24", COIL, 0, 30)));
        let before = imported.generation();
        imported.read([COIL, 120], 186);
        assert_eq!(there(&imported), ["10.1.0.0/24"]);
        assert!(imported.generation() > before);
        imported.read([120], 186);
        assert!(there(&imported).is_empty());
    }
}
