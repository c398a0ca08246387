//! Peers that are told the same, and what each of them is not told all the same.

use proptest::prelude::*;

use super::*;
use crate::export::Withheld;

/// External peers 1 to 4 with equal terms: only what is about one of them differs.
fn group() -> Rib {
    rib(&[1, 2, 3, 4].map(|n| (u32::from(n), transit(SessionKind::Ebgp, n))))
}

/// What each of the four is told about a route now.
fn told(rib: &mut Rib, prefix: &str) -> [Option<PathAttributes>; 4] {
    [1, 2, 3, 4].map(|peer| {
        rib.drain(peer);
        rib.told(PeerId(peer), p(prefix))
    })
}

const ROUTE: &str = "203.0.113.0/24";

#[test]
fn a_group_is_told_the_same_but_for_what_is_about_one() {
    let mut rib = group();
    rib.learn(1, ROUTE, attrs(&[65001, 65003, 7], 1));
    let [sender, second, passed, fourth] = told(&mut rib, ROUTE);
    assert_eq!(sender, None, "it sent the route");
    assert_eq!(passed, None, "its AS is in the path");
    assert!(second.is_some());
    assert_eq!(second, fourth);
    assert_eq!(rib.attribute_sets(), 2, "one received, one told");
}

#[test]
fn no_member_is_told_its_own_address_as_next_hop() {
    let to = |n| {
        let rules = PeerRules {
            next_hop: NextHopRule::Unchanged,
            ..PeerRules::default()
        };
        (
            u32::from(n),
            PeerInfo {
                rules,
                ..transit(SessionKind::Ebgp, n)
            },
        )
    };
    let mut rib = rib(&[1, 2, 3, 4].map(to));
    rib.learn(1, ROUTE, attrs(&[65001], 3));
    let [_, second, itself, fourth] = told(&mut rib, ROUTE);
    assert_eq!((itself, second.is_some()), (None, true));
    assert_eq!(second, fourth);
}

#[test]
fn no_client_is_told_what_it_brought_into_the_as() {
    let client = |n| {
        let rules = PeerRules {
            client: true,
            ..PeerRules::default()
        };
        (
            u32::from(n),
            PeerInfo {
                rules,
                ..info(SessionKind::Ibgp, n)
            },
        )
    };
    let mut rib = rib(&[1, 2, 3, 4].map(client));
    let brought = PathAttributes {
        originator_id: Some(RouterId([192, 0, 2, 4].into())),
        ..attrs(&[7], 1)
    };
    rib.learn(1, ROUTE, brought);
    let [sender, second, third, originator] = told(&mut rib, ROUTE);
    assert_eq!((sender, originator), (None, None));
    assert!(second.is_some());
    assert_eq!(second, third);
}

#[test]
fn a_verdict_goes_with_the_attributes_that_it_was_on() {
    let mut rib = group();
    for round in 0..3 {
        for med in [1, 2] {
            // The slot of the attributes is vacated and taken again by others.
            rib.learn(1, ROUTE, attrs(&[65001, 10 * round + med], 1));
            let path = AsPath::sequence([LOCAL_AS.0, 65001, 10 * round + med].map(Asn));
            let [_, second, third, fourth] = told(&mut rib, ROUTE);
            assert_eq!(second.map(|attrs| attrs.as_path), Some(path));
            assert_eq!(third, fourth);
        }
        rib.withdraw(PeerId(1), &nlri(ROUTE));
        assert_eq!(told(&mut rib, ROUTE), [const { None }; 4]);
        assert_eq!(rib.attribute_sets(), 0);
    }
}

#[test]
fn other_rules_of_the_sender_are_another_verdict() {
    let mut rib = group();
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    told(&mut rib, ROUTE);
    let shut = PeerRules {
        graceful_shutdown: true,
        ..PeerRules::default()
    };
    rib.update_rules(PeerId(1), shut);
    let [_, second, third, _] = told(&mut rib, ROUTE);
    let communities = second.as_ref().map(|attrs| attrs.communities.len());
    assert_eq!(communities, Some(1), "GRACEFUL_SHUTDOWN");
    assert_eq!(second, third);
}

