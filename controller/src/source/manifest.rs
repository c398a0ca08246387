//! One file of manifests, from text to parsed objects. Pure.
//!
//! YAML with any number of documents, or JSON; `List` objects are taken apart. Objects of our group
//! are read as strictly as the API server would (a typo in a field name is an error, not a field
//! that is silently ignored); core objects may have fields that we do not know. Kinds that are not
//! used are skipped: the file may be one that a cluster is installed from.

use k8s_openapi::api::{
    core::v1 as core, discovery::v1::EndpointSlice, networking::v1::ServiceCIDR,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    api::{self, BFDProfile, BGPAdvertisement, BGPConfiguration, BGPPeer, BGPPolicy},
    diagnostic::{Diagnostic, Reason},
    index::{Kind, ObjectKey, Observed},
    object::ObjectRef,
};

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The objects that are used, in the order of the file. Their problems name the file.
    pub objects: Vec<Observed>,
    /// What is wrong with documents that are no object.
    pub problems: Vec<Diagnostic>,
}

/// A file as diagnostics name it.
#[must_use]
pub fn file_ref(file: &str) -> ObjectRef {
    ObjectRef {
        kind: "File".to_owned(),
        name: file.to_owned(),
    }
}

/// Reads a file's text; `file` is its name, for messages and for its format.
///
/// # Errors
///
/// The text is not YAML (or, by its name, JSON): line and column of the first error. Then nothing of
/// the file can be trusted.
pub fn parse(file: &str, text: &str) -> Result<Manifest, Diagnostic> {
    let documents = if file.ends_with(".json") {
        json_documents(text)
    } else {
        yaml_documents(text)
    };
    let documents = documents.map_err(|error| {
        let message = format!("{error}; the objects that it held last stay in force");
        Diagnostic::error(file_ref(file), "", Reason::InvalidYaml, message)
    })?;
    let mut manifest = Manifest::default();
    for (i, document) in documents.into_iter().enumerate() {
        manifest.add(file, &format!("document {}", i + 1), document);
    }
    Ok(manifest)
}

fn yaml_documents(text: &str) -> Result<Vec<Value>, String> {
    // The limits keep a hostile file from eating the memory; a dump of a cluster with some
    // thousand Nodes must fit.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 100_000,
            max_nodes: 10_000_000,
            max_events: 40_000_000,
        },
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|e| e.to_string())
}

fn json_documents(text: &str) -> Result<Vec<Value>, String> {
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())
}

impl Manifest {
    fn add(&mut self, file: &str, place: &str, document: Value) {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let (api_version, kind) = match (text("/apiVersion"), text("/kind")) {
            (Some(api_version), Some(kind)) => (api_version, kind),
            // An empty document: a file may begin or end with `---`.
            _ if document.is_null() => return,
            (api_version, _) => {
                let field = if api_version.is_none() {
                    "apiVersion"
                } else {
                    "kind"
                };
                return self.refuse(file, place, field, Reason::MissingField, "is required");
            }
        };
        if kind == "List" {
            return self.add_items(file, place, document);
        }
        let Some(kind) = Kind::find(api_version, kind) else {
            if api_version.split('/').next() == Some(api::GROUP) {
                let message = format!("there is no {kind} in {api_version}");
                return self.refuse(file, place, "kind", Reason::InvalidValue, &message);
            }
            tracing::debug!(file, place, api_version, kind, "kind is not used");
            return;
        };
        let Some(name) = text("/metadata/name").filter(|n| !n.is_empty()) else {
            let message = format!("a {kind} needs a name");
            return self.refuse(file, place, "metadata.name", Reason::MissingField, &message);
        };
        let labels = document.pointer("/metadata/labels");
        let has = |label: &&str| labels.is_some_and(|l| l.get(label).is_some());
        if kind.left_alone().iter().any(has) {
            tracing::debug!(file, place, name, "its labels say that it is not ours");
            return;
        }
        let namespace = text("/metadata/namespace").unwrap_or(kind.default_namespace());
        let key = if kind.is_namespaced() {
            if kind.only_namespace().is_some_and(|only| only != namespace) {
                tracing::debug!(file, place, namespace, name, "namespace is not used");
                return;
            }
            ObjectKey::namespaced(kind, namespace, name)
        } else {
            ObjectKey::cluster(kind, name)
        };
        let mut observed = observe(key, document);
        for problem in &mut observed.problems {
            problem.message = format!("{} [{file}, {place}]", problem.message);
        }
        self.objects.push(observed);
    }

    fn add_items(&mut self, file: &str, place: &str, mut list: Value) {
        match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => {
                for (i, item) in items.into_iter().enumerate() {
                    self.add(file, &format!("{place} items[{i}]"), item);
                }
            }
            _ => self.refuse(
                file,
                place,
                "items",
                Reason::MissingField,
                "a List needs items",
            ),
        }
    }

    fn refuse(&mut self, file: &str, place: &str, field: &str, reason: Reason, message: &str) {
        let message = format!("{message} [{place}]");
        self.problems
            .push(Diagnostic::error(file_ref(file), field, reason, message));
    }
}

fn observe(key: ObjectKey, document: Value) -> Observed {
    let violations = api::schema::violations(key.kind, &document);
    if !violations.is_empty() {
        let problem = |v: api::schema::Violation| {
            let message = format!(
                "{}; the object's last good version stays in force",
                v.message
            );
            Diagnostic::error(key.object_ref(), v.field, v.reason, message)
        };
        let problems = violations.into_iter().map(problem).collect();
        return Observed {
            key,
            object: None,
            problems,
            manifest: None,
            standing: None,
        };
    }
    match key.kind {
        Kind::Node => typed::<core::Node>(key, document),
        Kind::Secret => typed::<core::Secret>(key, document),
        Kind::Service => typed::<core::Service>(key, document),
        Kind::EndpointSlice => typed::<EndpointSlice>(key, document),
        Kind::ServiceCidr => typed::<ServiceCIDR>(key, document),
        Kind::BgpConfiguration => typed::<BGPConfiguration>(key, document),
        Kind::BgpPeer => typed::<BGPPeer>(key, document),
        Kind::BgpAdvertisement => typed::<BGPAdvertisement>(key, document),
        Kind::BgpPolicy => typed::<BGPPolicy>(key, document),
        Kind::BfdProfile => typed::<BFDProfile>(key, document),
    }
}

/// An object of a known kind, or what is wrong with it.
pub(super) fn typed<T>(key: ObjectKey, document: Value) -> Observed
where
    T: DeserializeOwned,
    Observed: for<'a> From<&'a T>,
{
    match serde_path_to_error::deserialize::<_, T>(document) {
        Ok(object) => Observed::from(&object),
        Err(error) => {
            let path = error.path().to_string();
            let field = path.trim_start_matches('.');
            if key.kind == Kind::Secret {
                // The error quotes the value, and that may be the password.
                return Observed::unreadable_at(key, field, "it is not the field of a Secret");
            }
            Observed::unreadable_at(key, field, error.into_inner())
        }
    }
}

#[cfg(test)]
mod tests;
