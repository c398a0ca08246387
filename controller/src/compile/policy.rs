//! Which rules stand before each neighbour, and how fast it is found dead.
//!
//! The policies of the `BGPConfiguration` are asked first, then those of the mesh or of the `BGPPeer`.
//! Here labels and names become what the RIB knows: pod CIDRs, and the neighbours by the name that
//! their routes carry. A rule that is not meant for a neighbour is left out there. Neighbours whose
//! chains come out the same share one program.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use redstart_bgp::types::Prefix;
use redstart_rib::{
    PeerPolicies,
    policy::{Action, Condition, PrefixRange, Program, Rule, RuleSource, SafeDefaults},
};

use super::{
    Bfd, Import, Peer, PeerName, PeerRole, RemoteAs, Scope, Spares, configuration_ref, mesh,
};
use crate::{
    api::{BFDProfileSpec, BfdSpec, LabelSelector, PoliciesSpec},
    diagnostic::Diagnostic,
    index::{Kind, Neighbours, PolicyRule, not_there},
    labels::Labels,
    object::ObjectRef,
};

/// Gives every neighbour its policies, and what else comes from objects that are named. Returns the
/// sessions of the mesh that need not be, with theirs.
pub(super) fn assign(
    scope: &Scope<'_>,
    peers: &mut BTreeMap<PeerName, Peer>,
    mesh: &mesh::Sessions<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Spares {
    let mut chains = Chains::new(scope, peers, mesh);
    for peer in peers.values_mut() {
        chains.assign(peer, diagnostics);
    }
    mesh.spares(scope, |peer| chains.assign(peer, diagnostics))
}

impl Peer {
    /// The name that its routes carry, for policies: that of the `BGPPeer`, or `mesh-NODE`.
    pub(crate) fn policy_name(&self) -> String {
        match &self.role {
            PeerRole::Mesh { node } => super::mesh::peer_name(node).0,
            PeerRole::Router => self.source.name.clone(),
        }
    }

    fn is_external(&self) -> bool {
        match self.remote_as {
            RemoteAs::Number(asn) => asn != self.local_as,
            RemoteAs::Internal => false,
            RemoteAs::External => true,
        }
    }
}

/// Which way routes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Import,
    Export,
}

impl Way {
    const fn of(self, spec: &PoliciesSpec) -> (&Vec<String>, &'static str) {
        match self {
            Self::Import => (&spec.import, "import"),
            Self::Export => (&spec.export, "export"),
        }
    }
}

/// The lists of names that count for a neighbour, in order, each with the object and the field that
/// it stands in.
struct Lists<'a>(Vec<(ObjectRef, &'static str, &'a PoliciesSpec)>);

impl<'a> Lists<'a> {
    fn of(scope: &Scope<'a>, peer: &Peer) -> Self {
        let configuration = scope.configuration;
        let all = (
            configuration_ref(),
            "spec.policies",
            &configuration.policies,
        );
        let mut lists = vec![all];
        match &peer.role {
            PeerRole::Mesh { .. } => {
                let mesh = &configuration.mesh.policies;
                lists.push((configuration_ref(), "spec.mesh.policies", mesh));
            }
            PeerRole::Router => {
                let router = scope.objects.peers.get(&peer.source.name);
                let own = router.map(|r| (peer.source.clone(), "spec.policies", &r.policies));
                lists.extend(own);
            }
        }
        Self(lists)
    }

    /// Every name, with the object and the field that it stands in.
    fn names(&self, way: Way) -> impl Iterator<Item = (&ObjectRef, String, &str)> {
        self.0.iter().flat_map(move |(object, field, spec)| {
            let (names, direction) = way.of(spec);
            let named = (0..).zip(names);
            named.map(move |(i, name)| (object, format!("{field}.{direction}[{i}]"), name.as_str()))
        })
    }
}

/// Makes programs, each once.
struct Chains<'a> {
    scope: &'a Scope<'a>,
    /// Each neighbour's name and labels, for rules that ask where a route was learned.
    neighbours: Vec<(Arc<str>, Option<&'a Labels>)>,
    made: Vec<Arc<Program>>,
    /// The cluster's own ranges.
    refused: Arc<BTreeSet<Prefix>>,
}

impl<'a> Chains<'a> {
    fn new(
        scope: &'a Scope<'a>,
        peers: &BTreeMap<PeerName, Peer>,
        mesh: &mesh::Sessions<'a>,
    ) -> Self {
        let named = |peer: &Peer| (peer.policy_name().into(), labels(scope, peer));
        let spare = mesh.spare.iter();
        let spare = spare.map(|(name, it)| (name.0.as_str().into(), Some(&it.node.meta.labels)));
        let pod_cidrs = scope.pod_cidrs.all().iter().copied();
        let refused = pod_cidrs.chain(scope.service_ranges()).collect();
        Self {
            scope,
            neighbours: peers.values().map(named).chain(spare).collect(),
            made: vec![Arc::default()],
            refused: Arc::new(refused),
        }
    }

    fn assign(&mut self, peer: &mut Peer, diagnostics: &mut Vec<Diagnostic>) {
        let lists = Lists::of(self.scope, peer);
        peer.policies = PeerPolicies {
            import: self.program(peer, &lists, Way::Import, diagnostics),
            export: self.program(peer, &lists, Way::Export, diagnostics),
        };
        peer.bfd = bfd(self.scope, peer, diagnostics);
        if let Import::AllBut { refuse, .. } = &mut peer.import {
            *refuse = Arc::clone(&self.refused);
        }
    }

