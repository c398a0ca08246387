//! Routes of this speaker's own.

use core::fmt;
use std::{collections::BTreeSet, sync::Arc};

use redstart_bgp::{
    session::PeerId,
    types::{Community, ExtendedCommunity, LargeCommunity},
};

/// What asked for something: a Kubernetes object, for explanations. The RIB does not interpret it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginSource {
    /// `Node`, `Service`, `BGPAdvertisement`, …
    pub kind: String,
    /// Its name, with the namespace before it where it has one.
    pub name: String,
}

impl fmt::Display for OriginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A route of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origination {
    /// What it stands for.
    pub source: OriginSource,
    /// To whom it goes and how it looks there. Empty: to nobody. Routes in their thousands share a few.
    pub advertise: Vec<Arc<Advertise>>,
    /// Whether the kernel drops what no more specific route takes.
    pub blackhole: bool,
}

/// To whom a route goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerSelector {
    /// Everybody.
    All,
    /// These.
    Peers(BTreeSet<PeerId>),
}

impl PeerSelector {
    /// Whether `peer` is meant.
    #[must_use]
    pub fn contains(&self, peer: PeerId) -> bool {
        match self {
            Self::All => true,
            Self::Peers(peers) => peers.contains(&peer),
        }
    }
}

/// One way to advertise a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// Why.
    pub source: OriginSource,
    /// To whom. Where several entries name one peer, communities add up, and of each number the
    /// most attractive one counts: highest local-pref, lowest MED, least prepending.
    pub to: PeerSelector,
    /// Standard communities to add.
    pub communities: BTreeSet<Community>,
    /// Large communities to add.
    pub large_communities: BTreeSet<LargeCommunity>,
    /// Extended communities to add.
    pub extended_communities: BTreeSet<ExtendedCommunity>,
    /// LOCAL_PREF towards internal peers.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// How often to prepend our AS towards external peers, beyond the once that eBGP asks for.
    pub prepend: u8,
}

/// What all entries that name one peer say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) communities: BTreeSet<Community>,
    pub(crate) large_communities: BTreeSet<LargeCommunity>,
    pub(crate) extended_communities: BTreeSet<ExtendedCommunity>,
    pub(crate) local_pref: Option<u32>,
    pub(crate) med: Option<u32>,
    pub(crate) prepend: u8,
}

impl Origination {
    /// The entries that name `peer`.
    pub fn towards(&self, peer: PeerId) -> impl Iterator<Item = &Advertise> + '_ {
        let entries = self.advertise.iter().map(|entry| &**entry);
        entries.filter(move |a| a.to.contains(peer))
    }

    /// What they say together, or `None` if there is none.
    pub(crate) fn merged(&self, peer: PeerId) -> Option<Merged> {
        self.towards(peer).fold(None, |merged, entry| {
            let Some(mut merged) = merged else {
                return Some(Merged {
                    communities: entry.communities.clone(),
                    large_communities: entry.large_communities.clone(),
                    extended_communities: entry.extended_communities.clone(),
                    local_pref: entry.local_pref,
                    med: entry.med,
                    prepend: entry.prepend,
                });
            };
            merged.communities.extend(&entry.communities);
            merged.large_communities.extend(&entry.large_communities);
            let extended = &entry.extended_communities;
            merged.extended_communities.extend(extended);
            merged.local_pref = merged.local_pref.max(entry.local_pref);
            merged.med = merged.med.into_iter().chain(entry.med).min();
            merged.prepend = merged.prepend.min(entry.prepend);
            Some(merged)
        })
    }
}
