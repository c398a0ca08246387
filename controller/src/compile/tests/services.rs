//! Which addresses of Services are advertised, from which nodes, and why the others are not.

use std::net::IpAddr;

use super::*;
use crate::{index::ServiceKey, source::SourceEvent};

mod acceptance;
mod incremental;

/// Everything of Services to every router.
const ALL: &str =
    "{ podCIDRs: true, services: { addresses: [ClusterIP, ExternalIP, LoadBalancerIP] } }";

/// Two nodes, one router, and this advertisement.
fn cluster(advertisement: &str) -> String {
    let configuration = "{ services: { allowedExternalIPs: [203.0.113.0/24] } }";
    NODES.to_owned()
        + &tor("tor", "")
        + &object("BGPConfiguration", "default", configuration)
        + &object("BGPAdvertisement", "adv", advertisement)
}

/// A Service of type `LoadBalancer`.
pub(super) fn load_balancer(name: &str, address: &str, spec: &str) -> String {
    service(name, &format!("type: LoadBalancer, {spec}"), address)
}

fn service(name: &str, spec: &str, ingress: &str) -> String {
    let ingress = match ingress {
        "" => String::new(),
        ip => format!("{{ ip: \"{ip}\" }}"),
    };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: apps, labels: {{ app: {name} }} }}\nspec: {{ {spec} }}\nstatus: {{ loadBalancer: {{ ingress: [{ingress}] }} }}\n---\n"
    )
}

const READY: &str = "ready: true";
const NOT_READY: &str = "ready: false, serving: false";
const DRAINING: &str = "ready: false, serving: true, terminating: true";
const GONE: &str = "ready: false, serving: false, terminating: true";

/// The endpoints of a Service: node and conditions.
pub(super) fn slice(service: &str, endpoints: &[(&str, &str)]) -> String {
    named_slice(service, service, "IPv4", endpoints)
}

fn named_slice(name: &str, service: &str, family: &str, endpoints: &[(&str, &str)]) -> String {
    let endpoint = |(node, conditions): &(&str, &str)| {
        format!("{{ addresses: [10.0.1.7], nodeName: {node}, conditions: {{ {conditions} }} }}")
    };
    let endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{ name: {name}, namespace: apps, labels: {{ kubernetes.io/service-name: {service} }} }}\naddressType: {family}\nendpoints: [{}]\n---\n",
        endpoints.join(", ")
    )
}

/// The routes of a node that are no pod CIDRs.
fn routes(yaml: &str, node: &str) -> Vec<String> {
    let (desired, _) = compile(&index(yaml), node).unwrap();
    service_routes(&desired)
}

fn service_routes(desired: &DesiredState) -> Vec<String> {
    let routes = advertised(desired).into_iter();
    let routes = routes.filter(|(prefix, to)| {
        let pods = [
            "10.0.1.0/24",
            "10.0.2.0/24",
            "2001:db8:1::/64",
            "2001:db8:2::/64",
        ];
        !to.is_empty() && !pods.contains(&prefix.as_str())
    });
    routes.map(|(prefix, _)| prefix).collect()
}

fn compiled(yaml: &str, node: &str) -> Compiled {
    let mut compiler = Compiler::new(node);
    compiler
        .compile(&index(yaml), &Changes::everything())
        .unwrap()
}

/// Why the address of a Service is withheld.
#[track_caller]
fn withheld(yaml: &str, node: &str, service: &str, address: &str) -> Option<Withheld> {
    let compiled = compiled(yaml, node);
    let key = ServiceKey {
        namespace: "apps".into(),
        name: service.into(),
    };
    let address: IpAddr = address.parse().unwrap();
    let routes = &compiled.services.services[&key];
    let route = routes.iter().find(|r| r.address == address).unwrap();
    match route.verdict {
        Verdict::Withheld(withheld) => Some(withheld),
        Verdict::Advertised { .. } => None,
    }
}

