//! The lab itself: with BIRD as the speaker on every node, everything that a steady lab must show
//! holds. Without this, a check that can never hold, or never fail, would tell nothing of Redstart.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{collections::BTreeSet, thread, time::Duration};

use redstart_proto_tests::lab::{
    checks::{self, purity, reachability, routes, sessions},
    exclusive::TestLab,
    kernel::RouteMonitor,
    netns,
    process::{ProcessRecord, Signal},
    run_dir::RunDir,
    speaker::{Source, SpeakerKind},
    topology::{Topology, TorKind},
    traffic::{Stream, endpoints},
};

fn control(name: &str, tor: TorKind) -> TestLab {
    let lab = env!("CARGO_BIN_EXE_lab");
    TestLab::up(name, tor, Source::Objects, SpeakerKind::Bird, lab).unwrap()
}

#[test]
fn stand_in_speakers_pass_every_steady_check_behind_each_kind_of_router() {
    for tor in TorKind::ALL {
        let lab = control("control", tor);
        checks::converged(&lab.lab).unwrap();
        assert_eq!(reachability::ping(&lab.lab).unwrap(), 72, "{tor}");
        assert_eq!(reachability::tcp(&lab.lab).unwrap(), 72, "{tor}");
        purity::no_nat_no_tunnel(&lab.lab).unwrap();
    }
}

#[test]
fn the_checks_notice_what_is_wrong() {
    let mut lab = control("notice", TorKind::Bird);
    let lab = &mut lab.lab;
    checks::converged(lab).unwrap();
    let expected = routes::expected(&lab.topology);
    let before = sessions::SessionSnapshot::take(lab).unwrap();

    let n1 = lab.netns("n1");
    n1.ip(&["route add 10.244.2.0/24 via 10.10.0.254 metric 7".to_owned()])
        .unwrap();
    let twice = routes::all(lab, &expected).unwrap_err().to_string();
    assert!(
        twice.contains("n1 has 2 routes to 10.244.2.0/24"),
        "{twice}"
    );
    n1.ip(&["route del 10.244.2.0/24 metric 7".to_owned()])
        .unwrap();
    n1.ip(&["route add 10.9.0.0/16 via 10.10.0.254 proto bgp".to_owned()])
        .unwrap();
    let stranger = routes::all(lab, &expected).unwrap_err().to_string();
    assert!(
        stranger.contains("10.9.0.0/16 that nobody should announce"),
        "{stranger}"
    );
    n1.ip(&["route del 10.9.0.0/16".to_owned()]).unwrap();
    routes::all(lab, &expected).unwrap();

    let rules = "add table ip t; add chain ip t c { type nat hook postrouting priority 100; }; \
                 add rule ip t c masquerade";
    n1.output("nft", &[rules]).unwrap();
    let nat = purity::no_nat_no_tunnel(lab).unwrap_err().to_string();
    assert!(nat.contains("masquerade"), "{nat}");
    let translated = reachability::tcp(lab).unwrap_err().to_string();
    assert!(
        translated.contains("somebody translates addresses"),
        "{translated}"
    );
    n1.output("nft", &["delete table ip t"]).unwrap();

    before.unchanged(lab).unwrap();
    lab.stop_speaker("n2", Signal::Terminate).unwrap();
    assert!(before.unchanged(lab).is_err());
    assert!(routes::all(lab, &expected).is_err());
    assert!(reachability::ping(lab).is_err());
}

#[test]
fn lost_packets_and_changed_routes_are_noticed() {
    let lab = control("loss", TorKind::Bird);
    let lab = &lab.lab;
    checks::converged(lab).unwrap();
    let endpoints = endpoints(lab).unwrap();
    let (ext, pod) = (&endpoints[0], &endpoints[1]);
    let n1 = lab.netns("n1");
    let quiet = RouteMonitor::start(&n1).unwrap();
    let stream = Stream::start(ext, pod).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(stream.stop().unwrap() > 10);
    assert_eq!(quiet.changes().unwrap(), [""; 0]);

    let monitor = RouteMonitor::start(&n1).unwrap();
    let stream = Stream::start(ext, pod).unwrap();
    n1.ip(&["route add blackhole 10.20.0.10".to_owned()])
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    n1.ip(&["route del blackhole 10.20.0.10".to_owned()])
        .unwrap();
    let loss = stream.stop().unwrap_err().to_string();
    assert!(loss.contains("packets arrived"), "{loss}");
    let changes = monitor.changes().unwrap();
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[test]
fn nothing_is_left_behind() {
    let lab = control("leftovers", TorKind::Frr);
    let name = lab.lab.topology.lab.clone();
    let records = lab.lab.processes().records().unwrap();
    assert_eq!(
        records.len(),
        5,
        "two daemons of FRR, three speakers: {records:?}"
    );
    let roles: BTreeSet<&str> = records.iter().map(|record| record.role.as_str()).collect();
    assert_eq!(roles.len(), 5);
    drop(lab);
    assert!(records.iter().all(|record| !record.is_alive()));
    let namespaces = netns::list().unwrap();
    for gone in Topology::every_namespace(&name) {
        assert!(!namespaces.contains(&gone), "{gone}");
    }
    assert!(!RunDir::of(&name).path().exists());
}

#[test]
fn a_new_lab_clears_what_a_crash_left_of_the_old_one() {
    let mut first = control("crash", TorKind::Bird);
    let records = first.lab.processes().records().unwrap();
    // As after SIGKILL: nothing is cleaned up, and the new lab is another process's.
    first.lab.keep();
    drop(first);
    assert!(records.iter().all(ProcessRecord::is_alive));
    let second = control("crash", TorKind::Ecmp);
    assert!(records.iter().all(|record| !record.is_alive()));
    checks::converged(&second.lab).unwrap();
}
