//! A speaker restarts that passes on what it learns (RFC 4724 section 4.1), in virtual time: whoever keeps
//! its routes hears its End-of-RIB after them, and not before.

use redstart_bgp::{
    net::FromPeer,
    session::{Event, OutBatch, PeerId},
    time::Instant,
    types::{Family, NextHop, Nlri, NlriSet, PathAttributes},
    wire::{GracefulRestart, GracefulRestartFamily, Reach, Update},
};
use redstart_rib::{
    Rib, RibConfig,
    resolver::{KernelView, ResolverConfig},
};

use super::{
    super::{
        kernel::Kernel as KernelRoutes, neighbours::Neighbours, restart::Restart,
        translate::Restarted,
    },
    *,
};

/// Clients of this reflector, by the last octet of their addresses.
const ONE: u8 = 1;
const OTHER: u8 = 2;
/// A router that is told nothing of what is learned.
const ROUTER: u8 = 3;

/// The reflector has just restarted.
struct World {
    desired: DesiredState,
    restart: Restart,
    neighbours: Neighbours,
    rib: Rib,
    links: KernelView,
    now: Instant,
    _tasks: mpsc::Receiver<FromPeer>,
}

impl World {
    fn new() -> Self {
        let (to_core, tasks) = mpsc::channel(8);
        let peer = |n| {
            let mut peer = passive_router(SocketAddr::from(([10, 0, 0, n], 179)));
            peer.graceful_restart = Some(120);
            peer.rules.client = n != ROUTER;
            (PeerName(n.to_string()), peer.into())
        };
        let desired = DesiredState {
            peers: Arc::new([ONE, OTHER, ROUTER].map(peer).into()),
            ..node(kernel(254, 179), [])
        };
        let mut restart = Restart::new(true);
        restart.begin(Instant::ZERO, &desired);
        // The kernel has not answered by then, and is not waited for.
        let now = Instant::ZERO + Duration::from_secs(2);
        assert!(restart.take_start(now, &KernelRoutes::new(0, Recorded::nowhere())));
        let mut world = Self {
            desired,
            restart,
            neighbours: Neighbours::new(Clock::new(), to_core, 1),
            rib: Rib::new(RibConfig::default(), 1),
            links: KernelView::new(ResolverConfig::default()),
            now,
            _tasks: tasks,
        };
        let World {
            neighbours,
            rib,
            desired,
            ..
        } = &mut world;
        neighbours.apply(now, desired, Restarted::default(), rib);
        world.settle();
        world
    }

    fn settle(&mut self) {
        self.rib.resolve_pending(&OnLink);
        let (restart, neighbours) = (&mut self.restart, &self.neighbours);
        let complete = restart.complete(self.now, neighbours, &self.desired);
        self.rib.set_complete(complete);
    }

    fn id(&self, n: u8) -> PeerId {
        self.neighbours.ids()[&PeerName(n.to_string())][0]
    }

    fn on_event(&mut self, n: u8, event: Event) {
        let peer = self.id(n);
        let event = FromPeer::Event { peer, event };
        let World {
            neighbours, rib, ..
        } = self;
        neighbours.on_event(self.now, event, &self.links, rib);
        self.settle();
    }

    /// `n` is back. `restarting`: it says that it has restarted itself.
    fn up(&mut self, n: u8, restarting: bool) {
        let listed = |family: Family| GracefulRestartFamily {
            afi: family.afi(),
            safi: family.safi(),
            forwarding_preserved: true,
        };
        let restart = GracefulRestart {
            restarting,
            restart_time: 120,
            families: Family::ALL.map(listed).into(),
            ..GracefulRestart::default()
        };
        let negotiated = Negotiated {
            codec: Codec {
                ebgp: n == ROUTER,
                ..Codec::default()
            },
            remote_as: Asn(if n == ROUTER { 65001 } else { 64512 }),
            graceful_restart: Some(restart),
            ..negotiated([10, 0, 0, n])
        };
        self.on_event(n, Event::Established(Arc::new(negotiated)));
    }

    /// A client tells its pod CIDR.
    fn tells(&mut self, n: u8) {
        let Ok(Prefix::V4(prefix)) = format!("10.244.{n}.0/24").parse() else {
            panic!();
        };
        let attrs = PathAttributes {
            next_hop: Some(NextHop::V4([10, 0, 0, n].into())),
            local_pref: Some(100),
            ..PathAttributes::default()
        };
        let update = Update {
            reach: vec![Reach {
                attrs: Arc::new(attrs),
                nlri: NlriSet::V4(vec![Nlri::plain(prefix)]),
            }],
            ..Update::default()
        };
        self.on_event(n, Event::Updates(update.into()));
    }

    fn ends(&mut self, n: u8) {
        for family in Family::ALL {
            let update = Update {
                end_of_rib: Some(family),
                ..Update::default()
            };
            self.on_event(n, Event::Updates(update.into()));
        }
    }

    /// What `n` is told now: so many routes, and whether that is the end.
    fn told(&mut self, n: u8) -> (usize, bool) {
        let batch: OutBatch = self.rib.pull(self.id(n), 100);
        let routes = batch.reach.iter().map(|(_, list)| list.len()).sum();
        (routes, batch.end_of_rib == FamilySet::ALL)
    }
}

#[tokio::test]
async fn clients_hear_the_end_of_a_restarted_reflectors_table_after_each_others_routes() {
    let mut world = World::new();
    for n in [ONE, ROUTER] {
        world.up(n, false);
    }
    assert_eq!(world.told(ROUTER), (0, true), "our own routes are complete");
    // The other client is not even there yet.
    assert_eq!(world.told(ONE), (0, false));
    world.tells(ONE);
    world.ends(ONE);
    world.ends(ROUTER);
    world.up(OTHER, false);
    assert_eq!(world.told(OTHER), (1, false));
    world.tells(OTHER);
    assert_eq!(world.told(ONE), (1, false));
    world.ends(OTHER);
    assert_eq!((world.told(ONE), world.told(OTHER)), ((0, true), (0, true)));
}

#[tokio::test]
async fn a_client_that_is_dead_is_not_waited_for_for_long() {
    let mut world = World::new();
    for n in [ONE, ROUTER] {
        world.up(n, false);
        world.ends(n);
    }
    assert_eq!(world.told(ONE), (0, false));
    world.now = world.now + Duration::from_secs(5);
    world.settle();
    assert_eq!(world.told(ONE), (0, true));
}

/// RFC 4724 section 4.1 leaves those out "with the 'Restart State' bit set": both would wait.
#[tokio::test]
async fn two_that_restart_at_once_do_not_wait_for_each_other() {
    let mut world = World::new();
    for n in [ONE, ROUTER] {
        world.up(n, false);
        world.ends(n);
    }
    world.up(OTHER, true);
    assert_eq!((world.told(ONE), world.told(OTHER)), ((0, true), (0, true)));
}
