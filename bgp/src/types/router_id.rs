//! BGP identifiers.

use core::fmt;
use std::net::Ipv4Addr;

/// A BGP Identifier: four octets, unique within the AS, not zero (RFC 6286). It is written like an
/// IPv4 address and need not be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub Ipv4Addr);

impl RouterId {
    /// From network byte order as a number.
    #[must_use]
    pub const fn from_u32(id: u32) -> Self {
        Self(Ipv4Addr::from_bits(id))
    }

    /// Zero is not a valid identifier (RFC 6286 section 2.1).
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0.to_bits() != 0
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
