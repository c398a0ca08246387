//! Routing information bases for Redstart.
//!
//! The crate is *sans-IO*, as `redstart-bgp` is: routes, resolved next hops, time and a hash seed
//! come in; UPDATE contents and kernel routes are pulled out. The feature `netlink` adds the one
//! module that owns a netlink socket.
//!
//! | module | job |
//! |---|---|
//! | [`nexthop`] | what the RIB asks of whoever knows the kernel's links and routes |
//! | [`fib`] | the plan that makes the kernel's table match the Loc-RIB |

pub mod fib;
pub mod nexthop;

pub use redstart_bgp::session::{OutBatch, PeerId};
