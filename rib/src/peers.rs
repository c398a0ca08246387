//! The peers as the RIB knows them: what a session negotiated, its policies, its counters and its
//! Adj-RIB-Out.
//!
//! A peer has a slot while its session is up, or while routes of it are kept over its restart
//! (RFC 4724 section 4.2). Paths name it by that slot.

use std::{net::IpAddr, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use redstart_bgp::{
    session::PeerId,
    types::{Asn, Family, FamilySet, NextHop, Prefix, Role, RouterId},
};

use crate::{
    adj_out::AdjOut,
    groups::{Group, GroupIndex, Groups},
    ids::{PeerIndex, PrefixId, Words},
    import::RefusalCounts,
    limit::LimitState,
    policy::{
        CompiledImport, ExportPolicy, ImportPolicy, PeerPolicies, PeerRules, RouteSource,
        SafeDefault, Subject, family_index,
    },
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

/// Our end of a session, as far as it may become another while the session is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OurEnd {
    /// The AS that we are in.
    pub own_as: Asn,
    /// Our own next hops.
    pub next_hop_self: NextHopSelf,
    /// The subnet that we share with a directly connected peer, where it is known.
    pub subnet: Option<Prefix>,
}

/// What the RIB must know of an established session. Fixed while it is up, but for the policies and
/// [our end](OurEnd).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its name, for policies.
    pub name: Arc<str>,
    /// What its routes are to policies: [`RouteSource::Mesh`] or [`RouteSource::Router`].
    pub source: RouteSource,
    /// External or internal.
    pub kind: SessionKind,
    /// The AS that we show the peer.
    pub local_as: Asn,
    /// The AS that we are in: another one than we show it, where a number is kept up for its sake.
    pub own_as: Asn,
    /// The peer's AS.
    pub remote_as: Asn,
    /// The peer's BGP Identifier.
    pub router_id: RouterId,
    /// The peer's address.
    pub remote_addr: IpAddr,
    /// Our BGP Identifier.
    pub local_router_id: RouterId,
    /// Our own next hops.
    pub next_hop_self: NextHopSelf,
    /// What was negotiated.
    pub families: FamilySet,
    /// Families in which several paths for a prefix go to the peer (RFC 7911).
    pub add_path_send: FamilySet,
    /// Families in which the peer knows what LLGR_STALE means (RFC 9494).
    pub long_lived: FamilySet,
    /// Whether IPv4 routes may go to the peer with an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// What we are to an external peer (RFC 9234).
    pub role: Option<Role>,
    /// The link of the session, where the peer is directly connected.
    pub interface: Option<u32>,
    /// The subnet that we share with a directly connected peer, where it is known.
    pub subnet: Option<Prefix>,
    /// Whether an external peer's paths must start with its AS. Off for route servers (RFC 7947).
    pub enforce_first_as: bool,
    /// What to take.
    pub import: ImportPolicy,
    /// What to give.
    pub export: ExportPolicy,
    /// What policies say beyond that.
    pub policies: PeerPolicies,
    /// What else is special about the peer.
    pub rules: PeerRules,
}

impl PeerInfo {
    /// Our end of the session.
    pub(crate) const fn our_end(&self) -> OurEnd {
        OurEnd {
            own_as: self.own_as,
            next_hop_self: self.next_hop_self,
            subnet: self.subnet,
        }
    }

    /// The AS that the peer knows us by, if that stands before whatever it sends.
    pub(crate) fn local_as_received(&self) -> Option<Asn> {
        let other = self.kind == SessionKind::Ebgp && self.own_as != self.local_as;
        (self.rules.local_as_received && other).then_some(self.local_as)
    }

    /// The AS that we are in, if the peer is to see it behind the one that it knows us by.
    pub(crate) fn own_as_sent(&self) -> Option<Asn> {
        let other = self.kind == SessionKind::Ebgp && self.own_as != self.local_as;
        (self.rules.own_as_sent && other).then_some(self.own_as)
    }

    /// What an external peer is to us, if we have a role (RFC 9234).
    pub(crate) fn remote_role(&self) -> Option<Role> {
        let role = self.role.filter(|_| !self.is_internal());
        role.map(Role::counterpart)
    }

