//! What both sides are told of the session between them, and of the routes that they exchange.

use std::net::IpAddr;

use crate::lab::topology::Family;

/// Who opens the TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// Redstart; the other side only listens.
    Us,
    /// The other side; Redstart only listens.
    Them,
}

/// A session, as both sides are configured for it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Redstart's AS.
    pub our_as: u32,
    /// The other side's AS.
    pub their_as: u32,
    /// The addresses of the session itself.
    pub transport: Family,
    /// The families of routes.
    pub families: Vec<Family>,
    /// Who dials.
    pub dial: Dial,
    /// TCP-MD5, as Redstart is told.
    pub our_password: Option<String>,
    /// TCP-MD5, as the other side is told.
    pub their_password: Option<String>,
    /// RFC 5082, both sides.
    pub ttl_security: bool,
    /// Whether the other side knows AS numbers of four octets.
    pub four_octet_as: bool,
    /// Hold time that both offer, in seconds.
    pub hold_time: u32,
    /// RFC 4724, both sides.
    pub graceful_restart: bool,
    /// Capabilities beyond these, as both sides are told.
    pub extra: Option<Extra>,
    /// A third speaker in the same AS.
    pub third: Option<Third>,
}

/// Something that only one scene turns on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// RFC 7911: it sends several paths of a prefix.
    AddPath,
    /// RFC 7911: we send several paths of a prefix.
    AddPathFromUs,
    /// RFC 8654.
    ExtendedMessages,
    /// RFC 9234: it is our provider, we are its customer.
    Role,
    /// RFC 8950: IPv4 routes with IPv6 next hops.
    ExtendedNextHop,
}

/// The third speaker: a Redstart too, which announces [`THIRD_PREFIX`] and [`SHARED_PREFIX`] to
/// whoever reflects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Third {
    /// It has a session with the other side.
    TheirClient,
    /// It has a session with us.
    OurClient,
}

impl Session {
    /// An ordinary external session over IPv4 for both families, for which both dial.
    pub fn plain(dial: Dial) -> Self {
        Self {
            our_as: 65001,
            their_as: 65002,
            transport: Family::V4,
            families: Family::ALL.to_vec(),
            dial,
            our_password: None,
            their_password: None,
            ttl_security: false,
            four_octet_as: true,
            hold_time: 9,
            graceful_restart: true,
            extra: None,
            third: None,
        }
    }

    /// A session within one AS, for IPv4 routes, beside another one of whoever reflects.
    pub fn reflected(third: Third, extra: Extra) -> Self {
        Self {
            their_as: 65001,
            families: vec![Family::V4],
            graceful_restart: false,
            extra: Some(extra),
            third: Some(third),
            ..Self::plain(Dial::Us)
        }
    }

    /// Redstart's address in the session.
    pub fn our_address(&self) -> IpAddr {
        our_address(self.transport)
    }

    /// The other side's address in the session.
    pub fn their_address(&self) -> IpAddr {
        their_address(self.transport)
    }

    /// The next hop of the other side's routes.
    pub fn their_next_hop(&self, family: Family) -> IpAddr {
        match self.extra {
            Some(Extra::ExtendedNextHop) => self.their_address(),
            _ => their_address(family),
        }
    }

    /// Whether the other side reflects routes: we and the third speaker are its clients.
    pub fn they_reflect(&self) -> bool {
        self.third == Some(Third::TheirClient)
    }

    /// Communities of the other side's routes.
    pub fn their_communities(&self) -> Vec<String> {
        match self.extra {
            Some(Extra::ExtendedMessages) => (1..=MANY).map(|n| format!("64998:{n}")).collect(),
            _ => vec![THEIR_COMMUNITY.to_owned()],
        }
    }
}

/// Redstart's address, which is the next hop of its routes.
pub fn our_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([10, 99, 0, 1]),
        Family::V6 => IpAddr::from([0xfd99, 0, 0, 0, 0, 0, 0, 1]),
    }
}

/// The other side's address, which is the next hop of its routes.
pub fn their_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([10, 99, 0, 2]),
        Family::V6 => IpAddr::from([0xfd99, 0, 0, 0, 0, 0, 0, 2]),
    }
}

/// The pod CIDRs of the node.
pub fn our_prefix(family: Family) -> &'static str {
    match family {
        Family::V4 => "10.244.1.0/24",
        Family::V6 => "fd00:244:1::/64",
    }
}

/// What the other side announces.
pub fn their_prefix(family: Family) -> &'static str {
    match family {
        Family::V4 => "198.51.100.0/24",
        Family::V6 => "2001:db8:51::/48",
    }
}

/// `ipv4` or `ipv6`.
pub fn family_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// The third speaker's address, which is also its BGP Identifier.
pub const THIRD_ADDRESS: &str = "10.99.0.3";
/// What only the third speaker announces.
pub const THIRD_PREFIX: &str = "198.51.103.0/24";
/// What the third speaker and the one that reflects announce, both.
pub const SHARED_PREFIX: &str = "203.0.113.0/24";
/// Standard communities (4 octets each), or a third of that large ones, that no message of 4096
/// octets can carry.
pub const MANY: u32 = 1100;
/// What stands for a number that 16 bits cannot hold (RFC 6793 section 2).
pub const AS_TRANS: u32 = 23456;
/// An AS behind the other side that 16 bits cannot hold.
pub const BEHIND_THEM: u32 = 4_200_000_077;
/// MED of our routes.
pub const OUR_MED: u32 = 50;
/// Community of our routes.
pub const OUR_COMMUNITY: &str = "64999:100";
/// Large community of our routes.
pub const OUR_LARGE_COMMUNITY: &str = "64999:1:100";
/// MED of their routes.
pub const THEIR_MED: u32 = 77;
/// Community of their routes.
pub const THEIR_COMMUNITY: &str = "64998:51";
/// Their BGP Identifier.
pub const THEIR_ROUTER_ID: &str = "192.0.2.2";
