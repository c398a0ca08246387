//! The kinds of objects that are read, and how an object is named.

use std::fmt;

use crate::{api, object::ObjectRef};

/// A kind of objects that is read. Adding one: a variant here, a module that parses it, a map in
/// [`Objects`](super::Objects), a watch in each source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// core/v1.
    Node,
    /// core/v1, in [`api::NAMESPACE`] only.
    Secret,
    /// redstart.dev.
    BgpConfiguration,
    /// redstart.dev.
    BgpPeer,
    /// redstart.dev.
    BgpAdvertisement,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Node,
        Self::Secret,
        Self::BgpConfiguration,
        Self::BgpPeer,
        Self::BgpAdvertisement,
    ];

    /// As objects name it in `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Secret => "Secret",
            Self::BgpConfiguration => "BGPConfiguration",
            Self::BgpPeer => "BGPPeer",
            Self::BgpAdvertisement => "BGPAdvertisement",
        }
    }

    /// As objects name it in `apiVersion`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Node | Self::Secret => "v1",
            Self::BgpConfiguration | Self::BgpPeer | Self::BgpAdvertisement => api::API_VERSION,
        }
    }

    /// Whether its objects live in a namespace.
    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        matches!(self, Self::Secret)
    }

    /// The kind that an object with these fields is of, if it is one that is read.
    #[must_use]
    pub fn find(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|k| k.api_version() == api_version && k.as_str() == kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What tells an object from every other one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, for kinds that live in one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// The key of a cluster-scoped object.
    pub fn cluster(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: None,
            name: name.into(),
        }
    }

    /// The key of a namespaced object.
    pub fn namespaced(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// The object as diagnostics name it.
    #[must_use]
    pub fn object_ref(&self) -> ObjectRef {
        ObjectRef {
            kind: self.kind.as_str().to_owned(),
            name: match &self.namespace {
                Some(namespace) => format!("{namespace}/{}", self.name),
                None => self.name.clone(),
            },
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.object_ref(), f)
    }
}
