//! Prefixes with bounds on the length, and the trie that they are looked up in.

use std::net::Ipv4Addr;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use prefix_trie::PrefixMap;
use redstart_bgp::types::{Family, Prefix};

/// A prefix and what is more specific, as far as the length is within bounds: what `ge` and `le` say
/// on a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixRange {
    /// What covers the prefixes meant.
    pub prefix: Prefix,
    /// Their least length.
    pub min: u8,
    /// Their greatest length.
    pub max: u8,
}

impl PrefixRange {
    /// Just this prefix.
    #[must_use]
    pub const fn exactly(prefix: Prefix) -> Self {
        let (min, max) = (prefix.len(), prefix.len());
        Self { prefix, min, max }
    }

    /// This prefix and everything more specific.
    #[must_use]
    pub const fn within(prefix: Prefix) -> Self {
        let (min, max) = (prefix.len(), Self::longest(prefix));
        Self { prefix, min, max }
    }

    /// With the bounds as they are written, or `None` where no prefix could be within them. Without
    /// any the prefix itself is meant; with `ge` alone everything from that length on.
    #[must_use]
    pub fn new(prefix: Prefix, ge: Option<u8>, le: Option<u8>) -> Option<Self> {
        let (min, max) = match (ge, le) {
            (None, None) => return Some(Self::exactly(prefix)),
            (Some(min), None) => (min, Self::longest(prefix)),
            (min, Some(max)) => (min.unwrap_or(prefix.len()), max),
        };
        let possible = prefix.len() <= min && min <= max && max <= Self::longest(prefix);
        possible.then_some(Self { prefix, min, max })
    }

    const fn longest(prefix: Prefix) -> u8 {
        match prefix.family() {
            Family::Ipv4Unicast => 32,
            Family::Ipv6Unicast => 128,
        }
    }

    /// Whether `prefix` is meant.
    #[must_use]
    pub fn contains(self, prefix: Prefix) -> bool {
        self.prefix.covers(prefix) && self.bounds(prefix)
    }

    const fn bounds(self, prefix: Prefix) -> bool {
        self.min <= prefix.len() && prefix.len() <= self.max
    }
}

/// Values by ranges of prefixes. A look-up visits the ranges whose prefix covers the one asked for,
/// however many others there are; and none of them where no range has anything near it.
#[derive(Clone, Debug)]
pub(super) struct RangeTrie<T> {
    /// What is about any prefix of the family, but for its length.
    any: Vec<(PrefixRange, T)>,
    /// For each 16 bits that an IPv4 prefix may begin with, whether some range of the trie has something there.
    near: Vec<u64>,
    v4: PrefixMap<Ipv4Network, Vec<(PrefixRange, T)>>,
    v6: PrefixMap<Ipv6Network, Vec<(PrefixRange, T)>>,
}

impl<T> Default for RangeTrie<T> {
    fn default() -> Self {
        Self {
            any: Vec::new(),
            near: Vec::new(),
            v4: PrefixMap::new(),
            v6: PrefixMap::new(),
        }
    }
}

/// The first 16 bits of an IPv4 address.
fn first_bits(address: Ipv4Addr) -> usize {
    let [high, low, ..] = address.octets();
    usize::from(u16::from_be_bytes([high, low]))
}

/// Words of 64 bits for all first 16 bits.
const WORDS: usize = 1 << 10;

impl<T: Copy> RangeTrie<T> {
    pub(super) fn insert(&mut self, range: PrefixRange, value: T) {
        match range.prefix.into() {
            _ if range.prefix.len() == 0 => self.any.push((range, value)),
            IpNetwork::V4(net) => {
                self.near.resize(WORDS, 0);
                for bits in first_bits(net.network())..=first_bits(net.broadcast()) {
                    self.near[bits / 64] |= 1 << (bits % 64);
                }
                self.v4.entry(net).or_default().push((range, value));
            }
            IpNetwork::V6(net) => self.v6.entry(net).or_default().push((range, value)),
        }
    }

