//! What to make of the routes that an earlier process left in the kernel.
//!
//! They are adopted as stale: kept, and confirmed one by one as neighbours announce them again. They
//! go when every neighbour has sent its End-of-RIB, or when the restart time is over, whichever comes
//! first: a neighbour that is down does not keep the others waiting.
//!
//! Until every neighbour has told its initial table, what was learned is only part of the truth: a
//! route with two next hops would shrink to the one that was heard of first, and grow again. So the
//! kernel keeps what it has for a short time (RFC 4724 section 4.1): the Restarting Speaker "MUST
//! defer route selection for an address family until it either (a) receives the End-of-RIB marker
//! from all its peers […] or (b) the Selection_Deferral_Timer referred to below has expired". The same
//! goes for what is passed on: whoever keeps our routes over the restart lets go of those that it has not
//! heard again by our End-of-RIB, and what we have yet to learn cannot be among them. Our own routes
//! depend on no selection: a neighbour that is told nothing else has its End-of-RIB at once.
//!
//! Objects that an earlier process wrote down may lack what it heard last: a node that joined, and is no
//! neighbour yet, or a prefix of our own. So while they are all that is known neither the kernel nor a
//! neighbour lets go of anything before the restart time is over.

use std::time::Duration;

use redstart_bgp::{
    time::Instant,
    types::{Family, FamilySet},
};
use redstart_rib::rib::Complete;

use super::{kernel::Kernel, neighbours::Neighbours, translate::Restarted};
use crate::compile::DesiredState;

/// How long to wait for the kernel's first dump before starting without it.
const DUMP_TIMEOUT: Duration = Duration::from_secs(2);

/// The Selection_Deferral_Timer of RFC 4724: how long the kernel keeps exactly what it has, while
/// neighbours come back. Far below their restart times, because a neighbour that is dead for good
/// must not keep the news of the others out of the kernel.
const SELECTION_DEFERRAL: Duration = Duration::from_secs(5);

/// The restart time where no neighbour has one.
const DEFAULT_WINDOW: Duration = Duration::from_secs(120);

/// Where the process stands after its start.
#[derive(Debug, Default)]
pub(super) struct Restart {
    phase: Phase,
    /// When the neighbours may start at the latest.
    start_by: Option<Instant>,
    /// Until when the kernel is left as it is, at the latest.
    select_at: Option<Instant>,
    /// Until when learned routes are not told to be complete, at the latest.
    complete_at: Option<Instant>,
    /// When stale routes go at the latest.
    sweep_at: Option<Instant>,
    restarted: Restarted,
    /// Whether all that is known of the cluster is what the process before knew.
    recalled: bool,
    /// Whether a speaker ran here before, since the host booted.
    ran_before: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No configuration yet.
    #[default]
    Booting,
    /// Waiting for the kernel's dump.
    Dumping,
    /// Neighbours are started; stale routes are kept.
    Recovering,
    /// Done.
    Over,
}

impl Restart {
    /// `ran_before`: a speaker ran here before, since the host booted. Then whatever forwards here
    /// (the kernel's routes, and the pods behind our own prefixes) has outlived it, also where no
    /// route had been learned.
    pub(super) fn new(ran_before: bool) -> Self {
        Self {
            ran_before,
            ..Self::default()
        }
    }

    /// The first configuration is there.
    pub(super) fn begin(&mut self, now: Instant, desired: &DesiredState) {
        let window = desired
            .peers
            .values()
            .filter_map(|p| p.graceful_restart)
            .max();
        let window = window.map_or(DEFAULT_WINDOW, |s| Duration::from_secs(s.into()));
        self.phase = Phase::Dumping;
        self.start_by = Some(now + DUMP_TIMEOUT);
        self.sweep_at = Some(now + window);
    }

    /// Whether the neighbours may start now; true once.
    pub(super) fn take_start(&mut self, now: Instant, kernel: &Kernel) -> bool {
        let due = self.start_by.is_some_and(|by| by <= now);
        if self.phase != Phase::Dumping || !(kernel.is_known() || due) {
            return false;
        }
        let adopted: FamilySet = Family::ALL
            .into_iter()
            .filter(|f| kernel.has_adopted(*f))
            .collect();
        let forwarding = if self.ran_before {
            FamilySet::ALL
        } else {
            adopted
        };
        self.restarted = Restarted {
            restarting: !forwarding.is_empty(),
            forwarding,
        };
        self.phase = Phase::Recovering;
        self.start_by = None;
        self.select_at = (!adopted.is_empty()).then_some(now + SELECTION_DEFERRAL);
        let restarting = self.restarted.restarting;
        self.complete_at = restarting.then_some(now + SELECTION_DEFERRAL);
        true
    }

    /// Whether the objects are those that the process before knew.
    pub(super) const fn set_recalled(&mut self, recalled: bool) {
        self.recalled = recalled;
    }

