use serde_json::{Value, json};

use super::*;
use crate::{index::Kind, source::SourceEvent, source::kube::take_in};

const NOW: &str = "2026-01-02T00:00:00Z";

/// An index of these objects, as from an API server that numbers them.
fn index(objects: &[(Kind, Value)]) -> Index {
    let mut index = Index::new();
    for kind in Kind::ALL {
        let of_kind = objects.iter().filter(|(of, _)| *of == kind);
        let objects = of_kind.map(|(kind, object)| take_in(*kind, object.clone()));
        let objects = objects.collect();
        index.apply(SourceEvent::Restarted { kind, objects });
    }
    index
}

fn node() -> (Kind, Value) {
    (
        Kind::Node,
        json!({"metadata": {"name": "n1", "labels": {"rack": "1"}}}),
    )
}

fn object(kind: Kind, name: &str, spec: &Value, conditions: &[ConditionSpec]) -> (Kind, Value) {
    let object = json!({
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "generation": 2},
        "spec": spec,
        "status": {"conditions": conditions},
    });
    (kind, object)
}

fn peer(more: &Value) -> (Kind, Value) {
    let mut spec = json!({"address": "192.0.2.1", "asn": 64999});
    let more = more.as_object().unwrap().clone();
    spec.as_object_mut().unwrap().extend(more);
    object(Kind::BgpPeer, "tor", &spec, &[])
}

/// The only verdict.
fn verdict(objects: &[(Kind, Value)]) -> Verdict {
    let mut all = verdicts(&index(objects));
    let (_, verdict) = all.pop_first().unwrap();
    assert!(all.is_empty(), "{all:?}");
    verdict
}

/// Type, whether it holds, reason and message of each claim.
fn claims(verdict: &Verdict) -> Vec<(&str, bool, &str, &str)> {
    let claims = verdict.claims.iter();
    claims
        .map(|c| (c.kind, c.holds, c.reason.as_str(), c.message.as_str()))
        .collect()
}

#[test]
fn a_peer_that_is_in_force_says_so() {
    let verdict = verdict(&[
        node(),
        peer(&json!({"nodeSelector": {"matchLabels": {"rack": "1"}}})),
    ]);
    let holds = |kind| (kind, true, kind, "");
    assert_eq!(
        claims(&verdict),
        [
            holds("Accepted"),
            holds("ResolvedRefs"),
            holds("NodesSelected"),
            holds("NoConflicts")
        ]
    );
}

#[test]
fn a_field_that_cannot_be_used_is_named_with_its_reason() {
    let verdict = verdict(&[node(), peer(&json!({"asn": 23456}))]);
    let [(kind, holds, reason, message)] = claims(&verdict)[..] else {
        panic!("{verdict:?}");
    };
    assert_eq!((kind, holds, reason), ("Accepted", false, "InvalidAsn"));
    assert!(message.starts_with("spec.asn: "), "{message}");
    assert!(message.ends_with("(invalid-asn)"), "{message}");
}

#[test]
fn a_secret_and_a_peer_that_are_missing_are_named() {
    let wants_secret = peer(&json!({"passwordSecretRef": {"name": "bgp"}}));
    let without = verdict(&[node(), wants_secret]);
    let (kind, holds, reason, message) = claims(&without)[1];
    assert_eq!(
        (kind, holds, reason),
        ("ResolvedRefs", false, "SecretMissing")
    );
    assert!(message.contains("redstart-system/bgp"), "{message}");

    let spec = json!({"podCIDRs": true, "peers": {"names": ["tor9"]}});
    let lonely = verdict(&[node(), object(Kind::BgpAdvertisement, "a", &spec, &[])]);
    let (kind, holds, reason, message) = claims(&lonely)[1];
    assert_eq!(
        (kind, holds, reason),
        ("ResolvedRefs", false, "UnknownPeer")
    );
    assert!(message.contains("tor9"), "{message}");
}

