//! OPEN: what we offer, what we accept, and what follows for the session.
//!
//! RFC 4271 section 6.2 (checks), RFC 5492 (capabilities), RFC 6793 (four-octet AS numbers), RFC 6286
//! (BGP Identifiers), RFC 4760 (families), RFC 4724 (graceful restart), RFC 9494
//! (long-lived graceful restart), RFC 7313, RFC 7911 (several paths), RFC 8654, RFC 8950, RFC 9234 (roles).
//! What we offer is in `offer`.

use core::{fmt, time::Duration};
use std::net::SocketAddr;

use crate::{
    types::{Asn, Family, FamilySet, Role, RouterId},
    wire::{
        AddPathMode, Capability, Codec, ErrorCode, GracefulRestart, LongLivedFamily,
        LongLivedGracefulRestart, Notification, Open, OpenSubcode,
    },
};

use super::{
    config::{PeerConfig, RemoteAs},
    reason::DownReason,
};

/// What the two OPENs agree on: fixed for the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// How messages look.
    pub codec: Codec,
    /// Our end of the TCP connection.
    pub local_addr: SocketAddr,
    /// The neighbour's end.
    pub remote_addr: SocketAddr,
    /// The AS number that we showed.
    pub local_as: Asn,
    /// The neighbour's AS number.
    pub remote_as: Asn,
    /// Our BGP Identifier.
    pub local_router_id: RouterId,
    /// The neighbour's BGP Identifier.
    pub remote_router_id: RouterId,
    /// The smaller of the two hold times. Zero: the session never expires.
    pub hold_time: Duration,
    /// The hold times that were offered, in seconds: ours and the neighbour's.
    pub offered_hold_times: [u16; 2],
    /// A third of the hold time (RFC 4271 section 10), before jitter.
    pub keepalive: Duration,
    /// The families that both offered.
    pub families: FamilySet,
    /// The neighbour understands ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// The neighbour's Graceful Restart capability, if we offered ours too.
    pub graceful_restart: Option<GracefulRestart>,
    /// Both sides set the N bit (RFC 8538).
    pub graceful_notification: bool,
    /// The neighbour's Long-Lived Graceful Restart capability, if we offered ours too and both offered
    /// graceful restart: the common families for which it has a stale time (RFC 9494).
    pub long_lived: Option<LongLivedGracefulRestart>,
    /// Both mark the beginning and end of a refresh (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// Families whose routes may come in several paths, with path identifiers (RFC 7911).
    pub add_path_receive: FamilySet,
    /// Families whose routes we may send in several paths, with path identifiers (RFC 7911).
    pub add_path_send: FamilySet,
    /// Our role, if one is configured and the session is external (RFC 9234). The rules for the
    /// Only to Customer attribute apply whether or not the neighbour announced its own.
    pub role: Option<Role>,
    /// What we offered.
    pub local_capabilities: Vec<Capability>,
    /// What the neighbour offered.
    pub remote_capabilities: Vec<Capability>,
}

impl Negotiated {
    /// The two OPENs: ours and the neighbour's, as far as they had a meaning.
    #[must_use]
    pub fn opens(&self) -> [Open; 2] {
        let [local, remote] = self.offered_hold_times;
        let open = |asn, router_id, hold_time, capabilities: &[Capability]| Open {
            version: 4,
            asn,
            hold_time,
            router_id,
            capabilities: capabilities.to_vec(),
        };
        let (us, them) = (self.local_router_id, self.remote_router_id);
        [
            open(self.local_as, us, local, &self.local_capabilities),
            open(self.remote_as, them, remote, &self.remote_capabilities),
        ]
    }

