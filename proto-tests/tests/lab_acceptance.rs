//! Acceptance cases that had no test of their own, with a real BIRD: docs/ACCEPTANCE.md has them all.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use std::{collections::BTreeSet, fs, net::IpAddr, process::Command, time::Duration};

use anyhow::{Result, bail, ensure};
use cable_world::{SOON, World};
use redstart_controller::control::views;
use redstart_proto_tests::lab::{
    Lab,
    checks::{self, routes, sessions::established},
    exclusive::TestLab,
    kernel::{self, RouteMonitor},
    netns::stdout_of,
    objects::{peer_manifest, peer_name},
    process::Signal,
    speaker::SpeakerStart,
    topology::{Family, NODE_ASN, TorKind},
    traffic::{Stream, endpoints},
    wait,
};

/// How long nothing must happen.
const QUIET: Duration = Duration::from_secs(3);

fn lab(name: &str) -> TestLab {
    let lab = TestLab::redstart(name, TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

fn soon(what: &str, probe: impl FnMut() -> Result<()>) {
    wait::until(what, SOON, probe).unwrap();
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec: {spec}\n"
    )
}

/// An address that Services of the reflector's lab have.
const ADDRESS: &str = "203.0.113.1";

/// Makes the lab's BIRD a reflector of the nodes, which do not peer with each other any more.
fn reflect(lab: &Lab) {
    let router = &lab.topology.routers[0];
    let objects = lab.objects();
    let configuration = format!(
        "{{ asn: {NODE_ASN}, mesh: {{ mode: None }}, timers: {{ connectRetrySeconds: 1 }} }}"
    );
    let configuration = object("BGPConfiguration", "default", &configuration);
    objects.put("bgpconfiguration", &configuration).unwrap();
    // A reflector of ours tells pod CIDRs of other nodes, as no other router may.
    let policy = "{ rules: [{ action: Accept, overrides: [ClusterRanges] }] }";
    let policy = object("BGPPolicy", "reflector", policy);
    objects.put("policy", &policy).unwrap();
    for family in Family::ALL {
        let more = "  policies: { import: [reflector] }\n  addPath: { receive: true }\n";
        let peer = peer_manifest(router, family, NODE_ASN) + more;
        let file = format!("bgppeer-{}", peer_name(router, family));
        objects.put(&file, &peer).unwrap();
    }
    let all = "{ podCIDRs: true, services: { addresses: [LoadBalancerIP] } }";
    let all = object("BGPAdvertisement", "all", all);
    objects.put("advertise", &all).unwrap();

    let directory = &lab.routers()[0].dir;
    let file = directory.join("bird.conf");
    let own_as = |asn: u32| format!("as {asn};\n  neighbor");
    let reflector = fs::read_to_string(&file)
        .unwrap()
        .replace(&own_as(router.asn), &own_as(NODE_ASN))
        .replace("direct;", "direct;\n  rr client;")
        .replace(
            "export where proto = \"own4\"; next hop self;",
            "export all; add paths tx;",
        )
        .replace(
            "export where proto = \"own6\"; next hop self;",
            "export all; add paths tx;",
        );
    assert!(reflector.contains("export all") && reflector.contains(&own_as(NODE_ASN)));
    fs::write(&file, reflector).unwrap();
    let mut birdc = Command::new("birdc");
    let birdc = birdc.arg("-s").arg(directory.join("bird.ctl"));
    stdout_of(birdc.arg("configure")).unwrap();
    established(lab, SOON).unwrap();
}

/// A Service with the address and policy Local, and its one endpoint.
fn service(name: &str, node: &str) -> [(String, String); 2] {
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: apps }}\nspec: {{ type: LoadBalancer, clusterIP: 10.96.0.1, externalTrafficPolicy: Local }}\nstatus: {{ loadBalancer: {{ ingress: [{{ ip: {ADDRESS} }}] }} }}\n"
    );
    let slice = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{ name: {name}-1, namespace: apps, labels: {{ kubernetes.io/service-name: {name} }} }}\naddressType: IPv4\nendpoints: [{{ addresses: [10.244.1.7], nodeName: {node}, conditions: {{ ready: true }} }}]\n"
    );
    [(name.to_owned(), service), (format!("{name}-slice"), slice)]
}

