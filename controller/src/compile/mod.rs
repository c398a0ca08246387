//! From Kubernetes objects to what this node's speaker shall do.
//!
//! [`compile`] is a pure function of the objects and the node's name: it does no I/O, reads no clock,
//! never fails, and gives the same result whatever the order in which the objects came: but for what has
//! no other order than that, which are drains that say no time ([`drain`]), and for objects whose last
//! good version the index keeps in force. What cannot be done is left out and named by a
//! [`Diagnostic`]; the rest works.
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
//! | `clashes` | which objects are in each other's way, for their conditions |
//! | `selection` | which Nodes selectors select, where many ask |
//! | `spares` | how sessions that need not be are kept |
//!
//! Who gets pod CIDRs: the mesh always. Routers all get them as long as there is no
//! `BGPAdvertisement` at all; as soon as there is one, routers get only what those say.
//!
//! A [`Compiler`] remembers what it came to. Where only Services or their endpoints have changed, it
//! judges just those again, looks at just the prefixes that they ask for, and comes to the same result
//! as [`compile`] would. What it hands out shares with the result before what did not change, so that
//! the cost is that of the change, whatever the size of the cluster
//! ([ADR 27](../../../docs/adr/0027-results-share-what-did-not-change.md)). And it keeps to what was,
//! where [`compile`] might say otherwise now: to the node's BGP Identifier, and to the place of a node
//! that is drained ([`drain`]).

mod clashes;
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
mod selection;
mod service_ranges;
mod services;
mod session;
mod spares;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

pub use clashes::{Clash, clashes};
pub use desired::{
    AddPath, Advertise, AoAlgorithm, AoKey, Bfd, DesiredState, Hold, Import, Kernel, NodeIdentity,
    Origination, Originations, Password, Peer, PeerName, PeerRole, Remote, RemoteAs, Ttl,
};
pub use drain::{Drain, DrainReason};
pub use identity::{ChosenRouterId, NotChosenRouterId, RouterIdBasis};
pub use originations::selects_no_peer;
use redstart_bgp::types::{Prefix, RouterId};
use redstart_rib::fib::{NexthopStyle, Resilient};
pub use references::missing_references;
pub use selection::Selection;
pub use spares::{Spare, Spares, Until};

use crate::{
    api::{
        BGPConfigurationSpec, CONFIGURATION_NAME, KernelSpec, ListenOn, NextHopsSpec,
        PreferredSource, ServicesSpec,
    },
    diagnostic::{Diagnostic, Reason},
    index::{BmpStation, Changes, Index, Kind, MrtLog, Node, ObjectKey, Objects},
    object::ObjectRef,
};
use originations::{Drafts, Routes};
use pod_cidrs::PodCidrs;
use service_ranges::InUse;
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
    /// What the node was called last.
    router_id: Option<ChosenRouterId>,
    last: Option<Last>,
    /// Whether the node was drained until now.
    is_drained: bool,
}

/// What a compilation leaves for the next one, in which only Services have changed.
#[derive(Clone, Debug)]
struct Last {
    /// The routes that no Service asks for.
    fixed: Drafts,
    services: Services,
    routes: Routes,
    service_ips: InUse,
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
            router_id: None,
            last: None,
            is_drained: false,
        }
    }

    /// For a node whose neighbours know it by this BGP Identifier, of an earlier process.
    #[must_use]
    pub fn known_as(self, router_id: Option<ChosenRouterId>) -> Self {
        Self { router_id, ..self }
    }

    /// The node's BGP Identifier as it was chosen last.
    #[must_use]
    pub const fn router_id(&self) -> Option<ChosenRouterId> {
        self.router_id
    }

    /// For a node that an earlier process drained, or did not.
    #[must_use]
    pub fn with_drained(self, is_drained: bool) -> Self {
        Self { is_drained, ..self }
    }

    /// Whether the node is drained.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// What holds after these changes. `None` until every kind has been listed once, and where the
    /// changes make no difference.
    pub fn compile(&mut self, index: &Index, changes: &Changes) -> Option<Compiled> {
        let objects = index.complete()?;
        if let Some(last) = &mut self.last
            && !changes.everything
            && !last.service_ips.update(objects, &changes.services)
        {
            let rejudged = last.services.update(objects, &changes.services);
            last.reroute(&rejudged.prefixes);
            return rejudged.differs.then(|| last.finish(index));
        }
        let before = self.last.take();
        let (idle, own) = start(objects, &self.node);
        let own = match own {
            Ok(own) => own,
            Err(diagnostic) => {
                self.is_drained = false;
                return Some(Compiled {
                    desired: Arc::new(idle),
                    diagnostics: sorted(index, vec![diagnostic]),
                    services: ServiceTable::default(),
                });
            }
        };
        let chosen = {
            let configuration = configuration(objects);
            identity::router_ids(own, &configuration).choose(self.router_id)
        };
        self.router_id = Some(chosen);
        let last = everything(objects, own, chosen.id, idle, (before, self.is_drained));
        let last = self.last.insert(last);
        self.is_drained = last.desired.drain.why.is_some();
        Some(last.finish(index))
    }
}

impl Last {
    /// Puts the routes to these prefixes together again.
    fn reroute(&mut self, prefixes: &BTreeSet<Prefix>) {
        for &prefix in prefixes {
            let fixed = self.fixed.get(&prefix).cloned();
            let route = self.services.route(prefix, fixed);
            self.routes.put(prefix, route);
        }
    }

