//! What is configured for one neighbour, as far as the protocol is concerned, and which changes of it
//! a session survives.

use core::{fmt, time::Duration};

use super::connection::{SEND_HOLD, send_hold};
use crate::types::{Asn, Family, FamilySet, Role, RouterId};

/// Which AS number the neighbour must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAs {
    /// Exactly this one.
    Number(Asn),
    /// Ours.
    Internal,
    /// Any but ours.
    External,
}

impl RemoteAs {
    /// Whether `remote` is acceptable to a speaker of AS `local`.
    ///
    /// Zero (RFC 7607 section 2) and AS_TRANS as a real number (RFC 6793 section 9) never are.
    #[must_use]
    pub fn accepts(self, local: Asn, remote: Asn) -> bool {
        if remote.is_zero() || remote == Asn::TRANS {
            return false;
        }
        match self {
            Self::Number(asn) => remote == asn,
            Self::Internal => remote == local,
            Self::External => remote != local,
        }
    }
}

impl fmt::Display for RemoteAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(asn) => fmt::Display::fmt(asn, f),
            Self::Internal => f.write_str("internal"),
            Self::External => f.write_str("external"),
        }
    }
}

/// What we say in the Graceful Restart capability (RFC 4724 section 3, RFC 8538 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestartConfig {
    /// How long the neighbour shall keep our routes after the session is lost. Seconds, at most 4095.
    pub restart_time: u16,
    /// The R bit: we restarted, and do not wait for each other's End-of-RIB.
    pub restarting: bool,
    /// The F bits: the families whose forwarding state survived.
    pub forwarding_preserved: FamilySet,
    /// The N bit: sessions that end with a NOTIFICATION are covered as well (RFC 8538).
    pub notification: bool,
}

impl Default for GracefulRestartConfig {
    fn default() -> Self {
        Self {
            restart_time: 120,
            restarting: false,
            forwarding_preserved: FamilySet::EMPTY,
            notification: false,
        }
    }
}

/// What we say in the Long-Lived Graceful Restart capability (RFC 9494 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLivedConfig {
    /// How long the neighbour shall keep our routes beyond the restart time, as a last resort.
    /// Seconds, at most 2^24 - 1.
    pub stale_time: u32,
    /// The families that it is offered for.
    pub families: FamilySet,
}

/// Everything that the engine needs to know about one neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// The AS number that we show this neighbour.
    pub local_as: Asn,
    /// The AS number that the neighbour must show.
    pub remote_as: RemoteAs,
    /// Our BGP Identifier.
    pub router_id: RouterId,
    /// The hold time that we offer, in seconds: zero (no KEEPALIVEs at all) or at least three.
    pub hold_time: u16,
    /// ConnectRetryTime: the longest pause between two attempts to connect, and the longest time that
    /// one attempt may take. The first retries come sooner.
    pub connect_retry: Duration,
    /// IdleHoldTime: how long to rest after a protocol error. Doubles with each error in a row.
    pub idle_hold: Duration,
    /// Never dial (PassiveTcpEstablishment).
    pub passive: bool,
    /// The families to offer.
    pub families: FamilySet,
    /// The Graceful Restart capability to offer.
    pub graceful_restart: Option<GracefulRestartConfig>,
    /// The Long-Lived Graceful Restart capability to offer. Without graceful restart it is not
    /// offered: the neighbour would have to ignore it (RFC 9494 section 3.1).
    pub long_lived: Option<LongLivedConfig>,
    /// Families for which to offer to receive several paths for a prefix (RFC 7911).
    pub add_path_receive: FamilySet,
    /// Families for which to offer to send several paths for a prefix (RFC 7911).
    pub add_path_send: FamilySet,
    /// Our BGP Role towards an external neighbour (RFC 9234). Ignored on an internal session.
    pub role: Option<Role>,
    /// Insist that the neighbour announces its role too (RFC 9234 section 4.2, "strict mode").
    pub strict_role: bool,
    /// Offer to mark where a refresh of routes begins and ends (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// The upper bound on how long a refresh may take before routes that it did not repeat are given
    /// up (RFC 7313 section 4).
    pub refresh_time: Duration,
    /// DelayOpenTime: how long to wait for the neighbour's OPEN before sending ours (RFC 4271 section
    /// 8.1.1).
    pub delay_open: Option<Duration>,
    /// SendHoldTime: how long the neighbour may take nothing of what there is to send before the session
    /// ends (RFC 9687 section 4). `None`: the recommended time, the greater of 8 minutes and twice the
    /// hold time. Takes effect with the next session.
    pub send_hold: Option<Duration>,
    /// Offer messages of up to 65535 octets (RFC 8654).
    pub extended_messages: bool,
    /// Offer IPv4 routes with an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// CollisionDetectEstablishedState (RFC 4271 section 8.1.1): let the rule for collisions close an
    /// Established connection too. Off: the Established one wins.
    pub collision_established: bool,
}

