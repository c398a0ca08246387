//! Planner and driver against the real kernel: the lies that the fake one imitates, and what the two
//! make of them.
//!
//! Each test lives in a network namespace of its own, which goes away with the thread that made it,
//! however the test ends. Needs root; without it the tests fail. What the kernel holds is asked of
//! `ip`, not of the code under test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is a test, helpers included"
)]

#[path = "netlink/lab.rs"]
mod lab;

use core::time::Duration;

use lab::{Node, gateway, in_namespace, ip, ip_json, p, unicast};
use redstart_rib::{
    fib::{FibConfig, InstallState, KernelEvent, KernelRoute, OpError, Route},
    netlink::{self, NetlinkConfig},
    nexthop::Unresolved,
};

const OURS: &str = "proto bgp metric 179";

#[test]
fn install_replace_and_delete_in_both_families() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire(
            "10.2.0.0/16",
            unicast(&[gateway("10.0.2.9", 2), gateway("10.0.3.9", 3)]),
        );
        node.desire("10.3.0.0/16", unicast(&[gateway("fe80::9", 2)]));
        node.desire("10.4.0.0/16", Route::blackhole());
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        node.desire(
            "fd02::/64",
            unicast(&[gateway("fd00:2::9", 2), gateway("fe80::9", 3)]),
        );
        node.desire("fd03::/64", Route::blackhole());
        node.settle().await;
        node.assert_all_installed();
        assert_eq!(
            ip(&["-4", "route", "show", "10.1.0.0/16"]),
            format!("10.1.0.0/16 via 10.0.2.9 dev eth2 {OURS}")
        );
        let v4 = ip(&["-4", "route", "show", "10.2.0.0/16"]);
        assert!(
            v4.contains("via 10.0.2.9 dev eth2") && v4.contains("via 10.0.3.9 dev eth3"),
            "{v4}"
        );
        assert!(ip(&["-4", "route", "show", "10.3.0.0/16"]).contains("via inet6 fe80::9 dev eth2"));
        assert!(ip(&["-4", "route", "show", "10.4.0.0/16"]).starts_with("blackhole"));
        assert!(
            ip(&["-6", "route", "show", "fd01::/64"])
                .contains("via fd00:2::9 dev eth2 proto bgp metric 179")
        );
        let v6 = ip(&["-6", "route", "show", "fd02::/64"]);
        assert!(
            v6.contains("via fd00:2::9 dev eth2") && v6.contains("via fe80::9 dev eth3"),
            "{v6}"
        );
    });
}

#[test]
fn every_change_of_shape_is_a_replacement() {
    in_namespace(async {
        let mut node = Node::start().await;
        let shapes = |to: [&str; 2]| {
            let (a, b) = (gateway(to[0], 2), gateway(to[1], 3));
            [
                unicast(&[a, b]),
                unicast(&[b]),
                Route::blackhole(),
                unicast(&[a, b]),
                Route::blackhole(),
                unicast(&[a]),
            ]
        };
        for route in shapes(["10.0.2.9", "10.0.3.9"]) {
            node.desire("10.1.0.0/16", route);
            node.settle().await;
            node.assert_all_installed();
            node.assert_kernel_agrees().await;
        }
        for route in shapes(["fd00:2::9", "fd00:3::9"]) {
            node.desire("fd01::/64", route);
            node.settle().await;
            node.assert_all_installed();
            node.assert_kernel_agrees().await;
        }
        node.planner.withdraw_all();
        node.settle().await;
        assert_eq!(ip(&["-4", "route", "show", "proto", "bgp"]), "");
        assert_eq!(ip(&["-6", "route", "show", "proto", "bgp"]), "");
    });
}

#[test]
fn the_dump_shows_just_what_was_asked_for() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire(
            "10.2.0.0/16",
            unicast(&[gateway("10.0.2.9", 2), gateway("10.0.3.9", 3)]),
        );
        node.desire(
            "fd02::/64",
            unicast(&[gateway("fd00:2::9", 2), gateway("fe80::9", 3)]),
        );
        node.desire("fd03::/64", Route::blackhole());
        node.desire("10.3.0.0/16", unicast(&[gateway("fe80::9", 2)]));
        node.settle().await;
        node.assert_kernel_agrees().await;
        // A dump that agrees is no drift.
        node.handle.resync();
        node.until("a resync", |n| n.planner.counters().resyncs == 2)
            .await;
        assert_eq!(node.planner.counters().drifted, 0);
        assert_eq!(node.planner.counters().added, 4);
    });
}

