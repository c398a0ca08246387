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
mod bmp;
mod changes;
mod configuration;
mod drain_order;
mod endpoints;
mod event;
mod kind;
mod mrt;
mod node;
mod observed;
mod peer;
mod policy;
mod references;
mod remote;
mod rules;
mod secret;
mod service;
mod service_cidr;
mod standing;
mod unheard;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use advertisement::{Advertisement, Aggregate, ServiceChoice};
pub use bfd_profile::BfdProfile;
pub use bmp::BmpStation;
pub use changes::Changes;
pub use configuration::Configuration;
pub use drain_order::{DrainOrder, NoDrainOrder};
pub use endpoints::{Counts, EndpointSlice, Endpoints};
pub use event::{Health, SourceEvent};
pub use kind::{Kind, ObjectKey};
pub use mrt::MrtLog;
pub(crate) use node::SHUTDOWN_MESSAGE;
pub use node::{DrainSigns, Node, Since};
pub use observed::{Meta, Object, Observed};
pub use peer::Peer;
pub use policy::{Neighbours, Policy, PolicyRule};
pub(crate) use references::{missing, not_there};
pub use secret::{NoPassword, Secret};
pub use service::{Service, ServiceKey};
pub use service_cidr::ServiceCidr;
pub use standing::Standing;
use standing::Standings;
pub(crate) use values::usable_unicast;

use crate::{
    api,
    diagnostic::{Diagnostic, Reason},
};
use references::References;

/// Every object in force, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Nodes.
    pub nodes: BTreeMap<String, Node>,
    /// Secrets of Redstart's namespace.
    pub secrets: BTreeMap<String, Secret>,
    /// Those that cannot be read, and why: [`Reason::SecretForbidden`] or [`Reason::Unreadable`].
    pub unread_secrets: BTreeMap<String, Reason>,
    /// Services.
    pub services: BTreeMap<ServiceKey, Service>,
    /// The endpoints of Services.
    pub endpoints: Endpoints,
    /// The ranges that Kubernetes takes cluster IPs from, by `ServiceCIDR`.
    pub service_cidrs: BTreeMap<String, ServiceCidr>,
    /// `BGPConfiguration`s: at most the one named `default`.
    pub configurations: BTreeMap<String, Configuration>,
    /// `BGPPeer`s.
    pub peers: BTreeMap<String, Arc<Peer>>,
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
            Object::Node(o) => put(&mut self.nodes, name(), *o),
            Object::Secret(o) => put(&mut self.secrets, name(), o),
            Object::ServiceCidr(o) => put(&mut self.service_cidrs, name(), o),
            Object::Configuration(o) => put(&mut self.configurations, name(), *o),
            Object::Peer(o) => put(&mut self.peers, name(), o),
            Object::Advertisement(o) => put(&mut self.advertisements, name(), *o),
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
            Kind::ServiceCidr => self.service_cidrs.remove(name).is_some(),
            Kind::BgpConfiguration => self.configurations.remove(name).is_some(),
            Kind::BgpPeer => self.peers.remove(name).is_some(),
            Kind::BgpAdvertisement => self.advertisements.remove(name).is_some(),
            Kind::BgpPolicy => self.policies.remove(name).is_some(),
            Kind::BfdProfile => self.bfd_profiles.remove(name).is_some(),
        })
    }

    /// Makes the maps of the numerous kinds small: one that grew in order, as a listing has it, is half
    /// empty.
    fn pack(&mut self, kind: Kind) {
        match kind {
            Kind::Node => pack(&mut self.nodes),
            Kind::BgpPeer => pack(&mut self.peers),
            Kind::Service => pack(&mut self.services),
            Kind::EndpointSlice => self.endpoints.pack(),
            _ => {}
        }
    }

    /// The objects of `kind`, by name.
    fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        fn cluster<T>(kind: Kind, map: &BTreeMap<String, T>) -> Vec<ObjectKey> {
            let names = map.keys().map(String::as_str);
            names.map(|name| ObjectKey::cluster(kind, name)).collect()
        }
        let namespaced =
            |key: &ServiceKey| ObjectKey::namespaced(kind, &*key.namespace, &*key.name);
        let secret = |name: &String| ObjectKey::namespaced(kind, api::NAMESPACE, name.as_str());
        match kind {
            Kind::Node => cluster(kind, &self.nodes),
            Kind::Secret => self.secrets.keys().map(secret).collect(),
            Kind::Service => self.services.keys().map(namespaced).collect(),
            Kind::EndpointSlice => self.endpoints.slices().map(namespaced).collect(),
            Kind::ServiceCidr => cluster(kind, &self.service_cidrs),
            Kind::BgpConfiguration => cluster(kind, &self.configurations),
            Kind::BgpPeer => cluster(kind, &self.peers),
            Kind::BgpAdvertisement => cluster(kind, &self.advertisements),
            Kind::BgpPolicy => cluster(kind, &self.policies),
            Kind::BfdProfile => cluster(kind, &self.bfd_profiles),
        }
    }
}

fn pack<K: Ord, T>(map: &mut BTreeMap<K, T>) {
    *map = std::mem::take(map).into_iter().collect();
}

/// What the sources have told so far.
#[derive(Clone, Debug, Default)]
pub struct Index {
    objects: Objects,
    listed: BTreeSet<Kind>,
    /// Whether that was by an earlier process.
    recalled: bool,
    health: BTreeMap<Kind, Health>,
    object_problems: BTreeMap<ObjectKey, Vec<Diagnostic>>,
    origin_problems: BTreeMap<String, Vec<Diagnostic>>,
    standings: Standings,
    /// Since they were last taken.
    changes: Changes,
    references: References,
    reference_problems: Vec<Diagnostic>,
    /// Objects of which a part is in force as it was before: the last version has that wrong.
    partly: BTreeSet<ObjectKey>,
    /// How many there were.
    events: u64,
    /// The latest time since when a node is to be drained, by what asked for it.
    latest_drain: Option<i64>,
    /// The places of nodes in an earlier process, until the API server has listed them.
    drain_order: DrainOrder,
}

