//! One test for each reason to refuse a received route.

use super::*;
use crate::import::Refusal;

/// The route is refused for `reason`, counted and shown, and not a candidate; nor is anything left
/// of it when it is withdrawn.
fn refuses(reason: Refusal, info: PeerInfo, prefix: &str, attrs: PathAttributes) {
    let mut rib = rib(&[(1, info)]);
    let outcome = rib.learn(1, prefix, attrs);
    assert_eq!(outcome.accepted, 0);
    assert_eq!(outcome.refused.iter().collect::<Vec<_>>(), [(reason, 1)]);
    let counts = rib.peer_counts(PeerId(1)).unwrap();
    assert_eq!((counts.received, counts.accepted(), counts.best), (1, 0, 0));
    assert_eq!(counts.refused.get(reason), 1);
    let view = rib.lookup(p(prefix)).unwrap();
    assert_eq!(view.paths[0].not_best, Some(NotBest::Refused(reason)));
    assert!(view.best().is_none() && rib.fib().is_empty());
    rib.withdraw(PeerId(1), &nlri(prefix));
    assert_eq!(rib.peer_counts(PeerId(1)), Some(Default::default()));
    assert_eq!((rib.attribute_sets(), rib.lookup(p(prefix))), (0, None));
}

fn accepts(info: PeerInfo, prefix: &str, attrs: PathAttributes) {
    let mut rib = rib(&[(1, info)]);
    let outcome = rib.learn(1, prefix, attrs);
    assert_eq!((outcome.accepted, outcome.refused.total()), (1, 0));
    assert_eq!(rib.best_peer(prefix), Some(1));
}

fn ebgp() -> PeerInfo {
    info(SessionKind::Ebgp, 1)
}

fn ibgp() -> PeerInfo {
    info(SessionKind::Ibgp, 1)
}

const ROUTE: &str = "203.0.113.0/24";

#[test]
fn our_own_as_in_the_path() {
    refuses(Refusal::AsLoop, ebgp(), ROUTE, attrs(&[65001, 64512, 3], 1));
}

#[test]
fn our_own_originator_id() {
    let mut looped = attrs(&[], 1);
    looped.originator_id = Some(ebgp().local_router_id);
    refuses(Refusal::OriginatorLoop, ibgp(), ROUTE, looped.clone());
    // An external peer has no say in it: the attribute is ignored.
    looped.as_path = AsPath::sequence([Asn(65001)]);
    accepts(ebgp(), ROUTE, looped);
}

#[test]
fn our_own_cluster_id() {
    let mut looped = attrs(&[], 1);
    looped.cluster_list = [7, ebgp().local_router_id.0.to_bits()].into();
    refuses(Refusal::ClusterLoop, ibgp(), ROUTE, looped);
}

#[test]
fn a_path_that_starts_with_another_as() {
    refuses(Refusal::FirstAs, ebgp(), ROUTE, attrs(&[65002, 65001], 1));
    refuses(Refusal::FirstAs, ebgp(), ROUTE, attrs(&[], 1));
    accepts(ibgp(), ROUTE, attrs(&[65002], 1));
    let route_server = PeerInfo {
        enforce_first_as: false,
        ..ebgp()
    };
    accepts(route_server, ROUTE, attrs(&[65002], 1));
}

#[test]
fn a_next_hop_of_our_own() {
    refuses(Refusal::OwnNextHop, ibgp(), ROUTE, attrs(&[], 100));
    let v6 = PathAttributes {
        next_hop: Some(NextHop::V6LinkLocal {
            global: "2001:db8::100".parse().unwrap(),
            link_local: "fe80::1".parse().unwrap(),
        }),
        ..attrs(&[], 1)
    };
    refuses(Refusal::OwnNextHop, ibgp(), "2001:db8:1::/48", v6);
}

#[test]
fn no_next_hop() {
    let without = PathAttributes {
        next_hop: None,
        ..attrs(&[], 1)
    };
    refuses(Refusal::NoNextHop, ibgp(), ROUTE, without);
}

#[test]
fn prefixes_that_cannot_be_routed() {
    for martian in [
        "0.0.0.0/8",
        "127.0.0.0/8",
        "127.0.0.1/32",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "::ffff:0:0/96",
        "fe80::/10",
        "fe80::/64",
        "ff00::/8",
        "ff02::1/128",
    ] {
        refuses(Refusal::Martian, ibgp(), martian, attrs(&[], 1));
    }
    for fine in ["0.0.0.0/0", "0.0.0.0/1", "126.0.0.0/8", "::/0", "fc00::/7"] {
        accepts(ibgp(), fine, attrs(&[], 1));
    }
}

