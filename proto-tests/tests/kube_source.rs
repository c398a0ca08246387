//! The Kubernetes source against the API server for tests: what arrives in the index, and what does
//! not, whatever the server does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::{path::PathBuf, time::Duration};

use redstart_controller::{
    index::{Index, Kind, ObjectKey, Objects},
    source::{
        self, Batch, Health, Source, SourceEvent,
        kube::{KubeSource, ListMode, Statuses, Tuning, WatchReason, WatchStatus},
    },
};
use redstart_proto_tests::apiserver::{
    ApiServer, Credential, Gvr, Kubeconfig, Options, Verb,
    faults::{Action, Rule, StreamingLists, WatchEnd},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// No test takes longer.
const LIMIT: Duration = Duration::from_secs(30);

const HASTE: Tuning = Tuning {
    backoff_min: Duration::from_millis(20),
    backoff_max: Duration::from_millis(200),
    listing_patience: Duration::from_millis(500),
};

/// A server, a source, and the index that it feeds.
struct World {
    server: ApiServer,
    follower: Follower,
}

/// A source and the index that it feeds.
struct Follower {
    index: Index,
    /// Every event so far.
    events: Vec<SourceEvent>,
    batches: mpsc::Receiver<Batch>,
    statuses: watch::Receiver<Statuses>,
    stop: CancellationToken,
    _directory: TempDir,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Follower {
    fn start(kubeconfig: &Kubeconfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        kubeconfig.write(&path).unwrap();
        Self::start_from(path, directory)
    }

    fn start_from(path: PathBuf, directory: TempDir) -> Self {
        let (sender, batches) = source::channel();
        let stop = CancellationToken::new();
        let source = KubeSource::new(Some(path)).tuned(HASTE);
        let statuses = source.statuses();
        tokio::spawn(source.run(sender, stop.clone()));
        Self {
            index: Index::new(),
            events: Vec::new(),
            batches,
            statuses,
            stop,
            _directory: directory,
        }
    }

    async fn take(&mut self) {
        let batch = self.batches.recv().await.expect("the source has ended");
        for event in batch {
            self.events.push(event.clone());
            self.index.apply(event);
        }
    }

    async fn until(&mut self, mut done: impl FnMut(&Index) -> bool) {
        while !done(&self.index) {
            self.take().await;
        }
    }

    /// Until every kind is listed and watched.
    async fn until_complete(&mut self) {
        self.until(Index::is_complete).await;
        for kind in Kind::ALL {
            self.until_health(kind, |it| *it == Health::Synced).await;
        }
    }

    async fn until_health(&mut self, kind: Kind, wanted: impl Fn(&Health) -> bool) {
        self.until(|index| wanted(&index.health(kind))).await;
    }

    /// Until what is written right now has arrived: a marker object is written after it.
    async fn until_caught_up(&mut self, server: &ApiServer) {
        server.put(node("marker", "10.255.0.0/24")).unwrap();
        self.until(|index| known(index).nodes.contains_key("marker"))
            .await;
    }

    fn status(&self, kind: Kind) -> WatchStatus {
        self.statuses.borrow()[&kind].clone()
    }

    fn reason(&self, kind: Kind) -> Option<WatchReason> {
        self.status(kind).last_error.map(|(_, error)| error.reason)
    }

    /// What happened to a kind, without its health, in short.
    fn story(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.events.iter().filter_map(|event| match event {
            SourceEvent::Restarted { kind: of, objects } if *of == kind => {
                let mut names: Vec<_> = objects.iter().map(|it| it.key.name.as_str()).collect();
                names.sort_unstable();
                Some(format!("listed {}", names.join(" ")))
            }
            SourceEvent::Applied(object) if object.key.kind == kind => {
                Some(format!("applied {}", object.key.name))
            }
            SourceEvent::Deleted(key) if key.kind == kind => Some(format!("deleted {}", key.name)),
            _ => None,
        });
        of_kind.collect()
    }
}

/// Runs a test body against a server with this content, and a source that has listed it.
fn with_world<F: Future<Output = ()>>(
    objects: Vec<Value>,
    prepare: impl FnOnce(&ApiServer),
    body: impl FnOnce(World) -> F,
) {
    let server = ApiServer::start(Options::default()).unwrap();
    for object in objects {
        server.put(object).unwrap();
    }
    prepare(&server);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        body(World { server, follower }).await;
    });
}

fn block_on(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, body)
            .await
            .expect("the test takes too long");
    });
}

fn known(index: &Index) -> &Objects {
    index.complete().expect("every kind has been listed")
}

fn names(index: &Index) -> Vec<&str> {
    known(index).nodes.keys().map(String::as_str).collect()
}

fn node(name: &str, cidr: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"rack": "a"}, "managedFields": [{"manager": "x"}]},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    })
}

fn peer(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPPeer",
        "metadata": {"name": name}, "spec": {"address": address, "asn": 64999},
    })
}

