//! From facts to causes.

use std::time::Duration;

use redstart_bgp::{
    time::Instant,
    types::{Asn, FamilySet},
};

use super::*;

fn facts(down: Option<DownReason>) -> Facts {
    Facts {
        state: State::Active,
        unfound: None,
        remote: Some([10, 0, 0, 1].into()),
        remote_is_ours: false,
        silent: false,
        local: None,
        disabled: false,
        over_limit: false,
        link_down: false,
        passive: false,
        has_password: false,
        ttl_security: None,
        hops: Some(1),
        down,
        was_up: false,
        told: None,
        dropped: Tcp::default(),
        not_listening: None,
    }
}

fn failed(error: ConnectError) -> Facts {
    facts(Some(DownReason::ConnectFailed(error)))
}

fn ids(facts: &Facts) -> Vec<String> {
    causes(facts).into_iter().map(|cause| cause.id).collect()
}

#[test]
fn whom_nobody_answers_for_on_the_link_is_not_there() {
    for error in [ConnectError::TimedOut, ConnectError::Unreachable] {
        let mut facts = failed(error);
        facts.silent = true;
        assert_eq!(ids(&facts), ["nobody-on-the-link"]);
    }
    // Whoever refuses has answered.
    let mut facts = failed(ConnectError::Refused);
    facts.silent = true;
    assert_eq!(ids(&facts), ["nobody-listening"]);
}

#[test]
fn a_session_that_is_up_has_no_cause() {
    let mut facts = failed(ConnectError::Refused);
    facts.state = State::Established;
    assert_eq!(ids(&facts), [""; 0]);
}

#[test]
fn how_the_attempt_ended_names_the_cause() {
    for (error, id) in [
        (ConnectError::Refused, "nobody-listening"),
        (ConnectError::TimedOut, "no-answer"),
        (ConnectError::Unreachable, "no-route"),
        (
            ConnectError::LocalAddressNotAvailable,
            "local-address-not-available",
        ),
        (ConnectError::PermissionDenied, "permission-denied"),
        (
            ConnectError::SocketOption("TCP_MD5SIG"),
            "socket-option-refused",
        ),
        (
            ConnectError::Unsupported("TCP_AO_ADD_KEY"),
            "unsupported-by-kernel",
        ),
        (ConnectError::Os(5), "os-error"),
    ] {
        assert_eq!(ids(&failed(error)), [id]);
    }
}

#[test]
fn how_the_session_ended_names_the_cause() {
    let cease = |subcode| Notification::new(ErrorCode::Cease(subcode));
    let bad_as = OpenRefusal::BadPeerAs {
        expected: redstart_bgp::session::RemoteAs::Number(Asn(1)),
        got: Asn(2),
    };
    for (down, id) in [
        (
            DownReason::ConnectionLost(Disconnect::Closed),
            "closed-before-open",
        ),
        (
            DownReason::NotificationReceived(cease(CeaseSubcode::AdministrativeShutdown)),
            "shut-down-there",
        ),
        (
            DownReason::NotificationReceived(cease(CeaseSubcode::ConnectionRejected)),
            "not-wanted-there",
        ),
        (
            DownReason::NotificationReceived(cease(CeaseSubcode::MaximumPrefixesReached)),
            "too-many-routes-for-it",
        ),
        (
            DownReason::NotificationReceived(Notification::new(ErrorCode::Open(
                OpenSubcode::BadPeerAs,
            ))),
            "bad-peer-as-there",
        ),
        (
            DownReason::NotificationReceived(Notification::new(ErrorCode::HoldTimerExpired)),
            "hold-timer-expired-there",
        ),
        (
            DownReason::NotificationSent(cease(CeaseSubcode::OutOfResources)),
            "protocol-error",
        ),
        (DownReason::OpenRefused(bad_as), "bad-peer-as"),
        (
            DownReason::OpenRefused(OpenRefusal::NoCommonFamily(FamilySet::ALL)),
            "no-common-family",
        ),
        (DownReason::HoldTimerExpired, "hold-timer-expired"),
        (DownReason::SendHoldTimerExpired, "send-hold-timer-expired"),
        (DownReason::PeerRestarted, "starting-again"),
        (DownReason::Stopped(StopReason::BfdDown), "bfd-down"),
        (DownReason::InternalError, "internal-error"),
    ] {
        assert_eq!(ids(&facts(Some(down))), [id]);
    }
    assert_eq!(ids(&facts(None)), ["trying"]);
    let passive = Facts {
        passive: true,
        ..facts(None)
    };
    assert_eq!(ids(&passive), ["waiting-passively"]);
    let was_up = Facts {
        was_up: true,
        ..facts(Some(DownReason::ConnectionLost(Disconnect::Reset)))
    };
    assert_eq!(ids(&was_up), ["connection-lost"]);
}

