//! What `redc` prints in JSON, of a speaker that has something to say of everything, is what the published
//! schema allows: by a validator that is not ours.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use std::{collections::BTreeMap, fs, os::unix::net::UnixListener, path::Path, thread};

use anyhow::{Result, ensure};
use boon::{Compiler, SchemaIndex, Schemas};
use cable_world::{SOON, World};
use redstart_controller::{
    cli::table::COMMANDS,
    control::views::{BfdSession, BmpStation, Kernel, MrtLog, Service},
};
use redstart_proto_tests::lab::wait;
use serde_json::{Value, json};

/// What the account of the speakers may do, and that of those who may drain their nodes besides.
const ROLES: &str = concat!(
    include_str!("../../manifests/base/rbac.yaml"),
    "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: drain }\n\
     rules: [{ apiGroups: [\"\"], resources: [nodes], verbs: [get, patch] }]\n"
);

/// A BIRD that is watched, with a route that is good and one that has been here.
const BIRD: &str = "router id 10.20.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n\
    protocol bfd { interface \"*\" { interval 300 ms; multiplier 10; }; }\n\
    protocol bgp node { local 10.30.0.11 as 65020; neighbor 10.30.0.1 as 65010; direct; bfd on;\n\
    connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
    ipv4 { import all; export filter { if source != RTS_STATIC then reject;\n\
    if net = 10.66.6.0/24 then bgp_path.prepend(65010);\n\
    bgp_community.add((65020,7)); bgp_large_community.add((65020,7,9)); bgp_med = 5; accept; }; }; }\n\
    protocol static s4 { ipv4; route 20.0.0.64/28 blackhole; route 10.66.6.0/24 blackhole; }\n";

/// What the cluster has, beside the Node and two routers.
const OBJECTS: [(&str, &str); 7] = [
    (
        "configuration",
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata: { name: default }\n\
         spec:\n  asn: 65010\n  mesh: { mode: None }\n  timers: { connectRetrySeconds: 1 }\n  \
         bmp:\n  - { address: 10.30.0.11, tables: [AdjRIBInPre, LocRIB] }\n  \
         mrt: { directory: MRT }\n",
    ),
    (
        "profile",
        "apiVersion: redstart.dev/v1alpha1\nkind: BFDProfile\nmetadata: { name: lab }\n\
         spec: { receiveInterval: 300, transmitInterval: 300, detectMultiplier: 10 }\n",
    ),
    (
        "advertisement",
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata: { name: all }\n\
         spec: { podCIDRs: true, services: { addresses: [LoadBalancerIP] } }\n",
    ),
    (
        "web",
        "apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: apps }\n\
         spec: { type: LoadBalancer, clusterIP: 10.96.0.1 }\n\
         status: { loadBalancer: { ingress: [{ ip: 203.0.113.1 }] } }\n",
    ),
    (
        "slice",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
         metadata: { name: web-1, namespace: apps, labels: { kubernetes.io/service-name: web } }\n\
         endpoints: [{ addresses: [10.244.1.7], nodeName: n1, conditions: { ready: true } }]\n",
    ),
    (
        "idle",
        "apiVersion: v1\nkind: Service\nmetadata: { name: idle, namespace: apps }\n\
         spec: { type: LoadBalancer, clusterIP: 10.96.0.2 }\n\
         status: { loadBalancer: { ingress: [{ ip: 203.0.113.2 }] } }\n",
    ),
    (
        "wrong",
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: { name: wrong }\n\
         spec: { address: 192.0.2.7, asn: External, bfd: { profile: nowhere } }\n",
    ),
];

/// A manifest that changes a session, and has a mistake.
const CHANGE: &str = "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: { name: tor }\n\
    spec: { address: 10.30.0.11, asn: External, localASN: 65099 }\n---\n\
    apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: { name: typing-error }\n\
    spec: { address: 10.30.0.12, asn: External, colour: green }\n";

/// An empty UPDATE.
const UPDATE: &str = "ffffffffffffffffffffffffffffffff00170200000000";

