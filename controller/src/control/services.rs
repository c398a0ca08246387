//! `show services`: from verdicts to what a reader sees. Pure.

use std::collections::BTreeSet;

use redstart_bgp::types::Prefix;

use super::{DrainStep, Held, Services, views};
use crate::compile::{ServiceRoute, Verdict};

/// One row per address, by Service.
pub(crate) fn rows(services: &Services) -> Vec<views::Service> {
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
    let held_at = |prefix| services.held.get(&prefix);
    let mut held = held_at(Prefix::host(route.address));
    let mut prefixes = BTreeSet::new();
    let mut choices: BTreeSet<&usize> = BTreeSet::new();
    let (mut state, mut reason) = match &route.verdict {
        Verdict::Withheld(withheld) => ("withheld", Some(withheld.to_string())),
        Verdict::Advertised { host, aggregates } => {
            choices.extend(host);
            choices.extend(aggregates.iter().map(|(choice, _)| choice));
            prefixes.extend(aggregates.iter().map(|(_, prefix)| *prefix));
            if host.is_empty() {
                let aggregates = aggregates.iter().map(|(_, prefix)| held_at(*prefix));
                held = aggregates.reduce(Option::and).flatten();
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
    let is_told = state == "advertised" || state == "aggregated";
    let drain = services.drain.filter(|_| is_told);
    reason = drain.map(|step| step.as_str().to_owned()).or(reason);
    let is_withdrawn = drain == Some(DrainStep::Withdrawn);
    if is_withdrawn {
        state = "withheld";
        prefixes.clear();
    }
    let sources: Vec<_> = choices
        .into_iter()
        .filter_map(|choice| table.sources.get(*choice))
        .collect();
    let told = sources.iter().filter(|_| !is_withdrawn);
    let peers: BTreeSet<_> = told.flat_map(|(_, peers)| peers).collect();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        api::ServiceAddress,
        compile::{PeerName, ServiceTable},
        index::ServiceKey,
        object::ObjectRef,
    };

    #[test]
    fn a_drain_shows_in_what_it_makes_of_an_address() {
        let source = ObjectRef {
            kind: "BGPAdvertisement".to_owned(),
            name: "public".to_owned(),
        };
        let route = ServiceRoute {
            address: [203, 0, 113, 1].into(),
            kind: ServiceAddress::LoadBalancerIP,
            verdict: Verdict::Advertised {
                host: vec![0],
                aggregates: Vec::new(),
            },
        };
        let key = ServiceKey {
            namespace: "apps".into(),
            name: "web".into(),
        };
        let table = ServiceTable {
            sources: [(source, vec![PeerName("tor".to_owned())])].into(),
            services: [(key, Arc::from([route]))].into_iter().collect(),
        };
        let mut services = Services {
            table: Arc::new(table),
            ..Services::default()
        };
        let shown = |services: &Services| {
            let row = rows(services).remove(0);
            (row.state, row.reason, row.prefixes, row.peers)
        };
        let told = || (vec!["203.0.113.1/32".to_owned()], vec!["tor".to_owned()]);
        let is = |state: &str, reason: Option<&str>, (prefixes, peers)| {
            (state.to_owned(), reason.map(str::to_owned), prefixes, peers)
        };
        assert_eq!(shown(&services), is("advertised", None, told()));
        services.drain = Some(DrainStep::Marked);
        assert_eq!(shown(&services), is("advertised", Some("draining"), told()));
        services.drain = Some(DrainStep::Withdrawn);
        let nobody = (Vec::new(), Vec::new());
        assert_eq!(shown(&services), is("withheld", Some("drained"), nobody));
    }
}
