//! Which nodes are drained, and what that does to their routes.

use std::fmt::Write as _;

use crate::{
    compile::drain::{soften, withdraw},
    index::DrainOrder,
};

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
        ("1", vec![3], vec![3, 5]),
        ("2", vec![2, 3], vec![2, 3, 5]),
        ("25%", vec![2, 3], vec![2, 3, 5]),
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

/// A node that shuts down goes at once and takes the place of nobody who was asked before, but of those
/// who were asked after.
#[test]
fn a_node_that_shuts_down_takes_nobodys_place() {
    let shuts_down = |n, second: u8| {
        let since = format!("2026-05-28T20:26:{second}Z");
        let ready = format!(
            "conditions: [{{ type: Ready, status: \"False\", message: node is shutting down, lastTransitionTime: \"{since}\" }}]"
        );
        node(n, "", "", &ready)
    };
    let asked = |n, second: u8| node(n, &asked(&format!("2026-05-28T20:26:{second}Z")), "", "");
    let added = |n, second: u8| {
        let since = format!("2026-05-28T20:26:{second}Z");
        let taint = format!(
            "taints: [{{ key: example.com/out, effect: NoExecute, timeAdded: \"{since}\" }}]"
        );
        node(n, "", &taint, "")
    };
    let drained = |nodes: &[String], max: u8| -> Vec<usize> {
        let spec = format!("maxNodes: {max}, taintKeys: [example.com/out]");
        let yaml = nodes.concat() + &configuration(&spec);
        let is = |n: &usize| why(&yaml, &format!("n{n}")).is_some();
        (1..=nodes.len()).filter(is).collect()
    };
    // n1 was asked for last, n4 first; n3 shuts down in between. Every speaker says so of its own node.
    let nodes = [asked(1, 40), asked(2, 20), shuts_down(3, 30), added(4, 10)];
    assert_eq!(drained(&nodes, 1), [3, 4]);
    assert_eq!(drained(&nodes, 2), [2, 3, 4]);
    assert_eq!(
        drained(&nodes, 3),
        [2, 3, 4],
        "the third place is that of n3"
    );
    assert_eq!(drained(&nodes, 4), [1, 2, 3, 4]);
}

const DOWN: &str = "node is shutting down";

/// A Node with its condition `Ready`.
fn ready(n: usize, annotations: &str, status: &str, message: &str) -> String {
    let condition = format!(
        "conditions: [{{ type: Ready, status: \"{status}\", message: {message}, lastTransitionTime: \"2026-05-28T20:26:30Z\" }}]"
    );
    node(n, annotations, "", &condition)
}

/// One of two nodes may be drained. n1 was, and reboots: it has its place until it is ready again.
#[test]
fn a_drained_node_that_reboots_keeps_its_place() {
    let first = asked("2026-05-28T20:26:10Z");
    let second = node(2, &asked("2026-05-28T20:26:20Z"), "", "");
    let mut index = index(&(node(1, &first, "", "") + &second + &configuration("maxNodes: 1")));
    let is_drained = |index: &Index| {
        let (desired, _) = compile(index, "n2").unwrap();
        desired.drain.why.is_some()
    };
    // n2 was asked for before the shutdown, and after the annotation.
    put(&mut index, &ready(1, &first, "False", DOWN));
    assert!(!is_drained(&index));
    for (status, message) in [
        ("Unknown", "Kubelet stopped posting node status"),
        ("False", "container runtime is not ready"),
    ] {
        put(&mut index, &ready(1, "", status, message));
        assert!(is_drained(&index), "n2 was asked for before n1 went down");
        put(&mut index, &ready(1, &first, status, message));
        assert!(!is_drained(&index), "{status}");
    }
    put(
        &mut index,
        &ready(1, "", "True", "kubelet is posting ready"),
    );
    assert!(is_drained(&index));
}

/// A node that went down on its own counts for as long as it is away.
#[test]
fn a_node_that_is_off_counts_until_it_is_ready_again() {
    let later = node(2, &asked("2026-05-28T20:26:50Z"), "", "");
    let mut index = index(&(node(1, "", "", "") + &later + &configuration("maxNodes: 1")));
    let why = |index: &Index, name: &str| compile(index, name).unwrap().0.drain.why;
    assert_eq!(why(&index, "n2"), Some(DrainReason::Annotation));
    put(&mut index, &ready(1, "", "Unknown", "never heard of"));
    assert_eq!(why(&index, "n1"), None, "it is in trouble, and not off");
    for (status, message) in [
        ("False", DOWN),
        ("Unknown", "Kubelet stopped posting node status"),
        ("False", "container runtime is not ready"),
    ] {
        put(&mut index, &ready(1, "", status, message));
        assert_eq!(why(&index, "n1"), Some(DrainReason::Shutdown), "{status}");
        assert_eq!(why(&index, "n2"), None, "{status}");
    }
    put(
        &mut index,
        &ready(1, "", "True", "kubelet is posting ready"),
    );
    assert_eq!(why(&index, "n1"), None);
    assert_eq!(why(&index, "n2"), Some(DrainReason::Annotation));
}

