//! Rules that are off unless asked for: MED removed, next hops from elsewhere, sessions about to be
//! shut down, route servers. Each takes effect while the session is up.

use redstart_bgp::types::Community;

use super::{
    bent::{ROUTE, passed_on, refusal, with_rules},
    *,
};
use crate::{export::Withheld, import::Refusal};

/// A peer with rules that differ from the default in what `change` does.
fn ruled(change: impl FnOnce(&mut PeerRules), n: u8) -> PeerInfo {
    with_rules(rules(change), n)
}

fn rules(change: impl FnOnce(&mut PeerRules)) -> PeerRules {
    let mut rules = PeerRules::default();
    change(&mut rules);
    rules
}

fn with_med(path: &[u32], n: u8, med: u32) -> PathAttributes {
    PathAttributes {
        med: Some(med),
        ..attrs(path, n)
    }
}

#[test]
fn med_is_removed_before_the_decision_and_from_what_is_passed_on() {
    // Two routers of one AS: by MED the second would win, by address the first does.
    let mut rib = rib(&[
        (1, same_as(1)),
        (2, same_as(2)),
        (3, transit(SessionKind::Ibgp, 3)),
    ]);
    rib.learn(1, ROUTE, with_med(&[65001], 1, 20));
    rib.learn(2, ROUTE, with_med(&[65001], 2, 10));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    assert_eq!(rib.drain(3).0[&p(ROUTE)].med, Some(10));

    let removed = rules(|rules| rules.remove_med = true);
    for peer in [1, 2] {
        rib.update_rules(PeerId(peer), removed);
    }
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    assert_eq!(rib.drain(3).0[&p(ROUTE)].med, None);

    for peer in [1, 2] {
        rib.update_rules(PeerId(peer), PeerRules::default());
    }
    assert_eq!(rib.best_peer(ROUTE), Some(2), "nothing is lost");
    assert_eq!(rib.drain(3).0[&p(ROUTE)].med, Some(10));
}

/// The route changes for who is told of it, though it was and stays the best.
#[test]
fn a_removed_med_is_told_though_the_best_route_stays() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, transit(SessionKind::Ibgp, 2)),
    ]);
    rib.learn(1, ROUTE, with_med(&[65001], 1, 20));
    rib.drain(2);
    rib.update_rules(PeerId(1), rules(|rules| rules.remove_med = true));
    assert_eq!(rib.drain(2).0[&p(ROUTE)].med, None);
}

#[test]
fn the_next_hop_of_a_direct_neighbour_is_on_the_subnet_of_the_session() {
    let remote = Some(Refusal::RemoteNextHop);
    let direct = |kind| PeerInfo {
        subnet: Some(p("10.0.0.0/24")),
        ..info(kind, 1)
    };
    let by = |next_hop: NextHop| PathAttributes {
        next_hop: Some(next_hop),
        ..attrs(&[65001], 1)
    };
    let near = || by(NextHop::V4([10, 0, 0, 77].into()));
    let far = || by(NextHop::V4([172, 16, 0, 1].into()));
    assert_eq!(refusal(direct(SessionKind::Ebgp), near()), None);
    assert_eq!(refusal(direct(SessionKind::Ebgp), far()), remote);
    // Internal peers, and those that are further away, may name any.
    assert_eq!(refusal(direct(SessionKind::Ibgp), far()), None);
    let distant = PeerInfo {
        subnet: Some(p("10.9.0.0/24")),
        ..info(SessionKind::Ebgp, 1)
    };
    assert_eq!(refusal(distant, far()), None);
    assert_eq!(refusal(info(SessionKind::Ebgp, 1), far()), None);
    let allowed = PeerInfo {
        rules: rules(|rules| rules.remote_next_hops = true),
        ..direct(SessionKind::Ebgp)
    };
    assert_eq!(refusal(allowed, far()), None);
    // Of the other family nothing is known of what is shared.
    let v6 = by(NextHop::V6("2001:db8::1".parse().unwrap()));
    assert_eq!(refusal(direct(SessionKind::Ebgp), v6), None);
}

