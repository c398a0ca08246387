//! `BGPAdvertisement`, parsed.

use std::{collections::BTreeSet, fmt::Display, str::FromStr};

use redstart_bgp::types::{Community, LargeCommunity, Prefix};

use super::{
    Kind, Meta, Object, ObjectKey, Observed,
    observed::Findings,
    values::{range, selector},
};
use crate::{
    api::{BGPAdvertisement, BGPAdvertisementSpec, LabelSelector},
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
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// Additional prepends.
    pub prepend: u8,
}

impl From<&BGPAdvertisement> for Observed {
    fn from(object: &BGPAdvertisement) -> Self {
        let meta = Meta::from(&object.metadata);
        let key = ObjectKey::cluster(Kind::BgpAdvertisement, meta.name.as_str());
        let mut findings = Findings::new(&key);
        let advertisement = parse(meta, &object.spec, &mut findings);
        findings.keep_if_clean(key, Some(Object::Advertisement(advertisement)))
    }
}

fn parse(meta: Meta, spec: &BGPAdvertisementSpec, findings: &mut Findings) -> Advertisement {
    if !spec.pod_cidrs && spec.static_prefixes.is_empty() {
        let message = "nothing to advertise: set podCIDRs or staticPrefixes";
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
    Advertisement {
        meta,
        node_selector: spec.node_selector.clone(),
        pod_cidrs: spec.pod_cidrs,
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
        local_pref: spec.local_pref,
        med: spec.med,
        prepend: spec.prepend,
    }
}

fn parse_all<T: FromStr<Err: Display> + Ord>(
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
