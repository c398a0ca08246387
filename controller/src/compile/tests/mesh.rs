//! Topologies of the mesh, as the sessions of each node.

use redstart_rib::PeerRules;

use super::*;

/// Nodes `a`, `b`, …, in the order of their letters.
fn nodes(names: &str) -> String {
    let one = |(i, name): (usize, char)| {
        node(
            &name.to_string(),
            &format!("192.0.2.{}", i + 1),
            &format!("10.0.{}.0/24", i + 1),
            &format!("labels: {{ name: {name} }}"),
        )
    };
    names.chars().enumerate().map(one).collect()
}

fn mesh(spec: &str) -> String {
    object(
        "BGPConfiguration",
        "default",
        &format!("{{ mesh: {{ {spec} }} }}"),
    )
}

/// Nodes `r` and `s` are reflectors.
const BY_LABEL: &str = "mode: RouteReflector, routeReflector: { nodeSelector: { matchExpressions: [{ key: name, operator: In, values: [r, s] }] } }";

fn spare(desired: &DesiredState) -> Vec<&str> {
    desired.spare.keys().map(|name| name.0.as_str()).collect()
}

fn rules<'a>(desired: &'a DesiredState, name: &str) -> &'a PeerRules {
    &peer(desired, name).rules
}

#[test]
fn nodes_peer_with_reflectors_and_these_with_everybody() {
    let yaml = nodes("abrs") + &mesh(BY_LABEL);
    let client = clean(&yaml, "a");
    assert_eq!(names(&client), ["mesh-r", "mesh-s"]);
    assert_eq!(spare(&client), ["mesh-b"]);
    assert_eq!(client.spare.values().next().unwrap().until, Until::Replaced);
    let plain = rules(&client, "mesh-r");
    assert_eq!((plain.client, plain.cluster_id), (false, None));

    let reflector = clean(&yaml, "r");
    assert_eq!(names(&reflector), ["mesh-a", "mesh-b", "mesh-s"]);
    assert!(rules(&reflector, "mesh-a").client);
    assert!(!rules(&reflector, "mesh-s").client);
    assert_eq!(rules(&reflector, "mesh-a").cluster_id, None);
    // The pod CIDR goes to every session that there is, needed or not.
    assert_eq!(
        advertised(&client)["10.0.1.0/24"],
        ["mesh-b", "mesh-r", "mesh-s"]
    );
}

#[test]
fn the_cluster_id_is_the_nodes_or_the_common_one_or_the_router_id() {
    let common = BY_LABEL.replace("routeReflector: {", "routeReflector: { clusterID: 1.2.3.4,");
    let own = "labels: { name: s }, annotations: { redstart.dev/cluster-id: 0.0.0.7 }";
    let yaml = nodes("ar") + &node("s", "192.0.2.9", "10.0.9.0/24", own) + &mesh(&common);
    let id = |node| rules(&clean(&yaml, node), "mesh-a").cluster_id;
    assert_eq!(id("r"), Some(0x0102_0304));
    assert_eq!(id("s"), Some(7));
    // Reflectors that are chosen each have their own, or what their Node says.
    let auto = "mode: Auto, routeReflector: { clusterID: 1.2.3.4 }";
    let chosen = nodes("ar") + &node("s", "192.0.2.9", "10.0.9.0/24", own) + &mesh(auto);
    let id = |node| rules(&clean(&chosen, node), "mesh-a").cluster_id;
    assert_eq!((id("r"), id("s")), (None, Some(7)));

    let bad = own.replace("0.0.0.7", "seven");
    let yaml = nodes("ar") + &node("s", "192.0.2.9", "10.0.9.0/24", &bad) + &mesh(&common);
    let (_, diagnostic) = one(&yaml, "a");
    let field = "metadata.annotations[redstart.dev/cluster-id]";
    says(&diagnostic, "Node/s", field, Reason::InvalidAddress);
}

