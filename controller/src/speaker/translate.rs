//! From the words of the desired state to those of the engine and of the RIB. Pure.

use std::{num::NonZeroU32, sync::Arc};

use redstart_bgp::{
    net::{AoAlgorithm, AoKey},
    session::{GracefulRestartConfig, LongLivedConfig, Negotiated, PeerConfig, RemoteAs},
    types::{Family, FamilySet, Role},
    wire::Capability,
};
use redstart_rib::{
    ExportPolicy, ImportPolicy, PeerInfo, SessionKind, fib::FibConfig, policy::RouteSource,
};

use super::our_end::{OnLink, our_end};
use crate::compile::{self, Import, NodeIdentity, PeerRole};

/// What this process knows of the one before it (RFC 4724 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Restarted {
    /// The R bit: this start follows a stop within the restart time.
    pub(super) restarting: bool,
    /// The F bits: routes of the process before are still in the kernel.
    pub(super) forwarding: FamilySet,
}

/// The engine's configuration of a neighbour.
pub(super) fn session(
    peer: &compile::Peer,
    node: &NodeIdentity,
    restarted: Restarted,
) -> PeerConfig {
    let remote_as = match peer.remote_as {
        compile::RemoteAs::Number(asn) => RemoteAs::Number(asn),
        compile::RemoteAs::Internal => RemoteAs::Internal,
        compile::RemoteAs::External => RemoteAs::External,
    };
    let mut config = PeerConfig::new(peer.local_as, remote_as, node.router_id);
    config.hold_time = peer.hold_time;
    config.connect_retry = peer.connect_retry;
    config.passive = peer.passive;
    config.delay_open = peer.delay_open;
    config.send_hold = peer.send_hold;
    config.extended_next_hop = peer.extended_next_hop;
    config.families = peer.families;
    config.graceful_restart = peer
        .graceful_restart
        .map(|restart_time| GracefulRestartConfig {
            restart_time,
            restarting: restarted.restarting,
            // Our routes live in the kernel: they outlive this process.
            forwarding_preserved: restarted.forwarding.intersection(peer.families),
            notification: true,
        });
    config.long_lived = (peer.long_lived > 0).then_some(LongLivedConfig {
        stale_time: peer.long_lived,
        families: peer.families,
    });
    let families_if = |wanted| {
        if wanted {
            peer.families
        } else {
            FamilySet::EMPTY
        }
    };
    config.add_path_receive = families_if(peer.add_path.receive);
    config.add_path_send = families_if(peer.add_path.send);
    config.role = peer.bgp_role;
    config.strict_role = peer.strict_role;
    config
}

/// A key of the TCP Authentication Option, as the engine takes it.
pub(super) fn ao_key(key: &compile::AoKey) -> AoKey {
    AoKey {
        send_id: key.send_id,
        receive_id: key.receive_id,
        algorithm: match key.algorithm {
            compile::AoAlgorithm::HmacSha1 => AoAlgorithm::HmacSha1,
            compile::AoAlgorithm::AesCmac => AoAlgorithm::AesCmac,
        },
        secret: key.secret.0.as_bytes().to_vec().into(),
    }
}

/// What the RIB must know of a session that is up.
pub(super) fn peer_info(
    peer: &compile::Peer,
    node: &NodeIdentity,
    negotiated: &Negotiated,
    link: OnLink,
) -> PeerInfo {
    let extended_next_hop = negotiated.codec.extended_next_hop;
    let end = our_end(node, negotiated, link);
    let long_lived = |family: &Family| knows_long_lived(negotiated, *family);
    PeerInfo {
        name: peer.policy_name().into(),
        source: match peer.role {
            PeerRole::Mesh { .. } => RouteSource::Mesh,
            PeerRole::Router => RouteSource::Router,
        },
        kind: if negotiated.is_external() {
            SessionKind::Ebgp
        } else {
            SessionKind::Ibgp
        },
        local_as: negotiated.local_as,
        own_as: end.own_as,
        remote_as: negotiated.remote_as,
        router_id: negotiated.remote_router_id,
        remote_addr: negotiated.remote_addr.ip(),
        local_router_id: negotiated.local_router_id,
        next_hop_self: end.next_hop_self,
        families: negotiated.families,
        add_path_send: negotiated.add_path_send,
        long_lived: negotiated.families.iter().filter(long_lived).collect(),
        extended_next_hop: extended_next_hop.contains(Family::Ipv4Unicast),
        role: negotiated.role,
        interface: link.interface,
        subnet: end.subnet,
        // A route server does not put its AS into the path (RFC 7947 section 2.2.2.1).
        enforce_first_as: negotiated.role != Some(Role::RouteServerClient),
        import: import(&peer.import),
        export: export(peer),
        policies: peer.policies.clone(),
        rules: peer.rules,
    }
}

/// Whether the neighbour's Long-Lived Graceful Restart capability lists the family: with a stale time
/// or not, it knows what LLGR_STALE means (RFC 9494 section 4.3).
fn knows_long_lived(negotiated: &Negotiated, family: Family) -> bool {
    let listed = negotiated
        .remote_capabilities
        .iter()
        .filter_map(|c| match c {
            Capability::LongLivedGracefulRestart(restart) => Some(&restart.families),
            _ => None,
        });
    listed
        .flatten()
        .any(|f| Family::from_afi_safi(f.afi, f.safi) == Some(family))
}

/// What to give a neighbour, beyond what is advertised to it.
pub(super) fn export(peer: &compile::Peer) -> ExportPolicy {
    ExportPolicy {
        transit: peer.transit,
    }
}

/// What to take from a neighbour.
pub(super) fn import(import: &Import) -> ImportPolicy {
    match import {
        Import::Owner(node) => ImportPolicy::Owner(node.clone()),
        Import::AllBut {
            refuse,
            default_route,
        } => ImportPolicy::AllBut {
            refuse: Arc::clone(refuse),
            default_route: *default_route,
        },
    }
}

/// How our kernel routes are marked. `None` where the metric is 0, which the schema refuses.
pub(super) fn fib(kernel: &compile::Kernel) -> Option<FibConfig> {
    Some(FibConfig {
        table: kernel.table,
        protocol: kernel.protocol,
        metric: NonZeroU32::new(kernel.metric)?,
        nexthops: kernel.nexthops,
        ..FibConfig::default()
    })
}

/// `mesh` or `router`, as views and metrics say it.
pub(super) fn role(role: &PeerRole) -> &'static str {
    match role {
        PeerRole::Mesh { .. } => "mesh",
        PeerRole::Router => "router",
    }
}

/// Each that there is.
pub(super) const ROLES: [&str; 2] = ["mesh", "router"];

/// Families as text.
pub(super) fn families(set: FamilySet) -> Vec<String> {
    set.iter().map(|f: Family| f.to_string()).collect()
}

/// Whether going from `old` to `new` is a change of who the neighbour is: its session cannot be kept,
/// and neither can anything that was learned from it.
pub(super) fn is_another(old: &compile::Peer, new: &compile::Peer) -> bool {
    old.remote != new.remote || old.role != new.role
}

#[cfg(test)]
mod tests;
