//! The routes of a run: a real table if there is one, else one that looks alike; and the messages
//! that carry them, made before the clock runs.

use std::{fs, net::Ipv4Addr, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use foldhash::fast::FixedState;
use std::hash::BuildHasher as _;

/// An IPv4 prefix: the address, then the length in the lowest octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

impl Key {
    /// `address/len`.
    pub fn new(address: u32, len: u8) -> Self {
        Self((u64::from(address) << 8) | u64::from(len))
    }

    fn len(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    fn address(self) -> Ipv4Addr {
        // The address is the 32 bits above the length.
        Ipv4Addr::from_bits(u32::try_from(self.0 >> 8).unwrap_or_default())
    }

    /// It as NLRI.
    pub fn nlri(self) -> Vec<u8> {
        let len = self.len();
        let octets = self.address().octets();
        let significant = octets
            .get(..usize::from(len.div_ceil(8)))
            .unwrap_or_default();
        [&[len], significant].concat()
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address(), self.len())
    }
}

/// A field of an UPDATE behind its two octets of length, and what follows.
pub fn field(octets: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk().context("an UPDATE is cut")?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        .context("an UPDATE is cut")
}

/// The prefixes in a field of NLRI.
pub fn nlri(mut octets: &[u8]) -> impl Iterator<Item = Key> + '_ {
    std::iter::from_fn(move || {
        let (len, rest) = octets.split_first()?;
        let size = usize::from(len.div_ceil(8));
        let value = rest.get(..size)?;
        octets = rest.get(size..)?;
        let mut address = [0; 4];
        address.get_mut(..size)?.copy_from_slice(value);
        Some(Key::new(u32::from_be_bytes(address), *len))
    })
}

/// What an AS_PATH is known by: other paths have other values, but for one in four thousand million.
pub type PathHash = u32;

/// The hash of the value of an AS_PATH (of four-octet AS numbers). Never 0.
pub fn path_hash(value: &[u8]) -> PathHash {
    let hash = FixedState::default().hash_one(value);
    u32::try_from(hash >> 32).unwrap_or_default().max(1)
}

/// The hash of what is left of an AS_PATH without its first AS.
pub fn path_hash_after_first(value: &[u8]) -> PathHash {
    match value {
        [2, 1, _, _, _, _, rest @ ..] => path_hash(rest),
        [2, count, _, _, _, _, rest @ ..] => {
            let mut shorter = Vec::with_capacity(value.len());
            shorter.extend_from_slice(&[2, count - 1]);
            shorter.extend_from_slice(rest);
            path_hash(&shorter)
        }
        other => path_hash(other),
    }
}

/// Who sends a table: the sender's part of each route.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// First AS of each path.
    pub asn: u32,
    /// Next hop of each route.
    pub next_hop: Ipv4Addr,
    /// How often the AS is in the path beyond the first time.
    pub extra: u8,
}

/// Prefixes that share their attributes.
#[derive(Clone, Debug)]
pub struct Group {
    /// The attributes but for AS_PATH and NEXT_HOP.
    others: Vec<u8>,
    /// AS_PATH without its first AS: the rest of the first segment, and more segments.
    path: Vec<u8>,
    prefixes: Vec<Key>,
}

impl Group {
    /// Whether nothing in the path stands in the way: no set (RFC 9774), no AS number zero (RFC 7607).
    fn is_undisputed(&self) -> bool {
        let mut path = self.path.as_slice();
        while let [kind, count, rest @ ..] = path {
            let (asns, rest) = rest
                .split_at_checked(4 * usize::from(*count))
                .unwrap_or_default();
            let zero = asns.as_chunks::<4>().0.contains(&[0; 4]);
            if *kind != 2 || zero {
                return false;
            }
            path = rest;
        }
        true
    }

    /// Of COMMUNITIES (RFC 1997) the first.
    fn community(&self) -> Option<u32> {
        let mut rest = self.others.as_slice();
        while let [flags, code, tail @ ..] = rest {
            let (value, tail) = if flags & 0x10 == 0 {
                let (length, tail) = tail.split_first()?;
                tail.split_at_checked(usize::from(*length))?
            } else {
                field(tail).ok()?
            };
            if *code == 8 {
                return value.first_chunk().copied().map(u32::from_be_bytes);
            }
            rest = tail;
        }
        None
    }

    fn as_path(&self, sender: Sender) -> Vec<u8> {
        let (first, rest) = match self.path.as_slice() {
            [2, count, rest @ ..] => (*count, rest),
            rest => (0, rest),
        };
        let mut value = vec![2, first.saturating_add(1 + sender.extra)];
        for _ in 0..=sender.extra {
            value.extend(sender.asn.to_be_bytes());
        }
        value.extend_from_slice(rest);
        value
    }
}

/// Routes, in the order in which they are sent.
#[derive(Clone, Debug, Default)]
pub struct Table {
    groups: Vec<Group>,
}

