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
mod configuration;
mod event;
mod kind;
mod node;
mod observed;
mod peer;
mod remote;
mod rules;
mod secret;
mod standing;
mod values;

use std::collections::{BTreeMap, BTreeSet};

pub use advertisement::Advertisement;
pub use configuration::Configuration;
pub use event::{Health, SourceEvent};
pub use kind::{Kind, ObjectKey};
pub(crate) use node::SHUTDOWN_MESSAGE;
pub use node::{DrainSigns, Node};
pub use observed::{Meta, Object, Observed};
pub use peer::Peer;
pub use secret::Secret;
pub use standing::Standing;
use standing::Standings;

use crate::diagnostic::Diagnostic;

/// Every object in force, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Nodes.
    pub nodes: BTreeMap<String, Node>,
    /// Secrets of Redstart's namespace.
    pub secrets: BTreeMap<String, Secret>,
    /// `BGPConfiguration`s: at most the one named `default`.
    pub configurations: BTreeMap<String, Configuration>,
    /// `BGPPeer`s.
    pub peers: BTreeMap<String, Peer>,
    /// `BGPAdvertisement`s.
    pub advertisements: BTreeMap<String, Advertisement>,
}

impl Objects {
    /// Puts an object in; whether that changed anything.
    fn insert(&mut self, name: String, object: Object) -> bool {
        fn put<T: PartialEq>(map: &mut BTreeMap<String, T>, name: String, object: T) -> bool {
            if map.get(&name) == Some(&object) {
                return false;
            }
            map.insert(name, object);
            true
        }
        match object {
            Object::Node(o) => put(&mut self.nodes, name, o),
            Object::Secret(o) => put(&mut self.secrets, name, o),
            Object::Configuration(o) => put(&mut self.configurations, name, o),
            Object::Peer(o) => put(&mut self.peers, name, o),
            Object::Advertisement(o) => put(&mut self.advertisements, name, o),
        }
    }

    /// Takes out the objects of `kind` for which `keep` is false; whether there were any.
    fn retain(&mut self, kind: Kind, keep: impl Fn(&str) -> bool) -> bool {
        fn sift<T>(map: &mut BTreeMap<String, T>, keep: impl Fn(&str) -> bool) -> bool {
            let before = map.len();
            map.retain(|name, _| keep(name));
            map.len() != before
        }
        match kind {
            Kind::Node => sift(&mut self.nodes, keep),
            Kind::Secret => sift(&mut self.secrets, keep),
            Kind::BgpConfiguration => sift(&mut self.configurations, keep),
            Kind::BgpPeer => sift(&mut self.peers, keep),
            Kind::BgpAdvertisement => sift(&mut self.advertisements, keep),
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
        match event {
            SourceEvent::Restarted { kind, objects } => self.restart(kind, objects),
            SourceEvent::Applied(observed) => self.observe(observed),
            SourceEvent::Deleted(key) => {
                self.standings.put(&key, None);
                let unproblematic = self.object_problems.remove(&key).is_none();
                self.objects.retain(key.kind, |name| name != key.name) || !unproblematic
            }
            SourceEvent::Problems { origin, problems } => {
                let before = if problems.is_empty() {
                    self.origin_problems.remove(&origin)
                } else {
                    self.origin_problems.insert(origin.clone(), problems)
                };
                before.as_ref() != self.origin_problems.get(&origin)
            }
            SourceEvent::Health { kind, health } => {
                self.health.insert(kind, health);
                false
            }
        }
    }

    fn restart(&mut self, kind: Kind, objects: Vec<Observed>) -> bool {
        let names: BTreeSet<String> = objects.iter().map(|o| o.key.name.clone()).collect();
        let mut changed = self.listed.insert(kind);
        changed |= self.objects.retain(kind, |name| names.contains(name));
        self.standings.keep(kind, &names);
        let problems = self.object_problems.len();
        self.object_problems
            .retain(|key, _| key.kind != kind || names.contains(&key.name));
        changed |= self.object_problems.len() != problems;
        for observed in objects {
            changed |= self.observe(observed);
        }
        changed
    }

    fn observe(&mut self, observed: Observed) -> bool {
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
        let mut changed = object.is_some_and(|o| self.objects.insert(key.name.clone(), o));
        if problems.is_empty() {
            changed |= self.object_problems.remove(&key).is_some();
        } else if self.object_problems.get(&key) != Some(&problems) {
            self.object_problems.insert(key, problems);
            changed = true;
        }
        changed
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
            Kind::BgpConfiguration => self.objects.configurations.len(),
            Kind::BgpPeer => self.objects.peers.len(),
            Kind::BgpAdvertisement => self.objects.advertisements.len(),
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
    }

    /// What is wrong with one object by itself.
    #[must_use]
    pub fn problems_of(&self, key: &ObjectKey) -> &[Diagnostic] {
        self.object_problems.get(key).map_or(&[], Vec::as_slice)
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
