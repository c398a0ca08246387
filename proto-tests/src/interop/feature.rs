//! The rows of the table.

use serde::{Deserialize, Serialize};

/// Something that two implementations either do together or do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// And ours is larger.
    AsTrans,
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
    /// A larger number in the path of such a neighbour's route.
    As4Path,
    /// Our Cease arrives with its text.
    OurShutdown,
    /// They reflect routes to us.
    RouteReflector,
    /// We reflect routes to them.
    OurReflection,
    /// Several paths of a prefix from them.
    AddPath,
    /// Several paths of a prefix from us.
    AddPathFromUs,
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
    pub const ALL: [Self; 33] = [
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
        Self::AsTrans,
        Self::As4Path,
        Self::TheyRestart,
        Self::WeRestart,
        Self::HoldTimerOurs,
        Self::HoldTimerTheirs,
        Self::OurCease,
        Self::OurShutdown,
        Self::TheirCease,
        Self::RouteReflector,
        Self::OurReflection,
        Self::AddPath,
        Self::AddPathFromUs,
        Self::ExtendedMessages,
        Self::Roles,
        Self::EnhancedRefresh,
        Self::ExtendedNextHop,
    ];

    /// What the row asserts.
    pub fn what(self) -> &'static str {
        match self {
            Self::WeDial => "established, Redstart dials",
            Self::TheyDial => "established, the other side dials",
            Self::Ipv4Session => "session over IPv4",
            Self::Ipv6Session => "session over IPv6",
            Self::BothFamilies => "IPv4 and IPv6 routes on one session",
            Self::OurRoutes => {
                "our routes arrive: AS_PATH, next hop, MED, communities, large communities"
            }
            Self::TheirRoutes => {
                "their routes arrive: the same attributes in `redc`, next hop in the kernel"
            }
            Self::OurWithdrawal => "our withdrawal arrives",
            Self::TheirWithdrawal => "their withdrawal arrives, also in the kernel",
            Self::RouteRefresh => "they ask for our routes again",
            Self::EndOfRib => "our End-of-RIB arrives, for both families",
            Self::Md5 => "session with an MD5 password",
            Self::Md5Wrong => "no session with different MD5 passwords",
            Self::TtlSecurity => "session with TTL security; without it on their side, none",
            Self::FourOctetAs => "AS numbers above 65535 on both sides",
            Self::TwoOctetAs => "a neighbour that knows only 2-octet AS numbers",
            Self::AsTrans => {
                "the same, and our number is above: AS_TRANS stands for it, or AS4_PATH tells"
            }
            Self::As4Path => {
                "a path behind such a neighbour, with a number above: AS4_PATH tells `redc`"
            }
            Self::TheyRestart => {
                "they crash: we keep their routes in the kernel, stale, until they are back"
            }
            Self::WeRestart => "we crash: they keep our routes until we are back",
            Self::HoldTimerOurs => "they fall silent: our hold timer expires; then a new session",
            Self::HoldTimerTheirs => "we fall silent: their hold timer expires; then a new session",
            Self::OurCease => "our Cease arrives as what it is: Peer De-configured",
            Self::OurShutdown => "our Administrative Shutdown, with its text, arrives",
            Self::TheirCease => "their Administrative Shutdown, with its text, arrives",
            Self::RouteReflector => {
                "they reflect: ORIGINATOR_ID and CLUSTER_LIST in `redc`, next hop unchanged"
            }
            Self::OurReflection => {
                "we reflect: ORIGINATOR_ID and CLUSTER_LIST there, next hop unchanged"
            }
            Self::AddPath => "two paths of one prefix from them",
            Self::AddPathFromUs => "two paths of one prefix from us",
            Self::ExtendedMessages => "messages above 4096 octets, both ways",
            Self::Roles => "roles: provider there, customer here",
            Self::EnhancedRefresh => "refresh between BoRR and EoRR",
            Self::ExtendedNextHop => "IPv4 routes with IPv6 next hops",
        }
    }

    /// The RFCs that it is from.
    pub fn rfc(self) -> &'static str {
        match self {
            Self::WeDial
            | Self::TheyDial
            | Self::Ipv4Session
            | Self::HoldTimerOurs
            | Self::HoldTimerTheirs => "4271",
            Self::Ipv6Session => "2545",
            Self::BothFamilies => "4760",
            Self::OurRoutes => "4271, 1997, 8092",
            Self::TheirRoutes => "4271, 1997",
            Self::OurWithdrawal | Self::TheirWithdrawal => "4271, 4760",
            Self::RouteRefresh => "2918",
            Self::EndOfRib | Self::TheyRestart | Self::WeRestart => "4724",
            Self::Md5 | Self::Md5Wrong => "2385",
            Self::TtlSecurity => "5082",
            Self::FourOctetAs | Self::TwoOctetAs | Self::AsTrans | Self::As4Path => "6793",
            Self::OurCease => "4486",
            Self::OurShutdown | Self::TheirCease => "4486, 9003",
            Self::RouteReflector | Self::OurReflection => "4456",
            Self::AddPath | Self::AddPathFromUs => "7911",
            Self::ExtendedMessages => "8654",
            Self::Roles => "9234",
            Self::EnhancedRefresh => "7313",
            Self::ExtendedNextHop => "8950",
        }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It held, seen from both sides where both show it.
    Holds,
    /// The other side cannot do it, for this reason.
    NotThere(String),
    /// Redstart cannot do it yet.
    NotYet,
    /// It did not hold.
    Failed(String),
}
