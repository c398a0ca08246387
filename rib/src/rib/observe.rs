//! Observers: those who are shown the tables as they are and as they change, for monitoring stations.
//!
//! As everybody, an observer pulls ([`Rib::observed`]). It is shown each table once, in bounded steps, and
//! from then on what is touched: not each change, but what has become of it, so a route that flaps while
//! the observer is slow costs nothing. RFC 7854 section 5 allows just that ("state compression").
//!
//! What waits for an observer is a set of places (a prefix, a table, a path), bounded. One that falls back
//! further has to begin anew ([`Observed::lost`]), as RFC 7854 section 3.2 has it for a station that cannot
//! keep up. With no observer, a touch costs one look at an empty list.
//!
//! Invariants: what the walk has not met yet does not wait, for the walk will show it. A place is shown as
//! it is at that moment, and as withdrawn if there is nothing: a withdrawal may be of something that the
//! observer was never shown, which is harmless. Routes that are kept over the restart of their peer are
//! not shown as the peer's: it has not said them in the session that there is.

use std::{collections::VecDeque, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use redstart_bgp::{
    session::PeerId,
    time::Instant,
    types::{Family, Nlri, NlriSet, PathAttributes, PathId, Prefix, PrefixKey},
};

use super::{Rib, decide::Shared};
use crate::{
    ids::{AttrId, PeerIndex, PrefixId, ToldId},
    paths::Path,
    policy::family_index,
    table::{Entry, Table},
};

/// Most places that wait for an observer.
const MOST_WAITING: usize = if cfg!(test) { 1 << 12 } else { 1 << 19 };

/// How many slots of a table one step of the walk looks at.
const SLOTS: usize = 16_384;

/// Which table of a peer, or of this speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// The Adj-RIB-In before policies: all that a peer said, refused or not. Not quite as it said it: what
    /// must be ignored of an external peer (RFC 4271 section 5.1.5, RFC 7606 section 7) is not there.
    AdjRibInPre,
    /// The Adj-RIB-In after policies: what was not refused, as policies made it.
    AdjRibInPost,
    /// The Loc-RIB: the best path of each prefix.
    LocRib,
    /// The Adj-RIB-Out after policies: what a peer was told.
    AdjRibOutPost,
}

impl View {
    /// All.
    pub const ALL: [Self; 4] = [
        Self::AdjRibInPre,
        Self::AdjRibInPost,
        Self::LocRib,
        Self::AdjRibOutPost,
    ];
}

/// A set of [`View`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Views([bool; View::ALL.len()]);

impl Views {
    /// Whether the view is among them.
    #[must_use]
    pub const fn contains(self, view: View) -> bool {
        self.0[view as usize]
    }

    const fn has_adj_in(self) -> bool {
        self.contains(View::AdjRibInPre) || self.contains(View::AdjRibInPost)
    }
}

impl FromIterator<View> for Views {
    fn from_iter<I: IntoIterator<Item = View>>(views: I) -> Self {
        let mut set = Self::default();
        views
            .into_iter()
            .for_each(|view| set.0[view as usize] = true);
        set
    }
}

/// The number of an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObserverId(u64);

/// What an observer is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Routes that are there, or are there no more.
    pub seen: Vec<Seen>,
    /// The first round is over with this: everything was shown once.
    pub complete: bool,
    /// Peers whose End-of-RIB came, and whose routes until then were shown.
    pub ends: Vec<(PeerId, Family)>,
    /// Whether there is more at once.
    pub more: bool,
    /// The observer fell back too far: what it knows is no longer right.
    pub lost: bool,
}

/// Routes of one table that have one set of attributes, or are withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The table.
    pub view: View,
    /// Whose; of the Loc-RIB, nobody's.
    pub peer: Option<PeerId>,
    /// When they came, to the second; nothing where they are withdrawn, or were told.
    pub since: Option<Instant>,
    /// Their attributes; nothing where they are withdrawn.
    pub attrs: Option<Arc<PathAttributes>>,
    /// They.
    pub routes: NlriSet,
}

/// Where a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    AdjIn(PeerId, u32),
    LocRib,
    AdjOut(PeerId, u32),
}

type Place = (Prefix, Of);

/// One observer.
#[derive(Debug)]
struct Observer {
    id: ObserverId,
    views: Views,
    /// The first slot that the walk has not met; nothing once it is over.
    walk: Option<(Family, usize)>,
    waiting: VecDeque<Place>,
    known: HashSet<Place, FixedState>,
    ends: Vec<(PeerId, Family)>,
    lost: bool,
    /// Whether it is to be told that there is something.
    ready: bool,
}

