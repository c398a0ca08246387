//! Two connections at once, in every pair of states (RFC 4271 section 6.8, RFC 4724 section 5).
//!
//! The engine is driven: the rule itself is a truth table in `collision`.

use core::time::Duration;

use crate::{
    session::{Action, Disconnect, Event, PeerConfig, Refusal, Slot, State},
    types::RouterId,
    wire::{Capability, CeaseSubcode, ErrorCode, GracefulRestart, Message},
};

use super::support::{Harness, decode, graceful, our_config, their_open};

/// Ours is 1, the neighbour's is 2.
fn higher(mut config: PeerConfig) -> PeerConfig {
    config.router_id = RouterId::from_u32(3);
    config
}

/// A neighbour whose connection in `first` is in `state`, and that has another one without OPEN.
fn with_second(config: PeerConfig, first: Slot, state: State) -> Harness {
    let mut h = match first {
        Slot::Outgoing => Harness::in_state(config, first, state),
        Slot::Incoming => {
            // The attempt succeeds while the neighbour's connection is there already.
            let mut h = Harness::in_state(config, Slot::Outgoing, State::Connect);
            h.advance_slot(first, State::OpenSent);
            h
        }
    };
    match first {
        Slot::Outgoing => h.advance_slot(Slot::Incoming, State::OpenSent),
        Slot::Incoming => {
            h.connect(Slot::Outgoing);
            if state == State::OpenConfirm {
                h.receive(first, &Message::Open(their_open()));
            }
        }
    }
    h.drain();
    h
}

/// The slots that are closed, and with what.
fn losers(h: &mut Harness) -> Vec<(Slot, Option<ErrorCode>)> {
    let code = |messages: Vec<Message>| match messages.first() {
        Some(Message::Notification(n)) => Some(n.code),
        None => None,
        other => panic!("{other:?}"),
    };
    h.closes()
        .into_iter()
        .map(|(slot, messages)| (slot, code(messages)))
        .collect()
}

const CEASE: ErrorCode = ErrorCode::Cease(CeaseSubcode::ConnectionCollisionResolution);

#[test]
fn of_two_that_open_the_identifier_chooses() {
    for first in Slot::ALL {
        for we_are_higher in [false, true] {
            let (config, survivor) = if we_are_higher {
                (higher(our_config()), Slot::Outgoing)
            } else {
                (our_config(), Slot::Incoming)
            };
            let what = format!("{first} first, ours higher: {we_are_higher}");
            // OPEN on the second one while the first is in OpenSent.
            let mut h = with_second(config.clone(), first, State::OpenSent);
            h.receive(first.other(), &Message::Open(their_open()));
            let loser = survivor.other();
            assert_eq!(losers(&mut h), [(loser, Some(CEASE))], "OpenSent, {what}");
            if survivor == first {
                h.receive(first, &Message::Open(their_open()));
            }
            h.receive(survivor, &Message::Keepalive);
            assert_eq!(h.peer.state(), State::Established, "OpenSent, {what}");
            assert_eq!(h.peer.status(h.now).origin, Some(survivor), "{what}");
        }
    }
}

#[test]
fn a_connection_in_open_confirm_is_not_spared() {
    // Dialled by us, and in OpenConfirm before the neighbour's connection came.
    for we_are_higher in [false, true] {
        let (config, survivor) = if we_are_higher {
            (higher(our_config()), Slot::Outgoing)
        } else {
            (our_config(), Slot::Incoming)
        };
        let mut h = with_second(config, Slot::Outgoing, State::OpenConfirm);
        h.receive(Slot::Incoming, &Message::Open(their_open()));
        assert_eq!(losers(&mut h), [(survivor.other(), Some(CEASE))]);
        assert_eq!(h.peer.state(), State::OpenConfirm);
        h.receive(survivor, &Message::Keepalive);
        assert_eq!(h.peer.state(), State::Established);
    }
    // Dialled by the neighbour: its OPEN on the other one decided already.
    let mut h = with_second(our_config(), Slot::Incoming, State::OpenConfirm);
    assert_eq!(h.peer.state(), State::OpenConfirm);
    h.receive(Slot::Incoming, &Message::Keepalive);
    assert_eq!(h.peer.state(), State::Established);
    assert_eq!(h.peer.established_slot(), Some(Slot::Incoming));
}

