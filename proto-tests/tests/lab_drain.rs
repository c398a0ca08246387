//! Nodes are relieved of traffic by a taint and by their shutdown, as a real BIRD sees it: first
//! GRACEFUL_SHUTDOWN (RFC 8326), then a withdrawal, over sessions that stay; and only so many at once.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use redstart_proto_tests::lab::{
    Lab, bird,
    checks::{self, sessions::SessionSnapshot},
    exclusive::TestLab,
    kernel::RouteMonitor,
    objects::{node_file, node_manifest},
    process::Signal,
    speaker::{self, SpeakerStart},
    topology::{NODE_ASN, TorKind},
    wait,
};

const BOUND: Duration = Duration::from_secs(60);

/// A drain that lasts long enough for BIRD and `redc` to be asked about it, on a machine that is busy.
const WAIT: &str = "waitSeconds: 20";

/// An address that every node serves.
const ADDRESS: &str = "203.0.113.1";
const HOST: &str = "203.0.113.1/32";
const TAINT: &str = "  taints:\n  - { key: example.com/maintenance, effect: NoSchedule }\n";

/// A lab where a Service is advertised by every node, with this drain.
fn lab(name: &str, drain: &str) -> TestLab {
    let lab = TestLab::redstart(name, TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    let redstart = |kind: &str, name: &str, spec: &str| {
        format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec: {spec}\n"
        )
    };
    let configuration = format!(
        "{{ asn: {NODE_ASN}, timers: {{ connectRetrySeconds: 1 }}, drain: {{ taintKeys: [example.com/maintenance], {drain} }} }}"
    );
    let advertisement = "{ podCIDRs: true, services: { addresses: [LoadBalancerIP] } }";
    let objects = lab.lab.objects();
    for (file, text) in [
        (
            "bgpconfiguration",
            redstart("BGPConfiguration", "default", &configuration),
        ),
        ("all", redstart("BGPAdvertisement", "all", advertisement)),
        ("web", service("")),
        ("slice", slice("n1")),
    ] {
        objects.put(file, &text).unwrap();
    }
    for node in ["n1", "n2", "n3"] {
        bird_has(&lab.lab, node, &Told::Plain);
    }
    lab
}

fn service(spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: web, namespace: apps }}\nspec: {{ type: LoadBalancer, clusterIP: 10.96.0.1, {spec} }}\nstatus: {{ loadBalancer: {{ ingress: [{{ ip: {ADDRESS} }}] }} }}\n"
    )
}

/// The Service's one endpoint.
fn slice(node: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{ name: web-1, namespace: apps, labels: {{ kubernetes.io/service-name: web }} }}\naddressType: IPv4\nendpoints: [{{ addresses: [10.244.1.7], nodeName: {node}, conditions: {{ ready: true }} }}]\n"
    )
}

/// What a node tells BIRD of the address.
enum Told {
    Plain,
    GracefulShutdown,
    Nothing,
}

/// Whether BIRD has just that of a node.
fn bird_is_told(lab: &Lab, node: &str, wanted: &Told) -> Result<()> {
    let protocol = format!("{node}_v4");
    let shown = bird::routes(&lab.routers()[0].dir, &["all", HOST, "protocol", &protocol])?;
    let is_there = shown.contains(ADDRESS);
    let is_marked = shown.contains("(65535,0)");
    let right = match wanted {
        Told::Plain => is_there && !is_marked,
        Told::GracefulShutdown => is_there && is_marked,
        Told::Nothing => !is_there,
    };
    ensure!(right, "{node}: {shown}");
    Ok(())
}

fn bird_has(lab: &Lab, node: &str, wanted: &Told) {
    let probe = || bird_is_told(lab, node, wanted);
    wait::until("what BIRD is told", BOUND, probe).unwrap();
}

/// Writes a Node with more in its `spec`, and in its `status`.
fn put(lab: &Lab, node: &str, spec: &str, status: &str) {
    let node = lab.topology.node(node).unwrap();
    let text = node_manifest(node);
    let text = text.replacen("spec:\n", &format!("spec:\n{spec}"), 1);
    let text = text.replacen("status:\n", &format!("status:\n{status}"), 1);
    lab.objects().put(&node_file(&node.name), &text).unwrap();
}

fn says(lab: &Lab, node: &str, words: &[&str], text: &str) {
    wait::until("redc tells", BOUND, || {
        let said = speaker::redc(lab, node, words)?;
        match said.contains(text) {
            true => Ok(()),
            false => bail!("{said}"),
        }
    })
    .unwrap();
}

