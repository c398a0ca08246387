//! What follows a failure: fast retries, rests, and who may end a rest.

use core::time::Duration;

use crate::{
    session::{Action, ConnectError, Disconnect, DownReason, Event, Refusal, Slot, State},
    types::{Family, Role},
    wire::{Capability, CeaseSubcode, ErrorCode, Message, Notification, OpenSubcode},
};

use super::support::{Harness, our_config, their_open};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn refused_attempts_are_repeated_soon_then_less_often() {
    let mut h = Harness::new(our_config());
    h.peer.start(h.now);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        assert_eq!(h.actions(), [Action::Connect]);
        h.peer.connect_failed(h.now, ConnectError::Refused);
        assert_eq!(h.peer.state(), State::Active);
        let at = h.peer.poll_timeout().unwrap();
        pauses.push(at - h.now);
        h.now = at;
        h.peer.handle_timeout(at);
    }
    assert!(pauses[0] <= SECOND / 4, "{pauses:?}");
    assert!(
        pauses[..3].iter().sum::<Duration>() < 2 * SECOND,
        "{pauses:?}"
    );
    assert!(pauses.iter().all(|p| *p <= 5 * SECOND), "{pauses:?}");
    assert!(pauses[9] >= 3 * SECOND, "{pauses:?}");
}

#[test]
fn errors_of_our_finding_refuse_the_neighbour_for_a_while_only() {
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::Established);
    h.peer.received(h.now, Slot::Incoming, &[0; 19]);
    assert_eq!(h.peer.state(), State::Idle);
    assert_eq!(h.peer.admit(h.now), Err(Refusal::IdleHold));
    h.now = h.now + SECOND;
    assert_eq!(h.peer.admit(h.now), Ok(()));
    h.connect(Slot::Incoming);
    assert_eq!(h.peer.state(), State::OpenSent);
}

#[test]
fn errors_of_the_neighbours_finding_let_it_call_again_at_once() {
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::OpenSent);
    let bad_as = Notification::new(ErrorCode::Open(OpenSubcode::BadPeerAs));
    h.receive(Slot::Incoming, &Message::Notification(bad_as));
    assert_eq!(h.peer.state(), State::Idle);
    assert_eq!(h.peer.admit(h.now), Ok(()));
    // Admitted, and then it did not connect after all: our own attempt still comes.
    h.sleep(2 * SECOND);
    assert_eq!(h.peer.state(), State::Connect);
}

#[test]
fn rests_double_and_a_stable_session_forgives() {
    let mut h = Harness::new(our_config());
    h.peer.start(h.now);
    let rest = |h: &mut Harness, up_for: Duration| {
        h.advance_slot(Slot::Outgoing, State::Established);
        h.now = h.now + up_for;
        h.peer.received(h.now, Slot::Outgoing, &[0; 19]);
        let at = h.peer.poll_timeout().unwrap();
        let rest = at - h.now;
        h.now = at;
        h.peer.handle_timeout(at);
        assert_eq!(h.peer.state(), State::Connect);
        rest
    };
    let rests: Vec<_> = (0..5).map(|_| rest(&mut h, Duration::ZERO)).collect();
    assert!(rests[0] <= SECOND && rests[4] >= 12 * SECOND, "{rests:?}");
    // Hold times pass, and nothing is forgiven; what is, is forgiven whole.
    for up_for in [30, 90, 180] {
        let rest = rest(&mut h, up_for * SECOND);
        assert!(rest >= 24 * SECOND, "{rest:?} after {up_for} s");
    }
    assert!(rest(&mut h, 300 * SECOND) <= SECOND);
}

#[test]
fn start_ends_a_rest() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::OpenSent);
    h.peer.received(h.now, Slot::Outgoing, &[0; 19]);
    h.drain();
    assert_eq!(h.peer.state(), State::Idle);
    h.peer.start(h.now);
    assert_eq!(h.actions(), [Action::Connect]);
}

#[test]
fn a_lost_session_is_dialled_again_within_a_quarter_second() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    h.peer.closed(h.now, Slot::Outgoing, Disconnect::Reset);
    h.sleep(SECOND / 4);
    assert_eq!(h.actions(), [Action::Connect]);
}

