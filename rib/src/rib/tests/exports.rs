//! What peers are told, and the reason where they are not.

use redstart_bgp::types::{Community, ExtendedCommunity, LargeCommunity};

use super::*;
use crate::export::Withheld;

const OURS: &str = "10.244.1.0/24";
const LEARNED: &str = "203.0.113.0/24";

fn withheld(rib: &Rib, peer: u32, prefix: &str) -> Option<Withheld> {
    let verdict = rib.explain_export(PeerId(peer), p(prefix));
    assert_eq!(verdict.told, None);
    verdict.decision.err()
}

fn both() -> Rib {
    rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ibgp, 2)),
    ])
}

#[test]
fn an_external_peer_gets_our_as_and_next_hop_and_no_local_pref() {
    let mut rib = both();
    let mut dress = advertise(PeerSelector::All);
    dress.local_pref = Some(300);
    dress.med = Some(7);
    dress.prepend = 2;
    dress.communities = [Community::NO_EXPORT, Community::new(1, 2)].into();
    dress.large_communities = [LargeCommunity {
        global: 1,
        local1: 2,
        local2: 3,
    }]
    .into();
    rib.originate(OURS, origination(vec![dress]));
    let (told, _) = rib.drain(1);
    let external = &told[&p(OURS)];
    assert_eq!(external.as_path.to_string(), "64512 64512 64512");
    assert_eq!((external.local_pref, external.med), (None, Some(7)));
    assert_eq!(external.next_hop, Some(NextHop::V4([10, 0, 0, 100].into())));
    assert!(
        external.has_community(Community::NO_EXPORT),
        "for the peer to follow"
    );
    assert_eq!(external.large_communities.len(), 1);
    let (told, _) = rib.drain(2);
    let internal = &told[&p(OURS)];
    assert_eq!(internal.as_path, AsPath::EMPTY);
    assert_eq!((internal.local_pref, internal.med), (Some(300), Some(7)));
}

/// RFC 4271 section 5.1.2: the AS_PATH of what a speaker originates.
#[test]
fn the_path_of_our_own_route_is_our_as_alone_outside_and_empty_inside() {
    let mut rib = both();
    rib.originate(OURS, origination(vec![advertise(PeerSelector::All)]));
    let path = |rib: &mut Rib, peer| rib.drain(peer).0[&p(OURS)].as_path.clone();
    assert_eq!(path(&mut rib, 1), AsPath::sequence([LOCAL_AS]));
    assert_eq!(path(&mut rib, 2), AsPath::EMPTY);
}

#[test]
fn an_internal_peer_gets_the_default_local_pref() {
    let mut rib = both();
    rib.originate(OURS, origination(vec![advertise(PeerSelector::All)]));
    let (told, _) = rib.drain(2);
    assert_eq!(told[&p(OURS)].local_pref, Some(100));
    let why = rib.explain_export(PeerId(2), p(OURS));
    assert_eq!(why.because, [source("default")]);
    assert_eq!(why.told, why.decision.ok());
}

#[test]
fn several_advertisements_add_up() {
    let mut rib = both();
    let one = Advertise {
        communities: [Community::new(1, 1)].into(),
        local_pref: Some(50),
        med: Some(9),
        prepend: 3,
        ..advertise(PeerSelector::All)
    };
    let two = Advertise {
        communities: [Community::new(2, 2)].into(),
        local_pref: Some(60),
        prepend: 1,
        ..advertise(PeerSelector::Peers([PeerId(1), PeerId(2)].into()))
    };
    rib.originate(OURS, origination(vec![one, two]));
    let (told, _) = rib.drain(1);
    assert_eq!(told[&p(OURS)].as_path.hop_count(), 2);
    assert_eq!(told[&p(OURS)].communities.len(), 2);
    let (told, _) = rib.drain(2);
    assert_eq!(
        (told[&p(OURS)].local_pref, told[&p(OURS)].med),
        (Some(60), Some(9))
    );
}

