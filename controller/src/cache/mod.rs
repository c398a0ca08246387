//! The last known objects, on disk: what a speaker starts from while the API server is away.
//!
//! [`pass`] stands between the Kubernetes source and the index. What arrives goes on to the index and
//! is noted for the disk; [`Writer`] writes it down some time later. At the start it goes the other
//! way: what is on disk fills the index as if it had been listed, and sessions and routes come up
//! without an API server.
//!
//! The directory is one that `--objects` reads: a JSON `List` per kind, which `kubectl` takes as well.
//!
//! Invariants:
//! - **All or nothing.** The cache is used if every kind's file is whole, of this format, and of this
//!   node. Otherwise it is ignored, with one line that says why; the API server is waited for. Nothing
//!   is written before every kind was listed.
//! - **From the cache to the cluster in one step.** While the cache is in force, what the API server
//!   says is held back until every kind was listed, and then comes into force as one batch: no
//!   moment at which one half is old and the other new, and nothing that was deleted meanwhile goes
//!   before the listing that proves it.
//! - **A file is replaced, never changed**: written beside it, flushed, renamed. A crash leaves the old
//!   one or the new one.
//! - **Only what changed.** Status updates of the kubelet and the like are no change (what counts is
//!   the manifest that the source reduces an object to, and one that is the same does not even get here),
//!   and a file whose objects are the same is not written. Memory holds a checksum per object, and the manifests that are not on disk yet.
//! - **The last good version.** What is on disk is what is in force: an object that cannot be used does not
//!   replace its last good version, nor does one that waits for another object, and what is deleted and
//!   still needed stays. The index tells which, and is waited for ([`Cache::heeding`]).
//! - **What a start disproves is not believed.** That this node is about to shut down is over when a
//!   speaker starts on it; and after a boot no pod of this node runs until the API server says so, however
//!   ready it was before.
//!
//! Secrets are in it, as passwords are needed at the start: files have mode 0600 and their directory
//! 0700. A disk that fails costs the cache alone: it is reported, and tried again.

mod disk;
mod file;
mod pending;
mod staging;
mod sums;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

pub use self::{disk::CacheError, file::Defect};
use self::{
    disk::{Disk, Loaded},
    pending::{KindChanges, Pending},
    staging::Staging,
};
use crate::{
    allocator,
    index::{Kind, Object, ObjectKey},
    source::{Batch, SourceEvent},
};

/// Where the cache is unless told otherwise; the objects are in `objects` below it.
pub const DEFAULT_DIRECTORY: &str = "/var/lib/redstart";

/// How long changes are gathered. The defaults are right for clusters; tests are in a hurry.
///
/// A write costs what the cluster is large, however little has changed: a kind's file is made anew. So
/// the pause after it grows with the time that it took, up to a bound. A small cluster's files are never
/// more than some seconds old.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// From a change to the write that has it.
    pub gather: Duration,
    /// Between two writes at least, and between two attempts.
    pub interval: Duration,
    /// After a write, this many times as long as it took...
    pub rest: u32,
    /// ... but not longer than this.
    pub longest: Duration,
}

impl Tuning {
    /// How long to wait after a write that took so long, or failed.
    fn pause_after(&self, took: Duration) -> Duration {
        let rest = took.saturating_mul(self.rest).min(self.longest);
        rest.max(self.interval)
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            gather: Duration::from_secs(1),
            interval: Duration::from_secs(10),
            rest: 100,
            longest: Duration::from_secs(60),
        }
    }
}

/// How the cache does; for metrics and the CLI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// The directory.
    pub directory: PathBuf,
    /// When a file was last written.
    pub written: Option<Timestamp>,
    /// Objects on disk.
    pub objects: usize,
    /// Changes that are not on disk yet.
    pub behind: bool,
    /// Attempts to write that failed.
    pub failures: u64,
    /// Why it was ignored at the start, or cannot be written now.
    pub error: Option<String>,
}

/// The cache of one speaker: [`start`](Self::start) it, and it is a stage between source and index.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    node: String,
    tuning: Tuning,
    status: watch::Sender<CacheStatus>,
    /// Whether the host has booted since it was written.
    booted: bool,
    verdict: watch::Receiver<Verdict>,
}

/// What the index makes of what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many batches it has taken in.
    pub batches: u64,
    /// Objects that are in force in another version than the last that it was told, or though they are
    /// gone.
    pub kept: BTreeSet<ObjectKey>,
}

