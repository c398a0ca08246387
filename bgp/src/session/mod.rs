//! The session engine of one peer.

mod batch;

pub use batch::{OutBatch, PeerId};
