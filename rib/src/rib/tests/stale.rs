//! Routes whose peer is away for long (RFC 9494), and routes that it says again (RFC 7313).

use redstart_bgp::types::Community;

use super::*;
use crate::export::Withheld;

const ROUTE: &str = "203.0.113.0/24";
const OTHER: &str = "198.51.100.0/24";
const V4: Family = Family::Ipv4Unicast;

/// Peer 1 is away, and was away for longer than its restart time; 2 knows what that means and 3 does
/// not.
fn away(sent: PathAttributes) -> Rib {
    let knowing = PeerInfo {
        long_lived: FamilySet::ALL,
        ..transit(SessionKind::Ebgp, 2)
    };
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, knowing),
        (3, transit(SessionKind::Ebgp, 3)),
        (4, info(SessionKind::Ebgp, 4)),
    ]);
    rib.learn(1, ROUTE, sent);
    rib.drain(2);
    rib.drain(3);
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    rib.retain_long_lived(PeerId(1), V4);
    rib
}

#[test]
fn a_long_lived_stale_route_is_used_as_the_last_resort() {
    let mut rib = away(attrs(&[65001], 1));
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    assert!(rib.lookup(p(ROUTE)).unwrap().paths[0].long_lived_stale);
    // Worse in everything but that.
    rib.learn(4, ROUTE, attrs(&[65004, 7, 8, 9], 4));
    assert_eq!(rib.best_peer(ROUTE), Some(4));
    let view = rib.lookup(p(ROUTE)).unwrap();
    let why = view.paths[1].not_best.as_ref().unwrap();
    assert_eq!(why.to_string(), "lost-long-lived-stale");
}

#[test]
fn a_long_lived_stale_route_is_marked_and_goes_to_those_who_know_the_mark() {
    let mut rib = away(attrs(&[65001], 1));
    let (told, _) = rib.drain(2);
    assert!(told[&p(ROUTE)].has_community(Community::LLGR_STALE));
    assert_eq!(rib.drain(3).1, [p(ROUTE)].into());
    let why = rib.explain_export(PeerId(3), p(ROUTE)).decision;
    assert_eq!(why, Err(Withheld::LongLivedStale));
}

#[test]
fn a_route_that_does_not_want_to_be_kept_is_not() {
    let mut rib = away(PathAttributes {
        communities: [Community::NO_LLGR].into(),
        ..attrs(&[65001], 1)
    });
    assert_eq!(rib.lookup(p(ROUTE)), None);
    assert_eq!(rib.peer_counts(PeerId(1)), None);
    assert_eq!(rib.drain(2).1, [p(ROUTE)].into());
}

#[test]
fn somebody_elses_stale_route_is_the_last_resort_too() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
        (3, transit(SessionKind::Ebgp, 3)),
    ]);
    let marked = PathAttributes {
        communities: [Community::LLGR_STALE].into(),
        ..attrs(&[65001], 1)
    };
    rib.learn(1, ROUTE, marked);
    let why = rib.explain_export(PeerId(3), p(ROUTE)).decision;
    assert_eq!(why, Err(Withheld::LongLivedStale));
    rib.learn(2, ROUTE, attrs(&[65002, 7, 8], 2));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
}

/// RFC 9494 section 4.3: the community stays on the route wherever it goes.
#[test]
fn somebody_elses_mark_stays_on_its_route() {
    let knowing = PeerInfo {
        long_lived: FamilySet::ALL,
        ..transit(SessionKind::Ebgp, 2)
    };
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1)), (2, knowing)]);
    let marked = PathAttributes {
        communities: [Community::LLGR_STALE].into(),
        ..attrs(&[65001], 1)
    };
    rib.learn(1, ROUTE, marked);
    let told = &rib.drain(2).0[&p(ROUTE)];
    assert_eq!(*told.communities, [Community::LLGR_STALE]);
}

/// RFC 9494 section 4.6 allows it towards internal ones: not used.
#[test]
fn no_neighbour_without_the_capability_is_told_internal_or_not() {
    for kind in [SessionKind::Ebgp, SessionKind::Ibgp] {
        let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1)), (2, transit(kind, 2))]);
        rib.learn(1, ROUTE, attrs(&[65001], 1));
        assert_eq!(rib.drain(2).0.len(), 1);
        rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
        rib.retain_long_lived(PeerId(1), V4);
        assert_eq!(rib.drain(2).1, [p(ROUTE)].into(), "{kind:?}");
    }
}

/// The same route again, attribute for attribute: it is fresh, and everybody must hear of it.
#[test]
fn a_confirmed_route_is_a_route_like_any_other() {
    let mut rib = away(attrs(&[65001], 1));
    rib.drain(2);
    rib.drain(3);
    rib.peer_up(PeerId(1), info(SessionKind::Ebgp, 1)).unwrap();
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    let view = rib.lookup(p(ROUTE)).unwrap();
    assert!(!view.paths[0].long_lived_stale && !view.paths[0].stale);
    assert!(!rib.drain(2).0[&p(ROUTE)].has_community(Community::LLGR_STALE));
    assert_eq!(rib.drain(3).0.len(), 1);
    rib.end_of_rib(PeerId(1), V4);
    assert_eq!(rib.best_peer(ROUTE), Some(1));
}

