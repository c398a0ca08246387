//! When packets go out, and how long silence is borne (RFC 5880 sections 6.8.2 to 6.8.7).

use core::time::Duration;

use super::{MS, config, from_them, session_in};
use crate::{
    bfd::{Packet, Session, State},
    time::Instant,
};

/// Lets time pass until `end`; the packets that went out, with their times. The neighbour says nothing.
fn run(session: &mut Session, from: Instant, end: Instant) -> Vec<(Instant, Packet)> {
    let mut sent = Vec::new();
    let mut now = from;
    loop {
        while let Some(packet) = session.poll_transmit(now) {
            sent.push((now, packet));
        }
        match session.poll_timeout() {
            Some(at) if at <= end => {
                now = at.max(now);
                session.handle_timeout(now);
            }
            _ => return sent,
        }
    }
}

fn gaps(sent: &[(Instant, Packet)]) -> Vec<Duration> {
    sent.windows(2).map(|w| w[1].0 - w[0].0).collect()
}

/// Each gap is drawn anew between these: "on a per-packet basis" (section 6.8.7).
fn assert_jittered(gaps: &[Duration], least: Duration, most: Duration) {
    let bounds = least..=most;
    assert!(gaps.iter().all(|gap| bounds.contains(gap)), "{gaps:?}");
    let spread = gaps
        .iter()
        .max()
        .unwrap()
        .saturating_sub(*gaps.iter().min().unwrap());
    assert!(spread > (most - least) / 2, "{gaps:?}");
    let different: std::collections::BTreeSet<_> = gaps.iter().collect();
    assert!(different.len() > gaps.len() / 2, "{gaps:?}");
}

#[test]
fn until_it_is_up_a_session_sends_once_a_second() {
    let (mut session, now) = session_in(State::Down, config(50, 3));
    let sent = run(&mut session, now, now + MS * 20_000);
    assert!(
        sent.iter()
            .all(|(_, p)| p.desired_min_tx == MS * 1000 && p.required_min_rx == MS * 50)
    );
    let gaps = gaps(&sent);
    assert!((20..=27).contains(&gaps.len()), "{}", gaps.len());
    assert_jittered(&gaps, MS * 750, MS * 1000);
}

#[test]
fn a_session_that_is_up_sends_as_often_as_both_can_bear() {
    for (ours, theirs, agreed) in [(300, 300, 300), (50, 300, 300), (1000, 10, 1000)] {
        let (mut session, now) = session_in(State::Up, config(ours, 255));
        let mut heard = from_them(State::Up);
        heard.required_min_rx = MS * theirs;
        heard.detect_multiplier = 255;
        session.received(now, &heard);
        assert_eq!(session.status().transmit_interval, MS * agreed);
        let gaps = gaps(&run(&mut session, now, now + MS * 30_000));
        assert!(gaps.len() > 20);
        // The first may be early: the interval became shorter.
        assert_jittered(&gaps[1..], MS * agreed * 3 / 4, MS * agreed);
    }
}

#[test]
fn with_a_multiplier_of_one_there_is_a_tenth_to_spare() {
    let (mut session, now) = session_in(State::Up, config(300, 1));
    let mut heard = from_them(State::Up);
    heard.detect_multiplier = 255;
    session.received(now, &heard);
    let gaps = gaps(&run(&mut session, now, now + MS * 30_000));
    assert_jittered(&gaps, MS * 225, MS * 270);
}

#[test]
fn silence_is_borne_for_their_multiplier_times_the_slower_of_two_intervals() {
    for (our_rx, their_tx, their_multiplier, time) in [
        (300, 300, 3, 900),
        (300, 50, 3, 900),
        (50, 400, 5, 2000),
        (10, 10, 1, 10),
    ] {
        let (mut session, now) = session_in(State::Up, config(our_rx, 3));
        let mut heard = from_them(State::Up);
        (heard.desired_min_tx, heard.detect_multiplier) = (MS * their_tx, their_multiplier);
        session.received(now, &heard);
        assert_eq!(session.status().detection_time, Some(MS * time));
        run(
            &mut session,
            now,
            now + (MS * time - Duration::from_nanos(1)),
        );
        assert_eq!(session.status().state, State::Up);
        run(&mut session, now, now + MS * time);
        assert_eq!(session.status().state, State::Down);
    }
}

#[test]
fn a_poll_is_answered_at_once_and_not_with_a_poll() {
    let (mut session, now) = session_in(State::Up, config(300, 3));
    let mut heard = from_them(State::Up);
    heard.poll = true;
    session.received(now + MS, &heard);
    let answer = session.poll_transmit(now + MS).unwrap();
    assert!(answer.final_ && !answer.poll);
    assert_eq!(session.poll_transmit(now + MS), None);
}

#[test]
fn a_change_of_state_is_told_at_once() {
    let (mut session, now) = session_in(State::Down, config(300, 3));
    session.received(now + MS, &from_them(State::Down));
    assert_eq!(
        session.poll_transmit(now + MS).map(|p| p.state),
        Some(State::Init)
    );
    session.received(now + MS * 2, &from_them(State::Init));
    let up = session.poll_transmit(now + MS * 2).unwrap();
    assert_eq!(
        (up.state, up.poll, up.desired_min_tx),
        (State::Up, true, MS * 300)
    );
}

