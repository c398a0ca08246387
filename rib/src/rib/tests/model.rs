//! The model test: random histories on the RIB and on the naive one, compared at every check.
//!
//! Consumers pull at random moments and in small pieces, so what they end up with is tested, not how
//! they got there: a peer's routes are what its batches add up to, the kernel's are what the changes
//! add up to.

use proptest::prelude::*;

use super::{
    naive::{Held, Naive, NaivePeer},
    *,
};

const PEERS: u32 = 5;
const PREFIXES: [&str; 6] = [
    "203.0.113.0/24",
    "10.244.1.0/24",
    "10.244.1.0/25",
    "0.0.0.0/0",
    "2001:db8::/32",
    "fd00:10::/64",
];

#[derive(Clone, Debug)]
enum Op {
    Announce {
        peer: u32,
        prefix: usize,
        shape: Shape,
    },
    Withdraw {
        peer: u32,
        prefix: usize,
    },
    Up {
        peer: u32,
        policy: u8,
    },
    Down {
        peer: u32,
        retain: bool,
    },
    EndOfRib {
        peer: u32,
        family: Family,
    },
    Policies {
        peer: u32,
        policy: u8,
    },
    Originate {
        routes: Vec<(usize, u8)>,
    },
    Links {
        metrics: Vec<Option<u32>>,
    },
    MaxPaths(u8),
    Refresh {
        peer: u32,
    },
    Pull {
        peer: u32,
        max: usize,
    },
    Fib {
        max: usize,
    },
    ReleaseEndOfRib,
    Check,
}

/// The attributes of an announcement, in few enough variants that ties are common.
#[derive(Clone, Debug)]
struct Shape {
    path: u8,
    next_hop: u8,
    med: Option<u32>,
    local_pref: Option<u32>,
    originator: bool,
    clusters: u8,
}

impl Shape {
    fn attrs(&self, from: &PeerInfo) -> PathAttributes {
        let tail: &[u32] = match self.path {
            0 => &[],
            1 => &[7],
            2 => &[8, 9],
            3 => &[65002],
            _ => &[64512],
        };
        let head = (from.kind == SessionKind::Ebgp && self.path != 5).then_some(from.remote_as);
        PathAttributes {
            as_path: AsPath::sequence(head.into_iter().chain(tail.iter().copied().map(Asn))),
            next_hop: Some(NextHop::V4([10, 0, 0, self.next_hop].into())),
            med: self.med,
            local_pref: self.local_pref,
            originator_id: self
                .originator
                .then_some(RouterId(Ipv4Addr::new(192, 0, 2, 2))),
            cluster_list: (0..u32::from(self.clusters)).collect(),
            ..PathAttributes::default()
        }
    }
}

/// Session `peer` with one of a few policies: two ToRs of one AS, a third router and two nodes.
fn session(peer: u32, policy: u8) -> PeerInfo {
    let n = u8::try_from(peer).unwrap();
    let kind = if peer < 3 {
        SessionKind::Ebgp
    } else {
        SessionKind::Ibgp
    };
    let mut info = info(kind, n);
    if peer == 1 {
        info.remote_as = Asn(65000);
    }
    if peer == 2 {
        info.next_hop_self.v6 = None;
    }
    info.export.transit = policy & 1 != 0;
    info.import = match policy >> 1 {
        0 => ImportPolicy::accept_all(),
        1 => ImportPolicy::Exactly([p(PREFIXES[0]), p(PREFIXES[1])].into()),
        _ => ImportPolicy::AllBut {
            refuse: [p("10.244.1.0/24"), p("fd00::/16")].into(),
            default_route: false,
        },
    };
    info
}

fn originations(routes: &[(usize, u8)]) -> BTreeMap<Prefix, Origination> {
    let made = routes.iter().map(|(prefix, how)| {
        let to = if how & 1 == 0 {
            PeerSelector::All
        } else {
            PeerSelector::Peers([PeerId(0), PeerId(3)].into())
        };
        let entry = Advertise {
            med: (how & 2 != 0).then_some(5),
            local_pref: (how & 2 != 0).then_some(200),
            prepend: how >> 2,
            ..advertise(to)
        };
        let own = Origination {
            blackhole: how & 4 != 0,
            ..origination(vec![entry])
        };
        (p(PREFIXES[*prefix]), own)
    });
    made.collect()
}

/// The RIB under test, the naive one, and what the consumers hold.
struct World {
    rib: Rib,
    naive: Naive,
    told: BTreeMap<u32, BTreeMap<Prefix, PathAttributes>>,
    ended: BTreeMap<u32, FamilySet>,
    released: bool,
    kernel: BTreeMap<Prefix, Route>,
}

