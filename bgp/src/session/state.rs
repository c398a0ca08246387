//! The names of connections and states.

use core::fmt;

/// Which of the two connections of a neighbour. An Established connection may change its place to
/// make room: see [`super::Action::MakeRoom`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// We dialled.
    Outgoing,
    /// The neighbour dialled.
    Incoming,
}

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Outgoing, Self::Incoming];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Outgoing => Self::Incoming,
            Self::Incoming => Self::Outgoing,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
        })
    }
}

/// The state of a neighbour as operators know it (RFC 4271 section 8.2.2): that of its most advanced
/// connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Stopped, or held back after an error.
    #[default]
    Idle,
    /// Listening, and waiting for the time to dial again.
    Active,
    /// Dialling.
    Connect,
    /// The TCP connection is up and our OPEN is sent.
    OpenSent,
    /// The OPENs agree; waiting for the first KEEPALIVE.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "Idle",
            Self::Active => "Active",
            Self::Connect => "Connect",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        })
    }
}