#[test]
fn local_policies_advertise_from_nodes_with_a_ready_endpoint() {
    let external =
        cluster(ALL) + &load_balancer("web", "203.0.113.1", "externalTrafficPolicy: Local");
    let internal = cluster(ALL)
        + &service(
            "web",
            "clusterIP: 10.96.0.1, internalTrafficPolicy: Local",
            "",
        );
    for (yaml, address) in [(external, "203.0.113.1"), (internal, "10.96.0.1")] {
        let host = vec![format!("{address}/32")];
        let with = |endpoints: &[(&str, &str)]| yaml.clone() + &slice("web", endpoints);
        for (endpoints, on_a, on_b) in [
            (&[("a", READY)][..], true, false),
            (&[("a", READY), ("b", READY)], true, true),
            (&[("a", NOT_READY), ("b", READY)], false, true),
            (&[("a", DRAINING), ("b", READY)], false, true),
            (&[("a", DRAINING), ("b", NOT_READY)], true, false),
            (&[("a", GONE), ("b", NOT_READY)], false, false),
            (&[], false, false),
        ] {
            let yaml = with(endpoints);
            let expected = |here: bool| if here { host.clone() } else { Vec::new() };
            assert_eq!(
                routes(&yaml, "a"),
                expected(on_a),
                "{address} {endpoints:?}"
            );
            assert_eq!(
                routes(&yaml, "b"),
                expected(on_b),
                "{address} {endpoints:?}"
            );
        }
        let yaml = with(&[("b", READY)]);
        assert_eq!(
            withheld(&yaml, "a", "web", address),
            Some(Withheld::NoLocalEndpoints)
        );
    }
}

#[test]
fn cluster_policy_advertises_from_every_node_while_anybody_can_serve() {
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", "");
    for (endpoints, advertised) in [
        (&[("c", READY)][..], true),
        (&[("c", DRAINING)], true),
        (&[("c", NOT_READY)], false),
        (&[("c", GONE)], false),
        (&[], false),
    ] {
        let yaml = yaml.clone() + &slice("web", endpoints);
        for node in ["a", "b"] {
            let routes = routes(&yaml, node);
            assert_eq!(!routes.is_empty(), advertised, "{node} {endpoints:?}");
        }
    }
    assert_eq!(
        withheld(&yaml, "a", "web", "203.0.113.1"),
        Some(Withheld::NoEndpoints)
    );
}

#[test]
fn absent_conditions_mean_ready() {
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", "");
    let serving = "serving: true, terminating: true";
    for (conditions, advertised) in [("", true), (serving, true), ("ready: false", false)] {
        let yaml = yaml.clone() + &slice("web", &[("a", conditions)]);
        assert_eq!(!routes(&yaml, "b").is_empty(), advertised, "{conditions}");
    }
}

#[test]
fn publish_not_ready_addresses_counts_every_endpoint() {
    let spec = "publishNotReadyAddresses: true, externalTrafficPolicy: Local";
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", spec);
    let yaml = yaml + &slice("web", &[("a", NOT_READY)]);
    assert_eq!(routes(&yaml, "a"), ["203.0.113.1/32"]);
    assert_eq!(routes(&yaml, "b"), [""; 0]);
}

#[test]
fn each_family_has_its_own_endpoints() {
    let spec = "clusterIPs: [10.96.0.1, \"2001:db8:96::1\"], clusterIP: 10.96.0.1";
    let yaml = cluster(ALL) + &service("web", spec, "");
    let v4 = named_slice("web-4", "web", "IPv4", &[("a", READY)]);
    let v6 = named_slice("web-6", "web", "IPv6", &[("a", READY)]);
    let names = named_slice("web-n", "web", "FQDN", &[("a", READY)]);
    assert_eq!(routes(&(yaml.clone() + &names), "a"), [""; 0]);
    assert_eq!(routes(&(yaml.clone() + &v4), "a"), ["10.96.0.1/32"]);
    assert_eq!(routes(&(yaml.clone() + &v6), "a"), ["2001:db8:96::1/128"]);
    assert_eq!(
        routes(&(yaml + &v4 + &v6), "a"),
        ["10.96.0.1/32", "2001:db8:96::1/128"]
    );
}

#[test]
fn slices_of_one_service_add_up() {
    let yaml = cluster(ALL) + &load_balancer("web", "203.0.113.1", "externalTrafficPolicy: Local");
    let yaml = yaml
        + &named_slice("web-1", "web", "IPv4", &[("b", READY)])
        + &named_slice("web-2", "web", "IPv4", &[("a", READY)]);
    assert_eq!(routes(&yaml, "a"), ["203.0.113.1/32"]);
}

