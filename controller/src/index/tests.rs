use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use redstart_bgp::types::{Asn, Family, Role, RouterId};
use redstart_rib::{NextHopRule, PeerRules, PrefixLimit};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{BGPAdvertisement, BGPConfiguration, BGPPeer},
    compile::{Remote, RemoteAs, Ttl},
    diagnostic::Reason,
};

fn node(object: Value) -> Observed {
    Observed::from(&serde_json::from_value::<core::Node>(object).unwrap())
}

fn peer(name: &str, spec: &Value) -> Observed {
    let object = json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPPeer",
        "metadata": { "name": name }, "spec": spec,
    });
    Observed::from(&serde_json::from_value::<BGPPeer>(object).unwrap())
}

fn configuration(name: &str, spec: &Value) -> Observed {
    let object = json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPConfiguration",
        "metadata": { "name": name }, "spec": spec,
    });
    Observed::from(&serde_json::from_value::<BGPConfiguration>(object).unwrap())
}

fn advertisement(spec: &Value) -> Observed {
    let object = json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPAdvertisement",
        "metadata": { "name": "a" }, "spec": spec,
    });
    Observed::from(&serde_json::from_value::<BGPAdvertisement>(object).unwrap())
}

fn problems(observed: &Observed) -> Vec<(&str, Reason)> {
    let list = observed.problems.iter();
    list.map(|p| (p.field.as_str(), p.reason)).collect()
}

#[track_caller]
fn refused(observed: &Observed, field: &str, reason: Reason) {
    assert_eq!(problems(observed), [(field, reason)]);
    assert_eq!(observed.object, None);
}

#[track_caller]
fn parsed_node(observed: Observed) -> Node {
    match observed.object {
        Some(Object::Node(node)) => node,
        other => panic!("not a Node: {other:?}"),
    }
}

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

#[test]
fn two_addresses_of_one_family_are_a_conflict() {
    let observed = node(json!({
        "metadata": { "name": "a", "annotations": { "redstart.dev/address": "192.0.2.1,192.0.2.2" } },
    }));
    let field = "metadata.annotations[redstart.dev/address]";
    assert_eq!(problems(&observed), [(field, Reason::Conflict)]);
    assert_eq!(parsed_node(observed).ipv4, Some([192, 0, 2, 2].into()));
}

#[test]
fn a_peer_is_parsed() {
    let observed = peer(
        "tor",
        &json!({
            "address": "192.0.2.1", "asn": "External", "localASN": 64999, "sourceAddress": "192.0.2.2",
            "ttlSecurity": 3, "families": ["IPv6"], "import": { "defaultRoute": true },
        }),
    );
    assert_eq!(problems(&observed), []);
    let Some(Object::Peer(peer)) = observed.object else {
        panic!("no Peer");
    };
    let there = "192.0.2.1:179".parse().unwrap();
    assert_eq!(peer.remote, Remote::Address(there));
    assert_eq!(peer.remote_as, RemoteAs::External);
    assert_eq!(peer.local_asn, Some(Asn(64999)));
    assert_eq!(peer.ttl, Some(Ttl::Security(3)));
    assert_eq!(
        peer.families,
        Some([Family::Ipv6Unicast].into_iter().collect())
    );
    assert!(peer.default_route && !peer.passive);
}

#[test]
fn a_router_is_at_an_address_in_a_range_or_behind_an_interface() {
    let remote = |spec: Value| match peer("tor", &spec).object {
        Some(Object::Peer(peer)) => (peer.remote, peer.bind_interface),
        other => panic!("{other:?}"),
    };
    let range =
        json!({ "asn": 1, "listenRange": { "cidr": "2001:db8::/64" }, "bindInterface": "vrf-red" });
    let (range, bound) = remote(range);
    let prefix = "2001:db8::/64".parse().unwrap();
    assert_eq!(range, Remote::Range { prefix, limit: 100 });
    assert_eq!(bound.as_deref(), Some("vrf-red"));
    let (interface, _) = remote(json!({ "asn": 1, "interface": "eth1" }));
    let name = "eth1".to_owned();
    assert_eq!(interface, Remote::Interface { name, port: 179 });
    let (gateway, _) = remote(json!({ "asn": 1, "defaultGateway": "IPv6", "port": 1179 }));
    let (family, port) = (Family::Ipv6Unicast, 1179);
    assert_eq!(gateway, Remote::DefaultGateway { family, port });
}

