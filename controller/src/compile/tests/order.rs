//! Everything at once, in any order.

use proptest::prelude::*;

use super::*;

/// Objects with everything that depends on more than one of them: overlaps, shared addresses and
/// router ids, duplicate peers, missing Secrets, endpoints and their Service, nodes that reflect and that want
/// to be drained.
fn tangle() -> String {
    let annotation = "annotations: { redstart.dev/router-id: 192.0.2.1, redstart.dev/drain: \"2026-05-28T20:26:40Z\" }";
    NODES.to_owned()
        + &node(
            "c",
            "192.0.2.2",
            "10.0.0.0/16",
            "creationTimestamp: \"2026-01-01T00:00:00Z\", annotations: { redstart.dev/drain: \"2026-05-28T20:26:30Z\" }",
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
        + &object(
            "BGPConfiguration",
            "default",
            "{ asn: 65010, drain: { maxNodes: 1 }, mesh: { mode: Auto, auto: { fullMeshUpTo: 1, reflectors: 1 } } }",
        )
        + "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: { name: kubernetes }\nspec: { cidrs: [10.96.0.0/12] }\n---\n"
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
        + &super::services::load_balancer("db", "203.0.113.1", "externalTrafficPolicy: Local")
        + &super::services::slice("db", &[("b", "ready: true")])
        + &object("BGPPolicy", "in", "{ rules: [{ action: Next }] }")
        + &object("BFDProfile", "fast", "{}")
        + &object(
            "BGPPeer",
            "t5",
            "{ address: 192.0.2.251, asn: 64601, policies: { import: [in] }, bfd: { profile: fast } }",
        )
}

/// The same objects, as each was before it was changed.
fn tangle_before() -> String {
    let changed = [
        ("65010", "65011"),
        ("64999", "64998"),
        ("64601", "64602"),
        ("203.0.113.", "198.51.100."),
        ("192.0.2.", "192.0.3."),
        ("10.0.", "10.1."),
        ("10.96.0.0", "10.112.0.0"),
        ("20:26:", "20:27:"),
        ("med: 3", "med: 4, podCIDRs: true"),
        ("maxNodes: 1", "maxNodes: 2"),
        ("ready: true", "ready: false"),
        ("action: Next", "action: Reject"),
    ];
    let before = |text: String, (now, before): (&str, &str)| text.replace(now, before);
    changed.into_iter().fold(tangle(), before)
}

/// What happens to an object before it is as it is in the end.
#[derive(Clone, Copy, Debug)]
enum Detour {
    None,
    /// It was there and went.
    Deleted,
    /// It was otherwise.
    Changed,
}

fn detour() -> impl Strategy<Value = Detour> {
    prop_oneof![
        Just(Detour::None),
        Just(Detour::Deleted),
        Just(Detour::Changed)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order of events, whatever came and went before: the same objects compile to the
    /// same state and the same diagnostics, on every node.
    #[test]
    fn the_order_of_events_does_not_matter(
        order in Just((0..21_usize).collect::<Vec<_>>()).prop_shuffle(),
        relist_at in 0..21_usize,
        detour in prop::collection::vec(detour(), 21),
    ) {
        let whole = index(&tangle());
        let objects = manifest::parse("test.yaml", &tangle()).unwrap().objects;
        let before = manifest::parse("test.yaml", &tangle_before()).unwrap();
        prop_assert_eq!((objects.len(), before.objects.len()), (21, 21));
        prop_assert_eq!(before.problems, []);
        let mut index = index("");
        for (step, i) in order.into_iter().enumerate() {
            let observed = objects[i].clone();
            match detour[i] {
                Detour::None => {}
                Detour::Deleted => {
                    index.apply(SourceEvent::Applied(observed.clone()));
                    index.apply(SourceEvent::Deleted(observed.key.clone()));
                }
                Detour::Changed => drop(index.apply(SourceEvent::Applied(before.objects[i].clone()))),
            }
            if step == relist_at {
                let kind = observed.key.kind;
                let so_far = objects.iter().filter(|o| o.key.kind == kind).cloned();
                index.apply(SourceEvent::Restarted { kind, objects: so_far.rev().collect() });
            }
            index.apply(SourceEvent::Applied(observed));
        }
        for node in ["a", "b", "c", "d"] {
            let (now, expected) = (compile(&index, node).unwrap(), compile(&whole, node).unwrap());
            prop_assert_eq!(now, expected, "{}", node);
        }
    }
}

#[test]
fn the_tangle_comes_to_this() {
    let whole = index(&tangle());
    for node in ["a", "d"] {
        let (desired, _) = compile(&whole, node).unwrap();
        insta::assert_debug_snapshot!(format!("tangle_{node}"), desired);
    }
}

#[test]
fn the_tangle_is_diagnosed_whole() {
    let (_, diagnostics) = compile(&index(&tangle()), "a").unwrap();
    let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    insta::assert_debug_snapshot!(said);
}
