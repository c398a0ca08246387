//! Canonical prefixes and lists of them.
//!
//! `ipnetwork` keeps host bits and compares them (`10.0.0.1/8 != 10.0.0.0/8`); a routing table must
//! not. These types mask host bits when they are made, so equality, hashing and order are those of
//! the network. `ipnetwork` stays at the edges, by `From` and `TryFrom`.
//!
//! A table holds one family, and is generic over [`PrefixKey`]: an IPv4 route never pays for the
//! width of an IPv6 one.

use core::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::Family;

/// What the routing tables need of a prefix type.
#[expect(
    clippy::len_without_is_empty,
    reason = "a prefix length is not a collection's"
)]
pub trait PrefixKey: Copy + Eq + Ord + Hash + fmt::Debug + fmt::Display + Into<Prefix> {
    /// The family of this prefix type.
    const FAMILY: Family;

    /// The length in bits.
    fn len(self) -> u8;

    /// Whether this is the default route.
    fn is_default(self) -> bool {
        self.len() == 0
    }

    /// Whether `other` equals this prefix or is more specific.
    fn covers(self, other: Self) -> bool;

    /// Its first and its last address.
    fn bounds(self) -> (IpAddr, IpAddr);

    /// The prefix as this type, if it is of this family.
    fn from_prefix(prefix: Prefix) -> Option<Self>;

    /// The list in `set`, if it is of this family.
    fn list(set: &NlriSet) -> Option<&[Nlri<Self>]>;

    /// Wraps a list of this family.
    fn into_set(list: Vec<Nlri<Self>>) -> NlriSet;
}

/// An IPv4 prefix without host bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ipv4Prefix {
    // Octets rather than a number: alignment 1 keeps table entries small.
    addr: [u8; 4],
    len: u8,
}

impl Ipv4Prefix {
    /// `addr/len` with host bits cleared, or `None` if `len > 32`.
    #[must_use]
    pub const fn new(addr: Ipv4Addr, len: u8) -> Option<Self> {
        if len > 32 {
            return None;
        }
        let mask = match u32::MAX.checked_shl(32 - len as u32) {
            Some(mask) => mask,
            None => 0,
        };
        Some(Self {
            addr: (addr.to_bits() & mask).to_be_bytes(),
            len,
        })
    }

    /// The network address.
    #[must_use]
    pub const fn addr(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be_bytes(self.addr))
    }
}

impl Hash for Ipv4Prefix {
    /// As one number.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let addr = u64::from(u32::from_be_bytes(self.addr));
        state.write_u64(addr << 8 | u64::from(self.len));
    }
}

/// An IPv6 prefix without host bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ipv6Prefix {
    addr: [u8; 16],
    len: u8,
}

impl Ipv6Prefix {
    /// `addr/len` with host bits cleared, or `None` if `len > 128`.
    #[must_use]
    pub const fn new(addr: Ipv6Addr, len: u8) -> Option<Self> {
        if len > 128 {
            return None;
        }
        let mask = match u128::MAX.checked_shl(128 - len as u32) {
            Some(mask) => mask,
            None => 0,
        };
        Some(Self {
            addr: (addr.to_bits() & mask).to_be_bytes(),
            len,
        })
    }

    /// The network address.
    #[must_use]
    pub const fn addr(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from_be_bytes(self.addr))
    }
}

impl Hash for Ipv6Prefix {
    /// As two numbers.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_be_bytes(self.addr));
        state.write_u8(self.len);
    }
}

impl PrefixKey for Ipv4Prefix {
    const FAMILY: Family = Family::Ipv4Unicast;

    fn len(self) -> u8 {
        self.len
    }

    fn covers(self, other: Self) -> bool {
        self.len <= other.len && Self::new(other.addr(), self.len) == Some(self)
    }

    fn bounds(self) -> (IpAddr, IpAddr) {
        let host = u32::MAX.checked_shr(self.len.into()).unwrap_or(0);
        let last = Ipv4Addr::from_bits(self.addr().to_bits() | host);
        (self.addr().into(), last.into())
    }

    fn from_prefix(prefix: Prefix) -> Option<Self> {
        match prefix {
            Prefix::V4(p) => Some(p),
            Prefix::V6(_) => None,
        }
    }

    fn list(set: &NlriSet) -> Option<&[Nlri<Self>]> {
        match set {
            NlriSet::V4(list) => Some(list),
            NlriSet::V6(_) => None,
        }
    }

    fn into_set(list: Vec<Nlri<Self>>) -> NlriSet {
        NlriSet::V4(list)
    }
}

impl PrefixKey for Ipv6Prefix {
    const FAMILY: Family = Family::Ipv6Unicast;

    fn len(self) -> u8 {
        self.len
    }

    fn covers(self, other: Self) -> bool {
        self.len <= other.len && Self::new(other.addr(), self.len) == Some(self)
    }

    fn bounds(self) -> (IpAddr, IpAddr) {
        let host = u128::MAX.checked_shr(self.len.into()).unwrap_or(0);
        let last = Ipv6Addr::from_bits(self.addr().to_bits() | host);
        (self.addr().into(), last.into())
    }

