//! OPEN: who the peer is and what it can do (RFC 4271 section 4.2).
//!
//! Optional parameters come in two shapes: lengths of one octet, and of two (RFC 9072), told apart
//! by the first parameter's type. Only one parameter is alive, Capabilities (RFC 5492). We send all
//! capabilities in one parameter and switch to the long shape when 255 octets do not hold it.
//!
//! Decoding also makes the checks of RFC 4271 section 6.2 that need nothing but the message:
//! version, AS number zero, hold time of one or two seconds, identifier zero. Whether the AS number
//! is the one that was configured is the session's question.

mod capability;
mod display;
mod graceful_restart;

use bytes::{BufMut, BytesMut};

pub use capability::{AddPathMode, Capability};
pub use graceful_restart::{
    GracefulRestart, GracefulRestartFamily, LongLivedFamily, LongLivedGracefulRestart,
};

use super::{
    header::{HEADER_LEN, MessageType, frame, patch_u16},
    notification::{ErrorCode, Notification, OpenSubcode},
    parse::{self, PResult},
};
use crate::types::{Asn, RouterId};

/// "The current BGP version number is 4" (RFC 4271 section 4.2).
const VERSION: u8 = 4;
/// Optional parameter Capabilities (RFC 5492 section 4).
const CAPABILITIES: u8 = 2;
/// In place of the first parameter's type: lengths have two octets (RFC 9072 section 2).
const EXTENDED_LENGTH: u8 = 255;

/// An OPEN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Protocol version; 4 in every OPEN that was decoded.
    pub version: u8,
    /// The sender's AS: from capability 65 if it is there, else from the two-octet field.
    pub asn: Asn,
    /// Proposed hold time in seconds; 0, or 3 and more.
    pub hold_time: u16,
    /// BGP Identifier.
    pub router_id: RouterId,
    /// Capabilities in the order of the message; a capability may occur more than once.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Reads and judges a whole message.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, Notification> {
        let body = message.get(HEADER_LEN..).unwrap_or_default();
        // Nothing after the version can be trusted to be where version 4 has it.
        match body.first() {
            Some(&VERSION) => {}
            // "The Data field is a 2-octet unsigned integer, which indicates the largest,
            // locally-supported version number" (RFC 4271 section 6.2).
            Some(_) => {
                return Err(Notification::with_data(
                    ErrorCode::Open(OpenSubcode::UnsupportedVersionNumber),
                    &u16::from(VERSION).to_be_bytes(),
                ));
            }
            None => return Err(refused(OpenSubcode::Unspecific)),
        }
        let malformed = |_| refused(OpenSubcode::Unspecific);
        let fixed = parse::whole(fixed_part, body).map_err(malformed)?;
        let capabilities = fixed.parameters()?;
        let asn = capabilities
            .iter()
            .find_map(|c| match c {
                Capability::FourOctetAs(asn) => Some(*asn),
                _ => None,
            })
            .unwrap_or(Asn(fixed.my_as.into()));
        let open = Self {
            version: VERSION,
            asn,
            hold_time: fixed.hold_time,
            router_id: RouterId::from_u32(fixed.identifier),
            capabilities,
        };
        open.check()?;
        // Zero in the two-octet field is no AS either, whatever capability 65 says: a number that
        // does not fit is AS_TRANS there.
        if fixed.my_as == 0 {
            return Err(refused(OpenSubcode::BadPeerAs));
        }
        Ok(open)
    }

    /// RFC 4271 section 6.2, as far as the message alone can tell.
    fn check(&self) -> Result<(), Notification> {
        // "If a BGP speaker receives zero as the peer AS in an OPEN message, it MUST abort the
        // connection and send a NOTIFICATION with Error Code 'OPEN Message Error' and subcode 'Bad
        // Peer AS'" (RFC 7607 section 2).
        if self.asn.is_zero() {
            return Err(refused(OpenSubcode::BadPeerAs));
        }
        // "An implementation MUST reject Hold Time values of one or two seconds."
        if matches!(self.hold_time, 1 | 2) {
            return Err(refused(OpenSubcode::UnacceptableHoldTime));
        }
        // "If the BGP Identifier field of the OPEN message is zero", Bad BGP Identifier (RFC 6286
        // section 2.2).
        if !self.router_id.is_valid() {
            return Err(refused(OpenSubcode::BadBgpIdentifier));
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let mut capabilities = BytesMut::new();
        for capability in &self.capabilities {
            capability.encode(&mut capabilities);
        }
        frame(MessageType::Open, out, |out| {
            out.put_u8(self.version);
            // AS_TRANS where the number has no two-octet form (RFC 6793 section 9).
            out.put_u16(self.asn.to_two_octet());
            out.put_u16(self.hold_time);
            out.put_slice(&self.router_id.0.octets());
            put_parameters(&capabilities, out);
        });
    }
}

