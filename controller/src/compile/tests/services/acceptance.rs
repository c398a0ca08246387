//! The acceptance cases for Services that other systems' tests and users' reports have taught.

use super::*;

fn endpoints_on_both() -> String {
    slice("web", &[("a", READY), ("b", READY)])
}

#[test]
fn acceptance_01_cluster_range_local_service_scale_and_delete() {
    let advertisement = "{ services: { addresses: [ClusterIP, ExternalIP], aggregates: [{ prefix: 10.96.0.0/12 }] } }";
    let web = |policy: &str| {
        let spec = format!(
            "clusterIP: 10.96.0.1, externalIPs: [203.0.113.1], externalTrafficPolicy: {policy}"
        );
        cluster(advertisement) + &service("web", &spec, "")
    };
    let on_a = web("Local") + &slice("web", &[("a", READY)]);
    assert_eq!(routes(&on_a, "a"), ["10.96.0.0/12", "203.0.113.1/32"]);
    assert_eq!(routes(&on_a, "b"), ["10.96.0.0/12"]);
    let scaled = web("Local") + &endpoints_on_both();
    assert_eq!(routes(&scaled, "b"), ["10.96.0.0/12", "203.0.113.1/32"]);
    assert_eq!(routes(&cluster(advertisement), "a"), [""; 0]);
    // An address within the range that every node serves has no route of its own.
    let inside = cluster(advertisement).replace("10.96.0.0/12", "203.0.113.0/24");
    let inside = inside + &service("web", "externalIPs: [203.0.113.1]", "") + &endpoints_on_both();
    assert_eq!(routes(&inside, "a"), ["203.0.113.0/24"]);
}

#[test]
fn acceptance_02_excluded_node_keeps_its_pod_routes() {
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", "") + &endpoints_on_both();
    let label =
        "labels: { node.kubernetes.io/exclude-from-external-load-balancers: \"\", rack: r1 }";
    let excluded = yaml.replace("labels: { rack: r1 }", label);
    let desired = clean(&excluded, "a");
    assert_eq!(service_routes(&desired), [""; 0]);
    assert_eq!(advertised(&desired)["10.0.1.0/24"], ["mesh-b", "tor"]);
    assert_eq!(
        withheld(&excluded, "a", "web", "203.0.113.1"),
        Some(Withheld::NodeExcluded)
    );
    assert_eq!(routes(&excluded, "b"), ["203.0.113.1/32"]);
    assert_eq!(routes(&yaml, "a"), ["203.0.113.1/32"]);
}

#[test]
fn acceptance_03_only_allowed_ranges_and_they_may_change() {
    let spec = "type: LoadBalancer, externalIPs: [203.0.113.1]";
    let yaml = cluster(ALL) + &service("web", spec, "198.51.100.1") + &endpoints_on_both();
    assert_eq!(routes(&yaml, "a"), ["198.51.100.1/32", "203.0.113.1/32"]);
    let ranges = |ranges: &str| yaml.replace("allowedExternalIPs: [203.0.113.0/24]", ranges);
    assert_eq!(routes(&ranges(""), "a"), ["198.51.100.1/32"]);
    let other = "allowedExternalIPs: [203.0.113.128/25]";
    assert_eq!(routes(&ranges(other), "a"), ["198.51.100.1/32"]);
    let both = "allowedExternalIPs: [203.0.113.0/24], allowedLoadBalancerIPs: [198.51.100.128/25]";
    assert_eq!(routes(&ranges(both), "a"), ["203.0.113.1/32"]);
    assert_eq!(
        withheld(&ranges(both), "a", "web", "198.51.100.1"),
        Some(Withheld::NotAllowed)
    );
}

#[test]
fn acceptance_04_many_services_at_once_and_scaled_to_nothing() {
    let name = |i: usize| format!("s{i}");
    let services: String = (0..500)
        .map(|i| load_balancer(&name(i), &format!("198.18.{}.{}", i / 250, i % 250 + 1), ""))
        .collect();
    let slices = |conditions: &str| -> String {
        (0..500)
            .map(|i| slice(&name(i), &[("a", conditions)]))
            .collect()
    };
    let yaml = cluster(ALL) + &services;
    assert_eq!(routes(&(yaml.clone() + &slices(READY)), "b").len(), 500);
    assert_eq!(routes(&(yaml + &slices(NOT_READY)), "b").len(), 0);
}

