//! `redc explain`: from a Kubernetes object to the wire and to the kernel, with the reason at each step.
//!
//! Nothing is decided here. Each step is asked of who decided: the compile step's verdicts about
//! Services, the RIB's decision process and export rules (which find their reasons by deciding again,
//! `redstart_rib::rib`), and the planner's state of the kernel. So an explanation cannot differ from
//! what happens.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use redstart_bgp::{
    session::PeerId,
    types::{Aigp, NextHop, PathAttributes, Prefix},
};
use redstart_rib::{
    Rib,
    fib::{InstallState, Route as KernelRoute, RouteKind},
    nexthop::Gateway,
    rib::{NotBest, PathSource, PathView, RouteView, SourceKind},
};

use super::views::{Links, gateways, kernel_state, source_kind, texts};
use crate::{
    compile::DesiredState,
    control::{
        Asked, Services, judged_services, meaning,
        views::{
            ExplainedKernel, ExplainedPath, ExplainedRoute, ExplainedService, Explanation, Export,
            KernelState, OwnedBy,
        },
    },
};

/// Whom to ask.
pub(super) struct Facts<'a> {
    pub(super) rib: &'a Rib,
    /// Every neighbour: its name and the object that asked for it.
    pub(super) peers: Vec<(PeerId, String, String)>,
    pub(super) desired: Option<&'a DesiredState>,
    pub(super) services: &'a Services,
    /// Where a prefix stands in the kernel, and the route that shall be there.
    pub(super) kernel: &'a dyn Fn(Prefix) -> (InstallState, Option<KernelRoute>),
    pub(super) links: &'a Links,
    /// Why the kernel cannot be reached.
    pub(super) unreachable: Option<String>,
    /// Whether the kernel asks for a gateway in vain.
    pub(super) silent: &'a dyn Fn(&Gateway) -> bool,
}

/// Explains a destination, and what the neighbours of these names are told of it.
pub(super) fn explain(facts: &Facts<'_>, asked: Asked, to: impl Fn(&str) -> bool) -> Explanation {
    let (route, passed_over) = match asked {
        Asked::Prefix(prefix) => (facts.rib.lookup(prefix), Vec::new()),
        Asked::Address(address) => longest_match(facts.rib, address),
    };
    let to_tell = route.as_ref().map(|route| route.prefix);
    let peers = facts.peers.iter().filter(|(_, name, _)| to(name));
    Explanation {
        asked: asked.to_string(),
        services: services(facts.services, asked),
        owner: owner(facts.desired, asked),
        passed_over: passed_over.iter().map(|r| facts.route(r)).collect(),
        route: route.as_ref().map(|route| facts.route(route)),
        exports: to_tell.map_or_else(Vec::new, |prefix| {
            peers
                .map(|(id, name, _)| facts.export(*id, name, prefix))
                .collect()
        }),
    }
}

/// What packets to an address use, and what is more specific and of no use. Where nothing is of use,
/// the most specific prefix that is not is what there is to explain.
fn longest_match(rib: &Rib, address: IpAddr) -> (Option<RouteView>, Vec<RouteView>) {
    let mut unused = Vec::new();
    for prefix in rib.covering(address) {
        let Some(route) = rib.lookup(prefix) else {
            continue;
        };
        if route.best().is_some() {
            return (Some(route), unused);
        }
        unused.push(route);
    }
    if unused.is_empty() {
        return (None, unused);
    }
    (Some(unused.remove(0)), unused)
}

fn owner(desired: Option<&DesiredState>, asked: Asked) -> Option<OwnedBy> {
    let host = asked.prefix();
    let owners = desired?.owners.iter();
    let mut covering = owners.filter(|(prefix, _)| prefix.covers(host));
    covering.next().map(|(prefix, owner)| OwnedBy {
        node: owner.node.clone(),
        prefix: prefix.to_string(),
    })
}

