//! Secrets: the passwords of sessions.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1 as core;

use super::{Kind, Meta, Object, ObjectKey, Observed, observed::Findings};
use crate::api;

/// What is used of a Secret. Its `Debug` shows the keys only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Name and the like.
    pub meta: Meta,
    /// The values by key.
    pub data: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("meta", &self.meta)
            .field("keys", &self.data.keys())
            .finish()
    }
}

impl From<&core::Secret> for Observed {
    /// `stringData` counts like `data` and wins, as in the API server: manifests are read as they
    /// are. A Secret without a namespace is taken to be in Redstart's own.
    fn from(secret: &core::Secret) -> Self {
        let namespace = secret.metadata.namespace.as_deref();
        let meta = Meta::from(&secret.metadata);
        let namespace = namespace.unwrap_or(api::NAMESPACE);
        let key = ObjectKey::namespaced(Kind::Secret, namespace, meta.name.as_str());
        let mut data: BTreeMap<_, _> = secret
            .data
            .iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.0.clone()))
            .collect();
        data.extend(
            secret
                .string_data
                .iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone().into_bytes())),
        );
        Findings::new(&key).keep(key, Object::Secret(Secret { meta, data }))
    }
}
