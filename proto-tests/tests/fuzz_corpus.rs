//! The inputs that fuzzing starts from, and those that it found something with, hold what the fuzz
//! targets check (docs/FUZZ.md); and so do some thousand variations of each.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own for the fuzzer")]
mod checks;

use std::{collections::BTreeSet, fs, path::Path};

use redstart_proto_tests::chance::Chance;

/// How many variations of each input.
const VARIATIONS: usize = 2000;

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files: Vec<_> = fs::read_dir(corpus.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A few octets changed, by SplitMix64: the same ones in every run.
fn varied(input: &[u8], seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    let mut roll =
        |sides: usize| usize::try_from(chance.below(u64::try_from(sides).unwrap())).unwrap();
    let mut octets = input.to_vec();
    for _ in 0..=roll(3) {
        let at = roll(octets.len());
        octets[at] = u8::try_from(roll(256)).unwrap();
    }
    octets
}

fn replay(target: &str, check: fn(&[u8])) {
    let inputs = inputs(target);
    assert!(inputs.len() >= 10, "the corpus of {target} was not found");
    for input in inputs {
        check(&input);
        for seed in 0..VARIATIONS {
            check(&varied(&input, u64::try_from(seed).unwrap()));
        }
    }
}

#[test]
fn what_can_be_said_is_read_the_same() {
    replay("round_trip", checks::round_trip);
}

#[test]
fn another_codec_reads_the_same() {
    replay("differential", |input| drop(checks::differential(input)));
}

#[test]
fn another_codec_makes_the_same_of_what_is_broken() {
    replay("differential", checks::dispositions);
}

/// Every kind of attribute is in the corpus, and compared with both codecs.
#[test]
fn all_attributes_are_compared() {
    let inputs = inputs("differential");
    let compared = inputs.iter().flat_map(|input| checks::differential(input));
    let compared: BTreeSet<String> = compared.collect();
    let expected = checks::COMPARED.iter().flat_map(|(word, codecs)| {
        let said = codecs.iter().map(move |codec| format!("{codec} {word}"));
        said.collect::<Vec<_>>()
    });
    assert_eq!(compared, expected.collect());
}
