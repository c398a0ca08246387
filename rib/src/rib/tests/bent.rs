//! Rules that differ from peer to peer: roles, AS numbers, next hops, limits.

use redstart_bgp::types::{AsPathSegment, Community, Role, SegmentType};

use super::*;
use crate::{
    export::Withheld,
    import::Refusal,
    limit::{LimitState, PrefixLimit},
};

pub(super) const ROUTE: &str = "203.0.113.0/24";

fn with_role(role: Role, n: u8) -> PeerInfo {
    PeerInfo {
        role: Some(role),
        ..transit(SessionKind::Ebgp, n)
    }
}

pub(super) fn with_rules(rules: PeerRules, n: u8) -> PeerInfo {
    PeerInfo {
        rules,
        ..transit(SessionKind::Ebgp, n)
    }
}

/// So many IPv4 prefixes and no more, with a warning at so many percent of them.
fn limited(max: u32, warn_percent: u8) -> PeerRules {
    let limit = PrefixLimit { max, warn_percent };
    PeerRules {
        limits: [Some(limit), None],
        ..PeerRules::default()
    }
}

fn otc(path: &[u32], n: u8, otc: u32) -> PathAttributes {
    PathAttributes {
        otc: Some(Asn(otc)),
        ..attrs(path, n)
    }
}

pub(super) fn refusal(info: PeerInfo, attrs: PathAttributes) -> Option<Refusal> {
    let mut rib = rib(&[(1, info)]);
    let outcome = rib.learn(1, ROUTE, attrs);
    outcome.refused.iter().next().map(|(reason, _)| reason)
}

/// What peer 2 is told of a route of peer 1.
pub(super) fn passed_on(
    from: PeerInfo,
    to: PeerInfo,
    attrs: PathAttributes,
) -> Result<PathAttributes, Withheld> {
    let mut rib = rib(&[(1, from), (2, to)]);
    rib.learn(1, ROUTE, attrs);
    let decision = rib.explain_export(PeerId(2), p(ROUTE)).decision;
    decision.map(|attrs| PathAttributes::clone(&attrs))
}

#[test]
fn a_leak_is_refused() {
    let leak = Some(Refusal::RouteLeak);
    // From a customer, or a client of our route server, whatever its value.
    for ours in [Role::Provider, Role::RouteServer] {
        assert_eq!(refusal(with_role(ours, 1), otc(&[65001], 1, 65001)), leak);
        assert_eq!(refusal(with_role(ours, 1), attrs(&[65001], 1)), None);
    }
    // From a peer, unless it is the peer's own.
    assert_eq!(refusal(with_role(Role::Peer, 1), otc(&[65001], 1, 7)), leak);
    assert_eq!(
        refusal(with_role(Role::Peer, 1), otc(&[65001], 1, 65001)),
        None
    );
    // From a provider or a route server it is what to expect; without a role it means nothing.
    for ours in [Role::Customer, Role::RouteServerClient] {
        assert_eq!(refusal(with_role(ours, 1), otc(&[65001], 1, 7)), None);
    }
    assert_eq!(
        refusal(info(SessionKind::Ebgp, 1), otc(&[65001], 1, 7)),
        None
    );
}

#[test]
fn what_comes_from_above_or_beside_is_marked_on_receipt() {
    let kept = |role: Option<Role>, sent| {
        let info = PeerInfo {
            role,
            ..info(SessionKind::Ebgp, 1)
        };
        let mut rib = rib(&[(1, info)]);
        rib.learn(1, ROUTE, sent);
        rib.lookup(p(ROUTE)).unwrap().paths[0]
            .attrs
            .otc
            .map(|asn| asn.0)
    };
    for ours in [Role::Customer, Role::Peer, Role::RouteServerClient] {
        assert_eq!(kept(Some(ours), attrs(&[65001], 1)), Some(65001), "{ours}");
    }
    for ours in [Some(Role::Provider), Some(Role::RouteServer), None] {
        assert_eq!(kept(ours, attrs(&[65001], 1)), None);
    }
    // Once it is there it must be preserved (RFC 9234 section 5).
    assert_eq!(kept(Some(Role::Customer), otc(&[65001], 1, 7)), Some(7));
}