/// A BMP station that listens and says nothing, as they do.
fn start_station(world: &mut World) {
    let socket = world.path("station.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    world.start_relay(11019, &socket).unwrap();
    thread::spawn(move || {
        while let Ok((mut connection, _)) = listener.accept() {
            thread::spawn(move || std::io::copy(&mut connection, &mut std::io::sink()));
        }
    });
}

/// The speaker with an API server, a watched session, routes in every state, and a neighbour that is not
/// there.
fn world() -> World {
    let mut world = World::addressed("schema").unwrap();
    start_station(&mut world);
    let watched = "  bfd:\n    profile: lab\n";
    world.put_router("tor", "10.30.0.11", watched).unwrap();
    world.put_router("far", "10.30.0.99", "").unwrap();
    world.put_node(&["10.30.0.1"]).unwrap();
    let logs = world.path("mrt");
    fs::create_dir(&logs).unwrap();
    for (name, manifest) in OBJECTS {
        let manifest = manifest.replace("MRT", &logs.to_string_lossy());
        world.put(name, &manifest).unwrap();
    }
    world.start_bird(BIRD).unwrap();
    let kubeconfig = world.start_apiserver(ROLES).unwrap();
    let kubeconfig = kubeconfig.to_string_lossy().into_owned();
    world
        .run_redstart(&["--kubeconfig", &kubeconfig, "--no-cache"])
        .unwrap();
    wait::until("there is something of everything", SOON, || {
        has_everything(&world)
    })
    .unwrap();
    world
}

fn has_everything(world: &World) -> Result<()> {
    let tor = world.protocol("tor")?;
    ensure!(tor.state == "Established", "{tor:?}");
    ensure!(tor.refused.len() == 1, "{tor:?}");
    let bfd: Vec<BfdSession> = world.ask(&["show", "bfd"])?;
    ensure!(bfd.iter().any(|one| one.state == "Up"), "{bfd:?}");
    let bmp: Vec<BmpStation> = world.ask(&["show", "bmp"])?;
    ensure!(bmp.iter().all(|one| one.state == "synchronised"), "{bmp:?}");
    let mrt: Vec<MrtLog> = world.ask(&["show", "mrt"])?;
    ensure!(mrt.iter().all(|one| one.state == "writing"), "{mrt:?}");
    let kernel: Kernel = world.ask(&["show", "kernel"])?;
    ensure!(kernel.totals.installed == 1, "{kernel:?}");
    let services: Vec<Service> = world.ask(&["show", "services"])?;
    for state in ["advertised", "withheld"] {
        ensure!(services.iter().any(|s| s.state == state), "{services:?}");
    }
    Ok(())
}

/// What to say behind the words of a command; nothing for commands that are for people alone, or write
/// files for other programs.
fn said_behind(command: &str, manifest: &str) -> Option<Vec<String>> {
    let lines: &[&str] = match command {
        "show status" | "show kernel" | "show services" | "show bmp" | "show mrt" | "drain"
        | "undrain" => &[""],
        "show protocols" => &["", "all", "tor", "all far"],
        "show route" => &[
            "",
            "all",
            "20.0.0.64/28",
            "for 20.0.0.77",
            "for 192.0.2.1",
            "in 20.0.0.0/8 all",
            "protocol tor",
            "export tor",
            "noexport tor",
            "where net.len = 28",
            "filtered all",
            "count",
            "filtered count",
        ],
        "show bfd" => &["", "sessions"],
        "explain" => &[
            "20.0.0.77",
            "10.66.6.0/24 to tor",
            "10.244.1.9",
            "203.0.113.1",
            "203.0.113.2",
            "192.0.2.1",
        ],
        "why-down" => &["tor", "far"],
        "history" => &["", "tor"],
        "validate" | "diff" => &[manifest],
        "decode" => &[UPDATE],
        "log" => &["debug", "default"],
        "reload" => &["tor", "in tor", "out all"],
        "disable" | "enable" => &["far"],
        "restart" => &["all"],
        "watch" | "top" | "help" | "dump mrt" | "capture" => return None,
        other => panic!("{other} is a new command: what is there to say behind it?"),
    };
    Some(lines.iter().map(|line| (*line).to_owned()).collect())
}

/// The schema as it is published, and the same where nothing may be but what it names.
struct Published {
    schemas: Schemas,
    both: [SchemaIndex; 2],
    answers: Vec<String>,
}

impl Published {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/control-v1.json");
        let document: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let answers = document["properties"].as_object().unwrap();
        let answers = answers.keys().cloned().collect();
        let mut closed = document.clone();
        close(&mut closed);
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.enable_format_assertions();
        let mut compile = |place: &str, document| {
            compiler.add_resource(place, document).unwrap();
            let compiled = compiler.compile(place, &mut schemas);
            compiled.unwrap_or_else(|error| panic!("{error:#}"))
        };
        let both = [
            compile("http://published.test/schema.json", document),
            compile("http://closed.test/schema.json", closed),
        ];
        Self {
            schemas,
            both,
            answers,
        }
    }

    /// Fails where an answer is not what there is to be.
    fn check(&self, command: &str, line: &str, answer: &Value) {
        let document = json!({ command: answer });
        for schema in self.both {
            let valid = self.schemas.validate(&document, schema);
            assert!(
                valid.is_ok(),
                "{command} {line}: {:#}\n{answer:#}",
                valid.unwrap_err()
            );
        }
    }
}

