//! The scenes: each sets up one kind of session and fills in some rows.
//!
//! What changes the session for good comes last in a scene. A scene that cannot even start fails all
//! its rows.

mod reflection;

use anyhow::{Result, bail, ensure};

use super::{
    bench::{Bench, SOON, UP},
    feature::Feature,
    session::{
        AS_TRANS, BEHIND_THEM, Dial, Extra, MANY, OUR_COMMUNITY, OUR_LARGE_COMMUNITY, OUR_MED,
        Session, THEIR_COMMUNITY, THEIR_MED, our_address, our_prefix, their_address, their_prefix,
    },
    subject::Implementation,
};
use crate::lab::{process::Signal, topology::Family, wait};

/// A kind of session, and the rows that it fills in.
pub struct Scene {
    /// Short, for names of namespaces.
    pub name: &'static str,
    /// The rows.
    pub features: &'static [Feature],
    /// Fills them in, as far as it gets.
    pub play: fn(&mut Bench) -> Result<()>,
}

/// Every scene, those that take longest first.
pub const SCENES: &[Scene] = &[
    Scene {
        name: "gr",
        features: &[Feature::TheyRestart, Feature::WeRestart],
        play: restarts,
    },
    Scene {
        name: "silent",
        features: &[
            Feature::WeDial,
            Feature::Ipv6Session,
            Feature::HoldTimerOurs,
            Feature::HoldTimerTheirs,
            Feature::OurShutdown,
            Feature::OurCease,
        ],
        play: silence,
    },
    Scene {
        name: "routes",
        features: &[
            Feature::TheyDial,
            Feature::Ipv4Session,
            Feature::BothFamilies,
            Feature::OurRoutes,
            Feature::TheirRoutes,
            Feature::EndOfRib,
            Feature::RouteRefresh,
            Feature::EnhancedRefresh,
            Feature::OurWithdrawal,
            Feature::TheirWithdrawal,
            Feature::TheirCease,
        ],
        play: routes,
    },
    Scene {
        name: "md5",
        features: &[Feature::Md5, Feature::Md5Wrong],
        play: md5,
    },
    Scene {
        name: "ttl",
        features: &[Feature::TtlSecurity],
        play: ttl_security,
    },
    Scene {
        name: "as4",
        features: &[Feature::FourOctetAs],
        play: four_octet_as,
    },
    Scene {
        name: "as2",
        features: &[Feature::TwoOctetAs, Feature::As4Path],
        play: two_octet_as,
    },
    Scene {
        name: "trans",
        features: &[Feature::AsTrans],
        play: as_trans,
    },
    Scene {
        name: "roles",
        features: &[Feature::Roles],
        play: roles,
    },
    Scene {
        name: "rr",
        features: &[Feature::RouteReflector, Feature::AddPath],
        play: reflection::theirs,
    },
    Scene {
        name: "ourrr",
        features: &[Feature::OurReflection, Feature::AddPathFromUs],
        play: reflection::ours,
    },
    Scene {
        name: "long",
        features: &[Feature::ExtendedMessages],
        play: long_messages,
    },
    Scene {
        name: "enhe",
        features: &[Feature::ExtendedNextHop],
        play: extended_next_hop,
    },
];

