use k8s_openapi::api::{core::v1::Node, discovery::v1::EndpointSlice};
use proptest::{option, prelude::*};
use serde_json::{Value, json};

use super::{super::skip::OWN_NODE, *};
use crate::{
    api::BGPPeer,
    compile::Compiler,
    index::{Changes, Index},
    source::manifest,
};

fn follower(kind: Kind) -> Follower {
    Follower::new(kind, watch::Sender::default(), Arc::default())
}

/// What is told of an event: of each object its name, and whether it is there.
fn told<K: Watched>(follower: &mut Follower, event: Event<Seen<K>>) -> Vec<(String, bool)> {
    let mut batch = Batch::new();
    follower.event(event, &mut batch);
    let told = batch.into_iter().flat_map(|event| match event {
        SourceEvent::Restarted { objects, .. } => {
            objects.into_iter().map(|it| (it.key.name, true)).collect()
        }
        SourceEvent::Applied(it) => vec![(it.key.name, true)],
        SourceEvent::Deleted(key) => vec![(key.name, false)],
        SourceEvent::Health { .. } | SourceEvent::Problems { .. } | SourceEvent::Recalled => {
            Vec::new()
        }
    });
    told.collect()
}

fn seen<K: Watched>(object: Value) -> Seen<K> {
    serde_json::from_value(object).unwrap()
}

fn node(beat: &str, cidr: &str) -> Seen<Node> {
    let condition = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": beat});
    seen(json!({
        "metadata": {"name": "a", "resourceVersion": beat},
        "spec": {"podCIDRs": [cidr]}, "status": {"conditions": [condition]},
    }))
}

#[test]
fn what_was_told_is_not_told_again() {
    let mut follower = follower(Kind::Node);
    let (is, was) = (("a".to_owned(), true), ("a".to_owned(), false));
    let mut tell = |event| told(&mut follower, event);
    for beat in ["1", "2"] {
        assert_eq!(tell(Event::Init), []);
        assert_eq!(tell(Event::InitApply(node(beat, "10.0.0.0/24"))), []);
        assert_eq!(
            tell(Event::InitDone),
            std::slice::from_ref(&is),
            "a listing is whole"
        );
    }
    assert_eq!(tell(Event::Apply(node("3", "10.0.0.0/24"))), []);
    for (beat, cidr) in [("4", "10.0.1.0/24"), ("6", "10.0.0.0/24"), ("8", "bad")] {
        assert_eq!(
            tell(Event::Apply(node(beat, cidr))),
            std::slice::from_ref(&is)
        );
        assert_eq!(tell(Event::Apply(node("later", cidr))), []);
    }
    assert_eq!(tell(Event::Delete(node("9", "10.0.0.0/24"))), [was]);
    assert_eq!(tell(Event::Apply(node("10", "10.0.0.0/24"))), [is]);
}

/// Of those more is known than what their manifest says.
#[test]
fn objects_of_our_own_are_always_told() {
    let mut follower = follower(Kind::BgpPeer);
    let peer = |version: &str| {
        let metadata = json!({"name": "tor", "resourceVersion": version});
        let spec = json!({"address": "192.0.2.1", "asn": 64999});
        seen::<BGPPeer>(json!({"metadata": metadata, "spec": spec}))
    };
    for version in ["1", "2"] {
        let told = told(&mut follower, Event::Apply(peer(version)));
        assert_eq!(told, [("tor".to_owned(), true)]);
    }
}

