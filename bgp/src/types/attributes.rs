//! Path attributes, decoded and valid.
//!
//! A [`PathAttributes`] is everything that a route carries beside its prefix. It is immutable once
//! made and shared by reference: the RIB interns it, so two routes with equal attributes hold the
//! same one.

use core::fmt;
use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use smallvec::SmallVec;

use super::{Aigp, Asn, Community, ExtendedCommunity, Family, LargeCommunity, NextHop, RouterId};

/// How the route came into BGP (RFC 4271 section 5.1.1). Lower is preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Interior to the originating AS.
    #[default]
    Igp = 0,
    /// Learned by EGP.
    Egp = 1,
    /// Some other way.
    Incomplete = 2,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Igp => "IGP",
            Self::Egp => "EGP",
            Self::Incomplete => "Incomplete",
        })
    }
}

/// The kind of an AS_PATH segment (RFC 4271 section 4.3, RFC 5065 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentType {
    /// Unordered set.
    Set = 1,
    /// Ordered sequence.
    Sequence = 2,
    /// Ordered sequence of member ASes.
    ConfedSequence = 3,
    /// Unordered set of member ASes.
    ConfedSet = 4,
}

/// One segment of an AS_PATH; never empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPathSegment {
    /// Its kind.
    pub kind: SegmentType,
    /// Its members, at most 255 on the wire; the encoder splits longer ones.
    pub asns: SmallVec<[Asn; 6]>,
}

/// The ASes that the route passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPath {
    /// The segments, nearest first; none is empty.
    pub segments: SmallVec<[AsPathSegment; 1]>,
}

impl AsPath {
    /// The path of a route of our own.
    pub const EMPTY: Self = Self {
        segments: SmallVec::new_const(),
    };

    /// One AS_SEQUENCE.
    #[must_use]
    pub fn sequence(asns: impl IntoIterator<Item = Asn>) -> Self {
        let asns: SmallVec<[Asn; 6]> = asns.into_iter().collect();
        if asns.is_empty() {
            return Self::EMPTY;
        }
        let segment = AsPathSegment {
            kind: SegmentType::Sequence,
            asns,
        };
        Self {
            segments: SmallVec::from_iter([segment]),
        }
    }

    /// The length for route selection: a set counts one (RFC 4271 section 9.1.2.2), confederation
    /// segments count nothing (RFC 5065 section 5.3).
    #[must_use]
    pub fn hop_count(&self) -> usize {
        self.segments
            .iter()
            .map(|s| match s.kind {
                SegmentType::Sequence => s.asns.len(),
                SegmentType::Set => 1,
                SegmentType::ConfedSequence | SegmentType::ConfedSet => 0,
            })
            .sum()
    }

    /// The neighbouring AS: the first of the path, if the path starts with a sequence.
    #[must_use]
    pub fn first_as(&self) -> Option<Asn> {
        let first = self
            .segments
            .iter()
            .find(|s| !matches!(s.kind, SegmentType::ConfedSequence | SegmentType::ConfedSet))?;
        (first.kind == SegmentType::Sequence)
            .then(|| first.asns.first().copied())
            .flatten()
    }

    /// The AS that originated the route: the last of the path, if the path ends with a sequence.
    #[must_use]
    pub fn origin_as(&self) -> Option<Asn> {
        let last = self.segments.last()?;
        (last.kind == SegmentType::Sequence)
            .then(|| last.asns.last().copied())
            .flatten()
    }

    /// Every AS in the path, sets included.
    pub fn iter(&self) -> impl Iterator<Item = Asn> + '_ {
        self.segments.iter().flat_map(|s| s.asns.iter().copied())
    }

    /// How often `asn` is in the path: loop detection.
    #[must_use]
    pub fn count(&self, asn: Asn) -> usize {
        self.iter().filter(|a| *a == asn).count()
    }

    /// The path with `asn` put `times` times before it (RFC 4271 section 5.1.2).
    #[must_use]
    pub fn prepend(&self, asn: Asn, times: usize) -> Self {
        let mut path = self.clone();
        path.put_before(asn, times);
        path
    }

    /// Puts `asn` `times` times before the path, as [`prepend`](Self::prepend) does with a copy.
    pub fn put_before(&mut self, asn: Asn, times: usize) {
        if times == 0 {
            return;
        }
        match self.segments.first_mut() {
            Some(s) if s.kind == SegmentType::Sequence => {
                s.asns.insert_many(0, core::iter::repeat_n(asn, times));
            }
            _ => {
                let asns = core::iter::repeat_n(asn, times).collect();
                self.segments.insert(
                    0,
                    AsPathSegment {
                        kind: SegmentType::Sequence,
                        asns,
                    },
                );
            }
        }
    }
}

impl fmt::Display for AsPath {
    /// As `birdc` shows it: `65001 65002 {65003 65004}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            let (open, close) = match segment.kind {
                SegmentType::Sequence => ("", ""),
                SegmentType::Set => ("{", "}"),
                SegmentType::ConfedSequence => ("(", ")"),
                SegmentType::ConfedSet => ("({", "})"),
            };
            f.write_str(if i == 0 { "" } else { " " })?;
            f.write_str(open)?;
            for (j, asn) in segment.asns.iter().enumerate() {
                f.write_str(if j == 0 { "" } else { " " })?;
                fmt::Display::fmt(asn, f)?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

/// Who aggregated the route (RFC 4271 section 5.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregator {
    /// The AS.
    pub asn: Asn,
    /// The speaker.
    pub addr: Ipv4Addr,
}

