//! BFD with the real thing at the other end: BIRD and FRR's bfdd. Sessions come up over one hop and
//! over several, in both families, with the timers of both ends; a silent link ends the BGP session
//! long before its hold time; what is no failure ends nothing.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use redstart_controller::control::views;
use redstart_proto_tests::lab::{
    Lab,
    checks::{
        self, restart, routes,
        sessions::{self, SessionSnapshot},
    },
    exclusive::TestLab,
    frr,
    netns::stdout_of,
    objects::{peer_manifest, peer_name},
    process::{Process, Signal},
    speaker::{protocols, redc},
    topology::{Family, Topology, TorKind},
    wait,
};

/// The hold time of every session here, in seconds.
const HOLD_TIME: u64 = 90;

/// Well below the hold time: what happens within it is not BGP's own doing. Nothing less, for a slow
/// machine's sake; that a detection time has ended is read from the sessions.
const SOON: Duration = Duration::from_secs(20);

const PATIENCE: Duration = Duration::from_secs(40);

/// How many packets may be missing, in a row, by our word and by the router's: a machine that pauses for
/// a moment is no failure.
const MULTIPLIER: u8 = 10;
const ROUTERS_MULTIPLIER: u8 = 12;

fn lab(name: &str, kind: TorKind) -> TestLab {
    let lab = TestLab::redstart(name, kind, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

/// Writes the profile that the routers' sessions name. Over several hops BIRD sends with the system's
/// TTL, which is 64.
fn profile(lab: &Lab, milliseconds: u32) {
    let manifest = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BFDProfile\nmetadata:\n  name: lab\nspec:\n  receiveInterval: {milliseconds}\n  transmitInterval: {milliseconds}\n  detectMultiplier: {MULTIPLIER}\n  minimumTTL: 60\n"
    );
    lab.objects().put("bfdprofile-lab", &manifest).unwrap();
}

/// Has the nodes watch the router in both families.
fn watch(lab: &Lab, more: &str) {
    let router = &lab.topology.routers[0];
    for family in Family::ALL {
        let peer = peer_manifest(router, family, router.asn);
        let file = format!("bgppeer-{}", peer_name(router, family));
        let manifest = format!("{peer}  bfd: {{ profile: lab }}\n{more}");
        lab.objects().put(&file, &manifest).unwrap();
    }
}

fn bfd(lab: &Lab, node: &str) -> Result<Vec<views::BfdSession>> {
    let answer = redc(lab, node, &["-o", "json", "show", "bfd", "sessions"])?;
    Ok(serde_json::from_str(&answer)?)
}

fn one(lab: &Lab, node: &str, peer: &str) -> Result<views::BfdSession> {
    let mut sessions = bfd(lab, node)?.into_iter();
    sessions
        .find(|session| session.peer == peer)
        .with_context(|| format!("{peer} is not watched"))
}

/// Whether both sessions of `n1` with the router are Up, and what `holds` of each holds.
fn both_up(lab: &Lab, mut holds: impl FnMut(&views::BfdSession) -> bool) -> Result<()> {
    for peer in ["tor-v4", "tor-v6"] {
        let session = one(lab, "n1", peer)?;
        if session.state != "Up" || session.remote_state != "Up" || !holds(&session) {
            bail!("{session:?}");
        }
    }
    Ok(())
}

fn is_established(lab: &Lab, node: &str, peer: &str) -> Result<()> {
    let list = protocols(lab, node)?;
    let found = list.into_iter().find(|p| p.name == peer).context("gone")?;
    if found.state != "Established" {
        bail!("{}: {:?}", found.state, found.last_error);
    }
    Ok(())
}

/// Waits until the router has every session up, with the hold time that there is to be, and `n1` too.
fn bgp_is_up(lab: &Lab) {
    sessions::established(lab, PATIENCE).unwrap();
    for peer in ["tor-v4", "tor-v6"] {
        wait::until("BGP", PATIENCE, || is_established(lab, "n1", peer)).unwrap();
        let page = redc(lab, "n1", &["-o", "json", "show", "protocols", "all", peer]).unwrap();
        let page: Vec<views::Protocol> = serde_json::from_str(&page).unwrap();
        assert_eq!(page[0].hold_time, Some(HOLD_TIME), "{page:?}");
    }
}

/// How often the session came up.
fn established_count(lab: &Lab, node: &str, peer: &str) -> u64 {
    let list = protocols(lab, node).unwrap();
    let found = list.into_iter().find(|p| p.name == peer).unwrap();
    found.established_count
}

/// The session is down, and BFD is the reason.
fn ended_by_bfd(lab: &Lab, node: &str, peer: &str) -> Result<()> {
    let list = protocols(lab, node)?;
    let found = list.into_iter().find(|p| p.name == peer).context("gone")?;
    if found.state == "Established" {
        bail!("{}", found.state);
    }
    let path = one(lab, node, peer)?;
    if path.failures != 1 || path.state == "Up" {
        bail!("{path:?}");
    }
    // The last error may already be that of the next attempt.
    let history = redc(lab, node, &["-o", "json", "history", peer])?;
    let history: Vec<views::HistoryEntry> = serde_json::from_str(&history)?;
    let end = history.iter().rfind(|entry| entry.event == "down");
    if !end.is_some_and(|entry| entry.text.contains("bfd-down")) {
        bail!("{history:?}");
    }
    Ok(())
}

/// Takes a node's cable out of the switch, or puts it in again. The node's own end notices nothing.
fn cable(lab: &Lab, node: &str, to: &str) {
    let switch = lab.netns(Topology::SWITCH);
    let line = format!("link set rack-{node} {to}");
    switch.ip(&[line]).unwrap();
}

fn birdc(lab: &Lab, words: &[&str]) -> Result<String> {
    let socket = lab.routers()[0].dir.join("bird.ctl");
    stdout_of(Command::new("birdc").arg("-s").arg(socket).args(words))
}

/// Rewrites BIRD's configuration, so that it watches its neighbours, and tells it.
fn bird(lab: &Lab, milliseconds: u32, how: &str, change: impl Fn(String) -> String) {
    let file = lab.routers()[0].dir.join("bird.conf");
    let config = fs::read_to_string(&file).unwrap();
    let hold = "hold time 9;";
    assert!(config.contains(hold), "{config}");
    let watched = format!("hold time {HOLD_TIME};\n  bfd {how};");
    let watched = change(config).replace(hold, &watched);
    let timers = format!(
        "min rx interval {milliseconds} ms; min tx interval {milliseconds} ms; idle tx interval 1000 ms; multiplier {ROUTERS_MULTIPLIER};"
    );
    let protocol = format!(
        "protocol bfd bfd1 {{ interface \"*\" {{ {timers} }}; multihop {{ {timers} }}; }}\n"
    );
    fs::write(&file, watched + &protocol).unwrap();
    birdc(lab, &["configure"]).unwrap();
}

#[test]
fn a_silent_link_to_bird_ends_the_session_within_the_detection_time() {
    let lab = lab("bfd-bird", TorKind::Bird);
    let lab = &lab.lab;
    profile(lab, 100);
    watch(lab, "");
    bird(lab, 150, "on", |config| config);
    // We send as often as both ends can bear, and bear what BIRD says of itself.
    wait::until("both up", PATIENCE, || {
        both_up(lab, |s| {
            (s.hops.as_str(), s.transmit_interval_ms, s.detection_time_ms)
                == ("single", 150, Some(1800))
        })
    })
    .unwrap();
    let theirs = birdc(lab, &["show", "bfd", "sessions"]).unwrap();
    for address in ["10.10.0.1 ", "fd00:10::1 "] {
        let line = theirs.lines().find(|line| line.starts_with(address));
        let line = line.with_context(|| theirs.clone()).unwrap();
        let right = ["Up", "0.150", "1.500"];
        assert!(right.iter().all(|part| line.contains(part)), "{theirs}");
    }
    let text = redc(lab, "n1", &["show", "bfd", "sessions"]).unwrap();
    assert!(text.contains("tor-v4") && text.contains("1.800"), "{text}");

    // Other timers are negotiated while the sessions stay.
    bgp_is_up(lab);
    let sessions = SessionSnapshot::take(lab).unwrap();
    profile(lab, 200);
    wait::until("slower", PATIENCE, || {
        both_up(lab, |s| {
            (s.transmit_interval_ms, s.detection_time_ms) == (200, Some(2400))
        })
    })
    .unwrap();
    sessions.unchanged(lab).unwrap();
    both_up(lab, |s| s.failures == 0).unwrap();

    cable(lab, "n1", "nomaster");
    for peer in ["tor-v4", "tor-v6"] {
        wait::until("ended", SOON, || ended_by_bfd(lab, "n1", peer)).unwrap();
        assert_eq!(
            one(lab, "n1", peer).unwrap().last_down.as_deref(),
            Some("detection-time-expired")
        );
    }
    wait::until("the router's route is gone too", SOON, || {
        let netns = lab.netns("n1");
        let kernel = netns.output("ip", &["route", "show", "10.20.0.0/24"])?;
        ensure!(kernel.trim().is_empty(), "{kernel}");
        Ok(())
    })
    .unwrap();

    cable(lab, "n1", "master rack");
    wait::until("both up again", PATIENCE, || both_up(lab, |_| true)).unwrap();
    for peer in ["tor-v4", "tor-v6"] {
        wait::until("BGP again", PATIENCE, || is_established(lab, "n1", peer)).unwrap();
    }
}

#[test]
fn nodes_and_a_distant_bird_are_watched_over_several_hops() {
    let lab = lab("bfd-hops", TorKind::Bird);
    let lab = &lab.lab;
    profile(lab, 100);
    let configuration = "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\nspec:\n  timers:\n    connectRetrySeconds: 1\n  mesh:\n    bfd: { profile: lab }\n";
    lab.objects()
        .put("bgpconfiguration", configuration)
        .unwrap();
    bird(lab, 100, "on", |config| {
        // Over several hops BIRD looks next hops up, so it needs the routes of its own links.
        config.replace("direct;", "multihop 4;")
            + "protocol direct { ipv4; ipv6; interface \"rack0\"; }\n"
    });
    watch(lab, "  ebgpMultihop: 4\n");
    wait::until("the router", PATIENCE, || {
        both_up(lab, |s| s.hops == "multi")
    })
    .unwrap();
    let nodes_see_each_other = || {
        for (node, peer) in [("n1", "mesh-n3"), ("n2", "mesh-n3"), ("n3", "mesh-n1")] {
            let session = one(lab, node, peer)?;
            if (session.state.as_str(), session.hops.as_str()) != ("Up", "multi") {
                bail!("{session:?}");
            }
        }
        Ok(())
    };
    wait::until("the mesh", PATIENCE, nodes_see_each_other).unwrap();
    for node in ["n1", "n2"] {
        wait::until("BGP", PATIENCE, || is_established(lab, node, "mesh-n3")).unwrap();
    }
    let before = |node: &str| established_count(lab, node, "mesh-n3");
    let counts = [before("n1"), before("n2")];
    cable(lab, "n3", "nomaster");
    for node in ["n1", "n2"] {
        wait::until("the node is given up", SOON, || {
            let session = one(lab, node, "mesh-n3")?;
            let routes = lab
                .netns(node)
                .output("ip", &["route", "show", "10.244.3.0/24"])?;
            if session.failures == 0 || !routes.trim().is_empty() {
                bail!("{session:?}, {routes}");
            }
            Ok(())
        })
        .unwrap();
    }
    cable(lab, "n3", "master rack");
    wait::until("the mesh again", PATIENCE, nodes_see_each_other).unwrap();
    routes::wait_all(lab, &routes::expected(&lab.topology), PATIENCE).unwrap();
    assert!(before("n1") > counts[0] && before("n2") > counts[1]);
}

#[test]
fn a_restart_is_no_failure_to_those_who_watch() {
    let mut lab = lab("bfd-restart", TorKind::Bird);
    let lab = &mut lab.lab;
    profile(lab, 100);
    watch(lab, "");
    // This BIRD makes no difference between AdminDown and a failure; graceful, it keeps routes.
    bird(lab, 100, "graceful", |config| config);
    wait::until("both up", PATIENCE, || both_up(lab, |_| true)).unwrap();
    bgp_is_up(lab);
    routes::wait_all(lab, &routes::expected(&lab.topology), PATIENCE).unwrap();
    let packets = restart::speaker_restarted(lab, "n1", Signal::Terminate).unwrap();
    assert!(packets > 0);
    wait::until("both up again", PATIENCE, || both_up(lab, |_| true)).unwrap();
}

/// Starts bfdd and has bgpd watch its neighbours.
fn bfdd(lab: &Lab) -> Process {
    let routers = lab.routers();
    let router = &routers[0];
    let dir = &router.dir;
    fs::write(dir.join("bfdd.conf"), "log stdout\n").unwrap();
    stdout_of(Command::new("chown").args(["-R", "frr:frr"]).arg(dir)).unwrap();
    let mut command = router.netns.command(&format!("{}/bfdd", frr::DAEMON_DIR));
    command.arg("-f").arg(dir.join("bfdd.conf"));
    command.arg("-i").arg(dir.join("bfdd.pid"));
    command.arg("--vty_socket").arg(dir).arg("-P").arg("0");
    command.arg("-z").arg(dir.join("zserv.api"));
    let control = format!("{}/bfdd.sock", dir.display());
    command.arg("--bfdctl").arg(control);
    let process = lab.processes().spawn("tor-bfdd", &command).unwrap();
    wait::until("bfdd", PATIENCE, || vtysh(lab, "bfdd", &["show bfd peers"])).unwrap();
    vtysh(
        lab,
        "bfdd",
        &[
            "configure terminal",
            "bfd",
            "profile lab",
            "receive-interval 120",
            "transmit-interval 130",
            &format!("detect-multiplier {ROUTERS_MULTIPLIER}"),
        ],
    )
    .unwrap();
    let mut lines = vec!["configure terminal".to_owned(), "router bgp".to_owned()];
    for node in &lab.topology.nodes {
        for family in Family::ALL {
            let address = node.addresses.of(family);
            lines.push(format!("neighbor {address} bfd"));
            lines.push(format!("neighbor {address} bfd profile lab"));
        }
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    vtysh(lab, "bgpd", &lines).unwrap();
    process
}

fn vtysh(lab: &Lab, daemon: &str, lines: &[&str]) -> Result<String> {
    let routers = lab.routers();
    let dir = &routers[0].dir;
    let mut command = Command::new("vtysh");
    command.arg("--vty_socket").arg(dir);
    command.arg("--config_dir").arg(dir).args(["-d", daemon]);
    for line in lines {
        command.args(["-c", line]);
    }
    stdout_of(&mut command)
}

/// Nobody answers yet, and a BGP session comes up all the same (RFC 5882 section 3.1).
fn bgp_comes_up_without_bfd(lab: &Lab) {
    wait::until("BFD is tried", PATIENCE, || one(lab, "n1", "tor-v4")).unwrap();
    let count = || established_count(lab, "n1", "tor-v4");
    let before = count();
    let timers = format!("timers bgp 3 {HOLD_TIME}");
    let lines = ["configure terminal", "router bgp", &timers];
    vtysh(lab, "bgpd", &lines).unwrap();
    vtysh(lab, "bgpd", &["clear bgp *"]).unwrap();
    wait::until("BGP without BFD", PATIENCE, || {
        is_established(lab, "n1", "tor-v4")?;
        if count() == before {
            bail!("not ended yet");
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(one(lab, "n1", "tor-v4").unwrap().state, "Down");
}

#[test]
fn frr_is_watched_its_operators_word_ends_nothing_and_a_silent_link_does() {
    let lab = lab("bfd-frr", TorKind::Frr);
    let lab = &lab.lab;
    profile(lab, 100);
    watch(lab, "");
    bgp_comes_up_without_bfd(lab);
    let mut bfdd = bfdd(lab);
    // FRR sends every 130 ms, twelve times.
    wait::until("both up", PATIENCE, || {
        both_up(lab, |s| {
            (s.hops.as_str(), s.transmit_interval_ms, s.detection_time_ms)
                == ("single", 120, Some(1560))
        })
    })
    .unwrap();
    bgp_is_up(lab);
    let sessions = SessionSnapshot::take(lab).unwrap();
    let shut = |word| {
        let lines = ["configure terminal", "bfd", "profile lab", word];
        vtysh(lab, "bfdd", &lines).unwrap();
    };
    shut("shutdown");
    wait::until("taken down", PATIENCE, || {
        let session = one(lab, "n1", "tor-v4")?;
        let why = session.last_down.as_deref();
        if (session.state.as_str(), why, session.failures)
            != ("Down", Some("neighbor-admin-down"), 0)
        {
            bail!("{session:?}");
        }
        Ok(())
    })
    .unwrap();
    is_established(lab, "n1", "tor-v4").unwrap();
    shut("no shutdown");
    wait::until("both up again", PATIENCE, || both_up(lab, |_| true)).unwrap();
    sessions.unchanged(lab).unwrap();

    cable(lab, "n1", "nomaster");
    for peer in ["tor-v4", "tor-v6"] {
        wait::until("ended", SOON, || ended_by_bfd(lab, "n1", peer)).unwrap();
    }
    cable(lab, "n1", "master rack");
    for peer in ["tor-v4", "tor-v6"] {
        wait::until("BGP again", PATIENCE, || is_established(lab, "n1", peer)).unwrap();
    }
    bfdd.stop(Signal::Terminate, PATIENCE).unwrap();
}
