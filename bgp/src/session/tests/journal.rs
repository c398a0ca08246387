//! What is noted for an update log.

use std::net::SocketAddr;

use bytes::Bytes;

use super::support::{Harness, THEM, US, encode, our_config};
use crate::{
    session::{Disconnect, Happened, Journal, Noted, RemoteAs, Slot, State, StopReason},
    types::{Asn, Family, FamilySet},
    wire::{Framer, Message},
};

const OUT: Slot = Slot::Outgoing;

/// In short: the type of a message, with `<` before it if it was received, or two states.
fn short(noted: &[Noted]) -> Vec<String> {
    let kind = |octets: &Bytes| {
        let mut framer = Framer::new();
        framer.set_extended(true);
        framer.push(octets);
        assert_eq!(framer.next().unwrap().as_ref(), Some(octets));
        assert_eq!(framer.buffered(), 0);
        ["", "open", "update", "notification", "keepalive", "refresh"][usize::from(octets[18])]
    };
    let short = |noted: &Noted| match &noted.what {
        Happened::Received(_, octets) => format!("<{}", kind(octets)),
        Happened::Sent(_, octets) => format!(">{}", kind(octets)),
        Happened::StateChanged { from, to } => format!("{from}-{to}"),
    };
    noted.iter().map(short).collect()
}

/// An UPDATE that says to have so many octets of withdrawn routes, and has none.
fn update(withdrawn: u8) -> Vec<u8> {
    [&[0xff; 16][..], &[0, 23, 2, 0, withdrawn, 0, 0]].concat()
}

fn begin(config: crate::session::PeerConfig, sent: bool) -> Harness {
    let mut h = Harness::new(config);
    h.peer.set_journal(Some(Journal::new(sent)));
    h
}

/// A session that comes up, hears something and is stopped.
fn lifetime(sent: bool) -> Vec<Noted> {
    let mut h = begin(our_config(), sent);
    h.peer.start(h.now);
    h.connect(OUT);
    h.drain();
    let mut both = encode(&Message::Open(super::support::their_open()));
    both.unsplit(encode(&Message::Keepalive));
    h.peer.received(h.now, OUT, &both);
    h.drain();
    h.peer.received(h.now, OUT, &update(0));
    h.peer.stop(h.now, &StopReason::Shutdown(String::new()));
    h.drain();
    h.peer.take_noted()
}

#[test]
fn messages_and_states_stand_in_their_order() {
    let expected = [
        "Idle-Connect",
        "Connect-OpenSent",
        "<open",
        "OpenSent-OpenConfirm",
        "<keepalive",
        "OpenConfirm-Established",
        "<update",
        "Established-Idle",
    ];
    assert_eq!(short(&lifetime(false)), expected);
    let expected = [
        "Idle-Connect",
        "Connect-OpenSent",
        ">open",
        "<open",
        "OpenSent-OpenConfirm",
        "<keepalive",
        "OpenConfirm-Established",
        ">keepalive",
        "<update",
        ">notification",
        "Established-Idle",
    ];
    assert_eq!(short(&lifetime(true)), expected);
}

#[test]
fn it_says_whose_they_are_also_after_the_end() {
    let noted = lifetime(false);
    let addr = |port| SocketAddr::from(([10, 0, 0, 1], port));
    for (n, noted) in noted.iter().enumerate() {
        assert_eq!((noted.local_as, noted.remote_as), (US, THEM));
        let ends = (n > 0).then(|| (addr(1), addr(2)));
        assert_eq!(noted.ends, ends, "{n}");
    }
    let mut config = our_config();
    config.remote_as = RemoteAs::External;
    let mut h = begin(config, false);
    h.peer.start(h.now);
    h.advance_slot(OUT, State::Established);
    h.peer.closed(h.now, OUT, Disconnect::Closed);
    let noted = h.peer.take_noted();
    let numbers: Vec<_> = noted.iter().map(|noted| noted.remote_as.0).collect();
    // Two states and the OPEN itself, before anybody knows.
    assert_eq!(numbers[..3], [0; 3]);
    assert!(numbers[3..].iter().all(|asn| Asn(*asn) == THEM));
    assert_eq!(numbers.len(), 7);
}

