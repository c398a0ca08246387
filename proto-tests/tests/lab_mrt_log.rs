//! What `bgpdump` (Debian's) reads in an update log is what BIRD said, and a log that cannot be written
//! says why and makes no session wait.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]
#![allow(
    clippy::too_many_lines,
    reason = "what happens one after the other is read from top to bottom"
)]

mod cable_world;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use cable_world::{SOON, World};
use redstart_controller::control::views;
use redstart_proto_tests::lab::{netns::stdout_of, process::Signal, wait};

const PEER: &str = "10.30.0.11";

/// BIRD with these static routes, each with its attributes.
fn bird(routes: &[&str], session: &str, ipv4: &str) -> String {
    let mut config = format!(
        "router id 10.20.0.1;\nlog stderr all;\nprotocol device {{ scan time 1; }}\n\
         protocol bgp node {{ local 10.30.0.11 as 65020; neighbor 10.30.0.1 as 65010; direct;\n\
         connect delay time 1; connect retry time 1; error wait time 1, 2; {session}\n\
         ipv4 {{ import all; export where source = RTS_STATIC; {ipv4} }};\n\
         ipv6 {{ import all; export where source = RTS_STATIC; next hop address fd30::11; }}; }}\n"
    );
    for (family, sign) in [("ipv4", '.'), ("ipv6", ':')] {
        let _ = writeln!(config, "protocol static {{ {family};");
        for route in routes.iter().filter(|route| route.contains(sign)) {
            let _ = writeln!(config, "route {route};");
        }
        config += "}\n";
    }
    config
}

fn world(name: &str) -> World {
    let world = World::new(name, 1).unwrap();
    for (netns, v4, v6, link) in [
        (&world.us, "10.30.0.1/24", "fd30::1/64", "up1"),
        (&world.them, "10.30.0.11/24", "fd30::11/64", "down1"),
    ] {
        let add = |address| format!("addr add {address} dev {link}");
        netns.ip(&[add(v4), add(v6)]).unwrap();
    }
    world.put_node(&["10.30.0.1", "fd30::1"]).unwrap();
    world
}

/// Says where the log is to be.
fn log_to(world: &World, directory: &Path, more: &str) {
    let directory = directory.display();
    configure(
        world,
        &format!("  mrt: {{ directory: {directory}{more} }}\n"),
    );
}

fn configure(world: &World, more: &str) {
    let text = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
         spec:\n  asn: 65010\n  mesh: {{ mode: None }}\n  timers: {{ connectRetrySeconds: 1 }}\n{more}"
    );
    world.put("configuration", &text).unwrap();
}

