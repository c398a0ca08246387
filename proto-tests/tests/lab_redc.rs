//! `redc` against a running speaker with a real BIRD as its neighbour.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a list of commands with what each must show is read from top to bottom"
)]

mod cable_world;

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    process::Stdio,
};

use anyhow::{Result, ensure};
use cable_world::{SOON, World};
use redstart_controller::control::views::{Count, Diff, HistoryEntry, Operated, Protocol, Route};
use redstart_proto_tests::lab::wait;

/// A BIRD that announces this many routes, and one with our AS in its path.
fn bird(routes: u32) -> String {
    let mut config = "router id 10.20.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n\
         protocol bgp node { local 10.30.0.11 as 65020; neighbor 10.30.0.1 as 65010; direct;\n\
         connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
         ipv4 { import all; export filter { if source != RTS_STATIC then reject;\n\
         if net = 10.66.6.0/24 then bgp_path.prepend(65010); accept; }; }; }\n\
         protocol static s4 { ipv4; route 10.66.6.0/24 blackhole;\n"
        .to_owned();
    for n in 0..routes {
        let [_, a, b, c] = (n << 4).to_be_bytes();
        let _ = writeln!(config, "route 20.{a}.{b}.{c}/28 blackhole;");
    }
    config + "}\n"
}

/// The speaker and BIRD, with a session and every route.
fn world(name: &str, routes: u32) -> World {
    let mut world = World::addressed(name).unwrap();
    world.put_router("tor", "10.30.0.11", "").unwrap();
    world.start_bird(&bird(routes)).unwrap();
    world.start_redstart_at(&["10.30.0.1"]).unwrap();
    has_routes(&world, u64::from(routes));
    world
}

fn count(world: &World, words: &str) -> Result<u64> {
    let line = format!("show route {words} count");
    let counts: Vec<Count> = world.ask(&line.split_whitespace().collect::<Vec<_>>())?;
    Ok(counts.iter().map(|count| count.routes).sum())
}

fn has_routes(world: &World, routes: u64) {
    wait::until("every route is there", SOON, || {
        let there = count(world, "protocol tor")?;
        ensure!(there == routes, "{there}");
        Ok(())
    })
    .unwrap();
}

fn routes(world: &World, words: &str) -> Vec<Route> {
    let line = format!("show route {words}");
    world
        .ask(&line.split_whitespace().collect::<Vec<_>>())
        .unwrap()
}

fn tor(world: &World) -> Protocol {
    world.protocol("tor").unwrap()
}

#[test]
fn a_reader_that_stops_reading_disturbs_no_session() {
    const ROUTES: u32 = 30_000;
    let world = world("redcslow", ROUTES);
    // A program that does not read what is sent, and a redc whose output nobody reads.
    let mut stopped = UnixStream::connect(world.socket()).unwrap();
    stopped.set_read_timeout(Some(SOON)).unwrap();
    stopped
        .write_all(b"GET /v1/routes HTTP/1.0\r\nhost: n1\r\n\r\n")
        .unwrap();
    stopped.read_exact(&mut [0; 1000]).unwrap();
    let mut command = world.redc_command();
    let mut redc = command
        .args(["show", "route", "all"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    redc.stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 1000])
        .unwrap();

    // The whole table comes again, and then one route more.
    world.redc("reload in tor").unwrap();
    wait::until("the table came again", SOON, || {
        let history: Vec<HistoryEntry> = world.ask(&["history", "tor"])?;
        let events = history.iter().map(|entry| entry.event.as_str());
        let since = events.skip_while(|event| *event != "operator");
        ensure!(since.last() == Some("refresh-end"), "{history:?}");
        Ok(())
    })
    .unwrap();
    world.configure_bird(&bird(ROUTES + 1)).unwrap();
    has_routes(&world, u64::from(ROUTES) + 1);
    let now = tor(&world);
    assert_eq!(
        (now.state.as_str(), now.established_count),
        ("Established", 1)
    );

    // They go on where they were: what was there all the time is there.
    let lines = |from: &mut dyn std::io::Read, what: &str| {
        let lines = BufReader::new(from).lines();
        lines
            .filter(|line| line.as_ref().unwrap().contains(what))
            .count()
    };
    assert!(lines(&mut stopped, "\"prefix\":\"20.") >= ROUTES as usize - 20);
    assert!(lines(redc.stdout.as_mut().unwrap(), "unicast [tor]") >= ROUTES as usize - 20);
    assert!(redc.wait().unwrap().success());
}

