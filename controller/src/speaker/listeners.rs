//! The addresses to listen on.
//!
//! One socket per family. An address that cannot be had (another BGP speaker on the host, a missing
//! privilege) is reported once and tried again; meanwhile the sessions that this node dials itself
//! work as usual.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use redstart_bgp::{
    net::{FromListener, ListenError, Listener, Range, RangeId, Transport},
    session::PeerId,
    time::Instant,
};
use tokio::sync::mpsc;
use tracing::{error, info};

use super::neighbours::Neighbours;
use crate::control::views;

/// The pause between two attempts to have an address.
const RETRY: Duration = Duration::from_secs(2);

/// Every address that is wanted.
#[derive(Debug)]
pub(super) struct Listeners {
    /// Who gets connections from listen ranges.
    owner: mpsc::Sender<FromListener>,
    wanted: BTreeMap<SocketAddr, State>,
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
    pub(super) const fn new(owner: mpsc::Sender<FromListener>) -> Self {
        Self {
            owner,
            wanted: BTreeMap::new(),
            retry_at: None,
        }
    }

    /// Listens on `wanted` and nowhere else, for `neighbours` and nobody else.
    pub(super) fn apply(&mut self, now: Instant, wanted: &[SocketAddr], neighbours: &Neighbours) {
        self.wanted.retain(|addr, _| wanted.contains(addr));
        for addr in wanted {
            if !matches!(self.wanted.get(addr), Some(State::Open { .. })) {
                self.open(now, *addr);
            }
        }
        self.wanted
            .values_mut()
            .for_each(|state| state.register(neighbours, &self.owner));
    }

    fn open(&mut self, now: Instant, addr: SocketAddr) {
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
                self.retry_at = Some(now + RETRY);
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

    /// Tries again what could not be had.
    pub(super) fn retry(&mut self, now: Instant, neighbours: &Neighbours) {
        if self.retry_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        let closed = |(addr, state): (&SocketAddr, &State)| {
            matches!(state, State::Closed { .. }).then_some(*addr)
        };
        let missing: Vec<SocketAddr> = self.wanted.iter().filter_map(closed).collect();
        for addr in missing {
            self.open(now, addr);
        }
        self.wanted
            .values_mut()
            .for_each(|state| state.register(neighbours, &self.owner));
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
        let sum = |count: fn(&Listener) -> u64| {
            let of = |state: &State| match state {
                State::Open { listener, .. } => count(listener),
                State::Closed { .. } => 0,
            };
            self.wanted.values().map(of).sum()
        };
        let by_reason: [(&str, u64); 3] = [
            ("unknown-neighbour", sum(Listener::refused)),
            ("range-full", sum(Listener::refused_by_limit)),
            ("range-busy", sum(Listener::refused_by_owner)),
        ];
        by_reason.map(|(why, n)| (why.to_owned(), n)).into()
    }
}

impl State {
    /// Passes connections on to the neighbours as they are now.
    fn register(&mut self, neighbours: &Neighbours, owner: &mpsc::Sender<FromListener>) {
        let Self::Open {
            listener,
            registered,
            ranges,
            error,
        } = self
        else {
            return;
        };
        let mut now: BTreeMap<PeerId, Transport> = neighbours
            .iter()
            .map(|(_, n)| (n.id, n.transport()))
            .collect();
        // Those that are gone first: a new neighbour may have their address.
        for (id, transport) in &*registered {
            if !now.contains_key(id) {
                listener.unregister(transport);
            }
        }
        *error = None;
        for (name, neighbour) in neighbours.iter() {
            let transport = neighbour.transport();
            if registered.get(&neighbour.id) == Some(&transport) {
                continue;
            }
            if let Err(cause) = listener.register(&transport, &neighbour.handle) {
                report(name, &cause);
                *error = Some(cause.to_string());
                // Not registered: the next change of configuration tries again.
                now.remove(&neighbour.id);
            }
        }
        *registered = now;
        if let Err(cause) = register_ranges(listener, ranges, neighbours, owner) {
            *error = Some(cause.to_string());
        }
    }
}

/// Passes connections from ranges on, as the ranges are now.
fn register_ranges(
    listener: &Listener,
    registered: &mut BTreeMap<RangeId, Range>,
    neighbours: &Neighbours,
    owner: &mpsc::Sender<FromListener>,
) -> Result<(), ListenError> {
    let mut result = Ok(());
    let known = |id: RangeId| neighbours.ranges.name(id).is_some();
    registered
        .extract_if(.., |id, _| !known(*id))
        .for_each(|(id, _)| listener.unregister_range(id));
    for (name, range) in neighbours.ranges.iter() {
        if registered.get(&range.id) == Some(range) {
            continue;
        }
        match listener.register_range(range, owner.clone()) {
            Ok(()) => _ = registered.insert(range.id, range.clone()),
            Err(cause) => {
                report(name, &cause);
                // Not registered: the next change of configuration tries again.
                registered.remove(&range.id);
                result = Err(cause);
            }
        }
    }
    result
}

fn report(name: &crate::compile::PeerName, cause: &ListenError) {
    error!(peer = %name, reason = cause.id(), "{cause}");
}
