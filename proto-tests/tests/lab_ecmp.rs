//! Two routers in two ASes: both ways out are used, and one is enough.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use redstart_proto_tests::lab::{
    checks::{self, purity, reachability, redundancy},
    exclusive::TestLab,
    topology::TorKind,
};

#[test]
fn both_routers_are_used() {
    let lab = TestLab::redstart("ecmp", TorKind::Ecmp, env!("CARGO_BIN_EXE_lab")).unwrap();
    // Two next hops for the ext LAN in every node's kernel are part of it.
    checks::converged(&lab.lab).unwrap();
    assert_eq!(reachability::ping(&lab.lab).unwrap(), 72);
    assert_eq!(reachability::tcp(&lab.lab).unwrap(), 72);
    purity::no_nat_no_tunnel(&lab.lab).unwrap();
}

#[test]
fn one_router_is_enough() {
    let mut lab = TestLab::redstart("ecmp", TorKind::Ecmp, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    redundancy::router_stopped(&mut lab.lab, "tor2").unwrap();
}
