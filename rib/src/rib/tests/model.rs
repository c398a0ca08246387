//! The model test: random histories on the RIB and on the naive one, compared at every check.
//!
//! Consumers pull at random moments and in small pieces, so what they end up with is tested, not how
//! they got there: a peer's routes are what its batches add up to, the kernel's are what the changes
//! add up to.

use proptest::prelude::*;
use redstart_bgp::types::Community;

use super::{
    history::{
        Op, PEERS, POLICIES, PREFIXES, Shape, negotiate, ops, originations, owners, session,
    },
    naive::{Held, Naive, NaivePeer},
    onlooker::Onlooker,
    *,
};

/// One route under a path identifier.
fn numbered(prefix: Prefix, path_id: u32) -> NlriSet {
    let path_id = PathId(path_id);
    match prefix {
        Prefix::V4(prefix) => NlriSet::V4(vec![Nlri { prefix, path_id }]),
        Prefix::V6(prefix) => NlriSet::V6(vec![Nlri { prefix, path_id }]),
    }
}

/// The RIB under test, the naive one, and what the consumers hold.
struct World {
    rib: Rib,
    naive: Naive,
    told: BTreeMap<u32, BTreeMap<(Prefix, u32), PathAttributes>>,
    ended: BTreeMap<u32, FamilySet>,
    released: bool,
    kernel: BTreeMap<Prefix, Route>,
    onlooker: Onlooker,
}

impl World {
    fn new() -> Self {
        let mut rib = Rib::new(RibConfig { max_paths: 4 }, 3);
        // So few that what happens to a table of a million while it is looked through happens here.
        rib.shared.piece = 1;
        Self {
            onlooker: Onlooker::new(&mut rib),
            rib,
            naive: Naive {
                links: connected(),
                max_paths: 4,
                ..Naive::default()
            },
            told: BTreeMap::new(),
            ended: BTreeMap::new(),
            released: false,
            kernel: BTreeMap::new(),
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Announce {
                peer,
                prefix,
                path_id,
                shape,
            } => self.announce(*peer, (p(PREFIXES[*prefix]), *path_id), shape),
            Op::Withdraw {
                peer,
                prefix,
                path_id,
            } => {
                let prefix = p(PREFIXES[*prefix]);
                self.rib
                    .withdraw(PeerId(*peer), &numbered(prefix, *path_id));
                if let Some(state) = self.naive.peers.get_mut(peer).filter(|s| s.up) {
                    state.routes.remove(&(prefix, *path_id));
                }
            }
            Op::Up {
                peer,
                policy,
                offer,
            } => self.up(*peer, *policy, *offer),
            Op::Down { peer, retain } => self.down(*peer, *retain),
            Op::EndOfRib { peer, family } => self.end_of_rib(*peer, *family),
            Op::RetainLongLived { peer, family } => self.retain_long_lived(*peer, *family),
            Op::Again { peer, family, end } => self.again(*peer, *family, *end),
            Op::Policies { peer, policy } => self.policies(*peer, *policy),
            Op::Originate { routes } => {
                self.naive.originations = originations(routes);
                self.rib.set_originations(self.naive.originations.clone());
            }
            Op::OriginateOne { prefix, how } => self.originate_one(*prefix, *how),
            Op::Owners { nodes } => {
                self.naive.owners = owners(nodes);
                self.rib.set_owners(self.naive.owners.clone());
            }
            Op::Links { metrics } => {
                let links = (1..).zip(metrics);
                let up = links.filter_map(|(n, m)| Some((IpAddr::from([10, 0, 0, n]), (*m)?)));
                self.naive.links = Links(up.collect());
                self.rib.resolve(&self.naive.links);
            }
            Op::MaxPaths(max) => {
                self.naive.max_paths = usize::from(*max);
                self.rib.set_config(RibConfig { max_paths: *max });
            }
            Op::Refresh { peer } => self.refresh(*peer),
            Op::Pull { peer, max } => {
                self.pull(*peer, *max);
                self.onlooker.look(&mut self.rib, *max);
            }
            Op::Fib { max } => self.fib(*max),
            Op::ReleaseEndOfRib => {
                self.rib.set_complete(Complete::All);
                self.released = true;
            }
            Op::Check => self.check(),
        }
    }

