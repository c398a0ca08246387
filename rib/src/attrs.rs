//! The attribute sets in use: what was received or originated, and what neighbours were told.
//!
//! A full table of a million routes has some 140 000 distinct sets, so most of what a route carries
//! is shared ([`Interner`]). Each path in the Adj-RIB-In holds one reference to its set, each route in
//! an Adj-RIB-Out one to what was told.
//!
//! What the decision process compares is kept unpacked in a list of its own ([`Hot`]), so that comparing
//! two paths follows no pointer and reads nothing else. Nobody decides by what was told: those sets have
//! neither that nor a [`Scope`], and numbers of their own.
//!
//! A set that was *received* also tracks its next hop. Sets of our own do not: nobody forwards by them.

use core::{hint::black_box, num::NonZeroU32};

use redstart_bgp::types::{Aigp, Asn, Community, NextHop, Origin, PathAttributes, RouterId};

use crate::{
    ids::{AttrId, ToldId},
    interner::Interner,
    packed,
    tracking::{self, NextHopId, NextHops},
};

/// Where an attribute set comes from; part of its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Originated here.
    Own,
    /// Received; the link where its next hop counts, if that is a link-local address.
    Received(Option<Link>),
    /// Made by an import policy from one that was received and that it keeps in use: another policy
    /// begins there again.
    Imported {
        /// What was received.
        received: AttrId,
        /// As for a received one.
        link: Option<Link>,
    },
}

/// The kernel's index of a link, which is never 0.
type Link = NonZeroU32;

/// What the decision process reads of an attribute set. Never in two lines of the cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub(crate) struct Hot {
    /// LOCAL_PREF, 100 where there is none.
    pub(crate) local_pref: u32,
    /// MULTI_EXIT_DISC, 0 where there is none (RFC 4271 section 9.1.2.2 c).
    pub(crate) med: u32,
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
    /// Whether it has AIGP (RFC 7311), which is rare: see [`AttrStore::aigp`].
    pub(crate) has_aigp: bool,
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
            neighbor_as: attrs.as_path.first_as().map_or(0, |asn| asn.0),
            originator_id: attrs.originator_id.map_or(0, |id| id.0.to_bits()),
            path_len: u16::try_from(attrs.as_path.hop_count()).unwrap_or(u16::MAX),
            cluster_len: u16::try_from(attrs.cluster_list.len()).unwrap_or(u16::MAX),
            origin: attrs.origin,
            has_aigp: attrs.aigp.is_some(),
            long_lived_stale: attrs.has_community(Community::LLGR_STALE),
            next_hop,
        }
    }
}

/// Every attribute set in use.
#[derive(Debug)]
pub(crate) struct AttrStore {
    sets: Interner<Scope, Hot>,
    told: Interner<(), ()>,
    pub(crate) next_hops: NextHops,
}

/// The link that a next hop belongs to, received over a session on `interface`.
fn link(next_hop: Option<NextHop>, interface: Option<u32>) -> Option<Link> {
    tracking::scope(next_hop?, interface).and_then(Link::new)
}

