//! How a session comes up, what is agreed on, what keeps it down, and how it ends.

use anyhow::{Result, ensure};

use super::super::{
    bench::{Bench, UP},
    feature::Feature,
    session::{Dial, Extra, Session},
    wire,
};
use super::{dialled_by, runs_over};
use crate::lab::{process::Signal, topology::Family};

/// We dial over IPv6; then one side after the other says nothing for longer than the hold time.
pub(super) fn silence(bench: &mut Bench) -> Result<()> {
    let session = Session {
        transport: Family::V6,
        hold_time: 3,
        graceful_restart: false,
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::WeDial, |bench| {
        bench.up()?;
        dialled_by(bench, Dial::Us)
    });
    bench.row(Feature::Ipv6Session, |bench| {
        runs_over(bench, Family::V6)?;
        bench.exchange(Family::V6)
    });
    bench.row(Feature::HoldTimerOurs, |bench| {
        let error = {
            let mut error = String::new();
            bench.while_paused(|bench| {
                error = bench.down(UP)?;
                bench.uninstalled(Family::V6)
            })?;
            error
        };
        ensure!(error.contains("hold-timer-expired"), "redc shows {error}");
        bench.up()
    });
    bench.row(Feature::HoldTimerTheirs, |bench| {
        bench.ours.signal(Signal::Pause)?;
        let noticed = bench.down_there();
        bench.ours.signal(Signal::Resume)?;
        noticed?;
        bench.up()
    });
    bench.row(Feature::OurShutdown, |bench| {
        bench.up()?;
        bench.ours.stop()?;
        bench.they_say(&["redstart is stopping"])?;
        bench.ours.start(&bench.site)?;
        bench.up()
    });
    bench.row(Feature::OurCease, |bench| {
        bench.up()?;
        bench.ours.delete("peer.yaml")?;
        bench.they_say(&[
            "peer de-configured",
            "peer deconfigured",
            "peer unconfigured",
        ])
    });
    Ok(())
}

/// They offer the smaller hold time.
pub(super) fn their_hold_time(bench: &mut Bench) -> Result<()> {
    let ours = Session {
        hold_time: 30,
        ..Session::plain(Dial::Us)
    };
    wire::watch(&bench.site.us)?;
    bench.start_each(&ours, &Session::plain(Dial::Us))?;
    bench.row(Feature::TheirHoldTime, |bench| {
        bench.up()?;
        agreed(bench, 9)
    });
    let marked = |bench: &mut Bench, [right, wrong]: [&str; 2]| {
        bench.up()?;
        bench.exchange(Family::V4)?;
        let (right, wrong) = (
            wire::count(&bench.site.us, right)?,
            wire::count(&bench.site.us, wrong)?,
        );
        // OPEN, KEEPALIVE and UPDATE at least.
        ensure!(right >= 3 && wrong == 0, "{right} are, {wrong} are not");
        Ok(())
    };
    bench.row(Feature::OurDscp, |bench| {
        marked(bench, ["out-cs6", "out-other"])
    });
    bench.row(Feature::TheirDscp, |bench| {
        marked(bench, ["in-cs6", "in-other"])
    });
    Ok(())
}

/// We offer the smaller hold time; they dial, over IPv6.
pub(super) fn our_hold_time(bench: &mut Bench) -> Result<()> {
    let ours = Session {
        transport: Family::V6,
        ..Session::plain(Dial::Them)
    };
    let theirs = Session {
        hold_time: 30,
        ..ours.clone()
    };
    bench.start_each(&ours, &theirs)?;
    bench.row(Feature::OurHoldTime, |bench| {
        bench.up()?;
        dialled_by(bench, Dial::Them)?;
        runs_over(bench, Family::V6)?;
        agreed(bench, 9)?;
        bench.exchange(Family::V6)
    });
    Ok(())
}

/// Both sides show that hold time, and we a third of it between KEEPALIVEs.
fn agreed(bench: &Bench, seconds: u32) -> Result<()> {
    let protocol = bench.ours.established()?;
    let shown = (protocol.hold_time, protocol.keepalive);
    let wanted = (Some(seconds.into()), Some((seconds / 3).into()));
    ensure!(shown == wanted, "redc shows {shown:?}");
    let there = bench.theirs.hold_time()?;
    ensure!(there == seconds, "they show {there}");
    Ok(())
}

/// We offer both families, they one.
pub(super) fn one_family(bench: &mut Bench) -> Result<()> {
    let theirs = Session {
        families: vec![Family::V4],
        ..Session::plain(Dial::Us)
    };
    bench.start_each(&Session::plain(Dial::Us), &theirs)?;
    bench.row(Feature::OneFamily, |bench| {
        bench.up()?;
        let protocol = bench.ours.established()?;
        let families = protocol.families;
        ensure!(families.len() == 1, "redc shows {families:?}");
        let offers = protocol.local_capabilities;
        for family in ["multiprotocol ipv4", "multiprotocol ipv6"] {
            let there = offers.iter().any(|offer| offer == family);
            ensure!(there, "no {family} in {offers:?}");
        }
        bench.exchange(Family::V4)
    });
    Ok(())
}

/// We offer one family, they the other.
pub(super) fn no_family(bench: &mut Bench) -> Result<()> {
    let only = |family| Session {
        families: vec![family],
        ..Session::plain(Dial::Us)
    };
    bench.start_each(&only(Family::V4), &only(Family::V6))?;
    bench.row(Feature::NoFamily, |bench| {
        bench.refused(&["no-common-family", "Unsupported Capability"])
    });
    Ok(())
}

/// Neither side is in the AS that the other one was told: who notices first says so.
pub(super) fn bad_peer_as(bench: &mut Bench) -> Result<()> {
    let ours = Session {
        their_as: 65009,
        ..Session::plain(Dial::Us)
    };
    bench.start_each(&ours, &Session::plain(Dial::Us))?;
    bench.row(Feature::BadPeerAs, |bench| {
        bench.refused(&["bad-peer-as"])?;
        // The last one is all that GoBGP says.
        bench.they_say(&[
            "bad peer as",
            "as unacceptable",
            "\"code\": 2, \"subcode\": 2",
            "reason=invalid-msg",
        ])
    });
    Ok(())
}

/// The other way round: they refuse ours.
pub(super) fn their_bad_peer_as(bench: &mut Bench) -> Result<()> {
    let theirs = Session {
        our_as: 65009,
        ..Session::plain(Dial::Them)
    };
    bench.start_each(&Session::plain(Dial::Them), &theirs)?;
    bench.row(Feature::TheirBadPeerAs, |bench| {
        bench.refused(&["Bad Peer AS"])
    });
    Ok(())
}

/// Their capabilities need more than the 255 octets that there once were.
pub(super) fn long_open(bench: &mut Bench) -> Result<()> {
    wire::watch(&bench.site.us)?;
    bench.start(&Session {
        extra: Some(Extra::LongOpen),
        ..Session::plain(Dial::Us)
    })?;
    bench.row(Feature::LongOpen, |bench| {
        bench.up()?;
        let long = wire::count(&bench.site.us, "in-long-open")?;
        ensure!(long > 0, "their OPEN was not long");
        bench.exchange(Family::V4)
    });
    Ok(())
}
