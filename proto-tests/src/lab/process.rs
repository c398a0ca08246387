//! The processes that the lab started, and the proof that a pid is still one of them.
//!
//! A pid alone names nothing: it is used again after a crash. Each process is written to the run
//! directory with its start time (field 22 of `/proc/PID/stat`, in clock ticks since boot), and a
//! signal goes out only while both still agree. So `down` after a crash, a reboot or next week
//! never hits anybody else.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::wait;

/// A signal that the lab sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Please stop.
    Terminate,
    /// Stop.
    Kill,
    /// Do nothing until told to go on.
    Pause,
    /// Go on.
    Resume,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
            Self::Pause => "STOP",
            Self::Resume => "CONT",
        }
    }
}

/// One line of the record of processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// What it is in the lab: `speaker-n1`, `tor-bird`, …
    pub role: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

impl ProcessRecord {
    /// Whether this very process still runs. A zombie does not.
    pub fn is_alive(&self) -> bool {
        match stat(self.pid) {
            Some(stat) => stat.start == self.start && !matches!(stat.state, 'Z' | 'X'),
            None => false,
        }
    }

    /// Sends a signal if it is still this very process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.send(signal, &self.pid.to_string())
    }

    /// Sends a signal to it and to the processes that it started, if it is still this very process.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        self.send(signal, &format!("-{}", self.pid))
    }

    fn send(&self, signal: Signal, whom: &str) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        // The shell's own `kill`: a fresh machine need not have the program.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{} {whom}", signal.name())])
            .stderr(Stdio::null())
            .status()
            .context("cannot run sh")?;
        if !status.success() && self.is_alive() {
            bail!(
                "cannot send SIG{} to {} (pid {})",
                signal.name(),
                self.role,
                self.pid
            );
        }
        Ok(())
    }
}

/// A process that this very process started, so that it can be reaped.
#[derive(Debug)]
pub struct Process {
    /// What and which it is.
    pub record: ProcessRecord,
    child: Child,
}

impl Process {
    /// Waits until it has ended.
    pub fn wait(&mut self, bound: Duration) -> Result<std::process::ExitStatus> {
        let what = format!("end of {} (pid {})", self.record.role, self.record.pid);
        let (status, _) = wait::until(&what, bound, || {
            self.child.try_wait()?.context("still running")
        })?;
        Ok(status)
    }

    /// Whether it has ended by itself, and how.
    pub fn exited(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal and waits for the end; after `bound`, SIGKILL.
    pub fn stop(&mut self, signal: Signal, bound: Duration) -> Result<()> {
        self.record.signal(signal)?;
        if self.wait(bound).is_err() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

/// The record of a lab's processes: a file of JSON lines in its run directory.
#[derive(Clone, Debug)]
pub struct Processes {
    run_dir: PathBuf,
}

impl Processes {
    /// The record of the lab with this run directory.
    pub fn of(run_dir: &Path) -> Self {
        Self {
            run_dir: run_dir.to_owned(),
        }
    }

    fn file(&self) -> PathBuf {
        self.run_dir.join("processes")
    }

    /// The log file of a role.
    pub fn log(&self, role: &str) -> PathBuf {
        self.run_dir.join("log").join(format!("{role}.log"))
    }

    /// Starts a process in the background, in a session of its own (Ctrl-C must not reach it
    /// before the lab has tidied up), writing to its role's log, and records it.
    pub fn spawn(&self, role: &str, command: &Command) -> Result<Process> {
        let log = self.log(role);
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let out = open().with_context(|| format!("cannot write {}", log.display()))?;
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => detached.env(name, value),
                None => detached.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            detached.current_dir(dir);
        }
        let child = detached
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(open()?)
            .spawn()
            .with_context(|| format!("cannot start {role}: {command:?}"))?;
        let pid = child.id();
        let start = stat(pid).map_or(0, |stat| stat.start);
        let record = ProcessRecord {
            role: role.to_owned(),
            pid,
            start,
        };
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file())
            .and_then(|mut file: File| file.write_all(line.as_bytes()))
            .context("cannot record a process")?;
        Ok(Process { record, child })
    }

    /// Every process that was ever started for this lab, oldest first.
    pub fn records(&self) -> Result<Vec<ProcessRecord>> {
        let text = match fs::read_to_string(self.file()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("cannot read the record of processes"),
        };
        // A crash can leave half a line at the end: what it would have named never ran for long,
        // and everything before it counts.
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    /// Ends everything that still runs: SIGTERM, newest first, then SIGKILL after a second.
    pub fn stop_all(&self) -> Result<()> {
        let mut alive = self.records()?;
        alive.retain(ProcessRecord::is_alive);
        for record in alive.iter().rev() {
            record.signal(Signal::Terminate)?;
        }
        if !gone_within(&alive, Duration::from_secs(2)) {
            for record in &alive {
                record.signal(Signal::Kill)?;
            }
            if !gone_within(&alive, Duration::from_secs(5)) {
                bail!("processes of the lab outlive SIGKILL: {alive:?}");
            }
        }
        Ok(())
    }
}

/// Like [`wait::until`], but not to be interrupted: this is the clean-up after an interrupt.
fn gone_within(records: &[ProcessRecord], bound: Duration) -> bool {
    let end = std::time::Instant::now() + bound;
    while records.iter().any(ProcessRecord::is_alive) {
        if std::time::Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

struct Stat {
    state: char,
    start: u64,
}

/// `/proc/PID/stat`. The command's name (field 2) is in parentheses and may itself hold blanks
/// and parentheses, so counting starts after the last one.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes() -> (tempfile::TempDir, Processes) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        let processes = Processes::of(dir.path());
        (dir, processes)
    }

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    }

    #[test]
    fn stops_what_it_started() {
        let (_dir, processes) = processes();
        let mut process = processes.spawn("sleeper", &sleeper()).unwrap();
        assert!(process.record.is_alive());
        assert_eq!(processes.records().unwrap(), [process.record.clone()]);
        processes.stop_all().unwrap();
        assert!(!process.record.is_alive());
        assert!(process.wait(Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_pid_with_another_start_time_is_somebody_else() {
        let (_dir, processes) = processes();
        let mut process = processes.spawn("sleeper", &sleeper()).unwrap();
        let stranger = ProcessRecord {
            start: process.record.start + 1,
            ..process.record.clone()
        };
        assert!(!stranger.is_alive());
        stranger.signal(Signal::Kill).unwrap();
        assert!(process.record.is_alive());
        process.stop(Signal::Kill, Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn half_a_line_hides_nothing_before_it() {
        let (dir, processes) = processes();
        let text = "{\"role\":\"a\",\"pid\":1,\"start\":2}\n{\"role\":\"b";
        fs::write(dir.path().join("processes"), text).unwrap();
        assert_eq!(processes.records().unwrap().len(), 1);
    }
}
