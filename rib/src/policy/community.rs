//! Patterns over communities: a number, a range of numbers or `*` in each place.
//!
//! `64512:*`, `64512:100-199:*` (large), `rt:64512:*`, `generic:0002fde800000064`, `no-export`. The
//! number of places tells standard and large communities apart; extended ones begin with their kind.

use core::{fmt, str::FromStr};
use std::net::Ipv4Addr;

use redstart_bgp::types::{Community, ExtendedCommunity, LargeCommunity, PathAttributes};

/// A set of communities of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommunityPattern {
    /// RFC 1997.
    Standard([Part; 2]),
    /// RFC 8092.
    Large([Part; 3]),
    /// RFC 4360: a route target or a route origin of any of the three forms.
    Extended {
        /// The sub-type: 2 for a route target, 3 for a route origin.
        sub_type: u8,
        /// AS number or IPv4 address.
        administrator: Part,
        /// The rest.
        assigned: Part,
    },
    /// RFC 4360, octet by octet.
    Opaque(ExtendedCommunity),
}

/// Numbers that may stand in one place of a community, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    min: u32,
    max: u32,
}

impl Part {
    const fn only(number: u32) -> Self {
        let (min, max) = (number, number);
        Self { min, max }
    }

    const fn only_number(self) -> Option<u32> {
        if self.min == self.max {
            Some(self.min)
        } else {
            None
        }
    }

    const fn matches(self, number: u32) -> bool {
        self.min <= number && number <= self.max
    }

    /// `*`, a number, or two of them with `-` between.
    fn parse(text: &str, most: u32) -> Option<Self> {
        if text == "*" {
            return Some(Self { min: 0, max: most });
        }
        let (min, max) = match text.split_once('-') {
            Some((min, max)) => (min.parse().ok()?, max.parse().ok()?),
            None => {
                let number = text.parse().ok()?;
                (number, number)
            }
        };
        (min <= max && max <= most).then_some(Self { min, max })
    }
}

impl CommunityPattern {
    /// Whether a route carries a community of the set.
    #[must_use]
    pub fn is_carried_by(&self, attrs: &PathAttributes) -> bool {
        match self {
            Self::Standard(_) => attrs.communities.iter().any(|c| self.has_standard(*c)),
            Self::Large(_) => attrs.large_communities.iter().any(|c| self.has_large(*c)),
            Self::Extended { .. } | Self::Opaque(_) => attrs
                .extended_communities
                .iter()
                .any(|c| self.has_extended(*c)),
        }
    }

    /// The community that alone is in the set, if it is just one.
    pub(super) fn only(&self) -> Option<AnyCommunity> {
        Some(match *self {
            Self::Standard([high, low]) => {
                let bits = high.only_number()? << 16 | low.only_number()?;
                AnyCommunity::Standard(Community(bits))
            }
            Self::Large([global, local1, local2]) => AnyCommunity::Large(LargeCommunity {
                global: global.only_number()?,
                local1: local1.only_number()?,
                local2: local2.only_number()?,
            }),
            Self::Opaque(only) => AnyCommunity::Extended(only),
            // Of three forms.
            Self::Extended { .. } => return None,
        })
    }

    /// Whether a standard community is in the set.
    #[must_use]
    pub const fn has_standard(&self, community: Community) -> bool {
        match self {
            Self::Standard([high, low]) => {
                high.matches(community.0 >> 16) && low.matches(community.0 & 0xffff)
            }
            _ => false,
        }
    }

    /// Whether a large community is in the set.
    #[must_use]
    pub const fn has_large(&self, community: LargeCommunity) -> bool {
        match self {
            Self::Large([global, local1, local2]) => {
                global.matches(community.global)
                    && local1.matches(community.local1)
                    && local2.matches(community.local2)
            }
            _ => false,
        }
    }

