//! The addresses to listen on.
//!
//! One socket per family. An address that cannot be had (another BGP speaker on the host, a missing
//! privilege) is reported once and tried again; meanwhile the sessions that this node dials itself
//! work as usual.
//!
//! Nor may the kernel take every key. Whoever has none then is not let in, is named with the object that
//! asks for the key, and is tried again, less and less often. That may be another one than the one that
//! changed: a key of a range goes around those in it that have none, and a socket has room for so many.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use redstart_bgp::{
    net::{FromListener, KeyOwner, Listener, Range, RangeId, Transport, Unprotected},
    session::{PeerId, Refusal},
    time::Instant,
};
use tokio::sync::mpsc;
use tracing::{error, info};

use super::{neighbours::Neighbours, objects::log_difference};
use crate::{
    compile::{self, PeerRole, Remote},
    control::views,
    diagnostic::{Diagnostic, Reason},
};

/// The pause between two attempts to have an address, and the first one between two attempts to have a
/// key taken.
const RETRY: Duration = Duration::from_secs(2);

/// The longest pause between two attempts to have a key taken.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Every address that is wanted.
#[derive(Debug)]
pub(super) struct Listeners {
    /// Who gets connections from listen ranges.
    owner: mpsc::Sender<FromListener>,
    wanted: BTreeMap<SocketAddr, State>,
    /// How many connections those refused that are gone.
    past_refused: HashMap<Refusal, u64>,
    problems: Vec<Diagnostic>,
    /// The pause before a key is tried again.
    pause: Duration,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Open {
        listener: Listener,
        /// Whose connections are passed on.
        registered: BTreeMap<PeerId, Transport>,
        /// The ranges whose connections are.
        ranges: BTreeMap<RangeId, Range>,
        /// Why some neighbour's are not.
        error: Option<String>,
    },
    Closed {
        error: String,
    },
}

impl Listeners {
    pub(super) fn new(owner: mpsc::Sender<FromListener>) -> Self {
        Self {
            owner,
            wanted: BTreeMap::new(),
            past_refused: HashMap::new(),
            problems: Vec::new(),
            pause: RETRY,
            retry_at: None,
        }
    }

    /// Listens on `wanted` and nowhere else, for `neighbours` and nobody else.
    pub(super) fn apply(&mut self, now: Instant, wanted: &[SocketAddr], neighbours: &Neighbours) {
        let gone = self.wanted.extract_if(.., |addr, _| !wanted.contains(addr));
        for (_, state) in gone {
            for why in Refusal::OF_LISTENERS {
                *self.past_refused.entry(why).or_default() += state.refused(why);
            }
        }
        for addr in wanted {
            if !matches!(self.wanted.get(addr), Some(State::Open { .. })) {
                self.open(*addr);
            }
        }
        self.pause = RETRY;
        self.register(now, neighbours);
    }

    /// Passes connections on to `neighbours`, and looks what is missing.
    fn register(&mut self, now: Instant, neighbours: &Neighbours) {
        let mut problems = Vec::new();
        for state in self.wanted.values_mut() {
            state.register(neighbours, &self.owner, &mut problems);
        }
        problems.sort();
        problems.dedup();
        log_difference(&self.problems, &problems);
        self.problems = problems;
        let is_closed = |state: &State| matches!(state, State::Closed { .. });
        let after = if self.wanted.values().any(is_closed) {
            Some(RETRY)
        } else {
            (!self.problems.is_empty()).then_some(self.pause)
        };
        self.retry_at = after.map(|after| now + after);
    }

    fn open(&mut self, addr: SocketAddr) {
        let state = match Listener::bind(addr) {
            Ok(listener) => {
                info!(address = %addr, "listening");
                State::Open {
                    listener,
                    registered: BTreeMap::new(),
                    ranges: BTreeMap::new(),
                    error: None,
                }
            }
            Err(cause) => {
                let text = cause.to_string();
                let said = matches!(self.wanted.get(&addr), Some(State::Closed { error }) if *error == text);
                if !said {
                    error!(address = %addr, reason = cause.id(), "{text}");
                }
                State::Closed { error: text }
            }
        };
        self.wanted.insert(addr, state);
    }

    /// Tries again what could not be had: an address soon, since it is the port of all; a key less and
    /// less often, since a kernel has seldom room for it soon.
    pub(super) fn retry(&mut self, now: Instant, neighbours: &Neighbours) {
        if self.retry_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        let closed = |(addr, state): (&SocketAddr, &State)| {
            matches!(state, State::Closed { .. }).then_some(*addr)
        };
        let missing: Vec<SocketAddr> = self.wanted.iter().filter_map(closed).collect();
        for addr in missing {
            self.open(addr);
        }
        self.pause = (self.pause * 2).min(LONGEST_RETRY);
        self.register(now, neighbours);
    }

    /// Whose connections are refused because the kernel did not take their key.
    pub(super) fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(super) fn views(&self) -> Vec<views::Listener> {
        let view = |(addr, state): (&SocketAddr, &State)| views::Listener {
            address: *addr,
            error: match state {
                State::Open { error, .. } => error.clone(),
                State::Closed { error } => Some(error.clone()),
            },
        };
        self.wanted.iter().map(view).collect()
    }

