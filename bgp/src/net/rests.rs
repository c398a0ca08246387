//! Addresses that failed, and are not let in for a while. Pure: the time is told.
//!
//! The rest doubles with each failure, from [`FIRST`] to [`LONGEST`], and a failure is forgotten when
//! nothing was wrong for [`MEMORY`] after its rest. Memory is bounded: beyond [`MOST`] addresses the one
//! goes whose rest is over first. Who has more addresses than that to fail from costs a place for each
//! attempt all the same, and those are bounded as well.

use core::time::Duration;
use std::{collections::BTreeMap, net::IpAddr};

use crate::time::Instant;

/// The rest after one failure: that of IdleHoldTime.
const FIRST: Duration = Duration::from_secs(1);

/// The longest rest.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a failure counts after its rest.
const MEMORY: Duration = Duration::from_secs(300);

/// Addresses to keep in mind.
const MOST: usize = 4096;

/// Who rests, and who did lately.
#[derive(Debug, Default)]
pub(super) struct Rests(BTreeMap<IpAddr, Rest>);

#[derive(Debug)]
struct Rest {
    /// Failures in a row, less one.
    before: u32,
    until: Instant,
}

impl Rests {
    pub(super) fn is_resting(&self, now: Instant, address: IpAddr) -> bool {
        self.0.get(&address).is_some_and(|rest| now < rest.until)
    }

    /// It failed.
    pub(super) fn add(&mut self, now: Instant, address: IpAddr) {
        let remembered = |rest: &Rest| now < rest.until + MEMORY;
        let known = self.0.remove(&address).filter(remembered);
        if self.0.len() >= MOST {
            self.0.retain(|_, rest| remembered(rest));
        }
        if self.0.len() >= MOST {
            let first = self.0.iter().min_by_key(|(_, rest)| rest.until);
            if let Some(address) = first.map(|(address, _)| *address) {
                self.0.remove(&address);
            }
        }
        let before = known.map_or(0, |rest| rest.before.saturating_add(1));
        let doubled = FIRST.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
        let until = now + doubled.min(LONGEST);
        self.0.insert(address, Rest { before, until });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn host(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn rests_double_up_to_a_minute_and_are_forgotten_after_a_good_while() {
        let (mut rests, mut now) = (Rests::default(), Instant::ZERO);
        let mut failed = |now: &mut Instant| {
            rests.add(*now, host(1));
            assert!(!rests.is_resting(*now, host(2)), "nobody else");
            let begin = *now;
            while rests.is_resting(*now, host(1)) {
                *now = *now + Duration::from_secs(1);
            }
            now.saturating_since(begin).as_secs()
        };
        let lasted: Vec<u64> = (0..9).map(|_| failed(&mut now)).collect();
        assert_eq!(lasted, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        now = now + MEMORY / 2;
        assert_eq!(failed(&mut now), 60);
        now = now + MEMORY;
        assert_eq!(failed(&mut now), 1);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut rests = Rests::default();
        let most = u32::try_from(MOST).unwrap();
        for _ in 0..3 {
            rests.add(Instant::ZERO, host(7));
        }
        for n in 1000..1000 + 2 * most {
            rests.add(Instant::ZERO, host(n));
        }
        assert_eq!(rests.0.len(), MOST);
        assert!(rests.is_resting(Instant::ZERO, host(7)), "it rests longest");
        // What is over makes room first.
        let later = Instant::ZERO + MEMORY + LONGEST;
        rests.add(later, host(1));
        assert_eq!(rests.0.len(), 1);
    }
}
