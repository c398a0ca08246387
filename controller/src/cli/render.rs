//! Answers as text, in the manner of BIRD 2.
//!
//! Pure: values in, a string out; the local time zone is an argument. Widths follow the content, so
//! a long node name never runs into the next column.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use crate::control::views::{
    Annotated, BfdSession, Cache, Kernel, KernelState, Path, Protocol, Rejected, Route, Service,
    Status,
};

/// How to print times.
#[derive(Clone, Debug)]
pub struct Style {
    /// The zone of the reader.
    pub zone: TimeZone,
}

impl Style {
    fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }
}

/// `show services`
#[must_use]
pub fn services(services: &[Service]) -> String {
    let row = |s: &Service| {
        let state = match &s.reason {
            Some(reason) => format!("{} ({reason})", s.state),
            None => s.state.clone(),
        };
        vec![
            s.service.clone(),
            s.kind.clone(),
            s.address.to_string(),
            state,
            s.prefixes.join(" "),
            s.peers.join(" "),
        ]
    };
    let rows: Vec<_> = services.iter().map(row).collect();
    let header = ["Service", "Kind", "Address", "State", "Prefixes", "Told to"];
    table(&header, &rows)
}

/// Columns of text, each as wide as its widest cell.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let header = header.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `show status`
#[must_use]
pub fn status(s: &Status, style: &Style) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "Redstart {} on node {}", s.version, s.node);
    let _ = writeln!(
        out,
        "Router ID is {}",
        s.router_id.as_deref().unwrap_or("not known yet")
    );
    if let Some(asn) = s.local_as {
        let _ = writeln!(out, "Local AS is {asn}");
    }
    let _ = writeln!(out, "Current server time is {}", style.time(s.now));
    let _ = writeln!(out, "Last reboot on {}", style.time(s.started));
    if let Some(at) = s.configured {
        let _ = writeln!(out, "Last reconfiguration on {}", style.time(at));
    }
    for l in &s.listeners {
        match &l.error {
            None => _ = writeln!(out, "Listening on {}", l.address),
            Some(error) => _ = writeln!(out, "Not listening on {}: {error}", l.address),
        }
    }
    for r in &s.ranges {
        let _ = writeln!(
            out,
            "Listen range {} of {}: {} of {} neighbours",
            r.prefix, r.name, r.neighbours, r.limit
        );
    }
    let _ = writeln!(
        out,
        "Sessions: {} of {} established",
        s.peers.established, s.peers.configured
    );
    let prefixes: Vec<_> = s.prefixes.iter().map(|(f, n)| format!("{n} {f}")).collect();
    let _ = writeln!(
        out,
        "Prefixes: {}; {} of our own",
        prefixes.join(", "),
        s.originated
    );
    if let Some(drain) = &s.drain {
        let _ = match drain.withdrawn_in {
            Some(left) => writeln!(
                out,
                "Draining ({}): routes are to be avoided, and withdrawn in {left:.0} s",
                drain.reason
            ),
            None => writeln!(out, "Drained ({}): routes are withdrawn", drain.reason),
        };
    }
    out.push_str(&status_kernel(s));
    out.push_str(&status_objects(s, style));
    if s.ready {
        out.push_str("Daemon is up and running\n");
    } else {
        let _ = writeln!(out, "Daemon is not ready: {}", s.not_ready.join("; "));
    }
    out
}

fn status_kernel(s: &Status) -> String {
    let k = &s.kernel;
    let mut out = format!(
        "Kernel: {} installed, {} pending, {} parked, {} stale\n",
        k.installed, k.pending, k.parked, k.stale
    );
    if let Some(error) = &k.error {
        let _ = writeln!(out, "Kernel: not reachable: {error}");
    }
    out
}

/// The copy on disk, its age, and whether it is all that there is.
fn status_cache(cache: &Cache, now: Timestamp, style: &Style) -> String {
    let written = cache.written.map_or("never written".to_owned(), |at| {
        let age = now.duration_since(at).as_secs().max(0);
        format!("written {}, {age} s ago", style.time(at))
    });
    let mut out = format!(
        "  On disk in {}: {} objects, {written}\n",
        cache.directory, cache.objects
    );
    if cache.in_force {
        out.push_str("  The objects on disk are in force: the API server has not listed every kind since the start\n");
    }
    if let Some(error) = &cache.error {
        let _ = writeln!(out, "  The disk: {error}");
    }
    out
}

