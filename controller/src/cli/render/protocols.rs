//! `show protocols` and `show bfd sessions`.

use std::{fmt::Write as _, time::Duration};

use super::{Style, Table};
use crate::control::views::{BfdSession, Protocol};

/// `show protocols`
#[must_use]
pub fn protocols(list: &[Protocol], all: bool, style: &Style) -> String {
    if !all {
        return protocol_table(list, style).text();
    }
    let block = |p: &Protocol| {
        let line = protocol_table(std::slice::from_ref(p), style).text();
        line + &protocol_details(p, style)
    };
    list.iter().map(block).collect::<Vec<_>>().join("\n")
}

/// The same as a table.
#[must_use]
pub fn protocol_table(list: &[Protocol], style: &Style) -> Table {
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
    Table::new(&header, list.iter().map(row).collect())
}

/// BIRD's word for a state: `up` with a session, `start` while trying, `down` otherwise.
fn bird_state(state: &str) -> &'static str {
    match state {
        "Established" => "up",
        "Idle" => "down",
        _ => "start",
    }
}

fn detail(out: &mut String, label: &str, value: &str) {
    let line = format!("  {:<24}{value}", format!("{label}:"));
    let _ = writeln!(out, "{}", line.trim_end());
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

/// `show bfd sessions`
#[must_use]
pub fn bfd_sessions(list: &[BfdSession], style: &Style) -> String {
    bfd_table(list, style).text()
}

/// The same as a table.
#[must_use]
pub fn bfd_table(list: &[BfdSession], style: &Style) -> Table {
    let header = [
        "Peer", "Address", "Hops", "State", "Since", "Interval", "Timeout", "Failures", "Info",
    ];
    let row = |s: &BfdSession| {
        let address = match &s.interface {
            Some(interface) => format!("{}%{interface}", s.remote),
            None => s.remote.to_string(),
        };
        let seconds = |ms: u64| format!("{:.3}", Duration::from_millis(ms).as_secs_f64());
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
    Table::new(&header, list.iter().map(row).collect())
}
