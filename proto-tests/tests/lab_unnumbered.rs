//! Unnumbered peering with real routers: found by Router Advertisements, sessions over link-local
//! addresses, IPv4 routes with IPv6 next hops (RFC 8950), in both kernels.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use cable_world::{SOON, World};
use redstart_controller::control::views;
use redstart_proto_tests::lab::{kernel::RouteMonitor, process::Signal, wait};

/// FRR's side of two unnumbered links: no address, no AS number.
const FRR: &str = "hostname them\nlog stdout\n\
router bgp 65020\n bgp router-id 10.20.0.1\n no bgp ebgp-requires-policy\n \
no bgp network import-check\n timers bgp 80 240\n \
neighbor down1 interface remote-as external\n neighbor down1 timers connect 1\n \
neighbor down2 interface remote-as external\n neighbor down2 timers connect 1\n \
address-family ipv4 unicast\n  network 10.20.0.0/24\n exit-address-family\n \
address-family ipv6 unicast\n  neighbor down1 activate\n  neighbor down2 activate\n  \
network fd20::/64\n exit-address-family\n";

#[test]
fn frr_and_we_find_each_other_and_use_both_links() {
    let mut world = World::new("un-frr", 2).unwrap();
    world.put_peer("tor1", "up1", "").unwrap();
    world.put_peer("tor2", "up2", "").unwrap();
    world.start_frr(FRR).unwrap();
    world.start_redstart().unwrap();
    for n in 1..=2 {
        let there = world.link_local(&world.them, &format!("down{n}")).unwrap();
        let session = world.is(&format!("tor{n}"), "Established").unwrap();
        assert_eq!(session.interface, Some(format!("up{n}")));
        assert_eq!(session.remote.unwrap().ip().to_string(), there);
        assert_eq!(session.remote_as, Some(65020));
    }
    let here = [1, 2].map(|n| world.link_local(&world.us, &format!("up{n}")).unwrap());
    let there = [1, 2].map(|n| world.link_local(&world.them, &format!("down{n}")).unwrap());

    // Both families, both directions, both links.
    let legs = |v4: &str, via: &[String; 2], dev: &str| {
        [0, 1].map(|n| format!("via {v4}{} dev {dev}{}", via[n], n + 1))
    };
    for (netns, v4, v6, via, dev) in [
        (&world.us, "10.20.0.0/24", "fd20::/64", &there, "up"),
        (&world.them, "10.244.1.0/24", "fd44:1::/64", &here, "down"),
    ] {
        let [one, two] = legs("inet6 ", via, dev);
        world.routed(netns, v4, &[&one, &two], &[]).unwrap();
        let [one, two] = legs("", via, dev);
        world.routed(netns, v6, &[&one, &two], &[]).unwrap();
    }
    world.ping_both_ways().unwrap();
    world.has_problems(&[]).unwrap();

    let shown = world.vtysh("show bgp neighbors down1").unwrap();
    let both = "Extended nexthop: advertised and received";
    assert!(shown.contains(both), "{shown}");

    // One link goes down: its session ends long before the hold time is over, the other one does.
    world.them.ip(&["link set down1 down".to_owned()]).unwrap();
    let lost = world.is("tor1", "Idle").unwrap();
    assert!(lost.last_error.unwrap().contains("interface-down"));
    for prefix in ["10.20.0.0/24", "fd20::/64"] {
        world.routed(&world.us, prefix, &["up2"], &["up1"]).unwrap();
    }
    world
        .has_problems(&[("BGPPeer/tor1", "interface-down")])
        .unwrap();
    world.ping_both_ways().unwrap();
    // It comes back: both again, and neither waits for a timer.
    world.them.ip(&["link set down1 up".to_owned()]).unwrap();
    world.is("tor1", "Established").unwrap();
    for prefix in ["10.20.0.0/24", "fd20::/64"] {
        world
            .routed(&world.us, prefix, &["up1", "up2"], &[])
            .unwrap();
    }
    world.has_problems(&[]).unwrap();
    world.ping_both_ways().unwrap();
}

/// The first cable goes through a switch: taken out of it, neither end notices.
fn through_a_switch(world: &World) {
    let lines = [
        "link add switch type bridge",
        "link set switch up",
        "link set down1 master switch",
        "link add tor1 type veth peer name port1",
        "link set port1 master switch",
        "link set port1 up",
        "link set tor1 up",
    ];
    world.them.ip(&lines.map(str::to_owned)).unwrap();
}

