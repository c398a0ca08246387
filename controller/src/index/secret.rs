//! Secrets: the passwords of sessions.
//!
//! A password that was usable stays so while its Secret is rotated: a value with a line break, or the
//! moment between `kubectl delete` and `kubectl create`, must not end every session that has it.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1 as core;

use super::{Kind, Meta, Object, ObjectKey, Objects, Observed, observed::Findings};
use crate::{
    api::{self, NAMESPACE, SecretKeyRef},
    diagnostic::Reason,
};

/// What is used of a Secret. Its `Debug` shows the keys only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Name and the like.
    pub meta: Meta,
    /// The values by key.
    pub data: BTreeMap<String, Vec<u8>>,
    /// Passwords of earlier versions, where this one has none that can be used.
    last_good: BTreeMap<String, String>,
}

/// Longest key that Linux takes (`TCP_MD5SIG_MAXKEYLEN`).
const MAX_PASSWORD: usize = 80;

/// Why there is no password under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPassword {
    /// There is no such key.
    NoKey,
    /// What is there cannot be one; it says why, and not what it is.
    Unusable(&'static str),
}

impl Secret {
    /// The password under `key`.
    ///
    /// # Errors
    ///
    /// There is none that can be used.
    pub fn password(&self, key: &str) -> Result<&str, NoPassword> {
        let value = self.data.get(key).ok_or(NoPassword::NoKey)?;
        usable(value).map_err(NoPassword::Unusable)
    }

    /// What the password under `key` was when there last was one, if there is none now.
    #[must_use]
    pub fn last_password(&self, key: &str) -> Option<&str> {
        self.last_good.get(key).map(String::as_str)
    }

    /// Remembers the passwords of `last`, the version before, that this one does not have any more.
    /// Whether there are such.
    pub(super) fn keep_last_good(&mut self, last: &Self) -> bool {
        for key in last.data.keys().chain(last.last_good.keys()) {
            let good = last.password(key).ok().or(last.last_password(key));
            if let Some(good) = good.filter(|_| self.password(key).is_err()) {
                self.last_good.insert(key.clone(), good.to_owned());
            }
        }
        !self.last_good.is_empty()
    }
}

impl Objects {
    /// The password that `wanted` names.
    ///
    /// # Errors
    ///
    /// Why there is none that can be used, and what to tell.
    pub fn password(&self, wanted: &SecretKeyRef) -> Result<&str, (Reason, String)> {
        let SecretKeyRef { name, key } = wanted;
        let Some(secret) = self.secrets.get(name) else {
            return Err(match self.unread_secrets.get(name) {
                Some(Reason::SecretForbidden) => (
                    Reason::SecretForbidden,
                    format!(
                        "Redstart's account may not read Secret {NAMESPACE}/{name} (`redstart role` prints a Role that lets it)"
                    ),
                ),
                Some(why) => (
                    *why,
                    format!("Secret {NAMESPACE}/{name} could not be read so far"),
                ),
                None => (
                    Reason::SecretMissing,
                    format!("there is no Secret {NAMESPACE}/{name}"),
                ),
            });
        };
        secret.password(key).map_err(|why| match why {
            NoPassword::NoKey => (
                Reason::SecretKeyMissing,
                format!("Secret {NAMESPACE}/{name} has no key {key:?}"),
            ),
            NoPassword::Unusable(why) => (
                Reason::InvalidPassword,
                format!("key {key:?} of Secret {NAMESPACE}/{name} {why}"),
            ),
        })
    }

    /// What that password was when there last was one, if there is none now.
    #[must_use]
    pub fn last_password(&self, wanted: &SecretKeyRef) -> Option<&str> {
        self.secrets.get(&wanted.name)?.last_password(&wanted.key)
    }
}

fn usable(value: &[u8]) -> Result<&str, &'static str> {
    let text = str::from_utf8(value).map_err(|_| "is not UTF-8 text")?;
    if text.is_empty() {
        return Err("is empty");
    }
    if text.len() > MAX_PASSWORD {
        return Err("is longer than 80 bytes");
    }
    if text.chars().any(char::is_control) {
        // Nearly always the newline of `kubectl create secret --from-file`: the router's side has
        // none, and the session would hang in silence.
        return Err("has a line break or another control character");
    }
    Ok(text)
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
        let secret = Secret {
            meta,
            data,
            last_good: BTreeMap::new(),
        };
        Findings::new(&key).keep(key, Object::Secret(secret))
    }
}
