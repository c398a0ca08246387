//! A node of another rack by a reflector, and two routers that announce that rack: its pods are reached
//! through them, though the kernel has a default route that leads elsewhere. All three are one real BIRD.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use std::fmt::Write as _;

use cable_world::{SOON, World};
use redstart_proto_tests::lab::wait;

/// The pods of a node in another rack, by family, and a part of that rack.
const PODS: [&str; 2] = ["10.244.7.0/24", "fd44:7::/64"];
const RACK: [&str; 2] = ["10.40.0.0/24", "fd40::/64"];
/// The default gateways: nobody is there.
const DEFAULT: [&str; 2] = ["10.0.3.9", "fd00:3::9"];

fn world() -> World {
    let mut world = World::new("recursive", 3).unwrap();
    for n in 1..=3 {
        let add = |end: &str, host| {
            [
                format!("addr add 10.0.{n}.{host}/24 dev {end}{n}"),
                format!("addr add fd00:{n}::{host}/64 dev {end}{n}"),
            ]
        };
        world.us.ip(&add("up", 1)).unwrap();
        world.them.ip(&add("down", 2)).unwrap();
    }
    let far = [
        "10.40.0.7/32",
        "10.244.7.7/32",
        "fd40::7/128",
        "fd44:7::7/128",
    ];
    let far = far.map(|address| format!("addr add {address} dev lo"));
    world.them.ip(&far).unwrap();
    let defaults = DEFAULT.map(|gateway| format!("route add default via {gateway}"));
    world.us.ip(&defaults).unwrap();
    world.put_router("tor1", "10.0.1.2", "").unwrap();
    world.put_router("tor2", "10.0.2.2", "").unwrap();
    let reflector = "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: { name: reflector }\n\
        spec: { address: 10.0.3.2, asn: Internal }\n";
    world.put("reflector", reflector).unwrap();
    world.start_bird(&bird()).unwrap();
    world.start_redstart().unwrap();
    world
}

fn bird() -> String {
    let [pods4, pods6] = PODS;
    let [rack4, rack6] = RACK;
    let mut config = format!(
        "router id 10.20.0.1;\nlog stderr all;\nprotocol device {{ scan time 1; }}\n\
         protocol static rack4 {{ ipv4; route {rack4} blackhole; }}\n\
         protocol static rack6 {{ ipv6; route {rack6} blackhole; }}\n\
         protocol static pods4 {{ ipv4; route {pods4} blackhole; }}\n\
         protocol static pods6 {{ ipv6; route {pods6} blackhole; }}\n\
         filter node4 {{ if proto = \"pods4\" then {{ bgp_next_hop = 10.40.0.7; accept; }} reject; }}\n\
         filter node6 {{ if proto = \"pods6\" then {{ bgp_next_hop = fd40::7; accept; }} reject; }}\n"
    );
    let sessions = [
        (
            1,
            "tor1",
            65020,
            ["where proto = \"rack4\"", "where proto = \"rack6\""],
        ),
        (
            2,
            "tor2",
            65020,
            ["where proto = \"rack4\"", "where proto = \"rack6\""],
        ),
        (3, "reflector", 65010, ["filter node4", "filter node6"]),
    ];
    for (n, name, asn, [export4, export6]) in sessions {
        write!(
            config,
            "protocol bgp {name} {{ local 10.0.{n}.2 as {asn}; neighbor 10.0.{n}.1 as 65010; direct;\n\
             connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
             ipv4 {{ import all; export {export4}; next hop keep; }};\n\
             ipv6 {{ import all; export {export6}; next hop keep; next hop address fd00:{n}::2; }}; }}\n"
        )
        .unwrap();
    }
    config
}

/// The pods' routes in the kernel lead to these and not to those, in both families.
#[track_caller]
fn lead(world: &World, to: &[[&str; 2]], not: &[[&str; 2]]) {
    for family in 0..2 {
        let via = |gateways: &[[&str; 2]]| -> Vec<String> {
            let gateways = gateways.iter();
            gateways.map(|g| format!("via {} dev", g[family])).collect()
        };
        let (says, says_not) = (via(to), via(not));
        let says: Vec<&str> = says.iter().map(String::as_str).collect();
        let says_not: Vec<&str> = says_not.iter().map(String::as_str).collect();
        world
            .routed(&world.us, PODS[family], &says, &says_not)
            .unwrap();
    }
}

