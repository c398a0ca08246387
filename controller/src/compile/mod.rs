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
//! | `policy` | the rules for each neighbour's routes, and its BFD |
//! | `originations` | what is advertised to whom |
//! | `services` | which addresses of Services are, and why the others are not |
//!
//! Who gets pod CIDRs: the mesh always. Routers all get them as long as there is no
//! `BGPAdvertisement` at all; as soon as there is one, routers get only what those say.
//!
//! A [`Compiler`] remembers what it came to. Where only Services or their endpoints have changed, it
//! judges just those again, and comes to the same result as [`compile`] would.

mod desired;
pub mod drain;
mod identity;
mod mesh;
mod originations;
mod password;
mod pod_cidrs;
mod policy;
mod references;
mod routers;
mod services;
mod session;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

pub use desired::{
    AddPath, Advertise, AoAlgorithm, AoKey, Bfd, DesiredState, Hold, Import, Kernel, NodeIdentity,
    Origination, Originations, Password, Peer, PeerName, PeerRole, Remote, RemoteAs, Spare, Ttl,
    Until,
};
pub use drain::{Drain, DrainReason};
use redstart_rib::fib::{NexthopStyle, Resilient};
pub use references::missing_references;

use crate::{
    api::{
        BGPConfigurationSpec, CONFIGURATION_NAME, KernelSpec, NextHopsSpec, PreferredSource,
        ServicesSpec,
    },
    diagnostic::{Diagnostic, Reason},
    index::{Changes, Index, Kind, Node, ObjectKey, Objects},
    object::ObjectRef,
};
use originations::Drafts;
use pod_cidrs::PodCidrs;
use services::{Rules, Services};
pub use services::{ServiceRoute, ServiceTable, Verdict, Withheld};

/// What the speaker of `node` shall do, and everything that is wrong with the objects: what the
/// index found in single ones and what only shows when they come together. `None` until every kind
/// has been listed once.
#[must_use]
pub fn compile(index: &Index, node: &str) -> Option<(DesiredState, Vec<Diagnostic>)> {
    let compiled = Compiler::new(node).compile(index, &Changes::everything())?;
    Some((Arc::unwrap_or_clone(compiled.desired), compiled.diagnostics))
}

/// What a compilation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// What to do.
    pub desired: Arc<DesiredState>,
    /// What is wrong with the objects, in a stable order.
    pub diagnostics: Vec<Diagnostic>,
    /// What was decided about Services.
    pub services: ServiceTable,
}

/// Compiles for one node, again and again.
#[derive(Clone, Debug)]
pub struct Compiler {
    node: String,
    last: Option<Last>,
}

/// What a compilation leaves for the next one, in which only Services have changed.
#[derive(Clone, Debug)]
struct Last {
    fixed: Drafts,
    services: Services,
    /// What is wrong with other objects than Services.
    diagnostics: Vec<Diagnostic>,
    desired: Arc<DesiredState>,
}

impl Compiler {
    /// For the node of this name.
    #[must_use]
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            last: None,
        }
    }

    /// What holds after these changes. `None` until every kind has been listed once, and where the
    /// changes make no difference.
    pub fn compile(&mut self, index: &Index, changes: &Changes) -> Option<Compiled> {
        let objects = index.complete()?;
        if let Some(last) = &mut self.last
            && !changes.everything
        {
            let differs = last.services.update(objects, &changes.services);
            return differs.then(|| last.finish(index));
        }
        let before = self.last.take().map(|last| last.desired);
        let (idle, own) = start(objects, &self.node);
        let own = match own {
            Ok(own) => own,
            Err(diagnostic) => {
                return Some(Compiled {
                    desired: Arc::new(idle),
                    diagnostics: sorted(index, vec![diagnostic]),
                    services: ServiceTable::default(),
                });
            }
        };
        let last = self.last.insert(everything(objects, own, idle));
        if let Some(before) = before {
            last.desired = last.with_originations(before.originations.clone());
        }
        Some(last.finish(index))
    }
}

impl Last {
    fn with_originations(&self, originations: Originations) -> Arc<DesiredState> {
        let mut desired = (*self.desired).clone();
        desired.originations = originations;
        Arc::new(desired)
    }

    /// Puts the parts together.
    fn finish(&mut self, index: &Index) -> Compiled {
        let mut drafts = self.fixed.clone();
        services::add_routes(&self.services, &mut drafts);
        let mut diagnostics = self.diagnostics.clone();
        diagnostics.extend(self.services.diagnostics());
        diagnostics.extend(drafts.conflicts());
        let originations = drafts.finish(&self.desired.originations);
        if originations != self.desired.originations {
            self.desired = self.with_originations(originations);
        }
        Compiled {
            desired: Arc::clone(&self.desired),
            diagnostics: sorted(index, diagnostics),
            services: self.services.table().clone(),
        }
    }
}

