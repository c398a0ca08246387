//! Every state with every input that RFC 4271 section 8.2.2 has a word on.

use core::time::Duration;

use crate::{
    session::{Action, ConnectError, Disconnect, DownReason, Slot, State, StopReason},
    types::Family,
    wire::{
        CeaseSubcode, ErrorCode, FsmSubcode, HeaderSubcode, Message, Notification, OpenSubcode,
        RefreshKind, RouteRefresh,
    },
};

use super::support::{Harness, our_config, their_open};

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
enum Input {
    Open,
    BadOpen,
    Keepalive,
    Update,
    Refresh,
    CeaseReceived,
    ErrorReceived,
    Garbage,
    Closed,
    HoldExpires,
    Stop,
    StopSilently,
}

/// The shortest UPDATE.
const END_OF_RIB: [u8; 23] = {
    let mut message = [0xff; 23];
    let mut i = 16;
    while i < 23 {
        message[i] = [0, 23, 2, 0, 0, 0, 0][i - 16];
        i += 1;
    }
    message
};

/// What must come of it: the state after, and the NOTIFICATION sent.
type Outcome = (State, Option<ErrorCode>);

fn apply(h: &mut Harness, slot: Slot, input: Input) {
    let mut bad_open = their_open();
    bad_open.asn = crate::types::Asn(64999);
    for capability in &mut bad_open.capabilities {
        if let crate::wire::Capability::FourOctetAs(asn) = capability {
            *asn = bad_open.asn;
        }
    }
    let cease = ErrorCode::Cease(CeaseSubcode::AdministrativeReset);
    let error = ErrorCode::Fsm(FsmSubcode::Unspecific);
    let refresh = RouteRefresh {
        afi: 1,
        safi: 1,
        kind: RefreshKind::Request,
    };
    match input {
        Input::Open => h.receive(slot, &Message::Open(their_open())),
        Input::BadOpen => h.receive(slot, &Message::Open(bad_open)),
        Input::Keepalive => h.receive(slot, &Message::Keepalive),
        Input::Update => h.peer.received(h.now, slot, &END_OF_RIB),
        Input::Refresh => h.receive(slot, &Message::RouteRefresh(refresh)),
        Input::CeaseReceived => h.receive(slot, &Message::Notification(Notification::new(cease))),
        Input::ErrorReceived => h.receive(slot, &Message::Notification(Notification::new(error))),
        Input::Garbage => h.peer.received(h.now, slot, &[0; 19]),
        Input::Closed => h.peer.closed(h.now, slot, Disconnect::Closed),
        Input::HoldExpires => {
            // Not `sleep`: the timers of what follows must not run.
            h.now = h.now + Duration::from_secs(240);
            h.peer.handle_timeout(h.now);
        }
        Input::Stop => h.peer.stop(h.now, &StopReason::Shutdown("bye".into())),
        Input::StopSilently => h.peer.stop(h.now, &StopReason::GracefulRestart),
    }
}

fn fsm(subcode: FsmSubcode) -> Option<ErrorCode> {
    Some(ErrorCode::Fsm(subcode))
}

fn expected(slot: Slot, state: State, input: Input) -> Outcome {
    use State::{Active, Connect, Established, Idle, OpenConfirm, OpenSent};
    let open = |subcode| Some(ErrorCode::Open(subcode));
    match (state, input) {
        (_, Input::CeaseReceived | Input::Closed) => (Active, None),
        (_, Input::ErrorReceived | Input::StopSilently) => (Idle, None),
        (_, Input::Stop) => (
            Idle,
            Some(ErrorCode::Cease(CeaseSubcode::AdministrativeShutdown)),
        ),
        (_, Input::Garbage) => {
            let subcode = HeaderSubcode::ConnectionNotSynchronized;
            (Idle, Some(ErrorCode::MessageHeader(subcode)))
        }
        // Our own attempts have gone on all the while.
        (OpenSent, Input::HoldExpires) if slot == Slot::Incoming => {
            (Connect, Some(ErrorCode::HoldTimerExpired))
        }
        (_, Input::HoldExpires) => (Idle, Some(ErrorCode::HoldTimerExpired)),

        (OpenSent, Input::Open) => (OpenConfirm, None),
        (OpenSent, Input::BadOpen) => (Idle, open(OpenSubcode::BadPeerAs)),
        (OpenSent, _) => (Idle, fsm(FsmSubcode::UnexpectedInOpenSent)),

        (OpenConfirm, Input::Keepalive) => (Established, None),
        (OpenConfirm, _) => (Idle, fsm(FsmSubcode::UnexpectedInOpenConfirm)),

        (Established, Input::Keepalive | Input::Update | Input::Refresh) => (Established, None),
        (Established, _) => (Idle, fsm(FsmSubcode::UnexpectedInEstablished)),

        (Idle | Active | Connect, _) => unreachable!("not in the table"),
    }
}

