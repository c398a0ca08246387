//! The interoperability matrix: what a run comes to is what `docs/INTEROP.md` says.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{fs, path::Path};

use redstart_proto_tests::{
    interop::{self, document, feature::Outcome, matrix, programs::Programs},
    lab::{exclusive::Exclusive, requirements::Binaries},
};

/// `REDSTART_UPDATE=1` writes the document anew. `REDSTART_INTEROP=md5-frr` runs just that, and
/// leaves the document alone.
#[test]
fn the_document_is_what_a_run_comes_to() {
    let programs = Programs::default();
    interop::check_requirements(&programs).unwrap();
    let _exclusive = Exclusive::wait().unwrap();
    let only = std::env::var("REDSTART_INTEROP").ok();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_lab"));
    let matrix = matrix::run(&binaries, &programs, only.as_deref());
    let failed: Vec<String> = matrix
        .iter()
        .filter_map(|((feature, kind), outcome)| match outcome {
            Outcome::Failed(why) => Some(format!("{kind}: {}: {why}", feature.what())),
            _ => None,
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    if only.is_some() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/INTEROP.md");
    let fresh = document::render(&matrix);
    if std::env::var_os("REDSTART_UPDATE").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "docs/INTEROP.md is not what this run came to; run with REDSTART_UPDATE=1"
    );
}
