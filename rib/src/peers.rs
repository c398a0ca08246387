//! The peers as the RIB knows them: what a session negotiated, its policies, its counters and its
//! Adj-RIB-Out.
//!
//! A peer has a slot while its session is up, or while routes of it are kept over its restart
//! (RFC 4724 section 4.2). Paths name it by that slot.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use redstart_bgp::{
    session::PeerId,
    types::{Asn, Family, FamilySet, NextHop, RouterId},
};

use crate::{
    adj_out::AdjOut,
    ids::{PeerIndex, PrefixId},
    import::RefusalCounts,
    policy::{CompiledImport, ExportPolicy, ImportPolicy, family_index},
};

/// Whether a session leaves the AS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionKind {
    /// To another AS.
    Ebgp,
    /// Within the AS.
    Ibgp,
}

/// What we put in as our own next hop. A family without one cannot be advertised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextHopSelf {
    /// For IPv4 prefixes; an IPv6 one where RFC 8950 was negotiated.
    pub v4: Option<NextHop>,
    /// For IPv6 prefixes.
    pub v6: Option<NextHop>,
}

impl NextHopSelf {
    /// Our next hop for prefixes of `family`.
    #[must_use]
    pub const fn for_family(&self, family: Family) -> Option<NextHop> {
        match family {
            Family::Ipv4Unicast => self.v4,
            Family::Ipv6Unicast => self.v6,
        }
    }
}

/// What the RIB must know of an established session. Fixed while it is up, but for the policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// External or internal.
    pub kind: SessionKind,
    /// The AS that we show the peer.
    pub local_as: Asn,
    /// The peer's AS.
    pub remote_as: Asn,
    /// The peer's BGP Identifier.
    pub router_id: RouterId,
    /// The peer's address.
    pub remote_addr: IpAddr,
    /// Our BGP Identifier, which is also our cluster id.
    pub local_router_id: RouterId,
    /// Our own next hops.
    pub next_hop_self: NextHopSelf,
    /// What was negotiated.
    pub families: FamilySet,
    /// The link of the session, where the peer is directly connected.
    pub interface: Option<u32>,
    /// Whether an external peer's paths must start with its AS. Off for route servers (RFC 7947).
    pub enforce_first_as: bool,
    /// What to take.
    pub import: ImportPolicy,
    /// What to give.
    pub export: ExportPolicy,
}

impl PeerInfo {
    /// Whether routes kept from a session with `self` mean the same on one with `other`.
    fn same_neighbor(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.remote_as == other.remote_as
            && self.router_id == other.router_id
            && self.remote_addr == other.remote_addr
            && self.interface == other.interface
    }
}

/// What becomes of a peer's routes when its session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerDown {
    /// They are gone.
    Flush,
    /// Those of these families stay, marked stale (RFC 4724 section 4.2).
    RetainStale(FamilySet),
}

/// There are 65535 peers already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the routing table holds no more than 65535 peers")]
pub struct TooManyPeers;

/// Routes of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the Adj-RIB-In, refused ones included.
    pub received: usize,
    /// Refused, by reason.
    pub refused: RefusalCounts,
    /// Kept over a restart and not confirmed yet.
    pub stale: usize,
    /// Best for their prefix.
    pub best: usize,
    /// In the Adj-RIB-Out.
    pub exported: usize,
}

impl Counts {
    /// Taken: candidates, if their next hop can be reached.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.received - self.refused.total()
    }
}

impl core::ops::Add for Counts {
    type Output = Self;

    fn add(mut self, rhs: Self) -> Self {
        self.received += rhs.received;
        self.refused += rhs.refused;
        self.stale += rhs.stale;
        self.best += rhs.best;
        self.exported += rhs.exported;
        self
    }
}

/// One peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) info: PeerInfo,
    pub(crate) import: CompiledImport,
    /// Whether there is a session. If not, the slot holds the owner of stale routes.
    pub(crate) up: bool,
    /// By [`family_index`].
    pub(crate) out: [AdjOut; 2],
    pub(crate) counts: [Counts; 2],
    /// Families that have not been told the end of their initial table yet.
    pub(crate) end_of_rib_due: FamilySet,
    /// Whether it is in the list of ready peers.
    ready: bool,
}

impl Peer {
    /// Whether there is something to look at for it.
    pub(crate) fn has_dirty(&self) -> bool {
        self.out.iter().any(|out| !out.dirty.is_empty())
    }
}

/// Every peer, by slot.
#[derive(Debug)]
pub(crate) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    index: HashMap<PeerId, PeerIndex, FixedState>,
    ready: Vec<PeerIndex>,
    /// How many peers take learned routes.
    transits: usize,
}

