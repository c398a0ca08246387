//! Alert rules and dashboard: that they ask for metrics that there are, that Prometheus takes them, and
//! that each alert fires when it should and at no other time. Needs `promtool` (Debian: prometheus).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use redstart_controller::metrics::{self, Cache, Process, Router, Snapshot, Watch};
use redstart_rib::histogram::Histogram;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn manifest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../manifests/monitoring")
        .join(name)
}

fn rules() -> Vec<Rule> {
    let text = fs::read_to_string(manifest("alerts.yaml")).unwrap();
    let rules: Rules = serde_saphyr::from_str(&text).unwrap();
    rules.groups.into_iter().flat_map(|g| g.rules).collect()
}

/// What the panels of the dashboard ask for.
fn asked_by_panels() -> Vec<String> {
    let text = fs::read_to_string(manifest("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|p| p["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// The names of every metric that a speaker may have.
fn metrics() -> BTreeSet<String> {
    let one = || BTreeMap::from([("x".to_owned(), 1)]);
    let snapshot = Snapshot {
        sessions: BTreeMap::from([(("mesh".to_owned(), "Established".to_owned()), 1)]),
        routers: vec![Router {
            name: "tor".to_owned(),
            bfd: Some((true, 0)),
            ..Router::default()
        }],
        messages: BTreeMap::from([(("mesh", "in", "update"), 1)]),
        prefixes: one(),
        refused: BTreeMap::from([(("mesh".to_owned(), "as-loop".to_owned()), 1)]),
        kernel_routes: BTreeMap::from([("installed", 1)]),
        kernel_operations: BTreeMap::from([("add", 1)]),
        connections_refused: one(),
        objects: one(),
        source_healthy: BTreeMap::from([("Node".to_owned(), true)]),
        watches: vec![Watch {
            kind: "Node",
            last_event: Some(1),
            ..Watch::default()
        }],
        cache: Some(Cache {
            written: Some(1),
            ..Cache::default()
        }),
        problems: BTreeMap::from([(("Node".to_owned(), "x".to_owned()), 1)]),
        stations: vec![metrics::Station {
            address: "10.10.0.5:11019".to_owned(),
            ..metrics::Station::default()
        }],
        update_log: Some(metrics::UpdateLog::default()),
        bfd_sessions: one(),
        bfd_discarded: one(),
        kernel_parked: BTreeMap::from([("link-down", 1)]),
        event_to_wire: BTreeMap::from([("mesh", Histogram::default())]),
        process: Some(Process {
            max_fds: Some(1),
            ..Process::default()
        }),
        ..Snapshot::default()
    };
    let page = metrics::encode(&snapshot).unwrap();
    let named = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let named = named.filter_map(|line| line.split_once(' '));
    let series = |(name, kind): (&str, &str)| match kind {
        "histogram" => ["bucket", "sum", "count"]
            .map(|part| format!("{name}_{part}"))
            .to_vec(),
        _ => vec![name.to_owned()],
    };
    named.flat_map(series).collect()
}

/// The names of our metrics in an expression.
fn names(expr: &str) -> impl Iterator<Item = &str> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = ["redstart_", "process_"];
    words.filter(move |word| ours.iter().any(|prefix| word.starts_with(prefix)))
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("promtool (Debian: prometheus) is needed: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn rules_and_panels_ask_for_metrics_that_there_are() {
    let there = metrics();
    let asked = rules().into_iter().map(|rule| rule.expr);
    let asked: Vec<String> = asked.chain(asked_by_panels()).collect();
    assert!(asked.len() >= 40, "{}", asked.len());
    for expr in &asked {
        for name in names(expr) {
            assert!(there.contains(name), "there is no {name}: {expr}");
        }
    }
}

#[test]
fn prometheus_understands_rules_and_panels() {
    let alerts = manifest("alerts.yaml");
    promtool(&["check", "rules", &alerts.to_string_lossy()]);
    // A panel's expression is taken for a rule that records it.
    let mut text = "groups:\n- name: panels\n  rules:\n".to_owned();
    for (n, expr) in asked_by_panels().iter().enumerate() {
        let expr = expr.replace("$__rate_interval", "5m");
        let expr = serde_json::to_string(&expr).unwrap();
        writeln!(text, "  - {{ record: 'panel:{n}', expr: {expr} }}").unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panels.yaml");
    fs::write(&path, text).unwrap();
    promtool(&["check", "rules", &path.to_string_lossy()]);
}

#[test]
fn each_rule_says_what_is_wrong_what_follows_and_what_to_do() {
    for rule in rules() {
        let name = &rule.alert;
        let severity = rule.labels["severity"].as_str();
        assert!(matches!(severity, "warning" | "critical"), "{name}");
        for part in ["summary", "description", "runbook"] {
            assert!(rule.annotations[part].len() > 20, "{name}: {part}");
        }
        let runbook = &rule.annotations["runbook"];
        let tool = ["redc ", "kubectl ", "ip monitor"];
        assert!(tool.iter().any(|tool| runbook.contains(tool)), "{name}");
    }
}

/// The document has a table with a row for each metric, and with no other.
#[test]
fn every_metric_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/MONITORING.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter_map(|row| row.split(['`', '{']).next());
    let documented: BTreeSet<&str> = rows.filter(|name| names(name).next().is_some()).collect();
    let there = metrics();
    let part = |name: &str| {
        let whole = ["_bucket", "_sum", "_count"];
        let whole = whole.iter().find_map(|part| name.strip_suffix(part));
        whole.unwrap_or(name).to_owned()
    };
    let there: BTreeSet<String> = there.iter().map(|name| part(name)).collect();
    let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
    assert_eq!(documented, there);
}

/// When an alert fires: the series from minute 0 on, one a line, in which it is healthy for ten minutes,
/// and the minute by which the alert fires.
struct Case {
    alert: &'static str,
    series: &'static str,
    values: &'static str,
    fires: u32,
    /// The labels of the alert beside its severity.
    labels: &'static [(&'static str, &'static str)],
}

const N1: (&str, &str) = ("instance", "n1");
const TOR: (&str, &str) = ("peer", "tor");

const CASES: [Case; 16] = [
    Case {
        alert: "RedstartDown",
        series: r#"up{job="redstart", instance="n1"}"#,
        values: "1x10 0x20",
        fires: 14,
        labels: &[N1, ("job", "redstart")],
    },
    Case {
        alert: "RedstartNotReady",
        series: r#"redstart_ready{instance="n1"}"#,
        values: "1x10 0x20",
        fires: 17,
        labels: &[N1],
    },
    Case {
        alert: "RedstartNodeIsolated",
        series: r#"redstart_router_up{instance="n1", peer="tor"}"#,
        values: "1x10 0x20",
        fires: 13,
        labels: &[N1],
    },
    Case {
        alert: "RedstartRouterDown",
        series: r#"redstart_router_up{instance="n1", peer="tor"}"#,
        values: "1x10 0x20",
        fires: 17,
        labels: &[N1, TOR],
    },
    Case {
        alert: "RedstartRouterFlapping",
        series: r#"redstart_router_established_total{instance="n1", peer="tor"}"#,
        values: "1x10 1+1x20",
        fires: 20,
        labels: &[N1, TOR],
    },
    Case {
        alert: "RedstartBfdFlapping",
        series: r#"redstart_router_bfd_failures_total{instance="n1", peer="tor"}"#,
        values: "0x10 0+1x20",
        fires: 20,
        labels: &[N1, TOR],
    },
    Case {
        alert: "RedstartMeshIncomplete",
        series: r#"redstart_sessions{instance="n1", role="mesh", state="Active"}"#,
        values: "0x10 2x30",
        fires: 23,
        labels: &[N1],
    },
    Case {
        alert: "RedstartRoutesRefused",
        series: r#"redstart_routes_refused{instance="n1", role="mesh", reason="not-allowed"}"#,
        values: "0x10 1x30",
        fires: 23,
        labels: &[N1, ("role", "mesh"), ("reason", "not-allowed")],
    },
    Case {
        alert: "RedstartKernelRoutesParked",
        series: r#"redstart_kernel_routes{instance="n1", state="parked"}"#,
        values: "0x10 3x30",
        fires: 18,
        labels: &[N1, ("state", "parked")],
    },
    Case {
        alert: "RedstartKernelDrift",
        series: r#"redstart_kernel_drift_total{instance="n1"}"#,
        values: "0x10 0+2x20",
        fires: 25,
        labels: &[N1],
    },
    Case {
        alert: "RedstartKernelSlow",
        series: r#"redstart_update_to_kernel_seconds_bucket{instance="n1", le="1"}
            redstart_update_to_kernel_seconds_bucket{instance="n1", le="30"}
            redstart_update_to_kernel_seconds_bucket{instance="n1", le="+Inf"}"#,
        values: "0+6x10 60x40
            0+6x50
            0+6x50",
        fires: 26,
        labels: &[N1],
    },
    Case {
        alert: "RedstartNeighboursToldLate",
        series: r#"redstart_event_to_wire_seconds_bucket{instance="n1", role="router", le="1"}
            redstart_event_to_wire_seconds_bucket{instance="n1", role="router", le="30"}
            redstart_event_to_wire_seconds_bucket{instance="n1", role="router", le="+Inf"}"#,
        values: "0+6x10 60x40
            0+6x50
            0+6x50",
        fires: 26,
        labels: &[N1, ("role", "router")],
    },
    Case {
        alert: "RedstartObjectProblems",
        series: r#"redstart_object_problems{instance="n1", kind="BGPPeer", reason="own-address"}"#,
        values: "0x10 1x30",
        fires: 28,
        labels: &[("kind", "BGPPeer"), ("reason", "own-address")],
    },
    Case {
        alert: "RedstartWatchLost",
        series: r#"redstart_watch_connected{instance="n1", kind="Node"}"#,
        values: "1x10 0x30",
        fires: 23,
        labels: &[N1],
    },
    Case {
        alert: "RedstartObjectsFromDisk",
        series: r#"redstart_cache_in_force{instance="n1"}"#,
        values: "0x10 1x30",
        fires: 28,
        labels: &[N1],
    },
    Case {
        alert: "RedstartCacheNotWritten",
        series: r#"redstart_cache_write_failures_total{instance="n1"}"#,
        values: "0x10 0+1x20",
        fires: 14,
        labels: &[N1],
    },
];

/// The test of a case for promtool: nothing while all is well, and the alert with its texts later.
fn test_of(case: &Case, rule: &Rule) -> Value {
    let series = case.series.lines().zip(case.values.lines());
    let series = series.map(
        |(series, values)| serde_json::json!({ "series": series.trim(), "values": values.trim() }),
    );
    let mut labels: BTreeMap<&str, &str> = case.labels.iter().copied().collect();
    let fill = |text: &String| {
        let mut text = text.clone();
        for (name, value) in case.labels {
            text = text.replace(&format!("{{{{ $labels.{name} }}}}"), value);
        }
        assert!(!text.contains("{{"), "{}: {text}", rule.alert);
        text
    };
    let annotations: BTreeMap<_, _> = rule
        .annotations
        .iter()
        .map(|(name, text)| (name, fill(text)))
        .collect();
    labels.insert("severity", &rule.labels["severity"]);
    serde_json::json!({
        "interval": "1m",
        "input_series": series.collect::<Vec<_>>(),
        "alert_rule_test": [
            { "eval_time": "10m", "alertname": case.alert, "exp_alerts": [] },
            {
                "eval_time": format!("{}m", case.fires),
                "alertname": case.alert,
                "exp_alerts": [{ "exp_labels": labels, "exp_annotations": annotations }],
            },
        ],
    })
}

#[test]
fn each_alert_fires_when_it_should_and_at_no_other_time() {
    let rules = rules();
    let tests = rules.iter().map(|rule| {
        let case = CASES.iter().find(|case| case.alert == rule.alert);
        let case = case.unwrap_or_else(|| panic!("no case for {}", rule.alert));
        test_of(case, rule)
    });
    let file = serde_json::json!({
        "rule_files": [manifest("alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": tests.collect::<Vec<_>>(),
    });
    let dir = tempfile::tempdir().unwrap();
    // JSON is YAML.
    let path = dir.path().join("tests.yaml");
    fs::write(&path, file.to_string()).unwrap();
    promtool(&["test", "rules", &path.to_string_lossy()]);
}