/// They dial over IPv4, and both families are exchanged.
fn routes(bench: &mut Bench) -> Result<()> {
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
    bench.row(Feature::RouteRefresh, refreshed);
    bench.row(Feature::EnhancedRefresh, delimited);
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

fn our_route(bench: &Bench, family: Family, as_path: &str) -> Result<()> {
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

fn their_route(bench: &Bench, family: Family, as_path: &str) -> Result<()> {
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

/// We dial over IPv6; then one side after the other says nothing for longer than the hold time.
fn silence(bench: &mut Bench) -> Result<()> {
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
        let noticed = wait::until("they notice", UP, || match bench.theirs.established() {
            Err(_) => Ok(()),
            Ok(()) => bail!("still Established"),
        });
        bench.ours.signal(Signal::Resume)?;
        noticed?;
        bench.up()
    });
    bench.row(Feature::OurShutdown, |bench| {
        bench.up()?;
        bench.ours.stop()?;
        they_say(bench, &["redstart is stopping"])?;
        bench.ours.start(&bench.site)?;
        bench.up()
    });
    bench.row(Feature::OurCease, |bench| {
        bench.up()?;
        bench.ours.delete("peer.yaml")?;
        they_say(
            bench,
            &[
                "peer de-configured",
                "peer deconfigured",
                "peer unconfigured",
            ],
        )
    });
    Ok(())
}

/// Any of these, in small letters.
fn they_say(bench: &Bench, words: &[&str]) -> Result<()> {
    wait::until("they show why", SOON, || {
        let says = bench.theirs.says()?.to_lowercase();
        let shown = words.iter().any(|words| says.contains(words));
        ensure!(shown, "not there");
        Ok(())
    })
    .map(drop)
}

/// A password on both sides; then another one on ours.
fn md5(bench: &mut Bench) -> Result<()> {
    // OpenBGPD on Linux gives no password to the socket that it listens on.
    let dial = match bench.kind {
        Implementation::OpenBgpd => Dial::Them,
        _ => Dial::Us,
    };
    let session = Session {
        hold_time: 3,
        our_password: Some("good-secret".to_owned()),
        their_password: Some("good-secret".to_owned()),
        ..Session::plain(dial)
    };
    bench.start(&session)?;
    bench.row(Feature::Md5, |bench| {
        bench.up()?;
        bench.exchange(Family::V4)
    });
    bench.row(Feature::Md5Wrong, |bench| {
        bench.ours.configure(&Session {
            our_password: Some("wrong-secret".to_owned()),
            ..session.clone()
        })?;
        bench.down(UP)?;
        stays_down(bench)?;
        bench.ours.configure(&session)?;
        bench.up()
    });
    Ok(())
}

/// For several of the dialling side's attempts.
fn stays_down(bench: &Bench) -> Result<()> {
    wait::holds(
        "no session",
        std::time::Duration::from_secs(3),
        || match bench.ours.established() {
            Ok(_) => bail!("Established"),
            Err(_) => Ok(()),
        },
    )
}

fn ttl_security(bench: &mut Bench) -> Result<()> {
    let session = Session {
        hold_time: 3,
        ttl_security: true,
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::TtlSecurity, |bench| {
        bench.up()?;
        bench.exchange(Family::V4)?;
        // The usual TTL of an external session, which is 1.
        bench.theirs.kill()?;
        bench.theirs.configure(&Session {
            ttl_security: false,
            ..session.clone()
        })?;
        bench.down(UP)?;
        stays_down(bench)
    });
    Ok(())
}

fn four_octet_as(bench: &mut Bench) -> Result<()> {
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

/// They speak only the language of 1995. AS4_PATH tells us the number behind them that they cannot
/// say.
fn two_octet_as(bench: &mut Bench) -> Result<()> {
    let session = Session {
        four_octet_as: false,
        graceful_restart: false,
        families: vec![Family::V4],
        ..Session::plain(Dial::Us)
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
        let path = bench.ours.path(their_prefix(Family::V4))?;
        let whole = format!("65002 {BEHIND_THEM}");
        ensure!(path.as_path == whole, "redc shows {}", path.as_path);
        Ok(())
    });
    Ok(())
}

/// Our number does not fit into what they can say.
fn as_trans(bench: &mut Bench) -> Result<()> {
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

/// Each side's route has more communities than a message of 4096 octets can carry.
fn long_messages(bench: &mut Bench) -> Result<()> {
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

/// They are our provider and say so, as we say that we are their customer.
fn roles(bench: &mut Bench) -> Result<()> {
    let session = Session {
        extra: Some(Extra::Role),
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::Roles, |bench| {
        bench.up()?;
        let protocol = bench.ours.established()?;
        // RFC 9234 section 4.1: 0 is Provider, 3 is Customer.
        for (offers, role) in [
            (&protocol.local_capabilities, "role customer"),
            (&protocol.remote_capabilities, "role provider"),
        ] {
            let there = offers.iter().any(|offer| offer == role);
            ensure!(there, "no {role} in {offers:?}");
        }
        bench.exchange(Family::V4)
    });
    Ok(())
}

/// One side after the other crashes and comes back; nothing leaves any table.
fn restarts(bench: &mut Bench) -> Result<()> {
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
        wait::until("they notice", SOON, || match bench.theirs.established() {
            Err(_) => Ok(()),
            Ok(()) => bail!("still Established"),
        })?;
        let there = |bench: &Bench| match bench.theirs.heard(Family::V4, our_prefix(Family::V4))? {
            Some(_) => Ok(()),
            None => bail!("they have dropped our route"),
        };
        there(bench)?;
        bench.ours.start(&bench.site)?;
        wait::until("session is back", UP, || {
            bench.ours.established()?;
            bench.theirs.established()
        })?;
        wait::holds("our route stays", SOON / 5, || there(bench))?;
        bench.in_kernel(Family::V4)
    });
    Ok(())
}

/// Over IPv6, IPv4 routes have the ends of the session as next hops, both ways, and in the kernel.
fn extended_next_hop(bench: &mut Bench) -> Result<()> {
    let session = Session {
        transport: Family::V6,
        extra: Some(Extra::ExtendedNextHop),
        ..Session::plain(Dial::Us)
    };
    bench.start(&session)?;
    bench.row(Feature::ExtendedNextHop, |bench| {
        bench.up()?;
        bench.theirs.announce(Family::V4)?;
        let heard = bench.heard(Family::V4)?;
        let here = session.our_address().to_string();
        ensure!(heard.next_hop == here, "they show {}", heard.next_hop);
        wait::until("their prefix is in the kernel by IPv6", SOON, || {
            bench.leads_to(Family::V4, &session.their_address())
        })
        .map(drop)
    });
    Ok(())
}