/// The Services that have the address, with what was decided.
fn services(services: &Services, asked: Asked) -> Vec<ExplainedService> {
    judged_services(services)
        .filter(|(row, _)| Prefix::host(row.address) == asked.prefix())
        .map(|(row, why)| ExplainedService {
            service: row.service,
            kind: row.kind,
            state: row.state,
            reason: row.reason,
            meaning: why.map(|why| meaning::of_service(why).to_owned()),
            sources: row.sources,
            prefixes: row.prefixes,
        })
        .collect()
}

impl Facts<'_> {
    fn route(&self, route: &RouteView) -> ExplainedRoute {
        let paths = route.paths.iter().map(|path| self.path(route.prefix, path));
        ExplainedRoute {
            prefix: route.prefix.to_string(),
            paths: paths.collect(),
            kernel: self.kernel_of(route),
        }
    }

    /// A neighbour's name and object.
    fn peer(&self, id: PeerId) -> (String, String) {
        let found = self.peers.iter().find(|(peer, _, _)| *peer == id);
        found.map_or_else(
            || (id.to_string(), String::new()),
            |(_, name, object)| (name.clone(), object.clone()),
        )
    }

    fn path(&self, prefix: Prefix, path: &PathView) -> ExplainedPath {
        let (from, object) = match &path.source {
            PathSource::Peer(id) => self.peer(*id),
            PathSource::Local(source) => ("local".to_owned(), source.to_string()),
        };
        let is_own = path.kind == SourceKind::Local;
        let (meaning, lost_to) = match &path.not_best {
            None => (None, None),
            Some(NotBest::Refused(why)) => (Some(meaning::refusal(*why)), None),
            Some(NotBest::Unresolved(why)) => (Some(meaning::unresolved(*why)), None),
            Some(NotBest::Lost { step, to }) => {
                let to = match to {
                    PathSource::Peer(id) => self.peer(*id).0,
                    PathSource::Local(_) => "local".to_owned(),
                };
                (Some(meaning::lost(*step)), Some(to))
            }
        };
        let reached = match &path.next_hop {
            Some(Ok(resolved)) => gateways(&resolved.gateways, self.links),
            _ => Vec::new(),
        };
        ExplainedPath {
            from,
            object,
            advertised_by: if is_own {
                self.advertised_by(prefix)
            } else {
                Vec::new()
            },
            kind: source_kind(path.kind).to_owned(),
            best: path.best,
            multipath: path.multipath,
            reason: path.not_best.as_ref().map(ToString::to_string),
            meaning: meaning.map(str::to_owned),
            lost_to,
            rules: texts(&path.rules),
            attributes: if is_own {
                BTreeMap::new()
            } else {
                attributes(&path.attrs)
            },
            gateways: reached,
            through: path.through().map(|prefix| prefix.to_string()),
        }
    }

    /// The objects that ask for a route of our own.
    fn advertised_by(&self, prefix: Prefix) -> Vec<String> {
        let origination = self
            .desired
            .and_then(|desired| desired.originations.get(&prefix));
        let mut sources: Vec<_> = origination
            .iter()
            .flat_map(|origination| &origination.advertise)
            .map(|advertise| advertise.source.to_string())
            .collect();
        sources.dedup();
        sources
    }

    fn kernel_of(&self, route: &RouteView) -> ExplainedKernel {
        let (state, wanted) = (self.kernel)(route.prefix);
        let wanted = wanted.as_ref();
        let silent = wanted.map_or(&[][..], KernelRoute::gateways).iter();
        let silent: Vec<Gateway> = silent.filter(|g| (self.silent)(g)).copied().collect();
        let ways = match wanted {
            Some(route) if route.kind == RouteKind::Blackhole => vec!["blackhole".to_owned()],
            Some(route) => gateways(route.gateways(), self.links),
            None => Vec::new(),
        };
        let state = match (state, &self.unreachable) {
            (InstallState::NotDesired, _) => not_wanted(route, self.desired),
            (InstallState::Pending, Some(why)) => KernelState {
                reason: Some("kernel-unreachable".to_owned()),
                detail: Some(format!("the kernel is not reachable: {why}")),
                ..kernel_state(&InstallState::Pending)
            },
            (state, _) => kernel_state(&state),
        };
        ExplainedKernel {
            state,
            gateways: ways,
            silent: gateways(&silent, self.links),
        }
    }

    fn export(&self, id: PeerId, name: &str, prefix: Prefix) -> Export {
        let verdict = self.rib.explain_export(id, prefix);
        let (state, reason, on_the_wire) = match (&verdict.decision, &verdict.told) {
            (Ok(shall), Some(told)) if shall == told => ("told", None, Some(told)),
            (Ok(shall), _) => ("waiting", None, Some(shall)),
            // It has it still.
            (Err(why), Some(told)) => ("waiting", Some(*why), Some(told)),
            (Err(why), None) => ("withheld", Some(*why), None),
        };
        Export {
            to: name.to_owned(),
            state: state.to_owned(),
            reason: reason.map(|why| why.to_string()),
            meaning: reason.map(|why| meaning::withheld(why).to_owned()),
            because: texts(&verdict.because),
            rules: texts(&verdict.rules),
            attributes: on_the_wire.map_or_else(BTreeMap::new, |attrs| attributes(attrs)),
        }
    }
}

