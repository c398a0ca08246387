//! Everything at once, for as long as is asked for: `REDSTART_SOAK_SECONDS=600` is ten minutes.
//!
//! Links flap, others add routes in front of ours and delete ours and our objects, neighbours come
//! and go, and the driver's buffers are so small that it loses events all the time. At the end the
//! kernel holds what is desired, nobody else's route was touched, and nothing is left over.

#![expect(
    clippy::disallowed_methods,
    reason = "the environment says how long it lasts"
)]

use core::time::Duration;
use std::{collections::BTreeSet, process::Command};

use redstart_rib::{fib::Route, netlink::NetlinkConfig};
use tokio::time::Instant;

use crate::lab::{Node, gateway, in_namespace_for, ip, unicast};

const PREFIXES: u64 = 200;

/// Reproducible chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn prefix(i: u64) -> String {
    format!("10.100.{i}.0/24")
}

/// One neighbour, the other, or both.
fn route(choice: u64) -> Route {
    let (a, b) = (gateway("10.0.2.9", 2), gateway("10.0.3.9", 3));
    match choice {
        0 => unicast(&[a]),
        1 => unicast(&[b]),
        2 => Route::blackhole(),
        _ => unicast(&[a, b]),
    }
}

/// Somebody else's command, which may come too late.
fn somebody(command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    Command::new("ip").args(words).output().unwrap();
}

fn step(node: &mut Node, chance: &mut Chance, foreign: &mut BTreeSet<u64>) {
    let i = chance.below(PREFIXES);
    let link = 2 + chance.below(2);
    match chance.below(12) {
        0 => somebody(&format!("link set peer{link} down")),
        1 | 2 => somebody(&format!("link set peer{link} up")),
        3 => {
            somebody(&format!("link set eth{link} down"));
            somebody(&format!("link set eth{link} up"));
        }
        4 => {
            foreign.insert(i);
            somebody(&format!("route add blackhole {} metric 5", prefix(i)));
        }
        5 => {
            if let Some(i) = foreign.pop_first() {
                somebody(&format!("route del blackhole {} metric 5", prefix(i)));
            }
        }
        6 => somebody(&format!("route del {} proto bgp", prefix(i))),
        7 => {
            let ids = ip(&["nexthop", "show", "proto", "186"]);
            let id = ids.lines().next().and_then(|l| l.split(' ').nth(1));
            if let Some(id) = id {
                somebody(&format!("nexthop del id {id}"));
            }
        }
        8 => node.withdraw(&prefix(i)),
        9 => {
            let route = route(chance.below(4));
            for j in 0..PREFIXES / 4 {
                node.desire(&prefix((i + j) % PREFIXES), route.clone());
            }
        }
        10 => {
            let neighbour = format!("10.0.{link}.9");
            node.planner.avoid(neighbour.parse().unwrap(), None);
        }
        _ => node.planner.caught_up(),
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn after_everything_at_once_the_kernel_holds_what_is_desired() {
    let seconds = std::env::var("REDSTART_SOAK_SECONDS").ok();
    let seconds = seconds.map_or(20, |s| s.parse().unwrap());
    let lasts = Duration::from_secs(seconds);
    in_namespace_for(lasts + Duration::from_secs(300), async move {
        let config = NetlinkConfig {
            receive_buffer: 4096,
            event_capacity: 8,
            ..NetlinkConfig::default()
        };
        let mut node = Node::with(config).await;
        let files = open_files();
        let (mut chance, mut foreign) = (Chance(seconds), BTreeSet::new());
        let until = Instant::now() + lasts;
        let mut steps = 0_u64;
        while Instant::now() < until {
            step(&mut node, &mut chance, &mut foreign);
            steps += 1;
            for _ in 0..chance.below(8) {
                node.turn_within(Duration::from_millis(5)).await;
            }
        }
        for link in [2, 3] {
            ip(&["link", "set", &format!("eth{link}"), "up"]);
            ip(&["link", "set", &format!("peer{link}"), "up"]);
        }
        // Longer than the longest pause between two attempts.
        node.patience = Duration::from_secs(90);
        node.planner.caught_up();
        node.settle().await;
        for i in &foreign {
            let there = ip(&["route", "show", &prefix(*i)]);
            assert!(
                there.starts_with("blackhole") && there.contains("metric 5"),
                "{there}"
            );
            ip(&["route", "del", "blackhole", &prefix(*i), "metric", "5"]);
        }
        node.settle_all().await;
        node.settle().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
        let counters = node.planner.counters();
        assert!(
            counters.disturbed + counters.drifted > 0,
            "nothing happened"
        );
        node.planner.withdraw_all();
        node.until("nothing left", |n| n.planner.counters().nexthops == 0)
            .await;
        assert_eq!(ip(&["nexthop", "show", "proto", "186"]), "");
        assert_eq!(ip(&["route", "show", "proto", "bgp"]), "");
        assert!(open_files() <= files + 8, "files are left open");
        println!("{steps} steps, {counters:?}");
    });
}
