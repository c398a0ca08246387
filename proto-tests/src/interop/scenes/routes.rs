//! Routes, both ways: their attributes, their withdrawal, and what is asked for again.

use anyhow::{Result, bail, ensure};

use super::super::{
    bench::{Bench, SOON},
    feature::Feature,
    session::{
        Dial, OUR_COMMUNITY, OUR_LARGE_COMMUNITY, OUR_MED, Session, THEIR_COMMUNITY, THEIR_MED,
        our_address, their_address, their_prefix,
    },
    slipped_in::{self, SLIPPED_IN},
};
use super::{dialled_by, runs_over};
use crate::lab::{kernel, topology::Family, wait};

/// They dial over IPv4, and both families are exchanged.
pub(super) fn routes(bench: &mut Bench) -> Result<()> {
    bench.start(&Session::plain(Dial::Them))?;
    bench.row(Feature::TheyDial, |bench| {
        bench.up()?;
        dialled_by(bench, Dial::Them)
    });
    bench.row(Feature::Ipv4Session, |bench| {
        runs_over(bench, Family::V4)?;
        bench.theirs.established()
    });
    bench.exchange(Family::V4)?;
    bench.row(Feature::BothFamilies, |bench| {
        bench.exchange(Family::V6)?;
        let families = bench.ours.established()?.families;
        ensure!(families.len() == 2, "redc shows {families:?}");
        Ok(())
    });
    bench.row(Feature::OurRoutes, |bench| {
        Family::ALL
            .into_iter()
            .try_for_each(|family| our_route(bench, family, "65001"))
    });
    bench.row(Feature::TheirRoutes, |bench| {
        families(bench)
            .iter()
            .try_for_each(|family| their_route(bench, *family, "65002"))
    });
    bench.row(Feature::EndOfRib, |bench| {
        for family in Family::ALL {
            wait::until("End-of-RIB", SOON, || bench.theirs.end_of_rib(family))?;
        }
        Ok(())
    });
    withdrawals(bench);
    Ok(())
}

/// The families of which they have routes in a session over IPv4.
fn families(bench: &Bench) -> &'static [Family] {
    match bench.limit(Feature::BothFamilies) {
        None => &Family::ALL,
        Some(_) => &[Family::V4],
    }
}

/// Both sides take routes back, and at last the session.
fn withdrawals(bench: &mut Bench) {
    bench.row(Feature::OurWithdrawal, |bench| {
        bench.ours.advertise_nothing()?;
        for family in Family::ALL {
            bench.unheard(family)?;
        }
        bench.ours.advertise()?;
        for family in Family::ALL {
            bench.heard(family)?;
        }
        Ok(())
    });
    bench.row(Feature::TheirWithdrawal, |bench| {
        for family in families(bench) {
            let family = *family;
            bench.theirs.withdraw(family)?;
            bench.uninstalled(family)?;
            ensure!(
                bench.ours.paths(their_prefix(family))?.is_empty(),
                "redc still shows the path"
            );
        }
        bench.up()
    });
    bench.row(Feature::TheirCease, |bench| {
        bench.theirs.shut_down("maintenance until noon")?;
        wait::until("redc shows the text", SOON, || {
            let error = bench.ours.protocol()?.last_error.unwrap_or_default();
            ensure!(error.contains("maintenance until noon"), "{error}");
            Ok(())
        })
        .map(drop)
    });
}

pub(super) fn our_route(bench: &Bench, family: Family, as_path: &str) -> Result<()> {
    let heard = bench.heard(family)?;
    let next_hop = our_address(family).to_string();
    let whole = heard.as_path == as_path
        && heard.next_hop == next_hop
        && heard.med == Some(OUR_MED)
        && heard.communities == [OUR_COMMUNITY]
        && heard.large_communities == [OUR_LARGE_COMMUNITY];
    if !whole {
        bail!("they have {heard:?}");
    }
    Ok(())
}

