//! Listen ranges: neighbours that come and go.
//!
//! A `BGPPeer` with a listen range has no session of its own. Whoever connects from the range becomes
//! a *member*: a passive neighbour with everything that the object says, named `OBJECT-ADDRESS`. It
//! holds one of the range's places until its session is over and nothing of it is kept any more
//! (graceful restart); then it is gone, and the next connection makes a new one.
//!
//! Anybody in the range may connect, as often as they like, and say what they like. So whoever had no
//! session, or a faulty one, rests ([`Place::failed`]) before it is let in again; nobody but the table of
//! the neighbours hears of a member before it has a session, since telling listeners, BFD and originations
//! costs as much as there is configured; and attempts that fail are logged once a minute.
//!
//! A configured address comes before a range: its connections go to its own neighbour, and a member
//! that is there already leaves.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use redstart_bgp::{
    net::{Place, Range, RangeId},
    session::DownReason,
    time::Instant,
    types::Prefix,
};
use tracing::info;

use super::seldom::Seldom;
use crate::{
    compile::{self, DesiredState, PeerName, Remote},
    object::ObjectRef,
};

/// What makes a neighbour a member of a range.
pub(super) struct Membership {
    /// Its place there: given back when the neighbour goes.
    place: Place,
    /// Whether listeners, BFD and originations know of it.
    pub(super) is_introduced: bool,
    /// Whether it has had a session.
    pub(super) came_up: bool,
    /// How its last session, or attempt, ended.
    fault: bool,
}

impl Membership {
    pub(super) const fn new(place: Place) -> Self {
        Self {
            place,
            is_introduced: false,
            came_up: false,
            fault: false,
        }
    }

    /// A session is up.
    pub(super) const fn up(&mut self) {
        (self.came_up, self.fault) = (true, false);
    }

    /// A session, or an attempt, ended.
    pub(super) fn ended(&mut self, reason: &DownReason) {
        self.fault = reason.is_fault();
    }

    /// It leaves. The next connection of a host that had no session, or a faulty one, waits: the range
    /// keeps in mind what a neighbour that goes takes along.
    pub(super) fn leaves(&self) {
        if self.fault || !self.came_up {
            self.place.failed();
        }
    }
}

/// The ranges that are listened to.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    by_name: BTreeMap<PeerName, Range>,
    sources: BTreeMap<RangeId, ObjectRef>,
    last_id: u32,
    /// When attempts were logged that led to no session, by range.
    failures: BTreeMap<PeerName, Seldom>,
}

impl Ranges {
    /// Makes the ranges those of `desired`. One that stays keeps its number, and so its places.
    pub(super) fn apply(&mut self, desired: &DesiredState) {
        let mut before = std::mem::take(&mut self.by_name);
        self.sources.clear();
        self.failures
            .retain(|range, _| desired.peers.contains_key(range));
        for (name, spec) in desired.peers.iter() {
            let Remote::Range { prefix, limit } = spec.remote else {
                continue;
            };
            let id = before.remove(name).map_or_else(
                || {
                    self.last_id += 1;
                    RangeId(self.last_id)
                },
                |range| range.id,
            );
            let range = Range {
                id,
                prefix,
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
                password: password(spec),
                ttl: ttl(spec),
                interface: spec.bind_interface.clone(),
            };
            self.sources.insert(id, spec.source.clone());
            self.by_name.insert(name.clone(), range);
        }
    }

    /// Somebody from a range had no session.
    pub(super) fn no_session(
        &mut self,
        now: Instant,
        (range, name): (&PeerName, &PeerName),
        remote: SocketAddr,
        reason: &DownReason,
    ) {
        let seldom = self.failures.entry(range.clone()).or_default();
        if let Some(unlogged) = seldom.turn(now) {
            info!(peer = %name, %remote, %range, unlogged, reason = reason.id(), "no session with a host of a listen range: {reason}");
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerName, &Range)> {
        self.by_name.iter()
    }

    pub(super) fn get(&self, name: &PeerName) -> Option<&Range> {
        self.by_name.get(name)
    }

    /// The object that a range comes from.
    pub(super) fn source(&self, id: RangeId) -> Option<ObjectRef> {
        self.sources.get(&id).cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn name(&self, id: RangeId) -> Option<&PeerName> {
        let mut ranges = self.by_name.iter();
        ranges
            .find(|(_, range)| range.id == id)
            .map(|(name, _)| name)
    }
}

/// The TCP MD5 key, as the engine takes it.
pub(super) fn password(spec: &compile::Peer) -> Option<redstart_bgp::net::Secret> {
    let password = spec.password.as_ref();
    password.map(|p| p.0.as_bytes().to_vec().into())
}

/// How far away the neighbour may be, as the engine takes it.
pub(super) const fn ttl(spec: &compile::Peer) -> redstart_bgp::net::Ttl {
    match spec.ttl {
        compile::Ttl::Hops(hops) => redstart_bgp::net::Ttl::Hops(hops),
        compile::Ttl::Security(hops) => redstart_bgp::net::Ttl::Security(hops),
    }
}

/// The name of one of several neighbours that a configured peer stands for: stable, and no other's.
pub(super) fn member_name(configured: &PeerName, remote: SocketAddr) -> PeerName {
    let scope = match remote {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => format!("%{}", addr.scope_id()),
        _ => String::new(),
    };
    PeerName(format!("{configured}-{}{scope}", remote.ip()))
}

/// What a member at `remote` is, if `desired` has a place for it.
pub(super) fn member(
    desired: &DesiredState,
    range: &PeerName,
    remote: SocketAddr,
) -> Option<compile::Peer> {
    let spec = desired.peers.get(range)?;
    let Remote::Range { prefix, .. } = spec.remote else {
        return None;
    };
    let welcome = prefix.contains(remote.ip())
        && is_nearest(desired, prefix, remote.ip())
        && !desired.peers.contains_key(&member_name(range, remote));
    welcome.then(|| compile::Peer {
        remote: Remote::Address(remote),
        passive: true,
        ..compile::Peer::clone(spec)
    })
}

/// Whether nothing in `desired` says more about `addr` than a range does.
fn is_nearest(desired: &DesiredState, range: Prefix, addr: IpAddr) -> bool {
    desired.peers.values().all(|other| match &other.remote {
        Remote::Address(other) => other.ip() != addr,
        Remote::Range { prefix, .. } => !prefix.contains(addr) || prefix.len() <= range.len(),
        Remote::Interface { .. } | Remote::DefaultGateway { .. } => true,
    })
}
