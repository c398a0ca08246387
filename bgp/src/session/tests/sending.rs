//! Batches of routes on their way out.

use core::time::Duration;
use std::sync::Arc;

use crate::{
    session::{Announcements, Event, OutBatch, PeerConfig, Slot, State, UnsendableReason},
    types::{
        AsPath, Asn, Community, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, NlriSet,
        PathAttributes,
    },
    wire::{EncodeError, Message},
};

use super::support::{Harness, our_config};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn attrs() -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4([10, 0, 0, 1].into())),
        ..PathAttributes::default()
    }
}

pub(super) fn ipv4_batch(prefixes: u32, attrs: PathAttributes) -> OutBatch {
    let list = (0..prefixes)
        .filter_map(|i| Ipv4Prefix::new((0x0a00_0000 + (i << 8)).into(), 24))
        .map(Nlri::plain)
        .collect();
    OutBatch {
        reach: vec![(Arc::new(attrs), NlriSet::V4(list))].into(),
        ..OutBatch::default()
    }
}

#[test]
fn keepalives_overtake_a_long_table() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    h.peer.send_batch(h.now, &ipv4_batch(40_000, attrs()));
    assert!(!h.peer.wants_batch());
    let queued = h.peer.status(h.now).queued;
    assert!(queued > 100_000, "{queued}");
    h.now = h.now + 30 * SECOND;
    h.peer.handle_timeout(h.now);
    let sent = h.written(Slot::Outgoing);
    assert_eq!(sent[0], Message::Keepalive);
    let routes: usize = sent
        .iter()
        .filter_map(|message| match message {
            Message::Update(update) => {
                Some(update.reach.iter().map(|r| r.nlri.len()).sum::<usize>())
            }
            _ => None,
        })
        .sum();
    assert_eq!(routes, 40_000);
    assert!(h.peer.wants_batch());
    let updates = u64::try_from(sent.len() - 1).unwrap();
    assert_eq!(h.peer.status(h.now).sent.update, updates);
}

#[test]
fn routes_that_do_not_fit_are_skipped_and_told() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    let mut long = attrs();
    long.as_path = AsPath::sequence((0..20_000).map(|i| Asn(100_000 + i)));
    let mut batch = ipv4_batch(3, long);
    let both = [batch.reach, ipv4_batch(5, attrs()).reach];
    batch.reach = both.iter().flatten().cloned().collect();
    h.peer.send_batch(h.now, &batch);
    let events = h.events();
    let [Event::Unsendable(unsendable)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(unsendable.nlri.len(), 3);
    let too_long = UnsendableReason::Encode(EncodeError::AttributesTooLong);
    assert_eq!(unsendable.reason, too_long);
    let sent: Vec<_> = h
        .written(Slot::Outgoing)
        .into_iter()
        .map(|message| match message {
            Message::Update(update) => {
                let count = |lists: Vec<usize>| lists.into_iter().sum::<usize>();
                (
                    count(update.unreach.iter().map(NlriSet::len).collect()),
                    count(update.reach.iter().map(|r| r.nlri.len()).collect()),
                )
            }
            other => panic!("{other:?}"),
        })
        .collect();
    // The neighbour may have had them as they were before.
    assert_eq!(sent, [(3, 0), (0, 5)]);
}

#[test]
fn a_batch_without_a_session_is_forgotten() {
    for state in [
        State::Idle,
        State::Connect,
        State::OpenSent,
        State::OpenConfirm,
    ] {
        let mut h = Harness::in_state(our_config(), Slot::Outgoing, state);
        h.peer.send_batch(h.now, &ipv4_batch(1, attrs()));
        assert!(h.written(Slot::Outgoing).is_empty(), "{state}");
        assert!(!h.peer.wants_batch());
    }
}

