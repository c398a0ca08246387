use serde_json::{Value, json};

use super::*;

/// The text of an object, as a speaker on `own` reads it.
fn text_on(own: &str, kind: Kind, object: &Value) -> String {
    let text = object.to_string();
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let node = Arc::from(own);
    let (_, excerpt) = OWN_NODE
        .sync_scope(node, || read(kind, &mut deserializer))
        .unwrap();
    deserializer.end().unwrap();
    excerpt
}

fn kept_on(own: &str, kind: Kind, object: &Value) -> Value {
    let mut kept: Value = serde_json::from_str(&text_on(own, kind, object)).unwrap();
    if kind.is_numerous() {
        let says = [kept["apiVersion"].take(), kept["kind"].take()];
        assert_eq!(says, [kind.api_version(), kind.as_str()]);
        let fields = kept.as_object_mut().unwrap();
        fields.retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind"));
    }
    kept
}

fn kept(kind: Kind, object: &Value) -> Value {
    kept_on("a", kind, object)
}

fn node(version: &str, beat: &str, words: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": "a", "resourceVersion": version, "labels": {"zone": "1"},
            "managedFields": [{"manager": "kubelet", "time": beat}],
            "annotations": {"redstart.dev/asn": "64513", "example.com/large": beat},
        },
        "spec": {"podCIDRs": ["10.0.0.0/24"], "unschedulable": true},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "images": [{"sizeBytes": 5}],
            "conditions": [{
                "type": "Ready", "status": "False", "reason": beat, "message": words,
                "lastHeartbeatTime": beat, "lastTransitionTime": "2026-05-28T20:26:40Z",
            }],
        },
    })
}

#[test]
fn what_nodes_are_large_by_is_left_out_and_all_else_is_there() {
    let expected = json!({
        "metadata": {
            "name": "a", "labels": {"zone": "1"}, "annotations": {"redstart.dev/asn": "64513"},
        },
        "spec": {"podCIDRs": ["10.0.0.0/24"], "unschedulable": true},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "conditions": [{"type": "Ready", "status": "False"}],
        },
    });
    assert_eq!(kept(Kind::Node, &node("7", "now", "out of disk")), expected);
}

#[test]
fn a_heartbeat_of_a_node_is_no_change() {
    let text = |node| text_on("a", Kind::Node, &node);
    let before = text(node("7", "now", "not heard of for 10 seconds"));
    let after = text(node("8", "then", "not heard of for 20 seconds"));
    assert_eq!(before, after);
    assert_eq!(before.lines().count(), 1);
}

#[test]
fn a_node_that_shuts_down_says_so_and_since_when() {
    let words = format!("{SHUTDOWN_MESSAGE}, in 20 seconds");
    let kept = kept(Kind::Node, &node("7", "now", &words));
    let ready = json!({
        "type": "Ready", "status": "False", "message": words,
        "lastTransitionTime": "2026-05-28T20:26:40Z",
    });
    assert_eq!(kept["status"]["conditions"], json!([ready]));
}

fn endpoint(address: &str, on: Option<&str>, ready: bool) -> Value {
    let mut endpoint = json!({
        "addresses": [address], "conditions": {"ready": ready}, "zone": "1",
        "targetRef": {"kind": "Pod", "name": address},
    });
    if let Some(node) = on {
        endpoint["nodeName"] = node.into();
    }
    endpoint
}

fn slice(version: &str, endpoints: &[Value]) -> Value {
    json!({
        "metadata": {
            "name": "web-1", "namespace": "apps", "generation": version.len(),
            "labels": {"kubernetes.io/service-name": "web"},
            "annotations": {"when": version}, "resourceVersion": version,
        },
        "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": endpoints,
    })
}

#[test]
fn of_endpoints_the_states_are_read_and_which_of_them_are_here() {
    let endpoints = [
        endpoint("10.0.0.1", Some("a"), true),
        endpoint("10.0.0.2", Some("a"), true),
        endpoint("10.0.0.3", Some("a"), false),
        endpoint("10.0.1.1", Some("b"), true),
        endpoint("10.0.1.2", Some("c"), false),
        endpoint("10.0.1.3", None, true),
    ];
    let expected = json!({
        "metadata": {
            "name": "web-1", "namespace": "apps",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"conditions": {"ready": false}, "nodeName": "a"},
            {"conditions": {"ready": true}, "nodeName": "a"},
            {"conditions": {"ready": true}},
        ],
    });
    let kept = kept(Kind::EndpointSlice, &slice("7", &endpoints));
    assert_eq!(kept, expected);
}

