//! Nexthop objects: shared, moved as one, repaired, adopted, and gone when nobody names them.

use core::time::Duration;

use super::{Pair, changes, p, via};
use crate::{
    fib::{
        FibConfig, InstallState, KernelEvent, KernelNexthop, KernelOp, NexthopChange, NexthopId,
        NexthopSpec, NexthopStyle, OpError, Request, Resilient, Route, Target, errno,
    },
    nexthop::Gateway,
};

const OBJECTS: NexthopStyle = NexthopStyle::Objects { resilient: None };

fn to(links: &[u32]) -> Route {
    let gateways = links
        .iter()
        .map(|l| Gateway::via([10, 0, u8::try_from(*l).unwrap(), 9].into(), *l));
    Route::unicast(gateways.collect::<crate::nexthop::NexthopSet>())
}

/// A hundred prefixes with one set of gateways.
fn many(t: &mut Pair, route: &Route) {
    for i in 0..100 {
        t.desire(&format!("10.{i}.0.0/24"), route.clone());
    }
}

fn assert_all(t: &Pair, route: &Route) {
    for i in 0..100 {
        let prefix = format!("10.{i}.0.0/24");
        assert_eq!(t.installed(&prefix).as_ref(), Some(route), "{prefix}");
        assert_eq!(t.status(&prefix), InstallState::Installed);
    }
}

/// The changes of objects among what was sent.
fn objects(ops: &[KernelOp]) -> Vec<&'static str> {
    let changes = ops.iter().filter_map(|op| match &op.request {
        Request::Nexthop { change, .. } => Some(change),
        Request::Route { .. } => None,
    });
    let name = |change: &NexthopChange| match change {
        NexthopChange::Add(_) => "add",
        NexthopChange::Replace(_) => "replace",
        NexthopChange::Delete => "delete",
    };
    changes.map(name).collect()
}

#[test]
fn routes_share_an_object_that_is_sent_before_them() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    let sent = t.settle();
    assert_eq!(
        objects(&sent),
        ["add", "add", "add"],
        "two legs and a group"
    );
    assert_eq!(objects(&sent[..3]).len(), 3);
    assert_eq!(t.kernel.nexthops().count(), 3);
    assert_all(&t, &to(&[2, 3]));
}

#[test]
fn a_lost_neighbour_is_left_by_one_operation() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    assert!(t.planner.avoid("10.0.2.9".parse().unwrap(), None));
    let sent = t.settle();
    assert_eq!((objects(&sent), sent.len()), (vec!["replace"], 1));
    assert_all(&t, &to(&[3]));
    // What the RIB says of it then is what is there.
    many(&mut t, &to(&[3]));
    t.planner.caught_up();
    assert_eq!(t.settle(), []);
}

#[test]
fn a_dump_is_compared_in_pieces_and_a_neighbour_can_be_left_meanwhile() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    // One is gone, and one is in our way; nobody has heard of it.
    t.kernel.event_capacity = Some(0);
    t.kernel.delete_any(p("10.7.0.0/24"), t.metric());
    t.foreign("10.8.0.0/24", 5, 3);
    while t.kernel.next_event().is_some() {}
    t.kernel.event_capacity = None;
    t.planner.audit(t.now);
    assert!(t.planner.take_resync_request(t.now));
    t.planner.on_event(t.now, &t.kernel.synced());
    let mut pieces = 0;
    let mut urgent = Vec::new();
    while t.planner.is_comparing() {
        t.planner.compare(t.now, 10);
        pieces += 1;
        if pieces == 3 {
            t.planner.avoid("10.0.2.9".parse().unwrap(), None);
            t.desire("10.200.0.0/24", to(&[3]));
        }
        if t.planner.is_comparing() {
            urgent.extend(t.planner.next_batch(t.now, 16));
        }
        assert!(!t.planner.take_resync_request(t.now));
    }
    assert!((10..=12).contains(&pieces), "{pieces}");
    assert_eq!((objects(&urgent), urgent.len()), (vec!["replace"], 1));
    for op in &urgent {
        t.kernel.apply(op).unwrap();
        t.planner.on_reply(t.now, op.id, Ok(()));
    }
    assert_eq!(t.planner.counters().drifted, 1);
    many(&mut t, &to(&[3]));
    t.planner.caught_up();
    let mut sent = changes(&t.settle());
    sent.sort_unstable();
    assert_eq!(sent, ["add", "add", "delete"]);
    assert_eq!(t.installed("10.7.0.0/24"), Some(to(&[3])));
    assert_eq!(t.status("10.8.0.0/24").to_string(), "foreign-route");
    assert_eq!(t.installed("10.200.0.0/24"), Some(to(&[3])));
}

