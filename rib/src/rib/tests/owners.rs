//! A node speaks for itself: whose routes a peer of the mesh may tell.

use super::*;
use crate::{
    import::Refusal,
    owners::{Owner, Owners},
};

const OF_1: &str = "10.244.1.0/24";
const OF_2: &str = "10.244.2.0/24";

/// Node `n` is behind peer `n`.
fn node(n: u8) -> Owner {
    Owner {
        node: format!("n{n}"),
        router_id: RouterId(Ipv4Addr::new(192, 0, 2, n)),
        addresses: vec![[10, 0, 0, n].into()],
    }
}

fn owners() -> Owners {
    [(p(OF_1), node(1)), (p(OF_2), node(2))].into()
}

fn mesh_peer(n: u8) -> PeerInfo {
    PeerInfo {
        import: ImportPolicy::Owner(format!("n{n}")),
        ..info(SessionKind::Ibgp, n)
    }
}

fn mesh() -> Rib {
    let mut rib = rib(&[(1, mesh_peer(1)), (2, mesh_peer(2)), (3, mesh_peer(3))]);
    rib.set_owners(owners());
    rib
}

/// As a reflector tells what node `n` brought into the AS.
fn reflected(n: u8) -> PathAttributes {
    PathAttributes {
        originator_id: Some(node(n).router_id),
        cluster_list: [30].into(),
        ..attrs(&[], n)
    }
}

fn refused(rib: &mut Rib, peer: u32, prefix: &str, attrs: PathAttributes) -> Option<Refusal> {
    let outcome = rib.learn(peer, prefix, attrs);
    outcome.refused.iter().next().map(|(reason, _)| reason)
}

#[test]
fn a_node_announces_its_own_prefixes_and_no_others() {
    let mut rib = mesh();
    assert_eq!(refused(&mut rib, 1, OF_1, attrs(&[], 1)), None);
    for foreign in [OF_2, "10.244.1.0/25", "10.244.0.0/16", "203.0.113.0/24"] {
        let why = refused(&mut rib, 1, foreign, attrs(&[], 1));
        assert_eq!(why, Some(Refusal::NotAllowed), "{foreign}");
    }
}

#[test]
fn what_is_passed_on_names_its_owner_and_leads_there() {
    let mut rib = mesh();
    assert_eq!(refused(&mut rib, 3, OF_1, reflected(1)), None);
    // Another originator, none at all, and the next hop of somebody else.
    let not_allowed = Some(Refusal::NotAllowed);
    assert_eq!(refused(&mut rib, 3, OF_1, reflected(2)), not_allowed);
    assert_eq!(refused(&mut rib, 3, OF_1, attrs(&[], 1)), not_allowed);
    let stolen = PathAttributes {
        next_hop: reflected(3).next_hop,
        ..reflected(1)
    };
    let elsewhere = Some(Refusal::NotOwnersNextHop);
    assert_eq!(refused(&mut rib, 3, OF_1, stolen), elsewhere);
    assert_eq!(refused(&mut rib, 1, OF_1, attrs(&[], 2)), elsewhere);
}

#[test]
fn a_prefix_that_changes_hands_is_judged_again() {
    let mut rib = mesh();
    rib.learn(1, OF_1, attrs(&[], 1));
    rib.learn(2, OF_1, attrs(&[], 2));
    let refused = |rib: &Rib, peer| {
        let counts = rib.family_counts(PeerId(peer), Family::Ipv4Unicast);
        counts.unwrap().refused.get(Refusal::NotAllowed)
    };
    assert_eq!((refused(&rib, 1), refused(&rib, 2)), (0, 1));
    rib.set_owners([(p(OF_1), node(2))].into());
    assert_eq!((refused(&rib, 1), refused(&rib, 2)), (1, 0));
    rib.set_owners(Owners::new());
    assert_eq!((refused(&rib, 1), refused(&rib, 2)), (1, 1));
}

#[test]
fn a_prefix_is_reachable_without_a_peer_where_another_one_told_it_too() {
    let mut rib = mesh();
    let without = |rib: &Rib, peer| rib.is_reachable_without(PeerId(peer), p(OF_1));
    rib.learn(1, OF_1, attrs(&[], 1));
    assert!(!without(&rib, 1) && without(&rib, 2));
    // Refused, and so of no use.
    rib.learn(2, OF_1, attrs(&[], 2));
    assert!(!without(&rib, 1));
    rib.learn(3, OF_1, reflected(1));
    assert!(without(&rib, 1));
    // Kept for a moment only.
    rib.peer_down(PeerId(3), PeerDown::RetainStale(FamilySet::ALL));
    assert!(!without(&rib, 1));
}
