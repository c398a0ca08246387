//! What is known not to work, and why: rows that are not even tried.

use std::env;

use super::{
    feature::{Feature, Outcome},
    subject::Implementation,
};

/// What the other side cannot.
struct Limit {
    feature: Feature,
    kind: Implementation,
    /// In which of its releases.
    until: Until,
    why: &'static str,
}

/// The last release with a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The one in Debian 12.
    Bookworm,
    /// Every one that was tried.
    Now,
}

const fn limit(feature: Feature, kind: Implementation, until: Until, why: &'static str) -> Limit {
    Limit {
        feature,
        kind,
        until,
        why,
    }
}

const OLD: &str = "not in this version";
const NO_PASSING_ON: &str = "does not pass routes on (ExaBGP keeps no table)";
const NO_TABLE: &str = "keeps no routes of others";
const NO_ROLES: &str =
    "knows no roles and no OTC: there is no option for it, and attribute 35 is an unknown one";
const SHORT_OPEN: &str = "writes the length of its parameters into one octet";
const NO_DSCP: &str = "marks nothing, and has no option for it";
const AIGP_THROWN_AWAY: &str = "throws AIGP away, with `neighbor aigp` as without: \"received AIGP attribute, but eBGP peer \
     do not support it\"";
const DEAF_TO_REFRESH: &str = "heeds no ROUTE-REFRESH, BIRD's as little as ours: \"AID IPv4 unicast not negotiated\", though \
     it is";
const NO_BORR: &str = "ends the session when it is asked: it cannot write a BoRR (\"'RouteRefresh' object is not \
     iterable\")";
const NEW_KEY_NEW_SESSION: &str =
    "ends the session with a Cease when its configuration has a new password";
const NO_BFD: &str = "has no BFD: no daemon and no option for it";
const NO_AIGP: &str = "has no AIGP: attribute 26 is one that it does not know, and drops";
const DEAF_TO_AIGP: &str =
    "throws AIGP away when it arrives, on every session: its switch for it has no effect";
const NO_ENHANCED_REFRESH: &str = "never offers capability 70, and has no option for it";
const NO_LLGR: &str = "never offers capability 71, and has no option for it";