/// Everything in an OPEN, its parameters not yet read.
struct Fixed<'a> {
    my_as: u16,
    hold_time: u16,
    identifier: u32,
    extended: bool,
    parameters: &'a [u8],
}

fn fixed_part(input: &[u8]) -> PResult<'_, Fixed<'_>> {
    let (input, _version) = parse::u8(input)?;
    let (input, my_as) = parse::u16(input)?;
    let (input, hold_time) = parse::u16(input)?;
    let (input, identifier) = parse::u32(input)?;
    // The type 255 alone says that the lengths are long: the one-octet length before it is to be
    // ignored (RFC 9072 section 2). With no parameters at all there is no type to look at.
    let extended = matches!(input, [1..=u8::MAX, EXTENDED_LENGTH, ..]);
    let (rest, parameters) = if extended {
        let (input, _) = parse::octets(2)(input)?;
        parse::sized_u16(input)?
    } else {
        parse::sized_u8(input)?
    };
    let fixed = Fixed {
        my_as,
        hold_time,
        identifier,
        extended,
        parameters,
    };
    Ok((rest, fixed))
}

impl Fixed<'_> {
    fn parameters(&self) -> Result<Vec<Capability>, Notification> {
        let mut capabilities = Vec::new();
        let mut rest = self.parameters;
        while !rest.is_empty() {
            let (tail, (kind, value)) =
                parameter(self.extended, rest).map_err(|_| refused(OpenSubcode::Unspecific))?;
            if kind != CAPABILITIES {
                return Err(refused(OpenSubcode::UnsupportedOptionalParameter));
            }
            Capability::decode_all(value, &mut capabilities)
                .map_err(|_| refused(OpenSubcode::Unspecific))?;
            rest = tail;
        }
        Ok(capabilities)
    }
}

fn parameter(extended: bool, input: &[u8]) -> PResult<'_, (u8, &[u8])> {
    let (input, kind) = parse::u8(input)?;
    let (input, value) = if extended {
        parse::sized_u16(input)?
    } else {
        parse::sized_u8(input)?
    };
    Ok((input, (kind, value)))
}

fn put_parameters(capabilities: &[u8], out: &mut BytesMut) {
    if capabilities.is_empty() {
        return out.put_u8(0);
    }
    match (
        u8::try_from(capabilities.len() + 2),
        u8::try_from(capabilities.len()),
    ) {
        (Ok(parameters_len), Ok(len)) => {
            out.put_slice(&[parameters_len, CAPABILITIES, len]);
            out.put_slice(capabilities);
        }
        _ => {
            out.put_slice(&[EXTENDED_LENGTH, EXTENDED_LENGTH]);
            let outer = out.len();
            out.put_u16(0);
            out.put_u8(CAPABILITIES);
            let inner = out.len();
            out.put_u16(0);
            out.put_slice(capabilities);
            patch_u16(out, inner, inner + 2);
            patch_u16(out, outer, outer + 2);
        }
    }
}

fn refused(subcode: OpenSubcode) -> Notification {
    Notification::new(ErrorCode::Open(subcode))
}

#[cfg(test)]
pub(super) mod tests;