/// Case 5: addresses of Services that nodes tell a route reflector reach the other nodes, also one
/// that two Services share; with several paths (RFC 7911) as a set of equal routes.
#[test]
fn acceptance_05_addresses_of_services_go_through_a_reflector() {
    let lab = lab("reflector");
    let lab = &lab.lab;
    reflect(lab);
    let objects = lab.objects();
    let put = |name: &str, node: &str| {
        for (file, text) in service(name, node) {
            objects.put(&file, &text).unwrap();
        }
    };
    let leads_to = |from: &str, nodes: &[&str]| {
        soon("the way to the address", || {
            let routes = kernel::routes_to(&lab.netns(from), Family::V4, ADDRESS)?;
            let found: BTreeSet<IpAddr> = routes.into_iter().flat_map(|r| r.next_hops).collect();
            let nodes = nodes.iter().filter_map(|n| lab.topology.node(n));
            let wanted = nodes.map(|n| n.addresses.of(Family::V4)).collect();
            ensure!(found == wanted, "{from}: {found:?}, not {wanted:?}");
            Ok(())
        });
    };
    put("web", "n1");
    for from in ["tor", "n2", "n3"] {
        leads_to(from, &["n1"]);
    }
    put("api", "n2");
    for from in ["tor", "n3"] {
        leads_to(from, &["n1", "n2"]);
    }
    // One of the two goes, and its node with it. The other one's node goes on.
    objects.delete("web").unwrap();
    for from in ["tor", "n1", "n3"] {
        leads_to(from, &["n2"]);
    }
    objects.delete("api").unwrap();
    for from in ["tor", "n1", "n3"] {
        leads_to(from, &[]);
    }
}

/// Cases 7 and 14: `ip monitor route` on the router shows nothing while a speaker restarts three
/// times, in good order and by a crash, and no packet is lost; without graceful restart it shows that.
#[test]
fn acceptance_07_14_three_restarts_show_nowhere_and_without_graceful_restart_they_do() {
    let mut lab = lab("thrice");
    let lab = &mut lab.lab;
    let expected = routes::expected(&lab.topology);
    let all = endpoints(lab).unwrap();
    let end = |node: Option<&str>| all.iter().find(|e| e.node.as_deref() == node).unwrap();
    let stream = Stream::start(end(None), end(Some("n2"))).unwrap();
    let monitor = RouteMonitor::start(&lab.netns("tor")).unwrap();
    for signal in [Signal::Terminate, Signal::Kill, Signal::Terminate] {
        lab.stop_speaker("n2", signal).unwrap();
        lab.start_speaker(&SpeakerStart::of("n2")).unwrap();
        established(lab, SOON).unwrap();
        routes::wait_all(lab, &expected, SOON).unwrap();
    }
    wait::holds("all routes", QUIET, || routes::all(lab, &expected)).unwrap();
    assert_eq!(monitor.changes().unwrap(), [""; 0]);
    assert!(stream.stop().unwrap() > 100);

    let off = format!(
        "{{ asn: {NODE_ASN}, gracefulRestart: {{ enabled: false }}, timers: {{ connectRetrySeconds: 1 }} }}"
    );
    let off = object("BGPConfiguration", "default", &off);
    lab.objects().put("bgpconfiguration", &off).unwrap();
    lab.stop_speaker("n2", Signal::Terminate).unwrap();
    lab.start_speaker(&SpeakerStart::of("n2")).unwrap();
    established(lab, SOON).unwrap();
    routes::wait_all(lab, &expected, SOON).unwrap();
    let monitor = RouteMonitor::start(&lab.netns("tor")).unwrap();
    lab.stop_speaker("n2", Signal::Kill).unwrap();
    soon("the router loses the route", || {
        let gone = "Deleted 10.244.2.0/24";
        let changes = monitor.changes()?;
        ensure!(
            changes.iter().any(|line| line.starts_with(gone)),
            "{changes:?}"
        );
        Ok(())
    });
}

