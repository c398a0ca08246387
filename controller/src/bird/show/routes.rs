//! `show route`, `show static`

use std::collections::BTreeMap;

use redstart_bgp::types::{Family, Prefix};
use tokio::{io::AsyncWrite, sync::mpsc};

use super::{Since, local, table};
use crate::{
    bird::{
        command::RouteCommand,
        reply::{Code, Reply},
        session::Failure,
    },
    control::{
        PeerPattern, Query, ask,
        select::{Net, Routes, Selection},
        views::{Path, Route, Table},
    },
};

/// How much of a table was shown.
#[derive(Clone, Copy, Default)]
struct Shown {
    routes: u64,
}

/// `show route …`
pub(crate) async fn routes<W: AsyncWrite + Unpin>(
    core: &mpsc::Sender<Query>,
    command: RouteCommand,
    reply: &mut Reply<W>,
) -> Result<(), Failure> {
    let mut selection = command.selection.clone();
    own_source(&mut selection);
    if selection.is_everything() && command.count && !command.stats {
        let tables = ask(core, Query::Tables).await.ok_or(Failure::Busy)?;
        let all = tables.iter().map(|t| (t.family, Shown { routes: t.paths }));
        count(&selection, &tables, &all.collect(), reply);
        return Ok(());
    }
    let one = matches!(selection.net, Net::Exact(_) | Net::For(_));
    let mut shown: BTreeMap<Family, Shown> = BTreeMap::new();
    let mut found = Routes::select(core.clone(), selection.clone()).await?;
    while let Some(page) = found.page().await? {
        for route in page {
            let Ok(prefix) = route.prefix.parse::<Prefix>() else {
                continue;
            };
            let family = prefix.family();
            if !command.count {
                if !shown.contains_key(&family) {
                    heading(shown.is_empty(), family, reply);
                }
                write(&route, family, command.all, reply);
            }
            shown.entry(family).or_default().routes += route.paths.len() as u64;
        }
        reply.flush_some().await?;
    }
    if command.count || command.stats {
        let tables = ask(core, Query::Tables).await.ok_or(Failure::Busy)?;
        count(&selection, &tables, &shown, reply);
    } else if one && shown.is_empty() {
        reply.end(Code::NotFound, "Network not found");
    } else {
        reply.done();
    }
    Ok(())
}

/// Routes of our own have a source for each family here, and one for both in the views.
fn own_source(selection: &mut Selection) {
    if let Some(PeerPattern::Name(name)) = &selection.from {
        let family = Family::ALL.into_iter().find(|f| local(*f) == name);
        if let Some(family) = family {
            selection.family = Some(family);
            selection.from = Some(PeerPattern::Name("local".to_owned()));
        }
    }
}

fn heading<W: AsyncWrite + Unpin>(first: bool, family: Family, reply: &mut Reply<W>) {
    if !first {
        reply.line(Code::Route, "");
    }
    reply.line(Code::Route, format_args!("Table {}:", table(family)));
}

fn count<W: AsyncWrite + Unpin>(
    selection: &Selection,
    tables: &[Table],
    shown: &BTreeMap<Family, Shown>,
    reply: &mut Reply<W>,
) {
    let (mut routes, mut of, mut networks, mut number) = (0, 0, 0, 0);
    for t in tables {
        if selection.family.is_some_and(|family| family != t.family) {
            continue;
        }
        let here = shown.get(&t.family).copied().unwrap_or_default().routes;
        reply.line(
            Code::Route,
            format_args!(
                "{here} of {} routes for {} networks in table {}",
                t.paths,
                t.prefixes,
                table(t.family)
            ),
        );
        (routes, of, networks) = (routes + here, of + t.paths, networks + t.prefixes);
        number += 1;
    }
    if number < 2 {
        return reply.done();
    }
    reply.end(
        Code::RouteCount,
        format_args!("Total: {routes} of {of} routes for {networks} networks in {number} tables"),
    );
}

fn write<W: AsyncWrite + Unpin>(route: &Route, family: Family, all: bool, reply: &mut Reply<W>) {
    let mut name = route.prefix.as_str();
    for path in &route.paths {
        let own = path.kind == "local";
        let from = if own { local(family) } else { &path.from };
        let kind = match (own, path.gateways.is_empty()) {
            (true, _) => "blackhole",
            (false, true) => "unreachable",
            (false, false) => "unicast",
        };
        let (best, preference) = (if path.best { " *" } else { "" }, preference(own));
        let origin = origin(path);
        reply.line(
            Code::Route,
            format_args!(
                "{name:<20} {kind} [{from} {}]{best} ({preference}){origin}",
                Since(path.since)
            ),
        );
        name = "";
        for gateway in &path.gateways {
            reply.line(Code::Route, format_args!("\t{gateway}"));
        }
        if all {
            attributes(path, own, reply);
        }
    }
}

/// BIRD's own of its kinds of protocols.
const fn preference(own: bool) -> u8 {
    if own { 200 } else { 100 }
}

/// `[AS65001i]`: where a route comes from, and by what means.
fn origin(path: &Path) -> String {
    if path.kind == "local" {
        return String::new();
    }
    let means = match path.origin.as_str() {
        "IGP" => 'i',
        "EGP" => 'e',
        _ => '?',
    };
    let last = path.as_path.rsplit([' ', '(', ')', '{', '}']);
    match { last }.find(|word| !word.is_empty()) {
        Some(asn) => format!(" [AS{asn}{means}]"),
        None => format!(" [{means}]"),
    }
}

fn attributes<W: AsyncWrite + Unpin>(path: &Path, own: bool, reply: &mut Reply<W>) {
    let kind = if own { "static univ" } else { "BGP univ" };
    reply.line(Code::RouteType, format_args!("\tType: {kind}"));
    if own {
        if let Some(object) = &path.object {
            reply.line(
                Code::RouteAttributes,
                format_args!("\tRedstart.object: {object}"),
            );
        }
        return;
    }
    let mut line = |name: &str, value: String| {
        reply.line(Code::RouteAttributes, format_args!("\t{name}: {value}"));
    };
    for (name, value) in path.attributes() {
        line(&format!("BGP.{name}"), value);
    }
    let lists = [
        ("BGP.community", &path.communities, ","),
        ("BGP.ext_community", &path.extended_communities, ", "),
        ("BGP.large_community", &path.large_communities, ", "),
    ];
    for (name, list, comma) in lists {
        if !list.is_empty() {
            let shown = list.iter().map(|c| format!("({})", c.replace(':', comma)));
            line(name, shown.collect::<Vec<_>>().join(" "));
        }
    }
    if let Some(id) = &path.originator_id {
        line("BGP.originator_id", id.clone());
    }
    if !path.cluster_list.is_empty() {
        line("BGP.cluster_list", path.cluster_list.join(" "));
    }
    if let Some(why) = &path.not_best {
        line("Redstart.not_best", why.clone());
    }
}

/// `show static`: routes of our own.
pub(crate) async fn originated<W: AsyncWrite + Unpin>(
    core: &mpsc::Sender<Query>,
    reply: &mut Reply<W>,
) -> Result<(), Failure> {
    let selection = Selection {
        from: Some(PeerPattern::Name("local".to_owned())),
        ..Selection::default()
    };
    let mut found = Routes::select(core.clone(), selection).await?;
    while let Some(page) = found.page().await? {
        for route in page {
            reply.line(Code::Static, format_args!("{}\tblackhole", route.prefix));
        }
        reply.flush_some().await?;
    }
    reply.done();
    Ok(())
}