#[test]
fn a_foreign_route_stays_and_ours_waits_for_it_to_go() {
    in_namespace(async {
        ip(&["route", "add", "10.1.0.0/16", "via", "10.0.3.7"]);
        ip(&[
            "route",
            "add",
            "10.2.0.0/16",
            "via",
            "10.0.3.7",
            "metric",
            "179",
        ]);
        ip(&["-6", "route", "add", "fd01::/64", "via", "fd00:3::7"]);
        let before = (ip(&["-4", "route"]), ip(&["-6", "route"]));
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire("10.2.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        // A connected subnet is somebody else's route as well.
        node.desire("10.0.3.0/24", unicast(&[gateway("10.0.2.9", 2)]));
        node.settle().await;
        assert_eq!((ip(&["-4", "route"]), ip(&["-6", "route"])), before);
        for prefix in ["10.1.0.0/16", "10.2.0.0/16", "fd01::/64", "10.0.3.0/24"] {
            assert_eq!(
                node.planner.status(p(prefix)).to_string(),
                "foreign-route",
                "{prefix}"
            );
        }
        ip(&["route", "del", "10.1.0.0/16"]);
        ip(&["route", "del", "10.2.0.0/16"]);
        ip(&["-6", "route", "del", "fd01::/64"]);
        for prefix in ["10.1.0.0/16", "10.2.0.0/16", "fd01::/64"] {
            node.until_installed(prefix).await;
        }
        // And it steps aside for one that comes.
        ip(&[
            "route",
            "add",
            "10.1.0.0/16",
            "via",
            "10.0.3.7",
            "metric",
            "5",
        ]);
        node.until("parked", |n| {
            n.planner.status(p("10.1.0.0/16")).to_string() == "foreign-route"
        })
        .await;
        node.settle().await;
        assert_eq!(
            ip(&["-4", "route", "show", "10.1.0.0/16"]),
            "10.1.0.0/16 via 10.0.3.7 dev eth3 metric 5"
        );
    });
}

#[test]
fn lie_1_replace_overwrites_a_strangers_route_so_we_never_do() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.settle().await;
        // A stranger with bad manners replaces ours; theirs stays.
        ip(&[
            "route",
            "replace",
            "10.1.0.0/16",
            "via",
            "10.0.3.7",
            "proto",
            "static",
            "metric",
            "179",
        ]);
        node.until("parked", |n| {
            n.planner.status(p("10.1.0.0/16")).to_string() == "foreign-route"
        })
        .await;
        node.settle().await;
        assert_eq!(
            ip(&["-4", "route", "show", "10.1.0.0/16"]),
            "10.1.0.0/16 via 10.0.3.7 dev eth3 proto static metric 179"
        );
    });
}

#[test]
fn lie_2_a_delete_spares_routes_of_another_protocol() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        node.settle().await;
        // The stranger's replacement is not seen before the delete goes out.
        ip(&[
            "route",
            "replace",
            "10.1.0.0/16",
            "via",
            "10.0.3.7",
            "proto",
            "static",
            "metric",
            "179",
        ]);
        ip(&[
            "-6",
            "route",
            "replace",
            "fd01::/64",
            "via",
            "fd00:3::7",
            "proto",
            "static",
            "metric",
            "179",
        ]);
        node.planner.withdraw_all();
        node.push().await;
        assert!(ip(&["-4", "route", "show", "10.1.0.0/16"]).contains("proto static"));
        assert!(ip(&["-6", "route", "show", "fd01::/64"]).contains("proto static"));
        assert_eq!(
            node.planner.status(p("10.1.0.0/16")),
            InstallState::NotDesired
        );
    });
}

#[test]
fn an_external_delete_is_repaired() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire(
            "fd01::/64",
            unicast(&[gateway("fd00:2::9", 2), gateway("fd00:3::9", 3)]),
        );
        node.settle().await;
        ip(&["route", "del", "10.1.0.0/16"]);
        ip(&["-6", "route", "del", "fd01::/64"]);
        node.until("two repairs", |n| n.planner.counters().disturbed >= 2)
            .await;
        node.settle().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
    });
}