#[test]
fn a_router_is_in_one_place() {
    let cases = [
        (json!({ "asn": 1 }), "spec.address", Reason::MissingField),
        (
            json!({ "asn": 1, "address": "192.0.2.1", "interface": "eth1" }),
            "spec",
            Reason::Conflict,
        ),
        (
            json!({ "asn": 1, "interface": "eth 1" }),
            "spec.interface",
            Reason::InvalidValue,
        ),
        (
            json!({ "asn": 1, "interface": "eth1", "bindInterface": "eth1" }),
            "spec.bindInterface",
            Reason::Conflict,
        ),
        (
            json!({ "asn": 1, "interface": "eth1", "sourceAddress": "192.0.2.1" }),
            "spec.sourceAddress",
            Reason::Conflict,
        ),
        (
            json!({ "asn": 1, "listenRange": { "cidr": "192.0.2.0/33" } }),
            "spec.listenRange.cidr",
            Reason::InvalidCidr,
        ),
        (
            json!({ "asn": 1, "listenRange": { "cidr": "192.0.2.0/24", "limit": 0 } }),
            "spec.listenRange.limit",
            Reason::InvalidValue,
        ),
    ];
    for (spec, field, reason) in cases {
        refused(&peer("tor", &spec), field, reason);
    }
}

#[test]
fn what_is_special_about_a_peer_is_parsed() {
    let observed = peer(
        "tor",
        &json!({
            "address": "192.0.2.1", "asn": "External",
            "import": {
                "allowOwnAS": 2, "acceptASSets": true, "acceptRemoteNextHops": true,
                "removeMED": true, "ignoreGracefulShutdown": true,
            },
            "export": {
                "transit": true, "nextHop": "Self", "removePrivateAS": true,
                "routeServerClient": true,
            },
            "routeReflector": { "clusterID": "10.0.0.9" },
            "localASN": 64999, "localASNOptions": { "noPrepend": false },
            "maxPrefixes": { "ipv4": 1000, "ipv6": 0, "restartSeconds": 60 },
            "addPath": { "receive": true, "send": true, "maxPaths": 4 },
            "role": "Customer", "strictRole": true, "aigp": true,
            "gracefulRestart": { "longLivedStaleSeconds": 86400 },
        }),
    );
    assert_eq!(problems(&observed), []);
    let Some(Object::Peer(peer)) = observed.object else {
        panic!("no Peer");
    };
    let limit = PrefixLimit {
        max: 1000,
        warn_percent: 75,
    };
    let rules = PeerRules {
        own_as_allowed: 2,
        as_sets: true,
        remove_med: true,
        remote_next_hops: true,
        ignore_graceful_shutdown: true,
        graceful_shutdown: false,
        aigp: Some(true),
        route_server_client: true,
        client: false,
        cluster_id: Some(0x0a00_0009),
        next_hop: NextHopRule::Own,
        remove_private_as: true,
        local_as_received: true,
        own_as_sent: false,
        max_paths_sent: Some(4),
        limits: [Some(limit), None],
    };
    assert_eq!(peer.rules, rules);
    assert_eq!(peer.limit_restart.map(|after| after.as_secs()), Some(60));
    assert!(peer.transit && peer.add_path.receive && peer.add_path.send);
    assert_eq!((peer.role, peer.strict_role), (Some(Role::Customer), true));
}

#[test]
fn a_router_that_says_nothing_of_limits_has_some() {
    let limits = |limits: serde_json::Value| {
        let spec = json!({ "address": "192.0.2.1", "asn": 64601, "maxPrefixes": limits });
        match peer("tor", &spec).object {
            Some(Object::Peer(peer)) => peer.rules.limits.map(|limit| limit.map(|l| l.max)),
            _ => panic!("no Peer"),
        }
    };
    assert_eq!(limits(json!({})), [Some(100_000); 2]);
    assert_eq!(limits(json!({ "ipv6": 7 })), [Some(100_000), Some(7)]);
    assert_eq!(limits(json!({ "ipv4": 0, "ipv6": 0 })), [None; 2]);
}

