//! The default gateway as a neighbour: a real BIRD that the kernel's default route leads to, in both
//! families, followed when the route changes.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use std::time::Duration;

use anyhow::Context as _;
use cable_world::{SOON, World};
use redstart_controller::control::views;
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

/// The session with a gateway is up.
fn is_up(world: &World, name: &str) -> views::Protocol {
    world.is(name, "Established").unwrap()
}

/// The neighbour that is a link-local gateway.
fn link_local_gateway(world: &World) -> String {
    let (name, _) = wait::until("a link-local gateway", SOON, || {
        let mut names = world.names()?.into_iter();
        let found = names.find(|name| name.starts_with("gw-ipv6-fe80::"));
        found.context("none")
    })
    .unwrap();
    name
}

fn ip(world: &World, lines: &[&str]) {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    world.us.ip(&lines).unwrap();
}

/// The session has been the same one all the time.
fn is_the_same(world: &World, before: &views::Protocol) {
    let after = world.protocol(&before.name).unwrap();
    assert_eq!((after.since, after.established_count), (before.since, 1));
}

/// Whoever is the default gateway is one router, whatever else leads to it: a listen range leaves it to the
/// gateway, and the gateway to the interface.
#[test]
fn a_router_that_several_objects_lead_to_has_one_session() {
    let mut world = world("shared");
    let us = world.link_local(&world.us, "up1").unwrap();
    let them = world.link_local(&world.them, "down1").unwrap();
    let radv = "protocol radv { interface \"down1\" { min ra interval 3; max ra interval 4; default lifetime 0; }; }\n";
    world.start_bird(&(bird(&us) + radv)).unwrap();
    let put = |world: &World, name: &str, spec: &str| {
        let manifest = format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: {{ name: {name} }}\nspec: {{ {spec}, asn: External }}\n"
        );
        world.put(name, &manifest).unwrap();
    };
    put(&world, "rack", "listenRange: { cidr: 10.30.0.0/24 }");
    world.start_redstart_at(&["10.30.0.1", "fd30::1"]).unwrap();
    is_up(&world, "rack-10.30.0.11");

    ip(
        &world,
        &[
            "route add default via 10.30.0.11",
            &format!("route add ::/0 via {them} dev up1"),
        ],
    );
    is_up(&world, "gw-ipv4-10.30.0.11");
    let link_local = link_local_gateway(&world);
    is_up(&world, &link_local);
    // The other router of the range is nobody's gateway.
    let neighbours = ["gw-ipv4-10.30.0.11", &link_local, "rack-10.30.0.12"];
    world.has_neighbours(&neighbours).unwrap();
    world.has_problems(&[]).unwrap();

    put(&world, "cable", "interface: up1");
    is_up(&world, "cable");
    world
        .has_problems(&[("BGPPeer/gw-ipv6", "duplicate-peer-address")])
        .unwrap();
    assert_eq!(world.protocol("gw-ipv6").unwrap().state, "Idle");
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

    ip(
        &world,
        &[
            "route add default via 10.30.0.11",
            "route add ::/0 via fd30::11",
        ],
    );
    is_up(&world, "gw-ipv4-10.30.0.11");
    let v6 = is_up(&world, "gw-ipv6-fd30::11");
    let us = &world.us;
    world
        .routed(us, "10.20.0.0/24", &["via 10.30.0.11"], &[])
        .unwrap();
    world
        .routed(us, "fd20::/64", &["via fd30::11"], &[])
        .unwrap();
    world.has_problems(&[]).unwrap();

    // Another gateway, and in the other family nothing happens.
    ip(&world, &["route replace default via 10.30.0.12"]);
    is_up(&world, "gw-ipv4-10.30.0.12");
    world
        .has_neighbours(&["gw-ipv4-10.30.0.12", "gw-ipv6-fd30::11"])
        .unwrap();
    world
        .routed(us, "10.20.0.0/24", &["via 10.30.0.12"], &["10.30.0.11"])
        .unwrap();
    is_the_same(&world, &v6);

    taken_away_and_put_back(
        &world,
        [
            ("default via 10.30.0.12", "gw-ipv4-10.30.0.12"),
            ("::/0 via fd30::11", "gw-ipv6-fd30::11"),
        ],
    );
    let v6 = several(&world, &them, &v6);
    link_local_and_gone(&world, &them, &v6);
    world.has_problems(&none).unwrap();
}

