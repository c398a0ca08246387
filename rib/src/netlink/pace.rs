//! How many operations make a batch: as many as the kernel does in a millisecond.
//!
//! What is urgent waits for the batches that are on their way, so a batch should not take long; and
//! with each one two threads wait for each other, so it should not be small. How long a route takes
//! depends on kernel and table: from one microsecond to ten, on the same machine.

use core::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How long a batch shall take.
const TURN: Duration = Duration::from_millis(1);
/// Batches of so few operations say little about the kernel, and are never too long.
const LEAST: usize = 64;
/// Before the kernel has shown how fast it is.
const FIRST: usize = 256;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Pace {
    batch: AtomicUsize,
    most: usize,
}

impl Pace {
    /// Never more than `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            batch: AtomicUsize::new(FIRST.min(most)),
            most,
        }
    }

    /// How many operations to send at a time.
    pub(super) fn batch(&self) -> usize {
        self.batch.load(Ordering::Relaxed)
    }

    /// So many operations took so long.
    pub(super) fn note(&self, ops: usize, took: Duration) {
        if ops < LEAST {
            return;
        }
        let turns = TURN.as_secs_f64() / took.max(Duration::from_nanos(1)).as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a number of operations, and saturating"
        )]
        let fitting = (ops as f64 * turns) as usize;
        // By halves: having had to wait for a processor once does not make the kernel slow.
        let next = self.batch().midpoint(fitting.min(self.most));
        let next = next.max(LEAST).min(self.most);
        self.batch.store(next, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1024;

    fn after(pace: &Pace, micros_each: u64) -> usize {
        for _ in 0..20 {
            let ops = pace.batch();
            let took = Duration::from_micros(micros_each) * u32::try_from(ops).unwrap();
            pace.note(ops, took);
        }
        pace.batch()
    }

    #[test]
    fn a_batch_is_what_the_kernel_does_in_a_millisecond() {
        let pace = Pace::new(MOST);
        assert!((490..=510).contains(&after(&pace, 2)));
        assert!((98..=102).contains(&after(&pace, 10)));
        assert!((490..=510).contains(&after(&pace, 2)));
    }

    #[test]
    fn it_has_bounds() {
        let pace = Pace::new(MOST);
        pace.note(MOST, Duration::ZERO);
        assert!(pace.batch() > FIRST);
        assert!(after(&pace, 0) > MOST - 2);
        assert_eq!(after(&pace, 1000), LEAST);
        let small = Pace::new(3);
        assert_eq!(after(&small, 0), 3);
    }

    #[test]
    fn few_operations_say_nothing() {
        let pace = Pace::new(MOST);
        pace.note(1, Duration::from_secs(1));
        assert_eq!(pace.batch(), FIRST);
    }
}