impl World {
    fn new() -> Self {
        Self {
            rib: Rib::new(RibConfig { max_paths: 4 }, 3),
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
                shape,
            } => self.announce(*peer, *prefix, shape),
            Op::Withdraw { peer, prefix } => {
                self.rib.withdraw(PeerId(*peer), &nlri(PREFIXES[*prefix]));
                if let Some(state) = self.naive.peers.get_mut(peer).filter(|s| s.up) {
                    state.routes.remove(&p(PREFIXES[*prefix]));
                }
            }
            Op::Up { peer, policy } => self.up(*peer, *policy),
            Op::Down { peer, retain } => self.down(*peer, *retain),
            Op::EndOfRib { peer, family } => self.end_of_rib(*peer, *family),
            Op::Policies { peer, policy } => {
                let PeerInfo { import, export, .. } = session(*peer, *policy);
                self.rib
                    .update_policies(PeerId(*peer), import.clone(), export);
                if let Some(state) = self.naive.peers.get_mut(peer) {
                    (state.info.import, state.info.export) = (import, export);
                }
            }
            Op::Originate { routes } => {
                self.naive.originations = originations(routes);
                self.rib.set_originations(self.naive.originations.clone());
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
            Op::Pull { peer, max } => self.pull(*peer, *max),
            Op::Fib { max } => self.fib(*max),
            Op::ReleaseEndOfRib => {
                self.rib.release_end_of_rib();
                self.released = true;
            }
            Op::Check => self.check(),
        }
    }

    fn announce(&mut self, peer: u32, prefix: usize, shape: &Shape) {
        let prefix = p(PREFIXES[prefix]);
        let attrs = shape.attrs(&session(peer, 0));
        let outcome = self
            .rib
            .announce(PeerId(peer), &Arc::new(attrs.clone()), &list(&[prefix]));
        match self.naive.peers.get_mut(&peer).filter(|s| s.up) {
            None => assert_eq!(outcome, AnnounceOutcome::default()),
            Some(state) => {
                let accepted = Naive::accepts(&state.info, prefix, &attrs);
                assert_eq!(outcome.accepted, usize::from(accepted));
                assert_eq!(outcome.refused.total(), usize::from(!accepted));
                let held = Held {
                    attrs,
                    stale: false,
                };
                state.routes.insert(prefix, held);
            }
        }
    }

    fn up(&mut self, peer: u32, policy: u8) {
        let info = session(peer, policy);
        self.rib.peer_up(PeerId(peer), info.clone()).unwrap();
        let kept = match self.naive.peers.remove(&peer) {
            Some(state) if !state.up => state.routes,
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
        self.rib.peer_down(PeerId(peer), how);
        self.told.remove(&peer);
        self.ended.remove(&peer);
        if !retain {
            self.naive.peers.remove(&peer);
        } else if let Some(state) = self.naive.peers.get_mut(&peer).filter(|s| s.up) {
            state.up = false;
            state.routes.retain(|_, held| !held.stale);
            state.routes.values_mut().for_each(|held| held.stale = true);
        }
    }

    fn end_of_rib(&mut self, peer: u32, family: Family) {
        self.rib.end_of_rib(PeerId(peer), family);
        if let Some(state) = self.naive.peers.get_mut(&peer) {
            state
                .routes
                .retain(|prefix, held| !held.stale || prefix.family() != family);
        }
    }

    /// A peer that asks for a refresh must be told all that it holds, and nothing less.
    fn refresh(&mut self, peer: u32) {
        self.drain(peer);
        self.rib.refresh_out(PeerId(peer), Family::Ipv4Unicast);
        if let Some(told) = self.told.get_mut(&peer) {
            told.retain(|prefix, _| prefix.family() != Family::Ipv4Unicast);
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
            assert!(seen.insert(nlri.prefix), "once in a batch");
            assert!(told.remove(&nlri.prefix).is_some(), "it was told before");
        }
        let mut groups = BTreeSet::new();
        for (attrs, list) in &batch.reach {
            assert!(groups.insert((Arc::clone(attrs), list.family())), "grouped");
            for nlri in list.iter() {
                assert!(seen.insert(nlri.prefix), "once in a batch");
                let before = told.insert(nlri.prefix, PathAttributes::clone(attrs));
                assert!(before.as_ref() != Some(&**attrs), "nothing is said twice");
            }
        }
        assert!(seen.len() <= max);
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
            assert_eq!(told.get(&prefix), self.naive.told(*peer, prefix).as_ref());
            let why = self.rib.explain_export(PeerId(*peer), prefix);
            assert_eq!(why.decision.ok().as_deref(), told.get(&prefix));
            assert_eq!(why.told.as_deref(), told.get(&prefix));
            let held = self.rib.told(PeerId(*peer), prefix);
            assert_eq!(held.map(|attrs| &**attrs), told.get(&prefix));
        }
        let view = self.rib.lookup(prefix);
        let paths = view.as_ref().map_or([].as_slice(), |view| &view.paths);
        let held = self.naive.peers.values();
        let held = held
            .filter(|state| state.routes.contains_key(&prefix))
            .count();
        let own = usize::from(self.naive.originations.contains_key(&prefix));
        assert_eq!(paths.len(), held + own);
        let peers: Vec<u32> = paths
            .iter()
            .filter(|path| path.multipath)
            .filter_map(|path| match path.source {
                PathSource::Peer(peer) => Some(peer.0),
                PathSource::Local(_) => None,
            })
            .collect();
        let expected: Vec<u32> = match own {
            0 => self
                .naive
                .multipath(prefix)
                .iter()
                .map(|u| u.peer)
                .collect(),
            _ => Vec::new(),
        };
        assert_eq!(peers, expected, "{prefix}");
        for (i, path) in paths.iter().enumerate() {
            let usable = path.not_best.is_none() && path.multipath && i == 0;
            assert_eq!(path.best, usable, "a reason for all but the best");
        }
        if let Some(first) = expected.first() {
            *best.entry(*first).or_default() += 1;
        }
    }

