//! Which resources are served, under which paths.
//!
//! Objects are plain JSON keyed by where they live; nothing here knows their fields. The resources
//! are a fixed list of the built-in kinds that the project touches, plus every
//! CustomResourceDefinition in the store: creating a CRD object serves its kind at once, deleting
//! it takes the kind and its objects away, as on a real cluster.

use std::sync::Arc;

use serde_json::{Value, json};

/// Group, version and plural: what a path names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvr {
    /// Empty for the core group.
    pub group: String,
    /// `v1`.
    pub version: String,
    /// `nodes`.
    pub plural: String,
}

impl Gvr {
    /// From its three parts.
    #[must_use]
    pub fn new(group: &str, version: &str, plural: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// `v1`, `discovery.k8s.io/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `nodes`, `bgppeers.redstart.dev`: as messages name it.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// Where one object lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its resource.
    pub gvr: Gvr,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// A resource that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// Its path.
    pub gvr: Gvr,
    /// `Node`.
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether status is written through `/status` only.
    pub status_subresource: bool,
    /// What kubectl takes instead of the plural.
    pub short_names: Vec<String>,
    /// The OpenAPI schema of a CRD version; list types are read from it.
    pub schema: Arc<Value>,
}

/// Group, version, plural, kind, namespaced, status.
const BUILT_IN: &[(&str, &str, &str, &str, bool, bool)] = &[
    ("", "v1", "nodes", "Node", false, true),
    ("", "v1", "namespaces", "Namespace", false, true),
    ("", "v1", "services", "Service", true, true),
    ("", "v1", "secrets", "Secret", true, false),
    ("", "v1", "configmaps", "ConfigMap", true, false),
    ("", "v1", "serviceaccounts", "ServiceAccount", true, false),
    ("", "v1", "pods", "Pod", true, true),
    ("", "v1", "events", "Event", true, false),
    ("events.k8s.io", "v1", "events", "Event", true, false),
    (
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        "EndpointSlice",
        true,
        false,
    ),
    (
        "networking.k8s.io",
        "v1",
        "servicecidrs",
        "ServiceCIDR",
        false,
        true,
    ),
    ("coordination.k8s.io", "v1", "leases", "Lease", true, false),
    ("apps", "v1", "daemonsets", "DaemonSet", true, true),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "clusterroles",
        "ClusterRole",
        false,
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "clusterrolebindings",
        "ClusterRoleBinding",
        false,
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "roles",
        "Role",
        true,
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "rolebindings",
        "RoleBinding",
        true,
        false,
    ),
    (
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        false,
        true,
    ),
];

/// The resource that holds CRDs.
#[must_use]
pub(super) fn crd_gvr() -> Gvr {
    Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// The built-in resources.
#[must_use]
pub(super) fn built_in() -> Vec<Resource> {
    BUILT_IN
        .iter()
        .map(
            |&(group, version, plural, kind, namespaced, status)| Resource {
                gvr: Gvr::new(group, version, plural),
                kind: kind.to_owned(),
                namespaced,
                status_subresource: status,
                short_names: if plural == "customresourcedefinitions" {
                    vec!["crd".to_owned(), "crds".to_owned()]
                } else {
                    Vec::new()
                },
                schema: Arc::default(),
            },
        )
        .collect()
}

/// The resources that a CustomResourceDefinition object serves: one per served version.
#[must_use]
pub(super) fn from_crd(crd: &Value) -> Vec<Resource> {
    let spec = &crd["spec"];
    let (Some(group), Some(plural), Some(kind)) = (
        spec["group"].as_str(),
        spec["names"]["plural"].as_str(),
        spec["names"]["kind"].as_str(),
    ) else {
        return Vec::new();
    };
    let versions = spec["versions"].as_array().map(Vec::as_slice);
    versions
        .unwrap_or_default()
        .iter()
        .filter(|version| version["served"] == true)
        .filter_map(|version| {
            Some(Resource {
                gvr: Gvr::new(group, version["name"].as_str()?, plural),
                kind: kind.to_owned(),
                namespaced: spec["scope"] == "Namespaced",
                status_subresource: version["subresources"]["status"].is_object(),
                short_names: strings(&spec["names"]["shortNames"]),
                schema: Arc::new(version["schema"]["openAPIV3Schema"].clone()),
            })
        })
        .collect()
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// A CRD without validation for a cluster-scoped kind of ours, for tests that need the path alone.
#[must_use]
pub fn plain_crd(group: &str, version: &str, plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind,
                      "listKind": format!("{kind}List")},
            "scope": "Cluster",
            "versions": [{
                "name": version, "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}