#[test]
fn a_long_lived_stale_route_outlives_another_loss_of_the_session() {
    let mut rib = away(attrs(&[65001], 1));
    rib.peer_up(PeerId(1), info(SessionKind::Ebgp, 1)).unwrap();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    rib.sweep_stale(PeerId(1), Some(V4));
    assert_eq!(rib.lookup(p(ROUTE)), None);
}

fn refreshing() -> Rib {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    rib.learn(1, OTHER, attrs(&[65001], 1));
    rib.fib();
    rib.refresh_begin(PeerId(1), V4);
    rib
}

#[test]
fn what_a_refresh_does_not_repeat_is_gone_at_its_end_and_not_before() {
    let mut rib = refreshing();
    assert!(!rib.has_fib_changes());
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    rib.refresh_end(PeerId(1), Family::Ipv6Unicast);
    assert_eq!(rib.best_peer(OTHER), Some(1));
    rib.refresh_end(PeerId(1), V4);
    assert_eq!(rib.best_peer(OTHER), None);
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    assert_eq!(rib.fib(), [(p(OTHER), None)].into());
}

#[test]
fn a_second_beginning_starts_over() {
    let mut rib = refreshing();
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    rib.refresh_begin(PeerId(1), V4);
    rib.learn(1, OTHER, attrs(&[65001], 1));
    rib.refresh_end(PeerId(1), V4);
    assert_eq!(rib.best_peer(ROUTE), None);
    assert_eq!(rib.best_peer(OTHER), Some(1));
}

/// The routes that waited for the end of the refresh are those of a graceful restart now.
#[test]
fn a_session_that_ends_amid_a_refresh_keeps_its_routes() {
    let mut rib = refreshing();
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    assert_eq!(rib.peer_counts(PeerId(1)).unwrap().stale, 2);
    rib.peer_up(PeerId(1), info(SessionKind::Ebgp, 1)).unwrap();
    rib.refresh_end(PeerId(1), V4);
    assert_eq!(rib.peer_counts(PeerId(1)).unwrap().received, 2);
}

#[test]
fn the_answer_to_a_refresh_has_a_beginning_and_an_end() {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    let all = || origination(vec![advertise(PeerSelector::All)]);
    rib.set_originations([(p(ROUTE), all()), (p(OTHER), all())].into());
    // The initial table has an end of its own.
    rib.refresh_out(PeerId(1), V4);
    let batch = rib.pull(PeerId(1), 100);
    assert!(batch.refresh_begin.is_empty() && batch.refresh_end.is_empty());
    rib.set_complete(Complete::All);
    assert!(rib.pull(PeerId(1), 100).end_of_rib.contains(V4));

    let v4: FamilySet = [V4].into_iter().collect();
    rib.refresh_out(PeerId(1), V4);
    let first = rib.pull(PeerId(1), 1);
    assert_eq!(
        (first.refresh_begin, first.refresh_end),
        (v4, FamilySet::EMPTY)
    );
    assert_eq!(first.reach.len(), 1);
    let last = rib.pull(PeerId(1), 1);
    assert_eq!(
        (last.refresh_begin, last.refresh_end),
        (FamilySet::EMPTY, v4)
    );
    // Of a family without routes as well.
    rib.refresh_out(PeerId(1), Family::Ipv6Unicast);
    assert!(rib.has_updates(PeerId(1)));
    let empty = rib.pull(PeerId(1), 1);
    assert_eq!(empty.refresh_begin, empty.refresh_end);
    assert!(empty.refresh_end.contains(Family::Ipv6Unicast));
    assert!(rib.pull(PeerId(1), 1).is_empty());
}

/// Each answer is paid for by taking it: a flood of requests has one, and then another.
#[test]
fn requests_amid_an_answer_are_one_request_after_it() {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    let all = || origination(vec![advertise(PeerSelector::All)]);
    rib.set_originations([(p(ROUTE), all()), (p(OTHER), all())].into());
    rib.set_complete(Complete::All);
    rib.drain(1);
    let mut marked = 0;
    for _ in 0..1000 {
        marked += rib.refresh_out(PeerId(1), V4);
    }
    assert_eq!(marked, 2, "the table is walked once");
    let mut answer = |marks: (bool, bool)| {
        let batch = rib.pull(PeerId(1), 1);
        assert_eq!(batch.reach.len(), 1);
        let sent = (&batch.refresh_begin, &batch.refresh_end);
        assert_eq!((sent.0.contains(V4), sent.1.contains(V4)), marks);
        rib.refresh_out(PeerId(1), V4)
    };
    assert_eq!(answer((true, false)), 0, "it is amid the first answer");
    assert_eq!(answer((false, true)), 0, "the second is due already");
    assert_eq!(answer((true, false)), 0);
    assert_eq!(answer((false, true)), 0, "and a third, for it asked again");
    let mut rest = 0;
    while rib.has_updates(PeerId(1)) {
        rest += rib.pull(PeerId(1), 1).reach.len();
    }
    assert_eq!(rest, 2 * 2);
    assert_eq!(rib.refresh_out(PeerId(1), V4), 2);
}
