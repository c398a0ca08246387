//! Those on the links of this node that do not answer.

use std::{collections::BTreeSet, process::Command};

use crate::lab::{Node, gateway, in_namespace, ip, unicast};

const BOTH: [&str; 2] = ["10.0.2.9", "10.0.2.77"];
const BOTH6: [&str; 2] = ["fd00:2::9", "fd00:2::77"];

/// Says what ARP, or Neighbour Discovery, has found out about an address.
fn found(addr: &str, how: &[&str]) {
    let words = ["neigh", "replace", addr, "dev", "eth2"];
    ip(&[&words[..], how].concat());
}

const ANSWERS: [&str; 4] = ["lladdr", "02:00:00:00:00:09", "nud", "reachable"];
const SILENT: [&str; 2] = ["nud", "failed"];

#[test]
fn who_is_silent_on_a_link_is_known_from_the_start_and_who_answers_again() {
    in_namespace(async {
        let silent = |node: &Node| -> Vec<bool> {
            let all = [BOTH, BOTH6].concat();
            all.iter().map(|addr| node.is_silent(addr, 2)).collect()
        };
        found(BOTH[0], &SILENT);
        let mut node = Node::start().await;
        assert_eq!(silent(&node), [true, false, false, false]);
        // One that is asked for by the kernel itself.
        let ping = ["-c", "1", "-W", "1", "-I", "eth2", BOTH[1]];
        let mut ping = Command::new("ping").args(ping).spawn().unwrap();
        // The kernel tells of it only where there was an answer before.
        found(BOTH6[1], &ANSWERS);
        found(BOTH6[1], &SILENT);
        node.until("silence", |n| silent(n) == [true, true, false, true])
            .await;
        assert!(!ping.wait().unwrap().success());
        assert!(!node.is_silent(BOTH[0], 3), "that is another link");
        found(BOTH[0], &ANSWERS);
        ip(&["neigh", "del", BOTH6[1], "dev", "eth2"]);
        node.until("answers", |n| silent(n) == [false, true, false, false])
            .await;
        // Nothing of this is a reason to look anything up again, or to write.
        assert_eq!(node.planner.counters().resyncs, 1);
    });
}

/// Which gateways packets to many addresses take.
fn taken(family: &str) -> BTreeSet<String> {
    let (net, many) = if family == "-4" {
        ("10.9.0.", 1..=64)
    } else {
        ("fd09::", 1..=64)
    };
    let taken = many.map(|host| {
        let route = ip(&[family, "route", "get", &format!("{net}{host}")]);
        let mut words = route.split(' ').skip_while(|word| *word != "via");
        words.nth(1).unwrap_or_default().to_owned()
    });
    taken.collect()
}

#[test]
fn the_kernel_passes_over_a_gateway_of_a_group_that_does_not_answer() {
    in_namespace(async {
        let mut node = Node::start().await;
        for (prefix, hops) in [("10.9.0.0/16", BOTH), ("fd09::/64", BOTH6)] {
            node.desire(prefix, unicast(&hops.map(|hop| gateway(hop, 2))));
        }
        node.settle().await;
        node.assert_all_installed();
        for (family, hops) in [("-4", BOTH), ("-6", BOTH6)] {
            hops.iter().for_each(|hop| found(hop, &ANSWERS));
            assert_eq!(taken(family), hops.map(str::to_owned).into());
            found(hops[1], &SILENT);
            assert_eq!(taken(family), [hops[0].to_owned()].into());
            found(hops[1], &ANSWERS);
            assert_eq!(taken(family), hops.map(str::to_owned).into());
        }
    });
}
