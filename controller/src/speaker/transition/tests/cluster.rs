//! A whole cluster in virtual time: every speaker with its own index, compile step, RIB and
//! transition, each hearing of a change when it hears of it.
//!
//! The property: from the moment at which all have each other's pod CIDRs, all always have them,
//! whatever the topologies that are gone through.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use redstart_bgp::{
    session::PeerId,
    types::{Asn, Family, NextHop, RouterId},
};
use redstart_rib::{
    NextHopSelf, PeerDown, PeerInfo, Rib, RibConfig, SessionKind,
    nexthop::{Gateway, Resolve, Resolved, Unresolved},
    policy::RouteSource,
};

use super::*;
use crate::{
    compile::{Import, PeerRole, compile},
    index::{Index, Kind},
    source::{SourceEvent, manifest},
    speaker::translate,
};

const NODES: u8 = 7;

/// Every node is on one link.
struct Link;

impl Resolve for Link {
    fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Result<Resolved, Unresolved> {
        Ok(Resolved {
            gateways: [Gateway::via(next_hop.addr(), 1)].into_iter().collect(),
            metric: 0,
        })
    }
}

/// A cluster with this mesh.
fn objects(mesh: &str) -> Index {
    let parsed = manifest::parse("test.yaml", &manifests(mesh)).unwrap();
    assert_eq!(parsed.problems, []);
    let mut index = Index::new();
    for kind in Kind::ALL {
        let objects = parsed.objects.iter().filter(|o| o.key.kind == kind);
        let objects = objects.cloned().collect();
        index.apply(SourceEvent::Restarted { kind, objects });
    }
    index
}

fn manifests(mesh: &str) -> String {
    let node = |n: u8| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{ name: n{n}, labels: {{ n: n{n}, topology.kubernetes.io/zone: z{} }} }}\nspec: {{ podCIDRs: [10.244.{n}.0/24] }}\nstatus: {{ addresses: [{{ type: InternalIP, address: 10.0.0.{n} }}] }}\n---\n",
            n % 3
        )
    };
    let nodes: String = (1..=NODES).map(node).collect();
    format!(
        "{nodes}apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata: {{ name: default }}\nspec: {{ mesh: {{ settleSeconds: 20, {mesh} }} }}\n"
    )
}

/// The topologies to go through.
fn meshes() -> impl Strategy<Value = String> {
    let by_label = |names: &str| {
        format!(
            "mode: RouteReflector, routeReflector: {{ nodeSelector: {{ matchExpressions: [{{ key: n, operator: In, values: [{names}] }}] }} }}"
        )
    };
    prop_oneof![
        Just("mode: FullMesh".to_owned()),
        Just(by_label("n1, n2")),
        Just(by_label("n2, n3")),
        Just(by_label("n5")),
        Just("mode: Auto, auto: { fullMeshUpTo: 7, reflectors: 2 }".to_owned()),
        Just("mode: Auto, auto: { fullMeshUpTo: 6, reflectors: 3 }".to_owned()),
        Just("mode: Auto, auto: { fullMeshUpTo: 5, reflectors: 1 }".to_owned()),
        Just("mode: Auto, auto: { fullMeshUpTo: 2, reflectors: 2 }".to_owned()),
    ]
}

struct Speaker {
    number: u8,
    rib: Rib,
    transition: Transition,
    target: Option<Arc<DesiredState>>,
    in_force: Option<Arc<DesiredState>>,
    /// Who has a session with it.
    up: BTreeSet<u8>,
}

fn id(number: u8) -> PeerId {
    PeerId(number.into())
}

fn peer_name(number: u8) -> PeerName {
    PeerName(format!("mesh-n{number}"))
}

fn number(name: &PeerName) -> u8 {
    name.0.strip_prefix("mesh-n").unwrap().parse().unwrap()
}

impl Speaker {
    fn new(number: u8) -> Self {
        Self {
            number,
            rib: Rib::new(RibConfig::default(), 7),
            transition: Transition::default(),
            target: None,
            in_force: None,
            up: BTreeSet::new(),
        }
    }

