//! Listen ranges with real routers: they come, are turned away where there is no place left or the
//! password is another, and go, by the Cease of a BIRD and the death of an FRR.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use cable_world::{SOON, World};
use redstart_proto_tests::lab::wait;

/// The cable gets addresses, so many at each end: a BIRD has no two sessions with one address.
fn world(name: &str, routers: u8) -> World {
    let world = World::new(name, 1).unwrap();
    let addresses = |tens: &str, link: &str| -> Vec<String> {
        (1..=routers)
            .map(|n| format!("addr add 10.30.0.{tens}{n}/24 dev {link}"))
            .collect()
    };
    world.us.ip(&addresses("", "up1")).unwrap();
    world.them.ip(&addresses("1", "down1")).unwrap();
    world
}

/// One BIRD, which stands for several routers: each has an address, a prefix and a session.
fn bird(routers: &[(u8, &str)]) -> String {
    let mut text =
        "router id 10.20.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n".to_owned();
    for (n, password) in routers {
        text.push_str(&format!(
            "protocol static s{n} {{ ipv4; route 10.20.{n}.0/24 blackhole; }}\n\
             protocol bgp m{n} {{ disabled; local 10.30.0.1{n} as 6501{n};\n\
             neighbor 10.30.0.{n} as 65010; direct; password \"{password}\";\n\
             connect delay time 1; connect retry time 1; error wait time 1, 2;\n\
             ipv4 {{ import all; export where proto = \"s{n}\"; }}; }}\n"
        ));
    }
    text
}

/// Whether BIRD shows a session as Established.
fn established(world: &World, n: u8) -> Result<()> {
    let shown = world.birdc(&["show", "protocols", &format!("m{n}")])?;
    ensure!(shown.contains("Established"), "{shown}");
    Ok(())
}

/// Waits until it does: we may know before BIRD does.
fn until_established(world: &World, n: u8) {
    wait::until("BIRD's session", SOON, || established(world, n)).unwrap();
}

/// Has BIRD enable or disable a session.
fn turn(world: &World, word: &str, n: u8) {
    wait::until("BIRD obeys", SOON, || {
        world.birdc(&[word, &format!("m{n}")])
    })
    .unwrap();
}

/// It has a session, and routes go both ways.
fn is_member(world: &World, n: u8) {
    let member = world
        .is(&format!("rack-10.30.0.1{n}"), "Established")
        .unwrap();
    assert_eq!(member.remote_as, Some(65010 + u32::from(n)));
    assert_eq!(member.range.unwrap().name, "rack");
    let [prefix, via] = [format!("10.20.{n}.0/24"), format!("via 10.30.0.1{n}")];
    world.routed(&world.us, &prefix, &[&via], &[]).unwrap();
    let protocol = format!("m{n}");
    wait::until("our route arrives there", SOON, || {
        let words = ["show", "route", "10.244.1.0/24", "protocol", &protocol];
        let shown = world.birdc(&words)?;
        ensure!(shown.contains("10.244.1.0/24"), "{shown}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn birds_come_as_long_as_there_is_room_and_make_room_when_they_go() {
    let mut world = world("rg-bird", 4);
    world.put_range("rack", "10.30.0.0/27", 2).unwrap();
    let right = "swordfish";
    let routers = [(1, right), (2, right), (3, right), (4, "another")];
    world.start_bird(&bird(&routers)).unwrap();
    world.start_redstart().unwrap();

    // With another password nobody gets in, and takes no place.
    turn(&world, "enable", 4);
    for n in [1, 2] {
        turn(&world, "enable", n);
        is_member(&world, n);
    }
    world
        .has_neighbours(&["rack-10.30.0.11", "rack-10.30.0.12"])
        .unwrap();

    // The third is told that there is no place, and asks again.
    turn(&world, "enable", 3);
    wait::until("BIRD is told why", SOON, || {
        let log = world.log("bird");
        ensure!(log.contains("m3: Received: Connection rejected"), "{log}");
        Ok(())
    })
    .unwrap();
    assert!(established(&world, 3).is_err());
    let ranges = world.status().unwrap().ranges;
    let places: Vec<_> = ranges.iter().map(|r| (r.neighbours, r.limit)).collect();
    assert_eq!(places, [(2, 2)]);

    // One goes: so do its routes, and the third takes its place.
    turn(&world, "disable", 1);
    world
        .has_neighbours(&["rack-10.30.0.12", "rack-10.30.0.13"])
        .unwrap();
    world.is("rack-10.30.0.13", "Established").unwrap();
    until_established(&world, 3);
    world
        .routed(&world.us, "10.20.3.0/24", &["via 10.30.0.13"], &[])
        .unwrap();
    world
        .routed(&world.us, "10.20.1.0/24", &[], &["via"])
        .unwrap();
    established(&world, 2).unwrap();

    // The object goes, and everybody with it.
    world.put("rack", "").unwrap();
    world.has_neighbours(&[]).unwrap();
    world
        .routed(&world.us, "10.20.3.0/24", &[], &["via"])
        .unwrap();
}

/// FRR's side: one neighbour, which it dials from its address.
const FRR: &str = "hostname them\nlog stdout\n\
router bgp 65011\n bgp router-id 10.20.0.1\n no bgp ebgp-requires-policy\n \
no bgp network import-check\n bgp graceful-restart\n bgp graceful-restart restart-time 1\n \
neighbor 10.30.0.1 remote-as 65010\n neighbor 10.30.0.1 password another\n \
neighbor 10.30.0.1 timers connect 1\n \
address-family ipv4 unicast\n  network 10.20.0.0/24\n exit-address-family\n";

#[test]
fn an_frr_comes_with_the_right_password_and_is_forgotten_after_it_died() {
    let mut world = world("rg-frr", 1);
    world.put_range("rack", "10.30.0.0/24", 10).unwrap();
    world.start_frr(FRR).unwrap();
    world.start_redstart().unwrap();
    wait::until("the speaker answers", SOON, || world.status()).unwrap();
    wait::holds("nobody gets in", Duration::from_secs(3), || {
        match &world.names()?[..] {
            [] => Ok(()),
            names => bail!("{names:?}"),
        }
    })
    .unwrap();

    world
        .vtysh_configure(&["router bgp 65011", "neighbor 10.30.0.1 password swordfish"])
        .unwrap();
    let member = world.is("rack-10.30.0.11", "Established").unwrap();
    assert_eq!(member.remote_as, Some(65011));
    world
        .routed(&world.us, "10.20.0.0/24", &["via 10.30.0.11"], &[])
        .unwrap();
    world
        .routed(&world.them, "10.244.1.0/24", &["via 10.30.0.1"], &[])
        .unwrap();

    // It dies: its routes stay for its restart time, then it is forgotten.
    world.kill("bgpd").unwrap();
    world.has_neighbours(&[]).unwrap();
    world
        .routed(&world.us, "10.20.0.0/24", &[], &["via"])
        .unwrap();
}
