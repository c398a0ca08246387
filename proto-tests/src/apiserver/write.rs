//! Create, update, patch, apply and delete.
//!
//! Nothing here validates but changes of Events: the project's own readers must cope with whatever an
//! object says, and tests hand them the worst. What the server itself owns (uid, revision, creation time, generation,
//! the split between an object and its status) is kept as a real one keeps it.

use std::sync::Arc;

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::{Value, json};

use super::{
    Api,
    apply::Apply,
    patch,
    read::Scope,
    request::Query,
    resource::{Gvr, Key, Resource},
    status::Refusal,
    store::{Store, Write},
};

/// The part of a request that carries an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload<'a> {
    /// The media type, without parameters.
    pub media_type: &'a str,
    /// JSON, or YAML where the media type says so.
    pub body: &'a [u8],
}

impl Payload<'_> {
    fn parse(&self) -> Result<Value, Refusal> {
        let parsed = if self.media_type.ends_with("yaml") {
            serde_saphyr::from_slice(self.body).map_err(|error| error.to_string())
        } else {
            serde_json::from_slice(self.body).map_err(|error| error.to_string())
        };
        let value: Value = parsed.map_err(Refusal::bad_request)?;
        if value.is_object() {
            Ok(value)
        } else {
            Err(Refusal::bad_request("the body is not an object"))
        }
    }
}

/// POST to a collection.
///
/// # Errors
/// 400, 409 where the name is taken.
pub(super) fn create(
    api: &Api,
    resource: &Resource,
    namespace: &str,
    query: &Query,
    payload: Payload<'_>,
) -> Result<Arc<Value>, Refusal> {
    let mut object = payload.parse()?;
    let name = match object["metadata"]["name"].as_str() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => match object["metadata"]["generateName"].as_str() {
            Some(prefix) => format!("{prefix}{}", api.store.read().revision() + 1),
            None => return Err(Refusal::invalid("metadata.name: Required value")),
        },
    };
    let key = Key {
        gvr: resource.gvr.clone(),
        namespace: namespace.to_owned(),
        name,
    };
    // A custom resource is created without its status; nodes are registered with theirs.
    if resource.status_subresource && !resource.schema.is_null() {
        remove(&mut object, "status");
    }
    store(api, resource, &key, query, |old| match old {
        Some(_) => Err(Refusal::already_exists(
            &resource.gvr.qualified(),
            &key.name,
        )),
        None => Ok(object),
    })
}

/// PUT of an object or its status.
///
/// # Errors
/// 404, 409 where the object was written since the client read it.
pub(super) fn update(
    api: &Api,
    resource: &Resource,
    key: &Key,
    subresource: &str,
    query: &Query,
    payload: Payload<'_>,
) -> Result<Arc<Value>, Refusal> {
    let new = payload.parse()?;
    store(api, resource, key, query, |old| {
        let old = old.ok_or_else(|| Refusal::not_found(&resource.gvr.qualified(), &key.name))?;
        check_revision(resource, key, old, &new)?;
        Ok(only(resource, subresource, old, new))
    })
}

/// PATCH of an object or its status: merge patch, or server-side apply, which creates too.
///
/// # Errors
/// 400, 404, 409 for conflicts, 415 for other kinds of patches.
pub(super) fn patch(
    api: &Api,
    resource: &Resource,
    key: &Key,
    subresource: &str,
    query: &Query,
    payload: Payload<'_>,
) -> Result<Arc<Value>, Refusal> {
    let patch = payload.parse()?;
    store(api, resource, key, query, |old| {
        let missing = || Refusal::not_found(&resource.gvr.qualified(), &key.name);
        if payload.media_type == "application/apply-patch+yaml" {
            if old.is_none() && !subresource.is_empty() {
                return Err(missing());
            }
            return apply(resource, key, subresource, query, old, patch);
        }
        let old = old.ok_or_else(missing)?;
        let mut new = old.clone();
        match payload.media_type {
            "application/merge-patch+json" => patch::merge(&mut new, &patch),
            "application/strategic-merge-patch+json" => patch::strategic(&mut new, &patch)?,
            other => return Err(Refusal::unsupported_media_type(other)),
        }
        check_revision(resource, key, old, &new)?;
        check_event(resource, old, &new)?;
        Ok(only(resource, subresource, old, new))
    })
}

