//! What is wrong with the configuration, said once and shown everywhere.
//!
//! A [`Diagnostic`] names the object, the field, a closed [`Reason`] and says in words what happens
//! now. Log lines, metrics, the CLI and status conditions all carry the same reason under the same
//! identifier. Nothing here stops the speaker: a diagnostic says what was left out, the rest works.

use std::fmt;

use crate::object::ObjectRef;

/// One thing that is wrong, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where: a Kubernetes object, or `File/NAME` where no object could be read.
    pub object: ObjectRef,
    /// The path of the field, such as `spec.asn` or `metadata.annotations[redstart.dev/asn]`; empty
    /// where the whole object is meant.
    pub field: String,
    /// Why, for machines.
    pub reason: Reason,
    /// How bad it is.
    pub severity: Severity,
    /// Why, for people: what is wrong and what the speaker does instead.
    pub message: String,
}

impl Diagnostic {
    /// Something that was asked for is not in force.
    pub fn error(
        object: ObjectRef,
        field: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            object,
            field: field.into(),
            reason,
            severity: Severity::Error,
            message: message.into(),
        }
    }

    /// Everything is in force, but it is hardly what was meant.
    pub fn warning(
        object: ObjectRef,
        field: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(object, field, reason, message)
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        write!(f, ": {} ({})", self.message, self.reason)
    }
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something that was asked for is not in force.
    Error,
    /// In force, but hardly what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Every reason for which configuration is refused or doubted. The identifiers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A file or an object could not be read at all.
    Unreadable,
    /// The text is not YAML.
    InvalidYaml,
    /// The object has a field that its kind does not have.
    UnknownField,
    /// A field that must be there is not.
    MissingField,
    /// A field's value has the wrong type, form or range.
    InvalidValue,
    /// Fields that exclude each other are both set.
    Conflict,
    /// Two manifests hold an object of the same kind and name.
    DuplicateObject,
    /// Not an AS number that a speaker may use.
    InvalidAsn,
    /// Not an IP address, or one that cannot be used here.
    InvalidAddress,
    /// Not a prefix.
    InvalidCidr,
    /// Not a router id.
    InvalidRouterId,
    /// Not a community.
    InvalidCommunity,
    /// Not a label selector that can be evaluated.
    InvalidSelector,
    /// Not a hold time that RFC 4271 allows.
    InvalidHoldTime,
    /// A `BGPConfiguration` that nothing reads, because it is not named `default`.
    NotDefault,
    /// There is no Node of this speaker's name.
    NodeMissing,
    /// A Node has no usable address.
    NoAddress,
    /// Two ends have no address family in common.
    NoCommonFamily,
    /// Two nodes have the same BGP Identifier.
    DuplicateRouterId,
    /// Two nodes' pod CIDRs overlap.
    OverlappingPodCidr,
    /// A prefix to advertise belongs to another node.
    ForeignPodCidr,
    /// A neighbour's address is one of the node's own.
    OwnAddress,
    /// Two neighbours of one node have the same address, range or interface.
    DuplicatePeerAddress,
    /// Two neighbours of one node have the same name.
    DuplicatePeerName,
    /// On the interface of a neighbour no router was found yet.
    RouterNotFound,
    /// On the interface of a neighbour several routers were found.
    SeveralRouters,
    /// An address that sessions are to come from is on no interface of this node.
    AddressNotHere,
    /// The kernel has no default route that leads to a gateway, and a neighbour is to be that gateway.
    NoDefaultGateway,
    /// The kernel has no TCP Authentication Option, and a neighbour has keys of it.
    TcpAoUnsupported,
    /// The kernel does not take the key that a neighbour or a listen range must have.
    KeyRefused,
    /// The interface of a neighbour is not on this node.
    InterfaceMissing,
    /// The interface of a neighbour is down.
    InterfaceDown,
    /// Routers cannot be looked for on an interface.
    DiscoveryFailed,
    /// Two Services have an address, and nodes that advertise it for one cannot serve the other.
    SharedAddress,
    /// Nobody says which addresses Services have.
    ServiceRangesUnknown,
    /// A Secret that a password is to come from may not be read.
    SecretForbidden,
    /// A Secret that a password is to come from does not exist.
    SecretMissing,
    /// The Secret does not have that key.
    SecretKeyMissing,
    /// The password is empty, too long or not text.
    InvalidPassword,
    /// An address of a Service is outside of the ranges that may be advertised.
    AddressNotAllowed,
    /// Several `BGPAdvertisement`s send one prefix to one peer with different numbers.
    ConflictingAttributes,
    /// Kubernetes says that the node's network is not there.
    NetworkUnavailable,
    /// A `BGPAdvertisement` names a `BGPPeer` that does not exist.
    UnknownPeer,
    /// A `BGPAdvertisement` is for certain `BGPPeer`s, and there are none such.
    NoPeerSelected,
    /// No node is a route reflector of the mesh.
    NoReflector,
    /// A node waits to be drained until others are through.
    DrainLimit,
    /// An object names a `BGPPolicy` that does not exist.
    UnknownPolicy,
    /// An object names a `BFDProfile` that does not exist.
    UnknownBfdProfile,
    /// A directory that files are to be written to is not there.
    DirectoryMissing,
    /// A directory that files are to be written to allows none.
    DirectoryNotWritable,
    /// A disk that files are to be written to is full.
    DiskFull,
    /// A file cannot be written, for another reason.
    WriteFailed,
    /// An old file is to go, and cannot be removed.
    FileNotRemoved,
    /// A field asks for something that this speaker does not do.
    NotImplemented,
}