#[test]
fn lie_3_a_link_that_flaps_flushes_silently_and_is_repaired() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire(
            "10.2.0.0/16",
            unicast(&[gateway("10.0.2.9", 2), gateway("10.0.3.9", 3)]),
        );
        node.desire("10.3.0.0/16", unicast(&[gateway("10.0.3.9", 3)]));
        node.desire("fd01::/64", unicast(&[gateway("fe80::9", 2)]));
        node.settle().await;
        ip(&["link", "set", "eth2", "down"]);
        assert_eq!(ip(&["-4", "route", "show", "10.1.0.0/16"]), "");
        node.until("parked", |n| {
            n.planner.status(p("10.1.0.0/16")).to_string() == "link-down"
        })
        .await;
        node.until("parked", |n| {
            n.planner.status(p("fd01::/64")).to_string() == "link-down"
        })
        .await;
        assert!(ip(&["-4", "route", "show", "10.2.0.0/16"]).contains("via 10.0.3.9 dev eth3"));
        ip(&["link", "set", "eth2", "up"]);
        node.until_installed("10.1.0.0/16").await;
        node.until_installed("fd01::/64").await;
        node.settle().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
        assert!(!ip(&["-4", "route", "show", "10.2.0.0/16"]).contains("dead"));
    });
}

#[test]
fn lie_4_the_last_address_takes_the_routes_along() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.settle().await;
        ip(&["addr", "del", "10.0.2.1/24", "dev", "eth2"]);
        assert_eq!(ip(&["-4", "route", "show", "10.1.0.0/16"]), "");
        node.until("parked", |n| {
            n.planner.status(p("10.1.0.0/16")).to_string() == "gateway-unreachable"
        })
        .await;
        ip(&["addr", "add", "10.0.2.1/24", "dev", "eth2"]);
        node.until_installed("10.1.0.0/16").await;
        node.assert_kernel_agrees().await;
    });
}

#[test]
fn a_link_that_is_gone_parks_its_routes() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        node.settle().await;
        ip(&["link", "del", "eth2"]);
        for prefix in ["10.1.0.0/16", "fd01::/64"] {
            node.until("parked", |n| {
                n.planner.status(p(prefix)).to_string() == "no-such-interface"
            })
            .await;
        }
    });
}

#[test]
fn a_refusal_comes_with_the_kernels_own_words() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("192.0.2.1", 2)]));
        node.settle().await;
        assert_eq!(
            node.planner.status(p("10.1.0.0/16")).to_string(),
            "gateway-unreachable"
        );
        let ops = {
            node.planner
                .desire(p("10.1.0.0/16"), Some(unicast(&[gateway("192.0.2.2", 2)])));
            node.planner.next_batch(node.now(), 1)
        };
        let outcome = node.handle.apply(ops).await;
        let error = outcome[0].1.clone().unwrap_err();
        assert_eq!(
            error.to_string(),
            "refused by the kernel: Nexthop has invalid gateway (errno 101)"
        );
    });
}

