//! `redc capture` of sessions with BIRD, read by `redc decode` and by `tcpdump` (Debian's).

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use cable_world::{SOON, World};
use redstart_proto_tests::lab::wait;
use serde_json::Value;

const BIRD: &str = "
router id 10.20.0.1;
log stderr all;
protocol device { scan time 1; }
protocol static s4 { ipv4; route 20.1.0.0/16 blackhole; }
protocol static s6 { ipv6; route fd20:1::/48 blackhole; }
template bgp node {
  direct; connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export where source = RTS_STATIC; };
}
protocol bgp by4 from node { local 10.30.0.11 as 65020; neighbor 10.30.0.1 as 65010; }
protocol bgp by6 from node { local fd30::11 as 65020; neighbor fd30::1 as 65010; }
";

fn world() -> Result<World> {
    let mut world = World::new("capture", 1)?;
    let addresses = [
        (&world.us, "10.30.0.1/24", "fd30::1/64", "up1"),
        (&world.them, "10.30.0.11/24", "fd30::11/64", "down1"),
    ];
    for (netns, v4, v6, link) in addresses {
        netns.ip(&[
            format!("addr add {v4} dev {link}"),
            format!("addr add {v6} dev {link} nodad"),
        ])?;
    }
    world.put_router("tor4", "10.30.0.11", "")?;
    world.put_router("tor6", "fd30::11", "")?;
    world.start_bird(BIRD)?;
    world.start_redstart_at(&["10.30.0.1", "fd30::1"])?;
    Ok(world)
}

/// `redc capture` to a file. Gone when dropped.
struct Capture(Child);

impl Capture {
    /// Has begun when this returns: what happens from now on is in it.
    fn start(world: &World, peer: &str, file: &Path) -> Result<Self> {
        let mut command = world.redc_command();
        command.args(["capture", peer, "-w"]).arg(file);
        let capture = Self(command.stderr(Stdio::piped()).spawn()?);
        wait::until("the capture begins", SOON, || {
            let size = fs::metadata(file)?.len();
            ensure!(size >= 24, "{size} octets");
            Ok(())
        })?;
        Ok(capture)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The messages of a capture: from the neighbour or to it, and of which kind. All of them are valid.
fn messages(world: &World, file: &Path) -> Result<Vec<(bool, String)>> {
    let decoded: Vec<Value> = world.ask(&["decode", &file.to_string_lossy()])?;
    let one = |message: &Value| {
        ensure!(message["verdict"] == "valid", "{message}");
        let source = message["source"].as_str().context("no source")?;
        let from = source.split(" to ").next().unwrap_or_default();
        let is_theirs = from.starts_with("10.30.0.11:") || from.starts_with("[fd30::11]:");
        Ok((
            is_theirs,
            message["kind"].as_str().unwrap_or_default().to_owned(),
        ))
    };
    decoded.iter().map(one).collect()
}

/// What `tcpdump` makes of a file.
fn tcpdump(file: &Path) -> Result<String> {
    let mut command = Command::new("tcpdump");
    command.args(["-nn", "-vv", "-r"]).arg(file);
    let output = command.output().context("tcpdump cannot be run")?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// All kinds of messages, those that the restart was told by and the routes, in packets that hold.
fn tcpdump_reads(file: &Path) {
    let told = tcpdump(file).unwrap();
    for part in [
        "Open Message (1)",
        "Update Message (2)",
        "Notification Message (3)",
        "Keepalive Message (4)",
        "Route Refresh Message (5)",
        "Administrative Reset",
        "20.1.0.0/16",
        "fd20:1::/48",
        "(correct)",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    for part in ["incorrect", "bad cksum", "[|", "truncated"] {
        assert!(!told.contains(part), "{part:?} in {told}");
    }
}

/// From the middle of a session to the end of the next one: a route refresh, a restart, and what comes of
/// them, until the neighbour is no more.
#[test]
fn a_capture_of_a_session_is_read_by_tcpdump_and_by_redc() {
    let world = world().unwrap();
    for peer in ["tor4", "tor6"] {
        let before = world.is(peer, "Established").unwrap();
        let file = world.path(&format!("{peer}.pcap"));
        let mut capture = Capture::start(&world, peer, &file).unwrap();
        let another = world.redc(&format!("capture {peer} -w -")).unwrap_err();
        let another = format!("{another:#}");
        assert!(another.contains("captured by somebody else"), "{another}");

        world.redc(&format!("reload in {peer}")).unwrap();
        let (theirs, ours) = (true, false);
        let has = |expected: &[(bool, &str)]| {
            wait::until(&format!("{expected:?} of {peer}"), SOON, || {
                let seen = messages(&world, &file)?;
                let is_there =
                    |(from, kind): &(bool, &str)| seen.iter().any(|(f, k)| f == from && k == kind);
                ensure!(expected.iter().all(is_there), "{seen:?}");
                Ok(seen)
            })
            .unwrap()
            .0
        };
        let seen = has(&[(ours, "ROUTE-REFRESH"), (theirs, "UPDATE")]);
        // It began in the middle of the session.
        assert!(seen.iter().all(|(_, kind)| kind != "OPEN"), "{seen:?}");
        world.redc(&format!("restart {peer}")).unwrap();
        has(&[
            (ours, "NOTIFICATION"),
            (ours, "OPEN"),
            (theirs, "OPEN"),
            (ours, "KEEPALIVE"),
            (theirs, "KEEPALIVE"),
        ]);
        let after = world.is(peer, "Established").unwrap();
        assert_eq!(after.established_count, before.established_count + 1);
        wait::until("both routes are back", SOON, || {
            let routes = world.protocol(peer)?.routes;
            ensure!(routes.imported == 2 && routes.stale == 0, "{routes:?}");
            Ok(())
        })
        .unwrap();

        // A neighbour that is no more ends it.
        fs::remove_file(world.path(&format!("objects/{peer}.yaml"))).unwrap();
        let (status, _) = wait::until("the capture ends", SOON, || {
            capture.0.try_wait()?.context("it goes on")
        })
        .unwrap();
        assert_eq!(status.code(), Some(1));
        let last = messages(&world, &file).unwrap();
        let last = last.into_iter().rfind(|(from, _)| *from == ours);
        assert_eq!(last.unwrap().1, "NOTIFICATION");

        tcpdump_reads(&file);
    }
    let nobody = format!("{:#}", world.redc("capture nobody -w -").unwrap_err());
    assert!(nobody.contains("there is no peer \"nobody\""), "{nobody}");
}
