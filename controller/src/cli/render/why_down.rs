//! `why-down`

use std::fmt::Write as _;

use super::Style;
use crate::control::views::WhyDown;

/// `why-down`
#[must_use]
pub fn why_down(w: &WhyDown, style: &Style) -> String {
    let mut out = String::new();
    let remote = w
        .remote
        .as_ref()
        .map(|remote| format!(" at {remote}"))
        .unwrap_or_default();
    let _ = writeln!(
        out,
        "{}{remote} (from {}): {} since {}",
        w.peer,
        w.object,
        w.state,
        style.time(w.since)
    );
    if w.causes.is_empty() {
        out.push_str("It is up: there is nothing to explain\n");
    }
    for (i, cause) in w.causes.iter().enumerate() {
        let lead = if i == 0 { "Because" } else { "Also" };
        let _ = writeln!(
            out,
            "{lead}: {} [{}]\n  Try: {}",
            cause.says, cause.id, cause.suggestion
        );
    }
    for (label, notice) in [
        ("Last error", &w.last_error),
        ("Last received", &w.last_received),
        ("Last sent", &w.last_sent),
    ] {
        if let Some(notice) = notice {
            let _ = writeln!(out, "{label}: {} at {}", notice.text, style.time(notice.at));
        }
    }
    for seen in &w.seen {
        let _ = writeln!(out, "Seen: {seen}");
    }
    for (label, list) in [
        ("We offer", &w.offered),
        ("It offers", &w.offered_by_peer),
        ("Agreed", &w.agreed),
    ] {
        if !list.is_empty() {
            let _ = writeln!(out, "{label}: {}", list.join(", "));
        }
    }
    out
}
