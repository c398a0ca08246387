//! Conditions of objects: several speakers, one write; what is wrong is said, and what was good stays.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod kube_world;

use std::{sync::Arc, time::Duration};

use kube_world::{
    Follower, base_roles, block_on, core::PlayedCore, node, peer, peer_with_secret, secret, server,
};
use redstart_controller::{
    api::BGPPeer,
    compile::compile,
    control::views,
    source::kube::connect,
    status::{known::Known, pace::Tuning},
    writer::Writer,
};
use redstart_proto_tests::apiserver::{ApiServer, Gvr, Options};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

const HASTE: Tuning = Tuning {
    look: Duration::from_millis(5),
    interval: Duration::from_millis(300),
    heartbeat: Duration::from_secs(60),
    backoff_max: Duration::from_millis(600),
};

/// An API server, and the speaker of each node, as far as it tells the API server anything.
struct World {
    server: ApiServer,
    client: kube::Client,
    cores: Vec<Arc<PlayedCore>>,
    /// The AS number of the router that is in force.
    in_force: watch::Receiver<Option<String>>,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    async fn start(objects: Vec<Value>) -> Self {
        Self::start_with(Options::default(), objects).await
    }

    async fn start_with(options: Options, objects: Vec<Value>) -> Self {
        let nodes = NODES.into_iter().zip(1..).map(|(name, n)| {
            let mut node = node(name, &format!("10.0.{n}.0/24"));
            node["status"]["addresses"][0]["address"] = json!(format!("192.0.2.{n}"));
            node
        });
        let server = server(options, nodes.chain(objects));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        server.kubeconfig().write(&path).unwrap();
        let client = connect(Some(&path)).await.unwrap();
        let stop = CancellationToken::new();
        let cores: Vec<_> = NODES.iter().map(|_| PlayedCore::start()).collect();
        let known = watch::Sender::new(Arc::new(Known::default()));
        for (node, core) in NODES.iter().zip(&cores) {
            let (seen, name) = (known.subscribe(), (*node).to_owned());
            let writer = Writer::new(
                name,
                client.clone(),
                core.queries(),
                Box::new(move || Arc::clone(&seen.borrow())),
            );
            tokio::spawn(writer.tuned(HASTE).run(stop.clone()));
        }
        let follower = Follower::start(&server.kubeconfig());
        let (told, in_force) = watch::channel(None);
        tokio::spawn(follow(follower, known, told, cores.clone()));
        Self {
            server,
            client,
            cores,
            in_force,
            stop,
            _directory: directory,
        }
    }