#[test]
fn a_lost_neighbour_is_left_while_events_are_lost_too() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    t.planner.on_event(t.now, &KernelEvent::Overrun);
    assert!(t.planner.avoid("10.0.2.9".parse().unwrap(), None));
    t.desire("10.200.0.0/24", to(&[3]));
    let sent = t.send_unread(16);
    assert_eq!((objects(&sent), sent.len()), (vec!["replace"], 1));
    assert_all(&t, &to(&[3]));
    // Once, and no route.
    assert_eq!(t.send_unread(16), []);
    // The dump comes, and what follows is no different.
    many(&mut t, &to(&[3]));
    t.planner.caught_up();
    let sent = t.settle();
    assert_eq!((objects(&sent).len(), sent.len()), (0, 1));
    assert_eq!(t.installed("10.200.0.0/24"), Some(to(&[3])));
}

#[test]
fn a_group_of_which_a_leg_is_in_doubt_waits_for_the_dump() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    let legs = t.kernel.nexthops().map(|n| (n.id, n.spec.clone()));
    let legs: Vec<_> = legs
        .filter(|(_, spec)| matches!(spec, Some(NexthopSpec::Leg(leg)) if leg.ifindex == 3))
        .collect();
    t.planner.on_event(t.now, &KernelEvent::Overrun);
    let gone = KernelEvent::NexthopGone(legs[0].0);
    t.planner.on_event(t.now, &gone);
    t.planner.avoid("10.0.2.9".parse().unwrap(), None);
    assert_eq!(t.send_unread(16), []);
    many(&mut t, &to(&[3]));
    t.planner.caught_up();
    t.settle();
    assert_all(&t, &to(&[3]));
}

#[test]
fn a_neighbour_that_is_still_wanted_is_used_again() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    t.planner.avoid("10.0.2.9".parse().unwrap(), None);
    t.settle();
    t.planner.caught_up();
    let sent = t.settle();
    assert_eq!((objects(&sent), sent.len()), (vec!["replace"], 1));
    assert_all(&t, &to(&[2, 3]));
}

#[test]
fn routes_that_want_different_things_part() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    t.planner.avoid("10.0.2.9".parse().unwrap(), None);
    t.settle();
    t.desire("10.7.0.0/24", to(&[3]));
    t.planner.caught_up();
    let sent = t.settle();
    assert_eq!(changes(&sent).len(), 99);
    assert_eq!(t.installed("10.7.0.0/24"), Some(to(&[3])));
    assert_eq!(t.installed("10.8.0.0/24"), Some(to(&[2, 3])));
}

#[test]
fn the_only_way_is_not_given_up() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2]));
    t.settle();
    assert!(!t.planner.avoid("10.0.2.9".parse().unwrap(), None));
    assert_eq!(t.settle(), []);
    assert_all(&t, &to(&[2]));
}

#[test]
fn a_group_follows_the_carrier_of_its_legs() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    t.kernel.set_link(2, true, false);
    t.settle();
    assert_all(&t, &to(&[3]));
    t.kernel.set_link(2, true, true);
    let sent = t.settle();
    assert_eq!(
        objects(&sent),
        ["add", "replace"],
        "the leg, then the group"
    );
    assert_eq!(sent.len(), 2);
    assert_all(&t, &to(&[2, 3]));
}

#[test]
fn routes_that_went_with_the_last_leg_come_back_with_the_carrier() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2]));
    t.settle();
    t.kernel.set_link(2, true, false);
    assert_eq!(t.kernel.routes().count(), 0);
    t.settle();
    assert_eq!(t.status("10.7.0.0/24").to_string(), "link-down");
    t.kernel.set_link(2, true, true);
    t.settle();
    assert_all(&t, &to(&[2]));
}