/// A slice of a Service, as a speaker on node `a` reads it.
fn slice(service: &str, number: usize, endpoints: &[Value]) -> Value {
    json!({
        "metadata": {
            "name": format!("{service}-{number}"), "namespace": "apps",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4", "endpoints": endpoints,
    })
}

fn seen_from_a(slice: Value) -> Seen<EndpointSlice> {
    OWN_NODE.sync_scope("a".into(), || seen(slice))
}

fn endpoint(on: Option<&str>, conditions: &Value) -> Value {
    let mut endpoint = json!({"addresses": ["10.244.1.7"], "conditions": conditions});
    if let Some(node) = on {
        endpoint["nodeName"] = node.into();
    }
    endpoint
}

#[test]
fn a_rolling_restart_elsewhere_is_no_news_while_another_endpoint_is_ready() {
    let starting = json!({"ready": false, "serving": false, "terminating": false});
    let ready = json!({"ready": true, "serving": true, "terminating": false});
    let leaving = json!({"ready": false, "serving": true, "terminating": true});
    let mut follower = follower(Kind::EndpointSlice);
    let mut news = |states: &[&Value]| {
        let endpoints = states.iter().map(|state| endpoint(Some("b"), state));
        let slice = slice("web", 1, &endpoints.collect::<Vec<_>>());
        !told(&mut follower, Event::Apply(seen_from_a(slice))).is_empty()
    };
    assert!(news(&[&ready, &ready]));
    assert!(!news(&[&ready, &ready, &starting]));
    assert!(!news(&[&ready, &leaving, &ready]));
    assert!(!news(&[&ready, &ready]));
    // The last one that is ready is another matter, and so is the first.
    assert!(!news(&[&ready]));
    assert!(news(&[&leaving]));
    assert!(news(&[&leaving, &starting]));
    assert!(news(&[&leaving, &ready]));
}

const CLUSTER: &str = r#"
apiVersion: v1
kind: Node
metadata: { name: a }
spec: { podCIDRs: [10.244.1.0/24] }
status: { addresses: [{ type: InternalIP, address: 192.0.2.1 }] }
---
apiVersion: redstart.dev/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec: { services: { advertise: [ClusterIP, ExternalIP], allowedExternalIPs: [203.0.113.0/24] } }
---
apiVersion: redstart.dev/v1alpha1
kind: BGPPeer
metadata: { name: tor }
spec: { address: 192.0.2.254, asn: 64999 }
---
apiVersion: v1
kind: Service
metadata: { name: anywhere, namespace: apps }
spec: { clusterIP: 10.96.0.1, externalIPs: [203.0.113.1] }
---
apiVersion: v1
kind: Service
metadata: { name: local, namespace: apps }
spec: { clusterIP: 10.96.0.2, externalIPs: [203.0.113.2], externalTrafficPolicy: Local }
---
apiVersion: v1
kind: Service
metadata: { name: early, namespace: apps }
spec: { clusterIP: 10.96.0.3, internalTrafficPolicy: Local, publishNotReadyAddresses: true }
"#;

fn cluster(mut index: Index) -> Index {
    let objects = manifest::parse("test.yaml", CLUSTER).unwrap().objects;
    for kind in Kind::ALL {
        let objects = objects.iter().filter(|it| it.key.kind == kind);
        let objects = objects.cloned().collect();
        index.apply(SourceEvent::Restarted { kind, objects });
    }
    index
}

prop_compose! {
    fn any_endpoint()(
        node in option::of(prop::sample::select(vec!["a", "b", "c"])),
        conditions in prop::array::uniform3(option::of(any::<bool>())),
    ) -> Value {
        let [ready, serving, terminating] = conditions;
        let conditions = json!({"ready": ready, "serving": serving, "terminating": terminating});
        endpoint(node, &conditions)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However endpoints come, change and go: what is read of them, told of that and compiled from that,
    /// step by step, comes to what all of them come to at once.
    #[test]
    fn what_is_not_told_makes_no_difference(
        writes in prop::collection::vec((
            prop::sample::select(vec!["anywhere", "local", "early"]),
            0..2_usize,
            option::weighted(0.9, prop::collection::vec(any_endpoint(), 0..4)),
        ), 1..40),
    ) {
        let mut whole = cluster(Index::new());
        let mut ours = cluster(Index::of_node("a"));
        let mut follower = follower(Kind::EndpointSlice);
        let mut compiler = Compiler::new("a");
        let changes = ours.take_changes();
        let mut last = compiler.compile(&ours, &changes).unwrap();
        for (service, number, endpoints) in writes {
            let slice = slice(service, number, endpoints.as_deref().unwrap_or_default());
            let seen = seen_from_a(slice.clone());
            let key = seen.key();
            let mut batch = Batch::new();
            if endpoints.is_some() {
                whole.apply(SourceEvent::Applied(EndpointSlice::parse(key, slice)));
                follower.event(Event::Apply(seen), &mut batch);
            } else {
                whole.apply(SourceEvent::Deleted(key));
                follower.event(Event::Delete(seen), &mut batch);
            }
            for event in batch {
                ours.apply(event);
            }
            let changes = ours.take_changes();
            last = compiler.compile(&ours, &changes).unwrap_or(last);
            let fresh = Compiler::new("a").compile(&whole, &Changes::everything());
            prop_assert_eq!(Some(&last), fresh.as_ref());
        }
    }
}