#[test]
fn only_peers_that_an_advertisement_names_are_told() {
    let mut rib = both();
    let to_two = advertise(PeerSelector::Peers([PeerId(2)].into()));
    rib.originate(OURS, origination(vec![to_two]));
    assert!(rib.drain(1).0.is_empty());
    assert_eq!(withheld(&rib, 1, OURS), Some(Withheld::NotAdvertised));
    assert_eq!(rib.drain(2).0.len(), 1);
    // Moved to the other one: taken back here, told there, nothing else.
    let to_one = advertise(PeerSelector::Peers([PeerId(1)].into()));
    rib.originate(OURS, origination(vec![to_one]));
    assert_eq!(rib.drain(2).1, [p(OURS)].into());
    assert_eq!(rib.drain(1).0.len(), 1);
}

#[test]
fn an_unchanged_route_is_not_sent_again() {
    let mut rib = both();
    let all = || origination(vec![advertise(PeerSelector::All)]);
    rib.originate(OURS, all());
    rib.drain(1);
    rib.originate(OURS, all());
    assert!(!rib.has_updates(PeerId(1)), "nothing changed");
    // Changed and back before the peer could take it: there is nothing to say.
    rib.set_originations(BTreeMap::new());
    rib.originate(OURS, all());
    let batch = rib.pull(PeerId(1), 10);
    assert!(batch.is_empty());
    // For another object: the route on the wire is the same.
    rib.originate(
        OURS,
        Origination {
            source: source("other"),
            ..all()
        },
    );
    assert!(rib.pull(PeerId(1), 10).is_empty());
}

#[test]
fn learned_routes_stay_here_unless_transit_is_on() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
    ]);
    rib.learn(1, LEARNED, attrs(&[65001], 1));
    assert_eq!(withheld(&rib, 2, LEARNED), Some(Withheld::NoTransit));
    assert!(rib.drain(2).0.is_empty());
    let open = ImportPolicy::accept_all();
    rib.update_policies(PeerId(2), open.clone(), ExportPolicy { transit: true });
    assert_eq!(rib.drain(2).0.len(), 1);
    rib.update_policies(PeerId(2), open, ExportPolicy { transit: false });
    assert_eq!(rib.drain(2).1, [p(LEARNED)].into());
}

#[test]
fn transit_towards_an_external_peer_strips_what_is_internal() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ibgp, 1)),
        (2, transit(SessionKind::Ebgp, 2)),
    ]);
    let soo = ExtendedCommunity([0x40, 0, 0, 0, 0, 0, 0, 1]);
    let target = ExtendedCommunity([0, 2, 0, 0, 0, 0, 0, 1]);
    let learned = PathAttributes {
        med: Some(5),
        local_pref: Some(500),
        originator_id: Some(RouterId(Ipv4Addr::new(1, 1, 1, 1))),
        cluster_list: [1, 2].into(),
        extended_communities: [target, soo].into(),
        ..attrs(&[3, 4], 1)
    };
    rib.learn(1, LEARNED, learned);
    let (told, _) = rib.drain(2);
    let told = &told[&p(LEARNED)];
    assert_eq!(told.as_path.to_string(), "64512 3 4");
    assert_eq!(
        (told.med, told.local_pref, told.originator_id),
        (None, None, None)
    );
    assert!(told.cluster_list.is_empty());
    assert_eq!(*told.extended_communities, [target]);
    assert_eq!(told.next_hop, Some(NextHop::V4([10, 0, 0, 100].into())));
}

#[test]
fn internal_routes_do_not_go_to_internal_peers() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ibgp, 1)),
        (2, transit(SessionKind::Ibgp, 2)),
        (3, info(SessionKind::Ebgp, 3)),
    ]);
    rib.learn(1, LEARNED, attrs(&[9], 1));
    assert_eq!(withheld(&rib, 2, LEARNED), Some(Withheld::IbgpToIbgp));
    rib.learn(3, "198.51.100.0/24", attrs(&[65003], 3));
    let (told, _) = rib.drain(2);
    assert_eq!(told.keys().collect::<Vec<_>>(), [&p("198.51.100.0/24")]);
    assert_eq!(told[&p("198.51.100.0/24")].as_path.to_string(), "65003");
}

#[test]
fn a_route_does_not_go_back_where_it_came_from() {
    let mut rib = rib(&[(1, transit(SessionKind::Ebgp, 1))]);
    rib.learn(1, LEARNED, attrs(&[65001], 1));
    assert_eq!(withheld(&rib, 1, LEARNED), Some(Withheld::LearnedFromPeer));
}

