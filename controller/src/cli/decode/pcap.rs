//! BGP out of a capture: classic pcap, as `tcpdump -w` writes it.
//!
//! Of each direction of each connection with port 179 the payload is put together in the order of its
//! sequence numbers; what was captured twice is there once. A gap ends the direction: what follows
//! has no message boundaries.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The port of BGP.
const BGP: u16 = 179;

/// Why a capture cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PcapError {
    /// pcapng, which is another format.
    #[error("this is pcapng; write it as pcap first (editcap -F pcap IN OUT)")]
    NextGeneration,
    /// Frames of another kind.
    #[error("link type {0} is not understood (Ethernet, raw IP and Linux cooked captures are)")]
    LinkType(u32),
    /// It ends within its header.
    #[error("the file ends within its header")]
    Short,
}

/// One direction of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// From here.
    pub(super) from: SocketAddr,
    /// To there.
    pub(super) to: SocketAddr,
    /// What was sent.
    pub(super) octets: Vec<u8>,
    /// Whether something is missing after that.
    pub(super) gap: bool,
}

/// Whether these are the first octets of a capture.
#[must_use]
pub(super) fn is_pcap(file: &[u8]) -> bool {
    Order::of(file).is_some() || file.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a])
}

#[derive(Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    /// By the magic number: microseconds or nanoseconds.
    fn of(file: &[u8]) -> Option<Self> {
        match file.first_chunk::<4>()? {
            [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => Some(Self::Big),
            [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => Some(Self::Little),
            _ => None,
        }
    }

    fn number(self, octets: &[u8], at: usize) -> Option<u32> {
        let four = octets.get(at..)?.first_chunk::<4>()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(*four),
            Self::Little => u32::from_le_bytes(*four),
        })
    }
}

/// A direction while it is put together.
#[derive(Default)]
struct Direction {
    /// The sequence number of the first octet, and whether a SYN said so.
    start: Option<u32>,
    /// Segments by their distance from there.
    segments: BTreeMap<u32, Vec<u8>>,
}

/// The streams of a capture, in the order that they begin in.
///
/// # Errors
/// [`PcapError`].
pub(super) fn streams(file: &[u8]) -> Result<Vec<Stream>, PcapError> {
    let Some(order) = Order::of(file) else {
        return Err(PcapError::NextGeneration);
    };
    let link = order.number(file, 20).ok_or(PcapError::Short)? & 0xffff;
    let mut seen: Vec<(SocketAddr, SocketAddr)> = Vec::new();
    let mut directions: BTreeMap<(SocketAddr, SocketAddr), Direction> = BTreeMap::new();
    let mut rest = file.get(24..).unwrap_or_default();
    while let Some(length) = order.number(rest, 8) {
        let end = usize::try_from(length).map_or(usize::MAX, |n| n.saturating_add(16));
        let Some(frame) = rest.get(16..end) else {
            break;
        };
        rest = &rest[end..];
        let Some(segment) = ip_of(link, frame)?.and_then(tcp_of) else {
            continue;
        };
        let key = (segment.from, segment.to);
        if !seen.contains(&key) {
            seen.push(key);
        }
        directions.entry(key).or_default().add(&segment);
    }
    let stream = |key: (SocketAddr, SocketAddr)| {
        let (octets, gap) = directions.remove(&key)?.joined();
        let (from, to) = key;
        Some(Stream {
            from,
            to,
            octets,
            gap,
        })
    };
    Ok(seen.into_iter().filter_map(stream).collect())
}

impl Direction {
    fn add(&mut self, segment: &Segment<'_>) {
        let first = segment.sequence.wrapping_add(u32::from(segment.syn));
        if segment.syn && self.start != Some(first) {
            // A new connection between the same ports.
            self.segments.clear();
            self.start = Some(first);
        }
        let start = *self.start.get_or_insert(first);
        let offset = first.wrapping_sub(start);
        // Before the start: a keepalive probe of TCP, or very old.
        if segment.payload.is_empty() || offset > u32::MAX / 2 {
            return;
        }
        let longest = self.segments.entry(offset).or_default();
        if longest.len() < segment.payload.len() {
            *longest = segment.payload.to_vec();
        }
    }

    fn joined(self) -> (Vec<u8>, bool) {
        let mut octets = Vec::new();
        for (offset, payload) in self.segments {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            if offset > octets.len() {
                return (octets, true);
            }
            let known = octets.len() - offset;
            octets.extend_from_slice(payload.get(known..).unwrap_or_default());
        }
        (octets, false)
    }
}

/// The IP packet in a frame.
fn ip_of(link: u32, frame: &[u8]) -> Result<Option<&[u8]>, PcapError> {
    let start = match link {
        1 => {
            // VLAN tags come before the type of what is inside.
            let mut at = 12;
            while matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
                at += 4;
            }
            at + 2
        }
        101 | 228 | 229 => 0,
        113 => 16,
        276 => 20,
        other => return Err(PcapError::LinkType(other)),
    };
    Ok(frame.get(start..))
}

struct Segment<'p> {
    from: SocketAddr,
    to: SocketAddr,
    sequence: u32,
    syn: bool,
    payload: &'p [u8],
}

/// The TCP segment in an IP packet, if it is one of BGP.
fn tcp_of(packet: &[u8]) -> Option<Segment<'_>> {
    let (source, destination, tcp): (IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 15) * 4;
            let total = usize::from(u16_at(packet, 2)?);
            // Frames are padded: the header says where the packet ends. Zero: segmentation offload.
            let end = if total == 0 { packet.len() } else { total };
            let fragment = u16_at(packet, 6)? & 0x1fff;
            if packet.get(9) != Some(&6) || fragment != 0 {
                return None;
            }
            let v4 = |at| -> Option<IpAddr> {
                let octets = packet.get(at..)?.first_chunk::<4>()?;
                Some(Ipv4Addr::from(*octets).into())
            };
            (v4(12)?, v4(16)?, packet.get(header..end)?)
        }
        6 => {
            let end = 40 + usize::from(u16_at(packet, 4)?);
            if packet.get(6) != Some(&6) {
                return None;
            }
            let v6 = |at| -> Option<IpAddr> {
                let octets = packet.get(at..)?.first_chunk::<16>()?;
                Some(Ipv6Addr::from(*octets).into())
            };
            (v6(8)?, v6(24)?, packet.get(40..end)?)
        }
        _ => return None,
    };
    let (from_port, to_port) = (u16_at(tcp, 0)?, u16_at(tcp, 2)?);
    if from_port != BGP && to_port != BGP {
        return None;
    }
    let header = usize::from(*tcp.get(12)? >> 4) * 4;
    Some(Segment {
        from: SocketAddr::new(source, from_port),
        to: SocketAddr::new(destination, to_port),
        sequence: Order::Big.number(tcp, 4)?,
        syn: *tcp.get(13)? & 2 != 0,
        payload: tcp.get(header..)?,
    })
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}