#[test]
fn a_link_local_next_hop_is_always_on_the_link() {
    let direct = |remote: &str, subnet: &str| PeerInfo {
        remote_addr: ip(remote),
        subnet: Some(p(subnet)),
        ..info(SessionKind::Ebgp, 1)
    };
    let by = |next_hop| PathAttributes {
        next_hop: Some(next_hop),
        ..attrs(&[65001], 1)
    };
    let (global, link_local) = ("2001:db8:9::1".parse().unwrap(), "fe80::1".parse().unwrap());
    let both = NextHop::V6LinkLocal { global, link_local };
    let session = || direct("2001:db8::1", "2001:db8::/64");
    assert_eq!(refusal(session(), by(both)), None);
    let alone = by(NextHop::V6(global));
    assert_eq!(
        refusal(session(), alone.clone()),
        Some(Refusal::RemoteNextHop)
    );
    // A session between link-local addresses says nothing about global ones.
    assert_eq!(refusal(direct("fe80::1", "fe80::/64"), alone), None);
}

/// RFC 8326 sections 4.1 and 4.2, of a session that is about to be shut down.
#[test]
fn a_session_that_will_be_shut_down_is_the_last_choice_on_both_sides() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
        (3, transit(SessionKind::Ibgp, 3)),
    ]);
    rib.originate(
        "10.244.1.0/24",
        origination(vec![advertise(PeerSelector::All)]),
    );
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    for peer in [1, 3] {
        rib.drain(peer);
    }
    let leaving = rules(|rules| rules.graceful_shutdown = true);
    let shutdown = Community::GRACEFUL_SHUTDOWN;

    // Towards the neighbour: the community, on what it has already.
    rib.update_rules(PeerId(1), leaving);
    let (told, gone) = rib.drain(1);
    assert!(gone.is_empty() && told[&p("10.244.1.0/24")].has_community(shutdown));
    assert_eq!(told[&p("10.244.1.0/24")].local_pref, None);
    // From the neighbour: LOCAL_PREF 0, and the others are told why.
    let (told, _) = rib.drain(3);
    assert_eq!(told[&p(ROUTE)].local_pref, Some(0));
    assert!(told[&p(ROUTE)].has_community(shutdown));
    rib.learn(2, ROUTE, attrs(&[65002, 7, 8, 9], 2));
    assert_eq!(rib.best_peer(ROUTE), Some(2));

    // Within the AS, LOCAL_PREF says it too.
    rib.update_rules(PeerId(3), leaving);
    let (told, _) = rib.drain(3);
    let own = &told[&p("10.244.1.0/24")];
    assert!(own.has_community(shutdown));
    assert_eq!(own.local_pref, Some(0));

    // It stays after all: all is as before.
    rib.update_rules(PeerId(1), PeerRules::default());
    rib.update_rules(PeerId(3), PeerRules::default());
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    assert!(rib.drain(1).0[&p("10.244.1.0/24")].communities.is_empty());
    let (told, _) = rib.drain(3);
    assert!(told[&p(ROUTE)].communities.is_empty());
    assert_eq!(told[&p(ROUTE)].local_pref, Some(100));
}

#[test]
fn graceful_shutdown_from_outside_can_be_ignored_and_heeded_again() {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    let leaving = PathAttributes {
        communities: [Community::GRACEFUL_SHUTDOWN].into(),
        ..attrs(&[65001], 1)
    };
    rib.learn(1, ROUTE, leaving);
    let preference = |rib: &Rib| {
        let route = rib.lookup(p(ROUTE)).unwrap();
        route.paths[0].attrs.effective_local_pref()
    };
    assert_eq!(preference(&rib), 0);
    let ignored = rules(|rules| rules.ignore_graceful_shutdown = true);
    rib.update_rules(PeerId(1), ignored);
    assert_eq!(preference(&rib), 100);
    rib.update_rules(PeerId(1), PeerRules::default());
    assert_eq!(preference(&rib), 0);
    assert_eq!(rib.attribute_sets(), 1, "what was replaced is let go");
}

/// RFC 7947 sections 2.2.1 to 2.2.4.
#[test]
fn a_route_server_leaves_routes_as_they_came() {
    let client = |n| ruled(|rules| rules.route_server_client = true, n);
    let sent = PathAttributes {
        communities: [Community::NO_EXPORT, Community::NO_ADVERTISE].into(),
        ..with_med(&[65001, 7], 1, 30)
    };
    let told = passed_on(client(1), client(2), sent.clone());
    assert_eq!(told, Ok(sent.clone()));
    // Who is no client is told in the ordinary way, or not at all.
    let ordinary = passed_on(client(1), transit(SessionKind::Ebgp, 2), sent);
    assert_eq!(ordinary, Err(Withheld::NoAdvertise));
    let told = passed_on(
        client(1),
        transit(SessionKind::Ebgp, 2),
        with_med(&[65001, 7], 1, 30),
    );
    let told = told.unwrap();
    assert_eq!(told.as_path.to_string(), "64512 65001 7");
    assert_eq!(told.med, None);
}

