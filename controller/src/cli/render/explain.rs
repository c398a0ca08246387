//! `explain`

use std::{collections::BTreeMap, fmt::Write as _};

use crate::control::views::{ExplainedPath, ExplainedRoute, ExplainedService, Explanation, Export};

/// `explain`
#[must_use]
pub fn explanation(e: &Explanation) -> String {
    let mut out = format!("{}\n", e.asked);
    for s in &e.services {
        out.push_str(&service(s));
    }
    if let Some(owner) = &e.owner {
        let _ = writeln!(out, "  Node {} has {}", owner.node, owner.prefix);
    }
    for unused in &e.passed_over {
        let _ = writeln!(out, "Not used: {}", unused.prefix);
        paths(&mut out, unused);
    }
    let Some(route) = &e.route else {
        out.push_str(if e.asked.contains('/') {
            "There is no route to just this prefix\n"
        } else {
            "No route covers it\n"
        });
        return out;
    };
    let _ = writeln!(out, "Route {}", route.prefix);
    paths(&mut out, route);
    let kernel = &route.kernel;
    let _ = writeln!(
        out,
        "  kernel: {}",
        verdict(
            &kernel.state.state,
            kernel.state.reason.as_ref(),
            kernel.state.detail.as_ref()
        )
    );
    for gateway in &kernel.gateways {
        let silent = if kernel.silent.contains(gateway) {
            ", which does not answer (ARP, Neighbour Discovery)"
        } else {
            ""
        };
        let _ = writeln!(out, "    {gateway}{silent}");
    }
    out.push_str(&exports(&e.exports));
    out
}

/// `withheld [no-endpoints]: the Service has …`
fn verdict(state: &str, reason: Option<&String>, meaning: Option<&String>) -> String {
    let reason = reason
        .map(|reason| format!(" [{reason}]"))
        .unwrap_or_default();
    let meaning = meaning
        .map(|meaning| format!(": {meaning}"))
        .unwrap_or_default();
    format!("{state}{reason}{meaning}")
}

fn service(s: &ExplainedService) -> String {
    let verdict = verdict(&s.state, s.reason.as_ref(), s.meaning.as_ref());
    let because = because(&s.sources);
    format!("  Service {}, {}: {verdict}{because}\n", s.service, s.kind)
}

fn because(sources: &[String]) -> String {
    match sources {
        [] => String::new(),
        sources => format!(", because of {}", sources.join(", ")),
    }
}

fn by_rules(rules: &[String]) -> String {
    match rules {
        [] => String::new(),
        rules => format!(" ({})", rules.join(", ")),
    }
}

fn paths(out: &mut String, route: &ExplainedRoute) {
    for path in &route.paths {
        let _ = writeln!(
            out,
            "  from {}{}: {}",
            path.from,
            origin(path),
            standing(path)
        );
        attributes(out, &path.attributes);
        for gateway in &path.gateways {
            let _ = writeln!(out, "    {gateway}");
        }
        if let Some(prefix) = &path.through {
            let _ = writeln!(out, "    its next hop is reached through {prefix}");
        }
    }
}

/// ` (BGPPeer/tor, ebgp)`
fn origin(path: &ExplainedPath) -> String {
    if path.kind == "local" {
        format!(" ({})", path.object)
    } else {
        format!(" ({}, {})", path.object, path.kind)
    }
}

fn standing(path: &ExplainedPath) -> String {
    let rules = by_rules(&path.rules);
    let Some(reason) = &path.reason else {
        let advertised = match path.advertised_by.as_slice() {
            [] => String::new(),
            sources => format!(", advertised by {}", sources.join(", ")),
        };
        return format!("best{advertised}{rules}");
    };
    let to = path
        .lost_to
        .as_ref()
        .map(|to| format!(" to {to}"))
        .unwrap_or_default();
    let meaning = path.meaning.as_deref().unwrap_or_default();
    let shares = if path.multipath {
        "; it shares the traffic all the same"
    } else {
        ""
    };
    format!("{reason}{to}: {meaning}{rules}{shares}")
}

fn attributes(out: &mut String, attributes: &BTreeMap<String, String>) {
    if attributes.is_empty() {
        return;
    }
    // The ones that are looked for first.
    const FIRST: [&str; 4] = ["as_path", "next_hop", "local_pref", "med"];
    let first = FIRST
        .iter()
        .filter_map(|name| attributes.get_key_value(*name));
    let others = attributes
        .iter()
        .filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let texts: Vec<_> = first
        .chain(others)
        .map(|(name, value)| format!("{name} {value}").trim_end().to_owned())
        .collect();
    let _ = writeln!(out, "    {}", texts.join(", "));
}

/// Neighbours of which the same is to be said stand in one line: a mesh has many.
fn exports(list: &[Export]) -> String {
    let mut groups: Vec<(&Export, Vec<&str>)> = Vec::new();
    for export in list {
        let same = |other: &Export| Export {
            to: String::new(),
            ..other.clone()
        };
        match groups
            .iter_mut()
            .find(|(first, _)| same(first) == same(export))
        {
            Some((_, names)) => names.push(&export.to),
            None => groups.push((export, vec![&export.to])),
        }
    }
    let mut out = String::new();
    for (export, names) in groups {
        let verdict = verdict(
            &export.state,
            export.reason.as_ref(),
            export.meaning.as_ref(),
        );
        let _ = writeln!(
            out,
            "  to {}: {verdict}{}{}",
            names.join(", "),
            because(&export.because),
            by_rules(&export.rules)
        );
        attributes(&mut out, &export.attributes);
    }
    out
}
