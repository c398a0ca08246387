//! The rows of the table.

/// Something that two implementations either do together or do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Redstart dials, the other side listens.
    WeDial,
    /// The other side dials, Redstart listens.
    TheyDial,
    /// The session over IPv4.
    Ipv4Session,
    /// The session over IPv6.
    Ipv6Session,
    /// Both families on one session.
    BothFamilies,
    /// Attributes of our routes, as they arrive there.
    OurRoutes,
    /// Attributes of their routes, as they arrive here, and the kernel.
    TheirRoutes,
    /// We take routes back.
    OurWithdrawal,
    /// They take routes back.
    TheirWithdrawal,
    /// ROUTE-REFRESH that they send.
    RouteRefresh,
    /// Our End-of-RIB arrives.
    EndOfRib,
    /// A session with MD5.
    Md5,
    /// No session with different passwords.
    Md5Wrong,
    /// A session with TTL 255 on both sides.
    TtlSecurity,
    /// Large AS numbers on both sides.
    FourOctetAs,
    /// A neighbour that knows only AS numbers of 16 bits.
    TwoOctetAs,
    /// They crash and come back.
    TheyRestart,
    /// We crash and come back.
    WeRestart,
    /// They are silent.
    HoldTimerOurs,
    /// We are silent.
    HoldTimerTheirs,
    /// Our Cease arrives.
    OurCease,
    /// Their Cease with a text arrives.
    TheirCease,
    /// They reflect routes to us.
    RouteReflector,
    /// Several paths of a prefix from them.
    AddPath,
    /// Messages of up to 65535 octets.
    ExtendedMessages,
    /// BGP roles.
    Roles,
    /// BoRR and EoRR.
    EnhancedRefresh,
    /// IPv4 routes with IPv6 next hops.
    ExtendedNextHop,
}

impl Feature {
    /// All of them, in the table's order.
    pub const ALL: [Self; 28] = [
        Self::WeDial,
        Self::TheyDial,
        Self::Ipv4Session,
        Self::Ipv6Session,
        Self::BothFamilies,
        Self::OurRoutes,
        Self::TheirRoutes,
        Self::OurWithdrawal,
        Self::TheirWithdrawal,
        Self::RouteRefresh,
        Self::EndOfRib,
        Self::Md5,
        Self::Md5Wrong,
        Self::TtlSecurity,
        Self::FourOctetAs,
        Self::TwoOctetAs,
        Self::TheyRestart,
        Self::WeRestart,
        Self::HoldTimerOurs,
        Self::HoldTimerTheirs,
        Self::OurCease,
        Self::TheirCease,
        Self::RouteReflector,
        Self::AddPath,
        Self::ExtendedMessages,
        Self::Roles,
        Self::EnhancedRefresh,
        Self::ExtendedNextHop,
    ];

    /// What the row asserts, and where it is from.
    pub fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::WeDial => ("established, Redstart dials", "4271"),
            Self::TheyDial => ("established, the other side dials", "4271"),
            Self::Ipv4Session => ("session over IPv4", "4271"),
            Self::Ipv6Session => ("session over IPv6", "2545"),
            Self::BothFamilies => ("IPv4 and IPv6 routes on one session", "4760"),
            Self::OurRoutes => (
                "our routes arrive: AS_PATH, next hop, MED, communities, large communities",
                "4271, 1997, 8092",
            ),
            Self::TheirRoutes => (
                "their routes arrive: the same attributes in `redc`, next hop in the kernel",
                "4271, 1997",
            ),
            Self::OurWithdrawal => ("our withdrawal arrives", "4271, 4760"),
            Self::TheirWithdrawal => ("their withdrawal arrives, also in the kernel", "4271, 4760"),
            Self::RouteRefresh => ("they ask for our routes again", "2918"),
            Self::EndOfRib => ("our End-of-RIB arrives, for both families", "4724"),
            Self::Md5 => ("session with an MD5 password", "2385"),
            Self::Md5Wrong => ("no session with different MD5 passwords", "2385"),
            Self::TtlSecurity => (
                "session with TTL security; without it on their side, none",
                "5082",
            ),
            Self::FourOctetAs => ("AS numbers above 65535 on both sides", "6793"),
            Self::TwoOctetAs => ("a neighbour that knows only 2-octet AS numbers", "6793"),
            Self::TheyRestart => (
                "they crash: we keep their routes in the kernel, stale, until they are back",
                "4724",
            ),
            Self::WeRestart => ("we crash: they keep our routes until we are back", "4724"),
            Self::HoldTimerOurs => (
                "they fall silent: our hold timer expires; then a new session",
                "4271",
            ),
            Self::HoldTimerTheirs => (
                "we fall silent: their hold timer expires; then a new session",
                "4271",
            ),
            Self::OurCease => (
                "our Cease arrives as what it is: Peer De-configured",
                "4486",
            ),
            Self::TheirCease => (
                "their Administrative Shutdown, with its text, arrives",
                "4486, 9003",
            ),
            Self::RouteReflector => (
                "they reflect: ORIGINATOR_ID and CLUSTER_LIST in `redc`, next hop unchanged",
                "4456",
            ),
            Self::AddPath => ("two paths of one prefix from them", "7911"),
            Self::ExtendedMessages => ("messages above 4096 octets", "8654"),
            Self::Roles => ("roles: provider there, customer here", "9234"),
            Self::EnhancedRefresh => ("refresh between BoRR and EoRR", "7313"),
            Self::ExtendedNextHop => ("IPv4 routes with IPv6 next hops", "8950"),
        }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held, seen from both sides where both show it.
    Holds,
    /// The other side cannot do it, for this reason.
    NotThere(&'static str),
    /// Redstart cannot do it yet.
    NotYet,
    /// It did not hold.
    Failed(String),
}
