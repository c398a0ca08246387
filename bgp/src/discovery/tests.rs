use core::time::Duration;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::time::Instant;

const US: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const THEM: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const THIRD: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn discovery(own: Ipv6Addr, seed: u64) -> Discovery {
    Discovery::new(Instant::ZERO, own, seed, Limits::default())
}

fn hear(on: &mut Discovery, now: Instant, from: Ipv6Addr, message: Message) {
    let octets = message.encode();
    let received = Received {
        from,
        hop_limit: Some(255),
        octets: &octets,
    };
    on.on_message(now, &received).unwrap();
}

/// Runs the timers until `end`; when each message was sent.
fn run(on: &mut Discovery, end: Instant) -> Vec<(Instant, Message)> {
    let mut sent = Vec::new();
    while on.poll_timeout() <= end {
        let now = on.poll_timeout();
        sent.extend(on.on_time(now).into_iter().map(|m| (now, m)));
    }
    sent
}

fn times(sent: &[(Instant, Message)], message: Message) -> Vec<Instant> {
    let of = |(at, m): &(Instant, Message)| (*m == message).then_some(*at);
    sent.iter().filter_map(of).collect()
}

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|w| w[1] - w[0]).collect()
}

#[test]
fn what_is_sent_makes_nobody_use_us_as_default_router() {
    let advertisement = Message::Advertisement.encode();
    // RFC 4861 section 4.2: type, code, checksum, Cur Hop Limit, flags, Router Lifetime, two timers.
    assert_eq!(
        advertisement,
        [[134, 0, 0, 0].as_slice(), &[0; 12]].concat()
    );
    assert_eq!(Message::Solicitation.encode(), [133, 0, 0, 0, 0, 0, 0, 0]);
    let to = |m: Message| m.destination().to_string();
    assert_eq!(to(Message::Advertisement), "ff02::1");
    assert_eq!(to(Message::Solicitation), "ff02::2");
}

/// Source, hop limit, octets, and what becomes of them.
type Row = (Ipv6Addr, Option<u8>, Vec<u8>, Result<Message, Invalid>);

#[test]
fn what_rfc_4861_says_to_discard_is_discarded() {
    let ra = Message::Advertisement.encode();
    let rs = Message::Solicitation.encode();
    let with = |base: &[u8], options: &[u8]| [base, options].concat();
    let mac = [1, 1, 2, 0, 0, 0, 0, 1];
    let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let none = Ipv6Addr::UNSPECIFIED;
    let mut other_code = ra.clone();
    other_code[1] = 1;
    let rows: Vec<Row> = vec![
        (THEM, Some(255), ra.clone(), Ok(Message::Advertisement)),
        (THEM, Some(255), with(&ra, &mac), Ok(Message::Advertisement)),
        (THEM, Some(255), rs.clone(), Ok(Message::Solicitation)),
        (none, Some(255), rs.clone(), Ok(Message::Solicitation)),
        (none, Some(255), with(&rs, &mac), Err(Invalid::Source)),
        (none, Some(255), ra.clone(), Err(Invalid::Source)),
        (global, Some(255), ra.clone(), Err(Invalid::Source)),
        (global, Some(255), rs.clone(), Err(Invalid::Source)),
        (THEM, Some(254), ra.clone(), Err(Invalid::HopLimit)),
        (THEM, None, ra.clone(), Err(Invalid::HopLimit)),
        (THEM, Some(255), other_code, Err(Invalid::Code)),
        (THEM, Some(255), ra[..15].to_vec(), Err(Invalid::Length)),
        (THEM, Some(255), rs[..7].to_vec(), Err(Invalid::Length)),
        (THEM, Some(255), vec![134], Err(Invalid::Length)),
        (THEM, Some(255), with(&ra, &[1, 0]), Err(Invalid::Option)),
        (THEM, Some(255), with(&ra, &[1]), Err(Invalid::Option)),
        (
            THEM,
            Some(255),
            with(&ra, &[1, 2, 0, 0]),
            Err(Invalid::Option),
        ),
        (THEM, Some(255), vec![135, 0, 0, 0], Err(Invalid::OtherType)),
    ];
    for (from, hop_limit, octets, expected) in rows {
        let received = Received {
            from,
            hop_limit,
            octets: &octets,
        };
        assert_eq!(received.validate(), expected, "{received:?}");
    }
}

#[test]
fn advertisements_come_fast_at_first_and_then_at_random_times() {
    let mut link = discovery(US, 7);
    hear(&mut link, at(0), THEM, Message::Advertisement);
    let mut sent = Vec::new();
    // They go on advertising, so nothing else happens.
    for second in (0..300).step_by(10) {
        hear(&mut link, at(second), THEM, Message::Advertisement);
        sent.extend(run(&mut link, at(second + 10)));
    }
    let times = times(&sent, Message::Advertisement);
    assert_eq!(times[..3], [at(0), at(3), at(6)]);
    let later = gaps(&times[2..]);
    let limits = Limits::default();
    let range = limits.max_interval / 3..=limits.max_interval;
    assert!(later.iter().all(|gap| range.contains(gap)), "{later:?}");
    assert!(later.iter().any(|gap| *gap != later[0]), "no randomness");
}

#[test]
fn a_solicitation_is_answered_soon_but_not_more_often_than_every_three_seconds() {
    let mut link = discovery(US, 7);
    run(&mut link, at(20));
    let before = link.poll_timeout();
    // Long after the last one: at once, but for the random delay.
    let asked = at(20) + Duration::from_millis(1);
    let mut sent = Vec::new();
    for n in 0..100 {
        let now = asked + Duration::from_millis(100 * n);
        sent.extend(run(&mut link, now));
        hear(&mut link, now, THIRD, Message::Solicitation);
    }
    let times = times(&sent, Message::Advertisement);
    assert!(times.len() >= 3, "{times:?}, {before:?}");
    let gaps = gaps(&times);
    assert!(
        gaps.iter().all(|gap| *gap >= Duration::from_secs(3)),
        "{gaps:?}"
    );
    // Asked all the time, it answers as often as it may.
    let most = Duration::from_millis(3600);
    assert!(gaps.iter().all(|gap| *gap <= most), "{gaps:?}");
}

