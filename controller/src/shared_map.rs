//! A map whose copies share what they have in common.
//!
//! A copy costs nothing and a change as much as it changes, so a value that tasks hand on can be made
//! anew for every change of one entry among thousands
//! ([ADR 27](../../docs/adr/0027-results-share-what-did-not-change.md)). Two that are copies of each
//! other are equal without a look at what is in them.

use std::{cmp::Ordering, fmt, ops::Index};

use rpds::RedBlackTreeMapSync;

/// A map, sorted by key.
#[derive(Clone)]
pub struct SharedMap<K: Ord, V>(RedBlackTreeMapSync<K, V>);

impl<K: Ord, V> SharedMap<K, V> {
    /// The value at `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// Whether there is a value at `key`.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.size()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter()
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    /// The values, by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values()
    }

    /// Whether this is a copy of `other`, or the other way round, and neither has changed since.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl<K: Ord, V: PartialEq> SharedMap<K, V> {
    /// The keys at which the two do not hold the same, in order.
    #[must_use]
    pub fn differing<'a>(&'a self, other: &'a Self) -> Vec<&'a K> {
        let mut differing = Vec::new();
        if self.is_same(other) {
            return differing;
        }
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let order = match (ours.peek(), theirs.peek()) {
                (None, None) => return differing,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(our), Some(their)) => our.0.cmp(their.0),
            };
            let our = if order.is_le() { ours.next() } else { None };
            let their = if order.is_ge() { theirs.next() } else { None };
            if our.map(|it| it.1) != their.map(|it| it.1) {
                differing.extend(our.or(their).map(|it| it.0));
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Puts a value at `key`, in place of the one that was there.
    pub fn insert(&mut self, key: K, value: V) {
        self.0.insert_mut(key, value);
    }

    /// Takes out what is at `key`; whether there was anything.
    pub fn remove(&mut self, key: &K) -> bool {
        self.0.remove_mut(key)
    }
}

impl<K: Ord, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self(RedBlackTreeMapSync::new_sync())
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<K: Ord, V> Index<&K> for SharedMap<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        &self.0[key]
    }
}

impl<K: Ord, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl<K: Ord, V: Eq> Eq for SharedMap<K, V> {}

impl<K: Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_until_one_of_the_two_changes() {
        let before: SharedMap<u32, &str> = [(2, "b"), (1, "a")].into_iter().collect();
        let mut after = before.clone();
        assert!(before.is_same(&after));
        after.insert(3, "c");
        assert!(!before.is_same(&after) && before != after);
        assert_eq!((before.len(), after.len()), (2, 3));
        assert!(after.remove(&3) && !after.remove(&3));
        assert_eq!(before, after);
        assert_eq!(format!("{after:?}"), r#"{1: "a", 2: "b"}"#);
    }

    #[test]
    fn where_two_differ_is_told_by_key() {
        let before: SharedMap<u32, &str> = [(1, "a"), (2, "b"), (4, "d")].into_iter().collect();
        assert!(before.differing(&before.clone()).is_empty());
        let mut after = before.clone();
        after.insert(1, "other");
        after.remove(&2);
        after.insert(3, "new");
        after.insert(5, "last");
        assert_eq!(before.differing(&after), [&1, &2, &3, &5]);
        assert_eq!(after.differing(&before), [&1, &2, &3, &5]);
        assert_eq!(before.differing(&SharedMap::default()), [&1, &2, &4]);
    }
}
