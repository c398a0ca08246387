//! Everything at once, in any order.

use proptest::prelude::*;

use super::*;

/// Objects with everything that depends on more than one of them: overlaps, shared addresses and
/// router ids, duplicate peers, missing Secrets, endpoints and their Service.
fn tangle() -> String {
    let annotation = "annotations: { redstart.dev/router-id: 192.0.2.1 }";
    NODES.to_owned()
        + &node(
            "c",
            "192.0.2.2",
            "10.0.0.0/16",
            "creationTimestamp: \"2026-01-01T00:00:00Z\"",
        )
        + &node("d", "192.0.2.4", "10.0.2.0/25", annotation)
        + &tor("t1", "")
        + &tor("t2", "")
        + &object(
            "BGPPeer",
            "t3",
            "{ address: 192.0.2.253, asn: External, passwordSecretRef: { name: s } }",
        )
        + &object(
            "BGPPeer",
            "t4",
            "{ address: 192.0.2.252, asn: Internal, passwordSecretRef: { name: missing } }",
        )
        + &secret("s", "password", "x")
        + &object("BGPConfiguration", "default", "{ asn: 65010 }")
        + &object(
            "BGPAdvertisement",
            "p1",
            "{ podCIDRs: true, peers: { names: [t1] } }",
        )
        + &object(
            "BGPAdvertisement",
            "p2",
            "{ podCIDRs: true, staticPrefixes: [203.0.113.0/24] }",
        )
        + &object(
            "BGPAdvertisement",
            "p3",
            "{ staticPrefixes: [203.0.113.0/24], services: { addresses: [LoadBalancerIP] }, med: 3 }",
        )
        + &super::services::load_balancer("web", "203.0.113.1", "externalIPs: [203.0.113.2]")
        + &super::services::slice("web", &[("a", "ready: true")])
        + &object("BGPPolicy", "in", "{ rules: [{ action: Next }] }")
        + &object("BFDProfile", "fast", "{}")
        + &object(
            "BGPPeer",
            "t5",
            "{ address: 192.0.2.251, asn: 64601, policies: { import: [in] }, bfd: { profile: fast } }",
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order of events, whatever came and went before: the same objects compile to the
    /// same state and the same diagnostics.
    #[test]
    fn the_order_of_events_does_not_matter(
        order in Just((0..18_usize).collect::<Vec<_>>()).prop_shuffle(),
        relist_at in 0..18_usize,
        detour in any::<[bool; 18]>(),
    ) {
        let expected = compile(&index(&tangle()), "a").unwrap();
        let objects = manifest::parse("test.yaml", &tangle()).unwrap().objects;
        prop_assert_eq!(objects.len(), 18);
        let mut index = index("");
        for (step, i) in order.into_iter().enumerate() {
            let observed = objects[i].clone();
            if detour[i] {
                let key = observed.key.clone();
                index.apply(SourceEvent::Applied(observed.clone()));
                index.apply(SourceEvent::Deleted(key));
            }
            if step == relist_at {
                let kind = observed.key.kind;
                let so_far = objects.iter().filter(|o| o.key.kind == kind).cloned();
                index.apply(SourceEvent::Restarted { kind, objects: so_far.rev().collect() });
            }
            index.apply(SourceEvent::Applied(observed));
        }
        prop_assert_eq!(compile(&index, "a").unwrap(), expected);
    }
}

#[test]
fn the_tangle_is_diagnosed_whole() {
    let (_, diagnostics) = compile(&index(&tangle()), "a").unwrap();
    let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    insta::assert_debug_snapshot!(said);
}
