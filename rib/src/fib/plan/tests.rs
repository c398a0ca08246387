//! The invariants of the planner, one by one, against the fake kernel. Arbitrary histories are in
//! `properties`, and those that once went wrong in `histories`; what nexthop objects change is in
//! `nexthops`, the rest names gateways inline.

mod histories;
mod latency;
mod nexthops;
mod properties;
mod strangers;

use core::time::Duration;

use redstart_bgp::{
    time::Instant,
    types::{Ipv4Prefix, Ipv6Prefix, Prefix},
};

use crate::{
    fib::{
        Change, FibConfig, FibTotals, InstallState, KernelError, KernelEvent, KernelOp,
        LinkAddress, NexthopStyle, OpError, ParkReason, Planner, Request, Route, errno,
        fake::FakeKernel,
    },
    nexthop::Gateway,
};

const STATIC: u8 = 4;

fn p(s: &str) -> Prefix {
    s.parse().unwrap()
}

fn via(addr: &str, ifindex: u32) -> Route {
    Route::unicast(Gateway::via(addr.parse().unwrap(), ifindex))
}

fn address(ifindex: u32, addr: &str, len: u8) -> LinkAddress {
    let addr = addr.parse().unwrap();
    LinkAddress {
        ifindex,
        addr,
        subnet: Prefix::new(addr, len).unwrap(),
    }
}

fn config(nexthops: NexthopStyle) -> FibConfig {
    FibConfig {
        nexthops,
        ..FibConfig::default()
    }
}

/// A planner, its kernel and the time.
struct Pair {
    planner: Planner,
    kernel: FakeKernel,
    now: Instant,
    /// How much of a dump is compared at a time.
    piece: usize,
}

impl Pair {
    fn new() -> Self {
        Self::with(NexthopStyle::Inline)
    }

    /// Links 2 and 3 are up, with 10.0.LINK.1/24 and fd00:LINK::1/64.
    fn with(style: NexthopStyle) -> Self {
        let mut kernel = FakeKernel::new(FibConfig::TABLE_MAIN);
        for ifindex in [2, 3] {
            kernel.set_link(ifindex, true, true);
            kernel.add_address(address(ifindex, &format!("10.0.{ifindex}.1"), 24));
            kernel.add_address(address(ifindex, &format!("fd00:{ifindex}::1"), 64));
        }
        while kernel.next_event().is_some() {}
        kernel.request_dump();
        Self {
            planner: Planner::new(config(style), 7),
            kernel,
            now: Instant::ZERO,
            piece: usize::MAX,
        }
    }

    fn metric(&self) -> u32 {
        self.planner.config().metric.get()
    }

    /// A new planner over the same kernel.
    fn restart(&mut self) {
        self.planner = Planner::new(self.planner.config().clone(), 8);
        self.kernel.request_dump();
    }

    fn events(&mut self) {
        while let Some(event) = self.kernel.next_event() {
            self.planner.on_event(self.now, &event);
        }
        self.planner.compare(self.now, self.piece);
    }

    /// Has the kernel dumped if the planner wants that, and leaves the dump unread.
    fn ask_for_dump(&mut self) {
        if self.planner.take_resync_request(self.now) {
            self.kernel.request_dump();
        }
    }

    /// One batch; what was sent.
    fn step(&mut self, max: usize) -> Vec<KernelOp> {
        self.events();
        self.ask_for_dump();
        self.events();
        self.send_unread(max)
    }

    /// The same, without a look at what the kernel has said.
    fn send_unread(&mut self, max: usize) -> Vec<KernelOp> {
        let batch = self.planner.next_batch(self.now, max);
        for op in &batch {
            let result = self.kernel.apply(op).map_err(OpError::from);
            self.planner.on_reply(self.now, op.id, result);
        }
        batch
    }

    /// Until nothing is left to do now; what was sent.
    fn settle(&mut self) -> Vec<KernelOp> {
        let mut sent = Vec::new();
        for _ in 0..1000 {
            let batch = self.step(16);
            if batch.is_empty() && self.planner.is_quiescent() {
                self.totals_are_right();
                return sent;
            }
            sent.extend(batch);
        }
        panic!("does not come to rest: {:?}", self.planner.counters());
    }

