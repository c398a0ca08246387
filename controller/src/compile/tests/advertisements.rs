//! What is advertised to whom.

use super::*;
use crate::diagnostic::Severity;

#[test]
fn without_an_advertisement_everybody_gets_pod_cidrs() {
    let yaml = NODES.to_owned() + &tor("tor", "");
    let everybody = vec!["mesh-b", "tor"];
    let desired = clean(&yaml, "a");
    assert_eq!(
        advertised(&desired),
        [
            ("10.0.1.0/24".to_owned(), everybody.clone()),
            ("2001:db8:1::/64".to_owned(), everybody),
        ]
        .into()
    );
    let off = object(
        "BGPConfiguration",
        "default",
        "{ advertisePodCIDRs: false }",
    );
    assert!(clean(&(yaml + &off), "a").originations.is_empty());
}

#[test]
fn with_an_advertisement_routers_get_what_it_says() {
    let second = object("BGPPeer", "t2", "{ address: 192.0.2.253, asn: 64601 }");
    let yaml = NODES.to_owned() + &tor("t1", "") + &second;
    let to = |spec: &str| {
        let yaml = yaml.clone() + &object("BGPAdvertisement", "adv", spec);
        let desired = clean(&yaml, "a");
        let advertised = advertised(&desired);
        advertised
            .into_iter()
            .map(|(p, to)| (p, to.join(" ")))
            .collect::<BTreeMap<_, _>>()
    };
    let pods = |spec: &str| to(&format!("{{ podCIDRs: true, {spec} }}"))["10.0.1.0/24"].clone();
    assert_eq!(pods(""), "mesh-b t1 t2");
    assert_eq!(pods("peers: { names: [t2] }"), "mesh-b t2");
    assert_eq!(pods("peers: { matchLabels: { name: t1 } }"), "mesh-b t1");
    assert_eq!(
        pods("peers: { names: [t2], matchLabels: { name: t1 } }"),
        "mesh-b t1 t2"
    );
    assert_eq!(
        pods("nodeSelector: { matchLabels: { rack: r2 } }"),
        "mesh-b"
    );
    let prefixes = to("{ staticPrefixes: [203.0.113.0/24] }");
    assert_eq!(prefixes["203.0.113.0/24"], "t1 t2");
    assert_eq!(prefixes["10.0.1.0/24"], "mesh-b");
}

#[test]
fn attributes_of_an_advertisement_go_with_it() {
    let spec = "{ podCIDRs: true, communities: [no-export], largeCommunities: [\"1:2:3\"], localPref: 50, med: 7, prepend: 2 }";
    let yaml = NODES.to_owned() + &tor("tor", "") + &object("BGPAdvertisement", "adv", spec);
    let desired = clean(&yaml, "a");
    let origination = &desired.originations[&"10.0.1.0/24".parse().unwrap()];
    assert_eq!(origination.object.to_string(), "Node/a");
    let [mesh, tor] = origination.advertise.as_slice() else {
        panic!("{origination:?}");
    };
    assert_eq!(mesh.source.to_string(), "BGPConfiguration/default");
    assert!(mesh.communities.is_empty());
    assert_eq!(tor.source.to_string(), "BGPAdvertisement/adv");
    assert_eq!(
        (tor.local_pref, tor.med, tor.prepend),
        (Some(50), Some(7), 2)
    );
    assert_eq!(
        tor.communities.iter().next().unwrap().to_string(),
        "65535:65281"
    );
    assert_eq!(tor.large_communities.len(), 1);
}

/// RFC 8326: an operator may mark the node's own routes ahead of work, by the name or the number.
#[test]
fn graceful_shutdown_can_be_put_on_routes() {
    for name in ["graceful-shutdown", "65535:0"] {
        let spec = format!("{{ podCIDRs: true, communities: [{name:?}] }}");
        let yaml = NODES.to_owned() + &tor("tor", "") + &object("BGPAdvertisement", "adv", &spec);
        let desired = clean(&yaml, "a");
        let origination = &desired.originations[&"10.0.1.0/24".parse().unwrap()];
        let marked = origination.advertise.last().unwrap();
        let expected = [redstart_bgp::types::Community::GRACEFUL_SHUTDOWN];
        assert!(marked.communities.iter().eq(&expected), "{marked:?}");
    }
}

#[test]
fn another_nodes_pod_cidr_is_not_advertised_but_an_aggregate_is() {
    let spec = "{ staticPrefixes: [10.0.2.128/25, 10.0.0.0/16, 10.0.1.0/25] }";
    let yaml = NODES.to_owned() + &tor("tor", "") + &object("BGPAdvertisement", "adv", spec);
    let (desired, diagnostic) = one(&yaml, "a");
    says(
        &diagnostic,
        "BGPAdvertisement/adv",
        "spec.staticPrefixes",
        Reason::ForeignPodCidr,
    );
    assert!(diagnostic.message.contains("Node/b"), "{diagnostic}");
    let prefixes: Vec<String> = advertised(&desired).into_keys().collect();
    assert_eq!(
        prefixes,
        [
            "10.0.0.0/16",
            "10.0.1.0/24",
            "10.0.1.0/25",
            "2001:db8:1::/64"
        ]
    );
}

#[test]
fn a_peer_that_does_not_exist_is_a_warning() {
    let spec = "{ podCIDRs: true, peers: { names: [nobody] } }";
    let (desired, diagnostic) = one(
        &(NODES.to_owned() + &object("BGPAdvertisement", "adv", spec)),
        "a",
    );
    says(
        &diagnostic,
        "BGPAdvertisement/adv",
        "spec.peers.names",
        Reason::UnknownPeer,
    );
    assert_eq!(diagnostic.severity, Severity::Warning);
    assert_eq!(desired.originations.len(), 2);
}

/// As the first advertisement it takes the built-in ones from the routers, and gives them none.
#[test]
fn a_selector_that_no_peer_has_the_labels_of_is_a_warning() {
    let with = |peers: &str| {
        let spec = format!("{{ podCIDRs: true, peers: {peers} }}");
        NODES.to_owned() + &tor("tor", "") + &object("BGPAdvertisement", "adv", &spec)
    };
    let (desired, diagnostic) = one(&with("{ matchLabels: { name: nobody } }"), "a");
    says(
        &diagnostic,
        "BGPAdvertisement/adv",
        "spec.peers",
        Reason::NoPeerSelected,
    );
    assert_eq!(diagnostic.severity, Severity::Warning);
    assert_eq!(advertised(&desired)["10.0.1.0/24"], ["mesh-b"]);
    clean(&with("{ matchLabels: { name: tor } }"), "a");
    clean(
        &with("{ names: [tor], matchLabels: { name: nobody } }"),
        "a",
    );
}
