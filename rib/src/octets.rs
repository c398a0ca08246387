//! Many short strings of octets in few allocations.
//!
//! An allocator spends some sixteen octets on each thing that it hands out, and what lives long among
//! what lives briefly keeps whole pages from being given back. Here strings of one length (rounded up to
//! [`UNIT`]) lie one behind the other in blocks, and the place of one that is gone is taken by the next. A block is
//! never moved: growing copies no string, and leaves no holes of sizes that nobody asks for again. For a length that
//! one string has alone, this takes a block.

/// Lengths are rounded up to a multiple of this.
const UNIT: usize = 4;
/// Most octets of a block, unless one string is longer.
const BLOCK: usize = 4096;

/// Where a string lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    len: u32,
    index: u32,
}

/// Strings of one length.
#[derive(Debug, Default)]
struct Shelf {
    blocks: Vec<Box<[u8]>>,
    /// How many places there are, free ones among them.
    places: u32,
    free: Vec<u32>,
}

/// All strings. A [`Place`] is good until it is [taken away](Self::remove).
#[derive(Debug, Default)]
pub(crate) struct Octets {
    /// By length in units.
    shelves: Vec<Shelf>,
}

/// How much room a shelf keeps for each string, in units.
fn units(len: usize) -> usize {
    // Also where there is nothing to keep: everything has a place.
    len.div_ceil(UNIT).max(1)
}

/// Where a string begins.
struct Start {
    shelf: usize,
    block: usize,
    octet: usize,
    /// How many octets a block of this shelf has.
    size: usize,
}

fn start(place: Place) -> Start {
    let units = units(place.len as usize);
    let room = units * UNIT;
    // Of strings in a block there is a power of two: none is found by a division.
    let strings = (BLOCK >> room.next_power_of_two().trailing_zeros()).max(1);
    let index = place.index as usize;
    Start {
        shelf: units,
        block: index >> strings.trailing_zeros(),
        octet: (index & (strings - 1)) * room,
        size: strings * room,
    }
}

impl Octets {
    /// Keeps a string. Memory ends long before there are four thousand million of one length, and
    /// none is longer than a message.
    pub(crate) fn insert(&mut self, octets: &[u8]) -> Place {
        let shelf = units(octets.len());
        if shelf >= self.shelves.len() {
            self.shelves.resize_with(shelf + 1, Shelf::default);
        }
        let shelf = &mut self.shelves[shelf];
        let index = shelf.free.pop().unwrap_or_else(|| {
            shelf.places += 1;
            shelf.places - 1
        });
        let place = Place {
            len: u32::try_from(octets.len()).unwrap_or(u32::MAX),
            index,
        };
        let Start {
            block, octet, size, ..
        } = start(place);
        if block == shelf.blocks.len() {
            shelf.blocks.push(vec![0; size].into());
        }
        shelf.blocks[block][octet..octet + octets.len()].copy_from_slice(octets);
        place
    }

    /// The string in a place.
    pub(crate) fn get(&self, place: Place) -> &[u8] {
        let Start {
            shelf,
            block,
            octet,
            ..
        } = start(place);
        &self.shelves[shelf].blocks[block][octet..octet + place.len as usize]
    }

    /// Gives a place back. A shelf with nothing on it is given back whole.
    pub(crate) fn remove(&mut self, place: Place) {
        let shelf = &mut self.shelves[units(place.len as usize)];
        shelf.free.push(place.index);
        if shelf.free.len() == shelf.places as usize {
            *shelf = Shelf::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again() {
        let mut all = Octets::default();
        let (a, b, c) = (
            all.insert(b"one"),
            all.insert(b"four"),
            all.insert(b"fiver"),
        );
        assert_eq!(
            (all.get(a), all.get(b), all.get(c)),
            (&b"one"[..], &b"four"[..], &b"fiver"[..])
        );
        all.remove(a);
        let d = all.insert(b"two");
        assert_eq!(d, a);
        assert_eq!((all.get(d), all.get(b)), (&b"two"[..], &b"four"[..]));
        let none = all.insert(b"");
        assert_eq!(all.get(none), b"");
    }

    /// Of each length several blocks, and of the longest ones a string to a block.
    #[test]
    fn strings_of_all_lengths_are_kept_apart() {
        let octets = |len: usize, i: usize| -> Vec<u8> {
            let octets = (0..len).map(|at| (i + at).to_le_bytes()[0]);
            octets.collect()
        };
        for len in [
            0, 1, 3, 4, 5, 44, 127, 128, 129, 2048, 4095, 4096, 4097, 9000,
        ] {
            let mut all = Octets::default();
            let count = 2500 / units(len).min(100);
            let put = |all: &mut Octets, i| (i, all.insert(&octets(len, i)));
            let mut places: Vec<_> = (0..count).map(|i| put(&mut all, i)).collect();
            for (i, place) in places.extract_if(.., |(i, _)| *i % 3 == 0) {
                assert_eq!(all.get(place), octets(len, i), "{len}");
                all.remove(place);
            }
            let more = (count..2 * count).map(|i| put(&mut all, i));
            let more: Vec<_> = more.collect();
            for (i, place) in places.iter().chain(&more) {
                assert_eq!(all.get(*place), octets(len, *i), "{len}");
            }
            let shelf = &all.shelves[units(len)];
            assert!(shelf.blocks.len() > 1 && shelf.places as usize == places.len() + more.len());
            let room = units(len) * UNIT;
            let sizes = BLOCK / 2 + 1..=BLOCK.max(room);
            assert!(
                shelf
                    .blocks
                    .iter()
                    .all(|block| sizes.contains(&block.len()))
            );
        }
    }

    #[test]
    fn what_is_empty_takes_no_memory() {
        let mut all = Octets::default();
        let places: Vec<Place> = (0..1000_u32)
            .map(|i| all.insert(&i.to_le_bytes()))
            .collect();
        for (i, place) in (0..1000_u32).zip(&places) {
            assert_eq!(all.get(*place), i.to_le_bytes());
        }
        for place in places {
            all.remove(place);
        }
        assert!(all.shelves.iter().all(|shelf| shelf.blocks.capacity() == 0));
    }
}
