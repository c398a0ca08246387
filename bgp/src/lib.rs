//! BGP-4 for Redstart: value types, wire codec and session engine; and BFD.
//!
//! The crate is *sans-IO*: it opens no socket, reads no clock and draws no randomness. Bytes, time
//! and a seed come in; bytes and events go out. That makes every protocol rule testable in
//! microseconds of virtual time. The feature `net` adds the one module that owns sockets and
//! drives the engine with tokio.
//!
//! | module | job |
//! |---|---|
//! | [`types`] | what the RFCs talk about: prefixes, AS numbers, communities, path attributes |
//! | [`time`] | a clock value that cannot tell the time by itself |
//! | [`wire`] | messages to bytes and back, with the dispositions of RFC 7606 |
//! | [`discovery`] | the router at the other end of an unnumbered link, by Router Advertisements |
//! | [`session`] | the finite state machine of one peer: two connection slots, timers, collision |
//! | [`bfd`] | liveness of the path to a neighbour, sub-second |
//! | [`bmp`] | what a monitoring station is told |
//! | [`mrt`] | tables and messages in files |
//! | `net` | sockets (feature `net`) |

pub mod bfd;
pub mod bmp;
pub mod discovery;
mod jitter;
pub mod mrt;
pub mod session;
pub mod time;
pub mod types;
pub mod wire;

#[cfg(feature = "net")]
pub mod net;
