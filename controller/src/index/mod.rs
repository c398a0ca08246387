//! Every object that matters, parsed and reduced to the fields that are used.
//!
//! A source says what it saw, [`Observed`] parses it once, [`Index`] keeps the newest *good* version
//! of each object and what is wrong with each. Parsing happens at the source's side of the channel,
//! so a Node of 20 kB never waits in a queue.
//!
//! Invariants:
//! - [`Index::complete`] gives the [`Objects`] only after every [`Kind`] has been listed once.
//!   `compile` takes `Objects`, so it cannot run on half a cluster.
//! - An object that cannot be used leaves its last good version in force (and is named among the
//!   [`problems`](Index::problems)), until it is good again or gone.
//! - What [`Objects`] holds depends on the objects, not on the order in which they came.

mod advertisement;
mod bfd_profile;
mod changes;
mod configuration;
mod endpoints;
mod event;
mod kind;
mod node;
mod observed;
mod peer;
mod policy;
mod references;
mod remote;
mod rules;
mod secret;
mod service;
mod standing;
mod unheard;
mod values;

use std::collections::{BTreeMap, BTreeSet};

pub use advertisement::{Advertisement, Aggregate, ServiceChoice};
pub use bfd_profile::BfdProfile;
pub use changes::Changes;
pub use configuration::Configuration;
pub use endpoints::{Counts, EndpointSlice, Endpoints};
pub use event::{Health, SourceEvent};
pub use kind::{Kind, ObjectKey};
pub(crate) use node::SHUTDOWN_MESSAGE;
pub use node::{DrainSigns, Node};
pub use observed::{Meta, Object, Observed};
pub use peer::Peer;
pub use policy::{Neighbours, Policy, PolicyRule};
pub(crate) use references::{missing, not_there};
pub use secret::Secret;
pub use service::{Service, ServiceKey};
pub use standing::Standing;
use standing::Standings;
pub(crate) use values::usable_unicast;

use crate::{api, diagnostic::Diagnostic};
use references::References;

/// Every object in force, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Nodes.
    pub nodes: BTreeMap<String, Node>,
    /// Secrets of Redstart's namespace.
    pub secrets: BTreeMap<String, Secret>,
    /// Services.
    pub services: BTreeMap<ServiceKey, Service>,
    /// The endpoints of Services.
    pub endpoints: Endpoints,
    /// `BGPConfiguration`s: at most the one named `default`.
    pub configurations: BTreeMap<String, Configuration>,
    /// `BGPPeer`s.
    pub peers: BTreeMap<String, Peer>,
    /// `BGPAdvertisement`s.
    pub advertisements: BTreeMap<String, Advertisement>,
    /// `BGPPolicy`s.
    pub policies: BTreeMap<String, Policy>,
    /// `BFDProfile`s.
    pub bfd_profiles: BTreeMap<String, BfdProfile>,
}

impl Objects {
    /// Puts an object in. Says what that changed.
    fn insert(&mut self, key: &ObjectKey, object: Object) -> Changes {
        fn put<K: Ord, T: PartialEq>(map: &mut BTreeMap<K, T>, key: K, object: T) -> bool {
            if map.get(&key) == Some(&object) {
                return false;
            }
            map.insert(key, object);
            true
        }
        let name = || key.name.clone();
        Changes::everything_if(match object {
            Object::Service(o) => {
                let changed = put(&mut self.services, key.in_namespace(), o);
                return Changes::of(changed.then(|| key.in_namespace()));
            }
            Object::EndpointSlice(o) => {
                return Changes::of(self.endpoints.insert(key.in_namespace(), o));
            }
            Object::Node(o) => put(&mut self.nodes, name(), o),
            Object::Secret(o) => put(&mut self.secrets, name(), o),
            Object::Configuration(o) => put(&mut self.configurations, name(), o),
            Object::Peer(o) => put(&mut self.peers, name(), o),
            Object::Advertisement(o) => put(&mut self.advertisements, name(), o),
            Object::Policy(o) => put(&mut self.policies, name(), o),
            Object::BfdProfile(o) => put(&mut self.bfd_profiles, name(), o),
        })
    }

