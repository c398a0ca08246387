//! The answer to `diff`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;

/// What would change if these objects were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// Sessions.
    pub sessions: Vec<SessionDiff>,
    /// Routes of our own.
    pub routes: Vec<RouteDiff>,
    /// Neighbours whose policies change: their routes are judged again, the session stays.
    pub policies: Vec<String>,
    /// Whether routes go into the kernel in another way.
    pub kernel: bool,
    /// What would be wrong that is not wrong now.
    pub problems: Vec<Problem>,
}

impl Diff {
    /// Whether a session that may be up would end.
    #[must_use]
    pub fn ends_a_session(&self) -> bool {
        let mut sessions = self.sessions.iter();
        sessions.any(|session| matches!(session.change.as_str(), "resets" | "ends"))
    }
}

/// What becomes of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionDiff {
    /// The neighbour.
    pub peer: String,
    /// `new`, `ends`, `ends-when-replaced` (every route has come another way by then), `resets`,
    /// `next-session` (it stays, and part of the change waits for the next one) or `live`.
    pub change: String,
    /// Why it resets, as an identifier.
    pub reason: Option<String>,
}

/// What becomes of a route of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteDiff {
    /// The prefix.
    pub prefix: String,
    /// The object that it stands for.
    pub object: String,
    /// Neighbours that would be told.
    pub told: Vec<String>,
    /// Neighbours that it would be withdrawn from.
    pub withdrawn: Vec<String>,
    /// Neighbours that would be told it with other attributes.
    pub changed: Vec<String>,
}

/// A file of manifests, as `diff` sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestFile {
    /// Its name.
    pub file: String,
    /// What is in it.
    pub text: String,
}
