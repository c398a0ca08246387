//! Our OPEN: what we offer, and what we leave out for a neighbour that refused it.
//!
//! RFC 5492 section 3 lets a speaker that is refused because of its capabilities try again without
//! them. Three kinds of refusal are told apart:
//!
//! - Unsupported Optional Parameter: the neighbour is older than capabilities. It gets none.
//! - Unsupported Capability that names some of ours: those are left out.
//! - Unsupported Capability that names nothing of ours: the neighbour misses something, or objects to
//!   something it does not name. It gets none.
//!
//! Should that be refused too, everything is offered again: the neighbour may have changed, and a
//! session that is poorer than it must be is no aim. So it is once a session is over: a neighbour that was
//! upgraded gets its capabilities when it comes back, and one that was not costs an attempt.

use crate::{
    types::{Family, FamilySet},
    wire::{
        AddPathMode, Capability, ErrorCode, GracefulRestart, GracefulRestartFamily,
        LongLivedFamily, LongLivedGracefulRestart, Notification, Open, OpenSubcode,
    },
};

use super::config::{GracefulRestartConfig, LongLivedConfig, PeerConfig};

/// Capability code 1 (RFC 4760 section 8).
const MULTIPROTOCOL: u8 = 1;
/// Capability code 9 (RFC 9234).
const ROLE: u8 = 9;

/// What the neighbour refused. The default: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Withheld {
    /// Everything.
    all: bool,
    families: FamilySet,
    codes: Vec<u8>,
}

impl Withheld {
    /// Learns from a NOTIFICATION. Other codes than the two that are about it change nothing.
    pub(super) fn learn(&mut self, config: &PeerConfig, refusal: &Notification) {
        let narrower = match refusal.code {
            ErrorCode::Open(OpenSubcode::UnsupportedOptionalParameter) => None,
            ErrorCode::Open(OpenSubcode::UnsupportedCapability) => {
                self.without(config, &refusal.data)
            }
            _ => return,
        };
        *self = narrower.unwrap_or_else(|| {
            // Without capabilities there is IPv4 unicast alone.
            let all = *self == Self::default() && config.families.contains(Family::Ipv4Unicast);
            Self {
                all: all && !config.insists_on_role(),
                ..Self::default()
            }
        });
    }

    /// With what `data` names left out too; `None` if we do not offer it or cannot do without.
    fn without(&self, config: &PeerConfig, data: &[u8]) -> Option<Self> {
        let mut less = self.clone();
        for (code, value) in listed(data) {
            match (code, value) {
                (MULTIPROTOCOL, &[afi_hi, afi_lo, _, safi]) => {
                    let afi = u16::from_be_bytes([afi_hi, afi_lo]);
                    less.families.extend(Family::from_afi_safi(afi, safi));
                }
                (MULTIPROTOCOL, _) => {}
                (ROLE, _) if config.insists_on_role() => {}
                (code, _) if !less.codes.contains(&code) => less.codes.push(code),
                _ => {}
            }
        }
        let (before, after) = (
            local_capabilities(config, self),
            local_capabilities(config, &less),
        );
        let some_family = config.families.iter().any(|f| !less.families.contains(f));
        (after.len() < before.len() && some_family).then_some(less)
    }
}

/// The capabilities in the data of an Unsupported Capability: "each such capability is encoded in the
/// same way as it would be encoded in the OPEN message" (RFC 5492 section 5). What is cut short ends
/// the list.
fn listed(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        let (&[code, len], rest) = data.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(len.into())?;
        data = rest;
        Some((code, value))
    })
}

/// Our OPEN.
pub(super) fn local_open(config: &PeerConfig, withheld: &Withheld) -> Open {
    Open {
        version: 4,
        asn: config.local_as,
        hold_time: config.hold_time,
        router_id: config.router_id,
        capabilities: local_capabilities(config, withheld),
    }
}

impl PeerConfig {
    /// The capabilities that our OPEN has, to a neighbour that has refused none.
    #[must_use]
    pub fn offered(&self) -> Vec<Capability> {
        local_capabilities(self, &Withheld::default())
    }
}

fn local_capabilities(config: &PeerConfig, withheld: &Withheld) -> Vec<Capability> {
    if withheld.all {
        return Vec::new();
    }
    let offered = |family: &Family| !withheld.families.contains(*family);
    let families: FamilySet = config.families.iter().filter(offered).collect();
    let mut capabilities: Vec<_> = families
        .iter()
        .map(|family| Capability::Multiprotocol {
            afi: family.afi(),
            safi: family.safi(),
        })
        .collect();
    capabilities.push(Capability::RouteRefresh);
    if config.extended_next_hop && families.contains(Family::Ipv4Unicast) {
        capabilities.push(Capability::ExtendedNextHop(vec![(1, 1, 2)]));
    }
    if config.extended_messages {
        capabilities.push(Capability::ExtendedMessage);
    }
    if let Some(role) = config.role.filter(|_| !config.is_internal()) {
        capabilities.push(Capability::Role(role.code()));
    }
    if let Some(gr) = &config.graceful_restart {
        capabilities.push(Capability::GracefulRestart(restart(gr, families)));
    }
    capabilities.push(Capability::FourOctetAs(config.local_as));
    capabilities.extend(add_path(config, families));
    if config.enhanced_route_refresh {
        capabilities.push(Capability::EnhancedRouteRefresh);
    }
    // RFC 9494 section 3.1: the long-lived one goes with the Graceful Restart capability, never
    // alone.
    if let (Some(long_lived), Some(gr)) = (&config.long_lived, &config.graceful_restart) {
        let long_lived = stale(long_lived, gr, families);
        capabilities.push(Capability::LongLivedGracefulRestart(long_lived));
    }
    capabilities.retain(|capability| !withheld.codes.contains(&capability.code()));
    capabilities
}

fn add_path(config: &PeerConfig, families: FamilySet) -> Option<Capability> {
    let mode = |family| {
        let receive = config.add_path_receive.contains(family);
        match (receive, config.add_path_send.contains(family)) {
            (true, true) => Some(AddPathMode::Both),
            (true, false) => Some(AddPathMode::Receive),
            (false, true) => Some(AddPathMode::Send),
            (false, false) => None,
        }
    };
    let list: Vec<_> = families
        .iter()
        .filter_map(|family| Some((family.afi(), family.safi(), mode(family)?)))
        .collect();
    (!list.is_empty()).then_some(Capability::AddPath(list))
}

fn restart(gr: &GracefulRestartConfig, families: FamilySet) -> GracefulRestart {
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

fn stale(
    long_lived: &LongLivedConfig,
    gr: &GracefulRestartConfig,
    families: FamilySet,
) -> LongLivedGracefulRestart {
    LongLivedGracefulRestart {
        families: families
            .intersection(long_lived.families)
            .iter()
            .map(|family| LongLivedFamily {
                afi: family.afi(),
                safi: family.safi(),
                forwarding_preserved: gr.forwarding_preserved.contains(family),
                // Twenty-four bits on the wire.
                stale_time: long_lived.stale_time.min(0x00ff_ffff),
            })
            .collect(),
    }
}
