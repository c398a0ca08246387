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
    /// Hold time to offer, in seconds.
    pub hold_time: u32,
    /// RFC 4724, both sides.
    pub graceful_restart: bool,
    /// How long the neighbour shall keep routes over a restart, in seconds.
    pub restart_time: u32,
    /// What this scene turns on beyond these.
    pub extra: Option<Extra>,
    /// A third speaker.
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
    /// RFC 9234: both sides have a role.
    Roles(Roles),
    /// RFC 8950: IPv4 routes with IPv6 next hops.
    ExtendedNextHop,
    /// RFC 9494, both sides: [`STALE_TIME`].
    LongLived,
    /// RFC 8538. Redstart always offers it with graceful restart.
    Notification,
    /// BFD, both sides.
    Bfd,
    /// One side takes one IPv4 route and no more; [`their_prefixes`](Session::their_prefixes) are more,
    /// and so are ours.
    Limit(Side),
    /// RFC 9072: their OPEN is long.
    LongOpen,
    /// Redstart has a listen range in the place of their address.
    ListenRange,
    /// Neither side has an address but the link-local ones of their MAC addresses.
    Unnumbered,
    /// RFC 7311: the other side's own routes have [`AIGP`](super::third::AIGP).
    Aigp,
}

/// The roles of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    /// They are our provider.
    ProviderThere,
    /// They are our customer.
    CustomerThere,
    /// Both want to be the provider.
    Clash,
}

/// One of the two sides of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Redstart.
    Us,
    /// The other one.
    Them,
}

/// The third speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Third {
    /// A Redstart in the same AS, which announces [`THIRD_PREFIX`] and [`SHARED_PREFIX`] to the other
    /// side, which reflects.
    TheirClient,
    /// The same, and we reflect.
    OurClient,
    /// A neighbour of the other side, in AS [`THIRD_AS`] or [`THIRD_LONG_AS`]. The other side passes its
    /// routes on to us: those of [`third`](super::third). We have a role, provider, and they have none.
    BehindThem,
    /// The same neighbour is ours, and we pass on. They have a role, provider, and we have none.
    BehindUs,
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
            restart_time: 30,
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

    /// One where routes of a third speaker are passed on.
    pub fn passing_on(third: Third) -> Self {
        Self {
            families: vec![Family::V4],
            graceful_restart: false,
            third: Some(third),
            ..Self::plain(Dial::Us)
        }
    }

    /// Redstart's address in the session.
    pub fn our_address(&self) -> IpAddr {
        match self.extra {
            Some(Extra::Unnumbered) => link_local(1),
            _ => our_address(self.transport),
        }
    }

    /// The other side's address in the session.
    pub fn their_address(&self) -> IpAddr {
        match self.extra {
            Some(Extra::Unnumbered) => link_local(2),
            _ => their_address(self.transport),
        }
    }

    /// The next hop of the other side's routes.
    pub fn their_next_hop(&self, family: Family) -> IpAddr {
        match self.extra {
            Some(Extra::ExtendedNextHop | Extra::Unnumbered) => self.their_address(),
            _ => their_address(family),
        }
    }

    /// What the other side announces of a family.
    pub fn their_prefixes(&self, family: Family) -> Vec<&'static str> {
        let mut all = vec![their_prefix(family)];
        if matches!(self.extra, Some(Extra::Limit(_))) && family == Family::V4 {
            all.extend(MORE_PREFIXES);
        }
        all
    }

    /// The role that the other side takes, in the words of RFC 9234.
    pub fn their_role(&self) -> Option<&'static str> {
        match (self.extra, self.third) {
            (Some(Extra::Roles(Roles::CustomerThere)), _) => Some("customer"),
            // Roles are between ASes.
            (Some(Extra::Aigp), _) => None,
            (Some(Extra::Roles(_)), _) | (_, Some(Third::BehindUs)) => Some("provider"),
            _ => None,
        }
    }

    /// The role that we take, as `BGPPeer` has it.
    pub fn our_role(&self) -> Option<&'static str> {
        match (self.extra, self.third) {
            (Some(Extra::Roles(Roles::ProviderThere)), _) => Some("Customer"),
            (Some(Extra::Roles(_)), _) | (_, Some(Third::BehindThem)) => Some("Provider"),
            _ => None,
        }
    }

    /// The AS of the third speaker.
    pub fn third_as(&self) -> u32 {
        match self.third {
            Some(Third::BehindThem | Third::BehindUs) if !self.four_octet_as => THIRD_LONG_AS,
            Some(Third::BehindThem | Third::BehindUs) => THIRD_AS,
            _ => self.our_as,
        }
    }

    /// Whether the third speaker is a neighbour of the other side.
    pub fn third_is_theirs(&self) -> bool {
        matches!(self.third, Some(Third::TheirClient | Third::BehindThem))
    }

    /// A session within one AS, into which we pass on the routes of a third speaker.
    pub fn accumulating() -> Self {
        Self {
            their_as: 65001,
            extra: Some(Extra::Aigp),
            ..Self::passing_on(Third::BehindUs)
        }
    }

    /// Whether routes of a third AS are passed on.
    pub fn passes_on(&self) -> bool {
        matches!(self.third, Some(Third::BehindThem | Third::BehindUs))
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

/// Link-local addresses of the two ends, as their MAC addresses make them.
fn link_local(end: u16) -> IpAddr {
    IpAddr::from([0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, end])
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
/// More prefixes of the other side, where there is a limit.
pub const MORE_PREFIXES: [&str; 2] = ["198.51.101.0/24", "198.51.102.0/24"];
/// The AS of a third speaker that is in neither side's.
pub const THIRD_AS: u32 = 65003;
/// How long stale routes are kept as a last resort, in seconds.
pub const STALE_TIME: u32 = 60;
/// Standard communities (4 octets each), or a third of that large ones, that no message of 4096
/// octets can carry.
pub const MANY: u32 = 1100;
/// What stands for a number that 16 bits cannot hold (RFC 6793 section 2).
pub const AS_TRANS: u32 = 23456;
/// The third speaker's AS where a neighbour of two-octet numbers stands before it: 16 bits cannot hold
/// it.
pub const THIRD_LONG_AS: u32 = 4_200_000_077;
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
