//! What is served, told to clients that ask: `/api`, `/apis`, `/version`.
//!
//! Enough for kube-rs and for kubectl to find the resources. There is no OpenAPI document, so
//! kubectl must be told `--validate=false` when it writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::resource::Resource;

/// The document at a discovery path, if it is one.
#[must_use]
pub(super) fn document(path: &str, resources: &[Resource]) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts[..] {
        ["version"] => Some(json!({
            "major": "1", "minor": "33", "gitVersion": "v1.33.0", "platform": "test/apiserver",
        })),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => {
            let groups: Vec<Value> = groups(resources)
                .into_iter()
                .map(|(group, versions)| describe_group(&group, &versions))
                .collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", group] => groups(resources).get(group).map(|versions| {
            let mut document = describe_group(group, versions);
            document["kind"] = json!("APIGroup");
            document["apiVersion"] = json!("v1");
            document
        }),
        ["api", version] => describe_version("", version, resources),
        ["apis", group, version] => describe_version(group, version, resources),
        _ => None,
    }
}

fn groups(resources: &[Resource]) -> BTreeMap<String, BTreeSet<String>> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for resource in resources.iter().filter(|it| !it.gvr.group.is_empty()) {
        let versions = groups.entry(resource.gvr.group.clone()).or_default();
        versions.insert(resource.gvr.version.clone());
    }
    groups
}

fn describe_group(group: &str, versions: &BTreeSet<String>) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

fn describe_version(group: &str, version: &str, resources: &[Resource]) -> Option<Value> {
    let mut list = Vec::new();
    let served = resources
        .iter()
        .filter(|it| it.gvr.group == group && it.gvr.version == version);
    for resource in served {
        let describe = |name: &str, verbs: &[&str]| {
            json!({
                "name": name,
                "singularName": resource.kind.to_lowercase(),
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": verbs,
                "shortNames": resource.short_names,
            })
        };
        let plural = &resource.gvr.plural;
        list.push(describe(
            plural,
            &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ],
        ));
        if resource.status_subresource {
            list.push(describe(
                &format!("{plural}/status"),
                &["get", "patch", "update"],
            ));
        }
    }
    (!list.is_empty()).then(|| {
        let group_version = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        json!({
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": group_version, "resources": list,
        })
    })
}
