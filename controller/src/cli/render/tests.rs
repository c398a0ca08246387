//! Snapshots of the tables.

mod widths;

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};

use super::*;
use crate::control::views::{
    BfdSession, Count, Kernel, KernelRoute, KernelState, KernelTotals, MessageCounts, Notice, Path,
    Protocol, Rejected, Route, RouteCounts,
};

fn style() -> Style {
    Style {
        zone: TimeZone::UTC,
        width: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap()
}

fn protocol(name: &str, state: &str, last_error: Option<&str>) -> Protocol {
    Protocol {
        name: name.into(),
        role: "mesh".into(),
        client: false,
        object: "Node/n2".into(),
        state: state.into(),
        since: at(0),
        remote: "10.10.0.12:179".parse().ok(),
        interface: None,
        range: None,
        local: Some("10.10.0.11:41000".parse().unwrap()),
        remote_as: Some(64512),
        local_as: 64512,
        remote_router_id: Some("10.10.0.12".into()),
        last_error: last_error.map(Into::into),
        last_received: None,
        last_sent: Some(Notice {
            at: at(-60),
            text: "Cease: Administrative Shutdown (maintenance)".into(),
        }),
        families: vec!["ipv4".into(), "ipv6".into()],
        local_capabilities: vec!["multiprotocol ipv4".into()],
        remote_capabilities: vec!["multiprotocol ipv4".into(), "route-refresh".into()],
        hold_time: Some(90),
        hold_remaining: Some(61.5),
        keepalive: Some(30),
        connect_remaining: None,
        messages: MessageCounts {
            updates_in: 2,
            updates_out: 1,
            total_in: 9,
            total_out: 8,
        },
        established_count: 1,
        routes: RouteCounts {
            imported: 2,
            exported: 1,
            preferred: 2,
            stale: 0,
        },
        refused: BTreeMap::from([("not-its-pod-cidr".to_owned(), 1)]),
        channels: vec![],
        keepalive_remaining: Some(3.25),
        disabled: false,
    }
}

#[test]
fn protocols_line_up_and_show_why_one_is_down() {
    let list = [
        protocol("mesh-n2", "Established", Some("Hold timer expired")),
        protocol("tor-with-a-long-name", "Active", Some("connection refused")),
    ];
    let text = protocols(&list, false, &style());
    let expected = "\
Name                  Proto  Table  State  Since                Info
mesh-n2               BGP    ---    up     2026-05-28 20:26:40  Established
tor-with-a-long-name  BGP    ---    start  2026-05-28 20:26:40  Active  connection refused
";
    assert_eq!(text, expected);
}

#[test]
fn protocols_all_shows_every_detail() {
    let text = protocols(&[protocol("mesh-n2", "Established", None)], true, &style());
    for line in [
        "  Last sent:              Cease: Administrative Shutdown (maintenance) at 2026-05-28 20:25:40",
        "  BGP state:              Established",
        "  Neighbor address:       10.10.0.12:179",
        "  Neighbor AS:            64512",
        "  Hold timer:             61.500/90",
        "  Routes:                 2 imported, 1 exported, 2 preferred, 0 stale",
        "  Refused:                1 not-its-pod-cidr",
        "  Messages:               9 received (2 UPDATE), 8 sent (1 UPDATE)",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line:?} is missing in\n{text}"
        );
    }
}

fn path(from: &str, best: bool) -> Path {
    Path {
        from: from.into(),
        kind: "ebgp".into(),
        best,
        multipath: false,
        not_best: (!best).then(|| "as-path-length".into()),
        rules: vec![],
        since: at(0),
        stale: false,
        long_lived_stale: false,
        next_hop: Some("10.10.0.1".parse().unwrap()),
        gateways: vec!["via 10.10.0.1 on eth0".into()],
        through: None,
        unresolved: None,
        origin: "IGP".into(),
        as_path: "65001 65009".into(),
        local_pref: None,
        med: Some(5),
        aigp: None,
        otc: Some(65009),
        communities: vec!["65001:7".into()],
        extended_communities: vec![],
        large_communities: vec![],
        originator_id: None,
        cluster_list: vec![],
        object: None,
    }
}

#[test]
fn routes_read_like_birds() {
    let route = Route {
        prefix: "10.20.0.0/24".into(),
        paths: vec![path("tor-v4", true), path("tor2-v4", false)],
        kernel: Some(KernelState {
            state: "installed".into(),
            reason: None,
            detail: None,
        }),
        exported: vec![],
        rejected: vec![],
    };
    let expected = "\
10.20.0.0/24         unicast [tor-v4] * (100) [AS65009i]
\tvia 10.10.0.1 on eth0
                     unicast [tor2-v4] (100) [AS65009i]
\tvia 10.10.0.1 on eth0
";
    assert_eq!(super::route(&route, false), expected);
    let all = super::route(&route, true);
    for line in [
        "\tBGP.as_path: 65001 65009",
        "\tBGP.community: (65001:7)",
        "\tnot best: as-path-length",
        "\tkernel: installed",
    ] {
        assert!(
            all.lines().any(|l| l == line),
            "{line:?} is missing in\n{all}"
        );
    }
}

