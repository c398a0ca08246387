//! Objects that name others.
//!
//! A `BGPPeer` that names a `BGPPolicy` which is not there cannot be used as it is, and neither can what
//! it says be left out in part: routes would pass that were meant to be stopped. So such a version
//! waits, and the one before stays in force (ADR 11); and a policy that somebody in force names
//! stays when it is deleted, until nobody names it any more. What has no version before is put in
//! force all the same, and `compile` lets nothing pass there ([`missing`] says so).
//!
//! The same goes for Secrets, of which it is the password that counts: one that stays with the passwords
//! that it had is as good as ever. `compile` has no session without the password that is asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Changes, Kind, Object, ObjectKey, Objects, Peer};
use crate::{
    api::{BGPConfigurationSpec, BfdSpec, NAMESPACE, PoliciesSpec, SecretKeyRef},
    diagnostic::{Diagnostic, Reason},
    object::ObjectRef,
};

/// A name of another object, and the field that it stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    field: String,
    kind: Kind,
    name: String,
    /// The key in a Secret.
    key: Option<String>,
}

impl Reference {
    /// Whether there is such an object, be it that others alone keep it in force.
    fn is_known(&self, objects: &Objects) -> bool {
        if let Some(password) = self.password() {
            return objects.password(&password).is_ok()
                || objects.last_password(&password).is_some();
        }
        match self.kind {
            Kind::BgpPolicy => objects.policies.contains_key(&self.name),
            Kind::BfdProfile => objects.bfd_profiles.contains_key(&self.name),
            _ => true,
        }
    }

    /// The password that it names, if that is what it names.
    fn password(&self) -> Option<SecretKeyRef> {
        let key = self.key.clone()?;
        let name = self.name.clone();
        Some(SecretKeyRef { name, key })
    }
}

fn policies(field: &str, spec: &PoliciesSpec, all: &mut Vec<Reference>) {
    for (way, names) in [("import", &spec.import), ("export", &spec.export)] {
        all.extend(names.iter().enumerate().map(|(i, name)| Reference {
            field: format!("{field}.{way}[{i}]"),
            kind: Kind::BgpPolicy,
            name: name.clone(),
            key: None,
        }));
    }
}

fn bfd(field: &str, spec: Option<&BfdSpec>, all: &mut Vec<Reference>) {
    all.extend(
        spec.and_then(|bfd| bfd.profile.clone())
            .map(|name| Reference {
                field: format!("{field}.profile"),
                kind: Kind::BfdProfile,
                name,
                key: None,
            }),
    );
}

fn secret(field: String, named: Option<&SecretKeyRef>, all: &mut Vec<Reference>) {
    all.extend(named.map(|named| Reference {
        field,
        kind: Kind::Secret,
        name: named.name.clone(),
        key: Some(named.key.clone()),
    }));
}

fn of_peer(peer: &Peer) -> Vec<Reference> {
    let mut all = Vec::new();
    policies("spec.policies", &peer.policies, &mut all);
    bfd("spec.bfd", peer.bfd.as_ref(), &mut all);
    let password = "spec.passwordSecretRef".to_owned();
    secret(password, peer.password.as_ref(), &mut all);
    for (i, key) in peer.tcp_ao.iter().enumerate() {
        let field = format!("spec.tcpAO[{i}].secretRef");
        secret(field, Some(&key.secret_ref), &mut all);
    }
    all
}

fn of_configuration(spec: &BGPConfigurationSpec) -> Vec<Reference> {
    let mut all = Vec::new();
    policies("spec.policies", &spec.policies, &mut all);
    policies("spec.mesh.policies", &spec.mesh.policies, &mut all);
    bfd("spec.mesh.bfd", spec.mesh.bfd.as_ref(), &mut all);
    let password = "spec.mesh.passwordSecretRef".to_owned();
    secret(password, spec.mesh.password_secret_ref.as_ref(), &mut all);
    all
}

fn of_object(object: &Object) -> Vec<Reference> {
    match object {
        Object::Peer(peer) => of_peer(peer),
        Object::Configuration(configuration) => of_configuration(&configuration.spec),
        _ => Vec::new(),
    }
}

