//! What is used of `BGPPeer`s.

use super::*;

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
        Some(Object::Peer(peer)) => (peer.remote.clone(), peer.bind_interface.clone()),
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
                "routeServerClient": true, "allowPeerAS": true,
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
        peer_as_allowed: true,
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
        (internal(), "export", json!({ "allowPeerAS": true }), "export.allowPeerAS"),
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
        ("localASN", json!(0), "", Reason::InvalidAsn),
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
