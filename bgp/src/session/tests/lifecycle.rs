//! Sessions over time: keeping alive, colliding, restarting, changing configuration.

use core::time::Duration;

use crate::{
    session::{
        Action, Disconnect, DownReason, Event, GracefulRestartConfig, Reconfigured, Refusal,
        ResetReason, Slot, State, StopReason, connection::send_hold,
    },
    types::{Family, FamilySet, RouterId},
    wire::{
        Capability, CeaseSubcode, ErrorCode, GracefulRestart, GracefulRestartFamily, Message,
        Notification,
    },
};

use super::support::{Harness, graceful, our_config, their_open};

const SECOND: Duration = Duration::from_secs(1);

fn cease(subcode: CeaseSubcode) -> Message {
    Message::Notification(Notification::new(ErrorCode::Cease(subcode)))
}

fn their_graceful_open(restarting: bool, notification: bool) -> Message {
    let mut open = their_open();
    open.capabilities
        .push(Capability::GracefulRestart(GracefulRestart {
            restarting,
            notification,
            restart_time: 60,
            families: vec![GracefulRestartFamily {
                afi: 1,
                safi: 1,
                forwarding_preserved: true,
            }],
        }));
    Message::Open(open)
}

/// Established with a neighbour that speaks graceful restart.
fn graceful_session(slot: Slot, notification: bool) -> Harness {
    let mut config = our_config();
    config.graceful_restart = Some(GracefulRestartConfig {
        notification,
        ..GracefulRestartConfig::default()
    });
    let mut h = Harness::in_state(config, slot, State::OpenSent);
    h.receive(slot, &their_graceful_open(false, notification));
    h.receive(slot, &Message::Keepalive);
    assert_eq!(h.peer.state(), State::Established);
    h.drain();
    h
}

#[test]
fn a_whole_session_is_told_in_order() {
    let mut h = Harness::new(our_config());
    h.peer.start(h.now);
    h.advance_slot(Slot::Outgoing, State::Established);
    let told: Vec<_> = h
        .events()
        .into_iter()
        .map(|event| match event {
            Event::StateChanged { from, to } => format!("{from}>{to}"),
            Event::Established(n) => format!("up {}", n.remote_as),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "Idle>Connect",
            "Connect>OpenSent",
            "OpenSent>OpenConfirm",
            "up 65002",
            "OpenConfirm>Established"
        ]
    );
    let sent = h.written(Slot::Outgoing);
    assert!(matches!(sent[..], [Message::Open(_), Message::Keepalive]));
    let status = h.peer.status(h.now);
    assert_eq!((status.sent.open, status.sent.keepalive), (1, 1));
    assert_eq!((status.received.open, status.received.keepalive), (1, 1));
    assert_eq!(status.origin, Some(Slot::Outgoing));
    assert_eq!(status.established_count, 1);
}

#[test]
fn keepalives_go_out_and_silence_ends_the_session() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    for _ in 0..10 {
        h.sleep(45 * SECOND);
        assert!(h.written(Slot::Outgoing).contains(&Message::Keepalive));
        h.receive(Slot::Outgoing, &Message::Keepalive);
    }
    assert_eq!(h.peer.state(), State::Established);
    h.now = h.now + 90 * SECOND;
    h.peer.handle_timeout(h.now);
    assert_eq!(h.reason(), Some(DownReason::HoldTimerExpired));
    let expired = Message::Notification(Notification::new(ErrorCode::HoldTimerExpired));
    assert_eq!(h.closes(), [(Slot::Outgoing, vec![expired])]);
}

#[test]
fn a_hold_time_of_zero_needs_no_keepalives() {
    let mut config = our_config();
    config.hold_time = 0;
    let mut h = Harness::in_state(config, Slot::Outgoing, State::Established);
    assert_eq!(h.peer.poll_timeout(), None);
    h.sleep(10_000 * SECOND);
    assert_eq!(h.peer.state(), State::Established);
    assert!(h.written(Slot::Outgoing).is_empty());
}

#[test]
fn a_congested_reader_does_not_blame_the_neighbour() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    h.peer.read_paused();
    for _ in 0..50 {
        h.sleep(20 * SECOND);
        h.written(Slot::Outgoing);
    }
    assert_eq!(h.peer.state(), State::Established);
    h.peer.read_resumed(h.now);
    h.sleep(89 * SECOND);
    assert_eq!(h.peer.state(), State::Established);
    h.drain();
    h.sleep(SECOND);
    assert_eq!(h.reason(), Some(DownReason::HoldTimerExpired));
}

/// RFC 9687 section 4.4: the time can be configured, and is more than the hold time of 90 seconds.
#[test]
fn a_neighbour_that_takes_nothing_is_dropped_after_the_time_that_is_configured() {
    for (configured, counts) in [(120, 120), (60, 91)] {
        let mut config = our_config();
        config.send_hold = Some(configured * SECOND);
        let mut h = Harness::in_state(config, Slot::Outgoing, State::Established);
        while h.peer.state() == State::Established {
            h.receive(Slot::Outgoing, &Message::Keepalive);
            h.now = h.peer.poll_timeout().unwrap();
            h.peer.handle_timeout(h.now);
        }
        // From the first KEEPALIVE on, which was due within half a minute.
        let seconds = h.now.as_nanos() / 1_000_000_000;
        assert!((counts..=counts + 30).contains(&seconds), "{seconds}");
        assert_eq!(h.reason(), Some(DownReason::SendHoldTimerExpired));
    }
}

