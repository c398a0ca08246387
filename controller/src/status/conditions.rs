//! The conditions of `BGPConfiguration`, `BGPPeer` and `BGPAdvertisement`: whether they are in force,
//! and why not.
//!
//! They depend on the objects of the cluster alone, not on the node that looks, so every speaker
//! comes to the same words and any of them can write them ([`turn`](super::turn)). What one node cannot
//! do is in its `BGPNodeStatus`, and in a condition of its own ([`programmed`](super::programmed)).
//!
//! - `Accepted`: the object can be used as it is. If not, its last good version stays in force.
//! - `ResolvedRefs`: what it names is there.
//! - `NodesSelected`: its `nodeSelector` selects a Node; that of the reflectors one of each AS.
//! - `PeersSelected`: its `peers` selects a `BGPPeer`.
//! - `NoConflicts`: no other object keeps it out of force on a node that it is for.
//!
//! All but the first are said only of what is accepted: of anything else it is not known what it names.
//! And of a version that waits for what it names, only that is said: what it would select is not in force.

use std::{collections::BTreeMap, time::Duration};

use super::{
    known::{WITNESSES, is_witness},
    page::cut,
    ring::{Ring, first},
};
use crate::{
    api::{ConditionSpec, ConditionStatus, LabelSelector},
    compile::{self, Clash, Selection, missing_references, selects_no_peer, without_reflector},
    control::views::Problem,
    diagnostic::{Diagnostic, Severity},
    index::{Index, Kind, ObjectKey, Objects, Standing},
    object::ObjectRef,
};

/// Most problems that a message tells.
const MAX_PROBLEMS: usize = 5;

/// What is to be said of an object, and what is said of it at the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The conditions that can be claimed: another one is not this writer's.
    pub kinds: &'static [&'static str],
    /// How much later than in its turn a node says so.
    pub late: Duration,
    /// How it stands there.
    pub standing: Standing,
    /// What is to be said.
    pub claims: Vec<Claim>,
    /// What is wrong with it, whichever node looks.
    pub problems: Vec<Diagnostic>,
    /// What is wrong with it on some nodes.
    pub clashes: Vec<WitnessedClash>,
}

/// Something that is wrong with an object on some nodes, and which of them tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessedClash {
    /// What.
    pub problem: Diagnostic,
    /// Names of nodes.
    pub witnesses: Vec<String>,
}

impl WitnessedClash {
    fn of(clash: Clash<'_>) -> Self {
        let subject = clash.problem.object.to_string();
        Self {
            witnesses: first(WITNESSES, &subject, &clash.nodes),
            problem: clash.problem,
        }
    }
}

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its type.
    pub kind: &'static str,
    /// Why, for machines. The type itself, if it holds.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Whether it holds.
    pub holds: bool,
}

impl Claim {
    pub(super) fn holds(kind: &'static str) -> Self {
        Self {
            kind,
            reason: kind.to_owned(),
            message: String::new(),
            holds: true,
        }
    }

    fn fails(kind: &'static str, reason: String, message: String) -> Self {
        Self {
            kind,
            reason,
            message,
            holds: false,
        }
    }

    /// That these problems are none, or the first few of them.
    fn no(kind: &'static str, problems: &[&Diagnostic]) -> Self {
        let Some(first) = problems.first() else {
            return Self::holds(kind);
        };
        let told = problems.iter().take(MAX_PROBLEMS);
        let told = told.map(|it| in_words(&it.field, &it.message, it.reason.as_str()));
        let mut told: Vec<String> = told.collect();
        if let Some(more @ 1..) = problems.len().checked_sub(MAX_PROBLEMS) {
            told.push(format!("and {more} more"));
        }
        Self::fails(kind, pascal(first.reason.as_str()), told.join("; "))
    }

    /// That this node has this trouble.
    pub(super) fn of_node(kind: &'static str, node: &str, problem: &Problem) -> Self {
        let text = in_words(&problem.field, &problem.message, &problem.reason);
        Self::fails(kind, pascal(&problem.reason), format!("{node}: {text}"))
    }

