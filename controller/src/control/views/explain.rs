//! The answer to `explain`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::KernelState;

/// From a Kubernetes object to the wire and the kernel, with the reason at each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The address or prefix that was asked about.
    pub asked: String,
    /// Services that have it as an address.
    pub services: Vec<ExplainedService>,
    /// The Node whose prefix it is or lies in.
    pub owner: Option<OwnedBy>,
    /// More specific prefixes that no packet uses.
    pub passed_over: Vec<ExplainedRoute>,
    /// What packets to it use; or the prefix itself, if that was asked about.
    pub route: Option<ExplainedRoute>,
    /// What each neighbour is told of that.
    pub exports: Vec<Export>,
}

/// A Service's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedService {
    /// `namespace/name`.
    pub service: String,
    /// `ClusterIP`, `ExternalIP` or `LoadBalancerIP`.
    pub kind: String,
    /// As in `show services`.
    pub state: String,
    /// Why, as an identifier.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub meaning: Option<String>,
    /// The objects that ask for it.
    pub sources: Vec<String>,
    /// The prefixes that are advertised for it.
    pub prefixes: Vec<String>,
}

/// Whose a prefix of the mesh is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnedBy {
    /// The Node.
    pub node: String,
    /// The prefix.
    pub prefix: String,
}

/// A prefix, its paths, and what the kernel has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedRoute {
    /// The prefix.
    pub prefix: String,
    /// Paths, best first.
    pub paths: Vec<ExplainedPath>,
    /// What the kernel has.
    pub kernel: ExplainedKernel,
}

/// A path, and why it is best or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedPath {
    /// The neighbour's name, or `local`.
    pub from: String,
    /// The object behind the neighbour, or behind the route of our own.
    pub object: String,
    /// The objects that ask for a route of our own to be advertised.
    pub advertised_by: Vec<String>,
    /// `ebgp`, `ibgp` or `local`.
    pub kind: String,
    /// Whether it is the best.
    pub best: bool,
    /// Whether it shares the traffic with the best.
    pub multipath: bool,
    /// Why it is not best, as an identifier: `refused-…`, `next-hop-…` or `lost-…`.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub meaning: Option<String>,
    /// The path that it lost to: its neighbour, or `local`.
    pub lost_to: Option<String>,
    /// The rules of import policies that let it pass, or rejected it.
    pub rules: Vec<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// How its next hop is reached.
    pub gateways: Vec<String>,
    /// The learned route that leads to the next hop, where that is not one of the kernel's.
    #[serde(default)]
    pub through: Option<String>,
}

/// What the kernel has of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedKernel {
    /// Where it stands. `not-wanted`: the reason says why it does not go there.
    #[serde(flatten)]
    pub state: KernelState,
    /// `via 10.0.0.1 on eth0`, or `blackhole`.
    pub gateways: Vec<String>,
    /// Those gateways that the kernel asks for in vain, by ARP or Neighbour Discovery.
    #[serde(default)]
    pub silent: Vec<String>,
}

/// What a neighbour is told of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    /// The neighbour.
    pub to: String,
    /// `told`, `withheld`, or `waiting`: it was told something else, and the news is on its way.
    pub state: String,
    /// Why it is withheld, or will be, as an identifier.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub meaning: Option<String>,
    /// The advertisements that name this neighbour, for a route of our own.
    pub because: Vec<String>,
    /// The rules of export policies that let it pass, or rejected it.
    pub rules: Vec<String>,
    /// What is on the wire, or shall be; where it will be withheld, what is there still.
    pub attributes: BTreeMap<String, String>,
}
