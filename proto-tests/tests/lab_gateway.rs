//! The default gateway as a neighbour: a real BIRD that the kernel's default route leads to, in both
//! families, followed when the route changes.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use anyhow::{Result, ensure};
use cable_world::{SOON, World};
use redstart_proto_tests::lab::wait;

/// A node and two routers on one cable; both routers are one BIRD.
fn world(name: &str) -> World {
    let world = World::new(name, 1).unwrap();
    let lines = |addresses: &[&str], link: &str| -> Vec<String> {
        let addresses = addresses.iter();
        addresses
            .map(|a| format!("addr add {a} dev {link}"))
            .collect()
    };
    let us = ["10.30.0.1/24", "10.30.0.2/24", "fd30::1/64"];
    let them = [
        "10.30.0.11/24",
        "10.30.0.12/24",
        "fd30::11/64",
        "fd30::12/64",
    ];
    world.us.ip(&lines(&us, "up1")).unwrap();
    world.them.ip(&lines(&them, "down1")).unwrap();
    // BIRD has no two sessions with one address.
    let second = "route add 10.30.0.12/32 dev up1 src 10.30.0.2";
    world.us.ip(&[second.to_owned()]).unwrap();
    for family in ["IPv4", "IPv6"] {
        let name = family.to_lowercase();
        let manifest = format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: {{ name: gw-{name} }}\nspec: {{ defaultGateway: {family}, asn: External }}\n"
        );
        world.put(&format!("gw-{name}"), &manifest).unwrap();
    }
    world
}

/// BIRD as both routers.
fn bird(link_local: &str) -> String {
    let session = |name: &str, local: &str, us: &str, channel: &str, own: &str| {
        format!(
            "protocol bgp {name} {{ local {local} as 65020; neighbor {us} as 65010; direct;\n\
             connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
             {channel} {{ import all; export where proto = \"{own}\"; }}; }}\n"
        )
    };
    "router id 10.20.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n\
     protocol static s4 { ipv4; route 10.20.0.0/24 blackhole; }\n\
     protocol static s6 { ipv6; route fd20::/64 blackhole; }\n"
        .to_owned()
        + &session("a4", "10.30.0.11", "10.30.0.1", "ipv4", "s4")
        + &session("b4", "10.30.0.12", "10.30.0.2", "ipv4", "s4")
        + &session("a6", "fd30::11", "fd30::1", "ipv6", "s6")
        + &format!(
            "protocol bgp l6 {{ local as 65020; neighbor {link_local}%down1 as 65010; direct;\n\
             connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
             ipv6 {{ import all; export where proto = \"s6\"; }}; }}\n"
        )
}

/// The session is with this address.
fn is_with(world: &World, name: &str, address: &str) {
    wait::until("the gateway is the neighbour", SOON, || -> Result<()> {
        let protocol = world.protocol(name)?;
        let remote = protocol.remote.map(|remote| remote.ip().to_string());
        ensure!(remote.as_deref() == Some(address), "{remote:?}");
        ensure!(protocol.state == "Established", "{}", protocol.state);
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_default_gateway_is_the_neighbour_and_is_followed() {
    let mut world = world("gateway");
    let us = world.link_local(&world.us, "up1").unwrap();
    let them = world.link_local(&world.them, "down1").unwrap();
    world.start_bird(&bird(&us)).unwrap();
    world.start_redstart_at(&["10.30.0.1", "fd30::1"]).unwrap();

    // No default route: no neighbour, and that is said.
    let none = [
        ("BGPPeer/gw-ipv4", "no-default-gateway"),
        ("BGPPeer/gw-ipv6", "no-default-gateway"),
    ];
    world.has_problems(&none).unwrap();
    assert_eq!(world.protocol("gw-ipv4").unwrap().state, "Idle");

    world
        .us
        .ip(&[
            "route add default via 10.30.0.11",
            "route add ::/0 via fd30::11",
        ]
        .map(str::to_owned))
        .unwrap();
    is_with(&world, "gw-ipv4", "10.30.0.11");
    is_with(&world, "gw-ipv6", "fd30::11");
    world
        .routed(&world.us, "10.20.0.0/24", &["via 10.30.0.11"], &[])
        .unwrap();
    world
        .routed(&world.us, "fd20::/64", &["via fd30::11"], &[])
        .unwrap();
    world.has_problems(&[]).unwrap();
    let before = world.protocol("gw-ipv6").unwrap();

    // Another gateway, and in the other family nothing happens.
    world
        .us
        .ip(&["route replace default via 10.30.0.12".to_owned()])
        .unwrap();
    is_with(&world, "gw-ipv4", "10.30.0.12");
    world
        .routed(
            &world.us,
            "10.20.0.0/24",
            &["via 10.30.0.12"],
            &["10.30.0.11"],
        )
        .unwrap();
    let after = world.protocol("gw-ipv6").unwrap();
    assert_eq!((after.since, after.established_count), (before.since, 1));

    link_local_and_gone(&world, &them);
    world.has_problems(&none).unwrap();
}

/// A better route of another metric, whose gateway is link-local as Router Advertisements bring it; then
/// the routes go, and the neighbours with them.
fn link_local_and_gone(world: &World, them: &str) {
    world
        .us
        .ip(&[format!("route add ::/0 via {them} dev up1 metric 10")])
        .unwrap();
    is_with(world, "gw-ipv6", them);
    let via = format!("via {them} dev up1");
    world
        .routed(&world.us, "fd20::/64", &[&via], &["fd30::11"])
        .unwrap();

    world
        .us
        .ip(&[
            "route del default",
            "route del ::/0 metric 10",
            "route del ::/0 via fd30::11",
        ]
        .map(str::to_owned))
        .unwrap();
    world
        .routed(&world.us, "10.20.0.0/24", &[], &["via"])
        .unwrap();
    world.routed(&world.us, "fd20::/64", &[], &["via"]).unwrap();
}
