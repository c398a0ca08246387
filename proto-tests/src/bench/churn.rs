//! A day of changes of one table: announcements and withdrawals, one by one, as a neighbour says them.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result};

use super::table::{Key, PathHash, Random, Sender, Table, path_hash, put_update, read};

/// Announced with the path of this number, or withdrawn.
type Operation = (Key, Option<u32>);

/// Changes in order.
#[derive(Clone, Debug)]
pub struct Churn {
    operations: Vec<Operation>,
}

/// How many paths a prefix changes between.
const PATHS: u32 = 64;

impl Churn {
    /// Made up: few prefixes make most of the noise.
    pub fn generated(table: &Table, operations: u32) -> Self {
        let keys: Vec<Key> = table.keys().collect();
        let mut random = Random(0xc0ffee);
        let most = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let operation = |_| {
            let bound = if random.below(10) == 0 {
                most
            } else {
                most.div_ceil(100)
            };
            let at = usize::try_from(random.below(bound)).unwrap_or_default();
            let key = keys.get(at).copied().unwrap_or(Key(0));
            let path = (random.below(4) != 0).then(|| random.below(PATHS));
            (key, path)
        };
        Self {
            operations: (0..operations).map(operation).collect(),
        }
    }

    /// Lines of `A prefix` and `W prefix`; paths are made up.
    pub fn read(path: &Path) -> Result<Self> {
        let text = String::from_utf8(read(path)?).context("not text")?;
        let mut random = Random(0xc0ffee);
        let mut operations = Vec::new();
        for line in text.lines() {
            let (verb, prefix) = line
                .split_once(' ')
                .with_context(|| format!("bad line {line}"))?;
            let (address, len) = prefix.split_once('/').context("a prefix has a length")?;
            let key = Key::new(address.parse::<Ipv4Addr>()?.to_bits(), len.parse()?);
            operations.push((key, (verb == "A").then(|| random.below(PATHS))));
        }
        Ok(Self { operations })
    }

    /// How many changes.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// A message for each.
    pub fn messages(&self, sender: Sender) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, path) in &self.operations {
            let nlri = key.nlri();
            match path {
                None => put_update(&mut out, &nlri, &[], &[]),
                Some(number) => {
                    let value = as_path(sender, *number);
                    let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2];
                    attributes.push(u8::try_from(value.len()).unwrap_or_default());
                    attributes.extend(value);
                    attributes.extend([0x40, 3, 4]);
                    attributes.extend(sender.next_hop.octets());
                    put_update(&mut out, &[], &attributes, &nlri);
                }
            }
        }
        out
    }

    /// What is there in the end, if `table` was there before.
    pub fn outcome(&self, table: &Table, sender: Sender) -> BTreeMap<Key, PathHash> {
        let mut routes: BTreeMap<Key, PathHash> = table.paths(sender).collect();
        for (key, path) in &self.operations {
            match path {
                None => drop(routes.remove(key)),
                Some(number) => drop(routes.insert(*key, path_hash(&as_path(sender, *number)))),
            }
        }
        routes
    }
}

fn as_path(sender: Sender, number: u32) -> Vec<u8> {
    let mut value = vec![2, 3];
    for asn in [sender.asn, 3000, 4000 + number] {
        value.extend(asn.to_be_bytes());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_the_last_word_on_each_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("churn");
        std::fs::write(&file, "A 10.0.0.0/8\nW 10.0.0.0/8\nA 11.0.0.0/8\n").unwrap();
        let churn = Churn::read(&file).unwrap();
        let sender = Sender {
            asn: 65001,
            next_hop: Ipv4Addr::new(10, 99, 1, 1),
            extra: 0,
        };
        let left = churn.outcome(&Table::default(), sender);
        assert_eq!(
            left.keys().copied().collect::<Vec<_>>(),
            [Key::new(11 << 24, 8)]
        );
        assert_eq!(churn.len(), 3);
    }
}
