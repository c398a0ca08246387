//! Policies for the model test: a few pairs of chains, which together use what a rule can do.

use redstart_bgp::types::Community;

use super::*;
use crate::policy::{
    Between, Communities, CommunityPattern, PrefixRange, Program, SafeDefault, SetNextHop,
};

/// The pair of chains of this number; the first are empty.
pub(super) fn chains(choice: u8) -> PeerPolicies {
    let (import, export) = match choice {
        0 => (vec![], vec![]),
        1 => preferring(),
        2 => overriding(),
        _ => cleaning(),
    };
    PeerPolicies {
        import: Program::new(import).into(),
        export: Program::new(export).into(),
    }
}

type Pair = (Vec<Rule>, Vec<Rule>);

const fn one(number: u32) -> Between {
    let (min, max) = (number, number);
    Between { min, max }
}

fn within(prefix: &str) -> Condition {
    Condition::Prefixes(vec![PrefixRange::within(p(prefix))])
}

fn marked(text: &str) -> Vec<CommunityPattern> {
    vec![text.parse().unwrap()]
}

fn communities(low: u16) -> Communities {
    Communities {
        standard: [Community::new(1, low)].into(),
        ..Communities::default()
    }
}

fn preferring() -> Pair {
    let any = Condition::AnyCommunity(marked("1:*"));
    let own = Condition::From([RouteSource::Own].into());
    let from = Condition::LearnedFrom(["p1".into()].into());
    let dress = [Change::NextHop(SetNextHop::Own), Change::Med(Some(3))];
    let lab = [within("203.0.113.0/24"), Condition::Med(one(1))];
    (
        vec![
            rule([any], [Change::LocalPref(101)], Action::Next),
            rule(lab, [], Action::Reject),
            rule([], [Change::AddCommunities(communities(2))], Action::Next),
        ],
        vec![
            rule([own], [Change::Prepend(2)], Action::Accept),
            rule([from], [], Action::Reject),
            rule([], dress, Action::Next),
        ],
    )
}

fn overriding() -> Pair {
    let asking = |overrides: &[SafeDefault]| Rule {
        overrides: overrides.iter().copied().collect(),
        ..rule([], [], Action::Next)
    };
    let long = Condition::PathLength(one(3));
    let address = SetNextHop::Address(ip("10.0.0.77"));
    let preferred = [within("2001:db8::/32"), Condition::LocalPref(one(101))];
    (
        vec![
            asking(&[SafeDefault::DefaultRoute, SafeDefault::ClusterRanges]),
            rule([long], [Change::Prepend(1)], Action::Next),
            rule([], [Change::NextHop(SetNextHop::Peer)], Action::Accept),
        ],
        vec![
            asking(&[SafeDefault::LearnedRoutes]),
            rule(
                [within("10.244.0.0/16")],
                [Change::NextHop(address)],
                Action::Next,
            ),
            rule(preferred, [], Action::Reject),
        ],
    )
}

fn cleaning() -> Pair {
    let clean = [
        Change::RemoveCommunities(marked("no-export")),
        Change::Med(Some(1)),
    ];
    let unmarked = Condition::NoCommunity(marked("1:1"));
    let poor = Condition::LocalPref(one(99));
    let keep = [Change::NextHop(SetNextHop::Unchanged), Change::Med(None)];
    (
        vec![
            rule([], clean, Action::Next),
            rule(
                [unmarked, within("0.0.0.0/0")],
                [Change::LocalPref(99)],
                Action::Accept,
            ),
        ],
        vec![
            rule(
                [poor],
                [Change::ReplaceCommunities(communities(3))],
                Action::Next,
            ),
            rule([], keep, Action::Next),
        ],
    )
}
