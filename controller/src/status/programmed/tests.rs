use std::{collections::BTreeSet, time::Duration};

use redstart_bgp::time::Instant;

use super::*;
use crate::status::{ring::Ring, turn::Turns};

const NOW: &str = "2026-01-02T00:00:00Z";

/// A cluster in which each speaker looks once a second, and sees what the others have written a second later.
struct Cluster {
    names: Vec<String>,
    gone: BTreeSet<String>,
    unready: BTreeSet<String>,
    troubled: BTreeSet<String>,
    turns: BTreeMap<String, Turns>,
    conditions: Vec<ConditionSpec>,
    generation: i64,
    is_selected: bool,
    second: u64,
    writes: usize,
}

fn tor() -> ObjectRef {
    ObjectRef {
        kind: Kind::BgpPeer.as_str().to_owned(),
        name: "tor".to_owned(),
    }
}

fn no_router() -> Problem {
    Problem {
        severity: "warning".to_owned(),
        object: tor().to_string(),
        field: "spec.interface".to_owned(),
        reason: "router-not-found".to_owned(),
        message: "nobody is there".to_owned(),
    }
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        let names: Vec<String> = (0..nodes).map(|i| format!("n{i}")).collect();
        let turns = |name: &String| (name.clone(), Turns::new(0.5, Duration::from_secs(10)));
        Self {
            turns: names.iter().map(turns).collect(),
            names,
            gone: BTreeSet::new(),
            unready: BTreeSet::new(),
            troubled: BTreeSet::new(),
            conditions: Vec::new(),
            generation: 1,
            is_selected: true,
            second: 0,
            writes: 0,
        }
    }

    fn known(&self) -> Known {
        let there = self.names.iter().filter(|it| !self.gone.contains(*it));
        let standing = Standing {
            uid: "u".to_owned(),
            generation: Some(self.generation),
            conditions: self.conditions.clone(),
        };
        let mut claims = vec![Claim::holds("Accepted"), Claim::holds(NODES_SELECTED)];
        claims[1].holds = self.is_selected;
        let verdict = Verdict {
            kinds: &[],
            late: Duration::ZERO,
            standing,
            claims,
            problems: Vec::new(),
            clashes: Vec::new(),
        };
        Known {
            nodes: there.map(String::as_str).collect::<Ring>(),
            unready: self.unready.clone(),
            verdicts: [(tor(), verdict)].into(),
            ..Known::default()
        }
    }

    /// So many seconds pass.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second += 1;
            let now = Instant::ZERO + Duration::from_secs(self.second);
            let known = self.known();
            for (name, turns) in &mut self.turns {
                let problems: Vec<Problem> = (self.troubled.contains(name).then(no_router))
                    .into_iter()
                    .collect();
                let said = programmed(name, (&[], &problems), &known);
                if !turns.due(now, name, &known.nodes, &said, 10).is_empty() {
                    self.conditions = said[&tor()].conditions(NOW);
                    self.writes += 1;
                }
            }
        }
    }

    /// The node that says that it has trouble, if one does; everybody agrees otherwise.
    fn speaker(&self) -> Option<&str> {
        let condition = self.conditions.first().unwrap();
        assert_eq!(condition.kind, PROGRAMMED);

        speaker(condition)
    }

    /// The generation that was spoken of.
    fn told_of(&self) -> Option<i64> {
        self.conditions.first().unwrap().observed_generation
    }

    fn place(&self, name: &str) -> usize {
        self.known().nodes.place(name, &tor().to_string())
    }

    /// The node that comes last when it is about this object.
    fn last(&self) -> String {
        let last = self.names.iter().max_by_key(|it| self.place(it));
        last.unwrap().clone()
    }
}

const LONG: u64 = 300;

#[test]
fn where_nobody_has_trouble_one_node_says_so_once() {
    let mut cluster = Cluster::new(100);
    cluster.pass(LONG);
    assert_eq!(cluster.speaker(), None);
    assert_eq!(cluster.writes, 1);
}

#[test]
fn one_node_among_many_is_heard_and_takes_it_back() {
    let mut cluster = Cluster::new(100);
    let name = cluster.last();
    cluster.troubled.insert(name.clone());
    cluster.pass(LONG);
    assert_eq!(cluster.speaker(), Some(&*name));
    let condition = cluster.conditions[0].clone();
    assert_eq!(condition.reason, "RouterNotFound");
    let words = format!("{name}: spec.interface: nobody is there (router-not-found)");
    assert_eq!(condition.message, words);
    assert_eq!(cluster.writes, 2, "that all is well, and that it is not");
    cluster.troubled.clear();
    cluster.pass(LONG);
    assert_eq!(cluster.speaker(), None);
    assert_eq!(cluster.writes, 3);
}

#[test]
fn what_all_nodes_have_is_said_once_and_by_the_next_when_the_first_has_it_no_more() {
    let mut cluster = Cluster::new(100);
    cluster.troubled.extend(cluster.names.clone());
    cluster.pass(LONG);
    let first = cluster.speaker().unwrap().to_owned();
    assert_eq!(cluster.writes, 1);
    cluster.troubled.remove(&first);
    cluster.pass(LONG);
    let second = cluster.speaker().unwrap();
    assert!(cluster.troubled.contains(second), "{second}");
    // Those of one turn do not see each other.
    assert!(cluster.writes <= 1 + 1 + 3, "{}", cluster.writes);
}