fn nodes() -> Gvr {
    Gvr::new("", "v1", "nodes")
}

fn three_nodes() -> Vec<Value> {
    vec![
        node("a", "10.0.1.0/24"),
        node("b", "10.0.2.0/24"),
        node("c", "10.0.3.0/24"),
    ]
}

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
    let secret = |namespace: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("in-{namespace}"), "namespace": namespace},
            "stringData": {"password": "x"},
        })
    };
    let objects = vec![secret("redstart-system"), secret("default")];
    with_world(
        objects,
        |_| {},
        async |world| {
            let secrets = &known(&world.follower.index).secrets;
            assert_eq!(secrets.len(), 1);
            assert_eq!(secrets["in-redstart-system"].data["password"], b"x");
            let asked = world.server.faults().requests();
            assert!(
                asked
                    .iter()
                    .all(|it| !it.uri.starts_with("/api/v1/secrets"))
            );
        },
    );
}

#[test]
fn gone_in_the_middle_of_a_watch_lists_again_and_keeps_what_is_there() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            // Told 410, and away while things change and the history is forgotten.
            server.faults().add(refuse_nodes(503));
            server.faults().end_watches(Some("nodes"), WatchEnd::Gone);
            follower
                .until_health(Kind::Node, |it| matches!(it, Health::Retrying { .. }))
                .await;
            server.remove(&nodes(), "", "a");
            server.put(node("d", "10.0.4.0/24")).unwrap();
            server.compact();
            assert_eq!(names(&follower.index), ["a", "b", "c"]);
            server.faults().clear();
            follower
                .until(|index| names(index) == ["b", "c", "d"])
                .await;
            assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed b c d"]);
            assert_eq!(follower.index.health(Kind::Node), Health::Synced);
            assert_eq!(follower.status(Kind::Node).listings, 2);
        },
    );
}

#[test]
fn gone_as_the_answer_to_a_watch_lists_again() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            server.faults().add(Rule {
                verb: Some(Verb::Watch),
                plural: Some("nodes".to_owned()),
                times: Some(1),
                action: Action::Status {
                    code: 410,
                    retry_after: None,
                },
            });
            server.faults().end_watches(Some("nodes"), WatchEnd::Close);
            follower
                .until_health(Kind::Node, |it| matches!(it, Health::Retrying { .. }))
                .await;
            assert_eq!(follower.reason(Kind::Node), Some(WatchReason::Gone));
            follower
                .until_health(Kind::Node, |it| *it == Health::Synced)
                .await;
            assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed a b c"]);
        },
    );
}

#[test]
fn dropped_watches_resume_where_they_were() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            for (end, watches) in [(WatchEnd::Drop, 2), (WatchEnd::Close, 3)] {
                server.faults().end_watches(None, end);
                while watches_of_nodes(server) < watches {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            server.remove(&nodes(), "", "b");
            follower.until_caught_up(server).await;
            assert_eq!(
                follower.story(Kind::Node),
                ["listed a b c", "deleted b", "applied marker"]
            );
        },
    );
}

#[test]
fn a_server_that_was_set_back_in_time_is_listed_again() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            // As after a restore of etcd: our resource version is far in its future.
            server.faults().add(Rule {
                verb: Some(Verb::Watch),
                plural: Some("nodes".to_owned()),
                times: Some(5),
                action: Action::Status {
                    code: 504,
                    retry_after: None,
                },
            });
            server.faults().end_watches(Some("nodes"), WatchEnd::Close);
            follower
                .until_health(Kind::Node, |it| matches!(it, Health::Retrying { .. }))
                .await;
            follower
                .until_health(Kind::Node, |it| *it == Health::Synced)
                .await;
            assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed a b c"]);
            assert_eq!(follower.status(Kind::Node).failures, 5);
        },
    );
}

#[test]
fn a_server_that_refuses_streaming_lists_gets_list_and_watch() {
    let refuse = |server: &ApiServer| {
        server.faults().set_streaming_lists(StreamingLists::Refused);
    };
    with_world(three_nodes(), refuse, async |mut world| {
        let World { server, follower } = &mut world;
        assert_eq!(follower.status(Kind::Node).mode, ListMode::ListWatch);
        assert_eq!(follower.status(Kind::Node).failures, 0);
        server.remove(&nodes(), "", "b");
        follower.until_caught_up(server).await;
        assert_eq!(
            follower.story(Kind::Node),
            ["listed a b c", "deleted b", "applied marker"]
        );
        let asked = server.faults().requests();
        let lists: Vec<_> = asked
            .iter()
            .filter(|it| it.uri.starts_with("/api/v1/nodes?") && !it.uri.contains("watch="))
            .collect();
        assert_eq!(lists.len(), 1, "{asked:?}");
        assert!(lists[0].uri.contains("resourceVersion=0"), "{lists:?}");
        assert!(!lists[0].uri.contains("limit="), "{lists:?}");
    });
}

