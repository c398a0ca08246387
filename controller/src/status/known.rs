//! What is to be known of the cluster's objects, beside what the speaker says of itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    conditions::{Verdict, verdicts_of},
    ring::Ring,
};
use crate::{
    compile::Selection,
    control::views::Problem,
    diagnostic::Reason,
    index::{Index, Kind, Node, Objects},
    object::ObjectRef,
};

/// Nodes that tell of what many of them see.
pub const WITNESSES: usize = 3;

/// The objects of the cluster, as far as one node's writer is concerned with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What tells this node's Node from an earlier one of its name.
    pub node_uid: Option<String>,
    /// All Nodes.
    pub nodes: Ring,
    /// Those that are not ready.
    pub unready: BTreeSet<String>,
    /// What is to be said of the objects of our own kinds.
    pub verdicts: BTreeMap<ObjectRef, Verdict>,
    /// Those with addresses of the same families as this node has: what one of them finds wrong with
    /// another Node, they all do.
    pub alike: Ring,
    /// For each choice of Services that is this node's, whose it is: what one of them finds wrong with a
    /// Service that is chosen, they all do.
    pub choosing: BTreeSet<Ring>,
}

impl Known {
    /// What the speaker of `node` knows, once every kind was listed.
    #[must_use]
    pub fn of(index: &Index, node: &str) -> Self {
        let Some(objects) = index.complete() else {
            return Self::default();
        };
        let selection = Selection::of(objects);
        let own = objects.nodes.get(node);
        let nodes: Ring = objects.nodes.keys().map(String::as_str).collect();
        let unready = objects.nodes.values().filter(|node| node.is_unready);
        let choosing = own.map(|own| choosing(objects, &selection, own, &nodes));
        Self {
            unready: unready.map(|node| node.meta.name.clone()).collect(),
            node_uid: own.and_then(|own| own.meta.uid.clone()),
            verdicts: verdicts_of(index, objects, &selection),
            alike: own.map(|own| alike(objects, own)).unwrap_or_default(),
            choosing: choosing.unwrap_or_default(),
            nodes,
        }
    }

    /// Whether the speaker of `own`, which sees this problem, has an Event of it. What is the trouble of
    /// one node is told by that node, and what many see by [`WITNESSES`] of them, chosen by everyone alike
    /// from the names: else one bad object in a cluster of N nodes made N Events.
    #[must_use]
    pub fn tells(&self, own: &str, problem: &Problem) -> bool {
        let Some((kind, name)) = problem.object.split_once('/') else {
            return true;
        };
        let is_witness = |nodes: &Ring| is_witness(own, &problem.object, nodes);
        let kind = Kind::ALL.into_iter().find(|it| it.as_str() == kind);
        match kind {
            Some(Kind::Node) => {
                // Two nodes with one address see it of each other, and nobody else does.
                let of_two = problem.reason == Reason::OwnAddress.as_str();
                name == own || of_two || is_witness(&self.alike)
            }
            Some(Kind::Service) if !self.choosing.is_empty() => {
                self.choosing.iter().any(is_witness)
            }
            Some(kind) if kind.is_namespaced() => is_witness(&self.nodes),
            Some(kind) => {
                let object = ObjectRef {
                    kind: kind.as_str().to_owned(),
                    name: name.to_owned(),
                };
                let verdict = self.verdicts.get(&object);
                verdict.is_none_or(|it| it.is_told_by(own, problem, &self.nodes))
            }
            None => true,
        }
    }
}

/// Whether `own` is among those of `nodes` that tell of `subject`.
pub(super) fn is_witness(own: &str, subject: &str, nodes: &Ring) -> bool {
    nodes.place(own, subject) < WITNESSES
}

fn alike(objects: &Objects, own: &Node) -> Ring {
    let families = |node: &Node| (node.ipv4.is_some(), node.ipv6.is_some());
    let nodes = objects.nodes.values();
    let alike = nodes.filter(|node| families(node) == families(own));
    alike.map(|node| node.meta.name.as_str()).collect()
}

fn choosing(
    objects: &Objects,
    selection: &Selection<'_>,
    own: &Node,
    all: &Ring,
) -> BTreeSet<Ring> {
    let choices = objects.advertisements.values();
    let choices = choices.filter(|it| it.services.is_some());
    let whose = choices.filter_map(|it| match &it.node_selector {
        None => Some(all.clone()),
        Some(selector) => selector.matches(&own.meta.labels).then(|| {
            let nodes = selection.selected(Some(selector));
            nodes.map(|(_, node)| node.meta.name.as_str()).collect()
        }),
    });
    whose.collect()
}
