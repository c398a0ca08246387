//! What we encode, read by three codecs that share no code with ours; and what we make of broken
//! messages, compared with the one of them that knows RFC 7606.
//!
//! A message is taken apart into *facts*, small sentences such as `med 7` or `announced 10.0.0.0/8`.
//! What was encoded has its facts by what was asked for, never by our own decoder. Every fact must be
//! confirmed by at least two of the oracles, and no fact may be seen by two of them that was not asked
//! for. Where an oracle has no notion of something (or refuses it), the other two are left.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod oracles;

use std::collections::BTreeMap;

use bytes::BytesMut;
use oracles::{Context, Facts, asked, bgpkit, broken, everything, generate, netgauze, rustbgpd};
use proptest::{prelude::*, test_runner::Config};
use redstart_bgp::{
    types::Family,
    wire::{Codec, Framer, Message},
};

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

/// Cuts what was encoded into messages.
fn messages(codec: &Codec, encoded: &[u8]) -> Vec<Vec<u8>> {
    let mut framer = Framer::new();
    framer.set_extended(codec.extended_messages);
    framer.push(encoded);
    let mut list = Vec::new();
    while let Some(message) = framer.next().unwrap() {
        list.push(message.to_vec());
    }
    assert_eq!(framer.buffered(), 0);
    list
}

/// Fails unless two oracles read exactly what was asked for, fact by fact.
fn confirm(context: &Context, encoded: &[u8], asked: &Facts) {
    let list = messages(&context.codec, encoded);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut said = String::new();
    for oracle in [bgpkit::read, netgauze::read, rustbgpd::read] {
        let mut facts = Facts::default();
        let read: Result<(), String> = list
            .iter()
            .try_for_each(|message| oracle(context, message, &mut facts));
        said.push_str(&format!("{read:?} {facts:?}\n"));
        if read.is_ok() {
            for fact in facts.0 {
                *seen.entry(fact).or_default() += 1;
            }
        }
    }
    for fact in &asked.0 {
        let count = seen.get(fact).copied().unwrap_or_default();
        assert!(
            count >= 2,
            "{fact:?} confirmed by {count} of 3\nasked {asked:?}\n{said}{encoded:02x?}"
        );
    }
    for (fact, count) in seen {
        assert!(
            count < 2 || asked.0.contains(&fact),
            "{fact:?} was not asked for\n{said}{encoded:02x?}"
        );
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn announcements_read_the_same(
        (context, attrs, nlri) in generate::announcement()
    ) {
        let mut out = BytesMut::new();
        context.codec.encode_reach(&attrs, &nlri, &mut out).unwrap();
        confirm(&context, &out, &asked::reach(&context, &attrs, &nlri));
    }

    #[test]
    fn withdrawals_read_the_same((context, nlri) in generate::withdrawal()) {
        let mut out = BytesMut::new();
        context.codec.encode_unreach(&nlri, &mut out);
        confirm(&context, &out, &asked::unreach(&nlri));
    }

    #[test]
    fn opens_read_the_same(open in generate::open()) {
        let context = Context::before_open();
        let mut out = BytesMut::new();
        context.codec.encode(&Message::Open(open.clone()), &mut out);
        confirm(&context, &out, &asked::open(&open));
    }

    #[test]
    fn notifications_and_refreshes_read_the_same(message in generate::control()) {
        let context = Context::before_open();
        let mut out = BytesMut::new();
        context.codec.encode(&message, &mut out);
        confirm(&context, &out, &asked::control(&message));
    }
}

/// All there is to an announcement, on every kind of session, by every form of next hop.
#[test]
fn everything_at_once_reads_the_same() {
    for (wide, ebgp, add_path) in [
        (true, true, false),
        (true, false, true),
        (false, true, false),
        (false, false, true),
    ] {
        let context = Context::established(wide, ebgp, add_path);
        for (attrs, nlri) in everything::announcements() {
            let mut out = BytesMut::new();
            context.codec.encode_reach(&attrs, &nlri, &mut out).unwrap();
            confirm(&context, &out, &asked::reach(&context, &attrs, &nlri));
        }
    }
}

#[test]
fn every_capability_reads_the_same() {
    for open in everything::opens() {
        let context = Context::before_open();
        let mut out = BytesMut::new();
        context.codec.encode(&Message::Open(open.clone()), &mut out);
        confirm(&context, &out, &asked::open(&open));
    }
}

/// RFC 9072. None of our own OPENs is so long, so these have capabilities that nobody knows.
#[test]
fn an_open_with_long_parameters_reads_the_same() {
    for open in everything::long_opens() {
        let context = Context::before_open();
        let mut out = BytesMut::new();
        context.codec.encode(&Message::Open(open.clone()), &mut out);
        assert_eq!(out[28..30], [255, 255]);
        confirm(&context, &out, &asked::open(&open));
    }
}

#[test]
fn every_notification_and_refresh_reads_the_same() {
    for message in everything::controls() {
        let context = Context::before_open();
        let mut out = BytesMut::new();
        context.codec.encode(&message, &mut out);
        confirm(&context, &out, &asked::control(&message));
    }
}

#[test]
fn ends_of_rib_read_the_same() {
    for family in Family::ALL {
        let context = Context::established(true, true, false);
        let mut out = BytesMut::new();
        context.codec.encode_end_of_rib(family, &mut out);
        confirm(&context, &out, &asked::end_of_rib(family));
    }
}

#[test]
fn a_long_as_path_reads_the_same() {
    let context = Context::established(true, true, false);
    let (attrs, nlri) = generate::long_path(600);
    let mut out = BytesMut::new();
    context.codec.encode_reach(&attrs, &nlri, &mut out).unwrap();
    confirm(&context, &out, &asked::reach(&context, &attrs, &nlri));
}

/// 20000 messages of ours with a few octets changed: where we and the oracle disagree, a named
/// exception says why we are right.
#[test]
fn broken_messages_are_handled_as_the_oracle_does_or_for_a_named_reason() {
    let outcome = broken::run(20_000);
    println!("{outcome}");
    assert!(outcome.unexplained.is_empty(), "{outcome}");
    // An exception that explains nothing is out of date.
    assert!(outcome.unused.is_empty(), "{outcome}");
    assert!(outcome.agreed * 100 >= outcome.total * 70, "{outcome}");
}