#[test]
fn services_without_a_proxy_of_ours_are_left_alone() {
    let ready = slice("web", &[("a", READY)]);
    for spec in [
        "clusterIP: None, externalIPs: [203.0.113.1]",
        "type: ExternalName, externalName: example.org, externalIPs: [203.0.113.1]",
    ] {
        let yaml = cluster(ALL) + &service("web", spec, "") + &ready;
        assert_eq!(routes(&yaml, "a"), [""; 0], "{spec}");
    }
    let foreign = service("web", "clusterIP: 10.96.0.1", "").replace(
        "app: web",
        "service.kubernetes.io/service-proxy-name: other",
    );
    assert_eq!(routes(&(cluster(ALL) + &foreign + &ready), "a"), [""; 0]);
    // A Service that is no LoadBalancer any more may still have the status of one.
    let former = service("web", "clusterIP: 10.96.0.1", "203.0.113.1");
    assert_eq!(
        routes(&(cluster(ALL) + &former + &ready), "a"),
        ["10.96.0.1/32"]
    );
    let proxied =
        load_balancer("web", "203.0.113.1", "").replace("ip: \"", "ipMode: Proxy, ip: \"");
    assert_eq!(routes(&(cluster(ALL) + &proxied + &ready), "a"), [""; 0]);
}

#[test]
fn a_shared_address_stays_as_long_as_one_service_can_be_served() {
    let both = [
        load_balancer("one", "203.0.113.1", ""),
        load_balancer("two", "203.0.113.1", ""),
    ];
    let ready = [slice("one", &[("a", READY)]), slice("two", &[("b", READY)])];
    let host = ["203.0.113.1/32"];
    let all = cluster(ALL) + &both.concat() + &ready.concat();
    assert_eq!(routes(&all, "a"), host);
    for i in 0..2 {
        let without_service = cluster(ALL) + &both[i] + &ready.concat();
        assert_eq!(routes(&without_service, "a"), host);
        let without_endpoints = cluster(ALL) + &both.concat() + &ready[i];
        assert_eq!(routes(&without_endpoints, "a"), host);
    }
    let object = |yaml: &str| {
        let (desired, _) = compile(&index(yaml), "a").unwrap();
        desired.originations[&host[0].parse().unwrap()]
            .object
            .to_string()
    };
    assert_eq!(object(&all), "Service/apps/one");
}

#[test]
fn an_aggregate_stands_for_addresses_that_every_node_serves() {
    let services = |aggregate: &str| {
        format!(
            "{{ services: {{ addresses: [LoadBalancerIP], aggregates: [{{ prefix: 203.0.113.0/24, {aggregate} }}] }} }}"
        )
    };
    let anywhere = load_balancer("any", "203.0.113.1", "") + &slice("any", &[("a", READY)]);
    let local = load_balancer("local", "203.0.113.2", "externalTrafficPolicy: Local")
        + &slice("local", &[("a", READY)]);
    let outside = load_balancer("out", "198.51.100.1", "") + &slice("out", &[("a", READY)]);
    let yaml = |aggregate| cluster(&services(aggregate)) + &anywhere + &local + &outside;
    assert_eq!(
        routes(&yaml(""), "a"),
        ["198.51.100.1/32", "203.0.113.0/24", "203.0.113.2/32"]
    );
    assert_eq!(
        routes(&yaml(""), "b"),
        ["198.51.100.1/32", "203.0.113.0/24"]
    );
    assert_eq!(
        routes(&yaml("hostRoutes: true"), "b"),
        ["198.51.100.1/32", "203.0.113.0/24", "203.0.113.1/32"]
    );
    // Only where an address in it can be served.
    let only_local = cluster(&services("")) + &local;
    assert_eq!(
        routes(&only_local, "a"),
        ["203.0.113.0/24", "203.0.113.2/32"]
    );
    assert_eq!(routes(&only_local, "b"), [""; 0]);
}

