//! What a strict API server would say: of the CRDs, that their schemas are structural and their rules
//! affordable; of every manifest and every example in the documents, that it has no unknown field, no
//! wrong value, and breaks no rule.

use std::{fs, path::Path};

use k8s_openapi::{
    api::{
        admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
        apps::v1::DaemonSet,
        core::v1::{Namespace, Node, Secret, Service, ServiceAccount},
        discovery::v1::EndpointSlice,
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::core::cel::{Validator, apply_defaults, compile_schema, estimate_rule_cost};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    super::{API_VERSION, crds_yaml, schema::violations},
    answer_type_questions,
};
use crate::index::Kind;

/// The CRDs as they are committed: kind and schema.
fn schemas() -> impl Iterator<Item = (String, Value)> {
    crds_yaml().unwrap().into_iter().map(|(_, yaml)| {
        let crd: Value = serde_saphyr::from_str(&yaml).unwrap();
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        (kind, schema.clone())
    })
}

/// Calls `visit` with every schema below `schema` and its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&Value, &str)) {
    visit(schema, path);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(
            &schema["additionalProperties"],
            &format!("{path}{{}}"),
            visit,
        );
    }
}

/// The rules for structural schemas, which the API server refuses a CRD for.
#[test]
fn schemas_are_structural() {
    for (kind, schema) in schemas() {
        assert_eq!(schema["type"], "object", "{kind}");
        walk(&schema, &kind, &mut |schema, path| {
            let typed = schema["type"].is_string();
            let int_or_string = schema["x-kubernetes-int-or-string"] == json!(true);
            assert!(typed != int_or_string, "{path} has no type, or two");
            let (fields, any) = (&schema["properties"], &schema["additionalProperties"]);
            let either = fields.is_null() || any.is_null();
            assert!(either, "{path}: a struct and a map");
            assert!(any.is_null() || any.is_object(), "{path}: {any}");
            for forbidden in [
                "$ref",
                "oneOf",
                "anyOf",
                "allOf",
                "not",
                "definitions",
                "dependencies",
                "patternProperties",
                "additionalItems",
                "uniqueItems",
                "id",
                "deprecated",
            ] {
                assert!(schema[forbidden].is_null(), "{path}: {forbidden}");
            }
            if schema["type"] == "array" {
                assert!(schema["items"].is_object(), "{path}: items of no type");
            }
            if let Some(format) = schema["format"].as_str() {
                assert!(matches!(format, "int32" | "int64"), "{path}: {format}");
            }
            let required = schema["required"].as_array().into_iter().flatten();
            for name in required.filter_map(Value::as_str) {
                assert!(fields[name].is_object(), "{path}: {name} is required");
            }
            list_keys_are_there(schema, path);
        });
    }
}

/// Items of a list that is merged by keys have those keys.
fn list_keys_are_there(schema: &Value, path: &str) {
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let is_map = schema["x-kubernetes-list-type"] == "map";
    assert_eq!(is_map, keys.is_some(), "{path}: list type and keys");
    let items = &schema["items"];
    for key in keys.into_iter().flatten() {
        let required = items["required"]
            .as_array()
            .is_some_and(|r| r.contains(key));
        let default = &items["properties"][key.as_str().unwrap()]["default"];
        assert!(required || !default.is_null(), "{path}: key {key}");
    }
}

/// `kubectl explain` has something to say of every field, and of every kind.
#[test]
fn every_field_is_documented() {
    for (kind, schema) in schemas() {
        walk(&schema, &kind, &mut |schema, path| {
            // Items and values are described where their list is.
            let in_list = path.ends_with("[]") || path.ends_with("{}");
            // Those of the root are the same for every kind.
            let own = ["apiVersion", "kind", "metadata"];
            let own = own.map(|field| format!("{kind}.{field}"));
            if !in_list && !own.contains(&path.to_owned()) {
                let text = schema["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{path} has no description");
            }
        });
    }
}

