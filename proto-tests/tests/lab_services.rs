//! Addresses of Services on the wire and in kernels: the router's routes follow the endpoints, and
//! packets to unused addresses of an aggregate do not loop.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use redstart_proto_tests::lab::{
    Lab,
    checks::{self, sessions::established},
    exclusive::TestLab,
    kernel::{self, RouteMonitor},
    process::Signal,
    speaker::{self, Source, SpeakerKind, SpeakerStart},
    topology::{Family, NODE_ASN, TorKind},
    wait,
};

const ADDRESS: &str = "203.0.113.1";
const UNUSED: &str = "203.0.113.99";
const PREFIX: &str = "203.0.113.0/24";
const BOUND: Duration = Duration::from_secs(40);

fn up(name: &str) -> TestLab {
    let program = env!("CARGO_BIN_EXE_lab");
    let (source, speaker) = (Source::Kube, SpeakerKind::Redstart);
    TestLab::up(name, TorKind::Bird, source, speaker, program).unwrap()
}

fn advertisement(aggregate: &str) -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata: {{ name: adv }}\nspec:\n  podCIDRs: true\n  services:\n    addresses: [LoadBalancerIP]\n    aggregates: [{aggregate}]\n"
    )
}

fn service(policy: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: web, namespace: apps }}\nspec: {{ type: LoadBalancer, clusterIP: 10.96.0.1, externalTrafficPolicy: {policy} }}\nstatus: {{ loadBalancer: {{ ingress: [{{ ip: {ADDRESS} }}] }} }}\n"
    )
}

fn slice(nodes: &[&str]) -> String {
    let endpoint = |node: &&str| {
        format!("{{ addresses: [10.244.1.7], nodeName: {node}, conditions: {{ ready: true }} }}")
    };
    let endpoints: Vec<_> = nodes.iter().map(endpoint).collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{ name: web-1, namespace: apps, labels: {{ kubernetes.io/service-name: web }} }}\naddressType: IPv4\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}

/// The router's kernel leads to exactly these nodes.
fn leads_to(lab: &Lab, dst: &str, nodes: &[&str]) -> Result<()> {
    let routes = kernel::routes_to(&lab.netns("tor"), Family::V4, dst)?;
    let found: BTreeSet<IpAddr> = routes.iter().flat_map(|r| r.next_hops.clone()).collect();
    let addresses = nodes.iter().filter_map(|n| lab.topology.node(n));
    let wanted = addresses.map(|n| n.addresses.of(Family::V4)).collect();
    if found != wanted {
        bail!("{dst} leads to {found:?}, not to {wanted:?}");
    }
    Ok(())
}

fn until_leads_to(lab: &Lab, dst: &str, nodes: &[&str]) {
    wait::until("the router's route", BOUND, || leads_to(lab, dst, nodes)).unwrap();
}

fn until_said(lab: &Lab, node: &str, what: &str) {
    wait::until("redc tells", BOUND, || {
        let table = speaker::redc(lab, node, &["show", "services"])?;
        table.contains(what).then_some(()).context(table)
    })
    .unwrap();
}

