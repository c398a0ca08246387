//! A watched directory of manifests: for hosts without Kubernetes, for labs and for tests.
//!
//! Every `*.yaml`, `*.yml` and `*.json` directly in the directory counts, dot files do not. The
//! directory is looked at five times a second by the files' metadata (through symbolic links), which
//! is cheap and sees what inotify does not: the symlink swap of a mounted ConfigMap, files on NFS, a
//! directory that is itself replaced.
//!
//! A file is read only when two looks [`SETTLE`] apart show the same: a file that is being written is
//! not half read, and an editor that replaces a file by way of deleting it deletes nothing. While
//! any file is unsettled the others wait too (up to [`PATIENCE`]), so that files which change together
//! come into force together. [`merge`] says what a change of files means for objects.

mod merge;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Batch, Health, Source, SourceEvent, manifest};
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::Kind,
};
use merge::Files;

/// Time between two looks while nothing changes.
const INTERVAL: Duration = Duration::from_millis(200);
/// Time for which a file must stay as it is to be read.
const SETTLE: Duration = Duration::from_millis(40);
/// Longest time for which settled files wait for unsettled ones.
const PATIENCE: Duration = Duration::from_millis(400);
/// Largest file that is read.
const MAX_FILE_SIZE: u64 = 64 << 20;

/// A directory of manifests.
#[derive(Clone, Debug)]
pub struct DirSource {
    path: PathBuf,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("directory of objects {path}: {error}")]
pub struct DirError {
    path: PathBuf,
    error: io::Error,
}

/// What tells a file from the same file after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

type Look = BTreeMap<String, Fingerprint>;

impl DirSource {
    /// The directory at `path`, which must exist when the source is run.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    async fn look(&self) -> io::Result<Look> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || look(&path))
            .await
            .map_err(io::Error::other)?
    }
}

fn look(path: &Path) -> io::Result<Look> {
    let mut files = Look::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        if name.starts_with('.') || !matches!(suffix, "yaml" | "yml" | "json") {
            continue;
        }
        // A file that vanished since, or a dangling link, is a file that is not there.
        if let Ok(meta) = fs::metadata(entry.path())
            && meta.is_file()
        {
            files.insert(name, Fingerprint::of(&meta));
        }
    }
    Ok(files)
}

impl Fingerprint {
    fn of(meta: &fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Source for DirSource {
    type Error = DirError;

    async fn run(
        self,
        batches: mpsc::Sender<Batch>,
        stop: CancellationToken,
    ) -> Result<(), DirError> {
        // A directory that is missing from the start is a mistake on the command line.
        self.look().await.map_err(|error| DirError {
            path: self.path.clone(),
            error,
        })?;
        let mut watch = Watch::new(self);
        let watching = async {
            loop {
                let (batch, pause) = watch.step().await;
                if !batch.is_empty() && batches.send(batch).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    }
}

/// The state between two looks.
struct Watch {
    source: DirSource,
    files: Files,
    /// The files as they were when they were read.
    read: Look,
    /// The files as they were at the last look.
    last: Look,
    unsettled_since: Option<Instant>,
    started: bool,
    health: Health,
}

impl Watch {
    fn new(source: DirSource) -> Self {
        Self {
            source,
            files: Files::default(),
            read: Look::new(),
            last: Look::new(),
            unsettled_since: None,
            started: false,
            health: Health::Starting,
        }
    }

    /// Looks once. Returns what to tell, and the time to the next look.
    async fn step(&mut self) -> (Batch, Duration) {
        let mut batch = Batch::new();
        let look = match self.source.look().await {
            Ok(look) => look,
            Err(error) => {
                let error = format!("{}: {error}", self.source.path.display());
                self.say_health(&Health::Retrying { error }, &mut batch);
                return (batch, INTERVAL);
            }
        };
        self.say_health(&Health::Synced, &mut batch);
        let last = std::mem::replace(&mut self.last, look);
        let differs = |before: &Look, name: &String| before.get(name) != self.last.get(name);
        let changed: Vec<String> = names(&self.read, &self.last)
            .filter(|name| differs(&self.read, name))
            .collect();
        let (unsettled, settled): (Vec<String>, Vec<String>) =
            changed.into_iter().partition(|name| differs(&last, name));
        if !unsettled.is_empty() {
            let since = *self.unsettled_since.get_or_insert_with(Instant::now);
            if since.elapsed() < PATIENCE {
                return (batch, SETTLE);
            }
        }
        self.unsettled_since = None;
        let is_news = !settled.is_empty();
        for name in settled {
            self.take_in(name).await;
        }
        if !self.started {
            self.started = true;
            batch.extend(self.files.restart());
        } else if is_news {
            batch.extend(self.files.changes());
        }
        let pause = if unsettled.is_empty() {
            INTERVAL
        } else {
            SETTLE
        };
        (batch, pause)
    }

    fn say_health(&mut self, health: &Health, batch: &mut Batch) {
        if self.health == *health {
            return;
        }
        self.health = health.clone();
        batch.extend(Kind::ALL.map(|kind| SourceEvent::Health {
            kind,
            health: health.clone(),
        }));
    }

    async fn take_in(&mut self, name: String) {
        let Some(&fingerprint) = self.last.get(&name) else {
            self.read.remove(&name);
            self.files.remove(&name);
            return;
        };
        let path = self.source.path.join(&name);
        let manifest = match read(&path, fingerprint).await {
            Ok(text) => manifest::parse(&name, &text),
            Err(error) => {
                let object = manifest::file_ref(&name);
                let message = format!("{error}; the objects that it held last stay in force");
                Err(Diagnostic::error(object, "", Reason::Unreadable, message))
            }
        };
        // Should the file change between the look and the reading, the next look shows it.
        self.read.insert(name.clone(), fingerprint);
        self.files.set(name, manifest);
    }
}

fn names(a: &Look, b: &Look) -> impl Iterator<Item = String> {
    let mut names: Vec<String> = a.keys().chain(b.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.into_iter()
}

async fn read(path: &Path, fingerprint: Fingerprint) -> io::Result<String> {
    if fingerprint.size > MAX_FILE_SIZE {
        let message = format!("larger than {} MiB", MAX_FILE_SIZE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    tokio::fs::read_to_string(path).await
}

#[cfg(test)]
mod tests;