impl Table {
    /// A table with as many prefixes, of which some seven share their attributes, as is so on the
    /// Internet. The same every time.
    pub fn generated(prefixes: u32) -> Self {
        let mut random = Random(0x5eed);
        let mut groups = Vec::new();
        let mut made = 0;
        // Consecutive /24s from 1.0.0.0 on, with /22s between them, but no loopback addresses: Redstart refuses them.
        const LOOPBACK: u32 = 127;
        let mut block = 1_u32 << 16;
        while made < prefixes {
            let size = (1 + random.below(13)).min(prefixes - made);
            let mut some = Vec::new();
            for _ in 0..size {
                let len = if random.below(4) == 0 { 22 } else { 24 };
                let step = if len == 22 { 4 } else { 1 };
                block = block.next_multiple_of(step);
                if block >> 16 == LOOPBACK {
                    block = (LOOPBACK + 1) << 16;
                }
                some.push(Key::new(block << 8, len));
                block += step;
            }
            made += size;
            groups.push(generated_group(&mut random, some));
        }
        Self { groups }
    }

    /// Reads a stream of UPDATE messages; one that ends in `.xz` is unpacked. Routes that daemons do not
    /// agree to take are left out: [`Group::is_undisputed`].
    pub fn read(path: &Path) -> Result<Self> {
        let octets = read(path)?;
        let mut groups = Vec::new();
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            let length = rest.get(16..18).context("the stream ends in a header")?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let message = rest
                .get(19..length)
                .context("the stream ends in a message")?;
            groups.extend(Some(parse(message)?).filter(Group::is_undisputed));
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(Self { groups })
    }

    /// How many prefixes it has.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.prefixes.len()).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// `count` prefixes from number `from` on.
    pub fn slice(&self, from: usize, count: usize) -> Self {
        let (mut skip, mut left) = (from, count);
        let mut groups = Vec::new();
        for group in &self.groups {
            let some: Vec<Key> = group
                .prefixes
                .iter()
                .skip(skip)
                .take(left)
                .copied()
                .collect();
            skip = skip.saturating_sub(group.prefixes.len());
            left -= some.len();
            if !some.is_empty() {
                groups.push(Group {
                    prefixes: some,
                    ..group.clone()
                });
            }
            if left == 0 {
                break;
            }
        }
        Self { groups }
    }

    /// Each prefix with the path that a neighbour of the receiver's sees after the receiver's AS.
    pub fn paths(&self, sender: Sender) -> impl Iterator<Item = (Key, PathHash)> + '_ {
        self.groups.iter().flat_map(move |group| {
            let hash = path_hash(&group.as_path(sender));
            group.prefixes.iter().map(move |key| (*key, hash))
        })
    }

    /// Of each set of attributes: a prefix, the AS that the path ends with, and a community if there is one.
    pub fn traits(&self) -> impl Iterator<Item = (Key, u32, Option<u32>)> + '_ {
        self.groups.iter().filter_map(|group| {
            let origin = u32::from_be_bytes(*group.path.last_chunk()?);
            Some((*group.prefixes.first()?, origin, group.community()))
        })
    }

    /// The prefixes.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.groups
            .iter()
            .flat_map(|group| group.prefixes.iter().copied())
    }

    /// The messages that announce it.
    pub fn announcements(&self, sender: Sender) -> Vec<u8> {
        let mut out = Vec::new();
        for group in &self.groups {
            let mut attributes = Vec::new();
            put_attribute(&mut attributes, 0x40, 2, &group.as_path(sender));
            put_attribute(&mut attributes, 0x40, 3, &sender.next_hop.octets());
            attributes.extend_from_slice(&group.others);
            let room = 4096 - 19 - 4 - attributes.len();
            for part in packed(&group.prefixes, room) {
                put_update(&mut out, &[], &attributes, &part);
            }
        }
        out
    }

    /// The messages that withdraw it.
    pub fn withdrawals(&self) -> Vec<u8> {
        let keys: Vec<Key> = self.keys().collect();
        let mut out = Vec::new();
        for part in packed(&keys, 4096 - 19 - 4) {
            put_update(&mut out, &part, &[], &[]);
        }
        out
    }
}

/// The contents of a file, unpacked where its name ends in `.xz`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|ext| ext == "xz") {
        let output = Command::new("xz").arg("-dc").arg(path).output();
        let output = output.context("cannot run xz (apt-get install xz-utils)")?;
        ensure!(output.status.success(), "cannot unpack {}", path.display());
        return Ok(output.stdout);
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn generated_group(random: &mut Random, prefixes: Vec<Key>) -> Group {
    let hops = 2 + random.below(4);
    let mut path = vec![2, u8::try_from(hops).unwrap_or_default()];
    for _ in 0..hops {
        path.extend((1000 + random.below(60_000)).to_be_bytes());
    }
    let mut others = vec![0x40, 1, 1, 0];
    put_attribute(&mut others, 0x80, 4, &random.below(100).to_be_bytes());
    let mut communities = Vec::new();
    for _ in 0..random.below(5) {
        communities.extend((0x0200_0000 + random.below(0x8000_0000)).to_be_bytes());
    }
    if !communities.is_empty() {
        put_attribute(&mut others, 0xc0, 8, &communities);
    }
    Group {
        others,
        path,
        prefixes,
    }
}

