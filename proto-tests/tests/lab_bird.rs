//! The main job behind a real BIRD: pods are routable from outside and from other nodes, and the
//! network follows the cluster.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use redstart_proto_tests::lab::{
    checks::{self, membership, purity, reachability},
    exclusive::TestLab,
    topology::TorKind,
};

#[test]
fn pods_are_reached_by_their_own_addresses() {
    let lab = TestLab::redstart("bird", TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    assert_eq!(reachability::ping(&lab.lab).unwrap(), 72);
    assert_eq!(reachability::tcp(&lab.lab).unwrap(), 72);
    purity::no_nat_no_tunnel(&lab.lab).unwrap();
}

#[test]
fn the_network_follows_the_cluster() {
    let lab = TestLab::redstart("bird", TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    membership::node_removed(&lab.lab, "n3").unwrap();
    membership::pod_cidrs_changed(&lab.lab, "n2").unwrap();
    reachability::ping(&lab.lab).unwrap();
}
