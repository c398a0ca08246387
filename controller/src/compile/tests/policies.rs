//! Policies and BFD profiles: who gets which rules, and what becomes of names that lead nowhere.

use std::sync::Arc;

use redstart_rib::policy::{Action, Condition, Program};

use super::*;
use crate::diagnostic::Severity;

fn policy(name: &str, rules: &str) -> String {
    object("BGPPolicy", name, &format!("{{ rules: [{rules}] }}"))
}

/// The rules as they explain themselves.
fn rules(program: &Program) -> Vec<String> {
    let rules = program.rules().iter();
    rules.map(|rule| rule.source.to_string()).collect()
}

const ANY: &str = "{ action: Next }";

#[test]
fn the_policies_of_all_come_before_those_of_one() {
    let configuration =
        "{ policies: { import: [all], export: [all] }, mesh: { policies: { import: [mesh] } } }";
    let yaml = NODES.to_owned()
        + &policy("all", "{ name: first, action: Next }, { action: Next }")
        + &policy("mesh", ANY)
        + &policy("in", ANY)
        + &policy("out", ANY)
        + &object("BGPConfiguration", "default", configuration)
        + &tor("tor", "policies: { import: [in, out], export: [out] }");
    let desired = clean(&yaml, "a");
    let tor = &peer(&desired, "tor").policies;
    let all = ["all rule 1 (first)", "all rule 2"];
    assert_eq!(
        rules(&tor.import),
        [&all[..], &["in rule 1", "out rule 1"]].concat()
    );
    assert_eq!(rules(&tor.export), [&all[..], &["out rule 1"]].concat());
    let mesh = &peer(&desired, "mesh-b").policies;
    assert_eq!(rules(&mesh.import), [&all[..], &["mesh rule 1"]].concat());
    assert_eq!(rules(&mesh.export), all);
}

#[test]
fn a_rule_with_everything_in_it_compiles() {
    let rule = "{
        name: everything,
        match: {
            families: [IPv4], prefixes: [{ cidr: 10.0.0.0/8, ge: 16, le: 24 }, { cidr: 192.0.2.0/24 }],
            communities: { any: ['64512:*', 'rt:64512:1'], all: ['1:2:3-4'], none: [no-export] },
            asPath: { contains: [1], origin: [2], neighbor: [3], patterns: ['3 * 2'], minLength: 1, maxLength: 9 },
            localPref: { min: 100 }, med: { max: 5 }, sources: [Router, Mesh],
            learnedFrom: { names: [tor] }, originNodes: { matchLabels: { rack: r2 } },
        },
        set: {
            localPref: 200, med: 7, prepend: 2, nextHop: Self,
            communities: { replace: ['64512:1'], remove: ['64513:*'], add: ['64512:1:2', 'ro:64512:7'] },
        },
        action: Accept, overrides: [LearnedRoutes],
    }";
    let yaml = NODES.to_owned() + &policy("big", rule) + &tor("tor", "policies: { export: [big] }");
    let desired = clean(&yaml, "a");
    insta::assert_debug_snapshot!(peer(&desired, "tor").policies.export);
}

#[test]
fn neighbours_with_the_same_rules_share_one_program() {
    let selected = "{ match: { peers: { names: [t1] } }, action: Reject }, { action: Next }";
    let router = |name: &str, address: &str| {
        let spec = format!("{{ address: {address}, asn: 64601, policies: {{ import: [in] }} }}");
        object("BGPPeer", name, &spec)
    };
    let yaml = NODES.to_owned()
        + &policy("in", selected)
        + &router("t1", "192.0.2.251")
        + &router("t2", "192.0.2.252")
        + &router("t3", "192.0.2.253");
    let desired = clean(&yaml, "a");
    let import = |name: &str| &peer(&desired, name).policies.import;
    assert_eq!(rules(import("t1")), ["in rule 1", "in rule 2"]);
    // A rule that is meant for another neighbour is left out; the numbers stay.
    assert_eq!(rules(import("t2")), ["in rule 2"]);
    assert!(Arc::ptr_eq(import("t2"), import("t3")));
}

#[test]
fn neighbours_are_meant_by_name_or_by_labels() {
    let by = |what: &str| format!("{{ match: {{ peers: {{ {what} }} }}, action: Reject }}");
    let yaml = NODES.to_owned()
        + &policy(
            "in",
            &[
                by("names: [mesh-b]"),
                by("matchLabels: { rack: r2 }"),
                by("matchLabels: { name: tor }"),
            ]
            .join(","),
        )
        + &object(
            "BGPConfiguration",
            "default",
            "{ policies: { import: [in] } }",
        )
        + &tor("tor", "");
    let desired = clean(&yaml, "a");
    assert_eq!(
        rules(&peer(&desired, "mesh-b").policies.import),
        ["in rule 1", "in rule 2"]
    );
    assert_eq!(rules(&peer(&desired, "tor").policies.import), ["in rule 3"]);
}

