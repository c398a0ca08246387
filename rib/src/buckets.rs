//! Numbers by hash, in buckets of a cache line each.
//!
//! A table of a million routes is far larger than what a processor has at hand, so what a look-up costs is how
//! often it waits for memory. Here that is once: a bucket holds twelve numbers, an octet of the hash of each, and
//! how many had to go further on. Whoever is not where the hash points is in the next bucket that had room, and
//! nobody looks further than somebody went.

use core::hint::black_box;

/// How many numbers a bucket holds.
pub(crate) const ROOM: usize = 12;
/// How many each may hold on average: with more of them full, more look-ups go on to the next one.
pub(crate) const LOAD: usize = 10;
/// In place of an octet of a hash: nothing is there.
const FREE: u8 = 0;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    /// An octet of the hash of each number, from the lowest on; in the four highest octets how many went past
    /// this bucket because it was full.
    head: u128,
    numbers: [u32; ROOM],
}

/// One went past a bucket.
const PASSED: u128 = 1 << (8 * ROOM);

impl Bucket {
    const fn is_passed(&self) -> bool {
        self.head >= PASSED
    }

    fn tag(&self, place: usize) -> u8 {
        self.head.to_le_bytes()[place]
    }

    fn set_tag(&mut self, place: usize, tag: u8) {
        // Not by way of octets: a store of one of them would have to be waited for.
        self.head &= !(0xff << (8 * place));
        self.head |= u128::from(tag) << (8 * place);
    }

    /// The places with this tag.
    fn places(&self, tag: u8) -> impl Iterator<Item = usize> + '_ {
        const ONES: u128 = u128::from_le_bytes([1; 16]);
        const HIGHEST: u128 = (ONES << 7) & (PASSED - 1);
        let differing = self.head ^ (ONES * u128::from(tag));
        // The highest bit of each octet that is zero, and now and then of one above such an octet.
        let mut equal = differing.wrapping_sub(ONES) & !differing & HIGHEST;
        let places = core::iter::from_fn(move || {
            let place = equal.trailing_zeros() as usize / 8;
            equal &= equal.wrapping_sub(1);
            (place < ROOM).then_some(place)
        });
        places.filter(move |place| self.tag(*place) == tag)
    }

    fn free_place(&self) -> Option<usize> {
        self.places(FREE).next()
    }
}

/// What a look at one bucket says of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    /// No number has it.
    Nobody,
    /// This one may.
    Maybe(u32),
    /// If one does, it is further on.
    Further,
}

/// See the module's page. Whoever uses it knows whose number is whose, and grows it in time.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    /// A power of two of them, or none. While the table is being prepared, fewer.
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

    /// Prepares some of the buckets of a table of `count`, whose memory is asked for as they come.
    pub(crate) fn prepare(&mut self, count: usize, some: usize) {
        let missing = count - self.buckets.len();
        self.buckets.reserve_exact(missing);
        let prepared = self.buckets.len() + some.min(missing);
        self.buckets.resize(prepared, Bucket::default());
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
            Some(bucket.head)
        });
        black_box(near.fold(0, u128::wrapping_add));
    }

    /// What the first bucket says that is to be looked at.
    pub(crate) fn glance(&self, hash: u64) -> Glance {
        let bucket = self.trail(hash).next().and_then(|at| self.buckets.get(at));
        let Some(bucket) = bucket else {
            return Glance::Nobody;
        };
        match bucket.places(tag(hash)).next() {
            Some(place) => Glance::Maybe(bucket.numbers[place]),
            None if bucket.is_passed() => Glance::Further,
            None => Glance::Nobody,
        }
    }

    /// Where the number with this hash is of which `same` holds.
    fn place(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<(usize, usize)> {
        for at in self.trail(hash) {
            let bucket = &self.buckets[at];
            let mut places = bucket.places(tag(hash));
            if let Some(place) = places.find(|place| same(bucket.numbers[*place])) {
                return Some((at, place));
            }
            if !bucket.is_passed() {
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
                bucket.set_tag(place, tag(hash));
                bucket.numbers[place] = number;
                self.len += 1;
                return;
            }
            bucket.head += PASSED;
        }
        debug_assert!(false, "no room");
    }

    /// Whether the number was there.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) -> bool {
        let Some((last, place)) = self.place(hash, |other| other == number) else {
            return false;
        };
        for at in self.trail(hash).take_while(|at| *at != last) {
            self.buckets[at].head -= PASSED;
        }
        self.buckets[last].set_tag(place, FREE);
        self.len -= 1;
        true
    }

    /// Takes out what a bucket holds. What went past it is still found.
    pub(crate) fn empty(&mut self, bucket: usize) -> impl Iterator<Item = u32> + use<> {
        let bucket = self.buckets.get_mut(bucket);
        let was = bucket.map(|bucket| {
            let was = *bucket;
            bucket.head &= !(PASSED - 1);
            was
        });
        let was = was.unwrap_or_default();
        let held = (0..ROOM).filter(move |place| was.tag(*place) != FREE);
        self.len -= held.clone().count();
        held.map(move |place| was.numbers[place])
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
        let mut bucket = Bucket::default();
        bucket.head += 7 * PASSED;
        for (place, tag) in (0..).zip([7, 0, 8, 7, 255, 0, 6, 7, 1, 0, 128, 7]) {
            bucket.set_tag(place, tag);
        }
        assert_eq!(bucket.head / PASSED, 7);
        for tag in 0..=255 {
            let expected = (0..ROOM).filter(|place| bucket.tag(*place) == tag);
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
        assert!(buckets.buckets.iter().all(|bucket| !bucket.is_passed()));
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
