//! Attribute sets as octets: the form in which a table keeps them.
//!
//! A decoded [`PathAttributes`] takes some 300 octets and several allocations, most of it for what a
//! route does not have. A table with a million routes has 140 000 sets of them, twice: as they were
//! received, and as neighbours were told. Packed, a set is some fifty octets; two sets are equal if
//! their octets are, and are hashed as one slice.
//!
//! What is packed never leaves the process, so the form is private and nothing checks it: two octets
//! say what is there, then come the values in that order. Numbers are little-endian; counts take one
//! octet up to 127.

use std::net::{Ipv4Addr, Ipv6Addr};

use redstart_bgp::types::{
    Aggregator, Aigp, AsPath, AsPathSegment, Asn, Community, ExtendedCommunity, LargeCommunity,
    NextHop, Origin, PartialAttributes, PathAttributes, RouterId, SegmentType, UnknownAttribute,
};

/// What is there, bit by bit. The lowest two bits are ORIGIN.
mod has {
    pub(super) const ATOMIC_AGGREGATE: u16 = 1 << 2;
    pub(super) const MED: u16 = 1 << 3;
    pub(super) const LOCAL_PREF: u16 = 1 << 4;
    pub(super) const NEXT_HOP_V4: u16 = 1 << 5;
    pub(super) const NEXT_HOP_V6: u16 = 1 << 6;
    pub(super) const LINK_LOCAL: u16 = 1 << 7;
    pub(super) const AGGREGATOR: u16 = 1 << 8;
    pub(super) const ORIGINATOR_ID: u16 = 1 << 9;
    pub(super) const CLUSTER_LIST: u16 = 1 << 10;
    pub(super) const COMMUNITIES: u16 = 1 << 11;
    pub(super) const EXTENDED: u16 = 1 << 12;
    pub(super) const LARGE: u16 = 1 << 13;
    /// AIGP, OTC, Partial bits, or attributes passed on unread.
    pub(super) const RARE: u16 = 1 << 14;
    /// The path is one AS_SEQUENCE: its kind and the number of segments are left out.
    pub(super) const ONE_SEQUENCE: u16 = 1 << 15;
}

/// Appends `attrs`, packed.
pub(crate) fn pack(attrs: &PathAttributes, out: &mut Vec<u8>) {
    let head = what_is_there(attrs);
    put(out, head.to_le_bytes());
    for number in [attrs.med, attrs.local_pref].into_iter().flatten() {
        put(out, number.to_le_bytes());
    }
    match attrs.next_hop {
        None => {}
        Some(NextHop::V4(addr)) => put(out, addr.octets()),
        Some(NextHop::V6(addr)) => put(out, addr.octets()),
        Some(NextHop::V6LinkLocal { global, link_local }) => {
            put(out, global.octets());
            put(out, link_local.octets());
        }
    }
    put_path(&attrs.as_path, head & has::ONE_SEQUENCE != 0, out);
    if let Some(aggregator) = attrs.aggregator {
        put(out, aggregator.asn.0.to_le_bytes());
        put(out, aggregator.addr.octets());
    }
    if let Some(id) = attrs.originator_id {
        put(out, id.0.octets());
    }
    put_list(&attrs.cluster_list, |id| id.to_le_bytes(), out);
    put_list(&attrs.communities, |c| c.0.to_le_bytes(), out);
    put_list(&attrs.extended_communities, |c| c.0, out);
    put_list(&attrs.large_communities, large_octets, out);
    if head & has::RARE != 0 {
        put_rare(attrs, out);
    }
}

/// What [`pack`] packed.
pub(crate) fn unpack(octets: &[u8]) -> PathAttributes {
    let mut from = Reader(octets);
    let head = u16::from_le_bytes(from.array());
    let there = |bit: u16| head & bit != 0;
    let mut attrs = PathAttributes {
        origin: match head & 3 {
            0 => Origin::Igp,
            1 => Origin::Egp,
            _ => Origin::Incomplete,
        },
        atomic_aggregate: there(has::ATOMIC_AGGREGATE),
        med: there(has::MED).then(|| from.u32()),
        local_pref: there(has::LOCAL_PREF).then(|| from.u32()),
        next_hop: from.next_hop(head),
        as_path: from.path(there(has::ONE_SEQUENCE)),
        aggregator: there(has::AGGREGATOR).then(|| Aggregator {
            asn: Asn(from.u32()),
            addr: from.array::<4>().into(),
        }),
        originator_id: there(has::ORIGINATOR_ID).then(|| RouterId(from.array::<4>().into())),
        ..PathAttributes::default()
    };
    if there(has::CLUSTER_LIST) {
        attrs.cluster_list = from.list(u32::from_le_bytes);
    }
    if there(has::COMMUNITIES) {
        attrs.communities = from.list(|octets| Community(u32::from_le_bytes(octets)));
    }
    if there(has::EXTENDED) {
        attrs.extended_communities = from.list(ExtendedCommunity);
    }
    if there(has::LARGE) {
        attrs.large_communities = from.list(large_community);
    }
    if there(has::RARE) {
        from.rare(&mut attrs);
    }
    attrs
}