#[test]
fn acceptance_11_nothing_but_what_was_asked_for() {
    let web = service("web", "clusterIP: 10.96.0.1", "203.0.113.1") + &endpoints_on_both();
    let off = "{ advertisePodCIDRs: false, serviceCIDRs: [10.96.0.0/12] }";
    let yaml = NODES.to_owned() + &tor("tor", "") + &object("BGPConfiguration", "default", off);
    assert!(clean(&(yaml + &web), "a").originations.is_empty());
}

#[test]
fn acceptance_13_both_policies_in_both_families() {
    for (address, family) in [("203.0.113.1", "IPv4"), ("2001:db8:99::1", "IPv6")] {
        let ready = named_slice("web", "web", family, &[("a", READY)]);
        for (policy, nodes) in [("Local", &["a"][..]), ("Cluster", &["a", "b"])] {
            let spec = format!("externalTrafficPolicy: {policy}");
            let yaml = cluster(ALL) + &load_balancer("web", address, &spec) + &ready;
            for node in ["a", "b"] {
                let is_there = !routes(&yaml, node).is_empty();
                assert_eq!(is_there, nodes.contains(&node), "{policy} {family} {node}");
            }
        }
    }
}

#[test]
fn acceptance_15_a_node_without_network_advertises_nothing_but_its_pods() {
    let condition = |status: &str| {
        format!(
            "conditions: [{{ type: NetworkUnavailable, status: \"{status}\" }}], addresses: [{{ type: InternalIP, address: 192.0.2.1 }}"
        )
    };
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", "") + &endpoints_on_both();
    let with = |status: &str| {
        yaml.replace(
            "addresses: [{ type: InternalIP, address: 192.0.2.1 }",
            &condition(status),
        )
    };
    let (desired, diagnostic) = one(&with("True"), "a");
    let field = "status.conditions[NetworkUnavailable]";
    says(&diagnostic, "Node/a", field, Reason::NetworkUnavailable);
    let prefixes = |desired: &DesiredState| -> Vec<String> {
        desired
            .originations
            .keys()
            .map(ToString::to_string)
            .collect()
    };
    let pods = ["10.0.1.0/24", "2001:db8:1::/64"];
    assert_eq!(prefixes(&desired), pods);
    assert_eq!(names(&desired), ["mesh-b", "tor"]);
    let pods_too = with("True")
        + &object(
            "BGPAdvertisement",
            "pods",
            "{ podCIDRs: true, staticPrefixes: [198.51.100.0/24], interfaces: [lo], kernelTables: [100] }",
        );
    let (desired, _) = one(&pods_too, "a");
    assert_eq!(prefixes(&desired), pods);
    assert!(desired.interfaces.is_empty() && desired.kernel_tables.is_empty());
    assert_eq!(routes(&with("True"), "b"), ["203.0.113.1/32"]);
    assert_eq!(routes(&with("False"), "a"), ["203.0.113.1/32"]);
}

#[test]
fn acceptance_18_attributes_and_aggregates_change_and_sessions_do_not() {
    let web = load_balancer("web", "203.0.113.1", "") + &endpoints_on_both();
    let yaml = |services: &str, spec: &str| {
        let services = format!("services: {{ addresses: [LoadBalancerIP], {services} }}");
        cluster(&format!("{{ {services}, {spec} }}")) + &web
    };
    let state = |services: &str, spec: &str| clean(&yaml(services, spec), "a");
    let (range, one) = (
        "aggregates: [{ prefix: 203.0.113.0/24 }]",
        "communities: [\"64512:1\"]",
    );
    let before = state("", one);
    for (services, spec) in [
        ("", "communities: [\"64512:2\"]"),
        ("", "localPref: 7"),
        ("", "med: 3"),
        (range, one),
    ] {
        let after = state(services, spec);
        assert_ne!(after.originations, before.originations);
        for (name, peer) in before.peers.iter() {
            // An aggregate is refused from routers, and that resets nothing.
            let now = Peer::clone(after.peers.get(name).unwrap());
            let as_before = Peer {
                policies: peer.policies.clone(),
                import: peer.import.clone(),
                ..now
            };
            assert_eq!(as_before, **peer, "{name}");
        }
    }
    assert_eq!(service_routes(&before), ["203.0.113.1/32"]);
    assert_eq!(service_routes(&state(range, one)), ["203.0.113.0/24"]);
    let host_routes = "aggregates: [{ prefix: 203.0.113.0/24, hostRoutes: true }]";
    let both = ["203.0.113.0/24", "203.0.113.1/32"];
    assert_eq!(service_routes(&state(host_routes, one)), both);

    // Routers are added one by one: the others do not notice.
    let mut more = yaml("", one);
    for n in 2..=4 {
        let known = clean(&more, "a").peers;
        let spec = format!("{{ address: 192.0.2.{}, asn: 64602 }}", 250 - n);
        more += &object("BGPPeer", &format!("t{n}"), &spec);
        let now = clean(&more, "a").peers;
        assert_eq!(now.len(), known.len() + 1);
        for (name, peer) in known.iter() {
            assert_eq!(now.get(name), Some(peer), "{name}");
        }
    }
}

