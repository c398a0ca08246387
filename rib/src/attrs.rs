//! The attribute interner: equal attribute sets are stored once and named by four octets.
//!
//! A full table of a million routes has some 140 000 distinct sets, so most of what a route carries
//! is shared. A set is counted: each path in the Adj-RIB-In and each route in an Adj-RIB-Out holds
//! one reference, and at zero it is gone.
//!
//! What the decision process compares is copied out next to the count ([`Hot`]), so that comparing
//! two paths follows no pointer.
//!
//! A set that was *received* also tracks its next hop. Sets of our own and sets that were made for
//! sending do not: nobody forwards by them. The two kinds are kept apart by [`Scope`].

use core::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use redstart_bgp::types::{Aigp, Community, Origin, PathAttributes};

use crate::{
    ids::AttrId,
    tracking::{self, NextHopId, NextHops},
};

/// What an attribute set is kept for; part of its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Made here: originated, or to be sent.
    Own,
    /// Received; the link where its next hop counts, if that is a link-local address.
    Received(Option<u32>),
    /// Made by an import policy from one that was received and that it keeps in use: another policy
    /// begins there again.
    Imported {
        /// What was received.
        received: AttrId,
        /// As for a received one.
        link: Option<u32>,
    },
}

/// What the decision process reads of an attribute set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hot {
    /// LOCAL_PREF, 100 where there is none.
    pub(crate) local_pref: u32,
    /// MULTI_EXIT_DISC, 0 where there is none (RFC 4271 section 9.1.2.2 c).
    pub(crate) med: u32,
    /// The metric in AIGP (RFC 7311).
    pub(crate) aigp: Option<u64>,
    /// The neighbouring AS; 0 where the path is empty or starts with a set.
    pub(crate) neighbor_as: u32,
    /// ORIGINATOR_ID; 0, which is not a valid identifier, where there is none.
    pub(crate) originator_id: u32,
    /// Length of the AS_PATH.
    pub(crate) path_len: u16,
    /// Length of the CLUSTER_LIST.
    pub(crate) cluster_len: u16,
    /// ORIGIN.
    pub(crate) origin: Origin,
    /// Whether it carries LLGR_STALE (RFC 9494).
    pub(crate) long_lived_stale: bool,
    /// The next hop, for received routes.
    pub(crate) next_hop: Option<NextHopId>,
}

impl Hot {
    fn of(attrs: &PathAttributes, next_hop: Option<NextHopId>) -> Self {
        // Both lengths come from messages of at most 64 KiB: they fit.
        Self {
            local_pref: attrs.effective_local_pref(),
            med: attrs.med.unwrap_or(0),
            aigp: attrs.aigp.as_ref().and_then(Aigp::metric),
            neighbor_as: attrs.as_path.first_as().map_or(0, |asn| asn.0),
            originator_id: attrs.originator_id.map_or(0, |id| id.0.to_bits()),
            path_len: u16::try_from(attrs.as_path.hop_count()).unwrap_or(u16::MAX),
            cluster_len: u16::try_from(attrs.cluster_list.len()).unwrap_or(u16::MAX),
            origin: attrs.origin,
            long_lived_stale: attrs.has_community(Community::LLGR_STALE),
            next_hop,
        }
    }
}

#[derive(Debug)]
struct Slot {
    attrs: Arc<PathAttributes>,
    scope: Scope,
    refs: u32,
    hot: Hot,
}

/// Every attribute set in use.
#[derive(Debug)]
pub(crate) struct AttrStore {
    slots: Vec<Slot>,
    free: Vec<AttrId>,
    index: HashTable<AttrId>,
    hasher: FixedState,
    /// What a free slot holds, so that it keeps no dead set alive.
    vacant: Arc<PathAttributes>,
    pub(crate) next_hops: NextHops,
}

fn hash(hasher: &FixedState, attrs: &PathAttributes, scope: Scope) -> u64 {
    let mut state = hasher.build_hasher();
    attrs.hash(&mut state);
    scope.hash(&mut state);
    state.finish()
}

