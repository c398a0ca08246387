//! Which nodes are drained, and what that does to their routes.

use std::fmt::Write as _;

use crate::compile::drain::{soften, withdraw};

use super::*;

/// A Node with the number `n`, annotations, and further parts of `spec` and `status`.
fn node(n: usize, annotations: &str, spec: &str, status: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{ name: n{n}, annotations: {{ {annotations} }} }}\nspec: {{ podCIDRs: [10.0.{n}.0/24], {spec} }}\nstatus: {{ addresses: [{{ type: InternalIP, address: 192.0.2.{n} }}], {status} }}\n---\n"
    )
}

fn asked(since: &str) -> String {
    format!("redstart.dev/drain: \"{since}\"")
}

fn configuration(spec: &str) -> String {
    object(
        "BGPConfiguration",
        "default",
        &format!("{{ drain: {{ {spec} }} }}"),
    )
}

fn why(yaml: &str, node: &str) -> Option<DrainReason> {
    compile(&index(yaml), node).unwrap().0.drain.why
}

#[test]
fn annotation_taint_and_shutdown_drain_a_node() {
    let alone = |annotations: &str, spec: &str, status: &str| {
        let taint = configuration("taintKeys: [example.com/maintenance]");
        why(&(node(1, annotations, spec, status) + &taint), "n1")
    };
    assert_eq!(alone("", "", ""), None);
    assert_eq!(alone(&asked("true"), "", ""), Some(DrainReason::Annotation));
    let time = asked("2026-05-28T20:26:40Z");
    assert_eq!(alone(&time, "", ""), Some(DrainReason::Annotation));
    assert_eq!(alone(&asked("false"), "", ""), None);
    let taint = |key| format!("taints: [{{ key: {key}, effect: NoExecute }}]");
    let (ours, theirs) = (taint("example.com/maintenance"), taint("example.com/other"));
    assert_eq!(alone("", &ours, ""), Some(DrainReason::Taint));
    assert_eq!(alone("", &theirs, ""), None);
    let off = taint("node.kubernetes.io/out-of-service");
    assert_eq!(alone("", &off, ""), Some(DrainReason::Shutdown));
    let ready = |status, message| {
        format!("conditions: [{{ type: Ready, status: \"{status}\", message: {message} }}]")
    };
    let goes = ready("False", "node is shutting down");
    assert_eq!(alone("", "", &goes), Some(DrainReason::Shutdown));
    assert_eq!(alone("", "", &ready("False", "PLEG is not healthy")), None);
    assert_eq!(alone("", "", &ready("True", "node is shutting down")), None);
}

/// Acceptance case f at compile level: a cordon, on one node or on all, changes nothing.
#[test]
fn case_f_a_bare_cordon_changes_nothing() {
    let cordon = "unschedulable: true, taints: [{ key: node.kubernetes.io/unschedulable, effect: NoSchedule }]";
    let all = |spec: &str| (1..4).map(|n| node(n, "", spec, "")).collect::<String>();
    for name in ["n1", "n2", "n3"] {
        let (before, cordoned) = (clean(&all(""), name), clean(&all(cordon), name));
        assert_eq!(before, cordoned);
    }
    let refused = configuration("taintKeys: [node.kubernetes.io/unschedulable]");
    let (_, diagnostic) = one(&(all(cordon) + &refused), "n1");
    let object = "BGPConfiguration/default";
    says(
        &diagnostic,
        object,
        "spec.drain.taintKeys",
        Reason::InvalidValue,
    );
}

#[test]
fn a_bad_annotation_is_named_and_drains_nothing() {
    let (desired, diagnostic) = one(&node(1, &asked("soon"), "", ""), "n1");
    let field = "metadata.annotations[redstart.dev/drain]";
    says(&diagnostic, "Node/n1", field, Reason::InvalidValue);
    assert_eq!(desired.drain.why, None);
}

