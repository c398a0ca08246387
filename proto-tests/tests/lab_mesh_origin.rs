//! A node of the mesh, played by a real BIRD, announces more than the pod CIDRs of its own Node: what is
//! not its own is refused, counted and named, and what is its own is used all the while.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use anyhow::{Result, ensure};
use cable_world::{SOON, World};
use redstart_controller::control::views;
use redstart_proto_tests::lab::{netns::stdout_of, wait};
use serde_json::Value;

/// What the account of the speakers may do, and that of the test besides.
const ROLES: &str = concat!(
    include_str!("../../manifests/base/rbac.yaml"),
    "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: test }\n\
     rules: [{ apiGroups: [events.k8s.io], resources: [events], verbs: [list] }]\n"
);

/// Of b, of c, of nobody, a part of b's, and the default route.
const ANNOUNCED: [(&str, bool); 5] = [
    ("10.20.0.0/24", true),
    ("10.21.0.0/24", false),
    ("10.22.0.0/24", false),
    ("10.20.0.128/25", false),
    ("0.0.0.0/0", false),
];

fn node(name: &str, address: &str, cidr: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{ name: {name} }}\nspec: {{ podCIDRs: [{cidr}] }}\n\
         status: {{ addresses: [{{ type: InternalIP, address: {address} }}] }}\n"
    )
}

/// BIRD as the speaker of node b.
fn bird() -> String {
    let routes = ANNOUNCED.map(|(prefix, _)| format!("route {prefix} blackhole;"));
    format!(
        "router id 10.30.0.11;\nlog stderr all;\nprotocol device {{ scan time 1; }}\n\
         protocol static s4 {{ ipv4; {} }}\n\
         protocol bgp a {{ local 10.30.0.11 as 65010; neighbor 10.30.0.1 as 65010; direct;\n\
         connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
         ipv4 {{ import all; export where proto = \"s4\"; next hop self; }}; }}\n",
        routes.concat()
    )
}

/// The node and its API server, and b.
fn world() -> World {
    let mut world = World::new("mesh-origin", 1).unwrap();
    for (netns, address, link) in [
        (&world.us, "10.30.0.1/24", "up1"),
        (&world.them, "10.30.0.11/24", "down1"),
    ] {
        netns
            .ip(&[format!("addr add {address} dev {link}")])
            .unwrap();
    }
    world.put_node(&["10.30.0.1"]).unwrap();
    for (name, address, cidr) in [
        ("b", "10.30.0.11", "10.20.0.0/24"),
        ("c", "10.30.0.12", "10.21.0.0/24"),
    ] {
        world.put(name, &node(name, address, cidr)).unwrap();
    }
    let configuration = "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata: { name: default }\n\
                         spec: { asn: 65010, timers: { connectRetrySeconds: 1, holdTimeSeconds: 240 } }\n";
    world.put("configuration", configuration).unwrap();
    world.start_bird(&bird()).unwrap();
    world
}

#[test]
fn a_node_of_the_mesh_announces_its_own_pod_cidrs_and_nothing_else() {
    let mut world = world();
    let kubeconfig = world.start_apiserver(ROLES).unwrap();
    let kubeconfig = kubeconfig.to_string_lossy().into_owned();
    world
        .run_redstart(&["--kubeconfig", &kubeconfig, "--no-cache"])
        .unwrap();
    world.is("mesh-b", "Established").unwrap();
    for (prefix, own) in ANNOUNCED {
        let (says, not): (&[&str], &[&str]) = match own {
            true => (&["via 10.30.0.11"], &[]),
            false => (&[], &["via"]),
        };
        world.routed(&world.us, prefix, says, not).unwrap();
    }

    // Each is named, with the reason...
    let refused: Vec<views::Route> = world.ask(&["show", "route", "filtered"]).unwrap();
    let mut named: Vec<&str> = refused.iter().map(|route| route.prefix.as_str()).collect();
    named.sort_unstable();
    let mut others: Vec<&str> = ANNOUNCED
        .iter()
        .filter_map(|(prefix, own)| (!own).then_some(*prefix))
        .collect();
    others.sort_unstable();
    assert_eq!(named, others);
    let shown = world.redc("show route filtered").unwrap();
    assert_eq!(
        shown.matches("not-allowed").count(),
        others.len(),
        "{shown}"
    );
    // ... and counted.
    let metrics = world.get("/metrics").unwrap();
    let counted = format!(
        "redstart_routes_refused{{reason=\"not-allowed\",role=\"mesh\"}} {}",
        others.len()
    );
    assert!(metrics.contains(&counted), "{metrics}");
    told(&world, &kubeconfig, others.len());
}

/// Waits for the Event about that many routes of b.
fn told(world: &World, kubeconfig: &str, routes: usize) {
    let note = format!("{routes} routes of mesh-b are refused: not-allowed");
    wait::until("the Event", SOON, || -> Result<()> {
        let mut kubectl = world.us.command("kubectl");
        kubectl.args(["--kubeconfig", kubeconfig, "get", "--raw"]);
        let events = stdout_of(kubectl.arg("/apis/events.k8s.io/v1/events"))?;
        let events: Value = serde_json::from_str(&events)?;
        let is = |event: &Value| event["reason"] == "RoutesRefused" && event["note"] == note;
        let found = events["items"]
            .as_array()
            .is_some_and(|all| all.iter().any(is));
        ensure!(found, "{events:#}");
        Ok(())
    })
    .unwrap();
}
