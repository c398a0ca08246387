//! Writing attributes.
//!
//! In the order of their codes, as RFC 4271 section 5 asks ("SHOULD order path attributes"); the MP
//! attributes are written by their own functions, first in the message (RFC 7606 section 5.1).
//!
//! Into a [`Vec`] and not a `BytesMut`: most of what is appended is a few octets, for which the latter makes a call.

use super::{code, flag};
use crate::{
    types::{
        Aggregator, AsPath, AsPathSegment, Asn, LargeCommunity, NextHop, PathAttributes,
        SegmentType, UnknownAttribute,
    },
    wire::codec::Codec,
};

/// Most ASes that one segment can hold: its length is one octet.
const SEGMENT_MAX: usize = 255;

const WELL_KNOWN: u8 = flag::TRANSITIVE;
const TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;
const NON_TRANSITIVE: u8 = flag::OPTIONAL;

/// Appends one attribute.
fn put(flags: u8, code: u8, value: &[u8], out: &mut Vec<u8>) {
    put_header(flags, code, value.len(), out);
    out.extend_from_slice(value);
}

/// Appends an attribute up to its value, of which `len` octets must follow. The extended length is used
/// only where it must be, and the four bits without a meaning "MUST be zero when sent" (RFC 4271 section
/// 4.3).
fn put_header(flags: u8, code: u8, len: usize, out: &mut Vec<u8>) {
    let flags = flags & (flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL);
    out.reserve(4 + len);
    match u8::try_from(len) {
        Ok(len) => out.extend_from_slice(&[flags, code, len]),
        Err(_) => {
            out.extend_from_slice(&[flags | flag::EXTENDED_LENGTH, code]);
            // Longer values do not fit any message; the caller finds the whole too long.
            let len = u16::try_from(len).unwrap_or(u16::MAX);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// Appends everything but the MP attributes. `next_hop`: whether NEXT_HOP is among them.
pub(crate) fn put_attributes(
    codec: &Codec,
    attrs: &PathAttributes,
    next_hop: bool,
    out: &mut Vec<u8>,
) {
    put(WELL_KNOWN, code::ORIGIN, &[attrs.origin as u8], out);
    let four_octets = codec.four_octet_as;
    put_path(WELL_KNOWN, code::AS_PATH, &attrs.as_path, four_octets, out);
    if let (Some(NextHop::V4(addr)), true) = (attrs.next_hop, next_hop) {
        put(WELL_KNOWN, code::NEXT_HOP, &addr.octets(), out);
    }
    if let Some(med) = attrs.med {
        let med = med.to_be_bytes();
        put(NON_TRANSITIVE, code::MULTI_EXIT_DISC, &med, out);
    }
    // "A BGP speaker MUST NOT include this attribute in UPDATE messages it sends to external peers"
    // (RFC 4271 section 5.1.5), and an internal peer treats a route without it as withdrawn.
    if !codec.ebgp {
        let local_pref = attrs.effective_local_pref().to_be_bytes();
        put(WELL_KNOWN, code::LOCAL_PREF, &local_pref, out);
    }
    if attrs.atomic_aggregate {
        put(WELL_KNOWN, code::ATOMIC_AGGREGATE, &[], out);
    }
    put_aggregator(codec, attrs, out);
    put_list(
        attrs,
        code::COMMUNITIES,
        &attrs.communities,
        |c| c.0.to_be_bytes(),
        out,
    );
    if !codec.ebgp {
        put_reflection(attrs, out);
    }
    put_rest(codec, attrs, out);
}

/// Everything above CLUSTER_LIST, among which what is passed on unread has its place.
fn put_rest(codec: &Codec, attrs: &PathAttributes, out: &mut Vec<u8>) {
    let mut unknown = Unknown(&attrs.unknown);
    unknown.put_below(code::EXTENDED_COMMUNITIES, out);
    put_list(
        attrs,
        code::EXTENDED_COMMUNITIES,
        &attrs.extended_communities,
        |c| c.0,
        out,
    );
    unknown.put_below(code::AS4_PATH, out);
    put_as4(codec, attrs, out);
    unknown.put_below(code::AIGP, out);
    if let Some(aigp) = &attrs.aigp {
        put(NON_TRANSITIVE, code::AIGP, aigp.octets(), out);
    }
    unknown.put_below(code::LARGE_COMMUNITY, out);
    put_list(
        attrs,
        code::LARGE_COMMUNITY,
        &attrs.large_communities,
        large_octets,
        out,
    );
    unknown.put_below(code::ONLY_TO_CUSTOMER, out);
    if let Some(asn) = attrs.otc {
        let asn = asn.0.to_be_bytes();
        let flags = transitive(attrs, code::ONLY_TO_CUSTOMER);
        put(flags, code::ONLY_TO_CUSTOMER, &asn, out);
    }
    unknown.put_below(u8::MAX, out);
}

/// Attributes that are passed on unread and not yet written, in the order of their codes.
struct Unknown<'a>(&'a [UnknownAttribute]);

impl Unknown<'_> {
    /// Appends those up to `code`.
    fn put_below(&mut self, code: u8, out: &mut Vec<u8>) {
        let count = self.0.partition_point(|unknown| unknown.code <= code);
        let (now, later) = self.0.split_at(count);
        for unknown in now {
            put(unknown.flags, unknown.code, &unknown.value, out);
        }
        self.0 = later;
    }
}

fn large_octets(community: &LargeCommunity) -> [u8; 12] {
    let mut octets = [0; 12];
    let fields = [community.global, community.local1, community.local2];
    for (place, field) in octets.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
        *place = field.to_be_bytes();
    }
    octets
}

