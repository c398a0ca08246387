//! The sessions with other nodes.
//!
//! `topology` says which pairs of nodes have one. It runs over IPv4 where both ends have an IPv4
//! address, else over IPv6, and carries both families, whatever addresses the nodes have: an address that
//! appears later finds the session ready for its routes. Both ends come
//! to the same answer on their own. A node speaks only for itself: from it come its own pod CIDRs,
//! and, where it reflects, those of others as far as they lead to these others.

mod topology;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use redstart_bgp::types::{Asn, Family, FamilySet, RouterId};
use redstart_rib::{PeerPolicies, PeerRules, PrefixLimit};

pub(super) use self::topology::without_reflector;
use self::topology::{Need, Topology};
use super::{
    AddPath, Import, Password, Peer, PeerName, PeerRole, Remote, RemoteAs, Scope, Spare, Spares,
    Ttl, Until, configuration_ref, identity::identity, node_ref, password, pod_cidrs::by_seniority,
    session::SessionParameters,
};
use crate::{
    api::{GracefulRestartSpec, MeshMode, TimersSpec},
    diagnostic::{Diagnostic, Reason},
    index::Node,
};

/// How many routes any node may send.
const LEAST_LIMIT: u32 = 1024;

/// When a session that ended for more is tried again. Nobody changes a limit of the mesh by hand.
const LIMIT_RESTART: Duration = Duration::from_secs(60);

/// What the names of sessions with nodes begin with.
pub(super) const NAME_PREFIX: &str = "mesh-";

/// The name of the session with a node.
pub(super) fn peer_name(node: &str) -> PeerName {
    PeerName(format!("{NAME_PREFIX}{node}"))
}

/// The sessions of the mesh.
#[derive(Default)]
pub(super) struct Sessions<'a> {
    /// Those that must be.
    pub(super) wanted: BTreeMap<PeerName, Peer>,
    /// Those that need not be, but stay for a while where they are.
    pub(super) spare: BTreeMap<PeerName, Session<'a>>,
    password: Option<Password>,
}

/// A session before it is put together: there may be thousands, and most need not be.
#[derive(Clone, Copy)]
pub(super) struct Session<'a> {
    pub(super) node: &'a Node,
    pub(super) remote: IpAddr,
    local: IpAddr,
    asn: Asn,
    rules: PeerRules,
    until: Until,
}