/// An optional transitive attribute that Redstart does not know, kept as it came and passed on
/// with the Partial bit (RFC 4271 section 5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownAttribute {
    /// Optional, Transitive and, where it came from a peer, Partial; no other bit.
    pub flags: u8,
    /// The type code.
    pub code: u8,
    /// The value.
    pub value: Box<[u8]>,
}

/// The optional transitive attributes of a route, of those that Redstart reads, that came with the
/// Partial bit: somebody passed them on without knowing them. "The Partial bit ... MUST NOT be set
/// back to 0 by the current AS" or any other (RFC 4271 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialAttributes(u64);

impl PartialAttributes {
    /// Adds the attribute with this type code. Codes above 63 have no place: none of them is read.
    pub const fn insert(&mut self, code: u8) {
        if code < 64 {
            self.0 |= 1 << code;
        }
    }

    /// Whether the attribute with this type code came with the Partial bit.
    #[must_use]
    pub const fn contains(self, code: u8) -> bool {
        code < 64 && self.0 >> code & 1 == 1
    }
}

/// The attributes of a route, decoded and valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathAttributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH, with AS4_PATH merged in (RFC 6793).
    pub as_path: AsPath,
    /// NEXT_HOP, or the next hop of MP_REACH_NLRI. `None` for a route of our own: each session
    /// puts its own address in.
    pub next_hop: Option<NextHop>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR, with AS4_AGGREGATOR merged in.
    pub aggregator: Option<Aggregator>,
    /// ORIGINATOR_ID (RFC 4456).
    pub originator_id: Option<RouterId>,
    /// CLUSTER_LIST (RFC 4456), nearest first.
    pub cluster_list: Box<[u32]>,
    /// COMMUNITIES (RFC 1997), sorted, no duplicates.
    pub communities: Box<[Community]>,
    /// EXTENDED COMMUNITIES (RFC 4360), sorted, no duplicates.
    pub extended_communities: Box<[ExtendedCommunity]>,
    /// LARGE_COMMUNITY (RFC 8092), sorted, no duplicates.
    pub large_communities: Box<[LargeCommunity]>,
    /// AIGP (RFC 7311). Whether it means anything depends on the session.
    pub aigp: Option<Aigp>,
    /// OTC: from here on the route goes to customers only (RFC 9234 section 5).
    pub otc: Option<Asn>,
    /// Which of these came with the Partial bit.
    pub partial: PartialAttributes,
    /// Optional transitive attributes that are passed on unread, sorted by type code.
    pub unknown: Box<[UnknownAttribute]>,
}

impl PathAttributes {
    /// LOCAL_PREF, 100 where there is none.
    #[must_use]
    pub fn effective_local_pref(&self) -> u32 {
        self.local_pref.unwrap_or(100)
    }

    /// The same with a next hop, as they are written down for whoever looks on. A route of the speaker's
    /// own has none: the unspecified address stands for that.
    #[must_use]
    pub fn with_some_next_hop(&self, family: Family) -> Cow<'_, Self> {
        if self.next_hop.is_some() {
            return Cow::Borrowed(self);
        }
        let next_hop = match family {
            Family::Ipv4Unicast => NextHop::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6Unicast => NextHop::V6(Ipv6Addr::UNSPECIFIED),
        };
        Cow::Owned(Self {
            next_hop: Some(next_hop),
            ..self.clone()
        })
    }

    /// Whether the route carries `community`.
    #[must_use]
    pub fn has_community(&self, community: Community) -> bool {
        self.communities.binary_search(&community).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_count_counts_a_set_once_and_confederations_not_at_all() {
        let segment = |kind, asns: &[u32]| AsPathSegment {
            kind,
            asns: asns.iter().copied().map(Asn).collect(),
        };
        let path = AsPath {
            segments: SmallVec::from_vec(vec![
                segment(SegmentType::ConfedSequence, &[1, 2]),
                segment(SegmentType::Sequence, &[3, 4]),
                segment(SegmentType::Set, &[5, 6, 7]),
            ]),
        };
        assert_eq!(path.hop_count(), 3);
        assert_eq!(path.first_as(), Some(Asn(3)));
        assert_eq!(path.origin_as(), None);
        assert_eq!(path.to_string(), "(1 2) 3 4 {5 6 7}");
    }

    #[test]
    fn prepend_extends_a_sequence_or_starts_one() {
        assert_eq!(AsPath::EMPTY.prepend(Asn(1), 2).to_string(), "1 1");
        assert_eq!(
            AsPath::sequence([Asn(2)]).prepend(Asn(1), 1).to_string(),
            "1 2"
        );
        assert_eq!(
            AsPath::sequence([Asn(2)]).prepend(Asn(1), 0).to_string(),
            "2"
        );
    }
}
