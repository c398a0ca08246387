//! The paths to one prefix: the Adj-RIB-In of every peer and the Loc-RIB in one place.
//!
//! Most prefixes have one path, which lives in the table entry itself; only a second one costs an
//! allocation. Sixteen octets either way, checked by a test: this is the line that a million routes
//! multiply.
//!
//! A path is found by walking through the list, and most changes put the list in order again. That is
//! cheap while lists are short, so one peer may have no more than [`PATHS_OF_A_PEER`] paths in one:
//! who sends ever new path identifiers (RFC 7911) for one prefix costs what is too much of them, and
//! nobody else's time.
//!
//! Invariant after each decision: usable paths come first, in the order of the decision process; the
//! first is marked best, and it and those that share the traffic with it are marked multipath.

use thin_vec::ThinVec;

use crate::{
    ids::{AttrId, PeerIndex},
    import::Refusal,
};

/// Most paths of one peer to one prefix. RFC 7911 has no bound; nobody is known to send as many.
pub(crate) const PATHS_OF_A_PEER: usize = 256;

/// What one peer says about one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Its attributes, as received; counted by whoever owns the path.
    pub(crate) attr: AttrId,
    /// Who said so.
    pub(crate) peer: PeerIndex,
    /// Why it is no candidate.
    pub(crate) refused: Option<Refusal>,
    flags: u8,
    /// Which of the peer's paths it is (RFC 7911).
    pub(crate) path_id: u32,
    /// When it was last changed, in seconds of the daemon's clock.
    pub(crate) since: u32,
}

const STALE: u8 = 1;
const BEST: u8 = 2;
const MULTIPATH: u8 = 4;
const USABLE: u8 = 8;
const LONG_LIVED: u8 = 16;
const AWAITED: u8 = 32;
/// What the peer's doings set, and decisions leave alone.
const KEPT: u8 = STALE | LONG_LIVED | AWAITED;

impl Path {
    pub(crate) const fn new(attr: AttrId, peer: PeerIndex, path_id: u32, since: u32) -> Self {
        Self {
            attr,
            peer,
            refused: None,
            flags: 0,
            path_id,
            since,
        }
    }

    /// Kept over a restart of the peer and not confirmed since (RFC 4724 section 4.2).
    pub(crate) const fn is_stale(&self) -> bool {
        self.flags & STALE != 0
    }

    /// The session of its peer is over, and the peer may come back.
    pub(crate) const fn set_stale(&mut self) {
        self.flags = self.flags & !AWAITED | STALE;
    }

    /// Stale for long: better than no route, worse than any other (RFC 9494 section 4.4).
    pub(crate) const fn is_long_lived(&self) -> bool {
        self.flags & LONG_LIVED != 0
    }

    /// The peer did not come back within its restart time.
    pub(crate) const fn set_long_lived(&mut self) {
        self.flags |= LONG_LIVED;
    }

    /// The peer is about to say everything again and has not said this yet (RFC 7313 section 4).
    pub(crate) const fn is_awaited(&self) -> bool {
        self.flags & AWAITED != 0
    }

    pub(crate) const fn set_awaited(&mut self) {
        self.flags |= AWAITED;
    }

    /// The peer said it (again).
    pub(crate) const fn confirm(&mut self) {
        self.flags &= !KEPT;
    }

    /// Whether it took part in the last decision.
    pub(crate) const fn is_usable(&self) -> bool {
        self.flags & USABLE != 0
    }

    pub(crate) const fn is_best(&self) -> bool {
        self.flags & BEST != 0
    }

    pub(crate) const fn is_multipath(&self) -> bool {
        self.flags & MULTIPATH != 0
    }

    /// Its place after a decision that it took part in.
    pub(crate) const fn place(&mut self, best: bool, multipath: bool) {
        self.flags = self.flags & KEPT
            | USABLE
            | if best { BEST } else { 0 }
            | if multipath { MULTIPATH } else { 0 };
    }

    /// It could not take part.
    pub(crate) const fn place_out(&mut self) {
        self.flags &= KEPT;
    }

    const fn is(&self, peer: PeerIndex, path_id: u32) -> bool {
        self.peer.index() == peer.index() && self.path_id == path_id
    }
}

/// For how many more paths a full list gets room. Not for as many again: with ten neighbours that say the same, the
/// room for six that there are not was a tenth of all memory.
const fn more_room(paths: usize) -> usize {
    2 + paths / 4
}

/// Every path to one prefix.
#[derive(Debug, Default)]
pub(crate) enum Paths {
    /// None: the prefix waits to be withdrawn somewhere.
    #[default]
    Empty,
    /// The common case.
    One(Path),
    /// Two or more, in one piece of memory, its length with them.
    Many(ThinVec<Path>),
}