fn status_objects(s: &Status, style: &Style) -> String {
    let mut out = format!("Objects from {}\n", s.source.description);
    for kind in &s.source.kinds {
        let state = if kind.listed {
            format!("{} objects", kind.objects)
        } else {
            "not listed yet".to_owned()
        };
        let trouble = kind
            .error
            .as_ref()
            .map(|e| format!(": {e}"))
            .unwrap_or_default();
        let _ = writeln!(out, "  {}: {state}{trouble}", kind.kind);
    }
    if let Some(cache) = &s.source.cache {
        out.push_str(&status_cache(cache, s.now, style));
    }
    if !s.problems.is_empty() {
        out.push_str("Problems:\n");
    }
    for p in &s.problems {
        let field = if p.field.is_empty() {
            String::new()
        } else {
            format!(" {}", p.field)
        };
        let _ = writeln!(
            out,
            "  {} {}{field}: {} [{}]",
            p.severity, p.object, p.message, p.reason
        );
    }
    out
}

/// `drain` and `undrain`
#[must_use]
pub fn annotated(a: &Annotated) -> String {
    let node = &a.node;
    match (&a.drain, a.changed) {
        (Some(since), true) => format!(
            "Node {node} is to be drained, since {since}; `redc show status` says how far it is\n"
        ),
        (Some(since), false) => format!("Node {node} was to be drained already, since {since}\n"),
        (None, _) => format!("Node {node} is not to be drained\n"),
    }
}

/// BIRD's word for a state: `up` with a session, `start` while trying, `down` otherwise.
fn bird_state(state: &str) -> &'static str {
    match state {
        "Established" => "up",
        "Idle" => "down",
        _ => "start",
    }
}

/// `show protocols`
#[must_use]
pub fn protocols(list: &[Protocol], all: bool, style: &Style) -> String {
    let header = ["Name", "Proto", "Table", "State", "Since", "Info"];
    let row = |p: &Protocol| {
        let error = match (&p.last_error, p.state.as_str()) {
            (Some(error), state) if state != "Established" => format!("  {error}"),
            _ => String::new(),
        };
        vec![
            p.name.clone(),
            "BGP".to_owned(),
            "---".to_owned(),
            bird_state(&p.state).to_owned(),
            style.time(p.since),
            format!("{}{error}", p.state),
        ]
    };
    if !all {
        return table(&header, &list.iter().map(row).collect::<Vec<_>>());
    }
    let blocks: Vec<String> = list
        .iter()
        .map(|p| {
            format!(
                "{}{}",
                table(&header, &[row(p)]),
                protocol_details(p, style)
            )
        })
        .collect();
    blocks.join("\n")
}

fn detail(out: &mut String, label: &str, value: &str) {
    let _ = writeln!(out, "  {:<24}{value}", format!("{label}:"));
}

fn protocol_details(p: &Protocol, style: &Style) -> String {
    let mut out = String::new();
    session_details(&mut out, p, style);
    traffic_details(&mut out, p);
    out
}

fn session_details(out: &mut String, p: &Protocol, style: &Style) {
    place_details(out, p);
    let mut line = |label: &str, value: String| detail(out, label, &value);
    line(
        "Neighbor AS",
        p.remote_as
            .map_or_else(|| "not known".to_owned(), |a| a.to_string()),
    );
    line("Local AS", p.local_as.to_string());
    if let Some(id) = &p.remote_router_id {
        line("Neighbor ID", id.clone());
    }
    if let Some(local) = p.local {
        line("Source address", local.to_string());
    }
    if !p.local_capabilities.is_empty() {
        line("Local capabilities", p.local_capabilities.join(", "));
    }
    if !p.remote_capabilities.is_empty() {
        line("Neighbor capabilities", p.remote_capabilities.join(", "));
    }
    if let (Some(left), Some(hold)) = (p.hold_remaining, p.hold_time) {
        line("Hold timer", format!("{left:.3}/{hold}"));
    }
    if let Some(keepalive) = p.keepalive {
        line("Keepalive timer", keepalive.to_string());
    }
    if let Some(left) = p.connect_remaining {
        line("Connect timer", format!("{left:.3}"));
    }
    if let Some(error) = &p.last_error {
        line("Last error", error.clone());
    }
    for (label, notice) in [
        ("Last received", &p.last_received),
        ("Last sent", &p.last_sent),
    ] {
        if let Some(notice) = notice {
            line(
                label,
                format!("{} at {}", notice.text, style.time(notice.at)),
            );
        }
    }
}

