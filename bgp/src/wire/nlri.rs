//! NLRI: a length in bits and as many octets as hold them (RFC 4271 section 4.3), after a path
//! identifier where ADD-PATH was negotiated (RFC 7911 section 3).
//!
//! This is the inner loop of the codec, both ways, so it is generic over the prefix type.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use super::{
    error::ParseError,
    parse::{self, PResult},
};
use crate::types::{Family, Ipv4Prefix, Ipv6Prefix, Nlri, NlriSet, PathId, PrefixKey};

/// A prefix type that NLRI can carry.
pub(crate) trait WirePrefix: PrefixKey {
    /// `None` if `len` is too long for the family. `octets` is as long as `len` asks, host bits and
    /// all: "the value of trailing bits is irrelevant".
    fn from_octets(len: u8, octets: &[u8]) -> Option<Self>;

    /// Appends the octets that `len` asks for.
    fn put_octets(self, out: &mut BytesMut);
}

impl WirePrefix for Ipv4Prefix {
    fn from_octets(len: u8, octets: &[u8]) -> Option<Self> {
        // Most are /24; a copy of a length known beforehand is a move.
        let addr = match *octets {
            [a, b, c] => [a, b, c, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c, d] => [a, b, c, d],
            [a] => [a, 0, 0, 0],
            [] => [0; 4],
            _ => return None,
        };
        Self::new(Ipv4Addr::from(addr), len)
    }

    fn put_octets(self, out: &mut BytesMut) {
        let addr = self.addr().octets();
        out.put_slice(addr.get(..octets_of(self.len())).unwrap_or(&addr));
    }
}

impl WirePrefix for Ipv6Prefix {
    fn from_octets(len: u8, octets: &[u8]) -> Option<Self> {
        let mut addr = [0; 16];
        addr.get_mut(..octets.len())?.copy_from_slice(octets);
        Self::new(Ipv6Addr::from(addr), len)
    }

    fn put_octets(self, out: &mut BytesMut) {
        let addr = self.addr().octets();
        out.put_slice(addr.get(..octets_of(self.len())).unwrap_or(&addr));
    }
}

/// Octets that hold `bits` bits.
fn octets_of(bits: u8) -> usize {
    usize::from(bits.div_ceil(8))
}

fn one<P: WirePrefix>(add_path: bool, input: &[u8]) -> PResult<'_, Nlri<P>> {
    let (input, path_id) = if add_path {
        let (input, id) = parse::u32(input)?;
        (input, PathId(id))
    } else {
        (input, PathId::NONE)
    };
    let (input, len) = parse::u8(input)?;
    let (rest, octets) = parse::octets(octets_of(len))(input)?;
    match P::from_octets(len, octets) {
        Some(prefix) => Ok((rest, Nlri { prefix, path_id })),
        None => Err(nom::Err::Failure(ParseError::invalid(input))),
    }
}

fn list<P: WirePrefix>(add_path: bool, mut input: &[u8]) -> Result<Vec<Nlri<P>>, ParseError> {
    // A guess of typical prefixes: most IPv4 routes are /24, most IPv6 routes /48.
    let typical = 1 + usize::from(P::FAMILY.max_len() / 32 + 2) + if add_path { 4 } else { 0 };
    let mut nlri = Vec::with_capacity(input.len().div_ceil(typical));
    while !input.is_empty() {
        let (rest, item) = one(add_path, input)?;
        nlri.push(item);
        input = rest;
    }
    Ok(nlri)
}

/// Reads a field of NLRI to its end.
pub(crate) fn decode(family: Family, add_path: bool, input: &[u8]) -> Result<NlriSet, ParseError> {
    Ok(match family {
        Family::Ipv4Unicast => NlriSet::V4(list(add_path, input)?),
        Family::Ipv6Unicast => NlriSet::V6(list(add_path, input)?),
    })
}

/// How many of the first items fit into `room` octets, and the octets that they take.
pub(crate) fn fitting<P: PrefixKey>(
    nlri: &[Nlri<P>],
    add_path: bool,
    room: usize,
) -> (usize, usize) {
    let fixed = if add_path { 5 } else { 1 };
    let mut used = 0;
    for (count, item) in nlri.iter().enumerate() {
        let with_item = used + fixed + octets_of(item.prefix.len());
        if with_item > room {
            return (count, used);
        }
        used = with_item;
    }
    (nlri.len(), used)
}

/// Appends `nlri`.
pub(crate) fn put<P: WirePrefix>(nlri: &[Nlri<P>], add_path: bool, out: &mut BytesMut) {
    for item in nlri {
        if add_path {
            out.put_u32(item.path_id.0);
        }
        out.put_u8(item.prefix.len());
        item.prefix.put_octets(out);
    }
}
