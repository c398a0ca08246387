//! The session engine: the finite state machine of one neighbour (RFC 4271 section 8).
//!
//! # What it is
//!
//! A [`Peer`] is one configured neighbour. It owns no socket and reads no clock: each input says what
//! happened and when, and the outputs are polled, in the manner of a sans-IO library.
//!
//! | in | out |
//! |---|---|
//! | `start`, `stop`, `restart`, `reconfigure` | [`Peer::poll_action`]: connect, close |
//! | `admit`, `connected`, `connect_failed`, `closed` | [`Peer::poll_event`]: what the routing table must know |
//! | `received`, `wrote`, `read_paused`, `read_resumed` | [`Peer::transmit`]: bytes for the socket |
//! | `handle_timeout` | [`Peer::poll_timeout`]: when to call `handle_timeout` |
//! | `set_journal` | [`Peer::take_noted`]: messages and changes of state, for an update log |
//!
//! No order of inputs panics or corrupts the state: an input that makes no sense in a state is
//! ignored. That is tested with arbitrary input sequences.
//!
//! # Two slots
//!
//! Both speakers dial, so two TCP connections may exist for a moment (RFC 4271 section 6.8). A `Peer`
//! therefore has two slots, [`Slot::Outgoing`] and [`Slot::Incoming`]. Each is a state with its data
//! inside: a connection that is not in OpenConfirm has no negotiated parameters, so no code can use
//! them by mistake. The states that operators know ([`State`]) are derived from the slots.
//!
//! # Invariants
//!
//! - At most one slot is Established.
//! - A running neighbour that is not passive always has a connection of its own, an attempt, a timer
//!   that will start one, or a connection of the neighbour on which an OPEN arrived. One that is silent
//!   keeps nobody from dialling (RFC 4271 section 8.2.1).
//! - [`Event::Established`] and [`Event::Down`] alternate, and every [`Event::Updates`] lies between
//!   the two.
//!
//! # Where things are
//!
//! `peer` is the machine; `connection` its slots; `collision`, `offer`, `negotiate` and `damping`
//! are pure rules; `outbox` orders bytes; `reason` holds every typed reason for which a session can end.

mod batch;
mod collision;
mod config;
mod connection;
mod damping;
mod event;
mod journal;
mod negotiate;
mod offer;
mod outbox;
mod peer;
mod reason;
mod refresh;
mod state;
mod status;

pub use batch::{Announced, Announcements, OutBatch, PeerId};
pub use config::{
    GracefulRestartConfig, LongLivedConfig, PeerConfig, Reconfigured, RemoteAs, ResetReason,
};
pub use event::{Action, Event, Refusal, Unsendable, UnsendableReason};
pub use journal::{Happened, Journal, Noted};
pub use negotiate::{Negotiated, OpenRefusal};
pub use peer::Peer;
pub use reason::{ConnectError, Disconnect, DownReason, StopReason};
pub use state::{Slot, State};
pub use status::{Counters, LastErrors, PeerStatus, Timers};

#[cfg(test)]
mod tests;