#[test]
fn a_refused_leg_is_asked_for_once_and_not_by_every_route() {
    let mut t = Pair::with(OBJECTS);
    let nowhere = via("192.0.2.1", 2);
    many(&mut t, &nowhere);
    let sent = t.settle();
    assert_eq!(objects(&sent).len(), 2);
    assert!(changes(&sent).len() <= 16, "one batch at most");
    assert_eq!(t.status("10.99.0.0/24").to_string(), "gateway-unreachable");
    t.kernel.add_address(super::address(2, "192.0.2.7", 24));
    t.settle();
    assert_all(&t, &nowhere);
}

#[test]
fn a_change_that_is_refused_leaves_nobody_on_the_old_way() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2]));
    t.settle();
    many(&mut t, &via("192.0.2.1", 2));
    t.settle();
    assert_eq!(t.kernel.routes().count(), 0);
    assert_eq!(t.status("10.7.0.0/24").to_string(), "gateway-unreachable");
}

#[test]
fn somebody_deletes_our_group() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    let id = t.planner.nexthop(p("10.7.0.0/24")).unwrap();
    assert!(t.kernel.delete_any_nexthop(id));
    assert_eq!(t.kernel.routes().count(), 0);
    t.settle();
    assert_all(&t, &to(&[2, 3]));
}

#[test]
fn somebody_deletes_a_leg() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    let group = t.planner.nexthop(p("10.7.0.0/24")).unwrap();
    let leg = t.kernel.nexthops().map(|n| n.id).find(|id| *id != group);
    assert!(t.kernel.delete_any_nexthop(leg.unwrap()));
    let sent = t.settle();
    assert_eq!((objects(&sent), sent.len()), (vec!["add", "replace"], 2));
    assert_all(&t, &to(&[2, 3]));
}

#[test]
fn an_id_that_somebody_else_uses_is_left_alone() {
    let mut t = Pair::with(OBJECTS);
    let first = NexthopId(FibConfig::FIRST_NEXTHOP_ID.get());
    for offset in 0..3 {
        t.kernel.put_foreign_nexthop(KernelNexthop {
            id: NexthopId(first.0 + offset),
            protocol: 11,
            spec: None,
        });
    }
    // The first is known from the dump, the others are heard of when it is too late.
    t.planner.on_event(t.now, &t.kernel.synced());
    many(&mut t, &to(&[2, 3]));
    t.settle();
    assert_all(&t, &to(&[2, 3]));
    let foreign = t.kernel.nexthops().filter(|n| n.protocol == 11);
    assert_eq!(foreign.count(), 3);
}

#[test]
fn an_id_that_was_taken_without_our_knowing_is_given_up() {
    let mut t = Pair::with(OBJECTS);
    t.settle();
    t.kernel.event_capacity = Some(0);
    let id = NexthopId(FibConfig::FIRST_NEXTHOP_ID.get());
    t.kernel.put_foreign_nexthop(KernelNexthop {
        id,
        protocol: 11,
        spec: None,
    });
    many(&mut t, &to(&[2]));
    let batch = t.planner.next_batch(t.now, 16);
    for op in &batch {
        let result = t.kernel.apply(op).map_err(crate::fib::OpError::from);
        t.planner.on_reply(t.now, op.id, result);
    }
    t.kernel.event_capacity = None;
    t.pass();
    assert_all(&t, &to(&[2]));
    assert!(t.kernel.nexthops().any(|n| n.id == id && n.protocol == 11));
}

#[test]
fn an_object_that_a_dump_does_not_show_while_its_answer_is_out_is_made_again() {
    let mut t = Pair::with(OBJECTS);
    t.settle();
    many(&mut t, &to(&[2]));
    let batch = t.planner.next_batch(t.now, 16);
    let answers: Vec<_> = batch.iter().map(|op| (op.id, t.kernel.apply(op))).collect();
    t.kernel.event_capacity = Some(0);
    let leg = t.kernel.nexthops().next().unwrap().id;
    t.kernel.delete_any_nexthop(leg);
    t.kernel.event_capacity = None;
    t.events();
    for (id, answer) in answers {
        let answer = answer.map_err(crate::fib::OpError::from);
        t.planner.on_reply(t.now, id, answer);
    }
    t.settle();
    assert_all(&t, &to(&[2]));
}