/// Starts both ends of the two links, each watching the other, and neither so closely that a machine that
/// pauses fails. FRR's is slower.
fn start_watching(world: &mut World) {
    let profile = "apiVersion: redstart.dev/v1alpha1\nkind: BFDProfile\nmetadata: { name: lab }\n\
         spec: { receiveInterval: 100, transmitInterval: 100, detectMultiplier: 10 }\n";
    world.put("profile", profile).unwrap();
    for n in 1..=2 {
        let watched = "  bfd:\n    profile: lab\n";
        let (name, interface) = (format!("tor{n}"), format!("up{n}"));
        world.put_peer(&name, &interface, watched).unwrap();
    }
    let mut bgpd = FRR.replace("down1", "tor1");
    for interface in ["tor1", "down2"] {
        let line = format!("neighbor {interface} interface remote-as external\n ");
        assert!(bgpd.contains(&line), "{bgpd}");
        let lines = format!("{line}neighbor {interface} bfd profile lab\n ");
        bgpd = bgpd.replace(&line, &lines);
    }
    let bfdd = "log stdout\nbfd\n profile lab\n  receive-interval 120\n  transmit-interval 130\n  \
         detect-multiplier 12\n exit\nexit\n";
    world.start_frr_with_bfd(&bgpd, bfdd).unwrap();
    world.start_redstart().unwrap();
}

/// Waits until both sessions over a link are up, BFD's with the timers that both ends can bear.
fn is_watched(world: &World, n: u8) -> views::BfdSession {
    let (name, interface) = (format!("tor{n}"), format!("up{n}"));
    world.is(&name, "Established").unwrap();
    let watched = wait::until("BFD is up", SOON, || {
        let session = world.bfd(&name)?;
        let states = (session.state.as_str(), session.remote_state.as_str());
        let place = (session.hops.as_str(), session.interface.as_deref());
        let timers = (session.transmit_interval_ms, session.detection_time_ms);
        let right = states == ("Up", "Up")
            && place == ("single", Some(&*interface))
            && timers == (120, Some(1560));
        anyhow::ensure!(right, "{session:?}");
        Ok(session)
    });
    watched.unwrap().0
}

/// Both families go over these of our links, and not over those.
fn goes_over(world: &World, links: &[&str], not: &[&str]) {
    for prefix in ["10.20.0.0/24", "fd20::/64"] {
        world.routed(&world.us, prefix, links, not).unwrap();
    }
}

/// BFD over both links, where each end has nothing but a link-local address (RFC 5881): it comes up with
/// the timers of both ends, a link that falls silent ends its session long before the hold time, and not
/// the other one.
#[test]
fn frr_is_watched_by_bfd_over_links_with_link_local_addresses() {
    let mut world = World::new("un-bfd", 2).unwrap();
    through_a_switch(&world);
    start_watching(&mut world);
    let there = world.link_local(&world.them, "tor1").unwrap();
    assert_eq!(is_watched(&world, 1).remote.to_string(), there);
    is_watched(&world, 2);
    let here = world.link_local(&world.us, "up1").unwrap();
    let theirs = world.vtysh_of_bfd("show bfd peers brief").unwrap();
    let ours = theirs.lines().find(|line| line.contains(&here));
    assert!(ours.is_some_and(|line| line.contains("up")), "{theirs}");
    goes_over(&world, &["up1", "up2"], &[]);

    // Nothing comes through any more; the hold time is 240 seconds.
    let switch = |to: &str| world.them.ip(&[format!("link set port1 {to}")]).unwrap();
    switch("nomaster");
    wait::until("the session ends", SOON, || {
        let session = world.protocol("tor1")?;
        anyhow::ensure!(session.state != "Established", "{}", session.state);
        // The last error may already be that of the next attempt.
        let history: Vec<views::HistoryEntry> = world.ask(&["history", "tor1"])?;
        let end = history.iter().rfind(|entry| entry.event == "down");
        let is_bfd = end.is_some_and(|entry| entry.text.contains("bfd-down"));
        anyhow::ensure!(is_bfd, "{history:?}");
        Ok(())
    })
    .unwrap();
    let session = world.bfd("tor1").unwrap();
    let last = (session.failures, session.last_down.as_deref());
    assert_eq!(last, (1, Some("detection-time-expired")));
    goes_over(&world, &["up2"], &["up1"]);
    assert_eq!(world.bfd("tor2").unwrap().failures, 0);
    world.ping_both_ways().unwrap();

    switch("master switch");
    is_watched(&world, 1);
    goes_over(&world, &["up1", "up2"], &[]);
    assert_eq!(world.protocol("tor2").unwrap().established_count, 1);
}