#[test]
fn only_what_matters_here_is_a_change_of_a_slice() {
    let (here, there) = (Some("a"), Some("b"));
    let text = |version, endpoints: &[Value]| {
        text_on("a", Kind::EndpointSlice, &slice(version, endpoints))
    };
    let old = [
        endpoint("10.0.0.1", here, true),
        endpoint("10.0.1.1", there, true),
    ];
    // Other addresses, another order, one more elsewhere, and one that is about to go.
    let same = [
        endpoint("10.0.1.7", there, true),
        endpoint("10.0.1.8", there, false),
        endpoint("10.0.2.7", Some("c"), true),
        endpoint("10.0.0.7", here, true),
    ];
    assert_eq!(text("7", &old), text("12", &same));
    for (here_is, there_is) in [
        (Some(false), Some(true)),
        (Some(true), Some(false)),
        (Some(true), None),
        (None, Some(true)),
    ] {
        let here = here_is.map(|ready| endpoint("10.0.0.1", here, ready));
        let there = there_is.map(|ready| endpoint("10.0.1.1", there, ready));
        let other: Vec<Value> = here.into_iter().chain(there).collect();
        assert_ne!(text("7", &old), text("7", &other), "{other:?}");
    }
}

/// They still serve, and where nobody is ready, that counts.
#[test]
fn states_elsewhere_are_told_apart_while_none_is_ready() {
    let endpoint = |conditions: &Value| json!({"conditions": conditions, "nodeName": "b"});
    let starting = json!({"ready": false, "serving": false, "terminating": false});
    let leaving = json!({"ready": false, "serving": true, "terminating": true});
    let states = |conditions: &[&Value]| {
        let endpoints: Vec<Value> = conditions.iter().map(|it| endpoint(it)).collect();
        let kept = kept(Kind::EndpointSlice, &slice("7", &endpoints));
        kept["endpoints"].as_array().unwrap().clone()
    };
    assert_eq!(states(&[&starting, &leaving, &starting]).len(), 2);
    // A state that is not said is readiness, to the API.
    for ready in [json!({"ready": true}), json!({"ready": null}), json!({})] {
        let kept = states(&[&starting, &leaving, &ready]);
        assert_eq!(kept, [json!({"conditions": ready})]);
    }
}

#[test]
fn without_a_node_of_its_own_every_node_is_told_apart() {
    let endpoints = [
        endpoint("10.0.0.1", Some("a"), true),
        endpoint("10.0.1.1", Some("b"), true),
    ];
    let object = slice("7", &endpoints).to_string();
    let mut deserializer = serde_json::Deserializer::from_str(&object);
    let (head, text) = read(Kind::EndpointSlice, &mut deserializer).unwrap();
    assert!(text.contains(r#""nodeName":"a""#) && text.contains(r#""nodeName":"b""#));
    assert_eq!(head.name.as_deref(), Some("web-1"));
    assert_eq!(head.namespace.as_deref(), Some("apps"));
    assert_eq!(head.resource_version.as_deref(), Some("7"));
}

#[test]
fn any_text_and_number_stays_what_it_is() {
    let odd = json!({
        "metadata": {"name": "a", "labels": {"quote\"d": "line\nfeed, \u{1f600}, \\ and \u{7}"}},
        "spec": {"numbers": [0, -5, 18_446_744_073_709_551_615_u64, 0.25, null, true, [], {}, [{}]]},
    });
    assert_eq!(kept(Kind::Service, &odd), odd);
    assert_eq!(kept(Kind::BgpPeer, &odd), odd);
}

#[test]
fn what_should_be_an_object_may_be_anything() {
    for wrong in [
        json!(null),
        json!(true),
        json!(-5),
        json!(5),
        json!(0.5),
        json!("text"),
        json!([[]]),
    ] {
        let object = json!({"metadata": wrong, "spec": wrong, "status": wrong});
        assert_eq!(kept(Kind::Node, &object), object);
        let object = json!({"metadata": {"name": wrong}, "endpoints": wrong});
        assert_eq!(kept(Kind::EndpointSlice, &object), object);
        let endpoint = json!({"nodeName": wrong, "conditions": wrong});
        let is_name = wrong.is_string();
        let object = json!({"endpoints": [endpoint]});
        let read = kept(Kind::EndpointSlice, &object);
        assert_eq!(read == object, !is_name, "{read}");
    }
}
