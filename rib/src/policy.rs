//! What to take from a peer and what to give it, as small pure values.
//!
//! Every session has safe defaults ([`ImportPolicy`], [`ExportPolicy`]) and a chain of policies each
//! way ([`PeerPolicies`]): `BGPPolicy` objects, compiled to a [`Program`]. A policy rejects and changes
//! what the safe defaults let pass; a rule may set one of them aside by name (ADR 19).
//!
//! All of it may change while the session is up: what was received is judged again, what was told is
//! looked at again, nothing is reset and nothing is asked of the peer.
//!
//! | file | job |
//! |---|---|
//! | `rule` | the words of a policy |
//! | `community`, `path_pattern`, `prefix_range` | patterns that rules match with |
//! | `condition`, `change` | what a rule asks, and what it does |
//! | `program` | a chain of rules, made fast |

mod change;
mod community;
mod condition;
mod path_pattern;
mod prefix_range;
mod program;
mod rule;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeSet, sync::Arc};

use redstart_bgp::types::{Family, PathAttributes, Prefix};

use crate::{
    import::Refusal,
    limit::PrefixLimit,
    owners::{self, Owners},
};

pub(crate) use change::Passed;
pub use community::{AnyCommunity, CommunityPattern, ParseCommunityPatternError};
pub(crate) use condition::Subject;
pub use path_pattern::{ParsePathPatternError, PathPattern};
pub use prefix_range::PrefixRange;
pub use program::Program;
pub(crate) use program::{Difference, Hits};
pub use rule::{
    Action, Between, Change, Communities, Condition, RouteSource, Rule, RuleSource, SafeDefault,
    SafeDefaults, SetNextHop,
};

/// The policies of a peer. Peers with the same ones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicies {
    /// For what it sends, after the checks of the protocol.
    pub import: Arc<Program>,
    /// For what it is sent, before its kind of session has a say.
    pub export: Arc<Program>,
}

/// Which prefixes to take from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportPolicy {
    /// Just these, exactly.
    Exactly(BTreeSet<Prefix>),
    /// From the peer behind the node of this name: its own prefixes, and other nodes' as far as they
    /// lead to these ([`owners`](crate::owners)).
    Owner(String),
    /// Everything but the cluster's own ranges, and the default route only where asked for.
    AllBut {
        /// Refused, and everything more specific. A less specific route is welcome: it says nothing
        /// about these.
        refuse: Arc<BTreeSet<Prefix>>,
        /// Whether the default route is welcome.
        default_route: bool,
    },
}

impl ImportPolicy {
    /// Everything.
    #[must_use]
    pub fn accept_all() -> Self {
        Self::AllBut {
            refuse: Arc::default(),
            default_route: true,
        }
    }

    /// Nothing.
    #[must_use]
    pub const fn refuse_all() -> Self {
        Self::Exactly(BTreeSet::new())
    }
}

/// Which routes to give a peer, beyond the originations that name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportPolicy {
    /// Whether learned routes go there at all. Off, this speaker is never a transit.
    pub transit: bool,
}

/// Whose address learned routes have as next hop when they are passed on (RFC 4271 section 5.1.3).
/// A route of our own always has ours, and one that is reflected always keeps the one it has
/// (RFC 4456 section 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextHopRule {
    /// As the RFC has it: unchanged towards internal peers, ours towards external ones.
    #[default]
    Standard,
    /// Ours.
    Own,
    /// The one that the route came with.
    Unchanged,
    /// Towards an external peer the one that the route came with, if both are on one subnet with us:
    /// packets then need not pass here. Else as [`Self::Standard`].
    ThirdParty,
}

/// The rules of the protocol that can be bent for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRules {
    /// How often our own AS may be in the AS_PATH of what it sends: its part of our AS may be
    /// reachable through another AS only.
    pub own_as_allowed: u8,
    /// Whether the peer may send, and is sent, paths with an AS_SET, which RFC 9774 forbids.
    pub as_sets: bool,
    /// Whether the MED of what it sends is left out of everything (RFC 4271 section 5.1.4: "MUST
    /// implement a mechanism ... that allows the MULTI_EXIT_DISC attribute to be removed from a route").
    pub remove_med: bool,
    /// Whether an external peer that is one hop away may send next hops outside the subnet that it
    /// shares with us, which RFC 4271 section 6.3 has us ignore.
    pub remote_next_hops: bool,
    /// Whether GRACEFUL_SHUTDOWN on what an external peer sends means nothing here (RFC 8326).
    pub ignore_graceful_shutdown: bool,
    /// The session is about to be shut down: both sides shall find other ways first (RFC 8326).
    pub graceful_shutdown: bool,
    /// Whether AIGP means something on the session (RFC 7311 section 3.3). `None`: within the AS it
    /// does, elsewhere not.
    pub aigp: Option<bool>,
    /// Whether an external peer is a client of ours, as of a route server: what we pass on to it is
    /// left as it came (RFC 7947).
    pub route_server_client: bool,
    /// Whether an internal peer is our client: we reflect to it and for it (RFC 4456).
    pub client: bool,
    /// The cluster that we reflect for. `None`: our BGP Identifier (RFC 4456 section 7).
    pub cluster_id: Option<u32>,
    /// Next hops of what we pass on to it.
    pub next_hop: NextHopRule,
    /// Whether an external peer is sent routes whose AS_PATH has its AS, which it refuses unless it is told
    /// not to, as parts of one AS are that reach each other through another AS only.
    pub peer_as_allowed: bool,
    /// Whether an external peer sees no private AS number but ours (RFC 6996) in what we pass on.
    pub remove_private_as: bool,
    /// Whether what an external peer sends counts, and is passed on, as if the AS that it knows us by
    /// were on the way: where that is not the AS that we are in, it once was an AS of its own.
    pub local_as_received: bool,
    /// Whether an external peer sees the AS that we are in too, behind the one that it knows us by.
    pub own_as_sent: bool,
    /// Most paths for a prefix to send where several may be (RFC 7911). `None`: all.
    pub max_paths_sent: Option<u8>,
    /// How many routes it may send, by [`family_index`].
    pub limits: [Option<PrefixLimit>; 2],
}

