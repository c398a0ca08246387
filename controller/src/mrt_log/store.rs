//! The disk, the file that is written, and how records come into it.

use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use redstart_bgp::mrt;

use super::fault::is_full;

/// What makes and removes files. Tests have one of their own.
pub(super) trait Disk: Send {
    /// Makes a file where there is nothing yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Store>>;

    /// Removes a file, if it is there still.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// That of the system.
pub(super) struct System;

impl Disk for System {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Store>> {
        let file = File::options().append(true).create_new(true).open(path)?;
        Ok(Box::new(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What is asked of a file.
pub(super) trait Store: Write + fmt::Debug + Send {
    /// Cuts off what is behind so many octets.
    fn cut(&self, len: u64) -> io::Result<()>;

    /// Whether somebody removed it.
    fn is_gone(&self) -> bool;
}

impl Store for File {
    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn is_gone(&self) -> bool {
        self.metadata().is_ok_and(|it| it.nlink() == 0)
    }
}

/// The file that is written.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) path: PathBuf,
    pub(super) store: Box<dyn Store>,
    /// Octets of whole records in it.
    pub(super) len: u64,
    /// Which of the periods between rotations it is of.
    pub(super) period: i64,
    /// Whether there are as many files as may be, as far as they can be removed.
    pub(super) pruned: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) records: u64,
    pub(super) octets: u64,
}

/// Why not all was written.
pub(super) struct Failure {
    pub(super) error: io::Error,
    /// Whether nothing more may go into the file: half a record may be at its end, or the disk is not just full.
    pub(super) is_spoilt: bool,
}

impl Current {
    /// Appends as many of these whole records as there is room for.
    pub(super) fn append(&mut self, records: &[u8], written: &mut Written) -> Result<(), Failure> {
        let (taken, outcome) = put(&mut *self.store, records);
        let taken = records.get(..taken).unwrap_or_default();
        let (octets, count) = mrt::whole(taken, taken.len());
        self.len += octets as u64;
        written.records += count;
        written.octets += octets as u64;
        outcome.map_err(|error| {
            // A record that is torn would make what comes behind it unreadable.
            let is_cut = self.store.cut(self.len).is_ok();
            let is_spoilt = !is_cut || !is_full(error.kind());
            Failure { error, is_spoilt }
        })
    }
}

/// Writes as many octets as can be written; and why not all.
fn put(store: &mut dyn Store, octets: &[u8]) -> (usize, io::Result<()>) {
    let mut taken = 0;
    while let Some(rest) = octets.get(taken..).filter(|rest| !rest.is_empty()) {
        match store.write(rest) {
            Ok(0) => return (taken, Err(ErrorKind::WriteZero.into())),
            Ok(n) => taken += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, Ok(()))
}
