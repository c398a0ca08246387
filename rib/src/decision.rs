//! The decision process: which of the paths to a prefix is best, and why the others are not.
//!
//! RFC 4271 section 9.1.2 with the tie breaks of RFC 4456 section 9, and before all tie breaks AIGP
//! (RFC 7311). The steps are data ([`Step`]): the first one in which two paths differ decides between
//! them, and names the reason.
//!
//! **MED makes pairs of paths intransitive**: it counts only between paths of one neighbouring AS, so
//! A can beat B, B beat C and C beat A, and a selection by pairs then depends on the order of arrival.
//! As RFC 4271 has it, routes are *removed* by MED: a path that is equal to another one of the same
//! neighbouring AS up to ORIGIN, with a higher MED, is out ([`Step::Med`]). Whether a path is out
//! depends on the set alone; given that, every step is a comparison of two values, so the order is
//! total and independent of arrival.
//!
//! Age is not used: a restart must not move traffic.

use core::{cmp::Ordering, fmt};
use std::net::IpAddr;

use redstart_bgp::types::Origin;
use smallvec::SmallVec;

/// A step of the decision process, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A route of this speaker's own beats what it learned.
    Local,
    /// Not stale for long: such routes are the last resort (RFC 9494 section 4.4).
    LongLivedStale,
    /// Higher LOCAL_PREF (RFC 4271 section 9.1.1).
    LocalPref,
    /// Has AIGP, and the smaller distance by it (RFC 7311 section 4.1).
    Aigp,
    /// Shorter AS_PATH (9.1.2.2 a).
    AsPath,
    /// Lower ORIGIN (b).
    Origin,
    /// Lower MULTI_EXIT_DISC among the paths of one neighbouring AS (c).
    Med,
    /// Learned by eBGP rather than iBGP (d).
    Ebgp,
    /// Lower cost to the next hop (e).
    IgpMetric,
    /// Lower BGP Identifier, or ORIGINATOR_ID where there is one (f; RFC 4456 section 9).
    RouterId,
    /// Shorter CLUSTER_LIST (RFC 4456 section 9).
    ClusterList,
    /// Lower peer address (g).
    PeerAddress,
    /// Lower path identifier: two paths of one peer (RFC 7911).
    PathId,
}

impl Step {
    /// Every step, first to last.
    pub const ALL: [Self; 13] = [
        Self::Local,
        Self::LongLivedStale,
        Self::LocalPref,
        Self::Aigp,
        Self::AsPath,
        Self::Origin,
        Self::Med,
        Self::Ebgp,
        Self::IgpMetric,
        Self::RouterId,
        Self::ClusterList,
        Self::PeerAddress,
        Self::PathId,
    ];

    /// Whether paths that differ in this step only are still good enough to share the traffic.
    #[must_use]
    pub const fn breaks_ties(self) -> bool {
        matches!(
            self,
            Self::RouterId | Self::ClusterList | Self::PeerAddress | Self::PathId
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::LongLivedStale => "long-lived-stale",
            Self::LocalPref => "local-pref",
            Self::Aigp => "aigp",
            Self::AsPath => "as-path",
            Self::Origin => "origin",
            Self::Med => "med",
            Self::Ebgp => "ebgp",
            Self::IgpMetric => "igp-metric",
            Self::RouterId => "router-id",
            Self::ClusterList => "cluster-list",
            Self::PeerAddress => "peer-address",
            Self::PathId => "path-id",
        })
    }
}

/// What the decision process knows of one usable path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Originated here.
    pub local: bool,
    /// Kept, here or by somebody before us, long after the session that it came by.
    pub long_lived_stale: bool,
    /// LOCAL_PREF.
    pub local_pref: u32,
    /// The distance by AIGP: its metric and the cost to the next hop. `None` where it is unknown.
    pub aigp: Option<u64>,
    /// AS_PATH length.
    pub path_len: u16,
    /// ORIGIN.
    pub origin: Origin,
    /// The neighbouring AS, 0 where there is none: paths from within our own AS are one group.
    pub neighbor_as: u32,
    /// MULTI_EXIT_DISC, 0 where there is none.
    pub med: u32,
    /// Learned by eBGP.
    pub ebgp: bool,
    /// Cost to the next hop.
    pub igp_metric: u32,
    /// ORIGINATOR_ID, or else the peer's BGP Identifier.
    pub router_id: u32,
    /// CLUSTER_LIST length.
    pub cluster_len: u16,
    /// The peer's address.
    pub peer_addr: IpAddr,
    /// The peer's number: link-local addresses are the same on many links.
    pub peer: u32,
    /// The path identifier.
    pub path_id: u32,
}

/// A candidate's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Index in the list of candidates.
    pub index: usize,
    /// Whether a path of the same neighbouring AS removed it by MED.
    med_removed: bool,
}