    /// Connections refused, by reason.
    pub(super) fn refused(&self) -> BTreeMap<String, u64> {
        let by_reason = Refusal::OF_LISTENERS.map(|why| (why.to_string(), self.refused_now(why)));
        by_reason.into()
    }

    /// The same, also by listeners that are gone.
    pub(super) fn ever_refused(&self) -> BTreeMap<String, u64> {
        let by_reason = Refusal::OF_LISTENERS.map(|why| {
            let past = self.past_refused.get(&why).copied().unwrap_or_default();
            (why.to_string(), past + self.refused_now(why))
        });
        by_reason.into()
    }

    fn refused_now(&self, why: Refusal) -> u64 {
        self.wanted.values().map(|state| state.refused(why)).sum()
    }
}

impl State {
    fn refused(&self, why: Refusal) -> u64 {
        match self {
            Self::Open { listener, .. } => listener.refused(why),
            Self::Closed { .. } => 0,
        }
    }

    /// Passes connections on to the neighbours as they are now.
    fn register(
        &mut self,
        neighbours: &Neighbours,
        owner: &mpsc::Sender<FromListener>,
        problems: &mut Vec<Diagnostic>,
    ) {
        let Self::Open {
            listener,
            registered,
            ranges,
            error,
        } = self
        else {
            return;
        };
        // Those that are gone first: a new neighbour may have their address.
        registered
            .extract_if(.., |id, _| neighbours.name(*id).is_none())
            .for_each(|(_, transport)| listener.unregister(&transport));
        // A member of a range that has had no session comes by its range.
        let changed: Vec<_> = neighbours
            .iter()
            .filter(|(_, n)| n.membership.as_ref().is_none_or(|m| m.is_introduced))
            .map(|(_, n)| (n, n.transport()))
            .filter(|(n, transport)| registered.get(&n.id) != Some(transport))
            .collect();
        if !changed.is_empty() {
            listener.register_all(changed.iter().map(|(n, transport)| (transport, &n.handle)));
        }
        registered.extend(changed.into_iter().map(|(n, transport)| (n.id, transport)));
        register_ranges(listener, ranges, neighbours, owner);
        listener.expect_link_local(neighbours.some_are_unfound());
        let unprotected = listener.unprotected();
        *error = unprotected.first().map(ToString::to_string);
        for missing in &unprotected {
            // Not registered: the next round tries again.
            forget(missing.owner, registered, ranges, neighbours);
            problems.extend(problem(missing, neighbours));
        }
        listener.start();
    }
}

/// Passes connections from ranges on, as the ranges are now.
fn register_ranges(
    listener: &Listener,
    registered: &mut BTreeMap<RangeId, Range>,
    neighbours: &Neighbours,
    owner: &mpsc::Sender<FromListener>,
) {
    let known = |id: RangeId| neighbours.ranges.name(id).is_some();
    registered
        .extract_if(.., |id, _| !known(*id))
        .for_each(|(id, _)| listener.unregister_range(id));
    for (_, range) in neighbours.ranges.iter() {
        if registered.get(&range.id) != Some(range) {
            let _ = listener.register_range(range, owner.clone());
            registered.insert(range.id, range.clone());
        }
    }
}

fn forget(
    owner: KeyOwner,
    registered: &mut BTreeMap<PeerId, Transport>,
    ranges: &mut BTreeMap<RangeId, Range>,
    neighbours: &Neighbours,
) {
    match owner {
        KeyOwner::Peer(addr) => {
            let of_address = neighbours.iter().filter(|(_, n)| n.remote.ip() == addr);
            of_address.for_each(|(_, n)| _ = registered.remove(&n.id));
        }
        KeyOwner::Range(id) => _ = ranges.remove(&id),
    }
}

/// What to tell of somebody who has no key: the object, and its field. That the kernel has no TCP
/// Authentication Option at all is told already (see `abilities`).
fn problem(missing: &Unprotected, neighbours: &Neighbours) -> Option<Diagnostic> {
    if missing.source.is_unsupported() {
        return None;
    }
    let (object, field) = match missing.owner {
        KeyOwner::Peer(addr) => {
            let mut of_address = neighbours.iter().map(|(_, n)| &*n.spec);
            let has = |spec: &&compile::Peer| {
                matches!(spec.remote, Remote::Address(remote) if remote.ip() == addr)
                    && (spec.password.is_some() || !spec.tcp_ao.is_empty())
            };
            let spec = of_address.find(has)?;
            match spec.role {
                PeerRole::Router if spec.tcp_ao.is_empty() => {
                    (spec.source.clone(), "spec.passwordSecretRef")
                }
                PeerRole::Router => (spec.source.clone(), "spec.tcpAO"),
                _ => (compile::configuration_ref(), "spec.mesh.passwordSecretRef"),
            }
        }
        KeyOwner::Range(id) => (neighbours.ranges.source(id)?, "spec.passwordSecretRef"),
    };
    let message = format!(
        "{missing}: its connections are refused, because nothing would protect them; it is tried again \
         every now and then (how much room a socket has for keys says the sysctl net.core.optmem_max)"
    );
    Some(Diagnostic::error(
        object,
        field,
        Reason::KeyRefused,
        message,
    ))
}