    /// Whether something of what is kept may yet turn out to be wanted by objects that are not known.
    fn awaits_objects(&self, now: Instant) -> bool {
        self.recalled && self.restarted.restarting && self.sweep_at.is_some_and(|at| now < at)
    }

    /// Whether selection was deferred when that was last asked.
    pub(super) const fn is_deferring(&self) -> bool {
        self.select_at.is_some()
    }

    /// Whether the kernel is to be left as it is for now.
    pub(super) fn defers_selection(&mut self, now: Instant, neighbours: &Neighbours) -> bool {
        let Some(at) = self.select_at else {
            return false;
        };
        if at <= now || neighbours.all_initial_tables_received() {
            self.select_at = None;
        }
        self.select_at.is_some()
    }

    /// How much of what neighbours are told is known, now that they have started.
    pub(super) fn complete(
        &mut self,
        now: Instant,
        neighbours: &Neighbours,
        desired: &DesiredState,
    ) -> Complete {
        if let Some(at) = self.complete_at
            && (at <= now || neighbours.all_initial_tables_received_but_of_restarting())
        {
            self.complete_at = None;
        }
        if self.awaits_objects(now) {
            return Complete::Nothing;
        }
        if self.complete_at.is_none() {
            return Complete::All;
        }
        Complete::Own {
            reflects: desired.peers.values().any(|peer| peer.rules.client),
        }
    }

    /// What our OPENs say about the restart; `None` before the neighbours may start.
    pub(super) fn started(&self) -> Option<Restarted> {
        match self.phase {
            Phase::Booting | Phase::Dumping => None,
            Phase::Recovering => Some(self.restarted),
            // From now on only sessions are lost, never what the kernel holds.
            Phase::Over => Some(Restarted {
                restarting: false,
                forwarding: FamilySet::ALL,
            }),
        }
    }

    /// Whether stale routes may go now; true once.
    pub(super) fn is_over(&mut self, now: Instant, neighbours: &Neighbours) -> bool {
        let due = self.sweep_at.is_some_and(|at| at <= now);
        let done = !self.awaits_objects(now) && neighbours.all_initial_tables_received();
        if self.phase != Phase::Recovering || !(due || done) {
            return false;
        }
        self.phase = Phase::Over;
        self.sweep_at = None;
        true
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [
            self.start_by,
            self.select_at,
            self.complete_at,
            self.sweep_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc};

    use redstart_bgp::net::Clock;
    use redstart_rib::{Rib, RibConfig};
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        compile::{Kernel as KernelSpec, PeerName, Remote},
        speaker::{marks::Recorded, tests::passive_router},
    };

    fn desired() -> DesiredState {
        DesiredState::idle(KernelSpec::default())
    }

    fn no_neighbours() -> Neighbours {
        Neighbours::new(Clock::new(), mpsc::channel(1).0, 0)
    }

    /// A router at the other end of an interface that nobody has found yet.
    fn looked_for() -> Neighbours {
        let mut router = passive_router(SocketAddr::from(([192, 0, 2, 1], 179)));
        router.remote = Remote::Interface {
            name: "eth1".to_owned(),
            port: 179,
        };
        let mut desired = desired();
        desired.peers = Arc::new([(PeerName("tor".to_owned()), router.into())].into());
        let mut rib = Rib::new(RibConfig::default(), 0);
        let mut neighbours = no_neighbours();
        neighbours.apply(Instant::ZERO, &desired, Restarted::default(), &mut rib);
        neighbours
    }

    #[test]
    fn a_kernel_that_does_not_answer_holds_the_neighbours_back_for_a_moment_only() {
        let (kernel, mut restart) = (Kernel::new(0, Recorded::nowhere()), Restart::default());
        let begin = Instant::ZERO;
        assert!(!restart.take_start(begin, &kernel), "nothing is configured");
        restart.begin(begin, &desired());
        assert!(!restart.take_start(begin, &kernel));
        assert_eq!(restart.started(), None);
        assert_eq!(restart.poll_timeout(), Some(begin + DUMP_TIMEOUT));

        let late = begin + DUMP_TIMEOUT;
        assert!(restart.take_start(late, &kernel));
        assert!(!restart.take_start(late, &kernel), "once");
        // Nothing is known of an earlier process, so nothing is promised to the neighbours.
        assert_eq!(restart.started(), Some(Restarted::default()));
        assert!(!restart.defers_selection(late, &no_neighbours()));
    }

    #[test]
    fn a_process_after_another_says_that_forwarding_survived() {
        let (kernel, mut restart) = (Kernel::new(0, Recorded::nowhere()), Restart::new(true));
        restart.begin(Instant::ZERO, &desired());
        let late = Instant::ZERO + DUMP_TIMEOUT;
        assert!(restart.take_start(late, &kernel));
        let survived = Restarted {
            restarting: true,
            forwarding: FamilySet::ALL,
        };
        assert_eq!(restart.started(), Some(survived));
        // The kernel holds no route of ours: there is nothing to be careful about.
        assert!(!restart.defers_selection(late, &no_neighbours()));
    }

