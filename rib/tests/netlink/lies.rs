//! What the kernel and others do behind our back.

use redstart_rib::fib::InstallState;

use crate::lab::{Node, gateway, in_namespace, ip, p, unicast};

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
        let mut node = Node::inline().await;
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
fn a_route_that_was_appended_to_ours_stays_when_ours_steps_aside() {
    in_namespace(async {
        let mut node = Node::inline().await;
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        node.settle().await;
        let metric = node.planner.config().metric.to_string();
        ip(&[
            "-6",
            "route",
            "append",
            "fd01::/64",
            "via",
            "fd00:3::9",
            "metric",
            &metric,
            "proto",
            "static",
        ]);
        node.until("stepped aside", |n| n.planner.counters().deleted == 1)
            .await;
        node.settle().await;
        let left = ip(&["-6", "route", "show", "fd01::/64"]);
        assert!(
            left.contains("via fd00:3::9 dev eth3 proto static"),
            "{left}"
        );
        assert!(!left.contains("fd00:2::9"), "{left}");
        assert_eq!(
            node.planner.status(p("fd01::/64")).to_string(),
            "foreign-route"
        );
    });
}

#[test]
fn lie_8_metric_0_is_1024_for_ipv6_so_ours_always_has_one() {
    in_namespace(async {
        for (family, prefix) in [("-4", "10.9.0.0/16"), ("-6", "fd09::/64")] {
            ip(&[
                family, "route", "add", prefix, "dev", "eth2", "metric", "0", "proto", "static",
            ]);
        }
        let metric_of = |family, prefix| {
            let routes = ip(&[family, "route", "show", prefix]);
            let mut words = routes.split(' ').map(str::to_owned);
            words.find(|word| word == "metric").and(words.next())
        };
        assert_eq!(metric_of("-4", "10.9.0.0/16"), None);
        assert_eq!(metric_of("-6", "fd09::/64").as_deref(), Some("1024"));
        // One of ours is found again under the key that it was made with.
        let mut node = Node::start().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.desire("fd01::/64", unicast(&[gateway("fd00:2::9", 2)]));
        node.settle().await;
        for (family, prefix) in [("-4", "10.1.0.0/16"), ("-6", "fd01::/64")] {
            assert_eq!(metric_of(family, prefix).as_deref(), Some("179"));
        }
        node.planner.withdraw_all();
        node.settle().await;
        assert_eq!(ip(&["-6", "route", "show", "fd01::/64"]), "");
    });
}
