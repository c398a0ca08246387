//! One Service against the rules: what becomes of each of its addresses, and why.

use std::{fmt, net::IpAddr};

use redstart_bgp::types::Prefix;

use super::Rules;
use crate::{
    api::ServiceAddress,
    diagnostic::{Diagnostic, Reason},
    index::{Counts, Endpoints, Service, ServiceKey},
};

/// An address of a Service, and what becomes of it on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRoute {
    /// The address.
    pub address: IpAddr,
    /// What it is to the Service.
    pub kind: ServiceAddress,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is advertised.
    Advertised {
        /// By these sources (positions in [`ServiceTable::sources`](super::ServiceTable)) as a host
        /// route.
        host: Vec<usize>,
        /// By these sources as a part of a prefix.
        aggregates: Vec<(usize, Prefix)>,
    },
    /// It is not.
    Withheld(Withheld),
}

/// Why this node does not advertise an address of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// Nothing asks for it: no `BGPAdvertisement` for this node selects the Service and this kind of
    /// its addresses.
    NotSelected,
    /// No unicast address that could be reached from elsewhere.
    UnusableAddress,
    /// It is the address of a pod, or may become one.
    PodAddress,
    /// It is the address of a node, or of a router that some node peers with: traffic to it, that of its
    /// sessions too, would go where the Service is.
    SpeakerAddress,
    /// It is outside of the ranges that `BGPConfiguration` allows.
    NotAllowed,
    /// The Node has the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    NodeExcluded,
    /// The Node has the condition `NetworkUnavailable`.
    NetworkUnavailable,
    /// What asks for it names no peer of this node.
    NoPeer,
    /// The node has no address of this family to be the next hop.
    NoNodeAddress,
    /// The Service has no endpoint anywhere that could serve it.
    NoEndpoints,
    /// It has endpoints, none of them on this node, and its traffic policy is Local.
    NoLocalEndpoints,
}

impl Withheld {
    /// The stable identifier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSelected => "not-selected",
            Self::UnusableAddress => "unusable-address",
            Self::PodAddress => "pod-address",
            Self::SpeakerAddress => "speaker-address",
            Self::NotAllowed => "not-allowed",
            Self::NodeExcluded => "node-excluded",
            Self::NetworkUnavailable => "network-unavailable",
            Self::NoPeer => "no-peer",
            Self::NoNodeAddress => "no-node-address",
            Self::NoEndpoints => "no-endpoints",
            Self::NoLocalEndpoints => "no-local-endpoints",
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What becomes of each address of a Service.
pub(super) fn judge(
    rules: &Rules,
    key: &ServiceKey,
    service: &Service,
    endpoints: &Endpoints,
) -> Vec<ServiceRoute> {
    let mut routes = Vec::new();
    for (kind, local_only) in [
        (ServiceAddress::ClusterIP, service.internal_local),
        (ServiceAddress::ExternalIP, service.external_local),
        (ServiceAddress::LoadBalancerIP, service.external_local),
    ] {
        let addresses = service.addresses(kind);
        if addresses.is_empty() {
            continue;
        }
        let choices = rules.choosing(key, service, kind);
        for &address in addresses {
            let verdict = judge_address(rules, &choices, kind, address).and_then(|()| {
                let family = Prefix::host(address).family();
                let (all, local) = endpoints.count(key, family, &rules.node);
                can_serve(service, all, local, local_only)
            });
            routes.push(ServiceRoute {
                address,
                kind,
                verdict: match verdict {
                    Ok(()) => advertised(rules, &choices, address, local_only),
                    Err(withheld) => Verdict::Withheld(withheld),
                },
            });
        }
    }
    routes
}

fn judge_address(
    rules: &Rules,
    choices: &[usize],
    kind: ServiceAddress,
    address: IpAddr,
) -> Result<(), Withheld> {
    if choices.is_empty() {
        return Err(Withheld::NotSelected);
    }
    rules.permits(kind, address)?;
    rules.node_permits(choices, address)
}

/// Whether traffic for the Service that comes to this node finds an endpoint. Where none is ready
/// anywhere, those count that still serve while they terminate, as for kube-proxy.
fn can_serve(
    service: &Service,
    all: Counts,
    local: Counts,
    local_only: bool,
) -> Result<(), Withheld> {
    let ready = |counts: Counts| {
        if service.publish_not_ready {
            counts.all
        } else {
            counts.ready
        }
    };
    let (anywhere, here) = if ready(all) > 0 {
        (ready(all), ready(local))
    } else {
        (all.draining, local.draining)
    };
    if anywhere == 0 {
        Err(Withheld::NoEndpoints)
    } else if local_only && here == 0 {
        Err(Withheld::NoLocalEndpoints)
    } else {
        Ok(())
    }
}

/// An aggregate takes the place of the addresses in it that every node can serve. Where only some
/// can, their host routes must stay, or traffic would go to the others.
fn advertised(rules: &Rules, choices: &[usize], address: IpAddr, local_only: bool) -> Verdict {
    let (mut host, mut aggregates) = (Vec::new(), Vec::new());
    for &choice in choices {
        let mut covered = false;
        for aggregate in rules.aggregates(choice, address) {
            aggregates.push((choice, aggregate.prefix));
            covered |= !aggregate.host_routes;
        }
        if local_only || !covered {
            host.push(choice);
        }
    }
    Verdict::Advertised { host, aggregates }
}

impl ServiceRoute {
    /// Something is wrong with the Service if it asks for what must not be advertised. Everything
    /// else that withholds an address is the ordinary course of things.
    pub(super) fn diagnostic(&self, key: &ServiceKey) -> Option<Diagnostic> {
        let Verdict::Withheld(withheld) = self.verdict else {
            return None;
        };
        let address = self.address;
        let field = match self.kind {
            ServiceAddress::ClusterIP => "spec.clusterIPs",
            ServiceAddress::ExternalIP => "spec.externalIPs",
            ServiceAddress::LoadBalancerIP => "status.loadBalancer.ingress",
        };
        let (reason, message) = match withheld {
            Withheld::UnusableAddress => (
                Reason::InvalidAddress,
                format!("{address} cannot be reached from elsewhere; it is not advertised"),
            ),
            Withheld::PodAddress => (
                Reason::ForeignPodCidr,
                format!("{address} lies in the pod CIDR of a node; it is not advertised"),
            ),
            Withheld::NotAllowed => (
                Reason::AddressNotAllowed,
                format!(
                    "{address} is outside of {} of BGPConfiguration/default; it is not advertised",
                    self.allowed_by()
                ),
            ),
            Withheld::SpeakerAddress => {
                // Some load balancers give out nothing else.
                let message = format!(
                    "{address} is the address of a node or of a router; it is not advertised"
                );
                let (object, reason) = (key.object_ref(), Reason::AddressNotAllowed);
                return Some(Diagnostic::warning(object, field, reason, message));
            }
            _ => return None,
        };
        Some(Diagnostic::error(key.object_ref(), field, reason, message))
    }

    const fn allowed_by(&self) -> &'static str {
        match self.kind {
            ServiceAddress::LoadBalancerIP => "services.allowedLoadBalancerIPs",
            _ => "services.allowedExternalIPs",
        }
    }
}