/// Of an Event of `events.k8s.io` only the series changes, and who deals with it.
fn check_event(resource: &Resource, old: &Value, new: &Value) -> Result<(), Refusal> {
    if resource.gvr.group != "events.k8s.io" {
        return Ok(());
    }
    let fixed = ["note", "reason", "regarding", "eventTime", "type"];
    match fixed.into_iter().find(|field| old[field] != new[field]) {
        Some(field) => Err(Refusal::invalid(format!(
            "{field}: Invalid value: field is immutable"
        ))),
        None => Ok(()),
    }
}

fn apply(
    resource: &Resource,
    key: &Key,
    subresource: &str,
    query: &Query,
    old: Option<&Value>,
    mut applied: Value,
) -> Result<Value, Refusal> {
    if query.get("fieldManager").is_empty() {
        return Err(Refusal::invalid(
            "fieldManager: Required value: is required for apply patch",
        ));
    }
    let named = applied["metadata"]["name"].as_str();
    if named.is_some_and(|name| name != key.name) {
        return Err(Refusal::bad_request(
            "the name of the object does not match the name on the URL",
        ));
    }
    let uid = applied["metadata"]["uid"].as_str();
    if uid.is_some_and(|uid| old.is_some_and(|old| old["metadata"]["uid"] != uid)) {
        return Err(Refusal::conflict(
            "uid mismatch: the provided object is not the one that is there",
        ));
    }
    for required in ["apiVersion", "kind"] {
        if !applied[required].is_string() {
            return Err(Refusal::bad_request(format!("{required} must be set")));
        }
    }
    if subresource.is_empty() {
        if resource.status_subresource {
            remove(&mut applied, "status");
        }
    } else if let Some(fields) = applied.as_object_mut() {
        fields.retain(|name, _| name == "status" || name == "apiVersion" || name == "kind");
    }
    let mut live = old.cloned().unwrap_or_else(
        || json!({"apiVersion": applied["apiVersion"], "kind": applied["kind"], "metadata": {}}),
    );
    Apply {
        manager: query.get("fieldManager"),
        subresource,
        force: query.flag("force"),
        schema: &resource.schema,
    }
    .merge(&mut live, &applied)?;
    Ok(live)
}

/// DELETE of one object.
///
/// # Errors
/// 404.
pub(super) fn delete(api: &Api, key: &Key, query: &Query) -> Result<Arc<Value>, Refusal> {
    let missing = || Refusal::not_found(&key.gvr.qualified(), &key.name);
    let result = api.store.write(key, |store| {
        let old = store.get(key).ok_or_else(missing)?;
        Ok(if query.get("dryRun").is_empty() {
            Write::Delete
        } else {
            Write::DryRun(old.as_ref().clone())
        })
    })?;
    result.ok_or_else(missing)
}

/// DELETE of all that a scope covers; returns how many there were.
///
/// # Errors
/// What a single delete would say.
pub(super) fn delete_collection(
    api: &Api,
    scope: &Scope,
    query: &Query,
    resource: &Resource,
) -> Result<usize, Refusal> {
    let keys: Vec<Key> = api
        .store
        .read()
        .list(&resource.gvr)
        .filter(|(key, object)| scope.covers(key, object))
        .map(|(key, _)| key.clone())
        .collect();
    for key in &keys {
        delete(api, key, query)?;
    }
    Ok(keys.len())
}