/// What the version of this object that is in force names.
fn before(objects: &Objects, key: &ObjectKey) -> Option<Vec<Reference>> {
    match key.kind {
        Kind::BgpPeer => objects.peers.get(&key.name).map(|peer| of_peer(peer)),
        Kind::BgpConfiguration => {
            let configuration = objects.configurations.get(&key.name);
            configuration.map(|before| of_configuration(&before.spec))
        }
        _ => None,
    }
}

/// Versions that wait for an object that they name, and objects that are gone and still named.
#[derive(Clone, Debug, Default)]
pub(super) struct References {
    waiting: BTreeMap<ObjectKey, Object>,
    gone: BTreeSet<(Kind, String)>,
}

impl References {
    /// Lets `object` through, unless it names something that is not there and a version before it is
    /// in force: then it waits. `complete` says whether every kind was listed.
    pub(super) fn admit(
        &mut self,
        objects: &Objects,
        complete: bool,
        key: &ObjectKey,
        object: Object,
    ) -> Option<Object> {
        self.waiting.remove(key);
        self.gone.remove(&(key.kind, key.name.clone()));
        let known = before(objects, key).is_some();
        if complete && known && !self.missing(objects, key, &object).is_empty() {
            self.waiting.insert(key.clone(), object);
            return None;
        }
        Some(object)
    }

    /// Whether the last version of this object waits.
    pub(super) fn is_waiting(&self, key: &ObjectKey) -> bool {
        self.waiting.contains_key(key)
    }

    /// What this version of an object waits for. Not for a password that the version in force has not got
    /// either: nothing is the better for that.
    fn missing(&self, objects: &Objects, key: &ObjectKey, object: &Object) -> Vec<Reference> {
        let before = before(objects, key).unwrap_or_default();
        let mut references = of_object(object);
        references.retain(|r| {
            let is_lacking = r.key.is_some() && before.contains(r);
            !is_lacking && !self.is_there(objects, r)
        });
        references
    }

    /// Whether the named object is there; one that is gone and still in force is not, but for a password.
    fn is_there(&self, objects: &Objects, reference: &Reference) -> bool {
        reference.is_known(objects) && (reference.key.is_some() || !self.is_gone(reference))
    }

    fn is_gone(&self, reference: &Reference) -> bool {
        let named = (reference.kind, reference.name.clone());
        self.gone.contains(&named)
    }

    /// The objects of `kind` that the source does not have any more, as `has` says, and that have to
    /// stay because others name them.
    pub(super) fn kept(
        &mut self,
        objects: &Objects,
        kind: Kind,
        has: impl Fn(&str) -> bool,
    ) -> BTreeSet<String> {
        if !concerns(kind) {
            return BTreeSet::new();
        }
        self.waiting
            .retain(|key, _| key.kind != kind || has(&key.name));
        let named = named(objects).into_iter();
        let missed = named.filter(|(of, name)| *of == kind && !has(name));
        let missed: BTreeSet<String> = missed.map(|(_, name)| name).collect();
        let there = |name: &String| match kind {
            Kind::BgpPolicy => objects.policies.contains_key(name),
            Kind::BfdProfile => objects.bfd_profiles.contains_key(name),
            Kind::Secret => objects.secrets.contains_key(name),
            _ => false,
        };
        let kept: BTreeSet<String> = missed.into_iter().filter(there).collect();
        self.gone
            .extend(kept.iter().map(|name| (kind, name.clone())));
        kept
    }

    /// Puts in force what need not wait any longer, and drops what is gone and not named any more.
    pub(super) fn settle(&mut self, objects: &mut Objects) -> Changes {
        let ready: Vec<ObjectKey> = self
            .waiting
            .iter()
            .filter(|(key, object)| self.missing(objects, key, object).is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        let mut changes = Changes::default();
        for key in ready {
            if let Some(object) = self.waiting.remove(&key) {
                changes = changes.and(objects.insert(&key, object));
            }
        }
        let still_named = named(objects);
        let dropped: Vec<_> = self.gone.difference(&still_named).cloned().collect();
        for (kind, name) in dropped {
            changes = changes.and(objects.remove(&key(kind, &name)));
            self.gone.remove(&(kind, name));
        }
        changes
    }

    /// What is in force otherwise than it was told last: what waits, and what is gone.
    pub(super) fn kept_in_force(&self) -> impl Iterator<Item = ObjectKey> {
        let gone = self.gone.iter().map(|(kind, name)| key(*kind, name));
        self.waiting.keys().cloned().chain(gone)
    }

    /// What waits, what is gone and what it means.
    pub(super) fn problems(&self, objects: &Objects) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        for (key, object) in &self.waiting {
            let missing = self.missing(objects, key, object);
            let consequence = "the object stays in force as it was before";
            problems.extend(missing.iter().map(|r| match r.password() {
                Some(password) => no_password(key, r, &password, objects, consequence),
                None => problem(key, r, consequence),
            }));
        }
        for (key, mut references) in in_force(objects) {
            // Nobody looks for the Secret of a version that is to be replaced.
            let is_replaced = self.waiting.contains_key(&key);
            references.retain(|r| self.is_gone(r) && !(is_replaced && r.key.is_some()));
            let consequence = "its last version stays in force as long as it is named";
            problems.extend(references.iter().map(|r| problem(&key, r, consequence)));
        }
        problems
    }
}

