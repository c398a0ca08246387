//! How fast routes go into the kernel and out of it, and what each takes of memory: ratios within one
//! run. `cargo bench -p redstart-proto-tests --bench fib`, as root; `REDSTART_ROUTES` is how
//! many IPv4 routes (a million unless said; IPv6 gets a fifth), `REDSTART_ROUNDS` how often (5).
//!
//! The yardstick is a program that does nothing but write (`redstart_proto_tests::bench::kernel::raw`).
//!
//! Rounds alternate, each side first in every other one, and each time in a network namespace of its
//! own. Wall time means something on a quiet machine only: beside others, planner and netlink thread
//! wait for a processor where the yardstick, one thread, does not. Processor time, with the kernel's,
//! means something anywhere; that of the netlink thread alone is what bounds the rate, as long as the
//! planner has a processor of its own. Memory is what the allocator has handed out, not what is resident.

#![expect(clippy::unwrap_used, reason = "this is a measurement")]

use std::{
    collections::VecDeque,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    process::Command,
    thread,
    time::{Duration, Instant as Clock},
};

use redstart_bgp::{time::Instant, types::Prefix};
use redstart_proto_tests::bench::{kernel::raw::Writer, report::median, usage};
use redstart_rib::{
    fib::{FibConfig, KernelEvent, Planner, Route},
    netlink::{self, NetlinkConfig, NetlinkHandle, Submitted},
    nexthop::Gateway,
};
use tokio::sync::mpsc::Receiver;

/// Routes that are compared in one turn, as in the speaker.
const PIECE: usize = 8192;

/// Routes wished for at a time, as the speaker does.
const MOVED: usize = 512;

fn main() {
    let routes = number("REDSTART_ROUTES", 1_000_000);
    let rounds = number("REDSTART_ROUNDS", 5);
    for (family, routes) in [(Family::V4, routes), (Family::V6, routes / 5)] {
        compare(family, routes, rounds);
    }
}

fn number(variable: &str, default: u32) -> u32 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap())
}