    /// Takes an object out. Says what that changed.
    fn remove(&mut self, key: &ObjectKey) -> Changes {
        let name = &key.name;
        Changes::everything_if(match key.kind {
            Kind::Service => {
                let key = key.in_namespace();
                let gone = self.services.remove(&key).is_some();
                return Changes::of(gone.then_some(key));
            }
            Kind::EndpointSlice => {
                return Changes::of(self.endpoints.remove(&key.in_namespace()));
            }
            Kind::Node => self.nodes.remove(name).is_some(),
            Kind::Secret => self.secrets.remove(name).is_some(),
            Kind::BgpConfiguration => self.configurations.remove(name).is_some(),
            Kind::BgpPeer => self.peers.remove(name).is_some(),
            Kind::BgpAdvertisement => self.advertisements.remove(name).is_some(),
            Kind::BgpPolicy => self.policies.remove(name).is_some(),
            Kind::BfdProfile => self.bfd_profiles.remove(name).is_some(),
        })
    }

    /// The objects of `kind`, by name.
    fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        fn cluster<T>(kind: Kind, map: &BTreeMap<String, T>) -> Vec<ObjectKey> {
            let names = map.keys().map(String::as_str);
            names.map(|name| ObjectKey::cluster(kind, name)).collect()
        }
        let namespaced = |key: &ServiceKey| {
            ObjectKey::namespaced(kind, key.namespace.as_str(), key.name.as_str())
        };
        let secret = |name: &String| ObjectKey::namespaced(kind, api::NAMESPACE, name.as_str());
        match kind {
            Kind::Node => cluster(kind, &self.nodes),
            Kind::Secret => self.secrets.keys().map(secret).collect(),
            Kind::Service => self.services.keys().map(namespaced).collect(),
            Kind::EndpointSlice => self.endpoints.slices().map(namespaced).collect(),
            Kind::BgpConfiguration => cluster(kind, &self.configurations),
            Kind::BgpPeer => cluster(kind, &self.peers),
            Kind::BgpAdvertisement => cluster(kind, &self.advertisements),
            Kind::BgpPolicy => cluster(kind, &self.policies),
            Kind::BfdProfile => cluster(kind, &self.bfd_profiles),
        }
    }
}

/// What the sources have told so far.
#[derive(Clone, Debug, Default)]
pub struct Index {
    objects: Objects,
    listed: BTreeSet<Kind>,
    health: BTreeMap<Kind, Health>,
    object_problems: BTreeMap<ObjectKey, Vec<Diagnostic>>,
    origin_problems: BTreeMap<String, Vec<Diagnostic>>,
    standings: Standings,
    /// Since they were last taken.
    changes: Changes,
    references: References,
    reference_problems: Vec<Diagnostic>,
}

impl Index {
    /// An index that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what a source saw. Returns whether a compile could come out differently now: an
    /// object, what is wrong, or the completeness has changed.
    pub fn apply(&mut self, event: SourceEvent) -> bool {
        let changes = match event {
            SourceEvent::Restarted { kind, objects } => self.restart(kind, objects),
            SourceEvent::Applied(observed) => {
                let kind = observed.key.kind;
                let changes = self.observe(observed);
                changes.and(self.settle(kind))
            }
            SourceEvent::Deleted(key) => {
                self.standings.put(&key, None);
                let problematic = self.object_problems.remove(&key).is_some();
                let changes = self.remove(&key).and(self.settle(key.kind));
                changes.and(Changes::everything_if(problematic))
            }
            SourceEvent::Problems { origin, problems } => {
                let before = if problems.is_empty() {
                    self.origin_problems.remove(&origin)
                } else {
                    self.origin_problems.insert(origin.clone(), problems)
                };
                Changes::everything_if(before.as_ref() != self.origin_problems.get(&origin))
            }
            SourceEvent::Health { kind, health } => {
                self.health.insert(kind, health);
                Changes::default()
            }
        };
        let changed = !changes.is_empty();
        self.changes = std::mem::take(&mut self.changes).and(changes);
        changed
    }

