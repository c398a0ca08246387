//! Who a node is on the network.
//!
//! Every speaker computes the same for every node, with one exception: the BGP Identifier. A session
//! cannot outlive a change of it, so a speaker keeps to what it has chosen as long as that still is its
//! node's own ([`RouterIds::choose`]). Which identifiers those are, everybody knows of every node.

use core::{fmt, str::FromStr};
use std::{collections::BTreeSet, net::IpAddr};

use redstart_bgp::types::{Asn, Family, FamilySet, RouterId};

use super::NodeIdentity;
use crate::{
    api::{BGPConfigurationSpec, RouterIdRule},
    index::Node,
};

/// AS number, BGP Identifier and addresses of `node`; the identifier that a speaker chooses that has
/// not chosen one before.
pub(super) fn identity(node: &Node, configuration: &BGPConfigurationSpec) -> NodeIdentity {
    NodeIdentity {
        name: node.meta.name.clone(),
        asn: asn(node, configuration),
        router_id: router_ids(node, configuration).first,
        ipv4: node.ipv4,
        ipv6: node.ipv6,
    }
}

/// The AS of `node`.
pub(super) fn asn(node: &Node, configuration: &BGPConfigurationSpec) -> Asn {
    node.asn.unwrap_or(Asn(configuration.asn))
}

/// The families that `node` has an address of, so that it can be the next hop of their routes.
pub(super) fn families(node: &Node) -> FamilySet {
    let ipv4 = node.ipv4.map(|_| Family::Ipv4Unicast);
    let ipv6 = node.ipv6.map(|_| Family::Ipv6Unicast);
    ipv4.into_iter().chain(ipv6).collect()
}

/// What a BGP Identifier was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouterIdBasis {
    /// The annotation `redstart.dev/router-id`.
    Annotation,
    /// The rule of the BGPConfiguration.
    Rule(RouterIdRule),
}

impl RouterIdBasis {
    const ALL: [Self; 3] = [
        Self::Annotation,
        Self::Rule(RouterIdRule::NodeAddress),
        Self::Rule(RouterIdRule::NodeName),
    ];
}

impl fmt::Display for RouterIdBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Annotation => "Annotation",
            Self::Rule(RouterIdRule::NodeAddress) => "NodeAddress",
            Self::Rule(RouterIdRule::NodeName) => "NodeName",
        })
    }
}

/// A BGP Identifier that a speaker has told its neighbours. Written `NodeAddress 192.0.2.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChosenRouterId {
    /// It.
    pub id: RouterId,
    /// What it was chosen by.
    pub basis: RouterIdBasis,
}

impl fmt::Display for ChosenRouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.basis, self.id)
    }
}

/// It is not `BASIS IDENTIFIER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a chosen BGP Identifier")]
pub struct NotChosenRouterId;

impl FromStr for ChosenRouterId {
    type Err = NotChosenRouterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (basis, id) = text.split_once(' ').ok_or(NotChosenRouterId)?;
        let is_it = |known: &RouterIdBasis| known.to_string() == basis;
        let basis = RouterIdBasis::ALL.into_iter().find(is_it);
        let id = id.parse().map(RouterId).map_err(|_| NotChosenRouterId)?;
        let basis = basis.filter(|_| id.is_valid()).ok_or(NotChosenRouterId)?;
        Ok(Self { id, basis })
    }
}

/// What a node's speaker may call itself.
pub(super) struct RouterIds {
    basis: RouterIdBasis,
    first: RouterId,
    others: BTreeSet<RouterId>,
}

/// The annotation, or else what the rule gives. By `NodeAddress` that is an address of the node, or a
/// hash for as long as it has none: an address that comes later is no reason to be called otherwise.
pub(super) fn router_ids(node: &Node, configuration: &BGPConfigurationSpec) -> RouterIds {
    let rule = configuration.router_id_rule;
    let hashed = hashed_router_id(&node.meta.name);
    let ids = |basis, first| RouterIds {
        basis,
        first,
        others: BTreeSet::new(),
    };
    match (node.router_id, rule) {
        (Some(id), _) => ids(RouterIdBasis::Annotation, id),
        (None, RouterIdRule::NodeName) => ids(RouterIdBasis::Rule(rule), hashed),
        (None, RouterIdRule::NodeAddress) => {
            let address = |addr: &IpAddr| match addr {
                IpAddr::V4(addr) => Some(RouterId(*addr)).filter(|id| id.is_valid()),
                IpAddr::V6(_) => None,
            };
            RouterIds {
                others: node
                    .addresses
                    .iter()
                    .filter_map(address)
                    .chain([hashed])
                    .collect(),
                ..ids(
                    RouterIdBasis::Rule(rule),
                    node.ipv4.map_or(hashed, RouterId),
                )
            }
        }
    }
}

impl RouterIds {
    /// What was chosen before, if that still is the node's own by the same rule; else the first. An
    /// address that the node has lost can become another node's, and two with one identifier refuse
    /// each other for good: that is worse than a reset.
    pub(super) fn choose(&self, before: Option<ChosenRouterId>) -> ChosenRouterId {
        let first = ChosenRouterId {
            id: self.first,
            basis: self.basis,
        };
        let stays = |chosen: &ChosenRouterId| {
            chosen.basis == self.basis
                && (chosen.id == self.first || self.others.contains(&chosen.id))
        };
        before.filter(stays).unwrap_or(first)
    }

    /// All of them.
    pub(super) fn into_all(self) -> BTreeSet<RouterId> {
        let Self {
            first, mut others, ..
        } = self;
        others.insert(first);
        others
    }
}

/// A BGP Identifier made of a name: FNV-1a, because it must be the same in every release and on
/// every machine. RFC 6286 asks for "a 4-octet, unsigned, non-zero integer", unique within the AS.
fn hashed_router_id(name: &str) -> RouterId {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    RouterId::from_u32(hash.max(1))
}