/// Annotations and taints without a time: who is asked for later waits, whatever its name, and whatever
/// else changes.
#[test]
fn what_says_no_time_is_in_the_order_of_its_arrival() {
    let taint = "taints: [{ key: example.com/out, effect: NoSchedule }]";
    let limits = configuration("maxNodes: 1, taintKeys: [example.com/out]");
    let calm: String = (1..=3).map(|n| node(n, "", "", "")).collect();
    let mut index = index(&(calm + &limits));
    let drained = |index: &Index| -> Vec<usize> {
        let why = |n: &usize| compile(index, &format!("n{n}")).unwrap().0.drain.why;
        (1..=3).filter(|n| why(n).is_some()).collect()
    };
    put(&mut index, &node(3, &asked("true"), "", ""));
    put(&mut index, &node(2, "", taint, ""));
    put(&mut index, &node(1, &asked("true"), "", ""));
    assert_eq!(drained(&index), [3]);
    // It is told again, as with every label.
    put(&mut index, &node(3, &(asked("true") + ", x: y"), "", ""));
    assert_eq!(drained(&index), [3]);
    put(&mut index, &node(3, "", "", ""));
    assert_eq!(drained(&index), [2]);
    // Asked for again, it is the last.
    put(&mut index, &node(3, &asked("true"), "", ""));
    put(&mut index, &node(2, "", "", ""));
    assert_eq!(drained(&index), [1]);
    let (_, diagnostic) = one_of(&index, "n3");
    assert!(diagnostic.message.contains("(n1)"), "{diagnostic}");
}

/// A time says when a node was asked for, and no time that it was when that was heard of: neither takes the
/// place of one that was asked for before it.
#[test]
fn what_says_a_time_and_what_says_none_take_each_others_places_not() {
    let calm: String = (1..=4).map(|n| node(n, "", "", "")).collect();
    let mut index = index(&(calm + &configuration("maxNodes: 1")));
    let drained = |index: &Index| -> Vec<usize> {
        let why = |n: &usize| compile(index, &format!("n{n}")).unwrap().0.drain.why;
        (1..=4).filter(|n| why(n).is_some()).collect()
    };
    let order = [
        (4, asked("true")),
        (3, asked("2026-05-28T20:26:40Z")),
        (2, asked("true")),
        (1, asked("2026-05-28T20:26:50Z")),
    ];
    for (n, since) in &order {
        put(&mut index, &node(*n, since, "", ""));
        assert_eq!(drained(&index), [4]);
    }
    // With a new word for it, it keeps its place.
    put(&mut index, &node(4, &asked(""), "", ""));
    for (n, _) in &order {
        assert_eq!(drained(&index), [*n]);
        put(&mut index, &node(*n, "", "", ""));
    }
    assert!(drained(&index).is_empty());

    // Who starts anew takes those that say no time for the last, but for those that come later.
    let all: String = order
        .iter()
        .map(|(n, since)| node(*n, since, "", ""))
        .collect();
    let mut restarted = super::index(&(all + &configuration("maxNodes: 1")));
    assert_eq!(drained(&restarted), [3]);
    put(
        &mut restarted,
        &node(3, &asked("2026-05-28T20:27:00Z"), "", ""),
    );
    assert_eq!(drained(&restarted), [1]);
    put(
        &mut restarted,
        &node(1, &asked("2026-05-28T20:27:00Z"), "", ""),
    );
    assert_eq!(
        drained(&restarted),
        [2],
        "n2 and n4 say no time, n1 and n3 a later one"
    );
}