#[test]
fn what_is_for_customers_only_goes_to_customers_only() {
    let from = || info(SessionKind::Ebgp, 1);
    for ours in [Role::Customer, Role::Peer, Role::RouteServerClient] {
        let told = passed_on(from(), with_role(ours, 2), otc(&[65001], 1, 7));
        assert_eq!(told, Err(Withheld::OnlyToCustomer), "{ours}");
    }
    for ours in [Role::Provider, Role::RouteServer] {
        let told = passed_on(from(), with_role(ours, 2), otc(&[65001], 1, 7)).unwrap();
        assert_eq!(told.otc, Some(Asn(7)), "preserved");
    }
    let told = passed_on(from(), transit(SessionKind::Ibgp, 2), otc(&[65001], 1, 7)).unwrap();
    assert_eq!(told.otc, Some(Asn(7)), "within the AS it is just carried");
}

#[test]
fn what_goes_down_or_beside_is_marked_on_its_way_out() {
    let marked = |ours| {
        let from = info(SessionKind::Ebgp, 1);
        let told = passed_on(from, with_role(ours, 2), attrs(&[65001], 1)).unwrap();
        told.otc
    };
    for ours in [Role::Provider, Role::Peer, Role::RouteServer] {
        assert_eq!(marked(ours), Some(LOCAL_AS), "{ours}");
    }
    for ours in [Role::Customer, Role::RouteServerClient] {
        assert_eq!(marked(ours), None, "{ours}");
    }
    let mut rib = rib(&[(1, with_role(Role::Provider, 1))]);
    rib.originate(ROUTE, origination(vec![advertise(PeerSelector::All)]));
    assert_eq!(rib.drain(1).0[&p(ROUTE)].otc, Some(LOCAL_AS), "our own too");
}

#[test]
fn our_own_as_may_be_allowed_in_a_path_some_times() {
    let info = |own_as_allowed| {
        with_rules(
            PeerRules {
                own_as_allowed,
                ..PeerRules::default()
            },
            1,
        )
    };
    let path = attrs(&[65001, 64512, 7, 64512], 1);
    assert_eq!(refusal(info(1), path.clone()), Some(Refusal::AsLoop));
    assert_eq!(refusal(info(2), path), None);
}

/// The number that the peer sees, and the one that we have: both are ours.
#[test]
fn with_a_local_as_both_numbers_are_loops_and_the_shown_one_is_prepended() {
    let shown = |n| PeerInfo {
        local_as: Asn(64999),
        ..transit(SessionKind::Ebgp, n)
    };
    for own in [64999, 64512] {
        let looped = attrs(&[65001, own], 1);
        assert_eq!(refusal(shown(1), looped), Some(Refusal::AsLoop));
    }
    let told = passed_on(info(SessionKind::Ebgp, 1), shown(2), attrs(&[65001], 1)).unwrap();
    assert_eq!(told.as_path.to_string(), "64999 65001");
}

fn with_segment(kind: SegmentType, n: u8) -> PathAttributes {
    let mut attrs = attrs(&[65000 + u32::from(n), 5], n);
    attrs.as_path.segments.push(AsPathSegment {
        kind,
        asns: [Asn(6), Asn(7)].into_iter().collect(),
    });
    attrs
}

fn with_set(n: u8) -> PathAttributes {
    with_segment(SegmentType::Set, n)
}

/// Both kinds of sets, from an external peer and an internal one.
fn sets() -> impl Iterator<Item = (SessionKind, SegmentType)> {
    let kinds = [SessionKind::Ebgp, SessionKind::Ibgp];
    let sets = [SegmentType::Set, SegmentType::ConfedSet];
    kinds
        .into_iter()
        .flat_map(move |kind| sets.map(|set| (kind, set)))
}

#[test]
fn paths_with_sets_are_refused_unless_allowed() {
    for (kind, set) in sets() {
        let refused = refusal(info(kind, 1), with_segment(set, 1));
        assert_eq!(refused, Some(Refusal::AsSet), "{kind:?} {set:?}");
    }
    let allowed = PeerRules {
        as_sets: true,
        ..PeerRules::default()
    };
    assert_eq!(refusal(with_rules(allowed, 1), with_set(1)), None);
}

