//! Several paths for one prefix (RFC 7911).

use super::*;
use crate::{import::Refusal, paths::PATHS_OF_A_PEER};

const ROUTE: &str = "203.0.113.0/24";

/// An external peer that takes several paths, and learned routes at all.
fn taker(n: u8) -> PeerInfo {
    PeerInfo {
        add_path_send: FamilySet::ALL,
        ..transit(SessionKind::Ebgp, n)
    }
}

/// Peers 1 and 2 send, peer 3 takes every path.
fn world() -> Rib {
    rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
        (3, taker(3)),
    ])
}

/// Path identifier and AS_PATH of what is announced, and identifiers of what is withdrawn.
fn pull(rib: &mut Rib) -> (BTreeMap<u32, String>, BTreeSet<u32>) {
    let batch = rib.pull(PeerId(3), 100);
    let gone = batch.withdraw.iter().flat_map(NlriSet::iter);
    let gone = gone.map(|nlri| nlri.path_id.0).collect();
    let told = batch.reach.iter().flat_map(|(attrs, list)| {
        list.iter()
            .map(|nlri| (nlri.path_id.0, attrs.as_path.to_string()))
    });
    (told.collect(), gone)
}

fn numbered(prefix: &str, path_id: u32) -> NlriSet {
    let Prefix::V4(prefix) = p(prefix) else {
        panic!("IPv4")
    };
    let path_id = PathId(path_id);
    NlriSet::V4(vec![Nlri { prefix, path_id }])
}

fn learn(rib: &mut Rib, peer: u32, path_id: u32, path: &[u32]) {
    let attrs = attrs(path, u8::try_from(peer).unwrap());
    rib.announce(PeerId(peer), &attrs, &numbered(ROUTE, path_id));
    rib.resolve_pending(&connected());
}

#[test]
fn paths_of_one_peer_are_told_apart_by_their_identifiers() {
    let mut rib = world();
    learn(&mut rib, 1, 10, &[65001, 5]);
    learn(&mut rib, 1, 20, &[65001, 6, 7]);
    let view = rib.lookup(p(ROUTE)).unwrap();
    let ids: Vec<u32> = view.paths.iter().map(|path| path.path_id.0).collect();
    assert_eq!(ids, [10, 20]);
    // The same identifier again is an implicit withdrawal (RFC 7911 section 3).
    learn(&mut rib, 1, 10, &[65001, 5, 5, 5]);
    let view = rib.lookup(p(ROUTE)).unwrap();
    assert_eq!(view.best().unwrap().path_id, PathId(20));
    rib.withdraw(PeerId(1), &numbered(ROUTE, 20));
    let view = rib.lookup(p(ROUTE)).unwrap();
    assert_eq!(view.best().unwrap().path_id, PathId(10));
    assert_eq!(rib.peer_counts(PeerId(1)).unwrap().received, 1);
}

#[test]
fn every_usable_path_is_told_and_keeps_its_identifier() {
    let mut rib = world();
    learn(&mut rib, 1, 7, &[65001, 5, 6]);
    learn(&mut rib, 2, 7, &[65002, 5, 6]);
    let (first, _) = pull(&mut rib);
    assert_eq!(first.len(), 2, "{first:?}");
    let of = |told: &BTreeMap<u32, String>, path: &str| {
        let mut found = told.iter().filter(|(_, as_path)| *as_path == path);
        *found.next().unwrap().0
    };
    let (one, two) = (of(&first, "64512 65001 5 6"), of(&first, "64512 65002 5 6"));
    assert!(one != two && one != 0 && two != 0);
    // Which one is best changes: nobody who knows both has to be told.
    learn(&mut rib, 2, 7, &[65002, 5]);
    let (told, gone) = pull(&mut rib);
    assert_eq!(told, [(two, "64512 65002 5".to_owned())].into());
    assert!(gone.is_empty());
    rib.withdraw(PeerId(1), &numbered(ROUTE, 7));
    assert_eq!(pull(&mut rib), (BTreeMap::new(), [one].into()));
    assert_eq!(rib.exported(PeerId(3)).len(), 1);
}

#[test]
fn a_path_that_comes_takes_no_identifier_that_goes_with_the_same_batch() {
    let mut rib = world();
    learn(&mut rib, 1, 1, &[65001, 5]);
    let (told, _) = pull(&mut rib);
    rib.withdraw(PeerId(1), &numbered(ROUTE, 1));
    learn(&mut rib, 1, 2, &[65001, 5]);
    let (now, gone) = pull(&mut rib);
    assert_eq!(gone, told.keys().copied().collect());
    assert!(now.keys().all(|id| !gone.contains(id)));
}

#[test]
fn the_number_of_paths_may_be_bounded() {
    let mut rib = world();
    learn(&mut rib, 1, 1, &[65001, 5, 6, 7]);
    learn(&mut rib, 1, 2, &[65001, 5]);
    learn(&mut rib, 2, 1, &[65002, 5, 6]);
    let rules = PeerRules {
        max_paths_sent: Some(2),
        ..PeerRules::default()
    };
    rib.update_rules(PeerId(3), rules);
    let (told, _) = pull(&mut rib);
    let mut paths: Vec<&str> = told.values().map(String::as_str).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["64512 65001 5", "64512 65002 5 6"]);
    rib.update_rules(PeerId(3), PeerRules::default());
    let (more, gone) = pull(&mut rib);
    assert_eq!((more.len(), gone.len()), (1, 0));
}