#[test]
fn origin_nodes_are_their_pod_cidrs() {
    let rule = "{ match: { originNodes: { matchLabels: { rack: r2 } } }, action: Reject }";
    let yaml = NODES.to_owned() + &policy("out", rule) + &tor("tor", "policies: { export: [out] }");
    for (node, is_own) in [("a", false), ("b", true)] {
        let desired = clean(&yaml, node);
        let program = &peer(&desired, "tor").policies.export;
        let [Condition::Node { pods, own }] = program.rules()[0].conditions.as_slice() else {
            panic!("one condition on the node");
        };
        let cidrs: Vec<String> = pods.iter().map(|range| range.prefix.to_string()).collect();
        assert_eq!(cidrs, ["10.0.2.0/24", "2001:db8:2::/64"]);
        assert!(pods.iter().all(|range| range.max > range.min));
        assert_eq!(*own, is_own);
    }
}

#[test]
fn nothing_passes_where_a_policy_never_was() {
    let yaml = NODES.to_owned() + &tor("tor", "policies: { import: [typo] }");
    let (desired, diagnostic) = one(&yaml, "a");
    says(
        &diagnostic,
        "BGPPeer/tor",
        "spec.policies.import[0]",
        Reason::UnknownPolicy,
    );
    let tor = &peer(&desired, "tor").policies;
    assert_eq!(rules(&tor.import), ["typo (missing)"]);
    assert_eq!(tor.import.rules()[0].action, Action::Reject);
    assert!(tor.export.is_empty());
}

#[test]
fn service_ranges_are_refused_like_pod_cidrs() {
    let configuration = "{ serviceCIDRs: [10.96.0.0/12, 'fd00:96::/108'] }";
    let services =
        "{ services: { addresses: [LoadBalancerIP], aggregates: [{ prefix: 198.51.100.0/24 }] } }";
    let yaml = NODES.to_owned()
        + &object("BGPConfiguration", "default", configuration)
        + &object("BGPAdvertisement", "vips", services)
        + "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: { name: kubernetes }\nspec: { cidrs: [172.20.0.0/16, 'fd00:97::/108'] }\n---\n"
        + &tor("tor", "");
    let desired = clean(&yaml, "a");
    let Import::AllBut { refuse, .. } = &peer(&desired, "tor").import else {
        panic!("a router may say everything but");
    };
    for range in [
        "10.0.1.0/24",
        "10.96.0.0/12",
        "fd00:96::/108",
        "172.20.0.0/16",
        "fd00:97::/108",
        "198.51.100.0/24",
    ] {
        assert!(refuse.contains(&range.parse().unwrap()), "{range}");
    }
}

/// Where nobody names the ranges they follow from the cluster IPs in use, those of each family from its own.
#[test]
fn service_ranges_that_nobody_names_are_refused_as_far_as_they_are_in_use() {
    let service = |name: &str, ips: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: default }}\nspec: {{ clusterIPs: [{ips}] }}\n---\n"
        )
    };
    let base = NODES.to_owned() + &tor("tor", "") + &service("kubernetes", "10.96.0.1");
    let refused = |yaml: &str| -> Vec<String> {
        let (desired, diagnostic) = one(yaml, "a");
        says(
            &diagnostic,
            "BGPConfiguration/default",
            "spec.serviceCIDRs",
            Reason::ServiceRangesUnknown,
        );
        let Import::AllBut { refuse, .. } = &peer(&desired, "tor").import else {
            panic!("a router may say everything but");
        };
        let others = refuse.iter().filter(|it| !desired.owners.contains_key(it));
        others.map(ToString::to_string).collect()
    };
    assert_eq!(refused(&base), ["10.96.0.1/32"]);
    let two = base.clone() + &service("dns", "10.96.0.10, 'fd00:96::a'");
    assert_eq!(refused(&two), ["10.96.0.0/28", "fd00:96::a/128"]);
    // A range has a /12 at most: others are of another one, of before the range was changed.
    let moved = two.clone() + &service("old", "172.20.0.1");
    assert_eq!(
        refused(&moved),
        ["10.96.0.0/28", "172.20.0.1/32", "fd00:96::a/128"]
    );
    // What is named is not guessed; what is not, is, whatever else is named.
    let some = "{ serviceCIDRs: [10.96.0.0/16, 203.0.113.0/24] }";
    let some = object("BGPConfiguration", "default", some);
    assert_eq!(
        refused(&(moved + &some)),
        [
            "10.96.0.0/16",
            "172.20.0.1/32",
            "203.0.113.0/24",
            "fd00:96::a/128"
        ]
    );
    let both = object(
        "BGPConfiguration",
        "default",
        "{ serviceCIDRs: [10.96.0.0/16, 'fd00:96::/112'] }",
    );
    clean(&(two + &both), "a");
}

