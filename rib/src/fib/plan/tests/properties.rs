//! Arbitrary histories: whatever happens, once things are quiet the kernel holds what is desired,
//! each gap has a true reason, and nobody else's route was touched.

use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Pair, address, p, via};
use crate::{
    fib::{
        FibConfig, InstallState, KernelRoute, OpError, OpId, ParkReason, Route, RouteAction,
        RouteKind, errno,
    },
    nexthop::Gateway,
};

const PREFIXES: [&str; 6] = [
    "10.1.0.0/16",
    "10.2.0.0/16",
    "10.3.0.0/16",
    "fd01::/64",
    "fd02::/64",
    "0.0.0.0/0",
];

#[derive(Clone, Debug)]
enum Step {
    Desire(usize, Option<usize>),
    Link(u32, bool),
    Address(u32, bool),
    Foreign(usize, u32, u32),
    DeleteForeign(usize, u32),
    DeleteOurs(usize),
    Batch(usize),
    /// Send, but keep the answers back.
    Send(usize),
    /// Give the answers, or lose them.
    Answer(bool),
    Refuse(i32),
    Lose,
    Settle,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let prefix = 0..PREFIXES.len();
    let metric = prop_oneof![Just(0_u32), Just(FibConfig::METRIC.get()), Just(1024)];
    let errors = prop_oneof![
        Just(errno::ENOMEM),
        Just(errno::EINVAL),
        Just(errno::ENETUNREACH)
    ];
    prop_oneof![
        8 => (prefix.clone(), proptest::option::weighted(0.8, 0..4_usize)).prop_map(|(i, r)| Step::Desire(i, r)),
        2 => (2..4_u32, any::<bool>()).prop_map(|(l, up)| Step::Link(l, up)),
        1 => (2..4_u32, any::<bool>()).prop_map(|(l, on)| Step::Address(l, on)),
        2 => (prefix.clone(), metric.clone(), 2..4_u32).prop_map(|(i, m, l)| Step::Foreign(i, m, l)),
        2 => (prefix.clone(), metric).prop_map(|(i, m)| Step::DeleteForeign(i, m)),
        2 => prefix.prop_map(Step::DeleteOurs),
        4 => (1..4_usize).prop_map(Step::Batch),
        3 => (1..4_usize).prop_map(Step::Send),
        2 => proptest::bool::weighted(0.8).prop_map(Step::Answer),
        1 => errors.prop_map(Step::Refuse),
        1 => Just(Step::Lose),
        1 => Just(Step::Settle),
        1 => Just(Step::Restart),
    ]
}

/// The routes that can be wanted: over link 2, over link 3, over both, none.
fn route(prefix: &str, choice: usize) -> Route {
    let gateway = |link: u32| {
        let addr = match prefix.contains(':') {
            true => format!("fd00:{link}::9"),
            false => format!("10.0.{link}.9"),
        };
        Gateway::via(addr.parse().unwrap(), link)
    };
    match choice {
        0 => Route::unicast(gateway(2)),
        1 => Route::unicast(gateway(3)),
        2 => Route {
            kind: RouteKind::Unicast([gateway(2), gateway(3)].into_iter().collect()),
            prefsrc: None,
        },
        _ => Route::blackhole(),
    }
}

/// What was asked for, next to the pair under test.
struct Model {
    pair: Pair,
    answers: Vec<(OpId, Result<(), OpError>)>,
    desired: BTreeMap<&'static str, Route>,
    foreign: BTreeMap<(&'static str, u32), KernelRoute>,
    down: [bool; 2],
    unnumbered: [bool; 2],
}

impl Model {
    fn new() -> Self {
        let mut pair = Pair::new();
        pair.settle();
        Self {
            pair,
            answers: Vec::new(),
            desired: BTreeMap::new(),
            foreign: BTreeMap::new(),
            down: [false; 2],
            unnumbered: [false; 2],
        }
    }