    fn originate_one(&mut self, number: usize, how: Option<u8>) {
        let prefix = p(PREFIXES[number]);
        let one = how.and_then(|how| originations(&[(number, how)]).remove(&prefix));
        match &one {
            Some(one) => _ = self.naive.originations.insert(prefix, one.clone()),
            None => _ = self.naive.originations.remove(&prefix),
        }
        self.rib.set_origination(prefix, one);
        assert_eq!(*self.rib.originations(), self.naive.originations);
    }

    fn announce(&mut self, peer: u32, (prefix, path_id): (Prefix, u32), shape: &Shape) {
        let attrs = shape.attrs(&session(peer, 0));
        let routes = numbered(prefix, path_id);
        let outcome = self.rib.announce(PeerId(peer), &attrs, &routes);
        match self.naive.peers.get_mut(&peer).filter(|s| s.up) {
            None => assert_eq!(outcome, AnnounceOutcome::default()),
            Some(state) => {
                let owners = &self.naive.owners;
                let accepted = Naive::accepts(&state.info, owners, prefix, &attrs);
                assert_eq!(outcome.accepted, usize::from(accepted));
                assert_eq!(outcome.refused.total(), usize::from(!accepted));
                state.routes.insert((prefix, path_id), Held::new(attrs));
            }
        }
    }

    fn retain_long_lived(&mut self, peer: u32, family: Family) {
        self.rib.retain_long_lived(PeerId(peer), family);
        if let Some(state) = self.naive.peers.get_mut(&peer) {
            let stays = |held: &Held| !held.attrs.has_community(Community::NO_LLGR);
            let stale = |prefix: &Prefix, held: &Held| held.stale && prefix.family() == family;
            let routes = &mut state.routes;
            routes.retain(|(prefix, _), held| !stale(prefix, held) || stays(held));
            for ((prefix, _), held) in routes {
                held.long_lived |= stale(prefix, held);
            }
        }
    }

    fn again(&mut self, peer: u32, family: Family, end: bool) {
        let state = self.naive.peers.get_mut(&peer).filter(|s| s.up);
        let mut none = BTreeMap::new();
        let routes = state.map_or(&mut none, |state| &mut state.routes);
        if end {
            self.rib.refresh_end(PeerId(peer), family);
            routes.retain(|(prefix, _), held| prefix.family() != family || !held.awaited);
        } else {
            self.rib.refresh_begin(PeerId(peer), family);
            for ((prefix, _), held) in routes {
                held.awaited |= prefix.family() == family;
            }
        }
    }

    fn policies(&mut self, peer: u32, policy: u8) {
        let PeerInfo {
            import,
            export,
            policies,
            rules,
            ..
        } = session(peer, policy);
        self.rib
            .update_policies(PeerId(peer), import.clone(), export);
        self.rib.update_rules(PeerId(peer), rules);
        self.rib.update_chains(PeerId(peer), policies.clone());
        if let Some(state) = self.naive.peers.get_mut(&peer) {
            (state.info.import, state.info.export) = (import, export);
            (state.info.rules, state.info.policies) = (rules, policies);
        }
    }

    fn up(&mut self, peer: u32, policy: u8, offer: u8) {
        let mut info = session(peer, policy);
        negotiate(&mut info, offer);
        self.onlooker.session_changes(peer);
        self.rib.peer_up(PeerId(peer), info.clone()).unwrap();
        let kept = match self.naive.peers.remove(&peer) {
            Some(state) if !state.up && state.info.role == info.role => state.routes,
            _ => BTreeMap::new(),
        };
        let state = NaivePeer {
            info,
            up: true,
            routes: kept,
        };
        self.naive.peers.insert(peer, state);
        self.told.insert(peer, BTreeMap::new());
        self.ended.insert(peer, FamilySet::EMPTY);
    }

    fn down(&mut self, peer: u32, retain: bool) {
        let how = if retain {
            PeerDown::RetainStale(FamilySet::ALL)
        } else {
            PeerDown::Flush
        };
        self.onlooker.session_changes(peer);
        self.rib.peer_down(PeerId(peer), how);
        self.told.remove(&peer);
        self.ended.remove(&peer);
        if !retain {
            self.naive.peers.remove(&peer);
        } else if let Some(state) = self.naive.peers.get_mut(&peer).filter(|s| s.up) {
            state.up = false;
            state
                .routes
                .retain(|_, held| !held.stale || held.long_lived);
            for held in state.routes.values_mut() {
                (held.stale, held.awaited) = (true, false);
            }
        }
    }