    fn count_one_by_one(&self) -> FibTotals {
        let mut totals = FibTotals::default();
        for (prefix, state) in self.planner.iter() {
            totals.add(&state, prefix.family(), 1);
        }
        totals
    }

    /// What is counted at rest is what each prefix says of itself.
    fn totals_are_right(&self) {
        assert_eq!(self.planner.totals(), self.count_one_by_one());
    }

    /// At any time, except that it is not always known whether anything is to be done.
    fn totals_are_nearly_right(&self) {
        let level = |totals: FibTotals| FibTotals {
            pending: totals.pending + totals.installed,
            installed: 0,
            installed_ipv6: 0,
            ..totals
        };
        let [counted, expected] = [self.planner.totals(), self.count_one_by_one()].map(level);
        assert_eq!(counted, expected);
    }

    /// Past every pause.
    fn pass(&mut self) -> Vec<KernelOp> {
        self.now = self.now + Duration::from_secs(3600);
        self.settle()
    }

    fn desire(&mut self, prefix: &str, route: Route) {
        self.planner.desire(p(prefix), Some(route));
    }

    fn installed(&self, prefix: &str) -> Option<Route> {
        let route = self.kernel.route(p(prefix), self.metric())?;
        self.planner
            .config()
            .is_ours(route)
            .then(|| self.kernel.effect(route))?
    }

    fn status(&self, prefix: &str) -> InstallState {
        self.planner.status(p(prefix))
    }

    fn foreign(&mut self, prefix: &str, metric: u32, ifindex: u32) {
        let to = Gateway {
            via: None,
            ..Gateway::via([0; 4].into(), ifindex)
        };
        let route = self.kernel.foreign(p(prefix), STATIC, metric, to.into());
        self.kernel.put_foreign(route);
    }
}

fn changes(ops: &[KernelOp]) -> Vec<&'static str> {
    let routes = ops.iter().filter_map(|op| match &op.request {
        Request::Route { change, .. } => Some(change),
        Request::Nexthop { .. } => None,
    });
    let name = |change: &Change| match change {
        Change::Add(_) => "add",
        Change::Replace(_) => "replace",
        Change::Delete(_) => "delete",
    };
    routes.map(name).collect()
}

/// The prefix that an operation is about.
fn prefix_of(op: &KernelOp) -> Option<Prefix> {
    match &op.request {
        Request::Route { key, .. } => Some(key.prefix),
        Request::Nexthop { .. } => None,
    }
}

#[test]
fn nothing_is_sent_before_the_first_dump() {
    let mut planner = Planner::new(FibConfig::default(), 1);
    planner.desire(p("10.1.0.0/16"), Some(via("10.0.2.9", 2)));
    assert!(planner.next_batch(Instant::ZERO, 10).is_empty());
    assert_eq!(planner.status(p("10.1.0.0/16")), InstallState::Pending);
}

#[test]
fn first_install_is_exclusive_then_replaced_then_deleted() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    assert_eq!(changes(&t.settle()), ["add"]);
    assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    assert_eq!(changes(&t.settle()), ["replace"]);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
    t.planner.desire(p("10.1.0.0/16"), None);
    let ops = t.settle();
    assert_eq!(changes(&ops), ["delete"]);
    let key = t.planner.config().key(p("10.1.0.0/16"));
    let Request::Route { key: named, .. } = ops[0].request else {
        panic!("not a route");
    };
    assert_eq!(named, key);
    assert_eq!(t.status("10.1.0.0/16"), InstallState::NotDesired);
    assert_eq!(t.kernel.routes().count(), 0);
}

#[test]
fn an_unchanged_route_is_not_touched() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    t.settle();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    assert_eq!(t.settle(), []);
}

#[test]
fn a_flap_before_the_batch_sends_nothing() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    t.planner.desire(p("10.1.0.0/16"), None);
    assert_eq!(t.settle(), []);
    assert_eq!(t.planner.iter().count(), 0);
}

#[test]
fn withdrawals_go_first() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    t.settle();
    t.desire("10.2.0.0/16", via("10.0.2.9", 2));
    t.planner.desire(p("10.1.0.0/16"), None);
    assert_eq!(changes(&t.settle()), ["delete", "add"]);
}

