//! `Programmed` of a `BGPPeer`: whether every node could put it into force, or which one could not, and why.
//!
//! What only a node itself finds out (no router behind its interface, no default gateway, a key that its kernel
//! refuses) no other one can say, so this condition depends on the node that looks, unlike all others
//! ([`conditions`](super::conditions)). It is one node that speaks, and nobody contradicts it:
//!
//! - A node with trouble says so, with its name in front, unless another one that is there and ready has said as
//!   much already.
//! - It takes that back itself once its trouble is over; if it is gone or not ready, anyone does.
//! - Who comes first where several could speak follows from the names ([`turn`](super::turn)).
//!
//! So it is written as seldom as the others, however many nodes have the same trouble; all of them have theirs in
//! their `BGPNodeStatus`.

use std::collections::BTreeMap;

use super::{
    conditions::{Claim, NODES_SELECTED, Verdict},
    known::Known,
};
use crate::{
    api::{ConditionSpec, ConditionStatus},
    control::views::Problem,
    index::{Kind, Standing},
    object::ObjectRef,
};

/// The type of the condition.
pub const PROGRAMMED: &str = "Programmed";

/// What the node `own`, which has these problems, is to say.
#[must_use]
pub fn programmed(own: &str, problems: &[Problem], known: &Known) -> BTreeMap<ObjectRef, Verdict> {
    let of_peers = known.verdicts.iter();
    let of_peers = of_peers.filter(|(object, verdict)| {
        let is_in_force = |it: &Claim| it.kind == NODES_SELECTED && it.holds;
        object.kind == Kind::BgpPeer.as_str() && verdict.claims.iter().any(is_in_force)
    });
    let said = |(object, verdict): (&ObjectRef, &Verdict)| {
        let name = object.to_string();
        let mut of_object = problems.iter().filter(|it| it.object == name);
        // What follows from objects is in their other conditions.
        let trouble = of_object.find(|it| !verdict.knows(it));
        let claim = claim(own, trouble, &verdict.standing, known)?;
        Some((object.clone(), alone(&verdict.standing, claim)))
    };
    of_peers.filter_map(said).collect()
}

/// `None`: it is another node's word.
fn claim(
    own: &str,
    trouble: Option<&Problem>,
    standing: &Standing,
    known: &Known,
) -> Option<Claim> {
    let mut conditions = standing.conditions.iter();
    let condition = conditions.find(|it| it.kind == PROGRAMMED);
    let speaker = condition
        .and_then(speaker)
        .filter(|speaker| *speaker != own);
    if speaker.is_some_and(|it| known.nodes.contains(it) && !known.unready.contains(it)) {
        return None;
    }
    Some(match trouble {
        Some(problem) => Claim::of_node(PROGRAMMED, own, problem),
        None => Claim::holds(PROGRAMMED),
    })
}

/// The node that has trouble, by its own word.
fn speaker(condition: &ConditionSpec) -> Option<&str> {
    let (node, _) = condition.message.split_once(": ")?;
    (condition.status == ConditionStatus::False).then_some(node)
}

/// As if this were the object's only condition: the others are written apart from it.
fn alone(standing: &Standing, claim: Claim) -> Verdict {
    let mut standing = standing.clone();
    standing.conditions.retain(|it| it.kind == PROGRAMMED);
    Verdict {
        standing,
        claims: vec![claim],
        problems: Vec::new(),
        clashes: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
