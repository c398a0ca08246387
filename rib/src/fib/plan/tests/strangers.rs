//! What others, and the kernel itself, do to the table.

use super::{Pair, STATIC, address, changes, p, via};
use crate::{
    fib::{
        Change, FibConfig, InstallState, KernelEvent, Marks, ParkReason, Planner, Removal, Request,
        Route, Target, errno,
    },
    nexthop::Gateway,
};

#[test]
fn a_foreign_route_of_any_metric_keeps_ours_out_until_it_goes() {
    for metric in [0, FibConfig::METRIC.get(), 1024] {
        let mut t = Pair::new();
        t.foreign("10.1.0.0/16", metric, 2);
        t.desire("10.1.0.0/16", via("10.0.3.9", 3));
        assert_eq!(t.settle(), []);
        let reason = ParkReason::ForeignRoute {
            protocol: STATIC,
            metric,
        };
        assert_eq!(t.status("10.1.0.0/16"), InstallState::Parked(reason));
        assert!(t.kernel.delete_any(p("10.1.0.0/16"), metric));
        assert_eq!(changes(&t.settle()), ["add"]);
    }
}

#[test]
fn a_foreign_route_that_comes_later_makes_ours_step_aside() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.foreign("10.1.0.0/16", 0, 2);
    assert_eq!(changes(&t.settle()), ["delete"]);
    assert_eq!(t.kernel.routes().count(), 1);
    assert_eq!(t.status("10.1.0.0/16").to_string(), "foreign-route");
}

#[test]
fn a_foreign_route_that_overwrote_ours_is_left_alone() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.foreign("10.1.0.0/16", FibConfig::METRIC.get(), 2);
    t.pass();
    let there = t.kernel.route(p("10.1.0.0/16"), t.metric()).unwrap();
    assert_eq!(there.protocol, STATIC);
    t.kernel.delete_any(p("10.1.0.0/16"), t.metric());
    t.settle();
    assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
}

/// IPv6 may have appended it to ours rather than put it in its place.
#[test]
fn what_steps_aside_for_a_route_with_our_metric_is_named_by_its_gateway() {
    let mut t = Pair::new();
    t.desire("fd01::/64", via("fd00:3::9", 3));
    t.settle();
    t.foreign("fd01::/64", FibConfig::METRIC.get(), 2);
    let sent = t.step(1);
    let Request::Route { change, .. } = &sent[0].request else {
        panic!("{sent:?}");
    };
    let Change::Delete(Some(form)) = change else {
        panic!("{change:?}");
    };
    let gateway = Gateway::via("fd00:3::9".parse().unwrap(), 3);
    assert_eq!(form.target, Target::Gateways(gateway.into()));
}

#[test]
fn a_foreign_route_that_overwrote_ours_and_went_leaves_room_for_ours() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.foreign("10.1.0.0/16", FibConfig::METRIC.get(), 2);
    t.kernel.delete_any(p("10.1.0.0/16"), t.metric());
    assert_eq!(changes(&t.settle()), ["add"]);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
}

#[test]
fn a_loss_while_an_operation_is_in_flight_is_noticed() {
    let mut t = Pair::new();
    t.events();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    let batch = t.planner.next_batch(t.now, 10);
    t.kernel.apply(&batch[0]).unwrap();
    t.kernel.set_link(3, false, false);
    t.kernel.set_link(3, true, true);
    t.events();
    t.planner.on_reply(t.now, batch[0].id, Ok(()));
    assert_eq!(changes(&t.settle()), ["add"]);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
}

#[test]
fn a_foreign_route_whose_event_is_late_is_found_by_the_exclusive_add() {
    let mut t = Pair::new();
    t.settle();
    t.kernel.event_capacity = Some(0);
    t.foreign("10.1.0.0/16", FibConfig::METRIC.get(), 2);
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    // The add goes out before the event is read.
    let batch = t.planner.next_batch(t.now, 10);
    let refused = t.kernel.apply(&batch[0]).unwrap_err();
    assert_eq!(refused.errno, errno::EEXIST);
    t.planner.on_reply(t.now, batch[0].id, Err(refused.into()));
    assert_eq!(
        t.status("10.1.0.0/16"),
        InstallState::Parked(ParkReason::RouteExists)
    );
    t.settle();
    assert_eq!(t.status("10.1.0.0/16").to_string(), "foreign-route");
    assert_eq!(t.planner.counters().resyncs, 2);
}