#[test]
fn who_is_special_is_told_something_else() {
    let mut rib = group();
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    told(&mut rib, ROUTE);
    let special = PeerRules {
        next_hop: NextHopRule::Unchanged,
        ..PeerRules::default()
    };
    rib.update_rules(PeerId(3), special);
    let next_hop = |attrs: &Option<PathAttributes>| attrs.as_ref()?.next_hop.map(NextHop::addr);
    let [_, second, third, fourth] = told(&mut rib, ROUTE);
    assert_eq!(next_hop(&third), Some(ip("10.0.0.1")));
    assert_eq!(next_hop(&second), Some(ip("10.0.0.100")));
    assert_eq!(second, fourth);
}

#[test]
fn what_a_session_cannot_carry_is_not_tried_again_for_a_batch_of_another() {
    let mut rib = group();
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    assert!(rib.pull(PeerId(2), 100).reach == rib.pull(PeerId(3), 100).reach);
    rib.unsendable(PeerId(3), &nlri(ROUTE), Withheld::TooLong);
    rib.learn(1, "198.51.100.0/24", attrs(&[65001], 1));
    let told: Vec<Prefix> = pulled(&mut rib, 3).into_keys().collect();
    assert_eq!(told, [p("198.51.100.0/24")]);
}

/// 40 prefixes by two attribute sets, from peer 1.
fn many(rib: &mut Rib, first_as: u32) {
    for set in 0..2 {
        let prefixes: Vec<Prefix> = (0..20).map(|n| p(&format!("10.{set}.{n}.0/24"))).collect();
        let attrs = attrs(&[65001, first_as + set], 1);
        rib.announce(PeerId(1), &attrs, &list(&prefixes));
    }
    rib.resolve_pending(&connected());
}

/// What a peer is told in one batch.
fn pulled(rib: &mut Rib, peer: u32) -> BTreeMap<Prefix, AsPath> {
    let batch = rib.pull(PeerId(peer), 100);
    assert!(batch.withdraw.is_empty());
    let told = batch.reach.iter().flat_map(|(attrs, list)| {
        let path = &attrs.as_path;
        list.iter().map(move |nlri| (nlri.prefix, path.clone()))
    });
    told.collect()
}

#[test]
fn members_in_step_are_given_one_batch() {
    let mut rib = group();
    many(&mut rib, 100);
    let second = rib.pull(PeerId(2), 100);
    let fourth = rib.pull(PeerId(4), 100);
    assert_eq!(second, fourth);
    let same = second.reach.iter().zip(&fourth.reach);
    assert!(same.into_iter().all(|(a, b)| Arc::ptr_eq(&a.0, &b.0)));
    assert_eq!(second.reach.iter().map(|(_, l)| l.len()).sum::<usize>(), 40);
    for peer in [2, 4] {
        assert!(!rib.has_updates(PeerId(peer)));
        assert_eq!(rib.exported(PeerId(peer)).len(), 40);
    }
    rib.peer_down(PeerId(1), PeerDown::Flush);
    assert_eq!(rib.drain(2).1.len(), 40);
    assert_eq!(rib.drain(4).1.len(), 40);
    assert_eq!(rib.attribute_sets(), 0);
}

#[test]
fn who_comes_later_is_told_what_is_true_then() {
    let mut rib = group();
    many(&mut rib, 100);
    assert_eq!(pulled(&mut rib, 2).len(), 40);
    rib.withdraw(PeerId(1), &nlri("10.0.7.0/24"));
    rib.learn(1, "10.1.7.0/24", attrs(&[65001, 999], 1));
    let third = pulled(&mut rib, 3);
    assert_eq!(third.len(), 39);
    let changed = AsPath::sequence([LOCAL_AS.0, 65001, 999].map(Asn));
    assert_eq!(third.get(&p("10.1.7.0/24")), Some(&changed));
    // Peer 2 has been told of the changes meanwhile: what it was told first is no model any more.
    rib.drain(2);
    assert_eq!(pulled(&mut rib, 4), third);
}

#[test]
fn a_batch_of_another_is_not_for_who_is_in_it() {
    let mut rib = group();
    many(&mut rib, 65002);
    assert_eq!(pulled(&mut rib, 4).len(), 40);
    assert_eq!(
        pulled(&mut rib, 2).len(),
        20,
        "its AS is in half of the paths"
    );
    assert_eq!(pulled(&mut rib, 3).len(), 20);
    assert_eq!(pulled(&mut rib, 1).len(), 0);
}

