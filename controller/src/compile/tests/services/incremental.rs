//! A compiler that looks only at what has changed comes to what a fresh one comes to.

use proptest::prelude::*;

use super::*;
use crate::index::Observed;

/// Versions of objects that bear on each other: shared addresses, a Service that comes and goes, a
/// slice that moves to another Service, endpoints in every state.
fn versions() -> Vec<Observed> {
    let local = "externalTrafficPolicy: Local";
    let mut yaml = load_balancer("one", "203.0.113.1", "")
        + &load_balancer("one", "203.0.113.2", local)
        + &load_balancer("two", "203.0.113.1", local)
        + &load_balancer(
            "two",
            "203.0.113.1",
            "externalIPs: [203.0.113.3, 198.51.100.1]",
        )
        + &service(
            "two",
            "clusterIP: 10.96.0.2, internalTrafficPolicy: Local",
            "",
        )
        // The lowest and the highest cluster IPs say what is refused from routers.
        + &service("two", "clusterIPs: [10.96.0.9, 'fd00:96::9']", "")
        + &service("three", "clusterIPs: ['fd00:96::3', 10.99.3.1]", "")
        + &service("three", "clusterIP: 172.20.0.1", "")
        + &service("four", "clusterIP: 10.96.0.7", "");
    for (name, service) in [("s1", "one"), ("s1", "two"), ("s2", "one"), ("s3", "two")] {
        for conditions in [READY, NOT_READY, DRAINING, GONE] {
            for node in ["a", "b"] {
                yaml += &named_slice(name, service, "IPv4", &[(node, conditions)]);
            }
        }
    }
    yaml += &rules();
    manifest::parse("test.yaml", &yaml).unwrap().objects
}

/// Versions of objects by which all Services are judged: with them everything is looked at again.
fn rules() -> String {
    let excluded = "labels: { node.kubernetes.io/exclude-from-external-load-balancers: \"\" }";
    let ranges = "{ services: { allowedExternalIPs: [198.51.100.0/24], allowedLoadBalancerIPs: [203.0.113.2/32] } }";
    let before_the_other = "{ services: { addresses: [LoadBalancerIP], aggregates: [{ prefix: 203.0.113.0/30 }] }, med: 7 }";
    node("a", "192.0.2.1", "10.0.1.0/24", excluded)
        + &node("a", "192.0.2.1", "10.0.1.0/24", "")
        + &node("c", "203.0.113.1", "10.96.0.0/24", "")
        + &object("BGPConfiguration", "default", ranges)
        + &object("BGPConfiguration", "default", "{}")
        + &object(
            "BGPConfiguration",
            "default",
            "{ serviceCIDRs: [10.96.0.0/16] }",
        )
        + &object("BGPAdvertisement", "aaa", before_the_other)
        + &object(
            "BGPAdvertisement",
            "adv",
            "{ services: { addresses: [ClusterIP] } }",
        )
}

const ADVERTISEMENT: &str = "{ services: { addresses: [ClusterIP, ExternalIP, LoadBalancerIP], aggregates: [{ prefix: 203.0.113.0/28 }] } }";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order, with a compile after any of the events or none. And an index
    /// of this node comes to what one comes to that is everybody's.
    #[test]
    fn steps_come_to_what_everything_at_once_comes_to(
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 1..40),
    ) {
        let versions = versions();
        let mut everybodys = index(&cluster(ADVERTISEMENT));
        let mut index = filled(Index::of_node("a"), &cluster(ADVERTISEMENT));
        let mut compiler = Compiler::new("a");
        let changes = index.take_changes();
        let mut last = compiler.compile(&index, &changes).unwrap();
        for (which, delete, look) in steps {
            let observed = which.get(&versions).clone();
            let event = if delete {
                SourceEvent::Deleted(observed.key)
            } else {
                SourceEvent::Applied(observed)
            };
            everybodys.apply(event.clone());
            index.apply(event);
            if look {
                let changes = index.take_changes();
                last = compiler.compile(&index, &changes).unwrap_or(last);
                let fresh = Compiler::new("a").compile(&everybodys, &Changes::everything());
                prop_assert_eq!(Some(&last), fresh.as_ref());
            }
        }
    }
}

#[test]
fn a_change_that_makes_no_difference_is_none() {
    let web =
        load_balancer("web", "203.0.113.1", "") + &slice("web", &[("a", READY), ("b", READY)]);
    let mut index = index(&(cluster(ALL) + &web));
    let mut compiler = Compiler::new("a");
    let changes = index.take_changes();
    compiler.compile(&index, &changes).unwrap();
    let mut apply = |yaml: &str| {
        let objects = manifest::parse("test.yaml", yaml).unwrap().objects;
        for object in objects {
            index.apply(SourceEvent::Applied(object));
        }
        let changes = index.take_changes();
        (
            changes.is_empty(),
            compiler.compile(&index, &changes).is_some(),
        )
    };
    // Another address of the same pod is no change at all; one endpoint less, none that matters here.
    let moved = slice("web", &[("a", READY), ("b", READY)]).replace("10.0.1.7", "10.0.1.8");
    assert_eq!(apply(&moved), (true, false));
    assert_eq!(apply(&slice("web", &[("a", READY)])), (false, false));
    assert_eq!(apply(&slice("web", &[("b", READY)])), (false, false));
    assert_eq!(apply(&slice("web", &[("b", NOT_READY)])), (false, true));
}

#[test]
fn an_endpoint_that_moves_between_other_nodes_is_no_change() {
    let web = |node| slice("web", &[("a", READY), (node, READY)]);
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", "") + &web("b");
    let mut index = filled(Index::of_node("a"), &yaml);
    index.take_changes();
    let mut apply = |yaml: &str| {
        for object in manifest::parse("test.yaml", yaml).unwrap().objects {
            index.apply(SourceEvent::Applied(object));
        }
        index.take_changes().is_empty()
    };
    assert!(apply(&web("c")));
    assert!(!apply(&web("a")));
}

#[test]
fn a_route_that_stays_is_the_same_value() {
    let web = load_balancer("web", "203.0.113.1", "") + &slice("web", &[("a", READY)]);
    let mut index = index(&(cluster(ALL) + &web));
    let mut compiler = Compiler::new("a");
    let mut compile = |index: &mut Index| {
        let changes = index.take_changes();
        compiler.compile(index, &changes).unwrap().desired
    };
    let before = compile(&mut index);
    let more = load_balancer("db", "203.0.113.2", "") + &slice("db", &[("a", READY)]);
    for object in manifest::parse("test.yaml", &more).unwrap().objects {
        index.apply(SourceEvent::Applied(object));
    }
    let after = compile(&mut index);
    assert_eq!(after.originations.len(), before.originations.len() + 1);
    for (prefix, route) in before.originations.iter() {
        assert!(std::sync::Arc::ptr_eq(route, &after.originations[prefix]));
    }
    assert!(std::sync::Arc::ptr_eq(&before.peers, &after.peers));
}