/// A node with two addresses in each family on one cable, and at its other end a BIRD that is two
/// routers.
fn two_routers(name: &str) -> World {
    let world = World::new(name, 1).unwrap();
    for (netns, link, tens) in [(&world.us, "up1", ""), (&world.them, "down1", "1")] {
        let lines = [1, 2].map(|n| format!("addr add 10.30.0.{tens}{n}/24 dev {link}"));
        netns.ip(&lines).unwrap();
        netns
            .ip(&[format!("addr add fd30::{tens}1/64 dev {link}")])
            .unwrap();
    }
    for n in [1, 2] {
        world.put(&format!("m{n}"), &router(n, "")).unwrap();
    }
    world
}

fn router(n: u8, more: &str) -> String {
    let spec =
        format!("{{ address: 10.30.0.1{n}, sourceAddress: 10.30.0.{n}, asn: 6501{n}{more} }}");
    object("BGPPeer", &format!("m{n}"), &spec)
}

/// BIRD's side; `more` goes into the first session.
fn bird(more: &str) -> String {
    let session = |n: u8, more: &str| {
        format!(
            "protocol bgp m{n} {{ local 10.30.0.1{n} as 6501{n}; neighbor 10.30.0.{n} as 65010; direct;\n\
             connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
             ipv4 {{ import all; export where proto = \"s4\"; }};\n{more}}}\n"
        )
    };
    "router id 10.20.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n\
     protocol static s4 { ipv4; route 10.20.0.0/24 blackhole; }\n\
     protocol static s6 { ipv6; route fd20::/64 blackhole; }\n\
     protocol kernel k4 { ipv4 { export where source = RTS_BGP; }; }\n\
     protocol kernel k6 { ipv6 { export where source = RTS_BGP; }; }\n"
        .to_owned()
        + &session(1, more)
        + &session(2, "")
}

fn password(text: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: m1, namespace: redstart-system }}\nstringData: {{ password: {text} }}\n"
    )
}

/// Case 9: a password is set, changed and removed, on one side and then on the other; a session with
/// another password stays down; and another session notices nothing of all that.
#[test]
fn acceptance_09_a_password_comes_changes_and_goes_and_other_sessions_stay() {
    let with_password = ", passwordSecretRef: { name: m1 }";
    let mut world = two_routers("acc-pw");
    world.start_bird(&bird("")).unwrap();
    world.start_redstart_at(&["10.30.0.1"]).unwrap();
    world.is("m1", "Established").unwrap();
    let other = world.is("m2", "Established").unwrap();

    let down = |world: &World| {
        soon("the session ends", || match world.protocol("m1")? {
            up if up.state == "Established" => bail!("it is up"),
            _ => Ok(()),
        });
        wait::holds("no session", QUIET, || {
            let m1 = world.protocol("m1")?;
            ensure!(m1.state != "Established", "{m1:?}");
            Ok(())
        })
        .unwrap();
    };
    world.put("secret", &password("swordfish")).unwrap();
    world.put("m1", &router(1, with_password)).unwrap();
    down(&world);
    world
        .configure_bird(&bird("password \"swordfish\";\n"))
        .unwrap();
    let first = world.is("m1", "Established").unwrap();

    // Ours is rotated, and works as soon as the router has the new one too.
    world.put("secret", &password("tuna")).unwrap();
    world
        .configure_bird(&bird("password \"salmon\";\n"))
        .unwrap();
    down(&world);
    world.configure_bird(&bird("password \"tuna\";\n")).unwrap();
    let rotated = world.is("m1", "Established").unwrap();
    assert!(rotated.established_count > first.established_count);

    world.put("m1", &router(1, "")).unwrap();
    down(&world);
    world.configure_bird(&bird("")).unwrap();
    world.is("m1", "Established").unwrap();

    let now = world.protocol("m2").unwrap();
    assert_eq!(
        (now.since, now.established_count, now.state.as_str()),
        (other.since, other.established_count, "Established")
    );
}