#[test]
fn paths_with_sets_are_not_sent_unless_allowed() {
    let allowed = PeerRules {
        as_sets: true,
        ..PeerRules::default()
    };
    let from = || with_rules(allowed, 1);
    for (kind, set) in sets() {
        let told = passed_on(from(), transit(kind, 2), with_segment(set, 1));
        assert_eq!(told, Err(Withheld::AsSet), "{kind:?} {set:?}");
    }
    assert!(passed_on(from(), with_rules(allowed, 2), with_set(1)).is_ok());
    let refused = passed_on(
        info(SessionKind::Ebgp, 1),
        with_rules(allowed, 2),
        with_set(1),
    );
    assert_eq!(refused, Err(Withheld::NoRoute));
}

#[test]
fn private_as_numbers_can_be_removed_towards_the_outside() {
    let rules = PeerRules {
        remove_private_as: true,
        ..PeerRules::default()
    };
    let path = attrs(&[65001, 3, 4_200_000_000, 64600], 1);
    let told = |to| passed_on(info(SessionKind::Ebgp, 1), to, path.clone()).unwrap();
    assert_eq!(told(with_rules(rules, 2)).as_path.to_string(), "64512 3");
    let internal = PeerInfo {
        rules,
        ..transit(SessionKind::Ibgp, 2)
    };
    assert_eq!(told(internal).as_path, path.as_path);
    // Nothing but private ones: an empty segment is malformed (RFC 7606 section 7.2).
    let all_private = passed_on(
        info(SessionKind::Ebgp, 1),
        with_rules(rules, 2),
        attrs(&[65001], 1),
    );
    assert_eq!(all_private.unwrap().as_path.to_string(), "64512");
}

#[test]
fn graceful_shutdown_from_outside_makes_a_route_the_least_preferred() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
        (3, transit(SessionKind::Ibgp, 3)),
    ]);
    let leaving = PathAttributes {
        communities: [Community::GRACEFUL_SHUTDOWN].into(),
        ..attrs(&[65001], 1)
    };
    rib.learn(1, ROUTE, leaving);
    let (told, _) = rib.drain(3);
    assert_eq!(told[&p(ROUTE)].local_pref, Some(0));
    assert!(told[&p(ROUTE)].has_community(Community::GRACEFUL_SHUTDOWN));
    rib.learn(2, ROUTE, attrs(&[65002, 7, 8, 9], 2));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
}

/// RFC 4271 section 5.1.3, by rule, kind of peer and place of the next hop.
#[test]
fn next_hops_of_what_is_passed_on() {
    use NextHopRule::{Own, Standard, ThirdParty, Unchanged};
    let (near, far, ours) = ("10.0.0.7", "172.16.0.7", "10.0.0.100");
    #[rustfmt::skip]
    let rows = [
        (Standard,   SessionKind::Ebgp, near, ours),
        (Standard,   SessionKind::Ibgp, near, near),
        (Own,        SessionKind::Ebgp, near, ours),
        (Own,        SessionKind::Ibgp, near, ours),
        (Unchanged,  SessionKind::Ebgp, far,  far),
        (Unchanged,  SessionKind::Ibgp, far,  far),
        (ThirdParty, SessionKind::Ebgp, near, near),
        (ThirdParty, SessionKind::Ebgp, far,  ours),
        (ThirdParty, SessionKind::Ibgp, far,  far),
    ];
    let links = Links([near, far].map(|addr| (ip(addr), 0)).into());
    for (rule, kind, received, expected) in rows {
        let to = PeerInfo {
            rules: PeerRules {
                next_hop: rule,
                ..PeerRules::default()
            },
            subnet: Some(p("10.0.0.0/24")),
            ..transit(kind, 2)
        };
        let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1)), (2, to)]);
        let sent = PathAttributes {
            next_hop: Some(NextHop::from(ip(received))),
            ..attrs(&[65001], 1)
        };
        rib.announce(PeerId(1), &sent, &nlri(ROUTE));
        rib.resolve_pending(&links);
        let told = rib.explain_export(PeerId(2), p(ROUTE)).decision.unwrap();
        let next_hop = told.next_hop.map(NextHop::addr);
        assert_eq!(next_hop, Some(ip(expected)), "{rule:?} {kind:?} {received}");
    }
}

