//! The next hops that some received route names, and what is known of each.
//!
//! One entry per next hop, however many routes use it: a million routes by two routers are two
//! questions to the kernel's view. An entry lives while an attribute set names it.
//!
//! A link-local next hop means something else on every link, so its entry is per link; a global one
//! is the same whichever session it came by.

use core::num::NonZeroU32;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use redstart_bgp::types::NextHop;

use crate::nexthop::{Resolve, Resolved, Unresolved};

/// A tracked next hop's slot. `Option<NextHopId>` is four octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NextHopId(NonZeroU32);

impl NextHopId {
    fn new(index: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// What a next hop resolves to.
pub type NextHopState = Result<Resolved, Unresolved>;

#[derive(Clone, Debug)]
struct Tracked {
    next_hop: NextHop,
    interface: Option<u32>,
    state: NextHopState,
    refs: u32,
}

/// Every tracked next hop.
#[derive(Debug)]
pub(crate) struct NextHops {
    slots: Vec<Tracked>,
    free: Vec<NextHopId>,
    index: HashMap<(NextHop, Option<u32>), NextHopId, FixedState>,
    pending: usize,
}

/// What a round of resolution changed.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// The next hops whose state is another now, ascending.
    pub(crate) ids: Vec<NextHopId>,
    /// Whether one of them had an answer before: routes that were decided with it must be found.
    pub(crate) known_before: bool,
}

/// The link that `next_hop` belongs to: that of the session for link-local addresses.
pub(crate) fn scope(next_hop: NextHop, interface: Option<u32>) -> Option<u32> {
    let link_local = match next_hop {
        NextHop::V4(addr) => addr.is_link_local(),
        NextHop::V6(addr) => addr.is_unicast_link_local(),
        NextHop::V6LinkLocal { .. } => true,
    };
    interface.filter(|_| link_local)
}

impl NextHops {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::with_hasher(FixedState::with_seed(seed)),
            pending: 0,
        }
    }

    /// One more attribute set names this next hop.
    pub(crate) fn acquire(&mut self, next_hop: NextHop, interface: Option<u32>) -> NextHopId {
        if let Some(id) = self.index.get(&(next_hop, interface)) {
            self.slots[id.index()].refs += 1;
            return *id;
        }
        let tracked = Tracked {
            next_hop,
            interface,
            state: Err(Unresolved::Pending),
            refs: 1,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.index()] = tracked;
                id
            }
            None => {
                self.slots.push(tracked);
                NextHopId::new(self.slots.len() - 1)
            }
        };
        self.index.insert((next_hop, interface), id);
        self.pending += 1;
        id
    }

    /// One attribute set fewer names it.
    pub(crate) fn release(&mut self, id: NextHopId) {
        let tracked = &mut self.slots[id.index()];
        tracked.refs -= 1;
        if tracked.refs == 0 {
            self.pending -= usize::from(tracked.state == Err(Unresolved::Pending));
            self.index.remove(&(tracked.next_hop, tracked.interface));
            self.free.push(id);
        }
    }

    pub(crate) fn state(&self, id: NextHopId) -> &NextHopState {
        &self.slots[id.index()].state
    }

    /// Whether nobody has looked yet.
    pub(crate) fn is_pending(&self, id: NextHopId) -> bool {
        matches!(self.state(id), Err(Unresolved::Pending))
    }

    /// How many nobody has looked for yet.
    pub(crate) const fn pending(&self) -> usize {
        self.pending
    }

    /// How many are tracked.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NextHop, Option<u32>, &NextHopState)> + '_ {
        self.slots
            .iter()
            .filter(|t| t.refs > 0)
            .map(|t| (t.next_hop, t.interface, &t.state))
    }

    /// Asks again, for every next hop or just for those that nobody has looked for yet.
    pub(crate) fn resolve(&mut self, resolver: &dyn Resolve, only_pending: bool) -> Changed {
        let mut changed = Changed::default();
        for (index, tracked) in self.slots.iter_mut().enumerate() {
            let was_pending = tracked.state == Err(Unresolved::Pending);
            if tracked.refs == 0 || (only_pending && !was_pending) {
                continue;
            }
            let state = resolver.resolve(tracked.next_hop, tracked.interface);
            if state != tracked.state {
                changed.known_before |= !was_pending;
                changed.ids.push(NextHopId::new(index));
                tracked.state = state;
            }
        }
        self.pending = self
            .slots
            .iter()
            .filter(|t| t.refs > 0 && t.state == Err(Unresolved::Pending))
            .count();
        changed
    }
}
