//! What this node may advertise of Services: everything of a verdict that is not the Service's own.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
};

use redstart_bgp::types::{FamilySet, Prefix};

use super::{
    super::{
        Advertise, Peer, PeerName, Scope,
        identity::families,
        originations::{by_configuration, by_object, routers},
    },
    Withheld,
};
use crate::{
    api::{CONFIGURATION_NAME, LABEL_EXCLUDE, ServiceAddress},
    index::{Aggregate, Service, ServiceChoice, ServiceKey, usable_unicast},
    object::ObjectRef,
};

/// What this node may advertise of Services.
#[derive(Clone, Debug)]
pub(in super::super) struct Rules {
    /// The node's name.
    pub(super) node: String,
    /// Why the node advertises no address of any Service.
    node_withholds: Option<Withheld>,
    /// Families that the node has an address of.
    families: FamilySet,
    allowed_external_ips: BTreeSet<Prefix>,
    allowed_load_balancer_ips: BTreeSet<Prefix>,
    /// Of all nodes; no two overlap.
    pod_cidrs: BTreeSet<Prefix>,
    /// Of all nodes, and of the routers with an address.
    speakers: HashSet<IpAddr>,
    /// Each with what asks for it: the position is its name in verdicts.
    choices: Vec<Choice>,
}

/// Something that asks for addresses of Services to be advertised.
#[derive(Clone, Debug)]
struct Choice {
    services: ServiceChoice,
    advertise: Arc<Advertise>,
}

impl Rules {
    pub(in super::super) fn new(scope: &Scope<'_>, peers: &BTreeMap<PeerName, Peer>) -> Self {
        let configuration = scope.objects.configurations.get(CONFIGURATION_NAME);
        Self {
            node: scope.own.meta.name.clone(),
            node_withholds: node_withholds(scope),
            families: families(scope.own),
            allowed_external_ips: configuration
                .map(|c| c.allowed_external_ips.clone())
                .unwrap_or_default(),
            allowed_load_balancer_ips: configuration
                .map(|c| c.allowed_load_balancer_ips.clone())
                .unwrap_or_default(),
            pod_cidrs: scope.pod_cidrs.owned(),
            speakers: speakers(scope),
            choices: choices(scope, peers),
        }
    }

    /// What asks for Services, and the peers that it names.
    pub(super) fn sources(&self) -> Arc<[(ObjectRef, Vec<PeerName>)]> {
        let named = |c: &Choice| {
            let peers = c.advertise.peers.iter().cloned().collect();
            (c.advertise.source.clone(), peers)
        };
        self.choices.iter().map(named).collect()
    }

    /// Which choices want addresses of this kind of the Service.
    pub(super) fn choosing(
        &self,
        key: &ServiceKey,
        service: &Service,
        kind: ServiceAddress,
    ) -> Vec<usize> {
        let wants = |c: &&(usize, &Choice)| c.1.services.wants(key, service, kind);
        let choices: Vec<_> = self.choices.iter().enumerate().collect();
        choices.iter().filter(wants).map(|(i, _)| *i).collect()
    }

    /// How a choice is advertised.
    pub(super) fn advertise(&self, choice: usize) -> Option<&Arc<Advertise>> {
        self.choices.get(choice).map(|c| &c.advertise)
    }

    /// The aggregates of a choice that cover an address.
    pub(super) fn aggregates(
        &self,
        choice: usize,
        address: IpAddr,
    ) -> impl Iterator<Item = &Aggregate> {
        let choice = self.choices.get(choice);
        let all = choice.into_iter().flat_map(|c| &c.services.aggregates);
        all.filter(move |a| a.prefix.contains(address))
    }

