//! A walk through the tables in bounded steps.
//!
//! A reader of a large table must neither have it copied nor keep the owner of the tables busy. So it
//! asks for the prefixes from a [`Cursor`] on, gets those of a bounded number of slots and the cursor
//! of what is left, and looks each up when it wants it. Prefixes keep their slots while they are
//! there: one that is there for the whole walk is met once. One that comes or goes meanwhile may be
//! met or not, and one that went may be met still, so a look-up may find nothing.
//!
//! What can be told from a slot alone is asked for with the walk ([`Wanted`]): a reader that wants ten
//! routes of a million does not look up a million.

use redstart_bgp::{
    session::PeerId,
    types::{Family, Prefix, PrefixKey},
};

use super::Rib;
use crate::{paths::Path, table::Table};

/// A place in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    family: Family,
    slot: usize,
}

impl Cursor {
    /// Before everything.
    pub const START: Self = Self {
        family: Family::Ipv4Unicast,
        slot: 0,
    };

    const fn next_family(self) -> Option<Self> {
        match self.family {
            Family::Ipv4Unicast => Some(Self {
                family: Family::Ipv6Unicast,
                slot: 0,
            }),
            Family::Ipv6Unicast => None,
        }
    }
}

/// Which prefixes a walk is for. By default, all that have a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this family.
    pub family: Option<Family>,
    /// That lie in this one, or are it.
    pub within: Option<Prefix>,
    /// With a path from one of these.
    pub from: Option<Sources>,
    /// With a path that was refused.
    pub refused: bool,
}

/// Where paths come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// These peers.
    pub peers: Vec<PeerId>,
    /// This speaker.
    pub local: bool,
}

/// What a step of a walk has met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// The prefixes, in order.
    pub prefixes: Vec<Prefix>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

impl Rib {
    /// The wanted prefixes of one family from a cursor on: of at most `slots` slots, and at most `most`
    /// of them. None of them is not the end; no next cursor is.
    #[must_use]
    pub fn walk(&self, from: Cursor, wanted: &Wanted, slots: usize, most: usize) -> Walked {
        match from.family {
            Family::Ipv4Unicast => self.walk_table(&self.v4, from, wanted, slots, most),
            Family::Ipv6Unicast => self.walk_table(&self.v6, from, wanted, slots, most),
        }
    }

    fn walk_table<P: PrefixKey>(
        &self,
        table: &Table<P>,
        from: Cursor,
        wanted: &Wanted,
        slots: usize,
        most: usize,
    ) -> Walked {
        let mut walked = Walked {
            prefixes: Vec::new(),
            next: from.next_family(),
        };
        if !wanted.is_of(from.family) {
            return walked;
        }
        let last = from.slot.saturating_add(slots);
        for (slot, entry) in table.entries_from(from.slot) {
            if slot == last || walked.prefixes.len() == most {
                walked.next = Some(Cursor { slot, ..from });
                break;
            }
            let prefix = entry.prefix.into();
            if self.is_wanted(wanted, prefix, entry.paths.as_slice()) {
                walked.prefixes.push(prefix);
            }
        }
        walked.prefixes.sort_unstable();
        walked
    }

    fn is_wanted(&self, wanted: &Wanted, prefix: Prefix, paths: &[Path]) -> bool {
        let inside = wanted.within.is_none_or(|within| within.covers(prefix));
        inside && paths.iter().any(|path| self.is_wanted_path(wanted, path))
    }

    fn is_wanted_path(&self, wanted: &Wanted, path: &Path) -> bool {
        let from = wanted
            .from
            .as_ref()
            .is_none_or(|from| match self.shared.peers.get(path.peer) {
                Some(peer) => from.peers.contains(&peer.id),
                None => from.local,
            });
        from && (!wanted.refused || path.refused.is_some())
    }
}

impl Wanted {
    fn is_of(&self, family: Family) -> bool {
        let within = self.within.map(Prefix::family);
        [self.family, within]
            .into_iter()
            .flatten()
            .all(|f| f == family)
    }
}
