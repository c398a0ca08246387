//! `show status`.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::Style;
use crate::control::views::{Cache, Status};

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
