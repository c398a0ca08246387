//! `BGPPolicy`, parsed: what can be said of a rule without knowing nodes and neighbours.

use std::{collections::BTreeSet, fmt::Display, net::IpAddr, str::FromStr, sync::Arc};

use redstart_bgp::types::{Asn, Prefix};
use redstart_rib::policy::{
    Action, AnyCommunity, Between, Change, Communities, CommunityPattern, Condition, PathPattern,
    PrefixRange, RouteSource, SafeDefault, SafeDefaults, SetNextHop,
};

use super::{
    Kind, Meta, Object, ObjectKey, Observed,
    observed::Findings,
    values::{families, range, selector, usable_unicast},
};
use crate::{
    api::{
        BGPPolicy, BetweenSpec, CommunityChangeSpec, CommunityMatchSpec, LabelSelector, MatchSpec,
        PathMatchSpec, PeerSelector, PoliciesSpec, PolicyAction, PolicyRuleSpec, PrefixRangeSpec,
        RouteSourceSpec, SafeDefaultSpec, SetSpec,
    },
    diagnostic::Reason,
};

/// A `BGPPolicy` whose every field means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name and the like.
    pub meta: Meta,
    /// The rules, in order.
    pub rules: Vec<PolicyRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Conditions that depend on the route alone.
    pub conditions: Vec<Condition>,
    /// The neighbour that sent the route.
    pub learned_from: Option<Neighbours>,
    /// The neighbour of the session.
    pub peers: Option<Neighbours>,
    /// Labels of the node that the route belongs to.
    pub origin_nodes: Option<LabelSelector>,
    /// What is changed.
    pub changes: Vec<Change>,
    /// What becomes of the route.
    pub action: Action,
    /// The safe defaults that do not hold for it.
    pub overrides: SafeDefaults,
}

/// Neighbours by name or by labels: one of the two is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbours {
    /// The names.
    pub names: BTreeSet<String>,
    /// The labels, if any are asked for.
    pub labels: Option<LabelSelector>,
}

impl From<&BGPPolicy> for Observed {
    fn from(object: &BGPPolicy) -> Self {
        let meta = Meta::from(&object.metadata);
        let key = ObjectKey::cluster(Kind::BgpPolicy, meta.name.as_str());
        let mut findings = Findings::new(&key);
        let spec = &object.spec;
        range("spec.rules", &spec.rules.len(), 1..=1024, &mut findings);
        let rules = (0..).zip(&spec.rules).map(|(i, rule)| {
            let field = format!("spec.rules[{i}]");
            parse_rule(&field, rule, &mut findings)
        });
        let rules = rules.collect();
        findings.keep_if_clean(key, Some(Object::Policy(Policy { meta, rules })))
    }
}

fn parse_rule(field: &str, spec: &PolicyRuleSpec, findings: &mut Findings) -> PolicyRule {
    let empty = spec.set == SetSpec::default() && spec.overrides.is_empty();
    if spec.action == PolicyAction::Reject && !empty {
        let message = "a rule that rejects can neither set nor override anything";
        findings.error(format!("{field}.action"), Reason::Conflict, message);
    }
    let matches = format!("{field}.match");
    if let Some(labels) = &spec.matches.origin_nodes {
        selector(&format!("{matches}.originNodes"), labels, findings);
    }
    let learned_from = &spec.matches.learned_from;
    PolicyRule {
        name: spec.name.as_deref().map(Arc::from),
        conditions: conditions(&matches, &spec.matches, findings),
        learned_from: neighbours(&format!("{matches}.learnedFrom"), learned_from, findings),
        peers: neighbours(&format!("{matches}.peers"), &spec.matches.peers, findings),
        origin_nodes: spec.matches.origin_nodes.clone(),
        changes: changes(&format!("{field}.set"), &spec.set, findings),
        action: match spec.action {
            PolicyAction::Accept => Action::Accept,
            PolicyAction::Reject => Action::Reject,
            PolicyAction::Next => Action::Next,
        },
        overrides: spec.overrides.iter().copied().map(safe_default).collect(),
    }
}

const fn safe_default(spec: SafeDefaultSpec) -> SafeDefault {
    match spec {
        SafeDefaultSpec::DefaultRoute => SafeDefault::DefaultRoute,
        SafeDefaultSpec::ClusterRanges => SafeDefault::ClusterRanges,
        SafeDefaultSpec::Martians => SafeDefault::Martians,
        SafeDefaultSpec::LearnedRoutes => SafeDefault::LearnedRoutes,
    }
}

