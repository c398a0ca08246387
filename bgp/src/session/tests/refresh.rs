//! Refreshes of routes: requests, and the markers around the answers (RFC 2918, RFC 7313).

use core::time::Duration;

use crate::{
    session::{DownReason, Event, OutBatch, PeerConfig, Slot, State},
    types::{Family, FamilySet, Ipv4Prefix, Nlri, NlriSet},
    wire::{
        Capability, CeaseSubcode, ErrorCode, Message, Notification, Open, RefreshKind,
        RouteRefresh, Update,
    },
};

use super::{
    super::offer::{Withheld, local_open},
    support::{Harness, encode, graceful, our_config, their_config},
};

const SLOT: Slot = Slot::Outgoing;
const V4: Family = Family::Ipv4Unicast;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn ipv4() -> FamilySet {
    FamilySet::from_iter([V4])
}

fn refresh(kind: RefreshKind) -> Message {
    Message::RouteRefresh(RouteRefresh {
        afi: 1,
        safi: 1,
        kind,
    })
}

fn end_of_rib() -> Message {
    Message::Update(Update {
        end_of_rib: Some(V4),
        ..Update::default()
    })
}

fn established(ours: PeerConfig, theirs: Open) -> Harness {
    let mut h = Harness::in_state(ours, SLOT, State::OpenSent);
    h.receive(SLOT, &Message::Open(theirs));
    h.receive(SLOT, &Message::Keepalive);
    assert_eq!(h.peer.state(), State::Established);
    h.drain();
    h
}

fn with(config: &PeerConfig) -> Open {
    local_open(config, &Withheld::default())
}

/// What the routing table hears, in short.
fn told(h: &mut Harness) -> Vec<&'static str> {
    let name = |event| match event {
        Event::RefreshRequested(V4) => "requested",
        Event::RefreshBegin(V4) => "begin",
        Event::RefreshEnd(V4) => "end",
        Event::Updates(_) => "update",
        other => panic!("{other:?}"),
    };
    h.events().into_iter().map(name).collect()
}

/// What came together is told in one piece, and nothing overtakes it.
#[test]
fn updates_are_told_together_up_to_what_comes_between() {
    let mut h = established(our_config(), with(&their_config()));
    let between = refresh(RefreshKind::Request);
    for message in [end_of_rib(), end_of_rib(), between, end_of_rib()] {
        h.receive(SLOT, &message);
    }
    let told = h.events().into_iter().map(|event| match event {
        Event::Updates(updates) => updates.messages().len(),
        Event::RefreshRequested(V4) => 0,
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), [2, 0, 1]);
}

/// What came before a message that cannot be read counts; what comes with a broken connection does not.
#[test]
fn what_was_said_before_the_end_is_told_before_it() {
    let good = encode(&Message::Update(Update {
        unreach: vec![NlriSet::V4(vec![Nlri::plain(
            Ipv4Prefix::new([10, 0, 0, 0].into(), 8).unwrap(),
        )])],
        ..Update::default()
    }));
    let mut bad = good.clone();
    // A length of prefix that there is not.
    bad[21] = 33;
    let mut h = established(our_config(), with(&their_config()));
    let octets = [&good[..], &good[..], &bad[..], &good[..]].concat();
    h.peer.received(h.now, SLOT, &octets);
    let events = h.events();
    let [
        Event::Updates(updates),
        Event::Malformed(message),
        Event::Down { .. },
        ..,
    ] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert_eq!((updates.messages().len(), message), (2, &bad.freeze()));

    let mut h = established(our_config(), with(&their_config()));
    let last = Notification::new(ErrorCode::Cease(CeaseSubcode::PeerDeconfigured));
    let last = encode(&Message::Notification(last));
    h.peer
        .received_last(h.now, SLOT, &[&good[..], &last[..]].concat());
    let events = h.events();
    assert!(
        matches!(
            events.first(),
            Some(Event::Down {
                reason: DownReason::NotificationReceived(_),
                ..
            })
        ),
        "{events:?}"
    );
    assert!(!events.iter().any(|e| matches!(e, Event::Updates(_))));
}

fn send(h: &mut Harness, change: impl Fn(&mut OutBatch)) -> Vec<Message> {
    let mut batch = OutBatch::default();
    change(&mut batch);
    assert!(!batch.is_empty());
    h.peer.send_batch(h.now, &batch);
    h.written(SLOT)
}

