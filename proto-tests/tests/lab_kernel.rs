//! What the kernel is told, by a whole speaker with real routers: as little as there can be.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{collections::BTreeSet, fs, net::IpAddr, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use redstart_proto_tests::lab::{
    Lab, checks,
    exclusive::TestLab,
    kernel::{self, KernelRoute, RouteMonitor},
    netns::stdout_of,
    objects::{peer_manifest, peer_name},
    process::Signal,
    router::RunningRouter,
    speaker,
    topology::{Family, TorKind},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// How many prefixes the routers announce beside those of the lab.
const MANY: usize = 500;
const COMPATIBILITY: &str = "net/ipv4/nexthop_compat_mode";

fn lab(name: &str, kind: TorKind) -> TestLab {
    let lab = TestLab::redstart(name, kind, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

fn birdc(router: &RunningRouter<'_>, words: &[&str]) -> Result<String> {
    let socket = router.dir.join("bird.ctl");
    stdout_of(Command::new("birdc").arg("-s").arg(socket).args(words))
}

/// Changes BIRD's configuration and tells it.
fn reconfigure(router: &RunningRouter<'_>, change: impl Fn(&str) -> String) -> Result<()> {
    let file = router.dir.join("bird.conf");
    fs::write(&file, change(&fs::read_to_string(&file)?))?;
    birdc(router, &["configure"]).map(drop)
}

/// Both routers announce [`MANY`] prefixes, and `n1` has them all by both.
fn announce_many(lab: &Lab) -> BTreeSet<IpAddr> {
    let routes: String = (0..MANY)
        .map(|i| format!(" route 10.{}.{}.0/24 via \"ext0\";", 30 + i / 250, i % 250))
        .collect();
    let own = "protocol static own4 { ipv4;";
    for router in lab.routers() {
        reconfigure(&router, |config| {
            config.replacen(own, &format!("{own}{routes}"), 1)
        })
        .unwrap();
    }
    let routers = lab.topology.routers.iter();
    let both: BTreeSet<IpAddr> = routers.map(|router| router.rack.v4.into()).collect();
    assert_eq!(both.len(), 2);
    wait::until("all by both routers", PATIENCE, || all_by(lab, &both)).unwrap();
    both
}

fn many(lab: &Lab) -> Result<Vec<KernelRoute>> {
    let mut routes = kernel::routes(&lab.netns("n1"), Family::V4)?;
    routes.retain(|route| route.dst.starts_with("10.30.") || route.dst.starts_with("10.31."));
    Ok(routes)
}

/// Whether the kernel of `n1` has all of them by these next hops, and the speaker nothing more to do.
fn all_by(lab: &Lab, hops: &BTreeSet<IpAddr>) -> Result<()> {
    let routes = many(lab)?;
    let right = routes.iter().filter(|route| route.next_hops == *hops);
    let right = right.count();
    ensure!(right == MANY, "{right} of {} routes", routes.len());
    let totals = speaker::kernel(lab, "n1")?.totals;
    ensure!(totals.pending == 0, "{totals:?}");
    Ok(())
}

/// What `ip monitor` shows while traffic leaves the first router.
struct Watched<'a> {
    lab: &'a Lab,
    monitor: RouteMonitor,
    /// The groups that the routes name, all of them leading to both routers.
    groups: BTreeSet<String>,
}

impl<'a> Watched<'a> {
    /// So that other programs see gateways in routes, the kernel itself tells of each route whose group
    /// was changed (`net.ipv4.nexthop_compat_mode`). Here nobody else is to be heard than the speaker.
    fn start(lab: &'a Lab) -> Self {
        let netns = lab.netns("n1");
        let groups = groups(lab).unwrap();
        netns.sysctl(&[(COMPATIBILITY, "0")]).unwrap();
        let monitor = RouteMonitor::with(&netns, &["nexthop"]).unwrap();
        Self {
            lab,
            monitor,
            groups,
        }
    }

    /// Each group was changed once, and moved every route away from the first router. Nothing was said
    /// about a route. The objects that nobody needs any more may have gone by now.
    fn groups_alone_moved_all(&self, both: &BTreeSet<IpAddr>) {
        let netns = self.lab.netns("n1");
        wait::until("the groups are changed", PATIENCE, || {
            let changed = self.changed_groups();
            ensure!(changed.len() >= self.groups.len(), "{changed:?}");
            Ok(())
        })
        .unwrap();
        // Gateways are shown again.
        netns.sysctl(&[(COMPATIBILITY, "1")]).unwrap();
        let lost = IpAddr::from(self.lab.topology.routers[0].rack.v4);
        let left: BTreeSet<IpAddr> = both.iter().copied().filter(|hop| *hop != lost).collect();
        wait::until("all by the other router", PATIENCE, || {
            all_by(self.lab, &left)
        })
        .unwrap();
        let changed = self.changed_groups();
        let once: BTreeSet<String> = changed.iter().cloned().collect();
        assert_eq!((&once, changed.len()), (&self.groups, self.groups.len()));
        assert_eq!(self.routes(), Vec::<String>::new());
        self.is_not_deaf();
    }

    /// A route that does change is told of.
    fn is_not_deaf(&self) {
        let netns = self.lab.netns("n1");
        netns
            .ip(&["route del 10.30.7.0/24 proto bgp".to_owned()])
            .unwrap();
        wait::until("it is gone and back", PATIENCE, || {
            let routes = self.routes();
            let deleted: Vec<bool> = routes.iter().map(|c| c.starts_with("Deleted")).collect();
            ensure!(deleted == [true, false], "{routes:#?}");
            Ok(())
        })
        .unwrap();
    }

    /// The ids of the groups of IPv4 legs that were changed, in order.
    fn changed_groups(&self) -> Vec<String> {
        let changes = self.monitor.changes().unwrap();
        let ids = changes.iter().filter_map(|line| {
            let mut words = line.split_whitespace();
            let is_group = line.contains(" group ") && words.next() == Some("id");
            words.next().filter(|_| is_group).map(str::to_owned)
        });
        ids.filter(|id| self.groups.contains(id)).collect()
    }

    /// What was said of our routes.
    fn routes(&self) -> Vec<String> {
        let mut changes = self.monitor.changes().unwrap();
        changes.retain(|line| line.contains("10.30.") || line.contains("10.31."));
        changes
    }
}

/// The nexthop groups that the many routes name.
fn groups(lab: &Lab) -> Result<BTreeSet<String>> {
    let text = lab
        .netns("n1")
        .output("ip", &["route", "show", "proto", "bgp"])?;
    let many = text
        .lines()
        .filter(|line| line.starts_with("10.30.") || line.starts_with("10.31."));
    let ids = many.map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "nhid");
        words.nth(1).map(str::to_owned).context("names no object")
    });
    ids.collect()
}