#[test]
fn a_restart_adopts_without_a_single_route_event() {
    in_namespace(async {
        let mut node = Node::start().await;
        let routes = [
            ("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)])),
            (
                "10.2.0.0/16",
                unicast(&[gateway("10.0.2.9", 2), gateway("10.0.3.9", 3)]),
            ),
            ("10.3.0.0/16", unicast(&[gateway("fe80::9", 2)])),
            ("10.4.0.0/16", Route::blackhole()),
            ("fd01::/64", unicast(&[gateway("fd00:2::9", 2)])),
            (
                "fd02::/64",
                unicast(&[gateway("fd00:2::9", 2), gateway("fe80::9", 3)]),
            ),
            ("fd03::/64", Route::blackhole()),
        ];
        for (prefix, route) in &routes {
            node.desire(prefix, route.clone());
        }
        node.settle().await;
        drop(node);

        let (_watch, mut watched) = netlink::open(NetlinkConfig::default()).unwrap();
        assert!(matches!(watched.recv().await, Some(KernelEvent::Synced(_))));
        let mut node = Node::again().await;
        for (prefix, route) in &routes {
            node.desire(prefix, route.clone());
        }
        node.settle().await;
        node.assert_all_installed();
        node.planner.sweep();
        node.settle().await;
        assert_eq!(node.planner.counters().adopted, 7);
        // The first event that the watcher sees is the one made now.
        ip(&["route", "add", "10.9.0.0/16", "via", "10.0.2.7"]);
        match watched.recv().await {
            Some(KernelEvent::Route(route)) => assert_eq!(route.prefix, p("10.9.0.0/16")),
            other => panic!("{other:?}"),
        }
        // What is not wanted again goes, changed routes change, others stay.
        drop(node);
        let mut node = Node::again().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.3.9", 3)]));
        node.settle().await;
        assert_eq!(node.planner.status(p("fd02::/64")), InstallState::Stale);
        node.planner.sweep();
        node.settle().await;
        assert_eq!(
            ip_json(&["-4", "route", "show", "proto", "bgp"])
                .matches("\"dst\"")
                .count(),
            1
        );
        assert_eq!(ip(&["-6", "route", "show", "proto", "bgp"]), "");
        assert!(ip(&["-4", "route", "show", "10.9.0.0/16"]).contains("10.0.2.7"));
    });
}

#[test]
fn next_hops_resolve_as_the_kernel_forwards() {
    in_namespace(async {
        ip(&[
            "route",
            "add",
            "172.16.0.0/12",
            "via",
            "10.0.3.7",
            "metric",
            "9",
        ]);
        ip(&["route", "add", "blackhole", "172.20.0.0/16"]);
        let mut node = Node::start().await;
        let peer = gateway("10.0.2.9", 2);
        assert_eq!(node.resolve("10.0.2.9"), Ok((vec![peer], 0)));
        assert_eq!(
            node.resolve("fd00:2::9"),
            Ok((vec![gateway("fd00:2::9", 2)], 0))
        );
        assert_eq!(
            node.resolve("172.16.0.1"),
            Ok((vec![gateway("10.0.3.7", 3)], 9))
        );
        assert_eq!(node.resolve("172.20.0.1"), Err(Unresolved::Unreachable));
        assert_eq!(node.resolve("10.0.2.1"), Err(Unresolved::OwnAddress));
        assert_eq!(node.resolve("192.0.2.1"), Err(Unresolved::NoRoute));
        ip(&["route", "add", "default", "via", "10.0.2.254"]);
        node.until("default", |n| n.resolve("192.0.2.1").is_ok())
            .await;

        // Routes of our own do not count.
        node.desire("192.0.2.0/24", unicast(&[gateway("10.0.3.9", 3)]));
        node.settle().await;
        assert_eq!(
            node.resolve("192.0.2.1"),
            Ok((vec![gateway("10.0.2.254", 2)], 0))
        );

        // Carrier goes with the other end, comes back with it.
        ip(&["link", "set", "peer2", "down"]);
        node.until("carrier loss", |n| {
            n.resolve("10.0.2.9") == Err(Unresolved::LinkDown)
        })
        .await;
        ip(&["link", "set", "peer2", "up"]);
        node.until("carrier", |n| n.resolve("10.0.2.9").is_ok())
            .await;

        // A port that leaves a bridge is still a link.
        ip(&["link", "add", "br0", "type", "bridge"]);
        ip(&["link", "set", "eth3", "master", "br0"]);
        ip(&["link", "set", "eth3", "nomaster"]);
        node.settle().await;
        assert_eq!(
            node.resolve("10.0.3.9"),
            Ok((vec![gateway("10.0.3.9", 3)], 0))
        );
        ip(&["link", "del", "eth3"]);
        node.until("no link", |n| {
            n.resolve("172.16.0.1") == Ok((vec![gateway("10.0.2.254", 2)], 0))
        })
        .await;
    });
}

#[test]
fn five_thousand_routes() {
    in_namespace(async {
        let mut node = Node::start().await;
        for i in 0..5000_u32 {
            let prefix = format!("10.{}.{}.0/24", 100 + (i >> 8), i & 255);
            node.desire(
                &prefix,
                unicast(&[gateway("10.0.2.9", 2), gateway("10.0.3.9", 3)]),
            );
        }
        node.settle().await;
        assert_eq!(node.planner.counters().added, 5000);
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
        node.planner.withdraw_all();
        node.settle().await;
        assert_eq!(node.planner.counters().deleted, 5000);
        assert_eq!(ip(&["-4", "route", "show", "proto", "bgp"]), "");
    });
}

#[test]
fn what_a_slow_consumer_missed_comes_as_a_dump() {
    in_namespace(async {
        let config = NetlinkConfig {
            event_capacity: 4,
            ..NetlinkConfig::default()
        };
        let (_handle, mut events) = netlink::open(config).unwrap();
        assert!(matches!(events.recv().await, Some(KernelEvent::Synced(_))));
        for i in 0..100 {
            ip(&[
                "route",
                "add",
                &format!("10.50.{i}.0/24"),
                "via",
                "10.0.2.9",
            ]);
            tokio::task::yield_now().await;
        }
        let mut overruns = 0;
        let dump = loop {
            match events.recv().await.unwrap() {
                KernelEvent::Overrun => overruns += 1,
                KernelEvent::Synced(dump) => break dump,
                _ => {}
            }
        };
        assert_eq!(overruns, 1);
        let there = |r: &&KernelRoute| p("10.50.0.0/16").covers(r.prefix);
        assert_eq!(dump.routes.iter().filter(there).count(), 100);
    });
}

#[test]
fn an_overrun_of_the_sockets_buffer_is_noticed() {
    in_namespace(async {
        // The smallest buffer that the kernel grants, and nobody reads while events pour in.
        let config = NetlinkConfig {
            receive_buffer: 1,
            ..NetlinkConfig::default()
        };
        let (_handle, mut events) = netlink::open(config).unwrap();
        assert!(matches!(events.recv().await, Some(KernelEvent::Synced(_))));
        for i in 0..100 {
            ip(&[
                "route",
                "add",
                &format!("10.50.{i}.0/24"),
                "via",
                "10.0.2.9",
            ]);
        }
        let mut overrun = false;
        loop {
            match events.recv().await.unwrap() {
                KernelEvent::Overrun => overrun = true,
                KernelEvent::Synced(dump) => {
                    let there = |r: &&KernelRoute| p("10.50.0.0/16").covers(r.prefix);
                    assert_eq!(dump.routes.iter().filter(there).count(), 100);
                    break;
                }
                _ => {}
            }
        }
        assert!(overrun);
    });
}

#[test]
fn answers_that_overflow_the_buffer_are_lost_but_not_waited_for() {
    in_namespace(async {
        // With the smallest buffer most answers to a batch are dropped. The library would wait for
        // them until the end of time.
        let config = NetlinkConfig {
            receive_buffer: 1,
            batch: 256,
            ..NetlinkConfig::default()
        };
        let mut node = Node::with(config).await;
        for i in 0..200 {
            node.desire(
                &format!("10.50.{i}.0/24"),
                unicast(&[gateway("10.0.2.9", 2)]),
            );
        }
        let batch = node.planner.next_batch(node.now(), 256);
        let started = tokio::time::Instant::now();
        let outcomes = node.handle.apply(batch).await;
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "waited for the timeout"
        );
        assert_eq!(outcomes.len(), 200);
        let lost = outcomes
            .iter()
            .filter(|(_, o)| *o == Err(OpError::Lost))
            .count();
        assert!(lost > 0, "nothing was lost");
        for (id, outcome) in outcomes {
            node.planner.on_reply(node.now(), id, outcome);
        }
        assert_eq!(node.planner.counters().lost, lost as u64);
        node.reconnect(NetlinkConfig::default());
        node.settle_all().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
    });
}

