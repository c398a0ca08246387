//! Attributes with one value of fixed form.

use std::net::Ipv4Addr;

use super::{Collected, exactly};
use crate::{
    types::{Asn, Origin, RouterId},
    wire::{codec::Codec, error::FaultReason},
};

type Outcome = Result<(), FaultReason>;

/// RFC 4271 section 5.1.1, RFC 7606 section 7.1.
pub(super) fn origin<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    into.attrs.origin = match exactly::<1>(value)? {
        [0] => Origin::Igp,
        [1] => Origin::Egp,
        [2] => Origin::Incomplete,
        _ => return Err(FaultReason::InvalidOrigin),
    };
    Ok(())
}

/// RFC 4271 section 5.1.3, RFC 7606 section 7.3. Here only syntax is judged: whether the value
/// "represents a valid IP host address" (RFC 4271 section 6.3). Whether it is one of ours is known
/// to the RIB.
pub(super) fn next_hop<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    let addr = Ipv4Addr::from(exactly::<4>(value)?);
    if !may_be_host(addr) {
        return Err(FaultReason::InvalidNextHop);
    }
    into.next_hop = Some(addr);
    Ok(())
}

/// Whether a host can have the address: not 0/8, loopback, multicast or class E.
pub(super) fn may_be_host(addr: Ipv4Addr) -> bool {
    let [first, ..] = addr.octets();
    first != 0 && first != 127 && first < 224
}

/// RFC 4271 section 5.1.4, RFC 7606 section 7.4.
pub(super) fn med<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    into.attrs.med = Some(u32::from_be_bytes(exactly(value)?));
    Ok(())
}

/// RFC 4271 section 5.1.5, RFC 7606 section 7.5.
pub(super) fn local_pref<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    into.attrs.local_pref = Some(u32::from_be_bytes(exactly(value)?));
    Ok(())
}

/// RFC 4271 section 5.1.6, RFC 7606 section 7.6.
pub(super) fn atomic_aggregate<'a>(
    _: &Codec,
    value: &'a [u8],
    into: &mut Collected<'a>,
) -> Outcome {
    let [] = exactly::<0>(value)?;
    into.attrs.atomic_aggregate = true;
    Ok(())
}

/// RFC 9234 section 5: "The OTC Attribute is considered malformed if the length value is not 4. An
/// UPDATE message with a malformed OTC Attribute SHALL be handled using the approach of
/// 'treat-as-withdraw'". Four octets, whatever the width of AS numbers on the session. Zero is
/// handled so too: no AS can have said it (RFC 7607).
pub(super) fn only_to_customer<'a>(
    _: &Codec,
    value: &'a [u8],
    into: &mut Collected<'a>,
) -> Outcome {
    let asn = Asn(u32::from_be_bytes(exactly(value)?));
    if asn.is_zero() {
        return Err(FaultReason::AsZero);
    }
    into.attrs.otc = Some(asn);
    Ok(())
}

/// RFC 4456 section 8, RFC 7606 section 7.9.
pub(super) fn originator_id<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    into.attrs.originator_id = Some(RouterId::from_u32(u32::from_be_bytes(exactly(value)?)));
    Ok(())
}

/// RFC 4456 section 8, RFC 7606 section 7.10.
pub(super) fn cluster_list<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    let (ids, rest) = value.as_chunks::<4>();
    if ids.is_empty() || !rest.is_empty() {
        return Err(FaultReason::InvalidLength);
    }
    into.attrs.cluster_list = ids.iter().copied().map(u32::from_be_bytes).collect();
    Ok(())
}
