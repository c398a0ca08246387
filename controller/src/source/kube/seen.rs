//! An object as it comes off the wire.
//!
//! Decoding never fails for an object's sake. The watcher needs its name and version, which are
//! taken from whatever is there; all else is kept as a text, without what the object is large by
//! ([`skip`](super::skip)). If that is news, it is either parsed into an [`Observed`] or becomes its
//! problem. So one malformed object is one [`Diagnostic`](crate::diagnostic::Diagnostic), where a
//! plain typed watch would fail the whole listing, again and again.

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::{
    api::{core::v1 as core, discovery::v1::EndpointSlice, networking::v1::ServiceCIDR},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, Resource};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::{project, skip};
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
        /// An object that is kept as a manifest, whether it comes from the API or from the disk.
        ///
        /// # Errors
        /// It is no JSON.
        pub(crate) fn read_manifest(kind: Kind, text: &str) -> serde_json::Result<Observed> {
            match kind {
                $(Kind::$kind => read::<$type>(kind, text),)*
            }
        }

        fn read_object(kind: Kind, object: Value) -> Observed {
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
    ServiceCIDR => ServiceCidr,
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
    /// What is read of it, as JSON.
    pub(super) text: String,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Seen<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            text: self.text.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Seen<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.metadata.name, f)
    }
}

impl<'de, K: Watched> Deserialize<'de> for Seen<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (head, text) = skip::read(K::KIND, deserializer)?;
        let metadata = ObjectMeta {
            name: head.name,
            namespace: head.namespace,
            resource_version: head.resource_version,
            ..ObjectMeta::default()
        };
        Ok(Self {
            metadata,
            text,
            kind: PhantomData,
        })
    }
}

impl<K: Watched> Seen<K> {
    /// Which object it is.
    pub(super) fn key(&self) -> ObjectKey {
        let meta = &self.metadata;
        key_of(K::KIND, meta.namespace.as_deref(), meta.name.as_deref())
    }

    /// The object, parsed, with its manifest.
    pub(super) fn observed(self) -> Observed {
        observed(K::KIND, self.text)
    }
}

fn observed(kind: Kind, text: String) -> Observed {
    let unreadable = |error| Observed::unreadable(key_of(kind, None, None), error);
    if kind.is_numerous() {
        let mut observed = read_manifest(kind, &text).unwrap_or_else(unreadable);
        let is_usable = observed.object.is_some();
        observed.manifest = is_usable.then(|| text.into_boxed_str().into());
        return observed;
    }
    match serde_json::from_str(&text) {
        Ok(object) => take_apart(kind, object),
        // It was JSON when it was written.
        Err(error) => unreadable(error),
    }
}

/// Reduces an object to what is kept of it, as a manifest and parsed.
fn take_apart(kind: Kind, mut object: Value) -> Observed {
    let standing = Standing::of(kind, &object);
    let manifest = project::manifest(kind, &mut object);
    let mut observed = read_object(kind, object);
    let manifest = manifest.filter(|_| observed.object.is_some());
    observed.manifest = manifest.map(Into::into);
    observed.standing = standing;
    observed
}

/// An object as it is when it comes from the API.
#[cfg(test)]
pub(crate) fn take_in(kind: Kind, object: Value) -> Observed {
    let (_, text) = skip::read(kind, object).unwrap();
    observed(kind, text)
}

/// A field of the metadata.
fn named(object: &Value, field: &str) -> Option<String> {
    object["metadata"][field].as_str().map(str::to_owned)
}

fn key_in(kind: Kind, object: &Value) -> ObjectKey {
    let (namespace, name) = (named(object, "namespace"), named(object, "name"));
    key_of(kind, namespace.as_deref(), name.as_deref())
}

fn key_of(kind: Kind, namespace: Option<&str>, name: Option<&str>) -> ObjectKey {
    let name = name.unwrap_or_default();
    if kind.is_namespaced() {
        let namespace = namespace.unwrap_or(kind.default_namespace());
        ObjectKey::namespaced(kind, namespace, name)
    } else {
        ObjectKey::cluster(kind, name)
    }
}

/// Parses a manifest. Objects of other groups than ours, of which there are many, are decoded without a
/// value in between; where one cannot be, the way over the value has the words for what is wrong.
fn read<K: Watched>(kind: Kind, text: &str) -> serde_json::Result<Observed>
where
    Observed: for<'a> From<&'a K>,
{
    if kind.is_numerous()
        && let Ok(object) = serde_json::from_str::<K>(text)
    {
        return Ok(Observed::from(&object));
    }
    Ok(read_object(kind, serde_json::from_str(text)?))
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
    use crate::{
        diagnostic::Severity,
        index::{Object, SHUTDOWN_MESSAGE, Since},
    };

    #[test]
    fn whatever_an_object_is_its_listing_is_decoded() {
        for object in [
            json!({"metadata": {"name": "a"}, "spec": {"podCIDRs": "no list"}}),
            json!({"metadata": {"name": "a", "labels": 5}}),
            json!({"metadata": {"name": "a", "labels": {"a": {}}}, "spec": null}),
        ] {
            let seen: Seen<core::Node> = serde_json::from_value(object.clone()).unwrap();
            let key = ObjectKey::cluster(Kind::Node, "a");
            assert_eq!(seen.key(), key, "{object}");
            let observed = seen.observed();
            assert_eq!(observed.key, key, "{object}");
            assert_eq!(observed.object, None, "{object}");
            assert_eq!(observed.problems.len(), 1, "{object}");
            assert_eq!(observed.manifest, None, "{object}");
        }
        for object in [json!({}), json!([]), json!({"metadata": {"name": 5}})] {
            let seen: Seen<BGPPeer> = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(seen.observed().object, None, "{object}");
        }
    }

    #[test]
    fn a_field_of_a_newer_crd_is_ignored_and_a_wrong_one_is_named() {
        let peer = |spec: Value| -> Observed {
            let object = json!({"metadata": {"name": "a"}, "spec": spec});
            serde_json::from_value::<Seen<BGPPeer>>(object)
                .unwrap()
                .observed()
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
    fn a_node_that_shuts_down_still_says_so_on_disk() {
        let since = "2026-05-28T20:26:40Z";
        let ready = json!({"type": "Ready", "status": "False", "message": SHUTDOWN_MESSAGE, "lastTransitionTime": since});
        let node = json!({"metadata": {"name": "a"}, "status": {"conditions": [ready]}});
        let observed = take_in(Kind::Node, node);
        let manifest = observed.manifest.unwrap();
        let on_disk = read_manifest(Kind::Node, &manifest.read()).unwrap();
        assert_eq!(on_disk.object, observed.object);
        let Some(Object::Node(node)) = observed.object else {
            panic!("{:?}", observed.problems);
        };
        let seconds = since.parse::<jiff::Timestamp>().unwrap().as_second();
        assert_eq!(node.drain.shuts_down, Some(Since::new(Some(seconds))));
    }

    #[test]
    fn list_items_need_not_say_their_kind() {
        let item = json!({"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {}});
        let seen: Seen<core::Node> = serde_json::from_value(item).unwrap();
        assert_eq!(seen.meta().resource_version.as_deref(), Some("7"));
        let observed = seen.observed();
        assert!(observed.object.is_some());
        let manifest = observed.manifest.unwrap();
        let read = read_manifest(Kind::Node, &manifest.read()).unwrap();
        assert_eq!(read.object, observed.object);
    }
}