fn put_list<T, const N: usize>(
    attrs: &PathAttributes,
    code: u8,
    list: &[T],
    octets: impl Fn(&T) -> [u8; N],
    out: &mut Vec<u8>,
) {
    if !list.is_empty() {
        put_header(transitive(attrs, code), code, N * list.len(), out);
        for item in list {
            out.extend_from_slice(&octets(item));
        }
    }
}

/// The flags of an optional transitive attribute: Partial stays set (RFC 4271 section 5).
const fn transitive(attrs: &PathAttributes, code: u8) -> u8 {
    if attrs.partial.contains(code) {
        TRANSITIVE | flag::PARTIAL
    } else {
        TRANSITIVE
    }
}

/// RFC 4456 section 8; both stay within the AS.
fn put_reflection(attrs: &PathAttributes, out: &mut Vec<u8>) {
    if let Some(id) = attrs.originator_id {
        put(NON_TRANSITIVE, code::ORIGINATOR_ID, &id.0.octets(), out);
    }
    if !attrs.cluster_list.is_empty() {
        let len = 4 * attrs.cluster_list.len();
        put_header(NON_TRANSITIVE, code::CLUSTER_LIST, len, out);
        for id in &attrs.cluster_list {
            out.extend_from_slice(&id.to_be_bytes());
        }
    }
}

fn put_aggregator(codec: &Codec, attrs: &PathAttributes, out: &mut Vec<u8>) {
    let Some(aggregator) = attrs.aggregator else {
        return;
    };
    let flags = transitive(attrs, code::AGGREGATOR);
    let four_octets = codec.four_octet_as;
    put_aggregated(flags, code::AGGREGATOR, aggregator, four_octets, out);
}

fn put_aggregated(
    flags: u8,
    code: u8,
    aggregator: Aggregator,
    four_octets: bool,
    out: &mut Vec<u8>,
) {
    put_header(flags, code, asn_len(four_octets) + 4, out);
    put_asn(aggregator.asn, four_octets, out);
    out.extend_from_slice(&aggregator.addr.octets());
}

/// What a two-octet peer must carry for those behind it (RFC 6793 section 4.2.2).
fn put_as4(codec: &Codec, attrs: &PathAttributes, out: &mut Vec<u8>) {
    let wide = |asn: Asn| asn.0 > u16::MAX.into();
    if codec.four_octet_as {
        return;
    }
    // "Whenever the AS path information contains the AS_CONFED_SEQUENCE or AS_CONFED_SET path
    // segment, the NEW BGP speaker MUST exclude such path segments from the AS4_PATH".
    let mut path = attrs.as_path.clone();
    path.segments
        .retain(|s| matches!(s.kind, SegmentType::Sequence | SegmentType::Set));
    if path.iter().any(wide) {
        put_path(TRANSITIVE, code::AS4_PATH, &path, true, out);
    }
    if let Some(aggregator) = attrs.aggregator.filter(|a| wide(a.asn)) {
        put_aggregated(TRANSITIVE, code::AS4_AGGREGATOR, aggregator, true, out);
    }
}

/// Octets of an AS number.
const fn asn_len(four_octets: bool) -> usize {
    if four_octets { 4 } else { 2 }
}

fn put_asn(asn: Asn, four_octets: bool, out: &mut Vec<u8>) {
    if four_octets {
        out.extend_from_slice(&asn.0.to_be_bytes());
    } else {
        out.extend_from_slice(&asn.to_two_octet().to_be_bytes());
    }
}

fn put_path(flags: u8, code: u8, path: &AsPath, four_octets: bool, out: &mut Vec<u8>) {
    let segment_len = |segment: &AsPathSegment| {
        let count = segment.asns.len();
        2 * count.div_ceil(SEGMENT_MAX) + asn_len(four_octets) * count
    };
    let len = path.segments.iter().map(segment_len).sum();
    put_header(flags, code, len, out);
    for segment in &path.segments {
        put_segment(segment, four_octets, out);
    }
}

/// A segment of more than 255 ASes becomes several.
fn put_segment(segment: &AsPathSegment, four_octets: bool, out: &mut Vec<u8>) {
    for part in segment.asns.chunks(SEGMENT_MAX) {
        let count = u8::try_from(part.len()).unwrap_or(u8::MAX);
        out.extend_from_slice(&[segment.kind as u8, count]);
        for asn in part {
            put_asn(*asn, four_octets, out);
        }
    }
}
