//! The codec as its users see it: octets in, values out, and back.

mod arbitrary;
mod as4;
mod faults;
mod messages;
mod packing;
mod robustness;
mod round_trip;
mod together;
mod vectors;

use super::{Codec, Framer, Message, Update};
use crate::types::{Family, FamilySet, Nlri, NlriSet, Prefix, PrefixKey};

/// Octets from hexadecimal digits; white space is for the reader.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap())
        .collect();
    assert_eq!(digits.len() % 2, 0, "half an octet in {text:?}");
    digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
}

/// A message of type `kind` around `body`.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0xff; 16];
    message.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    message.push(kind);
    message.extend(body);
    message
}

/// An UPDATE with these fields.
fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for field in [withdrawn, attributes] {
        body.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
        body.extend(field);
    }
    body.extend(nlri);
    message(2, &body)
}

/// Both families, four-octet AS numbers, nothing else.
fn plain(ebgp: bool) -> Codec {
    Codec {
        four_octet_as: true,
        ebgp,
        families: FamilySet::ALL,
        ..Codec::default()
    }
}

fn nlri<P: PrefixKey>(list: &[&str]) -> NlriSet {
    let prefix = |s: &&str| P::from_prefix(s.parse::<Prefix>().unwrap()).unwrap();
    P::into_set(list.iter().map(prefix).map(Nlri::plain).collect())
}

fn decode_update(codec: &Codec, octets: &[u8]) -> Update {
    match codec.decode(octets) {
        Ok(Message::Update(update)) => update,
        other => panic!("{other:?} is not an UPDATE"),
    }
}

/// The messages that `octets` hold, as a connection would deliver them.
fn cut(codec: &Codec, octets: &[u8]) -> Vec<Vec<u8>> {
    let mut framer = Framer::new();
    framer.set_extended(codec.extended_messages);
    framer.push(octets);
    let mut messages = Vec::new();
    while let Some(message) = framer.next().unwrap() {
        messages.push(message.to_vec());
    }
    assert_eq!(framer.buffered(), 0, "half a message");
    messages
}

/// Every item of `sets`, in order.
fn items<'a>(sets: impl IntoIterator<Item = &'a NlriSet>) -> Vec<Nlri<Prefix>> {
    sets.into_iter().flat_map(NlriSet::iter).collect()
}

fn families(list: &[Family]) -> FamilySet {
    list.iter().copied().collect()
}
