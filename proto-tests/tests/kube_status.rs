//! What a speaker writes to the API server: its BGPNodeStatus and Events, and how often.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what went wrong by panicking"
)]

mod kube_world;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube_world::core::{PlayedCore, State};
use redstart_controller::{
    control::views,
    index::Standing,
    object::ObjectRef,
    source::kube::connect,
    status::{conditions::Verdict, known::Known, pace::Tuning},
    writer::Writer,
};
use redstart_proto_tests::apiserver::{
    ApiServer, Gvr, Options, Verb,
    faults::{Action, Rule},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// No test takes longer.
const LIMIT: Duration = Duration::from_secs(30);

const HASTE: Tuning = Tuning {
    look: Duration::from_millis(5),
    interval: Duration::from_millis(300),
    heartbeat: Duration::from_secs(60),
    backoff_max: Duration::from_millis(600),
};

/// An API server, and a writer of a core that is played.
struct World {
    server: ApiServer,
    core: Arc<PlayedCore>,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let server = ApiServer::start(Options::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        server.kubeconfig().write(&path).unwrap();
        let client = connect(Some(&path)).await.unwrap();
        let core = PlayedCore::start();
        let tor = ObjectRef {
            kind: "BGPPeer".to_owned(),
            name: "tor".to_owned(),
        };
        let verdict = Verdict {
            kinds: &[],
            late: Duration::ZERO,
            standing: Standing {
                uid: "uid-of-tor".to_owned(),
                ..Standing::default()
            },
            claims: Vec::new(),
            problems: Vec::new(),
            clashes: Vec::new(),
        };
        let known = Arc::new(Known {
            node_uid: Some("uid-of-n1".to_owned()),
            nodes: ["n1"].into_iter().collect(),
            verdicts: BTreeMap::from([(tor, verdict)]),
            ..Known::default()
        });
        let writer = Writer::new(
            "n1".to_owned(),
            client,
            core.queries(),
            Box::new(move || Arc::clone(&known)),
        );
        let stop = CancellationToken::new();
        tokio::spawn(writer.tuned(HASTE).run(stop.clone()));
        Self {
            server,
            core,
            stop,
            _directory: directory,
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.core.change(change);
    }

    fn node_status(&self) -> Option<Arc<Value>> {
        let kind = Gvr::new("redstart.dev", "v1alpha1", "bgpnodestatuses");
        self.server.get(&kind, "", "n1")
    }

    fn events(&self) -> Vec<Arc<Value>> {
        self.server.list(&Gvr::new("events.k8s.io", "v1", "events"))
    }

    fn event(&self, reason: &str) -> Option<Arc<Value>> {
        self.events().into_iter().find(|it| it["reason"] == reason)
    }

    /// Writes to a resource so far.
    fn writes(&self, part: &str) -> usize {
        let requests = self.server.faults().requests();
        let writes = requests
            .iter()
            .filter(|it| it.method != "GET" && it.uri.contains(part));
        writes.count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn play<F: Future<Output = ()>>(body: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let body = async { body(World::start().await).await };
        tokio::time::timeout(LIMIT, body)
            .await
            .expect("the test takes too long");
    });
}

async fn until<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = probe() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_node_status_is_applied_by_its_node_and_owned_by_it() {
    play(|world| async move {
        let object = until(|| world.node_status().filter(|it| it["status"].is_object())).await;
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["uid"]),
            (&json!("Node"), &json!("uid-of-n1"))
        );
        let status = &object["status"];
        assert_eq!(status["peersEstablished"], 1);
        assert_eq!(status["peers"][0]["name"], "tor");
        assert_eq!(status["heartbeatTime"], "2026-01-01T00:01:00Z");
        let managers = object["metadata"]["managedFields"].as_array().unwrap();
        assert!(
            managers.iter().all(|it| it["manager"] == "redstart/n1"),
            "{managers:?}"
        );
    });
}

#[test]
fn a_node_status_that_somebody_deleted_is_made_anew() {
    play(|world| async move {
        until(|| world.node_status()).await;
        let kind = Gvr::new("redstart.dev", "v1alpha1", "bgpnodestatuses");
        assert!(world.server.remove(&kind, "", "n1"));
        world.change(|core| core.session = "Idle");
        let back = until(|| world.node_status().filter(|it| it["status"].is_object())).await;
        assert_eq!(back["status"]["peersEstablished"], 0);
    });
}

