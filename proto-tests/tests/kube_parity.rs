//! The same objects give the same index and the same compiled state, whether they come from a
//! directory or from the Kubernetes API; and the API goes on when its credentials are rotated.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::{fs, path::Path, sync::Arc, time::Duration};

use redstart_controller::{
    compile::compile,
    index::{Index, Kind, Meta, Objects},
    source::{
        self, Batch, Source,
        dir::DirSource,
        kube::{KubeSource, Tuning, WatchReason, WatchStatus},
    },
};
use redstart_proto_tests::apiserver::{ApiServer, Credential, Options, faults::WatchEnd};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

const EXAMPLES: [&str; 2] = ["nodes.yaml", "two-racks.yaml"];

/// A source, and the index that it feeds.
struct Fed {
    index: Index,
    batches: mpsc::Receiver<Batch>,
    _stop: DropGuard,
}

impl Fed {
    fn by<S: Source + Send + 'static>(source: S) -> Self {
        let (sender, batches) = source::channel();
        let stop = CancellationToken::new();
        tokio::spawn(source.run(sender, stop.clone()));
        Self {
            index: Index::new(),
            batches,
            _stop: stop.drop_guard(),
        }
    }

    async fn until(&mut self, done: impl Fn(&Objects) -> bool) -> &Objects {
        while !self.index.complete().is_some_and(&done) {
            let batch = self.batches.recv().await.expect("the source has ended");
            for event in batch {
                self.index.apply(event);
            }
        }
        self.index.complete().unwrap()
    }
}

fn block_on(limit: Duration, body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(limit, body)
            .await
            .expect("the test takes too long");
    });
}

fn examples() -> TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples");
    let directory = tempfile::tempdir().unwrap();
    for file in EXAMPLES {
        fs::copy(from.join(file), directory.path().join(file)).unwrap();
    }
    directory
}

fn kube_source(server: &ApiServer, directory: &Path) -> KubeSource {
    let kubeconfig = directory.join("kubeconfig");
    server.kubeconfig().write(&kubeconfig).unwrap();
    KubeSource::new(Some(kubeconfig))
}

/// The objects without what an API server adds to each.
fn as_written(objects: &Objects) -> Objects {
    let mut objects = objects.clone();
    let clear = |meta: &mut Meta| {
        (meta.created, meta.uid) = (None, None);
    };
    objects
        .nodes
        .values_mut()
        .for_each(|it| clear(&mut it.meta));
    objects
        .secrets
        .values_mut()
        .for_each(|it| clear(&mut it.meta));
    objects
        .configurations
        .values_mut()
        .for_each(|it| clear(&mut it.meta));
    objects
        .peers
        .values_mut()
        .for_each(|it| clear(&mut Arc::make_mut(it).meta));
    objects
        .advertisements
        .values_mut()
        .for_each(|it| clear(&mut it.meta));
    objects
}

#[test]
fn a_directory_and_the_api_give_the_same_state() {
    let (objects, elsewhere) = (examples(), tempfile::tempdir().unwrap());
    let server = ApiServer::start(Options {
        objects: Some(objects.path().to_owned()),
        follow_objects: true,
        ..Options::default()
    })
    .unwrap();
    block_on(Duration::from_secs(20), async {
        let mut by_file = Fed::by(DirSource::new(objects.path()));
        let mut by_api = Fed::by(kube_source(&server, elsewhere.path()));
        let from_files = as_written(by_file.until(|it| !it.nodes.is_empty()).await);
        assert!(from_files.nodes.len() >= 2 && !from_files.peers.is_empty());
        assert!(!from_files.secrets.is_empty() && !from_files.configurations.is_empty());
        assert_eq!(as_written(by_api.until(|_| true).await), from_files);
        for node in from_files.nodes.keys() {
            let compiled = compile(&by_file.index, node);
            assert!(compiled.is_some());
            assert_eq!(compile(&by_api.index, node), compiled, "{node}");
        }

        // A change of the files reaches both, one way and the other.
        let only_nodes = objects.path().join("two-racks.yaml");
        fs::remove_file(only_nodes).unwrap();
        let fewer = |objects: &Objects| {
            objects.peers.is_empty()
                && objects.advertisements.is_empty()
                && objects.configurations.is_empty()
                && objects.secrets.is_empty()
        };
        let left = as_written(by_file.until(fewer).await);
        assert_eq!(as_written(by_api.until(fewer).await), left);
    });
}

