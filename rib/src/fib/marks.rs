//! What tells our routes from everybody else's, and what is to be removed to leave nothing behind.

use core::num::NonZeroU32;
use std::collections::{BTreeMap, BTreeSet};

use redstart_bgp::types::Prefix;

use super::{
    kernel::{Change, Dump, KernelRoute, Request},
    model::RouteKey,
    object::{NexthopChange, NexthopId, NexthopSpec},
};

/// Table, protocol and metric: a route that has all three is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Marks {
    /// The routing table.
    pub table: u32,
    /// The `rtm_protocol`.
    pub protocol: u8,
    /// The metric. Never 0: the kernel reads that as 1024 for IPv6.
    pub metric: NonZeroU32,
}

impl Marks {
    /// Whether `route` carries them.
    #[must_use]
    pub const fn are_on(&self, route: &KernelRoute) -> bool {
        route.table == self.table
            && route.protocol == self.protocol
            && route.metric == self.metric.get()
    }

    /// The key of the route to `prefix` that carries them.
    #[must_use]
    pub const fn key(&self, prefix: Prefix) -> RouteKey {
        RouteKey {
            prefix,
            table: self.table,
            protocol: self.protocol,
            metric: self.metric,
        }
    }
}

/// What is to be removed from the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Every route under these.
    pub marks: BTreeSet<Marks>,
    /// Every nexthop object of ours with one of these protocols, unless a route that stays names it:
    /// it would go with the object.
    pub objects_of: BTreeSet<u8>,
    /// The first of the [`NEXTHOP_IDS`](super::FibConfig::NEXTHOP_IDS) ids that are ours.
    pub first_nexthop_id: u32,
}

impl Removal {
    /// The operations that remove what `dump` shows: routes, then groups, then legs.
    #[must_use]
    pub fn requests(&self, dump: &Dump) -> Vec<Request> {
        let mut routes = BTreeMap::new();
        let mut named = BTreeSet::new();
        for route in &dump.routes {
            match self.marks.iter().find(|marks| marks.are_on(route)) {
                Some(marks) => {
                    let key = marks.key(route.prefix);
                    let form = route.to_form().map(std::sync::Arc::new);
                    routes.insert((key.table, key.metric, key.prefix), (key, form));
                }
                None => named.extend(route.nexthop),
            }
        }
        let routes = routes.into_values().map(|(key, form)| Request::Route {
            key,
            change: Change::Delete(form),
        });
        routes.chain(self.objects(dump, named)).collect()
    }

    fn objects(&self, dump: &Dump, mut used: BTreeSet<NexthopId>) -> Vec<Request> {
        let group = |spec: &Option<NexthopSpec>| match spec {
            Some(NexthopSpec::Group(group)) => Some(group.members.clone()),
            _ => None,
        };
        for nexthop in &dump.nexthops {
            let stays = used.contains(&nexthop.id) || !self.is_to_go(nexthop.id, nexthop.protocol);
            let members = group(&nexthop.spec).filter(|_| stays);
            used.extend(members.into_iter().flatten().map(|m| m.leg));
        }
        let mut gone: Vec<_> = dump
            .nexthops
            .iter()
            .filter(|n| self.is_to_go(n.id, n.protocol) && !used.contains(&n.id))
            .collect();
        gone.sort_by_key(|n| (group(&n.spec).is_none(), n.id));
        let requests = gone.into_iter().map(|n| Request::Nexthop {
            id: n.id,
            protocol: n.protocol,
            change: NexthopChange::Delete,
        });
        requests.collect()
    }

    fn is_to_go(&self, id: NexthopId, protocol: u8) -> bool {
        let offset = id.0.checked_sub(self.first_nexthop_id);
        self.objects_of.contains(&protocol)
            && offset.is_some_and(|offset| offset < super::FibConfig::NEXTHOP_IDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fib::{FibConfig, Group, KernelNexthop, Leg, Member, RouteAction},
        nexthop::NexthopSet,
    };

    const FIRST: u32 = FibConfig::FIRST_NEXTHOP_ID.get();

    fn route(prefix: &str, protocol: u8, nexthop: Option<u32>) -> KernelRoute {
        KernelRoute {
            prefix: prefix.parse().unwrap(),
            table: 254,
            protocol,
            metric: 179,
            action: RouteAction::Forward(NexthopSet::default()),
            prefsrc: None,
            nexthop: nexthop.map(NexthopId),
        }
    }

    fn leg(id: u32, protocol: u8) -> KernelNexthop {
        let spec = NexthopSpec::Leg(Leg {
            family: redstart_bgp::types::Family::Ipv4Unicast,
            via: None,
            ifindex: 2,
            onlink: false,
        });
        KernelNexthop {
            id: NexthopId(id),
            protocol,
            spec: Some(spec),
        }
    }

    fn group(id: u32, of: u32) -> KernelNexthop {
        let mut group = Group::default();
        group.members.push(Member {
            leg: NexthopId(of),
            weight: 1,
        });
        KernelNexthop {
            spec: Some(NexthopSpec::Group(group)),
            ..leg(id, 186)
        }
    }

    fn removal() -> Removal {
        Removal {
            marks: [Marks {
                table: 254,
                protocol: 186,
                metric: FibConfig::METRIC,
            }]
            .into(),
            objects_of: [186].into(),
            first_nexthop_id: FIRST,
        }
    }

    fn removed(dump: &Dump) -> Vec<String> {
        let name = |request: &Request| match request {
            Request::Route { key, .. } => key.prefix.to_string(),
            Request::Nexthop { id, .. } => (id.0 - FIRST).to_string(),
        };
        removal().requests(dump).iter().map(name).collect()
    }

    #[test]
    fn routes_go_first_then_groups_then_legs_and_nothing_of_others() {
        let dump = Dump {
            routes: vec![
                route("10.1.0.0/16", 186, Some(FIRST + 2)),
                route("10.2.0.0/16", 4, None),
            ],
            nexthops: vec![
                leg(FIRST + 1, 186),
                group(FIRST + 2, FIRST + 1),
                leg(FIRST + 3, 4),
                leg(7, 186),
            ],
            ..Dump::default()
        };
        assert_eq!(removed(&dump), ["10.1.0.0/16", "2", "1"]);
    }

    #[test]
    fn an_object_that_somebody_elses_route_names_stays_with_its_legs() {
        let dump = Dump {
            routes: vec![route("10.2.0.0/16", 4, Some(FIRST + 2))],
            nexthops: vec![leg(FIRST + 1, 186), group(FIRST + 2, FIRST + 1)],
            ..Dump::default()
        };
        assert!(removed(&dump).is_empty());
    }
}
