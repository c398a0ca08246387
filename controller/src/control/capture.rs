//! What goes over a neighbour's connections, as a capture (classic pcap) that `tcpdump`, `tshark` and
//! `redc decode` read.
//!
//! The octets are those of the connections ([`redstart_bgp::net::Passed`]); the packets around them are made
//! up, for nobody has seen the real ones: IP and TCP headers with the addresses and ports of the connection,
//! sequence numbers that count its octets, and checksums that hold. A connection that was there before
//! begins in the middle, as it does for `tcpdump`; a new one with its SYNs.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
};

use bytes::{BufMut as _, BytesMut};
use jiff::{SignedDuration, Timestamp};
use redstart_bgp::net::{Onlooker, Passed, Passing};

/// Octets in one packet: what an IPv4 packet has room for, and some more.
const SEGMENT: usize = 32 * 1024;

/// A packet is an IP packet, and nothing around it (LINKTYPE_RAW).
const RAW_IP: u32 = 101;

/// The longest packet.
const SNAPLEN: u32 = 1 << 18;

/// A neighbour has two connections at the most, and one that is being replaced.
const CONNECTIONS: usize = 4;

const SYN: u8 = 0x02;
const PUSH: u8 = 0x08;
const ACK: u8 = 0x10;

const IPV4_HEADER: u16 = 20;
const TCP_HEADER: usize = 20;
const TCP: u8 = 6;
/// The port of BGP: whoever has it was dialled.
const BGP: u16 = 179;

/// A capture that begins.
#[derive(Debug)]
pub struct Tapped {
    /// Sees what passes from now on.
    pub onlooker: Onlooker,
    /// When the clock began by which it is dated.
    pub started: Timestamp,
}

/// Why there is no capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCapture {
    /// No neighbour has this name.
    NoSuchPeer,
    /// It is known that there should be one, and not yet where.
    NotFound,
    /// Somebody else captures it.
    Taken,
}

/// A capture as it is written.
#[derive(Debug)]
pub(crate) struct Pcap {
    started: Timestamp,
    connections: VecDeque<Connection>,
}

/// What was written of a connection.
#[derive(Debug)]
struct Connection {
    /// Ours, the neighbour's.
    ends: [SocketAddr; 2],
    /// The next sequence number of each.
    next: [u32; 2],
}

/// The place of one end of a connection in [`Connection`].
type End = usize;
const OURS: End = 0;
const THEIRS: End = 1;

impl Pcap {
    pub(crate) const fn new(started: Timestamp) -> Self {
        Self {
            started,
            connections: VecDeque::new(),
        }
    }

    /// What a file begins with.
    pub(crate) fn put_header(out: &mut BytesMut) {
        // With microseconds, and in the order of the network: the number says so to readers.
        out.put_u32(0xa1b2_c3d4);
        out.put_u16(2);
        out.put_u16(4);
        // Universal time, exact.
        out.put_u64(0);
        out.put_u32(SNAPLEN);
        out.put_u32(RAW_IP);
    }

    /// Writes what passed.
    pub(crate) fn put(&mut self, passed: &Passed, out: &mut BytesMut) {
        let since = i64::try_from(passed.at.as_nanos()).unwrap_or(i64::MAX);
        let at = self.started.checked_add(SignedDuration::from_nanos(since));
        let at = at.unwrap_or(Timestamp::MAX);
        let connection = self.connection([passed.local, passed.remote]);
        match &passed.what {
            Passing::Opened => connection.put_opening(at, out),
            Passing::Sent(octets) => connection.put_octets(OURS, octets, at, out),
            Passing::Received(octets) => connection.put_octets(THEIRS, octets, at, out),
        }
    }

    fn connection(&mut self, ends: [SocketAddr; 2]) -> &mut Connection {
        let known = self.connections.iter().position(|one| one.ends == ends);
        let place = known.unwrap_or_else(|| {
            self.connections.truncate(CONNECTIONS - 1);
            self.connections
                .push_front(Connection { ends, next: [1; 2] });
            0
        });
        &mut self.connections[place]
    }
}