impl Cache {
    /// The cache below `directory`, of the speaker of `node`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        let directory = directory.into().join("objects");
        let status = CacheStatus {
            directory: directory.clone(),
            ..CacheStatus::default()
        };
        Self {
            directory,
            node: node.into(),
            tuning: Tuning::default(),
            status: watch::Sender::new(status),
            booted: false,
            verdict: watch::channel(Verdict::default()).1,
        }
    }

    /// The host has booted since it was written.
    #[must_use]
    pub fn of_before_the_boot(self) -> Self {
        Self {
            booted: true,
            ..self
        }
    }

    /// With an index behind it that says what it makes of each batch. Nothing is written down before.
    #[must_use]
    pub fn heeding(self, verdict: watch::Receiver<Verdict>) -> Self {
        Self { verdict, ..self }
    }

    /// With other times.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// How it does, always up to date.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<CacheStatus> {
        self.status.subscribe()
    }

    /// Runs until the source ends: what is on disk goes to the index, then what the source says. All
    /// that it said is on disk when this returns.
    pub async fn run(self, from: mpsc::Receiver<Batch>, to: mpsc::Sender<Batch>) {
        let (disk, mut loaded) = self.load().await;
        let events = loaded.iter_mut().flat_map(|loaded| &mut loaded.batch);
        events.for_each(|event| disbelieve(event, &self.node, self.booted));
        let notes = Arc::new(Notes::default());
        let writer = Writer {
            disk,
            notes: Arc::clone(&notes),
            tuning: self.tuning,
            status: self.status.clone(),
            verdict: self.verdict.clone(),
            kept: BTreeSet::new(),
        };
        let writing = tokio::spawn(writer.run());
        pass(from, to, loaded, &notes).await;
        notes.end();
        // It ends by itself; a panic has been reported.
        let _ = writing.await;
    }

    async fn load(&self) -> (Disk, Option<Loaded>) {
        let (directory, node) = (self.directory.clone(), self.node.clone());
        let read = tokio::task::spawn_blocking(move || Disk::open(directory, node)).await;
        let (disk, loaded) = match read {
            Ok(it) => it,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let directory = self.directory.display();
        match &loaded {
            Ok(Some(loaded)) => {
                info!(%directory, objects = loaded.objects, written = %loaded.written,
                    "starting from the last known objects");
            }
            Ok(None) => info!(%directory, "no objects are known from an earlier run"),
            Err(error) => warn!(
                %directory,
                reason = error.reason(),
                "the last known objects cannot be used; waiting for the API server: {error}"
            ),
        }
        self.status.send_modify(|status| match &loaded {
            Ok(Some(loaded)) => {
                status.objects = loaded.objects;
                status.written = Some(loaded.written);
            }
            Ok(None) => {}
            Err(error) => status.error = Some(error.to_string()),
        });
        (disk, loaded.ok().flatten())
    }
}

/// Takes out of a listing what the start of a speaker on `node` disproves.
fn disbelieve(listing: &mut SourceEvent, node: &str, booted: bool) {
    let SourceEvent::Restarted { objects, .. } = listing else {
        return;
    };
    for observed in objects {
        match &mut observed.object {
            Some(Object::Node(own)) if own.meta.name == node => own.drain.is_up(),
            Some(Object::EndpointSlice(slice)) if booted => slice.nobody_serves_on(node),
            _ => {}
        }
    }
}

/// What is to be written down, shared by the one who hears of it and the one who writes.
#[derive(Debug, Default)]
struct Notes {
    pending: Mutex<Pending>,
    changed: Notify,
}

impl Notes {
    fn with<T>(&self, change: impl FnOnce(&mut Pending) -> T) -> T {
        // A panic while it was held loses a note at worst.
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&self) {
        self.with(|pending| pending.ended = true);
        self.changed.notify_one();
    }
}