#[test]
fn repairs_go_before_what_is_new() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    t.settle();
    for i in 10..20 {
        t.desire(&format!("10.{i}.0.0/16"), via("10.0.2.9", 2));
    }
    t.kernel.delete_any(p("10.1.0.0/16"), t.metric());
    let first = t.step(1);
    assert_eq!(prefix_of(&first[0]), Some(p("10.1.0.0/16")));
}

#[test]
fn the_latest_desire_wins_while_an_operation_is_in_flight() {
    let mut t = Pair::new();
    t.events();
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    let batch = t.planner.next_batch(t.now, 10);
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.desire("10.1.0.0/16", via("10.0.3.8", 3));
    assert!(t.planner.next_batch(t.now, 10).is_empty());
    t.kernel.apply(&batch[0]).unwrap();
    t.planner.on_reply(t.now, batch[0].id, Ok(()));
    assert_eq!(changes(&t.settle()), ["replace"]);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.8", 3)));
}

#[test]
fn operations_in_flight_are_bounded() {
    let mut t = Pair::new();
    t.events();
    let most = t.planner.config().max_in_flight;
    for i in 0..u32::try_from(most).unwrap() + 100 {
        let prefix = Prefix::new(std::net::Ipv4Addr::from(0x0b00_0000 + (i << 8)).into(), 24);
        t.planner.desire(prefix.unwrap(), Some(via("10.0.2.9", 2)));
    }
    assert_eq!(t.planner.next_batch(t.now, 128).len(), 128);
    assert_eq!(t.planner.next_batch(t.now, most).len(), most - 128);
    assert_eq!(t.planner.next_batch(t.now, most).len(), 0);
    assert_eq!(t.planner.counters().in_flight, most as u64);
}

#[test]
fn a_million_entries_stay_small() {
    assert!(size_of::<(Ipv4Prefix, super::entry::Entry)>() <= 32);
    assert!(size_of::<(Ipv6Prefix, super::entry::Entry)>() <= 48);
}

#[test]
fn a_route_that_is_refused_does_not_leave_its_predecessor_behind() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.desire("10.1.0.0/16", via("192.0.2.1", 3));
    assert_eq!(changes(&t.settle()), ["replace", "delete"]);
    assert_eq!(t.installed("10.1.0.0/16"), None);
    assert_eq!(t.status("10.1.0.0/16").to_string(), "gateway-unreachable");
}

#[test]
fn refusals_are_tried_again_ever_more_slowly() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        t.kernel.refuse_next.push_back(errno::EINVAL);
        assert_eq!(changes(&t.settle()), ["add"]);
        let at = t.planner.poll_timeout().unwrap();
        pauses.push((at - t.now).as_millis());
        t.now = at;
    }
    assert_eq!(pauses[..3], [250, 500, 1000]);
    assert_eq!(pauses[11], 60_000);
    assert_eq!(changes(&t.settle()), ["add"]);
    assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
    assert_eq!(t.planner.poll_timeout(), None);
}

#[test]
fn a_delete_that_keeps_failing_is_not_a_busy_loop() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.foreign("10.1.0.0/16", 5, 2);
    t.kernel.refuse_next.push_back(errno::EINVAL);
    assert_eq!(changes(&t.settle()), ["delete"]);
    assert_eq!(changes(&t.pass()), ["delete"]);
    assert_eq!(t.installed("10.1.0.0/16"), None);
}

#[test]
fn a_busy_kernel_keeps_what_it_has() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    t.kernel.refuse_next.push_back(errno::ENOMEM);
    assert_eq!(changes(&t.settle()), ["replace"]);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
    assert_eq!(changes(&t.pass()), ["replace"]);
}

#[test]
fn without_permission_one_probe_at_a_time() {
    let mut t = Pair::new();
    t.events();
    for i in 0..20 {
        t.desire(&format!("10.{i}.0.0/24"), via("10.0.3.9", 3));
    }
    t.kernel.refuse_next.extend([errno::EPERM; 6]);
    assert_eq!(t.step(5).len(), 5);
    assert_eq!(t.step(5).len(), 0);
    assert_eq!(
        t.status("10.7.0.0/24"),
        InstallState::Parked(ParkReason::PermissionDenied)
    );
    t.now = t.planner.poll_timeout().unwrap();
    assert_eq!(t.step(5).len(), 1);
    assert_eq!(t.step(5).len(), 0);
    t.now = t.planner.poll_timeout().unwrap();
    assert_eq!(t.step(5).len(), 1);
    t.settle();
    assert_eq!(t.kernel.routes().count(), 20);
}