/// The candidates, best first.
pub type Ranking = SmallVec<[Ranked; 8]>;

// Inlined, so that a chain of known steps is a chain of comparisons and no table of jumps.
#[inline(always)]
fn compare_step(step: Step, a: &Candidate, b: &Candidate) -> Ordering {
    match step {
        Step::Local => b.local.cmp(&a.local),
        Step::LongLivedStale => a.long_lived_stale.cmp(&b.long_lived_stale),
        Step::LocalPref => b.local_pref.cmp(&a.local_pref),
        // First those that have it, then by distance.
        Step::Aigp => (a.aigp.is_none(), a.aigp).cmp(&(b.aigp.is_none(), b.aigp)),
        Step::AsPath => a.path_len.cmp(&b.path_len),
        Step::Origin => a.origin.cmp(&b.origin),
        // Not a matter of two paths: see `med_removed`.
        Step::Med => Ordering::Equal,
        Step::Ebgp => b.ebgp.cmp(&a.ebgp),
        Step::IgpMetric => a.igp_metric.cmp(&b.igp_metric),
        Step::RouterId => a.router_id.cmp(&b.router_id),
        Step::ClusterList => a.cluster_len.cmp(&b.cluster_len),
        Step::PeerAddress => (a.peer_addr, a.peer).cmp(&(b.peer_addr, b.peer)),
        Step::PathId => a.path_id.cmp(&b.path_id),
    }
}

/// The steps before MED, as one comparison.
fn compare_head(a: &Candidate, b: &Candidate) -> Ordering {
    let step = |step| move || compare_step(step, a, b);
    compare_step(Step::Local, a, b)
        .then_with(step(Step::LongLivedStale))
        .then_with(step(Step::LocalPref))
        .then_with(step(Step::Aigp))
        .then_with(step(Step::AsPath))
        .then_with(step(Step::Origin))
}

/// The steps after MED.
fn compare_tail(a: &Candidate, b: &Candidate) -> Ordering {
    let step = |step| move || compare_step(step, a, b);
    compare_step(Step::Ebgp, a, b)
        .then_with(step(Step::IgpMetric))
        .then_with(step(Step::RouterId))
        .then_with(step(Step::ClusterList))
        .then_with(step(Step::PeerAddress))
        .then_with(step(Step::PathId))
}

/// All steps, as one comparison: who is better.
fn compare(candidates: &[Candidate], a: Ranked, b: Ranked) -> Ordering {
    let (x, y) = (&candidates[a.index], &candidates[b.index]);
    compare_head(x, y)
        .then_with(|| a.med_removed.cmp(&b.med_removed))
        .then_with(|| compare_tail(x, y))
}

/// The first step in which the two differ, and who is better. `None` for equal candidates.
fn first_difference(candidates: &[Candidate], a: Ranked, b: Ranked) -> Option<(Step, Ordering)> {
    Step::ALL.into_iter().find_map(|step| {
        let order = match step {
            Step::Med => a.med_removed.cmp(&b.med_removed),
            _ => compare_step(step, &candidates[a.index], &candidates[b.index]),
        };
        order.is_ne().then_some((step, order))
    })
}

/// Marks what MED removes. RFC 4271 section 9.1.2.2 c: "Remove from consideration routes with
/// less-preferred MULTI_EXIT_DISC attributes. MULTI_EXIT_DISC is only comparable between routes
/// learned from the same neighboring AS".
fn remove_by_med(candidates: &[Candidate], ranking: &mut Ranking) {
    let same_group =
        |a: &Candidate, b: &Candidate| a.neighbor_as == b.neighbor_as && compare_head(a, b).is_eq();
    if candidates.iter().all(|c| c.med == candidates[0].med) {
        return;
    }
    ranking.sort_unstable_by(|a, b| {
        let (a, b) = (&candidates[a.index], &candidates[b.index]);
        compare_head(a, b)
            .then(a.neighbor_as.cmp(&b.neighbor_as))
            .then(a.med.cmp(&b.med))
    });
    let mut lowest: Option<&Candidate> = None;
    for ranked in ranking.iter_mut() {
        let candidate = &candidates[ranked.index];
        match lowest.filter(|first| same_group(first, candidate)) {
            Some(first) => ranked.med_removed = candidate.med > first.med,
            None => lowest = Some(candidate),
        }
    }
}

/// Orders the candidates, best first.
#[must_use]
pub fn rank(candidates: &[Candidate]) -> Ranking {
    let mut ranking: Ranking = (0..candidates.len())
        .map(|index| Ranked {
            index,
            med_removed: false,
        })
        .collect();
    if candidates.len() < 2 {
        return ranking;
    }
    remove_by_med(candidates, &mut ranking);
    ranking.sort_by(|a, b| compare(candidates, *a, *b));
    ranking
}

