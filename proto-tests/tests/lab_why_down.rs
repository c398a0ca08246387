//! `redc why-down` with real neighbours: what is named is what is the matter.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]
#![allow(
    clippy::too_many_lines,
    reason = "what happens one after the other is read from top to bottom"
)]

mod cable_world;

use std::time::Duration;

use anyhow::ensure;
use cable_world::{SOON, World};
use redstart_controller::control::views::{HistoryEntry, WhyDown};
use redstart_proto_tests::lab::wait;

/// A password for a BGPPeer.
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: key\n  namespace: \
                      redstart-system\nstringData:\n  password: swordfish\n";
const PASSWORD: &str = "  passwordSecretRef:\n    name: key\n";

/// A BIRD with a route, and with this in its configuration of the session.
fn bird_with(options: &str) -> String {
    format!(
        "router id 10.20.0.1;\nlog stderr all;\nprotocol device {{ scan time 1; }}\n\
         protocol bgp node {{ local 10.30.0.11 as 65020; neighbor 10.30.0.1 as 65010; direct;\n\
         connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 240;\n\
         {options} ipv4 {{ import all; export all; }}; }}\n\
         protocol static {{ ipv4; route 20.0.0.0/24 blackhole; }}\n"
    )
}

/// Waits until the first cause that is named for `tor` is this one.
fn is_down_because(world: &World, cause: &str) {
    wait::until(&format!("why-down says {cause}"), SOON, || {
        let why: WhyDown = world.ask(&["why-down", "tor"])?;
        let first = why.causes.first().map(|cause| cause.id.as_str());
        ensure!(first == Some(cause), "{why:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn why_down_names_each_cause_with_bird() {
    let mut world = World::addressed("whybird").unwrap();
    world.put("secret", SECRET).unwrap();
    world.put_router("tor", "10.30.0.11", "").unwrap();
    world.start_redstart_at(&["10.30.0.1"]).unwrap();
    is_down_because(&world, "nobody-listening");

    // Nothing answers.
    world
        .them
        .ip(&["route add blackhole 10.30.0.1".to_owned()])
        .unwrap();
    is_down_because(&world, "no-answer");
    world
        .them
        .ip(&["route del blackhole 10.30.0.1".to_owned()])
        .unwrap();

    // It is there, and what it wants is another thing each time.
    world
        .start_bird(&bird_with("password \"sesame\";"))
        .unwrap();
    is_down_because(&world, "md5-only-there");
    world.put_router("tor", "10.30.0.11", PASSWORD).unwrap();
    is_down_because(&world, "md5-mismatch");
    world.put_router("tor", "10.30.0.11", "").unwrap();
    world
        .configure_bird(&bird_with("").replace("as 65010", "as 65011"))
        .unwrap();
    is_down_because(&world, "bad-peer-as-there");
    world
        .configure_bird(&bird_with("").replace("10.30.0.1 as", "10.30.0.9 as"))
        .unwrap();
    wait::until("it is not known there", SOON, || {
        let why: WhyDown = world.ask(&["why-down", "tor"])?;
        let first = why.causes.first().map(|cause| cause.id.as_str());
        ensure!(
            matches!(first, Some("closed-before-open" | "not-wanted-there")),
            "{why:?}"
        );
        Ok(())
    })
    .unwrap();

    // With a session there is nothing to explain, but for what was agreed on.
    world.configure_bird(&bird_with("")).unwrap();
    world.is("tor", "Established").unwrap();
    let why: WhyDown = world.ask(&["why-down", "tor"]).unwrap();
    assert_eq!(why.causes, []);
    for list in [&why.offered, &why.offered_by_peer, &why.agreed] {
        assert!(list.contains(&"route-refresh".to_owned()), "{why:?}");
    }
    world.redc("disable tor").unwrap();
    is_down_because(&world, "disabled");
    world.redc("enable tor").unwrap();
    world.is("tor", "Established").unwrap();

    wait::until("the history is whole", SOON, || {
        let history: Vec<HistoryEntry> = world.ask(&["history", "tor"])?;
        let events: Vec<&str> = history.iter().map(|entry| entry.event.as_str()).collect();
        for event in [
            "attempt-failed",
            "state",
            "up",
            "operator",
            "down",
            "update-received",
            "end-of-rib-received",
        ] {
            ensure!(events.contains(&event), "no {event} in {events:?}");
        }
        Ok(())
    })
    .unwrap();

    // Addresses that are not where they should be.
    world
        .put_router("tor", "10.30.0.11", "  sourceAddress: 10.30.0.77\n")
        .unwrap();
    is_down_because(&world, "local-address-not-available");
    world
        .us
        .ip(&["addr add 10.30.0.2/24 dev up1".to_owned()])
        .unwrap();
    world.put_router("tor", "10.30.0.2", "").unwrap();
    is_down_because(&world, "own-address");
    // The Node's own address: no session is made of such an object.
    world.put_router("tor", "10.30.0.1", "").unwrap();
    is_down_because(&world, "own-address");
    world.put_router("tor", "192.0.2.99", "").unwrap();
    is_down_because(&world, "no-route");
}

/// Over some attempts more.
fn stays_down_because(world: &World, cause: &str) {
    let says = format!("why-down goes on to say {cause}");
    wait::holds(&says, Duration::from_secs(5), || {
        let why: WhyDown = world.ask(&["why-down", "tor"])?;
        let first = why.causes.first().map(|cause| cause.id.as_str());
        ensure!(first == Some(cause), "{why:?}");
        Ok(())
    })
    .unwrap();
}

/// FRR's side of a session.
const FRR: &str = "hostname them\nlog stdout\nrouter bgp 65020\n bgp router-id 10.20.0.1\n \
    no bgp ebgp-requires-policy\n timers bgp 80 240\n neighbor 10.30.0.1 remote-as 65010\n \
    neighbor 10.30.0.1 timers connect 1\n";

/// Changes what FRR says of us.
fn tell_frr(world: &World, lines: &[&str]) {
    let lines = [&["router bgp 65020"], lines].concat();
    world.vtysh_configure(&lines).unwrap();
}

#[test]
fn why_down_names_each_cause_with_frr() {
    let mut world = World::addressed("whyfrr").unwrap();
    world.put("secret", SECRET).unwrap();
    world.put_router("tor", "10.30.0.11", "").unwrap();
    world.start_frr(FRR).unwrap();
    world.start_redstart_at(&["10.30.0.1"]).unwrap();
    world.is("tor", "Established").unwrap();

    // Another AS than ours is expected there, and then another one than theirs here.
    tell_frr(&world, &["neighbor 10.30.0.1 remote-as 65011"]);
    is_down_because(&world, "bad-peer-as-there");
    tell_frr(&world, &["neighbor 10.30.0.1 remote-as 65010"]);
    world.is("tor", "Established").unwrap();
    let of_another_as = "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: { name: tor }\n\
                         spec: { address: 10.30.0.11, asn: 65021 }\n";
    world.put("tor", of_another_as).unwrap();
    is_down_because(&world, "bad-peer-as");
    world.put_router("tor", "10.30.0.11", "").unwrap();
    world.is("tor", "Established").unwrap();

    // A password there, another one here, and one here alone.
    tell_frr(&world, &["neighbor 10.30.0.1 password sesame"]);
    is_down_because(&world, "md5-only-there");
    world.put_router("tor", "10.30.0.11", PASSWORD).unwrap();
    is_down_because(&world, "md5-mismatch");
    tell_frr(&world, &["no neighbor 10.30.0.1 password"]);
    is_down_because(&world, "md5-only-here");
    tell_frr(&world, &["neighbor 10.30.0.1 password swordfish"]);
    world.is("tor", "Established").unwrap();

    // Its operator wants no session, or does not know us any more. It says so once.
    tell_frr(&world, &["neighbor 10.30.0.1 shutdown"]);
    is_down_because(&world, "shut-down-there");
    stays_down_because(&world, "shut-down-there");
    tell_frr(&world, &["no neighbor 10.30.0.1 shutdown"]);
    world.is("tor", "Established").unwrap();
    tell_frr(&world, &["no neighbor 10.30.0.1"]);
    world.put_router("tor", "10.30.0.11", "").unwrap();
    is_down_because(&world, "not-wanted-there");
    stays_down_because(&world, "not-wanted-there");
}