#[test]
fn to_send_less_often_waits_for_the_neighbour_and_to_send_more_often_does_not() {
    let (mut session, now) = session_in(State::Up, config(300, 3));
    session.reconfigure(now, config(900, 3));
    assert_eq!(session.status().transmit_interval, MS * 300);
    let poll = session.poll_transmit(now).unwrap();
    assert!(poll.poll && poll.desired_min_tx == MS * 900);
    let mut answer = from_them(State::Up);
    answer.final_ = true;
    session.received(now, &answer);
    assert_eq!(session.status().transmit_interval, MS * 900);
    session.reconfigure(now, config(400, 3));
    assert_eq!(session.status().transmit_interval, MS * 400);
}

#[test]
fn to_bear_less_silence_waits_for_the_neighbour_and_to_bear_more_does_not() {
    let (mut session, now) = session_in(State::Up, config(500, 3));
    assert_eq!(session.status().detection_time, Some(MS * 1500));
    session.reconfigure(now, config(400, 3));
    assert_eq!(session.status().detection_time, Some(MS * 1500));
    let mut answer = from_them(State::Up);
    answer.final_ = true;
    session.received(now, &answer);
    assert_eq!(session.status().detection_time, Some(MS * 1200));
    session.reconfigure(now, config(600, 3));
    assert_eq!(session.status().detection_time, Some(MS * 1800));
}

#[test]
fn a_change_during_a_poll_sequence_gets_one_of_its_own() {
    let (mut session, now) = session_in(State::Up, config(300, 3));
    session.reconfigure(now, config(600, 3));
    assert!(session.poll_transmit(now).unwrap().poll);
    session.reconfigure(now, config(900, 3));
    assert!(session.poll_transmit(now).unwrap().poll);
    let mut answer = from_them(State::Up);
    answer.final_ = true;
    // It may be the answer to the first.
    session.received(now, &answer);
    assert_eq!(session.status().transmit_interval, MS * 300);
    assert!(session.poll_transmit(now).unwrap().poll);
    session.received(now, &answer);
    assert_eq!(session.status().transmit_interval, MS * 900);
    assert_eq!(session.poll_transmit(now), None);
}

#[test]
fn a_poll_is_repeated_until_it_is_answered() {
    let (mut session, now) = session_in(State::Up, config(300, 3));
    let mut heard = from_them(State::Up);
    heard.detect_multiplier = 255;
    session.received(now, &heard);
    session.reconfigure(now, config(310, 3));
    let sent = run(&mut session, now, now + MS * 3000);
    assert!(sent.len() > 8 && sent.iter().all(|(_, packet)| packet.poll));
}

#[test]
fn a_neighbour_in_demand_mode_hears_nothing_but_polls_and_answers() {
    let (mut session, now) = session_in(State::Up, config(300, 3));
    let mut heard = from_them(State::Up);
    (heard.demand, heard.detect_multiplier) = (true, 255);
    session.received(now, &heard);
    assert_eq!(run(&mut session, now, now + MS * 10_000), []);
    session.reconfigure(now + MS * 10_000, config(500, 3));
    assert!(session.poll_transmit(now + MS * 10_000).unwrap().poll);
}

/// Section 4.1: D is for who wishes to operate in Demand mode, C for who goes on detecting without its
/// control plane, and a Required Min Echo RX Interval of zero says that no echo packets are taken.
#[test]
fn we_ask_for_neither_demand_mode_nor_echo_and_share_the_fate_of_our_control_plane() {
    for state in State::ALL {
        let (mut session, now) = session_in(state, config(300, 3));
        let mut heard = from_them(state);
        (heard.demand, heard.control_plane_independent) = (true, true);
        (heard.poll, heard.detect_multiplier) = (true, 255);
        session.received(now, &heard);
        session.reconfigure(now, config(200, 3));
        let sent = run(&mut session, now, now + MS * 5000);
        assert!(!sent.is_empty(), "{state}");
        for (_, packet) in sent {
            assert!(
                !packet.demand && !packet.control_plane_independent,
                "{packet:?}"
            );
            assert!(packet.required_min_echo_rx.is_zero(), "{packet:?}");
        }
    }
}

#[test]
fn a_neighbour_that_wants_no_packets_gets_none() {
    let (mut session, now) = session_in(State::Up, config(300, 3));
    let mut heard = from_them(State::Up);
    (heard.required_min_rx, heard.detect_multiplier) = (Duration::ZERO, 255);
    session.received(now, &heard);
    assert_eq!(run(&mut session, now, now + MS * 10_000), []);
    // But its polls are answered.
    heard.poll = true;
    session.received(now + MS * 10_000, &heard);
    assert!(session.poll_transmit(now + MS * 10_000).unwrap().final_);
}

#[test]
fn a_passive_session_speaks_when_spoken_to() {
    let mut passive = config(300, 3);
    passive.passive = true;
    let now = Instant::ZERO;
    let mut session = Session::new(now, passive, 1, 7);
    assert_eq!(run(&mut session, now, now + MS * 60_000), []);
    let mut heard = from_them(State::Down);
    heard.your_discriminator = 0;
    session.received(now + MS * 60_000, &heard);
    let answer = session.poll_transmit(now + MS * 60_000).unwrap();
    assert_eq!((answer.state, answer.your_discriminator), (State::Init, 2));
}

#[test]
fn a_disabled_session_says_so_for_a_detection_time_and_then_nothing() {
    let (mut session, now) = session_in(State::Up, config(300, 3));
    session.disable(now);
    let sent = run(&mut session, now, now + MS * 60_000);
    assert!(
        sent.iter()
            .all(|(_, packet)| packet.state == State::AdminDown)
    );
    let last = sent.last().unwrap().0;
    assert!(
        (MS * 2000..=MS * 3000).contains(&(last - now)),
        "{:?}",
        last - now
    );
    assert!(session.is_silent(now + MS * 3000));
}
