//! The Kubernetes source: what arrives in the index, and what is said where nothing can.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod kube_world;

use std::path::PathBuf;

use kube_world::{
    Follower, World, block_on, known, names, node, nodes, peer, three_nodes, with_world,
};
use redstart_controller::{
    index::{Index, Kind},
    source::{
        self, Health, Source,
        kube::{KubeSource, ListMode, WatchReason},
    },
};
use redstart_proto_tests::apiserver::{ApiServer, Credential, Options};
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[test]
fn live_changes_arrive_one_by_one() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            assert_eq!(names(&follower.index), ["a", "b", "c"]);
            server.put(node("d", "10.0.4.0/24")).unwrap();
            server.put(node("b", "10.0.9.0/24")).unwrap();
            server.remove(&nodes(), "", "a");
            follower
                .until(|index| !known(index).nodes.contains_key("a"))
                .await;
            assert_eq!(names(&follower.index), ["b", "c", "d"]);
            let cidr = known(&follower.index).nodes["b"].pod_cidrs[0].to_string();
            assert_eq!(cidr, "10.0.9.0/24");
            assert_eq!(
                follower.story(Kind::Node),
                ["listed a b c", "applied d", "applied b", "deleted a"]
            );
            let status = follower.status(Kind::Node);
            assert!(status.connected && status.listed && status.last_event.is_some());
            assert_eq!(
                (status.mode, status.listings, status.failures),
                (ListMode::StreamingList, 1, 0)
            );
        },
    );
}

#[test]
fn secrets_of_other_namespaces_are_none_of_our_business() {
    let secret = |namespace: &str, name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {"password": "x"},
        })
    };
    // `with_world` has one that is named: `mesh`. Another of that name, and one that nobody names.
    let objects = vec![
        secret("default", "mesh"),
        secret("redstart-system", "other"),
    ];
    with_world(
        objects,
        |_| {},
        async |world| {
            let secrets = &known(&world.follower.index).secrets;
            assert_eq!(secrets.len(), 1);
            assert_eq!(secrets["mesh"].data["password"], b"swordfish");
            let asked = world.server.faults().requests();
            let mut asked = asked.iter().filter(|it| it.uri.contains("/secrets"));
            assert!(asked.all(|it| {
                it.uri
                    .starts_with("/api/v1/namespaces/redstart-system/secrets?")
                    && it.uri.contains("fieldSelector=metadata.name%3Dmesh")
            }));
        },
    );
}

#[test]
fn a_malformed_object_is_named_and_the_others_go_on() {
    let mut bad = peer("bad", "192.0.2.7");
    bad["spec"] = json!({"address": ["not", "text"], "asn": 64999});
    let mut objects = three_nodes();
    objects.extend([peer("good", "192.0.2.9"), bad]);
    with_world(
        objects,
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            let peers = |index: &Index| known(index).peers.keys().cloned().collect::<Vec<_>>();
            assert_eq!(peers(&follower.index), ["good"]);
            let problem = follower.index.problems().next().unwrap().to_string();
            assert!(problem.starts_with("BGPPeer/bad spec.address"), "{problem}");
            assert_eq!(follower.status(Kind::BgpPeer).invalid, 1);

            // A good one becomes malformed while it is watched: its last good version stays.
            let mut spoilt = peer("good", "192.0.2.9");
            spoilt["spec"] = json!("nothing");
            server.put(spoilt).unwrap();
            server.put(peer("later", "192.0.2.10")).unwrap();
            follower
                .until(|index| known(index).peers.contains_key("later"))
                .await;
            assert_eq!(peers(&follower.index), ["good", "later"]);
            assert_eq!(follower.index.problems().count(), 2);
            server.put(peer("bad", "192.0.2.7")).unwrap();
            server.put(peer("good", "192.0.2.9")).unwrap();
            follower
                .until(|index| index.problems().next().is_none())
                .await;
            assert_eq!(peers(&follower.index), ["bad", "good", "later"]);
        },
    );
}

#[test]
fn a_missing_crd_is_named_and_is_not_an_empty_list() {
    let server = ApiServer::start(Options {
        redstart_crds: false,
        ..Options::default()
    })
    .unwrap();
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        let missing = |health: &Health| {
            matches!(health, Health::Retrying { error }
                if error == "CRD bgppeers.redstart.dev is not installed")
        };
        follower.until_health(Kind::BgpPeer, missing).await;
        follower
            .until_health(Kind::Node, |it| *it == Health::Synced)
            .await;
        assert_eq!(
            follower.reason(Kind::BgpPeer),
            Some(WatchReason::CrdMissing)
        );
        assert!(!follower.status(Kind::BgpPeer).listed);
        assert!(!follower.index.is_complete());
        for crd in redstart_controller::api::crds() {
            server.put(json!(crd)).unwrap();
        }
        follower.until_complete().await;
    });
}

#[test]
fn credentials_and_authorities_that_are_wrong_are_said_to_be() {
    let server = ApiServer::start(Options::default()).unwrap();
    let other = ApiServer::start(Options::default()).unwrap();
    let mut wrong_token = server.kubeconfig();
    wrong_token.credential = Credential::Token("guess".to_owned());
    let mut wrong_authority = server.kubeconfig();
    wrong_authority.ca_pem = other.ca_pem();
    let mut nobody_there = other.kubeconfig();
    drop(other);
    nobody_there.credential = Credential::Anonymous;
    block_on(async {
        for (kubeconfig, reason, words) in [
            (wrong_token, WatchReason::Unauthorized, "token"),
            (
                wrong_authority,
                WatchReason::UntrustedCertificate,
                "certificate",
            ),
            (nobody_there, WatchReason::Unreachable, "refused"),
        ] {
            let mut follower = Follower::start(&kubeconfig);
            follower
                .until_health(
                    Kind::Node,
                    |it| matches!(it, Health::Retrying { error } if error.contains(words)),
                )
                .await;
            assert_eq!(follower.reason(Kind::Node), Some(reason));
            assert!(!follower.status(Kind::Node).listed);
        }
    });
}

#[test]
fn an_unusable_kubeconfig_ends_the_source_and_names_the_file() {
    block_on(async {
        let (sender, _batches) = source::channel();
        let source = KubeSource::new(Some(PathBuf::from("/nonexistent/kubeconfig")));
        let error = source
            .run(sender, CancellationToken::new())
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/kubeconfig"),
            "{error}"
        );
    });
}

#[test]
fn the_source_ends_when_it_is_told_to_or_nobody_listens() {
    with_world(
        three_nodes(),
        |_| {},
        async |world| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("kubeconfig");
            world.server.kubeconfig().write(&path).unwrap();
            let (sender, batches) = source::channel();
            let stop = CancellationToken::new();
            let running =
                tokio::spawn(KubeSource::new(Some(path.clone())).run(sender, stop.clone()));
            stop.cancel();
            running.await.unwrap().unwrap();
            drop(batches);
            let (sender, batches) = source::channel();
            drop(batches);
            KubeSource::new(Some(path))
                .run(sender, CancellationToken::new())
                .await
                .unwrap();
        },
    );
}