/// Has nothing be allowed that is not named.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            if keywords.contains_key("properties") {
                let others = keywords.entry("additionalProperties");
                others.or_insert(Value::Bool(false));
            }
            keywords.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

/// What `redc` prints.
fn answer(world: &World, command: &str, line: &str) -> Value {
    let mut redc = world.redc_command();
    redc.args(["-o", "json"]).args(command.split(' '));
    let output = redc.args(line.split_whitespace()).output().unwrap();
    // 3: the answer is not the good one.
    let is_answer = matches!(output.status.code(), Some(0 | 3));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(is_answer, "{command} {line}: {complaint}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(&output.stdout);
        panic!("{command} {line}: {error}: {text}")
    })
}

fn is_empty(answer: &Value) -> bool {
    match answer {
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

#[test]
fn what_every_command_prints_is_what_the_published_schema_allows() {
    let world = world();
    let manifest = world.path("change.yaml");
    fs::write(&manifest, CHANGE).unwrap();
    let published = Published::read();
    // Whether there was more than nothing.
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    for spec in COMMANDS {
        let command = spec.words.join(" ");
        let Some(lines) = said_behind(&command, &manifest.to_string_lossy()) else {
            continue;
        };
        for keyword in spec.args.iter().filter_map(|arg| arg.keyword) {
            let said = |line: &String| line.split(' ').any(|word| word == keyword);
            assert!(lines.iter().any(said), "{command}: nothing with {keyword}");
        }
        for line in lines {
            let answer = answer(&world, &command, &line);
            let counts = line.split(' ').any(|word| word == "count");
            let shape = if counts { " count" } else { "" };
            let shape = format!("{command}{shape}");
            published.check(&shape, &line, &answer);
            *seen.entry(shape).or_default() |= !is_empty(&answer);
        }
    }
    let expected = published.answers.iter().map(|it| (it.clone(), true));
    assert_eq!(seen, expected.collect());
}

/// Else it could not be told from a validator that lets everything pass.
#[test]
fn what_is_not_allowed_is_noticed() {
    let published = Published::read();
    let valid = |answer: Value, schema: usize| {
        let document = json!({ "show bmp": [answer] });
        let schema = published.both[schema];
        published.schemas.validate(&document, schema).is_ok()
    };
    let good = json!({
        "address": "10.10.0.5:11019", "tables": ["LocRIB"], "state": "connecting",
        "since": "2026-05-28T20:26:40Z", "lastError": null, "lastErrorText": null,
        "connections": 3, "tooSlow": 1, "messages": 99, "octets": 9876, "unsendable": 0,
    });
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    assert!(valid(good.clone(), 0) && valid(good.clone(), 1));
    for (name, value) in [
        ("since", json!("yesterday")),
        ("messages", json!(-1)),
        ("tables", json!("LocRIB")),
        ("state", Value::Null),
    ] {
        assert!(!valid(with(name, value), 0), "{name}");
    }
    let new = with("colour", json!("green"));
    assert!(valid(new.clone(), 0), "readers bear what is new");
    assert!(!valid(new, 1));
}
