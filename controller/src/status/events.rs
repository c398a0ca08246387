//! Events: what happened to sessions and objects. Two looks at the speaker are compared ([`happened`]); what
//! happened goes into a [`Ledger`](super::ledger::Ledger), which says what is written of it and when.
//!
//! A node of the mesh that dies is seen by all others. Only [`WITNESSES`](super::known::WITNESSES) of them, chosen by everyone
//! alike from the names, have an Event of it: else one failure in a cluster of N nodes made N Events.
//! What only two nodes see, a session between them that stays away while both are well, they tell themselves,
//! once it is clear that neither of them has died ([`BROKEN`]). A node that is ready and has no speaker looks
//! the same to all.
//! The same holds for what many nodes find wrong with an object ([`Known::tells`]). Reflectors tell of
//! their clients, which few others have a session with.
//!
//! What is not in force has an Event. Of what is in force but hardly as it was meant, that has one which
//! somebody waits for in vain ([`worth_telling`]); the rest is in the log and in the `BGPNodeStatus`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use redstart_bgp::time::Instant;

use super::{
    conditions::in_words,
    known::{Known, is_witness},
    page::{ESTABLISHED, cut},
};
use crate::{
    control::views::{Problem, Protocol},
    diagnostic::Reason,
};

/// A session of the mesh without which both nodes are well for so long is broken. Longer than Kubernetes takes
/// to say of a node that it is not ready.
pub const BROKEN: Duration = Duration::from_secs(90);

/// What something happened to, and what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The object, as Kind/name.
    pub object: String,
    /// `SessionDown` and the like.
    pub reason: &'static str,
    /// The neighbour or field, where one object has several, and the reason, where that has several.
    pub detail: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// To what, and what.
    pub subject: Subject,
    /// Whether somebody should do something about it.
    pub warning: bool,
    /// In words.
    pub note: String,
    /// How often, since the last look.
    pub times: u32,
}

/// A look at the speaker, as far as Events are concerned.
#[derive(Clone, Debug, Default)]
pub struct Look {
    peers: BTreeMap<String, Seen>,
    problems: BTreeSet<Told>,
}

/// A problem that has an Event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    /// The reason of the Event.
    reason: &'static str,
    object: String,
    field: String,
    note: String,
}

#[derive(Clone, Debug)]
struct Seen {
    object: String,
    /// Whether this node tells of all that happens to it.
    told: bool,
    up: bool,
    /// Since when it has been seen down while the other node was well.
    down_since: Option<Instant>,
    /// That is too long.
    broken: bool,
    count: u64,
    error: String,
    refused: BTreeMap<String, u64>,
}

impl Look {
    /// What the speaker of `node` tells of its neighbours and problems now, after the look `before`.
    #[must_use]
    pub fn new(
        now: Instant,
        before: &Self,
        node: &str,
        (peers, problems): (&[Protocol], &[Problem]),
        known: &Known,
    ) -> Self {
        let seen = |p: &Protocol| {
            let up = p.state == ESTABLISHED;
            let other = mesh_node(p);
            // Of a node that is not ready nothing is expected.
            let is_well = other.is_none_or(|other| !known.unready.contains(other));
            let last = before.peers.get(&p.name).filter(|_| !up && is_well);
            let down_since = last.and_then(|it| it.down_since).unwrap_or(now);
            Seen {
                object: p.object.clone(),
                told: p.client || other.is_none_or(|it| is_witness(node, it, &known.nodes)),
                up,
                down_since: (!up).then_some(down_since),
                broken: !up && is_well && now >= down_since + BROKEN,
                count: p.established_count,
                error: p.last_error.clone().unwrap_or_default(),
                refused: p.refused.clone(),
            }
        };
        let of_problem = |p: &Problem| {
            let reason = worth_telling(p).filter(|_| known.tells(node, p))?;
            Some(Told {
                reason,
                object: p.object.clone(),
                field: p.field.clone(),
                note: in_words(&p.field, &p.message, &p.reason),
            })
        };
        Self {
            peers: peers.iter().map(|p| (p.name.clone(), seen(p))).collect(),
            problems: problems.iter().filter_map(of_problem).collect(),
        }
    }
}

