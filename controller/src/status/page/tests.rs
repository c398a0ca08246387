use serde_json::json;

use super::*;

fn status() -> Status {
    serde_json::from_value(json!({
        "schema": "", "version": "1.0", "node": "n1", "routerId": "192.0.2.1", "localAs": 64512,
        "started": "2026-01-01T00:00:00Z", "configured": null, "now": "2026-01-01T00:01:00.5Z",
        "ready": true, "notReady": [], "listeners": [],
        "peers": {"configured": 2, "established": 1}, "prefixes": {"ipv4": 7}, "originated": 1,
        "kernel": {"installed": 5, "pending": 0, "parked": 0, "stale": 0, "error": null},
        "source": {"description": "", "kinds": []}, "problems": [],
    }))
    .unwrap()
}

fn protocol(name: &str, role: &str, state: &str) -> Protocol {
    serde_json::from_value(json!({
        "name": name, "role": role, "object": format!("BGPPeer/{name}"), "state": state,
        "since": "2026-01-01T00:00:10Z", "remote": "192.0.2.9:179", "local": null,
        "remoteAs": 64999, "localAs": 64512, "remoteRouterId": null,
        "lastError": null, "lastReceived": null, "lastSent": null, "families": ["ipv4"],
        "localCapabilities": [], "remoteCapabilities": ["route-refresh"], "holdTime": 90,
        "holdRemaining": null, "keepalive": 30, "connectRemaining": null,
        "messages": {"updatesIn": 0, "updatesOut": 0, "totalIn": 0, "totalOut": 0},
        "establishedCount": 1, "routes": {"imported": 3, "exported": 1, "preferred": 3, "stale": 0},
        "refused": {},
    }))
    .unwrap()
}

fn condition_of<'a>(page: &'a NodeStatus, kind: &str) -> &'a ConditionSpec {
    page.conditions.iter().find(|c| c.kind == kind).unwrap()
}

#[test]
fn neighbours_without_a_session_come_first_and_routers_before_nodes() {
    let peers = [
        protocol("mesh-b", "mesh", "Established"),
        protocol("tor-b", "router", "Established"),
        protocol("mesh-a", "mesh", "Active"),
        protocol("tor-a", "router", "Idle"),
    ];
    let page = page(&status(), &peers, 300, None);
    let names: Vec<&str> = page.peers.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["tor-a", "mesh-a", "tor-b", "mesh-b"]);
    let down = condition_of(&page, "PeersEstablished");
    assert_eq!(
        (down.status, down.message.as_str()),
        (ConditionStatus::False, "tor-a, mesh-a")
    );
    assert_eq!(page.heartbeat_time, "2026-01-01T00:01:00Z");
}

/// etcd takes 1.5 MiB; what a node says must be a small part of that, whatever neighbours do.
#[test]
fn the_size_is_bounded() {
    let mut peers: Vec<Protocol> = (0..5000)
        .map(|i| protocol(&format!("mesh-{i:04}{}", "x".repeat(300)), "mesh", "Idle"))
        .collect();
    for peer in &mut peers {
        peer.last_error = Some("é".repeat(10_000));
        peer.remote_capabilities = vec!["c".repeat(1000); 500];
    }
    let mut status = status();
    let problem = crate::control::views::Problem {
        severity: "error".to_owned(),
        object: "BGPPeer/x".to_owned(),
        field: "spec".to_owned(),
        reason: "conflict".to_owned(),
        message: "m".repeat(10_000),
    };
    status.problems = vec![problem; 1000];
    let page = page(&status, &peers, 300, None);
    assert_eq!((page.peers.len(), page.more_peers), (MAX_PEERS, 5000 - 64));
    assert_eq!(
        (page.problems.len(), page.more_problems),
        (MAX_PROBLEMS, 1000 - 32)
    );
    assert!(serde_json::to_vec(&page).unwrap().len() < 768 << 10);
}

#[test]
fn of_many_problems_those_by_which_something_is_not_in_force_are_listed() {
    let problem = |severity: &str, object: &str| crate::control::views::Problem {
        severity: severity.to_owned(),
        object: object.to_owned(),
        field: "spec".to_owned(),
        reason: "conflict".to_owned(),
        message: String::new(),
    };
    let mut status = status();
    status.problems = vec![problem("warning", "BGPAdvertisement/a"); MAX_PROBLEMS];
    status.problems.push(problem("error", "BGPPeer/x"));
    let page = page(&status, &[], 300, None);
    assert_eq!(page.problems[0].object, "BGPPeer/x");
    assert_eq!((page.problems.len(), page.more_problems), (MAX_PROBLEMS, 1));
}

#[test]
fn numbers_of_routes_alone_are_no_change_and_a_session_is() {
    let say = |peers: &[Protocol]| page(&status(), peers, 300, None);
    let before = say(&[protocol("tor", "router", "Established")]);
    let mut more = protocol("tor", "router", "Established");
    more.routes.imported = 1000;
    assert!(!differs(&before, &say(&[more])));
    assert!(differs(
        &before,
        &say(&[protocol("tor", "router", "Active")])
    ));
    let (connect, active) = (
        protocol("tor", "router", "Connect"),
        protocol("tor", "router", "Active"),
    );
    assert!(!differs(&say(&[connect]), &say(&[active])));
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let up = protocol("tor", "router", "Established");
    let first = page(&status(), std::slice::from_ref(&up), 300, None);
    let mut later = status();
    later.now = "2026-01-01T01:00:00Z".parse().unwrap();
    later.problems.push(crate::control::views::Problem {
        severity: "error".to_owned(),
        object: "BGPPeer/tor".to_owned(),
        field: "spec.asn".to_owned(),
        reason: "invalid-asn".to_owned(),
        message: "no".to_owned(),
    });
    let second = page(&later, &[up], 300, Some(&first));
    let time = |page, kind| condition_of(page, kind).last_transition_time.clone();
    assert_eq!(time(&second, "Ready"), time(&first, "Ready"));
    assert_eq!(time(&second, "ObjectsAccepted"), "2026-01-01T01:00:00Z");
    assert_eq!(
        condition_of(&second, "ObjectsAccepted").message,
        "BGPPeer/tor"
    );
}

#[test]
fn a_drain_is_told_and_how_far_it_is() {
    let serving = |withdrawn_in: Option<Option<f64>>| {
        let mut status = status();
        status.drain = withdrawn_in.map(|withdrawn_in| crate::control::views::Drain {
            reason: "drain-annotation".to_owned(),
            withdrawn_in,
        });
        let page = page(&status, &[], 300, None);
        let condition = condition_of(&page, "Serving");
        (condition.status, condition.message.clone())
    };
    assert_eq!(serving(None).0, ConditionStatus::True);
    let draining = "drain-annotation: the routes are to be avoided, and soon withdrawn";
    assert_eq!(
        serving(Some(Some(20.0))),
        (ConditionStatus::False, draining.to_owned())
    );
    let drained = "drain-annotation: the routes are withdrawn";
    assert_eq!(
        serving(Some(None)),
        (ConditionStatus::False, drained.to_owned())
    );
}

#[test]
fn texts_of_others_have_no_control_characters_and_an_end() {
    assert_eq!(cut("a\u{1b}[2Jb\n"), "a[2Jb");
    let long = cut(&"x".repeat(MAX_TEXT + 1));
    assert_eq!(
        (long.chars().count(), long.chars().last()),
        (MAX_TEXT, Some('…'))
    );
}