    fn end_of_rib(&mut self, peer: u32, family: Family) {
        self.rib.end_of_rib(PeerId(peer), family);
        if let Some(state) = self.naive.peers.get_mut(&peer) {
            state
                .routes
                .retain(|(prefix, _), held| !held.stale || prefix.family() != family);
        }
    }

    /// A peer that asks for a refresh must be told all that it holds, and nothing less.
    fn refresh(&mut self, peer: u32) {
        self.drain(peer);
        self.rib.refresh_out(PeerId(peer), Family::Ipv4Unicast);
        if let Some(told) = self.told.get_mut(&peer) {
            told.retain(|(prefix, _), _| prefix.family() != Family::Ipv4Unicast);
        }
        self.drain(peer);
    }

    fn pull(&mut self, peer: u32, max: usize) {
        let batch = self.rib.pull(PeerId(peer), max);
        let Some(told) = self.told.get_mut(&peer) else {
            assert!(batch.is_empty(), "no session");
            return;
        };
        let mut seen = BTreeSet::new();
        for nlri in batch.withdraw.iter().flat_map(NlriSet::iter) {
            let key = (nlri.prefix, nlri.path_id.0);
            assert!(seen.insert(key), "once in a batch");
            assert!(told.remove(&key).is_some(), "it was told before");
        }
        let mut groups = BTreeSet::new();
        for (attrs, list) in &batch.reach {
            assert!(groups.insert((Arc::clone(attrs), list.family())), "grouped");
            for nlri in list.iter() {
                let key = (nlri.prefix, nlri.path_id.0);
                assert!(seen.insert(key), "once in a batch");
                let before = told.insert(key, PathAttributes::clone(attrs));
                assert!(before.as_ref() != Some(&**attrs), "nothing is said twice");
            }
        }
        let prefixes: BTreeSet<Prefix> = seen.iter().map(|(prefix, _)| *prefix).collect();
        assert!(prefixes.len() <= max);
        let ended = self.ended.entry(peer).or_default();
        for family in batch.end_of_rib.iter() {
            assert!(self.released && !ended.contains(family), "once a session");
            ended.insert(family);
        }
    }

    fn drain(&mut self, peer: u32) {
        while self.rib.has_updates(PeerId(peer)) {
            self.pull(peer, 3);
        }
    }

    fn fib(&mut self, max: usize) {
        let changes = self.rib.take_fib_changes(max);
        assert!(changes.len() <= max);
        for (prefix, route) in changes {
            match route {
                Some(route) => {
                    self.kernel.insert(prefix, route);
                }
                None => assert!(self.kernel.remove(&prefix).is_some(), "it was there"),
            }
        }
    }

    /// At rest, everything is as the naive one has it.
    fn check(&mut self) {
        self.rib.resolve_pending(&self.naive.links);
        // Whoever has something to pull was announced, or is so again before it is forgotten.
        self.rib.take_ready_peers();
        for peer in 0..PEERS {
            self.drain(peer);
        }
        self.onlooker
            .check(&mut self.rib, &self.naive, &self.told, &PREFIXES.map(p));
        self.fib(usize::MAX);
        let mut best = BTreeMap::<u32, usize>::new();
        for prefix in PREFIXES.map(p) {
            self.check_prefix(prefix, &mut best);
        }
        for (peer, state) in &self.naive.peers {
            self.check_counts(*peer, state, best.get(peer).copied().unwrap_or(0));
        }
    }

