//! What the core does with several events of neighbours that come at once, with a real kernel.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command},
    time::Duration,
};

use redstart_bgp::{
    session::{DownReason, Event, PeerId},
    types::{AsPath, Asn, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, NlriSet, PathAttributes},
    wire::{GracefulRestart, GracefulRestartFamily, Reach, Update},
};
use redstart_rib::fib::FibCounters;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::{
    compile::{Kernel as KernelSettings, PeerName, RemoteAs},
    speaker::tests::{in_namespace, ip, negotiated, node, passive_router},
};

/// Neighbours, by the last octet of their addresses on the link.
const ONE: u8 = 1;
const OTHER: u8 = 2;

/// A core whose loop does not run: the test says what happens, and when.
struct World {
    core: Core,
}

impl World {
    /// On a link with both neighbours, of which the kernel has told.
    async fn new(ran_before: bool) -> Self {
        let core = Core::new(
            Clock::new(),
            "n1".to_owned(),
            Origin::described("a test".to_owned()),
            ran_before,
            Recorded::nowhere(),
            DrainMark::nowhere(),
            (Told::nowhere(), Past::Nothing),
        );
        let mut world = Self { core };
        let peer = |n: u8| {
            let mut peer = passive_router(SocketAddr::from(([10, 0, 0, n], 179)));
            peer.remote_as = RemoteAs::Internal;
            peer.graceful_restart = Some(120);
            (PeerName(n.to_string()), peer.into())
        };
        let desired = DesiredState {
            peers: Arc::new([ONE, OTHER].map(peer).into()),
            ..node(KernelSettings::default(), [])
        };
        world.core.configure(Configured {
            desired: Some(Arc::new(desired)),
            ..Configured::default()
        });
        world.core.settle();
        world.until(|core| core.kernel.is_known()).await;
        world
    }

    /// The kernel's answers and events, until it holds.
    async fn until(&mut self, holds: impl Fn(&Core) -> bool) {
        let core = &mut self.core;
        while !holds(core) || !core.kernel.planner().is_quiescent() {
            let wake = core.clock.sleep_until(core.next_timeout());
            tokio::select! {
                event = core.kernel.next_event() => core.kernel.on_event(core.clock.now(), event),
                () = wake => {}
            }
            core.settle();
        }
    }

    fn id(&self, n: u8) -> PeerId {
        self.core.neighbours.ids()[&PeerName(n.to_string())][0]
    }

    fn event(&self, n: u8, event: Event) -> FromPeer {
        let peer = self.id(n);
        FromPeer::Event { peer, event }
    }

    /// All of them at once, and what follows from them.
    fn burst(&mut self, mut burst: Vec<FromPeer>) {
        self.core.on_neighbours(&mut burst, &mut nobody());
        self.core.settle();
    }

    fn up(&mut self, n: u8) {
        let listed = |family: Family| GracefulRestartFamily {
            afi: family.afi(),
            safi: family.safi(),
            forwarding_preserved: true,
        };
        let mut negotiated = negotiated([10, 0, 0, n]);
        negotiated.codec.ebgp = false;
        negotiated.remote_as = Asn(64512);
        negotiated.graceful_restart = Some(GracefulRestart {
            restart_time: 120,
            families: Family::ALL.map(listed).into(),
            ..GracefulRestart::default()
        });
        let up = self.event(n, Event::Established(Arc::new(negotiated)));
        self.burst(vec![up]);
    }

    /// Routes of a neighbour, as one read from its socket holds them.
    fn tells(&self, n: u8, routes: impl IntoIterator<Item = (Ipv4Prefix, [u8; 4])>) -> FromPeer {
        let update = |(prefix, next_hop): (Ipv4Prefix, [u8; 4])| {
            let attrs = PathAttributes {
                next_hop: Some(NextHop::V4(next_hop.into())),
                local_pref: Some(100),
                as_path: AsPath::sequence([Asn(65001)]),
                ..PathAttributes::default()
            };
            Update {
                reach: vec![Reach {
                    attrs: Arc::new(attrs),
                    nlri: NlriSet::V4(vec![Nlri::plain(prefix)]),
                }],
                ..Update::default()
            }
        };
        FromPeer::Updates {
            peer: self.id(n),
            updates: routes.into_iter().map(update).collect(),
            read_at: self.core.clock.now(),
        }
    }

    fn ends(&self, n: u8) -> FromPeer {
        let end = |family| Update {
            end_of_rib: Some(family),
            ..Update::default()
        };
        FromPeer::Updates {
            peer: self.id(n),
            updates: Family::ALL.map(end).into_iter().collect(),
            read_at: self.core.clock.now(),
        }
    }

    fn counters(&self) -> FibCounters {
        self.core.kernel.planner().counters()
    }
}

/// Who asks nothing.
fn nobody() -> mpsc::Receiver<Query> {
    mpsc::channel(1).1
}

fn make_link() {
    ip("link add here type veth peer name there");
    ip("address add 10.0.0.9/24 dev here");
    ip("link set here up");
    ip("link set there up");
}

fn one(address: [u8; 4]) -> Ipv4Prefix {
    Ipv4Prefix::new(address.into(), 24).unwrap()
}

/// `n` prefixes of a /8.
fn within(first: u8, n: u32) -> impl Iterator<Item = Ipv4Prefix> {
    let first = u32::from(Ipv4Addr::new(first, 0, 0, 0));
    (0..n).map(move |i| Ipv4Prefix::new(Ipv4Addr::from(first + (i << 8)), 24).unwrap())
}

