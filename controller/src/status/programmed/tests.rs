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
            second: 0,
            writes: 0,
        }
    }

    fn known(&self) -> Known {
        let there = self.names.iter().filter(|it| !self.gone.contains(*it));
        let standing = Standing {
            uid: "u".to_owned(),
            generation: Some(1),
            conditions: self.conditions.clone(),
        };
        let verdict = Verdict {
            standing,
            claims: vec![Claim::holds("Accepted"), Claim::holds(NODES_SELECTED)],
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
                if self.gone.contains(name) || self.unready.contains(name) {
                    continue;
                }
                let problems: Vec<Problem> = (self.troubled.contains(name).then(no_router))
                    .into_iter()
                    .collect();
                let said = programmed(name, &problems, &known);
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

#[test]
fn what_another_condition_says_is_not_said_again() {
    let cluster = Cluster::new(1);
    let mut known = cluster.known();
    let said = |known: &Known| programmed("n0", &[no_router()], known)[&tor()].claims[0].holds;
    assert!(!said(&known));
    verdict_of(&mut known)
        .problems
        .push(crate::diagnostic::Diagnostic::warning(
            tor(),
            "spec.interface",
            crate::diagnostic::Reason::RouterNotFound,
            "in other words",
        ));
    assert!(said(&known));
    // Of what is in force nowhere, nothing is known.
    verdict_of(&mut known).claims.truncate(1);
    assert!(programmed("n0", &[no_router()], &known).is_empty());
}

fn verdict_of(known: &mut Known) -> &mut Verdict {
    known.verdicts.get_mut(&tor()).unwrap()
}
