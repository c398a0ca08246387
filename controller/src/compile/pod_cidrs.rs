//! Which prefix belongs to which node.
//!
//! Every speaker decides this for the whole cluster, and all decide alike: that is what lets a node
//! refuse another node's announcement of a prefix that is not its own.
//!
//! Where pod CIDRs overlap, the node with the older `creationTimestamp` keeps its own (without one: after
//! all that have one, by name): the newcomer is the mistake, and traffic of the older one goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use redstart_bgp::types::Prefix;
use redstart_rib::{Owner, Owners};

use super::{
    Scope,
    identity::{identity, router_ids},
    node_ref,
};
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::Node,
};

/// The pod CIDRs of the cluster.
pub(super) struct PodCidrs<'a> {
    /// Non-overlapping, each with the node that owns it.
    owners: BTreeMap<Prefix, &'a str>,
    by_node: BTreeMap<&'a str, Vec<Prefix>>,
    all: BTreeSet<Prefix>,
}

impl<'a> PodCidrs<'a> {
    /// Gives each pod CIDR to one node.
    pub(super) fn assign(
        nodes: &'a BTreeMap<String, Node>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut cidrs = Self {
            owners: BTreeMap::new(),
            by_node: BTreeMap::new(),
            all: BTreeSet::new(),
        };
        for node in by_seniority(nodes) {
            for &prefix in &node.pod_cidrs {
                cidrs.claim(prefix, &node.meta.name, diagnostics);
            }
        }
        cidrs
    }

    fn claim(&mut self, prefix: Prefix, node: &'a str, diagnostics: &mut Vec<Diagnostic>) {
        self.all.insert(prefix);
        let Some((other, owner)) = self.overlapping(prefix) else {
            self.owners.insert(prefix, node);
            self.by_node.entry(node).or_default().push(prefix);
            return;
        };
        let what = if owner == node {
            format!("{prefix} overlaps {other} of the same node")
        } else {
            format!("{prefix} overlaps {other} of Node/{owner}, which was there first and keeps it")
        };
        diagnostics.push(Diagnostic::error(
            node_ref(node),
            "spec.podCIDRs",
            Reason::OverlappingPodCidr,
            format!("{what}; {prefix} is neither advertised by this node nor accepted from it"),
        ));
    }

    /// An assigned prefix that overlaps `prefix`. Assigned ones are disjoint and sorted by address,
    /// so only the two neighbours can.
    fn overlapping(&self, prefix: Prefix) -> Option<(Prefix, &'a str)> {
        let before = self.owners.range(..=prefix).next_back();
        let after = self.owners.range(prefix..).next();
        before
            .into_iter()
            .chain(after)
            .find(|(p, _)| p.overlaps(prefix))
            .map(|(p, owner)| (*p, *owner))
    }

    /// What belongs to `node`.
    pub(super) fn of(&self, node: &str) -> BTreeSet<Prefix> {
        let of_node = self.by_node.get(node).into_iter().flatten();
        of_node.copied().collect()
    }

    /// Whose each prefix is, and where it leads to.
    pub(super) fn owners(&self, scope: &Scope<'_>) -> Owners {
        let owner = |name: &str| {
            let node = scope.objects.nodes.get(name)?;
            let identity = identity(node, scope.configuration);
            let v4 = identity.ipv4.map(IpAddr::V4);
            Some(Owner {
                node: identity.name,
                router_ids: router_ids(node, scope.configuration).into_all(),
                addresses: v4
                    .into_iter()
                    .chain(identity.ipv6.map(IpAddr::V6))
                    .collect(),
            })
        };
        self.owners
            .iter()
            .filter_map(|(prefix, name)| Some((*prefix, owner(name)?)))
            .collect()
    }

    /// The owner of the pod CIDR that is or covers `prefix`.
    pub(super) fn owner_covering(&self, prefix: Prefix) -> Option<(Prefix, &'a str)> {
        self.overlapping(prefix).filter(|(p, _)| p.covers(prefix))
    }

    /// What belongs to any node: no two overlap.
    pub(super) fn owned(&self) -> BTreeSet<Prefix> {
        self.owners.keys().copied().collect()
    }

    /// Every pod CIDR that any node claims, whoever keeps it.
    pub(super) fn all(&self) -> &BTreeSet<Prefix> {
        &self.all
    }
}

/// Oldest first.
pub(super) fn by_seniority(nodes: &BTreeMap<String, Node>) -> Vec<&Node> {
    let mut sorted: Vec<&Node> = nodes.values().collect();
    sorted.sort_by_key(|node| node.meta.seniority());
    sorted
}
