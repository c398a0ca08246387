//! Which neighbours are watched by BFD, and what its word means for them (RFC 5882).
//!
//! A neighbour's session goes one hop where its BGP session does (`Ttl` of one, or a link-local
//! address), and several otherwise. That has to be the same at both ends, so it follows from the
//! objects alone, never from the links that happen to be there: the nodes of a mesh always watch each
//! other over several hops.
//!
//! Only a session that was Up and failed says something about the path: the BGP session ends at once
//! ("BFD Down", RFC 9384) and its routes go, graceful restart or not. A session that never came up, or
//! that the neighbour took down (AdminDown), says nothing. Where the BGP session is gone already and
//! routes are kept for a restarting neighbour, a failure is most likely the same restart, and nothing
//! follows; unless the neighbour's BFD goes on without its control plane (the C bit), for then it is
//! its forwarding that failed. RFC 5882 section 4.3 asks for the C bit of both ends. Ours is never set,
//! because this BFD ends with the speaker; but a speaker that is there to judge is not restarting.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU8, sync::Arc};

use redstart_bgp::{
    bfd::{Config, DownReason, Hops, SessionKey, State, Status},
    net::{Bfd, BfdSession, BfdView, Clock},
};
use tracing::{error, info, warn};

use crate::compile::{self, PeerName, Ttl};

/// A neighbour's path failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathFailure {
    /// Why BFD says so.
    pub(super) reason: DownReason,
    /// Whether the neighbour's BFD goes on without its control plane.
    pub(super) control_plane_independent: bool,
}

/// Which neighbours are watched.
pub(super) struct Watch {
    clock: Clock,
    seed: u64,
    /// The thread, once it was needed.
    bfd: Option<Bfd>,
    watched: BTreeMap<PeerName, Watched>,
    deaf: BTreeMap<SocketAddr, String>,
}

/// One that is.
struct Watched {
    key: SessionKey,
    /// As it was last looked at.
    state: State,
    failures: u64,
}

impl Watch {
    pub(super) const fn new(clock: Clock, seed: u64) -> Self {
        Self {
            clock,
            seed,
            bfd: None,
            watched: BTreeMap::new(),
            deaf: BTreeMap::new(),
        }
    }

