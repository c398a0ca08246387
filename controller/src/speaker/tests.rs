//! The core as a whole, in a network namespace of its own: desired states in, kernel routes and
//! connections out.

mod cleanup;
mod complete;
mod imported;
mod latency;
mod limits;
mod long_lived;
mod our_end;
mod ranges;

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
    sync::Arc,
    time::Duration,
};

use redstart_bgp::{
    net::Clock,
    session::Negotiated,
    types::{Asn, FamilySet, Ipv4Prefix, Ipv6Prefix, NextHop, Prefix, RouterId},
    wire::Codec,
};
use redstart_rib::{
    PeerPolicies, PeerRules,
    nexthop::{Answer, Gateway, Resolve, Resolved},
    rib::Cursor,
};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpSocket,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    core::{Core, Inputs},
    drain::DrainMark,
    hold_down::{Past, Told},
    marks::Recorded,
    objects::Configured,
    origin::Origin,
};
use crate::{
    compile::{
        AddPath, DesiredState, Import, Kernel, NodeIdentity, Origination, Peer, PeerName, PeerRole,
        Remote, RemoteAs, Ttl,
    },
    control::{Query, Walk, ask},
    object::ObjectRef,
};

/// More than any test needs; so that none hangs.
const LIMIT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Runs `test` on a thread of its own in a network namespace of its own, where just `lo` is up.
pub(super) fn in_namespace<F>(test: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let thread = std::thread::spawn(move || {
        unshare_network().expect("these tests need root: a network namespace of their own");
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { timeout(LIMIT, test).await.unwrap() });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
fn unshare_network() -> io::Result<()> {
    // SAFETY: takes no pointers; only moves this thread to a new network namespace.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(super) fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Every next hop is on the link.
pub(super) struct OnLink;

impl Resolve for OnLink {
    fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Answer {
        Ok(Resolved::new(
            [Gateway::via(next_hop.addr(), 1)].into_iter().collect(),
            0,
        ))
        .into()
    }
}

/// A core, and the ends that tests hold.
struct Running {
    configuration: watch::Sender<Configured>,
    queries: mpsc::Sender<Query>,
    stop: CancellationToken,
    core: JoinHandle<()>,
}

impl Running {
    fn start(desired: DesiredState) -> Self {
        Self::after(Recorded::nowhere(), desired)
    }

    /// After a process that has left these marks behind.
    fn after(recorded: Recorded, desired: DesiredState) -> Self {
        let (configuration, watched) = watch::channel(Configured::default());
        let (queries, asked) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let core = Core::new(
            Clock::new(),
            "n1".to_owned(),
            Origin::described("a test".to_owned()),
            false,
            recorded,
            DrainMark::nowhere(),
            (Told::nowhere(), Past::Nothing),
        );
        let inputs = Inputs {
            configuration: watched,
            asked,
        };
        let running = Self {
            configuration,
            queries,
            core: tokio::spawn(core.run(inputs, stop.clone())),
            stop,
        };
        running.configure(desired);
        running
    }

    fn configure(&self, desired: DesiredState) {
        self.configuration.send_modify(|now| {
            now.desired = Some(Arc::new(desired));
            now.arrivals.note(Some(tokio::time::Instant::now()));
        });
    }

    /// Waits until so many routes are installed, and nothing else is known.
    async fn installs(&self, n: u64) {
        loop {
            let totals = ask(&self.queries, Query::Kernel).await.unwrap().totals;
            if (totals.installed, totals.pending, totals.stale) == (n, 0, 0) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn protocols(&self) -> Vec<String> {
        let protocols = ask(&self.queries, Query::Protocols).await.unwrap();
        protocols.into_iter().map(|p| p.name).collect()
    }

    /// Every prefix in the tables, in order.
    async fn prefixes(&self) -> Vec<Prefix> {
        let (mut prefixes, mut cursor) = (Vec::new(), Some(Cursor::START));
        while let Some(from) = cursor {
            let walk = Walk {
                from,
                family: None,
                within: None,
                source: None,
                refused: false,
            };
            let walked = ask(&self.queries, |reply| Query::Walk(walk, reply)).await;
            let walked = walked.unwrap();
            prefixes.extend(walked.prefixes);
            cursor = walked.next;
        }
        prefixes
    }

    async fn stop(self) {
        self.stop.cancel();
        self.core.await.unwrap();
    }
}

/// Waits for `holds`, without a question to the core, which would wake it.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(PAUSE).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}

fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn kernel(table: u32, metric: u32) -> Kernel {
    Kernel {
        table,
        metric,
        ..Kernel::default()
    }
}

/// A node without neighbours, with a blackhole for each of `prefixes`.
pub(super) fn node(kernel: Kernel, prefixes: impl IntoIterator<Item = Prefix>) -> DesiredState {
    let origination = |prefix| {
        let origination = Origination {
            object: object("BGPAdvertisement", "aggregates"),
            advertise: Vec::new(),
            blackhole: true,
        };
        (prefix, Arc::new(origination))
    };
    DesiredState {
        node: Some(NodeIdentity {
            name: "n1".to_owned(),
            asn: Asn(64512),
            router_id: RouterId(Ipv4Addr::new(10, 0, 0, 1)),
            ipv4: Some(Ipv4Addr::new(10, 0, 0, 1)),
            ipv6: None,
        }),
        originations: prefixes.into_iter().map(origination).collect(),
        ..DesiredState::idle(kernel)
    }
}

/// `n` IPv4 prefixes.
fn prefixes(n: u32) -> impl Iterator<Item = Prefix> {
    let first = u32::from(Ipv4Addr::new(10, 64, 0, 0));
    (0..n).map(move |i| {
        let address = Ipv4Addr::from(first + (i << 8));
        Prefix::V4(Ipv4Prefix::new(address, 24).unwrap())
    })
}

/// Routes with our marks, by `ip`.
fn installed(table: u32, metric: u32) -> usize {
    let command = format!("route show table {table} proto 186 metric {metric}");
    ip(&command).lines().count()
}

#[test]
fn kernel_routes_follow_their_marks() {
    in_namespace(async {
        let with = |table, metric| node(kernel(table, metric), prefixes(3));
        let core = Running::start(with(254, 179));
        until("the first marks", || installed(254, 179) == 3).await;
        for (table, metric) in [(254, 200), (100, 200), (254, 179)] {
            core.configure(with(table, metric));
            until("the next marks", || {
                let there = prefixes_anywhere();
                assert_eq!(there, 3, "a gap");
                installed(table, metric) == 3
            })
            .await;
            core.installs(3).await;
            until("the old ones' removal", || {
                ip("route show table all proto 186").lines().count() == 3
            })
            .await;
        }
        core.stop().await;
    });
}

/// How many prefixes have a route in whatever table, under whatever marks.
fn prefixes_anywhere() -> usize {
    let routes = ip("route show table all type blackhole");
    let prefixes = routes.lines().filter_map(|l| l.split(' ').nth(1));
    prefixes.collect::<BTreeSet<_>>().len()
}

#[test]
fn routes_get_another_protocol_in_their_place() {
    in_namespace(async {
        let with = |protocol| {
            let kernel = Kernel {
                protocol,
                ..kernel(254, 179)
            };
            node(kernel, prefixes(300))
        };
        let core = Running::start(with(186));
        core.installs(300).await;
        core.configure(with(187));
        until("the other protocol", || {
            assert_eq!(prefixes_anywhere(), 300, "a gap");
            let there = ip("route show proto 187 metric 179");
            there.lines().count() == 300
        })
        .await;
        core.installs(300).await;
        assert_eq!(installed(254, 179), 0);
        core.stop().await;
    });
}

#[test]
fn marks_that_changed_while_no_speaker_ran_leave_nothing_behind() {
    in_namespace(async {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redstart.sock");
        let recorded = || Recorded::beside(&socket);
        let core = Running::after(recorded(), node(kernel(254, 179), prefixes(3)));
        core.installs(3).await;
        core.stop().await;
        let core = Running::after(recorded(), node(kernel(254, 200), prefixes(2)));
        until("the new marks, and no others", || {
            assert!(prefixes_anywhere() >= 2, "a gap");
            installed(254, 200) == 2 && installed(254, 179) == 0
        })
        .await;
        // The kernel's answer comes after its deed, and then the record is written.
        until("a record of the new marks alone", || {
            recorded().all().len() == 1
        })
        .await;
        core.stop().await;
    });
}

#[test]
fn marks_that_are_changed_back_at_once_stay() {
    in_namespace(async {
        let with = |metric| node(kernel(254, metric), prefixes(3000));
        let core = Running::start(with(179));
        core.installs(3000).await;
        core.configure(with(200));
        until("the first to move", || installed(254, 200) > 0).await;
        core.configure(with(179));
        until("the old marks, and no others", || {
            assert_eq!(prefixes_anywhere(), 3000, "a gap");
            installed(254, 179) == 3000 && installed(254, 200) == 0
        })
        .await;
        core.stop().await;
    });
}

#[test]
fn a_restart_confirms_more_routes_than_fit_in_a_turn() {
    in_namespace(async {
        let many = || prefixes(5000);
        let core = Running::start(node(kernel(254, 179), many()));
        until("the routes", || installed(254, 179) == 5000).await;
        core.stop().await;
        assert_eq!(installed(254, 179), 5000);

        // IPv6 has its turn after IPv4, of which nothing is to be written.
        let address = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 0);
        let last = Prefix::V6(Ipv6Prefix::new(address, 64).unwrap());
        let core = Running::start(node(kernel(254, 179), many().chain([last])));
        until("the last one", || {
            ip("-6 route show proto 186").contains("blackhole fd01::/64")
        })
        .await;
        core.installs(5001).await;
        core.stop().await;
    });
}

#[test]
fn routes_that_nobody_wants_after_a_restart_are_removed_and_others_are_not() {
    in_namespace(async {
        ip("route add blackhole 10.64.0.0/24 proto 186 metric 179");
        ip("route add blackhole 10.65.0.0/24 proto 186 metric 179");
        ip("route add blackhole 10.66.0.0/24 proto 186 metric 20");
        let core = Running::start(node(kernel(254, 179), prefixes(1)));
        until("the removal", || installed(254, 179) == 1).await;
        assert_eq!(installed(254, 20), 1);
        core.stop().await;
    });
}

pub(super) fn passive_router(remote: SocketAddr) -> Peer {
    Peer {
        source: object("BGPPeer", "router"),
        role: PeerRole::Router,
        remote: Remote::Address(remote),
        bind_interface: None,
        local: None,
        remote_as: RemoteAs::External,
        local_as: Asn(64512),
        families: FamilySet::ALL,
        passive: true,
        hold_time: 90,
        connect_retry: Duration::from_secs(1),
        ttl: Ttl::Hops(1),
        graceful_restart: None,
        delay_open: None,
        send_hold: None,
        extended_next_hop: false,
        tcp_ao: Vec::new(),
        password: None,
        import: Import::AllBut {
            refuse: Arc::default(),
            default_route: false,
        },
        long_lived: 0,
        rules: PeerRules::default(),
        transit: false,
        limit_restart: None,
        add_path: AddPath::default(),
        bgp_role: None,
        strict_role: false,
        policies: PeerPolicies::default(),
        bfd: None,
    }
}

/// What a session with a router at `remote` negotiates that has both families and nothing else.
pub(super) fn negotiated(remote: [u8; 4]) -> Negotiated {
    Negotiated {
        codec: Codec {
            ebgp: true,
            ..Codec::default()
        },
        local_addr: ([192, 0, 2, 254], 179).into(),
        remote_addr: (remote, 179).into(),
        local_as: Asn(64512),
        remote_as: Asn(65001),
        local_router_id: RouterId(Ipv4Addr::new(192, 0, 2, 254)),
        remote_router_id: RouterId(remote.into()),
        hold_time: Duration::ZERO,
        offered_hold_times: [90, 90],
        keepalive: Duration::ZERO,
        families: FamilySet::ALL,
        route_refresh: false,
        graceful_restart: None,
        graceful_notification: false,
        long_lived: None,
        enhanced_route_refresh: false,
        add_path_receive: FamilySet::EMPTY,
        add_path_send: FamilySet::EMPTY,
        role: None,
        local_capabilities: Vec::new(),
        remote_capabilities: Vec::new(),
    }
}

/// Connects from `from` and tells the type of the first message.
async fn first_message(from: SocketAddr, to: SocketAddr) -> io::Result<u8> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let mut stream = socket.connect(to).await?;
    let mut header = [0; 19];
    timeout(PATIENCE, stream.read_exact(&mut header)).await??;
    Ok(header[18])
}

const OPEN: u8 = 1;

#[test]
fn a_router_that_changes_its_name_is_let_in_under_the_new_one() {
    in_namespace(async {
        let here: SocketAddr = "127.0.0.1:1179".parse().unwrap();
        let there: SocketAddr = "127.0.0.2:0".parse().unwrap();
        let named = |name: &str| DesiredState {
            listen: vec![here],
            peers: Arc::new([(PeerName(name.to_owned()), passive_router(there).into())].into()),
            ..node(kernel(254, 179), [])
        };
        let core = Running::start(named("old"));
        for name in ["old", "new", "a", "old"] {
            core.configure(named(name));
            while core.protocols().await != [name] {
                tokio::time::sleep(PAUSE).await;
            }
            assert_eq!(first_message(there, here).await.unwrap(), OPEN, "{name}");
        }
        core.stop().await;
    });
}
