//! `decode`: BGP messages as text, without a daemon.
//!
//! From hex (a log line, say), from a capture, from an MRT file or from a file of plain messages. Each
//! message is given to the speaker's own codec, so the verdict is the one that a session would come to
//! (RFC 7606); and its parts are shown with the octets that they are in.
//!
//! How messages look depends on what a session agreed on. Where OPENs are in the input, theirs counts;
//! elsewhere everything is taken for agreed on but several paths for a prefix, and the session for an
//! internal or an external one as a message fits better.
//!
//! | file | job |
//! |---|---|
//! | `layout` | where in a message what stands |
//! | `values` | parts as text |
//! | `pcap` | messages out of captures |

mod layout;
mod pcap;
mod values;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use jiff::Timestamp;
use redstart_bgp::{
    mrt::{self, message::Said},
    types::FamilySet,
    wire::{Capability, Codec, Framer, Message, Notification, Open},
};
use schemars::JsonSchema;
use serde::Serialize;

pub use layout::Part;
pub use pcap::PcapError;

/// Why there is nothing to decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Neither a file nor hex.
    #[error("{0:?} is no file, and no hex either")]
    NeitherFileNorHex(String),
    /// None of the formats that are known.
    #[error("{0} is not a capture, an MRT file, hex or plain BGP messages")]
    UnknownFormat(String),
    /// The capture cannot be read.
    #[error(transparent)]
    Pcap(#[from] PcapError),
    /// There is no message in it.
    #[error("there is no BGP message in it")]
    Empty,
}

/// A message, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Decoded {
    /// Where it comes from, in a capture or an MRT file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it begins: in the input, or in its direction of a connection.
    pub from: usize,
    /// The octet behind its last one.
    pub to: usize,
    /// `OPEN`, `UPDATE`, ….
    pub kind: String,
    /// `valid`, `discard-attribute`, `treat-as-withdraw` or `reset` (RFC 7606); or `incomplete`.
    pub verdict: String,
    /// What is wrong.
    pub faults: Vec<String>,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// Everything agreed on, on an internal session.
fn everything() -> Codec {
    Codec {
        four_octet_as: true,
        ebgp: false,
        extended_messages: true,
        families: FamilySet::ALL,
        add_path_receive: FamilySet::EMPTY,
        add_path_send: FamilySet::EMPTY,
        extended_next_hop: FamilySet::ALL,
    }
}

/// The same for an internal and for an external session, where nobody knows which it was.
fn of_either_kind(codec: Codec) -> [Codec; 2] {
    [false, true].map(|ebgp| Codec { ebgp, ..codec })
}

/// What a message is under the one of some codecs under which the least is wrong with it.
fn decoded(codecs: &[Codec], octets: &[u8]) -> Result<Message, Notification> {
    let wrong = |read: &Result<Message, Notification>| match read {
        Ok(Message::Update(update)) => update.faults.len(),
        Ok(_) => 0,
        Err(_) => usize::MAX,
    };
    let read = codecs.iter().map(|codec| codec.decode(octets));
    let best = read.min_by_key(wrong);
    best.unwrap_or_else(|| Codec::default().decode(octets))
}

/// Takes one message apart.
fn message(codecs: &[Codec], octets: &[u8], start: usize, source: Option<&str>) -> Decoded {
    let decoded = decoded(codecs, octets);
    let (verdict, faults) = match &decoded {
        Err(notification) => ("reset", vec![format!("NOTIFICATION {notification}")]),
        Ok(Message::Update(update)) => {
            let strongest = update.faults.iter().map(|fault| fault.disposition).max();
            let faults = update.faults.iter().map(ToString::to_string).collect();
            let verdict = strongest.map_or("valid", |disposition| disposition.as_str());
            (verdict, faults)
        }
        Ok(_) => ("valid", Vec::new()),
    };
    Decoded {
        source: source.map(str::to_owned),
        from: start,
        to: start + octets.len(),
        kind: values::message_type(octets.get(18..).unwrap_or_default()).to_owned(),
        verdict: verdict.to_owned(),
        faults,
        parts: layout::parts(octets, start, decoded.as_ref().ok()),
    }
}

/// Messages one after the other, of one direction. Of what follows the last whole one, a session would
/// wait for more (`incomplete`), or end for it.
fn stream(octets: &[u8], codecs: &[Codec], source: Option<&str>) -> Vec<Decoded> {
    let mut framer = Framer::new();
    framer.set_extended(true);
    framer.push(octets);
    let (mut decoded, mut at) = (Vec::new(), 0);
    loop {
        let next = framer.next();
        if let Ok(Some(octets)) = next {
            decoded.push(message(codecs, &octets, at, source));
            at += octets.len();
            continue;
        }
        let rest = &octets[at..];
        if !rest.is_empty() {
            let mut last = message(codecs, rest, at, source);
            if next.is_ok() {
                "incomplete".clone_into(&mut last.verdict);
                last.faults.clear();
            }
            decoded.push(last);
        }
        return decoded;
    }
}

/// The OPEN that a direction begins with.
fn open_of(octets: &[u8]) -> Option<Open> {
    let mut framer = Framer::new();
    framer.push(octets);
    let first = framer.next().ok()??;
    match Codec::default().decode(&first) {
        Ok(Message::Open(open)) => Some(open),
        _ => None,
    }
}

