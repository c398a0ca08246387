//! The routing information base: one owner, no lock, no I/O.
//!
//! ```text
//!  announce / withdraw ─► import checks ─► paths of the prefix ─► decision ─┬─► peers' dirty sets ─► pull
//!  set_originations ─────────────────────────────▲                          └─► FIB's dirty set ───► take_fib_changes
//!  resolve (next hops) ──────────────────────────┘
//! ```
//!
//! Changes go in as they come; every consumer pulls the current state when it is ready for it (state,
//! not queues). The Adj-RIB-In of all peers and the Loc-RIB are one table per family, generic over
//! the prefix type; this type is the edge where the family of a call is looked at once.
//!
//! | file | job |
//! |---|---|
//! | `decide` | the decision process applied to an entry, and whom its outcome concerns |
//! | `admit` | safe defaults and policies applied to what was received |
//! | `ingest` | Adj-RIB-In |
//! | `arrivals` | routes to new prefixes, in bulk |
//! | `departures` | the only routes to prefixes go, in bulk |
//! | `own` | the routes of this speaker |
//! | `pull` | Adj-RIB-Out |
//! | `review` | what a peer has to look at in a table, in pieces |
//! | `collect` | what one peer is told next |
//! | `alike` | the same again for another member of its group |
//! | `forward` | next hops in, kernel routes out |
//! | `view` | what the CLI shows |
//! | `walk` | which prefixes there are, in bounded steps |
//! | `observe` | what monitoring stations are shown |

mod admit;
mod alike;
mod arrivals;
mod collect;
pub(crate) mod decide;
mod departures;
mod forward;
pub(crate) mod ingest;
mod observe;
mod own;
mod pull;
mod recursive;
pub(crate) mod review;
mod view;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use redstart_bgp::{
    session::PeerId,
    time::Instant,
    types::{Family, FamilySet, Ipv4Prefix, Ipv6Prefix, PathAttributes, Prefix, PrefixKey, Routes},
};

use crate::{
    attrs::AttrStore,
    export::Originations,
    ids::PeerIndex,
    limit::LimitState,
    owners::{self, Owners},
    paths::Path,
    peers::{OurEnd, PeerDown, PeerInfo, Peers, TooManyPeers},
    policy::{Difference, ExportPolicy, ImportPolicy, PeerPolicies, PeerRules},
    table::Table,
};
use decide::Shared;

pub use ingest::AnnounceOutcome;
pub use observe::{Observed, ObserverId, Seen, View, Views};
pub use pull::Complete;
pub use view::{NotBest, PathSource, PathView, RouteView, SourceKind, TrackedNextHop};
pub use walk::{Cursor, Sources, Walked, Wanted};

/// What the RIB is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RibConfig {
    /// How many paths may share the traffic to a prefix, and most gateways of a kernel route;
    /// 1 (or 0) turns multipath off.
    pub max_paths: u8,
}

impl Default for RibConfig {
    fn default() -> Self {
        Self { max_paths: 16 }
    }
}

/// The routing information base of this speaker.
#[derive(Debug)]
pub struct Rib {
    shared: Shared,
    v4: Table<Ipv4Prefix>,
    v6: Table<Ipv6Prefix>,
    originations: Originations,
    /// How much of what peers are told is known.
    complete: Complete,
}

/// Does the same to the table of either family.
macro_rules! both_tables {
    ($rib:ident, $family:ident, $table:ident => $body:expr) => {
        match $family {
            Family::Ipv4Unicast => {
                let $table = &mut $rib.v4;
                $body
            }
            Family::Ipv6Unicast => {
                let $table = &mut $rib.v6;
                $body
            }
        }
    };
}

impl Rib {
    /// An empty one. `seed` keys the hash tables: prefixes are chosen by others, so it must not be
    /// guessable in production; tests fix it.
    #[must_use]
    pub fn new(config: RibConfig, seed: u64) -> Self {
        Self {
            shared: Shared {
                config,
                attrs: AttrStore::new(seed),
                peers: Peers::new(seed),
                owners: Owners::new(),
                observers: observe::Observers::new(seed),
                now: 0,
                piece: review::PIECE,
            },
            v4: Table::new(seed),
            v6: Table::new(seed),
            originations: BTreeMap::new(),
            complete: Complete::default(),
        }
    }

