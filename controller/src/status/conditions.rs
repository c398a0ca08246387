//! The conditions of `BGPConfiguration`, `BGPPeer` and `BGPAdvertisement`: whether they are in force,
//! and why not.
//!
//! They depend on the objects of the cluster alone, not on the node that looks, so every speaker
//! comes to the same words and any of them can write them ([`turn`](super::turn)). What one node cannot
//! do is in its `BGPNodeStatus`.
//!
//! - `Accepted`: the object can be used as it is. If not, its last good version stays in force.
//! - `ResolvedRefs`: what it names is there.
//! - `NodesSelected`: its `nodeSelector` selects a Node.
//!
//! The latter two are said only of what is accepted: of anything else it is not known what it names.

use std::collections::BTreeMap;

use super::page::cut;
use crate::{
    api::{ConditionSpec, ConditionStatus, LabelSelector},
    compile::missing_references,
    diagnostic::{Diagnostic, Severity},
    index::{Index, Kind, ObjectKey, Objects, Standing},
    object::ObjectRef,
};

/// Most problems that a message tells.
const MAX_PROBLEMS: usize = 5;

/// What is to be said of an object, and what is said of it at the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it stands there.
    pub standing: Standing,
    /// What is to be said.
    pub claims: Vec<Claim>,
    /// What is wrong with it, whichever node looks.
    pub problems: Vec<Diagnostic>,
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
    fn holds(kind: &'static str) -> Self {
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
        let told = problems.iter().take(MAX_PROBLEMS).map(|problem| {
            let text = format!(
                "{}: {} ({})",
                problem.field, problem.message, problem.reason
            );
            cut(text.trim_start_matches(": "))
        });
        let mut told: Vec<String> = told.collect();
        if let Some(more @ 1..) = problems.len().checked_sub(MAX_PROBLEMS) {
            told.push(format!("and {more} more"));
        }
        Self::fails(kind, pascal(first.reason.as_str()), told.join("; "))
    }

    const fn status(&self) -> ConditionStatus {
        if self.holds {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        }
    }
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

impl Verdict {
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
        // A condition of ours that is not claimed any more is told no longer.
        let ours = [ACCEPTED, RESOLVED_REFS, NODES_SELECTED];
        let claimed = |kind: &str| self.claims.iter().any(|claim| claim.kind == kind);
        let stale = |c: &&ConditionSpec| ours.contains(&c.kind.as_str()) && !claimed(&c.kind);
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
const NODES_SELECTED: &str = "NodesSelected";

/// What is to be said of each object that the API server has, once every kind was listed.
#[must_use]
pub fn verdicts(index: &Index) -> BTreeMap<ObjectRef, Verdict> {
    let Some(objects) = index.complete() else {
        return BTreeMap::new();
    };
    let mut missing = missing_references(objects);
    missing.extend_from_slice(index.unresolved());
    let verdict = |(key, standing): (&ObjectKey, &Standing)| {
        let object = key.object_ref();
        let own = index.problems_of(key);
        let errors = own.iter().filter(|p| p.severity == Severity::Error);
        let errors: Vec<&Diagnostic> = errors.collect();
        let named: Vec<&Diagnostic> = missing.iter().filter(|p| p.object == object).collect();
        let mut claims = vec![Claim::no(ACCEPTED, &errors)];
        if errors.is_empty() {
            claims.push(Claim::no(RESOLVED_REFS, &named));
            claims.extend(nodes_selected(objects, key));
        }
        let problems = own.iter().chain(named).cloned().collect();
        let verdict = Verdict {
            standing: standing.clone(),
            claims,
            problems,
        };
        (object, verdict)
    };
    index.standings().map(verdict).collect()
}

/// Whether the object's `nodeSelector`, if it has one, selects a Node.
fn nodes_selected(objects: &Objects, key: &ObjectKey) -> Option<Claim> {
    let selector = match key.kind {
        Kind::BgpPeer => objects.peers.get(&key.name)?.node_selector.as_ref(),
        Kind::BgpAdvertisement => {
            let advertisement = objects.advertisements.get(&key.name)?;
            advertisement.node_selector.as_ref()
        }
        _ => return None,
    };
    let selected = |selector: &LabelSelector| {
        let mut nodes = objects.nodes.values();
        nodes.any(|node| selector.matches(&node.meta.labels))
    };
    Some(if selector.is_none_or(selected) {
        Claim::holds(NODES_SELECTED)
    } else {
        let message = "spec.nodeSelector: no Node has such labels".to_owned();
        Claim::fails(NODES_SELECTED, "NoNodeSelected".to_owned(), message)
    })
}

#[cfg(test)]
mod tests;
