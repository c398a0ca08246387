//! The routes of this speaker's own: in the tables like everybody's, from a peer that is nobody.

use std::collections::BTreeMap;

use redstart_bgp::types::{PathAttributes, Prefix, PrefixKey};

use super::{Rib, decide::Shared, ingest, pull};
use crate::{ids::PeerIndex, origination::Origination, paths::Path, table::Table};

impl Rib {
    /// The routes of this speaker, all of them: what is not in the map is withdrawn, what did not
    /// change is left alone.
    pub fn set_originations(&mut self, originations: BTreeMap<Prefix, Origination>) {
        let before = core::mem::replace(&mut self.originations, originations);
        let gone = before.keys().copied();
        let gone = gone.filter(|prefix| !self.originations.contains_key(prefix));
        for prefix in gone.collect::<Vec<_>>() {
            self.take_own(prefix);
        }
        let differing = self.originations.iter().filter_map(|(prefix, now)| {
            let was = before.get(prefix);
            (was != Some(now)).then_some((*prefix, was.is_some()))
        });
        for (prefix, changed) in differing.collect::<Vec<_>>() {
            self.put_own(prefix, changed);
        }
    }

    /// One route of this speaker: it is as it says from now on, or withdrawn. For a few among many,
    /// where [`set_originations`](Self::set_originations) looks at all.
    pub fn set_origination(&mut self, prefix: Prefix, origination: Option<Origination>) {
        let Some(origination) = origination else {
            if self.originations.remove(&prefix).is_some() {
                self.take_own(prefix);
            }
            return;
        };
        let was = self.originations.get(&prefix);
        if was != Some(&origination) {
            let changed = was.is_some();
            self.originations.insert(prefix, origination);
            self.put_own(prefix, changed);
        }
    }

    /// The routes of this speaker.
    #[must_use]
    pub const fn originations(&self) -> &BTreeMap<Prefix, Origination> {
        &self.originations
    }

    fn take_own(&mut self, prefix: Prefix) {
        match prefix {
            Prefix::V4(prefix) => take_own(&mut self.v4, &mut self.shared, prefix),
            Prefix::V6(prefix) => take_own(&mut self.v6, &mut self.shared, prefix),
        }
    }

    fn put_own(&mut self, prefix: Prefix, changed: bool) {
        match prefix {
            Prefix::V4(prefix) => put_own(&mut self.v4, &mut self.shared, prefix, changed),
            Prefix::V6(prefix) => put_own(&mut self.v6, &mut self.shared, prefix, changed),
        }
    }
}

fn take_own<P: PrefixKey>(table: &mut Table<P>, shared: &mut Shared, prefix: P) {
    if let Some(id) = table.find(prefix) {
        ingest::remove(table, shared, id, PeerIndex::LOCAL, 0);
    }
}

/// Adds a route of our own, or has everybody look at it again if it was there and `changed`.
fn put_own<P: PrefixKey>(table: &mut Table<P>, shared: &mut Shared, prefix: P, changed: bool) {
    if changed && let Some(id) = table.find(prefix) {
        pull::mark_for_all(table, shared, prefix);
        table.fib_dirty.insert(id);
        return;
    }
    let attr = shared.attrs.intern_own(&PathAttributes::default());
    let path = Path::new(attr, PeerIndex::LOCAL, 0, shared.now);
    ingest::upsert(table, shared, prefix, path);
    shared.attrs.release(attr);
}