#[test]
fn a_restart_adopts_objects_and_touches_nothing() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.desire("fd01::/64", via("fe80::9", 2));
    t.desire("10.200.0.0/16", via("fe80::9", 2));
    t.settle();
    t.restart();
    many(&mut t, &to(&[2, 3]));
    t.desire("fd01::/64", via("fe80::9", 2));
    t.desire("10.200.0.0/16", via("fe80::9", 2));
    assert_eq!(t.settle(), []);
    t.planner.sweep();
    assert_eq!(t.pass(), []);
    assert_all(&t, &to(&[2, 3]));
}

/// There were routes, and their objects are still there.
fn unused() -> Pair {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    for i in 0..100 {
        t.planner.desire(p(&format!("10.{i}.0.0/24")), None);
    }
    t.settle();
    t
}

#[test]
fn what_no_route_names_is_removed_after_a_while() {
    let mut t = unused();
    assert_eq!(t.kernel.nexthops().count(), 3, "kept for a moment");
    let at = t.planner.poll_timeout().unwrap();
    assert_eq!(at, t.now + Duration::from_secs(10));
    t.now = at;
    t.settle();
    t.pass();
    t.pass();
    assert_eq!(t.kernel.nexthops().count(), 0);
    assert_eq!(t.planner.poll_timeout(), None);
}

/// Whoever waits until then would otherwise come again at once, and again, instead of comparing.
#[test]
fn what_cannot_be_done_before_a_dump_is_compared_has_no_time() {
    let mut t = unused();
    // And one that the kernel refuses, to be tried again.
    t.desire("10.200.0.0/24", via("10.0.9.9", 9));
    t.settle();
    let due = t.planner.poll_timeout().unwrap();
    t.planner.on_event(t.now, &KernelEvent::Overrun);
    let resync = t.planner.poll_timeout().unwrap();
    t.now = due.max(resync) + Duration::from_secs(60);
    assert!(t.planner.take_resync_request(t.now));
    assert_eq!(t.planner.poll_timeout(), None, "events are lost");
    t.planner.on_event(t.now, &t.kernel.synced());
    while t.planner.is_comparing() {
        assert_eq!(t.planner.poll_timeout(), None, "comparing");
        assert_eq!(t.planner.next_batch(t.now, 16), []);
        t.planner.compare(t.now, 1);
    }
    assert!(t.planner.poll_timeout().unwrap() <= t.now);
    assert!(!t.planner.next_batch(t.now, 16).is_empty());
}

#[test]
fn nobody_looks_for_objects_that_nobody_uses() {
    const NEIGHBOURS: u8 = 200;
    let mut t = Pair::with(OBJECTS);
    let by = |i: u8| via(&format!("10.0.2.{i}"), 2);
    for i in 2..NEIGHBOURS {
        t.desire(&format!("10.{i}.0.0/16"), by(i));
    }
    t.settle();
    // However many there are.
    assert_eq!(t.planner.objects.unused(), 0);
    assert_eq!(t.planner.poll_timeout(), None);
    t.planner.desire(p("10.7.0.0/16"), None);
    t.desire("10.8.0.0/16", by(9));
    t.settle();
    assert_eq!(t.planner.objects.unused(), 2, "the groups of the two");
    // One of them is used again, and its time begins anew with its next end.
    t.now = t.now + Duration::from_secs(6);
    t.desire("10.8.0.0/16", by(8));
    t.settle();
    assert_eq!(t.planner.objects.unused(), 1);
    t.desire("10.8.0.0/16", by(9));
    t.settle();
    for _ in 0..2 {
        // A group, and ten seconds later its leg; four and six seconds apart.
        for wait in [4, 6] {
            let at = t.planner.poll_timeout().unwrap();
            assert_eq!(at, t.now + Duration::from_secs(wait));
            t.now = at;
            assert_eq!(objects(&t.settle()), ["delete"]);
        }
    }
    assert_eq!(t.planner.objects.unused(), 0);
    assert_eq!(t.planner.poll_timeout(), None);
    assert_eq!(t.kernel.nexthops().count(), 2 * usize::from(NEIGHBOURS - 4));
}

