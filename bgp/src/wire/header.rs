//! The message header (RFC 4271 section 4.1): marker, length, type.
//!
//! Everything in it is checked as soon as its octets are there, so that a peer that does not speak
//! BGP is answered after its first octet and not after 65535 of them.
//!
//! Lengths by type: RFC 4271 section 6.1; RFC 8654 section 4 raises the limit of UPDATE,
//! NOTIFICATION and ROUTE-REFRESH, and of nothing else.

use bytes::{BufMut, BytesMut};

use super::notification::{ErrorCode, HeaderSubcode, Notification};

/// Octets of the header.
pub const HEADER_LEN: usize = 19;
/// "This 16-octet field is included for compatibility; it MUST be set to all ones."
pub const MARKER: [u8; 16] = [0xff; 16];
/// Longest message without RFC 8654, in octets.
pub const MAX_LEN: usize = 4096;
/// Longest message with RFC 8654, in octets.
pub const MAX_EXTENDED_LEN: usize = 65535;

/// Offset of the length field.
const LENGTH_AT: usize = 16;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// OPEN.
    Open = 1,
    /// UPDATE.
    Update = 2,
    /// NOTIFICATION.
    Notification = 3,
    /// KEEPALIVE.
    Keepalive = 4,
    /// ROUTE-REFRESH (RFC 2918).
    RouteRefresh = 5,
}

impl MessageType {
    /// Every type, in code order.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Update,
        Self::Notification,
        Self::Keepalive,
        Self::RouteRefresh,
    ];

    /// The type with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Open),
            2 => Some(Self::Update),
            3 => Some(Self::Notification),
            4 => Some(Self::Keepalive),
            5 => Some(Self::RouteRefresh),
            _ => None,
        }
    }

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The shortest message of this type, in octets with the header.
    #[must_use]
    pub const fn min_len(self) -> usize {
        match self {
            Self::Open => 29,
            Self::Update | Self::RouteRefresh => 23,
            Self::Notification => 21,
            Self::Keepalive => 19,
        }
    }

    /// The longest message of this type, in octets with the header.
    ///
    /// RFC 8654 leaves OPEN as it was: it is sent before the capability is known. A KEEPALIVE is its
    /// header and nothing else (RFC 4271 section 4.4).
    #[must_use]
    pub const fn max_len(self, extended: bool) -> usize {
        match self {
            Self::Keepalive => 19,
            Self::Open => MAX_LEN,
            Self::Update | Self::Notification | Self::RouteRefresh => {
                if extended {
                    MAX_EXTENDED_LEN
                } else {
                    MAX_LEN
                }
            }
        }
    }
}

/// A header whose every field is acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of the whole message in octets.
    pub(crate) len: usize,
    /// Its type.
    pub(crate) kind: MessageType,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` if octets are missing and those that are
    /// there are right.
    pub(crate) fn read(bytes: &[u8], extended: bool) -> Result<Option<Self>, Notification> {
        let marker = bytes.get(..MARKER.len()).unwrap_or(bytes);
        if !MARKER.starts_with(marker) {
            return Err(error(HeaderSubcode::ConnectionNotSynchronized, &[]));
        }
        let Some(&[hi, lo]) = bytes.get(LENGTH_AT..LENGTH_AT + 2) else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([hi, lo]));
        // "The Data field MUST contain the erroneous Length field" (RFC 4271 section 6.1).
        let bad_length = || error(HeaderSubcode::BadMessageLength, &[hi, lo]);
        let longest = if extended { MAX_EXTENDED_LEN } else { MAX_LEN };
        if len < HEADER_LEN || len > longest {
            return Err(bad_length());
        }
        let Some(&code) = bytes.get(LENGTH_AT + 2) else {
            return Ok(None);
        };
        // "The Data field MUST contain the erroneous Type field" (RFC 4271 section 6.1).
        let kind = MessageType::from_code(code)
            .ok_or_else(|| error(HeaderSubcode::BadMessageType, &[code]))?;
        if len < kind.min_len() || len > kind.max_len(extended) {
            return Err(bad_length());
        }
        Ok(Some(Self { len, kind }))
    }
}

fn error(subcode: HeaderSubcode, data: &[u8]) -> Notification {
    Notification::with_data(ErrorCode::MessageHeader(subcode), data)
}

/// Appends a header with no length yet, lets `body` append the rest, then fills the length in.
///
/// `body` must keep within the maximum of the type.
pub(crate) fn frame(kind: MessageType, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    // The length is filled in when it is known.
    let mut header = [0; HEADER_LEN];
    let [marker @ .., _, _, code] = &mut header;
    (*marker, *code) = (MARKER, kind.code());
    out.put_slice(&header);
    body(out);
    patch_u16(out, start + LENGTH_AT, start);
}

/// Writes at `at` the number of octets from `from` to the end of `out`.
pub(crate) fn patch_u16(out: &mut BytesMut, at: usize, from: usize) {
    let len = u16::try_from(out.len() - from);
    debug_assert!(len.is_ok(), "a length field of a message exceeds 65535");
    let len = len.unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(at..at + 2) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}
