//! Which nodes are route reflectors, and which pairs of nodes have a session.
//!
//! Every speaker finds this out alone, from the Nodes and the configuration, and all that see the
//! same objects come to the same answer: there is no leader. While they do not all see the same yet,
//! no harm is done: a node that is told of others by somebody whom it does not take for a reflector
//! believes it as far as [`redstart_rib::owners`] says, and sessions end only after their routes have
//! come another way (`speaker::transition`).
//!
//! Nothing is reflected between ASes, so all of this is about the nodes of one AS, this node's own.
//! Nodes of other ASes are always peered with.
//!
//! `Auto` keeps these promises:
//! - It reflects at any size, also within a full mesh. When the cluster outgrows the mesh, every route
//!   is there by way of the reflectors already, and the sessions between other nodes can just end;
//!   when it shrinks, they can just come.
//! - Up to [`AutoMeshSpec::full_mesh_up_to`] nodes all sessions are made; with up to a tenth more they
//!   are neither made nor ended. A size that goes to and fro within these bounds changes nothing.
//! - A node that is not ready reflects only where no other is left, so one that dies is replaced as soon as
//!   Kubernetes says so (by default 40 s later). Where nodes are not ready all at once, as they seem when the
//!   kubelets do not reach the API server, everything stays as it is.
//! - Reflectors are those nodes that come first by a hash of their names (rendezvous hashing), so a
//!   node that joins or leaves changes at most one of them; first the best node of each zone, then
//!   the second best, so they are spread.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use redstart_bgp::types::{Asn, Family, FamilySet};

use super::super::{Clash, Scope, configuration, configuration_ref, drain, identity};
use crate::{
    api::{AutoMeshSpec, MeshMode},
    diagnostic::{Diagnostic, Reason},
    index::{Node, Objects},
};

/// The well-known label that says where a node is.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Whether two nodes need a session with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// They do.
    Wanted,
    /// Not, but one that is there stays as long as it is up.
    Kept,
    /// Not, and one that is there ends once its routes have come another way.
    Replaced,
}

/// How the nodes of this node's AS peer with each other.
pub(super) struct Topology<'a> {
    asn: Asn,
    reflectors: BTreeSet<&'a str>,
    /// Between two nodes that are no reflectors.
    between_others: Need,
}

impl<'a> Topology<'a> {
    /// The one that mode and Nodes ask for.
    pub(super) fn new(scope: &Scope<'a>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let asn = scope.identity.asn;
        let spec = &scope.configuration.mesh;
        let nodes = scope.objects.nodes.values();
        let internal: Vec<&Node> = nodes
            .filter(|node| identity::identity(node, scope.configuration).asn == asn)
            .collect();
        let (reflectors, between_others) = match spec.mode {
            MeshMode::FullMesh | MeshMode::None => (BTreeSet::new(), Need::Wanted),
            MeshMode::RouteReflector => by_label(scope, &internal, diagnostics),
            MeshMode::Auto => (
                elect(&internal, usize::from(spec.auto.reflectors), scope),
                by_size(internal.len(), &spec.auto),
            ),
        };
        Self {
            asn,
            reflectors,
            between_others,
        }
    }

    /// Whether the node is a reflector.
    pub(super) fn is_reflector(&self, node: &str) -> bool {
        self.reflectors.contains(node)
    }

    /// Whether this node, `own`, needs a session with `other`, which is in the AS `asn`.
    pub(super) fn need(&self, own: &str, other: &str, asn: Asn) -> Need {
        if asn != self.asn || self.is_reflector(own) || self.is_reflector(other) {
            Need::Wanted
        } else {
            self.between_others
        }
    }
}

fn by_label<'a>(
    scope: &Scope<'a>,
    internal: &[&'a Node],
    diagnostics: &mut Vec<Diagnostic>,
) -> (BTreeSet<&'a str>, Need) {
    let selector = scope
        .configuration
        .mesh
        .route_reflector
        .node_selector
        .as_ref();
    let selected: BTreeSet<&str> = internal
        .iter()
        .filter(|node| selector.is_some_and(|s| s.matches(&node.meta.labels)))
        .map(|node| node.meta.name.as_str())
        .collect();
    if selected.is_empty() {
        diagnostics.push(no_reflector(scope.identity.asn));
        return (selected, Need::Wanted);
    }
    (selected, Need::Replaced)
}

fn no_reflector(asn: Asn) -> Diagnostic {
    Diagnostic::warning(
        configuration_ref(),
        "spec.mesh.routeReflector.nodeSelector",
        Reason::NoReflector,
        format!("it selects no node of AS {asn}; until it does, these all peer with each other"),
    )
}

