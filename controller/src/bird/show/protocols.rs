//! `show protocols`

use redstart_bgp::types::Family;
use tokio::{io::AsyncWrite, sync::mpsc};

use super::{Since, kernel, local, table};
use crate::{
    bird::{
        reply::{Code, Reply},
        session::Failure,
    },
    control::{
        PeerPattern, Query, ask,
        views::{ChangeCounts, Channel, Protocol, RouteChanges, Status, Table},
    },
};

/// `show protocols [all] [NAME | "PATTERN"]`
pub(crate) async fn protocols<W: AsyncWrite + Unpin>(
    core: &mpsc::Sender<Query>,
    all: bool,
    which: &PeerPattern,
    reply: &mut Reply<W>,
) -> Result<(), Failure> {
    let status = ask(core, Query::Status).await.ok_or(Failure::Busy)?;
    let tables = ask(core, Query::Tables).await.ok_or(Failure::Busy)?;
    let peers = ask(core, Query::Protocols).await.ok_or(Failure::Busy)?;
    let own = own_protocols(&status, &tables);
    let own: Vec<_> = own.iter().filter(|p| which.matches(&p.name)).collect();
    let peers: Vec<_> = peers.iter().filter(|p| which.matches(&p.name)).collect();
    if own.is_empty() && peers.is_empty() {
        reply.end(Code::NoProtocolMatches, "No protocols match");
        return Ok(());
    }
    reply.line(
        Code::ProtocolHeading,
        row(["Name", "Proto", "Table", "State", "Since"], "Info"),
    );
    for protocol in own {
        let since = Since(status.started).to_string();
        let cells = [&protocol.name, protocol.kind, protocol.table, "up", &since];
        reply.line(Code::Protocol, row(cells, ""));
        if all {
            own_details(protocol, reply);
        }
    }
    for peer in peers {
        let since = Since(peer.since).to_string();
        let cells = [&peer.name, "BGP", "---", state(peer), &since];
        reply.line(Code::Protocol, row(cells, &info(peer)));
        if all {
            details(peer, reply);
        }
        reply.flush_some().await?;
    }
    reply.done();
    Ok(())
}

fn row([name, kind, table, state, since]: [&str; 5], info: &str) -> String {
    format!("{name:<10} {kind:<10} {table:<10} {state:<6} {since:<12}  {info}")
}

/// A protocol that is no neighbour.
struct Own {
    name: String,
    kind: &'static str,
    table: &'static str,
    /// Family, and routes in and out.
    channel: Option<(Family, u64, u64)>,
}

fn own_protocols(status: &Status, tables: &[Table]) -> Vec<Own> {
    let own = |name: &str, kind, table, channel| Own {
        name: name.to_owned(),
        kind,
        table,
        channel,
    };
    let mut list = vec![own("device1", "Device", "---", None)];
    for t in tables {
        let installed = match t.family {
            Family::Ipv4Unicast => status.kernel.installed - status.kernel.installed_ipv6,
            Family::Ipv6Unicast => status.kernel.installed_ipv6,
        };
        let (family, table) = (t.family, table(t.family));
        list.push(own(
            kernel(family),
            "Kernel",
            table,
            Some((family, 0, installed)),
        ));
        list.push(own(
            local(family),
            "Static",
            table,
            Some((family, t.originated, 0)),
        ));
    }
    list.push(own("bfd1", "BFD", "---", None));
    list
}

fn own_details<W: AsyncWrite + Unpin>(protocol: &Own, reply: &mut Reply<W>) {
    if let Some((family, imported, exported)) = protocol.channel {
        let routes = format!("{imported} imported, {exported} exported, {imported} preferred");
        channel_head(family, "UP", reply);
        of_channel(reply, "Routes", &routes);
    }
    reply.line(Code::ProtocolDetails, "");
}

fn state(peer: &Protocol) -> &'static str {
    match peer.state.as_str() {
        "Established" => "up",
        _ if peer.disabled => "down",
        _ => "start",
    }
}

/// What kept it from a session last. BIRD's clients tell its kinds apart by the first word.
fn last_error(peer: &Protocol) -> String {
    let received = peer.last_received.as_ref();
    match &peer.last_error {
        None => String::new(),
        Some(why) => match received {
            Some(notice) if why.contains(&notice.text) => format!("Received: {}", notice.text),
            _ => why.clone(),
        },
    }
}

fn info(peer: &Protocol) -> String {
    match peer.state.as_str() {
        "Established" => format!("{:<14}", peer.state),
        _ if peer.disabled => String::new(),
        state => format!("{state:<14}{}", last_error(peer)),
    }
}

/// A line about a session; BIRD has the value in column 22.
fn detail<W: AsyncWrite + Unpin>(reply: &mut Reply<W>, indent: usize, label: &str, value: &str) {
    let label = format!("{:indent$}{label}:", "");
    reply.line(Code::ProtocolDetails, format_args!("{label:<22}{value}"));
}

/// A line about a channel; BIRD has the value in column 20.
fn of_channel<W: AsyncWrite + Unpin>(reply: &mut Reply<W>, label: &str, value: &str) {
    let label = format!("{label}:");
    reply.line(
        Code::ProtocolDetails,
        format_args!("    {label:<16}{value}"),
    );
}

