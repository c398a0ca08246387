//! Arbitrary histories: whatever happens, once things are quiet the kernel holds what is desired,
//! each gap has a true reason, and nobody else's route was touched.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Pair, address, p, via};
use crate::{
    fib::{
        FibConfig, InstallState, KernelNexthop, KernelRoute, NexthopId, NexthopSpec, NexthopStyle,
        OpError, OpId, ParkReason, Route, RouteAction, RouteKind, errno,
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
pub(super) enum Step {
    Desire(usize, Option<usize>),
    Link(u32, bool),
    Carrier(u32, bool),
    /// Somebody deletes an object of ours.
    DeleteNexthop(usize),
    /// Somebody takes an id that is ours.
    TakeNexthop(u32),
    /// The session with the neighbour on this link is lost.
    Avoid(u32),
    CaughtUp,
    Address(u32, bool),
    Foreign(usize, u32, u32),
    DeleteForeign(usize, u32),
    DeleteOurs(usize),
    Batch(usize),
    /// Send, but keep the answers back.
    Send(usize),
    /// Have the kernel dumped, and read that later.
    Audit,
    /// From now on it takes a while until a dump is there, and much happens meanwhile.
    DumpTakes(u32),
    /// Send and hear the answers, before the dump that is waiting is read.
    SendUnread(usize),
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
        2 => (2..4_u32, any::<bool>()).prop_map(|(l, up)| Step::Carrier(l, up)),
        1 => (0..8_usize).prop_map(Step::DeleteNexthop),
        1 => (0..8_u32).prop_map(Step::TakeNexthop),
        1 => (2..4_u32).prop_map(Step::Avoid),
        1 => Just(Step::CaughtUp),
        1 => (2..4_u32, any::<bool>()).prop_map(|(l, on)| Step::Address(l, on)),
        2 => (prefix.clone(), metric.clone(), 2..4_u32).prop_map(|(i, m, l)| Step::Foreign(i, m, l)),
        2 => (prefix.clone(), metric).prop_map(|(i, m)| Step::DeleteForeign(i, m)),
        2 => prefix.prop_map(Step::DeleteOurs),
        4 => (1..4_usize).prop_map(Step::Batch),
        3 => (1..4_usize).prop_map(Step::Send),
        2 => Just(Step::Audit),
        1 => (0..4_u32).prop_map(Step::DumpTakes),
        3 => (1..4_usize).prop_map(Step::SendUnread),
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

fn stranger(id: NexthopId) -> KernelNexthop {
    KernelNexthop {
        id,
        protocol: 4,
        spec: None,
    }
}

/// What was asked for, next to the pair under test.
struct Model {
    pair: Pair,
    answers: Vec<(OpId, Result<(), OpError>)>,
    desired: BTreeMap<&'static str, Route>,
    foreign: BTreeMap<(&'static str, u32), KernelRoute>,
    strangers: BTreeSet<NexthopId>,
    down: [bool; 2],
    without_carrier: [bool; 2],
    unnumbered: [bool; 2],
}

impl Model {
    fn new(style: NexthopStyle) -> Self {
        let mut pair = Pair::with(style);
        pair.piece = 1;
        pair.settle();
        Self {
            pair,
            answers: Vec::new(),
            desired: BTreeMap::new(),
            foreign: BTreeMap::new(),
            strangers: BTreeSet::new(),
            down: [false; 2],
            without_carrier: [false; 2],
            unnumbered: [false; 2],
        }
    }

    #[expect(clippy::too_many_lines, reason = "a few lines for each kind of step")]
    fn run(&mut self, step: &Step) {
        let metric = self.pair.metric();
        match *step {
            Step::Desire(i, choice) => self.desire(PREFIXES[i], choice),
            Step::Link(link, up) => {
                self.down[link as usize - 2] = !up;
                let carrier = !self.without_carrier[link as usize - 2];
                self.pair.kernel.set_link(link, up, carrier);
                self.follow_flushes();
            }
            Step::Carrier(link, carrier) => {
                self.without_carrier[link as usize - 2] = !carrier;
                let up = !self.down[link as usize - 2];
                self.pair.kernel.set_link(link, up, carrier);
            }
            Step::DeleteNexthop(i) => {
                let id = self.pair.kernel.nexthops().nth(i).map(|n| n.id);
                if let Some(id) = id.filter(|id| !self.strangers.contains(id)) {
                    self.pair.kernel.delete_any_nexthop(id);
                    self.pair.events();
                }
            }
            Step::TakeNexthop(offset) => {
                let id = NexthopId(FibConfig::FIRST_NEXTHOP_ID.get() + offset);
                // Who does not hear of it can overwrite it.
                let heard = self.pair.kernel.event_capacity.is_none();
                if heard && self.pair.kernel.nexthops().all(|n| n.id != id) {
                    self.pair.kernel.put_foreign_nexthop(stranger(id));
                    self.strangers.insert(id);
                    self.pair.events();
                }
            }
            Step::Avoid(link) => {
                self.pair
                    .planner
                    .avoid(format!("10.0.{link}.9").parse().unwrap(), None);
            }
            Step::CaughtUp => self.pair.planner.caught_up(),
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
            Step::Audit => {
                self.pair.events();
                self.pair.planner.audit(self.pair.now);
                self.pair.ask_for_dump();
            }
            Step::DumpTakes(turns) => self.pair.kernel.dump_takes = turns,
            Step::SendUnread(max) => drop(self.pair.send_unread(max)),
            Step::Answer(came) => self.answer(came),
            Step::Refuse(errno) => self.pair.kernel.refuse_next.push_back(errno),
            Step::Lose => self.pair.kernel.event_capacity = Some(0),
            Step::Settle => self.settle(),
            Step::Restart => {
                self.answers.clear();
                while self.pair.kernel.next_event().is_some() {}
                // Who knows nothing yet sweeps nothing.
                let takes = core::mem::take(&mut self.pair.kernel.dump_takes);
                self.pair.restart();
                self.pair.kernel.dump_takes = takes;
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
        for id in &self.strangers {
            let there = self.pair.kernel.nexthops().find(|n| n.id == *id);
            assert_eq!(
                there,
                Some(&stranger(*id)),
                "somebody else's object was touched"
            );
        }
    }

    fn settle(&mut self) {
        self.answer(true);
        self.pair.kernel.event_capacity = None;
        self.pair.kernel.dump_takes = 0;
        self.pair.kernel.refuse_next.clear();
        self.pair.planner.caught_up();
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
        self.check_nexthops();
    }

    /// Every object of ours is named by a route, or is a leg of one that is.
    fn check_nexthops(&mut self) {
        // Once what is unused has been unused for long enough.
        for _ in 0..3 {
            self.pair.now = self.pair.now + Duration::from_secs(61);
            self.pair.settle();
        }
        let kernel = &self.pair.kernel;
        let named: BTreeSet<_> = kernel.routes().filter_map(|r| r.nexthop).collect();
        let groups = kernel.nexthops().filter(|n| named.contains(&n.id));
        let mut used = named.clone();
        // A leg of a group whose other leg is refused is there for the next attempt.
        let waits = |prefix: &&&str| matches!(self.pair.status(prefix), InstallState::Parked(_));
        if self.desired.keys().any(|prefix| waits(&prefix)) {
            let legs = kernel
                .nexthops()
                .filter(|n| matches!(n.spec, Some(NexthopSpec::Leg(_))));
            used.extend(legs.map(|n| n.id));
        }
        for nexthop in groups {
            if let Some(NexthopSpec::Group(group)) = &nexthop.spec {
                used.extend(group.members.iter().map(|m| m.leg));
            }
        }
        for nexthop in kernel.nexthops() {
            let ours = nexthop.protocol == FibConfig::PROTOCOL_BGP;
            assert!(
                !ours || used.contains(&nexthop.id),
                "left behind: {nexthop:?}"
            );
        }
        let wanted = |id: &NexthopId| kernel.nexthops().any(|n| n.id == *id);
        assert!(named.iter().all(wanted));
    }

    /// What of a route shall be there: a group has only those legs that can be used.
    fn living(&self, want: &Route) -> Route {
        let RouteKind::Unicast(set) = &want.kind else {
            return want.clone();
        };
        if self.pair.planner.config().nexthops == NexthopStyle::Inline {
            return want.clone();
        }
        Route {
            kind: RouteKind::Unicast(set.filter(|g| !self.is_dead(g))),
            prefsrc: want.prefsrc,
        }
    }

    /// Whether the kernel refuses the gateway for the state of its link.
    fn is_dead(&self, gateway: &Gateway) -> bool {
        let link = gateway.ifindex as usize - 2;
        let objects = self.pair.planner.config().nexthops != NexthopStyle::Inline;
        self.down[link] || objects && self.without_carrier[link]
    }

    fn check(&self, prefix: &'static str) {
        let installed = self.pair.installed(prefix);
        let foreign = self.foreign.keys().any(|(f, _)| *f == prefix);
        match (self.pair.status(prefix), self.desired.get(prefix)) {
            (InstallState::NotDesired, None) => assert_eq!(installed, None),
            (InstallState::Installed, Some(want)) => {
                assert_eq!(installed.as_ref(), Some(&self.living(want)), "{prefix}");
                assert!(!foreign);
            }
            (InstallState::Parked(reason), Some(want)) => {
                let down = want.gateways().iter().any(|g| self.is_dead(g));
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

/// Lives through a history, and checks what came of it.
pub(super) fn replay(style: NexthopStyle, steps: &[Step]) {
    let mut model = Model::new(style);
    for step in steps {
        model.run(step);
        // Whose routes are in the way is found out piece by piece.
        if !model.pair.planner.is_comparing() {
            model.pair.totals_are_nearly_right();
        }
    }
    model.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_ends_up_as_desired(steps in proptest::collection::vec(step(), 1..60)) {
        replay(NexthopStyle::Inline, &steps);
    }

    #[test]
    fn the_kernel_ends_up_as_desired_with_objects(steps in proptest::collection::vec(step(), 1..60)) {
        replay(NexthopStyle::Objects { resilient: None }, &steps);
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
