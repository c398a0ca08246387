//! Routes of every shape in and out, restarts, next hops.

use redstart_rib::{
    fib::{FibConfig, InstallState, KernelEvent, Removal, Route},
    netlink::{self, NetlinkConfig},
    nexthop::Unresolved,
};

use crate::lab::{Node, gateway, in_namespace, ip, ip_json, p, unicast};

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
        // An IPv6 route by an object shows its gateway on a line of its own.
        let v6 = ip(&["-6", "route", "show", "fd01::/64"]);
        assert!(
            v6.contains(OURS) && v6.contains("via fd00:2::9 dev eth2"),
            "{v6}"
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
        loop {
            match watched.recv().await {
                Some(KernelEvent::Route(route)) => {
                    break assert_eq!(route.prefix, p("10.9.0.0/16"));
                }
                // Links and addresses settle in their own time.
                Some(KernelEvent::Link(_) | KernelEvent::Address(_)) => {}
                other => panic!("{other:?}"),
            }
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
fn another_table_and_metric() {
    in_namespace(async {
        let mut fib = FibConfig {
            table: 1000,
            ..FibConfig::default()
        };
        fib.metric = 77.try_into().unwrap();
        let mut node = Node::with_fib(
            NetlinkConfig {
                tables: [1000].into(),
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

#[test]
fn a_removal_takes_everything_of_ours_and_nothing_else() {
    in_namespace(async {
        let mut node = Node::start().await;
        for i in 0..300 {
            node.desire(
                &format!("10.{}.{}.0/24", 100 + i / 250, i % 250),
                unicast(&[gateway("10.0.2.9", 2), gateway("10.0.3.9", 3)]),
            );
        }
        node.desire("fd01::/64", unicast(&[gateway("fe80::9", 2)]));
        node.settle().await;
        // Somebody else's leg of our route (IPv6), and somebody else's routes and objects.
        let others = [
            "-6 route append fd01::/64 via fe80::7 dev eth3 proto static metric 179",
            "nexthop add id 5 via 10.0.3.7 dev eth3",
            "route add 10.9.0.0/16 nhid 5 proto static",
            "route add blackhole 10.10.0.0/16 proto bgp metric 20",
        ];
        for command in others {
            ip(&command.split(' ').collect::<Vec<_>>());
        }
        let config = node.planner.config();
        let removal = Removal {
            marks: [config.marks()].into(),
            objects_of: [config.protocol].into(),
            first_nexthop_id: config.first_nexthop_id.get(),
        };
        let handle = node.handle.clone();
        drop(node);
        let removed = handle.remove(&removal).await.unwrap();
        assert_eq!((removed.routes, removed.nexthops), (301, 5));
        assert_eq!(ip(&["nexthop", "show"]).lines().count(), 1);
        assert_eq!(ip(&["route", "show", "proto", "bgp", "metric", "179"]), "");
        assert_eq!(ip(&["route", "show", "proto", "bgp"]).lines().count(), 1);
        assert_ne!(ip(&["route", "show", "10.9.0.0/16"]), "");
        let leg = ip(&["-6", "route", "show", "fd01::/64"]);
        assert!(leg.contains("via fe80::7"), "{leg}");
        // Nothing is left, so nothing is done.
        let removed = handle.remove(&removal).await.unwrap();
        assert_eq!((removed.routes, removed.nexthops), (0, 0));
    });
}

#[test]
fn a_preferred_source_is_prescribed_until_the_address_goes() {
    in_namespace(async {
        let (v4, v6) = ("10.1.0.0/16", "fd01::/64");
        ip(&["addr", "add", "192.0.2.7/32", "dev", "lo"]);
        ip(&["addr", "add", "fd07::7/128", "dev", "lo", "nodad"]);
        let mut node = Node::start().await;
        let sourced = |via: &str, source: &str| Route {
            prefsrc: Some(source.parse().unwrap()),
            ..unicast(&[gateway(via, 2)])
        };
        node.desire(v4, sourced("10.0.2.9", "192.0.2.7"));
        node.desire(v6, sourced("fd00:2::9", "fd07::7"));
        node.settle().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
        assert!(ip(&["route", "get", "10.1.0.1"]).contains("src 192.0.2.7"));
        assert!(ip(&["-6", "route", "get", "fd01::1"]).contains("src fd07::7"));
        // IPv4 routes go with the address, without a word.
        ip(&["addr", "del", "192.0.2.7/32", "dev", "lo"]);
        ip(&["addr", "del", "fd07::7/128", "dev", "lo"]);
        node.until("the loss", |n| {
            n.planner.status(p(v4)) != InstallState::Installed
        })
        .await;
        node.desire(v4, unicast(&[gateway("10.0.2.9", 2)]));
        node.desire(v6, unicast(&[gateway("fd00:2::9", 2)]));
        node.settle_all().await;
        node.assert_kernel_agrees().await;
    });
}

#[test]
fn rules_of_policy_routing_stay_as_they_are() {
    in_namespace(async {
        ip(&["rule", "add", "from", "10.0.2.0/24", "table", "1000"]);
        ip(&["-6", "rule", "add", "fwmark", "7", "table", "1001"]);
        let rules = || (ip(&["rule", "show"]), ip(&["-6", "rule", "show"]));
        let before = rules();
        let fib = FibConfig {
            table: 1000,
            ..FibConfig::default()
        };
        let config = NetlinkConfig {
            tables: [1000].into(),
            ..NetlinkConfig::default()
        };
        let mut node = Node::with_fib(config, fib).await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        node.settle().await;
        node.assert_all_installed();
        assert_eq!(rules(), before);
        node.planner.withdraw_all();
        node.settle().await;
        assert_eq!(rules(), before);
    });
}
