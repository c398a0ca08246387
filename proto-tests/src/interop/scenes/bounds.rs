//! More routes than one side takes (RFC 4486 section 4).

use anyhow::{Result, ensure};

use super::super::{
    bench::{Bench, SOON, UP},
    feature::Feature,
    session::{Dial, Extra, Session, Side},
};
use crate::lab::{topology::Family, wait};

/// As the daemons have it.
const WORDS: [&str; 3] = [
    "maximum number of prefixes reached",
    "max-prefix exceeded",
    "\"code\": 6, \"subcode\": 1",
];

fn session(side: Side) -> Session {
    Session {
        graceful_restart: false,
        extra: Some(Extra::Limit(side)),
        ..Session::plain(Dial::Us)
    }
}

/// We take one route, they have three.
pub(super) fn ours(bench: &mut Bench) -> Result<()> {
    let session = session(Side::Us);
    bench.start(&session)?;
    bench.row(Feature::OurLimit, |bench| {
        bench.up()?;
        bench.theirs.announce(Family::V4)?;
        let error = bench.down(UP)?;
        ensure!(error.contains("maximum-prefixes"), "redc shows {error}");
        bench.they_say(&WORDS)?;
        bench.stays_down()?;
        bench.ours.configure(&Session {
            extra: None,
            ..session.clone()
        })?;
        wait::until("a session with a higher limit", UP, || {
            bench.theirs.hurry()?;
            bench.ours.established()
        })?;
        bench.installed(Family::V4)
    });
    Ok(())
}

/// They take one route, we have three.
pub(super) fn theirs(bench: &mut Bench) -> Result<()> {
    bench.start(&session(Side::Them))?;
    bench.row(Feature::TheirLimit, |bench| {
        wait::until("redc shows their Cease", UP + SOON, || {
            let received = bench.ours.protocol()?.last_received;
            let text = received.map(|notice| notice.text).unwrap_or_default();
            ensure!(
                text.contains("Maximum Number of Prefixes Reached"),
                "redc shows {text:?}"
            );
            Ok(())
        })
        .map(drop)
    });
    Ok(())
}
