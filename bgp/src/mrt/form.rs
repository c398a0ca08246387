//! How a message looks, which is a matter of its session: the subtype of a record says so (RFC 6396
//! section 4.4, RFC 8050 section 3).

use crate::{
    types::{Family, FamilySet},
    wire::{
        Codec,
        parse::{self, PResult},
    },
};

const UPDATE: u8 = 2;
const TYPE_AT: usize = 18;

/// An attribute whose length has two octets.
const EXTENDED_LENGTH: u8 = 0x10;
const MP_REACH_NLRI: u8 = 14;
const MP_UNREACH_NLRI: u8 = 15;

/// How the messages of a session look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// AS numbers have four octets (RFC 6793).
    pub four_octet_as: bool,
    /// NLRI have path identifiers (RFC 7911).
    pub add_path: bool,
}

impl Form {
    /// That of a message which the neighbour sent, or, if not `received`, of one of our own. Whether its
    /// NLRI have path identifiers is asked of the families that are in it: a session may have them in one
    /// family alone.
    #[must_use]
    pub fn of(codec: &Codec, received: bool, message: &[u8]) -> Self {
        let with_ids = match received {
            true => codec.add_path_receive,
            false => codec.add_path_send,
        };
        let is_update = message.get(TYPE_AT) == Some(&UPDATE);
        let with_ids = |family| with_ids.contains(family);
        Self {
            four_octet_as: codec.four_octet_as,
            add_path: is_update && families(message).iter().any(with_ids),
        }
    }

    /// The subtype of a message that the neighbour sent, or, if not `received`, of one of our own.
    pub(super) const fn subtype(self, received: bool) -> u16 {
        match (self.add_path, self.four_octet_as, received) {
            (false, false, true) => 1,
            (false, true, true) => 4,
            (false, false, false) => 6,
            (false, true, false) => 7,
            (true, false, true) => 8,
            (true, true, true) => 9,
            (true, false, false) => 10,
            (true, true, false) => 11,
        }
    }

    /// What a subtype says; nothing where it is not of a message.
    pub(super) const fn of_subtype(subtype: u16) -> Option<(Self, bool)> {
        let (four_octet_as, received) = match subtype {
            1 | 8 => (false, true),
            4 | 9 => (true, true),
            6 | 10 => (false, false),
            7 | 11 => (true, false),
            _ => return None,
        };
        let form = Self {
            four_octet_as,
            add_path: subtype >= 8,
        };
        Some((form, received))
    }
}

/// The families of the routes in an UPDATE, as far as it can be read.
fn families(message: &[u8]) -> FamilySet {
    let mut families = FamilySet::EMPTY;
    // What is malformed from somewhere on has said enough before.
    let _ = note_families(message, &mut families);
    families
}

fn note_families<'m>(message: &'m [u8], families: &mut FamilySet) -> PResult<'m, ()> {
    let (input, _header) = parse::octets(TYPE_AT + 1)(message)?;
    let (input, withdrawn) = parse::sized_u16(input)?;
    if !withdrawn.is_empty() {
        families.insert(Family::Ipv4Unicast);
    }
    let (nlri, mut attributes) = parse::sized_u16(input)?;
    if !nlri.is_empty() {
        families.insert(Family::Ipv4Unicast);
    }
    while !attributes.is_empty() {
        let (input, flags) = parse::u8(attributes)?;
        let (input, kind) = parse::u8(input)?;
        let (rest, value) = match flags & EXTENDED_LENGTH {
            0 => parse::sized_u8(input)?,
            _ => parse::sized_u16(input)?,
        };
        if matches!(kind, MP_REACH_NLRI | MP_UNREACH_NLRI) {
            let (value, afi) = parse::u16(value)?;
            let (_, safi) = parse::u8(value)?;
            let family = Family::from_afi_safi(afi, safi);
            family
                .into_iter()
                .for_each(|family| families.insert(family));
        }
        attributes = rest;
    }
    Ok((attributes, ()))
}
