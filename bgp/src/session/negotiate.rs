//! OPEN: what we offer, what we accept, and what follows for the session.
//!
//! RFC 4271 section 6.2 (checks), RFC 5492 (capabilities), RFC 6793 (four-octet AS numbers), RFC 6286
//! (BGP Identifiers), RFC 4760 (families), RFC 4724 (graceful restart), RFC 8654, RFC 8950.

use core::{fmt, time::Duration};
use std::net::SocketAddr;

use crate::{
    types::{Asn, Family, FamilySet, RouterId},
    wire::{
        Capability, Codec, ErrorCode, GracefulRestart, GracefulRestartFamily, Notification, Open,
        OpenSubcode,
    },
};

use super::{
    config::{GracefulRestartConfig, PeerConfig, RemoteAs},
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
    /// What we offered.
    pub local_capabilities: Vec<Capability>,
    /// What the neighbour offered.
    pub remote_capabilities: Vec<Capability>,
}

impl Negotiated {
    /// Whether the session is external (between ASes).
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.codec.ebgp
    }

    /// The families whose routes stay for the neighbour's restart time when the session ends for
    /// `reason`: those that its Graceful Restart capability lists (RFC 4724 section 4.2).
    #[must_use]
    pub fn retained(&self, reason: &DownReason) -> FamilySet {
        match &self.graceful_restart {
            Some(gr) if reason.retains_routes(self.graceful_notification) => gr
                .families
                .iter()
                .filter_map(|f| Family::from_afi_safi(f.afi, f.safi))
                .collect::<FamilySet>()
                .intersection(self.families),
            _ => FamilySet::EMPTY,
        }
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
}

impl OpenRefusal {
    /// The stable identifier.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::BadPeerAs { .. } => "bad-peer-as",
            Self::BadBgpIdentifier(_) => "bad-bgp-identifier",
            Self::NoCommonFamily(_) => "no-common-family",
        }
    }

    /// What the neighbour is told.
    #[must_use]
    pub fn notification(&self) -> Notification {
        let open = ErrorCode::Open;
        match self {
            Self::BadPeerAs { .. } => Notification::new(open(OpenSubcode::BadPeerAs)),
            Self::BadBgpIdentifier(_) => Notification::new(open(OpenSubcode::BadBgpIdentifier)),
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
        }
    }
}

/// Our OPEN. `plain`: without capabilities, for a neighbour that refused them.
pub(super) fn local_open(config: &PeerConfig, plain: bool) -> Open {
    Open {
        version: 4,
        asn: config.local_as,
        hold_time: config.hold_time,
        router_id: config.router_id,
        capabilities: if plain {
            Vec::new()
        } else {
            local_capabilities(config)
        },
    }
}

fn local_capabilities(config: &PeerConfig) -> Vec<Capability> {
    let mut capabilities: Vec<_> = config
        .families
        .iter()
        .map(|family| Capability::Multiprotocol {
            afi: family.afi(),
            safi: family.safi(),
        })
        .collect();
    capabilities.push(Capability::RouteRefresh);
    if config.extended_next_hop && config.families.contains(Family::Ipv4Unicast) {
        capabilities.push(Capability::ExtendedNextHop(vec![(1, 1, 2)]));
    }
    if config.extended_messages {
        capabilities.push(Capability::ExtendedMessage);
    }
    if let Some(gr) = &config.graceful_restart {
        capabilities.push(Capability::GracefulRestart(local_restart(
            gr,
            config.families,
        )));
    }
    capabilities.push(Capability::FourOctetAs(config.local_as));
    capabilities
}