impl Peers {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            index: HashMap::with_hasher(FixedState::with_seed(seed)),
            ready: Vec::new(),
            transits: 0,
        }
    }

    pub(crate) fn find(&self, id: PeerId) -> Option<PeerIndex> {
        self.index.get(&id).copied()
    }

    pub(crate) fn get(&self, index: PeerIndex) -> Option<&Peer> {
        self.slots.get(index.index())?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, index: PeerIndex) -> Option<&mut Peer> {
        self.slots.get_mut(index.index())?.as_deref_mut()
    }

    /// Whether a peer that is there must be flushed before `info` may take its place.
    pub(crate) fn is_another(&self, id: PeerId, info: &PeerInfo) -> bool {
        self.find(id)
            .and_then(|index| self.get(index))
            .is_some_and(|peer| peer.up || !peer.info.same_neighbor(info))
    }

    /// The session with `id` is up. Stale routes of the same neighbour stay.
    pub(crate) fn insert(&mut self, id: PeerId, info: PeerInfo) -> Result<PeerIndex, TooManyPeers> {
        let vacant = || self.slots.iter().position(Option::is_none);
        let known = self.find(id);
        let index = match known.or_else(|| vacant().and_then(PeerIndex::new)) {
            Some(index) => index,
            None => PeerIndex::new(self.slots.len()).ok_or(TooManyPeers)?,
        };
        if index.index() >= self.slots.len() {
            self.slots.push(None);
        }
        let counts = self.get(index).map(|peer| peer.counts).unwrap_or_default();
        self.transits += usize::from(info.export.transit);
        self.index.insert(id, index);
        self.slots[index.index()] = Some(Box::new(Peer {
            id,
            import: CompiledImport::new(&info.import),
            end_of_rib_due: info.families,
            info,
            up: true,
            out: Default::default(),
            counts,
            ready: false,
        }));
        Ok(index)
    }

    /// The session is over; the caller has emptied the Adj-RIB-Out.
    pub(crate) fn set_down(&mut self, index: PeerIndex) {
        let Some(peer) = self.get_mut(index).filter(|peer| peer.up) else {
            return;
        };
        peer.up = false;
        let transit = peer.info.export.transit;
        self.transits -= usize::from(transit);
    }

    /// Frees the slot of a peer without session and routes.
    pub(crate) fn remove_if_gone(&mut self, index: PeerIndex) {
        let gone = |peer: &&Peer| !peer.up && peer.counts.iter().all(|c| c.received == 0);
        if let Some(id) = self.get(index).filter(gone).map(|peer| peer.id) {
            self.index.remove(&id);
            self.slots[index.index()] = None;
        }
    }

    /// Replaces the policies of a peer.
    pub(crate) fn set_policies(
        &mut self,
        index: PeerIndex,
        import: ImportPolicy,
        export: ExportPolicy,
    ) {
        let mut transits = self.transits;
        if let Some(peer) = self.get_mut(index) {
            if peer.up {
                transits -= usize::from(peer.info.export.transit);
                transits += usize::from(export.transit);
            }
            peer.import = CompiledImport::new(&import);
            peer.info.import = import;
            peer.info.export = export;
        }
        self.transits = transits;
    }

    /// Counters of a peer; `None` for routes of our own.
    pub(crate) fn counts_mut(&mut self, index: PeerIndex, family: Family) -> Option<&mut Counts> {
        Some(&mut self.get_mut(index)?.counts[family_index(family)])
    }

    /// Whether any peer takes learned routes.
    pub(crate) const fn any_transit(&self) -> bool {
        self.transits > 0
    }

    /// Marks a prefix for every peer that `concerned` picks.
    pub(crate) fn mark(&mut self, family: Family, id: PrefixId, concerned: impl Fn(&Peer) -> bool) {
        for index in (0..self.slots.len()).filter_map(PeerIndex::new) {
            if self.get(index).is_some_and(&concerned) {
                self.mark_one(index, family, id);
            }
        }
    }

    /// Marks a prefix for one peer.
    pub(crate) fn mark_one(&mut self, index: PeerIndex, family: Family, id: PrefixId) {
        let Some(peer) = self.get_mut(index) else {
            return;
        };
        if peer.up && peer.info.families.contains(family) {
            peer.out[family_index(family)].dirty.insert(id);
            self.set_ready(index);
        }
    }

    /// The peer has something to pull.
    pub(crate) fn set_ready(&mut self, index: PeerIndex) {
        let Some(peer) = self.get_mut(index) else {
            return;
        };
        if !core::mem::replace(&mut peer.ready, true) {
            self.ready.push(index);
        }
    }

    /// Every peer has something to pull.
    pub(crate) fn set_all_ready(&mut self) {
        for index in (0..self.slots.len()).filter_map(PeerIndex::new) {
            self.set_ready(index);
        }
    }

    /// Peers with something to pull, each once.
    pub(crate) fn take_ready(&mut self) -> Vec<PeerIndex> {
        let mut ready = core::mem::take(&mut self.ready);
        // A slot may have changed hands since: whoever has it now is in the list at most once.
        ready.retain(|index| {
            self.get_mut(*index)
                .is_some_and(|peer| core::mem::take(&mut peer.ready))
        });
        ready
    }
}
