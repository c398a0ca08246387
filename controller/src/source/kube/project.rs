//! What is kept of an object as it came: the part that this program, or a later version of it, could
//! use. Pure.
//!
//! The rest is dropped before the object is parsed, so what comes from the [`cache`](crate::cache) is
//! what came from the API. What changes all the time and means nothing here (versions, what we wrote
//! ourselves) must not be in it: each difference is a write to the disk. The numerous kinds are not
//! here: all that is [read](super::skip) of them is kept.

use serde_json::{Value, json};

use crate::{api, index::Kind};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(kind: Kind, mut object: Value) -> Option<Value> {
        let text = manifest(kind, &mut object)?;
        assert_eq!(text.lines().count(), 1);
        Some(serde_json::from_str(&text).unwrap())
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