fn local_restart(gr: &GracefulRestartConfig, families: FamilySet) -> GracefulRestart {
    GracefulRestart {
        restarting: gr.restarting,
        notification: gr.notification,
        // Twelve bits on the wire.
        restart_time: gr.restart_time.min(4095),
        families: families
            .iter()
            .map(|family| GracefulRestartFamily {
                afi: family.afi(),
                safi: family.safi(),
                forwarding_preserved: gr.forwarding_preserved.contains(family),
            })
            .collect(),
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
        ..Codec::default()
    };
    let (our_gr, their_gr) = (restart_of(ours), restart_of(&theirs));
    let hold = Duration::from_secs(u64::from(hold_time));
    Ok(Negotiated {
        codec,
        local_addr,
        remote_addr,
        local_as: config.local_as,
        remote_as: theirs.asn,
        local_router_id: config.router_id,
        remote_router_id: theirs.router_id,
        hold_time: hold,
        keepalive: hold / 3,
        families,
        route_refresh: both(|c| matches!(c, Capability::RouteRefresh)),
        graceful_restart: our_gr.and(their_gr).cloned(),
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
    Ok(())
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

fn restart_of(open: &Open) -> Option<&GracefulRestart> {
    open.capabilities.iter().find_map(|c| match c {
        Capability::GracefulRestart(gr) => Some(gr),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Asn = Asn(65001);
    const THEM: Asn = Asn(4_200_000_001);

    fn id(n: u32) -> RouterId {
        RouterId::from_u32(n)
    }

    fn config(remote_as: RemoteAs) -> PeerConfig {
        let mut config = PeerConfig::new(US, remote_as, id(1));
        config.families = FamilySet::ALL;
        config
    }

    fn theirs() -> Open {
        let mut config = PeerConfig::new(THEM, RemoteAs::External, id(2));
        config.families = FamilySet::ALL;
        config.hold_time = 30;
        local_open(&config, false)
    }

    fn run(config: &PeerConfig, theirs: Open) -> Result<Negotiated, OpenRefusal> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 179));
        negotiate(config, &local_open(config, false), theirs, (addr, addr))
    }

    #[test]
    fn agreement() {
        let n = run(&config(RemoteAs::Number(THEM)), theirs()).unwrap();
        assert_eq!(n.families, FamilySet::ALL);
        assert_eq!(n.hold_time, Duration::from_secs(30));
        assert_eq!(n.keepalive, Duration::from_secs(10));
        assert!(n.codec.four_octet_as && n.codec.ebgp && n.route_refresh);
        assert!(!n.codec.extended_messages);
        assert_eq!(n.remote_as, THEM);
    }

    #[test]
    fn as_rules() {
        #[rustfmt::skip]
        let rows = [
            (RemoteAs::Number(THEM), THEM,       true),
            (RemoteAs::Number(THEM), Asn(65002), false),
            (RemoteAs::Number(Asn::TRANS), Asn::TRANS, false),
            (RemoteAs::Internal,     US,         true),
            (RemoteAs::Internal,     THEM,       false),
            (RemoteAs::External,     THEM,       true),
            (RemoteAs::External,     US,         false),
            (RemoteAs::External,     Asn(0),     false),
            (RemoteAs::External,     Asn::TRANS, false),
        ];
        for (expected, got, accepted) in rows {
            let mut open = theirs();
            open.asn = got;
            let result = run(&config(expected), open);
            let refusal = OpenRefusal::BadPeerAs { expected, got };
            assert_eq!(result.is_ok(), accepted, "{expected} {got}");
            if !accepted {
                assert_eq!(result, Err(refusal), "{expected} {got}");
            }
        }
    }

    #[test]
    fn identifiers_must_differ_within_an_as_only() {
        let mut open = theirs();
        open.router_id = id(1);
        assert!(run(&config(RemoteAs::External), open.clone()).is_ok());
        open.asn = US;
        assert_eq!(
            run(&config(RemoteAs::Internal), open.clone()),
            Err(OpenRefusal::BadBgpIdentifier(id(1)))
        );
    }

    #[test]
    fn the_smaller_hold_time_counts_and_zero_is_the_smallest() {
        for (offered, expected) in [(0, 0), (3, 3), (600, 90)] {
            let mut open = theirs();
            open.hold_time = offered;
            let n = run(&config(RemoteAs::External), open).unwrap();
            assert_eq!(n.hold_time.as_secs(), expected);
        }
    }

    #[test]
    fn a_neighbour_without_capabilities_speaks_ipv4_unicast() {
        let mut open = theirs();
        open.asn = Asn(65002);
        open.capabilities.clear();
        let n = run(&config(RemoteAs::External), open.clone()).unwrap();
        assert_eq!(n.families, FamilySet::from_iter([Family::Ipv4Unicast]));
        assert!(!n.codec.four_octet_as && !n.route_refresh);

        let mut v6_only = config(RemoteAs::External);
        v6_only.families = FamilySet::from_iter([Family::Ipv6Unicast]);
        let refusal = run(&v6_only, open).unwrap_err();
        assert_eq!(refusal.id(), "no-common-family");
        assert_eq!(refusal.notification().data.as_ref(), [1, 4, 0, 2, 0, 1]);
    }

    #[test]
    fn an_unknown_family_is_not_mistaken_for_none() {
        let mut open = theirs();
        open.capabilities = vec![Capability::Multiprotocol { afi: 25, safi: 70 }];
        assert_eq!(
            run(&config(RemoteAs::External), open),
            Err(OpenRefusal::NoCommonFamily(FamilySet::ALL))
        );
    }

    #[test]
    fn routes_are_retained_by_the_letter_of_graceful_restart() {
        use crate::session::{Disconnect, StopReason};
        use crate::wire::CeaseSubcode;
        let mut us = config(RemoteAs::External);
        us.graceful_restart = Some(GracefulRestartConfig {
            notification: true,
            ..GracefulRestartConfig::default()
        });
        let lost = DownReason::ConnectionLost(Disconnect::Reset);
        let received =
            |sub| DownReason::NotificationReceived(Notification::new(ErrorCode::Cease(sub)));
        let reset = received(CeaseSubcode::AdministrativeReset);
        let hard = received(CeaseSubcode::HardReset);

        assert_eq!(
            run(&us, theirs()).unwrap().retained(&lost),
            FamilySet::EMPTY
        );
        for notification in [false, true] {
            let mut open = theirs();
            open.capabilities
                .push(Capability::GracefulRestart(GracefulRestart {
                    restarting: false,
                    notification,
                    restart_time: 5000,
                    families: vec![GracefulRestartFamily {
                        afi: 1,
                        safi: 1,
                        forwarding_preserved: true,
                    }],
                }));
            let n = run(&us, open).unwrap();
            let v4 = FamilySet::from_iter([Family::Ipv4Unicast]);
            let by_notification = if notification { v4 } else { FamilySet::EMPTY };
            assert_eq!(n.retained(&lost), v4);
            assert_eq!(n.retained(&reset), by_notification);
            assert_eq!(n.retained(&DownReason::HoldTimerExpired), by_notification);
            assert_eq!(n.retained(&hard), FamilySet::EMPTY);
            let stop = DownReason::Stopped(StopReason::Shutdown(String::new()));
            assert_eq!(n.retained(&stop), FamilySet::EMPTY);
        }
    }
}