/// RFC 4271 section 5.1.3: a route "SHALL NOT be advertised to a peer using an address of that peer as
/// NEXT_HOP", whichever rule would leave it there.
#[test]
fn no_peer_is_told_a_route_that_leads_through_itself() {
    use NextHopRule::{Own, Standard, ThirdParty, Unchanged};
    let ours = Ok(info(SessionKind::Ebgp, 2).next_hop_self.v4);
    let itself = Err(Withheld::PeerIsNextHop);
    for (rule, kind, expected) in [
        (Standard, SessionKind::Ebgp, ours),
        (Standard, SessionKind::Ibgp, itself),
        (Own, SessionKind::Ibgp, ours),
        (Unchanged, SessionKind::Ebgp, itself),
        (Unchanged, SessionKind::Ibgp, itself),
        (ThirdParty, SessionKind::Ebgp, itself),
        (ThirdParty, SessionKind::Ibgp, itself),
    ] {
        let rules = PeerRules {
            next_hop: rule,
            ..PeerRules::default()
        };
        let to = PeerInfo {
            rules,
            subnet: Some(p("10.0.0.0/24")),
            ..transit(kind, 2)
        };
        let through_it = attrs(&[65001], 2);
        let told = passed_on(info(SessionKind::Ebgp, 1), to, through_it);
        let next_hop = told.map(|attrs| attrs.next_hop);
        assert_eq!(next_hop, expected, "{rule:?} {kind:?}");
    }
}

#[test]
fn a_next_hop_that_the_peer_cannot_use_is_not_kept() {
    let global = "2001:db8::7".parse().unwrap();
    let link_local = "fe80::7".parse().unwrap();
    let both = NextHop::V6LinkLocal { global, link_local };
    let own_v6 = info(SessionKind::Ibgp, 2).next_hop_self.v6;
    let own_v4 = info(SessionKind::Ibgp, 2).next_hop_self.v4;
    #[rustfmt::skip]
    let rows = [
        ("2001:db8:1::/48", both,                    false, Some(NextHop::V6(global))),
        ("2001:db8:1::/48", NextHop::V6(link_local), false, own_v6),
        (ROUTE,             NextHop::V6(global),     false, own_v4),
        (ROUTE,             NextHop::V6(global),     true,  Some(NextHop::V6(global))),
    ];
    for (prefix, received, extended_next_hop, expected) in rows {
        let to = PeerInfo {
            extended_next_hop,
            ..transit(SessionKind::Ibgp, 2)
        };
        let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1)), (2, to)]);
        let sent = PathAttributes {
            next_hop: Some(received),
            ..attrs(&[65001], 1)
        };
        rib.announce(PeerId(1), &sent, &nlri(prefix));
        rib.resolve_pending(&Anywhere);
        let told = rib.explain_export(PeerId(2), p(prefix)).decision.unwrap();
        assert_eq!(told.next_hop, expected, "{prefix} by {received}");
    }
}

#[test]
fn a_limit_warns_then_is_exceeded_and_counts_what_was_refused() {
    let rules = limited(4, 75);
    let mut rib = rib(&[(1, with_rules(rules, 1))]);
    let state = |rib: &mut Rib, i: u8, path: &[u32]| {
        rib.learn(1, &format!("203.0.{i}.0/24"), attrs(path, 1))
            .limit
    };
    assert_eq!(state(&mut rib, 1, &[65001]), LimitState::Within);
    assert_eq!(
        state(&mut rib, 2, &[65001, 64512]),
        LimitState::Within,
        "refused, counted"
    );
    assert_eq!(state(&mut rib, 3, &[65001]), LimitState::Warning);
    assert_eq!(
        state(&mut rib, 3, &[65001, 9]),
        LimitState::Warning,
        "the same prefix"
    );
    assert_eq!(state(&mut rib, 4, &[65001]), LimitState::Warning);
    assert_eq!(state(&mut rib, 5, &[65001]), LimitState::Exceeded);
    // The other family has none.
    assert_eq!(
        rib.limit_state(PeerId(1), Family::Ipv6Unicast),
        LimitState::Within
    );
    rib.withdraw(PeerId(1), &list(&[p("203.0.4.0/24"), p("203.0.5.0/24")]));
    assert_eq!(
        rib.limit_state(PeerId(1), Family::Ipv4Unicast),
        LimitState::Warning
    );
    rib.update_rules(PeerId(1), PeerRules::default());
    assert_eq!(
        rib.limit_state(PeerId(1), Family::Ipv4Unicast),
        LimitState::Within
    );
}

