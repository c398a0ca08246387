//! A node keeps up another AS number for the sake of one router, with FRR at the other end: what both
//! numbers do to AS paths, how often our own may be in one, and private numbers that are taken out.
//!
//! FRR has two sessions with the node. On the first it expects the local AS; over it come its routes. On
//! the second it is AS 65030 and expects the node's own AS; over that it is told what came by the first.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use anyhow::{Context as _, bail};
use cable_world::{SOON, World};
use redstart_proto_tests::lab::wait;
use serde_json::Value;

const FRR: &str = "hostname them\nlog stdout\n\
ip prefix-list loop permit 10.20.7.0/24\nip prefix-list public permit 10.20.8.0/24\n\
ip prefix-list ours permit 10.244.0.0/16 le 32\n\
route-map first deny 5\n match ip address prefix-list ours\n\
route-map first permit 10\n match ip address prefix-list loop\n set as-path prepend 65010\n\
route-map first permit 20\n match ip address prefix-list public\n set as-path prepend 3356\n\
route-map first permit 30\n\
route-map second deny 10\n\
router bgp 65020\n bgp router-id 10.20.0.1\n no bgp ebgp-requires-policy\n \
no bgp network import-check\n \
neighbor 10.0.1.1 remote-as 64999\n neighbor 10.0.1.1 timers connect 1\n \
neighbor 10.0.2.1 remote-as 65010\n neighbor 10.0.2.1 timers connect 1\n \
neighbor 10.0.2.1 local-as 65030 no-prepend replace-as\n \
address-family ipv4 unicast\n  network 10.20.0.0/24\n  network 10.20.7.0/24\n  \
network 10.20.8.0/24\n  neighbor 10.0.1.1 route-map first out\n  \
neighbor 10.0.2.1 route-map second out\n  neighbor 10.0.2.1 allowas-in 5\n exit-address-family\n";

const FIRST: &str = "10.0.1.1";
const SECOND: &str = "10.0.2.1";
const OURS: &str = "10.244.1.0/24";

/// Waits until FRR has the route from the node's end of a session with this AS path.
#[track_caller]
fn told(world: &World, from: &str, prefix: &str, path: &str) {
    let what = format!("FRR is told {prefix} from {from} with {path:?}");
    let asked = wait::until(&what, SOON, || {
        let text = world.vtysh(&format!("show bgp ipv4 unicast {prefix} json"))?;
        let shown: Value = serde_json::from_str(&text)?;
        let paths = shown["paths"].as_array().context("no such route")?;
        let of_peer = paths.iter().find(|p| p["peer"]["peerId"] == from);
        let found = of_peer.context("no path from there")?["aspath"]["string"].clone();
        if found == path {
            return Ok(());
        }
        bail!("{found}")
    });
    asked.with_context(|| world.log("redstart")).unwrap();
}

/// Says anew what the first session is like, and the second one.
fn put(world: &World, first: &str, second: &str) {
    let local = format!("  localASN: 64999\n{first}");
    world.put_router("first", "10.0.1.2", &local).unwrap();
    world.put_router("second", "10.0.2.2", second).unwrap();
}

const TRANSIT: &str = "  export: { transit: true }\n";

#[test]
fn frr_sees_the_as_that_is_kept_up_for_it_and_paths_as_they_were_asked_for() {
    let mut world = World::new("local-as", 2).unwrap();
    for n in 1..=2 {
        let add = |netns: &str, host| format!("addr add 10.0.{n}.{host}/24 dev {netns}{n}");
        world.us.ip(&[add("up", 1)]).unwrap();
        world.them.ip(&[add("down", 2)]).unwrap();
    }
    put(&world, "", TRANSIT);
    world.start_frr(FRR).unwrap();
    world.start_redstart().unwrap();

    // The local AS in the place of our own, and nowhere else.
    let first = world.is("first", "Established").unwrap();
    assert_eq!((first.local_as, first.remote_as), (64999, Some(65020)));
    let second = world.is("second", "Established").unwrap();
    assert_eq!((second.local_as, second.remote_as), (65010, Some(65030)));
    told(&world, FIRST, OURS, "64999");
    told(&world, SECOND, OURS, "65010");
    told(&world, SECOND, "10.20.0.0/24", "65010 65020");

    // replaceAS: false shows our own AS to the first; noPrepend: false shows the local AS to others.
    put(
        &world,
        "  localASNOptions: { noPrepend: true, replaceAS: false }\n",
        TRANSIT,
    );
    told(&world, FIRST, OURS, "64999 65010");
    told(&world, SECOND, "10.20.0.0/24", "65010 65020");
    put(
        &world,
        "  localASNOptions: { noPrepend: false, replaceAS: true }\n",
        TRANSIT,
    );
    told(&world, FIRST, OURS, "64999");
    told(&world, SECOND, "10.20.0.0/24", "65010 64999 65020");

    // Our own AS in a path is a loop, but as often as it is allowed.
    let refused = world.protocol("first").unwrap().refused;
    assert_eq!(refused.get("as-loop"), Some(&1), "{refused:?}");
    put(&world, "  import: { allowOwnAS: 1 }\n", TRANSIT);
    told(&world, SECOND, "10.20.7.0/24", "65010 65020 65010");
    assert!(world.protocol("first").unwrap().refused.is_empty());

    // Private numbers go from what was learned; public ones and our own stay.
    put(
        &world,
        "",
        "  export: { transit: true, removePrivateAS: true }\n",
    );
    told(&world, SECOND, "10.20.0.0/24", "65010");
    told(&world, SECOND, "10.20.8.0/24", "65010 3356");
    told(&world, SECOND, OURS, "65010");

    // All of that on the sessions that came up in the beginning.
    for name in ["first", "second"] {
        assert_eq!(world.protocol(name).unwrap().established_count, 1, "{name}");
    }
}