impl AttrStore {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            sets: Interner::new(seed),
            told: Interner::new(seed),
            next_hops: NextHops::new(seed),
        }
    }

    /// How many sets are in use.
    pub(crate) fn len(&self) -> usize {
        self.sets.len() + self.told.len()
    }

    fn intern(&mut self, attrs: &PathAttributes, scope: Scope) -> AttrId {
        let (next_hops, mut is_new) = (&mut self.next_hops, false);
        let id = self.sets.intern(attrs, scope, || {
            is_new = true;
            let next_hop = match (scope, attrs.next_hop) {
                (Scope::Received(link) | Scope::Imported { link, .. }, Some(next_hop)) => {
                    Some(next_hops.acquire(next_hop, link.map(Link::get)))
                }
                _ => None,
            };
            Hot::of(attrs, next_hop)
        });
        if let (true, Scope::Imported { received, .. }) = (is_new, scope) {
            self.sets.retain(received);
        }
        id
    }

    /// The id of a set of our own, with one more reference that the caller must
    /// [`release`](Self::release).
    pub(crate) fn intern_own(&mut self, attrs: &PathAttributes) -> AttrId {
        self.intern(attrs, Scope::Own)
    }

    /// As [`intern_own`](Self::intern_own), for a set received over a session on `interface`.
    pub(crate) fn intern_received(
        &mut self,
        attrs: &PathAttributes,
        interface: Option<u32>,
    ) -> AttrId {
        let link = link(attrs.next_hop, interface);
        self.intern(attrs, Scope::Received(link))
    }

    /// As [`intern_own`](Self::intern_own), for what an import policy made of `received`.
    pub(crate) fn intern_imported(
        &mut self,
        attrs: &PathAttributes,
        received: AttrId,
        interface: Option<u32>,
    ) -> AttrId {
        let link = link(attrs.next_hop, interface);
        self.intern(attrs, Scope::Imported { received, link })
    }

    /// The set that was received, whatever an import policy made of it.
    pub(crate) fn received(&self, id: AttrId) -> AttrId {
        match self.sets.key(id) {
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
        self.sets.retain(id)
    }

    /// One reference fewer; at zero the set and its hold on the next hop are gone.
    pub(crate) fn release(&mut self, id: AttrId) {
        let Some((scope, hot)) = self.sets.release(id) else {
            return;
        };
        if let Some(next_hop) = hot.next_hop.take() {
            self.next_hops.release(next_hop);
        }
        if let Scope::Imported { received, .. } = scope {
            self.release(received);
        }
    }

    pub(crate) fn get(&self, id: AttrId) -> PathAttributes {
        self.sets.get(id)
    }

    pub(crate) fn hot(&self, id: AttrId) -> &Hot {
        self.sets.value(id)
    }

    /// Has the memory fetched that deciding about these takes, for all of them side by side.
    pub(crate) fn fetch(&self, ids: impl Iterator<Item = AttrId>) {
        let both = |id| self.sets.refs(id).wrapping_add(self.hot(id).med);
        black_box(ids.map(both).fold(0, u32::wrapping_add));
    }

    /// ORIGINATOR_ID (RFC 4456).
    pub(crate) fn originator(&self, id: AttrId) -> Option<RouterId> {
        let id = self.hot(id).originator_id;
        (id != 0).then(|| RouterId(id.into()))
    }

    /// The metric in AIGP (RFC 7311).
    pub(crate) fn aigp(&self, id: AttrId) -> Option<u64> {
        self.get(id).aigp.as_ref().and_then(Aigp::metric)
    }

    /// Tells a set from those that had its number before.
    pub(crate) fn birth(&self, id: AttrId) -> u32 {
        self.sets.birth(id)
    }

    /// Whether an AS is in the path.
    pub(crate) fn passed(&self, id: AttrId, asn: Asn) -> bool {
        packed::has_passed(self.sets.packed(id), asn)
    }

    /// What a neighbour is told, with one more reference that the caller must
    /// [`release_told`](Self::release_told).
    pub(crate) fn tell(&mut self, attrs: &PathAttributes) -> ToldId {
        ToldId(self.told.intern(attrs, (), || ()))
    }

    /// One more reference to what is told already.
    pub(crate) fn retain_told(&mut self, id: ToldId) -> ToldId {
        ToldId(self.told.retain(id.0))
    }

    /// Has the memory fetched that letting go of these takes.
    pub(crate) fn fetch_told(&self, ids: impl Iterator<Item = ToldId>) {
        let refs = ids.map(|id| self.told.refs(id.0));
        black_box(refs.fold(0, u32::wrapping_add));
    }

    /// One reference fewer.
    pub(crate) fn release_told(&mut self, id: ToldId) {
        self.told.release(id.0);
    }

    /// Tells what is told from what had its number before.
    pub(crate) fn birth_of_told(&self, id: ToldId) -> u32 {
        self.told.birth(id.0)
    }

    /// Whether what was told then is still told to somebody.
    pub(crate) fn is_told(&self, id: ToldId, birth: u32) -> bool {
        self.told.is_in_use(id.0, birth)
    }

    /// The next hop that is told.
    pub(crate) fn told_next_hop(&self, id: ToldId) -> Option<NextHop> {
        packed::next_hop(self.told.packed(id.0))
    }

    /// What was told.
    pub(crate) fn told(&self, id: ToldId) -> PathAttributes {
        self.told.get(id.0)
    }
}

#[cfg(test)]
mod tests {
    use redstart_bgp::types::AsPath;

    use super::*;
    use crate::index::AHEAD;

    fn attrs(asn: u32, next_hop: &str) -> PathAttributes {
        PathAttributes {
            as_path: AsPath::sequence([Asn(asn)]),
            next_hop: Some(NextHop::from(next_hop.parse::<std::net::IpAddr>().unwrap())),
            ..PathAttributes::default()
        }
    }

    /// Two in a line of the cache.
    #[test]
    fn what_decisions_read_is_small() {
        assert_eq!(size_of::<Hot>(), 32);
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
        // Numbers are free when enough of them are no longer in use.
        let more = (10..10 + u32::try_from(AHEAD).unwrap())
            .map(|asn| store.intern_received(&attrs(asn, "10.0.0.1"), None));
        let more: Vec<AttrId> = more.collect();
        more.iter().for_each(|id| store.release(*id));
        let d = store.intern_received(&attrs(3, "10.0.0.1"), None);
        assert!(
            d == a || d == c || more.contains(&d),
            "slots are used again"
        );
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
