//! BIRD's own clients, from Debian, against a running speaker: every command that its socket knows,
//! and the exporter for Prometheus, which must count what `redc` counts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a list of commands with what each must show is read from top to bottom"
)]

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use redstart_controller::control::views::Protocol;
use redstart_proto_tests::lab::{
    Lab, checks,
    exclusive::TestLab,
    speaker::{self, protocols},
    topology::TorKind,
    wait,
};

const BOUND: Duration = Duration::from_secs(20);

fn lab() -> TestLab {
    let lab = TestLab::redstart("birdc", TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

/// One command through a client of BIRD's.
fn through(client: &str, socket: &Path, command: &str) -> String {
    let mut client = Command::new(format!("/usr/sbin/{client}"));
    client.arg("-s").arg(socket).arg("-v").arg(command);
    // It fails where the answer is a refusal, and prints it all the same.
    let output = client.output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn birdc(lab: &Lab, command: &str) -> String {
    through("birdc", &lab.run_dir().bird_socket("n1"), command)
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn both_clients_show_everything() {
    let lab = lab();
    let lab = &lab.lab;
    let socket = lab.run_dir().bird_socket("n1");
    for client in ["birdc", "birdcl"] {
        let ask = |command: &str| through(client, &socket, command);
        has(
            &ask("show status"),
            &[
                "0001 BIRD 2.0",
                "1011-Router ID is 10.",
                "Hostname is n1",
                "0013 Daemon is up and running",
            ],
        );
        let list = ask("show protocols");
        has(
            &list,
            &[
                "2002-Name       Proto      Table      State  Since         Info",
                "Established",
            ],
        );
        has(&list, &["device1", "kernel4", "local6"]);
        for peer in protocols(lab, "n1").unwrap() {
            let row = list.lines().find(|line| line.contains(&peer.name));
            has(row.unwrap(), &["BGP", "up", "Established"]);
            let all = ask(&format!("show protocols all {}", peer.name));
            has(
                &all,
                &[
                    "BGP state:          Established",
                    "Neighbor AS:",
                    "Channel ipv",
                    "Hold timer:",
                    // To the letter as BIRD 2.0.12 has it.
                    "    Route change stats:     received   rejected   filtered    ignored   accepted\n",
                    "      Import updates:     ",
                    "      Export withdraws:            0        ---        ---        ---          0\n",
                ],
            );
            assert_eq!(all.matches("BGP state").count(), 1, "{all}");
            has(
                &ask(&format!("show protocols \"{}*\"", &peer.name[..3])),
                &[&peer.name],
            );
        }
        has(&ask("show protocols nobody"), &["8003 No protocols match"]);
        has(
            &ask("show interfaces"),
            &[
                "lo up (index=1)",
                "Loopback MTU=65536",
                "127.0.0.1/8 (Preferred, scope host)",
            ],
        );
        has(&ask("show interfaces summary"), &["2005-Interface"]);
        has(
            &ask("show symbols"),
            &["master4 \trouting table", "device1 \tprotocol"],
        );
        has(&ask("show memory"), &["1018-BIRD memory usage", "Total:"]);
        has(&ask("show bfd sessions"), &["1020-bfd1:", "IP address"]);
        has(&ask("show static"), &["1009-10.244.1.0/24\tblackhole"]);
        has(
            &ask("configure check"),
            &["0002-Reading configuration from", "0020 Configuration OK"],
        );
        has(&ask("show nonsense"), &["No such command"]);
        has(
            &ask("show route nonsense"),
            &["9001 syntax error, unexpected \"nonsense\""],
        );
        has(&ask("help"), &["show"]);
        has(&ask("echo all"), &["0001"]);
        has(&ask("restrict"), &["0016 Access restricted"]);
    }
}

#[test]
fn routes_are_chosen_as_in_bird() {
    let lab = lab();
    let lab = &lab.lab;
    let ask = |command: &str| birdc(lab, command);
    let all = ask("show route");
    has(
        &all,
        &[
            "1007-Table master4:",
            "Table master6:",
            "10.244.2.0/24 ",
            "via 10.",
        ],
    );
    has(
        &ask("show route 10.244.2.0/24 all"),
        &[
            "1008-\tType: BGP univ",
            "1012-\tBGP.origin: IGP",
            "BGP.next_hop: 10.",
        ],
    );
    let longest = ask("show route for 10.244.2.77");
    has(&longest, &["10.244.2.0/24"]);
    assert!(!longest.contains("10.244.3.0"), "{longest}");
    has(
        &ask("show route for 203.0.113.1"),
        &["8001 Network not found"],
    );
    has(
        &ask("show route in 10.244.0.0/16"),
        &["10.244.2.0/24", "10.244.3.0/24"],
    );
    let own = ask("show route protocol local4");
    has(&own, &["10.244.1.0/24        blackhole [local4"]);
    assert!(!own.contains("10.244.2.0"), "{own}");
    has(&ask("show route table master6"), &["Table master6:"]);
    assert!(!ask("show route table master6").contains("master4"));
    has(&ask("show route where net.len > 128"), &["0001"]);
    assert!(!ask("show route where net.len > 128").contains("Table"));
    has(
        &ask("show route where source = RTS_STATIC"),
        &["10.244.1.0/24"],
    );

    // What is counted is what is shown.
    let paths = |text: &str| {
        text.matches(" [").count() - text.matches(" [AS").count() - text.matches(" [i]").count()
    };
    let shown = paths(&all);
    let total = ask("show route count");
    has(
        &total,
        &[&format!("0014 Total: {shown} of {shown} routes for ")],
    );
    let some = ask("show route table master4 where source = RTS_BGP count");
    let bgp = paths(&ask("show route table master4 where source = RTS_BGP"));
    has(&some, &[&format!("1007-{bgp} of ")]);

    // Each neighbour's view: what it was told, and what it was not.
    for peer in protocols(lab, "n1").unwrap() {
        let told = ask(&format!("show route export {} count", peer.name));
        has(&told, &[&format!("Total: {} of ", peer.routes.exported)]);
        let from = ask(&format!("show route protocol {} count", peer.name));
        has(&from, &[&format!("Total: {} of ", peer.routes.imported)]);
    }
}

fn protocol(lab: &Lab, name: &str) -> Result<Protocol> {
    let list = protocols(lab, "n1")?;
    let peer = list.into_iter().find(|p| p.name == name);
    peer.with_context(|| format!("no {name}"))
}

/// The name of a session with a router.
fn router(lab: &Lab) -> String {
    let mut list = protocols(lab, "n1").unwrap().into_iter();
    list.find(|p| p.role == "router").unwrap().name
}

#[test]
fn sessions_are_operated_and_a_restricted_client_cannot() {
    let lab = lab();
    let lab = &lab.lab;
    let router = router(lab);
    let until = |what: &str, holds: &dyn Fn(&Protocol) -> bool| {
        wait::until(what, BOUND, || {
            let state = protocol(lab, &router)?;
            ensure!(holds(&state), "{state:?}");
            Ok(())
        })
        .unwrap();
    };
    let before = protocol(lab, &router).unwrap();
    has(
        &birdc(lab, &format!("reload out {router}")),
        &[&format!("0015-{router}: reloading")],
    );
    until("the routes are told again", &|s| {
        s.messages.updates_out > before.messages.updates_out
    });
    has(
        &birdc(lab, &format!("reload in {router}")),
        &[": reloading"],
    );
    assert_eq!(
        protocol(lab, &router).unwrap().established_count,
        before.established_count
    );

    has(
        &birdc(lab, &format!("disable {router}")),
        &[&format!("0009-{router}: disabled")],
    );
    until("it is down", &|s| s.state != "Established");
    has(
        &birdc(lab, &format!("disable {router}")),
        &[&format!("0008-{router}: already disabled")],
    );
    has(
        &birdc(lab, &format!("show protocols {router}")),
        &["BGP        ---        down"],
    );
    // The objects are looked at again; what an operator did stays.
    let more = "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata: { name: more }\nspec: { podCIDRs: true, staticPrefixes: [10.99.99.0/24] }\n";
    lab.objects().put("more", more).unwrap();
    wait::until("the objects are taken in", BOUND, || {
        let own = birdc(lab, "show route protocol local4");
        ensure!(own.contains("10.99.99.0/24"), "{own}");
        Ok(())
    })
    .unwrap();
    has(&birdc(lab, &format!("show protocols {router}")), &["down"]);
    has(
        &birdc(lab, &format!("enable {router}")),
        &[&format!("0011-{router}: enabled")],
    );
    until("it is up again", &|s| s.state == "Established");
    has(
        &birdc(lab, &format!("enable {router}")),
        &[": already enabled"],
    );

    let before = protocol(lab, &router).unwrap();
    has(
        &birdc(lab, &format!("restart {router}")),
        &[&format!("0012-{router}: restarted")],
    );
    until("it was down and is up", &|s| {
        s.state == "Established" && s.established_count > before.established_count
    });

    let mut client =
        std::os::unix::net::UnixStream::connect(lab.run_dir().bird_socket("n1")).unwrap();
    client.set_read_timeout(Some(BOUND)).unwrap();
    client
        .write_all(format!("restrict\ndisable {router}\n").as_bytes())
        .unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(
        said.ends_with("0016 Access restricted\n8007 Access denied\n"),
        "{said}"
    );
    assert_eq!(protocol(lab, &router).unwrap().state, "Established");
}

#[test]
fn the_log_is_echoed_to_who_asks() {
    let lab = lab();
    let lab = &lab.lab;
    let socket = lab.run_dir().bird_socket("n1");
    let mut client = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    client.set_read_timeout(Some(BOUND)).unwrap();
    client.write_all(b"echo all\n").unwrap();
    let mut said = String::new();
    let mut hear = |what: &str| {
        let mut part = [0; 4096];
        while !said.contains(what) {
            let n = client.read(&mut part).unwrap();
            assert_ne!(n, 0, "{said}");
            said.push_str(&String::from_utf8_lossy(&part[..n]));
        }
    };
    hear("0000 \n");
    let router = router(lab);
    birdc(lab, &format!("restart {router}"));
    hear("+<INFO> operator");
}

const EXPORTER_PORT: u16 = 9324;
const OUR_PORT: u16 = 9179;

/// The exporter, running; killed at the end.
struct Exporter(Child);

impl Exporter {
    /// On a node, where nobody else listens.
    fn start(lab: &Lab, node: &str) -> Self {
        let socket = lab.run_dir().bird_socket(node);
        let mut command = (lab.netns(node)).command("/usr/bin/prometheus-bird-exporter");
        command
            .arg("-bird.v2")
            .arg(format!("-bird.socket={}", socket.display()))
            .arg("-format.new=true")
            .arg(format!("-web.listen-address=127.0.0.1:{EXPORTER_PORT}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of the one sample that has all these labels.
fn sample(page: &str, metric: &str, labels: &[String]) -> u64 {
    let mut found = page.lines().filter(|line| {
        line.starts_with(&format!("{metric}{{")) && labels.iter().all(|label| line.contains(label))
    });
    let line = found
        .next()
        .unwrap_or_else(|| panic!("no {metric} {labels:?} in:\n{page}"));
    assert_eq!(found.next(), None, "{metric} {labels:?}");
    let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    value as u64
}

/// What is measured at a port of a node.
fn metrics(lab: &Lab, node: &str, port: u16) -> Result<String> {
    let script = format!(
        "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{port}/metrics', timeout=10).read().decode())"
    );
    lab.netns(node).output("python3", &["-c", &script])
}

#[test]
fn the_exporter_counts_what_we_count() {
    let lab = lab();
    let lab = &lab.lab;
    let _exporter = Exporter::start(lab, "n1");
    let answer = wait::until("the exporter answers", BOUND, || {
        let page = metrics(lab, "n1", EXPORTER_PORT)?;
        ensure!(page.contains("bird_protocol_up"), "{page}");
        Ok(page)
    });
    let (page, _) = answer.unwrap();
    let peers = protocols(lab, "n1").unwrap();
    assert!(peers.len() >= 4, "{peers:?}");
    for peer in &peers {
        assert!(!peer.channels.is_empty(), "{peer:?}");
        for channel in &peer.channels {
            let version = if channel.family == "ipv4" { "4" } else { "6" };
            let labels = [
                format!("name=\"{}\"", peer.name),
                "proto=\"BGP\"".to_owned(),
                format!("ip_version=\"{version}\""),
            ];
            let count = |metric: &str| sample(&page, metric, &labels);
            assert_eq!(count("bird_protocol_up"), 1, "{}", peer.name);
            assert_eq!(
                count("bird_protocol_prefix_import_count"),
                channel.routes.imported
            );
            assert_eq!(
                count("bird_protocol_prefix_export_count"),
                channel.routes.exported
            );
            assert_eq!(
                count("bird_protocol_prefix_preferred_count"),
                channel.routes.preferred
            );
            assert_eq!(count("bird_protocol_prefix_filter_count"), channel.refused);
            let changes = channel.changes.unwrap();
            for (what, counts) in [
                ("update_import", changes.import_updates),
                ("withdraw_import", changes.import_withdraws),
                ("update_export", changes.export_updates),
                ("withdraw_export", changes.export_withdraws),
            ] {
                let count = |part| count(&format!("bird_protocol_changes_{what}_{part}_count"));
                assert_eq!(count("receive"), counts.received, "{what}");
                assert_eq!(count("reject"), counts.rejected.unwrap_or(0), "{what}");
                assert_eq!(count("filter"), counts.filtered.unwrap_or(0), "{what}");
                assert_eq!(count("ignore"), counts.ignored.unwrap_or(0), "{what}");
                assert_eq!(count("accept"), counts.accepted, "{what}");
            }
            assert!(changes.import_updates.received >= channel.routes.imported);
            assert!(changes.export_updates.accepted >= channel.routes.exported);
        }
    }
    // Our own metrics count a router by its name.
    let ours = metrics(lab, "n1", OUR_PORT).unwrap();
    for peer in peers.iter().filter(|p| p.role == "router") {
        for (direction, count) in [
            ("imported", peer.routes.imported),
            ("exported", peer.routes.exported),
        ] {
            let labels = [
                format!("peer=\"{}\"", peer.name),
                format!("direction=\"{direction}\""),
            ];
            assert_eq!(
                sample(&ours, "redstart_router_routes", &labels),
                count,
                "{}",
                peer.name
            );
        }
    }
    let installed = sample(
        &ours,
        "redstart_kernel_routes",
        &["state=\"installed\"".to_owned()],
    );
    let kernels: u64 = [("kernel4", "4"), ("kernel6", "6")]
        .map(|(name, version)| {
            let labels = [
                format!("name=\"{name}\""),
                format!("ip_version=\"{version}\""),
            ];
            sample(&page, "bird_protocol_prefix_export_count", &labels)
        })
        .iter()
        .sum();
    assert_eq!(installed, kernels);
    assert_eq!(
        speaker::kernel(lab, "n1").unwrap().totals.installed,
        kernels
    );
}
