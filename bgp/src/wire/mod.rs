//! Messages to bytes and back.
//!
//! Decoding has two steps. *Structure* is read by nom from `&[u8]` with an 8-byte `Copy` error:
//! lengths, types, nesting. *Meaning* is judged after that, and every fault gets the disposition
//! that RFC 7606 gives it: reset the session, treat the routes as withdrawn, or drop the attribute.
//! Only a reset is an `Err`; everything milder travels inside the [`Update`], so that the session
//! can act on what is left of the message and report what was wrong with the rest.
//!
//! Attributes are rows of one descriptor table (`attr::TABLE`): adding one is a row and a file.

mod attr;
mod codec;
mod error;
mod framer;
mod header;
mod nlri;
mod notification;
mod open;
pub(crate) mod parse;
mod refresh;
mod update;

pub(crate) use attr::{put_attributes, put_next_hop_alone};
pub use codec::Codec;
pub use error::{AttributeFault, Disposition, EncodeError, FaultReason};
pub use framer::Framer;
pub use header::{HEADER_LEN, MARKER, MAX_EXTENDED_LEN, MAX_LEN, MessageType};
pub(crate) use nlri::put_prefix;
pub use notification::{
    CeaseSubcode, ErrorCode, FsmSubcode, HeaderSubcode, Notification, OpenSubcode,
    RouteRefreshSubcode, UpdateSubcode,
};
pub use open::{
    AddPathMode, Capability, GracefulRestart, GracefulRestartFamily, LongLivedFamily,
    LongLivedGracefulRestart, Open,
};
pub use refresh::{RefreshKind, RouteRefresh};
pub use update::{Malformed, Parts, Reach, Said, Update, Updates};

/// A BGP message (RFC 4271 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// OPEN.
    Open(Open),
    /// UPDATE.
    Update(Update),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH (RFC 2918, RFC 7313).
    RouteRefresh(RouteRefresh),
}

impl Message {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> MessageType {
        match self {
            Self::Open(_) => MessageType::Open,
            Self::Update(_) => MessageType::Update,
            Self::Notification(_) => MessageType::Notification,
            Self::Keepalive => MessageType::Keepalive,
            Self::RouteRefresh(_) => MessageType::RouteRefresh,
        }
    }
}

#[cfg(test)]
mod tests;