    /// Moves the clock that stamps changed paths, which is all that the RIB uses it for.
    pub fn set_time(&mut self, now: Instant) {
        let seconds = now.saturating_since(Instant::ZERO).as_secs();
        self.shared.now = u32::try_from(seconds).unwrap_or(u32::MAX);
    }

    /// Applies a changed configuration.
    pub fn set_config(&mut self, config: RibConfig) {
        if self.shared.config != config {
            self.shared.config = config;
            decide::redecide_all(&mut self.v4, &mut self.shared);
            decide::redecide_all(&mut self.v6, &mut self.shared);
        }
    }

    /// The slot of a peer whose session is up.
    fn up(&self, peer: PeerId) -> Option<PeerIndex> {
        let index = self.shared.peers.find(peer)?;
        let up = self.shared.peers.get(index).is_some_and(|peer| peer.up);
        up.then_some(index)
    }

    /// A session is established. Routes kept over the peer's restart stay stale until they are
    /// confirmed, swept, or turn out to be another neighbour's.
    ///
    /// # Errors
    /// [`TooManyPeers`]; the session must end, nothing was changed.
    pub fn peer_up(&mut self, peer: PeerId, info: PeerInfo) -> Result<(), TooManyPeers> {
        if self.shared.peers.is_another(peer, &info) {
            self.peer_down(peer, PeerDown::Flush);
        }
        let (families, client) = (info.families, info.rules.client);
        let kept = self.shared.peers.find(peer);
        // On the terms by which their places were found.
        let gone = Family::ALL
            .into_iter()
            .filter(|family| !families.contains(*family));
        for (family, index) in gone.flat_map(|family| kept.map(|index| (family, index))) {
            both_tables!(self, family, table => {
                ingest::flush(table, &mut self.shared, index, |_| true);
            });
        }
        let kept = kept.and_then(|index| self.shared.peers.get(index));
        let was_client = kept.map(|peer| peer.info.rules.client);
        let index = self.shared.peers.insert(peer, info)?;
        let audience = self.shared.peers.audience();
        let learned = self.shared.peers.get(index);
        let learned = learned.is_some_and(|peer| audience.contains(peer));
        for family in Family::ALL {
            both_tables!(self, family, table => {
                if families.contains(family) {
                    // Its policy may be another than the one the kept routes were judged by.
                    ingest::rejudge(table, &mut self.shared, index, &Difference::Everything);
                }
                if learned {
                    review::begin(table, &mut self.shared, index, &Difference::Everything);
                }
            });
        }
        if was_client.is_some_and(|was| was != client) {
            self.review_reflection();
        }
        for prefix in self.originations.keys() {
            match *prefix {
                Prefix::V4(prefix) => mark_own(&self.v4, &mut self.shared, index, prefix),
                Prefix::V6(prefix) => mark_own(&self.v6, &mut self.shared, index, prefix),
            }
        }
        self.shared.peers.set_ready(index);
        Ok(())
    }

    /// A session is over, or a peer without one is no longer configured.
    pub fn peer_down(&mut self, peer: PeerId, how: PeerDown) {
        let Some(index) = self.shared.peers.find(peer) else {
            return;
        };
        let was_up = self.shared.peers.get(index).is_some_and(|peer| peer.up);
        let retained = match how {
            PeerDown::Flush => FamilySet::EMPTY,
            PeerDown::RetainStale(families) => families,
        };
        self.shared.peers.set_down(index);
        for family in Family::ALL {
            both_tables!(self, family, table => {
                pull::forget_told(table, &mut self.shared, index);
                if !retained.contains(family) {
                    ingest::flush(table, &mut self.shared, index, |_| true);
                } else if was_up {
                    ingest::retain_stale(table, &mut self.shared, index);
                }
            });
        }
        self.shared.peers.remove_if_gone(index);
    }

    /// Removes a peer's stale routes, of one family or all: it sent the End-of-RIB, or its time is
    /// up.
    pub fn sweep_stale(&mut self, peer: PeerId, family: Option<Family>) {
        let Some(index) = self.shared.peers.find(peer) else {
            return;
        };
        for swept in Family::ALL {
            if family.is_none_or(|family| family == swept) {
                both_tables!(self, swept, table => {
                    ingest::flush(table, &mut self.shared, index, Path::is_stale);
                });
            }
        }
        self.shared.peers.remove_if_gone(index);
    }

    /// The peer has sent its initial table. RFC 4724 section 4.2: once the End-of-RIB marker for an
    /// address family is received, the speaker "MUST immediately remove any routes from the peer that
    /// are still marked as stale for that address family."
    pub fn end_of_rib(&mut self, peer: PeerId, family: Family) {
        self.sweep_stale(peer, Some(family));
        self.note_end(peer, family);
    }