#[test]
fn what_a_route_server_says_for_itself_has_its_own_as() {
    let mut rib = rib(&[(1, ruled(|rules| rules.route_server_client = true, 1))]);
    rib.originate(ROUTE, origination(vec![advertise(PeerSelector::All)]));
    let (told, _) = rib.drain(1);
    assert_eq!(told[&p(ROUTE)].as_path.to_string(), "64512");
}

/// RFC 8950 section 5: who is not to change a next hop, and cannot say it, does not tell the route.
#[test]
fn a_next_hop_that_must_stay_and_cannot_is_not_told() {
    let v6 = PathAttributes {
        next_hop: Some(NextHop::V6("2001:db8::7".parse().unwrap())),
        ..attrs(&[65001], 1)
    };
    let told = |from: PeerInfo, to: PeerInfo| {
        let mut rib = rib(&[(1, from), (2, to)]);
        rib.announce(PeerId(1), &v6, &nlri(ROUTE));
        rib.resolve_pending(&Anywhere);
        rib.explain_export(PeerId(2), p(ROUTE))
            .decision
            .map(|attrs| attrs.next_hop)
    };
    let unchanged = || ruled(|rules| rules.next_hop = NextHopRule::Unchanged, 2);
    let from = || info(SessionKind::Ebgp, 1);
    assert_eq!(told(from(), unchanged()), Err(Withheld::UnusableNextHop));
    let asked = PeerInfo {
        extended_next_hop: true,
        ..unchanged()
    };
    assert_eq!(told(from(), asked), Ok(v6.next_hop));
    // Likewise what is reflected to a client.
    let client = PeerInfo {
        rules: rules(|rules| rules.client = true),
        ..info(SessionKind::Ibgp, 2)
    };
    let reflected = told(info(SessionKind::Ibgp, 1), client);
    assert_eq!(reflected, Err(Withheld::UnusableNextHop));
}

/// We are in AS 64999, and the peer knows us by 64512 as ever.
fn migrated(n: u8, change: impl FnOnce(&mut PeerRules)) -> PeerInfo {
    PeerInfo {
        own_as: Asn(64999),
        local_as: Asn(64512),
        ..ruled(change, n)
    }
}

#[test]
fn the_peer_may_see_the_as_that_we_are_in_behind_the_one_that_it_knows() {
    let told = |to| {
        let attrs = passed_on(ruled(|_| {}, 1), to, attrs(&[65001], 1)).unwrap();
        attrs.as_path.to_string()
    };
    assert_eq!(told(migrated(2, |_| {})), "64512 65001");
    let both = |rules: &mut PeerRules| rules.own_as_sent = true;
    assert_eq!(told(migrated(2, both)), "64512 64999 65001");
    // With one number there is nothing to add.
    let same = PeerInfo {
        own_as: Asn(64512),
        ..migrated(2, both)
    };
    assert_eq!(told(same), "64512 65001");
}

#[test]
fn the_as_that_a_peer_knows_us_by_may_count_as_one_on_the_way() {
    let received = |rules: &mut PeerRules| rules.local_as_received = true;
    let told = |change: fn(&mut PeerRules)| {
        let attrs = passed_on(
            migrated(1, change),
            transit(SessionKind::Ibgp, 2),
            attrs(&[65001], 1),
        );
        attrs.unwrap().as_path.to_string()
    };
    assert_eq!(told(|_| {}), "65001");
    assert_eq!(told(received), "64512 65001");

    // It takes effect in the decision too, and while the session is up.
    let mut rib = rib(&[(1, migrated(1, |_| {})), (2, info(SessionKind::Ebgp, 2))]);
    rib.learn(1, ROUTE, attrs(&[65001], 1));
    rib.learn(2, ROUTE, attrs(&[65002], 2));
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    rib.update_rules(PeerId(1), rules(received));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    rib.update_rules(PeerId(1), PeerRules::default());
    assert_eq!(rib.best_peer(ROUTE), Some(1));
}
