//! A node gets its second address while its sessions are up, with a real router at the other end.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use anyhow::Context as _;
use cable_world::{SOON, World};
use redstart_proto_tests::lab::wait;

/// One session over IPv4 for both families.
const BIRD: &str = "router id 10.20.0.1;\nlog stderr all;\ntimeformat protocol iso long ms;\n\
protocol device { scan time 1; }\n\
protocol kernel k4 { ipv4 { export where source = RTS_BGP; }; }\n\
protocol kernel k6 { ipv6 { export where source = RTS_BGP; }; }\n\
protocol static s4 { ipv4; route 10.20.0.0/24 blackhole; }\n\
protocol static s6 { ipv6; route fd20::/64 blackhole; }\n\
protocol bgp node { local 10.0.0.2 as 65020; neighbor 10.0.0.1 as 65010;\n\
connect retry time 1; hold time 240;\n\
ipv4 { import all; export where source = RTS_STATIC; };\n\
ipv6 { import all; export where source = RTS_STATIC; }; }\n";

#[test]
fn dual_stack_is_switched_on_under_a_session_that_stays() {
    let mut world = World::new("oe-bird", 1).unwrap();
    let add = |addresses: [&str; 2], dev: &str| {
        addresses.map(|address| format!("addr add {address} dev {dev}"))
    };
    world
        .us
        .ip(&add(["10.0.0.1/24", "fd10::1/64"], "up1"))
        .unwrap();
    world
        .them
        .ip(&add(["10.0.0.2/24", "fd10::2/64"], "down1"))
        .unwrap();
    world.put_router("tor", "10.0.0.2", "").unwrap();
    world.start_bird(BIRD).unwrap();
    world.start_redstart().unwrap();
    let before = world.is("tor", "Established").unwrap();
    assert_eq!(before.families.len(), 2, "{:?}", before.families);
    world
        .bird_knows("10.244.1.0/24", "BGP.next_hop: 10.0.0.1\n")
        .unwrap();
    let up_since = || world.birdc(&["show", "protocols", "node"]).unwrap();
    let session = up_since();
    assert!(session.contains("Established"), "{session}");
    let known = world.birdc(&["show", "route", "table", "master6"]).unwrap();
    assert!(known.contains("fd20::/64"), "{known}");
    assert!(!known.contains("fd44:1::/64"), "no next hop yet: {known}");

    world.put_node(&["10.99.0.1", "fd10::1"]).unwrap();
    world
        .bird_knows("fd44:1::/64", "BGP.next_hop: fd10::1\n")
        .unwrap();
    let there = ["via fd10::1 dev down1"];
    world
        .routed(&world.them, "fd44:1::/64", &there, &[])
        .unwrap();
    world
        .routed(&world.us, "fd20::/64", &["dev up1"], &[])
        .unwrap();
    world.ping_both_ways().unwrap();

    // Renumbered: the route moves, the session does not.
    world.put_node(&["10.99.0.1", "fd10::9"]).unwrap();
    world
        .bird_knows("fd44:1::/64", "BGP.next_hop: fd10::9\n")
        .unwrap();
    assert_eq!(up_since(), session);
    let after = world.protocol("tor").unwrap();
    assert_eq!((after.established_count, after.since), (1, before.since));
}

/// The BGP Identifier of a node without an IPv4 address is made of its name, and stays that when the
/// node gets one: also over a crash of the speaker.
#[test]
fn an_ipv6_only_node_keeps_its_identifier_and_its_sessions_when_it_gets_an_ipv4_address() {
    let mut world = World::new("oe-id", 1).unwrap();
    for (netns, dev, n) in [(&world.us, "up1", 1), (&world.them, "down1", 2)] {
        let addresses = [format!("10.0.0.{n}/24"), format!("fd10::{n}/64")];
        let lines = addresses.map(|address| format!("addr add {address} dev {dev}"));
        netns.ip(&lines).unwrap();
    }
    world.put_router("tor", "fd10::2", "").unwrap();
    let over_v6 = BIRD
        .replace("local 10.0.0.2", "local fd10::2")
        .replace("neighbor 10.0.0.1", "neighbor fd10::1");
    world.start_bird(&over_v6).unwrap();
    world.start_redstart_at(&["fd10::1"]).unwrap();
    let before = world.is("tor", "Established").unwrap();
    // It says so only while the session is up, which we may know before it does.
    let our_id = |world: &World| {
        let said = wait::until("BIRD's session", SOON, || {
            let text = world.birdc(&["show", "protocols", "all", "node"])?;
            let line = text.lines().find(|line| line.contains("Neighbor ID"));
            Ok(line.with_context(|| text.clone())?.trim().to_owned())
        });
        said.unwrap().0
    };
    world
        .bird_knows("fd44:1::/64", "BGP.next_hop: fd10::1 ")
        .unwrap();
    let id = our_id(&world);
    let up_since = world.birdc(&["show", "protocols", "node"]).unwrap();

    world.put_node(&["fd10::1", "10.0.0.1"]).unwrap();
    world
        .bird_knows("10.244.1.0/24", "BGP.next_hop: 10.0.0.1\n")
        .unwrap();
    assert_eq!(
        world.birdc(&["show", "protocols", "node"]).unwrap(),
        up_since
    );
    let after = world.protocol("tor").unwrap();
    assert_eq!((after.established_count, after.since), (1, before.since));

    world.kill("redstart").unwrap();
    world.start_redstart_at(&["fd10::1", "10.0.0.1"]).unwrap();
    world.is("tor", "Established").unwrap();
    assert_eq!(our_id(&world), id);
}
