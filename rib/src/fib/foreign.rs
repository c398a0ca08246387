//! The other routes in our table, as little of each as the planner needs.
//!
//! Redstart never competes with a route that somebody else made for the same prefix, whatever its
//! metric, so it must know which prefixes are taken and by whom.
//!
//! The kernel keys routes by prefix and metric (and TOS, which nobody uses). IPv4 allows several
//! under one key by APPEND; only one of them is remembered here. If it goes and another remains, our
//! exclusive add is refused and the resync that follows finds the other.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use redstart_bgp::types::Prefix;
use smallvec::SmallVec;

use super::kernel::{KernelRoute, RouteAction};

/// A route that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ForeignRoute {
    pub(super) metric: u32,
    /// The one link it uses, so that the kernel's silent flush can be followed; or one of the
    /// values below.
    link: u32,
    pub(super) protocol: u8,
}

/// No link: the route drops packets.
const NO_LINK: u32 = 0;
/// Several gateways.
const MANY_LINKS: u32 = u32::MAX;
/// Whatever the nexthop object that it names leads to.
const OBJECT: u32 = u32::MAX - 1;

#[derive(Debug)]
pub(super) struct ForeignRoutes(HashMap<Prefix, SmallVec<[ForeignRoute; 1]>, FixedState>);

impl ForeignRoutes {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self(HashMap::with_hasher(hasher))
    }

    /// The foreign route to `prefix` that the kernel prefers.
    pub(super) fn best(&self, prefix: Prefix) -> Option<&ForeignRoute> {
        self.0.get(&prefix)?.iter().min_by_key(|r| r.metric)
    }

    /// Whether there is one with just this metric.
    pub(super) fn has_metric(&self, prefix: Prefix, metric: u32) -> bool {
        self.0
            .get(&prefix)
            .is_some_and(|list| list.iter().any(|r| r.metric == metric))
    }

    pub(super) fn insert(&mut self, route: &KernelRoute) {
        let entry = ForeignRoute {
            metric: route.metric,
            link: match &route.action {
                RouteAction::Forward(_) if route.nexthop.is_some() => OBJECT,
                RouteAction::Forward(set) => match set.as_slice() {
                    [only] => only.ifindex,
                    _ => MANY_LINKS,
                },
                RouteAction::Blackhole | RouteAction::Refuse | RouteAction::Other => NO_LINK,
            },
            protocol: route.protocol,
        };
        let list = self.0.entry(route.prefix).or_default();
        match list.iter_mut().find(|r| r.metric == route.metric) {
            Some(slot) => *slot = entry,
            None => list.push(entry),
        }
    }

    /// Forgets the route; whether there was one.
    pub(super) fn remove(&mut self, route: &KernelRoute) -> bool {
        let Some(list) = self.0.get_mut(&route.prefix) else {
            return false;
        };
        let before = list.len();
        list.retain(|r| r.metric != route.metric || r.protocol != route.protocol);
        let removed = list.len() < before;
        if list.is_empty() {
            self.0.remove(&route.prefix);
        }
        removed
    }

    /// Whether an IPv4 route depends on this link alone.
    pub(super) fn uses_link(&self, ifindex: u32) -> bool {
        self.0.iter().any(|(prefix, list)| {
            matches!(prefix, Prefix::V4(_)) && list.iter().any(|r| r.link == ifindex)
        })
    }

    /// Whether there is an IPv4 route with several gateways.
    pub(super) fn has_multipath(&self) -> bool {
        self.uses_link(MANY_LINKS)
    }

    /// Whether there is a route that names a nexthop object.
    pub(super) fn has_objects(&self) -> bool {
        let mut routes = self.0.values().flatten();
        routes.any(|r| r.link == OBJECT)
    }

    /// Forgets the IPv4 routes that the kernel flushes, without a word, when the link goes down.
    /// The prefixes that lost a route.
    pub(super) fn flush_link(&mut self, ifindex: u32) -> Vec<Prefix> {
        let mut lost = Vec::new();
        self.0.retain(|prefix, list| {
            if matches!(prefix, Prefix::V4(_)) && list.iter().any(|r| r.link == ifindex) {
                list.retain(|r| r.link != ifindex);
                lost.push(*prefix);
            }
            !list.is_empty()
        });
        lost
    }

    /// Forgets everything; the prefixes that had a route.
    pub(super) fn take_prefixes(&mut self) -> Vec<Prefix> {
        self.0.drain().map(|(prefix, _)| prefix).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
