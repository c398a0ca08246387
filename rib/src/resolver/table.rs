//! One family's routes, looked up by longest match.

use prefix_trie::PrefixMap;
use smallvec::SmallVec;

use crate::fib::{NexthopId, RouteAction};

/// A route that may lead to next hops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) metric: u32,
    pub(super) protocol: u8,
    pub(super) action: RouteAction,
    pub(super) nexthop: Option<NexthopId>,
}

/// The kernel's key is prefix and metric: one candidate per metric, lowest first.
#[derive(Debug)]
pub(super) struct Table<P: prefix_trie::Prefix>(PrefixMap<P, SmallVec<[Candidate; 1]>>);

impl<P: prefix_trie::Prefix> Default for Table<P> {
    fn default() -> Self {
        Self(PrefixMap::new())
    }
}

impl<P: prefix_trie::Prefix> Table<P> {
    /// Adds or replaces; whether that changed anything.
    pub(super) fn insert(&mut self, prefix: P, candidate: Candidate) -> bool {
        let list = self.0.entry(prefix).or_default();
        match list.binary_search_by_key(&candidate.metric, |c| c.metric) {
            Ok(at) => core::mem::replace(&mut list[at], candidate.clone()) != candidate,
            Err(at) => {
                list.insert(at, candidate);
                true
            }
        }
    }

    /// Removes; whether there was one.
    pub(super) fn remove(&mut self, prefix: &P, metric: u32, protocol: u8) -> bool {
        let Some(list) = self.0.get_mut(prefix) else {
            return false;
        };
        let before = list.len();
        list.retain(|c| c.metric != metric || c.protocol != protocol);
        let removed = list.len() < before;
        if list.is_empty() {
            self.0.remove(prefix);
        }
        removed
    }

    /// The route that the kernel would use, with the length of its prefix.
    pub(super) fn longest(&self, host: &P) -> Option<(u8, &Candidate)> {
        let (prefix, list) = self.0.get_lpm(host)?;
        Some((prefix.prefix_len(), list.first()?))
    }

    /// The default routes, the one that the kernel would use first.
    pub(super) fn defaults(&self) -> impl Iterator<Item = &Candidate> {
        // Before every longer prefix.
        let first = self.0.iter().next();
        let default = first.filter(|(prefix, _)| prefix.prefix_len() == 0);
        default.into_iter().flat_map(|(_, list)| list)
    }

    /// Drops the routes that leave by this link alone.
    pub(super) fn flush_link(&mut self, ifindex: u32) {
        for list in self.0.values_mut() {
            list.retain(|candidate| match &candidate.action {
                RouteAction::Forward(set) => {
                    set.is_empty() || set.as_slice().iter().any(|g| g.ifindex != ifindex)
                }
                RouteAction::Blackhole | RouteAction::Refuse | RouteAction::Other => true,
            });
        }
        self.0.retain(|_, list| !list.is_empty());
    }
}
