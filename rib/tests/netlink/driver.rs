//! The driver's own promises: nothing waited for in vain, nothing lost unnoticed, errors with words.

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::sync::Arc;

use redstart_rib::{
    fib::{InstallState, KernelEvent, KernelRoute, OpError, Route},
    netlink::{self, NetlinkConfig},
};

use crate::lab::{self, Node, gateway, in_namespace, ip, p, unicast};

#[test]
fn the_dump_shows_just_what_was_asked_for() {
    in_namespace(async {
        let mut node = Node::start().await;
        node.desire(
            "10.2.0.0/16",
            unicast(&[gateway("10.0.2.9", 2), gateway("10.0.3.9", 3)]),
        );
        node.desire(
            "fd02::/64",
            unicast(&[gateway("fd00:2::9", 2), gateway("fe80::9", 3)]),
        );
        node.desire("fd03::/64", Route::blackhole());
        node.desire("10.3.0.0/16", unicast(&[gateway("fe80::9", 2)]));
        node.settle().await;
        node.assert_kernel_agrees().await;
        // A dump that agrees is no drift.
        node.planner.audit(node.now());
        node.until("a resync", |n| n.planner.counters().resyncs == 2)
            .await;
        assert_eq!(node.planner.counters().drifted, 0);
        assert_eq!(node.planner.counters().added, 4);
    });
}

#[test]
fn a_refusal_comes_with_the_kernels_own_words() {
    in_namespace(async {
        let mut node = Node::inline().await;
        node.desire("10.1.0.0/16", unicast(&[gateway("192.0.2.1", 2)]));
        node.settle().await;
        assert_eq!(
            node.planner.status(p("10.1.0.0/16")).to_string(),
            "gateway-unreachable"
        );
        let ops = {
            node.planner
                .desire(p("10.1.0.0/16"), Some(unicast(&[gateway("192.0.2.2", 2)])));
            node.planner.next_batch(node.now(), 1)
        };
        let outcome = node.handle.apply(ops).await;
        let error = outcome[0].1.clone().unwrap_err();
        assert_eq!(
            error.to_string(),
            "refused by the kernel: Nexthop has invalid gateway (errno 101)"
        );
    });
}

#[test]
fn what_a_slow_consumer_missed_comes_as_a_dump() {
    in_namespace(async {
        let config = NetlinkConfig {
            event_capacity: 4,
            ..NetlinkConfig::default()
        };
        let (handle, mut events) = netlink::open(config).unwrap();
        assert!(matches!(events.recv().await, Some(KernelEvent::Synced(_))));
        for i in 0..100 {
            ip(&[
                "route",
                "add",
                &format!("10.50.{i}.0/24"),
                "via",
                "10.0.2.9",
            ]);
            tokio::task::yield_now().await;
        }
        let mut overruns = 0;
        let dump = loop {
            match events.recv().await.unwrap() {
                KernelEvent::Overrun => {
                    overruns += 1;
                    handle.resync();
                }
                KernelEvent::Synced(dump) => break dump,
                _ => {}
            }
        };
        assert_eq!(overruns, 1);
        let there = |r: &&KernelRoute| p("10.50.0.0/16").covers(r.prefix);
        assert_eq!(dump.routes.iter().filter(there).count(), 100);
    });
}

#[test]
fn what_happens_while_a_dump_is_made_is_told_before_it_and_with_it() {
    const DUMPS: usize = 5;
    in_namespace(async {
        // Enough for a dump to take a while. Nobody listens yet: the kernel makes whoever adds routes wait
        // for listeners that do not keep up.
        let many = (0..50_000).map(|i| {
            format!(
                "route add 10.{}.{}.{}/32 dev eth2",
                60 + i / 65536,
                i / 256 % 256,
                i % 256
            )
        });
        lab::ip_batch(many);
        let (handle, mut events) = netlink::open(NetlinkConfig::default()).unwrap();
        assert!(matches!(events.recv().await, Some(KernelEvent::Synced(_))));

        let is_down =
            |e: &KernelEvent| matches!(e, KernelEvent::Link(link) if link.ifindex == 3 && !link.up);
        let mut during = 0;
        while during < DUMPS {
            // Not all the time: a dump that is interrupted again and again is put off.
            let flaps = ["down", "up"].map(|to| format!("link set eth3 {to}"));
            let flaps = flaps.into_iter().cycle().take(40);
            let flapping = std::thread::Builder::new().spawn(|| lab::ip_batch(flaps));
            let flapping = flapping.unwrap();
            while !flapping.is_finished() {
                handle.resync();
                let mut told = Vec::new();
                let dump = loop {
                    match events.recv().await.unwrap() {
                        KernelEvent::Synced(dump) => break dump,
                        event => told.push(event),
                    }
                };
                assert!(dump.routes.len() > 50_000);
                assert!(told.ends_with(&dump.since), "{told:?} {:?}", dump.since);
                during += usize::from(dump.since.iter().any(is_down));
            }
            flapping.join().unwrap();
        }
    });
}