impl PeerConfig {
    /// The longest that the SendHoldTime of a session can be: the hold time that both ends agree on is
    /// at most ours. With a hold time of zero no such timer runs, and this is the recommended time.
    #[must_use]
    pub fn longest_send_hold(&self) -> Duration {
        send_hold(Duration::from_secs(self.hold_time.into()), self.send_hold).unwrap_or(SEND_HOLD)
    }

    /// A neighbour with default timers and IPv4 unicast; of the extensions those that are good for
    /// everybody.
    #[must_use]
    pub fn new(local_as: Asn, remote_as: RemoteAs, router_id: RouterId) -> Self {
        Self {
            local_as,
            remote_as,
            router_id,
            hold_time: 90,
            connect_retry: Duration::from_secs(5),
            idle_hold: Duration::from_secs(1),
            passive: false,
            families: FamilySet::from_iter([Family::Ipv4Unicast]),
            graceful_restart: None,
            long_lived: None,
            add_path_receive: FamilySet::EMPTY,
            add_path_send: FamilySet::EMPTY,
            role: None,
            strict_role: false,
            enhanced_route_refresh: true,
            refresh_time: Duration::from_secs(600),
            delay_open: None,
            send_hold: None,
            extended_messages: true,
            extended_next_hop: false,
            collision_established: false,
        }
    }

    /// Whether the neighbour can only be one of our AS.
    pub(super) fn is_internal(&self) -> bool {
        match self.remote_as {
            RemoteAs::Internal => true,
            RemoteAs::External => false,
            RemoteAs::Number(remote) => remote == self.local_as,
        }
    }

    /// Our role towards a neighbour of AS `remote`: "the BGP Role characterizes the relationship
    /// between the eBGP speakers" (RFC 9234 section 4.1).
    pub(super) fn role_towards(&self, remote: Asn) -> Option<Role> {
        self.role.filter(|_| remote != self.local_as)
    }

    /// Whether there is no session with a neighbour that has no role.
    pub(super) fn insists_on_role(&self) -> bool {
        self.strict_role && self.role.is_some() && !self.is_internal()
    }

    /// What it takes to go from this configuration to `new`, given that a session with a neighbour of
    /// AS `remote` runs.
    ///
    /// "Nothing resets a session except an identity change": what OPEN fixed and the protocol cannot
    /// renegotiate. The rest waits for the next session or applies at once.
    #[must_use]
    pub fn change(&self, new: &Self, remote: Option<Asn>) -> Reconfigured {
        let remote_as_fits = match remote {
            Some(remote) => new.remote_as.accepts(new.local_as, remote),
            None => self.remote_as == new.remote_as,
        };
        let reset = if self.local_as != new.local_as {
            Some(ResetReason::LocalAs)
        } else if !remote_as_fits {
            Some(ResetReason::RemoteAs)
        } else if self.router_id != new.router_id {
            Some(ResetReason::RouterId)
        } else if self.families != new.families {
            Some(ResetReason::Families)
        } else if self.extended_next_hop != new.extended_next_hop {
            Some(ResetReason::ExtendedNextHop)
        } else if self.add_path_receive != new.add_path_receive
            || self.add_path_send != new.add_path_send
        {
            Some(ResetReason::AddPath)
        } else if self.role != new.role {
            Some(ResetReason::Role)
        } else {
            None
        };
        if let Some(reason) = reset {
            return Reconfigured::Reset(reason);
        }
        if self.hold_time != new.hold_time
            || self.graceful_restart != new.graceful_restart
            || self.long_lived != new.long_lived
            || self.strict_role != new.strict_role
            || self.enhanced_route_refresh != new.enhanced_route_refresh
            || self.delay_open != new.delay_open
            || self.send_hold != new.send_hold
            || self.extended_messages != new.extended_messages
        {
            return Reconfigured::NextSession;
        }
        Reconfigured::Live
    }
}

/// What became of a change of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconfigured {
    /// It is in force.
    Live,
    /// Part of it takes effect with the next session: OPEN fixed it for this one.
    NextSession,
    /// The session was closed and starts again.
    Reset(ResetReason),
}

/// The identity change that ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// Our AS number.
    LocalAs,
    /// The neighbour's AS number.
    RemoteAs,
    /// Our BGP Identifier.
    RouterId,
    /// The address families.
    Families,
    /// Whether IPv4 routes may have an IPv6 next hop.
    ExtendedNextHop,
    /// For which families several paths are sent or received.
    AddPath,
    /// Our BGP Role.
    Role,
    /// The address, port, source, password or TTL rule of the TCP connection.
    Transport,
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalAs => "local-as",
            Self::RemoteAs => "remote-as",
            Self::RouterId => "router-id",
            Self::Families => "families",
            Self::ExtendedNextHop => "extended-next-hop",
            Self::AddPath => "add-path",
            Self::Role => "role",
            Self::Transport => "transport",
        })
    }
}
