//! The attributes of an UPDATE that nobody finds anything wrong with, as three codecs read them.
//!
//! Each codec's reading is a set of facts (`tests/oracles`). Before they are compared, what an RFC leaves
//! open, or an oracle has no notion of, is taken out of both sets: see [`normal`].

use std::collections::BTreeSet;

use redstart_bgp::wire::Update;

use super::{Context, Facts, asked, bgpkit, rustbgpd};

/// The attributes that are compared, by the first word of a fact, and with whom. AIGP is not: a malformed
/// one is ignored without ado (RFC 7311 section 3.2), and one codec does not read it.
pub const COMPARED: [(&str, &[&str]); 14] = [
    ("origin", BOTH),
    ("as-path", BOTH),
    ("next-hop", BOTH),
    ("med", BOTH),
    ("local-pref", BOTH),
    ("atomic-aggregate", BOTH),
    ("aggregator", BOTH),
    ("community", BOTH),
    // The other one writes these anew to show their octets, in a list of up to 31.
    ("extended-community", &["rustbgpd"]),
    ("large-community", BOTH),
    ("originator-id", BOTH),
    ("cluster-list", BOTH),
    ("otc", BOTH),
    // What nobody reads.
    ("attribute", BOTH),
];

const BOTH: &[&str] = &["bgpkit", "rustbgpd"];

/// What a codec makes of a message.
type Read = fn(&Context, &[u8], &mut Facts) -> Result<(), String>;

/// Fails if another codec that takes the message reads other attributes. Returns what was compared: the
/// codec and the first word of a fact.
pub(crate) fn compare(context: &Context, message: &[u8], ours: &Update) -> BTreeSet<String> {
    let mut compared = BTreeSet::new();
    // Without routes the attributes belong to nothing, and several lists have several next hops.
    let [reach] = &ours.reach[..] else {
        return compared;
    };
    let present = codes(message);
    let ours = asked::reach(context, &reach.attrs, &reach.nlri);
    for (name, read) in [
        ("bgpkit", bgpkit::read as Read),
        ("rustbgpd", rustbgpd::read),
    ] {
        let mut theirs = Facts::default();
        if read(context, message, &mut theirs).is_err() {
            continue;
        }
        let ours = normal(context, &present, name, &ours);
        let theirs = normal(context, &present, name, &theirs);
        assert_eq!(ours, theirs, "{name}, {context:?}, {message:02x?}");
        let words = ours.iter().filter_map(|fact| fact.split(' ').next());
        compared.extend(words.map(|word| format!("{name} {word}")));
    }
    compared
}

/// The type codes in the attribute list of a well-formed UPDATE.
fn codes(message: &[u8]) -> Vec<u8> {
    let len = |at: usize| match message.get(at..at + 2) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let mut at = 21 + len(19);
    let end = at + 2 + len(at);
    at += 2;
    let mut codes = Vec::new();
    while let (true, Some(&[flags, code, short])) = (at < end, message.get(at..at + 3)) {
        codes.push(code);
        at += if flags & 0x10 == 0 {
            3 + usize::from(short)
        } else {
            4 + len(at + 2)
        };
    }
    codes
}

/// What is left to compare.
fn normal(context: &Context, present: &[u8], oracle: &str, facts: &Facts) -> BTreeSet<String> {
    let has = |code: u8| present.contains(&code);
    let facts = facts.0.iter().filter_map(|fact| {
        let word = fact.split(' ').next().unwrap_or_default();
        COMPARED
            .iter()
            .find(|(compared, with)| *compared == word && with.contains(&oracle))?;
        match word {
            // We have merged what the oracles show apart (RFC 6793 section 4.2.3).
            "as-path" | "aggregator" if !context.codec.four_octet_as && (has(17) || has(18)) => {
                None
            }
            // RFC 4760 section 3: NEXT_HOP beside MP_REACH_NLRI is for nothing.
            "next-hop" if has(3) && has(14) => None,
            // RFC 2545 section 3: the second address counts on the link alone.
            "next-hop" => Some(fact.split(' ').take(2).collect::<Vec<_>>().join(" ")),
            "attribute" => unknown(fact),
            _ => Some(fact.clone()),
        }
    });
    facts.collect()
}

/// An attribute that is not read, with Partial as whoever passes it on sets it; none that is not passed
/// on (RFC 4271 section 5).
fn unknown(fact: &str) -> Option<String> {
    let mut words = fact.split(' ').skip(1);
    let flags = u8::from_str_radix(words.next()?, 16).ok()?;
    let rest: Vec<&str> = words.collect();
    // A malformed AIGP, which no other codec reads: it is ignored, and not passed on.
    if rest.first() == Some(&"26") {
        return None;
    }
    (flags & 0xc0 == 0xc0).then(|| format!("attribute {}", rest.join(" ")))
}
