//! What is written, as JSON. Pure.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use k8s_openapi::api::core::v1 as core;
use kube::core::ApiResource;

use crate::{
    api::{
        API_VERSION, BFDProfile, BGPAdvertisement, BGPConfiguration, BGPPeer, BGPPolicy, NodeStatus,
    },
    index::Kind,
    object::ObjectRef,
    status::{
        conditions::Verdict,
        known::Known,
        ledger::Entry,
        page::{cut, second},
    },
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
        Kind::Node | Kind::Secret | Kind::Service | Kind::EndpointSlice | Kind::ServiceCidr => {
            return None;
        }
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

/// The object that an Event is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Regarding {
    kind: Kind,
    /// Where it is, if it is in a namespace. There the Event is too.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// What tells it from others of its name, where that is known. `kubectl describe` asks for it.
    pub(super) uid: Option<String>,
    /// Whether it is the subject itself, and not the node in the place of something that is no object.
    is_subject: bool,
}

impl Regarding {
    /// The object of this subject, `Kind/name` or `Kind/namespace/name`. What is none, such as a file, is
    /// told of the node.
    pub(super) fn of(node: &str, subject: &str, known: &Known) -> Self {
        let (kind, path) = subject.split_once('/').unwrap_or_default();
        let watched = Kind::ALL.into_iter().find(|it| it.as_str() == kind);
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, path),
        };
        let named = watched.filter(|kind| kind.is_namespaced() == namespace.is_some());
        let (kind, namespace, name) = match named {
            Some(kind) => (kind, namespace, name),
            None => (Kind::Node, None, node),
        };
        let object = ObjectRef {
            kind: kind.as_str().to_owned(),
            name: name.to_owned(),
        };
        let of_ours = known.verdicts.get(&object);
        let own = || {
            known
                .node_uid
                .as_ref()
                .filter(|_| object == self::node(node))
        };
        let uid = match namespace {
            Some(_) => None,
            None => of_ours.map(|it| &it.standing.uid).or_else(own),
        };
        Self {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            uid: uid.cloned(),
            is_subject: named.is_some(),
        }
    }

    /// Where to ask for its uid: for those of Kubernetes, which nothing here keeps.
    pub(super) fn resource(&self) -> Option<ApiResource> {
        Some(match self.kind {
            Kind::Service => ApiResource::erase::<core::Service>(&()),
            Kind::Node => ApiResource::erase::<core::Node>(&()),
            _ => return None,
        })
    }
}

pub(super) fn event(
    node: &str,
    (namespace, name): (&str, &str),
    entry: &Entry,
    regarding: &Regarding,
    now: Timestamp,
) -> Json {
    let note = match regarding.is_subject {
        true => entry.note.clone(),
        false => cut(&format!("{}: {}", entry.subject.object, entry.note)),
    };
    // What has waited for its turn may have happened again meanwhile.
    let series = (entry.count > 1).then(|| series_of(entry, now));
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "series": series,
        "metadata": {"name": name, "namespace": namespace},
        "eventTime": micro(now),
        "reportingController": "redstart.dev/speaker",
        "reportingInstance": node.chars().take(LONGEST).collect::<String>(),
        "action": "Speak",
        "type": if entry.warning { "Warning" } else { "Normal" },
        "reason": entry.subject.reason,
        "note": note,
        "regarding": {
            "apiVersion": regarding.kind.api_version(),
            "kind": regarding.kind.as_str(),
            "namespace": regarding.namespace,
            "name": regarding.name,
            "uid": regarding.uid,
        },
    })
}

/// What changes when an Event happens again. Not its words: the API server takes no other ones.
pub(super) fn series(entry: &Entry, now: Timestamp) -> Json {
    json!({"series": series_of(entry, now)})
}

fn series_of(entry: &Entry, now: Timestamp) -> Json {
    json!({"count": entry.count, "lastObservedTime": micro(now)})
}

/// RFC 3339 to the microsecond, which this API wants.
fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
