//! Dense indices, and a set of them.
//!
//! Prefixes, attribute sets and peers live in slabs and are named by their slot. A slot number is
//! four octets (two for a peer) where a prefix, an `Arc` or a hash entry would be eight to forty, and
//! a per-peer set of prefixes is a bitmap.

use core::num::NonZeroU32;

use smallvec::SmallVec;

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

/// Some prefixes, as words of a bitmap with their places: what lies side by side is worked on together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words(SmallVec<[(u32, u64); 8]>);

impl Words {
    /// Adds a prefix that is not there yet.
    pub(crate) fn push(&mut self, id: PrefixId) {
        let (at, bit) = (id.0 / 64, 1 << (id.0 % 64));
        match self.0.last_mut() {
            Some((last, word)) if *last == at => *word |= bit,
            _ => self.0.push((at, bit)),
        }
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.words().map(|(_, word)| ones(word)).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn words(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().map(|(at, word)| (*at as usize, *word))
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = PrefixId> {
        self.words().flat_map(|(at, word)| {
            let some = |bits: u64| (bits != 0).then_some(bits);
            // Without the lowest one, again and again.
            let bits = core::iter::successors(some(word), move |bits| some(bits & (bits - 1)));
            bits.map(move |bits| PrefixId::new(at * 64 + bits.trailing_zeros() as usize))
        })
    }

    /// Those of each page of `size` prefixes, a multiple of 64, one page after the other.
    pub(crate) fn pages(&self, size: usize) -> impl Iterator<Item = (usize, Self)> {
        let page = move |(at, _): &(u32, u64)| *at as usize * 64 / size;
        let pages = self.0.chunk_by(move |a, b| page(a) == page(b));
        pages.map(move |words| (words.first().map_or(0, page), Self(words.into())))
    }
}

impl FromIterator<PrefixId> for Words {
    fn from_iter<I: IntoIterator<Item = PrefixId>>(ids: I) -> Self {
        let mut words = Self::default();
        ids.into_iter().for_each(|id| words.push(id));
        words
    }
}

const fn ones(word: u64) -> usize {
    word.count_ones() as usize
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

    /// Adds each of them.
    pub(crate) fn insert_all(&mut self, added: &Words) {
        let Some(last) = added.words().map(|(at, _)| at).max() else {
            return;
        };
        if last >= self.words.len() {
            self.words.resize(last + 1, 0);
        }
        for (at, word) in added.words() {
            self.len += ones(word & !self.words[at]);
            self.words[at] |= word;
        }
    }

    /// Removes each of them.
    pub(crate) fn remove_all(&mut self, removed: &Words) {
        for (at, word) in removed.words() {
            if let Some(there) = self.words.get_mut(at) {
                self.len -= ones(word & *there);
                *there &= !word;
            }
        }
    }

    /// Whether each of them is in it.
    pub(crate) fn contains_all(&self, ids: &Words) -> bool {
        let there = |at: usize| self.words.get(at).copied().unwrap_or_default();
        ids.words().all(|(at, word)| word & !there(at) == 0)
    }

    /// Whether one of them is in it.
    pub(crate) fn contains_any(&self, ids: &Words) -> bool {
        let there = |at: usize| self.words.get(at).copied().unwrap_or_default();
        self.len > 0 && ids.words().any(|(at, word)| word & there(at) != 0)
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
        set.insert_all(&[64, 900, 700].map(PrefixId::new).into_iter().collect());
        assert!(set.remove(PrefixId::new(900)) && !set.remove(PrefixId::new(900)));
        assert!(set.remove(PrefixId::new(64)), "again, after it was taken");
        assert_eq!(set.pop(), Some(PrefixId::new(700)));
        assert_eq!(set.pop(), Some(PrefixId::new(1)));
        assert_eq!(set.pop(), None);
        assert!(set.is_empty());
    }

    #[test]
    fn words_are_their_prefixes() {
        let ids = [3, 0, 63, 64, 300, 255, 256, 1].map(PrefixId::new);
        let words: Words = ids.into_iter().collect();
        let sorted = [0, 3, 63, 64, 300, 255, 256, 1].map(PrefixId::new);
        assert!(words.ids().eq(sorted), "{words:?}");
        assert_eq!(words.len(), ids.len());
        assert_eq!(Words::default().ids().count(), 0);
        let pages = words.pages(256);
        let pages = pages.map(|(at, words)| (at, words.ids().map(|id| id.0).collect::<Vec<_>>()));
        let expected = [
            (0, vec![0, 3, 63, 64]),
            (1, vec![300]),
            (0, vec![255]),
            (1, vec![256]),
            (0, vec![1]),
        ];
        assert!(pages.eq(expected));

        let mut set = DirtySet::default();
        set.insert(PrefixId::new(300));
        set.insert(PrefixId::new(1000));
        assert!(set.contains_any(&words) && !set.contains_all(&words));
        set.insert_all(&words);
        assert_eq!(set.len, ids.len() + 1);
        assert!(set.contains_all(&words));
        set.remove_all(&words);
        assert!(!set.contains_any(&words) && set.remove(PrefixId::new(1000)) && set.is_empty());
        let beyond = [PrefixId::new(1_000_000)].into_iter().collect();
        set.remove_all(&beyond);
        assert!(!set.contains_any(&beyond) && !set.contains_all(&beyond));
    }

    #[test]
    fn ids_are_small() {
        assert_eq!(size_of::<Option<AttrId>>(), 4);
        assert_eq!(size_of::<Option<ToldId>>(), 4);
        assert_eq!(AttrId::new(5).index(), 5);
        assert_eq!(PeerIndex::new(65_535), None);
    }
}