#[test]
fn services_that_share_an_address_and_not_their_endpoints_are_named() {
    let local = "externalTrafficPolicy: Local";
    let of = |one: &str, two: &str, endpoints: String| {
        cluster(ALL)
            + &load_balancer("one", "203.0.113.1", one)
            + &load_balancer("two", "203.0.113.1", two)
            + &endpoints
    };
    let ready =
        |one: &str, two: &str| slice("one", &[(one, READY)]) + &slice("two", &[(two, READY)]);
    for (two, endpoints) in [("", ready("b", "b")), (local, ready("b", "a"))] {
        let (_, diagnostic) = one(&of(local, two, endpoints), "a");
        let field = "spec.externalTrafficPolicy";
        says(
            &diagnostic,
            "Service/apps/one",
            field,
            Reason::SharedAddress,
        );
        assert!(
            diagnostic.message.contains("Service/apps/two"),
            "{diagnostic}"
        );
    }
    // Where the same nodes serve both, or this node attracts nothing, all is well.
    for (one, two, endpoints) in [
        ("", "", ready("a", "b")),
        (local, "", ready("a", "b")),
        (local, local, ready("a", "a")),
        (local, local, ready("b", "b")),
    ] {
        clean(&of(one, two, endpoints), "a");
    }
}

#[test]
fn acceptance_21_peers_nodes_and_services_are_selected() {
    let second = object("BGPPeer", "t2", "{ address: 192.0.2.253, asn: 64602 }");
    let spec = "{ services: { addresses: [LoadBalancerIP], selector: { matchLabels: { app: web } } }, peers: { names: [t2] }, nodeSelector: { matchLabels: { rack: r1 } } }";
    let yaml = cluster(spec)
        + &second
        + &load_balancer("web", "203.0.113.1", "")
        + &load_balancer("db", "203.0.113.2", "")
        + &endpoints_on_both()
        + &slice("db", &[("a", READY)]);
    let desired = clean(&yaml, "a");
    assert_eq!(advertised(&desired)["203.0.113.1/32"], ["t2"]);
    assert_eq!(service_routes(&desired), ["203.0.113.1/32"]);
    assert_eq!(routes(&yaml, "b"), [""; 0]);
}

#[test]
fn acceptance_25_advertisements_add_up_and_their_conflict_is_named() {
    let web = load_balancer("web", "203.0.113.1", "") + &endpoints_on_both();
    let first =
        "{ services: { addresses: [LoadBalancerIP] }, communities: [\"64512:1\"], localPref: 100 }";
    let with = |spec: &str| {
        let chosen = "services: { addresses: [LoadBalancerIP] }, peers: { names: [tor] }";
        let spec = format!("{{ {chosen}, {spec} }}");
        cluster(first) + &object("BGPAdvertisement", "more", &spec) + &web
    };
    let ways = |desired: &DesiredState| {
        let prefix = "203.0.113.1/32".parse().unwrap();
        desired.originations[&prefix].advertise.clone()
    };
    let added = clean(&with("communities: [\"64512:2\"]"), "a");
    let both = ways(&added);
    let communities = both.iter().flat_map(|way| &way.communities);
    let communities: Vec<String> = communities.map(ToString::to_string).collect();
    assert_eq!(communities, ["64512:1", "64512:2"]);
    let tor = [PeerName("tor".to_owned())].into();
    assert!(both.iter().all(|way| way.peers == tor));

    let (contradicted, diagnostic) = one(&with("localPref: 200"), "a");
    let (object, field) = ("BGPAdvertisement/more", "spec.localPref");
    says(&diagnostic, object, field, Reason::ConflictingAttributes);
    assert_eq!(ways(&contradicted).len(), 2);
    assert_eq!(contradicted.peers, added.peers);
}

