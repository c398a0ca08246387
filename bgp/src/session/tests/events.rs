//! The events of RFC 4271 section 8.1, by number, in every state: one cell each, all asserted.
//!
//! The states Connect and Active are there twice: alone, and with a TCP connection on which the
//! DelayOpenTimer runs. Idle is there as stopped and as resting (IdleHoldTimer). Optional session
//! attributes have these values: AllowAutomaticStart, AllowAutomaticStop, DampPeerOscillations and
//! SendNOTIFICATIONwithoutOPEN true, TrackTcpState false, the others by configuration.
//!
//! Where the engine differs from the letter:
//!
//! - A connection that was refused or lost leads to Active, from every state, where the RFC has Idle in
//!   some. Automatic start would leave that Idle at once; the pause before the next attempt is what
//!   is left of it.
//! - A Cease is somebody's intention, and leads to Active as well.
//! - Header and OPEN errors in Established are answered with their own code (section 6), not with
//!   Finite State Machine Error.
//! - A NOTIFICATION is never answered, in OpenSent neither (section 6.4).
//! - A second connection beside an Established one is refused where its OPEN could only lose, without
//!   waiting for it.
//!
//! Of each cell are asserted the state, what is said, what is dialled and closed, and which timers run
//! then.

use core::time::Duration;

use crate::{
    session::{
        Action, ConnectError, Disconnect, PeerConfig, Refusal, Slot, State, StopReason, Timers,
    },
    types::Family,
    wire::{
        CeaseSubcode, ErrorCode, FsmSubcode, HeaderSubcode, Message, MessageType, Notification,
        OpenSubcode, UpdateSubcode,
    },
};

use super::support::{Harness, encode, our_config, their_open};

/// A state, with what section 8.2.2 makes depend on the timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Stopped,
    Resting,
    Connect,
    Active,
    ConnectDelayed,
    ActiveDelayed,
    OpenSent,
    OpenConfirm,
    Established,
}

const ROWS: [Row; 9] = [
    Row::Stopped,
    Row::Resting,
    Row::Connect,
    Row::Active,
    Row::ConnectDelayed,
    Row::ActiveDelayed,
    Row::OpenSent,
    Row::OpenConfirm,
    Row::Established,
];

impl Row {
    fn state(self) -> State {
        match self {
            Self::Stopped | Self::Resting => State::Idle,
            Self::Connect | Self::ConnectDelayed => State::Connect,
            Self::Active | Self::ActiveDelayed => State::Active,
            Self::OpenSent => State::OpenSent,
            Self::OpenConfirm => State::OpenConfirm,
            Self::Established => State::Established,
        }
    }

    /// The connection in question.
    fn slot(self) -> Slot {
        match self {
            Self::ActiveDelayed => Slot::Incoming,
            _ => Slot::Outgoing,
        }
    }

    fn has_connection(self) -> bool {
        !matches!(
            self,
            Self::Stopped | Self::Resting | Self::Connect | Self::Active
        )
    }

    fn delayed(self) -> bool {
        matches!(self, Self::ConnectDelayed | Self::ActiveDelayed)
    }

    fn harness(self, mut config: PeerConfig) -> Harness {
        match self {
            Self::Resting => {
                let mut h = Harness::in_state(config, Slot::Outgoing, State::OpenSent);
                h.peer.received(h.now, Slot::Outgoing, &[0; 19]);
                h.drain();
                h
            }
            Self::ConnectDelayed | Self::ActiveDelayed => {
                config.delay_open = Some(Duration::from_secs(9));
                let before = if self == Self::ConnectDelayed {
                    State::Connect
                } else {
                    State::Active
                };
                let mut h = Harness::in_state(config, self.slot(), before);
                h.advance_slot(self.slot(), State::Connect);
                h.drain();
                h
            }
            _ => Harness::in_state(config, self.slot(), self.state()),
        }
    }
}

