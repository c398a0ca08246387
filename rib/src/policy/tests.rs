//! The compiled program against one that is read rule by rule, and what differs between two.

use std::{borrow::Cow, sync::Arc};

use proptest::prelude::*;
use redstart_bgp::types::{AsPath, Asn, Community, Family, PathAttributes, Prefix};

use super::{
    Action, AnyCommunity, Between, Change, Communities, CommunityPattern, Condition, Difference,
    PrefixRange, Program, RouteSource, Rule, RuleSource, SafeDefault, SafeDefaults, SetNextHop,
    Subject,
};

/// What a route has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) attrs: PathAttributes,
    pub(crate) med_decided: bool,
    pub(crate) prepend: u8,
    pub(crate) next_hop: Option<SetNextHop>,
    pub(crate) overrides: SafeDefaults,
}

#[derive(Clone, Debug)]
pub(crate) struct Route<'a> {
    pub(crate) prefix: Prefix,
    pub(crate) attrs: PathAttributes,
    pub(crate) source: RouteSource,
    pub(crate) from: Option<&'a str>,
}

impl Route<'_> {
    fn subject(&self) -> Subject<'_> {
        Subject {
            family: self.prefix.family(),
            source: self.source,
            from: self.from,
        }
    }
}

/// The rules one after the other, each condition asked as it stands.
pub(crate) fn read(rules: &[Rule], route: &Route<'_>) -> Result<Outcome, usize> {
    let mut outcome = Outcome {
        attrs: route.attrs.clone(),
        med_decided: false,
        prepend: 0,
        next_hop: None,
        overrides: SafeDefaults::NONE,
    };
    for (i, rule) in rules.iter().enumerate() {
        let attrs = outcome.attrs.clone();
        if !rule.conditions.iter().all(|c| holds(c, route, &attrs)) {
            continue;
        }
        if rule.action == Action::Reject {
            return Err(i);
        }
        for change in &rule.changes {
            change_naively(&mut outcome, change);
        }
        outcome.overrides = outcome.overrides.union(rule.overrides);
        if rule.action == Action::Accept {
            break;
        }
    }
    Ok(outcome)
}

fn holds(condition: &Condition, route: &Route<'_>, attrs: &PathAttributes) -> bool {
    let within = |ranges: &[PrefixRange]| ranges.iter().any(|r| r.contains(route.prefix));
    let carries = |pattern: &CommunityPattern| {
        let mut communities = attrs.communities.iter();
        communities.any(|c| pattern.has_standard(*c))
    };
    match condition {
        Condition::Families(families) => families.contains(&route.prefix.family()),
        Condition::Prefixes(ranges) => within(ranges),
        Condition::Node { pods, own } => within(pods) || (*own && route.source == RouteSource::Own),
        Condition::AnyCommunity(patterns) => patterns.iter().any(carries),
        Condition::AllCommunities(patterns) => patterns.iter().all(carries),
        Condition::NoCommunity(patterns) => !patterns.iter().any(carries),
        Condition::PathContains(asns) => attrs.as_path.iter().any(|asn| asns.contains(&asn)),
        Condition::OriginAs(asns) => attrs
            .as_path
            .iter()
            .last()
            .is_some_and(|a| asns.contains(&a)),
        Condition::NeighborAs(asns) => attrs
            .as_path
            .iter()
            .next()
            .is_some_and(|a| asns.contains(&a)),
        Condition::PathLength(between) => {
            let length = u32::try_from(attrs.as_path.hop_count()).unwrap();
            (between.min..=between.max).contains(&length)
        }
        Condition::Path(patterns) => patterns.iter().any(|p| p.matches(&attrs.as_path)),
        Condition::LocalPref(between) => {
            (between.min..=between.max).contains(&attrs.local_pref.unwrap_or(100))
        }
        Condition::Med(between) => (between.min..=between.max).contains(&attrs.med.unwrap_or(0)),
        Condition::From(sources) => sources.contains(&route.source),
        Condition::LearnedFrom(names) => route.from.is_some_and(|from| names.contains(from)),
    }
}