#[test]
fn only_so_many_nodes_are_drained_at_once_in_the_order_of_asking() {
    // The later the name, the earlier it was asked for; n4 says no time, n5 shuts down.
    let mut yaml = String::new();
    for n in 1..=3 {
        let time = asked(&format!("2026-05-28T20:26:4{}Z", 9 - n));
        write!(yaml, "{}", node(n, &time, "", "")).unwrap();
    }
    yaml += &node(4, &asked("true"), "", "");
    let off = "taints: [{ key: node.kubernetes.io/out-of-service, effect: NoExecute }]";
    let shutdown = node(5, "", off, "");
    let drained = |yaml: &str| -> Vec<usize> {
        let is = |n: &usize| why(yaml, &format!("n{n}")).is_some();
        (1..=5).filter(is).collect()
    };
    for (max, without, with_shutdown) in [
        ("0", vec![], vec![5]),
        ("1", vec![3], vec![5]),
        ("2", vec![2, 3], vec![3, 5]),
        ("25%", vec![2, 3], vec![3, 5]),
        ("100%", vec![1, 2, 3, 4], vec![1, 2, 3, 4, 5]),
    ] {
        let configuration = configuration(&format!("maxNodes: {max}"));
        let calm = format!("{yaml}{}{configuration}", node(5, "", "", ""));
        assert_eq!(drained(&calm), without, "{max}");
        let stormy = format!("{yaml}{shutdown}{configuration}");
        assert_eq!(drained(&stormy), with_shutdown, "{max}");
    }
    let (_, diagnostic) = one(&(yaml + &configuration("maxNodes: 1")), "n1");
    let field = "metadata.annotations[redstart.dev/drain]";
    says(&diagnostic, "Node/n1", field, Reason::DrainLimit);
    let (_, diagnostic) = one(
        &(node(1, "", "", "") + &configuration("maxNodes: 101%")),
        "n1",
    );
    let object = "BGPConfiguration/default";
    says(
        &diagnostic,
        object,
        "spec.drain.maxNodes",
        Reason::InvalidValue,
    );
}

#[test]
fn routes_are_marked_first_and_withdrawn_then_but_for_pod_cidrs() {
    let advertisement = object(
        "BGPAdvertisement",
        "vip",
        "{ podCIDRs: true, staticPrefixes: [203.0.113.7/32], interfaces: [lo], services: { addresses: [LoadBalancerIP] }, localPref: 200 }",
    );
    let service = services::load_balancer("web", "198.51.100.1", "externalTrafficPolicy: Local")
        + &services::slice("web", &[("n1", "ready: true")]);
    let node = node(1, &asked("true"), "", "");
    let mut desired = clean(&(node + &tor("tor", "") + &advertisement + &service), "n1");
    soften(&mut desired);
    let all = ["10.0.1.0/24", "198.51.100.1/32", "203.0.113.7/32"];
    assert_eq!(told(&desired), all);
    let routes = desired.originations.values().flat_map(|o| &o.advertise);
    for advertise in routes.chain(&desired.interfaces["lo"]) {
        let marked = redstart_bgp::types::Community::GRACEFUL_SHUTDOWN;
        assert!(advertise.communities.contains(&marked));
        assert_eq!(advertise.local_pref, Some(0));
    }
    let mut withdrawn = desired.clone();
    withdraw(&mut withdrawn);
    assert_eq!(told(&withdrawn), ["10.0.1.0/24"]);
    assert!(withdrawn.interfaces.is_empty());
    desired.drain.withdraw_pod_cidrs = true;
    withdraw(&mut desired);
    assert_eq!(told(&desired), Vec::<String>::new());
}

/// The prefixes that anybody is told.
fn told(desired: &DesiredState) -> Vec<String> {
    let routes = desired.originations.iter();
    let told = routes.filter(|(_, o)| !o.advertise.is_empty());
    told.map(|(prefix, _)| prefix.to_string()).collect()
}
