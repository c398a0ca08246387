//! A node speaks for itself: whose routes a peer of the mesh may tell.

use super::*;
use crate::{
    import::Refusal,
    owners::{Owner, Owners},
};

const OF_1: &str = "10.244.1.0/24";
const OF_2: &str = "10.244.2.0/24";

/// What node `n` is called.
fn router_id(n: u8) -> RouterId {
    RouterId(Ipv4Addr::new(192, 0, 2, n))
}

/// Node `n` is behind peer `n`.
fn node(n: u8) -> Owner {
    Owner {
        node: format!("n{n}"),
        router_ids: [router_id(n)].into(),
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
        originator_id: Some(router_id(n)),
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
fn who_told_a_prefix_is_who_told_a_usable_path_to_it() {
    let mut rib = mesh();
    let told = |rib: &Rib, with_stale| {
        let mut tellers: Vec<u32> = rib
            .tellers(p(OF_1), with_stale)
            .into_iter()
            .map(|it| it.0)
            .collect();
        tellers.sort_unstable();
        tellers
    };
    assert_eq!(told(&rib, true), [0_u32; 0]);
    rib.learn(1, OF_1, attrs(&[], 1));
    // Refused, and so of no use.
    rib.learn(2, OF_1, attrs(&[], 2));
    assert_eq!(told(&rib, false), [1]);
    rib.learn(3, OF_1, reflected(1));
    assert_eq!(told(&rib, false), [1, 3]);
    // Kept for a moment only.
    rib.peer_down(PeerId(3), PeerDown::RetainStale(FamilySet::ALL));
    assert_eq!((told(&rib, false), told(&rib, true)), (vec![1], vec![1, 3]));
}

/// Which of its identifiers a node has told its neighbours, only they know.
#[test]
fn any_identifier_of_the_owner_is_believed_and_another_nodes_is_not() {
    let mut owner = node(2);
    owner.router_ids.insert(router_id(22));
    let mut rib = mesh();
    rib.set_owners([(p(OF_1), node(1)), (p(OF_2), owner)].into());
    let originated_by = |id| PathAttributes {
        originator_id: Some(id),
        ..reflected(2)
    };
    for (id, why) in [
        (router_id(2), None),
        (router_id(22), None),
        (router_id(1), Some(Refusal::NotAllowed)),
    ] {
        assert_eq!(refused(&mut rib, 3, OF_2, originated_by(id)), why, "{id}");
    }
}
