//! `show services`: from verdicts to what a reader sees. Pure.

use std::collections::BTreeSet;

use redstart_bgp::types::Prefix;

use super::{Held, Services, views};
use crate::compile::{ServiceRoute, Verdict};

/// One row per address, by Service.
pub(super) fn rows(services: &Services) -> Vec<views::Service> {
    let table = services.table.services.iter();
    table
        .flat_map(|(key, routes)| {
            let name = key.to_string();
            routes.iter().map(move |route| row(services, &name, route))
        })
        .collect()
}

fn row(services: &Services, service: &str, route: &ServiceRoute) -> views::Service {
    let table = &services.table;
    let held = services.held.get(&Prefix::host(route.address));
    let mut prefixes = BTreeSet::new();
    let mut choices: BTreeSet<&usize> = BTreeSet::new();
    let (mut state, mut reason) = match &route.verdict {
        Verdict::Withheld(withheld) => ("withheld", Some(withheld.to_string())),
        Verdict::Advertised { host, aggregates } => {
            choices.extend(host);
            choices.extend(aggregates.iter().map(|(choice, _)| choice));
            prefixes.extend(aggregates.iter().map(|(_, prefix)| *prefix));
            if host.is_empty() {
                ("aggregated", None)
            } else {
                prefixes.insert(Prefix::host(route.address));
                ("advertised", None)
            }
        }
    };
    if let Some(held) = held {
        reason = Some(held.as_str().to_owned());
        state = match held {
            Held::MinReady => "waiting",
            Held::WithdrawDelay => "advertised",
        };
    }
    let sources: Vec<_> = choices
        .into_iter()
        .filter_map(|choice| table.sources.get(*choice))
        .collect();
    let peers: BTreeSet<_> = sources.iter().flat_map(|(_, peers)| peers).collect();
    views::Service {
        service: service.to_owned(),
        kind: route.kind.as_str().to_owned(),
        address: route.address,
        state: state.to_owned(),
        reason,
        prefixes: prefixes.iter().map(ToString::to_string).collect(),
        sources: sources.iter().map(|(s, _)| s.to_string()).collect(),
        peers: peers.into_iter().map(ToString::to_string).collect(),
    }
}
