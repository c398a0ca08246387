//! What becomes of UPDATEs, broken or not: ours against rustbgpd-wire's, which also applies RFC 7606.
//!
//! Where the two differ, an [`Exception`] must explain it, with the section of the RFC that says why ours
//! is right, or why both are.

use std::fmt;

use bytes::Bytes;
use redstart_bgp::wire::{AttributeFault, Disposition, FaultReason, Message as Ours};
use rustbgpd_wire::{
    ErrorDisposition, Message, PathAttribute, UpdateMessage, decode_message,
    validate::validate_update_attributes,
};

use super::{Context, hex, rustbgpd::add_path_families};

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
        name: "RFC 7606 sections 7.5, 7.9 and 7.10: from an external peer these are discarded, and we \
               say so",
        applies: |d| {
            d.ours == DISCARD
                && d.theirs.is_none()
                && d.faults
                    .iter()
                    .all(|f| f.reason == FaultReason::FromExternalPeer)
        },
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

/// What became of a message that both sides have judged.
pub(crate) enum Comparison {
    /// The same.
    Agree,
    /// Not the same, and this exception says why.
    Explained(&'static str),
    /// Not the same, and nobody knows why: a group of such differences.
    Unexplained(String),
}

/// The names of all exceptions.
pub(crate) fn exceptions() -> impl Iterator<Item = &'static str> {
    EXCEPTIONS.iter().map(|exception| exception.name)
}

/// Has both judge an UPDATE.
pub(crate) fn compare(context: Context, message: &[u8]) -> Comparison {
    let (ours, faults, notification) = our_verdict(context, message);
    let Theirs {
        verdict: theirs,
        complaint,
        malformed,
        reachable,
    } = their_verdict(context, message);
    if ours == theirs {
        return Comparison::Agree;
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
        Some(exception) => Comparison::Explained(exception.name),
        None => Comparison::Unexplained(difference.group()),
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