    /// The peer starts to send all its routes of a family again (RFC 7313 section 4). What it has not
    /// repeated by the [end](Self::refresh_end) is gone then; until then it counts as before.
    pub fn refresh_begin(&mut self, peer: PeerId, family: Family) {
        if let Some(index) = self.up(peer) {
            both_tables!(self, family, table => ingest::await_all(table, &self.shared, index));
        }
    }

    /// The peer has sent all its routes of a family again.
    pub fn refresh_end(&mut self, peer: PeerId, family: Family) {
        if let Some(index) = self.up(peer) {
            both_tables!(self, family, table => {
                ingest::flush(table, &mut self.shared, index, Path::is_awaited);
            });
        }
    }

    /// The peer did not come back within its restart time, and its routes of `family` shall stay as
    /// a last resort (RFC 9494 section 4.2): less preferred than any other, marked LLGR_STALE where
    /// they go, and gone at [`sweep_stale`](Self::sweep_stale). How many stayed.
    pub fn retain_long_lived(&mut self, peer: PeerId, family: Family) -> usize {
        let Some(index) = self.shared.peers.find(peer) else {
            return 0;
        };
        both_tables!(self, family, table => {
            ingest::retain_long(table, &mut self.shared, index);
        });
        self.shared.peers.remove_if_gone(index);
        self.family_counts(peer, family).map_or(0, |c| c.stale)
    }

    /// Applies changed rules of a peer.
    pub fn update_rules(&mut self, peer: PeerId, rules: PeerRules) {
        let Some(index) = self.shared.peers.find(peer) else {
            return;
        };
        let Some(was) = self.shared.peers.get(index).map(|peer| peer.info.rules) else {
            return;
        };
        self.shared.peers.set_rules(index, rules);
        for family in Family::ALL {
            both_tables!(self, family, table => {
                if !was.same_import(&rules) {
                    ingest::rejudge(table, &mut self.shared, index, &Difference::Everything);
                }
                if !was.same_origin(&rules) {
                    pull::mark_learned(table, &mut self.shared, index);
                }
                if !was.same_export(&rules) {
                    review::begin(table, &mut self.shared, index, &Difference::Everything);
                }
            });
        }
        if was.client != rules.client {
            self.review_reflection();
        }
    }

    /// Our end of a session that is up became another: its addresses, their subnet, or the AS that we
    /// are in. The peer is told again what looks different now, and nothing else. Whether there was a
    /// difference.
    pub fn update_our_end(&mut self, peer: PeerId, end: OurEnd) -> bool {
        let Some(index) = self.up(peer) else {
            return false;
        };
        let was = self.shared.peers.set_our_end(index, end);
        let Some(was) = was.filter(|was| *was != end) else {
            return false;
        };
        let another_as = was.own_as != end.own_as;
        let another_subnet = was.subnet != end.subnet;
        for family in Family::ALL {
            let next_hop = |end: OurEnd| end.next_hop_self.for_family(family);
            both_tables!(self, family, table => {
                // A route with our own address as next hop is refused, and one from beyond the subnet.
                ingest::rejudge(table, &mut self.shared, index, &Difference::Everything);
                if another_as {
                    pull::mark_learned(table, &mut self.shared, index);
                }
                if another_as || another_subnet || next_hop(was) != next_hop(end) {
                    review::begin(table, &mut self.shared, index, &Difference::Everything);
                }
            });
        }
        true
    }

    /// Who is a client changed: what internal peers are told of each other may be another thing.
    fn review_reflection(&mut self) {
        for index in self.shared.peers.internal() {
            let all = Difference::Everything;
            review::begin(&self.v4, &mut self.shared, index, &all);
            review::begin(&self.v6, &mut self.shared, index, &all);
        }
    }

    /// Where a peer stands with the number of routes of a family that it may send.
    #[must_use]
    pub fn limit_state(&self, peer: PeerId, family: Family) -> LimitState {
        let index = self.shared.peers.find(peer);
        let peer = index.and_then(|index| self.shared.peers.get(index));
        peer.map_or(LimitState::Within, |peer| peer.limit_state(family))
    }

