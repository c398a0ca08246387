//! What becomes of broken UPDATEs: ours against rustbgpd-wire's, which also applies RFC 7606.
//!
//! Messages of ours are changed in a few places by a generator with a fixed seed. Where the two differ,
//! an [`Exception`] must explain it, with the section of the RFC that says why ours is right, or why
//! both are.

use std::{collections::BTreeMap, fmt};

use bytes::{Bytes, BytesMut};
use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use redstart_bgp::{
    types::SegmentType,
    wire::{AttributeFault, Disposition, FaultReason, Message as Ours},
};
use rustbgpd_wire::{
    ErrorDisposition, Message, PathAttribute, UpdateMessage, decode_message,
    validate::validate_update_attributes,
};

use super::{Context, generate, hex, rustbgpd::add_path_families};

/// What became of a message; `None`: nothing is wrong.
type Verdict = Option<Disposition>;

/// A difference, and what each side said about it.
struct Difference {
    ours: Verdict,
    theirs: Verdict,
    faults: Vec<AttributeFault>,
    notification: Option<(u8, u8)>,
    /// What the oracle did not like.
    complaint: String,
    /// The attributes that it found malformed.
    malformed: Vec<u8>,
    /// Whether it found routes that are announced.
    reachable: bool,
}

impl Difference {
    fn has(&self, reason: FaultReason) -> bool {
        self.faults.iter().any(|f| f.reason == reason)
    }

    /// The group that it belongs to, for a person who has to explain it.
    fn group(&self) -> String {
        let reasons: Vec<String> = self
            .faults
            .iter()
            .map(|f| format!("{}:{}", f.code, f.reason))
            .collect();
        let complaint: String = self.complaint.chars().take(90).collect();
        format!(
            "ours {:?} {:?} {} | theirs {:?} {complaint}",
            self.ours,
            self.notification,
            reasons.join(" "),
            self.theirs
        )
    }
}

/// A reason to differ.
struct Exception {
    name: &'static str,
    applies: fn(&Difference) -> bool,
}

/// The reasons to differ, first match first.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "RFC 4271 section 6.3: a well-known attribute that nobody knows resets the session; RFC \
               7606 revised that nowhere",
        applies: |d| d.notification == Some((3, 2)) && d.theirs == WITHDRAW,
    },
    Exception {
        name: "RFC 7606 section 5.2: without routes that are announced, what would withdraw resets",
        applies: |d| d.ours == RESET && d.theirs == WITHDRAW && !d.reachable,
    },
    Exception {
        name: "RFC 9774 section 3: AS_SET is refused on import, where it can be explained",
        applies: |d| {
            d.ours <= DISCARD
                && d.theirs == WITHDRAW
                && d.complaint.contains("prohibited AS path segment")
        },
    },
    Exception {
        name: "RFC 4760 section 8: routes of a family that was not negotiated are none of ours",
        applies: |d| d.theirs == RESET && d.has(FaultReason::FamilyNotNegotiated),
    },
    Exception {
        name: "RFC 4271 section 4.3: Partial MUST be 0 on well-known and non-transitive attributes",
        applies: |d| d.ours == WITHDRAW && d.theirs <= DISCARD && d.has(FaultReason::InvalidFlags),
    },
    Exception {
        name: "RFC 4271 section 6.3: a next hop in 0.0.0.0/8 is the address of no host",
        applies: |d| d.ours == WITHDRAW && d.theirs.is_none() && d.has(FaultReason::InvalidNextHop),
    },
    Exception {
        name: "RFC 4760 section 3: NEXT_HOP beside MP_REACH_NLRI alone is ignored",
        applies: |d| {
            d.ours == DISCARD && d.theirs == WITHDRAW && d.faults.iter().any(|f| f.code == 3)
        },
    },
    Exception {
        name: "RFC 7606 section 3 (d): mandatory attributes, LOCAL_PREF from internal peers too",
        applies: |d| {
            d.ours == WITHDRAW && d.theirs <= DISCARD && d.has(FaultReason::MissingMandatory)
        },
    },
    Exception {
        name: "RFC 6793 section 6: confederation segments of AS4_PATH are left out without ado",
        applies: |d| d.ours.is_none() && d.complaint.contains("removed from AS4_PATH"),
    },
    Exception {
        name: "RFC 2545 section 3: beside a global next hop, a second one that is not link-local is \
               left aside",
        applies: |d| d.ours.is_none() && d.complaint.starts_with("validation, subcode 8"),
    },
    Exception {
        name: "RFC 4271 section 5: an optional attribute that is not read cannot be malformed",
        applies: |d| {
            d.ours <= DISCARD
                && !d.malformed.is_empty()
                && d.malformed
                    .iter()
                    .all(|code| unread(*code) || d.faults.iter().any(|f| f.code == *code))
        },
    },
];

const DISCARD: Verdict = Some(Disposition::DiscardAttribute);
const WITHDRAW: Verdict = Some(Disposition::TreatAsWithdraw);
const RESET: Verdict = Some(Disposition::Reset);

