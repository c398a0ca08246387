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
    imported::Imported,
    policy::RouteSource,
    resolver::{KernelView, ResolverConfig},
    rib::Complete,
};

use super::*;
use crate::{
    compile::{Import, PeerRole, compile},
    index::{Index, Kind},
    source::{SourceEvent, manifest},
    speaker::{
        own_routes::{OnNode, OwnRoutes},
        tests::OnLink,
        translate,
    },
};

const NODES: u8 = 7;

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
            "apiVersion: v1\nkind: Node\nmetadata: {{ name: n{n}, labels: {{ node: n{n}, topology.kubernetes.io/zone: z{} }} }}\nspec: {{ podCIDRs: [10.244.{n}.0/24] }}\nstatus: {{ addresses: [{{ type: InternalIP, address: 10.0.0.{n} }}] }}\n---\n",
            n % 3
        )
    };
    let nodes: String = (1..=NODES).map(node).collect();
    format!(
        "{nodes}apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata: {{ name: default }}\nspec: {{ mesh: {{ settleSeconds: 20, {mesh} }} }}\n"
    )
}

/// Reflectors by label, each for a cluster of its own or all for one.
fn by_label() -> impl Strategy<Value = String> {
    let nodes = prop::sample::select(vec!["n1", "n1, n2", "n2, n3", "n5"]);
    let cluster = prop::sample::select(vec!["", "clusterID: 0.0.0.7, "]);
    (nodes, cluster).prop_map(|(nodes, cluster)| {
        format!(
            "mode: RouteReflector, routeReflector: {{ {cluster}nodeSelector: {{ matchExpressions: [{{ key: node, operator: In, values: [{nodes}] }}] }} }}"
        )
    })
}

/// The topologies to go through.
fn meshes() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("mode: FullMesh".to_owned()),
        by_label(),
        Just("mode: Auto, auto: { fullMeshUpTo: 7, reflectors: 2 }".to_owned()),
        Just("mode: Auto, auto: { fullMeshUpTo: 6, reflectors: 3 }".to_owned()),
        Just("mode: Auto, auto: { fullMeshUpTo: 5, reflectors: 1 }".to_owned()),
        Just("mode: Auto, auto: { fullMeshUpTo: 2, reflectors: 2 }".to_owned()),
    ]
}

struct Speaker {
    number: u8,
    rib: Rib,
    own_routes: OwnRoutes,
    transition: Transition,
    target: Option<Arc<DesiredState>>,
    in_force: Option<Arc<DesiredState>>,
    /// Who has a session with it.
    up: BTreeSet<u8>,
}

/// What one of them sees of its sessions.
struct Looked<'a> {
    target: &'a DesiredState,
    up: &'a BTreeSet<u8>,
    losable: Losable,
}

