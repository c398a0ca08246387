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

#[test]
fn somebody_elses_route_to_the_same_prefix_stays() {
    foreign::same_prefix(&lab(TorKind::Bird).lab, "n1", "n3").unwrap();
}