    /// What policies see of a route that it sent.
    pub(crate) fn subject(&self, family: Family) -> Subject<'_> {
        Subject {
            family,
            source: self.source,
            from: Some(&self.name),
        }
    }

    /// Whether learned routes may go there.
    pub(crate) fn takes_learned(&self) -> bool {
        let export = &self.policies.export;
        self.export.transit || export.may_override(SafeDefault::LearnedRoutes)
    }

    /// Whether the session stays within the AS.
    pub(crate) fn is_internal(&self) -> bool {
        self.kind == SessionKind::Ibgp
    }

    /// Whether AIGP means something on the session. RFC 7311 section 3.3: by default it does on
    /// internal sessions, and not on external ones.
    pub(crate) fn has_aigp(&self) -> bool {
        self.rules.aigp.unwrap_or_else(|| self.is_internal())
    }

    /// Whether we are a route server to it (RFC 7947), which only an external peer can have.
    pub(crate) fn is_route_server_client(&self) -> bool {
        self.rules.route_server_client && !self.is_internal()
    }

    /// The cluster that we reflect for. RFC 4456 section 7: a cluster with one reflector is
    /// identified by the reflector's BGP Identifier.
    pub(crate) fn cluster_id(&self) -> u32 {
        let default = self.local_router_id.0.to_bits();
        self.rules.cluster_id.unwrap_or(default)
    }

    /// Whether routes that an internal peer sent may go to this one.
    pub(crate) fn is_reflected_to(&self, from: &Self) -> bool {
        self.is_internal() && from.is_internal() && (self.rules.client || from.rules.client)
    }

    /// Whether routes kept from a session with `self` mean the same on one with `other`.
    fn same_neighbor(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.remote_as == other.remote_as
            && self.router_id == other.router_id
            && self.remote_addr == other.remote_addr
            && self.interface == other.interface
            && self.role == other.role
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

    /// Sent in the session that there is: what is kept of one before is not what the peer says now,
    /// and may be about to go.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.received - self.stale
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
    /// Families that it asked for again and has not been told the beginning of (RFC 7313).
    pub(crate) refresh_due: FamilySet,
    /// Families that it has been told the beginning of, and not the end.
    pub(crate) refreshing: FamilySet,
    /// Families that it asked for once more while it was answered.
    pub(crate) refresh_again: FamilySet,
    /// Those who are told the same.
    group: GroupIndex,
    /// Whether it is in the list of ready peers.
    ready: bool,
}

impl Peer {
    /// Whether there is something to look at for it.
    pub(crate) fn is_due(&self) -> bool {
        self.out.iter().any(AdjOut::is_due) || !self.refresh_due.is_empty()
    }

    /// Whether several paths for a prefix of `family` go to it.
    pub(crate) fn takes_paths(&self, family: Family) -> bool {
        self.info.add_path_send.contains(family)
    }

    /// Marks everything that it was told, to be said again between markers. How much that was.
    pub(crate) fn send_again(&mut self, family: Family) -> usize {
        // The initial table has an end of its own, and RFC 7313 section 4 forbids the other marker
        // before it.
        if !self.end_of_rib_due.contains(family) {
            self.refresh_due.insert(family);
        }
        self.out[family_index(family)].resend_all()
    }

    /// Where it stands with the number of routes that it may send.
    pub(crate) fn limit_state(&self, family: Family) -> LimitState {
        let counts = self.counts[family_index(family)];
        let Some(limit) = self.info.rules.limit(family) else {
            return LimitState::Within;
        };
        // Stale routes can pile up where each of many sessions ends before it has told its table.
        if limit.state(counts.stale) == LimitState::Exceeded {
            return LimitState::Exceeded;
        }
        limit.state(counts.sent())
    }
}

/// Every peer, by slot.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) slots: Vec<Option<Box<Peer>>>,
    index: HashMap<PeerId, PeerIndex, FixedState>,
    ready: Vec<PeerIndex>,
    groups: Groups,
    audience: Audience,
    /// By [`family_index`]: those of the audience that have a session with the family.
    listeners: [Vec<PeerIndex>; 2],
}

/// Who may have to be told learned routes: with nobody, changes of the Loc-RIB cost nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Audience {
    /// Some peer takes them.
    transit: bool,
    /// Some peer is a client: internal peers take routes of internal peers.
    reflection: bool,
    /// Some peer takes more than the best path.
    pub(crate) add_path: bool,
}

impl Audience {
    /// Whether `peer` may belong to it.
    pub(crate) fn contains(self, peer: &Peer) -> bool {
        peer.info.takes_learned() || (self.reflection && peer.info.is_internal())
    }
}