    /// Applies changed policies. Refused routes are still known, so nothing has to be asked of the
    /// peer, and nothing is reset.
    pub fn update_policies(&mut self, peer: PeerId, import: ImportPolicy, export: ExportPolicy) {
        let Some(index) = self.shared.peers.find(peer) else {
            return;
        };
        let before = self
            .shared
            .peers
            .get(index)
            .map(|peer| (peer.info.import.clone(), peer.info.export));
        let (import_changed, export_changed) =
            before.map_or((false, false), |(was, had)| (was != import, had != export));
        self.shared.peers.set_policies(index, import, export);
        for family in Family::ALL {
            both_tables!(self, family, table => {
                if import_changed {
                    ingest::rejudge(table, &mut self.shared, index, &Difference::Everything);
                }
                if export_changed {
                    review::begin(table, &mut self.shared, index, &Difference::Everything);
                }
            });
        }
    }

    /// Applies changed chains of policies: only routes that a changed rule may match are looked at.
    /// Nothing is asked of the peer and nothing is reset. A policy may set a next hop that is new:
    /// [`resolve_pending`](Self::resolve_pending) is due.
    pub fn update_chains(&mut self, peer: PeerId, policies: PeerPolicies) {
        let Some(index) = self.shared.peers.find(peer) else {
            return;
        };
        let Some(was) = self.shared.peers.get(index).map(|peer| &peer.info.policies) else {
            return;
        };
        let import = was.import.difference(&policies.import);
        let export = was.export.difference(&policies.export);
        self.shared.peers.set_chains(index, policies);
        for family in Family::ALL {
            both_tables!(self, family, table => {
                if !matches!(import, Difference::Nothing) {
                    ingest::rejudge(table, &mut self.shared, index, &import);
                }
                review::begin(table, &mut self.shared, index, &export);
            });
        }
    }

    /// Says whose the prefixes of the mesh are. What came by [`ImportPolicy::Owner`] is judged again
    /// where that changed.
    pub fn set_owners(&mut self, owners: Owners) {
        let before = core::mem::replace(&mut self.shared.owners, owners);
        for prefix in owners::changed(&before, &self.shared.owners) {
            match prefix {
                Prefix::V4(prefix) => {
                    ingest::rejudge_prefix(&mut self.v4, &mut self.shared, prefix);
                }
                Prefix::V6(prefix) => {
                    ingest::rejudge_prefix(&mut self.v6, &mut self.shared, prefix);
                }
            }
        }
    }

    /// The peers that told usable paths to `prefix`, each as often as it told one. What is kept over a
    /// restart of its peer counts where `with_stale` says so: it may be gone in a moment.
    #[must_use]
    pub fn tellers(&self, prefix: Prefix, with_stale: bool) -> Vec<PeerId> {
        match prefix {
            Prefix::V4(prefix) => decide::tellers(&self.v4, &self.shared, prefix, with_stale),
            Prefix::V6(prefix) => decide::tellers(&self.v6, &self.shared, prefix, with_stale),
        }
    }

    /// Routes from a peer. From one whose session is not up they are ignored: they crossed its end.
    pub fn announce<'a>(
        &mut self,
        peer: PeerId,
        attrs: &PathAttributes,
        routes: impl Into<Routes<'a>>,
    ) -> AnnounceOutcome {
        let Some(from) = self.up(peer) else {
            return AnnounceOutcome::default();
        };
        let shared = &mut self.shared;
        match routes.into() {
            Routes::V4(span) => ingest::announce(&mut self.v4, shared, from, attrs, span),
            Routes::V6(span) => ingest::announce(&mut self.v6, shared, from, attrs, span),
        }
    }

    /// Routes that a peer takes back; how many of them it had told.
    pub fn withdraw<'a>(&mut self, peer: PeerId, routes: impl Into<Routes<'a>>) -> usize {
        let Some(from) = self.up(peer) else {
            return 0;
        };
        match routes.into() {
            Routes::V4(span) => ingest::withdraw(&mut self.v4, &mut self.shared, from, span),
            Routes::V6(span) => ingest::withdraw(&mut self.v6, &mut self.shared, from, span),
        }
    }

    /// How many attribute sets are stored: received, and told to peers.
    #[must_use]
    pub fn attribute_sets(&self) -> usize {
        self.shared.attrs.len()
    }
}

fn mark_own<P: PrefixKey>(table: &Table<P>, shared: &mut Shared, peer: PeerIndex, prefix: P) {
    if let Some(id) = table.find(prefix) {
        shared.peers.mark_one(peer, P::FAMILY, id);
    }
}