fn compare(family: Family, routes: u32, rounds: u32) {
    println!("\n{routes} {family} routes, load {}", load());
    println!(
        "| round | what | raw routes/s | Redstart routes/s | rate × | netlink CPU × | all CPU × |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut all: [Vec<[f64; 3]>; 2] = Default::default();
    let mut memory = Memory::default();
    for round in 1..=rounds {
        let raw = || in_namespace(move || raw(family, routes));
        let ours = || in_namespace(move || redstart(family, routes));
        let (raw, (ours, used)) = if round % 2 == 0 {
            (raw(), ours())
        } else {
            let ours = ours();
            (raw(), ours)
        };
        memory = used;
        for (i, what) in ["add", "delete"].into_iter().enumerate() {
            let ratios = [
                raw[i].wall.as_secs_f64() / ours[i].wall.as_secs_f64(),
                ours[i].netlink.as_secs_f64() / raw[i].cpu.as_secs_f64(),
                ours[i].cpu.as_secs_f64() / raw[i].cpu.as_secs_f64(),
            ];
            let rate = |cost: &Cost| f64::from(routes) / cost.wall.as_secs_f64();
            println!(
                "| {round} | {what} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} |",
                rate(&raw[i]),
                rate(&ours[i]),
                ratios[0],
                ratios[1],
                ratios[2]
            );
            all[i].push(ratios);
        }
    }
    for (what, ratios) in ["add", "delete"].into_iter().zip(&all) {
        let of = |i: usize| median(ratios.iter().map(|r| r[i]).collect());
        let [rate, netlink, all] = [0, 1, 2].map(of);
        println!("| median | {what} | | | {rate:.2} | {netlink:.2} | {all:.2} |");
    }
    let each = |octets: usize| octets / usize::try_from(routes).unwrap();
    println!(
        "memory: {} octets for each route, {} after all are withdrawn; an audit takes {:.2?} (of it {:.2?} \
         in the planner, at most {:.2?} at a time), and {} octets for each route while it lasts",
        each(memory.full),
        each(memory.empty),
        memory.audit.took,
        memory.audit.busy,
        memory.audit.longest,
        each(memory.audit.memory)
    );
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn prefix(self, i: u32) -> Prefix {
        match self {
            Self::V4 => Prefix::new(Ipv4Addr::from(0x1000_0000 + (i << 8)).into(), 24).unwrap(),
            Self::V6 => {
                let bits = (0x2a00_u128 << 112) | (u128::from(i) << 80);
                Prefix::new(Ipv6Addr::from(bits).into(), 48).unwrap()
            }
        }
    }

    fn route(self) -> Route {
        let gateway = match self {
            Self::V4 => "10.0.2.9",
            Self::V6 => "fd00:2::9",
        };
        Route::unicast(Gateway::via(gateway.parse().unwrap(), 2))
    }

    /// The group that the raw writer's routes name.
    fn object(self) -> u32 {
        match self {
            Self::V4 => 2,
            Self::V6 => 4,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Runs `work` on a thread of its own in a network namespace of its own.
fn in_namespace<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let run = || {
        enter_namespace();
        work()
    };
    thread::spawn(run).join().unwrap()
}

#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
fn enter_namespace() {
    // SAFETY: takes no pointers; only moves this thread to a new network namespace.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "needs root");
    for command in [
        "link add eth2 index 2 type veth peer name peer2 index 12",
        "addr add 10.0.2.1/24 dev eth2",
        "addr add fd00:2::1/64 dev eth2 nodad",
        "link set eth2 up",
        "link set peer2 up",
        "nexthop add id 1 via 10.0.2.9 dev eth2",
        "nexthop add id 2 group 1",
        "nexthop add id 3 via fd00:2::9 dev eth2",
        "nexthop add id 4 group 3",
    ] {
        let words = command.split(' ');
        assert!(Command::new("ip").args(words).status().unwrap().success());
    }
}

/// What one phase took.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    /// Of all threads, with what the kernel did for them.
    cpu: Duration,
    /// Of the netlink thread alone.
    netlink: Duration,
}

/// When something began: wall time, and processor time so far.
type Began = (Clock, Duration, Duration);

impl Cost {
    fn since((began, cpu, netlink): Began) -> Self {
        Self {
            wall: began.elapsed(),
            cpu: processor_time() - cpu,
            netlink: netlink_time() - netlink,
        }
    }

    fn begin() -> Began {
        (Clock::now(), processor_time(), netlink_time())
    }
}

/// Processor time of the driver's thread, if there is one.
fn netlink_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let read = |task: &std::path::Path, file| std::fs::read_to_string(task.join(file));
    let nanos = tasks.filter_map(|task| {
        let task = task.unwrap().path();
        let is_netlink = read(&task, "comm").ok()?.trim() == "netlink";
        let times = read(&task, "schedstat").ok().filter(|_| is_netlink)?;
        times.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
fn processor_time() -> Duration {
    // SAFETY: a plain structure of numbers, for which all zeros are values.
    let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
    // SAFETY: writes the structure that it is given, and nothing else.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(result, 0);
    let time = |t: libc::timeval| {
        let micros = u64::try_from(t.tv_sec * 1_000_000 + t.tv_usec).unwrap();
        Duration::from_micros(micros)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Octets that planner and netlink hold.
#[derive(Clone, Copy, Default)]
struct Memory {
    /// With all routes in the kernel.
    full: usize,
    /// After they were withdrawn.
    empty: usize,
    audit: Audit,
}

/// Everything compared with the kernel.
#[derive(Clone, Copy, Default)]
struct Audit {
    /// Octets more than before, at the worst: resident.
    memory: usize,
    took: Duration,
    /// How long of it the planner is busy.
    busy: Duration,
    /// And how long at a time.
    longest: Duration,
}

/// What the allocator has handed out.
#[expect(
    unsafe_code,
    reason = "a function of the C library without a safe wrapper"
)]
fn allocated() -> usize {
    // SAFETY: takes nothing, and returns numbers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// What this process has in memory, in octets, and the most that it ever had.
fn memory() -> usage::Usage {
    usage::alone(std::process::id())
}

fn redstart(family: Family, routes: u32) -> ([Cost; 2], Memory) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let before = allocated();
        let mut node = Node::start().await;
        let route = family.route();
        let began = Cost::begin();
        node.all(family, routes, Some(&route)).await;
        let add = Cost::since(began);
        let full = allocated().saturating_sub(before);
        let audit = node.audit().await;
        let began = Cost::begin();
        node.all(family, routes, None).await;
        let delete = Cost::since(began);
        let memory = Memory {
            full,
            empty: allocated().saturating_sub(before),
            audit,
        };
        ([add, delete], memory)
    })
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
        while node.planner.counters().resyncs == 0 {
            let event = node.events.recv().await.unwrap();
            node.planner.on_event(node.now(), &event);
        }
        node
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap())
    }

    fn push(&mut self) {
        while self.out.len() < 2 {
            let batch = self.planner.next_batch(self.now(), self.handle.batch());
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
        for (_, outcome) in &outcomes {
            outcome.clone().unwrap();
        }
        let now = self.now();
        self.planner.on_replies(now, outcomes);
    }

    /// Compares everything with the kernel; what that took.
    async fn audit(&mut self) -> Audit {
        let before = memory().resident;
        // Makes the peak what is resident now.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let began = Clock::now();
        self.planner.audit(self.now());
        assert!(self.planner.take_resync_request(self.now()));
        self.handle.resync();
        loop {
            let event = self.events.recv().await.unwrap();
            let mut here = Clock::now();
            self.planner.on_event(self.now(), &event);
            if matches!(event, KernelEvent::Synced(_)) {
                let (mut busy, mut longest) = (Duration::ZERO, Duration::ZERO);
                while self.planner.is_comparing() {
                    self.planner.compare(self.now(), PIECE);
                    // What follows is part of the turn.
                    assert!(self.planner.next_batch(self.now(), 1).is_empty());
                    let turn = here.elapsed();
                    (busy, longest) = (busy + turn, longest.max(turn));
                    here = Clock::now();
                }
                assert_eq!(self.planner.counters().drifted, 0);
                let memory = memory().peak.saturating_sub(before);
                let memory = usize::try_from(memory).unwrap();
                return Audit {
                    memory,
                    took: began.elapsed(),
                    busy,
                    longest,
                };
            }
        }
    }

    /// Wants all routes to be so, as a RIB would say it, and waits until they are.
    async fn all(&mut self, family: Family, routes: u32, route: Option<&Route>) {
        let all: Vec<u32> = (0..routes).collect();
        for (n, some) in all.chunks(MOVED).enumerate() {
            let some = some.iter().map(|i| (family.prefix(*i), route.cloned()));
            self.planner.desire_all(some.collect());
            if n % 8 == 7 {
                self.push();
                self.reply().await;
            }
        }
        loop {
            self.push();
            if self.out.is_empty() {
                return;
            }
            self.reply().await;
        }
    }
}

/// Writes all routes and deletes them, and nothing else.
fn raw(family: Family, routes: u32) -> [Cost; 2] {
    let writer = Writer::open(family.object()).unwrap();
    [true, false].map(|add| {
        let began = Cost::begin();
        let prefixes = (0..routes).map(|i| family.prefix(i));
        writer.write(prefixes, add).unwrap();
        Cost::since(began)
    })
}
