//! The interoperability matrix: what a run comes to is what `docs/INTEROP.md` says.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{env, fs, path::Path};

use redstart_proto_tests::{
    interop::{
        self, document,
        feature::Outcome,
        matrix::{self, Matrix},
        newer::{self, Column},
        programs::Programs,
    },
    lab::{exclusive::Exclusive, requirements::Binaries},
};

/// `REDSTART_UPDATE=1` writes the document anew. `REDSTART_INTEROP=md5-frr` runs just that, and
/// leaves the document alone; with an empty name, everything. `REDSTART_INTEROP_TRY=1` beside it tries
/// what is known not to work, too: what does not fail is a limit no more. `REDSTART_INTEROP_ROOT`: the
/// newer Debian of `interop-newer.sh`.
#[test]
fn the_document_is_what_a_run_comes_to() {
    let here = Programs::default();
    let newer = env::var_os("REDSTART_INTEROP_ROOT").map(|root| Programs::in_root(root.as_ref()));
    let update = env::var_os("REDSTART_UPDATE").is_some();
    if let Ok(only) = env::var("REDSTART_INTEROP") {
        run(newer.as_ref().unwrap_or(&here), Some(&only));
        return;
    }
    let mut columns = columns(&here);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recorded = package.join("interop-newer.json");
    match newer.map(|newer| self::columns(&newer)) {
        Some(fresh) if update => newer::write(&recorded, &fresh).unwrap(),
        Some(fresh) => assert_eq!(newer::read(&recorded).unwrap(), fresh),
        None => {}
    }
    columns.extend(newer::read(&recorded).unwrap());
    let path = package.join("../docs/INTEROP.md");
    let fresh = document::render(&columns);
    if update {
        fs::write(&path, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "docs/INTEROP.md is not what this run came to; run with REDSTART_UPDATE=1"
    );
}

fn columns(programs: &Programs) -> Vec<Column> {
    newer::columns(&run(programs, None), programs).unwrap()
}

/// Plays the scenes, of which none may fail.
fn run(programs: &Programs, only: Option<&str>) -> Matrix {
    interop::check_requirements(programs).unwrap();
    let _exclusive = Exclusive::wait().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_lab"));
    let matrix = matrix::run(&binaries, programs, only);
    let failed: Vec<String> = matrix
        .iter()
        .filter_map(|((feature, kind), outcome)| match outcome {
            Outcome::Failed(why) => Some(format!("{kind}: {}: {why}", feature.what())),
            _ => None,
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    matrix
}