/// Everybody who looks on.
#[derive(Debug)]
pub(crate) struct Observers {
    list: Vec<Observer>,
    last_id: u64,
    /// Prefixes are chosen by others: the hash must not be guessable.
    hasher: FixedState,
}

impl Observer {
    fn wants(&self, of: Of) -> bool {
        match of {
            Of::AdjIn(..) => self.views.has_adj_in(),
            Of::LocRib => self.views.contains(View::LocRib),
            Of::AdjOut(..) => self.views.contains(View::AdjRibOutPost),
        }
    }

    fn will_meet(&self, family: Family, id: PrefixId) -> bool {
        self.walk.is_some_and(|met| met <= (family, id.index()))
    }

    fn touch(&mut self, id: PrefixId, place: Place) {
        if self.lost || !self.wants(place.1) || self.will_meet(place.0.family(), id) {
            return;
        }
        if self.waiting.len() == MOST_WAITING {
            self.lost = true;
            self.waiting = VecDeque::new();
            self.known = HashSet::with_hasher(self.known.hasher().clone());
        } else if self.known.insert(place) {
            self.waiting.push_back(place);
        }
        self.ready = true;
    }
}

impl Observers {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            list: Vec::new(),
            last_id: 0,
            hasher: FixedState::with_seed(seed),
        }
    }

    fn touch(&mut self, id: PrefixId, place: Place) {
        self.list.iter_mut().for_each(|one| one.touch(id, place));
    }
}

impl Shared {
    /// Something has become of a path that a peer sent. That all of them go with its session need not be
    /// shown.
    pub(crate) fn touch_adj_in<P: PrefixKey>(&mut self, id: PrefixId, prefix: P, path: &Path) {
        if !self.observers.list.is_empty()
            && let Some(peer) = self.peers.get(path.peer).filter(|peer| peer.up)
        {
            let place = (prefix.into(), Of::AdjIn(peer.id, path.path_id));
            self.observers.touch(id, place);
        }
    }

    /// Another path is best, or none is.
    pub(crate) fn touch_loc_rib<P: PrefixKey>(&mut self, id: PrefixId, prefix: P) {
        if !self.observers.list.is_empty() {
            self.observers.touch(id, (prefix.into(), Of::LocRib));
        }
    }

    /// A peer is told something else, under this path identifier if it has one.
    pub(crate) fn touch_adj_out<P: PrefixKey>(
        &mut self,
        id: PrefixId,
        prefix: P,
        to: PeerIndex,
        path_id: u32,
    ) {
        if !self.observers.list.is_empty()
            && let Some(peer) = self.peers.get(to)
        {
            let place = (prefix.into(), Of::AdjOut(peer.id, path_id));
            self.observers.touch(id, place);
        }
    }
}

/// What an observer is shown next, being collected: one entry for what goes into one message.
#[derive(Default)]
struct Gathered {
    seen: Vec<Seen>,
    at: HashMap<Together, usize, FixedState>,
    count: usize,
}

/// What routes that are shown together have in common: the table, the family, when they came, and their
/// attributes.
type Together = (View, Option<PeerId>, Family, u32, Look);

/// By which number attributes are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Look {
    Gone,
    Held(AttrId),
    Told(ToldId),
}

impl Gathered {
    fn put(
        &mut self,
        shared: &Shared,
        (view, peer): (View, Option<PeerId>),
        (prefix, path_id): (Prefix, u32),
        (look, since): (Look, u32),
    ) {
        let key = (view, peer, prefix.family(), since, look);
        let at = *self.at.entry(key).or_insert_with(|| {
            let attrs = match look {
                Look::Gone => None,
                Look::Held(id) => Some(shared.attrs.get(id)),
                Look::Told(id) => Some(shared.attrs.told(id)),
            };
            let held = matches!(look, Look::Held(_));
            let since = Instant::from_nanos(u64::from(since) * 1_000_000_000);
            self.seen.push(Seen {
                view,
                peer,
                since: held.then_some(since),
                attrs: attrs.map(Arc::new),
                routes: match prefix {
                    Prefix::V4(_) => NlriSet::V4(Vec::new()),
                    Prefix::V6(_) => NlriSet::V6(Vec::new()),
                },
            });
            self.seen.len() - 1
        });
        let path_id = PathId(path_id);
        match (&mut self.seen[at].routes, prefix) {
            (NlriSet::V4(list), Prefix::V4(prefix)) => list.push(Nlri { prefix, path_id }),
            (NlriSet::V6(list), Prefix::V6(prefix)) => list.push(Nlri { prefix, path_id }),
            // The family is part of the key.
            _ => {}
        }
        self.count += 1;
    }