    fn check_counts(&self, peer: u32, state: &NaivePeer, best: usize) {
        let counts = self.rib.peer_counts(PeerId(peer));
        if !state.up && state.routes.is_empty() {
            return;
        }
        let counts = counts.unwrap();
        let accepted = state.routes.iter();
        let accepted = accepted.filter(|(p, held)| Naive::accepts(&state.info, **p, &held.attrs));
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
        let exported: BTreeMap<Prefix, PathAttributes> = self
            .rib
            .exported(PeerId(peer))
            .into_iter()
            .map(|(prefix, attrs)| (prefix, PathAttributes::clone(&attrs)))
            .collect();
        assert_eq!(
            Some(&exported),
            self.told.get(&peer).or(Some(&BTreeMap::new()))
        );
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

fn shapes() -> impl Strategy<Value = Shape> {
    let med = prop::option::of(0..2_u32);
    let local_pref = prop::option::weighted(0.2, 99..102_u32);
    (
        0..6_u8,
        1..4_u8,
        med,
        local_pref,
        prop::bool::weighted(0.2),
        0..2_u8,
    )
        .prop_map(
            |(path, next_hop, med, local_pref, originator, clusters)| Shape {
                path,
                next_hop,
                med,
                local_pref,
                originator,
                clusters,
            },
        )
}

fn ops() -> impl Strategy<Value = Op> {
    let (peer, prefix) = (|| 0..PEERS, || 0..PREFIXES.len());
    let routes = prop::collection::btree_map(prefix(), 0..8_u8, 0..4);
    let family = prop::sample::select(Family::ALL.to_vec());
    prop_oneof![
        12 => (peer(), prefix(), shapes())
            .prop_map(|(peer, prefix, shape)| Op::Announce { peer, prefix, shape }),
        4 => (peer(), prefix()).prop_map(|(peer, prefix)| Op::Withdraw { peer, prefix }),
        4 => (peer(), 0..6_u8).prop_map(|(peer, policy)| Op::Up { peer, policy }),
        1 => (peer(), any::<bool>()).prop_map(|(peer, retain)| Op::Down { peer, retain }),
        1 => (peer(), family).prop_map(|(peer, family)| Op::EndOfRib { peer, family }),
        2 => (peer(), 0..6_u8).prop_map(|(peer, policy)| Op::Policies { peer, policy }),
        2 => routes.prop_map(|routes| Op::Originate { routes: routes.into_iter().collect() }),
        2 => prop::collection::vec(prop::option::weighted(0.8, 0..2_u32), 3)
            .prop_map(|metrics| Op::Links { metrics }),
        1 => (1..5_u8).prop_map(Op::MaxPaths),
        1 => peer().prop_map(|peer| Op::Refresh { peer }),
        4 => (peer(), 0..4_usize).prop_map(|(peer, max)| Op::Pull { peer, max }),
        2 => (0..4_usize).prop_map(|max| Op::Fib { max }),
        1 => Just(Op::ReleaseEndOfRib),
        3 => Just(Op::Check),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_rib_is_the_naive_one_made_fast(
        policies in prop::collection::vec(0..6_u8, PEERS as usize),
        history in prop::collection::vec(ops(), 1..60),
    ) {
        let mut world = World::new();
        for (peer, policy) in (0..).zip(policies) {
            world.up(peer, policy);
        }
        for op in &history {
            world.apply(op);
        }
        world.finish();
    }
}
