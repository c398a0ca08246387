//! What is special about the link: next hops of the other family, no addresses at all, BFD, and messages
//! that are long.

use anyhow::{Result, ensure};

use super::super::{
    bench::{Bench, SOON, UP},
    feature::Feature,
    session::{Dial, Extra, MANY, Session, our_prefix, their_prefix},
};
use crate::lab::{process::Signal, topology::Family, wait};

/// Each side's route has more communities than a message of 4096 octets can carry.
pub(super) fn long_messages(bench: &mut Bench) -> Result<()> {
    let session = Session {
        families: vec![Family::V4],
        extra: Some(Extra::ExtendedMessages),
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::ExtendedMessages, |bench| {
        bench.up()?;
        bench.exchange(Family::V4)?;
        let many = usize::try_from(MANY)?;
        let theirs = &bench.theirs;
        wait::until("all communities arrive there", SOON, || {
            theirs.heard_large_communities(Family::V4, our_prefix(Family::V4), many / 3 + 1)
        })?;
        let here = bench.ours.path(their_prefix(Family::V4))?.communities.len();
        ensure!(here == many, "redc shows {here} communities");
        Ok(())
    });
    Ok(())
}

/// Over IPv6, IPv4 routes have the ends of the session as next hops, both ways, and in the kernel.
pub(super) fn extended_next_hop(bench: &mut Bench) -> Result<()> {
    let session = Session {
        transport: Family::V6,
        extra: Some(Extra::ExtendedNextHop),
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::ExtendedNextHop, |bench| {
        ipv4_over_ipv6(bench, &session)
    });
    Ok(())
}

/// The same over addresses that nobody was told: Router Advertisements say where either side is.
pub(super) fn unnumbered(bench: &mut Bench) -> Result<()> {
    let session = Session {
        extra: Some(Extra::Unnumbered),
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::Unnumbered, |bench| ipv4_over_ipv6(bench, &session));
    Ok(())
}

fn ipv4_over_ipv6(bench: &mut Bench, session: &Session) -> Result<()> {
    bench.up()?;
    bench.theirs.announce(Family::V4)?;
    let heard = bench.heard(Family::V4)?;
    let here = session.our_address().to_string();
    ensure!(heard.next_hop == here, "they show {}", heard.next_hop);
    wait::until("their prefix is in the kernel by IPv6", SOON, || {
        bench.leads_to(Family::V4, &session.their_address())
    })
    .map(drop)
}

/// One side after the other stops its BFD, far below the hold time.
pub(super) fn bfd(bench: &mut Bench) -> Result<()> {
    bench.start(&Session {
        hold_time: 240,
        graceful_restart: false,
        extra: Some(Extra::Bfd),
        ..Session::plain(Dial::Us)
    })?;
    let up = |bench: &Bench| {
        bench.up()?;
        wait::until("BFD is up", UP, || bench.ours.bfd_up()).map(drop)
    };
    bench.row(Feature::BfdOurs, |bench| {
        up(bench)?;
        bench.exchange(Family::V4)?;
        bench.theirs.signal_bfd(Signal::Pause)?;
        let noticed = wait::until("we notice", SOON, || {
            // A session may be back at once, or fail anew: BGP goes on where only BFD has stopped.
            let protocol = bench.ours.protocol()?;
            let sent = protocol.last_sent.map(|notice| notice.text);
            let by_bfd = sent.as_ref().is_some_and(|text| text.contains("BFD"));
            ensure!(
                by_bfd,
                "redc shows {:?}, and {sent:?} sent",
                protocol.last_error
            );
            Ok(())
        });
        bench.theirs.signal_bfd(Signal::Resume)?;
        noticed?;
        up(bench)
    });
    bench.row(Feature::BfdTheirs, |bench| {
        up(bench)?;
        bench.ours.signal(Signal::Pause)?;
        let noticed = bench.down_there();
        bench.ours.signal(Signal::Resume)?;
        noticed?;
        up(bench)
    });
    Ok(())
}
