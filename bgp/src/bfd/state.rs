//! The state machine of RFC 5880 section 6.2, as a function.

use core::fmt;

/// The state of one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// Held down by its operator.
    AdminDown = 0,
    /// Nothing was heard, or the other end hears nothing.
    #[default]
    Down = 1,
    /// The other end was heard; whether it hears us is not known.
    Init = 2,
    /// Packets pass both ways.
    Up = 3,
}

impl State {
    /// Every state, in code order.
    pub const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];

    /// The state with the two bits `code & 3`.
    #[must_use]
    pub const fn from_bits(code: u8) -> Self {
        match code & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// The two bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// What hearing that the other end is in `heard` makes of a session in this state, with the
    /// diagnostic if it is a reason to be down (RFC 5880 section 6.8.6). `None`: it stays as it is.
    #[must_use]
    pub const fn hears(self, heard: Self) -> Option<(Self, Option<Diagnostic>)> {
        match (self, heard) {
            // "If bfd.SessionState is AdminDown: Discard the packet."
            (Self::AdminDown, _) => None,
            (Self::Init | Self::Up, Self::AdminDown) | (Self::Up, Self::Down) => {
                Some((Self::Down, Some(Diagnostic::NeighborSignaledDown)))
            }
            (Self::Down, Self::Down) => Some((Self::Init, None)),
            (Self::Down, Self::Init) | (Self::Init, Self::Init | Self::Up) => {
                Some((Self::Up, None))
            }
            (Self::Down, Self::AdminDown | Self::Up)
            | (Self::Init, Self::Down)
            | (Self::Up, Self::Init | Self::Up) => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why an end was last not Up, as it tells the other one (RFC 5880 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Diagnostic {
    /// Nothing to tell.
    #[default]
    None,
    /// Control Detection Time Expired.
    DetectionTimeExpired,
    /// Echo Function Failed.
    EchoFailed,
    /// Neighbor Signaled Session Down.
    NeighborSignaledDown,
    /// Forwarding Plane Reset.
    ForwardingPlaneReset,
    /// Path Down.
    PathDown,
    /// Concatenated Path Down.
    ConcatenatedPathDown,
    /// Administratively Down.
    AdministrativelyDown,
    /// Reverse Concatenated Path Down.
    ReverseConcatenatedPathDown,
    /// A number between 9 and 31, reserved when this was written.
    Reserved(u8),
}

impl Diagnostic {
    /// The diagnostic with the five bits `code & 31`.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code & 31 {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Reserved(other),
        }
    }

    /// The five bits on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Reserved(code) => code & 31,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::DetectionTimeExpired => "control-detection-time-expired",
            Self::EchoFailed => "echo-function-failed",
            Self::NeighborSignaledDown => "neighbor-signaled-session-down",
            Self::ForwardingPlaneReset => "forwarding-plane-reset",
            Self::PathDown => "path-down",
            Self::ConcatenatedPathDown => "concatenated-path-down",
            Self::AdministrativelyDown => "administratively-down",
            Self::ReverseConcatenatedPathDown => "reverse-concatenated-path-down",
            Self::Reserved(code) => return write!(f, "reserved-{code}"),
        })
    }
}

/// Why a session left Up, or Init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DownReason {
    /// Nothing arrived for the detection time.
    DetectionTimeExpired,
    /// The neighbour hears nothing from us any more, or lost the session otherwise; its diagnostic.
    NeighborSignaledDown(Diagnostic),
    /// The neighbour's operator took the session down. That says nothing about the path: "clients
    /// SHOULD NOT" take it for a failure (RFC 5882 section 3.2).
    NeighborAdminDown,
    /// We were told to.
    AdministrativelyDown,
}

impl DownReason {
    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::DetectionTimeExpired => "detection-time-expired",
            Self::NeighborSignaledDown(_) => "neighbor-signaled-down",
            Self::NeighborAdminDown => "neighbor-admin-down",
            Self::AdministrativelyDown => "administratively-down",
        }
    }

    /// Whether the path is in doubt, so that a client should stop using it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::DetectionTimeExpired | Self::NeighborSignaledDown(_) => true,
            Self::NeighborAdminDown | Self::AdministrativelyDown => false,
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeighborSignaledDown(diagnostic) => write!(f, "{} ({diagnostic})", self.id()),
            _ => f.pad(self.id()),
        }
    }
}