/// The kernel's own limit is set before the neighbour says its hold time.
#[test]
fn no_session_has_a_longer_send_hold_time_than_the_kernel_is_told() {
    for (hold_time, configured, longest) in [
        (90, None, 480),
        (300, None, 600),
        (90, Some(1000), 1000),
        (90, Some(60), 91),
        (0, None, 480),
    ] {
        let mut config = our_config();
        config.hold_time = hold_time;
        config.send_hold = configured.map(|seconds| seconds * SECOND);
        assert_eq!(config.longest_send_hold(), longest * SECOND);
        let ours = Duration::from_secs(hold_time.into());
        for agreed in [Duration::ZERO, 3 * SECOND, ours / 2, ours] {
            let in_force = send_hold(agreed, config.send_hold);
            assert!(in_force.is_none_or(|time| time <= config.longest_send_hold()));
        }
    }
}

#[test]
fn a_neighbour_that_takes_nothing_is_dropped() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    while h.peer.state() == State::Established {
        h.receive(Slot::Outgoing, &Message::Keepalive);
        h.now = h.peer.poll_timeout().unwrap();
        h.peer.handle_timeout(h.now);
    }
    // Eight minutes from the first KEEPALIVE that it did not take, which was due within half a minute.
    let seconds = h.now.as_nanos() / 1_000_000_000;
    assert!((480..=510).contains(&seconds), "{seconds}");
    assert_eq!(h.reason(), Some(DownReason::SendHoldTimerExpired));
    assert!(h.actions().contains(&Action::Close {
        slot: Slot::Outgoing,
        farewell: bytes::Bytes::new(),
    }));
}

#[test]
fn the_higher_identifier_keeps_its_connection() {
    // Ours is the lower one: whatever comes first, the incoming connection stays.
    for first in Slot::ALL {
        let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::OpenSent);
        h.advance_slot(Slot::Incoming, State::OpenSent);
        h.drain();
        h.receive(first, &Message::Open(their_open()));
        let lost = cease(CeaseSubcode::ConnectionCollisionResolution);
        assert_eq!(
            h.closes(),
            [(Slot::Outgoing, vec![lost])],
            "OPEN on {first}"
        );
        if first == Slot::Outgoing {
            h.receive(Slot::Incoming, &Message::Open(their_open()));
        }
        h.receive(Slot::Incoming, &Message::Keepalive);
        assert_eq!(h.peer.status(h.now).origin, Some(Slot::Incoming));
        assert_eq!(h.peer.state(), State::Established);
        assert_eq!(
            *h.peer.status(h.now).errors,
            crate::session::LastErrors::default()
        );
    }
}

#[test]
fn an_attempt_is_given_up_when_the_neighbours_open_arrives() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Connect);
    h.advance_slot(Slot::Incoming, State::OpenConfirm);
    assert_eq!(h.closes(), [(Slot::Outgoing, vec![])]);
    h.receive(Slot::Incoming, &Message::Keepalive);
    assert_eq!(h.peer.state(), State::Established);
}

#[test]
fn an_established_session_refuses_a_second_connection() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    let refusal = h.peer.admit(h.now).unwrap_err();
    assert_eq!(refusal, Refusal::AlreadyEstablished);
    let code = ErrorCode::Cease(CeaseSubcode::ConnectionCollisionResolution);
    assert_eq!(refusal.notification().map(|n| n.code), Some(code));
}

#[test]
fn a_graceful_neighbour_that_dials_again_has_restarted() {
    // Same direction: nobody dials twice at once, so the old connection is dead for it.
    let mut h = graceful_session(Slot::Incoming, false);
    assert_eq!(h.peer.admit(h.now), Ok(()));
    assert_eq!(h.actions(), [Action::MakeRoom]);
    h.connect(Slot::Incoming);
    assert_eq!(h.peer.state(), State::Established, "not before its OPEN");
    h.receive(Slot::Incoming, &their_graceful_open(false, false));
    let events = h.events();
    let v4 = FamilySet::from_iter([Family::Ipv4Unicast]);
    assert!(events.iter().any(|event| matches!(event,
        Event::Down { reason: DownReason::PeerRestarted, retained } if *retained == v4)));
    assert_eq!(h.closes(), [(Slot::Outgoing, vec![])]);
    assert_eq!(h.peer.state(), State::OpenConfirm);

    // Other direction: only if its OPEN says so, or the session is too old for a late collision.
    for (age, restarting, restarted) in [(0, false, false), (0, true, true), (60, false, true)] {
        let mut h = graceful_session(Slot::Outgoing, false);
        h.now = h.now + age * SECOND;
        h.advance_slot(Slot::Incoming, State::OpenSent);
        h.receive(Slot::Incoming, &their_graceful_open(restarting, false));
        let closed = h.closes()[0].0;
        let expected = if restarted {
            Slot::Outgoing
        } else {
            Slot::Incoming
        };
        assert_eq!(closed, expected, "{age} s, restarting: {restarting}");
        let state = if restarted {
            State::OpenConfirm
        } else {
            State::Established
        };
        assert_eq!(h.peer.state(), state);
    }
}

