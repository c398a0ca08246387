//! What the engine tells its surroundings.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    types::{Family, FamilySet, NlriSet},
    wire::{CeaseSubcode, EncodeError, ErrorCode, Notification, Updates},
};

use super::{
    negotiate::Negotiated,
    reason::DownReason,
    state::{Slot, State},
};

/// What the driver must do with its sockets. Actions are to be carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Dial the neighbour, and report `connected` or `connect_failed` for [`Slot::Outgoing`].
    Connect,
    /// Close the connection, or give up the attempt, in this slot. First write `farewell`: the rest
    /// of a message that is half written, and the NOTIFICATION if there is one. The slot is free for
    /// another connection at once.
    Close {
        /// Which one.
        slot: Slot,
        /// What to write before closing; may be empty.
        farewell: Bytes,
    },
    /// The connection in [`Slot::Incoming`] belongs in [`Slot::Outgoing`] from now on, which is free:
    /// the neighbour made another one, and it is not yet known which of the two lives.
    MakeRoom,
}

/// What the owner of the routing table, and the log, must know. In order.
#[derive(Clone, Debug)]
pub enum Event {
    /// The state that operators see changed.
    StateChanged {
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// A session is up.
    Established(Arc<Negotiated>),
    /// The session is over.
    Down {
        /// Why.
        reason: DownReason,
        /// The families whose routes stay for the neighbour's restart time (RFC 4724 section 4.2).
        /// Empty: forget everything it said.
        retained: FamilySet,
    },
    /// An attempt ended before there was a session.
    AttemptFailed {
        /// Who had dialled.
        slot: Slot,
        /// Why.
        reason: DownReason,
    },
    /// Routes, or faults in them: all that was read together.
    Updates(Updates),
    /// A message that cannot be read, whole. The connection ends for it; the next event says so.
    Malformed(Bytes),
    /// The neighbour wants all routes of a family again (RFC 2918).
    RefreshRequested(Family),
    /// The neighbour sends all its routes of a family again: mark those that are there as stale
    /// (RFC 7313 section 4). May come again before the end; then all are stale again.
    RefreshBegin(Family),
    /// It has sent them all, or took too long: what is still stale is gone. Always follows a
    /// [`Event::RefreshBegin`], unless the session ends first.
    RefreshEnd(Family),
    /// Routes that cannot be sent on this session; nothing else is affected.
    Unsendable(Unsendable),
}

/// Routes that a session cannot carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable {
    /// They.
    pub nlri: NlriSet,
    /// Why.
    pub reason: UnsendableReason,
}

/// Why a session cannot carry routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsendableReason {
    /// No message can say it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The family is not part of this session.
    #[error("family-not-negotiated")]
    FamilyNotNegotiated,
}

/// Why a connection from the neighbour is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nobody with this address is configured.
    #[error("unknown-neighbour")]
    Unknown,
    /// Nobody with this address is configured, but there are links whose router is still looked for, and
    /// this may be it.
    #[error("neighbour-not-found-yet")]
    NotFoundYet,
    /// It passed more routers than the neighbour's connections may (RFC 5082).
    #[error("ttl-security")]
    TtlSecurity,
    /// It came in by another interface than the neighbour's.
    #[error("other-interface")]
    OtherInterface,
    /// The neighbour, or the range, must have a key, and the kernel did not take it: nothing protects
    /// this connection.
    #[error("key-refused")]
    KeyRefused,
    /// The address is in a range that has no place left.
    #[error("range-full")]
    RangeFull,
    /// The address is in a range whose owner has too much to do.
    #[error("range-busy")]
    RangeBusy,
    /// The neighbour is shut down here.
    #[error("neighbour-stopped")]
    Stopped,
    /// It rests after an error.
    #[error("idle-hold")]
    IdleHold,
    /// There is an Established session, and no sign that the neighbour lost it.
    #[error("already-established")]
    AlreadyEstablished,
}

impl Refusal {
    /// Those of a listener. The others are a neighbour's own; a rest is the listener's where the neighbour
    /// came from a range.
    pub const OF_LISTENERS: [Self; 8] = [
        Self::Unknown,
        Self::NotFoundYet,
        Self::TtlSecurity,
        Self::OtherInterface,
        Self::KeyRefused,
        Self::RangeFull,
        Self::RangeBusy,
        Self::IdleHold,
    ];

    /// What to tell the neighbour (RFC 4486 section 4). Nothing to whoever cannot be the neighbour; and
    /// nothing to one that comes early, because "Connection Rejected" would make it wait before it
    /// comes again.
    #[must_use]
    pub fn notification(self) -> Option<Notification> {
        let subcode = match self {
            Self::TtlSecurity | Self::OtherInterface | Self::NotFoundYet => return None,
            Self::AlreadyEstablished => CeaseSubcode::ConnectionCollisionResolution,
            Self::RangeBusy => CeaseSubcode::OutOfResources,
            Self::Unknown | Self::KeyRefused | Self::RangeFull | Self::Stopped | Self::IdleHold => {
                CeaseSubcode::ConnectionRejected
            }
        };
        Some(Notification::new(ErrorCode::Cease(subcode)))
    }
}
