//! Objects in each other's way, as every node knows it of all.

use std::collections::BTreeSet;

use super::*;
use crate::diagnostic::Severity;

/// Object, field, reason and nodes of each; and that each node says the same of itself when it compiles.
fn found(yaml: &str) -> Vec<(String, String, &'static str, String)> {
    let index = index(yaml);
    let objects = index.complete().unwrap();
    let clashes = clashes(objects, &Selection::of(objects));
    for node in objects.nodes.keys() {
        let (_, problems) = compile(&index, node).unwrap();
        let is_clash = |p: &&Diagnostic| {
            p.severity == Severity::Error || p.reason == Reason::ConflictingAttributes
        };
        let own = problems.iter().filter(is_clash);
        let own: BTreeSet<_> = own.map(|p| (&p.object, &p.field, p.reason)).collect();
        let here = clashes
            .iter()
            .filter(|it| it.nodes.contains(&node.as_str()));
        let here: BTreeSet<_> = here
            .map(|it| (&it.problem.object, &it.problem.field, it.problem.reason))
            .collect();
        assert_eq!(own, here, "Node/{node}");
    }
    let told = clashes.into_iter().map(|it| {
        let Diagnostic {
            object,
            field,
            reason,
            ..
        } = it.problem;
        (object.name, field, reason.as_str(), it.nodes.join(" "))
    });
    told.collect()
}

fn clash(
    object: &str,
    field: &str,
    reason: &'static str,
    nodes: &str,
) -> (String, String, &'static str, String) {
    (
        object.to_owned(),
        field.to_owned(),
        reason,
        nodes.to_owned(),
    )
}

#[test]
fn routers_in_one_place_clash_where_both_are_for_a_node() {
    let in_rack = |rack: &str| format!("nodeSelector: {{ matchLabels: {{ rack: {rack} }} }}");
    let yaml = NODES.to_owned() + &tor("t1", "") + &tor("t2", &in_rack("r2"));
    let same = "duplicate-peer-address";
    assert_eq!(found(&yaml), [clash("t2", "spec.address", same, "b")]);
    // Each rack has its own.
    let yaml = NODES.to_owned() + &tor("t1", &in_rack("r1")) + &tor("t2", &in_rack("r2"));
    assert_eq!(found(&yaml), []);
    for (place, field) in [
        ("defaultGateway: IPv4", "spec.defaultGateway"),
        (
            "listenRange: { cidr: 198.51.100.0/24 }",
            "spec.listenRange.cidr",
        ),
        ("interface: eth1", "spec.interface"),
    ] {
        let peer = |name| object("BGPPeer", name, &format!("{{ {place}, asn: External }}"));
        let yaml = NODES.to_owned() + &peer("t1") + &peer("t2") + &peer("t3");
        let both = ["t2", "t3"].map(|name| clash(name, field, same, "a b"));
        assert_eq!(found(&yaml), both, "{place}");
    }
}

#[test]
fn a_router_that_is_a_node_clashes_with_itself_and_with_the_mesh() {
    let peer = object("BGPPeer", "b-too", "{ address: 192.0.2.2, asn: Internal }");
    let yaml = NODES.to_owned() + &peer;
    let both = [
        clash("b-too", "spec.address", "own-address", "b"),
        clash("b-too", "spec.address", "duplicate-peer-address", "a"),
    ];
    assert_eq!(found(&yaml), both);
    let no_mesh = object("BGPConfiguration", "default", "{ mesh: { mode: None } }");
    assert_eq!(found(&(yaml + &no_mesh)), both[..1]);
    let named = NODES.to_owned() + &tor("mesh-b", "");
    let name = "duplicate-peer-name";
    assert_eq!(found(&named), [clash("mesh-b", "metadata.name", name, "a")]);
}

#[test]
fn a_static_prefix_of_a_node_clashes_on_all_others() {
    let spec = "{ staticPrefixes: [10.0.2.128/25, 10.0.0.0/16] }";
    let yaml = NODES.to_owned() + &tor("tor", "") + &object("BGPAdvertisement", "adv", spec);
    let foreign = clash("adv", "spec.staticPrefixes", "foreign-pod-cidr", "a");
    assert_eq!(found(&yaml), [foreign]);
}

#[test]
fn advertisements_that_contradict_each_other_clash_where_both_are_for_a_node() {
    let advertisement = |name: &str, more: &str| {
        let spec = format!("{{ podCIDRs: true, {more} }}");
        object("BGPAdvertisement", name, &spec)
    };
    let clashing = |first: &str, second: &str| {
        let both = advertisement("one", first) + &advertisement("two", second);
        found(&(NODES.to_owned() + &tor("tor", "") + &both))
    };
    let contradicts = |field, nodes| [clash("two", field, "conflicting-attributes", nodes)];
    assert_eq!(clashing("med: 1", "med: 2"), contradicts("spec.med", "a b"));
    assert_eq!(
        clashing("localPref: 1", "localPref: 2"),
        contradicts("spec.localPref", "a b")
    );
    assert_eq!(
        clashing("", "prepend: 2"),
        contradicts("spec.prepend", "a b")
    );
    let in_r2 = "med: 2, nodeSelector: { matchLabels: { rack: r2 } }";
    assert_eq!(clashing("med: 1", in_r2), contradicts("spec.med", "b"));
    assert_eq!(clashing("med: 1", "localPref: 2"), []);
    assert_eq!(clashing("med: 1", "med: 2, peers: { names: [other] }"), []);
    // Of different prefixes.
    let apart = NODES.to_owned()
        + &tor("tor", "")
        + &object("BGPAdvertisement", "one", "{ podCIDRs: true, med: 1 }")
        + &object(
            "BGPAdvertisement",
            "two",
            "{ staticPrefixes: [198.51.100.0/24], med: 2 }",
        );
    assert_eq!(found(&apart), []);
}

#[test]
fn each_as_without_a_reflector_is_named() {
    let other_as = "annotations: { redstart.dev/asn: \"65001\" }";
    let selector = "{ nodeSelector: { matchLabels: { rack: r1 } } }";
    let mode = |mode: &str| {
        let spec = format!("{{ mesh: {{ mode: {mode}, routeReflector: {selector} }} }}");
        let yaml = NODES.to_owned()
            + &node("c", "192.0.2.3", "10.0.3.0/24", other_as)
            + &object("BGPConfiguration", "default", &spec);
        index(&yaml)
    };
    let index = mode("RouteReflector");
    let without = without_reflector(index.complete().unwrap()).unwrap();
    let [clash] = &without[..] else {
        panic!("{without:?}");
    };
    assert_eq!(clash.nodes, ["c"]);
    let (_, told) = compile(&index, "c").unwrap();
    assert!(told.contains(&clash.problem), "{told:?}");
    let (_, told) = compile(&index, "a").unwrap();
    assert_eq!(told, []);
    assert_eq!(
        without_reflector(mode("FullMesh").complete().unwrap()),
        None
    );
}
