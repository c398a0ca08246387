//! Services: the addresses that they are reached by, and who may serve them.
//!
//! A Service is used as far as it can be: an address that is none is left out and named, the others
//! count. Of an object of some kilobytes a few fields are kept.

use std::{fmt, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1 as core;

use super::{Kind, Object, ObjectKey, Observed, observed::Findings};
use crate::{api::ServiceAddress, diagnostic::Reason, labels::Labels, object::ObjectRef};

/// What tells a Service from every other one. Cheap to copy: it stands in many places.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ServiceKey {
    /// The Service as diagnostics name it.
    #[must_use]
    pub fn object_ref(&self) -> ObjectRef {
        ObjectRef {
            kind: Kind::Service.as_str().to_owned(),
            name: self.to_string(),
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is used of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its labels.
    pub labels: Labels,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` of a Service of type `LoadBalancer`, without those that a
    /// proxy in front of the cluster answers for (`ipMode: Proxy`).
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerClass`.
    pub load_balancer_class: Option<String>,
    /// `externalTrafficPolicy: Local`: external and load balancer addresses are served from local
    /// endpoints only.
    pub external_local: bool,
    /// `internalTrafficPolicy: Local`: cluster addresses are served from local endpoints only.
    pub internal_local: bool,
    /// Endpoints count whether they are ready or not.
    pub publish_not_ready: bool,
}

impl Service {
    /// Its addresses of a kind.
    #[must_use]
    pub fn addresses(&self, kind: ServiceAddress) -> &[IpAddr] {
        match kind {
            ServiceAddress::ClusterIP => &self.cluster_ips,
            ServiceAddress::ExternalIP => &self.external_ips,
            ServiceAddress::LoadBalancerIP => &self.load_balancer_ips,
        }
    }
}

impl From<&core::Service> for Observed {
    fn from(service: &core::Service) -> Self {
        let namespace = service.metadata.namespace.as_deref();
        let namespace = namespace.unwrap_or(Kind::Service.default_namespace());
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let key = ObjectKey::namespaced(Kind::Service, namespace, name);
        let mut findings = Findings::new(&key);
        let parsed = parse(service, &mut findings);
        findings.keep(key, Object::Service(parsed))
    }
}

fn parse(service: &core::Service, findings: &mut Findings) -> Service {
    let labels = service.metadata.labels.as_ref();
    let labels = labels.map(Labels::from).unwrap_or_default();
    let Some(spec) = &service.spec else {
        return Service::default();
    };
    let listed = |plural: &Option<Vec<String>>| plural.clone().unwrap_or_default();
    let mut cluster_ips = listed(&spec.cluster_ips);
    if cluster_ips.is_empty() {
        cluster_ips.extend(spec.cluster_ip.clone());
    }
    cluster_ips.retain(|ip| !ip.is_empty());
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    if kind == "ExternalName" || cluster_ips.iter().any(|ip| ip == "None") {
        // No proxy serves any address of it.
        return Service {
            labels,
            ..Service::default()
        };
    }
    let is_local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    Service {
        labels,
        cluster_ips: addresses("spec.clusterIPs", &cluster_ips, findings),
        external_ips: addresses("spec.externalIPs", &listed(&spec.external_ips), findings),
        load_balancer_ips: if kind == "LoadBalancer" {
            let field = "status.loadBalancer.ingress";
            addresses(field, &ingress(service), findings)
        } else {
            // The status of a Service that was one may linger.
            Vec::new()
        },
        load_balancer_class: spec.load_balancer_class.clone(),
        external_local: is_local(&spec.external_traffic_policy),
        internal_local: is_local(&spec.internal_traffic_policy),
        publish_not_ready: spec.publish_not_ready_addresses == Some(true),
    }
}

fn ingress(service: &core::Service) -> Vec<String> {
    let status = service.status.as_ref();
    let listed = status.and_then(|s| s.load_balancer.as_ref()?.ingress.as_ref());
    let ours = listed.into_iter().flatten();
    let ours = ours.filter(|i| i.ip_mode.as_deref() != Some("Proxy"));
    ours.filter_map(|i| i.ip.clone()).collect()
}

fn addresses(field: &str, texts: &[String], findings: &mut Findings) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let parsed = text
            .parse()
            .map_err(|_| format!("{text:?} is not an IP address; it is not advertised"));
        let field = format!("{field}[{i}]");
        if let Some(address) = findings.take(&field, Reason::InvalidAddress, parsed)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    // Room for more would be wasted ten thousand times.
    found.shrink_to_fit();
    found
}
