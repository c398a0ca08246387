//! What to take from a peer and what to give it, as small pure values.
//!
//! These are the rules that every session has. Compiled `BGPPolicy` objects will stand behind the
//! same names.

use std::collections::BTreeSet;

use redstart_bgp::types::{Family, Prefix};

use crate::import::Refusal;

/// Which prefixes to take from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportPolicy {
    /// Just these, exactly: the pod CIDRs of a mesh peer's node.
    Exactly(BTreeSet<Prefix>),
    /// Everything but the cluster's own ranges, and the default route only where asked for.
    AllBut {
        /// Refused, and everything more specific. A less specific route is welcome: it says nothing
        /// about these.
        refuse: BTreeSet<Prefix>,
        /// Whether the default route is welcome.
        default_route: bool,
    },
}

impl ImportPolicy {
    /// Everything.
    #[must_use]
    pub const fn accept_all() -> Self {
        Self::AllBut {
            refuse: BTreeSet::new(),
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

/// An import policy made ready to judge a million prefixes: the lengths that occur in it are known,
/// so "is it covered" is one look-up per length rather than a walk through the list.
#[derive(Debug)]
pub(crate) enum CompiledImport {
    Exactly(BTreeSet<Prefix>),
    AllBut {
        refuse: BTreeSet<Prefix>,
        lengths: [Vec<u8>; 2],
        default_route: bool,
    },
}

impl CompiledImport {
    pub(crate) fn new(policy: &ImportPolicy) -> Self {
        match policy {
            ImportPolicy::Exactly(prefixes) => Self::Exactly(prefixes.clone()),
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
                    refuse: refuse.clone(),
                    lengths,
                    default_route: *default_route,
                }
            }
        }
    }

    /// Why `prefix` is not taken, or `None` if it is.
    pub(crate) fn refuses(&self, prefix: Prefix) -> Option<Refusal> {
        match self {
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