    fn peers(&self) -> impl Iterator<Item = (&PeerName, &Peer)> {
        self.in_force
            .iter()
            .flat_map(|desired| desired.peers.iter())
    }

    fn wants(&self, other: u8) -> bool {
        self.peers().any(|(name, _)| number(name) == other)
    }

    fn hear(&mut self, now: Instant, objects: &Index) {
        let (desired, _) = compile(objects, &format!("n{}", self.number)).unwrap();
        let running = self.peers().map(|(name, peer)| (name.clone(), peer.rules));
        let running = running.collect();
        self.transition.begin(now, &desired, &running);
        self.target = Some(Arc::new(desired));
        self.put_in_force();
    }

    /// As the core does, with sessions that are up at once.
    fn put_in_force(&mut self) {
        let Some(target) = &self.target else { return };
        let desired = self.transition.in_force(target);
        self.rib.set_owners(desired.owners.clone());
        for (name, peer) in desired.peers.iter() {
            self.rib.update_rules(id(number(name)), peer.rules);
        }
        let ids = desired
            .peers
            .keys()
            .map(|n| (n.clone(), vec![id(number(n))]));
        let routes = translate::originations(&desired.originations, &ids.collect());
        self.rib.set_originations(routes);
        self.rib.release_end_of_rib();
        self.in_force = Some(desired);
    }

    fn move_on(&mut self, now: Instant) {
        let Some(target) = self.target.clone() else {
            return;
        };
        let served = target
            .peers
            .keys()
            .any(|name| self.up.contains(&number(name)));
        let (rib, up) = (&self.rib, &self.up);
        let moved = self.transition.poll(now, &target, served, |name, spare| {
            let other = number(name);
            let mut prefixes = spare.prefixes.iter();
            Standing {
                idle: !up.contains(&other),
                replaced: prefixes.all(|p| rib.is_reachable_without(id(other), *p)),
            }
        });
        if moved {
            self.put_in_force();
        }
    }

    fn connect(&mut self, other: u8) {
        let peer = &self.in_force.as_ref().unwrap().peers[&peer_name(other)];
        assert!(matches!(peer.role, PeerRole::Mesh { .. }));
        assert!(matches!(peer.import, Import::Owner(_)));
        let address = |n| Ipv4Addr::new(10, 0, 0, n);
        let info = PeerInfo {
            name: peer.policy_name().into(),
            source: RouteSource::Mesh,
            kind: SessionKind::Ibgp,
            local_as: Asn(64512),
            own_as: Asn(64512),
            remote_as: Asn(64512),
            router_id: RouterId(address(other)),
            remote_addr: IpAddr::V4(address(other)),
            local_router_id: RouterId(address(self.number)),
            next_hop_self: NextHopSelf {
                v4: Some(NextHop::V4(address(self.number))),
                v6: None,
            },
            families: [Family::Ipv4Unicast].into_iter().collect(),
            add_path_send: redstart_bgp::types::FamilySet::EMPTY,
            long_lived: redstart_bgp::types::FamilySet::EMPTY,
            extended_next_hop: false,
            role: None,
            interface: None,
            subnet: None,
            enforce_first_as: true,
            import: translate::import(&peer.import),
            export: translate::export(peer),
            policies: peer.policies.clone(),
            rules: peer.rules,
        };
        self.rib.peer_up(id(other), info).unwrap();
        self.up.insert(other);
    }

    fn disconnect(&mut self, other: u8) {
        self.rib.peer_down(id(other), PeerDown::Flush);
        self.up.remove(&other);
    }

    /// The nodes whose pod CIDR it has no route to.
    fn misses(&self) -> Vec<u8> {
        let has = |n: &u8| {
            let prefix = format!("10.244.{n}.0/24").parse().unwrap();
            self.rib.lookup(prefix).is_some_and(|r| r.best().is_some())
        };
        let others = (1..=NODES).filter(|n| *n != self.number);
        others.filter(|n| !has(n)).collect()
    }
}

