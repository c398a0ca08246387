//! The table of malformed input on live sessions, beside a bystander.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::{env, time::Instant};

use bytes::Bytes;
use redstart_proto_tests::{
    lab::requirements::Binaries,
    malformed::{self, live},
};
use rustbgpd_wire::{Afi, Message, Safi, decode_message};

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
        "{} cases ran; the bystander was sent {} UPDATEs",
        report.ran,
        report.passed_on.len()
    );
    assert!(
        report.wrong.is_empty(),
        "{} wrong:\n{}",
        report.wrong.len(),
        report.wrong.join("\n")
    );
    assert_eq!(report.ran, malformed::table().len());
    assert!(!report.passed_on.is_empty());
    for octets in &report.passed_on {
        if let Err(complaint) = well_formed(octets) {
            panic!(
                "the bystander was sent what another codec finds wrong: {complaint} in {octets:02x?}"
            );
        }
    }
}

/// To a codec that shares nothing with ours.
fn well_formed(octets: &[u8]) -> Result<(), String> {
    let mut octets = Bytes::copy_from_slice(octets);
    let families = [(Afi::Ipv4, Safi::Unicast), (Afi::Ipv6, Safi::Unicast)];
    match decode_message(&mut octets, 4096).map_err(|error| error.to_string())? {
        Message::Update(update) => {
            let parsed = update
                .parse_revised(true, false, true, &families)
                .map_err(|error| error.to_string())?;
            let mut malformed = parsed.malformed;
            malformed.retain(|attribute| is_read(attribute.type_code));
            if malformed.is_empty() {
                Ok(())
            } else {
                Err(format!("{malformed:?}"))
            }
        }
        other => Err(format!("{other:?}")),
    }
}

/// What the speaker does not read it passes on as it came, whatever is in it (RFC 4271 section 5).
const fn is_read(code: u8) -> bool {
    matches!(code, 1..=10 | 14..=18 | 26 | 32 | 35)
}
