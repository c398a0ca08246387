//! Sessions come, go and restart.

use std::time::Duration;

use super::*;

const A: &str = "203.0.113.0/24";
const B: &str = "198.51.100.0/24";

fn counts(rib: &Rib) -> (usize, usize, usize) {
    let counts = rib.peer_counts(PeerId(1)).unwrap();
    (counts.received, counts.stale, counts.best)
}

fn learned() -> Rib {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    rib.learn(1, A, attrs(&[65001], 1));
    rib.learn(1, B, attrs(&[65001], 1));
    rib.fib();
    rib
}

#[test]
fn a_flushed_peer_leaves_nothing() {
    let mut rib = learned();
    rib.originate(
        "10.244.1.0/24",
        origination(vec![advertise(PeerSelector::All)]),
    );
    rib.drain(1);
    assert_eq!(
        rib.attribute_sets(),
        3,
        "received, our own, and as it was told"
    );
    rib.peer_down(PeerId(1), PeerDown::Flush);
    assert_eq!(rib.fib().len(), 2);
    assert_eq!(
        (rib.attribute_sets(), rib.prefixes(Family::Ipv4Unicast)),
        (1, 1)
    );
    assert_eq!(rib.peer_counts(PeerId(1)), None);
    rib.set_originations(BTreeMap::new());
    assert_eq!(
        (rib.attribute_sets(), rib.prefixes(Family::Ipv4Unicast)),
        (0, 0)
    );
    assert_eq!(rib.next_hops().count(), 0);
}

#[test]
fn routes_of_a_restarting_peer_stay_until_they_are_swept() {
    let mut rib = learned();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    assert_eq!((counts(&rib), rib.has_fib_changes()), ((2, 2, 2), false));
    assert!(rib.lookup(p(A)).unwrap().paths[0].stale);
    let late = rib.learn(1, "192.0.2.0/24", attrs(&[65001], 1));
    assert_eq!(
        late,
        AnnounceOutcome::default(),
        "it crossed the end of the session"
    );
    rib.peer_up(PeerId(1), info(SessionKind::Ebgp, 1)).unwrap();
    rib.learn(1, A, attrs(&[65001], 1));
    assert_eq!(counts(&rib), (2, 1, 2));
    rib.end_of_rib(PeerId(1), Family::Ipv6Unicast);
    assert_eq!(counts(&rib), (2, 1, 2), "the other family");
    rib.end_of_rib(PeerId(1), Family::Ipv4Unicast);
    assert_eq!(counts(&rib), (1, 0, 1));
    assert_eq!(rib.fib(), [(p(B), None)].into());
}

/// RFC 4724 section 4.2: while they are there, stale routes are preferred, used and told as others are.
#[test]
fn a_stale_route_is_compared_and_told_like_any_other() {
    let mut rib = learned();
    for n in [2, 3] {
        rib.peer_up(PeerId(n.into()), info(SessionKind::Ebgp, n))
            .unwrap();
    }
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    rib.learn(2, A, attrs(&[65002, 7], 2));
    rib.learn(3, B, attrs(&[65003], 3));
    // Shorter than the fresh one; and first by its router id, as if both were fresh.
    assert_eq!((rib.best_peer(A), rib.best_peer(B)), (Some(1), Some(1)));
    assert!(
        rib.lookup(p(B))
            .unwrap()
            .paths
            .iter()
            .all(|path| path.multipath)
    );
    let newcomer = PeerInfo {
        export: ExportPolicy { transit: true },
        ..info(SessionKind::Ibgp, 4)
    };
    rib.peer_up(PeerId(4), newcomer).unwrap();
    let (told, _) = rib.drain(4);
    assert_eq!(told[&p(A)].as_path.to_string(), "65001");
    // What is better than it takes its place.
    let preferred = PathAttributes {
        local_pref: Some(200),
        ..attrs(&[7, 8], 5)
    };
    rib.peer_up(PeerId(5), info(SessionKind::Ibgp, 5)).unwrap();
    rib.learn(5, A, preferred);
    assert_eq!(rib.best_peer(A), Some(5));
}

#[test]
fn a_second_restart_deletes_what_the_first_left_stale() {
    let mut rib = learned();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    rib.peer_up(PeerId(1), info(SessionKind::Ebgp, 1)).unwrap();
    rib.learn(1, A, attrs(&[65001], 1));
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    assert_eq!(counts(&rib), (1, 1, 1));
    assert_eq!(rib.lookup(p(B)), None);
    // The restart timer ran out.
    rib.sweep_stale(PeerId(1), None);
    assert_eq!(
        (rib.peer_counts(PeerId(1)), rib.attribute_sets()),
        (None, 0)
    );
}

#[test]
fn telling_twice_that_a_session_is_over_keeps_the_stale_routes() {
    let mut rib = learned();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    assert_eq!(counts(&rib), (2, 2, 2));
}

#[test]
fn only_the_families_that_were_promised_are_kept() {
    let mut rib = learned();
    let v6 = [Family::Ipv6Unicast].into_iter().collect();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(v6));
    assert_eq!(
        rib.prefixes(Family::Ipv4Unicast),
        2,
        "the kernel must be told"
    );
    assert_eq!(rib.fib().len(), 2);
    assert_eq!(rib.prefixes(Family::Ipv4Unicast), 0);
}

#[test]
fn another_neighbour_in_its_place_inherits_nothing() {
    let mut rib = learned();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    let mut other = info(SessionKind::Ebgp, 1);
    other.router_id = RouterId(Ipv4Addr::new(9, 9, 9, 9));
    rib.peer_up(PeerId(1), other).unwrap();
    assert_eq!(counts(&rib), (0, 0, 0));
}