/// Hands on what the source says, and notes it.
async fn pass(
    mut from: mpsc::Receiver<Batch>,
    to: mpsc::Sender<Batch>,
    loaded: Option<Loaded>,
    notes: &Notes,
) {
    let mut staging = loaded.is_some().then(Staging::default);
    if let Some(mut loaded) = loaded {
        loaded.batch.push(SourceEvent::Recalled);
        notes.with(|pending| pending.sent += 1);
        if to.send(loaded.batch).await.is_err() {
            return;
        }
    }
    while let Some(batch) = from.recv().await {
        let mut batch = match &mut staging {
            None => batch,
            Some(stage) => {
                let (batch, complete) = stage.hold(batch);
                if complete {
                    info!(
                        "every kind is listed: the API server's objects replace the last known ones"
                    );
                    staging = None;
                }
                batch
            }
        };
        let is_first = notes.with(|pending| {
            pending.sent += u64::from(!batch.is_empty());
            pending.note(&mut batch)
        });
        if is_first {
            notes.changed.notify_one();
        }
        if !batch.is_empty() && to.send(batch).await.is_err() {
            return;
        }
    }
}

/// Writes down what was noted, some time later.
struct Writer {
    disk: Disk,
    notes: Arc<Notes>,
    tuning: Tuning,
    status: watch::Sender<CacheStatus>,
    verdict: watch::Receiver<Verdict>,
    /// What stayed on disk as it was when it was last written.
    kept: BTreeSet<ObjectKey>,
}

impl Writer {
    async fn run(mut self) {
        let mut earliest = Instant::now();
        loop {
            tokio::select! {
                () = self.notes.changed.notified() => {}
                Ok(_) = self.verdict.wait_for(|now| now.kept != self.kept) => {}
            }
            self.status.send_modify(|status| status.behind = true);
            let due = earliest.max(Instant::now() + self.tuning.gather);
            self.wait(due).await;
            let ended = self.notes.with(|pending| {
                pending.news = false;
                pending.ended
            });
            let start = Instant::now();
            let written = self.write().await;
            earliest = Instant::now() + self.tuning.pause_after(start.elapsed());
            if ended {
                return;
            }
            if !written {
                self.notes.changed.notify_one();
            }
        }
    }

    /// Waits, but not when there is nothing more to come.
    async fn wait(&self, due: Instant) {
        let timer = sleep_until(due);
        tokio::pin!(timer);
        while !self.notes.with(|pending| pending.ended) {
            tokio::select! {
                () = &mut timer => return,
                () = self.notes.changed.notified() => {}
            }
        }
    }

    /// Writes what there is. `false`: it did not work.
    async fn write(&mut self) -> bool {
        let Some(taken) = self.take().await else {
            return true;
        };
        let mut disk = std::mem::take(&mut self.disk);
        let done = tokio::task::spawn_blocking(move || {
            let (result, rest) = disk.write(taken);
            // What has changed has left holes: manifests of a whole cluster have waited for this after a
            // listing, and after a change of a Node all was compiled anew.
            allocator::give_back();
            (disk, result, rest)
        });
        let (disk, result, rest) = match done.await {
            Ok(it) => it,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        self.disk = disk;
        self.notes.with(|pending| pending.put_back(rest));
        self.report(result.as_ref().err());
        result.is_ok()
    }

    /// What there is to write, once the index has said what it makes of it.
    async fn take(&mut self) -> Option<BTreeMap<Kind, KindChanges>> {
        loop {
            let sent = self.notes.with(|pending| pending.sent);
            // An index that is gone has nothing more to say.
            let judged = self.verdict.wait_for(|now| now.batches >= sent).await;
            let judged = judged.map(|now| now.kept.clone());
            self.kept = judged.unwrap_or_else(|_| self.verdict.borrow().kept.clone());
            // Better an object in a version that is not in force than none.
            let on_disk = self.kept.iter().filter(|key| self.disk.has(key));
            let (kept, listed) = (on_disk.cloned().collect(), self.disk.listed());
            let taken = self.notes.with(|pending| {
                let is_judged = pending.sent == sent;
                is_judged.then(|| pending.take(&listed, &kept))
            });
            if let Some(taken) = taken {
                return taken;
            }
        }
    }

    fn report(&self, error: Option<&CacheError>) {
        let before = self.status.borrow().error.clone();
        let now = error.map(ToString::to_string);
        match error {
            Some(error) if before != now => warn!(
                reason = error.reason(),
                "the cache of objects is not up to date; trying again: {error}"
            ),
            _ => {}
        }
        self.status.send_modify(|status| {
            status.objects = self.disk.objects();
            status.written = self.disk.written.or(status.written);
            status.behind = error.is_some();
            status.failures += u64::from(error.is_some());
            status.error = now;
        });
    }
}

#[cfg(test)]
mod tests;
