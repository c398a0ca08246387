//! What may happen to a RIB: random histories for the model test.

use proptest::prelude::*;
use redstart_bgp::types::{Aigp, AsPathSegment, Community, Role, SegmentType};

use super::{chains::chains, *};
use crate::owners::{Owner, Owners};

pub(super) const PEERS: u32 = 5;
/// The default route and `10.0.0.2/31` cover next hops.
pub(super) const PREFIXES: [&str; 7] = [
    "203.0.113.0/24",
    "10.244.1.0/24",
    "10.244.1.0/25",
    "0.0.0.0/0",
    "10.0.0.2/31",
    "2001:db8::/32",
    "fd00:10::/64",
];

#[derive(Clone, Debug)]
pub(super) enum Op {
    Announce {
        peer: u32,
        prefix: usize,
        path_id: u32,
        shape: Shape,
    },
    Withdraw {
        peer: u32,
        prefix: usize,
        path_id: u32,
    },
    Up {
        peer: u32,
        policy: u8,
        offer: u8,
    },
    Down {
        peer: u32,
        retain: bool,
    },
    EndOfRib {
        peer: u32,
        family: Family,
    },
    RetainLongLived {
        peer: u32,
        family: Family,
    },
    /// Whose the prefixes of the mesh are.
    Owners {
        nodes: Vec<(usize, u8)>,
    },
    /// The peer says everything again, or has said it.
    Again {
        peer: u32,
        family: Family,
        end: bool,
    },
    Policies {
        peer: u32,
        policy: u8,
    },
    Originate {
        routes: Vec<(usize, u8)>,
    },
    /// One route of our own comes, changes or goes.
    OriginateOne {
        prefix: usize,
        how: Option<u8>,
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
pub(super) struct Shape {
    path: u8,
    next_hop: u8,
    med: Option<u32>,
    local_pref: Option<u32>,
    originator: bool,
    clusters: u8,
    community: usize,
    otc: Option<u32>,
    aigp: Option<u64>,
}

/// Those that mean something to the RIB, and one that does not.
const COMMUNITIES: [Community; 6] = [
    Community::new(1, 1),
    Community::GRACEFUL_SHUTDOWN,
    Community::NO_EXPORT,
    Community::NO_ADVERTISE,
    Community::LLGR_STALE,
    Community::NO_LLGR,
];

impl Shape {
    pub(super) fn attrs(&self, from: &PeerInfo) -> PathAttributes {
        let tail: &[u32] = match self.path {
            0 => &[],
            1 => &[7],
            2 => &[8, 9],
            3 => &[65002],
            4 => &[64512],
            _ => &[],
        };
        let head = (from.kind == SessionKind::Ebgp && self.path != 5).then_some(from.remote_as);
        let mut as_path = AsPath::sequence(head.into_iter().chain(tail.iter().copied().map(Asn)));
        if self.path == 6 {
            as_path.segments.push(AsPathSegment {
                kind: SegmentType::Set,
                asns: [Asn(7), Asn(64600)].into_iter().collect(),
            });
        }
        PathAttributes {
            as_path,
            next_hop: Some(NextHop::V4([10, 0, 0, self.next_hop].into())),
            med: self.med,
            local_pref: self.local_pref,
            originator_id: self
                .originator
                .then_some(RouterId(Ipv4Addr::new(192, 0, 2, 2))),
            cluster_list: (0..u32::from(self.clusters)).collect(),
            communities: COMMUNITIES
                .get(self.community)
                .copied()
                .into_iter()
                .collect(),
            otc: self.otc.map(Asn),
            aigp: self.aigp.map(Aigp::of),
            ..PathAttributes::default()
        }
    }
}

/// One of a few sets of rules.
fn rules(choice: u8) -> PeerRules {
    let default = PeerRules::default();
    match choice {
        0 => PeerRules {
            client: true,
            ..default
        },
        1 => PeerRules {
            client: true,
            cluster_id: Some(0),
            ..default
        },
        2 => PeerRules {
            next_hop: NextHopRule::Own,
            aigp: Some(false),
            ..default
        },
        3 => PeerRules {
            next_hop: NextHopRule::Unchanged,
            remove_private_as: true,
            ..default
        },
        4 => PeerRules {
            own_as_allowed: 1,
            aigp: Some(true),
            as_sets: true,
            next_hop: NextHopRule::ThirdParty,
            ..default
        },
        _ => default,
    }
}

/// How many policies there are.
pub(super) const POLICIES: u8 = 8 * 7;

/// What was negotiated: a role, several paths, long-lived restart.
pub(super) fn negotiate(info: &mut PeerInfo, offer: u8) {
    info.role = match offer & 3 {
        1 => Some(Role::Provider),
        2 => Some(Role::Customer),
        3 => Some(Role::Peer),
        _ => None,
    };
    if offer & 4 != 0 {
        info.add_path_send = FamilySet::ALL;
    }
    if offer & 8 != 0 {
        info.long_lived = FamilySet::ALL;
    }
}

/// Session `peer` with one of a few policies: two ToRs of one AS, a third router and two nodes.
pub(super) fn session(peer: u32, policy: u8) -> PeerInfo {
    let (policy, choice) = (policy % 8, policy / 8);
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
    info.policies = chains((policy + choice + n) % 4);
    if kind == SessionKind::Ibgp {
        info.source = RouteSource::Mesh;
    }
    info.rules = rules(choice);
    info.subnet = Some(p("10.0.0.0/24"));
    info.export.transit = policy & 1 != 0;
    info.import = match policy >> 1 {
        0 => ImportPolicy::accept_all(),
        1 => ImportPolicy::Exactly([p(PREFIXES[0]), p(PREFIXES[1])].into()),
        2 => ImportPolicy::Owner(format!("n{n}")),
        _ => ImportPolicy::AllBut {
            refuse: BTreeSet::from([p("10.244.1.0/24"), p("fd00::/16")]).into(),
            default_route: false,
        },
    };
    info
}

/// Node `n` is behind peer `n`.
pub(super) fn owners(nodes: &[(usize, u8)]) -> Owners {
    let owner = |n: u8| Owner {
        node: format!("n{n}"),
        router_ids: [RouterId(Ipv4Addr::new(192, 0, 2, n))].into(),
        addresses: vec![[10, 0, 0, n].into()],
    };
    let nodes = nodes.iter();
    nodes
        .map(|(prefix, n)| (p(PREFIXES[*prefix]), owner(*n)))
        .collect()
}

pub(super) fn originations(routes: &[(usize, u8)]) -> BTreeMap<Prefix, Origination> {
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

fn shapes() -> impl Strategy<Value = Shape> {
    let med = prop::option::of(0..2_u32);
    let local_pref = prop::option::weighted(0.2, 99..102_u32);
    let otc = prop::option::weighted(0.2, prop::sample::select(vec![7, 65000, 65002]));
    let aigp = prop::option::weighted(0.3, 1..4_u64);
    let marks = (prop::bool::weighted(0.2), 0..2_u8, 0..12_usize, otc, aigp);
    (0..7_u8, 1..4_u8, med, local_pref, marks).prop_map(
        |(path, next_hop, med, local_pref, marks)| {
            let (originator, clusters, community, otc, aigp) = marks;
            Shape {
                path,
                next_hop,
                med,
                local_pref,
                originator,
                clusters,
                community,
                otc,
                aigp,
            }
        },
    )
}

pub(super) fn ops() -> impl Strategy<Value = Op> {
    let (peer, prefix) = (|| 0..PEERS, || 0..PREFIXES.len());
    let path_id = || prop_oneof![3 => Just(0), 1 => Just(1_u32)];
    let routes = prop::collection::btree_map(prefix(), 0..8_u8, 0..4);
    let nodes = prop::collection::btree_map(prefix(), 1..4_u8, 0..6);
    let family = prop::sample::select(Family::ALL.to_vec());
    let metric = prop_oneof![
        2 => 0..2_u32,
        1 => BY_STATIC..BY_STATIC + 2,
        1 => BY_DEFAULT..BY_DEFAULT + 2,
    ];
    prop_oneof![
        12 => (peer(), prefix(), path_id(), shapes()).prop_map(|(peer, prefix, path_id, shape)| {
            Op::Announce { peer, prefix, path_id, shape }
        }),
        4 => (peer(), prefix(), path_id())
            .prop_map(|(peer, prefix, path_id)| Op::Withdraw { peer, prefix, path_id }),
        4 => (peer(), 0..POLICIES, 0..16_u8)
            .prop_map(|(peer, policy, offer)| Op::Up { peer, policy, offer }),
        2 => (peer(), any::<bool>()).prop_map(|(peer, retain)| Op::Down { peer, retain }),
        1 => (peer(), family.clone()).prop_map(|(peer, family)| Op::EndOfRib { peer, family }),
        2 => (peer(), family.clone())
            .prop_map(|(peer, family)| Op::RetainLongLived { peer, family }),
        2 => (peer(), family, any::<bool>())
            .prop_map(|(peer, family, end)| Op::Again { peer, family, end }),
        2 => (peer(), 0..POLICIES).prop_map(|(peer, policy)| Op::Policies { peer, policy }),
        2 => routes.prop_map(|routes| Op::Originate { routes: routes.into_iter().collect() }),
        2 => (0..PREFIXES.len(), prop::option::of(0..8_u8))
            .prop_map(|(prefix, how)| Op::OriginateOne { prefix, how }),
        2 => nodes.prop_map(|nodes| Op::Owners { nodes: nodes.into_iter().collect() }),
        2 => prop::collection::vec(prop::option::weighted(0.8, metric), 3)
            .prop_map(|metrics| Op::Links { metrics }),
        1 => (1..5_u8).prop_map(Op::MaxPaths),
        1 => peer().prop_map(|peer| Op::Refresh { peer }),
        4 => (peer(), 0..4_usize).prop_map(|(peer, max)| Op::Pull { peer, max }),
        2 => (0..4_usize).prop_map(|max| Op::Fib { max }),
        1 => Just(Op::ReleaseEndOfRib),
        3 => Just(Op::Check),
    ]
}
