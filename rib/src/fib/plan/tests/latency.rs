//! How long it takes until the kernel has answered: in virtual time.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Answers each operation with `result`.
fn answer(t: &mut Pair, batch: &[KernelOp], result: &Result<(), OpError>) {
    for op in batch {
        t.planner.on_reply(t.now, op.id, result.clone());
    }
}

/// What `changes` says arrives, and is told at once.
fn arrives(t: &mut Pair, changes: &[(&str, Option<Route>)]) {
    let arrival = t.planner.arrival(t.now);
    for (prefix, route) in changes {
        t.planner.desire(p(prefix), route.clone());
    }
    t.planner.follow(arrival);
    t.planner.told_all(t.now);
}

fn recorded(t: &Pair) -> (u64, Duration) {
    let latency = t.planner.latency();
    (latency.count(), latency.sum())
}

/// One that has read the kernel's tables.
fn known() -> Pair {
    let mut t = Pair::new();
    t.settle();
    t
}

fn over(link: u32) -> Option<Route> {
    Some(via(&format!("10.0.{link}.9"), link))
}

#[test]
fn it_ends_with_the_last_answer() {
    let mut t = known();
    let three = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"].map(|prefix| (prefix, over(2)));
    arrives(&mut t, &three);
    let first = t.planner.next_batch(t.now, 2);
    t.now = t.now + MS;
    let second = t.planner.next_batch(t.now, 2);
    assert_eq!((first.len(), second.len()), (2, 1));
    t.now = t.now + MS;
    answer(&mut t, &second, &Ok(()));
    assert_eq!(recorded(&t), (0, Duration::ZERO), "two are not answered");
    t.now = t.now + MS;
    answer(&mut t, &first, &Ok(()));
    assert_eq!(recorded(&t), (1, 3 * MS));
    let up_to: Vec<u64> = t.planner.latency().cumulative().map(|(_, n)| n).collect();
    assert_eq!(up_to[..4], [0, 0, 0, 1], "up to 2.5 and up to 5 ms");
}

#[test]
fn what_comes_later_is_not_waited_for() {
    let mut t = known();
    arrives(&mut t, &[("10.1.0.0/16", over(2))]);
    let first = t.planner.next_batch(t.now, 8);
    t.now = t.now + MS;
    for i in 0..100 {
        arrives(&mut t, &[(&format!("10.9.{i}.0/24"), over(2))]);
    }
    let second = t.planner.next_batch(t.now, 64);
    answer(&mut t, &first, &Ok(()));
    assert_eq!(recorded(&t), (1, MS));
    t.now = t.now + MS;
    answer(&mut t, &second, &Ok(()));
    assert_eq!(recorded(&t), (65, 65 * MS), "and 36 wait in the queue");
    t.settle();
    assert_eq!(recorded(&t), (101, 101 * MS));
}

#[test]
fn a_change_under_an_operation_counts_once_its_own_is_answered() {
    let mut t = known();
    arrives(&mut t, &[("10.1.0.0/16", over(2))]);
    let add = t.planner.next_batch(t.now, 8);
    t.now = t.now + MS;
    arrives(&mut t, &[("10.1.0.0/16", over(3))]);
    t.now = t.now + MS;
    answer(&mut t, &add, &Ok(()));
    assert_eq!(recorded(&t), (0, Duration::ZERO));
    let replace = t.planner.next_batch(t.now, 8);
    assert_eq!(changes(&replace), ["replace"]);
    t.now = t.now + MS;
    answer(&mut t, &replace, &Ok(()));
    // The first one shares the prefix, and with it the operation.
    assert_eq!(recorded(&t), (2, 5 * MS));
}

#[test]
fn a_route_that_goes_and_comes_back_takes_its_turn_behind_the_withdrawals() {
    let mut t = known();
    let both = ["10.1.0.0/16", "10.2.0.0/16"];
    for prefix in both {
        t.desire(prefix, via("10.0.2.9", 2));
    }
    t.settle();
    arrives(&mut t, &both.map(|prefix| (prefix, None)));
    t.now = t.now + MS;
    arrives(&mut t, &[("10.1.0.0/16", over(3))]);
    let batch = t.planner.next_batch(t.now, 1);
    t.now = t.now + MS;
    answer(&mut t, &batch, &Ok(()));
    assert_eq!(changes(&batch), ["delete"]);
    assert_eq!(
        recorded(&t).0,
        0,
        "the other one is not with the kernel yet"
    );
    assert_eq!(changes(&t.settle()), ["replace"]);
    assert_eq!(recorded(&t), (2, 3 * MS));
}