fn neighbours(field: &str, spec: &PeerSelector, findings: &mut Findings) -> Option<Neighbours> {
    let labels = LabelSelector {
        match_labels: spec.match_labels.clone(),
        match_expressions: spec.match_expressions.clone(),
    };
    selector(field, &labels, findings);
    let asked = *spec != PeerSelector::default();
    asked.then(|| Neighbours {
        names: spec.names.iter().cloned().collect(),
        labels: (labels != LabelSelector::default()).then_some(labels),
    })
}

/// What is said about the route itself; a list that is empty says nothing.
fn conditions(field: &str, spec: &MatchSpec, findings: &mut Findings) -> Vec<Condition> {
    let mut all = Vec::new();
    if let Some(families) = families(&spec.families) {
        all.push(Condition::Families(families.iter().collect()));
    }
    if !spec.prefixes.is_empty() {
        let ranges = (0..).zip(&spec.prefixes).filter_map(|(i, range)| {
            prefix_range(&format!("{field}.prefixes[{i}]"), range, findings)
        });
        all.push(Condition::Prefixes(ranges.collect()));
    }
    if !spec.sources.is_empty() {
        let sources = spec.sources.iter().map(|source| match source {
            RouteSourceSpec::Mesh => RouteSource::Mesh,
            RouteSourceSpec::Router => RouteSource::Router,
            RouteSourceSpec::Own => RouteSource::Own,
        });
        all.push(Condition::From(sources.collect()));
    }
    communities(
        &format!("{field}.communities"),
        &spec.communities,
        &mut all,
        findings,
    );
    as_path(
        &format!("{field}.asPath"),
        &spec.as_path,
        &mut all,
        findings,
    );
    let local_pref = between(&format!("{field}.localPref"), spec.local_pref, findings);
    all.extend(local_pref.map(Condition::LocalPref));
    let med = between(&format!("{field}.med"), spec.med, findings);
    all.extend(med.map(Condition::Med));
    all
}

fn prefix_range(
    field: &str,
    spec: &PrefixRangeSpec,
    findings: &mut Findings,
) -> Option<PrefixRange> {
    let cidr = format!("{field}.cidr");
    let prefix: Prefix = findings.take(&cidr, Reason::InvalidCidr, spec.cidr.parse())?;
    let range = PrefixRange::new(prefix, spec.ge, spec.le).ok_or_else(|| {
        format!("no prefix within {prefix} has such a length: ge and le must be {} or more, ge at most le", prefix.len())
    });
    findings.take(field, Reason::InvalidValue, range)
}

fn communities(
    field: &str,
    spec: &CommunityMatchSpec,
    all: &mut Vec<Condition>,
    findings: &mut Findings,
) {
    let mut patterns = |name: &str, texts: &[String]| {
        let place = format!("{field}.{name}");
        let reason = Reason::InvalidCommunity;
        let patterns: Vec<CommunityPattern> = parse_each(&place, reason, texts, findings);
        (!texts.is_empty()).then_some(patterns)
    };
    all.extend(patterns("any", &spec.any).map(Condition::AnyCommunity));
    all.extend(patterns("all", &spec.all).map(Condition::AllCommunities));
    all.extend(patterns("none", &spec.none).map(Condition::NoCommunity));
}

fn as_path(field: &str, spec: &PathMatchSpec, all: &mut Vec<Condition>, findings: &mut Findings) {
    let asns = |numbers: &[u32]| {
        let asns: BTreeSet<Asn> = numbers.iter().copied().map(Asn).collect();
        (!asns.is_empty()).then_some(asns)
    };
    all.extend(asns(&spec.contains).map(Condition::PathContains));
    all.extend(asns(&spec.origin).map(Condition::OriginAs));
    all.extend(asns(&spec.neighbor).map(Condition::NeighborAs));
    if !spec.patterns.is_empty() {
        let place = format!("{field}.patterns");
        let patterns: Vec<PathPattern> =
            parse_each(&place, Reason::InvalidValue, &spec.patterns, findings);
        all.push(Condition::Path(patterns));
    }
    let length = BetweenSpec {
        min: spec.min_length,
        max: spec.max_length,
    };
    all.extend(between(field, length, findings).map(Condition::PathLength));
}

