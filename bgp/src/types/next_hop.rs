//! Next hops.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a route says that packets go next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// NEXT_HOP attribute, or MP_REACH_NLRI with a 4-octet next hop.
    V4(Ipv4Addr),
    /// A global IPv6 next hop (RFC 2545), also for IPv4 prefixes (RFC 8950).
    V6(Ipv6Addr),
    /// A global and a link-local next hop (RFC 2545 section 3). On an unnumbered link the global
    /// one may be unspecified or equal the link-local one.
    V6LinkLocal {
        /// The global address.
        global: Ipv6Addr,
        /// The link-local address, valid on the link of the session.
        link_local: Ipv6Addr,
    },
}

impl NextHop {
    /// The address to look up: the global one where there are two.
    #[must_use]
    pub const fn addr(self) -> IpAddr {
        match self {
            Self::V4(a) => IpAddr::V4(a),
            Self::V6(a) | Self::V6LinkLocal { global: a, .. } => IpAddr::V6(a),
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(a) => Self::V4(a),
            IpAddr::V6(a) => Self::V6(a),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(a) => fmt::Display::fmt(a, f),
            Self::V6(a) => fmt::Display::fmt(a, f),
            Self::V6LinkLocal { global, link_local } => write!(f, "{global} {link_local}"),
        }
    }
}
