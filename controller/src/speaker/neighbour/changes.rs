//! What became of the routes of one family in a session, as they came and went: BIRD's "route change stats".
//!
//! They are counted by the UPDATE and by the batch. Export policies are asked for the state of a
//! destination when the neighbour can take it, not for each change on the way there, so what they withhold
//! is no change and is not counted.

use redstart_bgp::{
    session::OutBatch,
    types::{Family, NlriSet},
};
use redstart_rib::{import::Refusal, rib::AnnounceOutcome};

use crate::control::views;

/// See the module's page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RouteChanges {
    announced: u64,
    /// Of those: not even held.
    rejected: u64,
    /// Held, and not used.
    filtered: u64,
    /// The same as before.
    repeated: u64,
    withdrawn: u64,
    /// Of those: never announced.
    unknown: u64,
    told: u64,
    /// Of those: no message can carry them.
    unsendable: u64,
    taken_back: u64,
}

impl RouteChanges {
    /// The neighbour announced routes.
    pub(super) fn announced(&mut self, routes: usize, outcome: &AnnounceOutcome) {
        let not_held = [Refusal::TooManyPaths, Refusal::Family];
        let not_held: usize = not_held.iter().map(|why| outcome.refused.get(*why)).sum();
        self.announced += routes as u64;
        self.rejected += not_held as u64;
        self.filtered += (outcome.refused.total() - not_held) as u64;
        self.repeated += outcome.repeated as u64;
    }

    /// It took routes back, of which it had announced so many.
    pub(super) fn withdrawn(&mut self, routes: usize, known: usize) {
        self.withdrawn += routes as u64;
        self.unknown += (routes - known) as u64;
    }

    /// Its session took what it is to be told of `family`.
    pub(super) fn told(&mut self, family: Family, batch: &OutBatch) {
        let reach = batch.reach.iter().map(|(_, routes)| routes);
        self.told += routes_of(family, reach);
        self.taken_back += routes_of(family, batch.withdraw.iter());
    }

    /// It could not be told these after all.
    pub(super) fn unsendable(&mut self, routes: usize) {
        self.unsendable += routes as u64;
    }

    pub(super) fn view(&self) -> views::RouteChanges {
        let refused = self.rejected + self.filtered + self.repeated;
        views::RouteChanges {
            import_updates: views::ChangeCounts {
                received: self.announced,
                rejected: Some(self.rejected),
                filtered: Some(self.filtered),
                ignored: Some(self.repeated),
                accepted: self.announced.saturating_sub(refused),
            },
            import_withdraws: views::ChangeCounts {
                received: self.withdrawn,
                rejected: Some(0),
                filtered: None,
                ignored: Some(self.unknown),
                accepted: self.withdrawn - self.unknown,
            },
            export_updates: views::ChangeCounts {
                received: self.told,
                rejected: Some(self.unsendable),
                filtered: None,
                ignored: None,
                accepted: self.told.saturating_sub(self.unsendable),
            },
            export_withdraws: views::ChangeCounts {
                received: self.taken_back,
                rejected: None,
                filtered: None,
                ignored: None,
                accepted: self.taken_back,
            },
        }
    }
}

fn routes_of<'a>(family: Family, lists: impl Iterator<Item = &'a NlriSet>) -> u64 {
    let of_family = lists.filter(|list| list.family() == family);
    of_family.map(|list| list.len() as u64).sum()
}