/// What `ip monitor` says, from when it listens.
struct Monitor {
    directory: TempDir,
    child: Child,
}

impl Monitor {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let said = File::create(directory.path().join("said")).unwrap();
        let child = Command::new("ip")
            .args(["monitor", "route", "nexthop"])
            .stdout(said)
            .spawn();
        let monitor = Self {
            directory,
            child: child.unwrap(),
        };
        monitor.hears("192.0.2.1").await;
        monitor
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("said")).unwrap()
    }

    /// Everything up to now, as a route of somebody else's shows that is made for that.
    async fn hears(&self, marker: &str) -> String {
        while !self.said().contains(marker) {
            ip(&format!("route replace blackhole {marker} proto static"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.said()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn a_router_whose_loss_comes_behind_routes_is_not_led_to_again_by_those() {
    in_namespace(async {
        make_link();
        let mut world = World::new(false).await;
        for n in [ONE, OTHER] {
            world.up(n);
            let both = world.tells(n, within(20, 50).map(|it| (it, [10, 0, 0, n])));
            let ends = world.ends(n);
            world.burst(vec![both, ends]);
        }
        world
            .until(|core| core.kernel.planner().counters().desired == 50)
            .await;
        let shared = ip("route show 20.0.0.0/24");
        assert!(
            shared.contains("10.0.0.1") && shared.contains("10.0.0.2"),
            "{shared}"
        );

        let monitor = Monitor::start().await;
        let mut burst = Vec::new();
        for first in 30..34 {
            burst.push(world.tells(OTHER, within(first, 4096).map(|it| (it, [10, 0, 0, OTHER]))));
        }
        burst.push(world.tells(ONE, within(30, 4096).map(|it| (it, [10, 0, 0, ONE]))));
        burst.push(world.tells(OTHER, within(41, 4096).map(|it| (it, [10, 0, 0, OTHER]))));
        let (reason, retained) = (DownReason::HoldTimerExpired, FamilySet::EMPTY);
        burst.push(world.event(ONE, Event::Down { reason, retained }));
        world.core.on_neighbours(&mut burst, &mut nobody());
        assert!(
            world.counters().added > 50,
            "the kernel was given routes meanwhile"
        );
        world.core.settle();
        world
            .until(|core| core.kernel.planner().counters().desired == 50 + 5 * 4096)
            .await;
        let said = monitor.hears("192.0.2.2").await;
        let moved = |line: &str| line.starts_with("20.0.0.0/24 ");
        assert!(
            said.lines().any(moved),
            "the shared group was changed, and that is heard"
        );
        let led_there = |line: &&str| line.contains("10.0.0.1 ") && !line.starts_with("Deleted");
        assert_eq!(said.lines().find(led_there), None);
    });
}

#[test]
fn routes_through_one_that_comes_with_the_end_of_a_restart_stay_as_they_are() {
    in_namespace(async {
        make_link();
        let rack = (one([10, 9, 0, 0]), [10, 0, 0, ONE]);
        let pods = (one([10, 244, 7, 0]), [10, 9, 0, 7]);
        let mut world = World::new(false).await;
        world.up(ONE);
        let all = world.tells(ONE, [pods, rack]);
        world.burst(vec![all]);
        world
            .until(|core| core.kernel.planner().counters().added == 2)
            .await;
        drop(world);

        let mut world = World::new(true).await;
        assert_eq!(world.counters().adopted, 2);
        world.up(ONE);
        // Its own next hop leads nowhere yet.
        let first = world.tells(ONE, [pods]);
        world.burst(vec![first]);
        world.up(OTHER);
        let ends = world.ends(OTHER);
        world.burst(vec![ends]);
        let burst = vec![world.tells(ONE, [rack]), world.ends(ONE)];
        world.burst(burst);
        world
            .until(|core| core.restart.poll_timeout().is_none())
            .await;
        world
            .until(|core| core.kernel.planner().counters().desired == 2)
            .await;
        let after = world.counters();
        let written = (after.added, after.replaced, after.deleted, after.swept);
        assert_eq!(written, (0, 0, 0, 0));
        assert!(ip("route show 10.244.7.0/24").contains("10.0.0.1"));
    });
}

#[test]
fn whoever_asks_is_answered_between_two_reads_of_a_burst() {
    in_namespace(async {
        make_link();
        let mut world = World::new(false).await;
        for n in [ONE, OTHER] {
            world.up(n);
            let ends = world.ends(n);
            world.burst(vec![ends]);
        }
        let (questions, mut asked) = mpsc::channel(8);
        let mut answers = Vec::new();
        for _ in 0..3 {
            let (status, answer) = oneshot::channel();
            questions.try_send(Query::Status(status)).unwrap();
            answers.push(answer);
        }
        let routes = |n, first| within(first, 100).map(move |it| (it, [10, 0, 0, n]));
        let mut burst = vec![
            world.tells(ONE, routes(ONE, 20)),
            world.tells(OTHER, routes(OTHER, 21)),
        ];
        world.core.on_neighbours(&mut burst, &mut asked);
        let mut known = answers
            .iter_mut()
            .map(|answer| answer.try_recv().map(|status| status.prefixes));
        let ipv4 = Family::Ipv4Unicast.to_string();
        assert_eq!(known.next().unwrap().unwrap()[&ipv4], 100);
        assert_eq!(known.next().unwrap().unwrap()[&ipv4], 200);
        known.next().unwrap().unwrap_err();
        assert!(
            !world.core.rib.has_pending_next_hops(),
            "who asks hears of no route whose next hop nobody has looked for"
        );
    });
}
