//! `redc drain` and `redc undrain`, against an API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod kube_world;

use std::path::PathBuf;

use kube_world::{block_on, core::PlayedCore, node, nodes};
use redstart_controller::{
    api::ANNOTATION_DRAIN,
    cli::{client, render},
    control::{self, Doors, Drains, views},
    source::kube::connect,
};
use redstart_proto_tests::apiserver::{
    ApiServer, Options, Verb,
    faults::{Action, Rule},
};
use tokio_util::sync::CancellationToken;

/// The control socket of a speaker on the node `n1`.
struct World {
    server: ApiServer,
    socket: PathBuf,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    async fn start() -> Self {
        let server = ApiServer::start(Options::default()).unwrap();
        server.put(node("n1", "10.0.1.0/24")).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        server.kubeconfig().write(&kubeconfig).unwrap();
        let api = connect(Some(&kubeconfig)).await.unwrap();
        let socket = directory.path().join("redstart.sock");
        let listener = control::unix_listener(&socket).unwrap();
        let stop = CancellationToken::new();
        let core = PlayedCore::start();
        let drains = Drains::by_api("n1", api);
        // Nobody compiles here.
        let (previews, _) = tokio::sync::mpsc::channel(1);
        let doors = Doors {
            core: core.queries(),
            drains,
            previews,
        };
        tokio::spawn(control::serve(listener, doors, stop.clone()));
        Self {
            server,
            socket,
            stop,
            _directory: directory,
        }
    }

    async fn redc(&self, path: &str) -> Result<views::Annotated, String> {
        let body = client::post(&self.socket, path).await;
        body.map(|body| serde_json::from_slice(&body).unwrap())
            .map_err(|error| error.to_string())
    }

    fn annotation(&self) -> Option<String> {
        let node = self.server.get(&nodes(), "", "n1").unwrap();
        let annotation = &node["metadata"]["annotations"][ANNOTATION_DRAIN];
        annotation.as_str().map(str::to_owned)
    }
}

#[test]
fn a_drain_is_the_annotation_of_the_node_and_keeps_its_time() {
    block_on(async {
        let world = World::start().await;
        let first = world.redc("/v1/drain").await.unwrap();
        assert!(first.changed);
        assert_eq!(world.annotation(), first.drain);
        assert!(render::annotated(&first).starts_with("Node n1 is to be drained, since 20"));
        // Who asks once more does not lose his place among those who wait.
        let second = world.redc("/v1/drain").await.unwrap();
        assert_eq!((second.changed, &second.drain), (false, &first.drain));
        assert!(render::annotated(&second).contains("already"));
        let undone = world.redc("/v1/undrain").await.unwrap();
        assert_eq!((undone.drain, world.annotation()), (None, None));
        // The rest of the Node is as it was.
        let node = world.server.get(&nodes(), "", "n1").unwrap();
        assert_eq!(node["spec"]["podCIDR"], "10.0.1.0/24");
    });
}

#[test]
fn without_the_right_to_it_the_answer_says_how() {
    block_on(async {
        let world = World::start().await;
        world.server.faults().add(Rule {
            verb: Some(Verb::Patch),
            plural: Some("nodes".to_owned()),
            skip: 0,
            times: None,
            action: Action::Status {
                code: 403,
                retry_after: None,
            },
        });
        let how = "kubectl annotate --overwrite node n1 redstart.dev/drain";
        let refused = world.redc("/v1/drain").await.unwrap_err();
        assert!(refused.contains(&format!("{how}=20")), "{refused}");
        let refused = world.redc("/v1/undrain").await.unwrap_err();
        assert!(refused.ends_with(&format!("{how}-")), "{refused}");
        assert_eq!(world.annotation(), None);
    });
}
