//! A namespace with two links, and a planner with its driver in it.

use core::{future::Future, time::Duration};
use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::IpAddr,
    process::{Command, Stdio},
};

use redstart_bgp::{
    time::Instant,
    types::{NextHop, Prefix},
};
use redstart_rib::{
    fib::{
        FibConfig, InstallState, KernelEvent, KernelRoute, NexthopStyle, Planner, Route,
        RouteAction, RouteKind,
    },
    netlink::{self, NetlinkConfig, NetlinkHandle},
    nexthop::{Gateway, NexthopSet, Resolve, Unresolved},
    resolver::{KernelView, ResolverConfig},
};
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant as Clock, timeout},
};

/// More than any test needs; so that none hangs.
const LIMIT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `test` on a thread of its own in a namespace of its own. Links eth2 and eth3 are up (their
/// indices are 2 and 3), with 10.0.LINK.1/24 and fd00:LINK::1/64.
pub(crate) fn in_namespace<F>(test: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    in_namespace_for(LIMIT, test);
}

/// The same, with another limit.
pub(crate) fn in_namespace_for<F>(limit: Duration, test: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let thread = std::thread::Builder::new().spawn(move || {
        unshare_network().expect("these tests need root: a network namespace of their own");
        set_up();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            timeout(limit, test).await.expect("the test came to no end");
        });
    });
    if let Err(panic) = thread.unwrap().join() {
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

/// Gives up every capability, for this thread only (the system call, unlike libc's function, does
/// not reach the other threads).
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
pub(crate) fn drop_privileges() {
    let nobody: libc::uid_t = 65534;
    // SAFETY: takes no pointers; changes the ids of this thread.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, nobody, nobody, nobody) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn set_up() {
    ip(&["link", "set", "lo", "up"]);
    for i in ["2", "3"] {
        let (link, peer) = (format!("eth{i}"), format!("peer{i}"));
        let far = (10 + i.parse::<u32>().unwrap()).to_string();
        ip(&[
            "link", "add", &link, "index", i, "type", "veth", "peer", "name", &peer, "index", &far,
        ]);
        ip(&["addr", "add", &format!("10.0.{i}.1/24"), "dev", &link]);
        ip(&[
            "addr",
            "add",
            &format!("fd00:{i}::1/64"),
            "dev",
            &link,
            "nodad",
        ]);
        ip(&["link", "set", &peer, "up"]);
        ip(&["link", "set", &link, "up"]);
    }
}

/// Has one `ip` carry out many commands in this namespace.
pub(crate) fn ip_batch(commands: impl Iterator<Item = String>) {
    let mut ip = Command::new("ip");
    let ip = ip.args(["-batch", "-"]).stdin(Stdio::piped());
    let mut child = ip.spawn().expect("iproute2 is missing");
    let lines: String = commands.map(|command| command + "\n").collect();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success(), "ip -batch failed");
}

/// Runs `ip` in this namespace; its output with spaces squeezed.
pub(crate) fn ip(args: &[&str]) -> String {
    let output = Command::new("ip")
        .args(args)
        .output()
        .expect("iproute2 is missing");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {error}", args.join(" "));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(without_object);
    lines.collect::<Vec<_>>().join("\n")
}

/// A line with spaces squeezed, and without the name of a nexthop object: what it leads to stands
/// there as well.
fn without_object(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if let Some(at) = words.iter().position(|w| *w == "nhid") {
        words.drain(at..at + 2);
    }
    words.join(" ")
}

/// The same as JSON text.
pub(crate) fn ip_json(args: &[&str]) -> String {
    ip(&[&["-j"], args].concat())
}

pub(crate) fn p(s: &str) -> Prefix {
    s.parse().unwrap()
}

pub(crate) fn gateway(via: &str, ifindex: u32) -> Gateway {
    Gateway::via(via.parse().unwrap(), ifindex)
}

pub(crate) fn unicast(gateways: &[Gateway]) -> Route {
    Route::unicast(gateways.iter().copied().collect::<NexthopSet>())
}

