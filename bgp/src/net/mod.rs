//! The only sockets that speak BGP, watch a neighbour's path, or look for somebody to speak with
//! (feature `net`).
//!
//! A thin shell around [`crate::session`]: it moves octets between TCP and the engine, tells the
//! engine the time, and carries out what it asks for. It decides nothing about the protocol.
//!
//! # Tasks
//!
//! - One per neighbour ([`spawn_peer`]): owns both connections of the neighbour and its
//!   [`crate::session::Peer`].
//! - One thread for all of BFD ([`Bfd`]): its packets wait for nobody.
//! - One per link of unnumbered neighbours ([`LinkDiscovery`]): finds the router at the other end.
//! - One per [`Listener`]: accepts, and passes each connection to the neighbour whose address it comes
//!   from. IPv4 and IPv6 have a listener each, because the kernel refuses an IPv4 TCP MD5 key on a
//!   socket of both.
//!
//! # State, not queues
//!
//! What the neighbour's task should do (configuration, stopped or not) is a value that it watches, so
//! a caller never waits and changes coalesce. Routes are pulled: the task asks for a batch when the
//! socket has taken the last one. Events go to the core through a bounded channel; when it is full the
//! task stops reading from the neighbour, and goes on sending KEEPALIVEs and watching timers. No
//! neighbour can make another one wait, and none can fill the memory.
//!
//! # Invariants
//!
//! - A socket option that the configuration asks for is set, or there is no connection: a password
//!   that the kernel refuses is an error, never a session without one.
//! - No octet is read from a connection that did not come as its neighbour's must ([`arrival`]).
//! - `sockopt` is the only module of the crate with `unsafe`.

mod ancillary;
mod arrival;
mod bfd;
mod clock;
mod connect;
mod cover;
mod discovery;
mod farewell;
mod handle;
mod inbox;
mod keys;
mod listener;
mod range;
mod registry;
mod rests;
mod sockopt;
mod tap;
mod task;
mod transport;
mod update_log;

pub use bfd::{Bfd, BfdSession, BfdView};
pub use clock::Clock;
pub use discovery::{DiscoveryError, LinkDiscovery};
pub use handle::{FromPeer, PeerHandle, spawn_logged_peer, spawn_peer};
pub use keys::KeyOwner;
pub use listener::{ListenError, Listener, Unprotected};
pub use range::{Accepted, FromListener, Newcomer, Place, Range, RangeId};
pub use sockopt::{SocketOptionError, probe_tcp_ao};
pub use tap::{Onlooker, Passed, Passing};
pub use transport::{AoAlgorithm, AoKey, Secret, Transport, Ttl};
pub use update_log::{NoRecords, Records, UpdateLog, UpdateLogEnd};

#[cfg(test)]
mod tests;