/// Case 11: routes of other programs on the node, static or of a routing daemon, are nobody's business
/// but theirs.
#[test]
fn acceptance_11_routes_of_other_programs_are_not_advertised() {
    let mut world = two_routers("acc-foreign");
    world.start_bird(&bird("")).unwrap();
    world.start_redstart_at(&["10.30.0.1"]).unwrap();
    world.is("m1", "Established").unwrap();
    let told = |world: &World| -> Result<Vec<String>> {
        let shown = world.birdc(&["show", "route", "protocol", "m1"])?;
        let prefixes = shown
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        let prefixes = prefixes.filter(|word| word.contains('/'));
        Ok(prefixes.map(str::to_owned).collect())
    };
    soon("its pod CIDR", || {
        let told = told(&world)?;
        ensure!(told == ["10.244.1.0/24"], "{told:?}");
        Ok(())
    });
    world
        .us
        .ip(&[
            "route add 10.77.0.0/16 via 10.30.0.99 proto static",
            "route add 10.244.9.0/24 via 10.30.0.99 proto 80",
            "route add 10.78.0.0/16 via 10.30.0.99 proto bird",
            "route add blackhole 10.244.1.64/26 proto 80",
        ]
        .map(str::to_owned))
        .unwrap();
    wait::holds("nothing else", QUIET, || {
        let told = told(&world)?;
        ensure!(told == ["10.244.1.0/24"], "{told:?}");
        Ok(())
    })
    .unwrap();
    // That we would have noticed.
    let static_prefix = "{ podCIDRs: true, staticPrefixes: [10.79.0.0/16] }";
    let asked_for = object("BGPAdvertisement", "more", static_prefix);
    world.put("more", &asked_for).unwrap();
    soon("what was asked for", || {
        let told = told(&world)?;
        ensure!(told.contains(&"10.79.0.0/16".to_owned()), "{told:?}");
        Ok(())
    });
}

/// Case 23: what `/metrics` says of a router is what BIRD says of us.
#[test]
fn acceptance_23_metrics_say_what_the_router_says() {
    let mut world = two_routers("acc-metrics");
    world.start_bird(&bird("")).unwrap();
    world.start_redstart_at(&["10.30.0.1"]).unwrap();
    let has = |lines: &[&str]| {
        soon("the metrics", || {
            let page = world.get("/metrics")?;
            let missing = lines.iter().find(|line| !page.lines().any(|l| l == **line));
            ensure!(missing.is_none(), "{missing:?} is not in\n{page}");
            Ok(())
        });
    };
    // BIRD's count of what it takes from us, and gives to us.
    let bird_counts = |counts: &str| {
        soon("BIRD's counts", || {
            let shown = world.birdc(&["show", "protocols", "all", "m1"])?;
            ensure!(shown.contains(counts), "{shown}");
            Ok(())
        });
    };
    bird_counts("1 imported, 1 exported");
    let told_before = timed(&world, "redstart_event_to_wire_seconds", "role=\"router\"");
    let (learned, took) = timed(&world, "redstart_update_to_kernel_seconds", "");
    assert!(
        learned >= 1 && took > 0.0 && took < 60.0,
        "{learned} {took}"
    );
    has(&[
        "redstart_router_up{peer=\"m1\"} 1",
        "redstart_router_up{peer=\"m2\"} 1",
        "redstart_router_established_total{peer=\"m1\"} 1",
        "redstart_router_routes{direction=\"imported\",peer=\"m1\"} 1",
        "redstart_router_routes{direction=\"exported\",peer=\"m1\"} 1",
        "redstart_sessions{role=\"router\",state=\"Established\"} 2",
        "redstart_ready 1",
    ]);
    let prefixes = "{ podCIDRs: true, staticPrefixes: [10.79.0.0/16, 10.80.0.0/16] }";
    world
        .put("more", &object("BGPAdvertisement", "more", prefixes))
        .unwrap();
    bird_counts("3 imported, 1 exported");
    has(&[
        "redstart_router_routes{direction=\"exported\",peer=\"m1\"} 3",
        "redstart_router_routes{direction=\"exported\",peer=\"m2\"} 3",
    ]);
    // Once for each of the routers, and longer than objects are collected.
    let told = timed(&world, "redstart_event_to_wire_seconds", "role=\"router\"");
    assert_eq!(told.0, told_before.0 + 2);
    let took = told.1 - told_before.1;
    assert!((0.1..60.0).contains(&took), "{took}");
    world.birdc(&["disable", "m1"]).unwrap();
    has(&[
        "redstart_router_up{peer=\"m1\"} 0",
        "redstart_router_up{peer=\"m2\"} 1",
        "redstart_router_routes{direction=\"exported\",peer=\"m1\"} 0",
    ]);
}

