//! Who may do what, as RBAC decides it: by rules that only ever allow.
//!
//! There is one account. A list or watch with `fieldSelector=metadata.name=…` is one of that object, so that
//! `resourceNames` can allow it.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    request::{Query, Target, Verb},
    status::Refusal,
};

/// A rule, and where it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// In this namespace; everywhere where empty.
    pub namespace: String,
    /// What it allows there.
    pub rule: PolicyRule,
}

/// The rules of every Role and `ClusterRole` in some YAML, as if each were bound to the account.
///
/// # Errors
/// It is not YAML, or a role is not one.
pub fn grants(yaml: &str) -> anyhow::Result<Vec<Grant>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    let mut grants = Vec::new();
    for document in documents {
        let (namespace, rules) = match document["kind"].as_str() {
            Some("Role") => {
                let role: Role = read(document)?;
                (role.metadata.namespace.unwrap_or_default(), role.rules)
            }
            Some("ClusterRole") => (String::new(), read::<ClusterRole>(document)?.rules),
            _ => continue,
        };
        grants.extend(rules.into_iter().flatten().map(|rule| Grant {
            namespace: namespace.clone(),
            rule,
        }));
    }
    Ok(grants)
}

fn read<T: DeserializeOwned>(document: Value) -> anyhow::Result<T> {
    Ok(serde_json::from_value(document)?)
}

/// Lets a request through that some grant allows.
///
/// # Errors
/// 403, in a real server's words.
pub(super) fn authorize(
    grants: &[Grant],
    verb: Verb,
    target: &Target,
    query: &Query,
) -> Result<(), Refusal> {
    let gvr = target.gvr();
    let selected = query.get("fieldSelector").strip_prefix("metadata.name=");
    let (namespace, name, resource) = match target {
        Target::Collection { namespace, .. } => {
            (namespace, selected.unwrap_or_default(), gvr.plural.clone())
        }
        Target::Object { key, subresource } if subresource.is_empty() => {
            (&key.namespace, key.name.as_str(), gvr.plural.clone())
        }
        Target::Object { key, subresource } => {
            let resource = format!("{}/{subresource}", gvr.plural);
            (&key.namespace, key.name.as_str(), resource)
        }
    };
    let verb = serde_json::json!(verb);
    let verb = verb.as_str().unwrap_or_default();
    let has = |list: Option<&Vec<String>>, wanted: &str| {
        let mut list = list.into_iter().flatten();
        list.any(|item| item == wanted || item == "*")
    };
    let allows = |grant: &&Grant| {
        let rule = &grant.rule;
        let by_name = match rule.resource_names.as_deref() {
            None | Some([]) => true,
            Some(names) => names.iter().any(|it| it == name),
        };
        (grant.namespace.is_empty() || grant.namespace == *namespace)
            && has(rule.api_groups.as_ref(), &gvr.group)
            && has(rule.resources.as_ref(), &resource)
            && has(Some(&rule.verbs), verb)
            && by_name
    };
    if grants.iter().any(|grant| allows(&grant)) {
        return Ok(());
    }
    let of = if name.is_empty() {
        resource.clone()
    } else {
        format!("{resource} \"{name}\"")
    };
    Err(Refusal::forbidden(format!(
        "{of} is forbidden: User \"system:serviceaccount:redstart-system:redstart\" cannot {verb} \
         resource \"{resource}\" in API group \"{}\" in the namespace \"{namespace}\"",
        gvr.group
    )))
}
