//! The table of malformed input on live sessions, beside a bystander.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::{env, time::Instant};

use redstart_proto_tests::{
    lab::requirements::Binaries,
    malformed::{self, live},
};

/// Set in the process that plays the peers: the test runs itself again inside their namespace.
const AMONG_PEERS: &str = "REDSTART_MALFORMED_PEERS";
const NAME: &str = "every_case_leads_to_what_the_rfc_asks_for_on_a_live_session";

#[test]
fn every_case_leads_to_what_the_rfc_asks_for_on_a_live_session() {
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_lab"));
    if env::var_os(AMONG_PEERS).is_some() {
        return play(&binaries);
    }
    let mut world = live::World::up(binaries).unwrap();
    let began = Instant::now();
    let mut command = world.among_peers(&env::current_exe().unwrap()).unwrap();
    let output = command
        .args(["--exact", NAME, "--nocapture"])
        .env(AMONG_PEERS, "1")
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let well = world.speaker_is_well();
    if !output.status.success() || well.is_err() {
        let log = world.log();
        let tail = &log[log.floor_char_boundary(log.len().saturating_sub(4000))..];
        panic!("{said}\n{well:?}\n--- end of the speaker's log\n{tail}");
    }
    println!("{said}\n{:?}", began.elapsed());
}

fn play(binaries: &Binaries) {
    let report = live::run(binaries).unwrap();
    println!(
        "{} cases ran; no session offered for {}: {}",
        report.ran,
        report.not_offered.len(),
        report.not_offered.join(" ")
    );
    assert!(
        report.wrong.is_empty(),
        "{} wrong:\n{}",
        report.wrong.len(),
        report.wrong.join("\n")
    );
    // What a live session needs and the speaker does not offer is the exception.
    let total = malformed::table().len();
    assert_eq!(report.ran + report.not_offered.len(), total);
    assert!(
        report.ran * 100 >= total * 95,
        "only {} of {total} ran",
        report.ran
    );
}