/// How often a histogram has recorded something, and how long it took in all; its buckets add up.
fn timed(world: &World, name: &str, label: &str) -> (u64, f64) {
    let page = world.get("/metrics").unwrap();
    let sample = |part: &str, labels: &str| {
        let labels = [label, labels].into_iter().filter(|it| !it.is_empty());
        let labels = labels.collect::<Vec<_>>().join(",");
        let series = match labels.as_str() {
            "" => format!("{name}_{part} "),
            labels => format!("{name}_{part}{{{labels}}} "),
        };
        let value = page.lines().find_map(|line| line.strip_prefix(&series));
        assert!(value.is_some(), "no {series}in\n{page}");
        value.unwrap().parse::<f64>().unwrap()
    };
    let count = sample("count", "") as u64;
    assert_eq!(sample("bucket", "le=\"+Inf\"") as u64, count);
    (count, sample("sum", ""))
}

/// Case m: IPv6 routes over a session over IPv4, with the node's IPv6 address as next hop, and the other
/// way round (the sessions of `lab_unnumbered` are over IPv6, and carry IPv4).
#[test]
fn case_m_ipv6_routes_over_a_session_over_ipv4() {
    let mut world = two_routers("acc-m");
    let both = "ipv6 { import all; export where proto = \"s6\"; next hop address fd30::11; };\n";
    world.start_bird(&bird(both)).unwrap();
    world.start_redstart_at(&["10.30.0.1", "fd30::1"]).unwrap();
    let session = world.is("m1", "Established").unwrap();
    assert_eq!(session.families, ["ipv4", "ipv6"]);
    for (netns, prefix, via) in [
        (&world.us, "10.20.0.0/24", "via 10.30.0.11"),
        (&world.us, "fd20::/64", "via fd30::11"),
        (&world.them, "10.244.1.0/24", "via 10.30.0."),
        (&world.them, "fd44:1::/64", "via fd30::1"),
    ] {
        world.routed(netns, prefix, &[via], &[]).unwrap();
    }
    world.ping_both_ways().unwrap();
}

/// What the speaker answers to a probe.
fn says(world: &World, path: &str, code: &str, text: &str) -> Result<()> {
    let answer = world.get(path)?;
    let right = answer.starts_with(&format!("HTTP/1.0 {code}")) && answer.contains(text);
    ensure!(right, "{path}: {answer}");
    Ok(())
}

