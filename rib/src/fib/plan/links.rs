//! Which links packets can leave by.

use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::kernel::{Dump, KernelEvent, Link};

/// The state of every link, as last heard.
#[derive(Debug)]
pub(super) struct Links(HashMap<u32, State, FixedState>);

/// As far as routes depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Administratively up: the kernel keeps routes over it.
    pub(super) up: bool,
    /// And the other end is there: the kernel keeps nexthop objects over it.
    pub(super) usable: bool,
}

impl State {
    pub(super) const fn of(link: &Link) -> Self {
        Self {
            up: link.up,
            usable: link.up && link.carrier,
        }
    }
}

impl Links {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self(HashMap::with_hasher(hasher))
    }

    /// Takes note of a link; what it was before, and what it is now.
    pub(super) fn insert(&mut self, link: &Link) -> (Option<State>, State) {
        let state = State::of(link);
        (self.0.insert(link.ifindex, state), state)
    }

    pub(super) fn remove(&mut self, ifindex: u32) {
        self.0.remove(&ifindex);
    }

    /// The links of the dump, with what has become of them since, are all that there are. Those that were
    /// usable and are not any more.
    pub(super) fn replace(&mut self, dump: &Dump) -> BTreeSet<u32> {
        let mut before = self.0.clone();
        self.0.clear();
        let links = dump.links.iter();
        self.0.extend(links.map(|l| (l.ifindex, State::of(l))));
        for event in &dump.since {
            match event {
                KernelEvent::Link(link) => _ = self.insert(link),
                KernelEvent::LinkGone { ifindex } => self.remove(*ifindex),
                _ => {}
            }
        }
        before.retain(|ifindex, state| state.usable && !self.is_usable(*ifindex));
        before.into_keys().collect()
    }

    pub(super) fn get(&self, ifindex: u32) -> Option<State> {
        self.0.get(&ifindex).copied()
    }

    pub(super) fn is_up(&self, ifindex: u32) -> bool {
        self.get(ifindex).is_some_and(|s| s.up)
    }

    pub(super) fn is_usable(&self, ifindex: u32) -> bool {
        self.get(ifindex).is_some_and(|s| s.usable)
    }
}