#[test]
fn a_family_that_was_not_negotiated_is_not_sent() {
    let mut config = our_config();
    config.families = FamilySet::from_iter([Family::Ipv6Unicast]);
    let mut h = Harness::in_state(config, Slot::Outgoing, State::Established);
    let mut batch = ipv4_batch(2, attrs());
    batch.end_of_rib = FamilySet::ALL;
    h.peer.send_batch(h.now, &batch);
    assert!(matches!(&h.events()[..], [Event::Unsendable(u)]
        if u.reason == UnsendableReason::FamilyNotNegotiated));
    assert_eq!(
        h.written(Slot::Outgoing).len(),
        1,
        "the End-of-RIB of IPv6 alone"
    );
    assert!(!h.peer.send_route_refresh(h.now, Family::Ipv4Unicast));
    assert!(h.peer.send_route_refresh(h.now, Family::Ipv6Unicast));
}

/// Attributes may leave room for a short prefix where a long one does not fit.
#[test]
fn of_a_group_what_fits_is_sent() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    let codec = h.peer.negotiated().unwrap().codec;
    let nlri = |addr: u32, len| Nlri::plain(Ipv4Prefix::new(addr.into(), len).unwrap());
    let (short, long) = (nlri(0, 0), nlri(0xcb00_7101, 32));
    let with = |communities: u32| {
        let mut attrs = attrs();
        attrs.communities = (0..communities).map(Community).collect();
        attrs
    };
    let fits = |attrs: &PathAttributes, route| {
        let routes = NlriSet::V4(vec![route]);
        let mut out = bytes::BytesMut::new();
        codec.encode_reach(attrs, &routes, &mut out).is_ok()
    };
    // Four octets make the difference: for some number of communities one fits and the other does not.
    let longest = if codec.extended_messages {
        65_535
    } else {
        4096
    };
    let between = |n: &u32| fits(&with(*n), short) && !fits(&with(*n), long);
    let n = (longest / 4 - 20..longest / 4).find(between).unwrap();
    let batch = OutBatch {
        reach: vec![(Arc::new(with(n)), NlriSet::V4(vec![long, short]))].into(),
        ..OutBatch::default()
    };
    h.peer.send_batch(h.now, &batch);
    let events = h.events();
    let [Event::Unsendable(unsendable)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(unsendable.nlri, NlriSet::V4(vec![long]));
    let mut sent = Vec::new();
    for message in h.written(Slot::Outgoing) {
        let Message::Update(update) = message else {
            panic!("{message:?}");
        };
        sent.extend(update.unreach.into_iter().map(|nlri| (false, nlri)));
        sent.extend(update.reach.into_iter().map(|reach| (true, reach.nlri)));
    }
    let one = |route| NlriSet::V4(vec![route]);
    assert_eq!(sent, [(true, one(short)), (false, one(long))]);
}

/// What is held back to fill a message is never told after what overtakes it, nor left behind.
#[test]
fn what_is_held_back_goes_first() {
    let more = |mut batch: OutBatch| {
        batch.more = true;
        batch
    };
    let other = || PathAttributes {
        med: Some(7),
        ..attrs()
    };
    let withdrawal = || OutBatch {
        withdraw: vec![ipv4_batch(2, attrs()).reach[0].1.clone()],
        ..OutBatch::default()
    };
    let end = || OutBatch {
        end_of_rib: FamilySet::from_iter([Family::Ipv4Unicast]),
        more: true,
        ..OutBatch::default()
    };
    // Each message in short: routes with and without a MED, withdrawn ones, the end.
    for (next, expected) in [
        (ipv4_batch(2, other()), vec!["2", "2 med"]),
        (withdrawal(), vec!["2", "2 gone"]),
        (end(), vec!["2", "end"]),
        (OutBatch::default(), vec!["2"]),
        (ipv4_batch(3, attrs()), vec!["5"]),
    ] {
        let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
        h.peer.send_batch(h.now, &more(ipv4_batch(2, attrs())));
        assert!(h.peer.holds_routes() && h.peer.wants_batch());
        assert_eq!(h.written(Slot::Outgoing), []);
        h.peer.send_batch(h.now, &next);
        assert!(!h.peer.holds_routes());
        let mut sent = Vec::new();
        for message in h.written(Slot::Outgoing) {
            let Message::Update(update) = message else {
                panic!("{message:?}");
            };
            for reach in &update.reach {
                let med = reach.attrs.med.map_or("", |_| " med");
                sent.push(format!("{}{med}", reach.nlri.len()));
            }
            for nlri in &update.unreach {
                sent.push(format!("{} gone", nlri.len()));
            }
            sent.extend(update.end_of_rib.map(|_| "end".to_owned()));
        }
        assert_eq!(sent, expected);
    }
}

