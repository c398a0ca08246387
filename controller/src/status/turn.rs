//! Whose turn it is to write what every speaker would write alike.
//!
//! Each object puts the nodes in an order, alike for all ([`Ring`]). The first node writes at once. If what
//! it should write is not there after a while, the next three do, then the next twelve, and so on: a cluster in
//! which few nodes are up gets its words within minutes, without a leader, and at any moment few write the same.
//!
//! Two speakers that disagree, in the middle of an upgrade, would write against each other for ever.
//! So each waits twice as long before it says the same words once more.

use std::{collections::BTreeMap, time::Duration};

use redstart_bgp::time::Instant;

use super::{
    conditions::{Claim, Verdict},
    ring::Ring,
};
use crate::object::ObjectRef;

/// From one group of nodes to the next.
pub const STEP: Duration = Duration::from_secs(20);
/// Each group brings the number of those whose turn it is to this many times the number before.
const GROWTH: usize = 4;
/// The longest wait before the same words are written again.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// How long a node in this place leaves it to those before it.
fn patience(place: usize) -> Duration {
    let mut group = 0;
    let mut reached = 1_usize;
    while reached <= place {
        group += 1;
        reached = reached.saturating_mul(GROWTH);
    }
    STEP * group
}

/// The turns of one node.
#[derive(Debug)]
pub struct Turns {
    jitter: f64,
    pause: Duration,
    waits: BTreeMap<ObjectRef, Wait>,
    /// When an object was last written, where that is less than the pause ago.
    recent: BTreeMap<ObjectRef, Instant>,
}

#[derive(Debug)]
struct Wait {
    uid: String,
    generation: Option<i64>,
    claims: Vec<Claim>,
    /// Since when the words are missing, if they are; or since when they were last written here.
    since: Option<Instant>,
    written: u32,
}

impl Wait {
    fn new(verdict: &Verdict) -> Self {
        Self {
            uid: verdict.standing.uid.clone(),
            generation: verdict.standing.generation,
            claims: verdict.claims.clone(),
            since: None,
            written: 0,
        }
    }

    /// `loosely`: whatever the words are.
    fn is_about(&self, verdict: &Verdict, loosely: bool) -> bool {
        let same = |(a, b): (&Claim, &Claim)| {
            a.kind == b.kind && a.holds == b.holds && a.reason == b.reason && {
                loosely || a.message == b.message
            }
        };
        self.uid == verdict.standing.uid
            && self.generation == verdict.standing.generation
            && self.claims.len() == verdict.claims.len()
            && self.claims.iter().zip(&verdict.claims).all(same)
    }
}

impl Turns {
    /// Nothing was written. `jitter` is a random number from 0 to 1; `pause` lies at least between two writes
    /// about one object, whatever they say.
    #[must_use]
    pub const fn new(jitter: f64, pause: Duration) -> Self {
        Self {
            jitter,
            pause,
            waits: BTreeMap::new(),
            recent: BTreeMap::new(),
        }
    }

    /// The objects, at most `limit`, whose conditions the node `own` is to write now. They count as
    /// written.
    pub fn due(
        &mut self,
        now: Instant,
        own: &str,
        nodes: &Ring,
        verdicts: &BTreeMap<ObjectRef, Verdict>,
        limit: usize,
    ) -> Vec<ObjectRef> {
        self.waits.retain(|object, _| verdicts.contains_key(object));
        self.recent.retain(|_, at| now < *at + self.pause);
        let mut due = Vec::new();
        for (object, verdict) in verdicts {
            let wait = self.wait(object, verdict);
            if verdict.is_told() {
                wait.since = None;
                continue;
            }
            let since = *wait.since.get_or_insert(now);
            let patience = patience(nodes.place(own, &object.to_string()));
            let again = STEP.saturating_mul(1 << wait.written.min(16)).min(LONGEST);
            let wanted = match wait.written {
                0 => patience + verdict.late,
                _ => (patience + verdict.late).max(again),
            };
            let is_due = now >= since + wanted.mul_f64(1.0 + self.jitter / 2.0);
            if due.len() < limit && is_due && !self.recent.contains_key(object) {
                self.recent.insert(object.clone(), now);
                let wait = self.wait(object, verdict);
                wait.since = Some(now);
                wait.written = wait.written.saturating_add(1);
                due.push(object.clone());
            }
        }
        due
    }

    fn wait(&mut self, object: &ObjectRef, verdict: &Verdict) -> &mut Wait {
        let wait = self.waits.entry(object.clone());
        let wait = wait.or_insert_with(|| Wait::new(verdict));
        // What a node has found may be in other words all the time.
        if !wait.is_about(verdict, !self.pause.is_zero()) {
            *wait = Wait::new(verdict);
        }
        wait
    }
}

#[cfg(test)]
mod tests;
