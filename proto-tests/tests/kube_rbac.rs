//! The roles of the manifests are enough, and allow no more Secrets than objects name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod kube_world;

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube_world::{Follower, HASTE, block_on, known, node, peer};
use redstart_controller::{
    index::{Index, Kind},
    rbac::role_yaml,
    source::{Health, kube::connect},
};
use redstart_proto_tests::apiserver::{ApiServer, Grant, Options, grants};
use serde_json::{Value, json};

fn base() -> Vec<Grant> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/base/rbac.yaml");
    grants(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The base, with the Secrets that these objects name in the place of all.
fn narrow(objects: &[Value]) -> Vec<Grant> {
    let manifests: Vec<String> = objects.iter().map(Value::to_string).collect();
    let manifests = manifests.iter().map(|text| ("objects.json", text.as_str()));
    let role = grants(&role_yaml(manifests).unwrap()).unwrap();
    let others = base()
        .into_iter()
        .filter(|grant| grant.namespace.is_empty());
    others.chain(role).collect()
}

fn secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "redstart-system"},
        "stringData": {"password": name},
    })
}

fn with_secret(name: &str, address: &str, secret: &str) -> Value {
    let mut peer = peer(name, address);
    peer["spec"]["passwordSecretRef"] = json!({"name": secret});
    peer
}

fn server(grants: Vec<Grant>, objects: &[Value]) -> ApiServer {
    let server = ApiServer::start(Options {
        grants: Some(grants),
        ..Options::default()
    })
    .unwrap();
    for object in objects {
        server.put(object.clone()).unwrap();
    }
    server
}

fn secrets(index: &Index) -> Vec<&str> {
    known(index).secrets.keys().map(String::as_str).collect()
}

#[test]
fn the_base_role_lets_a_speaker_read_what_it_must() {
    let objects = [
        node("a", "10.0.1.0/24"),
        with_secret("tor", "192.0.2.9", "x"),
        secret("x"),
        secret("y"),
    ];
    let server = server(base(), &objects);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        // Though it might, it does not read what nobody names.
        assert_eq!(secrets(&follower.index), ["x"]);
    });
}

#[test]
fn a_role_that_names_secrets_is_enough_and_allows_no_others() {
    let objects = [
        node("a", "10.0.1.0/24"),
        with_secret("tor", "192.0.2.9", "x"),
        secret("x"),
        secret("y"),
    ];
    let server = server(narrow(&objects), &objects);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(secrets(&follower.index), ["x"]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        server.kubeconfig().write(&path).unwrap();
        let api: Api<Secret> =
            Api::namespaced(connect(Some(&path)).await.unwrap(), "redstart-system");
        assert_eq!(
            api.get("x").await.unwrap().metadata.name.as_deref(),
            Some("x")
        );
        for refused in [
            api.get("y").await.map(drop),
            api.list(&Default::default()).await.map(drop),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("forbidden"), "{refused}");
        }
        // It changes, and is followed.
        let mut other = secret("x");
        other["stringData"]["password"] = json!("another");
        server.put(other).unwrap();
        let is_new = |index: &Index| known(index).secrets["x"].data["password"] == b"another";
        follower.until(is_new).await;
    });
}

#[test]
fn a_secret_that_the_role_does_not_name_costs_nobody_else_anything() {
    let objects = [
        node("a", "10.0.1.0/24"),
        with_secret("tor", "192.0.2.9", "x"),
        secret("x"),
        secret("y"),
    ];
    let server = server(narrow(&objects), &objects);
    block_on(async {
        let mut follower = Follower::start_tuned(&server.kubeconfig(), HASTE);
        follower.until_complete().await;
        server.put(with_secret("other", "192.0.2.10", "y")).unwrap();
        follower
            .until_health(Kind::Secret, |health| match health {
                Health::Retrying { error } => error.contains("secrets \"y\" is forbidden"),
                _ => false,
            })
            .await;
        follower.until_caught_up(&server).await;
        assert_eq!(secrets(&follower.index), ["x"]);
        assert_eq!(known(&follower.index).peers.len(), 2);
        // Nobody names it any more: all is well.
        server.remove(
            &redstart_proto_tests::apiserver::Gvr::new("redstart.dev", "v1alpha1", "bgppeers"),
            "",
            "other",
        );
        follower
            .until_health(Kind::Secret, |health| *health == Health::Synced)
            .await;
    });
}

#[test]
fn an_object_that_names_another_secret_comes_with_it() {
    let objects = [
        node("a", "10.0.1.0/24"),
        with_secret("tor", "192.0.2.9", "x"),
        secret("x"),
        secret("y"),
    ];
    let server = server(base(), &objects);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        server.put(with_secret("tor", "192.0.2.9", "y")).unwrap();
        // At no moment does the peer name a Secret that is not there.
        let names_y = |index: &Index| {
            let peer = &known(index).peers["tor"];
            peer.password.as_ref().unwrap().name == "y"
        };
        while !names_y(&follower.index) {
            follower.take().await;
            assert!(!names_y(&follower.index) || secrets(&follower.index).contains(&"y"));
        }
    });
}