#[test]
fn objects_stay_small() {
    use super::super::objects::Object;
    assert!(size_of::<Object>() <= 144, "{}", size_of::<Object>());
}

#[test]
fn a_group_that_cannot_be_put_right_goes_with_its_last_route() {
    let mut t = Pair::with(OBJECTS);
    t.settle();
    t.desire("10.1.0.0/24", to(&[2, 3]));
    // A leg goes while the answers are out; what tells of it is lost.
    let mut answers = Vec::new();
    for op in t.planner.next_batch(t.now, 1) {
        answers.push((op.id, t.kernel.apply(&op).map_err(OpError::from)));
    }
    t.kernel.event_capacity = Some(0);
    t.kernel.set_link(2, true, false);
    t.events();
    t.kernel.event_capacity = None;
    for (id, answer) in answers {
        t.planner.on_reply(t.now, id, answer);
    }
    t.settle();
    assert_eq!(t.kernel.nexthops().count(), 2, "a group and its living leg");
    t.planner.desire(p("10.1.0.0/24"), None);
    for _ in 0..4 {
        t.pass();
    }
    assert_eq!(t.kernel.nexthops().count(), 0);
}

#[test]
fn an_uninstall_removes_objects_at_once() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    t.planner.withdraw_all();
    t.settle();
    assert_eq!(t.kernel.routes().count(), 0);
    assert_eq!(t.kernel.nexthops().count(), 0);
}

#[test]
fn a_kernel_without_objects_gets_gateways_in_each_route() {
    let mut t = Pair::with(OBJECTS);
    t.events();
    t.kernel.refuse_next.extend([errno::EOPNOTSUPP; 3]);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    t.pass();
    assert_all(&t, &to(&[2, 3]));
    assert_eq!(t.kernel.nexthops().count(), 0);
}

#[test]
fn the_style_changes_without_a_gap() {
    let mut t = Pair::with(OBJECTS);
    many(&mut t, &to(&[2, 3]));
    t.settle();
    t.planner.set_nexthop_style(NexthopStyle::Inline);
    let sent = t.settle();
    assert_eq!(changes(&sent), ["replace"; 100]);
    assert_all(&t, &to(&[2, 3]));
    assert!(t.planner.nexthop(p("10.7.0.0/24")).is_none());
    let resilient = Some(Resilient {
        buckets: 64,
        idle_seconds: 10,
    });
    t.planner
        .set_nexthop_style(NexthopStyle::Objects { resilient });
    let sent = t.settle();
    assert_eq!(changes(&sent), ["replace"; 100]);
    assert_all(&t, &to(&[2, 3]));
    t.pass();
    t.pass();
    t.pass();
    let groups = t.kernel.nexthops().filter_map(|n| match &n.spec {
        Some(NexthopSpec::Group(group)) => Some(group.resilient),
        _ => None,
    });
    assert_eq!(groups.collect::<Vec<_>>(), [resilient]);
}

#[test]
fn without_an_id_left_routes_name_their_gateways() {
    let mut t = Pair::with(OBJECTS);
    t.events();
    let first = FibConfig::FIRST_NEXTHOP_ID.get();
    for offset in 0..FibConfig::NEXTHOP_IDS - 2 {
        let foreign = KernelNexthop {
            id: NexthopId(first + offset),
            protocol: 4,
            spec: None,
        };
        t.planner.on_event(t.now, &KernelEvent::Nexthop(foreign));
    }
    many(&mut t, &to(&[2, 3]));
    let sent = t.settle();
    assert_eq!(changes(&sent).len(), 100);
    assert_all(&t, &to(&[2, 3]));
    let inline = |op: &KernelOp| match &op.request {
        Request::Route { change, .. } => match change {
            crate::fib::Change::Add(form) => matches!(form.target, Target::Gateways(_)),
            _ => false,
        },
        Request::Nexthop { .. } => false,
    };
    assert_eq!(sent.iter().filter(|op| inline(op)).count(), 100);
}