/// Section 8.1.2 to 8.1.5.
const NAMES: [&str; 28] = [
    "ManualStart",
    "ManualStop",
    "AutomaticStart",
    "ManualStart_with_PassiveTcpEstablishment",
    "AutomaticStart_with_PassiveTcpEstablishment",
    "AutomaticStart_with_DampPeerOscillations",
    "AutomaticStart_with_DampPeerOscillations_and_PassiveTcpEstablishment",
    "AutomaticStop",
    "ConnectRetryTimer_Expires",
    "HoldTimer_Expires",
    "KeepaliveTimer_Expires",
    "DelayOpenTimer_Expires",
    "IdleHoldTimer_Expires",
    "TcpConnection_Valid",
    "Tcp_CR_Invalid",
    "Tcp_CR_Acked",
    "TcpConnectionConfirmed",
    "TcpConnectionFails",
    "BGPOpen",
    "BGPOpen with DelayOpenTimer running",
    "BGPHeaderErr",
    "BGPOpenMsgErr",
    "OpenCollisionDump",
    "NotifMsgVerErr",
    "NotifMsg",
    "KeepAliveMsg",
    "UpdateMsg",
    "UpdateMsgErr",
];

/// What must come of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    /// The state after, and the NOTIFICATION sent.
    Goes(State, Option<ErrorCode>),
    /// The event is of no consequence.
    Ignored,
    /// The connection is refused, and nothing else happens.
    Refused(Refusal),
    /// It cannot occur, for this reason. That is tested too: the timer does not run, or what comes
    /// nearest to the event is of no consequence.
    Never(&'static str),
}

use Cell::{Goes, Ignored, Never, Refused};

fn fsm(subcode: FsmSubcode) -> Option<ErrorCode> {
    Some(ErrorCode::Fsm(subcode))
}

fn cease(subcode: CeaseSubcode) -> Option<ErrorCode> {
    Some(ErrorCode::Cease(subcode))
}

/// RFC 6608: the subcode names the state in which the message came.
fn unexpected(row: Row) -> Cell {
    Goes(
        State::Idle,
        fsm(match row {
            Row::OpenSent => FsmSubcode::UnexpectedInOpenSent,
            Row::OpenConfirm => FsmSubcode::UnexpectedInOpenConfirm,
            Row::Established => FsmSubcode::UnexpectedInEstablished,
            _ => FsmSubcode::Unspecific,
        }),
    )
}

fn administrative(row: Row, event: usize) -> Cell {
    let down = matches!(row, Row::Stopped | Row::Resting);
    match event {
        1 | 3 | 6 if down => Goes(State::Connect, None),
        4 | 5 | 7 if down => Goes(State::Active, None),
        1 | 3..=7 => Ignored,
        2 if row.has_connection() => Goes(State::Idle, cease(CeaseSubcode::AdministrativeShutdown)),
        8 if row.has_connection() => Goes(State::Idle, cease(CeaseSubcode::MaximumPrefixesReached)),
        _ => Goes(State::Idle, None),
    }
}

fn timer(row: Row, event: usize) -> Cell {
    match (event, row) {
        (9, Row::Connect | Row::Active | Row::ActiveDelayed) => Goes(State::Connect, None),
        (9, _) => Never("it stops when our connection is up, and does not run in Idle"),
        (10, Row::OpenSent | Row::OpenConfirm | Row::Established) => {
            Goes(State::Idle, Some(ErrorCode::HoldTimerExpired))
        }
        (10, _) => Never("it runs from our OPEN on"),
        (11, Row::OpenConfirm | Row::Established) => Goes(row.state(), None),
        (11, _) => Never("it runs from the neighbour's OPEN on"),
        (12, _) if row.delayed() => Goes(State::OpenSent, None),
        (12, _) => Never("no OPEN is held back"),
        (13, Row::Resting) => Goes(State::Connect, None),
        (_, _) => Never("it runs in Idle, after an error"),
    }
}

fn tcp(row: Row, event: usize) -> Cell {
    let replaced = || {
        Goes(
            State::Active,
            cease(CeaseSubcode::ConnectionCollisionResolution),
        )
    };
    match (event, row) {
        (14 | 17, Row::Stopped) => Refused(Refusal::Stopped),
        (14 | 17, Row::Resting) => Refused(Refusal::IdleHold),
        (14 | 17, Row::Established) => Refused(Refusal::AlreadyEstablished),
        // The neighbour dials one connection at a time: the one before is dead.
        (14 | 17, Row::ActiveDelayed) => replaced(),
        (17, Row::Connect | Row::Active) => Goes(State::OpenSent, None),
        // A second connection: both are kept until an OPEN tells which one stays.
        (14 | 17, _) => Goes(row.state(), None),
        (15, _) => Never("the listener refuses strangers, and the engine has no input for it"),
        (16, Row::Connect) => Goes(State::OpenSent, None),
        (16, _) => Never("no attempt is under way"),
        (_, Row::Stopped | Row::Resting | Row::Active) => Never("there is no connection"),
        (_, _) => Goes(State::Active, None),
    }
}