fn change_naively(outcome: &mut Outcome, change: &Change) {
    let attrs = &mut outcome.attrs;
    let mut communities: std::collections::BTreeSet<Community> =
        attrs.communities.iter().copied().collect();
    match change {
        Change::LocalPref(number) => attrs.local_pref = Some(*number),
        Change::Med(med) => {
            attrs.med = *med;
            outcome.med_decided = true;
        }
        Change::ReplaceCommunities(new) => communities.clone_from(&new.standard),
        Change::RemoveCommunities(patterns) => {
            communities.retain(|c| !patterns.iter().any(|p| p.has_standard(*c)));
        }
        Change::AddCommunities(more) => communities.extend(&more.standard),
        Change::Prepend(times) => outcome.prepend += times,
        Change::NextHop(next_hop) => outcome.next_hop = Some(*next_hop),
    }
    attrs.communities = communities.into_iter().collect();
}

fn run(program: &Program, route: &Route<'_>) -> Result<Outcome, usize> {
    let hits = program.hits(route.prefix);
    let passed = program.run(&hits, route.subject(), Cow::Borrowed(&route.attrs))?;
    Ok(Outcome {
        attrs: passed.attrs.into_owned(),
        med_decided: passed.med_decided,
        prepend: passed.prepend,
        next_hop: passed.next_hop,
        overrides: passed.overrides,
    })
}

const PREFIXES: [&str; 6] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8:1::/48",
];

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn prefixes() -> impl Strategy<Value = Prefix> {
    prop::sample::select(PREFIXES.to_vec()).prop_map(p)
}

fn ranges() -> impl Strategy<Value = Vec<PrefixRange>> {
    let range = (prefixes(), 0..3_u8, 0..20_u8).prop_map(|(prefix, more, span)| {
        let min = prefix.len() + more;
        PrefixRange::new(prefix, Some(min), Some((min + span).min(32.max(min))))
            .unwrap_or(PrefixRange::exactly(prefix))
    });
    prop::collection::vec(range, 1..4)
}

fn patterns() -> impl Strategy<Value = Vec<CommunityPattern>> {
    let texts = vec!["1:1", "2:2", "2:1", "1:*", "*:2", "2:1-2"];
    let pattern = prop::sample::select(texts).prop_map(|text| text.parse().unwrap());
    prop::collection::vec(pattern, 1..3)
}

fn conditions() -> impl Strategy<Value = Condition> {
    let asns = || prop::collection::btree_set((1..4_u32).prop_map(Asn), 1..3);
    let between = || {
        (0..3_u32, 0..3_u32).prop_map(|(min, more)| Between {
            min,
            max: min + more,
        })
    };
    let path = prop::sample::select(vec!["1 *", "* 2", "1-2 ?", "+ 3"]);
    let families = prop::collection::btree_set(prop::sample::select(Family::ALL.to_vec()), 1..2);
    let sources = vec![RouteSource::Mesh, RouteSource::Router, RouteSource::Own];
    let sources = prop::collection::btree_set(prop::sample::select(sources), 1..3);
    let names = prop::sample::select(vec!["a", "b"]).prop_map(Arc::from);
    prop_oneof![
        8 => ranges().prop_map(Condition::Prefixes),
        2 => (ranges(), any::<bool>()).prop_map(|(pods, own)| Condition::Node { pods, own }),
        1 => families.prop_map(Condition::Families),
        2 => patterns().prop_map(Condition::AnyCommunity),
        1 => patterns().prop_map(Condition::AllCommunities),
        1 => patterns().prop_map(Condition::NoCommunity),
        1 => asns().prop_map(Condition::PathContains),
        1 => asns().prop_map(Condition::OriginAs),
        1 => asns().prop_map(Condition::NeighborAs),
        1 => between().prop_map(Condition::PathLength),
        1 => path.prop_map(|text| Condition::Path(vec![text.parse().unwrap()])),
        1 => between().prop_map(Condition::LocalPref),
        1 => between().prop_map(Condition::Med),
        1 => sources.prop_map(Condition::From),
        1 => prop::collection::btree_set(names, 1..3).prop_map(Condition::LearnedFrom),
    ]
}

