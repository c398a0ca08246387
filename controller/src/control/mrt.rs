//! A dump of the tables as MRT (RFC 6396 section 4.3), piece by piece.
//!
//! Every path that was not refused is in it, as policies made it: what `redc show route` shows. The
//! peers come first, so routes of one that comes up while the dump goes on are left out. As everywhere,
//! a piece is asked for when the reader has taken the one before.

use std::collections::HashMap;

use bytes::BytesMut;
use jiff::Timestamp;
use redstart_bgp::{
    mrt::table::{self, Entry, Peer},
    session::PeerId,
    time::Instant,
    types::RouterId,
};
use redstart_rib::rib::{Cursor, NotBest, PathSource, PathView, RouteView};
use tokio::sync::mpsc;

use super::{Query, Walk, ask, pages::Pages, select::Busy};

/// Destinations in a piece.
const PAGE: usize = 1024;

/// The place of this speaker among the peers.
const LOCAL: u16 = 0;

/// Whose routes are in the tables.
#[derive(Debug)]
pub struct TablePeers {
    /// This speaker.
    pub local: Peer,
    /// The neighbours that routes may be from.
    pub peers: Vec<(PeerId, Peer)>,
    /// When the clock began by which routes are dated.
    pub started: Timestamp,
}

/// Why there is no dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoDump {
    /// The core did not answer in time.
    Busy,
    /// This speaker does not know yet who it is.
    NoIdentity,
}

/// A dump under way.
#[derive(Debug)]
pub(crate) struct Dump {
    core: mpsc::Sender<Query>,
    /// The moment that all records have.
    now: u32,
    started: Timestamp,
    places: HashMap<PeerId, u16>,
    sequence: u32,
    /// The record of the peers, until it is taken.
    first: Option<BytesMut>,
    /// Destinations that are still to ask for.
    pages: Pages,
}

impl Dump {
    /// Begins with whose routes there are.
    pub(crate) async fn begin(core: mpsc::Sender<Query>, now: Timestamp) -> Result<Self, NoDump> {
        let peers = ask(&core, Query::TablePeers).await.ok_or(NoDump::Busy)?;
        let TablePeers {
            local,
            peers,
            started,
        } = peers.ok_or(NoDump::NoIdentity)?;
        let router_id: RouterId = local.router_id;
        let (ids, peers): (Vec<_>, Vec<_>) = peers.into_iter().unzip();
        let all: Vec<_> = std::iter::once(local).chain(peers).collect();
        let now = seconds(now);
        let mut first = BytesMut::new();
        table::put_peers(now, router_id, "", &all, &mut first);
        Ok(Self {
            core,
            now,
            started,
            places: ids.into_iter().zip(LOCAL + 1..).collect(),
            sequence: 0,
            first: Some(first),
            pages: Pages::walked(),
        })
    }

    /// The next records; an empty piece is not the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<BytesMut>, Busy> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(wanted) = self.pages.next(&self.core, PAGE, everything).await? else {
            return Ok(None);
        };
        let mut out = BytesMut::new();
        if !wanted.is_empty() {
            let held = ask(&self.core, |reply| Query::Held(wanted, reply)).await;
            for route in held.ok_or(Busy)? {
                self.put(&route, &mut out);
            }
        }
        Ok(Some(out))
    }

    fn put(&mut self, route: &RouteView, out: &mut BytesMut) {
        let accepted = route.paths.iter();
        let accepted = accepted.filter(|path| !matches!(path.not_best, Some(NotBest::Refused(_))));
        let entries: Vec<_> = accepted.filter_map(|path| self.entry(path)).collect();
        table::put_prefix_entries(self.now, &mut self.sequence, route.prefix, &entries, out);
    }

    fn entry<'p>(&self, path: &'p PathView) -> Option<Entry<'p>> {
        let peer = match &path.source {
            PathSource::Local(_) => LOCAL,
            PathSource::Peer(id) => *self.places.get(id)?,
        };
        let age = path.since.saturating_since(Instant::ZERO).as_secs();
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        Some(Entry {
            peer,
            originated: seconds(self.started).saturating_add(age),
            path_id: path.path_id,
            attributes: &path.attrs,
        })
    }
}

/// A walk that leaves nothing out.
const fn everything(from: Cursor) -> Walk {
    Walk {
        from,
        family: None,
        within: None,
        source: None,
        refused: false,
    }
}

/// Seconds since 1970, as MRT has them.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_second()).unwrap_or(0)
}
