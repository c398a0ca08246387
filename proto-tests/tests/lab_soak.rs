//! A whole speaker with everything at once, for as long as is asked for: `REDSTART_SOAK_SECONDS=600` is
//! ten minutes.
//!
//! Links flap on either side, routers come, go and take routes back, a router crashes, others add routes
//! in front of ours, delete ours and our objects, and write so much that events are lost. After each
//! of three rounds the kernel must hold, in both families, just what the routers say, with what others
//! added still there; and after the last one the speaker must be no larger than after the second.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cable_world::{SOON, World};
use redstart_controller::control::views;
use redstart_proto_tests::{bench::usage, chance::Chance, lab::wait};

/// Prefixes of each family that both routers announce.
const MANY: u64 = 400;
/// Routes that somebody writes at once: more than events may wait for the speaker.
const FLOOD: u64 = 12_000;
const ROUNDS: u32 = 3;
/// How long a speaker may take to be right again: it asks the kernel again ever more slowly.
const AGAIN: Duration = Duration::from_secs(120);
/// What a process may have grown by in the meantime, in octets: pages that the allocator keeps.
const GROWTH: u64 = 6 << 20;

fn prefix(i: u64) -> String {
    if i < MANY {
        format!("10.60.{}.{}/28", i / 16, i % 16 * 16)
    } else {
        format!("fd60:0:0:{i:x}::/64")
    }
}

