//! JSON merge patch (RFC 7396), and as much of strategic merge patch as equals it.

use serde_json::{Map, Value};

use super::status::Refusal;

/// Applies a JSON merge patch.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Applies a strategic merge patch where it means the same as a merge patch.
///
/// # Errors
/// 415 for lists of objects and `$` directives: they need the merge keys of Go types.
pub(super) fn strategic(target: &mut Value, patch: &Value) -> Result<(), Refusal> {
    if needs_merge_keys(patch) {
        return Err(Refusal::unsupported_media_type(
            "strategic merge patch of lists is not supported here; use server-side apply or a \
             merge patch",
        ));
    }
    merge(target, patch);
    Ok(())
}

fn needs_merge_keys(patch: &Value) -> bool {
    match patch {
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key.starts_with('$') || needs_merge_keys(value)),
        Value::Array(items) => items.iter().any(Value::is_object),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patch_follows_rfc_7396() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(
            &mut target,
            &json!({"a": {"b": null, "e": {"f": null}}, "d": [2]}),
        );
        assert_eq!(target, json!({"a": {"c": 2, "e": {}}, "d": [2]}));
    }

    #[test]
    fn strategic_merge_of_object_lists_is_refused() {
        let mut target = json!({});
        let refused = strategic(&mut target, &json!({"spec": {"ports": [{"port": 1}]}}));
        assert_eq!(refused.unwrap_err().code, 415);
        strategic(&mut target, &json!({"spec": {"podCIDRs": ["10.0.0.0/24"]}})).unwrap();
        assert_eq!(target["spec"]["podCIDRs"][0], "10.0.0.0/24");
    }
}
