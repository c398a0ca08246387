//! Many short strings of octets in few allocations.
//!
//! An allocator spends some sixteen octets on each thing that it hands out, and what lives long among
//! what lives briefly keeps whole pages from being given back. Here strings of one length (rounded up to
//! [`UNIT`]) lie one behind the other, and the place of one that is gone is taken by the next.

/// Lengths are rounded up to a multiple of this.
const UNIT: usize = 4;

/// Where a string lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    len: u32,
    index: u32,
}

/// Strings of one length.
#[derive(Debug, Default)]
struct Shelf {
    octets: Vec<u8>,
    free: Vec<u32>,
}

/// All strings. A [`Place`] is good until it is [taken away](Self::remove).
#[derive(Debug, Default)]
pub(crate) struct Octets {
    /// By length in units.
    shelves: Vec<Shelf>,
}

/// Where the string in a place begins on its shelf, and how far the shelf keeps it room.
const fn span(place: Place) -> (usize, usize) {
    let room = (place.len as usize).div_ceil(UNIT) * UNIT;
    (place.index as usize * room, room)
}

impl Octets {
    /// Keeps a string. Memory ends long before there are four thousand million of one length, and
    /// none is longer than a message.
    pub(crate) fn insert(&mut self, octets: &[u8]) -> Place {
        let units = octets.len().div_ceil(UNIT);
        if units >= self.shelves.len() {
            self.shelves.resize_with(units + 1, Shelf::default);
        }
        let shelf = &mut self.shelves[units];
        let room = units * UNIT;
        let next = shelf.octets.len() / room.max(1);
        let place = Place {
            len: u32::try_from(octets.len()).unwrap_or(u32::MAX),
            index: shelf
                .free
                .pop()
                .unwrap_or_else(|| u32::try_from(next).unwrap_or(u32::MAX)),
        };
        let (start, _) = span(place);
        if shelf.octets.len() < start + room {
            shelf.octets.resize(start + room, 0);
        }
        shelf.octets[start..start + octets.len()].copy_from_slice(octets);
        place
    }

    /// The string in a place.
    pub(crate) fn get(&self, place: Place) -> &[u8] {
        let (start, room) = span(place);
        let shelf = &self.shelves[room / UNIT];
        &shelf.octets[start..start + place.len as usize]
    }

    /// Gives a place back. A shelf with nothing on it is given back whole.
    pub(crate) fn remove(&mut self, place: Place) {
        let (_, room) = span(place);
        let shelf = &mut self.shelves[room / UNIT];
        shelf.free.push(place.index);
        if shelf.free.len() * room == shelf.octets.len() {
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
        assert!(all.shelves.iter().all(|shelf| shelf.octets.capacity() == 0));
    }
}