#[test]
fn an_aggregate_comes_with_a_blackhole_except_for_addresses_the_node_itself_needs() {
    let ready = service("web", "clusterIP: 10.96.0.1", "203.0.113.1")
        .replace("spec: { ", "spec: { type: LoadBalancer, ")
        + &slice("web", &[("a", READY)])
        + &object(
            "BGPConfiguration",
            "default",
            "{ serviceCIDRs: [10.96.0.0/12] }",
        );
    for (kind, prefix, blackhole, expected) in [
        ("LoadBalancerIP", "203.0.113.0/24", "Auto", true),
        ("LoadBalancerIP", "203.0.113.0/24", "Never", false),
        ("ClusterIP", "10.96.0.0/12", "Auto", false),
        ("ClusterIP", "10.96.0.0/12", "Always", true),
    ] {
        let advertisement = format!(
            "{{ services: {{ addresses: [{kind}], aggregates: [{{ prefix: {prefix}, blackhole: {blackhole} }}] }} }}"
        );
        let desired = clean(&(cluster(&advertisement) + &ready), "b");
        let aggregate = &desired.originations[&prefix.parse().unwrap()];
        assert_eq!(aggregate.blackhole, expected, "{kind} {blackhole}");
        assert_eq!(aggregate.object.to_string(), "BGPAdvertisement/adv");
        // Nobody who is told, no blackhole.
        let nobody = advertisement.replacen("{ ", "{ peers: { names: [tor-b] }, ", 1);
        let (desired, _) = compile(&index(&(cluster(&nobody) + &ready)), "b").unwrap();
        assert!(desired.originations.values().all(|o| !o.blackhole));
    }
}

/// Traffic to the router itself would go where the Service is, and the session with it.
#[test]
fn the_address_of_a_router_is_not_a_services() {
    let router = service("web", "type: LoadBalancer", "192.0.2.254");
    let yaml = cluster(ALL) + &router + &slice("web", &[("a", "ready: true")]);
    let why = withheld(&yaml, "a", "web", "192.0.2.254");
    assert_eq!(why, Some(Withheld::SpeakerAddress));
}

#[test]
fn what_a_service_must_not_ask_for_is_refused_and_named() {
    let ready = slice("web", &[("a", READY)]);
    for (spec, ingress, field, reason, withheld_by) in [
        (
            "externalIPs: [198.51.100.9]",
            "",
            "spec.externalIPs",
            Reason::AddressNotAllowed,
            Withheld::NotAllowed,
        ),
        (
            "externalIPs: [127.0.0.1]",
            "",
            "spec.externalIPs",
            Reason::InvalidAddress,
            Withheld::UnusableAddress,
        ),
        (
            "type: LoadBalancer",
            "224.0.0.1",
            "status.loadBalancer.ingress",
            Reason::InvalidAddress,
            Withheld::UnusableAddress,
        ),
        (
            "type: LoadBalancer",
            "10.0.2.9",
            "status.loadBalancer.ingress",
            Reason::ForeignPodCidr,
            Withheld::PodAddress,
        ),
        (
            "type: LoadBalancer",
            "192.0.2.2",
            "status.loadBalancer.ingress",
            Reason::AddressNotAllowed,
            Withheld::SpeakerAddress,
        ),
    ] {
        let yaml = cluster(ALL) + &service("web", spec, ingress) + &ready;
        let (desired, diagnostic) = one(&yaml, "a");
        says(&diagnostic, "Service/apps/web", field, reason);
        assert_eq!(service_routes(&desired), [""; 0]);
        let address = if ingress.is_empty() {
            spec.split(['[', ']']).nth(1).unwrap()
        } else {
            ingress
        };
        assert_eq!(withheld(&yaml, "a", "web", address), Some(withheld_by));
    }
    // Where nobody asks for external IPs, nothing is wrong with one.
    let quiet = cluster("{ podCIDRs: true }");
    clean(
        &(quiet + &service("web", "externalIPs: [198.51.100.9]", "") + &ready),
        "a",
    );
}

#[test]
fn an_address_that_is_none_is_named_and_the_others_count() {
    let spec = "externalIPs: [203.0.113.300, 203.0.113.3]";
    let yaml = NODES.to_owned() + &service("web", spec, "");
    let problems = manifest::parse("test.yaml", &yaml).unwrap().objects;
    let service = problems
        .iter()
        .find(|o| o.key.kind == Kind::Service)
        .unwrap();
    assert_eq!(service.problems[0].field, "spec.externalIPs[0]");
    assert!(service.object.is_some());
}