impl Connection {
    /// The SYNs: octets are counted from one.
    fn put_opening(&mut self, at: Timestamp, out: &mut BytesMut) {
        let dialled = if self.ends[OURS].port() == BGP {
            OURS
        } else {
            THEIRS
        };
        self.next = [0; 2];
        self.put_segment(1 - dialled, SYN, &[], at, out);
        self.next[1 - dialled] = 1;
        self.put_segment(dialled, SYN | ACK, &[], at, out);
        self.next[dialled] = 1;
    }

    fn put_octets(&mut self, from: End, octets: &[u8], at: Timestamp, out: &mut BytesMut) {
        for octets in octets.chunks(SEGMENT) {
            self.put_segment(from, PUSH | ACK, octets, at, out);
            let length = u32::try_from(octets.len()).unwrap_or_default();
            self.next[from] = self.next[from].wrapping_add(length);
        }
    }

    fn put_segment(&self, from: End, flags: u8, octets: &[u8], at: Timestamp, out: &mut BytesMut) {
        let mut tcp = BytesMut::with_capacity(TCP_HEADER + octets.len());
        tcp.put_u16(self.ends[from].port());
        tcp.put_u16(self.ends[1 - from].port());
        tcp.put_u32(self.next[from]);
        tcp.put_u32(if flags & ACK == 0 {
            0
        } else {
            self.next[1 - from]
        });
        // The length of the header in words.
        tcp.put_u8(5 << 4);
        tcp.put_u8(flags);
        tcp.put_u16(u16::MAX);
        tcp.put_u32(0);
        tcp.put_slice(octets);
        let mut packet = BytesMut::new();
        put_packet(
            self.ends[from].ip(),
            self.ends[1 - from].ip(),
            &mut tcp,
            &mut packet,
        );
        put_record(at, &packet, out);
    }
}

/// A packet and the line before it, which says when it came and how long it is.
fn put_record(at: Timestamp, packet: &[u8], out: &mut BytesMut) {
    let length = u32::try_from(packet.len()).unwrap_or_default();
    out.put_u32(u32::try_from(at.as_second()).unwrap_or_default());
    out.put_u32(u32::try_from(at.subsec_microsecond()).unwrap_or_default());
    out.put_u32(length);
    out.put_u32(length);
    out.put_slice(packet);
}

/// Where the checksum is in the header of TCP, and in that of IPv4.
const TCP_CHECKSUM: usize = 16;
const IPV4_CHECKSUM: usize = 10;

/// An IP packet around a TCP segment, whose checksum is filled in.
fn put_packet(from: IpAddr, to: IpAddr, tcp: &mut BytesMut, out: &mut BytesMut) {
    let length = u16::try_from(tcp.len()).unwrap_or(u16::MAX);
    let mut pseudo = BytesMut::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = out.len();
            // Version and length of the header in words; no type of service.
            out.put_slice(&[0x45, 0]);
            out.put_u16(length.saturating_add(IPV4_HEADER));
            // No identification, and not to be fragmented; one hop; the checksum below.
            out.put_slice(&[0, 0, 0x40, 0, 1, TCP, 0, 0]);
            out.put_slice(&from.octets());
            out.put_slice(&to.octets());
            let sum = checksum(&out[header..]);
            out[header + IPV4_CHECKSUM..][..2].copy_from_slice(&sum);
            pseudo.put_slice(&from.octets());
            pseudo.put_slice(&to.octets());
        }
        (from, to) => {
            let [from, to] = [from, to].map(|ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            });
            out.put_u32(6 << 28);
            out.put_u16(length);
            out.put_slice(&[TCP, 1]);
            out.put_slice(&from.octets());
            out.put_slice(&to.octets());
            pseudo.put_slice(&from.octets());
            pseudo.put_slice(&to.octets());
        }
    }
    // In two forms with the same sum (RFC 9293 section 3.1, RFC 8200 section 8.1).
    pseudo.put_slice(&[0, TCP]);
    pseudo.put_u16(length);
    pseudo.put_slice(tcp);
    let sum = checksum(&pseudo);
    tcp[TCP_CHECKSUM..][..2].copy_from_slice(&sum);
    out.put_slice(tcp);
}

/// RFC 1071.
fn checksum(octets: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(u16::from_be_bytes([high, 0])),
        _ => 0,
    };
    let mut sum: u64 = octets.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = sum.to_be_bytes();
    [!high, !low]
}

#[cfg(test)]
mod tests;
