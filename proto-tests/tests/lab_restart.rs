//! A speaker dies, restarts, and finds other people's routes: nothing of that shows in the kernel
//! or on the wire.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use redstart_proto_tests::lab::{
    checks::{self, foreign, restart},
    exclusive::TestLab,
    process::Signal,
    topology::TorKind,
};

fn lab(tor: TorKind) -> TestLab {
    let lab = TestLab::redstart("restart", tor, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

#[test]
fn a_killed_speaker_is_not_missed_behind_bird() {
    restart::speaker_restarted(&mut lab(TorKind::Bird).lab, "n2", Signal::Kill).unwrap();
}

#[test]
fn a_killed_speaker_is_not_missed_behind_frr() {
    restart::speaker_restarted(&mut lab(TorKind::Frr).lab, "n2", Signal::Kill).unwrap();
}

#[test]
fn a_killed_speaker_is_not_missed_behind_two_routers() {
    // Two next hops: they must not shrink to the router that is heard of first.
    restart::speaker_restarted(&mut lab(TorKind::Ecmp).lab, "n2", Signal::Kill).unwrap();
}

/// Acceptance case b.
#[test]
fn case_b_two_restarts_in_one_restart_window_change_no_route() {
    restart::speaker_restarted_twice(&mut lab(TorKind::Bird).lab, "n2").unwrap();
}

/// Acceptance case c.
#[test]
fn case_c_a_restart_does_not_wait_for_a_peer_that_is_down_for_good() {
    let mut lab = lab(TorKind::Bird);
    restart::one_peer_stays_down(&mut lab.lab, "n3", "n2", "n1").unwrap();
}

#[test]
fn somebody_elses_route_to_the_same_prefix_stays() {
    foreign::same_prefix(&lab(TorKind::Bird).lab, "n1", "n3").unwrap();
}
