//! The state machine alone, and a whole cluster of it in virtual time.

use std::{cell::RefCell, collections::BTreeSet};

use super::*;
use crate::compile::{Kernel, Peer};

mod cluster;

const SETTLE: Duration = Duration::from_secs(60);

fn kernel() -> Kernel {
    Kernel::default()
}

fn name(name: &str) -> PeerName {
    PeerName(name.to_owned())
}

fn peer(client: bool) -> Peer {
    let mut peer = super::super::tests::passive_router(([192, 0, 2, 1], 179).into());
    peer.rules.client = client;
    peer.rules.cluster_id = client.then_some(7);
    peer
}

/// Wants `r`, and `b` only until `until`.
fn target(until: Until) -> Arc<DesiredState> {
    let spare = Spare {
        peer: peer(false),
        until,
        prefixes: BTreeSet::new(),
    };
    Arc::new(DesiredState {
        peers: Arc::new([(name("r"), peer(false))].into()),
        spare: [(name("b"), spare)].into(),
        settle: SETTLE,
        ..DesiredState::idle(kernel())
    })
}

fn running(names: &[&str]) -> BTreeMap<PeerName, PeerRules> {
    let rules = |n: &&str| (name(n), PeerRules::default());
    names.iter().map(rules).collect()
}

fn in_force(transition: &Transition, target: &Arc<DesiredState>) -> Vec<String> {
    let peers = transition.in_force(target);
    peers.peers.keys().map(|name| name.0.clone()).collect()
}

/// Steps of one second, and whether a step changed something.
struct Steps {
    transition: Transition,
    target: Arc<DesiredState>,
    now: Instant,
    asked: RefCell<usize>,
}

impl Steps {
    fn new(until: Until, names: &[&str]) -> Self {
        let (mut transition, target) = (Transition::default(), target(until));
        transition.begin(Instant::ZERO, &target, &running(names));
        Self {
            transition,
            target,
            now: Instant::ZERO,
            asked: RefCell::default(),
        }
    }

    /// The number of seconds after which the session has ended.
    fn ends_after(&mut self, served: bool, standing: Standing, limit: usize) -> Option<usize> {
        (0..limit).find(|_| {
            let ended = self
                .transition
                .poll(self.now, &self.target, served, |_, _| {
                    *self.asked.borrow_mut() += 1;
                    standing
                });
            self.now = self.now + LOOK_AGAIN;
            ended
        })
    }
}

const NEEDED: Standing = Standing {
    idle: false,
    replaced: false,
};
const REPLACED: Standing = Standing {
    idle: false,
    replaced: true,
};
const IDLE: Standing = Standing {
    idle: true,
    replaced: false,
};

#[test]
fn a_session_that_is_not_there_is_not_made() {
    let steps = Steps::new(Until::Replaced, &["r"]);
    assert_eq!(in_force(&steps.transition, &steps.target), ["r"]);
    assert!(Arc::ptr_eq(
        &steps.transition.in_force(&steps.target),
        &steps.target
    ));
    assert_eq!(steps.transition.poll_timeout(), None);
}

#[test]
fn a_session_ends_when_its_routes_have_come_another_way_for_a_while() {
    let mut steps = Steps::new(Until::Replaced, &["b", "r"]);
    assert_eq!(in_force(&steps.transition, &steps.target), ["b", "r"]);
    assert_eq!(steps.ends_after(true, NEEDED, 1000), None);
    assert_eq!(
        steps.ends_after(false, REPLACED, 1000),
        None,
        "by nobody we know"
    );
    assert_eq!(steps.ends_after(true, REPLACED, 30), None);
    // A gap: all over again.
    assert_eq!(steps.ends_after(true, NEEDED, 1), None);
    assert_eq!(steps.ends_after(true, REPLACED, 1000), Some(60));
    assert_eq!(in_force(&steps.transition, &steps.target), ["r"]);
    assert_eq!(steps.transition.poll_timeout(), None);
}

#[test]
fn a_session_that_carries_nothing_ends_too() {
    let mut steps = Steps::new(Until::Replaced, &["b", "r"]);
    assert_eq!(steps.ends_after(true, IDLE, 1000), Some(60));
}

#[test]
fn within_the_hysteresis_a_session_stays_while_it_is_up() {
    let mut steps = Steps::new(Until::Down, &["b", "r"]);
    assert_eq!(steps.ends_after(true, REPLACED, 1000), None);
    assert_eq!(steps.ends_after(true, IDLE, 1000), Some(60));
}

#[test]
fn another_configuration_does_not_start_the_wait_anew() {
    let mut steps = Steps::new(Until::Replaced, &["b", "r"]);
    assert_eq!(steps.ends_after(true, REPLACED, 50), None);
    let again = running(&["b", "r"]);
    steps.transition.begin(steps.now, &steps.target, &again);
    assert_eq!(steps.ends_after(true, REPLACED, 1000), Some(10));
}

#[test]
fn a_session_that_is_wanted_again_stays() {
    let mut steps = Steps::new(Until::Replaced, &["b", "r"]);
    let wanted = Arc::new(DesiredState {
        peers: Arc::new([(name("b"), peer(false)), (name("r"), peer(false))].into()),
        ..DesiredState::idle(kernel())
    });
    steps
        .transition
        .begin(steps.now, &wanted, &running(&["b", "r"]));
    assert_eq!(steps.ends_after(true, REPLACED, 100), None);
    assert_eq!(*steps.asked.borrow(), 0);
    assert!(Arc::ptr_eq(&steps.transition.in_force(&wanted), &wanted));
}

#[test]
fn who_is_no_reflector_any_more_reflects_for_a_while() {
    let (mut transition, target) = (Transition::default(), target(Until::Replaced));
    let begin = Instant::ZERO;
    let reflected = [(name("r"), peer(true).rules)].into();
    transition.begin(begin, &target, &reflected);
    let rules = |transition: &Transition| transition.in_force(&target).peers[&name("r")].rules;
    assert_eq!(
        (rules(&transition).client, rules(&transition).cluster_id),
        (true, Some(7))
    );
    let poll = |transition: &mut Transition, at| transition.poll(at, &target, true, |_, _| NEEDED);
    assert!(!poll(&mut transition, begin + SETTLE / 2));
    // What is in force is not what was asked for: it does not start the wait anew.
    transition.begin(begin + SETTLE / 2, &target, &reflected);
    assert_eq!(transition.poll_timeout(), Some(begin + SETTLE));
    assert!(poll(&mut transition, begin + SETTLE));
    assert!(!rules(&transition).client);
}