    fn run(&mut self, step: &Step) {
        let metric = self.pair.metric();
        match *step {
            Step::Desire(i, choice) => self.desire(PREFIXES[i], choice),
            Step::Link(link, up) => {
                self.down[link as usize - 2] = !up;
                self.pair.kernel.set_link(link, up, up);
                self.follow_flushes();
            }
            Step::Address(link, on) => {
                let addr = address(link, &format!("10.0.{link}.1"), 24);
                self.unnumbered[link as usize - 2] = !on;
                match on {
                    true => self.pair.kernel.add_address(addr),
                    false => self.pair.kernel.remove_address(addr),
                }
                self.follow_flushes();
            }
            Step::Foreign(i, metric, link) if !self.down[link as usize - 2] => {
                self.pair.foreign(PREFIXES[i], metric, link);
                let route = self.pair.kernel.route(p(PREFIXES[i]), metric).unwrap();
                self.foreign.insert((PREFIXES[i], metric), route.clone());
                // The race that no planner can win: see the module's page.
                self.pair.events();
            }
            Step::Foreign(..) => {}
            Step::DeleteForeign(i, metric) => {
                if self.foreign.remove(&(PREFIXES[i], metric)).is_some() {
                    self.pair.kernel.delete_any(p(PREFIXES[i]), metric);
                }
            }
            Step::DeleteOurs(i) => {
                if self.pair.installed(PREFIXES[i]).is_some() {
                    self.pair.kernel.delete_any(p(PREFIXES[i]), metric);
                }
            }
            Step::Batch(max) => drop(self.pair.step(max)),
            Step::Send(max) => {
                self.pair.events();
                for op in self.pair.planner.next_batch(self.pair.now, max) {
                    let result = self.pair.kernel.apply(&op).map_err(OpError::from);
                    self.answers.push((op.id, result));
                }
            }
            Step::Answer(came) => self.answer(came),
            Step::Refuse(errno) => self.pair.kernel.refuse_next.push_back(errno),
            Step::Lose => self.pair.kernel.event_capacity = Some(0),
            Step::Settle => self.settle(),
            Step::Restart => {
                self.answers.clear();
                while self.pair.kernel.next_event().is_some() {}
                self.pair.restart();
                for (prefix, route) in &self.desired {
                    self.pair.desire(prefix, route.clone());
                }
                self.pair.events();
                self.pair.planner.sweep();
            }
        }
        self.foreign_untouched();
    }

    fn desire(&mut self, prefix: &'static str, choice: Option<usize>) {
        let route = choice.map(|c| route(prefix, c));
        self.pair.planner.desire(p(prefix), route.clone());
        match route {
            Some(route) => drop(self.desired.insert(prefix, route)),
            None => drop(self.desired.remove(prefix)),
        }
    }

    fn answer(&mut self, came: bool) {
        for (id, result) in self.answers.drain(..) {
            let result = if came { result } else { Err(OpError::Lost) };
            self.pair.planner.on_reply(self.pair.now, id, result);
        }
    }

    /// The kernel flushes foreign routes too; the model only forgets what it flushed itself.
    fn follow_flushes(&mut self) {
        let kernel = &self.pair.kernel;
        self.foreign
            .retain(|(prefix, metric), _| kernel.route(p(prefix), *metric).is_some());
    }

    fn foreign_untouched(&self) {
        for ((prefix, metric), route) in &self.foreign {
            assert_eq!(
                self.pair.kernel.route(p(prefix), *metric),
                Some(route),
                "somebody else's route was touched"
            );
        }
    }

    fn settle(&mut self) {
        self.answer(true);
        self.pair.kernel.event_capacity = None;
        self.pair.kernel.refuse_next.clear();
        self.pair.pass();
        self.pair.now = self.pair.now + Duration::from_secs(61);
        self.pair.settle();
        for prefix in PREFIXES {
            self.check(prefix);
        }
        for route in self.pair.kernel.routes() {
            let ours = self.pair.planner.config().is_ours(route);
            let known = self.desired.keys().any(|k| p(k) == route.prefix);
            assert!(!ours || known, "left behind: {route:?}");
        }
    }

    fn check(&self, prefix: &'static str) {
        let installed = self.pair.installed(prefix);
        let foreign = self.foreign.keys().any(|(f, _)| *f == prefix);
        match (self.pair.status(prefix), self.desired.get(prefix)) {
            (InstallState::NotDesired, None) => assert_eq!(installed, None),
            (InstallState::Installed, Some(want)) => {
                assert_eq!(installed.as_ref(), Some(want), "{prefix}");
                assert!(!foreign);
            }
            (InstallState::Parked(reason), Some(want)) => {
                let down = want
                    .gateways()
                    .iter()
                    .any(|g| self.down[g.ifindex as usize - 2]);
                match reason {
                    ParkReason::ForeignRoute { .. } => {
                        assert!(foreign && installed.is_none());
                    }
                    ParkReason::LinkDown => {
                        assert!(down && !foreign);
                        assert!(installed.is_none());
                    }
                    ParkReason::GatewayUnreachable => {
                        let lacks = |g: &Gateway| self.unnumbered[g.ifindex as usize - 2];
                        assert!(want.gateways().iter().any(lacks) && !foreign && !down);
                        assert!(installed.is_none());
                    }
                    other => panic!("{prefix}: untrue reason {other:?}"),
                }
            }
            (state, want) => panic!("{prefix}: {state:?} while {want:?} is wanted"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_ends_up_as_desired(steps in proptest::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.run(step);
        }
        model.settle();
    }
}

#[test]
fn a_foreign_action_that_we_never_make_is_still_respected() {
    let mut pair = Pair::new();
    pair.settle();
    let mut route = pair.kernel.foreign(
        p("10.1.0.0/16"),
        4,
        7,
        Gateway::via([0; 4].into(), 2).into(),
    );
    route.action = RouteAction::Refuse;
    pair.kernel.put_foreign(route);
    pair.desire("10.1.0.0/16", via("10.0.2.9", 2));
    assert_eq!(pair.settle(), []);
    assert_eq!(pair.status("10.1.0.0/16").to_string(), "foreign-route");
}