/// Each default route is taken away and put back, as by a restart of networkd: the session with its gateway
/// goes on, also when the time for which it was kept without the route is over.
fn taken_away_and_put_back(world: &World, defaults: [(&str, &str); 2]) {
    let before = defaults.map(|(_, name)| world.protocol(name).unwrap());
    let goes_on = |time| {
        let probe = || {
            for session in &before {
                is_the_same(world, session);
            }
            Ok(())
        };
        wait::holds("the sessions with the gateways", time, probe).unwrap();
    };
    for (route, _) in defaults {
        ip(world, &[&format!("route del {route}")]);
    }
    goes_on(Duration::from_secs(2));
    for (route, _) in defaults {
        ip(world, &[&format!("route add {route}")]);
    }
    goes_on(Duration::from_secs(11));
}

/// A second gateway beside the one of each family, and then the first one goes. Whoever stays a gateway
/// keeps its session. Returns the one of IPv6 that is left.
fn several(world: &World, them: &str, first_v6: &views::Protocol) -> views::Protocol {
    let first_v4 = world.protocol("gw-ipv4-10.30.0.12").unwrap();
    let both = "nexthop via 10.30.0.11 dev up1 nexthop via 10.30.0.12 dev up1";
    ip(
        world,
        &[
            &format!("route replace default {both}"),
            // IPv6 tells of the set when a gateway comes, and of the gateway alone when it goes.
            &format!("route append ::/0 via {them} dev up1"),
        ],
    );
    let second_v4 = is_up(world, "gw-ipv4-10.30.0.11");
    let second_v6 = is_up(world, &link_local_gateway(world));
    let via = format!("via {them} dev up1");
    for (prefix, says) in [
        ("10.20.0.0/24", ["via 10.30.0.11", "via 10.30.0.12"]),
        ("fd20::/64", ["via fd30::11", &via]),
    ] {
        world.routed(&world.us, prefix, &says, &[]).unwrap();
    }
    for first in [&first_v4, first_v6] {
        is_the_same(world, first);
    }
    world.has_problems(&[]).unwrap();

    ip(
        world,
        &[
            "route replace default via 10.30.0.11",
            "route del ::/0 via fd30::11",
        ],
    );
    world
        .has_neighbours(&[&second_v4.name, &second_v6.name])
        .unwrap();
    for (prefix, says, not) in [
        ("10.20.0.0/24", "via 10.30.0.11", "10.30.0.12"),
        ("fd20::/64", &via, "fd30::11"),
    ] {
        world.routed(&world.us, prefix, &[says], &[not]).unwrap();
    }
    for second in [&second_v4, &second_v6] {
        is_the_same(world, second);
    }
    second_v6
}

/// A route of another metric, which is worse and changes nothing, until it is the better one; then the
/// routes go, and the neighbours with them.
fn link_local_and_gone(world: &World, them: &str, link_local: &views::Protocol) {
    ip(world, &["route add ::/0 via fd30::11 metric 2000"]);
    is_the_same(world, link_local);
    ip(world, &[&format!("route del ::/0 via {them} dev up1")]);
    is_up(world, "gw-ipv6-fd30::11");
    world
        .routed(&world.us, "fd20::/64", &["via fd30::11"], &[them])
        .unwrap();
    ip(world, &["route del default", "route del ::/0 metric 2000"]);
    for prefix in ["10.20.0.0/24", "fd20::/64"] {
        world.routed(&world.us, prefix, &[], &["via"]).unwrap();
    }
}
