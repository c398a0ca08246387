//! An object as it comes off the wire: parsed while it is decoded.
//!
//! Decoding never fails for an object's sake. The watcher needs its name and version, which are
//! taken from whatever is there; all else is either parsed into an [`Observed`] or becomes its
//! problem. So one malformed object is one [`Diagnostic`](crate::diagnostic::Diagnostic), where a
//! plain typed watch would fail the whole listing, again and again.

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::{
    api::{core::v1 as core, discovery::v1::EndpointSlice},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, Resource};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed as _},
};
use serde_json::Value;

use super::{project, skip::Part};
use crate::{
    api::{BFDProfile, BGPAdvertisement, BGPConfiguration, BGPPeer, BGPPolicy, schema},
    diagnostic::{Diagnostic, Reason},
    index::{Kind, ObjectKey, Observed, Standing},
    source::manifest,
};

/// A type that is watched.
pub(super) trait Watched: Resource<DynamicType = ()> + DeserializeOwned + 'static {
    /// Its kind.
    const KIND: Kind;

    /// What is used of an object, or why nothing is.
    fn parse(key: ObjectKey, object: Value) -> Observed;
}

macro_rules! watched {
    ($($type:ty => $kind:ident),* $(,)?) => {
        /// An object that was kept as a manifest, read as it was when it came from the API.
        pub(crate) fn read_object(kind: Kind, object: Value) -> Observed {
            match kind {
                $(Kind::$kind => observe::<$type>(key_in(kind, &object), object),)*
            }
        }

        $(
        impl Watched for $type {
            const KIND: Kind = Kind::$kind;

            fn parse(key: ObjectKey, object: Value) -> Observed {
                manifest::typed::<$type>(key, object)
            }
        }
        )*
    };
}

watched! {
    core::Node => Node,
    core::Secret => Secret,
    core::Service => Service,
    EndpointSlice => EndpointSlice,
    BGPConfiguration => BgpConfiguration,
    BGPPeer => BgpPeer,
    BGPAdvertisement => BgpAdvertisement,
    BGPPolicy => BgpPolicy,
    BFDProfile => BfdProfile,
}

/// The objects of a kind that this speaker may see.
pub(super) fn api_of<K: Watched>(client: Client) -> Api<Seen<K>> {
    match K::KIND.only_namespace() {
        Some(namespace) => Api::namespaced_with(client, namespace, &()),
        None => Api::all_with(client, &()),
    }
}

/// An object as it came.
pub(super) struct Seen<K> {
    /// Name, namespace and version; no more.
    metadata: ObjectMeta,
    /// What is used of it.
    pub observed: Observed,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Seen<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            observed: self.observed.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Seen<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.observed, f)
    }
}

impl<'de, K: Watched> Deserialize<'de> for Seen<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Part::of(K::KIND).deserialize(deserializer)?;
        let metadata = ObjectMeta {
            name: named(&object, "name"),
            namespace: named(&object, "namespace"),
            resource_version: named(&object, "resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self {
            observed: take_in(K::KIND, object),
            metadata,
            kind: PhantomData,
        })
    }
}

/// Reduces an object to what is kept of it, as a manifest and parsed.
pub(crate) fn take_in(kind: Kind, mut object: Value) -> Observed {
    let standing = Standing::of(kind, &object);
    let manifest = project::manifest(kind, &mut object);
    let mut observed = read_object(kind, object);
    observed.manifest = manifest.filter(|_| observed.object.is_some());
    observed.standing = standing;
    observed
}

/// A field of the metadata.
fn named(object: &Value, field: &str) -> Option<String> {
    object["metadata"][field].as_str().map(str::to_owned)
}

fn key_in(kind: Kind, object: &Value) -> ObjectKey {
    let name = named(object, "name").unwrap_or_default();
    if kind.is_namespaced() {
        let namespace = named(object, "namespace");
        let namespace = namespace.as_deref().unwrap_or(kind.default_namespace());
        ObjectKey::namespaced(kind, namespace, name)
    } else {
        ObjectKey::cluster(kind, name)
    }
}

/// Parses an object, with the words that the same object in a file would get. The one difference:
/// a field that we do not know is ignored. The API server has accepted it, so its CRD is newer than
/// this program, as in the middle of an upgrade.
fn observe<K: Watched>(key: ObjectKey, object: Value) -> Observed {
    let (unknown, wrong): (Vec<_>, Vec<_>) = schema::violations(K::KIND, &object)
        .into_iter()
        .partition(|violation| violation.reason == Reason::UnknownField);
    if !wrong.is_empty() {
        let problems = wrong.into_iter().map(|it| {
            let message = format!("{}; its last good version stays in force", it.message);
            Diagnostic::error(key.object_ref(), it.field, it.reason, message)
        });
        return Observed {
            problems: problems.collect(),
            object: None,
            manifest: None,
            standing: None,
            key,
        };
    }
    let mut observed = K::parse(key, object);
    let object = observed.key.object_ref();
    observed.problems.extend(unknown.into_iter().map(|it| {
        let message = format!(
            "{}, as far as this version knows; it is ignored",
            it.message
        );
        Diagnostic::warning(object.clone(), it.field, it.reason, message)
    }));
    observed
}

impl<K: Watched> Resource for Seen<K> {
    type DynamicType = ();
    type Scope = kube::core::DynamicResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnostic::Severity;

    #[test]
    fn whatever_an_object_is_its_listing_is_decoded() {
        for object in [
            json!({"metadata": {"name": "a"}, "spec": {"podCIDRs": "no list"}}),
            json!({"metadata": {"name": "a", "labels": 5}}),
            json!({"metadata": {"name": "a", "labels": {"a": {}}}, "spec": null}),
        ] {
            let seen: Seen<core::Node> = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(
                seen.observed.key,
                ObjectKey::cluster(Kind::Node, "a"),
                "{object}"
            );
            assert_eq!(seen.observed.object, None, "{object}");
            assert_eq!(seen.observed.problems.len(), 1, "{object}");
        }
        for object in [json!({}), json!([]), json!({"metadata": {"name": 5}})] {
            let seen: Seen<BGPPeer> = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(seen.observed.object, None, "{object}");
        }
    }

    #[test]
    fn a_field_of_a_newer_crd_is_ignored_and_a_wrong_one_is_named() {
        let peer = |spec: Value| -> Observed {
            let object = json!({"metadata": {"name": "a"}, "spec": spec});
            serde_json::from_value::<Seen<BGPPeer>>(object)
                .unwrap()
                .observed
        };
        let newer = peer(json!({"address": "192.0.2.1", "asn": 1, "colour": "red"}));
        assert!(newer.object.is_some());
        assert_eq!(newer.problems[0].severity, Severity::Warning);
        assert_eq!(newer.problems[0].field, "spec.colour");
        let wrong = peer(json!({"address": 5, "asn": 1, "colour": "red"}));
        assert_eq!(wrong.object, None);
        assert_eq!(wrong.problems.len(), 1);
        assert_eq!(wrong.problems[0].field, "spec.address");
    }

    #[test]
    fn list_items_need_not_say_their_kind() {
        let item = json!({"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {}});
        let seen: Seen<core::Node> = serde_json::from_value(item).unwrap();
        assert!(seen.observed.object.is_some());
        assert_eq!(seen.meta().resource_version.as_deref(), Some("7"));
    }
}