#[test]
fn status_writes_are_bounded_however_much_flaps() {
    play(|world| async move {
        until(|| world.node_status()).await;
        let (before, began) = (
            world.writes("bgpnodestatuses/n1/status"),
            tokio::time::Instant::now(),
        );
        for round in 0..400_u64 {
            world.change(|core| {
                core.session = if round % 2 == 0 {
                    "Idle"
                } else {
                    "Established"
                };
                core.ups += round % 2;
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let intervals = began.elapsed().as_millis() / HASTE.interval.as_millis();
        let writes = world.writes("bgpnodestatuses/n1/status") - before;
        assert!(writes >= 2, "changes are told: {writes}");
        assert!(
            writes <= usize::try_from(intervals).unwrap() + 1,
            "{writes} in {intervals}"
        );
        // And Events: one of each reason, whose series is written once a minute.
        let of_sessions = world.events().len();
        assert_eq!(of_sessions, 2, "{:?}", world.events());
        assert!(world.writes("/events") <= 4, "{}", world.writes("/events"));
    });
}

#[test]
fn sessions_that_come_and_go_and_bad_objects_are_told_in_events() {
    play(|world| async move {
        let up = until(|| world.event("SessionUp")).await;
        assert_eq!(up["type"], "Normal");
        let regarding = &up["regarding"];
        assert_eq!(regarding["kind"], "BGPPeer");
        assert_eq!(
            (&regarding["name"], &regarding["uid"]),
            (&json!("tor"), &json!("uid-of-tor"))
        );
        assert_eq!(up["metadata"]["namespace"], "default");
        world.change(|core| {
            core.session = "Idle";
            core.error = Some("received Cease/Administrative Shutdown: \"rack move\"");
        });
        let down = until(|| world.event("SessionDown")).await;
        assert_eq!(
            (&down["type"], &down["reportingInstance"]),
            (&json!("Warning"), &json!("n1"))
        );
        assert!(
            down["note"].as_str().unwrap().contains("rack move"),
            "{down}"
        );
        world.change(|core| {
            core.problems.push(views::Problem {
                severity: "error".to_owned(),
                object: "BGPPeer/tor".to_owned(),
                field: "spec.asn".to_owned(),
                reason: "invalid-asn".to_owned(),
                message: "0 is no AS number; its last good version stays in force".to_owned(),
            });
        });
        let bad = until(|| world.event("NotInForce")).await;
        let note = bad["note"].as_str().unwrap();
        assert!(
            note.starts_with("spec.asn: ") && note.ends_with("(invalid-asn)"),
            "{note}"
        );
        let condition = until(|| {
            let object = world.node_status()?;
            let conditions = object["status"]["conditions"].as_array()?.clone();
            conditions
                .into_iter()
                .find(|it| it["type"] == "ObjectsAccepted" && it["status"] == "False")
        })
        .await;
        assert_eq!(condition["message"], "BGPPeer/tor");
    });
}

/// `kubectl describe` finds an Event by the namespace and the uid of its object.
#[test]
fn an_event_about_a_service_names_it_and_is_where_it_is() {
    play(|world| async move {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop", "uid": "uid-of-web"},
            "spec": {"externalIPs": ["198.51.100.7"]},
        });
        world.server.put(service).unwrap();
        let problem = |object: &str, reason: &str| views::Problem {
            severity: "error".to_owned(),
            object: object.to_owned(),
            field: "spec.externalIPs".to_owned(),
            reason: reason.to_owned(),
            message: "198.51.100.7 is not advertised".to_owned(),
        };
        world.change(|core| {
            core.problems
                .push(problem("Service/shop/web", "address-not-allowed"));
        });
        let event = until(|| world.event("NotInForce")).await;
        assert_eq!(event["metadata"]["namespace"], "shop");
        let uid = world
            .server
            .get(&Gvr::new("", "v1", "services"), "shop", "web")
            .unwrap();
        let uid = &uid["metadata"]["uid"];
        assert!(uid.is_string());
        let regarding = json!({
            "apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "web", "uid": uid,
        });
        assert_eq!(event["regarding"], regarding);

        // What is no object is told of the node, and named.
        world.change(|core| core.problems = vec![problem("File/tor.yaml", "invalid-yaml")]);
        let of_file = until(|| {
            let mut all = world.events().into_iter();
            all.find(|it| it["regarding"]["kind"] == "Node")
        })
        .await;
        assert_eq!(of_file["regarding"]["name"], "n1");
        let note = of_file["note"].as_str().unwrap();
        assert!(
            note.starts_with("File/tor.yaml: spec.externalIPs: "),
            "{note}"
        );
    });
}

#[test]
fn an_api_server_that_refuses_is_asked_again_with_pauses_and_then_told_how_it_is_now() {
    play(|world| async move {
        until(|| world.node_status()).await;
        world.server.faults().add(Rule {
            verb: Some(Verb::Patch),
            plural: Some("bgpnodestatuses".to_owned()),
            skip: 0,
            times: Some(2),
            action: Action::Status {
                code: 503,
                retry_after: None,
            },
        });
        world.change(|core| core.session = "Idle");
        let now = until(|| {
            world
                .node_status()
                .filter(|it| it["status"]["peersEstablished"] == 0)
        })
        .await;
        assert_eq!(now["status"]["peers"][0]["name"], "tor");
    });
}