/// The node that a neighbour of the mesh is.
fn mesh_node(p: &Protocol) -> Option<&str> {
    p.object.strip_prefix("Node/").filter(|_| p.role == "mesh")
}

/// The reason of the Event of a problem, if it has one.
fn worth_telling(problem: &Problem) -> Option<&'static str> {
    if problem.severity == "error" {
        return Some("NotInForce");
    }
    let reasons = [
        (Reason::NoReflector, "NoReflector"),
        (Reason::NoDefaultGateway, "NoDefaultGateway"),
        (Reason::InterfaceMissing, "NoRouter"),
        (Reason::InterfaceDown, "NoRouter"),
        (Reason::NoAddress, "NoRouter"),
        (Reason::DiscoveryFailed, "NoRouter"),
        (Reason::RouterNotFound, "NoRouter"),
        (Reason::DrainLimit, "DrainWaits"),
        (Reason::NetworkUnavailable, "NetworkUnavailable"),
    ];
    let mut reasons = reasons.into_iter();
    let (_, told) = reasons.find(|(reason, _)| reason.as_str() == problem.reason)?;
    Some(told)
}

/// What happened between two looks.
#[must_use]
pub fn happened(before: &Look, now: &Look) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (name, seen) in &now.peers {
        let last = before.peers.get(name);
        if seen.told {
            session(name, last, seen, &mut notices);
        } else if seen.broken && !last.is_some_and(|last| last.told || last.broken) {
            let note = format!("there is no session with {name}: {}", seen.error);
            notices.push(seen.notice(("SessionDown", name.clone()), true, &note, 1));
        } else if seen.up && last.is_some_and(|last| last.broken) {
            notices.push(seen.is_up(name, 1));
        }
    }
    for problem in now.problems.difference(&before.problems) {
        notices.push(Notice {
            subject: Subject {
                object: problem.object.clone(),
                reason: problem.reason,
                detail: problem.field.clone(),
            },
            warning: true,
            note: problem.note.clone(),
            times: 1,
        });
    }
    notices
}

fn session(name: &str, before: Option<&Seen>, now: &Seen, notices: &mut Vec<Notice>) {
    let (was_up, count) = before.map_or((false, 0), |seen| (seen.up, seen.count));
    let ups = u32::try_from(now.count.saturating_sub(count)).unwrap_or(u32::MAX);
    // Each time that it came up or was up before, but is not now, it went down.
    let downs = (ups + u32::from(was_up)).saturating_sub(u32::from(now.up));
    if downs > 0 {
        let note = format!("the session with {name} ended: {}", now.error);
        notices.push(now.notice(("SessionDown", name.to_owned()), true, &note, downs));
    }
    if ups > 0 {
        notices.push(now.is_up(name, ups));
    }
    for (why, routes) in &now.refused {
        let known = before
            .and_then(|seen| seen.refused.get(why))
            .is_some_and(|n| *n > 0);
        if !known {
            let note = format!("{routes} routes of {name} are refused: {why}");
            let what = ("RoutesRefused", format!("{name} {why}"));
            notices.push(now.notice(what, true, &note, 1));
        }
    }
}

impl Seen {
    fn is_up(&self, name: &str, times: u32) -> Notice {
        let note = format!("the session with {name} is established");
        self.notice(("SessionUp", name.to_owned()), false, &note, times)
    }

    fn notice(
        &self,
        (reason, detail): (&'static str, String),
        warning: bool,
        note: &str,
        times: u32,
    ) -> Notice {
        Notice {
            subject: Subject {
                object: self.object.clone(),
                reason,
                detail,
            },
            warning,
            note: cut(note),
            times,
        }
    }
}

#[cfg(test)]
mod tests;