/// A new version of the speaker comes to one node after the other. Those that wait go on waiting.
#[test]
fn who_waits_goes_on_waiting_over_a_restart_of_its_speaker() {
    // The third has a taint all the time that drains nobody, which is no place in the order.
    let of = |n: usize, annotations: &str, taint: Option<&str>| {
        let all = taint.into_iter().chain((n == 3).then_some("gpu"));
        let taints: Vec<String> = all
            .map(|key| format!("{{ key: {key}, effect: NoSchedule }}"))
            .collect();
        let taints = format!("taints: [{}]", taints.join(", "));
        node(n, annotations, &taints, "")
    };
    let limit = configuration("maxNodes: 3, taintKeys: [maintenance]");
    let calm: String = (1..=6).map(|n| of(n, "", None)).collect();
    let mut index = index(&(calm + &limit));
    // By a taint and by the annotation, and never with a time.
    let asked_for: Vec<String> = [6, 5, 4, 1, 2, 3]
        .map(|n| match n {
            5 | 2 => of(n, "", Some("maintenance")),
            n => of(n, &asked("true"), None),
        })
        .into();
    for yaml in &asked_for {
        put(&mut index, yaml);
    }
    let drained = |index: &Index| -> Vec<usize> {
        let why = |n: &usize| compile(index, &format!("n{n}")).unwrap().0.drain.why;
        (1..=6).filter(|n| why(n).is_some()).collect()
    };
    assert_eq!(drained(&index), [4, 5, 6]);
    let order: DrainOrder = index.drain_order().to_string().parse().unwrap();

    let all: String = asked_for.concat() + &limit;
    assert_eq!(drained(&super::index(&all)), [1, 2, 3], "it forgot");
    // Its cache lacks the last that it heard.
    let outdated = all.replace(&asked_for[2], &of(4, "", None));
    let mut restarted = Index::new();
    restarted.recall_drain_order(order.clone());
    let restarted = filled(restarted, &outdated);
    let mut restarted = filled(restarted, &all);
    restarted.forget_earlier_drains();
    assert_eq!(drained(&restarted), [4, 5, 6]);
    assert_eq!(restarted.drain_order(), order);
    // What is heard of now comes after all that.
    put(&mut restarted, &of(1, "", None));
    put(&mut restarted, &of(1, &asked("true"), None));
    put(&mut restarted, &of(6, "", None));
    put(&mut restarted, &of(5, "", None));
    assert_eq!(drained(&restarted), [2, 3, 4]);
}

/// Asked for at one time, as by one command, whoever was heard of first: a speaker that starts anew has to
/// come to the same.
#[test]
fn what_says_the_same_time_is_in_the_order_of_names() {
    let time = asked("2026-05-28T20:26:40Z");
    let calm: String = (1..=2).map(|n| node(n, "", "", "")).collect();
    let mut index = index(&(calm + &configuration("maxNodes: 1")));
    for n in [2, 1] {
        put(&mut index, &node(n, &time, "", ""));
    }
    let why = |name| compile(&index, name).unwrap().0.drain.why;
    assert_eq!(why("n1"), Some(DrainReason::Annotation));
    assert_eq!(why("n2"), None);
}

#[track_caller]
fn one_of(index: &Index, node: &str) -> (DesiredState, Diagnostic) {
    let (desired, diagnostics) = compile(index, node).unwrap();
    assert_eq!(diagnostics.len(), 1, "{diagnostics:#?}");
    (desired, diagnostics.into_iter().next().unwrap())
}

/// Whatever order and limit become, and also after a restart of the speaker.
#[test]
fn a_drained_node_keeps_its_place_until_nothing_asks_for_it() {
    let of = |compiler: &mut Compiler, yaml: &str| {
        let compiled = compiler.compile(&index(yaml), &Changes::everything());
        compiled.unwrap().desired.drain.why
    };
    let limit = |max| configuration(&format!("maxNodes: {max}"));
    let (drained, calm) = (node(2, &asked("true"), "", ""), node(2, "", "", ""));
    // A node that comes before it in every order.
    let first = node(1, &asked("2026-05-28T20:26:40Z"), "", "");
    let mut compiler = Compiler::new("n2");
    let alone = drained.clone() + &limit(1);
    assert_eq!(of(&mut compiler, &alone), Some(DrainReason::Annotation));
    let both = drained.clone() + &first + &limit(1);
    for yaml in [&both, &(drained + &first + &limit(0))] {
        assert_eq!(of(&mut compiler, yaml), Some(DrainReason::Annotation));
    }
    let mut restarted = Compiler::new("n2").with_drained(true);
    assert_eq!(of(&mut restarted, &both), Some(DrainReason::Annotation));
    // It is undrained, and asked for again: now it waits for its turn.
    assert_eq!(of(&mut compiler, &(calm + &first + &limit(1))), None);
    assert_eq!(of(&mut compiler, &both), None);
    assert_eq!(of(&mut Compiler::new("n2"), &both), None);
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
    let routes = routes.map(|way| &**way);
    for advertise in routes.chain(&desired.interfaces["lo"]) {
        let marked = redstart_bgp::types::Community::GRACEFUL_SHUTDOWN;
        assert!(advertise.communities.contains(&marked));
        assert_eq!(advertise.local_pref, Some(0));
    }
    let mut withdrawn = desired.clone();
    withdraw(&mut withdrawn);
    assert_eq!(told(&withdrawn), ["10.0.1.0/24"]);
    assert_eq!(withdrawn.peers, desired.peers, "the sessions stay");
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
