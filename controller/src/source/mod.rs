//! Where objects come from, behind one interface.
//!
//! A source is a task that does I/O and tells the owner of the [`Index`](crate::index::Index) what
//! it saw, in [`Batch`]es, through one bounded channel. There are two: the Kubernetes API (`kube`)
//! and a watched directory of manifests ([`dir`]). Nothing downstream can tell them apart.
//!
//! Rules that every source keeps:
//!
//! 1. For each [`Kind`] the first event is [`SourceEvent::Restarted`] with the complete listing, even
//!    if it is empty: the index is not complete, and nothing is compiled, before every kind has one.
//!    A re-list (410 Gone, reconnect) is another `Restarted`, which replaces all that was known.
//! 2. An object that cannot be used is still reported, as an [`Observed`] without an object. The
//!    last good version stays in force until a good one, a deletion, or a listing without it comes.
//! 3. One batch is applied as a whole before anything is compiled. What changed together (a file, a
//!    ConfigMap swap) goes in one batch.
//! 4. A lost connection is [`SourceEvent::Health`], never a deletion.
//!
//! [`Observed`]: crate::index::Observed

pub mod dir;
pub mod kube;
pub mod manifest;

use std::{fmt, future::Future};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    diagnostic::Diagnostic,
    index::{Kind, ObjectKey, Observed},
};

/// What changed together.
pub type Batch = Vec<SourceEvent>;

/// Batches that may wait for the index; a source that is ahead by more waits.
pub const CHANNEL_CAPACITY: usize = 64;

/// The one channel between a source and the index.
#[must_use]
pub fn channel() -> (mpsc::Sender<Batch>, mpsc::Receiver<Batch>) {
    mpsc::channel(CHANNEL_CAPACITY)
}

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

/// A source of objects.
pub trait Source {
    /// Why the source cannot start at all.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Feeds `batches` until `stop` is cancelled or the receiver is gone; both end it with `Ok`.
    ///
    /// # Errors
    ///
    /// Only for what no waiting can cure (no such directory, unusable kubeconfig). Whatever may pass
    /// is reported as [`SourceEvent::Health`] and tried again.
    fn run(
        self,
        batches: mpsc::Sender<Batch>,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
