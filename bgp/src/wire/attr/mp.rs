//! MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760), with the next hops of RFC 2545 and RFC 8950.
//!
//! The NLRI inside are only located here; `update::decode` reads them, because a fault elsewhere in
//! the message decides whether they are announced or withdrawn.
//!
//! A next hop of unexpected length hides where the NLRI begin, so it resets the session (RFC 7606
//! section 7.11); one that no host can have does not.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use super::{Collected, code, flag, single::may_be_host};
use crate::{
    types::{Family, NextHop},
    wire::{
        codec::Codec,
        error::{Disposition, FaultReason},
        parse,
    },
};

/// MP_REACH_NLRI of a family that was negotiated.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct MpReach<'a> {
    pub(in super::super) family: Family,
    /// `None` if no host can have it.
    pub(in super::super) next_hop: Option<NextHop>,
    pub(in super::super) nlri: &'a [u8],
}

/// MP_UNREACH_NLRI of a family that was negotiated.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct MpUnreach<'a> {
    pub(in super::super) family: Family,
    pub(in super::super) nlri: &'a [u8],
}

/// The family, if the session carries it. Routes of others are noted and ignored: there is no
/// error in them that this session could have.
fn negotiated(
    codec: &Codec,
    afi: u16,
    safi: u8,
    code: u8,
    into: &mut Collected<'_>,
) -> Option<Family> {
    let family = Family::from_afi_safi(afi, safi).filter(|f| codec.families.contains(*f));
    if family.is_none() {
        into.fault(
            code,
            Disposition::DiscardAttribute,
            FaultReason::FamilyNotNegotiated,
        );
    }
    family
}

/// RFC 4760 section 3.
pub(super) fn reach<'a>(
    codec: &Codec,
    value: &'a [u8],
    into: &mut Collected<'a>,
) -> Result<(), FaultReason> {
    let parts = |input: &'a [u8]| {
        let (input, afi) = parse::u16(input)?;
        let (input, safi) = parse::u8(input)?;
        let (input, next_hop) = parse::sized_u8(input)?;
        // "A 1 octet field that MUST be set to 0, and SHOULD be ignored upon receipt."
        let (nlri, _reserved) = parse::u8(input)?;
        Ok((nlri, (afi, safi, next_hop)))
    };
    let parsed: parse::PResult<'_, _> = parts(value);
    let (nlri, (afi, safi, octets)) = parsed.map_err(|_| FaultReason::InvalidLength)?;
    let Some(family) = negotiated(codec, afi, safi, code::MP_REACH_NLRI, into) else {
        return Ok(());
    };
    let next_hop = next_hop(codec, family, octets)?;
    if next_hop.is_none() && !nlri.is_empty() {
        let reason = FaultReason::InvalidNextHop;
        into.fault(code::MP_REACH_NLRI, Disposition::TreatAsWithdraw, reason);
    }
    into.mp_reach = Some(MpReach {
        family,
        next_hop,
        nlri,
    });
    Ok(())
}

/// The next hop, or `None` if no host can have it.
fn next_hop(codec: &Codec, family: Family, octets: &[u8]) -> Result<Option<NextHop>, FaultReason> {
    let v6_allowed = family == Family::Ipv6Unicast || codec.extended_next_hop.contains(family);
    if let Ok(v4) = <[u8; 4]>::try_from(octets)
        && family == Family::Ipv4Unicast
    {
        let addr = Ipv4Addr::from(v4);
        return Ok(may_be_host(addr).then_some(NextHop::V4(addr)));
    }
    let (addrs, rest) = octets.as_chunks::<16>();
    if !v6_allowed || !rest.is_empty() {
        return Err(FaultReason::InvalidNextHopLength);
    }
    match *addrs {
        [one] => Ok(one_v6(one.into())),
        [global, link_local] => Ok(two_v6(global.into(), link_local.into())),
        _ => Err(FaultReason::InvalidNextHopLength),
    }
}

fn is_host(addr: Ipv6Addr) -> bool {
    !addr.is_unspecified() && !addr.is_loopback() && !addr.is_multicast()
}

fn one_v6(addr: Ipv6Addr) -> Option<NextHop> {
    let next_hop = if addr.is_unicast_link_local() {
        NextHop::V6LinkLocal {
            global: addr,
            link_local: addr,
        }
    } else {
        NextHop::V6(addr)
    };
    is_host(addr).then_some(next_hop)
}

/// RFC 2545 section 3: global, then link-local. Some speakers send no global one on an unnumbered
/// link, and some an unspecified link-local one.
fn two_v6(global: Ipv6Addr, link_local: Ipv6Addr) -> Option<NextHop> {
    if !link_local.is_unicast_link_local() {
        return one_v6(global);
    }
    let global = if global.is_unspecified() {
        link_local
    } else {
        global
    };
    is_host(global).then_some(NextHop::V6LinkLocal { global, link_local })
}

