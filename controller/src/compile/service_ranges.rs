//! Which addresses Services have: nothing that a router says of them is taken.
//!
//! Kubernetes tells the ranges since 1.33 (`ServiceCIDR`), and the configuration may (`spec.serviceCIDRs`). Of
//! cluster IPs that are in none of these the range follows from those in use: the longest prefix that has them all is
//! the range or a part of it, since a range is one prefix. The kube-apiserver takes none shorter than /12, or
//! /108 for IPv6 (`--service-cluster-ip-range`), so addresses that are further apart are of different ranges: a
//! cluster whose range was changed has Services in both.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use redstart_bgp::types::Prefix;

use super::{Scope, configuration_ref};
use crate::{
    api::CONFIGURATION_NAME,
    diagnostic::{Diagnostic, Reason},
    index::{Objects, Service, ServiceKey},
};

impl Scope<'_> {
    /// Those that are named, those that follow from the cluster IPs in use, and the aggregates in which addresses of
    /// Services are advertised.
    pub(super) fn service_ranges(&self) -> BTreeSet<Prefix> {
        let advertisements = self.objects.advertisements.values();
        let services = advertisements.filter_map(|a| a.services.as_ref());
        let aggregates = services.flat_map(|s| s.aggregates.iter().map(|a| a.prefix));
        let in_use = self.service_ips.ranges();
        named(self.objects)
            .chain(in_use)
            .chain(aggregates)
            .collect()
    }
}

/// The ranges that Kubernetes or the configuration names.
fn named(objects: &Objects) -> impl Iterator<Item = Prefix> {
    let configuration = objects.configurations.get(CONFIGURATION_NAME);
    let named = configuration.into_iter().flat_map(|c| &c.service_cidrs);
    let of_kubernetes = objects.service_cidrs.values();
    let of_kubernetes = of_kubernetes.flat_map(|it| &it.cidrs);
    named.chain(of_kubernetes).copied()
}

/// The cluster IPs that are in no range that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InUse {
    named: Vec<Prefix>,
    /// By the largest prefix that a range can be.
    by_block: BTreeMap<Prefix, Extent>,
}

/// The lowest and the highest address, each with a Service that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extent {
    low: (IpAddr, ServiceKey),
    high: (IpAddr, ServiceKey),
}

impl InUse {
    pub(super) fn of(objects: &Objects) -> Self {
        let mut in_use = Self {
            named: named(objects).collect(),
            by_block: BTreeMap::new(),
        };
        in_use.look(objects);
        in_use
    }

    /// Looks at every Service.
    fn look(&mut self, objects: &Objects) {
        self.by_block.clear();
        for (key, service) in &objects.services {
            for (block, address) in unnamed(&self.named, service) {
                let here = || (address, key.clone());
                let extent = self.by_block.entry(block).or_insert_with(|| Extent {
                    low: here(),
                    high: here(),
                });
                if address < extent.low.0 {
                    extent.low = here();
                }
                if address > extent.high.0 {
                    extent.high = here();
                }
            }
        }
    }

    /// Follows what became of these Services. Whether the ranges are others now.
    pub(super) fn update(&mut self, objects: &Objects, changed: &BTreeSet<ServiceKey>) -> bool {
        if !changed.iter().any(|key| self.is_moved_by(objects, key)) {
            return false;
        }
        let before: Vec<Prefix> = self.ranges().collect();
        self.look(objects);
        !self.ranges().eq(before)
    }

    /// Whether an extent ends elsewhere for what became of this Service.
    fn is_moved_by(&self, objects: &Objects, key: &ServiceKey) -> bool {
        let service = objects.services.get(key);
        let has = |address| service.is_some_and(|it| it.cluster_ips.contains(&address));
        let left = |end: &(IpAddr, ServiceKey)| end.1 == *key && !has(end.0);
        let is_beyond = |(block, address)| {
            let extent = self.by_block.get(&block);
            extent.is_none_or(|it| address < it.low.0 || address > it.high.0)
        };
        let mut extents = self.by_block.values();
        extents.any(|it| left(&it.low) || left(&it.high))
            || service.is_some_and(|it| unnamed(&self.named, it).any(is_beyond))
    }

    /// The longest prefix of each extent.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Prefix> {
        let extents = self.by_block.values();
        extents.filter_map(|it| covering(it.low.0, it.high.0))
    }

    /// That there are cluster IPs in no range that is named: what routers say of the rest of theirs is not refused.
    pub(super) fn unknown(&self, objects: &Objects) -> Option<Diagnostic> {
        if self.by_block.is_empty() || objects.peers.is_empty() {
            return None;
        }
        // Not what is refused now, which comes and goes with Services.
        let blocks: Vec<String> = self.by_block.keys().map(ToString::to_string).collect();
        let message = format!(
            "neither this nor a ServiceCIDR has the cluster IPs within {}: what BGPPeers say of their range is refused as \
             far as it is in use alone",
            blocks.join(", ")
        );
        Some(Diagnostic::warning(
            configuration_ref(),
            "spec.serviceCIDRs",
            Reason::ServiceRangesUnknown,
            message,
        ))
    }
}

/// The cluster IPs that are in none of these ranges, each with the largest prefix that its range can be.
fn unnamed(named: &[Prefix], service: &Service) -> impl Iterator<Item = (Prefix, IpAddr)> {
    let is_named = |address: IpAddr| named.iter().any(|it| it.contains(address));
    service.cluster_ips.iter().filter_map(move |&address| {
        let shortest = if address.is_ipv4() { 12 } else { 108 };
        let block = Prefix::new(address, shortest)?;
        (!is_named(address)).then_some((block, address))
    })
}

/// The longest prefix that has both addresses, which are of one family.
fn covering(low: IpAddr, high: IpAddr) -> Option<Prefix> {
    let common = match (low, high) {
        (IpAddr::V4(low), IpAddr::V4(high)) => (low.to_bits() ^ high.to_bits()).leading_zeros(),
        (IpAddr::V6(low), IpAddr::V6(high)) => (low.to_bits() ^ high.to_bits()).leading_zeros(),
        _ => return None,
    };
    Prefix::new(low, u8::try_from(common).ok()?)
}
