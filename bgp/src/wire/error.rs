//! What can be wrong with bytes, and what is done about it.
//!
//! Three kinds of error, one for each boundary:
//!
//! - [`ParseError`]: structure. Eight octets and `Copy`, because nom carries it through every
//!   combinator and an owning error costs a third of the decoding speed.
//! - [`AttributeFault`]: meaning. A closed reason and the [`Disposition`] that RFC 7606 gives it.
//! - [`EncodeError`]: what cannot be said in a message.

use nom::error::ErrorKind;

use super::notification::UpdateSubcode;

/// Why octets do not have the structure that was asked of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// Octets that were left in the enclosing slice; the offset is its length less this.
    pub(crate) remaining: u32,
    /// The nom parser that refused.
    pub(crate) kind: ErrorKind,
}

const _: () = assert!(size_of::<ParseError>() == 8);

impl ParseError {
    /// The octets are there and mean nothing.
    pub(crate) fn invalid(input: &[u8]) -> Self {
        nom::error::ParseError::from_error_kind(input, ErrorKind::Verify)
    }
}

impl From<nom::Err<Self>> for ParseError {
    /// The error without nom's wrapping. The complete parsers never ask for more octets.
    fn from(error: nom::Err<Self>) -> Self {
        match error {
            nom::Err::Error(e) | nom::Err::Failure(e) => e,
            nom::Err::Incomplete(_) => Self {
                remaining: 0,
                kind: ErrorKind::Complete,
            },
        }
    }
}

impl nom::error::ParseError<&[u8]> for ParseError {
    fn from_error_kind(input: &[u8], kind: ErrorKind) -> Self {
        let remaining = u32::try_from(input.len()).unwrap_or(u32::MAX);
        Self { remaining, kind }
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// What is done about a fault (RFC 7606 section 2), mildest first. Of several faults in one UPDATE
/// the strongest approach is taken (section 3 (h)), which is `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// The attribute is dropped and the route kept.
    DiscardAttribute,
    /// The routes of the UPDATE are handled as if it had withdrawn them.
    TreatAsWithdraw,
    /// The session is reset with a NOTIFICATION.
    Reset,
}

impl Disposition {
    /// The stable identifier for logs, metrics and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiscardAttribute => "discard-attribute",
            Self::TreatAsWithdraw => "treat-as-withdraw",
            Self::Reset => "reset",
        }
    }
}

impl core::fmt::Display for Disposition {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault in a path attribute that did not reset the session, and what was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("attribute {code}: {reason} ({disposition})")]
pub struct AttributeFault {
    /// The type code; 0 for the NLRI and Withdrawn Routes fields and for octets that are too few
    /// to hold one.
    pub code: u8,
    /// What was done.
    pub disposition: Disposition,
    /// What was wrong.
    pub reason: FaultReason,
}

/// What is wrong with a path attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum FaultReason {
    /// Optional or Transitive contradicts the type (RFC 7606 section 3 (c)), or Partial is set where
    /// it must not be (RFC 4271 section 4.3).
    #[error("invalid-flags")]
    InvalidFlags,
    /// The length is none that the type can have, or lengths inside the value disagree with it.
    #[error("invalid-length")]
    InvalidLength,
    /// The attribute does not fit what is left of the attribute list (RFC 7606 section 4).
    #[error("attribute-overrun")]
    AttributeOverrun,
    /// The attribute occurs again (RFC 7606 section 3 (g)).
    #[error("duplicate")]
    Duplicate,
    /// A mandatory attribute is not there (RFC 7606 section 3 (d)).
    #[error("missing-mandatory")]
    MissingMandatory,
    /// Flagged as well-known, and not known (RFC 4271 section 6.3).
    #[error("unrecognized-well-known")]
    UnrecognizedWellKnown,
    /// ORIGIN is none of the three (RFC 7606 section 7.1).
    #[error("invalid-origin")]
    InvalidOrigin,
    /// A segment of unknown type, without members, or longer than the path (RFC 7606 section 7.2).
    #[error("malformed-segment")]
    MalformedSegment,
    /// A confederation segment from outside the confederation (RFC 5065 section 5).
    #[error("confederation-segment")]
    ConfederationSegment,
    /// AS number zero (RFC 7607 section 2).
    #[error("as-zero")]
    AsZero,
    /// The next hop cannot be a host's address (RFC 4271 section 6.3).
    #[error("invalid-next-hop")]
    InvalidNextHop,
    /// The next hop's length is none that the family can have (RFC 7606 section 7.11).
    #[error("invalid-next-hop-length")]
    InvalidNextHopLength,
    /// A prefix is longer than its family allows or than what is left (RFC 7606 section 5.3).
    #[error("invalid-nlri")]
    InvalidNlri,
    /// Internal to an AS, and received from outside (RFC 7606 sections 7.5, 7.9, 7.10).
    #[error("from-external-peer")]
    FromExternalPeer,
    /// AS4_PATH or AS4_AGGREGATOR from a peer that speaks four-octet AS numbers (RFC 6793
    /// section 6).
    #[error("from-four-octet-peer")]
    FromFourOctetPeer,
    /// Routes of a family that was not negotiated.
    #[error("family-not-negotiated")]
    FamilyNotNegotiated,
}

impl FaultReason {
    /// The UPDATE Message Error subcode that says this (RFC 4271 section 6.3), for a fault that
    /// has to reset the session.
    pub(crate) const fn subcode(self) -> UpdateSubcode {
        match self {
            Self::InvalidFlags => UpdateSubcode::AttributeFlagsError,
            Self::InvalidLength => UpdateSubcode::AttributeLengthError,
            Self::AttributeOverrun | Self::Duplicate => UpdateSubcode::MalformedAttributeList,
            Self::MissingMandatory => UpdateSubcode::MissingWellKnownAttribute,
            Self::UnrecognizedWellKnown => UpdateSubcode::UnrecognizedWellKnownAttribute,
            Self::InvalidOrigin => UpdateSubcode::InvalidOriginAttribute,
            Self::MalformedSegment | Self::ConfederationSegment | Self::AsZero => {
                UpdateSubcode::MalformedAsPath
            }
            Self::InvalidNextHop => UpdateSubcode::InvalidNextHopAttribute,
            Self::InvalidNlri => UpdateSubcode::InvalidNetworkField,
            Self::InvalidNextHopLength
            | Self::FromExternalPeer
            | Self::FromFourOctetPeer
            | Self::FamilyNotNegotiated => UpdateSubcode::OptionalAttributeError,
        }
    }
}

/// Routes that no UPDATE to this peer can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The attributes leave no room for a prefix in a message of the negotiated size.
    #[error("attributes-too-long")]
    AttributesTooLong,
    /// The route has no next hop.
    #[error("no-next-hop")]
    NoNextHop,
    /// The next hop is of a family that these prefixes cannot have, or that needs RFC 8950 and
    /// was not negotiated.
    #[error("next-hop-family")]
    NextHopFamily,
}
