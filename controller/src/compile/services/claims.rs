//! All verdicts together: which Services and aggregates ask for which prefix.
//!
//! Kept up to date by what single verdicts become, so that one Service that changes costs the prefixes
//! that it asked for and asks for, however many others there are.

use std::collections::{BTreeMap, BTreeSet};

use redstart_bgp::types::Prefix;

use super::{ServiceRoute, Verdict, Withheld};
use crate::index::ServiceKey;

/// Who asks for which prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// Host routes, each with the Services that have the address.
    hosts: BTreeSet<(Prefix, ServiceKey)>,
    /// Addresses of Services that other nodes serve alone, by their traffic policy.
    elsewhere: BTreeSet<(Prefix, ServiceKey)>,
    /// Aggregates with the choices that they are of, and how many addresses each stands for.
    aggregates: BTreeMap<(Prefix, usize), usize>,
}

impl Claims {
    /// Adds what the verdicts on a Service ask for.
    pub(super) fn add(
        &mut self,
        key: &ServiceKey,
        routes: &[ServiceRoute],
        touched: &mut BTreeSet<Prefix>,
    ) {
        for prefix in served_elsewhere(routes) {
            touched.insert(prefix);
            self.elsewhere.insert((prefix, key.clone()));
        }
        for (host, aggregates) in claims(routes) {
            if let Some(prefix) = host {
                touched.insert(prefix);
                self.hosts.insert((prefix, key.clone()));
            }
            for &(choice, prefix) in aggregates {
                touched.insert(prefix);
                *self.aggregates.entry((prefix, choice)).or_default() += 1;
            }
        }
    }

    /// Takes back what was added.
    pub(super) fn remove(
        &mut self,
        key: &ServiceKey,
        routes: &[ServiceRoute],
        touched: &mut BTreeSet<Prefix>,
    ) {
        for prefix in served_elsewhere(routes) {
            touched.insert(prefix);
            self.elsewhere.remove(&(prefix, key.clone()));
        }
        for (host, aggregates) in claims(routes) {
            if let Some(prefix) = host {
                touched.insert(prefix);
                self.hosts.remove(&(prefix, key.clone()));
            }
            for &(choice, prefix) in aggregates {
                touched.insert(prefix);
                if let Some(count) = self.aggregates.get_mut(&(prefix, choice)) {
                    *count -= 1;
                    if *count == 0 {
                        self.aggregates.remove(&(prefix, choice));
                    }
                }
            }
        }
    }

    /// The Services that ask for a host route, by name.
    pub(super) fn hosts(&self, prefix: Prefix) -> impl Iterator<Item = &ServiceKey> {
        with_address(&self.hosts, prefix)
    }

    /// The Services that have the address and that other nodes serve alone.
    pub(super) fn elsewhere(&self, prefix: Prefix) -> impl Iterator<Item = &ServiceKey> {
        with_address(&self.elsewhere, prefix)
    }

    /// The choices that ask for an aggregate.
    pub(super) fn aggregates(&self, prefix: Prefix) -> impl Iterator<Item = usize> {
        let of = self.aggregates.range((prefix, 0)..=(prefix, usize::MAX));
        of.map(|((_, choice), _)| *choice)
    }
}

fn with_address(
    all: &BTreeSet<(Prefix, ServiceKey)>,
    prefix: Prefix,
) -> impl Iterator<Item = &ServiceKey> {
    let from = (prefix, ServiceKey::default());
    let of = all.range(from..).take_while(move |(p, _)| *p == prefix);
    of.map(|(_, key)| key)
}

/// The addresses that wait for a local endpoint.
fn served_elsewhere(routes: &[ServiceRoute]) -> impl Iterator<Item = Prefix> {
    let elsewhere = Verdict::Withheld(Withheld::NoLocalEndpoints);
    let routes = routes.iter().filter(move |it| it.verdict == elsewhere);
    routes.map(|route| Prefix::host(route.address))
}

/// The prefixes that verdicts ask for.
fn claims(routes: &[ServiceRoute]) -> impl Iterator<Item = (Option<Prefix>, &[(usize, Prefix)])> {
    routes.iter().filter_map(|route| match &route.verdict {
        Verdict::Advertised { host, aggregates } => {
            let prefix = (!host.is_empty()).then(|| Prefix::host(route.address));
            Some((prefix, &aggregates[..]))
        }
        Verdict::Withheld(_) => None,
    })
}
