//! Nodes: addresses, pod CIDRs, annotations.
//!
//! A Node is used as far as it can be: it is written by the kubelet, the controller manager and the
//! administrator, and a typo of one of them must not take the others' fields away. What a bad
//! annotation said while it was good stays in force: AS number, BGP Identifier and address are what
//! every session of the node hangs on. So do its pod CIDRs and addresses.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::ParseIntError,
    str::FromStr,
};

use jiff::Timestamp;
use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::Time};
use redstart_bgp::types::{Asn, Prefix, RouterId};

use super::{
    Kind, Meta, Object, ObjectKey, Observed,
    observed::Findings,
    values::{usable_asn, usable_unicast},
};
use crate::{
    api,
    diagnostic::{Diagnostic, Reason},
};

/// What is used of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name, labels, age.
    pub meta: Meta,
    /// Where the node speaks BGP over IPv4, and the next hop of its IPv4 routes.
    pub ipv4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub ipv6: Option<Ipv6Addr>,
    /// Every address that the Node object claims.
    pub addresses: Vec<IpAddr>,
    /// Its pod CIDRs, in the order of the object.
    pub pod_cidrs: Vec<Prefix>,
    /// Its own AS number, if it has one.
    pub asn: Option<Asn>,
    /// Its own BGP Identifier, if it has one.
    pub router_id: Option<RouterId>,
    /// The cluster that it reflects for, if that is said of this node.
    pub cluster_id: Option<u32>,
    /// What asks for it to be drained.
    pub drain: DrainSigns,
    /// Condition `NetworkUnavailable`: by its own word, its network does not work.
    pub network_unavailable: bool,
    /// Condition `Ready`, which is not there before the kubelet has said something.
    pub is_unready: bool,
}

impl From<&core::Node> for Observed {
    fn from(node: &core::Node) -> Self {
        let meta = Meta::from(&node.metadata);
        let key = ObjectKey::cluster(Kind::Node, meta.name.as_str());
        let mut findings = Findings::new(&key);
        let addresses = addresses(node, &mut findings);
        let mut parsed = Node {
            meta,
            pod_cidrs: pod_cidrs(node, &mut findings),
            drain: DrainSigns {
                asked: None,
                taints: taints(node),
                shuts_down: shuts_down(node),
            },
            is_unready: condition(node, "Ready").is_some_and(|c| c.status != "True"),
            network_unavailable: condition(node, "NetworkUnavailable")
                .is_some_and(|c| c.status == "True"),
            ..Node::default()
        };
        for (kind, address) in &addresses {
            if kind == "InternalIP" && usable_unicast(*address).is_ok() {
                match address {
                    IpAddr::V4(a) => parsed.ipv4 = parsed.ipv4.or(Some(*a)),
                    IpAddr::V6(a) => parsed.ipv6 = parsed.ipv6.or(Some(*a)),
                }
            }
        }
        parsed.addresses = addresses.into_iter().map(|(_, a)| a).collect();
        parsed.addresses.shrink_to_fit();
        annotations(node, &mut parsed, &mut findings);
        findings.keep(key, Object::Node(Box::new(parsed)))
    }
}

impl Node {
    /// Comes `now`, after `last`, the version in force before: what only a later version can tell.
    ///
    /// `earlier`: what an earlier process has heard.
    pub(super) fn follow(
        &mut self,
        (last, earlier): (Option<&Self>, Option<&DrainSigns>),
        problems: &[Diagnostic],
        now: Since,
    ) {
        if let Some(last) = last {
            self.keep_last_good(last, problems);
        }
        let before = [last.map(|last| &last.drain), earlier];
        self.drain.follow(self.is_unready, before, now);
    }

