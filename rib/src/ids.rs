//! Dense indices, and a set of them.
//!
//! Prefixes, attribute sets and peers live in slabs and are named by their slot. A slot number is
//! four octets (two for a peer) where a prefix, an `Arc` or a hash entry would be eight to forty, and
//! a per-peer set of prefixes is a bitmap.

use core::num::NonZeroU32;

/// An interned attribute set. `Option<AttrId>` is four octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AttrId(NonZeroU32);

impl AttrId {
    /// The id of slot `index`. Memory ends long before four thousand million sets do, so the
    /// saturation is never reached.
    pub(crate) fn new(index: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    pub(crate) const fn index(self) -> usize {
        self.slot() as usize
    }

    /// The same, as an [`Index`](crate::index::Index) keeps it.
    pub(crate) const fn slot(self) -> u32 {
        self.0.get() - 1
    }
}

/// An attribute set that some neighbour was told. `Option<ToldId>` is four octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ToldId(pub(crate) AttrId);

/// A prefix of one family's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PrefixId(pub(crate) u32);

impl PrefixId {
    /// The id of slot `index`; an IPv4 table has fewer than 2^32 entries that fit in memory.
    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A peer's slot, or the router itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerIndex(u16);

impl PeerIndex {
    /// Stands for the originations of this speaker.
    pub(crate) const LOCAL: Self = Self(u16::MAX);

    /// The peer in slot `index`, or `None` where the slab is full.
    pub(crate) fn new(index: usize) -> Option<Self> {
        u16::try_from(index)
            .ok()
            .filter(|i| *i != u16::MAX)
            .map(Self)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn is_local(self) -> bool {
        self.0 == u16::MAX
    }
}

/// A set of prefixes that somebody still has to look at, taken out in slot order, round and round:
/// a prefix that flaps cannot starve the ones behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirtySet {
    words: Vec<u64>,
    len: usize,
    cursor: usize,
}

impl DirtySet {
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `id`; whether it was not there before.
    pub(crate) fn insert(&mut self, id: PrefixId) -> bool {
        let (word, bit) = (id.index() / 64, 1 << (id.index() % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(new);
        new
    }

    /// Adds each of `ids`.
    pub(crate) fn insert_all(&mut self, ids: &[PrefixId]) {
        let Some(last) = ids.iter().max() else {
            return;
        };
        if last.index() / 64 >= self.words.len() {
            self.words.resize(last.index() / 64 + 1, 0);
        }
        for id in ids {
            let (word, bit) = (&mut self.words[id.index() / 64], 1 << (id.index() % 64));
            self.len += usize::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// Whether `id` is in it.
    pub(crate) fn contains(&self, id: PrefixId) -> bool {
        let word = self.words.get(id.index() / 64);
        word.is_some_and(|word| word & 1 << (id.index() % 64) != 0)
    }

    /// Removes `id`; whether it was there.
    pub(crate) fn remove(&mut self, id: PrefixId) -> bool {
        if self.len == 0 {
            return false;
        }
        let (word, bit) = (id.index() / 64, 1 << (id.index() % 64));
        let Some(slot) = self.words.get_mut(word) else {
            return false;
        };
        let found = *slot & bit != 0;
        *slot &= !bit;
        self.len -= usize::from(found);
        found
    }

    /// Takes the next one out.
    pub(crate) fn pop(&mut self) -> Option<PrefixId> {
        if self.len == 0 {
            return None;
        }
        let count = self.words.len();
        for word in (self.cursor..count).chain(0..self.cursor.min(count)) {
            let bits = self.words[word];
            if bits != 0 {
                self.cursor = word;
                self.words[word] = bits & (bits - 1);
                self.len -= 1;
                return Some(PrefixId::new(word * 64 + bits.trailing_zeros() as usize));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dirty_set_holds_each_id_once_and_goes_round() {
        let mut set = DirtySet::default();
        for i in [700, 3, 64, 3] {
            set.insert(PrefixId::new(i));
        }
        assert_eq!(set.pop(), Some(PrefixId::new(3)));
        assert_eq!(set.pop(), Some(PrefixId::new(64)));
        assert!(set.insert(PrefixId::new(1)), "behind the cursor");
        assert!(!set.remove(PrefixId::new(9999)));
        set.insert_all(&[64, 900, 700].map(PrefixId::new));
        assert!(set.remove(PrefixId::new(900)) && !set.remove(PrefixId::new(900)));
        assert!(set.remove(PrefixId::new(64)), "again, after it was taken");
        assert_eq!(set.pop(), Some(PrefixId::new(700)));
        assert_eq!(set.pop(), Some(PrefixId::new(1)));
        assert_eq!(set.pop(), None);
        assert!(set.is_empty());
    }

    #[test]
    fn ids_are_small() {
        assert_eq!(size_of::<Option<AttrId>>(), 4);
        assert_eq!(size_of::<Option<ToldId>>(), 4);
        assert_eq!(AttrId::new(5).index(), 5);
        assert_eq!(PeerIndex::new(65_535), None);
    }
}
