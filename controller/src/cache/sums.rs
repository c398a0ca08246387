//! Checksums of the objects of a file. Pure.
//!
//! There are some ten thousands of them, so they are not a map: their names stand in one text, in the
//! order of the file, which is that of [`ObjectKey`]. A newer version is made by going through both.

use crate::index::ObjectKey;

/// The objects of one kind, by name, each with the checksum of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    names: String,
    /// Where each name ends, and the checksum.
    objects: Vec<(usize, u64)>,
}

/// What an object is called among those of its kind. Sorted as keys are: nothing comes before what
/// stands between namespace and name.
pub(super) fn name(key: &ObjectKey) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    format!("{namespace}\0{}", key.name)
}

impl Sums {
    /// Adds an object. `false`: it does not come after the last one, and was not added.
    pub(super) fn push(&mut self, name: &str, sum: u64) -> bool {
        if self.last().is_some_and(|last| *last >= *name) {
            return false;
        }
        self.names.push_str(name);
        self.objects.push((self.names.len(), sum));
        true
    }

    fn last(&self) -> Option<&str> {
        self.at(self.objects.len().checked_sub(1)?)
    }

    fn at(&self, i: usize) -> Option<&str> {
        let start = i.checked_sub(1).and_then(|before| self.objects.get(before));
        let start = start.map_or(0, |(end, _)| *end);
        self.names.get(start..self.objects.get(i)?.0)
    }

    /// Whether there is an object of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        let (mut low, mut high) = (0, self.objects.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.at(middle) {
                Some(at) if at < name => low = middle + 1,
                _ => high = middle,
            }
        }
        self.at(low) == Some(name)
    }

    /// The names, each with its checksum.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let objects = self.objects.iter().enumerate();
        objects.filter_map(|(i, (_, sum))| Some((self.at(i)?, *sum)))
    }

    /// The checksums.
    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = u64> {
        self.objects.iter().map(|(_, sum)| *sum)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Gives back the room that was left for more.
    pub(super) fn pack(mut self) -> Self {
        self.names.shrink_to_fit();
        self.objects.shrink_to_fit();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Kind;

    #[test]
    fn names_are_sorted_as_keys_are() {
        let of =
            |namespace: &str, name: &str| ObjectKey::namespaced(Kind::Service, namespace, name);
        let mut keys = vec![
            of("a", "b"),
            of("a-a", "a"),
            of("a", "b.c"),
            of("a.a", "a"),
            of("a", "a"),
        ];
        keys.push(of("b", "a"));
        keys.sort();
        let mut sums = Sums::default();
        for (key, sum) in keys.iter().zip(1..) {
            assert!(sums.push(&name(key), sum), "{key:?}");
        }
        assert!(!sums.push(&name(&keys[5]), 7) && !sums.push(&name(&keys[0]), 7));
        assert_eq!(sums.len(), 6);
        assert!(keys.iter().all(|key| sums.contains(&name(key))));
        let others = ["", "a", "a\0b.", "z"];
        assert!(others.iter().all(|name| !sums.contains(name)));
        let expected: Vec<_> = keys.iter().map(name).zip(1..).collect();
        let found: Vec<_> = sums.iter().map(|(n, sum)| (n.to_owned(), sum)).collect();
        assert_eq!(found, expected);
    }
}