struct Cluster {
    now: Instant,
    speakers: BTreeMap<u8, Speaker>,
    /// How many seconds a session takes to come up, by the sum of its ends.
    delays: Vec<u64>,
    coming_up: BTreeMap<(u8, u8), u64>,
    /// A speaker that is not there.
    dead: Option<u8>,
}

impl Cluster {
    fn new(delays: Vec<u64>) -> Self {
        Self {
            now: Instant::ZERO,
            speakers: (1..=NODES).map(|n| (n, Speaker::new(n))).collect(),
            delays,
            coming_up: BTreeMap::new(),
            dead: None,
        }
    }

    fn both(&mut self, a: u8, b: u8, act: impl Fn(&mut Speaker, u8)) {
        act(self.speakers.get_mut(&a).unwrap(), b);
        act(self.speakers.get_mut(&b).unwrap(), a);
    }

    /// Sessions come up where both ends want them for long enough, and end when one does not.
    fn connect(&mut self) {
        for a in 1..=NODES {
            for b in a + 1..=NODES {
                let alive = ![Some(a), Some(b)].contains(&self.dead);
                let wanted = alive && self.speakers[&a].wants(b) && self.speakers[&b].wants(a);
                let up = self.speakers[&a].up.contains(&b);
                let waited = self.coming_up.entry((a, b)).or_default();
                *waited = if wanted && !up { *waited + 1 } else { 0 };
                let delay = self.delays[usize::from(a + b) % self.delays.len()];
                if up && !wanted {
                    self.both(a, b, Speaker::disconnect);
                } else if *waited > delay {
                    self.both(a, b, Speaker::connect);
                }
            }
        }
    }

    /// Everybody tells everybody what there is to tell, once around.
    fn talk(&mut self) {
        for from in 1..=NODES {
            let others: Vec<u8> = self.speakers[&from].up.iter().copied().collect();
            for to in others {
                let batch = self
                    .speakers
                    .get_mut(&from)
                    .unwrap()
                    .rib
                    .pull(id(to), usize::MAX);
                let rib = &mut self.speakers.get_mut(&to).unwrap().rib;
                for nlri in &batch.withdraw {
                    rib.withdraw(id(from), nlri);
                }
                for (attrs, nlri) in &batch.reach {
                    rib.announce(id(from), attrs, nlri);
                }
                rib.resolve_pending(&Link);
            }
        }
    }

    /// One second, without anything new from the objects.
    fn step(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        for speaker in self.speakers.values_mut() {
            speaker.move_on(self.now);
        }
        self.connect();
        for _ in 0..3 {
            self.talk();
        }
    }

    fn missing(&self) -> Vec<(u8, Vec<u8>)> {
        let all = self.speakers.values().map(|s| (s.number, s.misses()));
        all.filter(|(_, misses)| !misses.is_empty()).collect()
    }

