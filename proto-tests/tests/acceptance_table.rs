//! `docs/ACCEPTANCE.md` is true to the sources: every case is there, and every test that it names.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod claims;

use std::collections::BTreeSet;

use claims::{Status, believed};

/// The cases: 1 to 28, and a to m.
fn cases() -> impl Iterator<Item = String> {
    let numbers = (1..=28).map(|n: u32| n.to_string());
    numbers.chain(('a'..='m').map(|letter| letter.to_string()))
}

#[test]
fn every_case_has_a_test_that_is_there_or_a_reason() {
    let rows = believed("docs/ACCEPTANCE.md", |heading| Some(heading.to_owned()));
    let told: BTreeSet<&str> = rows.iter().map(|row| row.section.as_str()).collect();
    let all: Vec<String> = cases().collect();
    let missing: Vec<&String> = all
        .iter()
        .filter(|case| !told.contains(case.as_str()))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    for row in &rows {
        let case = &row.section;
        assert!(all.contains(case), "line {}: no case {case:?}", row.line);
        let open = matches!(row.status, Status::No);
        assert!(!open, "line {}: case {case} is open", row.line);
        // What is there in part, or otherwise, is there.
        let shown = row.status == Status::NotApplicable || !row.tests.is_empty();
        assert!(shown, "line {}: nothing shows case {case}", row.line);
    }
}