#[test]
fn without_a_reflector_all_nodes_peer() {
    let (desired, diagnostic) = one(&(nodes("abc") + &mesh(BY_LABEL)), "a");
    let field = "spec.mesh.routeReflector.nodeSelector";
    says(
        &diagnostic,
        "BGPConfiguration/default",
        field,
        Reason::NoReflector,
    );
    assert_eq!(names(&desired), ["mesh-b", "mesh-c"]);
}

#[test]
fn a_mode_without_its_selector_is_refused() {
    let (desired, diagnostic) = one(&(nodes("ab") + &mesh("mode: RouteReflector")), "a");
    let field = "spec.mesh.routeReflector.nodeSelector";
    says(
        &diagnostic,
        "BGPConfiguration/default",
        field,
        Reason::MissingField,
    );
    assert_eq!(names(&desired), ["mesh-b"], "the default is in force");
}

#[test]
fn nodes_of_another_as_peer_with_everybody() {
    let other = node(
        "x",
        "192.0.2.99",
        "10.0.99.0/24",
        "annotations: { redstart.dev/asn: \"65001\" }",
    );
    let yaml = nodes("abr") + &other + &mesh(BY_LABEL);
    assert_eq!(names(&clean(&yaml, "a")), ["mesh-r", "mesh-x"]);
    let (desired, diagnostic) = one(&yaml, "x");
    assert_eq!(diagnostic.reason, Reason::NoReflector);
    assert_eq!(names(&desired), ["mesh-a", "mesh-b", "mesh-r"]);
    // Nothing is reflected to another AS.
    assert!(desired.peers.values().all(|peer| !peer.rules.client));
}

/// Who is wanted by, and spare at, each node.
fn topology(yaml: &str, names: &str) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let of = |node: char| {
        let desired = clean(yaml, &node.to_string());
        let text = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
        (
            node.to_string(),
            (text(super::names(&desired)), text(spare(&desired))),
        )
    };
    names.chars().map(of).collect()
}

#[test]
fn every_node_comes_to_the_same_topology() {
    const NAMES: &str = "abcdefgh";
    for spec in [
        "mode: Auto, auto: { fullMeshUpTo: 8 }",
        "mode: Auto, auto: { fullMeshUpTo: 7 }",
        "mode: Auto, auto: { fullMeshUpTo: 6, reflectors: 2 }",
        "mode: FullMesh",
    ] {
        let topology = topology(&(nodes(NAMES) + &mesh(spec)), NAMES);
        for (node, (wanted, spare)) in &topology {
            assert_eq!(wanted.len() + spare.len(), NAMES.len() - 1, "{spec}");
            let back = format!("mesh-{node}");
            let other = |name: &String| &topology[name.strip_prefix("mesh-").unwrap()];
            assert!(wanted.iter().all(|name| other(name).0.contains(&back)));
            assert!(spare.iter().all(|name| other(name).1.contains(&back)));
        }
    }
}

#[test]
fn auto_makes_a_mesh_then_keeps_it_then_replaces_it_and_always_reflects() {
    const NAMES: &str = "abcdefgh";
    let shape = |up_to: u32| {
        let spec = format!("mode: Auto, auto: {{ fullMeshUpTo: {up_to}, reflectors: 2 }}");
        let yaml = nodes(NAMES) + &mesh(&spec);
        let all: Vec<DesiredState> = NAMES
            .chars()
            .map(|node| clean(&yaml, &node.to_string()))
            .collect();
        let reflects = |d: &&DesiredState| d.peers.values().any(|peer| peer.rules.client);
        assert_eq!(all.iter().filter(reflects).count(), 2);
        let client = all.into_iter().find(|d| !reflects(&d)).unwrap();
        let until: Vec<Until> = client.spare.values().map(|spare| spare.until).collect();
        (client.peers.len(), until)
    };
    assert_eq!(shape(8), (7, vec![]));
    assert_eq!(shape(7), (2, vec![Until::Down; 5]));
    assert_eq!(shape(6), (2, vec![Until::Replaced; 5]));
}

