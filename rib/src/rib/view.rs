//! What the CLI shows: routes with every path, and why each is or is not best.
//!
//! Views are made on demand from the tables; nothing is kept for them. The reason why a path lost is
//! found by running the decision again, so it can't drift from what was decided.

use core::fmt;
use std::{net::IpAddr, sync::Arc};

use redstart_bgp::{
    session::PeerId,
    time::Instant,
    types::{Family, NextHop, PathAttributes, PathId, Prefix, PrefixKey},
};
use smallvec::SmallVec;

use super::{
    Rib,
    decide::{Shared, candidate},
};
use crate::{
    decision::{self, Candidate, Step},
    ids::PrefixId,
    import::Refusal,
    nexthop::Unresolved,
    origination::OriginSource,
    paths::Path,
    peers::{Counts, PeerInfo, SessionKind},
    policy::{RuleSource, family_index},
    table::Table,
    tracking::NextHopState,
};

/// A next hop that received routes name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackedNextHop<'a> {
    /// The next hop.
    pub next_hop: NextHop,
    /// The link where it counts, for a link-local one.
    pub interface: Option<u32>,
    /// What it resolves to.
    pub state: &'a NextHopState,
}

/// How a path came to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// Learned from another AS.
    Ebgp,
    /// Learned within the AS.
    Ibgp,
    /// Originated here.
    Local,
}

/// Where a path comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSource {
    /// A peer.
    Peer(PeerId),
    /// This speaker, on behalf of an object.
    Local(OriginSource),
}

/// Why a path is not the best one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBest {
    /// It was refused when it came in.
    Refused(Refusal),
    /// Its next hop can't be reached.
    Unresolved(Unresolved),
    /// Another path was better.
    Lost {
        /// In this step.
        step: Step,
        /// The path of this source.
        to: PathSource,
    },
}

impl fmt::Display for NotBest {
    /// A stable identifier: `refused-as-loop`, `next-hop-no-route`, `lost-local-pref`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "refused-{reason}"),
            Self::Unresolved(reason) => write!(f, "next-hop-{reason}"),
            Self::Lost { step, .. } => write!(f, "lost-{step}"),
        }
    }
}

/// One path to a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathView {
    /// Where it comes from.
    pub source: PathSource,
    /// How it came.
    pub kind: SourceKind,
    /// Its attributes: as received, but for what the session's kind, the peer's role or an import
    /// policy changes.
    pub attrs: Arc<PathAttributes>,
    /// Which of the peer's paths it is.
    pub path_id: PathId,
    /// Whether it is the best one.
    pub best: bool,
    /// Whether it carries traffic: the best one, and those that share with it.
    pub multipath: bool,
    /// Why it is not the best one.
    pub not_best: Option<NotBest>,
    /// The rules of import policies that matched it, or the one that rejected it.
    pub rules: Vec<RuleSource>,
    /// What its next hop resolves to; `None` for a route of our own.
    pub next_hop: Option<NextHopState>,
    /// Kept over a restart of the peer and not confirmed since.
    pub stale: bool,
    /// Kept beyond the peer's restart time, as a last resort (RFC 9494).
    pub long_lived_stale: bool,
    /// When it was last changed, to the second.
    pub since: Instant,
}

impl PathView {
    /// The learned route that leads to its next hop, where that is not one of the kernel's.
    #[must_use]
    pub fn through(&self) -> Option<Prefix> {
        self.next_hop.as_ref()?.as_ref().ok()?.through
    }
}

/// One prefix with every path to it, usable ones first, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// The destination.
    pub prefix: Prefix,
    /// The paths, refused ones included.
    pub paths: Vec<PathView>,
}

impl RouteView {
    /// The best path.
    #[must_use]
    pub fn best(&self) -> Option<&PathView> {
        self.paths.first().filter(|path| path.best)
    }
}

impl Rib {
    fn source(&self, prefix: Prefix, path: &Path) -> (PathSource, SourceKind) {
        match self.shared.peers.get(path.peer) {
            Some(peer) => {
                let kind = match peer.info.kind {
                    SessionKind::Ebgp => SourceKind::Ebgp,
                    SessionKind::Ibgp => SourceKind::Ibgp,
                };
                (PathSource::Peer(peer.id), kind)
            }
            None => {
                let source = self.originations.get(&prefix).map(|o| o.source.clone());
                // A local path lives as long as its origination, so there always is one.
                let source = source.unwrap_or(OriginSource {
                    kind: String::new(),
                    name: String::new(),
                });
                (PathSource::Local(source), SourceKind::Local)
            }
        }
    }

