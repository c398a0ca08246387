//! Routing information bases for Redstart.
//!
//! The crate is *sans-IO*, as `redstart-bgp` is: routes, resolved next hops, time and a hash seed
//! come in; UPDATE contents and kernel routes are pulled out. The feature `netlink` adds the one
//! module that owns a netlink socket.
//!
//! | module | job |
//! |---|---|
//! | [`rib`] | the tables: Adj-RIB-In, Loc-RIB, Adj-RIB-Out, and what is pulled from them |
//! | [`decision`] | which path is best, and in which step another one lost |
//! | [`import`] | why a received route is refused |
//! | [`export`] | why a peer is not told about a route, and how the route looks if it is |
//! | [`policy`] | what to take from a peer and what to give it |
//! | [`limit`] | how many routes a peer may send |
//! | [`origination`] | routes of our own |
//! | [`peers`] | what the RIB knows of a session |
//! | [`nexthop`] | what the RIB asks of whoever knows the kernel's links and routes |
//! | [`resolver`] | the answer, from the kernel's links, addresses and routes |
//! | [`fib`] | the plan that makes the kernel's table match the Loc-RIB |
//! | [`histogram`] | how long things took |
//! | `netlink` | the kernel itself (feature `netlink`) |
//!
//! Memory is what a million routes multiply, so the tables are slabs: an entry is 24 octets for IPv4
//! with its first path inside, attribute sets are stored once (`attrs`) and packed (`packed`), next hops
//! once (`tracking`), and what a peer was told is four octets a route (`adj_out`). What is the same for several peers is worked
//! out once for all of them (`groups`).

mod adj_out;
mod attrs;
mod buckets;
pub mod decision;
pub mod export;
pub mod fib;
mod groups;
pub mod histogram;
mod ids;
pub mod import;
pub mod imported;
mod index;
mod interner;
pub mod limit;
#[cfg(feature = "netlink")]
pub mod netlink;
pub mod nexthop;
mod octets;
pub mod origination;
pub mod owners;
mod packed;
mod paths;
pub mod peers;
pub mod policy;
pub mod resolver;
pub mod rib;
mod slab;
mod table;
mod tracking;

pub use redstart_bgp::session::{OutBatch, PeerId};

pub use limit::{LimitState, PrefixLimit};
pub use origination::{Advertise, OriginSource, Origination, PeerSelector};
pub use owners::{Owner, Owners};
pub use peers::{NextHopSelf, OurEnd, PeerDown, PeerInfo, SessionKind};
pub use policy::{ExportPolicy, ImportPolicy, NextHopRule, PeerPolicies, PeerRules};
pub use rib::{Rib, RibConfig};
pub use tracking::NextHopState;