/// The object that makes the first router a neighbour by IPv4.
struct FirstPeer {
    file: String,
    manifest: String,
}

impl FirstPeer {
    fn of(lab: &Lab) -> Self {
        let router = &lab.topology.routers[0];
        Self {
            file: format!("bgppeer-{}", peer_name(router, Family::V4)),
            manifest: peer_manifest(router, Family::V4, router.asn),
        }
    }

    /// Has it say `more`.
    fn put(&self, lab: &Lab, more: &str) {
        let manifest = format!("{}{more}", self.manifest);
        lab.objects().put(&self.file, &manifest).unwrap();
    }
}

#[test]
fn one_operation_moves_every_route_off_a_router_whose_session_ends() {
    let lab = lab("moved", TorKind::Ecmp);
    let lab = &lab.lab;
    let both = announce_many(lab);
    let watched = Watched::start(lab);
    // A Cease: the session is over for good, graceful restart or not.
    birdc(&lab.routers()[0], &["disable", "n1_v4"]).unwrap();
    watched.groups_alone_moved_all(&both);
}

#[test]
fn one_operation_moves_every_route_off_a_router_that_bfd_says_is_gone() {
    let mut lab = lab("moved-bfd", TorKind::Ecmp);
    let lab = &mut lab.lab;
    let router = lab.topology.routers[0].clone();
    let profile = "apiVersion: redstart.dev/v1alpha1\nkind: BFDProfile\nmetadata: { name: lab }\n\
                   spec: { receiveInterval: 100, transmitInterval: 100, detectMultiplier: 10 }\n";
    lab.objects().put("bfdprofile-lab", profile).unwrap();
    let peer = FirstPeer::of(lab);
    peer.put(lab, "  bfd: { profile: lab }\n");
    let timers = "min rx interval 100 ms; min tx interval 100 ms; multiplier 10;";
    let protocol = format!("protocol bfd bfd1 {{ interface \"*\" {{ {timers} }}; }}\n");
    reconfigure(&lab.routers()[0], |config| {
        config.replace("hold time 9;", "hold time 9;\n  bfd on;") + &protocol
    })
    .unwrap();
    let both = announce_many(lab);
    wait::until("BFD is up", PATIENCE, || {
        let words = ["-o", "json", "show", "bfd", "sessions"];
        let sessions = speaker::redc(lab, "n1", &words)?;
        ensure!(sessions.contains("\"Up\""), sessions);
        Ok(())
    })
    .unwrap();
    let watched = Watched::start(lab);
    lab.signal_router(&router.name, Signal::Pause).unwrap();
    watched.groups_alone_moved_all(&both);
    lab.signal_router(&router.name, Signal::Resume).unwrap();
}