#[test]
fn it_says_how_messages_look() {
    let mut config = our_config();
    config.add_path_receive = FamilySet::from_iter([Family::Ipv4Unicast]);
    let mut h = begin(config, true);
    h.peer.start(h.now);
    h.connect(OUT);
    let mut open = super::support::their_open();
    open.capabilities
        .retain(|capability| !matches!(capability, crate::wire::Capability::FourOctetAs(_)));
    h.receive(OUT, &Message::Open(open));
    h.receive(OUT, &Message::Keepalive);
    h.drain();
    let forms: Vec<_> = h
        .peer
        .take_noted()
        .into_iter()
        .filter_map(|noted| match noted.what {
            Happened::Received(codec, octets) => Some((octets[18], codec.four_octet_as)),
            Happened::Sent(..) | Happened::StateChanged { .. } => None,
        })
        .collect();
    assert_eq!(forms, [(1, true), (4, false)]);
}

#[test]
fn what_cannot_be_read_is_noted_as_well() {
    let mut h = Harness::in_state(our_config(), OUT, State::Established);
    h.peer.set_journal(Some(Journal::new(false)));
    h.peer.received(h.now, OUT, &update(9));
    assert_eq!(short(&h.peer.take_noted()), ["<update", "Established-Idle"]);
}

#[test]
fn nothing_is_noted_unless_it_is_asked_for() {
    let mut h = Harness::in_state(our_config(), OUT, State::Established);
    assert!(h.peer.take_noted().is_empty());
    h.peer.set_journal(Some(Journal::new(true)));
    h.receive(OUT, &Message::Keepalive);
    h.peer.set_journal(None);
    h.receive(OUT, &Message::Keepalive);
    assert!(h.peer.take_noted().is_empty());
}

/// A session ends as whom it began as; what comes after that is the new configuration's.
#[test]
fn a_session_that_ends_by_reconfiguration_has_the_numbers_that_it_had() {
    let mut h = begin(our_config(), true);
    h.peer.start(h.now);
    h.advance_slot(OUT, State::Established);
    let _ = h.peer.take_noted();
    let mut config = our_config();
    config.local_as = Asn(65077);
    config.remote_as = RemoteAs::Number(Asn(65088));
    h.peer.reconfigure(h.now, config);
    let noted = h.peer.take_noted();
    assert_eq!(
        short(&noted),
        [">notification", "Established-Idle", "Idle-Connect"]
    );
    let numbers: Vec<_> = noted.iter().map(|it| (it.local_as, it.remote_as)).collect();
    assert_eq!(numbers, [(US, THEM), (US, THEM), (Asn(65077), Asn(65088))]);
    // The next connection may be to somebody else.
    let ends: Vec<_> = noted.iter().map(|it| it.ends.is_some()).collect();
    assert_eq!(ends, [true, true, false]);
}

/// What docs/MONITORING.md says is not there, and what is there in its place.
#[test]
fn a_wrong_header_is_not_noted_but_the_answer_to_it_is() {
    for (at, octet) in [(0, 0), (17, 5), (18, 77)] {
        let mut h = Harness::in_state(our_config(), OUT, State::Established);
        h.peer.set_journal(Some(Journal::new(true)));
        let mut wrong = update(0);
        wrong[at] = octet;
        h.peer.received(h.now, OUT, &wrong);
        let noted = short(&h.peer.take_noted());
        assert_eq!(noted, [">notification", "Established-Idle"], "{at}");
    }
}

#[test]
fn a_connection_that_is_refused_is_not_noted() {
    let mut h = Harness::in_state(our_config(), OUT, State::Established);
    h.peer.set_journal(Some(Journal::new(true)));
    h.peer.admit(h.now).unwrap_err();
    assert!(h.peer.take_noted().is_empty());
}
