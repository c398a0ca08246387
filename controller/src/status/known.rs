//! What is to be known of the cluster's objects, beside what the speaker says of itself.

use std::collections::BTreeMap;

use super::conditions::{Verdict, verdicts};
use crate::{control::views::Problem, index::Index, object::ObjectRef};

/// The objects of the cluster, as far as one node's writer is concerned with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What tells this node's Node from an earlier one of its name.
    pub node_uid: Option<String>,
    /// The names of all Nodes.
    pub nodes: Vec<String>,
    /// What is to be said of the objects of our own kinds.
    pub verdicts: BTreeMap<ObjectRef, Verdict>,
}

impl Known {
    /// What the speaker of `node` knows, once every kind was listed.
    #[must_use]
    pub fn of(index: &Index, node: &str) -> Self {
        let Some(objects) = index.complete() else {
            return Self::default();
        };
        let own = objects.nodes.get(node);
        Self {
            node_uid: own.and_then(|own| own.meta.uid.clone()),
            nodes: objects.nodes.keys().cloned().collect(),
            verdicts: verdicts(index),
        }
    }

    /// Whether every node sees this problem, and not just one or some.
    #[must_use]
    pub fn is_seen_by_all(&self, problem: &Problem) -> bool {
        let object = problem
            .object
            .split_once('/')
            .map(|(kind, name)| ObjectRef {
                kind: kind.to_owned(),
                name: name.to_owned(),
            });
        let verdict = object.and_then(|object| self.verdicts.get(&object));
        verdict.is_some_and(|verdict| {
            let mut seen = verdict.problems.iter();
            seen.any(|d| d.field == problem.field && d.reason.as_str() == problem.reason)
        })
    }
}
