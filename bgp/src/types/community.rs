//! Communities: standard (RFC 1997), extended (RFC 4360), large (RFC 8092).

use core::{fmt, str::FromStr};

/// A standard community: `asn:value` (RFC 1997).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    /// RFC 8326: the sender is about to take the path down.
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// RFC 9494: stale for long.
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// RFC 9494: do not keep this route stale.
    pub const NO_LLGR: Self = Self(0xffff_0007);
    /// RFC 7999: drop the traffic.
    pub const BLACKHOLE: Self = Self(0xffff_029a);
    /// RFC 1997: not beyond the AS (confederation).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// RFC 1997: to no peer at all.
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// RFC 1997: not beyond the member AS.
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);

    /// From its two halves.
    #[must_use]
    pub const fn new(high: u16, low: u16) -> Self {
        Self((high as u32) << 16 | low as u32)
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// A large community: three numbers of four octets (RFC 8092).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    /// Usually the AS that defines the rest.
    pub global: u32,
    /// First part of the operator's data.
    pub local1: u32,
    /// Second part of the operator's data.
    pub local2: u32,
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

/// An extended community, opaque (RFC 4360).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl ExtendedCommunity {
    /// Bit 6 of the type: stays within the AS (RFC 4360 section 2).
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ty, sub, a, b, c, d, e, g] = self.0;
        let kind = match sub {
            2 => "rt",
            3 => "ro",
            _ => return write!(f, "generic:{:016x}", u64::from_be_bytes(self.0)),
        };
        match ty & 0x3f {
            0 => {
                let (asn, val) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]));
                write!(f, "{kind}:{asn}:{val}")
            }
            1 => write!(f, "{kind}:{a}.{b}.{c}.{d}:{}", u16::from_be_bytes([e, g])),
            2 => {
                let (asn, val) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, g]));
                write!(f, "{kind}:{asn}:{val}")
            }
            _ => write!(f, "generic:{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

/// The text is not a community.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a community ({1})")]
pub struct ParseCommunityError(String, &'static str);

impl FromStr for Community {
    type Err = ParseCommunityError;

    /// `asn:value`, or the name of a well-known community (`no-export`, `graceful-shutdown`, …).
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let named = match s {
            "graceful-shutdown" => Some(Self::GRACEFUL_SHUTDOWN),
            "llgr-stale" => Some(Self::LLGR_STALE),
            "no-llgr" => Some(Self::NO_LLGR),
            "blackhole" => Some(Self::BLACKHOLE),
            "no-export" => Some(Self::NO_EXPORT),
            "no-advertise" => Some(Self::NO_ADVERTISE),
            "no-export-subconfed" => Some(Self::NO_EXPORT_SUBCONFED),
            _ => None,
        };
        let halves = || {
            let (high, low) = s.split_once(':')?;
            Some(Self::new(high.parse().ok()?, low.parse().ok()?))
        };
        named.or_else(halves).ok_or_else(|| {
            ParseCommunityError(
                s.to_owned(),
                "expected 0..65535:0..65535 or a well-known name",
            )
        })
    }
}

impl FromStr for LargeCommunity {
    type Err = ParseCommunityError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = s.split(':').map(str::parse);
            let community = Self {
                global: parts.next()?.ok()?,
                local1: parts.next()?.ok()?,
                local2: parts.next()?.ok()?,
            };
            parts.next().is_none().then_some(community)
        };
        parse().ok_or_else(|| ParseCommunityError(s.to_owned(), "expected three numbers a:b:c"))
    }
}

impl FromStr for ExtendedCommunity {
    type Err = ParseCommunityError;

    /// As it is displayed: `rt:ASN:NUMBER`, `ro:ASN:NUMBER`, the same with an IPv4 address, or
    /// `generic:` and 16 hexadecimal digits. An AS number above 65535 takes the form of RFC 5668.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let expected = "expected rt:ASN:NUMBER, ro:ASN:NUMBER or generic:HEX";
        parse_extended(s).ok_or_else(|| ParseCommunityError(s.to_owned(), expected))
    }
}

fn parse_extended(s: &str) -> Option<ExtendedCommunity> {
    let (kind, rest) = s.split_once(':')?;
    let sub = match kind {
        "rt" => 2,
        "ro" => 3,
        "generic" if rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()) => {
            let value = u64::from_str_radix(rest, 16).ok()?;
            return Some(ExtendedCommunity(value.to_be_bytes()));
        }
        _ => return None,
    };
    let (global, local) = rest.split_once(':')?;
    let with_four_octets = |ty: u8, global: [u8; 4]| {
        let [a, b, c, d] = global;
        let [e, f] = local.parse::<u16>().ok()?.to_be_bytes();
        Some(ExtendedCommunity([ty, sub, a, b, c, d, e, f]))
    };
    if let Ok(address) = global.parse::<core::net::Ipv4Addr>() {
        return with_four_octets(1, address.octets());
    }
    let asn: u32 = global.parse().ok()?;
    match u16::try_from(asn) {
        Ok(asn) => {
            let ([a, b], [c, d, e, f]) =
                (asn.to_be_bytes(), local.parse::<u32>().ok()?.to_be_bytes());
            Some(ExtendedCommunity([0, sub, a, b, c, d, e, f]))
        }
        Err(_) => with_four_octets(2, asn.to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_community_round_trips_as_text() {
        for text in [
            "rt:64512:100000",
            "ro:192.0.2.1:7",
            "rt:4200000000:7",
            "generic:030b000000000007",
        ] {
            let parsed: ExtendedCommunity = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
        for bad in [
            "",
            "rt:1",
            "rt:4200000000:65536",
            "xx:1:1",
            "generic:+102030405060708",
        ] {
            assert!(bad.parse::<ExtendedCommunity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn standard_community_round_trips_as_text() {
        assert_eq!("65535:65281".parse(), Ok(Community::NO_EXPORT));
        assert_eq!("no-export".parse(), Ok(Community::NO_EXPORT));
        assert_eq!(Community::new(64512, 7).to_string(), "64512:7");
        for bad in ["", "1", "65536:1", "1:2:3", "nope"] {
            assert!(bad.parse::<Community>().is_err(), "{bad}");
        }
    }

    #[test]
    fn large_community_round_trips_as_text() {
        let c = LargeCommunity {
            global: 4_200_000_000,
            local1: 1,
            local2: 2,
        };
        assert_eq!(c.to_string().parse(), Ok(c));
        assert!("1:2".parse::<LargeCommunity>().is_err());
        assert!("1:2:3:4".parse::<LargeCommunity>().is_err());
    }

    #[test]
    fn extended_communities_read_like_route_targets() {
        assert_eq!(
            ExtendedCommunity([0, 2, 0xfd, 0xe8, 0, 0, 0, 100]).to_string(),
            "rt:65000:100"
        );
        assert_eq!(
            ExtendedCommunity([1, 3, 192, 0, 2, 1, 0, 9]).to_string(),
            "ro:192.0.2.1:9"
        );
        assert!(!ExtendedCommunity([0x43, 0, 0, 0, 0, 0, 0, 0]).is_transitive());
    }
}
