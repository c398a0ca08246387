//! `Programmed` of a `BGPPeer`: whether every node could put it into force, or which one could not, and why.
//!
//! What only a node itself finds out (no router behind its interface, no default gateway, a key that its kernel
//! refuses) no other one can say, so this condition depends on the node that looks, unlike all others
//! ([`conditions`](super::conditions)). It is one node that speaks, and nobody contradicts it:
//!
//! - A node with trouble says so, with its name in front, unless another one has said as much already of the same
//!   version of the object, and is there and ready.
//! - It takes that back itself once its trouble is over; if it is gone or not ready, or the object has changed,
//!   anyone does. A node that is not ready is silent, so that it cannot be contradicted.
//! - Of an object that is not in force, or on no node, nothing is said.
//! - Who comes first where several could speak follows from the names ([`turn`](super::turn)).
//!
//! So it is written as seldom as the others, however many nodes have the same trouble; all of them have theirs in
//! their `BGPNodeStatus`. What it costs: the word of a node that is ready, but has no speaker any more, stays until
//! the object is changed or the node goes.

use std::collections::BTreeMap;

use super::{
    conditions::{Claim, NODES_SELECTED, Verdict},
    known::Known,
    page::ESTABLISHED,
};
use crate::{
    api::{ConditionSpec, ConditionStatus},
    control::views::{Problem, Protocol},
    diagnostic::Reason,
    index::{Kind, Standing},
    object::ObjectRef,
};

/// The type of the condition.
pub const PROGRAMMED: &str = "Programmed";

/// Why there can be no session on a node, as far as nodes find that out by themselves.
const TROUBLES: [Reason; 10] = [
    Reason::RouterNotFound,
    Reason::InterfaceMissing,
    Reason::InterfaceDown,
    Reason::DiscoveryFailed,
    Reason::NoDefaultGateway,
    Reason::DuplicatePeerAddress,
    Reason::DuplicatePeerName,
    Reason::AddressNotHere,
    Reason::TcpAoUnsupported,
    Reason::KeyRefused,
];

/// What the node `own`, which has these neighbours and problems, is to say.
#[must_use]
pub fn programmed(
    own: &str,
    (peers, problems): (&[Protocol], &[Problem]),
    known: &Known,
) -> BTreeMap<ObjectRef, Verdict> {
    // What it has found may be out of date, too.
    if !known.nodes.contains(own) || known.unready.contains(own) {
        return BTreeMap::new();
    }
    let of_kind = known.verdicts.iter();
    let of_kind = of_kind.filter(|(object, _)| object.kind == Kind::BgpPeer.as_str());
    let said = |(object, verdict): (&ObjectRef, &Verdict)| {
        let is_in_force = |it: &Claim| it.kind == NODES_SELECTED && it.holds;
        let claims = if verdict.claims.iter().any(is_in_force) {
            let trouble = trouble(&object.to_string(), peers, problems, verdict);
            vec![claim(own, trouble, &verdict.standing, known)?]
        } else {
            Vec::new()
        };
        let verdict = Verdict {
            kinds: &[PROGRAMMED],
            standing: verdict.standing.clone(),
            claims,
            problems: Vec::new(),
            clashes: Vec::new(),
        };
        Some((object.clone(), verdict))
    };
    of_kind.filter_map(said).collect()
}

/// Why there is no session for the object on this node, where no other condition of it says so.
fn trouble<'a>(
    object: &str,
    peers: &[Protocol],
    problems: &'a [Problem],
    verdict: &Verdict,
) -> Option<&'a Problem> {
    let is_up = |it: &Protocol| it.object == object && it.state == ESTABLISHED;
    if peers.iter().any(is_up) {
        return None;
    }
    let mut of_object = problems.iter().filter(|it| it.object == object);
    of_object.find(|it| {
        let is_one = TROUBLES.iter().any(|reason| reason.as_str() == it.reason)
            || (it.field == "spec.interface" && it.reason == Reason::NoAddress.as_str());
        is_one && !verdict.knows(it)
    })
}

/// `None`: another node has the word.
fn claim(
    own: &str,
    trouble: Option<&Problem>,
    standing: &Standing,
    known: &Known,
) -> Option<Claim> {
    let mut conditions = standing.conditions.iter();
    let condition = conditions.find(|it| it.kind == PROGRAMMED);
    let said = condition.filter(|it| it.observed_generation == standing.generation);
    let speaker = said.and_then(speaker).filter(|speaker| *speaker != own);
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

#[cfg(test)]
mod tests;
