//! What is known not to work, and why: rows that are not even tried.

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
const NO_PASSING_ON: &str = "does not pass routes on";

/// What is not on the other side.
const NOT_THERE: &[Limit] = {
    use Feature as F;
    use Implementation::{Bird, ExaBgp, GoBgp, OpenBgpd};
    use Until::{Bookworm, Now};
    &[
        limit(
            F::RouteRefresh,
            GoBgp,
            Now,
            "sends no ROUTE-REFRESH of its own accord: a soft reset uses its own table",
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
        limit(
            F::As4Path,
            OpenBgpd,
            Now,
            "puts no AS but its own and its neighbour's in a path",
        ),
        limit(F::WeRestart, ExaBgp, Now, "keeps no routes of others"),
        limit(
            F::TheyRestart,
            OpenBgpd,
            Now,
            "keeps no forwarding state over a restart",
        ),
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
        limit(F::RouteReflector, ExaBgp, Now, NO_PASSING_ON),
        limit(F::ExtendedMessages, GoBgp, Now, OLD),
        limit(F::ExtendedMessages, OpenBgpd, Bookworm, OLD),
        limit(F::ExtendedNextHop, OpenBgpd, Bookworm, OLD),
        limit(F::Roles, GoBgp, Now, OLD),
        limit(F::Roles, ExaBgp, Now, OLD),
        limit(F::EnhancedRefresh, GoBgp, Now, OLD),
    ]
};

/// What Redstart does not do yet.
const NOT_YET: &[Feature] = &[];

/// The outcome that needs no trying. `newer`: not with Debian 12's release.
pub fn known(feature: Feature, kind: Implementation, newer: bool) -> Option<Outcome> {
    let there = NOT_THERE.iter().find(|limit| {
        limit.feature == feature && limit.kind == kind && (limit.until == Until::Now || !newer)
    });
    if let Some(limit) = there {
        return Some(Outcome::NotThere(limit.why.to_owned()));
    }
    NOT_YET.contains(&feature).then_some(Outcome::NotYet)
}
