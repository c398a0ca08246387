//! Fields of a `BGPPeer` that would say nothing beside others that it has.
//!
//! Whoever writes a field means something by it. Where it cannot take effect, whatever node reads it,
//! the object is refused and says so; the CRD's rules say the same. Where that depends on the AS number
//! of the node, `compile` warns.

use super::observed::Findings;
use crate::{
    api::{AddressFamily, BGPPeerSpec, LocalAsnOptions, PeerAsn},
    diagnostic::Reason,
};

/// Names every such field.
pub(super) fn check(spec: &BGPPeerSpec, findings: &mut Findings) {
    for (field, unheard, message) in [by_themselves(spec), by_kind(spec)].concat() {
        if unheard {
            findings.error(field, Reason::Conflict, message);
        }
    }
}

type Row = (&'static str, bool, &'static str);

fn by_themselves(spec: &BGPPeerSpec) -> Vec<Row> {
    let limits = &spec.max_prefixes;
    let unlimited = limits.ipv4 == 0 && limits.ipv6 == 0;
    let no_ipv4 = !spec.families.is_empty() && !spec.families.contains(&AddressFamily::IPv4);
    vec![
        (
            "spec.localASNOptions",
            spec.local_asn.is_none() && spec.local_asn_options != LocalAsnOptions::default(),
            "localASNOptions say nothing without a localASN",
        ),
        (
            "spec.addPath.maxPaths",
            spec.add_path.max_paths.is_some() && !spec.add_path.send,
            "maxPaths says nothing where addPath.send is off",
        ),
        (
            "spec.maxPrefixes.restartSeconds",
            limits.restart_seconds.is_some() && unlimited,
            "restartSeconds says nothing without a limit",
        ),
        (
            "spec.extendedNextHop",
            spec.extended_next_hop == Some(true) && no_ipv4,
            "extendedNextHop is about IPv4 routes, and families has no IPv4",
        ),
        (
            "spec.port",
            spec.listen_range.is_some() && spec.port != BGPPeerSpec::default_port(),
            "port says nothing beside listenRange: nodes never dial such routers",
        ),
        (
            "spec.ebgpMultihop",
            spec.interface.is_some() && spec.ebgp_multihop.is_some(),
            "the router at the other end of an interface is one hop away",
        ),
    ]
}

/// What only an internal or only an external router makes something of.
fn by_kind(spec: &BGPPeerSpec) -> Vec<Row> {
    let is = |kind: &str| matches!(&spec.asn, PeerAsn::Relation(text) if text == kind);
    let (internal, external) = (is("Internal"), is("External"));
    vec![
        (
            "spec.routeReflector.client",
            external && spec.route_reflector.client,
            "only an internal router can be a client",
        ),
        (
            "spec.role",
            internal && spec.role.is_some(),
            "a role says nothing to an internal router",
        ),
        (
            "spec.export.removePrivateAS",
            internal && spec.export.remove_private_as,
            "private AS numbers are removed towards external routers only",
        ),
        (
            "spec.export.allowPeerAS",
            internal && spec.export.allow_peer_as,
            "its own AS in a path keeps no route from an internal router",
        ),
        (
            "spec.export.routeServerClient",
            internal && spec.export.route_server_client,
            "only an external router can be the client of a route server",
        ),
        (
            "spec.localASNOptions",
            internal
                && spec.local_asn.is_some()
                && spec.local_asn_options != LocalAsnOptions::default(),
            "localASNOptions say nothing to an internal router",
        ),
    ]
}
