//! The rows of the table.

use serde::{Deserialize, Serialize};

/// Declares the rows, in the table's order: what each asserts, and the RFCs that it is from.
macro_rules! rows {
    ($($name:ident: $what:literal, $rfc:literal;)*) => {
        /// Something that two implementations either do together or do not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Feature {
            $(#[doc = $what] $name,)*
        }

        impl Feature {
            /// All of them, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What the row asserts.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }

            /// The RFCs that it is from.
            pub fn rfc(self) -> &'static str {
                match self { $(Self::$name => $rfc,)* }
            }
        }
    };
}

rows! {
    WeDial: "established, Redstart dials", "4271";
    TheyDial: "established, the other side dials", "4271";
    Ipv4Session: "session over IPv4", "4271";
    Ipv6Session: "session over IPv6", "2545";
    BothFamilies: "IPv4 and IPv6 routes on one session", "4760";
    OneFamily: "we offer both families, they offer one: a session for that one", "4760, 5492";
    NoFamily: "no family in common: no session, and the side that refuses says why", "4760, 5492";
    BadPeerAs: "not the AS that we expect: no session, Bad Peer AS on both sides", "4271";
    TheirBadPeerAs: "not the AS that they expect: no session, Bad Peer AS on both sides", "4271";
    TheirHoldTime: "their hold time is the smaller one, and counts", "4271";
    OurHoldTime: "our hold time is the smaller one, and counts", "4271";
    LongOpen: "their OPEN has more than 255 octets of parameters", "9072";
    OurDscp: "everything that we send is marked CS6", "4271, 2474";
    TheirDscp: "every message that they send is marked CS6", "4271, 2474";
    OurRoutes: "our routes arrive: AS_PATH, next hop, MED, communities, large communities",
        "4271, 1997, 8092";
    TheirRoutes: "their routes arrive: the same attributes in `redc`, next hop in the kernel",
        "4271, 1997";
    WePassOn: "we pass on a route: extended and large communities as they came", "1997, 4360, 8092";
    TheyPassOn: "they pass on a route: extended and large communities as they came",
        "1997, 4360, 8092";
    OurThirdParty: "we pass on a route of their subnet: its next hop is the third party", "4271";
    TheirThirdParty: "they pass on a route of our subnet: its next hop is the third party, in the kernel",
        "4271";
    OurNoExport: "we keep what carries NO_EXPORT from them", "1997";
    TheirNoExport: "they keep what carries NO_EXPORT from us", "1997";
    OurAigp: "we pass on AIGP", "7311";
    TheirAigp: "their AIGP arrives in `redc`", "7311";
    OurInternalAigp: "we pass on AIGP within the AS", "7311";
    TheirInternalAigp: "their AIGP arrives in `redc` within the AS", "7311";
    OurWithdrawal: "our withdrawal arrives", "4271, 4760";
    TheirWithdrawal: "their withdrawal arrives, also in the kernel", "4271, 4760";
    RouteRefresh: "they ask for our routes again", "2918";
    OurRefresh: "we ask for their routes again", "2918";
    EnhancedRefresh: "our answer stands between BoRR and EoRR", "7313";
    TheirEnhancedRefresh: "their answer stands between BoRR and EoRR: what it does not repeat is gone",
        "7313";
    EndOfRib: "our End-of-RIB arrives, for both families", "4724";
    Md5: "session with an MD5 password, Redstart dials; with different ones, none", "2385";
    Md5TheyDial: "session with an MD5 password, they dial; with different ones, none", "2385";
    Md5Rotation: "our password changes and changes back: the same session; both change: a session again",
        "2385";
    Md5BothEnds: "both passwords change, one soon after the other: the same session", "2385";
    ListenRange: "they dial into a listen range with an MD5 password; with a different one, none",
        "2385";
    TtlSecurity: "session with TTL security, Redstart dials; without it on their side, none", "5082";
    TtlTheyDial: "session with TTL security, they dial; without it on their side, none", "5082";
    FourOctetAs: "AS numbers above 65535 on both sides", "6793";
    TwoOctetAs: "a neighbour that knows only 2-octet AS numbers", "6793";
    AsTrans: "the same, and our number is above: AS_TRANS stands for it, or AS4_PATH tells", "6793";
    As4Path: "a path behind such a neighbour, with a number above: AS4_PATH tells `redc`", "6793";
    TheyRestart: "they crash: we keep their routes in the kernel, stale, until they are back", "4724";
    WeRestart: "we crash: they keep our routes until we are back", "4724";
    OurNotification: "our hold timer expires: the NOTIFICATION costs no route on either side", "8538";
    TheirNotification: "their hold timer expires: the NOTIFICATION costs no route on either side",
        "8538";
    TheirLongLived: "they stay away: their route is kept as a last resort, with LLGR_STALE", "9494";
    OurLongLived: "we stay away: our route is kept there as a last resort, with LLGR_STALE", "9494";
    HoldTimerOurs: "they fall silent: our hold timer expires; then a new session", "4271";
    HoldTimerTheirs: "we fall silent: their hold timer expires; then a new session", "4271";
    BfdOurs: "BFD is up; they fall silent: it ends the session long before the hold timer",
        "5880, 5881, 5882";
    BfdTheirs: "BFD is up; we fall silent: they end the session long before the hold timer",
        "5880, 5881, 5882";
    OurCease: "our Cease arrives as what it is: Peer De-configured", "4486";
    OurShutdown: "our Administrative Shutdown, with its text, arrives", "4486, 9003";
    TheirCease: "their Administrative Shutdown, with its text, arrives", "4486, 9003";
    OurLimit: "more routes than we take: our Cease arrives as what it is; a higher limit, a session",
        "4486";
    TheirLimit: "more routes than they take: their Cease arrives as what it is", "4486";
    RouteReflector: "they reflect: ORIGINATOR_ID and CLUSTER_LIST in `redc`, next hop unchanged",
        "4456";
    OurReflection: "we reflect: ORIGINATOR_ID and CLUSTER_LIST there, next hop unchanged", "4456";
    AddPath: "two paths of one prefix from them", "7911";
    AddPathFromUs: "two paths of one prefix from us", "7911";
    ExtendedMessages: "messages above 4096 octets, both ways", "8654";
    Roles: "roles: provider there, customer here", "9234";
    RolesReversed: "roles: customer there, provider here", "9234";
    RoleMismatch: "both are the provider: no session, Role Mismatch on both sides", "9234";
    OurOtc: "our routes to a customer carry OTC", "9234";
    TheirOtc: "their routes to a customer carry OTC", "9234";
    WeRefuseLeak: "a route with OTC from a customer: we refuse it as a leak", "9234";
    TheyRefuseLeak: "a route with OTC from a customer: they refuse it as a leak", "9234";
    ExtendedNextHop: "IPv4 routes with IPv6 next hops", "8950";
    Unnumbered: "unnumbered: we find each other on the link, IPv4 routes over link-local addresses",
        "4861, 8950";
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It held, seen from both sides where both show it.
    Holds,
    /// The other side cannot do it, for this reason.
    NotThere(String),
    /// It did not hold.
    Failed(String),
}
