//! The routers that `BGPPeer`s give this node.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use redstart_bgp::types::{Family, FamilySet, Prefix};
use redstart_rib::PeerPolicies;

use super::{
    Import, Peer, PeerName, PeerRole, Remote, RemoteAs, Scope, Ttl, identity::families, mesh,
    node_ref, password, session::SessionParameters,
};
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::{self, Kind, ObjectKey},
    object::ObjectRef,
};

impl Scope<'_> {
    /// Whether `address` is one that this node's object claims.
    pub(super) fn is_own_address(&self, address: IpAddr) -> bool {
        claims_address(self.own, address)
    }
}

/// Whether `address` is one that the object of `node` claims.
pub(super) fn claims_address(node: &index::Node, address: IpAddr) -> bool {
    node.addresses.contains(&address)
        || node.ipv4.is_some_and(|a| address == IpAddr::V4(a))
        || node.ipv6.is_some_and(|a| address == IpAddr::V6(a))
}

/// Adds an entry for each `BGPPeer` that selects this node. Where two want the same address, range or
/// interface, the mesh comes before `BGPPeer`s, and those go by age, then by name: who comes later takes
/// no session away.
pub(super) fn add_peers(
    scope: &Scope<'_>,
    peers: &mut BTreeMap<PeerName, Peer>,
    spare: &BTreeMap<PeerName, mesh::Session<'_>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let unneeded = spare
        .values()
        .map(|it| (Place::Address(it.remote), node_ref(&it.node.meta.name)));
    let mut taken: BTreeMap<Place, ObjectRef> = peers
        .values()
        .map(|p| (place(&p.remote), p.source.clone()))
        .chain(unneeded)
        .collect();
    let labels = &scope.own.meta.labels;
    let mut routers: Vec<_> = scope.objects.peers.values().collect();
    routers.sort_by_key(|router| router.meta.seniority());
    for router in routers {
        let selected = router
            .node_selector
            .as_ref()
            .is_none_or(|s| s.matches(labels));
        if !selected {
            continue;
        }
        let name = PeerName(router.meta.name.clone());
        let object = ObjectKey::cluster(Kind::BgpPeer, router.meta.name.as_str()).object_ref();
        let name_taken = peers.contains_key(&name) || spare.contains_key(&name);
        if let Err(diagnostic) = free(scope, router, &object, &taken, name_taken) {
            diagnostics.push(diagnostic);
            continue;
        }
        taken.insert(place(&router.remote), object.clone());
        if let Some(peer) = peer(scope, router, object, diagnostics) {
            peers.insert(name, peer);
        }
    }
}

/// What no two neighbours of a node may share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Address(IpAddr),
    Range(Prefix),
    Interface(String),
    DefaultGateway(Family),
}

impl Place {
    /// The field that says it, and what it says.
    pub(super) fn field(&self) -> (&'static str, String) {
        match self {
            Self::Address(address) => ("spec.address", format!("address {address}")),
            Self::Range(prefix) => ("spec.listenRange.cidr", format!("range {prefix}")),
            Self::Interface(name) => ("spec.interface", format!("interface {name}")),
            Self::DefaultGateway(family) => {
                ("spec.defaultGateway", format!("{family} default gateway"))
            }
        }
    }
}

pub(super) fn place(remote: &Remote) -> Place {
    match remote {
        Remote::Address(address) => Place::Address(address.ip()),
        Remote::Range { prefix, .. } => Place::Range(*prefix),
        Remote::Interface { name, .. } => Place::Interface(name.clone()),
        Remote::DefaultGateway { family, .. } => Place::DefaultGateway(*family),
    }
}

/// Whether place and name are free on this node.
fn free(
    scope: &Scope<'_>,
    router: &index::Peer,
    object: &ObjectRef,
    taken: &BTreeMap<Place, ObjectRef>,
    name_taken: bool,
) -> Result<(), Diagnostic> {
    let refuse = |field: &str, reason, message: String| {
        let message = format!("{message}; there is no session with it");
        Err(Diagnostic::error(object.clone(), field, reason, message))
    };
    if let Some(address) = router.remote.address().map(|a| a.ip())
        && scope.is_own_address(address)
    {
        let message = format!(
            "{address} is an address of Node/{} itself",
            scope.own.meta.name
        );
        return refuse("spec.address", Reason::OwnAddress, message);
    }
    let place = place(&router.remote);
    if let Some(other) = taken.get(&place) {
        let (field, what) = place.field();
        let message = format!(
            "on Node/{} {other} has the same {what} and comes first",
            scope.own.meta.name
        );
        return refuse(field, Reason::DuplicatePeerAddress, message);
    }
    if name_taken {
        let message = "the mesh has a neighbour of the same name".to_owned();
        return refuse("metadata.name", Reason::DuplicatePeerName, message);
    }
    Ok(())
}

