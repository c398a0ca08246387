//! In which order nodes take on what any of them could do: whose turn it is to write, who tells of it.
//!
//! Each subject puts the nodes in an order that is alike for all who look, without a leader. Nodes lie on
//! a ring, each at the hash of its name, and so do subjects: the first node of a subject is the one that
//! comes next on the ring, and so on. So a ring of thousands of nodes is made once for each change of the
//! nodes, eight octets for each, and a place in it is found by two binary searches, however many objects
//! have something wrong with them and however often that is looked at.

use std::{
    hash::{Hash as _, Hasher as _},
    sync::Arc,
};

/// The places of some nodes, in order. Copies share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ring(Arc<[u64]>);

impl Ring {
    /// How many of the nodes come before `own` in the order that `subject` puts them in; a node that is
    /// the subject itself does not count. `own` need not be among them.
    #[must_use]
    pub fn place(&self, own: &str, subject: &str) -> usize {
        let (from, to) = (point(subject), point(own));
        let below = |point| self.0.partition_point(|it| *it < point);
        let (start, end) = (below(from), below(to));
        let between = match from <= to {
            true => end.saturating_sub(start),
            false => self.0.len().saturating_sub(start) + end,
        };
        let begins_with_subject = from != to && self.0.get(start) == Some(&from);
        between.saturating_sub(usize::from(begins_with_subject))
    }

    /// Whether the node is one of them.
    #[must_use]
    pub fn contains(&self, node: &str) -> bool {
        self.0.binary_search(&point(node)).is_ok()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<&'a str> for Ring {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut points: Vec<u64> = names.into_iter().map(point).collect();
        points.sort_unstable();
        Self(points.into())
    }
}

/// The first `n` of `nodes` in the order that `subject` puts them in.
#[must_use]
pub fn first(n: usize, subject: &str, nodes: &[&str]) -> Vec<String> {
    let from = point(subject);
    let way = |node: &&str| point(node).wrapping_sub(from);
    let mut ranks: Vec<_> = nodes.iter().map(|node| (way(node), *node)).collect();
    ranks.sort_unstable();
    let first = ranks.into_iter().take(n);
    first.map(|(_, node)| node.to_owned()).collect()
}

/// Every node must count alike, so the keys of the hash are fixed.
fn point(name: &str) -> u64 {
    #[expect(
        deprecated,
        reason = "the one hasher of std that is the same everywhere"
    )]
    let mut hasher = std::hash::SipHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    proptest! {
        /// Wherever on the ring a subject is, be it a node or not, each node finds its own place.
        #[test]
        fn places_are_the_order_of_the_nodes(
            nodes in btree_set("n[0-9]{1,3}", 1..40),
            subject in "n[0-9]{1,3}",
        ) {
            let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
            let ring: Ring = nodes.iter().copied().collect();
            let mut order = first(nodes.len(), &subject, &nodes);
            order.retain(|node| *node != subject);
            for (place, node) in order.iter().enumerate() {
                prop_assert_eq!(ring.place(node, &subject), place, "{}", node);
            }
            // Who is not among them, or not yet, comes before or after somebody too.
            prop_assert!(ring.place("elsewhere", &subject) <= order.len());
        }
    }

    #[test]
    fn each_node_is_among_the_first_for_as_many_others() {
        let names: Vec<String> = (0..100).map(|i| format!("n{i}")).collect();
        let ring: Ring = names.iter().map(String::as_str).collect();
        for own in &names {
            let others = names.iter().filter(|other| *other != own);
            let firsts = others.filter(|other| ring.place(own, other) < 3);
            assert_eq!(firsts.count(), 3, "{own}");
        }
    }

    #[test]
    fn nobody_is_before_anybody_where_nobody_is() {
        assert_eq!(Ring::default().place("a", "b"), 0);
        assert!(Ring::default().is_empty());
    }
}