/// The ASes of nodes that are to have reflectors by label and have none, looked at from nowhere. `None`
/// where reflectors are not chosen by label.
pub(in super::super) fn without_reflector(objects: &Objects) -> Option<Vec<Clash<'_>>> {
    let configuration = &*configuration(objects);
    if configuration.mesh.mode != MeshMode::RouteReflector {
        return None;
    }
    let selector = configuration.mesh.route_reflector.node_selector.as_ref();
    let mut without: BTreeMap<Asn, Vec<&str>> = BTreeMap::new();
    let mut with = BTreeSet::new();
    for node in objects.nodes.values() {
        let asn = identity::asn(node, configuration);
        without.entry(asn).or_default().push(&node.meta.name);
        if selector.is_some_and(|s| s.matches(&node.meta.labels)) {
            with.insert(asn);
        }
    }
    without.retain(|asn, _| !with.contains(asn));
    let clash = |(asn, nodes)| Clash {
        problem: no_reflector(asn),
        nodes,
    };
    Some(without.into_iter().map(clash).collect())
}

fn by_size(nodes: usize, spec: &AutoMeshSpec) -> Need {
    let up_to = usize::try_from(spec.full_mesh_up_to).unwrap_or(usize::MAX);
    if nodes <= up_to {
        Need::Wanted
    } else if nodes <= up_to.saturating_add(up_to.div_ceil(10)) {
        Need::Kept
    } else {
        Need::Replaced
    }
}

/// The nodes to reflect, `wanted` of them where there are so many.
fn elect<'a>(internal: &[&'a Node], wanted: usize, scope: &Scope<'_>) -> BTreeSet<&'a str> {
    let everywhere = internal.iter().fold(FamilySet::EMPTY, |all, node| {
        identity::families(node)
            .iter()
            .fold(all, |mut all, family| {
                all.insert(family);
                all
            })
    });
    let mut candidates: Vec<Candidate<'_>> = internal
        .iter()
        .map(|node| Candidate {
            worth: Worth::of(node, everywhere, scope),
            round: 0,
            hash: hash(&node.meta.name),
            name: &node.meta.name,
            zone: node.meta.labels.get(ZONE).unwrap_or_default(),
        })
        .collect();
    candidates.sort();
    let mut rounds: BTreeMap<(Worth, &str), usize> = BTreeMap::new();
    for candidate in &mut candidates {
        let round = rounds.entry((candidate.worth, candidate.zone)).or_default();
        candidate.round = *round;
        *round += 1;
    }
    candidates.sort();
    let chosen = candidates.into_iter().take(wanted);
    chosen.map(|candidate| candidate.name).collect()
}

/// A node that could reflect. The first ones in order do.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'a> {
    worth: Worth,
    /// How many nodes of its zone come before it.
    round: usize,
    hash: u64,
    name: &'a str,
    zone: &'a str,
}

/// How well a node can reflect. One reflects only where there is no better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Full,
    /// There are nodes that it cannot reach.
    LacksFamily,
    /// It is about to go or is not ready, or its network does not work.
    Unfit,
}

impl Worth {
    fn of(node: &Node, everywhere: FamilySet, scope: &Scope<'_>) -> Self {
        let own = identity::families(node);
        let lacks = |family: &Family| everywhere.contains(*family) && !own.contains(*family);
        let is_leaving = drain::is_asked_for(node, &scope.configuration.drain);
        if is_leaving || node.network_unavailable || node.is_unready {
            Self::Unfit
        } else if Family::ALL.iter().any(lacks) {
            Self::LacksFamily
        } else {
            Self::Full
        }
    }
}

/// The cluster that the node reflects for; `None`: its BGP Identifier. Where nodes choose the reflectors, no
/// common one counts: a former reflector that cannot hear that it is one no more would refuse what the new ones
/// pass on.
pub(super) fn cluster_id(node: &Node, scope: &Scope<'_>) -> Option<u32> {
    let common = scope.configuration.mesh.route_reflector.cluster_id.as_ref();
    let common = common.filter(|_| scope.configuration.mesh.mode == MeshMode::RouteReflector);
    let common = || Some(common?.parse::<Ipv4Addr>().ok()?.to_bits());
    node.cluster_id.or_else(common)
}

/// A node's place among all: FNV-1a and a finalizer that spreads names which differ in one digit.
/// It must be the same in every release and on every machine.
fn hash(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests;
