use std::collections::BTreeMap;

use super::*;
use crate::source::{SourceEvent, manifest};

mod advertisements;
mod clashes;
mod drain;
mod mesh;
mod order;
mod policies;
mod routers;
mod services;

/// Every kind listed, with these objects.
fn index(yaml: &str) -> Index {
    filled(Index::new(), yaml)
}

/// `index` with every kind listed.
fn filled(mut index: Index, yaml: &str) -> Index {
    let manifest = manifest::parse("test.yaml", yaml).unwrap();
    assert_eq!(manifest.problems, []);
    for kind in Kind::ALL {
        let objects = manifest.objects.iter();
        let objects = objects.filter(|o| o.key.kind == kind).cloned().collect();
        index.apply(SourceEvent::Restarted { kind, objects });
    }
    index
}

/// What comes later: objects that are put, and one after the other.
fn put(index: &mut Index, yaml: &str) {
    let manifest = manifest::parse("test.yaml", yaml).unwrap();
    assert_eq!(manifest.problems, []);
    for object in manifest.objects {
        index.apply(SourceEvent::Applied(object));
    }
}

#[track_caller]
fn clean(yaml: &str, node: &str) -> DesiredState {
    let (desired, diagnostics) = compile(&index(yaml), node).unwrap();
    assert_eq!(diagnostics, []);
    desired
}

/// The state, and the one diagnostic.
#[track_caller]
fn one(yaml: &str, node: &str) -> (DesiredState, Diagnostic) {
    let (desired, diagnostics) = compile(&index(yaml), node).unwrap();
    assert_eq!(diagnostics.len(), 1, "{diagnostics:#?}");
    (desired, diagnostics.into_iter().next().unwrap())
}

#[track_caller]
fn says(diagnostic: &Diagnostic, object: &str, field: &str, reason: Reason) {
    assert_eq!(
        (
            diagnostic.object.to_string().as_str(),
            diagnostic.field.as_str(),
            diagnostic.reason
        ),
        (object, field, reason),
        "{diagnostic}"
    );
}

fn names(desired: &DesiredState) -> Vec<&str> {
    desired.peers.keys().map(|name| name.0.as_str()).collect()
}

fn peer<'a>(desired: &'a DesiredState, name: &str) -> &'a Peer {
    &desired.peers[&PeerName(name.to_owned())]
}

/// Prefix to the peers that get it.
fn advertised(desired: &DesiredState) -> BTreeMap<String, Vec<&str>> {
    desired
        .originations
        .iter()
        .map(|(prefix, origination)| {
            let peers = origination.advertise.iter().flat_map(|a| &a.peers);
            (prefix.to_string(), peers.map(|p| p.0.as_str()).collect())
        })
        .collect()
}

const NODES: &str = r#"
apiVersion: v1
kind: Node
metadata: { name: a, labels: { rack: r1 } }
spec: { podCIDRs: [10.0.1.0/24, "2001:db8:1::/64"] }
status: { addresses: [{ type: InternalIP, address: 192.0.2.1 }, { type: InternalIP, address: "2001:db8::1" }] }
---
apiVersion: v1
kind: Node
metadata: { name: b, labels: { rack: r2 } }
spec: { podCIDRs: [10.0.2.0/24, "2001:db8:2::/64"] }
status: { addresses: [{ type: InternalIP, address: 192.0.2.2 }, { type: InternalIP, address: "2001:db8::2" }] }
---
"#;