/// An UPDATE without its header.
fn parse(message: &[u8]) -> Result<Group> {
    let length = |at: usize| -> Result<usize> {
        let octets = message.get(at..at + 2).context("an UPDATE is cut")?;
        Ok(usize::from(u16::from_be_bytes([octets[0], octets[1]])))
    };
    ensure!(length(0)? == 0, "a table withdraws nothing");
    let end = 4 + length(2)?;
    let mut attributes = message.get(4..end).context("an UPDATE is cut")?;
    let (mut others, mut path) = (Vec::new(), Vec::new());
    while let [flags, code, rest @ ..] = attributes {
        let (size, head) = match (flags & 0x10, rest) {
            (0, [size, ..]) => (usize::from(*size), 3),
            (_, [high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 4),
            _ => bail!("an attribute is cut"),
        };
        let whole = attributes
            .get(..head + size)
            .context("an attribute is cut")?;
        let value = whole.get(head..).unwrap_or_default();
        match code {
            2 => path = without_first(value)?,
            3 => {}
            _ => others.extend_from_slice(whole),
        }
        attributes = attributes.get(head + size..).unwrap_or_default();
    }
    Ok(Group {
        others,
        path,
        prefixes: nlri(message.get(end..).unwrap_or_default()).collect(),
    })
}

fn without_first(path: &[u8]) -> Result<Vec<u8>> {
    match path {
        [2, count, _, _, _, _, rest @ ..] => {
            let mut shorter = vec![2, count - 1];
            shorter.extend_from_slice(rest);
            Ok(shorter)
        }
        _ => bail!("a path does not start with a sequence"),
    }
}

fn put_attribute(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    match u8::try_from(value.len()) {
        Ok(length) => out.extend([flags, code, length]),
        Err(_) => {
            out.extend([flags | 0x10, code]);
            out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(value);
}

/// NLRI in pieces of at most `room` octets.
fn packed(keys: &[Key], room: usize) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for key in keys {
        let one = key.nlri();
        match parts.last_mut() {
            Some(last) if last.len() + one.len() <= room => last.extend(one),
            _ => parts.push(one),
        }
    }
    parts
}

/// An UPDATE of these three fields.
pub fn put_update(out: &mut Vec<u8>, withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) {
    let field = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    out.extend([0xff; 16]);
    out.extend(field(
        19 + 4 + withdrawn.len() + attributes.len() + nlri.len(),
    ));
    out.push(2);
    out.extend(field(withdrawn.len()));
    out.extend_from_slice(withdrawn);
    out.extend(field(attributes.len()));
    out.extend_from_slice(attributes);
    out.extend_from_slice(nlri);
}

/// xorshift64*: no more is asked of it than to look irregular, and to do so in the same way again.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from((high * u64::from(bound)) >> 32).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SENDER: Sender = Sender {
        asn: 65001,
        next_hop: Ipv4Addr::new(10, 99, 0, 2),
        extra: 0,
    };

    #[test]
    fn what_is_sent_is_read_again() {
        let table = Table::generated(10_000);
        assert_eq!(table.len(), 10_000);
        assert_eq!(table.keys().collect::<BTreeSet<_>>().len(), 10_000);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("table");
        fs::write(&file, table.announcements(SENDER)).unwrap();
        let again = Table::read(&file).unwrap();
        let sender = Sender { extra: 2, ..SENDER };
        assert!(table.paths(sender).eq(again.paths(sender)));
    }

    #[test]
    fn what_daemons_do_not_agree_about_is_left_out() {
        let group = |path: &[u8]| Group {
            others: Vec::new(),
            path: path.to_vec(),
            prefixes: Vec::new(),
        };
        assert!(group(&[2, 0]).is_undisputed());
        assert!(group(&[2, 1, 0, 0, 0, 7, 2, 1, 0, 0, 0, 8]).is_undisputed());
        assert!(!group(&[2, 1, 0, 0, 0, 0]).is_undisputed());
        assert!(!group(&[2, 0, 1, 1, 0, 0, 0, 7]).is_undisputed());
    }

    #[test]
    fn a_slice_is_a_part() {
        let table = Table::generated(1_000);
        let (a, b) = (table.slice(0, 403), table.slice(403, 597));
        assert_eq!((a.len(), b.len()), (403, 597));
        assert!(
            table
                .paths(SENDER)
                .eq(a.paths(SENDER).chain(b.paths(SENDER)))
        );
    }

    #[test]
    fn the_first_as_does_not_count_at_the_monitor() {
        let sent = [2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0, 7];
        let heard = [2, 3, 0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe9, 0, 0, 0, 7];
        assert_eq!(path_hash_after_first(&heard), path_hash(&sent));
        assert_ne!(path_hash(&heard), path_hash(&sent));
    }
}