#[test]
fn a_server_that_does_not_know_streaming_lists_gets_list_and_watch() {
    let ignore = |server: &ApiServer| {
        server.faults().set_streaming_lists(StreamingLists::Ignored);
    };
    with_world(three_nodes(), ignore, async |world| {
        let follower = &world.follower;
        assert_eq!(follower.status(Kind::Node).mode, ListMode::ListWatch);
        assert_eq!(follower.story(Kind::Node), ["listed a b c"]);
    });
}

#[test]
fn a_listing_that_breaks_off_takes_nothing_away() {
    let refuse = |server: &ApiServer| {
        server.faults().set_streaming_lists(StreamingLists::Refused);
    };
    with_world(three_nodes(), refuse, async |mut world| {
        let World { server, follower } = &mut world;
        server.faults().add(Rule {
            verb: Some(Verb::List),
            plural: Some("nodes".to_owned()),
            times: Some(2),
            action: Action::Truncate,
        });
        server.faults().end_watches(Some("nodes"), WatchEnd::Gone);
        follower
            .until(|index| {
                let health = index.health(Kind::Node);
                matches!(health, Health::Retrying { error } if error.contains("EOF"))
            })
            .await;
        assert_eq!(
            follower.reason(Kind::Node),
            Some(WatchReason::InvalidAnswer)
        );
        follower
            .until_health(Kind::Node, |it| *it == Health::Synced)
            .await;
        assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed a b c"]);
    });
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
            assert!(problem.starts_with("BGPPeer/bad"), "{problem}");
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
fn an_outage_takes_nothing_away_and_ends_with_the_differences() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            let before = known(&follower.index).clone();
            let listed = follower.events.len();
            server.faults().refuse_connections(true);
            let outage = tokio::time::sleep(Duration::from_secs(2));
            tokio::pin!(outage);
            loop {
                tokio::select! {
                    () = &mut outage => break,
                    () = follower.take() => {}
                }
            }
            assert!(
                follower.events[listed..]
                    .iter()
                    .all(|event| matches!(event, SourceEvent::Health { .. })),
                "{:?}",
                &follower.events[listed..]
            );
            assert_eq!(*known(&follower.index), before);
            for kind in Kind::ALL {
                assert!(matches!(
                    follower.index.health(kind),
                    Health::Retrying { .. }
                ));
                assert!(!follower.status(kind).connected);
                assert_eq!(follower.reason(kind), Some(WatchReason::Unreachable));
            }
            server.put(node("b", "10.0.9.0/24")).unwrap();
            server.remove(&nodes(), "", "c");
            server.faults().refuse_connections(false);
            for kind in Kind::ALL {
                follower
                    .until_health(kind, |it| *it == Health::Synced)
                    .await;
            }
            follower.until_caught_up(server).await;
            assert_eq!(
                follower.story(Kind::Node),
                ["listed a b c", "applied b", "deleted c", "applied marker"]
            );
            assert_eq!(follower.story(Kind::BgpPeer), ["listed "]);
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
    other.ca_pem().clone_into(&mut wrong_authority.ca_pem);
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
fn a_busy_server_is_asked_again_until_it_answers() {
    let server = ApiServer::start(Options::default()).unwrap();
    server.put(node("a", "10.0.1.0/24")).unwrap();
    for code in [429, 500, 503] {
        server.faults().add(Rule {
            verb: Some(Verb::Watch),
            plural: None,
            times: Some(5),
            action: Action::Status {
                code,
                retry_after: None,
            },
        });
    }
    server.faults().add(Rule {
        verb: Some(Verb::Watch),
        plural: None,
        times: Some(5),
        action: Action::Delay { millis: 100 },
    });
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(names(&follower.index), ["a"]);
        let failures: u64 = Kind::ALL
            .map(|kind| follower.status(kind).failures)
            .iter()
            .sum();
        assert_eq!(failures, 15);
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

fn watches_of_nodes(server: &ApiServer) -> usize {
    let asked = server.faults().requests();
    let watches = asked.iter().filter(|it| {
        it.uri.starts_with("/api/v1/nodes?") && it.uri.contains("watch=") && it.code == 200
    });
    watches.count()
}

fn refuse_nodes(code: u16) -> Rule {
    Rule {
        verb: None,
        plural: Some("nodes".to_owned()),
        times: None,
        action: Action::Status {
            code,
            retry_after: None,
        },
    }
}

/// A Node's key, so that this file notices when names gain a namespace.
#[test]
fn keys_are_those_of_the_index() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            world.server.remove(&nodes(), "", "a");
            world.follower.take().await;
            let last = world.follower.events.last().cloned();
            assert_eq!(
                last,
                Some(SourceEvent::Deleted(ObjectKey::cluster(Kind::Node, "a")))
            );
        },
    );
}
