//! The objects, their history and their revisions.
//!
//! One revision counter for everything, as etcd has it: each write takes the next number, which
//! becomes the object's `resourceVersion`. The history keeps the latest writes with the object
//! before and after. From it come watches (replay from a revision), consistent paged lists (undo
//! what came after the first page) and 410 Gone (the revision has left the history).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::resource::{Gvr, Key, Resource, built_in, crd_gvr, from_crd};

/// Writes that the history keeps before it forgets the oldest.
const HISTORY: usize = 10_000;

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The revision that it made.
    pub revision: u64,
    /// The object.
    pub key: Key,
    /// The object before; `None` when it was created.
    pub before: Option<Arc<Value>>,
    /// The object after; `None` when it was deleted.
    pub after: Option<Arc<Value>>,
}

/// What a write request comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Write {
    /// Store this.
    Put(Value),
    /// Delete it.
    Delete,
    /// Nothing changes: no revision, no event.
    Keep,
    /// Answer with this and store nothing.
    DryRun(Value),
}

/// Objects and history.
#[derive(Debug)]
pub(super) struct Store {
    revision: u64,
    /// Watches and lists must start at this revision or later.
    oldest: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    /// What is served: made anew when a CRD changes, since each request asks and schemas are large.
    resources: Arc<[Resource]>,
}

impl Store {
    fn new() -> Self {
        // A real cluster never starts at 0, which means "any version" in requests.
        Self {
            revision: 1000,
            oldest: 1000,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            resources: built_in().into(),
        }
    }

    /// The revision of the last write.
    #[must_use]
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The oldest revision that a watch or list can start from.
    #[must_use]
    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// One object.
    #[must_use]
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// The objects of a resource as they are now, in key order.
    pub(super) fn list<'a>(
        &'a self,
        gvr: &'a Gvr,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let first = Key {
            gvr: gvr.clone(),
            namespace: String::new(),
            name: String::new(),
        };
        self.objects
            .range(first..)
            .take_while(move |(key, _)| key.gvr == *gvr)
    }

    /// The objects of a resource as they were at `revision`, which must not be older than
    /// [`Store::oldest`].
    #[must_use]
    pub(super) fn list_at(&self, gvr: &Gvr, revision: u64) -> BTreeMap<Key, Arc<Value>> {
        let mut objects: BTreeMap<Key, Arc<Value>> = self
            .list(gvr)
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect();
        let undo = self.history.iter().rev();
        for change in undo.take_while(|change| change.revision > revision) {
            if change.key.gvr != *gvr {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        objects
    }

    /// The writes after `revision`, oldest first.
    pub(super) fn since(&self, revision: u64) -> impl Iterator<Item = &Change> {
        let start = self
            .history
            .partition_point(|change| change.revision <= revision);
        self.history.range(start..)
    }

    /// Writes an object (`Some`) or deletes it (`None`). The returned object is what was stored, or
    /// for a delete the last state with the revision of the delete.
    fn write(&mut self, key: Key, object: Option<Value>) -> Option<Arc<Value>> {
        let before = self.objects.get(&key).cloned();
        if object.is_none() && before.is_none() {
            return None;
        }
        self.revision += 1;
        let after = object.map(|mut object| {
            set_revision(&mut object, self.revision);
            Arc::new(object)
        });
        match &after {
            Some(after) => self.objects.insert(key.clone(), Arc::clone(after)),
            None => self.objects.remove(&key),
        };
        if key.gvr == crd_gvr() {
            let crds = self.list(&key.gvr).flat_map(|(_, crd)| from_crd(crd));
            self.resources = built_in().into_iter().chain(crds).collect();
        }
        let result = after
            .clone()
            .or_else(|| before.as_deref().map(|last| at(last, self.revision)));
        self.history.push_back(Change {
            revision: self.revision,
            key,
            before,
            after,
        });
        if self.history.len() > HISTORY
            && let Some(forgotten) = self.history.pop_front()
        {
            self.oldest = forgotten.revision;
        }
        result
    }

    /// Forgets the history: every older revision is 410 Gone from now on. The revision moves on,
    /// so that a client which has seen everything is behind as well.
    fn compact(&mut self) {
        self.history.clear();
        self.revision += 1;
        self.oldest = self.revision;
    }

    /// Every resource that is served now.
    #[must_use]
    pub(super) fn resources(&self) -> Arc<[Resource]> {
        Arc::clone(&self.resources)
    }

    /// The resource with this path, if it is served.
    #[must_use]
    pub(super) fn resource(&self, gvr: &Gvr) -> Option<Resource> {
        self.resources.iter().find(|it| it.gvr == *gvr).cloned()
    }
}

/// `object` as it is shown at `revision`.
#[must_use]
pub(super) fn at(object: &Value, revision: u64) -> Arc<Value> {
    let mut object = object.clone();
    set_revision(&mut object, revision);
    Arc::new(object)
}

fn set_revision(object: &mut Value, revision: u64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(revision.to_string()));
    }
}

/// The store, shared by all connections, and the bell that rings at each write.
#[derive(Debug)]
pub(super) struct SharedStore {
    store: Mutex<Store>,
    written: watch::Sender<u64>,
}

impl Default for SharedStore {
    fn default() -> Self {
        let store = Store::new();
        Self {
            written: watch::Sender::new(store.revision),
            store: Mutex::new(store),
        }
    }
}

impl SharedStore {
    /// Reads. Never held across an await.
    pub(super) fn read(&self) -> MutexGuard<'_, Store> {
        // A test that panicked with the lock held has left the store whole: writes are one call.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told of each write.
    #[must_use]
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Reads, decides and writes under one lock. Returns the object as stored, or the last state of
    /// a deleted one.
    ///
    /// # Errors
    /// What `decide` refused.
    pub(super) fn write<E>(
        &self,
        key: &Key,
        decide: impl FnOnce(&Store) -> Result<Write, E>,
    ) -> Result<Option<Arc<Value>>, E> {
        let mut store = self.read();
        let object = match decide(&store)? {
            Write::Put(object) => Some(object),
            Write::Delete => None,
            Write::Keep => return Ok(store.get(key)),
            Write::DryRun(object) => return Ok(Some(Arc::new(object))),
        };
        let deletes_crd = object.is_none() && key.gvr == crd_gvr();
        let orphans = if deletes_crd {
            orphans_of(&store, key)
        } else {
            Vec::new()
        };
        let result = store.write(key.clone(), object);
        for orphan in orphans {
            store.write(orphan, None);
        }
        self.written.send_replace(store.revision);
        Ok(result)
    }

    /// See [`Store::revision`]; every older one is Gone afterwards.
    pub(super) fn compact(&self) {
        let mut store = self.read();
        store.compact();
        self.written.send_replace(store.revision);
    }
}

/// The objects that go with a CRD.
fn orphans_of(store: &Store, crd: &Key) -> Vec<Key> {
    let Some(crd) = store.get(crd) else {
        return Vec::new();
    };
    from_crd(&crd)
        .iter()
        .flat_map(|resource| store.list(&resource.gvr).map(|(key, _)| key.clone()))
        .collect()
}