    /// The rules that decided about a path. They are found by asking again, as all reasons here.
    fn import_rules(&self, prefix: Prefix, path: &Path) -> Vec<RuleSource> {
        let asked = matches!(path.refused, None | Some(Refusal::Policy));
        let Some(peer) = self.shared.peers.get(path.peer).filter(|_| asked) else {
            return Vec::new();
        };
        let attrs = self.shared.attrs.get(self.shared.attrs.received(path.attr));
        let subject = peer.info.subject(prefix.family());
        peer.info.policies.import.explain(prefix, subject, &attrs)
    }

    fn view<P: PrefixKey>(&self, table: &Table<P>, id: PrefixId) -> RouteView {
        let entry = table.entry(id);
        let (prefix, paths) = (entry.prefix.into(), entry.paths.as_slice());
        // Usable paths come first and in order, so places, candidates and paths share an index.
        let candidates: SmallVec<[Candidate; 4]> = paths
            .iter()
            .map_while(|path| candidate(path, &self.shared))
            .collect();
        let ranking = decision::rank(&candidates);
        let paths = paths.iter().enumerate().map(|(place, path)| {
            let (source, kind) = self.source(prefix, path);
            let lost = || {
                let (step, to) = decision::lost(&candidates, &ranking, place)?;
                let (to, _) = self.source(prefix, paths.get(to)?);
                Some(NotBest::Lost { step, to })
            };
            let next_hop = next_hop_state(path, &self.shared).cloned();
            let unresolved = match next_hop {
                Some(Err(reason)) => Some(NotBest::Unresolved(reason)),
                _ => None,
            };
            PathView {
                source,
                kind,
                attrs: Arc::new(self.shared.attrs.get(path.attr)),
                path_id: PathId(path.path_id),
                best: path.is_best(),
                multipath: path.is_multipath(),
                not_best: path
                    .refused
                    .map(NotBest::Refused)
                    .or(unresolved)
                    .or_else(lost),
                rules: self.import_rules(prefix, path),
                next_hop,
                stale: path.is_stale(),
                long_lived_stale: path.is_long_lived(),
                since: Instant::from_nanos(u64::from(path.since) * 1_000_000_000),
            }
        });
        RouteView {
            prefix,
            paths: paths.collect(),
        }
    }

    /// Everything known about a prefix.
    #[must_use]
    pub fn lookup(&self, prefix: Prefix) -> Option<RouteView> {
        let view = match prefix {
            Prefix::V4(prefix) => self.view(&self.v4, self.v4.find(prefix)?),
            Prefix::V6(prefix) => self.view(&self.v6, self.v6.find(prefix)?),
        };
        (!view.paths.is_empty()).then_some(view)
    }

    /// The route that packets to `addr` take: the longest prefix with a usable path.
    #[must_use]
    pub fn lookup_longest(&self, addr: IpAddr) -> Option<RouteView> {
        Some(match addr {
            IpAddr::V4(_) => self.view(&self.v4, self.v4.longest(addr)?),
            IpAddr::V6(_) => self.view(&self.v6, self.v6.longest(addr)?),
        })
    }

    /// Every prefix with a path, usable or not, that contains `addr`: longest first.
    #[must_use]
    pub fn covering(&self, addr: IpAddr) -> Vec<Prefix> {
        match addr {
            IpAddr::V4(_) => prefixes(&self.v4, addr),
            IpAddr::V6(_) => prefixes(&self.v6, addr),
        }
    }

    /// How many prefixes of a family are known.
    #[must_use]
    pub fn prefixes(&self, family: Family) -> usize {
        match family {
            Family::Ipv4Unicast => self.v4.len(),
            Family::Ipv6Unicast => self.v6.len(),
        }
    }

    /// The counters of a peer that is up, or whose stale routes are kept.
    #[must_use]
    pub fn peer_counts(&self, peer: PeerId) -> Option<Counts> {
        let [v4, v6] = Family::ALL.map(|family| self.family_counts(peer, family));
        Some(v4? + v6?)
    }

    /// The same for one family.
    #[must_use]
    pub fn family_counts(&self, peer: PeerId, family: Family) -> Option<Counts> {
        let peer = self.shared.peers.get(self.shared.peers.find(peer)?)?;
        let family = family_index(family);
        Some(Counts {
            exported: peer.out[family].len(),
            ..peer.counts[family]
        })
    }

    /// What the RIB was told of a peer.
    #[must_use]
    pub fn peer_info(&self, peer: PeerId) -> Option<&PeerInfo> {
        let index = self.shared.peers.find(peer)?;
        self.shared.peers.get(index).map(|peer| &peer.info)
    }
}

fn prefixes<P: PrefixKey>(table: &Table<P>, addr: IpAddr) -> Vec<Prefix> {
    let covering = table.covering(addr);
    covering.map(|id| table.entry(id).prefix.into()).collect()
}

fn next_hop_state<'a>(path: &Path, shared: &'a Shared) -> Option<&'a NextHopState> {
    let next_hop = shared.attrs.hot(path.attr).next_hop?;
    Some(shared.attrs.next_hops.state(next_hop))
}