#[test]
fn a_connection_that_holds_its_open_back_counts() {
    for we_are_higher in [false, true] {
        let (mut config, survivor) = if we_are_higher {
            (higher(our_config()), Slot::Outgoing)
        } else {
            (our_config(), Slot::Incoming)
        };
        config.delay_open = Some(Duration::from_secs(5));
        let mut h = Harness::in_state(config, Slot::Outgoing, State::Connect);
        h.connect(Slot::Outgoing);
        h.advance_slot(Slot::Incoming, State::Connect);
        h.drain();
        h.receive(Slot::Outgoing, &Message::Open(their_open()));
        assert_eq!(losers(&mut h), [(survivor.other(), Some(CEASE))]);
        if survivor == Slot::Incoming {
            h.receive(Slot::Incoming, &Message::Open(their_open()));
        }
        h.receive(survivor, &Message::Keepalive);
        assert_eq!(h.peer.established_slot(), Some(survivor));
    }
}

#[test]
fn an_established_session_loses_by_configuration_alone() {
    for we_are_higher in [false, true] {
        let config = if we_are_higher {
            higher(our_config())
        } else {
            our_config()
        };
        let mut h = Harness::in_state(config.clone(), Slot::Outgoing, State::Established);
        assert_eq!(h.peer.admit(h.now), Err(Refusal::AlreadyEstablished));

        let mut config = config;
        config.collision_established = true;
        let mut h = Harness::in_state(config, Slot::Outgoing, State::Established);
        h.advance_slot(Slot::Incoming, State::OpenConfirm);
        let loser = if we_are_higher {
            Slot::Incoming
        } else {
            Slot::Outgoing
        };
        assert_eq!(losers(&mut h), [(loser, Some(CEASE))]);
        let state = if we_are_higher {
            State::Established
        } else {
            State::OpenConfirm
        };
        assert_eq!(h.peer.state(), state);
    }
}

/// While the neighbour restarts, its connections come and go. Not one costs what it said before.
#[test]
fn a_restart_may_take_several_connections() {
    let mut h = Harness::in_state(graceful(our_config()), Slot::Incoming, State::OpenSent);
    h.receive(Slot::Incoming, &graceful_open(false));
    h.receive(Slot::Incoming, &Message::Keepalive);
    h.drain();
    // Two that come to nothing, and one that does. The session waits for the first OPEN.
    for _ in 0..2 {
        h.advance_slot(Slot::Incoming, State::OpenSent);
        assert_eq!(h.peer.state(), State::Established);
    }
    h.receive(Slot::Incoming, &graceful_open(true));
    let downs: Vec<_> = h.events().into_iter().filter_map(down).collect();
    assert_eq!(downs, [("peer-restarted", false)]);
    // It dies again before it is up, and comes back.
    h.advance_slot(Slot::Incoming, State::OpenSent);
    h.receive(Slot::Incoming, &graceful_open(true));
    h.receive(Slot::Incoming, &Message::Keepalive);
    assert_eq!(h.peer.state(), State::Established);
    assert_eq!(h.peer.status(h.now).established_count, 2);
}

/// Nothing that a lost collision leaves behind is ever taken for an error, or damped.
#[test]
fn a_lost_collision_is_no_failure() {
    let mut h = with_second(our_config(), Slot::Outgoing, State::OpenConfirm);
    h.receive(Slot::Incoming, &Message::Open(their_open()));
    let status = h.peer.status(h.now);
    assert_eq!(status.errors.down, None);
    assert_eq!(status.timers.idle_hold, None);
    assert_eq!(status.sent.notification, 1);
    assert!(decode(h.peer.transmit(Slot::Outgoing)).is_empty());
}

/// Whoever dialled the session dials again. The identifiers say nothing about two connections of one
/// origin, and least of all the place that the older one had to move to.
#[test]
fn a_neighbour_that_dials_again_takes_the_place_of_its_own_session_where_that_is_allowed() {
    for we_are_higher in [false, true] {
        let mut config = if we_are_higher {
            higher(our_config())
        } else {
            our_config()
        };
        config.collision_established = true;
        let mut h = Harness::in_state(config, Slot::Incoming, State::Established);
        h.advance_slot(Slot::Incoming, State::OpenSent);
        assert_eq!(h.actions(), [Action::MakeRoom]);
        assert_eq!(h.peer.state(), State::Established, "no OPEN, no loss");
        h.receive(Slot::Incoming, &Message::Open(their_open()));
        let lost = [(Slot::Outgoing, Some(CEASE))];
        assert_eq!(losers(&mut h), lost, "ours higher: {we_are_higher}");
        h.receive(Slot::Incoming, &Message::Keepalive);
        let status = h.peer.status(h.now);
        assert_eq!(status.state, State::Established);
        assert_eq!(
            (status.established_count, status.origin),
            (2, Some(Slot::Incoming))
        );
    }
}