    /// A path that a peer said.
    fn put_path(
        &mut self,
        shared: &Shared,
        views: Views,
        from: PeerId,
        prefix: Prefix,
        path: &Path,
    ) {
        let route = (prefix, path.path_id);
        if views.contains(View::AdjRibInPre) {
            let received = Look::Held(shared.attrs.received(path.attr));
            let of = (View::AdjRibInPre, Some(from));
            self.put(shared, of, route, (received, path.since));
        }
        if views.contains(View::AdjRibInPost) && path.refused.is_none() {
            let of = (View::AdjRibInPost, Some(from));
            self.put(shared, of, route, (Look::Held(path.attr), path.since));
        }
    }

    /// That there is no such path in a table.
    fn put_gone(&mut self, shared: &Shared, views: Views, view: View, of: (PeerId, Prefix, u32)) {
        let (peer, prefix, path_id) = of;
        if views.contains(view) {
            let of = (view, Some(peer));
            self.put(shared, of, (prefix, path_id), (Look::Gone, 0));
        }
    }

    fn put_best<P: PrefixKey>(
        &mut self,
        shared: &Shared,
        prefix: Prefix,
        entry: Option<&Entry<P>>,
    ) {
        let best = entry.and_then(|entry| entry.paths.best());
        let look = best.map_or((Look::Gone, 0), |path| (Look::Held(path.attr), path.since));
        self.put(shared, (View::LocRib, None), (prefix, 0), look);
    }

    fn put_told(
        &mut self,
        shared: &Shared,
        (peer, path_id): (PeerId, u32),
        prefix: Prefix,
        told: Option<ToldId>,
    ) {
        let look = told.map_or(Look::Gone, Look::Told);
        let of = (View::AdjRibOutPost, Some(peer));
        self.put(shared, of, (prefix, path_id), (look, 0));
    }

    /// Everything there is about a prefix.
    fn put_entry<P: PrefixKey>(
        &mut self,
        shared: &Shared,
        views: Views,
        id: PrefixId,
        entry: &Entry<P>,
    ) {
        let prefix = entry.prefix.into();
        if views.has_adj_in() {
            for path in entry
                .paths
                .as_slice()
                .iter()
                .filter(|path| !path.is_stale())
            {
                if let Some(peer) = shared.peers.get(path.peer) {
                    self.put_path(shared, views, peer.id, prefix, path);
                }
            }
        }
        if views.contains(View::LocRib) && entry.paths.best().is_some() {
            self.put_best(shared, prefix, Some(entry));
        }
        if views.contains(View::AdjRibOutPost) && entry.announced > 0 {
            let peers = shared.peers.slots.iter().flatten();
            for peer in peers.filter(|peer| peer.up) {
                for (path_id, told) in peer.out[family_index(P::FAMILY)].told(id) {
                    self.put_told(shared, (peer.id, path_id), prefix, Some(told));
                }
            }
        }
    }

    /// What has become of a place.
    fn put_place<P: PrefixKey>(
        &mut self,
        table: &Table<P>,
        shared: &Shared,
        views: Views,
        (prefix, of): (P, Of),
    ) {
        let id = table.find(prefix);
        let entry = id.map(|id| table.entry(id));
        match of {
            Of::LocRib => self.put_best(shared, prefix.into(), entry),
            Of::AdjIn(peer, path_id) => {
                let index = shared.peers.find(peer);
                let path = entry.zip(index).and_then(|(entry, index)| {
                    let mut paths = entry.paths.as_slice().iter();
                    paths.find(|path| path.peer == index && path.path_id == path_id)
                });
                let path = path.filter(|path| !path.is_stale());
                let gone = (peer, prefix.into(), path_id);
                if let Some(path) = path {
                    self.put_path(shared, views, peer, prefix.into(), path);
                } else {
                    self.put_gone(shared, views, View::AdjRibInPre, gone);
                }
                if path.is_none_or(|path| path.refused.is_some()) {
                    self.put_gone(shared, views, View::AdjRibInPost, gone);
                }
            }
            Of::AdjOut(peer, path_id) => {
                let index = shared.peers.find(peer);
                let to = index.and_then(|index| shared.peers.get(index));
                let told = to.zip(id).and_then(|(to, id)| {
                    let mut told = to.out[family_index(P::FAMILY)].told(id);
                    told.find(|(told, _)| *told == path_id)
                });
                let told = told.map(|(_, told)| told);
                self.put_told(shared, (peer, path_id), prefix.into(), told);
            }
        }
    }