/// FRR, for one, says it once and then closes each connection without a word.
#[test]
fn who_has_said_that_there_shall_be_no_session_is_taken_at_his_word() {
    for (subcode, id) in [
        (CeaseSubcode::AdministrativeShutdown, "shut-down-there"),
        (CeaseSubcode::PeerDeconfigured, "not-wanted-there"),
        (
            CeaseSubcode::MaximumPrefixesReached,
            "too-many-routes-for-it",
        ),
        (CeaseSubcode::AdministrativeReset, "closed-before-open"),
    ] {
        let closed = Facts {
            told: Some(Notification::new(ErrorCode::Cease(subcode))),
            ..facts(Some(DownReason::ConnectionLost(Disconnect::Closed)))
        };
        assert_eq!(ids(&closed), [id]);
    }
}

/// So many segments, dropped at that second.
fn at(second: u64, count: u64) -> Lately {
    Lately {
        count,
        at: Some(Instant::ZERO + Duration::from_secs(second)),
    }
}

/// Silence has many causes; what the kernel counted tells them apart.
#[test]
fn silence_is_explained_by_what_the_kernel_dropped() {
    let ids_of = |has_password, ttl_security, dropped| {
        let silent = failed(ConnectError::TimedOut);
        ids(&Facts {
            has_password,
            ttl_security,
            dropped,
            ..silent
        })
    };
    let (none, once) = (Tcp::default(), at(1, 1));
    let other = Tcp {
        md5_failure: once,
        ..none
    };
    assert_eq!(ids_of(true, None, other), ["md5-mismatch", "no-answer"]);
    assert_eq!(ids_of(false, None, other), ["no-answer"]);
    let missing = Tcp {
        md5_missing: once,
        ..none
    };
    assert_eq!(ids_of(true, None, missing), ["md5-only-here", "no-answer"]);
    let unexpected = Tcp {
        md5_unexpected: once,
        ..none
    };
    assert_eq!(
        ids_of(false, None, unexpected),
        ["md5-only-there", "no-answer"]
    );
    let low = Tcp {
        low_ttl: once,
        ..none
    };
    assert_eq!(ids_of(false, Some(1), low), ["ttl-security", "no-answer"]);
    assert_eq!(ids_of(false, None, low), ["no-answer"]);
    // The neighbour had another password, and has none now; or the other way round.
    for (failure, first) in [(1, "md5-only-here"), (3, "md5-mismatch")] {
        let changed = Tcp {
            md5_failure: at(failure, 9),
            md5_missing: at(2, 1),
            ..none
        };
        assert_eq!(ids_of(true, None, changed)[0], first);
    }
    // Somebody answered: the segments were others'.
    let answered = Facts {
        dropped: unexpected,
        ..failed(ConnectError::Refused)
    };
    assert_eq!(ids(&answered), ["nobody-listening"]);
}

#[test]
fn what_keeps_it_down_here_comes_first() {
    let base = failed(ConnectError::TimedOut);
    let held = [
        (
            Facts {
                disabled: true,
                ..base.clone()
            },
            "disabled",
        ),
        (
            Facts {
                over_limit: true,
                ..base.clone()
            },
            "maximum-prefixes",
        ),
        (
            Facts {
                link_down: true,
                ..base.clone()
            },
            "link-down",
        ),
        (
            Facts {
                unfound: Some("no router".into()),
                ..base.clone()
            },
            "address-not-found",
        ),
    ];
    for (facts, id) in held {
        assert_eq!(ids(&facts), [id]);
    }
    let own = Facts {
        remote_is_ours: true,
        ..failed(ConnectError::Refused)
    };
    assert_eq!(ids(&own)[0], "own-address");
    let source = Facts {
        local: Some(([10, 0, 0, 9].into(), false)),
        ..failed(ConnectError::LocalAddressNotAvailable)
    };
    assert_eq!(ids(&source), ["local-address-not-available"]);
    let deaf = Facts {
        not_listening: Some("in use".into()),
        ..failed(ConnectError::Refused)
    };
    assert_eq!(ids(&deaf), ["nobody-listening", "not-listening"]);
}
