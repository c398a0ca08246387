//! A third speaker's routes, passed on: by us, and by the other side. Its routes are those of
//! [`third`](super::super::third).

use anyhow::{Result, ensure};

use super::super::{
    bench::{Bench, SOON, UP},
    feature::Feature,
    session::{Session, THIRD_ADDRESS, Third, their_prefix},
    subject::Heard,
    third::{AIGP, COMMUNITY, DECORATED, EXTENDED, FOR_CUSTOMERS, LARGE, NOT_EXPORTED},
};
use crate::lab::{kernel, topology::Family, wait};

/// The third speaker is our neighbour. They are our provider, though we do not know.
pub(super) fn by_us(bench: &mut Bench) -> Result<()> {
    bench.start(&Session::passing_on(Third::BehindUs))?;
    bench.up()?;
    bench.exchange(Family::V4)?;
    bench.row(Feature::WePassOn, |bench| {
        let heard = arrived(bench)?;
        decorated(
            (&heard.as_path, "65001 65003"),
            &heard.communities,
            &heard.extended_communities,
            &heard.large_communities,
        )
    });
    bench.row(Feature::OurThirdParty, |bench| {
        let heard = arrived(bench)?;
        ensure!(heard.next_hop == THIRD_ADDRESS, "they have {heard:?}");
        Ok(())
    });
    bench.row(Feature::OurAigp, |bench| {
        let heard = arrived(bench)?;
        ensure!(heard.aigp == Some(AIGP), "they have {heard:?}");
        Ok(())
    });
    bench.row(Feature::OurNoExport, |bench| {
        // The last of the third speaker's routes.
        wait::until("we send them what came after it", SOON, || {
            sent(bench, FOR_CUSTOMERS)
        })?;
        let to = bench.ours.exported(NOT_EXPORTED)?;
        ensure!(to.is_empty(), "we sent it to {to:?}");
        let heard = bench.theirs.heard(Family::V4, NOT_EXPORTED)?;
        ensure!(heard.is_none(), "they have {heard:?}");
        Ok(())
    });
    bench.row(Feature::TheyRefuseLeak, |bench| {
        sent(bench, FOR_CUSTOMERS)?;
        // It may be on its way yet: what comes after it is not.
        bench.ours.advertise_nothing()?;
        bench.unheard(Family::V4)?;
        bench.theirs.refuses(FOR_CUSTOMERS)
    });
    bench.row(Feature::TheirOtc, |bench| {
        let path = bench.ours.path(their_prefix(Family::V4))?;
        ensure!(path.otc == Some(65002), "redc shows {path:?}");
        Ok(())
    });
    Ok(())
}

/// The third speaker is our neighbour still; they are in our AS, where AIGP is for everybody.
pub(super) fn within_the_as(bench: &mut Bench) -> Result<()> {
    bench.start(&Session::accumulating())?;
    bench.up()?;
    bench.row(Feature::OurInternalAigp, |bench| {
        let heard = arrived(bench)?;
        ensure!(heard.aigp == Some(AIGP), "they have {heard:?}");
        Ok(())
    });
    bench.row(Feature::TheirInternalAigp, |bench| {
        bench.exchange(Family::V4)?;
        let path = bench.ours.path(their_prefix(Family::V4))?;
        ensure!(path.aigp == Some(AIGP), "redc shows {path:?}");
        Ok(())
    });
    Ok(())
}

/// Fails unless we have sent them a prefix.
fn sent(bench: &Bench, prefix: &str) -> Result<()> {
    let to = bench.ours.exported(prefix)?;
    ensure!(to.iter().any(|to| to == "them"), "we sent it to {to:?}");
    Ok(())
}

/// What they have for the decorated route, once they have it.
fn arrived(bench: &Bench) -> Result<Heard> {
    let (heard, _) = wait::until("the third speaker's route arrives there", UP, || {
        bench
            .theirs
            .heard(Family::V4, DECORATED)?
            .ok_or_else(|| anyhow::anyhow!("not there"))
    })?;
    Ok(heard)
}

/// Every community is as it was; whoever passes a route on may add some.
fn decorated(
    (path, wanted): (&str, &str),
    communities: &[String],
    extended: &[String],
    large: &[String],
) -> Result<()> {
    ensure!(path == wanted, "the path is {path}");
    for (have, wanted) in [
        (communities, &[COMMUNITY][..]),
        (extended, &EXTENDED[..]),
        (large, &LARGE[..]),
    ] {
        let all = wanted
            .iter()
            .all(|wanted| have.iter().any(|have| have == wanted));
        ensure!(all, "{have:?}");
    }
    Ok(())
}

/// The third speaker is their neighbour. We are their provider, though they do not know.
pub(super) fn by_them(bench: &mut Bench) -> Result<()> {
    bench.start(&Session::passing_on(Third::BehindThem))?;
    bench.up()?;
    bench.row(Feature::TheyPassOn, |bench| {
        wait::until("the third speaker's route arrives", UP, || {
            bench.ours.path(DECORATED).map(drop)
        })?;
        let path = bench.ours.path(DECORATED)?;
        decorated(
            (&path.as_path, "65002 65003"),
            &path.communities,
            &path.extended_communities,
            &path.large_communities,
        )
    });
    bench.row(Feature::TheirThirdParty, |bench| {
        let next_hop = bench.ours.path(DECORATED)?.next_hop;
        ensure!(
            next_hop == Some(THIRD_ADDRESS.parse()?),
            "redc shows {next_hop:?}"
        );
        wait::until("it is in the kernel", SOON, || {
            let routes = kernel::routes_to(&bench.site.us, Family::V4, DECORATED)?;
            let hops: Vec<_> = routes.iter().flat_map(|route| &route.next_hops).collect();
            ensure!(
                hops.len() == 1 && hops[0].to_string() == THIRD_ADDRESS,
                "{hops:?}"
            );
            Ok(())
        })
        .map(drop)
    });
    bench.row(Feature::TheirAigp, |bench| {
        let path = bench.ours.path(DECORATED)?;
        ensure!(path.aigp == Some(AIGP), "redc shows {path:?}");
        Ok(())
    });
    bench.row(Feature::WeRefuseLeak, |bench| {
        let (path, _) = wait::until("the leak arrives", SOON, || {
            bench.ours.refused(FOR_CUSTOMERS)
        })?;
        let why = path.not_best.as_deref();
        ensure!(why == Some("refused-route-leak"), "redc shows {why:?}");
        Ok(())
    });
    bench.row(Feature::TheirNoExport, |bench| {
        bench.ours.path(DECORATED)?;
        let paths = bench.ours.paths(NOT_EXPORTED)?;
        ensure!(paths.is_empty(), "redc shows {paths:?}");
        Ok(())
    });
    bench.row(Feature::OurOtc, |bench| {
        let heard = bench.heard(Family::V4)?;
        ensure!(heard.otc == Some(65001), "they have {heard:?}");
        Ok(())
    });
    Ok(())
}
