//! When changes of objects arrive, for [how long](super::neighbours) it takes until they are told.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::{sync::mpsc, time::Instant};

use crate::source::{Batch, CHANNEL_CAPACITY, SourceEvent};

/// So many changes of what is desired are told apart, if they are published before the core looks. Those
/// before count with the first of them.
const KEPT: usize = 8;

/// When those changes of objects arrived that led to the last changes of what is desired.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals {
    /// How many changes of what is desired there were.
    count: u64,
    /// How many of them the core has looked at.
    seen: Arc<AtomicU64>,
    last: [Option<Instant>; KEPT],
}

impl Arrivals {
    /// What is desired changed by objects the first of which arrived at `since`.
    pub(super) fn note(&mut self, since: Option<Instant>) {
        self.count += 1;
        let (slot, oldest) = (self.slot(self.count), self.slot(self.count + 1));
        let forgotten = self.last[slot];
        self.last[slot] = since;
        if self.seen.load(Relaxed) + (KEPT as u64) < self.count {
            let both = [forgotten, self.last[oldest]].into_iter().flatten();
            self.last[oldest] = both.min();
        }
    }

    /// The first arrival of those that the core, which has seen `before`, sees now.
    pub(super) fn since(&self, before: &Self) -> Option<Instant> {
        self.seen.store(self.count, Relaxed);
        let forgotten = self.count.saturating_sub(KEPT as u64);
        let unseen = before.count.max(forgotten) + 1..=self.count;
        unseen.filter_map(|n| self.last[self.slot(n)]).min()
    }

    const fn slot(&self, n: u64) -> usize {
        (n % self.last.len() as u64) as usize
    }
}

/// Batches with the time of their arrival, also of those that come while whoever takes them is busy.
pub(super) fn stamped(mut batches: mpsc::Receiver<Batch>) -> mpsc::Receiver<(Instant, Batch)> {
    let (to, stamped) = mpsc::channel(CHANNEL_CAPACITY);
    tokio::spawn(async move {
        while let Some(batch) = batches.recv().await {
            if to.send((Instant::now(), batch)).await.is_err() {
                return;
            }
        }
    });
    stamped
}

/// Notes when this came, if it has objects and nothing is noted yet.
pub(super) fn note_first(since: &mut Option<Instant>, at: Instant, batch: &Batch) {
    if has_objects(batch) {
        since.get_or_insert(at);
    }
}

fn has_objects(batch: &Batch) -> bool {
    batch.iter().any(|event| match event {
        SourceEvent::Restarted { .. } | SourceEvent::Applied(_) | SourceEvent::Deleted(_) => true,
        SourceEvent::Recalled | SourceEvent::Problems { .. } | SourceEvent::Health { .. } => false,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::index::{Health, Kind, ObjectKey};

    #[test]
    fn what_was_not_seen_yet_counts_from_its_first_arrival() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut now = Arrivals::default();
        assert_eq!(now.since(&Arrivals::default()), None);
        now.note(Some(at(0)));
        assert_eq!(now.since(&Arrivals::default()), Some(at(0)));
        let seen = now.clone();
        assert_eq!(now.since(&seen), None, "it was seen");
        now.note(None);
        now.note(Some(at(2)));
        now.note(Some(at(3)));
        assert_eq!(now.since(&seen), Some(at(2)));
        let seen = now.clone();
        for later in 4..20 {
            now.note(Some(at(later)));
        }
        assert_eq!(
            now.since(&seen),
            Some(at(4)),
            "those before count with the first"
        );
        let seen = now.clone();
        for later in 30..38 {
            now.note(Some(at(later)));
        }
        assert_eq!(
            now.since(&seen),
            Some(at(30)),
            "and those that were seen do not"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_has_the_time_that_it_came_and_not_that_it_was_taken() {
        let (to, batches) = crate::source::channel();
        let mut stamped = stamped(batches);
        let deleted = SourceEvent::Deleted(ObjectKey::cluster(Kind::Node, "n1"));
        let start = Instant::now();
        to.send(vec![deleted]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let health = SourceEvent::Health {
            kind: Kind::Node,
            health: Health::Synced,
        };
        to.send(vec![health]).await.unwrap();
        let (at, batch) = stamped.recv().await.unwrap();
        assert!(at < start + Duration::from_secs(5) && has_objects(&batch));
        let (at, batch) = stamped.recv().await.unwrap();
        assert!(at >= start + Duration::from_secs(5) && !has_objects(&batch));
        drop(to);
        assert!(stamped.recv().await.is_none());
    }
}