impl Sessions for Looked<'_> {
    fn served(&self) -> bool {
        let mut wanted = self.target.peers.keys();
        wanted.any(|name| self.is_up(name))
    }

    fn is_up(&self, name: &PeerName) -> bool {
        self.up.contains(&number(name))
    }

    fn standing(&self, name: &PeerName, spare: &Spare) -> Standing {
        let peer = id(number(name));
        Standing {
            idle: !self.is_up(name),
            replaced: self.losable.is_replaced(peer, &spare.prefixes),
        }
    }

    fn is_needless(&self, name: &PeerName) -> bool {
        self.losable.is_needless(id(number(name)))
    }
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
            own_routes: OwnRoutes::default(),
            transition: Transition::default(),
            target: None,
            in_force: None,
            up: BTreeSet::new(),
        }
    }

    fn peers(&self) -> impl Iterator<Item = (&PeerName, &Arc<Peer>)> {
        self.in_force
            .iter()
            .flat_map(|desired| desired.peers.iter())
    }

    fn wants(&self, other: u8) -> bool {
        self.peers().any(|(name, _)| number(name) == other)
    }

    fn hear(&mut self, now: Instant, objects: &Index) {
        let (desired, problems) = compile(objects, &format!("n{}", self.number)).unwrap();
        assert_eq!(problems, [], "the topology is the one that the test means");
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
        self.rib.set_owners((*desired.owners).clone());
        for (name, peer) in desired.peers.iter() {
            self.rib.update_rules(id(number(name)), peer.rules);
        }
        let names = desired.peers.keys();
        let ids = names.map(|n| (n.clone(), vec![id(number(n))])).collect();
        let on_node = OnNode {
            links: &KernelView::new(ResolverConfig::default()),
            tables: &Imported::default(),
        };
        let own = &mut self.own_routes;
        own.follow(&desired, Arc::new(ids), on_node, &mut self.rib);
        self.rib.set_complete(Complete::All);
        self.in_force = Some(desired);
    }

    fn move_on(&mut self, now: Instant) {
        let Some(target) = self.target.clone() else {
            return;
        };
        let numbers = |names: &mut dyn Iterator<Item = &PeerName>| {
            let numbers = names.map(|name| id(number(name)));
            numbers.collect::<BTreeSet<_>>()
        };
        let leaving = numbers(&mut self.transition.leaving());
        let fellows = numbers(&mut self.transition.fellows());
        let of_node = |node: &str| Some(id(node.strip_prefix('n')?.parse().ok()?));
        let sessions = Looked {
            losable: Losable::new(&self.rib, &target.owners, (&leaving, &fellows), of_node),
            target: &target,
            up: &self.up,
        };
        if self.transition.poll(now, &target, &sessions) {
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
    /// Two nodes that new connections between are filtered.
    blocked: Option<(u8, u8)>,
}

impl Cluster {
    fn new(delays: Vec<u64>) -> Self {
        Self {
            now: Instant::ZERO,
            speakers: (1..=NODES).map(|n| (n, Speaker::new(n))).collect(),
            delays,
            coming_up: BTreeMap::new(),
            dead: None,
            blocked: None,
        }
    }

    /// One in which everybody has had time to get to this topology.
    fn started(mesh: &str) -> Self {
        let mut cluster = Self::new(vec![1, 3]);
        cluster.start(mesh);
        cluster
    }

    fn start(&mut self, mesh: &str) {
        self.all_but_hear(None, &objects(mesh));
        for _ in 0..10 {
            self.step();
        }
    }

    fn all_but_hear(&mut self, deaf: Option<u8>, objects: &Index) {
        let now = self.now;
        let speakers = self.speakers.iter_mut();
        for (_, speaker) in speakers.filter(|(n, _)| Some(**n) != deaf) {
            speaker.hear(now, objects);
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
                if !up && self.blocked == Some((a, b)) {
                    *waited = 0;
                }
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
                rib.resolve_pending(&OnLink);
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

/// Whether the node was a reflector of a cluster with a common id, and is not one of those that have that
/// id now: if it has lost the API server, it takes itself for one still, and refuses what they pass on.
fn refuses_the_reflectors_of_now(node: u8, before: &str, after: &str) -> bool {
    let node = format!("n{node}");
    let reflects = |mesh: &str| {
        let (_, values) = mesh.split_once("values: [")?;
        let (values, _) = values.split_once(']')?;
        let named = values.split(", ").any(|name| name == node);
        mesh.contains("clusterID").then_some(named)
    };
    reflects(before) == Some(true) && reflects(after) == Some(false)
}

/// That this is so, with what it costs: a test that fails once it is mended.
#[test]
fn a_deaf_reflector_of_before_misses_what_the_others_of_its_cluster_id_pass_on() {
    let reflectors = |nodes| {
        format!(
            "mode: RouteReflector, routeReflector: {{ clusterID: 0.0.0.7, nodeSelector: {{ matchExpressions: [{{ key: node, operator: In, values: [{nodes}] }}] }} }}"
        )
    };
    let (before, after) = (reflectors("n1"), reflectors("n2, n3"));
    assert!(refuses_the_reflectors_of_now(1, &before, &after));
    let mut cluster = Cluster::started(&before);
    cluster.all_but_hear(Some(1), &objects(&after));
    for _ in 0..100 {
        cluster.step();
    }
    assert_eq!(cluster.missing(), [(1, vec![4, 5, 6, 7])]);
    // It hears again.
    cluster.all_but_hear(None, &objects(&after));
    for _ in 0..10 {
        cluster.step();
    }
    assert_eq!(cluster.missing(), []);
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
    /// reachable and reaches all others. But for one: see [`refuses_the_reflectors_of_now`].
    #[test]
    fn a_node_that_lost_the_api_server_is_not_lost(
        deaf in 1..=NODES,
        before in meshes(),
        after in meshes(),
    ) {
        prop_assume!(!refuses_the_reflectors_of_now(deaf, &before, &after));
        let mut cluster = Cluster::started(&before);
        prop_assert_eq!(cluster.missing(), vec![], "{}", before);
        cluster.all_but_hear(Some(deaf), &objects(&after));
        for second in 0..100 {
            cluster.step();
            prop_assert_eq!(cluster.missing(), vec![], "{} second {}", after, second);
        }
    }

    /// Nor is one that a new reflector cannot connect with.
    #[test]
    fn two_nodes_that_cannot_connect_do_not_lose_what_they_have(
        (a, b) in (1..NODES).prop_flat_map(|a| (Just(a), a + 1..=NODES)),
        before in by_label(),
        after in meshes(),
    ) {
        let mut cluster = Cluster::new(vec![1, 3]);
        cluster.blocked = Some((a, b));
        cluster.start(&before);
        // Where one of the two reflects already, there is nothing to begin with.
        prop_assume!(cluster.missing().is_empty());
        cluster.all_but_hear(None, &objects(&after));
        for second in 0..100 {
            cluster.step();
            prop_assert_eq!(cluster.missing(), vec![], "{} second {}", after, second);
        }
    }
}

/// The two cases in which routes went missing once: the prefixes that only a reflector of before has
/// told, which the new one of its cluster refuses; and a former client that knows of no other session.
#[test]
fn a_node_that_knows_the_reflector_of_before_alone_is_not_lost() {
    let reflector = |name| {
        format!(
            "mode: RouteReflector, routeReflector: {{ clusterID: 0.0.0.7, nodeSelector: {{ matchLabels: {{ node: {name} }} }} }}"
        )
    };
    for after in [reflector("n5"), "mode: FullMesh".to_owned()] {
        let mut cluster = Cluster::started(&reflector("n1"));
        assert_eq!(cluster.missing(), []);
        cluster.all_but_hear(Some(4), &objects(&after));
        for second in 0..100 {
            cluster.step();
            assert_eq!(cluster.missing(), [], "{after} second {second}");
        }
    }
}

/// Acceptance case 10: "clustered RRs, kill one". Its own pod CIDR goes with it, and nothing else does;
/// and while it is dead, another topology is gone to without waiting for it.
#[test]
fn case_10_a_reflector_that_dies_takes_no_route_but_its_own() {
    let mut cluster = Cluster::new(vec![1, 2]);
    let reflectors = "mode: RouteReflector, routeReflector: { clusterID: 0.0.0.7, nodeSelector: { matchExpressions: [{ key: node, operator: In, values: [n1, n2] }] } }";
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
