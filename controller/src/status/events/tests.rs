use serde_json::json;

use super::*;
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::Standing,
    object::ObjectRef,
    status::{
        conditions::{Verdict, WitnessedClash},
        known::WITNESSES,
        ring::Ring,
    },
};

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn look(node: &str, problems: &[Problem], known: &Known) -> Look {
    Look::new(at(0), &Look::default(), node, (&[], problems), known)
}

fn seen(up: bool, count: u64) -> Seen {
    Seen {
        object: "BGPPeer/tor".to_owned(),
        told: true,
        up,
        down_since: (!up).then(|| at(0)),
        broken: false,
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
    let look = |problem| look("n1", &[problem], &Known::default());
    let bad = look(problem("error", "BGPPeer/tor", Reason::InvalidAsn));
    let notices = happened(&Look::default(), &bad);
    assert_eq!(notices[0].subject.object, "BGPPeer/tor");
    assert_eq!(notices[0].subject.reason, "NotInForce");
    assert_eq!(notices[0].note, "spec.asn: bad (invalid-asn)");
    assert_eq!(happened(&bad, &bad), []);
}

/// What somebody waits for in vain, and what is merely doubtful.
#[test]
fn of_warnings_those_have_an_event_without_which_something_is_missed() {
    let told = |reason| {
        let problem = problem("warning", "BGPPeer/gw", reason);
        let look = look("n1", &[problem], &Known::default());
        let notices = happened(&Look::default(), &look);
        notices.first().map(|notice| notice.subject.reason)
    };
    assert_eq!(told(Reason::NoReflector), Some("NoReflector"));
    assert_eq!(told(Reason::NoDefaultGateway), Some("NoDefaultGateway"));
    assert_eq!(told(Reason::RouterNotFound), Some("NoRouter"));
    assert_eq!(told(Reason::DrainLimit), Some("DrainWaits"));
    assert_eq!(told(Reason::UnknownPeer), None);
    assert_eq!(told(Reason::ConflictingAttributes), None);
}

#[test]
fn a_second_reason_for_which_routes_are_refused_is_told_too() {
    let mut refusing = seen(true, 1);
    refusing.refused.insert("martian-prefix".to_owned(), 1);
    let mut more = refusing.clone();
    more.refused.insert("not-allowed".to_owned(), 2);
    assert_eq!(
        between(Some(refusing.clone()), more.clone()),
        [("RoutesRefused", 1)]
    );
    let look = |seen| Look {
        peers: [("tor".to_owned(), seen)].into(),
        problems: BTreeSet::new(),
    };
    let notices = happened(&look(seen(true, 1)), &look(more));
    assert_ne!(notices[0].subject, notices[1].subject);
}

#[test]
fn a_node_that_dies_has_three_witnesses_and_all_agree_on_them() {
    let (names, nodes) = (names(), fifty());
    for other in &names {
        let witnesses = names.iter().filter(|own| *own != other);
        let told = witnesses.filter(|own| is_witness(own, other, &nodes));
        assert_eq!(told.count(), WITNESSES, "{other}");
    }
}

fn problem(severity: &str, object: &str, reason: Reason) -> Problem {
    Problem {
        severity: severity.to_owned(),
        object: object.to_owned(),
        field: "spec.asn".to_owned(),
        reason: reason.as_str().to_owned(),
        message: "bad".to_owned(),
    }
}

/// The nodes that have an Event of it.
fn told_by(known: &Known, object: &str, reason: Reason) -> Vec<String> {
    let problem = problem("error", object, reason);
    let tells = |node: &&String| {
        let look = look(node, std::slice::from_ref(&problem), known);
        !look.problems.is_empty()
    };
    names().iter().filter(tells).cloned().collect()
}

fn names() -> Vec<String> {
    (0..50).map(|i| format!("n{i}")).collect()
}

fn fifty() -> Ring {
    names().iter().map(String::as_str).collect()
}

#[test]
fn what_every_node_finds_wrong_is_told_by_three_of_them() {
    let object = ObjectRef {
        kind: "BGPPeer".to_owned(),
        name: "tor".to_owned(),
    };
    let problem = |reason| Diagnostic::error(object.clone(), "spec.asn", reason, "bad");
    let verdict = Verdict {
        kinds: &[],
        late: Duration::ZERO,
        standing: Standing::default(),
        claims: Vec::new(),
        problems: vec![problem(Reason::InvalidAsn)],
        clashes: vec![WitnessedClash {
            problem: problem(Reason::DuplicatePeerAddress),
            witnesses: vec!["n7".to_owned()],
        }],
    };
    let known = Known {
        nodes: fifty(),
        alike: fifty(),
        verdicts: [(object.clone(), verdict)].into(),
        ..Known::default()
    };
    let told_by = |object, reason| told_by(&known, object, reason);
    assert_eq!(told_by("BGPPeer/tor", Reason::InvalidAsn).len(), WITNESSES);
    assert_eq!(told_by("BGPPeer/tor", Reason::DuplicatePeerAddress), ["n7"]);
    // What is one node's own trouble is told by that node.
    assert_eq!(told_by("BGPPeer/tor", Reason::OwnAddress), names());

    // A Service and a Node have no conditions of ours, and are the same to all nodes.
    for object in ["Service/shop/web", "Node/gone"] {
        let told = told_by(object, Reason::InvalidAddress);
        assert_eq!(told.len(), WITNESSES, "{object}");
    }
    let mut of_node = told_by("Node/n1", Reason::InvalidAddress);
    of_node.retain(|node| node != "n1");
    assert!(of_node.len() >= WITNESSES - 1, "beside itself: {of_node:?}");
    // Two nodes with one address: nobody else sees it.
    assert_eq!(told_by("Node/n1", Reason::OwnAddress), names());
}

/// Nodes that no advertisement of Services is for do not see what is wrong with a Service.
#[test]
fn a_service_is_told_of_by_nodes_that_would_advertise_it() {
    let known = Known {
        nodes: fifty(),
        choosing: [["n7", "n8"].into_iter().collect()].into(),
        ..Known::default()
    };
    let told = told_by(&known, "Service/shop/web", Reason::AddressNotAllowed);
    let mut few = told
        .iter()
        .filter(|node| ["n7", "n8"].contains(&node.as_str()));
    assert_eq!((few.next().is_some(), few.next().is_some()), (true, true));
}

fn mesh_peer(other: &str, state: &str, established_count: u32) -> Protocol {
    serde_json::from_value(json!({
        "name": format!("mesh-{other}"), "role": "mesh", "object": format!("Node/{other}"),
        "state": state, "since": "2026-01-01T00:00:10Z", "remote": "192.0.2.9:179", "local": null,
        "remoteAs": 64512, "localAs": 64512, "remoteRouterId": null,
        "lastError": "hold-timer-expired", "lastReceived": null, "lastSent": null,
        "families": ["ipv4"], "localCapabilities": [], "remoteCapabilities": [], "holdTime": 90,
        "holdRemaining": null, "keepalive": 30, "connectRemaining": null,
        "messages": {"updatesIn": 0, "updatesOut": 0, "totalIn": 0, "totalOut": 0},
        "establishedCount": established_count,
        "routes": {"imported": 3, "exported": 1, "preferred": 3, "stale": 0}, "refused": {},
    }))
    .unwrap()
}

/// What a node that is no witness of `n9` says of its session with that, look by look: the second, its
/// state, and whether Kubernetes calls the other one ready.
fn of_a_pair(looks: &[(u64, &str, u32, bool)]) -> Vec<(u64, &'static str)> {
    let nodes = fifty();
    let mut names = names().into_iter();
    let own = names.find(|own| own != "n9" && !is_witness(own, "n9", &nodes));
    let own = own.unwrap();
    let (mut before, mut told) = (Look::default(), Vec::new());
    for (second, state, count, is_ready) in looks {
        let unready = (!is_ready).then(|| "n9".to_owned());
        let known = Known {
            nodes: nodes.clone(),
            unready: unready.into_iter().collect(),
            ..Known::default()
        };
        let peers = [mesh_peer("n9", state, *count)];
        let now = Look::new(at(*second), &before, &own, (&peers, &[]), &known);
        let notices = happened(&before, &now).into_iter();
        told.extend(notices.map(|notice| (*second, notice.subject.reason)));
        before = now;
    }
    told
}

#[test]
fn a_session_that_is_missing_between_two_nodes_that_are_well_is_told_by_them() {
    let up = "Established";
    // Of the states of a session that is tried again and again none is a new start.
    let broken = [
        (0, up, 1, true),
        (10, "Idle", 1, true),
        (60, "Active", 1, true),
        (99, "Connect", 1, true),
        (100, "Active", 1, true),
        (200, "Idle", 1, true),
        (210, up, 2, true),
    ];
    assert_eq!(
        of_a_pair(&broken),
        [(100, "SessionDown"), (210, "SessionUp")]
    );
    // It was never there.
    let never = [(0, "Idle", 0, true), (90, "Connect", 0, true)];
    assert_eq!(of_a_pair(&never), [(90, "SessionDown")]);
    // The other node has died: that is for its witnesses.
    let died = [
        (0, up, 1, true),
        (10, "Idle", 1, true),
        (50, "Idle", 1, false),
        (500, "Idle", 1, false),
        // Its kubelet is ready before its speaker is.
        (510, "Idle", 1, true),
        (585, "Idle", 1, true),
        (595, up, 2, true),
    ];
    assert_eq!(of_a_pair(&died), []);
    // It was back in time.
    let short = [(0, up, 1, true), (10, "Idle", 1, true), (99, up, 2, true)];
    assert_eq!(of_a_pair(&short), []);
}