#[test]
fn acceptance_27_an_address_changes_hands_and_services_change() {
    let ready = slice("one", &[("a", READY)]) + &slice("two", &[("a", READY)]);
    let yaml = |one: &str, two: &str| {
        cluster(ALL) + &load_balancer("one", one, "") + &load_balancer("two", two, "") + &ready
    };
    let before = clean(&yaml("203.0.113.1", "203.0.113.2"), "a");
    let after = clean(&yaml("203.0.113.2", "203.0.113.1"), "a");
    let ways = |desired: &DesiredState| -> Vec<_> {
        let routes = desired.originations.iter();
        routes.map(|(p, o)| (*p, o.advertise.clone())).collect()
    };
    assert_eq!(ways(&before), ways(&after));
}

#[test]
fn acceptance_28_no_service_route_before_endpoints_are_known() {
    let manifest = cluster(ALL) + &load_balancer("web", "203.0.113.1", "") + &endpoints_on_both();
    let objects = manifest::parse("test.yaml", &manifest).unwrap().objects;
    let mut index = Index::new();
    let kinds = Kind::ALL.into_iter().filter(|k| *k != Kind::EndpointSlice);
    for kind in kinds {
        let of_kind = objects.iter().filter(|o| o.key.kind == kind).cloned();
        index.apply(SourceEvent::Restarted {
            kind,
            objects: of_kind.collect(),
        });
        assert_eq!(compile(&index, "a"), None);
    }
}

#[test]
fn case_f_all_nodes_cordoned_or_not_ready_is_no_outage() {
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", "") + &endpoints_on_both();
    let expected = clean(&yaml, "a");
    let taint = "{ key: node.kubernetes.io/unschedulable, effect: NoSchedule }";
    let cordoned = yaml.replace(
        "spec: { podCIDRs: [",
        &format!("spec: {{ unschedulable: true, taints: [{taint}], podCIDRs: ["),
    );
    let not_ready = cordoned.replace(
        "status: { addresses",
        "status: { conditions: [{ type: Ready, status: \"False\" }], addresses",
    );
    assert_ne!(not_ready, yaml);
    assert_eq!(clean(&not_ready, "a"), expected);
}

#[test]
fn case_g_a_pod_becomes_not_ready_then_terminates() {
    let spec = "externalTrafficPolicy: Local";
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", spec);
    let told = |on_a: &str, on_b: &str| {
        let yaml = yaml.clone() + &slice("web", &[("a", on_a), ("b", on_b)]);
        ["a", "b"].map(|node| !routes(&yaml, node).is_empty())
    };
    assert_eq!(told(READY, READY), [true, true]);
    assert_eq!(told(NOT_READY, READY), [false, true]);
    assert_eq!(told(DRAINING, READY), [false, true]);
    // Nobody is ready any more: better a pod that goes on serving than none.
    assert_eq!(told(DRAINING, NOT_READY), [true, false]);
    assert_eq!(told(DRAINING, DRAINING), [true, true]);
    assert_eq!(told(GONE, GONE), [false, false]);
}

#[test]
fn case_h_unused_addresses_of_an_aggregate_end_at_the_node() {
    let spec =
        "{ services: { addresses: [LoadBalancerIP], aggregates: [{ prefix: 203.0.113.0/24 }] } }";
    let yaml = cluster(spec) + &load_balancer("web", "203.0.113.1", "") + &endpoints_on_both();
    let desired = clean(&yaml, "a");
    let aggregate = &desired.originations[&"203.0.113.0/24".parse().unwrap()];
    assert!(aggregate.blackhole && !aggregate.advertise.is_empty());
}

#[test]
fn case_i_churn_of_services_touches_no_peer() {
    let mut index = index(&cluster(ALL));
    let mut compiler = Compiler::new("a");
    let peers = |compiled: &Compiled| std::sync::Arc::clone(&compiled.desired.peers);
    let changes = index.take_changes();
    let before = compiler.compile(&index, &changes).unwrap();
    for i in 1..=100 {
        let name = format!("s{i}");
        let yaml =
            load_balancer(&name, &format!("203.0.113.{i}"), "") + &slice(&name, &[("a", READY)]);
        for object in manifest::parse("test.yaml", &yaml).unwrap().objects {
            index.apply(SourceEvent::Applied(object));
        }
        let changes = index.take_changes();
        assert!(!changes.everything);
        let after = compiler.compile(&index, &changes).unwrap();
        assert_eq!(service_routes(&after.desired).len(), i);
        assert!(std::sync::Arc::ptr_eq(&peers(&after), &peers(&before)));
    }
}