/// Why nothing of a prefix goes to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotWanted {
    NoUsablePath,
    OwnRoute,
    NotAskedFor,
    NotYet,
}

impl NotWanted {
    /// The stable identifier, and the same in words.
    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::NoUsablePath => ("no-usable-path", "no path can be used"),
            Self::OwnRoute => (
                "own-route",
                "it is our own: the kernel has its own ways to it",
            ),
            Self::NotAskedFor => (
                "not-asked-for",
                "BGPConfiguration keeps routes out of the kernel",
            ),
            Self::NotYet => ("not-yet", "it has not been handed over yet"),
        }
    }
}

fn not_wanted(route: &RouteView, desired: Option<&DesiredState>) -> KernelState {
    let install = desired.is_none_or(|desired| desired.kernel.install);
    let why = match route.best() {
        None => NotWanted::NoUsablePath,
        Some(best) if best.kind == SourceKind::Local => NotWanted::OwnRoute,
        Some(_) if !install => NotWanted::NotAskedFor,
        Some(_) => NotWanted::NotYet,
    };
    let (reason, detail) = why.texts();
    KernelState {
        state: "not-wanted".to_owned(),
        reason: Some(reason.to_owned()),
        detail: Some(detail.to_owned()),
    }
}

/// Attributes by their names, as birdc has them.
fn attributes(attrs: &PathAttributes) -> BTreeMap<String, String> {
    let list = |texts: Vec<String>| (!texts.is_empty()).then(|| texts.join(" "));
    let clusters = attrs.cluster_list.iter();
    let cluster_list = clusters.map(|id| Ipv4Addr::from_bits(*id).to_string());
    let cluster_list = cluster_list.collect();
    let all = [
        ("origin", Some(attrs.origin.to_string())),
        ("as_path", Some(attrs.as_path.to_string())),
        (
            "next_hop",
            attrs.next_hop.map(|hop| NextHop::addr(hop).to_string()),
        ),
        (
            "local_pref",
            attrs.local_pref.map(|value| value.to_string()),
        ),
        ("med", attrs.med.map(|value| value.to_string())),
        (
            "aigp",
            attrs
                .aigp
                .as_ref()
                .and_then(Aigp::metric)
                .map(|it| it.to_string()),
        ),
        ("otc", attrs.otc.map(|asn| asn.0.to_string())),
        (
            "originator_id",
            attrs.originator_id.map(|id| id.to_string()),
        ),
        ("cluster_list", list(cluster_list)),
        ("community", list(texts(&attrs.communities))),
        ("large_community", list(texts(&attrs.large_communities))),
        ("ext_community", list(texts(&attrs.extended_communities))),
    ];
    let given = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect()
}

#[cfg(test)]
mod tests;
