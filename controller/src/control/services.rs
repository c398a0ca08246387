//! `show services`: from verdicts to what a reader sees. Pure.

use std::collections::BTreeSet;

use redstart_bgp::types::Prefix;

use super::{DrainStep, Held, Services, views};
use crate::compile::{ServiceRoute, Verdict, Withheld};

/// Why an address is not just advertised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// What the objects say.
    Withheld(Withheld),
    /// It is held as it was.
    Held(Held),
    /// The node is drained.
    Drain(DrainStep),
}

impl Why {
    /// The stable identifier.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Withheld(why) => why.as_str(),
            Self::Held(held) => held.as_str(),
            Self::Drain(step) => step.as_str(),
        }
    }
}

/// One row per address, by Service.
pub(crate) fn rows(services: &Services) -> Vec<views::Service> {
    judged(services).map(|(row, _)| row).collect()
}

/// The same, each with the reason that stands in it.
pub(crate) fn judged(
    services: &Services,
) -> impl Iterator<Item = (views::Service, Option<Why>)> + '_ {
    let table = services.table.services.iter();
    table.flat_map(move |(key, routes)| {
        let name = key.to_string();
        routes.iter().map(move |route| row(services, &name, route))
    })
}

fn row(services: &Services, service: &str, route: &ServiceRoute) -> (views::Service, Option<Why>) {
    let table = &services.table;
    let held_at = |prefix| services.held.get(&prefix).copied();
    let address = Prefix::host(route.address);
    let mut held = held_at(address);
    let mut prefixes = BTreeSet::new();
    let mut choices: BTreeSet<&usize> = BTreeSet::new();
    let (mut state, mut why) = match &route.verdict {
        Verdict::Withheld(withheld) => ("withheld", Some(Why::Withheld(*withheld))),
        Verdict::Advertised { host, aggregates } => {
            choices.extend(host);
            choices.extend(aggregates.iter().map(|(choice, _)| choice));
            prefixes.extend(aggregates.iter().map(|(_, prefix)| *prefix));
            if host.is_empty() {
                let aggregates = aggregates.iter().map(|(_, prefix)| held_at(*prefix));
                held = aggregates.reduce(Option::and).flatten();
                ("aggregated", None)
            } else {
                prefixes.insert(address);
                ("advertised", None)
            }
        }
    };
    if let Some(held) = held {
        why = Some(Why::Held(held));
        state = match held {
            Held::MinReady => "waiting",
            // Of the objects' verdict nothing is left to see: it is told as before.
            Held::WithdrawDelay => "advertised",
        };
        if prefixes.is_empty() {
            prefixes.insert(address);
        }
    }
    prefixes.retain(|prefix| held_at(*prefix) != Some(Held::MinReady));
    let is_told = state == "advertised" || state == "aggregated";
    let drain = services.drain.filter(|_| is_told);
    why = drain.map(Why::Drain).or(why);
    if services.drain == Some(DrainStep::Withdrawn) {
        // Nor is the aggregate of an address that waits.
        prefixes.clear();
    }
    if drain == Some(DrainStep::Withdrawn) {
        state = "withheld";
    }
    let sources: Vec<_> = choices
        .into_iter()
        .filter_map(|choice| table.sources.get(*choice))
        .collect();
    let told = sources.iter().filter(|_| !prefixes.is_empty());
    let peers: BTreeSet<_> = told.flat_map(|(_, peers)| peers).collect();
    let row = views::Service {
        service: service.to_owned(),
        kind: route.kind.as_str().to_owned(),
        address: route.address,
        state: state.to_owned(),
        reason: why.map(|why| why.as_str().to_owned()),
        prefixes: prefixes.iter().map(ToString::to_string).collect(),
        sources: sources.iter().map(|(s, _)| s.to_string()).collect(),
        peers: peers.into_iter().map(ToString::to_string).collect(),
    };
    (row, why)
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

    /// An address with this verdict, which neighbour `tor` is to be told.
    fn services(verdict: Verdict) -> Services {
        let source = ObjectRef {
            kind: "BGPAdvertisement".to_owned(),
            name: "public".to_owned(),
        };
        let route = ServiceRoute {
            address: [203, 0, 113, 1].into(),
            kind: ServiceAddress::LoadBalancerIP,
            verdict,
        };
        let key = ServiceKey {
            namespace: "apps".into(),
            name: "web".into(),
        };
        let table = ServiceTable {
            sources: [(source, vec![PeerName("tor".to_owned())])].into(),
            services: [(key, Arc::from([route]))].into_iter().collect(),
        };
        Services {
            table: Arc::new(table),
            ..Services::default()
        }
    }

    fn advertised() -> Verdict {
        Verdict::Advertised {
            host: vec![0],
            aggregates: Vec::new(),
        }
    }

    /// State, reason, prefixes and neighbours.
    type Shown = (String, Option<String>, Vec<String>, Vec<String>);

    fn shown(services: &Services) -> Shown {
        let row = rows(services).remove(0);
        (row.state, row.reason, row.prefixes, row.peers)
    }

    fn is(state: &str, reason: Option<&str>, prefixes: &[&str], peers: &[&str]) -> Shown {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let reason = reason.map(str::to_owned);
        (state.to_owned(), reason, list(prefixes), list(peers))
    }

    const HOST: &str = "203.0.113.1/32";

    #[test]
    fn a_drain_shows_in_what_it_makes_of_an_address() {
        let mut services = services(advertised());
        let told = |reason| is("advertised", reason, &[HOST], &["tor"]);
        assert_eq!(shown(&services), told(None));
        services.drain = Some(DrainStep::Marked);
        assert_eq!(shown(&services), told(Some("draining")));
        services.drain = Some(DrainStep::Withdrawn);
        assert_eq!(shown(&services), is("withheld", Some("drained"), &[], &[]));
    }

    #[test]
    fn what_is_held_shows_what_is_told() {
        let host: Prefix = HOST.parse().unwrap();
        let mut waits = services(advertised());
        waits.held.insert(host, Held::MinReady);
        assert_eq!(shown(&waits), is("waiting", Some("min-ready"), &[], &[]));
        let mut lingers = services(Verdict::Withheld(Withheld::NoEndpoints));
        lingers.held.insert(host, Held::WithdrawDelay);
        // Whom it was told is not known of a verdict that names nobody.
        let expected = is("advertised", Some("withdraw-delay"), &[HOST], &[]);
        assert_eq!(shown(&lingers), expected);
    }

    #[test]
    fn of_an_address_with_an_aggregate_what_waits_is_not_shown() {
        let aggregate: Prefix = "203.0.113.0/24".parse().unwrap();
        let mut services = services(Verdict::Advertised {
            host: vec![0],
            aggregates: vec![(0, aggregate)],
        });
        services.held.insert(HOST.parse().unwrap(), Held::MinReady);
        let expected = is("waiting", Some("min-ready"), &["203.0.113.0/24"], &["tor"]);
        assert_eq!(shown(&services), expected);
        // A node that is drained tells nobody of the aggregate either.
        services.drain = Some(DrainStep::Withdrawn);
        let expected = is("waiting", Some("min-ready"), &[], &[]);
        assert_eq!(shown(&services), expected);
    }
}
