//! The words of a policy: rules that match routes and change them.
//!
//! A chain of policies is a plain list of rules here; [`RuleSource`] remembers where each came from,
//! for explanations. Whatever depends on Kubernetes (labels, names of objects) was resolved before.

use core::fmt;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use redstart_bgp::types::{Asn, Community, ExtendedCommunity, Family, LargeCommunity};

use super::{AnyCommunity, CommunityPattern, PathPattern, PrefixRange};

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub source: RuleSource,
    /// What a route must be like; all of it. Empty: any route.
    pub conditions: Vec<Condition>,
    /// What is changed, in this order.
    pub changes: Vec<Change>,
    /// What becomes of the route then.
    pub action: Action,
    /// Which safe defaults the rule sets aside for the routes that it matches.
    pub overrides: SafeDefaults,
}

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleSource {
    /// The policy.
    pub policy: Arc<str>,
    /// Its place there, from 1 on; 0 for a rule that nobody wrote.
    pub number: u16,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
}

impl fmt::Display for RuleSource {
    /// `tor-in rule 3 (no-default)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.policy)?;
        if self.number > 0 {
            write!(f, " rule {}", self.number)?;
        }
        match &self.name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// What becomes of a route that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It passes; no rule after this one is asked.
    Accept,
    /// It does not pass.
    Reject,
    /// The rules after this one go on with it, as it was changed.
    Next,
}

/// What a route must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Of one of these families.
    Families(BTreeSet<Family>),
    /// Its prefix is within one of these.
    Prefixes(Vec<PrefixRange>),
    /// It belongs to one of some nodes: its prefix lies in one of their pod CIDRs, or it is this
    /// node's own and that is one of them.
    Node {
        /// Their pod CIDRs, with everything more specific.
        pods: Vec<PrefixRange>,
        /// Whether routes of this speaker's own belong there.
        own: bool,
    },
    /// It carries at least one community that matches one of these.
    AnyCommunity(Vec<CommunityPattern>),
    /// For each of these it carries a community that matches.
    AllCommunities(Vec<CommunityPattern>),
    /// It carries no community that matches any of these.
    NoCommunity(Vec<CommunityPattern>),
    /// One of these is in its AS_PATH.
    PathContains(BTreeSet<Asn>),
    /// Its AS_PATH ends with one of these: the AS that originated it.
    OriginAs(BTreeSet<Asn>),
    /// Its AS_PATH begins with one of these: the neighbouring AS.
    NeighborAs(BTreeSet<Asn>),
    /// Its AS_PATH has this many hops, as the decision process counts them.
    PathLength(Between),
    /// Its AS_PATH matches one of these.
    Path(Vec<PathPattern>),
    /// LOCAL_PREF, 100 where there is none.
    LocalPref(Between),
    /// MULTI_EXIT_DISC, 0 where there is none.
    Med(Between),
    /// It comes from one of these.
    From(BTreeSet<RouteSource>),
    /// It was learned from a peer of one of these names.
    LearnedFrom(BTreeSet<Arc<str>>),
}

/// Numbers from `min` to `max`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// The least.
    pub min: u32,
    /// The greatest.
    pub max: u32,
}

impl Between {
    pub(crate) const fn contains(self, number: u32) -> bool {
        self.min <= number && number <= self.max
    }
}

/// Where a route comes from, as policies tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteSource {
    /// A node of the cluster said it.
    Mesh,
    /// A router said it.
    #[default]
    Router,
    /// It is this speaker's own.
    Own,
}

/// What a rule changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets LOCAL_PREF. Outside the AS nobody sees it.
    LocalPref(u32),
    /// Sets MULTI_EXIT_DISC, or takes it away.
    Med(Option<u32>),
    /// Takes all communities away and puts these in their place.
    ReplaceCommunities(Communities),
    /// Takes away the communities that match one of these.
    RemoveCommunities(Vec<CommunityPattern>),
    /// Adds communities.
    AddCommunities(Communities),
    /// Makes the AS_PATH longer by this many times the AS that is put before it anyhow: ours where
    /// the route goes to an external peer, the neighbour's where it came from one. A path within the
    /// AS stays as it is.
    Prepend(u8),
    /// Sets the next hop.
    NextHop(SetNextHop),
}

impl Change {
    /// The communities that a route may carry after it and not before.
    pub(super) fn added(&self) -> impl Iterator<Item = AnyCommunity> + '_ {
        let added = match self {
            Self::ReplaceCommunities(added) | Self::AddCommunities(added) => Some(added),
            Self::LocalPref(_)
            | Self::Med(_)
            | Self::RemoveCommunities(_)
            | Self::Prepend(_)
            | Self::NextHop(_) => None,
        };
        added.into_iter().flat_map(|added| {
            let standard = added.standard.iter().copied().map(AnyCommunity::Standard);
            let large = added.large.iter().copied().map(AnyCommunity::Large);
            let extended = added.extended.iter().copied();
            standard
                .chain(large)
                .chain(extended.map(AnyCommunity::Extended))
        })
    }
}

/// Communities of all three kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Communities {
    /// RFC 1997.
    pub standard: BTreeSet<Community>,
    /// RFC 4360.
    pub extended: BTreeSet<ExtendedCommunity>,
    /// RFC 8092.
    pub large: BTreeSet<LargeCommunity>,
}

/// A next hop to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetNextHop {
    /// Ours. On import it means nothing.
    Own,
    /// The one that the route came with. On import it means nothing.
    Unchanged,
    /// The peer's address, on import: packets go to who said it. On export it means nothing.
    Peer,
    /// This address, for routes of a family that can have it.
    Address(IpAddr),
}

/// One of the things that no route does unless a rule asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SafeDefault {
    /// A default route is not taken.
    DefaultRoute,
    /// Nothing within the cluster's own ranges is taken from a router.
    ClusterRanges,
    /// No prefix that cannot be routed is taken.
    Martians,
    /// Nothing learned is passed on.
    LearnedRoutes,
}

/// A set of [`SafeDefault`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SafeDefaults(u8);

impl SafeDefaults {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether `default` is in the set.
    #[must_use]
    pub const fn contains(self, default: SafeDefault) -> bool {
        self.0 & 1 << default as u8 != 0
    }

    /// Both sets in one.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<SafeDefault> for SafeDefaults {
    fn from_iter<I: IntoIterator<Item = SafeDefault>>(defaults: I) -> Self {
        let bits = defaults.into_iter().map(|default| 1 << default as u8);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}
