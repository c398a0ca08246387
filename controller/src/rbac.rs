//! The Role that lets speakers read the Secrets that objects name, and no others.
//!
//! Speakers watch each such Secret by its name (`source::kube`), which a Role with `resourceNames` can
//! allow. It takes the place of the Role in `manifests/base`, which allows the one named `bgp-passwords`,
//! and is made anew when an object names another Secret.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::rbac::v1::{PolicyRule, Role},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    api::NAMESPACE,
    index::Object,
    source::manifest::{self, Manifest},
};

/// No Role could be made.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// An object cannot be read. A Role that leaves its Secrets out would take them away.
    #[error("{0}")]
    Object(String),
    /// The Role has no YAML form.
    #[error("Role to YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// The Role for the Secrets that the objects in these manifests name, as YAML.
///
/// # Errors
/// See [`RoleError`].
pub fn role_yaml<'a>(
    manifests: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, RoleError> {
    let mut names = BTreeSet::new();
    for (file, text) in manifests {
        let manifest = manifest::parse(file, text);
        let manifest = manifest.map_err(|problem| RoleError::Object(problem.to_string()))?;
        names.extend(named(&manifest)?);
    }
    Ok(format!("---\n{}", serde_saphyr::to_string(&role(names))?))
}

fn named(manifest: &Manifest) -> Result<Vec<String>, RoleError> {
    let objects = manifest.objects.iter();
    let problems = objects.flat_map(|observed| match observed.object {
        None => &observed.problems[..],
        Some(_) => &[][..],
    });
    if let Some(problem) = manifest.problems.iter().chain(problems).next() {
        return Err(RoleError::Object(problem.to_string()));
    }
    let objects = manifest.objects.iter();
    let objects = objects.filter_map(|observed| observed.object.as_ref());
    let names = objects.flat_map(Object::secrets).map(str::to_owned);
    Ok(names.collect())
}

/// The Role for the Secrets of these names. No names are no rule: one with no names would allow all.
fn role(names: BTreeSet<String>) -> Role {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let rule = (!names.is_empty()).then(|| PolicyRule {
        api_groups: Some(words(&[""])),
        resources: Some(words(&["secrets"])),
        resource_names: Some(names.into_iter().collect()),
        verbs: words(&["get", "list", "watch"]),
        ..PolicyRule::default()
    });
    let label = ("app.kubernetes.io/name", "redstart");
    let labels = [label].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Role {
        metadata: ObjectMeta {
            name: Some("redstart".to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            labels: Some(BTreeMap::from(labels)),
            ..ObjectMeta::default()
        },
        rules: Some(rule.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: redstart.dev/v1alpha1\n";

    fn read(yaml: &str) -> Role {
        serde_saphyr::from_str(yaml.trim_start_matches("---\n")).unwrap()
    }

    #[test]
    fn the_role_names_what_objects_name() {
        let peer = format!(
            "{HEAD}kind: BGPPeer\nmetadata: {{ name: a }}\nspec: {{ address: 192.0.2.1, asn: 1, passwordSecretRef: {{ name: rack }} }}\n"
        );
        let keys = format!(
            "{HEAD}kind: BGPPeer\nmetadata: {{ name: b }}\nspec: {{ address: 192.0.2.2, asn: 1, tcpAO: [{{ sendID: 1, receiveID: 1, secretRef: {{ name: ao }} }}] }}\n"
        );
        let mesh = format!(
            "{HEAD}kind: BGPConfiguration\nmetadata: {{ name: default }}\nspec: {{ mesh: {{ passwordSecretRef: {{ name: mesh }} }} }}\n"
        );
        let all = [("a", peer.as_str()), ("b", &keys), ("c", &mesh)];
        let role = read(&role_yaml(all).unwrap());
        let [rule] = &role.rules.unwrap()[..] else {
            panic!("one rule");
        };
        let names = rule.resource_names.clone().unwrap();
        assert_eq!(names, ["ao", "mesh", "rack"]);
    }

    #[test]
    fn without_a_name_nothing_is_allowed() {
        let role = read(&role_yaml([]).unwrap());
        assert_eq!(role.rules.unwrap_or_default(), []);
    }

    #[test]
    fn an_object_that_cannot_be_read_is_no_reason_to_leave_its_secrets_out() {
        let bad = format!("{HEAD}kind: BGPPeer\nmetadata: {{ name: a }}\nspec: {{ asn: 23456 }}\n");
        let error = role_yaml([("bad.yaml", bad.as_str())]).unwrap_err();
        assert!(error.to_string().contains("BGPPeer/a"), "{error}");
    }
}