/// BIRD's side: it says where it is, and is told where we are.
fn bird(us: &str) -> String {
    format!(
        "router id 10.20.0.1;\nlog stderr all;\nprotocol device {{ scan time 1; }}\n\
         protocol radv {{ interface \"down1\" {{ min ra interval 3; max ra interval 4; \
         default lifetime 0; }}; }}\n\
         protocol static s4 {{ ipv4; route 10.20.0.0/24 blackhole; }}\n\
         protocol static s6 {{ ipv6; route fd20::/64 blackhole; }}\n\
         protocol kernel k4 {{ ipv4 {{ export where source = RTS_BGP; }}; }}\n\
         protocol kernel k6 {{ ipv6 {{ export where source = RTS_BGP; }}; }}\n\
         protocol bgp node {{ local as 65020; neighbor {us}%down1 as 65010; direct;\n\
         ttl security on; password \"swordfish\"; connect retry time 1; hold time 9;\n\
         ipv4 {{ extended next hop; import all; export where source = RTS_STATIC; }};\n\
         ipv6 {{ import all; export where source = RTS_STATIC; }}; }}\n"
    )
}

#[test]
fn bird_with_radv_and_our_link_local_address() {
    let mut world = World::new("un-bird", 1).unwrap();
    let us = world.link_local(&world.us, "up1").unwrap();
    // GTSM and a password work over link-local addresses too.
    world
        .put_peer(
            "tor",
            "up1",
            "  ttlSecurity: 1\n  passwordSecretRef:\n    name: tor\n",
        )
        .unwrap();
    world
        .put(
            "secret",
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: tor\n  namespace: redstart-system\n\
             stringData:\n  password: swordfish\n",
        )
        .unwrap();
    world.start_bird(&bird(&us)).unwrap();
    world.start_redstart().unwrap();
    world.is("tor", "Established").unwrap();
    let them = world.link_local(&world.them, "down1").unwrap();
    world
        .routed(
            &world.us,
            "10.20.0.0/24",
            &[&format!("via inet6 {them} dev up1")],
            &[],
        )
        .unwrap();
    world
        .routed(
            &world.us,
            "fd20::/64",
            &[&format!("via {them} dev up1")],
            &[],
        )
        .unwrap();
    world
        .routed(
            &world.them,
            "10.244.1.0/24",
            &[&format!("via inet6 {us} dev down1")],
            &[],
        )
        .unwrap();
    world
        .routed(
            &world.them,
            "fd44:1::/64",
            &[&format!("via {us} dev down1")],
            &[],
        )
        .unwrap();
    world.ping_both_ways().unwrap();
    // BIRD says what it was told: the link-local address alone, for both families.
    let shown = world
        .birdc(&["show", "route", "all", "10.244.1.0/24"])
        .unwrap();
    assert!(shown.contains(&us), "{shown}");
}