#[test]
fn what_is_not_on_the_list() {
    let peer = PeerInfo {
        import: ImportPolicy::Exactly([p("10.244.1.0/24")].into()),
        ..ibgp()
    };
    for other in [
        "10.244.2.0/24",
        "10.244.1.0/25",
        "10.244.0.0/16",
        "0.0.0.0/0",
    ] {
        refuses(Refusal::NotAllowed, peer.clone(), other, attrs(&[], 1));
    }
    accepts(peer, "10.244.1.0/24", attrs(&[], 1));
}

fn careful() -> PeerInfo {
    PeerInfo {
        import: ImportPolicy::AllBut {
            refuse: BTreeSet::from([p("10.244.0.0/16"), p("10.96.0.0/12"), p("fd00:10::/48")])
                .into(),
            default_route: false,
        },
        ..ibgp()
    }
}

#[test]
fn the_clusters_own_ranges() {
    for inside in [
        "10.244.0.0/16",
        "10.244.7.0/24",
        "10.111.0.1/32",
        "fd00:10::/64",
    ] {
        refuses(Refusal::Protected, careful(), inside, attrs(&[], 1));
    }
    for outside in ["10.245.0.0/16", "10.0.0.0/8", "fd00::/16", "fd00:11::/48"] {
        accepts(careful(), outside, attrs(&[], 1));
    }
}

#[test]
fn a_default_route_that_was_not_asked_for() {
    refuses(Refusal::DefaultRoute, careful(), "0.0.0.0/0", attrs(&[], 1));
    refuses(Refusal::DefaultRoute, careful(), "::/0", attrs(&[], 1));
}

#[test]
fn a_family_that_was_not_negotiated() {
    let v4_only = PeerInfo {
        families: [Family::Ipv4Unicast].into_iter().collect(),
        ..ibgp()
    };
    let mut rib = rib(&[(1, v4_only)]);
    let outcome = rib.learn(1, "2001:db8::/32", attrs(&[], 1));
    assert_eq!(outcome.refused.get(Refusal::Family), 1);
    assert_eq!(rib.lookup(p("2001:db8::/32")), None);
    assert_eq!(rib.attribute_sets(), 0);
}

#[test]
fn identifiers_are_stable() {
    let all: Vec<String> = Refusal::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(
        all,
        [
            "as-loop",
            "originator-loop",
            "cluster-loop",
            "first-as-mismatch",
            "own-next-hop",
            "no-next-hop",
            "martian-prefix",
            "not-allowed",
            "not-owners-next-hop",
            "protected-prefix",
            "default-route",
            "family-not-negotiated",
            "as-set",
            "route-leak",
            "remote-next-hop",
            "policy",
            "too-many-paths",
        ]
    );
    let steps: Vec<String> = crate::decision::Step::ALL
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        steps,
        [
            "local",
            "long-lived-stale",
            "local-pref",
            "aigp",
            "as-path",
            "origin",
            "med",
            "ebgp",
            "igp-metric",
            "router-id",
            "cluster-list",
            "peer-address",
            "path-id",
        ]
    );
}

#[test]
fn a_changed_policy_takes_effect_without_a_refresh() {
    let mut rib = rib(&[(1, careful())]);
    rib.learn(1, "10.244.7.0/24", attrs(&[], 1));
    assert_eq!(rib.best_peer("10.244.7.0/24"), None);
    let open = ImportPolicy::accept_all();
    rib.update_policies(PeerId(1), open, ExportPolicy::default());
    assert_eq!(rib.best_peer("10.244.7.0/24"), Some(1));
    assert_eq!(rib.fib().len(), 1);
    rib.update_policies(
        PeerId(1),
        ImportPolicy::refuse_all(),
        ExportPolicy::default(),
    );
    assert_eq!(rib.best_peer("10.244.7.0/24"), None);
    let counts = rib.peer_counts(PeerId(1)).unwrap();
    assert_eq!(counts.refused.get(Refusal::NotAllowed), 1);
    assert_eq!(rib.fib()[&p("10.244.7.0/24")], None);
}