    /// Puts back what was good in `last` and is bad now.
    fn keep_last_good(&mut self, last: &Self, problems: &[Diagnostic]) {
        let is_bad = |annotation: &str| problems.iter().any(|p| p.field == field(annotation));
        let one_is_bad = |list: &str| problems.iter().any(|p| p.field.starts_with(list));
        if one_is_bad("spec.podCIDR") {
            self.pod_cidrs.clone_from(&last.pod_cidrs);
        }
        if one_is_bad("status.addresses[") {
            self.ipv4 = self.ipv4.or(last.ipv4);
            self.ipv6 = self.ipv6.or(last.ipv6);
        }
        if is_bad(api::ANNOTATION_ASN) {
            self.asn = last.asn;
        }
        if is_bad(api::ANNOTATION_ROUTER_ID) {
            self.router_id = last.router_id;
        }
        if is_bad(api::ANNOTATION_CLUSTER_ID) {
            self.cluster_id = last.cluster_id;
        }
        if is_bad(api::ANNOTATION_DRAIN) {
            self.drain.asked = last.drain.asked;
        }
        if is_bad(api::ANNOTATION_ADDRESS) {
            self.ipv4 = last.ipv4.or(self.ipv4);
            self.ipv6 = last.ipv6.or(self.ipv6);
        }
    }
}

/// Since when a node is to be drained. The earlier comes first.
///
/// What says no time has its place after all that was asked for until it was heard of, whether that says a
/// time or not, and before all that says a later one. All who heard of it when it came come to
/// the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since {
    /// In seconds since 1970: as it says, or the latest that anything had said when it was heard of.
    time: Option<i64>,
    /// The number of the event that told it, if it says no time.
    heard: Option<u64>,
}

impl Since {
    /// As it says, in seconds since 1970; what says nothing gets its place when it is taken in.
    pub(crate) fn new(time: Option<i64>) -> Self {
        let heard = time.is_none().then_some(u64::MAX);
        Self { time, heard }
    }

    /// Told by the event of this number, after all that has been said up to the time `latest`.
    pub(super) fn heard(latest: Option<i64>, event: u64) -> Self {
        Self {
            time: latest,
            heard: Some(event),
        }
    }

    /// The time up to which all comes before it.
    pub(super) const fn time(self) -> Option<i64> {
        self.time
    }

    /// The number of the event that told it.
    pub(super) const fn event(self) -> Option<u64> {
        self.heard
    }

    /// Takes the place that it had `before`, or `now`, if it says no time.
    fn follow(&mut self, before: Option<Self>, now: Self) {
        if self.heard.is_some() {
            *self = before.unwrap_or(now);
        }
    }
}

/// The time, or `-`, and the number of the event, where it says no time itself.
impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            Some(time) => write!(f, "{time}")?,
            None => f.write_str("-")?,
        }
        self.heard.map_or(Ok(()), |event| write!(f, " {event}"))
    }
}

/// Of a place that was heard of.
impl FromStr for Since {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (time, event) = text.split_once(' ').unwrap_or((text, ""));
        let time = match time {
            "-" => None,
            time => Some(time.parse()?),
        };
        Ok(Self::heard(time, event.parse()?))
    }
}

/// What asks for a node to be drained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainSigns {
    /// The annotation, with the time that it says.
    pub asked: Option<Since>,
    /// The keys of its taints.
    pub taints: BTreeMap<String, Since>,
    /// The kubelet says that the node shuts down, or somebody says that it did.
    pub shuts_down: Option<Since>,
}

impl DrainSigns {
    /// A node that was about to shut down is off, or on its way back, until it is ready again: the
    /// kubelet that said so cannot say it for all that time. And what asks for a drain as it did before
    /// was heard of before.
    fn follow(&mut self, is_unready: bool, before: [Option<&Self>; 2], place: Since) {
        let before = |sign: &dyn Fn(&Self) -> Option<Since>| {
            let mut places = before.into_iter().flatten().filter_map(sign);
            places.next()
        };
        let was_about_to = before(&|it| it.shuts_down);
        if is_unready {
            self.shuts_down = self.shuts_down.or(was_about_to);
        }
        if let Some(now) = &mut self.asked {
            now.follow(before(&|it| it.asked), place);
        }
        if let Some(now) = &mut self.shuts_down {
            now.follow(was_about_to, place);
        }
        for (key, now) in &mut self.taints {
            now.follow(before(&|it| it.taints.get(key).copied()), place);
        }
    }

