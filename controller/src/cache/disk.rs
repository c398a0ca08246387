//! The files. Only this module of the cache touches the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    file::{self, Defect},
    pending::{Change, KindChanges},
    sums::{self, Sums},
};
use crate::{
    index::{Kind, ObjectKey, Observed},
    source::{Batch, SourceEvent, kube},
    text::Text,
};

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A file is not as it was written.
    #[error("{}: {defect}", path.display())]
    Defect {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        defect: Defect,
    },
    /// A file is missing, where others are there.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
}

impl CacheError {
    /// The stable identifier.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "cache-io",
            Self::Defect { defect, .. } => defect.reason(),
            Self::Missing(_) => "missing-file",
        }
    }
}

/// What the disk had at the start.
#[derive(Debug)]
pub(super) struct Loaded {
    /// A listing of each kind.
    pub(super) batch: Batch,
    /// Objects in it.
    pub(super) objects: usize,
    /// When the last file was written.
    pub(super) written: Timestamp,
}

/// The directory, and what is in it.
#[derive(Debug, Default)]
pub(super) struct Disk {
    directory: PathBuf,
    node: String,
    files: BTreeMap<Kind, Sums>,
    /// When this process last wrote a file.
    pub(super) written: Option<Timestamp>,
}

impl Disk {
    /// Reads the directory. `Ok(None)`: nothing was ever written there.
    pub(super) fn open(
        directory: PathBuf,
        node: String,
    ) -> (Self, Result<Option<Loaded>, CacheError>) {
        let mut disk = Self {
            directory,
            node,
            ..Self::default()
        };
        let loaded = disk.load();
        if !matches!(loaded, Ok(Some(_))) {
            disk.files.clear();
        }
        (disk, loaded)
    }

    fn load(&mut self) -> Result<Option<Loaded>, CacheError> {
        let paths = Kind::ALL.map(|kind| (kind, self.directory.join(file::name(kind))));
        if paths.iter().all(|(_, path)| !path.exists()) {
            return Ok(None);
        }
        let mut loaded = Loaded {
            batch: Batch::new(),
            objects: 0,
            written: Timestamp::UNIX_EPOCH,
        };
        for (kind, path) in paths {
            if !path.exists() {
                if !kind.is_optional() {
                    return Err(CacheError::Missing(path));
                }
                // It was written before this kind was read.
                let objects = Vec::new();
                loaded.batch.push(SourceEvent::Restarted { kind, objects });
                continue;
            }
            let text = fs::read_to_string(&path).map_err(io_error(&path))?;
            let (objects, sums) = self
                .read(kind, &text)
                .map_err(|defect| CacheError::Defect {
                    path: path.clone(),
                    defect,
                })?;
            loaded.objects += objects.len();
            loaded.written = loaded.written.max(modified(&path));
            loaded.batch.push(SourceEvent::Restarted { kind, objects });
            self.files.insert(kind, sums);
        }
        Ok(Some(loaded))
    }

    fn read(&self, kind: Kind, text: &str) -> Result<(Vec<Observed>, Sums), Defect> {
        let mut sums = Sums::default();
        let lines = file::parse(text, kind, &self.node)?;
        let mut objects = Vec::with_capacity(lines.len());
        for (i, line) in lines.into_iter().enumerate() {
            // The first line is the header.
            let wrong = || Defect::Object(i + 2);
            let observed = kube::read_manifest(kind, line).map_err(|_| wrong())?;
            let name = sums::name(&observed.key);
            if observed.key.name.is_empty() || !sums.push(&name, file::checksum(line)) {
                return Err(wrong());
            }
            objects.push(observed);
        }
        Ok((objects, sums.pack()))
    }

    /// The kinds that are on disk.
    pub(super) fn listed(&self) -> BTreeSet<Kind> {
        self.files.keys().copied().collect()
    }

    /// Whether this object is on disk.
    pub(super) fn has(&self, key: &ObjectKey) -> bool {
        let file = self.files.get(&key.kind);
        file.is_some_and(|sums| sums.contains(&sums::name(key)))
    }

    /// Objects on disk.
    pub(super) fn objects(&self) -> usize {
        self.files.values().map(Sums::len).sum()
    }

    /// Brings the files up to date. What could not be written is given back.
    pub(super) fn write(
        &mut self,
        mut changes: BTreeMap<Kind, KindChanges>,
    ) -> (Result<(), CacheError>, BTreeMap<Kind, KindChanges>) {
        while let Some((kind, of_kind)) = changes.pop_first() {
            if let Err(error) = self.write_kind(kind, &of_kind) {
                // A file that broke under us is of no use; the next listing replaces it.
                if matches!(error, CacheError::Defect { .. }) {
                    self.files.remove(&kind);
                }
                changes.insert(kind, of_kind);
                return (Err(error), changes);
            }
        }
        (Ok(()), changes)
    }