/// The next hop of a set that is packed.
pub(crate) fn next_hop(octets: &[u8]) -> Option<NextHop> {
    let mut from = Reader(octets);
    let head = from.skip_to_next_hop();
    from.next_hop(head)
}

/// Whether an AS is in the path of a set that is packed.
pub(crate) fn has_passed(octets: &[u8], asn: Asn) -> bool {
    let mut from = Reader(octets);
    let head = from.skip_to_next_hop();
    from.next_hop(head);
    let one_sequence = head & has::ONE_SEQUENCE != 0;
    let segments = if one_sequence { 1 } else { from.count() };
    let sought = asn.0.to_le_bytes();
    (0..segments).any(|_| {
        if !one_sequence {
            from.u8();
        }
        let count = from.count();
        from.octets(4 * count).as_chunks().0.contains(&sought)
    })
}

fn what_is_there(attrs: &PathAttributes) -> u16 {
    let one_sequence = matches!(
        attrs.as_path.segments.as_slice(),
        [only] if only.kind == SegmentType::Sequence
    );
    let next_hop = match attrs.next_hop {
        None => 0,
        Some(NextHop::V4(_)) => has::NEXT_HOP_V4,
        Some(NextHop::V6(_)) => has::NEXT_HOP_V6,
        Some(NextHop::V6LinkLocal { .. }) => has::NEXT_HOP_V6 | has::LINK_LOCAL,
    };
    let rare = attrs.aigp.is_some()
        || attrs.otc.is_some()
        || attrs.partial != PartialAttributes::default()
        || !attrs.unknown.is_empty();
    let bits = [
        (attrs.atomic_aggregate, has::ATOMIC_AGGREGATE),
        (attrs.med.is_some(), has::MED),
        (attrs.local_pref.is_some(), has::LOCAL_PREF),
        (attrs.aggregator.is_some(), has::AGGREGATOR),
        (attrs.originator_id.is_some(), has::ORIGINATOR_ID),
        (!attrs.cluster_list.is_empty(), has::CLUSTER_LIST),
        (!attrs.communities.is_empty(), has::COMMUNITIES),
        (!attrs.extended_communities.is_empty(), has::EXTENDED),
        (!attrs.large_communities.is_empty(), has::LARGE),
        (rare, has::RARE),
        (one_sequence, has::ONE_SEQUENCE),
    ];
    let there = bits.into_iter().filter(|(there, _)| *there);
    there.fold(attrs.origin as u16 | next_hop, |head, (_, bit)| head | bit)
}

fn put<const N: usize>(out: &mut Vec<u8>, octets: [u8; N]) {
    out.extend_from_slice(&octets);
}

/// Seven bits at a time, the lowest first; all but the last with the highest bit set.
fn put_count(mut count: usize, out: &mut Vec<u8>) {
    while count > 0x7f {
        out.push(0x80 | count.to_le_bytes()[0]);
        count >>= 7;
    }
    out.push(count.to_le_bytes()[0]);
}

/// Appends a list that is there; an empty one is not.
fn put_list<T, const N: usize>(list: &[T], octets: impl Fn(&T) -> [u8; N], out: &mut Vec<u8>) {
    if !list.is_empty() {
        put_count(list.len(), out);
        for item in list {
            put(out, octets(item));
        }
    }
}

fn put_octets(octets: &[u8], out: &mut Vec<u8>) {
    put_count(octets.len(), out);
    out.extend_from_slice(octets);
}

fn put_path(path: &AsPath, one_sequence: bool, out: &mut Vec<u8>) {
    if !one_sequence {
        put_count(path.segments.len(), out);
    }
    for segment in &path.segments {
        if !one_sequence {
            out.push(segment.kind as u8);
        }
        put_count(segment.asns.len(), out);
        for asn in &segment.asns {
            put(out, asn.0.to_le_bytes());
        }
    }
}

