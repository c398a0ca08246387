//! Bidirectional Forwarding Detection: does the path to a neighbour still carry packets, asked many
//! times a second.
//!
//! RFC 5880 (base), RFC 5881 (one IP hop), RFC 5883 (several hops), RFC 5882 (what a client such as
//! BGP makes of it). Asynchronous mode; a neighbour may ask for demand mode and is given it, we never
//! ask. No authentication: a packet that carries any is discarded, as RFC 5880 section 6.8.6 says for a
//! session without. No echo function: we announce that no echo packets are welcome, so none come.
//!
//! | module | job |
//! |---|---|
//! | [`packet`] | the 24 octets on the wire |
//! | [`state`] | four states, and what a received state does to ours |
//! | [`session`] | one session: timers, poll sequences, when to send |
//! | [`sessions`] | all of them: whose packet is this, whose timer is next |
//!
//! Like the BGP engine it is sans-IO: datagrams, time and a seed come in; datagrams and events go out.
//!
//! # Invariants
//!
//! - A session is Up only while packets arrive in time and the neighbour says that ours do too.
//! - Until a session is Up it sends at most one packet a second (RFC 5880 section 6.8.3), but for
//!   changes of state, which are told at once.
//! - An interval that would make the other side's detection time too short takes effect only when the
//!   neighbour has confirmed that it knows (poll sequence).

pub mod packet;
pub mod session;
pub mod sessions;
pub mod state;

pub use packet::{Packet, PacketError};
pub use session::{Config, Event, Session, Status};
pub use sessions::{Arrival, Discard, Hops, SessionKey, Sessions};
pub use state::{Diagnostic, DownReason, State};

#[cfg(test)]
mod tests;