    const fn status(&self) -> ConditionStatus {
        if self.holds {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        }
    }
}

/// A problem in one line, as conditions and Events have it.
pub(super) fn in_words(field: &str, message: &str, reason: &str) -> String {
    let text = format!("{field}: {message} ({reason})");
    cut(text.trim_start_matches(": "))
}

/// `invalid-asn` in the form that reasons of conditions must have: `InvalidAsn`.
fn pascal(kebab: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    kebab.split('-').map(capital).collect()
}

/// Whether this is the problem that the speaker shows as that.
fn is_it(diagnostic: &Diagnostic, problem: &Problem) -> bool {
    diagnostic.field == problem.field && diagnostic.reason.as_str() == problem.reason
}

impl Verdict {
    /// Whether this problem with the object is in the claims.
    pub(super) fn knows(&self, problem: &Problem) -> bool {
        let clashes = self.clashes.iter().map(|it| &it.problem);
        let mut all = self.problems.iter().chain(clashes);
        all.any(|it| is_it(it, problem))
    }

    /// Whether the speaker of `own`, which sees this problem with the object, tells of it.
    pub(super) fn is_told_by(&self, own: &str, problem: &Problem, nodes: &Ring) -> bool {
        if self.problems.iter().any(|it| is_it(it, problem)) {
            return is_witness(own, &problem.object, nodes);
        }
        let mut known = self
            .clashes
            .iter()
            .filter(|it| is_it(&it.problem, problem))
            .peekable();
        known.peek().is_none() || known.any(|it| it.witnesses.iter().any(|name| name == own))
    }

    /// Whether the API server has all this already, or something about a later version of the object.
    #[must_use]
    pub fn is_told(&self) -> bool {
        let conditions = &self.standing.conditions;
        let later = |c: &ConditionSpec| c.observed_generation > self.standing.generation;
        let same = |claim: &Claim| {
            conditions.iter().any(|c| {
                c.kind == claim.kind
                    && c.status == claim.status()
                    && c.reason == claim.reason
                    && c.message == claim.message
                    && c.observed_generation == self.standing.generation
            })
        };
        // A condition that is not claimed any more is told no longer.
        let claimed = |kind: &str| self.claims.iter().any(|claim| claim.kind == kind);
        let stale = |c: &&ConditionSpec| self.kinds.contains(&c.kind.as_str()) && !claimed(&c.kind);
        conditions.iter().any(later)
            || (self.claims.iter().all(same) && !conditions.iter().any(|c| stale(&c)))
    }

    /// The conditions to write at the time `now`. One whose status is as before keeps its time.
    #[must_use]
    pub fn conditions(&self, now: &str) -> Vec<ConditionSpec> {
        let condition = |claim: &Claim| {
            let before = self.standing.conditions.iter();
            let mut before = before.filter(|c| c.kind == claim.kind && c.status == claim.status());
            ConditionSpec {
                kind: claim.kind.to_owned(),
                status: claim.status(),
                observed_generation: self.standing.generation,
                last_transition_time: before
                    .next()
                    .map_or_else(|| now.to_owned(), |c| c.last_transition_time.clone()),
                reason: claim.reason.clone(),
                message: claim.message.clone(),
            }
        };
        self.claims.iter().map(condition).collect()
    }
}

const ACCEPTED: &str = "Accepted";
const RESOLVED_REFS: &str = "ResolvedRefs";
pub(super) const NODES_SELECTED: &str = "NodesSelected";
const PEERS_SELECTED: &str = "PeersSelected";
const NO_CONFLICTS: &str = "NoConflicts";
/// What depends on objects alone.
const OBJECTS_ALONE: [&str; 5] = [
    ACCEPTED,
    RESOLVED_REFS,
    NODES_SELECTED,
    PEERS_SELECTED,
    NO_CONFLICTS,
];

/// What is to be said of each object that the API server has, once every kind was listed.
#[must_use]
pub fn verdicts(index: &Index) -> BTreeMap<ObjectRef, Verdict> {
    let Some(objects) = index.complete() else {
        return BTreeMap::new();
    };
    verdicts_of(index, objects, &Selection::of(objects))
}

