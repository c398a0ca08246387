//! Capabilities (RFC 5492).
//!
//! A value that has not the shape its RFC gives it is kept as [`Capability::Unknown`], which means
//! not negotiated, and the session comes up without it: one odd capability must not cost the
//! session. Only a list whose lengths do not add up makes the OPEN malformed.

use bytes::{BufMut, BytesMut};

use super::{
    super::{
        error::ParseError,
        parse::{self, PResult},
    },
    GracefulRestart, LongLivedGracefulRestart,
};
use crate::types::Asn;

/// Capability codes (IANA "Capability Codes").
mod code {
    pub(super) const MULTIPROTOCOL: u8 = 1;
    pub(super) const ROUTE_REFRESH: u8 = 2;
    pub(super) const EXTENDED_NEXT_HOP: u8 = 5;
    pub(super) const EXTENDED_MESSAGE: u8 = 6;
    pub(super) const ROLE: u8 = 9;
    pub(super) const GRACEFUL_RESTART: u8 = 64;
    pub(super) const FOUR_OCTET_AS: u8 = 65;
    pub(super) const ADD_PATH: u8 = 69;
    pub(super) const ENHANCED_ROUTE_REFRESH: u8 = 70;
    pub(super) const LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
    pub(super) const FQDN: u8 = 73;
}

/// The direction of ADD-PATH, from the sender's point of view (RFC 7911 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AddPathMode {
    /// Can receive several paths.
    Receive = 1,
    /// Can send several paths.
    Send = 2,
    /// Both.
    Both = 3,
}

/// A capability that the sender of an OPEN has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// 1: a family in MP_REACH_NLRI (RFC 4760 section 8).
    Multiprotocol {
        /// Address Family Identifier.
        afi: u16,
        /// Subsequent Address Family Identifier.
        safi: u8,
    },
    /// 2: ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
    /// 5: families that may have a next hop of another family (RFC 8950): AFI and SAFI of the
    /// NLRI, AFI of the next hop.
    ExtendedNextHop(Vec<(u16, u16, u16)>),
    /// 6: messages up to 65535 octets (RFC 8654).
    ExtendedMessage,
    /// 9: BGP role (RFC 9234).
    Role(u8),
    /// 64: graceful restart (RFC 4724).
    GracefulRestart(GracefulRestart),
    /// 65: four-octet AS numbers, with the sender's own (RFC 6793).
    FourOctetAs(Asn),
    /// 69: several paths for one prefix (RFC 7911), by AFI and SAFI.
    AddPath(Vec<(u16, u8, AddPathMode)>),
    /// 70: enhanced route refresh (RFC 7313).
    EnhancedRouteRefresh,
    /// 71: long-lived graceful restart (RFC 9494).
    LongLivedGracefulRestart(LongLivedGracefulRestart),
    /// 73: host and domain name (draft-walton-bgp-hostname-capability).
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name.
        domain: String,
    },
    /// A code that Redstart does not know, or a value that the code cannot have.
    Unknown {
        /// The capability code.
        code: u8,
        /// Its value.
        value: Vec<u8>,
    },
}

impl Capability {
    /// The capability code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol { .. } => code::MULTIPROTOCOL,
            Self::RouteRefresh => code::ROUTE_REFRESH,
            Self::ExtendedNextHop(_) => code::EXTENDED_NEXT_HOP,
            Self::ExtendedMessage => code::EXTENDED_MESSAGE,
            Self::Role(_) => code::ROLE,
            Self::GracefulRestart(_) => code::GRACEFUL_RESTART,
            Self::FourOctetAs(_) => code::FOUR_OCTET_AS,
            Self::AddPath(_) => code::ADD_PATH,
            Self::EnhancedRouteRefresh => code::ENHANCED_ROUTE_REFRESH,
            Self::LongLivedGracefulRestart(_) => code::LONG_LIVED_GRACEFUL_RESTART,
            Self::Fqdn { .. } => code::FQDN,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Reads the value of a Capabilities parameter. An error means that a length does not fit.
    pub(super) fn decode_all(mut input: &[u8], out: &mut Vec<Self>) -> Result<(), ParseError> {
        while !input.is_empty() {
            let (rest, (code, value)) = tlv(input)?;
            out.push(Self::decode(code, value));
            input = rest;
        }
        Ok(())
    }