#[test]
fn a_router_may_not_have_the_address_of_a_node_that_is_no_neighbour() {
    let router = object("BGPPeer", "tor", "{ address: 192.0.2.2, asn: 64601 }");
    let (desired, diagnostic) = one(&(nodes("abrs") + &mesh(BY_LABEL) + &router), "a");
    says(
        &diagnostic,
        "BGPPeer/tor",
        "spec.address",
        Reason::DuplicatePeerAddress,
    );
    assert_eq!(names(&desired), ["mesh-r", "mesh-s"]);
}

#[test]
fn a_node_may_send_a_multiple_of_what_the_cluster_has() {
    let limits = |pod_cidrs: usize| {
        let cidrs: Vec<String> = (0..pod_cidrs)
            .map(|i| format!("10.{}.{}.0/24", i / 256, i % 256))
            .collect();
        let yaml = node("a", "192.0.2.1", &cidrs.join(", "), "") + &node("b", "192.0.2.2", "", "");
        let desired = clean(&yaml, "b");
        let mesh = peer(&desired, "mesh-a");
        assert!(mesh.limit_restart.is_some(), "it is tried again");
        mesh.rules.limits.map(|limit| limit.unwrap().max)
    };
    assert_eq!(limits(1), [1024, 1024]);
    assert_eq!(limits(512), [1024, 1024]);
    assert_eq!(limits(513), [2048, 1024], "each family by itself");
    assert_eq!(limits(700), limits(900), "not with every Node");
}

/// ADR 25: whatever is asked for goes to routers; nodes tell each other their pod CIDRs, with one path each.
#[test]
fn the_mesh_carries_pod_cidrs_alone() {
    let everything = object(
        "BGPAdvertisement",
        "all",
        "{ services: { addresses: [ClusterIP, ExternalIP, LoadBalancerIP] }, staticPrefixes: [203.0.113.0/24], interfaces: [lo], kernelTables: [100] }",
    );
    let service = services::load_balancer("web", "198.51.100.1", "externalTrafficPolicy: Local")
        + &services::slice("web", &[("a", "ready: true"), ("r", "ready: true")]);
    let yaml = nodes("abrs") + &tor("tor", "") + &everything + &service;
    for mode in [
        "mode: FullMesh",
        BY_LABEL,
        "mode: Auto, auto: { fullMeshUpTo: 2, reflectors: 2 }",
    ] {
        for node in ["a", "r"] {
            let desired = clean(&(yaml.clone() + &mesh(mode)), node);
            let in_mesh = |name: &str| name.starts_with("mesh-");
            for (prefix, to) in advertised(&desired) {
                let is_pod_cidr = prefix.starts_with("10.0.");
                assert_eq!(
                    to.iter().any(|name| in_mesh(name)),
                    is_pod_cidr,
                    "{mode}: {prefix} to {to:?}"
                );
                assert_eq!(
                    to.contains(&"tor"),
                    !is_pod_cidr,
                    "{mode}: {prefix} to {to:?}"
                );
            }
            assert!(advertised(&desired).contains_key("198.51.100.1/32"));
            let found = desired
                .interfaces
                .values()
                .chain(desired.kernel_tables.values());
            for way in found.flatten() {
                assert!(way.peers.iter().all(|name| !in_mesh(&name.0)), "{way:?}");
            }
            let nodes = desired
                .peers
                .values()
                .filter(|peer| peer.role != PeerRole::Router);
            assert!(
                nodes
                    .into_iter()
                    .all(|peer| peer.add_path == AddPath::default())
            );
        }
    }
}

#[test]
fn a_session_that_need_not_be_is_what_it_would_be_otherwise() {
    let nodes = nodes("abrs");
    let spare = clean(&(nodes.clone() + &mesh(BY_LABEL)), "a").spare;
    let full = clean(&(nodes + &mesh("mode: FullMesh")), "a");
    let name = PeerName("mesh-b".to_owned());
    let kept = spare.get(&name).unwrap();
    assert_eq!(kept.peer, *full.peers[&name]);
    assert_eq!(kept.prefixes.len(), 1);
    assert!(spare.contains_key(&name) && spare.values().eq([kept]));
    let absent = PeerName("mesh-r".to_owned());
    assert!(spare.get(&absent).is_none() && !spare.contains_key(&absent));
}
