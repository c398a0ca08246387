//! What the API server says while the cache is in force, until it has said everything. Pure.

use std::collections::BTreeMap;

use crate::{
    index::{Kind, ObjectKey, Observed},
    source::{Batch, SourceEvent},
};

/// Objects that are held back, by kind; a kind that is missing was not listed.
#[derive(Debug, Default)]
pub(super) struct Staging {
    kinds: BTreeMap<Kind, BTreeMap<ObjectKey, Observed>>,
}

impl Staging {
    /// Takes in a batch. Returns what goes on at once, and whether that is now everything: then it
    /// holds a listing of every kind, and the staging is over.
    pub(super) fn hold(&mut self, batch: Batch) -> (Batch, bool) {
        let mut on = Batch::new();
        for event in batch {
            match event {
                SourceEvent::Restarted { kind, objects } => {
                    let objects = objects.into_iter().map(|it| (it.key.clone(), it));
                    self.kinds.insert(kind, objects.collect());
                }
                SourceEvent::Applied(observed) => {
                    let kind = self.kinds.entry(observed.key.kind);
                    kind.and_modify(|kind| _ = kind.insert(observed.key.clone(), observed));
                }
                SourceEvent::Deleted(key) => {
                    if let Some(kind) = self.kinds.get_mut(&key.kind) {
                        kind.remove(&key);
                    }
                }
                // How the API does is true whatever objects are in force.
                SourceEvent::Recalled
                | SourceEvent::Health { .. }
                | SourceEvent::Problems { .. } => on.push(event),
            }
        }
        let complete = Kind::ALL.iter().all(|kind| self.kinds.contains_key(kind));
        if complete {
            let kinds = std::mem::take(&mut self.kinds);
            on.extend(
                kinds
                    .into_iter()
                    .map(|(kind, objects)| SourceEvent::Restarted {
                        kind,
                        objects: objects.into_values().collect(),
                    }),
            );
        }
        (on, complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Observed {
        Observed {
            key: ObjectKey::cluster(Kind::Node, name),
            object: None,
            problems: Vec::new(),
            manifest: None,
            standing: None,
        }
    }

    fn listing(kind: Kind, objects: Vec<Observed>) -> SourceEvent {
        SourceEvent::Restarted { kind, objects }
    }

    #[test]
    fn nothing_goes_on_before_every_kind_was_listed_and_then_all_at_once() {
        let mut staging = Staging::default();
        let nodes = listing(Kind::Node, vec![node("a"), node("b")]);
        assert_eq!(staging.hold(vec![nodes]), (Batch::new(), false));
        let changes = vec![
            SourceEvent::Deleted(ObjectKey::cluster(Kind::Node, "a")),
            SourceEvent::Applied(node("c")),
        ];
        assert_eq!(staging.hold(changes), (Batch::new(), false));
        let others = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Node);
        let others: Vec<Kind> = others.collect();
        let (last, rest) = others.split_last().unwrap();
        let rest: Batch = rest.iter().map(|kind| listing(*kind, Vec::new())).collect();
        assert_eq!(staging.hold(rest), (Batch::new(), false));
        let (batch, complete) = staging.hold(vec![listing(*last, Vec::new())]);
        assert!(complete);
        assert_eq!(batch.len(), Kind::ALL.len());
        assert!(batch.contains(&listing(Kind::Node, vec![node("b"), node("c")])));
    }
}
