//! Nexthop objects on the real kernel, and what it does to them.

use std::time::Duration;

use redstart_rib::{
    fib::{KernelEvent, NexthopId, NexthopStyle, Resilient, Route},
    netlink::{self, NetlinkConfig},
};

use crate::lab::{Node, gateway, in_namespace, ip, p, unicast};

const COUNT: u64 = 300;

async fn with_many(node: &mut Node, route: &Route) {
    for i in 0..COUNT {
        node.desire(
            &format!("10.{}.{}.0/24", 100 + i / 250, i % 250),
            route.clone(),
        );
    }
    node.settle().await;
    node.assert_all_installed();
}

fn both() -> Route {
    unicast(&[gateway("10.0.2.9", 2), gateway("10.0.3.9", 3)])
}

/// How many routes of ours leave by this link.
fn over(link: &str) -> usize {
    ip(&["-4", "-o", "route", "show", "proto", "bgp"])
        .lines()
        .filter(|l| l.contains(&format!("dev {link}")))
        .count()
}

fn objects() -> usize {
    ip(&["nexthop", "show", "proto", "186"]).lines().count()
}

#[test]
fn one_operation_moves_every_route_away_from_a_lost_neighbour() {
    in_namespace(async {
        let mut node = Node::start().await;
        with_many(&mut node, &both()).await;
        assert_eq!(over("eth2"), 300);
        let before = node.planner.counters();
        node.planner.avoid("10.0.2.9".parse().unwrap(), None);
        let ops = node.planner.next_batch(node.now(), 128);
        assert_eq!(ops.len(), 1);
        for (id, outcome) in node.handle.apply(ops).await {
            node.planner.on_reply(node.now(), id, outcome);
        }
        assert_eq!((over("eth2"), over("eth3")), (0, 300));
        // The RIB comes to the same, and nothing is left to do.
        with_many(&mut node, &unicast(&[gateway("10.0.3.9", 3)])).await;
        node.planner.caught_up();
        node.settle().await;
        node.assert_kernel_agrees().await;
        let after = node.planner.counters();
        assert_eq!(after.nexthops_written, before.nexthops_written + 1);
        assert_eq!((after.added, after.replaced), (before.added, 0));
    });
}

#[test]
fn every_shape_goes_by_objects_but_a_blackhole() {
    in_namespace(async {
        let mut node = Node::start().await;
        let onlink = redstart_rib::nexthop::Gateway {
            onlink: true,
            ..gateway("192.0.2.1", 2)
        };
        let heavy = redstart_rib::nexthop::Gateway {
            weight: 255,
            ..gateway("fe80::9", 3)
        };
        let direct = redstart_rib::nexthop::Gateway {
            via: None,
            ..gateway("10.0.2.9", 2)
        };
        for (prefix, route) in [
            ("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)])),
            ("10.2.0.0/16", unicast(&[gateway("fe80::9", 2)])),
            ("10.3.0.0/16", unicast(&[gateway("10.0.2.9", 2), heavy])),
            ("10.4.0.0/16", unicast(&[onlink])),
            ("10.5.0.0/16", unicast(&[direct])),
            ("10.6.0.0/16", Route::blackhole()),
            ("fd01::/64", unicast(&[gateway("fe80::9", 2), heavy])),
            ("fd02::/64", unicast(&[direct])),
            ("fd03::/64", Route::blackhole()),
        ] {
            node.desire(prefix, route);
        }
        node.settle().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
        assert!(node.planner.nexthop(p("10.3.0.0/16")).is_some());
        assert!(node.planner.nexthop(p("10.6.0.0/16")).is_none());
        node.planner.withdraw_all();
        node.until("nothing left", |n| n.planner.counters().nexthops == 0)
            .await;
        assert_eq!(objects(), 0);
    });
}

#[test]
fn lie_5_carrier_loss_takes_objects_and_their_routes_along() {
    in_namespace(async {
        let mut node = Node::start().await;
        with_many(&mut node, &both()).await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        node.settle().await;
        ip(&["link", "set", "peer2", "down"]);
        // The kernel looks at lost carriers once a second at the most.
        while !ip(&["-4", "route", "show", "10.1.0.0/16"]).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for prefix in ["10.1.0.0/16", "fd01::/64"] {
            node.until("parked", |n| {
                n.planner.status(p(prefix)).to_string() == "link-down"
            })
            .await;
        }
        node.settle().await;
        assert_eq!((over("eth2"), over("eth3")), (0, 300));
        let before = node.planner.counters();
        ip(&["link", "set", "peer2", "up"]);
        node.until_installed("10.1.0.0/16").await;
        node.until_installed("fd01::/64").await;
        node.settle().await;
        assert_eq!(over("eth2"), 301);
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
        let added = node.planner.counters().added - before.added;
        assert_eq!(added, 2, "the others moved with their object");
    });
}

#[test]
fn lie_6_routes_by_objects_outlive_the_last_address() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.settle().await;
        ip(&["addr", "del", "10.0.2.1/24", "dev", "eth2"]);
        node.settle().await;
        assert_ne!(ip(&["-4", "route", "show", "10.1.0.0/16"]), "");
        node.assert_kernel_agrees().await;
    });
}