#[test]
fn counts_read_like_birds() {
    let count = |family: &str, routes| Count {
        family: family.into(),
        routes,
        of: 10,
        networks: 4,
    };
    let expected = "\
3 of 10 routes for 4 networks in ipv4
0 of 10 routes for 4 networks in ipv6
Total: 3 of 20 routes for 8 networks
";
    assert_eq!(counts(&[count("ipv4", 3), count("ipv6", 0)]), expected);
}

#[test]
fn stale_routes_are_marked_and_long_lived_ones_with_a_capital() {
    let stale = |best, long_lived_stale| Path {
        stale: true,
        long_lived_stale,
        ..path("tor", best)
    };
    let route = Route {
        prefix: "10.20.0.0/24".into(),
        paths: vec![stale(true, false), stale(false, true)],
        kernel: None,
        exported: vec![],
        rejected: vec![],
    };
    let text = super::route(&route, true);
    for line in [
        "10.20.0.0/24         unicast [tor] *s (100) [AS65009i]",
        "                     unicast [tor] S (100) [AS65009i]",
        "\tstale: kept over a restart of its neighbour",
        "\tstale for long: its neighbour did not come back within its restart time",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line:?} is missing in\n{text}"
        );
    }
    let json = serde_json::to_value(&route).unwrap();
    assert_eq!(json["paths"][0]["longLivedStale"], false);
    assert_eq!(json["paths"][1]["longLivedStale"], true);
}

#[test]
fn what_a_policy_did_names_the_rule() {
    let mut refused = path("tor", false);
    refused.not_best = Some("refused-policy".into());
    refused.rules = vec!["tor-in rule 3 (no-lab)".into()];
    let mut changed = path("tor2", true);
    changed.rules = vec!["tor-in rule 1".into()];
    let route = Route {
        prefix: "10.20.0.0/24".into(),
        paths: vec![changed, refused],
        kernel: None,
        exported: vec![],
        rejected: vec![Rejected {
            to: "tor3".into(),
            rule: "tor-out rule 2".into(),
        }],
    };
    let all = super::route(&route, true);
    for line in [
        "\tpolicy: tor-in rule 1",
        "\trefused-policy: rejected by policy tor-in rule 3 (no-lab)",
        "\tnot exported to tor3: rejected by policy tor-out rule 2",
    ] {
        assert!(
            all.lines().any(|l| l == line),
            "{line:?} is missing in\n{all}"
        );
    }
}

#[test]
fn kernel_says_why_a_route_is_not_there() {
    let parked = KernelState {
        state: "parked".into(),
        reason: Some("foreign-route".into()),
        detail: Some("a static route to this prefix is there already".into()),
    };
    let view = Kernel {
        table: 254,
        metric: 20,
        protocol: 186,
        totals: KernelTotals {
            parked: 1,
            ..KernelTotals::default()
        },
        silent: Vec::new(),
        routes: vec![KernelRoute {
            prefix: "10.20.0.0/24".into(),
            kind: "unicast".into(),
            gateways: vec!["via 10.10.0.1 on eth0".into()],
            state: parked,
        }],
    };
    let expected = "\
Table 254, metric 20, protocol 186: 0 installed, 0 pending, 1 parked, 0 stale
Prefix        Next hop               State
10.20.0.0/24  via 10.10.0.1 on eth0  parked: a static route to this prefix is there already [foreign-route]
";
    assert_eq!(kernel(&view), expected);
}

#[test]
fn bfd_sessions_say_how_fast_and_why_not() {
    let up = BfdSession {
        peer: "tor".into(),
        remote: "192.0.2.1".parse().unwrap(),
        interface: None,
        hops: "single".into(),
        state: "Up".into(),
        remote_state: "Up".into(),
        since: at(0),
        last_down: Some("detection-time-expired".into()),
        diagnostic: "none".into(),
        remote_diagnostic: "none".into(),
        transmit_interval_ms: 300,
        detection_time_ms: Some(900),
        failures: 2,
        sent: 9,
        received: 8,
        local_discriminator: 1,
        remote_discriminator: 2,
        control_plane_independent: false,
    };
    let down = BfdSession {
        peer: "unnumbered".into(),
        remote: "fe80::1".parse().unwrap(),
        interface: Some("eth1".into()),
        state: "Down".into(),
        transmit_interval_ms: 1000,
        detection_time_ms: None,
        failures: 1,
        ..up.clone()
    };
    let expected = "\
Peer        Address       Hops    State  Since                Interval  Timeout  Failures  Info
tor         192.0.2.1     single  Up     2026-05-28 20:26:40  0.300     0.900    2
unnumbered  fe80::1%eth1  single  Down   2026-05-28 20:26:40  1.000     ---      1         detection-time-expired
";
    assert_eq!(bfd_sessions(&[up, down], &style()), expected);
}
