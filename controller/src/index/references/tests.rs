//! What is in force while names lead nowhere.

use serde_json::{Value, json};

use crate::{
    api::{BFDProfile, BGPPeer, BGPPolicy},
    diagnostic::Reason,
    index::{Index, Kind, ObjectKey, Observed, SourceEvent},
};

fn peer(port: u16, spec: Value) -> Observed {
    let mut spec = spec;
    spec["address"] = json!("192.0.2.254");
    spec["asn"] = json!(64601);
    spec["port"] = json!(port);
    let object = json!({ "metadata": { "name": "tor" }, "spec": spec });
    Observed::from(&serde_json::from_value::<BGPPeer>(with_type("BGPPeer", object)).unwrap())
}

fn with_type(kind: &str, mut object: Value) -> Value {
    object["apiVersion"] = json!("redstart.dev/v1alpha1");
    object["kind"] = json!(kind);
    object
}

fn policy(name: &str) -> Observed {
    let object =
        json!({ "metadata": { "name": name }, "spec": { "rules": [{ "action": "Next" }] } });
    Observed::from(&serde_json::from_value::<BGPPolicy>(with_type("BGPPolicy", object)).unwrap())
}

fn profile(name: &str) -> Observed {
    let object = json!({ "metadata": { "name": name }, "spec": {} });
    Observed::from(&serde_json::from_value::<BFDProfile>(with_type("BFDProfile", object)).unwrap())
}

fn import(policy: &str) -> Value {
    json!({ "policies": { "import": [policy] } })
}

/// Every kind listed, with these objects.
fn index(objects: &[Observed]) -> Index {
    let mut index = Index::new();
    for kind in Kind::ALL {
        let of_kind = objects.iter().filter(|o| o.key.kind == kind);
        let objects = of_kind.cloned().collect();
        index.apply(SourceEvent::Restarted { kind, objects });
    }
    index
}

fn port(index: &Index) -> u16 {
    index.complete().unwrap().peers["tor"]
        .remote
        .address()
        .unwrap()
        .port()
}

fn problems(index: &Index) -> Vec<(String, Reason)> {
    let problems = index.problems();
    problems.map(|p| (p.field.clone(), p.reason)).collect()
}

#[test]
fn a_peer_that_names_an_unknown_policy_stays_as_it_was_until_the_policy_is_there() {
    let mut index = index(&[peer(1179, json!({}))]);
    assert!(index.apply(SourceEvent::Applied(peer(2179, import("later")))));
    assert_eq!(port(&index), 1179);
    let field = "spec.policies.import[0]".to_owned();
    assert_eq!(problems(&index), [(field, Reason::UnknownPolicy)]);
    assert!(index.apply(SourceEvent::Applied(policy("later"))));
    assert_eq!((port(&index), problems(&index)), (2179, Vec::new()));
}

#[test]
fn the_last_version_that_waits_counts() {
    let mut index = index(&[peer(1, json!({}))]);
    index.apply(SourceEvent::Applied(peer(2, import("later"))));
    index.apply(SourceEvent::Applied(peer(3, json!({}))));
    assert_eq!((port(&index), problems(&index)), (3, Vec::new()));
    index.apply(SourceEvent::Applied(policy("later")));
    assert_eq!(port(&index), 3);
    index.apply(SourceEvent::Applied(peer(4, import("never"))));
    index.apply(SourceEvent::Deleted(ObjectKey::cluster(
        Kind::BgpPeer,
        "tor",
    )));
    assert!(index.complete().unwrap().peers.is_empty());
    assert_eq!(problems(&index), []);
}