/// Case 8, and that liveness depends on neither the API server nor on neighbours: a speaker that has
/// never reached an API server is alive and says why it is not ready; one whose routers are all away is
/// both alive and ready.
#[test]
fn acceptance_08_readiness_says_what_is_missing_and_liveness_does_not_care() {
    let mut world = two_routers("acc-ready");
    let nowhere = world.path("kubeconfig");
    fs::write(
        &nowhere,
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{ name: c, context: { cluster: c, user: u } }]\n\
         clusters: [{ name: c, cluster: { server: \"https://127.0.0.1:1\" } }]\nusers: [{ name: u, user: { token: x } }]\n",
    )
    .unwrap();
    let kubeconfig = nowhere.to_string_lossy().into_owned();
    world
        .run_redstart(&["--kubeconfig", &kubeconfig, "--no-cache"])
        .unwrap();
    soon("it is alive", || says(&world, "/healthz", "200", "ok"));
    soon("it says why it is not ready", || {
        says(&world, "/readyz", "503", "Node")
    });
    wait::holds("alive without an API server", QUIET, || {
        says(&world, "/healthz", "200", "ok")?;
        says(&world, "/readyz", "503", "Node")
    })
    .unwrap();
    let status: views::Status = world.status().unwrap();
    assert!(!status.ready && !status.not_ready.is_empty());
    world.kill("redstart").unwrap();

    // With objects, and with no router there.
    world.start_redstart_at(&["10.30.0.1"]).unwrap();
    soon("it is ready", || says(&world, "/readyz", "200", "ok"));
    wait::holds("alive and ready without a neighbour", QUIET, || {
        says(&world, "/healthz", "200", "ok")?;
        says(&world, "/readyz", "200", "ok")
    })
    .unwrap();
    assert_eq!(world.status().unwrap().peers.established, 0);
}

/// A start from an API server that lets nobody read Secrets: the node is ready, sessions without a
/// password come up and the pod CIDR is told; the one session with a password is refused, with the reason.
#[test]
fn a_secret_that_may_not_be_read_keeps_no_node_from_being_ready() {
    let mut world = two_routers("acc-rbac");
    world
        .put("m2", &router(2, ", passwordSecretRef: { name: m1 }"))
        .unwrap();
    world.put("secret", &password("swordfish")).unwrap();
    world.put_node(&["10.30.0.1"]).unwrap();
    world.put_configuration().unwrap();
    world.start_bird(&bird("")).unwrap();
    let roles = include_str!("../../manifests/base/rbac.yaml");
    let (without_secrets, _) = roles.split_once("kind: Role\n").unwrap();
    let kubeconfig = world.start_apiserver(without_secrets).unwrap();
    let kubeconfig = kubeconfig.to_string_lossy().into_owned();
    world
        .run_redstart(&["--kubeconfig", &kubeconfig, "--no-cache"])
        .unwrap();
    soon("it is ready", || says(&world, "/readyz", "200", "ok"));
    world.is("m1", "Established").unwrap();
    world
        .routed(&world.them, "10.244.1.0/24", &["via 10.30.0.1 "], &[])
        .unwrap();
    let problems = world
        .has_problems(&[
            ("BGPPeer/m2", "secret-forbidden"),
            ("Secret/redstart-system/m1", "secret-forbidden"),
        ])
        .unwrap();
    assert_eq!(problems[0].field, "spec.passwordSecretRef");
    assert_eq!(world.names().unwrap(), ["m1"]);
}

/// Case l: two network cards, and the node is known by the address of neither, or a session is to come
/// from one that is not there. The message names it, and what there is.
#[test]
fn case_l_an_address_that_the_node_has_not_got_is_named_with_those_that_it_has() {
    let mut world = World::new("acc-nic", 2).unwrap();
    world
        .us
        .ip(&[
            "addr add 10.30.0.1/24 dev up1",
            "addr add 10.40.0.1/24 dev up2",
        ]
        .map(str::to_owned))
        .unwrap();
    world
        .put(
            "m1",
            &router(1, "").replace("sourceAddress: 10.30.0.1,", "sourceAddress: 10.30.0.7,"),
        )
        .unwrap();
    let other = "apiVersion: v1\nkind: Node\nmetadata: { name: n2 }\nspec: { podCIDRs: [10.244.2.0/24] }\nstatus: { addresses: [{ type: InternalIP, address: 10.30.0.2 }] }\n";
    world.put("n2", other).unwrap();
    world.start_redstart_at(&["10.99.0.1"]).unwrap();
    let mesh = "{ asn: 65010, mesh: { mode: FullMesh } }";
    world
        .put(
            "configuration",
            &object("BGPConfiguration", "default", mesh),
        )
        .unwrap();
    let problems = world
        .has_problems(&[
            ("BGPPeer/m1", "address-not-here"),
            ("Node/n1", "address-not-here"),
        ])
        .unwrap();
    for (problem, address) in problems.iter().zip(["10.30.0.7", "10.99.0.1"]) {
        assert!(problem.message.starts_with(address), "{problem:?}");
        // The loopback has what the node's pods have, too.
        assert!(
            problem
                .message
                .contains("up1 with 10.30.0.1, up2 with 10.40.0.1"),
            "{problem:?}"
        );
    }
    // It appears, and is no problem any more.
    world
        .us
        .ip(&[
            "addr add 10.99.0.1/32 dev lo",
            "addr add 10.30.0.7/24 dev up1",
        ]
        .map(str::to_owned))
        .unwrap();
    world.has_problems(&[]).unwrap();
}