/// Stores what `make` makes of the object that is there, with the metadata that the server owns.
fn store(
    api: &Api,
    resource: &Resource,
    key: &Key,
    query: &Query,
    make: impl FnOnce(Option<&Value>) -> Result<Value, Refusal>,
) -> Result<Arc<Value>, Refusal> {
    let dry_run = !query.get("dryRun").is_empty();
    let result = api.store.write(key, |store| {
        let old = store.get(key);
        let mut new = make(old.as_deref())?;
        own_metadata(store, resource, key, old.as_deref(), &mut new);
        if old.as_deref() == Some(&new) {
            return Ok(Write::Keep);
        }
        Ok(if dry_run {
            Write::DryRun(new)
        } else {
            Write::Put(new)
        })
    })?;
    result.ok_or_else(|| Refusal::not_found(&resource.gvr.qualified(), &key.name))
}

/// Sets what the server decides, as on the old object or new.
pub(super) fn own_metadata(
    store: &Store,
    resource: &Resource,
    key: &Key,
    old: Option<&Value>,
    new: &mut Value,
) {
    new["apiVersion"] = json!(resource.gvr.api_version());
    new["kind"] = json!(resource.kind);
    if !new["metadata"].is_object() {
        new["metadata"] = json!({});
    }
    let generation = match old {
        None => 1,
        Some(old) => {
            let same = content(old) == content(new);
            old["metadata"]["generation"].as_u64().unwrap_or(1) + u64::from(!same)
        }
    };
    if resource.gvr == Gvr::new("", "v1", "secrets") {
        encode_string_data(new);
    }
    let metadata = &mut new["metadata"];
    metadata["name"] = json!(key.name);
    if !key.namespace.is_empty() {
        metadata["namespace"] = json!(key.namespace);
    }
    metadata["generation"] = json!(generation);
    match old.map(|old| &old["metadata"]) {
        Some(old) => {
            for field in ["uid", "creationTimestamp", "resourceVersion"] {
                metadata[field] = old[field].clone();
            }
        }
        None => {
            metadata["uid"] = json!(format!(
                "00000000-0000-4000-8000-{:012x}",
                store.revision() + 1
            ));
            let now = Timestamp::from_second(Timestamp::now().as_second());
            metadata["creationTimestamp"] = now.map_or(Value::Null, |now| json!(Time(now)));
        }
    }
}

/// Moves a Secret's `stringData` into `data`, as the real server does.
fn encode_string_data(secret: &mut Value) {
    let Some(plain) = secret
        .as_object_mut()
        .and_then(|it| it.remove("stringData"))
    else {
        return;
    };
    for (key, value) in plain.as_object().into_iter().flatten() {
        let bytes = value.as_str().unwrap_or_default().as_bytes().to_vec();
        secret["data"][key] = json!(ByteString(bytes));
    }
}

/// An object without what does not count for its generation.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    remove(&mut object, "metadata");
    remove(&mut object, "status");
    object
}

/// What a write to one part of an object leaves of the rest.
fn only(resource: &Resource, subresource: &str, old: &Value, mut new: Value) -> Value {
    if !subresource.is_empty() {
        let mut result = old.clone();
        result[subresource] = new[subresource].take();
        return result;
    }
    if resource.status_subresource {
        match old.get("status") {
            Some(status) => new["status"] = status.clone(),
            None => remove(&mut new, "status"),
        }
    }
    new
}

fn check_revision(resource: &Resource, key: &Key, old: &Value, new: &Value) -> Result<(), Refusal> {
    let (is, wanted) = (
        &old["metadata"]["resourceVersion"],
        &new["metadata"]["resourceVersion"],
    );
    if wanted.as_str().is_some_and(|it| !it.is_empty()) && is != wanted {
        return Err(Refusal::conflict(format!(
            "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please \
             apply your changes to the latest version and try again",
            resource.gvr.qualified(),
            key.name,
        )));
    }
    Ok(())
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}
