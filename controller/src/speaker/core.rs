//! The core task: one owner of the tables, no lock.
//!
//! The loop takes whatever comes next (objects, sessions' events, the kernel's, questions, time),
//! lets the part concerned deal with it, and then settles: next hops are resolved, what changed for
//! the kernel goes to the planner, neighbours with something to pull are woken, and if the kernel is
//! free it gets the next batch. Nothing in here waits for anybody.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use redstart_bgp::{
    net::{Clock, FromListener, FromPeer, Newcomer},
    session::{Event, PeerId},
    time::Instant,
    types::Prefix,
    wire::Updates,
};
use redstart_rib::{Owners, Rib, RibConfig};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    abilities::Abilities,
    bfd::Watch,
    drain::{DrainMark, Draining},
    drops::Drops,
    gateways::Gateways,
    hold_down::{Change, HoldDown, Past, Told},
    kernel::{Input, Kernel},
    listeners::Listeners,
    marks::Recorded,
    neighbours::Neighbours,
    objects::{Configured, log_difference},
    origin::Origin,
    own_addresses::OwnAddresses,
    own_routes::{OnNode, OwnRoutes},
    restart::Restart,
    stations::Stations,
    transition::Transition,
    unnumbered::Unnumbered,
    update_log::Logging,
    views::{self, tcp_counters},
};
use crate::{
    compile::{DesiredState, DrainReason, NodeIdentity},
    control::{Held, Query},
    diagnostic::Diagnostic,
};

/// Events of neighbours that may wait for the core, all neighbours together. One can be the routes of
/// 32 KiB, which take some ten times that. A neighbour that finds it full stops reading from its socket.
const PEER_EVENTS: usize = 16;

/// Connections from listen ranges that may wait for the core. Beyond, they are refused.
const NEWCOMERS: usize = 64;

/// Events of neighbours taken before everybody else gets a turn.
const BURST: usize = 8;

/// Routes of a neighbour taken before the kernel is given what it is free for: it does not wait for all that was
/// read.
const PIECE: usize = 1024;

/// What the core hears besides neighbours and kernel.
pub(super) struct Inputs {
    /// What the objects say.
    pub(super) configuration: watch::Receiver<Configured>,
    /// Questions.
    pub(super) asked: mpsc::Receiver<Query>,
}

/// The owner of the tables.
pub(super) struct Core {
    pub(super) clock: Clock,
    /// Wall-clock time of the clock's origin.
    pub(super) started: Timestamp,
    pub(super) node: String,
    pub(super) origin: Origin,
    pub(super) rib: Rib,
    pub(super) kernel: Kernel,
    pub(super) neighbours: Neighbours,
    pub(super) listeners: Listeners,
    pub(super) unnumbered: Unnumbered,
    /// The neighbours that are default gateways.
    pub(super) gateways: Gateways,
    pub(super) own_addresses: OwnAddresses,
    own_routes: OwnRoutes,
    pub(super) bfd: Watch,
    pub(super) restart: Restart,
    pub(super) configured: Configured,
    abilities: Abilities,
    /// What the objects ask for and this kernel does not have.
    pub(super) lacking: Vec<Diagnostic>,
    /// What the objects ask for.
    pub(super) target: Option<Arc<DesiredState>>,
    transition: Transition,
    pub(super) draining: Draining,
    drain_mark: DrainMark,
    hold_down: HoldDown,
    told: Told,
    pub(super) stations: Stations,
    pub(super) logging: Logging,
    /// That, with what is left of the topology before, without what is held down, and as far as this
    /// node is drained.
    pub(super) in_force: Option<Arc<DesiredState>>,
    pub(super) configured_at: Option<Timestamp>,
    /// Whose the prefixes of the mesh are, as the tables know it.
    owners: Arc<Owners>,
    /// What the kernel drops of TCP.
    pub(super) drops: Drops,
    /// The generations of the kernel's links and addresses, and of the tables of others, when sessions
    /// and originations last followed them.
    kernel_seen: (u64, u64),
    from_peers: mpsc::Receiver<FromPeer>,
    newcomers: mpsc::Receiver<FromListener>,
    /// Whether a part of the last event's consequences is left for the next turn.
    unsettled: bool,
}

