//! Update groups: peers that are told the same of what was learned.
//!
//! What a peer is told about a learned route depends on the route's attributes, on who sent it, and on
//! what is special about the peer. [`PeerInfo::terms`] is that last part alone, and the export rules
//! see nothing else of the peer, so peers with equal terms are told the same by construction. What is
//! left, a route that the peer itself sent, brought into the AS or is the next hop of, is judged for
//! each peer by itself ([`concerns`](crate::export::concerns)).
//!
//! A group is no queue and has no state of its own (ADR 2): each peer keeps its Adj-RIB-Out and its own
//! pace. The group remembers verdicts, one for each attribute set, and the last sets unpacked, so that
//! a set is unpacked, judged, dressed, packed and hashed once for the group; and the last batches, for
//! members in step (`rib::alike`). Nothing that is remembered keeps a set in use, or a prefix: a slot that has
//! changed hands since is seen by its birth, and a batch counts only while the member that it was made for
//! holds it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use redstart_bgp::{
    session::Announcements,
    types::{Asn, Family, FamilySet, PathAttributes, Prefix, RouterId},
};

use crate::{
    attrs::AttrStore,
    ids::{AttrId, PeerIndex, PrefixId, ToldId, Words},
    peers::PeerInfo,
    policy::{ImportPolicy, NextHopRule, PeerPolicies, RouteSource, family_index},
};

/// How many unpacked sets a group holds: as many as a batch or two may have.
const UNPACKED: usize = 1024;

/// How many batches a group keeps: members are not all at the same one.
const KEPT: usize = 3;

/// A group's slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupIndex(usize);

/// What a verdict is about: the attributes, who sent them, and whether the route is stale for long.
pub(crate) type Source = (AttrId, PeerIndex, bool);

/// The verdict on one attribute set.
#[derive(Clone, Copy, Debug)]
struct Known {
    source: Source,
    /// When the slot of the attributes was taken by these.
    birth: u32,
    /// What to tell, and when that slot was taken; `None` if nothing.
    told: Option<(ToldId, u32)>,
}

/// Peers that are told the same.
#[derive(Debug)]
pub(crate) struct Group {
    /// What they have in common.
    pub(crate) terms: PeerInfo,
    members: usize,
    /// By [`family_index`], then by the slot of the attributes.
    known: [Vec<Option<Known>>; 2],
    /// By slot of what is told, as far as there is room.
    unpacked: Vec<Option<(ToldId, u32, Arc<PathAttributes>)>>,
    /// By [`family_index`]: what members were told last, the latest first.
    alike: [Vec<Alike>; 2],
}

/// What a member was told that it knew nothing of, for others who are to be told the same.
#[derive(Debug)]
pub(crate) struct Alike {
    /// Whom it was collected for.
    pub(crate) by: PeerIndex,
    /// See [`AdjOut::looked_again`](crate::adj_out::AdjOut::looked_again).
    pub(crate) looked_again: u64,
    pub(crate) fresh: Fresh,
    /// The same as a batch has it.
    pub(crate) reach: Announcements,
}

/// Prefixes that a member was told of for the first time.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    pub(crate) ids: Words,
    /// What was told, and which path it was made of: whose attributes, and who sent them.
    pub(crate) sources: Vec<(AttrId, PeerIndex, ToldId)>,
}

impl Fresh {
    pub(crate) fn push(&mut self, id: PrefixId, source: (AttrId, PeerIndex, ToldId)) {
        self.ids.push(id);
        if self.sources.last() != Some(&source) {
            self.sources.push(source);
        }
    }
}

impl Group {
    /// Whether to remember is worth it.
    pub(crate) const fn is_shared(&self) -> bool {
        self.members > 1
    }

    /// What was found for a set, if it is known.
    pub(crate) fn verdict(
        &self,
        family: Family,
        source: Source,
        attrs: &AttrStore,
    ) -> Option<Option<ToldId>> {
        let known = self.known[family_index(family)].get(source.0.index())?;
        let known =
            known.filter(|known| known.source == source && known.birth == attrs.birth(source.0))?;
        match known.told {
            None => Some(None),
            Some((told, birth)) => attrs.is_told(told, birth).then_some(Some(told)),
        }
    }

    /// Remembers what was found for a set.
    pub(crate) fn remember(
        &mut self,
        family: Family,
        source: Source,
        told: Option<ToldId>,
        attrs: &AttrStore,
    ) {
        let known = &mut self.known[family_index(family)];
        let index = source.0.index();
        if index >= known.len() {
            known.resize(index + 1, None);
        }
        known[index] = Some(Known {
            source,
            birth: attrs.birth(source.0),
            told: told.map(|told| (told, attrs.birth_of_told(told))),
        });
    }

