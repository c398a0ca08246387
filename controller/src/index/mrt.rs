//! The update log, checked.

use std::{path::PathBuf, time::Duration};

use super::{observed::Findings, values::range};
use crate::{api::MrtLogSpec, diagnostic::Reason};

/// Where and how an update log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MrtLog {
    /// The directory.
    pub directory: PathBuf,
    /// How often a file is begun.
    pub rotate: Duration,
    /// How large one may become, in octets.
    pub max_file: u64,
    /// How many are kept.
    pub keep_files: usize,
    /// Whether our own messages are in it.
    pub sent: bool,
}

pub(super) fn log(spec: &MrtLogSpec, findings: &mut Findings) -> MrtLog {
    let directory = PathBuf::from(&spec.directory);
    if !directory.is_absolute() {
        let message = format!("{:?} is not an absolute path", spec.directory);
        findings.error("spec.mrt.directory", Reason::InvalidValue, message);
    }
    let seconds = &spec.rotate_seconds;
    range("spec.mrt.rotateSeconds", seconds, 1..=86_400, findings);
    let megabytes = &spec.max_file_megabytes;
    range("spec.mrt.maxFileMegabytes", megabytes, 1..=4096, findings);
    range("spec.mrt.keepFiles", &spec.keep_files, 2..=1000, findings);
    MrtLog {
        directory,
        rotate: Duration::from_secs((*seconds).into()),
        max_file: u64::from(*megabytes) << 20,
        keep_files: usize::try_from(spec.keep_files).unwrap_or(usize::MAX),
        sent: spec.sent_messages,
    }
}