    /// Whether an extended community is in the set.
    #[must_use]
    pub fn has_extended(&self, community: ExtendedCommunity) -> bool {
        match self {
            Self::Extended {
                sub_type,
                administrator,
                assigned,
            } => parts(community).is_some_and(|(sub, high, low)| {
                sub == *sub_type && administrator.matches(high) && assigned.matches(low)
            }),
            Self::Opaque(only) => *only == community,
            Self::Standard(_) | Self::Large(_) => false,
        }
    }
}

/// Sub-type, administrator and assigned number of a transitive community of the three forms with two
/// parts (RFC 4360 sections 3.1 and 3.2, RFC 5668).
fn parts(community: ExtendedCommunity) -> Option<(u8, u32, u32)> {
    let [kind, sub_type, a, b, c, d, e, f] = community.0;
    let (high, low) = match kind {
        0 => (
            u32::from(u16::from_be_bytes([a, b])),
            u32::from_be_bytes([c, d, e, f]),
        ),
        1 | 2 => (
            u32::from_be_bytes([a, b, c, d]),
            u32::from(u16::from_be_bytes([e, f])),
        ),
        _ => return None,
    };
    Some((sub_type, high, low))
}

/// The text is not a community, or not a pattern over them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a community: expected A:B, A:B:C, rt:A:B, ro:A:B, generic:16 hex digits or a well-known name"
)]
pub struct ParseCommunityPatternError(String);

impl FromStr for CommunityPattern {
    type Err = ParseCommunityPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseCommunityPatternError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<CommunityPattern> {
    let places: Vec<&str> = text.split(':').collect();
    let short = |text| Part::parse(text, u32::from(u16::MAX));
    let long = |text| Part::parse(text, u32::MAX);
    Some(match *places.as_slice() {
        ["generic", hex] if hex.len() == 16 => {
            let octets = u64::from_str_radix(hex, 16).ok()?.to_be_bytes();
            CommunityPattern::Opaque(ExtendedCommunity(octets))
        }
        [kind @ ("rt" | "ro"), administrator, assigned] => CommunityPattern::Extended {
            sub_type: if kind == "rt" { 2 } else { 3 },
            administrator: match administrator.parse::<Ipv4Addr>() {
                Ok(address) => Part::only(address.to_bits()),
                Err(_) => long(administrator)?,
            },
            assigned: long(assigned)?,
        },
        [_] => {
            let Community(bits) = text.parse().ok()?;
            CommunityPattern::Standard([Part::only(bits >> 16), Part::only(bits & 0xffff)])
        }
        [high, low] => CommunityPattern::Standard([short(high)?, short(low)?]),
        [global, local1, local2] => {
            CommunityPattern::Large([long(global)?, long(local1)?, long(local2)?])
        }
        _ => return None,
    })
}

/// A community of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnyCommunity {
    /// RFC 1997.
    Standard(Community),
    /// RFC 4360.
    Extended(ExtendedCommunity),
    /// RFC 8092.
    Large(LargeCommunity),
}

impl AnyCommunity {
    /// Those that a route carries.
    pub(super) fn carried_by(attrs: &PathAttributes) -> impl Iterator<Item = Self> + '_ {
        let standard = attrs.communities.iter().copied().map(Self::Standard);
        let large = attrs.large_communities.iter().copied().map(Self::Large);
        let extended = attrs.extended_communities.iter().copied();
        standard.chain(large).chain(extended.map(Self::Extended))
    }
}

impl FromStr for AnyCommunity {
    type Err = ParseCommunityPatternError;

    /// As patterns are written, without `*` and ranges.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        exact(text).ok_or_else(|| ParseCommunityPatternError(text.to_owned()))
    }
}

fn exact(text: &str) -> Option<AnyCommunity> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [kind @ ("rt" | "ro"), administrator, assigned] => {
            let sub_type = if *kind == "rt" { 2 } else { 3 };
            extended(sub_type, administrator, assigned).map(AnyCommunity::Extended)
        }
        ["generic", _] => match parse(text)? {
            CommunityPattern::Opaque(community) => Some(AnyCommunity::Extended(community)),
            _ => None,
        },
        [_, _, _] => text.parse().ok().map(AnyCommunity::Large),
        _ => text.parse().ok().map(AnyCommunity::Standard),
    }
}