pub(super) fn verdicts_of(
    index: &Index,
    objects: &Objects,
    selection: &Selection<'_>,
) -> BTreeMap<ObjectRef, Verdict> {
    let missing = missing_references(objects);
    let mut clashes: BTreeMap<ObjectRef, Vec<WitnessedClash>> = BTreeMap::new();
    let without_reflector = without_reflector(objects);
    let reflects = without_reflector.is_some();
    for clash in compile::clashes(objects, selection)
        .into_iter()
        .chain(without_reflector.into_iter().flatten())
    {
        let of_object = clashes.entry(clash.problem.object.clone()).or_default();
        of_object.push(WitnessedClash::of(clash));
    }
    let verdict = |(key, standing): (&ObjectKey, &Standing)| {
        let object = key.object_ref();
        let own = index.problems_of(key);
        let errors: Vec<&Diagnostic> = own
            .iter()
            .filter(|p| p.severity == Severity::Error)
            .collect();
        // Of a version that waits, what the one before names and selects is not worth telling.
        let waits = index.is_waiting(key);
        let in_force = missing.iter().filter(|_| !waits);
        let named = in_force.chain(index.unresolved());
        let named: Vec<&Diagnostic> = named.filter(|p| p.object == object).collect();
        let clashes = clashes.get(&object).cloned().unwrap_or_default();
        let mut claims = vec![Claim::no(ACCEPTED, &errors)];
        if errors.is_empty() {
            claims.push(Claim::no(RESOLVED_REFS, &named));
        }
        if errors.is_empty() && !waits {
            let selected = selected((objects, selection), key, &clashes, reflects);
            claims.extend(selected);
        }
        let problems = own.iter().chain(named).cloned().collect();
        let verdict = Verdict {
            kinds: &OBJECTS_ALONE,
            late: Duration::ZERO,
            standing: standing.clone(),
            claims,
            problems,
            clashes,
        };
        (object, verdict)
    };
    index.standings().map(verdict).collect()
}

/// What there is to say of what the object selects. `reflects`: whether reflectors are chosen by label.
fn selected(
    (objects, selection): (&Objects, &Selection<'_>),
    key: &ObjectKey,
    clashes: &[WitnessedClash],
    reflects: bool,
) -> Vec<Claim> {
    let clashes: Vec<&Diagnostic> = clashes.iter().map(|it| &it.problem).collect();
    match key.kind {
        Kind::BgpPeer => {
            let Some(peer) = objects.peers.get(&key.name) else {
                return Vec::new();
            };
            let nodes = nodes_selected(selection, peer.node_selector.as_ref());
            vec![nodes, Claim::no(NO_CONFLICTS, &clashes)]
        }
        Kind::BgpAdvertisement => {
            let Some(advertisement) = objects.advertisements.get(&key.name) else {
                return Vec::new();
            };
            let nobody = selects_no_peer(objects, advertisement);
            let nobody: Vec<&Diagnostic> = nobody.iter().collect();
            vec![
                nodes_selected(selection, advertisement.node_selector.as_ref()),
                Claim::no(PEERS_SELECTED, &nobody),
                Claim::no(NO_CONFLICTS, &clashes),
            ]
        }
        Kind::BgpConfiguration if reflects => vec![Claim::no(NODES_SELECTED, &clashes)],
        _ => Vec::new(),
    }
}

/// Whether the object's `nodeSelector`, if it has one, selects a Node.
fn nodes_selected(selection: &Selection<'_>, selector: Option<&LabelSelector>) -> Claim {
    if selector.is_none() || selection.selected(selector).next().is_some() {
        Claim::holds(NODES_SELECTED)
    } else {
        let message = "spec.nodeSelector: no Node has such labels".to_owned();
        Claim::fails(NODES_SELECTED, "NoNodeSelected".to_owned(), message)
    }
}

#[cfg(test)]
mod tests;
