//! All verdicts together: host routes, and aggregates for as long as an address in them is advertised.

use std::collections::{BTreeMap, BTreeSet};

use redstart_bgp::types::Prefix;

use super::{Rules, Services, Verdict};
use crate::{compile::originations::Drafts, object::ObjectRef};

/// A route to make.
#[derive(Default)]
struct Wanted {
    /// What it stands for: the first Service, or what asks for the aggregate.
    object: Option<ObjectRef>,
    choices: BTreeSet<usize>,
    blackhole: bool,
}

/// Adds the routes to the node's other ones.
pub(in super::super) fn add_routes(services: &Services, drafts: &mut Drafts) {
    let rules = services.rules();
    for (prefix, wanted) in wanted(services) {
        let Some(object) = wanted.object else {
            continue;
        };
        let advertise = wanted.choices.iter().filter_map(|c| rules.advertise(*c));
        drafts.add(prefix, &object, advertise);
        if wanted.blackhole {
            drafts.blackhole(prefix);
        }
    }
}

fn wanted(services: &Services) -> BTreeMap<Prefix, Wanted> {
    let rules = services.rules();
    let mut wanted: BTreeMap<Prefix, Wanted> = BTreeMap::new();
    for (key, routes) in &services.table().services {
        for route in routes.iter() {
            let Verdict::Advertised { host, aggregates } = &route.verdict else {
                continue;
            };
            if !host.is_empty() {
                let entry = wanted.entry(Prefix::host(route.address)).or_default();
                entry.object.get_or_insert_with(|| key.object_ref());
                entry.choices.extend(host);
            }
            for &(choice, prefix) in aggregates {
                let entry = wanted.entry(prefix).or_default();
                if entry.choices.insert(choice) {
                    let source = || rules.advertise(choice).map(|a| a.source.clone());
                    entry.object = entry.object.take().or_else(source);
                    entry.blackhole |= has_blackhole(rules, choice, prefix);
                }
            }
        }
    }
    wanted
}

fn has_blackhole(rules: &Rules, choice: usize, prefix: Prefix) -> bool {
    let mut covering = rules.aggregates(choice, prefix.addr());
    covering.any(|a| a.prefix == prefix && a.blackhole)
}