#[test]
fn the_word_of_a_node_that_is_gone_or_not_ready_does_not_stay() {
    type Leave = fn(&mut Cluster) -> &mut BTreeSet<String>;
    let ways: [Leave; 2] = [|c| &mut c.gone, |c| &mut c.unready];
    for leave in ways {
        let mut cluster = Cluster::new(100);
        let name = cluster.last();
        cluster.troubled.insert(name.clone());
        cluster.pass(LONG);
        leave(&mut cluster).insert(name.clone());
        cluster.pass(LONG);
        assert_eq!(cluster.speaker(), None);
        leave(&mut cluster).clear();
        cluster.pass(LONG);
        assert_eq!(cluster.speaker(), Some(&*name));
    }
}

#[test]
fn trouble_that_comes_and_goes_is_written_at_a_bounded_pace() {
    let mut cluster = Cluster::new(3);
    let first = cluster.names.iter().min_by_key(|it| cluster.place(it));
    let first = first.unwrap().clone();
    for _ in 0..100 {
        cluster.troubled.insert(first.clone());
        cluster.pass(1);
        cluster.troubled.clear();
        cluster.pass(1);
    }
    assert!(cluster.writes <= 200 / 10 + 1, "{}", cluster.writes);
}

/// Their speakers go on, and see what the others say.
#[test]
fn nodes_that_are_not_ready_contradict_nobody() {
    let mut cluster = Cluster::new(20);
    cluster.troubled.extend(cluster.names[..5].to_vec());
    cluster.unready.extend(cluster.names[..5].to_vec());
    cluster.pass(10 * LONG);
    assert_eq!(cluster.speaker(), None);
    assert_eq!(cluster.writes, 1);
}

#[test]
fn a_changed_object_is_spoken_of_anew() {
    let mut cluster = Cluster::new(100);
    let name = cluster.last();
    cluster.troubled.insert(name.clone());
    cluster.pass(LONG);
    assert_eq!(cluster.speaker(), Some(&*name));
    // Its speaker is gone for good, and the node is ready.
    cluster.turns.remove(&name);
    cluster.pass(LONG);
    assert_eq!(cluster.speaker(), Some(&*name));
    cluster.generation += 1;
    cluster.pass(2 * LONG);
    assert_eq!(cluster.speaker(), None);
    assert_eq!(cluster.told_of(), Some(2));
}

/// Nobody who knows no better says in between that all is well.
#[test]
fn a_node_whose_trouble_stays_says_so_of_the_changed_object_too() {
    let mut cluster = Cluster::new(1000);
    let name = cluster.last();
    cluster.troubled.insert(name.clone());
    cluster.pass(LONG);
    let writes = cluster.writes;
    cluster.generation += 1;
    cluster.pass(2 * LONG);
    assert_eq!(cluster.speaker(), Some(&*name));
    assert_eq!(cluster.told_of(), Some(2));
    assert_eq!(cluster.writes, writes + 1);
}

/// One node has a version in force that the others wait with.
#[test]
fn who_waits_with_a_version_does_not_take_back_what_is_said_of_it() {
    let cluster = Cluster::new(1);
    let mut known = cluster.known();
    let waiting = |known: &Known| programmed("n0", (&[], &[]), known).contains_key(&tor());
    let verdict = known.verdicts.get_mut(&tor()).unwrap();
    verdict.claims.truncate(1);
    verdict.standing.conditions = vec![ConditionSpec {
        kind: PROGRAMMED.to_owned(),
        status: ConditionStatus::True,
        observed_generation: Some(1),
        last_transition_time: NOW.to_owned(),
        reason: PROGRAMMED.to_owned(),
        message: String::new(),
    }];
    assert!(!waiting(&known));
    known.verdicts.get_mut(&tor()).unwrap().standing.generation = Some(2);
    assert!(waiting(&known), "of the version before it is taken back");
}

#[test]
fn of_what_is_not_in_force_nothing_is_said() {
    let mut cluster = Cluster::new(10);
    cluster.pass(LONG);
    assert_eq!(cluster.conditions.len(), 1);
    cluster.is_selected = false;
    cluster.pass(LONG);
    assert_eq!(cluster.conditions, []);
    assert_eq!(cluster.writes, 2);
}

#[test]
fn trouble_is_what_keeps_a_session_away_and_no_other_condition_says() {
    let cluster = Cluster::new(1);
    let mut known = cluster.known();
    let router = |state: &str| -> Protocol {
        serde_json::from_value(serde_json::json!({
            "name": "tor", "role": "router", "object": "BGPPeer/tor", "state": state,
            "since": "2026-01-01T00:00:10Z", "remote": "192.0.2.9:179", "local": null,
            "remoteAs": 64999, "localAs": 64512, "remoteRouterId": null,
            "lastError": null, "lastReceived": null, "lastSent": null, "families": ["ipv4"],
            "localCapabilities": [], "remoteCapabilities": [], "holdTime": 90,
            "holdRemaining": null, "keepalive": 30, "connectRemaining": null,
            "messages": {"updatesIn": 0, "updatesOut": 0, "totalIn": 0, "totalOut": 0},
            "establishedCount": 1,
            "routes": {"imported": 3, "exported": 1, "preferred": 3, "stale": 0}, "refused": {},
        }))
        .unwrap()
    };
    let holds = |state: &str, problem: Problem, known: &Known| {
        programmed("n0", (&[router(state)], &[problem]), known)[&tor()].claims[0].holds
    };
    assert!(!holds("Idle", no_router(), &known));
    // The one that was found before is still there.
    assert!(holds(ESTABLISHED, no_router(), &known));
    let no_family = Problem {
        field: "spec.families".to_owned(),
        reason: "no-address".to_owned(),
        ..no_router()
    };
    assert!(holds("Idle", no_family, &known));
    let verdict = known.verdicts.get_mut(&tor()).unwrap();
    verdict
        .problems
        .push(crate::diagnostic::Diagnostic::warning(
            tor(),
            "spec.interface",
            Reason::RouterNotFound,
            "in other words",
        ));
    assert!(holds("Idle", no_router(), &known));
}
