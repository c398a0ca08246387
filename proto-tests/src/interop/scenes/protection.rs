//! What protects a session: TCP MD5 and TTL security, whoever dials.

use anyhow::{Result, ensure};

use super::super::{
    bench::{Bench, SOON, UP},
    feature::Feature,
    session::{Dial, Extra, Session, their_prefix},
    wire,
};
use crate::lab::{topology::Family, wait};

const SECRET: &str = "good-secret";

fn with_password(dial: Dial) -> Session {
    Session {
        our_password: Some(SECRET.to_owned()),
        their_password: Some(SECRET.to_owned()),
        graceful_restart: false,
        ..Session::plain(dial)
    }
}

/// A password on both sides; then another one on ours.
pub(super) fn md5(bench: &mut Bench) -> Result<()> {
    protected_by_password(bench, Feature::Md5, &with_password(Dial::Us))
}

/// The same, and they dial.
pub(super) fn md5_they_dial(bench: &mut Bench) -> Result<()> {
    protected_by_password(bench, Feature::Md5TheyDial, &with_password(Dial::Them))
}

/// One password after the other.
pub(super) fn md5_rotation(bench: &mut Bench) -> Result<()> {
    let session = Session {
        hold_time: 30,
        ..with_password(Dial::Them)
    };
    bench.start(&session)?;
    bench.row(Feature::Md5Rotation, |bench| rotation(bench, &session));
    Ok(())
}

/// The same, into a listen range.
pub(super) fn listen_range(bench: &mut Bench) -> Result<()> {
    let session = Session {
        extra: Some(Extra::ListenRange),
        ..with_password(Dial::Them)
    };
    protected_by_password(bench, Feature::ListenRange, &session)
}

fn protected_by_password(bench: &mut Bench, feature: Feature, session: &Session) -> Result<()> {
    let session = Session {
        hold_time: 3,
        ..session.clone()
    };
    bench.start(&session)?;
    bench.row(feature, |bench| {
        bench.up()?;
        bench.exchange(Family::V4)?;
        bench.ours.change_password("wrong-secret")?;
        bench.gone()?;
        bench.stays_down()?;
        bench.ours.change_password(SECRET)?;
        bench.up()
    });
    Ok(())
}

/// While the passwords differ nothing gets through, and nothing is lost: it comes when they are the
/// same again. They come up with a new one as well.
fn rotation(bench: &mut Bench, session: &Session) -> Result<()> {
    bench.up()?;
    let before = bench.ours.established()?.since;
    bench.ours.change_password("new-secret")?;
    let mut withdrawn = false;
    wait::until("their kernel throws away what we send", SOON, || {
        // Something to send, until it is with the new password.
        withdrawn = !withdrawn;
        if withdrawn {
            bench.ours.advertise_nothing()?;
        } else {
            bench.ours.advertise()?;
        }
        let thrown = wire::wrong_digests(&bench.site.them)?;
        ensure!(thrown > 0, "nothing yet");
        Ok(())
    })?;
    bench.ours.advertise()?;
    bench.theirs.announce(Family::V4)?;
    wait::holds("nothing arrives", SOON / 10, || {
        let paths = bench.ours.paths(their_prefix(Family::V4))?;
        ensure!(paths.is_empty(), "it arrived");
        Ok(())
    })?;
    bench.ours.change_password(SECRET)?;
    wait::until("what they sent arrives", UP, || bench.in_kernel(Family::V4))?;
    let after = bench.ours.established()?.since;
    ensure!(before == after, "another session, since {after}");
    bench.ours.change_password("new-secret")?;
    bench.replace_theirs(&Session {
        their_password: Some("new-secret".to_owned()),
        ..session.clone()
    })?;
    wait::until("a new session", UP, || {
        let now = bench.ours.established()?.since;
        ensure!(now != after, "still the old one");
        Ok(())
    })?;
    bench.up()
}

/// Both sides have it; then only ours.
pub(super) fn ttl_security(bench: &mut Bench) -> Result<()> {
    protected_by_ttl(bench, Feature::TtlSecurity, Dial::Us)
}

/// The same, and they dial.
pub(super) fn ttl_they_dial(bench: &mut Bench) -> Result<()> {
    protected_by_ttl(bench, Feature::TtlTheyDial, Dial::Them)
}

fn protected_by_ttl(bench: &mut Bench, feature: Feature, dial: Dial) -> Result<()> {
    let session = Session {
        hold_time: 3,
        ttl_security: true,
        graceful_restart: false,
        ..Session::plain(dial)
    };
    bench.start(&session)?;
    bench.row(feature, |bench| {
        bench.up()?;
        bench.exchange(Family::V4)?;
        // The usual TTL of an external session, which is 1.
        bench.replace_theirs(&Session {
            ttl_security: false,
            ..session.clone()
        })?;
        bench.down(UP)?;
        bench.stays_down()
    });
    Ok(())
}
