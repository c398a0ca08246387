//! `diff`, `validate` and `history`

use std::fmt::Write as _;

use super::Style;
use crate::control::views::{Diff, HistoryEntry, Problem, RouteDiff, SessionDiff};

/// `diff`
#[must_use]
pub fn diff(d: &Diff) -> String {
    let mut out = String::new();
    for SessionDiff {
        peer,
        change,
        reason,
    } in &d.sessions
    {
        let says = match change.as_str() {
            "new" => "a new session",
            "ends" => "the session ends",
            "ends-when-replaced" => "the session ends once its routes have come another way",
            "resets" => "THE SESSION RESETS",
            "next-session" => "the session stays; the next one will have all of the change",
            _ => "the session stays; the change applies at once",
        };
        let why = reason
            .as_ref()
            .map(|why| format!(" ({why})"))
            .unwrap_or_default();
        let _ = writeln!(out, "session {peer}: {says}{why}");
    }
    for route in &d.routes {
        out.push_str(&route_lines(route));
    }
    for peer in &d.policies {
        let _ = writeln!(out, "policies of {peer}: its routes are judged again");
    }
    if d.kernel {
        out.push_str("kernel: routes are written in another way\n");
    }
    out.push_str(&problems(&d.problems));
    if out.is_empty() {
        out.push_str("Nothing would change\n");
    }
    out
}

fn route_lines(route: &RouteDiff) -> String {
    let RouteDiff { prefix, object, .. } = route;
    let mut out = String::new();
    for (sign, what, peers) in [
        ('+', "told to", &route.told),
        ('-', "withdrawn from", &route.withdrawn),
        ('~', "told differently to", &route.changed),
    ] {
        if !peers.is_empty() {
            let _ = writeln!(
                out,
                "{sign} {prefix} ({object}) {what} {}",
                peers.join(", ")
            );
        }
    }
    if out.is_empty() {
        let _ = writeln!(out, "~ {prefix} ({object}) nobody notices");
    }
    out
}

/// What is wrong with objects, one line each.
#[must_use]
pub fn problems(list: &[Problem]) -> String {
    let line = |p: &Problem| {
        let place = if p.field.is_empty() {
            String::new()
        } else {
            format!(" {}", p.field)
        };
        format!(
            "{}: {}{place}: {} [{}]\n",
            p.severity, p.object, p.message, p.reason
        )
    };
    list.iter().map(line).collect()
}

/// `history`, with the name of the neighbour in each line where it is of all of them.
#[must_use]
pub fn history(list: &[HistoryEntry], of_all: bool, style: &Style) -> String {
    let width = list.iter().map(|e| e.peer.chars().count()).max();
    let width = width.unwrap_or_default();
    let line = |e: &HistoryEntry| {
        let times = match e.times {
            1 => String::new(),
            times => format!(" ({times} times until {})", style.time(e.until)),
        };
        let peer = if of_all {
            format!("{:width$}  ", e.peer)
        } else {
            String::new()
        };
        format!("{}  {peer}{}{times}\n", style.time(e.at), e.text)
    };
    match list {
        [] => "Nothing has happened yet\n".to_owned(),
        list => list.iter().map(line).collect(),
    }
}
