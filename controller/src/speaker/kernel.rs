//! The kernel's side of the core: planner, next-hop resolution, and the one batch that is out.
//!
//! The netlink thread has two batches at a time, so a slow kernel costs nobody else anything:
//! what changes meanwhile waits in the planner as state. Which table and marks to use is part of the
//! configuration, so the socket opens with the first one. When the marks change, in a running process
//! or between two, the routes are installed under the new ones first; once all of them are there, what
//! is left under the old ones is removed (`marks`).
//!
//! Each time that the netlink task starts, a new planner starts with it: it adopts what it finds under
//! our marks, and the RIB says everything again. What nobody wants then goes, but not before the
//! recovery after the start of the process is over (`restart`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    net::IpAddr,
    time::Duration,
};

use futures_util::FutureExt;
use redstart_bgp::{
    net::Clock,
    time::Instant,
    types::{Family, Prefix},
};
use redstart_rib::{
    Rib,
    fib::{
        Arrival, FibConfig, InstallState, KernelEvent, Marks, NexthopStyle, OpError, Planner,
        Removal, Route, RouteKind,
    },
    imported::Imported,
    netlink::{self, NetlinkConfig, NetlinkHandle, Outcomes, RemovalError, Removed, Submitted},
    nexthop::Gateway,
    resolver::{KernelView, ResolverConfig},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::{debug, error, info, warn};

use super::{marks::Recorded, neighbours::Place, translate};
use crate::compile;

/// Routes of a dump that are compared before everybody else gets a turn: some milliseconds.
const PIECE: usize = 8192;

/// Batches on their way, so that the kernel does not wait while the next one is made.
const BATCHES: usize = 2;

/// Changes moved from the RIB to the planner before everybody else gets a turn.
const CHANGES: usize = 4096;

/// Changes moved before the kernel is given what it is free for: that takes less time than a batch.
const MOVED: usize = 512;
/// The same of what may wait, while others do and the kernel has enough.
const FEW: usize = 64;

/// The pause before netlink is opened again, or what is left under former marks is removed again.
const REOPEN: Duration = Duration::from_secs(5);

/// How often everything is compared with the kernel though nothing seems wrong. Reading a million routes
/// takes seconds.
const AUDIT: Duration = Duration::from_secs(600);

/// What the kernel, or the way to it, says.
pub(super) enum Input {
    /// Something happened in the kernel.
    Event(KernelEvent),
    /// The planner has a dump to compare with, and goes on with that.
    Comparing,
    /// The batch that was out is done.
    Replies(Outcomes),
    /// What was left under these marks is removed, or not all of it.
    Cleared(BTreeSet<Marks>, Result<Removed, RemovalError>),
    /// The netlink task is gone.
    Gone,
}

/// The kernel as the core sees it.
pub(super) struct Kernel {
    seed: u64,
    planner: Planner,
    view: KernelView,
    /// What is read of the tables of others.
    imported: Imported,
    /// Which of those shall be read.
    wanted_tables: BTreeSet<u32>,
    /// The table that shall lead to next hops.
    next_hop_table: u32,
    /// The resolver's generation at the last round.
    resolved: u64,
    netlink: Option<Link>,
    /// Whether learned routes go into the kernel.
    install: bool,
    /// The source addresses that routes shall prescribe, and those of them that this node has.
    sources: Vec<IpAddr>,
    present_sources: Vec<IpAddr>,
    /// The marks to use once the last batch under the present ones is answered.
    next: Option<FibConfig>,
    /// The marks that there may be routes of ours under.
    recorded: Recorded,
    /// When to try again to remove what is left under former ones.
    clear_at: Option<Instant>,
    /// How routes shall name their next hops; a kernel without objects has the planner do otherwise.
    style: NexthopStyle,
    /// When to compare everything with the kernel.
    audit_at: Option<Instant>,
    /// Whether the planner has its first dump.
    known: bool,
    /// Whether adopted routes that nobody wants may go, once everything wanted is known.
    recovered: bool,
    /// Whether this planner's have gone.
    swept: bool,
    /// When to try netlink again.
    reopen_at: Option<Instant>,
    error: Option<String>,
    warned: bool,
}

/// The netlink task.
struct Link {
    handle: NetlinkHandle,
    events: mpsc::Receiver<KernelEvent>,
    out: VecDeque<Submitted>,
    clearing: Option<Clearing>,
}

/// The removal of what is left under former marks.
struct Clearing {
    marks: BTreeSet<Marks>,
    task: JoinHandle<Result<Removed, RemovalError>>,
}

impl Kernel {
    pub(super) fn new(seed: u64, recorded: Recorded) -> Self {
        Self {
            seed,
            planner: Planner::new(FibConfig::default(), seed),
            view: KernelView::new(ResolverConfig::default()),
            imported: Imported::default(),
            wanted_tables: BTreeSet::new(),
            next_hop_table: FibConfig::TABLE_MAIN,
            resolved: 0,
            netlink: None,
            install: false,
            sources: Vec::new(),
            present_sources: Vec::new(),
            next: None,
            recorded,
            clear_at: None,
            style: FibConfig::default().nexthops,
            audit_at: None,
            known: false,
            recovered: false,
            swept: false,
            reopen_at: None,
            error: None,
            warned: false,
        }
    }

    /// These tables of others are to be read, from the next [`configure`](Self::configure) on.
    pub(super) fn import(&mut self, tables: impl Iterator<Item = u32>) {
        self.wanted_tables = tables.collect();
    }

    /// What is known of the tables of others.
    pub(super) const fn imported(&self) -> &Imported {
        &self.imported
    }

    /// Follows the configuration.
    pub(super) fn configure(&mut self, now: Instant, kernel: &compile::Kernel, rib: &mut Rib) {
        let Some(config) = translate::fib(kernel) else {
            return;
        };
        let installed = std::mem::replace(&mut self.install, kernel.install);
        self.sources.clone_from(&kernel.sources);
        self.next_hop_table = kernel.next_hop_table;
        if self.netlink.is_none() {
            self.open(now, config, rib);
        } else if self.planner.config().marks() == config.marks() && self.reads_what_is_wanted() {
            self.next = None;
            if self.style != config.nexthops {
                self.style = config.nexthops;
                self.planner.set_nexthop_style(config.nexthops);
            }
            if !kernel.install {
                self.planner.withdraw_all();
            } else if !installed {
                rib.repeat_fib();
            }
        } else {
            info!(
                table = config.table,
                metric = config.metric,
                protocol = config.protocol,
                next_hops = self.next_hop_table,
                read = ?self.wanted_tables,
                "other kernel tables or marks"
            );
            self.next = Some(config);
        }
        self.follow_sources(rib);
        self.push(now, rib);
    }

    fn reads_what_is_wanted(&self) -> bool {
        let wanted = self.wanted_tables.iter().copied();
        self.imported.tables().eq(wanted) && self.view.table() == self.next_hop_table
    }

    /// Addresses come and go; the kernel refuses routes that prescribe one that is not there.
    fn follow_sources(&mut self, rib: &mut Rib) {
        let wanted = self.sources.iter().copied();
        let present: Vec<IpAddr> = wanted.filter(|it| self.view.is_own(*it)).collect();
        if self.present_sources != present {
            self.present_sources = present;
            rib.repeat_fib();
        }
    }

    /// The route with the source address that it shall prescribe.
    fn sourced(&self, prefix: Prefix, route: Route) -> Route {
        let is_v4 = prefix.family() == Family::Ipv4Unicast;
        let mut sources = self.present_sources.iter();
        let prefsrc = match &route.kind {
            RouteKind::Unicast(_) => sources.find(|source| source.is_ipv4() == is_v4).copied(),
            RouteKind::Blackhole => None,
        };
        Route { prefsrc, ..route }
    }

    /// Opens netlink and begins anew under the marks of `config`.
    fn open(&mut self, now: Instant, mut config: FibConfig, rib: &mut Rib) {
        // Before the first route is written under them.
        self.recorded.note(config.marks());
        config.former = self.recorded.former(config.marks());
        self.known = false;
        self.swept = false;
        self.reopen_at = None;
        // What is known stays until the dump is here: nothing flaps for that.
        self.view.set_bgp_protocol(config.protocol);
        self.view.set_table(self.next_hop_table);
        let tables = self.wanted_tables.iter().copied();
        self.imported.read(tables.clone(), config.protocol);
        let former = config.former.iter().map(|marks| marks.table);
        let socket = NetlinkConfig {
            tables: former
                .chain([config.table, self.next_hop_table])
                .chain(tables)
                .collect(),
            ..NetlinkConfig::default()
        };
        match netlink::open(socket) {
            Ok((handle, events)) => {
                self.netlink = Some(Link {
                    handle,
                    events,
                    out: VecDeque::new(),
                    clearing: None,
                });
                self.error = None;
            }
            Err(cause) => {
                let cause = cause.to_string();
                if self.error.as_ref() != Some(&cause) {
                    error!(
                        reason = "netlink-unavailable",
                        "no access to the kernel's tables: {cause}"
                    );
                }
                self.error = Some(cause);
                self.netlink = None;
                self.reopen_at = Some(now + REOPEN);
            }
        }
        self.style = config.nexthops;
        let before = mem::replace(&mut self.planner, Planner::new(config, self.seed));
        self.planner.count_on_from(before);
        // The planner before this one took what it heard with it.
        rib.repeat_fib();
    }

    /// The next thing that the kernel says; never, if there is no kernel to talk to.
    pub(super) async fn next_event(&mut self) -> Input {
        if self.planner.is_comparing() {
            return Input::Comparing;
        }
        let Some(link) = &mut self.netlink else {
            return std::future::pending().await;
        };
        let replies = async {
            match link.out.front_mut() {
                Some(batch) => batch.outcomes().await,
                None => std::future::pending().await,
            }
        };
        let cleared = async {
            match &mut link.clearing {
                Some(clearing) => (&mut clearing.task).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            cleared = cleared => {
                let marks = link.clearing.take().map(|c| c.marks).unwrap_or_default();
                let closed = || Err(netlink::NetlinkError::Closed.into());
                Input::Cleared(marks, cleared.unwrap_or_else(|_| closed()))
            }
            event = link.events.recv() => event.map_or(Input::Gone, Input::Event),
            replies = replies => {
                link.out.pop_front();
                Input::Replies(replies)
            }
        }
    }

    pub(super) fn on_event(&mut self, now: Instant, input: Input) {
        match input {
            Input::Event(event) => {
                if matches!(event, KernelEvent::Synced(_)) {
                    self.known = true;
                    self.audit_at = Some(now + AUDIT);
                }
                if event == KernelEvent::Overrun {
                    warn!(
                        reason = "overrun",
                        "events of the kernel were lost; reading its tables again"
                    );
                }
                self.view.on_event(&event);
                self.imported.on_event(&event);
                self.planner.on_event(now, &event);
                // Last: a dump that has just come does not answer what happened while it was made.
                if self.imported.take_doubt() {
                    self.planner.audit(now);
                }
            }
            Input::Comparing => self.planner.compare(now, PIECE),
            Input::Replies(replies) => {
                for (_, result) in &replies {
                    self.report(result);
                }
                self.planner.on_replies(now, replies);
            }
            Input::Cleared(marks, Ok(removed)) => {
                info!(
                    routes = removed.routes,
                    nexthops = removed.nexthops,
                    "nothing is left under former marks"
                );
                self.recorded.forget(&marks);
                self.planner.forget_former_marks();
            }
            Input::Cleared(_, Err(cause)) => {
                warn!(reason = "former-marks-left", "{cause}; trying again");
                self.clear_at = Some(now + REOPEN);
            }
            Input::Gone => {
                error!(
                    reason = "netlink-gone",
                    "the connection to the kernel ended; routes stay as they are"
                );
                self.error = Some("the connection to the kernel ended".to_owned());
                self.netlink = None;
                self.reopen_at = Some(now + REOPEN);
            }
        }
    }

    /// Says the first refusal for want of privilege; the planner keeps the state of every route.
    fn report(&mut self, result: &Result<(), OpError>) {
        let Err(OpError::Refused(refused)) = result else {
            if result.is_ok() {
                self.warned = false;
            }
            return;
        };
        if refused.errno == libc::EPERM && !self.warned {
            self.warned = true;
            error!(
                reason = "permission-denied",
                "the kernel does not let this process change routes: CAP_NET_ADMIN is missing; sessions go on without"
            );
        } else {
            debug!(errno = refused.errno, "route refused: {refused}");
        }
    }

    /// What is known of links and addresses.
    pub(super) const fn view(&self) -> &KernelView {
        &self.view
    }

    /// Whether the kernel asks for a gateway in vain.
    pub(super) fn is_silent(&self, gateway: &Gateway) -> bool {
        let via = gateway.via;
        via.is_some_and(|via| self.view.is_silent(via, gateway.ifindex))
    }

    /// Looks up the next hops that routes wait for.
    pub(super) fn resolve_new_next_hops(&self, rib: &mut Rib) {
        rib.resolve_new(&self.view);
    }

    /// Looks up next hops: all where the kernel's state moved, else those that are new or that changed
    /// routes lead to.
    pub(super) fn resolve_next_hops(&mut self, rib: &mut Rib) {
        let generation = self.view.generation();
        if generation == self.resolved {
            rib.resolve_pending(&self.view);
        } else {
            self.resolved = generation;
            self.follow_sources(rib);
            rib.resolve(&self.view);
        }
    }

    /// Whether another batch can go, after the answers that have come are taken. Not while a dump is
    /// compared in pieces: an answer has to wait for all of it.
    pub(super) fn is_free(&mut self, now: Instant) -> bool {
        if self.planner.is_comparing() {
            return false;
        }
        loop {
            let Some(link) = &mut self.netlink else {
                return false;
            };
            let answered = link.out.front_mut().map(Submitted::outcomes);
            let Some(replies) = answered.and_then(FutureExt::now_or_never) else {
                return link.out.len() < BATCHES;
            };
            link.out.pop_front();
            self.on_event(now, Input::Replies(replies));
        }
    }

    /// Everything that has happened is with the planner, if the RIB has nothing more to say: who was lost needs
    /// not be avoided any longer.
    pub(super) fn caught_up(&mut self, rib: &Rib) {
        let takes = self.install && self.next.is_none();
        if takes && !rib.has_fib_changes() && !rib.has_pending_next_hops() {
            self.planner.caught_up();
        }
    }

    /// Takes over what the RIB wants, and meanwhile gives the kernel what it is free for. Of routes to new
    /// prefixes, if `others_wait`, only what the kernel would be idle without: it takes longer for a table than
    /// anybody else. True if there is more, for the next turn.
    pub(super) fn take_changes(&mut self, clock: Clock, rib: &mut Rib, others_wait: bool) -> bool {
        if !self.install || self.next.is_some() {
            return false;
        }
        for piece in 0..CHANGES / MOVED {
            let mut changes = if !others_wait || self.is_in_want() {
                rib.take_fib_changes(MOVED)
            } else if piece == 0 {
                // What keeps changing must not keep what is new from the kernel for ever.
                rib.take_fib_changes(FEW)
            } else {
                rib.take_urgent_fib_changes(MOVED)
            };
            if changes.is_empty() {
                break;
            }
            for (prefix, route) in &mut changes {
                *route = route.take().map(|route| self.sourced(*prefix, route));
            }
            self.planner.desire_all(changes);
            // Each time: an answer that has come meanwhile took that long.
            let now = clock.now();
            if self.is_free(now) {
                self.send(now);
            }
        }
        if !rib.has_fib_changes() && !rib.has_pending_next_hops() {
            self.planner.told_all(clock.now());
        }
        rib.has_fib_changes()
    }

    /// Whether the planner has less than the kernel may take until the next time.
    fn is_in_want(&self) -> bool {
        let link = self.netlink.as_ref();
        link.is_some_and(|link| self.planner.waiting() < BATCHES * link.handle.batch())
    }

    /// What was read from a neighbour at `read_at` is about to change the tables.
    pub(super) const fn arrival(&self, read_at: Instant) -> Arrival {
        self.planner.arrival(read_at)
    }

    /// It has: how long the kernel takes from then on is measured, if it is told.
    pub(super) fn follow(&mut self, arrival: Arrival) {
        if self.install && self.netlink.is_some() && self.next.is_none() {
            self.planner.follow(arrival);
        }
    }

    /// Gives the kernel what there is to do, if it is free for it.
    pub(super) fn push(&mut self, now: Instant, rib: &mut Rib) {
        self.begin_anew(now, rib);
        self.sweep(rib);
        if self.audit_at.take_if(|at| *at <= now).is_some() {
            self.planner.audit(now);
        }
        self.send(now);
        // Last: only now it shows whether anything is left to do.
        self.clear(now);
    }

    fn send(&mut self, now: Instant) {
        let Some(link) = &mut self.netlink else {
            return;
        };
        if self.next.is_some() {
            return;
        }
        if self.planner.take_resync_request(now) {
            link.handle.resync();
        }
        while link.out.len() < BATCHES {
            let batch = self.planner.next_batch(now, link.handle.batch());
            if batch.is_empty() {
                return;
            }
            link.out.push_back(link.handle.submit(batch));
        }
    }

    /// Nobody is at these places any more: before the RIB looks at each route that leads there, traffic
    /// moves away, wherever another neighbour is left that is as good.
    pub(super) fn avoid(&mut self, now: Instant, lost: &[Place]) {
        // Else nobody would say when it is over.
        if !self.install {
            return;
        }
        let mut moves = false;
        for (neighbour, link) in lost {
            moves |= self.planner.avoid(*neighbour, *link);
        }
        let Some(link) = self.netlink.as_mut().filter(|_| moves) else {
            return;
        };
        // One more than usual: this does not wait for the batches before it to be answered. When several
        // neighbours are lost one after the other, the later ones do; the netlink thread takes only so many.
        if link.out.len() > BATCHES {
            return;
        }
        let urgent = self.planner.next_batch(now, link.handle.batch());
        if !urgent.is_empty() {
            link.out.push_back(link.handle.submit(urgent));
        }
    }

    /// Removes what is left under former marks, once everything is there under the present ones.
    fn clear(&mut self, now: Instant) {
        let former = &self.planner.config().former;
        let settled = self.swept && self.next.is_none() && self.planner.is_quiescent();
        self.clear_at.take_if(|at| *at <= now);
        let Some(link) = self.netlink.as_mut().filter(|l| l.clearing.is_none()) else {
            return;
        };
        if former.is_empty() || !settled || !link.out.is_empty() || self.clear_at.is_some() {
            return;
        }
        let present = self.planner.config().protocol;
        let protocols = former.iter().map(|marks| marks.protocol);
        let removal = Removal {
            marks: former.iter().copied().collect(),
            // Objects with our present protocol are in use.
            objects_of: protocols.filter(|it| *it != present).collect(),
            first_nexthop_id: self.planner.config().first_nexthop_id.get(),
        };
        let handle = link.handle.clone();
        link.clearing = Some(Clearing {
            marks: removal.marks.clone(),
            task: tokio::spawn(async move { handle.remove(&removal).await }),
        });
    }

    /// Goes over to new marks when the last batch under the old ones is answered, and opens netlink
    /// again when it is time.
    fn begin_anew(&mut self, now: Instant, rib: &mut Rib) {
        let link = self.netlink.as_ref();
        let free = link.is_some_and(|l| l.out.is_empty() && l.clearing.is_none());
        let moving = free.then(|| self.next.take());
        let lost = self.reopen_at.take_if(|at| *at <= now);
        if let Some(config) = moving.flatten() {
            self.open(now, config, rib);
        } else if lost.is_some() {
            let config = self.next.take();
            let config = config.unwrap_or_else(|| self.planner.config().clone());
            self.open(now, config, rib);
        }
    }

    /// Whether the kernel's routes and links are known.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Whether routes of an earlier process were found.
    pub(super) fn has_adopted(&self, family: Family) -> bool {
        self.planner
            .iter()
            .any(|(prefix, state)| prefix.family() == family && state == InstallState::Stale)
    }

    /// The recovery after the start is over: adopted routes that nobody wants may go.
    pub(super) const fn recovered(&mut self) {
        self.recovered = true;
    }

    /// Removes adopted routes that nobody wants, once: when everything wanted is with the planner.
    fn sweep(&mut self, rib: &Rib) {
        let caught_up = !self.install || !(rib.has_fib_changes() || rib.has_pending_next_hops());
        if !self.recovered || self.swept || !self.known || self.next.is_some() || !caught_up {
            return;
        }
        self.swept = true;
        let before = self.planner.counters().swept;
        self.planner.sweep();
        let swept = self.planner.counters().swept - before;
        info!(
            swept,
            "recovery is over: adopted routes that nobody wants are removed"
        );
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.netlink.as_ref().is_some_and(|l| l.out.len() < BATCHES);
        // Under marks that are to be given up nothing more is written.
        let waiting = waiting && self.next.is_none();
        let planned = self.planner.poll_timeout().filter(|_| waiting);
        [planned, self.reopen_at, self.audit_at, self.clear_at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Why the kernel cannot be reached, or does not let us.
    pub(super) fn error(&self) -> Option<String> {
        let denied = self.warned.then(|| "CAP_NET_ADMIN is missing".to_owned());
        let trouble = self.netlink.as_ref().and_then(|l| l.handle.trouble());
        self.error
            .clone()
            .or(denied)
            .or(trouble.map(|t| t.to_string()))
    }

    /// The names of the links.
    pub(super) fn links(&self) -> BTreeMap<u32, String> {
        self.view
            .links()
            .map(|l| (l.ifindex, l.name.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
