//! `ServiceCIDR`s: where Kubernetes takes cluster IPs from (KEP-1880, stable since 1.33).

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1 as networking;
use redstart_bgp::types::Prefix;

use super::{Kind, Meta, Object, ObjectKey, Observed, observed::Findings};
use crate::diagnostic::Reason;

/// The ranges of a `ServiceCIDR`. One that is being deleted has them until it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceCidr {
    /// One for each family at most.
    pub cidrs: BTreeSet<Prefix>,
}

impl From<&networking::ServiceCIDR> for Observed {
    fn from(object: &networking::ServiceCIDR) -> Self {
        let meta = Meta::from(&object.metadata);
        let key = ObjectKey::cluster(Kind::ServiceCidr, meta.name.as_str());
        let mut findings = Findings::new(&key);
        let spec = object.spec.iter();
        let texts = spec.flat_map(|spec| spec.cidrs.iter().flatten());
        let mut cidrs = BTreeSet::new();
        for (i, text) in texts.enumerate() {
            let cidr = text.parse::<Prefix>();
            let cidr = cidr.map_err(|_| format!("{text:?} is no CIDR"));
            let field = format!("spec.cidrs[{i}]");
            cidrs.extend(findings.take(&field, Reason::InvalidValue, cidr));
        }
        findings.keep(key, Object::ServiceCidr(ServiceCidr { cidrs }))
    }
}
