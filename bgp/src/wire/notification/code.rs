//! Error codes and subcodes, with the words that the RFCs have for them.

use core::fmt;

/// Defines the subcodes of one error code: numbers, names and texts in one place.
macro_rules! subcodes {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = concat!($code, ": ", $text, ".")] $variant = $code,)+
        }

        impl $name {
            /// Every subcode, in numeric order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The subcode with this number.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }
    };
}

subcodes! {
    /// Message Header Error (RFC 4271 section 6.1).
    HeaderSubcode {
        Unspecific = 0 "Unspecific",
        ConnectionNotSynchronized = 1 "Connection Not Synchronized",
        BadMessageLength = 2 "Bad Message Length",
        BadMessageType = 3 "Bad Message Type",
    }
}

subcodes! {
    /// OPEN Message Error (RFC 4271 section 6.2, RFC 5492 section 5, RFC 9234 section 4.2).
    OpenSubcode {
        Unspecific = 0 "Unspecific",
        UnsupportedVersionNumber = 1 "Unsupported Version Number",
        BadPeerAs = 2 "Bad Peer AS",
        BadBgpIdentifier = 3 "Bad BGP Identifier",
        UnsupportedOptionalParameter = 4 "Unsupported Optional Parameter",
        AuthenticationFailure = 5 "Authentication Failure",
        UnacceptableHoldTime = 6 "Unacceptable Hold Time",
        UnsupportedCapability = 7 "Unsupported Capability",
        RoleMismatch = 11 "Role Mismatch",
    }
}

subcodes! {
    /// UPDATE Message Error (RFC 4271 section 6.3).
    UpdateSubcode {
        Unspecific = 0 "Unspecific",
        MalformedAttributeList = 1 "Malformed Attribute List",
        UnrecognizedWellKnownAttribute = 2 "Unrecognized Well-known Attribute",
        MissingWellKnownAttribute = 3 "Missing Well-known Attribute",
        AttributeFlagsError = 4 "Attribute Flags Error",
        AttributeLengthError = 5 "Attribute Length Error",
        InvalidOriginAttribute = 6 "Invalid ORIGIN Attribute",
        AsRoutingLoop = 7 "AS Routing Loop",
        InvalidNextHopAttribute = 8 "Invalid NEXT_HOP Attribute",
        OptionalAttributeError = 9 "Optional Attribute Error",
        InvalidNetworkField = 10 "Invalid Network Field",
        MalformedAsPath = 11 "Malformed AS_PATH",
    }
}

subcodes! {
    /// Finite State Machine Error: the state in which a message came unexpected (RFC 6608).
    FsmSubcode {
        Unspecific = 0 "Unspecific",
        UnexpectedInOpenSent = 1 "Receive Unexpected Message in OpenSent State",
        UnexpectedInOpenConfirm = 2 "Receive Unexpected Message in OpenConfirm State",
        UnexpectedInEstablished = 3 "Receive Unexpected Message in Established State",
    }
}

subcodes! {
    /// Cease (RFC 4486, RFC 8538 section 3, RFC 9384).
    CeaseSubcode {
        Unspecific = 0 "Unspecific",
        MaximumPrefixesReached = 1 "Maximum Number of Prefixes Reached",
        AdministrativeShutdown = 2 "Administrative Shutdown",
        PeerDeconfigured = 3 "Peer De-configured",
        AdministrativeReset = 4 "Administrative Reset",
        ConnectionRejected = 5 "Connection Rejected",
        OtherConfigurationChange = 6 "Other Configuration Change",
        ConnectionCollisionResolution = 7 "Connection Collision Resolution",
        OutOfResources = 8 "Out of Resources",
        HardReset = 9 "Hard Reset",
        BfdDown = 10 "BFD Down",
    }
}

subcodes! {
    /// ROUTE-REFRESH Message Error (RFC 7313 section 5).
    RouteRefreshSubcode {
        Unspecific = 0 "Unspecific",
        InvalidMessageLength = 1 "Invalid Message Length",
    }
}

