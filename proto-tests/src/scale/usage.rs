//! Processor time and memory of a process.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// The unit of times in `/proc/PID/stat` on Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// What a process has cost so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time of all threads, in user and kernel mode.
    pub cpu: Duration,
    resident_kib: u32,
    peak_kib: u32,
}

impl Usage {
    /// Of the process with this id.
    ///
    /// # Errors
    /// It is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Fields are counted from behind the name, which may hold anything: `state` is the first.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks =
            |at: usize| -> Result<u32> { Ok(fields.get(at).context("too short")?.parse()?) };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| -> Result<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.with_context(|| format!("no {name}"))?;
            Ok(value.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Self {
            cpu: TICK * (ticks(11)? + ticks(12)?),
            resident_kib: kib("VmRSS:")?,
            peak_kib: kib("VmHWM:")?,
        })
    }

    /// Resident memory now.
    #[must_use]
    pub fn resident_mib(&self) -> f64 {
        f64::from(self.resident_kib) / 1024.0
    }

    /// The most that it ever was.
    #[must_use]
    pub fn peak_mib(&self) -> f64 {
        f64::from(self.peak_kib) / 1024.0
    }
}