#[test]
fn fields_that_would_say_nothing_are_refused() {
    let address = || json!({ "address": "192.0.2.1", "asn": 64601 });
    let internal = || json!({ "address": "192.0.2.1", "asn": "Internal" });
    let range = json!({ "listenRange": { "cidr": "192.0.2.0/24" }, "asn": 64601 });
    let interface = json!({ "interface": "eth1", "asn": "External" });
    let client = json!({ "address": "192.0.2.1", "asn": "External" });
    let options = json!({ "noPrepend": false });
    #[rustfmt::skip]
    let cases = [
        (address(), "localASNOptions", options.clone(), "localASNOptions"),
        (address(), "localASNOptions", json!({ "replaceAS": false }), "localASNOptions"),
        (address(), "addPath", json!({ "receive": true, "maxPaths": 4 }), "addPath.maxPaths"),
        (address(), "maxPrefixes", json!({ "ipv4": 0, "ipv6": 0, "restartSeconds": 9 }), "maxPrefixes.restartSeconds"),
        (range, "port", json!(1179), "port"),
        (interface, "ebgpMultihop", json!(2), "ebgpMultihop"),
        (client, "routeReflector", json!({ "client": true }), "routeReflector.client"),
        (internal(), "role", json!("Customer"), "role"),
        (internal(), "export", json!({ "removePrivateAS": true }), "export.removePrivateAS"),
        (internal(), "export", json!({ "routeServerClient": true }), "export.routeServerClient"),
        (internal(), "localASNOptions", options, "localASNOptions"),
    ];
    for (mut spec, field, value, at) in cases {
        assert_eq!(problems(&peer("tor", &spec)), [], "{spec}");
        if field == "localASNOptions" && spec["asn"] == "Internal" {
            spec["localASN"] = 64999.into();
        }
        spec[field] = value;
        refused(&peer("tor", &spec), &format!("spec.{at}"), Reason::Conflict);
    }
    let mut next_hops = address();
    next_hops["families"] = json!(["IPv6"]);
    next_hops["extendedNextHop"] = true.into();
    refused(
        &peer("tor", &next_hops),
        "spec.extendedNextHop",
        Reason::Conflict,
    );
    // With something to say they are as good as any.
    let mut all = address();
    all["localASN"] = 64999.into();
    all["localASNOptions"] = json!({ "noPrepend": false });
    all["addPath"] = json!({ "send": true, "maxPaths": 4 });
    all["maxPrefixes"] = json!({ "ipv6": 0, "restartSeconds": 9 });
    all["families"] = json!(["IPv4"]);
    all["extendedNextHop"] = true.into();
    assert_eq!(problems(&peer("tor", &all)), []);
}

#[test]
fn to_whom_the_node_is_a_route_server_is_its_client() {
    let client = |spec: &serde_json::Value| match peer("tor", spec).object {
        Some(Object::Peer(peer)) => peer.rules.route_server_client,
        _ => panic!("no Peer"),
    };
    let address = json!({ "address": "192.0.2.1", "asn": "External" });
    assert!(!client(&address));
    let mut server = address;
    server["role"] = "RouteServer".into();
    assert!(client(&server));
}

