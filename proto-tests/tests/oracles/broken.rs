//! Messages of ours, changed in a few places by a generator with a fixed seed, and what becomes of them.

use std::{collections::BTreeMap, fmt};

use bytes::BytesMut;
use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use redstart_bgp::types::SegmentType;
use redstart_proto_tests::chance::Chance;

use super::{
    Context,
    dispositions::{Comparison, compare, exceptions},
    generate, hex,
};

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) total: usize,
    pub(crate) agreed: usize,
    pub(crate) explained: BTreeMap<&'static str, usize>,
    pub(crate) unexplained: BTreeMap<String, (usize, String)>,
    pub(crate) unused: Vec<&'static str>,
}

impl Outcome {
    fn note(&mut self, context: Context, message: &[u8]) {
        match compare(context, message) {
            Comparison::Agree => self.agreed += 1,
            Comparison::Explained(name) => *self.explained.entry(name).or_default() += 1,
            Comparison::Unexplained(group) => {
                let example = format!("{context:?} {}", hex(message));
                self.unexplained.entry(group).or_insert((0, example)).0 += 1;
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} agree", self.agreed, self.total)?;
        for (name, count) in &self.explained {
            writeln!(f, "{count:6} {name}")?;
        }
        for (group, (count, example)) in &self.unexplained {
            writeln!(f, "{count:6} UNEXPLAINED {group}\n       {example}")?;
        }
        for name in &self.unused {
            writeln!(f, "       explains nothing: {name}")?;
        }
        Ok(())
    }
}

/// Compares `total` broken messages.
pub(crate) fn run(total: usize) -> Outcome {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut dice = Dice(Chance::new(0x7606));
    let mut outcome = Outcome::default();
    while outcome.total < total {
        let (mut context, message) = well_formed(&mut runner);
        // Some come from the other side of the border of the AS.
        context.codec.ebgp ^= dice.roll(10) == 0;
        // A well-formed message is worth several broken ones.
        for _ in 0..20 {
            if outcome.total < total {
                outcome.total += 1;
                outcome.note(context, &broken(&message, &mut dice));
            }
        }
    }
    outcome.unused = exceptions()
        .filter(|name| !outcome.explained.contains_key(name))
        .collect();
    outcome
}

/// Without AS_SET, which the oracle never takes.
fn well_formed(runner: &mut TestRunner) -> (Context, Vec<u8>) {
    loop {
        let tree = generate::announcement().new_tree(runner).unwrap();
        let (context, attrs, nlri) = tree.current();
        let segments = &attrs.as_path.segments;
        if segments.iter().all(|s| s.kind == SegmentType::Sequence) {
            let mut out = BytesMut::new();
            context.codec.encode_reach(&attrs, &nlri, &mut out).unwrap();
            return (context, out.to_vec());
        }
    }
}

struct Dice(Chance);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides.max(1)).unwrap();
        usize::try_from(self.0.below(sides)).unwrap()
    }

    fn octet(&mut self) -> u8 {
        let telling = [0, 1, 2, 3, 4, 8, 0x20, 0x40, 0x80, 0xc0, 0xff];
        match self.roll(3) {
            0 => telling[self.roll(telling.len())],
            _ => u8::try_from(self.roll(256)).unwrap(),
        }
    }
}

/// The message with up to three octets changed, taken out or put in; its length is kept right.
fn broken(message: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut body = message[19..].to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(body.len());
        match dice.roll(8) {
            0 if body.len() > 5 => {
                body.remove(at);
            }
            1 => body.insert(at, dice.octet()),
            2 => body[at] ^= 1 << dice.roll(8),
            _ => body[at] = dice.octet(),
        }
    }
    let mut out = message[..16].to_vec();
    out.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    out.push(2);
    out.extend(body);
    out
}
