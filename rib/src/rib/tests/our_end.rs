//! Our end of a session changes while it is up.

use super::*;
use crate::import::Refusal;

const NEW: &str = "2001:db8::200";

/// Three routes of our own, told to everybody, and a session with a peer that was told them.
fn world(next_hop_self: NextHopSelf) -> (Rib, OurEnd) {
    let mut rib = rib(&[]);
    let own = || origination(vec![advertise(PeerSelector::All)]);
    let prefixes = ["10.244.1.0/24", "10.244.2.0/24", "2001:db8:1::/64"];
    rib.set_originations(prefixes.into_iter().map(|text| (p(text), own())).collect());
    let info = PeerInfo {
        next_hop_self,
        ..transit(SessionKind::Ebgp, 1)
    };
    rib.peer_up(PeerId(1), info.clone()).unwrap();
    (rib, info.our_end())
}

fn next_hops(v6: Option<&str>) -> NextHopSelf {
    NextHopSelf {
        v6: v6.map(|text| NextHop::V6(text.parse().unwrap())),
        ..info(SessionKind::Ebgp, 1).next_hop_self
    }
}

#[test]
fn a_family_without_a_next_hop_is_told_once_there_is_one_and_withdrawn_without() {
    let (mut rib, end) = world(next_hops(None));
    assert_eq!(rib.drain(1).0.len(), 2, "no next hop for IPv6");
    let with = |v6| OurEnd {
        next_hop_self: next_hops(v6),
        ..end
    };
    assert!(rib.update_our_end(PeerId(1), with(Some(NEW))));
    let (told, gone) = rib.drain(1);
    let attrs = told.get(&p("2001:db8:1::/64")).unwrap();
    assert_eq!(attrs.next_hop.map(NextHop::addr), Some(ip(NEW)));
    assert_eq!((told.len(), gone.len()), (1, 0), "and nothing else");

    assert!(!rib.update_our_end(PeerId(1), with(Some(NEW))), "the same");
    assert!(rib.drain(1).0.is_empty());

    assert!(rib.update_our_end(PeerId(1), with(None)));
    let (told, gone) = rib.drain(1);
    assert!(told.is_empty());
    assert_eq!(gone, [p("2001:db8:1::/64")].into());
}

#[test]
fn another_next_hop_of_ours_is_told_and_refused_from_the_peer() {
    let (mut rib, end) = world(next_hops(Some("2001:db8::100")));
    rib.drain(1);
    rib.learn(1, "198.51.100.0/24", attrs(&[65001], 1));
    assert_eq!(rib.best_peer("198.51.100.0/24"), Some(1));
    // The address that the peer's route leads to becomes ours.
    let ours = NextHop::V4([10, 0, 0, 1].into());
    let renumbered = OurEnd {
        next_hop_self: NextHopSelf {
            v4: Some(ours),
            ..end.next_hop_self
        },
        ..end
    };
    assert!(rib.update_our_end(PeerId(1), renumbered));
    let (told, gone) = rib.drain(1);
    assert_eq!((told.len(), gone.len()), (2, 0), "the IPv4 routes");
    assert!(told.values().all(|attrs| attrs.next_hop == Some(ours)));
    assert_eq!(rib.best_peer("198.51.100.0/24"), None);
    let counts = rib.peer_counts(PeerId(1)).unwrap();
    assert_eq!(counts.refused.get(Refusal::OwnNextHop), 1);
    assert!(rib.update_our_end(PeerId(1), end));
    assert_eq!(rib.best_peer("198.51.100.0/24"), Some(1));
}

#[test]
fn another_subnet_is_another_judgement_of_next_hops_both_ways() {
    let third_party = PeerInfo {
        rules: PeerRules {
            next_hop: NextHopRule::ThirdParty,
            ..PeerRules::default()
        },
        ..transit(SessionKind::Ebgp, 2)
    };
    let direct = PeerInfo {
        interface: Some(1),
        ..info(SessionKind::Ebgp, 1)
    };
    let mut rib = rib(&[(1, direct.clone()), (2, third_party.clone())]);
    rib.learn(1, "198.51.100.0/24", attrs(&[65001], 3));
    let told = |rib: &mut Rib| {
        let (told, _) = rib.drain(2);
        let attrs = told.get(&p("198.51.100.0/24"));
        attrs.and_then(|attrs| attrs.next_hop).map(NextHop::addr)
    };
    assert_eq!(told(&mut rib), Some(ip("10.0.0.100")));
    let in_subnet = |end: OurEnd, subnet| OurEnd {
        subnet: Some(p(subnet)),
        ..end
    };
    let wide = in_subnet(third_party.our_end(), "10.0.0.0/24");
    assert!(rib.update_our_end(PeerId(2), wide));
    assert_eq!(told(&mut rib), Some(ip("10.0.0.3")), "it is on its subnet");
    // The link to the peer that said so gets a subnet that the next hop is not in.
    let narrow = in_subnet(direct.our_end(), "10.0.0.0/31");
    assert!(rib.update_our_end(PeerId(1), narrow));
    assert_eq!(rib.best_peer("198.51.100.0/24"), None);
    assert_eq!(rib.drain(2).1, [p("198.51.100.0/24")].into());
}

#[test]
fn another_as_of_ours_shows_where_it_is_to_be_seen() {
    let kept_up = |n| PeerInfo {
        local_as: Asn(64999),
        rules: PeerRules {
            own_as_sent: true,
            ..PeerRules::default()
        },
        ..transit(SessionKind::Ebgp, n)
    };
    let mut rib = rib(&[(1, kept_up(1)), (2, kept_up(2))]);
    rib.learn(1, "198.51.100.0/24", attrs(&[65001, 64700], 1));
    let path = |rib: &mut Rib| {
        let (told, _) = rib.drain(2);
        told.values().map(|a| a.as_path.to_string()).next()
    };
    assert_eq!(path(&mut rib).as_deref(), Some("64999 64512 65001 64700"));
    let moved = |n, asn| OurEnd {
        own_as: Asn(asn),
        ..kept_up(n).our_end()
    };
    assert!(rib.update_our_end(PeerId(2), moved(2, 64600)));
    assert_eq!(path(&mut rib).as_deref(), Some("64999 64600 65001 64700"));
    // An AS that is in the path becomes ours: a loop.
    assert!(rib.update_our_end(PeerId(1), moved(1, 64700)));
    assert_eq!(rib.best_peer("198.51.100.0/24"), None);
}

#[test]
fn without_a_session_there_is_no_end_of_it() {
    let (mut rib, end) = world(next_hops(None));
    let end = OurEnd {
        next_hop_self: next_hops(Some(NEW)),
        ..end
    };
    assert!(!rib.update_our_end(PeerId(7), end));
    rib.peer_down(PeerId(1), PeerDown::Flush);
    assert!(!rib.update_our_end(PeerId(1), end));
}