    fn check_prefix(&self, prefix: Prefix, best: &mut BTreeMap<u32, usize>) {
        assert_eq!(self.kernel.get(&prefix), self.naive.fib(prefix).as_ref());
        for (peer, told) in &self.told {
            let of_prefix = told.iter().filter(|((of, _), _)| *of == prefix);
            let mut told: Vec<PathAttributes> = of_prefix.map(|(_, attrs)| attrs.clone()).collect();
            told.sort();
            assert_eq!(told, self.naive.told(*peer, prefix), "{prefix} to {peer}");
            // Of several the best one speaks for all.
            let why = self.rib.explain_export(PeerId(*peer), prefix);
            let one = why.decision.ok().map(|attrs| PathAttributes::clone(&attrs));
            assert_eq!(one.is_some(), !told.is_empty());
            assert!(one.iter().all(|one| told.contains(one)));
            assert_eq!(why.told.as_deref(), one.as_ref());
            let held = self.rib.told(PeerId(*peer), prefix);
            assert_eq!(held.as_ref(), one.as_ref());
        }
        let view = self.rib.lookup(prefix);
        let paths = view.as_ref().map_or([].as_slice(), |view| &view.paths);
        let held = self.naive.peers.values().flat_map(|s| s.routes.keys());
        let held = held.filter(|(of, _)| *of == prefix).count();
        let own = usize::from(self.naive.originations.contains_key(&prefix));
        assert_eq!(paths.len(), held + own);
        let peers: Vec<(u32, u32)> = paths
            .iter()
            .filter(|path| path.multipath)
            .filter_map(|path| match path.source {
                PathSource::Peer(peer) => Some((peer.0, path.path_id.0)),
                PathSource::Local(_) => None,
            })
            .collect();
        let expected: Vec<(u32, u32)> = match own {
            0 => self
                .naive
                .multipath(prefix)
                .iter()
                .map(|u| (u.peer, u.path_id))
                .collect(),
            _ => Vec::new(),
        };
        assert_eq!(peers, expected, "{prefix}");
        for (i, path) in paths.iter().enumerate() {
            let usable = path.not_best.is_none() && path.multipath && i == 0;
            assert_eq!(path.best, usable, "a reason for all but the best");
        }
        if let Some((first, _)) = expected.first() {
            *best.entry(*first).or_default() += 1;
        }
    }

    fn check_counts(&self, peer: u32, state: &NaivePeer, best: usize) {
        let counts = self.rib.peer_counts(PeerId(peer));
        if !state.up && state.routes.is_empty() {
            return;
        }
        let counts = counts.unwrap();
        let owners = &self.naive.owners;
        let accepted = state.routes.iter();
        let accepted =
            accepted.filter(|((p, _), held)| Naive::accepts(&state.info, owners, *p, &held.attrs));
        assert_eq!(counts.received, state.routes.len());
        assert_eq!(counts.accepted(), accepted.count());
        assert_eq!(
            counts.stale,
            state.routes.values().filter(|h| h.stale).count()
        );
        assert_eq!(counts.best, best);
        assert_eq!(
            counts.exported,
            self.told.get(&peer).map_or(0, BTreeMap::len)
        );
        let mut exported: Vec<(Prefix, PathAttributes)> = self
            .rib
            .exported(PeerId(peer))
            .into_iter()
            .map(|(prefix, attrs)| (prefix, PathAttributes::clone(&attrs)))
            .collect();
        exported.sort();
        let told = self.told.get(&peer).into_iter().flatten();
        let mut told: Vec<(Prefix, PathAttributes)> = told
            .map(|((prefix, _), attrs)| (*prefix, attrs.clone()))
            .collect();
        told.sort();
        assert_eq!(exported, told);
    }

    /// When everybody is gone, nothing is left.
    fn finish(mut self) {
        self.check();
        if self.released {
            let all = |ended: &FamilySet| *ended == FamilySet::ALL;
            assert!(
                self.ended.values().all(all),
                "every session was told the end"
            );
        }
        self.rib.set_originations(BTreeMap::new());
        for peer in 0..PEERS {
            self.down(peer, false);
        }
        self.fib(usize::MAX);
        assert_eq!(self.kernel, BTreeMap::new());
        assert_eq!(self.rib.attribute_sets(), 0);
        assert_eq!(self.rib.next_hops().count(), 0);
        assert!(
            Family::ALL
                .iter()
                .all(|family| self.rib.prefixes(*family) == 0)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_rib_is_the_naive_one_made_fast(
        policies in prop::collection::vec((0..POLICIES, 0..16_u8), PEERS as usize),
        history in prop::collection::vec(ops(), 1..60),
    ) {
        let mut world = World::new();
        for (peer, (policy, offer)) in (0..).zip(policies) {
            world.up(peer, policy, offer);
        }
        for op in &history {
            world.apply(op);
        }
        world.finish();
    }
}
