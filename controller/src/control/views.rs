//! What the control socket answers: plain values with a stable JSON form.
//!
//! The CLI, and anybody with `curl --unix-socket`, reads these. A field is added, never renamed;
//! [`SCHEMA`] rises when that cannot be kept. Times are RFC 3339 in UTC, durations are seconds,
//! reasons are the kebab-case identifiers that also stand in logs and metrics.

mod bmp;
mod diff;
mod explain;
mod history;
mod mrt;
mod why_down;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

pub use bmp::BmpStation;
pub use diff::{Diff, ManifestFile, RouteDiff, SessionDiff};
pub use explain::{
    ExplainedKernel, ExplainedPath, ExplainedRoute, ExplainedService, Explanation, Export, OwnedBy,
};
pub use history::HistoryEntry;
use jiff::Timestamp;
pub use mrt::MrtLog;
use redstart_bgp::types::Family;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use why_down::{Cause, WhyDown};

use crate::diagnostic::Diagnostic;

/// Version of the JSON that the control socket speaks.
pub const SCHEMA: &str = "redstart.dev/control/v1";

/// The speaker at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version of this JSON: `redstart.dev/control/v1`.
    pub schema: String,
    /// The daemon's version.
    pub version: String,
    /// The Node it speaks for.
    pub node: String,
    /// BGP Identifier, once the Node is known.
    pub router_id: Option<String>,
    /// Local AS, once the Node is known.
    pub local_as: Option<u32>,
    /// When the daemon started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started: Timestamp,
    /// When the configuration last changed.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub configured: Option<Timestamp>,
    /// The daemon's clock.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub now: Timestamp,
    /// Whether every object kind was listed once and a configuration is in force.
    pub ready: bool,
    /// Why it is not ready, in words.
    pub not_ready: Vec<String>,
    /// Where the addresses to listen on stand.
    pub listeners: Vec<Listener>,
    /// Listen ranges.
    #[serde(default)]
    pub ranges: Vec<ListenRange>,
    /// Neighbours configured and established.
    pub peers: PeerTotals,
    /// Prefixes in the table, by family.
    pub prefixes: BTreeMap<String, u64>,
    /// Routes of our own.
    pub originated: u64,
    /// The kernel's side.
    pub kernel: KernelTotals,
    /// Where the objects come from.
    pub source: Source,
    /// How far the node is relieved of traffic, if it is.
    #[serde(default)]
    pub drain: Option<Drain>,
    /// What is wrong with the objects.
    pub problems: Vec<Problem>,
}

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// Why it cannot be listened on.
    pub error: Option<String>,
}

/// A listen range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenRange {
    /// The `BGPPeer` that asked for it.
    pub name: String,
    /// The addresses.
    pub prefix: String,
    /// How many neighbours came from there and are still known.
    pub neighbours: u64,
    /// The most at once.
    pub limit: u64,
}

/// Neighbours, counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PeerTotals {
    /// In the configuration.
    pub configured: u64,
    /// With a session.
    pub established: u64,
}

/// The kernel's side, counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KernelTotals {
    /// Routes that are in the kernel as wanted.
    pub installed: u64,
    /// Those of them that are of IPv6.
    #[serde(default)]
    pub installed_ipv6: u64,
    /// On their way.
    pub pending: u64,
    /// Refused or kept back; `show kernel` says why.
    pub parked: u64,
    /// Adopted from the process before this one and not confirmed yet.
    pub stale: u64,
    /// Why the kernel cannot be reached at all.
    pub error: Option<String>,
}

/// Where the objects come from and how that goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// `objects DIR` or `kubernetes URL`.
    pub description: String,
    /// One line per object kind.
    pub kinds: Vec<SourceKind>,
    /// The copy on disk, where there is one.
    #[serde(default)]
    pub cache: Option<Cache>,
}

/// The last known objects, on disk.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Where they are.
    pub directory: String,
    /// Whether they are in force: the API server has not listed every kind since the start.
    pub in_force: bool,
    /// Objects on disk.
    pub objects: u64,
    /// When something was last written.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub written: Option<Timestamp>,
    /// Whether changes wait to be written.
    pub behind: bool,
    /// Why it cannot be used or written.
    pub error: Option<String>,
}

