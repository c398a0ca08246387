//! `show route` and `show kernel`.

use std::fmt::Write as _;

use super::Table;
use crate::control::views::{Count, Kernel, KernelState, Path, Rejected, Route};

/// A destination of `show route`.
#[must_use]
pub fn route(route: &Route, all: bool) -> String {
    let mut out = String::new();
    for (i, path) in route.paths.iter().enumerate() {
        let prefix = if i == 0 { route.prefix.as_str() } else { "" };
        out.push_str(&path_line(prefix, path));
        out.push('\n');
        for gateway in &path.gateways {
            let _ = writeln!(out, "\t{gateway}");
        }
        if let Some(why) = path.not_best.as_ref().filter(|_| path.is_refused()) {
            let _ = writeln!(out, "\t{why}{}", by(&path.rules));
        }
        if let Some(why) = &path.unresolved {
            let _ = writeln!(out, "\tunreachable: {why}");
        }
        if all {
            out.push_str(&path_details(path));
        }
    }
    if all {
        out.push_str(&route_details(route));
    }
    out
}

/// `show route count`, as birdc says it.
#[must_use]
pub fn counts(counts: &[Count]) -> String {
    let mut out = String::new();
    for count in counts {
        let Count {
            family,
            routes,
            of,
            networks,
        } = count;
        let _ = writeln!(
            out,
            "{routes} of {of} routes for {networks} networks in {family}"
        );
    }
    let total = |number: fn(&Count) -> u64| counts.iter().map(number).sum::<u64>();
    let (routes, of) = (total(|c| c.routes), total(|c| c.of));
    let networks = total(|c| c.networks);
    let _ = writeln!(
        out,
        "Total: {routes} of {of} routes for {networks} networks"
    );
    out
}

/// What birdc puts behind the name of the protocol: `*` the best path, `+` one that shares the traffic
/// with it, `s` one that is kept over a graceful restart, `S` one that is kept beyond it.
fn marks(path: &Path) -> String {
    let place = match (path.best, path.multipath) {
        (true, _) => "*",
        (false, true) => "+",
        (false, false) => "",
    };
    let stale = match (path.long_lived_stale, path.stale) {
        (true, _) => "S",
        (false, true) => "s",
        (false, false) => "",
    };
    let marks = format!("{place}{stale}");
    if marks.is_empty() {
        marks
    } else {
        format!(" {marks}")
    }
}

fn path_line(prefix: &str, path: &Path) -> String {
    let mark = marks(path);
    let kind = if path.kind == "local" {
        "local"
    } else {
        "unicast"
    };
    let origin_as = path
        .as_path
        .split(' ')
        .next_back()
        .filter(|a| !a.is_empty());
    let origin_as = origin_as.map(|a| format!("AS{a}")).unwrap_or_default();
    let origin = path.origin.chars().next().map_or('?', |c| match c {
        'I' if path.origin == "IGP" => 'i',
        'E' => 'e',
        _ => '?',
    });
    let object = path
        .object
        .as_ref()
        .map(|o| format!(" {o}"))
        .unwrap_or_default();
    format!(
        "{prefix:<20} {kind} [{}]{mark} ({}) [{origin_as}{origin}]{object}",
        path.from,
        path.local_pref.unwrap_or(100)
    )
}

/// Which rules it was.
fn by(rules: &[String]) -> String {
    if rules.is_empty() {
        String::new()
    } else {
        format!(": rejected by policy {}", rules.join(", "))
    }
}

fn path_details(path: &Path) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(out, "\tBGP.{label}: {value}");
    };
    for (name, value) in path.attributes() {
        line(name, value);
    }
    for (label, list) in [
        ("community", &path.communities),
        ("ext_community", &path.extended_communities),
        ("large_community", &path.large_communities),
        ("cluster_list", &path.cluster_list),
    ] {
        if !list.is_empty() {
            line(
                label,
                list.iter()
                    .map(|c| format!("({c})"))
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        }
    }
    if let Some(id) = &path.originator_id {
        line("originator_id", id.clone());
    }
    if let Some(prefix) = &path.through {
        let _ = writeln!(out, "\tNext hop through: {prefix}");
    }
    if path.is_refused() {
        return out;
    }
    if let Some(step) = &path.not_best {
        let _ = writeln!(out, "\tnot best: {step}");
    }
    if path.long_lived_stale {
        out.push_str("\tstale for long: its neighbour did not come back within its restart time\n");
    } else if path.stale {
        out.push_str("\tstale: kept over a restart of its neighbour\n");
    }
    if !path.rules.is_empty() {
        let _ = writeln!(out, "\tpolicy: {}", path.rules.join(", "));
    }
    out
}

fn route_details(route: &Route) -> String {
    let mut out = String::new();
    if let Some(state) = &route.kernel {
        let _ = writeln!(out, "\tkernel: {}", kernel_text(state));
    }
    if !route.exported.is_empty() {
        let _ = writeln!(out, "\texported to: {}", route.exported.join(", "));
    }
    for Rejected { to, rule } in &route.rejected {
        let _ = writeln!(out, "\tnot exported to {to}: rejected by policy {rule}");
    }
    out
}

/// `show kernel`
#[must_use]
pub fn kernel(k: &Kernel) -> String {
    let mut out = format!(
        "Table {}, metric {}, protocol {}: {} installed, {} pending, {} parked, {} stale\n",
        k.table,
        k.metric,
        k.protocol,
        k.totals.installed,
        k.totals.pending,
        k.totals.parked,
        k.totals.stale
    );
    if let Some(error) = &k.totals.error {
        let _ = writeln!(out, "The kernel is not reachable: {error}");
    }
    for gateway in &k.silent {
        let _ = writeln!(out, "No answer (ARP, Neighbour Discovery): {gateway}");
    }
    let rows: Vec<_> = k
        .routes
        .iter()
        .map(|r| {
            let how = if r.kind == "unicast" {
                r.gateways.join(", ")
            } else {
                r.kind.clone()
            };
            vec![r.prefix.clone(), how, kernel_text(&r.state)]
        })
        .collect();
    if !rows.is_empty() {
        out.push_str(&Table::new(&["Prefix", "Next hop", "State"], rows).text());
    }
    out
}

fn kernel_text(state: &KernelState) -> String {
    let why = match (&state.reason, &state.detail) {
        (Some(reason), Some(detail)) => format!(": {detail} [{reason}]"),
        (Some(reason), None) => format!(" [{reason}]"),
        _ => String::new(),
    };
    format!("{}{why}", state.state)
}
