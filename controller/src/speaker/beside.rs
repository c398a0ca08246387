//! Small files beside the control socket: what a process has to tell the next one. `/run` outlives the
//! process and its pod, and is empty after a boot.

use std::{io, path::Path};

/// Replaces a file. A crash in between leaves the old one or the new one.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}