/// A route server's two instances send the same attributes: that a route does not go back to the one
/// says nothing of the other.
#[test]
fn equal_attributes_of_two_peers_are_judged_for_each() {
    let server = |n| PeerInfo {
        enforce_first_as: false,
        ..transit(SessionKind::Ebgp, n)
    };
    let mut rib = rib(&[(1, server(1)), (2, server(2))]);
    let other = "198.51.100.0/24";
    rib.learn(1, LEARNED, attrs(&[7], 9));
    rib.learn(2, other, attrs(&[7], 9));
    assert_eq!(rib.drain(1).0.into_keys().collect::<Vec<_>>(), [p(other)]);
    assert_eq!(rib.drain(2).0.into_keys().collect::<Vec<_>>(), [p(LEARNED)]);
}

#[test]
fn well_known_communities_are_followed() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, transit(SessionKind::Ebgp, 2)),
        (3, transit(SessionKind::Ibgp, 3)),
    ]);
    let with = |community| PathAttributes {
        communities: [community].into(),
        ..attrs(&[65001], 1)
    };
    rib.learn(1, LEARNED, with(Community::NO_ADVERTISE));
    assert_eq!(withheld(&rib, 2, LEARNED), Some(Withheld::NoAdvertise));
    assert_eq!(withheld(&rib, 3, LEARNED), Some(Withheld::NoAdvertise));
    for community in [Community::NO_EXPORT, Community::NO_EXPORT_SUBCONFED] {
        rib.learn(1, LEARNED, with(community));
        assert_eq!(withheld(&rib, 2, LEARNED), Some(Withheld::NoExport));
        assert!(rib.explain_export(PeerId(3), p(LEARNED)).decision.is_ok());
    }
}

#[test]
fn a_path_through_the_peer_is_not_offered_to_it() {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, transit(SessionKind::Ebgp, 2)),
    ]);
    rib.learn(1, LEARNED, attrs(&[65001, 65002], 1));
    assert_eq!(withheld(&rib, 2, LEARNED), Some(Withheld::AsLoop));
    assert_eq!(rib.drain(2).0.len(), 0);
    // Unless it takes such paths. The change takes effect while the session is up.
    let rules = PeerRules {
        peer_as_allowed: true,
        ..PeerRules::default()
    };
    rib.update_rules(PeerId(2), rules);
    let told = &rib.drain(2).0[&p(LEARNED)];
    assert_eq!(told.as_path.to_string(), "64512 65001 65002");
    rib.update_rules(PeerId(2), PeerRules::default());
    assert_eq!(rib.drain(2).1, [p(LEARNED)].into());
}

/// The session says so after it was given the route: the peer does not hold it, and whoever asks is told
/// why. A shorter route to the prefix goes as ever.
#[test]
fn what_no_message_can_carry_is_not_shown_as_sent() {
    for add_path in [false, true] {
        let to = PeerInfo {
            add_path_send: if add_path {
                FamilySet::ALL
            } else {
                FamilySet::EMPTY
            },
            ..transit(SessionKind::Ebgp, 2)
        };
        let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1)), (2, to)]);
        rib.learn(1, LEARNED, attrs(&[65001, 7], 1));
        let pulled = rib.pull(PeerId(2), 10);
        let routes = &pulled.reach[0].1;
        assert!(rib.told(PeerId(2), p(LEARNED)).is_some());
        rib.unsendable(PeerId(2), routes, Withheld::TooLong);
        assert_eq!(rib.told(PeerId(2), p(LEARNED)), None);
        assert_eq!(rib.exported(PeerId(2)), []);
        assert_eq!(rib.peer_counts(PeerId(2)).unwrap().exported, 0);
        let shown = rib.explain_export(PeerId(2), p(LEARNED));
        assert_eq!(shown.decision, Err(Withheld::TooLong));
        assert_eq!(shown.told, None);
        assert_eq!(Withheld::TooLong.to_string(), "attributes-too-long");
        // Nothing is left to be taken back, nor to be said again.
        rib.unsendable(PeerId(2), routes, Withheld::TooLong);
        rib.refresh_out(PeerId(2), Family::Ipv4Unicast);
        assert_eq!(rib.drain(2).0.len(), 0);

        rib.learn(1, LEARNED, attrs(&[65001], 1));
        assert_eq!(rib.drain(2).0.len(), 1);
        assert!(rib.explain_export(PeerId(2), p(LEARNED)).decision.is_ok());
        rib.peer_down(PeerId(2), PeerDown::Flush);
        rib.peer_down(PeerId(1), PeerDown::Flush);
        assert_eq!(rib.attribute_sets(), 0);
        assert_eq!(rib.lookup(p(LEARNED)), None);
    }
}

