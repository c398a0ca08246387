//! Which Nodes selectors select, without asking each selector of each Node. Pure.
//!
//! Some hundred routers, each for the nodes of its rack, and some thousand Nodes would be a million
//! questions at every change of a Node. Nearly every selector wants a label to have a value, though, or
//! one of some: the Nodes that have it are looked up, and only those are asked. What this costs is the
//! number of labels of all Nodes, and of the Nodes that come into question for each selector.

use std::collections::HashMap;

use crate::{
    api::{LabelSelector, SelectorOperator},
    index::{Node, Objects},
};

/// The Nodes, by the labels that selectors ask for.
#[derive(Debug)]
pub struct Selection<'a> {
    nodes: Vec<&'a Node>,
    /// The positions of the Nodes that have a label with this value, in their order.
    having: HashMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Selection<'a> {
    /// For the `nodeSelector`s of all `BGPPeer`s and `BGPAdvertisement`s.
    #[must_use]
    pub fn of(objects: &'a Objects) -> Self {
        let peers = objects.peers.values().map(|it| &it.node_selector);
        let advertisements = objects.advertisements.values().map(|it| &it.node_selector);
        let selectors = peers.chain(advertisements).flatten();
        Self::among(objects.nodes.values().collect(), selectors)
    }

    fn among(nodes: Vec<&'a Node>, selectors: impl Iterator<Item = &'a LabelSelector>) -> Self {
        let mut having: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for wanted in selectors.flat_map(wishes).flatten() {
            having.entry(wanted).or_default();
        }
        if !having.is_empty() {
            for (position, node) in nodes.iter().enumerate() {
                for label in node.meta.labels.iter() {
                    if let Some(positions) = having.get_mut(&label) {
                        positions.push(position);
                    }
                }
            }
        }
        Self { nodes, having }
    }

    /// How many Nodes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The Nodes that are selected, by name, each with its position among all. Without a selector, these
    /// are all.
    pub fn selected(
        &self,
        selector: Option<&LabelSelector>,
    ) -> impl Iterator<Item = (usize, &'a Node)> {
        let positions = self.candidates(selector).into_iter();
        let nodes = positions.filter_map(|at| Some((at, *self.nodes.get(at)?)));
        nodes.filter(move |(_, node)| selector.is_none_or(|it| it.matches(&node.meta.labels)))
    }

    /// Those that come into question: the fewest that one requirement leaves.
    fn candidates(&self, selector: Option<&LabelSelector>) -> Vec<usize> {
        let mut fewest: Option<(usize, Vec<&Vec<usize>>)> = None;
        for wish in selector.into_iter().flat_map(wishes) {
            let lists: Vec<_> = wish
                .iter()
                .filter_map(|label| self.having.get(label))
                .collect();
            let count = lists.iter().map(|list| list.len()).sum();
            if fewest.as_ref().is_none_or(|(least, _)| count < *least) {
                fewest = Some((count, lists));
            }
        }
        let Some((_, lists)) = fewest else {
            return (0..self.nodes.len()).collect();
        };
        let mut candidates: Vec<usize> = lists.into_iter().flatten().copied().collect();
        candidates.sort_unstable();
        // Who writes a value twice selects nothing twice.
        candidates.dedup();
        candidates
    }
}

/// For each requirement that can be looked up: labels with values, one of which a Node must have.
fn wishes(selector: &LabelSelector) -> impl Iterator<Item = Vec<(&str, &str)>> {
    let labels = selector.match_labels.iter();
    let labels = labels.map(|(key, value)| vec![(key.as_str(), value.as_str())]);
    let expressions = selector.match_expressions.iter();
    let expressions = expressions.filter(|it| it.operator == SelectorOperator::In);
    let expressions = expressions.map(|it| {
        let values = it.values.iter();
        values
            .map(|value| (it.key.as_str(), value.as_str()))
            .collect()
    });
    labels.chain(expressions)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::{api::LabelSelectorRequirement, index::Meta};

    const KEYS: [&str; 3] = ["rack", "zone", "pool"];
    const VALUES: [&str; 3] = ["1", "2", ""];

    fn labels() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
        vec((select(&KEYS), select(&VALUES)), 0..4)
    }

    fn requirement() -> impl Strategy<Value = LabelSelectorRequirement> {
        use SelectorOperator::{DoesNotExist, Exists, In, NotIn};
        let operator = select(&[In, NotIn, Exists, DoesNotExist]);
        let values = vec(select(&VALUES), 0..3);
        (select(&KEYS), operator, values).prop_map(|(key, operator, values)| {
            LabelSelectorRequirement {
                key: key.to_owned(),
                operator,
                values: values.into_iter().map(str::to_owned).collect(),
            }
        })
    }

    fn selector() -> impl Strategy<Value = LabelSelector> {
        (labels(), vec(requirement(), 0..3)).prop_map(|(labels, match_expressions)| LabelSelector {
            match_labels: labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            match_expressions,
        })
    }

    fn node(name: String, labels: Vec<(&str, &str)>) -> Node {
        let labels = labels.into_iter().collect();
        let meta = Meta {
            name,
            labels,
            ..Meta::default()
        };
        Node {
            meta,
            ..Node::default()
        }
    }

    proptest! {
        #[test]
        fn those_are_found_that_a_look_at_each_finds(
            nodes in vec(labels(), 0..12),
            selectors in vec(proptest::option::of(selector()), 0..5),
        ) {
            let named = nodes.into_iter().enumerate();
            let nodes: Vec<Node> = named.map(|(i, labels)| node(format!("n{i:02}"), labels)).collect();
            let selection = Selection::among(nodes.iter().collect(), selectors.iter().flatten());
            for selector in &selectors {
                let matches = |node: &Node| {
                    selector.as_ref().is_none_or(|it| it.matches(&node.meta.labels))
                };
                let found: Vec<_> = selection.selected(selector.as_ref()).collect();
                let each = nodes.iter().enumerate();
                let each: Vec<_> = each.filter(|(_, node)| matches(node)).collect();
                prop_assert_eq!(found, each);
            }
        }
    }

    #[test]
    fn a_router_of_a_rack_is_asked_of_the_nodes_of_that_rack() {
        let racks: Vec<String> = (0..100).map(|i| format!("r{}", i / 10)).collect();
        let nodes = racks.iter().enumerate();
        let nodes = nodes
            .map(|(i, rack)| node(format!("n{i:02}"), vec![("role", "worker"), ("rack", rack)]));
        let nodes: Vec<Node> = nodes.collect();
        let wanted = [("role", "worker"), ("rack", "r3")];
        let selector = LabelSelector {
            match_labels: wanted
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..LabelSelector::default()
        };
        let selection = Selection::among(nodes.iter().collect(), [&selector].into_iter());
        let candidates = selection.candidates(Some(&selector));
        assert_eq!(candidates, (30..40).collect::<Vec<_>>());
    }
}