/// One object kind of the source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceKind {
    /// The kind.
    pub kind: String,
    /// Whether it was listed once.
    pub listed: bool,
    /// Objects known.
    pub objects: u64,
    /// The last trouble, cleared by success.
    pub error: Option<String>,
}

/// What `redc drain` and `redc undrain` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Annotated {
    /// The Node.
    pub node: String,
    /// What its annotation `redstart.dev/drain` says now.
    pub drain: Option<String>,
    /// Whether that is new.
    pub changed: bool,
}

/// How far this node is relieved of traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Why: `node-shutdown`, `drain-annotation` or `drain-taint`.
    pub reason: String,
    /// In how many seconds the routes are withdrawn; absent when they are.
    pub withdrawn_in: Option<f64>,
}

/// Something wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `error` (not in force) or `warning`.
    pub severity: String,
    /// `Kind/name`.
    pub object: String,
    /// The path of the field.
    pub field: String,
    /// Stable identifier.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

impl From<&Diagnostic> for Problem {
    fn from(d: &Diagnostic) -> Self {
        Self {
            severity: d.severity.to_string(),
            object: d.object.to_string(),
            field: d.field.clone(),
            reason: d.reason.to_string(),
            message: d.message.clone(),
        }
    }
}

/// A neighbour.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    /// Its name.
    pub name: String,
    /// `mesh` or `router`.
    pub role: String,
    /// Whether it is a client of ours for route reflection (RFC 4456).
    #[serde(default)]
    pub client: bool,
    /// The object that asked for it.
    pub object: String,
    /// RFC 4271 state: `Idle`, `Connect`, `Active`, `OpenSent`, `OpenConfirm`, `Established`.
    pub state: String,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Where it is, once that is known.
    pub remote: Option<SocketAddr>,
    /// The interface that it was looked for, or found, at the other end of.
    #[serde(default)]
    pub interface: Option<String>,
    /// The listen range that it came from.
    #[serde(default)]
    pub range: Option<ListenRange>,
    /// Our end, while there is a session.
    pub local: Option<SocketAddr>,
    /// Its AS, where known.
    pub remote_as: Option<u32>,
    /// Our AS towards it.
    pub local_as: u32,
    /// Its BGP Identifier, while there is a session.
    pub remote_router_id: Option<String>,
    /// Why there is no session, or what ended the last one.
    pub last_error: Option<String>,
    /// The last NOTIFICATION that it sent us, with its operator's text (RFC 9003).
    pub last_received: Option<Notice>,
    /// The last NOTIFICATION that we sent it.
    pub last_sent: Option<Notice>,
    /// Families of the session.
    pub families: Vec<String>,
    /// Capabilities that we offered, as text.
    pub local_capabilities: Vec<String>,
    /// Capabilities that it offered, as text.
    pub remote_capabilities: Vec<String>,
    /// Negotiated hold time in seconds, and what is left of it.
    pub hold_time: Option<u64>,
    /// Seconds until the hold timer expires.
    pub hold_remaining: Option<f64>,
    /// Negotiated keepalive interval in seconds.
    pub keepalive: Option<u64>,
    /// Seconds until the next attempt to connect.
    pub connect_remaining: Option<f64>,
    /// Messages by kind, both ways.
    pub messages: MessageCounts,
    /// Times that the session came up.
    pub established_count: u64,
    /// Routes.
    pub routes: RouteCounts,
    /// Routes that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// The same for each family of the session.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// Seconds until the next KEEPALIVE.
    #[serde(default)]
    pub keepalive_remaining: Option<f64>,
    /// An operator disabled it.
    #[serde(default)]
    pub disabled: bool,
}

/// Routes of one family of a session.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Routes.
    pub routes: RouteCounts,
    /// Routes that were refused.
    pub refused: u64,
    /// The most that it may send, if there is a limit.
    pub limit: Option<u64>,
    /// Our own next hop towards the neighbour.
    pub next_hop: Option<IpAddr>,
    /// How routes came and went in the session that there is.
    pub changes: Option<RouteChanges>,
}

