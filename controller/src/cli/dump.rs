//! An answer to a file: one that is there whole or not at all, or one that grows.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::client::{ClientError, Pieces};

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It cannot be written.
    #[error("cannot write {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The daemon stopped answering.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Writes what comes beside the place of the file, and moves it there when it is whole.
///
/// # Errors
/// [`DumpError`]; what was written until then is removed.
pub async fn write(path: &Path, pieces: &mut Pieces) -> Result<(), DumpError> {
    let mut part = OsString::from(path);
    part.push(".part");
    let part = PathBuf::from(part);
    let written = write_to(&part, pieces).await;
    let moved = written.and_then(|()| fs::rename(&part, path).map_err(named(path)));
    if moved.is_err() {
        // What is left of it is of no use; whether that can be removed changes nothing.
        let _ = fs::remove_file(&part);
    }
    moved
}

async fn write_to(path: &Path, pieces: &mut Pieces) -> Result<(), DumpError> {
    let mut file = File::create(path).map_err(named(path))?;
    while let Some(piece) = pieces.next().await? {
        file.write_all(&piece).map_err(named(path))?;
    }
    file.sync_all().map_err(named(path))
}

/// Writes what comes to the file as it comes: whoever looks into it sees all that there was until then.
///
/// # Errors
/// [`DumpError`]; what was written until then stays.
pub async fn follow(path: &Path, pieces: &mut Pieces) -> Result<(), DumpError> {
    let mut file = File::create(path).map_err(named(path))?;
    while let Some(piece) = pieces.next().await? {
        file.write_all(&piece).map_err(named(path))?;
    }
    Ok(())
}

fn named(path: &Path) -> impl Fn(io::Error) -> DumpError {
    move |error| DumpError::File {
        path: path.to_owned(),
        error,
    }
}
