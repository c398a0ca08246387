//! The scenes: each sets up one kind of session and fills in some rows.
//!
//! What changes the session for good comes last in a scene. A scene that cannot even start fails all
//! its rows.

mod bounds;
mod links;
mod numbers;
mod passing_on;
mod protection;
mod reflection;
mod restarts;
mod roles;
mod routes;
mod sessions;

use anyhow::{Result, ensure};

use super::{bench::Bench, feature::Feature as F, session::Dial};
use crate::lab::topology::Family;

/// A kind of session, and the rows that it fills in.
pub struct Scene {
    /// Short, for names of namespaces.
    pub name: &'static str,
    /// The rows.
    pub features: &'static [F],
    /// Fills them in, as far as it gets.
    pub play: fn(&mut Bench) -> Result<()>,
}

const fn scene(
    name: &'static str,
    features: &'static [F],
    play: fn(&mut Bench) -> Result<()>,
) -> Scene {
    Scene {
        name,
        features,
        play,
    }
}

/// Every scene, those that take longest first.
pub const SCENES: &[Scene] = &[
    scene(
        "silent",
        &[
            F::WeDial,
            F::Ipv6Session,
            F::HoldTimerOurs,
            F::HoldTimerTheirs,
            F::OurShutdown,
            F::OurCease,
        ],
        sessions::silence,
    ),
    scene("gr", &[F::TheyRestart, F::WeRestart], restarts::restarts),
    scene(
        "nbit",
        &[F::OurNotification, F::TheirNotification],
        restarts::notifications,
    ),
    scene(
        "llgr",
        &[F::TheirLongLived, F::OurLongLived],
        restarts::long_lived,
    ),
    scene(
        "rotate",
        &[F::Md5Rotation, F::Md5BothEnds],
        protection::md5_rotation,
    ),
    scene("md5in", &[F::Md5TheyDial], protection::md5_they_dial),
    scene("md5", &[F::Md5], protection::md5),
    scene("range", &[F::ListenRange], protection::listen_range),
    scene("ttl", &[F::TtlSecurity], protection::ttl_security),
    scene("ttlin", &[F::TtlTheyDial], protection::ttl_they_dial),
    scene("bfd", &[F::BfdOurs, F::BfdTheirs], links::bfd),
    scene("limit", &[F::OurLimit], bounds::ours),
    scene("limited", &[F::TheirLimit], bounds::theirs),
    scene(
        "routes",
        &[
            F::TheyDial,
            F::Ipv4Session,
            F::BothFamilies,
            F::OurRoutes,
            F::TheirRoutes,
            F::EndOfRib,
            F::OurWithdrawal,
            F::TheirWithdrawal,
            F::TheirCease,
        ],
        routes::routes,
    ),
    scene(
        "refresh",
        &[F::RouteRefresh, F::EnhancedRefresh, F::OurRefresh],
        routes::refreshes,
    ),
    scene(
        "sweep",
        &[F::TheirEnhancedRefresh],
        routes::enhanced_refresh,
    ),
    scene(
        "byus",
        &[
            F::WePassOn,
            F::OurThirdParty,
            F::OurAigp,
            F::OurNoExport,
            F::TheyRefuseLeak,
            F::TheirOtc,
        ],
        passing_on::by_us,
    ),
    scene(
        "bythem",
        &[
            F::TheyPassOn,
            F::TheirThirdParty,
            F::TheirAigp,
            F::WeRefuseLeak,
            F::TheirNoExport,
            F::OurOtc,
        ],
        passing_on::by_them,
    ),
    scene(
        "aigp",
        &[F::OurInternalAigp, F::TheirInternalAigp],
        passing_on::within_the_as,
    ),
    scene("rr", &[F::RouteReflector, F::AddPath], reflection::theirs),
    scene(
        "ourrr",
        &[F::OurReflection, F::AddPathFromUs],
        reflection::ours,
    ),
    scene(
        "hold",
        &[F::TheirHoldTime, F::OurDscp, F::TheirDscp],
        sessions::their_hold_time,
    ),
    scene("holdus", &[F::OurHoldTime], sessions::our_hold_time),
    scene("one", &[F::OneFamily], sessions::one_family),
    scene("none", &[F::NoFamily], sessions::no_family),
    scene("badas", &[F::BadPeerAs], sessions::bad_peer_as),
    scene("badus", &[F::TheirBadPeerAs], sessions::their_bad_peer_as),
    scene("open", &[F::LongOpen], sessions::long_open),
    scene("as4", &[F::FourOctetAs], numbers::four_octet_as),
    scene("as2", &[F::TwoOctetAs, F::As4Path], numbers::two_octet_as),
    scene("trans", &[F::AsTrans], numbers::as_trans),
    scene("roles", &[F::Roles], roles::provider_there),
    scene("selor", &[F::RolesReversed], roles::customer_there),
    scene("clash", &[F::RoleMismatch], roles::clash),
    scene("long", &[F::ExtendedMessages], links::long_messages),
    scene("enhe", &[F::ExtendedNextHop], links::extended_next_hop),
    scene("unnum", &[F::Unnumbered], links::unnumbered),
];

/// Who dials has an ephemeral port.
fn dialled_by(bench: &Bench, dial: Dial) -> Result<()> {
    let local = bench.ours.established()?.local;
    let listened = local.is_some_and(|local| local.port() == 179);
    ensure!(
        listened == (dial == Dial::Them),
        "our end of the session is {local:?}"
    );
    Ok(())
}

/// The family of the session's addresses.
fn runs_over(bench: &Bench, family: Family) -> Result<()> {
    let remote = bench.ours.established()?.remote;
    let ipv4 = remote.is_some_and(|remote| remote.is_ipv4());
    ensure!(ipv4 == (family == Family::V4), "it runs over {remote:?}");
    Ok(())
}