    fn program(
        &mut self,
        peer: &Peer,
        lists: &Lists<'_>,
        way: Way,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Arc<Program> {
        let (name, labels) = (peer.policy_name(), labels(self.scope, peer));
        let mut rules = Vec::new();
        for (object, field, policy) in lists.names(way) {
            let Some(found) = self.scope.objects.policies.get(policy) else {
                diagnostics.push(not_there(object.clone(), field, Kind::BgpPolicy, policy));
                rules.push(nothing_passes(&format!("{policy} (missing)")));
                continue;
            };
            let source: Arc<str> = policy.into();
            for (number, rule) in (1..).zip(&found.rules) {
                let meant = |peers: &Neighbours| peers.include(&name, labels);
                if rule.peers.as_ref().is_none_or(meant) {
                    rules.push(self.rule(&source, number, rule));
                }
            }
        }
        if rules.is_empty() && self.is_closed(peer, way) {
            rules.push(nothing_passes("requireEBGPPolicy"));
        }
        self.share(rules)
    }

    /// Whether nothing may pass without a policy. A `BGPAdvertisement` is one, for export.
    fn is_closed(&self, peer: &Peer, way: Way) -> bool {
        let advertised = way == Way::Export && !self.scope.objects.advertisements.is_empty();
        let router = peer.role == PeerRole::Router && peer.is_external();
        self.scope.configuration.require_ebgp_policy && router && !advertised
    }

    fn share(&mut self, rules: Vec<Rule>) -> Arc<Program> {
        if let Some(same) = self.made.iter().find(|p| p.rules() == rules) {
            return Arc::clone(same);
        }
        let program = Arc::new(Program::new(rules));
        self.made.push(Arc::clone(&program));
        program
    }

    fn rule(&self, policy: &Arc<str>, number: u16, rule: &PolicyRule) -> Rule {
        let mut conditions = rule.conditions.clone();
        conditions.extend(rule.origin_nodes.as_ref().map(|nodes| self.origin(nodes)));
        conditions.extend(rule.learned_from.as_ref().map(|from| {
            let meant = self.neighbours.iter();
            let meant = meant.filter(|(name, labels)| from.include(name, *labels));
            Condition::LearnedFrom(meant.map(|(name, _)| Arc::clone(name)).collect())
        }));
        Rule {
            source: RuleSource {
                policy: Arc::clone(policy),
                number,
                name: rule.name.clone(),
            },
            conditions,
            changes: rule.changes.clone(),
            action: rule.action,
            overrides: rule.overrides,
        }
    }

    fn origin(&self, selector: &LabelSelector) -> Condition {
        let nodes = self.scope.objects.nodes.values();
        let chosen = nodes.filter(|node| selector.matches(&node.meta.labels));
        let pods = chosen.flat_map(|node| self.scope.pod_cidrs.of(&node.meta.name));
        Condition::Node {
            pods: pods.map(PrefixRange::within).collect(),
            own: selector.matches(&self.scope.own.meta.labels),
        }
    }
}

impl Neighbours {
    fn include(&self, name: &str, labels: Option<&Labels>) -> bool {
        let (none, selector) = (Labels::default(), self.labels.as_ref());
        self.names.contains(name) || selector.is_some_and(|s| s.matches(labels.unwrap_or(&none)))
    }
}

/// The labels that a neighbour is known by: those of its `BGPPeer` or of its Node.
fn labels<'a>(scope: &Scope<'a>, peer: &Peer) -> Option<&'a Labels> {
    let meta = match &peer.role {
        PeerRole::Mesh { node } => scope.objects.nodes.get(node).map(|n| &n.meta),
        PeerRole::Router => scope.objects.peers.get(&peer.source.name).map(|p| &p.meta),
    };
    meta.map(|meta| &meta.labels)
}

/// A rule that nobody wrote: it rejects every route.
fn nothing_passes(why: &str) -> Rule {
    Rule {
        source: RuleSource {
            policy: why.into(),
            number: 0,
            name: None,
        },
        conditions: Vec::new(),
        changes: Vec::new(),
        action: Action::Reject,
        overrides: SafeDefaults::NONE,
    }
}

fn bfd(scope: &Scope<'_>, peer: &Peer, diagnostics: &mut Vec<Diagnostic>) -> Option<Bfd> {
    let (object, field, wanted): (_, _, Option<&BfdSpec>) = match &peer.role {
        PeerRole::Mesh { .. } => {
            let wanted = scope.configuration.mesh.bfd.as_ref();
            (configuration_ref(), "spec.mesh.bfd.profile", wanted)
        }
        PeerRole::Router => {
            let router = scope.objects.peers.get(&peer.source.name);
            let wanted = router.and_then(|r| r.bfd.as_ref());
            (peer.source.clone(), "spec.bfd.profile", wanted)
        }
    };
    let Some(name) = &wanted?.profile else {
        return Some(Bfd::from(&BFDProfileSpec::default()));
    };
    let Some(profile) = scope.objects.bfd_profiles.get(name) else {
        let field = field.to_owned();
        diagnostics.push(not_there(object, field, Kind::BfdProfile, name));
        return None;
    };
    Some(Bfd::from(&profile.spec))
}

impl From<&BFDProfileSpec> for Bfd {
    fn from(spec: &BFDProfileSpec) -> Self {
        let interval = |milliseconds: u32| Duration::from_millis(milliseconds.into());
        Self {
            receive: interval(spec.receive_interval),
            transmit: interval(spec.transmit_interval),
            multiplier: spec.detect_multiplier,
            passive: spec.passive_mode,
            minimum_ttl: spec.minimum_ttl,
        }
    }
}
