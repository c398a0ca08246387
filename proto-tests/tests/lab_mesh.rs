//! The topology of the mesh changes, and nodes are drained, under traffic: nothing is lost.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{
    io::Read as _,
    net::IpAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use redstart_proto_tests::lab::{
    Lab,
    checks::{self, routes, sessions::SessionSnapshot},
    exclusive::TestLab,
    kernel::{self, RouteMonitor},
    objects::{node_file, node_manifest},
    process::Signal,
    speaker::{self, SpeakerStart},
    topology::{Family, NODE_ASN, Topology, TorKind},
    traffic::{Endpoint, Stream, endpoints},
    wait,
};

const BOUND: Duration = Duration::from_secs(30);

fn lab() -> TestLab {
    let lab = TestLab::redstart("mesh", TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

/// Writes the `BGPConfiguration` with `more` in its spec.
fn configure(lab: &Lab, more: &str) {
    let text = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
         spec:\n  asn: {NODE_ASN}\n  timers:\n    connectRetrySeconds: 1\n{more}"
    );
    lab.objects().put("bgpconfiguration", &text).unwrap();
}

fn reflector(node: &str) -> String {
    format!(
        "  mesh:\n    mode: RouteReflector\n    settleSeconds: 2\n    routeReflector:\n      \
         nodeSelector:\n        matchLabels: {{ kubernetes.io/hostname: {node} }}\n"
    )
}

const FULL_MESH: &str = "  mesh:\n    mode: FullMesh\n    settleSeconds: 2\n";

/// The nodes, and those that each has a session with.
type Sessions = [(&'static str, &'static [&'static str]); 3];

/// Waits until the mesh sessions of each node are exactly those with these nodes, all established.
fn mesh_is(lab: &Lab, wanted: &Sessions) {
    let probe = || -> Result<()> {
        for (node, others) in wanted {
            let protocols = speaker::protocols(lab, node)?;
            let mesh = protocols.iter().filter(|p| p.role == "mesh");
            let found: Vec<(String, String)> =
                mesh.map(|p| (p.name.clone(), p.state.clone())).collect();
            let up = |other: &&str| (format!("mesh-{other}"), "Established".to_owned());
            if found != others.iter().map(up).collect::<Vec<_>>() {
                bail!("{node} has {found:?}");
            }
        }
        Ok(())
    };
    wait::until("the sessions of the mesh", BOUND, probe).unwrap();
}

fn endpoint<'a>(all: &'a [Endpoint], node: Option<&str>) -> &'a Endpoint {
    all.iter().find(|e| e.node.as_deref() == node).unwrap()
}

/// Packets between pods of n1 and n3.
fn both_ways(lab: &Lab) -> [Stream; 2] {
    let all = endpoints(lab).unwrap();
    let (one, other) = (endpoint(&all, Some("n1")), endpoint(&all, Some("n3")));
    [(one, other), (other, one)].map(|(from, to)| Stream::start(from, to).unwrap())
}

fn lost_nothing(streams: [Stream; 2]) {
    for stream in streams {
        assert!(stream.stop().unwrap() > 100);
    }
}

/// Acceptance case 10: "mesh -> RR move with continuous ping, no loss", to another reflector, and
/// back. The routes in the kernels stay the same all the time.
#[test]
fn case_10_mesh_to_reflector_and_back_loses_no_packet() {
    let lab = lab();
    let lab = &lab.lab;
    let streams = both_ways(lab);
    let expected = routes::expected(&lab.topology);
    let topologies: [(String, Sessions); 3] = [
        (
            reflector("n2"),
            [("n1", &["n2"]), ("n2", &["n1", "n3"]), ("n3", &["n2"])],
        ),
        (
            reflector("n1"),
            [("n1", &["n2", "n3"]), ("n2", &["n1"]), ("n3", &["n1"])],
        ),
        (
            FULL_MESH.to_owned(),
            [
                ("n1", &["n2", "n3"]),
                ("n2", &["n1", "n3"]),
                ("n3", &["n1", "n2"]),
            ],
        ),
    ];
    for (configuration, sessions) in topologies {
        configure(lab, &configuration);
        mesh_is(lab, &sessions);
        let stay = Duration::from_secs(3);
        wait::holds("all routes", stay, || routes::all(lab, &expected)).unwrap();
    }
    lost_nothing(streams);
}

/// `Auto` beyond its size and back below it, by every speaker alone: under traffic nothing is lost, and all
/// come to the same one reflector.
#[test]
fn auto_beyond_its_size_and_back_loses_no_packet() {
    let lab = TestLab::redstart("auto", TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    let lab = &lab.lab;
    checks::converged(lab).unwrap();
    let streams = both_ways(lab);
    let expected = routes::expected(&lab.topology);
    let stay = Duration::from_secs(3);
    for (up_to, sessions) in [(3, [2, 2, 2]), (1, [1, 1, 2]), (3, [2, 2, 2])] {
        configure(
            lab,
            &format!(
                "  mesh:\n    mode: Auto\n    settleSeconds: 2\n    auto: {{ fullMeshUpTo: {up_to}, reflectors: 1 }}\n"
            ),
        );
        let probe = || -> Result<()> {
            let mut found = Vec::new();
            for node in ["n1", "n2", "n3"] {
                let protocols = speaker::protocols(lab, node)?;
                let mesh = protocols.iter().filter(|p| p.role == "mesh");
                let up: Vec<bool> = mesh.map(|p| p.state == "Established").collect();
                ensure!(up.iter().all(|up| *up), "{node}: {protocols:?}");
                found.push(up.len());
            }
            found.sort_unstable();
            ensure!(found == sessions, "{found:?}");
            Ok(())
        };
        wait::until("the sessions of the mesh", BOUND, probe).unwrap();
        wait::holds("all routes", stay, || routes::all(lab, &expected)).unwrap();
    }
    lost_nothing(streams);
}

/// An address that n1 and n2 both serve.
const VIP: &str = "198.51.100.7";

fn serve_vip(lab: &Lab) {
    for node in ["n1", "n2"] {
        let line = format!("addr add {VIP}/32 dev lo");
        lab.netns(node).ip(&[line]).unwrap();
    }
    let advertisement = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: vip\nspec:\n  \
         podCIDRs: false\n  staticPrefixes: [{VIP}/32]\n  nodeSelector:\n    matchExpressions:\n    \
         - {{ key: kubernetes.io/hostname, operator: In, values: [n1, n2] }}\n"
    );
    let pods = "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: pods\n\
                spec:\n  podCIDRs: true\n";
    lab.objects().put("advertise-pods", pods).unwrap();
    lab.objects().put("advertise-vip", &advertisement).unwrap();
}

/// Through which node the router reaches the VIP.
fn way(lab: &Lab) -> Result<Vec<IpAddr>> {
    let router = &lab.topology.routers[0].name;
    let routes = kernel::routes_to(&lab.netns(router), Family::V4, VIP)?;
    Ok(routes.into_iter().flat_map(|r| r.next_hops).collect())
}

fn goes_through(lab: &Lab, node: &str) {
    let node = lab.topology.nodes.iter().find(|n| n.name == node).unwrap();
    let address = IpAddr::V4(node.addresses.v4);
    let probe = || match way(lab)? {
        way if way == [address] => Ok(()),
        other => bail!("{other:?}"),
    };
    wait::until("the way to the VIP", BOUND, probe).unwrap();
}

fn drain(lab: &Lab, node: &str, value: &str) {
    let node = lab.topology.nodes.iter().find(|n| n.name == node).unwrap();
    let annotated = node_manifest(node).replace(
        "  labels:\n",
        &format!("  annotations:\n    redstart.dev/drain: \"{value}\"\n  labels:\n"),
    );
    let file = node_file(&node.name);
    lab.objects().put(&file, &annotated).unwrap();
}

/// A program that ends with the test, however that ends.
struct Running(Child);

impl Running {
    fn start(mut command: Command, output: Stdio) -> Self {
        Self(command.stdout(output).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves the VIP on a node.
fn serve(lab: &Lab, node: &str) -> Running {
    let mut command = lab.netns(node).command(env!("CARGO_BIN_EXE_lab"));
    command.args(["tcp-serve", &format!("{VIP}:8080")]);
    let server = Running::start(command, Stdio::null());
    let listens = || match lab.netns(node).output("ss", &["-Hltn"])? {
        listening if listening.contains(&format!("{VIP}:8080")) => Ok(()),
        listening => bail!("{listening}"),
    };
    wait::until("the server listens", BOUND, listens).unwrap();
    server
}

/// Connects to the VIP, one connection after the other, until the file `stop` is there or one fails,
/// and then says how many there were.
///
/// A connection fails when it is refused twice. Once may be: when the router changes its route in the middle
/// of a handshake, the rest of it comes to a node that does not know of it, and that is true of every
/// route that ever moves. Whether packets are lost, the pings say.
fn load(lab: &Lab) -> Running {
    let script = format!(
        "connect() {{ {} tcp-connect {VIP}:8080 >/dev/null; }}; n=0; again=0; \
         while [ ! -e {}/stop ]; do \
         connect || {{ again=$((again+1)); connect; }} || exit 1; n=$((n+1)); done; echo $n $again",
        env!("CARGO_BIN_EXE_lab"),
        lab.run_dir().path().display(),
    );
    let mut command = lab.netns(Topology::EXT).command("sh");
    command.args(["-c", &script]);
    Running::start(command, Stdio::piped())
}

/// Ends the load, and says how many connections there were, none of which failed, and how many of them
/// took two attempts.
fn unload(lab: &Lab, mut load: Running) -> (u32, u32) {
    std::fs::write(lab.run_dir().path().join("stop"), "").unwrap();
    let mut count = String::new();
    let mut stdout = load.0.stdout.take().unwrap();
    stdout.read_to_string(&mut count).unwrap();
    assert!(load.0.wait().unwrap().success(), "a connection failed");
    let (all, again) = count.trim().split_once(' ').unwrap();
    (all.parse().unwrap(), again.parse().unwrap())
}

/// How many routes a node gives its routers.
fn exported(lab: &Lab, node: &str) -> Result<u64> {
    let protocols = speaker::protocols(lab, node)?;
    let routers = protocols.iter().filter(|p| p.role == "router");
    Ok(routers.map(|p| p.routes.exported).sum())
}

/// The router has a route to the pods of every node. Those of a drained node have nowhere else to go.
fn pods_have_routes(lab: &Lab) {
    let router = lab.netns(&lab.topology.routers[0].name);
    for node in &lab.topology.nodes {
        let pods = &node.pod_cidrs.v4;
        assert_eq!(
            kernel::routes_to(&router, Family::V4, pods).unwrap().len(),
            1,
            "{pods}"
        );
    }
}

/// Acceptance case e: a node is drained under continuous load, and nothing is lost. The other node
/// takes over, the sessions of all stay, and after the drain everything is as before.
#[test]
fn case_e_drain_under_load_loses_nothing() {
    let lab = lab();
    let lab = &lab.lab;
    configure(lab, "  drain:\n    waitSeconds: 2\n    maxNodes: 1\n");
    serve_vip(lab);
    let _servers = ["n1", "n2"].map(|node| serve(lab, node));
    let served = || {
        let without = exported(lab, "n3")?;
        if way(lab)?.is_empty()
            || exported(lab, "n1")? == without
            || exported(lab, "n2")? == without
        {
            bail!("the VIP is not advertised by both");
        }
        Ok(())
    };
    wait::until("two ways to the VIP", BOUND, served).unwrap();
    wait::holds("two ways to the VIP", Duration::from_secs(1), served).unwrap();
    let first = way(lab).unwrap();
    let by = |n: &str| {
        lab.topology
            .nodes
            .iter()
            .any(|node| node.name == n && first == [IpAddr::V4(node.addresses.v4)])
    };
    let (drained, other) = if by("n1") { ("n1", "n2") } else { ("n2", "n1") };
    let sessions = SessionSnapshot::take(lab).unwrap();
    let before = exported(lab, drained).unwrap();
    let load = load(lab);
    let all = endpoints(lab).unwrap();
    let pings = Stream::towards(endpoint(&all, None), VIP, &[VIP.parse().unwrap()]).unwrap();

    drain(lab, drained, "2026-05-28T20:26:40Z");
    goes_through(lab, other);
    assert!(exported(lab, drained).unwrap() < before);
    pods_have_routes(lab);
    // The other one waits for its turn.
    drain(lab, other, "2026-05-28T20:26:41Z");
    let waits = || {
        let problems = format!("{:?}", speaker::status(lab, other)?.problems);
        if problems.contains("drain-limit") {
            Ok(())
        } else {
            bail!("{problems}")
        }
    };
    wait::until("the second drain is refused", BOUND, waits).unwrap();
    drain(lab, other, "false");
    drain(lab, drained, "false");
    let again = || match exported(lab, drained)? {
        now if now == before => Ok(()),
        now => bail!("{drained} advertises {now} routes, not {before}"),
    };
    wait::until("it advertises everything again", BOUND, again).unwrap();
    sessions.unchanged(lab).unwrap();

    let (connections, again) = unload(lab, load);
    // The route moved twice: there and back.
    assert!(connections > 10 && again <= 2, "{again} of {connections}");
    assert!(pings.stop().unwrap() > 100);
}

/// Acceptance case f: "all nodes cordoned -> not an outage".
#[test]
fn case_f_all_nodes_cordoned_is_no_outage() {
    let lab = lab();
    let lab = &lab.lab;
    let all = endpoints(lab).unwrap();
    let (ext, pod) = (endpoint(&all, None), endpoint(&all, Some("n1")));
    let sessions = SessionSnapshot::take(lab).unwrap();
    let stream = Stream::start(ext, pod).unwrap();
    for node in &lab.topology.nodes {
        let cordoned = node_manifest(node).replace(
            "spec:\n",
            "spec:\n  unschedulable: true\n  taints:\n  - { key: node.kubernetes.io/unschedulable, effect: NoSchedule }\n",
        );
        assert!(cordoned.contains("unschedulable: true"), "{cordoned}");
        let file = node_file(&node.name);
        lab.objects().put(&file, &cordoned).unwrap();
    }
    let expected = routes::expected(&lab.topology);
    let stay = Duration::from_secs(4);
    wait::holds("all routes", stay, || routes::all(lab, &expected)).unwrap();
    sessions.unchanged(lab).unwrap();
    assert!(stream.stop().unwrap() > 100);
}

/// A reflector dies and comes back, and its clients do not notice: it tells them the end of its table
/// (RFC 4724 section 4.1) after it has learned again what it passes on. Three times, since it depends on
/// which client comes back first.
#[test]
fn a_killed_reflector_costs_its_clients_no_route() {
    let mut lab = lab();
    configure(&lab.lab, &reflector("n2"));
    let sessions: Sessions = [("n1", &["n2"]), ("n2", &["n1", "n3"]), ("n3", &["n2"])];
    mesh_is(&lab.lab, &sessions);
    let expected = routes::expected(&lab.lab.topology);
    routes::wait_all(&lab.lab, &expected, BOUND).unwrap();
    let clients = ["n1", "n3"].map(|node| RouteMonitor::start(&lab.lab.netns(node)).unwrap());
    for _ in 0..3 {
        lab.lab.stop_speaker("n2", Signal::Kill).unwrap();
        lab.lab.start_speaker(&SpeakerStart::of("n2")).unwrap();
        mesh_is(&lab.lab, &sessions);
        // Longer than its End-of-RIB may take.
        let stay = Duration::from_secs(6);
        wait::holds("all routes", stay, || routes::all(&lab.lab, &expected)).unwrap();
    }
    for client in clients {
        assert_eq!(client.changes().unwrap(), [""; 0]);
    }
}