fn peer(
    scope: &Scope<'_>,
    router: &index::Peer,
    object: ObjectRef,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Peer> {
    let families = router_families(scope, router, &object, diagnostics);
    let password = password::resolve(
        scope.objects,
        router.password.as_ref(),
        &object,
        "spec.passwordSecretRef",
        diagnostics,
    )
    .ok()?;
    let tcp_ao = password::keys(scope.objects, &router.tcp_ao, &object, diagnostics).ok()?;
    let session = SessionParameters::new(
        scope.configuration,
        &router.timers,
        &router.graceful_restart,
    );
    let local_as = router.local_asn.unwrap_or(scope.identity.asn);
    let internal = match router.remote_as {
        RemoteAs::Number(asn) => asn == local_as,
        RemoteAs::Internal => true,
        RemoteAs::External => false,
    };
    check_kind(router, internal, &object, diagnostics);
    let default_ttl = Ttl::Hops(if internal { u8::MAX } else { 1 });
    Some(Peer {
        source: object,
        role: PeerRole::Router,
        remote: router.remote.clone(),
        bind_interface: router.bind_interface.clone(),
        local: router.source_address,
        remote_as: router.remote_as,
        local_as,
        families,
        passive: router.passive,
        hold_time: session.hold_time,
        connect_retry: session.connect_retry,
        delay_open: session.delay_open,
        send_hold: session.send_hold,
        // Over an interface there may be no IPv4 address to be a next hop.
        extended_next_hop: router
            .extended_next_hop
            .unwrap_or(matches!(router.remote, Remote::Interface { .. })),
        ttl: router.ttl.unwrap_or(default_ttl),
        graceful_restart: session.graceful_restart,
        long_lived: session.long_lived,
        password,
        tcp_ao,
        import: Import::AllBut {
            // With the policies, alike for all.
            refuse: Arc::default(),
            default_route: router.default_route,
        },
        rules: router.rules,
        transit: router.transit,
        limit_restart: router.limit_restart,
        add_path: router.add_path,
        bgp_role: router.role,
        strict_role: router.strict_role,
        policies: PeerPolicies::default(),
        bfd: None,
    })
}

/// Where an AS number says that the router is internal, or that it is not, which is for the node to
/// know, fields may say nothing.
fn check_kind(
    router: &index::Peer,
    internal: bool,
    object: &ObjectRef,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let rules = &router.rules;
    let unheard = if internal {
        [
            ("spec.role", router.role.is_some()),
            ("spec.export.removePrivateAS", rules.remove_private_as),
            ("spec.export.allowPeerAS", rules.peer_as_allowed),
            (
                "spec.export.routeServerClient",
                rules.route_server_client && router.role.is_none(),
            ),
        ]
        .to_vec()
    } else {
        [("spec.routeReflector.client", rules.client)].to_vec()
    };
    let kind = if internal { "internal" } else { "external" };
    for (field, _) in unheard.into_iter().filter(|(_, unheard)| *unheard) {
        let message = format!("the router's AS makes it an {kind} one, to which this says nothing");
        diagnostics.push(Diagnostic::warning(
            object.clone(),
            field,
            Reason::Conflict,
            message,
        ));
    }
}

/// The families of the session. They do not depend on the addresses that the node has: those come and
/// go without a session coming up anew for it. Where a family was asked for that the node cannot be the
/// next hop of, that is said.
fn router_families(
    scope: &Scope<'_>,
    router: &index::Peer,
    object: &ObjectRef,
    diagnostics: &mut Vec<Diagnostic>,
) -> FamilySet {
    let Some(wanted) = router.families else {
        return FamilySet::ALL;
    };
    let mut own = families(scope.own);
    match router.remote {
        // The next hop is the link-local address, for IPv4 too (RFC 8950).
        Remote::Interface { .. } => own = FamilySet::ALL,
        // It is the node's end of the session.
        _ if router.remote.is_ipv4() => own.insert(Family::Ipv4Unicast),
        _ => own.insert(Family::Ipv6Unicast),
    }
    for family in wanted.iter().filter(|f| !own.contains(*f)) {
        let message = format!(
            "Node/{} has no {family} address: until it has one, the router is told no {family} routes",
            scope.own.meta.name
        );
        diagnostics.push(Diagnostic::warning(
            object.clone(),
            "spec.families",
            Reason::NoAddress,
            message,
        ));
    }
    wanted
}
