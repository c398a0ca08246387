//! The kinds of objects that are read, and how an object is named.

use std::fmt;

use super::ServiceKey;
use crate::{api, object::ObjectRef};

/// Another proxy than the cluster's own serves the Service, and its addresses.
const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// The endpoints of a Service without an address of its own.
const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";

/// A kind of objects that is read. Adding one: a variant here, a module that parses it, a map in
/// [`Objects`](super::Objects), a watch in each source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// core/v1.
    Node,
    /// core/v1, in [`api::NAMESPACE`] only.
    Secret,
    /// core/v1, in every namespace.
    Service,
    /// discovery.k8s.io/v1, in every namespace.
    EndpointSlice,
    /// networking.k8s.io/v1.
    ServiceCidr,
    /// redstart.dev.
    BgpConfiguration,
    /// redstart.dev.
    BgpPeer,
    /// redstart.dev.
    BgpAdvertisement,
    /// redstart.dev.
    BgpPolicy,
    /// redstart.dev.
    BfdProfile,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Node,
        Self::Secret,
        Self::Service,
        Self::EndpointSlice,
        Self::ServiceCidr,
        Self::BgpConfiguration,
        Self::BgpPeer,
        Self::BgpAdvertisement,
        Self::BgpPolicy,
        Self::BfdProfile,
    ];

    /// As objects name it in `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::ServiceCidr => "ServiceCIDR",
            Self::BgpConfiguration => "BGPConfiguration",
            Self::BgpPeer => "BGPPeer",
            Self::BgpAdvertisement => "BGPAdvertisement",
            Self::BgpPolicy => "BGPPolicy",
            Self::BfdProfile => "BFDProfile",
        }
    }

    /// As objects name it in `apiVersion`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Node | Self::Secret | Self::Service => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::ServiceCidr => "networking.k8s.io/v1",
            Self::BgpConfiguration
            | Self::BgpPeer
            | Self::BgpAdvertisement
            | Self::BgpPolicy
            | Self::BfdProfile => api::API_VERSION,
        }
    }

    /// Whether its objects live in a namespace.
    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        matches!(self, Self::Secret | Self::Service | Self::EndpointSlice)
    }

    /// Whether a large cluster has very many of them, which change all the time. All of what is parsed of
    /// them is in the manifest, so one that comes again as it was is no news.
    #[must_use]
    pub const fn is_numerous(self) -> bool {
        matches!(self, Self::Node | Self::Service | Self::EndpointSlice)
    }

    /// Whether an API server may do without it: Kubernetes has `ServiceCIDR`s since 1.33, and a Role that was
    /// made before we read them does not let us.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::ServiceCidr)
    }

    /// Whether its objects may name Secrets.
    #[must_use]
    pub const fn names_secrets(self) -> bool {
        matches!(self, Self::BgpConfiguration | Self::BgpPeer)
    }

    /// The one namespace whose objects are read, for kinds that are not read everywhere.
    #[must_use]
    pub const fn only_namespace(self) -> Option<&'static str> {
        match self {
            Self::Secret => Some(api::NAMESPACE),
            _ => None,
        }
    }

    /// The namespace that a manifest means which names none.
    #[must_use]
    pub const fn default_namespace(self) -> &'static str {
        match self {
            Self::Secret => api::NAMESPACE,
            _ => "default",
        }
    }

    /// Objects with one of these labels are left alone, as kube-proxy leaves them: they are another
    /// proxy's, or they have no virtual address. Sources ask the API server not to send them.
    #[must_use]
    pub const fn left_alone(self) -> &'static [&'static str] {
        match self {
            Self::Service | Self::EndpointSlice => &[LABEL_PROXY_NAME, LABEL_HEADLESS],
            _ => &[],
        }
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

    /// Namespace and name alone.
    pub(super) fn in_namespace(&self) -> ServiceKey {
        ServiceKey {
            namespace: self.namespace.as_deref().unwrap_or_default().into(),
            name: self.name.as_str().into(),
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