fn put_rare(attrs: &PathAttributes, out: &mut Vec<u8>) {
    // Neither AIGP nor AS number zero is ever empty: that stands for none.
    put_octets(attrs.aigp.as_ref().map_or(&[], Aigp::octets), out);
    put(out, attrs.otc.map_or(0, |asn| asn.0).to_le_bytes());
    let partial = (0..64).filter(|code| attrs.partial.contains(*code));
    let partial = partial.fold(0_u64, |bits, code| bits | 1 << code);
    put(out, partial.to_le_bytes());
    put_count(attrs.unknown.len(), out);
    for unknown in &attrs.unknown {
        put(out, [unknown.flags, unknown.code]);
        put_octets(&unknown.value, out);
    }
}

fn large_octets(community: &LargeCommunity) -> [u8; 12] {
    let mut octets = [0; 12];
    let fields = [community.global, community.local1, community.local2];
    for (place, field) in octets.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
        *place = field.to_le_bytes();
    }
    octets
}

fn large_community(octets: [u8; 12]) -> LargeCommunity {
    let mut from = Reader(&octets);
    LargeCommunity {
        global: from.u32(),
        local1: from.u32(),
        local2: from.u32(),
    }
}

/// What is left to read. Beyond the end, which no packed set has, everything is zero.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn octets(&mut self, count: usize) -> &[u8] {
        let (now, rest) = self.0.split_at_checked(count).unwrap_or_default();
        self.0 = rest;
        now
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((now, rest)) => {
                self.0 = rest;
                *now
            }
            None => [0; N],
        }
    }

    fn u8(&mut self) -> u8 {
        let [octet] = self.array();
        octet
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn count(&mut self) -> usize {
        let mut count = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let octet = self.u8();
            count |= usize::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                break;
            }
        }
        count
    }

    fn list<T, const N: usize, L: FromIterator<T>>(&mut self, item: impl Fn([u8; N]) -> T) -> L {
        let count = self.count();
        let (items, _) = self.octets(N * count).as_chunks();
        items.iter().copied().map(item).collect()
    }

    /// Reads what comes before the next hop; what is there at all.
    fn skip_to_next_hop(&mut self) -> u16 {
        let head = u16::from_le_bytes(self.array());
        let numbers = [has::MED, has::LOCAL_PREF].map(|bit| usize::from(head & bit != 0));
        self.octets(4 * (numbers[0] + numbers[1]));
        head
    }

    fn next_hop(&mut self, head: u16) -> Option<NextHop> {
        if head & has::NEXT_HOP_V4 != 0 {
            return Some(NextHop::V4(Ipv4Addr::from(self.array::<4>())));
        }
        if head & has::NEXT_HOP_V6 == 0 {
            return None;
        }
        let global = Ipv6Addr::from(self.array::<16>());
        Some(if head & has::LINK_LOCAL == 0 {
            NextHop::V6(global)
        } else {
            NextHop::V6LinkLocal {
                global,
                link_local: self.array::<16>().into(),
            }
        })
    }

    fn path(&mut self, one_sequence: bool) -> AsPath {
        let count = if one_sequence { 1 } else { self.count() };
        let segment = |_| AsPathSegment {
            kind: match one_sequence {
                true => SegmentType::Sequence,
                false => segment_type(self.u8()),
            },
            asns: self.list(|octets| Asn(u32::from_le_bytes(octets))),
        };
        AsPath {
            segments: (0..count).map(segment).collect(),
        }
    }

    fn rare(&mut self, attrs: &mut PathAttributes) {
        let count = self.count();
        attrs.aigp = Aigp::parse(self.octets(count));
        attrs.otc = Some(Asn(self.u32())).filter(|asn| !asn.is_zero());
        let partial = u64::from_le_bytes(self.array());
        for code in (0..64).filter(|code| partial >> code & 1 == 1) {
            attrs.partial.insert(code);
        }
        let count = self.count();
        let unknown = |_| UnknownAttribute {
            flags: self.u8(),
            code: self.u8(),
            value: {
                let count = self.count();
                self.octets(count).into()
            },
        };
        attrs.unknown = (0..count).map(unknown).collect();
    }
}