#[test]
fn routes_are_narrowed_down() {
    let world = world("redcroutes", 64);
    // What BIRD announces comes bit by bit, and what follows from it later still.
    wait::until("everything is where it goes", SOON, || {
        for (words, routes) in [("filtered", 1), ("export tor", 1)] {
            let there = count(&world, words)?;
            ensure!(there == routes, "{words}: {there}");
        }
        let learned = world.redc("explain 20.0.0.77")?;
        ensure!(learned.contains("kernel: installed"), "{learned}");
        Ok(())
    })
    .unwrap();
    let prefixes = |words: &str| -> Vec<String> {
        routes(&world, words)
            .into_iter()
            .map(|route| route.prefix)
            .collect()
    };
    assert_eq!(prefixes("for 20.0.0.77"), ["20.0.0.64/28"]);
    assert_eq!(prefixes("20.0.0.64/28"), ["20.0.0.64/28"]);
    assert_eq!(prefixes("20.0.0.77"), [""; 0]);
    let within = [
        "20.0.0.0/28",
        "20.0.0.16/28",
        "20.0.0.32/28",
        "20.0.0.48/28",
    ];
    assert_eq!(prefixes("in 20.0.0.0/26"), within, "in order");
    assert_eq!(
        prefixes("protocol local where net ~ [10.0.0.0/8+]"),
        ["10.244.1.0/24"]
    );
    assert_eq!(prefixes("export tor"), ["10.244.1.0/24"]);
    assert_eq!(
        prefixes("noexport tor protocol t* where net.len = 24"),
        [""; 0]
    );
    assert_eq!(prefixes("filtered"), ["10.66.6.0/24"]);
    assert_eq!(prefixes("filtered protocol local"), [""; 0]);
    assert_eq!(
        prefixes("where bgp_path.len > 1 filtered"),
        ["10.66.6.0/24"]
    );
    assert_eq!(count(&world, "in 20.0.0.0/24").unwrap(), 16);
    assert_eq!(count(&world, "filtered").unwrap(), 1);
    // What is counted without looking is what is counted by looking.
    assert_eq!(
        count(&world, "").unwrap(),
        count(&world, "where true").unwrap()
    );

    let text = |words: &str| world.redc(words).unwrap();
    assert!(text("show route for 20.0.0.77").starts_with(
        "20.0.0.64/28         unicast [tor] * (100) [AS65020i]\n\tvia 10.30.0.11 on up1\n"
    ));
    assert_eq!(text("show route for 20.1.0.77"), "Network not found\n");
    let count = text("show route filtered count");
    assert!(count.starts_with("1 of 65 routes for "), "{count}");
    let all = text("show route 20.0.0.0/28 all");
    assert!(all.contains("\tBGP.as_path: 65020\n"), "{all}");
    let yaml = text("-o yaml show route 20.0.0.0/28");
    assert!(
        yaml.starts_with("- ") && yaml.contains("  prefix: 20.0.0.0/28\n"),
        "{yaml}"
    );

    // Why: for what was learned, what was refused, and what is our own.
    let learned = text("explain 20.0.0.77");
    for part in [
        "Route 20.0.0.64/28\n  from tor (BGPPeer/tor, ebgp): best\n",
        "    via 10.30.0.11 on up1\n",
        "  kernel: installed\n",
        "  to tor: withheld [learned-from-peer]: ",
    ] {
        assert!(learned.contains(part), "no {part:?} in:\n{learned}");
    }
    let refused = text("explain 10.66.6.0/24 to tor");
    assert!(refused.contains("refused-as-loop: "), "{refused}");
    assert!(
        refused.contains("kernel: not-wanted [no-usable-path]"),
        "{refused}"
    );
    let own = text("explain 10.244.1.9 to t*");
    assert!(
        own.contains("from local (Node/n1): best, advertised by "),
        "{own}"
    );
    assert!(own.contains("  to tor: told, because of "), "{own}");
    assert!(
        own.contains("    as_path 65010, next_hop 10.30.0.1"),
        "{own}"
    );
    assert_eq!(
        text("explain 203.0.113.1"),
        "203.0.113.1\nNo route covers it\n"
    );

    for (words, says) in [
        ("explain 10.0.0.1 to nobody", "there is no peer \"nobody\""),
        ("show protocols nobody", "there is no peer \"nobody\""),
        ("show route where net.len", "not a condition"),
        ("reload nobody", "there is no peer \"nobody\""),
    ] {
        let error = format!("{:#}", world.redc(words).unwrap_err());
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn diff_says_what_would_reset_and_does_nothing() {
    let world = world("redcdiff", 4);
    let file = world.path("new.yaml");
    let diff = |manifest: &str| -> (Diff, bool) {
        std::fs::write(&file, manifest).unwrap();
        let mut command = world.redc_command();
        let output = command
            .args(["-o", "json", "diff"])
            .arg(&file)
            .output()
            .unwrap();
        let ends = output.status.code() == Some(3);
        let said = String::from_utf8_lossy(&output.stderr);
        (serde_json::from_slice(&output.stdout).expect(&said), ends)
    };
    let peer = |more: &str| {
        format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: {{ name: tor }}\n\
             spec:\n  address: \"10.30.0.11\"\n  asn: External\n{more}"
        )
    };
    let of_tor = |diff: &Diff| {
        let one = diff.sessions.iter().find(|session| session.peer == "tor");
        one.map(|session| (session.change.clone(), session.reason.clone()))
    };
    let (nothing, ends) = diff(&peer(""));
    assert_eq!((nothing, ends), (Diff::default(), false));
    let (resets, ends) = diff(&peer("  localASN: 65099\n"));
    assert!(ends, "{resets:?}");
    assert_eq!(of_tor(&resets).unwrap().0, "resets");
    let (later, ends) = diff(&peer("  timers:\n    holdTimeSeconds: 30\n"));
    assert!(!ends, "{later:?}");
    assert_eq!(of_tor(&later).unwrap().0, "next-session");
    let (bad, _) = diff(&peer("  colour: green\n"));
    assert_eq!(bad.problems[0].reason, "unknown-field");
    // Nothing has happened.
    assert_eq!(
        (tor(&world).state.as_str(), tor(&world).established_count),
        ("Established", 1)
    );
    assert_eq!(world.status().unwrap().problems, []);

    // The log's level is changed while it runs.
    assert_eq!(
        world.redc("log debug").unwrap(),
        "The log has level debug\n"
    );
    world.redc("reload in tor").unwrap();
    wait::until("there are debug lines", SOON, || {
        ensure!(world.log("redstart").contains("DEBUG"), "none");
        Ok(())
    })
    .unwrap();
    assert_eq!(
        world.redc("log default").unwrap(),
        "The log has level default\n"
    );
}

/// The prompt, on a terminal.
#[test]
fn the_prompt_completes_helps_and_pages() {
    let world = world("redcprompt", 4);
    let words = world.redc_command();
    let socket = world.socket();
    let script = format!(
        "import pty, os, sys, time, select\n\
         pid, fd = pty.fork()\n\
         if pid == 0:\n\
         \x20   os.environ.update(TERM='xterm', HOME='/nonexistent', PAGER='cat')\n\
         \x20   os.execv({program:?}, [{program:?}, '-s', {socket:?}])\n\
         said = b''\n\
         def until(what):\n\
         \x20   global said\n\
         \x20   end = time.time() + 30\n\
         \x20   while what not in said:\n\
         \x20       assert time.time() < end, said\n\
         \x20       if select.select([fd], [], [], 1)[0]: said += os.read(fd, 4096)\n\
         \x20   said = said[said.index(what) + len(what):]\n\
         until(b'redc> ')\n\
         os.write(fd, b'sh pro ?'); until(b'just this one')\n\
         os.write(fd, b't\\t'); until(b'tor ')\n\
         os.write(fd, b'\\r'); until(b'Established'); until(b'redc> ')\n\
         os.write(fd, b'nonsense\\r'); until(b'is not understood here'); until(b'redc> ')\n\
         os.write(fd, b'quit\\r')\n\
         assert os.waitpid(pid, 0)[1] == 0\n\
         print('good')\n",
        program = words.get_program().to_string_lossy(),
        socket = socket.to_string_lossy(),
    );
    let output = std::process::Command::new("python3")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Where the input is no terminal, each line is a command.
    let mut redc = world.redc_command();
    let mut redc = redc
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    redc.stdin
        .take()
        .unwrap()
        .write_all(b"show status\nshow route count\n")
        .unwrap();
    let output = redc.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Daemon is up and running\n") && text.contains("Total: "),
        "{text}"
    );
}