#[test]
fn a_foreign_multipath_route_that_lost_its_last_leg_makes_room() {
    let mut t = Pair::new();
    let legs = [2, 3].map(|i| Gateway::via([10, 0, i, 7].into(), u32::from(i)));
    let to = legs.into_iter().collect();
    let route = t.kernel.foreign(p("10.1.0.0/16"), STATIC, 0, to);
    t.kernel.put_foreign(route);
    t.desire("10.1.0.0/16", Route::blackhole());
    t.settle();
    t.kernel.set_link(2, false, false);
    t.settle();
    assert_eq!(t.status("10.1.0.0/16").to_string(), "foreign-route");
    t.kernel.set_link(3, false, false);
    t.settle();
    assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
}

#[test]
fn an_external_delete_is_repaired_at_once() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.kernel.delete_any(p("10.1.0.0/16"), t.metric());
    assert_eq!(changes(&t.settle()), ["add"]);
    assert_eq!(t.planner.counters().disturbed, 1);
}

#[test]
fn a_silent_flush_by_a_link_is_repaired_when_it_comes_back() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.desire("10.2.0.0/16", via("10.0.2.9", 2));
    t.desire("fd01::/64", via("fd00:3::9", 3));
    t.settle();
    t.kernel.set_link(3, false, false);
    t.settle();
    assert_eq!(t.installed("10.1.0.0/16"), None);
    assert_eq!(t.status("10.1.0.0/16").to_string(), "link-down");
    assert_eq!(t.status("fd01::/64").to_string(), "link-down");
    assert_eq!(t.status("10.2.0.0/16"), InstallState::Installed);
    t.kernel.set_link(3, true, true);
    let ops = t.settle();
    assert_eq!(changes(&ops), ["add", "add"]);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
}

#[test]
fn a_flap_seen_as_a_whole_is_repaired_too() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.kernel.set_link(3, false, false);
    t.kernel.set_link(3, true, true);
    assert_eq!(changes(&t.settle()), ["add"]);
}

#[test]
fn a_dead_leg_does_not_take_the_others_along() {
    let mut t = Pair::new();
    let legs = [
        Gateway::via("10.0.2.9".parse().unwrap(), 2),
        Gateway::via("10.0.3.9".parse().unwrap(), 3),
    ];
    let both = Route {
        kind: crate::fib::RouteKind::Unicast(legs.into_iter().collect()),
        prefsrc: None,
    };
    t.desire("10.1.0.0/16", both.clone());
    t.settle();
    t.kernel.set_link(3, false, false);
    let ops = t.settle();
    assert!(!changes(&ops).contains(&"delete"), "{ops:?}");
    assert_eq!(t.installed("10.1.0.0/16"), Some(both));
    // What the RIB makes of it a moment later.
    t.desire("10.1.0.0/16", via("10.0.2.9", 2));
    assert_eq!(changes(&t.settle()), ["replace"]);
}

#[test]
fn the_last_address_of_a_link_takes_its_routes_along() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.kernel.remove_address(address(3, "10.0.3.1", 24));
    t.settle();
    assert_eq!(t.status("10.1.0.0/16").to_string(), "gateway-unreachable");
    t.kernel.add_address(address(3, "10.0.3.1", 24));
    t.settle();
    assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
}

#[test]
fn drift_is_found_by_a_resync() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.desire("10.2.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.kernel.event_capacity = Some(0);
    t.kernel.delete_any(p("10.1.0.0/16"), t.metric());
    t.settle();
    assert_eq!(t.planner.counters().drifted, 1);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
}

