//! Whether a route is like a rule wants it.

use std::collections::BTreeSet;

use redstart_bgp::types::{Asn, Family, PathAttributes};

use super::{AnyCommunity, CommunityPattern, Condition, RouteSource};

/// A route as policies see it, but for its attributes and its prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) family: Family,
    pub(crate) source: RouteSource,
    /// The name of the peer that it was learned from.
    pub(crate) from: Option<&'a str>,
}

impl Condition {
    /// The ranges that the prefix is looked up in, for conditions that look at it.
    pub(super) fn ranges(&self) -> Option<&[super::PrefixRange]> {
        match self {
            Self::Prefixes(ranges) | Self::Node { pods: ranges, .. } => Some(ranges),
            _ => None,
        }
    }

    /// The ASes of which one must be in the path for it to hold.
    pub(super) const fn needed_ases(&self) -> Option<&BTreeSet<Asn>> {
        match self {
            Self::PathContains(asns) | Self::OriginAs(asns) | Self::NeighborAs(asns) => Some(asns),
            _ => None,
        }
    }

    /// Communities of which one must be carried for it to hold, where they can be listed and are all of those
    /// that count.
    pub(super) fn needed_communities(
        &self,
        counts: impl Fn(&AnyCommunity) -> bool,
    ) -> Option<Vec<AnyCommunity>> {
        let listed = |pattern: &CommunityPattern| pattern.only().filter(&counts);
        match self {
            Self::AnyCommunity(patterns) => patterns.iter().map(listed).collect(),
            Self::AllCommunities(patterns) => {
                let one = patterns.iter().find_map(listed);
                one.map(|one| vec![one])
            }
            _ => None,
        }
    }

    /// Whether it holds for a route; `within` says whether the prefix is within the
    /// [`ranges`](Self::ranges).
    pub(super) fn holds(&self, subject: Subject<'_>, within: bool, attrs: &PathAttributes) -> bool {
        let path = &attrs.as_path;
        let carried = |pattern: &CommunityPattern| pattern.is_carried_by(attrs);
        let among = |asns: &BTreeSet<Asn>, asn: Option<Asn>| asn.is_some_and(|a| asns.contains(&a));
        match self {
            Self::Families(families) => families.contains(&subject.family),
            Self::Prefixes(_) => within,
            Self::Node { own, .. } => within || (*own && subject.source == RouteSource::Own),
            Self::AnyCommunity(patterns) => patterns.iter().any(carried),
            Self::AllCommunities(patterns) => patterns.iter().all(carried),
            Self::NoCommunity(patterns) => !patterns.iter().any(carried),
            Self::PathContains(asns) => path.iter().any(|asn| asns.contains(&asn)),
            Self::OriginAs(asns) => among(asns, path.origin_as()),
            Self::NeighborAs(asns) => among(asns, path.first_as()),
            Self::PathLength(between) => {
                between.contains(u32::try_from(path.hop_count()).unwrap_or(u32::MAX))
            }
            Self::Path(patterns) => patterns.iter().any(|pattern| pattern.matches(path)),
            Self::LocalPref(between) => between.contains(attrs.effective_local_pref()),
            Self::Med(between) => between.contains(attrs.med.unwrap_or(0)),
            Self::From(sources) => sources.contains(&subject.source),
            Self::LearnedFrom(names) => subject.from.is_some_and(|name| names.contains(name)),
        }
    }
}