#[test]
fn a_peer_that_means_nothing_is_refused() {
    let selector = json!({ "matchExpressions": [{ "key": "a", "operator": "In" }] });
    #[rustfmt::skip]
    let cases = [
        ("address", json!("192.0.2.x"), "", Reason::InvalidAddress),
        ("address", json!("::ffff:192.0.2.1"), "", Reason::InvalidAddress),
        ("address", json!("224.0.0.5"), "", Reason::InvalidAddress),
        ("asn", json!(0), "", Reason::InvalidAsn),
        ("asn", json!(23456), "", Reason::InvalidAsn),
        ("asn", json!(-1), "", Reason::InvalidAsn),
        ("asn", json!(4_294_967_296_i64), "", Reason::InvalidAsn),
        ("asn", json!("64601"), "", Reason::InvalidAsn),
        ("localASN", json!(65535), "", Reason::InvalidAsn),
        ("port", json!(0), "", Reason::InvalidValue),
        ("ttlSecurity", json!(255), "", Reason::InvalidValue),
        ("ebgpMultihop", json!(0), "", Reason::InvalidValue),
        ("sourceAddress", json!("2001:db8::1"), "", Reason::NoCommonFamily),
        ("timers", json!({ "holdTimeSeconds": 2 }), ".holdTimeSeconds", Reason::InvalidHoldTime),
        ("timers", json!({ "connectRetrySeconds": 0 }), ".connectRetrySeconds", Reason::InvalidValue),
        ("gracefulRestart", json!({ "restartTimeSeconds": 4096 }), ".restartTimeSeconds", Reason::InvalidValue),
        ("gracefulRestart", json!({ "longLivedStaleSeconds": 16_777_216 }), ".longLivedStaleSeconds", Reason::InvalidValue),
        ("import", json!({ "allowOwnAS": 11 }), ".allowOwnAS", Reason::InvalidValue),
        ("routeReflector", json!({ "clusterID": "7" }), ".clusterID", Reason::InvalidAddress),
        ("maxPrefixes", json!({ "warningPercent": 101 }), ".warningPercent", Reason::InvalidValue),
        ("maxPrefixes", json!({ "restartSeconds": 0 }), ".restartSeconds", Reason::InvalidValue),
        ("addPath", json!({ "send": true, "maxPaths": 0 }), ".maxPaths", Reason::InvalidValue),
        ("timers", json!({ "sendHoldSeconds": 2 }), ".sendHoldSeconds", Reason::InvalidValue),
        ("strictRole", json!(true), "", Reason::Conflict),
        ("passwordSecretRef", json!({ "name": "" }), "", Reason::InvalidValue),
        ("nodeSelector", selector, ".matchExpressions[0].values", Reason::InvalidSelector),
    ];
    for (field, value, below, reason) in cases {
        let mut spec = json!({ "address": "192.0.2.1", "asn": 64601 });
        spec[field] = value;
        refused(&peer("tor", &spec), &format!("spec.{field}{below}"), reason);
    }
    let spec = json!({ "address": "192.0.2.1", "asn": 1, "ttlSecurity": 1, "ebgpMultihop": 1 });
    refused(&peer("tor", &spec), "spec.ttlSecurity", Reason::Conflict);
}

#[test]
fn a_configuration_out_of_range_is_refused() {
    let empty = configuration("default", &json!({}));
    assert_eq!(problems(&empty), []);
    let other = configuration("other", &json!({}));
    refused(&other, "metadata.name", Reason::NotDefault);
    for (spec, field, reason) in [
        (json!({ "asn": 23456 }), "spec.asn", Reason::InvalidAsn),
        (
            json!({ "listenPort": 0 }),
            "spec.listenPort",
            Reason::InvalidValue,
        ),
        (
            json!({ "kernel": { "table": 255 } }),
            "spec.kernel.table",
            Reason::InvalidValue,
        ),
        (
            json!({ "kernel": { "metric": 0 } }),
            "spec.kernel.metric",
            Reason::InvalidValue,
        ),
        (
            json!({ "kernel": { "protocol": 4 } }),
            "spec.kernel.protocol",
            Reason::InvalidValue,
        ),
        (
            json!({ "kernel": { "maxPaths": 0 } }),
            "spec.kernel.maxPaths",
            Reason::InvalidValue,
        ),
    ] {
        refused(&configuration("default", &spec), field, reason);
    }
}

#[test]
fn an_advertisement_that_means_nothing_is_refused() {
    assert_eq!(problems(&advertisement(&json!({ "podCIDRs": true }))), []);
    for (spec, field, reason) in [
        (json!({}), "spec", Reason::MissingField),
        (
            json!({ "staticPrefixes": ["x"] }),
            "spec.staticPrefixes[0]",
            Reason::InvalidCidr,
        ),
        (
            json!({ "podCIDRs": true, "communities": ["1:65536"] }),
            "spec.communities[0]",
            Reason::InvalidCommunity,
        ),
        (
            json!({ "podCIDRs": true, "largeCommunities": ["1:1"] }),
            "spec.largeCommunities[0]",
            Reason::InvalidCommunity,
        ),
        (
            json!({ "podCIDRs": true, "prepend": 17 }),
            "spec.prepend",
            Reason::InvalidValue,
        ),
    ] {
        refused(&advertisement(&spec), field, reason);
    }
}

