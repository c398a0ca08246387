//! What is not on disk yet. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    index::{Kind, ObjectKey, Observed},
    source::{Batch, SourceEvent},
    text::Text,
};

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// This is its last good version.
    Put(Text),
    /// It is there, but cannot be used: what is on disk stays.
    Keep,
    /// It is gone.
    Gone,
}

/// The changes of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KindChanges {
    /// They are the whole: what they do not name is gone.
    pub(super) relisted: bool,
    /// By object.
    pub(super) objects: BTreeMap<ObjectKey, Change>,
}

impl KindChanges {
    fn observe(&mut self, observed: &mut Observed) -> bool {
        let Some(manifest) = observed.manifest.take() else {
            return false;
        };
        let change = Change::Put(manifest);
        self.objects.insert(observed.key.clone(), change);
        true
    }

    /// The changes of `self`, then those of `newer`.
    fn then(mut self, newer: Self) -> Self {
        if !newer.relisted {
            self.objects.extend(newer.objects);
            return self;
        }
        let objects = newer.objects.into_iter().map(|(key, change)| {
            let kept = match change {
                Change::Keep => self.objects.remove(&key),
                Change::Put(_) | Change::Gone => None,
            };
            (key, kept.unwrap_or(change))
        });
        Self {
            relisted: true,
            objects: objects.collect(),
        }
    }
}

/// The changes of every kind.
#[derive(Debug, Default)]
pub(super) struct Pending {
    kinds: BTreeMap<Kind, KindChanges>,
    /// How many batches went to the index.
    pub(super) sent: u64,
    /// There will be no more.
    pub(super) ended: bool,
    /// Something was noted since this was last set to false.
    pub(super) news: bool,
}

impl Pending {
    /// Takes the manifests out of a batch. Whether that is the first news.
    pub(super) fn note(&mut self, batch: &mut Batch) -> bool {
        let events = batch.iter_mut();
        let any = events.fold(false, |any, event| self.note_event(event) | any);
        any && !std::mem::replace(&mut self.news, true)
    }

    fn note_event(&mut self, event: &mut SourceEvent) -> bool {
        match event {
            SourceEvent::Restarted { kind, objects } => {
                let mut listing = KindChanges {
                    relisted: true,
                    objects: BTreeMap::new(),
                };
                for observed in objects {
                    if !listing.observe(observed) {
                        listing.objects.insert(observed.key.clone(), Change::Keep);
                    }
                }
                let before = self.kinds.remove(kind).unwrap_or_default();
                self.kinds.insert(*kind, before.then(listing));
                true
            }
            SourceEvent::Applied(observed) => {
                let kind = self.kinds.entry(observed.key.kind).or_default();
                kind.observe(observed)
            }
            SourceEvent::Deleted(key) => {
                let kind = self.kinds.entry(key.kind).or_default();
                kind.objects.insert(key.clone(), Change::Gone);
                true
            }
            SourceEvent::Recalled | SourceEvent::Problems { .. } | SourceEvent::Health { .. } => {
                false
            }
        }
    }

    /// Everything, once each kind is in `on_disk` or was listed since; but for what became of the objects
    /// in `kept`, which stay on disk as they are: that waits.
    pub(super) fn take(
        &mut self,
        on_disk: &BTreeSet<Kind>,
        kept: &BTreeSet<ObjectKey>,
    ) -> Option<BTreeMap<Kind, KindChanges>> {
        let listed = |kind: &Kind| {
            on_disk.contains(kind) || self.kinds.get(kind).is_some_and(|changes| changes.relisted)
        };
        if !Kind::ALL.iter().all(listed) {
            return None;
        }
        let mut taken = std::mem::take(&mut self.kinds);
        for key in kept {
            let Some(changes) = taken.get_mut(&key.kind) else {
                continue;
            };
            // A listing says of nothing that it is gone; it leaves it out.
            let unnamed = changes.relisted.then_some(Change::Gone);
            let change = changes.objects.remove(key).or(unnamed);
            let Some(change) = change else {
                continue;
            };
            changes.objects.insert(key.clone(), Change::Keep);
            if change != Change::Keep {
                let later = self.kinds.entry(key.kind).or_default();
                later.objects.insert(key.clone(), change);
            }
        }
        Some(taken)
    }

