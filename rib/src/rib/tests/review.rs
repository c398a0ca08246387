//! Policies that change while a table is looked through in pieces.

use super::*;
use crate::policy::{PrefixRange, Program};

/// Each in a piece of its own, in the order in which they come.
const ROUTES: [&str; 4] = [
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "203.0.112.0/24",
];

/// A chain that rejects these.
fn rejecting(prefixes: &[&str]) -> Arc<Program> {
    let reject = |prefix: &&str| {
        let within = Condition::Prefixes(vec![PrefixRange::within(p(prefix))]);
        rule([within], [], Action::Reject)
    };
    Program::new(prefixes.iter().map(reject).collect()).into()
}

fn export(program: Arc<Program>) -> PeerPolicies {
    PeerPolicies {
        export: program,
        ..PeerPolicies::default()
    }
}

/// Peer 1 has told the routes, and peer 2 is told of them.
fn with_routes() -> Rib {
    let peers = [(1, same_as(1)), (2, transit(SessionKind::Ebgp, 2))];
    let mut rib = rib(&peers);
    rib.shared.piece = 1;
    for prefix in ROUTES {
        rib.learn(1, prefix, attrs(&[65001], 1));
    }
    rib.drain(2);
    rib
}

fn routes(which: &[usize]) -> BTreeSet<Prefix> {
    which.iter().map(|i| p(ROUTES[*i])).collect()
}

#[test]
fn what_is_told_follows_piece_by_piece() {
    let mut rib = with_routes();
    rib.take_ready_peers();
    rib.update_chains(PeerId(2), export(rejecting(&ROUTES)));
    assert_eq!(rib.take_ready_peers(), [PeerId(2)]);
    for prefix in ROUTES {
        let batch = rib.pull(PeerId(2), 10);
        assert_eq!(batch.withdraw, [nlri(prefix)]);
        assert_eq!(batch.more, prefix != ROUTES[3]);
    }
    assert!(!rib.has_updates(PeerId(2)));
}

#[test]
fn a_policy_that_changes_again_before_the_end_counts_for_all() {
    let mut rib = with_routes();
    // What the changes have in common at their end makes each about one prefix.
    let last = ROUTES[1];
    rib.update_chains(PeerId(2), export(rejecting(&[ROUTES[0], last])));
    rib.drain(2);
    rib.update_chains(PeerId(2), export(rejecting(&[ROUTES[3], last])));
    rib.pull(PeerId(2), 10);
    // The first piece is behind, the last one has not been looked at, and this is not about it.
    rib.update_chains(PeerId(2), export(rejecting(&[ROUTES[3], ROUTES[2], last])));
    assert_eq!(rib.drain(2).1, routes(&[2, 3]));
}

/// However fast policies change, all of the table has its turn.
#[test]
fn changes_without_end_keep_no_route_from_its_turn() {
    let mut rib = with_routes();
    for number in 0..8 {
        let number = ["10.0.0.0/8", "10.0.0.0/9"][number % 2];
        rib.update_chains(PeerId(2), export(rejecting(&[number, ROUTES[2]])));
        rib.pull(PeerId(2), 10);
    }
    assert!(rib.has_updates(PeerId(2)));
    assert_eq!(rib.told(PeerId(2), p(ROUTES[2])), None);
}

/// What came after a change does not take the turn of what was there before.
#[test]
fn a_table_that_grows_meanwhile_is_looked_through_to_the_end() {
    let mut rib = with_routes();
    rib.update_chains(PeerId(2), export(rejecting(&ROUTES[1..])));
    const BETWEEN: &str = "100.65.0.0/16";
    rib.learn(1, BETWEEN, attrs(&[65001], 1));
    rib.pull(PeerId(2), 10);
    assert!(rib.told(PeerId(2), p(BETWEEN)).is_some());
    rib.update_chains(PeerId(2), export(rejecting(&[ROUTES[0], BETWEEN])));
    for prefix in ["100.66.0.0/16", "100.67.0.0/16"] {
        rib.learn(1, prefix, attrs(&[65001], 1));
    }
    rib.drain(2);
    let told = ROUTES.map(|prefix| rib.told(PeerId(2), p(prefix)).is_some());
    assert_eq!(told, [false, true, true, true]);
    assert_eq!(rib.told(PeerId(2), p(BETWEEN)), None);
}

#[test]
fn a_route_that_flaps_keeps_no_other_from_its_turn() {
    let mut rib = with_routes();
    rib.update_chains(PeerId(2), export(rejecting(&ROUTES[1..])));
    let mut gone = 0;
    for flap in 0..4 {
        rib.learn(1, ROUTES[0], attrs(&[65001, 100 + flap], 1));
        let batch = rib.pull(PeerId(2), 10);
        assert_eq!(batch.reach.len(), 1);
        gone += batch.withdraw.iter().map(NlriSet::len).sum::<usize>();
    }
    assert_eq!(gone, 3);
}

/// Whoever pulls stops where there is nothing to say and no more to come.
#[test]
fn a_piece_with_nothing_to_say_is_not_the_end() {
    let mut rib = with_routes();
    rib.update_chains(PeerId(2), export(rejecting(&ROUTES[3..])));
    let mut gone = Vec::new();
    loop {
        let batch = rib.pull(PeerId(2), 10);
        if batch.is_empty() && !batch.more {
            break;
        }
        gone.extend(batch.withdraw);
    }
    assert_eq!(gone, [nlri(ROUTES[3])]);
}

/// What is said of a route that comes meanwhile follows the new policy, whether its turn has come or not.
#[test]
fn what_comes_meanwhile_is_judged_as_it_comes() {
    let mut rib = with_routes();
    rib.update_chains(PeerId(2), export(rejecting(&[ROUTES[3], "100.66.0.0/16"])));
    rib.learn(1, "100.66.0.0/16", attrs(&[65001], 1));
    rib.learn(1, ROUTES[3], attrs(&[65001, 7], 1));
    let batch = rib.pull(PeerId(2), 10);
    assert_eq!((batch.reach.len(), batch.more), (0, true));
    assert_eq!(batch.withdraw, [nlri(ROUTES[3])]);
    assert_eq!(rib.drain(2).1, routes(&[]));
}

/// A session that ends takes its review along.
#[test]
fn the_next_session_is_told_by_what_is_in_force_then() {
    let mut rib = with_routes();
    rib.update_chains(PeerId(2), export(rejecting(&ROUTES)));
    rib.pull(PeerId(2), 10);
    rib.peer_down(PeerId(2), PeerDown::Flush);
    rib.peer_up(PeerId(2), transit(SessionKind::Ebgp, 2))
        .unwrap();
    assert_eq!(
        rib.drain(2).0.keys().copied().collect::<BTreeSet<_>>(),
        routes(&[0, 1, 2, 3])
    );
}

/// RFC 4724 section 2: it comes "once it completes the initial routing update".
#[test]
fn the_end_of_the_initial_table_waits_for_the_last_piece() {
    let mut rib = with_routes();
    rib.set_complete(Complete::All);
    rib.peer_up(PeerId(3), transit(SessionKind::Ebgp, 3))
        .unwrap();
    for prefix in ROUTES {
        let batch = rib.pull(PeerId(3), 10);
        assert_eq!(batch.reach[0].1, nlri(prefix));
        let is_last = prefix == ROUTES[3];
        assert_eq!(batch.end_of_rib.contains(Family::Ipv4Unicast), is_last);
    }
}
