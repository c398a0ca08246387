//! `docs/RFC.md` is true to the sources: every test that it names is there, and nothing is called
//! done without one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod claims;

use std::collections::BTreeMap;

use claims::{believed, find_test, is_test, read, root, rows};

/// The RFC of a heading such as `RFC 4271: BGP-4`.
fn rfc(heading: &str) -> Option<String> {
    let name = heading.split(':').next().unwrap_or(heading);
    name.starts_with("RFC ").then(|| name.to_owned())
}

#[test]
fn every_named_test_is_there() {
    let rows = believed("docs/RFC.md", rfc);
    let mut totals: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    for row in &rows {
        totals.entry(&row.chapter).or_default()[row.status as usize] += 1;
        totals.entry("total").or_default()[row.status as usize] += 1;
    }
    println!("{:<32} yes partly  no differs n.a.", "");
    for (rfc, [yes, partly, no, differs, not_applicable]) in &totals {
        println!("{rfc:<32} {yes:>3} {partly:>6} {no:>3} {differs:>7} {not_applicable:>4}");
    }
    assert!(totals["total"][0] > 0, "the table was not found");
}

#[test]
fn every_rfc_of_the_product_has_a_table() {
    let text = read("docs/RFC.md");
    let headings: Vec<&str> = text.lines().filter(|l| l.starts_with("## RFC")).collect();
    for rfc in [
        4271, 4760, 5492, 9072, 6793, 2918, 7313, 7606, 4724, 8538, 9494, 7911, 8950, 8654, 4456,
        1997, 4360, 8092, 8326, 8203, 9003, 9234, 5082, 2385, 5925, 6286, 6608, 4486, 8212, 9687,
        7607, 9774, 2545, 5065, 7854, 8671, 9069, 6396, 8050,
    ] {
        let name = format!("RFC {rfc}");
        assert!(headings.iter().any(|h| h.contains(&name)), "{name}");
    }
}

#[test]
fn what_is_wrong_with_a_row_is_said() {
    let problem = |row: &str| {
        let text = format!("## RFC 1: a\n\n| head |\n|---|\n{row}\n");
        match rows(&text, rfc) {
            Ok(rows) => panic!("{rows:?}"),
            Err(problems) => problems[0].what.clone(),
        }
    };
    assert_eq!(problem("| 1 | a | yes | |"), "yes, and no test");
    assert_eq!(problem("| 1 | a | partly | |"), "no status: \"partly\"");
    assert_eq!(problem("| 1 | a | done | `a::b` |"), "no status: \"done\"");
    assert_eq!(problem("| 1 | a | yes |"), "a row has four cells");
    assert_eq!(
        problem("| | a | no | |"),
        "section or requirement is missing"
    );
    assert!(problem("| 1 | a | yes | a::b |").starts_with("not a list"));
    // Tables elsewhere are none of ours.
    assert!(
        rows("## Words\n\n| head |\n| yes | |\n", rfc)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    let find = |path| find_test(&root(), path);
    assert_eq!(
        find("proto_tests::tests::rfc_table::a_test_that_is_not_there_is_missed"),
        Ok(())
    );
    // In a block, and in a file of its own.
    assert_eq!(find("bgp::session::collision::tests::truth_table"), Ok(()));
    assert_eq!(
        find("rib::rib::tests::checks::our_own_as_in_the_path"),
        Ok(())
    );
    for (path, what) in [
        ("bgp::session::collision::tests::truth", "no such function"),
        (
            "bgp::session::collision::tests::survivor",
            "no such function",
        ),
        (
            "bgp::session::nowhere::tests::truth_table",
            "no such module",
        ),
        (
            "proto_tests::tests::rfc_table::rfc",
            "ignored, or no test attribute",
        ),
        ("truth_table", "not a path"),
    ] {
        assert_eq!(find(path), Err(format!("{path}: {what}")));
    }
    let ignored = "#[test]\n#[ignore = \"slow\"]\nfn slow() {}\n";
    assert_eq!(is_test(ignored, "slow"), Some(false));
}