const fn segment_type(code: u8) -> SegmentType {
    match code {
        1 => SegmentType::Set,
        3 => SegmentType::ConfedSequence,
        4 => SegmentType::ConfedSet,
        _ => SegmentType::Sequence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(attrs: &PathAttributes) -> usize {
        let mut octets = Vec::new();
        pack(attrs, &mut octets);
        assert_eq!(unpack(&octets), *attrs);
        assert_eq!(next_hop(&octets), attrs.next_hop);
        for asn in attrs.as_path.iter() {
            assert!(has_passed(&octets, asn));
        }
        assert!(!has_passed(&octets, Asn(0xabcd_ef01)));
        octets.len()
    }

    fn segment(kind: SegmentType, asns: impl IntoIterator<Item = u32>) -> AsPathSegment {
        AsPathSegment {
            kind,
            asns: asns.into_iter().map(Asn).collect(),
        }
    }

    fn full() -> PathAttributes {
        let mut partial = PartialAttributes::default();
        partial.insert(8);
        partial.insert(63);
        let v6 = |last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
        PathAttributes {
            origin: Origin::Incomplete,
            as_path: AsPath {
                segments: [
                    segment(SegmentType::ConfedSet, [5]),
                    segment(SegmentType::ConfedSequence, [7, 8]),
                    segment(SegmentType::Sequence, 1..=300),
                    segment(SegmentType::Set, [u32::MAX, 2]),
                ]
                .into_iter()
                .collect(),
            },
            next_hop: Some(NextHop::V6LinkLocal {
                global: v6(1),
                link_local: v6(2),
            }),
            med: Some(0),
            local_pref: Some(u32::MAX),
            atomic_aggregate: true,
            aggregator: Some(Aggregator {
                asn: Asn(9),
                addr: [192, 0, 2, 1].into(),
            }),
            originator_id: Some(RouterId([192, 0, 2, 2].into())),
            cluster_list: [1, 2].into(),
            communities: (0..20_000).map(Community).collect(),
            extended_communities: [ExtendedCommunity([1, 2, 3, 4, 5, 6, 7, 8])].into(),
            large_communities: [LargeCommunity {
                global: 1,
                local1: 2,
                local2: 3,
            }]
            .into(),
            aigp: Some(Aigp::of(77)),
            otc: Some(Asn(65_000)),
            partial,
            unknown: [0, 200].map(unknown).into(),
        }
    }

    fn unknown(len: usize) -> UnknownAttribute {
        UnknownAttribute {
            flags: 0xe0,
            code: 99,
            value: vec![7; len].into(),
        }
    }

    #[test]
    fn what_was_packed_comes_out_again() {
        let next_hop = |next_hop| PathAttributes {
            next_hop: Some(next_hop),
            ..PathAttributes::default()
        };
        round_trip(&full());
        round_trip(&next_hop(NextHop::V4([192, 0, 2, 1].into())));
        round_trip(&next_hop(NextHop::V6(Ipv6Addr::LOCALHOST)));
        for (otc, unread) in [(true, false), (false, true)] {
            round_trip(&PathAttributes {
                origin: Origin::Egp,
                otc: otc.then_some(Asn(1)),
                unknown: unread.then(|| unknown(1)).into_iter().collect(),
                ..PathAttributes::default()
            });
        }
        assert_eq!(round_trip(&PathAttributes::default()), 3);
    }

    #[test]
    fn a_common_set_takes_a_few_octets() {
        let octets = round_trip(&PathAttributes {
            as_path: AsPath::sequence([1, 2, 3, 4].map(Asn)),
            next_hop: Some(NextHop::V4([192, 0, 2, 1].into())),
            communities: [Community(1), Community(2)].into(),
            ..PathAttributes::default()
        });
        assert_eq!(octets, 2 + 4 + (1 + 16) + (1 + 8));
    }

    /// Whatever differs between two sets must be in the octets, or they would be taken for one.
    #[test]
    fn different_sets_have_different_octets() {
        let full = full();
        let without = |change: fn(&mut PathAttributes)| {
            let mut attrs = full.clone();
            change(&mut attrs);
            let mut octets = Vec::new();
            pack(&attrs, &mut octets);
            octets
        };
        let all = [
            without(|_| ()),
            without(|a| a.origin = Origin::Igp),
            without(|a| a.as_path.segments.truncate(1)),
            without(|a| a.next_hop = None),
            without(|a| a.med = None),
            without(|a| a.local_pref = None),
            without(|a| a.atomic_aggregate = false),
            without(|a| a.aggregator = None),
            without(|a| a.originator_id = None),
            without(|a| a.cluster_list = Box::default()),
            without(|a| a.communities = Box::default()),
            without(|a| a.extended_communities = Box::default()),
            without(|a| a.large_communities = Box::default()),
            without(|a| a.aigp = None),
            without(|a| a.otc = None),
            without(|a| a.partial = PartialAttributes::default()),
            without(|a| a.unknown = Box::default()),
        ];
        let distinct: std::collections::BTreeSet<&Vec<u8>> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
