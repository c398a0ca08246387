//! Autonomous system numbers.

use core::{fmt, num::ParseIntError, str::FromStr};

/// A four-octet autonomous system number (RFC 6793). Zero is representable, because peers send it,
/// and never valid (RFC 7607).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(pub u32);

impl Asn {
    /// Stands in two-octet fields for a number that does not fit (RFC 6793 section 9).
    pub const TRANS: Self = Self(23456);

    /// The two-octet form, `AS_TRANS` where the number does not fit.
    #[must_use]
    pub fn to_two_octet(self) -> u16 {
        u16::try_from(self.0).unwrap_or(23456)
    }

    /// Zero, which no OPEN and no attribute may have (RFC 7607 section 2).
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Reserved for private use (RFC 6996).
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self.0, 64512..=65534 | 4_200_000_000..=4_294_967_294)
    }

    /// The last number of each range, reserved (RFC 7300), and `AS_TRANS`: no peer may use them.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        matches!(self.0, 0 | 23456 | 65535 | u32::MAX)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The text is not an AS number in asplain or asdot notation (RFC 5396).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an AS number (expected 1..4294967295, or asdot such as 64512.1)")]
pub struct ParseAsnError(String);

impl FromStr for Asn {
    type Err = ParseAsnError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = |s: &str| -> Result<u32, ParseIntError> {
            match s.split_once('.') {
                None => s.parse(),
                Some((hi, lo)) => {
                    Ok(u32::from(hi.parse::<u16>()?) << 16 | u32::from(lo.parse::<u16>()?))
                }
            }
        };
        parse(s).map(Self).map_err(|_| ParseAsnError(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_asplain_and_asdot() {
        assert_eq!("65001".parse(), Ok(Asn(65001)));
        assert_eq!("64512.1".parse(), Ok(Asn(64512 << 16 | 1)));
        for bad in ["", "-1", "4294967296", "1.65536", "AS1", "1.2.3"] {
            assert!(bad.parse::<Asn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn two_octet_form_uses_as_trans() {
        assert_eq!(Asn(65535).to_two_octet(), 65535);
        assert_eq!(Asn(65536).to_two_octet(), 23456);
    }
}