impl Peers {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            index: HashMap::with_hasher(FixedState::with_seed(seed)),
            ready: Vec::new(),
            groups: Groups::default(),
            audience: Audience::default(),
            listeners: Default::default(),
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
        let before = self.get(index).map(|peer| (peer.counts, peer.group));
        let counts = before.map(|(counts, _)| counts).unwrap_or_default();
        if let Some((_, group)) = before {
            self.groups.leave(group);
        }
        let group = self.groups.join(info.terms());
        self.index.insert(id, index);
        self.slots[index.index()] = Some(Box::new(Peer {
            id,
            import: CompiledImport::new(&info.import),
            end_of_rib_due: info.families,
            refresh_due: FamilySet::EMPTY,
            refreshing: FamilySet::EMPTY,
            refresh_again: FamilySet::EMPTY,
            info,
            up: true,
            out: Default::default(),
            counts,
            group,
            ready: false,
        }));
        self.groups.forget();
        self.count_audience();
        Ok(index)
    }

    /// The session is over; the caller has emptied the Adj-RIB-Out.
    pub(crate) fn set_down(&mut self, index: PeerIndex) {
        let Some(peer) = self.get_mut(index).filter(|peer| peer.up) else {
            return;
        };
        peer.up = false;
        self.count_audience();
    }

    /// Whoever has a slot counts, with a session or not: what a client sent stays reflected while
    /// it is kept.
    fn count_audience(&mut self) {
        self.audience = Audience::default();
        for peer in self.slots.iter().flatten() {
            self.audience.transit |= peer.info.takes_learned();
            self.audience.reflection |= peer.info.is_internal() && peer.info.rules.client;
            self.audience.add_path |= !peer.info.add_path_send.is_empty();
        }
        for family in Family::ALL {
            let audience = self.audience;
            let listens = |peer: &Peer| {
                peer.up && peer.info.families.contains(family) && audience.contains(peer)
            };
            let slots = (0..self.slots.len()).filter_map(PeerIndex::new);
            let listeners = slots.filter(|i| self.get(*i).is_some_and(listens));
            self.listeners[family_index(family)] = listeners.collect();
        }
    }

    /// Frees the slot of a peer without session and routes.
    pub(crate) fn remove_if_gone(&mut self, index: PeerIndex) {
        let gone = |peer: &&Peer| !peer.up && peer.counts.iter().all(|c| c.received == 0);
        let gone = self.get(index).filter(gone);
        if let Some((id, group)) = gone.map(|peer| (peer.id, peer.group)) {
            self.index.remove(&id);
            self.slots[index.index()] = None;
            self.groups.leave(group);
            self.groups.forget();
            self.count_audience();
        }
    }

    /// Replaces the policies of a peer.
    pub(crate) fn set_policies(
        &mut self,
        index: PeerIndex,
        import: ImportPolicy,
        export: ExportPolicy,
    ) {
        if let Some(peer) = self.get_mut(index) {
            peer.import = CompiledImport::new(&import);
            peer.info.import = import;
            peer.info.export = export;
        }
        self.regroup(index);
    }

    /// Replaces the chains of a peer.
    pub(crate) fn set_chains(&mut self, index: PeerIndex, policies: PeerPolicies) {
        if let Some(peer) = self.get_mut(index) {
            peer.info.policies = policies;
        }
        self.regroup(index);
    }

    /// Replaces the rules of a peer.
    pub(crate) fn set_rules(&mut self, index: PeerIndex, rules: PeerRules) {
        if let Some(peer) = self.get_mut(index) {
            peer.info.rules = rules;
        }
        self.regroup(index);
    }

    /// Replaces our end of a peer's session; what it was.
    pub(crate) fn set_our_end(&mut self, index: PeerIndex, end: OurEnd) -> Option<OurEnd> {
        let info = &mut self.get_mut(index)?.info;
        let was = info.our_end();
        info.own_as = end.own_as;
        info.next_hop_self = end.next_hop_self;
        info.subnet = end.subnet;
        self.regroup(index);
        Some(was)
    }

    /// Something about a peer changed: who is told the same as it, what others are told of its routes,
    /// and who is told anything.
    fn regroup(&mut self, index: PeerIndex) {
        let Some(Some(peer)) = self.slots.get_mut(index.index()) else {
            return;
        };
        self.groups.leave(peer.group);
        peer.group = self.groups.join(peer.info.terms());
        self.groups.forget();
        self.count_audience();
    }

    /// What a peer has in common with those who are told the same.
    pub(crate) fn terms_of(&self, index: PeerIndex) -> Option<&PeerInfo> {
        Some(&self.groups.get(self.get(index)?.group).terms)
    }

    /// Those who are told the same as a peer.
    pub(crate) fn group_mut(&mut self, index: PeerIndex) -> Option<&mut Group> {
        let group = self.get(index)?.group;
        Some(self.groups.get_mut(group))
    }

    /// Counters of a peer; `None` for routes of our own.
    pub(crate) fn counts_mut(&mut self, index: PeerIndex, family: Family) -> Option<&mut Counts> {
        Some(&mut self.get_mut(index)?.counts[family_index(family)])
    }

    /// Who takes learned routes.
    pub(crate) const fn audience(&self) -> Audience {
        self.audience
    }

    /// Every internal peer.
    pub(crate) fn internal(&self) -> Vec<PeerIndex> {
        let slots = (0..self.slots.len()).filter_map(PeerIndex::new);
        let internal = |i: &PeerIndex| self.get(*i).is_some_and(|peer| peer.info.is_internal());
        slots.filter(internal).collect()
    }

    /// Marks a prefix for every peer that `concerned` picks.
    pub(crate) fn mark(&mut self, family: Family, id: PrefixId, concerned: impl Fn(&Peer) -> bool) {
        for index in (0..self.slots.len()).filter_map(PeerIndex::new) {
            if self.get(index).is_some_and(&concerned) {
                self.mark_one(index, family, id);
            }
        }
    }

    /// Marks prefixes for all who may have to be told learned routes: [`Audience::contains`] them.
    pub(crate) fn mark_listeners(&mut self, family: Family, ids: &Words) {
        let family = family_index(family);
        for index in &self.listeners[family] {
            let Some(Some(peer)) = self.slots.get_mut(index.index()) else {
                continue;
            };
            peer.out[family].dirty.insert_all(ids);
            if !core::mem::replace(&mut peer.ready, true) {
                self.ready.push(*index);
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
