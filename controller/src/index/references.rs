//! Objects that name others.
//!
//! A `BGPPeer` that names a `BGPPolicy` which is not there cannot be used as it is, and neither can what
//! it says be left out in part: routes would pass that were meant to be stopped. So such a version
//! waits, and the one before stays in force (ADR 11); and a policy that somebody in force names
//! stays when it is deleted, until nobody names it any more. What has no version before is put in
//! force all the same, and `compile` lets nothing pass there ([`missing`] says so).

use std::collections::{BTreeMap, BTreeSet};

use super::{Changes, Kind, Object, ObjectKey, Objects, Peer};
use crate::{
    api::{BGPConfigurationSpec, BfdSpec, PoliciesSpec},
    diagnostic::{Diagnostic, Reason},
    object::ObjectRef,
};

/// A name of another object, and the field that it stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    field: String,
    kind: Kind,
    name: String,
}

impl Reference {
    /// Whether there is such an object, be it that others alone keep it in force.
    fn is_known(&self, objects: &Objects) -> bool {
        match self.kind {
            Kind::BgpPolicy => objects.policies.contains_key(&self.name),
            Kind::BfdProfile => objects.bfd_profiles.contains_key(&self.name),
            _ => true,
        }
    }
}

fn policies(field: &str, spec: &PoliciesSpec, all: &mut Vec<Reference>) {
    for (way, names) in [("import", &spec.import), ("export", &spec.export)] {
        all.extend(names.iter().enumerate().map(|(i, name)| Reference {
            field: format!("{field}.{way}[{i}]"),
            kind: Kind::BgpPolicy,
            name: name.clone(),
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
            }),
    );
}

fn of_peer(peer: &Peer) -> Vec<Reference> {
    let mut all = Vec::new();
    policies("spec.policies", &peer.policies, &mut all);
    bfd("spec.bfd", peer.bfd.as_ref(), &mut all);
    all
}

fn of_configuration(spec: &BGPConfigurationSpec) -> Vec<Reference> {
    let mut all = Vec::new();
    policies("spec.policies", &spec.policies, &mut all);
    policies("spec.mesh.policies", &spec.mesh.policies, &mut all);
    bfd("spec.mesh.bfd", spec.mesh.bfd.as_ref(), &mut all);
    all
}

fn of_object(object: &Object) -> Vec<Reference> {
    match object {
        Object::Peer(peer) => of_peer(peer),
        Object::Configuration(configuration) => of_configuration(&configuration.spec),
        _ => Vec::new(),
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
        let known = match key.kind {
            Kind::BgpPeer => objects.peers.contains_key(&key.name),
            Kind::BgpConfiguration => objects.configurations.contains_key(&key.name),
            _ => false,
        };
        if complete && known && !self.missing(objects, &object).is_empty() {
            self.waiting.insert(key.clone(), object);
            return None;
        }
        Some(object)
    }

    fn missing(&self, objects: &Objects, object: &Object) -> Vec<Reference> {
        let mut references = of_object(object);
        references.retain(|reference| !self.is_there(objects, reference));
        references
    }

    /// Whether the named object is there; one that is gone and still in force is not.
    fn is_there(&self, objects: &Objects, reference: &Reference) -> bool {
        reference.is_known(objects)
            && !self
                .gone
                .contains(&(reference.kind, reference.name.clone()))
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
            .filter(|(_, object)| self.missing(objects, object).is_empty())
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
            changes = changes.and(objects.remove(&ObjectKey::cluster(kind, name.as_str())));
            self.gone.remove(&(kind, name));
        }
        changes
    }

    /// What waits, what is gone and what it means.
    pub(super) fn problems(&self, objects: &Objects) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        for (key, object) in &self.waiting {
            let missing = self.missing(objects, object);
            let consequence = "the object stays in force as it was before";
            problems.extend(missing.iter().map(|r| problem(key, r, consequence)));
        }
        for (key, mut references) in in_force(objects) {
            references.retain(|r| self.gone.contains(&(r.kind, r.name.clone())));
            let consequence = "its last version stays in force as long as it is named";
            problems.extend(references.iter().map(|r| problem(&key, r, consequence)));
        }
        problems
    }
}

fn problem(key: &ObjectKey, reference: &Reference, consequence: &str) -> Diagnostic {
    let Reference { field, kind, name } = reference;
    let message = format!("there is no {kind} {name:?}; {consequence}");
    Diagnostic::error(key.object_ref(), field, unknown(*kind), message)
}

/// What objects in force name and what was never there, whichever node looks.
pub(crate) fn missing(objects: &Objects) -> Vec<Diagnostic> {
    let mut missing = Vec::new();
    for (key, mut references) in in_force(objects) {
        references.retain(|reference| !reference.is_known(objects));
        let object = key.object_ref();
        missing.extend(references.into_iter().map(|r| {
            let Reference { field, kind, name } = r;
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
        _ => Reason::UnknownPolicy,
    }
}

/// Whether objects of `kind` name others, or are named.
pub(super) const fn concerns(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::BgpPeer | Kind::BgpConfiguration | Kind::BgpPolicy | Kind::BfdProfile
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