/// What is not on the other side.
const NOT_THERE: &[Limit] = {
    use Feature as F;
    use Implementation::{Bird, ExaBgp, Frr, GoBgp, OpenBgpd};
    use Until::{Bookworm, Now};
    &[
        limit(
            F::RouteRefresh,
            GoBgp,
            Now,
            "sends no ROUTE-REFRESH of its own accord: a soft reset uses its own table",
        ),
        limit(F::EnhancedRefresh, GoBgp, Now, NO_ENHANCED_REFRESH),
        limit(F::TheirEnhancedRefresh, GoBgp, Now, NO_ENHANCED_REFRESH),
        limit(F::OurRefresh, OpenBgpd, Bookworm, DEAF_TO_REFRESH),
        limit(F::TheirEnhancedRefresh, OpenBgpd, Bookworm, DEAF_TO_REFRESH),
        limit(F::OurRefresh, ExaBgp, Now, NO_BORR),
        limit(F::TheirEnhancedRefresh, ExaBgp, Now, NO_BORR),
        limit(F::Md5BothEnds, Bird, Now, NEW_KEY_NEW_SESSION),
        limit(F::Md5BothEnds, Frr, Now, NEW_KEY_NEW_SESSION),
        limit(F::Md5BothEnds, GoBgp, Now, NEW_KEY_NEW_SESSION),
        limit(F::Md5BothEnds, ExaBgp, Now, NEW_KEY_NEW_SESSION),
        limit(
            F::Md5BothEnds,
            OpenBgpd,
            Now,
            "gives a new password to new sessions only: the one that there is goes on with the old \
             one until a hold timer expires",
        ),
        limit(
            F::Md5,
            OpenBgpd,
            Bookworm,
            "gives no password to the socket that it listens on (on Linux)",
        ),
        limit(
            F::TwoOctetAs,
            GoBgp,
            Now,
            "always knows AS numbers of four octets",
        ),
        limit(
            F::AsTrans,
            Bird,
            Now,
            "takes no neighbour with such a number once it may not know them itself",
        ),
        limit(
            F::AsTrans,
            GoBgp,
            Now,
            "always knows AS numbers of four octets",
        ),
        limit(
            F::As4Path,
            GoBgp,
            Now,
            "always knows AS numbers of four octets",
        ),
        limit(F::WeRestart, ExaBgp, Now, NO_TABLE),
        limit(
            F::TheyRestart,
            OpenBgpd,
            Now,
            "keeps no forwarding state over a restart",
        ),
        limit(
            F::OurNotification,
            Bird,
            Now,
            "has no N bit: its Graceful Restart capability never sets it, and there is no option",
        ),
        limit(
            F::TheirNotification,
            Bird,
            Now,
            "has no N bit: its Graceful Restart capability never sets it, and there is no option",
        ),
        limit(
            F::OurNotification,
            ExaBgp,
            Now,
            "has no N bit: its Graceful Restart capability never sets it, and there is no option",
        ),
        limit(
            F::TheirNotification,
            ExaBgp,
            Now,
            "has no N bit: its Graceful Restart capability never sets it, and there is no option",
        ),
        limit(F::OurNotification, OpenBgpd, Bookworm, OLD),
        limit(
            F::OurNotification,
            OpenBgpd,
            Now,
            "keeps no forwarding state over a restart",
        ),
        limit(F::TheirNotification, OpenBgpd, Bookworm, OLD),
        limit(F::TheirLongLived, ExaBgp, Now, NO_LLGR),
        limit(F::OurLongLived, ExaBgp, Now, NO_LLGR),
        limit(F::TheirLongLived, OpenBgpd, Now, NO_LLGR),
        limit(F::OurLongLived, OpenBgpd, Now, NO_LLGR),
        limit(F::BfdOurs, GoBgp, Now, NO_BFD),
        limit(F::BfdTheirs, GoBgp, Now, NO_BFD),
        limit(F::BfdOurs, ExaBgp, Now, NO_BFD),
        limit(F::BfdTheirs, ExaBgp, Now, NO_BFD),
        limit(F::BfdOurs, OpenBgpd, Now, NO_BFD),
        limit(F::BfdTheirs, OpenBgpd, Now, NO_BFD),
        limit(
            F::BothFamilies,
            OpenBgpd,
            Bookworm,
            "over IPv4, gives its IPv6 routes the next hop ::1 (on Linux), which nobody can use",
        ),
        limit(
            F::OurShutdown,
            ExaBgp,
            Now,
            "stumbles over the text, and calls the message malformed",
        ),
        limit(F::TheirCease, ExaBgp, Now, "its API takes no text"),
        limit(F::TheirLimit, ExaBgp, Now, "counts no routes"),
        limit(F::TheirNoExport, ExaBgp, Now, NO_PASSING_ON),
        limit(
            F::ExtendedMessages,
            GoBgp,
            Now,
            "never offers capability 6, and has no option for it",
        ),
        limit(F::ExtendedMessages, OpenBgpd, Bookworm, OLD),
        limit(F::ExtendedNextHop, OpenBgpd, Bookworm, OLD),
        limit(F::Roles, GoBgp, Now, NO_ROLES),
        limit(F::RolesReversed, GoBgp, Now, NO_ROLES),
        limit(F::RoleMismatch, GoBgp, Now, NO_ROLES),
        limit(F::TheirOtc, GoBgp, Now, NO_ROLES),
        limit(F::TheyRefuseLeak, GoBgp, Now, NO_ROLES),
        limit(F::Roles, ExaBgp, Now, NO_ROLES),
        limit(F::RolesReversed, ExaBgp, Now, NO_ROLES),
        limit(F::RoleMismatch, ExaBgp, Now, NO_ROLES),
        limit(F::TheirOtc, ExaBgp, Now, NO_ROLES),
        limit(F::TheyRefuseLeak, ExaBgp, Now, NO_ROLES),
        limit(F::LongOpen, GoBgp, Now, SHORT_OPEN),
        limit(F::LongOpen, ExaBgp, Now, SHORT_OPEN),
        limit(
            F::LongOpen,
            OpenBgpd,
            Now,
            "its OPEN cannot get that long: it has too few families, and no host name in it",
        ),
        limit(
            F::NoFamily,
            OpenBgpd,
            Bookworm,
            "comes back without capabilities after the refusal, and so with IPv4 after all",
        ),
        limit(F::TheirDscp, GoBgp, Now, NO_DSCP),
        limit(F::TheirDscp, ExaBgp, Now, NO_DSCP),
        limit(
            F::TheirNoExport,
            GoBgp,
            Now,
            "does not heed NO_EXPORT without a policy that does",
        ),
        limit(
            F::TheirOtc,
            OpenBgpd,
            Bookworm,
            "acts on its role only where both sides have said theirs",
        ),
        limit(
            F::TheyRefuseLeak,
            OpenBgpd,
            Bookworm,
            "acts on its role only where both sides have said theirs",
        ),
        limit(F::OurAigp, ExaBgp, Now, DEAF_TO_AIGP),
        limit(F::OurInternalAigp, ExaBgp, Now, DEAF_TO_AIGP),
        limit(F::Unnumbered, OpenBgpd, Bookworm, OLD),
        limit(
            F::Unnumbered,
            ExaBgp,
            Now,
            "takes no address with an interface: \"fe80::1%eth0 is an invalid IP address\"",
        ),
        limit(F::OurInternalAigp, Frr, Bookworm, OLD),
        limit(F::TheirInternalAigp, Frr, Bookworm, OLD),
        limit(F::OurInternalAigp, OpenBgpd, Now, NO_AIGP),
        limit(F::TheirInternalAigp, OpenBgpd, Now, NO_AIGP),
        limit(F::OurAigp, Frr, Bookworm, OLD),
        limit(F::TheirAigp, Frr, Bookworm, OLD),
        limit(F::OurAigp, Frr, Now, AIGP_THROWN_AWAY),
        limit(F::TheirAigp, Frr, Now, AIGP_THROWN_AWAY),
        limit(F::OurAigp, OpenBgpd, Now, NO_AIGP),
        limit(F::TheirAigp, OpenBgpd, Now, NO_AIGP),
    ]
};

/// The outcome that needs no trying. `newer`: not with Debian 12's release. `REDSTART_INTEROP_TRY=1`
/// tries everything, and so shows what has become possible.
pub fn known(feature: Feature, kind: Implementation, newer: bool) -> Option<Outcome> {
    if env::var_os("REDSTART_INTEROP_TRY").is_some() {
        return None;
    }
    let there = NOT_THERE.iter().find(|limit| {
        limit.feature == feature && limit.kind == kind && (limit.until == Until::Now || !newer)
    });
    there.map(|limit| Outcome::NotThere(limit.why.to_owned()))
}
