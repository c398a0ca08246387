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
    peer.role = PeerRole::Mesh {
        node: "n".to_owned(),
    };
    peer.rules.client = client;
    peer.rules.cluster_id = client.then_some(7);
    peer
}

/// Wants `r`, and `b` only until `until`.
fn target(until: Until) -> Arc<DesiredState> {
    let spare = Spare {
        peer: Peer {
            role: crate::compile::PeerRole::Mesh {
                node: "b".to_owned(),
            },
            ..peer(false)
        },
        until,
        prefixes: BTreeSet::new(),
    };
    Arc::new(DesiredState {
        peers: Arc::new([(name("r"), peer(false).into())].into()),
        spare: Arc::new([(name("b"), spare)].into_iter().collect()),
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
        Self::towards(target(until), &running(names))
    }

    /// From sessions with these rules to `target`.
    fn towards(target: Arc<DesiredState>, running: &BTreeMap<PeerName, PeerRules>) -> Self {
        let mut transition = Transition::default();
        transition.begin(Instant::ZERO, &target, running);
        Self {
            transition,
            target,
            now: Instant::ZERO,
            asked: RefCell::default(),
        }
    }

    /// Lets so many of them pass.
    fn pass(&mut self, seconds: usize, standing: impl Fn(&PeerName) -> Standing) {
        for _ in 0..seconds {
            let sessions = Played {
                served: true,
                standing: &standing,
                up: true,
                asked: &self.asked,
            };
            self.transition.poll(self.now, &self.target, &sessions);
            self.now = self.now + LOOK_AGAIN;
        }
    }

    /// The number of seconds after which the session has ended.
    fn ends_after(&mut self, served: bool, standing: Standing, limit: usize) -> Option<usize> {
        (0..limit).find(|_| {
            let sessions = Played {
                served,
                standing: |_: &PeerName| standing,
                up: true,
                asked: &self.asked,
            };
            let ended = self.transition.poll(self.now, &self.target, &sessions);
            self.now = self.now + LOOK_AGAIN;
            ended
        })
    }
}

/// What is said of the sessions.
struct Played<'a, F> {
    served: bool,
    standing: F,
    up: bool,
    asked: &'a RefCell<usize>,
}

impl<F: Fn(&PeerName) -> Standing> Sessions for Played<'_, F> {
    fn served(&self) -> bool {
        self.served
    }

    fn is_up(&self, _: &PeerName) -> bool {
        self.up
    }

    fn standing(&self, name: &PeerName, _: &Spare) -> Standing {
        *self.asked.borrow_mut() += 1;
        (self.standing)(name)
    }

    fn is_needless(&self, name: &PeerName) -> bool {
        (self.standing)(name).replaced
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
        peers: Arc::new(
            [
                (name("b"), peer(false).into()),
                (name("r"), peer(false).into()),
            ]
            .into(),
        ),
        ..DesiredState::idle(kernel())
    });
    steps
        .transition
        .begin(steps.now, &wanted, &running(&["b", "r"]));
    assert_eq!(steps.ends_after(true, REPLACED, 100), None);
    assert_eq!(*steps.asked.borrow(), 0);
    assert!(Arc::ptr_eq(&steps.transition.in_force(&wanted), &wanted));
}

/// As long as the session is up, and through a gap of it: the client may have heard of nothing.
#[test]
fn who_is_no_reflector_any_more_reflects_to_its_clients_until_their_sessions_end() {
    let (mut transition, target) = (Transition::default(), target(Until::Replaced));
    let reflected = [(name("r"), peer(true).rules)].into();
    transition.begin(Instant::ZERO, &target, &reflected);
    let rules = |transition: &Transition| transition.in_force(&target).peers[&name("r")].rules;
    // The cluster goes on without us: as its member we would be refused there.
    assert_eq!(
        (rules(&transition).client, rules(&transition).cluster_id),
        (true, None)
    );
    let asked = RefCell::default();
    let poll = |transition: &mut Transition, at, up| {
        let standing = |_: &PeerName| NEEDED;
        let (served, asked) = (true, &asked);
        let sessions = Played {
            served,
            standing,
            up,
            asked,
        };
        transition.poll(at, &target, &sessions)
    };
    let mut now = Instant::ZERO;
    for up in [true, false, true, false] {
        for _ in 1..SETTLE.as_secs() {
            assert!(!poll(&mut transition, now, up), "{up}");
            now = now + LOOK_AGAIN;
        }
        if up {
            // What is in force is not what was asked for: it does not end it either.
            transition.begin(now, &target, &reflected);
            assert!(!poll(&mut transition, now, up));
            now = now + LOOK_AGAIN;
        }
        assert!(rules(&transition).client);
    }
    assert!(poll(&mut transition, now, false));
    assert!(!rules(&transition).client);
    assert_eq!(transition.poll_timeout(), None);
}

