//! Each distinct route once: a million prefixes share a handful of gateways.

use core::hash::Hash;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

/// The values that are in use, and some that were.
#[derive(Debug)]
pub(super) struct Interner<T> {
    known: HashSet<Arc<T>, FixedState>,
    /// The one that was asked for last: often it is asked for again.
    last: Option<Arc<T>>,
    purge_at: usize,
}

impl<T: Eq + Hash> Interner<T> {
    const PURGE_MIN: usize = 64;

    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            known: HashSet::with_hasher(hasher),
            last: None,
            purge_at: Self::PURGE_MIN,
        }
    }

    pub(super) fn intern(&mut self, value: T) -> Arc<T> {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == value) {
            return Arc::clone(last);
        }
        let found = self.find_or_insert(value);
        self.last = Some(Arc::clone(&found));
        found
    }

    fn find_or_insert(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.known.get(&value) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.purge_at {
            self.known.retain(|v| Arc::strong_count(v) > 1);
            self.purge_at = Self::PURGE_MIN.max(self.known.len() * 2);
        }
        let value = Arc::new(value);
        self.known.insert(Arc::clone(&value));
        value
    }

    pub(super) fn any(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.known.iter().any(|v| matches(v))
    }
}