impl Reason {
    /// The stable identifier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::InvalidYaml => "invalid-yaml",
            Self::UnknownField => "unknown-field",
            Self::MissingField => "missing-field",
            Self::InvalidValue => "invalid-value",
            Self::Conflict => "conflict",
            Self::DuplicateObject => "duplicate-object",
            Self::InvalidAsn => "invalid-asn",
            Self::InvalidAddress => "invalid-address",
            Self::InvalidCidr => "invalid-cidr",
            Self::InvalidRouterId => "invalid-router-id",
            Self::InvalidCommunity => "invalid-community",
            Self::InvalidSelector => "invalid-selector",
            Self::InvalidHoldTime => "invalid-hold-time",
            Self::NotDefault => "not-default",
            Self::NodeMissing => "node-missing",
            Self::NoAddress => "no-address",
            Self::NoCommonFamily => "no-common-family",
            Self::DuplicateRouterId => "duplicate-router-id",
            Self::OverlappingPodCidr => "overlapping-pod-cidr",
            Self::ForeignPodCidr => "foreign-pod-cidr",
            Self::OwnAddress => "own-address",
            Self::DuplicatePeerAddress => "duplicate-peer-address",
            Self::DuplicatePeerName => "duplicate-peer-name",
            Self::RouterNotFound => "router-not-found",
            Self::SeveralRouters => "several-routers",
            Self::AddressNotHere => "address-not-here",
            Self::NoDefaultGateway => "no-default-gateway",
            Self::TcpAoUnsupported => "tcp-ao-unsupported",
            Self::KeyRefused => "key-refused",
            Self::InterfaceMissing => "interface-missing",
            Self::InterfaceDown => "interface-down",
            Self::DiscoveryFailed => "discovery-failed",
            Self::SharedAddress => "shared-address",
            Self::ServiceRangesUnknown => "service-ranges-unknown",
            Self::SecretForbidden => "secret-forbidden",
            Self::SecretMissing => "secret-missing",
            Self::SecretKeyMissing => "secret-key-missing",
            Self::InvalidPassword => "invalid-password",
            Self::AddressNotAllowed => "address-not-allowed",
            Self::ConflictingAttributes => "conflicting-attributes",
            Self::NetworkUnavailable => "network-unavailable",
            Self::UnknownPeer => "unknown-peer",
            Self::NoPeerSelected => "no-peer-selected",
            Self::NoReflector => "no-reflector",
            Self::DrainLimit => "drain-limit",
            Self::UnknownPolicy => "unknown-policy",
            Self::UnknownBfdProfile => "unknown-bfd-profile",
            Self::DirectoryMissing => "directory-missing",
            Self::DirectoryNotWritable => "directory-not-writable",
            Self::DiskFull => "disk-full",
            Self::WriteFailed => "write-failed",
            Self::FileNotRemoved => "file-not-removed",
            Self::NotImplemented => "not-implemented",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
