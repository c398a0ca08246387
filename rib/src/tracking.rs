//! The next hops that some received route names, and what is known of each.
//!
//! One entry per next hop, however many routes use it: a million routes by two routers are two
//! questions to the kernel's view. An entry lives while an attribute set names it.
//!
//! A link-local next hop means something else on every link, so its entry is per link; a global one
//! is the same whichever session it came by.
//!
//! Each has two states: what the kernel answered, and what counts, which may be that a learned route
//! leads there (`rib::recursive`). Those where one may are found by their addresses, so that a changed
//! path to a prefix costs a search among them and no more.

use core::num::NonZeroU32;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use redstart_bgp::types::{NextHop, PrefixKey};

use crate::nexthop::{Answer, Resolve, Resolved, Unresolved};

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
    answer: Answer,
    state: NextHopState,
    refs: u32,
}

/// A next hop that a learned route may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Yielding {
    addr: IpAddr,
    /// From this prefix length on.
    longer: u8,
    id: NextHopId,
    /// Whether it is among the disturbed ones.
    is_disturbed: bool,
}

/// Every tracked next hop.
#[derive(Debug)]
pub(crate) struct NextHops {
    slots: Vec<Tracked>,
    free: Vec<NextHopId>,
    index: HashMap<(NextHop, Option<u32>), NextHopId, FixedState>,
    /// The one that was named last, which is named next as a rule.
    latest: Option<NextHopId>,
    pending: usize,
    /// Those that learned routes may lead to, by address. Some may be gone.
    yielding: Vec<Yielding>,
    /// Whether those are others by now.
    is_yielding_stale: bool,
    /// Those among them whose learned routes changed; some may be named twice.
    disturbed: Vec<NextHopId>,
    /// Paths move up and down, and none comes or goes.
    following: bool,
}

/// Whom to ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Those that nobody has asked about.
    New,
    /// And those whose learned routes changed.
    Due,
    /// All.
    All,
}