#[test]
fn without_a_next_hop_of_our_own_a_family_is_not_advertised() {
    let mut peer = info(SessionKind::Ebgp, 1);
    peer.next_hop_self.v6 = None;
    let mut rib = rib(&[(1, peer)]);
    rib.originate(
        "fd00:10::/64",
        origination(vec![advertise(PeerSelector::All)]),
    );
    assert_eq!(
        withheld(&rib, 1, "fd00:10::/64"),
        Some(Withheld::NoNextHopSelf)
    );
}

#[test]
fn the_other_reasons_not_to_tell() {
    let mut peer = info(SessionKind::Ebgp, 1);
    peer.families = [Family::Ipv4Unicast].into_iter().collect();
    let mut rib = rib(&[(1, peer)]);
    assert_eq!(withheld(&rib, 1, OURS), Some(Withheld::NoRoute));
    assert_eq!(withheld(&rib, 9, OURS), Some(Withheld::PeerDown));
    rib.originate(
        "fd00:10::/64",
        origination(vec![advertise(PeerSelector::All)]),
    );
    assert_eq!(withheld(&rib, 1, "fd00:10::/64"), Some(Withheld::Family));
    assert!(rib.drain(1).0.is_empty());
    rib.learn(1, LEARNED, attrs(&[65001], 1));
    let everything = FamilySet::ALL;
    rib.peer_down(PeerId(1), PeerDown::RetainStale(everything));
    assert_eq!(withheld(&rib, 1, LEARNED), Some(Withheld::PeerDown));
}

#[test]
fn batches_are_bounded_and_grouped_by_attributes() {
    let mut rib = both();
    let plain = origination(vec![advertise(PeerSelector::All)]);
    let tagged = Advertise {
        communities: [Community::new(1, 1)].into(),
        ..advertise(PeerSelector::All)
    };
    let tagged = origination(vec![tagged]);
    let routes = (0..10_u8).map(|i| {
        let prefix = Prefix::new([10, 244, i, 0].into(), 24).unwrap();
        (
            prefix,
            if i % 2 == 0 {
                plain.clone()
            } else {
                tagged.clone()
            },
        )
    });
    rib.set_originations(routes.collect());
    let batch = rib.pull(PeerId(1), 7);
    let sizes: Vec<usize> = batch.reach.iter().map(|(_, list)| list.len()).collect();
    assert_eq!(sizes.len(), 2);
    assert_eq!(sizes.iter().sum::<usize>(), 7);
    assert!(batch.more && rib.has_updates(PeerId(1)));
    assert_eq!(
        rib.pull(PeerId(1), 7)
            .reach
            .iter()
            .map(|(_, l)| l.len())
            .sum::<usize>(),
        3
    );
    assert!(!rib.has_updates(PeerId(1)));
    rib.set_originations(BTreeMap::new());
    let batch = rib.pull(PeerId(1), 100);
    assert_eq!((batch.withdraw[0].len(), batch.reach.len()), (10, 0));
    assert_eq!(rib.exported(PeerId(1)), []);
}

#[test]
fn a_refresh_sends_everything_again_but_nothing_twice() {
    let mut rib = both();
    let to = |peers: &[u32]| {
        let peers = peers.iter().map(|peer| PeerId(*peer)).collect();
        origination(vec![advertise(PeerSelector::Peers(peers))])
    };
    let second = p("10.244.2.0/24");
    let not_told = (p("10.244.3.0/24"), to(&[2]));
    let other_family = (p("fd00:10::/64"), to(&[1]));
    let told = [(p(OURS), to(&[1, 2])), (second, to(&[1]))];
    rib.set_originations(told.into_iter().chain([not_told, other_family]).collect());
    let before = rib.drain(1).0;
    assert_eq!(before.len(), 3);
    rib.drain(2);
    rib.take_ready_peers();
    rib.refresh_out(PeerId(1), Family::Ipv4Unicast);
    assert_eq!(rib.take_ready_peers(), [PeerId(1)]);
    let (again, gone) = rib.drain(1);
    // All of the family, as it was told, and nothing of the other one.
    assert_eq!(again.keys().collect::<Vec<_>>(), [&p(OURS), &second]);
    assert!(again.iter().all(|(prefix, attrs)| before[prefix] == *attrs));
    assert!(gone.is_empty() && !rib.has_updates(PeerId(2)));
    // Withdrawn between the request and the answer: the withdrawal is not forgotten.
    rib.refresh_out(PeerId(1), Family::Ipv4Unicast);
    rib.set_originations([(second, to(&[1]))].into());
    let (again, gone) = rib.drain(1);
    assert_eq!(again.keys().collect::<Vec<_>>(), [&second]);
    assert_eq!(gone, [p(OURS), p("fd00:10::/64")].into());
}