    /// Puts the parts together.
    fn finish(&mut self, index: &Index) -> Compiled {
        let mut diagnostics = self.diagnostics.clone();
        diagnostics.extend(self.services.diagnostics().cloned());
        diagnostics.extend(self.routes.conflicts());
        let originations = &self.routes.originations;
        if !originations.is_same(&self.desired.originations) {
            self.desired = Arc::new(DesiredState {
                originations: originations.clone(),
                ..(*self.desired).clone()
            });
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

fn stations(objects: &Objects) -> BTreeMap<SocketAddr, BmpStation> {
    let configuration = objects.configurations.get(CONFIGURATION_NAME);
    configuration.map_or_else(BTreeMap::new, |c| c.bmp.clone())
}

fn mrt(objects: &Objects) -> Option<MrtLog> {
    let configuration = objects.configurations.get(CONFIGURATION_NAME);
    configuration?.mrt.clone()
}

fn configuration(objects: &Objects) -> Cow<'_, BGPConfigurationSpec> {
    let default = objects.configurations.get(CONFIGURATION_NAME);
    default.map_or_else(Cow::default, |c| Cow::Borrowed(&c.spec))
}

/// Looks at every object. What comes out as before stays the same value; `is_drained`: whether the node
/// was until now.
fn everything(
    objects: &Objects,
    own: &Node,
    router_id: RouterId,
    idle: DesiredState,
    (before, is_drained): (Option<Last>, bool),
) -> Last {
    let configuration = &*configuration(objects);
    let mut diagnostics = Vec::new();
    let scope = Scope {
        objects,
        configuration,
        own,
        identity: NodeIdentity {
            router_id,
            ..identity::identity(own, configuration)
        },
        pod_cidrs: PodCidrs::assign(&objects.nodes, &mut diagnostics),
        service_ips: InUse::of(objects),
    };
    diagnostics.extend(scope.service_ips.unknown(objects));
    let mut mesh = mesh::sessions(&scope, &mut diagnostics);
    let mut peers = std::mem::take(&mut mesh.wanted);
    routers::add_peers(&scope, &mut peers, &mesh.spare, &mut diagnostics);
    let spare = policy::assign(&scope, &mut peers, &mesh, &mut diagnostics);
    let fixed = originations::fixed(&scope, &peers, &spare, &mut diagnostics);
    let rules = Rules::new(&scope, &peers);
    let (services, routes) = match before {
        Some(last) => (last.services.under(rules), last.routes),
        None => (Services::new(rules), Routes::default()),
    };
    let desired = DesiredState {
        spare: spare.into(),
        settle: Duration::from_secs(configuration.mesh.settle_seconds.into()),
        owners: scope.pod_cidrs.owners(&scope).into(),
        drain: drain::drain(&scope, is_drained, &mut diagnostics),
        hold: hold(&configuration.services),
        stations: stations(objects),
        mrt: mrt(objects),
        listen: listen(&scope, &peers),
        interfaces: originations::interfaces(&scope, &peers),
        kernel_tables: originations::kernel_tables(&scope, &peers),
        kernel: Kernel {
            sources: sources(&configuration.kernel, &scope.identity),
            ..idle.kernel
        },
        node: Some(scope.identity),
        peers: {
            let shared = peers.into_iter();
            Arc::new(shared.map(|(name, it)| (name, it.into())).collect())
        },
        ..idle
    };
    let mut last = Last {
        fixed,
        services,
        routes,
        service_ips: scope.service_ips,
        diagnostics,
        desired: Arc::new(desired),
    };
    let mut prefixes = last.services.update_all(objects).prefixes;
    prefixes.extend(last.fixed.keys());
    prefixes.extend(last.routes.originations.keys());
    last.reroute(&prefixes);
    last
}

/// What the steps of one compilation look at.
struct Scope<'a> {
    objects: &'a Objects,
    configuration: &'a BGPConfigurationSpec,
    own: &'a Node,
    identity: NodeIdentity,
    pod_cidrs: PodCidrs<'a>,
    service_ips: InUse,
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

/// One wildcard address per family that the node or one of its peers uses, or those of the node.
fn listen(scope: &Scope<'_>, peers: &BTreeMap<PeerName, Peer>) -> Vec<SocketAddr> {
    let addresses: BTreeSet<IpAddr> = match scope.configuration.listen_on {
        ListenOn::AllAddresses => wildcards(scope, peers).collect(),
        ListenOn::NodeAddresses => {
            let own = [
                scope.own.ipv4.map(IpAddr::from),
                scope.own.ipv6.map(IpAddr::from),
            ];
            let fixed = peers.values().filter_map(|peer| peer.local);
            own.into_iter().flatten().chain(fixed).collect()
        }
    };
    let port = scope.configuration.listen_port;
    let addresses = addresses.into_iter();
    addresses
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

fn wildcards(
    scope: &Scope<'_>,
    peers: &BTreeMap<PeerName, Peer>,
) -> impl Iterator<Item = IpAddr> + use<> {
    let ipv4 = scope.own.ipv4.is_some() || peers.values().any(|p| p.remote.is_ipv4());
    let ipv6 = scope.own.ipv6.is_some() || peers.values().any(|p| !p.remote.is_ipv4());
    let any_v4 = ipv4.then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let any_v6 = ipv6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    any_v4.into_iter().chain(any_v6)
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
        next_hop_table: spec.next_hop_table,
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

/// The ASes whose nodes are to have reflectors by label and have none; `None` where reflectors are not
/// chosen by label.
#[must_use]
pub fn without_reflector(objects: &Objects) -> Option<Vec<Clash<'_>>> {
    mesh::without_reflector(objects)
}

/// The name of the session with a node of the mesh.
#[must_use]
pub fn mesh_peer_name(node: &str) -> PeerName {
    mesh::peer_name(node)
}

/// The `BGPConfiguration`.
pub(crate) fn configuration_ref() -> ObjectRef {
    object_ref(Kind::BgpConfiguration, CONFIGURATION_NAME)
}

#[cfg(test)]
mod tests;