/// A default that its own schema refuses would make every object invalid.
#[test]
fn defaults_are_valid() {
    for (kind, schema) in schemas() {
        let Some(kind) = Kind::ALL.into_iter().find(|it| it.as_str() == kind) else {
            continue;
        };
        walk(
            &schema["properties"]["spec"],
            "spec",
            &mut |schema, path| {
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    let default = &property["default"];
                    if default.is_null() {
                        continue;
                    }
                    let found = super::super::schema::against(property, default);
                    assert_eq!(found, [], "{kind} {path}.{name}: {default}");
                }
            },
        );
    }
}

/// The API server refuses a rule that could cost too much: lists, maps and texts that rules look at
/// need bounds, and so do the lists that they are in.
#[test]
fn rules_are_affordable() {
    for (kind, schema) in schemas() {
        walk(&schema, &kind, &mut |schema, path| {
            let compiled = compile_schema(&answer_type_questions(schema, &json!({ "asn": 1 })));
            assert!(
                !compiled.has_errors(),
                "{path}: {:?}",
                compiled.compilation_errors()
            );
            let rules = schema["x-kubernetes-validations"].as_array();
            for rule in rules.into_iter().flatten() {
                let rule = rule["rule"].as_str().unwrap();
                let warnings = estimate_rule_cost(rule, &compiled);
                assert!(warnings.is_empty(), "{path}: {warnings:?}");
            }
            if schema["type"] == "array" && schema["maxItems"].is_null() {
                walk(&schema["items"], path, &mut |below, _| {
                    let rules = &below["x-kubernetes-validations"];
                    assert!(rules.is_null(), "{path} has no bound, and rules below");
                });
            }
        });
    }
}

/// What a strict API server would say of an object of ours.
fn refused(object: &Value) -> Vec<String> {
    let kind = object["kind"].as_str().unwrap();
    let Some(kind) = Kind::ALL.into_iter().find(|it| it.as_str() == kind) else {
        return vec![format!("no kind {kind}")];
    };
    let (_, schema) = schemas().find(|(of, _)| of == kind.as_str()).unwrap();
    let violations = violations(kind, object);
    let mut said: Vec<String> = violations.iter().map(|v| format!("{v:?}")).collect();
    let schema = answer_type_questions(&schema, &object["spec"]);
    let object = apply_defaults(&schema, object);
    if let Err(errors) = Validator::new().validate(&schema, &object, None) {
        said.push(errors.to_string());
    }
    said
}

/// Fields of a manifest that a type of Kubernetes does not have are lost on the way through it.
fn lost<T: Serialize + DeserializeOwned>(object: &Value) -> Vec<String> {
    let read: Result<T, _> = serde_json::from_value(object.clone());
    let read = match read {
        Ok(read) => serde_json::to_value(read).unwrap(),
        Err(error) => return vec![error.to_string()],
    };
    let mut missing = Vec::new();
    compare(object, &read, "", &mut missing);
    missing
}