/// How routes of a family came and went in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteChanges {
    /// Routes that the neighbour announced.
    pub import_updates: ChangeCounts,
    /// Routes that it took back.
    pub import_withdraws: ChangeCounts,
    /// Routes that it was told.
    pub export_updates: ChangeCounts,
    /// Routes that were taken back from it.
    pub export_withdraws: ChangeCounts,
}

/// What became of such changes, as BIRD divides them; null is what there is no such thing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeCounts {
    /// All.
    pub received: u64,
    /// Received: not even held. To be told: no message can carry them.
    pub rejected: Option<u64>,
    /// Refused, and held with the reason.
    pub filtered: Option<u64>,
    /// Nothing new: a route as it was before, or one taken back that was not there.
    pub ignored: Option<u64>,
    /// The others.
    pub accepted: u64,
}

/// How much of a family the routing table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The family.
    pub family: Family,
    /// Destinations.
    pub prefixes: u64,
    /// Paths to them, but for those that were refused.
    pub paths: u64,
    /// Routes of our own.
    pub originated: u64,
}

/// `show route … count`: how many routes of a family there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Those that were asked for.
    pub routes: u64,
    /// Those that there are, but for refused ones.
    pub of: u64,
    /// The destinations that there are.
    pub networks: u64,
}

/// What became of an operation on the session of a neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operated {
    /// The neighbour.
    pub peer: String,
    /// `done`, `already` (it was so), or `not-possible`.
    pub outcome: String,
}

/// A NOTIFICATION, and when it was.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// What it said.
    pub text: String,
}

/// Messages of a session.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageCounts {
    /// UPDATE received.
    pub updates_in: u64,
    /// UPDATE sent.
    pub updates_out: u64,
    /// All messages received.
    pub total_in: u64,
    /// All messages sent.
    pub total_out: u64,
}

/// Routes of a session.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RouteCounts {
    /// Received and kept.
    pub imported: u64,
    /// Sent.
    pub exported: u64,
    /// Best of their prefix.
    pub preferred: u64,
    /// Kept over a graceful restart, not confirmed yet.
    pub stale: u64,
}

/// A destination.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// The prefix.
    pub prefix: String,
    /// Its paths, best first.
    pub paths: Vec<Path>,
    /// The kernel's side; none for a route that does not go there.
    pub kernel: Option<KernelState>,
    /// Neighbours that it was sent to.
    pub exported: Vec<String>,
    /// Neighbours that it was not sent to because a policy rejected it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// A neighbour that a route was not sent to because a policy rejected it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// The neighbour.
    pub to: String,
    /// The rule: `POLICY rule NUMBER (NAME)`.
    pub rule: String,
}

/// One path to a destination.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Path {
    /// The neighbour's name, or `local`.
    pub from: String,
    /// `ebgp`, `ibgp` or `local`.
    pub kind: String,
    /// Whether this is the best.
    pub best: bool,
    /// Whether the kernel uses it beside the best.
    pub multipath: bool,
    /// Why it is not the best, as an identifier of the deciding step.
    pub not_best: Option<String>,
    /// The rules of policies that matched it, or the one that rejected it: `POLICY rule NUMBER (NAME)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// When it last changed, to the second.
    #[serde(default)]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Kept over a graceful restart.
    pub stale: bool,
    /// Kept beyond the restart time, as a last resort (RFC 9494).
    #[serde(default)]
    pub long_lived_stale: bool,
    /// The BGP next hop.
    pub next_hop: Option<IpAddr>,
    /// How the next hop is reached: `via 10.0.0.1 on eth0`.
    pub gateways: Vec<String>,
    /// The learned route that leads to the next hop, where that is not one of the kernel's.
    #[serde(default)]
    pub through: Option<String>,
    /// Why the next hop is not reachable.
    pub unresolved: Option<String>,
    /// `IGP`, `EGP`, `Incomplete`.
    pub origin: String,
    /// As birdc shows it.
    pub as_path: String,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// The metric in AIGP (RFC 7311).
    #[serde(default)]
    pub aigp: Option<u64>,
    /// Only to Customer: the AS that has said so (RFC 9234).
    #[serde(default)]
    pub otc: Option<u32>,
    /// COMMUNITIES.
    pub communities: Vec<String>,
    /// EXTENDED COMMUNITIES.
    pub extended_communities: Vec<String>,
    /// LARGE_COMMUNITY.
    pub large_communities: Vec<String>,
    /// ORIGINATOR_ID.
    pub originator_id: Option<String>,
    /// CLUSTER_LIST.
    pub cluster_list: Vec<String>,
    /// The object behind a route of our own.
    pub object: Option<String>,
}