/// Every session of the mesh.
pub(super) fn sessions<'a>(scope: &Scope<'a>, diagnostics: &mut Vec<Diagnostic>) -> Sessions<'a> {
    let mut sessions = Sessions::default();
    if scope.configuration.mesh.mode == MeshMode::None {
        return sessions;
    }
    let Ok(password) = password::resolve(
        scope.objects,
        scope.configuration.mesh.password_secret_ref.as_ref(),
        &configuration_ref(),
        "spec.mesh.passwordSecretRef",
        diagnostics,
    ) else {
        return sessions;
    };
    check_router_ids(scope, diagnostics);
    sessions.password = password;
    let topology = Topology::new(scope, diagnostics);
    let limits = Family::ALL.map(|family| Some(limit(scope, family)));
    let mut taken: BTreeMap<IpAddr, &str> = BTreeMap::new();
    let own = &scope.own.meta.name;
    for node in by_seniority(&scope.objects.nodes) {
        if node.meta.name == *own {
            continue;
        }
        let asn = identity(node, scope.configuration).asn;
        let need = topology.need(own, &node.meta.name, asn);
        match common_addresses(scope, node).and_then(|ends| free(scope, node, ends, &taken)) {
            Ok((local, remote)) => {
                taken.insert(remote, &node.meta.name);
                let session = Session {
                    node,
                    remote,
                    local,
                    asn,
                    rules: PeerRules {
                        limits,
                        ..rules(scope, &topology, node)
                    },
                    until: Until::Down,
                };
                sessions.add(scope, session, need);
            }
            // Who need not be a neighbour need not be able to.
            Err(_) if need != Need::Wanted => {}
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    sessions
}

impl<'a> Sessions<'a> {
    fn add(&mut self, scope: &Scope<'a>, session: Session<'a>, need: Need) {
        let name = peer_name(&session.node.meta.name);
        let until = match need {
            Need::Wanted => {
                let peer = peer(scope, &session, self.password.clone());
                self.wanted.insert(name, peer);
                return;
            }
            Need::Kept => Until::Down,
            Need::Replaced => Until::Replaced,
        };
        self.spare.insert(name, Session { until, ..session });
    }

    /// The sessions that need not be, each as `finish` leaves it.
    pub(super) fn spares(&self, scope: &Scope<'a>, mut finish: impl FnMut(&mut Peer)) -> Spares {
        let spare = |(name, session): (&PeerName, &Session<'a>)| {
            let mut peer = peer(scope, session, self.password.clone());
            finish(&mut peer);
            let spare = Spare {
                peer,
                until: session.until,
                prefixes: scope.pod_cidrs.of(&session.node.meta.name),
            };
            (name.clone(), spare)
        };
        self.spare.iter().map(spare).collect()
    }
}

/// A reflector has every other node as its client, but for its fellow reflectors (RFC 4456 section 6:
/// those are non-clients, fully meshed).
fn rules(scope: &Scope<'_>, topology: &Topology<'_>, node: &Node) -> PeerRules {
    if !topology.is_reflector(&scope.own.meta.name) {
        return PeerRules::default();
    }
    PeerRules {
        client: !topology.is_reflector(&node.meta.name),
        cluster_id: topology::cluster_id(scope.own, scope),
        ..PeerRules::default()
    }
}

/// How many routes a node may send: twice what all pod CIDRs of the cluster are, for a reflector tells
/// them all, and other speakers may know of Nodes before this one does. Rounded up to a power of two, so
/// that it does not change with every Node.
fn limit(scope: &Scope<'_>, family: Family) -> PrefixLimit {
    let known = scope.pod_cidrs.all().iter();
    let known = known.filter(|prefix| prefix.family() == family).count();
    let twice = u32::try_from(known).unwrap_or(u32::MAX).saturating_mul(2);
    let rounded = twice.checked_next_power_of_two().unwrap_or(u32::MAX);
    PrefixLimit {
        max: rounded.max(LEAST_LIMIT),
        warn_percent: 75,
    }
}

/// Our address and the other node's.
type Ends = (IpAddr, IpAddr);

/// The two ends of a session between these nodes, the first one's own before the other's.
pub(super) fn ends(own: &Node, node: &Node) -> Option<Ends> {
    let v4 = own.ipv4.zip(node.ipv4).map(|(a, b)| (a.into(), b.into()));
    let v6 = own.ipv6.zip(node.ipv6).map(|(a, b)| (a.into(), b.into()));
    v4.or(v6)
}

fn common_addresses(scope: &Scope<'_>, node: &Node) -> Result<Ends, Diagnostic> {
    let own = scope.own;
    ends(own, node).ok_or_else(|| {
        let (reason, what) = if node.ipv4.is_none() && node.ipv6.is_none() {
            let what = "the node has no usable InternalIP and no annotation redstart.dev/address";
            (Reason::NoAddress, what.to_owned())
        } else {
            let what = format!(
                "it has no address of a family that Node/{} has one of",
                own.meta.name
            );
            (Reason::NoCommonFamily, what)
        };
        let message = format!("{what}; there is no session with it");
        Diagnostic::error(
            node_ref(&node.meta.name),
            "status.addresses",
            reason,
            message,
        )
    })
}

/// The ends, unless the other one is ours or that of an older node.
fn free(
    scope: &Scope<'_>,
    node: &Node,
    ends: Ends,
    taken: &BTreeMap<IpAddr, &str>,
) -> Result<Ends, Diagnostic> {
    let (_, remote) = ends;
    let refuse = |reason, whose: &str| {
        let message = format!(
            "{remote} is also the address of Node/{whose}; there is no session with this node"
        );
        Err(Diagnostic::error(
            node_ref(&node.meta.name),
            "status.addresses",
            reason,
            message,
        ))
    };
    if scope.is_own_address(remote) {
        return refuse(Reason::OwnAddress, &scope.own.meta.name);
    }
    match taken.get(&remote) {
        Some(whose) => refuse(Reason::DuplicatePeerAddress, whose),
        None => Ok(ends),
    }
}

fn peer(scope: &Scope<'_>, with: &Session<'_>, password: Option<Password>) -> Peer {
    let (node, local, remote) = (with.node, with.local, with.remote);
    let session = SessionParameters::new(
        scope.configuration,
        &TimersSpec::default(),
        &GracefulRestartSpec::default(),
    );
    Peer {
        source: node_ref(&node.meta.name),
        role: PeerRole::Mesh {
            node: node.meta.name.clone(),
        },
        remote: Remote::Address(SocketAddr::new(remote, scope.configuration.listen_port)),
        bind_interface: None,
        local: Some(local),
        remote_as: RemoteAs::Number(with.asn),
        local_as: scope.identity.asn,
        families: FamilySet::ALL,
        passive: false,
        hold_time: session.hold_time,
        connect_retry: session.connect_retry,
        delay_open: session.delay_open,
        send_hold: session.send_hold,
        extended_next_hop: false,
        // Nodes may be any number of hops apart, also where their AS numbers differ.
        ttl: Ttl::Hops(u8::MAX),
        graceful_restart: session.graceful_restart,
        long_lived: session.long_lived,
        password,
        tcp_ao: Vec::new(),
        import: Import::Owner(node.meta.name.clone()),
        rules: with.rules,
        transit: false,
        limit_restart: Some(LIMIT_RESTART),
        add_path: AddPath::default(),
        bgp_role: None,
        strict_role: false,
        policies: PeerPolicies::default(),
        bfd: None,
    }
}

/// RFC 6286 section 2.1: the BGP Identifier "should be unique within an AS". Two internal speakers
/// with the same one refuse each other (section 2.2).
fn check_router_ids(scope: &Scope<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut owners: BTreeMap<RouterId, BTreeSet<&str>> = BTreeMap::new();
    for node in scope.objects.nodes.values() {
        let id = identity(node, scope.configuration).router_id;
        owners.entry(id).or_default().insert(&node.meta.name);
    }
    for (id, names) in owners {
        let mut names = names.into_iter();
        let Some(first) = names.next() else { continue };
        for name in names {
            diagnostics.push(Diagnostic::error(
                node_ref(name),
                "metadata.annotations[redstart.dev/router-id]",
                Reason::DuplicateRouterId,
                format!("Node/{first} has the same BGP Identifier {id}; the two cannot peer with each other, nor both with one router"),
            ));
        }
    }
}
