//! Policies at work: what they change, what they stop, and who has to look again.

use redstart_bgp::types::Community;

use super::*;
use crate::{
    export::Withheld,
    import::Refusal,
    policy::{Between, Communities, PrefixRange, Program, SafeDefault, SetNextHop},
    rib::NotBest,
};

fn within(prefix: &str) -> Condition {
    Condition::Prefixes(vec![PrefixRange::within(p(prefix))])
}

fn import(rules: Vec<Rule>) -> PeerPolicies {
    PeerPolicies {
        import: Program::new(rules).into(),
        ..PeerPolicies::default()
    }
}

fn export(rules: Vec<Rule>) -> PeerPolicies {
    PeerPolicies {
        export: Program::new(rules).into(),
        ..PeerPolicies::default()
    }
}

/// A rule that sets safe defaults aside for a prefix.
fn overriding(prefix: &str, default: SafeDefault) -> Rule {
    Rule {
        overrides: [default].into_iter().collect(),
        ..rule([within(prefix)], [], Action::Accept)
    }
}

/// A router that is believed nothing that is not safe.
fn careful(n: u8) -> PeerInfo {
    PeerInfo {
        import: ImportPolicy::AllBut {
            refuse: BTreeSet::from([p("10.244.0.0/16")]).into(),
            default_route: false,
        },
        ..info(SessionKind::Ebgp, n)
    }
}

fn refused(rib: &Rib, prefix: &str) -> Option<Refusal> {
    match &rib.lookup(p(prefix))?.paths.first()?.not_best {
        Some(NotBest::Refused(refusal)) => Some(*refusal),
        _ => None,
    }
}

#[test]
fn each_safe_default_holds_until_a_rule_sets_it_aside_by_name() {
    let classes = [
        (
            "0.0.0.0/0",
            Refusal::DefaultRoute,
            SafeDefault::DefaultRoute,
        ),
        (
            "10.244.7.0/24",
            Refusal::Protected,
            SafeDefault::ClusterRanges,
        ),
        ("240.1.0.0/16", Refusal::Martian, SafeDefault::Martians),
    ];
    for (prefix, refusal, default) in classes {
        let mut rib = rib(&[(1, careful(1))]);
        rib.learn(1, prefix, attrs(&[65001], 1));
        assert_eq!(refused(&rib, prefix), Some(refusal), "without policies");
        // To accept everything is not to ask for it.
        let accept_all = vec![rule([], [], Action::Accept)];
        rib.update_chains(PeerId(1), import(accept_all));
        assert_eq!(refused(&rib, prefix), Some(refusal), "accepted in passing");
        // Another default set aside is not this one.
        let others = classes.iter().filter(|(_, _, other)| *other != default);
        let others = others.map(|(_, _, other)| overriding(prefix, *other));
        rib.update_chains(PeerId(1), import(others.collect()));
        assert_eq!(
            refused(&rib, prefix),
            Some(refusal),
            "another one set aside"
        );
        let asked = vec![overriding(prefix, default)];
        rib.update_chains(PeerId(1), import(asked.clone()));
        assert_eq!(rib.best_peer(prefix), Some(1), "{refusal} set aside");
        // What asks for it can still be rejected before.
        let rejected = [vec![rule([within(prefix)], [], Action::Reject)], asked].concat();
        rib.update_chains(PeerId(1), import(rejected));
        assert_eq!(refused(&rib, prefix), Some(Refusal::Policy));
    }
}

#[test]
fn a_node_of_the_mesh_speaks_for_itself_whatever_a_policy_says() {
    let mut rib = rib(&[(
        1,
        PeerInfo {
            import: ImportPolicy::Owner("n1".into()),
            ..info(SessionKind::Ibgp, 1)
        },
    )]);
    let all = [
        SafeDefault::DefaultRoute,
        SafeDefault::ClusterRanges,
        SafeDefault::Martians,
    ];
    let everything = Rule {
        overrides: all.into_iter().collect(),
        ..rule([], [], Action::Accept)
    };
    rib.update_chains(PeerId(1), import(vec![everything]));
    rib.learn(1, "10.244.2.0/24", attrs(&[], 1));
    assert_eq!(refused(&rib, "10.244.2.0/24"), Some(Refusal::NotAllowed));
}

#[test]
fn an_import_policy_changes_what_is_compared_and_the_next_one_begins_anew() {
    let mut rib = rib(&[(1, careful(1)), (2, careful(2))]);
    rib.learn(1, "203.0.113.0/24", attrs(&[65001], 1));
    rib.learn(2, "203.0.113.0/24", attrs(&[65002], 2));
    assert_eq!(rib.best_peer("203.0.113.0/24"), Some(1));
    let prefer = |number| import(vec![rule([], [Change::LocalPref(number)], Action::Next)]);
    rib.update_chains(PeerId(2), prefer(200));
    assert_eq!(rib.best_peer("203.0.113.0/24"), Some(2));
    rib.update_chains(PeerId(2), prefer(50));
    assert_eq!(rib.best_peer("203.0.113.0/24"), Some(1));
    // What the peer said is still known: nothing was asked of it.
    rib.update_chains(PeerId(2), PeerPolicies::default());
    let view = rib.lookup(p("203.0.113.0/24")).unwrap();
    assert!(
        view.paths
            .iter()
            .all(|path| path.attrs.local_pref.is_none())
    );
    rib.withdraw(PeerId(1), &nlri("203.0.113.0/24"));
    rib.withdraw(PeerId(2), &nlri("203.0.113.0/24"));
    assert_eq!(rib.attribute_sets(), 0);
}