    fn from_prefix(prefix: Prefix) -> Option<Self> {
        match prefix {
            Prefix::V6(p) => Some(p),
            Prefix::V4(_) => None,
        }
    }

    fn list(set: &NlriSet) -> Option<&[Nlri<Self>]> {
        match set {
            NlriSet::V6(list) => Some(list),
            NlriSet::V4(_) => None,
        }
    }

    fn into_set(list: Vec<Nlri<Self>>) -> NlriSet {
        NlriSet::V6(list)
    }
}

/// A prefix of either family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// IPv4.
    V4(Ipv4Prefix),
    /// IPv6.
    V6(Ipv6Prefix),
}

impl Prefix {
    /// `addr/len` with host bits cleared, or `None` if `len` is too long for the family.
    #[must_use]
    pub const fn new(addr: IpAddr, len: u8) -> Option<Self> {
        match addr {
            IpAddr::V4(addr) => match Ipv4Prefix::new(addr, len) {
                Some(p) => Some(Self::V4(p)),
                None => None,
            },
            IpAddr::V6(addr) => match Ipv6Prefix::new(addr, len) {
                Some(p) => Some(Self::V6(p)),
                None => None,
            },
        }
    }

    /// The host route of `addr`: `/32` or `/128`.
    #[must_use]
    pub const fn host(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(a) => Self::V4(Ipv4Prefix {
                addr: a.octets(),
                len: 32,
            }),
            IpAddr::V6(a) => Self::V6(Ipv6Prefix {
                addr: a.octets(),
                len: 128,
            }),
        }
    }

    /// The network address.
    #[must_use]
    pub const fn addr(self) -> IpAddr {
        match self {
            Self::V4(p) => IpAddr::V4(p.addr()),
            Self::V6(p) => IpAddr::V6(p.addr()),
        }
    }

    /// The length in bits.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a prefix length is not a collection's"
    )]
    pub const fn len(self) -> u8 {
        match self {
            Self::V4(p) => p.len,
            Self::V6(p) => p.len,
        }
    }

    /// The family.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::V4(_) => Family::Ipv4Unicast,
            Self::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// Whether `other` equals this prefix or is more specific.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::V4(a), Self::V4(b)) => a.covers(b),
            (Self::V6(a), Self::V6(b)) => a.covers(b),
            _ => false,
        }
    }

    /// Whether `addr` lies in this prefix.
    #[must_use]
    pub fn contains(self, addr: IpAddr) -> bool {
        self.covers(Self::host(addr))
    }

    /// Whether the two have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl From<Ipv4Prefix> for Prefix {
    fn from(p: Ipv4Prefix) -> Self {
        Self::V4(p)
    }
}

impl From<Ipv6Prefix> for Prefix {
    fn from(p: Ipv6Prefix) -> Self {
        Self::V6(p)
    }
}

impl From<IpNetwork> for Prefix {
    /// Host bits are cleared.
    fn from(net: IpNetwork) -> Self {
        match net {
            IpNetwork::V4(n) => Self::V4(n.into()),
            IpNetwork::V6(n) => Self::V6(n.into()),
        }
    }
}

impl From<Ipv4Network> for Ipv4Prefix {
    fn from(net: Ipv4Network) -> Self {
        Self {
            addr: net.network().octets(),
            len: net.prefix(),
        }
    }
}

impl From<Ipv6Network> for Ipv6Prefix {
    fn from(net: Ipv6Network) -> Self {
        Self {
            addr: net.network().octets(),
            len: net.prefix(),
        }
    }
}

impl From<Prefix> for IpNetwork {
    fn from(prefix: Prefix) -> Self {
        match prefix {
            // The lengths were checked when the prefix was made, so these cannot be refused.
            Prefix::V4(p) => Self::V4(
                Ipv4Network::new_checked(p.addr(), p.len).unwrap_or_else(|| p.addr().into()),
            ),
            Prefix::V6(p) => Self::V6(
                Ipv6Network::new_checked(p.addr(), p.len).unwrap_or_else(|| p.addr().into()),
            ),
        }
    }
}

/// The text is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a prefix (expected ADDRESS/LENGTH)")]
pub struct ParsePrefixError(String);

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    /// `address/length`. Host bits are cleared, a missing length is an error.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (addr, len) = s.split_once('/')?;
            Self::new(addr.parse().ok()?, len.parse().ok()?)
        };
        parse().ok_or_else(|| ParsePrefixError(s.to_owned()))
    }
}

macro_rules! display_as_cidr {
    ($($ty:ty),+) => {$(
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // `pad` so that tables can align prefixes with `{:<18}`.
                f.pad(&format!("{}/{}", self.addr(), self.len))
            }
        }
        impl fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}
display_as_cidr!(Ipv4Prefix, Ipv6Prefix);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(p) => fmt::Display::fmt(p, f),
            Self::V6(p) => fmt::Display::fmt(p, f),
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A path identifier (RFC 7911). [`PathId::NONE`] where ADD-PATH was not negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u32);