#[test]
fn a_global_address_that_comes_later_changes_nothing() {
    let mut world = World::new("un-late", 1).unwrap();
    let us = world.link_local(&world.us, "up1").unwrap();
    world.put_peer("tor", "up1", "").unwrap();
    let config = bird(&us).replace("ttl security on; password \"swordfish\";", "");
    world.start_bird(&config).unwrap();
    world.start_redstart().unwrap();
    world.is("tor", "Established").unwrap();
    // BIRD shows a global address that is not there as `::`.
    let told = |prefixes: &[&str]| {
        for prefix in prefixes {
            world
                .bird_knows(prefix, &format!("BGP.next_hop: :: {us}\n"))
                .unwrap();
        }
    };
    told(&["10.244.1.0/24", "fd44:1::/64"]);
    world
        .us
        .ip(&["addr add fd10::1/64 dev up1".to_owned()])
        .unwrap();
    // The router has no address in that subnet, and could not use it as a next hop.
    world
        .put(
            "later",
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: later\n\
             spec:\n  podCIDRs: true\n  staticPrefixes: [10.99.99.0/24, \"fd99::/64\"]\n",
        )
        .unwrap();
    told(&["10.99.99.0/24", "fd99::/64", "10.244.1.0/24", "fd44:1::/64"]);
    assert_eq!(world.protocol("tor").unwrap().established_count, 1);
}

/// Our speaker goes and comes back while a router is reached by link-local addresses alone: it has to be
/// found again, and no route of either kernel changes. That the monitors hear is shown by
/// [`RouteMonitor::start`], and by the route that goes at the end.
fn restarted(world: &mut World, signal: Signal) {
    let routes = ["10.20.0.0/24", "fd20::/64"];
    let theirs = ["10.244.1.0/24", "fd44:1::/64"];
    let there = |world: &World| {
        for (prefix, other) in routes.into_iter().zip(theirs) {
            world.routed(&world.us, prefix, &["dev up1"], &[]).unwrap();
            world
                .routed(&world.them, other, &["dev down1"], &[])
                .unwrap();
        }
    };
    world.is("tor", "Established").unwrap();
    there(world);
    world.ping_both_ways().unwrap();
    let monitors = [&world.us, &world.them].map(|netns| RouteMonitor::start(netns).unwrap());
    world.end("redstart", signal).unwrap();
    world.ping_both_ways().unwrap();
    world.start_redstart().unwrap();
    let back = world.is("tor", "Established").unwrap();
    assert_eq!(back.established_count, 1, "a new process");
    // Nothing is stale any more: what was adopted is confirmed.
    wait::until("every route is confirmed", SOON, || {
        let kernel = world.status()?.kernel;
        match (kernel.installed >= 2, kernel.stale, kernel.pending) {
            (true, 0, 0) => Ok(()),
            _ => anyhow::bail!("{kernel:?}"),
        }
    })
    .unwrap();
    there(world);
    world.ping_both_ways().unwrap();
    for monitor in &monitors {
        assert_eq!(monitor.changes().unwrap(), [""; 0]);
    }
    // The control: a session that ends for good takes its routes along, and that is heard.
    world.put("tor", "").unwrap();
    wait::until("the monitors hear of it", SOON, || {
        for (monitor, route) in monitors.iter().zip([routes[0], theirs[0]]) {
            let changes = monitor.changes()?;
            let gone = |line: &String| line.starts_with("Deleted") && line.contains(route);
            if !changes.iter().any(gone) {
                anyhow::bail!("{changes:?}");
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_restart_beside_an_unnumbered_frr_changes_no_route() {
    let mut world = World::new("un-gr-frr", 1).unwrap();
    world.put_peer("tor", "up1", "").unwrap();
    let one = FRR.replace(
        " neighbor down2 interface remote-as external\n neighbor down2 timers connect 1\n",
        "",
    );
    let one = one.replace("  neighbor down2 activate\n", "");
    assert!(!one.contains("down2"), "{one}");
    world.start_frr(&one).unwrap();
    world.start_redstart().unwrap();
    restarted(&mut world, Signal::Terminate);
}

#[test]
fn a_crash_beside_an_unnumbered_bird_changes_no_route() {
    let mut world = World::new("un-gr-bird", 1).unwrap();
    let us = world.link_local(&world.us, "up1").unwrap();
    world.put_peer("tor", "up1", "").unwrap();
    let config = bird(&us).replace("ttl security on; password \"swordfish\";", "");
    let config = config.replace("hold time 9;", "hold time 240; graceful restart on;");
    world.start_bird(&config).unwrap();
    world.start_redstart().unwrap();
    restarted(&mut world, Signal::Kill);
}

/// Two interfaces on the other end of the cable, `lan` and `other`, behind a bridge; a BIRD says on both
/// that it is a router.
fn start_two_routers(world: &mut World) {
    world
        .them
        .ip(&[
            "link add lan type bridge",
            "link set lan up",
            "link set down1 master lan",
            "link add other type veth peer name port",
            "link set port master lan",
            "link set port up",
            "link set other up",
        ]
        .map(str::to_owned))
        .unwrap();
    let advertise = |n: &str| {
        format!(
            "interface \"{n}\" {{ min ra interval 3; max ra interval 4; default lifetime 0; }};"
        )
    };
    world
        .start_bird(&format!(
            "router id 10.20.0.1;\nlog stderr all;\nprotocol device {{ }}\n\
         protocol radv {{ {} {} }}\n",
            advertise("lan"),
            advertise("other"),
        ))
        .unwrap();
}

#[test]
fn what_keeps_a_router_from_being_found_is_said() {
    let mut world = World::new("un-say", 1).unwrap();
    world.put_peer("gone", "up9", "").unwrap();
    world.put_peer("tor", "up1", "").unwrap();
    world.start_redstart().unwrap();
    let problems = world
        .has_problems(&[
            ("BGPPeer/gone", "interface-missing"),
            ("BGPPeer/tor", "router-not-found"),
        ])
        .unwrap();
    assert!(
        problems.iter().all(|p| p.field == "spec.interface"),
        "{problems:?}"
    );
    let tor = world.is("tor", "Idle").unwrap();
    assert_eq!((tor.remote, tor.interface.as_deref()), (None, Some("up1")));
    assert!(tor.last_error.unwrap().contains("Router Advertisements"));

    // The interface appears, and on the other one two routers at once.
    world
        .us
        .ip(&["link add up9 type veth peer name up9b".to_owned()])
        .unwrap();
    start_two_routers(&mut world);
    let problems = world
        .has_problems(&[
            ("BGPPeer/gone", "interface-down"),
            ("BGPPeer/tor", "several-routers"),
        ])
        .unwrap();
    let found = world.protocol("tor").unwrap().remote.unwrap().ip();
    let [one, two] = ["lan", "other"].map(|n| world.link_local(&world.them, n).unwrap());
    assert!([&one, &two].contains(&&found.to_string()));
    assert!(problems[1].message.contains(&one) && problems[1].message.contains(&two));

    // An object that is gone takes its problem with it.
    world.put("gone", "").unwrap();
    wait::until("one neighbour is left", SOON, || {
        match world.protocol("gone") {
            Err(_) => Ok(()),
            Ok(_) => anyhow::bail!("still there"),
        }
    })
    .unwrap();
}
