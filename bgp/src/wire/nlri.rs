//! NLRI: a length in bits and as many octets as hold them (RFC 4271 section 4.3), after a path
//! identifier where ADD-PATH was negotiated (RFC 7911 section 3).
//!
//! This is the inner loop of the codec, both ways, so it is generic over the prefix type, and reads
//! slices without nom: what can go wrong is one thing, and where does not matter.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use super::error::ParseError;
use crate::types::{Ipv4Prefix, Ipv6Prefix, Nlri, PathId, Prefix, PrefixKey};

/// A prefix type that NLRI can carry.
pub(crate) trait WirePrefix: PrefixKey {
    /// `None` if `len` is too long for the family. `octets` is as long as `len` asks, host bits and
    /// all: "the value of trailing bits is irrelevant".
    fn from_octets(len: u8, octets: &[u8]) -> Option<Self>;

    /// Its length, and the octets that this asks for: how many octets these are at the start of `room`, which
    /// is long enough for any.
    fn put(self, room: &mut [u8]) -> usize;
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

    fn put(self, room: &mut [u8]) -> usize {
        // To write all five octets is quicker than a copy of unknown length.
        if let Some(room) = room.first_chunk_mut() {
            let [a, b, c, d] = self.addr().octets();
            *room = [self.len(), a, b, c, d];
        }
        1 + octets_of(self.len())
    }
}

impl WirePrefix for Ipv6Prefix {
    fn from_octets(len: u8, octets: &[u8]) -> Option<Self> {
        let mut addr = [0; 16];
        addr.get_mut(..octets.len())?.copy_from_slice(octets);
        Self::new(Ipv6Addr::from(addr), len)
    }

    fn put(self, room: &mut [u8]) -> usize {
        if let [len, room @ ..] = room
            && let Some(room) = room.first_chunk_mut()
        {
            *len = self.len();
            *room = self.addr().octets();
        }
        1 + octets_of(self.len())
    }
}

/// Octets that hold `bits` bits.
fn octets_of(bits: u8) -> usize {
    usize::from(bits.div_ceil(8))
}

/// The first item and what follows it; `None` if octets are missing or the length is too long.
fn one<P: WirePrefix>(add_path: bool, input: &[u8]) -> Option<(Nlri<P>, &[u8])> {
    let (path_id, input) = if add_path {
        let (id, input) = input.split_first_chunk()?;
        (PathId(u32::from_be_bytes(*id)), input)
    } else {
        (PathId::NONE, input)
    };
    let (&len, input) = input.split_first()?;
    let (octets, rest) = input.split_at_checked(octets_of(len))?;
    let prefix = P::from_octets(len, octets)?;
    Some((Nlri { prefix, path_id }, rest))
}

/// Reads a field of NLRI to its end, and appends what is in it.
pub(crate) fn decode<P: WirePrefix>(
    add_path: bool,
    mut input: &[u8],
    into: &mut Vec<Nlri<P>>,
) -> Result<(), ParseError> {
    while !input.is_empty() {
        let (item, rest) = one(add_path, input).ok_or_else(|| ParseError::invalid(input))?;
        into.push(item);
        input = rest;
    }
    Ok(())
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

/// Octets of the longest item: a path identifier, a length, an address of IPv6.
const LONGEST: usize = 4 + 1 + 16;

/// Appends `nlri`.
pub(crate) fn put<P: WirePrefix>(nlri: &[Nlri<P>], add_path: bool, out: &mut BytesMut) {
    // Appended in pieces: each time it has to be seen whether there is room.
    const PIECE: usize = 16;
    let mut piece = [0; PIECE * LONGEST];
    for items in nlri.chunks(PIECE) {
        let mut used = 0;
        for item in items {
            let room = piece.get_mut(used..).unwrap_or_default();
            if add_path && let Some(path_id) = room.first_chunk_mut() {
                *path_id = item.path_id.0.to_be_bytes();
                used += path_id.len();
            }
            let room = piece.get_mut(used..).unwrap_or_default();
            used += item.prefix.put(room);
        }
        out.put_slice(piece.get(..used).unwrap_or_default());
    }
}

/// Appends a prefix alone.
pub(crate) fn put_prefix(prefix: Prefix, out: &mut BytesMut) {
    let mut octets = [0; LONGEST];
    let len = match prefix {
        Prefix::V4(prefix) => prefix.put(&mut octets),
        Prefix::V6(prefix) => prefix.put(&mut octets),
    };
    out.put_slice(octets.get(..len).unwrap_or_default());
}