impl Index {
    /// An index that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that what is to be done is compiled from for this node, and no other: of the other nodes'
    /// endpoints it keeps less.
    #[must_use]
    pub fn of_node(node: &str) -> Self {
        let mut index = Self::new();
        index.objects.endpoints = Endpoints::of_node(node);
        index
    }

    /// Before anything is taken in: the order in which an earlier process has heard of drains.
    pub fn recall_drain_order(&mut self, order: DrainOrder) {
        if let Some(last) = order.last() {
            self.events = self.events.max(last.event().unwrap_or(0));
            self.latest_drain = self.latest_drain.max(last.time());
        }
        self.drain_order = order;
    }

    /// The API server has listed all Nodes: what asks for a drain from now on, asks anew.
    pub fn forget_earlier_drains(&mut self) {
        self.drain_order = DrainOrder::default();
    }

    /// The order in which drains were heard of, as far as Nodes do not say it.
    #[must_use]
    pub fn drain_order(&self) -> DrainOrder {
        DrainOrder::of(self.objects.nodes.values())
    }

    /// Takes in what a source saw. Returns whether a compile could come out differently now: an
    /// object, what is wrong, or the completeness has changed.
    pub fn apply(&mut self, event: SourceEvent) -> bool {
        self.events += 1;
        let changes = match event {
            SourceEvent::Restarted { kind, objects } => {
                self.recalled = false;
                self.restart(kind, objects)
            }
            SourceEvent::Recalled => {
                self.recalled = true;
                Changes::default()
            }
            SourceEvent::Applied(observed) => {
                let kind = observed.key.kind;
                let changes = self.observe(observed);
                changes.and(self.settle(kind))
            }
            SourceEvent::Deleted(key) => {
                self.standings.put(&key, None);
                self.partly.remove(&key);
                self.forget_unread(key.kind, |name| name != key.name);
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
        // Of one listing nothing came before anything else.
        let drains = objects.iter().filter_map(Observed::latest_drain);
        self.latest_drain = self.latest_drain.max(drains.max());
        let listed: BTreeSet<ObjectKey> = objects.iter().map(|o| o.key.clone()).collect();
        changes = changes.and(self.retain(kind, |key| listed.contains(key)));
        self.standings.keep(kind, &listed);
        self.partly
            .retain(|key| key.kind != kind || listed.contains(key));
        let names: BTreeSet<&str> = listed.iter().map(|key| key.name.as_str()).collect();
        self.forget_unread(kind, |name| names.contains(name));
        let problems = self.object_problems.len();
        self.object_problems
            .retain(|key, _| key.kind != kind || listed.contains(key));
        let solved = self.object_problems.len() != problems;
        changes = changes.and(Changes::everything_if(solved));
        for observed in objects {
            changes = changes.and(self.observe(observed));
        }
        self.objects.pack(kind);
        changes.and(self.settle(kind))
    }

    /// Secrets that are not there any more are not waited for either.
    fn forget_unread(&mut self, kind: Kind, keep: impl Fn(&str) -> bool) {
        if kind == Kind::Secret {
            self.objects.unread_secrets.retain(|name, _| keep(name));
        }
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
        let by_name = |name: &str| keep(&references::key(kind, name));
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
        // That changes the object's problems too, which are told below.
        let unread = observed.unread_secret();
        let Observed {
            key,
            mut object,
            problems,
            manifest: _,
            standing,
        } = observed;
        self.standings.put(&key, standing);
        if key.kind == Kind::Secret {
            let all = &mut self.objects.unread_secrets;
            match unread {
                Some(why) => _ = all.insert(key.name.clone(), why),
                None => _ = all.remove(&key.name),
            }
        }
        let is_partly_kept = match &mut object {
            Some(Object::Node(node)) => {
                let last = self.objects.nodes.get(&key.name);
                self.latest_drain = self.latest_drain.max(node.drain.latest());
                let now = Since::heard(self.latest_drain, self.events);
                let earlier = self.drain_order.of_node(&key.name);
                node.follow((last, earlier), &problems, now);
                last.is_some() && !problems.is_empty()
            }
            Some(Object::Secret(secret)) => {
                let last = self.objects.secrets.get(&key.name);
                last.is_some_and(|last| secret.keep_last_good(last))
            }
            _ => false,
        };
        match is_partly_kept {
            true => _ = self.partly.insert(key.clone()),
            false => _ = self.partly.remove(&key),
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

    /// The objects that are in force in another version than the last that was told, or though they are
    /// gone.
    #[must_use]
    pub fn kept_in_force(&self) -> BTreeSet<ObjectKey> {
        let partly = self.partly.iter().cloned();
        partly.chain(self.references.kept_in_force()).collect()
    }

    /// Whether every kind has been listed once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    /// Whether what is known is what an earlier process knew.
    #[must_use]
    pub const fn is_recalled(&self) -> bool {
        self.recalled
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
            Kind::ServiceCidr => self.objects.service_cidrs.len(),
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

    /// Whether the last version of an object waits for one that it names, with the version before it in
    /// force.
    #[must_use]
    pub fn is_waiting(&self, key: &ObjectKey) -> bool {
        self.references.is_waiting(key)
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