impl PathId {
    /// The one path of a peer without ADD-PATH.
    pub const NONE: Self = Self(0);
}

/// One item of Network Layer Reachability Information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nlri<P> {
    /// The destination.
    pub prefix: P,
    /// Which of the peer's paths to it.
    pub path_id: PathId,
}

impl<P> Nlri<P> {
    /// The one path to `prefix` of a peer without ADD-PATH.
    #[must_use]
    pub const fn plain(prefix: P) -> Self {
        Self {
            prefix,
            path_id: PathId::NONE,
        }
    }
}

/// A list of NLRI of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NlriSet {
    /// IPv4 unicast.
    V4(Vec<Nlri<Ipv4Prefix>>),
    /// IPv6 unicast.
    V6(Vec<Nlri<Ipv6Prefix>>),
}

impl NlriSet {
    /// An empty list.
    #[must_use]
    pub const fn empty(family: Family) -> Self {
        match family {
            Family::Ipv4Unicast => Self::V4(Vec::new()),
            Family::Ipv6Unicast => Self::V6(Vec::new()),
        }
    }

    /// The family of the list.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::V4(_) => Family::Ipv4Unicast,
            Self::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// The number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::V4(list) => list.len(),
            Self::V6(list) => list.len(),
        }
    }

    /// Whether the list has no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items with their prefixes widened to [`Prefix`]: for display and tests.
    pub fn iter(&self) -> impl Iterator<Item = Nlri<Prefix>> + '_ {
        Routes::from(self).iter()
    }
}

/// Some routes of one family, without their attributes, in a list that others own.
#[derive(Clone, Copy, Debug)]
pub enum Routes<'a> {
    /// IPv4 unicast.
    V4(Span<'a, Ipv4Prefix>),
    /// IPv6 unicast.
    V6(Span<'a, Ipv6Prefix>),
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a, P> {
    /// It.
    pub these: &'a [Nlri<P>],
    /// What follows it: worth a look by those who have to wait for memory.
    pub next: &'a [Nlri<P>],
}

impl<'a> Routes<'a> {
    /// Their family.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::V4(_) => Family::Ipv4Unicast,
            Self::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::V4(span) => span.these.len(),
            Self::V6(span) => span.these.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// They, with their prefixes widened to [`Prefix`].
    pub fn iter(self) -> impl Iterator<Item = Nlri<Prefix>> + 'a {
        let (v4, v6) = match self {
            Self::V4(span) => (span.these, [].as_slice()),
            Self::V6(span) => ([].as_slice(), span.these),
        };
        let widen_v4 = v4.iter().map(|n| Nlri {
            prefix: Prefix::V4(n.prefix),
            path_id: n.path_id,
        });
        let widen_v6 = v6.iter().map(|n| Nlri {
            prefix: Prefix::V6(n.prefix),
            path_id: n.path_id,
        });
        widen_v4.chain(widen_v6)
    }
}

impl<'a> From<&'a NlriSet> for Routes<'a> {
    fn from(set: &'a NlriSet) -> Self {
        match set {
            NlriSet::V4(these) => Self::V4(Span { these, next: &[] }),
            NlriSet::V6(these) => Self::V6(Span { these, next: &[] }),
        }
    }
}

impl From<Routes<'_>> for NlriSet {
    fn from(routes: Routes<'_>) -> Self {
        match routes {
            Routes::V4(span) => Self::V4(span.these.to_vec()),
            Routes::V6(span) => Self::V6(span.these.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> Prefix {
        s.parse().unwrap()
    }

    #[test]
    fn host_bits_are_cleared() {
        assert_eq!(p("10.1.2.3/8"), p("10.0.0.0/8"));
        assert_eq!(p("2001:db8::1/32").to_string(), "2001:db8::/32");
        assert_eq!(p("1.2.3.4/0").to_string(), "0.0.0.0/0");
        assert_eq!(p("ff::/0").to_string(), "::/0");
    }

    #[test]
    fn text_that_is_no_prefix_is_refused() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "::/129",
            "x/8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn covering_and_overlap() {
        assert!(p("10.0.0.0/8").covers(p("10.9.0.0/16")));
        assert!(!p("10.9.0.0/16").covers(p("10.0.0.0/8")));
        assert!(p("10.9.0.0/16").overlaps(p("10.0.0.0/8")));
        assert!(!p("10.0.0.0/9").overlaps(p("10.128.0.0/9")));
        assert!(!p("0.0.0.0/0").covers(p("::/0")));
        assert!(p("::/0").contains("::1".parse().unwrap()));
    }

    #[test]
    fn ipnetwork_round_trip() {
        let net: IpNetwork = "10.1.2.3/24".parse().unwrap();
        assert_eq!(
            IpNetwork::from(Prefix::from(net)).to_string(),
            "10.1.2.0/24"
        );
    }

    #[test]
    fn table_entries_stay_small() {
        assert_eq!(size_of::<Ipv4Prefix>(), 5);
        assert_eq!(size_of::<Ipv6Prefix>(), 17);
    }
}
