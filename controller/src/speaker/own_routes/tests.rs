//! Changes in any order lead to what everything at once would.

use proptest::prelude::*;
use redstart_rib::{
    RibConfig,
    fib::{KernelEvent, KernelRoute, Link, LinkAddress, RouteAction},
    resolver::ResolverConfig,
};

use super::*;

const PREFIXES: [&str; 4] = ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "fd00::1/128"];
const NAMES: [&str; 3] = ["tor", "range", "gone"];
const TABLES: [u32; 2] = [119, 120];
const LINK: &str = "lo0";

/// What may happen. Numbers are positions in the lists above.
#[derive(Clone, Debug)]
enum Op {
    /// An object asks for a route with these ways, or none does.
    Route(usize, Option<Vec<usize>>),
    /// Ways are made anew, alike or not, and so are all routes that have them.
    Recompiled(u32),
    /// The members of a configured peer.
    Neighbour(usize, Vec<u32>),
    /// Addresses of the interface are advertised.
    Interface(bool),
    /// The interface has an address, or not.
    Address(usize, bool),
    /// What is in a kernel table is advertised.
    Table(usize, bool),
    /// A kernel table has a route, or not.
    TableRoute(usize, usize, bool),
}

fn ops() -> impl Strategy<Value = Op> {
    let prefix = || 0..PREFIXES.len();
    let ways = prop::option::weighted(0.7, prop::collection::vec(0..NAMES.len(), 0..3));
    let members = prop::collection::vec(1..4_u32, 0..3);
    prop_oneof![
        6 => (prefix(), ways).prop_map(|(prefix, ways)| Op::Route(prefix, ways)),
        1 => (0..2_u32).prop_map(Op::Recompiled),
        1 => (0..NAMES.len(), members).prop_map(|(name, ids)| Op::Neighbour(name, ids)),
        1 => any::<bool>().prop_map(Op::Interface),
        2 => (prefix(), any::<bool>()).prop_map(|(prefix, there)| Op::Address(prefix, there)),
        1 => (0..TABLES.len(), any::<bool>()).prop_map(|(table, on)| Op::Table(table, on)),
        2 => (0..TABLES.len(), prefix(), any::<bool>())
            .prop_map(|(table, prefix, there)| Op::TableRoute(table, prefix, there)),
    ]
}

fn name(number: usize) -> PeerName {
    PeerName(NAMES[number].to_owned())
}

fn prefix(number: usize) -> Prefix {
    PREFIXES[number].parse().unwrap()
}

fn object(name: &str) -> ObjectRef {
    ObjectRef {
        kind: "BGPAdvertisement".to_owned(),
        name: name.to_owned(),
    }
}

fn way(to: usize, med: u32) -> compile::Advertise {
    compile::Advertise {
        source: object(NAMES[to]),
        peers: [name(to)].into(),
        communities: BTreeSet::new(),
        large_communities: BTreeSet::new(),
        extended_communities: BTreeSet::new(),
        local_pref: None,
        med: Some(med),
        prepend: 0,
    }
}

/// A core in which nothing else happens.
struct World {
    ways: Vec<Arc<compile::Advertise>>,
    desired: Arc<DesiredState>,
    ids: Arc<Ids>,
    links: KernelView,
    tables: Imported,
    rib: Rib,
    own_routes: OwnRoutes,
}

fn empty_rib() -> Rib {
    Rib::new(RibConfig::default(), 7)
}

impl World {
    fn new() -> Self {
        let mut links = KernelView::new(ResolverConfig::default());
        links.on_event(&KernelEvent::Link(Link {
            ifindex: 1,
            name: LINK.to_owned(),
            up: true,
            carrier: true,
            loopback: false,
            controller: None,
            vrf_table: None,
        }));
        let mut tables = Imported::default();
        tables.read(TABLES, 186);
        Self {
            ways: (0..NAMES.len()).map(|to| Arc::new(way(to, 0))).collect(),
            desired: Arc::new(DesiredState::idle(compile::Kernel::default())),
            ids: Arc::default(),
            links,
            tables,
            rib: empty_rib(),
            own_routes: OwnRoutes::default(),
        }
    }