pub(super) fn their_route(bench: &Bench, family: Family, as_path: &str) -> Result<()> {
    bench.installed(family)?;
    let path = bench.ours.path(their_prefix(family))?;
    let whole = path.as_path == as_path
        && path.next_hop == Some(their_address(family))
        && path.med == Some(THEIR_MED)
        && path.communities == [THEIR_COMMUNITY];
    if !whole {
        bail!("redc shows {path:?}");
    }
    Ok(())
}

/// A session with all routes told, on which nobody sends a KEEPALIVE for a while.
fn steady(bench: &mut Bench) -> Result<()> {
    bench.start(&Session {
        hold_time: 90,
        families: vec![Family::V4],
        ..Session::plain(Dial::Us)
    })?;
    bench.up()?;
    bench.exchange(Family::V4)
}

/// Either side asks for the other's routes again. Nobody sends a KEEPALIVE meanwhile.
pub(super) fn refreshes(bench: &mut Bench) -> Result<()> {
    steady(bench)?;
    bench.row(Feature::RouteRefresh, refreshed);
    bench.row(Feature::EnhancedRefresh, delimited);
    bench.row(Feature::OurRefresh, |bench| {
        let before = bench.ours.established()?;
        bench.ours.refresh()?;
        wait::until("their routes come again", SOON, || {
            let now = bench.ours.established()?;
            ensure!(
                now.messages.updates_in > before.messages.updates_in,
                "{} UPDATEs as before",
                now.messages.updates_in
            );
            ensure!(now.since == before.since, "the session was reset");
            bench.theirs.refresh_asked()
        })?;
        bench.in_kernel(Family::V4)
    });
    Ok(())
}

/// We have a route of theirs that they do not have. It goes when we ask for their routes again, as
/// their answer has a beginning and an end; and nothing else goes.
pub(super) fn enhanced_refresh(bench: &mut Bench) -> Result<()> {
    steady(bench)?;
    bench.row(Feature::TheirEnhancedRefresh, |bench| {
        let before = bench.ours.established()?.since;
        let in_kernel = |bench: &Bench| kernel::routes_to(&bench.site.us, Family::V4, SLIPPED_IN);
        slipped_in::announce(bench)?;
        wait::until("it is in the kernel", SOON, || {
            ensure!(!in_kernel(bench)?.is_empty(), "not there");
            Ok(())
        })?;
        bench.ours.refresh()?;
        wait::until("it is gone", SOON, || {
            let paths = bench.ours.paths(SLIPPED_IN)?;
            ensure!(paths.is_empty(), "redc shows {paths:?}");
            let routes = in_kernel(bench)?;
            ensure!(routes.is_empty(), "the kernel has {routes:?}");
            bench.theirs.answer_delimited()
        })?;
        let path = bench.ours.path(their_prefix(Family::V4))?;
        ensure!(!path.stale, "what they repeated is stale");
        let now = bench.ours.established()?.since;
        ensure!(now == before, "the session was reset");
        bench.in_kernel(Family::V4)
    });
    Ok(())
}

/// Our routes go out again, within the same session.
fn refreshed(bench: &mut Bench) -> Result<()> {
    let before = bench.ours.established()?;
    bench.theirs.refresh(Family::V4)?;
    wait::until("our routes go out again", SOON, || {
        let now = bench.ours.established()?;
        ensure!(
            now.messages.updates_out > before.messages.updates_out,
            "{} UPDATEs as before",
            now.messages.updates_out
        );
        ensure!(now.since == before.since, "the session was reset");
        Ok(())
    })?;
    bench.heard(Family::V4).map(drop)
}

/// The answer to the refresh stood between BoRR and EoRR.
fn delimited(bench: &mut Bench) -> Result<()> {
    wait::until("they show BoRR and EoRR", SOON, || {
        bench.theirs.refresh_delimited()
    })
    .map(drop)
}