fn compare(given: &Value, read: &Value, path: &str, missing: &mut Vec<String>) {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => {
            for (name, value) in given {
                let path = format!("{path}.{name}");
                match read.get(name) {
                    Some(read) => compare(value, read, &path, missing),
                    // What is empty may be left out.
                    None if *value == json!({}) || *value == json!([]) => {}
                    None => missing.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(read)) if given.len() == read.len() => {
            for (i, (given, read)) in given.iter().zip(read).enumerate() {
                compare(given, read, &format!("{path}[{i}]"), missing);
            }
        }
        // 16 may come back as 16.0.
        (Value::Number(given), Value::Number(read))
            if given.as_f64().map(f64::to_bits) == read.as_f64().map(f64::to_bits) => {}
        // Quantities and the like are written otherwise.
        (Value::Number(_), Value::String(_)) | (Value::String(_), Value::Number(_)) => {}
        _ if given == read => {}
        _ => missing.push(format!("{path}: {given} is read as {read}")),
    }
}

/// What is wrong with a document of YAML.
fn problems(object: &Value) -> Vec<String> {
    if object["apiVersion"] == API_VERSION {
        return refused(object);
    }
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => lost::<Namespace>(object),
        "Node" => lost::<Node>(object),
        "Secret" => lost::<Secret>(object),
        "Service" => lost::<Service>(object),
        "ServiceAccount" => lost::<ServiceAccount>(object),
        "EndpointSlice" => lost::<EndpointSlice>(object),
        "DaemonSet" => lost::<DaemonSet>(object),
        "ClusterRole" => lost::<ClusterRole>(object),
        "ClusterRoleBinding" => lost::<ClusterRoleBinding>(object),
        "Role" => lost::<Role>(object),
        "RoleBinding" => lost::<RoleBinding>(object),
        "CustomResourceDefinition" => lost::<CustomResourceDefinition>(object),
        "ValidatingAdmissionPolicy" => lost::<ValidatingAdmissionPolicy>(object),
        "ValidatingAdmissionPolicyBinding" => lost::<ValidatingAdmissionPolicyBinding>(object),
        "Kustomization" | "Component" => {
            let known = [
                "apiVersion",
                "kind",
                "resources",
                "components",
                "patches",
                "images",
            ];
            let fields = object.as_object().into_iter().flatten();
            let unknown = fields.filter(|(name, _)| !known.contains(&name.as_str()));
            unknown.map(|(name, _)| name.clone()).collect()
        }
        other => vec![format!("nobody has said what a {other} is")],
    }
}

/// Every YAML file below a directory, and every block of YAML in a document, with its place.
/// What Prometheus reads is no object of Kubernetes; `tests/monitoring.rs` has it checked.
const OF_PROMETHEUS: &str = "manifests/monitoring";

fn manifests(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.ends_with(OF_PROMETHEUS) {
            continue;
        }
        if path.is_dir() {
            manifests(&path, found);
        } else if name.ends_with(".yaml") {
            found.push((name, fs::read_to_string(&path).unwrap()));
        } else if name.ends_with(".md") {
            let text = fs::read_to_string(&path).unwrap();
            let blocks = text.split("```yaml\n").skip(1);
            let blocks = blocks.filter_map(|rest| rest.split("```").next());
            found.extend(blocks.map(|block| (name.clone(), block.to_owned())));
        }
    }
}

#[test]
fn every_manifest_and_every_example_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    manifests(&root.join("manifests"), &mut found);
    manifests(&root.join("docs"), &mut found);
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks = readme.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    found.extend(blocks.map(|block| ("README.md".to_owned(), block.to_owned())));
    let (mut objects, mut ours) = (0, 0);
    for (place, text) in found {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for object in documents {
            assert_eq!(problems(&object), [""; 0], "{place}: {object:#}");
            objects += 1;
            ours += u32::from(object["apiVersion"] == API_VERSION);
        }
    }
    assert!(
        objects > 40 && ours > 20,
        "{objects} objects, {ours} of ours"
    );
}

#[test]
fn what_is_wrong_with_a_manifest_is_found() {
    let peer = |spec: Value| json!({"apiVersion": API_VERSION, "kind": "BGPPeer", "metadata": {"name": "tor"}, "spec": spec});
    assert_eq!(
        problems(&peer(json!({"address": "192.0.2.1", "asn": 1}))),
        [""; 0]
    );
    for (spec, says) in [
        (
            json!({"address": "192.0.2.1", "asn": 1, "port": 0}),
            "spec.port",
        ),
        (
            json!({"address": "192.0.2.1", "asn": 1, "colour": 0}),
            "spec.colour",
        ),
        (json!({"address": "192.0.2.1"}), "spec.asn"),
        (json!({"address": "router", "asn": 1}), "not an IP address"),
        (json!({"asn": 1}), "exactly one of"),
    ] {
        let said = problems(&peer(spec)).join("\n");
        assert!(said.contains(says), "{said}");
    }
    let mut account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
    assert_eq!(problems(&account), [""; 0]);
    account["metadata"]["lables"] = json!({"a": "b"});
    assert_eq!(problems(&account), [".metadata.lables"]);
}