fn message(row: Row, event: usize) -> Cell {
    if !row.has_connection() {
        return Never("there is no connection");
    }
    let unsynchronized = HeaderSubcode::ConnectionNotSynchronized;
    match (event, row) {
        (19, Row::OpenSent) => Goes(State::OpenConfirm, None),
        (19, _) if row.delayed() => Never("that is event 20"),
        (20, _) if row.delayed() => Goes(State::OpenConfirm, None),
        (20, _) => Never("the DelayOpenTimer does not run"),
        (21, _) => Goes(State::Idle, Some(ErrorCode::MessageHeader(unsynchronized))),
        (22, _) => {
            let version = OpenSubcode::UnsupportedVersionNumber;
            Goes(State::Idle, Some(ErrorCode::Open(version)))
        }
        (23, Row::ActiveDelayed) => Never("our own attempt is not up"),
        (23, _) => {
            let lost = cease(CeaseSubcode::ConnectionCollisionResolution);
            Goes(State::OpenConfirm, lost)
        }
        (24 | 25, _) => Goes(State::Idle, None),
        (26, Row::OpenConfirm) => Goes(State::Established, None),
        (26 | 27, Row::Established) => Goes(State::Established, None),
        (28, Row::Established) => {
            let malformed = UpdateSubcode::MalformedAttributeList;
            Goes(State::Idle, Some(ErrorCode::Update(malformed)))
        }
        _ => unexpected(row),
    }
}

fn cell(row: Row, event: usize) -> Cell {
    match event {
        1..=8 => administrative(row, event),
        9..=13 => timer(row, event),
        14..=18 => tcp(row, event),
        _ => message(row, event),
    }
}

/// Lets a timer expire; `false` if it does not run.
fn expire(h: &mut Harness, which: fn(&Timers) -> Option<Duration>) -> bool {
    let Some(left) = which(&h.peer.status(h.now).timers) else {
        return false;
    };
    h.now = h.now + left;
    h.peer.handle_timeout(h.now);
    true
}

fn update(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    let len = u16::try_from(19 + body.len()).unwrap();
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.push(MessageType::Update.code());
    bytes.extend_from_slice(body);
    bytes
}

/// Makes the event happen, as far as it can. `Err`: refused.
fn happen(h: &mut Harness, slot: Slot, event: usize) -> Result<(), Refusal> {
    let now = h.now;
    match event {
        1 | 3..=7 => h.peer.start(now),
        2 => h.peer.stop(now, &StopReason::Shutdown(String::new())),
        8 => {
            let (family, limit) = (Family::Ipv4Unicast, 1);
            let why = StopReason::MaximumPrefixes { family, limit };
            h.peer.stop(now, &why);
        }
        9 => drop(expire(h, |timers| timers.connect_retry)),
        10 => drop(expire(h, |timers| timers.hold)),
        11 => drop(expire(h, |timers| timers.keepalive)),
        12 => drop(expire(h, |timers| timers.delay_open)),
        13 => drop(expire(h, |timers| timers.idle_hold)),
        14 => h.peer.admit(now)?,
        15 => {}
        16 => h.connect(Slot::Outgoing),
        17 => {
            h.peer.admit(now)?;
            h.connect(Slot::Incoming);
        }
        18 => {
            h.peer.connect_failed(now, ConnectError::Refused);
            h.peer.closed(now, slot, Disconnect::Reset);
        }
        _ => said(h, slot, event),
    }
    Ok(())
}

fn said(h: &mut Harness, slot: Slot, event: usize) {
    let notification = |code| Message::Notification(Notification::new(code));
    let delayed = h.peer.status(h.now).timers.delay_open.is_some();
    let dialled = h.peer.status(h.now).origin == Some(Slot::Outgoing);
    match event {
        // One input, two events.
        19 if delayed => {}
        20 if !delayed => {}
        19 | 20 => h.receive(slot, &Message::Open(their_open())),
        21 => h.peer.received(h.now, slot, &[0; 19]),
        22 => {
            let mut open = encode(&Message::Open(their_open()));
            open[19] = 3;
            h.peer.received(h.now, slot, &open);
        }
        23 if !dialled => {}
        23 => {
            // Ours is the lower identifier: the neighbour's connection stays.
            if h.peer.admit(h.now).is_ok() {
                h.connect(Slot::Incoming);
                h.receive(Slot::Incoming, &Message::Open(their_open()));
            }
        }
        24 => {
            let version = ErrorCode::Open(OpenSubcode::UnsupportedVersionNumber);
            h.receive(slot, &notification(version));
        }
        25 => h.receive(slot, &notification(ErrorCode::Fsm(FsmSubcode::Unspecific))),
        26 => h.receive(slot, &Message::Keepalive),
        27 => h.peer.received(h.now, slot, &update(&[0, 0, 0, 0])),
        28 => h.peer.received(h.now, slot, &update(&[0, 9, 0, 0])),
        other => panic!("no event {other}"),
    }
}

