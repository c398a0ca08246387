//! The lab's addresses: host N of a LAN has N in both families, and in its link-local address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The two address families of everything in the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// `-4` or `-6`, as `ip` and `ping` want it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One address in each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DualStack {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl DualStack {
    /// The address of that family.
    pub fn of(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// The link-local address that goes with it: the same host number. BGP may carry it beside, or
    /// instead of, the global one as a next hop (RFC 2545 section 3).
    pub fn link_local(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, self.v6.segments()[7])
    }

    pub(super) fn rack(host: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(10, 10, 0, host),
            v6: Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, same_digits(host)),
        }
    }

    pub(super) fn ext(host: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(10, 20, 0, host),
            v6: Ipv6Addr::new(0xfd00, 0x20, 0, 0, 0, 0, 0, same_digits(host)),
        }
    }
}

/// The number that is written in hexadecimal as `host` is in decimal: 10.10.0.254, fd00:10::254.
fn same_digits(host: u8) -> u16 {
    let host = u16::from(host);
    (host / 100) * 0x100 + (host / 10 % 10) * 0x10 + host % 10
}

/// One prefix in each family, as text in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DualPrefix {
    /// The IPv4 prefix.
    pub v4: String,
    /// The IPv6 prefix.
    pub v6: String,
}

impl DualPrefix {
    /// The prefix of that family.
    pub fn of(&self, family: Family) -> &str {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// The pod CIDRs with this number: `10.244.N.0/24` and `fd00:244:N::/64`.
    pub fn pod_cidrs(number: u8) -> Self {
        Self {
            v4: format!("10.244.{number}.0/24"),
            v6: format!("fd00:244:{number}::/64"),
        }
    }

    /// What a node gets whose pod CIDRs change: no node's of any lab.
    pub fn other_pod_cidrs() -> Self {
        Self::pod_cidrs(177)
    }

    /// The LAN behind the routers.
    pub fn ext() -> Self {
        Self {
            v4: "10.20.0.0/24".to_owned(),
            v6: "fd00:20::/64".to_owned(),
        }
    }
}
