//! `BGPAdvertisement`, parsed.

use std::{collections::BTreeSet, fmt::Display, str::FromStr};

use redstart_bgp::types::{Community, ExtendedCommunity, LargeCommunity, Prefix};

use super::{
    Kind, Meta, Object, ObjectKey, Observed,
    observed::Findings,
    values::{range, selector},
};
use crate::{
    api::{
        BGPAdvertisement, BGPAdvertisementSpec, Blackhole, LabelSelector, ServiceAddress,
        ServiceAdvertisementSpec,
    },
    diagnostic::Reason,
};

/// A `BGPAdvertisement` whose every field means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Name and the like.
    pub meta: Meta,
    /// Which nodes; `None` means all.
    pub node_selector: Option<LabelSelector>,
    /// Whether the node's pod CIDRs are advertised.
    pub pod_cidrs: bool,
    /// Which addresses of Services.
    pub services: Option<ServiceChoice>,
    /// Network interfaces whose addresses are advertised.
    pub interfaces: BTreeSet<String>,
    /// Kernel tables whose prefixes are advertised.
    pub kernel_tables: BTreeSet<u32>,
    /// Other prefixes.
    pub static_prefixes: BTreeSet<Prefix>,
    /// The routers that are named.
    pub peer_names: BTreeSet<String>,
    /// The routers that are chosen by labels; `None` unless labels are asked for.
    pub peer_selector: Option<LabelSelector>,
    /// Standard communities.
    pub communities: BTreeSet<Community>,
    /// Large communities.
    pub large_communities: BTreeSet<LargeCommunity>,
    /// Extended communities.
    pub extended_communities: BTreeSet<ExtendedCommunity>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// Additional prepends.
    pub prepend: u8,
}

/// Which addresses of which Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChoice {
    /// The kinds of addresses.
    pub addresses: BTreeSet<ServiceAddress>,
    /// Labels of the Services; `None` means any.
    pub selector: Option<LabelSelector>,
    /// Their namespaces; empty means any.
    pub namespaces: BTreeSet<String>,
    /// Their load balancer classes, where the address is a load balancer's; empty means any.
    pub load_balancer_classes: BTreeSet<String>,
    /// Prefixes that stand for addresses.
    pub aggregates: Vec<Aggregate>,
}

/// A prefix that stands for the addresses in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The prefix.
    pub prefix: Prefix,
    /// Whether the addresses are advertised as well.
    pub host_routes: bool,
    /// Whether the kernel drops what nothing more specific takes.
    pub blackhole: bool,
}

impl From<&BGPAdvertisement> for Observed {
    fn from(object: &BGPAdvertisement) -> Self {
        let meta = Meta::from(&object.metadata);
        let key = ObjectKey::cluster(Kind::BgpAdvertisement, meta.name.as_str());
        let mut findings = Findings::new(&key);
        let advertisement = parse(meta, &object.spec, &mut findings);
        findings.keep_if_clean(key, Some(Object::Advertisement(Box::new(advertisement))))
    }
}

fn kernel_tables(tables: &[u32], findings: &mut Findings) {
    if tables.iter().any(|table| matches!(table, 0 | 253..=255)) {
        let message = "the tables default, main and local (253 to 255) are the node's own";
        findings.error("spec.kernelTables", Reason::InvalidValue, message);
    }
}

fn parse(meta: Meta, spec: &BGPAdvertisementSpec, findings: &mut Findings) -> Advertisement {
    let lists_nothing = spec.static_prefixes.is_empty()
        && spec.interfaces.is_empty()
        && spec.kernel_tables.is_empty();
    if !spec.pod_cidrs && spec.services.is_none() && lists_nothing {
        let message = "nothing to advertise: set podCIDRs, services, staticPrefixes, interfaces or kernelTables";
        findings.error("spec", Reason::MissingField, message);
    }
    if let Some(node_selector) = &spec.node_selector {
        selector("spec.nodeSelector", node_selector, findings);
    }
    let labels = LabelSelector {
        match_labels: spec.peers.match_labels.clone(),
        match_expressions: spec.peers.match_expressions.clone(),
    };
    selector("spec.peers", &labels, findings);
    range("spec.prepend", &spec.prepend, 0..=16, findings);
    kernel_tables(&spec.kernel_tables, findings);
    Advertisement {
        meta,
        node_selector: spec.node_selector.clone(),
        pod_cidrs: spec.pod_cidrs,
        services: spec.services.as_ref().map(|s| choice(s, findings)),
        interfaces: spec.interfaces.iter().cloned().collect(),
        kernel_tables: spec.kernel_tables.iter().copied().collect(),
        static_prefixes: parse_all(
            "spec.staticPrefixes",
            Reason::InvalidCidr,
            &spec.static_prefixes,
            findings,
        ),
        peer_names: spec.peers.names.iter().cloned().collect(),
        peer_selector: (labels != LabelSelector::default()).then_some(labels),
        communities: parse_all(
            "spec.communities",
            Reason::InvalidCommunity,
            &spec.communities,
            findings,
        ),
        large_communities: parse_all(
            "spec.largeCommunities",
            Reason::InvalidCommunity,
            &spec.large_communities,
            findings,
        ),
        extended_communities: parse_all(
            "spec.extendedCommunities",
            Reason::InvalidCommunity,
            &spec.extended_communities,
            findings,
        ),
        local_pref: spec.local_pref,
        med: spec.med,
        prepend: spec.prepend,
    }
}

fn choice(spec: &ServiceAdvertisementSpec, findings: &mut Findings) -> ServiceChoice {
    if spec.addresses.is_empty() {
        let message = "no kind of addresses is chosen";
        findings.error("spec.services.addresses", Reason::MissingField, message);
    }
    if let Some(labels) = &spec.selector {
        selector("spec.services.selector", labels, findings);
    }
    let addresses: BTreeSet<_> = spec.addresses.iter().copied().collect();
    // The kernel looks for a route before kube-proxy translates what the node itself sends.
    let harmless = !addresses.contains(&ServiceAddress::ClusterIP);
    let mut aggregates = Vec::new();
    for (i, aggregate) in spec.aggregates.iter().enumerate() {
        let field = format!("spec.services.aggregates[{i}].prefix");
        let prefix = findings.take(&field, Reason::InvalidCidr, aggregate.prefix.parse());
        aggregates.extend(prefix.map(|prefix| Aggregate {
            prefix,
            host_routes: aggregate.host_routes,
            blackhole: match aggregate.blackhole {
                Blackhole::Auto => harmless,
                Blackhole::Always => true,
                Blackhole::Never => false,
            },
        }));
    }
    ServiceChoice {
        addresses,
        selector: spec.selector.clone(),
        namespaces: spec.namespaces.iter().cloned().collect(),
        load_balancer_classes: spec.load_balancer_classes.iter().cloned().collect(),
        aggregates,
    }
}

pub(super) fn parse_all<T: FromStr<Err: Display> + Ord>(
    field: &str,
    reason: Reason,
    texts: &[String],
    findings: &mut Findings,
) -> BTreeSet<T> {
    texts
        .iter()
        .enumerate()
        .filter_map(|(i, text)| findings.take(&format!("{field}[{i}]"), reason, text.parse()))
        .collect()
}