/// RFC 4760 section 4.
pub(super) fn unreach<'a>(
    codec: &Codec,
    value: &'a [u8],
    into: &mut Collected<'a>,
) -> Result<(), FaultReason> {
    let parts = |input: &'a [u8]| {
        let (input, afi) = parse::u16(input)?;
        let (nlri, safi) = parse::u8(input)?;
        Ok((nlri, (afi, safi)))
    };
    let parsed: parse::PResult<'_, _> = parts(value);
    let (nlri, (afi, safi)) = parsed.map_err(|_| FaultReason::InvalidLength)?;
    if let Some(family) = negotiated(codec, afi, safi, code::MP_UNREACH_NLRI, into) {
        into.mp_unreach = Some(MpUnreach { family, nlri });
    }
    Ok(())
}

/// Octets of an attribute before its value: flags, code, and a length of two octets where one is
/// too short.
const fn header_len(value_len: usize) -> usize {
    if value_len > 255 { 4 } else { 3 }
}

/// Appends MP_REACH_NLRI up to the NLRI; `nlri_len` octets of those must follow.
pub(in super::super) fn put_mp_reach_header(
    family: Family,
    next_hop: NextHop,
    nlri_len: usize,
    out: &mut BytesMut,
) {
    let octets = next_hop_octets(next_hop);
    put_header(
        code::MP_REACH_NLRI,
        family,
        octets.len() + 2 + nlri_len,
        out,
    );
    out.put_u8(u8::try_from(octets.len()).unwrap_or(u8::MAX));
    out.put_slice(&octets);
    out.put_u8(0);
}

/// Appends MP_REACH_NLRI with nothing but the next hop, as tables have it (RFC 6396 section 4.3.4).
pub(crate) fn put_next_hop_alone(next_hop: NextHop, out: &mut Vec<u8>) {
    let octets = next_hop_octets(next_hop);
    let len = u8::try_from(octets.len()).unwrap_or(u8::MAX);
    out.extend_from_slice(&[
        flag::OPTIONAL,
        code::MP_REACH_NLRI,
        len.saturating_add(1),
        len,
    ]);
    out.extend_from_slice(&octets);
}

/// Octets that [`put_mp_reach_header`] appends.
pub(in super::super) fn mp_reach_header_len(next_hop: NextHop, nlri_len: usize) -> usize {
    let fixed = 3 + 2 + next_hop_octets(next_hop).len();
    header_len(fixed + nlri_len) + fixed
}

/// The most octets of NLRI that fit with MP_REACH_NLRI around them into `room` octets.
pub(in super::super) fn mp_reach_room(next_hop: NextHop, room: usize) -> Option<usize> {
    let fixed = mp_reach_header_len(next_hop, 0);
    let nlri = room.checked_sub(fixed)?;
    // More NLRI than the short length can count make the header one octet longer.
    Some(nlri - (mp_reach_header_len(next_hop, nlri) - fixed))
}

/// Appends MP_UNREACH_NLRI up to the NLRI; `nlri_len` octets of those must follow.
pub(in super::super) fn put_mp_unreach_header(family: Family, nlri_len: usize, out: &mut BytesMut) {
    put_header(code::MP_UNREACH_NLRI, family, nlri_len, out);
}

/// Octets that [`put_mp_unreach_header`] appends.
pub(in super::super) const fn mp_unreach_header_len(nlri_len: usize) -> usize {
    header_len(3 + nlri_len) + 3
}

fn put_header(code: u8, family: Family, rest: usize, out: &mut BytesMut) {
    match u8::try_from(3 + rest) {
        Ok(len) => out.put_slice(&[flag::OPTIONAL, code, len]),
        Err(_) => {
            out.put_slice(&[flag::OPTIONAL | flag::EXTENDED_LENGTH, code]);
            out.put_u16(u16::try_from(3 + rest).unwrap_or(u16::MAX));
        }
    }
    out.put_u16(family.afi());
    out.put_u8(family.safi());
}

fn next_hop_octets(next_hop: NextHop) -> smallvec::SmallVec<[u8; 32]> {
    match next_hop {
        NextHop::V4(addr) => addr.octets().into_iter().collect(),
        NextHop::V6(addr) => addr.octets().into_iter().collect(),
        NextHop::V6LinkLocal { global, link_local } if global == link_local => {
            link_local.octets().into_iter().collect()
        }
        NextHop::V6LinkLocal { global, link_local } => global
            .octets()
            .into_iter()
            .chain(link_local.octets())
            .collect(),
    }
}
