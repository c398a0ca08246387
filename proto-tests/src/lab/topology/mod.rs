//! What the lab looks like, as a pure value.
//!
//! ```text
//!              ext (10.20.0.10, fd00:20::10)
//!               |
//!        ext LAN 10.20.0.0/24, fd00:20::/64
//!               |
//!              tor (AS 65001)         [tor2 (AS 65002) in the ecmp topology]
//!               |
//!       rack LAN 10.10.0.0/24, fd00:10::/64
//!        |          |          |
//!       n1         n2         n3        AS 64512, pod CIDRs 10.244.N.0/24, fd00:244:N::/64
//!      p1 p2      p1 p2      p1 p2
//! ```
//!
//! Each box is a network namespace `LAB-BOX`; both LANs are bridges in `LAB-switch`. Nothing here
//! runs a command, so that every other module, and every check, agrees on one description.
//!
//! Invariant: no node has a route to the ext LAN, and the routers have none to a pod CIDR, but what
//! BGP brings. The pods have a default route to their node, `ext` has one to the router(s).

mod addresses;

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

pub use self::addresses::{DualPrefix, DualStack, Family};

/// The AS of the nodes.
pub const NODE_ASN: u32 = 64512;
/// How many nodes the rack holds.
pub const NODES: u8 = 3;
/// How many pods each node gets.
pub const PODS_PER_NODE: u8 = 2;

/// Which routers stand at the top of the rack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TorKind {
    /// One BIRD 2.
    Bird,
    /// One FRR: zebra and bgpd.
    Frr,
    /// Two BIRDs in two ASes, both on the ext LAN: two equal paths out of the rack.
    Ecmp,
}

impl TorKind {
    /// Every topology.
    pub const ALL: [Self; 3] = [Self::Bird, Self::Frr, Self::Ecmp];
}

impl fmt::Display for TorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bird => "bird",
            Self::Frr => "frr",
            Self::Ecmp => "ecmp",
        })
    }
}

impl FromStr for TorKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| format!("{text:?} is none of bird, frr, ecmp"))
    }
}

/// A Kubernetes node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `n1`, …: the Node object's name and the namespace's.
    pub name: String,
    /// Its addresses on the rack LAN.
    pub addresses: DualStack,
    /// What its pods get their addresses from.
    pub pod_cidrs: DualPrefix,
    /// The names of its pods.
    pub pods: Vec<String>,
}

/// What a router runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// BIRD 2.
    Bird,
    /// FRR.
    Frr,
}

/// A top-of-rack router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// `tor` or `tor2`.
    pub name: String,
    /// Its AS.
    pub asn: u32,
    /// What runs there.
    pub daemon: Daemon,
    /// Its addresses on the rack LAN.
    pub rack: DualStack,
    /// Its addresses on the ext LAN.
    pub ext: DualStack,
}

/// The whole lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The lab's name: the prefix of its namespaces and the name of its run directory.
    pub lab: String,
    /// The Kubernetes nodes.
    pub nodes: Vec<Node>,
    /// The routers.
    pub routers: Vec<Router>,
    /// The external host.
    pub ext: DualStack,
    /// Where the API server of the `kube` source listens on the rack LAN.
    pub apiserver: DualStack,
}

impl Topology {
    /// The namespace that holds both LANs.
    pub const SWITCH: &'static str = "switch";
    /// The external host.
    pub const EXT: &'static str = "ext";
    /// The host of the API server in labs that take their objects from one.
    pub const APISERVER: &'static str = "api";

    /// The description of a lab of this kind.
    pub fn new(lab: &str, kind: TorKind) -> Self {
        let nodes = (1..=NODES)
            .map(|number| Node {
                name: format!("n{number}"),
                addresses: DualStack::rack(number),
                pod_cidrs: DualPrefix::pod_cidrs(number),
                pods: (1..=PODS_PER_NODE)
                    .map(|pod| format!("n{number}-p{pod}"))
                    .collect(),
            })
            .collect();
        let daemon = if kind == TorKind::Frr {
            Daemon::Frr
        } else {
            Daemon::Bird
        };
        let router = |name: &str, asn, host| Router {
            name: name.to_owned(),
            asn,
            daemon,
            rack: DualStack::rack(host),
            ext: DualStack::ext(host),
        };
        let mut routers = vec![router("tor", 65001, 254)];
        if kind == TorKind::Ecmp {
            routers.push(router("tor2", 65002, 253));
        }
        Self {
            lab: lab.to_owned(),
            nodes,
            routers,
            ext: DualStack::ext(10),
            apiserver: DualStack::rack(200),
        }
    }