    fn decode(code: u8, value: &[u8]) -> Self {
        let parsed = match code {
            code::MULTIPROTOCOL => parse::whole(multiprotocol, value).ok(),
            code::ROUTE_REFRESH => value.is_empty().then_some(Self::RouteRefresh),
            code::EXTENDED_NEXT_HOP => parse::whole(extended_next_hop, value).ok(),
            code::EXTENDED_MESSAGE => value.is_empty().then_some(Self::ExtendedMessage),
            code::ROLE => parse::whole(parse::u8, value).ok().map(Self::Role),
            code::GRACEFUL_RESTART => parse::whole(GracefulRestart::parse, value)
                .ok()
                .map(Self::GracefulRestart),
            code::FOUR_OCTET_AS => parse::whole(parse::u32, value)
                .ok()
                .map(|asn| Self::FourOctetAs(Asn(asn))),
            code::ADD_PATH => parse::whole(add_path, value).ok().flatten(),
            code::ENHANCED_ROUTE_REFRESH => value.is_empty().then_some(Self::EnhancedRouteRefresh),
            code::LONG_LIVED_GRACEFUL_RESTART => {
                parse::whole(LongLivedGracefulRestart::parse, value)
                    .ok()
                    .map(Self::LongLivedGracefulRestart)
            }
            code::FQDN => parse::whole(fqdn, value).ok().flatten(),
            _ => None,
        };
        parsed.unwrap_or_else(|| Self::Unknown {
            code,
            value: value.to_vec(),
        })
    }

    /// Appends code, length and value. A value of more than 255 octets has no form on the wire and
    /// is left out; no capability that Redstart offers comes near.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        let mut value = BytesMut::new();
        self.put_value(&mut value);
        if let Ok(len) = u8::try_from(value.len()) {
            out.put_u8(self.code());
            out.put_u8(len);
            out.put_slice(&value);
        }
    }

    fn put_value(&self, out: &mut BytesMut) {
        match self {
            Self::Multiprotocol { afi, safi } => {
                out.put_u16(*afi);
                out.put_u8(0);
                out.put_u8(*safi);
            }
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::ExtendedNextHop(list) => {
                for (afi, safi, next_hop_afi) in list {
                    out.put_u16(*afi);
                    out.put_u16(*safi);
                    out.put_u16(*next_hop_afi);
                }
            }
            Self::Role(role) => out.put_u8(*role),
            Self::GracefulRestart(restart) => restart.put(out),
            Self::FourOctetAs(asn) => out.put_u32(asn.0),
            Self::AddPath(list) => {
                for (afi, safi, mode) in list {
                    out.put_u16(*afi);
                    out.put_u8(*safi);
                    out.put_u8(*mode as u8);
                }
            }
            Self::LongLivedGracefulRestart(restart) => restart.put(out),
            Self::Fqdn { host, domain } => {
                for name in [host, domain] {
                    let len = u8::try_from(name.len()).unwrap_or(u8::MAX);
                    out.put_u8(len);
                    out.put_slice(name.as_bytes());
                }
            }
            Self::Unknown { value, .. } => out.put_slice(value),
        }
    }
}

fn tlv(input: &[u8]) -> PResult<'_, (u8, &[u8])> {
    let (input, code) = parse::u8(input)?;
    let (input, value) = parse::sized_u8(input)?;
    Ok((input, (code, value)))
}

fn multiprotocol(input: &[u8]) -> PResult<'_, Capability> {
    let (input, afi) = parse::u16(input)?;
    let (input, _reserved) = parse::u8(input)?;
    let (input, safi) = parse::u8(input)?;
    Ok((input, Capability::Multiprotocol { afi, safi }))
}

fn extended_next_hop(mut input: &[u8]) -> PResult<'_, Capability> {
    let mut list = Vec::with_capacity(input.len() / 6);
    while !input.is_empty() {
        let (rest, afi) = parse::u16(input)?;
        let (rest, safi) = parse::u16(rest)?;
        let (rest, next_hop_afi) = parse::u16(rest)?;
        list.push((afi, safi, next_hop_afi));
        input = rest;
    }
    Ok((input, Capability::ExtendedNextHop(list)))
}

/// `None` if a mode is none of the three: "the capability SHOULD be treated as not understood and
/// ignored" (RFC 7911 section 4).
fn add_path(mut input: &[u8]) -> PResult<'_, Option<Capability>> {
    let mut list = Vec::with_capacity(input.len() / 4);
    let mut understood = true;
    while !input.is_empty() {
        let (rest, afi) = parse::u16(input)?;
        let (rest, safi) = parse::u8(rest)?;
        let (rest, mode) = parse::u8(rest)?;
        match mode {
            1 => list.push((afi, safi, AddPathMode::Receive)),
            2 => list.push((afi, safi, AddPathMode::Send)),
            3 => list.push((afi, safi, AddPathMode::Both)),
            _ => understood = false,
        }
        input = rest;
    }
    Ok((input, understood.then_some(Capability::AddPath(list))))
}

/// `None` if a name is not UTF-8.
fn fqdn(input: &[u8]) -> PResult<'_, Option<Capability>> {
    let text = |octets: &[u8]| core::str::from_utf8(octets).ok().map(str::to_owned);
    let (input, host) = parse::sized_u8(input)?;
    let (input, domain) = parse::sized_u8(input)?;
    let fqdn = text(host)
        .zip(text(domain))
        .map(|(host, domain)| Capability::Fqdn { host, domain });
    Ok((input, fqdn))
}