fn run(world: &mut World) {
    let objects = world.path("objects");
    let objects = objects.to_string_lossy();
    world.run_redstart(&["--objects", &objects]).unwrap();
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// The lines of `bgpdump -m`, which has to be content.
fn bgpdump(file: &Path) -> Result<Vec<String>> {
    let output = Command::new("bgpdump")
        .args(["-m", "-v"])
        .arg(file)
        .output();
    let output = output.context("bgpdump cannot be run")?;
    let (said, log) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    ensure!(output.status.success(), "{log}");
    ensure!(!log.contains("[warn]") && !log.contains("[error]"), "{log}");
    Ok(said.lines().map(str::to_owned).collect())
}

/// The same of all files, without the times, which have to rise. Of our own messages and others that are
/// not plain, a line begins with what their kind is called beyond `BGP4MP_ET`.
fn logged(directory: &Path) -> Result<Vec<String>> {
    let (mut lines, mut last) = (Vec::new(), 0.0);
    for file in files(directory)? {
        for line in bgpdump(&file)? {
            let (kind, rest) = line.split_once('|').context("no fields")?;
            let (time, rest) = rest.split_once('|').context("no time")?;
            let kind = kind.strip_prefix("BGP4MP_ET").context("another kind")?;
            ensure!(time.parse::<f64>()? >= last, "{last} is before {line}");
            last = time.parse()?;
            lines.push(format!(
                "{kind}{}{rest}",
                if kind.is_empty() { "" } else { "|" }
            ));
        }
    }
    Ok(lines)
}

/// Waits until the log has this line.
fn has(directory: &Path, what: &str) -> Vec<String> {
    let search = || {
        let lines = logged(directory)?;
        ensure!(
            lines.iter().any(|line| line.starts_with(what)),
            "{lines:#?}"
        );
        Ok(lines)
    };
    wait::until(&format!("{what} is logged"), SOON, search)
        .unwrap()
        .0
}

/// What was announced and withdrawn: each by its prefix with path, next hop, MED and communities.
fn changes(lines: &[String]) -> BTreeSet<String> {
    let mut changes = BTreeSet::new();
    for line in lines {
        let fields: Vec<_> = line.split('|').collect();
        let text = match fields[..] {
            [
                "A",
                PEER,
                "65020",
                prefix,
                path,
                origin,
                next_hop,
                _,
                med,
                communities,
                ..,
            ] => {
                format!("+{prefix} {path} {origin} {next_hop} {med} {communities}")
            }
            ["W", PEER, "65020", prefix] => format!("-{prefix}"),
            ["STATE", ..] => continue,
            _ => panic!("{line}"),
        };
        assert!(changes.insert(text), "twice: {line}");
    }
    changes
}

/// The states that the session went through: each is the one that the last led to.
fn states(lines: &[String]) -> Vec<u8> {
    let mut states = vec![1];
    for line in lines {
        let fields: Vec<_> = line.split('|').collect();
        if let ["STATE", PEER, _, from, to] = fields[..] {
            assert_eq!(Some(&from.parse().unwrap()), states.last(), "{line}");
            states.push(to.parse().unwrap());
        }
    }
    states
}

fn set(lines: &[&str]) -> BTreeSet<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn bgpdump_reads_what_bird_announced_and_withdrew_and_the_states() {
    let mut world = world("mrtlog");
    let directory = world.path("mrt");
    fs::create_dir(&directory).unwrap();
    log_to(&world, &directory, "");
    world.put_router("tor", PEER, "").unwrap();
    let began = SystemTime::now();
    run(&mut world);
    let first = [
        "20.0.0.0/16 blackhole { bgp_med = 77; }",
        "20.1.0.0/16 blackhole { bgp_path.prepend(4200000001); }",
        "20.2.7.128/25 blackhole { bgp_community.add((65020, 5)); }",
        "fd20:1::/48 blackhole",
        "fd20:2::1/128 blackhole",
    ];
    world.start_bird(&bird(&first, "", "")).unwrap();
    for prefix in [
        "20.0.0.0/16",
        "20.1.0.0/16",
        "20.2.7.128/25",
        "fd20:1::/48",
        "fd20:2::1/128",
    ] {
        has(&directory, &format!("A|{PEER}|65020|{prefix}|"));
    }
    let second = [
        "20.0.0.0/16 blackhole { bgp_med = 78; }",
        "20.1.0.0/16 blackhole { bgp_path.prepend(4200000001); }",
        "fd20:2::1/128 blackhole",
        "fd20:3::/48 blackhole",
    ];
    world.configure_bird(&bird(&second, "", "")).unwrap();
    for change in [
        "W|10.30.0.11|65020|20.2.7.128/25",
        "W|10.30.0.11|65020|fd20:1::/48",
    ] {
        has(&directory, change);
    }
    has(&directory, "A|10.30.0.11|65020|fd20:3::/48|");
    has(
        &directory,
        "A|10.30.0.11|65020|20.0.0.0/16|65020|IGP|10.30.0.11|0|78|",
    );
    world.end("bird", Signal::Terminate).unwrap();
    has(&directory, "STATE|10.30.0.11|65020|6|");
    world.end("redstart", Signal::Terminate).unwrap();
    let ended = SystemTime::now();

    let lines = logged(&directory).unwrap();
    let expected = [
        "+20.0.0.0/16 65020 IGP 10.30.0.11 77 ",
        "+20.1.0.0/16 65020 4200000001 IGP 10.30.0.11 0 ",
        "+20.2.7.128/25 65020 IGP 10.30.0.11 0 65020:5",
        "+fd20:1::/48 65020 IGP fd30::11 0 ",
        "+fd20:2::1/128 65020 IGP fd30::11 0 ",
        "-20.2.7.128/25",
        "-fd20:1::/48",
        "+20.0.0.0/16 65020 IGP 10.30.0.11 78 ",
        "+fd20:3::/48 65020 IGP fd30::11 0 ",
    ];
    assert_eq!(changes(&lines), set(&expected));
    let states = states(&lines);
    assert_eq!(states.iter().filter(|state| **state == 6).count(), 1);
    assert!(states.ends_with(&[1]), "it is stopped: {states:?}");
    // Of the seconds and microseconds in the records.
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    for file in files(&directory).unwrap() {
        for line in bgpdump(&file).unwrap() {
            let time: f64 = line.split('|').nth(1).unwrap().parse().unwrap();
            assert!((seconds(began)..=seconds(ended)).contains(&time), "{line}");
        }
    }
}

#[test]
fn path_identifiers_short_as_numbers_and_our_own_messages() {
    let mut world = world("mrtforms");
    let directory = world.path("mrt");
    fs::create_dir(&directory).unwrap();
    log_to(&world, &directory, ", sentMessages: true");
    let more = "  addPath: { receive: true }\n";
    world.put_router("tor", PEER, more).unwrap();
    run(&mut world);
    let routes = [
        "20.0.0.0/16 blackhole { bgp_path.prepend(65099); }",
        "fd20:1::/48 blackhole",
    ];
    let config = bird(&routes, "enable as4 off;", "add paths tx;")
        + "protocol static t4 { ipv4 { preference 150; }; route 20.0.0.0/16 blackhole; }\n";
    world.start_bird(&config).unwrap();
    // Path identifiers are in IPv4 alone, and each kind of message is read as it is.
    has(&directory, "A|10.30.0.11|65020|fd20:1::/48|65020|");
    has(&directory, "_LOCAL|A|10.30.0.11|65020|10.244.1.0/24|65010|");
    let search = || {
        let lines = logged(&directory)?;
        let of_prefix = lines.iter().filter(|line| line.contains("|20.0.0.0/16|"));
        let of_prefix: BTreeSet<_> = of_prefix.collect();
        ensure!(of_prefix.len() == 2, "{lines:#?}");
        Ok(())
    };
    wait::until("both paths are logged", SOON, search).unwrap();
}

#[test]
fn files_rotate_and_only_so_many_are_kept() {
    const KEPT: usize = 3;
    let mut world = world("mrtrotate");
    let directory = world.path("mrt");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("mine.mrt"), "").unwrap();
    log_to(&world, &directory, ", rotateSeconds: 1, keepFiles: 3");
    world.put_router("tor", PEER, "").unwrap();
    run(&mut world);
    // A KEEPALIVE in each second.
    let routes = ["20.0.0.0/16 blackhole"];
    world
        .start_bird(&bird(&routes, "hold time 3;", ""))
        .unwrap();
    let mut seen = BTreeSet::new();
    let search = || {
        let there = files(&directory)?;
        // The oldest goes once there is something in the newest.
        ensure!(there.len() <= 1 + KEPT + 1, "{there:?}");
        for file in there.iter().filter(|file| !file.ends_with("mine.mrt")) {
            seen.insert(file.clone());
        }
        ensure!(seen.len() >= 8, "{seen:?}");
        Ok(())
    };
    wait::until("there were many files", SOON, search).unwrap();
    let logs: Vec<views::MrtLog> = world.ask(&["show", "mrt"]).unwrap();
    assert_eq!((logs[0].state.as_str(), logs[0].lost), ("writing", 0));
    assert!(logs[0].files >= 8, "{logs:?}");
    world.end("redstart", Signal::Terminate).unwrap();
    let there = files(&directory).unwrap();
    assert!(there.len() <= 1 + KEPT + 1 && there[0].ends_with("mine.mrt"));
    for file in &there[1..] {
        bgpdump(file).unwrap();
    }
}

