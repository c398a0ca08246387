//! The route that Services ask for at one prefix: a host route, or an aggregate for as long as an
//! address in it is advertised.

use std::collections::BTreeSet;

use redstart_bgp::types::Prefix;

use super::{Rules, Services, Verdict};
use crate::{compile::Origination, index::ServiceKey, object::ObjectRef};

impl Services {
    /// Adds to what there is at `prefix` anyway what Services ask for there.
    pub(in super::super) fn route(
        &self,
        prefix: Prefix,
        route: Option<Origination>,
    ) -> Option<Origination> {
        let aggregates: BTreeSet<usize> = self.claims.aggregates(prefix).collect();
        let mut choices = aggregates.clone();
        for key in self.claims.hosts(prefix) {
            choices.extend(self.choices(key, prefix));
        }
        let Some(object) = self.object(prefix, &aggregates) else {
            return route;
        };
        let mut route = route.unwrap_or_else(|| Origination::new(object));
        let ways = choices.iter().filter_map(|c| self.rules.advertise(*c));
        route.add(ways);
        let mut aggregates = aggregates.into_iter();
        let blackhole = aggregates.any(|choice| has_blackhole(&self.rules, choice, prefix));
        route.blackhole |= blackhole && !route.advertise.is_empty();
        Some(route)
    }

    /// What a route stands for: the first Service, or what asks for the aggregate.
    fn object(&self, prefix: Prefix, aggregates: &BTreeSet<usize>) -> Option<ObjectRef> {
        let service = self.claims.hosts(prefix).next();
        let source = |choice: &usize| Some(self.rules.advertise(*choice)?.source.clone());
        let service = service.map(ServiceKey::object_ref);
        service.or_else(|| aggregates.iter().find_map(source))
    }

    /// The choices that want an address of a Service as a host route.
    fn choices(&self, key: &ServiceKey, prefix: Prefix) -> impl Iterator<Item = usize> {
        let routes = self.table.services.get(key).into_iter();
        let routes = routes.flat_map(|routes| routes.iter());
        let here = routes.filter(move |route| Prefix::host(route.address) == prefix);
        here.filter_map(|route| match &route.verdict {
            Verdict::Advertised { host, .. } => Some(host.iter().copied()),
            Verdict::Withheld(_) => None,
        })
        .flatten()
    }
}

fn has_blackhole(rules: &Rules, choice: usize, prefix: Prefix) -> bool {
    let mut covering = rules.aggregates(choice, prefix.addr());
    covering.any(|a| a.prefix == prefix && a.blackhole)
}