/// How `redc explain` begins to say where the pods' next hop leads.
fn explained(world: &World, address: &str, says: &str) {
    wait::until(&format!("{address}: {says}"), SOON, || {
        let text = world.redc(&format!("explain {address}"))?;
        anyhow::ensure!(text.contains(says), "{text}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn pods_of_another_rack_are_reached_through_the_routers_that_announce_it() {
    let world = world();
    let (first, second) = (["10.0.1.2", "fd00:1::2"], ["10.0.2.2", "fd00:2::2"]);
    for name in ["tor1", "tor2", "reflector"] {
        world.is(name, "Established").unwrap();
    }
    lead(&world, &[first, second], &[DEFAULT]);
    explained(
        &world,
        "10.244.7.7",
        "its next hop is reached through 10.40.0.0/24",
    );
    for address in ["10.244.7.7", "fd44:7::7"] {
        let (answered, _) = wait::until("a pod of the other rack answers", SOON, || {
            world.us.output("ping", &["-c", "1", "-W", "1", address])
        })
        .unwrap();
        assert!(answered.contains(" 0% packet loss"), "{answered}");
    }

    // A cable is pulled: what is reached through the rack moves along.
    world.them.ip(&["link set down1 down".to_owned()]).unwrap();
    lead(&world, &[second], &[first, DEFAULT]);
    world.them.ip(&["link set down1 up".to_owned()]).unwrap();
    // An IPv6 address goes with its link.
    let again = "addr replace fd00:1::2/64 dev down1".to_owned();
    world.them.ip(&[again]).unwrap();
    lead(&world, &[first, second], &[DEFAULT]);

    // Neither router announces the rack: the default route leads there, and without one nothing does.
    world.birdc(&["disable", "\"rack*\""]).unwrap();
    lead(&world, &[DEFAULT], &[first, second]);
    let lost = world
        .us
        .output("ping", &["-c", "1", "-W", "1", "10.244.7.7"]);
    assert!(lost.is_err(), "nobody has the default gateway's address");
    let silent = "via 10.0.3.9 on up3, which does not answer (ARP, Neighbour Discovery)";
    explained(&world, "10.244.7.7", silent);
    let kernel = world.redc("show kernel").unwrap();
    let says = "No answer (ARP, Neighbour Discovery): via 10.0.3.9 on up3\n";
    assert!(kernel.contains(says), "{kernel}");
    let gone = DEFAULT.map(|gateway| format!("route del default via {gateway}"));
    world.us.ip(&gone).unwrap();
    for prefix in PODS {
        wait::until("the route is gone", SOON, || {
            let family = if prefix.contains(':') { "-6" } else { "-4" };
            let text = world.us.output("ip", &[family, "route", "show", prefix])?;
            anyhow::ensure!(text.is_empty(), "{text}");
            Ok(())
        })
        .unwrap();
    }
    explained(
        &world,
        "10.244.7.7",
        "the kernel has no route to its next hop",
    );

    world.birdc(&["enable", "\"rack*\""]).unwrap();
    lead(&world, &[first, second], &[DEFAULT]);
    for name in ["tor2", "reflector"] {
        assert_eq!(world.protocol(name).unwrap().established_count, 1, "{name}");
    }
}

/// Gives the speaker other settings for the kernel.
fn configure(world: &World, kernel: &str) {
    let manifest = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata: {{ name: default }}\n\
         spec: {{ asn: 65010, mesh: {{ mode: None }}, kernel: {{ {kernel} }}, timers: {{ connectRetrySeconds: 1, holdTimeSeconds: 240 }} }}\n"
    );
    world.put("configuration", &manifest).unwrap();
}

/// Waits until the routes of both families in the kernel say this.
#[track_caller]
fn say(world: &World, says: [&[&str]; 2]) {
    for (prefix, says) in PODS.into_iter().zip(says) {
        world.routed(&world.us, prefix, says, &[]).unwrap();
    }
}

#[test]
fn static_routes_lead_with_their_weights_on_link_and_from_a_table_of_their_own() {
    let world = world();
    let ip = |lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        world.us.ip(&lines).unwrap();
    };
    for name in ["tor1", "tor2", "reflector"] {
        world.is(name, "Established").unwrap();
    }
    let (tor1, tor2) = (["10.0.1.2", "fd00:1::2"], ["10.0.2.2", "fd00:2::2"]);
    lead(&world, &[tor1, tor2], &[DEFAULT]);

    // As long as what is learned, and the kernel's own: that leads.
    ip(&[
        "route add 10.40.0.0/24 nexthop via 10.0.1.2 weight 3 nexthop via 10.0.3.2 weight 1",
        "route add fd40::/64 nexthop via fd00:1::2 dev up1 weight 3 nexthop via fd00:3::2 dev up3 weight 1",
    ]);
    let weighted: [&[&str]; 2] = [
        &[
            "via 10.0.1.2 dev up1 weight 3",
            "via 10.0.3.2 dev up3 weight 1",
        ],
        &[
            "via fd00:1::2 dev up1 weight 3",
            "via fd00:3::2 dev up3 weight 1",
        ],
    ];
    say(&world, weighted);
    configure(&world, "nextHops: { resilient: { buckets: 256 } }");
    wait::until("a resilient group", SOON, || {
        let groups = world
            .us
            .output("ip", &["nexthop", "show", "proto", "186"])?;
        anyhow::ensure!(groups.contains("type resilient buckets 256"), "{groups}");
        Ok(())
    })
    .unwrap();
    say(&world, weighted);

    // A gateway in no subnet of ours.
    ip(&[
        "route del 10.40.0.0/24",
        "route del fd40::/64",
        "route add 10.40.0.0/24 via 172.31.9.9 dev up2 onlink",
        "route add fd40::/64 via fd99::9 dev up2 onlink",
    ]);
    say(
        &world,
        [
            &["via 172.31.9.9 dev up2", "onlink"],
            &["via fd99::9 dev up2", "onlink"],
        ],
    );

    another_table_leads(&world);
    for name in ["tor1", "tor2", "reflector"] {
        assert_eq!(world.protocol(name).unwrap().established_count, 1, "{name}");
    }
}

/// Other routes than those of the main table lead to next hops, and ours are beside them.
fn another_table_leads(world: &World) {
    let lines = [
        "route add 10.40.0.0/24 via 10.0.3.2 dev up3 table 100",
        "route add fd40::/64 via fd00:3::2 dev up3 table 100",
    ];
    world.us.ip(&lines.map(str::to_owned)).unwrap();
    configure(world, "table: 100, nextHopTable: 100");
    for (prefix, via) in PODS.into_iter().zip(["10.0.3.2", "fd00:3::2"]) {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        wait::until("the route is in the other table", SOON, || {
            let show = |table| {
                world
                    .us
                    .output("ip", &[family, "route", "show", prefix, "table", table])
            };
            let (there, main) = (show("100")?, show("main")?);
            let right = there.contains(&format!("via {via} dev up3")) && main.is_empty();
            anyhow::ensure!(right, "{there}\n{main}");
            Ok(())
        })
        .unwrap();
    }
}