/// The key of an object of a kind that others name.
pub(super) fn key(kind: Kind, name: &str) -> ObjectKey {
    match kind {
        Kind::Secret => ObjectKey::namespaced(kind, NAMESPACE, name),
        _ => ObjectKey::cluster(kind, name),
    }
}

fn no_password(
    key: &ObjectKey,
    reference: &Reference,
    wanted: &SecretKeyRef,
    objects: &Objects,
    consequence: &str,
) -> Diagnostic {
    let why = objects.password(wanted).err();
    let (reason, message) = why.unwrap_or((Reason::SecretMissing, String::new()));
    let message = format!("{message}; {consequence}");
    Diagnostic::error(key.object_ref(), &reference.field, reason, message)
}

fn problem(key: &ObjectKey, reference: &Reference, consequence: &str) -> Diagnostic {
    let Reference {
        field, kind, name, ..
    } = reference;
    let message = format!("there is no {kind} {name:?}; {consequence}");
    Diagnostic::error(key.object_ref(), field, unknown(*kind), message)
}

/// What objects in force name and what was never there, whichever node looks; but for Secrets, of which
/// those speak that need them.
pub(crate) fn missing(objects: &Objects) -> Vec<Diagnostic> {
    let mut missing = Vec::new();
    for (key, mut references) in in_force(objects) {
        references.retain(|r| r.key.is_none() && !r.is_known(objects));
        let object = key.object_ref();
        missing.extend(references.into_iter().map(|r| {
            let Reference {
                field, kind, name, ..
            } = r;
            not_there(object.clone(), field, kind, &name)
        }));
    }
    missing
}

/// An object in force names something that was never there.
pub(crate) fn not_there(object: ObjectRef, field: String, kind: Kind, name: &str) -> Diagnostic {
    let consequence = match kind {
        Kind::BfdProfile => "there is no BFD until there is",
        _ => "no route passes there until there is",
    };
    let message = format!("there is no {kind} {name:?}; {consequence}");
    Diagnostic::error(object, field, unknown(kind), message)
}

/// The objects in force that may name others, and what they name.
fn in_force(objects: &Objects) -> impl Iterator<Item = (ObjectKey, Vec<Reference>)> {
    let peers = objects.peers.values().map(|peer| {
        let key = ObjectKey::cluster(Kind::BgpPeer, peer.meta.name.as_str());
        (key, of_peer(peer))
    });
    let configurations = objects.configurations.values().map(|configuration| {
        let name = configuration.meta.name.as_str();
        let key = ObjectKey::cluster(Kind::BgpConfiguration, name);
        (key, of_configuration(&configuration.spec))
    });
    peers.chain(configurations)
}

/// The reason for which a name of `kind` is refused.
const fn unknown(kind: Kind) -> Reason {
    match kind {
        Kind::BfdProfile => Reason::UnknownBfdProfile,
        Kind::Secret => Reason::SecretMissing,
        _ => Reason::UnknownPolicy,
    }
}

/// Whether objects of `kind` name others, or are named.
pub(super) const fn concerns(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::BgpPeer | Kind::BgpConfiguration | Kind::BgpPolicy | Kind::BfdProfile | Kind::Secret
    )
}

/// Everything that objects in force name.
fn named(objects: &Objects) -> BTreeSet<(Kind, String)> {
    let all = in_force(objects).flat_map(|(_, references)| references);
    all.map(|reference| (reference.kind, reference.name))
        .collect()
}

#[cfg(test)]
mod tests;
