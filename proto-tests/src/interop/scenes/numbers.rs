//! AS numbers of two octets, of four, and both together (RFC 6793).

use anyhow::{Result, ensure};

use super::super::{
    bench::{Bench, UP},
    feature::Feature,
    session::{AS_TRANS, Dial, Session, THIRD_LONG_AS, Third},
    third::DECORATED,
};
use super::routes::{our_route, their_route};
use crate::lab::{topology::Family, wait};

pub(super) fn four_octet_as(bench: &mut Bench) -> Result<()> {
    let session = Session {
        our_as: 4_200_000_001,
        their_as: 4_200_000_002,
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::FourOctetAs, |bench| {
        bench.up()?;
        bench.exchange(Family::V4)?;
        our_route(bench, Family::V4, "4200000001")?;
        their_route(bench, Family::V4, "4200000002")
    });
    Ok(())
}

/// They speak only the language of 1995. AS4_PATH tells us the number of the third speaker, behind them,
/// that they cannot say.
pub(super) fn two_octet_as(bench: &mut Bench) -> Result<()> {
    let session = Session {
        four_octet_as: false,
        ..Session::passing_on(Third::BehindThem)
    };
    bench.start(&session)?;
    bench.row(Feature::TwoOctetAs, |bench| {
        bench.up()?;
        let offered = bench.ours.established()?.remote_capabilities;
        ensure!(
            !offered.iter().any(|capability| capability == "AS4"),
            "they offered {offered:?}"
        );
        bench.exchange(Family::V4)?;
        our_route(bench, Family::V4, "65001")
    });
    bench.row(Feature::As4Path, |bench| {
        let (path, _) = wait::until("the third speaker's route arrives", UP, || {
            bench.ours.path(DECORATED)
        })?;
        let whole = format!("65002 {THIRD_LONG_AS}");
        ensure!(path.as_path == whole, "redc shows {}", path.as_path);
        Ok(())
    });
    Ok(())
}

/// Our number does not fit into what they can say.
pub(super) fn as_trans(bench: &mut Bench) -> Result<()> {
    let session = Session {
        our_as: 4_200_000_001,
        four_octet_as: false,
        graceful_restart: false,
        families: vec![Family::V4],
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::AsTrans, |bench| {
        bench.up()?;
        bench.exchange(Family::V4)?;
        // Some look into AS4_PATH although they did not say so.
        our_route(bench, Family::V4, &AS_TRANS.to_string())
            .or_else(|_| our_route(bench, Family::V4, "4200000001"))
    });
    Ok(())
}