fn bird() -> String {
    let mut config =
        "router id 10.20.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n".to_owned();
    for (name, family, range) in [
        ("many4", "ipv4", 0..MANY),
        ("many6", "ipv6", MANY..2 * MANY),
    ] {
        write!(config, "protocol static {name} {{ {family};").unwrap();
        for i in range {
            write!(config, " route {} blackhole;", prefix(i)).unwrap();
        }
        config.push_str(" }\n");
    }
    for n in 1..=2 {
        write!(
            config,
            "protocol bgp tor{n} {{ local 10.0.{n}.2 as 65020; neighbor 10.0.{n}.1 as 65010; direct;\n\
             connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
             graceful restart off;\n\
             ipv4 {{ import all; export where proto = \"many4\"; }};\n\
             ipv6 {{ import all; export where proto = \"many6\"; next hop address fd00:{n}::2; }}; }}\n"
        )
        .unwrap();
    }
    config
}

fn world() -> World {
    let mut world = World::new("soak", 2).unwrap();
    // IPv6 addresses outlive their link, as IPv4 addresses do.
    let keep = [("net/ipv6/conf/all/keep_addr_on_down", "1")];
    for n in 1..=2 {
        for (netns, end, host) in [(&world.us, "up", 1), (&world.them, "down", 2)] {
            let name = format!("net/ipv6/conf/{end}{n}/keep_addr_on_down");
            netns.sysctl(&[keep[0], (name.as_str(), "1")]).unwrap();
            let lines = [
                format!("addr add 10.0.{n}.{host}/24 dev {end}{n}"),
                format!("addr add fd00:{n}::{host}/64 dev {end}{n} nodad"),
            ];
            netns.ip(&lines).unwrap();
        }
        let peer = format!("tor{n}");
        world.put_router(&peer, &format!("10.0.{n}.2"), "").unwrap();
    }
    world.start_bird(&bird()).unwrap();
    world.start_redstart().unwrap();
    world
}

/// What somebody does, which may come too late.
fn somebody(world: &World, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    drop(world.us.output("ip", &words));
}

/// Adds a multitude of routes, or takes it away again.
fn flood(world: &World, there: bool) {
    let verb = if there { "add" } else { "del" };
    let route = |i| {
        format!(
            "route {verb} blackhole 100.64.{}.{}/32 proto static",
            i / 250,
            i % 250
        )
    };
    let lines: Vec<String> = (0..FLOOD).map(route).collect();
    drop(world.us.ip(&lines));
}

/// Something happens.
fn step(world: &mut World, chance: &mut Chance, foreign: &mut BTreeSet<u64>) {
    let (i, n) = (chance.below(2 * MANY), 1 + chance.below(2));
    let family = if i < MANY { "-4" } else { "-6" };
    let them = |world: &World, line: String| world.them.ip(&[line]).unwrap();
    match chance.below(16) {
        0 => them(world, format!("link set down{n} down")),
        1 | 2 => them(world, format!("link set down{n} up")),
        3 => somebody(world, &format!("link set up{n} down")),
        4 | 5 => somebody(world, &format!("link set up{n} up")),
        6 => drop(world.birdc(&["disable", &format!("tor{n}")])),
        7 => drop(world.birdc(&["enable", "\"tor*\""])),
        8 => drop(world.birdc(&["disable", if i < MANY { "many4" } else { "many6" }])),
        9 => drop(world.birdc(&["enable", "\"many*\""])),
        10 => {
            foreign.insert(i);
            somebody(
                world,
                &format!("{family} route add blackhole {} metric 5", prefix(i)),
            );
        }
        11 => {
            if let Some(i) = foreign.pop_first() {
                let family = if i < MANY { "-4" } else { "-6" };
                somebody(
                    world,
                    &format!("{family} route del blackhole {} metric 5", prefix(i)),
                );
            }
        }
        12 => somebody(
            world,
            &format!("{family} route del {} proto bgp", prefix(i)),
        ),
        13 => {
            let ids = world.us.output("ip", &["nexthop", "show", "proto", "186"]);
            let ids = ids.unwrap_or_default();
            let id = ids.lines().nth(usize::try_from(i).unwrap() % 6);
            if let Some(id) = id.and_then(|line| line.split(' ').nth(1)) {
                somebody(world, &format!("nexthop del id {id}"));
            }
        }
        14 => somebody(world, &format!("{family} route flush proto bgp")),
        _ if chance.below(4) == 0 => {
            world.kill("bird").unwrap();
            world.start_bird(&bird()).unwrap();
        }
        _ => {
            flood(world, true);
            flood(world, false);
        }
    }
}

/// Everybody stops, and what was taken away is back.
fn calm(world: &World) {
    for n in 1..=2 {
        world.them.ip(&[format!("link set down{n} up")]).unwrap();
        world.us.ip(&[format!("link set up{n} up")]).unwrap();
    }
    for what in ["\"tor*\"", "\"many*\""] {
        wait::until("BIRD obeys", SOON, || world.birdc(&["enable", what])).unwrap();
    }
}

/// The kernel holds what both routers say, but where somebody else has a route; and that is still there.
fn is_right(world: &World, foreign: &BTreeSet<u64>) -> Result<()> {
    for (family, range) in [("-4", 0..MANY), ("-6", MANY..2 * MANY)] {
        let ours = world
            .us
            .output("ip", &["-N", family, "-o", "route", "show", "proto", "186"])?;
        let others = world
            .us
            .output("ip", &[family, "-o", "route", "show", "type", "blackhole"])?;
        let mut right = 0;
        for line in ours.lines() {
            let via = |n| match family {
                "-4" => format!("via 10.0.{n}.2 dev up{n}"),
                _ => format!("via fd00:{n}::2 dev up{n}"),
            };
            right += u64::from([1, 2].iter().all(|n| line.contains(&via(*n))));
        }
        let theirs: Vec<u64> = range.clone().filter(|i| foreign.contains(i)).collect();
        for i in &theirs {
            let line = format!("blackhole {} ", prefix(*i));
            let there = others.lines().find(|l| l.starts_with(&line));
            ensure!(
                there.is_some_and(|l| l.contains("metric 5")),
                "{line}: {there:?}"
            );
        }
        let (all, wanted) = (ours.lines().count(), MANY - u64::try_from(theirs.len())?);
        ensure!(
            right == wanted && u64::try_from(all)? == wanted,
            "{family}: {right} of {wanted} routes are right, {all} there"
        );
    }
    let kernel: views::Kernel = world.ask(&["show", "kernel"])?;
    let totals = kernel.totals;
    ensure!(totals.pending == 0 && totals.stale == 0, "{totals:?}");
    ensure!(totals.parked == u64::try_from(foreign.len())?, "{totals:?}");
    // A group and a leg for each gateway, of each family: what nobody uses goes after a while.
    let objects = world
        .us
        .output("ip", &["nexthop", "show", "proto", "186"])?;
    ensure!(objects.lines().count() <= 6, "{objects}");
    Ok(())
}

/// Resident octets, and open files, of the speaker.
fn size(world: &World) -> (u64, usize) {
    let pid = world.pid("redstart").unwrap();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    (usage::alone(pid).resident, files.count())
}

/// What there is to know where something is wrong.
fn told(world: &World) -> String {
    let asked = ["show protocols", "show route count", "show kernel"];
    let answers = asked.map(|words| match world.redc(words) {
        Ok(text) => text.lines().take(12).collect::<Vec<_>>().join("\n"),
        Err(error) => format!("{error:#}"),
    });
    let bird = world.birdc(&["show", "protocols"]);
    format!(
        "{}\n{}\n{bird:?}",
        world.log("redstart"),
        answers.join("\n")
    )
}

#[test]
fn after_everything_at_once_the_kernel_is_right_and_the_speaker_no_larger() {
    let seconds = std::env::var("REDSTART_SOAK_SECONDS").ok();
    let seconds: u64 = seconds.map_or(12, |s| s.parse().unwrap());
    let mut world = world();
    let (mut chance, mut foreign) = (Chance::new(seconds), BTreeSet::new());
    let right = |world: &World, foreign: &BTreeSet<u64>| {
        let asked = wait::until("the kernel is right", AGAIN, || is_right(world, foreign));
        asked.with_context(|| told(world)).unwrap()
    };
    right(&world, &foreign);
    let mut sizes = Vec::new();
    let mut steps = 0_u32;
    for _ in 0..ROUNDS {
        let until = Instant::now() + Duration::from_secs(seconds) / ROUNDS;
        while Instant::now() < until {
            step(&mut world, &mut chance, &mut foreign);
            steps += 1;
            thread::sleep(Duration::from_millis(chance.below(300)));
        }
        calm(&world);
        let ((), took) = right(&world, &foreign);
        sizes.push(size(&world));
        println!(
            "{steps} steps, {} routes of others, right after {took:.1?}: {:?}",
            foreign.len(),
            sizes.last()
        );
    }
    let log = world.whole_log("redstart").unwrap();
    let overruns = log.matches("events of the kernel were lost").count();
    let metrics = world.get("/metrics").unwrap();
    let drift = metrics
        .lines()
        .find(|l| l.starts_with("redstart_kernel_drift_total"));
    println!("{overruns} overruns, {drift:?}");
    assert!(!drift.unwrap().ends_with(" 0"), "nothing was disturbed");
    // The first round is where it meets all of this for the first time.
    let (first, last) = (sizes[1], sizes[sizes.len() - 1]);
    assert!(last.0 <= first.0 + GROWTH, "{sizes:?}");
    assert!(last.1 <= first.1 + 2, "open files: {sizes:?}");
}