/// Since when a node's configuration is in force.
fn configured(lab: &Lab, node: &str) -> String {
    let status = speaker::redc(lab, node, &["-o", "json", "show", "status"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["configured"].to_string()
}

#[test]
fn acceptance_01_the_router_follows_the_endpoints_of_a_local_service() {
    let lab = up("services");
    let lab = &lab.lab;
    checks::converged(lab).unwrap();
    let objects = lab.objects();
    objects.put("advertisement", &advertisement("")).unwrap();
    objects.put("service", &service("Local")).unwrap();
    objects.put("slice", &slice(&["n1"])).unwrap();
    until_leads_to(lab, ADDRESS, &["n1"]);
    until_said(lab, "n2", "withheld (no-local-endpoints)");
    until_said(lab, "n1", "advertised");

    objects.put("slice", &slice(&["n1", "n2", "n3"])).unwrap();
    until_leads_to(lab, ADDRESS, &["n1", "n2", "n3"]);
    objects.put("slice", &slice(&["n3"])).unwrap();
    until_leads_to(lab, ADDRESS, &["n3"]);
    objects.delete("service").unwrap();
    until_leads_to(lab, ADDRESS, &[]);
    // The slice outlives its Service, changes once more, and counts when a Service comes back.
    objects.put("slice", &slice(&["n2"])).unwrap();
    objects.put("service", &service("Cluster")).unwrap();
    until_leads_to(lab, ADDRESS, &["n1", "n2", "n3"]);
    objects.put("slice", &slice(&[])).unwrap();
    until_leads_to(lab, ADDRESS, &[]);
}

/// What a speaker has announced before it waits for ten minutes, its next one announces at once.
#[test]
fn acceptance_28_a_node_that_booted_waits_and_a_restarted_speaker_does_not() {
    let mut lab = up("waits");
    let lab = &mut lab.lab;
    checks::converged(lab).unwrap();
    let objects = lab.objects();
    objects.put("advertisement", &advertisement("")).unwrap();
    objects.put("service", &service("Local")).unwrap();
    objects.put("slice", &slice(&["n1"])).unwrap();
    until_leads_to(lab, ADDRESS, &["n1"]);
    until_said(lab, "n2", "withheld (no-local-endpoints)");
    let before = configured(lab, "n2");
    let waits = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata: {{ name: default }}\nspec:\n  asn: {NODE_ASN}\n  timers: {{ connectRetrySeconds: 1 }}\n  services: {{ minReadySeconds: 600 }}\n"
    );
    objects.put("bgpconfiguration", &waits).unwrap();
    // A speaker may read the file that is written second first.
    let in_force = || {
        (configured(lab, "n2") != before)
            .then_some(())
            .context(before.clone())
    };
    wait::until("minReadySeconds", BOUND, in_force).unwrap();
    objects.put("slice", &slice(&["n1", "n2"])).unwrap();
    until_said(lab, "n2", "waiting (min-ready)");

    let monitor = RouteMonitor::start(&lab.netns("tor")).unwrap();
    for signal in [Signal::Kill, Signal::Terminate] {
        for (node, says) in [("n1", "advertised"), ("n2", "waiting (min-ready)")] {
            lab.stop_speaker(node, signal).unwrap();
            lab.start_speaker(&SpeakerStart::of(node)).unwrap();
            established(lab, BOUND).unwrap();
            until_said(lab, node, says);
        }
    }
    let still = || leads_to(lab, ADDRESS, &["n1"]);
    wait::holds("the route", Duration::from_secs(2), still).unwrap();
    let changes = monitor.changes().unwrap();
    assert!(
        !changes.iter().any(|it| it.contains(ADDRESS)),
        "{changes:?}"
    );

    // A boot empties /run.
    lab.stop_speaker("n1", Signal::Terminate).unwrap();
    let socket = lab.run_dir().socket("n1");
    for left in ["ran", "told"] {
        std::fs::remove_file(socket.with_extension(left)).unwrap();
    }
    lab.start_speaker(&SpeakerStart::of("n1")).unwrap();
    established(lab, BOUND).unwrap();
    until_said(lab, "n1", "waiting (min-ready)");
    until_leads_to(lab, ADDRESS, &[]);
}

#[test]
fn case_h_packets_to_an_unused_address_of_an_aggregate_do_not_loop() {
    let lab = up("aggregate");
    let lab = &lab.lab;
    checks::converged(lab).unwrap();
    let router = lab.topology.routers.first().unwrap().rack.v4;
    let nodes = ["n1", "n2", "n3"];
    for node in nodes {
        let default = format!("route add default via {router}");
        lab.netns(node).ip(&[default]).unwrap();
    }
    let aggregate =
        |blackhole: &str| advertisement(&format!("{{ prefix: {PREFIX}, blackhole: {blackhole} }}"));
    let objects = lab.objects();
    objects.put("service", &service("Cluster")).unwrap();
    objects.put("slice", &slice(&["n1"])).unwrap();
    objects.put("advertisement", &aggregate("Never")).unwrap();
    until_leads_to(lab, PREFIX, &nodes);
    // Without a blackhole they do: that is how we know that this test would see it.
    assert!(ttl_exceeded(lab) > 0);

    objects.put("advertisement", &aggregate("Auto")).unwrap();
    for node in nodes {
        wait::until("a blackhole", BOUND, || has_blackhole(lab, node)).unwrap();
    }
    assert_eq!(ttl_exceeded(lab), 0);
    leads_to(lab, PREFIX, &nodes).unwrap();
    leads_to(lab, ADDRESS, &[]).unwrap();

    objects.delete("service").unwrap();
    until_leads_to(lab, PREFIX, &[]);
    for node in nodes {
        let gone = || match has_blackhole(lab, node) {
            Ok(()) => bail!("{node} still has it"),
            Err(_) => Ok(()),
        };
        wait::until("no blackhole", BOUND, gone).unwrap();
    }
}

/// How many of some packets to an unused address came back because their TTL had ended.
fn ttl_exceeded(lab: &Lab) -> usize {
    // It fails for want of answers, and says what came in their place.
    let mut ping = lab.netns("ext").command("ping");
    let ping = ping.args(["-n", "-c", "3", "-i", "0.2", "-W", "1", UNUSED]);
    let said = String::from_utf8(ping.output().unwrap().stdout).unwrap();
    assert!(said.contains("3 packets transmitted"), "{said}");
    said.matches("Time to live exceeded").count()
}

fn has_blackhole(lab: &Lab, node: &str) -> Result<()> {
    let routes = kernel::routes_to(&lab.netns(node), Family::V4, PREFIX)?;
    if !routes.iter().any(|r| r.kind == "blackhole") {
        bail!("{node} has {routes:?}");
    }
    Ok(())
}

#[test]
fn addresses_of_an_interface_are_advertised_while_they_are_there() {
    let lab = up("interface");
    let lab = &lab.lab;
    checks::converged(lab).unwrap();
    let anycast = "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata: { name: anycast }\nspec: { podCIDRs: true, interfaces: [lo] }\n";
    lab.objects().put("anycast", anycast).unwrap();
    let address = |verb: &str, node: &str| {
        let line = format!("address {verb} 198.51.100.53/32 dev lo");
        lab.netns(node).ip(&[line]).unwrap();
    };
    address("add", "n1");
    until_leads_to(lab, "198.51.100.53", &["n1"]);
    address("add", "n3");
    until_leads_to(lab, "198.51.100.53", &["n1", "n3"]);
    address("del", "n1");
    until_leads_to(lab, "198.51.100.53", &["n3"]);
    leads_to(lab, "127.0.0.1", &[]).unwrap();
}
