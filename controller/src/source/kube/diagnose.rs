//! What a failure of the API is, in a closed set of reasons and in words that say what to do.

use std::{error::Error, fmt, time::Duration};

use kube::{core::Status, runtime::watcher};

use crate::{api, index::Kind};

/// Why a watch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchError {
    /// For machines.
    pub reason: WatchReason,
    /// For people.
    pub message: String,
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.reason)
    }
}

/// Why a watch failed. The identifiers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WatchReason {
    /// No connection to the server.
    Unreachable,
    /// The server's certificate is not signed by the authority that we trust, or is not its own.
    UntrustedCertificate,
    /// The connection broke.
    ConnectionLost,
    /// The server does not accept our credentials (401).
    Unauthorized,
    /// Our account may not do this (403).
    Forbidden,
    /// The server does not know the kind (404): its CustomResourceDefinition is missing.
    CrdMissing,
    /// The server has forgotten what happened since we listened last (410).
    Gone,
    /// The server asks us to wait (429).
    TooManyRequests,
    /// Any other error that the server reports.
    ServerError,
    /// The answer is not what the Kubernetes API says.
    InvalidAnswer,
    /// A listing made no progress.
    Stalled,
}

impl WatchReason {
    /// The stable identifier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::UntrustedCertificate => "untrusted-certificate",
            Self::ConnectionLost => "connection-lost",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::CrdMissing => "crd-missing",
            Self::Gone => "gone",
            Self::TooManyRequests => "too-many-requests",
            Self::ServerError => "server-error",
            Self::InvalidAnswer => "invalid-answer",
            Self::Stalled => "stalled",
        }
    }
}

impl fmt::Display for WatchReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The server's answer, where the failure is one.
pub(super) fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::WatchError(status) => Some(status),
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

/// How long the server asks us to wait.
pub(super) fn retry_after(error: &watcher::Error) -> Duration {
    let details = status(error).and_then(|status| status.details.as_ref());
    Duration::from_secs(details.map_or(0, |details| u64::from(details.retry_after_seconds)))
}

/// What happened to the watch of `kind`.
pub(super) fn diagnose(kind: Kind, plural: &str, error: &watcher::Error) -> WatchError {
    if let Some(status) = status(error) {
        return of_status(kind, plural, status);
    }
    let cause = match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => Some(cause),
        _ => None,
    };
    let layers = layers(cause.map_or(error as &dyn Error, |cause| cause));
    let root = layers.last().map(String::as_str).unwrap_or_default();
    // TLS and connect errors are several boxed layers deep, of types that are not public.
    let says = |text: &str| layers.iter().any(|layer| layer.contains(text));
    let (reason, message) = match cause {
        Some(_) if says("certificate") => (
            WatchReason::UntrustedCertificate,
            format!("the API server's certificate is not trusted: {root}"),
        ),
        None | Some(kube::Error::SerdeError(_)) => (
            WatchReason::InvalidAnswer,
            format!("the API server's answer makes no sense: {root}"),
        ),
        Some(_) if says("(Connect)") => (
            WatchReason::Unreachable,
            format!("no connection to the API server: {root}"),
        ),
        Some(_) => (
            WatchReason::ConnectionLost,
            format!(
                "the connection to the API server failed: {}",
                layers.join(": ")
            ),
        ),
    };
    WatchError { reason, message }
}

impl WatchReason {
    /// Whether the server may be well by now, because somebody else has reached it.
    pub(super) const fn is_about_the_connection(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::ConnectionLost | Self::Stalled
        )
    }
}

fn of_status(kind: Kind, plural: &str, status: &Status) -> WatchError {
    let said = if status.message.is_empty() {
        status.reason.trim()
    } else {
        status.message.trim()
    };
    let (reason, message) = match status.code {
        401 => (
            WatchReason::Unauthorized,
            format!("the API server does not accept the token or certificate: {said}"),
        ),
        403 => (WatchReason::Forbidden, said.to_owned()),
        404 if kind.api_version() == api::API_VERSION => (
            WatchReason::CrdMissing,
            format!("CRD {plural}.{} is not installed", api::GROUP),
        ),
        410 => (WatchReason::Gone, said.to_owned()),
        429 => (WatchReason::TooManyRequests, said.to_owned()),
        code => (WatchReason::ServerError, format!("{code}: {said}")),
    };
    WatchError { reason, message }
}

/// An error and its causes, the deepest last; what a cause repeats is left out.
fn layers(error: &dyn Error) -> Vec<String> {
    let mut layers = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !layers.iter().any(|layer| layer.contains(&text)) {
            layers.push(text);
        }
        next = cause.source();
    }
    layers
}