#[test]
fn connected_states_times_inputs() {
    let inputs = [
        Input::Open,
        Input::BadOpen,
        Input::Keepalive,
        Input::Update,
        Input::Refresh,
        Input::CeaseReceived,
        Input::ErrorReceived,
        Input::Garbage,
        Input::Closed,
        Input::HoldExpires,
        Input::Stop,
        Input::StopSilently,
    ];
    for slot in Slot::ALL {
        for state in [State::OpenSent, State::OpenConfirm, State::Established] {
            for input in inputs {
                let mut h = Harness::in_state(our_config(), slot, state);
                apply(&mut h, slot, input);
                let cell = format!("{slot} {state} {input:?}");
                let (after, notification) = expected(slot, state, input);
                assert_eq!(h.peer.state(), after, "{cell}");
                let sent: Vec<_> = h
                    .closes()
                    .into_iter()
                    .flat_map(|(_, messages)| messages)
                    .collect();
                let code = sent.first().map(|message| match message {
                    Message::Notification(n) => n.code,
                    other => panic!("{cell}: said goodbye with {other:?}"),
                });
                assert_eq!(code, notification, "{cell}");
                assert!(sent.len() <= 1, "{cell}");
            }
        }
    }
}

#[test]
fn inputs_that_a_state_does_not_know_change_nothing() {
    for state in [State::Idle, State::Connect, State::Active] {
        for slot in Slot::ALL {
            let mut h = Harness::in_state(our_config(), slot, state);
            h.receive(slot, &Message::Keepalive);
            h.peer.received(h.now, slot, &[0; 40]);
            h.peer.closed(h.now, slot, Disconnect::Reset);
            h.peer.wrote(h.now, slot, 9);
            assert!(!h.peer.send_route_refresh(h.now, Family::Ipv4Unicast));
            assert_eq!(h.peer.state(), state, "{slot} {state}");
            assert!(
                h.actions().is_empty() && h.events().is_empty(),
                "{slot} {state}"
            );
            assert!(h.peer.transmit(slot).is_empty());
        }
    }
}

#[test]
fn starting_dials_at_once_unless_passive() {
    let mut h = Harness::new(our_config());
    h.peer.start(h.now);
    assert_eq!(h.actions(), [Action::Connect]);
    assert_eq!(h.peer.state(), State::Connect);

    let mut config = our_config();
    config.passive = true;
    let mut h = Harness::new(config);
    h.peer.start(h.now);
    assert!(h.actions().is_empty());
    assert_eq!(h.peer.state(), State::Active);
    assert_eq!(h.peer.poll_timeout(), None);
}

#[test]
fn an_attempt_that_is_not_answered_is_repeated_when_its_timer_expires() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Connect);
    h.now = h.peer.poll_timeout().unwrap();
    h.peer.handle_timeout(h.now);
    let actions = h.actions();
    assert!(matches!(
        actions[..],
        [
            Action::Close {
                slot: Slot::Outgoing,
                ..
            },
            Action::Connect
        ]
    ));
    assert_eq!(
        h.reason(),
        Some(DownReason::ConnectFailed(ConnectError::TimedOut))
    );
}

#[test]
fn a_connection_that_nobody_asked_for_is_closed() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Active);
    h.connect(Slot::Outgoing);
    assert_eq!(h.closes(), [(Slot::Outgoing, vec![])]);

    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::Idle);
    assert_eq!(h.peer.admit(h.now), Err(crate::session::Refusal::Stopped));
    h.connect(Slot::Incoming);
    assert_eq!(h.closes(), [(Slot::Incoming, vec![])]);
}

#[test]
fn unexpected_messages_name_their_type() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::OpenSent);
    apply(&mut h, Slot::Outgoing, Input::Keepalive);
    let Some(DownReason::NotificationSent(n)) = h.reason() else {
        panic!("no NOTIFICATION");
    };
    assert_eq!(n.data.as_ref(), [4]);
}

#[test]
fn a_wrong_as_names_both_numbers() {
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::OpenSent);
    apply(&mut h, Slot::Incoming, Input::BadOpen);
    let reason = h.reason().unwrap();
    assert_eq!(
        reason.to_string(),
        "bad-peer-as: expected AS 65002, got AS 64999"
    );
}

#[test]
fn the_text_of_a_shutdown_reaches_both_operators() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    apply(&mut h, Slot::Outgoing, Input::Stop);
    let closes = h.closes();
    let [(Slot::Outgoing, messages)] = &closes[..] else {
        panic!("{closes:?}");
    };
    let [Message::Notification(n)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(n.shutdown_message().as_deref(), Some("bye"));

    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    h.receive(Slot::Outgoing, &Message::Notification(n.clone()));
    let reason = h.reason().unwrap().to_string();
    assert!(reason.starts_with("notification-received: "), "{reason}");
    assert_eq!(reason.matches("bye").count(), 1, "once: {reason}");
}