    /// Whether the session is external (between ASes).
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.codec.ebgp
    }

    /// What the neighbour is to us, if we have a role: the counterpart of ours. It announced the
    /// same, or nothing.
    #[must_use]
    pub fn remote_role(&self) -> Option<Role> {
        self.role.map(Role::counterpart)
    }

    /// How long routes of a family may be stale beyond the restart time (RFC 9494 section 4.2).
    #[must_use]
    pub fn long_lived_stale_time(&self, family: Family) -> Option<Duration> {
        let restart = self.long_lived.as_ref()?;
        let of_family = |f: &&LongLivedFamily| Family::from_afi_safi(f.afi, f.safi) == Some(family);
        let seconds = restart.families.iter().find(of_family)?.stale_time;
        Some(Duration::from_secs(seconds.into()))
    }

    /// The families whose routes stay for the neighbour's restart time when the session ends for
    /// `reason`: those that its Graceful Restart capability lists (RFC 4724 section 4.2), and those
    /// that it wants to be kept for long (RFC 9494 section 4.2).
    #[must_use]
    pub fn retained(&self, reason: &DownReason) -> FamilySet {
        let Some(gr) = &self.graceful_restart else {
            return FamilySet::EMPTY;
        };
        if !reason.retains_routes(self.graceful_notification) {
            return FamilySet::EMPTY;
        }
        let long_lived = self.long_lived.iter().flat_map(|gr| &gr.families);
        let listed = gr.families.iter().map(|f| (f.afi, f.safi));
        listed
            .chain(long_lived.map(|f| (f.afi, f.safi)))
            .filter_map(|(afi, safi)| Family::from_afi_safi(afi, safi))
            .collect::<FamilySet>()
            .intersection(self.families)
    }
}

/// Why the neighbour's OPEN is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenRefusal {
    /// Another AS than configured.
    BadPeerAs {
        /// The configured one.
        expected: RemoteAs,
        /// The neighbour's.
        got: Asn,
    },
    /// The BGP Identifier is the same as ours, within one AS.
    BadBgpIdentifier(RouterId),
    /// The neighbour offers none of our families.
    NoCommonFamily(FamilySet),
    /// The roles of the two ASes do not fit together (RFC 9234 section 4.2).
    RoleMismatch {
        /// Ours.
        local: Role,
        /// The number of the neighbour's. `None`: it did not say, though it has to, or it said
        /// two things.
        remote: Option<u8>,
    },
}

impl OpenRefusal {
    /// The stable identifier.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::BadPeerAs { .. } => "bad-peer-as",
            Self::BadBgpIdentifier(_) => "bad-bgp-identifier",
            Self::NoCommonFamily(_) => "no-common-family",
            Self::RoleMismatch { .. } => "role-mismatch",
        }
    }

    /// What the neighbour is told.
    #[must_use]
    pub fn notification(&self) -> Notification {
        let open = ErrorCode::Open;
        match self {
            Self::BadPeerAs { .. } => Notification::new(open(OpenSubcode::BadPeerAs)),
            Self::BadBgpIdentifier(_) => Notification::new(open(OpenSubcode::BadBgpIdentifier)),
            Self::RoleMismatch { .. } => Notification::new(open(OpenSubcode::RoleMismatch)),
            // "The Data field in the NOTIFICATION message MUST list the set of capabilities that
            // causes the speaker to send the message" (RFC 5492 section 5), encoded as in the OPEN.
            Self::NoCommonFamily(ours) => {
                let mut data = Vec::new();
                for family in ours.iter() {
                    let [hi, lo] = family.afi().to_be_bytes();
                    data.extend_from_slice(&[1, 4, hi, lo, 0, family.safi()]);
                }
                Notification::with_data(open(OpenSubcode::UnsupportedCapability), &data)
            }
        }
    }
}

