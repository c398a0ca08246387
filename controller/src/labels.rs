//! The labels of an object, kept small.
//!
//! Every Node and every Service of the cluster is kept with its labels, for any selector may ask for
//! them. A map of strings takes some two kilobytes for a dozen labels, most of it room for more and
//! the allocator's own; here all keys and values are one text.

use std::{collections::BTreeMap, fmt, iter};

/// The labels of an object, in the order of their keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Key, value, key, value, with a [`BREAK`] behind each.
    text: Box<str>,
}

/// What no label has in it. The API server lets through letters, digits and a few signs.
const BREAK: char = '\0';

impl Labels {
    /// The value of the label `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// Whether there is a label `key`.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Every label, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.text.split_terminator(BREAK);
        iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }
}

impl From<&BTreeMap<String, String>> for Labels {
    /// A label with a [`BREAK`] in it, which can stand in a manifest alone, is none.
    fn from(labels: &BTreeMap<String, String>) -> Self {
        let are_sound =
            |(key, value): &(&String, &String)| !key.contains(BREAK) && !value.contains(BREAK);
        let mut text = String::new();
        for part in labels
            .iter()
            .filter(are_sound)
            .flat_map(|(key, value)| [key, value])
        {
            text.push_str(part);
            text.push(BREAK);
        }
        Self { text: text.into() }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let labels = labels.into_iter().map(|(k, v)| (k.into(), v.into()));
        Self::from(&labels.collect::<BTreeMap<String, String>>())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found() {
        let labels: Labels = [
            ("zone", "1"),
            ("empty", ""),
            ("", "no key"),
            ("größe", "XL"),
        ]
        .into_iter()
        .collect();
        assert_eq!(labels.get("zone"), Some("1"));
        assert_eq!(labels.get("empty"), Some(""));
        assert_eq!(labels.get(""), Some("no key"));
        assert_eq!(labels.get("größe"), Some("XL"));
        assert_eq!(labels.get("1"), None);
        assert!(!labels.contains_key("zon") && labels.contains_key("empty"));
        let keys: Vec<&str> = labels.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["", "empty", "größe", "zone"]);
        assert_eq!(Labels::default().iter().count(), 0);
        let odd: Labels = [("a\0b", "c"), ("d", "e\0"), ("f", "g")]
            .into_iter()
            .collect();
        assert_eq!(odd.iter().collect::<Vec<_>>(), [("f", "g")]);
    }

    #[test]
    fn the_order_in_which_they_came_makes_no_difference() {
        let one: Labels = [("a", "bc"), ("d", "e")].into_iter().collect();
        let same: Labels = [("d", "e"), ("a", "bc")].into_iter().collect();
        let other: Labels = [("a", "b"), ("cd", "e")].into_iter().collect();
        assert_eq!(one, same);
        assert_ne!(one, other, "the same text, cut elsewhere");
        assert_eq!(format!("{one:?}"), r#"{"a": "bc", "d": "e"}"#);
    }
}