    /// Changes that were taken, and could not be written.
    pub(super) fn put_back(&mut self, older: BTreeMap<Kind, KindChanges>) {
        for (kind, older) in older {
            let newer = self.kinds.remove(&kind).unwrap_or_default();
            self.kinds.insert(kind, older.then(newer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::cluster(Kind::Node, name)
    }

    fn observed(name: &str, manifest: Option<&str>) -> Observed {
        Observed {
            key: key(name),
            object: None,
            problems: Vec::new(),
            manifest: manifest.map(Into::into),
            standing: None,
        }
    }

    fn listing(objects: Vec<Observed>) -> Batch {
        vec![SourceEvent::Restarted {
            kind: Kind::Node,
            objects,
        }]
    }

    fn nodes(pending: &Pending) -> Vec<(&str, &Change)> {
        let nodes = &pending.kinds[&Kind::Node];
        nodes
            .objects
            .iter()
            .map(|(k, c)| (k.name.as_str(), c))
            .collect()
    }

    #[test]
    fn a_listing_replaces_what_was_noted_but_for_what_it_cannot_read() {
        let mut pending = Pending::default();
        pending.note(&mut vec![
            SourceEvent::Applied(observed("a", Some("good"))),
            SourceEvent::Applied(observed("b", Some("old"))),
            SourceEvent::Deleted(key("c")),
        ]);
        pending.note(&mut listing(vec![
            observed("a", None),
            observed("c", Some("back")),
        ]));
        let put = |text: &str| Change::Put(text.into());
        assert_eq!(nodes(&pending), [("a", &put("good")), ("c", &put("back"))]);
    }

    #[test]
    fn only_the_first_news_has_to_be_told() {
        let mut pending = Pending::default();
        let change = |pending: &mut Pending| {
            pending.note(&mut vec![SourceEvent::Applied(observed("a", Some("1")))])
        };
        assert!(!pending.note(&mut Vec::new()));
        assert!(change(&mut pending));
        assert!(!change(&mut pending));
        pending.news = false;
        assert!(change(&mut pending));
    }

    #[test]
    fn what_could_not_be_written_is_older_than_what_came_since() {
        let mut pending = Pending::default();
        pending.note(&mut listing(vec![
            observed("a", Some("1")),
            observed("b", Some("1")),
        ]));
        let older = std::mem::take(&mut pending.kinds);
        pending.note(&mut vec![
            SourceEvent::Applied(observed("a", Some("2"))),
            SourceEvent::Applied(observed("b", None)),
        ]);
        pending.put_back(older);
        let put = |text: &str| Change::Put(text.into());
        assert_eq!(nodes(&pending), [("a", &put("2")), ("b", &put("1"))]);
        assert!(pending.kinds[&Kind::Node].relisted);
    }

    #[test]
    fn nothing_is_taken_before_every_kind_was_listed() {
        let mut pending = Pending::default();
        pending.note(&mut listing(Vec::new()));
        let none = BTreeSet::new();
        assert_eq!(pending.take(&BTreeSet::new(), &none), None);
        let others = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Node);
        let others: BTreeSet<Kind> = others.collect();
        let taken = pending.take(&others, &none);
        assert_eq!(taken.map(|taken| taken.len()), Some(1));
    }

    #[test]
    fn what_is_to_be_kept_waits_until_it_is_not() {
        let mut pending = Pending::default();
        pending.note(&mut listing(vec![observed("a", Some("2"))]));
        let every: BTreeSet<Kind> = Kind::ALL.into_iter().collect();
        // `b` was not listed: it is gone.
        let kept: BTreeSet<ObjectKey> = [key("a"), key("b")].into();
        for _ in 0..2 {
            let taken = pending.take(&every, &kept).unwrap();
            let taken = taken[&Kind::Node].objects.values();
            assert!(taken.into_iter().all(|change| *change == Change::Keep));
            let waiting = [("a", &Change::Put("2".into())), ("b", &Change::Gone)];
            assert_eq!(nodes(&pending), waiting);
        }
        let taken = pending.take(&every, &BTreeSet::new()).unwrap();
        assert_eq!(taken[&Kind::Node].objects.len(), 2);
        assert!(pending.kinds.is_empty());
    }
}
