//! The per-peer header (RFC 7854 section 4.2): which table of whom a message is about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use super::read::ReadError;
use crate::{
    mrt::Time,
    types::{Asn, RouterId},
    wire::parse::{self, PResult},
};

/// Peer types.
const GLOBAL_INSTANCE: u8 = 0;
const LOC_RIB_INSTANCE: u8 = 3;

/// Flags of a peer of the global instance. In the order of the octet: IPv6 address, after policy,
/// two-octet AS numbers, and the Adj-RIB-Out (RFC 8671 section 4).
const V: u8 = 0x80;
const L: u8 = 0x40;
const A: u8 = 0x20;
const O: u8 = 0x10;
/// The flag of a Loc-RIB: not all of it is told (RFC 9069 section 4.2).
const F: u8 = 0x80;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// A peer's Adj-RIB-In or Adj-RIB-Out.
    Global {
        /// The Adj-RIB-Out, what the peer is told (RFC 8671).
        adj_rib_out: bool,
        /// After policies.
        post_policy: bool,
        /// AS numbers in its messages have two octets.
        two_octet_as: bool,
    },
    /// The router's own choice of routes (RFC 9069).
    LocRib {
        /// Not all of it is told.
        filtered: bool,
    },
}

/// Which table of whom, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerHeader {
    /// Which table.
    pub kind: PeerKind,
    /// The peer's address; of a Loc-RIB, which has none, the unspecified IPv4 address.
    pub address: IpAddr,
    /// The peer's AS; of a Loc-RIB, ours.
    pub asn: Asn,
    /// The peer's BGP Identifier; of a Loc-RIB, ours.
    pub router_id: RouterId,
    /// When it came; zero where nobody knows.
    pub time: Time,
}

impl PeerHeader {
    const fn flags(&self) -> u8 {
        const fn when(set: bool, flag: u8) -> u8 {
            if set { flag } else { 0 }
        }
        match self.kind {
            PeerKind::LocRib { filtered } => when(filtered, F),
            PeerKind::Global {
                adj_rib_out,
                post_policy,
                two_octet_as,
            } => {
                when(self.address.is_ipv6(), V)
                    | when(post_policy, L)
                    | when(two_octet_as, A)
                    | when(adj_rib_out, O)
            }
        }
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u8(match self.kind {
            PeerKind::Global { .. } => GLOBAL_INSTANCE,
            PeerKind::LocRib { .. } => LOC_RIB_INSTANCE,
        });
        out.put_u8(self.flags());
        // The distinguisher: there is one instance.
        out.put_u64(0);
        put_address(self.address, out);
        out.put_u32(self.asn.0);
        out.put_slice(&self.router_id.0.octets());
        out.put_u32(self.time.seconds);
        out.put_u32(self.time.micros);
    }

    /// Of a peer type that is not known, what it would be is not known either.
    pub(super) fn read(input: &[u8]) -> Result<(&[u8], Self), ReadError> {
        let (input, (kind, flags, rest)) = fields(input).map_err(|_| ReadError::Short)?;
        let kind = match kind {
            GLOBAL_INSTANCE => PeerKind::Global {
                adj_rib_out: flags & O != 0,
                post_policy: flags & L != 0,
                two_octet_as: flags & A != 0,
            },
            LOC_RIB_INSTANCE => PeerKind::LocRib {
                filtered: flags & F != 0,
            },
            other => return Err(ReadError::PeerType(other)),
        };
        let is_ipv6 = flags & V != 0 && matches!(kind, PeerKind::Global { .. });
        let header = Self {
            kind,
            address: address(rest.address, is_ipv6),
            asn: Asn(rest.asn),
            router_id: RouterId(Ipv4Addr::from_bits(rest.router_id)),
            time: rest.time,
        };
        Ok((input, header))
    }
}

/// What of the header has the same meaning for every type.
struct Common {
    address: [u8; 16],
    asn: u32,
    router_id: u32,
    time: Time,
}

fn fields(input: &[u8]) -> PResult<'_, (u8, u8, Common)> {
    let (input, kind) = parse::u8(input)?;
    let (input, flags) = parse::u8(input)?;
    let (input, _distinguisher) = parse::octets(8)(input)?;
    let (input, address) = parse::array(input)?;
    let (input, asn) = parse::u32(input)?;
    let (input, router_id) = parse::u32(input)?;
    let (input, seconds) = parse::u32(input)?;
    let (input, micros) = parse::u32(input)?;
    let common = Common {
        address,
        asn,
        router_id,
        time: Time { seconds, micros },
    };
    Ok((input, (kind, flags, common)))
}

/// Appends an address in 16 octets: an IPv4 one behind 12 zero octets.
pub(super) fn put_address(address: IpAddr, out: &mut BytesMut) {
    match address {
        IpAddr::V4(address) => {
            out.put_bytes(0, 12);
            out.put_slice(&address.octets());
        }
        IpAddr::V6(address) => out.put_slice(&address.octets()),
    }
}

/// Reads one.
pub(super) fn address(octets: [u8; 16], is_ipv6: bool) -> IpAddr {
    let [.., a, b, c, d] = octets;
    if is_ipv6 {
        Ipv6Addr::from(octets).into()
    } else {
        Ipv4Addr::new(a, b, c, d).into()
    }
}