impl AttrStore {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            vacant: Arc::default(),
            next_hops: NextHops::new(seed),
        }
    }

    /// How many sets are in use.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The id of this set, with one more reference that the caller must [`release`](Self::release).
    pub(crate) fn intern(&mut self, attrs: &Arc<PathAttributes>, scope: Scope) -> AttrId {
        let hash_of = hash(&self.hasher, attrs, scope);
        let slots = &mut self.slots;
        let same = |id: &AttrId| {
            let slot = &slots[id.index()];
            slot.scope == scope && (Arc::ptr_eq(&slot.attrs, attrs) || slot.attrs == *attrs)
        };
        if let Some(id) = self.index.find(hash_of, same).copied() {
            slots[id.index()].refs += 1;
            return id;
        }
        let next_hop = match (scope, attrs.next_hop) {
            (Scope::Received(link) | Scope::Imported { link, .. }, Some(next_hop)) => {
                Some(self.next_hops.acquire(next_hop, link))
            }
            _ => None,
        };
        if let Scope::Imported { received, .. } = scope {
            slots[received.index()].refs += 1;
        }
        let slot = Slot {
            attrs: Arc::clone(attrs),
            scope,
            refs: 1,
            hot: Hot::of(attrs, next_hop),
        };
        let id = match self.free.pop() {
            Some(id) => {
                slots[id.index()] = slot;
                id
            }
            None => {
                slots.push(slot);
                AttrId::new(slots.len() - 1)
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash_of, id, |id| {
            let slot = &slots[id.index()];
            hash(hasher, &slot.attrs, slot.scope)
        });
        id
    }

    /// As [`intern`](Self::intern), for a set received over a session on `interface`.
    pub(crate) fn intern_received(
        &mut self,
        attrs: &Arc<PathAttributes>,
        interface: Option<u32>,
    ) -> AttrId {
        let link = attrs
            .next_hop
            .and_then(|next_hop| tracking::scope(next_hop, interface));
        self.intern(attrs, Scope::Received(link))
    }

    /// As [`intern`](Self::intern), for what an import policy made of `received`.
    pub(crate) fn intern_imported(
        &mut self,
        attrs: &Arc<PathAttributes>,
        received: AttrId,
        interface: Option<u32>,
    ) -> AttrId {
        let link = attrs
            .next_hop
            .and_then(|next_hop| tracking::scope(next_hop, interface));
        self.intern(attrs, Scope::Imported { received, link })
    }

    /// The set that was received, whatever an import policy made of it.
    pub(crate) fn received(&self, id: AttrId) -> AttrId {
        match self.slots[id.index()].scope {
            Scope::Imported { received, .. } => received,
            Scope::Own | Scope::Received(_) => id,
        }
    }

    /// Whether an import policy made the set of another one.
    pub(crate) fn is_imported(&self, id: AttrId) -> bool {
        self.received(id) != id
    }

    /// One more reference to a set that the caller knows to be in use.
    pub(crate) fn retain(&mut self, id: AttrId) -> AttrId {
        self.slots[id.index()].refs += 1;
        id
    }

    /// One reference fewer; at zero the set and its hold on the next hop are gone.
    pub(crate) fn release(&mut self, id: AttrId) {
        let slot = &mut self.slots[id.index()];
        slot.refs -= 1;
        if slot.refs > 0 {
            return;
        }
        let hash_of = hash(&self.hasher, &slot.attrs, slot.scope);
        if let Ok(found) = self.index.find_entry(hash_of, |other| *other == id) {
            found.remove();
        }
        if let Some(next_hop) = slot.hot.next_hop.take() {
            self.next_hops.release(next_hop);
        }
        slot.attrs = Arc::clone(&self.vacant);
        let scope = core::mem::replace(&mut slot.scope, Scope::Own);
        self.free.push(id);
        if let Scope::Imported { received, .. } = scope {
            self.release(received);
        }
    }

    pub(crate) fn get(&self, id: AttrId) -> &Arc<PathAttributes> {
        &self.slots[id.index()].attrs
    }

    pub(crate) fn hot(&self, id: AttrId) -> &Hot {
        &self.slots[id.index()].hot
    }
}

#[cfg(test)]
mod tests {
    use redstart_bgp::types::{AsPath, Asn, NextHop};

    use super::*;

    fn attrs(asn: u32, next_hop: &str) -> Arc<PathAttributes> {
        Arc::new(PathAttributes {
            as_path: AsPath::sequence([Asn(asn)]),
            next_hop: Some(NextHop::from(next_hop.parse::<std::net::IpAddr>().unwrap())),
            ..PathAttributes::default()
        })
    }

    #[test]
    fn equal_sets_are_one_and_the_last_release_frees_it() {
        let mut store = AttrStore::new(1);
        let a = store.intern_received(&attrs(1, "10.0.0.1"), None);
        let b = store.intern_received(&attrs(1, "10.0.0.1"), Some(7));
        let c = store.intern_received(&attrs(2, "10.0.0.1"), None);
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!((store.len(), store.next_hops.len()), (2, 1));
        store.release(a);
        store.release(c);
        assert_eq!((store.len(), store.next_hops.len()), (1, 1));
        store.release(b);
        assert_eq!((store.len(), store.next_hops.len()), (0, 0));
        assert_eq!(store.next_hops.pending(), 0);
        let d = store.intern_received(&attrs(3, "10.0.0.1"), None);
        assert!(d == a || d == c, "slots are used again");
    }

    #[test]
    fn a_link_local_next_hop_is_another_one_on_each_link() {
        let mut store = AttrStore::new(1);
        let a = store.intern_received(&attrs(1, "fe80::1"), Some(2));
        let b = store.intern_received(&attrs(1, "fe80::1"), Some(3));
        assert_ne!(a, b);
        assert_eq!(store.next_hops.len(), 2);
    }

    #[test]
    fn what_a_policy_makes_keeps_what_it_was_made_from() {
        let mut store = AttrStore::new(1);
        let received = store.intern_received(&attrs(1, "10.0.0.1"), None);
        let made = store.intern_imported(&attrs(1, "10.0.0.9"), received, None);
        assert_eq!(store.received(made), received);
        assert_eq!(store.received(received), received);
        store.release(received);
        assert_eq!((store.len(), store.next_hops.len()), (2, 2));
        store.release(made);
        assert_eq!((store.len(), store.next_hops.len()), (0, 0));
    }

    #[test]
    fn what_is_made_to_be_sent_tracks_no_next_hop() {
        let mut store = AttrStore::new(1);
        let sent = store.intern(&attrs(1, "10.0.0.1"), Scope::Own);
        assert_eq!(store.next_hops.len(), 0);
        let received = store.intern_received(&attrs(1, "10.0.0.1"), None);
        assert_ne!(sent, received);
        assert_eq!(store.next_hops.len(), 1);
    }
}
