//! Scenarios against any cluster: always the API server for tests, and a real one when
//! `REDSTART_TEST_KUBECONFIG` names a kubeconfig. See `apiserver::cluster`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::Node;
use redstart_controller::{
    api::BGPPeer,
    index::{Index, Objects},
    source::{self, Batch, Source, kube::KubeSource},
};
use redstart_proto_tests::{
    apiserver::{
        ApiServer, Options,
        cluster::{Cluster, real_kubeconfig},
    },
    lab::exclusive::Exclusive,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);

/// The index as one speaker of that cluster has it.
struct Speaker {
    index: Index,
    batches: mpsc::Receiver<Batch>,
    _stop: tokio_util::sync::DropGuard,
}

impl Speaker {
    fn start(kubeconfig: PathBuf) -> Self {
        let (sender, batches) = source::channel();
        let stop = CancellationToken::new();
        tokio::spawn(KubeSource::new(Some(kubeconfig)).run(sender, stop.clone()));
        Self {
            index: Index::new(),
            batches,
            _stop: stop.drop_guard(),
        }
    }

    async fn until(&mut self, done: impl Fn(&Objects) -> bool) {
        while !self.index.complete().is_some_and(&done) {
            for event in self.batches.recv().await.expect("the source has ended") {
                self.index.apply(event);
            }
        }
    }
}

fn against_every_cluster(body: &impl AsyncFn(&mut Cluster) -> anyhow::Result<()>) {
    let server = ApiServer::start(Options {
        redstart_crds: false,
        ..Options::default()
    })
    .unwrap();
    // In a real cluster, one run at a time: the one that made the CRDs takes them away.
    let _alone = real_kubeconfig().map(|_| Exclusive::wait().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    server.kubeconfig().write(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for kubeconfig in [Some(path), real_kubeconfig()].into_iter().flatten() {
        let name = kubeconfig.display().to_string();
        runtime.block_on(async {
            let scenario = Cluster::scenario(kubeconfig, body);
            let result = tokio::time::timeout(LIMIT, scenario).await;
            result.expect("the scenario takes too long").expect(&name);
        });
    }
    let left = server.faults().requests();
    assert!(left.iter().any(|it| it.method == "DELETE"), "{left:?}");
}

#[test]
fn nodes_and_peers_come_change_and_go() {
    against_every_cluster(&async |cluster: &mut Cluster| {
        cluster
            .create_node("a", "192.0.2.1", &["198.18.1.0/24", "2001:db8:1::/64"])
            .await?;
        cluster
            .create_peer("tor", json!({"address": "192.0.2.254", "asn": 64999}))
            .await?;
        let (a, b, tor) = (cluster.name("a"), cluster.name("b"), cluster.name("tor"));

        let mut speaker = Speaker::start(cluster.kubeconfig.clone());
        speaker
            .until(|objects| objects.nodes.contains_key(&a) && objects.peers.contains_key(&tor))
            .await;
        let node = &speaker.index.complete().unwrap().nodes[&a];
        assert_eq!(node.pod_cidrs.len(), 2);
        assert_eq!(node.ipv4, Some("192.0.2.1".parse().unwrap()));

        cluster
            .create_node("b", "192.0.2.2", &["198.18.2.0/24"])
            .await?;
        speaker
            .until(|objects| objects.nodes.contains_key(&b))
            .await;
        let moved = json!({"spec": {"address": "192.0.2.253"}});
        cluster.patch::<BGPPeer>("tor", moved).await?;
        speaker
            .until(|objects| objects.peers[&tor].remote.to_string() == "192.0.2.253:179")
            .await;
        cluster.delete::<Node>("a").await?;
        cluster.delete::<BGPPeer>("tor").await?;
        speaker
            .until(|objects| {
                !objects.nodes.contains_key(&a)
                    && objects.nodes.contains_key(&b)
                    && !objects.peers.contains_key(&tor)
            })
            .await;
        Ok(())
    });
}