#[test]
fn who_asks_again_and_who_is_new_is_told_all() {
    let mut rib = group();
    many(&mut rib, 100);
    assert_eq!(pulled(&mut rib, 2).len(), 40);
    assert_eq!(pulled(&mut rib, 3).len(), 40);
    rib.refresh_out(PeerId(3), Family::Ipv4Unicast);
    assert_eq!(pulled(&mut rib, 3).len(), 40);
    rib.peer_up(PeerId(5), transit(SessionKind::Ebgp, 5))
        .unwrap();
    assert_eq!(pulled(&mut rib, 5).len(), 40);
    rib.peer_down(PeerId(2), PeerDown::Flush);
    assert_eq!(pulled(&mut rib, 4).len(), 40);
}

/// A number that was another set's when the batch was made.
#[test]
fn a_batch_is_not_repeated_with_attributes_that_are_told_no_more() {
    let mut rib = group();
    for first in [5, 6, 7] {
        rib.learn(1, ROUTE, attrs(&[65001, first], 1));
        pulled(&mut rib, 2);
    }
    let late = pulled(&mut rib, 4);
    let now = AsPath::sequence([LOCAL_AS.0, 65001, 7].map(Asn));
    assert_eq!(late.get(&p(ROUTE)), Some(&now));
}

/// A slot that was another prefix's when the batch was made.
#[test]
fn a_batch_is_not_repeated_with_prefixes_that_are_gone() {
    let mut rib = group();
    let same = || attrs(&[65001, 7], 1);
    for prefix in ["198.51.100.0/25", "198.51.100.128/25"] {
        rib.learn(1, prefix, same());
    }
    pulled(&mut rib, 2);
    let gone = ["203.0.113.0/26", "203.0.113.64/26", "203.0.113.128/26"];
    for prefix in gone {
        rib.learn(1, prefix, same());
        pulled(&mut rib, 2);
    }
    for prefix in gone {
        rib.withdraw(PeerId(1), &nlri(prefix));
    }
    rib.drain(2);
    // Takes one of their slots. With a withdrawal in it, the batch is not kept in the place of the others.
    rib.learn(1, "192.0.2.0/24", same());
    rib.withdraw(PeerId(1), &nlri("198.51.100.128/25"));
    rib.drain(2);
    let late = pulled(&mut rib, 4);
    let there: Vec<_> = late.into_keys().map(|prefix| prefix.to_string()).collect();
    assert_eq!(there, ["192.0.2.0/24", "198.51.100.0/25"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Members that pull when they like, and in pieces, end up with what one who comes last is told: numbers of
    /// prefixes and attribute sets change hands all the time.
    #[test]
    fn members_end_up_with_the_same_whatever_their_pace(
        ops in prop::collection::vec((0..30_u8, 0..4_u8, 0..3_u32, 1..4_usize), 1..120),
    ) {
        let mut rib = group();
        let mut held: BTreeMap<u32, BTreeMap<Prefix, AsPath>> = BTreeMap::new();
        let mut take = |rib: &mut Rib, peer: u32, max: usize| {
            let batch = rib.pull(PeerId(peer), max);
            let held = held.entry(peer).or_default();
            for nlri in batch.withdraw.iter().flat_map(NlriSet::iter) {
                assert!(held.remove(&nlri.prefix).is_some(), "{} was not told", nlri.prefix);
            }
            for (attrs, list) in &batch.reach {
                held.extend(list.iter().map(|nlri| (nlri.prefix, attrs.as_path.clone())));
            }
            (batch.more, held.clone())
        };
        for (what, prefix, path, max) in ops {
            let prefix = format!("10.{prefix}.0.0/16");
            match what {
                0..9 => {
                    rib.learn(1, &prefix, attrs(&[65001, 7 + path], 1));
                }
                9..14 => {
                    rib.withdraw(PeerId(1), &nlri(&prefix));
                }
                14 => {
                    rib.refresh_out(PeerId(2), Family::Ipv4Unicast);
                }
                // The second one is quick.
                15..27 => {
                    take(&mut rib, 2, max);
                }
                _ => {
                    take(&mut rib, 3 + path % 2, max);
                }
            }
        }
        rib.peer_up(PeerId(5), transit(SessionKind::Ebgp, 5)).unwrap();
        let mut all = [5, 2, 3, 4].map(|peer| loop {
            if let (false, held) = take(&mut rib, peer, 2) {
                break held;
            }
        });
        let last = core::mem::take(&mut all[0]);
        for held in &all[1..] {
            prop_assert_eq!(held, &last);
        }
    }
}