fn place_details(out: &mut String, p: &Protocol) {
    let mut line = |label: &str, value: String| detail(out, label, &value);
    line("Description", format!("{} peer from {}", p.role, p.object));
    line("BGP state", p.state.clone());
    if let Some(interface) = &p.interface {
        line("Interface", interface.clone());
    }
    line(
        "Neighbor address",
        p.remote
            .map_or_else(|| "not found".to_owned(), |a| a.to_string()),
    );
    if let Some(range) = &p.range {
        line(
            "Neighbor range",
            format!(
                "{} of {}, {} of {} neighbours",
                range.prefix, range.name, range.neighbours, range.limit
            ),
        );
    }
}

fn traffic_details(out: &mut String, p: &Protocol) {
    let mut line = |label: &str, value: String| detail(out, label, &value);
    line("Channels", p.families.join(", "));
    let r = &p.routes;
    line(
        "Routes",
        format!(
            "{} imported, {} exported, {} preferred, {} stale",
            r.imported, r.exported, r.preferred, r.stale
        ),
    );
    if !p.refused.is_empty() {
        let refused: Vec<_> = p
            .refused
            .iter()
            .map(|(why, n)| format!("{n} {why}"))
            .collect();
        line("Refused", refused.join(", "));
    }
    let m = &p.messages;
    line(
        "Messages",
        format!(
            "{} received ({} UPDATE), {} sent ({} UPDATE)",
            m.total_in, m.updates_in, m.total_out, m.updates_out
        ),
    );
    line("Established", format!("{} times", p.established_count));
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

/// What `show route filtered` leaves of the routes: paths that were refused.
#[must_use]
pub fn filtered(mut list: Vec<Route>) -> Vec<Route> {
    for route in &mut list {
        route.paths.retain(Path::is_refused);
    }
    list.retain(|route| !route.paths.is_empty());
    list
}

/// `show route`
#[must_use]
pub fn routes(list: &[Route], all: bool) -> String {
    let mut out = String::new();
    for route in list {
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
    }
    out
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
    line("origin", path.origin.clone());
    line("as_path", path.as_path.clone());
    if let Some(next_hop) = path.next_hop {
        line("next_hop", next_hop.to_string());
    }
    if let Some(med) = path.med {
        line("med", med.to_string());
    }
    if let Some(local_pref) = path.local_pref {
        line("local_pref", local_pref.to_string());
    }
    if let Some(aigp) = path.aigp {
        line("aigp", aigp.to_string());
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

fn kernel_text(state: &KernelState) -> String {
    let why = match (&state.reason, &state.detail) {
        (Some(reason), Some(detail)) => format!(": {detail} [{reason}]"),
        (Some(reason), None) => format!(" [{reason}]"),
        _ => String::new(),
    };
    format!("{}{why}", state.state)
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
        out.push_str(&table(&["Prefix", "Next hop", "State"], &rows));
    }
    out
}

/// `show bfd sessions`
#[must_use]
pub fn bfd_sessions(list: &[BfdSession], style: &Style) -> String {
    let header = [
        "Peer", "Address", "Hops", "State", "Since", "Interval", "Timeout", "Failures", "Info",
    ];
    let row = |s: &BfdSession| {
        let address = match &s.interface {
            Some(interface) => format!("{}%{interface}", s.remote),
            None => s.remote.to_string(),
        };
        let seconds =
            |ms: u64| format!("{:.3}", std::time::Duration::from_millis(ms).as_secs_f64());
        let why = s.last_down.clone().filter(|_| s.state != "Up");
        vec![
            s.peer.clone(),
            address,
            s.hops.clone(),
            s.state.clone(),
            style.time(s.since),
            seconds(s.transmit_interval_ms),
            s.detection_time_ms.map_or("---".to_owned(), seconds),
            s.failures.to_string(),
            why.unwrap_or_default(),
        ]
    };
    table(&header, &list.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
