use proptest::prelude::*;

use super::*;
use crate::{api::MeshReflectorSpec, index::Since};

const ASN: Asn = Asn(64512);

/// Nodes by name and zone, and what else is said of them.
fn node(name: &str, zone: &str) -> Node {
    let mut node = Node {
        ipv4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        ..Node::default()
    };
    name.clone_into(&mut node.meta.name);
    node.meta.labels = [(ZONE, zone)].into_iter().collect();
    node
}

fn chosen(nodes: &[Node], wanted: usize) -> BTreeSet<String> {
    let objects = crate::index::Objects {
        nodes: nodes
            .iter()
            .map(|n| (n.meta.name.clone(), n.clone()))
            .collect(),
        ..crate::index::Objects::default()
    };
    let configuration = crate::api::BGPConfigurationSpec::default();
    let own = &nodes[0];
    let scope = Scope {
        objects: &objects,
        configuration: &configuration,
        own,
        identity: identity::identity(own, &configuration),
        pod_cidrs: super::super::super::PodCidrs::assign(&objects.nodes, &mut Vec::new()),
        service_ips: super::super::super::InUse::default(),
    };
    let internal: Vec<&Node> = objects.nodes.values().collect();
    elect(&internal, wanted, &scope)
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn zone_of<'a>(nodes: &'a [Node], name: &str) -> &'a str {
    let node = nodes.iter().find(|n| n.meta.name == name).unwrap();
    node.meta.labels.get(ZONE).unwrap()
}

fn cluster(zones: &[u8]) -> Vec<Node> {
    let named = zones
        .iter()
        .enumerate()
        .map(|(i, zone)| node(&format!("node-{i}"), &format!("zone-{zone}")));
    named.collect()
}

proptest! {
    /// "Stability: a node joining moves at most one reflector"; the same for one that leaves, which is
    /// the same read backwards.
    #[test]
    fn a_node_that_joins_moves_at_most_one_reflector(
        zones in prop::collection::vec(0..5_u8, 1..40),
        joins in 0..5_u8,
        wanted in 1..6_usize,
    ) {
        let mut nodes = cluster(&zones);
        let before = chosen(&nodes, wanted);
        nodes.push(node("the-new-one", &format!("zone-{joins}")));
        let after = chosen(&nodes, wanted);
        prop_assert!(before.difference(&after).count() <= 1, "{before:?} {after:?}");
        prop_assert!(after.difference(&before).count() <= 1, "{before:?} {after:?}");
    }

    /// So many as asked for, and no zone has two while another has none.
    #[test]
    fn reflectors_are_spread_over_the_zones(
        zones in prop::collection::vec(0..5_u8, 1..40),
        wanted in 1..6_usize,
    ) {
        let nodes = cluster(&zones);
        let chosen = chosen(&nodes, wanted);
        prop_assert_eq!(chosen.len(), wanted.min(nodes.len()));
        let used: BTreeSet<&str> = chosen.iter().map(|name| zone_of(&nodes, name)).collect();
        let there: BTreeSet<u8> = zones.iter().copied().collect();
        prop_assert_eq!(used.len(), wanted.min(there.len()));
    }
}

#[test]
fn unfit_nodes_reflect_only_where_there_are_no_others() {
    let mut nodes = cluster(&[0, 0, 1, 1, 2, 2]);
    let best = chosen(&nodes, 3);
    let unfit = nodes.iter_mut().find(|n| best.contains(&n.meta.name));
    let unfit = unfit.unwrap();
    unfit.network_unavailable = true;
    let name = unfit.meta.name.clone();
    let without = chosen(&nodes, 3);
    assert!(!without.contains(&name));
    assert_eq!(best.difference(&without).count(), 1);

    let node = |nodes: &mut Vec<Node>| nodes.iter().position(|n| n.meta.name == name).unwrap();
    let at = node(&mut nodes);
    nodes[at].network_unavailable = false;
    nodes[at].is_unready = true;
    assert_eq!(chosen(&nodes, 3), without, "it is not ready");
    nodes[at].is_unready = false;
    nodes[at].drain.asked = Some(Since::new(None));
    assert_eq!(chosen(&nodes, 3), without, "it is drained");
    nodes[at].drain.asked = None;
    nodes[at].ipv6 = Some("2001:db8::1".parse().unwrap());
    assert_eq!(chosen(&nodes, 1), [name].into(), "all others lack a family");
    for other in &mut nodes {
        other.ipv6 = None;
        other.is_unready = true;
    }
    assert_eq!(chosen(&nodes, 3), best, "nobody is better than they");
}

/// While a cluster goes over to both families one node at a time, those that have them are few. The others are
/// better than a node that died all the same.
#[test]
fn a_node_that_lacks_a_family_is_better_than_one_that_is_not_ready() {
    let mut nodes = cluster(&[0, 0, 1, 1, 2, 2]);
    nodes[0].ipv6 = Some("2001:db8::1".parse().unwrap());
    let before = chosen(&nodes, 3);
    assert!(before.contains(&nodes[0].meta.name), "it reaches all");
    let died = nodes.iter().rposition(|n| before.contains(&n.meta.name));
    let died = died.unwrap();
    assert!(nodes[died].ipv6.is_none());
    nodes[died].is_unready = true;
    let after = chosen(&nodes, 3);
    assert!(!after.contains(&nodes[died].meta.name), "{after:?}");
    assert_eq!(after.len(), 3);
    // The only one with both died: better half of the families than a dead node.
    nodes[0].is_unready = true;
    assert!(!chosen(&nodes, 3).contains(&nodes[0].meta.name));
}

#[test]
fn within_a_tenth_above_the_size_nothing_is_made_or_ended() {
    let auto = |full_mesh_up_to| AutoMeshSpec {
        full_mesh_up_to,
        ..AutoMeshSpec::default()
    };
    let needs = [99, 100, 101, 110, 111].map(|nodes| by_size(nodes, &auto(100)));
    let (wanted, kept, replaced) = (Need::Wanted, Need::Kept, Need::Replaced);
    assert_eq!(needs, [wanted, wanted, kept, kept, replaced]);
    assert_eq!([1, 2].map(|n| by_size(n, &auto(0))), [replaced; 2]);
}

#[test]
fn the_hash_is_the_same_everywhere() {
    assert_eq!(
        hash("node-1"),
        0x91dd_3f4c_04e1_eb05,
        "{:#x}",
        hash("node-1")
    );
}

#[test]
fn a_node_of_another_as_is_always_peered_with() {
    let topology = Topology {
        asn: ASN,
        reflectors: ["r"].into(),
        between_others: Need::Replaced,
    };
    assert_eq!(topology.need("a", "b", ASN), Need::Replaced);
    assert_eq!(topology.need("a", "b", Asn(65001)), Need::Wanted);
    assert_eq!(topology.need("a", "r", ASN), Need::Wanted);
    assert_eq!(topology.need("r", "b", ASN), Need::Wanted);
    assert_eq!(MeshReflectorSpec::default().node_selector, None);
}