/// How many of the first in `ranking` share the traffic: equal up to the cost to the next hop, at
/// most `max_paths`. Their neighbouring ASes may differ (ToRs of a rack pair often have their own),
/// the lengths of their AS_PATHs may not. A route of our own shares with nobody.
#[must_use]
pub fn multipath(candidates: &[Candidate], ranking: &[Ranked], max_paths: usize) -> usize {
    let Some(best) = ranking.first() else {
        return 0;
    };
    ranking
        .iter()
        .take(max_paths.max(1))
        .take_while(|other| {
            first_difference(candidates, *best, **other).is_none_or(|(step, _)| step.breaks_ties())
        })
        .count()
}

/// Where a candidate that comes to ranked ones has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its place among them.
    pub place: usize,
    /// How many share the traffic from now on.
    pub sharing: usize,
}

/// What [`rank`] and [`multipath`] say with one candidate more, found without looking at all the others:
/// `ranked` gives the one at a place, of `len`, the first `sharing` of which share the traffic. `None` where
/// MED may have a say, which is a matter of the whole set.
#[must_use]
pub fn join(
    new: &Candidate,
    len: usize,
    ranked: impl Fn(usize) -> Option<Candidate>,
    (sharing, max_paths): (usize, usize),
) -> Option<Joined> {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        match compare_head(&ranked(middle)?, new) {
            Ordering::Less => low = middle + 1,
            Ordering::Equal | Ordering::Greater => high = middle,
        }
    }
    let mut place = low;
    for at in low..len {
        let other = ranked(at)?;
        if compare_head(&other, new).is_ne() {
            break;
        }
        if other.med != new.med {
            return None;
        }
        if compare_tail(&other, new).is_le() {
            place = at + 1;
        }
    }
    // Those that share follow each other, so that whoever is further down is none of them.
    let shares = len > 0 && place <= sharing && ties(&ranked(0)?, new);
    let sharing = match (shares, place) {
        (true, _) => max_paths.max(1).min(sharing + 1),
        (false, 0) => 1,
        (false, _) => sharing,
    };
    Some(Joined { place, sharing })
}

/// How many share the traffic once `gone` is no longer at `place` among ranked ones, of which `sharing` did:
/// `ranked` gives the one at a place of the `len` that are left, who stay in order. `None` where MED may have a
/// say: one that it removed because of `gone` may be back.
#[must_use]
pub fn leave(
    (gone, place): (&Candidate, usize),
    len: usize,
    ranked: impl Fn(usize) -> Option<Candidate>,
    (sharing, max_paths): (usize, usize),
) -> Option<usize> {
    // Whoever is removed by MED is behind all those who are not.
    for at in place..len {
        let other = ranked(at)?;
        if compare_head(&other, gone).is_ne() {
            break;
        }
        if other.neighbor_as == gone.neighbor_as && other.med > gone.med {
            return None;
        }
    }
    if place >= sharing || len == 0 {
        return Some(sharing.min(len));
    }
    let best = ranked(0)?;
    for at in 1..len.min(max_paths.max(1)) {
        let other = ranked(at)?;
        if !ties(&best, &other) {
            return Some(at);
        }
        // Else one of those before it, with a lower one, may have removed it.
        if other.med != best.med {
            return None;
        }
    }
    Some(len.min(max_paths.max(1)))
}

/// Whether only steps that [break ties](Step::breaks_ties) tell the two apart, MED left out.
fn ties(a: &Candidate, b: &Candidate) -> bool {
    let by = |step| compare_step(step, a, b);
    compare_head(a, b)
        .then_with(|| by(Step::Ebgp))
        .then_with(|| by(Step::IgpMetric))
        .is_eq()
}

/// The step in which the path at `place` lost, and the index of the candidate that it lost to.
/// `None` for the best one.
#[must_use]
pub fn lost(candidates: &[Candidate], ranking: &[Ranked], place: usize) -> Option<(Step, usize)> {
    let (best, loser) = (*ranking.first()?, *ranking.get(place)?);
    if place == 0 {
        return None;
    }
    let (step, _) = first_difference(candidates, best, loser)?;
    if step != Step::Med {
        return Some((step, best.index));
    }
    // MED is lost to a path of the same neighbouring AS, which need not be the best one.
    let mine = &candidates[loser.index];
    let winner = ranking.iter().find(|other| {
        let other = &candidates[other.index];
        other.neighbor_as == mine.neighbor_as
            && other.med < mine.med
            && compare_head(other, mine).is_eq()
    });
    Some((step, winner.map_or(best.index, |w| w.index)))
}

#[cfg(test)]
mod tests;
