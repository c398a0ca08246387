//! What an operator reads of two desired states.

use std::sync::Arc;

use redstart_bgp::session::ResetReason;

use super::*;
use crate::{
    compile::{Advertise, Kernel, Peer, PeerRole, Spare, Until},
    object::ObjectRef,
    speaker::tests::passive_router,
};

fn name(name: &str) -> PeerName {
    PeerName(name.to_owned())
}

fn router() -> Peer {
    passive_router(([192, 0, 2, 1], 179).into())
}

fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

/// A state with these routers, and a route that some of them are told with this MED.
fn state(routers: &[&str], told: &[&str], med: u32) -> DesiredState {
    let advertise = Advertise {
        source: object("BGPAdvertisement", "public"),
        peers: told.iter().map(|router| name(router)).collect(),
        communities: BTreeSet::new(),
        large_communities: BTreeSet::new(),
        extended_communities: BTreeSet::new(),
        local_pref: None,
        med: Some(med),
        prepend: 0,
    };
    let origination = Origination {
        object: object("Service", "apps/web"),
        advertise: vec![Arc::new(advertise)],
        blackhole: false,
    };
    let peers = routers.iter().map(|of| (name(of), router().into()));
    let prefix = "192.0.2.10/32".parse().unwrap();
    DesiredState {
        peers: Arc::new(peers.collect()),
        originations: [(prefix, Arc::new(origination))].into_iter().collect(),
        ..DesiredState::idle(Kernel::default())
    }
}

fn lines(now: &DesiredState, then: &DesiredState, fate: Fate) -> Vec<String> {
    let diff = diff(now, then, |_, _| fate);
    let text = crate::cli::render::diff(&diff);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_the_same_is_not_said() {
    let same = state(&["a", "b"], &["a"], 1);
    assert_eq!(lines(&same, &same, Fate::Same), ["Nothing would change"]);
}

#[test]
fn each_fate_of_a_session_has_its_words() {
    let now = state(&["a"], &["a"], 1);
    let reset = Reconfigured::Reset(ResetReason::LocalAs);
    for (fate, says) in [
        (
            Fate::Another,
            "session a: THE SESSION RESETS (another-neighbour)",
        ),
        (Fate::Transport, "session a: THE SESSION RESETS (transport)"),
        (
            Fate::Session(reset),
            "session a: THE SESSION RESETS (local-as)",
        ),
        (
            Fate::Session(Reconfigured::NextSession),
            "session a: the session stays; the next one will have all of the change",
        ),
        (
            Fate::Session(Reconfigured::Live),
            "session a: the session stays; the change applies at once",
        ),
    ] {
        assert_eq!(lines(&now, &now, fate), [says]);
        let ends = diff(&now, &now, |_, _| fate).ends_a_session();
        assert_eq!(ends, says.contains("RESETS"), "{says}");
    }
}

#[test]
fn neighbours_come_and_go() {
    let (one, other) = (state(&["a"], &[], 1), state(&["b"], &[], 1));
    assert_eq!(
        lines(&one, &other, Fate::Same),
        ["session a: the session ends", "session b: a new session"]
    );
    assert!(diff(&one, &other, |_, _| Fate::Same).ends_a_session());
    // One of the mesh that a reflector replaces ends later, without loss.
    let spare = Spare {
        peer: Peer {
            role: PeerRole::Mesh {
                node: "a".to_owned(),
            },
            ..router()
        },
        until: Until::Replaced,
        prefixes: BTreeSet::new(),
    };
    let replaced = DesiredState {
        spare: Arc::new([(name("a"), spare)].into_iter().collect()),
        ..state(&[], &[], 1)
    };
    assert_eq!(
        lines(&one, &replaced, Fate::Same),
        ["session a: the session ends once its routes have come another way"]
    );
    assert!(!diff(&one, &replaced, |_, _| Fate::Same).ends_a_session());
}

#[test]
fn a_route_goes_to_other_neighbours_or_looks_different() {
    let all = ["a", "b", "c"];
    let now = state(&all, &["a", "b"], 1);
    let then = state(&all, &["b", "c"], 2);
    assert_eq!(
        lines(&now, &then, Fate::Same),
        [
            "+ 192.0.2.10/32 (Service/apps/web) told to c",
            "- 192.0.2.10/32 (Service/apps/web) withdrawn from a",
            "~ 192.0.2.10/32 (Service/apps/web) told differently to b",
        ]
    );
    let without = DesiredState {
        originations: std::iter::empty().collect(),
        ..state(&all, &[], 1)
    };
    assert_eq!(
        lines(&now, &without, Fate::Same),
        ["- 192.0.2.10/32 (Service/apps/web) withdrawn from a, b"]
    );
}

#[test]
fn policies_and_the_kernel_change_without_a_session() {
    let now = state(&["a", "b"], &[], 1);
    let mut then = state(&["a", "b"], &[], 1);
    let peers = Arc::make_mut(&mut then.peers);
    let b = peers.get_mut(&name("b")).unwrap();
    Arc::make_mut(b).import = compile::Import::AllBut {
        refuse: std::sync::Arc::default(),
        default_route: true,
    };
    then.kernel.metric += 1;
    assert_eq!(
        lines(&now, &then, Fate::Same),
        [
            "policies of b: its routes are judged again",
            "kernel: routes are written in another way",
        ]
    );
}