    /// Those that say no time.
    pub(super) fn untimed(&self) -> Self {
        let untimed = |since: &Since| since.heard.is_some();
        let mut taints = self.taints.clone();
        taints.retain(|_, since| untimed(since));
        Self {
            asked: self.asked.filter(untimed),
            taints,
            shuts_down: self.shuts_down.filter(untimed),
        }
    }

    /// The place of each.
    pub(super) fn places(&self) -> impl Iterator<Item = Since> + '_ {
        let signs = self.asked.iter().chain(self.taints.values());
        signs.chain(&self.shuts_down).copied()
    }

    /// The latest time that any of them says.
    pub(super) fn latest(&self) -> Option<i64> {
        let timed = self.places().filter(|since| since.heard.is_none());
        timed.filter_map(|since| since.time).max()
    }

    /// Forgets that the node was about to shut down.
    pub(crate) fn is_up(&mut self) {
        self.shuts_down = None;
    }
}

/// Taints of nodes that are off, or about to be.
const SHUTDOWN_TAINTS: [&str; 2] = [
    "node.cloudprovider.kubernetes.io/shutdown",
    "node.kubernetes.io/out-of-service",
];

/// What the kubelet writes into its condition `Ready` from the moment at which systemd tells it of a
/// shutdown.
pub(crate) const SHUTDOWN_MESSAGE: &str = "node is shutting down";

fn since(time: Option<&Time>) -> Since {
    Since::new(time.map(|time| time.0.as_second()))
}

/// A key may be there with several effects: the first counts.
fn taints(node: &core::Node) -> BTreeMap<String, Since> {
    let mut taints = BTreeMap::new();
    for taint in node.spec.iter().flat_map(|s| s.taints.iter().flatten()) {
        let since = since(taint.time_added.as_ref());
        taints.entry(taint.key.clone()).or_insert(since);
    }
    taints
}

fn condition<'a>(node: &'a core::Node, kind: &str) -> Option<&'a core::NodeCondition> {
    let mut conditions = node.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == kind)
}

fn shuts_down(node: &core::Node) -> Option<Since> {
    let told = condition(node, "Ready").filter(|ready| {
        let message = ready.message.as_deref().unwrap_or_default();
        ready.status == "False" && message.contains(SHUTDOWN_MESSAGE)
    });
    if let Some(ready) = told {
        return Some(since(ready.last_transition_time.as_ref()));
    }
    let taints = taints(node);
    let mut off = SHUTDOWN_TAINTS.iter();
    off.find_map(|key| taints.get(*key).copied())
}

/// The path of an annotation.
fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

fn addresses(node: &core::Node, findings: &mut Findings) -> Vec<(String, IpAddr)> {
    let listed = node
        .status
        .iter()
        .flat_map(|s| s.addresses.iter().flatten());
    listed
        .enumerate()
        .filter(|(_, a)| matches!(a.type_.as_str(), "InternalIP" | "ExternalIP"))
        .filter_map(|(i, a)| {
            let field = format!("status.addresses[{i}].address");
            let parsed = a
                .address
                .parse()
                .map_err(|_| format!("{:?} is not an IP address; it is ignored", a.address));
            Some((
                a.type_.clone(),
                findings.take(&field, Reason::InvalidAddress, parsed)?,
            ))
        })
        .collect()
}

/// `podCIDRs`, or where an old controller manager wrote only that, `podCIDR`.
fn pod_cidrs(node: &core::Node, findings: &mut Findings) -> Vec<Prefix> {
    let Some(spec) = &node.spec else {
        return Vec::new();
    };
    let listed = match spec.pod_cidrs.as_deref() {
        Some(list) if !list.is_empty() => list
            .iter()
            .enumerate()
            .map(|(i, s)| (format!("spec.podCIDRs[{i}]"), s))
            .collect(),
        _ => Vec::from_iter(spec.pod_cidr.iter().map(|s| ("spec.podCIDR".to_owned(), s))),
    };
    let mut prefixes = Vec::new();
    for (field, text) in listed {
        let parsed = text
            .parse::<Prefix>()
            .map_err(|e| format!("{e}; it is neither advertised nor accepted"))
            .and_then(|p| match p.len() {
                0 => Err(format!(
                    "{text} is a default route and no pod CIDR; it is neither advertised nor accepted"
                )),
                _ => Ok(p),
            });
        if let Some(prefix) = findings.take(&field, Reason::InvalidCidr, parsed)
            && !prefixes.contains(&prefix)
        {
            prefixes.push(prefix);
        }
    }
    prefixes.shrink_to_fit();
    prefixes
}

