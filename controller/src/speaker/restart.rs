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
//! from all its peers […] or (b) the Selection_Deferral_Timer referred to below has expired".

use std::time::Duration;

use redstart_bgp::{
    time::Instant,
    types::{Family, FamilySet},
};

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
    /// When stale routes go at the latest.
    sweep_at: Option<Instant>,
    restarted: Restarted,
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
        true
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
        let done = neighbours.all_initial_tables_received();
        if self.phase != Phase::Recovering || !(due || done) {
            return false;
        }
        self.phase = Phase::Over;
        self.sweep_at = None;
        true
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.start_by, self.select_at, self.sweep_at]
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
        desired.peers = Arc::new([(PeerName("tor".to_owned()), router)].into());
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

    #[test]
    fn what_the_kernel_holds_waits_for_a_router_that_is_still_looked_for() {
        let (kernel, mut restart) = (Kernel::new(0, Recorded::nowhere()), Restart::new(true));
        restart.begin(Instant::ZERO, &desired());
        let begin = Instant::ZERO + DUMP_TIMEOUT;
        restart.take_start(begin, &kernel);
        let neighbours = looked_for();
        assert!(!restart.is_over(begin, &neighbours));
        assert!(restart.started().unwrap().restarting);
        let end = restart.poll_timeout().unwrap();
        assert!(restart.is_over(end, &neighbours), "but not for ever");
    }
}