#[test]
fn an_overrun_of_the_sockets_buffer_is_noticed() {
    in_namespace(async {
        // The smallest buffer that the kernel grants, and nobody reads while events pour in.
        let config = NetlinkConfig {
            receive_buffer: 1,
            ..NetlinkConfig::default()
        };
        let (handle, mut events) = netlink::open(config).unwrap();
        // What the links tell when they have come up may be too much for it already.
        while !matches!(events.recv().await, Some(KernelEvent::Synced(_))) {}
        for i in 0..100 {
            ip(&[
                "route",
                "add",
                &format!("10.50.{i}.0/24"),
                "via",
                "10.0.2.9",
            ]);
        }
        let mut overrun = false;
        loop {
            match events.recv().await.unwrap() {
                KernelEvent::Overrun => {
                    overrun = true;
                    handle.resync();
                }
                KernelEvent::Synced(dump) => {
                    let there = |r: &&KernelRoute| p("10.50.0.0/16").covers(r.prefix);
                    assert_eq!(dump.routes.iter().filter(there).count(), 100);
                    break;
                }
                _ => {}
            }
        }
        assert!(overrun);
    });
}

#[test]
fn answers_that_overflow_the_buffer_are_lost_but_not_waited_for() {
    in_namespace(async {
        // With the smallest buffer most refusals of a batch are dropped, and perhaps the word that
        // they were all. A library that waits for them would do so until the end of time.
        let config = NetlinkConfig {
            receive_buffer: 1,
            ..NetlinkConfig::default()
        };
        let mut node = Node::inline_with(config).await;
        let all = |node: &mut Node, via: &str| {
            for i in 0..200 {
                node.desire(&format!("10.50.{i}.0/24"), unicast(&[gateway(via, 2)]));
            }
        };
        all(&mut node, "192.0.2.1");
        let batch = node.planner.next_batch(node.now(), 256);
        let started = tokio::time::Instant::now();
        let outcomes = node.handle.apply(batch).await;
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "waited for the timeout"
        );
        assert_eq!(outcomes.len(), 200);
        let lost = outcomes
            .iter()
            .filter(|(_, o)| *o == Err(OpError::Lost))
            .count();
        assert!(lost > 0, "nothing was lost");
        for (id, outcome) in outcomes {
            node.planner.on_reply(node.now(), id, outcome);
        }
        assert_eq!(node.planner.counters().lost, lost as u64);
        all(&mut node, "10.0.2.9");
        node.reconnect(NetlinkConfig::default());
        node.settle_all().await;
        node.assert_all_installed();
        node.assert_kernel_agrees().await;
    });
}

#[test]
fn without_the_capability_the_reason_names_it_and_events_still_come() {
    in_namespace(async {
        ip(&["route", "add", "10.9.0.0/16", "via", "10.0.2.7"]);
        lab::drop_privileges();
        let mut node = Node::with(NetlinkConfig::default()).await;
        node.desire("10.1.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        node.push().await;
        let InstallState::Parked(reason) = node.planner.status(p("10.1.0.0/16")) else {
            panic!("not parked");
        };
        assert_eq!(reason.id(), "permission-denied");
        assert!(reason.to_string().contains("CAP_NET_ADMIN"));
        node.desire("10.9.0.0/16", unicast(&[gateway("10.0.2.9", 2)]));
        assert_eq!(
            node.planner.status(p("10.9.0.0/16")).to_string(),
            "foreign-route"
        );
    });
}

#[test]
fn a_dump_lacks_nothing_while_others_come_and_go() {
    // The kernel marks a dump that it interrupted, and the library says nothing of the mark.
    in_namespace(async {
        let mut node = Node::start().await;
        for i in 0..3000 {
            let prefix = format!("10.{}.{}.0/24", 100 + i / 250, i % 250);
            node.desire(&prefix, unicast(&[gateway("10.0.2.9", 2)]));
        }
        node.settle().await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let others = std::thread::Builder::new().spawn(move || {
            let mut rounds = 0;
            while !stopped.load(Ordering::Relaxed) {
                ip(&["route", "add", "10.60.0.0/24", "dev", "eth2"]);
                ip(&["route", "del", "10.60.0.0/24", "dev", "eth2"]);
                rounds += 1;
            }
            rounds
        });
        for _ in 0..10 {
            let dump = node.handle.dump().await.unwrap();
            let there = |r: &&KernelRoute| p("10.96.0.0/11").covers(r.prefix);
            assert_eq!(dump.routes.iter().filter(there).count(), 3000);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(others.unwrap().join().unwrap() > 0, "nothing came or went");
    });
}

/// The nice values of the threads that write, of this test's and of others.
fn nice() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| {
        let stat = task.ok()?.path().join("stat");
        std::fs::read_to_string(stat).ok()
    });
    // proc_pid_stat(5): the name in brackets is field 2, the nice value is field 19.
    let ours = stats.filter(|stat| stat.contains("(netlink)"));
    let nice = ours.filter_map(|stat| {
        let (_, rest) = stat.rsplit_once(") ")?;
        Some(rest.split(' ').nth(16)?.to_owned())
    });
    nice.collect()
}

#[test]
fn the_thread_that_writes_goes_before_others_where_it_may() {
    in_namespace(async {
        let _node = Node::start().await;
        // What this thread may, others may.
        let may = rustix::process::setpriority_process(None, -10).is_ok();
        let expected = if may { "-10" } else { "0" };
        // It may not have its name yet, and tests beside this one may just be starting theirs.
        loop {
            let nice = nice();
            if !nice.is_empty() && nice.iter().all(|it| it == expected) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}
