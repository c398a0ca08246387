//! From the words of the desired state to those of the engine and of the RIB. Pure.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU32};

use redstart_bgp::{
    session::{GracefulRestartConfig, Negotiated, PeerConfig, PeerId, RemoteAs},
    types::{Family, FamilySet, NextHop, Prefix},
};
use redstart_rib::{
    Advertise, ExportPolicy, ImportPolicy, NextHopSelf, OriginSource, Origination, PeerInfo,
    PeerSelector, SessionKind, fib::FibConfig,
};

use crate::{
    compile::{self, Import, NodeIdentity, PeerName, PeerRole},
    object::ObjectRef,
};

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
    config
}

/// What the RIB must know of a session that is up.
pub(super) fn peer_info(
    peer: &compile::Peer,
    node: &NodeIdentity,
    negotiated: &Negotiated,
    interface: Option<u32>,
) -> PeerInfo {
    PeerInfo {
        kind: if negotiated.is_external() {
            SessionKind::Ebgp
        } else {
            SessionKind::Ibgp
        },
        local_as: negotiated.local_as,
        remote_as: negotiated.remote_as,
        router_id: negotiated.remote_router_id,
        remote_addr: negotiated.remote_addr.ip(),
        local_router_id: negotiated.local_router_id,
        next_hop_self: next_hop_self(node, negotiated.local_addr.ip()),
        families: negotiated.families,
        interface,
        enforce_first_as: true,
        import: import(&peer.import),
        export: ExportPolicy::default(),
    }
}

/// Our end of the session for its own family; the node's address for the other one.
fn next_hop_self(node: &NodeIdentity, local: IpAddr) -> NextHopSelf {
    let mut next_hops = NextHopSelf {
        v4: node.ipv4.map(NextHop::V4),
        v6: node.ipv6.map(NextHop::V6),
    };
    match local {
        IpAddr::V4(addr) => next_hops.v4 = Some(NextHop::V4(addr)),
        IpAddr::V6(addr) if !addr.is_unicast_link_local() => next_hops.v6 = Some(NextHop::V6(addr)),
        IpAddr::V6(_) => {}
    }
    next_hops
}

/// What to take from a neighbour.
pub(super) fn import(import: &Import) -> ImportPolicy {
    match import {
        Import::Exactly(prefixes) => ImportPolicy::Exactly(prefixes.clone()),
        Import::AllBut {
            refuse,
            default_route,
        } => ImportPolicy::AllBut {
            refuse: refuse.clone(),
            default_route: *default_route,
        },
    }
}

/// Routes of our own, with neighbours by number. A name without a neighbour is left out: it is one
/// that could not be set up.
pub(super) fn originations(
    wanted: &BTreeMap<Prefix, compile::Origination>,
    ids: &BTreeMap<PeerName, PeerId>,
) -> BTreeMap<Prefix, Origination> {
    let advertise = |a: &compile::Advertise| Advertise {
        source: source(&a.source),
        to: PeerSelector::Peers(
            a.peers
                .iter()
                .filter_map(|name| ids.get(name).copied())
                .collect(),
        ),
        communities: a.communities.clone(),
        large_communities: a.large_communities.clone(),
        local_pref: a.local_pref,
        med: a.med,
        prepend: a.prepend,
    };
    let origination = |o: &compile::Origination| Origination {
        source: source(&o.object),
        advertise: o.advertise.iter().map(advertise).collect(),
        blackhole: o.blackhole,
    };
    wanted
        .iter()
        .map(|(prefix, o)| (*prefix, origination(o)))
        .collect()
}

fn source(object: &ObjectRef) -> OriginSource {
    OriginSource {
        kind: object.kind.clone(),
        name: object.name.clone(),
    }
}

/// How our kernel routes are marked. `None` where the metric is 0, which the schema refuses.
pub(super) fn fib(kernel: &compile::Kernel) -> Option<FibConfig> {
    Some(FibConfig {
        table: kernel.table,
        protocol: kernel.protocol,
        metric: NonZeroU32::new(kernel.metric)?,
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

/// Families as text.
pub(super) fn families(set: FamilySet) -> Vec<String> {
    set.iter().map(|f: Family| f.to_string()).collect()
}

/// Whether going from `old` to `new` is a change of who the neighbour is: its session cannot be kept,
/// and neither can anything that was learned from it.
pub(super) fn is_another(old: &compile::Peer, new: &compile::Peer) -> bool {
    old.remote != new.remote || old.role != new.role
}
