//! AIGP (RFC 7311): where it means something, what it decides, and where it goes.

use redstart_bgp::types::Aigp;

use super::{bent::ROUTE, *};

/// A second TLV behind the metric, which nobody here knows.
const WITH_MORE: [u8; 15] = [1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 7, 9, 0, 4, 5];

fn having(aigp: Aigp, attrs: PathAttributes) -> PathAttributes {
    PathAttributes {
        aigp: Some(aigp),
        ..attrs
    }
}

fn with_metric(metric: u64, path: &[u32], n: u8) -> PathAttributes {
    having(Aigp::of(metric), attrs(path, n))
}

/// A peer on whose session AIGP is on or off, whatever its kind.
fn with_aigp(on: bool, info: PeerInfo) -> PeerInfo {
    let rules = PeerRules {
        aigp: Some(on),
        ..info.rules
    };
    PeerInfo { rules, ..info }
}

fn ibgp(n: u8) -> PeerInfo {
    info(SessionKind::Ibgp, n)
}

/// A client that we reflect to, and for.
fn client(n: u8) -> PeerInfo {
    let rules = PeerRules {
        client: true,
        ..PeerRules::default()
    };
    PeerInfo { rules, ..ibgp(n) }
}

fn why_lost(rib: &Rib) -> String {
    let view = rib.lookup(p(ROUTE)).unwrap();
    view.paths[1].not_best.as_ref().unwrap().to_string()
}

/// Section 4.1: before every tie break of RFC 4271.
#[test]
fn the_smaller_distance_wins_whatever_the_length_of_the_path() {
    let mut rib = rib(&[(1, ibgp(1)), (2, ibgp(2)), (3, ibgp(3))]);
    rib.learn(1, ROUTE, with_metric(20, &[7], 1));
    rib.learn(2, ROUTE, with_metric(10, &[7, 8, 9], 2));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    assert_eq!(why_lost(&rib), "lost-aigp");
    // A path without the attribute loses to those that have it.
    rib.learn(3, ROUTE, attrs(&[], 3));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    // LOCAL_PREF comes before.
    let preferred = PathAttributes {
        local_pref: Some(101),
        ..attrs(&[7, 8, 9], 3)
    };
    rib.learn(3, ROUTE, preferred);
    assert_eq!(rib.best_peer(ROUTE), Some(3));
}

/// Section 4.1: the distance to the next hop is a part of it, and a sum never wraps around
/// (section 3.4.3).
#[test]
fn the_way_to_the_next_hop_counts() {
    let links = |far| Links([(ip("10.0.0.1"), far), (ip("10.0.0.2"), 5)].into());
    let mut rib = rib(&[(1, ibgp(1)), (2, ibgp(2))]);
    for (peer, metric) in [(1, u64::MAX - 3), (2, u64::MAX - 9)] {
        let attrs = with_metric(metric, &[7], u8::try_from(peer).unwrap());
        rib.announce(PeerId(peer), &attrs, &nlri(ROUTE));
    }
    rib.resolve(&links(0));
    assert_eq!(
        rib.best_peer(ROUTE),
        Some(2),
        "5 + metric - 9 before 0 + metric - 3"
    );
    rib.resolve(&links(1000));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    rib.announce(
        PeerId(1),
        &with_metric(u64::MAX - 1100, &[7], 1),
        &nlri(ROUTE),
    );
    rib.resolve(&links(1000));
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    rib.resolve(&links(2000));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
}

/// Section 3.3: enabled within the AS and disabled elsewhere, unless configured otherwise.
#[test]
fn from_outside_it_means_nothing_unless_asked_for() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
        (3, transit(SessionKind::Ibgp, 3)),
    ]);
    rib.learn(1, ROUTE, with_metric(20, &[65001], 1));
    rib.learn(2, ROUTE, with_metric(10, &[65002], 2));
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    assert_eq!(rib.drain(3).0[&p(ROUTE)].aigp, None);

    let on = PeerRules {
        aigp: Some(true),
        ..PeerRules::default()
    };
    for peer in [1, 2] {
        rib.update_rules(PeerId(peer), on);
    }
    assert_eq!(rib.best_peer(ROUTE), Some(2), "while the sessions are up");
    assert_eq!(rib.drain(3).0[&p(ROUTE)].aigp, Some(Aigp::of(10)));

    for peer in [1, 2] {
        rib.update_rules(PeerId(peer), PeerRules::default());
    }
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    assert_eq!(rib.drain(3).0[&p(ROUTE)].aigp, None);
}

/// What a route from peer 1 has of AIGP where it goes.
fn passed(from: PeerInfo, to: PeerInfo) -> Option<Aigp> {
    let path: &[u32] = match from.kind {
        SessionKind::Ebgp => &[65001],
        SessionKind::Ibgp => &[],
    };
    let mut rib = rib(&[(1, from), (2, to)]);
    let aigp = Aigp::parse(&WITH_MORE).unwrap();
    rib.learn(1, ROUTE, having(aigp, attrs(path, 1)));
    rib.drain(2).0[&p(ROUTE)].aigp.clone()
}

/// Sections 3 and 3.4.3: not a bit of it changes where the next hop does not.
#[test]
fn it_goes_along_with_a_next_hop_that_is_left_alone() {
    let whole = || Some(Aigp::parse(&WITH_MORE).unwrap());
    assert_eq!(passed(client(1), ibgp(2)), whole());
    assert_eq!(passed(client(1), with_aigp(false, ibgp(2))), None);
    assert_eq!(passed(with_aigp(false, client(1)), ibgp(2)), None);
    let outside = || with_aigp(true, info(SessionKind::Ebgp, 1));
    assert_eq!(passed(outside(), transit(SessionKind::Ibgp, 2)), whole());
}

#[test]
fn it_is_left_out_where_the_next_hop_is_ours() {
    let outside = || with_aigp(true, transit(SessionKind::Ebgp, 2));
    assert_eq!(passed(ibgp(1), outside()), None);
    let rules = PeerRules {
        next_hop: NextHopRule::Own,
        ..PeerRules::default()
    };
    let to = PeerInfo {
        rules,
        ..transit(SessionKind::Ibgp, 2)
    };
    let from = with_aigp(true, info(SessionKind::Ebgp, 1));
    assert_eq!(passed(from, to), None);
    // With the next hop unchanged an external peer gets it too, if it is asked for.
    let unchanged = |aigp| {
        let rules = PeerRules {
            next_hop: NextHopRule::Unchanged,
            aigp,
            ..PeerRules::default()
        };
        PeerInfo {
            rules,
            ..transit(SessionKind::Ebgp, 2)
        }
    };
    assert_eq!(passed(ibgp(1), unchanged(None)), None);
    assert!(passed(ibgp(1), unchanged(Some(true))).is_some());
}