/// Takes a minute: the client reads a token file again after 50 s.
#[test]
fn a_rotated_token_is_picked_up_from_its_file() {
    let (objects, elsewhere) = (examples(), tempfile::tempdir().unwrap());
    let server = ApiServer::start(Options {
        objects: Some(objects.path().to_owned()),
        ..Options::default()
    })
    .unwrap();
    let token = elsewhere.path().join("token");
    fs::write(&token, server.faults().token()).unwrap();
    let mut kubeconfig = server.kubeconfig();
    kubeconfig.credential = Credential::TokenFile(token.clone());
    let path = elsewhere.path().join("kubeconfig");
    kubeconfig.write(&path).unwrap();
    block_on(Duration::from_secs(90), async {
        let mut fed = Fed::by(KubeSource::new(Some(path)).tuned(Tuning {
            backoff_max: Duration::from_secs(1),
            ..Tuning::default()
        }));
        fed.until(|_| true).await;
        fs::write(&token, server.faults().rotate_token()).unwrap();
        server.faults().end_watches(None, WatchEnd::Close);
        server
            .put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "late"}}))
            .unwrap();
        fed.until(|it| it.nodes.contains_key("late")).await;
        let refused = server.faults().requests();
        assert!(refused.iter().any(|it| it.code == 401), "{refused:?}");
    });
}

/// Takes a minute: the client reads the file of an authority again after 60 s.
#[test]
fn a_rotated_authority_is_picked_up_from_its_file() {
    let (objects, elsewhere) = (examples(), tempfile::tempdir().unwrap());
    let server = ApiServer::start(Options {
        objects: Some(objects.path().to_owned()),
        ..Options::default()
    })
    .unwrap();
    let bundle = elsewhere.path().join("ca.crt");
    fs::write(&bundle, server.ca_pem()).unwrap();
    let mut kubeconfig = server.kubeconfig();
    kubeconfig.ca_file = Some(bundle.clone());
    let path = elsewhere.path().join("kubeconfig");
    kubeconfig.write(&path).unwrap();
    block_on(Duration::from_secs(120), async {
        let source = KubeSource::new(Some(path)).tuned(Tuning {
            backoff_max: Duration::from_secs(1),
            ..Tuning::default()
        });
        let statuses = source.statuses();
        let mut fed = Fed::by(source);
        let before = fed.until(|_| true).await.clone();
        // Every connection ends, and the next ones show a certificate of another authority.
        let mut watched = statuses.clone();
        server.faults().refuse_connections(true);
        watched
            .wait_for(|all| all.values().any(|status| !status.connected))
            .await
            .unwrap();
        server.rotate_authority().unwrap();
        server.faults().refuse_connections(false);
        let untrusted = |status: &WatchStatus| {
            let error = status.last_error.as_ref();
            error.is_some_and(|(_, error)| error.reason == WatchReason::UntrustedCertificate)
        };
        watched
            .wait_for(|all| all.values().any(untrusted))
            .await
            .unwrap();
        // The bundle has both for a while, as when kubelet projects it.
        let old = fs::read_to_string(&bundle).unwrap();
        fs::write(&bundle, old + &server.ca_pem()).unwrap();
        server
            .put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "late"}}))
            .unwrap();
        let after = fed.until(|it| it.nodes.contains_key("late")).await;
        let mut expected = before.nodes.clone();
        expected.insert("late".to_owned(), after.nodes["late"].clone());
        assert_eq!(after.nodes, expected);
        let listings: Vec<(Kind, u64)> = statuses
            .borrow()
            .iter()
            // Of those that are named, one each.
            .filter(|(kind, _)| **kind != Kind::Secret)
            .map(|(kind, it)| (*kind, it.listings))
            .collect();
        assert!(
            listings.iter().all(|(_, times)| *times == 1),
            "{listings:?}"
        );
    });
}
