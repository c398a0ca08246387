//! The order in which nodes were asked to be drained, as far as they do not say it themselves: what one
//! process has heard and the next one cannot hear again.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{DrainSigns, Node, node::Since};

/// By the node's name, the places of what asks for it without a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainOrder(BTreeMap<String, DrainSigns>);

impl DrainOrder {
    /// That of these nodes.
    pub(super) fn of<'a>(nodes: impl Iterator<Item = &'a Node>) -> Self {
        let signs = nodes.map(|node| (&node.meta.name, node.drain.untimed()));
        let signs = signs.filter(|(_, signs)| *signs != DrainSigns::default());
        Self(signs.map(|(name, signs)| (name.clone(), signs)).collect())
    }

    /// The places of a node.
    pub(super) fn of_node(&self, node: &str) -> Option<&DrainSigns> {
        self.0.get(node)
    }

    /// The last of all.
    pub(super) fn last(&self) -> Option<Since> {
        self.0.values().flat_map(DrainSigns::places).max()
    }
}

const ANNOTATION: &str = "annotation";
const SHUTDOWN: &str = "shutdown";
const TAINT: &str = "taint:";

/// A line for each sign: the node's name, what it is, and its place.
impl fmt::Display for DrainOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (node, signs) in &self.0 {
            if let Some(since) = signs.asked {
                writeln!(f, "{node} {ANNOTATION} {since}")?;
            }
            if let Some(since) = signs.shuts_down {
                writeln!(f, "{node} {SHUTDOWN} {since}")?;
            }
            for (key, since) in &signs.taints {
                writeln!(f, "{node} {TAINT}{key} {since}")?;
            }
        }
        Ok(())
    }
}

/// The text is not that of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no order of drains")]
pub struct NoDrainOrder;

impl FromStr for DrainOrder {
    type Err = NoDrainOrder;

    fn from_str(text: &str) -> Result<Self, NoDrainOrder> {
        let mut order = Self::default();
        for line in text.lines() {
            let parts = line.split_once(' ').and_then(|(node, rest)| {
                let (sign, since) = rest.split_once(' ')?;
                Some((node, sign, since.parse().ok()?))
            });
            let (node, sign, since) = parts.ok_or(NoDrainOrder)?;
            let signs = order.0.entry(node.to_owned()).or_default();
            match (sign, sign.strip_prefix(TAINT)) {
                (ANNOTATION, _) => signs.asked = Some(since),
                (SHUTDOWN, _) => signs.shuts_down = Some(since),
                (_, Some(key)) => _ = signs.taints.insert(key.to_owned(), since),
                _ => return Err(NoDrainOrder),
            }
        }
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_it_all() {
        let signs = DrainSigns {
            asked: Some(Since::heard(None, 7)),
            taints: [("example.com/off".to_owned(), Since::heard(Some(5), 9))].into(),
            shuts_down: None,
        };
        let shuts_down = DrainSigns {
            shuts_down: Some(Since::heard(Some(-3), 12)),
            ..DrainSigns::default()
        };
        let nodes = [("n1", signs), ("n2.example", shuts_down)];
        let order = DrainOrder(nodes.map(|(name, signs)| (name.to_owned(), signs)).into());
        let text = order.to_string();
        assert_eq!(
            text,
            "n1 annotation - 7\nn1 taint:example.com/off 5 9\nn2.example shutdown -3 12\n"
        );
        assert_eq!(text.parse(), Ok(order.clone()));
        assert_eq!(order.last(), Some(Since::heard(Some(5), 9)));
        assert_eq!("".parse(), Ok(DrainOrder::default()));
        for bad in [
            "n1",
            "n1 - 7",
            "n1 annotation",
            "n1 annotation x 1",
            "n1 other - 7",
            "n1 annotation - 7 8",
        ] {
            assert_eq!(bad.parse::<DrainOrder>(), Err(NoDrainOrder), "{bad}");
        }
    }
}
