//! Sessions that end and come back, and the routes meanwhile: graceful restart (RFC 4724), also after a
//! NOTIFICATION (RFC 8538), and for long (RFC 9494).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::{
    bench::{Bench, SOON, UP},
    feature::Feature,
    session::{Dial, Extra, Session, our_prefix, their_prefix},
    subject::Heard,
};
use crate::lab::{process::Signal, topology::Family, wait};

/// LLGR_STALE (RFC 9494 section 4.6).
const LLGR_STALE: [&str; 2] = ["65535:6", "llgr-stale"];

/// One side after the other crashes and comes back; nothing leaves any table.
pub(super) fn restarts(bench: &mut Bench) -> Result<()> {
    bench.start(&Session::plain(Dial::Us))?;
    bench.up()?;
    bench.exchange(Family::V4)?;
    bench.row(Feature::TheyRestart, |bench| {
        bench.theirs.kill()?;
        bench.down(UP)?;
        ensure!(
            bench.ours.path(their_prefix(Family::V4))?.stale,
            "redc does not show the path as stale"
        );
        bench.in_kernel(Family::V4)?;
        bench.theirs.start()?;
        wait::until("session is back, the path confirmed", UP, || {
            bench.in_kernel(Family::V4)?;
            bench.ours.established()?;
            let path = bench.ours.path(their_prefix(Family::V4))?;
            ensure!(!path.stale, "still stale");
            Ok(())
        })?;
        bench.up()
    });
    bench.row(Feature::WeRestart, |bench| {
        bench.up()?;
        bench.heard(Family::V4)?;
        bench.ours.kill()?;
        bench.down_there()?;
        still_there(bench)?;
        bench.ours.start(&bench.site)?;
        wait::until("session is back", UP, || {
            bench.ours.established()?;
            bench.theirs.established()
        })?;
        wait::holds("our route stays", SOON / 5, || still_there(bench).map(drop))?;
        bench.in_kernel(Family::V4)
    });
    Ok(())
}

/// What they have of ours, now.
fn still_there(bench: &Bench) -> Result<Heard> {
    let heard = bench.theirs.heard(Family::V4, our_prefix(Family::V4))?;
    heard.context("they have dropped our route")
}

/// One side after the other says nothing for longer than the hold time. The NOTIFICATION that follows
/// ends the session, and nobody's routes.
pub(super) fn notifications(bench: &mut Bench) -> Result<()> {
    bench.start(&Session {
        hold_time: 3,
        extra: Some(Extra::Notification),
        ..Session::plain(Dial::Us)
    })?;
    bench.up()?;
    bench.exchange(Family::V4)?;
    bench.row(Feature::OurNotification, |bench| {
        bench.while_paused(|bench| {
            let error = bench.down(UP)?;
            ensure!(error.contains("hold-timer-expired"), "redc shows {error}");
            stale_here(bench)
        })?;
        wait::until("the session is back, and no route was lost", UP, || {
            bench.in_kernel(Family::V4)?;
            still_there(bench)?;
            bench.ours.established()
        })?;
        bench.up()
    });
    bench.row(Feature::TheirNotification, |bench| {
        bench.up()?;
        bench.heard(Family::V4)?;
        bench.ours.signal(Signal::Pause)?;
        let noticed = bench.down_there().and_then(|()| {
            wait::holds("our route stays", Duration::from_secs(1), || {
                still_there(bench).map(drop)
            })
        });
        bench.ours.signal(Signal::Resume)?;
        noticed?;
        wait::until("the session is back, and no route was lost", UP, || {
            bench.in_kernel(Family::V4)?;
            still_there(bench)?;
            bench.ours.established()
        })?;
        bench.up()
    });
    Ok(())
}

fn stale_here(bench: &Bench) -> Result<()> {
    let path = bench.ours.path(their_prefix(Family::V4))?;
    ensure!(path.stale, "redc does not show the path as stale");
    bench.in_kernel(Family::V4)
}

/// One side after the other stays away for longer than the restart time.
pub(super) fn long_lived(bench: &mut Bench) -> Result<()> {
    bench.start(&Session {
        restart_time: 2,
        families: vec![Family::V4],
        extra: Some(Extra::LongLived),
        ..Session::plain(Dial::Us)
    })?;
    bench.up()?;
    bench.exchange(Family::V4)?;
    bench.row(Feature::TheirLongLived, |bench| {
        bench.theirs.kill()?;
        bench.down(UP)?;
        wait::until("redc shows the last resort", SOON, || {
            let path = bench.ours.path(their_prefix(Family::V4))?;
            ensure!(path.long_lived_stale, "redc shows {path:?}");
            Ok(())
        })?;
        bench.in_kernel(Family::V4)?;
        bench.theirs.start()?;
        wait::until("session is back, the path confirmed", UP, || {
            bench.in_kernel(Family::V4)?;
            let path = bench.ours.path(their_prefix(Family::V4))?;
            ensure!(!path.long_lived_stale, "still the last resort");
            Ok(())
        })?;
        bench.up()
    });
    bench.row(Feature::OurLongLived, |bench| {
        bench.up()?;
        bench.heard(Family::V4)?;
        bench.ours.kill()?;
        bench.down_there()?;
        wait::until("they show the last resort", SOON, || {
            let heard = still_there(bench)?;
            let stale =
                |community: &String| LLGR_STALE.contains(&community.to_lowercase().as_str());
            ensure!(heard.communities.iter().any(stale), "they have {heard:?}");
            Ok(())
        })?;
        bench.ours.start(&bench.site)?;
        wait::until("session is back, the route confirmed", UP, || {
            bench.ours.established()?;
            let heard = still_there(bench)?;
            ensure!(heard.communities.len() == 1, "they have {heard:?}");
            Ok(())
        })
        .map(drop)
    });
    Ok(())
}
