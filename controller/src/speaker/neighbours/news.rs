//! How long it takes until neighbours are told what follows from changed objects.
//!
//! Measured for each neighbour by itself: from the arrival of the change (`arrivals`) until the neighbour's
//! session, whose socket can take more, has taken everything that there is for it. Changes that follow each
//! other before that count as one, from the first one on, so a neighbour that reads slowly shows. What else
//! changed meanwhile is waited for as well. What is withheld from a neighbour, or comes to the same as
//! before, does not count; nor does the initial table of a session.

use std::collections::BTreeMap;

use redstart_bgp::{
    session::{OutBatch, PeerId},
    time::Instant,
};
use redstart_rib::histogram::Histogram;

use super::Neighbours;
use crate::speaker::translate::{ROLES, role};

/// What a neighbour is to be told of changed objects.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct News {
    /// When the first of the changes arrived.
    since: Instant,
    /// Whether some of it was told.
    said: bool,
}

impl News {
    pub(in super::super) const fn new(since: Instant) -> Self {
        Self { since, said: false }
    }

    /// The session took a batch. Since when it waited for that, once it has everything.
    pub(in super::super) fn told(news: &mut Option<Self>, batch: &OutBatch) -> Option<Instant> {
        let waiting = news.as_mut()?;
        waiting.said |= !(batch.reach.is_empty() && batch.withdraw.is_empty());
        if batch.more {
            return None;
        }
        news.take().filter(|it| it.said).map(|it| it.since)
    }
}

/// How long it took, by role of the neighbour.
#[derive(Debug)]
pub(super) struct EventToWire(BTreeMap<&'static str, Histogram>);

impl Default for EventToWire {
    fn default() -> Self {
        Self(ROLES.map(|role| (role, Histogram::default())).into())
    }
}

impl Neighbours {
    /// There is something for these to pull, and it follows from what arrived at `since`.
    pub(in super::super) fn have_news(&mut self, since: Instant, whom: &[PeerId]) {
        for id in whom {
            let name = self.names.get(id);
            if let Some(neighbour) = name.and_then(|name| self.by_name.get_mut(name)) {
                neighbour.has_news(since);
            }
        }
    }

    /// A neighbour's session took a batch.
    pub(super) fn told(&mut self, now: Instant, peer: PeerId, batch: &OutBatch) {
        let name = self.names.get(&peer);
        let Some(neighbour) = name.and_then(|name| self.by_name.get_mut(name)) else {
            return;
        };
        if let Some(since) = neighbour.told(batch) {
            let of_role = self.event_to_wire.0.entry(role(&neighbour.spec.role));
            of_role.or_default().record(now.saturating_since(since));
        }
    }

    /// How long it took until neighbours were told what followed from changed objects, by their role.
    pub(in super::super) const fn event_to_wire(&self) -> &BTreeMap<&'static str, Histogram> {
        &self.event_to_wire.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redstart_bgp::types::{Family, FamilySet, NlriSet, PathAttributes};

    use super::*;

    const SINCE: Instant = Instant::from_nanos(7);

    fn told(news: &mut Option<News>, routes: bool, more: bool) -> Option<Instant> {
        let route = || {
            (
                Arc::new(PathAttributes::default()),
                NlriSet::empty(Family::Ipv4Unicast),
            )
        };
        let batch = OutBatch {
            reach: routes.then(route).into_iter().collect(),
            end_of_rib: FamilySet::EMPTY,
            more,
            ..OutBatch::default()
        };
        News::told(news, &batch)
    }

    #[test]
    fn news_is_told_with_the_last_batch_if_there_was_anything_to_tell() {
        let mut news = Some(News::new(SINCE));
        assert_eq!(told(&mut news, true, true), None, "there is more");
        assert_eq!(told(&mut news, false, false), Some(SINCE));
        assert_eq!(told(&mut news, true, false), None, "it is no news any more");
        news = Some(News::new(SINCE));
        assert_eq!(told(&mut news, false, false), None, "all of it is withheld");
        assert!(news.is_none());
    }
}