    /// What has changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    fn restart(&mut self, kind: Kind, objects: Vec<Observed>) -> Changes {
        let mut changes = Changes::everything_if(self.listed.insert(kind));
        let listed: BTreeSet<ObjectKey> = objects.iter().map(|o| o.key.clone()).collect();
        changes = changes.and(self.retain(kind, |key| listed.contains(key)));
        self.standings.keep(kind, &listed);
        let problems = self.object_problems.len();
        self.object_problems
            .retain(|key, _| key.kind != kind || listed.contains(key));
        let solved = self.object_problems.len() != problems;
        changes = changes.and(Changes::everything_if(solved));
        for observed in objects {
            changes = changes.and(self.observe(observed));
        }
        changes.and(self.settle(kind))
    }

    /// Takes an object out, unless others name it.
    fn remove(&mut self, key: &ObjectKey) -> Changes {
        let others = |name: &str| name != key.name;
        let kept = self.references.kept(&self.objects, key.kind, others);
        if kept.contains(&key.name) {
            return Changes::default();
        }
        self.objects.remove(key)
    }

    /// Takes out the objects of `kind` for which `keep` is false, but for those that others name.
    fn retain(&mut self, kind: Kind, keep: impl Fn(&ObjectKey) -> bool) -> Changes {
        let by_name = |name: &str| keep(&ObjectKey::cluster(kind, name));
        let kept = self.references.kept(&self.objects, kind, by_name);
        let mut changes = Changes::default();
        for key in self.objects.keys(kind) {
            if !keep(&key) && !kept.contains(&key.name) {
                changes = changes.and(self.objects.remove(&key));
            }
        }
        changes
    }

    /// Puts in force what waited for an object of `kind`.
    fn settle(&mut self, kind: Kind) -> Changes {
        if !references::concerns(kind) {
            return Changes::default();
        }
        let changes = self.references.settle(&mut self.objects);
        let problems = self.references.problems(&self.objects);
        let said = core::mem::replace(&mut self.reference_problems, problems);
        changes.and(Changes::everything_if(said != self.reference_problems))
    }

    fn observe(&mut self, observed: Observed) -> Changes {
        let Observed {
            key,
            mut object,
            problems,
            manifest: _,
            standing,
        } = observed;
        self.standings.put(&key, standing);
        if let Some(Object::Node(node)) = &mut object
            && let Some(last) = self.objects.nodes.get(&key.name)
        {
            node.keep_last_good(last, &problems);
        }
        let complete = self.is_complete();
        let object = object.and_then(|o| {
            let objects = &self.objects;
            self.references.admit(objects, complete, &key, o)
        });
        let changes = match object {
            Some(object) => self.objects.insert(&key, object),
            None => Changes::default(),
        };
        let other_problems = if problems.is_empty() {
            self.object_problems.remove(&key).is_some()
        } else if self.object_problems.get(&key) != Some(&problems) {
            self.object_problems.insert(key, problems);
            true
        } else {
            false
        };
        changes.and(Changes::everything_if(other_problems))
    }

    /// Whether every kind has been listed once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    /// Whether `kind` has been listed once.
    #[must_use]
    pub fn is_listed(&self, kind: Kind) -> bool {
        self.listed.contains(&kind)
    }

    /// How many objects of `kind` are in force.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Node => self.objects.nodes.len(),
            Kind::Secret => self.objects.secrets.len(),
            Kind::Service => self.objects.services.len(),
            Kind::EndpointSlice => self.objects.endpoints.len(),
            Kind::BgpConfiguration => self.objects.configurations.len(),
            Kind::BgpPeer => self.objects.peers.len(),
            Kind::BgpAdvertisement => self.objects.advertisements.len(),
            Kind::BgpPolicy => self.objects.policies.len(),
            Kind::BfdProfile => self.objects.bfd_profiles.len(),
        }
    }

    /// The objects, once every kind has been listed.
    #[must_use]
    pub fn complete(&self) -> Option<&Objects> {
        self.is_complete().then_some(&self.objects)
    }

    /// What is wrong with single objects and files, in a stable order.
    pub fn problems(&self) -> impl Iterator<Item = &Diagnostic> {
        self.origin_problems
            .values()
            .chain(self.object_problems.values())
            .flatten()
            .chain(&self.reference_problems)
    }

    /// What is wrong with one object by itself.
    #[must_use]
    pub fn problems_of(&self, key: &ObjectKey) -> &[Diagnostic] {
        self.object_problems.get(key).map_or(&[], Vec::as_slice)
    }

    /// Objects that name policies or profiles which are not there.
    #[must_use]
    pub fn unresolved(&self) -> &[Diagnostic] {
        &self.reference_problems
    }

    /// How the objects of our own kinds stand at the API server, if the source is one.
    pub fn standings(&self) -> impl Iterator<Item = (&ObjectKey, &Standing)> {
        self.standings.iter()
    }

    /// Whether a standing has changed since this was last asked. That is no change for `compile`.
    pub fn take_standings_changed(&mut self) -> bool {
        self.standings.take_changed()
    }

    /// How well the source sees `kind`.
    #[must_use]
    pub fn health(&self, kind: Kind) -> Health {
        self.health.get(&kind).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