#[test]
fn what_leads_to_no_operation_is_not_recorded() {
    let mut t = known();
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    t.settle();
    arrives(&mut t, &[("10.1.0.0/16", over(2)), ("10.2.0.0/16", None)]);
    // The kernel has kept the route over a restart.
    t.restart();
    t.settle();
    arrives(&mut t, &[("10.1.0.0/16", over(2))]);
    t.settle();
    assert_eq!(recorded(&t), (0, Duration::ZERO));
}

#[test]
fn a_refusal_is_an_answer_and_a_later_attempt_is_not_waited_for() {
    let mut t = known();
    arrives(&mut t, &[("10.1.0.0/16", over(2))]);
    let batch = t.planner.next_batch(t.now, 8);
    t.now = t.now + MS;
    let refused = KernelError::new(errno::ENOMEM);
    answer(&mut t, &batch, &Err(OpError::Refused(refused)));
    assert_eq!(recorded(&t), (1, MS));
    t.pass();
    assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
    assert_eq!(recorded(&t), (1, MS));
}

#[test]
fn nothing_is_followed_while_the_kernel_forbids_everything() {
    let mut t = known();
    let both = ["10.1.0.0/16", "10.2.0.0/16"].map(|prefix| (prefix, over(2)));
    arrives(&mut t, &both);
    let batch = t.planner.next_batch(t.now, 1);
    let forbidden = KernelError::new(errno::EPERM);
    answer(&mut t, &batch, &Err(OpError::Refused(forbidden)));
    arrives(&mut t, &[("10.3.0.0/16", over(2))]);
    t.pass();
    assert_eq!(t.status("10.3.0.0/16"), InstallState::Installed);
    assert_eq!(recorded(&t), (0, Duration::ZERO));
    arrives(&mut t, &[("10.4.0.0/16", over(2))]);
    t.settle();
    assert_eq!(recorded(&t).0, 1);
}

#[test]
fn so_many_are_followed_and_no_more() {
    let mut t = known();
    for i in 0..1500_u32 {
        let [.., high, low] = i.to_be_bytes();
        arrives(&mut t, &[(&format!("10.{high}.{low}.0/24"), over(2))]);
    }
    t.now = t.now + MS;
    t.settle();
    assert_eq!(recorded(&t), (1024, 1024 * MS));
}

#[test]
fn it_begins_with_the_arrival_and_not_when_the_tables_have_been_worked_off() {
    let mut t = known();
    let arrival = t.planner.arrival(t.now);
    t.planner.follow(arrival);
    t.planner.desire(p("10.1.0.0/16"), over(2));
    let first = t.planner.next_batch(t.now, 8);
    t.now = t.now + MS;
    answer(&mut t, &first, &Ok(()));
    assert_eq!(recorded(&t).0, 0, "the tables have more to say");
    t.planner.desire(p("10.2.0.0/16"), over(2));
    t.planner.told_all(t.now);
    t.now = t.now + MS;
    t.settle();
    assert_eq!(recorded(&t), (1, 2 * MS));
}

#[test]
fn what_nobody_will_tell_of_is_not_waited_for() {
    let mut t = known();
    let arrival = t.planner.arrival(t.now);
    t.planner.follow(arrival);
    // Installing is turned off in the middle of a table, and on again hours later.
    t.planner.withdraw_all();
    t.settle();
    t.now = t.now + Duration::from_secs(10_000);
    arrives(&mut t, &[("10.1.0.0/16", over(2))]);
    t.now = t.now + MS;
    t.settle();
    assert_eq!(recorded(&t), (1, MS));
}

#[test]
fn what_was_counted_goes_on_with_another_planner() {
    let mut t = known();
    arrives(&mut t, &[("10.1.0.0/16", over(2))]);
    t.settle();
    let before = t.planner.counters();
    assert_eq!((before.added, before.desired), (1, 1));
    let config = t.planner.config().clone();
    let past = core::mem::replace(&mut t.planner, Planner::new(config, 1));
    t.planner.count_on_from(past);
    let now = t.planner.counters();
    assert_eq!((now.added, now.desired), (1, 0));
    assert_eq!(recorded(&t).0, 1);
}