#[test]
fn end_of_rib_follows_the_initial_table_once_it_may() {
    let mut rib = both();
    let all = || origination(vec![advertise(PeerSelector::All)]);
    rib.set_originations([(p(OURS), all()), (p("10.244.2.0/24"), all())].into());
    rib.take_ready_peers();
    let batch = rib.pull(PeerId(1), 10);
    assert_eq!((batch.reach.len(), batch.end_of_rib), (1, FamilySet::EMPTY));
    assert!(!rib.has_updates(PeerId(1)), "not released yet");
    rib.set_complete(Complete::All);
    assert_eq!(rib.take_ready_peers(), [PeerId(1), PeerId(2)]);
    assert_eq!(rib.pull(PeerId(1), 10).end_of_rib, FamilySet::ALL);
    assert!(rib.pull(PeerId(1), 10).is_empty(), "once");
    // The other one is still amid its initial table of IPv4.
    let first = rib.pull(PeerId(2), 1);
    assert!(!first.end_of_rib.contains(Family::Ipv4Unicast));
    assert!(first.end_of_rib.contains(Family::Ipv6Unicast));
    let rest = rib.pull(PeerId(2), 1);
    assert!(rest.end_of_rib.contains(Family::Ipv4Unicast));
    // A new session is told again.
    rib.peer_down(PeerId(1), PeerDown::Flush);
    rib.peer_up(PeerId(1), info(SessionKind::Ebgp, 1)).unwrap();
    assert_eq!(rib.take_ready_peers(), [PeerId(1)]);
    assert_eq!(rib.pull(PeerId(1), 10).end_of_rib, FamilySet::ALL);
}

/// RFC 4724 section 4.1: whoever is told learned routes may let go of them at our End-of-RIB.
#[test]
fn who_is_told_learned_routes_has_its_end_of_rib_once_they_are_complete() {
    let client = PeerRules {
        client: true,
        ..PeerRules::default()
    };
    // A router that is told our own routes alone, one that transit goes to, an internal peer; a client.
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, transit(SessionKind::Ebgp, 2)),
        (3, info(SessionKind::Ibgp, 3)),
    ]);
    let ended = |rib: &mut Rib| -> Vec<u32> {
        let ready: Vec<PeerId> = rib.take_ready_peers();
        let told = |peer: &PeerId| rib.pull(*peer, 10).end_of_rib == FamilySet::ALL;
        ready.into_iter().filter(told).map(|peer| peer.0).collect()
    };
    assert_eq!(ended(&mut rib), []);
    // What is reflected to the internal peer comes from a client that is not there yet.
    rib.set_complete(Complete::Own { reflects: true });
    assert_eq!(ended(&mut rib), [1]);
    let rules = client;
    let fourth = info(SessionKind::Ibgp, 4);
    rib.peer_up(PeerId(4), PeerInfo { rules, ..fourth })
        .unwrap();
    assert_eq!(ended(&mut rib), []);
    rib.learn(4, OURS, attrs(&[], 4));
    rib.set_complete(Complete::All);
    rib.take_ready_peers();
    for peer in [2, 3] {
        let batch = rib.pull(PeerId(peer), 10);
        assert_eq!((batch.reach.len(), batch.end_of_rib), (1, FamilySet::ALL));
    }
    assert_eq!(rib.pull(PeerId(4), 10).end_of_rib, FamilySet::ALL);

    // Without clients, internal peers are told nothing of each other.
    let mut rib = super::rib(&[(3, info(SessionKind::Ibgp, 3))]);
    rib.set_complete(Complete::Own { reflects: false });
    assert_eq!(ended(&mut rib), [3]);
}