fn details<W: AsyncWrite + Unpin>(peer: &Protocol, reply: &mut Reply<W>) {
    let description = format!("{} from {}", peer.role, peer.object);
    reply.line(
        Code::ProtocolDetails,
        format_args!("  Description:    {description}"),
    );
    let state = if peer.disabled { "Down" } else { &peer.state };
    detail(reply, 2, "BGP state", state);
    let mut line = |label: &str, value: String| detail(reply, 4, label, &value);
    if let Some(remote) = peer.remote {
        let link = peer.interface.iter().map(|link| format!("%{link}"));
        line(
            "Neighbor address",
            format!("{}{}", remote.ip(), link.collect::<String>()),
        );
    }
    if let Some(range) = &peer.range {
        line("Neighbor range", range.prefix.clone());
    }
    if let Some(asn) = peer.remote_as {
        line("Neighbor AS", asn.to_string());
    }
    line("Local AS", peer.local_as.to_string());
    if let Some(id) = &peer.remote_router_id {
        line("Neighbor ID", id.clone());
    }
    if peer.state == "Established" {
        session(peer, reply);
    } else {
        if let Some(left) = peer.connect_remaining {
            detail(reply, 4, "Connect delay", &format!("{left:.3}"));
        }
        if peer.last_error.is_some() {
            detail(reply, 4, "Last error", &last_error(peer));
        }
    }
    for channel in &peer.channels {
        channel_details(peer, channel, reply);
    }
    reply.line(Code::ProtocolDetails, "");
}

fn session<W: AsyncWrite + Unpin>(peer: &Protocol, reply: &mut Reply<W>) {
    for (whose, list) in [
        ("Local", &peer.local_capabilities),
        ("Neighbor", &peer.remote_capabilities),
    ] {
        reply.line(
            Code::ProtocolDetails,
            format_args!("    {whose} capabilities"),
        );
        for capability in list {
            reply.line(Code::ProtocolDetails, format_args!("      {capability}"));
        }
    }
    let place = match peer.remote_as == Some(peer.local_as) {
        true => "internal",
        false => "external",
    };
    let reflector = if peer.client { " route-reflector" } else { "" };
    let both = |what: &str| {
        let has = |list: &[String]| list.iter().any(|c| c.starts_with(what));
        has(&peer.local_capabilities) && has(&peer.remote_capabilities)
    };
    let as4 = if both("AS4") { " AS4" } else { "" };
    let add_path = if both("add-path") { " add-path" } else { "" };
    detail(
        reply,
        4,
        "Session",
        &format!("{place}{reflector}{as4}{add_path}"),
    );
    if let Some(local) = peer.local {
        detail(reply, 4, "Source address", &local.ip().to_string());
    }
    let timers = [
        ("Hold timer", peer.hold_remaining, peer.hold_time),
        ("Keepalive timer", peer.keepalive_remaining, peer.keepalive),
    ];
    for (label, left, of) in timers {
        if let (Some(left), Some(of)) = (left, of) {
            detail(reply, 4, label, &format!("{left:.3}/{of}"));
        }
    }
}

fn channel_head<W: AsyncWrite + Unpin>(family: Family, state: &str, reply: &mut Reply<W>) {
    reply.line(Code::ProtocolDetails, format_args!("  Channel {family}"));
    of_channel(reply, "State", state);
    of_channel(reply, "Table", table(family));
}

fn channel_details<W: AsyncWrite + Unpin>(
    peer: &Protocol,
    channel: &Channel,
    reply: &mut Reply<W>,
) {
    let up = peer.state == "Established";
    let named = |family: &Family| family.to_string() == channel.family;
    let Some(family) = Family::ALL.into_iter().find(named) else {
        return;
    };
    channel_head(family, if up { "UP" } else { "DOWN" }, reply);
    if let Some(limit) = channel.limit {
        of_channel(reply, "Receive limit", &limit.to_string());
        of_channel(reply, "  Action", "disable");
    }
    if up || channel.routes.stale > 0 {
        let routes = &channel.routes;
        let routes = format!(
            "{} imported, {} filtered, {} exported, {} preferred",
            routes.imported, channel.refused, routes.exported, routes.preferred
        );
        of_channel(reply, "Routes", &routes);
    }
    if let Some(changes) = channel.changes.filter(|_| up) {
        route_changes(&changes, reply);
    }
    if let Some(next_hop) = channel.next_hop.filter(|_| up) {
        of_channel(reply, "BGP Next hop", &next_hop.to_string());
    }
}

/// A row of numbers, of which some may mean nothing.
fn change_counts<W: AsyncWrite + Unpin>(reply: &mut Reply<W>, label: &str, counts: ChangeCounts) {
    let or_none = |n: Option<u64>| n.map_or_else(|| "---".to_owned(), |n| n.to_string());
    let [rejected, filtered, ignored] =
        [counts.rejected, counts.filtered, counts.ignored].map(or_none);
    let (label, received, accepted) = (format!("{label}:"), counts.received, counts.accepted);
    reply.line(
        Code::ProtocolDetails,
        format_args!(
            "      {label:<19}{received:>11} {rejected:>10} {filtered:>10} {ignored:>10} {accepted:>10}"
        ),
    );
}

fn route_changes<W: AsyncWrite + Unpin>(changes: &RouteChanges, reply: &mut Reply<W>) {
    reply.line(
        Code::ProtocolDetails,
        "    Route change stats:     received   rejected   filtered    ignored   accepted",
    );
    for (label, counts) in [
        ("Import updates", changes.import_updates),
        ("Import withdraws", changes.import_withdraws),
        ("Export updates", changes.export_updates),
        ("Export withdraws", changes.export_withdraws),
    ] {
        change_counts(reply, label, counts);
    }
}