#[test]
fn a_policy_that_is_named_outlives_its_object() {
    let mut index = index(&[peer(1179, import("in")), policy("in")]);
    let gone = SourceEvent::Deleted(ObjectKey::cluster(Kind::BgpPolicy, "in"));
    assert!(index.apply(gone.clone()));
    assert!(index.complete().unwrap().policies.contains_key("in"));
    let field = "spec.policies.import[0]".to_owned();
    assert_eq!(problems(&index), [(field.clone(), Reason::UnknownPolicy)]);
    // A new version of the peer that still names it waits, as it would for any that is not there.
    index.apply(SourceEvent::Applied(peer(2179, import("in"))));
    assert_eq!(port(&index), 1179);
    // It is back.
    index.apply(SourceEvent::Applied(policy("in")));
    assert_eq!((port(&index), problems(&index)), (2179, Vec::new()));
    // Gone again, and nobody names it any more.
    index.apply(gone);
    index.apply(SourceEvent::Applied(peer(1179, json!({}))));
    assert!(index.complete().unwrap().policies.is_empty());
    assert_eq!(problems(&index), []);
}

#[test]
fn a_listing_keeps_what_is_named_too() {
    let mut index = index(&[peer(1179, import("in")), policy("in"), policy("other")]);
    let empty = |kind| SourceEvent::Restarted {
        kind,
        objects: Vec::new(),
    };
    index.apply(empty(Kind::BgpPolicy));
    let policies = &index.complete().unwrap().policies;
    assert_eq!(policies.keys().collect::<Vec<_>>(), ["in"]);
    index.apply(empty(Kind::BgpPeer));
    assert!(index.complete().unwrap().policies.is_empty());
}

fn secret(name: &str, key: &str, value: &str) -> Observed {
    let mut data = serde_json::Map::new();
    data.insert(key.to_owned(), json!(value));
    let metadata = json!({ "name": name, "namespace": "redstart-system" });
    let object =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data });
    Observed::from(&serde_json::from_value::<k8s_openapi::api::core::v1::Secret>(object).unwrap())
}

fn with_password(secret: &str) -> Value {
    json!({ "passwordSecretRef": { "name": secret } })
}

/// Be it missing, of another key or unusable, and whether there was one before or not: the session goes on.
#[test]
fn a_password_is_waited_for_like_a_policy() {
    let field = || "spec.passwordSecretRef".to_owned();
    for before in [json!({}), with_password("old")] {
        let mut index = index(&[peer(1179, before), secret("old", "password", "first")]);
        index.apply(SourceEvent::Applied(peer(2179, with_password("new"))));
        for (event, reason) in [
            (None, Reason::SecretMissing),
            (
                Some(secret("new", "pasword", "x")),
                Reason::SecretKeyMissing,
            ),
            (
                Some(secret("new", "password", "x\n")),
                Reason::InvalidPassword,
            ),
        ] {
            event.map(|secret| index.apply(SourceEvent::Applied(secret)));
            assert_eq!(
                (port(&index), problems(&index)),
                (1179, vec![(field(), reason)])
            );
        }
        // Nobody looks for the Secret of the version before any more: its password is still in force.
        let key = ObjectKey::namespaced(Kind::Secret, "redstart-system", "old");
        index.apply(SourceEvent::Deleted(key));
        assert_eq!(problems(&index), [(field(), Reason::InvalidPassword)]);
        index.apply(SourceEvent::Applied(secret("new", "password", "second")));
        assert_eq!((port(&index), problems(&index)), (2179, Vec::new()));
        assert!(!index.complete().unwrap().secrets.contains_key("old"));
    }
}

#[test]
fn a_password_of_a_secret_that_is_gone_is_good_for_another_version() {
    let mut index = index(&[
        peer(1179, with_password("old")),
        secret("old", "password", "first"),
    ]);
    let key = ObjectKey::namespaced(Kind::Secret, "redstart-system", "old");
    index.apply(SourceEvent::Deleted(key));
    index.apply(SourceEvent::Applied(peer(2179, with_password("old"))));
    assert_eq!(port(&index), 2179);
}

#[test]
fn profiles_are_waited_for_like_policies() {
    let mut index = index(&[peer(1179, json!({}))]);
    let bfd = json!({ "bfd": { "profile": "fast" } });
    index.apply(SourceEvent::Applied(peer(2179, bfd)));
    let field = "spec.bfd.profile".to_owned();
    assert_eq!(problems(&index), [(field, Reason::UnknownBfdProfile)]);
    index.apply(SourceEvent::Applied(profile("fast")));
    assert_eq!((port(&index), problems(&index)), (2179, Vec::new()));
}
