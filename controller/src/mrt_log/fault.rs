//! Why nothing can be written, or what else is wrong.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use crate::diagnostic::Reason;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// For machines.
    pub(crate) reason: Reason,
    /// For people.
    pub(crate) message: String,
}

impl Fault {
    /// What the system said of a file or directory.
    pub(crate) fn new(path: &Path, error: &io::Error) -> Self {
        Self {
            reason: reason(error.kind()),
            message: format!("{}: {error}", path.display()),
        }
    }

    /// What it said when an old file was to go.
    pub(crate) fn of_removal(path: &Path, error: &io::Error) -> Self {
        Self {
            reason: Reason::FileNotRemoved,
            message: format!("{}: {error}", path.display()),
        }
    }
}

/// Whether there is no more room.
pub(super) const fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

const fn reason(kind: ErrorKind) -> Reason {
    match kind {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::DirectoryMissing,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Reason::DirectoryNotWritable,
        full if is_full(full) => Reason::DiskFull,
        _ => Reason::WriteFailed,
    }
}
