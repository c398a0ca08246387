//! Batches of routes on their way out.

use core::time::Duration;
use std::sync::Arc;

use crate::{
    session::{Event, OutBatch, Slot, State, UnsendableReason},
    types::{AsPath, Asn, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, NlriSet, PathAttributes},
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
        reach: vec![(Arc::new(attrs), NlriSet::V4(list))],
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
    batch.reach.extend(ipv4_batch(5, attrs()).reach);
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