    /// Watches those of `peers` that ask for it.
    pub(super) fn apply<'a>(
        &mut self,
        peers: impl Iterator<Item = (&'a PeerName, &'a compile::Peer)>,
    ) {
        let mut sessions = BTreeMap::new();
        let mut watched = BTreeMap::new();
        for (name, peer) in peers {
            let Some((key, session)) = session(peer) else {
                continue;
            };
            // Neighbours at one address share the session; what the first one asks for counts.
            sessions.entry(key).or_insert(session);
            let old = self.watched.remove(name).filter(|old| old.key == key);
            watched.insert(
                name.clone(),
                old.unwrap_or_else(|| self.watched_from_now(key)),
            );
        }
        self.watched = watched;
        if self.bfd.is_none() && !sessions.is_empty() {
            match Bfd::start(self.clock, self.seed) {
                Ok(bfd) => self.bfd = Some(bfd),
                Err(error) => error!(reason = "no-bfd", "no BFD: {error}"),
            }
        }
        if let Some(bfd) = &self.bfd {
            bfd.set(sessions);
        }
    }

    /// A failure before somebody watched is none of theirs.
    fn watched_from_now(&self, key: SessionKey) -> Watched {
        let failures = self.view().sessions.get(&key).map_or(0, |s| s.failures);
        Watched {
            key,
            state: State::Down,
            failures,
        }
    }

    pub(super) fn view(&self) -> Arc<BfdView> {
        self.bfd.as_ref().map(Bfd::view).unwrap_or_default()
    }

    /// The neighbours that are watched, each with its session.
    pub(super) fn watched(&self) -> impl Iterator<Item = (&PeerName, SessionKey)> {
        self.watched
            .iter()
            .map(|(name, watched)| (name, watched.key))
    }

    /// Waits until something changed.
    pub(super) async fn changed(&mut self) {
        match &mut self.bfd {
            Some(bfd) => bfd.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The neighbours whose path failed since the last time.
    pub(super) fn take_failures(&mut self) -> Vec<(PeerName, PathFailure)> {
        let view = self.view();
        if self.deaf != view.deaf {
            for (address, why) in &view.deaf {
                warn!(%address, reason = "bfd-cannot-listen", "BFD cannot listen: {why}");
            }
            self.deaf.clone_from(&view.deaf);
        }
        let mut failed = Vec::new();
        for (name, watched) in &mut self.watched {
            if let Some(status) = view.sessions.get(&watched.key)
                && let Some(failure) = watched.look(name, status)
            {
                failed.push((name.clone(), failure));
            }
        }
        failed
    }

    /// Tells the neighbours that no path fails now, but BFD ends.
    pub(super) async fn farewell(&mut self) {
        if let Some(bfd) = &mut self.bfd {
            bfd.farewell().await;
        }
    }
}

impl Watched {
    fn look(&mut self, name: &PeerName, status: &Status) -> Option<PathFailure> {
        if status.state != self.state {
            let was = std::mem::replace(&mut self.state, status.state);
            let reason = status.last_down.map(|(reason, _)| reason.id());
            info!(peer = %name, from = %was, to = %status.state, reason, "BFD state changed");
        }
        if std::mem::replace(&mut self.failures, status.failures) == status.failures {
            return None;
        }
        let (reason, control_plane_independent) = status.last_down?;
        Some(PathFailure {
            reason,
            control_plane_independent,
        })
    }
}

/// The BFD session that a neighbour asks for.
fn session(peer: &compile::Peer) -> Option<(SessionKey, BfdSession)> {
    let bfd = peer.bfd?;
    let remote = peer.remote.address()?;
    let interface = match remote {
        SocketAddr::V6(addr) if addr.ip().is_unicast_link_local() => Some(addr.scope_id()),
        _ => None,
    };
    let is_one_hop = interface.is_some() || matches!(peer.ttl, Ttl::Hops(1) | Ttl::Security(1));
    let hops = if is_one_hop {
        Hops::Single
    } else {
        Hops::Multi
    };
    let key = SessionKey {
        remote: remote.ip(),
        interface,
        hops,
    };
    let config = Config {
        desired_min_tx: bfd.transmit,
        required_min_rx: bfd.receive,
        detect_multiplier: NonZeroU8::new(bfd.multiplier)?,
        passive: bfd.passive,
        minimum_ttl: bfd.minimum_ttl,
    };
    let session = BfdSession {
        local: peer.local,
        config,
    };
    Some((key, session))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redstart_bgp::{bfd::Diagnostic, time::Instant};

    use super::*;
    use crate::speaker::tests::passive_router;

    fn peer(remote: &str, ttl: Ttl) -> compile::Peer {
        compile::Peer {
            ttl,
            bfd: Some(compile::Bfd {
                receive: Duration::from_millis(50),
                transmit: Duration::from_millis(60),
                multiplier: 5,
                passive: false,
                minimum_ttl: 200,
            }),
            ..passive_router(remote.parse().unwrap())
        }
    }

    #[test]
    fn the_hops_are_those_of_the_bgp_session() {
        let key = |remote, ttl| session(&peer(remote, ttl)).unwrap().0;
        let v4 = "192.0.2.1:179";
        for ttl in [Ttl::Hops(1), Ttl::Security(1)] {
            assert_eq!(key(v4, ttl).hops, Hops::Single);
        }
        for ttl in [Ttl::Hops(u8::MAX), Ttl::Security(2)] {
            assert_eq!(key(v4, ttl).hops, Hops::Multi);
        }
        let link_local = key("[fe80::1%7]:179", Ttl::Hops(u8::MAX));
        assert_eq!(
            (link_local.hops, link_local.interface),
            (Hops::Single, Some(7))
        );
        assert_eq!(key(v4, Ttl::Hops(1)).interface, None);
    }

    #[test]
    fn a_session_is_what_the_profile_says_and_there_is_none_without() {
        let (_, made) = session(&peer("192.0.2.1:179", Ttl::Hops(1))).unwrap();
        let config = made.config;
        assert_eq!(config.required_min_rx, Duration::from_millis(50));
        assert_eq!(config.desired_min_tx, Duration::from_millis(60));
        assert_eq!(config.detect_multiplier.get(), 5);
        assert_eq!((config.passive, config.minimum_ttl), (false, 200));
        assert_eq!(session(&passive_router(([192, 0, 2, 1], 179).into())), None);
    }

    fn status(state: State, failures: u64, last_down: Option<(DownReason, bool)>) -> Status {
        Status {
            state,
            remote_state: State::Down,
            diagnostic: Diagnostic::None,
            remote_diagnostic: Diagnostic::None,
            local_discriminator: 1,
            remote_discriminator: 0,
            transmit_interval: Duration::from_secs(1),
            detection_time: None,
            remote_control_plane_independent: false,
            last_down,
            since: Instant::ZERO,
            failures,
            sent: 0,
            received: 0,
        }
    }

    #[test]
    fn only_a_failure_is_one() {
        let name = PeerName("tor".to_owned());
        let mut watched = Watched {
            key: session(&peer("192.0.2.1:179", Ttl::Hops(1))).unwrap().0,
            state: State::Down,
            failures: 0,
        };
        let mut look = |state, failures, reason: Option<DownReason>| {
            let last_down = reason.map(|reason| (reason, failures == 2));
            watched.look(&name, &status(state, failures, last_down))
        };
        let expired = DownReason::DetectionTimeExpired;
        // It never came up; it came up; the neighbour's operator took it down.
        assert_eq!(look(State::Init, 0, None), None);
        assert_eq!(look(State::Down, 0, Some(expired)), None);
        assert_eq!(look(State::Up, 0, Some(expired)), None);
        let by_operator = DownReason::NeighborAdminDown;
        assert_eq!(look(State::Down, 0, Some(by_operator)), None);
        // It failed, and that is said once.
        let failure = |control_plane_independent| PathFailure {
            reason: expired,
            control_plane_independent,
        };
        assert_eq!(look(State::Down, 1, Some(expired)), Some(failure(false)));
        assert_eq!(look(State::Down, 1, Some(expired)), None);
        // It came up and failed before anybody looked.
        assert_eq!(look(State::Down, 2, Some(expired)), Some(failure(true)));
    }
}
