//! What a request's path and query mean.

use std::collections::BTreeMap;

use http::{Method, Uri};

use super::{
    resource::{Gvr, Key},
    status::Refusal,
};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All objects of a resource, of one namespace or of all (empty).
    Collection {
        /// The resource.
        gvr: Gvr,
        /// The namespace, or empty.
        namespace: String,
    },
    /// One object, or a part of it.
    Object {
        /// The object.
        key: Key,
        /// `status`, or empty.
        subresource: String,
    },
}

impl Target {
    /// From a path below `/api` or `/apis`; `None` if it is not of that form.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts[..] {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return None,
        };
        let (namespace, rest) = match *rest {
            // A Namespace is an object too: its subresources are not resources in it.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, ref rest @ ..] if !rest.is_empty() => (namespace, rest),
            _ => ("", rest),
        };
        let gvr = Gvr::new(group, version, rest.first()?);
        let object = |name: &str, subresource: &str| Self::Object {
            key: Key {
                gvr: gvr.clone(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            subresource: subresource.to_owned(),
        };
        match *rest {
            [_] => Some(Self::Collection {
                gvr,
                namespace: namespace.to_owned(),
            }),
            [_, name] => Some(object(name, "")),
            [_, name, subresource] => Some(object(name, subresource)),
            _ => None,
        }
    }

    /// The resource.
    #[must_use]
    pub fn gvr(&self) -> &Gvr {
        match self {
            Self::Collection { gvr, .. } => gvr,
            Self::Object { key, .. } => &key.gvr,
        }
    }
}

/// The query parameters; of a repeated one the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// From a request's URI.
    #[must_use]
    pub fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// A parameter, empty where absent.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A boolean parameter; `1` and `true` are true, as in Go.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), "1" | "true" | "True" | "TRUE")
    }

    /// A number, `None` where absent.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.get(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| Refusal::bad_request(format!("{name}: not a number: {text:?}"))),
        }
    }
}

/// What a request does, in the words of RBAC.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// One object.
    Get,
    /// All objects.
    List,
    /// Changes.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE, of one or of many.
    Delete,
}

impl Verb {
    /// From method, target and query; `None` for methods that the API has not.
    #[must_use]
    pub fn of(method: &Method, target: &Target, query: &Query) -> Option<Self> {
        let collection = matches!(target, Target::Collection { .. });
        Some(match (method.as_str(), collection) {
            ("GET", true) if query.flag("watch") => Self::Watch,
            ("GET", true) => Self::List,
            ("GET", false) => Self::Get,
            ("POST", true) => Self::Create,
            ("PUT", false) => Self::Update,
            ("PATCH", false) => Self::Patch,
            ("DELETE", _) => Self::Delete,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(gvr: Gvr, namespace: &str, name: &str, subresource: &str) -> Option<Target> {
        Some(Target::Object {
            key: Key {
                gvr,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            subresource: subresource.to_owned(),
        })
    }

    #[test]
    fn paths_mean_what_they_do_in_kubernetes() {
        let core = |plural| Gvr::new("", "v1", plural);
        let ours = Gvr::new("redstart.dev", "v1alpha1", "bgppeers");
        for (path, target) in [
            (
                "/api/v1/nodes/a/status",
                object(core("nodes"), "", "a", "status"),
            ),
            (
                "/api/v1/namespaces/a",
                object(core("namespaces"), "", "a", ""),
            ),
            (
                "/api/v1/namespaces/a/status",
                object(core("namespaces"), "", "a", "status"),
            ),
            (
                "/api/v1/namespaces/a/secrets/b",
                object(core("secrets"), "a", "b", ""),
            ),
            (
                "/apis/redstart.dev/v1alpha1/bgppeers/tor",
                object(ours, "", "tor", ""),
            ),
            (
                "/api/v1/namespaces/a/secrets",
                Some(Target::Collection {
                    gvr: core("secrets"),
                    namespace: "a".to_owned(),
                }),
            ),
            ("/api/v1", None),
            ("/metrics", None),
            ("/api/v1/nodes/a/b/c", None),
        ] {
            assert_eq!(Target::parse(path), target, "{path}");
        }
    }
}
