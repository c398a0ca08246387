//! One lab at a time, for the tests.
//!
//! Labs of different names do not disturb each other, but they share the machine's processors, and
//! the tests measure seconds. A file lock works between the threads of one test program and between
//! test programs, so `cargo test` and `cargo nextest` behave alike. It goes with its process.

use std::{
    fs::{File, OpenOptions, create_dir_all},
    path::Path,
};

use anyhow::{Context as _, Result};

use super::{
    Lab, LabOptions,
    requirements::Binaries,
    speaker::{Source, SpeakerKind},
    topology::TorKind,
};

const LOCK: &str = "/run/redstart-lab/.lock";

/// The right to run the only lab of the tests; given back when dropped.
#[derive(Debug)]
pub struct Exclusive {
    _file: File,
}

impl Exclusive {
    /// Waits until no other test has a lab.
    pub fn wait() -> Result<Self> {
        let path = Path::new(LOCK);
        if let Some(dir) = path.parent() {
            create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open {LOCK}"))?;
        file.lock().with_context(|| format!("cannot lock {LOCK}"))?;
        Ok(Self { _file: file })
    }
}

/// A lab for one test: alone on the machine, gone at the end of the test whatever its end.
///
/// Fields drop in order, so the lab is down before the lock is free.
#[derive(Debug)]
pub struct TestLab {
    /// The lab.
    pub lab: Lab,
    _exclusive: Exclusive,
}

impl TestLab {
    /// Brings up a lab with Redstart speakers that watch a directory.
    pub fn redstart(name: &str, tor: TorKind, lab_program: &str) -> Result<Self> {
        Self::up(
            name,
            tor,
            Source::Objects,
            SpeakerKind::Redstart,
            lab_program,
        )
    }

    /// Brings up a lab of that name; `lab_program` is the path of the `lab` binary, beside which
    /// the others are.
    pub fn up(
        name: &str,
        tor: TorKind,
        source: Source,
        speaker: SpeakerKind,
        lab_program: &str,
    ) -> Result<Self> {
        let exclusive = Exclusive::wait()?;
        let lab = Lab::up(LabOptions {
            name: format!("rs-test-{name}"),
            tor,
            source,
            speaker,
            binaries: Binaries::beside(lab_program),
        })?;
        Ok(Self {
            lab,
            _exclusive: exclusive,
        })
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.lab.log_tails());
        }
    }
}