    /// The values of the ranges that `prefix` is in, in no order.
    pub(super) fn find(&self, prefix: Prefix) -> impl Iterator<Item = T> + '_ {
        let (v4, v6) = match prefix.into() {
            IpNetwork::V4(net) => {
                let near = self.is_near(net);
                (near.then(|| self.v4.cover_values(&net)), None)
            }
            IpNetwork::V6(net) => (None, Some(self.v6.cover_values(&net))),
        };
        let covering = v4.into_iter().flatten().chain(v6.into_iter().flatten());
        let any = self.any.iter();
        let any = any.filter(move |(range, _)| range.prefix.family() == prefix.family());
        any.chain(covering.flatten())
            .filter(move |(range, _)| range.bounds(prefix))
            .map(|(_, value)| *value)
    }

    /// Whether a range of the trie may cover the prefix: then it covers the prefix's first address.
    fn is_near(&self, net: Ipv4Network) -> bool {
        let first = first_bits(net.network());
        let word = self.near.get(first / 64);
        word.is_some_and(|word| word & 1 << (first % 64) != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_mean_what_they_mean_on_a_router() {
        let of = |ge, le| PrefixRange::new(p("10.0.0.0/8"), ge, le);
        let lengths = |range: Option<PrefixRange>| {
            let range = range.unwrap();
            let all = (8..=32)
                .filter(|len| range.contains(Prefix::new([10, 9, 9, 9].into(), *len).unwrap()));
            all.collect::<Vec<u8>>()
        };
        assert!(of(None, None).unwrap().contains(p("10.0.0.0/8")));
        assert!(!of(None, None).unwrap().contains(p("10.0.0.0/9")));
        assert_eq!(lengths(of(Some(30), None)), [30, 31, 32]);
        assert_eq!(lengths(of(None, Some(9))), [8, 9]);
        assert_eq!(lengths(of(Some(16), Some(17))), [16, 17]);
        for (ge, le) in [
            (Some(7), None),
            (Some(33), None),
            (None, Some(7)),
            (Some(20), Some(10)),
        ] {
            assert_eq!(of(ge, le), None);
        }
    }

    fn prefixes() -> impl Strategy<Value = Prefix> {
        // Few bits, so that prefixes often cover each other.
        let v4 = (0..8_u8, 0..6_u8).prop_map(|(a, len)| Prefix::new([a << 5, 0, 0, 0].into(), len));
        let v6 = (0..8_u16, 0..6_u8)
            .prop_map(|(a, len)| Prefix::new([a << 13, 0, 0, 0, 0, 0, 0, 0].into(), len));
        // About the sixteenth bit.
        let near = (0..8_u8, 0..4_u8, 14..20_u8)
            .prop_map(|(b, c, len)| Prefix::new([10, b, c << 6, 0].into(), len));
        prop_oneof![v4, v6, near].prop_map(Option::unwrap)
    }

    proptest! {
        #[test]
        fn a_look_up_finds_the_ranges_that_hold_the_prefix(
            ranges in prop::collection::vec((prefixes(), 0..3_u8, 0..3_u8), 0..12),
            asked in prop::collection::vec(prefixes(), 1..20),
        ) {
            let ranges: Vec<PrefixRange> = ranges
                .into_iter()
                .filter_map(|(prefix, more, span)| {
                    let min = prefix.len() + more;
                    PrefixRange::new(prefix, Some(min), Some(min + span))
                })
                .collect();
            let mut trie = RangeTrie::default();
            for (i, range) in ranges.iter().enumerate() {
                trie.insert(*range, i);
            }
            for prefix in asked {
                let mut found: Vec<usize> = trie.find(prefix).collect();
                found.sort_unstable();
                let holding = |i: &usize| ranges[*i].contains(prefix);
                let expected: Vec<usize> = (0..ranges.len()).filter(holding).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