/// A policy that was never there, one that a new version waits for, and one that is gone and still
/// named: the reference is not resolved, whatever is in force meanwhile.
#[test]
fn a_policy_that_is_missing_is_named_by_who_waits_for_it_too() {
    let names_policy = |name: &str| peer(&json!({"policies": {"import": [name]}}));
    let policy = object(
        Kind::BgpPolicy,
        "p",
        &json!({"rules": [{"action": "Accept"}]}),
        &[],
    );
    let resolved = |index: &Index| {
        let all = verdicts(index);
        let of_peer = all
            .iter()
            .find(|(object, _)| object.name == "tor")
            .unwrap()
            .1;
        let (kind, holds, reason, message) = claims(of_peer)[1];
        assert_eq!(kind, "ResolvedRefs");
        (holds, reason.to_owned(), message.to_owned())
    };
    let unknown = "UnknownPolicy".to_owned();

    let (holds, reason, message) = resolved(&index(&[node(), names_policy("q")]));
    assert_eq!((holds, &reason), (false, &unknown));
    assert!(message.contains("no route passes"), "{message}");

    let mut index = index(&[node(), policy.clone(), names_policy("p")]);
    assert!(resolved(&index).0);
    let (kind, waits) = names_policy("q");
    index.apply(SourceEvent::Applied(take_in(kind, waits)));
    let (holds, reason, message) = resolved(&index);
    assert_eq!((holds, &reason), (false, &unknown));
    assert!(message.contains("as it was before"), "{message}");

    let (kind, back) = names_policy("p");
    index.apply(SourceEvent::Applied(take_in(kind, back)));
    assert!(resolved(&index).0);
    let gone = crate::index::ObjectKey::cluster(Kind::BgpPolicy, "p");
    index.apply(SourceEvent::Deleted(gone));
    let (holds, reason, message) = resolved(&index);
    assert_eq!((holds, &reason), (false, &unknown));
    assert!(message.contains("its last version"), "{message}");
}

#[test]
fn a_selector_that_selects_nothing_is_told() {
    let nowhere = json!({"nodeSelector": {"matchLabels": {"rack": "9"}}});
    let verdict = verdict(&[node(), peer(&nowhere)]);
    assert_eq!(
        claims(&verdict)[2],
        (
            "NodesSelected",
            false,
            "NoNodeSelected",
            "spec.nodeSelector: no Node has such labels"
        )
    );
}

#[test]
fn nothing_is_said_before_every_kind_was_listed() {
    let (kind, value) = peer(&json!({}));
    let mut index = Index::new();
    let objects = vec![take_in(kind, value)];
    index.apply(SourceEvent::Restarted { kind, objects });
    assert_eq!(verdicts(&index), BTreeMap::new());
}

#[test]
fn what_was_said_already_is_told_and_keeps_its_time() {
    let spec = json!({"address": "192.0.2.1", "asn": 64999});
    let first = verdict(&[node(), object(Kind::BgpPeer, "tor", &spec, &[])]);
    assert!(!first.is_told());
    let mut conditions = first.conditions("2026-01-01T00:00:00Z");
    let again = |conditions: &[ConditionSpec], spec: &Value| {
        verdict(&[node(), object(Kind::BgpPeer, "tor", spec, conditions)])
    };
    assert!(again(&conditions, &spec).is_told());

    // An older version of the object was meant: said anew, of the same age.
    for condition in &mut conditions {
        condition.observed_generation = Some(1);
    }
    let later = again(&conditions, &spec);
    assert!(!later.is_told());
    let rewritten = later.conditions(NOW);
    assert!(rewritten.iter().all(|c| c.observed_generation == Some(2)));
    assert!(
        rewritten
            .iter()
            .all(|c| c.last_transition_time.as_str() < NOW)
    );

    // It is not in force any more: that is new.
    let bad = json!({"address": "192.0.2.1", "asn": 23456});
    let refused = again(&rewritten, &bad);
    assert!(!refused.is_told());
    assert_eq!(refused.conditions(NOW)[0].last_transition_time, NOW);

    // Somebody has seen a later version: that is for him to say.
    conditions[0].observed_generation = Some(3);
    assert!(again(&conditions, &bad).is_told());
}

#[test]
fn a_condition_that_is_not_claimed_any_more_must_go() {
    let spec = json!({"address": "192.0.2.1", "asn": 64999});
    let good = verdict(&[node(), object(Kind::BgpPeer, "tor", &spec, &[])]);
    let mut conditions = good.conditions(NOW);
    let bad = json!({"address": "192.0.2.1", "asn": 23456});
    let refused = verdict(&[node(), object(Kind::BgpPeer, "tor", &bad, &conditions)]);
    conditions[0] = refused.conditions(NOW)[0].clone();
    let half = verdict(&[node(), object(Kind::BgpPeer, "tor", &bad, &conditions)]);
    assert!(!half.is_told());
    let whole = verdict(&[node(), object(Kind::BgpPeer, "tor", &bad, &conditions[..1])]);
    assert!(whole.is_told());
}