impl fmt::Display for OpenRefusal {
    /// The details, without the identifier.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPeerAs { expected, got } => write!(f, "expected AS {expected}, got AS {got}"),
            Self::BadBgpIdentifier(id) => write!(f, "{id} is ours"),
            Self::NoCommonFamily(ours) => {
                f.write_str("the neighbour offers none of")?;
                ours.iter().try_for_each(|family| write!(f, " {family}"))
            }
            Self::RoleMismatch { local, remote } => {
                write!(f, "as {local} we need a {}, ", local.counterpart())?;
                match remote.map(|code| (Role::from_code(code), code)) {
                    None => f.write_str("the neighbour has no definite role"),
                    Some((Some(role), _)) => write!(f, "the neighbour is a {role}"),
                    Some((None, code)) => write!(f, "the neighbour has the unknown role {code}"),
                }
            }
        }
    }
}

/// Checks the neighbour's OPEN against the configuration and works out the session. What the message
/// alone can show (version, zero identifier, hold time of one second) the codec has checked.
pub(super) fn negotiate(
    config: &PeerConfig,
    ours: &Open,
    theirs: Open,
    (local_addr, remote_addr): (SocketAddr, SocketAddr),
) -> Result<Negotiated, OpenRefusal> {
    check(config, &theirs)?;
    let families = common_families(config.families, ours, &theirs);
    if families.is_empty() {
        return Err(OpenRefusal::NoCommonFamily(config.families));
    }
    let hold_time = match (ours.hold_time, theirs.hold_time) {
        (0, _) | (_, 0) => 0,
        (a, b) => a.min(b),
    };
    let both = |wanted: fn(&Capability) -> bool| {
        ours.capabilities.iter().any(wanted) && theirs.capabilities.iter().any(wanted)
    };
    let (we, they) = (add_path(&ours.capabilities), add_path(&theirs.capabilities));
    let codec = Codec {
        four_octet_as: both(|c| matches!(c, Capability::FourOctetAs(_))),
        ebgp: theirs.asn != config.local_as,
        extended_messages: both(|c| matches!(c, Capability::ExtendedMessage)),
        families,
        extended_next_hop: if both(has_extended_next_hop) {
            families.intersection(FamilySet::from_iter([Family::Ipv4Unicast]))
        } else {
            FamilySet::EMPTY
        },
        add_path_receive: we.receive.intersection(they.send).intersection(families),
        add_path_send: we.send.intersection(they.receive).intersection(families),
    };
    let (our_gr, their_gr) = (restart_of(ours), restart_of(&theirs));
    let hold = Duration::from_secs(u64::from(hold_time));
    let route_refresh = both(|c| matches!(c, Capability::RouteRefresh));
    Ok(Negotiated {
        codec,
        local_addr,
        remote_addr,
        local_as: config.local_as,
        remote_as: theirs.asn,
        local_router_id: config.router_id,
        remote_router_id: theirs.router_id,
        hold_time: hold,
        offered_hold_times: [ours.hold_time, theirs.hold_time],
        keepalive: hold / 3,
        families,
        route_refresh,
        enhanced_route_refresh: both(|c| matches!(c, Capability::EnhancedRouteRefresh)),
        add_path_receive: codec.add_path_receive,
        add_path_send: codec.add_path_send,
        role: config.role_towards(theirs.asn),
        graceful_restart: our_gr.and(their_gr).cloned(),
        long_lived: long_lived(ours, &theirs, families),
        graceful_notification: our_gr.is_some_and(|gr| gr.notification)
            && their_gr.is_some_and(|gr| gr.notification),
        local_capabilities: ours.capabilities.clone(),
        remote_capabilities: theirs.capabilities,
    })
}

fn check(config: &PeerConfig, theirs: &Open) -> Result<(), OpenRefusal> {
    if !config.remote_as.accepts(config.local_as, theirs.asn) {
        return Err(OpenRefusal::BadPeerAs {
            expected: config.remote_as,
            got: theirs.asn,
        });
    }
    // RFC 6286 section 2.2: within an AS the identifier must not be that of the local speaker.
    if theirs.asn == config.local_as && theirs.router_id == config.router_id {
        return Err(OpenRefusal::BadBgpIdentifier(theirs.router_id));
    }
    check_role(config, theirs)
}

