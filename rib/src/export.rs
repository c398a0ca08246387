//! What a peer is told about a prefix: the rules between Loc-RIB and Adj-RIB-Out.
//!
//! Pure functions of the best path, the peer and our originations. The batch that goes out and the
//! explanation on the CLI come from the same one (`judge`), so they cannot disagree.

use core::fmt;
use std::{collections::BTreeMap, sync::Arc};

use redstart_bgp::types::{Community, NextHop, PathAttributes, Prefix};

use crate::{
    origination::{Merged, OriginSource, Origination},
    peers::{Peer, SessionKind},
};

/// Why a peer is not told about a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// There is no session.
    PeerDown,
    /// The session did not negotiate the family.
    Family,
    /// There is no usable route.
    NoRoute,
    /// It is ours, and no advertisement of it names this peer.
    NotAdvertised,
    /// It was learned, and this speaker is not a transit for this peer.
    NoTransit,
    /// It was learned from this very peer.
    LearnedFromPeer,
    /// It was learned by iBGP and the peer is internal (RFC 4271 section 9.2).
    IbgpToIbgp,
    /// It carries NO_ADVERTISE (RFC 1997).
    NoAdvertise,
    /// It carries NO_EXPORT or NO_EXPORT_SUBCONFED, and the peer is external (RFC 1997).
    NoExport,
    /// The peer's AS is in the AS_PATH: it would refuse it.
    AsLoop,
    /// We have no address of this family on the session to offer as next hop.
    NoNextHopSelf,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PeerDown => "peer-down",
            Self::Family => "family-not-negotiated",
            Self::NoRoute => "no-route",
            Self::NotAdvertised => "not-advertised",
            Self::NoTransit => "no-transit",
            Self::LearnedFromPeer => "learned-from-peer",
            Self::IbgpToIbgp => "ibgp-to-ibgp",
            Self::NoAdvertise => "no-advertise",
            Self::NoExport => "no-export",
            Self::AsLoop => "as-loop",
            Self::NoNextHopSelf => "no-next-hop-self",
        })
    }
}

/// What is said to a peer about a prefix, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportVerdict {
    /// What it shall be told.
    pub decision: Result<Arc<PathAttributes>, Withheld>,
    /// What it was told. Differs from `decision` while the change waits to be pulled.
    pub told: Option<Arc<PathAttributes>>,
    /// The advertisements that name this peer, for a route of our own.
    pub because: Vec<OriginSource>,
}

/// The best route to a prefix, as the export rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BestRoute<'a> {
    None,
    Own(Option<&'a Origination>),
    Learned {
        from: &'a Peer,
        attrs: &'a PathAttributes,
    },
}

/// The originations of this speaker.
pub(crate) type Originations = BTreeMap<Prefix, Origination>;

/// What `peer` shall be told about `prefix`.
pub(crate) fn judge(
    peer: &Peer,
    prefix: Prefix,
    best: BestRoute<'_>,
) -> Result<PathAttributes, Withheld> {
    let info = &peer.info;
    if !peer.up {
        return Err(Withheld::PeerDown);
    }
    if !info.families.contains(prefix.family()) {
        return Err(Withheld::Family);
    }
    let (attrs, merged) = match best {
        BestRoute::None => return Err(Withheld::NoRoute),
        BestRoute::Own(origination) => {
            let merged = origination
                .and_then(|o| o.merged(peer.id))
                .ok_or(Withheld::NotAdvertised)?;
            (originated(&merged), merged)
        }
        BestRoute::Learned { from, attrs } => {
            may_transit(peer, from, attrs)?;
            (attrs.clone(), Merged::default())
        }
    };
    let next_hop = info
        .next_hop_self
        .for_family(prefix.family())
        .ok_or(Withheld::NoNextHopSelf)?;
    Ok(match info.kind {
        SessionKind::Ebgp => towards_external(peer, attrs, &merged, next_hop),
        SessionKind::Ibgp => towards_internal(attrs, next_hop),
    })
}

fn may_transit(peer: &Peer, from: &Peer, attrs: &PathAttributes) -> Result<(), Withheld> {
    let external = peer.info.kind == SessionKind::Ebgp;
    if from.id == peer.id {
        return Err(Withheld::LearnedFromPeer);
    }
    if !peer.info.export.transit {
        return Err(Withheld::NoTransit);
    }
    // RFC 4271 section 9.2: "When a BGP speaker receives an UPDATE message from an internal peer, the
    // receiving BGP speaker SHALL NOT re-distribute the routing information contained in that UPDATE
    // message to other internal peers".
    if !external && from.info.kind == SessionKind::Ibgp {
        return Err(Withheld::IbgpToIbgp);
    }
    // RFC 1997: NO_ADVERTISE "MUST NOT be advertised to other BGP peers", NO_EXPORT "MUST NOT be
    // advertised outside a BGP confederation boundary".
    if attrs.has_community(Community::NO_ADVERTISE) {
        return Err(Withheld::NoAdvertise);
    }
    let stays = [Community::NO_EXPORT, Community::NO_EXPORT_SUBCONFED];
    if external && stays.into_iter().any(|c| attrs.has_community(c)) {
        return Err(Withheld::NoExport);
    }
    if external && attrs.as_path.count(peer.info.remote_as) > 0 {
        return Err(Withheld::AsLoop);
    }
    Ok(())
}

/// A route of our own as its advertisements dress it. Communities such as NO_EXPORT are for the
/// receiver to follow: they do not hold the route back here.
fn originated(merged: &Merged) -> PathAttributes {
    PathAttributes {
        med: merged.med,
        local_pref: merged.local_pref,
        communities: merged.communities.iter().copied().collect(),
        large_communities: merged.large_communities.iter().copied().collect(),
        ..PathAttributes::default()
    }
}

fn towards_external(
    peer: &Peer,
    mut attrs: PathAttributes,
    merged: &Merged,
    next_hop: NextHop,
) -> PathAttributes {
    // RFC 4271 section 5.1.2 b: towards an external peer "the local system prepends its own AS number".
    let times = 1 + usize::from(merged.prepend);
    attrs.as_path = attrs.as_path.prepend(peer.info.local_as, times);
    // RFC 4271 section 5.1.5: LOCAL_PREF "MUST NOT" go to external peers; section 5.1.4: a MED that
    // came from a neighbouring AS "MUST NOT be propagated to other neighboring ASes".
    attrs.local_pref = None;
    attrs.med = merged.med;
    // RFC 4456: both attributes are non-transitive and mean nothing outside the AS. RFC 4360 section 6:
    // so are the extended communities that say so.
    attrs.originator_id = None;
    attrs.cluster_list = Box::default();
    if attrs
        .extended_communities
        .iter()
        .any(|c| !c.is_transitive())
    {
        let transitive = attrs.extended_communities.iter().copied();
        attrs.extended_communities = transitive.filter(|c| c.is_transitive()).collect();
    }
    attrs.next_hop = Some(next_hop);
    attrs
}

fn towards_internal(mut attrs: PathAttributes, next_hop: NextHop) -> PathAttributes {
    // RFC 4271 section 5.1.5: LOCAL_PREF "SHALL be included in all UPDATE messages that a given BGP
    // speaker sends to other internal peers".
    attrs.local_pref = Some(attrs.effective_local_pref());
    attrs.next_hop = Some(next_hop);
    attrs
}
