//! One object as it is kept: parsed, and reduced to what is used.

use std::{fmt, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    Advertisement, BfdProfile, Configuration, EndpointSlice, Kind, Node, ObjectKey, Peer, Policy,
    Secret, Service, ServiceCidr, Standing,
};
use crate::{
    api,
    diagnostic::{Diagnostic, Reason},
    labels::Labels,
    object::ObjectRef,
    text::Text,
};

/// An object as a source saw it, parsed.
///
/// Make one with [`Observed::from`] a typed object (`k8s_openapi`'s kinds,
/// [`api`](crate::api)'s kinds), or with [`Observed::unreadable`] where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Which object.
    pub key: ObjectKey,
    /// What it says, or `None` where that cannot be used at all: the last good version stays.
    pub object: Option<Object>,
    /// What is wrong with it.
    pub problems: Vec<Diagnostic>,
    /// The object as a manifest, where the source has one for the [`cache`](crate::cache): only of
    /// an object that can be used. The index does not keep it.
    pub manifest: Option<Text>,
    /// How it stands at the API server, where it came from there.
    pub standing: Option<Standing>,
}

impl Observed {
    /// An object that is there but cannot be read.
    pub fn unreadable(key: ObjectKey, error: impl fmt::Display) -> Self {
        Self::unreadable_at(key, "", error)
    }

    /// A Secret that the API server does not let us read, in its words: for want of a right
    /// ([`Reason::SecretForbidden`]), or because it cannot itself ([`Reason::Unreadable`]).
    pub fn unread(name: &str, reason: Reason, words: &str) -> Self {
        let key = ObjectKey::namespaced(Kind::Secret, api::NAMESPACE, name);
        let message =
            format!("{words}; what was read of it before, if anything was, stays in force");
        Self {
            problems: vec![Diagnostic::error(key.object_ref(), "", reason, message)],
            key,
            object: None,
            manifest: None,
            standing: None,
        }
    }

    /// The latest time that it says since when a node is to be drained.
    pub(super) fn latest_drain(&self) -> Option<i64> {
        match &self.object {
            Some(Object::Node(node)) => node.drain.latest(),
            _ => None,
        }
    }

    /// Why it cannot be read, if it is a Secret and cannot.
    pub(super) fn unread_secret(&self) -> Option<Reason> {
        let unread = self.key.kind == Kind::Secret && self.object.is_none();
        let why = self
            .problems
            .first()
            .map_or(Reason::Unreadable, |it| it.reason);
        unread.then_some(why)
    }

    /// An object that is there but cannot be read because of `field`.
    pub fn unreadable_at(
        key: ObjectKey,
        field: impl Into<String>,
        error: impl fmt::Display,
    ) -> Self {
        let problem = Diagnostic::error(
            key.object_ref(),
            field,
            Reason::Unreadable,
            format!("{error}; its last good version stays in force"),
        );
        Self {
            key,
            object: None,
            problems: vec![problem],
            manifest: None,
            standing: None,
        }
    }
}

/// What an object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// core/v1 `Node`.
    Node(Box<Node>),
    /// core/v1 `Secret`.
    Secret(Secret),
    /// core/v1 `Service`.
    Service(Service),
    /// discovery.k8s.io/v1 `EndpointSlice`.
    EndpointSlice(EndpointSlice),
    /// networking.k8s.io/v1 `ServiceCIDR`.
    ServiceCidr(ServiceCidr),
    /// `BGPConfiguration`.
    Configuration(Box<Configuration>),
    /// `BGPPeer`.
    Peer(Arc<Peer>),
    /// `BGPAdvertisement`.
    Advertisement(Box<Advertisement>),
    /// `BGPPolicy`.
    Policy(Policy),
    /// `BFDProfile`.
    BfdProfile(BfdProfile),
}

impl Object {
    /// The names of the Secrets that it wants to read.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let (password, keys) = match self {
            Self::Peer(peer) => (peer.password.as_ref(), &peer.tcp_ao[..]),
            Self::Configuration(configuration) => (
                configuration.spec.mesh.password_secret_ref.as_ref(),
                &[][..],
            ),
            _ => (None, &[][..]),
        };
        let keys = keys.iter().map(|key| &key.secret_ref);
        password.into_iter().chain(keys).map(|it| it.name.as_str())
    }
}

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The object's name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// When it was created, in seconds since 1970. Manifests need not say.
    pub created: Option<i64>,
    /// What tells it from an earlier object of the same name.
    pub uid: Option<String>,
}

impl Meta {
    /// By age, the oldest first, then by name.
    #[must_use]
    pub fn seniority(&self) -> (i64, &str) {
        (self.created.unwrap_or(i64::MAX), &self.name)
    }
}

impl From<&ObjectMeta> for Meta {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            name: meta.name.clone().unwrap_or_default(),
            labels: meta.labels.as_ref().map(Labels::from).unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|t| t.0.as_second()),
            uid: meta.uid.clone(),
        }
    }
}

/// Collects what is wrong while one object is parsed.
pub(super) struct Findings {
    object: ObjectRef,
    problems: Vec<Diagnostic>,
}

impl Findings {
    pub(super) fn new(key: &ObjectKey) -> Self {
        Self {
            object: key.object_ref(),
            problems: Vec::new(),
        }
    }

    /// Notes a problem.
    pub(super) fn error(
        &mut self,
        field: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.problems.push(Diagnostic::error(
            self.object.clone(),
            field,
            reason,
            message,
        ));
    }

    /// The value, or a note of why there is none.
    pub(super) fn take<T, E: fmt::Display>(
        &mut self,
        field: &str,
        reason: Reason,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|e| self.error(field, reason, e.to_string()))
            .ok()
    }

    /// The object with what was found: used whatever that is.
    pub(super) fn keep(self, key: ObjectKey, object: Object) -> Observed {
        Observed {
            key,
            object: Some(object),
            problems: self.problems,
            manifest: None,
            standing: None,
        }
    }

    /// The object with what was found: used only if that is nothing.
    pub(super) fn keep_if_clean(self, key: ObjectKey, object: Option<Object>) -> Observed {
        let object = object.filter(|_| self.problems.is_empty());
        Observed {
            key,
            object,
            problems: self.problems,
            manifest: None,
            standing: None,
        }
    }
}

impl Object {
    /// The kind that it is of.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Node(_) => Kind::Node,
            Self::Secret(_) => Kind::Secret,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::ServiceCidr(_) => Kind::ServiceCidr,
            Self::Configuration(_) => Kind::BgpConfiguration,
            Self::Peer(_) => Kind::BgpPeer,
            Self::Advertisement(_) => Kind::BgpAdvertisement,
            Self::Policy(_) => Kind::BgpPolicy,
            Self::BfdProfile(_) => Kind::BfdProfile,
        }
    }
}