/// What the speaker's core does, and no more.
pub(crate) struct Node {
    pub(crate) planner: Planner,
    pub(crate) handle: NetlinkHandle,
    view: KernelView,
    events: Receiver<KernelEvent>,
    start: Clock,
    /// How long to wait for what is waited for.
    pub(crate) patience: Duration,
    desired: BTreeMap<Prefix, Route>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(NetlinkConfig::default()).await
    }

    /// With gateways in each route, and no nexthop objects.
    pub(crate) async fn inline() -> Self {
        Self::inline_with(NetlinkConfig::default()).await
    }

    pub(crate) async fn inline_with(config: NetlinkConfig) -> Self {
        let fib = FibConfig {
            nexthops: NexthopStyle::Inline,
            ..FibConfig::default()
        };
        Self::with_fib(config, fib).await
    }

    /// After a restart: the same.
    pub(crate) async fn again() -> Self {
        Self::start().await
    }

    pub(crate) async fn with(config: NetlinkConfig) -> Self {
        Self::with_fib(config, FibConfig::default()).await
    }

    pub(crate) async fn with_fib(config: NetlinkConfig, fib: FibConfig) -> Self {
        let (handle, events) = netlink::open(config).unwrap();
        let mut node = Self {
            planner: Planner::new(fib, 1),
            view: KernelView::new(ResolverConfig::default()),
            handle,
            events,
            start: Clock::now(),
            patience: PATIENCE,
            desired: BTreeMap::new(),
        };
        node.until("the first dump", |n| n.planner.counters().resyncs == 1)
            .await;
        node
    }

    pub(crate) fn reconnect(&mut self, config: NetlinkConfig) {
        let (handle, events) = netlink::open(config).unwrap();
        self.handle = handle;
        self.events = events;
    }

    pub(crate) fn now(&self) -> Instant {
        let nanos = self.start.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap())
    }

    pub(crate) fn desire(&mut self, prefix: &str, route: Route) {
        self.desired.insert(p(prefix), route.clone());
        self.planner.desire(p(prefix), Some(route));
    }

    pub(crate) fn withdraw(&mut self, prefix: &str) {
        self.desired.remove(&p(prefix));
        self.planner.desire(p(prefix), None);
    }

    pub(crate) fn resolve(&self, addr: &str) -> Result<(Vec<Gateway>, u32), Unresolved> {
        let next_hop = NextHop::from(addr.parse::<IpAddr>().unwrap());
        let resolved = self.view.resolve(next_hop, None).state?;
        Ok((resolved.gateways.to_vec(), resolved.metric))
    }

    pub(crate) fn is_silent(&self, addr: &str, ifindex: u32) -> bool {
        self.view.is_silent(addr.parse().unwrap(), ifindex)
    }

    /// Sends what there is to send.
    pub(crate) async fn push(&mut self) {
        loop {
            let batch = self.planner.next_batch(self.now(), 128);
            if batch.is_empty() {
                return;
            }
            for (id, outcome) in self.handle.apply(batch).await {
                self.planner.on_reply(self.now(), id, outcome);
            }
        }
    }

    /// One event or timer, and what follows from it.
    async fn turn(&mut self) {
        self.turn_within(PATIENCE).await;
    }

    /// The same, or nothing if nothing happens for so long.
    pub(crate) async fn turn_within(&mut self, limit: Duration) {
        let now = self.now();
        let pause = self.planner.poll_timeout().map_or(limit, |at| at - now);
        let pause = pause.min(limit);
        if let Ok(event) = timeout(pause, self.events.recv()).await {
            let event = event.expect("the driver has stopped");
            self.view.on_event(&event);
            self.planner.on_event(self.now(), &event);
            self.planner.compare(self.now(), usize::MAX);
        }
        self.ask_for_dump();
        self.push().await;
    }

    fn ask_for_dump(&mut self) {
        if self.planner.take_resync_request(self.now()) {
            self.handle.resync();
        }
    }

    /// Until nothing is left to do and the kernel has told everything so far: a dump comes behind
    /// all events before it.
    pub(crate) async fn settle(&mut self) {
        self.push().await;
        let resyncs = self.planner.counters().resyncs;
        self.planner.audit(self.now());
        self.until("rest", |n| {
            n.planner.is_quiescent() && n.planner.counters().resyncs > resyncs
        })
        .await;
    }

    /// Until every route is in the kernel, however often that takes trying.
    pub(crate) async fn settle_all(&mut self) {
        let installed = |n: &Self, p: &Prefix| n.planner.status(*p) == InstallState::Installed;
        self.until("installation of all", |n| {
            n.desired.keys().all(|p| installed(n, p))
        })
        .await;
    }

    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Clock::now() + self.patience;
        while !done(self) {
            self.ask_for_dump();
            assert!(
                Clock::now() < deadline,
                "no {what}: {:?}",
                self.planner.counters()
            );
            self.turn().await;
        }
    }

    pub(crate) async fn until_installed(&mut self, prefix: &str) {
        let prefix = p(prefix);
        self.until("installation", |n| {
            n.planner.status(prefix) == InstallState::Installed
        })
        .await;
    }

    pub(crate) fn assert_all_installed(&self) {
        for prefix in self.desired.keys() {
            assert_eq!(
                self.planner.status(*prefix),
                InstallState::Installed,
                "{prefix}"
            );
        }
    }

    /// What a fresh dump shows under our marks is what is desired, no more and no less.
    pub(crate) async fn assert_kernel_agrees(&self) {
        let dump = self.handle.dump().await.unwrap();
        let ours = dump
            .routes
            .iter()
            .filter(|r| self.planner.config().is_ours(r));
        let there: BTreeMap<Prefix, Route> = ours.map(|r| (r.prefix, effect(r))).collect();
        assert_eq!(there, self.desired);
    }
}

/// What the route does, whichever way it is written.
#[expect(clippy::panic, reason = "it ends the test")]
fn effect(route: &KernelRoute) -> Route {
    let kind = match &route.action {
        RouteAction::Forward(set) => RouteKind::Unicast(set.clone()),
        RouteAction::Blackhole => RouteKind::Blackhole,
        other => panic!("not of ours: {other:?}"),
    };
    let prefsrc = route.prefsrc;
    Route { kind, prefsrc }
}