fn annotations(node: &core::Node, parsed: &mut Node, findings: &mut Findings) {
    let get = |name: &str| node.metadata.annotations.as_ref()?.get(name);
    if let Some(text) = get(api::ANNOTATION_ASN) {
        let asn = text
            .parse::<Asn>()
            .map_err(|e| e.to_string())
            .and_then(usable_asn)
            .map_err(|e| format!("{e}; the last good one or the cluster's AS number is used"));
        parsed.asn = findings.take(&field(api::ANNOTATION_ASN), Reason::InvalidAsn, asn);
    }
    if let Some(text) = get(api::ANNOTATION_ROUTER_ID) {
        let id = match text.parse::<Ipv4Addr>() {
            Ok(id) if RouterId(id).is_valid() => Ok(RouterId(id)),
            _ => Err(format!(
                "{text:?} is not a BGP Identifier (written like an IPv4 address, not 0.0.0.0); the last good one or the default is used"
            )),
        };
        let field = field(api::ANNOTATION_ROUTER_ID);
        parsed.router_id = findings.take(&field, Reason::InvalidRouterId, id);
    }
    if let Some(text) = get(api::ANNOTATION_CLUSTER_ID) {
        let id = text.parse().map(Ipv4Addr::to_bits);
        let id = id.map_err(|_| format!("{text:?} does not look like an IPv4 address; the last good one or the default is used"));
        let field = field(api::ANNOTATION_CLUSTER_ID);
        parsed.cluster_id = findings.take(&field, Reason::InvalidAddress, id);
    }
    if let Some(text) = get(api::ANNOTATION_DRAIN) {
        let field = field(api::ANNOTATION_DRAIN);
        let asked = findings.take(&field, Reason::InvalidValue, drain_annotation(text));
        parsed.drain.asked = asked.flatten();
    }
    if let Some(text) = get(api::ANNOTATION_ADDRESS) {
        address_annotation(text, &field(api::ANNOTATION_ADDRESS), parsed, findings);
    }
}

/// Whether a drain is asked for, and since when.
fn drain_annotation(text: &str) -> Result<Option<Since>, String> {
    match text {
        "false" => Ok(None),
        "" | "true" => Ok(Some(Since::new(None))),
        time => match time.parse::<Timestamp>() {
            Ok(time) => Ok(Some(Since::new(Some(time.as_second())))),
            Err(_) => Err(format!(
                "{text:?} is none of true, false and a time such as 2026-05-28T20:26:40Z; what it said before holds"
            )),
        },
    }
}

/// Overrides the address per family: `192.0.2.1`, or `192.0.2.1,2001:db8::1`.
fn address_annotation(text: &str, field: &str, parsed: &mut Node, findings: &mut Findings) {
    let (mut ipv4, mut ipv6) = (None, None);
    for part in text.split(',').map(str::trim) {
        let address = part
            .parse()
            .map_err(|_| format!("{part:?} is not an IP address"))
            .and_then(usable_unicast)
            .map_err(|e| format!("{e}; the last good one or the Node's InternalIP is used"));
        let Some(address) = findings.take(field, Reason::InvalidAddress, address) else {
            continue;
        };
        let second = match address {
            IpAddr::V4(a) => ipv4.replace(a).is_some(),
            IpAddr::V6(a) => ipv6.replace(a).is_some(),
        };
        if second {
            let message = format!("{text:?} has two addresses of one family; the last one is used");
            findings.error(field, Reason::Conflict, message);
        }
        if !parsed.addresses.contains(&address) {
            parsed.addresses.push(address);
        }
    }
    parsed.ipv4 = ipv4.or(parsed.ipv4);
    parsed.ipv6 = ipv6.or(parsed.ipv6);
}