fn sorted(index: &Index, mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.extend(index.problems().cloned());
    diagnostics.sort();
    diagnostics.dedup();
    diagnostics
}

/// What is done while there is no usable Node, and the Node, if there is one.
fn start<'a>(objects: &'a Objects, node: &str) -> (DesiredState, Result<&'a Node, Diagnostic>) {
    let idle = DesiredState::idle(kernel(&configuration(objects).kernel));
    (idle, own_node(objects, node))
}

fn configuration(objects: &Objects) -> Cow<'_, BGPConfigurationSpec> {
    let default = objects.configurations.get(CONFIGURATION_NAME);
    default.map_or_else(Cow::default, |c| Cow::Borrowed(&c.spec))
}

/// Looks at every object.
fn everything(objects: &Objects, own: &Node, idle: DesiredState) -> Last {
    let configuration = &*configuration(objects);
    let mut diagnostics = Vec::new();
    let scope = Scope {
        objects,
        configuration,
        own,
        identity: identity::identity(own, configuration),
        pod_cidrs: PodCidrs::assign(&objects.nodes, &mut diagnostics),
    };
    let mesh::Sessions {
        wanted: mut peers,
        mut spare,
    } = mesh::sessions(&scope, &mut diagnostics);
    routers::add_peers(&scope, &mut peers, &spare, &mut diagnostics);
    policy::assign(&scope, &mut peers, &mut spare, &mut diagnostics);
    let fixed = originations::fixed(&scope, &peers, &spare, &mut diagnostics);
    let services = Services::new(Rules::new(&scope, &peers), objects);
    let desired = DesiredState {
        spare,
        settle: Duration::from_secs(configuration.mesh.settle_seconds.into()),
        owners: scope.pod_cidrs.owners(&scope),
        drain: drain::drain(&scope, &mut diagnostics),
        hold: hold(&configuration.services),
        listen: listen(&scope, &peers),
        interfaces: originations::interfaces(&scope, &peers),
        kernel_tables: originations::kernel_tables(&scope, &peers),
        kernel: Kernel {
            sources: sources(&configuration.kernel, &scope.identity),
            ..idle.kernel
        },
        node: Some(scope.identity),
        peers: Arc::new(peers),
        ..idle
    };
    Last {
        fixed,
        services,
        diagnostics,
        desired: Arc::new(desired),
    }
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

fn hold(spec: &ServicesSpec) -> Hold {
    Hold {
        min_ready: Duration::from_secs(spec.min_ready_seconds.into()),
        withdraw_delay: Duration::from_secs(spec.withdraw_delay_seconds.into()),
    }
}

fn kernel(spec: &KernelSpec) -> Kernel {
    Kernel {
        install: spec.install,
        table: spec.table,
        metric: spec.metric,
        protocol: spec.protocol,
        max_paths: spec.max_paths,
        nexthops: nexthops(&spec.next_hops),
        sources: Vec::new(),
    }
}

fn nexthops(spec: &NextHopsSpec) -> NexthopStyle {
    if !spec.objects {
        return NexthopStyle::Inline;
    }
    let resilient = spec.resilient.as_ref().map(|spec| Resilient {
        buckets: spec.buckets,
        idle_seconds: spec.idle_seconds,
    });
    NexthopStyle::Objects { resilient }
}

/// The source addresses that routes prescribe, where they do.
fn sources(spec: &KernelSpec, node: &NodeIdentity) -> Vec<IpAddr> {
    match spec.preferred_source {
        PreferredSource::Kernel => Vec::new(),
        PreferredSource::NodeAddress => {
            let v4 = node.ipv4.map(IpAddr::V4);
            v4.into_iter().chain(node.ipv6.map(IpAddr::V6)).collect()
        }
    }
}

fn object_ref(kind: Kind, name: &str) -> ObjectRef {
    ObjectKey::cluster(kind, name).object_ref()
}

fn node_ref(name: &str) -> ObjectRef {
    object_ref(Kind::Node, name)
}

/// The `BGPConfiguration`.
pub(crate) fn configuration_ref() -> ObjectRef {
    object_ref(Kind::BgpConfiguration, CONFIGURATION_NAME)
}

#[cfg(test)]
mod tests;
