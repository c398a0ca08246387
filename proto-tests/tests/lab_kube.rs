//! The same cluster from an API server: TLS, a token, list and watch.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use redstart_proto_tests::lab::{
    checks::{self, membership, outage, purity, reachability},
    exclusive::TestLab,
    speaker::{Source, SpeakerKind},
    topology::TorKind,
};

fn lab(name: &str) -> TestLab {
    let program = env!("CARGO_BIN_EXE_lab");
    let (source, speaker) = (Source::Kube, SpeakerKind::Redstart);
    let lab = TestLab::up(name, TorKind::Bird, source, speaker, program).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

#[test]
fn the_same_cluster_comes_up_from_the_api_server() {
    let lab = lab("kube");
    assert_eq!(reachability::ping(&lab.lab).unwrap(), 72);
    assert_eq!(reachability::tcp(&lab.lab).unwrap(), 72);
    purity::no_nat_no_tunnel(&lab.lab).unwrap();
    membership::node_removed(&lab.lab, "n3").unwrap();
    membership::pod_cidrs_changed(&lab.lab, "n2").unwrap();
}

/// Acceptance case a: the API server is away, and a speaker restarts without it.
#[test]
fn case_a_an_api_server_that_is_away_changes_no_route_not_even_over_a_restart() {
    let mut lab = lab("outage");
    outage::api_server_away(&mut lab.lab, "n2", "n3").unwrap();
}

#[test]
fn a_speaker_that_starts_from_outdated_objects_lets_go_of_nothing_before_it_knows_better() {
    let mut lab = lab("outdated");
    outage::restarted_with_what_was_known_before(&mut lab.lab, "n2", "n3").unwrap();
}
