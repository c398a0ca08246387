//! COMMUNITIES (RFC 1997), EXTENDED COMMUNITIES (RFC 4360), LARGE_COMMUNITY (RFC 8092).
//!
//! All three are lists of items of one size, malformed if empty or if an item is cut short (RFC 7606
//! sections 7.8 and 7.14, RFC 8092 section 6). They are sets: kept in order, each item once, so that
//! two routes with the same communities have equal attributes. For large communities RFC 8092
//! section 3 asks receivers for that.

use super::Collected;
use crate::{
    types::{Community, ExtendedCommunity, LargeCommunity},
    wire::{codec::Codec, error::FaultReason},
};

type Outcome = Result<(), FaultReason>;

fn set<const N: usize, T: Ord>(
    value: &[u8],
    item: impl Fn([u8; N]) -> T,
) -> Result<Box<[T]>, FaultReason> {
    let (items, rest) = value.as_chunks::<N>();
    if items.is_empty() || !rest.is_empty() {
        return Err(FaultReason::InvalidLength);
    }
    let mut set: Vec<T> = items.iter().copied().map(item).collect();
    set.sort_unstable();
    set.dedup();
    Ok(set.into())
}

pub(super) fn standard<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    into.attrs.communities = set(value, |item: [u8; 4]| Community(u32::from_be_bytes(item)))?;
    Ok(())
}

pub(super) fn extended<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    into.attrs.extended_communities = set(value, ExtendedCommunity)?;
    Ok(())
}

pub(super) fn large<'a>(_: &Codec, value: &'a [u8], into: &mut Collected<'a>) -> Outcome {
    into.attrs.large_communities = set(value, |item: [u8; 12]| {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = item;
        LargeCommunity {
            global: u32::from_be_bytes([a, b, c, d]),
            local1: u32::from_be_bytes([e, f, g, h]),
            local2: u32::from_be_bytes([i, j, k, l]),
        }
    })?;
    Ok(())
}