    /// Changes the spec of the router.
    async fn change(&self, spec: Value) {
        use kube::api::{Patch, PatchParams};
        let peers: kube::Api<BGPPeer> = kube::Api::all(self.client.clone());
        let patch = Patch::Merge(json!({ "spec": spec }));
        peers
            .patch_metadata("tor", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// A condition of the router.
    fn condition(&self, kind: &str) -> Option<Value> {
        self.condition_of("bgppeers", "tor", kind)
    }

    fn condition_of(&self, plural: &str, name: &str, kind: &str) -> Option<Value> {
        let resource = Gvr::new("redstart.dev", "v1alpha1", plural);
        let object = self.server.get(&resource, "", name)?;
        let conditions = object["status"]["conditions"].as_array()?;
        conditions.iter().find(|it| it["type"] == kind).cloned()
    }

    /// Waits until a condition is there with this status and reason.
    async fn condition_is(&self, kind: &str, status: &str, reason: &str) -> Value {
        self.condition_of_is(("bgppeers", "tor"), kind, status, reason)
            .await
    }

    async fn condition_of_is(
        &self,
        (plural, name): (&str, &str),
        kind: &str,
        status: &str,
        reason: &str,
    ) -> Value {
        loop {
            let found = self.condition_of(plural, name, kind);
            if let Some(found) = found.filter(|it| it["status"] == status && it["reason"] == reason)
            {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until every speaker has looked many times more.
    async fn everybody_looks_again(&self) {
        for core in &self.cores {
            core.asked_again(20).await;
        }
    }

    fn writes_of_conditions(&self) -> usize {
        self.writes_as("redstart")
    }

    /// How often this field manager wrote the conditions of the router.
    fn writes_as(&self, manager: &str) -> usize {
        let requests = self.server.faults().requests();
        let manager = format!("fieldManager={manager}");
        let is_its = |uri: &str| {
            let mut query = uri.split(['?', '&']);
            uri.contains("/bgppeers/tor/status") && query.any(|it| it == manager)
        };
        requests
            .iter()
            .filter(|it| it.method == "PATCH" && is_its(&it.uri))
            .count()
    }

    fn events(&self, reason: &str) -> Vec<Arc<Value>> {
        let all = self.server.list(&Gvr::new("events.k8s.io", "v1", "events"));
        all.into_iter()
            .filter(|it| it["reason"] == reason)
            .collect()
    }
}

/// What the index tasks of the speakers do.
async fn follow(
    mut follower: Follower,
    known: watch::Sender<Arc<Known>>,
    in_force: watch::Sender<Option<String>>,
    cores: Vec<Arc<PlayedCore>>,
) {
    loop {
        follower.take().await;
        let index = &follower.index;
        for (node, core) in NODES.iter().zip(&cores) {
            let Some((_, problems)) = compile(index, node) else {
                continue;
            };
            let problems = problems.into_iter().map(|d| views::Problem {
                severity: d.severity.to_string(),
                object: d.object.to_string(),
                field: d.field,
                reason: d.reason.to_string(),
                message: d.message,
            });
            core.change(|state| state.problems = problems.collect());
        }
        if let Some(objects) = index.complete() {
            let tor = objects.peers.get("tor");
            in_force.send_replace(tor.map(|it| format!("{:?}", it.remote_as)));
        }
        known.send_replace(Arc::new(Known::of(index, NODES[0])));
    }
}

#[test]
fn five_speakers_write_a_condition_once() {
    block_on(async {
        let world = World::start(vec![peer("tor", "192.0.2.9")]).await;
        let accepted = world.condition_is("Accepted", "True", "Accepted").await;
        assert_eq!(accepted["observedGeneration"], 1);
        world
            .condition_is("ResolvedRefs", "True", "ResolvedRefs")
            .await;
        world
            .condition_is("NodesSelected", "True", "NodesSelected")
            .await;
        world.everybody_looks_again().await;
        assert_eq!(world.writes_of_conditions(), 1);
    });
}

/// One node speaks for all that have the same trouble, by a field manager of its own: nobody overwrites what the
/// objects say, nor does that overwrite this.
#[test]
fn what_nodes_alone_find_out_is_a_condition_that_one_of_them_writes() {
    block_on(async {
        let world = World::start(vec![peer("tor", "192.0.2.9")]).await;
        world.condition_is("Programmed", "True", "Programmed").await;
        let refused = views::Problem {
            severity: "error".to_owned(),
            object: "BGPPeer/tor".to_owned(),
            field: "spec.passwordSecretRef".to_owned(),
            reason: "key-refused".to_owned(),
            message: "the kernel has no room".to_owned(),
        };
        for core in &world.cores {
            core.change(|state| {
                state.session = "Idle";
                state.found = vec![refused.clone()];
            });
        }
        let told = world
            .condition_is("Programmed", "False", "KeyRefused")
            .await;
        let message = told["message"].as_str().unwrap();
        let (node, words) = message.split_once(": ").unwrap();
        assert!(NODES.contains(&node), "{message}");
        assert_eq!(
            words,
            "spec.passwordSecretRef: the kernel has no room (key-refused)"
        );
        world.everybody_looks_again().await;
        assert_eq!(world.writes_as("redstart-nodes"), 2);
        assert_eq!(world.condition("Accepted").unwrap()["status"], "True");

        for core in &world.cores {
            core.change(|state| state.found.clear());
        }
        world.condition_is("Programmed", "True", "Programmed").await;
        world.everybody_looks_again().await;
        assert_eq!(world.writes_as("redstart-nodes"), 3);
        assert_eq!(world.writes_of_conditions(), 1);

        // In force nowhere: nothing is said of it, and what others say stays.
        let nowhere = json!({"nodeSelector": {"matchLabels": {"rack": "none"}}});
        world.change(nowhere).await;
        while world.condition("Programmed").is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let selected = world.condition_is("NodesSelected", "False", "NoNodeSelected");
        assert_eq!(selected.await["observedGeneration"], 2);
        let resource = Gvr::new("redstart.dev", "v1alpha1", "bgppeers");
        let tor = world.server.get(&resource, "", "tor").unwrap();
        assert_eq!(tor["status"]["observedGeneration"], 2);
    });
}

#[test]
fn a_bad_object_has_a_condition_and_events_and_its_last_good_version_stays() {
    block_on(async {
        let mut world = World::start(vec![peer("tor", "192.0.2.9")]).await;
        let good = world.condition_is("Accepted", "True", "Accepted").await;
        let in_force = world
            .in_force
            .wait_for(Option::is_some)
            .await
            .unwrap()
            .clone();

        world.change(json!({"asn": 23456})).await;
        let bad = world.condition_is("Accepted", "False", "InvalidAsn").await;
        let message = bad["message"].as_str().unwrap();
        assert!(message.starts_with("spec.asn: "), "{message}");
        assert_eq!(bad["observedGeneration"], 2);
        assert_eq!(world.condition("ResolvedRefs"), None, "not known any more");
        world.everybody_looks_again().await;
        assert_eq!(*world.in_force.borrow(), in_force);
        let events = world.events("NotInForce");
        assert!((1..=3).contains(&events.len()), "{events:?}");
        assert_eq!(events[0]["regarding"]["name"], "tor");
        let note = events[0]["note"].as_str().unwrap();
        assert!(
            note.starts_with("spec.asn: ") && note.contains("(invalid-asn)"),
            "{note}"
        );

        world.change(json!({"asn": 64998})).await;
        let solved = world.condition_is("Accepted", "True", "Accepted").await;
        assert_eq!(solved["observedGeneration"], 3);
        assert!(solved["lastTransitionTime"].as_str() >= good["lastTransitionTime"].as_str());
        world.everybody_looks_again().await;
        assert_ne!(*world.in_force.borrow(), in_force);
        assert_eq!(world.writes_of_conditions(), 3);
    });
}

#[test]
fn a_secret_that_comes_resolves_the_reference() {
    block_on(async {
        let tor = peer_with_secret("tor", "192.0.2.9", "bgp");
        let world = World::start(vec![tor]).await;
        let missing = world
            .condition_is("ResolvedRefs", "False", "SecretMissing")
            .await;
        assert!(
            missing["message"]
                .as_str()
                .unwrap()
                .contains("redstart-system/bgp")
        );
        assert_eq!(world.condition("Accepted").unwrap()["status"], "True");
        world.server.put(secret("bgp", "secret")).unwrap();
        world
            .condition_is("ResolvedRefs", "True", "ResolvedRefs")
            .await;
    });
}

/// With what the base roles allow but for Secrets: the object that names one is told so, by condition and
/// by Event, with field and reason.
#[test]
fn a_secret_that_may_not_be_read_is_said_where_it_is_named() {
    block_on(async {
        let mut grants = base_roles();
        grants.retain(|grant| grant.namespace.is_empty());
        let options = Options {
            grants: Some(grants),
            ..Options::default()
        };
        let objects = vec![
            peer_with_secret("tor", "192.0.2.9", "bgp-passwords"),
            secret("bgp-passwords", "secret"),
        ];
        let world = World::start_with(options, objects).await;
        let refused = world
            .condition_is("ResolvedRefs", "False", "SecretForbidden")
            .await;
        let message = refused["message"].as_str().unwrap();
        let says = |text: &str| {
            text.starts_with("spec.passwordSecretRef: ")
                && text.contains("Secret redstart-system/bgp-passwords")
                && text.contains("(secret-forbidden)")
        };
        assert!(says(message), "{message}");
        let told = |event: &Arc<Value>| {
            event["regarding"]["kind"] == "BGPPeer" && event["regarding"]["name"] == "tor"
        };
        let event = loop {
            if let Some(event) = world.events("NotInForce").into_iter().find(told) {
                break event;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let note = event["note"].as_str().unwrap();
        assert!(says(note), "{note}");
        // A role that allows it is all that it takes.
        world.server.grant(base_roles());
        world
            .condition_is("ResolvedRefs", "True", "ResolvedRefs")
            .await;
    });
}

/// An advertisement to a router that is not there, from nodes that are not: it says so, and says no more
/// when both are there.
#[test]
fn an_advertisement_says_what_of_it_is_not_in_force() {
    block_on(async {
        let advertisement = json!({
            "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPAdvertisement",
            "metadata": {"name": "vip"},
            "spec": {
                "staticPrefixes": ["203.0.113.0/24"],
                "peers": {"names": ["tor"]},
                "nodeSelector": {"matchLabels": {"rack": "b"}},
            },
        });
        let world = World::start(vec![advertisement]).await;
        let vip = ("bgpadvertisements", "vip");
        let missing = world
            .condition_of_is(vip, "ResolvedRefs", "False", "UnknownPeer")
            .await;
        let message = missing["message"].as_str().unwrap();
        assert!(message.starts_with("spec.peers.names: "), "{message}");
        let nowhere = world
            .condition_of_is(vip, "NodesSelected", "False", "NoNodeSelected")
            .await;
        let message = nowhere["message"].as_str().unwrap();
        assert!(message.starts_with("spec.nodeSelector: "), "{message}");

        world.server.put(peer("tor", "192.0.2.9")).unwrap();
        let mut in_rack = node("n5", "10.0.5.0/24");
        in_rack["metadata"]["labels"]["rack"] = json!("b");
        in_rack["status"]["addresses"][0]["address"] = json!("192.0.2.5");
        world.server.put(in_rack).unwrap();
        for kind in ["ResolvedRefs", "NodesSelected"] {
            world.condition_of_is(vip, kind, "True", kind).await;
        }
    });
}