impl Core {
    pub(super) fn new(
        clock: Clock,
        node: String,
        origin: Origin,
        ran_before: bool,
        recorded: Recorded,
        drain_mark: DrainMark,
        (told, past): (Told, Past),
    ) -> Self {
        let seed = seed();
        let (to_core, from_peers) = mpsc::channel(PEER_EVENTS);
        let (owner, newcomers) = mpsc::channel(NEWCOMERS);
        Self {
            clock,
            started: Timestamp::now(),
            node,
            origin,
            rib: Rib::new(RibConfig::default(), seed),
            kernel: Kernel::new(seed, recorded),
            neighbours: Neighbours::new(clock, to_core, seed),
            listeners: Listeners::new(owner),
            unnumbered: Unnumbered::new(clock, seed),
            gateways: Gateways::default(),
            own_addresses: OwnAddresses::default(),
            own_routes: OwnRoutes::default(),
            bfd: Watch::new(clock, seed),
            restart: Restart::new(ran_before),
            configured: Configured::default(),
            abilities: Abilities::probe(),
            lacking: Vec::new(),
            target: None,
            transition: Transition::default(),
            draining: Draining::resume(drain_mark.step()),
            drain_mark,
            hold_down: HoldDown::after(past),
            told,
            stations: Stations::default(),
            logging: Logging::default(),
            in_force: None,
            configured_at: None,
            owners: Arc::default(),
            drops: Drops::after(tcp_counters()),
            kernel_seen: (0, 0),
            from_peers,
            newcomers,
            unsettled: false,
        }
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, mut inputs: Inputs, stop: CancellationToken) {
        let mut burst = Vec::with_capacity(BURST);
        loop {
            let wake = self.clock.sleep_until(self.next_timeout());
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = inputs.configuration.changed() => {
                    let configured = inputs.configuration.borrow_and_update().clone();
                    let since = configured.arrivals.since(&self.configured.arrivals);
                    self.configure(configured);
                    self.pass_on_news(since);
                }
                Some(query) = inputs.asked.recv() => self.on_query(query),
                _ = self.from_peers.recv_many(&mut burst, BURST) => {
                    self.on_neighbours(&mut burst, &mut inputs.asked);
                }
                Some(event) = self.stations.next() => {
                    let started = self.started;
                    let wall = |at| views::wall(started, at);
                    self.stations.on_event(event, &self.neighbours, wall, &mut self.rib);
                }
                Some(FromListener::Newcomer(newcomer)) = self.newcomers.recv() => {
                    self.welcome(newcomer);
                }
                () = self.unnumbered.changed() => {}
                () = self.logging.changed() => {}
                () = self.bfd.changed() => self.on_path_failures(),
                event = self.kernel.next_event() => {
                    let is_piece = matches!(event, Input::Comparing);
                    self.kernel.on_event(self.clock.now(), event);
                    if is_piece {
                        // The next one is there at once: whoever else has something to say comes first.
                        tokio::task::yield_now().await;
                    }
                }
                () = wake => {}
            }
            self.settle();
        }
        info!("closing the sessions");
        // First: a neighbour that only heard nothing any more would take the path for gone.
        self.bfd.farewell().await;
        let why = self.target.as_ref().and_then(|target| target.drain.why);
        let for_good = why == Some(DrainReason::Shutdown);
        self.neighbours.stop_all(for_good).await;
        self.logging.stop().await;
        self.stations.stop_all().await;
    }

    fn on_query(&mut self, query: Query) {
        match query {
            Query::Operate(what, whom, reply) => _ = reply.send(self.operate(what, &whom)),
            query => views::answer(self, query),
        }
    }

    fn on_neighbours(&mut self, burst: &mut Vec<FromPeer>, asked: &mut mpsc::Receiver<Query>) {
        let now = self.clock.now();
        self.rib.set_time(now);
        // Whoever is lost is left before the tables are touched, all of them.
        let lost = burst.iter().flat_map(|it| self.neighbours.lost_by(it));
        self.kernel.avoid(now, &lost.collect::<Vec<_>>());
        for event in burst.drain(..) {
            self.on_neighbour(event);
            // All of them may take longer than somebody who asks should wait, and one who asks is soon answered.
            if let Ok(query) = asked.try_recv() {
                // Of a route that has just come, nobody has looked for the next hop yet.
                self.kernel.resolve_new_next_hops(&mut self.rib);
                self.on_query(query);
            }
        }
    }

    fn on_neighbour(&mut self, event: FromPeer) {
        match event {
            FromPeer::Updates {
                peer,
                updates,
                read_at,
            } => self.on_updates(peer, &updates, read_at),
            event => {
                // Not that of the burst: what was dealt with before may have taken long.
                let mut now = self.clock.now();
                if let FromPeer::Event {
                    event: Event::AttemptFailed { .. },
                    ..
                } = &event
                {
                    self.drops.attempt_failed(now, tcp_counters);
                }
                // Whoever pulls must see what the announcements before it lead to, and what a member of a
                // range that has come up is to be told.
                if matches!(event, FromPeer::Pull { .. }) {
                    if self.neighbours.take_members_changed() {
                        self.introduce(now);
                    }
                    self.kernel.resolve_new_next_hops(&mut self.rib);
                    now = self.clock.now();
                }
                let links = self.kernel.view();
                self.neighbours.on_event(now, event, links, &mut self.rib);
            }
        }
    }

    /// Routes of a neighbour, which were read at once.
    fn on_updates(&mut self, peer: PeerId, updates: &Updates, read_at: Instant) {
        let arrival = self.kernel.arrival(read_at);
        let mut rest = updates.iter();
        while !rest.is_empty() {
            // Of each piece: what took the kernel long must not look as if it had not.
            let now = self.clock.now();
            let piece = (&mut rest, PIECE);
            self.neighbours.on_updates(now, peer, piece, &mut self.rib);
            // What is held back on purpose is no latency.
            if self.restart.is_deferring() {
                continue;
            }
            if rest.is_empty() {
                self.kernel.follow(arrival);
            }
            // All of them take longer than the kernel for what it has been given, and this one took a while.
            let now = self.clock.now();
            if self.kernel.is_free(now) {
                self.kernel.resolve_new_next_hops(&mut self.rib);
                self.install(now, true);
            }
        }
    }

    /// What changed objects led to is known, and whom it concerns: nobody else had anything to pull that was
    /// not passed on when the last event was settled.
    fn pass_on_news(&mut self, since: Option<tokio::time::Instant>) {
        let Some(since) = since else {
            return;
        };
        let ready = self.rib.take_ready_peers();
        self.neighbours.have_news(self.clock.at(since), &ready);
        self.neighbours.wake(ready);
    }

    fn on_path_failures(&mut self) {
        let now = self.clock.now();
        let failures = self.bfd.take_failures();
        let neighbours = &self.neighbours;
        let lost = failures
            .iter()
            .flat_map(|(name, failure)| neighbours.lost_by_path(name, *failure));
        self.kernel.avoid(now, &lost.collect::<Vec<_>>());
        for (name, failure) in failures {
            self.neighbours.path_failed(&name, failure, &mut self.rib);
        }
    }

    /// What follows from whatever just happened.
    fn settle(&mut self) {
        let now = self.clock.now();
        self.drops.on_time(now, tcp_counters);
        self.listeners.retry(now, &self.neighbours);
        self.start_neighbours(now);
        self.find_routers(now);
        self.neighbours.on_time(now, &mut self.rib);
        self.move_on(now);
        if self.neighbours.take_members_changed() {
            self.introduce(now);
        }
        self.follow_kernel();
        self.kernel.resolve_next_hops(&mut self.rib);
        self.install(now, !self.from_peers.is_empty());
        // Not before: in the middle of a burst those are avoided who are not heard of as lost yet.
        if !self.unsettled {
            self.kernel.caught_up(&self.rib);
        }
        if self.restart.is_over(now, &self.neighbours) {
            self.kernel.recovered();
            self.apply(now);
        }
        self.tell_ends(now);
        self.neighbours.wake(self.rib.take_ready_peers());
        let sessions_changed = self.neighbours.take_sessions_changed();
        self.stations.wake(sessions_changed, &mut self.rib);
        self.kernel.push(now, &mut self.rib);
    }

    /// What the RIB wants goes to the planner, and from there to the kernel. Not all of it where others wait.
    fn install(&mut self, now: Instant, others_wait: bool) {
        self.kernel.avoid(now, &self.neighbours.take_lost());
        self.unsettled = !self.restart.defers_selection(now, &self.neighbours)
            && self
                .kernel
                .take_changes(self.clock, &mut self.rib, others_wait);
    }

    fn next_timeout(&self) -> Option<Instant> {
        if self.unsettled {
            return Some(Instant::ZERO);
        }
        [
            self.kernel.poll_timeout(),
            self.neighbours.poll_timeout(),
            self.listeners.poll_timeout(),
            self.restart.poll_timeout(),
            self.transition.poll_timeout(),
            self.draining.poll_timeout(),
            // Nobody is looked for before links and routes are known.
            self.unnumbered
                .poll_timeout(self.clock.now())
                .filter(|_| self.kernel.is_known()),
            self.gateways
                .poll_timeout()
                .filter(|_| self.kernel.is_known()),
            self.hold_down.poll_timeout(),
            Some(self.drops.poll_timeout()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Makes the engine match what the objects say, by difference.
    fn configure(&mut self, configured: Configured) {
        self.configured = configured;
        self.restart.set_recalled(self.configured.recalled);
        let Some(desired) = self.configured.desired.clone() else {
            return;
        };
        if self
            .target
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, &desired))
        {
            if !self.configured.recalled {
                self.hold_down.forget_past();
            }
            return;
        }
        let now = self.clock.now();
        if self.target.is_none() {
            self.restart.begin(now, &desired);
        }
        info!(
            peers = desired.peers.len(),
            originated = desired.originations.len(),
            node = desired.node.is_some(),
            "configuration in force"
        );
        let last = self.target.as_deref();
        if last.is_some_and(|last| last.is_alike_but_for_routes(&desired)) {
            self.configure_routes(now, desired);
            return;
        }
        self.rib.set_config(RibConfig {
            max_paths: desired.kernel.max_paths,
        });
        self.kernel.import(desired.kernel_tables.keys().copied());
        self.kernel.configure(now, &desired.kernel, &mut self.rib);
        self.unnumbered.apply(now, &desired, &mut self.neighbours);
        self.gateways.apply(now, &desired, &mut self.neighbours);
        let lacking = self.abilities.lacking(&desired);
        log_difference(&self.lacking, &lacking);
        self.lacking = lacking;
        let running = self.neighbours.rules();
        self.transition.begin(now, &desired, &running);
        self.draining.begin(now, &desired.drain);
        self.drain_mark.set(self.draining.step());
        self.hold_down(now, &desired);
        self.target = Some(desired);
        self.configured_at = Some(Timestamp::now());
        self.put_in_force(now);
    }

    /// The routes of our own are all that has changed, as they do with every Service: neighbours and
    /// kernel need not be looked at.
    fn configure_routes(&mut self, now: Instant, desired: Arc<DesiredState>) {
        self.hold_down(now, &desired);
        self.target = Some(desired);
        self.configured_at = Some(Timestamp::now());
        self.compose();
        if let Some(desired) = self.in_force.clone()
            && self.restart.started().is_some()
        {
            self.originate(&desired);
        }
    }

    fn hold_down(&mut self, now: Instant, target: &DesiredState) {
        let change = Change {
            last: self.target.as_deref(),
            target,
            services: &self.configured.services,
            recalled: self.configured.recalled,
        };
        self.hold_down.begin(now, change);
    }

    /// What only time allows: ending sessions that are not needed any more, withdrawing routes that
    /// traffic was told to avoid.
    fn move_on(&mut self, now: Instant) {
        let Some(target) = self.target.clone() else {
            return;
        };
        let due = self.transition.poll_timeout().is_some_and(|at| at <= now);
        let moved = due && {
            let sessions = self
                .neighbours
                .in_transition(&self.transition, &target, &self.rib);
            self.transition.poll(now, &target, &sessions)
        };
        if self.draining.poll(now) | self.hold_down.poll(now) | moved {
            self.drain_mark.set(self.draining.step());
            self.put_in_force(now);
        }
    }

    fn put_in_force(&mut self, now: Instant) {
        self.compose();
        self.apply(now);
    }

    /// Makes what is in force of the target.
    fn compose(&mut self) {
        let Some(target) = &self.target else {
            return;
        };
        let mut desired = self.transition.in_force(target);
        if self.hold_down.is_under_way() {
            self.hold_down.apply(Arc::make_mut(&mut desired));
        }
        self.told.note(&desired);
        if self.draining.is_under_way() {
            self.draining.apply(Arc::make_mut(&mut desired));
        }
        self.in_force = Some(desired);
    }

    /// Neighbours start once the kernel has told which routes an earlier process left: our OPEN says
    /// whether forwarding survived (RFC 4724 section 3, F bit).
    fn start_neighbours(&mut self, now: Instant) {
        if self.restart.take_start(now, &self.kernel) {
            self.apply(now);
        }
    }

    /// A router at the other end of an interface, or of the default route, is a neighbour once it is
    /// found.
    fn find_routers(&mut self, now: Instant) {
        if !self.kernel.is_known() {
            return;
        }
        let links = self.kernel.view();
        let found = self.unnumbered.follow(now, links, &mut self.neighbours);
        if self.gateways.follow(now, links, &mut self.neighbours) | found {
            self.apply(now);
        }
        if let Some(desired) = &self.in_force {
            let links = self.kernel.view();
            self.own_addresses.follow(desired, links);
        }
    }

    fn apply(&mut self, now: Instant) {
        let Some(desired) = self.in_force.clone() else {
            return;
        };
        let Some(restarted) = self.restart.started() else {
            return;
        };
        self.own_addresses.look_again();
        if self.owners != desired.owners {
            self.rib.set_owners(Owners::clone(&desired.owners));
            self.owners = Arc::clone(&desired.owners);
        }
        let log = self.logging.apply(&desired, self.clock);
        self.neighbours.log_to(log);
        self.neighbours
            .apply(now, &desired, restarted, &mut self.rib);
        self.stations.apply(&desired, self.started, &mut self.rib);
        self.neighbours
            .follow_our_ends(self.kernel.view(), &mut self.rib);
        self.introduce(now);
        self.tell_ends(now);
    }

    /// Tells neighbours that their initial tables are complete, as far as they are.
    fn tell_ends(&mut self, now: Instant) {
        if self.restart.started().is_none() {
            return;
        }
        if let Some(desired) = &self.in_force {
            let complete = self.restart.complete(now, &self.neighbours, desired);
            self.rib.set_complete(complete);
        }
    }

    /// Makes a neighbour of whoever connected from a listen range. It is introduced once it has a session.
    fn welcome(&mut self, newcomer: Newcomer) {
        let now = self.clock.now();
        let Some((desired, restarted)) = self.in_force.clone().zip(self.restart.started()) else {
            return;
        };
        self.neighbours.welcome(now, newcomer, &desired, restarted);
    }

    /// Tells listeners, BFD and originations who the neighbours are.
    fn introduce(&mut self, now: Instant) {
        let Some(desired) = self.in_force.clone() else {
            return;
        };
        self.neighbours.introduce_members();
        self.listeners.apply(now, &desired.listen, &self.neighbours);
        let specs = self.neighbours.iter().map(|(name, n)| (name, &*n.spec));
        self.bfd.apply(specs);
        self.originate(&desired);
    }

    fn originate(&mut self, desired: &Arc<DesiredState>) {
        let (ids, on_node) = (self.neighbours.ids(), on_node(&self.kernel));
        self.own_routes.follow(desired, ids, on_node, &mut self.rib);
    }

    /// Addresses of network interfaces come and go, and so do routes in the tables of others. Our ends
    /// of the sessions follow, and so does what of them is advertised.
    fn follow_kernel(&mut self) {
        let links = self.kernel.view();
        let seen = on_node(&self.kernel).generations();
        let before = std::mem::replace(&mut self.kernel_seen, seen);
        let (links_moved, tables_moved) = (seen.0 != before.0, seen.1 != before.1);
        if links_moved {
            self.neighbours.follow_our_ends(links, &mut self.rib);
        }
        let started = self.restart.started().is_some();
        if let Some(desired) = self.in_force.clone()
            && started
            && ((links_moved && !desired.interfaces.is_empty())
                || (tables_moved && !desired.kernel_tables.is_empty()))
        {
            self.originate(&desired);
        }
    }

    /// Which addresses of Services are held.
    pub(super) fn held(&self) -> BTreeMap<Prefix, Held> {
        self.hold_down.held()
    }

    /// Who this speaker is, once known.
    pub(super) fn identity(&self) -> Option<&NodeIdentity> {
        self.in_force.as_ref()?.node.as_ref()
    }
}

/// What the kernel has that may be advertised.
fn on_node(kernel: &Kernel) -> OnNode<'_> {
    OnNode {
        links: kernel.view(),
        tables: kernel.imported(),
    }
}

/// Keys the hash tables: prefixes are chosen by others, so it must not be guessable.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
