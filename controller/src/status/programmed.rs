//! `Programmed` of a `BGPPeer`: whether every node could put it into force, or which one could not, and why.
//!
//! What only a node itself finds out (no router behind its interface, no default gateway, a key that its kernel
//! refuses) no other one can say, so this condition depends on the node that looks, unlike all others
//! ([`conditions`](super::conditions)). It is one node that speaks, and nobody contradicts it:
//!
//! - A node with trouble says so, with its name in front, unless another one has said as much already of the same
//!   version of the object, and is there and ready.
//! - It takes that back itself once its trouble is over; if it is gone or not ready, anyone does. If the object has
//!   changed, it is its turn and that of others with trouble first, and then anyone's ([`LATE`]).
//! - A node that is not ready is silent, so that it cannot be contradicted.
//! - Of an object that is not in force, or on no node, nothing is said.
//! - Who comes first where several could speak follows from the names ([`turn`](super::turn)).
//!
//! So it is written as seldom as the others, however many nodes have the same trouble; all of them have theirs in
//! their `BGPNodeStatus`. What it costs: the word of a node that is ready, but has no speaker any more, stays until
//! the object is changed or the node goes.

use std::{collections::BTreeMap, time::Duration};

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

/// How long nodes without trouble leave it to others to speak of a changed object: longer than it takes until
/// everyone has had a turn in a cluster of 10,000 nodes.
const LATE: Duration = Duration::from_secs(300);

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
    let to_say = |(object, verdict): (&ObjectRef, &Verdict)| {
        let selected = verdict.claims.iter().find(|it| it.kind == NODES_SELECTED);
        let said = said(&verdict.standing);
        let (claims, late) = match selected.map(|it| it.holds) {
            Some(true) => {
                let trouble = trouble(&object.to_string(), peers, problems, verdict);
                let (claim, late) = claim(own, trouble, &verdict.standing, known)?;
                (vec![claim], late)
            }
            Some(false) => (Vec::new(), Duration::ZERO),
            // Another node may have put into force what waits here.
            None if said
                .is_some_and(|it| it.observed_generation == verdict.standing.generation) =>
            {
                return None;
            }
            None => (Vec::new(), Duration::ZERO),
        };
        let verdict = Verdict {
            kinds: &[PROGRAMMED],
            late,
            standing: verdict.standing.clone(),
            claims,
            problems: Vec::new(),
            clashes: Vec::new(),
        };
        Some((object.clone(), verdict))
    };
    of_kind.filter_map(to_say).collect()
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

fn said(standing: &Standing) -> Option<&ConditionSpec> {
    standing.conditions.iter().find(|it| it.kind == PROGRAMMED)
}

/// What to say, and how much later than in its turn. `None`: another node has the word.
fn claim(
    own: &str,
    trouble: Option<&Problem>,
    standing: &Standing,
    known: &Known,
) -> Option<(Claim, Duration)> {
    let is_well = |it: &&str| known.nodes.contains(it) && !known.unready.contains(*it);
    let said = said(standing);
    let other = said
        .and_then(speaker)
        .filter(|it| *it != own)
        .filter(is_well);
    let is_current = said.is_some_and(|it| it.observed_generation == standing.generation);
    if other.is_some() && is_current {
        return None;
    }
    Some(match trouble {
        Some(problem) => (Claim::of_node(PROGRAMMED, own, problem), Duration::ZERO),
        None if other.is_some() => (Claim::holds(PROGRAMMED), LATE),
        None => (Claim::holds(PROGRAMMED), Duration::ZERO),
    })
}

/// The node that has trouble, by its own word.
fn speaker(condition: &ConditionSpec) -> Option<&str> {
    let (node, _) = condition.message.split_once(": ")?;
    (condition.status == ConditionStatus::False).then_some(node)
}

#[cfg(test)]
mod tests;
