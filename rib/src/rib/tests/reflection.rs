//! Route reflection (RFC 4456), one rule each.

use redstart_bgp::types::Community;

use super::*;
use crate::{export::Withheld, import::Refusal};

const ROUTE: &str = "203.0.113.0/24";

/// An internal peer that is our client.
fn client(n: u8) -> PeerInfo {
    let rules = PeerRules {
        client: true,
        ..PeerRules::default()
    };
    PeerInfo {
        rules,
        ..info(SessionKind::Ibgp, n)
    }
}

fn non_client(n: u8) -> PeerInfo {
    info(SessionKind::Ibgp, n)
}

/// Clients 1 and 2, non-clients 3 and 4, an external peer 5; nobody has asked for transit.
fn reflector() -> Rib {
    rib(&[
        (1, client(1)),
        (2, client(2)),
        (3, non_client(3)),
        (4, non_client(4)),
        (5, info(SessionKind::Ebgp, 5)),
    ])
}

fn told(rib: &mut Rib, prefix: &str) -> Vec<u32> {
    let holds = |peer: &u32| rib.told(PeerId(*peer), p(prefix)).is_some();
    (1..=5).filter(holds).collect()
}

fn drain_all(rib: &mut Rib) {
    for peer in 1..=5 {
        rib.drain(peer);
    }
}

#[test]
fn a_route_from_a_client_goes_to_every_other_internal_peer() {
    let mut rib = reflector();
    rib.learn(1, ROUTE, attrs(&[9], 7));
    drain_all(&mut rib);
    assert_eq!(told(&mut rib, ROUTE), [2, 3, 4]);
}

#[test]
fn a_route_from_a_non_client_goes_to_the_clients_only() {
    let mut rib = reflector();
    rib.learn(3, ROUTE, attrs(&[9], 7));
    drain_all(&mut rib);
    assert_eq!(told(&mut rib, ROUTE), [1, 2]);
    let why = rib.explain_export(PeerId(4), p(ROUTE)).decision;
    assert_eq!(why, Err(Withheld::NoTransit));
}

#[test]
fn reflection_marks_the_route_and_changes_nothing_else() {
    let mut rib = reflector();
    let sent = PathAttributes {
        med: Some(5),
        local_pref: Some(77),
        communities: [Community::new(1, 1)].into(),
        ..attrs(&[9, 8], 7)
    };
    rib.learn(1, ROUTE, sent.clone());
    let reflected = PathAttributes {
        originator_id: Some(client(1).router_id),
        cluster_list: [client(1).local_router_id.0.to_bits()].into(),
        ..sent
    };
    assert_eq!(*rib.drain(3).0[&p(ROUTE)], reflected);
}

#[test]
fn an_originator_id_stays_and_the_cluster_list_grows() {
    let mut rib = reflector();
    let originator = Some(RouterId(Ipv4Addr::new(192, 0, 2, 77)));
    let sent = PathAttributes {
        originator_id: originator,
        cluster_list: [40, 30].into(),
        ..attrs(&[], 7)
    };
    rib.learn(3, ROUTE, sent);
    let (told, _) = rib.drain(1);
    let told = &told[&p(ROUTE)];
    assert_eq!(told.originator_id, originator);
    let own = client(1).local_router_id.0.to_bits();
    assert_eq!(*told.cluster_list, [own, 40, 30]);
}

#[test]
fn a_cluster_id_may_be_configured_and_is_checked() {
    let mut rib = reflector();
    let rules = PeerRules {
        cluster_id: Some(4242),
        ..client(1).rules
    };
    rib.update_rules(PeerId(1), rules);
    rib.learn(3, ROUTE, attrs(&[], 7));
    assert_eq!(*rib.drain(1).0[&p(ROUTE)].cluster_list, [4242]);
    let looped = PathAttributes {
        cluster_list: [1, 4242].into(),
        ..attrs(&[], 7)
    };
    let outcome = rib.learn(1, "198.51.100.0/24", looped);
    assert_eq!(outcome.refused.get(Refusal::ClusterLoop), 1);
}

#[test]
fn a_route_is_not_reflected_to_its_originator() {
    let mut rib = reflector();
    let sent = PathAttributes {
        originator_id: Some(client(2).router_id),
        ..attrs(&[], 7)
    };
    rib.learn(1, ROUTE, sent);
    drain_all(&mut rib);
    assert_eq!(told(&mut rib, ROUTE), [3, 4]);
    let why = rib.explain_export(PeerId(2), p(ROUTE)).decision;
    assert_eq!(why, Err(Withheld::Originator));
}

#[test]
fn a_route_is_not_reflected_to_its_next_hop() {
    let mut rib = reflector();
    rib.learn(1, ROUTE, attrs(&[], 2));
    drain_all(&mut rib);
    assert_eq!(told(&mut rib, ROUTE), [3, 4]);
    let why = rib.explain_export(PeerId(2), p(ROUTE)).decision;
    assert_eq!(why, Err(Withheld::PeerIsNextHop));
}

#[test]
fn next_hop_self_is_not_for_what_is_reflected() {
    let mut rib = reflector();
    let rules = PeerRules {
        next_hop: NextHopRule::Own,
        ..client(2).rules
    };
    rib.update_rules(PeerId(2), rules);
    rib.learn(1, ROUTE, attrs(&[], 7));
    let (told, _) = rib.drain(2);
    assert_eq!(told[&p(ROUTE)].next_hop, attrs(&[], 7).next_hop);
}

#[test]
fn no_export_is_reflected_and_no_advertise_is_not() {
    let mut rib = reflector();
    let with = |community| PathAttributes {
        communities: [community].into(),
        ..attrs(&[], 7)
    };
    rib.learn(1, ROUTE, with(Community::NO_EXPORT));
    drain_all(&mut rib);
    assert_eq!(told(&mut rib, ROUTE), [2, 3, 4]);
    rib.learn(1, ROUTE, with(Community::NO_ADVERTISE));
    drain_all(&mut rib);
    assert_eq!(told(&mut rib, ROUTE), [0_u32; 0]);
}

/// Nothing is reset for it, and nobody is asked to say anything again.
#[test]
fn who_is_a_client_may_change_at_any_time() {
    let mut rib = rib(&[(1, non_client(1)), (2, non_client(2))]);
    rib.learn(1, ROUTE, attrs(&[], 7));
    assert!(rib.drain(2).0.is_empty());
    rib.update_rules(PeerId(1), client(1).rules);
    assert_eq!(rib.drain(2).0.len(), 1);
    rib.update_rules(PeerId(1), PeerRules::default());
    assert_eq!(rib.drain(2).1, [p(ROUTE)].into());
}

#[test]
fn what_a_client_sent_is_reflected_for_as_long_as_it_is_kept() {
    let mut rib = reflector();
    rib.learn(1, ROUTE, attrs(&[], 7));
    rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
    drain_all(&mut rib);
    assert_eq!(told(&mut rib, ROUTE), [2, 3, 4]);
    rib.sweep_stale(PeerId(1), None);
    drain_all(&mut rib);
    assert_eq!(told(&mut rib, ROUTE), [0_u32; 0]);
}
