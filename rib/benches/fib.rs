//! How fast routes go into the kernel, and how fast they leave a lost neighbour: ratios within one
//! run, in a network namespace of its own. `cargo bench -p redstart-rib --features netlink --bench
//! fib`, as root; `REDSTART_ROUTES` is how many (a million unless said).
//!
//! The yardstick is a program that does nothing but write: messages made by hand, 256 in a datagram,
//! one acknowledgement for each datagram, every route by the same nexthop object. It keeps no state,
//! looks at no answer but the last, and does not know what it wrote.
//!
//! A lost neighbour is measured in packets: a sender keeps sending along all routes, and what counts is
//! when the last packet comes out at the dead neighbour's end of the link, from the moment at which the
//! core hears that the session has ended.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is a measurement"
)]

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant as Clock},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use redstart_bgp::{time::Instant, types::Prefix};
use redstart_rib::{
    fib::{FibConfig, KernelEvent, Planner, Route},
    netlink::{self, NetlinkConfig, NetlinkHandle, Submitted},
    nexthop::{Gateway, NexthopSet},
};
use tokio::sync::mpsc::Receiver;

const BATCH: usize = 256;
const ROUNDS: usize = 3;

fn main() {
    let routes = std::env::var("REDSTART_ROUTES").ok();
    let routes: u32 = routes.map_or(1_000_000, |r| r.parse().unwrap());
    let thread = std::thread::spawn(move || {
        enter_namespace();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            throughput(routes).await;
            for routes in [1_000, 100_000, routes] {
                convergence(routes).await;
            }
        });
    });
    thread.join().unwrap();
}

#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
fn enter_namespace() {
    // SAFETY: takes no pointers; only moves this thread to a new network namespace.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "needs root");
    for command in [
        "link add eth2 index 2 type veth peer name peer2",
        "link add eth3 index 3 type veth peer name peer3",
        "addr add 10.0.2.1/24 dev eth2",
        "addr add 10.0.3.1/24 dev eth3",
        "link set eth2 up",
        "link set eth3 up",
        "link set peer2 up",
        "link set peer3 up",
        "neigh add 10.0.2.9 lladdr 02:00:00:00:00:09 dev eth2 nud permanent",
        "neigh add 10.0.3.9 lladdr 02:00:00:00:00:09 dev eth3 nud permanent",
        "nexthop add id 1 via 10.0.2.9 dev eth2",
        "nexthop add id 2 group 1",
    ] {
        let words = command.split(' ');
        assert!(Command::new("ip").args(words).status().unwrap().success());
    }
}

fn prefix(i: u32) -> Prefix {
    Prefix::new(Ipv4Addr::from(0x1000_0000 + (i << 8)).into(), 24).unwrap()
}

fn via(links: &[u32]) -> Route {
    let gateways = links
        .iter()
        .map(|l| Gateway::via([10, 0, u8::try_from(*l).unwrap(), 9].into(), *l));
    Route::unicast(gateways.collect::<NexthopSet>())
}

fn rate(routes: u32, time: Duration) -> f64 {
    f64::from(routes) / time.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn throughput(routes: u32) {
    let (mut added, mut deleted) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let raw_add = raw(routes, true);
        let raw_delete = raw(routes, false);
        let mut node = Node::start().await;
        let before = resident();
        let add = node.all(routes, Some(&via(&[2]))).await;
        let octets = resident().saturating_sub(before) / u64::from(routes);
        let delete = node.all(routes, None).await;
        for (what, raw, ours) in [("add", raw_add, add), ("delete", raw_delete, delete)] {
            println!(
                "round {round}: {what} {routes}: raw {:.0}/s, planner and netlink {:.0}/s, ratio {:.2}",
                rate(routes, raw),
                rate(routes, ours),
                raw.as_secs_f64() / ours.as_secs_f64()
            );
        }
        println!("round {round}: {octets} octets of memory for each route");
        added.push(raw_add.as_secs_f64() / add.as_secs_f64());
        deleted.push(raw_delete.as_secs_f64() / delete.as_secs_f64());
    }
    println!(
        "ratio of rates, median: add {:.2}, delete {:.2}",
        median(added),
        median(deleted)
    );
}

/// A neighbour of two is lost.
async fn convergence(routes: u32) {
    let mut node = Node::start().await;
    node.all(routes, Some(&via(&[2, 3]))).await;
    let mut moved = Vec::new();
    for _ in 0..ROUNDS {
        let traffic = Traffic::start(routes);
        thread::sleep(Duration::from_millis(100));
        let lost = Clock::now();
        node.planner.avoid([10, 0, 2, 9].into(), None);
        node.push();
        assert_eq!(node.out.len(), 1);
        node.reply().await;
        let answered = lost.elapsed();
        thread::sleep(Duration::from_millis(200));
        let last = traffic.last_on_dead_path() - lost;
        println!("{routes} routes: answered after {answered:?}, last packet after {last:?}");
        moved.push(last.as_secs_f64());
        // Back again.
        node.planner.caught_up();
        node.finish().await;
    }
    let moved = Duration::from_secs_f64(median(moved));
    println!("{routes} routes left a lost neighbour in {moved:?}, median");
    node.planner.caught_up();
    node.planner.withdraw_all();
    node.finish().await;
}

