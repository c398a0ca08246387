//! ROUTE-REFRESH (RFC 2918) and the markers around its answer (RFC 7313).

use bytes::{BufMut, BytesMut};

use super::{
    header::{HEADER_LEN, MessageType, frame},
    notification::{ErrorCode, HeaderSubcode, Notification, RouteRefreshSubcode},
};

/// What a ROUTE-REFRESH says (RFC 7313 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefreshKind {
    /// 0: please send the routes of this family again.
    Request,
    /// 1: the routes of this family follow (BoRR).
    Begin,
    /// 2: they have all been sent (EoRR).
    End,
    /// Any other subtype: whoever receives it must ignore the message (RFC 7313 section 5).
    Unknown(u8),
}

impl RefreshKind {
    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            other => Self::Unknown(other),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Begin => 1,
            Self::End => 2,
            Self::Unknown(other) => other,
        }
    }
}

/// A ROUTE-REFRESH message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteRefresh {
    /// Address Family Identifier, not necessarily one that Redstart speaks.
    pub afi: u16,
    /// Subsequent Address Family Identifier.
    pub safi: u8,
    /// Request, or one of the markers.
    pub kind: RefreshKind,
}

impl RouteRefresh {
    /// Reads a whole message. A longer body would be an ORF (RFC 5291), which Redstart never offers,
    /// or belong to a subtype that is ignored whatever its body is.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, Notification> {
        let Some(&[afi_hi, afi_lo, code, safi, ref more @ ..]) = message.get(HEADER_LEN..) else {
            return Err(bad_length(message));
        };
        let kind = RefreshKind::from_code(code);
        if !more.is_empty() && !matches!(kind, RefreshKind::Unknown(_)) {
            return Err(bad_length(message));
        }
        Ok(Self {
            afi: u16::from_be_bytes([afi_hi, afi_lo]),
            safi,
            kind,
        })
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        frame(MessageType::RouteRefresh, out, |out| {
            out.put_u16(self.afi);
            out.put_u8(self.kind.code());
            out.put_u8(self.safi);
        });
    }
}

/// "If the length, excluding the fixed-size message header, of the received ROUTE-REFRESH message
/// with Message Subtype 1 and 2 is not 4, then the BGP speaker MUST send a NOTIFICATION message
/// with the Error Code of 'ROUTE-REFRESH Message Error' and the subcode of 'Invalid Message
/// Length'", its data the whole message (RFC 7313 section 5). For other subtypes no RFC has a word
/// of its own, so the header's applies.
fn bad_length(message: &[u8]) -> Notification {
    match message.get(HEADER_LEN + 2) {
        Some(1 | 2) => Notification::with_data(
            ErrorCode::RouteRefresh(RouteRefreshSubcode::InvalidMessageLength),
            message,
        ),
        _ => Notification::with_data(
            ErrorCode::MessageHeader(HeaderSubcode::BadMessageLength),
            message.get(16..18).unwrap_or_default(),
        ),
    }
}
