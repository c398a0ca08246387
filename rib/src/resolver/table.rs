//! One family's routes, looked up by longest match.

use prefix_trie::PrefixMap;
use smallvec::SmallVec;

use crate::{
    fib::{NexthopId, RouteAction},
    nexthop::Gateway,
};

/// A route that may lead to next hops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) metric: u32,
    pub(super) protocol: u8,
    pub(super) action: RouteAction,
    pub(super) nexthop: Option<NexthopId>,
}

/// `RTPROT_RA`: made by a Router Advertisement.
const PROTOCOL_RA: u8 = 9;

impl Candidate {
    /// What no two of a prefix share.
    const fn key(&self) -> (u32, bool) {
        (self.metric, self.is_advertised())
    }

    const fn is_advertised(&self) -> bool {
        self.protocol == PROTOCOL_RA
    }

    /// Adds the gateways of another route; whether that changed anything.
    fn join(&mut self, other: &RouteAction) -> bool {
        let (RouteAction::Forward(set), RouteAction::Forward(more)) = (&self.action, other) else {
            return core::mem::replace(&mut self.action, other.clone()) != *other;
        };
        let all = set.as_slice().iter().chain(more.as_slice()).copied();
        let joined = RouteAction::Forward(all.collect());
        core::mem::replace(&mut self.action, joined.clone()) != joined
    }

    /// What is left of it without these gateways, if anything is.
    fn without(&self, gone: &RouteAction) -> Option<RouteAction> {
        let (RouteAction::Forward(set), RouteAction::Forward(gone)) = (&self.action, gone) else {
            return None;
        };
        // What an object leads to may have changed since, and it goes as a whole.
        if gone.is_empty() || self.nexthop.is_some() {
            return None;
        }
        let goes = |leg: &Gateway| {
            let mut gone = gone.as_slice().iter();
            gone.any(|it| (it.via, it.ifindex) == (leg.via, leg.ifindex))
        };
        let rest = set.filter(|leg| !goes(leg));
        (!rest.is_empty()).then_some(RouteAction::Forward(rest))
    }
}

/// The kernel's key is prefix and metric: one candidate per metric, lowest first. But for what Router
/// Advertisements bring: there each router has a route of its own, next to the others and to anybody
/// else's of that metric; all of them are one candidate here.
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
        match list.binary_search_by_key(&candidate.key(), Candidate::key) {
            Ok(at) if candidate.is_advertised() => list[at].join(&candidate.action),
            Ok(at) => core::mem::replace(&mut list[at], candidate.clone()) != candidate,
            Err(at) => {
                list.insert(at, candidate);
                true
            }
        }
    }

    /// Removes; whether there was something to remove. IPv6 tells of a multipath route that loses one of
    /// its gateways as of a route with that gateway which goes: the others stay.
    pub(super) fn remove(&mut self, prefix: &P, gone: &Candidate) -> bool {
        let Some(list) = self.0.get_mut(prefix) else {
            return false;
        };
        let Ok(at) = list.binary_search_by_key(&gone.key(), Candidate::key) else {
            return false;
        };
        if list[at].protocol != gone.protocol {
            return false;
        }
        match list[at].without(&gone.action) {
            Some(rest) if rest == list[at].action => return false,
            Some(rest) => list[at].action = rest,
            None => _ = list.remove(at),
        }
        if list.is_empty() {
            self.0.remove(prefix);
        }
        true
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
