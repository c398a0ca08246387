use super::*;
use crate::index::Standing;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn object() -> ObjectRef {
    ObjectRef {
        kind: "BGPPeer".to_owned(),
        name: "tor".to_owned(),
    }
}

fn nodes(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("n{i}")).collect()
}

/// An object of which nothing was said yet, at this generation.
fn verdict(generation: i64) -> Verdict {
    Verdict {
        kinds: &[],
        late: Duration::ZERO,
        standing: Standing {
            uid: "u".to_owned(),
            generation: Some(generation),
            conditions: Vec::new(),
        },
        claims: vec![Claim {
            kind: "Accepted",
            reason: "Accepted".to_owned(),
            message: String::new(),
            holds: true,
        }],
        problems: Vec::new(),
        clashes: Vec::new(),
    }
}

fn told(generation: i64) -> Verdict {
    let mut verdict = verdict(generation);
    verdict.standing.conditions = verdict.conditions("2026-01-01T00:00:00Z");
    verdict
}

fn one(verdict: Verdict) -> BTreeMap<ObjectRef, Verdict> {
    [(object(), verdict)].into()
}

fn ring(nodes: &[String]) -> Ring {
    nodes.iter().map(String::as_str).collect()
}

/// The second at which each node that is `up` writes, if nobody's words ever arrive.
fn first_writes(all: &[String], up: &[String], until: u64) -> BTreeMap<String, u64> {
    let (missing, all) = (one(verdict(1)), ring(all));
    let mut turns: BTreeMap<&String, Turns> = up
        .iter()
        .map(|n| (n, Turns::new(0.0, Duration::ZERO)))
        .collect();
    let mut writes = BTreeMap::new();
    for second in 0..until {
        for (node, turns) in &mut turns {
            if !turns.due(at(second), node, &all, &missing, 10).is_empty() {
                writes.entry((*node).clone()).or_insert(second);
            }
        }
    }
    writes
}

#[test]
fn all_nodes_agree_on_one_that_writes_first() {
    let all = nodes(50);
    let writes = first_writes(&all, &all, 1);
    assert_eq!(writes.len(), 1, "{writes:?}");
}

#[test]
fn where_the_first_ones_are_down_others_write_within_minutes() {
    let all = nodes(1000);
    let places = ring(&all);
    let place = |node: &&String| places.place(node, &object().to_string());
    let last = all.iter().max_by_key(place).unwrap();
    let writes = first_writes(&all, std::slice::from_ref(last), 200);
    assert_eq!(writes.values().collect::<Vec<_>>(), [&100]);
    let of_each_group = [0, 1, 3, 4, 15, 16].map(|place| patience(place).as_secs());
    assert_eq!(of_each_group, [0, 20, 20, 40, 40, 60]);
}

#[test]
fn what_is_told_is_not_written() {
    let mut turns = Turns::new(0.0, Duration::ZERO);
    assert_eq!(
        turns.due(at(0), "n0", &ring(&nodes(1)), &one(told(1)), 10),
        []
    );
    // A new version of the object is another matter, and nothing was written about it yet.
    assert_eq!(
        turns
            .due(at(1), "n0", &ring(&nodes(1)), &one(verdict(2)), 10)
            .len(),
        1
    );
}

#[test]
fn who_disagrees_waits_twice_as_long_each_time() {
    let (mut turns, all) = (Turns::new(0.0, Duration::ZERO), ring(&nodes(1)));
    let mut writes = Vec::new();
    for second in 0..400 {
        let due = turns.due(at(second), "n0", &all, &one(verdict(1)), 10);
        if !due.is_empty() {
            writes.push(second);
            // For a moment it is as this node said; then somebody says otherwise.
            assert_eq!(turns.due(at(second), "n0", &all, &one(told(1)), 10), []);
        }
    }
    assert_eq!(writes.len(), 4, "{writes:?}");
    let pauses: Vec<u64> = writes.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(pauses.windows(2).all(|w| w[1] > w[0]), "{pauses:?}");
}

#[test]
fn many_objects_are_written_a_few_at_a_time() {
    let object = |i: u32| ObjectRef {
        kind: "BGPPeer".to_owned(),
        name: format!("tor{i}"),
    };
    let all: BTreeMap<_, _> = (0..25).map(|i| (object(i), verdict(1))).collect();
    let mut turns = Turns::new(0.0, Duration::ZERO);
    let mut count = || turns.due(at(0), "n0", &ring(&nodes(1)), &all, 10).len();
    assert_eq!([count(), count(), count(), count()], [10, 10, 5, 0]);
}
