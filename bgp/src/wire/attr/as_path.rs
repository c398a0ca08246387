//! AS_PATH and AGGREGATOR, and what carries their four-octet numbers past a speaker that does not
//! know them: AS4_PATH and AS4_AGGREGATOR (RFC 6793).
//!
//! RFC 7606 section 7.2 says when an AS_PATH is malformed; RFC 7607 section 2 adds AS number zero,
//! RFC 5065 section 5 confederation segments from outside the confederation (Redstart is in none).

use std::net::Ipv4Addr;

use smallvec::SmallVec;

use super::Collected;
use crate::{
    types::{Aggregator, AsPath, AsPathSegment, Asn, SegmentType},
    wire::{codec::Codec, error::FaultReason},
};

type Outcome = Result<(), FaultReason>;

pub(super) fn as_path<'a>(codec: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    let path = segments(value, codec.four_octet_as)?;
    if path.segments.iter().any(|s| is_confederation(s.kind)) {
        return Err(FaultReason::ConfederationSegment);
    }
    into.attrs.as_path = path;
    Ok(())
}

/// RFC 6793 section 6: confederation segments in AS4_PATH are discarded, the rest is used. An empty
/// one is malformed, other than an empty AS_PATH.
pub(super) fn as4_path<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    let mut path = segments(value, true)?;
    if path.segments.is_empty() {
        return Err(FaultReason::InvalidLength);
    }
    path.segments.retain(|s| !is_confederation(s.kind));
    into.as4_path = Some(path);
    Ok(())
}

const fn is_confederation(kind: SegmentType) -> bool {
    matches!(kind, SegmentType::ConfedSequence | SegmentType::ConfedSet)
}

fn segments(mut value: &[u8], four_octets: bool) -> Result<AsPath, FaultReason> {
    let mut path = AsPath::EMPTY;
    while !value.is_empty() {
        let (segment, rest) = segment(value, four_octets)?;
        path.segments.push(segment);
        value = rest;
    }
    Ok(path)
}

fn segment(value: &[u8], four_octets: bool) -> Result<(AsPathSegment, &[u8]), FaultReason> {
    let &[kind, count, ref rest @ ..] = value else {
        return Err(FaultReason::MalformedSegment);
    };
    let kind = match kind {
        1 => SegmentType::Set,
        2 => SegmentType::Sequence,
        3 => SegmentType::ConfedSequence,
        4 => SegmentType::ConfedSet,
        _ => return Err(FaultReason::MalformedSegment),
    };
    let size = if four_octets { 4 } else { 2 };
    let (octets, rest) = rest
        .split_at_checked(usize::from(count) * size)
        .filter(|(octets, _)| !octets.is_empty())
        .ok_or(FaultReason::MalformedSegment)?;
    let asns: SmallVec<[Asn; 6]> = if four_octets {
        octets
            .as_chunks()
            .0
            .iter()
            .map(|n| Asn(u32::from_be_bytes(*n)))
            .collect()
    } else {
        octets
            .as_chunks()
            .0
            .iter()
            .map(|n| Asn(u16::from_be_bytes(*n).into()))
            .collect()
    };
    if asns.iter().any(|asn| asn.is_zero()) {
        return Err(FaultReason::AsZero);
    }
    Ok((AsPathSegment { kind, asns }, rest))
}

/// RFC 4271 section 5.1.7, RFC 7606 section 7.7.
pub(super) fn aggregator<'a>(codec: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    let aggregator = match *value {
        [a, b, c, d, ref addr @ ..] if codec.four_octet_as => {
            aggregated(u32::from_be_bytes([a, b, c, d]), addr)?
        }
        [a, b, ref addr @ ..] if !codec.four_octet_as => {
            aggregated(u16::from_be_bytes([a, b]).into(), addr)?
        }
        _ => return Err(FaultReason::InvalidLength),
    };
    into.attrs.aggregator = Some(aggregator);
    Ok(())
}

pub(super) fn as4_aggregator<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    let &[a, b, c, d, ref addr @ ..] = value else {
        return Err(FaultReason::InvalidLength);
    };
    into.as4_aggregator = Some(aggregated(u32::from_be_bytes([a, b, c, d]), addr)?);
    Ok(())
}

fn aggregated(asn: u32, addr: &[u8]) -> Result<Aggregator, FaultReason> {
    let addr: [u8; 4] = addr.try_into().map_err(|_| FaultReason::InvalidLength)?;
    if asn == 0 {
        return Err(FaultReason::AsZero);
    }
    Ok(Aggregator {
        asn: Asn(asn),
        addr: Ipv4Addr::from(addr),
    })
}

/// Puts the four-octet numbers back (RFC 6793 section 4.2.3).
pub(in super::super) fn merge_as4(collected: &mut Collected<'_>) {
    let (path, aggregator) = (collected.as4_path.take(), collected.as4_aggregator.take());
    // Both aggregators, and the AS number in AGGREGATOR is not AS_TRANS: then "the AS4_AGGREGATOR
    // attribute and the AS4_PATH attribute SHALL be ignored", because somebody who does not know
    // them has aggregated since.
    if let (Some(old), Some(new)) = (&mut collected.attrs.aggregator, aggregator) {
        if old.asn != Asn::TRANS {
            return;
        }
        *old = new;
    }
    if let Some(path) = path {
        collected.attrs.as_path = merged(&collected.attrs.as_path, path);
    }
}

/// The leading ASes of `path` that `as4` does not know, then `as4`.
fn merged(path: &AsPath, as4: AsPath) -> AsPath {
    // "If the number of AS numbers in the AS_PATH attribute is less than the number of AS
    // numbers in the AS4_PATH attribute, then the AS4_PATH attribute SHALL be ignored".
    let Some(mut lead) = path.hop_count().checked_sub(as4.hop_count()) else {
        return path.clone();
    };
    let mut result = AsPath::EMPTY;
    for segment in &path.segments {
        if lead == 0 {
            break;
        }
        let hops = if segment.kind == SegmentType::Set {
            1
        } else {
            segment.asns.len()
        };
        let mut kept = segment.clone();
        if hops > lead {
            kept.asns.truncate(lead);
        }
        lead -= hops.min(lead);
        result.segments.push(kept);
    }
    // Where a sequence meets a sequence they are one: what the sender had.
    let mut rest = as4.segments.into_iter().peekable();
    if let (Some(last), Some(first)) = (result.segments.last_mut(), rest.peek())
        && last.kind == SegmentType::Sequence
        && first.kind == SegmentType::Sequence
    {
        last.asns.extend_from_slice(&first.asns);
        rest.next();
    }
    result.segments.extend(rest);
    result
}