#[test]
fn lie_7_a_deleted_object_takes_its_routes_along() {
    in_namespace(async {
        let mut node = Node::start().await;
        with_many(&mut node, &both()).await;
        let NexthopId(id) = node.planner.nexthop(p("10.100.7.0/24")).unwrap();
        ip(&["nexthop", "del", "id", &id.to_string()]);
        assert_eq!(over("eth3"), 0);
        node.until("a repair", |n| n.planner.counters().disturbed > 0)
            .await;
        node.settle().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
        ip(&["nexthop", "flush", "proto", "186"]);
        node.until("a repair", |n| n.planner.counters().added > 600)
            .await;
        // The flush goes on while the repair begins, so some of it may have to be tried again.
        node.settle_all().await;
        node.settle().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
    });
}

#[test]
fn an_object_that_is_gone_is_not_made_again_by_a_change() {
    in_namespace(async {
        let mut node = Node::start().await;
        with_many(&mut node, &unicast(&[gateway("10.0.2.9", 2)])).await;
        // What the link takes along is not heard of before the change is on its way.
        ip(&["link", "set", "eth2", "down"]);
        assert_eq!(over("eth2"), 0);
        node.planner.avoid("10.0.2.9".parse().unwrap(), None);
        node.planner.caught_up();
        for i in 0..COUNT {
            let prefix = format!("10.{}.{}.0/24", 100 + i / 250, i % 250);
            node.desire(&prefix, unicast(&[gateway("10.0.3.9", 3)]));
        }
        let ops = node.planner.next_batch(node.now(), 2);
        assert_eq!(ops.len(), 2, "a leg, and the group: {ops:?}");
        let outcomes = node.handle.apply(ops).await;
        assert!(outcomes[1].1.is_err(), "{outcomes:?}");
        for (id, outcome) in outcomes {
            node.planner.on_reply(node.now(), id, outcome);
        }
        node.settle().await;
        node.assert_all_installed();
        assert_eq!(over("eth3"), 300);
        node.assert_kernel_agrees().await;
    });
}

#[test]
fn objects_of_others_are_left_alone() {
    in_namespace(async {
        let first = redstart_rib::fib::FibConfig::FIRST_NEXTHOP_ID.get();
        let id = first.to_string();
        ip(&[
            "nexthop", "add", "id", &id, "via", "10.0.3.7", "dev", "eth3",
        ]);
        ip(&["route", "add", "10.9.0.0/16", "nhid", &id]);
        let before = (
            ip(&["nexthop", "show", "id", &id]),
            ip(&["route", "show", "10.9.0.0/16"]),
        );
        let mut node = Node::start().await;
        with_many(&mut node, &both()).await;
        node.desire("10.9.0.0/16", both());
        node.settle().await;
        node.planner.withdraw_all();
        node.until("nothing left", |n| n.planner.counters().nexthops == 0)
            .await;
        let after = (
            ip(&["nexthop", "show", "id", &id]),
            ip(&["route", "show", "10.9.0.0/16"]),
        );
        assert_eq!(before, after);
        assert_eq!(objects(), 0);
    });
}

#[test]
fn a_restart_touches_neither_routes_nor_objects() {
    in_namespace(async {
        let mut node = Node::start().await;
        with_many(&mut node, &both()).await;
        node.desire("fd01::/64", unicast(&[gateway("fe80::9", 2)]));
        node.settle().await;
        drop(node);
        let (_watch, mut watched) = netlink::open(NetlinkConfig::default()).unwrap();
        assert!(matches!(watched.recv().await, Some(KernelEvent::Synced(_))));
        let mut node = Node::again().await;
        with_many(&mut node, &both()).await;
        node.desire("fd01::/64", unicast(&[gateway("fe80::9", 2)]));
        node.settle().await;
        node.planner.sweep();
        node.settle().await;
        node.assert_all_installed();
        // The first event of a route or an object that the watcher sees is the one made now.
        ip(&[
            "nexthop", "add", "id", "5", "via", "10.0.3.7", "dev", "eth3",
        ]);
        let first = loop {
            match watched.recv().await {
                // The kernel takes its time with the addresses that it gives to links.
                Some(KernelEvent::Address(_) | KernelEvent::Link(_)) => {}
                other => break other,
            }
        };
        match first {
            Some(KernelEvent::Nexthop(nexthop)) => assert_eq!(nexthop.id, NexthopId(5)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn styles_change_without_a_gap() {
    in_namespace(async {
        let mut node = Node::start().await;
        with_many(&mut node, &both()).await;
        let resilient = Some(Resilient {
            buckets: 64,
            idle_seconds: 10,
        });
        for style in [
            NexthopStyle::Objects { resilient },
            NexthopStyle::Inline,
            NexthopStyle::Objects { resilient: None },
        ] {
            node.planner.set_nexthop_style(style);
            node.settle().await;
            node.assert_all_installed();
            node.assert_kernel_agrees().await;
        }
        let counters = node.planner.counters();
        assert_eq!((counters.replaced, counters.deleted), (3 * COUNT, 0));
    });
}