#[test]
fn an_import_policy_can_repeat_the_neighbours_as_and_set_the_next_hop() {
    let mut rib = rib(&[(1, careful(1))]);
    let changes = [
        Change::Prepend(2),
        Change::NextHop(SetNextHop::Address(ip("10.0.0.9"))),
    ];
    rib.update_chains(PeerId(1), import(vec![rule([], changes, Action::Next)]));
    rib.learn(1, "203.0.113.0/24", attrs(&[65001, 7], 1));
    let view = rib.lookup(p("203.0.113.0/24")).unwrap();
    let best = view.best().unwrap();
    assert_eq!(best.attrs.as_path.to_string(), "65001 65001 65001 7");
    let gateways = &best.next_hop.as_ref().unwrap().as_ref().unwrap().gateways;
    assert_eq!(gateways[0].via, Some(ip("10.0.0.9")));
}

#[test]
fn a_rejected_route_names_the_rule() {
    let mut rib = rib(&[(1, careful(1))]);
    let number = |number, rule: Rule| Rule {
        source: RuleSource {
            number,
            ..rule.source
        },
        ..rule
    };
    let rules = vec![
        number(1, rule([], [Change::LocalPref(200)], Action::Next)),
        number(
            2,
            rule(
                [
                    within("203.0.113.0/24"),
                    Condition::LocalPref(crate::policy::Between { min: 200, max: 200 }),
                ],
                [],
                Action::Reject,
            ),
        ),
    ];
    rib.update_chains(PeerId(1), import(rules));
    let outcome = rib.learn(1, "203.0.113.0/24", attrs(&[65001], 1));
    assert_eq!(outcome.refused.get(Refusal::Policy), 1);
    let decided = |rib: &Rib, prefix| rib.lookup(p(prefix)).unwrap().paths[0].rules[0].to_string();
    assert_eq!(decided(&rib, "203.0.113.0/24"), "test rule 2");
    rib.learn(1, "198.51.100.0/24", attrs(&[65001], 1));
    assert_eq!(decided(&rib, "198.51.100.0/24"), "test rule 1");
}

#[test]
fn an_export_policy_dresses_and_stops_our_own_routes() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ibgp, 2)),
    ]);
    rib.originate(
        "10.244.1.0/24",
        origination(vec![advertise(PeerSelector::All)]),
    );
    let communities = Communities {
        standard: [Community::new(64512, 1)].into(),
        large: ["64512:1:2".parse().unwrap()].into(),
        ..Communities::default()
    };
    let changes = vec![
        Change::AddCommunities(communities),
        Change::Med(Some(50)),
        Change::Prepend(2),
        Change::LocalPref(300),
        Change::NextHop(SetNextHop::Address(ip("10.0.0.200"))),
    ];
    let dressed = export(vec![Rule {
        changes,
        ..rule([], [], Action::Next)
    }]);
    for peer in [1, 2] {
        rib.drain(peer);
        rib.update_chains(PeerId(peer), dressed.clone());
    }
    let (told, _) = rib.drain(1);
    let external = &told[&p("10.244.1.0/24")];
    assert_eq!(external.as_path.to_string(), "64512 64512 64512");
    assert_eq!((external.med, external.local_pref), (Some(50), None));
    assert_eq!(external.next_hop.map(NextHop::addr), Some(ip("10.0.0.200")));
    assert_eq!(
        (external.communities.len(), external.large_communities.len()),
        (1, 1)
    );
    let (told, _) = rib.drain(2);
    let internal = &told[&p("10.244.1.0/24")];
    assert_eq!(
        (internal.local_pref, internal.as_path.hop_count()),
        (Some(300), 0)
    );

    let stop = export(vec![rule([within("10.244.0.0/16")], [], Action::Reject)]);
    rib.update_chains(PeerId(1), stop);
    let (_, gone) = rib.drain(1);
    assert_eq!(gone, [p("10.244.1.0/24")].into());
    let why = rib.explain_export(PeerId(1), p("10.244.1.0/24"));
    assert_eq!(why.decision, Err(Withheld::Policy));
    assert_eq!(why.rules[0].to_string(), "test rule 1");
}

