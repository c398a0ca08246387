//! The contents of a `BGPNodeStatus`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::{
        ConditionSpec, ConditionStatus, KernelStatus, NodeNotice, NodePeerRoutes, NodePeerStatus,
        NodeProblem, NodeStatus,
    },
    control::views::{Notice, Protocol, Status},
};

/// Most neighbours that are listed.
pub const MAX_PEERS: usize = 64;
/// Most problems that are listed.
pub const MAX_PROBLEMS: usize = 32;
/// Most characters of a text.
pub const MAX_TEXT: usize = 256;
/// Most capabilities of a neighbour.
const MAX_CAPABILITIES: usize = 24;
/// Most names in a message.
const MAX_NAMES: usize = 5;

/// The severity of what is not in force.
const ERROR: &str = "error";
/// The state of a neighbour with a session.
pub(super) const ESTABLISHED: &str = "Established";

/// What to say now. `before` is what was said last: a condition whose status is the same keeps its
/// time.
#[must_use]
pub fn page(
    status: &Status,
    peers: &[Protocol],
    heartbeat_seconds: u32,
    before: Option<&NodeStatus>,
) -> NodeStatus {
    let now = second(status.now);
    let mut order: Vec<&Protocol> = peers.iter().collect();
    order.sort_by_key(|p| (p.state == ESTABLISHED, p.role != "router", &p.name));
    let mut problems: Vec<_> = status.problems.iter().collect();
    problems.sort_by_key(|p| p.severity != ERROR);
    let problems = problems.into_iter().take(MAX_PROBLEMS);
    NodeStatus {
        heartbeat_seconds,
        version: status.version.clone(),
        started: second(status.started),
        asn: status.local_as,
        router_id: status.router_id.clone(),
        peers_configured: small(status.peers.configured),
        peers_established: small(status.peers.established),
        originated: small(status.originated),
        prefixes: prefixes(&status.prefixes),
        kernel: KernelStatus {
            installed: small(status.kernel.installed),
            pending: small(status.kernel.pending),
            parked: small(status.kernel.parked),
            stale: small(status.kernel.stale),
        },
        conditions: conditions(status, &order, &now, before),
        peers: order.iter().take(MAX_PEERS).map(|p| peer(p)).collect(),
        more_peers: small(order.len().saturating_sub(MAX_PEERS) as u64),
        problems: problems
            .map(|p| NodeProblem {
                severity: p.severity.clone(),
                object: cut(&p.object),
                field: cut(&p.field),
                reason: p.reason.clone(),
                message: cut(&p.message),
            })
            .collect(),
        more_problems: small(status.problems.len().saturating_sub(MAX_PROBLEMS) as u64),
        heartbeat_time: now,
    }
}

/// Whether the two differ in more than numbers of routes and the time: those alone are not worth a
/// write.
#[must_use]
pub fn differs(a: &NodeStatus, b: &NodeStatus) -> bool {
    essence(a) != essence(b)
}

fn essence(page: &NodeStatus) -> NodeStatus {
    let mut page = page.clone();
    page.heartbeat_time.clear();
    page.originated = 0;
    page.prefixes.clear();
    page.kernel = KernelStatus::default();
    for peer in &mut page.peers {
        peer.routes = NodePeerRoutes::default();
        // A neighbour that is not there goes from Idle to Connect to Active all the time.
        if peer.state != ESTABLISHED {
            peer.state.clear();
            peer.since.clear();
        }
    }
    page
}

fn peer(p: &Protocol) -> NodePeerStatus {
    let capabilities = p.remote_capabilities.iter().take(MAX_CAPABILITIES);
    let interface = || p.interface.clone().unwrap_or_default();
    NodePeerStatus {
        name: cut(&p.name),
        object: cut(&p.object),
        role: p.role.clone(),
        address: p.remote.map_or_else(interface, |at| at.to_string()),
        asn: p.remote_as,
        local_asn: p.local_as,
        state: p.state.clone(),
        since: second(p.since),
        established_count: small(p.established_count),
        last_error: p.last_error.as_deref().map(cut),
        last_received: p.last_received.as_ref().map(notice),
        last_sent: p.last_sent.as_ref().map(notice),
        hold_time_seconds: p.hold_time.map(small),
        families: p.families.clone(),
        capabilities: capabilities.map(|it| cut(it)).collect(),
        routes: NodePeerRoutes {
            imported: small(p.routes.imported),
            refused: small(p.refused.values().sum()),
            exported: small(p.routes.exported),
            stale: small(p.routes.stale),
        },
    }
}

fn notice(notice: &Notice) -> NodeNotice {
    NodeNotice {
        time: second(notice.at),
        text: cut(&notice.text),
    }
}

fn prefixes(prefixes: &BTreeMap<String, u64>) -> BTreeMap<String, u32> {
    let count = |(family, n): (&String, &u64)| (family.clone(), small(*n));
    prefixes.iter().map(count).collect()
}

fn conditions(
    status: &Status,
    peers: &[&Protocol],
    now: &str,
    before: Option<&NodeStatus>,
) -> Vec<ConditionSpec> {
    let errors: Vec<_> = status
        .problems
        .iter()
        .filter(|p| p.severity == ERROR)
        .collect();
    let objects = errors.iter().map(|p| p.object.as_str());
    let down: Vec<_> = peers.iter().filter(|p| p.state != ESTABLISHED).collect();
    let kernel = match &status.kernel.error {
        Some(error) => format!("the kernel cannot be reached: {error}"),
        None if status.kernel.parked > 0 => "some routes are refused or kept back".to_owned(),
        None => String::new(),
    };
    let drain = status.drain.as_ref().map(|drain| {
        let step = match drain.withdrawn_in {
            Some(_) => "to be avoided, and soon withdrawn",
            None => "withdrawn",
        };
        format!("{}: the routes are {step}", drain.reason)
    });
    [
        ("Ready", "NotReady", status.not_ready.join("; ")),
        ("Serving", "Drained", drain.unwrap_or_default()),
        ("ObjectsAccepted", "NotInForce", named(objects)),
        (
            "PeersEstablished",
            "NotEstablished",
            named(down.iter().map(|p| p.name.as_str())),
        ),
        ("KernelInSync", "NotInSync", kernel),
    ]
    .into_iter()
    .map(|(kind, reason, trouble)| condition(kind, reason, &trouble, now, before))
    .collect()
}

/// A condition that holds as long as there is no trouble.
fn condition(
    kind: &str,
    reason: &str,
    trouble: &str,
    now: &str,
    before: Option<&NodeStatus>,
) -> ConditionSpec {
    let status = if trouble.is_empty() {
        ConditionStatus::True
    } else {
        ConditionStatus::False
    };
    let same = before
        .iter()
        .flat_map(|page| &page.conditions)
        .find(|c| c.kind == kind && c.status == status);
    ConditionSpec {
        kind: kind.to_owned(),
        status,
        observed_generation: None,
        last_transition_time: same
            .map_or_else(|| now.to_owned(), |c| c.last_transition_time.clone()),
        reason: if trouble.is_empty() { kind } else { reason }.to_owned(),
        message: cut(trouble),
    }
}

/// `a, b, c and 7 more`; nothing for none.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let first = names[..names.len().min(MAX_NAMES)].join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A text that is not too long, without control characters.
pub(crate) fn cut(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    let mut short: String = clean.take(MAX_TEXT).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// RFC 3339 to the second, as Kubernetes writes times.
pub(crate) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