    #[test]
    fn learned_routes_are_complete_in_time_whoever_is_dead() {
        let (kernel, mut restart) = (Kernel::new(0, Recorded::nowhere()), Restart::new(true));
        let mut desired = desired();
        restart.begin(Instant::ZERO, &desired);
        let begin = Instant::ZERO + DUMP_TIMEOUT;
        restart.take_start(begin, &kernel);
        let neighbours = looked_for();
        let own = |reflects| Complete::Own { reflects };
        assert_eq!(restart.complete(begin, &neighbours, &desired), own(false));
        let mut client = passive_router(SocketAddr::from(([192, 0, 2, 1], 179)));
        client.rules.client = true;
        desired.peers = Arc::new([(PeerName("client".to_owned()), client.into())].into());
        assert_eq!(restart.complete(begin, &neighbours, &desired), own(true));
        let end = begin + SELECTION_DEFERRAL;
        assert_eq!(restart.poll_timeout(), Some(end));
        assert_eq!(restart.complete(end, &neighbours, &desired), Complete::All);
        assert!(restart.poll_timeout() > Some(end));
    }

    #[test]
    fn a_first_start_has_nothing_to_wait_for() {
        let (kernel, mut restart) = (Kernel::new(0, Recorded::nowhere()), Restart::default());
        let (begin, desired) = (Instant::ZERO + DUMP_TIMEOUT, desired());
        restart.begin(Instant::ZERO, &desired);
        restart.take_start(begin, &kernel);
        let complete = restart.complete(begin, &looked_for(), &desired);
        assert_eq!(complete, Complete::All);
    }

    #[test]
    fn recovery_ends_once_and_leaves_no_timer() {
        let (kernel, mut restart) = (Kernel::new(0, Recorded::nowhere()), Restart::default());
        restart.begin(Instant::ZERO, &desired());
        let neighbours = no_neighbours();
        let late = Instant::ZERO + DUMP_TIMEOUT;
        assert!(!restart.is_over(late, &neighbours), "it has not begun");
        restart.take_start(late, &kernel);
        assert!(restart.is_over(late, &neighbours));
        assert!(!restart.is_over(late, &neighbours), "once");
        assert_eq!(restart.poll_timeout(), None);
        let from_now_on = restart.started().unwrap();
        assert!(!from_now_on.restarting);
        assert_eq!(from_now_on.forwarding, FamilySet::ALL);
    }

    /// A restart with objects that an earlier process wrote down, and when the neighbours started.
    fn recalled() -> (Restart, Instant) {
        let (kernel, mut restart) = (Kernel::new(0, Recorded::nowhere()), Restart::new(true));
        restart.begin(Instant::ZERO, &desired());
        restart.set_recalled(true);
        let begin = Instant::ZERO + DUMP_TIMEOUT;
        restart.take_start(begin, &kernel);
        (restart, begin)
    }

    #[test]
    fn what_is_kept_waits_for_objects_that_may_have_changed_since_they_were_written_down() {
        let (mut restart, begin) = recalled();
        let (neighbours, desired) = (no_neighbours(), desired());
        assert!(!restart.is_over(begin, &neighbours));
        let complete = restart.complete(begin, &neighbours, &desired);
        assert_eq!(complete, Complete::Nothing);

        restart.set_recalled(false);
        assert!(restart.is_over(begin, &neighbours));
        let complete = restart.complete(begin, &neighbours, &desired);
        assert_eq!(complete, Complete::All);
    }

    #[test]
    fn an_api_server_that_is_away_is_waited_for_until_the_restart_time_is_over() {
        let (mut restart, _) = recalled();
        let (neighbours, desired) = (no_neighbours(), desired());
        let end = Instant::ZERO + DEFAULT_WINDOW;
        let before = Instant::ZERO + (DEFAULT_WINDOW - Duration::from_millis(1));
        assert!(!restart.is_over(before, &neighbours));
        assert!(restart.is_over(end, &neighbours));
        let complete = restart.complete(end, &neighbours, &desired);
        assert_eq!(complete, Complete::All);
    }

    #[test]
    fn what_the_kernel_holds_waits_for_a_router_that_is_still_looked_for() {
        let (kernel, mut restart) = (Kernel::new(0, Recorded::nowhere()), Restart::new(true));
        restart.begin(Instant::ZERO, &desired());
        let begin = Instant::ZERO + DUMP_TIMEOUT;
        restart.take_start(begin, &kernel);
        let neighbours = looked_for();
        assert!(!restart.is_over(begin, &neighbours));
        assert!(restart.started().unwrap().restarting);
        let selected = restart.poll_timeout().unwrap();
        restart.complete(selected, &neighbours, &desired());
        assert!(!restart.is_over(selected, &neighbours));
        let end = restart.poll_timeout().unwrap();
        assert!(restart.is_over(end, &neighbours), "but not for ever");
    }
}
