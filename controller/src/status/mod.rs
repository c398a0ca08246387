//! What the cluster is told: of this node by its `BGPNodeStatus` and Events, of objects by their
//! conditions; and when to write which. Pure: times and randomness come in, values go out; [`writer`](crate::writer) does
//! the I/O.
//!
//! Everything is derived from what the control socket shows ([`views`](crate::control::views)), so the
//! CLI and the cluster never say different things. Nothing is queued: a [`page`](page::page) is the
//! state as it is when the API server can take it, and what happened in between is in its counters.
//!
//! Bounds: a page lists at most [`page::MAX_PEERS`] neighbours and [`page::MAX_PROBLEMS`] problems and
//! its texts are cut; [`pace`] limits how often it is written, however much flaps; [`ledger`] keeps
//! one Event per subject and reason, and counts repetitions in its series.

pub mod conditions;
pub mod events;
pub mod known;
pub mod ledger;
pub mod pace;
pub mod page;
pub mod programmed;
pub mod ring;
pub mod turn;
