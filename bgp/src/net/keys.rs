//! Which TCP MD5 keys a listening socket must have, and which it has.
//!
//! Linux keeps a table of keys by prefix on the socket. Of the entries that have an address the longest
//! counts, an address alone being the longest; there is no entry that says "no key". So
//!
//! - a range's key is set for what is left of the range without the neighbours in it that have none,
//!   and without narrower ranges, with a key of their own or without;
//! - where that leaves an address alone, and a neighbour with a key has it, there is one entry for
//!   both: the neighbour's.
//!
//! What there must be is a value ([`wanted`]), made anew whenever a neighbour or a range comes, goes
//! or changes; the difference to what there is goes to the kernel, what is added first, so that no
//! address is without a key for a moment.
//!
//! # Invariants
//!
//! - Whoever must have a key and has not got it is *refused*: the registry lets nobody in in its name,
//!   whatever the kernel lets through. Each later change tries again.
//! - A connection that was made before its address had a key is not let in once it has one: see
//!   [`KeyRing::apply`].

use std::{collections::BTreeMap, net::IpAddr};

use super::{cover::cover, range::RangeId, sockopt::SocketOptionError, transport::Secret};
use crate::types::Prefix;

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyOwner {
    /// The neighbour with this address.
    Peer(IpAddr),
    /// A listen range.
    Range(RangeId),
}

/// An entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) owner: KeyOwner,
    pub(super) secret: Secret,
}

