//! Events: what happened to sessions and objects, said once and counted after that.
//!
//! Two looks at the speaker are compared ([`happened`]); what happened goes into a [`Ledger`], which
//! keeps one Event per subject and reason. The first occurrence is written as a new Event, more of
//! them change its series (`events.k8s.io/v1`), at most once per [`SERIES_INTERVAL`]; after
//! [`SERIES_END`] without one, the next is a new Event. All Events together have a budget:
//! [`BURST`] at once, then one per [`REFILL`]. What is beyond it waits, and is counted meanwhile.
//!
//! A node of the mesh that dies is seen by all others. Only [`WITNESSES`] of them, chosen by everyone
//! alike from the names, have an Event of it: else one failure in a cluster of N nodes made N Events.
//! The same holds for what every node finds wrong with an object. Reflectors tell of their clients,
//! which few others have a session with.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use redstart_bgp::time::Instant;

use super::{
    known::Known,
    page::{ESTABLISHED, cut},
    turn::place,
};
use crate::control::views::{Problem, Protocol};

/// Between two writes of one series.
pub const SERIES_INTERVAL: Duration = Duration::from_secs(60);
/// Without an occurrence for so long, a series is over.
pub const SERIES_END: Duration = Duration::from_secs(600);
/// Writes at once.
pub const BURST: u32 = 20;
/// One more write per this time.
pub const REFILL: Duration = Duration::from_secs(10);
/// Subjects and reasons that are remembered; with more, the newest are not told.
pub const MAX_SERIES: usize = 256;
/// Nodes that tell of the session with one node of the mesh.
pub const WITNESSES: usize = 3;

/// What something happened to, and what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The object, as Kind/name.
    pub object: String,
    /// `SessionDown` and the like.
    pub reason: &'static str,
    /// The neighbour or field, where one object has several.
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
    problems: BTreeSet<(String, String, String, String)>,
}

#[derive(Clone, Debug)]
struct Seen {
    object: String,
    up: bool,
    count: u64,
    error: String,
    refused: BTreeMap<String, u64>,
}

impl Look {
    /// What the speaker of `node` tells of its neighbours and problems.
    #[must_use]
    pub fn new(node: &str, peers: &[Protocol], problems: &[Problem], known: &Known) -> Self {
        let tells = |p: &&Protocol| {
            p.client || mesh_node(p).is_none_or(|other| is_witness(node, other, &known.nodes))
        };
        let told = peers.iter().filter(tells);
        let seen = |p: &Protocol| Seen {
            object: p.object.clone(),
            up: p.state == ESTABLISHED,
            count: p.established_count,
            error: p.last_error.clone().unwrap_or_default(),
            refused: p.refused.clone(),
        };
        let errors = problems.iter().filter(|p| {
            p.severity == "error"
                && (!known.is_seen_by_all(p) || is_witness(node, &p.object, &known.nodes))
        });
        Self {
            peers: told.map(|p| (p.name.clone(), seen(p))).collect(),
            problems: errors
                .map(|p| {
                    (
                        p.object.clone(),
                        p.field.clone(),
                        p.reason.clone(),
                        p.message.clone(),
                    )
                })
                .collect(),
        }
    }
}

/// The node that a neighbour of the mesh is.
fn mesh_node(p: &Protocol) -> Option<&str> {
    p.object.strip_prefix("Node/").filter(|_| p.role == "mesh")
}

/// Whether `own` is among the nodes that tell of `subject`.
fn is_witness(own: &str, subject: &str, nodes: &[String]) -> bool {
    place(own, subject, nodes) < WITNESSES
}

