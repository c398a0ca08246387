//! Numbers by hash, in buckets of a cache line each.
//!
//! A table of a million routes is far larger than what a processor has at hand, so what a look-up costs is how
//! often it waits for memory. Here that is once: a bucket holds twelve numbers, an octet of the hash of each, and
//! how many had to go further on. Whoever is not where the hash points is in the next bucket that had room, and
//! nobody looks further than somebody went.

use core::hint::black_box;

/// How many numbers a bucket holds.
const ROOM: usize = 12;
/// How many each may hold on average: with more of them full, more look-ups go on to the next one.
const LOAD: usize = 10;
/// In place of an octet of a hash: nothing is there.
const FREE: u8 = 0;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    tags: [u8; ROOM],
    /// How many went past this bucket because it was full.
    passed: u32,
    numbers: [u32; ROOM],
}

impl Bucket {
    /// The places with this tag.
    fn places(&self, tag: u8) -> impl Iterator<Item = usize> + '_ {
        const ONES: u128 = u128::from_le_bytes([1; 16]);
        const HIGHEST: u128 = ONES << 7;
        // The octets beyond the last place have another tag, whatever it is.
        let mut tags = [!tag; 16];
        tags[..ROOM].copy_from_slice(&self.tags);
        let differing = u128::from_le_bytes(tags) ^ (ONES * u128::from(tag));
        // The highest bit of each octet that is zero, and now and then of one above such an octet.
        let mut equal = differing.wrapping_sub(ONES) & !differing & HIGHEST;
        let places = core::iter::from_fn(move || {
            let place = equal.trailing_zeros() as usize / 8;
            equal &= equal.wrapping_sub(1);
            (place < ROOM).then_some(place)
        });
        places.filter(move |place| self.tags[*place] == tag)
    }

    fn free_place(&self) -> Option<usize> {
        self.places(FREE).next()
    }
}

/// See the module's page. Whoever uses it knows whose number is whose, and grows it in time.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    /// A power of two of them, or none.
    buckets: Vec<Bucket>,
    len: usize,
}

/// The octet of a hash that is kept. The bucket is found by the lowest bits.
fn tag(hash: u64) -> u8 {
    let [.., highest] = hash.to_le_bytes();
    highest.max(FREE + 1)
}

impl Buckets {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let buckets = match capacity {
            0 => 0,
            some => some.div_ceil(LOAD).next_power_of_two(),
        };
        Self {
            buckets: vec![Bucket::default(); buckets],
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// How many it may hold.
    pub(crate) const fn capacity(&self) -> usize {
        self.buckets.len() * LOAD
    }

    /// How many buckets there are.
    pub(crate) const fn count(&self) -> usize {
        self.buckets.len()
    }

    /// The buckets in which a number with this hash may be, the nearest first.
    fn trail(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.buckets.len();
        // On a machine of 32 bits the lower half of the hash does.
        let home = hash as usize;
        (0..count).map(move |further| home.wrapping_add(further) & (count - 1))
    }

    /// Has the memory fetched that finding these begins with, for all of them side by side.
    pub(crate) fn fetch(&self, hashes: &[u64]) {
        let near = hashes.iter().filter_map(|hash| {
            let bucket = self.buckets.get(self.trail(*hash).next()?)?;
            Some(bucket.passed)
        });
        black_box(near.fold(0, u32::wrapping_add));
    }

    /// The first number that may be the one, by a look at one bucket.
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        let bucket = self.buckets.get(self.trail(hash).next()?)?;
        let place = bucket.places(tag(hash)).next()?;
        Some(bucket.numbers[place])
    }

    /// Where the number with this hash is of which `same` holds.
    fn place(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<(usize, usize)> {
        for at in self.trail(hash) {
            let bucket = &self.buckets[at];
            let mut places = bucket.places(tag(hash));
            if let Some(place) = places.find(|place| same(bucket.numbers[*place])) {
                return Some((at, place));
            }
            if bucket.passed == 0 {
                break;
            }
        }
        None
    }

    /// The number with this hash of which `same` holds.
    pub(crate) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let (at, place) = self.place(hash, same)?;
        Some(self.buckets[at].numbers[place])
    }

    /// Adds a number that is not there. There is room for it.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        for at in self.trail(hash) {
            let bucket = &mut self.buckets[at];
            if let Some(place) = bucket.free_place() {
                bucket.tags[place] = tag(hash);
                bucket.numbers[place] = number;
                self.len += 1;
                return;
            }
            bucket.passed += 1;
        }
    }

    /// Whether the number was there.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) -> bool {
        let Some((last, place)) = self.place(hash, |other| other == number) else {
            return false;
        };
        for at in self.trail(hash).take_while(|at| *at != last) {
            self.buckets[at].passed -= 1;
        }
        self.buckets[last].tags[place] = FREE;
        self.len -= 1;
        true
    }

    /// Takes out what a bucket holds. What went past it is still found.
    pub(crate) fn empty(&mut self, bucket: usize) -> impl Iterator<Item = u32> + use<> {
        let bucket = self.buckets.get_mut(bucket);
        let was = bucket.map(|bucket| {
            let was = *bucket;
            bucket.tags = [FREE; ROOM];
            was
        });
        let was = was.unwrap_or_default();
        let held = was.tags.into_iter().zip(was.numbers);
        let held = held.filter_map(|(tag, number)| (tag != FREE).then_some(number));
        self.len -= held.clone().count();
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_line_of_the_cache() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }

    #[test]
    fn the_places_with_a_tag_are_found() {
        let bucket = Bucket {
            tags: [7, 0, 8, 7, 255, 0, 6, 7, 1, 0, 128, 7],
            ..Bucket::default()
        };
        for tag in 0..=255 {
            let expected = (0..ROOM).filter(|place| bucket.tags[*place] == tag);
            assert!(bucket.places(tag).eq(expected), "{tag}");
        }
    }

    /// All with one hash: they fill one bucket after the other.
    #[test]
    fn those_that_go_further_on_are_found_and_leave_no_trace() {
        let mut buckets = Buckets::with_capacity(4 * LOAD);
        for number in 0..30 {
            buckets.insert(3, number);
        }
        assert_eq!(buckets.find(3, |other| other == 30), None);
        for number in (0..30).rev() {
            assert_eq!(buckets.find(3, |other| other == number), Some(number));
            assert!(buckets.remove(3, number) && !buckets.remove(3, number));
        }
        assert_eq!(buckets.len(), 0);
        assert!(buckets.buckets.iter().all(|bucket| bucket.passed == 0));
    }

    #[test]
    fn whoever_went_past_a_bucket_is_found_when_that_is_empty() {
        let mut buckets = Buckets::with_capacity(4 * LOAD);
        for number in 0..20 {
            buckets.insert(3, number);
        }
        assert!(buckets.empty(3).eq(0..12));
        assert_eq!(buckets.len(), 8);
        for number in 12..20 {
            assert_eq!(buckets.find(3, |other| other == number), Some(number));
        }
        assert_eq!(buckets.find(3, |other| other == 5), None);
    }
}
