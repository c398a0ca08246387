//! How objects of our own kinds stand at the API server: which version there is, and what was said of
//! it already. Nothing is compiled from this; it is for those who write conditions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Kind, ObjectKey};
use crate::api::{self, ConditionSpec};

/// How an object stands at the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What tells it from an earlier object of the same name.
    pub uid: String,
    /// Counts changes of its spec.
    pub generation: Option<i64>,
    /// Its conditions, as somebody wrote them.
    pub conditions: Vec<ConditionSpec>,
}

impl Standing {
    /// Of an object as it came, if it is of a kind that has conditions of ours.
    #[must_use]
    pub fn of(kind: Kind, object: &Value) -> Option<Self> {
        if kind.api_version() != api::API_VERSION {
            return None;
        }
        let conditions = object["status"]["conditions"].as_array();
        Some(Self {
            uid: object["metadata"]["uid"].as_str()?.to_owned(),
            generation: object["metadata"]["generation"].as_i64(),
            // What cannot be read was not written by a speaker, and is none of our business.
            conditions: conditions
                .into_iter()
                .flatten()
                .filter_map(|it| serde_json::from_value(it.clone()).ok())
                .collect(),
        })
    }
}

/// The standings of all objects that have one.
#[derive(Clone, Debug, Default)]
pub(super) struct Standings {
    known: BTreeMap<ObjectKey, Standing>,
    changed: bool,
}

impl Standings {
    pub(super) fn put(&mut self, key: &ObjectKey, standing: Option<Standing>) {
        if self.known.get(key) == standing.as_ref() {
            return;
        }
        self.changed = true;
        match standing {
            Some(standing) => _ = self.known.insert(key.clone(), standing),
            None => _ = self.known.remove(key),
        }
    }

    /// Forgets the objects of `kind` that were not `listed`.
    pub(super) fn keep(&mut self, kind: Kind, listed: &BTreeSet<ObjectKey>) {
        let before = self.known.len();
        self.known
            .retain(|key, _| key.kind != kind || listed.contains(key));
        self.changed |= self.known.len() != before;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Standing)> {
        self.known.iter()
    }

    /// Whether anything has changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_read_and_what_is_none_is_left_out() {
        let condition = json!({
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
            "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let object = json!({
            "metadata": {"name": "a", "uid": "u", "generation": 3},
            "status": {"conditions": [condition, {"type": 5}]},
        });
        let standing = Standing::of(Kind::BgpPeer, &object).unwrap();
        assert_eq!((standing.uid.as_str(), standing.generation), ("u", Some(3)));
        assert_eq!(standing.conditions.len(), 1);
        assert_eq!(Standing::of(Kind::Node, &object), None);
        let manifest = json!({"metadata": {"name": "a"}, "spec": {}});
        assert_eq!(Standing::of(Kind::BgpPeer, &manifest), None);
    }

    #[test]
    fn only_a_difference_is_a_change() {
        let (mut all, key) = (Standings::default(), ObjectKey::cluster(Kind::BgpPeer, "a"));
        all.put(&key, None);
        assert!(!all.take_changed());
        all.put(&key, Some(Standing::default()));
        assert!(all.take_changed());
        all.put(&key, Some(Standing::default()));
        assert!(!all.take_changed());
        all.keep(Kind::BgpPeer, &[key.clone()].into());
        assert!(!all.take_changed());
        all.keep(Kind::BgpPeer, &BTreeSet::new());
        assert!(all.take_changed() && all.iter().next().is_none());
    }
}