/// Error code and subcode together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// 1: the header of a message is wrong.
    MessageHeader(HeaderSubcode),
    /// 2: an OPEN is wrong, or not acceptable.
    Open(OpenSubcode),
    /// 3: an UPDATE is wrong beyond what RFC 7606 can save.
    Update(UpdateSubcode),
    /// 4: nothing came for the hold time.
    HoldTimerExpired,
    /// 5: a message came in a state that does not expect it.
    Fsm(FsmSubcode),
    /// 6: no error of the protocol.
    Cease(CeaseSubcode),
    /// 7: a ROUTE-REFRESH is wrong (RFC 7313).
    RouteRefresh(RouteRefreshSubcode),
    /// 8: the peer took nothing for too long (RFC 9687).
    SendHoldTimerExpired,
    /// A pair of numbers that this list does not have.
    Unknown {
        /// The error code.
        code: u8,
        /// The subcode.
        subcode: u8,
    },
}

impl ErrorCode {
    /// From the two octets of the message. Codes without subcodes have zero there.
    #[must_use]
    pub const fn from_wire(code: u8, subcode: u8) -> Self {
        let known = match code {
            1 => match HeaderSubcode::from_code(subcode) {
                Some(s) => Some(Self::MessageHeader(s)),
                None => None,
            },
            2 => match OpenSubcode::from_code(subcode) {
                Some(s) => Some(Self::Open(s)),
                None => None,
            },
            3 => match UpdateSubcode::from_code(subcode) {
                Some(s) => Some(Self::Update(s)),
                None => None,
            },
            4 if subcode == 0 => Some(Self::HoldTimerExpired),
            5 => match FsmSubcode::from_code(subcode) {
                Some(s) => Some(Self::Fsm(s)),
                None => None,
            },
            6 => match CeaseSubcode::from_code(subcode) {
                Some(s) => Some(Self::Cease(s)),
                None => None,
            },
            7 => match RouteRefreshSubcode::from_code(subcode) {
                Some(s) => Some(Self::RouteRefresh(s)),
                None => None,
            },
            8 if subcode == 0 => Some(Self::SendHoldTimerExpired),
            _ => None,
        };
        match known {
            Some(known) => known,
            None => Self::Unknown { code, subcode },
        }
    }

    /// The error code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::MessageHeader(_) => 1,
            Self::Open(_) => 2,
            Self::Update(_) => 3,
            Self::HoldTimerExpired => 4,
            Self::Fsm(_) => 5,
            Self::Cease(_) => 6,
            Self::RouteRefresh(_) => 7,
            Self::SendHoldTimerExpired => 8,
            Self::Unknown { code, .. } => code,
        }
    }

    /// The subcode on the wire.
    #[must_use]
    pub const fn subcode(self) -> u8 {
        match self {
            Self::MessageHeader(s) => s.code(),
            Self::Open(s) => s.code(),
            Self::Update(s) => s.code(),
            Self::HoldTimerExpired | Self::SendHoldTimerExpired => 0,
            Self::Fsm(s) => s.code(),
            Self::Cease(s) => s.code(),
            Self::RouteRefresh(s) => s.code(),
            Self::Unknown { subcode, .. } => subcode,
        }
    }
}

/// The name of an error code, as the IANA registry has it.
const fn code_name(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "Message Header Error",
        2 => "OPEN Message Error",
        3 => "UPDATE Message Error",
        4 => "Hold Timer Expired",
        5 => "Finite State Machine Error",
        6 => "Cease",
        7 => "ROUTE-REFRESH Message Error",
        8 => "Send Hold Timer Expired",
        _ => return None,
    })
}

impl fmt::Display for ErrorCode {
    /// `OPEN Message Error: Bad Peer AS`; numbers where there are no names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match code_name(self.code()) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "Error Code {}", self.code())?,
        }
        match self {
            Self::MessageHeader(s) => write!(f, ": {s}"),
            Self::Open(s) => write!(f, ": {s}"),
            Self::Update(s) => write!(f, ": {s}"),
            Self::Fsm(s) => write!(f, ": {s}"),
            Self::Cease(s) => write!(f, ": {s}"),
            Self::RouteRefresh(s) => write!(f, ": {s}"),
            Self::HoldTimerExpired | Self::SendHoldTimerExpired => Ok(()),
            Self::Unknown { subcode, .. } => write!(f, ": Subcode {subcode}"),
        }
    }
}