#[test]
fn a_request_is_passed_on_for_families_of_the_session_alone() {
    let mut ours = our_config();
    ours.families = ipv4();
    let mut h = established(ours, with(&their_config()));
    h.receive(SLOT, &refresh(RefreshKind::Request));
    assert_eq!(told(&mut h), ["requested"]);
    for (afi, safi) in [(2, 1), (1, 2), (16388, 71)] {
        let kind = RefreshKind::Request;
        let other = Message::RouteRefresh(RouteRefresh { afi, safi, kind });
        h.receive(SLOT, &other);
    }
    // An ORF or anything else that is to be ignored (RFC 7313 section 5).
    h.receive(SLOT, &refresh(RefreshKind::Unknown(3)));
    assert_eq!(told(&mut h), [""; 0]);
    assert_eq!(h.peer.state(), State::Established);
}

#[test]
fn markers_enclose_what_lies_between_them() {
    let mut h = established(our_config(), with(&their_config()));
    for kind in [RefreshKind::Begin, RefreshKind::End] {
        h.receive(SLOT, &end_of_rib());
        h.receive(SLOT, &refresh(kind));
    }
    assert_eq!(told(&mut h), ["update", "begin", "update", "end"]);
    // An end without a beginning is none.
    h.receive(SLOT, &refresh(RefreshKind::End));
    assert_eq!(told(&mut h), [""; 0]);
}

#[test]
fn a_refresh_that_begins_again_is_one_refresh() {
    let mut h = established(our_config(), with(&their_config()));
    for _ in 0..3 {
        h.receive(SLOT, &refresh(RefreshKind::Begin));
        h.sleep(SECOND);
    }
    h.receive(SLOT, &refresh(RefreshKind::End));
    assert_eq!(told(&mut h), ["begin", "begin", "begin", "end"]);
    h.sleep(MINUTE);
    assert_eq!(told(&mut h), [""; 0]);
}

/// Each beginning, and each end, has the table look through everything.
#[test]
fn a_flood_of_markers_is_one_refresh_a_second() {
    let mut h = established(our_config(), with(&their_config()));
    let mut walks = 0;
    for _ in 0..5 {
        for _ in 0..1000 {
            h.receive(SLOT, &refresh(RefreshKind::Begin));
            h.receive(SLOT, &refresh(RefreshKind::End));
        }
        walks += told(&mut h).len();
        h.sleep(SECOND);
    }
    assert_eq!(walks, 2 * 5);
    // Open or not.
    for _ in 0..1000 {
        h.receive(SLOT, &refresh(RefreshKind::Begin));
    }
    assert_eq!(told(&mut h), ["begin"]);
}

#[test]
fn a_refresh_without_an_end_ends_in_time() {
    let mut config = our_config();
    config.refresh_time = MINUTE;
    let mut h = established(config, with(&their_config()));
    h.receive(SLOT, &refresh(RefreshKind::Begin));
    assert_eq!(told(&mut h), ["begin"]);
    h.sleep(MINUTE / 2);
    h.receive(SLOT, &Message::Keepalive);
    // Begun anew: the time as well.
    h.receive(SLOT, &refresh(RefreshKind::Begin));
    h.sleep(MINUTE - Duration::from_secs(1));
    h.receive(SLOT, &Message::Keepalive);
    assert_eq!(told(&mut h), ["begin"]);
    h.sleep(Duration::from_secs(1));
    assert_eq!(told(&mut h), ["end"]);
    assert_eq!(h.peer.state(), State::Established);
}

#[test]
fn our_own_slowness_does_not_end_a_refresh() {
    let mut config = our_config();
    config.refresh_time = MINUTE;
    let mut h = established(config, with(&their_config()));
    h.receive(SLOT, &refresh(RefreshKind::Begin));
    h.peer.read_paused();
    h.sleep(5 * MINUTE);
    h.written(SLOT);
    h.peer.read_resumed(h.now);
    h.sleep(MINUTE / 2);
    assert_eq!(told(&mut h), ["begin"]);
}

#[test]
fn no_marker_is_heeded_before_the_end_of_a_restart() {
    for restarts in [true, false] {
        let theirs = if restarts {
            graceful(their_config())
        } else {
            their_config()
        };
        let mut h = established(our_config(), with(&theirs));
        h.receive(SLOT, &refresh(RefreshKind::Begin));
        h.receive(SLOT, &refresh(RefreshKind::End));
        let expected: &[_] = if restarts { &[] } else { &["begin", "end"] };
        assert_eq!(told(&mut h), expected);
        h.sleep(SECOND);
        h.receive(SLOT, &end_of_rib());
        h.receive(SLOT, &refresh(RefreshKind::Begin));
        assert_eq!(told(&mut h), ["update", "begin"]);
    }
}