/// The entries that there must be for neighbours and ranges. A link-local address may be that of a
/// neighbour on each of several links: those with a key must have the same one, and it binds all.
pub(super) fn wanted<'a>(
    peers: impl IntoIterator<Item = (IpAddr, Option<&'a Secret>)>,
    ranges: &[(RangeId, Prefix, Option<&'a Secret>)],
) -> BTreeMap<Prefix, Key> {
    let mut hosts: BTreeMap<IpAddr, Option<&Secret>> = BTreeMap::new();
    for (addr, secret) in peers {
        let known = hosts.entry(addr).or_default();
        *known = known.or(secret);
    }
    let keyless = hosts.iter().filter(|(_, secret)| secret.is_none());
    let keyless: Vec<Prefix> = keyless.map(|(addr, _)| Prefix::host(*addr)).collect();
    let mut table = BTreeMap::new();
    let mut insert = |prefix, owner, secret: &Secret| {
        let secret = secret.clone();
        table.insert(prefix, Key { owner, secret });
    };
    for (id, range, secret) in ranges {
        let Some(secret) = secret else {
            continue;
        };
        let others = ranges.iter().map(|(_, other, _)| *other);
        let narrower = others.filter(|other| other != range);
        let except: Vec<Prefix> = narrower
            .chain(keyless.iter().copied())
            .filter(|part| range.covers(*part))
            .collect();
        for prefix in cover(*range, &except) {
            insert(prefix, KeyOwner::Range(*id), secret);
        }
    }
    // After the ranges: an entry for an address alone is the neighbour's.
    for (addr, secret) in hosts {
        if let Some(secret) = secret {
            insert(Prefix::host(addr), KeyOwner::Peer(addr), secret);
        }
    }
    table
}

/// The keys of one socket.
#[derive(Debug, Default)]
pub(super) struct KeyRing {
    there: BTreeMap<Prefix, Secret>,
    refused: BTreeMap<KeyOwner, SocketOptionError>,
}

impl KeyRing {
    /// Makes the table `wanted`; `set` sets an entry of the kernel's, or takes it away. Returns the
    /// prefixes that have an entry now and had none: connections from there that were made before
    /// are not signed, maybe.
    pub(super) fn apply(
        &mut self,
        wanted: &BTreeMap<Prefix, Key>,
        mut set: impl FnMut(Prefix, Option<&Secret>) -> Result<(), SocketOptionError>,
    ) -> Vec<Prefix> {
        self.refused.clear();
        let mut fresh = Vec::new();
        for (prefix, key) in wanted {
            if self.there.get(prefix) == Some(&key.secret) || self.is_refused(key.owner) {
                continue;
            }
            match set(*prefix, Some(&key.secret)) {
                Ok(()) => {
                    if self.there.insert(*prefix, key.secret.clone()).is_none() {
                        fresh.push(*prefix);
                    }
                }
                Err(error) => {
                    self.refused.insert(key.owner, error);
                    // A part of the range is of no use, and takes room that others may need.
                    let of_owner =
                        |prefix: &Prefix| wanted.get(prefix).is_some_and(|k| k.owner == key.owner);
                    self.take_away(of_owner, &mut set);
                }
            }
        }
        self.take_away(|prefix| !wanted.contains_key(prefix), &mut set);
        fresh.retain(|prefix| self.there.contains_key(prefix));
        fresh
    }

    fn take_away(
        &mut self,
        gone: impl Fn(&Prefix) -> bool,
        set: &mut impl FnMut(Prefix, Option<&Secret>) -> Result<(), SocketOptionError>,
    ) {
        for (prefix, _) in self.there.extract_if(.., |prefix, _| gone(prefix)) {
            // With a key for nobody nobody is let in.
            let _ = set(prefix, None);
        }
    }

    pub(super) fn is_refused(&self, owner: KeyOwner) -> bool {
        self.refused.contains_key(&owner)
    }

    /// Those that have not got their key, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (KeyOwner, &SocketOptionError)> {
        self.refused.iter().map(|(owner, error)| (*owner, error))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn secret(text: &str) -> Secret {
        text.as_bytes().to_vec().into()
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    /// `prefix key` in the order of the prefixes.
    fn table(peers: &[(&str, Option<&str>)], ranges: &[(&str, Option<&str>)]) -> Vec<String> {
        let entries = entries(peers, ranges);
        let text = |(prefix, key): (&Prefix, &Key)| {
            format!(
                "{prefix} {}",
                String::from_utf8_lossy(key.secret.as_bytes())
            )
        };
        entries.iter().map(text).collect()
    }

    fn entries(
        peers: &[(&str, Option<&str>)],
        ranges: &[(&str, Option<&str>)],
    ) -> BTreeMap<Prefix, Key> {
        let peers: Vec<_> = peers
            .iter()
            .map(|(addr, key)| (addr.parse().unwrap(), key.map(secret)))
            .collect();
        let ranges: Vec<_> = (1..)
            .zip(ranges)
            .map(|(id, (range, key))| (RangeId(id), prefix(range), key.map(secret)))
            .collect();
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(id, range, key)| (*id, *range, key.as_ref()))
            .collect();
        wanted(
            peers.iter().map(|(addr, key)| (*addr, key.as_ref())),
            &ranges,
        )
    }

    #[test]
    fn a_range_goes_around_those_who_have_no_key() {
        let range = [("10.0.0.0/30", Some("r"))];
        assert_eq!(table(&[], &range), ["10.0.0.0/30 r"]);
        assert_eq!(
            table(&[("10.0.0.1", None), ("10.9.9.9", None)], &range),
            ["10.0.0.0/32 r", "10.0.0.2/31 r"]
        );
        // One with a key has the longer entry.
        assert_eq!(
            table(&[("10.0.0.1", Some("p"))], &range),
            ["10.0.0.0/30 r", "10.0.0.1/32 p"]
        );
    }

    #[test]
    fn ranges_of_one_or_two_addresses_and_their_neighbours() {
        for (addr, range) in [("10.0.0.1", "10.0.0.1/32"), ("fd00::1", "fd00::1/128")] {
            let range = [(range, Some("r"))];
            assert_eq!(table(&[(addr, None)], &range), [""; 0], "{addr}");
            let host = prefix(range[0].0);
            let keyed = table(&[(addr, Some("p"))], &range);
            assert_eq!(keyed, [format!("{host} p")]);
        }
        let pair = [("10.0.0.0/31", Some("r"))];
        assert_eq!(table(&[("10.0.0.0", None)], &pair), ["10.0.0.1/32 r"]);
        // What is left of the range is an address that has a key of its own.
        let both = [("10.0.0.0", None), ("10.0.0.1", Some("p"))];
        assert_eq!(table(&both, &pair), ["10.0.0.1/32 p"]);
        let pair = [("fd00::/127", Some("r"))];
        let both = [("fd00::", None), ("fd00::1", Some("p"))];
        assert_eq!(table(&both, &pair), ["fd00::1/128 p"]);
        assert_eq!(table(&[], &pair), ["fd00::/127 r"]);
    }

    #[test]
    fn a_range_within_another_has_its_own_key_or_none() {
        let (wide, narrow) = ("10.0.0.0/24", "10.0.0.128/25");
        assert_eq!(
            table(&[], &[(wide, Some("w")), (narrow, Some("n"))]),
            ["10.0.0.0/25 w", "10.0.0.128/25 n"]
        );
        assert_eq!(
            table(&[], &[(wide, Some("w")), (narrow, None)]),
            ["10.0.0.0/25 w"]
        );
        assert_eq!(
            table(&[], &[(wide, None), (narrow, Some("n"))]),
            ["10.0.0.128/25 n"]
        );
        // Both go around the same neighbour, and never meet.
        let around = table(
            &[("10.0.0.255", None)],
            &[(wide, Some("w")), (narrow, Some("n"))],
        );
        assert_eq!(around[0], "10.0.0.0/25 w");
        assert!(
            around[1..].iter().all(|entry| entry.ends_with(" n")),
            "{around:?}"
        );
    }

    #[test]
    fn the_same_address_on_two_links_has_one_key() {
        let on_two = [("fe80::1", None), ("fe80::1", Some("p"))];
        assert_eq!(table(&on_two, &[]), ["fe80::1/128 p"]);
    }

    /// A kernel with room for so many keys.
    struct Kernel {
        room: usize,
        keys: BTreeMap<Prefix, Secret>,
    }

    impl Kernel {
        fn set(&mut self, prefix: Prefix, key: Option<&Secret>) -> Result<(), SocketOptionError> {
            let Some(key) = key else {
                assert!(self.keys.remove(&prefix).is_some(), "there was none");
                return Ok(());
            };
            if self.keys.len() == self.room && !self.keys.contains_key(&prefix) {
                let source = io::Error::from_raw_os_error(libc::ENOMEM);
                return Err(SocketOptionError::new("TCP_MD5SIG_EXT", source));
            }
            self.keys.insert(prefix, key.clone());
            Ok(())
        }
    }

    #[test]
    fn who_gets_no_key_is_known_and_gets_it_when_there_is_room() {
        let mut kernel = Kernel {
            room: 2,
            keys: BTreeMap::new(),
        };
        let mut ring = KeyRing::default();
        let range = ("10.0.0.0/24", Some("r"));
        let wide = entries(&[], &[range]);
        let fresh = ring.apply(&wide, |p, k| kernel.set(p, k));
        assert_eq!(fresh, [prefix("10.0.0.0/24")]);

        // It must go around somebody: eight entries.
        let around = entries(&[("10.0.0.1", None)], &[range]);
        ring.apply(&around, |p, k| kernel.set(p, k));
        let owner = KeyOwner::Range(RangeId(1));
        assert!(ring.is_refused(owner));
        let said: Vec<_> = ring.refused().map(|(owner, e)| (owner, e.option)).collect();
        assert_eq!(said, [(owner, "TCP_MD5SIG_EXT")]);
        assert!(kernel.keys.is_empty(), "part of a key");
        // Nobody else suffers.
        let other = entries(&[("10.0.0.1", None), ("10.9.9.9", Some("p"))], &[range]);
        ring.apply(&other, |p, k| kernel.set(p, k));
        assert!(!ring.is_refused(KeyOwner::Peer("10.9.9.9".parse().unwrap())));
        assert!(ring.is_refused(owner));

        kernel.room = 9;
        let fresh = ring.apply(&other, |p, k| kernel.set(p, k));
        assert_eq!((fresh.len(), ring.is_refused(owner)), (8, false));
        assert_eq!(kernel.keys.len(), 9);
        // The neighbour has left: its address gets the range's key before anything else goes.
        let fresh = ring.apply(&wide, |p, k| kernel.set(p, k));
        assert!(fresh.is_empty(), "no room for a tenth: {fresh:?}");
        assert!(ring.is_refused(owner));
        let fresh = ring.apply(&wide, |p, k| kernel.set(p, k));
        assert_eq!((fresh.len(), kernel.keys.len()), (1, 1));
    }

    #[test]
    fn a_key_that_is_rotated_is_no_new_one() {
        let mut kernel = Kernel {
            room: 9,
            keys: BTreeMap::new(),
        };
        let mut ring = KeyRing::default();
        ring.apply(&entries(&[("10.0.0.1", Some("p"))], &[]), |p, k| {
            kernel.set(p, k)
        });
        let rotated = entries(&[("10.0.0.1", Some("q"))], &[]);
        assert_eq!(ring.apply(&rotated, |p, k| kernel.set(p, k)), []);
        assert_eq!(kernel.keys[&prefix("10.0.0.1/32")], secret("q"));
        // From a neighbour's to that of a range of this address: the entry stays.
        let range = entries(&[], &[("10.0.0.1/32", Some("r"))]);
        assert_eq!(ring.apply(&range, |p, k| kernel.set(p, k)), []);
        assert_eq!(kernel.keys[&prefix("10.0.0.1/32")], secret("r"));
        ring.apply(&BTreeMap::new(), |p, k| kernel.set(p, k));
        assert!(kernel.keys.is_empty());
    }
}