fn config(event: usize) -> PeerConfig {
    let mut config = our_config();
    config.passive = matches!(event, 4 | 5 | 7);
    config.collision_established = event == 23;
    config
}

/// "A HoldTimer value of 4 minutes is suggested" (RFC 4271 section 8.2.2).
const OPEN_HOLD: Duration = Duration::from_secs(240);

/// How long each state has lasted when the event comes: less than any timer.
const BEFORE: Duration = Duration::from_millis(100);

/// What the cell came to.
fn outcome(row: Row, event: usize) -> (Cell, Harness, Vec<Action>) {
    // To start passively one must not have dialled before.
    let passive = config(event).passive;
    let down = matches!(row, Row::Stopped | Row::Resting);
    let mut h = row.harness(config(if passive { 1 } else { event }));
    if passive && down {
        h.peer.reconfigure(h.now, config(event));
    }
    h.drain();
    assert_eq!(h.peer.state(), row.state(), "{row:?}");
    h.now = h.now + BEFORE;
    let refused = happen(&mut h, row.slot(), event);
    let actions = h.actions();
    let farewells = actions.iter().filter_map(|action| match action {
        Action::Close { farewell, .. } => super::support::decode(farewell).pop(),
        _ => None,
    });
    let notification = farewells.last().map(|message| match message {
        Message::Notification(n) => n.code,
        other => panic!("{row:?} {event}: said goodbye with {other:?}"),
    });
    let cell = match refused {
        Err(refusal) => Refused(refusal),
        Ok(()) => Goes(h.peer.state(), notification),
    };
    (cell, h, actions)
}

/// Whether the event makes us dial.
fn dials(row: Row, event: usize) -> bool {
    match row {
        Row::Stopped => matches!(event, 1 | 3 | 6),
        Row::Resting => matches!(event, 1 | 3 | 6 | 13),
        Row::Connect | Row::Active => event == 9,
        // The ConnectRetryTimer is the shorter one.
        Row::ActiveDelayed => matches!(event, 9 | 12),
        _ => false,
    }
}

/// What is queued for the sockets, on whichever connection, beside a last NOTIFICATION.
fn says(row: Row, event: usize) -> &'static [MessageType] {
    use MessageType::{Keepalive, Open};
    match (event, row) {
        (11, Row::OpenConfirm | Row::Established) | (19, Row::OpenSent) => &[Keepalive],
        (12, Row::ConnectDelayed | Row::ActiveDelayed) | (16, Row::Connect) => &[Open],
        (17, Row::Connect | Row::Active | Row::OpenSent | Row::OpenConfirm) => &[Open],
        (20, Row::ConnectDelayed | Row::ActiveDelayed)
        | (23, Row::ConnectDelayed | Row::OpenSent | Row::OpenConfirm | Row::Established) => {
            &[Open, Keepalive]
        }
        _ => &[],
    }
}

/// Which connections, or attempts, are closed.
fn closes(row: Row, event: usize) -> &'static [Slot] {
    let there = row.has_connection() || row == Row::Connect;
    match (event, row) {
        // Nobody asked for it.
        (16, Row::Stopped | Row::Resting | Row::Active | Row::ActiveDelayed) => &[Slot::Outgoing],
        (9, Row::Connect) => &[Slot::Outgoing],
        (14 | 17, Row::ActiveDelayed) => &[Slot::Incoming],
        (23, _) if row.has_connection() && row != Row::ActiveDelayed => &[Slot::Outgoing],
        _ if there && matches!(cell(row, event), Goes(State::Idle, _)) => match row.slot() {
            Slot::Outgoing => &[Slot::Outgoing],
            Slot::Incoming => &[Slot::Incoming],
        },
        _ => &[],
    }
}

fn closed_by(actions: &[Action]) -> Vec<Slot> {
    let closed = actions.iter().filter_map(|action| match action {
        Action::Close { slot, .. } => Some(*slot),
        Action::Connect | Action::MakeRoom => None,
    });
    closed.collect()
}

