//! A server, a source that follows it, and the index that it feeds.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

pub mod core;

use std::{fs, path::Path, time::Duration};

use redstart_controller::{
    index::{Index, Kind, Objects},
    source::{
        self, Batch, Health, Source, SourceEvent,
        kube::{KubeSource, Statuses, Tuning, WatchReason, WatchStatus},
    },
};
use redstart_proto_tests::apiserver::{
    ApiServer, Grant, Gvr, Kubeconfig, Options, Verb,
    faults::{Action, Rule},
    grants,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// No test takes longer.
pub const LIMIT: Duration = Duration::from_secs(30);

pub const HASTE: Tuning = Tuning {
    backoff_min: Duration::from_millis(20),
    backoff_max: Duration::from_millis(200),
    listing_patience: Duration::from_secs(2),
    read_timeout: Duration::from_secs(60),
};

/// A server, a source, and the index that it feeds.
pub struct World {
    pub server: ApiServer,
    pub follower: Follower,
}

/// A source and the index that it feeds.
pub struct Follower {
    pub index: Index,
    /// Every event so far.
    pub events: Vec<SourceEvent>,
    pub batches: mpsc::Receiver<Batch>,
    pub statuses: watch::Receiver<Statuses>,
    pub stop: CancellationToken,
    _directory: TempDir,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Follower {
    pub fn start(kubeconfig: &Kubeconfig) -> Self {
        Self::start_tuned(kubeconfig, HASTE)
    }

    pub fn start_tuned(kubeconfig: &Kubeconfig, tuning: Tuning) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        kubeconfig.write(&path).unwrap();
        let (sender, batches) = source::channel();
        let stop = CancellationToken::new();
        let source = KubeSource::new(Some(path)).tuned(tuning);
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

    pub async fn take(&mut self) {
        let batch = self.batches.recv().await.expect("the source has ended");
        for event in batch {
            self.events.push(event.clone());
            self.index.apply(event);
        }
    }

    pub async fn until(&mut self, mut done: impl FnMut(&Index) -> bool) {
        while !done(&self.index) {
            self.take().await;
        }
    }

    /// Until every kind is listed and watched.
    pub async fn until_complete(&mut self) {
        self.until(Index::is_complete).await;
        for kind in Kind::ALL {
            self.until_health(kind, |it| *it == Health::Synced).await;
        }
    }

    pub async fn until_health(&mut self, kind: Kind, wanted: impl Fn(&Health) -> bool) {
        self.until(|index| wanted(&index.health(kind))).await;
    }

    /// Until what is written right now has arrived: a marker object is written after it.
    pub async fn until_caught_up(&mut self, server: &ApiServer) {
        server.put(node("marker", "10.255.0.0/24")).unwrap();
        self.until(|index| known(index).nodes.contains_key("marker"))
            .await;
    }

    pub fn status(&self, kind: Kind) -> WatchStatus {
        self.statuses.borrow()[&kind].clone()
    }

    pub fn reason(&self, kind: Kind) -> Option<WatchReason> {
        self.status(kind).last_error.map(|(_, error)| error.reason)
    }

    /// What happened to a kind, without its health, in short.
    pub fn story(&self, kind: Kind) -> Vec<String> {
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
pub fn with_world<F: Future<Output = ()>>(
    objects: Vec<Value>,
    prepare: impl FnOnce(&ApiServer),
    body: impl FnOnce(World) -> F,
) {
    let server = server(Options::default(), objects.into_iter().chain(one_secret()));
    prepare(&server);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        body(World { server, follower }).await;
    });
}

/// A server with this content.
pub fn server(options: Options, objects: impl IntoIterator<Item = Value>) -> ApiServer {
    let server = ApiServer::start(options).unwrap();
    for object in objects {
        server.put(object).unwrap();
    }
    server
}

/// What the roles of the manifests allow a speaker.
pub fn base_roles() -> Vec<Grant> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/base/rbac.yaml");
    grants(&fs::read_to_string(file).unwrap()).unwrap()
}

pub fn block_on(body: impl Future<Output = ()>) {
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

pub fn known(index: &Index) -> &Objects {
    index.complete().expect("every kind has been listed")
}

pub fn names(index: &Index) -> Vec<&str> {
    known(index).nodes.keys().map(String::as_str).collect()
}

pub fn node(name: &str, cidr: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"rack": "a"}, "managedFields": [{"manager": "x"}]},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    })
}

pub fn peer(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPPeer",
        "metadata": {"name": name}, "spec": {"address": address, "asn": 64999},
    })
}

pub fn secret(name: &str, password: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "redstart-system"},
        "stringData": {"password": password},
    })
}

/// A router with a password from this Secret.
pub fn peer_with_secret(name: &str, address: &str, secret: &str) -> Value {
    let mut peer = peer(name, address);
    peer["spec"]["passwordSecretRef"] = json!({"name": secret});
    peer
}

/// A Secret, and the configuration that names it: only what is named is watched.
pub fn one_secret() -> [Value; 2] {
    [
        secret("mesh", "swordfish"),
        json!({
            "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPConfiguration",
            "metadata": {"name": "default"},
            "spec": {"mesh": {"passwordSecretRef": {"name": "mesh"}}},
        }),
    ]
}

pub fn nodes() -> Gvr {
    Gvr::new("", "v1", "nodes")
}

pub fn three_nodes() -> Vec<Value> {
    vec![
        node("a", "10.0.1.0/24"),
        node("b", "10.0.2.0/24"),
        node("c", "10.0.3.0/24"),
    ]
}

pub fn watches_of_nodes(server: &ApiServer) -> usize {
    let asked = server.faults().requests();
    let watches = asked.iter().filter(|it| {
        it.uri.starts_with("/api/v1/nodes?") && it.uri.contains("watch=") && it.code == 200
    });
    watches.count()
}

/// What becomes of requests for Nodes, the next so many.
pub fn nodes_get(verb: Verb, times: u32, action: Action) -> Rule {
    Rule {
        verb: Some(verb),
        plural: Some("nodes".to_owned()),
        skip: 0,
        times: Some(times),
        action,
    }
}

/// An error of the server.
pub const fn error(code: u16) -> Action {
    Action::Status {
        code,
        retry_after: None,
    }
}

/// Every request for Nodes fails.
pub fn refuse_nodes(code: u16) -> Rule {
    Rule {
        verb: None,
        times: None,
        ..nodes_get(Verb::List, 0, error(code))
    }
}
