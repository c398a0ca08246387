//! From Kubernetes objects to what this node's speaker shall do.
//!
//! [`compile`] is a pure function of the objects and the node's name: it does no I/O, reads no clock,
//! never fails, and gives the same result whatever the order in which the objects came. What cannot
//! be done is left out and named by a [`Diagnostic`]; the rest works.
//!
//! What holds without any object but Nodes: AS 64512, a full mesh over all Nodes, every node's pod
//! CIDRs to every peer, learned routes in the kernel's main table.
//!
//! | module | decides |
//! |---|---|
//! | `identity` | AS number, BGP Identifier and addresses of a node |
//! | `pod_cidrs` | which prefix belongs to which node |
//! | `mesh` | the sessions with other nodes |
//! | `drain` | whether this node is relieved of traffic |
//! | `routers` | the sessions with `BGPPeer`s |
//! | `originations` | what is advertised to whom |
//!
//! Who gets pod CIDRs: the mesh always. Routers all get them as long as there is no
//! `BGPAdvertisement` at all; as soon as there is one, routers get only what those say.

mod desired;
pub mod drain;
mod identity;
mod mesh;
mod originations;
mod password;
mod pod_cidrs;
mod references;
mod routers;
mod session;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

pub use desired::{
    AddPath, Advertise, AoAlgorithm, AoKey, DesiredState, Import, Kernel, NodeIdentity,
    Origination, Password, Peer, PeerName, PeerRole, Remote, RemoteAs, Spare, Ttl, Until,
};
pub use drain::{Drain, DrainReason};
pub use references::missing_references;

use crate::{
    api::{BGPConfigurationSpec, CONFIGURATION_NAME, KernelSpec},
    diagnostic::{Diagnostic, Reason},
    index::{Index, Kind, Node, ObjectKey, Objects},
    object::ObjectRef,
};
use pod_cidrs::PodCidrs;

/// What the speaker of `node` shall do, and everything that is wrong with the objects: what the
/// index found in single ones and what only shows when they come together. `None` until every kind
/// has been listed once.
#[must_use]
pub fn compile(index: &Index, node: &str) -> Option<(DesiredState, Vec<Diagnostic>)> {
    let (desired, mut diagnostics) = compile_objects(index.complete()?, node);
    diagnostics.extend(index.problems().cloned());
    diagnostics.sort();
    diagnostics.dedup();
    Some((desired, diagnostics))
}

/// The part of [`compile`] that looks at objects in force only.
fn compile_objects(objects: &Objects, node: &str) -> (DesiredState, Vec<Diagnostic>) {
    let built_in = BGPConfigurationSpec::default();
    let configuration = objects
        .configurations
        .get(CONFIGURATION_NAME)
        .map_or(&built_in, |c| &c.spec);
    let mut diagnostics = Vec::new();
    let idle = DesiredState::idle(kernel(&configuration.kernel));
    let own = match own_node(objects, node) {
        Ok(own) => own,
        Err(diagnostic) => return (idle, vec![diagnostic]),
    };
    let scope = Scope {
        objects,
        configuration,
        own,
        identity: identity::identity(own, configuration),
        pod_cidrs: PodCidrs::assign(&objects.nodes, &mut diagnostics),
    };
    let mesh::Sessions {
        wanted: mut peers,
        spare,
    } = mesh::sessions(&scope, &mut diagnostics);
    routers::add_peers(&scope, &mut peers, &spare, &mut diagnostics);
    let originations = originations::originations(&scope, &peers, &spare, &mut diagnostics);
    let desired = DesiredState {
        spare,
        settle: Duration::from_secs(configuration.mesh.settle_seconds.into()),
        owners: scope.pod_cidrs.owners(&scope),
        drain: drain::drain(&scope, &mut diagnostics),
        listen: listen(&scope, &peers),
        node: Some(scope.identity),
        peers,
        originations,
        ..idle
    };
    (desired, diagnostics)
}

/// What the steps of one compilation look at.
struct Scope<'a> {
    objects: &'a Objects,
    configuration: &'a BGPConfigurationSpec,
    own: &'a Node,
    identity: NodeIdentity,
    pod_cidrs: PodCidrs<'a>,
}

fn own_node<'a>(objects: &'a Objects, name: &str) -> Result<&'a Node, Diagnostic> {
    let object = node_ref(name);
    let Some(own) = objects.nodes.get(name) else {
        let message = "there is no Node of this name; no session and no route until there is";
        return Err(Diagnostic::error(
            object,
            "metadata.name",
            Reason::NodeMissing,
            message,
        ));
    };
    if own.ipv4.is_none() && own.ipv6.is_none() {
        let message = "this node has no usable InternalIP and no annotation redstart.dev/address; no session and no route until it has";
        return Err(Diagnostic::error(
            object,
            "status.addresses",
            Reason::NoAddress,
            message,
        ));
    }
    Ok(own)
}

/// One wildcard address per family that the node or one of its peers uses.
fn listen(scope: &Scope<'_>, peers: &BTreeMap<PeerName, Peer>) -> Vec<SocketAddr> {
    let port = scope.configuration.listen_port;
    let ipv4 = scope.own.ipv4.is_some() || peers.values().any(|p| p.remote.is_ipv4());
    let ipv6 = scope.own.ipv6.is_some() || peers.values().any(|p| !p.remote.is_ipv4());
    let any_v4 = ipv4.then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let any_v6 = ipv6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    any_v4
        .into_iter()
        .chain(any_v6)
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

fn kernel(spec: &KernelSpec) -> Kernel {
    Kernel {
        install: spec.install,
        table: spec.table,
        metric: spec.metric,
        protocol: spec.protocol,
        max_paths: spec.max_paths,
    }
}

fn object_ref(kind: Kind, name: &str) -> ObjectRef {
    ObjectKey::cluster(kind, name).object_ref()
}

fn node_ref(name: &str) -> ObjectRef {
    object_ref(Kind::Node, name)
}

fn configuration_ref() -> ObjectRef {
    object_ref(Kind::BgpConfiguration, CONFIGURATION_NAME)
}

#[cfg(test)]
mod tests;
