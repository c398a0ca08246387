//! Netlink messages as octets: what is written on the hot path, and what no crate reads.
//!
//! A datagram holds many messages, each with a header that carries its length, its number and what it
//! asks for; attributes are type, length and value, padded to four octets. All in the byte order of the
//! host. Layouts: `linux/netlink.h`, `linux/rtnetlink.h`, `linux/nexthop.h`.

use std::net::IpAddr;

/// `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;

/// Writes messages one behind the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    octets: Vec<u8>,
    /// Where the last message begins.
    last: usize,
}

impl Writer {
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.last = 0;
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    /// One message: its header, and what `body` writes.
    pub(super) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        number: u32,
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.octets.len();
        self.last = start;
        let [a, b] = kind.to_ne_bytes();
        let [c, d] = flags.to_ne_bytes();
        let [e, f, g, h] = number.to_ne_bytes();
        self.octets_of(&[0, 0, 0, 0, a, b, c, d, e, f, g, h, 0, 0, 0, 0]);
        body(self);
        let len = self.octets.len() - start;
        self.set_u32(start, u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Adds flags to the last message.
    pub(super) fn add_flags(&mut self, flags: u16) {
        let at = self.last + 6;
        if let Some([low, high]) = self.octets.get_mut(at..at + 2) {
            let all = u16::from_ne_bytes([*low, *high]) | flags;
            [*low, *high] = all.to_ne_bytes();
        }
    }

    pub(super) fn octets_of(&mut self, value: &[u8]) {
        self.octets.extend_from_slice(value);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.octets.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.octets.extend_from_slice(&value.to_ne_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.octets.extend_from_slice(&value.to_ne_bytes());
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        if let Some(slot) = self.octets.get_mut(at..at + 4) {
            slot.copy_from_slice(&value.to_ne_bytes());
        }
    }

    fn set_u16(&mut self, at: usize, value: u16) {
        if let Some(slot) = self.octets.get_mut(at..at + 2) {
            slot.copy_from_slice(&value.to_ne_bytes());
        }
    }

    pub(super) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(a) => self.octets.extend_from_slice(&a.octets()),
            IpAddr::V6(a) => self.octets.extend_from_slice(&a.octets()),
        }
    }

    /// One attribute: its head, and what `value` writes.
    pub(super) fn attribute(&mut self, kind: u16, value: impl FnOnce(&mut Self)) {
        let start = self.octets.len();
        self.u16(0);
        self.u16(kind);
        value(self);
        self.close(start);
    }

    pub(super) fn attribute_u32(&mut self, kind: u16, value: u32) {
        self.attribute_of(kind, value.to_ne_bytes());
    }

    pub(super) fn attribute_address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(a) => self.attribute_of(kind, a.octets()),
            IpAddr::V6(a) => self.attribute_of(kind, a.octets()),
        }
    }

    /// An attribute whose value needs no padding.
    fn attribute_of<const N: usize>(&mut self, kind: u16, value: [u8; N]) {
        const { assert!(N.is_multiple_of(4)) };
        let [a, b] = u16::try_from(4 + N).unwrap_or(u16::MAX).to_ne_bytes();
        let [c, d] = kind.to_ne_bytes();
        self.octets.extend_from_slice(&[a, b, c, d]);
        self.octets.extend_from_slice(&value);
    }

    /// A length of 16 bits, an octet each of flags and hops, an index, and attributes: `struct
    /// rtnexthop`.
    pub(super) fn rtnexthop(
        &mut self,
        flags: u8,
        hops: u8,
        ifindex: u32,
        attributes: impl FnOnce(&mut Self),
    ) {
        let start = self.octets.len();
        self.u16(0);
        self.u8(flags);
        self.u8(hops);
        self.u32(ifindex);
        attributes(self);
        self.close(start);
    }

    /// Fills in the length at `start`, and pads.
    fn close(&mut self, start: usize) {
        let len = self.octets.len() - start;
        self.set_u16(start, u16::try_from(len).unwrap_or(u16::MAX));
        let padded = self.octets.len().next_multiple_of(4);
        self.octets.resize(padded, 0);
    }
}

/// A message as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) number: u32,
    pub(super) payload: &'a [u8],
}

/// The messages of a datagram.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    core::iter::from_fn(move || {
        let len = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let message = Message {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            number: u32_at(datagram, 8)?,
            payload: datagram.get(HEADER..len)?,
        };
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The highest bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;

/// Attributes by type and value; ends at the first that is cut off.
pub(super) fn attributes(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let len = usize::from(u16_at(octets, 0)?);
        let kind = u16_at(octets, 2)? & TYPE_MASK;
        let value = octets.get(4..len)?;
        octets = octets.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    let octets = octets.get(at..at + 2)?;
    Some(u16::from_ne_bytes(octets.try_into().ok()?))
}

pub(super) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    let octets = octets.get(at..at + 4)?;
    Some(u32::from_ne_bytes(octets.try_into().ok()?))
}

/// An address of either family.
pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(octets).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?)),
        _ => None,
    }
}