#[test]
fn refused_capabilities_are_left_out_once_and_then_offered_again() {
    for subcode in [
        OpenSubcode::UnsupportedOptionalParameter,
        OpenSubcode::UnsupportedCapability,
    ] {
        let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::OpenSent);
        for without in [true, false, true] {
            let refusal = Notification::new(ErrorCode::Open(subcode));
            h.receive(Slot::Outgoing, &Message::Notification(refusal));
            // Not until the hold timer of OpenSent.
            h.now = h.peer.poll_timeout().unwrap();
            h.peer.handle_timeout(h.now);
            h.connect(Slot::Outgoing);
            let sent = h.written(Slot::Outgoing);
            let [Message::Open(open)] = &sent[..] else {
                panic!("{sent:?}");
            };
            assert_eq!(open.capabilities.is_empty(), without, "{subcode}");
        }
    }
}

/// A neighbour that was upgraded, or replaced, gets its capabilities when it comes back.
#[test]
fn refused_capabilities_are_offered_again_after_a_session() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::OpenSent);
    assert!(offered_after(&mut h, &[200, 0]).is_empty());
    let mut theirs = their_open();
    theirs.capabilities.clear();
    h.receive(Slot::Outgoing, &Message::Open(theirs));
    h.receive(Slot::Outgoing, &Message::Keepalive);
    assert_eq!(h.peer.established_slot(), Some(Slot::Outgoing));
    h.drain();
    h.peer.closed(h.now, Slot::Outgoing, Disconnect::Reset);
    h.now = h.peer.poll_timeout().unwrap();
    h.peer.handle_timeout(h.now);
    h.connect(Slot::Outgoing);
    let sent = h.written(Slot::Outgoing);
    assert!(matches!(&sent[..], [Message::Open(open)] if !open.capabilities.is_empty()));
}

#[test]
fn capabilities_that_the_session_needs_are_never_left_out() {
    let mut config = our_config();
    config.families.remove(Family::Ipv4Unicast);
    let mut h = Harness::in_state(config, Slot::Outgoing, State::OpenSent);
    let refusal = ErrorCode::Open(OpenSubcode::UnsupportedCapability);
    h.receive(
        Slot::Outgoing,
        &Message::Notification(Notification::new(refusal)),
    );
    h.sleep(2 * SECOND);
    h.connect(Slot::Outgoing);
    let sent = h.written(Slot::Outgoing);
    assert!(matches!(&sent[..], [Message::Open(open)] if !open.capabilities.is_empty()));
}

/// The capabilities of the next OPEN after the neighbour refused the one before with `data`.
fn offered_after(h: &mut Harness, data: &[u8]) -> Vec<Capability> {
    let refusal = ErrorCode::Open(OpenSubcode::UnsupportedCapability);
    let refusal = Notification::with_data(refusal, data);
    h.receive(Slot::Outgoing, &Message::Notification(refusal));
    h.now = h.peer.poll_timeout().unwrap();
    h.peer.handle_timeout(h.now);
    h.connect(Slot::Outgoing);
    match &h.written(Slot::Outgoing)[..] {
        [Message::Open(open)] => open.capabilities.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refusal_that_names_capabilities_costs_those_alone() {
    let in_open_sent = || Harness::in_state(our_config(), Slot::Outgoing, State::OpenSent);
    let mut h = in_open_sent();
    let has = |offered: &[Capability], code| offered.iter().any(|c| c.code() == code);
    let families = |offered: &[Capability]| offered.iter().filter(|c| c.code() == 1).count();

    let offered = offered_after(&mut h, &[6, 0]);
    assert!(!has(&offered, 6) && has(&offered, 2) && has(&offered, 65));
    assert_eq!(families(&offered), 2);
    // Another one: both are left out.
    let offered = offered_after(&mut h, &[1, 4, 0, 2, 0, 1]);
    assert!(!has(&offered, 6) && has(&offered, 65));
    assert_eq!(families(&offered), 1);
    // The last family is no loss that a session survives: everything is offered again.
    let offered = offered_after(&mut h, &[1, 4, 0, 1, 0, 1]);
    assert!(has(&offered, 6));
    assert_eq!(families(&offered), 2);

    // Something that we did not offer, or a list cut short: there is nothing to leave out but all.
    for data in [&[200, 0][..], &[6, 9], &[6]] {
        assert!(
            offered_after(&mut in_open_sent(), data).is_empty(),
            "{data:?}"
        );
    }
}

#[test]
fn a_role_that_must_be_there_is_never_left_out() {
    let mut config = our_config();
    (config.role, config.strict_role) = (Some(Role::Peer), true);
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::OpenSent);
    h.peer.reconfigure(h.now, config);
    h.drain();
    h.connect(Slot::Outgoing);
    h.drain();
    for data in [&[9, 1, 4][..], &[]] {
        let offered = offered_after(&mut h, data);
        assert!(offered.contains(&Capability::Role(4)), "{data:?}");
    }
}

/// RFC 4486 section 4.
#[test]
fn a_neighbour_that_wants_no_session_is_asked_less_and_less_often() {
    use CeaseSubcode::{
        AdministrativeReset, AdministrativeShutdown, ConnectionRejected, OtherConfigurationChange,
        OutOfResources, PeerDeconfigured,
    };
    let cease = |subcode| Notification::new(ErrorCode::Cease(subcode));
    let pauses = |notification: &Notification| -> Vec<Duration> {
        let mut h = Harness::new(our_config());
        h.peer.start(h.now);
        (0..8)
            .map(|_| {
                h.advance_slot(Slot::Outgoing, State::OpenSent);
                h.drain();
                h.receive(Slot::Outgoing, &Message::Notification(notification.clone()));
                let at = h.peer.poll_timeout().unwrap();
                let pause = at - h.now;
                h.now = at;
                h.peer.handle_timeout(at);
                assert_eq!(h.peer.state(), State::Connect, "there is no last attempt");
                pause
            })
            .collect()
    };
    for subcode in [
        AdministrativeShutdown,
        PeerDeconfigured,
        ConnectionRejected,
        OutOfResources,
    ] {
        for notification in [cease(subcode), Notification::hard_reset(&cease(subcode))] {
            let pauses = pauses(&notification);
            assert!(pauses[0] <= SECOND, "{pauses:?}");
            assert!(pauses[7] >= 45 * SECOND, "{pauses:?}");
        }
    }
    for subcode in [AdministrativeReset, OtherConfigurationChange] {
        assert!(pauses(&cease(subcode)).iter().all(|p| *p <= 5 * SECOND));
    }
    // It may change its mind at any time.
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::Established);
    let shutdown = cease(AdministrativeShutdown);
    h.receive(Slot::Incoming, &Message::Notification(shutdown));
    assert_eq!(h.peer.state(), State::Idle);
    assert_eq!(h.peer.admit(h.now), Ok(()));
}