fn node(name: &str, address: &str, cidr: &str, metadata: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{ name: {name}, {metadata} }}\nspec: {{ podCIDRs: [{cidr}] }}\nstatus: {{ addresses: [{{ type: InternalIP, address: \"{address}\" }}] }}\n---\n"
    )
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: {kind}\nmetadata: {{ name: {name}, labels: {{ name: {name} }} }}\nspec: {spec}\n---\n"
    )
}

fn tor(name: &str, spec: &str) -> String {
    object(
        "BGPPeer",
        name,
        &format!("{{ address: 192.0.2.254, asn: 64601, {spec} }}"),
    )
}

fn secret(name: &str, key: &str, value: &str) -> String {
    format!(
        "{{ apiVersion: v1, kind: Secret, metadata: {{ name: {name} }}, stringData: {{ {key}: {value:?} }} }}\n---\n"
    )
}

#[test]
fn nothing_is_compiled_before_every_kind_is_listed() {
    let mut partial = Index::new();
    for kind in &Kind::ALL[1..] {
        let objects = Vec::new();
        partial.apply(SourceEvent::Restarted {
            kind: *kind,
            objects,
        });
    }
    assert_eq!(compile(&partial, "a"), None);
}

#[test]
fn nodes_alone_make_a_full_mesh() {
    insta::assert_debug_snapshot!(clean(NODES, "a"));
}

#[test]
fn without_its_node_a_speaker_is_idle() {
    let (desired, diagnostic) = one(NODES, "c");
    says(&diagnostic, "Node/c", "metadata.name", Reason::NodeMissing);
    assert_eq!(desired.node, None);
    assert!(desired.peers.is_empty() && desired.originations.is_empty());
    assert!(desired.listen.is_empty());
}

#[test]
fn without_an_address_a_speaker_is_idle() {
    let (desired, diagnostic) = one("{ apiVersion: v1, kind: Node, metadata: { name: a } }", "a");
    says(&diagnostic, "Node/a", "status.addresses", Reason::NoAddress);
    assert_eq!(desired.node, None);
}

#[test]
fn mesh_sessions_prefer_ipv4_and_carry_both_families() {
    let v6 = node("c", "2001:db8::3", "\"2001:db8:3::/64\"", "");
    let desired = clean(&format!("{NODES}{v6}"), "a");
    let (b, c) = (peer(&desired, "mesh-b"), peer(&desired, "mesh-c"));
    assert_eq!(b.remote.to_string(), "192.0.2.2:179");
    assert_eq!(b.families, redstart_bgp::types::FamilySet::ALL);
    assert_eq!(c.remote.to_string(), "[2001:db8::3]:179");
    assert_eq!(c.local, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(c.families, b.families, "its addresses may come later");
}

#[test]
fn both_ends_of_a_mesh_session_agree() {
    let v6 = node(
        "c",
        "2001:db8::3",
        "\"2001:db8:3::/64\"",
        "annotations: { redstart.dev/asn: \"65001\" }",
    );
    let yaml = format!("{NODES}{v6}");
    for (one, other) in [("a", "b"), ("a", "c"), ("b", "c")] {
        let (left, right) = (clean(&yaml, one), clean(&yaml, other));
        let there = peer(&left, &format!("mesh-{other}"));
        let back = peer(&right, &format!("mesh-{one}"));
        assert_eq!(there.local, back.remote.address().map(|a| a.ip()));
        assert_eq!(back.local, there.remote.address().map(|a| a.ip()));
        assert_eq!(there.families, back.families);
        assert_eq!(there.remote_as, RemoteAs::Number(back.local_as));
        assert_eq!(back.remote_as, RemoteAs::Number(there.local_as));
        assert_eq!(there.import, Import::Owner(other.to_owned()));
        let owned = left.owners.iter().filter(|(_, owner)| owner.node == other);
        assert!(
            owned
                .map(|(prefix, _)| prefix)
                .eq(right.originations.keys())
        );
    }
}

#[test]
fn nodes_without_a_common_family_do_not_peer() {
    let yaml =
        node("a", "192.0.2.1", "10.0.1.0/24", "") + &node("b", "2001:db8::2", "10.0.2.0/24", "");
    let (desired, diagnostic) = one(&yaml, "a");
    says(
        &diagnostic,
        "Node/b",
        "status.addresses",
        Reason::NoCommonFamily,
    );
    assert!(desired.peers.is_empty());
    let yaml = format!("{NODES}{{ apiVersion: v1, kind: Node, metadata: {{ name: c }} }}");
    let (desired, diagnostic) = one(&yaml, "a");
    says(&diagnostic, "Node/c", "status.addresses", Reason::NoAddress);
    assert_eq!(names(&desired), ["mesh-b"]);
}

#[test]
fn nodes_that_share_an_address_are_named() {
    let annotation = "annotations: { redstart.dev/router-id: 9.9.9.9 }";
    let yaml = NODES.to_owned() + &node("c", "192.0.2.2", "10.0.3.0/24", annotation);
    let (desired, diagnostic) = one(&yaml, "a");
    says(
        &diagnostic,
        "Node/c",
        "status.addresses",
        Reason::DuplicatePeerAddress,
    );
    assert_eq!(names(&desired), ["mesh-b"]);
    let (desired, diagnostic) = one(&yaml, "b");
    says(
        &diagnostic,
        "Node/c",
        "status.addresses",
        Reason::OwnAddress,
    );
    assert_eq!(names(&desired), ["mesh-a"]);
}

#[test]
fn router_ids_follow_the_rule_and_must_differ() {
    let id = |yaml: &str| clean(yaml, "a").node.unwrap().router_id.to_string();
    assert_eq!(id(NODES), "192.0.2.1");
    let hashed = id(&node("a", "2001:db8::1", "10.0.1.0/24", ""));
    let rule = object("BGPConfiguration", "default", "{ routerIDRule: NodeName }");
    assert_eq!(id(&format!("{NODES}{rule}")), hashed);
    assert_eq!(hashed, "228.12.41.44");
    let annotation = "annotations: { redstart.dev/router-id: 192.0.2.1 }";
    let yaml = NODES.to_owned() + &node("c", "192.0.2.3", "10.0.3.0/24", annotation);
    let (desired, diagnostic) = one(&yaml, "b");
    let field = "metadata.annotations[redstart.dev/router-id]";
    says(&diagnostic, "Node/c", field, Reason::DuplicateRouterId);
    assert!(diagnostic.message.contains("Node/a"), "{diagnostic}");
    assert_eq!(desired.peers.len(), 2);
}

/// Node a, with these addresses.
fn node_at(addresses: &[&str], annotation: &str) -> String {
    let address = |address: &&str| format!("{{ type: InternalIP, address: \"{address}\" }}");
    let addresses: Vec<String> = addresses.iter().map(address).collect();
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{ name: a, {annotation} }}\nspec: {{ podCIDRs: [10.0.1.0/24] }}\nstatus: {{ addresses: [{}] }}\n---\n",
        addresses.join(", ")
    )
}

/// A session cannot outlive a change of the BGP Identifier: what only comes to the node changes none.
#[test]
fn a_router_id_is_kept_for_as_long_as_it_is_the_nodes_own() {
    let rule = |rule: &str| {
        object(
            "BGPConfiguration",
            "default",
            &format!("{{ routerIDRule: {rule} }}"),
        )
    };
    let asked = "annotations: { redstart.dev/router-id: 9.9.9.9 }";
    let (v6, v4, other) = ("2001:db8::1", "192.0.2.1", "192.0.2.99");
    let hash = "228.12.41.44";
    let mut compiler = Compiler::new("a");
    for (yaml, id, why) in [
        (node_at(&[v6], ""), hash, "it has no IPv4 address"),
        (node_at(&[v6, v4], ""), hash, "one that comes later"),
        (node_at(&[v6, v4], asked), "9.9.9.9", "asked for"),
        (node_at(&[v6, v4], ""), v4, "asked for no more"),
        (node_at(&[v6, other, v4], ""), v4, "another one before it"),
        (
            node_at(&[v6, other], ""),
            other,
            "it may be another node's now",
        ),
        (node_at(&[v6], ""), hash, "likewise"),
        (node_at(&[v6, v4], "") + &rule("NodeName"), hash, "the same"),
        (
            node_at(&[v6, v4], "") + &rule("NodeAddress"),
            v4,
            "the rule has changed",
        ),
    ] {
        let compiled = compiler.compile(&index(&yaml), &Changes::everything());
        let desired = compiled.unwrap().desired;
        let node = desired.node.as_ref().unwrap();
        assert_eq!(node.router_id.to_string(), id, "{why}");
        let chosen = compiler.router_id().unwrap();
        assert_eq!(chosen.id, node.router_id);
        // Another process goes on where this one ends; and others believe what it says of its routes.
        let mut next = Compiler::new("a").known_as(Some(chosen));
        let again = next.compile(&index(&yaml), &Changes::everything()).unwrap();
        assert_eq!(again.desired.node, desired.node, "{why}");
        let mut owners = desired.owners.values();
        assert!(
            owners.all(|owner| owner.router_ids.contains(&chosen.id)),
            "{why}"
        );
    }
}

/// Nor is anything forgotten while there is no Node for a moment.
#[test]
fn a_router_id_outlives_its_node_object() {
    let (v6, v4) = ("2001:db8::1", "192.0.2.1");
    let mut compiler = Compiler::new("a");
    let mut compile = |yaml: &str| {
        compiler.compile(&index(yaml), &Changes::everything());
        compiler.router_id().unwrap().id
    };
    let hash = compile(&node_at(&[v6], ""));
    assert_eq!(compile(&node("b", v4, "10.0.2.0/24", "")), hash);
    assert_eq!(compile(&node_at(&[v6, v4], "")), hash);
}

#[test]
fn a_bad_annotation_is_named_and_the_default_used() {
    let annotation = "annotations: { redstart.dev/asn: \"0\" }";
    let (desired, diagnostic) = one(&node("a", "192.0.2.1", "10.0.1.0/24", annotation), "a");
    says(
        &diagnostic,
        "Node/a",
        "metadata.annotations[redstart.dev/asn]",
        Reason::InvalidAsn,
    );
    assert_eq!(desired.node.unwrap().asn.0, 64512);
}

#[test]
fn of_overlapping_pod_cidrs_the_older_node_keeps_its_own() {
    let created = |time: &str| format!("creationTimestamp: {time:?}");
    let older = created("2026-01-01T00:00:00Z");
    let newer = created("2026-01-02T00:00:00Z");
    // By age, by age against no age, by name.
    for (a, b, loser) in [
        (newer.as_str(), older.as_str(), "a"),
        (older.as_str(), newer.as_str(), "b"),
        ("", newer.as_str(), "a"),
        ("", "", "b"),
    ] {
        let yaml =
            node("a", "192.0.2.1", "10.0.0.0/16", a) + &node("b", "192.0.2.2", "10.0.9.0/24", b);
        for name in ["a", "b"] {
            let (desired, diagnostic) = one(&yaml, name);
            let object = format!("Node/{loser}");
            says(
                &diagnostic,
                &object,
                "spec.podCIDRs",
                Reason::OverlappingPodCidr,
            );
            let winner = if loser == "a" { "Node/b" } else { "Node/a" };
            assert!(diagnostic.message.contains(winner), "{diagnostic}");
            assert_eq!(desired.originations.is_empty(), name == loser);
            if name != loser {
                let mut owners = desired.owners.values();
                assert!(owners.all(|owner| owner.node == name));
            }
        }
    }
}

#[test]
fn overlaps_are_found_wherever_they_sort() {
    for (a, b) in [
        ("10.0.0.0/16", "10.0.255.0/24"),
        ("10.0.255.0/24", "10.0.0.0/16"),
        ("10.0.0.0/24", "10.0.0.0/16"),
        ("10.0.0.0/16", "10.0.0.0/24"),
        ("10.0.0.0/24", "10.0.0.0/24"),
    ] {
        let between = "10.1.0.0/24, 9.0.0.0/8, \"2001:db8::/64\"";
        let cidrs = format!("{a}, {between}");
        let yaml = node("a", "192.0.2.1", &cidrs, "") + &node("b", "192.0.2.2", b, "");
        let (_, diagnostic) = one(&yaml, "a");
        says(
            &diagnostic,
            "Node/b",
            "spec.podCIDRs",
            Reason::OverlappingPodCidr,
        );
    }
}