impl Paths {
    pub(crate) fn as_slice(&self) -> &[Path] {
        match self {
            Self::Empty => &[],
            Self::One(path) => core::slice::from_ref(path),
            Self::Many(list) => list,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Path] {
        match self {
            Self::Empty => &mut [],
            Self::One(path) => core::slice::from_mut(path),
            Self::Many(list) => list,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The best path, if any is usable.
    pub(crate) fn best(&self) -> Option<&Path> {
        self.as_slice().first().filter(|path| path.is_best())
    }

    /// Where in the list a peer's path is.
    pub(crate) fn position(&self, peer: PeerIndex, path_id: u32) -> Option<usize> {
        self.as_slice().iter().position(|p| p.is(peer, path_id))
    }

    pub(crate) fn find_mut(&mut self, peer: PeerIndex, path_id: u32) -> Option<&mut Path> {
        let at = self.position(peer, path_id)?;
        self.as_mut_slice().get_mut(at)
    }

    /// Whether the list holds as many paths of the peer as it may.
    pub(crate) fn is_full(&self, peer: PeerIndex) -> bool {
        let of_peer = self.as_slice().iter().filter(|path| path.peer == peer);
        of_peer.count() >= PATHS_OF_A_PEER
    }

    /// Adds a path whose peer and path identifier are not in the list, at a place in it.
    pub(crate) fn insert(&mut self, place: usize, path: Path) {
        *self = match core::mem::take(self) {
            Self::Empty => Self::One(path),
            Self::One(other) => {
                let mut both = ThinVec::with_capacity(2);
                both.push(other);
                both.insert(place, path);
                Self::Many(both)
            }
            Self::Many(mut list) => {
                if list.len() == list.capacity() {
                    list.reserve_exact(more_room(list.len()));
                }
                list.insert(place, path);
                Self::Many(list)
            }
        };
    }

    /// Removes the path at a place of the list.
    pub(crate) fn remove(&mut self, place: usize) -> Option<Path> {
        if place >= self.as_slice().len() {
            return None;
        }
        match core::mem::take(self) {
            Self::Empty => None,
            Self::One(path) => Some(path),
            Self::Many(mut list) => {
                let removed = list.remove(place);
                *self = match list.as_slice() {
                    [] => Self::Empty,
                    [last] => Self::One(*last),
                    _ => Self::Many(list),
                };
                Some(removed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(peer: usize) -> Path {
        Path::new(AttrId::new(0), PeerIndex::new(peer).unwrap(), 0, 0)
    }

    #[test]
    fn sixteen_octets() {
        assert_eq!(size_of::<Path>(), 16);
        assert_eq!(size_of::<Paths>(), 16);
    }

    #[test]
    fn a_peer_fills_its_own_share_alone() {
        let mut paths = Paths::default();
        let [one, other] = [1, 2].map(|peer| PeerIndex::new(peer).unwrap());
        for path_id in 0..PATHS_OF_A_PEER {
            assert!(!paths.is_full(one), "{path_id}");
            let path_id = u32::try_from(path_id).unwrap();
            paths.insert(0, Path::new(AttrId::new(0), one, path_id, 0));
        }
        assert!(paths.is_full(one) && !paths.is_full(other));
        paths.remove(paths.position(one, 7).unwrap()).unwrap();
        assert!(!paths.is_full(one));
    }

    #[test]
    fn little_room_is_to_spare_and_growing_is_rare() {
        let (mut paths, mut grown, mut last) = (Paths::default(), 0, 0);
        for i in 0..1000 {
            paths.insert(0, path(i));
            if let Paths::Many(list) = &paths {
                assert!(list.capacity() <= i + 2 + i / 4, "{i}");
                grown += usize::from(list.capacity() > last);
                last = list.capacity();
            }
        }
        assert!(grown < 30, "{grown}");
    }

    #[test]
    fn grows_and_shrinks() {
        let mut paths = Paths::default();
        for i in 0..4 {
            paths.insert(i / 2, path(i));
            assert_eq!(paths.as_slice().len(), i + 1);
            assert_eq!(paths.as_slice()[i / 2], path(i));
        }
        assert_eq!(paths.position(PeerIndex::LOCAL, 0), None);
        for i in 0..4 {
            let peer = PeerIndex::new(i).unwrap();
            assert_eq!(paths.position(peer, 1), None);
            assert_eq!(paths.remove(4 - i), None);
            let place = paths.position(peer, 0).unwrap();
            assert_eq!(paths.remove(place), Some(path(i)));
            assert_eq!(paths.position(peer, 0), None);
        }
        assert!(paths.is_empty());
    }
}