#[test]
fn one_operation_moves_every_route_off_a_router_that_says_too_much_or_is_not_configured() {
    let lab = lab("moved-objects", TorKind::Ecmp);
    let lab = &lab.lab;
    let peer = FirstPeer::of(lab);
    let both = announce_many(lab);
    let watched = Watched::start(lab);
    peer.put(lab, "  maxPrefixes: { ipv4: 100 }\n");
    watched.groups_alone_moved_all(&both);
    peer.put(lab, "");
    wait::until("all by both again", PATIENCE, || all_by(lab, &both)).unwrap();
    let watched = Watched::start(lab);
    lab.objects().delete(&peer.file).unwrap();
    watched.groups_alone_moved_all(&both);
}

#[test]
fn a_route_that_somebody_removed_comes_back_without_being_asked_for() {
    let lab = lab("removed", TorKind::Bird);
    let lab = &lab.lab;
    let netns = lab.netns("n1");
    let dst = "10.20.0.0/24";
    let before = kernel::routes_to(&netns, Family::V4, dst).unwrap();
    assert_eq!(before.len(), 1);
    let monitor = RouteMonitor::start(&netns).unwrap();
    netns.ip(&[format!("route del {dst} proto bgp")]).unwrap();
    wait::until("it is back", PATIENCE, || {
        let now = kernel::routes_to(&netns, Family::V4, dst)?;
        ensure!(now == before, "{now:?}");
        Ok(())
    })
    .unwrap();
    wait::until("both are told of", PATIENCE, || {
        let changes = monitor.changes()?;
        let deleted: Vec<bool> = changes.iter().map(|c| c.starts_with("Deleted")).collect();
        ensure!(deleted == [true, false], "{changes:#?}");
        Ok(())
    })
    .unwrap();
}

/// Coil puts the address blocks of a node into table 119, as protocol 30, for whoever speaks BGP.
#[test]
fn what_an_ipam_puts_into_its_table_is_told_to_the_router() {
    let lab = lab("coil", TorKind::Bird);
    let lab = &lab.lab;
    let advertisement = "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\n\
                         metadata: { name: coil }\nspec: { podCIDRs: false, kernelTables: [119] }\n";
    let node = lab.netns("n1");
    let blocks = [
        (Family::V4, "10.77.0.0/27"),
        (Family::V4, "10.77.0.32/27"),
        (Family::V6, "fd77::/123"),
    ];
    let block = |verb: &str, (family, block): (Family, &str)| {
        let flag = family.flag();
        node.output(
            "ip",
            &[
                flag, "route", verb, block, "dev", "lo", "table", "119", "proto", "30",
            ],
        )
        .unwrap();
    };
    let router = &lab.topology.routers[0];
    let tor = lab.netns(&router.name);
    let known = |(family, block): (Family, &str), wanted: bool| {
        let what = format!("{block}: {wanted}");
        wait::until(&what, PATIENCE, || {
            let routes = kernel::routes_to(&tor, family, block)?;
            let n1 = lab.topology.node("n1").context("no n1")?;
            let hops = routes.iter().flat_map(|route| &route.next_hops);
            let by_n1 = hops.map(|hop| lab.topology.global(*hop));
            let by_n1 = by_n1.eq([n1.addresses.of(family)]);
            ensure!(by_n1 == wanted, "{routes:?}");
            Ok(())
        })
        .unwrap();
    };
    block("add", blocks[0]);
    lab.objects().put("coil", advertisement).unwrap();
    known(blocks[0], true);
    for later in &blocks[1..] {
        block("add", *later);
        known(*later, true);
    }
    // Its own routes: nobody but the one who made them removes them.
    assert!(
        kernel::routes(&node, Family::V4)
            .unwrap()
            .iter()
            .all(|r| r.dst != blocks[0].1)
    );
    block("del", blocks[0]);
    known(blocks[0], false);
    known(blocks[1], true);
    lab.objects().delete("coil").unwrap();
    for gone in &blocks[1..] {
        known(*gone, false);
    }
    let left = node
        .output("ip", &["route", "show", "table", "119"])
        .unwrap();
    assert_eq!(left.lines().count(), 1, "{left}");
}
