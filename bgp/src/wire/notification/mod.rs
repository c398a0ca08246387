//! NOTIFICATION: why a session ends (RFC 4271 sections 4.5 and 6).
//!
//! Code and subcode are one closed value, [`ErrorCode`]; what a newer peer invents is kept as
//! numbers. The data field keeps the octets, because what they mean depends on the code:
//!
//! - the erroneous field or attribute (RFC 4271 section 6),
//! - a message to the operator, in Administrative Shutdown and Reset (RFC 9003),
//! - another NOTIFICATION, in a Hard Reset (RFC 8538).
//!
//! A message from a peer is text from outside: [`Notification::shutdown_message`] cleans it before
//! a log or terminal sees it.

mod code;

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

pub use code::{
    CeaseSubcode, ErrorCode, FsmSubcode, HeaderSubcode, OpenSubcode, RouteRefreshSubcode,
    UpdateSubcode,
};

use super::{
    error::ParseError,
    header::{HEADER_LEN, MessageType, frame},
    parse,
};
use crate::types::Family;

/// A NOTIFICATION message. The connection is closed after it, in either direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// Code and subcode.
    pub code: ErrorCode,
    /// Data, by code.
    pub data: Bytes,
}

impl Notification {
    /// Without data.
    #[must_use]
    pub const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            data: Bytes::new(),
        }
    }

    /// With a copy of `data`.
    #[must_use]
    pub fn with_data(code: ErrorCode, data: &[u8]) -> Self {
        Self {
            code,
            data: Bytes::copy_from_slice(data),
        }
    }

    /// A Cease with a message to the peer's operator (RFC 9003 section 2), cut to 255 octets on a
    /// character boundary. Only Administrative Shutdown and Administrative Reset carry one; other
    /// subcodes go without.
    #[must_use]
    pub fn cease_with_message(subcode: CeaseSubcode, message: &str) -> Self {
        let code = ErrorCode::Cease(subcode);
        let mut text = message;
        while text.len() > usize::from(u8::MAX) {
            let mut chars = text.chars();
            chars.next_back();
            text = chars.as_str();
        }
        match u8::try_from(text.len()) {
            Ok(len) if len > 0 && carries_message(code) => {
                let mut data = BytesMut::with_capacity(1 + text.len());
                data.put_u8(len);
                data.put_slice(text.as_bytes());
                Self {
                    code,
                    data: data.freeze(),
                }
            }
            _ => Self::new(code),
        }
    }

    /// Maximum Number of Prefixes Reached, with the family and the limit (RFC 4486 section 4).
    #[must_use]
    pub fn max_prefixes(family: Family, limit: u32) -> Self {
        let mut data = BytesMut::with_capacity(7);
        data.put_u16(family.afi());
        data.put_u8(family.safi());
        data.put_u32(limit);
        Self {
            code: ErrorCode::Cease(CeaseSubcode::MaximumPrefixesReached),
            data: data.freeze(),
        }
    }

    /// A Hard Reset that gives `inner` as its reason (RFC 8538 section 3): the peer drops the
    /// routes although it may support graceful restart after a NOTIFICATION.
    #[must_use]
    pub fn hard_reset(inner: &Self) -> Self {
        let mut data = BytesMut::with_capacity(2 + inner.data.len());
        data.put_u8(inner.code.code());
        data.put_u8(inner.code.subcode());
        data.put_slice(&inner.data);
        Self {
            code: ErrorCode::Cease(CeaseSubcode::HardReset),
            data: data.freeze(),
        }
    }

    /// The NOTIFICATION inside a Hard Reset; `None` if this is none, or has nothing inside.
    #[must_use]
    pub fn encapsulated(&self) -> Option<Self> {
        if self.code != ErrorCode::Cease(CeaseSubcode::HardReset) {
            return None;
        }
        let (&[code, subcode], _) = self.data.split_first_chunk()?;
        Some(Self {
            code: ErrorCode::from_wire(code, subcode),
            data: self.data.slice(2..),
        })
    }

    /// What the peer's operator wrote (RFC 9003), also inside a Hard Reset. Control characters, and
    /// those that change the order of others or are not seen, become spaces and octets that are not UTF-8 become replacement characters. `None` if there
    /// is no message, or if its length contradicts the data.
    #[must_use]
    pub fn shutdown_message(&self) -> Option<String> {
        let inner = self.encapsulated();
        let notification = inner.as_ref().unwrap_or(self);
        if !carries_message(notification.code) {
            return None;
        }
        let text = parse::whole(parse::sized_u8, &notification.data).ok()?;
        let text: String = String::from_utf8_lossy(text)
            .chars()
            .map(|c| if is_harmless(c) { c } else { ' ' })
            .collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Reads a whole message. There is no answer to a broken NOTIFICATION (RFC 4271 section 6.4),
    /// and the header check has already refused one without code and subcode.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, ParseError> {
        let (body, _) = parse::octets(HEADER_LEN)(message)?;
        let (body, code) = parse::u8(body)?;
        let (data, subcode) = parse::u8(body)?;
        Ok(Self::with_data(ErrorCode::from_wire(code, subcode), data))
    }

    /// Data that would exceed the longest message is cut.
    pub(crate) fn encode(&self, extended: bool, out: &mut BytesMut) {
        let room =
            MessageType::Notification.max_len(extended) - MessageType::Notification.min_len();
        let data = self.data.get(..room).unwrap_or(&self.data);
        frame(MessageType::Notification, out, |out| {
            out.put_u8(self.code.code());
            out.put_u8(self.code.subcode());
            out.put_slice(data);
        });
    }
}

/// Whether a character shows as itself and leaves the rest of the line alone: a text from elsewhere must
/// not deceive who reads it (RFC 9003 section 5).
fn is_harmless(c: char) -> bool {
    let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !invisible
}

const fn carries_message(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Cease(CeaseSubcode::AdministrativeShutdown | CeaseSubcode::AdministrativeReset)
    )
}

impl fmt::Display for Notification {
    /// Code and subcode in the RFCs' words, then the operator's message or the reason inside a
    /// Hard Reset: `Cease: Administrative Shutdown ("maintenance")`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        if let Some(inner) = self.encapsulated() {
            write!(f, " ({})", inner.code)?;
        }
        match self.shutdown_message() {
            Some(message) => write!(f, " ({message:?})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