fn changes() -> impl Strategy<Value = Change> {
    let communities = || {
        let one = (1..3_u16, 1..3_u16).prop_map(|(high, low)| Community::new(high, low));
        prop::collection::btree_set(one, 0..3).prop_map(|standard| Communities {
            standard,
            ..Communities::default()
        })
    };
    prop_oneof![
        (0..4_u32).prop_map(Change::LocalPref),
        prop::option::of(0..4_u32).prop_map(Change::Med),
        communities().prop_map(Change::ReplaceCommunities),
        patterns().prop_map(Change::RemoveCommunities),
        communities().prop_map(Change::AddCommunities),
        (1..4_u8).prop_map(Change::Prepend),
        Just(Change::NextHop(SetNextHop::Own)),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let action = prop::sample::select(vec![
        Action::Accept,
        Action::Reject,
        Action::Next,
        Action::Next,
    ]);
    let defaults = vec![SafeDefault::DefaultRoute, SafeDefault::LearnedRoutes];
    let overrides = prop::collection::vec(prop::sample::select(defaults), 0..2);
    let rule = (
        prop::collection::vec(conditions(), 0..3),
        prop::collection::vec(changes(), 0..3),
        action,
        overrides,
    );
    let rule = rule.prop_map(|(conditions, changes, action, overrides)| Rule {
        source: RuleSource {
            policy: "p".into(),
            number: 1,
            name: None,
        },
        conditions,
        changes,
        action,
        overrides: overrides.into_iter().collect(),
    });
    prop::collection::vec(rule, 0..8)
}

fn routes() -> impl Strategy<Value = Route<'static>> {
    let source = prop::sample::select(vec![
        (RouteSource::Own, None),
        (RouteSource::Mesh, Some("a")),
        (RouteSource::Router, Some("b")),
    ]);
    let communities = prop::collection::btree_set((1..3_u16, 1..3_u16), 0..3);
    let path = prop::collection::vec(1..4_u32, 0..4);
    let number = || prop::option::of(0..4_u32);
    (prefixes(), communities, path, number(), number(), source).prop_map(
        |(prefix, communities, path, local_pref, med, (source, from))| Route {
            prefix,
            attrs: PathAttributes {
                as_path: AsPath::sequence(path.into_iter().map(Asn)),
                communities: communities
                    .into_iter()
                    .map(|(high, low)| Community::new(high, low))
                    .collect(),
                local_pref,
                med,
                ..PathAttributes::default()
            },
            source,
            from,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_program_does_what_the_rules_say(
        rules in rules(),
        routes in prop::collection::vec(routes(), 1..8),
    ) {
        let program = Program::new(rules.clone());
        for route in &routes {
            let expected = read(&rules, route);
            prop_assert_eq!(run(&program, route), expected);
        }
    }

    #[test]
    fn what_a_difference_does_not_concern_has_the_same_outcome(
        old in rules(),
        new in rules(),
        same in rules(),
        routes in prop::collection::vec(routes(), 1..8),
    ) {
        // With rules around them that did not change.
        let wrap = |middle: &[Rule]| Arc::new(Program::new([&same, middle, &same].concat()));
        let (old, new) = (wrap(&old), wrap(&new));
        let difference = old.difference(&new);
        for route in &routes {
            if !difference.concerns(route.prefix) {
                let without_number = |result: Result<Outcome, usize>| result.map_err(|_| ());
                let (was, is) = (run(&old, route), run(&new, route));
                prop_assert_eq!(without_number(was), without_number(is));
            }
        }
    }
}

fn rule(conditions: Vec<Condition>, action: Action) -> Rule {
    Rule {
        source: RuleSource {
            policy: "tor-in".into(),
            number: 3,
            name: Some("no-lab".into()),
        },
        conditions,
        changes: Vec::new(),
        action,
        overrides: SafeDefaults::NONE,
    }
}

fn exactly(prefix: &str) -> Condition {
    Condition::Prefixes(vec![PrefixRange::exactly(p(prefix))])
}

#[test]
fn a_changed_rule_concerns_the_prefixes_that_it_asks_for() {
    let around = rule(vec![exactly("10.1.2.0/24")], Action::Accept);
    let program =
        |changed: Rule| Arc::new(Program::new(vec![around.clone(), changed, around.clone()]));
    let old = program(rule(vec![exactly("10.0.0.0/8")], Action::Reject));
    let new = program(rule(vec![exactly("10.1.0.0/16")], Action::Reject));
    let difference = old.difference(&new);
    let concerned: Vec<&str> = PREFIXES
        .into_iter()
        .filter(|x| difference.concerns(p(x)))
        .collect();
    assert_eq!(concerned, ["10.0.0.0/8", "10.1.0.0/16"]);
    let anywhere = program(rule(Vec::new(), Action::Reject));
    assert!(matches!(old.difference(&anywhere), Difference::Everything));
    assert!(matches!(
        old.difference(&Arc::new((*old).clone())),
        Difference::Nothing
    ));
}

#[test]
fn a_rule_says_where_it_stands() {
    let program = Program::new(vec![rule(vec![exactly("10.0.0.0/8")], Action::Reject)]);
    let subject = Subject {
        family: Family::Ipv4Unicast,
        source: RouteSource::Router,
        from: Some("tor"),
    };
    let attrs = PathAttributes::default();
    let decided = program.explain(p("10.0.0.0/8"), subject, &attrs);
    assert_eq!(decided[0].to_string(), "tor-in rule 3 (no-lab)");
    assert_eq!(program.explain(p("10.0.0.0/9"), subject, &attrs), []);
}

/// Rules that need a community are found by it, unless a rule of the chain adds it.
#[test]
fn communities_of_each_kind_are_looked_for() {
    for text in ["7:1", "7:1:2", "generic:0002fde800000064"] {
        let mut communities = Communities::default();
        let mut carrying = PathAttributes::default();
        match text.parse().unwrap() {
            AnyCommunity::Standard(it) => {
                communities.standard.insert(it);
                carrying.communities = vec![it].into();
            }
            AnyCommunity::Large(it) => {
                communities.large.insert(it);
                carrying.large_communities = vec![it].into();
            }
            AnyCommunity::Extended(it) => {
                communities.extended.insert(it);
                carrying.extended_communities = vec![it].into();
            }
        }
        let pattern: CommunityPattern = text.parse().unwrap();
        let reject = |condition| rule(vec![condition], Action::Reject);
        let add = Rule {
            changes: vec![Change::AddCommunities(communities)],
            ..rule(Vec::new(), Action::Next)
        };
        let run = |rules: &[Rule], attrs: &PathAttributes| {
            let route = Route {
                prefix: p("10.0.0.0/8"),
                attrs: attrs.clone(),
                source: RouteSource::Router,
                from: None,
            };
            run(&Program::new(rules.to_vec()), &route).err()
        };
        let (bare, any) = (PathAttributes::default(), vec![pattern.clone()]);
        for condition in [
            Condition::AnyCommunity(any.clone()),
            Condition::AllCommunities(any),
        ] {
            let rules = [reject(condition.clone())];
            assert_eq!(run(&rules, &bare), None, "{text}");
            assert_eq!(run(&rules, &carrying), Some(0), "{text}");
            let rules = [add.clone(), reject(condition)];
            assert_eq!(run(&rules, &bare), Some(1), "{text}");
        }
    }
}
