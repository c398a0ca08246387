//! What the neighbours say, made before the clock runs; and where to look for it in the kernel.
//!
//! IPv4: the table of the other benchmarks. IPv6: the prefixes of a file, or /48s, of which seven share
//! their attributes.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use redstart_bgp::types::Prefix;

use crate::{
    bench::table::{Key, Sender, Table, put_update, read},
    malformed::build::message,
};

/// Prefixes that share their attributes.
const GROUP: usize = 7;
/// Names a file of IPv6 prefixes, one on a line; one that ends in `.xz` is unpacked. The neighbours, the
/// probe and the yardstick are processes that all take theirs from it.
const TABLE6: &str = "REDSTART_BENCH_TABLE6";

/// What one neighbour announces, and how it takes that back.
#[derive(Clone, Debug)]
pub struct Messages {
    /// UPDATEs that announce.
    pub announcements: Vec<u8>,
    /// UPDATEs that withdraw.
    pub withdrawals: Vec<u8>,
}

/// The messages of the neighbour with that next hop: the same prefixes from each.
pub fn messages(count: u32, asn: u32, next_hop: IpAddr) -> Result<Messages> {
    Ok(match next_hop {
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
        IpAddr::V6(next_hop) => {
            let prefixes = prefixes6(count)?;
            Messages {
                announcements: announcements6(&prefixes, asn, next_hop),
                withdrawals: withdrawals6(&prefixes),
            }
        }
    })
}

/// The prefixes that they announce.
pub fn prefixes(count: u32, ipv6: bool) -> Result<Vec<Prefix>> {
    if ipv6 {
        return prefixes6(count);
    }
    let prefix = |key: Key| {
        let [.., a, b, c, d, len] = key.0.to_be_bytes();
        Prefix::new(Ipv4Addr::new(a, b, c, d).into(), len)
    };
    let table = Table::generated(count);
    Ok(table.keys().filter_map(prefix).collect())
}

/// An address in each of `samples` prefixes, from the first to the last.
pub fn destinations(count: u32, ipv6: bool, samples: u32) -> Result<Vec<IpAddr>> {
    let step = (count / samples.max(1)).max(1);
    let is_sample = |i: u32| i.is_multiple_of(step) || i + 1 == count;
    let prefixes = prefixes(count, ipv6)?;
    let samples = prefixes.iter().zip(0..).filter(|(_, i)| is_sample(*i));
    let destination = |prefix: &Prefix| match prefix.addr() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() | 1).into(),
        address @ IpAddr::V6(_) => address,
    };
    Ok(samples.map(|(prefix, _)| destination(prefix)).collect())
}

fn prefixes6(count: u32) -> Result<Vec<Prefix>> {
    let Some(path) = env::var_os(TABLE6) else {
        let network = |i: u32| Ipv6Addr::from_bits((0x2a00 << 112) | (u128::from(i) << 80));
        let all = (0..count).filter_map(|i| Prefix::new(network(i).into(), 48));
        return Ok(all.collect());
    };
    let count = usize::try_from(count)?;
    let context = || format!("{TABLE6}={}", path.display());
    let text = String::from_utf8(read(Path::new(&path))?).with_context(context)?;
    let lines = text.lines().take(count).map(str::parse::<Prefix>);
    let prefixes = lines.collect::<Result<Vec<_>, _>>().with_context(context)?;
    ensure!(
        prefixes.len() == count,
        "{TABLE6}={} has {} prefixes, not {count}",
        path.display(),
        prefixes.len()
    );
    Ok(prefixes)
}

fn nlri6(prefix: &Prefix) -> Vec<u8> {
    let octets = match prefix.addr() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let significant = octets.get(..usize::from(prefix.len().div_ceil(8)));
    [&[prefix.len()], significant.unwrap_or_default()].concat()
}

fn attribute(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend([flags | 0x10, code]);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(value);
}

fn announcements6(prefixes: &[Prefix], asn: u32, next_hop: Ipv6Addr) -> Vec<u8> {
    let mut out = Vec::new();
    for (some, from) in prefixes.chunks(GROUP).zip((0_u32..).step_by(GROUP)) {
        // AFI, SAFI, next hop, reserved.
        let mut reach = vec![0, 2, 1, 16];
        reach.extend(next_hop.octets());
        reach.push(0);
        reach.extend(some.iter().flat_map(nlri6));
        let origins = [asn, 1000 + from % 60_000, 70_000 + from];
        let mut path = vec![2, 3];
        path.extend(origins.iter().flat_map(|asn| asn.to_be_bytes()));
        let mut attributes = Vec::new();
        attribute(&mut attributes, 0x40, 1, &[0]);
        attribute(&mut attributes, 0x40, 2, &path);
        attribute(&mut attributes, 0x80, 14, &reach);
        put_update(&mut out, &[], &attributes, &[]);
    }
    out
}

fn withdrawals6(prefixes: &[Prefix]) -> Vec<u8> {
    /// With headers, and one prefix more, still within a message.
    const FULL: usize = 4000;
    let mut out = Vec::new();
    let mut rest = prefixes.iter().peekable();
    while rest.peek().is_some() {
        let mut unreach = vec![0, 2, 1];
        while let Some(prefix) = rest.next_if(|_| unreach.len() < FULL) {
            unreach.extend(nlri6(prefix));
        }
        let mut attributes = Vec::new();
        attribute(&mut attributes, 0x80, 15, &unreach);
        put_update(&mut out, &[], &attributes, &[]);
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
            let all = destinations(1_000, ipv6, 1_000).unwrap();
            assert_eq!(all.len(), 1_000);
            let some = destinations(1_000, ipv6, 10).unwrap();
            assert!(some.len() <= 12, "{}", some.len());
            assert_eq!((some.first(), some.last()), (all.first(), all.last()));
        }
    }

    #[test]
    fn the_prefixes_are_those_that_samples_are_taken_of() {
        for ipv6 in [false, true] {
            let all = prefixes(1_000, ipv6).unwrap();
            let samples = destinations(1_000, ipv6, 1_000).unwrap();
            let contains = all.iter().zip(&samples).filter(|(p, a)| p.contains(**a));
            assert_eq!(contains.count(), 1_000);
        }
    }

    #[test]
    fn ipv6_announcements_hold_every_prefix() {
        let next_hop: IpAddr = "fd99:1::2".parse().unwrap();
        let messages = messages(1_001, 65_001, next_hop).unwrap();
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
