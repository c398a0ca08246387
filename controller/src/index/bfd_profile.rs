//! `BFDProfile`, checked.

use super::{Kind, Meta, Object, ObjectKey, Observed, observed::Findings, values::range};
use crate::{
    api::{BFDProfile, BFDProfileSpec},
    diagnostic::{Diagnostic, Reason},
};

/// A `BFDProfile` whose every field is in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdProfile {
    /// Name and the like.
    pub meta: Meta,
    /// What it says.
    pub spec: BFDProfileSpec,
}

impl From<&BFDProfile> for Observed {
    fn from(object: &BFDProfile) -> Self {
        let meta = Meta::from(&object.metadata);
        let key = ObjectKey::cluster(Kind::BfdProfile, meta.name.as_str());
        let mut findings = Findings::new(&key);
        let spec = object.spec.clone();
        for (field, interval) in [
            ("spec.receiveInterval", spec.receive_interval),
            ("spec.transmitInterval", spec.transmit_interval),
            ("spec.echoInterval", spec.echo_interval),
        ] {
            range(field, &interval, 10..=60_000, &mut findings);
        }
        let multiplier = spec.detect_multiplier;
        range(
            "spec.detectMultiplier",
            &multiplier,
            2..=u8::MAX,
            &mut findings,
        );
        range("spec.minimumTTL", &spec.minimum_ttl, 1..=254, &mut findings);
        if spec.passive_mode && spec.echo_mode {
            let message =
                "a passive node sends no echo packets: echoMode and passiveMode exclude each other";
            findings.error("spec.echoMode", Reason::Conflict, message);
        }
        let echo = spec.echo_mode;
        let profile = Object::BfdProfile(BfdProfile { meta, spec });
        let mut observed = findings.keep_if_clean(key, Some(profile));
        if echo && observed.object.is_some() {
            observed.problems.push(no_echo(&observed.key));
        }
        observed
    }
}

/// A profile that is good for other speakers is good for this one, but for what it does not do.
fn no_echo(key: &ObjectKey) -> Diagnostic {
    let message = "there is no Echo function here: no echo packets are sent, and neighbours are told to send none; the rest of the profile is in force, and control packets find a dead path within detectMultiplier times their interval";
    Diagnostic::error(
        key.object_ref(),
        "spec.echoMode",
        Reason::NotImplemented,
        message,
    )
}