    fn apply(&mut self, op: &Op) {
        let desired = Arc::make_mut(&mut self.desired);
        match op {
            Op::Route(at, None) => _ = desired.originations.remove(&prefix(*at)),
            Op::Route(at, Some(ways)) => {
                let ways = ways.iter().map(|way| Arc::clone(&self.ways[*way]));
                let route = compile::Origination {
                    object: object("any"),
                    advertise: ways.collect(),
                    blackhole: at % 2 == 0,
                };
                desired.originations.insert(prefix(*at), Arc::new(route));
            }
            Op::Recompiled(med) => self.recompile(*med),
            Op::Neighbour(at, ids) => {
                let all = Arc::make_mut(&mut self.ids);
                all.insert(name(*at), ids.iter().copied().map(PeerId).collect());
            }
            Op::Interface(on) => {
                let ways = on.then(|| (LINK.to_owned(), vec![way(0, 7)]));
                desired.interfaces = ways.into_iter().collect();
            }
            Op::Address(at, there) => {
                let subnet = prefix(*at);
                let address = LinkAddress {
                    ifindex: 1,
                    addr: subnet.addr(),
                    subnet,
                };
                self.links.on_event(&match there {
                    true => KernelEvent::Address(address),
                    false => KernelEvent::AddressGone(address),
                });
            }
            Op::Table(at, true) => {
                let ways = vec![way(1, 8), way(2, 9)];
                desired.kernel_tables.insert(TABLES[*at], ways);
            }
            Op::Table(at, false) => _ = desired.kernel_tables.remove(&TABLES[*at]),
            Op::TableRoute(table, at, there) => {
                let route = KernelRoute {
                    prefix: prefix(*at),
                    table: TABLES[*table],
                    protocol: 30,
                    metric: 0,
                    action: RouteAction::Blackhole,
                    prefsrc: None,
                    nexthop: None,
                };
                self.tables.on_event(&match there {
                    true => KernelEvent::Route(route),
                    false => KernelEvent::RouteGone(route),
                });
            }
        }
    }

    /// Equal values are others from here on, as after a compilation of everything.
    fn recompile(&mut self, med: u32) {
        self.ways = (0..NAMES.len()).map(|to| Arc::new(way(to, med))).collect();
        let again = |old: &Arc<compile::Advertise>| {
            let mut ways = self.ways.iter();
            ways.find(|way| way.source == old.source).map(Arc::clone)
        };
        let desired = Arc::make_mut(&mut self.desired);
        let routes = desired.originations.iter();
        let routes = routes.map(|(prefix, route)| {
            let route = compile::Origination {
                advertise: route.advertise.iter().filter_map(again).collect(),
                ..compile::Origination::clone(route)
            };
            (*prefix, Arc::new(route))
        });
        desired.originations = routes.collect();
    }

    fn follow(&mut self) {
        let on_node = OnNode {
            links: &self.links,
            tables: &self.tables,
        };
        let ids = &self.ids;
        let own = &mut self.own_routes;
        own.follow(&self.desired, Arc::clone(ids), on_node, &mut self.rib);
        let mut at_once = empty_rib();
        OwnRoutes::default().follow(&self.desired, Arc::clone(ids), on_node, &mut at_once);
        assert_eq!(self.rib.originations(), at_once.originations());
    }
}

proptest! {
    #[test]
    fn changes_in_any_order_lead_to_what_everything_at_once_would(
        history in prop::collection::vec((ops(), prop::bool::weighted(0.7)), 1..40),
    ) {
        let mut world = World::new();
        for (op, follows) in &history {
            world.apply(op);
            if *follows {
                world.follow();
            }
        }
        world.follow();
    }
}

#[test]
fn an_advertisement_reaches_the_neighbours_that_there_are() {
    let mut world = World::new();
    world.apply(&Op::Neighbour(0, vec![7, 9]));
    world.apply(&Op::Neighbour(1, vec![8]));
    world.apply(&Op::Route(0, Some(vec![0, 2])));
    world.follow();
    let made = &world.rib.originations()[&prefix(0)];
    assert!(made.blackhole);
    let to: Vec<_> = made.advertise.iter().map(|way| &way.to).collect();
    let tor = PeerSelector::Peers([PeerId(7), PeerId(9)].into());
    assert_eq!(to, [&tor, &PeerSelector::Peers(BTreeSet::new())]);
    assert_eq!(made.advertise[0].med, Some(0));
}

#[test]
fn routes_share_their_ways_and_ways_without_routes_are_forgotten() {
    let mut world = World::new();
    world.apply(&Op::Route(0, Some(vec![0])));
    world.apply(&Op::Route(1, Some(vec![0])));
    world.follow();
    let ways = |world: &World| -> Vec<_> {
        let routes = world.rib.originations().values();
        routes
            .map(|route| Arc::clone(&route.advertise[0]))
            .collect()
    };
    assert!(Arc::ptr_eq(&ways(&world)[0], &ways(&world)[1]));
    world.apply(&Op::Recompiled(1));
    world.follow();
    assert!(Arc::ptr_eq(&ways(&world)[0], &ways(&world)[1]));
    assert_eq!(world.own_routes.ways.0.len(), 1);
}