/// What happened between two looks.
#[must_use]
pub fn happened(before: &Look, now: &Look) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (name, seen) in &now.peers {
        session(name, before.peers.get(name), seen, &mut notices);
    }
    for problem in now.problems.difference(&before.problems) {
        let (object, field, reason, message) = problem;
        notices.push(Notice {
            subject: Subject {
                object: object.clone(),
                reason: "NotInForce",
                detail: field.clone(),
            },
            warning: true,
            note: cut(format!("{field}: {message} ({reason})").trim_start_matches(": ")),
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
    let mut say = |reason, warning, note: String, times| {
        if times > 0 {
            let subject = Subject {
                object: now.object.clone(),
                reason,
                detail: name.to_owned(),
            };
            let note = cut(&note);
            notices.push(Notice {
                subject,
                warning,
                note,
                times,
            });
        }
    };
    say(
        "SessionDown",
        true,
        format!("the session with {name} ended: {}", now.error),
        downs,
    );
    say(
        "SessionUp",
        false,
        format!("the session with {name} is established"),
        ups,
    );
    for (why, routes) in &now.refused {
        let known = before
            .and_then(|seen| seen.refused.get(why))
            .is_some_and(|n| *n > 0);
        let note = format!("{routes} routes of {name} are refused: {why}");
        say("RoutesRefused", true, note, u32::from(!known));
    }
}

/// What to do about an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// To what, and what.
    pub subject: Subject,
    /// Its type.
    pub warning: bool,
    /// The last occurrence in words.
    pub note: String,
    /// Occurrences so far.
    pub count: u32,
    /// Which Event of this subject it is.
    pub number: u64,
    /// Whether it is new; otherwise its series has changed.
    pub new: bool,
}

struct Series {
    entry: Entry,
    told: Option<Instant>,
    last: Instant,
    dirty: bool,
}

/// The Events of one speaker.
pub struct Ledger {
    series: BTreeMap<Subject, Series>,
    tokens: u32,
    refilled: Instant,
    numbered: u64,
}

impl Ledger {
    /// Nothing has happened. `numbered`: where to begin to number the Events, so that their names differ
    /// from those of an earlier speaker.
    #[must_use]
    pub fn new(now: Instant, numbered: u64) -> Self {
        Self {
            series: BTreeMap::new(),
            tokens: BURST,
            refilled: now,
            numbered,
        }
    }

    /// Something happened.
    pub fn note(&mut self, now: Instant, notice: Notice) {
        self.series
            .retain(|_, it| it.dirty || now < it.last + SERIES_END);
        if !self.series.contains_key(&notice.subject) && self.series.len() >= MAX_SERIES {
            return;
        }
        let number = self.numbered;
        let series = self
            .series
            .entry(notice.subject.clone())
            .or_insert_with(|| {
                self.numbered += 1;
                Series {
                    entry: Entry {
                        subject: notice.subject,
                        warning: notice.warning,
                        note: String::new(),
                        count: 0,
                        number,
                        new: true,
                    },
                    told: None,
                    last: now,
                    dirty: true,
                }
            });
        series.last = now;
        series.dirty = true;
        series.entry.note = notice.note;
        series.entry.count = series.entry.count.saturating_add(notice.times);
    }

    /// What to write now. It counts as written: an Event that is lost is no harm.
    pub fn due(&mut self, now: Instant) -> Vec<Entry> {
        while self.tokens < BURST && now >= self.refilled + REFILL {
            self.tokens += 1;
            self.refilled = self.refilled + REFILL;
        }
        if self.tokens == BURST {
            self.refilled = now;
        }
        let ready =
            |it: &&mut Series| it.dirty && it.told.is_none_or(|told| now >= told + SERIES_INTERVAL);
        let budget = self.tokens as usize;
        let mut due = Vec::new();
        for series in self.series.values_mut().filter(ready).take(budget) {
            due.push(series.entry.clone());
            series.entry.new = false;
            series.told = Some(now);
            series.dirty = false;
            self.tokens -= 1;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::{Diagnostic, Reason},
        index::Standing,
        object::ObjectRef,
        status::conditions::Verdict,
    };

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn seen(up: bool, count: u64) -> Seen {
        Seen {
            object: "BGPPeer/tor".to_owned(),
            up,
            count,
            error: "hold-timer-expired".to_owned(),
            refused: BTreeMap::new(),
        }
    }

    fn between(before: Option<Seen>, now: Seen) -> Vec<(&'static str, u32)> {
        let look = |seen: Option<Seen>| Look {
            peers: seen.into_iter().map(|it| ("tor".to_owned(), it)).collect(),
            problems: BTreeSet::new(),
        };
        let notices = happened(&look(before), &look(Some(now)));
        notices
            .iter()
            .map(|n| (n.subject.reason, n.times))
            .collect()
    }

    #[test]
    fn a_session_that_came_and_went_between_two_looks_is_seen() {
        assert_eq!(between(None, seen(false, 0)), []);
        assert_eq!(between(None, seen(true, 1)), [("SessionUp", 1)]);
        assert_eq!(between(Some(seen(true, 1)), seen(true, 1)), []);
        assert_eq!(
            between(Some(seen(true, 1)), seen(false, 1)),
            [("SessionDown", 1)]
        );
        let flapped = [("SessionDown", 3), ("SessionUp", 3)];
        assert_eq!(between(Some(seen(true, 1)), seen(true, 4)), flapped);
        assert_eq!(
            between(Some(seen(false, 1)), seen(false, 2)),
            [("SessionDown", 1), ("SessionUp", 1)]
        );
    }

    #[test]
    fn refused_routes_are_told_once_per_reason() {
        let mut refusing = seen(true, 1);
        refusing.refused.insert("foreign-pod-cidr".to_owned(), 2);
        let told = between(Some(seen(true, 1)), refusing.clone());
        assert_eq!(told, [("RoutesRefused", 1)]);
        assert_eq!(between(Some(refusing.clone()), refusing), []);
    }

    #[test]
    fn a_bad_object_is_told_with_object_field_and_reason() {
        let problem = |field: &str| {
            let it = |text: &str| text.to_owned();
            (
                it("BGPPeer/tor"),
                it(field),
                it("invalid-asn"),
                it("0 is no AS number"),
            )
        };
        let look = |problem| Look {
            peers: BTreeMap::new(),
            problems: BTreeSet::from_iter([problem]),
        };
        let bad = look(problem("spec.asn"));
        let notices = happened(&Look::default(), &bad);
        assert_eq!(notices[0].subject.object, "BGPPeer/tor");
        assert_eq!(notices[0].note, "spec.asn: 0 is no AS number (invalid-asn)");
        assert_eq!(happened(&bad, &bad), []);
    }

    fn down(peer: &str) -> Notice {
        Notice {
            subject: Subject {
                object: format!("BGPPeer/{peer}"),
                reason: "SessionDown",
                detail: peer.to_owned(),
            },
            warning: true,
            note: "gone".to_owned(),
            times: 1,
        }
    }

    #[test]
    fn a_session_that_flaps_each_second_is_one_event_and_a_write_a_minute() {
        let mut ledger = Ledger::new(at(0), 0);
        let mut writes = Vec::new();
        for second in 0..600 {
            ledger.note(at(second), down("tor"));
            writes.extend(ledger.due(at(second)));
        }
        assert_eq!(writes.len(), 10);
        assert_eq!(writes.iter().filter(|it| it.new).count(), 1);
        assert_eq!(writes.last().map(|it| it.count), Some(541));
    }

    #[test]
    fn a_thousand_sessions_that_end_at_once_have_a_budget() {
        let mut ledger = Ledger::new(at(0), 0);
        (0..1000).for_each(|i| ledger.note(at(0), down(&format!("tor{i}"))));
        assert_eq!(ledger.due(at(0)).len(), BURST as usize);
        assert_eq!(ledger.due(at(1)).len(), 0);
        assert_eq!(ledger.due(at(30)).len(), 3);
        assert!(ledger.series.len() <= MAX_SERIES);
    }

    #[test]
    fn a_series_ends_and_the_next_event_is_another() {
        let mut ledger = Ledger::new(at(0), 7);
        ledger.note(at(0), down("tor"));
        assert_eq!(ledger.due(at(0))[0].number, 7);
        ledger.note(at(601), down("tor"));
        let next = ledger.due(at(601));
        assert_eq!((next[0].new, next[0].number, next[0].count), (true, 8, 1));
    }

    #[test]
    fn a_node_that_dies_has_three_witnesses_and_all_agree_on_them() {
        let nodes: Vec<String> = (0..50).map(|i| format!("n{i}")).collect();
        for other in &nodes {
            let witnesses = nodes.iter().filter(|own| *own != other);
            let told = witnesses.filter(|own| is_witness(own, other, &nodes));
            assert_eq!(told.count(), WITNESSES, "{other}");
        }
    }

    #[test]
    fn what_every_node_finds_wrong_is_told_by_three_of_them() {
        let problem = |reason: Reason| Problem {
            severity: "error".to_owned(),
            object: "BGPPeer/tor".to_owned(),
            field: "spec.asn".to_owned(),
            reason: reason.as_str().to_owned(),
            message: "bad".to_owned(),
        };
        let object = ObjectRef {
            kind: "BGPPeer".to_owned(),
            name: "tor".to_owned(),
        };
        let shared = Diagnostic::error(object.clone(), "spec.asn", Reason::InvalidAsn, "bad");
        let verdict = Verdict {
            standing: Standing::default(),
            claims: Vec::new(),
            problems: vec![shared],
        };
        let known = Known {
            node_uid: None,
            nodes: (0..50).map(|i| format!("n{i}")).collect(),
            verdicts: [(object, verdict)].into(),
        };
        let tells = |node: &&String, reason| {
            let look = Look::new(node, &[], &[problem(reason)], &known);
            !look.problems.is_empty()
        };
        let all = known.nodes.iter().filter(|n| tells(n, Reason::InvalidAsn));
        assert_eq!(all.count(), WITNESSES);
        // What is one node's own trouble is told by that node.
        let own = known.nodes.iter().filter(|n| tells(n, Reason::OwnAddress));
        assert_eq!(own.count(), known.nodes.len());
    }
}