fn listed(kind: Kind, objects: Vec<Observed>) -> SourceEvent {
    SourceEvent::Restarted { kind, objects }
}

fn good_peer(name: &str) -> Observed {
    peer(name, &json!({ "address": "192.0.2.1", "asn": 64601 }))
}

fn bad_peer(name: &str) -> Observed {
    peer(name, &json!({ "address": "192.0.2.1", "asn": 0 }))
}

fn complete_index() -> Index {
    let mut index = Index::new();
    for kind in Kind::ALL {
        index.apply(listed(kind, Vec::new()));
    }
    index
}

#[test]
fn an_index_is_complete_when_every_kind_was_listed() {
    let mut index = Index::new();
    index.apply(SourceEvent::Applied(good_peer("a")));
    for kind in Kind::ALL {
        assert_eq!(index.complete(), None);
        assert!(index.apply(listed(kind, Vec::new())));
    }
    assert!(index.complete().is_some());
}

#[test]
fn only_a_change_is_a_change() {
    let mut index = complete_index();
    assert!(index.apply(SourceEvent::Applied(good_peer("a"))));
    assert!(!index.apply(SourceEvent::Applied(good_peer("a"))));
    assert!(!index.apply(listed(Kind::BgpPeer, vec![good_peer("a")])));
    assert!(index.apply(SourceEvent::Applied(bad_peer("a"))));
    assert!(!index.apply(SourceEvent::Applied(bad_peer("a"))));
    let key = ObjectKey::cluster(Kind::BgpPeer, "a");
    assert!(index.apply(SourceEvent::Deleted(key.clone())));
    assert!(!index.apply(SourceEvent::Deleted(key)));
}

#[test]
fn a_relist_takes_away_what_it_does_not_hold() {
    let mut index = complete_index();
    index.apply(listed(Kind::BgpPeer, vec![good_peer("a"), bad_peer("b")]));
    assert!(index.apply(listed(Kind::BgpPeer, vec![good_peer("c")])));
    let peers = &index.complete().unwrap().peers;
    assert_eq!(peers.keys().collect::<Vec<_>>(), ["c"]);
    assert_eq!(index.problems().count(), 0);
}

#[test]
fn the_last_good_version_survives_a_relist_and_dies_with_the_object() {
    let mut index = complete_index();
    index.apply(SourceEvent::Applied(good_peer("a")));
    index.apply(listed(Kind::BgpPeer, vec![bad_peer("a")]));
    let asn = |index: &Index| {
        index
            .complete()
            .unwrap()
            .peers
            .get("a")
            .map(|p| p.remote_as)
    };
    assert_eq!(asn(&index), Some(RemoteAs::Number(Asn(64601))));
    assert_eq!(index.problems().count(), 1);
    let unreadable = Observed::unreadable(ObjectKey::cluster(Kind::BgpPeer, "a"), "no");
    index.apply(SourceEvent::Applied(unreadable));
    assert!(asn(&index).is_some());
    index.apply(SourceEvent::Deleted(ObjectKey::cluster(Kind::BgpPeer, "a")));
    assert_eq!(asn(&index), None);
    assert_eq!(index.problems().count(), 0);
}

#[test]
fn problems_of_a_place_are_replaced_and_taken_back() {
    let mut index = complete_index();
    let problem = bad_peer("a").problems;
    let say = |problems: &[Diagnostic]| SourceEvent::Problems {
        origin: "a.yaml".to_owned(),
        problems: problems.to_vec(),
    };
    assert!(index.apply(say(&problem)));
    assert!(!index.apply(say(&problem)));
    assert_eq!(index.problems().count(), 1);
    assert!(index.apply(say(&[])));
    assert_eq!(index.problems().count(), 0);
}

#[test]
fn health_is_kept_and_changes_nothing() {
    let mut index = complete_index();
    assert_eq!(index.health(Kind::Node), Health::Starting);
    let health = Health::Retrying {
        error: "timeout".to_owned(),
    };
    let kind = Kind::Node;
    assert!(!index.apply(SourceEvent::Health {
        kind,
        health: health.clone()
    }));
    assert_eq!(index.health(Kind::Node), health);
}