#[test]
fn a_probe_of_the_port_does_not_cost_a_session() {
    for slot in Slot::ALL {
        let mut h = graceful_session(slot, false);
        for _ in 0..3 {
            assert_eq!(h.peer.admit(h.now), Ok(()));
            h.connect(Slot::Incoming);
            h.peer.closed(h.now, Slot::Incoming, Disconnect::Closed);
        }
        assert_eq!(h.peer.state(), State::Established);
        assert_eq!(h.peer.status(h.now).origin, Some(slot));
        assert!(h.closes().is_empty());
        // The session lives on in its new place.
        h.receive(Slot::Outgoing, &cease(CeaseSubcode::AdministrativeReset));
        assert_eq!(h.peer.state(), State::Active);
    }
}

#[test]
fn a_stop_between_graceful_neighbours_is_a_hard_reset() {
    let stop = |notification, why: StopReason| {
        let mut h = graceful_session(Slot::Outgoing, notification);
        h.peer.stop(h.now, &why);
        match &h.closes()[0].1[..] {
            [Message::Notification(n)] => Some(n.code),
            [] => None,
            other => panic!("{other:?}"),
        }
    };
    let code = |subcode| Some(ErrorCode::Cease(subcode));
    let shutdown = StopReason::Shutdown(String::new());
    let reset = StopReason::Reset(String::new());
    assert_eq!(
        stop(false, shutdown.clone()),
        code(CeaseSubcode::AdministrativeShutdown)
    );
    assert_eq!(stop(true, shutdown), code(CeaseSubcode::HardReset));
    assert_eq!(stop(true, reset), code(CeaseSubcode::AdministrativeReset));
    assert_eq!(stop(true, StopReason::GracefulRestart), None);
    // Nor does anything arrive over a link that is down.
    assert_eq!(stop(true, StopReason::InterfaceDown), None);
}

#[test]
fn configuration_changes_reset_only_what_they_must() {
    type Change = fn(&mut crate::session::PeerConfig);
    #[rustfmt::skip]
    let rows: [(Change, Reconfigured); 9] = [
        (|_| {},                                      Reconfigured::Live),
        (|c| c.connect_retry = SECOND,                Reconfigured::Live),
        (|c| c.passive = true,                        Reconfigured::Live),
        (|c| c.remote_as = crate::session::RemoteAs::External, Reconfigured::Live),
        (|c| c.hold_time = 30,                        Reconfigured::NextSession),
        (|c| *c = graceful(c.clone()),                Reconfigured::NextSession),
        (|c| c.router_id = RouterId::from_u32(9),     Reconfigured::Reset(ResetReason::RouterId)),
        (|c| c.families = FamilySet::from_iter([Family::Ipv4Unicast]), Reconfigured::Reset(ResetReason::Families)),
        (|c| c.remote_as = crate::session::RemoteAs::Internal, Reconfigured::Reset(ResetReason::RemoteAs)),
    ];
    for (i, (change, expected)) in rows.into_iter().enumerate() {
        let mut config = our_config();
        change(&mut config);
        let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
        assert_eq!(
            h.peer.reconfigure(h.now, config.clone()),
            expected,
            "row {i}"
        );
        assert_eq!(h.peer.config(), &config);
        if let Reconfigured::Reset(what) = expected {
            assert_eq!(h.reason(), Some(DownReason::Reconfigured(what)));
            let actions = h.actions();
            assert!(
                matches!(actions[..], [Action::Close { .. }, Action::Connect]),
                "{actions:?}"
            );
        } else {
            assert_eq!(h.peer.state(), State::Established, "row {i}");
            assert!(h.actions().is_empty());
        }

        // Without a connection nothing is fixed, and nothing starts a stopped neighbour.
        let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Idle);
        assert_eq!(
            h.peer.reconfigure(h.now, config),
            Reconfigured::Live,
            "row {i}"
        );
        assert!(h.actions().is_empty());
    }
}

#[test]
fn a_neighbour_that_is_no_longer_passive_is_dialled() {
    let mut passive = our_config();
    passive.passive = true;
    let mut h = Harness::in_state(passive, Slot::Outgoing, State::Idle);
    h.peer.start(h.now);
    h.peer.reconfigure(h.now, our_config());
    assert_eq!(h.actions(), [Action::Connect]);
}

#[test]
fn restart_begins_anew_and_leaves_the_stopped_alone() {
    let why = StopReason::Reset("again".into());
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::Established);
    h.peer.restart(h.now, &why);
    assert!(matches!(
        h.actions()[..],
        [
            Action::Close {
                slot: Slot::Incoming,
                ..
            },
            Action::Connect
        ]
    ));
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::Idle);
    h.peer.restart(h.now, &why);
    assert!(h.actions().is_empty());
}