fn between(field: &str, spec: BetweenSpec, findings: &mut Findings) -> Option<Between> {
    let said = spec != BetweenSpec::default();
    let between = Between {
        min: spec.min.unwrap_or(0),
        max: spec.max.unwrap_or(u32::MAX),
    };
    if between.min > between.max {
        let message = format!("nothing is within {}..{}", between.min, between.max);
        findings.error(field, Reason::InvalidValue, message);
    }
    said.then_some(between)
}

fn changes(field: &str, spec: &SetSpec, findings: &mut Findings) -> Vec<Change> {
    if spec.med.is_some() && spec.remove_med {
        let message = "med and removeMED exclude each other";
        findings.error(format!("{field}.removeMED"), Reason::Conflict, message);
    }
    let mut all = Vec::new();
    all.extend(spec.local_pref.map(Change::LocalPref));
    all.extend(spec.med.map(|med| Change::Med(Some(med))));
    all.extend(spec.remove_med.then_some(Change::Med(None)));
    let place = format!("{field}.communities");
    community_changes(&place, &spec.communities, &mut all, findings);
    if let Some(times) = spec.prepend {
        range(&format!("{field}.prepend"), &times, 1..=16, findings);
        all.push(Change::Prepend(times));
    }
    if let Some(text) = &spec.next_hop {
        let next_hop = next_hop(text);
        let next_hop = findings.take(
            &format!("{field}.nextHop"),
            Reason::InvalidAddress,
            next_hop,
        );
        all.extend(next_hop.map(Change::NextHop));
    }
    all
}

fn community_changes(
    field: &str,
    spec: &CommunityChangeSpec,
    all: &mut Vec<Change>,
    findings: &mut Findings,
) {
    if let Some(texts) = &spec.replace {
        let communities = exact_communities(&format!("{field}.replace"), texts, findings);
        all.push(Change::ReplaceCommunities(communities));
    }
    if !spec.remove.is_empty() {
        let place = format!("{field}.remove");
        let patterns = parse_each(&place, Reason::InvalidCommunity, &spec.remove, findings);
        all.push(Change::RemoveCommunities(patterns));
    }
    if !spec.add.is_empty() {
        let communities = exact_communities(&format!("{field}.add"), &spec.add, findings);
        all.push(Change::AddCommunities(communities));
    }
}

fn exact_communities(field: &str, texts: &[String], findings: &mut Findings) -> Communities {
    let mut communities = Communities::default();
    for community in parse_each(field, Reason::InvalidCommunity, texts, findings) {
        match community {
            AnyCommunity::Standard(c) => _ = communities.standard.insert(c),
            AnyCommunity::Extended(c) => _ = communities.extended.insert(c),
            AnyCommunity::Large(c) => _ = communities.large.insert(c),
        }
    }
    communities
}

fn next_hop(text: &str) -> Result<SetNextHop, String> {
    Ok(match text {
        "Self" => SetNextHop::Own,
        "Unchanged" => SetNextHop::Unchanged,
        "Peer" => SetNextHop::Peer,
        text => {
            let address: IpAddr = text
                .parse()
                .map_err(|_| format!("{text:?} is not an IP address, Self, Unchanged or Peer"))?;
            SetNextHop::Address(usable_unicast(address)?)
        }
    })
}

fn parse_each<T: FromStr<Err: Display>>(
    field: &str,
    reason: Reason,
    texts: &[String],
    findings: &mut Findings,
) -> Vec<T> {
    let parse =
        |(i, text): (usize, &String)| findings.take(&format!("{field}[{i}]"), reason, text.parse());
    texts.iter().enumerate().filter_map(parse).collect()
}

/// Names that can be those of objects, each once.
pub(super) fn policies(field: &str, spec: &PoliciesSpec, findings: &mut Findings) {
    for (way, names) in [("import", &spec.import), ("export", &spec.export)] {
        let mut seen = BTreeSet::new();
        for (i, name) in names.iter().enumerate() {
            let field = format!("{field}.{way}[{i}]");
            if name.is_empty() {
                findings.error(field, Reason::InvalidValue, "must not be empty");
            } else if !seen.insert(name) {
                let message = format!("{name:?} is named twice; the second time changes nothing");
                findings.error(field, Reason::Conflict, message);
            }
        }
    }
}

#[cfg(test)]
mod tests;
