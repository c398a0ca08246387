//! Server-side apply: fields, their owners, and merging.
//!
//! An applied configuration owns the fields that it names. Applying again without a field removes
//! it, unless somebody else owns it too. A field that somebody else owns with another value is a
//! conflict (409), or changes hands with `force`. Lists are one value, unless the CRD's schema says
//! `x-kubernetes-list-type: map` (or it is the well-known `conditions`): then each item is merged
//! by its keys, so that several writers share one list.
//!
//! Owners live where Kubernetes keeps them, in `metadata.managedFields` as FieldsV1. Only owners by
//! apply are kept: plain updates own nothing here, so they never conflict.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::status::Refusal;

/// From the object's root: `f:NAME` for a field, `k:{KEYS}` for an item of a map list.
type Path = Vec<String>;

/// Metadata that identifies the object rather than being applied.
const IDENTITY: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
];

/// Who applies what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Apply<'a> {
    /// `fieldManager`.
    pub manager: &'a str,
    /// `status`, or empty for the object itself.
    pub subresource: &'a str,
    /// Take fields from other managers.
    pub force: bool,
    /// The OpenAPI schema of the object, or null.
    pub schema: &'a Value,
}

impl Apply<'_> {
    /// Merges `applied` into `live`.
    ///
    /// # Errors
    /// 409 for fields that others own with another value.
    pub(super) fn merge(&self, live: &mut Value, applied: &Value) -> Result<(), Refusal> {
        let new = owned_by(applied, self.schema);
        let mut owners = read_owners(live);
        let mine =
            |owner: &Owner| owner.manager == self.manager && owner.subresource == self.subresource;
        let old = owners
            .iter()
            .find(|it| mine(it))
            .map(|it| it.fields.clone());
        owners.retain(|it| !mine(it));
        self.settle_conflicts(&new, &mut owners, live, applied)?;

        for gone in old.unwrap_or_default().difference(&new) {
            let owned = owners.iter().map(|owner| &owner.fields);
            let kept = owned
                .chain([&new])
                .any(|fields| fields.iter().any(|path| path.starts_with(gone)));
            if !kept {
                remove(live, gone);
            }
        }
        for path in &new {
            if let Some(value) = find(applied, path) {
                set(live, path, value);
            }
        }
        owners.push(Owner {
            manager: self.manager.to_owned(),
            subresource: self.subresource.to_owned(),
            fields: new,
        });
        write_owners(live, &owners);
        Ok(())
    }

    fn settle_conflicts(
        &self,
        new: &BTreeSet<Path>,
        owners: &mut [Owner],
        live: &Value,
        applied: &Value,
    ) -> Result<(), Refusal> {
        let unchanged = |path: &[String]| match (find(live, path), find(applied, path)) {
            (Some(live), Some(applied)) => same(live, applied),
            (live, applied) => live == applied,
        };
        for owner in owners {
            let taken: Vec<Path> = owner
                .fields
                .iter()
                .filter(|path| new.contains(*path) && !unchanged(path))
                // Owning an item means that it exists; its content is owned field by field.
                .filter(|path| path.last().is_some_and(|last| last.starts_with("f:")))
                .cloned()
                .collect();
            if let Some(path) = taken.first()
                && !self.force
            {
                return Err(Refusal::conflict(format!(
                    "Apply failed with 1 conflict: conflict with \"{}\": {}",
                    owner.manager,
                    path.join(".").replace("f:", ""),
                )));
            }
            owner.fields.retain(|path| !taken.contains(path));
        }
        Ok(())
    }
}

struct Owner {
    manager: String,
    subresource: String,
    fields: BTreeSet<Path>,
}

fn read_owners(live: &Value) -> Vec<Owner> {
    let entries = live["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .map(|entry| {
            let mut fields = BTreeSet::new();
            from_fields_v1(&entry["fieldsV1"], &mut Vec::new(), &mut fields);
            Owner {
                manager: entry["manager"].as_str().unwrap_or_default().to_owned(),
                subresource: entry["subresource"].as_str().unwrap_or_default().to_owned(),
                fields,
            }
        })
        .collect()
}

