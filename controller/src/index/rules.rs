//! The parts of a `BGPPeer` that bend the protocol's rules, parsed.

use std::{net::Ipv4Addr, time::Duration};

use redstart_bgp::types::Role;
use redstart_rib::{NextHopRule, PeerRules, PrefixLimit};

use super::{observed::Findings, values::range};
use crate::{
    api::{BGPPeerSpec, MaxPrefixesSpec, NextHopSpec, RoleSpec},
    diagnostic::Reason,
};

pub(super) fn parse(spec: &BGPPeerSpec, findings: &mut Findings) -> PeerRules {
    range(
        "spec.import.allowOwnAS",
        &spec.import.allow_own_as,
        0..=10,
        findings,
    );
    if let Some(most) = spec.add_path.max_paths {
        range("spec.addPath.maxPaths", &most, 1..=u8::MAX, findings);
    }
    PeerRules {
        own_as_allowed: spec.import.allow_own_as,
        as_sets: spec.import.accept_as_sets,
        remove_med: spec.import.remove_med,
        remote_next_hops: spec.import.accept_remote_next_hops,
        ignore_graceful_shutdown: spec.import.ignore_graceful_shutdown,
        // Not for an object to say: a session is about to be shut down when the node is drained.
        graceful_shutdown: false,
        aigp: spec.aigp,
        route_server_client: spec.export.route_server_client
            || spec.role == Some(RoleSpec::RouteServer),
        client: spec.route_reflector.client,
        cluster_id: cluster_id(spec, findings),
        next_hop: match spec.export.next_hop {
            NextHopSpec::Standard => NextHopRule::Standard,
            NextHopSpec::Own => NextHopRule::Own,
            NextHopSpec::Unchanged => NextHopRule::Unchanged,
            NextHopSpec::ThirdParty => NextHopRule::ThirdParty,
        },
        peer_as_allowed: spec.export.allow_peer_as,
        remove_private_as: spec.export.remove_private_as,
        local_as_received: !spec.local_asn_options.no_prepend,
        own_as_sent: !spec.local_asn_options.replace_as,
        max_paths_sent: spec.add_path.max_paths,
        limits: limits(&spec.max_prefixes, findings),
    }
}

fn cluster_id(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<u32> {
    let text = spec.route_reflector.cluster_id.as_ref()?;
    let id = text
        .parse()
        .map(Ipv4Addr::to_bits)
        .map_err(|_| format!("{text:?} does not look like an IPv4 address"));
    findings.take("spec.routeReflector.clusterID", Reason::InvalidAddress, id)
}

fn limits(spec: &MaxPrefixesSpec, findings: &mut Findings) -> [Option<PrefixLimit>; 2] {
    let percent = spec.warning_percent;
    range(
        "spec.maxPrefixes.warningPercent",
        &percent,
        1..=100,
        findings,
    );
    [spec.ipv4, spec.ipv6].map(|max| {
        (max > 0).then_some(PrefixLimit {
            max,
            warn_percent: percent,
        })
    })
}

pub(super) fn limit_restart(spec: &MaxPrefixesSpec, findings: &mut Findings) -> Option<Duration> {
    let seconds = spec.restart_seconds?;
    range(
        "spec.maxPrefixes.restartSeconds",
        &seconds,
        1..=u32::MAX,
        findings,
    );
    Some(Duration::from_secs(seconds.into()))
}

pub(super) fn role(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<Role> {
    if spec.strict_role && spec.role.is_none() {
        let message = "strictRole says nothing without a role";
        findings.error("spec.strictRole", Reason::Conflict, message);
    }
    spec.role.map(|role| match role {
        RoleSpec::Provider => Role::Provider,
        RoleSpec::Customer => Role::Customer,
        RoleSpec::Peer => Role::Peer,
        RoleSpec::RouteServer => Role::RouteServer,
        RoleSpec::RouteServerClient => Role::RouteServerClient,
    })
}
