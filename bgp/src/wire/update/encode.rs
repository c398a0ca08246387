//! Writing UPDATEs: as few as hold the routes.
//!
//! RFC 7606 section 5.1: an UPDATE "MUST NOT contain more than one of the following: non-empty
//! Withdrawn Routes field, non-empty Network Layer Reachability Information field, MP_REACH_NLRI
//! attribute, and MP_UNREACH_NLRI attribute", and the MP attribute is "the very first path
//! attribute". IPv4 routes with an IPv4 next hop go in the classic fields, everything else by
//! MP_REACH_NLRI. The attributes are written once and copied into each message.

use bytes::{BufMut, BytesMut};

use super::super::{
    attr::{self, mp_reach_header_len, mp_reach_room, mp_unreach_header_len},
    codec::Codec,
    error::EncodeError,
    header::{HEADER_LEN, MessageType, frame},
    nlri::{self, WirePrefix},
};
use crate::types::{Family, NextHop, Nlri, NlriSet, PathAttributes};

/// Octets of a message besides withdrawn routes, attributes and NLRI: the two lengths.
const FIXED: usize = HEADER_LEN + 4;

/// Octets that hold the attributes of most routes.
const TYPICAL: usize = 256;

/// NLRI of this many octets need the long form of an MP attribute's length, whatever else is in it.
const MANY: usize = 255;

/// Packs announcements. See [`Codec::encode_reach`].
pub(crate) fn encode_reach(
    codec: &Codec,
    attrs: &PathAttributes,
    routes: &NlriSet,
    out: &mut BytesMut,
) -> Result<usize, EncodeError> {
    let (messages, _) = encode(codec, attrs, routes, Last::Too, out)?;
    Ok(messages)
}

/// Packs announcements that fill messages. See [`Codec::encode_reach_whole`].
pub(crate) fn encode_reach_whole(
    codec: &Codec,
    attrs: &PathAttributes,
    routes: &NlriSet,
    out: &mut BytesMut,
) -> Result<(usize, usize), EncodeError> {
    encode(codec, attrs, routes, Last::Not, out)
}

/// Whether to write the last message, which may have room for more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Too,
    Not,
}

/// How many messages, and how many routes are in them.
fn encode(
    codec: &Codec,
    attrs: &PathAttributes,
    routes: &NlriSet,
    last: Last,
    out: &mut BytesMut,
) -> Result<(usize, usize), EncodeError> {
    let next_hop = attrs.next_hop.ok_or(EncodeError::NoNextHop)?;
    let family = routes.family();
    let classic = match (family, next_hop) {
        (Family::Ipv4Unicast, NextHop::V4(_)) => true,
        (Family::Ipv4Unicast, _) if codec.extended_next_hop.contains(family) => false,
        (Family::Ipv6Unicast, NextHop::V6(_) | NextHop::V6LinkLocal { .. }) => false,
        _ => return Err(EncodeError::NextHopFamily),
    };
    let mut attributes = Vec::with_capacity(TYPICAL);
    attr::put_attributes(codec, attrs, classic, &mut attributes);
    let room = codec
        .max_update_len()
        .checked_sub(FIXED + attributes.len())
        .and_then(|room| match classic {
            true => Some(room),
            false => mp_reach_room(next_hop, room),
        })
        .ok_or(EncodeError::AttributesTooLong)?;
    let message = Announcement {
        next_hop: (!classic).then_some(next_hop),
        attributes: &attributes,
    };
    match routes {
        NlriSet::V4(list) => message.pack(codec, list, room, last, out),
        NlriSet::V6(list) => message.pack(codec, list, room, last, out),
    }
}

/// What all messages of one call have in common.
struct Announcement<'a> {
    /// The next hop of MP_REACH_NLRI, or `None` for the classic fields.
    next_hop: Option<NextHop>,
    attributes: &'a [u8],
}

impl Announcement<'_> {
    fn pack<P: WirePrefix>(
        &self,
        codec: &Codec,
        mut routes: &[Nlri<P>],
        room: usize,
        last: Last,
        out: &mut BytesMut,
    ) -> Result<(usize, usize), EncodeError> {
        let add_path = codec.add_path_send.contains(P::FAMILY);
        let (start, all) = (out.len(), routes.len());
        let mut messages = 0;
        while !routes.is_empty() {
            let (count, len) = nlri::fitting(routes, add_path, room);
            let (now, rest) = routes.split_at(count);
            if now.is_empty() {
                out.truncate(start);
                return Err(EncodeError::AttributesTooLong);
            }
            if rest.is_empty() && last == Last::Not {
                break;
            }
            self.put(P::FAMILY, len, out, |out| nlri::put(now, add_path, out));
            messages += 1;
            routes = rest;
        }
        Ok((messages, all - routes.len()))
    }

    fn put(
        &self,
        family: Family,
        nlri_len: usize,
        out: &mut BytesMut,
        put_nlri: impl FnOnce(&mut BytesMut),
    ) {
        frame(MessageType::Update, out, |out| {
            out.put_u16(0);
            let Some(next_hop) = self.next_hop else {
                put_len(self.attributes.len(), out);
                out.put_slice(self.attributes);
                put_nlri(out);
                return;
            };
            put_len(
                mp_reach_header_len(next_hop, nlri_len) + nlri_len + self.attributes.len(),
                out,
            );
            attr::put_mp_reach_header(family, next_hop, nlri_len, out);
            put_nlri(out);
            out.put_slice(self.attributes);
        });
    }
}

/// A two-octet length; what does not fit one does not fit a message either.
fn put_len(len: usize, out: &mut BytesMut) {
    out.put_u16(u16::try_from(len).unwrap_or(u16::MAX));
}

/// Packs withdrawals. See [`Codec::encode_unreach`].
pub(crate) fn encode_unreach(codec: &Codec, routes: &NlriSet, out: &mut BytesMut) -> usize {
    match routes {
        NlriSet::V4(list) => pack_withdrawals(codec, list, out),
        NlriSet::V6(list) => pack_withdrawals(codec, list, out),
    }
}

fn pack_withdrawals<P: WirePrefix>(
    codec: &Codec,
    mut routes: &[Nlri<P>],
    out: &mut BytesMut,
) -> usize {
    let add_path = codec.add_path_send.contains(P::FAMILY);
    let classic = P::FAMILY == Family::Ipv4Unicast;
    let mp_header = if classic {
        0
    } else {
        mp_unreach_header_len(MANY)
    };
    let overhead = FIXED + mp_header;
    let room = codec.max_update_len().saturating_sub(overhead);
    let mut messages = 0;
    while !routes.is_empty() {
        let (count, len) = nlri::fitting(routes, add_path, room);
        let (now, rest) = routes.split_at(count.max(1));
        frame(MessageType::Update, out, |out| {
            if classic {
                put_len(len, out);
                nlri::put(now, add_path, out);
                out.put_u16(0);
            } else {
                out.put_u16(0);
                put_len(mp_unreach_header_len(len) + len, out);
                attr::put_mp_unreach_header(P::FAMILY, len, out);
                nlri::put(now, add_path, out);
            }
        });
        messages += 1;
        routes = rest;
    }
    messages
}

/// Appends an End-of-RIB marker. See [`Codec::encode_end_of_rib`].
pub(crate) fn encode_end_of_rib(family: Family, out: &mut BytesMut) {
    frame(MessageType::Update, out, |out| {
        out.put_u16(0);
        if family == Family::Ipv4Unicast {
            out.put_u16(0);
        } else {
            put_len(mp_unreach_header_len(0), out);
            attr::put_mp_unreach_header(family, 0, out);
        }
    });
}