/// What is done while a dump is made may be missing in it, or still be in it.
#[test]
fn a_dump_older_than_our_operations_does_not_undo_them() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.desire("10.2.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.planner.audit(t.now);
    t.ask_for_dump();
    t.planner.desire(p("10.1.0.0/16"), None);
    t.desire("10.2.0.0/16", via("10.0.2.9", 2));
    t.desire("10.3.0.0/16", via("10.0.3.9", 3));
    t.send_unread(10);
    t.events();
    // Back to what the dump showed.
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.desire("10.2.0.0/16", via("10.0.3.9", 3));
    t.settle();
    for prefix in ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"] {
        assert_eq!(t.status(prefix), InstallState::Installed);
        assert_eq!(t.installed(prefix), Some(via("10.0.3.9", 3)), "{prefix}");
    }
    assert_eq!(t.planner.counters().drifted, 0);
}

#[test]
fn what_was_removed_while_a_dump_was_made_is_forgotten_with_it() {
    let mut t = Pair::new();
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    t.settle();
    t.planner.audit(t.now);
    t.ask_for_dump();
    t.planner.desire(p("10.1.0.0/16"), None);
    t.send_unread(10);
    assert_eq!(t.status("10.1.0.0/16"), InstallState::NotDesired);
    t.settle();
    assert_eq!(t.kernel.routes().count(), 0);
    assert_eq!(t.planner.iter().count(), 0);
}

/// A planner whose routes were under these marks before, and one such route.
fn after(protocol: u8, metric: u32) -> Pair {
    let mut t = Pair::new();
    let former = Marks {
        table: FibConfig::TABLE_MAIN,
        protocol,
        metric: metric.try_into().unwrap(),
    };
    let config = FibConfig {
        former: vec![former],
        ..t.planner.config().clone()
    };
    t.planner = Planner::new(config, 9);
    let to = Gateway::via("10.0.3.9".parse().unwrap(), 3).into();
    let route = t.kernel.foreign(p("10.1.0.0/16"), protocol, metric, to);
    t.kernel.put_foreign(route);
    while t.kernel.next_event().is_some() {}
    t.kernel.request_dump();
    t
}

#[test]
fn a_route_under_a_former_metric_is_in_nobodys_way() {
    let mut t = after(FibConfig::PROTOCOL_BGP, 7);
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    assert_eq!(changes(&t.settle()), ["add"]);
    assert_eq!(t.status("10.1.0.0/16"), InstallState::Installed);
    assert_eq!(t.kernel.routes().count(), 2);
    t.planner.sweep();
    assert_eq!(t.settle(), []);
    // Once nothing is left, whoever has such routes is somebody else.
    t.kernel.delete_any(p("10.1.0.0/16"), 7);
    t.events();
    t.planner.forget_former_marks();
    t.foreign("10.1.0.0/16", 7, 2);
    t.settle();
    assert_eq!(t.status("10.1.0.0/16").to_string(), "foreign-route");
}

#[test]
fn a_route_of_a_former_protocol_is_replaced_in_its_place() {
    let mut t = after(STATIC, FibConfig::METRIC.get());
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    assert_eq!(changes(&t.settle()), ["replace"]);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
    assert_eq!(t.kernel.routes().count(), 1);
}

#[test]
fn a_route_of_a_former_protocol_that_comes_late_is_replaced_too() {
    let mut t = after(STATIC, FibConfig::METRIC.get());
    let late = t.kernel.routes().next().unwrap().clone();
    t.kernel.delete_any(late.prefix, late.metric);
    while t.kernel.next_event().is_some() {}
    t.kernel.request_dump();
    t.settle();
    t.kernel.put_foreign(late);
    t.desire("10.1.0.0/16", via("10.0.3.9", 3));
    assert_eq!(changes(&t.settle()), ["add", "replace"]);
    assert_eq!(t.installed("10.1.0.0/16"), Some(via("10.0.3.9", 3)));
}

#[test]
fn a_route_of_a_former_protocol_that_nobody_wants_is_left_to_its_removal() {
    let mut t = after(STATIC, FibConfig::METRIC.get());
    t.settle();
    t.planner.sweep();
    t.settle();
    assert_eq!(t.kernel.routes().count(), 1);
    assert_eq!(t.planner.iter().count(), 0);
    let removal = Removal {
        marks: t.planner.config().former.iter().copied().collect(),
        ..Removal::default()
    };
    let KernelEvent::Synced(dump) = t.kernel.synced() else {
        panic!("no dump");
    };
    assert_eq!(removal.requests(&dump).len(), 1);
}
