//! Neighbours that have to be found: objects say what leads to them, and the links and routes of this
//! node say where that is.
//!
//! Who looks ([`unnumbered`](super::unnumbered), [`gateways`](super::gateways)) keeps a list of what it
//! looks for, which follows the objects, and tells [`Neighbours`] what it found.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::{Deref, DerefMut},
    sync::Arc,
};

use redstart_bgp::time::Instant;

use super::{neighbours::Neighbours, objects::log_difference};
use crate::{
    compile::{DesiredState, Peer, PeerName, Remote},
    diagnostic::Diagnostic,
};

/// Where the neighbours are that one configured peer stands for, each with the name that it goes by.
pub(super) type Places = BTreeMap<PeerName, SocketAddr>;

/// An address, with the link where it means something on that alone. Two neighbours at one would be one router.
pub(super) type Spot = (IpAddr, u32);

pub(super) const fn spot(of: SocketAddr) -> Spot {
    match of {
        SocketAddr::V4(_) => (of.ip(), 0),
        SocketAddr::V6(addr) => (of.ip(), addr.scope_id()),
    }
}

/// What is looked for.
pub(super) trait Sought: Sized {
    /// What there is to look for in order to find such a neighbour, if that is ours to do.
    fn of(remote: &Remote) -> Option<Self>;
}

/// One configured peer that is looked for.
pub(super) struct Search<T> {
    pub(super) spec: Arc<Peer>,
    /// Since when nothing better is known of it.
    pub(super) since: Instant,
    pub(super) sought: T,
}

/// All of them, by name.
pub(super) struct Searches<T> {
    by_name: BTreeMap<PeerName, Search<T>>,
    /// The generation of the kernel's view at the last round.
    seen: Option<u64>,
    problems: Vec<Diagnostic>,
}

impl<T> Default for Searches<T> {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            seen: None,
            problems: Vec::new(),
        }
    }
}

impl<T: Sought> Searches<T> {
    /// Looks for the neighbours of `desired` and for nobody else.
    pub(super) fn apply(&mut self, now: Instant, desired: &DesiredState, to: &mut Neighbours) {
        self.by_name.retain(|name, search| {
            let spec = desired.peers.get(name);
            let kept = spec.is_some_and(|spec| spec.remote == search.spec.remote);
            if !kept {
                to.locate(name, Places::new());
            }
            kept
        });
        for (name, spec) in desired.peers.iter() {
            let Some(sought) = T::of(&spec.remote) else {
                continue;
            };
            let spec = spec.clone();
            match self.by_name.get_mut(name) {
                Some(search) => search.spec = spec,
                None => {
                    let search = Search {
                        spec,
                        since: now,
                        sought,
                    };
                    self.by_name.insert(name.clone(), search);
                }
            }
        }
        self.seen = None;
    }
}

impl<T> Searches<T> {
    /// Whether the kernel's view, or what is looked for, has changed since this was last asked.
    pub(super) fn have_moved(&mut self, generation: u64) -> bool {
        self.seen.replace(generation) != Some(generation)
    }

    /// What keeps neighbours from being found, and what makes them doubtful.
    pub(super) fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// Takes note of the problems, and logs what is new among them.
    pub(super) fn set_problems(&mut self, problems: Vec<Diagnostic>) {
        log_difference(&self.problems, &problems);
        self.problems = problems;
    }
}

impl<T> Deref for Searches<T> {
    type Target = BTreeMap<PeerName, Search<T>>;

    fn deref(&self) -> &Self::Target {
        &self.by_name
    }
}

impl<T> DerefMut for Searches<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.by_name
    }
}

/// A peer for which no neighbour was found: there is nothing else to show of it than this.
pub(super) struct Unfound<'a> {
    pub(super) spec: &'a Peer,
    pub(super) since: Instant,
    pub(super) why: Option<String>,
}

impl<T> Search<T> {
    pub(super) fn unfound(&self, why: Option<String>) -> Unfound<'_> {
        Unfound {
            spec: &self.spec,
            since: self.since,
            why,
        }
    }
}