#[test]
fn no_marker_is_sent_before_the_end_of_rib() {
    let mut h = established(our_config(), with(&their_config()));
    let markers = |batch: &mut OutBatch| {
        (batch.refresh_begin, batch.refresh_end) = (FamilySet::ALL, FamilySet::ALL);
    };
    assert_eq!(send(&mut h, markers), []);
    let sent = send(&mut h, |batch| batch.end_of_rib = ipv4());
    assert_eq!(sent, [end_of_rib()]);
    // IPv6 has not had its End-of-RIB.
    let both = [refresh(RefreshKind::Begin), refresh(RefreshKind::End)];
    assert_eq!(send(&mut h, markers), both);
    assert_eq!(h.peer.status(h.now).sent.route_refresh, 2);
    // An end whose beginning was not told is not told.
    assert_eq!(send(&mut h, |batch| batch.refresh_end = ipv4()), []);
}

#[test]
fn a_neighbour_that_does_not_know_markers_gets_none() {
    let mut theirs = with(&their_config());
    theirs
        .capabilities
        .retain(|c| *c != Capability::EnhancedRouteRefresh);
    let mut h = established(our_config(), theirs);
    let sent = send(&mut h, |batch| {
        batch.end_of_rib = ipv4();
        batch.refresh_begin = ipv4();
    });
    assert_eq!(sent, [end_of_rib()]);
    assert_eq!(send(&mut h, |batch| batch.refresh_begin = ipv4()), []);
    // Nor is it believed.
    h.receive(SLOT, &refresh(RefreshKind::Begin));
    h.receive(SLOT, &refresh(RefreshKind::End));
    assert_eq!(told(&mut h), [""; 0]);
    assert_eq!(h.peer.state(), State::Established);
}

#[test]
fn markers_keep_their_place_among_updates() {
    let mut h = established(our_config(), with(&their_config()));
    send(&mut h, |batch| batch.end_of_rib = ipv4());
    let mut batch = super::sending::ipv4_batch(40_000, super::sending::attrs());
    (batch.refresh_begin, batch.refresh_end) = (ipv4(), ipv4());
    h.peer.send_batch(h.now, &batch);
    // A KEEPALIVE is due, and overtakes.
    h.now = h.now + MINUTE / 2;
    h.peer.handle_timeout(h.now);
    let sent = h.written(SLOT);
    let last = sent.len() - 1;
    assert_eq!(sent[0], Message::Keepalive);
    assert_eq!(sent[1], refresh(RefreshKind::Begin));
    assert_eq!(sent[last], refresh(RefreshKind::End));
    assert!(
        sent[2..last]
            .iter()
            .all(|m| matches!(m, Message::Update(_)))
    );
}

#[test]
fn a_new_session_knows_nothing_of_the_refreshes_of_the_last() {
    let mut h = established(our_config(), with(&their_config()));
    send(&mut h, |batch| batch.end_of_rib = ipv4());
    h.receive(SLOT, &refresh(RefreshKind::Begin));
    h.peer.transport_changed(h.now);
    h.drain();
    h.advance_slot(SLOT, State::Established);
    h.drain();
    h.receive(SLOT, &refresh(RefreshKind::End));
    assert_eq!(told(&mut h), [""; 0]);
    assert_eq!(send(&mut h, |batch| batch.refresh_begin = ipv4()), []);
}

/// RFC 2918 section 2: who offers the capability takes requests; nobody else is sent one.
#[test]
fn a_request_goes_to_neighbours_that_offer_the_capability_and_to_no_others() {
    let theirs = with(&their_config());
    assert!(theirs.capabilities.contains(&Capability::RouteRefresh));
    let mut h = established(our_config(), theirs.clone());
    assert!(h.peer.send_route_refresh(h.now, V4));
    assert_eq!(h.written(SLOT), [refresh(RefreshKind::Request)]);

    let mut without = theirs;
    without
        .capabilities
        .retain(|capability| *capability != Capability::RouteRefresh);
    let mut h = established(our_config(), without);
    assert!(!h.peer.send_route_refresh(h.now, V4));
    assert_eq!(h.written(SLOT), []);
}

/// RFC 2918 section 2: we offer what we can do ourselves.
#[test]
fn the_capability_is_in_our_open() {
    for config in [our_config(), their_config(), graceful(our_config())] {
        assert!(
            with(&config)
                .capabilities
                .contains(&Capability::RouteRefresh)
        );
    }
}