#[test]
fn what_one_session_encodes_others_take() {
    let session = || Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    let batch = ipv4_batch(9, attrs());
    let mut others = batch.clone();
    let mut first = session();
    first.peer.send_batch(first.now, &batch);
    drop(batch);
    assert_eq!(first.written(Slot::Outgoing).len(), 1);
    // Something else, to tell it from what the second one would write itself.
    let mut keepalive = bytes::BytesMut::new();
    let codec = first.peer.negotiated().unwrap().codec;
    codec.encode(&Message::Keepalive, &mut keepalive);
    others.reach.replace_encoded(&keepalive);
    let mut second = session();
    second.peer.send_batch(second.now, &others);
    assert_eq!(second.written(Slot::Outgoing), [Message::Keepalive]);
    assert_eq!(second.peer.status(second.now).sent.update, 1);
}

/// Of sessions that are told the same, one encodes it and the others take that, unless something else than
/// the batch makes a difference between them.
#[test]
fn what_one_session_encodes_others_take_only_where_they_would_write_the_same() {
    let more = |mut batch: OutBatch| {
        batch.more = true;
        batch
    };
    let med = |med| PathAttributes {
        med: Some(med),
        ..attrs()
    };
    let nothing = OutBatch::default;
    let held_before = [
        nothing(),
        more(ipv4_batch(2, attrs())),
        more(ipv4_batch(2, med(7))),
        more(ipv4_batch(3, attrs())),
    ];
    let mut internal = our_config();
    internal.local_as = super::support::THEM;
    let configs = [our_config(), internal];
    let all = configs
        .iter()
        .flat_map(|config| held_before.iter().map(move |before| (config, before)));
    let all: Vec<_> = all.collect();
    let both = [ipv4_batch(900, attrs()).reach, ipv4_batch(9, med(9)).reach];
    let batch = OutBatch {
        reach: both.iter().flatten().cloned().collect(),
        ..nothing()
    };
    // What a session writes that is told the batch, and all of it then.
    let writes = |(config, before): (&PeerConfig, &OutBatch), batch: &OutBatch| {
        let mut h = Harness::in_state(config.clone(), Slot::Outgoing, State::Established);
        h.peer.send_batch(h.now, before);
        h.peer.send_batch(h.now, batch);
        let sent = h.peer.status(h.now).sent.update;
        let first = h.written(Slot::Outgoing);
        h.peer.send_batch(h.now, &nothing());
        (first, h.written(Slot::Outgoing), sent)
    };
    for (one, other) in all
        .iter()
        .flat_map(|one| all.iter().map(move |other| (*one, *other)))
    {
        for (theirs, ours) in [(false, false), (true, true), (true, false), (false, true)] {
            let told = |may_hold, reach: &Announcements| OutBatch {
                more: may_hold,
                reach: reach.clone(),
                ..nothing()
            };
            let shared: Announcements = batch.reach.iter().cloned().collect();
            let alone: Announcements = batch.reach.iter().cloned().collect();
            for (session, may_hold) in [(one, theirs), (other, ours), (one, ours), (other, ours)] {
                let taken = writes(session, &told(may_hold, &shared));
                assert_eq!(taken, writes(session, &told(may_hold, &alone)));
            }
        }
    }
}