fn write_owners(live: &mut Value, owners: &[Owner]) {
    let api_version = live["apiVersion"].clone();
    let entries: Vec<Value> = owners
        .iter()
        .filter(|owner| !owner.fields.is_empty())
        .map(|owner| {
            let mut entry = json!({
                "manager": owner.manager,
                "operation": "Apply",
                "apiVersion": api_version,
                "fieldsType": "FieldsV1",
                "fieldsV1": to_fields_v1(&owner.fields),
            });
            if !owner.subresource.is_empty() {
                entry["subresource"] = json!(owner.subresource);
            }
            entry
        })
        .collect();
    live["metadata"]["managedFields"] = Value::Array(entries);
}

fn to_fields_v1(fields: &BTreeSet<Path>) -> Value {
    let mut root = json!({});
    for path in fields {
        let mut here = &mut root;
        for step in path {
            here = &mut here[step];
            if here.is_null() {
                *here = json!({});
            }
        }
        if path.last().is_some_and(|last| last.starts_with("k:")) {
            here["."] = json!({});
        }
    }
    root
}

fn from_fields_v1(tree: &Value, here: &mut Path, fields: &mut BTreeSet<Path>) {
    let Some(children) = tree.as_object() else {
        return;
    };
    if children.is_empty() || children.contains_key(".") {
        fields.insert(here.clone());
    }
    for (step, child) in children.iter().filter(|(step, _)| *step != ".") {
        here.push(step.clone());
        from_fields_v1(child, here, fields);
        here.pop();
    }
}

/// The fields that a configuration names.
fn owned_by(applied: &Value, schema: &Value) -> BTreeSet<Path> {
    let mut fields = BTreeSet::new();
    let Some(root) = applied.as_object() else {
        return fields;
    };
    for (name, value) in root {
        if name == "apiVersion" || name == "kind" {
            continue;
        }
        let mut value = value.clone();
        if name == "metadata"
            && let Some(metadata) = value.as_object_mut()
        {
            metadata.retain(|key, _| !IDENTITY.contains(&key.as_str()));
            if metadata.is_empty() {
                continue;
            }
        }
        let mut path = vec![format!("f:{name}")];
        leaves(&value, &schema["properties"][name], &mut path, &mut fields);
    }
    fields
}

fn leaves(value: &Value, schema: &Value, path: &mut Path, fields: &mut BTreeSet<Path>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                let schema = match &schema["properties"][name] {
                    Value::Null => &schema["additionalProperties"],
                    known => known,
                };
                path.push(format!("f:{name}"));
                leaves(value, schema, path, fields);
                path.pop();
            }
        }
        Value::Array(items) => match item_keys(schema, path) {
            None => {
                fields.insert(path.clone());
            }
            Some(keys) => {
                for item in items {
                    let id: Map<String, Value> = keys
                        .iter()
                        .map(|key| (key.clone(), item[key].clone()))
                        .collect();
                    path.push(format!("k:{}", Value::Object(id)));
                    fields.insert(path.clone());
                    leaves(item, &schema["items"], path, fields);
                    path.pop();
                }
            }
        },
        _ => {
            fields.insert(path.clone());
        }
    }
}

/// The keys of a map list, `None` for a list that is one value.
fn item_keys(schema: &Value, path: &Path) -> Option<Vec<String>> {
    if schema["x-kubernetes-list-type"] == "map" {
        let keys = schema["x-kubernetes-list-map-keys"].as_array()?;
        return Some(
            keys.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        );
    }
    let well_known = schema.is_null() && path.last().is_some_and(|last| last == "f:conditions");
    well_known.then(|| vec!["type".to_owned()])
}

fn item_id(step: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(step.strip_prefix("k:")?).ok()
}

fn has_id(item: &Value, id: &Map<String, Value>) -> bool {
    id.iter().all(|(key, value)| item[key] == *value)
}

fn find<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter()
        .try_fold(root, |here, step| match step.strip_prefix("f:") {
            Some(name) => here.get(name),
            None => {
                let id = item_id(step)?;
                here.as_array()?.iter().find(|item| has_id(item, &id))
            }
        })
}

/// Whether applying `applied` leaves `live` as it is: an empty map asks for a map, not for an empty
/// one.
fn same(live: &Value, applied: &Value) -> bool {
    let empty = applied.as_object().is_some_and(Map::is_empty);
    live == applied || (empty && live.is_object())
}