/// RFC 8212, for who asks for it.
#[test]
fn an_external_router_without_policies_exchanges_nothing_if_they_are_required() {
    let required = object("BGPConfiguration", "default", "{ requireEBGPPolicy: true }");
    let base = NODES.to_owned() + &required + &policy("p", ANY);
    let programs = |yaml: &str| {
        let desired = clean(yaml, "a");
        assert!(
            peer(&desired, "mesh-b").policies.import.is_empty(),
            "not for the mesh"
        );
        let tor = &peer(&desired, "tor").policies;
        for program in [&tor.import, &tor.export] {
            for rule in program.rules() {
                let nothing_passes = rule.conditions.is_empty() && rule.action == Action::Reject;
                let is_closed = &*rule.source.policy == "requireEBGPPolicy";
                assert_eq!(nothing_passes, is_closed, "{rule:?}");
            }
        }
        (rules(&tor.import), rules(&tor.export))
    };
    let closed = vec!["requireEBGPPolicy".to_owned()];
    assert_eq!(
        programs(&(base.clone() + &tor("tor", ""))),
        (closed.clone(), closed.clone())
    );
    let named = tor("tor", "policies: { import: [p], export: [p] }");
    let open = vec!["p rule 1".to_owned()];
    assert_eq!(programs(&(base.clone() + &named)), (open.clone(), open));
    let advertisement = object("BGPAdvertisement", "pods", "{ podCIDRs: true }");
    let advertised = base.clone() + &tor("tor", "") + &advertisement;
    assert_eq!(programs(&advertised), (closed, Vec::new()));
    let internal = tor("tor", "localASN: 64601");
    assert_eq!(programs(&(base + &internal)), (Vec::new(), Vec::new()));
}

/// There is no Echo function (RFC 5880 section 6.4), and a neighbour is watched without it.
#[test]
fn a_profile_with_echo_is_in_force_without_it_and_says_so() {
    let profile = |echo| {
        let spec = format!("{{ transmitInterval: 60, echoMode: {echo} }}");
        NODES.to_owned()
            + &object("BFDProfile", "fast", &spec)
            + &tor("tor", "bfd: { profile: fast }")
    };
    let without = clean(&profile(false), "a");
    let (desired, diagnostic) = one(&profile(true), "a");
    let (object, field) = ("BFDProfile/fast", "spec.echoMode");
    says(&diagnostic, object, field, Reason::NotImplemented);
    assert_eq!(diagnostic.severity, Severity::Error);
    let bfd = peer(&desired, "tor").bfd;
    assert_eq!(bfd, peer(&without, "tor").bfd);
    assert_eq!(bfd.unwrap().transmit.as_millis(), 60);
}

#[test]
fn bfd_comes_from_a_profile_or_has_its_defaults() {
    let profile =
        "{ receiveInterval: 50, transmitInterval: 60, detectMultiplier: 5, echoInterval: 20 }";
    let configuration = "{ mesh: { bfd: {} } }";
    let yaml = NODES.to_owned()
        + &object("BFDProfile", "fast", profile)
        + &object("BGPConfiguration", "default", configuration)
        + &tor("tor", "bfd: { profile: fast }");
    let desired = clean(&yaml, "a");
    insta::assert_debug_snapshot!([peer(&desired, "mesh-b").bfd, peer(&desired, "tor").bfd]);
    let without = NODES.to_owned() + &tor("tor", "");
    assert_eq!(peer(&clean(&without, "a"), "tor").bfd, None);
    let yaml = NODES.to_owned() + &tor("tor", "bfd: { profile: typo }");
    let (desired, diagnostic) = one(&yaml, "a");
    says(
        &diagnostic,
        "BGPPeer/tor",
        "spec.bfd.profile",
        Reason::UnknownBfdProfile,
    );
    assert_eq!(peer(&desired, "tor").bfd, None);
}

#[test]
fn a_session_that_only_lasts_until_it_is_replaced_keeps_its_policies() {
    let configuration = "{
        mesh: {
            mode: RouteReflector, policies: { import: [in] }, bfd: {},
            routeReflector: { nodeSelector: { matchLabels: { rack: r9 } } },
        },
    }";
    let yaml = NODES.to_owned()
        + &node("r", "192.0.2.9", "10.0.9.0/24", "labels: { rack: r9 }")
        + &policy("in", ANY)
        + &object("BGPConfiguration", "default", configuration);
    let desired = clean(&yaml, "a");
    let spare = desired.spare.values().next().expect("the other nodes");
    assert_eq!(rules(&spare.peer.policies.import), ["in rule 1"]);
    assert!(spare.peer.bfd.is_some());
}
