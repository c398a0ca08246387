//! Next hops as the RIB sees them: a question to whoever knows the kernel, and its answer.
//!
//! RFC 4271 section 9.1.2.1: a route whose NEXT_HOP can't be resolved is not a candidate, and the
//! cost to reach the next hop breaks ties (9.1.2.2 e). The RIB doesn't know links or kernel routes;
//! it asks a [`Resolve`], once per tracked next hop and again whenever the kernel's state moved. Where
//! a learned route leads to the next hop by a longer prefix than the kernel's, the RIB follows that one
//! (`rib::recursive`).
//!
//! A [`NexthopSet`] is canonical (sorted, one entry per gateway), so "did the kernel route change"
//! is one comparison.

use core::fmt;
use std::net::IpAddr;

use redstart_bgp::types::{NextHop, Prefix};
use smallvec::SmallVec;

/// One way for packets to leave this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gateway {
    /// The neighbour to hand packets to, of either family (RFC 8950), or `None` if the destination
    /// itself is on the link.
    pub via: Option<IpAddr>,
    /// The kernel's index of the link.
    pub ifindex: u32,
    /// Whether the kernel must believe that `via` is on the link though no address of the link
    /// covers it.
    pub onlink: bool,
    /// Share of the traffic, at least 1.
    pub weight: u8,
}

impl Gateway {
    /// `via` a neighbour on the link `ifindex`, weight 1.
    #[must_use]
    pub const fn via(via: IpAddr, ifindex: u32) -> Self {
        Self {
            via: Some(via),
            ifindex,
            onlink: false,
            weight: 1,
        }
    }

    const fn key(&self) -> (Option<IpAddr>, u32) {
        (self.via, self.ifindex)
    }

    /// Takes over what `other` says of the same way. `false`: it is another way, and nothing happens.
    pub(crate) fn unite(&mut self, other: &Self) -> bool {
        let same = self.key() == other.key();
        if same {
            self.weight = self.weight.max(other.weight);
            self.onlink |= other.onlink;
        }
        same
    }
}

/// The gateways of one route: sorted, each neighbour once, with its highest weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NexthopSet(SmallVec<[Gateway; 2]>);

impl NexthopSet {
    /// The gateways, in canonical order.
    #[must_use]
    pub fn as_slice(&self) -> &[Gateway] {
        &self.0
    }

    /// Those gateways that `keep` picks.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Gateway) -> bool) -> Self {
        Self(self.0.iter().filter(|g| keep(g)).copied().collect())
    }

    /// How many gateways there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no gateway; such a set is never installed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Gateway> for NexthopSet {
    fn from_iter<I: IntoIterator<Item = Gateway>>(iter: I) -> Self {
        let mut set: SmallVec<[Gateway; 2]> = iter.into_iter().collect();
        set.sort_unstable();
        set.dedup_by(|later, kept| kept.unite(later));
        Self(set)
    }
}

impl From<Gateway> for NexthopSet {
    fn from(gateway: Gateway) -> Self {
        Self(SmallVec::from_iter([gateway]))
    }
}

/// A next hop that can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Where packets for it go; never empty.
    pub gateways: SmallVec<[Gateway; 2]>,
    /// The interior cost (RFC 4271 section 9.1.2.2 e): 0 on a connected link.
    pub metric: u32,
    /// The learned route that leads there, where it is not one of the kernel's.
    pub through: Option<Prefix>,
}

impl Resolved {
    /// By a route of the kernel.
    #[must_use]
    pub const fn new(gateways: SmallVec<[Gateway; 2]>, metric: u32) -> Self {
        Self {
            gateways,
            metric,
            through: None,
        }
    }
}

/// What the kernel says of a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where its routes lead, those made by BGP left out.
    pub state: Result<Resolved, Unresolved>,
    /// From which prefix length on a learned route leads there instead, being more specific than the
    /// kernel's. `None`: none does, as where the next hop is on a link of this node.
    pub yields_to: Option<u8>,
}

/// An answer that no learned route changes.
impl From<Result<Resolved, Unresolved>> for Answer {
    fn from(state: Result<Resolved, Unresolved>) -> Self {
        Self {
            state,
            yields_to: None,
        }
    }
}

/// Why a next hop cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unresolved {
    /// Nobody has looked yet.
    Pending,
    /// No route of the kernel covers it.
    NoRoute,
    /// Only the default route covers it, and that does not count.
    OnlyDefaultRoute,
    /// The route that covers it drops packets.
    Unreachable,
    /// The link towards it is down.
    LinkDown,
    /// A link-local address, and no link to use it on.
    NoInterface,
    /// It is an address of this node.
    OwnAddress,
    /// Only learned routes cover it, and their own next hops are not reached by routes of the kernel.
    Recursive,
}

impl Unresolved {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::NoRoute,
        Self::OnlyDefaultRoute,
        Self::Unreachable,
        Self::LinkDown,
        Self::NoInterface,
        Self::OwnAddress,
        Self::Recursive,
    ];
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::NoRoute => "no-route",
            Self::OnlyDefaultRoute => "only-default-route",
            Self::Unreachable => "unreachable",
            Self::LinkDown => "link-down",
            Self::NoInterface => "no-interface",
            Self::OwnAddress => "own-address",
            Self::Recursive => "recursive",
        })
    }
}

/// Whoever knows the kernel's links, addresses and routes.
pub trait Resolve {
    /// Where packets for `next_hop` go. `interface` is the link of the session that the route came
    /// by: a link-local next hop is looked up there.
    fn resolve(&self, next_hop: NextHop, interface: Option<u32>) -> Answer;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_canonical() {
        let a = Gateway::via([10, 0, 0, 1].into(), 2);
        let b = Gateway::via([10, 0, 0, 2].into(), 2);
        let heavy = Gateway { weight: 3, ..a };
        let left: NexthopSet = [b, a, heavy].into_iter().collect();
        let right: NexthopSet = [heavy, b].into_iter().collect();
        assert_eq!(left, right);
        assert_eq!(left.len(), 2);
        assert_eq!(left.as_slice()[0].weight, 3);
    }
}
