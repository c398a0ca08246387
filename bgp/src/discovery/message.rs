//! Router Solicitations and Router Advertisements (RFC 4861 sections 4.1 and 4.2), the two messages
//! of ICMPv6 that this module knows.
//!
//! The kernel has checked the ICMPv6 checksum of what it hands over, and fills it in on what is sent.

use core::fmt;
use std::net::Ipv6Addr;

/// ICMPv6 type 133.
const ROUTER_SOLICITATION: u8 = 133;

/// ICMPv6 type 134.
const ROUTER_ADVERTISEMENT: u8 = 134;

/// With this hop limit a packet "could not possibly have been forwarded by a router" (RFC 4861
/// section 6.1.1).
const HOP_LIMIT: u8 = 255;

/// A message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who is a router here?
    Solicitation,
    /// We are, but nobody's default router.
    Advertisement,
}

impl Message {
    /// The ICMPv6 type.
    #[must_use]
    pub const fn icmp_type(self) -> u8 {
        match self {
            Self::Solicitation => ROUTER_SOLICITATION,
            Self::Advertisement => ROUTER_ADVERTISEMENT,
        }
    }

    /// Where it goes: to all routers, or to all nodes, of the link.
    #[must_use]
    pub const fn destination(self) -> Ipv6Addr {
        match self {
            Self::Solicitation => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2),
            Self::Advertisement => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        }
    }

    /// The octets from the ICMPv6 type on, with a checksum of 0 for the kernel to fill in.
    ///
    /// All that could be said of the link is left "unspecified (by this router)" (RFC 4861 section
    /// 4.2): Cur Hop Limit, Reachable Time, Retrans Timer. A Router Lifetime of 0 "indicates that the
    /// router is not a default router and SHOULD NOT appear on the default router list", and the
    /// preference of RFC 4191 must then be 0 too. Without options: the link-layer address is asked
    /// for by whoever needs it.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let len = match self {
            Self::Solicitation => 8,
            Self::Advertisement => 16,
        };
        let mut octets = vec![0; len];
        if let Some(first) = octets.first_mut() {
            *first = self.icmp_type();
        }
        octets
    }
}

/// What arrived, and what the IPv6 header said about it.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its source address.
    pub from: Ipv6Addr,
    /// Its hop limit on arrival, if the kernel said so.
    pub hop_limit: Option<u8>,
    /// The octets from the ICMPv6 type on.
    pub octets: &'a [u8],
}

/// Why a message is "silently discarded" (RFC 4861 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invalid {
    /// Neither of the two messages.
    OtherType,
    /// It may have come from beyond the link.
    HopLimit,
    /// The source is not an address of the link, or not one that this message may have.
    Source,
    /// Not the code that it must have.
    Code,
    /// Shorter than the message is.
    Length,
    /// An option of no length, or one that ends after the message does.
    Option,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OtherType => "other-type",
            Self::HopLimit => "hop-limit-not-255",
            Self::Source => "source-not-link-local",
            Self::Code => "code-not-0",
            Self::Length => "too-short",
            Self::Option => "malformed-option",
        })
    }
}

impl core::error::Error for Invalid {}

/// ICMPv6 option 1 (RFC 4861 section 4.6.1).
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;

impl Received<'_> {
    /// Which message it is.
    ///
    /// What an Advertisement says to hosts (prefixes, lifetimes, DNS) is none of our business; it is
    /// read as far as the checks of RFC 4861 section 6.1 go.
    ///
    /// # Errors
    /// It is not one that may be acted upon.
    pub fn validate(&self) -> Result<Message, Invalid> {
        let &[kind, code, ..] = self.octets else {
            return Err(Invalid::Length);
        };
        let (message, fixed) = match kind {
            ROUTER_SOLICITATION => (Message::Solicitation, 8),
            ROUTER_ADVERTISEMENT => (Message::Advertisement, 16),
            _ => return Err(Invalid::OtherType),
        };
        if self.hop_limit != Some(HOP_LIMIT) {
            return Err(Invalid::HopLimit);
        }
        // A host that has no address yet may ask, without giving its link-layer address.
        let nameless = message == Message::Solicitation && self.from.is_unspecified();
        if !nameless && !self.from.is_unicast_link_local() {
            return Err(Invalid::Source);
        }
        if code != 0 {
            return Err(Invalid::Code);
        }
        let options = self.octets.get(fixed..).ok_or(Invalid::Length)?;
        let addressed = has_source_address(options)?;
        if nameless && addressed {
            return Err(Invalid::Source);
        }
        Ok(message)
    }
}

/// Goes through the options: each has a length, in units of 8 octets, and "all included options have a
/// length that is greater than zero". Whether the source link-layer address is among them.
fn has_source_address(mut options: &[u8]) -> Result<bool, Invalid> {
    let mut found = false;
    while !options.is_empty() {
        let &[kind, units, ..] = options else {
            return Err(Invalid::Option);
        };
        let len = usize::from(units) * 8;
        if len == 0 {
            return Err(Invalid::Option);
        }
        options = options.get(len..).ok_or(Invalid::Option)?;
        found |= kind == SOURCE_LINK_LAYER_ADDRESS;
    }
    Ok(found)
}