/// Whether we pass the type on, or drop it, without a look inside.
const fn unread(code: u8) -> bool {
    !matches!(code, 1..=10 | 14..=18 | 32 | 35)
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) total: usize,
    pub(crate) agreed: usize,
    pub(crate) explained: BTreeMap<&'static str, usize>,
    pub(crate) unexplained: BTreeMap<String, (usize, String)>,
    pub(crate) unused: Vec<&'static str>,
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
    let mut dice = Dice(0x7606);
    let mut outcome = Outcome::default();
    while outcome.total < total {
        let (context, message) = well_formed(&mut runner);
        // A well-formed message is worth several broken ones.
        for _ in 0..20 {
            if outcome.total < total {
                outcome.total += 1;
                compare(context, &broken(&message, &mut dice), &mut outcome);
            }
        }
    }
    let unused = EXCEPTIONS.iter().map(|e| e.name);
    outcome.unused = unused
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

fn compare(context: Context, message: &[u8], outcome: &mut Outcome) {
    let (ours, faults, notification) = our_verdict(context, message);
    let Theirs {
        verdict: theirs,
        complaint,
        malformed,
        reachable,
    } = their_verdict(context, message);
    if ours == theirs {
        outcome.agreed += 1;
        return;
    }
    let difference = Difference {
        ours,
        theirs,
        faults,
        notification,
        complaint,
        malformed,
        reachable,
    };
    match EXCEPTIONS.iter().find(|e| (e.applies)(&difference)) {
        Some(exception) => *outcome.explained.entry(exception.name).or_default() += 1,
        None => {
            let example = format!("{context:?} {}", hex(message));
            outcome
                .unexplained
                .entry(difference.group())
                .or_insert((0, example))
                .0 += 1;
        }
    }
}

fn our_verdict(
    context: Context,
    message: &[u8],
) -> (Verdict, Vec<AttributeFault>, Option<(u8, u8)>) {
    match context.codec.decode(message) {
        Ok(Ours::Update(update)) => {
            let strongest = update.faults.iter().map(|f| f.disposition).max();
            (strongest, update.faults, None)
        }
        Ok(other) => panic!("not an UPDATE: {other:?}"),
        Err(n) => {
            let code = (n.code.code(), n.code.subcode());
            (Some(Disposition::Reset), Vec::new(), Some(code))
        }
    }
}

fn disposition(theirs: ErrorDisposition) -> Disposition {
    match theirs {
        ErrorDisposition::AttributeDiscard => Disposition::DiscardAttribute,
        ErrorDisposition::TreatAsWithdraw => Disposition::TreatAsWithdraw,
        ErrorDisposition::SessionReset => Disposition::Reset,
    }
}

/// What the oracle says.
#[derive(Default)]
struct Theirs {
    verdict: Verdict,
    complaint: String,
    malformed: Vec<u8>,
    reachable: bool,
}

impl Theirs {
    fn reset(error: &impl fmt::Display) -> Self {
        Self {
            verdict: Some(Disposition::Reset),
            complaint: error.to_string(),
            ..Self::default()
        }
    }
}

fn their_verdict(context: Context, message: &[u8]) -> Theirs {
    let mut octets = Bytes::copy_from_slice(message);
    match decode_message(&mut octets, 4096) {
        Ok(Message::Update(update)) => judge(context, &update),
        Ok(other) => panic!("not an UPDATE: {other:?}"),
        Err(error) => Theirs::reset(&error),
    }
}

fn judge(context: Context, update: &UpdateMessage) -> Theirs {
    let codec = context.codec;
    let families = add_path_families(&context);
    let parsed = match update.parse_revised(
        codec.four_octet_as,
        !codec.ebgp,
        context.add_path(),
        families,
    ) {
        Ok(parsed) => parsed,
        Err(error) => return Theirs::reset(&error),
    };
    let mut verdicts: Vec<(Disposition, String)> = parsed
        .malformed
        .iter()
        .map(|m| {
            let what = format!("{}: {}", m.type_code, m.error);
            (disposition(m.disposition), what)
        })
        .collect();
    let attributes = &parsed.update.attributes;
    let by_body = !parsed.update.announced.is_empty();
    let by_mp = attributes
        .iter()
        .any(|a| matches!(a, PathAttribute::MpReachNlri(mp) if !mp.announced.is_empty()));
    if let Err(error) =
        validate_update_attributes(attributes, by_body || by_mp, by_body, codec.ebgp)
    {
        let what = format!("validation, subcode {} {}", error.subcode, hex(&error.data));
        verdicts.push((disposition(error.disposition), what));
    }
    Theirs {
        verdict: verdicts.iter().map(|(d, _)| *d).max(),
        complaint: verdicts
            .into_iter()
            .map(|(_, what)| what)
            .collect::<Vec<_>>()
            .join("; "),
        malformed: parsed.malformed.iter().map(|m| m.type_code).collect(),
        reachable: by_body || by_mp,
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z % u64::try_from(sides.max(1)).unwrap()).unwrap()
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