#[test]
fn an_answer_that_never_came_ends_in_the_wanted_state() {
    for applied in [false, true] {
        let mut t = Pair::new();
        t.events();
        t.desire("10.1.0.0/16", via("10.0.3.9", 3));
        let batch = t.planner.next_batch(t.now, 10);
        if applied {
            t.kernel.apply(&batch[0]).unwrap();
        }
        t.planner.on_reply(t.now, batch[0].id, Err(OpError::Lost));
        assert_eq!(
            t.status("10.1.0.0/16"),
            InstallState::Parked(ParkReason::NoReply)
        );
        t.pass();
        assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
        assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
    }
}

#[test]
fn a_restart_adopts_without_touching_the_kernel() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.desire("10.2.0.0/16", via("10.0.3.9", 3));
    t.desire("10.3.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.restart();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    assert_eq!(t.settle(), []);
    assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
    assert_eq!(t.status("10.3.0.0/16"), InstallState::Stale);
    t.desire("10.2.0.0/16", via("10.0.2.9", 2));
    assert_eq!(changes(&t.settle()), ["replace"]);
    t.planner.sweep();
    let ops = t.settle();
    assert_eq!(changes(&ops), ["delete"]);
    assert_eq!(prefix_of(&ops[0]), Some(p("10.3.0.0/16")));
    let counters = t.planner.counters();
    assert_eq!((counters.adopted, counters.swept), (3, 1));
}

#[test]
fn between_an_overrun_and_its_dump_no_route_is_sent() {
    let mut t = Pair::new();
    t.settle();
    t.planner.on_event(t.now, &KernelEvent::Overrun);
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    assert!(t.planner.next_batch(t.now, 10).is_empty());
    let dump = t.kernel.synced();
    t.planner.on_event(t.now, &dump);
    assert!(t.planner.next_batch(t.now, 10).is_empty());
    t.planner.compare(t.now, usize::MAX);
    assert_eq!(t.planner.next_batch(t.now, 10).len(), 1);
}

#[test]
fn what_happens_while_a_dump_is_made_is_heard_at_once_and_is_true_after_it() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.desire("10.2.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.kernel.dump_takes = 2;
    t.planner.audit(t.now);
    t.ask_for_dump();
    // The dump shows both; it has begun.
    t.kernel.delete_any(p("10.1.0.0/16"), t.metric());
    t.foreign("10.2.0.0/16", 5, 2);
    t.events();
    assert_eq!(changes(&t.send_unread(16)), ["delete", "add"]);
    assert_eq!(t.planner.counters().resyncs, 1);
    t.settle();
    assert_eq!(t.planner.counters().resyncs, 2);
    assert!(t.installed("10.1.0.0/16").is_some());
    assert_eq!(t.status("10.2.0.0/16").to_string(), "foreign-route");
    assert!(t.installed("10.2.0.0/16").is_none());
}

#[test]
fn uninstall_removes_ours_and_nothing_else() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.restart();
    t.desire("10.2.0.0/16", Route::blackhole());
    t.foreign("10.3.0.0/16", 0, 2);
    t.settle();
    t.planner.withdraw_all();
    assert_eq!(changes(&t.settle()), ["delete", "delete"]);
    assert_eq!(t.kernel.routes().count(), 1);
}

#[test]
fn a_delete_that_finds_nothing_is_done() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.planner.desire(p("10.1.0.0/16"), None);
    t.kernel.refuse_next.push_back(errno::ESRCH);
    assert_eq!(changes(&t.settle()), ["delete"]);
    assert_eq!(t.status("10.1.0.0/16"), InstallState::NotDesired);
}

#[test]
fn reasons_tell_people_and_machines() {
    let reason = ParkReason::ForeignRoute {
        protocol: STATIC,
        metric: 0,
    };
    assert_eq!(reason.id(), "foreign-route");
    assert_eq!(
        reason.to_string(),
        "a route to the same prefix exists that is not ours (proto static metric 0)"
    );
    let error = KernelError {
        errno: 22,
        message: Some("Nexthop has invalid gateway".into()),
    };
    assert_eq!(
        ParkReason::from(OpError::from(error)).to_string(),
        "the kernel refused: Nexthop has invalid gateway (errno 22)"
    );
}