#[test]
fn a_family_that_is_no_longer_negotiated_is_not_kept() {
    let mut rib = learned();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    let mut v6_only = info(SessionKind::Ebgp, 1);
    v6_only.families = [Family::Ipv6Unicast].into_iter().collect();
    rib.peer_up(PeerId(1), v6_only).unwrap();
    assert_eq!(counts(&rib), (0, 0, 0));
}

#[test]
fn kept_routes_are_judged_by_the_policy_of_the_new_session() {
    let mut rib = learned();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    let mut strict = info(SessionKind::Ebgp, 1);
    strict.import = ImportPolicy::Exactly([p(A)].into());
    rib.peer_up(PeerId(1), strict).unwrap();
    assert_eq!(counts(&rib), (2, 2, 1));
    assert_eq!((rib.best_peer(A), rib.best_peer(B)), (Some(1), None));
}

#[test]
fn a_route_that_is_repeated_keeps_its_age_and_a_changed_one_does_not() {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
    let since = |rib: &Rib| rib.lookup(p(A)).unwrap().paths[0].since;
    rib.set_time(at(5));
    rib.learn(1, A, attrs(&[65001], 1));
    rib.set_time(at(9));
    rib.learn(1, A, attrs(&[65001], 1));
    assert_eq!(since(&rib), at(5));
    rib.learn(1, A, attrs(&[65001, 7], 1));
    assert_eq!(since(&rib), at(9));
}

#[test]
fn peers_that_have_something_to_pull_are_named_once() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ibgp, 2)),
    ]);
    assert_eq!(rib.take_ready_peers(), [], "nothing to say to anybody");
    let all = || origination(vec![advertise(PeerSelector::All)]);
    rib.set_originations([(p(A), all()), (p(B), all())].into());
    assert_eq!(rib.take_ready_peers(), [PeerId(1), PeerId(2)]);
    assert_eq!(rib.take_ready_peers(), []);
    rib.peer_down(PeerId(2), PeerDown::Flush);
    rib.set_originations([(p(A), all())].into());
    assert_eq!(rib.take_ready_peers(), [PeerId(1)]);
}

#[test]
fn paths_of_one_peer_are_told_apart_by_their_identifier() {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    let path = |id: u32| {
        let Prefix::V4(prefix) = p(A) else { panic!() };
        let path_id = redstart_bgp::types::PathId(id);
        NlriSet::V4(vec![Nlri { prefix, path_id }])
    };
    for (id, hop) in [(2, 2), (1, 3)] {
        rib.announce(PeerId(1), &attrs(&[65001], hop), &path(id));
    }
    rib.resolve_pending(&connected());
    let ids = |rib: &Rib| -> Vec<u32> {
        let view = rib.lookup(p(A)).unwrap();
        view.paths.iter().map(|path| path.path_id.0).collect()
    };
    assert_eq!((ids(&rib), counts(&rib)), (vec![1, 2], (2, 0, 1)));
    rib.withdraw(PeerId(1), &path(1));
    assert_eq!(ids(&rib), [2]);
    rib.peer_down(PeerId(1), PeerDown::Flush);
    assert_eq!(rib.attribute_sets(), 0);
}

/// More of them than are noted at a time, and every third has another path.
#[test]
fn many_that_go_at_once_leave_what_they_leave_one_by_one() {
    let prefixes: Vec<Prefix> = (0..200).map(|n| p(&format!("10.{n}.0.0/16"))).collect();
    let rivalled: Vec<Prefix> = prefixes.iter().step_by(3).copied().collect();
    let full = || {
        let peers = [1, 2, 3].map(|n| (u32::from(n), transit(SessionKind::Ebgp, n)));
        let mut rib = rib(&peers);
        rib.announce(PeerId(1), &attrs(&[65001], 1), &list(&prefixes));
        rib.announce(PeerId(2), &attrs(&[65002, 7], 2), &list(&rivalled));
        rib.resolve_pending(&connected());
        while rib.has_updates(PeerId(3)) {
            rib.pull(PeerId(3), 1000);
        }
        rib.fib();
        rib
    };
    let outcome = |mut rib: Rib| {
        rib.resolve_pending(&connected());
        let mut told = BTreeSet::new();
        while rib.has_updates(PeerId(3)) {
            let batch = rib.pull(PeerId(3), 7);
            let reached = batch.reach.iter().map(|(_, nlri)| (true, nlri));
            let gone = batch.withdraw.iter().map(|nlri| (false, nlri));
            told.extend(reached.chain(gone).flat_map(|(reached, nlri)| {
                let prefixes = Routes::from(nlri).iter().map(|nlri| (reached, nlri.prefix));
                prefixes.collect::<Vec<_>>()
            }));
        }
        let counts = [1, 2].map(|n| rib.peer_counts(PeerId(n)));
        (told, rib.fib(), counts, rib.prefixes(Family::Ipv4Unicast))
    };
    let (mut at_once, mut one_by_one, mut lost) = (full(), full(), full());
    assert_eq!(at_once.withdraw(PeerId(1), &list(&prefixes)), 200);
    for prefix in &prefixes {
        assert_eq!(one_by_one.withdraw(PeerId(1), &list(&[*prefix])), 1);
    }
    lost.peer_down(PeerId(1), PeerDown::Flush);
    let expected = outcome(one_by_one);
    assert_eq!(expected.0.len(), 200);
    assert_eq!(outcome(at_once), expected);
    let (told, fib, [_, left], prefixes) = outcome(lost);
    assert_eq!(
        (told, fib, left, prefixes),
        (expected.0, expected.1, expected.2[1], expected.3)
    );
}