#[test]
fn without_an_advertisement_the_configuration_says_what_is_advertised() {
    let web = service("web", "clusterIP: 10.96.0.1", "") + &slice("web", &[("a", READY)]);
    let yaml = NODES.to_owned() + &tor("tor", "") + &web;
    assert_eq!(routes(&yaml, "a"), [""; 0]);
    assert_eq!(
        withheld(&yaml, "a", "web", "10.96.0.1"),
        Some(Withheld::NotSelected)
    );
    let spec = "{ services: { advertise: [ClusterIP] }, serviceCIDRs: [10.96.0.0/12] }";
    let yaml = yaml + &object("BGPConfiguration", "default", spec);
    let desired = clean(&yaml, "b");
    assert_eq!(advertised(&desired)["10.96.0.1/32"], ["tor"]);
    let yaml = yaml + &object("BGPAdvertisement", "adv", "{ podCIDRs: true }");
    assert_eq!(routes(&yaml, "a"), [""; 0]);
}

#[test]
fn advertisements_choose_by_labels_namespaces_and_class() {
    let classed = load_balancer("web", "203.0.113.1", "loadBalancerClass: example.org/bgp");
    let yaml = |choice: &str| {
        let spec = format!("{{ services: {{ addresses: [LoadBalancerIP], {choice} }} }}");
        cluster(&spec) + &classed + &slice("web", &[("a", READY)])
    };
    for (choice, chosen) in [
        ("selector: { matchLabels: { app: web } }", true),
        ("selector: { matchLabels: { app: db } }", false),
        ("namespaces: [apps]", true),
        ("namespaces: [other]", false),
        ("loadBalancerClasses: [example.org/bgp]", true),
        ("loadBalancerClasses: [example.org/l2]", false),
    ] {
        assert_eq!(!routes(&yaml(choice), "a").is_empty(), chosen, "{choice}");
    }
    let nobody = yaml("").replace(
        "spec: { services",
        "spec: { peers: { names: [tor-b] }, services",
    );
    assert_eq!(
        withheld(&nobody, "a", "web", "203.0.113.1"),
        Some(Withheld::NoPeer)
    );
}

#[test]
fn several_advertisements_add_up_and_their_disagreement_is_named() {
    let second = |spec: &str| {
        let spec = format!("{{ services: {{ addresses: [LoadBalancerIP] }}, {spec} }}");
        object("BGPAdvertisement", "second", &spec)
    };
    let first = "{ services: { addresses: [LoadBalancerIP] }, communities: [\"64512:1\"], extendedCommunities: [\"rt:64512:1\"], localPref: 100, med: 5 }";
    let web = load_balancer("web", "203.0.113.1", "") + &slice("web", &[("a", READY)]);
    let yaml = cluster(first) + &web;
    let desired = clean(
        &(yaml.clone() + &second("communities: [\"64512:2\"], med: 5")),
        "a",
    );
    let entries = &desired.originations[&"203.0.113.1/32".parse().unwrap()].advertise;
    let communities: Vec<_> = entries.iter().flat_map(|a| &a.communities).collect();
    assert_eq!(communities.len(), 2);
    assert_eq!(entries[0].extended_communities.len(), 1);
    for (spec, field) in [
        ("localPref: 200", "spec.localPref"),
        ("med: 6", "spec.med"),
        ("prepend: 1", "spec.prepend"),
    ] {
        let (_, diagnostic) = one(&(yaml.clone() + &second(spec)), "a");
        says(
            &diagnostic,
            "BGPAdvertisement/second",
            field,
            Reason::ConflictingAttributes,
        );
    }
}

#[test]
fn interface_addresses_are_asked_for_by_name() {
    let desired = clean(
        &cluster("{ interfaces: [lo, dummy0], communities: [no-export] }"),
        "a",
    );
    assert_eq!(
        desired.interfaces.keys().collect::<Vec<_>>(),
        ["dummy0", "lo"]
    );
    assert_eq!(desired.interfaces["lo"][0].communities.len(), 1);
    let other = "{ interfaces: [lo], nodeSelector: { matchLabels: { rack: r2 } } }";
    assert!(clean(&cluster(other), "a").interfaces.is_empty());
}

#[test]
fn kernel_tables_are_asked_for_by_number() {
    let desired = clean(
        &cluster("{ kernelTables: [119], communities: [no-export] }"),
        "a",
    );
    assert_eq!(desired.kernel_tables.keys().collect::<Vec<_>>(), [&119]);
    assert_eq!(desired.kernel_tables[&119][0].communities.len(), 1);
    let other = "{ kernelTables: [119], nodeSelector: { matchLabels: { rack: r2 } } }";
    assert!(clean(&cluster(other), "a").kernel_tables.is_empty());
}