/// Whether it says that AS numbers have four octets.
fn offers_four_octet_as(open: &Open) -> bool {
    let four = |capability: &Capability| matches!(capability, Capability::FourOctetAs(_));
    open.capabilities.iter().any(four)
}

/// How messages look where these are the OPENs that were seen.
fn codecs(opens: &[Open]) -> Vec<Codec> {
    let codec = Codec {
        four_octet_as: opens.iter().all(offers_four_octet_as),
        ..everything()
    };
    match opens {
        [one, other] => vec![Codec {
            ebgp: one.asn != other.asn,
            ..codec
        }],
        _ => of_either_kind(codec).to_vec(),
    }
}

/// Both directions of each connection. AS numbers have four octets if both sides offer that.
fn from_pcap(file: &[u8]) -> Result<Vec<Decoded>, DecodeError> {
    let streams = pcap::streams(file)?;
    let mut decoded = Vec::new();
    for one in &streams {
        let other = streams
            .iter()
            .find(|s| s.from == one.to && s.to == one.from);
        let both = [Some(one), other].into_iter().flatten();
        let opens: Vec<_> = both.filter_map(|s| open_of(&s.octets)).collect();
        let source = format!("{} to {}", one.from, one.to);
        decoded.extend(stream(&one.octets, &codecs(&opens), Some(&source)));
    }
    Ok(decoded)
}

/// Plain messages, of one direction.
fn plain(octets: &[u8]) -> Vec<Decoded> {
    let open = open_of(octets);
    stream(octets, &codecs(open.as_slice()), None)
}

/// The messages in `BGP4MP` records.
fn from_mrt(file: &[u8]) -> Vec<Decoded> {
    let records = mrt::Records::new(file);
    records.filter_map(|record| from_record(&record)).collect()
}

fn from_record(record: &mrt::Record<'_>) -> Option<Decoded> {
    let (session, said) = mrt::message::read(record)?;
    let Said::Message {
        form,
        received,
        message: octets,
    } = said
    else {
        return None;
    };
    let at = Timestamp::from_second(record.time.seconds.into()).unwrap_or_default();
    let way = if received { "from" } else { "to" };
    let source = format!("{at} {way} {} AS{}", session.peer, session.peer_as);
    let codec = Codec {
        four_octet_as: form.four_octet_as,
        add_path_receive: if form.add_path {
            FamilySet::ALL
        } else {
            FamilySet::EMPTY
        },
        ..everything()
    };
    let start = record.at + record.body.len() - octets.len();
    Some(message(
        &of_either_kind(codec),
        octets,
        start,
        Some(&source),
    ))
}

/// Octets of hex, in which blanks, colons and a leading `0x` count for nothing.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text
        .split_whitespace()
        .map(|word| word.strip_prefix("0x").unwrap_or(word))
        .collect::<String>()
        .replace(':', "");
    let whole = !digits.is_empty() && digits.len().is_multiple_of(2);
    let is_hex = whole && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let octet = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    is_hex.then(|| (0..digits.len()).step_by(2).filter_map(octet).collect())
}

/// Decodes what was typed, if that is hex.
///
/// # Errors
/// [`DecodeError::NeitherFileNorHex`].
pub fn typed(text: &str) -> Result<Vec<Decoded>, DecodeError> {
    match from_hex(text) {
        Some(octets) => Ok(plain(&octets)),
        None => Err(DecodeError::NeitherFileNorHex(text.to_owned())),
    }
}

/// Decodes a file, whatever of the known formats it has.
///
/// # Errors
/// [`DecodeError`].
pub fn file(name: &str, content: &[u8]) -> Result<Vec<Decoded>, DecodeError> {
    let decoded = if pcap::is_pcap(content) {
        from_pcap(content)?
    } else if content.starts_with(&[0xff; 16]) {
        plain(content)
    } else if mrt::is_mrt(content) {
        from_mrt(content)
    } else {
        let text = std::str::from_utf8(content).ok();
        let octets = text.and_then(from_hex);
        let octets = octets.ok_or_else(|| DecodeError::UnknownFormat(name.to_owned()))?;
        plain(&octets)
    };
    if decoded.is_empty() {
        return Err(DecodeError::Empty);
    }
    Ok(decoded)
}

/// As text: a line for the message, one for each fault, one for each part.
#[must_use]
pub fn text(decoded: &Decoded) -> String {
    let Decoded {
        from,
        to,
        kind,
        verdict,
        ..
    } = decoded;
    let source = decoded
        .source
        .as_ref()
        .map(|s| format!("{s}: "))
        .unwrap_or_default();
    let last = to.saturating_sub(1);
    let mut out = format!("{source}{kind}, octets {from}-{last}: {verdict}\n");
    for fault in &decoded.faults {
        let _ = writeln!(out, "  ! {fault}");
    }
    let width = decoded
        .parts
        .iter()
        .map(|part| part.name.len())
        .max()
        .unwrap_or(0);
    for Part {
        from,
        to,
        name,
        says,
    } in &decoded.parts
    {
        let range = format!("{from}-{}", to.saturating_sub(1));
        let line = format!("  {range:>11}  {name:<width$}  {says}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}
