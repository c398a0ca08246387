//! What the index takes in: what a source saw, and how well it sees.

use std::fmt;

use super::{Kind, ObjectKey, Observed};
use crate::diagnostic::Diagnostic;

/// Something that a source saw.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are Applied, and none lives long"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// A complete listing: every other object of this kind is gone.
    Restarted {
        /// What was listed.
        kind: Kind,
        /// Every object of the kind.
        objects: Vec<Observed>,
    },
    /// All that was told so far is what an earlier process knew, and may be out of date. The next
    /// listing replaces it.
    Recalled,
    /// An object is new or changed.
    Applied(Observed),
    /// An object is gone.
    Deleted(ObjectKey),
    /// Everything that is wrong at a place which is not one object (a file). Replaces what was said
    /// about that place before; an empty list takes it back.
    Problems {
        /// The place, such as a file name.
        origin: String,
        /// What is wrong there.
        problems: Vec<Diagnostic>,
    },
    /// How well the source can see this kind.
    Health {
        /// Which kind.
        kind: Kind,
        /// How well.
        health: Health,
    },
}

/// How well a source can see one kind of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not listed yet.
    #[default]
    Starting,
    /// Listed, and changes arrive.
    Synced,
    /// Trying again; what was known stays in force.
    Retrying {
        /// What went wrong last.
        error: String,
    },
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Synced => f.write_str("synced"),
            Self::Retrying { error } => write!(f, "retrying: {error}"),
        }
    }
}
