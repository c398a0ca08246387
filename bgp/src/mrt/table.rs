//! Tables: `TABLE_DUMP_V2` (RFC 6396 section 4.3), with path identifiers (RFC 8050).
//!
//! The peers come first, in one record; a record for each prefix follows, whose entries name the peers
//! by their places. Paths with an identifier and paths without are of two kinds of records, so a prefix
//! with both takes two.
//!
//! Attributes stand as in an UPDATE with four-octet AS numbers, but that "the AFI, SAFI, and NLRI fields
//! of the MP_REACH_NLRI attribute" are left out (section 4.3.4), and that LOCAL_PREF is there only where
//! the route has one. The next hop of a route of the speaker's own is the unspecified address.

use std::net::{IpAddr, Ipv4Addr};

use bytes::{BufMut, BytesMut};

use super::{kind, put_record};
use crate::{
    types::{Asn, NextHop, PathAttributes, PathId, Prefix, RouterId},
    wire::{Codec, put_attributes, put_next_hop_alone, put_prefix},
};

const PEER_INDEX_TABLE: u16 = 1;
const RIB_IPV4_UNICAST: u16 = 2;
const RIB_IPV6_UNICAST: u16 = 4;
const RIB_IPV4_UNICAST_ADDPATH: u16 = 8;
const RIB_IPV6_UNICAST_ADDPATH: u16 = 10;

/// The peer's address is an IPv6 one.
const PEER_IPV6: u8 = 1;
/// Its AS number has four octets.
const PEER_AS4: u8 = 2;

/// Whose routes are in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its BGP Identifier.
    pub router_id: RouterId,
    /// Its address; the unspecified one for the speaker that the table is of.
    pub address: IpAddr,
    /// Its AS.
    pub asn: Asn,
}

impl Peer {
    /// What the routes of the speaker's own are from.
    #[must_use]
    pub const fn local(router_id: RouterId, asn: Asn) -> Self {
        Self {
            router_id,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            asn,
        }
    }
}

/// A path to a prefix.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The place of its peer among the peers.
    pub peer: u16,
    /// Since when it is there, in seconds since 1970.
    pub originated: u32,
    /// Which of the peer's paths it is; zero where the peer does not say (RFC 7911).
    pub path_id: PathId,
    /// Its attributes.
    pub attributes: &'a PathAttributes,
}

/// Appends the record that a table begins with. Peers beyond the 65535th cannot be named.
pub fn put_peers(
    seconds: u32,
    collector: RouterId,
    view: &str,
    peers: &[Peer],
    out: &mut BytesMut,
) {
    let kind = (kind::TABLE_DUMP_V2, PEER_INDEX_TABLE);
    put_record(seconds, kind, out, |out| {
        out.put_slice(&collector.0.octets());
        out.put_u16(u16::try_from(view.len()).unwrap_or(0));
        if u16::try_from(view.len()).is_ok() {
            out.put_slice(view.as_bytes());
        }
        let count = u16::try_from(peers.len()).unwrap_or(u16::MAX);
        out.put_u16(count);
        for peer in peers.iter().take(count.into()) {
            put_peer(peer, out);
        }
    });
}

fn put_peer(peer: &Peer, out: &mut BytesMut) {
    let family = if peer.address.is_ipv6() { PEER_IPV6 } else { 0 };
    out.put_u8(PEER_AS4 | family);
    out.put_slice(&peer.router_id.0.octets());
    match peer.address {
        IpAddr::V4(address) => out.put_slice(&address.octets()),
        IpAddr::V6(address) => out.put_slice(&address.octets()),
    }
    out.put_u32(peer.asn.0);
}

/// Appends what there is for one prefix: no record, one, or two. `sequence` goes on by as many, as
/// section 4.3.2 has it count records.
pub fn put_prefix_entries(
    seconds: u32,
    sequence: &mut u32,
    prefix: Prefix,
    entries: &[Entry<'_>],
    out: &mut BytesMut,
) {
    let subtypes = match prefix {
        Prefix::V4(_) => [RIB_IPV4_UNICAST, RIB_IPV4_UNICAST_ADDPATH],
        Prefix::V6(_) => [RIB_IPV6_UNICAST, RIB_IPV6_UNICAST_ADDPATH],
    };
    for (subtype, with_id) in subtypes.into_iter().zip([false, true]) {
        let these = || {
            let has_id = |entry: &&Entry<'_>| entry.path_id.0 != 0;
            entries.iter().filter(move |entry| has_id(entry) == with_id)
        };
        let count = u16::try_from(these().count()).unwrap_or(u16::MAX);
        if count == 0 {
            continue;
        }
        put_record(seconds, (kind::TABLE_DUMP_V2, subtype), out, |out| {
            out.put_u32(*sequence);
            put_prefix(prefix, out);
            out.put_u16(count);
            for entry in these().take(count.into()) {
                put_entry(entry, prefix, with_id, out);
            }
        });
        *sequence = sequence.wrapping_add(1);
    }
}

fn put_entry(entry: &Entry<'_>, prefix: Prefix, with_id: bool, out: &mut BytesMut) {
    out.put_u16(entry.peer);
    out.put_u32(entry.originated);
    if with_id {
        out.put_u32(entry.path_id.0);
    }
    let mut attributes = Vec::new();
    put_entry_attributes(entry.attributes, prefix, &mut attributes);
    // No attributes of a message that was received are longer than it.
    let len = u16::try_from(attributes.len()).unwrap_or(0);
    out.put_u16(len);
    if len > 0 {
        out.put_slice(&attributes);
    }
}

fn put_entry_attributes(attributes: &PathAttributes, prefix: Prefix, out: &mut Vec<u8>) {
    let attributes = &*attributes.with_some_next_hop(prefix.family());
    let next_hop = attributes.next_hop;
    let classic = matches!((prefix, next_hop), (Prefix::V4(_), Some(NextHop::V4(_))));
    put_attributes(&Codec::as_held(attributes), attributes, classic, out);
    if let Some(next_hop) = next_hop.filter(|_| !classic) {
        put_next_hop_alone(next_hop, out);
    }
}