/// RFC 9234 section 4.2. "If the BGP Role Capability is advertised, and one is also received from the
/// peer, the Roles MUST correspond to the relationships" of table 2, else the connection is rejected;
/// "if multiple BGP Role Capabilities are received and not all of them have the same value, then the
/// BGP speaker MUST reject the connection".
fn check_role(config: &PeerConfig, theirs: &Open) -> Result<(), OpenRefusal> {
    let Some(local) = config.role_towards(theirs.asn) else {
        return Ok(());
    };
    let mut announced = theirs.capabilities.iter().filter_map(|c| match c {
        Capability::Role(code) => Some(*code),
        _ => None,
    });
    let refused = |remote| Err(OpenRefusal::RoleMismatch { local, remote });
    match announced.next() {
        None if config.strict_role => refused(None),
        None => Ok(()),
        Some(first) if announced.any(|other| other != first) => refused(None),
        Some(first) if Role::from_code(first) != Some(local.counterpart()) => refused(Some(first)),
        Some(_) => Ok(()),
    }
}

/// The families in which a speaker takes and gives several paths.
struct AddPath {
    receive: FamilySet,
    send: FamilySet,
}

fn add_path(capabilities: &[Capability]) -> AddPath {
    let mut sets = AddPath {
        receive: FamilySet::EMPTY,
        send: FamilySet::EMPTY,
    };
    let lists = capabilities.iter().filter_map(|c| match c {
        Capability::AddPath(list) => Some(list),
        _ => None,
    });
    for (afi, safi, mode) in lists.flatten() {
        let Some(family) = Family::from_afi_safi(*afi, *safi) else {
            continue;
        };
        if matches!(mode, AddPathMode::Receive | AddPathMode::Both) {
            sets.receive.insert(family);
        }
        if matches!(mode, AddPathMode::Send | AddPathMode::Both) {
            sets.send.insert(family);
        }
    }
    sets
}

/// A long-lived capability without a Graceful Restart capability beside it does not count (RFC 9494
/// section 4.5).
fn long_lived(ours: &Open, theirs: &Open, families: FamilySet) -> Option<LongLivedGracefulRestart> {
    restart_of(ours).and(restart_of(theirs))?;
    let of = |open: &Open| {
        open.capabilities.iter().find_map(|c| match c {
            Capability::LongLivedGracefulRestart(gr) => Some(gr.clone()),
            _ => None,
        })
    };
    let (_, mut remote) = of(ours).zip(of(theirs))?;
    remote.families.retain(|f| {
        let family = Family::from_afi_safi(f.afi, f.safi);
        f.stale_time > 0 && family.is_some_and(|family| families.contains(family))
    });
    Some(remote)
}

/// A speaker that offers no Multiprotocol capability speaks IPv4 unicast alone (RFC 4760 section 8).
fn common_families(configured: FamilySet, ours: &Open, theirs: &Open) -> FamilySet {
    configured
        .intersection(offered_families(ours))
        .intersection(offered_families(theirs))
}

fn offered_families(open: &Open) -> FamilySet {
    let mut offered = open
        .capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::Multiprotocol { afi, safi } => Some(Family::from_afi_safi(*afi, *safi)),
            _ => None,
        })
        .peekable();
    if offered.peek().is_none() {
        FamilySet::from_iter([Family::Ipv4Unicast])
    } else {
        offered.flatten().collect()
    }
}

fn has_extended_next_hop(capability: &Capability) -> bool {
    matches!(capability, Capability::ExtendedNextHop(list) if list.contains(&(1, 1, 2)))
}

/// "If more than one instance of the Graceful Restart Capability is carried in the capability
/// advertisement, the receiver of the advertisement MUST ignore all but the last instance" (RFC 4724
/// section 3).
fn restart_of(open: &Open) -> Option<&GracefulRestart> {
    open.capabilities.iter().rev().find_map(|c| match c {
        Capability::GracefulRestart(gr) => Some(gr),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