#[test]
fn without_a_bound_all_paths_are_told() {
    let mut rib = world();
    // More than a neighbour may have is no bound for what others are told.
    for path_id in 1..=150 {
        learn(&mut rib, 1, path_id, &[65001, path_id]);
        learn(&mut rib, 2, path_id, &[65002, path_id]);
    }
    assert_eq!(pull(&mut rib).0.len(), 300);
}

#[test]
fn what_cannot_be_used_is_not_told() {
    let mut rib = world();
    learn(&mut rib, 1, 1, &[65001, 5]);
    // Refused, and by a next hop that nobody knows.
    learn(&mut rib, 1, 2, &[65001, 64512]);
    let nowhere = attrs(&[65002], 77);
    rib.announce(PeerId(2), &nowhere, &nlri(ROUTE));
    rib.resolve_pending(&connected());
    assert_eq!(pull(&mut rib).0.len(), 1);
}

#[test]
fn our_own_route_is_one_of_them() {
    let mut rib = world();
    learn(&mut rib, 1, 1, &[65001, 5]);
    rib.originate(ROUTE, origination(vec![advertise(PeerSelector::All)]));
    let (told, _) = pull(&mut rib);
    let mut paths: Vec<&str> = told.values().map(String::as_str).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["64512", "64512 65001 5"]);
    rib.set_originations(BTreeMap::new());
    assert_eq!(pull(&mut rib).1.len(), 1);
}

#[test]
fn a_refresh_repeats_every_path_under_its_identifier() {
    let mut rib = world();
    learn(&mut rib, 1, 1, &[65001, 5]);
    learn(&mut rib, 2, 1, &[65002, 5]);
    let (told, _) = pull(&mut rib);
    rib.refresh_out(PeerId(3), Family::Ipv4Unicast);
    assert_eq!(pull(&mut rib), (told, BTreeSet::new()));
    rib.peer_down(PeerId(3), PeerDown::Flush);
    rib.peer_down(PeerId(1), PeerDown::Flush);
    rib.peer_down(PeerId(2), PeerDown::Flush);
    assert_eq!(rib.attribute_sets(), 0);
}

/// A peer that did not negotiate it gets the best path, without an identifier.
#[test]
fn others_get_one_path() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
        (3, transit(SessionKind::Ebgp, 3)),
    ]);
    learn(&mut rib, 1, 1, &[65001, 5]);
    learn(&mut rib, 2, 1, &[65002, 5]);
    let (told, _) = pull(&mut rib);
    assert_eq!(told, [(0, "64512 65001 5".to_owned())].into());
}

/// RFC 7911 section 5.
#[test]
fn an_unknown_identifier_takes_nothing_back() {
    let mut rib = world();
    learn(&mut rib, 1, 10, &[65001, 5]);
    pull(&mut rib);
    rib.withdraw(PeerId(1), &numbered(ROUTE, 77));
    rib.withdraw(PeerId(2), &numbered(ROUTE, 10));
    assert_eq!(rib.peer_counts(PeerId(1)).unwrap().received, 1);
    assert_eq!(pull(&mut rib), (BTreeMap::new(), BTreeSet::new()));
}

#[test]
fn a_flood_of_path_identifiers_is_bounded_for_each_prefix_and_peer() {
    const SENT: u32 = 2_000;
    let held = PATHS_OF_A_PEER;
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
    ]);
    let flood = |prefix: &str| {
        let Prefix::V4(prefix) = p(prefix) else {
            panic!("not IPv4");
        };
        let path = |id| Nlri {
            prefix,
            path_id: PathId(id),
        };
        NlriSet::V4((1..=SENT).map(path).collect())
    };
    let flooded = flood("198.51.100.0/24");
    let paths = attrs(&[65001], 1);
    let outcome = rib.announce(PeerId(1), &paths, &flooded);
    assert_eq!(outcome.accepted, held);
    let beyond = usize::try_from(SENT).unwrap() - held;
    assert_eq!(outcome.refused.get(Refusal::TooManyPaths), beyond);
    // What is not held does not count against the peer, and the next prefix and peer have room.
    assert_eq!(rib.peer_counts(PeerId(1)).unwrap().received, held);
    // Nor is it held for another reason.
    let looped = attrs(&[65002, LOCAL_AS.0], 2);
    let of_another = rib.announce(PeerId(2), &looped, &flood("192.0.2.0/24"));
    assert_eq!(of_another.refused.get(Refusal::AsLoop), held);
    assert_eq!(of_another.refused.get(Refusal::TooManyPaths), beyond);
    let other = rib.announce(PeerId(1), &paths, &flood("203.0.113.0/24"));
    assert_eq!(other.accepted, held);
    let second = rib.learn(2, "198.51.100.0/24", attrs(&[65002], 2));
    assert_eq!(second.accepted, 1);

    // The same again is a repetition of those that are held; and one that goes makes room.
    let again = rib.announce(PeerId(1), &paths, &flooded);
    assert_eq!(again.accepted, held);
    let NlriSet::V4(list) = &flooded else {
        panic!("not IPv4");
    };
    let [first, last] = [list.first(), list.last()].map(|path| NlriSet::V4(vec![*path.unwrap()]));
    assert_eq!(rib.announce(PeerId(1), &paths, &last).accepted, 0);
    rib.withdraw(PeerId(1), &last);
    rib.withdraw(PeerId(1), &first);
    assert_eq!(rib.announce(PeerId(1), &paths, &last).accepted, 1);
    rib.withdraw(PeerId(1), &flooded);
    assert_eq!(rib.lookup(p("198.51.100.0/24")).unwrap().paths.len(), 1);
}