/// Whether nothing that is decided depends on the difference: which route leads there is for people.
fn is_same(a: &NextHopState, b: &NextHopState) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => a.gateways == b.gateways && a.metric == b.metric,
        _ => a == b,
    }
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
            latest: None,
            pending: 0,
            yielding: Vec::new(),
            is_yielding_stale: false,
            disturbed: Vec::new(),
            following: false,
        }
    }

    /// One more attribute set names this next hop.
    pub(crate) fn acquire(&mut self, next_hop: NextHop, interface: Option<u32>) -> NextHopId {
        let is_latest = |id: &NextHopId| {
            let latest = &self.slots[id.index()];
            latest.refs > 0 && (latest.next_hop, latest.interface) == (next_hop, interface)
        };
        let latest = self.latest.filter(is_latest);
        if let Some(id) = latest.or_else(|| self.index.get(&(next_hop, interface)).copied()) {
            self.slots[id.index()].refs += 1;
            self.latest = Some(id);
            return id;
        }
        let tracked = Tracked {
            next_hop,
            interface,
            answer: Err(Unresolved::Pending).into(),
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
        self.latest = Some(id);
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
            self.is_yielding_stale |= tracked.answer.yields_to.is_some();
            self.free.push(id);
        }
    }

    /// What it resolves to.
    pub(crate) fn state(&self, id: NextHopId) -> &NextHopState {
        &self.slots[id.index()].state
    }

    /// What it resolves to by the kernel's routes alone.
    pub(crate) fn kernel_state(&self, id: NextHopId) -> &NextHopState {
        &self.slots[id.index()].answer.state
    }

    /// What the kernel answered.
    pub(crate) fn answer(&self, id: NextHopId) -> &Answer {
        &self.slots[id.index()].answer
    }

    pub(crate) fn addr(&self, id: NextHopId) -> IpAddr {
        self.slots[id.index()].next_hop.addr()
    }

    /// Whether nobody has looked yet.
    pub(crate) fn is_pending(&self, id: NextHopId) -> bool {
        matches!(self.state(id), Err(Unresolved::Pending))
    }

    /// How many nobody has looked for yet.
    #[cfg(test)]
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

    /// Notes that paths to `prefix` have changed.
    pub(crate) fn disturb<P: PrefixKey>(&mut self, prefix: P) {
        let (Some(first), Some(last)) = (self.yielding.first(), self.yielding.last()) else {
            return;
        };
        let (low, high) = prefix.bounds();
        if high < first.addr || last.addr < low {
            return;
        }
        if self.following {
            return;
        }
        let at = self.yielding.partition_point(|y| y.addr < low);
        let covered = self.yielding[at..].iter_mut();
        for next_hop in covered.take_while(|y| y.addr <= high) {
            let is_led = next_hop.longer <= prefix.len();
            // Once, however often a neighbour changes its mind.
            if is_led && !core::mem::replace(&mut next_hop.is_disturbed, true) {
                self.disturbed.push(next_hop.id);
            }
        }
    }

    /// While routes follow their next hops, nothing that leads to a next hop changes.
    pub(crate) const fn set_following(&mut self, following: bool) {
        self.following = following;
    }

    /// Whether there are some that nobody has looked for yet.
    pub(crate) const fn has_new(&self) -> bool {
        self.pending > 0
    }

    /// Whether there are next hops to look at: nobody has yet, or their learned routes changed.
    pub(crate) const fn is_due(&self) -> bool {
        self.pending > 0 || !self.disturbed.is_empty()
    }

    /// Asks the kernel again, and returns those that are to be settled.
    pub(crate) fn ask(&mut self, resolver: &dyn Resolve, whom: Whom) -> Vec<NextHopId> {
        let mut due = match whom {
            Whom::New => Vec::new(),
            Whom::Due | Whom::All => self.take_disturbed(),
        };
        let mut changed = false;
        for (index, tracked) in self.slots.iter_mut().enumerate() {
            let is_pending = tracked.state == Err(Unresolved::Pending);
            if tracked.refs == 0 || (whom != Whom::All && !is_pending) {
                continue;
            }
            let answer = resolver.resolve(tracked.next_hop, tracked.interface);
            if is_pending || answer != tracked.answer {
                changed |= !is_pending;
                self.is_yielding_stale |= answer.yields_to != tracked.answer.yields_to;
                tracked.answer = answer;
                due.push(NextHopId::new(index));
            }
        }
        if core::mem::take(&mut self.is_yielding_stale) {
            self.find_yielding();
        }
        if changed {
            // What leads to them may be what has changed.
            due.extend(self.yielding.iter().map(|y| y.id));
        }
        due.retain(|id| self.slots[id.index()].refs > 0);
        due.sort_unstable();
        due.dedup();
        due
    }

    fn take_disturbed(&mut self) -> Vec<NextHopId> {
        if !self.disturbed.is_empty() {
            self.yielding
                .iter_mut()
                .for_each(|y| y.is_disturbed = false);
        }
        core::mem::take(&mut self.disturbed)
    }

    fn find_yielding(&mut self) {
        let in_use = self.slots.iter().enumerate().filter(|(_, t)| t.refs > 0);
        let yielding = in_use.filter_map(|(index, tracked)| {
            Some(Yielding {
                addr: tracked.next_hop.addr(),
                longer: tracked.answer.yields_to?,
                id: NextHopId::new(index),
                is_disturbed: false,
            })
        });
        self.yielding = yielding.collect();
        self.yielding.sort_unstable();
    }

    /// Takes over what the next hops are now, and says which of them are another than before.
    pub(crate) fn settle(&mut self, states: Vec<(NextHopId, NextHopState)>) -> Changed {
        let mut changed = Changed::default();
        for (id, state) in states {
            let tracked = &mut self.slots[id.index()];
            if !is_same(&state, &tracked.state) {
                changed.known_before |= tracked.state != Err(Unresolved::Pending);
                changed.ids.push(id);
            }
            tracked.state = state;
        }
        let in_use = self.slots.iter().filter(|t| t.refs > 0);
        let pending = in_use.filter(|t| t.state == Err(Unresolved::Pending));
        self.pending = pending.count();
        changed
    }
}
