//! What is kept of an object as it came: the part that this program, or a later version of it, could
//! use. Pure.
//!
//! The rest is dropped before the object is parsed, so what comes from the [`cache`](crate::cache) is
//! what came from the API. What changes all the time and means nothing here (heartbeats, versions,
//! image lists) must not be in it: each difference is a write to the disk.

use serde_json::{Map, Value, json};

use crate::{
    api,
    index::{Kind, SHUTDOWN_MESSAGE},
};

/// Metadata that says who wrote an object and when, not what it is.
const BOOKKEEPING: [&str; 5] = [
    "managedFields",
    "resourceVersion",
    "selfLink",
    "ownerReferences",
    "finalizers",
];

/// `kubectl apply` keeps the whole object once more in this annotation.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Secrets that hold no password of a session, but much else, and nothing that belongs on a disk.
const SECRET_TYPES: [&str; 4] = [
    "helm.sh/release.v1",
    "kubernetes.io/service-account-token",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/tls",
];

/// Reduces `object` to what is kept of it, and returns that as a manifest in one line. `None` for an
/// object that is not to be on a disk.
pub(super) fn manifest(kind: Kind, object: &mut Value) -> Option<Box<str>> {
    let Value::Object(fields) = &mut *object else {
        return None;
    };
    // The items of a list need not say what they are; a manifest must.
    fields.insert("apiVersion".to_owned(), json!(kind.api_version()));
    fields.insert("kind".to_owned(), json!(kind.as_str()));
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        metadata.retain(|name, _| !BOOKKEEPING.contains(&name.as_str()));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(LAST_APPLIED);
        }
    }
    match kind {
        Kind::Node => project_node(fields),
        Kind::EndpointSlice => project_slice(fields),
        Kind::Secret => {
            let of_type = fields.get("type").and_then(Value::as_str);
            if of_type.is_some_and(|it| SECRET_TYPES.contains(&it)) {
                return None;
            }
        }
        // What our own objects have for a status was written by us.
        _ if kind.api_version() == api::API_VERSION => _ = fields.remove("status"),
        _ => {}
    }
    Some(object.to_string().into_boxed_str())
}

/// Of a Node's status: its addresses, and its conditions without their heartbeats and, but for the
/// one that announces a shutdown, without their words, which count the seconds on a node in trouble.
fn project_node(fields: &mut Map<String, Value>) {
    let Some(Value::Object(status)) = fields.get_mut("status") else {
        return;
    };
    status.retain(|name, _| matches!(name.as_str(), "addresses" | "conditions"));
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if let Value::Object(condition) = condition {
            let announces = condition
                .get("message")
                .and_then(Value::as_str)
                .is_some_and(|message| message.contains(SHUTDOWN_MESSAGE));
            condition.retain(|name, _| match name.as_str() {
                "type" | "status" => true,
                "message" => announces,
                _ => false,
            });
        }
    }
}

/// Of the endpoints of a slice: where they are and how they do. Its annotations say when it changed.
fn project_slice(fields: &mut Map<String, Value>) {
    fields.remove("ports");
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        metadata.remove("annotations");
    }
    let endpoints = fields.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in endpoints.into_iter().flatten() {
        if let Value::Object(endpoint) = endpoint {
            endpoint.retain(|name, _| matches!(name.as_str(), "conditions" | "nodeName"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Object;

    fn kept(kind: Kind, mut object: Value) -> Option<Value> {
        let text = manifest(kind, &mut object)?;
        assert_eq!(text.lines().count(), 1);
        Some(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_heartbeat_of_a_node_is_no_change() {
        let node = |version: &str, beat: &str| {
            json!({
                "metadata": {
                    "name": "a", "resourceVersion": version, "labels": {"rack": "1"},
                    "managedFields": [{"time": beat}],
                    "annotations": {"redstart.dev/asn": "64513", (LAST_APPLIED): beat},
                },
                "spec": {"podCIDRs": ["10.0.0.0/24"]},
                "status": {
                    "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                    "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": beat}],
                    "images": [{"names": ["a"], "sizeBytes": 1}],
                },
            })
        };
        let (before, after) = (node("1", "now"), node("2", "then"));
        let kept_of = |object| kept(Kind::Node, object);
        assert_eq!(kept_of(before.clone()), kept_of(after));
        let expected = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": "a", "labels": {"rack": "1"}, "annotations": {"redstart.dev/asn": "64513"},
            },
            "spec": {"podCIDRs": ["10.0.0.0/24"]},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        assert_eq!(kept_of(before), Some(expected));
    }

    #[test]
    fn another_address_of_an_endpoint_is_no_change_and_another_condition_is() {
        let slice = |address: &str, ready: bool| {
            json!({
                "metadata": {"name": "a", "annotations": {"when": address}},
                "addressType": "IPv4", "ports": [{"port": 80}],
                "endpoints": [{
                    "addresses": [address], "nodeName": "n", "conditions": {"ready": ready},
                    "targetRef": {"kind": "Pod", "name": address},
                }],
            })
        };
        let kept_of = |slice| kept(Kind::EndpointSlice, slice);
        let (old, new) = (slice("10.0.0.1", true), slice("10.0.0.2", true));
        assert_eq!(kept_of(old.clone()), kept_of(new));
        assert_ne!(kept_of(old), kept_of(slice("10.0.0.1", false)));
    }

    #[test]
    fn a_node_that_shuts_down_still_says_so() {
        let ready = json!({"type": "Ready", "status": "False", "message": SHUTDOWN_MESSAGE});
        let node = json!({"metadata": {"name": "a"}, "status": {"conditions": [ready]}});
        let observed = crate::source::kube::take_in(Kind::Node, node);
        let Some(Object::Node(node)) = observed.object else {
            panic!("{:?}", observed.problems);
        };
        assert!(node.drain.shuts_down);
        assert!(
            observed
                .manifest
                .is_some_and(|it| it.contains(SHUTDOWN_MESSAGE))
        );
    }

    #[test]
    fn conditions_that_this_program_writes_are_no_change() {
        let peer = json!({"metadata": {"name": "a"}, "spec": {}, "status": {"conditions": []}});
        assert_eq!(kept(Kind::BgpPeer, peer).unwrap().get("status"), None);
    }

    #[test]
    fn tokens_and_releases_do_not_go_to_the_disk_and_passwords_do() {
        let secret = |of_type: &str| json!({"metadata": {"name": "a"}, "type": of_type, "data": {"password": "eA=="}});
        assert_eq!(kept(Kind::Secret, secret("helm.sh/release.v1")), None);
        let opaque = kept(Kind::Secret, secret("Opaque")).unwrap();
        assert_eq!(opaque["data"]["password"], "eA==");
    }
}
