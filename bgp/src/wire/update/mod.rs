//! UPDATE: routes and withdrawals (RFC 4271 section 4.3, RFC 4760).
//!
//! A decoded [`Update`] is what is left after the dispositions of RFC 7606: what to forget, what to
//! take, and what was wrong. The receiver handles `unreach` first, then `reach`: "An UPDATE message
//! SHOULD NOT include the same address prefix in the WITHDRAWN ROUTES and Network Layer
//! Reachability Information fields. However, a BGP speaker MUST be able to process UPDATE messages
//! in this form", and does it as if the withdrawal were not there.

mod decode;
mod encode;
mod updates;

use std::sync::Arc;

use bytes::Bytes;

use super::error::AttributeFault;
use crate::types::{Family, NlriSet, PathAttributes};

pub(crate) use decode::decode;
pub(crate) use encode::{encode_end_of_rib, encode_reach, encode_reach_whole, encode_unreach};
pub use updates::{Malformed, Parts, Said, Updates};

/// A decoded UPDATE, dispositions applied: for those who look at one message at a time. Sessions read
/// [`Updates`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Withdrawn routes, classic and MP_UNREACH_NLRI, and everything treated as withdrawn.
    pub unreach: Vec<NlriSet>,
    /// Announced routes: at most two, classic and MP_REACH_NLRI.
    pub reach: Vec<Reach>,
    /// The family whose initial table is complete (RFC 4724 section 2).
    pub end_of_rib: Option<Family>,
    /// What was wrong and what was done about it; never a reset.
    pub faults: Vec<AttributeFault>,
    /// The whole message where there are faults: "the entire malformed UPDATE message" belongs in the
    /// log (RFC 7606 section 6).
    pub malformed: Option<Bytes>,
}

/// Announced routes that share one set of attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The attributes; `next_hop` is there.
    pub attrs: Arc<PathAttributes>,
    /// The routes, not empty.
    pub nlri: NlriSet,
}
