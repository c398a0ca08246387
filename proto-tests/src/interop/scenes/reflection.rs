//! Scenes with a third speaker: somebody reflects its routes, and sends every path of a prefix that
//! both have.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};

use super::super::{
    bench::{Bench, SOON, UP},
    feature::Feature,
    session::{
        Extra, SHARED_PREFIX, Session, THEIR_ROUTER_ID, THIRD_ADDRESS, THIRD_PREFIX, Third,
        our_address,
    },
};
use crate::lab::{kernel, topology::Family, wait};

/// They reflect the third speaker's routes to us.
pub(super) fn theirs(bench: &mut Bench) -> Result<()> {
    bench.start(&Session::reflected(Third::TheirClient, Extra::AddPath))?;
    bench.row(Feature::RouteReflector, |bench| {
        bench.up()?;
        wait::until("the reflected route arrives", UP, || {
            bench.ours.path(THIRD_PREFIX).map(drop)
        })?;
        let path = bench.ours.path(THIRD_PREFIX)?;
        let whole = path.originator_id.as_deref() == Some(THIRD_ADDRESS)
            && path.cluster_list == [THEIR_ROUTER_ID]
            && path.next_hop == Some(THIRD_ADDRESS.parse()?);
        if !whole {
            bail!("redc shows {path:?}");
        }
        wait::until("it is in the kernel", SOON, || {
            let routes = kernel::routes_to(&bench.site.us, Family::V4, THIRD_PREFIX)?;
            let hops: Vec<_> = routes.iter().flat_map(|route| &route.next_hops).collect();
            ensure!(
                hops.len() == 1 && hops[0].to_string() == THIRD_ADDRESS,
                "{hops:?}"
            );
            Ok(())
        })
        .map(drop)
    });
    bench.row(Feature::AddPath, |bench| {
        bench.up()?;
        wait::until("both paths arrive", UP, || {
            let paths = bench.ours.paths(SHARED_PREFIX)?;
            let hops: BTreeSet<_> = paths.iter().map(|path| path.next_hop).collect();
            ensure!(paths.len() == 2 && hops.len() == 2, "redc shows {paths:?}");
            Ok(())
        })
        .map(drop)
    });
    Ok(())
}

/// We reflect the third speaker's routes to them.
pub(super) fn ours(bench: &mut Bench) -> Result<()> {
    bench.start(&Session::reflected(Third::OurClient, Extra::AddPathFromUs))?;
    let us = our_address(Family::V4).to_string();
    bench.row(Feature::OurReflection, |bench| {
        bench.up()?;
        let (heard, _) = wait::until("the reflected route arrives", UP, || {
            let heard = bench.theirs.heard(Family::V4, THIRD_PREFIX)?;
            heard.context("not there")
        })?;
        let whole = heard.originator_id.as_deref() == Some(THIRD_ADDRESS)
            && heard.cluster_list == [us.as_str()]
            && heard.next_hop == THIRD_ADDRESS;
        if !whole {
            bail!("they have {heard:?}");
        }
        Ok(())
    });
    bench.row(Feature::AddPathFromUs, |bench| {
        bench.up()?;
        wait::until("both paths arrive", UP, || {
            let paths = bench.theirs.all_heard(Family::V4, SHARED_PREFIX)?;
            let hops: BTreeSet<_> = paths.iter().map(|path| path.next_hop.as_str()).collect();
            ensure!(
                hops == BTreeSet::from([us.as_str(), THIRD_ADDRESS]),
                "they have {paths:?}"
            );
            Ok(())
        })
        .map(drop)
    });
    Ok(())
}