/// A route target or origin in the form that its administrator asks for: an IPv4 address, an AS
/// number of two octets or one of four.
fn extended(sub_type: u8, administrator: &str, assigned: &str) -> Option<ExtendedCommunity> {
    let (kind, six): (u8, [u8; 6]) = if let Ok(address) = administrator.parse::<Ipv4Addr>() {
        (1, four_and_two(address.to_bits(), assigned.parse().ok()?))
    } else {
        let asn: u32 = administrator.parse().ok()?;
        match u16::try_from(asn) {
            Ok(asn) => (0, two_and_four(asn, assigned.parse().ok()?)),
            Err(_) => (2, four_and_two(asn, assigned.parse().ok()?)),
        }
    };
    let [a, b, c, d, e, f] = six;
    Some(ExtendedCommunity([kind, sub_type, a, b, c, d, e, f]))
}

const fn two_and_four(high: u16, low: u32) -> [u8; 6] {
    let ([a, b], [c, d, e, f]) = (high.to_be_bytes(), low.to_be_bytes());
    [a, b, c, d, e, f]
}

const fn four_and_two(high: u32, low: u16) -> [u8; 6] {
    let ([a, b, c, d], [e, f]) = (high.to_be_bytes(), low.to_be_bytes());
    [a, b, c, d, e, f]
}

impl fmt::Display for AnyCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(community) => community.fmt(f),
            Self::Extended(community) => community.fmt(f),
            Self::Large(community) => community.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> CommunityPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_matches_communities_of_its_kind() {
        let standard =
            |text: &str, community: &str| pattern(text).has_standard(community.parse().unwrap());
        assert!(standard("64512:*", "64512:7") && !standard("64512:*", "64513:7"));
        assert!(standard("*:100-199", "1:150") && !standard("*:100-199", "1:200"));
        assert!(standard("no-export", "65535:65281") && !standard("1:2", "1:3"));
        let large =
            |text: &str, community: &str| pattern(text).has_large(community.parse().unwrap());
        assert!(large("4200000000:1:*", "4200000000:1:4294967295"));
        assert!(!large("4200000000:1:*", "4200000000:2:0"));
        assert!(!pattern("1:2").has_large("1:2:3".parse().unwrap()));
    }

    #[test]
    fn route_targets_match_in_all_three_forms() {
        for text in [
            "rt:65000:100",
            "rt:192.0.2.1:9",
            "ro:4200000000:7",
            "generic:4300000000000001",
        ] {
            let Ok(AnyCommunity::Extended(community)) = text.parse() else {
                panic!("{text} is extended");
            };
            assert!(pattern(text).has_extended(community), "{text}");
            assert_eq!(community.to_string(), text);
        }
        let Ok(AnyCommunity::Extended(target)) = "rt:65000:100".parse() else {
            panic!("a route target");
        };
        assert!(pattern("rt:65000:*").has_extended(target));
        assert!(!pattern("ro:65000:*").has_extended(target));
        assert!(!pattern("65000:100").has_extended(target));
    }

    #[test]
    fn text_that_is_no_pattern_is_refused() {
        for bad in [
            "",
            "1",
            "1:2:3:4",
            "65536:1",
            "1:9-3",
            "rt:1",
            "xy:1:2:3",
            "generic:12",
            "1:x",
            "*",
        ] {
            assert!(bad.parse::<CommunityPattern>().is_err(), "{bad}");
        }
        for pattern_only in ["1:*", "1:2-3", "rt:1:*", "1:2:*"] {
            assert!(
                pattern_only.parse::<AnyCommunity>().is_err(),
                "{pattern_only}"
            );
        }
    }
}
