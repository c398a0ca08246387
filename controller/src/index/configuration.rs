//! `BGPConfiguration`, checked.

use super::{
    Kind, Meta, Object, ObjectKey, Observed,
    observed::Findings,
    values::{graceful_restart, range, secret_ref, timers, usable_asn},
};
use crate::{
    api::{BGPConfiguration, BGPConfigurationSpec, CONFIGURATION_NAME},
    diagnostic::Reason,
};
use redstart_bgp::types::Asn;

/// A `BGPConfiguration` whose every field is in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Name and the like.
    pub meta: Meta,
    /// What it says.
    pub spec: BGPConfigurationSpec,
}

impl From<&BGPConfiguration> for Observed {
    fn from(object: &BGPConfiguration) -> Self {
        let meta = Meta::from(&object.metadata);
        let key = ObjectKey::cluster(Kind::BgpConfiguration, meta.name.as_str());
        let mut findings = Findings::new(&key);
        if meta.name != CONFIGURATION_NAME {
            let message = "it is not read: the only BGPConfiguration is named \"default\"";
            findings.error("metadata.name", Reason::NotDefault, message);
        }
        let spec = &object.spec;
        let asn = usable_asn(Asn(spec.asn));
        findings.take("spec.asn", Reason::InvalidAsn, asn);
        range(
            "spec.listenPort",
            &spec.listen_port,
            1..=u16::MAX,
            &mut findings,
        );
        let kernel = &spec.kernel;
        range(
            "spec.kernel.table",
            &kernel.table,
            1..=u32::MAX,
            &mut findings,
        );
        if kernel.table == 255 {
            let message = "table 255 (local) belongs to the kernel";
            findings.error("spec.kernel.table", Reason::InvalidValue, message);
        }
        range(
            "spec.kernel.metric",
            &kernel.metric,
            1..=u32::MAX,
            &mut findings,
        );
        range(
            "spec.kernel.protocol",
            &kernel.protocol,
            5..=u8::MAX,
            &mut findings,
        );
        range(
            "spec.kernel.maxPaths",
            &kernel.max_paths,
            1..=128,
            &mut findings,
        );
        graceful_restart(&spec.graceful_restart, &mut findings);
        timers("spec.timers", &spec.timers, &mut findings);
        let password = spec.mesh.password_secret_ref.as_ref();
        secret_ref("spec.mesh.passwordSecretRef", password, &mut findings);
        let spec = spec.clone();
        findings.keep_if_clean(
            key,
            Some(Object::Configuration(Configuration { meta, spec })),
        )
    }
}