/// One of them is reached by nobody else, so the others reach it by us.
#[test]
fn sessions_with_former_clients_end_all_at_once() {
    let spare = |node: &str| Spare {
        peer: Peer {
            role: crate::compile::PeerRole::Mesh {
                node: node.to_owned(),
            },
            ..peer(false)
        },
        until: Until::Replaced,
        prefixes: BTreeSet::new(),
    };
    let names = ["b", "c", "d"];
    let target = Arc::new(DesiredState {
        peers: Arc::new([(name("r"), peer(false).into())].into()),
        spare: Arc::new(names.iter().map(|n| (name(n), spare(n))).collect()),
        settle: SETTLE,
        ..DesiredState::idle(kernel())
    });
    let mut reflected = running(&["d", "r"]);
    for client in ["b", "c"] {
        reflected.insert(name(client), peer(true).rules);
    }
    let mut steps = Steps::towards(target, &reflected);
    let mut pass = |seconds, needed: &str| {
        steps.pass(seconds, |who| match who.0 == needed {
            true => NEEDED,
            false => REPLACED,
        });
        in_force(&steps.transition, &steps.target)
    };
    // `d` was no client, and nobody reaches anybody by us who is reached by `d`.
    assert_eq!(pass(200, "b"), ["b", "c", "r"]);
    assert_eq!(pass(60, ""), ["b", "c", "r"]);
    assert_eq!(pass(1, ""), ["r"]);
}

/// What the other reflectors of the cluster tell is refused once the same has come from others.
#[test]
fn who_enters_a_cluster_hears_its_reflectors_until_it_needs_them_no_more() {
    let target = Arc::new(DesiredState {
        peers: Arc::new(
            [(
                name("r"),
                Peer {
                    rules: peer(true).rules,
                    ..peer(false)
                }
                .into(),
            )]
            .into(),
        ),
        settle: SETTLE,
        ..DesiredState::idle(kernel())
    });
    let mut steps = Steps::towards(target, &running(&["r"]));
    let cluster = |steps: &Steps| {
        let in_force = steps.transition.in_force(&steps.target);
        in_force.peers[&name("r")].rules.cluster_id
    };
    for (seconds, standing, expected) in [
        (100, NEEDED, None),
        (60, REPLACED, None),
        (1, REPLACED, Some(7)),
    ] {
        steps.pass(seconds, |_| standing);
        assert_eq!(cluster(&steps), expected);
    }
    assert_eq!(steps.transition.poll_timeout(), None);
    // With a session that is new there is nothing to lose.
    let Steps {
        transition,
        target,
        now,
        ..
    } = &mut steps;
    transition.begin(*now, target, &running(&[]));
    assert_eq!(cluster(&steps), Some(7));
}

/// What a router is to us changes when its object does.
#[test]
fn a_router_that_is_no_client_any_more_is_none_at_once() {
    let router = |client| Peer {
        role: PeerRole::Router,
        ..peer(client)
    };
    let target = Arc::new(DesiredState {
        peers: Arc::new([(name("r"), router(false).into())].into()),
        settle: SETTLE,
        ..DesiredState::idle(kernel())
    });
    let mut transition = Transition::default();
    let before = [(name("r"), router(true).rules)].into();
    transition.begin(Instant::ZERO, &target, &before);
    assert!(Arc::ptr_eq(&transition.in_force(&target), &target));
}
