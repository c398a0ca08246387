//! The same cluster from an API server that is not the lab's own: always one that was started for
//! this test outside the lab's namespaces, and a real one when `REDSTART_TEST_KUBECONFIG` names a
//! kubeconfig. The lab is reached by kubeconfig alone, either way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::path::Path;

use redstart_proto_tests::{
    apiserver::{
        ApiServer, Gvr, Options, Verb,
        cluster::real_kubeconfig,
        faults::{Action, Rule},
    },
    lab::{
        checks::{self, membership, purity, reachability},
        cluster::LabCluster,
        exclusive::TestLab,
        speaker::{Source, SpeakerKind},
        topology::TorKind,
    },
};
use serde_json::json;

fn up(kubeconfig: &Path) -> anyhow::Result<TestLab> {
    let program = env!("CARGO_BIN_EXE_lab");
    let source = Source::Cluster(LabCluster::new(kubeconfig)?);
    TestLab::up(
        "cluster",
        TorKind::Bird,
        source,
        SpeakerKind::Redstart,
        program,
    )
}

fn everything_holds(lab: &TestLab) {
    checks::converged(&lab.lab).unwrap();
    assert_eq!(reachability::ping(&lab.lab).unwrap(), 72);
    assert_eq!(reachability::tcp(&lab.lab).unwrap(), 72);
    purity::no_nat_no_tunnel(&lab.lab).unwrap();
    membership::node_removed(&lab.lab, "n3").unwrap();
    membership::pod_cidrs_changed(&lab.lab, "n2").unwrap();
}

/// A server like a cluster in use: it has a Node of its own, and nothing of Redstart.
fn server(directory: &Path) -> (ApiServer, std::path::PathBuf) {
    let server = ApiServer::start(Options {
        redstart_crds: false,
        ..Options::default()
    })
    .unwrap();
    let stranger = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"},
        "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    });
    server.put(stranger).unwrap();
    let path = directory.join("kubeconfig");
    server.kubeconfig().write(&path).unwrap();
    (server, path)
}

fn names(server: &ApiServer, gvr: &Gvr) -> Vec<String> {
    let objects = server.list(gvr);
    let name = |object: &serde_json::Value| object["metadata"]["name"].as_str().map(str::to_owned);
    objects.iter().filter_map(|object| name(object)).collect()
}

#[test]
fn the_same_cluster_comes_up_from_any_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let (server, kubeconfig) = server(directory.path());
    let lab = up(&kubeconfig).unwrap();
    everything_holds(&lab);

    // As a real server does: a Node's pod CIDRs cannot be changed.
    server.faults().add(Rule {
        verb: Some(Verb::Patch),
        plural: Some("nodes".to_owned()),
        skip: 0,
        times: Some(2),
        action: Action::Status {
            code: 422,
            retry_after: None,
        },
    });
    membership::pod_cidrs_changed(&lab.lab, "n2").unwrap();
    let nodes = Gvr::new("", "v1", "nodes");
    assert_eq!(names(&server, &nodes).len(), 4);
    drop(lab);
    assert_eq!(names(&server, &nodes), ["worker"]);
    let crds = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    assert_eq!(names(&server, &crds), Vec::<String>::new());

    if let Some(kubeconfig) = real_kubeconfig() {
        everything_holds(&up(&kubeconfig).unwrap());
    }
}

#[test]
fn a_cluster_with_a_configuration_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (server, kubeconfig) = server(directory.path());
    for crd in redstart_controller::api::crds() {
        server.put(json!(crd)).unwrap();
    }
    let theirs = json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPConfiguration",
        "metadata": {"name": "default"}, "spec": {"asn": 65535},
    });
    server.put(theirs).unwrap();
    let Err(refused) = up(&kubeconfig) else {
        panic!("the lab came up");
    };
    let said = format!("{refused:#}");
    assert!(said.contains("BGPConfiguration/default"), "{said}");
    let log = server.faults().requests();
    assert!(log.iter().all(|it| it.method != "POST"), "{log:?}");
    let configurations = Gvr::new("redstart.dev", "v1alpha1", "bgpconfigurations");
    assert_eq!(names(&server, &configurations), ["default"]);
}