/// A small disk. Gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "none"]);
        stdout_of(mount.arg(&at)).unwrap();
        Self(at)
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]);
        stdout_of(mount.arg(&self.0)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_log_that_cannot_be_written_says_why_and_goes_on_when_it_can() {
    let mut world = world("mrtdisk");
    let disk = Disk::mount(world.path("disk"));
    let directory = disk.0.join("mrt");
    fs::create_dir(&directory).unwrap();
    configure(&world, "");
    world.put_router("tor", PEER, "").unwrap();
    run(&mut world);
    let few = |n: u32| -> Vec<String> {
        let route = |n| format!("20.{n}.0.0/16 blackhole");
        (0..n).map(route).collect()
    };
    let said = |n: u32| {
        let routes = few(n);
        bird(
            &routes.iter().map(String::as_str).collect::<Vec<_>>(),
            "",
            "",
        )
    };
    world.start_bird(&said(1)).unwrap();
    world.is("tor", "Established").unwrap();
    let none: Vec<views::MrtLog> = world.ask(&["show", "mrt"]).unwrap();
    assert!(none.is_empty(), "{none:?}");

    let is_failing = |reason: &str| {
        let problems = world.has_problems(&[("BGPConfiguration/default", reason)]);
        let problems = problems.unwrap();
        assert_eq!(problems[0].field, "spec.mrt.directory");
        let logs: Vec<views::MrtLog> = world.ask(&["show", "mrt"]).unwrap();
        assert_eq!(
            (logs[0].state.as_str(), logs[0].error.as_deref()),
            ("failing", Some(reason))
        );
        assert!(
            world
                .get("/metrics")
                .unwrap()
                .contains("redstart_mrt_log_writing 0")
        );
    };
    let route = |n: u32| format!("A|{PEER}|65020|20.{n}.0.0/16|");
    disk.remount("ro");
    log_to(&world, &directory, "");
    is_failing("directory-not-writable");
    world.configure_bird(&said(2)).unwrap();
    world.is("tor", "Established").unwrap();
    disk.remount("rw");
    world.has_problems(&[]).unwrap();
    // It was said before, and has waited.
    has(&directory, &route(1));

    let filler = disk.0.join("filler");
    let mut full = vec![0; 1 << 20];
    while fs::write(&filler, &full).is_err() {
        full.truncate(full.len() - 4096);
    }
    // What there is room for at the end of a page is written; a whole page more is not.
    let many: Vec<_> = (0..200)
        .map(|n| format!("20.2.{n}.0/24 blackhole {{ bgp_med = {n}; }}"))
        .collect();
    let mut routes = few(2);
    routes.extend(many);
    let routes: Vec<_> = routes.iter().map(String::as_str).collect();
    world.configure_bird(&bird(&routes, "", "")).unwrap();
    is_failing("disk-full");
    fs::remove_file(&filler).unwrap();
    world.has_problems(&[]).unwrap();
    for n in [0, 199] {
        has(&directory, &format!("A|{PEER}|65020|20.2.{n}.0/24|"));
    }

    // Somebody cleans up.
    fs::remove_dir_all(&directory).unwrap();
    world.configure_bird(&said(4)).unwrap();
    is_failing("directory-missing");
    fs::create_dir(&directory).unwrap();
    world.has_problems(&[]).unwrap();
    has(&directory, &route(3));
    let line = "redstart_mrt_log_lost_records_total 0";
    assert!(world.get("/metrics").unwrap().contains(line));
    // All the time there was one session.
    assert_eq!(world.protocol("tor").unwrap().established_count, 1);

    configure(&world, "");
    wait::until("there is no log", Duration::from_secs(20), || {
        let logs: Vec<views::MrtLog> = world.ask(&["show", "mrt"])?;
        ensure!(logs.is_empty(), "{logs:?}");
        Ok(())
    })
    .unwrap();
    world.end("redstart", Signal::Terminate).unwrap();
}

/// A disk that has no room for as many files as may be: it holds the last ones.
#[test]
fn on_a_full_disk_the_oldest_files_make_room() {
    let mut world = world("mrtfull");
    let disk = Disk::mount(world.path("disk"));
    let directory = disk.0.join("mrt");
    fs::create_dir(&directory).unwrap();
    log_to(&world, &directory, ", rotateSeconds: 1, keepFiles: 1000");
    world.put_router("tor", PEER, "").unwrap();
    run(&mut world);
    // A KEEPALIVE in each second.
    let routes = ["20.0.0.0/16 blackhole"];
    world
        .start_bird(&bird(&routes, "hold time 3;", ""))
        .unwrap();
    wait::until("there are some files", SOON, || {
        let there = files(&directory)?;
        ensure!(there.len() >= 4, "{there:?}");
        Ok(())
    })
    .unwrap();
    let filler = disk.0.join("filler");
    let mut full = vec![0; 1 << 20];
    while fs::write(&filler, &full).is_err() {
        full.truncate(full.len() - 4096);
    }
    let most = files(&directory).unwrap().len() + 2;
    let begun = || -> Result<u64> {
        let logs: Vec<views::MrtLog> = world.ask(&["show", "mrt"])?;
        let log = logs.first().context("there is no log")?;
        ensure!(log.state == "writing" && log.lost == 0, "{log:?}");
        Ok(log.files)
    };
    let before = begun().unwrap();
    wait::until("it goes on", SOON, || {
        let there = files(&directory)?;
        assert!(there.len() <= most, "{there:?}");
        let now = begun()?;
        ensure!(now >= before + 6, "{before}, {now}");
        Ok(())
    })
    .unwrap();
    world.end("redstart", Signal::Terminate).unwrap();
    for file in files(&directory).unwrap() {
        bgpdump(&file).unwrap();
        assert!(file.metadata().unwrap().len() > 0, "{}", file.display());
    }
}

/// Threads of the speaker that write a log.
fn writers(world: &World) -> Result<usize> {
    let tasks = format!("/proc/{}/task", world.pid("redstart")?);
    let mut writers = 0;
    for task in fs::read_dir(tasks)? {
        let name = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        writers += usize::from(name.trim() == "mrt-log");
    }
    Ok(writers)
}

/// Waits until there are so many: none is left over.
fn has_writers(world: &World, wanted: usize) -> Result<()> {
    let search = || {
        let there = writers(world)?;
        ensure!(there == wanted, "{there}");
        Ok(())
    };
    wait::until("as many threads write", SOON, search).map(drop)
}

#[test]
fn another_directory_off_and_on_again_and_a_speaker_that_is_killed() {
    let mut world = world("mrtmoves");
    let [first, second] = ["first", "second"].map(|name| world.path(name));
    fs::create_dir(&first).unwrap();
    fs::create_dir(&second).unwrap();
    log_to(&world, &first, "");
    world.put_router("tor", PEER, "").unwrap();
    run(&mut world);
    let say = |world: &World, n: u32| {
        let route = format!("20.{n}.0.0/16 blackhole");
        world.configure_bird(&bird(&[&route], "", "")).unwrap();
    };
    let route = |n: u32| format!("A|{PEER}|65020|20.{n}.0.0/16|");
    world
        .start_bird(&bird(&["20.0.0.0/16 blackhole"], "", ""))
        .unwrap();
    has(&first, &route(0));
    log_to(&world, &second, "");
    wait::until("it is in the other directory", SOON, || {
        ensure!(!files(&second)?.is_empty(), "not yet");
        Ok(())
    })
    .unwrap();
    has_writers(&world, 1).unwrap();
    say(&world, 1);
    has(&second, &route(1));
    configure(&world, "");
    has_writers(&world, 0).unwrap();
    say(&world, 2);
    world
        .routed(&world.us, "20.2.0.0/16", &["via"], &[])
        .unwrap();
    log_to(&world, &first, "");
    has_writers(&world, 1).unwrap();
    say(&world, 3);
    let lines = has(&first, &route(3));
    assert!(!lines.iter().any(|line| line.starts_with(&route(1))));
    assert!(!lines.iter().any(|line| line.starts_with(&route(2))));
    assert_eq!(world.protocol("tor").unwrap().established_count, 1);

    world.kill("redstart").unwrap();
    let before = files(&first).unwrap();
    run(&mut world);
    world.is("tor", "Established").unwrap();
    say(&world, 4);
    has(&first, &route(4));
    assert_eq!(files(&first).unwrap().len(), before.len() + 1);
    world.end("redstart", Signal::Terminate).unwrap();
}