/// RFC 4724 section 5, with either end's connection as the session before: that of a neighbour which
/// says that it restarted, or dials long after, is over, and its routes stay.
#[test]
fn a_new_connection_during_graceful_restart_ends_the_session_before_whoever_dialled_it() {
    const LONG: Duration = Duration::from_secs(11);
    for (first, restarting, after, ends) in [
        (Slot::Outgoing, true, Duration::ZERO, true),
        (Slot::Outgoing, false, LONG, true),
        // As likely the late half of a simultaneous start.
        (Slot::Outgoing, false, Duration::ZERO, false),
        (Slot::Incoming, true, Duration::ZERO, true),
        (Slot::Incoming, false, Duration::ZERO, true),
        (Slot::Incoming, false, LONG, true),
    ] {
        for we_are_higher in [false, true] {
            let what = format!("{first}, restarting: {restarting}, higher: {we_are_higher}");
            let config = if we_are_higher {
                higher(graceful(our_config()))
            } else {
                graceful(our_config())
            };
            let mut h = Harness::in_state(config, first, State::OpenSent);
            h.receive(first, &graceful_open(false));
            h.receive(first, &Message::Keepalive);
            h.sleep(after);
            h.drain();
            h.advance_slot(Slot::Incoming, State::OpenSent);
            h.drain();
            h.receive(Slot::Incoming, &graceful_open(restarting));
            let downs: Vec<_> = h.events().into_iter().filter_map(down).collect();
            if ends {
                assert_eq!(downs, [("peer-restarted", false)], "{what}");
                assert_eq!(losers(&mut h), [(Slot::Outgoing, None)], "{what}");
            } else {
                assert_eq!(
                    (downs.len(), h.peer.state()),
                    (0, State::Established),
                    "{what}"
                );
                assert_eq!(losers(&mut h), [(Slot::Incoming, Some(CEASE))], "{what}");
            }
        }
    }
}

/// The session that made room is lost before the new connection has said a word.
#[test]
fn a_session_that_made_room_and_is_lost_leaves_a_neighbour_that_we_dial() {
    let mut h = Harness::in_state(graceful(our_config()), Slot::Incoming, State::OpenSent);
    h.receive(Slot::Incoming, &graceful_open(false));
    h.receive(Slot::Incoming, &Message::Keepalive);
    h.advance_slot(Slot::Incoming, State::OpenSent);
    h.drain();
    h.peer.closed(h.now, Slot::Outgoing, Disconnect::Reset);
    let downs: Vec<_> = h.events().into_iter().filter_map(down).collect();
    assert_eq!(downs, [("connection-lost", false)]);
    h.sleep(Duration::from_secs(1));
    assert_eq!(h.actions(), [Action::Connect]);
    // And both are there for the neighbour to choose from.
    h.connect(Slot::Outgoing);
    h.receive(Slot::Incoming, &graceful_open(true));
    assert_eq!(losers(&mut h), [(Slot::Outgoing, Some(CEASE))]);
    h.receive(Slot::Incoming, &Message::Keepalive);
    assert_eq!(h.peer.established_slot(), Some(Slot::Incoming));
}

/// A connection without an OPEN loses after a while, whatever the identifiers say.
#[test]
fn a_silent_connection_stands_in_the_way_for_ten_seconds_at_most() {
    for (first, config) in [
        (Slot::Incoming, our_config()),
        (Slot::Outgoing, higher(our_config())),
    ] {
        for (age, survivor) in [(9, first), (10, first.other())] {
            let mut h = with_second(config.clone(), first, State::OpenSent);
            h.sleep(Duration::from_secs(age));
            h.drain();
            h.receive(first.other(), &Message::Open(their_open()));
            let lost = [(survivor.other(), Some(CEASE))];
            assert_eq!(losers(&mut h), lost, "{first} first, silent for {age} s");
        }
    }
}

fn down(event: Event) -> Option<(&'static str, bool)> {
    match event {
        Event::Down { reason, retained } => Some((reason.id(), retained.is_empty())),
        _ => None,
    }
}

fn graceful_open(restarting: bool) -> Message {
    let mut open = their_open();
    let restart = GracefulRestart {
        restarting,
        restart_time: 60,
        families: vec![crate::wire::GracefulRestartFamily {
            afi: 1,
            safi: 1,
            forwarding_preserved: true,
        }],
        ..GracefulRestart::default()
    };
    open.capabilities.push(Capability::GracefulRestart(restart));
    Message::Open(open)
}
