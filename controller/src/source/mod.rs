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
//! [`Kind`]: crate::index::Kind
//! [`Observed`]: crate::index::Observed

pub mod dir;
pub mod kube;
pub mod manifest;

use std::future::Future;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use crate::index::{Health, SourceEvent};

/// What changed together.
pub type Batch = Vec<SourceEvent>;

/// Batches that may wait for the index; a source that is ahead by more waits.
pub const CHANNEL_CAPACITY: usize = 64;

/// The one channel between a source and the index.
#[must_use]
pub fn channel() -> (mpsc::Sender<Batch>, mpsc::Receiver<Batch>) {
    mpsc::channel(CHANNEL_CAPACITY)
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