#[test]
fn changed_rules_take_effect_without_a_refresh() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, transit(SessionKind::Ebgp, 2)),
    ]);
    rib.learn(1, ROUTE, with_set(1));
    assert_eq!(rib.best_peer(ROUTE), None);
    let allowed = PeerRules {
        as_sets: true,
        ..PeerRules::default()
    };
    rib.update_rules(PeerId(1), allowed);
    assert_eq!(rib.best_peer(ROUTE), Some(1));
    assert!(rib.drain(2).0.is_empty(), "not to be sent there yet");
    rib.update_rules(PeerId(2), allowed);
    assert_eq!(rib.drain(2).0.len(), 1);
    rib.update_rules(PeerId(2), allowed);
    assert!(!rib.has_updates(PeerId(2)), "nothing changed");
    rib.update_rules(
        PeerId(2),
        PeerRules {
            remove_private_as: true,
            ..allowed
        },
    );
    assert_eq!(
        rib.drain(2).0[&p(ROUTE)].as_path.to_string(),
        "64512 5 {6 7}"
    );
}

/// A neighbour that restarts may come back with other prefixes, or with other path identifiers: what is
/// kept of it until its End-of-RIB is not what it sends.
#[test]
fn routes_kept_over_a_restart_do_not_count_towards_a_limit() {
    let v4 = Family::Ipv4Unicast;
    let rules = limited(4, 75);
    // The same prefixes under other identifiers, or other prefixes.
    for add_path in [true, false] {
        let mut rib = rib(&[(1, with_rules(rules, 1))]);
        let send = |rib: &mut Rib, session: u8, i: u8| {
            let third = if add_path { i } else { 10 * session + i };
            let Prefix::V4(prefix) = p(&format!("203.0.{third}.0/24")) else {
                panic!();
            };
            let path_id = PathId(u32::from(session) * u32::from(add_path));
            let routes = NlriSet::V4(vec![Nlri { prefix, path_id }]);
            let attrs = attrs(&[65001], 1);
            rib.announce(PeerId(1), &attrs, &routes).limit
        };
        for i in 1..=4 {
            assert!(send(&mut rib, 1, i) < LimitState::Exceeded);
        }
        rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
        rib.peer_up(PeerId(1), with_rules(rules, 1)).unwrap();
        for (i, state) in (1..).zip([
            LimitState::Within,
            LimitState::Within,
            LimitState::Warning,
            LimitState::Warning,
        ]) {
            assert_eq!(send(&mut rib, 2, i), state, "{i}, add-path: {add_path}");
        }
        assert_eq!(rib.peer_counts(PeerId(1)).unwrap().stale, 4);
        rib.end_of_rib(PeerId(1), v4);
        assert_eq!(rib.limit_state(PeerId(1), v4), LimitState::Warning);
        assert_eq!(send(&mut rib, 2, 5), LimitState::Exceeded);
    }
}

/// Sessions that all end before the table is told do not make up a table that is not allowed.
#[test]
fn stale_routes_have_the_same_limit_for_themselves() {
    let rules = limited(2, 100);
    let mut rib = rib(&[(1, with_rules(rules, 1))]);
    let mut states = Vec::new();
    for session in 1..=3 {
        for i in 1..=2 {
            let prefix = format!("203.0.{}.0/24", 10 * session + i);
            states.push(rib.learn(1, &prefix, attrs(&[65001], 1)).limit);
        }
        rib.peer_down(PeerId(1), PeerDown::RetainStale(FamilySet::ALL));
        rib.retain_long_lived(PeerId(1), Family::Ipv4Unicast);
        rib.peer_up(PeerId(1), with_rules(rules, 1)).unwrap();
    }
    let within = LimitState::Within;
    let exceeded = LimitState::Exceeded;
    assert_eq!(states, [within, within, within, within, exceeded, exceeded]);
}