/// What is said of an object with this claim, of several objects.
fn said(objects: &[(Kind, Value)], name: &str, kind: &str) -> Option<(bool, String, String)> {
    let all = verdicts(&index(objects));
    let (_, verdict) = all.iter().find(|(object, _)| object.name == name)?;
    let claims = claims(verdict);
    let claim = claims.into_iter().find(|claim| claim.0 == kind)?;
    Some((claim.1, claim.2.to_owned(), claim.3.to_owned()))
}

#[test]
fn an_advertisement_for_routers_that_are_not_there_says_so() {
    let to = |peers: &Value| {
        let spec = json!({"podCIDRs": true, "peers": peers});
        let advertisement = object(Kind::BgpAdvertisement, "a", &spec, &[]);
        let objects = [node(), peer(&json!({})), advertisement];
        said(&objects, "a", "PeersSelected").unwrap()
    };
    for nobody in [
        json!({"matchLabels": {"rack": "9"}}),
        json!({"names": ["tor9"]}),
    ] {
        let (holds, reason, message) = to(&nobody);
        assert_eq!((holds, reason.as_str()), (false, "NoPeerSelected"));
        assert!(message.starts_with("spec.peers: "), "{message}");
    }
    for somebody in [json!({}), json!({"names": ["tor", "tor9"]})] {
        assert!(to(&somebody).0, "{somebody}");
    }
}

#[test]
fn a_peer_that_another_object_keeps_out_of_force_says_which() {
    let spec = json!({"address": "192.0.2.1", "asn": 64999});
    let second = object(Kind::BgpPeer, "zor", &spec, &[]);
    let mut addressed = node();
    let objects = [addressed.clone(), peer(&json!({})), second.clone()];
    let (holds, reason, message) = said(&objects, "zor", "NoConflicts").unwrap();
    assert_eq!((holds, reason.as_str()), (false, "DuplicatePeerAddress"));
    assert!(
        message.starts_with("spec.address: BGPPeer/tor "),
        "{message}"
    );
    assert!(said(&objects, "tor", "NoConflicts").unwrap().0);
    assert!(said(&objects, "zor", "Accepted").unwrap().0);

    addressed.1["status"] = json!({"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]});
    let (holds, reason, message) = said(&[addressed, second], "zor", "NoConflicts").unwrap();
    assert_eq!((holds, reason.as_str()), (false, "OwnAddress"));
    assert!(message.contains("Node/n1"), "{message}");
}

#[test]
fn a_selector_of_reflectors_that_selects_nothing_is_told() {
    let mesh = |mode: &str, rack: &str| {
        let spec = json!({"mesh": {
            "mode": mode,
            "routeReflector": {"nodeSelector": {"matchLabels": {"rack": rack}}},
        }});
        let configuration = object(Kind::BgpConfiguration, "default", &spec, &[]);
        said(&[node(), configuration], "default", "NodesSelected")
    };
    let (holds, reason, message) = mesh("RouteReflector", "9").unwrap();
    assert_eq!((holds, reason.as_str()), (false, "NoReflector"));
    let field = "spec.mesh.routeReflector.nodeSelector: ";
    assert!(message.starts_with(field), "{message}");
    assert!(mesh("RouteReflector", "1").unwrap().0);
    assert_eq!(mesh("FullMesh", "9"), None, "nothing is asked for");
}

/// Of a version that waits it is not known what it would select, and what the one before selects is none
/// of its business.
#[test]
fn of_a_version_that_waits_it_is_said_what_for_and_no_more() {
    let policy = object(
        Kind::BgpPolicy,
        "p",
        &json!({"rules": [{"action": "Accept"}]}),
        &[],
    );
    let mut index = index(&[
        node(),
        policy,
        peer(&json!({"policies": {"import": ["p"]}})),
    ]);
    let kinds = |index: &Index| {
        let all = verdicts(index);
        let (_, tor) = all.iter().find(|(object, _)| object.name == "tor").unwrap();
        let kinds: Vec<&str> = tor.claims.iter().map(|claim| claim.kind).collect();
        (kinds.join(" "), tor.claims.iter().all(|claim| claim.holds))
    };
    let all = "Accepted ResolvedRefs NodesSelected NoConflicts";
    assert_eq!(kinds(&index), (all.to_owned(), true));
    let nowhere = json!({"matchLabels": {"rack": "9"}});
    let (kind, waits) = peer(&json!({"policies": {"import": ["q"]}, "nodeSelector": nowhere}));
    index.apply(SourceEvent::Applied(take_in(kind, waits)));
    assert_eq!(kinds(&index), ("Accepted ResolvedRefs".to_owned(), false));
}