    /// What is told, unpacked: by `fresh`, if it is there, or by whoever was here before.
    pub(crate) fn unpacked(
        &mut self,
        told: ToldId,
        fresh: Option<Arc<PathAttributes>>,
        attrs: &AttrStore,
    ) -> Arc<PathAttributes> {
        let unpack = || Arc::new(attrs.told(told));
        if !self.is_shared() {
            return fresh.unwrap_or_else(unpack);
        }
        self.unpacked.resize(UNPACKED, None);
        let birth = attrs.birth_of_told(told);
        let place = &mut self.unpacked[told.0.index() % UNPACKED];
        if let Some((id, since, attrs)) = place
            && (*id, *since) == (told, birth)
        {
            return Arc::clone(attrs);
        }
        let unpacked = fresh.unwrap_or_else(unpack);
        *place = Some((told, birth, Arc::clone(&unpacked)));
        unpacked
    }

    /// Takes out what members were told last.
    pub(crate) fn take_alike(&mut self, family: Family) -> Vec<Alike> {
        core::mem::take(&mut self.alike[family_index(family)])
    }

    /// Puts it back.
    pub(crate) fn put_alike(&mut self, family: Family, alike: Vec<Alike>) {
        self.alike[family_index(family)] = alike;
    }

    /// Keeps what a member is told now.
    pub(crate) fn keep(&mut self, family: Family, alike: Alike) {
        let kept = &mut self.alike[family_index(family)];
        kept.truncate(KEPT - 1);
        kept.insert(0, alike);
    }
}

impl PeerInfo {
    /// What the verdict on a learned route depends on, without what the peer alone is concerned by: peers
    /// with equal terms are told the same of it, but for [`concerns`](crate::export::concerns).
    pub(crate) fn terms(&self) -> Self {
        let third_party = self.rules.next_hop == NextHopRule::ThirdParty;
        let counts = |subnet: &Prefix| third_party && subnet.contains(self.remote_addr);
        Self {
            name: Arc::default(),
            source: RouteSource::Router,
            remote_as: Asn(0),
            router_id: RouterId(Ipv4Addr::UNSPECIFIED),
            remote_addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            families: FamilySet::ALL,
            add_path_send: FamilySet::EMPTY,
            interface: None,
            subnet: self.subnet.filter(counts),
            enforce_first_as: false,
            import: ImportPolicy::accept_all(),
            policies: PeerPolicies {
                export: Arc::clone(&self.policies.export),
                ..PeerPolicies::default()
            },
            rules: self.rules.of_export(),
            kind: self.kind,
            local_as: self.local_as,
            own_as: self.own_as,
            local_router_id: self.local_router_id,
            next_hop_self: self.next_hop_self,
            long_lived: self.long_lived,
            extended_next_hop: self.extended_next_hop,
            role: self.role,
            export: self.export,
        }
    }
}

/// Every group.
#[derive(Debug, Default)]
pub(crate) struct Groups(Vec<Group>);

impl Groups {
    pub(crate) fn get(&self, index: GroupIndex) -> &Group {
        &self.0[index.0]
    }

    pub(crate) fn get_mut(&mut self, index: GroupIndex) -> &mut Group {
        &mut self.0[index.0]
    }

    /// One more peer with these terms.
    pub(crate) fn join(&mut self, terms: PeerInfo) -> GroupIndex {
        let same = |group: &Group| group.members > 0 && group.terms == terms;
        let vacant = |group: &Group| group.members == 0;
        let found = self.0.iter().position(same);
        if let Some(index) = found.or_else(|| self.0.iter().position(vacant)) {
            let group = &mut self.0[index];
            group.terms = terms;
            group.members += 1;
            return GroupIndex(index);
        }
        self.0.push(Group {
            terms,
            members: 1,
            known: Default::default(),
            unpacked: Vec::new(),
            alike: Default::default(),
        });
        GroupIndex(self.0.len() - 1)
    }

    /// One peer fewer.
    pub(crate) fn leave(&mut self, index: GroupIndex) {
        self.0[index.0].members -= 1;
    }

    /// Something changed about a peer, who may be the sender of anything: nothing is known any more.
    pub(crate) fn forget(&mut self) {
        for group in &mut self.0 {
            group.known = Default::default();
            group.unpacked = Vec::new();
            group.alike = Default::default();
        }
    }
}