/// Which timers run after it.
fn runs(row: Row, event: usize, after: State) -> &'static [&'static str] {
    let stopped = matches!(event, 2 | 8) || row == Row::Stopped;
    // The neighbour's earlier connection made room for one that is not there yet, or is gone.
    let lost = event == 18 || (event, row) == (14, Row::ActiveDelayed);
    let started = matches!(row, Row::Stopped | Row::Resting);
    match after {
        State::Idle if stopped => &[],
        State::Idle => &["IdleHold"],
        // We go on dialling until the neighbour's OPEN tells which connection stays.
        State::Connect | State::Active if row == Row::ActiveDelayed && !lost => {
            &["ConnectRetry", "DelayOpen"]
        }
        State::Connect | State::Active if row.delayed() && !lost => &["DelayOpen"],
        State::Active if started => &[],
        State::Connect | State::Active => &["ConnectRetry"],
        State::OpenSent if event == 17 && row != Row::OpenSent => &["ConnectRetry", "Hold"],
        State::OpenSent if (event, row) == (12, Row::ActiveDelayed) => &["ConnectRetry", "Hold"],
        State::OpenSent => &["Hold"],
        State::OpenConfirm | State::Established => &["Hold", "Keepalive"],
    }
}

fn running(timers: &Timers) -> Vec<&'static str> {
    let all = [
        ("ConnectRetry", timers.connect_retry),
        ("DelayOpen", timers.delay_open),
        ("Hold", timers.hold),
        ("IdleHold", timers.idle_hold),
        ("Keepalive", timers.keepalive),
    ];
    let running = all.iter().filter(|(_, left)| left.is_some());
    running.map(|(name, _)| *name).collect()
}

/// Our OPEN gives the neighbour four minutes for its own. On a connection that stays, what the neighbour
/// says restarts the HoldTimer, and nothing else does.
fn check_hold_timer(row: Row, event: usize, after: State, timers: &Timers) {
    let Some(hold) = timers.hold else {
        return;
    };
    let what = format!("{row:?}, event {event}");
    match (row, after) {
        (Row::OpenSent, State::OpenSent) if event != 17 => {
            assert_eq!(hold + BEFORE, OPEN_HOLD, "{what}");
        }
        (_, State::OpenSent) => assert_eq!(hold, OPEN_HOLD, "{what}"),
        (Row::OpenConfirm | Row::Established, _) if event != 23 => {
            let restarted = hold == Duration::from_secs(90);
            assert_eq!(restarted, matches!(event, 26 | 27), "{what}");
        }
        _ => assert_eq!(hold, Duration::from_secs(90), "{what}"),
    }
}

fn said_by(h: &mut Harness) -> Vec<MessageType> {
    let queued = Slot::ALL.map(|slot| h.written(slot)).into_iter().flatten();
    queued
        .map(|message| match message {
            Message::Open(_) => MessageType::Open,
            Message::Keepalive => MessageType::Keepalive,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn every_event_in_every_state() {
    for row in ROWS {
        for (event, name) in (1..).zip(NAMES) {
            let what = format!("{row:?}, event {event} {name}");
            let (came, mut h, actions) = outcome(row, event);
            let dialled = actions.contains(&Action::Connect);
            assert_eq!(dialled, dials(row, event), "{what}");
            assert_eq!(closed_by(&actions), closes(row, event), "{what}");
            assert_eq!(said_by(&mut h), says(row, event), "{what}");
            let timers = h.peer.status(h.now).timers;
            let expected = runs(row, event, h.peer.state());
            assert_eq!(running(&timers), expected, "{what}");
            check_hold_timer(row, event, h.peer.state(), &timers);
            match cell(row, event) {
                Ignored => {
                    assert_eq!(came, Goes(row.state(), None), "{what}");
                    assert!(actions.is_empty() && h.events().is_empty(), "{what}");
                }
                // What nobody asked for is closed without a word.
                Never(why) => {
                    assert_eq!(came, Goes(row.state(), None), "{what}: {why}");
                    assert!(h.events().is_empty(), "{what}: {why}");
                }
                expected @ Refused(_) => {
                    assert_eq!(came, expected, "{what}");
                    assert_eq!(h.peer.state(), row.state(), "{what}");
                    assert!(actions.is_empty() && h.events().is_empty(), "{what}");
                }
                expected @ Goes(..) => assert_eq!(came, expected, "{what}"),
            }
        }
    }
}