/// The mark, the withdrawal, and the way back; and `redc show services` tells.
fn drained_and_back(lab: &Lab, node: &str, spec: &str, status: &str, why: &str) {
    let sessions = SessionSnapshot::take(lab).unwrap();
    put(lab, node, spec, status);
    bird_has(lab, node, &Told::GracefulShutdown);
    says(lab, node, &["show", "services"], "advertised (draining)");
    bird_has(lab, node, &Told::Nothing);
    says(lab, node, &["show", "services"], "withheld (drained)");
    says(lab, node, &["show", "status"], why);
    put(lab, node, "", "");
    bird_has(lab, node, &Told::Plain);
    says(lab, node, &["show", "services"], "advertised ");
    sessions.unchanged(lab).unwrap();
}

#[test]
fn a_chosen_taint_drains_a_node() {
    let lab = lab("taint", WAIT);
    let lab = &lab.lab;
    // Another taint does not, nor does a cordon.
    let other = "  unschedulable: true\n  taints:\n  - { key: node.kubernetes.io/unschedulable, effect: NoSchedule }\n  - { key: example.com/gpu, effect: NoSchedule }\n";
    put(lab, "n2", other, "");
    wait::holds("nothing happens", Duration::from_secs(2), || {
        bird_is_told(lab, "n2", &Told::Plain)
    })
    .unwrap();
    drained_and_back(lab, "n2", TAINT, "", "drain-taint");
}

#[test]
fn a_node_that_shuts_down_is_drained() {
    let lab = lab("shutdown", WAIT);
    let status = "  conditions:\n  - { type: Ready, status: \"False\", reason: KubeletNotReady, message: \"node is shutting down\" }\n";
    drained_and_back(&lab.lab, "n3", "", status, "node-shutdown");
}

/// A speaker that is killed and starts anew on a node that is drained tells the router nothing again, for
/// no moment.
#[test]
fn what_a_drained_node_withdrew_stays_so_over_a_restart() {
    let mut lab = lab("again", "waitSeconds: 1");
    let lab = &mut lab.lab;
    // Nobody but n2 has it to tell.
    let objects = lab.objects();
    objects.put("slice", &slice("n2")).unwrap();
    objects
        .put("web", &service("externalTrafficPolicy: Local"))
        .unwrap();
    for node in ["n1", "n3"] {
        bird_has(lab, node, &Told::Nothing);
    }
    put(lab, "n2", TAINT, "");
    bird_has(lab, "n2", &Told::Nothing);
    let tor = lab.topology.routers[0].name.clone();
    let monitor = RouteMonitor::start(&lab.netns(&tor)).unwrap();
    let told = || -> Result<Vec<String>> {
        let mut changes = monitor.changes()?;
        changes.retain(|line| line.contains(ADDRESS));
        Ok(changes)
    };
    for signal in [Signal::Kill, Signal::Terminate] {
        lab.stop_speaker("n2", signal).unwrap();
        lab.start_speaker(&SpeakerStart::of("n2")).unwrap();
        checks::converged(lab).unwrap();
        says(lab, "n2", &["show", "services"], "withheld (drained)");
        assert_eq!(told().unwrap(), [""; 0]);
    }
    put(lab, "n2", "", "");
    bird_has(lab, "n2", &Told::Plain);
    wait::until("the router's kernel has it", BOUND, || {
        ensure!(!told()?.is_empty(), "{:?}", monitor.changes());
        Ok(())
    })
    .unwrap();
}

#[test]
fn only_so_many_nodes_are_drained_at_once_but_for_those_that_shut_down() {
    let lab = lab("limit", "waitSeconds: 0, maxNodes: 1");
    let lab = &lab.lab;
    put(lab, "n1", TAINT, "");
    bird_has(lab, "n1", &Told::Nothing);
    put(lab, "n2", TAINT, "");
    says(lab, "n2", &["show", "status"], "drain-limit");
    bird_has(lab, "n2", &Told::Plain);
    let status = "  conditions:\n  - { type: Ready, status: \"False\", message: \"node is shutting down\" }\n";
    put(lab, "n3", "", status);
    bird_has(lab, "n3", &Told::Nothing);
    // n1, which is drained already, stays so; n2 waits for both.
    wait::holds("n1 stays drained", Duration::from_secs(2), || {
        bird_is_told(lab, "n1", &Told::Nothing)
    })
    .unwrap();
    says(lab, "n2", &["show", "status"], "drain-limit");
    bird_has(lab, "n2", &Told::Plain);
    put(lab, "n3", "", "");
    put(lab, "n1", "", "");
    bird_has(lab, "n1", &Told::Plain);
    bird_has(lab, "n2", &Told::Nothing);
}