#[test]
fn without_the_capability_the_reason_names_it_and_events_still_come() {
    in_namespace(async {
        ip(&["route", "add", "10.9.0.0/16", "via", "10.0.2.7"]);
        lab::drop_privileges();
        let mut node = Node::with(NetlinkConfig::default()).await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.push().await;
        let InstallState::Parked(reason) = node.planner.status(p("10.1.0.0/16")) else {
            panic!("not parked");
        };
        assert_eq!(reason.id(), "permission-denied");
        assert!(reason.to_string().contains("CAP_NET_ADMIN"));
        node.desire("10.9.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        assert_eq!(
            node.planner.status(p("10.9.0.0/16")).to_string(),
            "foreign-route"
        );
    });
}

#[test]
fn another_table_and_metric() {
    in_namespace(async {
        let mut fib = FibConfig {
            table: 1000,
            ..FibConfig::default()
        };
        fib.metric = 77.try_into().unwrap();
        let mut node = Node::with_fib(
            NetlinkConfig {
                table: 1000,
                ..NetlinkConfig::default()
            },
            fib,
        )
        .await;
        // A foreign route in main does not matter there.
        ip(&["route", "add", "10.1.0.0/16", "via", "10.0.3.7"]);
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        node.settle().await;
        node.assert_all_installed();
        assert_eq!(
            ip(&["-4", "route", "show", "table", "1000"]),
            "10.1.0.0/16 via 10.0.2.9 dev eth2 proto bgp metric 77"
        );
        ip(&["route", "del", "10.1.0.0/16", "table", "1000"]);
        node.until("a repair", |n| n.planner.counters().disturbed == 1)
            .await;
        node.planner.withdraw_all();
        node.settle().await;
        assert_eq!(ip(&["-4", "route", "show", "table", "1000"]), "");
    });
}
