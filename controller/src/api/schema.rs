//! What the API server would say about an object, for manifests that it never sees.
//!
//! The check walks the generated schema, so it is as strict as `kubectl apply --validate=strict`:
//! unknown and missing fields, types, enums, lengths and ranges, each with the field's path. What
//! CEL rules say beyond that, `index` checks when it parses the object.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{BFDProfile, BGPAdvertisement, BGPConfiguration, BGPPeer, BGPPolicy};
use crate::{diagnostic::Reason, index::Kind};

/// A way in which an object does not follow its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field.
    pub field: String,
    /// What is wrong, for machines.
    pub reason: Reason,
    /// What is wrong, for people.
    pub message: String,
}

/// What each kind of ours must look like, from the first object of that kind on.
fn schema(kind: Kind) -> Option<&'static Value> {
    static CONFIGURATION: LazyLock<Option<Value>> = LazyLock::new(|| of(BGPConfiguration::crd()));
    static PEER: LazyLock<Option<Value>> = LazyLock::new(|| of(BGPPeer::crd()));
    static ADVERTISEMENT: LazyLock<Option<Value>> = LazyLock::new(|| of(BGPAdvertisement::crd()));
    static POLICY: LazyLock<Option<Value>> = LazyLock::new(|| of(BGPPolicy::crd()));
    static PROFILE: LazyLock<Option<Value>> = LazyLock::new(|| of(BFDProfile::crd()));
    match kind {
        Kind::BgpConfiguration => CONFIGURATION.as_ref(),
        Kind::BgpPeer => PEER.as_ref(),
        Kind::BgpAdvertisement => ADVERTISEMENT.as_ref(),
        Kind::BgpPolicy => POLICY.as_ref(),
        Kind::BfdProfile => PROFILE.as_ref(),
        _ => None,
    }
}

fn of(crd: CustomResourceDefinition) -> Option<Value> {
    let mut crd = serde_json::to_value(crd).ok()?;
    let path = "/spec/versions/0/schema/openAPIV3Schema";
    let mut schema = crd.pointer_mut(path)?.take();
    without_words(&mut schema);
    Some(schema)
}

/// Takes out what is there for people and for the API server. A field of an object may have the same name:
/// then it has a schema for a value.
fn without_words(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| match name.as_str() {
                "description" => !value.is_string(),
                "x-kubernetes-validations" => !value.is_array(),
                _ => true,
            });
            fields.values_mut().for_each(without_words);
        }
        Value::Array(items) => items.iter_mut().for_each(without_words),
        _ => {}
    }
}

/// The fields of `metadata`; the API server fills in most of them.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Every violation of the schema of `kind`, in the order of the schema. Kinds that are not of our
/// group have none: they may have fields that we have never heard of.
#[must_use]
pub fn violations(kind: Kind, object: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let (Some(schema), Value::Object(fields)) = (schema(kind), object) else {
        return found;
    };
    for name in fields.keys() {
        let known = matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
        if !known && schema["properties"].get(name).is_none() {
            found.push(unknown(name.clone(), kind.as_str()));
        }
    }
    if let Some(Value::Object(metadata)) = fields.get("metadata") {
        for name in metadata.keys().filter(|n| !METADATA.contains(&n.as_str())) {
            found.push(unknown(format!("metadata.{name}"), "metadata"));
        }
    }
    match fields.get("spec") {
        Some(spec) => walk(&schema["properties"]["spec"], spec, "spec", &mut found),
        None => found.push(Violation {
            field: "spec".to_owned(),
            reason: Reason::MissingField,
            message: "is required".to_owned(),
        }),
    }
    found
}

/// The violations of a schema by a value.
#[cfg(test)]
pub(super) fn against(schema: &Value, value: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    walk(schema, value, "", &mut found);
    found
}

fn unknown(field: String, place: &str) -> Violation {
    let message = format!("{place} has no such field");
    Violation {
        field,
        reason: Reason::UnknownField,
        message,
    }
}

fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    if let Some(message) = value_problem(schema, value) {
        found.push(Violation {
            field: path.to_owned(),
            reason: Reason::InvalidValue,
            message,
        });
    } else if let Value::Object(fields) = value {
        walk_object(schema, fields, path, found);
    } else if let Value::Array(items) = value {
        for (i, item) in items.iter().enumerate() {
            walk(&schema["items"], item, &format!("{path}[{i}]"), found);
        }
    }
}

/// What is wrong with the value itself, without what is in it.
fn value_problem(schema: &Value, value: &Value) -> Option<String> {
    if value.is_null() {
        let nullable = schema["nullable"] == Value::Bool(true);
        return (!nullable).then(|| "has no value".to_owned());
    }
    let expected = if schema["x-kubernetes-int-or-string"] == Value::Bool(true) {
        "integer or string"
    } else {
        schema["type"].as_str().unwrap_or("object")
    };
    if !has_type(value, expected) {
        let article = if expected.starts_with(['a', 'i', 'o']) {
            "an"
        } else {
            "a"
        };
        return Some(format!("{} is not {article} {expected}", shown(value)));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<_> = allowed.iter().map(shown).collect();
        return Some(format!(
            "{} is not one of {}",
            shown(value),
            allowed.join(", ")
        ));
    }
    match value {
        Value::Array(items) => limits(schema, items.len(), "Items", "items"),
        Value::String(text) => limits(schema, text.chars().count(), "Length", "characters"),
        Value::Number(number) => out_of_range(schema, number),
        Value::Object(_) | Value::Null | Value::Bool(_) => None,
    }
}

fn out_of_range(schema: &Value, number: &serde_json::Number) -> Option<String> {
    let (min, max) = (&schema["minimum"], &schema["maximum"]);
    let n = number.as_f64()?;
    if min.as_f64().is_some_and(|min| n < min) {
        return Some(format!("{number} is less than {min}"));
    }
    let over = max.as_f64().is_some_and(|max| n > max);
    over.then(|| format!("{number} is more than {max}"))
}

fn walk_object(
    schema: &Value,
    fields: &serde_json::Map<String, Value>,
    path: &str,
    found: &mut Vec<Violation>,
) {
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        let any = &schema["additionalProperties"];
        match schema["properties"].get(name) {
            Some(schema) => walk(schema, value, &path, found),
            None if any.is_object() => walk(any, value, &path, found),
            None => found.push(unknown(path, "the object")),
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(Violation {
                field: format!("{path}.{name}"),
                reason: Reason::MissingField,
                message: "is required".to_owned(),
            });
        }
    }
}

fn has_type(value: &Value, expected: &str) -> bool {
    match expected {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "integer or string" => value.is_u64() || value.is_i64() || value.is_string(),
        _ => value.is_object(),
    }
}

/// Why `n` is not within `min{suffix}` and `max{suffix}`.
fn limits(schema: &Value, n: usize, suffix: &str, unit: &str) -> Option<String> {
    let bound = |side: &str| {
        let bound = schema[format!("{side}{suffix}")].as_u64()?;
        usize::try_from(bound).ok()
    };
    match (bound("min"), bound("max")) {
        (Some(min), _) if n < min => Some(format!("has {n} {unit}, at least {min} are needed")),
        (_, Some(max)) if n > max => Some(format!("has {n} {unit}, at most {max} are allowed")),
        _ => None,
    }
}

/// A value as a message shows it: lists and objects only by their kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        scalar => scalar.to_string(),
    }
}
