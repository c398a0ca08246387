use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use super::*;

#[test]
fn an_empty_snapshot_is_a_valid_page() {
    let text = encode(&Snapshot::default()).unwrap();
    assert!(text.contains("redstart_build_info{version="), "{text}");
    assert!(text.contains("redstart_ready 0"), "{text}");
}

fn took(milliseconds: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    for n in milliseconds {
        histogram.record(Duration::from_millis(*n));
    }
    histogram
}

fn one<K: From<&'static str> + Ord>(key: &'static str, n: u64) -> BTreeMap<K, u64> {
    BTreeMap::from([(key.into(), n)])
}

fn update_log() -> UpdateLog {
    UpdateLog {
        writing: true,
        records: 70,
        octets: 4000,
        lost: 5,
    }
}

/// Something of everything.
fn full() -> Snapshot {
    Snapshot {
        sessions: BTreeMap::from([(("mesh".into(), "Established".into()), 499)]),
        routers: vec![Router {
            name: "tor".into(),
            established: true,
            established_count: 2,
            imported: 7,
            exported: 3,
            bfd: Some((false, 4)),
        }],
        messages: BTreeMap::from([(("router", "received", "update"), 11)]),
        prefixes: one("ipv4", 500),
        originated: 2,
        refused: BTreeMap::from([(("mesh".into(), "as-loop".into()), 1)]),
        kernel_routes: BTreeMap::from([("installed", 12), ("parked", 3)]),
        kernel_parked: one("link-down", 3),
        kernel_operations: one("add", 15),
        kernel_drift: 1,
        connections_refused: one("unknown-peer", 6),
        objects: one("Node", 500),
        source_healthy: BTreeMap::from([("Node".into(), true)]),
        watches: vec![Watch {
            kind: "Node",
            connected: true,
            listings: 1,
            failures: 3,
            invalid: 0,
            last_event: Some(1_700_000_001),
        }],
        cache: Some(Cache {
            written: Some(1_700_000_000),
            objects: 501,
            ..Cache::default()
        }),
        problems: BTreeMap::from([(("BGPPeer".into(), "own-address".into()), 1)]),
        bfd_sessions: BTreeMap::from([("Up".into(), 498), ("Down".into(), 1)]),
        bfd_discarded: one("unknown-session", 8),
        stations: vec![Station {
            address: "10.10.0.5:11019".into(),
            synchronised: true,
            connections: 1,
            too_slow: 0,
            messages: 9,
        }],
        update_log: Some(update_log()),
        ready: true,
        event_to_wire: BTreeMap::from([("mesh", took(&[3, 120])), ("router", took(&[]))]),
        update_to_kernel: took(&[1, 2, 61_000]),
        process: Some(Process {
            cpu_seconds: 12.25,
            resident_bytes: 30_000_000,
            virtual_bytes: 80_000_000,
            start_seconds: 1_700_000_000.5,
            threads: 4,
            open_fds: 40,
            max_fds: Some(1024),
        }),
    }
}

#[test]
fn the_page_as_a_whole() {
    let page = encode(&full()).unwrap();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    insta::assert_snapshot!(page.replace(&version, "version=\"VERSION\""));
}

/// Names, units and help texts by the conventions, which `promtool` (Debian: prometheus) knows.
#[test]
fn prometheus_has_nothing_to_say_of_names_and_types() {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let page = encode(&full()).unwrap();
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(page.as_bytes()).unwrap();
    drop(input);
    let said = promtool.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}");
    assert!(said.stdout.is_empty() && said.stderr.is_empty(), "{said:?}");
}

#[test]
fn a_histogram_adds_up() {
    let page = encode(&full()).unwrap();
    for line in [
        "redstart_event_to_wire_seconds_bucket{role=\"mesh\",le=\"0.0025\"} 0",
        "redstart_event_to_wire_seconds_bucket{role=\"mesh\",le=\"0.005\"} 1",
        "redstart_event_to_wire_seconds_bucket{role=\"mesh\",le=\"+Inf\"} 2",
        "redstart_event_to_wire_seconds_sum{role=\"mesh\"} 0.123",
        "redstart_event_to_wire_seconds_count{role=\"router\"} 0",
        "redstart_update_to_kernel_seconds_bucket{le=\"60\"} 2",
        "redstart_update_to_kernel_seconds_bucket{le=\"+Inf\"} 3",
        "redstart_update_to_kernel_seconds_sum 61.003",
        "redstart_update_to_kernel_seconds_count 3",
        "process_cpu_seconds_total 12.25",
    ] {
        assert!(page.lines().any(|l| l == line), "no {line} in\n{page}");
    }
}

#[test]
fn routers_are_named_and_the_mesh_is_counted() {
    let text = encode(&full()).unwrap();
    for line in [
        "redstart_sessions{role=\"mesh\",state=\"Established\"} 499",
        "redstart_router_up{peer=\"tor\"} 1",
        "redstart_router_established_total{peer=\"tor\"} 2",
        "redstart_router_routes{direction=\"imported\",peer=\"tor\"} 7",
        "redstart_bfd_sessions{state=\"Up\"} 498",
        "redstart_router_bfd_up{peer=\"tor\"} 0",
        "redstart_router_bfd_failures_total{peer=\"tor\"} 4",
        "redstart_kernel_routes{state=\"installed\"} 12",
        "redstart_watch_connected{kind=\"Node\"} 1",
        "redstart_watch_failures_total{kind=\"Node\"} 3",
        "redstart_mrt_log_writing 1",
        "redstart_mrt_log_lost_records_total 5",
        "redstart_cache_in_force 0",
        "redstart_cache_written_timestamp_seconds 1700000000",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing in\n{text}"
        );
    }
}
