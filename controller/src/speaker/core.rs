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
    time::Instant,
    types::Prefix,
};
use redstart_rib::{Rib, RibConfig};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    abilities::Abilities,
    bfd::Watch,
    drain::Draining,
    gateways::Gateways,
    hold_down::HoldDown,
    kernel::Kernel,
    listeners::Listeners,
    marks::Recorded,
    neighbours::Neighbours,
    objects::{Configured, log_difference},
    origin::Origin,
    restart::Restart,
    transition::Transition,
    translate,
    unnumbered::Unnumbered,
    views,
};
use crate::{
    compile::{DesiredState, DrainReason, NodeIdentity, PeerName, Spare},
    control::{Held, Query},
    diagnostic::Diagnostic,
};

/// Events of neighbours that may wait for the core, all neighbours together. One can be the routes of
/// 64 KiB, which take some ten times that. A neighbour that finds it full stops reading from its socket.
const PEER_EVENTS: usize = 16;

/// Connections from listen ranges that may wait for the core. Beyond, they are refused.
const NEWCOMERS: usize = 64;

/// Events of neighbours taken before everybody else gets a turn.
const BURST: usize = 8;

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
    hold_down: HoldDown,
    /// That, with what is left of the topology before, without what is held down, and as far as this
    /// node is drained.
    pub(super) in_force: Option<Arc<DesiredState>>,
    pub(super) configured_at: Option<Timestamp>,
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
            bfd: Watch::new(clock, seed),
            restart: Restart::new(ran_before),
            configured: Configured::default(),
            abilities: Abilities::probe(),
            lacking: Vec::new(),
            target: None,
            transition: Transition::default(),
            draining: Draining::default(),
            hold_down: HoldDown::default(),
            in_force: None,
            configured_at: None,
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
                    self.configure(configured);
                }
                Some(query) = inputs.asked.recv() => match query {
                    Query::Operate(what, whom, reply) => _ = reply.send(self.operate(what, &whom)),
                    query => views::answer(&self, query),
                },
                _ = self.from_peers.recv_many(&mut burst, BURST) => {
                    let now = self.clock.now();
                    self.rib.set_time(now);
                    for event in burst.drain(..) {
                        // Whoever pulls must see what the announcements before it lead to.
                        if matches!(event, FromPeer::Pull { .. }) {
                            self.kernel.resolve_next_hops(&mut self.rib);
                        }
                        if let Some(lost) = self.neighbours.lost_by(&event) {
                            self.kernel.avoid(now, lost);
                        }
                        let links = self.kernel.view();
                        self.neighbours.on_event(now, event, links, &mut self.rib);
                    }
                }
                Some(FromListener::Newcomer(newcomer)) = self.newcomers.recv() => {
                    self.welcome(newcomer);
                }
                () = self.unnumbered.changed() => {}
                () = self.bfd.changed() => self.on_path_failures(),
                event = self.kernel.next_event() => self.kernel.on_event(self.clock.now(), event),
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
    }

    fn on_path_failures(&mut self) {
        for (name, failure) in self.bfd.take_failures() {
            self.neighbours.path_failed(&name, failure, &mut self.rib);
        }
    }

    /// What follows from whatever just happened.
    fn settle(&mut self) {
        let now = self.clock.now();
        self.listeners.retry(now, &self.neighbours);
        self.start_neighbours(now);
        self.find_routers(now);
        self.neighbours.on_time(now, &mut self.rib);
        self.move_on(now);
        if self.neighbours.take_members_left() {
            self.introduce(now);
        }
        self.follow_kernel();
        self.kernel.resolve_next_hops(&mut self.rib);
        self.unsettled = !self.restart.defers_selection(now, &self.neighbours)
            && self.kernel.take_changes(&mut self.rib);
        if self.restart.is_over(now, &self.neighbours) {
            self.kernel.recovered();
            self.apply(now);
        }
        self.neighbours.wake(self.rib.take_ready_peers());
        self.kernel.push(now, &mut self.rib);
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
            self.unnumbered.poll_timeout(self.clock.now()),
            self.hold_down.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Makes the engine match what the objects say, by difference.
    fn configure(&mut self, configured: Configured) {
        self.configured = configured;
        let Some(desired) = self.configured.desired.clone() else {
            return;
        };
        if self
            .target
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, &desired))
        {
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
        let (last, services) = (self.target.as_deref(), &self.configured.services);
        self.hold_down.begin(now, last, &desired, services);
        self.target = Some(desired);
        self.configured_at = Some(Timestamp::now());
        self.put_in_force(now);
    }

    /// What only time allows: ending sessions that are not needed any more, withdrawing routes that
    /// traffic was told to avoid.
    fn move_on(&mut self, now: Instant) {
        let Some(target) = self.target.clone() else {
            return;
        };
        let due = self.transition.poll_timeout().is_some_and(|at| at <= now);
        let moved = due && {
            let (neighbours, rib) = (&self.neighbours, &self.rib);
            let served = neighbours.is_served_by_mesh(&target);
            let standing = |name: &PeerName, spare: &Spare| neighbours.standing(name, spare, rib);
            self.transition.poll(now, &target, served, standing)
        };
        if self.draining.poll(now) | self.hold_down.poll(now) | moved {
            self.put_in_force(now);
        }
    }

    fn put_in_force(&mut self, now: Instant) {
        let Some(target) = &self.target else {
            return;
        };
        let mut desired = self.transition.in_force(target);
        if self.hold_down.is_under_way() {
            self.hold_down.apply(Arc::make_mut(&mut desired));
        }
        if self.draining.is_under_way() {
            self.draining.apply(Arc::make_mut(&mut desired));
        }
        self.in_force = Some(desired);
        self.apply(now);
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
        if self.gateways.follow(links, &mut self.neighbours) | found {
            self.apply(now);
        }
    }

    fn apply(&mut self, now: Instant) {
        let Some(desired) = self.in_force.clone() else {
            return;
        };
        let Some(restarted) = self.restart.started() else {
            return;
        };
        self.rib.set_owners(desired.owners.clone());
        self.neighbours
            .apply(now, &desired, restarted, &mut self.rib);
        self.neighbours
            .follow_our_ends(self.kernel.view(), &mut self.rib);
        self.introduce(now);
        // The routes of our own are complete: every kind of object was listed.
        self.rib.release_end_of_rib();
    }

    /// Makes a neighbour of whoever connected from a listen range.
    fn welcome(&mut self, newcomer: Newcomer) {
        let now = self.clock.now();
        let Some((desired, restarted)) = self.in_force.clone().zip(self.restart.started()) else {
            return;
        };
        if self.neighbours.welcome(now, newcomer, &desired, restarted) {
            self.introduce(now);
        }
    }

    /// Tells listeners, BFD and originations who the neighbours are.
    fn introduce(&mut self, now: Instant) {
        let Some(desired) = self.in_force.clone() else {
            return;
        };
        self.listeners.apply(now, &desired.listen, &self.neighbours);
        let specs = self.neighbours.iter().map(|(name, n)| (name, &n.spec));
        self.bfd.apply(specs);
        self.originate(&desired);
    }

    fn originate(&mut self, desired: &DesiredState) {
        let (ids, view) = (self.neighbours.ids(), self.kernel.view());
        let mut originations = translate::originations(&desired.originations, &ids);
        translate::add_interfaces(&mut originations, &desired.interfaces, view, &ids);
        let imported = self.kernel.imported();
        translate::add_kernel_tables(&mut originations, &desired.kernel_tables, imported, &ids);
        self.rib.set_originations(originations);
    }

    /// Addresses of network interfaces come and go, and so do routes in the tables of others. Our ends
    /// of the sessions follow, and so does what of them is advertised.
    fn follow_kernel(&mut self) {
        let links = self.kernel.view();
        let seen = (links.link_generation(), self.kernel.imported().generation());
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

/// Keys the hash tables: prefixes are chosen by others, so it must not be guessable.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}