    /// The same lab with pod CIDRs of higher numbers: a cluster that has Nodes gives out
    /// 10.244.0.0/24 and the next ones first, if that is where its pods are at all.
    #[must_use]
    pub fn in_foreign_cluster(mut self) -> Self {
        for (node, number) in self.nodes.iter_mut().zip(101..) {
            node.pod_cidrs = DualPrefix::pod_cidrs(number);
        }
        self
    }

    /// The same lab without that node.
    #[must_use]
    pub fn without(&self, node: &str) -> Self {
        let mut less = self.clone();
        less.nodes.retain(|other| other.name != node);
        less
    }

    /// The same lab with other pod CIDRs on that node.
    #[must_use]
    pub fn with_pod_cidrs(&self, node: &str, pod_cidrs: &DualPrefix) -> Self {
        let mut other = self.clone();
        for node in other.nodes.iter_mut().filter(|other| other.name == node) {
            node.pod_cidrs.clone_from(pod_cidrs);
        }
        other
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Whether a node or a router has this address on the rack LAN.
    pub fn has_on_rack(&self, address: IpAddr) -> bool {
        let nodes = self.nodes.iter().map(|node| node.addresses);
        let routers = self.routers.iter().map(|router| router.rack);
        nodes
            .chain(routers)
            .any(|addresses| Family::ALL.map(|of| addresses.of(of)).contains(&address))
    }

    /// The rack LAN's own address of whoever has this link-local one there; any other address as
    /// it is.
    pub fn global(&self, address: IpAddr) -> IpAddr {
        let nodes = self.nodes.iter().map(|node| node.addresses);
        let routers = self.routers.iter().map(|router| router.rack);
        nodes
            .chain(routers)
            .find(|addresses| IpAddr::from(addresses.link_local()) == address)
            .map_or(address, |addresses| addresses.v6.into())
    }

    /// Every box of the lab, without the lab's name.
    pub fn boxes(&self) -> Vec<String> {
        let mut boxes: Vec<String> = [Self::SWITCH, Self::EXT, Self::APISERVER]
            .map(str::to_owned)
            .into();
        boxes.extend(self.routers.iter().map(|router| router.name.clone()));
        for node in &self.nodes {
            boxes.push(node.name.clone());
            boxes.extend(node.pods.iter().cloned());
        }
        boxes
    }

    /// Every namespace that a lab of this name can have, whatever its kind: what a clean-up after
    /// a crash looks for. Exact names, not a prefix: `lab-a` must not delete what is `lab-a-b`'s.
    pub fn every_namespace(lab: &str) -> Vec<String> {
        let widest = Self::new(lab, TorKind::Ecmp);
        widest
            .boxes()
            .iter()
            .map(|name| format!("{lab}-{name}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_fits_in_what_the_clean_up_looks_for() {
        let all = Topology::every_namespace("x");
        for kind in TorKind::ALL {
            for name in Topology::new("x", kind).boxes() {
                assert!(all.contains(&format!("x-{name}")), "{kind}: {name}");
            }
        }
        assert_eq!(all.len(), 3 + 2 + 3 + 6);
    }

    #[test]
    fn addresses_of_a_host_look_alike() {
        let router = &Topology::new("x", TorKind::Bird).routers[0];
        assert_eq!(router.rack.v4.to_string(), "10.10.0.254");
        assert_eq!(router.rack.v6.to_string(), "fd00:10::254");
        let topology = Topology::new("x", TorKind::Bird);
        assert_eq!(
            topology.global("fe80::254".parse().unwrap()).to_string(),
            "fd00:10::254"
        );
        assert_eq!(
            topology.global("fe80::9".parse().unwrap()).to_string(),
            "fe80::9"
        );
    }

    #[test]
    fn kinds_are_written_as_they_are_read() {
        for kind in TorKind::ALL {
            assert_eq!(kind.to_string().parse::<TorKind>(), Ok(kind));
        }
        assert!("quagga".parse::<TorKind>().is_err());
    }
}
