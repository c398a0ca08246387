//! `watch` and `top`: the neighbours as they change. Pure; [`super::run`] asks and waits.

use std::fmt::Write as _;

use super::render::{Style, Table};
use crate::control::views::{Protocol, Status};

/// What has changed between two looks at the neighbours, one line each.
#[must_use]
pub fn changes(before: &[Protocol], now: &[Protocol]) -> Vec<String> {
    let find = |list: &[Protocol], name: &str| list.iter().position(|p| p.name == name);
    let mut lines = Vec::new();
    for protocol in now {
        let name = &protocol.name;
        let Some(old) = find(before, name).map(|at| &before[at]) else {
            lines.push(format!("{name}: new, {}", protocol.state));
            continue;
        };
        if old.state != protocol.state || old.established_count != protocol.established_count {
            let why = protocol.last_error.as_ref();
            let why = why.filter(|_| protocol.state != "Established");
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            lines.push(format!("{name}: {} -> {}{why}", old.state, protocol.state));
        }
        let (had, has) = (&old.routes, &protocol.routes);
        if (had.imported, had.exported) != (has.imported, has.exported) {
            lines.push(format!(
                "{name}: {} -> {} routes imported, {} -> {} exported",
                had.imported, has.imported, had.exported, has.exported
            ));
        }
    }
    let gone = before.iter().filter(|old| find(now, &old.name).is_none());
    lines.extend(gone.map(|old| format!("{}: gone", old.name)));
    lines
}

/// A frame of `top`: totals, and the neighbours with the most to do first.
#[must_use]
pub fn frame(
    status: &Status,
    before: &[Protocol],
    now: &[Protocol],
    seconds: f64,
    style: &Style,
) -> String {
    let mut out = String::new();
    let kernel = &status.kernel;
    let _ = writeln!(
        out,
        "{}  {}: {} of {} sessions up; kernel: {} installed, {} pending, {} parked",
        style.time(status.now),
        status.node,
        status.peers.established,
        status.peers.configured,
        kernel.installed,
        kernel.pending,
        kernel.parked
    );
    let rate = |now: u64, before: u64| {
        let messages = now.saturating_sub(before);
        // Rates are for reading: what a float loses of such numbers is never seen.
        #[expect(clippy::cast_precision_loss, reason = "a rate for reading")]
        let messages = messages as f64;
        messages / seconds.max(0.001)
    };
    let mut rows: Vec<(f64, Vec<String>)> = now
        .iter()
        .map(|p| {
            let old = before.iter().find(|old| old.name == p.name).unwrap_or(p);
            let inward = rate(p.messages.updates_in, old.messages.updates_in);
            let outward = rate(p.messages.updates_out, old.messages.updates_out);
            let flaps = p.established_count.saturating_sub(1);
            let cells = vec![
                p.name.clone(),
                p.state.clone(),
                format!("{inward:.1}"),
                format!("{outward:.1}"),
                p.routes.imported.to_string(),
                p.routes.exported.to_string(),
                flaps.to_string(),
            ];
            (inward + outward, cells)
        })
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let rows: Vec<_> = rows.into_iter().map(|(_, cells)| cells).collect();
    let header = [
        "Peer",
        "State",
        "UPDATE in/s",
        "out/s",
        "Imported",
        "Exported",
        "Flaps",
    ];
    out.push_str(&Table::new(&header, rows).text());
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::tz::TimeZone;
    use serde_json::Value;

    use super::*;

    /// Answers of a daemon.
    fn sample<T: serde::de::DeserializeOwned>(command: &str) -> T {
        let all: BTreeMap<String, Value> =
            serde_json::from_str(include_str!("render/tests/samples.json")).unwrap();
        serde_json::from_value(all[command].clone()).unwrap()
    }

    /// A session that is up, and one that is not.
    fn neighbours() -> (Protocol, Protocol) {
        let list: Vec<Protocol> = sample("show protocols");
        let [up, down] = list.try_into().unwrap();
        (up, down)
    }

    #[test]
    fn what_stays_is_not_said() {
        let (mut up, down) = neighbours();
        let before = [up.clone(), down.clone()];
        up.messages.updates_in += 1;
        up.hold_remaining = Some(1.0);
        assert_eq!(changes(&before, &[up, down]), [""; 0]);
    }

    #[test]
    fn neighbours_come_go_flap_and_tell_routes() {
        let (up, down) = neighbours();
        let name = up.name.clone();
        let change = |before: &[Protocol], now: &[Protocol]| changes(before, now);
        assert_eq!(
            change(&[], std::slice::from_ref(&up)),
            [format!("{name}: new, Established")]
        );
        assert_eq!(
            change(std::slice::from_ref(&up), &[]),
            [format!("{name}: gone")]
        );
        let mut lost = up.clone();
        lost.state = "Active".to_owned();
        lost.last_error = Some("hold-timer-expired".to_owned());
        assert_eq!(
            change(&[up.clone(), down.clone()], &[lost, down]),
            [format!(
                "{name}: Established -> Active (hold-timer-expired)"
            )]
        );
        // Between two looks it was down for a moment.
        let mut flapped = up.clone();
        flapped.established_count += 1;
        assert_eq!(
            change(std::slice::from_ref(&up), &[flapped]),
            [format!("{name}: Established -> Established")]
        );
        let mut more = up.clone();
        more.routes.imported += 5;
        assert_eq!(
            change(&[up], &[more]),
            [format!("{name}: 2 -> 7 routes imported, 1 -> 1 exported")]
        );
    }

    #[test]
    fn those_with_the_most_to_do_come_first() {
        let (up, down) = neighbours();
        let before = [up.clone(), down.clone()];
        let (mut quiet, mut busy) = (up, down);
        quiet.messages.updates_out += 2;
        busy.messages.updates_in += 10;
        busy.established_count = 4;
        let style = Style {
            zone: TimeZone::UTC,
            width: None,
        };
        let frame = frame(&sample("show status"), &before, &[quiet, busy], 2.0, &style);
        let rows: Vec<Vec<&str>> = frame
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(frame.contains("2 of 3 sessions up; kernel: 3 installed, 0 pending, 1 parked"));
        assert_eq!(
            rows[2],
            ["tor-rack1-a", "Active", "5.0", "0.0", "0", "0", "3"]
        );
        assert_eq!(
            rows[3],
            [
                "mesh-rack1-node-12",
                "Established",
                "0.0",
                "1.0",
                "2",
                "1",
                "1"
            ]
        );
    }
}