    /// Whether the address may be advertised, by whatever node.
    pub(super) fn permits(&self, kind: ServiceAddress, address: IpAddr) -> Result<(), Withheld> {
        if usable_unicast(address).is_err() {
            return Err(Withheld::UnusableAddress);
        }
        let host = Prefix::host(address);
        let below = self.pod_cidrs.range(..=host).next_back();
        if below.is_some_and(|p| p.covers(host)) {
            return Err(Withheld::PodAddress);
        }
        if self.speakers.contains(&address) {
            return Err(Withheld::SpeakerAddress);
        }
        let within = |ranges: &BTreeSet<Prefix>| ranges.iter().any(|p| p.covers(host));
        let allowed = match kind {
            ServiceAddress::ClusterIP => true,
            ServiceAddress::ExternalIP => within(&self.allowed_external_ips),
            ServiceAddress::LoadBalancerIP => {
                let ranges = &self.allowed_load_balancer_ips;
                ranges.is_empty() || within(ranges)
            }
        };
        allowed.then_some(()).ok_or(Withheld::NotAllowed)
    }

    /// Whether this node may advertise the address for one of these choices.
    pub(super) fn node_permits(&self, choices: &[usize], address: IpAddr) -> Result<(), Withheld> {
        if let Some(withheld) = self.node_withholds {
            return Err(withheld);
        }
        let mut named = choices.iter().filter_map(|c| self.advertise(*c));
        if named.all(|a| a.peers.is_empty()) {
            return Err(Withheld::NoPeer);
        }
        let family = Prefix::host(address).family();
        let has_address = self.families.contains(family);
        has_address.then_some(()).ok_or(Withheld::NoNodeAddress)
    }
}

impl ServiceChoice {
    /// Whether it asks for an address of this kind that the Service has.
    pub(in super::super) fn has_address(
        &self,
        key: &ServiceKey,
        service: &Service,
        kind: ServiceAddress,
    ) -> bool {
        !service.addresses(kind).is_empty() && self.wants(key, service, kind)
    }

    fn wants(&self, key: &ServiceKey, service: &Service, kind: ServiceAddress) -> bool {
        let class = || {
            let class = service.load_balancer_class.as_ref();
            class.is_some_and(|class| self.load_balancer_classes.contains(class))
        };
        let any_class = kind != ServiceAddress::LoadBalancerIP;
        self.addresses.contains(&kind)
            && (self.namespaces.is_empty() || self.namespaces.contains(&*key.namespace))
            && (any_class || self.load_balancer_classes.is_empty() || class())
            && self
                .selector
                .as_ref()
                .is_none_or(|s| s.matches(&service.labels))
    }
}

fn speakers(scope: &Scope<'_>) -> HashSet<IpAddr> {
    let nodes = scope.objects.nodes.values();
    let nodes = nodes.flat_map(|node| node.addresses.iter().copied());
    let routers = scope.objects.peers.values();
    let routers = routers.filter_map(|peer| Some(peer.remote.address()?.ip()));
    nodes.chain(routers).collect()
}

/// Kubernetes' own words for a node that is to carry no traffic from outside. That a Node is not
/// ready, or cordoned, says nothing of the sort: pods go on running, and if all nodes were in that
/// state at once, withdrawing would make an outage of it.
fn node_withholds(scope: &Scope<'_>) -> Option<Withheld> {
    if scope.own.network_unavailable {
        return Some(Withheld::NetworkUnavailable);
    }
    let excluded = scope.own.meta.labels.contains_key(LABEL_EXCLUDE);
    excluded.then_some(Withheld::NodeExcluded)
}

/// By the `BGPAdvertisement`s that select this node; while there are none at all, by the
/// `BGPConfiguration`.
fn choices(scope: &Scope<'_>, peers: &BTreeMap<PeerName, Peer>) -> Vec<Choice> {
    let labels = &scope.own.meta.labels;
    let advertisements = &scope.objects.advertisements;
    let default = &scope.configuration.services.advertise;
    if advertisements.is_empty() && !default.is_empty() {
        return vec![Choice {
            services: ServiceChoice {
                addresses: default.iter().copied().collect(),
                selector: None,
                namespaces: BTreeSet::new(),
                load_balancer_classes: BTreeSet::new(),
                aggregates: Vec::new(),
            },
            advertise: by_configuration(routers(peers)).into(),
        }];
    }
    let here = advertisements.values().filter(|a| {
        let selector = a.node_selector.as_ref();
        selector.is_none_or(|s| s.matches(labels))
    });
    here.filter_map(|a| {
        Some(Choice {
            services: a.services.clone()?,
            advertise: by_object(scope, peers, a).into(),
        })
    })
    .collect()
}
