//! What is written, as JSON. Pure.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use kube::core::ApiResource;

use crate::{
    api::{
        API_VERSION, BFDProfile, BGPAdvertisement, BGPConfiguration, BGPPeer, BGPPolicy, NodeStatus,
    },
    index::Kind,
    object::ObjectRef,
    status::{conditions::Verdict, events::Entry, known::Known, page::second},
};

/// The longest field manager, instance and the like.
const LONGEST: usize = 128;

fn node(name: &str) -> ObjectRef {
    ObjectRef {
        kind: "Node".to_owned(),
        name: name.to_owned(),
    }
}

/// The field manager of a node's speaker.
pub(super) fn manager(node: &str) -> String {
    format!("redstart/{node}").chars().take(LONGEST).collect()
}

/// The object without its status.
pub(super) fn node_status(node: &str, owner_uid: &str) -> Json {
    json!({
        "apiVersion": API_VERSION,
        "kind": "BGPNodeStatus",
        "metadata": {
            "name": node,
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": node, "uid": owner_uid},
            ],
        },
        "spec": {},
    })
}

/// Its status alone.
pub(super) fn status_of(object: &Json, page: &NodeStatus) -> Json {
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "metadata": {"name": object["metadata"]["name"]},
        "status": page,
    })
}

/// Where objects of this kind are, if they are of ours and have conditions.
pub(super) fn resource(kind: &str) -> Option<ApiResource> {
    Some(match Kind::find(API_VERSION, kind)? {
        Kind::BgpConfiguration => ApiResource::erase::<BGPConfiguration>(&()),
        Kind::BgpPeer => ApiResource::erase::<BGPPeer>(&()),
        Kind::BgpAdvertisement => ApiResource::erase::<BGPAdvertisement>(&()),
        Kind::BgpPolicy => ApiResource::erase::<BGPPolicy>(&()),
        Kind::BfdProfile => ApiResource::erase::<BFDProfile>(&()),
        Kind::Node | Kind::Secret | Kind::Service | Kind::EndpointSlice => return None,
    })
}

/// The conditions of an object, for exactly that object and not for a later one of its name.
pub(super) fn conditions(object: &ObjectRef, verdict: &Verdict, now: Timestamp) -> Json {
    json!({
        "apiVersion": API_VERSION,
        "kind": object.kind,
        "metadata": {"name": object.name, "uid": verdict.standing.uid},
        "status": {
            "observedGeneration": verdict.standing.generation,
            "conditions": verdict.conditions(&second(now)),
        },
    })
}

/// The name of an Event: the same for all of a series, another one for every other.
pub(super) fn event_name(node: &str, entry: &Entry) -> String {
    let subject = entry.subject.object.rsplit('/').next().unwrap_or(node);
    let subject: String = subject.chars().take(LONGEST).collect();
    format!("{subject}.{:016x}", entry.number)
}

pub(super) fn event(
    node: &str,
    name: &str,
    namespace: &str,
    entry: &Entry,
    known: &Known,
    now: Timestamp,
) -> Json {
    let (kind, subject) = entry
        .subject
        .object
        .split_once('/')
        .unwrap_or(("Node", node));
    let object = ObjectRef {
        kind: kind.to_owned(),
        name: subject.to_owned(),
    };
    let watched = Kind::ALL.into_iter().find(|it| it.as_str() == kind);
    // What no object stands behind, such as a file, is told of the node.
    let (object, api_version) = match watched {
        Some(kind) if !kind.is_namespaced() => (object, kind.api_version()),
        _ => (self::node(node), "v1"),
    };
    let uid = match known.verdicts.get(&object) {
        Some(verdict) => Some(&verdict.standing.uid),
        None => known
            .node_uid
            .as_ref()
            .filter(|_| object == self::node(node)),
    };
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "eventTime": micro(now),
        "reportingController": "redstart.dev/speaker",
        "reportingInstance": node.chars().take(LONGEST).collect::<String>(),
        "action": "Speak",
        "type": if entry.warning { "Warning" } else { "Normal" },
        "reason": entry.subject.reason,
        "note": entry.note,
        "regarding": {
            "apiVersion": api_version,
            "kind": object.kind,
            "name": object.name,
            "uid": uid,
        },
    })
}

/// What changes when an Event happens again.
pub(super) fn series(entry: &Entry, now: Timestamp) -> Json {
    json!({
        "note": entry.note,
        "series": {"count": entry.count, "lastObservedTime": micro(now)},
    })
}

/// RFC 3339 to the microsecond, which this API wants.
fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