impl Default for PeerRules {
    fn default() -> Self {
        Self {
            own_as_allowed: 0,
            as_sets: false,
            remove_med: false,
            remote_next_hops: false,
            ignore_graceful_shutdown: false,
            graceful_shutdown: false,
            aigp: None,
            route_server_client: false,
            client: false,
            cluster_id: None,
            next_hop: NextHopRule::Standard,
            peer_as_allowed: false,
            remove_private_as: false,
            local_as_received: false,
            own_as_sent: false,
            max_paths_sent: None,
            limits: [None; 2],
        }
    }
}

impl PeerRules {
    /// How many routes of `family` the peer may send.
    #[must_use]
    pub const fn limit(&self, family: Family) -> Option<PrefixLimit> {
        self.limits[family_index(family)]
    }

    /// Whether received routes have to be judged again.
    pub(crate) fn same_import(&self, other: &Self) -> bool {
        let judged = |rules: &Self| (rules.own_as_allowed, rules.as_sets, rules.cluster_id);
        let bent = |rules: &Self| (rules.remote_next_hops, rules.ignore_graceful_shutdown);
        judged(self) == judged(other) && bent(self) == bent(other) && self.same_origin(other)
    }

    /// Whether what others are told of its routes stays as it is.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        let of = |rules: &Self| {
            (
                rules.remove_med,
                rules.graceful_shutdown,
                rules.local_as_received,
                rules.aigp,
            )
        };
        of(self) == of(other)
    }

    /// Whether what the peer is told stays as it is.
    pub(crate) fn same_export(&self, other: &Self) -> bool {
        let most = |rules: &Self| rules.max_paths_sent;
        self.of_export() == other.of_export() && most(self) == most(other)
    }

    /// What of them has to do with how a route is told to the peer.
    pub(crate) const fn of_export(&self) -> Self {
        Self {
            own_as_allowed: 0,
            remove_med: false,
            remote_next_hops: false,
            ignore_graceful_shutdown: false,
            local_as_received: false,
            max_paths_sent: None,
            limits: [None; 2],
            ..*self
        }
    }
}

/// An import policy made ready to judge a million prefixes: the lengths that occur in it are known,
/// so "is it covered" is one look-up per length rather than a walk through the list.
#[derive(Debug)]
pub(crate) enum CompiledImport {
    Exactly(BTreeSet<Prefix>),
    Owner(String),
    AllBut {
        refuse: Arc<BTreeSet<Prefix>>,
        lengths: [Vec<u8>; 2],
        default_route: bool,
    },
}

impl CompiledImport {
    pub(crate) fn new(policy: &ImportPolicy) -> Self {
        match policy {
            ImportPolicy::Exactly(prefixes) => Self::Exactly(prefixes.clone()),
            ImportPolicy::Owner(node) => Self::Owner(node.clone()),
            ImportPolicy::AllBut {
                refuse,
                default_route,
            } => {
                let lengths = Family::ALL.map(|family| {
                    let lengths: BTreeSet<u8> = refuse
                        .iter()
                        .filter(|p| p.family() == family)
                        .map(|p| p.len())
                        .collect();
                    lengths.into_iter().collect()
                });
                Self::AllBut {
                    refuse: Arc::clone(refuse),
                    lengths,
                    default_route: *default_route,
                }
            }
        }
    }

    /// Whether every prefix of `family` but the default route is taken.
    pub(crate) const fn protects_nothing(&self, family: Family) -> bool {
        match self {
            Self::AllBut { lengths, .. } => lengths[family_index(family)].is_empty(),
            Self::Exactly(_) | Self::Owner(_) => false,
        }
    }

    /// Why a route is not taken, or `None` if it is. Few policies look at its attributes.
    pub(crate) fn refuses(
        &self,
        prefix: Prefix,
        attrs: impl FnOnce() -> PathAttributes,
        owners: &Owners,
    ) -> Option<Refusal> {
        match self {
            Self::Owner(node) => owners::refuses(owners, node, prefix, &attrs()),
            Self::Exactly(allowed) => (!allowed.contains(&prefix)).then_some(Refusal::NotAllowed),
            Self::AllBut { default_route, .. } if prefix.len() == 0 => {
                (!default_route).then_some(Refusal::DefaultRoute)
            }
            Self::AllBut {
                refuse, lengths, ..
            } => {
                let covered = lengths[family_index(prefix.family())]
                    .iter()
                    .take_while(|len| **len <= prefix.len())
                    .filter_map(|len| Prefix::new(prefix.addr(), *len))
                    .any(|covering| refuse.contains(&covering));
                covered.then_some(Refusal::Protected)
            }
        }
    }
}

/// Where per-family arrays keep `family`.
pub(crate) const fn family_index(family: Family) -> usize {
    match family {
        Family::Ipv4Unicast => 0,
        Family::Ipv6Unicast => 1,
    }
}
