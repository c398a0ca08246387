//! The table of malformed input, through framer and codec.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{collections::BTreeSet, fs, path::Path};

use redstart_proto_tests::malformed::{
    self, document,
    elsewhere::{ELSEWHERE, INCIDENTS},
};

#[test]
fn every_case_leads_to_what_the_rfc_asks_for() {
    let mut wrong = Vec::new();
    for case in malformed::table() {
        // In one portion, octet by octet, and in between: boundaries must not matter.
        for portion in [usize::MAX, 1, 7] {
            let outcome = malformed::codec_outcome(&case, portion);
            if outcome != Ok(case.codec) {
                wrong.push(format!(
                    "{} ({}): expected {}, got {} (portions of {portion})",
                    case.name,
                    case.source,
                    case.codec,
                    outcome.map_or_else(|e| e, |o| o.to_string()),
                ));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cases_have_names_of_their_own_and_there_are_enough() {
    let table = malformed::table();
    let names: BTreeSet<&str> = table.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), table.len());
    assert!(table.len() >= 150, "{}", table.len());
}

/// A case repeats it, or a reason says why none can; never both.
#[test]
fn every_published_incident_has_a_case_or_a_reason() {
    let table = malformed::table();
    for incident in INCIDENTS {
        let number = incident.trim_start_matches("CVE-");
        let repeated = table.iter().any(|case| case.source.contains(number));
        let explained = ELSEWHERE.iter().any(|(name, _)| name == incident);
        assert!(repeated != explained, "{incident}: {repeated} {explained}");
    }
}

/// `REDSTART_UPDATE=1` writes it anew.
#[test]
fn the_document_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/MALFORMED.md");
    let fresh = document::render(&malformed::table());
    if std::env::var_os("REDSTART_UPDATE").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "docs/MALFORMED.md is not what the table says; run with REDSTART_UPDATE=1"
    );
}
