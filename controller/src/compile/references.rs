//! Objects that name others, looked at from nowhere: what is missing is missing for every node.

use super::{configuration_ref, object_ref, originations, password};
use crate::{
    api::CONFIGURATION_NAME,
    diagnostic::Diagnostic,
    index::{self, Kind, Objects},
};

/// What objects name and what is not there, or cannot be used.
#[must_use]
pub fn missing_references(objects: &Objects) -> Vec<Diagnostic> {
    let mut missing = index::missing(objects);
    // A password that is missing is noted where it is looked for; here it is not used.
    if let Some(configuration) = objects.configurations.get(CONFIGURATION_NAME) {
        let (object, field) = (configuration_ref(), "spec.mesh.passwordSecretRef");
        let wanted = configuration.spec.mesh.password_secret_ref.as_ref();
        let _ = password::resolve(objects, wanted, &object, field, &mut missing);
    }
    for peer in objects.peers.values() {
        let object = object_ref(Kind::BgpPeer, &peer.meta.name);
        let (wanted, field) = (peer.password.as_ref(), "spec.passwordSecretRef");
        let _ = password::resolve(objects, wanted, &object, field, &mut missing);
        let _ = password::keys(objects, &peer.tcp_ao, &object, &mut missing);
    }
    for advertisement in objects.advertisements.values() {
        originations::check_names(objects, advertisement, &mut missing);
    }
    missing
}
