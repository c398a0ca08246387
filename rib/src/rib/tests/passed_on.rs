//! What a route that is passed on keeps, and what becomes of it when it can no longer be used.

use redstart_bgp::types::{
    Aggregator, Community, ExtendedCommunity, LargeCommunity, Origin, UnknownAttribute,
};

use super::*;

const LEARNED: &str = "203.0.113.0/24";
const OURS: &str = "10.244.1.0/24";

/// One peer of each kind that learns, and one of each kind that is told.
fn between(from: SessionKind, to: SessionKind) -> Rib {
    rib(&[(1, info(from, 1)), (2, transit(to, 2))])
}

/// Every way through that needs no reflection.
const WAYS: [(SessionKind, SessionKind); 3] = [
    (SessionKind::Ebgp, SessionKind::Ebgp),
    (SessionKind::Ebgp, SessionKind::Ibgp),
    (SessionKind::Ibgp, SessionKind::Ebgp),
];

/// ORIGIN is made by the speaker that originates the route, and "Its value SHOULD NOT be changed by any
/// other speaker" (RFC 4271 section 5.1.1).
#[test]
fn origin_is_that_of_the_originator() {
    for (from, to) in WAYS {
        for origin in [Origin::Igp, Origin::Egp, Origin::Incomplete] {
            let mut rib = between(from, to);
            let learned = PathAttributes {
                origin,
                ..attrs(&[65001], 1)
            };
            rib.learn(1, LEARNED, learned);
            let (told, _) = rib.drain(2);
            assert_eq!(told[&p(LEARNED)].origin, origin, "{from:?} to {to:?}");
        }
    }
    let mut rib = between(SessionKind::Ebgp, SessionKind::Ebgp);
    rib.originate(OURS, origination(vec![advertise(PeerSelector::All)]));
    assert_eq!(rib.drain(2).0[&p(OURS)].origin, Origin::Igp);
}

/// RFC 4271 sections 5.1.6 and 5.1.7, RFC 1997, RFC 4360 section 2, RFC 8092 section 3, RFC 8326 section
/// 4.3: of all these a speaker that passes the route on takes nothing away.
#[test]
fn what_says_where_a_route_has_been_stays_on_it() {
    // Of types that nobody knows, too: all of them transitive across ASes.
    let extended = [
        ExtendedCommunity([0x00, 2, 0, 0, 0, 0, 0, 1]),
        ExtendedCommunity([0x06, 3, 9, 8, 7, 6, 5, 4]),
        ExtendedCommunity([0x3e, 0xff, 1, 2, 3, 4, 5, 6]),
        ExtendedCommunity([0x83, 0, 0, 0, 0, 0, 0, 0]),
    ];
    let unknown = UnknownAttribute {
        flags: 0xe0,
        code: 99,
        value: [1, 2, 3].into(),
    };
    let learned = PathAttributes {
        atomic_aggregate: true,
        aggregator: Some(Aggregator {
            asn: Asn(4_200_000_001),
            addr: Ipv4Addr::new(192, 0, 2, 77),
        }),
        communities: [Community::new(64500, 1), Community::GRACEFUL_SHUTDOWN].into(),
        extended_communities: extended.into(),
        large_communities: [LargeCommunity {
            global: 1,
            local1: 2,
            local2: 3,
        }]
        .into(),
        unknown: [unknown].into(),
        ..attrs(&[65001], 1)
    };
    for (from, to) in WAYS {
        let mut rib = between(from, to);
        rib.learn(1, LEARNED, learned.clone());
        let (told, _) = rib.drain(2);
        let way = format!("{from:?} to {to:?}");
        let told = &told[&p(LEARNED)];
        assert!(told.atomic_aggregate, "{way}");
        assert_eq!(told.aggregator, learned.aggregator, "{way}");
        assert_eq!(told.communities, learned.communities, "{way}");
        assert_eq!(*told.extended_communities, extended, "{way}");
        assert_eq!(told.large_communities, learned.large_communities, "{way}");
        assert_eq!(told.unknown, learned.unknown, "{way}");
    }
}

/// "[N]ewly unfeasible routes for which there is no replacement route SHALL be advertised to its peers
/// by means of an UPDATE message" (RFC 4271 section 9.2): the route that replaces the one that they were
/// told is one that nobody may use.
#[test]
fn an_unfeasible_route_in_place_of_a_feasible_one_is_withdrawn_from_peers() {
    let looped = attrs(&[65001, 64512, 3], 1);
    let ours = attrs(&[65001], 100);
    let unreachable = attrs(&[65001], 99);
    for unfeasible in [looped, ours, unreachable] {
        let mut rib = between(SessionKind::Ebgp, SessionKind::Ebgp);
        rib.learn(1, LEARNED, attrs(&[65001], 1));
        assert_eq!(rib.drain(2).0.len(), 1);
        rib.learn(1, LEARNED, unfeasible.clone());
        let gone = (BTreeMap::new(), [p(LEARNED)].into());
        assert_eq!(rib.drain(2), gone, "{unfeasible:?}");
        // And told again once it can be used.
        rib.learn(1, LEARNED, attrs(&[65001], 1));
        assert_eq!(rib.drain(2).0.len(), 1);
    }
}

/// The next hop that goes away makes a route unfeasible without a word of the peer that sent it.
#[test]
fn a_route_whose_next_hop_is_lost_is_withdrawn_from_peers() {
    let mut rib = between(SessionKind::Ebgp, SessionKind::Ibgp);
    rib.learn(1, LEARNED, attrs(&[65001], 1));
    assert_eq!(rib.drain(2).0.len(), 1);
    rib.resolve(&Links::default());
    assert_eq!(rib.drain(2).1, [p(LEARNED)].into());
}
