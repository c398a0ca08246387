//! What the neighbours say, made before the clock runs; and where to look for it in the kernel.
//!
//! IPv4: the table of the other benchmarks. IPv6: /48s, of which seven share their attributes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use redstart_bgp::types::Prefix;

use crate::{
    bench::table::{Key, Sender, Table, put_update},
    malformed::build::message,
};

/// Prefixes that share their attributes.
const GROUP: u32 = 7;

/// What one neighbour announces, and how it takes that back.
#[derive(Clone, Debug)]
pub struct Messages {
    /// UPDATEs that announce.
    pub announcements: Vec<u8>,
    /// UPDATEs that withdraw.
    pub withdrawals: Vec<u8>,
}

/// The messages of the neighbour with that next hop: the same prefixes from each.
pub fn messages(count: u32, asn: u32, next_hop: IpAddr) -> Messages {
    match next_hop {
        IpAddr::V4(next_hop) => {
            let table = Table::generated(count);
            let sender = Sender {
                asn,
                next_hop,
                extra: 0,
            };
            Messages {
                announcements: table.announcements(sender),
                withdrawals: table.withdrawals(),
            }
        }
        IpAddr::V6(next_hop) => Messages {
            announcements: announcements6(count, asn, next_hop),
            withdrawals: withdrawals6(count),
        },
    }
}

/// The prefixes that they announce.
pub fn prefixes(count: u32, ipv6: bool) -> Vec<Prefix> {
    if ipv6 {
        let all = (0..count).filter_map(|i| Prefix::new(prefix6(i).into(), 48));
        return all.collect();
    }
    let prefix = |key: Key| {
        let [.., a, b, c, d, len] = key.0.to_be_bytes();
        Prefix::new(Ipv4Addr::new(a, b, c, d).into(), len)
    };
    Table::generated(count).keys().filter_map(prefix).collect()
}

/// An address in each of `samples` prefixes, from the first to the last.
pub fn destinations(count: u32, ipv6: bool, samples: u32) -> Vec<IpAddr> {
    let step = (count / samples.max(1)).max(1);
    let is_sample = |i: &u32| i.is_multiple_of(step) || i + 1 == count;
    if ipv6 {
        let samples = (0..count).filter(is_sample);
        return samples.map(|i| IpAddr::from(prefix6(i))).collect();
    }
    let keys = Table::generated(count);
    let samples = keys.keys().zip(0..).filter(|(_, i)| is_sample(i));
    samples
        .map(|(key, _)| {
            let address = u32::try_from(key.0 >> 8).unwrap_or_default();
            IpAddr::from(Ipv4Addr::from_bits(address | 1))
        })
        .collect()
}

/// The network address of a /48.
fn prefix6(i: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2a00 << 112) | (u128::from(i) << 80))
}

fn nlri6(i: u32) -> [u8; 7] {
    let [a, b, c, d, e, f, ..] = prefix6(i).octets();
    [48, a, b, c, d, e, f]
}

fn attribute(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend([flags | 0x10, code]);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(value);
}

fn announcements6(count: u32, asn: u32, next_hop: Ipv6Addr) -> Vec<u8> {
    let mut out = Vec::new();
    let mut from = 0;
    while from < count {
        let to = count.min(from + GROUP);
        // AFI, SAFI, next hop, reserved.
        let mut reach = vec![0, 2, 1, 16];
        reach.extend(next_hop.octets());
        reach.push(0);
        reach.extend((from..to).flat_map(nlri6));
        let origins = [asn, 1000 + from % 60_000, 70_000 + from];
        let mut path = vec![2, 3];
        path.extend(origins.iter().flat_map(|asn| asn.to_be_bytes()));
        let mut attributes = Vec::new();
        attribute(&mut attributes, 0x40, 1, &[0]);
        attribute(&mut attributes, 0x40, 2, &path);
        attribute(&mut attributes, 0x80, 14, &reach);
        put_update(&mut out, &[], &attributes, &[]);
        from = to;
    }
    out
}

fn withdrawals6(count: u32) -> Vec<u8> {
    const EACH: u32 = 500;
    let mut out = Vec::new();
    let mut from = 0;
    while from < count {
        let to = count.min(from + EACH);
        let mut unreach = vec![0, 2, 1];
        unreach.extend((from..to).flat_map(nlri6));
        let mut attributes = Vec::new();
        attribute(&mut attributes, 0x80, 15, &unreach);
        put_update(&mut out, &[], &attributes, &[]);
        from = to;
    }
    out
}

/// An OPEN without graceful restart, and with a hold time of 0: nobody waits for KEEPALIVEs.
pub fn open(asn: u32, id: Ipv4Addr, ipv6: bool) -> Vec<u8> {
    let mut body = vec![4];
    body.extend(23456_u16.to_be_bytes());
    body.extend([0, 0]);
    body.extend(id.octets());
    // Multiprotocol (RFC 4760), four-octet AS numbers (RFC 6793).
    let family = if ipv6 { 2 } else { 1 };
    let mut capabilities = vec![1, 4, 0, family, 0, 1, 65, 4];
    capabilities.extend(asn.to_be_bytes());
    let length = u8::try_from(capabilities.len()).unwrap_or_default();
    body.extend([length + 2, 2, length]);
    body.extend(capabilities);
    message(1, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_from_the_first_to_the_last() {
        for ipv6 in [false, true] {
            let all = destinations(1_000, ipv6, 1_000);
            assert_eq!(all.len(), 1_000);
            let some = destinations(1_000, ipv6, 10);
            assert!(some.len() <= 12, "{}", some.len());
            assert_eq!((some.first(), some.last()), (all.first(), all.last()));
        }
    }

    #[test]
    fn the_prefixes_are_those_that_samples_are_taken_of() {
        for ipv6 in [false, true] {
            let (all, samples) = (prefixes(1_000, ipv6), destinations(1_000, ipv6, 1_000));
            let contains = all.iter().zip(&samples).filter(|(p, a)| p.contains(**a));
            assert_eq!(contains.count(), 1_000);
        }
    }

    #[test]
    fn ipv6_announcements_hold_every_prefix() {
        let next_hop: IpAddr = "fd99:1::2".parse().unwrap();
        let messages = messages(1_001, 65_001, next_hop);
        let count = |octets: &[u8]| {
            let windows = octets.windows(5);
            windows
                .filter(|it| it.starts_with(&[48, 0x2a, 0x00]))
                .count()
        };
        assert_eq!(count(&messages.announcements), 1_001);
        assert_eq!(count(&messages.withdrawals), 1_001);
    }
}
