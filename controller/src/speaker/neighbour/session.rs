//! A session while it is there, and what is counted of it.

use std::{sync::Arc, time::Duration};

use redstart_bgp::{
    session::{Negotiated, OutBatch},
    time::Instant,
    types::{Family, FamilySet},
};

use super::{Neighbour, changes::RouteChanges};
use crate::{
    control::views,
    speaker::{neighbours::News, our_end::OnLink},
};

/// How long a neighbour that does not say End-of-RIB gets for its initial table.
const SILENT_INITIAL_TABLE: Duration = Duration::from_secs(10);

/// An established session.
pub(super) struct Session {
    pub(super) negotiated: Arc<Negotiated>,
    pub(super) since: Instant,
    pub(super) link: OnLink,
    /// The families whose initial table has not been received.
    pub(super) awaited: FamilySet,
    /// When to wait no longer, for a neighbour that does not say End-of-RIB.
    pub(super) silent_until: Option<Instant>,
    /// What the neighbour is to be told of changed objects.
    news: Option<News>,
    ipv4: RouteChanges,
    ipv6: RouteChanges,
}

impl Session {
    pub(super) fn new(now: Instant, negotiated: Arc<Negotiated>, link: OnLink) -> Self {
        let silent = negotiated.graceful_restart.is_none();
        Self {
            awaited: negotiated.families,
            silent_until: silent.then_some(now + SILENT_INITIAL_TABLE),
            negotiated,
            since: now,
            link,
            news: None,
            ipv4: RouteChanges::default(),
            ipv6: RouteChanges::default(),
        }
    }

    /// How routes of a family came and went.
    pub(super) const fn changes(&mut self, family: Family) -> &mut RouteChanges {
        match family {
            Family::Ipv4Unicast => &mut self.ipv4,
            Family::Ipv6Unicast => &mut self.ipv6,
        }
    }
}

impl Neighbour {
    /// There is something for it to pull, which follows from objects that arrived at `since`.
    pub(in super::super) fn has_news(&mut self, since: Instant) {
        if let Some(session) = &mut self.session {
            session.news.get_or_insert(News::new(since));
        }
    }

    /// Its session took a batch. Since when it waited for news, if that was all of it.
    pub(in super::super) fn told(&mut self, batch: &OutBatch) -> Option<Instant> {
        let session = self.session.as_mut()?;
        for family in Family::ALL {
            session.changes(family).told(family, batch);
        }
        News::told(&mut session.news, batch)
    }

    /// How its routes of a family came and went in this session.
    pub(in super::super) fn changes(&self, family: Family) -> Option<views::RouteChanges> {
        let session = self.session.as_ref()?;
        Some(match family {
            Family::Ipv4Unicast => session.ipv4.view(),
            Family::Ipv6Unicast => session.ipv6.view(),
        })
    }
}