#[test]
fn sessions_are_operated() {
    let world = world("redcoperate", 8);
    let outcome = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        let done: Vec<Operated> = world.ask(&words).unwrap();
        (done[0].peer.clone(), done[0].outcome.clone())
    };
    let done = |outcome: &str| ("tor".to_owned(), outcome.to_owned());
    let until = |what: &str, holds: &dyn Fn(&Protocol) -> bool| {
        wait::until(what, SOON, || {
            let now = tor(&world);
            ensure!(holds(&now), "{now:?}");
            Ok(())
        })
        .unwrap();
    };
    let before = tor(&world);
    assert_eq!(outcome("reload in tor"), done("done"));
    until("the routes came again", &|now| {
        now.messages.updates_in > before.messages.updates_in
    });
    assert_eq!(outcome("reload out all"), done("done"));
    until("the routes went again", &|now| {
        now.messages.updates_out > before.messages.updates_out
    });
    assert_eq!(tor(&world).established_count, 1);
    assert_eq!(world.redc("disable t*").unwrap(), "tor: disabled\n");
    until("it is down", &|now| now.state == "Idle" && now.disabled);
    assert_eq!(outcome("disable tor"), done("already"));
    assert_eq!(outcome("restart tor"), done("not-possible"));
    assert_eq!(outcome("reload tor"), done("not-possible"));
    assert_eq!(outcome("enable tor"), done("done"));
    until("it is up", &|now| now.state == "Established");
    let before = tor(&world);
    assert_eq!(outcome("restart tor"), done("done"));
    until("it is up again", &|now| {
        now.state == "Established" && now.established_count > before.established_count
    });
}
