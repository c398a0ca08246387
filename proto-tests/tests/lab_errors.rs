//! Bad input and a hostile host: each a clear error that names object, field and reason; the rest
//! goes on.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use k8s_openapi::api::apps::v1::DaemonSet;
use redstart_proto_tests::lab::{
    Lab,
    checks::{
        self,
        errors::{self, Complaint},
    },
    exclusive::TestLab,
    objects::{node_file, node_manifest, peer_manifest},
    topology::{Family, TorKind},
};

fn lab() -> TestLab {
    let lab = TestLab::redstart("errors", TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

fn peer(lab: &Lab) -> String {
    let router = &lab.topology.routers[0];
    peer_manifest(router, Family::V4, router.asn)
}

#[test]
fn bad_manifests_leave_the_last_good_state() {
    let lab = lab();
    let lab = &lab.lab;
    let complaint = Complaint {
        object: "File/broken.yaml",
        field: "",
        reason: "invalid-yaml",
    };
    errors::bad_manifest(lab, "broken", "kind: [Node", None, complaint).unwrap();

    let good = peer(lab);
    let bad = format!("{good}  colour: green\n");
    let complaint = Complaint {
        object: "BGPPeer/tor-v4",
        field: "spec.colour",
        reason: "unknown-field",
    };
    errors::bad_manifest(lab, "bgppeer-tor-v4", &bad, Some(&good), complaint).unwrap();

    let bad = peer_manifest(&lab.topology.routers[0], Family::V4, 23456);
    let complaint = Complaint {
        object: "BGPPeer/tor-v4",
        field: "spec.asn",
        reason: "invalid-asn",
    };
    errors::bad_manifest(lab, "bgppeer-tor-v4", &bad, Some(&good), complaint).unwrap();

    // A new Node that claims what is n2's: n2 keeps it.
    let n2 = lab.topology.node("n2").unwrap();
    let mut thief = lab.topology.node("n3").unwrap().clone();
    thief.name = "n4".to_owned();
    thief.addresses.v4 = "10.10.0.4".parse().unwrap();
    thief.addresses.v6 = "fd00:10::4".parse().unwrap();
    thief.pod_cidrs = n2.pod_cidrs.clone();
    let complaint = Complaint {
        object: "Node/n4",
        field: "spec.podCIDRs",
        reason: "overlapping-pod-cidr",
    };
    errors::bad_manifest(
        lab,
        &node_file("n4"),
        &node_manifest(&thief),
        None,
        complaint,
    )
    .unwrap();
}

#[test]
fn a_router_with_another_as_is_named() {
    let lab = lab();
    errors::wrong_peer_as(&lab.lab, &lab.lab.topology.routers[0]).unwrap();
}

#[test]
fn port_179_in_use_is_said_and_worked_around() {
    errors::port_in_use(&mut lab().lab, "n1").unwrap();
}

#[test]
fn without_net_admin_every_route_says_so() {
    errors::no_net_admin(&mut lab().lab, "n1").unwrap();
}

#[test]
fn the_capabilities_of_the_daemonset_are_enough() {
    let manifest = include_str!("../../manifests/base/daemonset.yaml");
    let manifest: DaemonSet = serde_saphyr::from_str(manifest).unwrap();
    let pod = manifest.spec.unwrap().template.spec.unwrap();
    let capabilities = pod.containers[0].security_context.as_ref().unwrap();
    let capabilities = capabilities.capabilities.as_ref().unwrap();
    assert_eq!(
        capabilities.drop.as_deref(),
        Some(["ALL".to_owned()].as_slice())
    );
    let added: Vec<String> = capabilities
        .add
        .iter()
        .flatten()
        .map(|name| name.to_lowercase())
        .collect();
    errors::capabilities_are_enough(&mut lab().lab, "n1", &added).unwrap();
}