    fn write_kind(&mut self, kind: Kind, changes: &KindChanges) -> Result<(), CacheError> {
        let old = self.files.get(&kind);
        let new = merge(old, changes);
        if old == Some(&new) {
            return Ok(());
        }
        let path = self.directory.join(file::name(kind));
        let beside = self.directory.join(format!(".{}.new", file::name(kind)));
        let mut directory = DirBuilder::new();
        directory.recursive(true).mode(0o700);
        directory
            .create(&self.directory)
            .map_err(io_error(&self.directory))?;
        let empty = Sums::default();
        let kept = Kept::open(&path, old.unwrap_or(&empty))?;
        self.write_beside(&beside, kind, &new, changes, kept)?;
        fs::rename(&beside, &path).map_err(io_error(&path))?;
        // The rename itself must outlive a power cut.
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(io_error(&self.directory))?;
        self.files.insert(kind, new);
        self.written = Some(Timestamp::now());
        Ok(())
    }

    fn write_beside(
        &self,
        path: &Path,
        kind: Kind,
        new: &Sums,
        changes: &KindChanges,
        mut kept: Kept<'_>,
    ) -> Result<(), CacheError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let opened = options.open(path).map_err(io_error(path))?;
        let mut out = BufWriter::new(opened);
        let mut put = |text: &str| out.write_all(text.as_bytes()).map_err(io_error(path));
        put(&file::head(kind, &self.node, new.values()))?;
        let mut texts = texts(changes).peekable();
        for (i, (name, _)) in new.iter().enumerate() {
            match texts.next_if(|(of, _)| of.as_str() == name) {
                Some((_, text)) => put(&text.read())?,
                None => put(kept.line(name)?)?,
            }
            put(file::separator(i, new.len()))?;
        }
        put(file::TAIL)?;
        let written = out.into_inner().map_err(io::IntoInnerError::into_error);
        written
            .and_then(|file| file.sync_all())
            .map_err(io_error(path))
    }
}

/// What a file holds after the changes.
fn merge(old: Option<&Sums>, changes: &KindChanges) -> Sums {
    let mut new = Sums::default();
    let mut old = old.into_iter().flat_map(Sums::iter).peekable();
    let keep = |new: &mut Sums, name: &str, sum| {
        if !changes.relisted {
            new.push(name, sum);
        }
    };
    for (key, change) in &changes.objects {
        let name = sums::name(key);
        while let Some((before, sum)) = old.next_if(|(before, _)| **before < *name) {
            keep(&mut new, before, sum);
        }
        let was = old.next_if(|(of, _)| *of == name);
        let sum = match change {
            Change::Put(text) => Some(file::checksum(&text.read())),
            Change::Keep => was.map(|(_, sum)| sum),
            Change::Gone => None,
        };
        if let Some(sum) = sum {
            new.push(&name, sum);
        }
    }
    for (name, sum) in old {
        keep(&mut new, name, sum);
    }
    new.pack()
}

/// The new texts, by name.
fn texts(changes: &KindChanges) -> impl Iterator<Item = (String, &Text)> {
    let changes = changes.objects.iter();
    changes.filter_map(|(key, change)| match change {
        Change::Put(text) => Some((sums::name(key), text)),
        Change::Keep | Change::Gone => None,
    })
}

/// The objects of the old file that stay, read in its order.
struct Kept<'a> {
    path: &'a Path,
    lines: Option<BufReader<File>>,
    sums: Box<dyn Iterator<Item = (&'a str, u64)> + 'a>,
    line: String,
}

impl<'a> Kept<'a> {
    fn open(path: &'a Path, sums: &'a Sums) -> Result<Self, CacheError> {
        let mut kept = Self {
            path,
            lines: None,
            sums: Box::new(sums.iter()),
            line: String::new(),
        };
        if !sums.is_empty() {
            let file = File::open(path).map_err(io_error(path))?;
            kept.lines = Some(BufReader::new(file));
            kept.next_line()?;
        }
        Ok(kept)
    }

    fn next_line(&mut self) -> Result<(), CacheError> {
        self.line.clear();
        let read = match &mut self.lines {
            Some(lines) => lines.read_line(&mut self.line),
            None => Ok(0),
        };
        read.map(|_| ()).map_err(io_error(self.path))
    }

    /// The text of an object. Keys must be asked for in order.
    fn line(&mut self, wanted: &str) -> Result<&str, CacheError> {
        loop {
            let Some((name, sum)) = self.sums.next() else {
                return Err(self.broken());
            };
            self.next_line()?;
            if name != wanted {
                continue;
            }
            let broken = self.broken();
            let text = self.line.trim_end_matches('\n');
            let text = text.strip_suffix(',').unwrap_or(text);
            return if file::checksum(text) == sum {
                Ok(text)
            } else {
                Err(broken)
            };
        }
    }

    fn broken(&self) -> CacheError {
        CacheError::Defect {
            path: self.path.to_owned(),
            defect: Defect::Checksum,
        }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    move |error| CacheError::Io {
        path: path.to_owned(),
        error,
    }
}

fn modified(path: &Path) -> Timestamp {
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    modified
        .ok()
        .and_then(|time| Timestamp::try_from(time).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