    /// A step of the walk through one table, from a slot on; where it stopped, unless at the end.
    fn walk<P: PrefixKey>(
        &mut self,
        table: &Table<P>,
        shared: &Shared,
        views: Views,
        from: usize,
        max: usize,
    ) -> Option<usize> {
        let last = from.saturating_add(SLOTS);
        for (slot, entry) in table.entries_from(from) {
            if slot == last || self.count >= max {
                return Some(slot);
            }
            self.put_entry(shared, views, PrefixId::new(slot), entry);
        }
        None
    }
}

impl Rib {
    /// Somebody begins to look on.
    pub fn observe(&mut self, views: Views) -> ObserverId {
        let observers = &mut self.shared.observers;
        observers.last_id += 1;
        let id = ObserverId(observers.last_id);
        observers.list.push(Observer {
            id,
            views,
            walk: Some((Family::Ipv4Unicast, 0)),
            waiting: VecDeque::new(),
            known: HashSet::with_hasher(observers.hasher.clone()),
            ends: Vec::new(),
            lost: false,
            ready: true,
        });
        id
    }

    /// Somebody looks on no more.
    pub fn forget_observer(&mut self, id: ObserverId) {
        self.shared.observers.list.retain(|one| one.id != id);
    }

    /// Observers for which something has come up since the last call, or their beginning.
    pub fn take_ready_observers(&mut self) -> Vec<ObserverId> {
        let list = self.shared.observers.list.iter_mut();
        list.filter_map(|one| core::mem::take(&mut one.ready).then_some(one.id))
            .collect()
    }

    /// A peer has told the end of its initial table, or of what it was asked for again.
    pub(crate) fn note_end(&mut self, peer: PeerId, family: Family) {
        for one in &mut self.shared.observers.list {
            if !one.ends.contains(&(peer, family)) {
                one.ends.push((peer, family));
                one.ready = true;
            }
        }
    }

    /// What an observer is shown next: about `max` routes. Nothing for one that is not known.
    pub fn observed(&mut self, id: ObserverId, max: usize) -> Option<Observed> {
        let list = &mut self.shared.observers.list;
        let at = list.iter().position(|one| one.id == id)?;
        let mut one = list.swap_remove(at);
        one.ready = false;
        let observed = self.show(&mut one, max);
        self.shared.observers.list.push(one);
        Some(observed)
    }

    fn show(&self, one: &mut Observer, max: usize) -> Observed {
        let (shared, views) = (&self.shared, one.views);
        let mut gathered = Gathered::default();
        while gathered.count < max
            && let Some(place) = one.waiting.pop_front()
        {
            one.known.remove(&place);
            match place {
                (Prefix::V4(prefix), of) => {
                    gathered.put_place(&self.v4, shared, views, (prefix, of));
                }
                (Prefix::V6(prefix), of) => {
                    gathered.put_place(&self.v6, shared, views, (prefix, of));
                }
            }
        }
        let walks = one.walk.is_some();
        if gathered.count < max
            && let Some((family, from)) = one.walk
        {
            let stopped = match family {
                Family::Ipv4Unicast => gathered.walk(&self.v4, shared, views, from, max),
                Family::Ipv6Unicast => gathered.walk(&self.v6, shared, views, from, max),
            };
            one.walk = match (stopped, family) {
                (Some(slot), _) => Some((family, slot)),
                (None, Family::Ipv4Unicast) => Some((Family::Ipv6Unicast, 0)),
                (None, Family::Ipv6Unicast) => None,
            };
        }
        let idle = one.waiting.is_empty() && one.walk.is_none();
        Observed {
            seen: gathered.seen,
            complete: walks && one.walk.is_none(),
            ends: if idle {
                core::mem::take(&mut one.ends)
            } else {
                Vec::new()
            },
            more: !idle && !one.lost,
            lost: one.lost,
        }
    }
}