/// Packets along all routes, and a look at those that leave by the first link.
struct Traffic {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<()>,
    watcher: JoinHandle<Clock>,
}

impl Traffic {
    /// In this thread's network namespace.
    fn start(routes: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = thread::spawn(move || send(routes, &stopped));
        let stopped = Arc::clone(&stop);
        let watcher = thread::spawn(move || watch(&stopped));
        Self {
            stop,
            sender,
            watcher,
        }
    }

    /// When the last packet came out at the other end.
    fn last_on_dead_path(self) -> Clock {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().unwrap();
        self.watcher.join().unwrap()
    }
}

fn send(routes: u32, stop: &AtomicBool) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let step = (routes / 1000).max(1);
    for i in (0..routes).step_by(step as usize).cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let to = Ipv4Addr::from(0x1000_0001 + (i << 8));
        socket.send_to(b"x", (to, 9)).unwrap();
        if i % 16 == 0 {
            thread::yield_now();
        }
    }
}

fn watch(stop: &AtomicBool) -> Clock {
    let (mut count, mut last) = (received(), None);
    while !stop.load(Ordering::Relaxed) {
        let now = received();
        if now != count {
            count = now;
            last = Some(Clock::now());
        }
    }
    last.unwrap()
}

/// How many packets have come out of the first link.
fn received() -> u64 {
    let counters = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = counters
        .lines()
        .find_map(|l| l.trim().strip_prefix("peer2:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// Resident memory of this process, in octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// What the speaker's core does, and no more.
struct Node {
    planner: Planner,
    handle: NetlinkHandle,
    events: Receiver<KernelEvent>,
    out: VecDeque<Submitted>,
    start: Clock,
}

impl Node {
    async fn start() -> Self {
        let (handle, events) = netlink::open(NetlinkConfig::default()).unwrap();
        let mut node = Self {
            planner: Planner::new(FibConfig::default(), 1),
            handle,
            events,
            out: VecDeque::new(),
            start: Clock::now(),
        };
        let event = node.events.recv().await.unwrap();
        assert!(matches!(event, KernelEvent::Synced(_)));
        node.planner.on_event(node.now(), &event);
        node
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap())
    }

    fn push(&mut self) {
        while self.out.len() < 2 {
            let batch = self.planner.next_batch(self.now(), BATCH);
            if batch.is_empty() {
                return;
            }
            self.out.push_back(self.handle.submit(batch));
        }
    }

    async fn reply(&mut self) {
        let Some(batch) = self.out.front_mut() else {
            return;
        };
        let outcomes = batch.outcomes().await;
        self.out.pop_front();
        let now = self.now();
        for (id, outcome) in outcomes {
            outcome.clone().unwrap();
            self.planner.on_reply(now, id, outcome);
        }
    }

    async fn finish(&mut self) {
        loop {
            self.push();
            if self.out.is_empty() {
                return;
            }
            self.reply().await;
        }
    }

    /// Wants all routes to be so, as a RIB would say it, and waits until they are.
    async fn all(&mut self, routes: u32, route: Option<&Route>) -> Duration {
        let begin = Clock::now();
        for i in 0..routes {
            self.planner.desire(prefix(i), route.cloned());
            if i % 1024 == 1023 {
                self.push();
                self.reply().await;
            }
        }
        self.finish().await;
        begin.elapsed()
    }
}

/// Writes all routes, or deletes them, and nothing else.
fn raw(routes: u32, add: bool) -> Duration {
    let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
    socket.bind_auto().unwrap();
    let kernel = SocketAddr::new(0, 0);
    let begin = Clock::now();
    let (mut datagram, mut answer) = (Vec::new(), Vec::with_capacity(65536));
    let mut waiting = 0;
    for i in 0..routes {
        waiting += 1;
        let last = waiting == BATCH || i + 1 == routes;
        append(&mut datagram, i, add, last);
        if last {
            socket.send_to(&datagram, &kernel, 0).unwrap();
            answer.clear();
            socket.recv(&mut answer, 0).unwrap();
            assert_eq!(answer[16..20], [0; 4], "refused");
            datagram.clear();
            waiting = 0;
        }
    }
    begin.elapsed()
}

fn append(datagram: &mut Vec<u8>, i: u32, add: bool, ack: bool) {
    let (kind, flags): (u16, u16) = if add { (24, 0x601) } else { (25, 1) };
    let flags = flags | if ack { 4 } else { 0 };
    let len: u32 = if add { 52 } else { 44 };
    datagram.extend(len.to_ne_bytes());
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(flags.to_ne_bytes());
    datagram.extend((i + 1).to_ne_bytes());
    datagram.extend(0_u32.to_ne_bytes());
    let (scope, kind) = if add { (0, 1) } else { (255, 0) };
    datagram.extend([2, 24, 0, 0, 254, 186, scope, kind]);
    datagram.extend(0_u32.to_ne_bytes());
    let mut attribute = |kind: u16, value: [u8; 4]| {
        datagram.extend(8_u16.to_ne_bytes());
        datagram.extend(kind.to_ne_bytes());
        datagram.extend(value);
    };
    attribute(1, (0x1000_0000 + (i << 8)).to_be_bytes());
    attribute(6, 179_u32.to_ne_bytes());
    if add {
        attribute(30, 2_u32.to_ne_bytes());
    }
}