/// Sets the value at `path`, making what leads there. Items are made with their keys alone.
fn set(root: &mut Value, path: &[String], value: &Value) {
    let mut here = root;
    for step in path {
        if let Some(name) = step.strip_prefix("f:") {
            if !here.is_object() {
                *here = json!({});
            }
            here = &mut here[name];
            continue;
        }
        let Some(id) = item_id(step) else {
            return;
        };
        if !here.is_array() {
            *here = json!([]);
        }
        let Some(items) = here.as_array_mut() else {
            return;
        };
        let at = items.iter().position(|item| has_id(item, &id));
        let at = at.unwrap_or_else(|| {
            items.push(Value::Object(id));
            items.len() - 1
        });
        here = &mut items[at];
    }
    let field = path.last().is_some_and(|last| last.starts_with("f:"));
    if field && !same(here, value) {
        *here = value.clone();
    }
}

/// Removes the value at `path`, and the maps that this leaves empty.
fn remove(root: &mut Value, path: &[String]) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    if let Some(name) = step.strip_prefix("f:") {
        let Some(map) = root.as_object_mut() else {
            return;
        };
        if let Some(child) = map.get_mut(name) {
            remove(child, rest);
            if rest.is_empty() || child.as_object().is_some_and(Map::is_empty) {
                map.remove(name);
            }
        }
        return;
    }
    let (Some(id), Some(items)) = (item_id(step), root.as_array_mut()) else {
        return;
    };
    if rest.is_empty() {
        items.retain(|item| !has_id(item, &id));
    } else if let Some(item) = items.iter_mut().find(|item| has_id(item, &id)) {
        remove(item, rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(live: &mut Value, manager: &str, force: bool, applied: &Value) -> Result<(), Refusal> {
        let schema = json!({"properties": {"status": {"properties": {"nodes": {
            "type": "array",
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["node"],
        }}}}});
        Apply {
            manager,
            subresource: "status",
            force,
            schema: &schema,
        }
        .merge(live, applied)
    }

    fn node(name: &str, peers: u32) -> Value {
        json!({"status": {"nodes": [{"node": name, "peers": peers}]}})
    }

    #[test]
    fn writers_share_a_map_list_and_leave_it_alone() {
        let mut live = json!({"apiVersion": "x/v1", "metadata": {"name": "a"}, "status": {}});
        apply(&mut live, "a", false, &node("a", 1)).unwrap();
        apply(&mut live, "b", false, &node("b", 2)).unwrap();
        apply(&mut live, "a", false, &node("a", 3)).unwrap();
        assert_eq!(
            live["status"]["nodes"],
            json!([{"node": "a", "peers": 3}, {"node": "b", "peers": 2}])
        );
        apply(&mut live, "a", false, &json!({"status": {}})).unwrap();
        assert_eq!(live["status"]["nodes"], json!([{"node": "b", "peers": 2}]));
    }

    #[test]
    fn another_owner_conflicts_until_forced() {
        let mut live = json!({"apiVersion": "x/v1", "metadata": {"name": "a"}});
        apply(&mut live, "a", false, &json!({"status": {"x": 1, "y": 1}})).unwrap();
        let refused = apply(&mut live, "b", false, &json!({"status": {"x": 2}})).unwrap_err();
        assert_eq!((refused.code, live["status"]["x"].clone()), (409, json!(1)));
        apply(&mut live, "b", true, &json!({"status": {"x": 2}})).unwrap();
        // `a` lost x to `b`: leaving it out removes nothing.
        apply(&mut live, "a", false, &json!({"status": {"y": 1}})).unwrap();
        assert_eq!(live["status"], json!({"x": 2, "y": 1}));
    }

    #[test]
    fn the_same_value_is_shared_and_removed_with_its_last_owner() {
        let mut live = json!({"apiVersion": "x/v1", "metadata": {"name": "a"}});
        let both = json!({"status": {"deep": {"x": 1}}});
        apply(&mut live, "a", false, &both).unwrap();
        apply(&mut live, "b", false, &both).unwrap();
        apply(&mut live, "a", false, &json!({})).unwrap();
        assert_eq!(live["status"]["deep"]["x"], 1);
        apply(&mut live, "b", false, &json!({})).unwrap();
        assert_eq!(live.pointer("/status/deep"), None);
    }
}