/// RFC 4271 section 8.2.1: our attempts belong to another machine than a connection of the neighbour.
#[test]
fn a_silent_connection_of_the_neighbour_keeps_nobody_from_dialling() {
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::OpenSent);
    for round in 0..10 {
        h.sleep(5 * SECOND);
        assert_eq!(h.actions(), [Action::Connect], "round {round}");
        h.peer.connect_failed(h.now, ConnectError::Refused);
        assert_eq!(h.peer.state(), State::OpenSent);
    }
    h.sleep(5 * SECOND);
    h.drain();
    // It speaks: one connection is enough.
    h.receive(Slot::Incoming, &Message::Open(their_open()));
    let given_up = h.closes();
    assert_eq!(given_up, [(Slot::Outgoing, vec![])]);
    h.sleep(30 * SECOND);
    assert_eq!(h.actions(), []);
    assert_eq!(h.peer.state(), State::OpenConfirm);
}

/// Nor does what becomes of it in the end change when we dial.
#[test]
fn a_connection_that_never_said_a_word_is_no_reason_to_rest() {
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::OpenSent);
    h.sleep(239 * SECOND);
    h.drain();
    h.sleep(2 * SECOND);
    let expired = |event: &Event| match event {
        Event::AttemptFailed { slot, reason } => {
            (*slot, reason) == (Slot::Incoming, &DownReason::HoldTimerExpired)
        }
        _ => false,
    };
    assert!(h.events().iter().any(expired));
    let status = h.peer.status(h.now);
    assert_eq!(
        (status.state, status.timers.idle_hold),
        (State::Connect, None)
    );
}

/// Our own attempt finds an error while the neighbour's connection is silent: the next one rests first.
#[test]
fn an_error_beside_a_silent_connection_is_rested_for() {
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::OpenSent);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        while h.actions() != [Action::Connect] {
            h.now = h.peer.poll_timeout().unwrap();
            h.peer.handle_timeout(h.now);
        }
        let dialled = h.now;
        h.connect(Slot::Outgoing);
        h.peer.received(h.now, Slot::Outgoing, &[0; 19]);
        h.drain();
        pauses.push(h.peer.poll_timeout().unwrap() - dialled);
        assert_eq!(h.peer.state(), State::OpenSent, "the other one goes on");
    }
    assert!(
        pauses[0] <= SECOND && pauses[4] >= 12 * SECOND,
        "{pauses:?}"
    );
}
