//! What is known not to work, and why: rows that are not even tried.

use super::{
    feature::{Feature, Outcome},
    subject::Implementation,
};

/// What is not on the other side, by implementation; the versions are Debian's.
const NOT_THERE: &[(Feature, Implementation, &str)] = &[
    (
        Feature::RouteRefresh,
        Implementation::GoBgp,
        "sends no ROUTE-REFRESH of its own accord: a soft reset uses its own table",
    ),
    (
        Feature::TwoOctetAs,
        Implementation::GoBgp,
        "always knows AS numbers of four octets",
    ),
    (
        Feature::WeRestart,
        Implementation::ExaBgp,
        "keeps no routes of others",
    ),
    (
        Feature::TheirCease,
        Implementation::ExaBgp,
        "its API takes no text",
    ),
    (
        Feature::RouteReflector,
        Implementation::ExaBgp,
        "does not pass routes on",
    ),
    (
        Feature::ExtendedMessages,
        Implementation::GoBgp,
        "not in this version",
    ),
    (Feature::Roles, Implementation::GoBgp, "not in this version"),
    (
        Feature::Roles,
        Implementation::ExaBgp,
        "not in this version",
    ),
    (
        Feature::EnhancedRefresh,
        Implementation::GoBgp,
        "not in this version",
    ),
];

/// What Redstart does not do yet.
const NOT_YET: &[Feature] = &[
    Feature::RouteReflector,
    Feature::AddPath,
    Feature::ExtendedMessages,
    Feature::ExtendedNextHop,
];

/// The outcome that needs no trying.
pub fn known(feature: Feature, kind: Implementation) -> Option<Outcome> {
    let there = NOT_THERE
        .iter()
        .find(|(what, who, _)| *what == feature && *who == kind);
    if let Some((_, _, reason)) = there {
        return Some(Outcome::NotThere(reason));
    }
    NOT_YET.contains(&feature).then_some(Outcome::NotYet)
}
