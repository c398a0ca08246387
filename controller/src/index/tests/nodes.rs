//! What is used of Nodes.

use super::*;

#[test]
fn a_node_is_reduced_to_what_is_used() {
    let observed = node(json!({
        "metadata": { "name": "a", "labels": { "rack": "r1" }, "creationTimestamp": "1970-01-01T00:01:00Z" },
        "spec": { "podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "2001:db8::1/64"] },
        "status": { "addresses": [
            { "type": "Hostname", "address": "a" },
            { "type": "ExternalIP", "address": "203.0.113.1" },
            { "type": "InternalIP", "address": "fe80::1" },
            { "type": "InternalIP", "address": "192.0.2.1" },
            { "type": "InternalIP", "address": "192.0.2.2" },
            { "type": "InternalIP", "address": "2001:db8::1" },
        ] },
    }));
    assert_eq!(problems(&observed), []);
    let node = parsed_node(observed);
    assert_eq!(node.meta.created, Some(60));
    assert_eq!(node.ipv4, Some([192, 0, 2, 1].into()));
    assert_eq!(node.ipv6, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(node.addresses.len(), 5);
    let cidrs: Vec<String> = node.pod_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(cidrs, ["10.0.0.0/24", "2001:db8::/64"]);
}

#[test]
fn old_clusters_have_only_one_pod_cidr() {
    let observed =
        node(json!({ "metadata": { "name": "a" }, "spec": { "podCIDR": "10.0.0.0/24" } }));
    assert_eq!(parsed_node(observed).pod_cidrs.len(), 1);
}

#[test]
fn annotations_of_a_node_count() {
    let node = parsed_node(node(json!({
        "metadata": { "name": "a", "annotations": {
            "redstart.dev/asn": "64512.1",
            "redstart.dev/router-id": "1.2.3.4",
            "redstart.dev/address": "198.51.100.1, 2001:db8::2",
        } },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }] },
    })));
    assert_eq!(node.asn, Some(Asn(64512 << 16 | 1)));
    assert_eq!(node.router_id, Some(RouterId([1, 2, 3, 4].into())));
    assert_eq!(node.ipv4, Some([198, 51, 100, 1].into()));
    assert_eq!(node.ipv6, Some("2001:db8::2".parse().unwrap()));
    let kubelet: IpAddr = [192, 0, 2, 1].into();
    assert!(node.addresses.contains(&kubelet));
}

#[test]
fn what_is_wrong_with_a_node_leaves_the_rest_of_it() {
    let observed = node(json!({
        "metadata": { "name": "a", "annotations": {
            "redstart.dev/asn": "23456",
            "redstart.dev/router-id": "0.0.0.0",
            "redstart.dev/address": "localhost,127.0.0.1",
        } },
        "spec": { "podCIDRs": ["10.0.0.0/33", "10.0.1.0/24", "0.0.0.0/0"] },
        "status": { "addresses": [
            { "type": "InternalIP", "address": "nonsense" },
            { "type": "InternalIP", "address": "192.0.2.1" },
        ] },
    }));
    assert_eq!(
        problems(&observed),
        [
            ("status.addresses[0].address", Reason::InvalidAddress),
            ("spec.podCIDRs[0]", Reason::InvalidCidr),
            ("spec.podCIDRs[2]", Reason::InvalidCidr),
            ("metadata.annotations[redstart.dev/asn]", Reason::InvalidAsn),
            (
                "metadata.annotations[redstart.dev/router-id]",
                Reason::InvalidRouterId
            ),
            (
                "metadata.annotations[redstart.dev/address]",
                Reason::InvalidAddress
            ),
            (
                "metadata.annotations[redstart.dev/address]",
                Reason::InvalidAddress
            ),
        ]
    );
    let node = parsed_node(observed);
    assert_eq!(node.ipv4, Some([192, 0, 2, 1].into()));
    assert_eq!((node.asn, node.router_id), (None, None));
    assert_eq!(node.pod_cidrs.len(), 1);
}

#[test]
fn a_bad_annotation_leaves_the_last_good_one_in_force() {
    let annotated = |asn: &str, address: &str| {
        let annotations = json!({ "redstart.dev/asn": asn, "redstart.dev/address": address });
        let status = json!({ "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }] });
        let metadata = json!({ "name": "a", "annotations": annotations });
        node(json!({ "metadata": metadata, "status": status }))
    };
    let mut index = complete_index();
    let said = |index: &Index| {
        let node = &index.complete().unwrap().nodes["a"];
        (node.asn.unwrap().0, node.ipv4.unwrap().to_string())
    };
    index.apply(SourceEvent::Applied(annotated("65001", "192.0.2.9")));
    index.apply(SourceEvent::Applied(annotated("65001x", "192.0.2.")));
    assert_eq!(said(&index), (65001, "192.0.2.9".to_owned()));
    assert_eq!(index.problems().count(), 2);
    index.apply(SourceEvent::Applied(annotated("65002", "192.0.2.8")));
    assert_eq!(said(&index), (65002, "192.0.2.8".to_owned()));
    assert_eq!(index.problems().count(), 0);
}

/// A typo in the one list or the other is no reason to withdraw a node's pods, or to end its sessions.
#[test]
fn bad_pod_cidrs_and_addresses_leave_the_last_good_ones_in_force() {
    let written = |cidr: &str, address: &str| {
        let status = json!({ "addresses": [{ "type": "InternalIP", "address": address }] });
        let spec = json!({ "podCIDRs": [cidr] });
        node(json!({ "metadata": { "name": "a" }, "spec": spec, "status": status }))
    };
    let mut index = complete_index();
    let said = |index: &Index| {
        let node = &index.complete().unwrap().nodes["a"];
        (node.pod_cidrs.clone(), node.ipv4.unwrap().to_string())
    };
    index.apply(SourceEvent::Applied(written("10.0.1.0/24", "192.0.2.1")));
    let before = said(&index);
    index.apply(SourceEvent::Applied(written("10.0.1.0/33", "192.0.2.300")));
    assert_eq!(said(&index), before);
    assert_eq!(index.problems().count(), 2);
    index.apply(SourceEvent::Applied(written("10.0.2.0/24", "192.0.2.2")));
    let after = (vec!["10.0.2.0/24".parse().unwrap()], "192.0.2.2".to_owned());
    assert_eq!(said(&index), after);
    assert_eq!(index.problems().count(), 0);
}

#[test]
fn two_addresses_of_one_family_are_a_conflict() {
    let observed = node(json!({
        "metadata": { "name": "a", "annotations": { "redstart.dev/address": "192.0.2.1,192.0.2.2" } },
    }));
    let field = "metadata.annotations[redstart.dev/address]";
    assert_eq!(problems(&observed), [(field, Reason::Conflict)]);
    assert_eq!(parsed_node(observed).ipv4, Some([192, 0, 2, 2].into()));
}
