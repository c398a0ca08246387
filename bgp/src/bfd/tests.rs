//! What a pure implementation can show of RFC 5880: every cell of the state machine, every check of a
//! packet, timers to the microsecond, and two systems with a lossy path between them.

mod cells;
mod octets;
mod timers;
mod world;

use core::{num::NonZeroU8, time::Duration};

use super::{Config, Packet, Session, State, state::Diagnostic};
use crate::time::Instant;

const MS: Duration = Duration::from_millis(1);

fn config(interval_ms: u32, multiplier: u8) -> Config {
    Config {
        minimum_ttl: 1,
        desired_min_tx: MS * interval_ms,
        required_min_rx: MS * interval_ms,
        detect_multiplier: NonZeroU8::new(multiplier).unwrap(),
        passive: false,
    }
}

/// A packet from a neighbour that knows our discriminator, 1, and is content with a packet every 300 ms.
fn from_them(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::None,
        state,
        poll: false,
        final_: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 3,
        my_discriminator: 2,
        your_discriminator: 1,
        desired_min_tx: MS * 300,
        required_min_rx: MS * 300,
        required_min_echo_rx: Duration::ZERO,
    }
}

/// A session with discriminator 1 in a state, its packets and events read.
fn session_in(state: State, config: Config) -> (Session, Instant) {
    let now = Instant::ZERO;
    let mut session = Session::new(now, config, 1, 7);
    let heard: &[State] = match state {
        State::AdminDown | State::Down => &[],
        State::Init => &[State::Down],
        State::Up => &[State::Down, State::Up],
    };
    for heard in heard {
        session.received(now, &from_them(*heard));
    }
    if state == State::AdminDown {
        session.disable(now);
    }
    assert_eq!(session.status().state, state);
    // The neighbour answers the poll that going Up begins.
    while let Some(packet) = session.poll_transmit(now) {
        if packet.poll {
            let mut answer = from_them(State::Up);
            answer.final_ = true;
            session.received(now, &answer);
        }
    }
    while session.poll_event().is_some() {}
    (session, now)
}