impl Path {
    /// Its attributes of one value each, under the names that BIRD has for them.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let text = |value: Option<u64>| value.map(|value| value.to_string());
        [
            ("origin", Some(self.origin.clone())),
            ("as_path", Some(self.as_path.clone())),
            ("next_hop", self.next_hop.map(|addr| addr.to_string())),
            ("med", text(self.med.map(u64::from))),
            ("local_pref", text(self.local_pref.map(u64::from))),
            ("aigp", text(self.aigp)),
            ("otc", text(self.otc.map(u64::from))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// Whether it was refused when it came in.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let why = self.not_best.as_deref();
        why.is_some_and(|why| why.starts_with("refused-"))
    }
}

/// What became of a route in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelState {
    /// `installed`, `pending`, `parked` or `stale`.
    pub state: String,
    /// Why it is parked, as an identifier.
    pub reason: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
}

/// A route that belongs in the kernel.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KernelRoute {
    /// The prefix.
    pub prefix: String,
    /// `unicast` or `blackhole`.
    pub kind: String,
    /// `via 10.0.0.1 on eth0`, one per next hop.
    pub gateways: Vec<String>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: KernelState,
}

/// `show kernel`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Kernel {
    /// The table.
    pub table: u32,
    /// The metric that marks our routes.
    pub metric: u32,
    /// The route protocol number.
    pub protocol: u8,
    /// Counts.
    pub totals: KernelTotals,
    /// Those gateways of routes that the kernel asks for in vain, by ARP or Neighbour Discovery.
    #[serde(default)]
    pub silent: Vec<String>,
    /// Every route that belongs there.
    pub routes: Vec<KernelRoute>,
}

/// An address of a Service, on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `namespace/name`.
    pub service: String,
    /// `ClusterIP`, `ExternalIP` or `LoadBalancerIP`.
    pub kind: String,
    /// The address.
    pub address: IpAddr,
    /// `advertised`, `aggregated` (a prefix that it lies in is advertised in its place), `waiting` (it
    /// will be advertised) or `withheld`.
    pub state: String,
    /// Why it is withheld, waits, is advertised still, or for how long only (`draining`).
    pub reason: Option<String>,
    /// The prefixes that are advertised for it.
    pub prefixes: Vec<String>,
    /// The objects that ask for it.
    pub sources: Vec<String>,
    /// The neighbours that are told.
    pub peers: Vec<String>,
}

/// A neighbour that is watched by BFD (`show bfd sessions`). Neighbours at one address share a
/// session.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BfdSession {
    /// The neighbour's name, as in `show protocols`.
    pub peer: String,
    /// Its address.
    pub remote: IpAddr,
    /// The interface, for a link-local address.
    pub interface: Option<String>,
    /// `single` or `multi`: whether the neighbour must be on a link of ours.
    pub hops: String,
    /// `AdminDown`, `Down`, `Init` or `Up`.
    pub state: String,
    /// The same, as the neighbour says it.
    pub remote_state: String,
    /// Since when the state is as it is.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Why the session last went down, as an identifier.
    pub last_down: Option<String>,
    /// What we tell the neighbour about that.
    pub diagnostic: String,
    /// What the neighbour tells us.
    pub remote_diagnostic: String,
    /// Milliseconds between two packets of ours, as negotiated.
    pub transmit_interval_ms: u64,
    /// Milliseconds of silence that are borne, as negotiated, while there is somebody.
    pub detection_time_ms: Option<u64>,
    /// How often the path failed.
    pub failures: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Our number of the session.
    pub local_discriminator: u32,
    /// The neighbour's, or 0.
    pub remote_discriminator: u32,
    /// Whether the neighbour's BFD goes on without its control plane (the C bit).
    pub control_plane_independent: bool,
}

/// An answer that is not the one asked for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    /// One sentence.
    pub error: String,
}