#[test]
fn routers_are_asked_for_until_there_is_one_and_ever_less_often() {
    let mut link = discovery(US, 7);
    let asked = times(&run(&mut link, at(300)), Message::Solicitation);
    let seconds: Vec<u64> = gaps(&asked).iter().map(Duration::as_secs).collect();
    assert_eq!(asked[0], at(0));
    assert_eq!(seconds, [4, 8, 16, 32, 60, 60, 60, 60]);

    hear(&mut link, at(301), THEM, Message::Advertisement);
    assert_eq!(link.sighting().router, Some(THEM));
    let asked = times(&run(&mut link, at(320)), Message::Solicitation);
    assert_eq!(asked, []);
}

#[test]
fn the_first_router_stays_until_it_is_silent_and_then_it_is_the_next() {
    let mut link = discovery(US, 7);
    hear(&mut link, at(1), THIRD, Message::Advertisement);
    hear(&mut link, at(2), THEM, Message::Advertisement);
    let both = Sighting {
        router: Some(THIRD),
        others: vec![THEM],
    };
    assert_eq!(link.sighting(), both);
    // One of them goes on. The other is asked once more before it is given up.
    hear(&mut link, at(30), THEM, Message::Advertisement);
    let sent = run(&mut link, at(45));
    assert_eq!(link.sighting(), both);
    assert!(times(&sent, Message::Solicitation).contains(&at(31)));
    run(&mut link, at(46));
    let next = Sighting {
        router: Some(THEM),
        others: vec![],
    };
    assert_eq!(link.sighting(), next);
    // Nobody is left.
    let sent = run(&mut link, at(75));
    assert_eq!(link.sighting(), Sighting::default());
    assert!(times(&sent, Message::Solicitation).contains(&at(75)));
}

#[test]
fn we_are_not_our_own_router_and_hosts_are_none() {
    let mut link = discovery(US, 7);
    hear(&mut link, at(1), US, Message::Advertisement);
    hear(&mut link, at(1), THEM, Message::Solicitation);
    assert_eq!(link.sighting(), Sighting::default());
}

#[test]
fn strangers_cannot_fill_the_memory_nor_push_the_router_out() {
    let mut link = discovery(US, 7);
    hear(&mut link, at(1), THEM, Message::Advertisement);
    for n in 0..1000 {
        let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n);
        hear(&mut link, at(2), from, Message::Advertisement);
    }
    let seen = link.sighting();
    assert_eq!(seen.router, Some(THEM));
    assert_eq!(seen.others.len(), 7);
}

#[test]
fn what_could_not_be_sent_is_sent_a_little_later() {
    let mut link = discovery(US, 7);
    let due = link.on_time(at(0));
    assert_eq!(due, [Message::Solicitation, Message::Advertisement]);
    let soon = Duration::from_millis(500);
    for message in due {
        link.unsent(at(0), message, soon);
    }
    let again = at(0) + soon;
    assert_eq!(link.poll_timeout(), again);
    let due = link.on_time(again);
    assert_eq!(due, [Message::Solicitation, Message::Advertisement]);
    // From here on as if nothing had happened.
    assert_eq!(link.poll_timeout(), again + Duration::from_secs(3));
}

proptest! {
    /// Two ends of a link that loses nine of ten messages find each other.
    #[test]
    fn two_ends_find_each_other(seed: u64, losses in prop::collection::vec(0..10_u8, 64..128)) {
        let mut ends = [(US, discovery(US, seed)), (THEM, discovery(THEM, !seed))];
        let mut losses = losses.into_iter().cycle();
        let mut found = 0;
        while found < 2 {
            let now = ends[0].1.poll_timeout().min(ends[1].1.poll_timeout());
            prop_assert!(now < at(3600 * 24), "not in a day");
            for (from, to) in [(0, 1), (1, 0)] {
                let sender = ends[from].0;
                for message in ends[from].1.on_time(now) {
                    // Whatever the losses, one in the list gets through.
                    if losses.next().is_none_or(|n| n == 0) || now > at(3600) {
                        hear(&mut ends[to].1, now, sender, message);
                    }
                }
            }
            let sees = |n: usize, whom| ends[n].1.sighting().router == Some(whom);
            found = usize::from(sees(0, THEM)) + usize::from(sees(1, US));
        }
    }

    /// Whatever arrives whenever: no panic, and time goes on.
    #[test]
    fn anything_may_arrive(
        seed: u64,
        inputs in prop::collection::vec(
            (0..100_000_u64, any::<[u8; 2]>(), any::<Option<u8>>(), prop::collection::vec(any::<u8>(), 0..64)),
            0..64,
        ),
    ) {
        let mut link = discovery(US, seed);
        let mut now = at(0);
        for (millis, [hi, lo], hop_limit, mut octets) in inputs {
            now = now + Duration::from_millis(millis);
            if let Some(first) = octets.first_mut() {
                *first = 133 + (*first & 1);
            }
            let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, hi.into(), lo.into());
            let received = Received { from, hop_limit, octets: &octets };
            let valid = link.on_message(now, &received).is_ok();
            prop_assert!(!valid || hop_limit == Some(255));
            link.on_time(now);
            prop_assert!(link.poll_timeout() > now);
        }
    }
}
