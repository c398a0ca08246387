//! Real sockets on the loopback device.

use core::num::NonZeroU8;
use tokio::net::UdpSocket;

use super::*;
use crate::bfd::Hops;

const PATIENCE: Duration = Duration::from_secs(20);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(remote: &str) -> SessionKey {
    SessionKey {
        remote: ip(remote),
        interface: None,
        hops: Hops::Single,
    }
}

/// A session between two addresses of the loopback device.
fn session(local: &str, remote: &str) -> (SessionKey, BfdSession) {
    let config = Config {
        desired_min_tx: Duration::from_millis(50),
        required_min_rx: Duration::from_millis(50),
        detect_multiplier: NonZeroU8::new(5).unwrap(),
        passive: false,
        minimum_ttl: 1,
    };
    let local = Some(ip(local));
    (key(remote), BfdSession { local, config })
}

/// Waits until what the thread shows is so.
async fn until(bfd: &mut Bfd, holds: impl Fn(&BfdView) -> bool) -> Arc<BfdView> {
    let waited = tokio::time::timeout(PATIENCE, async {
        // Counters change without a word.
        while !holds(&bfd.view()) {
            let _ = tokio::time::timeout(SECOND, bfd.view.changed()).await;
        }
    });
    waited.await.unwrap();
    bfd.view()
}

fn is_up(view: &BfdView, remote: &str) -> bool {
    let status = view.sessions.get(&key(remote));
    status.is_some_and(|status| status.state == State::Up)
}

/// Both ends in one thread: what one sends, the other hears.
#[tokio::test]
async fn packets_go_round_with_the_ttl_that_they_must_have() {
    let mut bfd = Bfd::start(Clock::new(), 7).unwrap();
    let both = [
        session("127.0.0.82", "127.0.0.83"),
        session("127.0.0.83", "127.0.0.82"),
    ];
    bfd.set(both.into());
    let view = until(&mut bfd, |view| {
        is_up(view, "127.0.0.82") && is_up(view, "127.0.0.83")
    })
    .await;
    assert_eq!(view.deaf, BTreeMap::new());
    // Somebody who says the same from further away.
    let far = UdpSocket::bind("127.0.0.82:0").await.unwrap();
    let mut packet = [0x20, 0x40, 5, 24].to_vec();
    packet.resize(24, 1);
    far.send_to(&packet, "127.0.0.83:3784").await.unwrap();
    until(&mut bfd, |view| view.discarded.get("ttl") == Some(&1)).await;
    // The end is told, and is no failure.
    bfd.set([session("127.0.0.82", "127.0.0.83")].into());
    let view = until(&mut bfd, |view| {
        let status = view.sessions.get(&key("127.0.0.83"));
        status.is_some_and(|status| status.state != State::Up)
    })
    .await;
    assert_eq!(view.sessions[&key("127.0.0.83")].failures, 0);
    bfd.farewell().await;
    until(&mut bfd, |view| view.sessions.is_empty()).await;
}

#[test]
fn each_session_sends_from_a_port_of_its_own_above_49151() {
    let mut ports = u16::MAX;
    let mut open = || {
        let sender = Sender::open(key("127.0.0.1"), None, &mut ports).unwrap();
        let port = sender.port();
        (sender, port)
    };
    let senders: Vec<(Sender, u16)> = (0..3).map(|_| open()).collect();
    let used: std::collections::BTreeSet<u16> = senders.iter().map(|(_, port)| *port).collect();
    assert_eq!(used.len(), 3);
    assert!(used.iter().all(|port| *port >= 49152), "{used:?}");
}

/// The nice values of the threads of that name.
fn nice(name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| {
        let stat = task.ok()?.path().join("stat");
        std::fs::read_to_string(stat).ok()
    });
    let ours = stats.filter(|stat| stat.contains(name));
    // proc_pid_stat(5): the name in brackets is field 2, the nice value is field 19.
    let nice = ours.filter_map(|stat| {
        let (_, rest) = stat.rsplit_once(") ")?;
        Some(rest.split(' ').nth(16)?.to_owned())
    });
    nice.collect()
}

#[tokio::test]
async fn the_thread_goes_before_others_where_it_may() {
    let bfd = Bfd::start(Clock::new(), 1).unwrap();
    // What this thread may, others may.
    let may = rustix::process::setpriority_process(None, PRECEDENCE).is_ok();
    let expected = if may { "-10" } else { "0" };
    let there = async {
        // Tests beside this one may just be starting theirs.
        while nice("(bfd)").is_empty() || nice("(bfd)").iter().any(|it| it != expected) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap();
    drop(bfd);
}