#[test]
fn learned_routes_go_where_a_rule_asks_for_it_and_nowhere_else() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
    ]);
    rib.learn(1, "203.0.113.0/24", attrs(&[65001], 1));
    rib.learn(1, "198.51.100.0/24", attrs(&[65001], 1));
    assert_eq!(rib.drain(2).0.len(), 0);
    rib.update_chains(PeerId(2), export(vec![rule([], [], Action::Accept)]));
    assert_eq!(rib.drain(2).0.len(), 0, "to accept is not to ask");
    let asked = overriding("203.0.113.0/24", SafeDefault::LearnedRoutes);
    rib.update_chains(PeerId(2), export(vec![asked]));
    let (told, _) = rib.drain(2);
    assert_eq!(
        told.keys().copied().collect::<Vec<_>>(),
        [p("203.0.113.0/24")]
    );
    let why = rib.explain_export(PeerId(2), p("198.51.100.0/24"));
    assert_eq!(why.decision, Err(Withheld::NoTransit));
    rib.update_chains(PeerId(2), PeerPolicies::default());
    assert_eq!(rib.drain(2).1, [p("203.0.113.0/24")].into());
}

#[test]
fn a_changed_rule_touches_the_routes_that_it_can_affect() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, transit(SessionKind::Ebgp, 2)),
    ]);
    for prefix in ["203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"] {
        rib.learn(1, prefix, attrs(&[65001], 1));
    }
    rib.drain(2);
    let stop = |prefix| rule([within(prefix)], [], Action::Reject);
    let with = |second| export(vec![stop("192.0.2.0/24"), second]);
    rib.update_chains(PeerId(2), with(stop("203.0.113.0/24")));
    rib.drain(2);
    rib.update_chains(PeerId(2), with(stop("198.51.100.0/24")));
    let index = rib.shared.peers.find(PeerId(2)).unwrap();
    let out = &mut rib.shared.peers.get_mut(index).unwrap().out[0];
    let mut marked = Vec::new();
    while let Some(id) = out.dirty.pop() {
        marked.push(rib.v4.entry(id).prefix.to_string());
    }
    marked.sort();
    assert_eq!(marked, ["198.51.100.0/24", "203.0.113.0/24"]);
}

#[test]
fn routes_with_the_same_attributes_share_a_ruling_unless_the_prefix_matters() {
    let mut rib = rib(&[(1, careful(1))]);
    let rules = vec![
        rule(
            [within("203.0.113.0/25")],
            [Change::LocalPref(50)],
            Action::Accept,
        ),
        rule([], [Change::LocalPref(200)], Action::Next),
    ];
    rib.update_chains(PeerId(1), import(rules));
    let prefixes: Vec<Prefix> = (0..16_u8)
        .map(|i| Prefix::new([203, 0, 113, i << 4].into(), 28).unwrap())
        .collect();
    rib.announce(PeerId(1), &attrs(&[65001], 1), &list(&prefixes));
    // The one received, and what either rule made of it.
    assert_eq!(rib.attribute_sets(), 3);
    rib.resolve_pending(&connected());
    let pref = |prefix| rib.lookup(prefix).unwrap().best().unwrap().attrs.local_pref;
    assert_eq!(
        (pref(prefixes[0]), pref(prefixes[15])),
        (Some(50), Some(200))
    );
}

/// A router's MED is nothing to policies where it is removed, and theirs is not removed.
#[test]
fn a_removed_med_is_not_seen_by_policies_and_theirs_counts() {
    let removing = PeerInfo {
        rules: PeerRules {
            remove_med: true,
            ..PeerRules::default()
        },
        ..same_as(2)
    };
    let mut rib = rib(&[
        (1, same_as(1)),
        (2, removing),
        (3, transit(SessionKind::Ibgp, 3)),
    ]);
    const ROUTE: &str = "203.0.113.0/24";
    let with_med = |n, med| PathAttributes {
        med: Some(med),
        ..attrs(&[65001], n)
    };
    rib.learn(1, ROUTE, with_med(1, 10));
    rib.learn(2, ROUTE, with_med(2, 20));
    assert_eq!(rib.best_peer(ROUTE), Some(2), "without MED the lowest");

    let set = |med| rule([], [Change::Med(Some(med))], Action::Next);
    rib.update_chains(PeerId(2), import(vec![set(30)]));
    assert_eq!(rib.best_peer(ROUTE), Some(1), "30 is more than 10");
    rib.update_chains(PeerId(2), import(vec![set(5)]));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    assert_eq!(rib.drain(3).0[&p(ROUTE)].med, Some(5));

    // Nobody sees the router's own, coming or going.
    let sees = Condition::Med(Between { min: 1, max: 100 });
    let reject = || vec![rule([sees.clone()], [], Action::Reject)];
    rib.update_chains(PeerId(2), import(reject()));
    rib.update_chains(PeerId(3), export(reject()));
    assert_eq!(rib.best_peer(ROUTE), Some(2));
    assert_eq!(rib.drain(3).0[&p(ROUTE)].med, None);
    // Once it is not removed any more, everybody does.
    rib.update_rules(PeerId(2), PeerRules::default());
    assert_eq!(refused(&rib, ROUTE), None);
    assert_eq!(rib.best_peer(ROUTE), Some(1));
}