    fn sessions(&self) -> usize {
        self.speakers.values().map(|s| s.up.len()).sum::<usize>() / 2
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_route_is_ever_missing_while_topologies_change(
        meshes in prop::collection::vec(meshes(), 2..5),
        delays in prop::collection::vec(0..6_u64, 1..8),
        // When each node hears of each change: well apart, but within the time to settle.
        hears in prop::collection::vec(0..12_u64, usize::from(NODES)),
        pause in 1..80_u64,
    ) {
        let mut cluster = Cluster::new(delays);
        for (round, mesh) in meshes.iter().enumerate() {
            let objects = objects(mesh);
            for second in 0..12 + pause {
                for n in 1..=NODES {
                    let first = round == 0 && second == 0;
                    let turn = (usize::from(n) + round) % hears.len();
                    if first || (round > 0 && hears[turn] == second) {
                        let now = cluster.now;
                        cluster.speakers.get_mut(&n).unwrap().hear(now, &objects);
                    }
                }
                cluster.step();
                // The first round is the start.
                if round > 0 {
                    prop_assert_eq!(cluster.missing(), vec![], "{} second {}", mesh, second);
                }
            }
        }
        // In the end there are no more sessions than the last topology asks for.
        for _ in 0..100 {
            cluster.step();
        }
        let target = |s: &Speaker| s.target.as_ref().unwrap().peers.len();
        let kept = |s: &Speaker| {
            let spare = &s.target.as_ref().unwrap().spare;
            spare.values().filter(|s| s.until == Until::Down).count()
        };
        let wanted: usize = cluster.speakers.values().map(target).sum();
        let kept: usize = cluster.speakers.values().map(kept).sum();
        prop_assert!(cluster.sessions() >= wanted / 2);
        prop_assert!(cluster.sessions() <= (wanted + kept) / 2);
    }

    /// A node that does not hear of the change at all, because it has lost the API server, stays
    /// reachable and reaches all others.
    #[test]
    fn a_node_that_lost_the_api_server_is_not_lost(
        deaf in 1..=NODES,
        after in prop::sample::select(vec![
            "mode: Auto, auto: { fullMeshUpTo: 2, reflectors: 2 }",
            "mode: Auto, auto: { fullMeshUpTo: 5, reflectors: 3 }",
        ]),
    ) {
        let mut cluster = Cluster::new(vec![1, 3]);
        let before = objects("mode: FullMesh");
        for speaker in cluster.speakers.values_mut() {
            speaker.hear(Instant::ZERO, &before);
        }
        for _ in 0..10 {
            cluster.step();
        }
        let now = cluster.now;
        let after = objects(after);
        for (_, speaker) in cluster.speakers.iter_mut().filter(|(n, _)| **n != deaf) {
            speaker.hear(now, &after);
        }
        for _ in 0..100 {
            cluster.step();
            prop_assert_eq!(cluster.missing(), vec![]);
        }
    }
}

/// Acceptance case 10: "clustered RRs, kill one". Its own pod CIDR goes with it, and nothing else does;
/// and while it is dead, another topology is gone to without waiting for it.
#[test]
fn case_10_a_reflector_that_dies_takes_no_route_but_its_own() {
    let mut cluster = Cluster::new(vec![1, 2]);
    let reflectors = "mode: RouteReflector, routeReflector: { clusterID: 0.0.0.7, nodeSelector: { matchExpressions: [{ key: n, operator: In, values: [n1, n2] }] } }";
    let auto = "mode: Auto, auto: { fullMeshUpTo: 2, reflectors: 3 }";
    for (dead, mesh) in [(None, reflectors), (Some(2), reflectors), (Some(2), auto)] {
        let objects = objects(mesh);
        cluster.dead = dead;
        for speaker in cluster.speakers.values_mut() {
            speaker.hear(cluster.now, &objects);
        }
        for second in 0..100 {
            cluster.step();
            let expected: Vec<(u8, Vec<u8>)> = match dead {
                None => vec![],
                Some(dead) => {
                    let misses = |n| {
                        if n == dead {
                            (1..=NODES).filter(|n| *n != dead).collect()
                        } else {
                            vec![dead]
                        }
                    };
                    (1..=NODES).map(|n| (n, misses(n))).collect()
                }
            };
            if dead.is_some() || second > 10 {
                assert_eq!(cluster.missing(), expected, "{mesh} second {second}");
            }
        }
    }
}

/// The property would notice: without the wait for another way, routes go missing.
#[test]
fn ending_sessions_at_once_loses_routes() {
    let mut cluster = Cluster::new(vec![3]);
    let full_mesh = objects("mode: FullMesh");
    for speaker in cluster.speakers.values_mut() {
        speaker.hear(Instant::ZERO, &full_mesh);
    }
    for _ in 0..10 {
        cluster.step();
    }
    assert_eq!(cluster.missing(), []);
    let now = cluster.now;
    let objects = objects("mode: Auto, auto: { fullMeshUpTo: 2, reflectors: 1 }");
    for speaker in cluster.speakers.values_mut() {
        speaker.hear(now, &objects);
        speaker.transition = Transition::default();
        speaker.put_in_force();
    }
    // Reflectors have their sessions already, but have not told anybody of the others yet.
    cluster.connect();
    assert_ne!(cluster.missing(), []);
}
