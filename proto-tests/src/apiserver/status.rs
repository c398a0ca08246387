//! Refusals in the words of the Kubernetes API: the `Status` object.
//!
//! Clients decide on `code` and `reason`, so both are what a real server sends. The exceptions are a
//! path that no resource serves, and too many requests: real servers answer those with plain text, and
//! so does this.

use http::StatusCode;
use serde_json::{Value, json};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason: `NotFound`, `Conflict`, ….
    pub reason: &'static str,
    /// What to tell a person.
    pub message: String,
    /// Seconds for the `Retry-After` header.
    pub retry_after: Option<u32>,
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: no token, or not the one.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", message)
    }

    /// 404 for an object.
    #[must_use]
    pub fn not_found(resource: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found"))
    }

    /// 404 for a path that nothing serves, as for a kind whose CRD is not installed.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found\n")
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(resource: &str, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{resource} \"{name}\" already exists"),
        )
    }

    /// 409: written since it was read, or a field that another manager owns.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "Conflict", message)
    }

    /// 410: the resource version or continue token is older than the history.
    #[must_use]
    pub fn expired(wanted: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {wanted} ({oldest})"),
        )
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// Any status, as fault injection asks for it. 429 is what priority and fairness sends: plain
    /// text, and the time in the header alone.
    #[must_use]
    pub fn injected(code: u16, retry_after: Option<u32>) -> Self {
        if code == 429 {
            let text = "Too many requests, please try again later.\n";
            return Self {
                retry_after,
                ..Self::new(code, "", text)
            };
        }
        let reason = match code {
            403 => "Forbidden",
            410 => "Expired",
            422 => "Invalid",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "Unknown",
        };
        Self {
            retry_after,
            ..Self::new(code, reason, format!("injected {code}"))
        }
    }

    /// 504: the resource version lies in the future.
    #[must_use]
    pub fn too_large(wanted: u64, current: u64) -> Self {
        Self::new(
            504,
            "Timeout",
            format!("Too large resource version: {wanted}, current: {current}"),
        )
    }

    /// The HTTP status code.
    #[must_use]
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The `Status` object, or `None` where a real server answers in plain text.
    #[must_use]
    pub fn to_status(&self) -> Option<Value> {
        if self.reason.is_empty() {
            return None;
        }
        Some(json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }))
    }
}
